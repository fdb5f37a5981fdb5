/*
 * cert verify, cert explain: validation of a certificate from files, without the daemon; one case or a
 * batch of them, a line each.
 */
#include "src/cmd/sealane/cert.h"

#include "sealane/time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX ((size_t)128 << 20) /* a CRL of a million entries is 40 MB */

/* ---- files -------------------------------------------------------------------------------------------- */
/* "-" is standard input. */
static enum sl_rc read_whole(struct sl_buf *out, const char *path, struct sl_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    uint8_t chunk[16384];
    size_t n;
    if (!f)
        return SL_FAIL(err, SL_IO, "%s: %s", path, strerror(errno));
    enum sl_rc rc = SL_OK;
    errno = 0;
    while (rc == SL_OK && (n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        if (out->len + n > PART_MAX)
            rc = SL_FAIL(err, SL_TOO_LARGE, "%s: more than %zu MiB", path, PART_MAX >> 20);
        else if (!sl_buf_put(out, sl_bytes(chunk, n)))
            rc = SL_FAIL_MEM(err);
    }
    if (rc == SL_OK && ferror(f))
        rc = SL_FAIL(err, SL_IO, "%s: %s", path, errno ? strerror(errno) : "cannot be read");
    if (!standard)
        fclose(f);
    return rc;
}

static enum sl_rc put_files(struct sl_verify_ask *ask, enum sl_verify_list list,
                            const json_t *paths, struct sl_err *err)
{
    size_t i;
    json_t *path;
    json_array_foreach(paths, i, path)
    {
        SL_AUTO_BUF data = { 0 };
        const char *name = json_string_value(path);
        SL_TRY(read_whole(&data, name, err));
        SL_TRY(sl_verify_put(ask, list, sl_buf_bytes(&data), name, err));
    }
    return SL_OK;
}

static const struct {
    const char *key;
    enum sl_verify_list list;
} file_lists[] = {
    { "anchor", SL_VERIFY_ANCHORS },
    { "intermediate", SL_VERIFY_INTERMEDIATES },
    { "crl", SL_VERIFY_CRLS },
    { "ocsp", SL_VERIFY_OCSP },
};

static const struct {
    const char *key, *option;
} rules[] = {
    { "time", "--time" },
    { "name", "--id" },
    { "eku", "--eku" },
    { "policy", "--policy" },
    { "any_policy", "--any-policy" },
    { "explicit_policy", "--explicit-policy" },
    { "inhibit_any", "--inhibit-any" },
    { "inhibit_mapping", "--inhibit-mapping" },
    { "revocation", "--revocation" },
    { "max_depth", "--max-depth" },
    { "profile", "--profile" },
    { "no_fetch", "--no-fetch" },
};

static enum sl_rc make_ask(struct sl_verify_ask *ask, const json_t *args, struct sl_err *err)
{
    const char *leaf = field_string(args, "leaf");
    if (json_object_get(args, "policy") && json_object_get(args, "any_policy"))
        return SL_FAIL(err, SL_USAGE, "--policy and --any-policy exclude each other");
    for (size_t i = 0; i < SL_ARRAY_LEN(rules); i++) {
        const json_t *value = json_object_get(args, rules[i].key);
        if (value)
            SL_TRY(sl_verify_set(ask, rules[i].key, value, err));
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(file_lists); i++)
        SL_TRY(put_files(ask, file_lists[i].list, json_object_get(args, file_lists[i].key), err));
    if (*leaf) {
        SL_AUTO_BUF data = { 0 };
        SL_TRY(read_whole(&data, leaf, err));
        SL_TRY(sl_verify_put_leaf(ask, sl_buf_bytes(&data), leaf, err));
    }
    return SL_OK;
}

/* ---- the shell ------------------------------------------------------------------------------------------ */
static struct sl_now clock_now(void *ctx)
{
    (void)ctx;
    return (struct sl_now){ .mono_ns = sl_clock_mono_ns(), .utc_s = sl_clock_utc_s() };
}

/* ---- showing ----------------------------------------------------------------------------------------------- */
static enum cli_exit exit_of(const json_t *answer)
{
    return field_is(answer, "verdict", "good")      ? CLI_OK
           : field_is(answer, "verdict", "refused") ? CLI_FAILED
                                                    : CLI_USAGE;
}

static void show_lines(FILE *f, struct sl_buf *text)
{
    if (!sl_buf_nul(text))
        return;
    char *rest = (char *)text->p;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!*line && !rest)
            break;
        out_text(f, line);
        fputc('\n', f);
    }
}

static void show_brief(struct cli *cli, const json_t *answer)
{
    size_t i;
    json_t *c;
    fprintf(cli->out, "%s: %s: ", field_string(answer, "verdict"), field_string(answer, "reason"));
    out_text(cli->out, field_string(answer, "text"));
    fputc('\n', cli->out);
    json_array_foreach(json_object_get(answer, "chain"), i, c)
    {
        fprintf(cli->out, "  %-12s ", i ? "issued by" : "certificate");
        out_text(cli->out, field_string(c, "subject"));
        fprintf(cli->out, " (serial %s)\n", field_string(c, "serial"));
    }
    out_member(cli->out, "policies", answer, "policies");
    out_member(cli->out, "revocation", answer, "revocation_mode");
    json_array_foreach(json_object_get(answer, "notes"), i, c)
        out_field(cli->out, "note", json_string_value(c));
}

static void show_answer(struct cli *cli, const struct command *cmd, const json_t *answer)
{
    SL_AUTO_BUF story = { 0 };
    if (cli->json)
        out_json(cli->out, answer);
    else if (strcmp(cmd->word, "explain") == 0 && sl_verify_story(&story, answer))
        show_lines(cli->out, &story);
    else
        show_brief(cli, answer);
}

/* ---- batch --------------------------------------------------------------------------------------------------- */
enum line_end { LINE_READ, LINE_LONG, LINE_END };

/* One line without its newline; what is longer than the limit is read over and not kept. */
static enum line_end read_line(struct sl_buf *line, FILE *f)
{
    enum line_end end = LINE_END;
    int c;
    line->len = 0;
    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        uint8_t byte = (uint8_t)c;
        if (end == LINE_LONG)
            continue;
        end = LINE_READ;
        if (line->len == SL_VERIFY_LINE_MAX || !sl_buf_put(line, sl_bytes(&byte, 1)))
            end = LINE_LONG;
    }
    return end == LINE_END && c == '\n' ? LINE_READ : end;
}

static bool blank(const struct sl_buf *line)
{
    for (size_t i = 0; i < line->len; i++)
        if (line->p[i] != ' ' && line->p[i] != '\t' && line->p[i] != '\r')
            return false;
    return true;
}

static enum cli_exit run_batch(struct cli *cli, const struct command *cmd, const char *path,
                               const struct sl_verify_ask *defaults,
                               const struct sl_verify_shell *shell)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    SL_AUTO_BUF line = { 0 };
    enum line_end end;
    if (!f) {
        struct sl_err err;
        (void)SL_FAIL(&err, SL_IO, "%s: %s", path, strerror(errno));
        (void)cli_fail(cli, cmd, &err, NULL);
        return CLI_USAGE;
    }
    bool written = true;
    while (written && (end = read_line(&line, f)) != LINE_END) {
        if (end == LINE_READ && blank(&line))
            continue;
        json_t *answer = end == LINE_LONG
                             ? sl_verify_error(SL_TOO_LARGE, "a request is at most 8 MiB")
                             : sl_verify_line(sl_buf_bytes(&line), defaults, shell);
        written = answer && json_dumpf(answer, cli->out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0 &&
                  fputc('\n', cli->out) != EOF && fflush(cli->out) == 0;
        json_decref(answer);
    }
    bool ok = written && !ferror(f);
    if (f != stdin)
        fclose(f);
    return ok ? CLI_OK : CLI_USAGE;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */
static enum cli_exit fail(struct cli *cli, const struct command *cmd, const struct sl_err *err)
{
    char words[CLI_WORDS_MAX];
    json_t *answer = sl_verify_error(err->rc, sl_err_text(err));
    if (cli->json) {
        out_json(cli->out, answer);
    } else {
        fprintf(cli->err, "sealane: %s: ", cli_words(words, cmd, ' '));
        out_text(cli->err, sl_err_text(err));
        fprintf(cli->err, " (%s)\n", sl_rc_name(err->rc));
    }
    json_decref(answer);
    return CLI_USAGE;
}

enum cli_exit run_cert_verify(struct cli *cli, const struct command *cmd, const json_t *args)
{
    struct cert_fetch *fetch = NULL;
    struct sl_verify_ask ask = { 0 };
    struct sl_err err;
    enum cli_exit status;
    const char *batch = field_string(args, "batch");
    sl_err_reset(&err);
    if (make_ask(&ask, args, &err) == SL_OK && *batch && ask.has_leaf)
        (void)SL_FAIL(&err, SL_USAGE, "LEAF and --batch exclude each other");
    if (err.rc == SL_OK && !ask.rules.no_fetch)
        (void)!cert_fetch_new(&fetch, cli, &err);
    struct sl_verify_shell shell = { .ctx = fetch,
                                     .now = clock_now,
                                     .fetch = fetch ? cert_fetch_ask : NULL };
    if (err.rc != SL_OK) {
        status = fail(cli, cmd, &err);
    } else if (*batch) {
        status = run_batch(cli, cmd, batch, &ask, &shell);
    } else {
        json_t *answer = sl_verify(&ask, &shell);
        status = answer ? exit_of(answer) : CLI_USAGE;
        if (field_is(answer, "verdict", "error") && !cli->json) {
            (void)SL_FAIL(&err, sl_rc_from_name(field_string(answer, "reason")), "%s",
                          field_string(answer, "text"));
            (void)fail(cli, cmd, &err);
        } else {
            show_answer(cli, cmd, answer);
        }
        json_decref(answer);
    }
    sl_verify_ask_clear(&ask);
    cert_fetch_free(fetch);
    return status;
}
