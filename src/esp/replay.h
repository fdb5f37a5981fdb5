/*
 * The anti-replay window (RFC 4303 3.4.3): which of the newest sequence numbers were accepted. A
 * ring of words whose top moves by clearing words, never by shifting the window (the idea of
 * RFC 6479). Sequence numbers are 64 bits wide; an SA without ESN uses the low half.
 */
#ifndef SL_ESP_REPLAY_H
#define SL_ESP_REPLAY_H

#include "sealane/err.h"

struct esp_replay {
    uint64_t top;         /* highest accepted; 0: none yet */
    uint64_t window_pkts; /* 0: nothing is refused */
    uint64_t mask;        /* words - 1 */
    uint64_t *words;      /* a power of two, one more at least than the window needs */
};

/* window_pkts is rounded up to whole words and down to SL_ESP_WINDOW_MAX; 0: no check. */
SL_MUST_USE enum sl_rc esp_replay_init(struct esp_replay *r, uint32_t window_pkts,
                                       struct sl_err *err);
void esp_replay_clear(struct esp_replay *r);

/*
 * The whole sequence number of a packet that carries its low half (RFC 4303 Appendix A2.2). 0 when
 * there is none: it would lie before the first.
 */
uint64_t esp_replay_seq(const struct esp_replay *r, bool esn, uint32_t low);

/* SL_OK new, SL_ESP_REPLAY accepted before, SL_ESP_LATE behind the window. Changes nothing. */
enum sl_rc esp_replay_check(const struct esp_replay *r, uint64_t seq);
/* Marks seq as accepted: after its ICV was verified, and only when check said SL_OK. */
void esp_replay_accept(struct esp_replay *r, uint64_t seq);

#endif
