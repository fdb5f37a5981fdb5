/* The decision: each kind of evidence, failing and right; LDAP; pre-shared keys. */
#include "decision_world.h"

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
         SL_CASE(ldap_answer_is_cached_and_dead_server_refuses_in_hard),
         SL_CASE(ldap_dead_in_grace_uses_the_last_answer_and_says_so),
         SL_CASE(ldap_two_entries_are_ambiguous), SL_CASE(psk_is_compared_by_the_decision),
         SL_CASE(decisions_can_be_dropped_while_they_wait))
