/*
 * Every exchange of IKEv2, its collisions and its refusals, between two gateways on a fair network
 * with chosen losses. Read the arrows with gateway a on the left.
 */
#include "sim/basic.h"
#include "src/ike/core.h"

#include <stdio.h>
#include <string.h>

static const struct world_side plain = { "", "", "" };

START_TEST(handshake_by_certificate_ends_in_the_same_sas)
{
    begin(&plain, &plain);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->",
           "<-- IKE_AUTH 1 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 1);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_UP], 1);
    ck_assert(w.a.sas->outbound && w.b.sas->outbound);
    ck_assert(!w.a.sas->child.udp_encap);
    world_clear(&w);
}
END_TEST

START_TEST(handshake_by_psk_ends_in_the_same_sas)
{
    world_init(&w, 2, NULL, &plain, &plain, true, NULL);
    world_up(&w);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(handshake_when_messages_are_lost_repeats_them)
{
    begin(&plain, &plain);
    w.drop_from_a = 1;
    w.drop_from_b = 2;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 12000);
    ARROWS("IKE_SA_INIT 0 -->",                               /* lost */
           "IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", /* lost */
           "IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", /* lost */
           "IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->",
           "<-- IKE_AUTH 1 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(handshake_when_the_auth_response_is_lost_repeats_it_unchanged)
{
    begin(&plain, &plain);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 5);
    w.drop_from_b = 1;
    world_run(&w, 2000);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->",
           "<-- IKE_AUTH 1 response", "IKE_AUTH 1 -->", "<-- IKE_AUTH 1 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_UP], 1);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(handshake_with_a_silent_peer_is_given_up)
{
    begin(&plain, &plain);
    w.b.node.cut = true;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 120000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_PEER_DEAD);
    ck_assert_ptr_nonnull(strstr(result(&w.a, id)->text, "192.0.2.2"));
    ck_assert_uint_eq(world_count(&w, "IKE_SA_INIT 0 -->"), 6);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_other, 0);
    world_clear(&w);
}
END_TEST

START_TEST(handshake_under_load_returns_the_cookie)
{
    const struct world_side busy = { "cookie_threshold = 0", "", "" };
    begin(&plain, &busy);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_SA_INIT 0 -->",
           "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->", "<-- IKE_AUTH 1 response");
    struct sl_ike_stats stats;
    sl_ike_stats(w.b.ike, &stats);
    ck_assert_uint_eq(stats.cookies_sent, 1);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    world_clear(&w);
}
END_TEST

START_TEST(handshake_with_another_group_begins_again_with_it)
{
    const struct world_side both = {
        "", "ike = { \"aes128gcm16-prfsha256-ecp256\", \"aes128gcm16-prfsha256-curve25519\" }", ""
    };
    const struct world_side one = { "", "ike = { \"aes128gcm16-prfsha256-curve25519\" }", "" };
    begin(&both, &one);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_SA_INIT 0 -->",
           "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->", "<-- IKE_AUTH 1 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(handshake_without_common_proposal_is_refused_with_the_reason_on_both_sides)
{
    const struct world_side one = { "", "ike = { \"aes256gcm16-prfsha384-ecp384\" }", "" };
    const struct world_side other = { "", "ike = { \"aes128gcm16-prfsha256-curve25519\" }", "" };
    begin(&one, &other);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 10000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_NO_PROPOSAL);
    ck_assert_int_eq(w.b.last_story_rc, SL_IKE_NO_PROPOSAL);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_FAILED],
                      0); /* a stranger cannot fill the audit log */
    world_clear(&w);
}
END_TEST

static bool forge_refusal(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    /* Beside each first message to b, a stranger answers a with NO_PROPOSAL_CHOSEN. */
    if (d->data.len < 28 || d->data.p[18] != 34 || d->data.p[19] & 0x20)
        return true;
    w.spoil = NULL;
    uint8_t answer[36] = { 0 };
    memcpy(answer, d->data.p, 8);
    memcpy(answer + 16, "\x29\x20\x22\x20\0\0\0\0\0\0\0\x24\0\0\0\x08\0\0\0\x0e", 20);
    sim_net_send(&w.net, &d->to, &d->from, sl_bytes(answer, sizeof(answer)));
    return true;
}

START_TEST(handshake_when_a_stranger_forges_a_refusal_goes_on)
{
    begin(&plain, &plain);
    w.spoil = forge_refusal;
    world_up(&w);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

/* A decision that refuses one peer's identity. */
static enum sl_rc refuse_rc;
static void refuse(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    (void)ask;
    struct sl_verdict v = { .rc = refuse_rc, .text = "certificate of CN=a was revoked" };
    sim_gw_answer_decision(gw, SL_NS_PER_MS, id, &v);
}

START_TEST(auth_refused_by_the_responder_tells_the_peer_less_than_the_log)
{
    begin(&plain, &plain);
    refuse_rc = SL_REVOKED;
    w.b.oracle.decide = refuse;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(w.b.last_rc, SL_REVOKED);
    ck_assert_str_eq(w.b.last_text, "certificate of CN=a was revoked");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_PEER_REFUSED);
    ck_assert_ptr_null(strstr(result(&w.a, id)->text, "revoked"));
    ck_assert_ptr_null(w.b.sas);
    world_run(&w, 60000);
    AGREED();
    world_clear(&w);
}
END_TEST

START_TEST(auth_refused_by_the_initiator_ends_the_responders_sa)
{
    begin(&plain, &plain);
    refuse_rc = SL_POLICY_REFUSED;
    w.a.oracle.decide = refuse;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->",
           "<-- IKE_AUTH 1 response", "INFORMATIONAL 2 -->", "<-- INFORMATIONAL 2 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_POLICY_REFUSED);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_PEER_REFUSED);
    ck_assert(!w.a.sas && !w.b.sas);
    world_clear(&w);
}
END_TEST

START_TEST(auth_with_an_unexpected_id_is_refused)
{
    const struct world_side other = { "", "", "" };
    begin(&plain, &other);
    /* b expects a.example; a signs as b.example after a change of its identity. */
    world_clear(&w);
    world_init(&w, 1, NULL, &plain, &plain, true, NULL);
    w.b.config->connection[0].id_remote.data[0] = 'x';
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(w.b.last_rc, SL_ID_UNEXPECTED);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_PEER_REFUSED);
    world_clear(&w);
}
END_TEST

START_TEST(auth_with_the_wrong_key_is_refused)
{
    world_init(&w, 1, NULL, &plain, &plain, true, NULL);
    struct sl_err err = { 0 };
    strcpy(w.a.config->connection[0].psk, "oth");
    ck_ok(sl_keyset_psk_set(sim_keys(), "oth", sl_str("another pre-shared key"), &err), &err);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(w.b.last_rc, SL_AUTH_PSK);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_PEER_REFUSED);
    world_clear(&w);
}
END_TEST

START_TEST(auth_with_disjoint_selectors_leaves_the_ike_sa_without_child)
{
    begin(&plain, &plain);
    ck_assert(sl_ts_parse(&w.b.config->connection[0].child[0].local_ts[0], "10.9.0.0/24"));
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_TS_UNACCEPTABLE);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_TS_UNACCEPTABLE);
    ck_assert_ptr_nonnull(strstr(w.b.last_text, "10.0.2.0/24"));
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 1);
    ck_assert_uint_eq(sim_gw_view(&w.a).child_up, 0);
    AGREED();
    world_clear(&w);
}
END_TEST

static void grant_half(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    struct sl_verdict v;
    sim_decide(gw, ask, &v);
    ck_assert(sl_ts_parse(&v.grant.ts[0], "10.0.1.0/25"));
    v.grant.ts_n = 1;
    v.grant.lifetime_s = 600;
    sim_gw_answer_decision(gw, SL_NS_PER_MS, id, &v);
}

START_TEST(auth_with_a_grant_narrows_selectors_and_ends_in_time)
{
    begin(&plain, &plain);
    w.b.oracle.decide = grant_half;
    world_up(&w);
    char text[SL_TS_TEXT];
    ck_assert_str_eq(sl_ts_text(text, &w.b.sas->child.ts_remote[0]), "10.0.1.0/25");
    ck_assert_str_eq(sl_ts_text(text, &w.a.sas->child.ts_local[0]), "10.0.1.0/25");
    w.a.ike->sas->reauth_ns = INT64_MAX; /* it does not heed the lifetime that it is told */
    world_run(&w, 601000);
    ck_assert_ptr_null(w.b.sas);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_LIFETIME);
    world_run(&w, 60000);
    AGREED();
    world_clear(&w);
}
END_TEST

/* As address blocks of a certificate give it (RFC 3779): ranges, of which some are no prefixes. */
static void grant_ranges(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    struct sl_verdict v;
    sim_decide(gw, ask, &v);
    ck_assert(sl_ts_parse(&v.grant.ts[0], "10.0.1.5-10.0.1.77"));
    ck_assert(sl_ts_parse(&v.grant.ts[1], "10.0.1.200-10.0.2.3"));
    ck_assert(sl_ts_parse(&v.grant.ts[2], "2001:db8::5-2001:db8::9"));
    v.grant.ts_n = 3;
    sim_gw_answer_decision(gw, SL_NS_PER_MS, id, &v);
}

START_TEST(auth_with_a_grant_of_ranges_narrows_the_selectors_to_these_ranges)
{
    begin(&plain, &plain);
    w.b.oracle.decide = grant_ranges;
    world_up(&w);
    char text[SL_TS_TEXT];
    const struct sl_child *b = &w.b.sas->child, *a = &w.a.sas->child;
    ck_assert_uint_eq(b->ts_remote_n, 2);
    ck_assert_str_eq(sl_ts_text(text, &b->ts_remote[0]), "10.0.1.5-10.0.1.77");
    ck_assert_str_eq(sl_ts_text(text, &b->ts_remote[1]), "10.0.1.200-10.0.1.255");
    ck_assert_uint_eq(a->ts_local_n, 2);
    for (size_t i = 0; i < 2; i++)
        ck_assert(sl_ts_eq(&a->ts_local[i], &b->ts_remote[i]));
    world_run(&w, 1000);
    AGREED();
    world_clear(&w);
}
END_TEST

/* Traffic in both directions, so that a packet without an SA is noticed. */
START_TEST(child_rekey_loses_no_packet)
{
    begin(&plain, &plain);
    world_up(&w);
    begin_traffic();
    world_run(&w, 100);
    const uint64_t id = sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 1000);
    ARROWS("CREATE_CHILD_SA 2 -->", "<-- CREATE_CHILD_SA 2 response", "INFORMATIONAL 3 -->",
           "<-- INFORMATIONAL 3 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    no_packet_lost();
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN], 0);
    world_clear(&w);
}
END_TEST

START_TEST(child_rekey_by_the_responder_loses_no_packet)
{
    begin(&plain, &plain);
    world_up(&w);
    begin_traffic();
    world_run(&w, 100);
    w.drop_from_b = 1;
    w.drop_from_a = 2;
    (void)sim_gw_rekey(&w.b, "ab", "net", false);
    world_run(&w, 20000);
    no_packet_lost();
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(child_rekey_by_both_at_once_keeps_one_and_loses_no_packet)
{
    unsigned a_won = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        world_init(&w, seed, NULL, &plain, &plain, false, NULL);
        world_up(&w);
        begin_traffic();
        world_run(&w, 50);
        (void)sim_gw_rekey(&w.a, "ab", NULL, false);
        (void)sim_gw_rekey(&w.b, "ab", NULL, false);
        world_run(&w, 1000);
        ck_assert_uint_eq(world_count(&w, "CREATE_CHILD_SA 2 -->"), 1);
        ck_assert_uint_eq(world_count(&w, "<-- CREATE_CHILD_SA 0"), 1);
        no_packet_lost();
        ck_assert_msg(world_connected(&w), "seed %d: %s", (int)seed, sim_agree(&w.a, &w.b));
        a_won += w.a.last_story_rc != SL_IKE_COLLISION;
        ck_assert((w.a.last_story_rc == SL_IKE_COLLISION) !=
                  (w.b.last_story_rc == SL_IKE_COLLISION));
        world_clear(&w);
    }
    ck_assert(a_won > 0 && a_won < 12);
}
END_TEST

START_TEST(child_rekey_collision_seen_by_one_side_only_is_put_off)
{
    begin(&plain, &plain);
    world_up(&w);
    w.drop_from_a = 1; /* b does not see a's request before it has finished its own */
    (void)sim_gw_rekey(&w.a, "ab", NULL, false);
    (void)sim_gw_rekey(&w.b, "ab", NULL, false);
    world_run(&w, 30000);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(child_rekey_with_pfs_in_another_group_begins_again_with_it)
{
    const struct world_side both = {
        "", "", "esp = { \"aes128gcm16-ecp256\", \"aes128gcm16-curve25519\" }"
    };
    const struct world_side one = { "", "", "esp = { \"aes128gcm16-curve25519\" }" };
    begin(&both, &one);
    world_up(&w);
    (void)sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 1000);
    ARROWS("CREATE_CHILD_SA 2 -->", "<-- CREATE_CHILD_SA 2 response", "CREATE_CHILD_SA 3 -->",
           "<-- CREATE_CHILD_SA 3 response", "INFORMATIONAL 4 -->", "<-- INFORMATIONAL 4 response");
    world_run(&w, 10000);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(ike_rekey_moves_the_children)
{
    begin(&plain, &plain);
    world_up(&w);
    begin_traffic();
    const uint32_t spi = w.a.sas->child.spi_in;
    const uint64_t id = sim_gw_rekey(&w.a, "ab", NULL, true);
    world_run(&w, 1000);
    ARROWS("CREATE_CHILD_SA 2 -->", "<-- CREATE_CHILD_SA 2 response", "INFORMATIONAL 3 -->",
           "<-- INFORMATIONAL 3 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    no_packet_lost();
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.sas->child.spi_in, spi);
    world_forget_arrows(&w);
    (void)sim_gw_rekey(&w.b, "ab", NULL, false); /* on the new SA, message IDs from 0 */
    world_run(&w, 10000);
    ARROWS("<-- CREATE_CHILD_SA 0", "CREATE_CHILD_SA 0 response -->", "<-- INFORMATIONAL 1",
           "INFORMATIONAL 1 response -->");
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(ike_rekey_by_both_at_once_keeps_one)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        world_init(&w, seed, NULL, &plain, &plain, false, NULL);
        world_up(&w);
        begin_traffic();
        (void)sim_gw_rekey(&w.a, "ab", NULL, true);
        (void)sim_gw_rekey(&w.b, "ab", NULL, true);
        world_run(&w, 1000);
        no_packet_lost();
        world_run(&w, 120000);
        ck_assert_msg(world_connected(&w), "seed %d: %s", (int)seed, sim_agree(&w.a, &w.b));
        world_clear(&w);
    }
}
END_TEST

START_TEST(ike_rekey_collision_seen_by_one_side_only_keeps_one)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        world_init(&w, seed, NULL, &plain, &plain, false, NULL);
        world_up(&w);
        w.drop_from_a = seed % 2 ? 1 : 2;
        (void)sim_gw_rekey(&w.a, "ab", NULL, true);
        (void)sim_gw_rekey(&w.b, "ab", NULL, true);
        world_run(&w, 300000);
        ck_assert_msg(world_connected(&w), "seed %d: %s", (int)seed, sim_agree(&w.a, &w.b));
        world_clear(&w);
    }
}
END_TEST

START_TEST(ike_rekey_meeting_a_child_rekey_is_put_off)
{
    begin(&plain, &plain);
    world_up(&w);
    (void)sim_gw_rekey(&w.a, "ab", NULL, true);
    (void)sim_gw_rekey(&w.b, "ab", NULL, false);
    world_run(&w, 120000);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_REKEYED], 1);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_REKEYED], 1);
    world_clear(&w);
}
END_TEST

START_TEST(lifetimes_rekey_everything_again_and_again)
{
    const struct world_side brief = { "", "rekey = 300s", "rekey = 60s" };
    begin(&brief, &brief);
    world_up(&w);
    begin_traffic();
    world_run(&w, 900000);
    no_packet_lost();
    ck_assert_uint_ge(w.a.events.n[SL_IKE_EV_CHILD_REKEYED], 14);
    ck_assert_uint_ge(w.a.events.n[SL_IKE_EV_IKE_REKEYED], 2);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN] + w.a.events.n[SL_IKE_EV_IKE_DOWN], 0);
    world_run(&w, 5000);
    ck_assert_uint_eq(sim_gw_view(&w.a).child_up, 1);
    world_clear(&w);
}
END_TEST

START_TEST(down_of_a_child_leaves_the_ike_sa)
{
    begin(&plain, &plain);
    world_up(&w);
    const uint64_t id = sim_gw_down(&w.a, "ab", "net");
    world_run(&w, 500);
    ARROWS("INFORMATIONAL 2 -->", "<-- INFORMATIONAL 2 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    world_run(&w, 6000);
    ck_assert(!w.a.sas && !w.b.sas);
    ck_assert_uint_eq(sim_gw_view(&w.b).ike_up, 1);
    const uint64_t up = sim_gw_up(&w.a, "ab", "net");
    world_run(&w, 500);
    ck_assert_int_eq(result(&w.a, up)->rc, SL_OK);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(down_ends_both_sides)
{
    begin(&plain, &plain);
    world_up(&w);
    const uint64_t id = sim_gw_down(&w.a, "ab", NULL);
    ck_assert_ptr_null(w.a.sas); /* at once, whatever the peer does */
    world_run(&w, 500);
    ARROWS("INFORMATIONAL 2 -->", "<-- INFORMATIONAL 2 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_ptr_null(w.b.sas);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_DELETED);
    world_run(&w, 60000);
    struct sl_ike_stats stats;
    sl_ike_stats(w.b.ike, &stats);
    ck_assert_uint_eq(stats.ike_sas, 0);
    world_clear(&w);
}
END_TEST

START_TEST(down_by_both_at_once_ends_both_sides)
{
    begin(&plain, &plain);
    world_up(&w);
    const uint64_t a = sim_gw_down(&w.a, "ab", NULL), b = sim_gw_down(&w.b, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(result(&w.a, a)->rc, SL_OK);
    ck_assert_int_eq(result(&w.b, b)->rc, SL_OK);
    world_run(&w, 60000);
    ck_assert(!w.a.sas && !w.b.sas);
    AGREED();
    world_clear(&w);
}
END_TEST

START_TEST(down_of_a_child_by_both_at_once_removes_it_once)
{
    begin(&plain, &plain);
    world_up(&w);
    (void)sim_gw_down(&w.a, "ab", "net");
    (void)sim_gw_down(&w.b, "ab", "net");
    world_run(&w, 10000);
    ck_assert(!w.a.sas && !w.b.sas);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_DOWN], 1);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_DOWN], 1);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 1);
    world_clear(&w);
}
END_TEST

START_TEST(down_when_the_answer_is_lost_is_answered_again)
{
    begin(&plain, &plain);
    world_up(&w);
    w.drop_from_b = 2;
    const uint64_t id = sim_gw_down(&w.a, "ab", NULL);
    world_run(&w, 10000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_uint_eq(world_count(&w, "INFORMATIONAL 2 -->"), 3);
    ck_assert_uint_eq(world_count(&w, "<-- INFORMATIONAL 2 response"), 3);
    world_clear(&w);
}
END_TEST

START_TEST(silence_is_answered_by_a_liveness_check)
{
    begin(&plain, &plain);
    world_up(&w);
    world_run(&w, 30500);
    ck_assert_uint_ge(w.arrows, 2);
    ck_assert_ptr_nonnull(strstr(w.arrow[0], "INFORMATIONAL"));
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(dead_peer_is_noticed_and_a_kept_child_comes_back)
{
    const struct world_side kept = { "", "", "start = yes" };
    begin(&kept, &plain);
    world_run(&w, 1000);
    ck_assert(world_connected(&w)); /* without a command */
    w.b.node.cut = true;
    world_run(&w, 300000);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_DOWN], 1);
    ck_assert_int_eq(w.a.last_rc, SL_IKE_PEER_DEAD);
    ck_assert_ptr_null(w.a.sas);
    w.b.node.cut = false;
    world_run(&w, 400000);
    ck_assert_msg(world_connected(&w), "%s", sim_agree(&w.a, &w.b));
    world_clear(&w);
}
END_TEST

START_TEST(child_deleted_by_the_peer_comes_back_when_kept)
{
    const struct world_side kept = { "", "", "start = yes" };
    begin(&kept, &plain);
    world_run(&w, 1000);
    (void)sim_gw_down(&w.b, "ab", "net");
    world_run(&w, 20000);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_UP], 2);
    world_clear(&w);
}
END_TEST

START_TEST(restart_of_the_initiator_replaces_its_old_sa)
{
    begin(&plain, &plain);
    world_up(&w);
    sim_gw_stop(&w.a);
    world_run(&w, 3000);
    sim_gw_start(&w.a);
    world_up(&w);
    ck_assert(world_connected(&w)); /* INITIAL_CONTACT */
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 1);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_REPLACED);
    world_clear(&w);
}
END_TEST

START_TEST(both_beginning_at_once_keep_one_ike_sa)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        world_init(&w, seed, NULL, &plain, &plain, false, NULL);
        (void)sim_gw_up(&w.a, "ab", NULL);
        (void)sim_gw_up(&w.b, "ab", NULL);
        world_run(&w, 60000);
        ck_assert_msg(world_connected(&w), "seed %d", (int)seed);
        world_clear(&w);
    }
}
END_TEST

/* ---- commands and configuration ---------------------------------------------------------------- */

START_TEST(commands_with_unknown_names_say_so)
{
    begin(&plain, &plain);
    ck_assert_int_eq(result(&w.a, sim_gw_up(&w.a, "xy", NULL))->rc, SL_NOT_FOUND);
    ck_assert_int_eq(result(&w.a, sim_gw_up(&w.a, "ab", "nix"))->rc, SL_NOT_FOUND);
    ck_assert_int_eq(result(&w.a, sim_gw_rekey(&w.a, "ab", NULL, true))->rc, SL_NOT_FOUND);
    ck_assert_int_eq(result(&w.a, sim_gw_down(&w.a, "ab", NULL))->rc, SL_OK);
    peer_at(&w.a, &(struct sl_addr){ 0 });
    ck_assert_int_eq(result(&w.a, sim_gw_up(&w.a, "ab", NULL))->rc, SL_USAGE);
    world_clear(&w);
}
END_TEST

START_TEST(configuration_without_the_connection_ends_its_sas)
{
    begin(&plain, &plain);
    world_up(&w);
    struct sl_config *empty = NULL;
    struct sl_err err = { 0 };
    ck_ok(sl_config_parse(&empty, sl_str("ike {\n}\n"), "empty", NULL, &err), &err);
    ck_ok(sl_ike_config(w.a.ike, w.a.config, &err), &err);
    ck_assert(world_connected(&w)); /* unchanged: stays */
    ck_ok(sl_ike_config(w.a.ike, empty, &err), &err);
    sim_gw_pump(&w.a);
    world_run(&w, 1000);
    ck_assert(!w.a.sas && !w.b.sas);
    ck_assert_int_eq(result(&w.a, sim_gw_up(&w.a, "ab", NULL))->rc, SL_NOT_FOUND);
    sl_config_free(w.a.config);
    w.a.config = empty;
    world_clear(&w);
}
END_TEST

START_TEST(a_changed_decision_ends_the_sa_with_its_reason)
{
    begin(&plain, &plain);
    world_up(&w);
    const uint64_t sa = w.b.sas->child.ike_sa;
    (void)sim_gw_rekey(&w.b, "ab", NULL, true); /* the decision's SA has a successor by now */
    world_run(&w, 1000);
    sl_ike_end(w.b.ike, w.sim.now_ns, sa, SL_REVOKED);
    sim_gw_pump(&w.b);
    ck_assert_ptr_null(w.b.sas);
    world_run(&w, 60000);
    ck_assert_int_eq(w.b.last_rc, SL_REVOKED);
    ck_assert_ptr_null(w.a.sas);
    AGREED();
    world_clear(&w);
}
END_TEST

START_TEST(datapath_limits_rekey_and_remove)
{
    begin(&plain, &plain);
    world_up(&w);
    sl_ike_child_soft(w.b.ike, w.sim.now_ns, w.b.sas->child.id);
    sim_gw_pump(&w.b);
    world_run(&w, 10000);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_REKEYED], 1);
    sl_ike_child_hard(w.b.ike, w.sim.now_ns, w.b.sas->child.id);
    sim_gw_pump(&w.b);
    world_run(&w, 10000);
    ck_assert(!w.a.sas && !w.b.sas);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_LIFETIME);
    world_clear(&w);
}
END_TEST

START_TEST(reauthentication_makes_the_new_sa_before_it_breaks_the_old)
{
    const struct world_side re = { "", "reauth = 300s", "" };
    begin(&re, &plain);
    world_up(&w);
    begin_traffic();
    world_run(&w, 310000);
    no_packet_lost();
    world_run(&w, 1000);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 2);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

SL_TESTS(
    sim_ike_basic, SL_CASE(handshake_by_certificate_ends_in_the_same_sas),
    SL_CASE(handshake_by_psk_ends_in_the_same_sas),
    SL_CASE(handshake_when_messages_are_lost_repeats_them),
    SL_CASE(handshake_when_the_auth_response_is_lost_repeats_it_unchanged),
    SL_CASE(handshake_with_a_silent_peer_is_given_up),
    SL_CASE(handshake_under_load_returns_the_cookie),
    SL_CASE(handshake_with_another_group_begins_again_with_it),
    SL_CASE(handshake_without_common_proposal_is_refused_with_the_reason_on_both_sides),
    SL_CASE(handshake_when_a_stranger_forges_a_refusal_goes_on),
    SL_CASE(auth_refused_by_the_responder_tells_the_peer_less_than_the_log),
    SL_CASE(auth_refused_by_the_initiator_ends_the_responders_sa),
    SL_CASE(auth_with_an_unexpected_id_is_refused), SL_CASE(auth_with_the_wrong_key_is_refused),
    SL_CASE(auth_with_disjoint_selectors_leaves_the_ike_sa_without_child),
    SL_CASE(auth_with_a_grant_narrows_selectors_and_ends_in_time),
    SL_CASE(auth_with_a_grant_of_ranges_narrows_the_selectors_to_these_ranges),
    SL_CASE(child_rekey_loses_no_packet), SL_CASE(child_rekey_by_the_responder_loses_no_packet),
    SL_CASE(child_rekey_by_both_at_once_keeps_one_and_loses_no_packet),
    SL_CASE(child_rekey_collision_seen_by_one_side_only_is_put_off),
    SL_CASE(child_rekey_with_pfs_in_another_group_begins_again_with_it),
    SL_CASE(ike_rekey_moves_the_children), SL_CASE(ike_rekey_by_both_at_once_keeps_one),
    SL_CASE(ike_rekey_collision_seen_by_one_side_only_keeps_one),
    SL_CASE(ike_rekey_meeting_a_child_rekey_is_put_off),
    SL_CASE(lifetimes_rekey_everything_again_and_again), SL_CASE(down_of_a_child_leaves_the_ike_sa),
    SL_CASE(down_ends_both_sides), SL_CASE(down_by_both_at_once_ends_both_sides),
    SL_CASE(down_of_a_child_by_both_at_once_removes_it_once),
    SL_CASE(down_when_the_answer_is_lost_is_answered_again),
    SL_CASE(silence_is_answered_by_a_liveness_check),
    SL_CASE(dead_peer_is_noticed_and_a_kept_child_comes_back),
    SL_CASE(child_deleted_by_the_peer_comes_back_when_kept),
    SL_CASE(restart_of_the_initiator_replaces_its_old_sa),
    SL_CASE(both_beginning_at_once_keep_one_ike_sa), SL_CASE(commands_with_unknown_names_say_so),
    SL_CASE(configuration_without_the_connection_ends_its_sas),
    SL_CASE(a_changed_decision_ends_the_sa_with_its_reason),
    SL_CASE(datapath_limits_rekey_and_remove),
    SL_CASE(reauthentication_makes_the_new_sa_before_it_breaks_the_old))
