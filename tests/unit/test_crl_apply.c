/* RFC 5280 6.3.3 over several lists: scope, reasons, indirect lists, deltas. */
#include "sealane/revocation.h"
#include "tests/support/crl_der.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

static struct sl_err err;
static struct sl_crl_status status;
static struct test_cert ca, other_ca, leaf;

/* Serials are written as content octets in hex: 77 is 4d. */
#define LEAF_SERIAL      77
#define LEAF_HEX         "4d"
#define UNKNOWN_CRITICAL "300f06082b060104018d1f010101ff0400"

static struct test_cert leaf_with(const struct test_cert *by, const char *ext)
{
    return test_cert(
        &(struct test_spec){ .subject = "CN=leaf", .by = by, .serial = LEAF_SERIAL, .ext = ext });
}

static void setup(void)
{
    ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    other_ca = test_cert(&(struct test_spec){ .subject = "CN=Other", .ca = true });
    leaf = leaf_with(&ca, "crlDistributionPoints=URI:http://crl.example/1.crl\n");
    memset(&status, 0, sizeof(status));
}

/* Applies one list, with a delta when it has bytes, as signed by who. */
static enum sl_rc apply_by(struct sl_bytes list, struct sl_bytes delta_der,
                           const struct test_cert *who, const struct test_cert *of,
                           const struct test_cert *issuer_of, int64_t now)
{
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO(sl_cert) *signer = NULL;
    SL_AUTO(sl_crl) *crl = NULL;
    SL_AUTO(sl_crl) *delta = NULL;
    ck_ok(sl_cert_read(&cert, of->der, &err), &err);
    ck_ok(sl_cert_read(&issuer, issuer_of->der, &err), &err);
    ck_ok(sl_cert_read(&signer, who->der, &err), &err);
    sl_err_reset(&err);
    SL_TRY(sl_crl_read(&crl, list, &err));
    if (delta_der.len)
        SL_TRY(sl_crl_read(&delta, delta_der, &err));
    const struct sl_crl_use use = { .crl = crl,
                                    .delta = delta,
                                    .crl_issuer = signer,
                                    .cert = cert,
                                    .issuer = issuer,
                                    .now_utc_s = now };
    struct sl_crl_status before = status;
    enum sl_rc rc = sl_crl_apply(&status, &use, &err);
    if (rc != SL_OK)
        ck_assert(before.reasons == status.reasons && before.stale == status.stale &&
                  before.answer.revoked == status.answer.revoked);
    return rc;
}

static enum sl_rc apply(const struct der_crl *spec)
{
    return apply_by(der_crl(spec), (struct sl_bytes){ 0 }, spec->by, &leaf, &ca, TEST_NOW);
}

static enum sl_rc apply_delta(const struct der_crl *complete, const struct der_crl *delta)
{
    memset(&status, 0, sizeof(status));
    return apply_by(der_crl(complete), der_crl(delta), &ca, &leaf, &ca, TEST_NOW);
}

#define says(text) ck_assert_msg(strstr(sl_err_text(&err), text) != NULL, "%s", sl_err_text(&err))

START_TEST(reasons_of_several_lists_add_up)
{
    setup();
    struct der_crl some = { .by = &ca,
                            .idp = "[idp]\nonlysomereasons=keyCompromise,CACompromise\n" };
    ck_rc(apply(&some), SL_OK, &err);
    ck_assert_uint_eq(status.reasons, 1u << 1 | 1u << 2);
    ck_assert(!status.answer.revoked);
    ck_rc(apply(&some), SL_REVOCATION_INVALID, &err); /* nothing new */
    says("6.3.3 (e)");
    struct der_crl rest = { .by = &ca,
                            .to = TEST_NOW + 60,
                            .idp = "[idp]\nonlysomereasons=affiliationChanged,superseded,"
                                   "cessationOfOperation,certificateHold,privilegeWithdrawn,"
                                   "AACompromise\n" };
    ck_rc(apply(&rest), SL_OK, &err);
    ck_assert_uint_eq(status.reasons, SL_REASONS_ALL);
    ck_assert_int_eq(status.answer.next_update, TEST_NOW + 60); /* the list that ends first */
    ck_rc(apply(&(struct der_crl){ .by = &ca }), SL_REVOCATION_INVALID, &err);
}
END_TEST

START_TEST(list_of_some_reasons_alone_does_not_clear)
{
    setup();
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO(sl_crl) *crl = NULL;
    struct sl_rev_answer a;
    ck_ok(sl_cert_read(&cert, leaf.der, &err), &err);
    ck_ok(sl_cert_read(&issuer, ca.der, &err), &err);
    struct der_crl some = { .by = &ca, .idp = "[idp]\nonlysomereasons=keyCompromise\n" };
    ck_ok(sl_crl_read(&crl, der_crl(&some), &err), &err);
    ck_rc(sl_crl_check(crl, cert, issuer, TEST_NOW, &a, &err), SL_REVOCATION_INVALID, &err);
    says("some reasons only");
}
END_TEST

START_TEST(reasons_of_a_point_limit_those_of_the_list)
{
    setup();
    /* libcrypto's section syntax needs a configuration: the point is written by hand. */
    leaf = leaf_with(&ca, "crlDistributionPoints=DER:30:25:30:23:a0:1d:a0:1b:86:19:68:74:74:70:3a:"
                          "2f:2f:63:72:6c:2e:65:78:61:6d:70:6c:65:2f:32:2e:63:72:6c:78:81:02:06:40"
                          "\n");
    struct der_crl at_point = { .by = &ca,
                                .idp = "[idp]\nfullname=URI:http://crl.example/2.crlx\n" };
    ck_rc(apply(&at_point), SL_OK, &err);
    ck_assert_uint_eq(status.reasons, 1u << 1);
    SL_AUTO(sl_cert) *c = NULL;
    ck_ok(sl_cert_read(&c, leaf.der, &err), &err);
    struct sl_crl_point p[SL_CERT_POINTS_MAX];
    ck_assert_uint_eq(sl_cert_crl_points(c, p), 1);
    ck_assert_uint_eq(p[0].reasons, 1u << 1);
    ck_assert_uint_eq(p[0].uri_n, 1);
    ck_assert_str_eq(p[0].uri[0], "http://crl.example/2.crlx");
    ck_assert_uint_eq(p[0].crl_issuer.len, 0);
    /* The issuer's list without a distribution point serves all reasons (end of 6.3.3). */
    ck_rc(apply(&(struct der_crl){ .by = &ca }), SL_OK, &err);
    ck_assert_uint_eq(status.reasons, SL_REASONS_ALL);
}
END_TEST

START_TEST(scope_is_refused_by_its_rule)
{
    static const struct {
        const char *idp, *rule;
    } cases[] = {
        { "[idp]\nonlyCA=TRUE\n", "(b)(2)(iii)" },
        { "[idp]\nonlyAA=TRUE\n", "(b)(2)(iv)" },
        { "[idp]\nonlyuser=TRUE\nonlyCA=TRUE\n", "5.2.5" },
        { "[idp]\nfullname=URI:http://crl.example/2.crl\n", "(b)(2)(i)" },
    };
    setup();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        ck_rc(apply(&(struct der_crl){ .by = &ca, .idp = cases[i].idp }), SL_REVOCATION_INVALID,
              &err);
        says(cases[i].rule);
    }
    leaf = test_cert(&(struct test_spec){ .subject = "CN=sub", .by = &ca, .ca = true });
    ck_rc(apply(&(struct der_crl){ .by = &ca, .idp = "[idp]\nonlyuser=TRUE\n" }),
          SL_REVOCATION_INVALID, &err);
    says("(b)(2)(ii)");
    ck_rc(apply(&(struct der_crl){ .by = &other_ca }), SL_REVOCATION_INVALID, &err);
    says("(b)(1)");
}
END_TEST

/* ---- lists of another issuer ------------------------------------------------------------------- */
/* One point with cRLIssuer CN=Other and no name. */
#define ISSUED_BY_OTHER                                                          \
    "crlDistributionPoints=DER:30:18:30:16:a2:14:a4:12:30:10:31:0e:30:0c:06:03:" \
    "55:04:03:0c:05:4f:74:68:65:72\n"
#define INDIRECT "[idp]\nindirectCRL=TRUE\n"

START_TEST(indirect_list_of_the_named_issuer_counts)
{
    setup();
    leaf = leaf_with(&ca, ISSUED_BY_OTHER);
    /* The first entry is the list issuer's own; CN=CA is carried on to the third. */
    const struct der_entry own[] = { { .serial = LEAF_HEX },
                                     { .serial = "01", .issuer = "CN=CA" },
                                     { .serial = "02" } };
    struct der_crl list = { .by = &other_ca, .idp = INDIRECT, .entry = own, .entry_n = 3 };
    ck_rc(apply(&list), SL_OK, &err);
    ck_assert(!status.answer.revoked);
    ck_assert_uint_eq(status.reasons, SL_REASONS_ALL);
    ck_assert_str_eq(status.answer.responder, "CN=Other");

    const struct der_entry carried[] = { { .serial = LEAF_HEX },
                                         { .serial = "01", .issuer = "CN=CA" },
                                         { .serial = LEAF_HEX, .reason = 4 },
                                         { .serial = "03", .issuer = "CN=Third" },
                                         { .serial = LEAF_HEX, .reason = 1 } };
    memset(&status, 0, sizeof(status));
    list.entry = carried;
    list.entry_n = 5;
    ck_rc(apply(&list), SL_OK, &err);
    ck_assert(status.answer.revoked);
    ck_assert_str_eq(status.answer.why, "superseded");

    list.idp = NULL; /* the same list, not indirect */
    memset(&status, 0, sizeof(status));
    ck_rc(apply(&list), SL_REVOCATION_INVALID, &err);
    says("not indirect");
}
END_TEST

START_TEST(points_tell_the_crl_issuer)
{
    setup();
    SL_AUTO(sl_cert) *c = NULL;
    SL_AUTO(sl_cert) *o = NULL;
    SL_AUTO(sl_crl) *crl = NULL;
    leaf = leaf_with(&ca, ISSUED_BY_OTHER "freshestCRL=URI:http://crl.example/delta.crl\n");
    ck_ok(sl_cert_read(&c, leaf.der, &err), &err);
    ck_ok(sl_cert_read(&o, other_ca.der, &err), &err);
    struct sl_crl_point p[SL_CERT_POINTS_MAX];
    ck_assert_uint_eq(sl_cert_crl_points(c, p), 1);
    ck_assert(sl_dn_eq(p[0].crl_issuer, sl_cert_subject_der(o)));
    ck_assert_uint_eq(p[0].uri_n, 0);
    ck_assert_uint_eq(p[0].reasons, SL_REASONS_ALL);
    const char *uri[SL_CERT_URI_MAX];
    ck_assert_uint_eq(sl_cert_freshest_uris(c, uri), 1);
    ck_assert_str_eq(uri[0], "http://crl.example/delta.crl");
    ck_ok(sl_crl_read(&crl,
                      der_crl(&(struct der_crl){ .by = &other_ca,
                                                 .authority = "010203",
                                                 .freshest = "http://crl.example/d.crl",
                                                 .idp = INDIRECT }),
                      &err),
          &err);
    ck_assert_uint_eq(sl_crl_freshest_uris(crl, uri), 1);
    ck_assert_str_eq(uri[0], "http://crl.example/d.crl");
    ck_assert(sl_crl_is_indirect(crl) && !sl_crl_is_delta(crl));
    ck_assert(sl_dn_eq(sl_crl_issuer_der(crl), sl_cert_subject_der(o)));
    ck_bytes_eq(sl_crl_authority_key(crl), sl_bytes("\x01\x02\x03", 3));
}
END_TEST

START_TEST(certificate_issuer_in_a_direct_list_is_not_known)
{
    setup();
    const struct der_entry e = { .serial = "05", .issuer = "CN=CA" };
    ck_rc(apply(&(struct der_crl){ .by = &ca, .entry = &e, .entry_n = 1 }), SL_REVOCATION_INVALID,
          &err);
    says("critical extension");
}
END_TEST

/* ---- deltas ------------------------------------------------------------------------------------ */
START_TEST(delta_is_looked_at_first)
{
    setup();
    const struct der_entry revoked = { .serial = LEAF_HEX, .reason = 1 };
    const struct der_entry held = { .serial = LEAF_HEX, .reason = 6 };
    const struct der_entry removed = { .serial = LEAF_HEX, .reason = 8 };
    struct der_crl complete = { .by = &ca, .number = 5 };
    struct der_crl delta = { .by = &ca, .number = 6, .base = 5, .entry = &revoked, .entry_n = 1 };
    ck_rc(apply_delta(&complete, &delta), SL_OK, &err);
    ck_assert(status.answer.revoked);
    ck_assert_str_eq(status.answer.why, "keyCompromise");
    complete.entry = &held;
    complete.entry_n = 1;
    delta.entry = &removed;
    ck_rc(apply_delta(&complete, &delta), SL_OK, &err);
    ck_assert(!status.answer.revoked);
    delta.entry_n = 0;
    ck_rc(apply_delta(&complete, &delta), SL_OK, &err);
    ck_assert(status.answer.revoked);
    ck_assert_str_eq(status.answer.why, "certificateHold");
    complete.entry = &removed; /* has no place in a complete list, and clears nobody there */
    ck_rc(apply_delta(&complete, &delta), SL_OK, &err);
    ck_assert(status.answer.revoked);
}
END_TEST

START_TEST(delta_that_does_not_fit_is_refused)
{
    setup();
    static const char idp[] = "[idp]\nonlyuser=TRUE\n";
    const struct {
        struct der_crl complete, delta;
        const char *rule;
    } cases[] = {
        { { .number = 4 }, { .number = 6, .base = 5 }, "older than its base" },
        { { .number = 6 }, { .number = 6, .base = 5 }, "not older" },
        { { .number = 5 }, { .number = 6, .base = 5, .idp = idp }, "(c)(2)" },
        { { .number = 5, .idp = idp }, { .number = 6, .base = 5 }, "(c)(2)" },
        { { .number = 5 }, { .number = 6, .base = 5, .authority = "0102" }, "(c)(3)" },
        { { .number = 5, .authority = "0103" },
          { .number = 6, .base = 5, .authority = "0102" },
          "(c)(3)" },
        { { .number = 5 }, { .number = 6 }, "no deltaCRLIndicator" },
        { { .number = 5 }, { .number = 6, .base = 5, .issuer = "CN=CA2" }, "(c)(1)" },
        { { .number = 5 }, { .number = -1, .base = 5 }, "without CRL numbers" },
        { { .number = 5 }, { .number = 6, .base = 5, .signer = &other_ca }, "does not verify" },
        { { .number = 5 }, { .number = 6, .base = 5, .from = TEST_NOW + 4000 }, "in the future" },
        { { .number = 5, .base = 4 }, { .number = 6, .base = 5 }, "not used alone" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct der_crl complete = cases[i].complete, delta = cases[i].delta;
        complete.by = delta.by = &ca;
        ck_rc(apply_delta(&complete, &delta), SL_REVOCATION_INVALID, &err);
        says(cases[i].rule);
    }
}
END_TEST

START_TEST(stale_lists_are_told)
{
    setup();
    const struct der_entry revoked = { .serial = LEAF_HEX, .reason = 1 };
    struct der_crl complete = { .by = &ca, .number = 5 };
    struct der_crl delta = { .by = &ca, .number = 6, .base = 5, .to = TEST_NOW - 1 };
    ck_rc(apply_delta(&complete, &delta), SL_REVOCATION_STALE, &err);
    delta.entry = &revoked; /* what it revoked stays revoked */
    delta.entry_n = 1;
    ck_rc(apply_delta(&complete, &delta), SL_OK, &err);
    ck_assert(status.answer.revoked && status.stale);
    memset(&status, 0, sizeof(status));
    complete.to = TEST_NOW - 1;
    ck_rc(apply(&complete), SL_OK, &err);
    ck_assert(status.stale && !status.answer.revoked);
}
END_TEST

/* ---- what spoils a list ------------------------------------------------------------------------ */
START_TEST(list_that_is_not_understood_revokes_but_does_not_clear)
{
    setup();
    const struct der_entry listed = { .serial = LEAF_HEX, .ext = UNKNOWN_CRITICAL };
    const struct der_entry another = { .serial = "05", .ext = UNKNOWN_CRITICAL };
    struct der_crl list = { .by = &ca, .ext = UNKNOWN_CRITICAL };
    ck_rc(apply(&list), SL_REVOCATION_INVALID, &err);
    says("1.3.6.1.4.1.1695.1 is not known");
    list.ext = NULL;
    list.entry_n = 1;
    list.entry = &another;
    ck_rc(apply(&list), SL_REVOCATION_INVALID, &err);
    list.entry = &listed;
    ck_rc(apply(&list), SL_OK, &err);
    ck_assert(status.answer.revoked);
}
END_TEST

START_TEST(crl_number_is_demanded_of_v2_and_never_critical)
{
    setup();
    ck_rc(apply(&(struct der_crl){ .by = &ca, .number = -1 }), SL_REVOCATION_INVALID, &err);
    says("no cRLNumber");
    ck_rc(apply(&(struct der_crl){ .by = &ca, .number_critical = true }), SL_REVOCATION_INVALID,
          &err);
    says("critical");
    ck_rc(apply(&(struct der_crl){ .by = &ca, .version = 1, .number = -1 }), SL_OK, &err);
}
END_TEST

START_TEST(issuer_without_key_usage_is_noted)
{
    setup();
    ck_rc(apply(&(struct der_crl){ .by = &ca }), SL_OK, &err);
    ck_assert(!status.no_key_usage);
    struct test_cert bare = test_cert(&(struct test_spec){
        .subject = "CN=CA", .same_key = &ca, .ext = "basicConstraints=critical,CA:TRUE\n" });
    memset(&status, 0, sizeof(status));
    ck_rc(apply(&(struct der_crl){ .by = &bare }), SL_OK, &err);
    ck_assert(status.no_key_usage);
}
END_TEST

/* NIST PKITS 1.0.1, sections 4.14 and 4.15 whole. */
START_TEST(pkits_distribution_points_and_deltas_agree)
{
    static const struct {
        const char *id, *leaf, *issuer, *crl[2], *by[2], *delta;
        bool valid;
    } cases[] = {
#include "tests/vectors/pkits/crl_apply.inc"
    };
    const int64_t now = 1302825600; /* 2011-04-15T00:00:00Z */
    char path[200];
#define FILE_OF(dir, name, ext) \
    (snprintf(path, sizeof(path), "vectors/pkits/" dir "/%s." ext, name), sl_test_file(path))
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_cert l = { .der = FILE_OF("certs", cases[i].leaf, "crt") };
        struct test_cert c = { .der = FILE_OF("certs", cases[i].issuer, "crt") };
        memset(&status, 0, sizeof(status));
        for (size_t k = 0; k < 2 && cases[i].crl[k]; k++) {
            struct test_cert by = { .der = FILE_OF("certs", cases[i].by[k], "crt") };
            struct sl_bytes crl = FILE_OF("crls", cases[i].crl[k], "crl"), none = { 0 };
            struct sl_bytes delta = cases[i].delta ? FILE_OF("crls", cases[i].delta, "crl") : none;
            if (apply_by(crl, delta, &by, &l, &c, now) != SL_OK && delta.len)
                (void)!apply_by(crl, none, &by, &l, &c, now);
        }
        bool valid = !status.answer.revoked && !status.stale && status.reasons == SL_REASONS_ALL;
        ck_assert_msg(valid == cases[i].valid, "PKITS %s: got %d: %s", cases[i].id, valid,
                      sl_err_text(&err));
    }
}
END_TEST

SL_TESTS(crl_apply, SL_CASE(reasons_of_several_lists_add_up),
         SL_CASE(list_of_some_reasons_alone_does_not_clear),
         SL_CASE(reasons_of_a_point_limit_those_of_the_list), SL_CASE(scope_is_refused_by_its_rule),
         SL_CASE(indirect_list_of_the_named_issuer_counts), SL_CASE(points_tell_the_crl_issuer),
         SL_CASE(certificate_issuer_in_a_direct_list_is_not_known),
         SL_CASE(delta_is_looked_at_first), SL_CASE(delta_that_does_not_fit_is_refused),
         SL_CASE(stale_lists_are_told),
         SL_CASE(list_that_is_not_understood_revokes_but_does_not_clear),
         SL_CASE(crl_number_is_demanded_of_v2_and_never_critical),
         SL_CASE(issuer_without_key_usage_is_noted),
         SL_CASE(pkits_distribution_points_and_deltas_agree))
