/*
 * The decision, end to end on a virtual clock: every refusal with its reason code, dead servers in
 * each mode, one fetch however many ask, and the one door.
 */
#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/crypto.h"
#include "sealane/decision.h"
#include "sealane/directory.h"
#include "sealane/time.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <openssl/ocsp.h>

#include <stdio.h>
#include <string.h>

static struct sl_err err;

#define S(s)     ((char[]){ s })
#define CRL_URI  "http://crl.example/ca.crl"
#define OCSP_URI "http://ocsp.example/"
#define CDP      "crlDistributionPoints=URI:" CRL_URI "\n"
#define AIA      "authorityInfoAccess=OCSP;URI:" OCSP_URI "\n"
#define SAN      "subjectAltName=DNS:gw-a.example\n"

static const char ldif[] = "dn: cn=gw-a,dc=lab\ncn: gw-a.example\nmemberOf: cn=gateways,dc=lab\n\n"
                           "dn: cn=gw-off,dc=lab\ncn: gw-off.example\nstate: disabled\n";

/* One gateway's configuration and decider, and the servers around it. */
struct world {
    struct sl_conf_trust trust[2];
    struct sl_conf_directory dir;
    struct sl_conf_rule rule[2];
    struct sl_conf_connection conn[3];
    struct sl_config config;
    struct sl_rng_seeded seed;
    struct sl_rng rng;
    struct sl_decider *d;
    struct sl_now now;
    struct test_cert ca, ca2;
    char *prefix;

    /* What is served: empty data with SL_OK is never answered. */
    struct sl_bytes crl, ocsp;
    bool dead, silent; /* refuse connections; swallow questions */
    unsigned asked_crl, asked_ocsp, asked_search, asked_psk;
    uint64_t last_id;
    struct sl_entries found;
    enum sl_rc search_rc;
};

static char empty[] = "";

static struct sl_conf_trust make_trust(char *name)
{
    return (struct sl_conf_trust){ .name = name,
                                   .revocation = SL_REVOCATION_HARD,
                                   .grace_s = 3600,
                                   .deadline_ms = 5000,
                                   .ocsp = true,
                                   .crl = true,
                                   .min_rsa_bits = 2048 };
}

static struct sl_conf_connection make_conn(char *name, char *trust)
{
    return (struct sl_conf_connection){ .name = name,
                                        .auth = SL_METHOD_CERT,
                                        .identity = empty,
                                        .psk = empty,
                                        .trust = trust,
                                        .directory = empty };
}

static struct world *setup(void)
{
    static struct world w_;
    struct world *w = &w_;
    memset(w, 0, sizeof(*w));
    w->trust[0] = make_trust(S("lab"));
    w->trust[1] = make_trust(S("other"));
    static char lab[] = "lab", other[] = "other", site[] = "site", site2[] = "site2",
                site3[] = "psk", key[] = "shared", dir[] = "people", filter[] = "(cn=%{id})",
                base[] = "dc=lab", sub[] = "sub", all[] = "everyone", no[] = "no",
                attr[] = "state=disabled";
    w->trust[0].name = lab;
    w->trust[1].name = other;
    w->conn[0] = make_conn(site, lab);
    w->conn[1] = make_conn(site2, other);
    w->conn[2] = make_conn(site3, empty);
    w->conn[2].auth = SL_METHOD_PSK;
    w->conn[2].psk = key;
    w->dir = (struct sl_conf_directory){ .name = dir,
                                         .type = SL_DIRECTORY_LDIF,
                                         .file = empty,
                                         .uri = empty,
                                         .base = base,
                                         .filter = filter,
                                         .scope = sub,
                                         .enabled_filter = empty,
                                         .disabled_attr = attr,
                                         .required = true,
                                         .timeout_ms = 2000,
                                         .cache_s = 60 };
    w->rule[0] = (struct sl_conf_rule){ .name = all, .accept = true, .grant_tag = empty };
    w->rule[1] = (struct sl_conf_rule){ .name = no, .grant_tag = empty };
    w->config = (struct sl_config){ .file = empty,
                                    .trust = w->trust,
                                    .trust_n = 2,
                                    .directory = &w->dir,
                                    .directory_n = 1,
                                    .rule = w->rule,
                                    .rule_n = 1,
                                    .connection = w->conn,
                                    .connection_n = 3 };
    sl_rng_seeded_init(&w->seed, 1);
    w->rng = sl_rng_seeded(&w->seed);
    w->now = (struct sl_now){ .mono_ns = 1000 * SL_NS_PER_S, .utc_s = TEST_NOW };
    w->ca = test_cert(&(struct test_spec){ .subject = "CN=Lab CA", .ca = true });
    w->ca2 = test_cert(&(struct test_spec){ .subject = "CN=Other CA", .ca = true });
    return w;
}

static void start(struct world *w)
{
    ck_ok(sl_decider_new(&w->d, &w->config, &w->rng, &err), &err);
    ck_ok(sl_decider_anchors(w->d, "lab", w->ca.der, "ca.pem", &err), &err);
    ck_ok(sl_decider_anchors(w->d, "other", w->ca2.der, "ca2.pem", &err), &err);
    ck_ok(sl_decider_ldif(w->d, "people", sl_str(ldif), "people.ldif", &err), &err);
    (void)sl_decider_changed(w->d);
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .number = 5 });
}

static void finish(struct world *w)
{
    sl_decider_free(w->d);
    sl_entries_clear(&w->found);
}

static void pass(struct world *w, int64_t ms)
{
    w->now.mono_ns += ms * SL_NS_PER_MS;
    w->now.utc_s = TEST_NOW + (w->now.mono_ns / SL_NS_PER_S - 1000);
    sl_decider_tick(w->d, w->now);
}

static struct test_cert leaf_with(struct world *w, const char *ext)
{
    return test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &w->ca, .ext = ext });
}

static struct test_cert leaf(struct world *w)
{
    return leaf_with(w, SAN CDP);
}

/* An ask whose signature is right. */
static struct sl_decision_ask ask_for(const struct test_cert *c, const char *id)
{
    struct sl_decision_ask a = { .connection = "site",
                                 .possession = SL_POSSESSION_SIGNATURE,
                                 .sig = SL_SIG_ECDSA_SHA256,
                                 .sa = 9 };
    ck_ok(sl_id_parse(&a.id, id, &err), &err);
    a.octets = sl_str("the signed octets");
    uint8_t sig[256];
    size_t n = sizeof(sig);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, c->key) == 1 &&
              EVP_DigestSign(md, sig, &n, a.octets.p, a.octets.len) == 1);
    EVP_MD_CTX_free(md);
    a.auth = test_keep(sl_bytes(sig, n));
    a.cert[0] = c->der;
    a.cert_n = 1;
    return a;
}

static void answer(struct world *w)
{
    struct sl_question q;
    while (sl_decider_next(w->d, &q)) {
        w->last_id = q.id;
        struct sl_bytes body = { 0 };
        switch (q.type) {
        case SL_ASK_FETCH:
            ck_assert_int_le(q.timeout_ms, 5000);
            if (strncmp(q.uri, OCSP_URI, strlen(OCSP_URI)) == 0) {
                w->asked_ocsp++;
                body = w->ocsp;
            } else {
                w->asked_crl++;
                ck_assert(strncmp(q.uri, "http://crl.example/", 19) == 0);
                body = w->crl;
            }
            if (w->silent)
                break;
            if (w->dead || body.len == 0)
                sl_decider_answer_fetch(w->d, q.id, SL_UNAVAILABLE, "connection refused", body,
                                        w->now);
            else
                sl_decider_answer_fetch(w->d, q.id, SL_OK, "", body, w->now);
            break;
        case SL_ASK_SEARCH:
            w->asked_search++;
            ck_assert_str_eq(q.directory, "people");
            if (!w->silent)
                sl_decider_answer_search(w->d, q.id, w->dead ? SL_DIR_UNAVAILABLE : w->search_rc,
                                         w->dead ? "connection refused" : "", &w->found, w->now);
            break;
        case SL_ASK_PSK: {
            uint8_t mac[SL_PRF_MAX];
            w->asked_psk++;
            ck_assert_str_eq(q.psk, "shared");
            ck_ok(sl_prf_psk_auth(q.prf, sl_str("secret"), q.octets, mac, &err), &err);
            if (!w->silent)
                sl_decider_answer_psk(
                    w->d, q.id, w->dead ? SL_KEY_NOT_FOUND : SL_OK,
                    w->dead ? (struct sl_bytes){ 0 } : sl_bytes(mac, sl_prf_len(q.prf)), w->now);
            break;
        }
        }
    }
}

/* Runs one decision to its end, letting time pass while it waits. */
static struct sl_decision *decide(struct world *w, const struct sl_decision_ask *ask)
{
    struct sl_decision *x = NULL;
    ck_ok(sl_decider_start(w->d, ask, w->now, w, NULL, &err), &err);
    for (unsigned i = 0; i < 1000; i++) {
        answer(w);
        x = sl_decider_finished(w->d);
        if (x)
            break;
        pass(w, 100);
    }
    ck_assert_msg(x != NULL, "no verdict after 100 s");
    ck_assert_ptr_eq(sl_decision_ctx(x), w);
    const struct sl_verdict *v = sl_decision_verdict(x);
    /* the record says what the verdict says */
    const json_t *e = sl_decision_evidence(x);
    ck_assert_str_eq(json_string_value(json_object_get(e, "reason")), sl_rc_name(v->rc));
    ck_assert_str_eq(json_string_value(json_object_get(e, "text")), v->text);
    ck_assert(v->text[0] != '\0');
    ck_assert_str_eq(json_string_value(json_object_get(e, "verdict")), v->rc == SL_OK ? "accept"
                                                                       : v->rc == SL_AUTH_NOT_ASKED
                                                                           ? "accept-test"
                                                                           : "refuse");
    /* and the story begins with it */
    struct sl_buf story = { 0 };
    ck_assert(sl_decision_story(&story, e) && sl_buf_nul(&story));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, v->text));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, sl_rc_name(v->rc)));
    sl_buf_clear(&story);
    return x;
}

static void expect(struct world *w, const struct sl_decision_ask *ask, enum sl_rc want)
{
    SL_AUTO(sl_decision) *x = decide(w, ask);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == want, "got %s, want %s: %s", sl_rc_name(v->rc), sl_rc_name(want),
                  v->text);
}

static const char *status_of(const struct sl_decision *x, size_t i)
{
    const json_t *c = json_array_get(json_object_get(sl_decision_evidence(x), "revocation"), i);
    return json_string_value(json_object_get(c, "status"));
}

/* ---- the six kinds of evidence, each failing ------------------------------------------------------- */
START_TEST(everything_right_accepts_with_all_evidence)
{
    struct world *w = setup();
    w->conn[0].directory = w->dir.name;
    struct sl_ts ts;
    ck_assert(sl_ts_parse(&ts, "10.1.0.0/16"));
    w->rule[0].grant_ts = &ts;
    w->rule[0].grant_ts_n = 1;
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    SL_AUTO(sl_decision) *x = decide(w, &a);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == SL_OK, "%s", v->text);
    ck_assert_str_eq(v->rule, "everyone");
    ck_assert_str_eq(v->entry, "cn=gw-a,dc=lab");
    ck_assert_str_eq(v->subject, "CN=gw-a");
    ck_assert_uint_eq(v->grant.ts_n, 1);
    ck_assert_int_gt(v->reask_utc_s, TEST_NOW);
    static const char *const keys[] = { "connection", "id",         "method",   "trust",
                                        "path",       "revocation", "binding",  "possession",
                                        "directory",  "policy",     "ask_again" };
    for (size_t i = 0; i < SL_ARRAY_LEN(keys); i++)
        ck_assert_msg(json_object_get(sl_decision_evidence(x), keys[i]) != NULL, "%s", keys[i]);
    ck_assert_str_eq(status_of(x, 0), "good");
    ck_assert_uint_eq(w->asked_crl, 1);
    finish(w);
}
END_TEST

START_TEST(revoked_by_crl_is_refused)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w->ca, .serial = 66, .ext = SAN CDP });
    w->crl = test_crl(
        &(struct test_crl_spec){ .by = &w->ca, .revoked = { 66 }, .reason = "keyCompromise" });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    SL_AUTO(sl_decision) *x = decide(w, &a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOKED);
    ck_assert_ptr_nonnull(strstr(sl_decision_verdict(x)->text, "keyCompromise"));
    ck_assert_ptr_nonnull(strstr(sl_decision_verdict(x)->text, CRL_URI));
    ck_assert_str_eq(status_of(x, 0), "revoked");
    finish(w);
}
END_TEST

START_TEST(revoked_by_ocsp_is_refused)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf_with(w, SAN AIA CDP);
    w->ocsp = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w->ca, .status = V_OCSP_CERTSTATUS_REVOKED });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_REVOKED);
    ck_assert_uint_eq(w->asked_ocsp, 1);
    ck_assert_uint_eq(w->asked_crl, 0); /* OCSP first, and it has spoken */
    finish(w);
}
END_TEST

START_TEST(revoked_intermediate_is_refused)
{
    struct world *w = setup();
    start(w);
    struct test_cert sub = test_cert(&(struct test_spec){
        .subject = "CN=Sub", .by = &w->ca, .serial = 33, .ca = true, .ext = CDP });
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=gw-a",
                             .by = &sub,
                             .ext = SAN "crlDistributionPoints=URI:http://crl.example/sub.crl\n" });
    ck_ok(sl_decider_crl(w->d, "lab", test_crl(&(struct test_crl_spec){ .by = &sub }), "sub.crl",
                         &err),
          &err);
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .revoked = { 33 } });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    a.cert[1] = sub.der;
    a.cert_n = 2;
    SL_AUTO(sl_decision) *x = decide(w, &a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOKED);
    ck_assert_ptr_nonnull(strstr(sl_decision_verdict(x)->text, "CN=Sub"));
    ck_assert_str_eq(status_of(x, 0), "good"); /* the leaf, by the local file */
    finish(w);
}
END_TEST

START_TEST(path_failures_keep_their_codes)
{
    struct world *w = setup();
    start(w);
    const struct {
        struct test_spec spec;
        enum sl_rc rc;
    } cases[] = {
        { { .by = &w->ca, .to = TEST_NOW - 1, .ext = SAN CDP }, SL_CERT_EXPIRED },
        { { .by = &w->ca, .from = TEST_NOW + 1, .ext = SAN CDP }, SL_CERT_NOT_YET_VALID },
        { { .by = &w->ca, .ext = SAN CDP "extendedKeyUsage=serverAuth\n" }, SL_CERT_EKU },
        { { .by = &w->ca2, .ext = SAN CDP }, SL_CERT_UNKNOWN_CA },
        { { .ext = SAN CDP }, SL_CERT_UNKNOWN_CA },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_spec spec = cases[i].spec;
        spec.subject = "CN=gw-a";
        struct test_cert c = test_cert(&spec);
        struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
        SL_AUTO(sl_decision) *x = decide(w, &a);
        ck_assert_msg(sl_decision_verdict(x)->rc == cases[i].rc, "case %zu: %s", i,
                      sl_decision_verdict(x)->text);
        ck_assert_str_eq(sl_decision_verdict(x)->subject, "CN=gw-a");
        ck_assert_ptr_nonnull(json_object_get(sl_decision_evidence(x), "presented"));
    }
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    a.cert_n = 0;
    expect(w, &a, SL_CERT_NONE);
    /* nothing was fetched for certificates that were not verified */
    ck_assert_uint_eq(w->asked_crl, 0);
    finish(w);
}
END_TEST

START_TEST(policy_of_the_trust_section_limits_algorithms_and_keys)
{
    struct world *w = setup();
    static char sha384[] = "ecdsa-sha384";
    char *names[] = { sha384 };
    w->trust[0].signature = (struct sl_conf_strings){ .v = names, .n = 1 };
    start(w);
    struct test_spec spec = { .subject = "CN=gw-a", .by = &w->ca, .ext = SAN CDP };
    struct test_cert other = test_cert(&spec);
    struct sl_decision_ask a = ask_for(&other, "dns:gw-a.example");
    SL_AUTO(sl_decision) *x = decide(w, &a);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == SL_CERT_WEAK && strstr(v->text, "trust.signature allows ecdsa-sha384"),
                  "%s: %s", sl_rc_name(v->rc), v->text);
    spec.md = "SHA384";
    struct test_cert allowed = test_cert(&spec);
    a = ask_for(&allowed, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    finish(w);

    w = setup();
    w->trust[0].min_ec_bits = 384;
    start(w);
    struct test_cert c = leaf(w);
    a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_CERT_WEAK);
    finish(w);
}
END_TEST

START_TEST(id_must_be_in_the_certificate_and_expected)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-b.example");
    expect(w, &a, SL_ID_NOT_IN_CERT);
    a = ask_for(&c, "dns:gw-a.example");
    ck_ok(sl_id_parse(&w->conn[0].id_remote, "dns:gw-b.example", &err), &err);
    expect(w, &a, SL_ID_UNEXPECTED);
    ck_ok(sl_id_parse(&w->conn[0].id_remote, "dns:GW-A.example", &err), &err);
    expect(w, &a, SL_OK);
    a = ask_for(&c, "keyid:01");
    expect(w, &a, SL_ID_TYPE);
    finish(w);
}
END_TEST

START_TEST(possession_must_be_proved)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w), other = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example"),
                           b = ask_for(&other, "dns:gw-a.example");
    a.auth = b.auth;
    expect(w, &a, SL_AUTH_SIGNATURE);
    a = ask_for(&c, "dns:gw-a.example");
    a.octets = sl_str("other octets");
    expect(w, &a, SL_AUTH_SIGNATURE);
    a = ask_for(&c, "dns:gw-a.example");
    a.auth.len = 0;
    expect(w, &a, SL_AUTH_SIGNATURE);
    a = ask_for(&c, "dns:gw-a.example");
    a.possession = SL_POSSESSION_PSK;
    expect(w, &a, SL_AUTH_METHOD);
    a = ask_for(&c, "dns:gw-a.example");
    snprintf(a.connection, sizeof(a.connection), "none");
    expect(w, &a, SL_IKE_NO_CONNECTION);
    finish(w);
}
END_TEST

START_TEST(test_without_possession_never_accepts)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    a.possession = SL_POSSESSION_NOT_ASKED;
    expect(w, &a, SL_AUTH_NOT_ASKED);
    a.id = (struct sl_id){ 0 }; /* the certificate's own */
    SL_AUTO(sl_decision) *x = decide(w, &a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_AUTH_NOT_ASKED);
    ck_assert_str_eq(json_string_value(json_object_get(sl_decision_evidence(x), "id")),
                     "dns:gw-a.example");
    /* a value outside the enum is no possession either */
    a = ask_for(&c, "dns:gw-a.example");
    a.possession = (enum sl_possession)0;
    expect(w, &a, SL_AUTH_METHOD);
    finish(w);
}
END_TEST

START_TEST(directory_must_hold_one_enabled_entry)
{
    struct world *w = setup();
    w->conn[0].directory = w->dir.name;
    start(w);
    struct test_cert off = leaf_with(w, "subjectAltName=DNS:gw-off.example\n" CDP),
                     none = leaf_with(w, "subjectAltName=DNS:gw-none.example\n" CDP);
    struct sl_decision_ask a = ask_for(&off, "dns:gw-off.example"),
                           b = ask_for(&none, "dns:gw-none.example");
    expect(w, &a, SL_DIR_DISABLED);
    expect(w, &b, SL_DIR_NO_ENTRY);
    w->dir.required = false;
    expect(w, &a, SL_DIR_DISABLED);
    expect(w, &b, SL_OK);
    finish(w);
}
END_TEST

START_TEST(policy_refuses_by_rule_and_by_default)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    w->rule[0].accept = false;
    SL_AUTO(sl_decision) *x = decide(w, &a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_POLICY_REFUSED);
    ck_assert_str_eq(sl_decision_verdict(x)->rule, "everyone");
    w->config.rule_n = 0;
    expect(w, &a, SL_POLICY_NO_MATCH);
    finish(w);
}
END_TEST

/* ---- dead and slow servers ------------------------------------------------------------------------------ */
START_TEST(dead_server_in_hard_refuses_within_the_deadline)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf_with(w, SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    w->silent = true;
    int64_t began = w->now.mono_ns;
    SL_AUTO(sl_decision) *x = decide(w, &a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_UNAVAILABLE);
    ck_assert_int_le(w->now.mono_ns - began, 5100 * SL_NS_PER_MS);
    ck_assert_uint_eq(w->asked_ocsp, 1);
    ck_assert_uint_eq(w->asked_crl, 1);
    finish(w);
}
END_TEST

START_TEST(dead_responder_leaves_time_for_the_crl)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf_with(w, SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    struct sl_decision *x = NULL;
    ck_ok(sl_decider_start(w->d, &a, w->now, w, NULL, &err), &err);
    struct sl_question q;
    ck_assert(sl_decider_next(w->d, &q));
    ck_assert_ptr_nonnull(strstr(q.uri, OCSP_URI)); /* never answered */
    for (unsigned ms = 0; ms <= 3000 && !x; ms += 100) {
        pass(w, 100);
        answer(w);
        x = sl_decider_finished(w->d);
    }
    ck_assert_ptr_nonnull(x);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    sl_decision_free(x);
    finish(w);
}
END_TEST

START_TEST(dead_server_in_grace_accepts_and_says_so)
{
    struct world *w = setup();
    w->trust[0].revocation = SL_REVOCATION_GRACE;
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    /* never an answer: as long as the outage is no longer than grace_s */
    w->dead = true;
    struct sl_decision *x = decide(w, &a);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    ck_assert_str_eq(status_of(x, 0), "grace");
    sl_decision_free(x);
    pass(w, 3600 * 1000);
    expect(w, &a, SL_OK);
    pass(w, 1000);
    expect(w, &a, SL_REVOCATION_UNAVAILABLE);
    /* an answer that has become stale: within grace_s of nextUpdate */
    w->dead = false;
    pass(w, 120 * 1000);
    w->crl =
        test_crl(&(struct test_crl_spec){ .by = &w->ca, .number = 6, .to = w->now.utc_s + 600 });
    expect(w, &a, SL_OK);
    w->dead = true;
    pass(w, 600 * 1000);
    x = decide(w, &a);
    ck_assert_str_eq(status_of(x, 0), "good"); /* nextUpdate is inclusive */
    sl_decision_free(x);
    pass(w, 3600 * 1000);
    x = decide(w, &a);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    ck_assert_str_eq(status_of(x, 0), "grace");
    sl_decision_free(x);
    pass(w, 1000);
    expect(w, &a, SL_REVOCATION_STALE);
    finish(w);
}
END_TEST

START_TEST(stale_in_hard_is_refused_but_stale_revoked_is_revoked)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w->ca, .serial = 66, .ext = SAN CDP });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .to = TEST_NOW - 1 });
    expect(w, &a, SL_REVOCATION_STALE);
    pass(w, 3000);
    w->crl = test_crl(&(struct test_crl_spec){
        .by = &w->ca, .number = 2, .to = TEST_NOW - 1, .revoked = { 66 } });
    w->trust[0].revocation = SL_REVOCATION_GRACE;
    expect(w, &a, SL_REVOKED);
    finish(w);
}
END_TEST

START_TEST(unknown_to_the_responder_is_refused_even_in_grace)
{
    struct world *w = setup();
    w->trust[0].revocation = SL_REVOCATION_GRACE;
    start(w);
    struct test_cert c = leaf_with(w, SAN AIA);
    w->ocsp = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w->ca, .status = V_OCSP_CERTSTATUS_UNKNOWN });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_REVOCATION_UNKNOWN);
    finish(w);
}
END_TEST

START_TEST(certificate_without_a_source_needs_off_or_a_file)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf_with(w, SAN);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_REVOCATION_NONE);
    w->trust[0].revocation = SL_REVOCATION_GRACE;
    expect(w, &a, SL_REVOCATION_NONE);
    w->trust[0].revocation = SL_REVOCATION_OFF;
    expect(w, &a, SL_OK);
    w->trust[0].revocation = SL_REVOCATION_HARD;
    ck_ok(sl_decider_crl(w->d, "lab", w->crl, "local.crl", &err), &err);
    expect(w, &a, SL_OK);
    finish(w);
}
END_TEST

START_TEST(rubbish_and_forged_answers_are_invalid)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w),
                     fake = test_cert(&(struct test_spec){ .subject = "CN=Lab CA", .ca = true });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    w->crl = sl_str("<html>not found</html>");
    expect(w, &a, SL_REVOCATION_INVALID);
    pass(w, 3000);
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .signer = &fake });
    expect(w, &a, SL_REVOCATION_INVALID);
    finish(w);
}
END_TEST

START_TEST(failure_is_remembered_for_a_short_while)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    w->dead = true;
    expect(w, &a, SL_REVOCATION_UNAVAILABLE);
    expect(w, &a, SL_REVOCATION_UNAVAILABLE);
    ck_assert_uint_eq(w->asked_crl, 1);
    w->dead = false;
    pass(w, 2100);
    expect(w, &a, SL_OK);
    ck_assert_uint_eq(w->asked_crl, 2);
    finish(w);
}
END_TEST

START_TEST(five_hundred_peers_cause_one_fetch_and_delay_nobody_else)
{
    struct world *w = setup();
    start(w);
    ck_ok(sl_decider_crl(w->d, "other", test_crl(&(struct test_crl_spec){ .by = &w->ca2 }),
                         "other.crl", &err),
          &err);
    struct test_cert c = leaf(w), o = test_cert(&(struct test_spec){
                                      .subject = "CN=o", .by = &w->ca2, .ext = SAN });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example"), b = ask_for(&o, "dns:gw-a.example");
    snprintf(b.connection, sizeof(b.connection), "site2");
    w->silent = true;
    for (unsigned i = 0; i < 500; i++)
        ck_ok(sl_decider_start(w->d, &a, w->now, w, NULL, &err), &err);
    answer(w);
    ck_assert_uint_eq(w->asked_crl, 1);
    ck_assert_ptr_null(sl_decider_finished(w->d));
    /* a peer of another CA is decided at once */
    ck_ok(sl_decider_start(w->d, &b, w->now, w, NULL, &err), &err);
    struct sl_decision *x = sl_decider_finished(w->d);
    ck_assert_ptr_nonnull(x);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    sl_decision_free(x);
    /* the one answer serves all */
    sl_decider_answer_fetch(w->d, w->last_id, SL_OK, "", w->crl, w->now);
    unsigned n = 0;
    while ((x = sl_decider_finished(w->d))) {
        ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_OK);
        sl_decision_free(x);
        n++;
    }
    ck_assert_uint_eq(n, 500);
    ck_assert_uint_eq(w->asked_crl, 1);
    finish(w);
}
END_TEST

START_TEST(handed_over_ocsp_needs_no_fetch_and_is_kept)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf_with(w, SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    a.ocsp_n = 1;
    a.ocsp[0] = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w->ca, .status = V_OCSP_CERTSTATUS_GOOD });
    expect(w, &a, SL_OK);
    a.ocsp_n = 0;
    expect(w, &a, SL_OK);
    ck_assert_uint_eq(w->asked_ocsp + w->asked_crl, 0);
    a.ocsp_n = 1;
    a.ocsp[0] = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w->ca, .status = V_OCSP_CERTSTATUS_REVOKED });
    expect(w, &a, SL_REVOKED);
    /* a response from before the revocation does not help any more */
    a.ocsp[0] = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w->ca, .status = V_OCSP_CERTSTATUS_GOOD });
    expect(w, &a, SL_REVOKED);
    finish(w);
}
END_TEST

/* ---- changes ------------------------------------------------------------------------------------------------ */
START_TEST(new_crl_changes_the_answer_for_a_live_peer)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w->ca, .serial = 66, .ext = SAN CDP });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    ck_assert(sl_decider_changed(w->d));
    ck_assert(!sl_decider_changed(w->d));
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .number = 6, .revoked = { 66 } });
    /* without being told, the cache is renewed at its time */
    sl_decider_refresh(w->d, w->now);
    answer(w);
    ck_assert_uint_eq(w->asked_crl, 2);
    ck_assert(sl_decider_changed(w->d));
    expect(w, &a, SL_REVOKED);
    /* an older list served again brings nobody back (RFC 5280 5.2.3) */
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .number = 5 });
    sl_decider_refresh(w->d, w->now);
    answer(w);
    ck_assert_uint_eq(w->asked_crl, 3);
    expect(w, &a, SL_REVOKED);
    finish(w);
}
END_TEST

START_TEST(cache_is_renewed_ahead_of_its_end)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    ck_assert_int_lt(sl_decider_next_timer_ns(w->d), INT64_MAX);
    pass(w, 3600 * 1000);
    answer(w);
    ck_assert_uint_eq(w->asked_crl, 2); /* nobody waited for it */
    finish(w);
}
END_TEST

START_TEST(saved_cache_serves_after_a_restart_with_every_server_dead)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf_with(w, SAN AIA CDP);
    w->ocsp = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w->ca, .status = V_OCSP_CERTSTATUS_GOOD });
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    ck_assert(sl_decider_dirty(w->d));
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w->d, &saved, &err), &err);
    sl_decider_free(w->d);
    start(w);
    w->dead = true;
    ck_ok(sl_decider_load(w->d, sl_buf_bytes(&saved), w->now, &err), &err);
    expect(w, &a, SL_OK);
    ck_assert_uint_eq(w->asked_ocsp, 1);
    /* cut anywhere or changed anywhere: refused or left out, never believed */
    sl_decider_free(w->d);
    for (size_t len = 0; len < saved.len; len += 7) {
        start(w);
        struct sl_bytes cut = test_keep(sl_bytes(saved.p, len));
        (void)!sl_decider_load(w->d, cut, w->now, &err);
        sl_decider_free(w->d);
    }
    saved.p[saved.len - 20] ^= 1; /* in the response's signature */
    start(w);
    ck_ok(sl_decider_load(w->d, sl_buf_bytes(&saved), w->now, &err), &err);
    expect(w, &a, SL_REVOCATION_UNAVAILABLE);
    sl_buf_clear(&saved);
    finish(w);
}
END_TEST

START_TEST(saved_crl_serves_after_a_restart_and_keeps_its_outage)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w->d, &saved, &err), &err);
    sl_decider_free(w->d);
    start(w);
    w->dead = true;
    ck_ok(sl_decider_load(w->d, sl_buf_bytes(&saved), w->now, &err), &err);
    expect(w, &a, SL_OK);
    ck_assert_uint_eq(w->asked_crl, 1);
    sl_decider_free(w->d);
    /* without any data: how long the outage has lasted outlives a restart too */
    w->trust[0].revocation = SL_REVOCATION_GRACE;
    start(w);
    expect(w, &a, SL_OK);
    saved.len = 0;
    ck_ok(sl_decider_save(w->d, &saved, &err), &err);
    sl_decider_free(w->d);
    start(w);
    pass(w, 3601 * 1000);
    ck_ok(sl_decider_load(w->d, sl_buf_bytes(&saved), w->now, &err), &err);
    expect(w, &a, SL_REVOCATION_UNAVAILABLE);
    sl_buf_clear(&saved);
    finish(w);
}
END_TEST

START_TEST(ldif_change_is_seen)
{
    struct world *w = setup();
    w->conn[0].directory = w->dir.name;
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    (void)sl_decider_changed(w->d);
    ck_ok(sl_decider_ldif(w->d, "people", sl_str(ldif), "people.ldif", &err), &err);
    ck_assert(!sl_decider_changed(w->d));
    ck_ok(sl_decider_ldif(w->d, "people",
                          sl_str("dn: cn=gw-a\ncn: gw-a.example\nstate: disabled\n"), "p", &err),
          &err);
    ck_assert(sl_decider_changed(w->d));
    w->dir.base = empty;
    expect(w, &a, SL_DIR_DISABLED);
    /* a file that cannot be read leaves the old one */
    ck_rc(sl_decider_ldif(w->d, "people", sl_str("rubbish"), "p", &err), SL_MALFORMED, &err);
    expect(w, &a, SL_DIR_DISABLED);
    finish(w);
}
END_TEST

/* ---- LDAP ------------------------------------------------------------------------------------------------------- */
static struct world *ldap_world(void)
{
    struct world *w = setup();
    w->conn[0].directory = w->dir.name;
    w->dir.type = SL_DIRECTORY_LDAP;
    struct sl_config *config = &w->config;
    ck_ok(sl_decider_new(&w->d, config, &w->rng, &err), &err);
    ck_ok(sl_decider_anchors(w->d, "lab", w->ca.der, "ca.pem", &err), &err);
    w->trust[0].revocation = SL_REVOCATION_OFF;
    struct sl_entry *e = sl_entries_new(&w->found, sl_str("cn=gw-a,dc=lab"));
    ck_assert(sl_entry_put(e, sl_str("cn"), sl_str("gw-a.example")));
    return w;
}

START_TEST(ldap_answer_is_cached_and_dead_server_refuses_in_hard)
{
    struct world *w = ldap_world();
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_OK);
    expect(w, &a, SL_OK);
    ck_assert_uint_eq(w->asked_search, 1);
    pass(w, 61 * 1000);
    w->dead = true;
    expect(w, &a, SL_DIR_UNAVAILABLE);
    pass(w, 3000);
    w->dead = false;
    w->silent = true;
    int64_t began = w->now.mono_ns;
    expect(w, &a, SL_DIR_UNAVAILABLE);
    ck_assert_int_le(w->now.mono_ns - began, 2100 * SL_NS_PER_MS);
    finish(w);
}
END_TEST

START_TEST(ldap_dead_in_grace_uses_the_last_answer_and_says_so)
{
    struct world *w = ldap_world();
    w->dir.mode = SL_REVOCATION_GRACE;
    w->dir.grace_s = 600;
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    w->dead = true;
    expect(w, &a, SL_DIR_UNAVAILABLE); /* nothing is known */
    w->dead = false;
    pass(w, 3000);
    expect(w, &a, SL_OK);
    w->dead = true;
    pass(w, 300 * 1000);
    SL_AUTO(sl_decision) *x = decide(w, &a);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    ck_assert_str_eq(json_string_value(json_object_get(
                         json_object_get(sl_decision_evidence(x), "directory"), "status")),
                     "grace");
    pass(w, 400 * 1000);
    expect(w, &a, SL_DIR_UNAVAILABLE);
    finish(w);
}
END_TEST

START_TEST(ldap_two_entries_are_ambiguous)
{
    struct world *w = ldap_world();
    struct sl_entry *e = sl_entries_new(&w->found, sl_str("cn=twin,dc=lab"));
    ck_assert_ptr_nonnull(e);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    expect(w, &a, SL_DIR_AMBIGUOUS);
    finish(w);
}
END_TEST

/* ---- PSK ----------------------------------------------------------------------------------------------------------- */
START_TEST(psk_is_compared_by_the_decision)
{
    struct world *w = setup();
    start(w);
    struct sl_decision_ask a = { .connection = "psk",
                                 .possession = SL_POSSESSION_PSK,
                                 .prf = SL_PRF_HMAC_SHA2_256,
                                 .octets = sl_str("octets") };
    uint8_t mac[SL_PRF_MAX];
    ck_ok(sl_id_parse(&a.id, "dns:gw-a.example", &err), &err);
    ck_ok(sl_prf_psk_auth(a.prf, sl_str("secret"), a.octets, mac, &err), &err);
    a.auth = sl_bytes(mac, 32);
    expect(w, &a, SL_OK);
    ck_assert_uint_eq(w->asked_psk, 1);
    mac[31] ^= 1;
    expect(w, &a, SL_AUTH_PSK);
    a.auth.len = 0;
    expect(w, &a, SL_AUTH_PSK);
    a.auth = sl_bytes(mac, 32);
    w->dead = true;
    expect(w, &a, SL_KEY_NOT_FOUND);
    w->dead = false;
    w->silent = true;
    expect(w, &a, SL_TIMEOUT);
    a.possession = SL_POSSESSION_SIGNATURE;
    expect(w, &a, SL_AUTH_METHOD);
    finish(w);
}
END_TEST

START_TEST(decisions_can_be_dropped_while_they_wait)
{
    struct world *w = setup();
    start(w);
    struct test_cert c = leaf(w);
    struct sl_decision_ask a = ask_for(&c, "dns:gw-a.example");
    struct sl_decision *x[3];
    for (size_t i = 0; i < 3; i++)
        ck_ok(sl_decider_start(w->d, &a, w->now, w, &x[i], &err), &err);
    sl_decision_free(x[1]);
    answer(w);
    /* two have ended and are not taken; one of them is dropped, the other is handed out */
    sl_decision_free(x[0]);
    struct sl_decision *got = sl_decider_finished(w->d);
    ck_assert_ptr_eq(got, x[2]);
    ck_assert_ptr_null(sl_decider_finished(w->d));
    sl_decision_free(got);
    expect(w, &a, SL_OK);
    ck_ok(sl_decider_start(w->d, &a, w->now, w, NULL, &err), &err); /* freed with the decider */
    json_t *status = sl_decider_status(w->d, w->now);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "sources")), 1);
    json_decref(status);
    finish(w);
}
END_TEST

SL_TESTS(decision, SL_CASE(everything_right_accepts_with_all_evidence),
         SL_CASE(revoked_by_crl_is_refused), SL_CASE(revoked_by_ocsp_is_refused),
         SL_CASE(revoked_intermediate_is_refused), SL_CASE(path_failures_keep_their_codes),
         SL_CASE(policy_of_the_trust_section_limits_algorithms_and_keys),
         SL_CASE(id_must_be_in_the_certificate_and_expected), SL_CASE(possession_must_be_proved),
         SL_CASE(test_without_possession_never_accepts),
         SL_CASE(directory_must_hold_one_enabled_entry),
         SL_CASE(policy_refuses_by_rule_and_by_default),
         SL_CASE(dead_server_in_hard_refuses_within_the_deadline),
         SL_CASE(dead_responder_leaves_time_for_the_crl),
         SL_CASE(dead_server_in_grace_accepts_and_says_so),
         SL_CASE(stale_in_hard_is_refused_but_stale_revoked_is_revoked),
         SL_CASE(unknown_to_the_responder_is_refused_even_in_grace),
         SL_CASE(certificate_without_a_source_needs_off_or_a_file),
         SL_CASE(rubbish_and_forged_answers_are_invalid),
         SL_CASE(failure_is_remembered_for_a_short_while),
         SL_CASE(five_hundred_peers_cause_one_fetch_and_delay_nobody_else),
         SL_CASE(handed_over_ocsp_needs_no_fetch_and_is_kept),
         SL_CASE(new_crl_changes_the_answer_for_a_live_peer),
         SL_CASE(cache_is_renewed_ahead_of_its_end),
         SL_CASE(saved_cache_serves_after_a_restart_with_every_server_dead),
         SL_CASE(saved_crl_serves_after_a_restart_and_keeps_its_outage),
         SL_CASE(ldif_change_is_seen),
         SL_CASE(ldap_answer_is_cached_and_dead_server_refuses_in_hard),
         SL_CASE(ldap_dead_in_grace_uses_the_last_answer_and_says_so),
         SL_CASE(ldap_two_entries_are_ambiguous), SL_CASE(psk_is_compared_by_the_decision),
         SL_CASE(decisions_can_be_dropped_while_they_wait))
