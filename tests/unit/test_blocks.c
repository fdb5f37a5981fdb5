/*
 * Address blocks in the peer's certificate (RFC 3779 2) as a limit of the grant: ignored unless the
 * trust section says otherwise, inherited from issuers, with and without a grant of the rule's own.
 */
#include "src/ident/internal.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

static struct sl_err err;

#define SAN    "subjectAltName=DNS:gw-a.example\n"
#define BLOCKS "sbgp-ipAddrBlock=critical,"

struct bench {
    struct sl_conf_trust trust;
    struct sl_conf_rule rule;
    struct sl_conf_connection conn;
    struct sl_config config;
    struct sl_ts grant[SL_TS_MAX];
    struct sl_decider *d;
    struct test_cert root, sub, leaf;
};

static char empty[] = "", lab[] = "lab", site[] = "site", all[] = "everyone";

/* A certificate with what `blocks` says after the extension's name, or without the extension. */
static struct test_cert make(const char *subject, const struct test_cert *by, bool ca,
                             const char *blocks)
{
    char ext[4096];
    snprintf(ext, sizeof(ext), "%s%s%s%s", ca ? "" : SAN, blocks ? BLOCKS : "",
             blocks ? blocks : "", blocks ? "\n" : "");
    return test_cert(
        &(struct test_spec){ .subject = subject, .by = by, .ca = ca, .ext = ext[0] ? ext : NULL });
}

/* NULL: no extension. The grant: selectors as in a file, NULL ends. */
static void setup(struct bench *b, const char *root, const char *sub, const char *leaf,
                  const char *const *grant)
{
    *b = (struct bench){
        .trust = { .name = lab,
                   .revocation = SL_REVOCATION_OFF,
                   .deadline_ms = 1000,
                   .address_blocks = SL_ADDRESS_BLOCKS_RESTRICT },
        .rule = { .name = all, .accept = true, .grant_tag = empty, .grant_ts = b->grant },
        .conn = { .name = site,
                  .auth = SL_METHOD_CERT,
                  .identity = empty,
                  .psk = empty,
                  .trust = lab,
                  .directory = empty }
    };
    b->config = (struct sl_config){ .file = empty,
                                    .trust = &b->trust,
                                    .trust_n = 1,
                                    .rule = &b->rule,
                                    .rule_n = 1,
                                    .connection = &b->conn,
                                    .connection_n = 1 };
    for (; grant && *grant; grant++)
        ck_assert(sl_ts_parse(&b->grant[b->rule.grant_ts_n++], *grant));
    b->root = make("CN=root", NULL, true, root);
    b->sub = make("CN=sub", &b->root, true, sub);
    b->leaf = make("CN=gw-a", &b->sub, false, leaf);
    ck_ok(sl_decider_new(&b->d, &b->config, &sl_rng_system, &err), &err);
    ck_ok(sl_decider_anchors(b->d, "lab", b->root.der, "root", &err), &err);
}

static struct sl_decision *decide(struct bench *b)
{
    struct sl_decision_ask ask = { .connection = "site",
                                   .possession = SL_POSSESSION_NOT_ASKED,
                                   .cert = { b->leaf.der, b->sub.der },
                                   .cert_n = 2 };
    struct sl_decision *x = NULL;
    ck_ok(sl_id_parse(&ask.id, "dns:gw-a.example", &err), &err);
    ck_ok(sl_decider_start(b->d, &ask, (struct sl_now){ .mono_ns = 1, .utc_s = TEST_NOW }, NULL, &x,
                           &err),
          &err);
    ck_assert_ptr_eq(sl_decider_finished(b->d), x);
    return x;
}

/* The grant as "a b c"; the evidence says the same. */
static void expect_grant(struct bench *b, const char *want)
{
    SL_AUTO(sl_decision) *x = decide(b);
    const struct sl_verdict *v = sl_decision_verdict(x);
    char one[SL_TS_TEXT];
    SL_AUTO_BUF got = { 0 }, told = { 0 };
    ck_assert_msg(v->rc == SL_AUTH_NOT_ASKED, "%s: %s", sl_rc_name(v->rc), v->text);
    ck_assert_ptr_nonnull(strstr(v->text, "rule everyone accepts"));
    for (size_t i = 0; i < v->grant.ts_n; i++)
        ck_assert(sl_buf_printf(&got, "%s%s", i ? " " : "", sl_ts_text(one, &v->grant.ts[i])));
    const json_t *policy = json_object_get(sl_decision_evidence(x), "policy");
    const json_t *list = json_object_get(json_object_get(policy, "grant"), "ts"), *t;
    for (size_t i = 0; (t = json_array_get(list, i)); i++)
        ck_assert(sl_buf_printf(&told, "%s%s", i ? " " : "", json_string_value(t)));
    ck_assert(sl_buf_nul(&got) && sl_buf_nul(&told));
    ck_assert_str_eq((const char *)got.p, want);
    ck_assert_str_eq((const char *)told.p, want);
    sl_decider_free(b->d);
}

/* What the refusal's text has; the blocks stand in the evidence all the same. */
static void expect_refusal(struct bench *b, const char *const *words, size_t n, size_t blocks_n)
{
    SL_AUTO(sl_decision) *x = decide(b);
    const struct sl_verdict *v = sl_decision_verdict(x);
    const json_t *e = sl_decision_evidence(x);
    ck_assert_msg(v->rc == SL_POLICY_TS, "%s: %s", sl_rc_name(v->rc), v->text);
    ck_assert_ptr_nonnull(strstr(v->text, "CN=gw-a"));
    ck_assert_ptr_nonnull(strstr(v->text, "RFC 3779 2.2.3"));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(strstr(v->text, words[i]) != NULL, "%s: no %s", v->text, words[i]);
    ck_assert_uint_eq(v->grant.ts_n, 0);
    ck_assert_ptr_null(json_object_get(json_object_get(e, "policy"), "grant"));
    ck_assert_uint_eq(json_array_size(json_object_get(e, "address_blocks")), blocks_n);
    sl_decider_free(b->d);
}
#define WORDS(...) \
    (const char *const[]){ __VA_ARGS__ }, SL_ARRAY_LEN(((const char *const[]){ __VA_ARGS__ }))
#define GRANT(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

START_TEST(ignored_unless_the_section_says_restrict)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.0/16", GRANT("192.0.2.0/24"));
    b.trust.address_blocks = SL_ADDRESS_BLOCKS_IGNORE;
    SL_AUTO(sl_decision) *x = decide(&b);
    ck_assert_ptr_null(json_object_get(sl_decision_evidence(x), "address_blocks"));
    expect_grant(&b, "192.0.2.0/24");
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.0/16", NULL);
    b.trust.address_blocks = SL_ADDRESS_BLOCKS_IGNORE;
    expect_grant(&b, "");
}
END_TEST

START_TEST(without_a_grant_the_blocks_are_granted)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8,IPv6:2001:db8::/32", "IPv4:10.0.0.0/8,IPv6:2001:db8::/32",
          "IPv4:10.1.0.0/16,IPv6:2001:db8:5::/48", NULL);
    SL_AUTO(sl_decision) *x = decide(&b);
    const json_t *list = json_object_get(sl_decision_evidence(x), "address_blocks");
    ck_assert_uint_eq(json_array_size(list), 2);
    ck_assert_str_eq(json_string_value(json_array_get(list, 0)), "10.1.0.0/16");
    ck_assert_str_eq(json_string_value(json_array_get(list, 1)), "2001:db8:5::/48");
    SL_AUTO_BUF story = { 0 };
    ck_assert(sl_decision_story(&story, sl_decision_evidence(x)) && sl_buf_nul(&story));
    ck_assert_ptr_nonnull(
        strstr((const char *)story.p, "\nblocks       10.1.0.0/16, 2001:db8:5::/48 (RFC 3779)\n"));
    const struct sl_ts *ts = sl_decision_verdict(x)->grant.ts;
    ck_assert(ts->protocol == 0 && ts->start_port == 0 && ts->end_port == UINT16_MAX);
    expect_grant(&b, "10.1.0.0/16 2001:db8:5::/48");
}
END_TEST

START_TEST(a_certificate_without_blocks_is_not_limited)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", NULL, GRANT("192.0.2.0/24"));
    SL_AUTO(sl_decision) *x = decide(&b);
    ck_assert_ptr_null(json_object_get(sl_decision_evidence(x), "address_blocks"));
    expect_grant(&b, "192.0.2.0/24");
    setup(&b, NULL, NULL, NULL, NULL);
    expect_grant(&b, "");
}
END_TEST

START_TEST(a_grant_is_cut_and_keeps_protocol_and_ports)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.0/16,IPv4:10.9.0.0/16",
          GRANT("10.0.0.0/8[tcp/443]", "10.1.2.0/24[udp]", "192.0.2.0/24"));
    expect_grant(&b, "10.1.0.0/16[tcp/443] 10.9.0.0/16[tcp/443] 10.1.2.0/24[udp]");
    setup(&b, "IPv6:2001:db8::/32", "IPv6:2001:db8::/32", "IPv6:2001:db8:5::/48",
          GRANT("::/0", "0.0.0.0/0"));
    expect_grant(&b, "2001:db8:5::/48"); /* a family that is not named holds nothing */
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.0/16",
          GRANT("10.0.0.0/8", "10.1.0.0/24")); /* the second adds nothing */
    expect_grant(&b, "10.1.0.0/16");
}
END_TEST

START_TEST(ranges_need_be_no_prefixes)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.5-10.1.0.77", NULL);
    expect_grant(&b, "10.1.0.5-10.1.0.77");
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.5-10.1.0.77",
          GRANT("10.1.0.64-10.1.3.1[tcp]"));
    expect_grant(&b, "10.1.0.64-10.1.0.77[tcp]");
    setup(&b, "IPv6:2001:db8::/32", "IPv6:2001:db8::/32", "IPv6:2001:db8::5-2001:db8::9", NULL);
    expect_grant(&b, "2001:db8::5-2001:db8::9");
    setup(&b, "IPv4:0.0.0.0/0", "IPv4:0.0.0.0/0", "IPv4:0.0.0.0/0", NULL);
    expect_grant(&b, "0.0.0.0/0");
}
END_TEST

START_TEST(inherit_is_what_the_issuers_hold)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.2.0.0/16", "IPv4:inherit", NULL);
    expect_grant(&b, "10.2.0.0/16");
    /* up to the anchor's own */
    setup(&b, "IPv4:10.0.0.0/8,IPv6:2001:db8::/32", "IPv4:inherit,IPv6:inherit",
          "IPv4:inherit,IPv6:2001:db8:7::/48", NULL);
    expect_grant(&b, "10.0.0.0/8 2001:db8:7::/48");
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:inherit", "IPv4:inherit", GRANT("10.5.0.0-10.5.0.9"));
    expect_grant(&b, "10.5.0.0-10.5.0.9");
}
END_TEST

START_TEST(nothing_to_inherit_grants_nothing)
{
    struct bench b;
    /* the issuer names another family only: what the anchor has is not handed through it */
    setup(&b, "IPv4:10.0.0.0/8,IPv6:2001:db8::/32", "IPv6:2001:db8::/32",
          "IPv4:inherit,IPv6:inherit", NULL);
    expect_grant(&b, "2001:db8::/32");
    setup(&b, NULL, NULL, "IPv4:inherit", NULL);
    expect_refusal(&b, WORDS("holds addresses nothing"), 0);
}
END_TEST

START_TEST(other_kinds_of_addresses_grant_nothing)
{
    struct bench b;
    /* SAFI 2: multicast */
    setup(&b, "IPv4-SAFI:2:224.0.0.0/4,IPv4-SAFI:1:10.0.0.0/8",
          "IPv4-SAFI:2:224.0.0.0/4,IPv4-SAFI:1:10.0.0.0/8",
          "IPv4-SAFI:2:224.0.0.0/4,IPv4-SAFI:1:10.1.0.0/16", NULL);
    expect_grant(&b, "10.1.0.0/16");
    setup(&b, "IPv4-SAFI:2:224.0.0.0/4", "IPv4-SAFI:2:224.0.0.0/4", "IPv4-SAFI:2:inherit", NULL);
    expect_refusal(&b, WORDS("holds addresses nothing", "what the connection has"), 0);
}
END_TEST

START_TEST(nothing_in_both_is_refused)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", "IPv4:10.1.0.0/16",
          GRANT("192.0.2.0/24", "2001:db8::/32"));
    expect_refusal(&b, WORDS("10.1.0.0/16", "192.0.2.0/24 2001:db8::/32"), 1);
}
END_TEST

/* n blocks that are not adjacent, in libcrypto's syntax. */
static const char *many(size_t n)
{
    static char text[2048];
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%sIPv4:10.%zu.0.0/16",
                                i ? "," : "", 2 * i);
    return text;
}

START_TEST(as_many_blocks_as_selectors_and_no_more)
{
    struct bench b;
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", many(SL_TS_MAX), NULL);
    SL_AUTO(sl_decision) *x = decide(&b);
    ck_assert_uint_eq(sl_decision_verdict(x)->grant.ts_n, SL_TS_MAX);
    sl_decider_free(b.d);
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", many(SL_TS_MAX + 1), NULL);
    expect_refusal(&b, WORDS("33 address blocks", "more than 32"), SL_TS_MAX + 1);
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", many(SL_TS_MAX + 8), NULL);
    SL_AUTO(sl_decision) *y = decide(&b);
    const json_t *list = json_object_get(sl_decision_evidence(y), "address_blocks");
    ck_assert_str_eq(json_string_value(json_array_get(list, SL_TS_MAX)), "and 8 more");
    sl_decider_free(b.d);
    /* a grant that leaves few enough of them */
    setup(&b, "IPv4:10.0.0.0/8", "IPv4:10.0.0.0/8", many(SL_TS_MAX + 8), GRANT("10.4.0.0/14"));
    expect_grant(&b, "10.4.0.0/16 10.6.0.0/16");
}
END_TEST

SL_TESTS(blocks, SL_CASE(ignored_unless_the_section_says_restrict),
         SL_CASE(without_a_grant_the_blocks_are_granted),
         SL_CASE(a_certificate_without_blocks_is_not_limited),
         SL_CASE(a_grant_is_cut_and_keeps_protocol_and_ports), SL_CASE(ranges_need_be_no_prefixes),
         SL_CASE(inherit_is_what_the_issuers_hold), SL_CASE(nothing_to_inherit_grants_nothing),
         SL_CASE(other_kinds_of_addresses_grant_nothing), SL_CASE(nothing_in_both_is_refused),
         SL_CASE(as_many_blocks_as_selectors_and_no_more))
