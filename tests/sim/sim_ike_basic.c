/*
 * Every exchange of IKEv2, its collisions and its refusals, between two gateways on a fair network
 * with chosen losses. Read the arrows with gateway a on the left.
 */
#include "sim/world.h"
#include "src/ike/core.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static const struct world_side plain = { "", "", "" };

#define ARROWS(...)                                              \
    do {                                                         \
        const char *const want_[] = { __VA_ARGS__ };             \
        ck_assert(world_arrows(&w, want_, SL_ARRAY_LEN(want_))); \
    } while (0)
#define AGREED()                                      \
    do {                                              \
        const char *differs_ = sim_agree(&w.a, &w.b); \
        ck_assert_msg(!differs_, "%s", differs_);     \
    } while (0)

static void begin(const struct world_side *a, const struct world_side *b)
{
    world_init(&w, 1, NULL, a, b, false, NULL);
}

static const struct sim_done *result(const struct sim_gw *gw, uint64_t id)
{
    const struct sim_done *d = sim_gw_done(gw, id);
    ck_assert_msg(d != NULL, "command has not ended");
    return d;
}

/* The connection's peer is elsewhere; family 0: anywhere. */
static void peer_at(struct sim_gw *gw, const struct sl_addr *addr)
{
    struct sl_err err = { 0 };
    gw->config->connection[0].remote.addr = *addr;
    ck_ok(sl_ike_config(gw->ike, gw->config, &err), &err);
    sim_gw_pump(gw);
}

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
static bool traffic_on;
static void traffic(void *ctx, void *arg)
{
    (void)arg;
    (void)ctx;
    if (!traffic_on)
        return;
    (void)sim_esp_send(&w.a, &w.b, sim_between(&w.sim, SL_NS_PER_MS, 20 * SL_NS_PER_MS));
    (void)sim_esp_send(&w.b, &w.a, sim_between(&w.sim, SL_NS_PER_MS, 20 * SL_NS_PER_MS));
    sim_after(&w.sim, SL_NS_PER_MS, traffic, NULL, &w, NULL);
}

static void begin_traffic(void)
{
    traffic_on = true;
    sim_after(&w.sim, 0, traffic, NULL, &w, NULL);
}

static void no_packet_lost(void)
{
    traffic_on = false;
    world_run(&w, 10000);
    ck_assert_uint_gt(w.a.esp_received, 100);
    ck_assert_uint_gt(w.b.esp_received, 100);
    ck_assert_uint_eq(w.a.esp_lost, 0);
    ck_assert_uint_eq(w.b.esp_lost, 0);
}

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

/* ---- NAT --------------------------------------------------------------------------------------- */

static void behind_nat(struct sim_gw *gw, const char *outside)
{
    ck_assert(sl_addr_parse(&gw->node.outside, outside));
    gw->node.nat_offset = 1000;
}

START_TEST(nat_moves_to_4500_and_keeps_the_mapping_alive)
{
    begin(&plain, &plain);
    behind_nat(&w.a, "198.51.100.1");
    /* b knows a by its outside address only */
    peer_at(&w.b, &w.a.node.outside);
    world_up(&w);
    ck_assert(w.a.sas->child.udp_encap && w.b.sas->child.udp_encap);
    ck_assert_uint_eq(w.a.sas->child.remote.port, 4500);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 5500);
    world_run(&w, 21000);
    ck_assert_uint_ge(world_count(&w, "keepalive -->"), 1);
    ck_assert_uint_eq(world_count(&w, "<-- keepalive"), 0);
    world_clear(&w);
}
END_TEST

START_TEST(nat_rebinding_moves_the_children)
{
    const struct world_side fixed = { "", "mobike = no", "" }; /* with it, by its own means alone */
    begin(&fixed, &plain);
    behind_nat(&w.a, "198.51.100.1");
    peer_at(&w.b, &w.a.node.outside);
    world_up(&w);
    w.a.node.nat_offset = 2000;
    (void)sim_gw_rekey(&w.a, "ab", NULL, false); /* any authentic message shows it */
    world_run(&w, 10000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 1);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 6500);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

static struct sl_buf replayed;
static bool record_info(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    if (d->data.len > 28 && d->data.p[18] == 37 && !(d->data.p[19] & 0x20) && !replayed.len)
        ck_assert(sl_buf_put(&replayed, sl_buf_bytes(&d->data)));
    return true;
}

/* What the datapath of b says when a packet of the child came from there. */
static void heard(const char *from)
{
    struct sl_endpoint e;
    ck_assert(sl_endpoint_parse(&e, from, 4500));
    sl_ike_child_heard(w.b.ike, w.sim.now_ns, w.b.sas->child.id, &e);
    sim_gw_pump(&w.b);
}

START_TEST(nat_rebinding_seen_by_esp_moves_the_children_and_is_asked_about)
{
    begin(&plain, &plain);
    behind_nat(&w.a, "198.51.100.1");
    peer_at(&w.b, &w.a.node.outside);
    world_up(&w);
    w.a.node.nat_offset = 2000;
    heard("198.51.100.1:6500");
    world_run(&w, 10000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 1);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 6500);
    /* asked once, and answered from there */
    ck_assert_uint_eq(world_count(&w, "<-- INFORMATIONAL 0"), 1);
    ck_assert_uint_eq(world_count(&w, "INFORMATIONAL 0 response -->"), 1);
    ck_assert(world_connected(&w));
    heard("198.51.100.1:6500");  /* where it is */
    heard("[2001:db8::7]:6500"); /* another family: not by NAT */
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 1);
    world_clear(&w);
}
END_TEST

START_TEST(peer_without_nat_does_not_move_by_esp)
{
    begin(&plain, &plain);
    world_up(&w);
    const struct sl_endpoint was = w.b.sas->child.remote;
    heard("198.51.100.1:6500");
    world_run(&w, 1000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    ck_assert(sl_endpoint_eq(&w.b.sas->child.remote, &was));
    world_clear(&w);
    /* we pretend to be behind a NAT; the peer is not */
    const struct world_side forced = { "", "force_encap = yes", "" };
    begin(&plain, &forced);
    world_up(&w);
    heard("198.51.100.1:6500");
    world_run(&w, 1000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    world_clear(&w);
}
END_TEST

START_TEST(peer_does_not_move_when_we_are_behind_a_nat_too)
{
    begin(&plain, &plain);
    behind_nat(&w.a, "198.51.100.1");
    behind_nat(&w.b, "198.51.100.2");
    peer_at(&w.a, &w.b.node.outside);
    peer_at(&w.b, &w.a.node.outside);
    w.b.node.nat_offset = 0;
    world_up(&w);
    ck_assert(w.b.sas->child.udp_encap);
    heard("198.51.100.1:6500");
    world_run(&w, 1000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    world_clear(&w);
}
END_TEST

START_TEST(nat_rebinding_is_not_faked_by_a_replayed_message)
{
    begin(&plain, &plain);
    behind_nat(&w.a, "198.51.100.1");
    peer_at(&w.b, &w.a.node.outside);
    world_up(&w);
    w.spoil = record_info;
    (void)sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 10000);
    ck_assert_uint_gt(replayed.len, 0);
    struct sl_endpoint thief = { .port = 4500 }, to = { w.b.node.addr, 4500 };
    ck_assert(sl_addr_parse(&thief.addr, "203.0.113.7"));
    sl_ike_packet(w.b.ike, w.sim.now_ns, &to, &thief, sl_buf_bytes(&replayed));
    sim_gw_pump(&w.b);
    world_run(&w, 100);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 5500);
    sl_buf_clear(&replayed);
    world_clear(&w);
}
END_TEST

START_TEST(forced_encapsulation_is_seen_by_both)
{
    const struct world_side forced = { "", "force_encap = yes", "" };
    begin(&forced, &plain);
    world_up(&w);
    ck_assert(w.a.sas->child.udp_encap && w.b.sas->child.udp_encap);
    ck_assert_uint_eq(w.a.sas->child.remote.port, 4500);
    world_clear(&w);
    begin(&plain, &forced);
    world_up(&w);
    ck_assert(w.a.sas->child.udp_encap && w.b.sas->child.udp_encap);
    world_clear(&w);
}
END_TEST

/* ---- fragments --------------------------------------------------------------------------------- */

static size_t longest;
static bool measure(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    if (d->data.len > longest)
        longest = d->data.len;
    return true;
}

START_TEST(long_messages_are_fragmented_both_ways)
{
    const struct world_side small = { "", "fragment_size = 576", "" };
    begin(&small, &small);
    longest = 0;
    w.spoil = measure;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_uint_ge(world_count(&w, "IKE_AUTH 1 -->"), 3);
    ck_assert_uint_ge(world_count(&w, "<-- IKE_AUTH 1 response"), 2);
    ck_assert_uint_le(longest, 576 - 28);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(a_lost_fragment_brings_the_whole_message_again)
{
    const struct world_side small = { "", "fragment_size = 576", "" };
    begin(&small, &small);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 4);
    w.drop_from_a = 1;
    w.drop_from_b = 2;
    world_run(&w, 20000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

/* ---- limits and strangers ---------------------------------------------------------------------- */

static void stranger(const char *addr, uint16_t port, const uint8_t *data, size_t len)
{
    struct sl_endpoint from = { .port = port }, to = { w.b.node.addr, 500 };
    ck_assert(sl_addr_parse(&from.addr, addr));
    sl_ike_packet(w.b.ike, w.sim.now_ns, &to, &from, sl_bytes(data, len));
    sim_gw_pump(&w.b);
}

static struct sl_buf first_message;
static bool keep_first(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    if (!first_message.len)
        ck_assert(sl_buf_put(&first_message, sl_buf_bytes(&d->data)));
    return true;
}

START_TEST(half_open_sas_are_bounded_in_all_and_per_source)
{
    const struct world_side tight = {
        "max_half_open = 10\n  cookie_threshold = 10\n  max_half_open_per_source = 4", "", ""
    };
    begin(&plain, &tight);
    peer_at(&w.b, &(struct sl_addr){ 0 });
    w.spoil = keep_first;
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    struct sl_ike_stats stats;
    for (unsigned i = 0; i < 100; i++) {
        first_message.p[0] = (uint8_t)(i + 1); /* another SPIi each time */
        char addr[32];
        snprintf(addr, sizeof(addr), "203.0.113.%u", 1 + i % 25);
        stranger(i < 50 ? "203.0.113.99" : addr, 500, first_message.p, first_message.len);
        sl_ike_stats(w.b.ike, &stats);
        ck_assert_uint_le(stats.half_open, i < 50 ? 4 : 10);
    }
    ck_assert_uint_eq(stats.half_open, 10);
    ck_assert_uint_eq(stats.dropped_limit, 90);
    world_run(&w, 31000);
    sl_ike_stats(w.b.ike, &stats);
    ck_assert_uint_eq(stats.half_open, 0);
    ck_assert_uint_eq(stats.ike_sas, 1);
    sl_buf_clear(&first_message);
    world_clear(&w);
}
END_TEST

START_TEST(messages_of_no_sa_are_answered_rarely)
{
    begin(&plain, &plain);
    world_up(&w);
    uint8_t msg[28] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    msg[17] = 0x20;
    msg[18] = 37;
    msg[19] = 0x08;
    msg[27] = 28;
    for (int i = 0; i < 1000; i++)
        stranger("203.0.113.9", 500, msg, sizeof(msg));
    ck_assert_uint_eq(world_count(&w, "<-- INFORMATIONAL 0 response"), 10);
    msg[19] |= 0x20; /* a response is never answered */
    world_run(&w, 2000);
    world_forget_arrows(&w);
    stranger("203.0.113.9", 500, msg, sizeof(msg));
    ck_assert_uint_eq(w.arrows, 0);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(garbage_changes_nothing)
{
    begin(&plain, &plain);
    w.spoil = keep_first;
    world_up(&w);
    w.spoil = NULL;
    uint8_t junk[600];
    for (int i = 0; i < 3000; i++) {
        const size_t len = (size_t)sim_between(&w.sim, 0, sizeof(junk));
        sl_rng_fill(&w.sim.rng, junk, len);
        if (i % 2 && len > 28) { /* a header that is looked at further */
            struct sim_sa *sa = w.b.sas;
            ck_assert_ptr_nonnull(sa);
            memcpy(junk, first_message.p, 8);
            memset(junk + 8, 0, 8);
            junk[16] = 46;
            junk[17] = 0x20;
            junk[18] = (uint8_t)(34 + i % 4);
            junk[19] &= 0x28;
            memset(junk + 20, 0, 6);
            junk[26] = (uint8_t)(len >> 8);
            junk[27] = (uint8_t)len;
        }
        stranger(WORLD_A, 500, junk, len);
    }
    ck_assert(world_connected(&w));
    sl_buf_clear(&first_message);
    world_clear(&w);
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
    SL_CASE(both_beginning_at_once_keep_one_ike_sa),
    SL_CASE(nat_moves_to_4500_and_keeps_the_mapping_alive),
    SL_CASE(nat_rebinding_moves_the_children),
    SL_CASE(nat_rebinding_seen_by_esp_moves_the_children_and_is_asked_about),
    SL_CASE(peer_without_nat_does_not_move_by_esp),
    SL_CASE(peer_does_not_move_when_we_are_behind_a_nat_too),
    SL_CASE(nat_rebinding_is_not_faked_by_a_replayed_message),
    SL_CASE(forced_encapsulation_is_seen_by_both), SL_CASE(long_messages_are_fragmented_both_ways),
    SL_CASE(a_lost_fragment_brings_the_whole_message_again),
    SL_CASE(half_open_sas_are_bounded_in_all_and_per_source),
    SL_CASE(messages_of_no_sa_are_answered_rarely), SL_CASE(garbage_changes_nothing),
    SL_CASE(commands_with_unknown_names_say_so),
    SL_CASE(configuration_without_the_connection_ends_its_sas),
    SL_CASE(a_changed_decision_ends_the_sa_with_its_reason),
    SL_CASE(datapath_limits_rekey_and_remove),
    SL_CASE(reauthentication_makes_the_new_sa_before_it_breaks_the_old))
