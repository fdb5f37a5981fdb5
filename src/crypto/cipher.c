/*
 * Sealing and opening with one key in one direction: AES-GCM (RFC 4106), ChaCha20-Poly1305
 * (RFC 7634), AES-CBC (RFC 3602) or the null cipher (RFC 2410) with HMAC-SHA2 (RFC 4868).
 *
 * The contexts are made once: a packet costs one call for its IV and two or three for its bytes.
 * Nothing is allocated here per packet, and nothing by libcrypto for an AEAD; libcrypto 3.0's HMAC
 * copies its digest state with two allocations a packet, 3.5's with none. Packet layouts, padding
 * and the choice of IVs are left to IKE and ESP.
 */
#include "suite.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct sl_cipher {
    EVP_CIPHER_CTX *cipher; /* NULL for the null cipher */
    EVP_MAC_CTX *mac;       /* NULL for an AEAD */
    bool seal;
    uint8_t salt_len, iv_len, block_len, icv_len;
    uint8_t nonce[EVP_MAX_IV_LENGTH]; /* salt, then the packet's IV */
};

static enum sl_rc init_cipher(struct sl_cipher *c, const struct suite_encr *row,
                              struct sl_bytes key, struct sl_err *err)
{
    EVP_CIPHER *evp = EVP_CIPHER_fetch(NULL, row->evp, NULL);
    c->cipher = evp ? EVP_CIPHER_CTX_new() : NULL;
    bool ok = c->cipher && EVP_CipherInit_ex2(c->cipher, evp, key.p, NULL, c->seal, NULL) == 1 &&
              EVP_CIPHER_CTX_set_padding(c->cipher, 0) == 1;
    EVP_CIPHER_free(evp);
    if (!ok)
        return SL_FAIL_SSL(err, SL_CRYPTO, "%s cannot be set up", row->evp);
    return SL_OK;
}

static enum sl_rc init_mac(struct sl_cipher *c, const struct suite_integ *row, struct sl_bytes key,
                           struct sl_err *err)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)row->digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *evp = EVP_MAC_fetch(NULL, "HMAC", NULL);
    c->mac = evp ? EVP_MAC_CTX_new(evp) : NULL;
    bool ok = c->mac && EVP_MAC_init(c->mac, key.p, key.len, params) == 1;
    EVP_MAC_free(evp);
    if (!ok)
        return SL_FAIL_SSL(err, SL_CRYPTO, "HMAC with %s cannot be set up", row->digest);
    return SL_OK;
}

static enum sl_rc fill(struct sl_cipher *c, const struct sl_suite *suite, bool seal,
                       struct sl_bytes encr_key, struct sl_bytes integ_key, struct sl_err *err)
{
    const struct suite_encr *row = suite_encr(suite);
    c->seal = seal;
    c->salt_len = row->salt_len;
    c->iv_len = row->iv_len;
    c->block_len = row->block_len;
    c->icv_len = (uint8_t)sl_suite_icv_len(suite);
    if (row->salt_len)
        memcpy(c->nonce, encr_key.p + row->key_len, row->salt_len);
    if (row->evp)
        SL_TRY(init_cipher(c, row, encr_key, err));
    if (!sl_suite_is_aead(suite))
        SL_TRY(init_mac(c, suite_integ(suite), integ_key, err));
    return SL_OK;
}

enum sl_rc sl_cipher_new(struct sl_cipher **out, const struct sl_suite *suite, bool seal,
                         struct sl_bytes encr_key, struct sl_bytes integ_key, struct sl_err *err)
{
    char text[SL_SUITE_TEXT];
    if (!suite_known(suite))
        return SL_FAIL(err, SL_UNSUPPORTED, "cipher suite %s is not supported",
                       sl_suite_text(text, suite));
    if (encr_key.len != sl_suite_encr_key_len(suite) ||
        integ_key.len != sl_suite_integ_key_len(suite))
        return SL_FAIL(err, SL_USAGE, "%s takes keys of %zu and %zu bytes, not %zu and %zu",
                       sl_suite_text(text, suite), sl_suite_encr_key_len(suite),
                       sl_suite_integ_key_len(suite), encr_key.len, integ_key.len);

    struct sl_cipher *c = calloc(1, sizeof(*c));
    if (!c)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = fill(c, suite, seal, encr_key, integ_key, err);
    if (rc != SL_OK) {
        sl_cipher_free(c);
        return rc;
    }
    *out = c;
    return SL_OK;
}

void sl_cipher_free(struct sl_cipher *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->cipher);
    EVP_MAC_CTX_free(c->mac);
    sl_wipe(c, sizeof(*c));
    free(c);
}

static bool set_iv(struct sl_cipher *c, const uint8_t *iv)
{
    memcpy(c->nonce + c->salt_len, iv, c->iv_len);
    return EVP_CipherInit_ex2(c->cipher, NULL, NULL, c->nonce, -1, NULL) == 1;
}

/* out NULL: in is additional data. */
static bool update(struct sl_cipher *c, uint8_t *out, const uint8_t *in, size_t len)
{
    int n = 0;
    return !len || (EVP_CipherUpdate(c->cipher, out, &n, in, (int)len) == 1 && (size_t)n == len);
}

static bool run_aead(struct sl_cipher *c, struct sl_bytes aad, const uint8_t *iv, uint8_t *data,
                     size_t len, uint8_t *icv)
{
    OSSL_PARAM tag[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, icv, SUITE_TAG_LEN),
        OSSL_PARAM_construct_end(),
    };
    uint8_t none[EVP_MAX_BLOCK_LENGTH];
    int n = 0;
    if (!set_iv(c, iv) || (!c->seal && EVP_CIPHER_CTX_set_params(c->cipher, tag) != 1))
        return false;
    if (!update(c, NULL, aad.p, aad.len) || !update(c, data, data, len) ||
        EVP_CipherFinal_ex(c->cipher, none, &n) != 1)
        return false;
    return !c->seal || EVP_CIPHER_CTX_get_params(c->cipher, tag) == 1;
}

static bool run_cbc(struct sl_cipher *c, const uint8_t *iv, uint8_t *data, size_t len)
{
    return !c->cipher || (set_iv(c, iv) && update(c, data, data, len));
}

/* RFC 4303 2.8: over everything up to the ICV, then the unsent half of the sequence number. */
static bool run_mac(struct sl_cipher *c, struct sl_bytes aad, const uint8_t *iv,
                    const uint8_t *data, size_t len, struct sl_bytes tail,
                    uint8_t out[EVP_MAX_MD_SIZE])
{
    size_t n = 0;
    return EVP_MAC_init(c->mac, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(c->mac, aad.p, aad.len) == 1 &&
           EVP_MAC_update(c->mac, iv, c->iv_len) == 1 && EVP_MAC_update(c->mac, data, len) == 1 &&
           EVP_MAC_update(c->mac, tail.p, tail.len) == 1 &&
           EVP_MAC_final(c->mac, out, &n, EVP_MAX_MD_SIZE) == 1 && n >= c->icv_len;
}

static bool fits(const struct sl_cipher *c, struct sl_bytes aad, size_t len)
{
    return len <= INT_MAX && aad.len <= INT_MAX && len % c->block_len == 0;
}

bool sl_cipher_seal(struct sl_cipher *c, struct sl_bytes aad, const uint8_t *iv, uint8_t *data,
                    size_t len, struct sl_bytes mac_tail, uint8_t *icv)
{
    if (!c->seal || !fits(c, aad, len))
        return false;
    if (!c->mac)
        return run_aead(c, aad, iv, data, len, icv);
    uint8_t mac[EVP_MAX_MD_SIZE];
    if (!run_cbc(c, iv, data, len) || !run_mac(c, aad, iv, data, len, mac_tail, mac))
        return false;
    memcpy(icv, mac, c->icv_len);
    return true;
}

bool sl_cipher_open(struct sl_cipher *c, struct sl_bytes aad, const uint8_t *iv, uint8_t *data,
                    size_t len, struct sl_bytes mac_tail, const uint8_t *icv)
{
    if (c->seal || !fits(c, aad, len))
        return false;
    uint8_t mac[EVP_MAX_MD_SIZE];
    if (!c->mac) {
        memcpy(mac, icv, SUITE_TAG_LEN);
        return run_aead(c, aad, iv, data, len, mac);
    }
    /* The MAC first: what does not come from the peer is never decrypted (RFC 4303 3.4.4.1). */
    if (!run_mac(c, aad, iv, data, len, mac_tail, mac) || CRYPTO_memcmp(mac, icv, c->icv_len) != 0)
        return false;
    return run_cbc(c, iv, data, len);
}
