#include "tests/support/certs.h"

#include "sealane/certs.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                              \
    do {                                                                        \
        if (!(cond)) {                                                          \
            fprintf(stderr, "tests/support/certs.c:%d: %s\n", __LINE__, #cond); \
            ERR_print_errors_fp(stderr);                                        \
            abort();                                                            \
        }                                                                       \
    } while (0)

static struct kept {
    struct kept *next;
    void *p;
    void (*done)(void *p);
} * kept;

static void free_all(void)
{
    while (kept) {
        struct kept *k = kept;
        kept = k->next;
        k->done(k->p);
        free(k);
    }
}

static void keep(void *p, void (*done)(void *p))
{
    struct kept *k = malloc(sizeof(*k));
    MUST(k && p);
    if (!kept)
        MUST(atexit(free_all) == 0);
    *k = (struct kept){ kept, p, done };
    kept = k;
}

static void free_key(void *p)
{
    EVP_PKEY_free(p);
}

static void free_x509(void *p)
{
    X509_free(p);
}

struct sl_bytes test_keep(struct sl_bytes v)
{
    uint8_t *p = malloc(v.len ? v.len : 1);
    MUST(p);
    if (v.len)
        memcpy(p, v.p, v.len);
    keep(p, free);
    return sl_bytes(p, v.len);
}

static struct sl_bytes keep_der(unsigned char *der, int len)
{
    MUST(len > 0);
    struct sl_bytes v = test_keep(sl_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return v;
}

static EVP_PKEY *make_key(const char *kind)
{
    EVP_PKEY *k = NULL;
    if (!kind || strcmp(kind, "p256") == 0)
        k = EVP_EC_gen("P-256");
    else if (strcmp(kind, "p384") == 0)
        k = EVP_EC_gen("P-384");
    else if (strcmp(kind, "p224") == 0)
        k = EVP_EC_gen("P-224");
    else if (strcmp(kind, "p521") == 0)
        k = EVP_EC_gen("P-521");
    else if (strcmp(kind, "ed448") == 0)
        k = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    else if (strcmp(kind, "ed25519") == 0)
        k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else if (strncmp(kind, "rsa:", 4) == 0)
        k = EVP_RSA_gen((unsigned)atoi(kind + 4));
    MUST(k);
    keep(k, free_key);
    return k;
}

static X509_NAME *make_name(const char *text)
{
    struct sl_buf der = { 0 };
    struct sl_err err;
    if (!*text)
        return X509_NAME_new();
    MUST(sl_dn_parse(&der, text, &err) == SL_OK);
    const unsigned char *p = der.p;
    X509_NAME *n = d2i_X509_NAME(NULL, &p, (long)der.len);
    sl_buf_clear(&der);
    MUST(n);
    return n;
}

static const EVP_MD *md_for(const EVP_PKEY *key, const char *md)
{
    int type = EVP_PKEY_get_base_id(key);
    return type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448
               ? NULL
               : EVP_get_digestbyname(md ? md : "SHA256");
}

static void add_ext(X509 *x, X509V3_CTX *ctx, const char *name, const char *value)
{
    CONF *conf = NCONF_new(NULL); /* empty; some extensions ask for one */
    MUST(conf);
    X509V3_set_nconf(ctx, conf);
    X509_EXTENSION *e = X509V3_EXT_nconf(conf, ctx, name, value);
    MUST(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
    X509V3_set_ctx_nodb(ctx);
    NCONF_free(conf);
}

struct test_cert test_cert(const struct test_spec *spec)
{
    static long serial = 1000;
    struct test_cert c = { .x = X509_new() };
    MUST(c.x);
    keep(c.x, free_x509);
    c.key = spec->same_key ? spec->same_key->key : make_key(spec->key);
    const struct test_cert *by = spec->by ? spec->by : &c;
    MUST(X509_set_version(c.x, X509_VERSION_3));
    MUST(ASN1_INTEGER_set(X509_get_serialNumber(c.x), spec->serial ? spec->serial : ++serial));
    X509_NAME *name = make_name(spec->subject);
    MUST(X509_set_subject_name(c.x, name));
    MUST(X509_set_issuer_name(c.x, spec->by ? X509_get_subject_name(spec->by->x) : name));
    X509_NAME_free(name);
    MUST(ASN1_TIME_set(X509_getm_notBefore(c.x),
                       spec->from ? spec->from : TEST_NOW - 10 * TEST_DAY));
    MUST(ASN1_TIME_set(X509_getm_notAfter(c.x), spec->to ? spec->to : TEST_NOW + 10 * TEST_DAY));
    MUST(X509_set_pubkey(c.x, c.key));
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, by->x, c.x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    if (spec->ca) {
        add_ext(c.x, &ctx, "basicConstraints", "critical,CA:TRUE");
        add_ext(c.x, &ctx, "keyUsage", "critical,keyCertSign,cRLSign,digitalSignature");
        add_ext(c.x, &ctx, "subjectKeyIdentifier", "hash");
    }
    char *copy = strdup(spec->ext ? spec->ext : "");
    MUST(copy);
    for (char *save = NULL, *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char *eq = strchr(l, '=');
        MUST(eq);
        *eq = '\0';
        add_ext(c.x, &ctx, l, eq + 1);
    }
    free(copy);
    MUST(X509_sign(c.x, by->key, md_for(by->key, spec->md)) > 0);
    unsigned char *der = NULL;
    int n = i2d_X509(c.x, &der);
    c.der = keep_der(der, n);
    der = NULL;
    n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c.x), &der);
    c.spki = keep_der(der, n);
    return c;
}

static X509_EXTENSION *unknown_critical(void)
{
    ASN1_OBJECT *o = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
    ASN1_OCTET_STRING *v = ASN1_OCTET_STRING_new();
    MUST(o && v && ASN1_OCTET_STRING_set(v, (const unsigned char *)"\x05\x00", 2));
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, o, 1, v);
    MUST(e);
    ASN1_OBJECT_free(o);
    ASN1_OCTET_STRING_free(v);
    return e;
}

struct sl_bytes test_crl(const struct test_crl_spec *spec)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_new();
    MUST(crl && t && X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(spec->by->x)));
    MUST(ASN1_TIME_set(t, spec->from ? spec->from : TEST_NOW - 3600));
    MUST(X509_CRL_set1_lastUpdate(crl, t));
    MUST(ASN1_TIME_set(t, spec->to ? spec->to : TEST_NOW + TEST_DAY));
    if (!spec->no_next)
        MUST(X509_CRL_set1_nextUpdate(crl, t));
    for (size_t i = 0; i < SL_ARRAY_LEN(spec->revoked) && spec->revoked[i]; i++) {
        X509_REVOKED *r = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        MUST(r && serial && ASN1_INTEGER_set(serial, spec->revoked[i]));
        MUST(X509_REVOKED_set_serialNumber(r, serial));
        MUST(ASN1_TIME_set(t, TEST_NOW - 7200) && X509_REVOKED_set_revocationDate(r, t));
        if (spec->reason) {
            ASN1_ENUMERATED *e = ASN1_ENUMERATED_new();
            MUST(e && ASN1_ENUMERATED_set(e, strcmp(spec->reason, "keyCompromise") == 0 ? 1 : 0));
            MUST(X509_REVOKED_add1_ext_i2d(r, NID_crl_reason, e, 0, 0));
            ASN1_ENUMERATED_free(e);
        }
        if (spec->critical_entry) {
            X509_EXTENSION *e = unknown_critical();
            MUST(X509_REVOKED_add_ext(r, e, -1));
            X509_EXTENSION_free(e);
        }
        MUST(X509_CRL_add0_revoked(crl, r));
        ASN1_INTEGER_free(serial);
    }
    if (spec->number >= 0) {
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        MUST(n && ASN1_INTEGER_set(n, spec->number ? spec->number : 1));
        MUST(X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0));
        if (spec->delta)
            MUST(X509_CRL_add1_ext_i2d(crl, NID_delta_crl, n, 1, 0));
        ASN1_INTEGER_free(n);
    }
    if (spec->idp) {
        X509V3_CTX ctx;
        X509V3_set_ctx(&ctx, spec->by->x, NULL, NULL, crl, 0);
        X509V3_set_ctx_nodb(&ctx);
        CONF *conf = NCONF_new(NULL);
        BIO *bio = BIO_new_mem_buf(spec->idp, -1); /* the whole of a "[idp]" section */
        long line = 0;
        MUST(conf && bio && NCONF_load_bio(conf, bio, &line) > 0);
        X509V3_set_nconf(&ctx, conf);
        X509_EXTENSION *e =
            X509V3_EXT_nconf(conf, &ctx, "issuingDistributionPoint", "critical,@idp");
        MUST(e && X509_CRL_add_ext(crl, e, -1));
        X509_EXTENSION_free(e);
        BIO_free(bio);
        NCONF_free(conf);
    }
    if (spec->critical) {
        X509_EXTENSION *e = unknown_critical();
        MUST(X509_CRL_add_ext(crl, e, -1));
        X509_EXTENSION_free(e);
    }
    EVP_PKEY *key = spec->signer ? spec->signer->key : spec->by->key;
    MUST(X509_CRL_sort(crl) && X509_CRL_sign(crl, key, md_for(key, spec->md)) > 0);
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(crl, &der);
    ASN1_TIME_free(t);
    X509_CRL_free(crl);
    return keep_der(der, n);
}

static void add_single(OCSP_BASICRESP *basic, const struct test_ocsp_spec *spec,
                       const struct test_ocsp_single *one, bool no_next)
{
    OCSP_CERTID *id =
        OCSP_cert_to_id(spec->sha256 ? EVP_sha256() : EVP_sha1(), one->cert->x, one->by->x);
    ASN1_TIME *from = ASN1_TIME_set(NULL, one->from ? one->from : TEST_NOW - 3600);
    ASN1_TIME *to = ASN1_TIME_set(NULL, one->to ? one->to : TEST_NOW + TEST_DAY);
    ASN1_TIME *at = ASN1_TIME_set(NULL, TEST_NOW - 7200);
    MUST(id && from && to && at);
    OCSP_SINGLERESP *single = OCSP_basic_add1_status(
        basic, id, one->status, spec->reason ? spec->reason : OCSP_REVOKED_STATUS_KEYCOMPROMISE,
        one->status == V_OCSP_CERTSTATUS_REVOKED ? at : NULL, from, no_next ? NULL : to);
    MUST(single);
    if (one->critical) {
        X509_EXTENSION *e = unknown_critical();
        MUST(OCSP_SINGLERESP_add_ext(single, e, -1));
        X509_EXTENSION_free(e);
    }
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(at);
}

static void add_nonce(OCSP_BASICRESP *basic, const struct test_ocsp_spec *spec)
{
    unsigned char *p = (unsigned char *)(uintptr_t)spec->nonce.p;
    if (!spec->bare_nonce) {
        MUST(OCSP_basic_add1_nonce(basic, p, (int)spec->nonce.len));
        return;
    }
    ASN1_OCTET_STRING *v = ASN1_OCTET_STRING_new();
    MUST(v && ASN1_OCTET_STRING_set(v, p, (int)spec->nonce.len));
    X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, NID_id_pkix_OCSP_Nonce, 0, v);
    MUST(e && OCSP_BASICRESP_add_ext(basic, e, -1));
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(v);
}

struct sl_bytes test_ocsp(const struct test_ocsp_spec *spec)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    const struct test_cert *signer = spec->signer ? spec->signer : spec->by;
    const struct test_ocsp_single first = { spec->cert, spec->by, spec->status,
                                            spec->from, spec->to, false };
    MUST(basic);
    add_single(basic, spec, &first, spec->no_next);
    for (size_t i = 0; i < spec->more_n; i++)
        add_single(basic, spec, &spec->more[i], false);
    if (spec->nonce.len)
        add_nonce(basic, spec);
    if (spec->first_cert)
        MUST(OCSP_basic_add1_cert(basic, spec->first_cert->x));
    unsigned long flags = OCSP_NOTIME | (spec->by_key ? OCSP_RESPID_KEY : 0) |
                          (spec->signer == NULL || spec->without_cert ? OCSP_NOCERTS : 0);
    /* libcrypto has no way to set producedAt to another time than the clock's. */
    ASN1_GENERALIZEDTIME *produced =
        (ASN1_GENERALIZEDTIME *)(uintptr_t)OCSP_resp_get0_produced_at(basic);
    MUST(ASN1_GENERALIZEDTIME_set(produced, spec->produced ? spec->produced : TEST_NOW - 3600));
    MUST(
        OCSP_basic_sign(basic, signer->x, signer->key, md_for(signer->key, spec->md), NULL, flags));
    OCSP_RESPONSE *resp =
        OCSP_response_create(spec->response_status, spec->response_status ? NULL : basic);
    unsigned char *der = NULL;
    MUST(resp);
    int n = i2d_OCSP_RESPONSE(resp, &der);
    OCSP_RESPONSE_free(resp);
    OCSP_BASICRESP_free(basic);
    return keep_der(der, n);
}

struct sl_bytes test_pem(const struct test_cert *c)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    MUST(bio && PEM_write_bio_X509(bio, c->x));
    long n = BIO_get_mem_data(bio, &p);
    struct sl_bytes v = test_keep(sl_bytes(p, (size_t)n));
    BIO_free(bio);
    return v;
}
