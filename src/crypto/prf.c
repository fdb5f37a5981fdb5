/*
 * Pseudo-random functions of IKEv2 (RFC 7296 2.13 to 2.15, RFC 4868) and plain SHA-2 digests. Which
 * keys are derived from what is left to IKE.
 */
#include "sealane/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *prf_digest(enum sl_prf prf)
{
    switch (prf) {
    case SL_PRF_HMAC_SHA2_256:
        return "SHA2-256";
    case SL_PRF_HMAC_SHA2_384:
        return "SHA2-384";
    case SL_PRF_HMAC_SHA2_512:
        return "SHA2-512";
    case SL_PRF_NONE:
    case SL_PRF_HMAC_SHA1:
        break;
    }
    return NULL;
}

size_t sl_prf_len(enum sl_prf prf)
{
    switch (prf) {
    case SL_PRF_HMAC_SHA2_256:
        return 32;
    case SL_PRF_HMAC_SHA2_384:
        return 48;
    case SL_PRF_HMAC_SHA2_512:
        return 64;
    case SL_PRF_NONE:
    case SL_PRF_HMAC_SHA1:
        break;
    }
    return 0;
}

/* A context holding the key, ready for its first message. */
static enum sl_rc open_prf(EVP_MAC_CTX **out, enum sl_prf prf, struct sl_bytes key,
                           struct sl_err *err)
{
    const char *digest = prf_digest(prf);
    if (!digest)
        return SL_FAIL(err, SL_UNSUPPORTED, "PRF %u is not supported", (unsigned)prf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    /* a NULL key would mean "as before" */
    const uint8_t *p = key.len ? key.p : (const uint8_t *)"";
    if (!ctx || EVP_MAC_init(ctx, p, key.len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return SL_FAIL_SSL(err, SL_CRYPTO, "HMAC with %s cannot be set up", digest);
    }
    *out = ctx;
    return SL_OK;
}

static bool finish(EVP_MAC_CTX *ctx, uint8_t out[SL_PRF_MAX])
{
    size_t n = 0;
    return EVP_MAC_final(ctx, out, &n, SL_PRF_MAX) == 1;
}

enum sl_rc sl_prf_run(enum sl_prf prf, struct sl_bytes key, const struct sl_bytes *parts, size_t n,
                      uint8_t *out, struct sl_err *err)
{
    EVP_MAC_CTX *ctx = NULL;
    uint8_t value[SL_PRF_MAX];
    SL_TRY(open_prf(&ctx, prf, key, err));
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = EVP_MAC_update(ctx, parts[i].p, parts[i].len) == 1;
    ok = ok && finish(ctx, value);
    EVP_MAC_CTX_free(ctx);
    if (ok)
        memcpy(out, value, sl_prf_len(prf));
    sl_wipe(value, sizeof(value));
    return ok ? SL_OK : SL_FAIL_SSL(err, SL_CRYPTO, "HMAC failed");
}

/*
 * RFC 7296 2.13: T1 = prf(K, S | 0x01), Tn = prf(K, Tn-1 | S | n). Each round starts from the
 * context's key, which is prepared once.
 */
enum sl_rc sl_prf_plus(enum sl_prf prf, struct sl_bytes key, struct sl_bytes seed, uint8_t *out,
                       size_t len, struct sl_err *err)
{
    EVP_MAC_CTX *ctx = NULL;
    uint8_t t[SL_PRF_MAX];
    size_t block = sl_prf_len(prf), t_len = 0;
    if (block && len > 255 * block)
        return SL_FAIL(err, SL_TOO_LARGE, "prf+ gives at most %zu bytes, %zu asked (RFC 7296 2.13)",
                       255 * block, len);
    SL_TRY(open_prf(&ctx, prf, key, err));
    bool ok = true;
    uint8_t round = 1;
    for (size_t done = 0; ok && done < len; round++) {
        ok = (round == 1 || EVP_MAC_init(ctx, NULL, 0, NULL) == 1) &&
             EVP_MAC_update(ctx, t, t_len) == 1 && EVP_MAC_update(ctx, seed.p, seed.len) == 1 &&
             EVP_MAC_update(ctx, &round, 1) == 1 && finish(ctx, t);
        t_len = block;
        size_t take = len - done < block ? len - done : block;
        if (ok)
            memcpy(out + done, t, take);
        done += take;
    }
    EVP_MAC_CTX_free(ctx);
    sl_wipe(t, sizeof(t));
    if (!ok) {
        sl_wipe(out, len);
        return SL_FAIL_SSL(err, SL_CRYPTO, "HMAC failed");
    }
    return SL_OK;
}

enum sl_rc sl_prf_psk_auth(enum sl_prf prf, struct sl_bytes secret, struct sl_bytes octets,
                           uint8_t *out, struct sl_err *err)
{
    uint8_t padded[SL_PRF_MAX];
    struct sl_bytes pad = sl_str(SL_PSK_PAD);
    SL_TRY(sl_prf_run(prf, secret, &pad, 1, padded, err));
    enum sl_rc rc = sl_prf_run(prf, sl_bytes(padded, sl_prf_len(prf)), &octets, 1, out, err);
    sl_wipe(padded, sizeof(padded));
    return rc;
}

void sl_sha2(unsigned bits, struct sl_bytes v, uint8_t *out)
{
    const EVP_MD *md = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
    if (EVP_Digest(v.len ? v.p : (const uint8_t *)"", v.len, out, NULL, md, NULL) != 1) {
        /* as with randomness: to go on with a digest that was not computed would be worse */
        fprintf(stderr, "SHA-2 is not available in libcrypto\n");
        abort();
    }
}
