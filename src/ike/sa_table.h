/*
 * The tables of the IKE core: IKE SAs by id, by our SPI and, while half-open, by their first
 * message; children and open questions by id; SPIs of children; deadlines; and how many half-open SAs each source
 * address has.
 */
#ifndef SL_SRC_IKE_SA_TABLE_H
#define SL_SRC_IKE_SA_TABLE_H

#include "src/ike/map.h"

#include "sealane/decision.h"
#include "sealane/rng.h"

/* One source address with half-open SAs; freed with the last of them. */
struct ike_source {
    struct ike_map_node node;
    struct sl_addr addr;
    unsigned half_open;
};

struct ike_table_set {
    struct ike_map by_id, by_spi, by_init, children, spis, questions, sources;
    struct ike_map by_peer[2]; /* [began]: begun by the peer, by us */
    struct ike_heap timers, conn_timers;
    uint8_t
        secret[16]; /* keys hashes of what peers choose, so that they cannot aim at one bucket */
};
bool ike_tables_init(struct ike_table_set *t, const struct sl_rng *rng) SL_MUST_USE;
void ike_tables_clear(struct ike_table_set *t);

/* Our SPIs are random, so they are their own keys. */
uint64_t ike_spi_key(const uint8_t spi[8]);
/* Digest of a first message with its source, and the key made of it. */
void ike_init_digest(const struct ike_table_set *t, const struct sl_endpoint *from,
                     struct sl_bytes message, uint8_t out[32]);
uint64_t ike_digest_key(const uint8_t digest[32]);

/* A peer's ID as a key; letters' case does not count, as in sl_id_eq. */
uint64_t ike_peer_key(const struct ike_table_set *t, const struct sl_id *id);

unsigned ike_source_half_open(const struct ike_table_set *t, const struct sl_addr *addr);
struct ike_source *ike_source_add(struct ike_table_set *t,
                                  const struct sl_addr *addr); /* NULL: no memory */
void ike_source_del(struct ike_table_set *t, struct ike_source *s);

#endif
