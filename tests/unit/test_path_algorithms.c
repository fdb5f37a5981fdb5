/*
 * Signature algorithms and key sizes that policy allows in a path: each algorithm against each name
 * that trust.signature knows, RSASSA-PSS with its hash, elliptic curve keys around the minimum.
 */
#include "sealane/certs.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <openssl/rsa.h>

#include <string.h>

static struct sl_err err;

static const struct algorithm {
    const char *key; /* of the issuer */
    const char *md;
    bool pss;
    const char *name;    /* in trust.signature */
    const char *openssl; /* its short name in libcrypto, lower and upper case mixed */
} algorithms[] = {
    { "rsa:2048", "SHA256", false, "rsa-sha256", "RSA-SHA256" },
    { "rsa:2048", "SHA384", false, "rsa-sha384", "rsa-sha384" },
    { "rsa:2048", "SHA512", false, "rsa-sha512", "Rsa-Sha512" },
    { "rsa:2048", "SHA256", true, "rsa-pss-sha256", "RSASSA-PSS" },
    { "rsa:2048", "SHA384", true, "rsa-pss-sha384", "rsassa-PSS" },
    { "rsa:2048", "SHA512", true, "rsa-pss-sha512", "RSASSA-PSS" },
    { "p256", "SHA256", false, "ecdsa-sha256", "ecdsa-with-SHA256" },
    { "p384", "SHA384", false, "ecdsa-sha384", "ECDSA-WITH-SHA384" },
    { "p521", "SHA512", false, "ecdsa-sha512", "ecdsa-with-sha512" },
    { "ed25519", NULL, false, "ed25519", "ED25519" },
    { "ed448", NULL, false, "ed448", "ED448" },
};

/* Signs c anew with RSASSA-PSS, the salt as long as the hash (RFC 4055 3.1). */
static void sign_pss(struct test_cert *c, EVP_PKEY *key, const char *md)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    ck_assert(ctx && EVP_DigestSignInit(ctx, &pctx, EVP_get_digestbyname(md), NULL, key) == 1);
    ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 0);
    ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 0);
    ck_assert_int_gt(X509_sign_ctx(c->x, ctx), 0);
    EVP_MD_CTX_free(ctx);
    unsigned char *der = NULL;
    int n = i2d_X509(c->x, &der);
    ck_assert_int_gt(n, 0);
    c->der = test_keep(sl_bytes(der, (size_t)n));
    OPENSSL_free(der);
}

/* root, then any number of certificates down to the end entity in v[0]. */
static enum sl_rc build(const struct test_cert *root, struct sl_bytes *v, size_t n,
                        struct sl_path_params p)
{
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    ck_ok(sl_certs_load(&anchors, root->der, "root", &err), &err);
    p.anchors = &anchors;
    p.peer = v;
    p.peer_n = n;
    p.now_utc_s = TEST_NOW;
    sl_err_reset(&err);
    enum sl_rc rc = sl_path_build(&path, &p, &err);
    sl_path_clear(&path);
    sl_certs_clear(&anchors);
    return rc;
}

static enum sl_rc with_list(const struct test_cert *root, struct sl_bytes leaf,
                            const char *const *names, size_t n)
{
    return build(root, &leaf, 1, (struct sl_path_params){ .signature = names, .signature_n = n });
}

static bool told(const char *part)
{
    return strstr(sl_err_text(&err), part) != NULL;
}

/* The root's own signature is of another kind where there is one: an anchor's does not count. */
static struct test_cert leaf_of(struct test_cert *root, const struct algorithm *a)
{
    *root = test_cert(&(struct test_spec){
        .subject = "CN=root", .key = a->key, .ca = true, .md = a->md ? "SHA224" : NULL });
    struct test_cert leaf =
        test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = root, .md = a->md });
    if (a->pss)
        sign_pss(&leaf, root->key, a->md);
    return leaf;
}

START_TEST(each_algorithm_passes_by_its_own_name_alone)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algorithms); i++) {
        const struct algorithm *a = &algorithms[i];
        struct test_cert root, leaf = leaf_of(&root, a);
        ck_ok(with_list(&root, leaf.der, NULL, 0), &err);
        for (size_t k = 0; k < SL_ARRAY_LEN(algorithms); k++) {
            enum sl_rc rc = with_list(&root, leaf.der, &algorithms[k].name, 1);
            ck_assert_msg(rc == (i == k ? SL_OK : SL_CERT_WEAK), "%s against %s: %s: %s", a->name,
                          algorithms[k].name, sl_rc_name(rc), sl_err_text(&err));
            if (i != k)
                ck_assert_msg(told("CN=leaf") && told(a->name) && told("trust.signature") &&
                                  told(algorithms[k].name),
                              "%s", sl_err_text(&err));
        }
        ck_ok(with_list(&root, leaf.der, &a->openssl, 1), &err);
    }
}
END_TEST

START_TEST(any_name_of_a_list_is_enough)
{
    static const char *const names[] = { "ed25519", "RSA-PSS-SHA384" };
    struct test_cert root, leaf = leaf_of(&root, &algorithms[4]);
    ck_ok(with_list(&root, leaf.der, names, 2), &err);
    ck_rc(with_list(&root, leaf.der, names, 1), SL_CERT_WEAK, &err);
    static const char *const unknown[] = { "no-such-algorithm" }; /* allows nothing */
    ck_rc(with_list(&root, leaf.der, unknown, 1), SL_CERT_WEAK, &err);
}
END_TEST

START_TEST(hash_of_pss_that_has_no_name_passes_only_without_hash)
{
    static const char *const exact[] = { "rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512" };
    static const char *const any[] = { "rsassa-pss" };
    struct test_cert root, leaf = leaf_of(&root, &algorithms[3]);
    sign_pss(&leaf, root.key, "SHA224");
    ck_ok(with_list(&root, leaf.der, NULL, 0), &err);
    ck_ok(with_list(&root, leaf.der, any, 1), &err);
    ck_rc(with_list(&root, leaf.der, exact, 3), SL_CERT_WEAK, &err);
    ck_assert_msg(told("rsassa-pss with SHA224"), "%s", sl_err_text(&err));
}
END_TEST

START_TEST(intermediates_fall_under_the_list_too)
{
    static const char *const names[] = { "ecdsa-sha384", "ecdsa-sha256" };
    struct test_cert root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct test_cert sub = test_cert(
        &(struct test_spec){ .subject = "CN=sub", .by = &root, .ca = true, .md = "SHA256" });
    struct test_cert leaf =
        test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &sub, .md = "SHA384" });
    struct sl_bytes v[] = { leaf.der, sub.der };
    ck_ok(build(&root, v, 2, (struct sl_path_params){ .signature = names, .signature_n = 2 }),
          &err);
    ck_rc(build(&root, v, 2, (struct sl_path_params){ .signature = names, .signature_n = 1 }),
          SL_CERT_WEAK, &err);
    ck_assert_msg(told("CN=sub") && told("ecdsa-sha256"), "%s", sl_err_text(&err));
}
END_TEST

START_TEST(names_that_are_not_known_are_not_valid)
{
    static const char *const bad[] = { "",        "rsa",           "sha256", "rsa-sha1",
                                       "rsa-md5", "ecdsa-sha256x", "dsa",    "rsa-pss" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!sl_signature_valid(bad[i]), "%s", bad[i]);
    for (size_t i = 0; i < SL_ARRAY_LEN(algorithms); i++)
        ck_assert(sl_signature_valid(algorithms[i].name) &&
                  sl_signature_valid(algorithms[i].openssl));
    size_t n = 0;
    while (sl_signature_name(n))
        ck_assert(sl_signature_valid(sl_signature_name(n++)));
    ck_assert_uint_eq(n, SL_ARRAY_LEN(algorithms) + 1); /* and rsassa-pss */
}
END_TEST

START_TEST(elliptic_curve_keys_have_a_minimum)
{
    static const struct {
        const char *root, *leaf;
        uint16_t min;
        const char *refused; /* the certificate; NULL: accepted */
    } cases[] = {
        { "p256", "p224", 0, "CN=leaf" },   { "p256", "p224", 224, NULL },
        { "p256", "p224", 256, "CN=leaf" }, { "p224", "p256", 0, "CN=root" },
        { "p256", "p256", 0, NULL },        { "p256", "p256", 256, NULL },
        { "p384", "p256", 257, "CN=leaf" }, { "p384", "p384", 384, NULL },
        { "p256", "p384", 384, "CN=root" }, { "p521", "p521", 521, NULL },
        { "p521", "p384", 521, "CN=leaf" }, { "ed25519", "ed25519", 521, NULL },
        { "ed448", "rsa:2048", 521, NULL },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_cert root = test_cert(
            &(struct test_spec){ .subject = "CN=root", .key = cases[i].root, .ca = true });
        struct test_cert leaf = test_cert(
            &(struct test_spec){ .subject = "CN=leaf", .key = cases[i].leaf, .by = &root });
        enum sl_rc rc =
            build(&root, &leaf.der, 1, (struct sl_path_params){ .min_ec_bits = cases[i].min });
        ck_assert_msg(rc == (cases[i].refused ? SL_CERT_WEAK : SL_OK), "%zu: %s: %s", i,
                      sl_rc_name(rc), sl_err_text(&err));
        if (cases[i].refused)
            ck_assert_msg(told(cases[i].refused) && told("elliptic curve key of"), "%s",
                          sl_err_text(&err));
    }
}
END_TEST

SL_TESTS(path_algorithms, SL_CASE(each_algorithm_passes_by_its_own_name_alone),
         SL_CASE(any_name_of_a_list_is_enough),
         SL_CASE(hash_of_pss_that_has_no_name_passes_only_without_hash),
         SL_CASE(intermediates_fall_under_the_list_too),
         SL_CASE(names_that_are_not_known_are_not_valid),
         SL_CASE(elliptic_curve_keys_have_a_minimum))
