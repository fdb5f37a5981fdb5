/*
 * Signatures: RSA PKCS#1 v1.5 and PSS (RFC 8017), ECDSA (FIPS 186-5, DER as in RFC 3279 2.2.3) and
 * Ed25519 (RFC 8032), made and verified through EVP. Which scheme a protocol allows, and where a
 * private key lives, is left to others.
 */
#include "sig.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA256_OID 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01
#define SHA384_OID 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02
#define SHA512_OID 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03

/* RFC 4055 5: OID and NULL */
#define PKCS1_ALG(last)                                                                          \
    {                                                                                            \
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last, 0x05, 0x00 \
    }
/* RFC 4055 3.1: hash and MGF1 with the same hash, each with NULL; salt length; trailer default */
#define PSS_ALG(hash, salt)                                                                       \
    {                                                                                             \
        0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, \
            0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, hash, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06,   \
            0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,   \
            hash, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, salt                                        \
    }
/* RFC 5758 3.2: OID alone */
#define ECDSA_ALG(last)                                                        \
    {                                                                          \
        0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last \
    }
static const uint8_t pkcs1_sha1[] = PKCS1_ALG(0x05);
static const uint8_t pkcs1_sha256[] = PKCS1_ALG(0x0b);
static const uint8_t pkcs1_sha384[] = PKCS1_ALG(0x0c);
static const uint8_t pkcs1_sha512[] = PKCS1_ALG(0x0d);
static const uint8_t pss_sha256[] = PSS_ALG(SHA256_OID, 0x20);
static const uint8_t pss_sha384[] = PSS_ALG(SHA384_OID, 0x30);
static const uint8_t pss_sha512[] = PSS_ALG(SHA512_OID, 0x40);
static const uint8_t ecdsa_sha256[] = ECDSA_ALG(0x02);
static const uint8_t ecdsa_sha384[] = ECDSA_ALG(0x03);
static const uint8_t ecdsa_sha512[] = ECDSA_ALG(0x04);
static const uint8_t ed25519[] = { 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70 }; /* RFC 8410 3 */

#define DER(a)         \
    {                  \
        (a), sizeof(a) \
    }
static const struct sig_scheme schemes[] = {
    { SL_SIG_RSA_PKCS1_SHA256, SIG_RSA_PKCS1, "rsa-sha256", "SHA2-256", 32, DER(pkcs1_sha256) },
    { SL_SIG_RSA_PKCS1_SHA384, SIG_RSA_PKCS1, "rsa-sha384", "SHA2-384", 48, DER(pkcs1_sha384) },
    { SL_SIG_RSA_PKCS1_SHA512, SIG_RSA_PKCS1, "rsa-sha512", "SHA2-512", 64, DER(pkcs1_sha512) },
    { SL_SIG_RSA_PSS_SHA256, SIG_RSA_PSS, "rsa-pss-sha256", "SHA2-256", 32, DER(pss_sha256) },
    { SL_SIG_RSA_PSS_SHA384, SIG_RSA_PSS, "rsa-pss-sha384", "SHA2-384", 48, DER(pss_sha384) },
    { SL_SIG_RSA_PSS_SHA512, SIG_RSA_PSS, "rsa-pss-sha512", "SHA2-512", 64, DER(pss_sha512) },
    { SL_SIG_ECDSA_SHA256, SIG_ECDSA, "ecdsa-sha256", "SHA2-256", 32, DER(ecdsa_sha256) },
    { SL_SIG_ECDSA_SHA384, SIG_ECDSA, "ecdsa-sha384", "SHA2-384", 48, DER(ecdsa_sha384) },
    { SL_SIG_ECDSA_SHA512, SIG_ECDSA, "ecdsa-sha512", "SHA2-512", 64, DER(ecdsa_sha512) },
    { SL_SIG_ED25519, SIG_EDDSA, "ed25519", NULL, 0, DER(ed25519) },
    { SL_SIG_RSA_PKCS1_SHA1, SIG_RSA_PKCS1, "rsa-sha1", "SHA1", 20, DER(pkcs1_sha1) },
    { SL_SIG_RSA_PKCS1_RAW, SIG_RSA_RAW, "rsa-ikev1", NULL, 0, { NULL, 0 } },
    { SL_SIG_ECDSA_RAW, SIG_ECDSA_RAW, "ecdsa-ikev1", NULL, 0, { NULL, 0 } },
};

const struct sig_scheme *sig_scheme(enum sl_sig id)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes); i++)
        if (schemes[i].id == id)
            return &schemes[i];
    return NULL;
}

const struct sig_scheme *sig_find(enum sig_family family, const char *digest)
{
    const struct sig_scheme *found = NULL;
    EVP_MD *md = digest ? EVP_MD_fetch(NULL, digest, NULL) : NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes) && !found; i++) {
        const struct sig_scheme *s = &schemes[i];
        if (s->family == family && (s->digest ? md && EVP_MD_is_a(md, s->digest) : !digest))
            found = s;
    }
    EVP_MD_free(md);
    return found;
}

const char *sl_sig_text(enum sl_sig sig)
{
    const struct sig_scheme *s = sig_scheme(sig);
    return s ? s->text : "no signature scheme";
}

bool sig_fits(const struct sig_scheme *s, enum sl_key_type type)
{
    switch (s->family) {
    case SIG_RSA_PKCS1:
    case SIG_RSA_PSS:
    case SIG_RSA_RAW:
        return type == SL_KEY_RSA;
    case SIG_ECDSA_RAW:
    case SIG_ECDSA: /* any hash with any curve: RFC 7427 3 */
        return type == SL_KEY_EC_P256 || type == SL_KEY_EC_P384 || type == SL_KEY_EC_P521;
    case SIG_EDDSA:
        return type == SL_KEY_ED25519;
    }
    return false;
}

/* ---- key types ------------------------------------------------------------------------------- */
static const struct {
    const char *alg;
    const char *group; /* as libcrypto names it; NULL: not a curve of ours */
    enum sl_key_type type;
    uint16_t bits;
} key_types[] = {
    { "ecdsa:p256", "prime256v1", SL_KEY_EC_P256, 256 },
    { "ecdsa:p384", "secp384r1", SL_KEY_EC_P384, 384 },
    { "ecdsa:p521", "secp521r1", SL_KEY_EC_P521, 521 },
    { "ed25519", NULL, SL_KEY_ED25519, 256 },
};

bool sl_key_alg_parse(enum sl_key_type *type, uint16_t *bits, const char *key_alg)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(key_types); i++) {
        if (strcmp(key_alg, key_types[i].alg) == 0) {
            *type = key_types[i].type;
            *bits = key_types[i].bits;
            return true;
        }
    }
    if (strncmp(key_alg, "rsa:", 4) != 0 || strlen(key_alg) != 8 ||
        strspn(key_alg + 4, "0123456789") != 4)
        return false;
    unsigned long n = strtoul(key_alg + 4, NULL, 10);
    if (n < SIG_RSA_BITS_MIN || n > 4096 || n % 8 != 0)
        return false;
    *type = SL_KEY_RSA;
    *bits = (uint16_t)n;
    return true;
}

enum sl_key_type sig_key_type(const EVP_PKEY *key, uint16_t *bits)
{
    char group[32];
    size_t len = 0;
    int explicit_curve = 0;
    if (EVP_PKEY_is_a(key, "RSA")) {
        int n = EVP_PKEY_get_bits(key);
        *bits = n < 0 ? 0 : n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
        return SL_KEY_RSA;
    }
    if (EVP_PKEY_is_a(key, "ED25519")) {
        *bits = 256;
        return SL_KEY_ED25519;
    }
    /* a curve must be named: RFC 5480 2.1.1 */
    if (!EVP_PKEY_is_a(key, "EC") ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), &len) != 1 ||
        EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &explicit_curve) != 1 ||
        explicit_curve)
        return SL_KEY_NONE;
    for (size_t i = 0; i < SL_ARRAY_LEN(key_types); i++) {
        if (key_types[i].group && strcmp(group, key_types[i].group) == 0) {
            *bits = key_types[i].bits;
            return key_types[i].type;
        }
    }
    return SL_KEY_NONE;
}

enum sl_key_type sl_spki_type(struct sl_bytes spki, uint16_t *bits)
{
    uint16_t n = 0;
    EVP_PKEY *key = sig_read_spki(spki);
    enum sl_key_type type = key ? sig_key_type(key, &n) : SL_KEY_NONE;
    if (!key)
        ERR_clear_error();
    EVP_PKEY_free(key);
    *bits = type == SL_KEY_NONE ? 0 : n;
    return type;
}

/* ---- making and verifying -------------------------------------------------------------------- */
/* RFC 8017 9.1; the salt is as long as the hash, as RFC 7427 A.4 and RFC 4055 3.1 recommend. */
static bool set_padding(EVP_PKEY_CTX *ctx, const struct sig_scheme *s)
{
    switch (s->family) {
    case SIG_RSA_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    case SIG_RSA_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, s->digest, NULL) == 1;
    case SIG_ECDSA:
    case SIG_EDDSA:
        return true;
    case SIG_RSA_RAW: /* sig_raw.c */
    case SIG_ECDSA_RAW:
        break;
    }
    return false;
}

static bool verify(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes data,
                   struct sl_bytes signature)
{
    EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const uint8_t *p = data.len ? data.p : (const uint8_t *)"";
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, &pctx, s->digest, NULL, NULL, key, NULL) == 1 &&
              set_padding(pctx, s) &&
              EVP_DigestVerify(ctx, signature.p, signature.len, p, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static enum sl_rc verify_with(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes data,
                              struct sl_bytes signature, struct sl_err *err)
{
    uint16_t bits = 0;
    enum sl_key_type type = sig_key_type(key, &bits);
    if (!sig_fits(s, type))
        return SL_FAIL(err, SL_CRYPTO, "a %s signature cannot be by this type of key", s->text);
    if (type == SL_KEY_RSA && bits < SIG_RSA_BITS_MIN)
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "RSA key has %u bits, %d are needed", bits,
                       SIG_RSA_BITS_MIN);
    if (type == SL_KEY_RSA && bits > SIG_RSA_BITS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "RSA key has %u bits, at most %d are allowed", bits,
                       SIG_RSA_BITS_MAX);
    if (signature.len == 0 || !(sig_is_raw(s) ? sig_raw_verify(s, key, data, signature)
                                              : verify(s, key, data, signature)))
        return SL_FAIL_SSL(err, SL_CRYPTO, "%s signature does not verify", s->text);
    return SL_OK;
}

enum sl_rc sl_sig_verify(enum sl_sig sig, struct sl_bytes spki, struct sl_bytes data,
                         struct sl_bytes signature, struct sl_err *err)
{
    const struct sig_scheme *s = sig_scheme(sig);
    if (!s)
        return SL_FAIL(err, SL_UNSUPPORTED, "signature scheme %u is not known", (unsigned)sig);
    EVP_PKEY *key = sig_read_spki(spki);
    if (!key)
        return SL_FAIL_SSL(err, SL_MALFORMED,
                           "public key of %zu bytes cannot be read (RFC 5280 4.1)", spki.len);
    enum sl_rc rc = verify_with(s, key, data, signature, err);
    EVP_PKEY_free(key);
    return rc;
}

static bool sign_data(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes data, uint8_t *out,
                      size_t *len)
{
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const uint8_t *p = data.len ? data.p : (const uint8_t *)"";
    bool ok = ctx && EVP_DigestSignInit_ex(ctx, &pctx, s->digest, NULL, NULL, key, NULL) == 1 &&
              set_padding(pctx, s) && EVP_DigestSign(ctx, out, len, p, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool sign_digest(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes digest,
                        uint8_t *out, size_t *len)
{
    EVP_MD *md = EVP_MD_fetch(NULL, s->digest, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = md && ctx && EVP_PKEY_sign_init(ctx) == 1 && set_padding(ctx, s) &&
              EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
              EVP_PKEY_sign(ctx, out, len, digest.p, digest.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_MD_free(md);
    return ok;
}

enum sl_rc sig_sign(const struct sig_scheme *s, EVP_PKEY *key, bool prehashed, struct sl_bytes data,
                    struct sl_buf *out, struct sl_err *err)
{
    int max = EVP_PKEY_get_size(key);
    if (max <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "private key has no size");
    if (prehashed && (!s->digest || data.len != s->digest_len))
        return SL_FAIL(err, SL_USAGE, "%s takes no digest of %zu bytes", s->text, data.len);
    if (sig_is_raw(s) && data.len != 32 && data.len != 48 && data.len != 64)
        return SL_FAIL(err, SL_USAGE, "%s signs a hash, not %zu bytes", s->text, data.len);
    size_t len = (size_t)max;
    if (!sl_buf_reserve(out, len))
        return SL_FAIL_MEM(err);
    uint8_t *at = out->p + out->len;
    if (!(sig_is_raw(s) ? sig_raw_sign(s, key, data, at, &len)
          : prehashed   ? sign_digest(s, key, data, at, &len)
                        : sign_data(s, key, data, at, &len)))
        return SL_FAIL_SSL(err, SL_CRYPTO, "%s signature could not be made", s->text);
    out->len += len;
    return SL_OK;
}
