/*
 * Secrets: keys, shared secrets and passwords live in locked memory left out of core dumps, are
 * wiped when cleared, are compared in constant time and have no printing function.
 */
#ifndef SEALANE_SECRET_H
#define SEALANE_SECRET_H

#include "sealane/bytes.h"
#include "sealane/err.h"

#define SL_SECRET_MAX 65536

/* {0} is empty. */
struct sl_secret {
    uint8_t *p;
    size_t len;
    size_t mapped; /* bytes of pages of its own, for large ones; else 0 */
};

/* Once per process, before threads: secure heap, no core dumps, not ptrace-able by its own user. */
SL_MUST_USE enum sl_rc sl_secret_process_init(struct sl_err *err);

/* len zero bytes. 1..SL_SECRET_MAX, else SL_TOO_LARGE. *s must be empty. */
SL_MUST_USE enum sl_rc sl_secret_init(struct sl_secret *s, size_t len, struct sl_err *err);
/* A copy of v; the caller wipes its own. */
SL_MUST_USE enum sl_rc sl_secret_copy(struct sl_secret *s, struct sl_bytes v, struct sl_err *err);
void sl_secret_clear(struct sl_secret *s);
/* Moves ownership; *from is empty afterwards, what *to held is wiped. */
void sl_secret_move(struct sl_secret *to, struct sl_secret *from);
bool sl_secret_equal(const struct sl_secret *a, const struct sl_secret *b);
void sl_wipe(void *p, size_t len); /* never optimised away */

static inline struct sl_bytes sl_secret_bytes(const struct sl_secret *s)
{
    return sl_bytes(s->p, s->len);
}
static inline void sl_secret_auto_(struct sl_secret *s)
{
    sl_secret_clear(s);
}
#define SL_AUTO_SECRET __attribute__((cleanup(sl_secret_auto_))) struct sl_secret

#endif
