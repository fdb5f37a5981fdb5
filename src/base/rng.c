/* Randomness; see sealane/rng.h. */
#include "sealane/rng.h"

#include <openssl/rand.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void system_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    /* Going on without randomness would mean predictable keys: there is nothing to fall back to. */
    if (len > INT_MAX || RAND_bytes(out, (int)len) != 1)
        abort();
}

const struct sl_rng sl_rng_system = { .fill = system_fill };

void sl_rng_fill(const struct sl_rng *rng, void *out, size_t len)
{
    if (len)
        rng->fill(rng->ctx, out, len);
}

uint64_t sl_rng_u64(const struct sl_rng *rng)
{
    uint64_t v;
    rng->fill(rng->ctx, &v, sizeof(v));
    return v;
}

uint64_t sl_rng_below(const struct sl_rng *rng, uint64_t n)
{
    /* Values below 2^64 mod n are drawn again, so that every remainder is equally likely. */
    uint64_t low = (0 - n) % n, v;
    do
        v = sl_rng_u64(rng);
    while (v < low);
    return v % n;
}

/* ---- the seeded source: xoshiro256** 1.0, state filled by splitmix64 ------------------------- */

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t seeded_next(struct sl_rng_seeded *st)
{
    uint64_t *s = st->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

static void seeded_fill(void *ctx, void *out, size_t len)
{
    uint8_t *p = out;
    while (len) {
        uint64_t v = seeded_next(ctx);
        size_t n = len < sizeof(v) ? len : sizeof(v);
        memcpy(p, &v, n);
        p += n;
        len -= n;
    }
}

void sl_rng_seeded_init(struct sl_rng_seeded *state, uint64_t seed)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(state->s); i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15U;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
        z = (z ^ z >> 27) * 0x94d049bb133111ebU;
        state->s[i] = z ^ z >> 31;
    }
}

struct sl_rng sl_rng_seeded(struct sl_rng_seeded *state)
{
    return (struct sl_rng){ .fill = seeded_fill, .ctx = state };
}
