/* See pki.h. */
#include "sim/pki.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITIES_MAX 8

static struct {
    struct sl_keyset *keys;
    EVP_PKEY *root_key, *mid_key;
    X509 *root, *mid;
    struct sl_buf root_der, mid_der;
    struct sl_cert *root_cert;
    struct sim_identity id[IDENTITIES_MAX];
    size_t n;
    long serial;
} pki;

#define MUST(x)                                                            \
    do {                                                                   \
        if (!(x)) {                                                        \
            fprintf(stderr, "%s:%d: %s failed\n", __FILE__, __LINE__, #x); \
            abort();                                                       \
        }                                                                  \
    } while (0)

static void clear(void)
{
    sl_keyset_free(pki.keys);
    EVP_PKEY_free(pki.root_key);
    EVP_PKEY_free(pki.mid_key);
    X509_free(pki.root);
    X509_free(pki.mid);
    sl_cert_free(pki.root_cert);
    sl_buf_clear(&pki.root_der);
    sl_buf_clear(&pki.mid_der);
    for (size_t i = 0; i < pki.n; i++)
        for (size_t k = 0; k < pki.id[i].n; k++)
            sl_buf_clear(&pki.id[i].chain[k]);
    memset(&pki, 0, sizeof(pki));
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    MUST(ext && X509_add_ext(cert, ext, -1));
    X509_EXTENSION_free(ext);
}

static X509 *issue(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                   const char *dns)
{
    X509 *cert = X509_new();
    MUST(cert && X509_set_version(cert, 2));
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++pki.serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * 3650);
    X509_NAME *name = X509_get_subject_name(cert);
    MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                    0));
    MUST(X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name));
    MUST(X509_set_pubkey(cert, key));
    X509 *by = issuer ? issuer : cert;
    add_extension(cert, by, NID_basic_constraints, dns ? "critical,CA:FALSE" : "critical,CA:TRUE");
    add_extension(cert, by, NID_key_usage,
                  dns ? "critical,digitalSignature" : "critical,keyCertSign,cRLSign");
    if (dns) {
        char san[96];
        snprintf(san, sizeof(san), "DNS:%s", dns);
        add_extension(cert, by, NID_subject_alt_name, san);
    }
    MUST(X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256()));
    return cert;
}

static void to_der(struct sl_buf *out, X509 *cert)
{
    unsigned char *der = NULL;
    const int len = i2d_X509(cert, &der);
    MUST(len > 0 && sl_buf_put(out, sl_bytes(der, (size_t)len)));
    OPENSSL_free(der);
}

static void init(void)
{
    if (pki.keys)
        return;
    struct sl_err err = { 0 };
    MUST(sl_keyset_new(&pki.keys, &err) == SL_OK);
    static bool at_exit;
    if (!at_exit)
        atexit(clear);
    at_exit = true;
    MUST(sl_keyset_psk_set(pki.keys, "psk", sl_str("a pre-shared key for simulations"), &err) ==
         SL_OK);
    pki.root_key = EVP_EC_gen("P-256");
    pki.mid_key = EVP_EC_gen("P-256");
    MUST(pki.root_key && pki.mid_key);
    pki.root = issue("Simulation Root", pki.root_key, NULL, NULL, NULL);
    pki.mid = issue("Simulation Issuing", pki.mid_key, pki.root, pki.root_key, NULL);
    to_der(&pki.root_der, pki.root);
    to_der(&pki.mid_der, pki.mid);
    MUST(sl_cert_read(&pki.root_cert, sl_buf_bytes(&pki.root_der), &err) == SL_OK);
}

static EVP_PKEY *generate(const char *alg)
{
    if (strcmp(alg, "ed25519") == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (strcmp(alg, "ecdsa:p256") == 0)
        return EVP_EC_gen("P-256");
    if (strcmp(alg, "rsa:2048") == 0)
        return EVP_RSA_gen(2048);
    return NULL;
}

const struct sim_identity *sim_identity(const char *name, const char *alg)
{
    init();
    for (size_t i = 0; i < pki.n; i++)
        if (strcmp(pki.id[i].name, name) == 0) {
            if (strcmp(pki.id[i].alg, alg) == 0)
                return &pki.id[i];
            clear();
            init();
        }
    MUST(pki.n < IDENTITIES_MAX);
    struct sim_identity *id = &pki.id[pki.n++];
    snprintf(id->name, sizeof(id->name), "%s", name);
    snprintf(id->alg, sizeof(id->alg), "%s", alg);
    EVP_PKEY *key = generate(alg);
    MUST(key);
    BIO *bio = BIO_new(BIO_s_mem());
    MUST(bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    char *pem;
    const long len = BIO_get_mem_data(bio, &pem);
    struct sl_err err = { 0 };
    MUST(sl_keyset_import(pki.keys, name, sl_bytes(pem, (size_t)len), &err) == SL_OK);
    BIO_free(bio);
    char dns[64];
    snprintf(dns, sizeof(dns), "%s.example", name);
    X509 *cert = issue(name, key, pki.mid, pki.mid_key, dns);
    to_der(&id->chain[0], cert);
    MUST(sl_buf_put(&id->chain[1], sl_buf_bytes(&pki.mid_der)));
    id->n = 2;
    X509_free(cert);
    EVP_PKEY_free(key);
    return id;
}

struct sl_keyset *sim_keys(void)
{
    init();
    return pki.keys;
}

struct sl_bytes sim_root(void)
{
    init();
    return sl_buf_bytes(&pki.root_der);
}

struct sl_bytes sim_anchor_hash(void)
{
    init();
    return sl_cert_key_sha1(pki.root_cert);
}
