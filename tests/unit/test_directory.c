/* The directory: filters, LDIF, mapping rules and what an entry may say. */
#include "sealane/directory.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <string.h>

static struct sl_err err;

static const char ldif[] = "version: 1\n"
                           "# a comment\n"
                           "  folded into the comment\n"
                           "dn: cn=gw-a,ou=Devices,dc=lab\n"
                           "objectClass: device\n"
                           "cn: gw-a.example\n"
                           "description: one long\n"
                           "  line\n"
                           "serialNumber:: MDAx\n"
                           "l: 7\n"
                           "memberOf: cn=Gateways,ou=Groups,dc=lab\n"
                           "\n"
                           "dn: cn=gw-b, ou=devices, dc=Lab\r\n"
                           "objectClass: device\r\n"
                           "cn: gw-b.example\r\n"
                           "employeeType: disabled\r\n"
                           "userAccountControl: 514\r\n"
                           "l: 12\r\n"
                           "\n\n"
                           "dn: cn=x,cn=gw-b,ou=devices,dc=lab\n"
                           "cn: x\n";

static struct sl_entries load(const char *text)
{
    struct sl_entries e = { 0 };
    ck_ok(sl_ldif_read(&e, sl_str(text), "test.ldif", &err), &err);
    return e;
}

START_TEST(ldif_reads_records_folds_and_base64)
{
    struct sl_entries e = load(ldif);
    ck_assert_uint_eq(e.n, 3);
    ck_assert_str_eq(e.v[0].dn, "cn=gw-a,ou=Devices,dc=lab");
    const struct sl_attr *a = sl_entry_attr(&e.v[0], "DESCRIPTION");
    ck_assert_ptr_nonnull(a);
    ck_bytes_eq(sl_buf_bytes(&a->value[0]), sl_str("one long line"));
    a = sl_entry_attr(&e.v[0], "serialNumber");
    ck_bytes_eq(sl_buf_bytes(&a->value[0]), sl_str("001"));
    a = sl_entry_attr(&e.v[1], "cn");
    ck_bytes_eq(sl_buf_bytes(&a->value[0]), sl_str("gw-b.example"));
    ck_assert_ptr_null(sl_entry_attr(&e.v[1], "serialNumber"));
    sl_entries_clear(&e);
}
END_TEST

START_TEST(ldif_refuses_with_the_line)
{
    static const struct {
        const char *text, *where;
    } bad[] = {
        { "cn: a\n", "f:1:" },
        { "dn: cn=a\nno colon\n", "f:2:" },
        { "dn: cn=a\ncn:< file:///etc/passwd\n", "f:2:" },
        { "dn: cn=a\ncn:: !!!\n", "f:2:" },
        { "dn: cn=a\nchangetype: add\n", "f:2:" },
        { "version: 2\ndn: cn=a\n", "f:1:" },
        { "dn: cn=a\ncn: a\ndn: cn=b\n", "f:3:" },
        { "dn: cn=a\nc n: a\n", "f:2:" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_entries e = { 0 };
        ck_rc(sl_ldif_read(&e, sl_str(bad[i].text), "f", &err), SL_MALFORMED, &err);
        ck_assert_msg(strstr(sl_err_text(&err), bad[i].where), "%s", sl_err_text(&err));
        ck_assert_uint_eq(e.n, 0);
    }
}
END_TEST

START_TEST(ldif_cut_anywhere_is_read_or_refused_cleanly)
{
    for (size_t len = 0; len < sizeof(ldif); len++) {
        struct sl_bytes cut = test_keep(sl_bytes(ldif, len));
        struct sl_entries e = { 0 };
        if (sl_ldif_read(&e, cut, "f", &err) == SL_OK)
            ck_assert_uint_le(e.n, 3);
        sl_entries_clear(&e);
    }
}
END_TEST

START_TEST(filter_matches_as_servers_do)
{
    static const struct {
        const char *filter;
        bool a, b;
    } cases[] = {
        { "(cn=gw-a.example)", true, false },
        { "(CN=GW-A.Example)", true, false },
        { "(cn=  gw-a.example  )", true, false },
        { "(description=one  LONG line)", true, false },
        { "(objectClass=*)", true, true },
        { "(serialNumber=*)", true, false },
        { "(!(serialNumber=*))", false, true },
        { "(cn=gw-*)", true, true },
        { "(cn=*.example)", true, true },
        { "(cn=gw*-a*ple)", true, false },
        { "(cn=*w-b*)", false, true },
        { "(cn=gw-a.examplegw*)", false, false },
        { "(cn=gw-a*a.example)", false, false }, /* parts may not overlap */
        { "(&(objectClass=device)(cn=gw-a.example))", true, false },
        { "(|(cn=gw-a.example)(cn=gw-b.example))", true, true },
        { "(&)", true, true },
        { "(|)", false, false },
        { "(l>=8)", false, true }, /* numbers, not text: "7" > "12" as text */
        { "(l<=7)", true, false },
        { "(l~=7)", true, false },
        { "(cn>=gw-b)", false, true },
        { "(cn=gw\\2da.example)", true, false },
        { "(nosuch=x)", false, false },
        { "(memberOf=cn=gateways,ou=groups,dc=lab)", true, false },
    };
    struct sl_entries e = load(ldif);
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        SL_AUTO(sl_filter) *f = NULL;
        ck_ok(sl_filter_parse(&f, cases[i].filter, &err), &err);
        ck_assert_msg(sl_filter_match(f, &e.v[0]) == cases[i].a &&
                          sl_filter_match(f, &e.v[1]) == cases[i].b,
                      "%s", cases[i].filter);
    }
    sl_entries_clear(&e);
}
END_TEST

START_TEST(filter_refuses_what_is_no_filter)
{
    static const char *const bad[] = { "",
                                       "cn=a",
                                       "(cn=a",
                                       "(cn=a))",
                                       "(cn)",
                                       "(=a)",
                                       "(cn=a(b)",
                                       "(!)",
                                       "(!(a=b)(c=d))",
                                       "(cn=\\4)",
                                       "(cn:caseExactMatch:=a)",
                                       "(cn>=a*b)",
                                       "(&(a=b)c)",
                                       "(cn=**)" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_filter *f = NULL;
        ck_assert_msg(sl_filter_parse(&f, bad[i], &err) == SL_MALFORMED, "%s", bad[i]);
        ck_assert_ptr_null(f);
    }
    char deep[400];
    memset(deep, '(', sizeof(deep));
    for (size_t i = 1; i < sizeof(deep); i += 2)
        deep[i] = '!';
    deep[sizeof(deep) - 1] = '\0';
    struct sl_filter *f = NULL;
    ck_rc(sl_filter_parse(&f, deep, &err), SL_MALFORMED, &err);
}
END_TEST

START_TEST(search_keeps_to_base_and_scope)
{
    static const struct {
        const char *base, *scope;
        size_t n;
    } cases[] = { { "ou=devices,dc=lab", "sub", 3 },
                  { "OU=Devices, DC=lab", "one", 2 },
                  { "ou=devices,dc=lab", "base", 0 },
                  { "cn=gw-b,ou=devices,dc=lab", "base", 1 },
                  { "cn=gw-b,ou=devices,dc=lab", "sub", 2 },
                  { "", "sub", 3 },
                  { "dc=ab", "sub", 0 },
                  { "b,ou=devices,dc=lab", "sub", 0 } };
    struct sl_entries all = load(ldif), found = { 0 };
    SL_AUTO(sl_filter) *f = NULL;
    ck_ok(sl_filter_parse(&f, "(cn=*)", &err), &err);
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        ck_ok(sl_ldif_search(&found, &all, cases[i].base, cases[i].scope, f, 10, &err), &err);
        ck_assert_msg(found.n == cases[i].n, "%s %s: %zu", cases[i].base, cases[i].scope, found.n);
        sl_entries_clear(&found);
    }
    ck_ok(sl_ldif_search(&found, &all, "", "sub", f, 2, &err), &err);
    ck_assert_uint_eq(found.n, 2);
    sl_entries_clear(&found);
    sl_entries_clear(&all);
}
END_TEST

static struct sl_cert *peer_cert(void)
{
    struct test_cert c = test_cert(&(struct test_spec){
        .subject = "CN=a*b(c)\\\\d,serialNumber=S1",
        .serial = 0xab,
        .ext = "subjectAltName=DNS:first.example,DNS:gw-a.example,email:x@b.example\n" });
    struct sl_cert *cert = NULL;
    ck_ok(sl_cert_read(&cert, c.der, &err), &err);
    return cert;
}

START_TEST(mapping_fills_in_and_escapes)
{
    SL_AUTO(sl_cert) *cert = peer_cert();
    struct sl_id id;
    ck_ok(sl_id_parse(&id, "dns:gw-a.example", &err), &err);
    struct sl_peer_view peer = { .id = &id, .cert = cert };
    static const struct {
        const char *rule, *filter;
    } cases[] = { { "(cn=%{san.dns})", "(cn=gw-a.example)" }, /* the one the ID is bound to */
                  { "(mail=%{san.email})", "(mail=x@b.example)" },
                  { "(cn=%{subject.CN})", "(cn=a\\2ab\\28c\\29\\5cd)" },
                  { "(sn=%{subject.serialNumber})", "(sn=S1)" },
                  { "(id=%{id})", "(id=gw-a.example)" },
                  { "(s=%{serial})", "(s=ab)" },
                  { "(x=100%)", "(x=100%)" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_buf out = { 0 };
        ck_ok(sl_mapping_expand(&out, cases[i].rule, &peer, &err), &err);
        ck_assert_str_eq((const char *)out.p, cases[i].filter);
        sl_buf_clear(&out);
    }
    struct sl_buf out = { 0 };
    ck_ok(sl_mapping_expand(&out, "%{fingerprint.sha256}", &peer, &err), &err);
    ck_assert_str_eq((const char *)out.p, sl_cert_sha256(cert));
    sl_buf_clear(&out);
    ck_rc(sl_mapping_expand(&out, "(o=%{subject.O})", &peer, &err), SL_DIR_NO_ENTRY, &err);
    ck_rc(sl_mapping_expand(&out, "(o=%{what})", &peer, &err), SL_CONFIG_VALUE, &err);
    ck_rc(sl_mapping_expand(&out, "(o=%{id)", &peer, &err), SL_CONFIG_VALUE, &err);
    struct sl_peer_view psk = { .id = &id };
    ck_rc(sl_mapping_expand(&out, "(s=%{serial})", &psk, &err), SL_DIR_NO_ENTRY, &err);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(escaped_value_finds_only_itself)
{
    struct sl_entries e = load("dn: cn=a\ncn: a*b(c)\\d\n\ndn: cn=b\ncn: aXb(c)\\d\n");
    SL_AUTO(sl_cert) *cert = peer_cert();
    struct sl_peer_view peer = { .cert = cert };
    struct sl_buf out = { 0 };
    ck_ok(sl_mapping_expand(&out, "(cn=%{subject.CN})", &peer, &err), &err);
    SL_AUTO(sl_filter) *f = NULL;
    ck_ok(sl_filter_parse(&f, (const char *)out.p, &err), &err);
    ck_assert(sl_filter_match(f, &e.v[0]));
    ck_assert(!sl_filter_match(f, &e.v[1]));
    sl_buf_clear(&out);
    sl_entries_clear(&e);
}
END_TEST

static char none[] = "", dir_name[] = "d";
static struct sl_conf_directory conf(void)
{
    return (struct sl_conf_directory){ .name = dir_name,
                                       .base = none,
                                       .filter = none,
                                       .enabled_filter = none,
                                       .disabled_attr = none };
}

START_TEST(entry_must_be_one_and_enabled)
{
    struct sl_entries e = load(ldif);
    struct sl_conf_directory c = conf();
    struct sl_entries zero = { 0 }, two = { .v = e.v, .n = 2 }, a = { .v = e.v, .n = 1 },
                      b = { .v = e.v + 1, .n = 1 };
    ck_rc(sl_directory_check(&c, "(x)", &zero, NULL, &err), SL_DIR_NO_ENTRY, &err);
    ck_rc(sl_directory_check(&c, "(x)", &two, NULL, &err), SL_DIR_AMBIGUOUS, &err);
    ck_ok(sl_directory_check(&c, "(x)", &b, NULL, &err), &err);
    static const struct {
        const char *disabled, *enabled;
        enum sl_rc a, b;
    } cases[] = {
        { "employeeType=disabled", "", SL_OK, SL_DIR_DISABLED },
        { "EMPLOYEETYPE=DISABLED", "", SL_OK, SL_DIR_DISABLED },
        { "userAccountControl&2", "", SL_DIR_BAD_ANSWER,
          SL_DIR_DISABLED }, /* gw-a: nothing known */
        { "userAccountControl&1", "", SL_DIR_BAD_ANSWER, SL_OK },
        { "cn&2", "", SL_DIR_BAD_ANSWER, SL_DIR_BAD_ANSWER },
        { "nonsense", "", SL_CONFIG_VALUE, SL_CONFIG_VALUE },
        { "", "(!(employeeType=disabled))", SL_OK, SL_DIR_DISABLED },
        { "", "(serialNumber=*)", SL_OK, SL_DIR_DISABLED },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        c.disabled_attr = (char *)(uintptr_t)cases[i].disabled;
        c.enabled_filter = (char *)(uintptr_t)cases[i].enabled;
        ck_rc(sl_directory_check(&c, "(x)", &a, NULL, &err), cases[i].a, &err);
        ck_rc(sl_directory_check(&c, "(x)", &b, NULL, &err), cases[i].b, &err);
    }
    sl_entries_clear(&e);
}
END_TEST

START_TEST(cert_match_wants_the_very_certificate)
{
    SL_AUTO(sl_cert) *cert = peer_cert();
    SL_AUTO(sl_cert) *other = peer_cert();
    struct sl_conf_directory c = conf();
    c.cert_match = true;
    struct sl_entries e = { 0 };
    struct sl_entry *x = sl_entries_new(&e, sl_str("cn=a"));
    ck_rc(sl_directory_check(&c, "(x)", &e, cert, &err), SL_DIR_CERT_MISMATCH, &err);
    ck_assert(sl_entry_put(x, sl_str("userCertificate;binary"), sl_cert_der(other)));
    ck_rc(sl_directory_check(&c, "(x)", &e, cert, &err), SL_DIR_CERT_MISMATCH, &err);
    ck_assert(sl_entry_put(x, sl_str("usercertificate;binary"), sl_cert_der(cert)));
    ck_ok(sl_directory_check(&c, "(x)", &e, cert, &err), &err);
    ck_rc(sl_directory_check(&c, "(x)", &e, NULL, &err), SL_DIR_CERT_MISMATCH, &err);
    sl_entries_clear(&e);
}
END_TEST

START_TEST(search_asks_for_what_is_judged)
{
    struct sl_conf_directory c = conf();
    c.enabled_filter = (char *)(uintptr_t) "(&(a=1)(!(b=*)))";
    c.disabled_attr = (char *)(uintptr_t) "userAccountControl&2";
    c.cert_match = true;
    char *groups[] = { (char *)(uintptr_t) "g*" }, *attrs[] = { (char *)(uintptr_t) "dept=x*" };
    struct sl_conf_rule rule = { .group = { groups, 1 }, .entry_attr = { attrs, 1 } };
    char names[SL_DIR_ATTRS][SL_NAME_MAX];
    size_t n = sl_directory_attrs(&c, &rule, 1, names);
    static const char *const want[] = { "objectClass", "userAccountControl",     "a",
                                        "b",           "userCertificate;binary", "memberOf",
                                        "dept" };
    ck_assert_uint_eq(n, SL_ARRAY_LEN(want));
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(names[i], want[i]);
}
END_TEST

SL_TESTS(directory, SL_CASE(ldif_reads_records_folds_and_base64),
         SL_CASE(ldif_refuses_with_the_line), SL_CASE(ldif_cut_anywhere_is_read_or_refused_cleanly),
         SL_CASE(filter_matches_as_servers_do), SL_CASE(filter_refuses_what_is_no_filter),
         SL_CASE(search_keeps_to_base_and_scope), SL_CASE(mapping_fills_in_and_escapes),
         SL_CASE(escaped_value_finds_only_itself), SL_CASE(entry_must_be_one_and_enabled),
         SL_CASE(cert_match_wants_the_very_certificate), SL_CASE(search_asks_for_what_is_judged))
