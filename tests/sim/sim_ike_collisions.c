/*
 * The collision table: rekeys and deletions of child and of IKE SAs, begun by either side or by both
 * at every offset that matters, with the same proposals, with INVALID_KE_PAYLOAD on one side or on
 * both, and with each of the first messages as sent, lost, late or repeated (RFC 7296 2.8, 2.25).
 * ESP packets are on their way both ways all the time. After each cell both sides must hold the
 * same SAs and nothing else; see check() in collide.c.
 *
 *   SL_SIM_RUNS=all    every cell (default: all with no message spoilt, and of the others one in
 *                      twenty-three, other ones with another SL_SIM_FIRST)
 *   SL_SEED=n          only cell n
 */
#include "sim/collide.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STRIDE 23 /* prime, so that every value of every axis comes up */

static struct world w;
static char current[64]; /* the cell, for a crash */

/* b's beginning after a's, microseconds. One way takes 1 ms, a key exchange up to 2 ms each. */
static const int64_t offsets[] = { 0,    300,   1000,  1500,  2200,  3000,  5000,  8000,  40000,
                                   -300, -1000, -1500, -2200, -3000, -5000, -8000, -40000 };

#define MESSAGES 4
enum { SPOILT = (FATE_N - 1) * 2 * MESSAGES, FATES = 2 + SPOILT };

static uint64_t cells(void)
{
    return (uint64_t)OP_N * OP_N * SL_ARRAY_LEN(offsets) * PROPOSALS_N * FATES;
}

static uint64_t digit(uint64_t *n, uint64_t base)
{
    const uint64_t d = *n % base;
    *n /= base;
    return d;
}

/* False: no such cell; one that another one equals. */
static bool cell_at(uint64_t n, struct collide_cell *c)
{
    *c = (struct collide_cell){ 0 };
    c->a = (enum collide_op)digit(&n, OP_N);
    c->b = (enum collide_op)digit(&n, OP_N);
    const uint64_t offset = digit(&n, SL_ARRAY_LEN(offsets));
    c->b_after_us = offsets[offset];
    c->proposals = (enum collide_proposals)digit(&n, PROPOSALS_N);
    uint64_t f = digit(&n, FATES);
    if (f == 0) {
        c->fate = FATE_NONE;
    } else if (f == 1) {
        c->fate = FATE_ALL_TWICE;
    } else {
        f -= 2;
        c->from_a = digit(&f, 2);
        c->message = 1 + (unsigned)digit(&f, MESSAGES);
        c->fate = (enum collide_fate)(FATE_DROP + f);
    }
    if (c->a == OP_NONE && c->b == OP_NONE)
        return false;
    return (c->a != OP_NONE && c->b != OP_NONE) || offset == 0;
}

static void on_crash(int sig)
{
    if (write(STDERR_FILENO, current, strlen(current)) < 0)
        _exit(3);
    signal(sig, SIG_DFL);
    raise(sig);
}

/* ke: what is put behind every proposal. */
static void one(uint64_t n, const struct collide_cell *c, const char *ke)
{
    snprintf(current, sizeof(current), "\nSL_SEED=%llu: crash (%s)\n", (unsigned long long)n, ke);
    collide_run(&w, n, c, ke);
}

static void table(const char *ke)
{
    const char *only = getenv("SL_SEED"), *runs = getenv("SL_SIM_RUNS"),
               *start = getenv("SL_SIM_FIRST");
    const bool all = runs && strcmp(runs, "all") == 0;
    const uint64_t shift = start ? strtoull(start, NULL, 0) % STRIDE : 0;
    struct collide_cell c;
    uint64_t done = 0;
    signal(SIGABRT, on_crash);
    if (only) {
        ck_assert_msg(cell_at(strtoull(only, NULL, 0), &c), "no such cell");
        one(strtoull(only, NULL, 0), &c, ke);
        return;
    }
    for (uint64_t n = 0; n < cells(); n++) {
        if (!cell_at(n, &c) || !(all || c.fate == FATE_NONE || n % STRIDE == shift))
            continue;
        one(n, &c, ke);
        done++;
    }
    printf("%llu cells\n", (unsigned long long)done);
}

START_TEST(every_cell_of_the_table_ends_in_agreement)
{
    table("");
}
END_TEST

/* RFC 9370: each rekey is a series of exchanges, during which everything else can happen. */
START_TEST(every_cell_ends_in_agreement_with_an_additional_key_exchange)
{
    table("-ke1_ecp521");
}
END_TEST

SL_TESTS_TIMEOUT(sim_ike_collisions, 1200, SL_CASE(every_cell_of_the_table_ends_in_agreement),
                 SL_CASE(every_cell_ends_in_agreement_with_an_additional_key_exchange))
