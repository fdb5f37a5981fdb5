/*
 * Address pools: who has which address inside the tunnel, and for how long it stays theirs. A core: it
 * does no I/O and reads no clock; what must be kept over a restart is told to a callback.
 *
 * One identity has one address of a family in a pool: it gets the same again while its lease is
 * kept (pool.lease after its last IKE SA ended), and a second IKE SA of the same identity shares it. No
 * address is ever with two identities, whatever pools overlap. Taking and giving back do not depend
 * on the size of a pool. One thread.
 */
#ifndef SEALANE_POOL_H
#define SEALANE_POOL_H

#include "sealane/config.h"

#define SL_POOL_LEASES_MAX (1U << 20) /* of all pools together, those kept for later included */

struct sl_pools;

struct sl_lease {         /* views borrowed for the length of the call */
    uint64_t number;      /* names it for `sealane pool release` */
    const char *pool;     /* "" : granted by a rule as a fixed address */
    const char *identity; /* as sl_id_text, lower case where case does not count */
    struct sl_addr addr;
    bool fixed;               /* static, or granted by a rule */
    unsigned users;           /* IKE SAs */
    int64_t since_s, ended_s; /* UTC; ended 0: in use, or never used */
    int64_t until_s;          /* kept for the identity until then; 0: in use, or fixed */
};
/* A lease is new or changed, or it is gone. */
typedef void sl_lease_fn(void *ctx, const struct sl_lease *lease, bool gone);

/* config and ctx outlive it; fn may be NULL. */
SL_MUST_USE enum sl_rc sl_pools_new(struct sl_pools **out, const struct sl_config *config,
                                    sl_lease_fn *fn, void *ctx, struct sl_err *err);
void sl_pools_free(struct sl_pools *p);
SL_AUTO_DEFINE(sl_pools)

/*
 * A lease of before, in the order of their ends, those in use last. What the configuration no longer
 * has is told to be gone. False: no memory.
 */
SL_MUST_USE bool sl_pools_load(struct sl_pools *p, const struct sl_lease *lease, int64_t now_s);

struct sl_pool_ask {
    const struct sl_conf_connection *connection;
    const struct sl_conf_rule *rule; /* NULL: grants nothing */
    const struct sl_id *id;
    uint64_t sa;
    struct sl_addr wish[2]; /* as in struct sl_decision_ask */
    int64_t now_s;
};
/*
 * Addresses for an IKE SA, and the servers of the pools they come from. SL_ADDRESS_NONE: for none of
 * the families asked; one of two is enough. sl_pools_end gives back what was taken.
 */
SL_MUST_USE enum sl_rc sl_pools_take(struct sl_pools *p, const struct sl_pool_ask *ask,
                                     struct sl_virtual *out, struct sl_err *err);
/* An SA that holds an address since before this began (the process was restarted). */
void sl_pools_hold(struct sl_pools *p, const struct sl_id *id, uint64_t sa,
                   const struct sl_addr *addr, int64_t now_s);
void sl_pools_move(struct sl_pools *p, uint64_t from_sa, uint64_t to_sa); /* a rekey */
void sl_pools_end(struct sl_pools *p, uint64_t sa, int64_t now_s);
void sl_pools_end_all(struct sl_pools *p, int64_t now_s);
/* Forgets a lease that is kept for later. SL_NOT_FOUND; SL_EXISTS: in use, or fixed. */
SL_MUST_USE enum sl_rc sl_pools_release(struct sl_pools *p, uint64_t number, struct sl_err *err);
/* All that are in use or kept, in no order. */
void sl_pools_each(const struct sl_pools *p, void (*fn)(void *ctx, const struct sl_lease *lease),
                   void *ctx);
/* "dns:b.example": the identity's text, lower case where case does not count. */
char *sl_lease_identity(char out[SL_ID_TEXT], const struct sl_id *id);

#endif
