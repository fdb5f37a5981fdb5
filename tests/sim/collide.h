/*
 * One cell of the collision table: what each side begins, when, what happens to one of the messages,
 * with ESP packets on their way in both directions from first to last. Runs it to its end and checks
 * what must hold after every one of them.
 */
#ifndef SL_TESTS_SIM_COLLIDE_H
#define SL_TESTS_SIM_COLLIDE_H

#include "sim/world.h"

enum collide_op { OP_NONE, OP_REKEY_CHILD, OP_REKEY_IKE, OP_DOWN_CHILD, OP_DOWN_IKE, OP_N };

enum collide_fate {
    FATE_NONE,
    FATE_DROP,
    FATE_LATE,      /* 300 ms: after what crossed it, before it is repeated */
    FATE_VERY_LATE, /* 3 s: after its own repetitions */
    FATE_TWICE,     /* at once, and once more 2 s later */
    FATE_N,
    FATE_ALL_TWICE = FATE_N, /* every message so */
};

/* How the two sides' proposals differ. */
enum collide_proposals {
    PROPOSALS_SAME,
    PROPOSALS_INVALID_KE, /* a begins with a group that b does not take */
    PROPOSALS_MIXED,      /* each begins with a group that the other does not take */
    PROPOSALS_NO_PFS,     /* children without a key exchange: their exchanges take one round */
    PROPOSALS_N,
};

struct collide_cell {
    enum collide_op a, b;
    int64_t b_after_us; /* b begins so long after a; negative: before */
    enum collide_proposals proposals;
    enum collide_fate fate;
    bool from_a;      /* whose message has the fate */
    unsigned message; /* the n-th of that side after both have begun, from 1 */
};

/*
 * Asserts; a failure names the cell so that it can be run alone. suffix is appended to every
 * proposal ("-ke1_ecp384": additional key exchanges), "" for none.
 */
void collide_run(struct world *w, uint64_t seed, const struct collide_cell *cell,
                 const char *suffix);
const char *collide_text(const struct collide_cell *cell); /* static storage */

#endif
