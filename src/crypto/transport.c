/*
 * RSA key transport (RFC 8017 7.1, 7.2) with implicit rejection: a cipher text whose padding is
 * wrong decrypts to pseudo-random bytes of pseudo-random length, which depend on nothing but the
 * key and the cipher text. Nobody who watches answers or their timing then learns whether a padding
 * was right, and so nothing of other cipher texts (Bleichenbacher's attack and its descendants).
 * The method is that of draft-irtf-cfrg-rsa-guidance; libcrypto has it itself from 3.2 on, but the
 * one of Debian 12 does not.
 */
#include "transport.h"

#include "pkey.h"
#include "sig.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#define EM_MAX         (SIG_RSA_BITS_MAX / 8)
#define PS_MIN         8   /* bytes of padding string, RFC 8017 7.2.1 */
#define LENGTH_CHOICES 128 /* so that all are too long with probability below 2^-128 */

/* ---- masks: all ones for true, without branches ---------------------------------------------- */
static uint32_t opaque(uint32_t v)
{
    __asm__ volatile("" : "+r"(v)); /* the compiler must not turn a mask back into a branch */
    return v;
}

static uint32_t mask_top_bit(uint32_t v)
{
    return opaque(0U - (v >> 31));
}

static uint32_t mask_zero(uint32_t v)
{
    return mask_top_bit(~v & (v - 1));
}

static uint32_t mask_less(uint32_t a, uint32_t b) /* both below 2^31 */
{
    return mask_top_bit(a - b);
}

static uint32_t choose(uint32_t mask, uint32_t yes, uint32_t no)
{
    return (mask & yes) | (~mask & no);
}

/* ---- the answer to a wrong padding ------------------------------------------------------------ */
enum sl_rc transport_reject_key(struct sl_secret *out, const EVP_PKEY *key, struct sl_err *err)
{
    int n = EVP_PKEY_get_size(key);
    if (n <= 0 || n > EM_MAX)
        return SL_FAIL(err, SL_INTERNAL, "RSA key of %d bytes", n);
    size_t len = (size_t)n;
    SL_AUTO_SECRET d = { 0 }, digest = { 0 };
    SL_TRY(sl_secret_init(&d, len, err));
    SL_TRY(sl_secret_init(&digest, TRANSPORT_REJECT_LEN, err));
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_D, d.p, len),
        OSSL_PARAM_construct_end(),
    };
    BIGNUM *bn = BN_secure_new();
    bool ok = bn && EVP_PKEY_get_params(key, params) == 1 && OSSL_PARAM_get_BN(params, &bn) == 1 &&
              BN_bn2binpad(bn, d.p, n) == n;
    BN_clear_free(bn);
    if (!ok)
        return SL_FAIL_SSL(err, SL_CRYPTO, "RSA key has no private exponent");
    sl_sha2(256, sl_secret_bytes(&d), digest.p);
    sl_secret_move(out, &digest);
    return SL_OK;
}

/* HMAC-SHA-256 in counter mode: each block over counter, label and the length asked, in bits. */
static enum sl_rc expand(struct sl_bytes key, const char *label, uint8_t *out, size_t len,
                         struct sl_err *err)
{
    uint8_t block[32];
    enum sl_rc rc = SL_OK;
    for (size_t done = 0, i = 0; rc == SL_OK && done < len; i++) {
        const uint8_t counter[] = { (uint8_t)(i >> 8), (uint8_t)i };
        const uint8_t bits[] = { (uint8_t)(len * 8 >> 8), (uint8_t)(len * 8) };
        const struct sl_bytes parts[] = { sl_bytes(counter, 2), sl_str(label), sl_bytes(bits, 2) };
        rc = sl_prf_run(SL_PRF_HMAC_SHA2_256, key, parts, SL_ARRAY_LEN(parts), block, err);
        size_t take = len - done < sizeof(block) ? len - done : sizeof(block);
        if (rc == SL_OK)
            memcpy(out + done, block, take);
        done += take;
    }
    sl_wipe(block, sizeof(block));
    return rc;
}

/* The last of the candidate lengths that a message in a modulus of em_len bytes can have. */
static uint32_t choose_length(const uint8_t lengths[2 * LENGTH_CHOICES], uint32_t em_len)
{
    uint32_t limit = em_len - 2 - PS_MIN, bits = limit, length = 0;
    for (unsigned shift = 1; shift < 16; shift *= 2)
        bits |= bits >> shift;
    for (size_t i = 0; i < LENGTH_CHOICES; i++) {
        uint32_t candidate = ((uint32_t)lengths[2 * i] << 8 | lengths[2 * i + 1]) & bits;
        length = choose(mask_less(candidate, limit), candidate, length);
    }
    return length;
}

/* other: as long as the modulus, its last *len bytes being the message to give instead. */
static enum sl_rc make_rejection(const struct sl_secret *reject, struct sl_bytes cipher,
                                 uint8_t other[EM_MAX], uint32_t *len, struct sl_err *err)
{
    uint8_t key[32], lengths[2 * LENGTH_CHOICES];
    enum sl_rc rc = sl_prf_run(SL_PRF_HMAC_SHA2_256, sl_secret_bytes(reject), &cipher, 1, key, err);
    if (rc == SL_OK)
        rc = expand(sl_bytes(key, sizeof(key)), "length", lengths, sizeof(lengths), err);
    if (rc == SL_OK)
        rc = expand(sl_bytes(key, sizeof(key)), "message", other, cipher.len, err);
    if (rc == SL_OK)
        *len = choose_length(lengths, (uint32_t)cipher.len);
    sl_wipe(key, sizeof(key));
    sl_wipe(lengths, sizeof(lengths));
    return rc;
}

/* ---- decryption ------------------------------------------------------------------------------- */
static bool rsa_decrypt(EVP_PKEY *key, bool oaep, struct sl_bytes cipher, uint8_t *out, size_t *len)
{
    /* Where another library context has been made since, "RSA" alone may find our own provider's. */
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, PKEY_OTHERS);
    bool ok =
        ctx && EVP_PKEY_decrypt_init(ctx) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, oaep ? RSA_PKCS1_OAEP_PADDING : RSA_NO_PADDING) == 1;
    if (oaep)
        ok = ok && EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, "SHA2-256", NULL) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, "SHA2-256", NULL) == 1;
    ok = ok && EVP_PKEY_decrypt(ctx, out, len, cipher.p, cipher.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/*
 * RFC 8017 7.2.2: 0x00 0x02 PS 0x00 M. Leaves in em the message, or the rejection, as its last
 * *len bytes. Which of the two it was shows neither in branches nor in addresses.
 */
static void unpad(uint8_t *em, const uint8_t *other, uint32_t em_len, uint32_t other_len,
                  uint32_t *len)
{
    uint32_t good = mask_zero(em[0]) & mask_zero(em[1] ^ 2U);
    uint32_t found = 0, zero_at = 0;
    for (uint32_t i = 2; i < em_len; i++) {
        uint32_t zero = mask_zero(em[i]);
        zero_at = choose(~found & zero, i, zero_at);
        found |= zero;
    }
    good &= found & ~mask_less(zero_at, 2 + PS_MIN);
    *len = choose(good, em_len - zero_at - 1, other_len);
    for (uint32_t i = 0; i < em_len; i++)
        em[i] = (uint8_t)choose(good, em[i], other[i]);
}

static enum sl_rc decrypt_pkcs1(EVP_PKEY *key, struct sl_bytes cipher, uint8_t em[EM_MAX],
                                const uint8_t *other, uint32_t other_len, uint32_t *len,
                                struct sl_err *err)
{
    size_t em_len = EM_MAX;
    if (!rsa_decrypt(key, false, cipher, em, &em_len) || em_len != cipher.len)
        return SL_FAIL_SSL(err, SL_MALFORMED,
                           "RSA cipher text is out of the key's range (RFC 8017 5.1.2)");
    unpad(em, other, (uint32_t)em_len, other_len, len);
    return SL_OK;
}

/* libcrypto gives the one error for all of OAEP's (RFC 8017 7.1.2), and that one is hidden too. */
static void decrypt_oaep(EVP_PKEY *key, struct sl_bytes cipher, uint8_t em[EM_MAX],
                         const uint8_t *other, uint32_t other_len, uint32_t *len)
{
    uint8_t message[EM_MAX];
    size_t n = sizeof(message);
    memcpy(em, other, cipher.len);
    *len = other_len;
    if (rsa_decrypt(key, true, cipher, message, &n) && n <= cipher.len) {
        memcpy(em + cipher.len - n, message, n);
        *len = (uint32_t)n;
    }
    ERR_clear_error();
    sl_wipe(message, sizeof(message));
}

enum sl_rc transport_decrypt(EVP_PKEY *key, const struct sl_secret *reject, bool oaep,
                             struct sl_bytes cipher, struct sl_buf *out, struct sl_err *err)
{
    int size = EVP_PKEY_get_size(key);
    if (size <= 0 || size > EM_MAX || cipher.len != (size_t)size)
        return SL_FAIL(err, SL_MALFORMED,
                       "RSA cipher text has %zu bytes, the key's modulus %d (RFC 8017 7.2.2)",
                       cipher.len, size);
    uint8_t em[EM_MAX], other[EM_MAX];
    uint32_t other_len = 0, len = 0;
    enum sl_rc rc = make_rejection(reject, cipher, other, &other_len, err);
    if (rc == SL_OK && oaep)
        decrypt_oaep(key, cipher, em, other, other_len, &len);
    else if (rc == SL_OK)
        rc = decrypt_pkcs1(key, cipher, em, other, other_len, &len, err);
    if (rc == SL_OK && !sl_buf_put(out, sl_bytes(em + cipher.len - len, len)))
        rc = SL_FAIL_MEM(err);
    sl_wipe(em, sizeof(em));
    sl_wipe(other, sizeof(other));
    return rc;
}
