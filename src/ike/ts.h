/*
 * Traffic selectors in IKEv2: the TSi and TSr payloads (RFC 7296 3.13) and narrowing (2.9). The
 * selectors themselves are struct sl_ts (sealane/net.h).
 */
#ifndef IKE_TS_H
#define IKE_TS_H

#include "src/ike/codec.h"

#include "sealane/net.h"

/*
 * Reads the body of TSi or TSr. Selectors of types other than IPv4 and IPv6 ranges are passed over
 * and counted in *skipped (may be NULL), so *n may be 0 though the payload is sound: TS_UNACCEPTABLE.
 * SL_IKE_MALFORMED: broken, empty, start above end; SL_TOO_LARGE: more than SL_TS_MAX selectors.
 */
SL_MUST_USE enum sl_rc ike_ts_read(struct sl_ts out[SL_TS_MAX], size_t *n, size_t *skipped,
                                   struct sl_bytes body, struct sl_err *err);
/* type: IKE_P_TSi or IKE_P_TSr; 1..SL_TS_MAX selectors. */
void ike_put_ts(struct ike_wr *c, uint8_t type, const struct sl_ts *ts, size_t n);

/*
 * The initiator's offer of one side. When a packet triggered the SA, trigger goes first as a very
 * specific selector (RFC 7296 2.9); it must lie within ts. Returns false when there is no room.
 */
bool ike_ts_offer(struct sl_ts out[SL_TS_MAX], size_t *n, const struct sl_ts *trigger,
                  const struct sl_ts *ts, size_t ts_n) SL_MUST_USE;

/* What a responder makes of one side of an offer. */
struct ike_ts_fit {
    struct sl_ts
        ts[SL_TS_MAX]; /* the answer; the part that holds the peer's first selector comes first */
    size_t n;          /* 0: nothing in common */
    bool whole;        /* the offer was accepted as it is */
    bool first;        /* the peer's first selector is inside the answer */
    bool more;         /* parts were left out for want of room: N(ADDITIONAL_TS_POSSIBLE) */
};
/*
 * Narrows one side (call it for TSi and for TSr): every part of the offer that the allowed selectors
 * (configured, or granted by the decision) cover. Parts within others are dropped. Among several
 * children that fit, prefer the one whose `first` holds on both sides, then `whole`.
 * fit->n == 0 on either side means N(TS_UNACCEPTABLE).
 */
void ike_ts_narrow(struct ike_ts_fit *fit, const struct sl_ts *offer, size_t offer_n,
                   const struct sl_ts *allowed, size_t allowed_n);

/* Initiator: every selector of the answer lies within one that was offered. */
bool ike_ts_within(const struct sl_ts *answer, size_t n, const struct sl_ts *offer, size_t offer_n);

/* "10.0.0.0/24 10.1.0.0/16[tcp/443]", cut to fit; returns out. */
char *ike_ts_list_text(char *out, size_t cap, const struct sl_ts *ts, size_t n);

#endif
