/* CRLs: what each says about a certificate, and what makes it worthless (RFC 5280 6.3.3). */
#include "sealane/certs.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <string.h>

static struct sl_err err;
static struct sl_rev_answer answer;

static struct sl_cert *read_cert(struct sl_bytes der)
{
    struct sl_cert *c = NULL;
    ck_ok(sl_cert_read(&c, der, &err), &err);
    return c;
}

static enum sl_rc check_at(struct sl_bytes crl_der, struct sl_bytes leaf, struct sl_bytes ca,
                           int64_t now)
{
    SL_AUTO(sl_cert) *cert = read_cert(leaf);
    SL_AUTO(sl_cert) *issuer = read_cert(ca);
    SL_AUTO(sl_crl) *crl = NULL;
    sl_err_reset(&err);
    memset(&answer, 0, sizeof(answer));
    SL_TRY(sl_crl_read(&crl, crl_der, &err));
    enum sl_rc first = sl_crl_check(crl, cert, issuer, now, &answer, &err);
    /* the remembered signature changes nothing */
    ck_assert_int_eq(sl_crl_check(crl, cert, issuer, now, &answer, &err), first);
    return first;
}

static struct test_cert ca, leaf;
static const char cdp[] = "crlDistributionPoints=URI:http://crl.example/1.crl\n";

static void setup(void)
{
    ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    leaf =
        test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &ca, .serial = 77, .ext = cdp });
}

static enum sl_rc check(const struct test_crl_spec *spec)
{
    return check_at(test_crl(spec), leaf.der, ca.der, TEST_NOW);
}

START_TEST(fresh_crl_without_the_serial_is_good)
{
    setup();
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .number = 3, .revoked = { 78, 79 } }), SL_OK,
          &err);
    ck_assert(!answer.revoked);
    ck_assert_int_eq(answer.next_update, TEST_NOW + TEST_DAY);
    ck_assert_str_eq(answer.responder, "CN=CA");
}
END_TEST

START_TEST(serial_on_the_list_is_revoked_with_its_reason)
{
    setup();
    ck_rc(check(&(struct test_crl_spec){
              .by = &ca, .revoked = { 76, 77 }, .reason = "keyCompromise" }),
          SL_OK, &err);
    ck_assert(answer.revoked);
    ck_assert_str_eq(answer.why, "keyCompromise");
    ck_assert_int_eq(answer.revoked_utc_s, TEST_NOW - 7200);
}
END_TEST

START_TEST(times_decide_between_fresh_stale_and_future)
{
    setup();
    struct sl_bytes crl = test_crl(&(struct test_crl_spec){ .by = &ca, .revoked = { 77 } });
    ck_rc(check_at(crl, leaf.der, ca.der, TEST_NOW + TEST_DAY), SL_OK, &err);
    ck_rc(check_at(crl, leaf.der, ca.der, TEST_NOW + TEST_DAY + 1), SL_REVOCATION_STALE, &err);
    ck_assert(answer.revoked); /* a stale answer is still told */
    ck_rc(check_at(crl, leaf.der, ca.der, TEST_NOW - 3600 - SL_REV_SKEW_S), SL_OK, &err);
    ck_rc(check_at(crl, leaf.der, ca.der, TEST_NOW - 3600 - SL_REV_SKEW_S - 1),
          SL_REVOCATION_INVALID, &err);
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .no_next = true }), SL_REVOCATION_INVALID,
          &err);
}
END_TEST

START_TEST(wrong_signer_issuer_or_hash_is_invalid)
{
    setup();
    struct test_cert other = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    struct test_cert named = test_cert(&(struct test_spec){ .subject = "CN=other", .ca = true });
    struct test_cert nosign = test_cert(&(struct test_spec){
        .subject = "CN=CA",
        .same_key = &ca,
        .ext = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n" });
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .signer = &other }), SL_REVOCATION_INVALID,
          &err);
    ck_rc(check(&(struct test_crl_spec){ .by = &named }), SL_REVOCATION_INVALID, &err);
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .md = "SHA1" }), SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "too weak"));
    ck_rc(check_at(test_crl(&(struct test_crl_spec){ .by = &ca }), leaf.der, nosign.der, TEST_NOW),
          SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "cRLSign"));
}
END_TEST

START_TEST(scope_must_hold_the_certificate)
{
    static const struct {
        const char *idp;
        enum sl_rc rc;
    } cases[] = {
        { "[idp]\nonlyuser=TRUE\n", SL_OK },
        { "[idp]\nonlyCA=TRUE\n", SL_REVOCATION_INVALID },
        { "[idp]\nonlyAA=TRUE\n", SL_REVOCATION_INVALID },
        { "[idp]\nindirectCRL=TRUE\n", SL_OK },
        { "[idp]\nonlysomereasons=keyCompromise\n", SL_REVOCATION_INVALID },
        { "[idp]\nfullname=URI:http://crl.example/1.crl\n", SL_OK },
        { "[idp]\nfullname=URI:http://crl.example/2.crl\n", SL_REVOCATION_INVALID },
    };
    setup();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        ck_rc(check(&(struct test_crl_spec){ .by = &ca, .number = 1, .idp = cases[i].idp }),
              cases[i].rc, &err);
}
END_TEST

START_TEST(delta_and_unknown_critical_extensions_are_invalid)
{
    setup();
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .number = 2, .delta = true }),
          SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "delta"));
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .critical = true }), SL_REVOCATION_INVALID,
          &err);
    ck_rc(check(&(struct test_crl_spec){ .by = &ca, .revoked = { 5 }, .critical_entry = true }),
          SL_REVOCATION_INVALID, &err);
}
END_TEST

START_TEST(numbers_order_lists)
{
    setup();
    SL_AUTO(sl_crl) *a = NULL;
    SL_AUTO(sl_crl) *b = NULL;
    SL_AUTO(sl_crl) *none = NULL;
    ck_ok(sl_crl_read(&a, test_crl(&(struct test_crl_spec){ .by = &ca, .number = 9 }), &err), &err);
    ck_ok(sl_crl_read(&b, test_crl(&(struct test_crl_spec){ .by = &ca, .number = 300 }), &err),
          &err);
    ck_ok(sl_crl_read(&none, test_crl(&(struct test_crl_spec){ .by = &ca, .number = -1 }), &err),
          &err);
    ck_assert_int_eq(sl_crl_number_cmp(a, b), -1);
    ck_assert_int_eq(sl_crl_number_cmp(b, a), 1);
    ck_assert_int_eq(sl_crl_number_cmp(a, none), 0);
    ck_assert_str_eq(sl_crl_number(b), "012c");
}
END_TEST

START_TEST(read_refuses_every_truncation_and_stray_bytes)
{
    setup();
    struct sl_bytes crl =
        test_crl(&(struct test_crl_spec){ .by = &ca, .number = 1, .revoked = { 77 } });
    struct sl_crl *got = NULL;
    for (size_t len = 0; len < crl.len; len++)
        ck_assert_int_ne(sl_crl_read(&got, sl_bytes(crl.p, len), &err), SL_OK);
    ck_assert_ptr_null(got);
    struct sl_buf more = { 0 };
    ck_assert(sl_buf_put(&more, crl) && sl_buf_put(&more, sl_str("\n")));
    ck_rc(sl_crl_read(&got, sl_buf_bytes(&more), &err), SL_REVOCATION_INVALID, &err);
    sl_buf_clear(&more);
}
END_TEST

/* NIST PKITS 1.0.1, sections 4.4 and 4.14. */
START_TEST(pkits_samples_agree)
{
    static const struct {
        const char *id, *leaf, *ca, *crl;
        enum sl_rc rc;
    } cases[] = {
#include "tests/vectors/pkits/crl_samples.inc"
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char a[200], b[200], c[200];
        snprintf(a, sizeof(a), "vectors/pkits/certs/%s.crt", cases[i].leaf);
        snprintf(b, sizeof(b), "vectors/pkits/certs/%s.crt", cases[i].ca);
        snprintf(c, sizeof(c), "vectors/pkits/crls/%s.crl", cases[i].crl);
        enum sl_rc rc = check_at(sl_test_file(c), sl_test_file(a), sl_test_file(b), 1320105600);
        if (rc == SL_OK && answer.revoked)
            rc = SL_REVOKED;
        ck_assert_msg(rc == cases[i].rc, "PKITS %s: got %s, want %s: %s", cases[i].id,
                      sl_rc_name(rc), sl_rc_name(cases[i].rc), sl_err_text(&err));
    }
}
END_TEST

SL_TESTS(crl, SL_CASE(fresh_crl_without_the_serial_is_good),
         SL_CASE(serial_on_the_list_is_revoked_with_its_reason),
         SL_CASE(times_decide_between_fresh_stale_and_future),
         SL_CASE(wrong_signer_issuer_or_hash_is_invalid), SL_CASE(scope_must_hold_the_certificate),
         SL_CASE(delta_and_unknown_critical_extensions_are_invalid), SL_CASE(numbers_order_lists),
         SL_CASE(read_refuses_every_truncation_and_stray_bytes), SL_CASE(pkits_samples_agree))
