/* Policy: first match wins, deny by default, every condition of a rule must hold. */
#include "sealane/policy.h"
#include "tests/support/support.h"

#include <string.h>

static struct sl_err err;

START_TEST(glob_matches_runs_and_single_characters)
{
    static const struct {
        const char *p, *t;
        bool hit;
    } cases[] = { { "*", "", true },
                  { "", "", true },
                  { "", "a", false },
                  { "a?c", "ABC", true },
                  { "a*c", "abbbc", true },
                  { "a*c", "abbbcd", false },
                  { "*.example", "gw.example", true },
                  { "?", "", false },
                  { "a*b*c", "aXbXbXc", true },
                  { "**", "x", true },
                  { "a", "aa", false },
                  { "*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        ck_assert_msg(sl_glob(cases[i].p, cases[i].t) == cases[i].hit, "%s %s", cases[i].p,
                      cases[i].t);
}
END_TEST

static char empty[] = "";
#define LIST(...)                                                                      \
    {                                                                                  \
        .v = (char *[]){ __VA_ARGS__ }, .n = SL_ARRAY_LEN(((char *[]){ __VA_ARGS__ })) \
    }
#define S(s) ((char[]){ s })

static enum sl_rc decide(struct sl_conf_rule rule, const struct sl_policy_ask *ask)
{
    const struct sl_conf_rule *hit = NULL;
    struct sl_grant grant;
    rule.name = S("r");
    rule.accept = true;
    rule.grant_tag = empty;
    return sl_policy_decide(&rule, 1, ask, &hit, &grant, &err);
}

START_TEST(each_condition_narrows)
{
    struct sl_id id;
    struct sl_addr remote;
    ck_ok(sl_id_parse(&id, "dns:gw-a.example", &err), &err);
    ck_assert(sl_addr_parse(&remote, "192.0.2.9"));
    struct sl_entries e = { 0 };
    struct sl_entry *x = sl_entries_new(&e, sl_str("cn=gw-a"));
    ck_assert(sl_entry_put(x, sl_str("memberOf"), sl_str("cn=Gateways,ou=Groups,dc=lab")));
    ck_assert(sl_entry_put(x, sl_str("dept"), sl_str("ops")));
    struct sl_policy_ask ask = { .connection = "site",
                                 .id = &id,
                                 .issuer = "CN=CA,O=Lab",
                                 .subject = "CN=gw-a,O=Lab",
                                 .method = "cert",
                                 .remote = &remote,
                                 .entry = x };
    struct sl_policy_ask bare = ask;
    bare.entry = NULL;
    bare.remote = NULL;
#define HIT(...) ck_ok(decide((struct sl_conf_rule){ __VA_ARGS__ }, &ask), &err)
#define MISS(...) \
    ck_rc(decide((struct sl_conf_rule){ __VA_ARGS__ }, &ask), SL_POLICY_NO_MATCH, &err)
#define BARE(...) \
    ck_rc(decide((struct sl_conf_rule){ __VA_ARGS__ }, &bare), SL_POLICY_NO_MATCH, &err)
    HIT(.name = NULL);
    HIT(.connection = LIST(S("si*")));
    MISS(.connection = LIST(S("other")));
    HIT(.id = LIST(S("x"), S("gw-*.example")));
    HIT(.id = LIST(S("dns:gw-a.example")));
    MISS(.id = LIST(S("email:gw-a.example")));
    MISS(.id = LIST(S("gw-b*")));
    HIT(.issuer = LIST(S("*O=Lab")));
    MISS(.issuer = LIST(S("*O=Other")));
    HIT(.subject = LIST(S("CN=gw-?,*")));
    MISS(.subject = LIST(S("CN=x*")));
    HIT(.method = LIST(S("cert")));
    MISS(.method = LIST(S("psk")));
    HIT(.group = LIST(S("gateways")));
    HIT(.group = LIST(S("cn=gateways,ou=groups,dc=lab")));
    MISS(.group = LIST(S("admins")));
    BARE(.group = LIST(S("*")));
    HIT(.entry_attr = LIST(S("dept=o*")));
    MISS(.entry_attr = LIST(S("dept=o*"), S("floor=1")));
    BARE(.entry_attr = LIST(S("dept=*")));
    HIT(.remote = LIST(S("10.0.0.0/8"), S("192.0.2.0/24")));
    MISS(.remote = LIST(S("10.0.0.0/8")));
    BARE(.remote = LIST(S("0.0.0.0/0")));
    MISS(.connection = LIST(S("site")), .id = LIST(S("gw-b*")));
    sl_entries_clear(&e);
}
END_TEST

START_TEST(first_match_wins_and_none_refuses)
{
    struct sl_id id;
    ck_ok(sl_id_parse(&id, "dns:gw-a.example", &err), &err);
    struct sl_policy_ask ask = {
        .connection = "c", .id = &id, .issuer = "", .subject = "", .method = "psk"
    };
    struct sl_ts ts;
    ck_assert(sl_ts_parse(&ts, "10.1.0.0/16"));
    struct sl_conf_rule rules[] = {
        { .name = S("no-b"), .id = LIST(S("gw-b*")), .grant_tag = empty },
        { .name = S("yes"),
          .accept = true,
          .id = LIST(S("gw-a*")),
          .grant_ts = &ts,
          .grant_ts_n = 1,
          .grant_lifetime_s = 600,
          .grant_tag = S("lab") },
        { .name = S("no"), .grant_tag = empty },
    };
    const struct sl_conf_rule *hit = NULL;
    struct sl_grant g;
    ck_ok(sl_policy_decide(rules, 3, &ask, &hit, &g, &err), &err);
    ck_assert_str_eq(hit->name, "yes");
    ck_assert_uint_eq(g.ts_n, 1);
    ck_assert(sl_ts_eq(&g.ts[0], &ts));
    ck_assert_uint_eq(g.lifetime_s, 600);
    ck_assert_str_eq(g.tag, "lab");
    ck_assert_str_eq(err.text, "rule yes accepts dns:gw-a.example on connection c");
    ck_ok(sl_id_parse(&id, "dns:gw-b.example", &err), &err);
    ck_rc(sl_policy_decide(rules, 3, &ask, &hit, &g, &err), SL_POLICY_REFUSED, &err);
    ck_assert_str_eq(hit->name, "no-b");
    ck_ok(sl_id_parse(&id, "dns:other", &err), &err);
    ck_rc(sl_policy_decide(rules, 3, &ask, &hit, &g, &err), SL_POLICY_REFUSED, &err);
    ck_rc(sl_policy_decide(rules, 2, &ask, &hit, &g, &err), SL_POLICY_NO_MATCH, &err);
    ck_rc(sl_policy_decide(NULL, 0, &ask, &hit, &g, &err), SL_POLICY_NO_MATCH, &err);
}
END_TEST

SL_TESTS(policy, SL_CASE(glob_matches_runs_and_single_characters), SL_CASE(each_condition_narrows),
         SL_CASE(first_match_wins_and_none_refuses))
