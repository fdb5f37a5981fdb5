/* The cache of sources on disk: read, told, and what was taken written and read again. */
#include "sealane/config.h"
#include "sealane/decision.h"
#include "sealane/time.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char empty[] = "";
    static const struct sl_config config = { .file = empty };
    const struct sl_now now = { .mono_ns = SL_NS_PER_S, .utc_s = 1302825600 };
    struct sl_rng_seeded seed;
    sl_rng_seeded_init(&seed, 1);
    const struct sl_rng rng = sl_rng_seeded(&seed);
    SL_AUTO(sl_decider) *d = NULL;
    SL_AUTO_BUF out = { 0 };
    SL_AUTO_BUF apart = { 0 };
    char name[SL_CACHE_NAME];
    if (sl_decider_new(&d, &config, &rng, NULL) != SL_OK)
        return 0;
    (void)!sl_decider_load(d, sl_bytes(data, size), now, NULL);
    json_decref(sl_decider_status(d, now));
    while (sl_decider_save_next(d, name, &apart))
        apart.len = 0;
    if (sl_decider_save(d, &out, NULL) == SL_OK &&
        sl_decider_load(d, sl_buf_bytes(&out), now, NULL) != SL_OK)
        abort(); /* what was written is not read */
    return 0;
}
