/*
 * import swanctl, import ipsec.conf: a configuration of strongSwan or libreswan turned into ours, without
 * the daemon. This is the shell of sealane/import.h: it reads files and looks into folders.
 */
#include "src/cmd/sealane/cli.h"

#include "sealane/import.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)4 << 20)

static void list_files(void *ctx, const char *pattern, void (*found)(void *to, const char *path),
                       void *to)
{
    glob_t g = { 0 };
    (void)ctx;
    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; i < g.gl_pathc; i++) {
            struct stat st;
            if (stat(g.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode))
                found(to, g.gl_pathv[i]);
        }
    globfree(&g);
}

static enum sl_rc read_file(void *ctx, const char *path, struct sl_buf *out, struct sl_err *err)
{
    FILE *f = fopen(path, "re");
    uint8_t chunk[4096];
    size_t n;
    (void)ctx;
    if (!f)
        return SL_FAIL(err, SL_IO, "%s: %s", path, strerror(errno));
    enum sl_rc rc = SL_OK;
    errno = 0;
    while (rc == SL_OK && (n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        if (out->len + n > FILE_MAX)
            rc = SL_FAIL(err, SL_TOO_LARGE, "%s: more than %zu MiB", path, FILE_MAX >> 20);
        else if (!sl_buf_put(out, sl_bytes(chunk, n)))
            rc = SL_FAIL_MEM(err);
    }
    if (rc == SL_OK && ferror(f))
        rc = SL_FAIL(err, SL_IO, "%s: %s", path, errno ? strerror(errno) : "cannot be read");
    fclose(f);
    return rc;
}

static enum sl_rc options(struct sl_import_ask *ask, const struct command *cmd, const json_t *args,
                          struct sl_err *err)
{
    const char *local = field_string(args, "local"), *dialect = field_string(args, "dialect");
    ask->form = strcmp(cmd->word, "swanctl") == 0 ? SL_IMPORT_SWANCTL : SL_IMPORT_IPSEC;
    if (*local && strcmp(local, "left") != 0 && strcmp(local, "right") != 0)
        return SL_FAIL(err, SL_USAGE, "--local: \"%.40s\"; expected left or right", local);
    ask->local_right = strcmp(local, "right") == 0;
    if (strcmp(dialect, "strongswan") == 0)
        ask->dialect = SL_IMPORT_STRONGSWAN;
    else if (strcmp(dialect, "libreswan") == 0)
        ask->dialect = SL_IMPORT_LIBRESWAN;
    else if (*dialect)
        return SL_FAIL(err, SL_USAGE, "--dialect: \"%.40s\"; expected strongswan or libreswan",
                       dialect);
    return SL_OK;
}

/* A file that is there already is not written over. */
static enum sl_rc save(const char *path, const struct sl_buf *text, struct sl_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return SL_FAIL(err, SL_IO, "-o: %s: %s", path,
                       errno == EEXIST ? "is there already; expected the name of a new file"
                                       : strerror(errno));
    size_t done = 0;
    while (done < text->len) {
        ssize_t n = write(fd, text->p + done, text->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    bool good = done == text->len;
    enum sl_rc rc = SL_OK;
    if (!good)
        rc = SL_FAIL(err, SL_IO, "-o: %s: %s", path, strerror(errno));
    if (close(fd) != 0 && good)
        rc = SL_FAIL(err, SL_IO, "-o: %s: %s", path, strerror(errno));
    return rc;
}

static enum sl_rc run(struct sl_buf *out, struct sl_import_sum *sum, const struct command *cmd,
                      const json_t *args, struct sl_err *err)
{
    const char *file = field_string(args, "file");
    char path[4096], cwd[2048];
    struct sl_import_ask ask = { .files = { .list = list_files, .read = read_file } };
    SL_TRY(options(&ask, cmd, args, err));
    if (*file != '/' && !getcwd(cwd, sizeof(cwd)))
        return SL_FAIL(err, SL_IO, "the current folder: %s", strerror(errno));
    int n = *file == '/' ? snprintf(path, sizeof(path), "%s", file)
                         : snprintf(path, sizeof(path), "%s/%s", cwd, file);
    if (n < 0 || (size_t)n >= sizeof(path))
        return SL_FAIL(err, SL_USAGE, "FILE: the path is too long");
    SL_AUTO_BUF text = { 0 };
    enum sl_rc rc = read_file(NULL, path, &text, err);
    ask.file = path;
    ask.text = sl_buf_bytes(&text);
    if (rc == SL_OK)
        rc = sl_import(out, sum, &ask, err);
    sl_buf_wipe(&text); /* it may hold secrets */
    return rc;
}

enum cli_exit run_import(struct cli *cli, const struct command *cmd, const json_t *args)
{
    SL_AUTO_BUF text = { 0 };
    struct sl_import_sum sum;
    struct sl_err err = { 0 };
    const char *to = field_string(args, "output");
    enum sl_rc rc = run(&text, &sum, cmd, args, &err);
    if (rc == SL_OK && *to)
        rc = save(to, &text, &err);
    if (rc != SL_OK) {
        enum cli_exit status = cli_fail(cli, cmd, &err, NULL);
        return rc == SL_USAGE ? CLI_USAGE : status;
    }
    if (cli->json) {
        json_t *o =
            json_pack("{s:s,s:I,s:I,s:I,s:I,s:o}", "file", field_string(args, "file"),
                      "connections", (json_int_t)sum.connections, "shunts", (json_int_t)sum.shunts,
                      "left_out", (json_int_t)sum.left_out, "comments", (json_int_t)sum.comments,
                      "text", json_stringn((const char *)text.p, text.len));
        out_json(cli->out, o);
        json_decref(o);
        return CLI_OK;
    }
    if (!*to)
        (void)fwrite(text.p, 1, text.len, cli->out); /* cli_main looks whether it arrived */
    fprintf(cli->err,
            "sealane: import: %zu connection%s written, %zu shunt%s, %zu left out, %zu comment%s "
            "to read\n",
            sum.connections, sum.connections == 1 ? "" : "s", sum.shunts,
            sum.shunts == 1 ? "" : "s", sum.left_out, sum.comments, sum.comments == 1 ? "" : "s");
    return CLI_OK;
}
