/*
 * The source of randomness handed to every core. Shells hand in the system's generator, the
 * simulator a seeded one.
 */
#ifndef SEALANE_RNG_H
#define SEALANE_RNG_H

#include "sealane/bytes.h"

struct sl_rng {
    void (*fill)(void *ctx, void *out, size_t len); /* cannot fail: the system source aborts */
    void *ctx;
};

/* libcrypto's generator (RAND_bytes). Aborts the process should it ever fail. */
extern const struct sl_rng sl_rng_system;

/* Deterministic (xoshiro256**), for tests and simulations only. */
struct sl_rng_seeded {
    uint64_t s[4];
};
void sl_rng_seeded_init(struct sl_rng_seeded *state, uint64_t seed);
struct sl_rng sl_rng_seeded(struct sl_rng_seeded *state);

void sl_rng_fill(const struct sl_rng *rng, void *out, size_t len);
uint64_t sl_rng_u64(const struct sl_rng *rng);
uint64_t sl_rng_below(const struct sl_rng *rng, uint64_t n); /* 0..n-1, unbiased; n > 0 */

#endif
