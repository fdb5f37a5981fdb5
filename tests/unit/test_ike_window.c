/* Message IDs, retransmission and the response cache (src/ike/retransmit.h), maps and timers. */
#include "src/ike/map.h"
#include "src/ike/retransmit.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

static struct sl_rng_seeded state;
static struct sl_rng rng;
static const struct ike_retry retry = { .first_ms = 1000, .tries = 3 };

static struct ike_datagrams message(const char *text)
{
    struct ike_datagrams d = { 0 };
    ck_assert(ike_datagrams_plain(&d, sl_str(text)));
    return d;
}

static struct ike_window window(void)
{
    struct ike_window w;
    sl_rng_seeded_init(&state, 1);
    rng = sl_rng_seeded(&state);
    ike_window_init(&w);
    return w;
}

START_TEST(request_unanswered_is_repeated_with_doubling_intervals_then_given_up)
{
    struct ike_window w = window();
    struct ike_datagrams d = message("request");
    int64_t now = 0, base = SL_NS_PER_S;
    ike_window_request(&w, &d, &retry, &rng, now);
    for (unsigned i = 0; i < retry.tries; i++) {
        ck_assert_int_ge(w.tx_due_ns - now, base);
        ck_assert_int_le(w.tx_due_ns - now, base + base / 10);
        now = w.tx_due_ns;
        base *= 2;
        ck_assert(ike_window_again(&w, &retry, &rng, now, 0));
        ck_bytes_eq(ike_datagram_get(&w.tx, 0), sl_str("request"));
    }
    ck_assert(!ike_window_again(&w, &retry, &rng, w.tx_due_ns, 0));
    ck_assert_int_eq(w.tx_due_ns, INT64_MAX);
    ike_window_clear(&w);
}
END_TEST

START_TEST(request_to_a_peer_that_lives_gets_a_few_more_tries)
{
    struct ike_window w = window();
    struct ike_datagrams d = message("request");
    ike_window_request(&w, &d, &retry, &rng, 0);
    unsigned sent = 1;
    while (sent < 100 && ike_window_again(&w, &retry, &rng, w.tx_due_ns, w.tx_at_ns + 1))
        sent++;
    ck_assert_uint_eq(sent, 1 + retry.tries + IKE_RETRY_EXTRA);
    ike_window_clear(&w);
}
END_TEST

START_TEST(interval_is_capped)
{
    const struct ike_retry long_retry = { .first_ms = 50000, .tries = 20 };
    struct ike_window w = window();
    struct ike_datagrams d = message("request");
    ike_window_request(&w, &d, &long_retry, &rng, 0);
    for (int i = 0; i < 20; i++) {
        const int64_t now = w.tx_due_ns;
        ck_assert(ike_window_again(&w, &long_retry, &rng, now, 0));
        ck_assert_int_le(w.tx_due_ns - now, (int64_t)IKE_RETRY_MAX_MS * SL_NS_PER_MS / 10 * 11);
    }
    ike_window_clear(&w);
}
END_TEST

START_TEST(response_is_taken_once_and_only_for_the_request_that_is_out)
{
    struct ike_window w = window();
    struct ike_datagrams d = message("request");
    ck_assert_int_eq(ike_window_classify(&w, true, 0), IKE_RX_OLD);
    ck_assert_int_eq(ike_window_classify(&w, true, UINT32_MAX), IKE_RX_OLD);
    ike_window_request(&w, &d, &retry, &rng, 0);
    ck_assert_int_eq(ike_window_classify(&w, true, 1), IKE_RX_OLD);
    ck_assert_int_eq(ike_window_classify(&w, true, 0), IKE_RX_NEW);
    ike_window_answered(&w);
    ck_assert_int_eq(ike_window_classify(&w, true, 0), IKE_RX_OLD);
    ck_assert_uint_eq(w.tx.n, 0);
    ck_assert_uint_eq(w.tx_next, 1);
    ike_window_clear(&w);
}
END_TEST

START_TEST(request_again_is_known_until_the_next_one_is_answered)
{
    struct ike_window w = window();
    struct ike_datagrams d = message("response 0");
    ck_assert_int_eq(ike_window_classify(&w, false, 0), IKE_RX_NEW);
    ck_assert_int_eq(ike_window_classify(&w, false, 1), IKE_RX_OLD); /* window of one */
    ike_window_begin(&w);
    ck_assert_int_eq(ike_window_classify(&w, false, 0), IKE_RX_BUSY);
    ike_window_respond(&w, &d);
    ck_assert_int_eq(ike_window_classify(&w, false, 0), IKE_RX_AGAIN);
    ck_assert_int_eq(ike_window_classify(&w, false, 1), IKE_RX_NEW);
    ike_window_begin(&w);
    ck_assert_int_eq(ike_window_classify(&w, false, 0), IKE_RX_AGAIN);
    d = message("response 1");
    ike_window_respond(&w, &d);
    ck_assert_int_eq(ike_window_classify(&w, false, 0), IKE_RX_OLD);
    ck_bytes_eq(ike_datagram_get(&w.rx, 0), sl_str("response 1"));
    ike_window_clear(&w);
}
END_TEST

struct member {
    struct ike_map_node node;
    struct ike_timer timer;
    uint64_t key;
};

START_TEST(map_holds_what_was_put_while_it_grows_and_shrinks)
{
    enum { N = 5000 };
    struct ike_map m;
    struct member *v = calloc(N, sizeof(*v));
    ck_assert(v && ike_map_init(&m));
    sl_rng_seeded_init(&state, 7);
    rng = sl_rng_seeded(&state);
    for (size_t i = 0; i < N; i++) {
        v[i].key = i % 3 ? sl_rng_u64(&rng) : i / 30; /* some keys equal, some close together */
        ike_map_put(&m, &v[i].node, v[i].key);
    }
    ck_assert_uint_eq(m.count, N);
    for (size_t i = 0; i < N; i += 2)
        ike_map_del(&m, &v[i].node);
    ike_map_del(&m, &v[0].node); /* twice does nothing */
    ck_assert_uint_eq(m.count, N / 2);
    for (size_t i = 0; i < N; i++) {
        bool found = false;
        for (struct ike_map_node *n = ike_map_get(&m, v[i].key); n; n = ike_map_next(n)) {
            ck_assert_uint_eq(n->key, v[i].key);
            found = found || IKE_OF(n, struct member, node) == &v[i];
        }
        ck_assert(found == (i % 2 == 1));
    }
    ike_map_clear(&m);
    free(v);
}
END_TEST

START_TEST(heap_gives_the_earliest_timer_after_any_changes)
{
    enum { N = 300 };
    struct ike_heap h = { 0 };
    static struct member v[N];
    memset(v, 0, sizeof(v));
    sl_rng_seeded_init(&state, 3);
    rng = sl_rng_seeded(&state);
    ck_assert(ike_heap_reserve(&h, N));
    for (int round = 0; round < 20000; round++) {
        struct ike_timer *t = &v[sl_rng_below(&rng, N)].timer;
        ike_heap_set(&h, t, sl_rng_below(&rng, 4) ? (int64_t)sl_rng_below(&rng, 1000) : INT64_MAX);
        int64_t first = INT64_MAX;
        size_t set = 0;
        for (size_t i = 0; i < N; i++) {
            set += v[i].timer.pos != 0;
            if (v[i].timer.pos && v[i].timer.at_ns < first)
                first = v[i].timer.at_ns;
        }
        ck_assert_uint_eq(h.n, set);
        ck_assert(set == 0 ? !ike_heap_first(&h) : ike_heap_first(&h)->at_ns == first);
    }
    ike_heap_clear(&h);
}
END_TEST

START_TEST(span_of_all_tries_is_known)
{
    ck_assert_int_eq(ike_retry_span_ms(&(struct ike_retry){ .first_ms = 1000, .tries = 5 }), 63000);
    ck_assert_int_eq(ike_retry_span_ms(&(struct ike_retry){ .first_ms = 300, .tries = 4 }), 9300);
    /* no interval is longer than the longest */
    ck_assert_int_eq(ike_retry_span_ms(&(struct ike_retry){ .first_ms = 60000, .tries = 20 }),
                     21 * INT64_C(60000));
}
END_TEST

SL_TESTS(ike_window, SL_CASE(span_of_all_tries_is_known),
         SL_CASE(request_unanswered_is_repeated_with_doubling_intervals_then_given_up),
         SL_CASE(request_to_a_peer_that_lives_gets_a_few_more_tries), SL_CASE(interval_is_capped),
         SL_CASE(response_is_taken_once_and_only_for_the_request_that_is_out),
         SL_CASE(request_again_is_known_until_the_next_one_is_answered),
         SL_CASE(map_holds_what_was_put_while_it_grows_and_shrinks),
         SL_CASE(heap_gives_the_earliest_timer_after_any_changes))
