/*
 * A changed configuration while SAs are up: which of them stay, which end and which are begun anew.
 * The configuration before is freed at once, so that whatever still borrowed from it would be found.
 */
#include "sim/world.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static const struct world_side plain = { "", "", "" }, start = { "", "", "start = yes" };

/* Configuration of gateway a: lines for its connection and its child, and whole sections more. */
static void reconfigure(const char *connection, const char *child, const char *more)
{
    char text[4096];
    struct sl_config *fresh = NULL;
    struct sl_err err = { 0 };
    snprintf(text, sizeof(text),
             "psk psk {\n  file = \"/none\"\n}\n"
             "connection ab {\n  local = " WORLD_A "\n  remote = " WORLD_B "\n"
             "  auth = psk\n  psk = psk\n"
             "  id_local = \"dns:a.example\"\n  id_remote = \"dns:b.example\"\n  %s\n%s}\n%s",
             connection, child, more);
    ck_ok(sl_config_parse(&fresh, sl_str(text), "fresh", NULL, &err), &err);
    ck_ok(sl_ike_config(w.a.ike, fresh, &err), &err);
    sl_config_free(w.a.config);
    w.a.config = fresh;
    sim_gw_pump(&w.a);
}

#define NET(lines)                                                                             \
    "  child net {\n    local_ts = { \"10.0.1.0/24\" }\n    remote_ts = { \"10.0.2.0/24\" }\n" \
    "    " lines "\n  }\n"
#define OTHER                                                                                \
    "connection other {\n  local = " WORLD_A "\n  remote = 192.0.2.9\n  auth = psk\n"        \
    "  psk = psk\n  id_local = \"dns:a.example\"\n  child n {\n    local_ts = 10.0.1.0/24\n" \
    "    remote_ts = 10.0.9.0/24\n  }\n}\n"

static void begin(const struct world_side *a)
{
    world_init(&w, 7, NULL, a, &plain, true, NULL);
    world_up(&w);
}

START_TEST(what_does_not_touch_an_sa_leaves_it_alone)
{
    begin(&plain);
    const uint32_t spi = w.a.sas->child.spi_in;
    const uint64_t sa = w.a.sas->child.ike_sa;
    reconfigure("", NET(""), "");
    reconfigure("rekey = 2h\n  retransmit = 3s", NET("rekey = 2h\n    replay_window = 128"), OTHER);
    reconfigure("rekey = 2h", NET("rekey = 3h\n    rekey_bytes = 9G"), "");
    world_run(&w, 5000);
    ck_assert_uint_eq(w.arrows, 0);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.sas->child.spi_in, spi);
    ck_assert_uint_eq(w.a.sas->child.ike_sa, sa);
    world_clear(&w);
}
END_TEST

START_TEST(liveness_checks_follow_the_new_interval)
{
    begin(&plain);
    world_run(&w, 10000);
    ck_assert_uint_eq(w.arrows, 0);
    reconfigure("dpd = 3s", NET(""), "");
    world_run(&w, 10000);
    ck_assert_uint_ge(w.arrows, 2);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(other_proposals_begin_the_connection_anew)
{
    begin(&start);
    const uint64_t sa = w.a.sas->child.ike_sa;
    reconfigure("ike = aes256gcm16-prfsha384-ecp384", NET("start = yes"), "");
    world_run(&w, 5000);
    ck_assert(world_connected(&w));
    ck_assert_uint_ne(w.a.sas->child.ike_sa, sa);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 2);
    world_clear(&w);
}
END_TEST

START_TEST(without_start_a_changed_connection_stays_down)
{
    begin(&plain);
    reconfigure("force_encap = yes", NET(""), "");
    world_run(&w, 5000);
    ck_assert(!w.a.sas && !w.b.sas);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 1);
    world_clear(&w);
}
END_TEST

START_TEST(a_changed_child_is_made_anew_under_the_same_ike_sa)
{
    begin(&start);
    const uint32_t spi = w.a.sas->child.spi_in;
    const uint64_t sa = w.a.sas->child.ike_sa;
    reconfigure("", NET("esp = aes256gcm16-curve25519\n    start = yes"), "");
    world_run(&w, 10000);
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.sas->child.ike_sa, sa);
    ck_assert_uint_ne(w.a.sas->child.spi_in, spi);
    ck_assert_uint_eq(w.a.sas->child.suite.key_bits, 256);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 1);
    world_clear(&w);
}
END_TEST

START_TEST(a_child_that_left_ends_and_the_others_stay)
{
    begin(&plain);
    reconfigure("", "  child web {\n    local_ts = 10.0.1.0/24\n    remote_ts = 10.0.3.0/24\n  }\n",
                "");
    ck_assert_uint_eq(world_count(&w, "INFORMATIONAL 2 -->"), 1);
    world_run(&w, 15000); /* what is on its way is still let in for a while */
    ck_assert(!w.a.sas && !w.b.sas);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_DOWN], 0);
    world_clear(&w);
}
END_TEST

START_TEST(many_configurations_one_after_another_keep_the_sa)
{
    begin(&plain);
    const uint32_t spi = w.a.sas->child.spi_in;
    for (unsigned i = 0; i < 200; i++) {
        reconfigure(i % 2 ? "dpd = 40s" : "dpd = 50s", NET(""), i % 3 ? OTHER : "");
        world_run(&w, 10);
    }
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.a.sas->child.spi_in, spi);
    world_clear(&w);
}
END_TEST

SL_TESTS(ike_config, SL_CASE(what_does_not_touch_an_sa_leaves_it_alone),
         SL_CASE(liveness_checks_follow_the_new_interval),
         SL_CASE(other_proposals_begin_the_connection_anew),
         SL_CASE(without_start_a_changed_connection_stays_down),
         SL_CASE(a_changed_child_is_made_anew_under_the_same_ike_sa),
         SL_CASE(a_child_that_left_ends_and_the_others_stay),
         SL_CASE(many_configurations_one_after_another_keep_the_sa))
