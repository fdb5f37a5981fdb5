/*
 * The simulator's virtual clock: events in the order of their time, and of their making when the
 * times are equal. Nothing in a simulation waits, and one seed gives one run.
 */
#ifndef SL_TESTS_SIM_CLOCK_H
#define SL_TESTS_SIM_CLOCK_H

#include "sealane/rng.h"
#include "sealane/time.h"

struct sim_event {
    int64_t at_ns;
    uint64_t order;
    void (*run)(void *ctx, void *arg);
    void (*drop)(void *arg); /* frees arg of an event that never ran; may be NULL */
    void *ctx, *arg;
};
struct sim {
    int64_t now_ns;
    uint64_t order;
    struct sim_event *heap;
    size_t n, cap;
    struct sl_rng_seeded rng_state;
    struct sl_rng rng;
};

void sim_init(struct sim *s, uint64_t seed);
void sim_clear(struct sim *s);
/* arg is run's to free. ctx names the owner of the event for sim_forget. */
void sim_after(struct sim *s, int64_t delay_ns, void (*run)(void *ctx, void *arg),
               void (*drop)(void *arg), void *ctx, void *arg);
void sim_forget(struct sim *s, const void *ctx); /* drops all events of an owner */
int64_t sim_next_ns(const struct sim *s);        /* INT64_MAX: nothing is waiting */
bool sim_step(struct sim *s);                    /* runs one event; false: none was waiting */

/* Seeded choices. */
bool sim_chance(struct sim *s, unsigned per_mille);
int64_t sim_between(struct sim *s, int64_t from, int64_t to); /* both included */

#endif
