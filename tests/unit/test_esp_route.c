/* Ranges of addresses as prefixes: together they are the range, and no two can be one. */
#include "src/esp/route.h"

#include "support/support.h"

#include <string.h>

static char *text_of(const char *first, const char *last)
{
    static char out[20000];
    struct sl_addr a, b;
    ck_assert(sl_addr_parse(&a, first) && sl_addr_parse(&b, last));
    struct esp_range r;
    struct sl_prefix p;
    out[0] = '\0';
    for (esp_range_init(&r, &a, &b); esp_range_next(&r, &p);) {
        char text[SL_PREFIX_TEXT];
        strcat(strcat(out, out[0] ? " " : ""), sl_prefix_text(text, &p));
    }
    return out;
}

START_TEST(known_ranges)
{
    ck_assert_str_eq(text_of("10.0.0.0", "10.255.255.255"), "10.0.0.0/8");
    ck_assert_str_eq(text_of("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
    ck_assert_str_eq(text_of("10.0.0.7", "10.0.0.7"), "10.0.0.7/32");
    ck_assert_str_eq(text_of("10.0.0.1", "10.0.0.6"),
                     "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32");
    ck_assert_str_eq(text_of("255.255.255.254", "255.255.255.255"), "255.255.255.254/31");
    ck_assert_str_eq(text_of("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::/0");
    ck_assert_str_eq(text_of("2001:db8::", "2001:db8::ffff"), "2001:db8::/112");
    ck_assert_str_eq(text_of("2001:db8::ff", "2001:db8::101"),
                     "2001:db8::ff/128 2001:db8::100/127");
}
END_TEST

START_TEST(any_range_is_covered_without_gap_or_overlap)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(11));
    struct sl_rng rng = sl_rng_seeded(&state);
    for (int i = 0; i < 5000; i++) {
        uint32_t x = (uint32_t)sl_rng_u64(&rng) >> sl_rng_below(&rng, 32);
        uint32_t y = (uint32_t)sl_rng_u64(&rng) >> sl_rng_below(&rng, 32);
        uint32_t lo = x < y ? x : y, hi = x < y ? y : x;
        struct sl_addr a = { .family = 4 }, b = { .family = 4 };
        for (int k = 0; k < 4; k++) {
            a.b[k] = (uint8_t)(lo >> (24 - 8 * k));
            b.b[k] = (uint8_t)(hi >> (24 - 8 * k));
        }
        struct esp_range r;
        struct sl_prefix p;
        uint64_t next = lo;
        int n = 0;
        for (esp_range_init(&r, &a, &b); esp_range_next(&r, &p); n++) {
            struct sl_addr first, last;
            sl_prefix_range(&p, &first, &last);
            ck_assert(sl_addr_eq(&first, &p.addr));
            uint64_t f = 0, l = 0;
            for (int k = 0; k < 4; k++) {
                f = f << 8 | first.b[k];
                l = l << 8 | last.b[k];
            }
            ck_assert_uint_eq(f, next);
            next = l + 1;
        }
        ck_assert_uint_eq(next, (uint64_t)hi + 1);
        ck_assert_int_le(n, 62);
    }
}
END_TEST

static void append(void *ctx, const struct sl_prefix *p)
{
    char text[SL_PREFIX_TEXT];
    strcat(strcat(ctx, *(char *)ctx ? " " : ""), sl_prefix_text(text, p));
}

START_TEST(bypassed_addresses_keep_their_routes)
{
    static const struct {
        const char *remote;
        struct {
            char action; /* b bypass, d drop */
            const char *local, *remote;
        } shunt[3];
        const char *want;
    } cases[] = {
        { "10.0.0.0/8", { { 0 } }, "10.0.0.0/8" },
        { "10.0.0.0/8", { { 'b', "0.0.0.0/0", "192.168.0.0/16" } }, "10.0.0.0/8" },
        { "10.0.0.0/8", { { 'b', "0.0.0.0/0", "10.0.0.0/9" } }, "10.128.0.0/9" },
        { "10.0.0.0/8", { { 'b', "0.0.0.0/0", "10.128.0.0/10" } }, "10.0.0.0/9 10.192.0.0/10" },
        { "10.0.0.0/8", { { 'b', "0.0.0.0/0", "0.0.0.0/0" } }, "" },
        { "0.0.0.0/0", { { 'b', "0.0.0.0/0", "128.0.0.0/1" } }, "0.0.0.0/1" },
        /* of one protocol, or not for all of our side: it cannot be told by the address */
        { "10.0.0.0/8", { { 'b', "0.0.0.0/0", "10.0.0.0/9[tcp]" } }, "10.0.0.0/8" },
        { "10.0.0.0/8", { { 'b', "0.0.0.0/0[udp/53]", "10.0.0.0/9" } }, "10.0.0.0/8" },
        { "10.0.0.0/8", { { 'b', "172.16.1.0/24", "10.0.0.0/9" } }, "10.0.0.0/8" },
        { "10.0.0.0/8", { { 'b', "172.16.0.0/12", "10.0.0.0/9" } }, "10.128.0.0/9" },
        { "10.0.0.0/8", { { 'b', "::/0", "2001:db8::/32" } }, "10.0.0.0/8" },
        /* the first that matches decides: what is dropped must not go round the tunnel */
        { "10.0.0.0/8",
          { { 'd', "0.0.0.0/0", "10.0.0.0/10" }, { 'b', "0.0.0.0/0", "10.0.0.0/9" } },
          "10.0.0.0/10 10.128.0.0/9" },
        { "10.0.0.0/8",
          { { 'd', "0.0.0.0/0", "10.0.0.0/10[tcp]" }, { 'b', "0.0.0.0/0", "10.0.0.0/8" } },
          "10.0.0.0/10" },
        { "10.0.0.0/8",
          { { 'b', "0.0.0.0/0", "10.0.0.0/9" }, { 'd', "0.0.0.0/0", "10.0.0.0/8" } },
          "10.128.0.0/9" },
        { "10.0.0.0/24",
          { { 'b', "0.0.0.0/0", "10.0.0.1" }, { 'b', "0.0.0.0/0", "10.0.0.128/25" } },
          "10.0.0.0/32 10.0.0.2/31 10.0.0.4/30 10.0.0.8/29 10.0.0.16/28 10.0.0.32/27 "
          "10.0.0.64/26" },
    };
    struct sl_ts local[2];
    ck_assert(sl_ts_parse(&local[0], "172.16.0.0/16") && sl_ts_parse(&local[1], "2001:db8:1::/48"));
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_conf_shunt shunts[3] = { 0 };
        struct sl_ts remote;
        size_t n = 0;
        ck_assert(sl_ts_parse(&remote, cases[i].remote));
        for (; n < 3 && cases[i].shunt[n].action; n++) {
            shunts[n].action = cases[i].shunt[n].action == 'b' ? SL_SHUNT_BYPASS : SL_SHUNT_DROP;
            ck_assert(sl_ts_parse(&shunts[n].local_ts, cases[i].shunt[n].local) &&
                      sl_ts_parse(&shunts[n].remote_ts, cases[i].shunt[n].remote));
        }
        char got[4000] = "";
        esp_routes(&remote, local, 2, shunts, n, append, got);
        ck_assert_msg(!strcmp(got, cases[i].want), "case %zu: %s, want %s", i, got, cases[i].want);
    }
}
END_TEST

SL_TESTS(esp_route, SL_CASE(bypassed_addresses_keep_their_routes), SL_CASE(known_ranges),
         SL_CASE(any_range_is_covered_without_gap_or_overlap))
