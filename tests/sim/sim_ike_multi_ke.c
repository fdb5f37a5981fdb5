/*
 * Multiple key exchanges (RFC 9370) between two gateways, with classical groups as the additional
 * ones: IKE_INTERMEDIATE when the SA is made, IKE_FOLLOWUP_KE when it or a child is rekeyed.
 */
#include "sim/basic.h"

#include <stdio.h>
#include <string.h>

#define BASE      "aes128gcm16-prfsha256-curve25519"
#define IKE(text) "ike = { \"" text "\" }"
static const struct world_side plain = { "", IKE(BASE), "" };
static const struct world_side one = { "", IKE(BASE "-ke1_ecp384"), "" };
static const struct world_side two = { "", IKE(BASE "-ke1_ecp384-ke2_ecp256"), "" };
static const struct world_side six = {
    "", IKE(BASE "-ke1_ecp384-ke2_ecp256-ke3_ecp521-ke4_modp2048-ke5_modp3072-ke7_modp4096"), ""
};

/* ---- IKE_INTERMEDIATE -------------------------------------------------------------------------- */

static void see_ke(void *ctx, const struct sl_ike_sa_info *i)
{
    (void)ctx;
    ck_assert_str_eq(i->ke_text, "curve25519 with ecp384");
}

START_TEST(handshake_with_one_more_key_exchange)
{
    begin(&one, &one);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_INTERMEDIATE 1 -->",
           "<-- IKE_INTERMEDIATE 1 response", "IKE_AUTH 2 -->", "<-- IKE_AUTH 2 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    sl_ike_list(w.b.ike, see_ke, NULL, NULL);
    world_clear(&w);
}
END_TEST

START_TEST(handshake_with_more_key_exchanges_does_them_in_their_order)
{
    begin(&two, &two);
    world_up(&w);
    ck_assert(world_connected(&w));
    world_clear(&w);
    begin(&six, &six);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 2000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_uint_eq(world_count(&w, "IKE_INTERMEDIATE 6 -->"), 1);
    ck_assert_uint_eq(world_count(&w, "IKE_AUTH 7 -->"), 1);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(handshake_by_psk_covers_the_intermediate_exchanges)
{
    world_init(&w, 2, NULL, &two, &two, true, NULL);
    world_up(&w);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

/* Every message of the handshake is lost once: the n-th datagram, for each n. */
static unsigned lose_nth, seen_n;
static bool lose(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    (void)d;
    return ++seen_n != lose_nth;
}

START_TEST(handshake_when_any_one_message_is_lost_repeats_it)
{
    for (lose_nth = 1; lose_nth <= 8; lose_nth++) {
        begin(&two, &two);
        seen_n = 0;
        w.spoil = lose;
        const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 20000);
        ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
        ck_assert(world_connected(&w));
        world_clear(&w);
    }
}
END_TEST

START_TEST(handshake_in_fragments_covers_them_as_if_whole)
{
    const struct world_side small = {
        "", "fragment_size = 576\n " IKE(BASE "-ke1_modp4096-ke2_modp3072"), ""
    };
    const struct world_side whole = {
        "", "fragmentation = no\n " IKE(BASE "-ke1_modp4096-ke2_modp3072"), ""
    };
    begin(&small, &small);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 2000);
    ck_assert_uint_eq(world_count(&w, "IKE_INTERMEDIATE 1 -->"), 2);
    ck_assert_uint_eq(world_count(&w, "<-- IKE_INTERMEDIATE 1 response"), 2);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    world_clear(&w);
    begin(&small, &whole);
    world_up(&w);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(handshake_under_weather_ends_well)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct sim_weather storm = { .delay_min_ns = SL_NS_PER_MS,
                                           .delay_max_ns = 400 * SL_NS_PER_MS,
                                           .loss = 100,
                                           .duplicate = 100 };
        world_init(&w, seed, &storm, &two, &two, false, NULL);
        const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 120000);
        ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
        ck_assert(world_connected(&w));
        world_clear(&w);
    }
}
END_TEST

START_TEST(handshake_with_a_peer_without_more_key_exchanges_is_refused_or_goes_without)
{
    const struct world_side may = { "", IKE(BASE "-ke1_ecp384-ke1_none"), "" };
    const struct world_side either = { "", "ike = { \"" BASE "-ke1_ecp384\", \"" BASE "\" }", "" };
    begin(&one, &plain);
    uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 10000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_NO_PROPOSAL);
    ck_assert_int_eq(w.b.last_story_rc, SL_IKE_NO_PROPOSAL);
    world_clear(&w);
    const struct world_side *const other[] = { &may, &either };
    for (size_t i = 0; i < 2; i++) {
        begin(other[i], &plain);
        id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 500);
        ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->",
               "<-- IKE_AUTH 1 response");
        ck_assert(world_connected(&w));
        world_clear(&w);
        begin(&plain, other[i]);
        world_up(&w);
        ck_assert(world_connected(&w));
        world_clear(&w);
    }
}
END_TEST

START_TEST(handshake_with_another_first_group_begins_again_with_it)
{
    const struct world_side both = {
        "", "ike = { \"aes128gcm16-prfsha256-ecp256-ke1_ecp384\", \"" BASE "-ke1_ecp384\" }", ""
    };
    begin(&both, &one);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_SA_INIT 0 -->",
           "<-- IKE_SA_INIT 0 response", "IKE_INTERMEDIATE 1 -->",
           "<-- IKE_INTERMEDIATE 1 response", "IKE_AUTH 2 -->", "<-- IKE_AUTH 2 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

/* ---- IKE_FOLLOWUP_KE --------------------------------------------------------------------------- */

#define ESP(text) "esp = { \"" text "\" }"
static const struct world_side more1 = { "", IKE(BASE "-ke1_ecp384"),
                                         ESP("aes128gcm16-curve25519-ke1_ecp384") };
static const struct world_side more3 = {
    "", IKE(BASE "-ke1_ecp384-ke2_ecp256-ke5_ecp521"),
    ESP("aes128gcm16-curve25519-ke2_ecp384-ke3_ecp256-ke4_ecp521")
};

static void connected(uint64_t seed)
{
    const char *differs = sim_agree(&w.a, &w.b);
    ck_assert_msg(world_connected(&w), "seed %d: %s", (int)seed,
                  differs ? differs : "not one IKE SA and one child");
}

START_TEST(child_rekey_with_more_key_exchanges_loses_no_packet)
{
    begin(&more1, &more1);
    world_up(&w);
    begin_traffic();
    world_run(&w, 100);
    const uint64_t id = sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 1000);
    ARROWS("CREATE_CHILD_SA 3 -->", "<-- CREATE_CHILD_SA 3 response", "IKE_FOLLOWUP_KE 4 -->",
           "<-- IKE_FOLLOWUP_KE 4 response", "INFORMATIONAL 5 -->", "<-- INFORMATIONAL 5 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    no_packet_lost();
    connected(0);
    world_clear(&w);

    begin(&more3, &more3);
    world_up(&w);
    begin_traffic();
    world_run(&w, 100);
    (void)sim_gw_rekey(&w.b, "ab", NULL, false);
    world_run(&w, 2000);
    ARROWS("<-- CREATE_CHILD_SA 0", "CREATE_CHILD_SA 0 response -->", "<-- IKE_FOLLOWUP_KE 1",
           "IKE_FOLLOWUP_KE 1 response -->", "<-- IKE_FOLLOWUP_KE 2",
           "IKE_FOLLOWUP_KE 2 response -->", "<-- IKE_FOLLOWUP_KE 3",
           "IKE_FOLLOWUP_KE 3 response -->", "<-- INFORMATIONAL 4", "INFORMATIONAL 4 response -->");
    no_packet_lost();
    connected(0);
    world_clear(&w);
}
END_TEST

START_TEST(ike_rekey_with_more_key_exchanges_moves_the_children)
{
    begin(&more3, &more3);
    world_up(&w);
    begin_traffic();
    const uint64_t id = sim_gw_rekey(&w.a, "ab", NULL, true);
    world_run(&w, 1000);
    ARROWS("CREATE_CHILD_SA 5 -->", "<-- CREATE_CHILD_SA 5 response", "IKE_FOLLOWUP_KE 6 -->",
           "<-- IKE_FOLLOWUP_KE 6 response", "IKE_FOLLOWUP_KE 7 -->",
           "<-- IKE_FOLLOWUP_KE 7 response", "IKE_FOLLOWUP_KE 8 -->",
           "<-- IKE_FOLLOWUP_KE 8 response", "INFORMATIONAL 9 -->", "<-- INFORMATIONAL 9 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    no_packet_lost();
    connected(0);
    world_forget_arrows(&w);
    (void)sim_gw_rekey(&w.b, "ab", NULL, true);
    (void)sim_gw_rekey(&w.b, "ab", NULL, false);
    world_run(&w, 10000);
    ck_assert_uint_eq(world_count(&w, "<-- IKE_FOLLOWUP_KE 3"), 2);
    connected(0);
    world_clear(&w);
}
END_TEST

START_TEST(rekey_when_any_one_message_is_lost_repeats_it)
{
    for (int ike = 0; ike < 2; ike++)
        for (lose_nth = 1; lose_nth <= 10; lose_nth++) {
            begin(&more3, &more3);
            world_up(&w);
            begin_traffic();
            seen_n = 0;
            w.spoil = lose;
            const uint64_t id = sim_gw_rekey(&w.a, "ab", NULL, ike);
            world_run(&w, 30000);
            ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
            no_packet_lost();
            connected(lose_nth);
            world_clear(&w);
        }
}
END_TEST

START_TEST(rekeys_by_both_at_once_keep_one_and_lose_no_packet)
{
    for (int ike = 0; ike < 2; ike++)
        for (uint64_t seed = 1; seed <= 16; seed++) {
            world_init(&w, seed, NULL, &more3, &more3, false, NULL);
            world_up(&w);
            begin_traffic();
            world_run(&w, 50);
            (void)sim_gw_rekey(&w.a, "ab", NULL, ike);
            world_run(&w, (int64_t)(seed % 4));
            (void)sim_gw_rekey(&w.b, "ab", NULL, ike);
            /* one series may be held up behind the other */
            w.drop_from_a = seed % 3 == 1 ? 2 : 0;
            w.drop_from_b = seed % 3 == 2 ? 3 : 0;
            world_run(&w, 30000);
            no_packet_lost();
            world_run(&w, 120000);
            connected(seed);
            world_clear(&w);
        }
}
END_TEST

START_TEST(rekeys_of_both_kinds_at_once_end_well)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        world_init(&w, seed, NULL, &more3, &more3, false, NULL);
        world_up(&w);
        (void)sim_gw_rekey(&w.a, "ab", NULL, true);
        world_run(&w, (int64_t)(seed * 2));
        (void)sim_gw_rekey(&w.b, "ab", NULL, false);
        world_run(&w, 120000);
        connected(seed);
        world_clear(&w);
    }
}
END_TEST

START_TEST(rekey_under_weather_ends_well)
{
    const struct sim_weather storm = { .delay_min_ns = SL_NS_PER_MS,
                                       .delay_max_ns = 400 * SL_NS_PER_MS,
                                       .loss = 100,
                                       .duplicate = 100 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world_init(&w, seed, NULL, &more3, &more3, false, NULL);
        world_up(&w);
        w.net.weather = storm;
        (void)sim_gw_rekey(&w.a, "ab", NULL, seed % 2);
        (void)sim_gw_rekey(&w.b, "ab", NULL, seed % 3 == 0);
        world_run(&w, 300000);
        w.net.weather = sim_fair;
        world_run(&w, 300000);
        connected(seed);
        world_clear(&w);
    }
}
END_TEST

START_TEST(rekey_with_another_first_group_begins_again_with_it)
{
    const struct world_side both = { "", IKE(BASE),
                                     "esp = { \"aes128gcm16-ecp256-ke1_ecp384\", "
                                     "\"aes128gcm16-curve25519-ke1_ecp384\" }" };
    const struct world_side only = { "", IKE(BASE), ESP("aes128gcm16-curve25519-ke1_ecp384") };
    begin(&both, &only);
    world_up(&w);
    (void)sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 1000);
    ARROWS("CREATE_CHILD_SA 2 -->", "<-- CREATE_CHILD_SA 2 response", "CREATE_CHILD_SA 3 -->",
           "<-- CREATE_CHILD_SA 3 response", "IKE_FOLLOWUP_KE 4 -->",
           "<-- IKE_FOLLOWUP_KE 4 response", "INFORMATIONAL 5 -->", "<-- INFORMATIONAL 5 response");
    world_run(&w, 10000);
    connected(0);
    world_clear(&w);
}
END_TEST

START_TEST(rekey_in_fragments_ends_well)
{
    const struct world_side small = { "", "fragment_size = 576\n " IKE(BASE "-ke1_modp4096"),
                                      ESP("aes128gcm16-curve25519-ke1_modp4096-ke2_modp3072") };
    begin(&small, &small);
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 2000);
    world_forget_arrows(&w);
    (void)sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 10000);
    ck_assert_uint_eq(world_count(&w, "IKE_FOLLOWUP_KE 4 -->"), 2);
    (void)sim_gw_rekey(&w.b, "ab", NULL, true);
    world_run(&w, 10000);
    ck_assert_uint_eq(world_count(&w, "<-- IKE_FOLLOWUP_KE 1"), 2);
    connected(0);
    world_clear(&w);
}
END_TEST

START_TEST(child_rekey_where_the_peer_has_no_more_key_exchanges_is_refused_or_goes_without)
{
    const struct world_side bare = { "", "", ESP("aes128gcm16-curve25519") };
    const struct world_side must = { "", "", ESP("aes128gcm16-curve25519-ke1_ecp384") };
    const struct world_side may = { "", "", ESP("aes128gcm16-curve25519-ke1_ecp384-ke1_none") };
    begin(&must, &bare);
    world_up(&w);
    uint64_t id = sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 1000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_IKE_NO_PROPOSAL);
    connected(0); /* by the old one */
    world_clear(&w);
    begin(&may, &bare);
    world_up(&w);
    id = sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 10000);
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert_uint_eq(world_count(&w, "IKE_FOLLOWUP_KE 3 -->"), 0);
    connected(0);
    world_clear(&w);
}
END_TEST

/* No IKE_FOLLOWUP_KE of a's reaches b, until that has given the negotiation up. */
static bool no_followup(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    return d->data.len < 28 || d->data.p[18] != 44;
}

START_TEST(series_that_the_peer_has_given_up_is_begun_anew)
{
    const struct world_side patient = { "", "retransmit = 60s\n " IKE(BASE),
                                        ESP("aes128gcm16-curve25519-ke1_ecp384") };
    begin(&patient, &patient);
    world_up(&w);
    w.spoil = no_followup;
    (void)sim_gw_rekey(&w.a, "ab", NULL, false);
    world_run(&w, 60003);
    w.spoil = NULL;
    world_run(&w, 120000);
    ck_assert_uint_eq(world_count(&w, "IKE_FOLLOWUP_KE 3 -->"), 2); /* STATE_NOT_FOUND */
    ck_assert_uint_eq(world_count(&w, "IKE_FOLLOWUP_KE 5 -->"), 1);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_REKEYED], 1);
    connected(0);
    world_clear(&w);
}
END_TEST

SL_TESTS_TIMEOUT(
    sim_ike_multi_ke, 120, SL_CASE(handshake_with_one_more_key_exchange),
    SL_CASE(handshake_with_more_key_exchanges_does_them_in_their_order),
    SL_CASE(handshake_by_psk_covers_the_intermediate_exchanges),
    SL_CASE(handshake_when_any_one_message_is_lost_repeats_it),
    SL_CASE(handshake_in_fragments_covers_them_as_if_whole),
    SL_CASE(handshake_under_weather_ends_well),
    SL_CASE(handshake_with_a_peer_without_more_key_exchanges_is_refused_or_goes_without),
    SL_CASE(handshake_with_another_first_group_begins_again_with_it),
    SL_CASE(child_rekey_with_more_key_exchanges_loses_no_packet),
    SL_CASE(ike_rekey_with_more_key_exchanges_moves_the_children),
    SL_CASE(rekey_when_any_one_message_is_lost_repeats_it),
    SL_CASE(rekeys_by_both_at_once_keep_one_and_lose_no_packet),
    SL_CASE(rekeys_of_both_kinds_at_once_end_well), SL_CASE(rekey_under_weather_ends_well),
    SL_CASE(rekey_with_another_first_group_begins_again_with_it),
    SL_CASE(rekey_in_fragments_ends_well),
    SL_CASE(child_rekey_where_the_peer_has_no_more_key_exchanges_is_refused_or_goes_without),
    SL_CASE(series_that_the_peer_has_given_up_is_begun_anew))
