/* OCSP responses: who may sign, for whom, how long (RFC 6960 3.2, 4.2). */
#include "sealane/revocation.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <openssl/ocsp.h>

#include <string.h>

static struct sl_err err;
static struct sl_rev_answer answer;
static struct test_cert ca, leaf, delegate;

#define GOOD V_OCSP_CERTSTATUS_GOOD

static void setup(void)
{
    ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    leaf = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &ca });
    delegate = test_cert(
        &(struct test_spec){ .subject = "CN=ocsp",
                             .by = &ca,
                             .ext = "keyUsage=critical,digitalSignature\nextendedKeyUsage="
                                    "OCSPSigning\nnoCheck=ignored\n" });
}

static enum sl_rc check_der(struct sl_bytes der, struct sl_bytes nonce, int64_t now)
{
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *issuer = NULL;
    ck_ok(sl_cert_read(&cert, leaf.der, &err), &err);
    ck_ok(sl_cert_read(&issuer, ca.der, &err), &err);
    sl_err_reset(&err);
    memset(&answer, 0, sizeof(answer));
    return sl_ocsp_check(der, cert, issuer, nonce, now, &answer, &err);
}

static enum sl_rc check(struct test_ocsp_spec spec)
{
    if (!spec.cert)
        spec.cert = &leaf;
    if (!spec.by)
        spec.by = &ca;
    return check_der(test_ocsp(&spec), (struct sl_bytes){ 0 }, TEST_NOW);
}

START_TEST(direct_and_delegated_good_are_good)
{
    setup();
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD }), SL_OK, &err);
    ck_assert(!answer.revoked);
    ck_assert_str_eq(answer.responder, "CN=CA");
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .by_key = true }), SL_OK, &err);
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .sha256 = true }), SL_OK, &err);
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .signer = &delegate }), SL_OK, &err);
    ck_assert_str_eq(answer.responder, "CN=ocsp");
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .signer = &delegate, .by_key = true }),
          SL_OK, &err);
}
END_TEST

START_TEST(revoked_is_told_with_time_and_reason)
{
    setup();
    ck_rc(check((struct test_ocsp_spec){ .status = V_OCSP_CERTSTATUS_REVOKED }), SL_OK, &err);
    ck_assert(answer.revoked);
    ck_assert_int_eq(answer.revoked_utc_s, TEST_NOW - 7200);
    ck_assert_str_eq(answer.why, "keyCompromise");
}
END_TEST

START_TEST(unknown_and_error_statuses_have_their_codes)
{
    setup();
    ck_rc(check((struct test_ocsp_spec){ .status = V_OCSP_CERTSTATUS_UNKNOWN }),
          SL_REVOCATION_UNKNOWN, &err);
    ck_rc(check((struct test_ocsp_spec){ .response_status = OCSP_RESPONSE_STATUS_TRYLATER }),
          SL_REVOCATION_UNAVAILABLE, &err);
}
END_TEST

START_TEST(delegate_that_is_not_one_is_invalid)
{
    setup();
    static const char good[] =
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored\n";
    struct test_cert other_ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    const struct test_cert bad[] = {
        test_cert(&(struct test_spec){
            .subject = "CN=o", .by = &ca, .ext = "extendedKeyUsage=serverAuth\nnoCheck=x\n" }),
        test_cert(&(struct test_spec){ .subject = "CN=o", .by = &ca, .ext = "noCheck=x\n" }),
        test_cert(&(struct test_spec){
            .subject = "CN=o", .by = &ca, .ext = "extendedKeyUsage=OCSPSigning\n" }),
        test_cert(&(struct test_spec){
            .subject = "CN=o",
            .by = &ca,
            .ext = "extendedKeyUsage=OCSPSigning\nnoCheck=x\nkeyUsage=keyEncipherment\n" }),
        test_cert(
            &(struct test_spec){ .subject = "CN=o", .by = &ca, .to = TEST_NOW - 1, .ext = good }),
        test_cert(&(struct test_spec){ .subject = "CN=o", .by = &other_ca, .ext = good }),
        test_cert(&(struct test_spec){ .subject = "CN=o", .ext = good }),
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        enum sl_rc rc = check((struct test_ocsp_spec){ .status = GOOD, .signer = &bad[i] });
        ck_assert_msg(rc == SL_REVOCATION_INVALID, "case %zu: %s", i, sl_rc_name(rc));
    }
    ck_rc(
        check((struct test_ocsp_spec){ .status = GOOD, .signer = &delegate, .without_cert = true }),
        SL_REVOCATION_INVALID, &err);
}
END_TEST

START_TEST(response_for_another_certificate_or_issuer_is_invalid)
{
    setup();
    struct test_cert other = test_cert(&(struct test_spec){ .subject = "CN=other", .by = &ca });
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .cert = &other }), SL_REVOCATION_INVALID,
          &err);
    struct test_cert ca2 = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .by = &ca2 }), SL_REVOCATION_INVALID,
          &err);
}
END_TEST

START_TEST(times_decide_between_fresh_stale_and_future)
{
    setup();
    struct sl_bytes r =
        test_ocsp(&(struct test_ocsp_spec){ .cert = &leaf, .by = &ca, .status = GOOD });
    struct sl_bytes none = { 0 };
    ck_rc(check_der(r, none, TEST_NOW + TEST_DAY), SL_OK, &err);
    ck_rc(check_der(r, none, TEST_NOW + TEST_DAY + 1), SL_REVOCATION_STALE, &err);
    ck_rc(check_der(r, none, TEST_NOW - 3600 - SL_REV_SKEW_S - 1), SL_REVOCATION_INVALID, &err);
    r = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &leaf, .by = &ca, .status = GOOD, .no_next = true });
    ck_rc(check_der(r, none, TEST_NOW - 3600 + SL_OCSP_NO_NEXT_S), SL_OK, &err);
    ck_rc(check_der(r, none, TEST_NOW - 3600 + SL_OCSP_NO_NEXT_S + 1), SL_REVOCATION_STALE, &err);
}
END_TEST

START_TEST(nonce_that_was_asked_for_must_come_back)
{
    setup();
    struct sl_bytes n = sl_str("0123456789abcdef"), other = sl_str("0123456789abcdeX");
    struct sl_bytes with =
        test_ocsp(&(struct test_ocsp_spec){ .cert = &leaf, .by = &ca, .status = GOOD, .nonce = n });
    struct sl_bytes without =
        test_ocsp(&(struct test_ocsp_spec){ .cert = &leaf, .by = &ca, .status = GOOD });
    ck_rc(check_der(with, n, TEST_NOW), SL_OK, &err);
    ck_rc(check_der(with, other, TEST_NOW), SL_REVOCATION_INVALID, &err);
    ck_rc(check_der(without, n, TEST_NOW), SL_REVOCATION_INVALID, &err);
    ck_rc(check_der(with, (struct sl_bytes){ 0 }, TEST_NOW), SL_OK, &err);
}
END_TEST

START_TEST(nonce_of_up_to_32_bytes_comes_wrapped_or_bare)
{
    setup();
    static const char text[] = "0123456789abcdef0123456789abcdef";
    for (size_t len = 1; len <= 32; len++)
        for (int bare = 0; bare <= 1; bare++) {
            struct sl_bytes n = sl_bytes(text, len);
            struct sl_bytes r = test_ocsp(&(struct test_ocsp_spec){
                .cert = &leaf, .by = &ca, .status = GOOD, .nonce = n, .bare_nonce = bare });
            ck_rc(check_der(r, n, TEST_NOW), SL_OK, &err);
            ck_rc(check_der(r, sl_bytes(text, len - 1 ? len - 1 : 2), TEST_NOW),
                  SL_REVOCATION_INVALID, &err);
        }
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO_BUF out = { 0 };
    ck_ok(sl_cert_read(&cert, leaf.der, &err), &err);
    ck_ok(sl_cert_read(&issuer, ca.der, &err), &err);
    ck_rc(sl_ocsp_request(&out, cert, issuer, 1, sl_str("0123456789abcdef0123456789abcdefX"), &err),
          SL_TOO_LARGE, &err);
}
END_TEST

/* ---- delegates --------------------------------------------------------------------------------- */
static struct sl_cert *handed;

static enum sl_rc check_delegated(struct sl_bytes der, const struct test_cert *extra, int64_t now)
{
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO(sl_cert) *configured = NULL;
    ck_ok(sl_cert_read(&cert, leaf.der, &err), &err);
    ck_ok(sl_cert_read(&issuer, ca.der, &err), &err);
    if (extra)
        ck_ok(sl_cert_read(&configured, extra->der, &err), &err);
    sl_err_reset(&err);
    sl_cert_free(handed);
    handed = NULL;
    return sl_ocsp_check_delegated(der, cert, issuer, configured, (struct sl_bytes){ 0 }, now,
                                   &answer, &handed, &err);
}

START_TEST(delegate_without_nocheck_is_handed_out)
{
    setup();
    struct test_cert looked_up = test_cert(&(struct test_spec){
        .subject = "CN=o", .by = &ca, .serial = 4242, .ext = "extendedKeyUsage=OCSPSigning\n" });
    struct test_ocsp_spec spec = { .cert = &leaf, .by = &ca, .status = GOOD, .signer = &looked_up };
    ck_rc(check_der(test_ocsp(&spec), (struct sl_bytes){ 0 }, TEST_NOW), SL_REVOCATION_INVALID,
          &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "nocheck"));
    ck_rc(check_delegated(test_ocsp(&spec), NULL, TEST_NOW), SL_OK, &err);
    ck_assert_ptr_nonnull(handed);
    ck_bytes_eq(sl_cert_der(handed), looked_up.der);
    ck_rc(check_delegated(test_ocsp(&spec), NULL, TEST_NOW + TEST_DAY + 1), SL_REVOCATION_STALE,
          &err);
    ck_assert_ptr_nonnull(handed);
    spec.signer = &delegate; /* has nocheck */
    ck_rc(check_delegated(test_ocsp(&spec), NULL, TEST_NOW), SL_OK, &err);
    ck_assert_ptr_null(handed);
    spec.signer = NULL; /* the CA itself */
    ck_rc(check_delegated(test_ocsp(&spec), NULL, TEST_NOW), SL_OK, &err);
    ck_assert_ptr_null(handed);
}
END_TEST

START_TEST(configured_responder_needs_no_delegation)
{
    setup();
    struct test_cert own = test_cert(&(struct test_spec){ .subject = "CN=local responder" });
    struct test_cert same_name = test_cert(&(struct test_spec){ .subject = "CN=local responder" });
    struct test_cert old =
        test_cert(&(struct test_spec){ .subject = "CN=local responder", .to = TEST_NOW - 1 });
    struct test_ocsp_spec spec = { .cert = &leaf, .by = &ca, .status = GOOD, .signer = &own };
    ck_rc(check_delegated(test_ocsp(&spec), NULL, TEST_NOW), SL_REVOCATION_INVALID, &err);
    ck_rc(check_delegated(test_ocsp(&spec), &own, TEST_NOW), SL_OK, &err);
    ck_assert_str_eq(answer.responder, "CN=local responder");
    ck_assert_ptr_null(handed);
    ck_rc(check_delegated(test_ocsp(&spec), &same_name, TEST_NOW), SL_REVOCATION_INVALID, &err);
    spec.without_cert = true; /* its certificate is at hand */
    ck_rc(check_delegated(test_ocsp(&spec), &own, TEST_NOW), SL_OK, &err);
    spec.signer = &old;
    ck_rc(check_delegated(test_ocsp(&spec), &old, TEST_NOW), SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "not valid now"));
}
END_TEST

START_TEST(certificate_of_the_same_name_before_the_delegates_is_passed_over)
{
    setup();
    struct test_cert decoy = test_cert(&(struct test_spec){ .subject = "CN=ocsp" });
    ck_rc(
        check((struct test_ocsp_spec){ .status = GOOD, .signer = &delegate, .first_cert = &decoy }),
        SL_OK, &err);
    struct test_cert weak =
        test_cert(&(struct test_spec){ .subject = "CN=o",
                                       .by = &ca,
                                       .md = "SHA1",
                                       .ext = "extendedKeyUsage=OCSPSigning\nnoCheck=x\n" });
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .signer = &weak }), SL_REVOCATION_INVALID,
          &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "too weak"));
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .md = "SHA1" }), SL_REVOCATION_INVALID,
          &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "too weak"));
}
END_TEST

START_TEST(delegate_of_the_same_name_but_another_key_of_the_ca_is_invalid)
{
    setup();
    struct test_cert rolled = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    struct test_cert by_new = test_cert(&(struct test_spec){
        .subject = "CN=o", .by = &rolled, .ext = "extendedKeyUsage=OCSPSigning\nnoCheck=x\n" });
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .signer = &by_new }),
          SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "not issued by"));
}
END_TEST

/* ---- several answers --------------------------------------------------------------------------- */
START_TEST(latest_answer_for_the_certificate_counts)
{
    setup();
    struct test_cert other = test_cert(&(struct test_spec){ .subject = "CN=other", .by = &ca });
    struct test_ocsp_single more[] = {
        { &leaf, &ca, V_OCSP_CERTSTATUS_REVOKED, TEST_NOW - 60, 0, false },
        { &leaf, &ca, GOOD, TEST_NOW - 120, 0, false },
    };
    struct test_ocsp_spec spec = { .cert = &other, .status = GOOD, .more = more, .more_n = 2 };
    ck_rc(check(spec), SL_OK, &err);
    ck_assert(answer.revoked);
    ck_assert_int_eq(answer.this_update, TEST_NOW - 60);
    more[1].from = TEST_NOW - 30;
    ck_rc(check(spec), SL_OK, &err);
    ck_assert(!answer.revoked);
    more[1].from = TEST_NOW - 60; /* equally late: the one that revokes, in whatever order */
    ck_rc(check(spec), SL_OK, &err);
    ck_assert(answer.revoked);
    more[0].status = GOOD;
    more[1].status = V_OCSP_CERTSTATUS_REVOKED;
    ck_rc(check(spec), SL_OK, &err);
    ck_assert(answer.revoked);
    more[1].from = TEST_NOW + SL_REV_SKEW_S + 1; /* breaks a rule while there is another */
    ck_rc(check(spec), SL_OK, &err);
    ck_assert(!answer.revoked);
    more[0].critical = true;
    ck_rc(check(spec), SL_REVOCATION_INVALID, &err);
    spec.more_n = 0;
    ck_rc(check(spec), SL_REVOCATION_INVALID, &err);
}
END_TEST

START_TEST(times_that_cannot_be_are_invalid)
{
    setup();
    ck_rc(check((struct test_ocsp_spec){
              .status = GOOD, .from = TEST_NOW - 60, .to = TEST_NOW - 61 }),
          SL_REVOCATION_INVALID, &err);
    ck_rc(check((struct test_ocsp_spec){ .status = GOOD, .produced = TEST_NOW + SL_REV_SKEW_S }),
          SL_OK, &err);
    ck_rc(
        check((struct test_ocsp_spec){ .status = GOOD, .produced = TEST_NOW + SL_REV_SKEW_S + 1 }),
        SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "producedAt"));
}
END_TEST

START_TEST(every_reason_revokes)
{
    setup();
    const int reasons[] = { OCSP_REVOKED_STATUS_CERTIFICATEHOLD,
                            OCSP_REVOKED_STATUS_REMOVEFROMCRL };
    for (size_t i = 0; i < SL_ARRAY_LEN(reasons); i++) {
        ck_rc(check((struct test_ocsp_spec){ .status = V_OCSP_CERTSTATUS_REVOKED,
                                             .reason = reasons[i] }),
              SL_OK, &err);
        ck_assert(answer.revoked);
    }
}
END_TEST

START_TEST(bytes_behind_the_response_or_inside_it_are_invalid)
{
    setup();
    /* The delegate's certificate makes every length one of two octets. */
    struct sl_bytes r = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &leaf, .by = &ca, .status = GOOD, .signer = &delegate });
    SL_AUTO_BUF outside = { 0 };
    ck_assert(sl_buf_put(&outside, r) && sl_buf_put(&outside, sl_str("x")));
    ck_rc(check_der(sl_buf_bytes(&outside), (struct sl_bytes){ 0 }, TEST_NOW),
          SL_REVOCATION_INVALID, &err);
    /* Two bytes more in the OCTET STRING, every length around it raised; the signature holds. */
    SL_AUTO_BUF inside = { 0 };
    ck_assert(sl_buf_put(&inside, r) && sl_buf_put(&inside, sl_bytes("\x05\x00", 2)));
    /* 30 82 LLLL 0a 01 00 a0 82 LLLL 30 82 LLLL 06 09 (9 bytes) 04 82 LLLL */
    const size_t at[] = { 2, 9, 13, 28 };
    for (size_t i = 0; i < SL_ARRAY_LEN(at); i++) {
        ck_assert_uint_eq(inside.p[at[i] - 1], 0x82);
        unsigned len = ((unsigned)inside.p[at[i]] << 8 | inside.p[at[i] + 1]) + 2;
        inside.p[at[i]] = (uint8_t)(len >> 8);
        inside.p[at[i] + 1] = (uint8_t)len;
    }
    ck_rc(check_der(sl_buf_bytes(&inside), (struct sl_bytes){ 0 }, TEST_NOW), SL_REVOCATION_INVALID,
          &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "whole and alone"));
}
END_TEST

START_TEST(every_truncation_and_every_changed_byte_is_not_good)
{
    setup();
    struct sl_bytes r =
        test_ocsp(&(struct test_ocsp_spec){ .cert = &leaf, .by = &ca, .status = GOOD });
    for (size_t len = 0; len < r.len; len++)
        ck_assert_int_ne(check_der(sl_bytes(r.p, len), (struct sl_bytes){ 0 }, TEST_NOW), SL_OK);
    struct sl_bytes copy = test_keep(r);
    for (size_t i = 0; i < r.len; i++) {
        uint8_t *p = (uint8_t *)(uintptr_t)copy.p;
        p[i] ^= 0x10;
        enum sl_rc rc = check_der(copy, (struct sl_bytes){ 0 }, TEST_NOW);
        p[i] ^= 0x10;
        ck_assert_msg(rc != SL_OK || answer.revoked == false, "byte %zu", i);
        /* libcrypto reads some unsigned framing leniently; what is signed is never changed */
        if (rc == SL_OK)
            ck_assert_int_eq(answer.next_update, TEST_NOW + TEST_DAY);
    }
}
END_TEST

START_TEST(request_is_what_libcrypto_reads)
{
    setup();
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *issuer = NULL;
    ck_ok(sl_cert_read(&cert, leaf.der, &err), &err);
    ck_ok(sl_cert_read(&issuer, ca.der, &err), &err);
    for (unsigned bits = 1; bits <= 256; bits += 255) {
        struct sl_buf der = { 0 };
        ck_ok(sl_ocsp_request(&der, cert, issuer, bits, sl_str("nonce-nonce-1234"), &err), &err);
        const unsigned char *p = der.p;
        OCSP_REQUEST *req = d2i_OCSP_REQUEST(NULL, &p, (long)der.len);
        ck_assert_ptr_nonnull(req);
        ck_assert_int_eq(OCSP_request_onereq_count(req), 1);
        OCSP_CERTID *want = OCSP_cert_to_id(bits == 1 ? EVP_sha1() : EVP_sha256(), leaf.x, ca.x);
        ck_assert_int_eq(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(req, 0)), want),
                         0);
        ck_assert_int_ge(OCSP_REQUEST_get_ext_by_NID(req, NID_id_pkix_OCSP_Nonce, -1), 0);
        OCSP_CERTID_free(want);
        OCSP_REQUEST_free(req);
        sl_buf_clear(&der);
    }
}
END_TEST

SL_TESTS(ocsp, SL_CASE(direct_and_delegated_good_are_good),
         SL_CASE(revoked_is_told_with_time_and_reason),
         SL_CASE(unknown_and_error_statuses_have_their_codes),
         SL_CASE(delegate_that_is_not_one_is_invalid),
         SL_CASE(response_for_another_certificate_or_issuer_is_invalid),
         SL_CASE(times_decide_between_fresh_stale_and_future),
         SL_CASE(nonce_that_was_asked_for_must_come_back),
         SL_CASE(nonce_of_up_to_32_bytes_comes_wrapped_or_bare),
         SL_CASE(delegate_without_nocheck_is_handed_out),
         SL_CASE(configured_responder_needs_no_delegation),
         SL_CASE(certificate_of_the_same_name_before_the_delegates_is_passed_over),
         SL_CASE(delegate_of_the_same_name_but_another_key_of_the_ca_is_invalid),
         SL_CASE(latest_answer_for_the_certificate_counts),
         SL_CASE(times_that_cannot_be_are_invalid), SL_CASE(every_reason_revokes),
         SL_CASE(bytes_behind_the_response_or_inside_it_are_invalid),
         SL_CASE(every_truncation_and_every_changed_byte_is_not_good),
         SL_CASE(request_is_what_libcrypto_reads))
