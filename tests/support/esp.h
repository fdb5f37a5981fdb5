/*
 * For tests, fuzz targets and benchmarks of the ESP datapath: children with known keys, packets
 * built by hand, and a checksum written without looking at the one under test.
 */
#ifndef SL_TEST_ESP_H
#define SL_TEST_ESP_H

#include "sealane/esp.h"
#include "sealane/net.h"

#include <stdlib.h>
#include <string.h>

static const struct sl_suite esp_suites[] = {
    { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
    { SL_ENCR_AES_GCM_16, 256, SL_INTEG_NONE },
    { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
    { SL_ENCR_AES_CBC, 128, SL_INTEG_HMAC_SHA2_256_128 },
    { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_384_192 },
    { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_512_256 },
};

struct esp_mem {
    struct sl_esp_pkt p;
    uint8_t bytes[SL_ESP_HEADROOM + SL_ESP_PACKET_MAX + SL_ESP_TAILROOM];
};

static inline struct sl_esp_pkt *esp_mem_set(struct esp_mem *m, struct sl_bytes v)
{
    if (v.len > SL_ESP_PACKET_MAX)
        abort();
    m->p = (struct sl_esp_pkt){
        .buf = m->bytes, .cap = sizeof(m->bytes), .off = SL_ESP_HEADROOM, .len = (uint32_t)v.len
    };
    if (v.len)
        memcpy(m->bytes + SL_ESP_HEADROOM, v.p, v.len);
    return &m->p;
}

static inline struct sl_bytes esp_pkt_bytes(const struct sl_esp_pkt *p)
{
    return sl_bytes(p->buf + p->off, p->len);
}

/* Key bytes that depend on which: 'a' for one direction, 'b' for the other. */
static inline void esp_test_key(struct sl_secret *s, size_t len, uint8_t which)
{
    struct sl_err err;
    sl_secret_clear(s);
    if (!len)
        return;
    if (sl_secret_init(s, len, &err) != SL_OK)
        abort();
    for (size_t i = 0; i < len; i++)
        s->p[i] = (uint8_t)(which + 7 * i);
}

static inline void esp_test_ts(struct sl_ts *ts, size_t *n, const char *const *text)
{
    for (*n = 0; text[*n]; ++*n)
        if (!sl_ts_parse(&ts[*n], text[*n]))
            abort();
}

/* Selectors: NULL-ended. side 'a' seals with key 'a' and opens with key 'b', side 'b' the reverse. */
struct esp_test_child {
    uint64_t id, replaces;
    struct sl_suite suite;
    bool esn, udp_encap, outbound;
    char side;
    uint32_t spi_a, spi_b; /* SPI of what each side receives */
    const char *outer_a, *outer_b;
    const char *ts_a[8], *ts_b[8];
    uint32_t window;
    struct sl_child_limits limits;
};

static inline void esp_test_child(struct sl_child *c, const struct esp_test_child *t)
{
    bool a = t->side != 'b';
    *c = (struct sl_child){
        .id = t->id ? t->id : 1,
        .ike_sa = 100,
        .replaces = t->replaces,
        .connection = "conn",
        .child = "child",
        .udp_encap = t->udp_encap,
        .esn = t->esn,
        .outbound = t->outbound,
        .suite = t->suite,
        .replay_window_pkts = t->window ? t->window : 1024,
        .limits = t->limits,
    };
    uint32_t spi_a = t->spi_a ? t->spi_a : 0xa0000001, spi_b = t->spi_b ? t->spi_b : 0xb0000001;
    c->spi_in = a ? spi_a : spi_b;
    c->spi_out = a ? spi_b : spi_a;
    const char *outer_a = t->outer_a ? t->outer_a : "192.0.2.1";
    const char *outer_b = t->outer_b ? t->outer_b : "192.0.2.2";
    if (!sl_endpoint_parse(&c->local, a ? outer_a : outer_b, 4500) ||
        !sl_endpoint_parse(&c->remote, a ? outer_b : outer_a, 4500))
        abort();
    const char *const default_a[] = { "10.1.0.0/16", "2001:db8:1::/48", NULL };
    const char *const default_b[] = { "10.2.0.0/16", "2001:db8:2::/48", NULL };
    const char *const *ts_a = t->ts_a[0] ? t->ts_a : default_a;
    const char *const *ts_b = t->ts_b[0] ? t->ts_b : default_b;
    esp_test_ts(c->ts_local, &c->ts_local_n, a ? ts_a : ts_b);
    esp_test_ts(c->ts_remote, &c->ts_remote_n, a ? ts_b : ts_a);
    size_t encr = sl_suite_encr_key_len(&t->suite), integ = sl_suite_integ_key_len(&t->suite);
    esp_test_key(&c->encr_out, encr, a ? 0x10 : 0x60);
    esp_test_key(&c->integ_out, integ, a ? 0x11 : 0x61);
    esp_test_key(&c->encr_in, encr, a ? 0x60 : 0x10);
    esp_test_key(&c->integ_in, integ, a ? 0x61 : 0x11);
}

/* The checksum of RFC 1071 done slowly: 16-bit one's complement additions, one by one. */
static inline uint16_t esp_slow_sum(const uint8_t *p, size_t len, uint32_t start)
{
    uint32_t sum = start;
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? p[i] : (uint32_t)p[i] * 256;
        if (sum > 0xffff)
            sum = sum % 0x10000 + 1;
    }
    return (uint16_t)(0xffff - sum);
}

static inline void esp_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v / 256);
    p[1] = (uint8_t)(v % 256);
}

/* An IP packet of either family; returns its length. options (IPv4): bytes after the header. */
struct esp_ip {
    const char *src, *dst;
    uint8_t proto, tos;
    uint16_t id, frag; /* IPv4: flags and offset as on the wire */
    struct sl_bytes options;
    struct sl_bytes payload;
};

static inline size_t esp_ip_make(uint8_t *out, const struct esp_ip *ip)
{
    struct sl_addr src, dst;
    if (!sl_addr_parse(&src, ip->src) || !sl_addr_parse(&dst, ip->dst))
        abort();
    size_t hdr = src.family == 4 ? 20 + ip->options.len : 40;
    memset(out, 0, hdr);
    if (src.family == 4) {
        out[0] = (uint8_t)(0x40 + hdr / 4);
        out[1] = ip->tos;
        esp_put16(out + 2, (unsigned)(hdr + ip->payload.len));
        esp_put16(out + 4, ip->id);
        esp_put16(out + 6, ip->frag);
        out[8] = 61;
        out[9] = ip->proto;
        memcpy(out + 12, src.b, 4);
        memcpy(out + 16, dst.b, 4);
        if (ip->options.len)
            memcpy(out + 20, ip->options.p, ip->options.len);
        esp_put16(out + 10, esp_slow_sum(out, hdr, 0));
    } else {
        out[0] = (uint8_t)(0x60 | ip->tos >> 4);
        out[1] = (uint8_t)(ip->tos << 4);
        esp_put16(out + 4, (unsigned)ip->payload.len);
        out[6] = ip->proto;
        out[7] = 61;
        memcpy(out + 8, src.b, 16);
        memcpy(out + 24, dst.b, 16);
    }
    if (ip->payload.len)
        memcpy(out + hdr, ip->payload.p, ip->payload.len);
    return hdr + ip->payload.len;
}

/* A UDP packet of total bytes between the default selectors; checksum left out. */
static inline size_t esp_udp_make(uint8_t *out, unsigned family, size_t total, uint16_t frag)
{
    uint8_t payload[SL_ESP_PACKET_MAX];
    size_t hdr = family == 4 ? 20 : 40, n = total - hdr;
    for (size_t i = 0; i < n; i++)
        payload[i] = (uint8_t)(i * 5 + 1);
    const uint8_t ports[] = { 0x30, 0x39, 0x00, 0x35 };
    memcpy(payload, ports, n < 4 ? n : 4);
    return esp_ip_make(out, &(struct esp_ip){ .src = family == 4 ? "10.1.0.5" : "2001:db8:1::5",
                                              .dst = family == 4 ? "10.2.0.9" : "2001:db8:2::9",
                                              .proto = 17,
                                              .id = 0x1234,
                                              .frag = frag,
                                              .payload = sl_bytes(payload, n) });
}

#endif
