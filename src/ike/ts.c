/*
 * TSi and TSr payloads and narrowing; see ts.h (RFC 7296 3.13, 2.9).
 */
#include "src/ike/ts.h"

#include <stdio.h>
#include <string.h>

#define TS_IPV4_RANGE 7
#define TS_IPV6_RANGE 8
#define TS_HDR_LEN    4 /* type, protocol, length */

/* ---- payload -------------------------------------------------------------------------------------- */
/*
 * RFC 7296 3.13.1: type (1), protocol (1), length (2), start port (2), end port (2), first and last
 * address
 */
static bool read_range(struct sl_ts *ts, size_t addr_len, struct sl_rd *r)
{
    ts->start_port = sl_rd_u16(r);
    ts->end_port = sl_rd_u16(r);
    struct sl_bytes first = sl_rd_take(r, addr_len), last = sl_rd_take(r, addr_len);
    if (!sl_rd_done(r) || !sl_addr_from_bytes(&ts->first, first) ||
        !sl_addr_from_bytes(&ts->last, last))
        return false;
    bool is_opaque = ts->start_port == UINT16_MAX && ts->end_port == 0;
    return sl_addr_cmp(&ts->first, &ts->last) <= 0 && (ts->start_port <= ts->end_port || is_opaque);
}

/* Body: count (1), RESERVED (3), selectors */
enum sl_rc ike_ts_read(struct sl_ts out[SL_TS_MAX], size_t *n, size_t *skipped,
                       struct sl_bytes body, struct sl_err *err)
{
    struct sl_rd r = sl_rd(body);
    size_t count = sl_rd_u8(&r), found = 0, passed = 0;
    sl_rd_skip(&r, 3);
    if (!sl_rd_ok(&r) || count == 0)
        return SL_FAIL(err, SL_IKE_MALFORMED, "TS payload has no selectors");
    for (size_t i = 0; i < count; i++) {
        struct sl_ts ts = { 0 };
        uint8_t type = sl_rd_u8(&r);
        ts.protocol = sl_rd_u8(&r);
        size_t len = sl_rd_u16(&r);
        struct sl_rd one = sl_rd(sl_rd_take(&r, len < TS_HDR_LEN ? 0 : len - TS_HDR_LEN));
        if (!sl_rd_ok(&r) || len < TS_HDR_LEN)
            return SL_FAIL(err, SL_IKE_MALFORMED, "TS payload: selector %zu is cut short", i + 1);
        if (type != TS_IPV4_RANGE && type != TS_IPV6_RANGE) {
            passed++;
            continue;
        }
        if (!read_range(&ts, type == TS_IPV4_RANGE ? 4 : 16, &one))
            return SL_FAIL(err, SL_IKE_MALFORMED,
                           "TS payload: selector %zu has a wrong length or starts above its end",
                           i + 1);
        if (found == SL_TS_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "TS payload has more than %d selectors", SL_TS_MAX);
        out[found++] = ts;
    }
    if (!sl_rd_done(&r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "TS payload: bytes after its %zu selectors", count);
    *n = found;
    if (skipped)
        *skipped = passed;
    return SL_OK;
}

void ike_put_ts(struct ike_wr *c, uint8_t type, const struct sl_ts *ts, size_t n)
{
    size_t mark = ike_wr_open(c, type);
    struct sl_wr *w = &c->w;
    if (n == 0 || n > SL_TS_MAX)
        w->bad = true;
    sl_wr_u8(w, (uint8_t)n);
    sl_wr_zero(w, 3);
    for (size_t i = 0; i < n && !w->bad; i++) {
        size_t addr_len = sl_addr_len(&ts[i].first);
        if (addr_len == 0 || sl_addr_len(&ts[i].last) != addr_len)
            w->bad = true;
        sl_wr_u8(w, addr_len == 4 ? TS_IPV4_RANGE : TS_IPV6_RANGE);
        sl_wr_u8(w, ts[i].protocol);
        sl_wr_u16(w, (uint16_t)(TS_HDR_LEN + 4 + 2 * addr_len));
        sl_wr_u16(w, ts[i].start_port);
        sl_wr_u16(w, ts[i].end_port);
        sl_wr_put(w, sl_addr_bytes(&ts[i].first));
        sl_wr_put(w, sl_addr_bytes(&ts[i].last));
    }
    ike_wr_close(c, mark);
}

/* ---- narrowing -------------------------------------------------------------------------------------- */
bool ike_ts_offer(struct sl_ts out[SL_TS_MAX], size_t *n, const struct sl_ts *trigger,
                  const struct sl_ts *ts, size_t ts_n)
{
    size_t first = trigger ? 1 : 0;
    if (ts_n == 0 || ts_n > SL_TS_MAX - first)
        return false;
    if (trigger && !ike_ts_within(trigger, 1, ts, ts_n))
        return false;
    if (trigger)
        out[0] = *trigger;
    memcpy(out + first, ts, ts_n * sizeof(*ts));
    *n = ts_n + first;
    return true;
}

/* Adds one unless another holds it; takes out those it holds, keeping the order. */
static void add_part(struct ike_ts_fit *fit, const struct sl_ts *part)
{
    size_t kept = 0;
    bool placed = false;
    for (size_t i = 0; i < fit->n; i++)
        if (sl_ts_within(part, &fit->ts[i]))
            return;
    for (size_t i = 0; i < fit->n; i++) {
        if (!sl_ts_within(&fit->ts[i], part)) {
            fit->ts[kept++] = fit->ts[i];
        } else if (
            !placed) { /* takes the place of the first it holds: a first selector stays first */
            fit->ts[kept++] = *part;
            placed = true;
        }
    }
    fit->n = kept;
    if (placed)
        return;
    if (fit->n == SL_TS_MAX)
        fit->more = true;
    else
        fit->ts[fit->n++] = *part;
}

void ike_ts_narrow(struct ike_ts_fit *fit, const struct sl_ts *offer, size_t offer_n,
                   const struct sl_ts *allowed, size_t allowed_n)
{
    struct sl_ts part;
    fit->n = 0;
    fit->more = false;
    /* SPEC RFC7296-2.9 MUST: the answer takes in the initiator's first selector when policy allows */
    for (size_t i = 0; i < offer_n; i++)
        for (size_t k = 0; k < allowed_n; k++)
            if (sl_ts_intersect(&part, &offer[i], &allowed[k]))
                add_part(fit, &part);
    fit->first = offer_n && ike_ts_within(offer, 1, fit->ts, fit->n);
    fit->whole = offer_n && ike_ts_within(offer, offer_n, fit->ts, fit->n);
}

bool ike_ts_within(const struct sl_ts *answer, size_t n, const struct sl_ts *offer, size_t offer_n)
{
    for (size_t i = 0; i < n; i++) {
        bool inside = false;
        for (size_t k = 0; k < offer_n && !inside; k++)
            inside = sl_ts_within(&answer[i], &offer[k]);
        if (!inside)
            return false;
    }
    return n > 0;
}

char *ike_ts_list_text(char *out, size_t cap, const struct sl_ts *ts, size_t n)
{
    char one[SL_TS_TEXT];
    size_t len = 0;
    if (cap)
        out[0] = 0;
    for (size_t i = 0; i < n && len < cap; i++) {
        int put = snprintf(out + len, cap - len, "%s%s", i ? " " : "", sl_ts_text(one, &ts[i]));
        len += put > 0 ? (size_t)put : 0;
    }
    return out;
}
