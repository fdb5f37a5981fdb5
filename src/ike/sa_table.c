/* See sa_table.h. */
#include "src/ike/sa_table.h"

#include "sealane/crypto.h"

#include <stdlib.h>
#include <string.h>

bool ike_tables_init(struct ike_table_set *t, const struct sl_rng *rng)
{
    *t = (struct ike_table_set){ 0 };
    sl_rng_fill(rng, t->secret, sizeof(t->secret));
    if (ike_map_init(&t->by_id) && ike_map_init(&t->by_spi) && ike_map_init(&t->by_init) &&
        ike_map_init(&t->by_peer[0]) && ike_map_init(&t->by_peer[1]) &&
        ike_map_init(&t->children) && ike_map_init(&t->spis) && ike_map_init(&t->questions) &&
        ike_map_init(&t->sources))
        return true;
    ike_tables_clear(t);
    return false;
}

void ike_tables_clear(struct ike_table_set *t)
{
    ike_map_clear(&t->by_id);
    ike_map_clear(&t->by_spi);
    ike_map_clear(&t->by_init);
    ike_map_clear(&t->by_peer[0]);
    ike_map_clear(&t->by_peer[1]);
    ike_map_clear(&t->children);
    ike_map_clear(&t->spis);
    ike_map_clear(&t->questions);
    ike_map_clear(&t->sources);
    ike_heap_clear(&t->timers);
    ike_heap_clear(&t->conn_timers);
}

uint64_t ike_spi_key(const uint8_t spi[8])
{
    struct sl_rd r = sl_rd(sl_bytes(spi, 8));
    return sl_rd_u64(&r);
}

void ike_init_digest(const struct ike_table_set *t, const struct sl_endpoint *from,
                     struct sl_bytes message, uint8_t out[32])
{
    /* Two rounds, so that the message is hashed where it lies. */
    uint8_t head[sizeof(t->secret) + sizeof(from->addr.b) + 3 + 32];
    struct sl_wr w = sl_wr_fixed(head, sizeof(head));
    sl_wr_put(&w, sl_bytes(t->secret, sizeof(t->secret)));
    sl_wr_u8(&w, from->addr.family);
    sl_wr_put(&w, sl_bytes(from->addr.b, sizeof(from->addr.b)));
    sl_wr_u16(&w, from->port);
    uint8_t digest[32];
    sl_sha2(256, message, digest);
    sl_wr_put(&w, sl_bytes(digest, sizeof(digest)));
    sl_sha2(256, sl_bytes(head, sl_wr_len(&w)), out);
}

uint64_t ike_digest_key(const uint8_t digest[32])
{
    return ike_spi_key(digest);
}

uint64_t ike_peer_key(const struct ike_table_set *t, const struct sl_id *id)
{
    uint8_t text[sizeof(t->secret) + 1 + SL_ID_MAX];
    uint8_t digest[32];
    struct sl_wr w = sl_wr_fixed(text, sizeof(text));
    sl_wr_put(&w, sl_bytes(t->secret, sizeof(t->secret)));
    sl_wr_u8(&w, (uint8_t)id->type);
    for (size_t i = 0; i < id->len; i++) {
        const uint8_t c = id->data[i];
        sl_wr_u8(&w, c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    sl_sha2(256, sl_bytes(text, sl_wr_len(&w)), digest);
    return ike_spi_key(digest);
}

static uint64_t source_key(const struct ike_table_set *t, const struct sl_addr *addr)
{
    uint8_t text[sizeof(t->secret) + 1 + sizeof(addr->b)];
    uint8_t digest[32];
    struct sl_wr w = sl_wr_fixed(text, sizeof(text));
    sl_wr_put(&w, sl_bytes(t->secret, sizeof(t->secret)));
    sl_wr_u8(&w, addr->family);
    sl_wr_put(&w, sl_bytes(addr->b, sizeof(addr->b)));
    sl_sha2(256, sl_bytes(text, sl_wr_len(&w)), digest);
    return ike_spi_key(digest);
}

static struct ike_source *source_find(const struct ike_table_set *t, const struct sl_addr *addr)
{
    struct ike_map_node *n = ike_map_get(&t->sources, source_key(t, addr));
    for (; n; n = ike_map_next(n)) {
        struct ike_source *s = IKE_OF(n, struct ike_source, node);
        if (sl_addr_eq(&s->addr, addr))
            return s;
    }
    return NULL;
}

unsigned ike_source_half_open(const struct ike_table_set *t, const struct sl_addr *addr)
{
    const struct ike_source *s = source_find(t, addr);
    return s ? s->half_open : 0;
}

struct ike_source *ike_source_add(struct ike_table_set *t, const struct sl_addr *addr)
{
    struct ike_source *s = source_find(t, addr);
    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s)
            return NULL;
        s->addr = *addr;
        ike_map_put(&t->sources, &s->node, source_key(t, addr));
    }
    s->half_open++;
    return s;
}

void ike_source_del(struct ike_table_set *t, struct ike_source *s)
{
    if (--s->half_open)
        return;
    ike_map_del(&t->sources, &s->node);
    free(s);
}
