/* The policy for what leaves, changed bit by bit, against a search of all children. */
#include "src/esp/esp.h"
#include "support/support.h"

#include <string.h>

#define CHILDREN 60

static struct sl_rng_seeded state;
static struct sl_rng rng;
static struct sl_esp *e;
static struct { /* what was asked for */
    bool there, sends;
    uint64_t order;
    struct sl_child c;
} model[CHILDREN];
static uint64_t orders;

static unsigned below(unsigned n)
{
    return (unsigned)sl_rng_below(&rng, n);
}

/* Few different networks and lengths, so that selectors meet. */
static void selector(struct sl_ts *ts)
{
    static const uint8_t lens[] = { 0, 8, 15, 16, 17, 24, 30, 32 };
    struct sl_prefix p = { .addr = { .family = 4,
                                     .b = { 10, (uint8_t)below(3), (uint8_t)below(3),
                                            (uint8_t)below(4) } },
                           .len = lens[below(SL_ARRAY_LEN(lens))] };
    *ts = (struct sl_ts){ .end_port = 65535 };
    sl_prefix_range(&p, &ts->first, &ts->last);
    if (below(6) == 0)
        ts->last = ts->first; /* a range that starts at a prefix */
    if (below(4) == 0)
        ts->protocol = 17;
}

static void add(unsigned i)
{
    struct sl_err err = { 0 };
    static const uint8_t key[20] = { 1 };
    struct sl_child *c = &model[i].c;
    *c = (struct sl_child){ .id = i + 1,
                            .spi_in = 1000 + i,
                            .spi_out = 2000 + i,
                            .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
                            .replay_window_pkts = 64,
                            .outbound = below(4) != 0 };
    c->remote.addr = (struct sl_addr){ .family = 4, .b = { 192, 0, 2, 1 } };
    c->ts_local_n = 1 + below(3);
    c->ts_remote_n = 1 + below(3);
    for (size_t k = 0; k < c->ts_local_n; k++)
        selector(&c->ts_local[k]);
    for (size_t k = 0; k < c->ts_remote_n; k++)
        selector(&c->ts_remote[k]);
    ck_ok(sl_secret_copy(&c->encr_in, sl_bytes(key, sizeof(key)), &err), &err);
    ck_ok(sl_secret_copy(&c->encr_out, sl_bytes(key, sizeof(key)), &err), &err);
    ck_ok(sl_esp_child_add(e, c, &err), &err);
    model[i].there = true;
    model[i].sends = c->outbound;
    if (c->outbound)
        model[i].order = ++orders;
}

static void change(unsigned i)
{
    struct sl_err err = { 0 };
    if (!model[i].there) {
        add(i);
    } else if (below(3) == 0) {
        ck_ok(sl_esp_child_outbound(e, i + 1, &err), &err);
        model[i].sends = true;
        model[i].order = ++orders;
    } else {
        ck_ok(sl_esp_child_del(e, i + 1, &err), &err);
        model[i].there = false;
    }
}

/* Length of the smallest prefix that covers the selector's range. */
static unsigned cover(const struct sl_ts *ts)
{
    unsigned n = 0;
    while (n < 32 && !((ts->first.b[n / 8] ^ ts->last.b[n / 8]) & 0x80 >> n % 8))
        n++;
    return n;
}

static bool has(const struct sl_ts *ts, const uint8_t a[4], uint8_t proto)
{
    return (!ts->protocol || ts->protocol == proto) && memcmp(a, ts->first.b, 4) >= 0 &&
           memcmp(a, ts->last.b, 4) <= 0;
}

/* The id of the child that the rule names: longest remote, then local, then protocol, then newest. */
static uint64_t by_rule(const uint8_t src[4], const uint8_t dst[4], uint8_t proto)
{
    uint64_t id = 0, best[4] = { 0 };
    for (unsigned i = 0; i < CHILDREN; i++) {
        const struct sl_child *c = &model[i].c;
        for (size_t l = 0; model[i].there && model[i].sends && l < c->ts_local_n; l++)
            for (size_t r = 0; r < c->ts_remote_n; r++) {
                if (!has(&c->ts_local[l], src, proto) || !has(&c->ts_remote[r], dst, proto))
                    continue;
                const uint64_t rank[4] = { cover(&c->ts_remote[r]), cover(&c->ts_local[l]),
                                           c->ts_local[l].protocol || c->ts_remote[r].protocol,
                                           model[i].order };
                size_t k = 0;
                while (k < 3 && rank[k] == best[k])
                    k++;
                if (!id || rank[k] > best[k]) {
                    memcpy(best, rank, sizeof(best));
                    id = c->id;
                }
            }
    }
    return id;
}

static uint64_t number(const uint8_t a[4])
{
    struct sl_rd r = sl_rd(sl_bytes(a, 4));
    return sl_rd_u32(&r);
}

static uint64_t found(const uint8_t src[4], const uint8_t dst[4], uint8_t proto)
{
    struct esp_inner in = { .family = 4, .proto = proto, .first = true, .ports = true };
    in.src.lo = number(src);
    in.dst.lo = number(dst);
    const struct esp_out *o = esp_spd_find(e->spd, &in);
    return o ? o->child->id : 0;
}

static void run(uint64_t seed)
{
    struct sl_err err = { 0 };
    sl_rng_seeded_init(&state, seed);
    rng = sl_rng_seeded(&state);
    memset(model, 0, sizeof(model));
    ck_ok(sl_esp_new(&e, &(struct sl_esp_config){ 0 }, &err), &err);
    for (unsigned step = 0; step < 200; step++) {
        for (unsigned n = 1 + below(4); n; n--)
            change(below(CHILDREN));
        ck_ok(sl_esp_commit(e, &err), &err);
        for (unsigned k = 0; k < 20; k++) {
            const uint8_t src[4] = { 10, (uint8_t)below(3), (uint8_t)below(3), (uint8_t)below(4) };
            const uint8_t dst[4] = { 10, (uint8_t)below(3), (uint8_t)below(3), (uint8_t)below(4) };
            const uint8_t proto = below(2) ? 17 : 1;
            ck_assert_uint_eq(found(src, dst, proto), by_rule(src, dst, proto));
        }
    }
    sl_esp_free(e);
}

START_TEST(changes_one_by_one_lead_to_what_a_search_of_all_finds)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        run(seed);
}
END_TEST

SL_TESTS(esp_spd, SL_CASE(changes_one_by_one_lead_to_what_a_search_of_all_finds))
