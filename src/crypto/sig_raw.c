/*
 * Signatures of IKEv1 over a hash that the exchange has made itself: RSA with the padding of PKCS#1
 * v1.5 but no DigestInfo (RFC 2409 5.1), ECDSA as r | s, each as long as the curve's order (RFC 4754
 * 7). Only hashes of SHA-2's lengths are signed: none of these is the length of a DigestInfo, so what
 * is signed here can never pass for a PKCS#1 signature of something else.
 */
#include "sig.h"

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <stdlib.h>

static bool is_hash(size_t len)
{
    return len == 32 || len == 48 || len == 64;
}

/* Bytes of r and of s each; 0: not a curve of ours. */
static size_t half_of(const EVP_PKEY *key)
{
    uint16_t bits = 0;
    switch (sig_key_type(key, &bits)) {
    case SL_KEY_EC_P256:
        return 32;
    case SL_KEY_EC_P384:
        return 48;
    case SL_KEY_EC_P521:
        return 66;
    case SL_KEY_NONE:
    case SL_KEY_RSA:
    case SL_KEY_ED25519:
        break;
    }
    return 0;
}

/* r | s to DER; NULL when it is not 2 * half long. To be freed with OPENSSL_free. */
static uint8_t *to_der(struct sl_bytes rs, size_t half, int *len)
{
    uint8_t *der = NULL;
    ECDSA_SIG *sig = rs.len == 2 * half ? ECDSA_SIG_new() : NULL;
    BIGNUM *r = sig ? BN_bin2bn(rs.p, (int)half, NULL) : NULL;
    BIGNUM *s = sig ? BN_bin2bn(rs.p + half, (int)half, NULL) : NULL;
    if (r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        *len = i2d_ECDSA_SIG(sig, &der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return der;
}

static bool from_der(uint8_t *rs, size_t half, const uint8_t *der, size_t len)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), rs, (int)half) == (int)half &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), rs + half, (int)half) == (int)half;
    ECDSA_SIG_free(sig);
    return ok;
}

static bool verify(EVP_PKEY *key, bool rsa, struct sl_bytes hash, struct sl_bytes signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
              (!rsa || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1) &&
              EVP_PKEY_verify(ctx, signature.p, signature.len, hash.p, hash.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

bool sig_raw_verify(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes hash,
                    struct sl_bytes signature)
{
    if (!is_hash(hash.len))
        return false;
    if (s->family == SIG_RSA_RAW)
        return signature.len == (size_t)EVP_PKEY_get_size(key) &&
               verify(key, true, hash, signature);
    int len = 0;
    uint8_t *der = to_der(signature, half_of(key), &len);
    bool ok = der && len > 0 && verify(key, false, hash, sl_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return ok;
}

bool sig_raw_sign(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes hash, uint8_t *out,
                  size_t *len)
{
    bool rsa = s->family == SIG_RSA_RAW;
    if (!is_hash(hash.len))
        return false;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              (!rsa || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1) &&
              EVP_PKEY_sign(ctx, out, len, hash.p, hash.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok || rsa)
        return ok;
    uint8_t rs[132];
    size_t half = half_of(key);
    /* DER of two integers has at least as much room as they have */
    if (half == 0 || !from_der(rs, half, out, *len))
        return false;
    *len = 2 * half;
    for (size_t i = 0; i < *len; i++)
        out[i] = rs[i];
    return true;
}
