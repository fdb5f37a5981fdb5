/*
 * Key exchange: MODP groups (RFC 3526), NIST curves (RFC 5903) and Curve25519 (RFC 8031), with the
 * checks of the peer's value that RFC 6989 asks for; ML-KEM (FIPS 203) is in kem.c. A private value
 * serves one exchange and is freed with it, so the extra checks for reused values (RFC 6989 2.1,
 * 2.2) have no use here.
 *
 * Which group is proposed and what the shared secret is good for is left to IKE.
 */
#include "kex.h"
#include "kem.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { MODP, ECP, X25519, KEM };

struct group {
    enum sl_ke id;
    enum kind kind;
    const char *text;
    const char *evp; /* group's name in libcrypto; NULL: only known in order to be refused */
    uint16_t public_len, shared_len;
    uint16_t cipher_len; /* KEM: of the responder's value */
};

#define MODP_LEN(bits) (bits) / 8, (bits) / 8, 0
/* RFC 5903 7: x | y goes over the wire, x alone is the secret */
#define ECP_LEN(bits) 2 * (((bits) + 7) / 8), ((bits) + 7) / 8, 0

static const struct group groups[] = {
    { (enum sl_ke)1, MODP, "modp768", NULL, 0, 0, 0 },
    { SL_KE_MODP1024, MODP, "modp1024", NULL, 0, 0, 0 },
    { (enum sl_ke)5, MODP, "modp1536", NULL, 0, 0, 0 },
    { SL_KE_MODP2048, MODP, "modp2048", "modp_2048", MODP_LEN(2048) },
    { SL_KE_MODP3072, MODP, "modp3072", "modp_3072", MODP_LEN(3072) },
    { SL_KE_MODP4096, MODP, "modp4096", "modp_4096", MODP_LEN(4096) },
    { SL_KE_ECP256, ECP, "ecp256", "P-256", ECP_LEN(256) },
    { SL_KE_ECP384, ECP, "ecp384", "P-384", ECP_LEN(384) },
    { SL_KE_ECP521, ECP, "ecp521", "P-521", ECP_LEN(521) },
    { SL_KE_CURVE25519, X25519, "curve25519", "X25519", 32, 32, 0 },
    /* FIPS 203 8, table 3: encapsulation key, shared secret, ciphertext */
    { SL_KE_MLKEM512, KEM, "mlkem512", "ML-KEM-512", 800, KEM_SHARED_LEN, 768 },
    { SL_KE_MLKEM768, KEM, "mlkem768", "ML-KEM-768", 1184, KEM_SHARED_LEN, 1088 },
    { SL_KE_MLKEM1024, KEM, "mlkem1024", "ML-KEM-1024", 1568, KEM_SHARED_LEN, 1568 },
};
#define PUBLIC_MAX  1568
#define ENCODED_MAX (1 + 4096 / 8) /* of a group's value as libcrypto writes it */

struct sl_kex {
    const struct group *group;
    EVP_PKEY *key; /* libcrypto keeps its private value in the secure heap; NULL: KEM responder */
    size_t public_len;
    uint8_t public[PUBLIC_MAX];
};

static const struct group *find_group(enum sl_ke id)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(groups); i++)
        if (groups[i].id == id)
            return &groups[i];
    return NULL;
}

static const char *type_name(const struct group *g)
{
    return g->kind == MODP ? "DH" : g->kind == ECP ? "EC" : "X25519";
}

bool sl_ke_supported(enum sl_ke group)
{
    const struct group *g = find_group(group);
    return g && g->evp && (g->kind != KEM || kem_available(g->evp));
}

bool sl_ke_is_kem(enum sl_ke group)
{
    const struct group *g = find_group(group);
    return g && g->kind == KEM;
}

size_t sl_ke_public_len(enum sl_ke group)
{
    const struct group *g = find_group(group);
    return g ? g->public_len : 0;
}

const char *sl_ke_text(enum sl_ke group)
{
    static _Thread_local char unknown[24];
    const struct group *g = find_group(group);
    if (g)
        return g->text;
    snprintf(unknown, sizeof(unknown), "group %u", (unsigned)group);
    return unknown;
}

/* libcrypto's encoding of a point is that of the KE payload with 0x04 before it (RFC 5903 7). */
static size_t prefix_len(const struct group *g)
{
    return g->kind == ECP ? 1 : 0;
}

static bool store_public(struct sl_kex *k)
{
    unsigned char *encoded = NULL;
    size_t skip = prefix_len(k->group);
    k->public_len = k->group->public_len;
    if (k->group->kind == KEM)
        return kem_public(k->key, k->public, k->public_len);
    size_t len = EVP_PKEY_get1_encoded_public_key(k->key, &encoded);
    bool ok = len == skip + k->group->public_len;
    if (ok)
        memcpy(k->public, encoded + skip, k->group->public_len);
    OPENSSL_free(encoded);
    return ok;
}

static enum sl_rc unsupported(enum sl_ke group, struct sl_err *err)
{
    if (sl_ke_is_kem(group))
        return SL_FAIL(err, SL_UNSUPPORTED, "this libcrypto lacks %s; OpenSSL 3.5 has it",
                       sl_ke_text(group));
    return SL_FAIL(err, SL_UNSUPPORTED, "key exchange with %s is not supported", sl_ke_text(group));
}

/* Takes key, also on failure and when it is NULL, which is one. */
static enum sl_rc wrap_key(struct sl_kex **out, const struct group *g, EVP_PKEY *key,
                           struct sl_err *err)
{
    struct sl_kex *k = calloc(1, sizeof(*k));
    if (!k) {
        EVP_PKEY_free(key);
        return SL_FAIL_MEM(err);
    }
    k->group = g;
    k->key = key;
    if (!key || !store_public(k)) {
        sl_kex_free(k);
        return SL_FAIL_SSL(err, SL_CRYPTO, "no private value of %s could be made", g->text);
    }
    *out = k;
    return SL_OK;
}

static EVP_PKEY *generate(const struct group *g)
{
    if (g->kind == X25519)
        return EVP_PKEY_Q_keygen(NULL, NULL, g->evp);
    if (g->kind == KEM)
        return kem_generate(g->evp);
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)g->evp, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type_name(g), NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_params(ctx, params) != 1 ||
        EVP_PKEY_generate(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

enum sl_rc sl_kex_new(struct sl_kex **out, enum sl_ke group, struct sl_err *err)
{
    const struct group *g = find_group(group);
    if (!sl_ke_supported(group))
        return unsupported(group, err);
    return wrap_key(out, g, generate(g), err);
}

void sl_kex_free(struct sl_kex *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key);
    free(k);
}

enum sl_ke sl_kex_group(const struct sl_kex *k)
{
    return k->group->id;
}

struct sl_bytes sl_kex_public(const struct sl_kex *k)
{
    return sl_bytes(k->public, k->public_len);
}

/*
 * The peer's value as a key of our group. libcrypto refuses a MODP value outside 2..p-2
 * (RFC 6989 2.1, safe primes) and a point that is not on the curve or has a coordinate outside
 * the field (RFC 6989 2.3; the cofactor is 1, so every such point is of the right order).
 */
static EVP_PKEY *peer_key(const struct sl_kex *k, struct sl_bytes value)
{
    uint8_t encoded[ENCODED_MAX] = { 0x04 };
    size_t skip = prefix_len(k->group);
    memcpy(encoded + skip, value.p, value.len);
    EVP_PKEY *peer = EVP_PKEY_new();
    if (peer && EVP_PKEY_copy_parameters(peer, k->key) == 1 &&
        EVP_PKEY_set1_encoded_public_key(peer, encoded, skip + value.len) == 1)
        return peer;
    EVP_PKEY_free(peer);
    return NULL;
}

/* X25519 has no parameters to copy */
static EVP_PKEY *peer_raw(struct sl_bytes value)
{
    return EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, value.p, value.len);
}

static bool derive(const struct sl_kex *k, EVP_PKEY *peer, struct sl_secret *out)
{
    /* RFC 7296 2.14: g^ir is as long as the modulus, with zeros in front */
    unsigned pad = 1;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_EXCHANGE_PARAM_PAD, &pad),
        OSSL_PARAM_construct_end(),
    };
    size_t len = out->len;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->key, NULL);
    /* 0: not once more what peer_key has had checked; it would double the work */
    bool ok = ctx && EVP_PKEY_derive_init_ex(ctx, k->group->kind == MODP ? params : NULL) == 1 &&
              EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 &&
              EVP_PKEY_derive(ctx, out->p, &len) == 1 && len == out->len;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static enum sl_rc check_len(const struct group *g, size_t len, uint16_t expected,
                            struct sl_err *err)
{
    if (len == expected)
        return SL_OK;
    return SL_FAIL(err, SL_MALFORMED,
                   "peer's value for %s has %zu bytes, expected %u (RFC 7296 3.4)", g->text, len,
                   expected);
}

static enum sl_rc decapsulate(struct sl_kex *k, struct sl_bytes ciphertext,
                              struct sl_secret *shared, struct sl_err *err)
{
    SL_AUTO_SECRET out = { 0 };
    if (!k->key)
        return SL_FAIL(err, SL_USAGE, "%s: a responder has nothing to decapsulate", k->group->text);
    SL_TRY(check_len(k->group, ciphertext.len, k->group->cipher_len, err));
    SL_TRY(sl_secret_init(&out, k->group->shared_len, err));
    /* a ciphertext that was not made for our key gives another secret, by design (FIPS 203 6.3) */
    if (!kem_decapsulate(k->key, ciphertext, out.p))
        return SL_FAIL_SSL(err, SL_CRYPTO, "decapsulation with %s failed", k->group->text);
    sl_secret_move(shared, &out);
    return SL_OK;
}

static enum sl_rc encapsulate(struct sl_kex **out, const struct group *g, struct sl_bytes peer,
                              struct sl_secret *shared, struct sl_err *err)
{
    SL_AUTO_SECRET secret = { 0 };
    SL_TRY(check_len(g, peer.len, g->public_len, err));
    SL_TRY(sl_secret_init(&secret, g->shared_len, err));
    struct sl_kex *k = calloc(1, sizeof(*k));
    if (!k)
        return SL_FAIL_MEM(err);
    k->group = g;
    k->public_len = g->cipher_len;
    if (!kem_encapsulate(g->evp, peer, k->public, k->public_len, secret.p)) {
        sl_kex_free(k);
        return SL_FAIL_SSL(err, SL_CRYPTO, "peer's value for %s is not acceptable (FIPS 203 7.2)",
                           g->text);
    }
    sl_secret_move(shared, &secret);
    *out = k;
    return SL_OK;
}

enum sl_rc sl_kex_respond(struct sl_kex **out, enum sl_ke group, struct sl_bytes peer_public,
                          struct sl_secret *shared, struct sl_err *err)
{
    const struct group *g = find_group(group);
    if (!sl_ke_supported(group))
        return unsupported(group, err);
    if (g->kind == KEM)
        return encapsulate(out, g, peer_public, shared, err);
    struct sl_kex *k = NULL;
    SL_TRY(sl_kex_new(&k, group, err));
    const enum sl_rc rc = sl_kex_derive(k, peer_public, shared, err);
    if (rc != SL_OK) {
        sl_kex_free(k);
        return rc;
    }
    *out = k;
    return SL_OK;
}

enum sl_rc sl_kex_derive(struct sl_kex *k, struct sl_bytes peer_public, struct sl_secret *shared,
                         struct sl_err *err)
{
    const struct group *g = k->group;
    if (g->kind == KEM)
        return decapsulate(k, peer_public, shared, err);
    SL_TRY(check_len(g, peer_public.len, g->public_len, err));
    EVP_PKEY *peer = g->kind == X25519 ? peer_raw(peer_public) : peer_key(k, peer_public);
    if (!peer)
        return SL_FAIL_SSL(err, SL_CRYPTO, "peer's value for %s is not acceptable (RFC 6989 2)",
                           g->text);
    SL_AUTO_SECRET out = { 0 };
    enum sl_rc rc = sl_secret_init(&out, g->shared_len, err);
    /* for X25519 this is where a value of low order shows: the result is zero (RFC 7748 6.1) */
    if (rc == SL_OK && !derive(k, peer, &out))
        rc = SL_FAIL_SSL(err, SL_CRYPTO, "key exchange with %s failed (RFC 6989 2)", g->text);
    EVP_PKEY_free(peer);
    if (rc == SL_OK)
        sl_secret_move(shared, &out);
    return rc;
}

static EVP_PKEY *known_key(const struct group *g, struct sl_bytes priv, struct sl_bytes pub)
{
    uint8_t encoded[ENCODED_MAX] = { 0x04 };
    size_t skip = prefix_len(g);
    memcpy(encoded + skip, pub.p, pub.len);
    EVP_PKEY *key = NULL;
    BIGNUM *scalar = BN_bin2bn(priv.p, (int)priv.len, NULL);
    BIGNUM *number = BN_bin2bn(pub.p, (int)pub.len, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    bool ok = bld && scalar && number &&
              OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, g->evp, 0) == 1 &&
              OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1;
    if (g->kind == MODP)
        ok = ok && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PUB_KEY, number) == 1;
    else
        ok = ok && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, encoded,
                                                    skip + pub.len) == 1;
    OSSL_PARAM *params = ok ? OSSL_PARAM_BLD_to_param(bld) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type_name(g), NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(scalar);
    BN_free(number);
    return key;
}

enum sl_rc kex_new_known(struct sl_kex **out, enum sl_ke group, struct sl_bytes priv,
                         struct sl_bytes pub, struct sl_err *err)
{
    const struct group *g = find_group(group);
    if (!g || !g->evp || g->kind == KEM)
        return unsupported(group, err);
    if (pub.len != g->public_len)
        return SL_FAIL(err, SL_USAGE, "public value of %s has %zu bytes", g->text, pub.len);
    EVP_PKEY *key = g->kind == X25519
                        ? EVP_PKEY_new_raw_private_key_ex(NULL, g->evp, NULL, priv.p, priv.len)
                        : known_key(g, priv, pub);
    return wrap_key(out, g, key, err);
}
