/*
 * Shared by the audit log's writer and readers: the form of a line, the kept head, reading line by
 * line.
 */
#ifndef SRC_AUDIT_IMPL_H
#define SRC_AUDIT_IMPL_H

#include "sealane/audit.h"

#include <stdio.h>

#define AUDIT_LOG  "audit.jsonl"
#define AUDIT_HEAD "head"

#define AUDIT_LINE_MAX   ((size_t)256 << 10)
#define AUDIT_HASH_HEX   64
#define AUDIT_NUMBER_MAX 99999999999999999LL /* 17 digits, as in the head */
#define AUDIT_ZERO       "0000000000000000000000000000000000000000000000000000000000000000"

/* Where the chain stands after a record: its number and hash. */
struct audit_point {
    uint64_t n; /* 0: nothing yet, hash is zeros */
    char hash[AUDIT_HASH_HEX + 1];
};

/* ---- lines (record.c) ------------------------------------------------------------------------------- */
/*
 * Appends the line of the record after *at, with its newline, to out and moves *at onto it.
 * body may be NULL. SL_USAGE for a reserved field, SL_TOO_LARGE.
 */
SL_MUST_USE enum sl_rc audit_line_write(struct sl_buf *out, struct audit_point *at,
                                        const char *kind, const json_t *body, int64_t utc_ns,
                                        struct sl_err *err);
/*
 * Checks a line (without its newline) against itself: its form and its hash. *record is the caller's
 * to release. SL_AUDIT_EDITED.
 */
SL_MUST_USE enum sl_rc audit_line_read(struct sl_bytes line, struct audit_point *at,
                                       char prev[AUDIT_HASH_HEX + 1], json_t **record,
                                       struct sl_err *err);

/* ---- the head (record.c): how far the log had come when it was last made durable ------------------- */
#define AUDIT_HEAD_LEN 166
struct audit_head {
    struct audit_point at;
    uint64_t size; /* bytes of the log */
};
void audit_head_write(char out[AUDIT_HEAD_LEN + 1], const struct audit_head *h);
bool audit_head_read(struct audit_head *h, struct sl_bytes text);
/* SL_NOT_FOUND: no file; SL_AUDIT_EDITED: not a head; SL_IO. */
SL_MUST_USE enum sl_rc audit_head_load(struct audit_head *h, const char *dir, struct sl_err *err);

/* ---- reading line by line (lines.c) ------------------------------------------------------------------ */
struct audit_lines {
    FILE *f;
    char *buf;
    size_t cap;
    uint64_t line;   /* number of the last line, from 1 */
    uint64_t offset; /* of its first byte */
    uint64_t next;   /* of the byte after it */
};
enum audit_got { AUDIT_GOT_LINE, AUDIT_GOT_TORN, AUDIT_GOT_END, AUDIT_GOT_ERROR };
/* Takes fd; reads from its start. */
SL_MUST_USE enum sl_rc audit_lines_open(struct audit_lines *l, int fd, struct sl_err *err);
void audit_lines_close(struct audit_lines *l);
/* The next line without its newline; TORN: the file ends before one (what is there is in *line). */
enum audit_got audit_lines_next(struct audit_lines *l, struct sl_bytes *line);

#endif
