/*
 * Keys held elsewhere, given to libcrypto: certificates, requests, CRLs, OCSP answers and CMS
 * messages made with them are read by libcrypto with plain keys and by the openssl command.
 * CTEST: threads
 */
#include "sealane/key.h"
#include "support/support.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_err err;

/* A key of the set, as libcrypto sees it, and a certificate signed with it. */
struct holder {
    const char *alg;
    struct sl_keyset *ks;
    struct sl_key_ops ops;
    struct sl_key key;
    EVP_PKEY *pkey;  /* asks the set */
    EVP_PKEY *plain; /* libcrypto's own, public */
    X509 *cert;      /* self-signed, read back from DER, so that its key is plain */
};

static const char *const algs[] = { "rsa:2048", "ecdsa:p256", "ecdsa:p384", "ecdsa:p521",
                                    "ed25519" };

static const EVP_MD *digest_of(const struct holder *h)
{
    return strcmp(h->alg, "ed25519") == 0 ? NULL
           : strstr(h->alg, "384")        ? EVP_sha384()
           : strstr(h->alg, "521")        ? EVP_sha512()
                                          : EVP_sha256();
}

static bool signs_cms(const struct holder *h) /* Ed25519 in CMS is beyond libcrypto 3.0 */
{
    return strcmp(h->alg, "ed25519") != 0;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509 *build_cert(const struct holder *h)
{
    X509 *x = X509_new();
    ck_assert_int_eq(X509_set_version(x, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)h->alg, -1, -1, 0);
    ck_assert_int_eq(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
    ck_assert_int_eq(X509_set_pubkey(x, h->pkey), 1);
    add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(x, NID_subject_key_identifier, "hash");
    return x;
}

static X509 *reread_cert(X509 *x)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    ck_assert_int_gt(len, 0);
    const unsigned char *p = der;
    X509 *again = d2i_X509(NULL, &p, len);
    ck_assert_ptr_nonnull(again);
    OPENSSL_free(der);
    X509_free(x);
    return again;
}

static void open_holder(struct holder *h, const char *alg)
{
    *h = (struct holder){ .alg = alg };
    ck_ok(sl_keyset_new(&h->ks, &err), &err);
    ck_ok(sl_keyset_generate(h->ks, "k", alg, &err), &err);
    h->ops = sl_keyset_ops(h->ks);
    h->key = (struct sl_key){ .ops = &h->ops, .name = "k" };
    ck_ok(sl_keyset_spki(h->ks, "k", &h->key.spki, &err), &err);
    ck_ok(sl_key_pkey(&h->pkey, &h->key, &err), &err);
    const unsigned char *p = h->key.spki.p;
    h->plain = d2i_PUBKEY(NULL, &p, (long)h->key.spki.len);
    ck_assert_ptr_nonnull(h->plain);
    X509 *x = build_cert(h);
    ck_assert_int_gt(X509_sign(x, h->pkey, digest_of(h)), 0);
    h->cert = reread_cert(x);
}

static void close_holder(struct holder *h)
{
    X509_free(h->cert);
    EVP_PKEY_free(h->plain);
    EVP_PKEY_free(h->pkey);
    sl_keyset_free(h->ks);
}

/* ---- the openssl command ------------------------------------------------------------------- */
static const char *tmp_file(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", sl_test_tmpdir(), name);
    return p;
}

static BIO *create(const char *name)
{
    BIO *b = BIO_new_file(tmp_file(name), "wb");
    ck_assert_ptr_nonnull(b);
    return b;
}

static void store_cert(const char *name, X509 *cert)
{
    BIO *b = create(name);
    ck_assert_int_eq(PEM_write_bio_X509(b, cert), 1);
    BIO_free(b);
}

/* Runs openssl in the temporary folder; its exit status. */
static int openssl_command(const char *args)
{
    char cmd[1024];
    snprintf(cmd, sizeof(cmd), "cd %s && openssl %s >out 2>&1", sl_test_tmpdir(), args);
    return system(cmd);
}

/* ---- cases --------------------------------------------------------------------------------- */
START_TEST(key_looks_like_its_public_part_and_gives_no_private_one)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        struct holder h;
        open_holder(&h, algs[i]);
        ck_assert_int_eq(EVP_PKEY_get_id(h.pkey), EVP_PKEY_get_id(h.plain));
        ck_assert_int_eq(EVP_PKEY_get_bits(h.pkey), EVP_PKEY_get_bits(h.plain));
        ck_assert_int_eq(EVP_PKEY_get_size(h.pkey), EVP_PKEY_get_size(h.plain));
        ck_assert_int_eq(EVP_PKEY_eq(h.pkey, h.plain), 1);
        ck_assert_int_eq(EVP_PKEY_eq(h.plain, h.pkey), 1);
        ck_assert_int_eq(X509_check_private_key(h.cert, h.pkey), 1);
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(h.pkey, &der);
        ck_bytes_eq(sl_bytes(der, len > 0 ? (size_t)len : 0), h.key.spki);
        OPENSSL_free(der);
        der = NULL;
        ck_assert_int_le(i2d_PrivateKey(h.pkey, &der), 0);
        ck_assert_ptr_null(der);
        BIGNUM *bn = NULL;
        ck_assert_int_eq(EVP_PKEY_get_bn_param(h.pkey, OSSL_PKEY_PARAM_RSA_D, &bn), 0);
        ck_assert_int_eq(EVP_PKEY_get_bn_param(h.pkey, OSSL_PKEY_PARAM_PRIV_KEY, &bn), 0);
        ck_assert_ptr_null(bn);
        EVP_PKEY *dup = EVP_PKEY_dup(h.pkey);
        ck_assert_ptr_nonnull(dup);
        ck_assert_int_eq(EVP_PKEY_eq(dup, h.plain), 1);
        EVP_PKEY_free(dup);

        struct holder other;
        open_holder(&other, algs[i]);
        ck_assert_int_eq(EVP_PKEY_eq(h.pkey, other.plain), 0);
        ck_assert_int_eq(EVP_PKEY_eq(h.pkey, other.pkey), 0);
        close_holder(&other);
        close_holder(&h);
    }
    ERR_clear_error();
}
END_TEST

START_TEST(certificate_verifies)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        struct holder h;
        open_holder(&h, algs[i]);
        ck_assert_int_eq(X509_verify(h.cert, h.plain), 1);
        ck_assert_int_eq(X509_verify(h.cert, h.pkey), 1);
        store_cert("ca.pem", h.cert);
        ck_assert_int_eq(openssl_command("verify -check_ss_sig -CAfile ca.pem ca.pem"), 0);
        close_holder(&h);
    }
}
END_TEST

START_TEST(certificate_with_pss_carries_its_parameters)
{
    struct holder h;
    EVP_PKEY_CTX *pctx = NULL;
    open_holder(&h, "rsa:2048");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    X509 *x = build_cert(&h);
    ck_assert_int_eq(EVP_DigestSignInit(ctx, &pctx, EVP_sha384(), NULL, h.pkey), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    ck_assert_int_gt(X509_sign_ctx(x, ctx), 0);
    EVP_MD_CTX_free(ctx);
    x = reread_cert(x);
    ck_assert_int_eq(X509_get_signature_nid(x), NID_rsassaPss);
    ck_assert_int_eq(X509_verify(x, h.plain), 1);
    store_cert("pss.pem", x);
    ck_assert_int_eq(openssl_command("verify -check_ss_sig -CAfile pss.pem pss.pem"), 0);
    X509_free(x);
    close_holder(&h);
}
END_TEST

START_TEST(padding_that_no_scheme_has_is_refused)
{
    struct holder h;
    unsigned char sig[512];
    open_holder(&h, "rsa:2048");
    for (int i = 0; i < 4; i++) {
        EVP_PKEY_CTX *pctx = NULL;
        size_t len = sizeof(sig);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        ck_assert_int_eq(
            EVP_DigestSignInit(ctx, &pctx, i == 3 ? EVP_md5() : EVP_sha256(), NULL, h.pkey), 1);
        bool ok = true;
        if (i < 2)
            ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                 EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, i ? RSA_PSS_SALTLEN_MAX : 20) == 1;
        if (i == 2)
            ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_X931_PADDING) == 1;
        ck_assert(!ok || EVP_DigestSign(ctx, sig, &len, sig, 3) != 1);
        EVP_MD_CTX_free(ctx);
    }
    ERR_clear_error();
    close_holder(&h);
}
END_TEST

START_TEST(request_verifies)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        struct holder h;
        open_holder(&h, algs[i]);
        X509_REQ *r = X509_REQ_new();
        ck_assert_int_eq(X509_REQ_set_version(r, X509_REQ_VERSION_1), 1); /* 3.5 insists */
        X509_REQ_set_subject_name(r, X509_get_subject_name(h.cert));
        ck_assert_int_eq(X509_REQ_set_pubkey(r, h.pkey), 1);
        ck_assert_int_gt(X509_REQ_sign(r, h.pkey, digest_of(&h)), 0);
        ck_assert_int_eq(X509_REQ_verify(r, h.plain), 1);
        ck_assert_int_eq(X509_REQ_verify(r, X509_REQ_get0_pubkey(r)), 1); /* that is h.pkey */
        BIO *b = create("req.pem");
        ck_assert_int_eq(PEM_write_bio_X509_REQ(b, r), 1);
        BIO_free(b);
        ck_assert_int_eq(openssl_command("req -verify -noout -in req.pem"), 0);
        X509_REQ_free(r);
        close_holder(&h);
    }
}
END_TEST

START_TEST(crl_verifies)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        struct holder h;
        open_holder(&h, algs[i]);
        X509_CRL *c = X509_CRL_new();
        X509_CRL_set_version(c, 1);
        X509_CRL_set_issuer_name(c, X509_get_subject_name(h.cert));
        ASN1_TIME *t = X509_gmtime_adj(NULL, 0);
        X509_CRL_set1_lastUpdate(c, t);
        X509_gmtime_adj(t, 3600);
        X509_CRL_set1_nextUpdate(c, t);
        for (long serial = 1; serial < 2000; serial++) {
            X509_REVOKED *r = X509_REVOKED_new();
            ASN1_INTEGER *n = ASN1_INTEGER_new();
            ASN1_INTEGER_set(n, serial);
            X509_REVOKED_set_serialNumber(r, n);
            X509_REVOKED_set_revocationDate(r, t);
            ck_assert_int_eq(X509_CRL_add0_revoked(c, r), 1);
            ASN1_INTEGER_free(n);
        }
        ASN1_TIME_free(t);
        ck_assert_int_gt(X509_CRL_sign(c, h.pkey, digest_of(&h)), 0);
        ck_assert_int_eq(X509_CRL_verify(c, h.plain), 1);
        store_cert("ca.pem", h.cert);
        BIO *b = create("crl.pem");
        ck_assert_int_eq(PEM_write_bio_X509_CRL(b, c), 1);
        BIO_free(b);
        ck_assert_int_eq(openssl_command("crl -noout -CAfile ca.pem -in crl.pem"), 0);
        ck_assert_int_eq(openssl_command("crl -noout -CAfile ca.pem -in crl.pem 2>&1 | "
                                         "grep -q 'verify OK'"),
                         0);
        X509_CRL_free(c);
        close_holder(&h);
    }
}
END_TEST

START_TEST(ocsp_answer_verifies)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        struct holder h;
        open_holder(&h, algs[i]);
        OCSP_BASICRESP *bs = OCSP_BASICRESP_new();
        OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha256(), h.cert, h.cert);
        ASN1_TIME *now = X509_gmtime_adj(NULL, 0), *next = X509_gmtime_adj(NULL, 3600);
        ck_assert_ptr_nonnull(
            OCSP_basic_add1_status(bs, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, now, next));
        ck_assert_int_eq(OCSP_basic_sign(bs, h.cert, h.pkey, digest_of(&h), NULL, 0), 1);
        STACK_OF(X509) *certs = sk_X509_new_null();
        sk_X509_push(certs, h.cert);
        X509_STORE *store = X509_STORE_new();
        X509_STORE_add_cert(store, h.cert);
        ck_assert_int_eq(OCSP_basic_verify(bs, certs, store, 0), 1);
        OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, bs);
        BIO *b = create("ocsp.der");
        ck_assert_int_gt(i2d_OCSP_RESPONSE_bio(b, r), 0);
        BIO_free(b);
        store_cert("ca.pem", h.cert);
        ck_assert_int_eq(openssl_command("ocsp -respin ocsp.der -issuer ca.pem -cert ca.pem "
                                         "-CAfile ca.pem 2>&1 | grep -q 'Response verify OK'"),
                         0);
        OCSP_RESPONSE_free(r);
        OCSP_BASICRESP_free(bs);
        OCSP_CERTID_free(id);
        ASN1_TIME_free(now);
        ASN1_TIME_free(next);
        X509_STORE_free(store);
        sk_X509_free(certs);
        close_holder(&h);
    }
}
END_TEST

static void check_signed(const struct holder *h, CMS_ContentInfo *cms, BIO *content)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, h->cert);
    X509_STORE_set_purpose(store, X509_PURPOSE_ANY);
    ck_assert_int_eq(CMS_verify(cms, NULL, store, content, NULL, CMS_BINARY), 1);
    X509_STORE_free(store);
    BIO *b = create("cms.der");
    ck_assert_int_eq(i2d_CMS_bio(b, cms), 1);
    BIO_free(b);
    store_cert("ca.pem", h->cert);
    ck_assert_int_eq(openssl_command("cms -verify -binary -inform DER -in cms.der -CAfile ca.pem "
                                     "-purpose any -out plain.txt"),
                     0);
}

START_TEST(cms_signature_verifies_with_and_without_attributes)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        struct holder h;
        open_holder(&h, algs[i]);
        for (unsigned flags = 0; flags < 2 && signs_cms(&h); flags++) {
            BIO *content = BIO_new_mem_buf("signed content", -1);
            unsigned int f = CMS_BINARY | (flags ? CMS_NOATTR : 0);
            CMS_ContentInfo *cms = CMS_sign(h.cert, h.pkey, NULL, content, f);
            ck_assert_msg(cms != NULL, "%s %u: %s", h.alg, flags,
                          ERR_reason_error_string(ERR_peek_last_error()));
            check_signed(&h, cms, NULL);
            CMS_ContentInfo_free(cms);
            BIO_free(content);
        }
        close_holder(&h);
    }
}
END_TEST

START_TEST(cms_signer_with_chosen_digest_and_pss_verifies)
{
    const EVP_MD *const digests[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
    for (size_t i = 0; i < 6; i++) {
        struct holder h;
        bool pss = i >= 3;
        open_holder(&h, "rsa:2048");
        BIO *content = BIO_new_mem_buf("signed content", -1);
        unsigned int flags = CMS_BINARY | CMS_PARTIAL | (pss ? CMS_KEY_PARAM : 0);
        CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, content, CMS_BINARY | CMS_PARTIAL);
        CMS_SignerInfo *si = CMS_add1_signer(cms, h.cert, h.pkey, digests[i % 3], flags);
        ck_assert_ptr_nonnull(si);
        if (pss) {
            EVP_PKEY_CTX *ctx = CMS_SignerInfo_get0_pkey_ctx(si);
            ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
            ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST), 1);
        }
        ck_assert_int_eq(CMS_final(cms, content, NULL, CMS_BINARY), 1);
        check_signed(&h, cms, NULL);
        CMS_ContentInfo_free(cms);
        BIO_free(content);
        close_holder(&h);
    }
}
END_TEST

static void check_opened(const struct holder *h, CMS_ContentInfo *cms)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *p = NULL;
    ck_assert_msg(CMS_decrypt(cms, h->pkey, h->cert, NULL, out, CMS_BINARY) == 1, "%s",
                  ERR_reason_error_string(ERR_peek_last_error()));
    long len = BIO_get_mem_data(out, &p);
    ck_bytes_eq(sl_bytes(p, (size_t)len), sl_str("enveloped content"));
    BIO_free(out);
}

START_TEST(cms_envelope_opens)
{
    const EVP_CIPHER *const ciphers[] = { EVP_aes_128_cbc(), EVP_aes_256_cbc(),
                                          EVP_des_ede3_cbc() };
    struct holder h;
    open_holder(&h, "rsa:2048");
    STACK_OF(X509) *to = sk_X509_new_null();
    sk_X509_push(to, h.cert);
    for (size_t i = 0; i < SL_ARRAY_LEN(ciphers); i++) {
        BIO *content = BIO_new_mem_buf("enveloped content", -1);
        CMS_ContentInfo *cms = CMS_encrypt(to, content, ciphers[i], CMS_BINARY);
        ck_assert_ptr_nonnull(cms);
        check_opened(&h, cms);
        CMS_ContentInfo_free(cms);
        BIO_free(content);
    }
    sk_X509_free(to);

    store_cert("to.pem", h.cert);
    BIO *b = create("content.txt");
    BIO_puts(b, "enveloped content");
    BIO_free(b);
    const char *commands[] = {
        "cms -encrypt -binary -aes256 -outform DER -in content.txt -out env.der to.pem",
        "cms -encrypt -binary -aes128 -outform DER -in content.txt -out env.der -recip to.pem "
        "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256",
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(commands); i++) {
        ck_assert_int_eq(openssl_command(commands[i]), 0);
        b = BIO_new_file(tmp_file("env.der"), "rb");
        CMS_ContentInfo *cms = d2i_CMS_bio(b, NULL);
        ck_assert_ptr_nonnull(cms);
        check_opened(&h, cms);
        CMS_ContentInfo_free(cms);
        BIO_free(b);
    }
    close_holder(&h);
}
END_TEST

START_TEST(oaep_with_another_hash_is_refused)
{
    struct holder h;
    open_holder(&h, "rsa:2048");
    store_cert("to.pem", h.cert);
    BIO *b = create("content.txt");
    BIO_puts(b, "enveloped content");
    BIO_free(b);
    ck_assert_int_eq(openssl_command("cms -encrypt -binary -aes128 -outform DER -in content.txt "
                                     "-out env.der -recip to.pem -keyopt rsa_padding_mode:oaep "
                                     "-keyopt rsa_oaep_md:sha1"),
                     0);
    b = BIO_new_file(tmp_file("env.der"), "rb");
    CMS_ContentInfo *cms = d2i_CMS_bio(b, NULL);
    BIO *out = BIO_new(BIO_s_mem());
    ck_assert_int_ne(CMS_decrypt(cms, h.pkey, h.cert, NULL, out, CMS_BINARY | CMS_DEBUG_DECRYPT),
                     1);
    BIO_free(out);
    CMS_ContentInfo_free(cms);
    BIO_free(b);
    ERR_clear_error();
    close_holder(&h);
}
END_TEST

START_TEST(public_operations_work_with_the_key_itself)
{
    struct holder h;
    unsigned char cipher[512], plain[512];
    size_t cipher_len = sizeof(cipher), plain_len = sizeof(plain);
    open_holder(&h, "rsa:2048");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, h.pkey, NULL);
    ck_assert_int_eq(EVP_PKEY_encrypt_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_encrypt(ctx, cipher, &cipher_len, (const unsigned char *)"hello", 5),
                     1);
    ck_assert_int_eq(EVP_PKEY_decrypt_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_decrypt(ctx, plain, &plain_len, cipher, cipher_len), 1);
    ck_bytes_eq(sl_bytes(plain, plain_len), sl_str("hello"));
    EVP_PKEY_CTX_free(ctx);

    /* streamed, copied on the way, and verified with the key itself */
    EVP_MD_CTX *sign = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
    unsigned char sig[512], sig2[512];
    size_t len = sizeof(sig), len2 = sizeof(sig2);
    ck_assert_int_eq(EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, h.pkey), 1);
    ck_assert_int_eq(EVP_DigestSignUpdate(sign, "abc", 3), 1);
    ck_assert_int_eq(EVP_MD_CTX_copy_ex(copy, sign), 1);
    ck_assert_int_eq(EVP_DigestSignUpdate(sign, "def", 3), 1);
    ck_assert_int_eq(EVP_DigestSignUpdate(copy, "xyz", 3), 1);
    ck_assert_int_eq(EVP_DigestSignFinal(sign, sig, &len), 1);
    ck_assert_int_eq(EVP_DigestSignFinal(copy, sig2, &len2), 1);
    ck_assert_int_eq(EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, h.pkey), 1);
    ck_assert_int_eq(EVP_DigestVerifyUpdate(verify, "abcd", 4), 1);
    ck_assert_int_eq(EVP_DigestVerifyUpdate(verify, "ef", 2), 1);
    ck_assert_int_eq(EVP_DigestVerifyFinal(verify, sig, len), 1);
    ck_assert_int_eq(EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, h.plain), 1);
    ck_assert_int_eq(EVP_DigestVerify(verify, sig2, len2, (const unsigned char *)"abcxyz", 6), 1);
    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(copy);
    EVP_MD_CTX_free(verify);
    close_holder(&h);
}
END_TEST

/* ---- holders that refuse ------------------------------------------------------------------------ */
static enum sl_rc deny(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                       struct sl_buf *out, struct sl_err *e)
{
    (void)ctx, (void)sig, (void)data, (void)out;
    return SL_FAIL(e, SL_DENIED, "key '%s' is not for you", name);
}

static enum sl_rc sign_too_much(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                                struct sl_buf *out, struct sl_err *e)
{
    (void)ctx, (void)name, (void)sig, (void)data;
    static const uint8_t lots[1000];
    return sl_buf_put(out, sl_bytes(lots, sizeof(lots))) ? SL_OK : SL_FAIL_MEM(e);
}

static enum sl_rc deny_decrypt(void *ctx, const char *name, bool oaep, struct sl_bytes cipher,
                               struct sl_buf *out, struct sl_err *e)
{
    (void)oaep;
    return deny(ctx, name, SL_SIG_NONE, cipher, out, e);
}

START_TEST(refusal_by_the_holder_reaches_the_caller)
{
    struct holder h;
    open_holder(&h, "rsa:2048");
    X509 *x = X509_dup(h.cert);
    ERR_clear_error();
    h.ops.sign = deny;
    h.ops.decrypt = deny_decrypt;
    ck_assert_int_eq(X509_sign(x, h.pkey, EVP_sha256()), 0);
    bool told = false;
    const char *text = NULL;
    int flags = 0;
    while (ERR_get_error_all(NULL, NULL, NULL, &text, &flags))
        told |= (flags & ERR_TXT_STRING) && strstr(text, "is not for you");
    ck_assert(told);
    h.ops.sign = sign_too_much;
    ck_assert_int_eq(X509_sign(x, h.pkey, EVP_sha256()), 0);
    h.ops.sign_digest = NULL; /* optional */
    unsigned char out[512] = { 0 };
    size_t len = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, h.pkey, NULL);
    ck_assert_int_eq(EVP_PKEY_sign_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()), 1);
    ck_assert_int_ne(EVP_PKEY_sign(ctx, out, &len, out, 32), 1);
    ck_assert_int_eq(EVP_PKEY_decrypt_init(ctx), 1);
    len = sizeof(out);
    ck_assert_int_ne(EVP_PKEY_decrypt(ctx, out, &len, out, 256), 1);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    X509_free(x);
    close_holder(&h);
}
END_TEST

START_TEST(broken_public_key_is_malformed)
{
    struct sl_key_ops ops = { 0 };
    struct sl_key key = { .ops = &ops, .name = "k", .spki = sl_str("rubbish") };
    EVP_PKEY *pkey = NULL;
    ck_rc(sl_key_pkey(&pkey, &key, &err), SL_MALFORMED, &err);
    ck_assert_ptr_null(pkey);
}
END_TEST

/* ---- everybody else's keys ----------------------------------------------------------------------- */
START_TEST(keys_of_others_stay_with_libcrypto)
{
    struct holder h;
    const char *const names[] = { "RSA", "EC", "ED25519" };
    open_holder(&h, "ecdsa:p256");
    ck_assert_int_eq(OSSL_PROVIDER_available(NULL, "sealane"), 1);
    ck_assert_int_eq(OSSL_PROVIDER_available(NULL, "default"), 1);
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        EVP_KEYMGMT *m = EVP_KEYMGMT_fetch(NULL, names[i], NULL);
        EVP_SIGNATURE *s = EVP_SIGNATURE_fetch(NULL, i == 1 ? "ECDSA" : names[i], NULL);
        ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(m)), "default");
        ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(s)), "default");
        EVP_KEYMGMT_free(m);
        EVP_SIGNATURE_free(s);
    }
    EVP_ASYM_CIPHER *a = EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL);
    ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_ASYM_CIPHER_get0_provider(a)), "default");
    EVP_ASYM_CIPHER_free(a);
    ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(h.pkey)), "sealane");
    ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(h.plain)), "default");

    /* ordinary keys are made, read and used as before */
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_dup(h.cert);
    ck_assert_int_eq(X509_set_pubkey(x, key), 1);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    x = reread_cert(x);
    ck_assert_int_eq(X509_verify(x, X509_get0_pubkey(x)), 1);
    ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(X509_get0_pubkey(x))),
                     "default");
    EVP_PKEY_free(key);
    X509_free(x);
    close_holder(&h);
}
END_TEST

static void *sign_often(void *arg)
{
    const struct holder *h = arg;
    for (int i = 0; i < 20; i++) {
        X509 *x = X509_dup(h->cert);
        if (!x || X509_sign(x, h->pkey, digest_of(h)) <= 0 || X509_verify(x, h->plain) != 1)
            return (void *)h;
        X509_free(x);
    }
    return NULL;
}

START_TEST(threads_may_share_a_key)
{
    struct holder h;
    pthread_t threads[4];
    open_holder(&h, "ecdsa:p256");
    for (size_t i = 0; i < SL_ARRAY_LEN(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sign_often, &h), 0);
    for (size_t i = 0; i < SL_ARRAY_LEN(threads); i++) {
        void *failed = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    close_holder(&h);
}
END_TEST

SL_TESTS_TIMEOUT(crypto_pkey, 120, SL_CASE(key_looks_like_its_public_part_and_gives_no_private_one),
                 SL_CASE(certificate_verifies),
                 SL_CASE(certificate_with_pss_carries_its_parameters),
                 SL_CASE(padding_that_no_scheme_has_is_refused), SL_CASE(request_verifies),
                 SL_CASE(crl_verifies), SL_CASE(ocsp_answer_verifies),
                 SL_CASE(cms_signature_verifies_with_and_without_attributes),
                 SL_CASE(cms_signer_with_chosen_digest_and_pss_verifies),
                 SL_CASE(cms_envelope_opens), SL_CASE(oaep_with_another_hash_is_refused),
                 SL_CASE(public_operations_work_with_the_key_itself),
                 SL_CASE(refusal_by_the_holder_reaches_the_caller),
                 SL_CASE(broken_public_key_is_malformed),
                 SL_CASE(keys_of_others_stay_with_libcrypto), SL_CASE(threads_may_share_a_key))
