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

SL_TESTS(esp_route, SL_CASE(known_ranges), SL_CASE(any_range_is_covered_without_gap_or_overlap))
