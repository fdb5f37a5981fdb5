/*
 * Packets too large for the path outside; see frag.h.
 * Fragmentation RFC 791 3.2; errors RFC 792, RFC 1191, RFC 4443 3.2.
 */
#include "src/esp/frag.h"

#include "src/esp/view.h"

#include <string.h>

#define IPV4_HDR_MIN   20u
#define IPV4_HDR_MAX   60u
#define IPV6_HDR_LEN   40u
#define MORE_FRAGMENTS 0x2000u

/*
 * The header of a later fragment: options without the "copied" bit are left out (RFC 791 3.1).
 * Returns its length; out holds IPV4_HDR_MAX.
 */
static size_t later_header(struct sl_bytes hdr, uint8_t *out)
{
    memcpy(out, hdr.p, IPV4_HDR_MIN);
    size_t n = IPV4_HDR_MIN;
    for (size_t at = IPV4_HDR_MIN; at < hdr.len;) {
        uint8_t kind = view_u8(hdr, at);
        if (kind == 0)
            break;
        size_t len = kind == 1 ? 1 : view_u8(hdr, at + 1);
        if (len == 0 || (kind != 1 && len < 2) || len > hdr.len - at)
            break; /* not an option: nothing behind it can be one */
        if (kind & 0x80) {
            memcpy(out + n, hdr.p + at, len);
            n += len;
        }
        at += len;
    }
    while (n % 4)
        out[n++] = 0;
    return n;
}

size_t esp_fragment(const struct esp_inner *in, struct sl_bytes whole, uint16_t mtu, uint32_t *at,
                    uint8_t *out)
{
    uint32_t data_len = in->total - in->l4;
    if (*at >= data_len)
        return 0;
    uint8_t hdr[IPV4_HDR_MAX];
    size_t hdr_len = in->l4;
    if (*at == 0)
        memcpy(hdr, whole.p, hdr_len);
    else
        hdr_len = later_header(sl_bytes(whole.p, in->l4), hdr);

    uint32_t left = data_len - *at, room = (mtu - (uint32_t)hdr_len) / 8 * 8;
    uint32_t n = left > (uint32_t)(mtu - hdr_len) ? room : left;
    uint16_t frag = view_u16(whole, 6);
    uint32_t offset = (frag & 0x1fffu) + *at / 8;
    /* the last piece of a fragment that was not the last one itself still has followers */
    bool more = n < left || (frag & MORE_FRAGMENTS);

    hdr[0] = (uint8_t)(0x40 | hdr_len / 4);
    view_put16(hdr + 2, (uint16_t)(hdr_len + n));
    view_put16(hdr + 6, (uint16_t)((offset & 0x1fff) | (more ? MORE_FRAGMENTS : 0)));
    view_put16(hdr + 10, 0);
    view_put16(hdr + 10, view_fold(view_sum(0, sl_bytes(hdr, hdr_len))));
    memcpy(out, hdr, hdr_len);
    memcpy(out + hdr_len, whole.p + in->l4 + *at, n);
    *at += n;
    return hdr_len + n;
}

/* May an ICMP error answer this packet? */
static bool answerable(const struct esp_inner *in, const uint8_t *pkt)
{
    struct sl_bytes b = sl_bytes(pkt, in->total);
    if (!in->first)
        return false;
    if (in->family == 4) {
        uint32_t src = (uint32_t)in->src.lo;
        uint8_t net = (uint8_t)(src >> 24);
        if (net == 0 || net == 127 || net >= 224 || (uint32_t)in->dst.lo >> 28 == 0xe ||
            (uint32_t)in->dst.lo == UINT32_MAX)
            return false;
        /* of ICMP, only the messages that are no errors themselves */
        uint8_t type = view_u8(b, in->l4);
        return in->proto != 1 || type == 8 || type == 0 || type == 13 || type == 14;
    }
    /* nor to a group: the error's source would have to be an address of ours */
    if (in->src.hi >> 56 == 0xff || in->dst.hi >> 56 == 0xff ||
        (in->src.hi == 0 && in->src.lo <= 1))
        return false;
    return in->proto != 58 || view_u8(b, in->l4) >= 128;
}

/* RFC 792 "fragmentation needed", with the next-hop MTU of RFC 1191 4. */
static size_t too_big4(const struct esp_inner *in, uint8_t *pkt, uint16_t mtu)
{
    const size_t total_max = 576; /* RFC 1812 4.3.2.3 */
    size_t quote =
        in->total < total_max - ESP_TOO_BIG_ROOM4 ? in->total : total_max - ESP_TOO_BIG_ROOM4;
    uint8_t *icmp = pkt - 8, *ip = icmp - IPV4_HDR_MIN;
    icmp[0] = 3;
    icmp[1] = 4;
    view_put16(icmp + 2, 0);
    view_put16(icmp + 4, 0);
    view_put16(icmp + 6, mtu);
    view_put16(icmp + 2, view_fold(view_sum(0, sl_bytes(icmp, 8 + quote))));
    size_t len = ESP_TOO_BIG_ROOM4 + quote;
    memset(ip, 0, IPV4_HDR_MIN);
    ip[0] = 0x45;
    ip[1] = 0xc0; /* internetwork control (RFC 1812 4.3.2.5) */
    view_put16(ip + 2, (uint16_t)len);
    ip[8] = 64;
    ip[9] = 1;
    view_put32(ip + 12, (uint32_t)in->dst.lo);
    view_put32(ip + 16, (uint32_t)in->src.lo);
    view_put16(ip + 10, view_fold(view_sum(0, sl_bytes(ip, IPV4_HDR_MIN))));
    return len;
}

/* RFC 4443 3.2 */
static size_t too_big6(const struct esp_inner *in, uint8_t *pkt, uint16_t mtu)
{
    const size_t total_max = 1280;
    size_t quote =
        in->total < total_max - ESP_TOO_BIG_ROOM6 ? in->total : total_max - ESP_TOO_BIG_ROOM6;
    uint8_t *icmp = pkt - 8, *ip = icmp - IPV6_HDR_LEN;
    uint16_t payload = (uint16_t)(8 + quote);
    memset(ip, 0, IPV6_HDR_LEN);
    ip[0] = 0x60;
    view_put16(ip + 4, payload);
    ip[6] = 58;
    ip[7] = 64;
    view_put64(ip + 8, in->dst.hi);
    view_put64(ip + 16, in->dst.lo);
    view_put64(ip + 24, in->src.hi);
    view_put64(ip + 32, in->src.lo);
    icmp[0] = 2;
    icmp[1] = 0;
    view_put16(icmp + 2, 0);
    view_put32(icmp + 4, mtu);
    /* pseudo-header (RFC 8200 8.1): addresses, length, next header */
    uint64_t sum = view_sum(0, sl_bytes(ip + 8, 32));
    sum += payload;
    sum += 58;
    view_put16(icmp + 2, view_fold(view_sum(sum, sl_bytes(icmp, payload))));
    return IPV6_HDR_LEN + payload;
}

size_t esp_too_big(const struct esp_inner *in, uint8_t *pkt, uint16_t mtu)
{
    if (!answerable(in, pkt))
        return 0;
    return in->family == 4 ? too_big4(in, pkt, mtu) : too_big6(in, pkt, mtu);
}
