/* Reading CRLs without an object for each entry: framing, entries of every kind, signatures. */
#include "certs/crl.h"
#include "tests/support/crl_der.h"
#include "tests/support/support.h"

#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

static struct sl_err err;
static struct test_cert ca;

static void setup(void)
{
    ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
}

static struct sl_crl *must_read(const struct der_crl *spec)
{
    struct sl_crl *crl = NULL;
    ck_ok(sl_crl_read(&crl, der_crl(spec), &err), &err);
    return crl;
}

static enum sl_rc read_only(struct sl_bytes der)
{
    SL_AUTO(sl_crl) *crl = NULL;
    return sl_crl_read(&crl, der, &err);
}

/* Looks a serial, content octets in hex, up for certificates of issuer (NULL: the CA). */
static struct crl_found find(const struct sl_crl *crl, const char *serial_hex, const char *issuer)
{
    SL_AUTO_BUF content = { 0 };
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_BUF name = { 0 };
    ck_assert(sl_unhex(&content, serial_hex));
    der_put(&der, 0x02, sl_buf_bytes(&content));
    const unsigned char *p = der.p;
    ASN1_INTEGER *serial = d2i_ASN1_INTEGER(NULL, &p, (long)der.len);
    ck_assert_ptr_nonnull(serial);
    ck_ok(sl_dn_parse(&name, issuer ? issuer : "CN=CA", &err), &err);
    X509_NAME *dn = certs_name_read(sl_buf_bytes(&name));
    struct crl_found f;
    ck_assert(crl_find(&f, crl, serial, dn));
    X509_NAME_free(dn);
    ASN1_INTEGER_free(serial);
    return f;
}

START_TEST(serials_of_every_shape_are_found_in_any_order)
{
    setup();
    static const char *const serials[] = {
        "7f",
        "00ff",
        "80",                                               /* -128 */
        "ff",                                               /* -1 */
        "00",                                               /* 0 */
        "0102030405060708090a0b0c0d0e0f1011121314",         /* 20 octets */
        "0102030405060708090a0b0c0d0e0f101112131415161718", /* longer than RFC 5280 allows */
        "0102030405060708090a0b0c0d0e0f101112131415161719",
        "01",
        "ff01", /* -255 */
    };
    struct der_entry e[SL_ARRAY_LEN(serials)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(serials); i++) {
        e[i].serial = serials[i];
        e[i].reason = i % 2 ? 1 : 4;
    }
    SL_AUTO(sl_crl) *crl =
        must_read(&(struct der_crl){ .by = &ca, .entry = e, .entry_n = SL_ARRAY_LEN(e) });
    ck_assert_uint_eq(sl_crl_entries(crl), SL_ARRAY_LEN(e));
    for (size_t i = 0; i < SL_ARRAY_LEN(serials); i++) {
        struct crl_found f = find(crl, serials[i], NULL);
        ck_assert(f.found);
        ck_assert_int_eq(f.reason, i % 2 ? 1 : 4);
        ck_assert_int_eq(f.revoked_utc_s, TEST_NOW - 7200);
    }
    static const char *const absent[] = {
        "02", "81", "fe", "00fe", "0101", "0102030405060708090a0b0c0d0e0f1011121315"
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(absent); i++)
        ck_assert(!find(crl, absent[i], NULL).found);
}
END_TEST

START_TEST(repeated_serial_is_revoked_unless_all_remove)
{
    setup();
    const struct der_entry e[] = {
        { .serial = "05", .reason = 8 }, { .serial = "06", .reason = 8 },
        { .serial = "05", .reason = 1 }, { .serial = "06", .reason = 8 },
        { .serial = "07", .reason = 4 }, { .serial = "07", .reason = 1 }
    };
    SL_AUTO(sl_crl) *crl = must_read(&(struct der_crl){ .by = &ca, .entry = e, .entry_n = 6 });
    ck_assert_int_eq(find(crl, "05", NULL).reason, 1);
    ck_assert_int_eq(find(crl, "06", NULL).reason, 8);
    ck_assert_int_eq(find(crl, "07", NULL).reason, 4); /* the first */
}
END_TEST

START_TEST(entries_of_an_indirect_list_belong_to_the_last_named_issuer)
{
    setup();
    const struct der_entry e[] = {
        { .serial = "05" }, { .serial = "06", .issuer = "CN=A" },
        { .serial = "05" }, { .serial = "05", .issuer = "CN=B", .reason = 1 },
        { .serial = "08" }, { .serial = "09", .issuer = "CN=CA" },
        { .serial = "0a" },
    };
    SL_AUTO(sl_crl) *crl = must_read(&(struct der_crl){
        .by = &ca, .idp = "[idp]\nindirectCRL=TRUE\n", .entry = e, .entry_n = SL_ARRAY_LEN(e) });
    ck_assert_uint_eq(crl->change_n, 3);
    ck_assert_str_eq(crl->critical, "");
    ck_assert_int_eq(find(crl, "05", NULL).reason, -1);
    ck_assert_int_eq(find(crl, "05", "CN=B").reason, 1);
    static const struct {
        const char *serial, *issuer;
        bool found;
    } cases[] = { { "05", "CN=A", true }, { "06", "CN=A", true },  { "06", NULL, false },
                  { "08", "CN=B", true }, { "08", "CN=A", false }, { "09", NULL, true },
                  { "0a", NULL, true },   { "0a", "CN=B", false }, { "05", "CN=C", false },
                  { "05", "cn=b", true } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        ck_assert_msg(find(crl, cases[i].serial, cases[i].issuer).found == cases[i].found,
                      "case %zu", i);
}
END_TEST

/* The same answers as libcrypto's object for every entry, over some thousand random serials. */
START_TEST(random_list_agrees_with_libcrypto)
{
    setup();
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(7));
    const struct sl_rng rng = sl_rng_seeded(&state);
    SL_AUTO_BUF raw = { 0 };
    char hex[64];
    for (int i = 0; i < 3000; i++) {
        size_t len = 1 + (size_t)sl_rng_below(&rng, 3);
        uint8_t v[4] = { 0x01 };
        for (size_t k = 1; k < len; k++)
            v[k] = (uint8_t)sl_rng_below(&rng, 256);
        v[0] = (uint8_t)(1 + sl_rng_below(&rng, 0x7f));
        sl_hex(hex, sizeof(hex), sl_bytes(v, len));
        der_put_entry(&raw,
                      &(struct der_entry){ .serial = hex, .reason = (int)sl_rng_below(&rng, 6) });
    }
    struct sl_bytes der = der_crl(&(struct der_crl){ .by = &ca, .raw = sl_buf_bytes(&raw) });
    SL_AUTO(sl_crl) *crl = NULL;
    ck_ok(sl_crl_read(&crl, der, &err), &err);
    const unsigned char *p = der.p;
    X509_CRL *theirs = d2i_X509_CRL(NULL, &p, (long)der.len);
    ck_assert_ptr_nonnull(theirs);
    ck_assert_uint_eq(sl_crl_entries(crl), 3000);
    size_t hits = 0;
    for (long v = 0; v < 40000; v += 1 + (long)sl_rng_below(&rng, 3)) {
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        X509_REVOKED *entry = NULL;
        struct crl_found f;
        ck_assert(serial && ASN1_INTEGER_set(serial, v));
        ck_assert(crl_find(&f, crl, serial, X509_get_subject_name(ca.x)));
        bool found = X509_CRL_get0_by_serial(theirs, &entry, serial) != 0;
        ck_assert_msg(f.found == found, "serial %ld", v);
        hits += found;
        ASN1_INTEGER_free(serial);
    }
    ck_assert_uint_gt(hits, 100);
    X509_CRL_free(theirs);
}
END_TEST

/* ---- refused ----------------------------------------------------------------------------------- */
static void refuse(const struct der_crl *spec, const char *text)
{
    ck_rc(read_only(der_crl(spec)), SL_REVOCATION_INVALID, &err);
    ck_assert_msg(strstr(sl_err_text(&err), text) != NULL, "%s", sl_err_text(&err));
}

START_TEST(versions_and_their_extensions_are_checked)
{
    setup();
    const struct der_entry plain = { .serial = "05" }, reason = { .serial = "05", .reason = 1 };
    struct der_crl v1 = { .by = &ca, .version = 1, .number = -1, .entry = &plain, .entry_n = 1 };
    ck_rc(read_only(der_crl(&v1)), SL_OK, &err);
    v1.entry = &reason;
    refuse(&v1, "5.1.2.6");
    refuse(&(struct der_crl){ .by = &ca, .version = 1 }, "5.1.2.1");
    refuse(&(struct der_crl){ .by = &ca, .version = 2 }, "neither v1 nor v2");
}
END_TEST

START_TEST(numbers_and_times_are_checked)
{
    setup();
    refuse(&(struct der_crl){ .by = &ca, .from = TEST_NOW, .to = TEST_NOW - 1 },
           "before thisUpdate");
    /* cRLNumber: -1; of 21 octets; twice; not an INTEGER */
    static const char *const numbers[] = {
        "300a0603551d140403"
        "0201ff",
        "301e0603551d140417"
        "0215010203040506070809101112131415161718192021",
        "300a0603551d140403"
        "020101"
        "300a0603551d140403"
        "020102",
        "300a0603551d140403"
        "040101",
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++)
        refuse(&(struct der_crl){ .by = &ca, .number = -1, .ext = numbers[i] }, "5.2.3");
    /* deltaCRLIndicator, issuingDistributionPoint, authorityKeyIdentifier, freshestCRL: NULL */
    refuse(&(struct der_crl){ .by = &ca, .ext = "30090603551d1b04020500" }, "5.2.4");
    refuse(&(struct der_crl){ .by = &ca, .ext = "30090603551d1c04020500" }, "5.2.5");
    refuse(&(struct der_crl){ .by = &ca, .ext = "30090603551d2304020500" }, "5.2.1");
    refuse(&(struct der_crl){ .by = &ca, .ext = "30090603551d2e04020500" }, "5.2.6");
}
END_TEST

#define A_TIME "170d3236313132333039303030305a"

START_TEST(entries_that_are_not_der_spoil_the_list)
{
    setup();
    static const struct {
        const char *body; /* of the entry's SEQUENCE, in hex */
        bool good;
    } cases[] = {
        { "020105" A_TIME, true },
        { "020105" A_TIME "3009300706022a0304020500", false }, /* 1 octet short inside */
        { "020105" A_TIME "300a300806022a0304020500", true },
        { "020105" A_TIME "300d300b06022a030101ff04020500", true }, /* critical */
        { A_TIME, false },                                          /* no serial */
        { "020105", false },                                        /* no time */
        { "0200" A_TIME, false },                                   /* an empty serial */
        { "02020005" A_TIME, false },                               /* not the shortest form */
        { "0202ff85" A_TIME, false },                               /* the same, negative */
        { "02020085" A_TIME, true },
        { "040105" A_TIME, false },                                    /* not an INTEGER */
        { "0201050101ff", false },                                     /* not a time */
        { "020105" A_TIME "0500", false },                             /* not a SEQUENCE */
        { "020105" A_TIME "300a300806022a03040205000500", false },     /* something follows */
        { "020105" A_TIME "3006300406022a03", false },                 /* no value */
        { "020105" A_TIME "3009300706022a030101ff", false },           /* no value after critical */
        { "020105" A_TIME "3008300606022a030500", false },             /* no OCTET STRING */
        { "020105" A_TIME "300e300c06022a030102ffff04020500", false }, /* BOOLEAN of two octets */
        { "020105" A_TIME "300c300a06022a03040205000500", false },     /* more in the extension */
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        SL_AUTO_BUF body = { 0 };
        SL_AUTO_BUF raw = { 0 };
        ck_assert(sl_unhex(&body, cases[i].body));
        der_put(&raw, 0x30, sl_buf_bytes(&body));
        enum sl_rc rc =
            read_only(der_crl(&(struct der_crl){ .by = &ca, .raw = sl_buf_bytes(&raw) }));
        ck_assert_msg(rc == (cases[i].good ? SL_OK : SL_REVOCATION_INVALID), "case %zu: %s", i,
                      sl_rc_name(rc));
    }
    /* A SET, an indefinite length, more than there is, nothing but a tag. */
    static const char *const framing[] = { "3112020105" A_TIME, "3080020105" A_TIME "0000",
                                           "3013020105" A_TIME, "30" };
    for (size_t i = 0; i < SL_ARRAY_LEN(framing); i++) {
        SL_AUTO_BUF raw = { 0 };
        ck_assert(sl_unhex(&raw, framing[i]));
        refuse(&(struct der_crl){ .by = &ca, .raw = sl_buf_bytes(&raw) }, "entry 1");
    }
    /* certificateIssuer of an indirect list: a DNS name only, and rubbish */
    static const char *const issuers[] = { "300b0603551d1d0404"
                                           "30028200",
                                           "30090603551d1d0402"
                                           "0500" };
    for (size_t i = 0; i < SL_ARRAY_LEN(issuers); i++) {
        const struct der_entry e = { .serial = "05", .ext = issuers[i] };
        refuse(
            &(struct der_crl){
                .by = &ca, .idp = "[idp]\nindirectCRL=TRUE\n", .entry = &e, .entry_n = 1 },
            "entry 1");
    }
}
END_TEST

START_TEST(every_truncation_and_stray_bytes_are_refused)
{
    setup();
    const struct der_entry e[] = { { .serial = "05", .reason = 1, .issuer = "CN=A" },
                                   { .serial = "06" } };
    struct sl_bytes der = der_crl(&(struct der_crl){ .by = &ca,
                                                     .idp = "[idp]\nindirectCRL=TRUE\n",
                                                     .base = 1,
                                                     .number = 2,
                                                     .authority = "0102",
                                                     .freshest = "http://crl.example/d.crl",
                                                     .entry = e,
                                                     .entry_n = 2 });
    ck_rc(read_only(der), SL_OK, &err);
    for (size_t len = 0; len < der.len; len++) {
        struct sl_bytes part = test_keep(sl_bytes(der.p, len)); /* its own allocation: ASan sees */
        ck_assert_int_ne(read_only(part), SL_OK);
    }
    SL_AUTO_BUF more = { 0 };
    ck_assert(sl_buf_put(&more, der) && sl_buf_put(&more, sl_bytes("\0", 1)));
    ck_rc(read_only(sl_buf_bytes(&more)), SL_REVOCATION_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "1 stray bytes"));
}
END_TEST

/* ---- signatures -------------------------------------------------------------------------------- */
START_TEST(signatures_of_each_kind_verify_over_the_bytes_that_came)
{
    static const struct {
        const char *key;
        bool pss;
    } kinds[] = { { "p256", false },
                  { "p384", false },
                  { "ed25519", false },
                  { "rsa:2048", false },
                  { "rsa:2048", true } };
    const struct der_entry e = { .serial = "05" };
    for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++) {
        ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true, .key = kinds[i].key });
        SL_AUTO(sl_cert) *issuer = NULL;
        SL_AUTO(sl_crl) *crl = NULL;
        ck_ok(sl_cert_read(&issuer, ca.der, &err), &err);
        struct sl_bytes der = test_keep(der_crl(
            &(struct der_crl){ .by = &ca, .entry = &e, .entry_n = 1, .pss = kinds[i].pss }));
        ck_ok(sl_crl_read(&crl, der, &err), &err);
        ck_ok(sl_crl_verify(crl, issuer, &err), &err);
        /* one bit of an entry's serial, which libcrypto's decoder never sees */
        uint8_t *p = (uint8_t *)(uintptr_t)der.p;
        p[crl->entry[0].at + 4] ^= 1;
        SL_AUTO(sl_crl) *changed = NULL;
        ck_ok(sl_crl_read(&changed, der, &err), &err);
        ck_rc(sl_crl_verify(changed, issuer, &err), SL_REVOCATION_INVALID, &err);
        ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "does not verify"));
    }
}
END_TEST

START_TEST(algorithm_fields_must_be_equal)
{
    setup();
    /* ecdsa-with-SHA384 inside, ecdsa-with-SHA256 outside */
    static const uint8_t inner[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                     0x48, 0xce, 0x3d, 0x04, 0x03, 0x03 };
    refuse(&(struct der_crl){ .by = &ca, .inner_alg = sl_bytes(inner, sizeof(inner)) }, "5.1.1.2");
}
END_TEST

START_TEST(key_of_another_kind_does_not_verify)
{
    setup();
    struct test_cert rsa =
        test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true, .key = "rsa:2048" });
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO(sl_crl) *crl = must_read(&(struct der_crl){ .by = &ca });
    ck_ok(sl_cert_read(&issuer, rsa.der, &err), &err);
    ck_rc(sl_crl_verify(crl, issuer, &err), SL_REVOCATION_INVALID, &err);
}
END_TEST

SL_TESTS(crl_index, SL_CASE(serials_of_every_shape_are_found_in_any_order),
         SL_CASE(repeated_serial_is_revoked_unless_all_remove),
         SL_CASE(entries_of_an_indirect_list_belong_to_the_last_named_issuer),
         SL_CASE(random_list_agrees_with_libcrypto),
         SL_CASE(versions_and_their_extensions_are_checked), SL_CASE(numbers_and_times_are_checked),
         SL_CASE(entries_that_are_not_der_spoil_the_list),
         SL_CASE(every_truncation_and_stray_bytes_are_refused),
         SL_CASE(signatures_of_each_kind_verify_over_the_bytes_that_came),
         SL_CASE(algorithm_fields_must_be_equal), SL_CASE(key_of_another_kind_does_not_verify))
