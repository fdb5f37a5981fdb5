/*
 * Public keys from their DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7) and back.
 *
 * libcrypto's d2i_PUBKEY tries every decoder it knows, which costs more than verifying a signature
 * with the key. Keys of our types are therefore taken apart with libcrypto's ASN.1 templates
 * (RFC 8017 A.1.1, RFC 5480, RFC 8410) and made from their numbers; all others go the long way, to
 * be told apart from rubbish.
 */
#include "sig.h"

#include <limits.h>
#include <openssl/asn1t.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

struct spki {
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *key;
};
ASN1_SEQUENCE(spki) = {
    ASN1_SIMPLE(struct spki, algorithm, X509_ALGOR),
    ASN1_SIMPLE(struct spki, key, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct spki, spki)

struct rsa_public {
    ASN1_INTEGER *n, *e;
};
ASN1_SEQUENCE(rsa_public) = {
    ASN1_SIMPLE(struct rsa_public, n, ASN1_INTEGER),
    ASN1_SIMPLE(struct rsa_public, e, ASN1_INTEGER),
} static_ASN1_SEQUENCE_END_name(struct rsa_public, rsa_public)

/* All of der as one value; NULL when it is not, or when something follows. */
static void *read_item(struct sl_bytes der, const ASN1_ITEM *item)
{
    const unsigned char *p = der.p;
    ASN1_VALUE *v = ASN1_item_d2i(NULL, &p, (long)der.len, item);
    if (v && p == der.p + der.len)
        return v;
    ASN1_item_free(v, item);
    return NULL;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *make_rsa(struct sl_bytes bits)
{
    EVP_PKEY *key = NULL;
    struct rsa_public *rsa = read_item(bits, ASN1_ITEM_rptr(rsa_public));
    if (!rsa)
        return NULL;
    BIGNUM *n = ASN1_INTEGER_to_BN(rsa->n, NULL), *e = ASN1_INTEGER_to_BN(rsa->e, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && n && e && !BN_is_negative(n) && !BN_is_negative(e) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        key = from_params("RSA", bld);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    ASN1_item_free((ASN1_VALUE *)rsa, ASN1_ITEM_rptr(rsa_public));
    return key;
}

static EVP_PKEY *make_ec(const char *group, struct sl_bytes bits)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, bits.p, bits.len) == 1)
        key = from_params("EC", bld);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

/* NULL for a curve that is none of ours, or not named. */
static const char *curve_of(int param_type, const void *param)
{
    if (param_type != V_ASN1_OBJECT)
        return NULL;
    switch (OBJ_obj2nid(param)) {
    case NID_X9_62_prime256v1:
        return "prime256v1";
    case NID_secp384r1:
        return "secp384r1";
    case NID_secp521r1:
        return "secp521r1";
    default:
        return NULL;
    }
}

/* *ours: the key is of one of our types, so that NULL says it is broken. */
static EVP_PKEY *make_key(const struct spki *s, bool *ours)
{
    const ASN1_OBJECT *oid = NULL;
    const void *param = NULL;
    int param_type = 0;
    X509_ALGOR_get0(&oid, &param_type, &param, s->algorithm);
    struct sl_bytes bits =
        sl_bytes(ASN1_STRING_get0_data(s->key), (size_t)ASN1_STRING_length(s->key));
    if (s->key->flags & 0x07) /* bits left over in the last byte */
        return NULL;
    const char *curve = curve_of(param_type, param);
    *ours = true;
    switch (OBJ_obj2nid(oid)) {
    case NID_rsaEncryption:
        return make_rsa(bits);
    case NID_X9_62_id_ecPublicKey:
        if (curve)
            return make_ec(curve, bits);
        break;
    case NID_ED25519:
        return param_type == V_ASN1_UNDEF
                   ? EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, bits.p, bits.len)
                   : NULL;
    default:
        break;
    }
    *ours = false;
    return NULL;
}

/* Any key that libcrypto can read. */
static EVP_PKEY *read_slowly(struct sl_bytes spki)
{
    const unsigned char *p = spki.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    if (key && p == spki.p + spki.len)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

EVP_PKEY *sig_read_spki(struct sl_bytes spki)
{
    bool ours = false;
    if (spki.len == 0 || spki.len > LONG_MAX)
        return NULL;
    struct spki *s = read_item(spki, ASN1_ITEM_rptr(spki));
    if (!s)
        return NULL;
    EVP_PKEY *key = make_key(s, &ours);
    ASN1_item_free((ASN1_VALUE *)s, ASN1_ITEM_rptr(spki));
    if (key || ours)
        return key;
    return read_slowly(spki);
}

bool sig_write_spki(struct sl_buf *out, const EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    bool ok = len > 0 && sl_buf_put(out, sl_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return ok;
}
