/*
 * Bounds-checked access to packet bytes at an offset, for the packet path. As with the reader of
 * bytes.h, what lies outside reads as zero; unlike it these are inline and random access, so that
 * after one check of a header's length the compiler drops the others. The packet path only: all
 * else uses sl_rd and sl_wr.
 */
#ifndef SL_ESP_VIEW_H
#define SL_ESP_VIEW_H

#include "sealane/bytes.h"

#include <assert.h>

static inline uint8_t view_u8(struct sl_bytes b, size_t at)
{
    return at < b.len ? b.p[at] : 0;
}

static inline uint16_t view_u16(struct sl_bytes b, size_t at)
{
    if (b.len < 2 || at > b.len - 2)
        return 0;
    return (uint16_t)(b.p[at] << 8 | b.p[at + 1]);
}

static inline uint32_t view_u32(struct sl_bytes b, size_t at)
{
    if (b.len < 4 || at > b.len - 4)
        return 0;
    return (uint32_t)b.p[at] << 24 | (uint32_t)b.p[at + 1] << 16 | (uint32_t)b.p[at + 2] << 8 |
           b.p[at + 3];
}

static inline uint64_t view_u64(struct sl_bytes b, size_t at)
{
    if (b.len < 8 || at > b.len - 8)
        return 0;
    return (uint64_t)view_u32(b, at) << 32 | view_u32(b, at + 4);
}

/* Writing into packet memory whose size the caller has checked. */
static inline void view_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void view_put32(uint8_t *p, uint32_t v)
{
    view_put16(p, (uint16_t)(v >> 16));
    view_put16(p + 2, (uint16_t)v);
}

static inline void view_put64(uint8_t *p, uint64_t v)
{
    view_put32(p, (uint32_t)(v >> 32));
    view_put32(p + 4, (uint32_t)v);
}

/* ---- the Internet checksum (RFC 1071) ---------------------------------------------------------- */
/* Adds the bytes to a running sum; every part but the last is of even length. */
static inline uint64_t view_sum(uint64_t sum, struct sl_bytes b)
{
    size_t i = 0;
    for (; i + 4 <= b.len; i += 4)
        sum += view_u32(b, i);
    for (; i + 2 <= b.len; i += 2)
        sum += view_u16(b, i);
    if (i < b.len)
        sum += (uint64_t)view_u8(b, i) << 8;
    return sum;
}

static inline uint16_t view_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The checksum after one 16-bit word it covers has changed (RFC 1624, equation 3). */
static inline uint16_t view_sum_adjust(uint16_t check, uint16_t was, uint16_t now)
{
    return view_fold((uint64_t)(uint16_t)~check + (uint16_t)~was + now);
}

#endif
