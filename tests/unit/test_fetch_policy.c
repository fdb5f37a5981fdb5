/*
 * What may be fetched from where: addresses in every form, URIs, rewriting, the proxy, redirects.
 */
#include "src/fetch/fetch.h"
#include "tests/support/support.h"

#include <string.h>

/* Configurations own their text; these are only looked at. */
#define TEXT(s) ((char *)(uintptr_t)(s))
#define LIST(...)                                                 \
    {                                                             \
        .v = (char **)(uintptr_t)(const char *[]){ __VA_ARGS__ }, \
        .n = SL_ARRAY_LEN(((const char *[]){ __VA_ARGS__ })),     \
    }

static struct sl_addr addr(const char *text)
{
    struct sl_addr a;
    ck_assert_msg(sl_addr_parse(&a, text), "%s", text);
    return a;
}

static struct fetch_rules rules_of(struct sl_conf_fetch c)
{
    struct fetch_rules r;
    struct sl_err err = { 0 };
    enum sl_rc rc = fetch_rules_init(&r, &c, &err);
    ck_assert_msg(rc == SL_OK, "%s", sl_err_text(&err));
    return r;
}

static void expect_addr(const struct fetch_rules *r, const char *text, enum sl_rc want)
{
    struct sl_addr a = addr(text);
    struct sl_err err = { 0 };
    enum sl_rc got = fetch_addr_check(r, &a, &err);
    ck_assert_msg(got == want, "%s: %s, expected %s: %s", text, sl_rc_name(got), sl_rc_name(want),
                  sl_err_text(&err));
}

/* ---- addresses ----------------------------------------------------------------------------------- */
static const char *const denied[] = {
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "febf:ffff::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff05::1:3",
    /* IPv4 in IPv6: mapped, compatible, translated */
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::2",
    "::ffff:0:127.0.0.1",
    /* NAT64, well-known and local; 6to4; Teredo's client (inverted) and server; ISATAP */
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::127.0.0.1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2001:0:c000:201::80ff:fffe",
    "2001:0:7f00:1::1",
    "2001:db8::5efe:127.0.0.1",
    "2001:db8::200:5efe:169.254.169.254",
};

static const char *const allowed[] = {
    "192.0.2.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.100.100.201",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "223.255.255.255",
    "1.0.0.0",
    "2001:db8::1",
    "fd00:ec2::253",
    "fec0::1",
    "::ffff:192.0.2.1",
    "64:ff9b::192.0.2.1",
    "64:ff9b:1:2:3:4:10.127.0.1",
    "2002:c000:201::1",
    "2001:db8::5eff:7f00:1",
};

START_TEST(strangers_do_not_lead_to_this_host_or_its_links)
{
    struct fetch_rules r = rules_of((struct sl_conf_fetch){ 0 });
    for (size_t i = 0; i < SL_ARRAY_LEN(denied); i++)
        expect_addr(&r, denied[i], SL_DENIED);
    for (size_t i = 0; i < SL_ARRAY_LEN(allowed); i++)
        expect_addr(&r, allowed[i], SL_OK);
    struct sl_addr none = { 0 };
    ck_assert_int_eq(fetch_addr_check(&r, &none, NULL), SL_DENIED);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(builtin_prefixes_are_prefixes_and_denied)
{
    struct fetch_rules r = rules_of((struct sl_conf_fetch){ 0 });
    size_t n = 0;
    for (const struct fetch_builtin *b; (b = fetch_builtin(n)); n++) {
        struct sl_prefix p;
        struct sl_addr first, last;
        ck_assert_msg(sl_prefix_parse(&p, b->prefix), "%s", b->prefix);
        sl_prefix_range(&p, &first, &last);
        ck_assert_int_eq(fetch_addr_check(&r, &first, NULL), SL_DENIED);
        ck_assert_int_eq(fetch_addr_check(&r, &last, NULL), SL_DENIED);
    }
    ck_assert_uint_eq(n, 15);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(the_longest_prefix_decides)
{
    struct fetch_rules r = rules_of((struct sl_conf_fetch){
        .allow = LIST("127.0.0.0/8", "10.1.2.0/24", "::1", "169.254.0.0/16", "172.16.0.0/16"),
        .deny = LIST("127.0.0.2", "10.0.0.0/8", "172.16.0.0/16", "2001:db8::/32") });
    expect_addr(&r, "127.0.0.1", SL_OK);
    expect_addr(&r, "::ffff:127.0.0.1", SL_OK);
    expect_addr(&r, "64:ff9b::127.0.0.1", SL_OK);
    expect_addr(&r, "127.0.0.2", SL_DENIED); /* deny is longer */
    expect_addr(&r, "::ffff:127.0.0.2", SL_DENIED);
    expect_addr(&r, "2002:7f00:2::", SL_DENIED);
    expect_addr(&r, "10.9.9.9", SL_DENIED);
    expect_addr(&r, "10.1.2.3", SL_OK);       /* allow is longer */
    expect_addr(&r, "172.16.1.1", SL_DENIED); /* equally long: deny */
    expect_addr(&r, "::1", SL_OK);
    expect_addr(&r, "::", SL_DENIED);
    expect_addr(&r, "169.254.1.1", SL_OK);
    expect_addr(&r, "169.254.169.254", SL_DENIED); /* the built-in /32 is longer than /16 */
    expect_addr(&r, "2001:db8::1", SL_DENIED);
    expect_addr(&r, "2001:db9::1", SL_OK);
    fetch_rules_clear(&r);
    /* everything is less than loopback; a metadata service by its own address */
    r = rules_of((struct sl_conf_fetch){ .allow = LIST("0.0.0.0/0", "::/0", "169.254.169.254") });
    expect_addr(&r, "127.0.0.1", SL_DENIED);
    expect_addr(&r, "::1", SL_DENIED);
    expect_addr(&r, "169.254.169.254", SL_OK);
    expect_addr(&r, "169.254.169.253", SL_DENIED);
    fetch_rules_clear(&r);
    /* a mapped prefix means IPv4 */
    r = rules_of((struct sl_conf_fetch){ .deny = LIST("::ffff:10.0.0.0/104") });
    expect_addr(&r, "10.1.1.1", SL_DENIED);
    expect_addr(&r, "11.1.1.1", SL_OK);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(refusals_of_addresses_say_which_rule_decided)
{
    struct fetch_rules r = rules_of((struct sl_conf_fetch){ .deny = LIST("10.0.0.0/8") });
    struct sl_err err = { 0 };
    struct sl_addr a = addr("10.0.0.1");
    ck_assert_int_eq(fetch_addr_check(&r, &a, &err), SL_DENIED);
    ck_assert_str_eq(err.text, "address 10.0.0.1 is not connected to: fetch.deny has 10.0.0.0/8");
    a = addr("2002:7f00:1::1");
    ck_assert_int_eq(fetch_addr_check(&r, &a, &err), SL_DENIED);
    ck_assert_str_eq(err.text,
                     "address 127.0.0.1 (6to4 address 2002:7f00:1::1) is not connected to: "
                     "127.0.0.0/8 (loopback), and fetch.allow has nothing as specific");
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(numbers_that_getaddrinfo_takes_are_addresses)
{
    static const struct {
        const char *host, *addr;
    } rows[] = {
        { "127.0.0.1", "127.0.0.1" },
        { "127.1", "127.0.0.1" },
        { "127.0.1", "127.0.0.1" },
        { "2130706433", "127.0.0.1" },
        { "0x7f000001", "127.0.0.1" },
        { "0x7f.1", "127.0.0.1" },
        { "0177.0.0.1", "127.0.0.1" },
        { "017700000001", "127.0.0.1" },
        { "0X7F.0x0.0.01", "127.0.0.1" },
        { "0", "0.0.0.0" },
        { "0xa9fea9fe", "169.254.169.254" },
        { "169.16689662", "169.254.169.254" },
        { "192.0.2.1", "192.0.2.1" },
        { "::1", "::1" },
        { "::ffff:7f00:1", "::ffff:127.0.0.1" },
    };
    static const char *const names[] = { "",           "localhost",  "127.0.0.1.example",
                                         "256.0.0.1",  "1.2.3.4.5",  "127.0.0.1 ",
                                         "0x",         "4294967296", "08.0.0.1",
                                         "fe80::1%lo", "1.2.3.4:80", "x" };
    struct sl_addr got, want;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        want = addr(rows[i].addr);
        ck_assert_msg(fetch_literal(&got, rows[i].host) && sl_addr_eq(&got, &want), "%s",
                      rows[i].host);
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        ck_assert_msg(!fetch_literal(&got, names[i]), "%s", names[i]);
}
END_TEST

/* ---- URIs ------------------------------------------------------------------------------------------- */
START_TEST(uris_are_taken_apart)
{
    static const struct {
        const char *text;
        enum fetch_scheme scheme;
        const char *host;
        uint16_t port;
        const char *rest;
        bool literal;
    } rows[] = {
        { "http://crl.example/1.crl", FETCH_HTTP, "crl.example", 80, "/1.crl", false },
        { "HTTP://CRL.Example:8080", FETCH_HTTP, "crl.example", 8080, "", false },
        { "https://a?x=http://b/@c", FETCH_HTTPS, "a", 443, "?x=http://b/@c", false },
        { "http://a:/x", FETCH_HTTP, "a", 80, "/x", false },
        { "http://a:65535#f", FETCH_HTTP, "a", 65535, "#f", false },
        { "http://[2001:DB8::1]:81/", FETCH_HTTP, "2001:db8::1", 81, "/", true },
        { "http://[::ffff:127.0.0.1]/", FETCH_HTTP, "::ffff:127.0.0.1", 80, "/", true },
        { "http://0x7F.1/", FETCH_HTTP, "0x7f.1", 80, "/", true },
        { "ldap://dir.example/cn=x,dc=y?certificateRevocationList;binary?base", FETCH_LDAP,
          "dir.example", 389, "/cn=x,dc=y?certificateRevocationList;binary?base", false },
        { "ldaps://dir.example", FETCH_LDAPS, "dir.example", 636, "", false },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct fetch_uri u;
        struct sl_err err = { 0 };
        enum sl_rc rc = fetch_uri_parse(&u, sl_str(rows[i].text), &err);
        ck_assert_msg(rc == SL_OK, "%s: %s", rows[i].text, sl_err_text(&err));
        ck_assert_int_eq(u.scheme, rows[i].scheme);
        ck_assert_str_eq(u.host, rows[i].host);
        ck_assert_uint_eq(u.port, rows[i].port);
        ck_assert(sl_bytes_eq(u.rest, sl_str(rows[i].rest)));
        ck_assert_int_eq(u.is_literal, rows[i].literal);
    }
}
END_TEST

START_TEST(uris_that_could_be_read_in_two_ways_are_refused)
{
    static const struct {
        const char *text;
        enum sl_rc rc;
        const char *why;
    } rows[] = {
        { "", SL_UNSUPPORTED, "expected http" },
        { "http:/a/", SL_UNSUPPORTED, "expected http" },
        { "http//a/", SL_UNSUPPORTED, "expected http" },
        { "file:///etc/passwd", SL_UNSUPPORTED, "expected http" },
        { "ftp://a/", SL_UNSUPPORTED, "expected http" },
        { "gopher://a/", SL_UNSUPPORTED, "expected http" },
        { "ldapi://%2frun%2fldapi/", SL_UNSUPPORTED, "expected http" },
        { "httpx://a/", SL_UNSUPPORTED, "expected http" },
        { " http://a/", SL_MALFORMED, "byte 0x20 at 0" },
        { "http://", SL_UNSUPPORTED, "no host" },
        { "http:///x", SL_UNSUPPORTED, "no host" },
        { "ldap:///cn=x?cACertificate;binary", SL_UNSUPPORTED, "no host" },
        { "http://:80/", SL_UNSUPPORTED, "no host" },
        { "http://user@a/", SL_MALFORMED, "user information" },
        { "http://user:password@a/", SL_MALFORMED, "user information" },
        { "http://a@127.0.0.1/", SL_MALFORMED, "user information" },
        { "http://@a/", SL_MALFORMED, "user information" },
        { "http://a\\@b/", SL_MALFORMED, "byte 0x5c" },
        { "http://a/\r\nHost: b", SL_MALFORMED, "byte 0x0d" },
        { "http://a/\x7f", SL_MALFORMED, "byte 0x7f" },
        { "http://a/\xc3\xa4", SL_MALFORMED, "byte 0xc3" },
        { "http://a/b c", SL_MALFORMED, "byte 0x20" },
        { "http://a%2eb/", SL_MALFORMED, "character '%'" },
        { "http://a,b/", SL_MALFORMED, "character ','" },
        { "http://a:0/", SL_MALFORMED, "port 0" },
        { "http://a:65536/", SL_MALFORMED, "port 65536" },
        { "http://a:4294967376/", SL_MALFORMED, "not a number" },
        { "http://a:-1/", SL_MALFORMED, "not a number" },
        { "http://a:+80/", SL_MALFORMED, "not a number" },
        { "http://a:80:80/", SL_MALFORMED, "not a number" },
        { "http://::1/", SL_UNSUPPORTED, "no host" },
        { "http://[::1/", SL_MALFORMED, "no \"]\"" },
        { "http://[::1]80/", SL_MALFORMED, "more than a port" },
        { "http://[]/", SL_UNSUPPORTED, "no host" },
        { "http://[127.0.0.1]/", SL_MALFORMED, "not an IPv6 address" },
        { "http://[::g]/", SL_MALFORMED, "" },
        { "http://[fe80::1%25lo]/", SL_MALFORMED, "zone identifier" },
        { "http://[fe80::1%lo]/", SL_MALFORMED, "zone identifier" },
        { "http://[v1.x]/", SL_MALFORMED, "not an IPv6 address" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct fetch_uri u;
        struct sl_err err = { 0 };
        enum sl_rc rc = fetch_uri_parse(&u, sl_str(rows[i].text), &err);
        ck_assert_msg(rc == rows[i].rc && strstr(err.text, rows[i].why), "%s: %s %s", rows[i].text,
                      sl_rc_name(rc), err.text);
    }
    struct fetch_uri u;
    ck_assert_int_eq(fetch_uri_parse(&u, sl_bytes("http://a\0b/", 11), NULL), SL_MALFORMED);
}
END_TEST

START_TEST(long_uris_and_hosts_are_refused)
{
    static char text[FETCH_URI_MAX + 2];
    struct fetch_uri u;
    memset(text, 'a', sizeof(text));
    memcpy(text, "http://a/", 9);
    ck_assert_int_eq(fetch_uri_parse(&u, sl_bytes(text, FETCH_URI_MAX), NULL), SL_OK);
    ck_assert_int_eq(fetch_uri_parse(&u, sl_bytes(text, FETCH_URI_MAX + 1), NULL), SL_TOO_LARGE);
    text[8] = 'a';
    ck_assert_int_eq(fetch_uri_parse(&u, sl_bytes(text, 7 + FETCH_HOST_MAX), NULL), SL_OK);
    ck_assert_uint_eq(strlen(u.host), FETCH_HOST_MAX);
    ck_assert_int_eq(fetch_uri_parse(&u, sl_bytes(text, 8 + FETCH_HOST_MAX), NULL), SL_TOO_LARGE);
}
END_TEST

/* ---- rewriting, proxy --------------------------------------------------------------------------------- */
static void expect_rewrite(const struct fetch_rules *r, const char *uri, const char *want)
{
    struct fetch_uri u;
    SL_AUTO_BUF out = { 0 };
    ck_assert_int_eq(fetch_uri_parse(&u, sl_str(uri), NULL), SL_OK);
    bool done = fetch_rewrite(r, &u, &out);
    ck_assert_msg(done == (want != NULL), "%s", uri);
    if (want)
        ck_assert_str_eq((const char *)out.p, want);
    else
        ck_assert_uint_eq(out.len, 0);
}

START_TEST(rewriting_replaces_whole_hosts_and_segments)
{
    struct fetch_rules r = rules_of((struct sl_conf_fetch){
        .rewrite = LIST("http://pki.corp.example/=http://crl-mirror.lan/",
                        "http://whole.example=https://[2001:db8::1]:8443/w",
                        "https://deep.example:8443/a/b=http://m/", "ldap://dir.corp/=http://m/dir/",
                        "ldap://q.corp/cn=CA,dc=x=ldap://q.lan/cn=CA,dc=y") });
    expect_rewrite(&r, "http://pki.corp.example/1.crl", "http://crl-mirror.lan/1.crl");
    expect_rewrite(&r, "HTTP://PKI.corp.EXAMPLE:80/1.crl?a=b", "http://crl-mirror.lan/1.crl?a=b");
    expect_rewrite(&r, "http://pki.corp.example", "http://crl-mirror.lan/");
    expect_rewrite(&r, "http://pki.corp.example.evil/1.crl", NULL);
    expect_rewrite(&r, "http://pki.corp.example:8080/1.crl", NULL);
    expect_rewrite(&r, "https://pki.corp.example/1.crl", NULL);
    expect_rewrite(&r, "http://xpki.corp.example/1.crl", NULL);
    expect_rewrite(&r, "http://whole.example/x", "https://[2001:db8::1]:8443/w/x");
    expect_rewrite(&r, "http://whole.example", "https://[2001:db8::1]:8443/w");
    expect_rewrite(&r, "http://whole.examples/x", NULL);
    expect_rewrite(&r, "https://deep.example:8443/a/b", "http://m/");
    expect_rewrite(&r, "https://deep.example:8443/a/b/c", "http://m/c");
    expect_rewrite(&r, "https://deep.example:8443/a/b?q", "http://m/?q");
    expect_rewrite(&r, "https://deep.example:8443/a/bc", NULL);
    expect_rewrite(&r, "https://deep.example:8443/A/b", NULL);
    expect_rewrite(&r, "https://deep.example:8443/a", NULL);
    expect_rewrite(&r, "ldap://dir.corp/cn=x?cACertificate", "http://m/dir/cn=x?cACertificate");
    expect_rewrite(&r, "ldap://q.corp/cn=CA,dc=x?cACertificate",
                   "ldap://q.lan/cn=CA,dc=y?cACertificate");
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(rules_that_cannot_be_used_are_refused)
{
    struct sl_err err = { 0 };
    struct fetch_rules r;
#define REFUSED(why, ...)                                                   \
    do {                                                                    \
        struct sl_conf_fetch c_ = { __VA_ARGS__ };                          \
        ck_assert_int_eq(fetch_rules_init(&r, &c_, &err), SL_CONFIG_VALUE); \
        ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);       \
    } while (0)
    REFUSED("fetch.allow", .allow = LIST("10.0.0.1/8"));
    REFUSED("fetch.deny", .deny = LIST("corp"));
    REFUSED("fetch.rewrite", .rewrite = LIST("http://a/"));
    REFUSED("fetch.rewrite", .rewrite = LIST("http://a/=http://u@b/"));
    REFUSED("fetch.rewrite", .rewrite = LIST("http://a/=http://b/", "a=http://b/"));
    REFUSED("fetch.proxy", .proxy = TEXT("http://u:p@proxy:3128"));
    REFUSED("fetch.proxy", .proxy = TEXT("https://proxy:3128"));
    REFUSED("fetch.proxy", .proxy = TEXT("proxy:3128"));
    ck_assert_int_eq(fetch_rules_init(&r, NULL, &err), SL_OK);
    ck_assert_uint_eq(r.max_crl_bytes, FETCH_CRL_BYTES);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(the_proxy_is_for_http_and_not_for_those_named)
{
    static const struct {
        const char *uri;
        bool proxied;
    } rows[] = {
        { "http://a.example/", true },
        { "https://a.example/", true },
        { "ldap://a.example/", false },
        { "http://direct.example/", false },
        { "http://DIRECT.example/", false },
        { "http://x.direct.example/", true },
        { "http://x.lan/", false },
        { "http://lan/", true },
        { "http://xlan/", true },
        { "http://10.1.2.3/", false },
        { "http://0x0a010203/", false },
        { "http://11.1.2.3/", true },
        { "http://[2001:db8::1]/", false },
    };
    struct fetch_rules r = rules_of((struct sl_conf_fetch){
        .proxy = TEXT("http://127.0.0.1:3128"),
        .no_proxy = LIST("direct.example", ".lan", "10.0.0.0/8", "2001:db8::1") });
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct fetch_uri u;
        ck_assert_int_eq(fetch_uri_parse(&u, sl_str(rows[i].uri), NULL), SL_OK);
        ck_assert_msg(fetch_by_proxy(&r, &u) == rows[i].proxied, "%s", rows[i].uri);
    }
    fetch_rules_clear(&r);
    r = rules_of(
        (struct sl_conf_fetch){ .proxy = TEXT("http://127.0.0.1:3128"), .no_proxy = LIST("*") });
    struct fetch_uri u;
    ck_assert_int_eq(fetch_uri_parse(&u, sl_str("http://a/"), NULL), SL_OK);
    ck_assert(!fetch_by_proxy(&r, &u));
    fetch_rules_clear(&r);
}
END_TEST

/* ---- targets -------------------------------------------------------------------------------------------- */
static enum sl_rc target(const struct fetch_rules *r, const char *uri, enum fetch_origin origin)
{
    struct fetch_target t;
    enum sl_rc rc = fetch_target_init(&t, r, sl_str(uri), origin, NULL);
    if (rc == SL_OK)
        fetch_target_clear(&t);
    return rc;
}

START_TEST(literal_hosts_are_judged_before_anything_is_sent)
{
    static const char *const literals[] = { "http://127.0.0.1/",       "http://127.1/",
                                            "http://2130706433/",      "http://0x7f000001:8080/",
                                            "http://0177.0.0.1/",      "https://[::1]/",
                                            "http://[::ffff:7f00:1]/", "ldap://127.0.0.1/cn=x",
                                            "ldaps://[fe80::1]/cn=x",  "http://169.254.169.254/x" };
    struct fetch_rules r =
        rules_of((struct sl_conf_fetch){ .proxy = TEXT("http://192.0.2.9:3128") });
    for (size_t i = 0; i < SL_ARRAY_LEN(literals); i++) {
        ck_assert_int_eq(target(&r, literals[i], FETCH_FROM_CERTIFICATE), SL_DENIED);
        ck_assert_int_eq(target(&r, literals[i], FETCH_CONFIGURED), SL_OK);
    }
    ck_assert_int_eq(target(&r, "http://192.0.2.1/", FETCH_FROM_CERTIFICATE), SL_OK);
    ck_assert_int_eq(target(&r, "http://name/", FETCH_FROM_CERTIFICATE), SL_OK);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(rewritten_uris_count_as_configured)
{
    struct fetch_rules r = rules_of(
        (struct sl_conf_fetch){ .rewrite = LIST("http://pki.corp/=http://127.0.0.1:8080/") });
    struct fetch_target t;
    ck_assert_int_eq(
        fetch_target_init(&t, &r, sl_str("http://pki.corp/a"), FETCH_FROM_CERTIFICATE, NULL),
        SL_OK);
    ck_assert(t.rewritten && t.origin == FETCH_CONFIGURED);
    ck_assert_str_eq((const char *)t.text.p, "http://127.0.0.1:8080/a");
    ck_assert_uint_eq(t.uri.port, 8080);
    fetch_target_clear(&t);
    /* the administrator's own URI is as it was written */
    ck_assert_int_eq(fetch_target_init(&t, &r, sl_str("http://pki.corp/a"), FETCH_CONFIGURED, NULL),
                     SL_OK);
    ck_assert(!t.rewritten);
    fetch_target_clear(&t);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(redirects_are_judged_anew)
{
    static const struct {
        const char *from, *to;
        enum fetch_origin origin;
        enum sl_rc rc;
        enum fetch_origin then;
    } rows[] = {
        { "http://a/", "http://b/", FETCH_FROM_CERTIFICATE, SL_OK, FETCH_FROM_CERTIFICATE },
        { "http://a/", "https://b/", FETCH_FROM_CERTIFICATE, SL_OK, FETCH_FROM_CERTIFICATE },
        { "https://a/", "https://b/", FETCH_FROM_CERTIFICATE, SL_OK, FETCH_FROM_CERTIFICATE },
        { "https://a/", "http://a/", FETCH_FROM_CERTIFICATE, SL_DENIED, 0 },
        { "https://a/", "http://a/", FETCH_CONFIGURED, SL_DENIED, 0 },
        { "http://a/", "ldap://a/", FETCH_FROM_CERTIFICATE, SL_UNSUPPORTED, 0 },
        { "http://a/", "file:///x", FETCH_CONFIGURED, SL_UNSUPPORTED, 0 },
        { "http://a/", "http://u@b/", FETCH_FROM_CERTIFICATE, SL_MALFORMED, 0 },
        { "http://a/", "http://127.0.0.1/", FETCH_FROM_CERTIFICATE, SL_DENIED, 0 },
        /* a configured server may send to itself only */
        { "http://127.0.0.1/a", "http://127.0.0.1/b", FETCH_CONFIGURED, SL_OK, FETCH_CONFIGURED },
        { "http://127.0.0.1/a", "http://127.0.0.1:8080/b", FETCH_CONFIGURED, SL_DENIED, 0 },
        { "http://127.0.0.1/a", "http://127.0.0.2/b", FETCH_CONFIGURED, SL_DENIED, 0 },
        { "http://a/", "http://b/", FETCH_CONFIGURED, SL_OK, FETCH_FROM_CERTIFICATE },
    };
    struct fetch_rules r = rules_of((struct sl_conf_fetch){ 0 });
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct fetch_target from, to;
        ck_assert_int_eq(fetch_target_init(&from, &r, sl_str(rows[i].from), rows[i].origin, NULL),
                         SL_OK);
        enum sl_rc rc = fetch_target_redirect(&to, &r, &from, sl_str(rows[i].to), NULL);
        ck_assert_msg(rc == rows[i].rc, "%s to %s: %s", rows[i].from, rows[i].to, sl_rc_name(rc));
        if (rc == SL_OK) {
            ck_assert_int_eq(to.origin, rows[i].then);
            fetch_target_clear(&to);
        }
        fetch_target_clear(&from);
    }
    fetch_rules_clear(&r);
}
END_TEST

/* ---- DER values, one after another ----------------------------------------------------------------------- */
START_TEST(der_values_are_split)
{
    uint8_t v[300] = { 0x30, 0x02, 0x05, 0x00, 0x30, 0x81, 0x80 };
    struct sl_bytes rest = sl_bytes(v, 4 + 3 + 0x80), one;
    ck_assert(fetch_der_next(&rest, &one));
    ck_assert_uint_eq(one.len, 4);
    ck_assert(fetch_der_next(&rest, &one));
    ck_assert_uint_eq(one.len, 3 + 0x80);
    ck_assert_ptr_eq(one.p, v + 4);
    ck_assert_uint_eq(rest.len, 0);
    ck_assert(!fetch_der_next(&rest, &one));
    static const uint8_t bad[][6] = { { 0x31, 0x00 },
                                      { 0x30, 0x80, 0, 0, 0, 0 },
                                      { 0x30, 0x05, 0, 0, 0, 0 },
                                      { 0x30, 0x84, 0xff, 0xff, 0xff, 0xff },
                                      { 0x30, 0x85, 0, 0, 0, 0 } };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        rest = sl_bytes(bad[i], sizeof(bad[i]));
        ck_assert_msg(!fetch_der_next(&rest, &one), "%zu", i);
        ck_assert_uint_eq(rest.len, sizeof(bad[i]));
    }
    rest = sl_bytes(v, 1);
    ck_assert(!fetch_der_next(&rest, &one));
}
END_TEST

SL_TESTS(fetch_policy, SL_CASE(strangers_do_not_lead_to_this_host_or_its_links),
         SL_CASE(builtin_prefixes_are_prefixes_and_denied), SL_CASE(the_longest_prefix_decides),
         SL_CASE(refusals_of_addresses_say_which_rule_decided),
         SL_CASE(numbers_that_getaddrinfo_takes_are_addresses), SL_CASE(uris_are_taken_apart),
         SL_CASE(uris_that_could_be_read_in_two_ways_are_refused),
         SL_CASE(long_uris_and_hosts_are_refused),
         SL_CASE(rewriting_replaces_whole_hosts_and_segments),
         SL_CASE(rules_that_cannot_be_used_are_refused),
         SL_CASE(the_proxy_is_for_http_and_not_for_those_named),
         SL_CASE(literal_hosts_are_judged_before_anything_is_sent),
         SL_CASE(rewritten_uris_count_as_configured), SL_CASE(redirects_are_judged_anew),
         SL_CASE(der_values_are_split))
