/* The anti-replay window; see replay.h. RFC 4303 3.4.3, Appendix A. */
#include "src/esp/replay.h"

#include "sealane/esp.h"

#include <stdlib.h>

#define WORD_BITS 64u

enum sl_rc esp_replay_init(struct esp_replay *r, uint32_t window_pkts, struct sl_err *err)
{
    if (window_pkts > SL_ESP_WINDOW_MAX)
        window_pkts = SL_ESP_WINDOW_MAX;
    size_t need = (window_pkts + WORD_BITS - 1) / WORD_BITS;
    size_t words = 1;
    /* one word more than the window: the top's word is only partly used */
    while (window_pkts && words < need + 1)
        words *= 2;
    uint64_t *mem = calloc(words, sizeof(*mem));
    if (!mem)
        return SL_FAIL_MEM(err);
    *r = (struct esp_replay){ .window_pkts = need * WORD_BITS, .mask = words - 1, .words = mem };
    return SL_OK;
}

void esp_replay_clear(struct esp_replay *r)
{
    free(r->words);
    *r = (struct esp_replay){ 0 };
}

uint64_t esp_replay_seq(const struct esp_replay *r, bool esn, uint32_t low)
{
    if (!esn)
        return low;
    uint32_t top_low = (uint32_t)r->top;
    uint64_t high = r->top >> 32;
    uint32_t bottom = top_low - (uint32_t)r->window_pkts + 1; /* modulo 2^32 */
    if (top_low >= r->window_pkts - 1) {
        /* case A: the window lies in one subspace; below it means the next one */
        if (low < bottom)
            high++;
    } else if (low >= bottom) {
        /* case B: the window reaches back into the subspace before */
        if (high == 0)
            return 0;
        high--;
    }
    return high << 32 | low;
}

enum sl_rc esp_replay_check(const struct esp_replay *r, uint64_t seq)
{
    if (seq == 0)
        return SL_ESP_LATE; /* the first packet has number 1 (RFC 4303 3.3.3) */
    if (seq > r->top || r->window_pkts == 0)
        return SL_OK;
    if (r->top - seq >= r->window_pkts)
        return SL_ESP_LATE;
    uint64_t word = r->words[seq / WORD_BITS & r->mask];
    return word >> seq % WORD_BITS & 1 ? SL_ESP_REPLAY : SL_OK;
}

void esp_replay_accept(struct esp_replay *r, uint64_t seq)
{
    if (seq > r->top) {
        uint64_t from = r->top / WORD_BITS, to = seq / WORD_BITS;
        uint64_t clear = to - from > r->mask ? r->mask + 1 : to - from;
        for (uint64_t i = 0; i < clear; i++)
            r->words[(to - i) & r->mask] = 0;
        r->top = seq;
    }
    r->words[seq / WORD_BITS & r->mask] |= UINT64_C(1) << seq % WORD_BITS;
}
