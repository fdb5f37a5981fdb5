/*
 * Message IDs, the window of one, retransmission and the response cache of one IKE SA (RFC 7296
 * 2.1-2.3). The exchanges above hand in finished datagrams and never see a repetition.
 *
 * The initiator of an exchange repeats its request until the response comes or its tries are used
 * up; the responder repeats its response only when the request comes again.
 */
#ifndef SL_SRC_IKE_RETRANSMIT_H
#define SL_SRC_IKE_RETRANSMIT_H

#include "src/ike/sk.h"

#include "sealane/rng.h"
#include "sealane/time.h"

struct ike_retry { /* first interval, doubled with each try, each with up to 10 % of jitter */
    int64_t first_ms;
    unsigned tries;
};
#define IKE_RETRY_MAX_MS 60000
#define IKE_RETRY_EXTRA  3 /* further tries while the peer shows signs of life */

struct ike_window {
    /* our requests */
    uint32_t tx_next;  /* message ID of the next request */
    bool tx_waiting;   /* a request with ID tx_next - 1 awaits its response */
    unsigned tx_sent;  /* how often it was sent */
    unsigned tx_extra; /* tries beyond those allowed */
    int64_t tx_at_ns;  /* when it was last sent */
    int64_t tx_due_ns; /* send it again, or give up, then; INT64_MAX: never */
    struct ike_datagrams tx;
    /* the peer's requests */
    uint32_t rx_next;        /* message ID of the next request */
    bool rx_busy;            /* request rx_next has come and has not been answered */
    struct ike_datagrams rx; /* response to rx_next - 1 */
};

/* How long a request without any answer is tried, jitter left out. */
int64_t ike_retry_span_ms(const struct ike_retry *retry);

enum ike_rx {
    IKE_RX_NEW = 1, /* a request to act upon, or the response awaited */
    IKE_RX_AGAIN,   /* the last request again: send the cached response */
    IKE_RX_BUSY,    /* the request being worked on, again */
    IKE_RX_OLD,     /* outside the window: to be dropped */
};
void ike_window_init(struct ike_window *w);
enum ike_rx ike_window_classify(const struct ike_window *w, bool response, uint32_t mid);

/* A request: takes *f, counts it as sent once. Returns nothing to send when f is empty. */
void ike_window_request(struct ike_window *w, struct ike_datagrams *f,
                        const struct ike_retry *retry, const struct sl_rng *rng, int64_t now_ns);
/* The response has come. */
void ike_window_answered(struct ike_window *w);
/*
 * Called when tx_due_ns has passed: true: send tx again; false: tries are used up. A peer of which
 * something authentic came since the last try (seen_ns) is not dead, only unlucky: it gets a few
 * more (RFC 7296 2.4).
 */
bool ike_window_again(struct ike_window *w, const struct ike_retry *retry, const struct sl_rng *rng,
                      int64_t now_ns, int64_t seen_ns) SL_MUST_USE;
/* A request was accepted for working on; its response takes *f and frees the window. */
void ike_window_begin(struct ike_window *w);
void ike_window_respond(struct ike_window *w, struct ike_datagrams *f);
void ike_window_clear(struct ike_window *w);

#endif
