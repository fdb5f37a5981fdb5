/*
 * What lies between two gateways, or comes from elsewhere: NATs and their rebinding, fragments, limits on
 * half-open SAs, strangers. Read the arrows with gateway a on the left.
 */
#include "sim/basic.h"

#include <stdio.h>
#include <string.h>

static const struct world_side plain = { "", "", "" };

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

SL_TESTS(sim_ike_network, SL_CASE(nat_moves_to_4500_and_keeps_the_mapping_alive),
         SL_CASE(nat_rebinding_moves_the_children),
         SL_CASE(nat_rebinding_seen_by_esp_moves_the_children_and_is_asked_about),
         SL_CASE(peer_without_nat_does_not_move_by_esp),
         SL_CASE(peer_does_not_move_when_we_are_behind_a_nat_too),
         SL_CASE(nat_rebinding_is_not_faked_by_a_replayed_message),
         SL_CASE(forced_encapsulation_is_seen_by_both),
         SL_CASE(long_messages_are_fragmented_both_ways),
         SL_CASE(a_lost_fragment_brings_the_whole_message_again),
         SL_CASE(half_open_sas_are_bounded_in_all_and_per_source),
         SL_CASE(messages_of_no_sa_are_answered_rarely), SL_CASE(garbage_changes_nothing))
