/* Revocation by OCSP in the decision, many peers at once, and what status tells. */
#include "revocation_world.h"

/* ---- OCSP ------------------------------------------------------------------------------------------------ */
static struct sl_bytes ocsp(const struct test_cert *c, int status, const struct test_cert *signer)
{
    return test_ocsp(
        &(struct test_ocsp_spec){ .cert = c, .by = &w.ca, .signer = signer, .status = status });
}
#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

START_TEST(short_requests_go_by_get_and_by_post_where_get_is_not_known)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct sl_decision_ask a = ask_for(&c);
    struct server *s = serve(OCSP, SERVES, ocsp(&c, GOOD, NULL));
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->gets, 1);
    ck_assert_uint_eq(s->posts, 0);
    finish();
    boot();
    s->mood = NO_GET;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->gets, 2);
    ck_assert_uint_eq(s->posts, 1);
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert_uint_eq(s->posts, 2); /* remembered */
    ck_assert_uint_eq(s->gets, 2);
    finish();
    boot();
    w.trust[0].ocsp_nonce = true;
    expect(&a, SL_REVOCATION_INVALID, "nonce");
    ck_assert_uint_eq(s->gets, 2);
    finish();
}
END_TEST

START_TEST(the_other_hash_is_tried_once_and_remembered)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct sl_decision_ask a = ask_for(&c);
    struct server *s =
        serve(OCSP, NO_GET,
              test_ocsp(&(struct test_ocsp_spec){ .cert = &c, .by = &w.ca, .response_status = 6 }));
    s->body_sha256 = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w.ca, .status = GOOD, .sha256 = true });
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->posts, 2);
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert_uint_eq(s->posts, 3);
    /* neither: what is told is that it does not know it, which no grace covers */
    finish();
    boot();
    w.trust[0].revocation = SL_REVOCATION_GRACE;
    s->body_sha256 = s->body;
    s->body = ocsp(&c, UNKNOWN, NULL);
    expect(&a, SL_REVOCATION_UNKNOWN, "");
    expect(&a, SL_REVOCATION_UNKNOWN, "");
    ck_assert_uint_eq(s->posts, 5);
    finish();
}
END_TEST

START_TEST(delegate_is_looked_up_by_crl)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct test_cert delegate =
        test_cert(&(struct test_spec){ .subject = "CN=Responder",
                                       .by = &w.ca,
                                       .serial = 88,
                                       .ext = "extendedKeyUsage=OCSPSigning\n" CDP });
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry e = { .serial = "58", .reason = 1 };
    serve(OCSP, SERVES, ocsp(&c, GOOD, &delegate));
    struct server *s = serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOCATION_UNAVAILABLE, "responder's certificate");
    ck_assert_uint_eq(s->asked, 1);
    pass(3000);
    serve(CRL1, SERVES, good_crl());
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 2);
    ck_assert_uint_eq(server_of(OCSP)->asked, 1);
    serve(CRL1, SERVES, crl(&(struct der_crl){ .number = 6, .entry = &e, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    expect(&a, SL_REVOCATION_INVALID, "responder's certificate CN=Responder");
    finish();
}
END_TEST

static char own[] = OWN;

START_TEST(configured_responder_is_asked_first_and_trusted)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct test_cert responder = test_cert(&(struct test_spec){ .subject = "CN=Central" });
    struct sl_decision_ask a = ask_for(&c);
    w.trust[0].responder = own;
    struct server *s = serve(OWN, SERVES, ocsp(&c, GOOD, &responder)),
                  *named = serve(OCSP, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOCATION_INVALID, OWN); /* its certificate is not configured */
    finish();
    boot();
    unsigned before = named->asked;
    ck_ok(sl_decider_responder(w.d, "lab", responder.der, "responder.pem", &err), &err);
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 2);
    ck_assert_uint_eq(named->asked, before);
    /* a cache from then is no good once it is not configured any more */
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w.d, &saved, &err), &err);
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&saved), w.now, &err), &err);
    s->mood = DEAD;
    expect(&a, SL_REVOCATION_UNAVAILABLE, "");
    sl_buf_clear(&saved);
    finish();
}
END_TEST

START_TEST(unknown_is_an_answer_unless_the_crl_may_have_a_say)
{
    setup();
    struct test_cert c = leaf(SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c);
    serve(OCSP, SERVES, ocsp(&c, UNKNOWN, NULL));
    struct server *list = serve(CRL1, SERVES, good_crl());
    expect(&a, SL_REVOCATION_UNKNOWN, "CN=gw-a");
    ck_assert_uint_eq(list->asked, 0);
    w.trust[0].unknown_to_crl = true;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(list->asked, 1);
    pass(90 * 1000 * 1000);
    list->mood = DEAD;
    expect(&a, SL_REVOCATION_UNKNOWN, "");
    finish();
}
END_TEST

START_TEST(must_staple_is_honoured_when_asked_for)
{
    setup();
    struct test_cert c = leaf(SAN AIA "tlsfeature=status_request\n");
    struct sl_decision_ask a = ask_for(&c);
    struct server *s = serve(OCSP, SERVES, ocsp(&c, GOOD, NULL));
    w.trust[0].must_staple = true;
    expect(&a, SL_REVOCATION_NOT_STAPLED, "RFC 7633");
    ck_assert_uint_eq(s->asked, 0);
    a.ocsp[0] = ocsp(&c, GOOD, NULL);
    a.ocsp_n = 1;
    expect(&a, SL_OK, "");
    a.ocsp_n = 0; /* it is in the cache now */
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 0);
    finish();
    boot();
    w.trust[0].must_staple = false;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 1);
    finish();
}
END_TEST

START_TEST(order_of_sources_is_the_configurations)
{
    setup();
    struct test_cert c = leaf(SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c);
    static char crl_word[] = "crl", ocsp_word[] = "ocsp", *order[] = { crl_word, ocsp_word };
    struct server *s = serve(OCSP, SERVES, ocsp(&c, GOOD, NULL)),
                  *list = serve(CRL1, SERVES, good_crl());
    w.trust[0].order = (struct sl_conf_strings){ .v = order, .n = 2 };
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 0);
    ck_assert_uint_eq(list->asked, 1);
    /* a staple is no source now, and yet: what is revoked stays revoked */
    a.ocsp[0] = ocsp(&c, REVOKED, NULL);
    a.ocsp_n = 1;
    expect(&a, SL_REVOKED, "");
    a.ocsp_n = 0;
    finish();
    boot();
    list->mood = DEAD;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 1);
    finish();
}
END_TEST

/* ---- many at once, and what is told --------------------------------------------------------------------- */
static void start_peer(long serial, const char *ext)
{
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w.ca, .serial = serial, .ext = ext });
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_start(w.d, &a, w.now, NULL, NULL, &err), &err);
}

/* The first request finds out that the responder answers; then the others go, also those held. */
START_TEST(responder_that_answers_is_asked_by_everybody)
{
    setup();
    struct server *responder = serve(OCSP, SILENT, (struct sl_bytes){ 0 });
    for (unsigned i = 0; i < 40; i++)
        start_peer(2000 + i, SAN AIA);
    struct sl_question first, none;
    ck_assert(sl_decider_next(w.d, &first));
    ck_assert(!sl_decider_next(w.d, &none));
    responder->mood = SERVES;
    responder->body = sl_str("no response");
    sl_decider_answer_fetch(w.d, first.id, SL_OK, "", responder->body, w.now);
    answer();
    ck_assert_uint_eq(responder->asked, 39);
    for (unsigned i = 0; i < 40; i++) {
        SL_AUTO(sl_decision) *x = sl_decider_finished(w.d);
        ck_assert_ptr_nonnull(x);
        ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_INVALID);
    }
    /* it falls silent: those who waited for their turn are told together, and nobody asks again */
    responder->mood = DEAD;
    responder->asked = 0;
    for (unsigned i = 0; i < 40; i++)
        start_peer(3000 + i, SAN AIA);
    answer();
    ck_assert_uint_le(responder->asked, 16);
    for (unsigned i = 0; i < 40; i++) {
        SL_AUTO(sl_decision) *x = sl_decider_finished(w.d);
        ck_assert_ptr_nonnull(x);
        ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_UNAVAILABLE);
    }
    unsigned asked = responder->asked;
    start_peer(4000, SAN AIA);
    answer();
    ck_assert_uint_eq(responder->asked, asked);
    sl_decider_refresh(w.d, w.now); /* an operator knows better, and asks at once */
    start_peer(4001, SAN AIA);
    answer();
    ck_assert_uint_gt(responder->asked, asked);
    asked = responder->asked;
    responder->mood = SERVES;
    pass(3000); /* the back-off ends */
    start_peer(4002, SAN AIA);
    answer();
    ck_assert_uint_gt(responder->asked, asked);
    finish();
}
END_TEST

START_TEST(five_hundred_peers_and_dead_servers_cause_one_fetch_for_each_uri)
{
    setup();
    struct test_cert o =
        test_cert(&(struct test_spec){ .subject = "CN=o", .by = &w.ca2, .ext = SAN });
    struct sl_decision_ask b = ask_for(&o);
    snprintf(b.connection, sizeof(b.connection), "site2");
    ck_ok(sl_decider_crl(w.d, "other", crl(&(struct der_crl){ .by = &w.ca2 }), "o.crl", &err),
          &err);
    struct server *responder = serve(OCSP, SILENT, (struct sl_bytes){ 0 }),
                  *list = serve(CRL1, SILENT, (struct sl_bytes){ 0 });
    int64_t began = w.now.mono_ns;
    for (unsigned i = 0; i < 500; i++) /* each with a certificate, and so a request, of its own */
        start_peer(1000 + i, SAN AIA CDP);
    unsigned refused = 0;
    for (unsigned ms = 0; ms <= 4000; ms += 100) {
        answer();
        ck_ok(sl_decider_start(w.d, &b, w.now, &w, NULL, &err), &err);
        bool served = false;
        struct sl_decision *x;
        while ((x = sl_decider_finished(w.d))) {
            if (sl_decision_ctx(x)) {
                served = true; /* at once, at any time of the outage */
                ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_OK);
            } else {
                refused++;
                ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_UNAVAILABLE);
            }
            sl_decision_free(x);
        }
        ck_assert(served);
        pass(100);
    }
    ck_assert_uint_eq(refused, 500);
    ck_assert_int_le(w.now.mono_ns - began, 4200 * SL_NS_PER_MS);
    ck_assert_uint_eq(responder->asked, 1);
    ck_assert_uint_eq(list->asked, 1);
    finish();
}
END_TEST

START_TEST(status_tells_until_when_peers_of_a_ca_are_let_in)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    serve(CRL1, SERVES, crl(&(struct der_crl){ .to = TEST_NOW + 600 }));
    expect(&a, SL_OK, "");
    w.trust[0].revocation = SL_REVOCATION_GRACE;
    json_t *all = sl_decider_status(w.d, w.now);
    const json_t *trust = json_array_get(json_object_get(all, "trust"), 0),
                 *ca = json_array_get(json_object_get(trust, "cas"), 0),
                 *source = json_array_get(json_object_get(ca, "sources"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(ca, "ca")), "CN=Lab CA");
    ck_assert_int_eq(json_integer_value(json_object_get(ca, "seconds_until_refused")),
                     600 + 3600 + 1);
    ck_assert_str_eq(json_string_value(json_object_get(source, "uri")), CRL1);
    ck_assert_int_eq(json_integer_value(json_object_get(source, "age_s")), 3600);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_array_get(json_object_get(all, "trust"), 1), "cas")),
        0);
    json_decref(all);
    w.trust[0].revocation = SL_REVOCATION_HARD;
    pass(601 * 1000);
    all = sl_decider_status(w.d, w.now);
    ca =
        json_array_get(json_object_get(json_array_get(json_object_get(all, "trust"), 0), "cas"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(ca, "seconds_until_refused")), 0);
    json_decref(all);
    server_of(CRL1)->mood = DEAD;
    expect(&a, SL_REVOCATION_STALE, "");
    finish();
}
END_TEST

SL_TESTS(revocation_ocsp, SL_CASE(short_requests_go_by_get_and_by_post_where_get_is_not_known),
         SL_CASE(the_other_hash_is_tried_once_and_remembered),
         SL_CASE(delegate_is_looked_up_by_crl),
         SL_CASE(configured_responder_is_asked_first_and_trusted),
         SL_CASE(unknown_is_an_answer_unless_the_crl_may_have_a_say),
         SL_CASE(must_staple_is_honoured_when_asked_for),
         SL_CASE(order_of_sources_is_the_configurations),
         SL_CASE(responder_that_answers_is_asked_by_everybody),
         SL_CASE(five_hundred_peers_and_dead_servers_cause_one_fetch_for_each_uri),
         SL_CASE(status_tells_until_when_peers_of_a_ca_are_let_in))
