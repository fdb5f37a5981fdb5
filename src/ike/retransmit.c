/* See retransmit.h. */
#include "src/ike/retransmit.h"

#include <assert.h>

/* Moves ownership; what *to held is freed. */
static void take(struct ike_datagrams *to, struct ike_datagrams *from)
{
    ike_datagrams_clear(to);
    *to = *from;
    *from = (struct ike_datagrams){ 0 };
}

void ike_window_init(struct ike_window *w)
{
    *w = (struct ike_window){ .tx_due_ns = INT64_MAX };
}

enum ike_rx ike_window_classify(const struct ike_window *w, bool response, uint32_t mid)
{
    /* SPEC RFC7296-2.2 MUST: message IDs are matched exactly; what is outside the window is dropped */
    if (response)
        return w->tx_waiting && mid == w->tx_next - 1 ? IKE_RX_NEW : IKE_RX_OLD;
    if (mid == w->rx_next)
        return w->rx_busy ? IKE_RX_BUSY : IKE_RX_NEW;
    /* SPEC RFC7296-2.1 MUST: a response is resent only when its request comes again */
    if (mid + 1 == w->rx_next && w->rx.n)
        return IKE_RX_AGAIN;
    return IKE_RX_OLD;
}

/* Doubling, capped. */
static int64_t interval_ms(const struct ike_retry *retry, unsigned sent)
{
    int64_t ms = retry->first_ms > 0 ? retry->first_ms : 1;
    for (unsigned i = 1; i < sent && ms < IKE_RETRY_MAX_MS; i++)
        ms *= 2;
    return ms > IKE_RETRY_MAX_MS ? IKE_RETRY_MAX_MS : ms;
}

int64_t ike_retry_span_ms(const struct ike_retry *retry)
{
    int64_t ms = 0;
    for (unsigned sent = 1; sent <= retry->tries + 1; sent++)
        ms += interval_ms(retry, sent);
    return ms;
}

/* With up to 10 % added so that peers of a lost gateway do not march in step. */
static int64_t interval_ns(const struct ike_retry *retry, unsigned sent, const struct sl_rng *rng)
{
    const int64_t ns = interval_ms(retry, sent) * SL_NS_PER_MS;
    return ns + (int64_t)sl_rng_below(rng, (uint64_t)(ns / 10 + 1));
}

void ike_window_request(struct ike_window *w, struct ike_datagrams *f,
                        const struct ike_retry *retry, const struct sl_rng *rng, int64_t now_ns)
{
    assert(!w->tx_waiting);
    w->tx_next++;
    w->tx_waiting = true;
    w->tx_sent = 1;
    w->tx_extra = 0;
    w->tx_at_ns = now_ns;
    w->tx_due_ns = now_ns + interval_ns(retry, 1, rng);
    take(&w->tx, f);
}

void ike_window_answered(struct ike_window *w)
{
    w->tx_waiting = false;
    w->tx_due_ns = INT64_MAX;
    ike_datagrams_clear(&w->tx);
}

bool ike_window_again(struct ike_window *w, const struct ike_retry *retry, const struct sl_rng *rng,
                      int64_t now_ns, int64_t seen_ns)
{
    if (w->tx_sent > retry->tries) {
        if (seen_ns <= w->tx_at_ns || w->tx_extra == IKE_RETRY_EXTRA) {
            w->tx_due_ns = INT64_MAX;
            return false;
        }
        w->tx_extra++;
    }
    w->tx_sent++;
    w->tx_at_ns = now_ns;
    w->tx_due_ns = now_ns + interval_ns(retry, w->tx_sent - w->tx_extra, rng);
    return true;
}

void ike_window_begin(struct ike_window *w)
{
    assert(!w->rx_busy);
    w->rx_busy = true;
}

void ike_window_respond(struct ike_window *w, struct ike_datagrams *f)
{
    assert(w->rx_busy);
    w->rx_busy = false;
    w->rx_next++;
    take(&w->rx, f);
}

void ike_window_clear(struct ike_window *w)
{
    ike_datagrams_clear(&w->tx);
    ike_datagrams_clear(&w->rx);
}
