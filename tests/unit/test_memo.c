/*
 * Remembered validations: what was good is answered alike without work, and never once anything could
 * speak against it: a CRL, a time, another chain, another response, another section.
 */
#include "src/ident/internal.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <string.h>

static struct sl_err err;

struct bench {
    struct test_cert root, sub, leaf;
    struct sl_conf_trust trust[2];
    struct sl_config config;
    struct sl_decider *d;
    struct sl_now now;
};

static void put_crl(struct bench *b, const struct test_cert *by, const char *what, long number,
                    long revoked, int64_t to)
{
    struct sl_bytes crl = test_crl(
        &(struct test_crl_spec){ .by = by, .number = number, .revoked = { revoked }, .to = to });
    ck_ok(sl_decider_crl(b->d, "a", crl, what, &err), &err);
    ck_ok(sl_decider_crl(b->d, "b", crl, what, &err), &err);
}

static struct bench *setup(void)
{
    static struct bench b;
    static char names[2][2] = { "a", "b" };
    b = (struct bench){ .now = { .mono_ns = 1, .utc_s = TEST_NOW } };
    for (int i = 0; i < 2; i++)
        b.trust[i] = (struct sl_conf_trust){
            .name = names[i], .deadline_ms = 1000, .ocsp = true, .crl = true, .grace_s = TEST_DAY
        };
    b.trust[1].explicit_policy = true; /* and the leaf has none */
    b.config = (struct sl_config){ .trust = b.trust, .trust_n = 2 };
    b.root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    b.sub = test_cert(&(struct test_spec){ .subject = "CN=sub", .by = &b.root, .ca = true });
    b.leaf = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &b.sub, .serial = 7 });
    ck_ok(sl_decider_new(&b.d, &b.config, &sl_rng_system, &err), &err);
    ck_ok(sl_decider_anchors(b.d, "a", b.root.der, "root", &err), &err);
    ck_ok(sl_decider_anchors(b.d, "b", b.root.der, "root", &err), &err);
    put_crl(&b, &b.root, "root", 1, 0, 0);
    put_crl(&b, &b.sub, "sub", 1, 0, 0);
    return &b;
}

static struct sl_decision *ask_of(struct bench *b, const char *trust, struct sl_bytes leaf,
                                  struct sl_bytes ocsp)
{
    struct sl_validate_ask ask = { .trust = trust,
                                   .cert = { leaf, b->sub.der },
                                   .cert_n = 2,
                                   .ocsp = { ocsp },
                                   .ocsp_n = ocsp.len > 0 };
    ck_ok(sl_decider_validate(b->d, &ask, b->now, NULL, NULL, &err), &err);
    struct sl_decision *x = sl_decider_finished(b->d);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* Validates; whether it was recalled, and the reason that it must have. */
static void expect(struct bench *b, bool recalled, enum sl_rc rc)
{
    struct sl_decision *x = ask_of(b, "a", b->leaf.der, (struct sl_bytes){ 0 });
    ck_assert_msg(x->verdict.rc == rc, "%s: %s", sl_rc_name(x->verdict.rc), x->verdict.text);
    ck_assert_int_eq(x->recalled, recalled);
    sl_decision_free(x);
}

START_TEST(good_again_is_recalled_with_the_same_evidence)
{
    struct bench *b = setup();
    struct sl_decision *first = ask_of(b, "a", b->leaf.der, (struct sl_bytes){ 0 });
    struct sl_decision *second = ask_of(b, "a", b->leaf.der, (struct sl_bytes){ 0 });
    ck_assert(!first->recalled);
    ck_assert(second->recalled);
    ck_assert_int_eq(second->verdict.rc, SL_AUTH_NOT_ASKED);
    ck_assert(json_equal(first->evidence, second->evidence));
    ck_assert_int_eq(first->verdict.reask_utc_s, second->verdict.reask_utc_s);
    ck_assert_str_eq(first->verdict.subject, second->verdict.subject);
    sl_decision_free(first);
    sl_decision_free(second);
    b->now.utc_s += 100;
    second = ask_of(b, "a", b->leaf.der, (struct sl_bytes){ 0 });
    ck_assert(second->recalled);
    const json_t *r = json_array_get(json_object_get(second->evidence, "revocation"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(r, "age_s")), 3600 + 100);
    sl_decision_free(second);
    sl_decider_free(b->d);
}
END_TEST

START_TEST(a_new_crl_ends_what_is_remembered)
{
    struct bench *b = setup();
    expect(b, false, SL_AUTH_NOT_ASKED);
    expect(b, true, SL_AUTH_NOT_ASKED);
    put_crl(b, &b->sub, "sub", 2, 7, 0);
    expect(b, false, SL_REVOKED);
    expect(b, false, SL_REVOKED); /* a refusal is not remembered */
    put_crl(b, &b->sub, "sub", 3, 0, 0);
    expect(b, false, SL_AUTH_NOT_ASKED);
    sl_decider_free(b->d);
}
END_TEST

START_TEST(time_ends_what_is_remembered)
{
    struct bench *b = setup();
    put_crl(b, &b->sub, "sub", 2, 0, TEST_NOW + 50);
    expect(b, false, SL_AUTH_NOT_ASKED);
    b->now.utc_s = TEST_NOW + 50; /* nextUpdate itself is still good */
    expect(b, true, SL_AUTH_NOT_ASKED);
    b->now.utc_s = TEST_NOW + 51;
    expect(b, false, SL_REVOCATION_STALE);
    b->now.utc_s = TEST_NOW - 1; /* a clock set back: what was found later says nothing */
    expect(b, false, SL_AUTH_NOT_ASKED);
    b->now.utc_s = TEST_NOW + 11 * TEST_DAY;
    expect(b, false, SL_CERT_EXPIRED);
    sl_decider_free(b->d);
}
END_TEST

START_TEST(another_chain_section_or_response_is_another_validation)
{
    struct bench *b = setup();
    struct test_cert twin = test_cert(&(struct test_spec){ .subject = "CN=twin", .by = &b->sub });
    expect(b, false, SL_AUTH_NOT_ASKED);
    struct sl_decision *x = ask_of(b, "a", twin.der, (struct sl_bytes){ 0 });
    ck_assert(!x->recalled);
    sl_decision_free(x);
    x = ask_of(b, "b", b->leaf.der, (struct sl_bytes){ 0 });
    ck_assert(!x->recalled);
    ck_assert_int_eq(x->verdict.rc, SL_CERT_POLICY);
    sl_decision_free(x);
    struct sl_bytes revoked = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &b->leaf, .by = &b->sub, .status = 1 /* revoked */ });
    x = ask_of(b, "a", b->leaf.der, revoked);
    ck_assert(!x->recalled);
    ck_assert_int_eq(x->verdict.rc, SL_REVOKED);
    sl_decision_free(x);
    sl_decider_free(b->d);
}
END_TEST

START_TEST(grace_is_never_remembered)
{
    struct bench *b = setup();
    b->trust[0].revocation = SL_REVOCATION_GRACE;
    put_crl(b, &b->sub, "sub", 2, 0, TEST_NOW - 10);
    expect(b, false, SL_AUTH_NOT_ASKED);
    expect(b, false, SL_AUTH_NOT_ASKED);
    sl_decider_free(b->d);
}
END_TEST

SL_TESTS(memo, SL_CASE(good_again_is_recalled_with_the_same_evidence),
         SL_CASE(a_new_crl_ends_what_is_remembered), SL_CASE(time_ends_what_is_remembered),
         SL_CASE(another_chain_section_or_response_is_another_validation),
         SL_CASE(grace_is_never_remembered))
