/* Paths to an anchor: each refusal with its own code, times at their boundaries, NIST PKITS samples. */
#include "sealane/certs.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <string.h>

static struct sl_err err;

struct bench {
    struct sl_certs anchors, extra;
    struct sl_bytes peer[SL_CHAIN_MAX];
    size_t n;
};

static void add(struct sl_certs *list, const struct test_cert *c)
{
    ck_ok(sl_certs_load(list, c->der, "test", &err), &err);
}

static enum sl_rc build_with(struct bench *b, struct sl_path_params params)
{
    struct sl_path path = { 0 };
    params.anchors = &b->anchors;
    params.intermediates = &b->extra;
    params.peer = b->peer;
    params.peer_n = b->n;
    if (!params.now_utc_s)
        params.now_utc_s = TEST_NOW;
    sl_err_reset(&err);
    enum sl_rc rc = sl_path_build(&path, &params, &err);
    ck_assert_int_eq(rc == SL_OK, path.n > 0);
    sl_path_clear(&path);
    sl_certs_clear(&b->anchors);
    sl_certs_clear(&b->extra);
    return rc;
}

static enum sl_rc build(struct bench *b)
{
    return build_with(b, (struct sl_path_params){ 0 });
}

/* root anchor, sub CA (sent), leaf (sent) with the given spec of the leaf */
static struct bench three(struct test_spec leaf, struct test_spec sub)
{
    struct bench b = { 0 };
    struct test_cert root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    sub.subject = sub.subject ? sub.subject : "CN=sub";
    sub.by = &root;
    struct test_cert s = test_cert(&sub);
    leaf.subject = leaf.subject ? leaf.subject : "CN=leaf";
    leaf.by = &s;
    struct test_cert l = test_cert(&leaf);
    add(&b.anchors, &root);
    b.peer[0] = l.der;
    b.peer[1] = s.der;
    b.n = 2;
    return b;
}

#define SUB            \
    (struct test_spec) \
    {                  \
        .ca = true     \
    }
#define LEAF           \
    (struct test_spec) \
    {                  \
        0              \
    }

START_TEST(build_finds_the_chain_in_order)
{
    struct bench b = three(LEAF, SUB);
    struct sl_path path = { 0 };
    struct sl_path_params p = {
        .anchors = &b.anchors, .peer = b.peer, .peer_n = b.n, .now_utc_s = TEST_NOW
    };
    ck_ok(sl_path_build(&path, &p, &err), &err);
    ck_assert_uint_eq(path.n, 3);
    ck_assert_str_eq(sl_cert_subject(path.cert[0]), "CN=leaf");
    ck_assert_str_eq(sl_cert_subject(path.cert[1]), "CN=sub");
    ck_assert_str_eq(sl_cert_subject(path.cert[2]), "CN=root");
    sl_path_clear(&path);
    sl_certs_clear(&b.anchors);
}
END_TEST

START_TEST(build_takes_the_intermediate_from_configuration)
{
    struct test_cert root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct test_cert sub =
        test_cert(&(struct test_spec){ .subject = "CN=sub", .by = &root, .ca = true });
    struct test_cert leaf = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &sub });
    struct bench b = { .peer = { leaf.der }, .n = 1 };
    add(&b.anchors, &root);
    ck_rc(build(&b), SL_CERT_UNKNOWN_CA, &err);
    add(&b.anchors, &root);
    add(&b.extra, &sub);
    ck_ok(build(&b), &err);
    /* an intermediate may itself be the anchor (RFC 5280 6.1.1 (d)) */
    add(&b.anchors, &sub);
    ck_ok(build(&b), &err);
}
END_TEST

START_TEST(build_without_a_trusted_ca_names_the_issuer)
{
    struct bench b = three(LEAF, SUB);
    sl_certs_clear(&b.anchors);
    struct test_cert other = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct test_cert another = test_cert(&(struct test_spec){ .subject = "CN=other", .ca = true });
    add(&b.anchors, &another);
    ck_rc(build(&b), SL_CERT_UNKNOWN_CA, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "CN=root"));
    /* the same name with another key is not the CA */
    add(&b.anchors, &other);
    enum sl_rc rc = build(&b);
    ck_assert(rc == SL_CERT_UNKNOWN_CA || rc == SL_CERT_SIGNATURE);
}
END_TEST

START_TEST(build_self_signed_peer_is_unknown)
{
    struct test_cert root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct test_cert self = test_cert(&(struct test_spec){ .subject = "CN=me" });
    struct bench b = { .peer = { self.der }, .n = 1 };
    add(&b.anchors, &root);
    ck_rc(build(&b), SL_CERT_UNKNOWN_CA, &err);
}
END_TEST

START_TEST(validity_is_inclusive_at_both_ends)
{
    static const struct {
        int64_t now;
        enum sl_rc rc;
    } cases[] = { { TEST_NOW - TEST_DAY - 1, SL_CERT_NOT_YET_VALID },
                  { TEST_NOW - TEST_DAY, SL_OK },
                  { TEST_NOW + TEST_DAY, SL_OK },
                  { TEST_NOW + TEST_DAY + 1, SL_CERT_EXPIRED } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct bench b = three(
            (struct test_spec){ .from = TEST_NOW - TEST_DAY, .to = TEST_NOW + TEST_DAY }, SUB);
        ck_rc(build_with(&b, (struct sl_path_params){ .now_utc_s = cases[i].now }), cases[i].rc,
              &err);
        if (cases[i].rc != SL_OK)
            ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "CN=leaf (serial "));
    }
}
END_TEST

START_TEST(expired_ca_names_the_ca)
{
    struct bench b = three(LEAF, (struct test_spec){ .ca = true, .to = TEST_NOW - 1 });
    ck_rc(build(&b), SL_CERT_EXPIRED, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "CN=sub"));
}
END_TEST

START_TEST(issuer_that_is_no_ca_is_refused)
{
    struct bench b =
        three(LEAF, (struct test_spec){ .ext = "basicConstraints=critical,CA:FALSE\n" });
    ck_rc(build(&b), SL_CERT_NOT_CA, &err);
}
END_TEST

START_TEST(issuer_without_certsign_is_refused_by_key_usage)
{
    struct bench b = three(LEAF, (struct test_spec){ .ext = "basicConstraints=critical,CA:TRUE\n"
                                                            "keyUsage=critical,cRLSign\n" });
    ck_rc(build(&b), SL_CERT_KEY_USAGE, &err);
}
END_TEST

START_TEST(path_length_and_name_constraints_hold)
{
    struct bench b = three(
        (struct test_spec){ .ca = true },
        (struct test_spec){
            .ca = false,
            .ext =
                "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n" });
    ck_ok(build_with(&b, (struct sl_path_params){ .any_use = true }), &err);
    struct test_cert root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct test_cert s0 = test_cert(&(struct test_spec){
        .subject = "CN=s0",
        .by = &root,
        .ext = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n" });
    struct test_cert s1 =
        test_cert(&(struct test_spec){ .subject = "CN=s1", .by = &s0, .ca = true });
    struct test_cert leaf = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &s1 });
    struct bench c = { .peer = { leaf.der, s1.der, s0.der }, .n = 3 };
    add(&c.anchors, &root);
    ck_rc(build(&c), SL_CERT_PATH_LENGTH, &err);
    struct bench d =
        three((struct test_spec){ .ext = "subjectAltName=DNS:gw.evil.example\n" },
              (struct test_spec){ .ca = true,
                                  .ext = "nameConstraints=critical,permitted;DNS:good.example\n" });
    ck_rc(build(&d), SL_CERT_NAME_CONSTRAINTS, &err);
    struct bench e =
        three((struct test_spec){ .ext = "subjectAltName=DNS:gw.good.example\n" },
              (struct test_spec){ .ca = true,
                                  .ext = "nameConstraints=critical,permitted;DNS:good.example\n" });
    ck_ok(build(&e), &err);
}
END_TEST

START_TEST(required_policy_that_is_absent_is_refused)
{
    struct bench b = three(
        LEAF, (struct test_spec){ .ca = true,
                                  .ext = "policyConstraints=critical,requireExplicitPolicy:0\n" });
    ck_rc(build(&b), SL_CERT_POLICY, &err);
}
END_TEST

START_TEST(unknown_critical_extension_is_refused)
{
    struct bench b =
        three((struct test_spec){ .ext = "1.3.6.1.4.1.99999.7=critical,DER:0500\n" }, SUB);
    ck_rc(build(&b), SL_CERT_CRITICAL_EXTENSION, &err);
}
END_TEST

START_TEST(wrong_signature_is_refused)
{
    struct bench b = three(LEAF, SUB);
    struct sl_bytes copy = test_keep(b.peer[0]);
    ((uint8_t *)(uintptr_t)copy.p)[copy.len - 1] ^= 1;
    b.peer[0] = copy;
    ck_rc(build(&b), SL_CERT_SIGNATURE, &err);
}
END_TEST

START_TEST(extended_key_usage_must_allow_ike)
{
    static const struct {
        const char *ext, *allow;
        enum sl_rc rc;
    } cases[] = {
        { NULL, NULL, SL_OK },
        { "extendedKeyUsage=1.3.6.1.5.5.7.3.17\n", NULL, SL_OK },
        { "extendedKeyUsage=anyExtendedKeyUsage\n", NULL, SL_OK },
        { "extendedKeyUsage=codeSigning,1.3.6.1.5.5.7.3.17\n", NULL, SL_OK },
        { "extendedKeyUsage=serverAuth\n", NULL, SL_CERT_EKU },
        { "extendedKeyUsage=serverAuth\n", "serverAuth", SL_OK },
        { "extendedKeyUsage=serverAuth\n", "1.3.6.1.5.5.7.3.1", SL_OK },
        { "extendedKeyUsage=serverAuth\n", "ipsecIKE", SL_CERT_EKU },
        { "extendedKeyUsage=1.3.6.1.5.5.8.2.2\n", "ikeIntermediate", SL_OK },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct bench b = three((struct test_spec){ .ext = cases[i].ext }, SUB);
        ck_rc(build_with(&b, (struct sl_path_params){ .eku = &cases[i].allow,
                                                      .eku_n = cases[i].allow != NULL }),
              cases[i].rc, &err);
    }
    ck_assert(sl_eku_valid("serverAuth") && sl_eku_valid("1.2.3.4") && !sl_eku_valid("noSuchUse"));
}
END_TEST

START_TEST(key_usage_of_the_peer_must_allow_signing)
{
    struct bench b = three((struct test_spec){ .ext = "keyUsage=critical,keyEncipherment\n" }, SUB);
    ck_rc(build(&b), SL_CERT_KEY_USAGE, &err);
    struct bench c = three((struct test_spec){ .ext = "keyUsage=critical,nonRepudiation\n" }, SUB);
    ck_ok(build(&c), &err);
}
END_TEST

START_TEST(weak_keys_and_hashes_are_refused)
{
    struct bench b = three((struct test_spec){ .key = "rsa:1024" }, SUB);
    ck_rc(build(&b), SL_CERT_WEAK, &err);
    struct bench c = three((struct test_spec){ .key = "rsa:2048" }, SUB);
    ck_rc(build_with(&c, (struct sl_path_params){ .min_rsa_bits = 3072 }), SL_CERT_WEAK, &err);
    struct bench d = three((struct test_spec){ .md = "SHA1" }, SUB);
    ck_rc(build(&d), SL_CERT_WEAK, &err);
}
END_TEST

START_TEST(path_longer_than_the_budget_is_refused)
{
    struct test_cert ca = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct bench b = { 0 };
    add(&b.anchors, &ca);
    for (size_t i = 0; i < SL_PATH_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "CN=s%zu", i);
        ca = test_cert(&(struct test_spec){ .subject = name, .by = &ca, .ca = true });
        b.peer[SL_PATH_MAX - i] = ca.der;
    }
    b.peer[0] = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &ca }).der;
    b.n = SL_PATH_MAX + 1;
    enum sl_rc rc = build(&b);
    ck_assert_msg(rc == SL_CERT_BUDGET || rc == SL_CERT_UNKNOWN_CA, "%s", sl_rc_name(rc));
}
END_TEST

START_TEST(nothing_sent_and_rubbish_sent_are_refused)
{
    struct bench b = three(LEAF, SUB);
    b.n = 0;
    ck_rc(build(&b), SL_CERT_NONE, &err);
    struct bench c = three(LEAF, SUB);
    c.peer[0] = sl_str("rubbish");
    ck_rc(build(&c), SL_CERT_MALFORMED, &err);
    /* rubbish beside a good chain does no harm */
    struct bench d = three(LEAF, SUB);
    d.peer[2] = sl_str("rubbish");
    d.n = 3;
    ck_ok(build(&d), &err);
}
END_TEST

/* NIST PKITS 1.0.1 (tests/vectors/pkits): end entity, intermediates, expected verdict. */
START_TEST(pkits_samples_agree)
{
    static const struct {
        const char *id, *path[5];
        enum sl_rc rc;
    } cases[] = {
#include "tests/vectors/pkits/samples.inc"
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct bench b = { 0 };
        char name[200];
        ck_ok(sl_certs_load(&b.anchors,
                            sl_test_file("vectors/pkits/certs/TrustAnchorRootCertificate.crt"),
                            "anchor", &err),
              &err);
        for (size_t k = 0; k < 5 && cases[i].path[k]; k++) {
            snprintf(name, sizeof(name), "vectors/pkits/certs/%s.crt", cases[i].path[k]);
            b.peer[b.n++] = sl_test_file(name);
        }
        enum sl_rc rc =
            build_with(&b, (struct sl_path_params){ .now_utc_s = 1320105600, .any_use = true });
        ck_assert_msg(rc == cases[i].rc, "PKITS %s: got %s, want %s: %s", cases[i].id,
                      sl_rc_name(rc), sl_rc_name(cases[i].rc), sl_err_text(&err));
    }
}
END_TEST

SL_TESTS(path, SL_CASE(build_finds_the_chain_in_order),
         SL_CASE(build_takes_the_intermediate_from_configuration),
         SL_CASE(build_without_a_trusted_ca_names_the_issuer),
         SL_CASE(build_self_signed_peer_is_unknown), SL_CASE(validity_is_inclusive_at_both_ends),
         SL_CASE(expired_ca_names_the_ca), SL_CASE(issuer_that_is_no_ca_is_refused),
         SL_CASE(issuer_without_certsign_is_refused_by_key_usage),
         SL_CASE(path_length_and_name_constraints_hold),
         SL_CASE(required_policy_that_is_absent_is_refused),
         SL_CASE(unknown_critical_extension_is_refused), SL_CASE(wrong_signature_is_refused),
         SL_CASE(extended_key_usage_must_allow_ike),
         SL_CASE(key_usage_of_the_peer_must_allow_signing),
         SL_CASE(weak_keys_and_hashes_are_refused), SL_CASE(path_longer_than_the_budget_is_refused),
         SL_CASE(nothing_sent_and_rubbish_sent_are_refused), SL_CASE(pkits_samples_agree))
