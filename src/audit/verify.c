/*
 * Reading the audit log without its writer: the check of the whole chain, and the walk over its
 * records. Both may run while the daemon writes.
 *
 * What the chain can tell: a record whose text is not what its hash was made of was edited; a number
 * that is skipped is missing, unless it comes later, which is a change of order; the head says how
 * many records there must be at least.
 */
#include "src/audit/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static enum sl_rc open_lines(struct audit_lines *l, const char *dir, struct sl_err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, AUDIT_LOG);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return SL_FAIL(err, errno == ENOENT ? SL_NOT_FOUND : SL_IO, "%s: %s", path,
                       strerror(errno));
    return audit_lines_open(l, fd, err);
}

static void SL_PRINTF(4, 5)
    judge(struct sl_audit_report *r, enum sl_rc rc, uint64_t bad, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->text, sizeof(r->text), fmt, ap);
    va_end(ap);
    r->rc = rc;
    r->bad = bad ? bad : 1;
}

/* Does any later line carry a number from..to? Then the order was changed, nothing was removed. */
static bool comes_later(struct audit_lines *l, uint64_t from, uint64_t to, uint64_t *line_number)
{
    struct sl_bytes line;
    while (audit_lines_next(l, &line) == AUDIT_GOT_LINE) {
        struct audit_point at;
        char prev[AUDIT_HASH_HEX + 1];
        json_t *record = NULL;
        bool ok = audit_line_read(line, &at, prev, &record, NULL) == SL_OK;
        json_decref(record);
        if (ok && at.n >= from && at.n <= to) {
            *line_number = l->line;
            return true;
        }
    }
    return false;
}

/* One whole line against the chain so far. False: the report says what is wrong. */
static bool check_line(struct audit_lines *l, struct sl_bytes line, struct audit_point *at,
                       struct sl_audit_report *r)
{
    struct audit_point here;
    char prev[AUDIT_HASH_HEX + 1];
    json_t *record = NULL;
    struct sl_err err = { 0 };
    uint64_t expected = at->n + 1, here_line = l->line, later;
    if (audit_line_read(line, &here, prev, &record, &err) != SL_OK) {
        judge(r, err.rc == SL_NO_MEMORY ? SL_IO : SL_AUDIT_EDITED, expected,
              "record %" PRIu64 " (line %" PRIu64 ") %s", expected, here_line, sl_err_text(&err));
        return false;
    }
    json_decref(record);
    if (here.n < expected)
        judge(r, SL_AUDIT_ORDER, here.n,
              "record %" PRIu64 " stands again or out of order on line %" PRIu64
              "; expected record %" PRIu64,
              here.n, here_line, expected);
    else if (here.n > expected && comes_later(l, expected, here.n - 1, &later))
        judge(r, SL_AUDIT_ORDER, expected,
              "record %" PRIu64 " stands on line %" PRIu64 " where record %" PRIu64
              " was expected; a record between them stands on line %" PRIu64,
              here.n, here_line, expected, later);
    else if (here.n > expected && here.n - 1 > expected)
        judge(r, SL_AUDIT_MISSING, expected,
              "records %" PRIu64 " to %" PRIu64 " are missing before line %" PRIu64, expected,
              here.n - 1, here_line);
    else if (here.n > expected)
        judge(r, SL_AUDIT_MISSING, expected, "record %" PRIu64 " is missing before line %" PRIu64,
              expected, here_line);
    else if (strcmp(prev, at->n ? at->hash : AUDIT_ZERO) != 0)
        judge(r, SL_AUDIT_EDITED, at->n ? at->n : 1,
              "record %" PRIu64 " (line %" PRIu64
              ") does not continue %s: one of the two was replaced",
              here.n, here_line, at->n ? "the record before it" : "from the start of the log");
    else {
        *at = here;
        return true;
    }
    return false;
}

static void check_head(const struct audit_head *head, bool has_hash, const char *hash_at_head,
                       struct sl_audit_report *r)
{
    if (head->at.n > r->records)
        judge(r, SL_AUDIT_MISSING, r->records + 1,
              "the log ends with record %" PRIu64 ", but %" PRIu64
              " were durable: the end was cut off",
              r->records, head->at.n);
    else if (has_hash && strcmp(hash_at_head, head->at.hash) != 0)
        judge(r, SL_AUDIT_EDITED, head->at.n,
              "record %" PRIu64
              " is not the one that was written: the log was replaced up to there",
              head->at.n);
}

static void walk(struct audit_lines *l, const struct audit_head *head, struct sl_audit_report *r)
{
    struct audit_point at = { 0 };
    struct sl_bytes line;
    char hash_at_head[AUDIT_HASH_HEX + 1] = "";
    enum audit_got got;
    memcpy(at.hash, AUDIT_ZERO, sizeof(at.hash));
    while ((got = audit_lines_next(l, &line)) == AUDIT_GOT_LINE) {
        if (!check_line(l, line, &at, r))
            break;
        r->records = at.n;
        if (head && at.n == head->at.n)
            memcpy(hash_at_head, at.hash, sizeof(hash_at_head));
    }
    memcpy(r->head, at.hash, sizeof(r->head));
    if (r->rc != SL_OK)
        return;
    if (got == AUDIT_GOT_ERROR)
        judge(r, SL_IO, at.n + 1, "the log cannot be read behind record %" PRIu64, at.n);
    else if (got == AUDIT_GOT_TORN && !(head && head->at.n > at.n))
        judge(r, SL_AUDIT_TORN, at.n + 1,
              "the last line (line %" PRIu64
              ") is incomplete; the daemon repairs it when it starts",
              l->line);
    else if (head)
        check_head(head, hash_at_head[0] != '\0', hash_at_head, r);
}

/* Is the log being written? Asks for the writer's lock without taking it. */
static bool has_writer(const struct audit_lines *l)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    return fcntl(fileno(l->f), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* *again: what is wrong may be a write that was under way. */
static enum sl_rc verify_once(const char *dir, struct sl_audit_report *r, bool *again,
                              struct sl_err *err)
{
    struct audit_lines l;
    struct audit_head head = { 0 };
    struct sl_err head_err = { 0 };
    *r = (struct sl_audit_report){ .rc = SL_OK };
    /* The head first: the log may grow meanwhile, but never falls behind a head read before it. */
    enum sl_rc head_rc = audit_head_load(&head, dir, &head_err);
    enum sl_rc rc = open_lines(&l, dir, err);
    if (rc == SL_NOT_FOUND && head_rc == SL_OK && head.at.n > 0) {
        judge(r, SL_AUDIT_MISSING, 1, "the log is gone; %" PRIu64 " records were durable",
              head.at.n);
        return SL_OK;
    }
    if (rc != SL_OK)
        return rc;
    walk(&l, head_rc == SL_OK ? &head : NULL, r);
    *again = (r->rc == SL_AUDIT_TORN || head_rc == SL_AUDIT_EDITED) && has_writer(&l);
    audit_lines_close(&l);
    if (r->rc == SL_OK && head_rc == SL_NOT_FOUND && r->records)
        judge(r, SL_AUDIT_MISSING, r->records,
              "%s, which tells how long the log was, is missing; its end may have been cut off",
              AUDIT_HEAD);
    else if (r->rc == SL_OK && head_rc != SL_OK && head_rc != SL_NOT_FOUND)
        judge(r, head_rc, r->records, "%s", sl_err_text(&head_err));
    return SL_OK;
}

enum sl_rc sl_audit_verify(const char *dir, struct sl_audit_report *report, struct sl_err *err)
{
    /* A line or the head may be seen half written by the running daemon: look again. */
    for (int tries = 0;; tries++) {
        bool again = false;
        SL_TRY(verify_once(dir, report, &again, err));
        if (!again || tries == 3)
            return SL_OK;
        nanosleep(&(struct timespec){ .tv_nsec = 5 * SL_NS_PER_MS }, NULL);
    }
}

enum sl_rc sl_audit_each(const char *dir, uint64_t from,
                         bool (*each)(void *ctx, uint64_t number, const json_t *record,
                                      struct sl_bytes line),
                         void *ctx, struct sl_err *err)
{
    struct audit_lines l;
    SL_TRY(open_lines(&l, dir, err));
    struct sl_bytes line;
    enum audit_got got;
    uint64_t unreadable = 0, first = 0;
    bool more = true;
    while (more && (got = audit_lines_next(&l, &line)) == AUDIT_GOT_LINE) {
        struct audit_point at;
        char prev[AUDIT_HASH_HEX + 1];
        json_t *record = NULL;
        if (audit_line_read(line, &at, prev, &record, NULL) != SL_OK) {
            first = unreadable++ ? first : l.line;
            continue;
        }
        if (at.n >= from)
            more = each(ctx, at.n, record, line);
        json_decref(record);
    }
    audit_lines_close(&l);
    if (more && got == AUDIT_GOT_ERROR)
        return SL_FAIL(err, SL_IO, "%s/%s: cannot be read", dir, AUDIT_LOG);
    if (more && unreadable)
        return SL_FAIL(err, SL_AUDIT_EDITED,
                       "%s/%s: %" PRIu64 " lines are no records, the first is line %" PRIu64
                       "; sealane audit verify tells more",
                       dir, AUDIT_LOG, unreadable, first);
    return SL_OK;
}
