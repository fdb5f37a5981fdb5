/*
 * A peer's public value: byte 0 chooses the group, the rest is the value. A secret that comes out
 * has the group's length and is not zero.
 */
#include "sealane/crypto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum sl_ke groups[] = { SL_KE_MODP2048, SL_KE_ECP256, SL_KE_ECP384, SL_KE_ECP521,
                                         SL_KE_CURVE25519 };
    static struct sl_kex *keys[SL_ARRAY_LEN(groups)];
    struct sl_rd r = sl_rd(sl_bytes(data, size));
    struct sl_err err = { 0 };
    SL_AUTO_SECRET shared = { 0 };
    size_t i = sl_rd_u8(&r) % SL_ARRAY_LEN(groups);
    struct sl_bytes value = sl_rd_rest(&r);
    if (!keys[i] && sl_kex_new(&keys[i], groups[i], &err) != SL_OK)
        abort();
    if (sl_kex_derive(keys[i], value, &shared, &err) != SL_OK)
        return 0;
    uint8_t any = 0;
    for (size_t at = 0; at < shared.len; at++)
        any |= shared.p[at];
    if (value.len != sl_ke_public_len(groups[i]) || !any)
        abort();
    return 0;
}
