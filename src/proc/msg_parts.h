/*
 * What messages are made of: texts, addresses, selectors, identities, grants. Readers and writers, for
 * msg.c alone; a reader that finds what cannot be fails *r.
 */
#ifndef SL_PROC_MSG_PARTS_H
#define SL_PROC_MSG_PARTS_H

#include "src/proc/msg.h"

void wr_text(struct sl_wr *w, const char *s);
void rd_text(struct sl_rd *r, char *out, size_t cap);
bool rd_bool(struct sl_rd *r);
size_t rd_count(struct sl_rd *r, size_t max);
void wr_rc(struct sl_wr *w, enum sl_rc rc);
enum sl_rc rd_rc(struct sl_rd *r);
void wr_addr(struct sl_wr *w, const struct sl_addr *a);
void rd_addr(struct sl_rd *r, struct sl_addr *a);
void rd_pair(struct sl_rd *r, struct sl_addr a[2]);
void wr_endpoint(struct sl_wr *w, const struct sl_endpoint *e);
void rd_endpoint(struct sl_rd *r, struct sl_endpoint *e);
void wr_ts_list(struct sl_wr *w, const struct sl_ts *ts, size_t n);
size_t rd_ts_list(struct sl_rd *r, struct sl_ts *ts);
void wr_id(struct sl_wr *w, const struct sl_id *id);
void rd_id(struct sl_rd *r, struct sl_id *id);
void wr_list(struct sl_wr *w, const struct sl_bytes *v, size_t n);
size_t rd_list(struct sl_rd *r, struct sl_bytes *v, size_t max);
void wr_suite(struct sl_wr *w, const struct sl_suite *s);
void rd_suite(struct sl_rd *r, struct sl_suite *s);
enum sl_sig rd_sig(struct sl_rd *r);
void wr_secret(struct sl_wr *w, const struct sl_secret *s);
void rd_secret(struct sl_rd *r, struct sl_secret *s);

#endif
