/*
 * Address leases on disk, so that an identity gets its address again after a restart of the daemon:
 * a database of the identity process alone (docs/adr, "Addresses are part of the decision").
 *
 * A change that returned SL_OK outlives the process; the machine's sudden end may take the last few
 * with it, which costs a peer a new address and nothing else. One thread.
 */
#ifndef SEALANE_LEASES_H
#define SEALANE_LEASES_H

#include "sealane/pool.h"

struct sl_leases;

/* Opens the file, making it (mode 0600) when absent. Nobody else may have it open. */
SL_MUST_USE enum sl_rc sl_leases_open(struct sl_leases **out, const char *path, struct sl_err *err);
void sl_leases_free(struct sl_leases *s);
SL_AUTO_DEFINE(sl_leases)

/* By its address, replacing what was there. */
SL_MUST_USE enum sl_rc sl_leases_put(struct sl_leases *s, const struct sl_lease *lease,
                                     struct sl_err *err);
SL_MUST_USE enum sl_rc sl_leases_drop(struct sl_leases *s, const struct sl_addr *addr,
                                      struct sl_err *err);
/*
 * In the order of their ends, those in use last, as sl_pools_load wants them. fn may change the store;
 * false from fn ends it with SL_NO_MEMORY. A row that makes no sense is passed over.
 */
SL_MUST_USE enum sl_rc sl_leases_each(struct sl_leases *s,
                                      bool (*fn)(void *ctx, const struct sl_lease *lease),
                                      void *ctx, struct sl_err *err);

#endif
