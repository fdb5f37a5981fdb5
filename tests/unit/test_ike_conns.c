/*
 * Which connection fits a peer: the tables' answer against the rule applied to every connection, for
 * random configurations; and a configuration taken anew.
 */
#include "src/ike/core.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static struct sl_config *parse(const struct sl_buf *text)
{
    struct sl_config *config = NULL;
    struct sl_err err = { 0 };
    ck_ok(sl_config_parse(&config, sl_buf_bytes(text), "test.conf", NULL, &err), &err);
    return config;
}

static void put(struct sl_buf *text, const char *line)
{
    ck_assert(sl_buf_put(text, sl_bytes(line, strlen(line))));
}

static void head(struct sl_buf *text)
{
    put(text, "psk k {\n  file = \"/none\"\n}\n");
}

static void connection(struct sl_buf *text, const char *name, const char *local, const char *remote,
                       const char *more)
{
    char line[512];
    snprintf(line, sizeof(line),
             "connection %s {\n  local = %s\n  remote = %s\n  %s\n  auth = psk\n  psk = k\n"
             "  id_local = \"dns:us\"\n  child c {\n    local_ts = { \"10.0.0.0/8\" }\n"
             "    remote_ts = { \"10.1.0.0/16\" }\n  }\n}\n",
             name, local, remote, more);
    put(text, line);
}

static struct sl_ike *start(const struct sl_config *config)
{
    static struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, 7);
    const struct sl_rng rng = sl_rng_seeded(&state);
    struct sl_ike *ike = NULL;
    struct sl_err err = { 0 };
    ck_ok(sl_ike_new(&ike, config, &rng, 0, &err), &err);
    return ike;
}

/* The rule, word for word: an exact remote address before a prefix before any, then an exact local. */
static unsigned score(const struct sl_conf_connection *c, const struct sl_addr *local,
                      const struct sl_addr *remote)
{
    unsigned local_score = 0;
    if (!sl_addr_is_any(&c->local.addr)) {
        if (!sl_addr_eq(&c->local.addr, local))
            return 0;
        local_score = 1;
    }
    if (!sl_addr_is_any(&c->remote.addr))
        return sl_addr_eq(&c->remote.addr, remote) ? 5 + local_score : 0;
    for (size_t i = 0; i < c->remote_prefixes.n; i++) {
        struct sl_prefix p;
        if (sl_prefix_parse(&p, c->remote_prefixes.v[i]) && sl_prefix_has(&p, remote))
            return 3 + local_score;
    }
    return c->remote_prefixes.n ? 0 : 1 + local_score;
}

static const struct sl_conf_connection *by_rule(const struct sl_config *config,
                                                const struct sl_addr *local,
                                                const struct sl_addr *remote, size_t n)
{
    for (unsigned s = 6; s > 0; s--)
        for (size_t i = 0; i < config->connection_n; i++)
            if (score(&config->connection[i], local, remote) == s && n-- == 0)
                return &config->connection[i];
    return NULL;
}

static void random_configuration(uint64_t seed)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, seed);
    const struct sl_rng rng = sl_rng_seeded(&state);
    SL_AUTO_BUF text = { 0 };
    head(&text);
    const size_t n = 1 + sl_rng_below(&rng, 30);
    for (size_t i = 0; i < n; i++) {
        char name[32], local[32] = "any", remote[32] = "any";
        const char *more = "";
        snprintf(name, sizeof(name), "c%zu", i);
        if (sl_rng_below(&rng, 2))
            snprintf(local, sizeof(local), "192.0.2.%u", 1 + (unsigned)sl_rng_below(&rng, 2));
        switch (sl_rng_below(&rng, 3)) {
        case 0:
            snprintf(remote, sizeof(remote), "203.0.113.%u", 1 + (unsigned)sl_rng_below(&rng, 3));
            break;
        case 1:
            more = sl_rng_below(&rng, 2)
                       ? "remote_prefix = { \"203.0.113.0/31\" }"
                       : "remote_prefix = { \"198.51.100.0/24\", \"203.0.113.0/24\" }";
            break;
        default:
            break;
        }
        connection(&text, name, local, remote, more);
    }
    struct sl_config *config = parse(&text);
    struct sl_ike *ike = start(config);
    for (unsigned k = 0; k < 40; k++) {
        struct sl_addr local, remote;
        char a[32];
        snprintf(a, sizeof(a), "192.0.2.%u", 1 + (unsigned)sl_rng_below(&rng, 3));
        ck_assert(sl_addr_parse(&local, a));
        snprintf(a, sizeof(a), "203.0.113.%u", (unsigned)sl_rng_below(&rng, 5));
        ck_assert(sl_addr_parse(&remote, a));
        for (size_t i = 0; i <= n; i++) {
            const struct ike_conn *got = conn_candidate(ike, &local, &remote, i);
            const struct sl_conf_connection *want = by_rule(config, &local, &remote, i);
            ck_assert_ptr_eq(got ? got->conf : NULL, want);
        }
    }
    sl_ike_free(ike);
    sl_config_free(config);
}

START_TEST(candidates_are_those_of_the_rule_in_its_order)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        random_configuration(seed);
}
END_TEST

START_TEST(thousands_of_connections_are_found_by_name_and_address)
{
    SL_AUTO_BUF text = { 0 };
    enum { N = 2000 };
    head(&text);
    for (unsigned i = 0; i < N; i++) {
        char name[32], remote[32];
        snprintf(name, sizeof(name), "c%u", i);
        snprintf(remote, sizeof(remote), "10.%u.%u.1", i / 256, i % 256);
        connection(&text, name, "192.0.2.1", remote, "");
    }
    struct sl_config *config = parse(&text);
    struct sl_ike *ike = start(config);
    struct sl_addr local;
    ck_assert(sl_addr_parse(&local, "192.0.2.1"));
    for (unsigned i = 0; i < N; i++) {
        const struct sl_conf_connection *conf = &config->connection[i];
        ck_assert_ptr_eq(conn_find(ike, conf->name)->conf, conf);
        ck_assert_ptr_eq(conn_candidate(ike, &local, &conf->remote.addr, 0)->conf, conf);
        ck_assert_ptr_null(conn_candidate(ike, &local, &conf->remote.addr, 1));
    }
    ck_assert_ptr_null(conn_find(ike, "c2000"));
    sl_ike_free(ike);
    sl_config_free(config);
}
END_TEST

START_TEST(taking_a_configuration_anew_keeps_adds_and_forgets)
{
    SL_AUTO_BUF first = { 0 }, second = { 0 };
    head(&first);
    head(&second);
    connection(&first, "goes", "any", "203.0.113.1", "");
    connection(&first, "stays", "any", "203.0.113.2", "");
    connection(&second, "comes", "any", "203.0.113.2", "");
    connection(&second, "stays", "any", "203.0.113.9", "");
    struct sl_config *a = parse(&first), *b = parse(&second);
    struct sl_ike *ike = start(a);
    struct ike_conn *stays = conn_find(ike, "stays");
    struct sl_addr local, two, nine, one;
    struct sl_err err = { 0 };
    ck_assert(sl_addr_parse(&local, "192.0.2.1") && sl_addr_parse(&one, "203.0.113.1") &&
              sl_addr_parse(&two, "203.0.113.2") && sl_addr_parse(&nine, "203.0.113.9"));
    ck_assert_ptr_eq(conn_candidate(ike, &local, &two, 0), stays);
    ck_ok(sl_ike_config(ike, b, &err), &err);
    sl_config_free(a);
    ck_assert_ptr_eq(conn_find(ike, "stays"), stays);
    ck_assert_ptr_eq(stays->conf, &b->connection[1]);
    ck_assert_ptr_null(conn_find(ike, "goes"));
    ck_assert_ptr_null(conn_candidate(ike, &local, &one, 0));
    ck_assert_ptr_eq(conn_candidate(ike, &local, &two, 0), conn_find(ike, "comes"));
    ck_assert_ptr_eq(conn_candidate(ike, &local, &nine, 0), stays);
    ck_assert_ptr_null(conn_candidate(ike, &local, &nine, 1));
    sl_ike_free(ike);
    sl_config_free(b);
}
END_TEST

SL_TESTS(ike_conns, SL_CASE(candidates_are_those_of_the_rule_in_its_order),
         SL_CASE(thousands_of_connections_are_found_by_name_and_address),
         SL_CASE(taking_a_configuration_anew_keeps_adds_and_forgets))
