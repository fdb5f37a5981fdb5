/*
 * The audit log: one JSON object a line (JSONL), numbered from 1, each carrying the SHA-256 of the
 * line before it, so that an edit, a removal, an insertion or a change of order shows.
 *
 *   {"n":7,"prev":"<64 hex>","t":"2026-11-23T17:20:30.123456Z","kind":"decision",...,"hash":"<64 hex>"}
 *
 * hash is the SHA-256 of the line's bytes before ,"hash": followed by the closing brace, that is, of
 * the line without its hash; prev is the hash of the line before, 64 zeros in the first. A record is
 * durable (fdatasync) before its append is acknowledged; several appends share one sync (group
 * commit). dir/head, written after each sync, remembers how long the log was, so that a cut tail is
 * found as AUDIT_MISSING; a log that lost records goes on behind the gap, which stays visible.
 *
 * Kinds "repair" and "checkpoint" are reserved: the first is written here, the second is the place
 * of signed checkpoints.
 */
#ifndef SEALANE_AUDIT_H
#define SEALANE_AUDIT_H

#include "sealane/err.h"
#include "sealane/time.h"

#include <jansson.h>

struct sl_audit; /* a log being written; one thread */

/*
 * Opens dir/audit.jsonl (made when absent, as dir is), checks its tail, and repairs a torn last line
 * by moving it to dir/torn-<time> and appending a record of kind "repair" that says so.
 * SL_EXISTS: another process has it open.
 */
SL_MUST_USE enum sl_rc sl_audit_open(struct sl_audit **out, const char *dir, struct sl_err *err);
void sl_audit_close(struct sl_audit *a);
/*
 * Queues a record; body is a JSON object of the caller's fields (borrowed), kind its first word:
 * 1 to 32 of a-z 0-9 . and -, as "decision", "sa", "ca.issue".
 * *number is its place. Durable only after sl_audit_sync. SL_USAGE, SL_TOO_LARGE, SL_AUDIT_WRITE (too
 * much is queued because syncs fail).
 */
SL_MUST_USE enum sl_rc sl_audit_append(struct sl_audit *a, const char *kind, const json_t *body,
                                       int64_t utc_ns, uint64_t *number, struct sl_err *err);
/* Writes what is queued and makes it durable. On failure (SL_AUDIT_WRITE) all of it stays queued. */
SL_MUST_USE enum sl_rc sl_audit_sync(struct sl_audit *a, struct sl_err *err);
bool sl_audit_dirty(const struct sl_audit *a); /* something is queued and not yet durable */

/* ---- reading, without a running daemon ---------------------------------------------------------- */
struct sl_audit_report {
    uint64_t records;
    uint64_t bad;  /* number or, where unreadable, line of the first bad record; 0: good */
    enum sl_rc rc; /* SL_OK, AUDIT_EDITED, AUDIT_MISSING, AUDIT_ORDER, AUDIT_TORN, IO */
    char text[SL_ERR_TEXT_MAX];
    char head[65]; /* hash of the last good record, hex */
};
/*
 * Walks the whole log, also while it is being written; returns SL_OK also when the log is bad (see
 * report.rc). SL_NOT_FOUND: there is no log in dir.
 */
SL_MUST_USE enum sl_rc sl_audit_verify(const char *dir, struct sl_audit_report *report,
                                       struct sl_err *err);
/*
 * Calls each in order from record `from` while it returns true; json borrowed, line without newline.
 * Lines that are no record are left out; SL_AUDIT_EDITED at the end when there were any.
 */
SL_MUST_USE enum sl_rc sl_audit_each(const char *dir, uint64_t from,
                                     bool (*each)(void *ctx, uint64_t number, const json_t *record,
                                                  struct sl_bytes line),
                                     void *ctx, struct sl_err *err);

#endif
