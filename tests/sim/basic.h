/*
 * What simulations of two gateways say often: the world w, its beginning, what a command came to, which
 * messages went by, and ESP packets both ways of which none may be lost.
 */
#ifndef SL_TESTS_SIM_BASIC_H
#define SL_TESTS_SIM_BASIC_H

#include "sim/world.h"
#include "support/support.h"

static struct world w;

#define ARROWS(...)                                              \
    do {                                                         \
        const char *const want_[] = { __VA_ARGS__ };             \
        ck_assert(world_arrows(&w, want_, SL_ARRAY_LEN(want_))); \
    } while (0)
#define AGREED()                                      \
    do {                                              \
        const char *differs_ = sim_agree(&w.a, &w.b); \
        ck_assert_msg(!differs_, "%s", differs_);     \
    } while (0)

static inline void begin(const struct world_side *a, const struct world_side *b)
{
    world_init(&w, 1, NULL, a, b, false, NULL);
}

static inline const struct sim_done *result(const struct sim_gw *gw, uint64_t id)
{
    const struct sim_done *d = sim_gw_done(gw, id);
    ck_assert_msg(d != NULL, "command has not ended");
    return d;
}

/* The connection's peer is elsewhere; family 0: anywhere. */
static inline void peer_at(struct sim_gw *gw, const struct sl_addr *addr)
{
    struct sl_err err = { 0 };
    gw->config->connection[0].remote.addr = *addr;
    ck_ok(sl_ike_config(gw->ike, gw->config, &err), &err);
    sim_gw_pump(gw);
}

static bool traffic_on;
static inline void traffic(void *ctx, void *arg)
{
    (void)arg;
    (void)ctx;
    if (!traffic_on)
        return;
    (void)sim_esp_send(&w.a, &w.b, sim_between(&w.sim, SL_NS_PER_MS, 20 * SL_NS_PER_MS));
    (void)sim_esp_send(&w.b, &w.a, sim_between(&w.sim, SL_NS_PER_MS, 20 * SL_NS_PER_MS));
    sim_after(&w.sim, SL_NS_PER_MS, traffic, NULL, &w, NULL);
}

static inline void begin_traffic(void)
{
    traffic_on = true;
    sim_after(&w.sim, 0, traffic, NULL, &w, NULL);
}

static inline void no_packet_lost(void)
{
    traffic_on = false;
    world_run(&w, 10000);
    ck_assert_uint_gt(w.a.esp_received, 100);
    ck_assert_uint_gt(w.b.esp_received, 100);
    ck_assert_uint_eq(w.a.esp_lost, 0);
    ck_assert_uint_eq(w.b.esp_lost, 0);
}

#endif
