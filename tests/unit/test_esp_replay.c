/* The anti-replay window against a plain list of what was accepted (RFC 4303 3.4.3, Appendix A). */
#include "src/esp/replay.h"

#include "sealane/esp.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

/* The window as its definition reads: a bit for each of the newest numbers, kept as a byte. */
#define ORACLE_SPAN (1u << 20)
struct oracle {
    uint64_t top, window;
    uint8_t *seen; /* ORACLE_SPAN, index: number modulo span */
};

static enum sl_rc oracle_take(struct oracle *o, uint64_t seq)
{
    if (seq == 0)
        return SL_ESP_LATE;
    if (o->top >= o->window && seq <= o->top - o->window)
        return SL_ESP_LATE;
    if (seq > o->top) {
        for (uint64_t i = o->top + 1; i <= seq && i <= o->top + ORACLE_SPAN; i++)
            o->seen[i % ORACLE_SPAN] = 0;
        if (seq - o->top > ORACLE_SPAN)
            memset(o->seen, 0, ORACLE_SPAN);
        o->top = seq;
    } else if (o->seen[seq % ORACLE_SPAN]) {
        return SL_ESP_REPLAY;
    }
    o->seen[seq % ORACLE_SPAN] = 1;
    return SL_OK;
}

static enum sl_rc take(struct esp_replay *r, uint64_t seq)
{
    enum sl_rc rc = esp_replay_check(r, seq);
    if (rc == SL_OK)
        esp_replay_accept(r, seq);
    return rc;
}

static void compare(uint32_t window, const struct sl_rng *rng, unsigned rounds)
{
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, window, &err), &err);
    ck_assert_uint_eq(r.window_pkts, (window + 63) / 64 * 64);
    struct oracle o = { .window = r.window_pkts, .seen = calloc(ORACLE_SPAN, 1) };
    unsigned counts[3] = { 0 };
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t seq;
        switch (sl_rng_below(rng, 8)) {
        case 0: /* a jump, now and then past the whole ring */
            seq = o.top + 1 + sl_rng_below(rng, sl_rng_below(rng, 50) ? 300 : 5 * window);
            break;
        case 1:
        case 2: /* the next */
            seq = o.top + 1;
            break;
        case 3: /* around the lower edge */
            seq = o.top + 3 - o.window + sl_rng_below(rng, 5) - 4;
            break;
        default:
            seq = o.top - sl_rng_below(rng, o.window + o.window / 4);
            break;
        }
        if (seq > o.top + 6 * (uint64_t)SL_ESP_WINDOW_MAX)
            seq = 0; /* below zero */
        enum sl_rc want = oracle_take(&o, seq), got = take(&r, seq);
        ck_assert_msg(want == got, "window %u, top %llu, seq %llu: got %s, want %s", window,
                      (unsigned long long)o.top, (unsigned long long)seq, sl_rc_name(got),
                      sl_rc_name(want));
        counts[got == SL_OK ? 0 : got == SL_ESP_REPLAY ? 1 : 2]++;
    }
    ck_assert(counts[0] && counts[1] && counts[2]);
    free(o.seen);
    esp_replay_clear(&r);
}

START_TEST(random_sequences_agree_with_oracle)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(4303));
    struct sl_rng rng = sl_rng_seeded(&state);
    const uint32_t windows[] = { 1, 32, 64, 65, 128, 1000, 1024, 4096, SL_ESP_WINDOW_MAX };
    for (size_t i = 0; i < SL_ARRAY_LEN(windows); i++)
        compare(windows[i], &rng, 60000);
}
END_TEST

START_TEST(window_edges_are_exact)
{
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, 1024, &err), &err);
    ck_assert_int_eq(take(&r, 0), SL_ESP_LATE);
    ck_assert_int_eq(take(&r, 5000), SL_OK);
    ck_assert_int_eq(take(&r, 5000), SL_ESP_REPLAY);
    ck_assert_int_eq(take(&r, 5000 - 1023), SL_OK);
    ck_assert_int_eq(take(&r, 5000 - 1023), SL_ESP_REPLAY);
    ck_assert_int_eq(take(&r, 5000 - 1024), SL_ESP_LATE);
    /* a jump further than the ring forgets all of it */
    ck_assert_int_eq(take(&r, 5000 + 100000), SL_OK);
    for (uint64_t s = 105000 - 1023; s < 105000; s++)
        ck_assert_int_eq(take(&r, s), SL_OK);
    esp_replay_clear(&r);
}
END_TEST

START_TEST(check_alone_changes_nothing)
{
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, 64, &err), &err);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(esp_replay_check(&r, 1000), SL_OK);
    ck_assert_uint_eq(r.top, 0);
    esp_replay_clear(&r);
}
END_TEST

START_TEST(no_window_accepts_all_but_zero)
{
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, 0, &err), &err);
    ck_assert_int_eq(take(&r, 9), SL_OK);
    ck_assert_int_eq(take(&r, 9), SL_OK);
    ck_assert_int_eq(take(&r, 1), SL_OK);
    ck_assert_int_eq(take(&r, 0), SL_ESP_LATE);
    ck_assert_uint_eq(r.top, 9);
    esp_replay_clear(&r);
}
END_TEST

START_TEST(window_larger_than_the_limit_is_the_limit)
{
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, UINT32_MAX, &err), &err);
    ck_assert_uint_eq(r.window_pkts, SL_ESP_WINDOW_MAX);
    esp_replay_clear(&r);
}
END_TEST

/* RFC 4303 Appendix A: of all numbers with these low bits, the one nearest to the window's top. */
START_TEST(high_half_is_guessed_across_the_turn)
{
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, 1024, &err), &err);
    ck_assert_uint_eq(esp_replay_seq(&r, true, 1), 1);
    /* before the first number lies none */
    ck_assert_uint_eq(esp_replay_seq(&r, true, 0xffffff00), 0);
    ck_assert_int_eq(take(&r, 0xfffffff0), SL_OK);
    ck_assert_uint_eq(esp_replay_seq(&r, true, 0xfffffff5), 0xfffffff5);
    ck_assert_uint_eq(esp_replay_seq(&r, true, 3), UINT64_C(0x100000003));
    ck_assert_uint_eq(esp_replay_seq(&r, true, 0xfffffff0 - 1023), 0xfffffff0 - 1023);
    ck_assert_uint_eq(esp_replay_seq(&r, true, 0xfffffff0 - 1024), UINT64_C(0x1fffffbf0));
    ck_assert_int_eq(take(&r, UINT64_C(0x100000003)), SL_OK);
    ck_assert_uint_eq(esp_replay_seq(&r, true, 0xffffffff), 0xffffffff);
    ck_assert_uint_eq(esp_replay_seq(&r, true, 4), UINT64_C(0x100000004));
    ck_assert_uint_eq(esp_replay_seq(&r, false, 4), 4);
    esp_replay_clear(&r);
}
END_TEST

START_TEST(high_half_survives_loss_and_reordering)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(77));
    struct sl_rng rng = sl_rng_seeded(&state);
    struct sl_err err;
    struct esp_replay r;
    ck_ok(esp_replay_init(&r, 1024, &err), &err);
    for (uint64_t sent = 1; sent < UINT64_C(40) << 32; sent += sl_rng_below(&rng, 1u << 30) + 1) {
        uint64_t seq = sent > 1023 ? sent - sl_rng_below(&rng, 1024) : sent;
        uint64_t got = esp_replay_seq(&r, true, (uint32_t)sent);
        ck_assert_uint_eq(got, sent);
        ck_assert_int_eq(take(&r, got), SL_OK);
        ck_assert_uint_eq(esp_replay_seq(&r, true, (uint32_t)seq), seq);
    }
    esp_replay_clear(&r);
}
END_TEST

SL_TESTS(esp_replay, SL_CASE(random_sequences_agree_with_oracle), SL_CASE(window_edges_are_exact),
         SL_CASE(check_alone_changes_nothing), SL_CASE(no_window_accepts_all_but_zero),
         SL_CASE(window_larger_than_the_limit_is_the_limit),
         SL_CASE(high_half_is_guessed_across_the_turn),
         SL_CASE(high_half_survives_loss_and_reordering))
