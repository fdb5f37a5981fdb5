/*
 * Two gateways, a at 192.0.2.1 and b at 192.0.2.2, and the network between them: what most
 * simulations of IKE begin with. The exchange of messages is written down as arrows, a on the left.
 */
#ifndef SL_TESTS_SIM_WORLD_H
#define SL_TESTS_SIM_WORLD_H

#include "sim/gw.h"

#define WORLD_A    "192.0.2.1"
#define WORLD_B    "192.0.2.2"
#define ARROWS_MAX 256

struct world {
    struct sim sim;
    struct sim_net net;
    struct sim_gw a, b;
    char arrow[ARROWS_MAX][48]; /* "IKE_AUTH 1 -->", "<-- IKE_AUTH 1 (response)" */
    size_t arrows;
    unsigned drop_from_a, drop_from_b;                /* the next so many datagrams are lost */
    bool (*spoil)(void *ctx, struct sim_datagram *d); /* a test's own look; false: lost */
    void *spoil_ctx;
};

/*
 * Lines for the connection and the child of one side; "" for the defaults. "local = " or "remote = "
 * in the connection's stands for the usual address.
 */
struct world_side {
    const char *ike, *connection, *child;
};
/* Selectors of a side's child and further sections, for the next world_init; NULL: the usual. */
struct world_ts {
    const char *local, *remote, *sections;
};
extern const struct world_ts *world_ts_a, *world_ts_b;
/* psk: else certificates of alg ("ed25519" when NULL). weather NULL: fair. */
void world_init(struct world *w, uint64_t seed, const struct sim_weather *weather,
                const struct world_side *a, const struct world_side *b, bool psk, const char *alg);
void world_clear(struct world *w);
void world_run(struct world *w, int64_t ms); /* lets so much time pass */
bool world_until(struct world *w, bool (*good)(struct world *w),
                 int64_t ms); /* or until it is good */
void world_forget_arrows(struct world *w);
/* Whether the messages since then were these, in order; prints both when not. */
bool world_arrows(const struct world *w, const char *const *want, size_t n);
bool world_connected(struct world *w); /* one IKE SA and one child on both sides, agreed */
unsigned world_count(const struct world *w, const char *arrow);

/* Brings the connection up from a; asserts success and clears the arrows. */
void world_up(struct world *w);

#endif
