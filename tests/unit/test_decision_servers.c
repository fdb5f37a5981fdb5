/* The decision when servers are dead, slow or wrong, and when what it rests on changes. */
#include "decision_world.h"

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

SL_TESTS(decision_servers, SL_CASE(dead_server_in_hard_refuses_within_the_deadline),
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
         SL_CASE(ldif_change_is_seen))
