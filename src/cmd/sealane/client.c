/*
 * Talking to the daemon: one request line over the control socket, answers line by line
 * (docs/control.md), and what is said when it is not there.
 */
#include "src/cmd/sealane/cli.h"

#include "sealane/secret.h"
#include "sealane/time.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_CONFIG  "/etc/sealane/sealane.conf"
#define DEFAULT_RUN_DIR "/run/sealane"
#define ANSWER_MAX      ((size_t)64 << 20)

enum sl_rc client_config(struct cli *cli, struct sl_config **out, struct sl_err *err)
{
    *out = NULL;
    enum sl_rc rc = sl_config_load(out, cli->config ? cli->config : DEFAULT_CONFIG, NULL, err);
    /* Without --config the defaults do: who may use the socket need not read the configuration. */
    if (!cli->config && (rc == SL_NOT_FOUND || rc == SL_IO)) {
        sl_err_reset(err);
        return SL_OK;
    }
    return rc;
}

static enum sl_rc socket_path(struct cli *cli, struct sockaddr_un *sun, struct sl_err *err)
{
    int n;
    if (cli->socket) {
        n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s", cli->socket);
    } else {
        SL_AUTO(sl_config) *config = NULL;
        SL_TRY(client_config(cli, &config, err));
        n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/control.sock",
                     config ? config->run_dir : DEFAULT_RUN_DIR);
    }
    if (n < 0 || (size_t)n >= sizeof(sun->sun_path))
        return SL_FAIL(err, SL_USAGE,
                       "the path of the control socket is longer than %zu characters",
                       sizeof(sun->sun_path) - 1);
    return SL_OK;
}

static enum sl_rc connect_daemon(struct cli *cli, int *out, struct sl_err *err)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    SL_TRY(socket_path(cli, &sun, err));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0) {
        *out = fd;
        return SL_OK;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    cli->unreachable = true;
    return SL_FAIL(err, SL_UNAVAILABLE, "the daemon cannot be reached at %s: %s%s", sun.sun_path,
                   strerror(why),
                   why == EACCES ? "; only root and the group of control_group may use it"
                                 : "; is sealaned running?");
}

static enum sl_rc send_request(struct cli *cli, int fd, const char *verb, const json_t *args,
                               struct sl_err *err)
{
    json_t *request = json_pack("{s:s,s:O}", "verb", verb, "args", args);
    char *line = request ? json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(request);
    if (!line)
        return SL_FAIL_MEM(err);
    size_t len = strlen(line), done = 0;
    line[len] = '\n'; /* in place of the NUL */
    enum sl_rc rc = SL_OK;
    while (done <= len && rc == SL_OK) {
        ssize_t n = send(fd, line + done, len + 1 - done, MSG_NOSIGNAL);
        cli->unreachable = n < 0 && errno != EINTR;
        if (cli->unreachable)
            rc = SL_FAIL(err, SL_UNAVAILABLE, "the daemon took no request: %s", strerror(errno));
        else if (n > 0)
            done += (size_t)n;
    }
    sl_wipe(line, len); /* it may hold a challenge */
    free(line);
    return rc;
}

/* Reads until in holds a line; *len is its length without the newline. */
static enum sl_rc read_line(struct cli *cli, int fd, struct sl_buf *in, int64_t timeout_ms,
                            size_t *len, struct sl_err *err)
{
    int64_t end = sl_clock_mono_ns() + timeout_ms * SL_NS_PER_MS;
    for (size_t seen = 0;;) {
        const uint8_t *newline = in->len > seen ? memchr(in->p + seen, '\n', in->len - seen) : NULL;
        if (newline) {
            *len = (size_t)(newline - in->p);
            return SL_OK;
        }
        seen = in->len;
        if (in->len > ANSWER_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "the daemon's answer is larger than %zu bytes",
                           ANSWER_MAX);
        int64_t left_ms = (end - sl_clock_mono_ns()) / SL_NS_PER_MS;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int ready = left_ms > 0 ? poll(&p, 1, left_ms > 60000 ? 60000 : (int)left_ms) : 0;
        if (left_ms <= 0)
            return SL_FAIL(err, SL_TIMEOUT, "the daemon gave no answer within %lld s",
                           (long long)(timeout_ms / 1000));
        if (ready <= 0)
            continue;
        if (!sl_buf_reserve(in, 65536))
            return SL_FAIL_MEM(err);
        ssize_t n = recv(fd, in->p + in->len, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        cli->unreachable = n <= 0;
        if (n <= 0)
            return SL_FAIL(err, SL_UNAVAILABLE,
                           "the daemon closed the connection before it answered%s%s",
                           n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
        in->len += (size_t)n;
    }
}

/* One answer line. *more tells whether others follow. */
static enum sl_rc read_answer(struct sl_bytes line, bool *more, json_t **data, struct sl_buf *text,
                              struct sl_err *err)
{
    json_t *answer = json_loadb((const char *)line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(answer, "rc"));
    enum sl_rc rc = name ? sl_rc_from_name(name) : SL_RC_COUNT;
    text->len = 0;
    bool ok = sl_buf_put_str(text, field_string(answer, "text")) && sl_buf_nul(text);
    *more = json_is_true(json_object_get(answer, "more"));
    *data = json_incref(json_object_get(answer, "data"));
    if (json_is_null(*data)) {
        json_decref(*data);
        *data = NULL;
    }
    json_decref(answer);
    if (!name)
        return SL_FAIL(err, SL_MALFORMED, "the daemon's answer is not understood");
    if (!ok)
        return SL_FAIL_MEM(err);
    if (rc == SL_RC_COUNT) /* a newer daemon's code */
        return SL_FAIL(err, SL_INTERNAL, "unknown reason of the daemon: %.400s",
                       (const char *)text->p);
    if (rc != SL_OK && !*more)
        return SL_FAIL(err, rc, "%.500s", text->len ? (const char *)text->p : sl_rc_text(rc));
    return SL_OK;
}

enum sl_rc client_ask(struct cli *cli, const char *verb, const json_t *args, int64_t timeout_ms,
                      bool (*progress)(struct cli *cli, const char *text, const json_t *data),
                      json_t **data, struct sl_err *err)
{
    int fd = -1;
    SL_TRY(connect_daemon(cli, &fd, err));
    SL_AUTO_BUF in = { 0 }, text = { 0 };
    bool more = true;
    *data = NULL;
    enum sl_rc rc = send_request(cli, fd, verb, args, err);
    while (rc == SL_OK && more) {
        size_t len = 0;
        json_decref(*data);
        *data = NULL;
        rc = read_line(cli, fd, &in, timeout_ms ? timeout_ms : 30000, &len, err);
        if (rc != SL_OK)
            break;
        rc = read_answer(sl_bytes(in.p, len), &more, data, &text, err);
        if (rc == SL_OK && more && progress && !progress(cli, (const char *)text.p, *data))
            rc = SL_FAIL(err, SL_CANCELLED, "not waited for");
        memmove(in.p, in.p + len + 1, in.len - len - 1);
        in.len -= len + 1;
    }
    sl_buf_wipe(&in); /* an answer may hold a challenge */
    close(fd);
    return rc;
}

enum cli_exit cli_fail(struct cli *cli, const struct command *cmd, const struct sl_err *err,
                       const json_t *data)
{
    char words[CLI_WORDS_MAX];
    if (cli->json) {
        json_t *o = json_pack("{s:s,s:s}", "rc", sl_rc_name(err->rc), "text", sl_err_text(err));
        if (data)
            (void)json_object_set(o, "data", (json_t *)data);
        out_json(cli->out, o);
        json_decref(o);
    } else {
        fprintf(cli->err, "sealane: %s: ", cli_words(words, cmd, ' '));
        out_text(cli->err, sl_err_text(err));
        fprintf(cli->err, " (%s)\n", sl_rc_name(err->rc));
    }
    return cli->unreachable ? CLI_NO_DAEMON : err->rc == SL_USAGE ? CLI_USAGE : CLI_FAILED;
}

static bool tell_progress(struct cli *cli, const char *text, const json_t *data)
{
    (void)data;
    if (*text && !cli->json) {
        out_text(cli->err, text);
        fputc('\n', cli->err);
    }
    return true;
}

enum cli_exit client_run(struct cli *cli, const struct command *cmd, const json_t *args)
{
    char verb[CLI_WORDS_MAX];
    struct sl_err err = { 0 };
    json_t *data = NULL;
    enum cli_exit result = CLI_OK;
    cli_words(verb, cmd, '.');
    if (client_ask(cli, verb, args, cmd->timeout_ms, tell_progress, &data, &err) != SL_OK) {
        result = cli_fail(cli, cmd, &err, data);
    } else {
        json_t *none = data ? NULL : json_object();
        if (cli->json)
            out_json(cli->out, data ? data : none);
        else
            cmd->show(cli, args, data ? data : none);
        if (cmd->judge)
            result = cmd->judge(data ? data : none);
        json_decref(none);
    }
    json_decref(data);
    return result;
}
