/* enroll: asks the daemon to enrol, and shows how it goes while the request is pending. */
#include "src/cmd/sealane/cli.h"

#include "sealane/time.h"

#include <string.h>
#include <unistd.h>

#define ENROLL_SILENCE_MS ((int64_t)24 * 3600 * 1000) /* a request may be pending for long */

static void tell(struct cli *cli, const char *text, const json_t *data)
{
    char now[SL_TIME_TEXT];
    if (cli->json) {
        json_t *line = json_pack("{s:s,s:O*}", "text", text, "data", data);
        (void)json_dumpf(line, cli->err, JSON_COMPACT | JSON_ENSURE_ASCII);
        fputc('\n', cli->err);
        json_decref(line);
        return;
    }
    fprintf(cli->err, "%s  ", sl_time_text(now, sl_clock_utc_s()));
    out_text(cli->err, *text ? text : field_string(data, "state"));
    fputc('\n', cli->err);
}

static bool wait_on(struct cli *cli, const char *text, const json_t *data)
{
    tell(cli, text, data);
    return true;
}

static bool wait_until_pending(struct cli *cli, const char *text, const json_t *data)
{
    tell(cli, text, data);
    return !field_is(data, "state", "pending");
}

/* What a person can do about a failure that the message alone does not say. */
static void advise(struct cli *cli, const struct sl_err *err, const json_t *data)
{
    const char *shown = field_string(data, "ca_sha256");
    if (*shown && (err->rc == SL_SCEP_NO_PIN || err->rc == SL_SCEP_FINGERPRINT)) {
        fputs("the server's CA certificate has the SHA-256 fingerprint ", cli->err);
        out_text(cli->err, shown);
        fputc('\n', cli->err);
    }
    if (err->rc == SL_SCEP_NO_PIN)
        fputs(
            "compare the fingerprint with the CA's operator, then give it with --fingerprint or in "
            "the configuration\n",
            cli->err);
}

enum cli_exit run_enroll(struct cli *cli, const struct command *cmd, const json_t *args)
{
    struct sl_err err = { 0 };
    json_t *data = NULL;
    enum cli_exit result = CLI_OK;
    json_t *request = json_copy((json_t *)args); /* without what only we know */
    bool wait = !json_object_get(args, "no_wait");
    (void)json_object_del(request, "no_wait");
    enum sl_rc rc = client_ask(cli, "enroll", request, ENROLL_SILENCE_MS,
                               wait ? wait_on : wait_until_pending, &data, &err);
    json_decref(request);
    if (rc == SL_CANCELLED && !wait) {
        fputs("the daemon goes on asking; sealane certs shows the certificate when it is there\n",
              cli->err);
    } else if (rc != SL_OK) {
        result = cli_fail(cli, cmd, &err, data);
        if (!cli->json)
            advise(cli, &err, data);
    } else if (cli->json) {
        out_json(cli->out, data);
    } else {
        json_t *cert = json_object_get(data, "certificate");
        cert = json_copy(cert ? cert : data);
        /* OK says that it is stored; the daemon takes it up a moment later, which certs shows. */
        (void)json_object_del(cert, "state");
        (void)json_object_del(cert, "text");
        out_text(cli->out, field_string(args, "identity"));
        fputs(": the certificate is there\n", cli->out);
        show_certificate(cli->out, cert);
        json_decref(cert);
        if (json_is_true(json_object_get(data, "first_use"))) {
            fputs("trusted on first use: the server's CA certificate with the SHA-256 fingerprint ",
                  cli->err);
            out_text(cli->err, field_string(data, "ca_sha256"));
            fputs("; pin it in the configuration\n", cli->err);
        }
    }
    json_decref(data);
    return result;
}
