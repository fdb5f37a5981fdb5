/* Certificates as values: reading, names, SANs, URIs, lists. */
#include "sealane/certs.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

static struct sl_err err;

START_TEST(read_gives_the_fields)
{
    struct test_cert ca = test_cert(&(struct test_spec){ .subject = "CN=CA,O=Lab", .ca = true });
    struct test_cert c = test_cert(&(struct test_spec){
        .subject = "CN=gw-a,O=Lab",
        .by = &ca,
        .serial = 0x0a1b,
        .ext =
            "subjectAltName=DNS:gw-a.example,DNS:b.example,email:a@b.example,IP:192.0.2.1,IP:2001:"
            "db8::1\n"
            "authorityInfoAccess=OCSP;URI:http://ocsp.example/x,caIssuers;URI:http://ca.example/i\n"
            "crlDistributionPoints=URI:http://crl.example/1.crl,URI:ldap://dir.example/cn=ca\n" });
    SL_AUTO(sl_cert) *got = NULL;
    ck_ok(sl_cert_read(&got, c.der, &err), &err);
    ck_assert_str_eq(sl_cert_subject(got), "CN=gw-a,O=Lab");
    ck_assert_str_eq(sl_cert_issuer(got), "CN=CA,O=Lab");
    ck_assert_str_eq(sl_cert_serial(got), "0a1b");
    ck_assert_str_eq(sl_cert_name(got), "CN=gw-a,O=Lab (serial 0a1b)");
    ck_bytes_eq(sl_cert_spki(got), c.spki);
    ck_bytes_eq(sl_cert_der(got), c.der);
    ck_assert_int_eq(sl_cert_not_before(got), TEST_NOW - 10 * TEST_DAY);
    ck_assert_int_eq(sl_cert_not_after(got), TEST_NOW + 10 * TEST_DAY);
    ck_assert(!sl_cert_is_ca(got));
    struct sl_bytes v;
    ck_assert(sl_cert_san(got, SL_ID_FQDN, 1, &v));
    ck_bytes_eq(v, sl_str("b.example"));
    ck_assert(!sl_cert_san(got, SL_ID_FQDN, 2, &v));
    ck_assert(sl_cert_san(got, SL_ID_RFC822_ADDR, 0, &v));
    ck_bytes_eq(v, sl_str("a@b.example"));
    ck_assert(sl_cert_san(got, SL_ID_IPV4_ADDR, 0, &v));
    ck_bytes_eq(v, sl_test_hex("c0000201"));
    ck_assert(sl_cert_san(got, SL_ID_IPV6_ADDR, 0, &v));
    ck_assert_uint_eq(v.len, 16);
    const char *uri[SL_CERT_URI_MAX];
    ck_assert_uint_eq(sl_cert_ocsp_uris(got, uri), 1);
    ck_assert_str_eq(uri[0], "http://ocsp.example/x");
    ck_assert_uint_eq(sl_cert_crl_uris(got, uri), 2);
    ck_assert_str_eq(uri[1], "ldap://dir.example/cn=ca");
    struct sl_buf attr = { 0 };
    ck_assert(sl_cert_subject_attr(got, "O", &attr));
    ck_bytes_eq(sl_buf_bytes(&attr), sl_str("Lab"));
    ck_assert(!sl_cert_subject_attr(got, "serialNumber", &attr));
    sl_buf_clear(&attr);
}
END_TEST

/* Independently: `openssl x509 -noout -fingerprint`-like values are SHA-256 over the DER. */
START_TEST(key_hash_is_sha1_of_the_spki)
{
    struct test_cert c = test_cert(&(struct test_spec){ .subject = "CN=x" });
    SL_AUTO(sl_cert) *got = NULL;
    ck_ok(sl_cert_read(&got, c.der, &err), &err);
    unsigned char md[20];
    unsigned n = 0;
    ck_assert(EVP_Digest(c.spki.p, c.spki.len, md, &n, EVP_sha1(), NULL));
    ck_bytes_eq(sl_cert_key_sha1(got), sl_bytes(md, 20));
}
END_TEST

START_TEST(read_refuses_every_truncation_and_stray_bytes)
{
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=x", .ext = "subjectAltName=DNS:x\n" });
    for (size_t len = 0; len < c.der.len; len++) {
        struct sl_cert *got = NULL;
        ck_assert_int_ne(sl_cert_read(&got, sl_bytes(c.der.p, len), &err), SL_OK);
        ck_assert_ptr_null(got);
    }
    struct sl_buf more = { 0 };
    ck_assert(sl_buf_put(&more, c.der) && sl_buf_put(&more, sl_str("x")));
    struct sl_cert *got = NULL;
    ck_rc(sl_cert_read(&got, sl_buf_bytes(&more), &err), SL_CERT_MALFORMED, &err);
    sl_buf_clear(&more);
}
END_TEST

START_TEST(load_takes_all_of_a_pem_and_one_der)
{
    struct test_cert a = test_cert(&(struct test_spec){ .subject = "CN=a" }),
                     b = test_cert(&(struct test_spec){ .subject = "CN=b" });
    struct sl_certs list = { 0 };
    struct sl_buf pem = { 0 };
    ck_assert(sl_buf_put_str(&pem, "words\n") && sl_buf_put(&pem, test_pem(&a)) &&
              sl_buf_put(&pem, test_pem(&b)));
    ck_ok(sl_certs_load(&list, sl_buf_bytes(&pem), "two.pem", &err), &err);
    ck_ok(sl_certs_load(&list, a.der, "a.der", &err), &err);
    ck_assert_uint_eq(list.n, 3);
    ck_assert_str_eq(sl_cert_subject(list.v[1]), "CN=b");
    ck_rc(sl_certs_load(&list, sl_str("nothing"), "none.pem", &err), SL_CERT_NONE, &err);
    ck_assert_uint_eq(list.n, 3);
    /* one damaged certificate spoils the file: half an anchor list must not pass unnoticed */
    pem.p[pem.len / 2 + 80] = '*';
    ck_assert_int_ne(sl_certs_load(&list, sl_buf_bytes(&pem), "two.pem", &err), SL_OK);
    ck_assert_uint_eq(list.n, 3);
    sl_buf_clear(&pem);
    sl_certs_clear(&list);
}
END_TEST

START_TEST(dn_text_and_der_are_inverse)
{
    static const char *const names[] = { "CN=gw-a,O=Lab,C=CH", "CN=a\\,b,DC=example,DC=org",
                                         "OU=x+CN=y,O=z", "UID=1,CN=\\C3\\A9" };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        struct sl_buf der = { 0 };
        char text[200];
        ck_ok(sl_dn_parse(&der, names[i], &err), &err);
        sl_dn_text(text, sizeof(text), sl_buf_bytes(&der));
        struct sl_buf again = { 0 };
        ck_ok(sl_dn_parse(&again, text, &err), &err);
        ck_assert(sl_dn_eq(sl_buf_bytes(&der), sl_buf_bytes(&again)));
        if (i < 2)
            ck_assert_str_eq(text, names[i]);
        sl_buf_clear(&der);
        sl_buf_clear(&again);
    }
}
END_TEST

START_TEST(dn_parse_refuses_what_is_no_name)
{
    static const char *const bad[] = { "",          "gw-a",         "CN=",    "CN=a,",
                                       "CN=a,,O=b", "noSuchType=x", "CN=\\q", "CN=a<b",
                                       "=x",        "C=TOOLONG" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_buf der = { 0 };
        ck_rc(sl_dn_parse(&der, bad[i], &err), SL_MALFORMED, &err);
        ck_assert_uint_eq(der.len, 0);
    }
}
END_TEST

SL_TESTS(cert, SL_CASE(read_gives_the_fields), SL_CASE(key_hash_is_sha1_of_the_spki),
         SL_CASE(read_refuses_every_truncation_and_stray_bytes),
         SL_CASE(load_takes_all_of_a_pem_and_one_der), SL_CASE(dn_text_and_der_are_inverse),
         SL_CASE(dn_parse_refuses_what_is_no_name))
