/*
 * Multiple key exchanges (RFC 9370) between two gateways, with classical groups as the additional
 * ones: IKE_INTERMEDIATE when the SA is made, IKE_FOLLOWUP_KE when it or a child is rekeyed.
 */
#include "sim/world.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static struct world w;

#define BASE      "aes128gcm16-prfsha256-curve25519"
#define IKE(text) "ike = { \"" text "\" }"
static const struct world_side plain = { "", IKE(BASE), "" };
static const struct world_side one = { "", IKE(BASE "-ke1_ecp384"), "" };
static const struct world_side two = { "", IKE(BASE "-ke1_ecp384-ke2_ecp256"), "" };
static const struct world_side six = {
    "", IKE(BASE "-ke1_ecp384-ke2_ecp256-ke3_ecp521-ke4_modp2048-ke5_modp3072-ke7_modp4096"), ""
};

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

/* ---- IKE_INTERMEDIATE -------------------------------------------------------------------------- */

START_TEST(handshake_with_one_more_key_exchange)
{
    begin(&one, &one);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 500);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_INTERMEDIATE 1 -->",
           "<-- IKE_INTERMEDIATE 1 response", "IKE_AUTH 2 -->", "<-- IKE_AUTH 2 response");
    ck_assert_int_eq(result(&w.a, id)->rc, SL_OK);
    ck_assert(world_connected(&w));
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

SL_TESTS(sim_ike_multi_ke, SL_CASE(handshake_with_one_more_key_exchange),
         SL_CASE(handshake_with_more_key_exchanges_does_them_in_their_order),
         SL_CASE(handshake_by_psk_covers_the_intermediate_exchanges),
         SL_CASE(handshake_when_any_one_message_is_lost_repeats_it),
         SL_CASE(handshake_in_fragments_covers_them_as_if_whole),
         SL_CASE(handshake_under_weather_ends_well),
         SL_CASE(handshake_with_a_peer_without_more_key_exchanges_is_refused_or_goes_without),
         SL_CASE(handshake_with_another_first_group_begins_again_with_it))
