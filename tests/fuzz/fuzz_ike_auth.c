/*
 * AUTH: method and data. First byte: options; second: method; the rest is data. What parses as an
 * algorithm of ours is accepted again in our own encoding.
 */
#include "src/ike/auth.h"

#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t scratch[IKE_AUTH_SCRATCH];
    struct ike_auth_claim claim;
    struct sl_err err = { 0 };
    uint32_t hashes;
    if (size < 3)
        return 0;
    const struct ike_auth auth = { .method = data[1], .data = sl_bytes(data + 2, size - 2) };
    (void)!ike_hashes_read(&hashes, auth.data);
    if (ike_auth_parse(&claim, &auth, IKE_HASHES_OURS, data[0] & 3, scratch, &err) == SL_OK) {
        enum sl_sig sig;
        if (claim.signature.len == 0 || claim.sig >= SL_SIG_COUNT)
            abort();
        if (claim.sig == SL_SIG_RSA_PKCS1_SHA1 && !(data[0] & IKE_AUTH_OPT_LEGACY_SHA1))
            abort();
        if (claim.sig != SL_SIG_NONE &&
            (ike_auth_algorithm_read(&sig, ike_auth_algorithm(claim.sig), &err) != SL_OK ||
             sig != claim.sig))
            abort();
    }
    ERR_clear_error();
    return 0;
}
