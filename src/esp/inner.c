/*
 * The packet inside the tunnel; see inner.h.
 * IPv4 RFC 791, IPv6 RFC 8200, ECN RFC 6040, MSS RFC 9293 3.7.1 and RFC 6691.
 */
#include "src/esp/inner.h"

#include "src/esp/view.h"

#define IPV4_HDR_MIN   20u
#define IPV6_HDR_LEN   40u
#define IPV6_CHAIN_MAX 8   /* extension headers followed; more is nothing a router should see */
#define MSS_MIN        88u /* a SYN is never asked for less; the smallest MSS Linux sends with */

enum {
    PROTO_HOPOPTS = 0,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_DCCP = 33,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AH = 51,
    PROTO_ICMPV6 = 58,
    PROTO_DSTOPTS = 60,
    PROTO_SCTP = 132,
    PROTO_UDPLITE = 136,
};

struct esp_num esp_num_of(const struct sl_addr *a)
{
    struct sl_bytes b = sl_addr_bytes(a);
    if (b.len == 4)
        return (struct esp_num){ .hi = 0, .lo = view_u32(b, 0) };
    return (struct esp_num){ .hi = view_u64(b, 0), .lo = view_u64(b, 8) };
}

void esp_sel_of(struct esp_sel *s, const struct sl_ts *ts)
{
    *s = (struct esp_sel){
        .first = esp_num_of(&ts->first),
        .last = esp_num_of(&ts->last),
        .family = ts->first.family,
        .proto = ts->protocol,
        .any_port = ts->start_port == 0 && ts->end_port == 65535,
        .opaque = ts->start_port == 65535 && ts->end_port == 0,
        .start_port = ts->start_port,
        .end_port = ts->end_port,
    };
}

/* Ports, where the next layer has them and its header is here. */
static void ports_read(struct esp_inner *in, struct sl_bytes pkt)
{
    in->ports = false;
    in->sport = in->dport = 0;
    if (!in->first || in->total < in->l4 + 4u)
        return;
    switch (in->proto) {
    case PROTO_TCP:
    case PROTO_UDP:
    case PROTO_DCCP:
    case PROTO_SCTP:
    case PROTO_UDPLITE:
        in->sport = view_u16(pkt, in->l4);
        in->dport = view_u16(pkt, in->l4 + 2);
        in->ports = true;
        break;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        in->sport = in->dport = view_u16(pkt, in->l4);
        in->ports = true;
        break;
    default:
        break;
    }
}

static enum sl_rc ipv4_read(struct esp_inner *in, struct sl_bytes pkt)
{
    size_t hdr_len = (size_t)(view_u8(pkt, 0) & 0x0f) * 4;
    uint16_t total = view_u16(pkt, 2), frag = view_u16(pkt, 6);
    if (hdr_len < IPV4_HDR_MIN || pkt.len < hdr_len || total < hdr_len || total > pkt.len)
        return SL_ESP_INNER;
    if (view_fold(view_sum(0, sl_bytes(pkt.p, hdr_len))) != 0)
        return SL_ESP_INNER; /* RFC 1812 5.2.2: a router drops it */
    *in = (struct esp_inner){
        .family = 4,
        .tos = view_u8(pkt, 1),
        .proto = view_u8(pkt, 9),
        .df = frag & 0x4000,
        .first = (frag & 0x1fff) == 0,
        .fragment = frag & 0x3fff,
        .total = total,
        .l4 = (uint32_t)hdr_len,
        .src = { .lo = view_u32(pkt, 12) },
        .dst = { .lo = view_u32(pkt, 16) },
    };
    ports_read(in, pkt);
    return SL_OK;
}

/* Follows the extension headers (RFC 8200 4) to the next layer; false: the chain is broken. */
static bool ipv6_chain(struct esp_inner *in, struct sl_bytes pkt)
{
    struct sl_rd r = sl_rd(sl_bytes_slice(pkt, IPV6_HDR_LEN, in->total - IPV6_HDR_LEN));
    for (int i = 0; i < IPV6_CHAIN_MAX; i++) {
        uint8_t next, len;
        in->l4 = in->total - (uint32_t)sl_rd_left(&r);
        switch (in->proto) {
        case PROTO_HOPOPTS:
        case PROTO_ROUTING:
        case PROTO_DSTOPTS:
            next = sl_rd_u8(&r);
            len = sl_rd_u8(&r);
            sl_rd_skip(&r, 6 + (size_t)len * 8);
            break;
        case PROTO_AH: /* RFC 4302 2.2: length in 4 bytes, less 2 */
            next = sl_rd_u8(&r);
            len = sl_rd_u8(&r);
            sl_rd_skip(&r, ((size_t)len + 2) * 4 - 2);
            break;
        case PROTO_FRAGMENT: {
            next = sl_rd_u8(&r);
            sl_rd_skip(&r, 1);
            uint16_t offset = sl_rd_u16(&r);
            sl_rd_skip(&r, 4);
            in->fragment = offset & 0xfff9;
            if (offset >> 3) { /* what follows is the middle of something */
                in->first = false;
                in->proto = next;
                in->l4 = in->total - (uint32_t)sl_rd_left(&r);
                return sl_rd_ok(&r);
            }
            break;
        }
        default:
            return true;
        }
        if (!sl_rd_ok(&r))
            return false;
        in->proto = next;
    }
    return false;
}

static enum sl_rc ipv6_read(struct esp_inner *in, struct sl_bytes pkt)
{
    if (pkt.len < IPV6_HDR_LEN)
        return SL_ESP_INNER;
    uint32_t total = IPV6_HDR_LEN + view_u16(pkt, 4); /* jumbograms are not carried */
    if (total > pkt.len)
        return SL_ESP_INNER;
    *in = (struct esp_inner){
        .family = 6,
        .tos = (uint8_t)(view_u16(pkt, 0) >> 4),
        .proto = view_u8(pkt, 6),
        .df = true,
        .first = true,
        .total = total,
        .src = { .hi = view_u64(pkt, 8), .lo = view_u64(pkt, 16) },
        .dst = { .hi = view_u64(pkt, 24), .lo = view_u64(pkt, 32) },
    };
    if (!ipv6_chain(in, pkt))
        return SL_ESP_INNER;
    ports_read(in, pkt);
    return SL_OK;
}

enum sl_rc esp_inner_read(struct esp_inner *in, struct sl_bytes pkt)
{
    switch (view_u8(pkt, 0) >> 4) {
    case 4:
        return ipv4_read(in, pkt);
    case 6:
        return ipv6_read(in, pkt);
    default:
        return SL_ESP_INNER;
    }
}

/* Sets the DSCP and ECN octet of a packet that esp_inner_read has accepted. */
static void tos_set(const struct esp_inner *in, uint8_t *pkt, uint8_t tos)
{
    struct sl_bytes b = sl_bytes(pkt, in->total);
    uint16_t was = view_u16(b, 0);
    if (in->family == 4) {
        pkt[1] = tos;
        view_put16(pkt + 10, view_sum_adjust(view_u16(b, 10), was, view_u16(b, 0)));
    } else {
        view_put16(pkt, (uint16_t)((was & 0xf00f) | tos << 4));
    }
}

bool esp_inner_ecn(const struct esp_inner *in, uint8_t *pkt, uint8_t outer_tos)
{
    enum { NOT_ECT, ECT1, ECT0, CE };
    uint8_t inner = in->tos & 3, outer = outer_tos & 3, out = inner;
    /* SPEC RFC6040-4.2 MUST: the outgoing field is chosen from both headers */
    if (outer == CE) {
        if (inner == NOT_ECT)
            return false;
        out = CE;
    } else if (outer == ECT1 && inner == ECT0) {
        out = ECT1;
    }
    if (out != inner)
        tos_set(in, pkt, (uint8_t)((in->tos & 0xfc) | out));
    return true;
}

bool esp_inner_clamp_mss(const struct esp_inner *in, uint8_t *pkt, uint16_t mtu)
{
    const unsigned tcp_len = 20;
    if (in->proto != PROTO_TCP || !in->first || in->total < in->l4 + tcp_len)
        return false;
    struct sl_bytes tcp = sl_bytes(pkt + in->l4, in->total - in->l4);
    size_t hdr_len = (size_t)(view_u8(tcp, 12) >> 4) * 4;
    bool syn = view_u8(tcp, 13) & 0x02;
    if (!syn || hdr_len <= tcp_len || hdr_len > tcp.len)
        return false;

    unsigned headers = (in->family == 4 ? IPV4_HDR_MIN : IPV6_HDR_LEN) + tcp_len;
    unsigned limit = mtu > headers + MSS_MIN ? mtu - headers : MSS_MIN;
    for (size_t at = tcp_len; at < hdr_len;) {
        uint8_t kind = view_u8(tcp, at);
        if (kind == 0) /* end of options */
            return false;
        if (kind == 1) { /* padding */
            at++;
            continue;
        }
        uint8_t len = at + 1 < hdr_len ? view_u8(tcp, at + 1) : 0;
        if (len < 2 || len > hdr_len - at)
            return false;
        if (kind == 2) {
            uint16_t mss = view_u16(tcp, at + 2), check = view_u16(tcp, 16);
            if (len != 4 || mss <= limit)
                return false;
            uint8_t *p = pkt + in->l4;
            view_put16(p + at + 2, (uint16_t)limit);
            if (at % 2 == 0) {
                check = view_sum_adjust(check, mss, (uint16_t)limit);
            } else {
                /* the value straddles two words of the checksum: the same, bytes exchanged */
                check = view_sum_adjust(check, (uint16_t)(mss << 8 | mss >> 8),
                                        (uint16_t)(limit << 8 | limit >> 8));
            }
            view_put16(p + 16, check);
            return true;
        }
        at += len;
    }
    return false;
}
