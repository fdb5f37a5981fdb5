/* IKE identities: text, equality, and the RFC 4945 table that binds them to certificates. */
#include "sealane/certs.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <string.h>

static struct sl_err err;

static struct sl_id id_of(const char *text)
{
    struct sl_id id = { 0 };
    ck_ok(sl_id_parse(&id, text, &err), &err);
    return id;
}

START_TEST(text_and_id_are_inverse)
{
    static const char *const texts[] = { "dns:gw-a.example", "email:a@b.example", "ip:192.0.2.1",
                                         "ip:2001:db8::1",   "dn:CN=gw-a,O=Lab",  "keyid:0a0b" };
    static const enum sl_id_type types[] = { SL_ID_FQDN,      SL_ID_RFC822_ADDR, SL_ID_IPV4_ADDR,
                                             SL_ID_IPV6_ADDR, SL_ID_DER_ASN1_DN, SL_ID_KEY_ID };
    for (size_t i = 0; i < SL_ARRAY_LEN(texts); i++) {
        char text[SL_ID_TEXT];
        struct sl_id id = id_of(texts[i]);
        ck_assert_int_eq(id.type, types[i]);
        ck_assert_str_eq(sl_id_text(text, &id), texts[i]);
    }
}
END_TEST

START_TEST(parse_refuses_what_is_no_id)
{
    static const char *const bad[] = { "",
                                       "gw-a.example",
                                       "dns:",
                                       "dns:a b",
                                       "dns:*.example",
                                       "dns:.example",
                                       "dns:a..b",
                                       "email:a",
                                       "email:@b",
                                       "email:\xff@b",
                                       "email:a b@c",
                                       "email:a\\b@c",
                                       "email:a\n@b",
                                       "ip:1.2.3",
                                       "dn:",
                                       "dn:x",
                                       "keyid:",
                                       "keyid:0",
                                       "keyid:zz",
                                       "uri:http://x" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_id id = { .type = SL_ID_KEY_ID };
        ck_assert_msg(sl_id_parse(&id, bad[i], &err) == SL_MALFORMED, "%s", bad[i]);
        ck_assert_int_eq(id.type, SL_ID_KEY_ID);
    }
}
END_TEST

START_TEST(text_of_hostile_ids_is_printable_and_bounded)
{
    struct sl_id id = { .type = SL_ID_FQDN, .len = SL_ID_MAX };
    memset(id.data, '\n', sizeof(id.data));
    char text[SL_ID_TEXT];
    static const enum sl_id_type types[] = { SL_ID_FQDN,      SL_ID_RFC822_ADDR, SL_ID_IPV4_ADDR,
                                             SL_ID_IPV6_ADDR, SL_ID_DER_ASN1_DN, SL_ID_DER_ASN1_GN,
                                             SL_ID_KEY_ID,    SL_ID_NONE };
    for (size_t i = 0; i < SL_ARRAY_LEN(types); i++) {
        id.type = types[i];
        sl_id_text(text, &id);
        ck_assert_uint_lt(strlen(text), SL_ID_TEXT);
        for (const char *s = text; *s; s++)
            ck_assert(*s >= ' ' && *s < 0x7f);
    }
}
END_TEST

START_TEST(equality_folds_what_the_type_folds)
{
    static const struct {
        const char *a, *b;
        bool eq;
    } cases[] = { { "dns:GW.example", "dns:gw.EXAMPLE", true },
                  { "dns:gw.example", "dns:gw.example.", false },
                  { "email:a@B.example", "email:a@b.example", true },
                  { "email:A@b.example", "email:a@b.example", false },
                  { "dn:CN=Gw  A,O=lab", "dn:CN=gw a,O=LAB", true },
                  { "dn:CN=a,O=b", "dn:O=b,CN=a", false },
                  { "ip:192.0.2.1", "ip:192.0.2.2", false },
                  { "dns:a.example", "keyid:61", false },
                  { "keyid:0A", "keyid:0a", true } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_id a = id_of(cases[i].a), b = id_of(cases[i].b);
        ck_assert_msg(sl_id_eq(&a, &b) == cases[i].eq && sl_id_eq(&b, &a) == cases[i].eq, "%s %s",
                      cases[i].a, cases[i].b);
    }
}
END_TEST

START_TEST(binding_follows_the_table)
{
    static const struct {
        const char *id;
        enum sl_rc rc;
        const char *rule;
    } cases[] = {
        { "dns:gw-a.example", SL_OK, "dNSName" },
        { "dns:GW-A.EXAMPLE", SL_OK, "dNSName" },
        { "dns:x.wild.example", SL_ID_NOT_IN_CERT, NULL }, /* the certificate has *.wild.example */
        { "dns:cn.example", SL_ID_NOT_IN_CERT, NULL },     /* only the CN has it */
        { "dns:gw-a.example.evil", SL_ID_NOT_IN_CERT, NULL },
        { "email:ops@b.example", SL_OK, "rfc822Name" },
        { "email:ops@B.EXAMPLE", SL_OK, "rfc822Name" },
        { "email:OPS@b.example", SL_ID_NOT_IN_CERT, NULL },
        { "ip:192.0.2.1", SL_OK, "iPAddress" },
        { "ip:192.0.2.2", SL_ID_NOT_IN_CERT, NULL },
        { "ip:2001:db8::1", SL_OK, "iPAddress" },
        { "dn:CN=cn.example,O=Lab", SL_OK, "subject" },
        { "dn:CN=CN.EXAMPLE,O=LAB", SL_OK, "subject" },
        { "dn:CN=cn.example", SL_ID_NOT_IN_CERT, NULL },
        { "dn:O=Lab,CN=cn.example", SL_ID_NOT_IN_CERT, NULL },
        { "keyid:01", SL_ID_TYPE, NULL },
    };
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=cn.example,O=Lab",
                             .ext = "subjectAltName=DNS:gw-a.example,DNS:*.wild.example,email:ops@"
                                    "b.example,IP:192.0.2.1,IP:2001:db8::1\n" });
    SL_AUTO(sl_cert) *cert = NULL;
    ck_ok(sl_cert_read(&cert, c.der, &err), &err);
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_id id = id_of(cases[i].id);
        struct sl_id_match m = { 0 };
        enum sl_rc rc = sl_id_in_cert(&id, cert, NULL, &m, &err);
        ck_assert_msg(rc == cases[i].rc, "%s: %s", cases[i].id, sl_rc_name(rc));
        if (rc == SL_OK)
            ck_assert_str_eq(m.rule, cases[i].rule);
        else
            ck_assert_ptr_null(m.rule);
    }
    /* the wildcard itself, as the bytes of an ID, is no host name */
    struct sl_id star = { .type = SL_ID_FQDN, .len = 14 };
    memcpy(star.data, "*.wild.example", 14);
    struct sl_id_match m;
    ck_rc(sl_id_in_cert(&star, cert, NULL, &m, &err), SL_ID_TYPE, &err);
    /* RFC 4945 3.1.7: KEY_ID only when configured */
    struct sl_id key = id_of("keyid:01"), other = id_of("keyid:02");
    ck_ok(sl_id_in_cert(&key, cert, &key, &m, &err), &err);
    ck_rc(sl_id_in_cert(&key, cert, &other, &m, &err), SL_ID_TYPE, &err);
}
END_TEST

START_TEST(ids_that_lie_about_their_length_do_not_match)
{
    struct test_cert c = test_cert(&(struct test_spec){
        .subject = "CN=x", .ext = "subjectAltName=IP:0.0.0.0,DNS:a.example\n" });
    SL_AUTO(sl_cert) *cert = NULL;
    ck_ok(sl_cert_read(&cert, c.der, &err), &err);
    struct sl_id_match m;
    struct sl_id id = { .type = SL_ID_IPV4_ADDR, .len = 0 };
    ck_rc(sl_id_in_cert(&id, cert, NULL, &m, &err), SL_ID_TYPE, &err);
    struct sl_id nul = { .type = SL_ID_FQDN, .len = 11 };
    memcpy(nul.data, "a.example\0x", 11);
    ck_rc(sl_id_in_cert(&nul, cert, NULL, &m, &err), SL_ID_TYPE, &err);
    struct sl_id none = { 0 };
    ck_rc(sl_id_in_cert(&none, cert, NULL, &m, &err), SL_ID_TYPE, &err);
}
END_TEST

START_TEST(own_id_is_the_first_san_else_the_subject)
{
    static const struct {
        const char *ext, *id;
    } cases[] = { { "subjectAltName=IP:192.0.2.1,DNS:a.example\n", "dns:a.example" },
                  { "subjectAltName=email:a@b.example\n", "email:a@b.example" },
                  { "subjectAltName=IP:192.0.2.1\n", "ip:192.0.2.1" },
                  { NULL, "dn:CN=x" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_cert c =
            test_cert(&(struct test_spec){ .subject = "CN=x", .ext = cases[i].ext });
        SL_AUTO(sl_cert) *cert = NULL;
        struct sl_id id;
        char text[SL_ID_TEXT];
        ck_ok(sl_cert_read(&cert, c.der, &err), &err);
        ck_ok(sl_id_from_cert(&id, cert, &err), &err);
        ck_assert_str_eq(sl_id_text(text, &id), cases[i].id);
    }
}
END_TEST

SL_TESTS(id_match, SL_CASE(text_and_id_are_inverse), SL_CASE(parse_refuses_what_is_no_id),
         SL_CASE(text_of_hostile_ids_is_printable_and_bounded),
         SL_CASE(equality_folds_what_the_type_folds), SL_CASE(binding_follows_the_table),
         SL_CASE(ids_that_lie_about_their_length_do_not_match),
         SL_CASE(own_id_is_the_first_san_else_the_subject))
