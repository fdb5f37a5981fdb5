/*
 * CTEST: alloc
 *
 * Seeded runs of two gateways over a network that loses, delays, reorders, repeats and damages
 * datagrams, with handshakes, rekeys of everything by both sides, deletions and limits at random
 * moments. A tenth of them with a gateway that is killed and started again, or with allocations that
 * fail. Every run must end, once the weather is fair, with both sides holding the same SAs and
 * nothing else: no SA or exchange that is stuck, no memory that is lost, no question without owner.
 *
 *   SL_SIM_RUNS=10000   how many runs (default 400)
 *   SL_SIM_FIRST=n      the seed of the first (default 1)
 *   SL_SEED=n           only that run; SL_SIM_VERBOSE=1 tells its story
 */
#include "sim/left.h"
#include "sim/world.h"
#include "support/alloc.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_DEFAULT 400
#define OPERATIONS   14

static struct world w;
static uint64_t current_seed;

static const struct sim_weather stormy = {
    .loss = 200,
    .duplicate = 100,
    .reorder = 200,
    .corrupt = 10,
    .delay_min_ns = SL_NS_PER_MS,
    .delay_max_ns = 40 * SL_NS_PER_MS,
};

static unsigned pick(unsigned n)
{
    return (unsigned)sl_rng_below(&w.sim.rng, n);
}

/* ---- one world --------------------------------------------------------------------------------- */

static const char *const ike_proposals[] = {
    "",
    "ike = { \"aes128gcm16-prfsha256-curve25519\" }",
    "ike = { \"aes256-sha256-curve25519\", \"aes128gcm16-prfsha256-curve25519\" }",
    "ike = { \"chacha20poly1305-prfsha256-ecp256\", \"aes128gcm16-prfsha256-curve25519\" }",
};
static const char *const esp_proposals[] = {
    "",
    "esp = { \"aes128gcm16\" }",
    "esp = { \"aes128gcm16-ecp256\", \"aes128gcm16-curve25519\", \"aes128gcm16\" }",
    "esp = { \"aes128gcm16-curve25519\", \"aes128gcm16\" }",
};

struct variety {
    char ike[160], connection[512], child[256];
};

static struct world_side make_side(struct variety *v, struct sl_rng *rng)
{
    const uint64_t r = sl_rng_u64(rng);
    snprintf(v->ike, sizeof(v->ike), "cookie_threshold = %d", r & 1 ? 0 : 100);
    snprintf(v->connection, sizeof(v->connection),
             "%s\n  %s\n  %s\n  rekey = %us\n  retransmit = 500ms", ike_proposals[r >> 1 & 3],
             r >> 3 & 1 ? "force_encap = yes" : "", r >> 4 & 1 ? "fragment_size = 576" : "",
             60 + (unsigned)(r >> 16 & 63));
    snprintf(v->child, sizeof(v->child), "%s\n  rekey = %us\n  %s\n  %s", esp_proposals[r >> 5 & 3],
             20 + (unsigned)(r >> 24 & 31), r >> 7 & 1 ? "esn = no" : "",
             r >> 8 & 1 ? "start = yes" : "");
    return (struct world_side){ v->ike, v->connection, v->child };
}

static void begin(uint64_t seed)
{
    static struct variety va, vb;
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, seed * 77 + 5);
    struct sl_rng rng = sl_rng_seeded(&state);
    const struct world_side a = make_side(&va, &rng), b = make_side(&vb, &rng);
    world_init(&w, seed, &stormy, &a, &b, sl_rng_u64(&rng) % 2, NULL);
}

/* ---- what happens in it ------------------------------------------------------------------------ */

static struct sim_gw *either(void)
{
    return pick(2) ? &w.a : &w.b;
}

static void operate(void)
{
    struct sim_gw *gw = either();
    switch (pick(9)) {
    case 0:
    case 1:
        (void)sim_gw_up(gw, "ab", NULL);
        break;
    case 2:
        (void)sim_gw_rekey(gw, "ab", NULL, false);
        break;
    case 3:
        (void)sim_gw_rekey(gw, "ab", NULL, true);
        break;
    case 4: /* both at once */
        (void)sim_gw_rekey(&w.a, "ab", NULL, false);
        (void)sim_gw_rekey(&w.b, "ab", NULL, false);
        break;
    case 5:
        (void)sim_gw_rekey(&w.a, "ab", NULL, true);
        (void)sim_gw_rekey(&w.b, "ab", NULL, pick(2));
        break;
    case 6:
        if (pick(2))
            (void)sim_gw_down(gw, "ab", pick(2) ? "net" : NULL);
        break;
    case 7:
        if (gw->sas) {
            if (pick(3))
                sl_ike_child_soft(gw->ike, w.sim.now_ns, gw->sas->child.id);
            else
                sl_ike_child_hard(gw->ike, w.sim.now_ns, gw->sas->child.id);
            sim_gw_pump(gw);
        }
        break;
    default:
        (void)sim_esp_send(&w.a, &w.b, SL_NS_PER_MS);
        (void)sim_esp_send(&w.b, &w.a, SL_NS_PER_MS);
        break;
    }
}

static void check_bounds(void)
{
    struct sl_ike_stats a, b;
    sl_ike_stats(w.a.ike, &a);
    sl_ike_stats(w.b.ike, &b);
    ck_assert_msg(a.ike_sas < 50 && b.ike_sas < 50 && a.child_sas < 100 && b.child_sas < 100,
                  "SL_SEED=%llu: SAs pile up", (unsigned long long)current_seed);
    ck_assert_msg(w.sim.n < 5000, "SL_SEED=%llu: events pile up", (unsigned long long)current_seed);
}

static bool settled(struct world *x)
{
    const struct sim_view a = sim_gw_view(&x->a), b = sim_gw_view(&x->b);
    return !a.ike_other && !b.ike_other && !a.child_other && !b.child_other &&
           !sim_left_over(&x->a) && !sim_left_over(&x->b) && !sim_agree(&x->a, &x->b);
}

static const char *view_text(void)
{
    static char out[160];
    const struct sim_view a = sim_gw_view(&w.a), b = sim_gw_view(&w.b);
    snprintf(out, sizeof(out), "a: %u+%u IKE SAs, %u+%u children; b: %u+%u, %u+%u", a.ike_up,
             a.ike_other, a.child_up, a.child_other, b.ike_up, b.ike_other, b.child_up,
             b.child_other);
    return out;
}

static void must_settle(const char *when)
{
    /* Long enough for every timer: dead peers, redundant SAs, put-off exchanges, back-off. */
    const bool good = world_until(&w, settled, 900000);
    const char *differs = sim_agree(&w.a, &w.b), *a = sim_left_over(&w.a), *b = sim_left_over(&w.b);
    ck_assert_msg(good, "SL_SEED=%llu: not settled %s: %s; left at a: %s, at b: %s (%s)",
                  (unsigned long long)current_seed, when, differs ? differs : "both agree",
                  a ? a : "nothing", b ? b : "nothing", view_text());
}

static bool connected_well(struct world *x)
{
    return settled(x) && sim_gw_view(&x->a).child_up >= 1 && sim_gw_view(&x->a).ike_up == 1;
}

static bool empty(struct world *x)
{
    struct sl_ike_stats a, b;
    sl_ike_stats(x->a.ike, &a);
    sl_ike_stats(x->b.ike, &b);
    return !a.ike_sas && !b.ike_sas && !a.half_open && !b.half_open && !a.child_sas &&
           !b.child_sas && !x->a.sas && !x->b.sas;
}

static void one_run(uint64_t seed, bool restarts, bool faults)
{
    current_seed = seed;
    begin(seed);
    test_alloc_fail(faults ? 5 : 0, seed);
    const unsigned restart_at = restarts ? pick(OPERATIONS) : OPERATIONS;
    (void)sim_gw_up(either(), "ab", NULL);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        world_run(&w, sim_between(&w.sim, 0, pick(4) ? 1500 : 20000));
        if (i == restart_at) {
            struct sim_gw *gw = either();
            sim_gw_stop(gw);
            world_run(&w, sim_between(&w.sim, 0, 5000));
            sim_gw_start(gw);
        }
        operate();
        check_bounds();
    }
    w.net.weather = sim_fair;
    test_alloc_fail(0, 0);
    must_settle("after the storm");

    (void)sim_gw_up(&w.a, "ab", NULL);
    ck_assert_msg(world_until(&w, connected_well, 900000),
                  "SL_SEED=%llu: not connected in fair weather: %s (%s)", (unsigned long long)seed,
                  w.a.last_text, view_text());
    (void)sim_gw_down(&w.a, "ab", NULL);
    (void)sim_gw_down(&w.b, "ab", NULL);
    ck_assert_msg(world_until(&w, empty, 900000), "SL_SEED=%llu: something is left after down: %s",
                  (unsigned long long)seed, view_text());
    world_clear(&w);
}

/* ---- many runs --------------------------------------------------------------------------------- */

static void on_crash(int sig)
{
    char text[64];
    const int n =
        snprintf(text, sizeof(text), "\nSL_SEED=%llu: crash\n", (unsigned long long)current_seed);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(3);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void checked_run(uint64_t seed)
{
    /* Reading a configuration frees some of what libconfuse allocated, so compare with an idle world. */
    const long start = test_alloc_live();
    current_seed = seed;
    begin(seed);
    world_clear(&w);
    const long idle = test_alloc_live() - start, before = test_alloc_live();
    /* a tenth of the runs: half of them with a restart, half with failing allocations */
    one_run(seed, seed % 20 == 3, seed % 20 == 13);
    const long kept = test_alloc_live() - before - idle;
    ck_assert_msg(kept == 0, "SL_SEED=%llu: %ld allocations were not freed",
                  (unsigned long long)seed, kept);
}

START_TEST(random_runs_end_in_agreement)
{
    const char *only = getenv("SL_SEED"), *count = getenv("SL_SIM_RUNS"),
               *start = getenv("SL_SIM_FIRST");
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    sim_core_enter = test_alloc_armed;
    /* What is made once and kept must not look like a leak of the first run. */
    (void)sim_identity("a", "ed25519");
    (void)sim_identity("b", "ed25519");
    one_run(1, false, false);
    if (only) {
        checked_run(strtoull(only, NULL, 0));
        return;
    }
    const uint64_t runs = count ? strtoull(count, NULL, 0) : RUNS_DEFAULT;
    const uint64_t first = start ? strtoull(start, NULL, 0) : 1;
    for (uint64_t i = 0; i < runs; i++)
        checked_run(first + i);
    printf("%llu runs from seed %llu, a tenth of them with a restart or failing allocations\n",
           (unsigned long long)runs, (unsigned long long)first);
}
END_TEST

SL_TESTS_TIMEOUT(sim_ike_random, 3600, SL_CASE(random_runs_end_in_agreement))
