#include "tests/support/crl_der.h"

#include "sealane/certs.h"
#include "tests/support/support.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                                \
    do {                                                                          \
        if (!(cond)) {                                                            \
            fprintf(stderr, "tests/support/crl_der.c:%d: %s\n", __LINE__, #cond); \
            abort();                                                              \
        }                                                                         \
    } while (0)

void der_put(struct sl_buf *out, uint8_t tag, struct sl_bytes body)
{
    uint8_t head[6] = { tag };
    size_t n = 1;
    if (body.len < 0x80) {
        head[n++] = (uint8_t)body.len;
    } else {
        size_t octets = body.len > 0xffffff ? 4 : body.len > 0xffff ? 3 : body.len > 0xff ? 2 : 1;
        head[n++] = (uint8_t)(0x80 | octets);
        while (octets-- > 0)
            head[n++] = (uint8_t)(body.len >> (8 * octets));
    }
    MUST(sl_buf_put(out, sl_bytes(head, n)) && sl_buf_put(out, body));
}

static void put_hex(struct sl_buf *out, const char *hex)
{
    SL_AUTO_BUF raw = { 0 };
    MUST(sl_unhex(&raw, hex) && sl_buf_put(out, sl_buf_bytes(&raw)));
}

static void put_extension(struct sl_buf *out, int nid, bool critical, struct sl_bytes value)
{
    SL_AUTO_BUF body = { 0 };
    unsigned char *oid = NULL;
    int n = i2d_ASN1_OBJECT(OBJ_nid2obj(nid), &oid);
    MUST(n > 0 && sl_buf_put(&body, sl_bytes(oid, (size_t)n)));
    OPENSSL_free(oid);
    if (critical)
        der_put(&body, 0x01, sl_bytes("\xff", 1));
    der_put(&body, 0x04, value);
    der_put(out, 0x30, sl_buf_bytes(&body));
}

static void put_time(struct sl_buf *out, int64_t utc_s)
{
    ASN1_TIME *t = ASN1_TIME_set(NULL, utc_s);
    unsigned char *der = NULL;
    int n = i2d_ASN1_TIME(t, &der);
    MUST(n > 0 && sl_buf_put(out, sl_bytes(der, (size_t)n)));
    OPENSSL_free(der);
    ASN1_TIME_free(t);
}

static void put_name(struct sl_buf *out, const char *text)
{
    struct sl_err err;
    MUST(sl_dn_parse(out, text, &err) == SL_OK);
}

void der_put_entry(struct sl_buf *out, const struct der_entry *e)
{
    SL_AUTO_BUF body = { 0 };
    SL_AUTO_BUF exts = { 0 };
    SL_AUTO_BUF serial = { 0 };
    put_hex(&serial, e->serial);
    der_put(&body, 0x02, sl_buf_bytes(&serial));
    put_time(&body, TEST_NOW - 7200);
    if (e->reason) {
        uint8_t reason[3] = { 0x0a, 1, (uint8_t)e->reason };
        put_extension(&exts, NID_crl_reason, false, sl_bytes(reason, sizeof(reason)));
    }
    if (e->issuer) {
        SL_AUTO_BUF name = { 0 };
        SL_AUTO_BUF general = { 0 };
        SL_AUTO_BUF names = { 0 };
        put_name(&name, e->issuer);
        der_put(&general, 0xa4, sl_buf_bytes(&name));
        der_put(&names, 0x30, sl_buf_bytes(&general));
        put_extension(&exts, NID_certificate_issuer, true, sl_buf_bytes(&names));
    }
    if (e->ext)
        put_hex(&exts, e->ext);
    if (exts.len && !e->bare)
        der_put(&body, 0x30, sl_buf_bytes(&exts));
    der_put(out, 0x30, sl_buf_bytes(&body));
}

static void put_number(struct sl_buf *out, int nid, bool critical, long v)
{
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    unsigned char *der = NULL;
    MUST(n && ASN1_INTEGER_set(n, v));
    int len = i2d_ASN1_INTEGER(n, &der);
    MUST(len > 0);
    put_extension(out, nid, critical, sl_bytes(der, (size_t)len));
    OPENSSL_free(der);
    ASN1_INTEGER_free(n);
}

/* An extension by libcrypto's name and syntax, critical when it says so. */
static void put_conf(struct sl_buf *out, const struct der_crl *spec, const char *name,
                     const char *value, const char *section)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, spec->by->x, NULL, NULL, NULL, 0);
    CONF *conf = NCONF_new(NULL);
    BIO *bio = BIO_new_mem_buf(section ? section : "", -1);
    long line = 0;
    MUST(conf && bio && NCONF_load_bio(conf, bio, &line) > 0);
    X509V3_set_nconf(&ctx, conf);
    X509_EXTENSION *e = X509V3_EXT_nconf(conf, &ctx, name, value);
    unsigned char *der = NULL;
    int n = e ? i2d_X509_EXTENSION(e, &der) : 0;
    MUST(n > 0 && sl_buf_put(out, sl_bytes(der, (size_t)n)));
    OPENSSL_free(der);
    X509_EXTENSION_free(e);
    BIO_free(bio);
    NCONF_free(conf);
}

static void put_extensions(struct sl_buf *out, const struct der_crl *spec)
{
    if (spec->authority) {
        SL_AUTO_BUF id = { 0 };
        SL_AUTO_BUF tagged = { 0 };
        SL_AUTO_BUF value = { 0 };
        put_hex(&id, spec->authority);
        der_put(&tagged, 0x80, sl_buf_bytes(&id));
        der_put(&value, 0x30, sl_buf_bytes(&tagged));
        put_extension(out, NID_authority_key_identifier, false, sl_buf_bytes(&value));
    }
    if (spec->number >= 0)
        put_number(out, NID_crl_number, spec->number_critical, spec->number ? spec->number : 1);
    if (spec->base)
        put_number(out, NID_delta_crl, true, spec->base);
    if (spec->idp)
        put_conf(out, spec, "issuingDistributionPoint", "critical,@idp", spec->idp);
    if (spec->freshest) {
        char value[256];
        snprintf(value, sizeof(value), "URI:%s", spec->freshest);
        put_conf(out, spec, "freshestCRL", value, NULL);
    }
    if (spec->ext)
        put_hex(out, spec->ext);
}

/* The AlgorithmIdentifier for key, as libcrypto writes it when it signs with ctx. */
static void sign_setup(EVP_MD_CTX *ctx, EVP_PKEY *key, bool pss, struct sl_buf *alg)
{
    EVP_PKEY_CTX *pctx = NULL;
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    MUST(EVP_DigestSignInit(ctx, &pctx, md, NULL, key) == 1);
    if (pss)
        MUST(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    /* libcrypto gives the identifier when it signs something: a throw-away list. */
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_set(NULL, TEST_NOW);
    EVP_PKEY_CTX *copy_pctx = NULL;
    MUST(copy && crl && t && X509_CRL_set1_lastUpdate(crl, t));
    MUST(EVP_DigestSignInit(copy, &copy_pctx, md, NULL, key) == 1);
    if (pss)
        MUST(EVP_PKEY_CTX_set_rsa_padding(copy_pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(copy_pctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    MUST(X509_CRL_sign_ctx(crl, copy) > 0);
    const X509_ALGOR *a = NULL;
    X509_CRL_get0_signature(crl, NULL, &a);
    unsigned char *der = NULL;
    int n = i2d_X509_ALGOR(a, &der);
    MUST(n > 0 && sl_buf_put(alg, sl_bytes(der, (size_t)n)));
    OPENSSL_free(der);
    ASN1_TIME_free(t);
    X509_CRL_free(crl);
    EVP_MD_CTX_free(copy);
}

static void put_tbs(struct sl_buf *out, const struct der_crl *spec, struct sl_bytes alg)
{
    SL_AUTO_BUF tbs = { 0 };
    uint8_t version = spec->version ? (uint8_t)spec->version : 1;
    if (spec->version != 1)
        der_put(&tbs, 0x02, sl_bytes(&version, 1));
    MUST(sl_buf_put(&tbs, spec->inner_alg.len ? spec->inner_alg : alg));
    if (spec->issuer) {
        put_name(&tbs, spec->issuer);
    } else {
        unsigned char *der = NULL;
        int n = i2d_X509_NAME(X509_get_subject_name(spec->by->x), &der);
        MUST(n > 0 && sl_buf_put(&tbs, sl_bytes(der, (size_t)n)));
        OPENSSL_free(der);
    }
    put_time(&tbs, spec->from ? spec->from : TEST_NOW - 3600);
    put_time(&tbs, spec->to ? spec->to : TEST_NOW + TEST_DAY);
    SL_AUTO_BUF entries = { 0 };
    for (size_t i = 0; i < spec->entry_n; i++)
        der_put_entry(&entries, &spec->entry[i]);
    if (spec->raw.len || entries.len)
        der_put(&tbs, 0x30, spec->raw.len ? spec->raw : sl_buf_bytes(&entries));
    SL_AUTO_BUF exts = { 0 };
    put_extensions(&exts, spec);
    if (exts.len) {
        SL_AUTO_BUF list = { 0 };
        der_put(&list, 0x30, sl_buf_bytes(&exts));
        der_put(&tbs, 0xa0, sl_buf_bytes(&list));
    }
    der_put(out, 0x30, sl_buf_bytes(&tbs));
}

struct sl_bytes der_crl(const struct der_crl *spec)
{
    EVP_PKEY *key = spec->signer ? spec->signer->key : spec->by->key;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    SL_AUTO_BUF alg = { 0 };
    SL_AUTO_BUF body = { 0 };
    SL_AUTO_BUF out = { 0 };
    uint8_t sig[1 + 1024] = { 0 }; /* no unused bits, then the octets */
    size_t len = sizeof(sig) - 1;
    MUST(ctx);
    sign_setup(ctx, key, spec->pss, &alg);
    put_tbs(&body, spec, sl_buf_bytes(&alg));
    MUST(EVP_DigestSign(ctx, sig + 1, &len, body.p, body.len) == 1);
    EVP_MD_CTX_free(ctx);
    MUST(sl_buf_put(&body, sl_buf_bytes(&alg)));
    der_put(&body, 0x03, sl_bytes(sig, len + 1));
    der_put(&out, 0x30, sl_buf_bytes(&body));
    return test_keep(sl_buf_bytes(&out));
}
