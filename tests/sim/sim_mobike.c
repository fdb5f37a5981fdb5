/*
 * MOBIKE (RFC 4555) between two gateways whose addresses change: updates, the check of the new
 * address, further addresses, NATs, and the same on a network that loses. a begins.
 */
#include "sim/basic.h"
#include "src/ike/core.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

#define A_NEW "192.0.2.77"
#define B_NEW "192.0.2.88"
/* fast enough for what the tests wait for */
#define QUICK "retransmit = 200ms\ndpd = 3s\n"
static const struct world_side roams = { "", "local = any\n" QUICK, "" };
static const struct world_side fixed = { "", QUICK, "" };

static void begin_in(const struct world_side *a, const struct world_side *b,
                     const struct sim_weather *weather, uint64_t seed)
{
    world_init(&w, seed, weather, a, b, false, NULL);
}

static void addresses(struct sim_gw *gw, const char *one, const char *two)
{
    struct sl_addr v[2];
    size_t n = 0;
    if (one)
        ck_assert(sl_addr_parse(&v[n++], one));
    if (two)
        ck_assert(sl_addr_parse(&v[n++], two));
    sl_ike_addresses(gw->ike, w.sim.now_ns, v, n);
    sim_gw_pump(gw);
}

/* gw's only address from now on; NULL: none. */
static void change(struct sim_gw *gw, const char *addr)
{
    gw->node.cut = addr == NULL;
    if (addr)
        ck_assert(sl_addr_parse(&gw->node.addr, addr));
    addresses(gw, addr, NULL);
}

static void connect_both(void)
{
    addresses(&w.a, WORLD_A, NULL);
    addresses(&w.b, WORLD_B, NULL);
    world_up(&w);
}

static bool child_goes(const struct sim_gw *from, const struct sim_gw *to)
{
    return from->sas && sl_addr_eq(&from->sas->child.remote.addr, &to->node.addr) &&
           (sl_addr_is_any(&from->sas->child.local.addr) ||
            sl_addr_eq(&from->sas->child.local.addr, &from->node.addr));
}

static bool both_ways(struct world *at)
{
    return child_goes(&at->a, &at->b) && child_goes(&at->b, &at->a);
}

START_TEST(initiator_with_another_address_takes_its_sas_along)
{
    begin_in(&roams, &fixed, NULL, 1);
    connect_both();
    ck_assert(!w.a.sas->child.udp_encap); /* the sources named leave no NAT to be seen */
    change(&w.a, A_NEW);
    world_run(&w, 1000);
    /* the update, then the check of the new address; then what else there is */
    ARROWS("INFORMATIONAL 2 -->", "<-- INFORMATIONAL 2 response", "<-- INFORMATIONAL 0",
           "INFORMATIONAL 0 response -->");
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 1);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_PEER_MOVED], 1);
    ck_assert(!w.a.sas->child.udp_encap && !w.b.sas->child.udp_encap);
    world_clear(&w);
}
END_TEST

START_TEST(children_do_not_follow_before_the_new_address_has_answered)
{
    begin_in(&roams, &fixed, NULL, 2);
    connect_both();
    change(&w.a, A_NEW);
    /* the answer to the update, and not the check, arrives */
    while (world_count(&w, "<-- INFORMATIONAL 0") == 0)
        sim_step(&w.sim);
    ck_assert(!child_goes(&w.b, &w.a));
    world_run(&w, 1000);
    ck_assert(child_goes(&w.b, &w.a));
    world_clear(&w);
}
END_TEST

START_TEST(time_without_any_address_ends_no_sa)
{
    begin_in(&roams, &fixed, NULL, 3);
    w.b.config->connection[0].dpd_s = 0; /* b is patient */
    connect_both();
    change(&w.a, NULL);
    world_run(&w, 120000);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 1);
    change(&w.a, A_NEW);
    world_run(&w, 2000);
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_DOWN], 0);
    world_clear(&w);
}
END_TEST

START_TEST(same_address_back_goes_on_without_an_update)
{
    begin_in(&roams, &fixed, NULL, 4);
    connect_both();
    change(&w.a, NULL);
    world_run(&w, 500);
    change(&w.a, WORLD_A);
    world_run(&w, 2000);
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    world_clear(&w);
}
END_TEST

START_TEST(responder_with_another_address_is_followed)
{
    begin_in(&fixed, &roams, NULL, 5);
    connect_both();
    change(&w.b, B_NEW);
    world_run(&w, 3000);
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(dead_path_is_left_for_another_address_of_the_peer)
{
    begin_in(&fixed, &roams, NULL, 6);
    addresses(&w.a, WORLD_A, NULL);
    addresses(&w.b, WORLD_B, B_NEW); /* told in IKE_AUTH */
    world_up(&w);
    ck_assert(sl_addr_parse(&w.b.node.addr, B_NEW)); /* nobody is told; dpd finds out */
    world_run(&w, 20000);
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_DOWN], 0);
    world_clear(&w);
}
END_TEST

START_TEST(rekeyed_sa_moves_like_the_first)
{
    begin_in(&roams, &fixed, NULL, 7);
    connect_both();
    (void)sim_gw_rekey(&w.b, "ab", NULL, true);
    world_run(&w, 2000);
    change(&w.a, A_NEW);
    world_run(&w, 2000);
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(moving_behind_a_nat_and_out_again_changes_encapsulation)
{
    begin_in(&roams, &fixed, NULL, 8);
    connect_both();
    ck_assert(sl_addr_parse(&w.a.node.outside, "198.51.100.1"));
    w.a.node.nat_offset = 1000;
    change(&w.a, "10.9.0.5");
    world_run(&w, 2000);
    ck_assert(w.a.sas->child.udp_encap && w.b.sas->child.udp_encap);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 5500);
    w.a.node.outside = (struct sl_addr){ 0 };
    w.a.node.nat_offset = 0;
    change(&w.a, A_NEW);
    world_run(&w, 2000);
    ck_assert(!w.a.sas->child.udp_encap && !w.b.sas->child.udp_encap);
    ck_assert(both_ways(&w));
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(changed_mapping_of_a_nat_is_found_by_the_liveness_check)
{
    begin_in(&roams, &fixed, NULL, 9);
    addresses(&w.a, WORLD_A, NULL);
    addresses(&w.b, WORLD_B, NULL);
    ck_assert(sl_addr_parse(&w.a.node.outside, "198.51.100.1"));
    w.a.node.nat_offset = 1000;
    w.b.config->connection[0].remote.addr = w.a.node.outside;
    struct sl_err err = { 0 };
    ck_ok(sl_ike_config(w.b.ike, w.b.config, &err), &err);
    world_up(&w);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 5500);
    w.a.node.nat_offset = 2000;
    world_run(&w, 10000);
    ck_assert_uint_eq(w.b.sas->child.remote.port, 6500);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(peer_stays_within_the_prefixes_of_its_connection)
{
    static const struct world_side within = {
        "", "remote = any\nremote_prefix = { \"192.0.2.0/26\" }\n" QUICK, ""
    };
    begin_in(&roams, &within, NULL, 10);
    connect_both();
    change(&w.a, A_NEW); /* .77 is outside */
    world_run(&w, 1000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    ck_assert_int_eq(w.a.last_story_rc, SL_IKE_PEER_ERROR);
    ck_assert(strstr(w.a.last_story, "UNACCEPTABLE_ADDRESSES"));
    change(&w.a, "192.0.2.7");
    world_run(&w, 3000);
    ck_assert(both_ways(&w));
    world_clear(&w);
}
END_TEST

START_TEST(without_the_peers_support_nothing_is_asked)
{
    static const struct world_side old = { "", "mobike = no\n" QUICK, "" };
    begin_in(&roams, &old, NULL, 11);
    connect_both();
    change(&w.a, A_NEW);
    world_run(&w, 1000);
    ck_assert_uint_eq(w.arrows, 0);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_PEER_MOVED], 0);
    world_clear(&w);
}
END_TEST

START_TEST(addresses_inside_the_tunnel_are_not_told)
{
    begin_in(&roams, &fixed, NULL, 12);
    addresses(&w.a, WORLD_A, "10.0.1.1"); /* of the child's local selector */
    addresses(&w.b, WORLD_B, NULL);
    world_up(&w);
    ck_assert_uint_eq(w.b.ike->sas->mobike.peer_n, 0);
    addresses(&w.a, WORLD_A, A_NEW); /* the list is told again when it changes */
    world_run(&w, 1000);
    ck_assert_uint_eq(w.b.ike->sas->mobike.peer_n, 1);
    world_clear(&w);
}
END_TEST

static void moves(const struct sim_weather *rough, uint64_t seed)
{
    char to[32];
    begin_in(&roams, &roams, rough, 1000 + seed);
    addresses(&w.a, WORLD_A, NULL);
    addresses(&w.b, WORLD_B, NULL);
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 20000);
    ck_assert(world_connected(&w));
    for (int i = 0; i < 6; i++) {
        snprintf(to, sizeof(to), "192.0.2.%d", 100 + i);
        change(i % 3 == 2 ? &w.b : &w.a, to);
        world_run(&w, i % 2 ? 20000 : 5000);
    }
    ck_assert(world_until(&w, both_ways, 60000));
    world_run(&w, 5000);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_DOWN], 0);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 0);
    world_clear(&w);
}

/* Both move several times while every tenth datagram is lost, repeated or late. */
START_TEST(moves_in_bad_weather_end_where_both_are)
{
    static const struct sim_weather rough = { .loss = 100,
                                              .duplicate = 100,
                                              .reorder = 100,
                                              .delay_min_ns = SL_NS_PER_MS,
                                              .delay_max_ns = 40 * SL_NS_PER_MS };
    for (uint64_t seed = 0; seed < 20; seed++)
        moves(&rough, seed);
}
END_TEST

SL_TESTS_TIMEOUT("sim_mobike", 120, SL_CASE(initiator_with_another_address_takes_its_sas_along),
                 SL_CASE(children_do_not_follow_before_the_new_address_has_answered),
                 SL_CASE(time_without_any_address_ends_no_sa),
                 SL_CASE(same_address_back_goes_on_without_an_update),
                 SL_CASE(responder_with_another_address_is_followed),
                 SL_CASE(dead_path_is_left_for_another_address_of_the_peer),
                 SL_CASE(rekeyed_sa_moves_like_the_first),
                 SL_CASE(moving_behind_a_nat_and_out_again_changes_encapsulation),
                 SL_CASE(changed_mapping_of_a_nat_is_found_by_the_liveness_check),
                 SL_CASE(peer_stays_within_the_prefixes_of_its_connection),
                 SL_CASE(without_the_peers_support_nothing_is_asked),
                 SL_CASE(addresses_inside_the_tunnel_are_not_told),
                 SL_CASE(moves_in_bad_weather_end_where_both_are))
