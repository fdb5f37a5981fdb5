/*
 * AES-CBC without a MAC, for IKEv1 messages (RFC 3602; RFC 2409 appendix B). Nothing else may want
 * this: whoever decrypts with it must check a hash of what comes out before acting on it.
 */
#include "sealane/crypto.h"

#include <limits.h>
#include <openssl/evp.h>

#define BLOCK 16

static const char *cipher_name(size_t key_len)
{
    switch (key_len) {
    case 16:
        return "AES-128-CBC";
    case 24:
        return "AES-192-CBC";
    case 32:
        return "AES-256-CBC";
    default:
        return NULL;
    }
}

enum sl_rc sl_cbc(bool seal, struct sl_bytes key, const uint8_t iv[BLOCK], uint8_t *data,
                  size_t len, struct sl_err *err)
{
    const char *name = cipher_name(key.len);
    if (!name || len == 0 || len % BLOCK != 0 || len > INT_MAX)
        return SL_FAIL(
            err, SL_USAGE,
            "AES-CBC takes a key of 16, 24 or 32 bytes and whole blocks, not %zu and %zu", key.len,
            len);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = cipher && ctx && EVP_CipherInit_ex2(ctx, cipher, key.p, iv, seal, NULL) == 1 &&
              EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
              EVP_CipherUpdate(ctx, data, &n, data, (int)len) == 1 && (size_t)n == len;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok ? SL_OK : SL_FAIL_SSL(err, SL_CRYPTO, "%s failed", name);
}
