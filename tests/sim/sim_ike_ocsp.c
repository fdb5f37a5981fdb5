/*
 * OCSP in IKE (RFC 4806) between two gateways: who asks, who sends what, and what a peer that sends
 * junk gets. The core reads no OCSP response, so texts stand in for them.
 */
#include "sim/world.h"
#include "src/ike/core.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static const struct world_side both = { "", "", "" };
static const struct world_side never = { "", "ocsp = never", "" };
static const struct world_side request = { "", "ocsp = request", "" };
static const struct world_side reply = { "", "ocsp = reply", "" };

/* What each gateway's decision was asked with. */
static struct {
    unsigned asks;
    size_t cert_n, n, len[SL_CHAIN_MAX];
    char text[SL_CHAIN_MAX][32];
} seen[2];

static void decide(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    const size_t i = gw == &w.b;
    struct sl_verdict v;
    seen[i].asks++;
    seen[i].cert_n = ask->cert_n;
    seen[i].n = ask->ocsp_n;
    for (size_t k = 0; k < ask->ocsp_n; k++) {
        seen[i].len[k] = ask->ocsp[k].len;
        snprintf(seen[i].text[k], sizeof(seen[i].text[k]), "%.*s", (int)ask->ocsp[k].len,
                 (const char *)ask->ocsp[k].p);
    }
    sim_decide(gw, ask, &v);
    sim_gw_answer_decision(gw, SL_NS_PER_MS, id, &v);
}

static unsigned told_none[2];
static void told(struct sim_gw *gw, const struct sl_ike_action *a)
{
    if (a->type == SL_IKE_EVENT && a->event == SL_IKE_EV_STORY && a->rc == SL_UNAVAILABLE &&
        strstr(a->text, "none at hand"))
        told_none[gw == &w.b]++;
}

static void begin(const struct world_side *a, const struct world_side *b)
{
    memset(seen, 0, sizeof(seen));
    memset(told_none, 0, sizeof(told_none));
    world_init(&w, 1, NULL, a, b, false, NULL);
    w.a.oracle.decide = w.b.oracle.decide = decide;
    w.a.oracle.told = w.b.oracle.told = told;
}

static struct sl_staple staple(uint8_t depth, uint32_t valid_s, const char *text)
{
    struct sl_staple s = { .depth = depth, .valid_s = valid_s, .response = sl_str(text) };
    memset(s.responder, text[0], sizeof(s.responder));
    return s;
}

static void give(struct sim_gw *gw, const struct sl_staple *v, size_t n)
{
    struct sl_err err = { 0 };
    ck_ok(sl_ike_staples(gw->ike, w.sim.now_ns, gw->identity, v, n, &err), &err);
}

static void give_one(struct sim_gw *gw, const char *text)
{
    const struct sl_staple s = staple(0, 3600, text);
    give(gw, &s, 1);
}

static void renew(
    struct sim_gw *gw) /* the same certificate once more, as after a restart of identity */
{
    struct sl_err err = { 0 };
    const struct sim_identity *id = sim_identity(gw->identity, gw->alg);
    struct sl_bytes chain[SIM_CHAIN_MAX];
    for (size_t i = 0; i < id->n; i++)
        chain[i] = sl_buf_bytes(&id->chain[i]);
    ck_ok(sl_ike_credential(gw->ike, gw->identity, gw->identity, chain, id->n, &err), &err);
}

/* ---- who asks, who sends ------------------------------------------------------------------------ */

START_TEST(both_sides_ask_and_send_for_each_certificate)
{
    begin(&both, &both);
    const struct sl_staple a[] = { staple(0, 3600, "leaf of a"), staple(1, 3600, "issuer of a") };
    const struct sl_staple b[] = { staple(1, 3600, "issuer of b"), staple(0, 3600, "leaf of b") };
    give(&w.a, a, 2);
    give(&w.b, b, 2);
    world_up(&w);
    ck_assert_uint_eq(seen[1].asks, 1);
    ck_assert_uint_eq(seen[1].cert_n, 2);
    ck_assert_uint_eq(seen[1].n, 2);
    ck_assert_str_eq(seen[1].text[0], "leaf of a");
    ck_assert_str_eq(seen[1].text[1], "issuer of a");
    ck_assert_uint_eq(seen[0].n, 2);
    ck_assert_str_eq(seen[0].text[0], "leaf of b"); /* in the order of the chain */
    ck_assert_str_eq(seen[0].text[1], "issuer of b");
    world_clear(&w);
}
END_TEST

static void expect_sent(const struct world_side *a, const struct world_side *b, size_t to_a,
                        size_t to_b)
{
    begin(a, b);
    give_one(&w.a, "of a");
    give_one(&w.b, "of b");
    world_up(&w);
    ck_assert_uint_eq(seen[0].asks + seen[1].asks, 2);
    ck_assert_uint_eq(seen[0].n, to_a);
    ck_assert_uint_eq(seen[1].n, to_b);
    world_clear(&w);
}

START_TEST(responses_go_only_to_who_asks_from_who_replies)
{
    expect_sent(&both, &both, 1, 1);
    expect_sent(&never, &both, 0, 0);
    expect_sent(&both, &never, 0, 0);
    expect_sent(&request, &reply, 1, 0);
    expect_sent(&reply, &request, 0, 1);
    expect_sent(&request, &request, 0, 0);
    expect_sent(&reply, &reply, 0, 0);
}
END_TEST

START_TEST(none_at_hand_sends_none_at_once_and_says_so_once)
{
    begin(&both, &both);
    const int64_t start_ns = w.sim.now_ns;
    world_up(&w);
    ck_assert_int_lt(w.sim.now_ns - start_ns, 2 * SL_NS_PER_S);
    ck_assert_uint_eq(seen[0].n + seen[1].n, 0);
    ck_assert_uint_eq(told_none[0], 1);
    ck_assert_uint_eq(told_none[1], 1);
    sim_gw_down(&w.a, "ab", NULL);
    world_run(&w, 1000);
    give(&w.a, NULL, 0); /* still none: no news */
    world_up(&w);
    ck_assert_uint_eq(told_none[0], 1);
    sim_gw_down(&w.a, "ab", NULL);
    world_run(&w, 1000);
    give_one(&w.a, "of a"); /* there was one, and then there is none again */
    give(&w.a, NULL, 0);
    world_up(&w);
    ck_assert_uint_eq(told_none[0], 2);
    world_clear(&w);
}
END_TEST

START_TEST(a_response_past_its_time_is_not_sent)
{
    begin(&both, &both);
    const struct sl_staple v[] = { staple(0, 5, "old"), staple(1, 3600, "issuer") };
    give(&w.a, v, 2);
    give_one(&w.b, "of b");
    world_run(&w, 5000);
    world_up(&w);
    ck_assert_uint_eq(seen[1].n, 1);
    ck_assert_str_eq(seen[1].text[0], "issuer");
    world_clear(&w);
}
END_TEST

START_TEST(a_new_credential_begins_without_responses)
{
    begin(&both, &both);
    give_one(&w.a, "of the old certificate");
    renew(&w.a);
    world_up(&w);
    ck_assert_uint_eq(seen[1].n, 0);
    world_clear(&w);
}
END_TEST

/* ---- responders that the peer names ----------------------------------------------------------------- */

static const char *named;
static void name_and_decide(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    uint8_t hash[IKE_CERTREQ_HASH_LEN];
    memset(hash, named[0], sizeof(hash));
    /* As if the request had named it; what the wire brings is read in certreqs_are_read. */
    for (struct ike_isa *sa = gw->ike->sas; sa; sa = sa->next)
        if (sa->in && sa->in->setup && sa->in->setup->peer_ocsp)
            ck_assert(sl_buf_put(&sa->in->setup->peer_responders, sl_bytes(hash, sizeof(hash))));
    decide(gw, id, ask);
}

static void expect_choice(const char *name, const char *want)
{
    begin(&both, &both);
    const struct sl_staple v[] = { staple(0, 3600, "first"), staple(0, 3600, "second"),
                                   staple(0, 3600, "third") };
    give(&w.b, v, 3);
    named = name;
    w.b.oracle.decide = name_and_decide;
    world_up(&w);
    ck_assert_uint_eq(seen[0].n, 1);
    ck_assert_str_eq(seen[0].text[0], want);
    world_clear(&w);
}

START_TEST(a_response_of_a_named_responder_is_preferred)
{
    expect_choice("second", "second");
    expect_choice("third", "third");
    expect_choice("unknown", "first"); /* RFC 4806 4.1: what is there is still of use */
}
END_TEST

START_TEST(certreqs_are_read)
{
    SL_AUTO_BUF b = { 0 };
    struct sl_err err = { 0 };
    struct ike_payloads list;
    struct ike_setup s = { 0 };
    static const uint8_t hashes[(IKE_RESPONDERS_MAX + 1) * IKE_CERTREQ_HASH_LEN];
    const size_t one = IKE_CERTREQ_HASH_LEN;
    struct ike_wr c = ike_wr_chain(&b);
    ike_put_certreq(&c, IKE_CERT_OCSP, sl_bytes(hashes, 2 * one));
    ike_put_certreq(&c, IKE_CERT_OCSP, sl_bytes(hashes, one - 1)); /* cut */
    ike_put_certreq(&c, IKE_CERT_OCSP, sl_bytes(hashes, sizeof(hashes)));
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_payloads_read(&list, c.first, sl_buf_bytes(&b), &err), &err);
    ck_ok(certreqs_take(&s, &list, &err), &err);
    ck_assert(s.peer_ocsp && !s.peer_certreq);
    ck_assert_uint_eq(s.peer_responders.len, 2 * one);
    ike_put_certreq(&c, IKE_CERT_X509_SIGNATURE, sl_bytes(hashes, one));
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_payloads_read(&list, c.first, sl_buf_bytes(&b), &err), &err);
    ck_ok(certreqs_take(&s, &list, &err), &err);
    ck_assert(s.peer_certreq);
    ck_assert_uint_eq(s.peer_responders.len, 2 * one); /* not twice */
    list.n = 0;
    ck_ok(certreqs_take(&s, &list, &err), &err);
    ck_assert(!s.peer_ocsp && !s.peer_certreq && s.peer_responders.len == 0);
    sl_buf_clear(&s.peer_responders);
}
END_TEST

/* ---- sizes, and peers that send too much -------------------------------------------------------------- */

START_TEST(large_responses_go_in_fragments_up_to_the_limit)
{
    static uint8_t large[SL_STAPLE_MAX_BYTES];
    memset(large, 'L', sizeof(large));
    const struct world_side small = { "", "fragment_size = 576", "" };
    begin(&small, &small);
    struct sl_staple v[] = { staple(0, 3600, "x"), staple(1, 3600, "issuer") };
    v[0].response = sl_bytes(large, sizeof(large));
    give(&w.a, v, 2);
    v[0].response = sl_bytes(large, sizeof(large) - 100);
    give(&w.b, v, 2);
    world_up(&w);
    ck_assert_uint_eq(seen[1].n, 1); /* the issuer's would be too much */
    ck_assert_uint_eq(seen[1].len[0], sizeof(large));
    ck_assert_uint_eq(seen[0].n, 2);
    ck_assert_uint_eq(seen[0].len[0], sizeof(large) - 100);
    world_clear(&w);
}
END_TEST

/* A hostile initiator: one response for each certificate of its chain, all alike. */
static void alike(struct sim_gw *gw)
{
    const struct sl_staple v[] = { staple(0, 60, "no response at all"),
                                   staple(1, 60, "no response at all") };
    give(gw, v, 2);
}

START_TEST(repeated_responses_reach_the_decision_once)
{
    begin(&both, &both);
    alike(&w.a);
    world_up(&w);
    ck_assert_uint_eq(seen[1].n, 1);
    ck_assert_str_eq(seen[1].text[0], "no response at all");
    world_clear(&w);
}
END_TEST

START_TEST(staples_for_an_unknown_identity_or_too_many_are_refused)
{
    begin(&both, &both);
    struct sl_err err = { 0 };
    struct sl_staple v[SL_CHAIN_MAX + 1];
    for (size_t i = 0; i < SL_ARRAY_LEN(v); i++)
        v[i] = staple(0, 1, "x");
    ck_rc(sl_ike_staples(w.a.ike, w.sim.now_ns, "nobody", v, 1, &err), SL_NOT_FOUND, &err);
    ck_rc(sl_ike_staples(w.a.ike, w.sim.now_ns, "a", v, SL_ARRAY_LEN(v), &err), SL_TOO_LARGE, &err);
    give(&w.a, v, SL_CHAIN_MAX);
    world_clear(&w);
}
END_TEST

SL_TESTS(sim_ike_ocsp, SL_CASE(both_sides_ask_and_send_for_each_certificate),
         SL_CASE(responses_go_only_to_who_asks_from_who_replies),
         SL_CASE(none_at_hand_sends_none_at_once_and_says_so_once),
         SL_CASE(a_response_past_its_time_is_not_sent),
         SL_CASE(a_new_credential_begins_without_responses),
         SL_CASE(a_response_of_a_named_responder_is_preferred), SL_CASE(certreqs_are_read),
         SL_CASE(large_responses_go_in_fragments_up_to_the_limit),
         SL_CASE(repeated_responses_reach_the_decision_once),
         SL_CASE(staples_for_an_unknown_identity_or_too_many_are_refused))
