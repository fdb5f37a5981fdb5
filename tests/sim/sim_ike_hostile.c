/*
 * A peer that has authenticated and then sends whatever it likes: well-protected messages with
 * made-up, mangled and misplaced payloads, as requests and as responses to what we asked, while we
 * rekey, delete and check. The gateway must stay whole: no crash (run it under the sanitizers), SAs
 * within their limits, a datapath that matches, and nothing left when it is over.
 *
 *   SL_SIM_RUNS   how many peers (default 300); SL_SEED=n only that one
 */
#include "sim/world.h"
#include "src/ike/core.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGES 60

static struct world w;

static uint64_t below(uint64_t n)
{
    return sl_rng_below(&w.sim.rng, n);
}

/* ---- messages ---------------------------------------------------------------------------------- */

static struct sl_bytes noise(size_t max)
{
    static uint8_t bytes[512];
    const size_t len = below(max + 1);
    sl_rng_fill(&w.sim.rng, bytes, len);
    return sl_bytes(bytes, len);
}

/* A child of the gateway to speak about: its SPI as the peer knows it, or one of nobody. */
static uint32_t some_spi(const struct ike_isa *sa)
{
    const struct ike_child *c = sa->children;
    for (uint64_t i = below(4); c && i > 0; i--)
        c = c->next;
    return c && below(8) ? c->spi_out : (uint32_t)sl_rng_u64(&w.sim.rng);
}

static void put_sa(struct ike_wr *c)
{
    const struct sl_config *config = w.b.config;
    const struct sl_conf_child *child = &config->connection[0].child[0];
    uint8_t spi[8];
    sl_rng_fill(&w.sim.rng, spi, sizeof(spi));
    if (below(4) == 0)
        ike_wr_payload(c, IKE_P_SA, false, noise(80));
    else if (below(3))
        ike_put_sa_esp(c, child->esp, child->esp_n, sl_bytes(spi, 4), below(2), below(2));
    else
        ike_put_sa_ike(c, config->connection[0].ike, config->connection[0].ike_n,
                       sl_bytes(spi, below(4) ? 8 : 0));
}

static void put_one(struct ike_wr *c, const struct ike_isa *sa)
{
    static const uint8_t types[] = { IKE_P_SA,      IKE_P_KE,   IKE_P_IDi,   IKE_P_IDr, IKE_P_CERT,
                                     IKE_P_CERTREQ, IKE_P_AUTH, IKE_P_NONCE, IKE_P_N,   IKE_P_D,
                                     IKE_P_V,       IKE_P_TSi,  IKE_P_TSr,   IKE_P_SK,  IKE_P_CP,
                                     IKE_P_EAP,     IKE_P_SKF,  200 };
    static const uint16_t notifies[] = {
        IKE_N_REKEY_SA,           IKE_N_TEMPORARY_FAILURE,     IKE_N_CHILD_SA_NOT_FOUND,
        IKE_N_INVALID_KE_PAYLOAD, IKE_N_AUTHENTICATION_FAILED, IKE_N_NO_PROPOSAL_CHOSEN,
        IKE_N_INITIAL_CONTACT,    IKE_N_INVALID_SYNTAX,        IKE_N_COOKIE,
        IKE_N_NO_ADDITIONAL_SAS
    };
    const struct sl_conf_child *child = &w.b.config->connection[0].child[0];
    uint32_t spi = some_spi(sa);
    const uint8_t wire[4] = { (uint8_t)(spi >> 24), (uint8_t)(spi >> 16), (uint8_t)(spi >> 8),
                              (uint8_t)spi };
    switch (below(11)) {
    case 0:
    case 1:
        put_sa(c);
        break;
    case 2:
        ike_put_nonce(c, sl_bytes(noise(0).p, 0));
        break;
    case 3: {
        uint8_t nonce[32];
        sl_rng_fill(&w.sim.rng, nonce, sizeof(nonce));
        ike_put_nonce(c, sl_bytes(nonce, sizeof(nonce)));
        break;
    }
    case 4:
        ike_put_ke(c, (uint16_t)(below(3) ? SL_KE_CURVE25519 : below(40)), noise(40));
        break;
    case 5:
        ike_put_ts(c, IKE_P_TSi, child->remote_ts, child->remote_ts_n);
        ike_put_ts(c, IKE_P_TSr, child->local_ts, child->local_ts_n);
        break;
    case 6:
        ike_put_notify_spi(c, IKE_N_REKEY_SA, IKE_PROTO_ESP, sl_bytes(wire, 4), sl_bytes(NULL, 0));
        break;
    case 7:
        ike_put_notify(c, notifies[below(SL_ARRAY_LEN(notifies))], noise(6));
        break;
    case 8:
        if (below(12) == 0)
            ike_put_delete_ike(c);
        else
            ike_put_delete_esp(c, &spi, 1);
        break;
    default:
        ike_wr_payload(c, types[below(SL_ARRAY_LEN(types))], below(16) == 0, noise(64));
        break;
    }
}

/* What an honest peer would send, so that mangling it reaches further. */
static void put_honest(struct ike_wr *c, const struct ike_isa *sa)
{
    const struct sl_conf_child *child = &w.b.config->connection[0].child[0];
    const uint32_t spi = some_spi(sa);
    const uint8_t wire[4] = { (uint8_t)(spi >> 24), (uint8_t)(spi >> 16), (uint8_t)(spi >> 8),
                              (uint8_t)spi };
    uint8_t ours[8], nonce[32], value[32];
    sl_rng_fill(&w.sim.rng, ours, sizeof(ours));
    sl_rng_fill(&w.sim.rng, nonce, sizeof(nonce));
    sl_rng_fill(&w.sim.rng, value, sizeof(value));
    ours[0] |= 1;
    if (below(2))
        ike_put_notify_spi(c, IKE_N_REKEY_SA, IKE_PROTO_ESP, sl_bytes(wire, 4), sl_bytes(NULL, 0));
    const bool ike = below(3) == 0;
    if (ike)
        ike_put_sa_ike(c, w.b.config->connection[0].ike, 1, sl_bytes(ours, 8));
    else
        ike_put_sa_esp(c, child->esp, 1, sl_bytes(ours, 4), true, below(2));
    ike_put_nonce(c, sl_bytes(nonce, sizeof(nonce)));
    if (ike || below(4))
        ike_put_ke(c, SL_KE_CURVE25519, sl_bytes(value, sizeof(value)));
    if (!ike) {
        ike_put_ts(c, IKE_P_TSi, child->remote_ts, child->remote_ts_n);
        ike_put_ts(c, IKE_P_TSr, child->local_ts, child->local_ts_n);
    }
}

static void mangle(struct sl_buf *b)
{
    for (uint64_t i = below(4); i > 0 && b->len; i--)
        b->p[below(b->len)] = (uint8_t)sl_rng_u64(&w.sim.rng);
    if (below(4) == 0 && b->len)
        b->len = below(b->len + 1);
}

/* One message of the peer on an SA of the gateway, protected as it should be. */
static void send_hostile(struct ike_isa *sa)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    if (below(3) == 0)
        put_honest(&c, sa);
    else
        for (uint64_t i = below(6); i > 0; i--)
            put_one(&c, sa);
    if (!ike_wr_end(&c))
        return;
    if (below(3) == 0)
        mangle(&chain);
    const bool response = sa->win.tx_waiting && below(2);
    static const uint8_t types[] = { IKE_CREATE_CHILD_SA, IKE_CREATE_CHILD_SA, IKE_INFORMATIONAL,
                                     IKE_AUTH, 77 };
    struct ike_hdr h = { .version = IKE_VERSION_2, .exchange = types[below(SL_ARRAY_LEN(types))] };
    h.flags =
        (uint8_t)((sa->initiator ? 0 : IKE_FLAG_INITIATOR) | (response ? IKE_FLAG_RESPONSE : 0));
    h.id = response ? sa->win.tx_next - 1 : sa->win.rx_next;
    memcpy(h.spi_i, sa->spi_i, sizeof(h.spi_i));
    memcpy(h.spi_r, sa->spi_r, sizeof(h.spi_r));
    struct ike_sk sk = { 0 };
    ck_ok(ike_sk_init(&sk, &sa->suite, true, sa->initiator ? &sa->keys.er : &sa->keys.ei,
                      sa->initiator ? &sa->keys.ar : &sa->keys.ai, &err),
          &err);
    struct ike_datagrams d = { 0 };
    const uint8_t first = below(20) ? c.first : (uint8_t)below(60);
    ck_ok(ike_sk_seal(&d, &sk, &h, first, sl_buf_bytes(&chain), 0, 4, false, &w.sim.rng, &err),
          &err);
    const struct sl_endpoint local = sa->local, remote = sa->remote;
    sl_ike_packet(w.b.ike, w.sim.now_ns, &local, &remote, ike_datagram_get(&d, 0));
    sim_gw_pump(&w.b);
    ike_datagrams_clear(&d);
    ike_sk_clear(&sk);
}

/* ---- runs -------------------------------------------------------------------------------------- */

static enum sim_tap silence(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    (void)d;
    return SIM_DROP;
}

static struct ike_isa *some_sa(void)
{
    struct ike_isa *found = NULL;
    uint64_t seen = 0;
    for (struct ike_isa *sa = w.b.ike->sas; sa; sa = sa->next)
        if (sa->rx.cipher && below(++seen) == 0)
            found = sa;
    return found;
}

static size_t datapath_size(void)
{
    size_t n = 0;
    for (const struct sim_sa *sa = w.b.sas; sa; sa = sa->next)
        n++;
    return n;
}

static void one_peer(uint64_t seed)
{
    static const struct world_side plain = { "", "", "" };
    world_init(&w, seed, NULL, &plain, &plain, true, NULL);
    world_up(&w);
    w.net.tap = silence; /* from here on a is only what we pretend */
    for (int i = 0; i < MESSAGES; i++) {
        struct ike_isa *sa = some_sa();
        if (!sa)
            break;
        switch (below(8)) {
        case 0:
            (void)sim_gw_rekey(&w.b, "ab", NULL, below(2));
            break;
        case 1:
            world_run(&w, (int64_t)below(3000));
            break;
        case 2:
            if (below(8) == 0)
                (void)sim_gw_down(&w.b, "ab", "net");
            break;
        default:
            send_hostile(sa);
            world_run(&w, (int64_t)below(20));
            break;
        }
        struct sl_ike_stats stats;
        sl_ike_stats(w.b.ike, &stats);
        ck_assert_msg(stats.ike_sas <= 2 + MESSAGES && stats.child_sas <= IKE_CHILDREN_MAX,
                      "seed %d: SAs pile up", (int)seed);
        ck_assert_msg(datapath_size() <= stats.child_sas, "seed %d: the datapath has more than IKE",
                      (int)seed);
    }
    /* The peer falls silent: everything of it must go by itself. */
    world_run(&w, 1200000);
    struct sl_ike_stats stats;
    sl_ike_stats(w.b.ike, &stats);
    ck_assert_msg(!stats.ike_sas && !stats.child_sas && !w.b.sas,
                  "seed %d: %d IKE SAs, %d children, %d installed remain", (int)seed,
                  (int)stats.ike_sas, (int)stats.child_sas, (int)datapath_size());
    world_clear(&w);
}

START_TEST(hostile_peer_leaves_the_gateway_whole)
{
    const char *only = getenv("SL_SEED"), *count = getenv("SL_SIM_RUNS");
    const uint64_t from = only ? strtoull(only, NULL, 0) : 1;
    const uint64_t to = only ? from : count ? strtoull(count, NULL, 0) : 300;
    for (uint64_t seed = from; seed <= to; seed++)
        one_peer(seed);
}
END_TEST

SL_TESTS_TIMEOUT(sim_ike_hostile, 1200, SL_CASE(hostile_peer_leaves_the_gateway_whole))
