/*
 * audit: reads the log's files itself, so that it tells the truth also when the daemon does not run,
 * or is not trusted.
 */
#include "src/cmd/sealane/cli.h"

#include "sealane/audit.h"
#include "sealane/decision.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define DEFAULT_DIR "/var/lib/sealane/audit"

static enum sl_rc audit_dir(struct cli *cli, const json_t *args, char *out, size_t cap,
                            struct sl_err *err)
{
    if (*field_string(args, "dir")) {
        snprintf(out, cap, "%s", field_string(args, "dir"));
        return SL_OK;
    }
    SL_AUTO(sl_config) *config = NULL;
    SL_TRY(client_config(cli, &config, err));
    snprintf(out, cap, "%s", config ? config->audit_dir : DEFAULT_DIR);
    return SL_OK;
}

/* ---- one line per record ---------------------------------------------------------------------------------- */
/* The first of some members that has a text. */
static const char *first_of(char *buf, size_t cap, const json_t *r, const char *const *keys)
{
    for (; *keys; keys++) {
        const char *text = field_text(buf, cap, r, *keys);
        if (*text)
            return text;
    }
    return "";
}
static const char *const peer_keys[] = { "id", "peer", "name", "identity", "subject", NULL };

static void brief(FILE *f, uint64_t number, const json_t *r)
{
    char buf[512], when[32];
    snprintf(when, sizeof(when), "%.19sZ", field_string(r, "t"));
    fprintf(f, "%7" PRIu64 "  ", number);
    out_text(f, when);
    fputs("  ", f);
    out_text(f, field_string(r, "kind"));
    if (*field_string(r, "event")) {
        fputc(' ', f);
        out_text(f, field_string(r, "event"));
    }
    const char *verdict = field_string(r, "verdict"), *reason = field_string(r, "reason");
    if (*verdict) {
        fputs("  ", f);
        out_text(f, verdict);
    }
    if (*reason && strcmp(reason, "OK") != 0) {
        fputs("  ", f);
        out_text(f, reason);
    }
    const char *peer = first_of(buf, sizeof(buf), r, peer_keys);
    if (*peer) {
        fputs("  ", f);
        out_text(f, peer);
    }
    if (*field_string(r, "connection")) {
        fputs("  ", f);
        out_text(f, field_string(r, "connection"));
        if (*field_string(r, "child")) {
            fputc('/', f);
            out_text(f, field_string(r, "child"));
        }
    }
    const char *text = field_string(r, "text");
    if (*text) {
        fputs("  ", f);
        out_text(f, text);
    }
    fputc('\n', f);
}

static void print_record(struct cli *cli, uint64_t number, const json_t *r)
{
    if (!cli->json) {
        brief(cli->out, number, r);
        return;
    }
    (void)json_dumpf(r, cli->out, JSON_COMPACT | JSON_ENSURE_ASCII);
    fputc('\n', cli->out);
}

/* After a walk: what was read is shown already; damage is told. */
static enum cli_exit walked(struct cli *cli, const struct command *cmd, enum sl_rc rc,
                            const struct sl_err *err)
{
    return rc == SL_OK ? CLI_OK : cli_fail(cli, cmd, err, NULL);
}

/* ---- tail --------------------------------------------------------------------------------------------------- */
struct tail {
    struct cli *cli;
    struct kept {
        json_t *record;
        uint64_t number;
    } * ring; /* the last max records */
    size_t n, max;
    uint64_t last;
    bool following;
};

static bool tail_record(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    (void)line;
    struct tail *t = ctx;
    t->last = number;
    if (t->following) {
        print_record(t->cli, number, record);
        return true;
    }
    struct kept *k = &t->ring[t->n++ % t->max];
    json_decref(k->record);
    *k = (struct kept){ .record = json_incref((json_t *)record), .number = number };
    return true;
}

static off_t log_size(const char *dir)
{
    char path[4200];
    struct stat st;
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

enum cli_exit run_audit_tail(struct cli *cli, const struct command *cmd, const json_t *args)
{
    char dir[4096];
    struct sl_err err = { 0 };
    const json_t *count = json_object_get(args, "count");
    struct tail t = { .cli = cli, .max = count ? (size_t)json_integer_value(count) : 10 };
    if (t.max < 1 || t.max > 100000) {
        (void)SL_FAIL(&err, SL_USAGE, "-n takes 1 to 100000");
        return cli_fail(cli, cmd, &err, NULL);
    }
    if (audit_dir(cli, args, dir, sizeof(dir), &err) != SL_OK)
        return cli_fail(cli, cmd, &err, NULL);
    t.ring = calloc(t.max, sizeof(*t.ring));
    enum sl_rc rc = t.ring ? SL_OK : SL_FAIL_MEM(&err);
    off_t size = log_size(dir);
    if (rc == SL_OK)
        rc = sl_audit_each(dir, 0, tail_record, &t, &err);
    for (size_t i = t.n > t.max ? t.n - t.max : 0; i < t.n; i++)
        print_record(cli, t.ring[i % t.max].number, t.ring[i % t.max].record);
    for (size_t i = 0; t.ring && i < t.max; i++)
        json_decref(t.ring[i].record);
    free(t.ring);
    if (rc == SL_OK && !t.n && !cli->json)
        fputs("the audit log has no record yet\n", cli->err);
    t.following = true;
    while (json_is_true(json_object_get(args, "follow")) &&
           (rc == SL_OK || rc == SL_AUDIT_EDITED) && fflush(cli->out) == 0) {
        nanosleep(&(struct timespec){ .tv_nsec = 300 * SL_NS_PER_MS }, NULL);
        off_t now = log_size(dir);
        if (now == size)
            continue;
        size = now;
        rc = sl_audit_each(dir, t.last + 1, tail_record, &t, &err);
    }
    return walked(cli, cmd, rc, &err);
}

/* ---- show ----------------------------------------------------------------------------------------------------- */
struct one {
    uint64_t want;
    json_t *record;
};
static bool keep_one(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    (void)line;
    struct one *o = ctx;
    if (number == o->want)
        o->record = json_incref((json_t *)record);
    return number < o->want;
}

static void show_lines(FILE *f, struct sl_buf *text)
{
    char *rest = sl_buf_nul(text) ? (char *)text->p : NULL;
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (*line) {
            out_text(f, line);
            fputc('\n', f);
        }
}

/* The reason of a record as a code of the table; SL_OK when it has none or one of its own words. */
static enum sl_rc reason_of(const json_t *r)
{
    enum sl_rc code = sl_rc_from_name(field_string(r, "reason"));
    return code == SL_RC_COUNT ? SL_OK : code;
}

static void show_member(FILE *f, const json_t *r, const char *key, const json_t *v)
{
    char buf[1024], when[SL_TIME_TEXT];
    char *dump = json_is_object(v) ? json_dumps(v, JSON_COMPACT) : NULL;
    const char *text = dump ? dump : field_text(buf, sizeof(buf), r, key);
    /* "not_after" and the like as seconds since 1970 */
    bool time = json_is_integer(v) && json_integer_value(v) > 1000000000 &&
                (strncmp(key, "not_", 4) == 0 || strcmp(key, "expires") == 0);
    if (time)
        text = sl_time_text(when, json_integer_value(v));
    if (*text) {
        fprintf(f, "%-12s ", key);
        out_text(f, text);
        fputc('\n', f);
    }
    free(dump);
}

/* Records of other kinds: their members as they are, but those of the chain and the reason code,
 * which are told apart. */
static void show_members(FILE *f, const json_t *r)
{
    static const char *const chain[] = { "n", "prev", "t", "kind", "hash" };
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)r, key, v)
    {
        bool skip = strcmp(key, "reason") == 0 && reason_of(r) != SL_OK;
        for (size_t i = 0; i < SL_ARRAY_LEN(chain); i++)
            skip |= strcmp(key, chain[i]) == 0;
        if (!skip)
            show_member(f, r, key, v);
    }
}

enum cli_exit run_audit_show(struct cli *cli, const struct command *cmd, const json_t *args)
{
    char dir[4096];
    struct sl_err err = { 0 };
    struct one o = { .want = (uint64_t)json_integer_value(json_object_get(args, "record")) };
    enum sl_rc rc = audit_dir(cli, args, dir, sizeof(dir), &err);
    if (rc == SL_OK)
        rc = sl_audit_each(dir, o.want, keep_one, &o, &err);
    if (rc == SL_OK && !o.record)
        (void)SL_FAIL(&err, SL_NOT_FOUND, "there is no record %" PRIu64 " in %s", o.want, dir);
    if (!o.record)
        return cli_fail(cli, cmd, &err, NULL);
    if (cli->json) {
        out_json(cli->out, o.record);
    } else {
        fprintf(cli->out, "record %" PRIu64 ", ", o.want);
        out_text(cli->out, field_string(o.record, "t"));
        fputs(", ", cli->out);
        out_text(cli->out, field_string(o.record, "kind"));
        fputs("\n\n", cli->out);
        SL_AUTO_BUF story = { 0 };
        if (field_is(o.record, "kind", "decision") && sl_decision_story(&story, o.record))
            show_lines(cli->out, &story);
        else
            show_members(cli->out, o.record);
        enum sl_rc code = reason_of(o.record);
        if (code != SL_OK)
            fprintf(cli->out, "%-12s %s: %s\n", "reason", sl_rc_name(code), sl_rc_text(code));
        fprintf(cli->out, "\n%-12s ", "hash");
        out_text(cli->out, field_string(o.record, "hash"));
        fputs(" fits the record; sealane audit verify checks the whole log\n", cli->out);
    }
    json_decref(o.record);
    return CLI_OK;
}

/* ---- query ------------------------------------------------------------------------------------------------------ */
struct query {
    struct cli *cli;
    const json_t *args;
    uint64_t found;
};

static bool pattern_fits(const struct query *q, const char *key, const json_t *r,
                         const char *const *members)
{
    const char *pattern = field_string(q->args, key);
    char buf[512];
    if (!*pattern)
        return true;
    for (; *members; members++)
        if (fnmatch(pattern, field_text(buf, sizeof(buf), r, *members), FNM_CASEFOLD) == 0)
            return true;
    return false;
}

static bool time_fits(const struct query *q, const json_t *r)
{
    const json_t *since = json_object_get(q->args, "since"),
                 *until = json_object_get(q->args, "until");
    char text[32];
    int64_t s;
    snprintf(text, sizeof(text), "%.19sZ", field_string(r, "t"));
    if (!since && !until)
        return true;
    return sl_time_parse(&s, text) && (!since || s >= json_integer_value(since)) &&
           (!until || s <= json_integer_value(until));
}

static bool query_record(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    struct query *q = ctx;
    const char *words = field_string(q->args, "text");
    if (!time_fits(q, record) ||
        !pattern_fits(q, "kind", record, (const char *const[]){ "kind", "event", NULL }) ||
        !pattern_fits(q, "peer", record, peer_keys) ||
        !pattern_fits(q, "connection", record, (const char *const[]){ "connection", NULL }) ||
        !pattern_fits(q, "verdict", record, (const char *const[]){ "verdict", NULL }) ||
        !pattern_fits(q, "reason", record, (const char *const[]){ "reason", NULL }) ||
        (*words && !memmem(line.p, line.len, words, strlen(words))))
        return true;
    q->found++;
    print_record(q->cli, number, record);
    return true;
}

enum cli_exit run_audit_query(struct cli *cli, const struct command *cmd, const json_t *args)
{
    char dir[4096];
    struct sl_err err = { 0 };
    struct query q = { .cli = cli, .args = args };
    enum sl_rc rc = audit_dir(cli, args, dir, sizeof(dir), &err);
    if (rc == SL_OK)
        rc = sl_audit_each(dir, 0, query_record, &q, &err);
    if (rc == SL_OK && !cli->json)
        fprintf(cli->err, "%" PRIu64 " record%s\n", q.found, q.found == 1 ? "" : "s");
    return walked(cli, cmd, rc, &err);
}

/* ---- verify ------------------------------------------------------------------------------------------------------ */
enum cli_exit run_audit_verify(struct cli *cli, const struct command *cmd, const json_t *args)
{
    char dir[4096];
    struct sl_err err = { 0 };
    struct sl_audit_report r;
    enum sl_rc rc = audit_dir(cli, args, dir, sizeof(dir), &err);
    if (rc == SL_OK)
        rc = sl_audit_verify(dir, &r, &err);
    if (rc != SL_OK)
        return cli_fail(cli, cmd, &err, NULL);
    if (cli->json) {
        json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:s,s:s}", "dir", dir, "rc", sl_rc_name(r.rc),
                              "records", (json_int_t)r.records, "bad", (json_int_t)r.bad, "text",
                              r.text, "head", r.head);
        out_json(cli->out, o);
        json_decref(o);
    } else if (r.rc == SL_OK) {
        fprintf(cli->out,
                "%s: good: %" PRIu64 " records, none edited, removed, inserted or reordered\n", dir,
                r.records);
        fprintf(cli->out, "head %s\n", r.head);
    } else {
        fprintf(cli->out, "%s: BAD at record %" PRIu64 ": %s: ", dir, r.bad, sl_rc_name(r.rc));
        out_text(cli->out, r.text);
        fprintf(cli->out, "\n%" PRIu64 " records before it are good\n", r.records);
    }
    return r.rc == SL_OK ? CLI_OK : CLI_FAILED;
}
