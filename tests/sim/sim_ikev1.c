/*
 * IKEv1 between two gateways: the shapes of its exchanges, losses and repetitions at every place,
 * rekeys, deletes and refusals. Read the arrows with gateway a on the left.
 */
#include "sim/basic.h"

#include "src/ike/v1/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V1         "version = ikev1\n  ike = { \"aes128-sha256-ecp256\" }\n  "
#define AGGRESSIVE V1 "aggressive = yes\n  aggressive_psk = yes\n  "
static const struct world_side plain = { "", V1, "" };
static const struct world_side aggressive = { "", AGGRESSIVE, "" };

static void begin_psk(const struct world_side *a, const struct world_side *b)
{
    world_init(&w, 1, NULL, a, b, true, NULL);
}

static unsigned sent_by(bool a, const char *what)
{
    unsigned n = 0;
    char text[48];
    for (size_t i = 0; i < w.arrows; i++) {
        const bool from_b = strncmp(w.arrow[i], "<-- ", 4) == 0;
        snprintf(text, sizeof(text), "%s", w.arrow[i] + (from_b ? 4 : 0));
        n += from_b != a && strncmp(text, what, strlen(what)) == 0;
    }
    return n;
}
#define MAIN  "exchange 2 "
#define AGGR  "exchange 4 "
#define INFO  "exchange 5 "
#define QUICK "exchange 32 "

static void expect_connected(void)
{
    const char *differs = sim_agree(&w.a, &w.b);
    ck_assert_msg(!differs, "%s", differs);
    ck_assert(world_connected(&w));
}

static void version_of(void *ctx, const struct sl_ike_sa_info *i)
{
    ck_assert_uint_eq(i->version, 1);
    ++*(unsigned *)ctx;
}

/* ---- shapes ------------------------------------------------------------------------------------ */

START_TEST(main_mode_by_psk_ends_in_the_same_sas)
{
    unsigned seen = 0;
    begin_psk(&plain, &plain);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_uint_eq(sent_by(true, MAIN), 3);
    ck_assert_uint_eq(sent_by(false, MAIN), 3);
    ck_assert_uint_eq(sent_by(true, QUICK), 2);
    ck_assert_uint_eq(sent_by(false, QUICK), 1);
    ck_assert_uint_eq(w.arrows, 9);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    expect_connected();
    ck_assert(w.a.sas->outbound && w.b.sas->outbound);
    sl_ike_list(w.a.ike, version_of, NULL, &seen);
    ck_assert_uint_eq(seen, 1);
    world_clear(&w);
}
END_TEST

/* The keys of a process are made once, so that each algorithm has a case of its own. */
static void by_certificate(const char *alg, const struct world_side *side)
{
    world_init(&w, 3, NULL, side, side, false, alg);
    world_run(&w, 10);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 3000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    expect_connected();
    world_clear(&w);
}

START_TEST(main_mode_by_rsa_ends_in_the_same_sas)
{
    by_certificate("rsa:2048", &plain);
    by_certificate("rsa:2048", &aggressive);
}
END_TEST

START_TEST(main_mode_by_ecdsa_ends_in_the_same_sas)
{
    by_certificate("ecdsa:p256", &plain);
    by_certificate("ecdsa:p256", &aggressive);
}
END_TEST

START_TEST(main_mode_with_an_ed25519_key_is_refused_by_name)
{
    world_init(&w, 3, NULL, &plain, &plain, false, "ed25519");
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_AUTH_METHOD);
    ck_assert_uint_eq(w.arrows, 0);
    world_clear(&w);
}
END_TEST

START_TEST(aggressive_mode_ends_in_the_same_sas)
{
    begin_psk(&aggressive, &aggressive);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 3000);
    ck_assert_uint_eq(sent_by(true, AGGR), 2);
    ck_assert_uint_eq(sent_by(false, AGGR), 1);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    expect_connected();
    world_clear(&w);
}
END_TEST

START_TEST(quick_mode_without_pfs_and_with_another_suite)
{
    static const char *const esp[] = { "esp = { \"aes256gcm16\" }", "esp = { \"aes128-sha256\" }",
                                       "esp = { \"aes256-sha512-ecp384\" }" };
    for (size_t i = 0; i < SL_ARRAY_LEN(esp); i++) {
        const struct world_side side = { "", V1, esp[i] };
        begin_psk(&side, &side);
        world_up(&w);
        expect_connected();
        world_clear(&w);
    }
}
END_TEST

/* ---- losses and repetitions -------------------------------------------------------------------- */

static unsigned nth, at;
static bool twice;
static bool lose_or_repeat(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    if (at++ != nth)
        return true;
    if (!twice)
        return false;
    SL_AUTO_BUF copy = { 0 };
    if (!sl_buf_put(&copy, sl_buf_bytes(&d->data)))
        abort();
    const struct sl_endpoint from = d->from, to = d->to;
    bool (*spoil)(void *, struct sim_datagram *) = w.spoil;
    w.spoil = NULL;
    sim_net_send(&w.net, &from, &to, sl_buf_bytes(&copy));
    w.spoil = spoil;
    return true;
}

static void at_every_place(const struct world_side *side, bool psk, bool repeat, unsigned places)
{
    for (nth = 0; nth < places; nth++) {
        world_init(&w, 10 + nth, NULL, side, side, psk, psk ? NULL : "ecdsa:p256");
        at = 0;
        twice = repeat;
        w.spoil = lose_or_repeat;
        const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 12000);
        ck_assert_msg(sim_gw_done(&w.a, id) && sim_gw_done(&w.a, id)->rc == SL_OK, "place %u", nth);
        const char *differs = sim_agree(&w.a, &w.b);
        ck_assert_msg(!differs, "place %u: %s", nth, differs);
        ck_assert_msg(world_connected(&w), "place %u", nth);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 1);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_UP], 1);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_UP], 1);
        world_clear(&w);
    }
}

START_TEST(main_mode_with_a_message_lost_at_any_place_comes_up)
{
    at_every_place(&plain, true, false, 9);
    at_every_place(&plain, false, false, 9);
}
END_TEST

START_TEST(main_mode_with_a_message_repeated_at_any_place_comes_up_once)
{
    at_every_place(&plain, true, true, 9);
}
END_TEST

START_TEST(aggressive_mode_with_a_message_lost_or_repeated_comes_up)
{
    at_every_place(&aggressive, true, false, 6);
    at_every_place(&aggressive, true, true, 6);
}
END_TEST

/* Everything is kept and sent to b once more, long afterwards. */
static struct sl_buf kept[32];
static struct sl_endpoint kept_from[32], kept_to[32];
static size_t kept_n;
static bool keep_all(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    if (kept_n < SL_ARRAY_LEN(kept) && sl_addr_eq(&d->from.addr, &w.a.node.addr)) {
        kept_from[kept_n] = d->from;
        kept_to[kept_n] = d->to;
        if (!sl_buf_put(&kept[kept_n++], sl_buf_bytes(&d->data)))
            abort();
    }
    return true;
}

START_TEST(replay_of_everything_opens_nothing)
{
    begin_psk(&plain, &plain);
    kept_n = 0;
    w.spoil = keep_all;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 60000); /* what is kept to be repeated is forgotten by now */
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    w.spoil = NULL;
    w.b.node.cut = false;
    const uint64_t installs = w.b.installs;
    for (size_t i = 1; i < kept_n; i++) /* the very first opens a half-open SA, as it may */
        sim_net_send(&w.net, &kept_from[i], &kept_to[i], sl_buf_bytes(&kept[i]));
    world_run(&w, 2000);
    ck_assert_uint_eq(w.b.installs, installs);
    expect_connected();
    for (size_t i = 0; i < kept_n; i++)
        sl_buf_clear(&kept[i]);
    world_clear(&w);
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------------- */

START_TEST(stranger_gets_no_state_and_no_answer)
{
    const struct world_side v2 = { "", "", "" };
    begin_psk(&plain, &v2);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 3000);
    struct sl_ike_stats s;
    sl_ike_stats(w.b.ike, &s);
    ck_assert_uint_eq(s.ike_sas, 0);
    ck_assert_uint_eq(sent_by(false, ""), 0);
    world_run(&w, 120000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_PEER_DEAD);
    world_clear(&w);
    /* and the other way round: a connection of IKEv1 answers nothing of IKEv2 but a refusal */
    begin_psk(&v2, &plain);
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 3000);
    sl_ike_stats(w.b.ike, &s);
    ck_assert_uint_eq(s.ike_sas, 0);
    world_clear(&w);
    /* aggressive mode is not taken by a connection that does not ask for it */
    begin_psk(&aggressive, &plain);
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 3000);
    sl_ike_stats(w.b.ike, &s);
    ck_assert_uint_eq(s.ike_sas, 0);
    ck_assert_uint_eq(sent_by(false, ""), 0);
    world_clear(&w);
}
END_TEST

static void wrong_skeyid(struct sim_gw *gw, uint64_t id, const struct sl_ike_action *a)
{
    const uint8_t other[32] = { 1, 2, 3 };
    ck_assert(a->skeyid);
    sim_gw_answer_sign(gw, SL_NS_PER_MS, id, SL_OK, sl_bytes(other, sizeof(other)));
}

START_TEST(wrong_psk_is_said_by_the_responder_and_leaves_nothing)
{
    begin_psk(&plain, &plain);
    w.a.oracle.sign = wrong_skeyid;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 1000);
    ck_assert_int_eq(w.b.last_story_rc, SL_AUTH_PSK);
    world_run(&w, 200000);
    ck_assert_int_ne(result(&w.a, id)->rc, SL_OK);
    struct sl_ike_stats s;
    sl_ike_stats(w.a.ike, &s);
    ck_assert_uint_eq(s.ike_sas, 0);
    sl_ike_stats(w.b.ike, &s);
    ck_assert_uint_eq(s.ike_sas, 0);
    ck_assert_uint_eq(s.half_open, 0);
    world_clear(&w);
}
END_TEST

START_TEST(wrong_id_is_refused)
{
    const struct world_side other = { "", V1 "id_remote = \"dns:c.example\"\n", "" };
    (void)other;
    static const char *const modes[] = { V1, AGGRESSIVE };
    for (size_t i = 0; i < SL_ARRAY_LEN(modes); i++) {
        const struct world_side side = { "", modes[i], "" };
        begin_psk(&side, &side);
        struct sl_conf_connection *conf = &w.b.config->connection[0];
        struct sl_err err = { 0 };
        ck_assert_int_eq(sl_id_parse(&conf->id_remote, "dns:c.example", &err), SL_OK);
        const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 200000);
        ck_assert_int_ne(result(&w.a, id)->rc, SL_OK);
        if (i == 0)
            ck_assert_int_eq(w.b.last_rc, SL_ID_UNEXPECTED);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_UP], 0);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 0);
        world_clear(&w);
    }
}
END_TEST

static void refuse(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    (void)ask;
    struct sl_verdict v = { .rc = SL_REVOKED, .text = "certificate was revoked" };
    sim_gw_answer_decision(gw, SL_NS_PER_MS, id, &v);
}

START_TEST(refused_peer_is_told_less_than_the_log)
{
    world_init(&w, 6, NULL, &plain, &plain, false, "ecdsa:p256");
    w.b.oracle.decide = refuse;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 1000);
    ck_assert_int_eq(w.b.last_rc, SL_REVOKED);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_PEER_REFUSED);
    world_clear(&w);
    world_init(&w, 6, NULL, &plain, &plain, false, "ecdsa:p256");
    w.a.oracle.decide = refuse; /* the responder believes the SA to be up, and is told */
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 1000);
    struct sl_ike_stats s;
    sl_ike_stats(w.b.ike, &s);
    ck_assert_uint_eq(s.ike_sas, 0);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 0);
    world_clear(&w);
}
END_TEST

START_TEST(no_common_proposal_is_refused_in_both_phases)
{
    const struct world_side other = { "", "version = ikev1\n  ike = { \"aes256-sha384-ecp384\" }\n",
                                      "" };
    begin_psk(&plain, &other);
    uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 120000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_NO_PROPOSAL);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_NO_PROPOSAL);
    world_clear(&w);
    const struct world_side esp = { "", V1, "esp = { \"aes256gcm16\" }" };
    const struct world_side esp2 = { "", V1, "esp = { \"aes128-sha256\" }" };
    begin_psk(&esp, &esp2);
    id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 1000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_NO_PROPOSAL);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 1);
    ck_assert_uint_eq(sim_gw_view(&w.b).ike_up, 1);
    ck_assert_uint_eq(w.b.installs, 0);
    world_clear(&w);
}
END_TEST

/* ---- rekeys ------------------------------------------------------------------------------------ */

static void esp_both_ways(int64_t ms)
{
    for (int64_t t = 0; t < ms; t += 2) {
        (void)sim_esp_send(&w.a, &w.b, 3 * SL_NS_PER_MS);
        (void)sim_esp_send(&w.b, &w.a, 3 * SL_NS_PER_MS);
        world_run(&w, 2);
    }
}

static void no_esp_lost(void)
{
    ck_assert_uint_eq(w.a.esp_lost, 0);
    ck_assert_uint_eq(w.b.esp_lost, 0);
    ck_assert_uint_gt(w.a.esp_received, 0);
}

static const struct sim_sa *newest(const struct sim_gw *gw)
{
    const struct sim_sa *best = gw->sas;
    for (const struct sim_sa *sa = gw->sas; sa; sa = sa->next)
        best = sa->order > best->order ? sa : best;
    return best;
}

/* Message 3 has no answer: whether the peer has it shows by its packets, else after a while. */
START_TEST(child_rekey_sends_on_the_new_sa_when_the_peer_does_or_a_second_later)
{
    for (int i = 0; i < 2; i++) {
        begin_psk(&plain, &plain);
        world_up(&w);
        const uint64_t id = sim_gw_rekey(&w.a, "ab", "net", false);
        world_run(&w, 200);
        ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
        ck_assert_uint_eq(sim_gw_view(&w.a).child_other, 1); /* the old one still sends */
        ck_assert(!newest(&w.a)->outbound && newest(&w.b)->outbound);
        if (i) {
            ck_assert(sim_esp_send(&w.b, &w.a, SL_NS_PER_MS));
            world_run(&w, 100);
        } else {
            world_run(&w, 1500);
        }
        ck_assert(newest(&w.a)->outbound);
        world_run(&w, 10000);
        expect_connected();
        world_clear(&w);
    }
}
END_TEST

START_TEST(child_rekey_by_either_side_loses_no_packet)
{
    for (int i = 0; i < 2; i++) {
        begin_psk(&plain, &plain);
        world_up(&w);
        struct sim_gw *gw = i ? &w.b : &w.a;
        const uint64_t id = sim_gw_rekey(gw, "ab", "net", false);
        esp_both_ways(500);
        ck_assert_int_eq(result(gw, id)->rc, SL_OK);
        world_run(&w, 100000);
        no_esp_lost();
        expect_connected();
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_REKEYED], 1);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN], 0);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_DOWN], 0);
        world_clear(&w);
    }
}
END_TEST

START_TEST(child_rekey_by_both_at_once_keeps_one_and_loses_no_packet)
{
    for (unsigned seed = 0; seed < 6; seed++) {
        world_init(&w, 30 + seed, NULL, &plain, &plain, true, NULL);
        world_up(&w);
        const uint64_t a = sim_gw_rekey(&w.a, "ab", "net", false);
        const uint64_t b = sim_gw_rekey(&w.b, "ab", "net", false);
        esp_both_ways(500);
        world_run(&w, 100000);
        esp_both_ways(20);
        ck_assert_int_eq(result(&w.a, a)->rc, SL_OK);
        ck_assert_int_eq(result(&w.b, b)->rc, SL_OK);
        no_esp_lost();
        expect_connected();
        world_clear(&w);
    }
}
END_TEST

START_TEST(ike_rekey_by_either_side_moves_the_children)
{
    for (int i = 0; i < 2; i++) {
        begin_psk(&plain, &plain);
        world_up(&w);
        struct sim_gw *gw = i ? &w.b : &w.a;
        const uint64_t id = sim_gw_rekey(gw, "ab", NULL, true);
        esp_both_ways(500);
        ck_assert_int_eq(result(gw, id)->rc, SL_OK);
        world_run(&w, 20000);
        no_esp_lost();
        expect_connected();
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_UP], 1);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_REKEYED], 0);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN], 0);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_DOWN], 0);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 0);
        world_clear(&w);
    }
}
END_TEST

START_TEST(lifetimes_rekey_everything_again_and_again)
{
    const struct world_side brief = { "", V1 "rekey = 600s\n", "rekey = 200s" };
    const struct world_side longer = { "", V1 "rekey = 4h\n", "rekey = 1h" };
    for (int i = 0; i < 2; i++) {
        begin_psk(i ? &longer : &brief, i ? &brief : &longer);
        world_up(&w);
        for (int k = 0; k < 200; k++) {
            esp_both_ways(10);
            world_run(&w, 20000);
        }
        esp_both_ways(10);
        world_run(&w, 100000);
        no_esp_lost();
        ck_assert_uint_ge(w.a.installs, 15);
        ck_assert_uint_ge(w.a.events.n[SL_IKE_EV_IKE_UP], 5);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN], 0);
        ck_assert_uint_eq(sim_gw_view(&w.a).child_up, 1);
        world_clear(&w);
    }
}
END_TEST

/* ---- ends -------------------------------------------------------------------------------------- */

START_TEST(down_ends_both_sides)
{
    for (int i = 0; i < 2; i++) {
        begin_psk(&plain, &plain);
        world_up(&w);
        struct sim_gw *gw = i ? &w.b : &w.a;
        const uint64_t id = sim_gw_down(gw, "ab", NULL);
        world_run(&w, 500);
        ck_assert_int_eq(result(gw, id)->rc, SL_OK);
        struct sl_ike_stats s;
        sl_ike_stats(w.a.ike, &s);
        ck_assert_uint_eq(s.ike_sas + s.child_sas, 0);
        sl_ike_stats(w.b.ike, &s);
        ck_assert_uint_eq(s.ike_sas + s.child_sas, 0);
        ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN], 1);
        ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_DOWN], 1);
        world_clear(&w);
    }
}
END_TEST

START_TEST(down_of_a_child_leaves_the_ike_sa)
{
    begin_psk(&plain, &plain);
    world_up(&w);
    const uint64_t id = sim_gw_down(&w.b, "ab", "net");
    world_run(&w, 10000);
    ck_assert_int_eq(result(&w.b, id)->rc, SL_OK);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 1);
    ck_assert_uint_eq(sim_gw_view(&w.a).child_up + sim_gw_view(&w.a).child_other, 0);
    ck_assert_uint_eq(sim_gw_view(&w.b).child_up + sim_gw_view(&w.b).child_other, 0);
    world_clear(&w);
}
END_TEST

static uint64_t only_id;
static void take_id(void *ctx, const struct sl_ike_sa_info *i)
{
    (void)ctx;
    only_id = i->id;
}

START_TEST(end_by_a_changed_decision_ends_both_sides)
{
    begin_psk(&plain, &plain);
    world_up(&w);
    sl_ike_list(w.b.ike, take_id, NULL, NULL);
    sl_ike_end(w.b.ike, w.sim.now_ns, only_id, SL_REVOKED);
    sim_gw_pump(&w.b);
    world_run(&w, 500);
    struct sl_ike_stats s;
    sl_ike_stats(w.a.ike, &s);
    ck_assert_uint_eq(s.ike_sas + s.child_sas, 0);
    ck_assert_int_eq(w.b.last_rc, SL_REVOKED);
    world_clear(&w);
}
END_TEST

START_TEST(silence_is_answered_by_dpd_and_a_dead_peer_noticed)
{
    begin_psk(&plain, &plain);
    world_up(&w);
    world_run(&w, 100000);
    ck_assert_uint_ge(sent_by(true, INFO), 2); /* questions and answers of both */
    ck_assert_uint_ge(sent_by(false, INFO), 2);
    expect_connected();
    w.b.node.cut = true;
    world_run(&w, 200000);
    ck_assert_int_eq(w.a.last_rc, SL_IKE_PEER_DEAD);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 0);
    world_clear(&w);
}
END_TEST

START_TEST(restart_of_the_initiator_replaces_its_old_sa)
{
    begin_psk(&plain, &plain);
    world_up(&w);
    sim_gw_stop(&w.a);
    sim_gw_start(&w.a);
    world_run(&w, 2000);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 1000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_uint_eq(sim_gw_view(&w.b).ike_up, 1);
    ck_assert_uint_eq(sim_gw_view(&w.b).child_up, 1);
    world_clear(&w);
}
END_TEST

START_TEST(both_beginning_at_once_keep_one)
{
    for (unsigned seed = 0; seed < 4; seed++) {
        world_init(&w, 50 + seed, NULL, &plain, &plain, true, NULL);
        (void)sim_gw_up(&w.a, "ab", NULL);
        (void)sim_gw_up(&w.b, "ab", NULL);
        world_run(&w, 100000);
        esp_both_ways(20);
        no_esp_lost();
        expect_connected();
        world_clear(&w);
    }
}
END_TEST

/* ---- NAT, fragments ---------------------------------------------------------------------------- */

START_TEST(nat_moves_to_4500_and_keeps_the_mapping_alive)
{
    static const char *const modes[] = { V1, AGGRESSIVE };
    for (size_t i = 0; i < SL_ARRAY_LEN(modes); i++) {
        const struct world_side side = { "", modes[i], "" };
        begin_psk(&side, &side);
        ck_assert(sl_addr_parse(&w.a.node.outside, "198.51.100.1"));
        w.a.node.nat_offset = 1000;
        w.b.config->connection[0].remote.addr = w.a.node.outside;
        struct sl_err err = { 0 };
        ck_assert_int_eq(sl_ike_config(w.b.ike, w.b.config, &err), SL_OK);
        sim_gw_pump(&w.b);
        const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 3000);
        ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
        expect_connected();
        ck_assert(w.a.sas->child.udp_encap && w.b.sas->child.udp_encap);
        ck_assert_uint_eq(w.a.sas->child.local.port, 4500);
        ck_assert_uint_eq(w.b.sas->child.local.port, 4500);
        world_forget_arrows(&w);
        world_run(&w, 100000);
        ck_assert_uint_ge(world_count(&w, "keepalive -->"), 1);
        world_clear(&w);
    }
}
END_TEST

START_TEST(certificates_go_in_fragments)
{
    const struct world_side side = { "", V1 "fragment_size = 576\n", "" };
    world_init(&w, 7, NULL, &side, &side, false, "rsa:2048");
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 1000);
    ck_assert_uint_gt(sent_by(true, MAIN), 3);
    expect_connected();
    world_clear(&w);
}
END_TEST

SL_TESTS(sim_ikev1, SL_CASE(main_mode_by_psk_ends_in_the_same_sas),
         SL_CASE(main_mode_by_rsa_ends_in_the_same_sas),
         SL_CASE(main_mode_by_ecdsa_ends_in_the_same_sas),

         SL_CASE(main_mode_with_an_ed25519_key_is_refused_by_name),
         SL_CASE(aggressive_mode_ends_in_the_same_sas),
         SL_CASE(quick_mode_without_pfs_and_with_another_suite),
         SL_CASE(main_mode_with_a_message_lost_at_any_place_comes_up),
         SL_CASE(main_mode_with_a_message_repeated_at_any_place_comes_up_once),
         SL_CASE(aggressive_mode_with_a_message_lost_or_repeated_comes_up),
         SL_CASE(replay_of_everything_opens_nothing), SL_CASE(stranger_gets_no_state_and_no_answer),
         SL_CASE(wrong_psk_is_said_by_the_responder_and_leaves_nothing),
         SL_CASE(wrong_id_is_refused), SL_CASE(refused_peer_is_told_less_than_the_log),
         SL_CASE(no_common_proposal_is_refused_in_both_phases),
         SL_CASE(child_rekey_sends_on_the_new_sa_when_the_peer_does_or_a_second_later),
         SL_CASE(child_rekey_by_either_side_loses_no_packet),
         SL_CASE(child_rekey_by_both_at_once_keeps_one_and_loses_no_packet),
         SL_CASE(ike_rekey_by_either_side_moves_the_children),
         SL_CASE(lifetimes_rekey_everything_again_and_again), SL_CASE(down_ends_both_sides),
         SL_CASE(down_of_a_child_leaves_the_ike_sa),
         SL_CASE(end_by_a_changed_decision_ends_both_sides),
         SL_CASE(silence_is_answered_by_dpd_and_a_dead_peer_noticed),
         SL_CASE(restart_of_the_initiator_replaces_its_old_sa),
         SL_CASE(both_beginning_at_once_keep_one),
         SL_CASE(nat_moves_to_4500_and_keeps_the_mapping_alive),
         SL_CASE(certificates_go_in_fragments))
