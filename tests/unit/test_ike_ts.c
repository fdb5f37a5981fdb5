/* Unit tests of src/ike/ts.h: TS payloads and narrowing. */
#include "ike_vectors.h"
#include "src/ike/ts.h"

#include <stdlib.h>

/* Selectors from a list like "10.0.0.0/8 10.1.0.0/16[tcp/443]". */
static size_t parse(struct sl_ts *out, const char *text)
{
    size_t n = 0;
    char copy[1024], *save = NULL;
    ck_assert_uint_lt(strlen(text), sizeof(copy));
    strcpy(copy, text);
    for (char *one = strtok_r(copy, " ", &save); one; one = strtok_r(NULL, " ", &save)) {
        ck_assert_uint_lt(n, SL_TS_MAX);
        ck_assert_msg(sl_ts_parse(&out[n++], one), "%s", one);
    }
    return n;
}

static struct sl_bytes body_of(const struct sl_buf *b)
{
    return sl_bytes(b->p + 4, b->len - 4);
}

/* The narrowed offer as text; with first (F), whole (W) and more (M) behind it. */
static const char *narrowed(const char *offer, const char *allowed)
{
    static char out[1024];
    struct sl_ts o[SL_TS_MAX], a[SL_TS_MAX];
    static struct ike_ts_fit fit;
    ike_ts_narrow(&fit, o, parse(o, offer), a, parse(a, allowed));
    ike_ts_list_text(out, sizeof(out), fit.ts, fit.n);
    strcat(out, fit.first ? " F" : "");
    strcat(out, fit.whole ? " W" : "");
    strcat(out, fit.more ? " M" : "");
    return out;
}

START_TEST(payload_written_reads_back)
{
    static const char *const text =
        "10.0.0.0/8 192.0.2.1-192.0.2.9[udp/53] 2001:db8::/32[tcp/1000-2000] 0.0.0.0/0 ::/0[17]";
    SL_AUTO_BUF b = { 0 };
    struct sl_ts in[SL_TS_MAX], out[SL_TS_MAX];
    size_t n = parse(in, text), got = 0, skipped = 9;
    struct sl_err err = { 0 };
    struct ike_wr c = ike_wr_chain(&b);
    in[3].start_port = UINT16_MAX; /* OPAQUE */
    in[3].end_port = 0;
    ike_put_ts(&c, IKE_P_TSi, in, n);
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_ts_read(out, &got, &skipped, body_of(&b), &err), &err);
    ck_assert_uint_eq(got, n);
    ck_assert_uint_eq(skipped, 0);
    for (size_t i = 0; i < n; i++)
        ck_assert(sl_ts_eq(&in[i], &out[i]));
}
END_TEST

START_TEST(payload_cut_at_any_byte_is_malformed)
{
    SL_AUTO_BUF b = { 0 };
    struct sl_ts ts[SL_TS_MAX];
    struct ike_wr c = ike_wr_chain(&b);
    size_t got = 0, n = parse(ts, "10.0.0.0/8 2001:db8::/32[tcp/1000-2000] 192.0.2.0/24");
    ike_put_ts(&c, IKE_P_TSi, ts, n);
    struct sl_bytes body = body_of(&b);
    for (size_t len = 0; len < body.len; len++) {
        struct sl_err err = { 0 };
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, body.p, len);
        ck_rc(ike_ts_read(ts, &got, NULL, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        free(exact);
    }
}
END_TEST

START_TEST(payload_that_breaks_a_rule_is_malformed)
{
    static const char *const bad[] = {
        "00 000000",                                           /* none */
        "01 000000 07 00 0010 0000 ffff 0a000000 0affffff 00", /* bytes left over */
        "02 000000 07 00 0010 0000 ffff 0a000000 0affffff",    /* one is missing */
        "01 000000 07 00 0010 0000 ffff 0a000001 0a000000",    /* first above last */
        "01 000000 07 06 0010 0050 0040 0a000000 0affffff",    /* start port above end port */
        "01 000000 07 00 0011 0000 ffff 0a000000 0affffff 00", /* too long for IPv4 */
        "01 000000 08 00 0010 0000 ffff 0a000000 0affffff",    /* IPv4 as IPv6 */
        "01 000000 07 00 0003",                                /* shorter than its header */
        "01 000000 07 00 0000 0000 ffff 0a000000 0affffff",
    };
    struct sl_ts ts[SL_TS_MAX];
    size_t n = 0;
    struct sl_err err = { 0 };
    ck_ok(ike_ts_read(ts, &n, NULL, sl_test_hex("01 000000 07 00 0010 0000 ffff 0a000000 0affffff"),
                      &err),
          &err);
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(ike_ts_read(ts, &n, NULL, sl_test_hex(bad[i]), &err) == SL_IKE_MALFORMED,
                      "%s", bad[i]);
}
END_TEST

START_TEST(selectors_of_unknown_type_are_passed_over)
{
    struct sl_ts ts[SL_TS_MAX];
    size_t n = 9, skipped = 0;
    struct sl_err err = { 0 };
    struct sl_bytes label = sl_test_hex("02 000000 0a 00 0008 01020304"
                                        "07 06 0010 0050 0050 0a000000 0a0000ff");
    ck_ok(ike_ts_read(ts, &n, &skipped, label, &err), &err);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(skipped, 1);
    ck_ok(ike_ts_read(ts, &n, &skipped, sl_test_hex("01 000000 0a 00 0004"), &err), &err);
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(selectors_past_the_limit_are_refused)
{
    SL_AUTO_BUF b = { 0 };
    struct sl_wr w = sl_wr_buf(&b, SL_BUF_MAX);
    struct sl_ts ts[SL_TS_MAX];
    size_t n = 0;
    struct sl_err err = { 0 };
    sl_wr_u32(&w, (SL_TS_MAX + 1) << 24);
    for (size_t i = 0; i <= SL_TS_MAX; i++)
        sl_wr_put(&w, sl_test_hex("07 00 0010 0000 ffff 0a000000 0affffff"));
    ck_rc(ike_ts_read(ts, &n, NULL, sl_buf_bytes(&b), &err), SL_TOO_LARGE, &err);
    b.p[0] = SL_TS_MAX;
    ck_ok(ike_ts_read(ts, &n, NULL, sl_bytes(b.p, b.len - 16), &err), &err);
    ck_assert_uint_eq(n, SL_TS_MAX);
    b.len = 0;
    struct ike_wr c = ike_wr_chain(&b);
    ike_put_ts(&c, IKE_P_TSi, ts, 0);
    ck_assert(!ike_wr_end(&c));
}
END_TEST

START_TEST(narrowing_gives_what_both_have)
{
    ck_assert_str_eq(narrowed("10.0.0.0/8", "10.0.0.0/8"), "10.0.0.0/8 F W");
    ck_assert_str_eq(narrowed("10.1.0.0/16", "10.0.0.0/8"), "10.1.0.0/16 F W");
    ck_assert_str_eq(narrowed("0.0.0.0/0", "10.0.0.0/8 192.0.2.0/24"), "10.0.0.0/8 192.0.2.0/24");
    ck_assert_str_eq(narrowed("0.0.0.0/0 ::/0", "2001:db8::/32"), "2001:db8::/32");
    ck_assert_str_eq(narrowed("10.0.0.0/8", "192.0.2.0/24"), "");
    ck_assert_str_eq(narrowed("10.0.0.0/8", "::/0"), "");
    ck_assert_str_eq(narrowed("10.0.0.0/8[tcp]", "10.1.0.0/16[tcp/443]"), "10.1.0.0/16[tcp/443]");
    ck_assert_str_eq(narrowed("10.0.0.0/8[tcp]", "10.0.0.0/8[udp]"), "");
    ck_assert_str_eq(narrowed("10.0.0.5-10.0.0.20", "10.0.0.10-10.0.0.30"), "10.0.0.10-10.0.0.20");
}
END_TEST

/* RFC 7296 2.9: a packet to 192.0.2.66 from 198.51.100.43 makes the initiator offer it first. */
START_TEST(first_specific_selector_of_the_initiator_leads)
{
    ck_assert_str_eq(narrowed("198.51.100.43/32[17] 198.51.100.0/24", "198.51.100.0/24"),
                     "198.51.100.0/24 F W");
    ck_assert_str_eq(narrowed("198.51.100.43/32[17] 198.51.100.0/24", "198.51.100.0/25"),
                     "198.51.100.0/25 F");
    /* two parts: the one with the first selector comes first, whatever our order */
    ck_assert_str_eq(
        narrowed("198.51.100.43/32 198.51.100.0/24", "198.51.100.128/25 198.51.100.0/25"),
        "198.51.100.0/25 198.51.100.128/25 F");
    /* the first is not allowed, the rest is */
    ck_assert_str_eq(narrowed("198.51.100.43/32 198.51.100.0/24", "198.51.100.128/25"),
                     "198.51.100.128/25");
    ck_assert_str_eq(narrowed("198.51.100.43/32[tcp/80] 198.51.100.0/24", "198.51.100.0/24[tcp]"),
                     "198.51.100.0/24[tcp] F");
}
END_TEST

START_TEST(parts_within_others_are_dropped)
{
    ck_assert_str_eq(narrowed("10.0.0.0/8 10.1.0.0/16 10.1.1.0/24", "0.0.0.0/0"), "10.0.0.0/8 F W");
    ck_assert_str_eq(narrowed("10.1.1.0/24 10.1.0.0/16 10.0.0.0/8 192.0.2.0/24", "0.0.0.0/0"),
                     "10.0.0.0/8 192.0.2.0/24 F W");
    ck_assert_str_eq(narrowed("10.1.0.0/16 192.0.2.0/24 10.2.0.0/16 10.0.0.0/8", "0.0.0.0/0"),
                     "10.0.0.0/8 192.0.2.0/24 F W");
}
END_TEST

START_TEST(more_parts_than_fit_are_announced)
{
    struct sl_ts offer[SL_TS_MAX], allowed[SL_TS_MAX];
    static struct ike_ts_fit fit;
    char text[64];
    for (unsigned i = 0; i < SL_TS_MAX; i++) { /* offer: /16 apart; allowed: two slices of each */
        (void)snprintf(text, sizeof(text), "10.%u.0.0/16", i);
        ck_assert(sl_ts_parse(&offer[i], text));
    }
    ck_assert(sl_ts_parse(&allowed[0], "0.0.0.0/0[tcp]") &&
              sl_ts_parse(&allowed[1], "0.0.0.0/0[udp]"));
    ike_ts_narrow(&fit, offer, SL_TS_MAX, allowed, 2);
    ck_assert_uint_eq(fit.n, SL_TS_MAX);
    ck_assert(fit.more && !fit.whole && !fit.first);
    ck_assert(ike_ts_within(fit.ts, fit.n, offer, SL_TS_MAX));
}
END_TEST

/* Whatever is offered and allowed: the answer is inside both, and holds every point both hold. */
START_TEST(narrowing_of_random_selectors_keeps_its_promise)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(20260));
    struct sl_rng rng = sl_rng_seeded(&state);
    for (size_t round = 0; round < 2000; round++) {
        struct sl_ts set[2][4];
        size_t n[2];
        static struct ike_ts_fit fit;
        for (size_t k = 0; k < 2; k++) {
            n[k] = 1 + sl_rng_below(&rng, 4);
            for (size_t i = 0; i < n[k]; i++) {
                uint8_t a = (uint8_t)sl_rng_below(&rng, 16), b = (uint8_t)sl_rng_below(&rng, 16);
                uint16_t p = (uint16_t)sl_rng_below(&rng, 4), q = (uint16_t)sl_rng_below(&rng, 4);
                struct sl_ts *ts = &set[k][i];
                *ts = (struct sl_ts){ .first = { .family = 4 }, .last = { .family = 4 } };
                ts->first.b[3] = a < b ? a : b;
                ts->last.b[3] = a < b ? b : a;
                ts->protocol = sl_rng_below(&rng, 2) ? 6 : 0;
                ts->start_port = p < q ? p : q;
                ts->end_port = p < q ? q : p;
            }
        }
        ike_ts_narrow(&fit, set[0], n[0], set[1], n[1]);
        for (uint8_t host = 0; host < 16; host++) {
            for (uint16_t port = 0; port < 4; port++) {
                const struct sl_addr addr = { .family = 4, .b = { 0, 0, 0, host } };
                bool in[3] = { false, false, false };
                for (size_t i = 0; i < n[0]; i++)
                    in[0] |= sl_ts_has(&set[0][i], &addr, 6, port);
                for (size_t i = 0; i < n[1]; i++)
                    in[1] |= sl_ts_has(&set[1][i], &addr, 6, port);
                for (size_t i = 0; i < fit.n; i++)
                    in[2] |= sl_ts_has(&fit.ts[i], &addr, 6, port);
                ck_assert_int_eq(in[2], in[0] && in[1]);
            }
        }
        ck_assert(fit.n == 0 || (ike_ts_within(fit.ts, fit.n, set[0], n[0]) &&
                                 ike_ts_within(fit.ts, fit.n, set[1], n[1])));
    }
}
END_TEST

START_TEST(offer_puts_the_trigger_first)
{
    struct sl_ts ts[SL_TS_MAX], trigger, out[SL_TS_MAX];
    size_t n = 0, ts_n = parse(ts, "10.0.0.0/8 192.0.2.0/24");
    ck_assert(ike_ts_offer(out, &n, NULL, ts, ts_n));
    ck_assert_uint_eq(n, 2);
    ck_assert(sl_ts_parse(&trigger, "192.0.2.7/32[udp/53]"));
    ck_assert(ike_ts_offer(out, &n, &trigger, ts, ts_n));
    ck_assert_uint_eq(n, 3);
    ck_assert(sl_ts_eq(&out[0], &trigger) && sl_ts_eq(&out[1], &ts[0]));
    ck_assert(sl_ts_parse(&trigger, "198.51.100.1/32"));
    ck_assert(!ike_ts_offer(out, &n, &trigger, ts, ts_n)); /* not ours to offer */
    ck_assert(!ike_ts_offer(out, &n, NULL, ts, 0));
}
END_TEST

START_TEST(answer_outside_the_offer_is_seen)
{
    struct sl_ts offer[SL_TS_MAX], answer[SL_TS_MAX];
    size_t n = parse(offer, "10.0.0.0/8 192.0.2.0/24[tcp]");
    ck_assert(ike_ts_within(answer, parse(answer, "10.1.0.0/16 192.0.2.0/25[tcp/80]"), offer, n));
    ck_assert(!ike_ts_within(answer, parse(answer, "10.1.0.0/16 192.0.2.0/25"), offer, n));
    ck_assert(!ike_ts_within(answer, parse(answer, "0.0.0.0/0"), offer, n));
    ck_assert(!ike_ts_within(answer, 0, offer, n));
}
END_TEST

START_TEST(list_text_is_cut_to_fit)
{
    struct sl_ts ts[SL_TS_MAX];
    char out[20];
    size_t n = parse(ts, "10.0.0.0/8 192.0.2.0/24 198.51.100.0/24");
    ck_assert_str_eq(ike_ts_list_text(out, sizeof(out), ts, n), "10.0.0.0/8 192.0.2.");
    ck_assert_str_eq(ike_ts_list_text(out, sizeof(out), ts, 0), "");
}
END_TEST

SL_TESTS(ike_ts, SL_CASE(payload_written_reads_back), SL_CASE(payload_cut_at_any_byte_is_malformed),
         SL_CASE(payload_that_breaks_a_rule_is_malformed),
         SL_CASE(selectors_of_unknown_type_are_passed_over),
         SL_CASE(selectors_past_the_limit_are_refused), SL_CASE(narrowing_gives_what_both_have),
         SL_CASE(first_specific_selector_of_the_initiator_leads),
         SL_CASE(parts_within_others_are_dropped), SL_CASE(more_parts_than_fit_are_announced),
         SL_CASE(narrowing_of_random_selectors_keeps_its_promise),
         SL_CASE(offer_puts_the_trigger_first), SL_CASE(answer_outside_the_offer_is_seen),
         SL_CASE(list_text_is_cut_to_fit))
