/* See kem.h. */
#include "kem.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

bool kem_available(const char *name)
{
    ERR_set_mark(); /* that it is absent is an answer, not an error */
    EVP_KEM *kem = EVP_KEM_fetch(NULL, name, NULL);
    ERR_pop_to_mark();
    EVP_KEM_free(kem);
    return kem != NULL;
}

EVP_PKEY *kem_generate(const char *name)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_generate(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

bool kem_public(const EVP_PKEY *key, uint8_t *out, size_t len)
{
    size_t n = 0;
    return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, len, &n) == 1 &&
           n == len;
}

/* libcrypto checks on import that every coefficient is below q (FIPS 203 7.2). */
bool kem_encapsulate(const char *name, struct sl_bytes peer, uint8_t *ciphertext, size_t len,
                     uint8_t shared[KEM_SHARED_LEN])
{
    size_t ciphertext_len = len, shared_len = KEM_SHARED_LEN;
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, name, NULL, peer.p, peer.len);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    const bool ok =
        ctx && EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
        EVP_PKEY_encapsulate(ctx, ciphertext, &ciphertext_len, shared, &shared_len) == 1 &&
        ciphertext_len == len && shared_len == KEM_SHARED_LEN;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

bool kem_decapsulate(EVP_PKEY *key, struct sl_bytes ciphertext, uint8_t shared[KEM_SHARED_LEN])
{
    size_t shared_len = KEM_SHARED_LEN;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    const bool ok =
        ctx && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
        EVP_PKEY_decapsulate(ctx, shared, &shared_len, ciphertext.p, ciphertext.len) == 1 &&
        shared_len == KEM_SHARED_LEN;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}
