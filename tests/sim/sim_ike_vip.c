/*
 * Addresses for use inside the tunnel (RFC 7296 2.19): a is the client, b the server, whose decision
 * takes addresses from the pools of its configuration, as the identity process does.
 */
#include "sealane/pool.h"
#include "sim/basic.h"

#include <stdio.h>
#include <string.h>

static struct sl_pools *pools;
static bool forge; /* the decision gives an address that is not of the pools */
static struct sl_addr forged;

static const char both_pools[] =
    "pool four {\n  addresses = { \"10.9.0.1-10.9.0.2\" }\n"
    "  lease = 1s\n  dns = { \"10.0.2.53\" }\n  split_dns = { corp.example }\n}\n"
    "pool six {\n  addresses = { \"2001:db8:9::/64\" }\n}\n";
static const struct world_ts client = { "dynamic", "10.0.2.0/24\", \"2001:db8:2::/64", NULL };
static const struct world_ts server = { "10.0.2.0/24\", \"2001:db8:2::/64", "dynamic", both_pools };
static const struct world_side asks4 = { "", "virtual_ip = { \"0.0.0.0\" }", "" };
static const struct world_side asks_both = { "", "virtual_ip = { \"0.0.0.0\", \"::\" }", "" };
static const struct world_side asks_none = { "", "", "" };
static const struct world_side gives = { "", "pools = { four, six }", "" };
static const struct world_side gives_none = { "", "", "" };

static int64_t now_s(void)
{
    return w.sim.now_ns / SL_NS_PER_S + 1;
}

static void decide(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask)
{
    struct sl_verdict v;
    struct sl_err err = { 0 };
    sim_decide(gw, ask, &v);
    const struct sl_pool_ask take = { .connection = &gw->config->connection[0],
                                      .id = &ask->id,
                                      .sa = ask->sa,
                                      .wish = { ask->wish[0], ask->wish[1] },
                                      .now_s = now_s() };
    if (v.rc == SL_OK && (ask->wish[0].family || ask->wish[1].family))
        v.grant.vip_rc = sl_pools_take(pools, &take, &v.grant.vip, &err);
    if (forge)
        v.grant.vip.addr[forged.family == 6] = forged;
    sim_gw_answer_decision(gw, 0, id, &v);
}

/* As the identity process follows the events of ike. */
static void told(struct sim_gw *gw, const struct sl_ike_action *a)
{
    (void)gw;
    unsigned long long old;
    if (a->type != SL_IKE_EVENT)
        return;
    if (a->event == SL_IKE_EV_IKE_DOWN || a->event == SL_IKE_EV_IKE_FAILED)
        sl_pools_end(pools, a->ike_sa, now_s());
    if (a->event == SL_IKE_EV_IKE_REKEYED && sscanf(a->text, "replaces IKE SA %llu", &old) == 1)
        sl_pools_move(pools, old, a->ike_sa);
}

static void begin_with(const struct world_ts *ts_a, const struct world_ts *ts_b,
                       const struct world_side *a, const struct world_side *b)
{
    struct sl_err err = { 0 };
    world_ts_a = ts_a;
    world_ts_b = ts_b;
    world_init(&w, 1, NULL, a, b, true, NULL);
    ck_assert_int_eq(sl_pools_new(&pools, w.b.config, NULL, NULL, &err), SL_OK);
    w.b.oracle.decide = decide;
    w.b.oracle.told = told;
    forge = false;
}

static void end(void)
{
    world_clear(&w);
    sl_pools_free(pools);
    world_ts_a = world_ts_b = NULL;
}

static enum sl_rc up(void)
{
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 2000);
    const struct sim_done *d = sim_gw_done(&w.a, id);
    ck_assert_ptr_nonnull(d);
    return d->rc;
}

static void down(void)
{
    (void)sim_gw_down(&w.a, "ab", NULL);
    world_run(&w, 5000);
}

struct shown {
    struct sl_virtual vip;
    bool there, ours;
};
static void see(void *ctx, const struct sl_ike_sa_info *i)
{
    struct shown *s = ctx;
    if (i->vip) {
        s->vip = *i->vip;
        s->there = true;
        s->ours = i->vip_ours;
    }
}

static struct shown shown(const struct sim_gw *gw)
{
    struct shown s = { 0 };
    sl_ike_list(gw->ike, see, NULL, &s);
    return s;
}

#define ck_addr(a, want)                                    \
    do {                                                    \
        char text_[SL_ADDR_TEXT];                           \
        ck_assert_str_eq(sl_addr_text(text_, (a)), (want)); \
    } while (0)
static void ck_one_ts(const struct sl_ts *ts, size_t n, const char *want)
{
    char text[SL_TS_TEXT];
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(sl_ts_text(text, ts), want);
}

START_TEST(client_gets_an_address_and_its_child_is_of_that_address)
{
    begin_with(&client, &server, &asks4, &gives);
    ck_assert_int_eq(up(), SL_OK);
    ck_assert(world_connected(&w));
    const struct shown a = shown(&w.a), b = shown(&w.b);
    ck_assert(a.there && a.ours && b.there && !b.ours);
    ck_addr(&a.vip.addr[0], "10.9.0.1");
    ck_assert_uint_eq(a.vip.addr[1].family, 0);
    ck_addr(&a.vip.dns[0], "10.0.2.53");
    ck_assert_str_eq(a.vip.split_dns, "corp.example");
    ck_one_ts(w.a.sas->child.ts_local, w.a.sas->child.ts_local_n, "10.9.0.1/32");
    ck_one_ts(w.b.sas->child.ts_remote, w.b.sas->child.ts_remote_n, "10.9.0.1/32");
    ck_addr(&w.a.sas->child.vip[0], "10.9.0.1"); /* for the TUN device */
    ck_assert_uint_eq(w.b.sas->child.vip[0].family, 0);
    end();
}
END_TEST

START_TEST(client_gets_both_families)
{
    begin_with(&client, &server, &asks_both, &gives);
    ck_assert_int_eq(up(), SL_OK);
    AGREED();
    const struct shown a = shown(&w.a);
    ck_addr(&a.vip.addr[0], "10.9.0.1");
    ck_addr(&a.vip.addr[1], "2001:db8:9::1");
    ck_assert_uint_eq(w.a.sas->child.ts_local_n, 2);
    end();
}
END_TEST

START_TEST(client_that_comes_again_gets_the_same_address)
{
    begin_with(&client, &server, &asks4, &gives);
    ck_assert_int_eq(up(), SL_OK);
    down();
    ck_assert_uint_eq(sim_gw_view(&w.b).ike_up, 0);
    /* Another takes the next one meanwhile. */
    struct sl_err err = { 0 };
    struct sl_id other;
    struct sl_virtual v;
    ck_assert_int_eq(sl_id_parse(&other, "dns:other.example", &err), SL_OK);
    const struct sl_pool_ask take = { .connection = &w.b.config->connection[0],
                                      .id = &other,
                                      .sa = 1000,
                                      .wish = { { .family = 4 } },
                                      .now_s = now_s() };
    ck_assert_int_eq(sl_pools_take(pools, &take, &v, &err), SL_OK);
    ck_addr(&v.addr[0], "10.9.0.2");
    ck_assert_int_eq(up(), SL_OK);
    ck_addr(&shown(&w.a).vip.addr[0], "10.9.0.1");
    end();
}
END_TEST

START_TEST(rekeys_of_either_side_keep_the_address)
{
    begin_with(&client, &server, &asks_both, &gives);
    ck_assert_int_eq(up(), SL_OK);
    for (unsigned i = 0; i < 4; i++) {
        (void)sim_gw_rekey(i & 1 ? &w.b : &w.a, "ab", NULL, true);
        world_run(&w, 2000);
        (void)sim_gw_rekey(i & 1 ? &w.b : &w.a, "ab", NULL, false);
        world_run(&w, 8000);
        AGREED();
        const struct shown a = shown(&w.a), b = shown(&w.b);
        ck_addr(&a.vip.addr[0], "10.9.0.1");
        ck_assert(a.ours && b.there && !b.ours);
        ck_addr(&w.a.sas->child.vip[0], "10.9.0.1");
        ck_addr(&w.a.sas->child.vip[1], "2001:db8:9::1");
    }
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_REKEYED], 4);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_CHILD_REKEYED], 4);
    down();
    end();
}
END_TEST

/* Others have both addresses of the pool. */
static void fill_pool(void)
{
    struct sl_err err = { 0 };
    for (unsigned i = 0; i < 2; i++) {
        struct sl_id id;
        struct sl_virtual v;
        ck_assert_int_eq(sl_id_parse(&id, i ? "dns:x" : "dns:y", &err), SL_OK);
        const struct sl_pool_ask take = { .connection = &w.b.config->connection[0],
                                          .id = &id,
                                          .sa = 1000 + i,
                                          .wish = { { .family = 4 } },
                                          .now_s = now_s() };
        ck_assert_int_eq(sl_pools_take(pools, &take, &v, &err), SL_OK);
    }
}

START_TEST(exhausted_pool_makes_no_child_and_the_client_gives_up_the_ike_sa)
{
    begin_with(&client, &server, &asks4, &gives);
    fill_pool();
    ck_assert_int_eq(up(), SL_ADDRESS_NONE);
    /* On the server the IKE SA came up, without a child; the client then deleted it. */
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_UP], 1);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_UP], 0);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 1);
    ck_assert_int_eq(w.a.last_rc, SL_ADDRESS_NONE);
    ck_assert_ptr_nonnull(strstr(w.a.last_text, "INTERNAL_ADDRESS_FAILURE"));
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 0);
    ck_assert_uint_eq(sim_gw_view(&w.b).ike_up, 0);
    ck_assert(!w.a.sas && !w.b.sas);
    end();
}
END_TEST

START_TEST(kept_child_comes_up_once_an_address_is_free)
{
    const struct world_side keeps = { "", "virtual_ip = { 4 }", "start = yes" };
    begin_with(&client, &server, &keeps, &gives);
    fill_pool();
    world_run(&w, 20000);
    ck_assert(!w.a.sas);
    sl_pools_end(pools, 1001, now_s());
    world_run(&w, 120000);
    ck_assert(world_connected(&w));
    ck_addr(&shown(&w.a).vip.addr[0], "10.9.0.2");
    end();
}
END_TEST

START_TEST(client_that_does_not_ask_where_it_must_gets_no_child)
{
    begin_with(&client, &server, &asks_none, &gives);
    ck_assert_int_eq(up(), SL_ADDRESS_REQUIRED);
    ck_assert_ptr_nonnull(strstr(w.a.last_text, "FAILED_CP_REQUIRED"));
    ck_assert_uint_eq(sim_gw_view(&w.b).ike_up, 1);
    ck_assert(!w.a.sas && !w.b.sas);
    end();
}
END_TEST

START_TEST(dynamic_without_virtual_addresses_is_the_outer_address)
{
    const struct world_ts plain = { "dynamic", "dynamic", NULL };
    begin_with(&plain, &plain, &asks_none, &gives_none);
    ck_assert_int_eq(up(), SL_OK);
    AGREED();
    ck_one_ts(w.a.sas->child.ts_local, w.a.sas->child.ts_local_n, "192.0.2.1/32");
    ck_one_ts(w.a.sas->child.ts_remote, w.a.sas->child.ts_remote_n, "192.0.2.2/32");
    ck_assert(!shown(&w.a).there);
    end();
}
END_TEST

START_TEST(client_refuses_an_address_of_a_family_it_did_not_ask_for)
{
    begin_with(&client, &server, &asks4, &gives);
    forge = true;
    ck_assert(sl_addr_parse(&forged, "2001:db8:9::99"));
    ck_assert_int_eq(up(), SL_ADDRESS_UNEXPECTED);
    ck_assert(!shown(&w.a).there);
    world_run(&w, 10000);
    ck_assert(!w.a.sas && !w.b.sas);
    end();
}
END_TEST

START_TEST(client_refuses_an_address_that_no_host_has)
{
    static const char *const bad[] = { "127.0.0.1", "224.0.0.1", "255.255.255.255" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        begin_with(&client, &server, &asks4, &gives);
        forge = true;
        ck_assert(sl_addr_parse(&forged, bad[i]));
        ck_assert_int_eq(up(), SL_ADDRESS_UNEXPECTED);
        ck_assert(!shown(&w.a).there && !w.a.sas);
        end();
    }
}
END_TEST

START_TEST(client_refuses_an_address_though_it_asked_for_none)
{
    const struct world_ts nets = { "10.0.1.0/24", "10.0.2.0/24", NULL };
    const struct world_ts nets_b = { "10.0.2.0/24", "10.0.1.0/24", both_pools };
    begin_with(&nets, &nets_b, &asks_none, &gives);
    forge = true;
    ck_assert(sl_addr_parse(&forged, "10.9.0.1"));
    ck_assert_int_eq(up(), SL_ADDRESS_UNEXPECTED);
    end();
}
END_TEST

START_TEST(second_child_after_the_first_is_of_the_address_too)
{
    const struct world_side two_a = {
        "",
        "virtual_ip = { \"4\" }\n  child other {\n    local_ts = { dynamic }\n"
        "    remote_ts = { \"10.0.3.0/24\" }\n  }",
        ""
    };
    const struct world_side two_b = {
        "",
        "pools = { four }\n  child other {\n    local_ts = { \"10.0.3.0/24\" }\n"
        "    remote_ts = { dynamic }\n  }",
        ""
    };
    begin_with(&client, &server, &two_a, &two_b);
    ck_assert_int_eq(up(), SL_OK);
    AGREED();
    unsigned n = 0;
    for (const struct sim_sa *sa = w.a.sas; sa; sa = sa->next, n++)
        ck_one_ts(sa->child.ts_local, sa->child.ts_local_n, "10.9.0.1/32");
    ck_assert_uint_eq(n, 2);
    end();
}
END_TEST

SL_TESTS(ike_vip, SL_CASE(client_gets_an_address_and_its_child_is_of_that_address),
         SL_CASE(client_gets_both_families), SL_CASE(client_that_comes_again_gets_the_same_address),
         SL_CASE(rekeys_of_either_side_keep_the_address),
         SL_CASE(exhausted_pool_makes_no_child_and_the_client_gives_up_the_ike_sa),
         SL_CASE(kept_child_comes_up_once_an_address_is_free),
         SL_CASE(client_that_does_not_ask_where_it_must_gets_no_child),
         SL_CASE(dynamic_without_virtual_addresses_is_the_outer_address),
         SL_CASE(client_refuses_an_address_of_a_family_it_did_not_ask_for),
         SL_CASE(client_refuses_an_address_that_no_host_has),
         SL_CASE(client_refuses_an_address_though_it_asked_for_none),
         SL_CASE(second_child_after_the_first_is_of_the_address_too))
