/* When to renew, and when to try again after a failure. */
#include "sealane/scep.h"

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

int64_t sl_renew_at(int64_t not_before, int64_t not_after, unsigned percent,
                    unsigned jitter_percent, const struct sl_rng *rng)
{
    if (not_after <= not_before)
        return not_before;
    int64_t life = not_after - not_before;
    int64_t at = life / 100 * percent + life % 100 * percent / 100;
    int64_t spread = life / 100 * jitter_percent + life % 100 * jitter_percent / 100;
    if (spread > 0)
        at += (int64_t)sl_rng_below(rng, (uint64_t)(2 * spread + 1)) - spread;
    return not_before + clamp(at, 0, life);
}

int64_t sl_renew_retry_s(unsigned failures, int64_t left_s, const struct sl_rng *rng)
{
    int64_t wait = 60;
    for (unsigned i = 1; i < failures && wait < 6 * 3600; i++)
        wait *= 2;
    wait = clamp(wait, 10, 6 * 3600);
    if (wait > left_s / 16)
        wait = left_s / 16;
    int64_t jitter = wait / 4;
    if (jitter > 0)
        wait += (int64_t)sl_rng_below(rng, (uint64_t)(2 * jitter + 1)) - jitter;
    return clamp(wait, 10, 6 * 3600);
}
