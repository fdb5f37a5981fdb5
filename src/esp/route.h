/*
 * Which prefixes of addresses lead into the tunnel for a child: those of the peer's selectors, whose
 * ranges need not be prefixes.
 */
#ifndef SL_ESP_ROUTE_H
#define SL_ESP_ROUTE_H

#include "sealane/config.h"

/* The prefixes that make up a range, in order. */
struct esp_range {
    uint8_t family;
    bool more;
    unsigned __int128 first, last; /* addresses as numbers; what is still to come */
};
/* first and last are of one family, first not above last. */
void esp_range_init(struct esp_range *r, const struct sl_addr *first, const struct sl_addr *last);
/* The next: the largest that starts where the last one ended; at most 62 (IPv4), 254 (IPv6). */
SL_MUST_USE bool esp_range_next(struct esp_range *r, struct sl_prefix *out);

/*
 * Calls on for each prefix that a child's remote selector leads into the tunnel: all of it but what
 * shunts bypass whatever the protocol, for all of the child's local_ts. Those addresses keep their
 * ordinary routes, which is what bypassing means here: nothing that is bypassed enters the tunnel.
 */
void esp_routes(const struct sl_ts *remote, const struct sl_ts *local, size_t local_n,
                const struct sl_conf_shunt *shunts, size_t shunt_n,
                void (*on)(void *ctx, const struct sl_prefix *p), void *ctx);

#endif
