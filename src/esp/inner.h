/*
 * The packet inside the tunnel: what policy, fragmentation and the outer header need to know of an
 * IPv4 or IPv6 packet, and the few changes made to it (ECN on leaving the tunnel, MSS of a SYN).
 */
#ifndef SL_ESP_INNER_H
#define SL_ESP_INNER_H

#include "sealane/net.h"

/* An address as a number, so that ranges are two comparisons; IPv4 in the low 32 bits. */
struct esp_num {
    uint64_t hi, lo;
};
static inline bool esp_num_le(struct esp_num a, struct esp_num b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo <= b.lo);
}
struct esp_num esp_num_of(const struct sl_addr *a);

struct esp_inner {
    uint8_t family; /* 4 or 6 */
    uint8_t tos;    /* DSCP and ECN */
    uint8_t proto;  /* next layer, past IPv6 extension headers */
    bool df;        /* must not be fragmented: IPv4 DF, any IPv6 */
    bool first;     /* not a fragment, or the first one: the next layer's header is here */
    bool fragment;
    bool ports;            /* sport and dport are known */
    uint16_t sport, dport; /* ICMP: type << 8 | code in both (RFC 7296 3.13.1) */
    uint32_t total;        /* of the whole packet; what lies behind is padding */
    uint32_t l4;           /* offset of the next layer's header */
    struct esp_num src, dst;
};

/* SL_OK, or SL_ESP_INNER: a header that no router would pass on. */
enum sl_rc esp_inner_read(struct esp_inner *in, struct sl_bytes pkt);

/* One traffic selector, ready for matching (RFC 4301 4.4.1.1). */
struct esp_sel {
    struct esp_num first, last;
    uint8_t family, proto;
    bool any_port; /* else */
    bool opaque;   /* only packets whose ports are not known */
    uint16_t start_port, end_port;
};
void esp_sel_of(struct esp_sel *s, const struct sl_ts *ts);
static inline bool esp_sel_has(const struct esp_sel *s, const struct esp_inner *in,
                               struct esp_num addr, uint16_t port)
{
    if (s->family != in->family || !esp_num_le(s->first, addr) || !esp_num_le(addr, s->last))
        return false;
    if (s->proto && s->proto != in->proto)
        return false;
    if (s->any_port)
        return true;
    if (s->opaque)
        return !in->ports;
    return in->ports && s->start_port <= port && port <= s->end_port;
}
static inline bool esp_sels_have(const struct esp_sel *s, size_t n, const struct esp_inner *in,
                                 struct esp_num addr, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (esp_sel_has(&s[i], in, addr, port))
            return true;
    return false;
}

/*
 * The packet leaves the tunnel whose outer header had outer_tos (RFC 6040 4.2): sets its ECN field.
 * false: congestion was marked on a packet that cannot carry it; drop.
 */
SL_MUST_USE bool esp_inner_ecn(const struct esp_inner *in, uint8_t *pkt, uint8_t outer_tos);

/*
 * Lowers the MSS option of a TCP SYN to what a packet of mtu bytes leaves, and adjusts the checksum.
 * true when it changed something.
 */
bool esp_inner_clamp_mss(const struct esp_inner *in, uint8_t *pkt, uint16_t mtu);

#endif
