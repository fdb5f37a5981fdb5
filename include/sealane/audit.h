/*
 * The audit log: one JSON object a line (JSONL), numbered from 1, each carrying the SHA-256 of the
 * line before it, so that an edit, a removal, an insertion or a change of order shows.
 *
 *   {"n":7,"prev":"<64 hex>","t":"2026-11-23T17:20:30.123456Z","kind":"decision",...,"hash":"<64 hex>"}
 *
 * hash is SHA-256 over the line's bytes before ,"hash": and the closing brace; the first line's
 * prev is 64 zeros. A record is durable (fdatasync) before its append is acknowledged; several
 * appends share one sync (group commit).
 */
#ifndef SEALANE_AUDIT_H
#define SEALANE_AUDIT_H

#include "sealane/err.h"
#include "sealane/time.h"

#include <jansson.h>

struct sl_audit; /* a log being written; one thread */

/*
 * Opens dir/audit.jsonl (made when absent), checks its tail, and repairs a torn last line by moving
 * it to dir/torn-<time> and appending a record of kind "repair" that says so.
 */
SL_MUST_USE enum sl_rc sl_audit_open(struct sl_audit **out, const char *dir, struct sl_err *err);
void sl_audit_close(struct sl_audit *a);
/*
 * Queues a record; body is a JSON object of the caller's fields (borrowed), kind its first word.
 * *number is its place. Durable only after sl_audit_sync.
 */
SL_MUST_USE enum sl_rc sl_audit_append(struct sl_audit *a, const char *kind, const json_t *body,
                                       int64_t utc_ns, uint64_t *number, struct sl_err *err);
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
/* Walks the whole log; returns SL_OK also when the log is bad (see report.rc). */
SL_MUST_USE enum sl_rc sl_audit_verify(const char *dir, struct sl_audit_report *report,
                                       struct sl_err *err);
/* Calls each in order from record `from` while it returns true; json borrowed, line without newline. */
SL_MUST_USE enum sl_rc sl_audit_each(const char *dir, uint64_t from,
                                     bool (*each)(void *ctx, uint64_t number, const json_t *record,
                                                  struct sl_bytes line),
                                     void *ctx, struct sl_err *err);

#endif
