/*
 * The ike role's eyes on the host's addresses: a routing socket that the supervisor opened, on which
 * this process, having no privilege, can only ask and listen.
 */
#ifndef SL_SEALANED_IKE_ADDRESSES_H
#define SL_SEALANED_IKE_ADDRESSES_H

#include "sealane/net.h"

#include <event2/event.h>

struct ike_addresses;

/*
 * Takes fd. Calls changed with the global addresses of the host, at start and each time that they or
 * a default route have changed and have been still for a moment.
 */
SL_MUST_USE enum sl_rc ike_addresses_new(
    struct ike_addresses **out, struct event_base *base, int fd,
    void (*changed)(void *ctx, const struct sl_addr *v, size_t n), void *ctx, struct sl_err *err);
void ike_addresses_free(struct ike_addresses *a);

#endif
