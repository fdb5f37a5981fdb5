/* Address pools: what identities get, keep and share; and random use against a naive model. */
#include "sealane/pool.h"

#include "sealane/rng.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

#define HEAD "psk psk {\n  file = \"/none\"\n}\n"
#define CONNECTION(more)                                                        \
    "connection c {\n  auth = psk\n  psk = psk\n  id_local = \"dns:gw\"\n" more \
    "  child x {\n    local_ts = { \"10.0.0.0/8\" }\n    remote_ts = { \"dynamic\" }\n  }\n}\n"

static struct sl_config *config;
static struct sl_pools *pools;
static unsigned told, gone;

static void on_lease(void *ctx, const struct sl_lease *lease, bool is_gone)
{
    (void)ctx;
    ck_assert_ptr_nonnull(lease->pool);
    told += !is_gone;
    gone += is_gone;
}

static void begin(const char *text)
{
    struct sl_err err = { 0 };
    ck_assert_msg(sl_config_parse(&config, sl_str(text), "test", NULL, &err) == SL_OK, "%s",
                  sl_err_text(&err));
    told = gone = 0;
    ck_assert_msg(sl_pools_new(&pools, config, on_lease, NULL, &err) == SL_OK, "%s",
                  sl_err_text(&err));
}

static void end(void)
{
    sl_pools_free(pools);
    sl_config_free(config);
}

static struct sl_id id_of(const char *text)
{
    struct sl_id id;
    struct sl_err err = { 0 };
    ck_assert_int_eq(sl_id_parse(&id, text, &err), SL_OK);
    return id;
}

static enum sl_rc take_both(const char *who, uint64_t sa, bool v4, bool v6, const char *wish,
                            int64_t now, struct sl_virtual *v)
{
    struct sl_err err = { 0 };
    const struct sl_id id = id_of(who);
    struct sl_pool_ask ask = { .connection = &config->connection[0],
                               .rule = config->rule_n ? &config->rule[0] : NULL,
                               .id = &id,
                               .sa = sa,
                               .now_s = now };
    ask.wish[0].family = v4 ? 4 : 0;
    ask.wish[1].family = v6 ? 6 : 0;
    if (wish)
        ck_assert(sl_addr_parse(&ask.wish[strchr(wish, ':') != NULL], wish));
    return sl_pools_take(pools, &ask, v, &err);
}

/* The IPv4 address it gets, "" when none. */
static const char *take(const char *who, uint64_t sa, int64_t now)
{
    static char text[4][SL_ADDR_TEXT];
    static unsigned turn;
    struct sl_virtual v;
    char *out = text[turn++ % 4];
    if (take_both(who, sa, true, false, NULL, now, &v) != SL_OK)
        return "";
    return sl_addr_text(out, &v.addr[0]);
}

START_TEST(take_gives_the_pools_addresses_without_network_and_broadcast)
{
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.0/30\", \"10.9.1.7-10.9.1.8\" }\n}\n" CONNECTION(
        "  pools = { p }\n"));
    ck_assert_str_eq(take("dns:a", 1, 1), "10.9.0.1");
    ck_assert_str_eq(take("dns:b", 2, 1), "10.9.0.2");
    ck_assert_str_eq(take("dns:c", 3, 1), "10.9.1.7");
    ck_assert_str_eq(take("dns:d", 4, 1), "10.9.1.8");
    ck_assert_str_eq(take("dns:e", 5, 1), "");
    ck_assert_uint_eq(told, 4);
    end();
}
END_TEST

START_TEST(take_again_within_the_lease_gives_the_same_address)
{
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.1-10.9.0.2\" }\n  lease = 100s\n}\n" CONNECTION(
        "  pools = { p }\n"));
    ck_assert_str_eq(take("dns:a", 1, 1000), "10.9.0.1");
    ck_assert_str_eq(take("dns:b", 2, 1000), "10.9.0.2");
    sl_pools_end(pools, 1, 1010);
    ck_assert_str_eq(take("dns:c", 3, 1109), ""); /* still kept for a */
    ck_assert_str_eq(take("dns:A", 4, 1109), "10.9.0.1");
    sl_pools_end(pools, 4, 1200);
    ck_assert_str_eq(take("dns:c", 5, 1300), "10.9.0.1"); /* no longer */
    ck_assert_str_eq(take("dns:a", 6, 1300), "");
    end();
}
END_TEST

START_TEST(take_by_two_sas_of_an_identity_shares_the_address_until_both_end)
{
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.1-10.9.0.1\" }\n  lease = 0s\n}\n" CONNECTION(
        "  pools = { p }\n"));
    ck_assert_str_eq(take("dns:a", 1, 10), "10.9.0.1");
    ck_assert_str_eq(take("dns:a", 2, 10), "10.9.0.1");
    sl_pools_end(pools, 1, 20);
    ck_assert_str_eq(take("dns:b", 3, 30), "");
    sl_pools_move(pools, 2, 7); /* a rekey */
    sl_pools_end(pools, 2, 40);
    ck_assert_str_eq(take("dns:b", 4, 50), "");
    sl_pools_end(pools, 7, 60);
    ck_assert_str_eq(take("dns:b", 5, 70), "10.9.0.1");
    end();
}
END_TEST

START_TEST(take_of_both_families_with_servers_and_domains)
{
    struct sl_virtual v;
    char text[SL_ADDR_TEXT];
    begin(HEAD "pool four {\n  addresses = { \"10.9.0.0/24\" }\n  dns = { \"10.0.0.53\" }\n"
               "  split_dns = { corp.example, lab.example }\n}\n"
               "pool six {\n  addresses = { \"2001:db8::/64\" }\n"
               "  dns = { \"2001:db8::53\", \"10.0.0.53\" }\n  split_dns = { \"CORP.example\" "
               "}\n}\n" CONNECTION("  pools = { four, six }\n"));
    ck_assert_int_eq(take_both("dns:a", 1, true, true, NULL, 1, &v), SL_OK);
    ck_assert_str_eq(sl_addr_text(text, &v.addr[0]), "10.9.0.1");
    ck_assert_str_eq(sl_addr_text(text, &v.addr[1]), "2001:db8::1");
    ck_assert_uint_eq(v.dns_n, 2);
    ck_assert_str_eq(v.split_dns, "corp.example lab.example");
    end();
}
END_TEST

START_TEST(take_of_a_family_that_no_pool_has_leaves_the_other)
{
    struct sl_virtual v;
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.0/24\" }\n}\n" CONNECTION("  pools = { p }\n"));
    ck_assert_int_eq(take_both("dns:a", 1, true, true, NULL, 1, &v), SL_OK);
    ck_assert_uint_eq(v.addr[0].family, 4);
    ck_assert_uint_eq(v.addr[1].family, 0);
    ck_assert_int_eq(take_both("dns:b", 2, false, true, NULL, 1, &v), SL_ADDRESS_NONE);
    end();
}
END_TEST

START_TEST(take_of_a_static_address_is_for_its_identity_alone)
{
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.1-10.9.0.2\" }\n"
               "  static = { \"dns:b7.example=10.9.0.1\", \"dn:CN=x=10.9.9.9\" }\n}\n" CONNECTION(
                   "  pools = { p }\n"));
    ck_assert_str_eq(take("dns:a", 1, 1), "10.9.0.2");
    ck_assert_str_eq(take("dns:c", 2, 1), "");
    ck_assert_str_eq(take("dns:B7.example", 3, 1), "10.9.0.1");
    ck_assert_str_eq(take("dn:CN=x", 4, 1), "10.9.9.9");
    end();
}
END_TEST

START_TEST(take_with_a_wish_gives_it_when_it_is_free)
{
    struct sl_virtual v;
    char text[SL_ADDR_TEXT];
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.0/24\" }\n}\n" CONNECTION("  pools = { p }\n"));
    ck_assert_int_eq(take_both("dns:a", 1, true, false, "10.9.0.77", 1, &v), SL_OK);
    ck_assert_str_eq(sl_addr_text(text, &v.addr[0]), "10.9.0.77");
    ck_assert_int_eq(take_both("dns:b", 2, true, false, "10.9.0.77", 1, &v), SL_OK);
    ck_assert_str_eq(sl_addr_text(text, &v.addr[0]), "10.9.0.1");
    ck_assert_int_eq(take_both("dns:c", 3, true, false, "10.8.0.1", 1, &v), SL_OK);
    ck_assert_str_eq(sl_addr_text(text, &v.addr[0]), "10.9.0.2"); /* outside the pool */
    end();
}
END_TEST

START_TEST(take_with_a_rule_prefers_what_it_grants)
{
    struct sl_virtual v;
    char text[SL_ADDR_TEXT];
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.0/24\" }\n  dns = { \"10.0.0.1\" }\n}\n"
               "pool q {\n  addresses = { \"10.8.0.0/24\", \"2001:db8::/64\" }\n}\n"
               "rule r {\n  action = accept\n  grant_pool = { q }\n  grant_dns = { \"10.0.0.2\" }\n"
               "  grant_address = { \"10.7.0.7\" }\n}\n" CONNECTION("  pools = { p }\n"));
    ck_assert_int_eq(take_both("dns:a", 1, true, true, NULL, 1, &v), SL_OK);
    ck_assert_str_eq(sl_addr_text(text, &v.addr[0]), "10.7.0.7");
    ck_assert_str_eq(sl_addr_text(text, &v.addr[1]), "2001:db8::1");
    ck_assert_str_eq(sl_addr_text(text, &v.dns[0]), "10.0.0.2");
    ck_assert_int_eq(take_both("dns:b", 2, true, false, NULL, 1, &v), SL_ADDRESS_NONE);
    sl_pools_end(pools, 1, 5);
    ck_assert_int_eq(take_both("dns:b", 3, true, false, NULL, 6, &v), SL_OK);
    end();
}
END_TEST

struct copy {
    struct sl_lease v[16];
    char identity[16][64];
    size_t n;
};
static void keep(void *ctx, const struct sl_lease *l)
{
    struct copy *c = ctx;
    ck_assert_uint_lt(c->n, SL_ARRAY_LEN(c->v));
    snprintf(c->identity[c->n], sizeof(c->identity[0]), "%s", l->identity);
    c->v[c->n] = *l;
    c->v[c->n].identity = c->identity[c->n];
    c->v[c->n].pool = "p";
    c->n++;
}

START_TEST(load_after_a_restart_keeps_leases_for_their_identities)
{
    const char *text =
        HEAD "pool p {\n  addresses = { \"10.9.0.1-10.9.0.2\" }\n  lease = 100s\n}\n" CONNECTION(
            "  pools = { p }\n");
    static struct copy c;
    c.n = 0;
    begin(text);
    (void)take("dns:a", 1, 1000);
    (void)take("dns:b", 2, 1000);
    sl_pools_each(pools, keep, &c);
    ck_assert_uint_eq(c.n, 2);
    end();
    begin(text);
    for (size_t i = 0; i < c.n; i++)
        ck_assert(sl_pools_load(pools, &c.v[i], 2000));
    struct sl_lease elsewhere = { .pool = "gone", .identity = "dns:z" };
    ck_assert(sl_addr_parse(&elsewhere.addr, "10.1.1.1"));
    ck_assert(sl_pools_load(pools, &elsewhere, 2000));
    ck_assert_uint_eq(gone, 1);
    ck_assert_str_eq(take("dns:c", 3, 2050), "");
    ck_assert_str_eq(take("dns:b", 4, 2050), "10.9.0.2");
    /* An SA that outlived the process still holds its address, however long. */
    const struct sl_id a = id_of("dns:a");
    struct sl_addr addr;
    ck_assert(sl_addr_parse(&addr, "10.9.0.1"));
    sl_pools_hold(pools, &a, 9, &addr, 2050);
    ck_assert_str_eq(take("dns:c", 5, 9000), "");
    sl_pools_end(pools, 9, 9000);
    ck_assert_str_eq(take("dns:c", 6, 9200), "10.9.0.1");
    end();
}
END_TEST

START_TEST(release_of_a_kept_lease_frees_its_address)
{
    static struct copy c;
    struct sl_err err = { 0 };
    c.n = 0;
    begin(HEAD
          "pool p {\n  addresses = { \"10.9.0.1-10.9.0.1\" }\n}\n" CONNECTION("  pools = { p }\n"));
    (void)take("dns:a", 1, 1);
    sl_pools_each(pools, keep, &c);
    ck_assert_int_eq(sl_pools_release(pools, c.v[0].number, &err), SL_EXISTS);
    sl_pools_end(pools, 1, 2);
    ck_assert_str_eq(take("dns:b", 2, 3), "");
    ck_assert_int_eq(sl_pools_release(pools, c.v[0].number, &err), SL_OK);
    ck_assert_int_eq(sl_pools_release(pools, c.v[0].number, &err), SL_NOT_FOUND);
    ck_assert_str_eq(take("dns:b", 3, 3), "10.9.0.1");
    end();
}
END_TEST

START_TEST(take_from_a_16_bit_pool_to_its_end_and_again)
{
    char who[32];
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.0/16\" }\n  lease = 10s\n}\n" CONNECTION(
        "  pools = { p }\n"));
    for (unsigned i = 0; i < 65534; i++) {
        snprintf(who, sizeof(who), "dns:d%u", i);
        ck_assert_str_ne(take(who, i + 1, 100), "");
    }
    ck_assert_str_eq(take("dns:more", 70000, 100), "");
    sl_pools_end_all(pools, 200);
    for (unsigned i = 0; i < 65534; i++) {
        snprintf(who, sizeof(who), "dns:e%u", i);
        ck_assert_str_ne(take(who, 100000 + i, 300), "");
    }
    end();
}
END_TEST

/* ---- random use against a model ---------------------------------------------------------------- */
#define SIZE 12
#define IDS  20
#define SAS  40
static struct {
    int owner[SIZE]; /* -1: nobody */
    unsigned users[SIZE];
    int64_t ended[SIZE];
    int sa_addr[SAS]; /* -1: none */
} model;

static int model_of(int id)
{
    for (int i = 0; i < SIZE; i++)
        if (model.owner[i] == id)
            return i;
    return -1;
}

static bool model_room(int64_t now)
{
    for (int i = 0; i < SIZE; i++)
        if (model.owner[i] < 0 || (!model.users[i] && now - model.ended[i] >= 50))
            return true;
    return false;
}

static void model_take(unsigned sa, int id, int64_t now)
{
    struct sl_virtual v;
    char who[32];
    snprintf(who, sizeof(who), "dns:r%d", id);
    const int had = model_of(id);
    const bool room = had >= 0 || model_room(now);
    const enum sl_rc rc = take_both(who, sa + 1, true, false, NULL, now, &v);
    ck_assert_int_eq(rc == SL_OK, room);
    if (rc != SL_OK)
        return;
    const int got = v.addr[0].b[3] - 1;
    ck_assert(v.addr[0].b[2] == 0 && got >= 0 && got < SIZE);
    if (had >= 0)
        ck_assert_int_eq(got, had);
    else
        ck_assert(model.owner[got] < 0 || (!model.users[got] && now - model.ended[got] >= 50));
    model.owner[got] = id;
    model.users[got]++;
    model.sa_addr[sa] = got;
}

static void model_end(unsigned sa, int64_t now)
{
    const int a = model.sa_addr[sa];
    sl_pools_end(pools, sa + 1, now);
    model.sa_addr[sa] = -1;
    if (--model.users[a] == 0)
        model.ended[a] = now;
}

static void random_use(uint64_t seed)
{
    struct sl_rng_seeded state;
    int64_t now = 1000;
    sl_rng_seeded_init(&state, seed);
    const struct sl_rng rng = sl_rng_seeded(&state);
    begin(HEAD "pool p {\n  addresses = { \"10.9.0.1-10.9.0.12\" }\n  lease = 50s\n}\n" CONNECTION(
        "  pools = { p }\n"));
    memset(&model, 0xff, sizeof(model));
    memset(model.users, 0, sizeof(model.users));
    for (unsigned step = 0; step < 5000; step++) {
        const unsigned sa = (unsigned)sl_rng_below(&rng, SAS);
        now += (int64_t)sl_rng_below(&rng, 8);
        if (model.sa_addr[sa] >= 0)
            model_end(sa, now);
        else
            model_take(sa, (int)sl_rng_below(&rng, IDS), now);
    }
    end();
}

START_TEST(random_use_agrees_with_a_naive_model)
{
    const uint64_t seed = sl_test_seed(1);
    for (uint64_t i = 0; i < 20; i++)
        random_use(seed + i);
}
END_TEST

SL_TESTS(pool, SL_CASE(take_gives_the_pools_addresses_without_network_and_broadcast),
         SL_CASE(take_again_within_the_lease_gives_the_same_address),
         SL_CASE(take_by_two_sas_of_an_identity_shares_the_address_until_both_end),
         SL_CASE(take_of_both_families_with_servers_and_domains),
         SL_CASE(take_of_a_family_that_no_pool_has_leaves_the_other),
         SL_CASE(take_of_a_static_address_is_for_its_identity_alone),
         SL_CASE(take_with_a_wish_gives_it_when_it_is_free),
         SL_CASE(take_with_a_rule_prefers_what_it_grants),
         SL_CASE(load_after_a_restart_keeps_leases_for_their_identities),
         SL_CASE(release_of_a_kept_lease_frees_its_address),
         SL_CASE(take_from_a_16_bit_pool_to_its_end_and_again),
         SL_CASE(random_use_agrees_with_a_naive_model))
