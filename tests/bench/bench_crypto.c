/*
 * What sl_cipher costs beside the bare EVP calls it is made of: nanoseconds per packet to seal and
 * to open, each as a ratio to EVP with its contexts kept, on the same bytes, in the same run. The
 * two are measured in turns and the median is taken, so that a busy machine moves both.
 *
 * Prints one line of JSON and one for people.
 */
#include "sealane/crypto.h"
#include "sealane/time.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS     15
#define ROUND_NS   (4 * SL_NS_PER_MS)
#define PACKET_MAX 1408
#define AAD_LEN    8

static const struct sl_suite suites[] = {
    { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
    { SL_ENCR_AES_GCM_16, 192, SL_INTEG_NONE },
    { SL_ENCR_AES_GCM_16, 256, SL_INTEG_NONE },
    { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
    { SL_ENCR_AES_CBC, 128, SL_INTEG_HMAC_SHA2_256_128 },
    { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 },
    { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_384_192 },
    { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_512_256 },
};
static const size_t sizes[] = { 64, 576, 1400 };

struct bench {
    const struct sl_suite *suite;
    size_t len;
    struct sl_cipher *seal, *open;
    EVP_CIPHER_CTX *evp_seal, *evp_open;
    EVP_MAC_CTX *evp_mac;
    uint8_t aad[AAD_LEN], nonce[16], data[PACKET_MAX], sealed[PACKET_MAX], icv[64], tag[64];
};

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

/* ---- what is measured: one packet -------------------------------------------------------------- */
typedef void packet_fn(struct bench *b);

static const uint8_t *wire_iv(const struct bench *b)
{
    return b->nonce + (sl_suite_is_aead(b->suite) ? 4 : 0);
}

static void our_seal(struct bench *b)
{
    need(sl_cipher_seal(b->seal, sl_bytes(b->aad, AAD_LEN), wire_iv(b), b->data, b->len,
                        sl_bytes(NULL, 0), b->tag),
         "sl_cipher_seal");
}

static void our_open(struct bench *b)
{
    memcpy(b->data, b->sealed, b->len);
    need(sl_cipher_open(b->open, sl_bytes(b->aad, AAD_LEN), wire_iv(b), b->data, b->len,
                        sl_bytes(NULL, 0), b->icv),
         "sl_cipher_open");
}

static void evp_mac(struct bench *b, uint8_t out[64])
{
    size_t n = 0;
    need(EVP_MAC_init(b->evp_mac, NULL, 0, NULL) == 1 &&
             EVP_MAC_update(b->evp_mac, b->aad, AAD_LEN) == 1 &&
             EVP_MAC_update(b->evp_mac, b->nonce, 16) == 1 &&
             EVP_MAC_update(b->evp_mac, b->data, b->len) == 1 &&
             EVP_MAC_final(b->evp_mac, out, &n, 64) == 1,
         "EVP_MAC");
}

static void evp_seal(struct bench *b)
{
    int n = 0;
    need(EVP_EncryptInit_ex(b->evp_seal, NULL, NULL, NULL, b->nonce) == 1, "EVP_EncryptInit_ex");
    if (!b->evp_mac)
        need(EVP_EncryptUpdate(b->evp_seal, NULL, &n, b->aad, AAD_LEN) == 1, "additional data");
    need(EVP_EncryptUpdate(b->evp_seal, b->data, &n, b->data, (int)b->len) == 1,
         "EVP_EncryptUpdate");
    if (b->evp_mac)
        evp_mac(b, b->tag);
    else
        need(EVP_EncryptFinal_ex(b->evp_seal, b->data + n, &n) == 1 &&
                 EVP_CIPHER_CTX_ctrl(b->evp_seal, EVP_CTRL_AEAD_GET_TAG, 16, b->tag) == 1,
             "EVP_EncryptFinal_ex");
}

static void evp_open(struct bench *b)
{
    int n = 0;
    memcpy(b->data, b->sealed, b->len);
    if (b->evp_mac) {
        evp_mac(b, b->tag);
        need(CRYPTO_memcmp(b->tag, b->icv, sl_suite_icv_len(b->suite)) == 0, "HMAC");
    }
    need(EVP_DecryptInit_ex(b->evp_open, NULL, NULL, NULL, b->nonce) == 1, "EVP_DecryptInit_ex");
    if (!b->evp_mac)
        need(EVP_CIPHER_CTX_ctrl(b->evp_open, EVP_CTRL_AEAD_SET_TAG, 16, b->icv) == 1 &&
                 EVP_DecryptUpdate(b->evp_open, NULL, &n, b->aad, AAD_LEN) == 1,
             "tag and additional data");
    need(EVP_DecryptUpdate(b->evp_open, b->data, &n, b->data, (int)b->len) == 1,
         "EVP_DecryptUpdate");
    if (!b->evp_mac)
        need(EVP_DecryptFinal_ex(b->evp_open, b->data + n, &n) == 1, "EVP_DecryptFinal_ex");
}

/* ---- setting up -------------------------------------------------------------------------------- */
static const EVP_CIPHER *evp_of(const struct sl_suite *s)
{
    if (s->encr == SL_ENCR_CHACHA20_POLY1305)
        return EVP_chacha20_poly1305();
    if (s->encr == SL_ENCR_AES_CBC)
        return s->key_bits == 128 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
    return s->key_bits == 128   ? EVP_aes_128_gcm()
           : s->key_bits == 192 ? EVP_aes_192_gcm()
                                : EVP_aes_256_gcm();
}

static void open_bench(struct bench *b, const struct sl_suite *s, size_t size)
{
    struct sl_err err = { 0 };
    uint8_t key[64], mac_key[64];
    *b = (struct bench){ .suite = s };
    size_t block = sl_suite_block_len(s);
    b->len = (size + block - 1) / block * block;
    sl_rng_fill(&sl_rng_system, key, sizeof(key));
    sl_rng_fill(&sl_rng_system, mac_key, sizeof(mac_key));
    sl_rng_fill(&sl_rng_system, b->nonce, sizeof(b->nonce));
    size_t key_len = sl_suite_encr_key_len(s), mac_len = sl_suite_integ_key_len(s);
    if (sl_suite_is_aead(s))
        memcpy(b->nonce, key + key_len - 4, 4);
    need(sl_cipher_new(&b->seal, s, true, sl_bytes(key, key_len), sl_bytes(mac_key, mac_len),
                       &err) == SL_OK &&
             sl_cipher_new(&b->open, s, false, sl_bytes(key, key_len), sl_bytes(mac_key, mac_len),
                           &err) == SL_OK,
         "sl_cipher_new");
    b->evp_seal = EVP_CIPHER_CTX_new();
    b->evp_open = EVP_CIPHER_CTX_new();
    need(EVP_EncryptInit_ex(b->evp_seal, evp_of(s), NULL, key, NULL) == 1 &&
             EVP_DecryptInit_ex(b->evp_open, evp_of(s), NULL, key, NULL) == 1 &&
             EVP_CIPHER_CTX_set_padding(b->evp_seal, 0) == 1 &&
             EVP_CIPHER_CTX_set_padding(b->evp_open, 0) == 1,
         "EVP set-up");
    if (mac_len) {
        char digest[16];
        snprintf(digest, sizeof(digest), "SHA%zu", mac_len * 8);
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
            OSSL_PARAM_construct_end(),
        };
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        b->evp_mac = EVP_MAC_CTX_new(mac);
        need(EVP_MAC_init(b->evp_mac, mac_key, mac_len, params) == 1, "HMAC set-up");
        EVP_MAC_free(mac);
    }
    /* both ways give the same packet */
    our_seal(b);
    memcpy(b->sealed, b->data, b->len);
    memcpy(b->icv, b->tag, sizeof(b->icv));
    memset(b->data, 0, b->len);
    evp_seal(b);
    need(memcmp(b->data, b->sealed, b->len) == 0 &&
             memcmp(b->tag, b->icv, sl_suite_icv_len(s)) == 0,
         "comparing with EVP");
}

static void close_bench(struct bench *b)
{
    sl_cipher_free(b->seal);
    sl_cipher_free(b->open);
    EVP_CIPHER_CTX_free(b->evp_seal);
    EVP_CIPHER_CTX_free(b->evp_open);
    EVP_MAC_CTX_free(b->evp_mac);
}

/* ---- measuring --------------------------------------------------------------------------------- */
static double per_packet(struct bench *b, packet_fn *fn, long n)
{
    int64_t start = sl_clock_mono_ns();
    for (long i = 0; i < n; i++)
        fn(b);
    return (double)(sl_clock_mono_ns() - start) / (double)n;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[n / 2];
}

struct result {
    double ours, evp, ratio;
};

static struct result compare(struct bench *b, packet_fn *ours, packet_fn *evp)
{
    double a[ROUNDS], e[ROUNDS], r[ROUNDS];
    long n = (long)((double)ROUND_NS / per_packet(b, evp, 200)) + 1;
    for (size_t i = 0; i < ROUNDS; i++) {
        a[i] = per_packet(b, ours, n);
        e[i] = per_packet(b, evp, n);
        r[i] = a[i] / e[i];
    }
    return (struct result){ median(a, ROUNDS), median(e, ROUNDS), median(r, ROUNDS) };
}

int main(void)
{
    double worst = 0, best_gbit = 0;
    char worst_text[64] = "", text[SL_SUITE_TEXT];
    printf("{\"bench\":\"crypto\",\"libcrypto\":\"%s\",\"results\":[",
           OpenSSL_version(OPENSSL_VERSION_STRING));
    for (size_t s = 0; s < SL_ARRAY_LEN(suites); s++) {
        for (size_t i = 0; i < SL_ARRAY_LEN(sizes); i++) {
            struct bench b;
            open_bench(&b, &suites[s], sizes[i]);
            struct result seal = compare(&b, our_seal, evp_seal);
            struct result open = compare(&b, our_open, evp_open);
            sl_suite_text(text, &suites[s]);
            printf("%s{\"suite\":\"%s\",\"bytes\":%zu,\"seal_ns\":%.0f,\"evp_seal_ns\":%.0f,"
                   "\"seal_ratio\":%.3f,\"open_ns\":%.0f,\"evp_open_ns\":%.0f,"
                   "\"open_ratio\":%.3f}",
                   s + i ? "," : "", text, b.len, seal.ours, seal.evp, seal.ratio, open.ours,
                   open.evp, open.ratio);
            double ratio = seal.ratio > open.ratio ? seal.ratio : open.ratio;
            if (ratio > worst) {
                worst = ratio;
                snprintf(worst_text, sizeof(worst_text), "%s %zu", text, b.len);
            }
            double gbit = (double)b.len * 8 / seal.ours;
            if (s == 0 && gbit > best_gbit)
                best_gbit = gbit;
            close_bench(&b);
        }
    }
    printf("]}\n");
    printf("crypto: at most %.2f times the bare EVP calls (%s); AES-128-GCM seals %.1f Gbit/s "
           "a core at 1400 bytes\n",
           worst, worst_text, best_gbit);
    return 0;
}
