/*
 * Packets inside the tunnel: reading, ECN, MSS, fragments and "too big" errors, with checksums and
 * reassembly done independently here.
 */
#include "src/esp/inner.h"

#include "src/esp/frag.h"
#include "support/esp.h"
#include "support/support.h"

#define A4 "10.1.0.5"
#define B4 "10.2.0.9"
#define A6 "2001:db8:1::5"
#define B6 "2001:db8:2::9"

static enum sl_rc read_exact(struct esp_inner *in, const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1); /* so that a sanitizer sees one byte too many */
    memcpy(copy, p, len);
    enum sl_rc rc = esp_inner_read(in, sl_bytes(copy, len));
    free(copy);
    return rc;
}

START_TEST(ipv4_packet_is_read)
{
    uint8_t pkt[256], tcp[24] = { 0x12, 0x34, 0x01, 0xbb };
    struct esp_inner in;
    size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = A4,
                                                  .dst = B4,
                                                  .proto = 6,
                                                  .tos = 0xb9,
                                                  .frag = 0x4000,
                                                  .payload = sl_bytes(tcp, sizeof(tcp)) });
    memset(pkt + n, 0, 10); /* padding behind it does not count */
    ck_assert_int_eq(read_exact(&in, pkt, n + 10), SL_OK);
    ck_assert_uint_eq(in.family, 4);
    ck_assert_uint_eq(in.tos, 0xb9);
    ck_assert_uint_eq(in.proto, 6);
    ck_assert(in.df && in.first && !in.fragment && in.ports);
    ck_assert_uint_eq(in.sport, 0x1234);
    ck_assert_uint_eq(in.dport, 443);
    ck_assert_uint_eq(in.total, 44);
    ck_assert_uint_eq(in.l4, 20);
    ck_assert_uint_eq(in.src.lo, 0x0a010005);
    ck_assert_uint_eq(in.dst.lo, 0x0a020009);
}
END_TEST

START_TEST(truncated_packets_are_refused)
{
    uint8_t pkt[256], udp[40] = { 0 };
    struct esp_inner in;
    for (int family = 4; family <= 6; family += 2) {
        size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = family == 4 ? A4 : A6,
                                                      .dst = family == 4 ? B4 : B6,
                                                      .proto = 17,
                                                      .payload = sl_bytes(udp, sizeof(udp)) });
        for (size_t len = 0; len < n; len++)
            ck_assert_int_eq(read_exact(&in, pkt, len), SL_ESP_INNER);
        ck_assert_int_eq(read_exact(&in, pkt, n), SL_OK);
    }
}
END_TEST

START_TEST(bad_ipv4_headers_are_refused)
{
    uint8_t good[64], pkt[64], data[20] = { 0 };
    struct esp_inner in;
    size_t n = esp_ip_make(
        good, &(struct esp_ip){
                  .src = A4, .dst = B4, .proto = 17, .payload = sl_bytes(data, sizeof(data)) });
    const struct {
        size_t at;
        uint8_t v;
        bool sum; /* made right again */
    } cases[] = {
        { 0, 0x55, true }, { 0, 0x44, true }, { 0, 0x4f, true }, { 0, 0x05, true },
        { 2, 0x10, true }, { 3, 19, true },   { 3, 0xff, true }, { 8, 1, false },
        { 10, 0, false },  { 12, 11, false }, { 19, 10, false },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        memcpy(pkt, good, n);
        pkt[cases[i].at] = cases[i].v;
        if (cases[i].sum) {
            esp_put16(pkt + 10, 0);
            esp_put16(pkt + 10, esp_slow_sum(pkt, 20, 0));
        }
        ck_assert_msg(read_exact(&in, pkt, n) == SL_ESP_INNER, "case %zu", i);
    }
}
END_TEST

START_TEST(fragments_have_no_ports_but_the_first)
{
    uint8_t pkt[64], data[20] = { 1, 2, 3, 4 };
    struct esp_inner in;
    struct esp_ip ip = { .src = A4, .dst = B4, .proto = 17, .payload = sl_bytes(data, 20) };
    ip.frag = 0x2000;
    ck_assert_int_eq(read_exact(&in, pkt, esp_ip_make(pkt, &ip)), SL_OK);
    ck_assert(in.fragment && in.first && in.ports && !in.df);
    ip.frag = 0x0003;
    ck_assert_int_eq(read_exact(&in, pkt, esp_ip_make(pkt, &ip)), SL_OK);
    ck_assert(in.fragment && !in.first && !in.ports);
}
END_TEST

/* payload: extension headers, then 8 bytes of UDP */
static enum sl_rc chain(struct esp_inner *in, uint8_t first, const char *headers)
{
    uint8_t pkt[512], payload[400];
    struct sl_bytes h = sl_test_hex(headers);
    memcpy(payload, h.p, h.len);
    memcpy(payload + h.len, (const uint8_t[]){ 0x12, 0x34, 0, 53, 0, 8, 0, 0 }, 8);
    size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = A6,
                                                  .dst = B6,
                                                  .proto = first,
                                                  .tos = 0x2e << 2,
                                                  .payload = sl_bytes(payload, h.len + 8) });
    return read_exact(in, pkt, n);
}

START_TEST(ipv6_extension_headers_are_followed)
{
    struct esp_inner in;
    ck_assert_int_eq(chain(&in, 17, ""), SL_OK);
    ck_assert(in.df && in.first && in.ports && in.l4 == 40 && in.dport == 53);
    ck_assert_uint_eq(in.tos, 0x2e << 2);
    ck_assert_uint_eq(in.src.hi, UINT64_C(0x20010db800010000));
    ck_assert_uint_eq(in.src.lo, 5);
    /* hop-by-hop (8 bytes), routing (24), destination options (8), UDP */
    ck_assert_int_eq(chain(&in, 0,
                           "2b00010400000000 3c02000000000000 00000000000000000000000000000000"
                           "1100010400000000"),
                     SL_OK);
    ck_assert(in.proto == 17 && in.l4 == 40 + 40 && in.sport == 0x1234);
    /* authentication header: length counts in fours, less two */
    ck_assert_int_eq(chain(&in, 51, "11040000 00000001 00000001 000000000000000000000000"), SL_OK);
    ck_assert(in.proto == 17 && in.l4 == 64);
    /* an atomic fragment, a first one, a later one */
    ck_assert_int_eq(chain(&in, 44, "1100000000000007"), SL_OK);
    ck_assert(!in.fragment && in.ports);
    ck_assert_int_eq(chain(&in, 44, "1100000100000007"), SL_OK);
    ck_assert(in.fragment && in.first && in.ports);
    ck_assert_int_eq(chain(&in, 44, "1100000900000007"), SL_OK);
    ck_assert(in.fragment && !in.first && !in.ports && in.proto == 17);
}
END_TEST

START_TEST(broken_ipv6_chains_are_refused)
{
    struct esp_inner in;
    ck_assert_int_eq(chain(&in, 0, "11ff000000000000"), SL_ESP_INNER); /* longer than the packet */
    ck_assert_int_eq(chain(&in, 44, ""), SL_OK); /* 8 bytes are a whole fragment header */
    ck_assert_int_eq(chain(&in, 0,
                           "3c00000000000000 3c00000000000000 3c00000000000000"
                           "3c00000000000000 3c00000000000000 3c00000000000000"
                           "3c00000000000000 3c00000000000000 1100000000000000"),
                     SL_ESP_INNER); /* more headers than a router need follow */
}
END_TEST

START_TEST(selectors_match_addresses_protocol_and_ports)
{
    static const struct {
        const char *ts;
        bool tcp443, frag, icmp;
    } cases[] = {
        { "10.2.0.0/16", true, true, true },
        { "10.2.0.9", true, true, true },
        { "10.2.0.10-10.2.0.20", false, false, false },
        { "10.2.0.3-10.2.0.9", true, true, true },
        { "10.2.0.0/16[tcp]", true, true, false },
        { "10.2.0.0/16[tcp/443]", true, false, false },
        { "10.2.0.0/16[tcp/80]", false, false, false },
        { "10.2.0.0/16[6/400-500]", true, false, false },
        { "10.2.0.0/16[icmp]", false, false, true },
        { "2001:db8:2::/48", false, false, false },
        { "0.0.0.0/0", true, true, true },
    };
    uint8_t pkt[64], tcp[20] = { 0x12, 0x34, 0x01, 0xbb }, echo[8] = { 8, 0 };
    struct esp_inner t, f, i;
    struct esp_ip ip = { .src = A4, .dst = B4, .proto = 6, .payload = sl_bytes(tcp, 20) };
    ck_assert_int_eq(read_exact(&t, pkt, esp_ip_make(pkt, &ip)), SL_OK);
    ip.frag = 5;
    ck_assert_int_eq(read_exact(&f, pkt, esp_ip_make(pkt, &ip)), SL_OK);
    ip = (struct esp_ip){ .src = A4, .dst = B4, .proto = 1, .payload = sl_bytes(echo, 8) };
    ck_assert_int_eq(read_exact(&i, pkt, esp_ip_make(pkt, &ip)), SL_OK);
    for (size_t n = 0; n < SL_ARRAY_LEN(cases); n++) {
        struct sl_ts ts;
        struct esp_sel sel;
        ck_assert_msg(sl_ts_parse(&ts, cases[n].ts), "%s", cases[n].ts);
        esp_sel_of(&sel, &ts);
        ck_assert_msg(esp_sel_has(&sel, &t, t.dst, t.dport) == cases[n].tcp443, "%s", cases[n].ts);
        ck_assert_msg(esp_sel_has(&sel, &f, f.dst, f.dport) == cases[n].frag, "%s", cases[n].ts);
        ck_assert_msg(esp_sel_has(&sel, &i, i.dst, i.dport) == cases[n].icmp, "%s", cases[n].ts);
    }
    /* OPAQUE: just the packets whose ports cannot be seen (RFC 4301 4.4.1.1) */
    struct sl_ts opaque;
    struct esp_sel sel;
    ck_assert(sl_ts_parse(&opaque, "10.2.0.0/16[tcp]"));
    opaque.start_port = 65535;
    opaque.end_port = 0;
    esp_sel_of(&sel, &opaque);
    ck_assert(!esp_sel_has(&sel, &t, t.dst, t.dport));
    ck_assert(esp_sel_has(&sel, &f, f.dst, f.dport));
}
END_TEST

/* RFC 6040 4.2, figure 4: rows inner, columns outer; 9: drop */
START_TEST(ecn_follows_the_table)
{
    enum { NOT, ECT1, ECT0, CE, DROP = 9 };
    static const uint8_t want[4][4] = {
        [NOT] = { [NOT] = NOT, [ECT0] = NOT, [ECT1] = NOT, [CE] = DROP },
        [ECT0] = { [NOT] = ECT0, [ECT0] = ECT0, [ECT1] = ECT1, [CE] = CE },
        [ECT1] = { [NOT] = ECT1, [ECT0] = ECT1, [ECT1] = ECT1, [CE] = CE },
        [CE] = { [NOT] = CE, [ECT0] = CE, [ECT1] = CE, [CE] = CE },
    };
    for (int family = 4; family <= 6; family += 2)
        for (uint8_t inner = 0; inner < 4; inner++)
            for (uint8_t outer = 0; outer < 4; outer++) {
                uint8_t pkt[64], data[8] = { 0 };
                const uint8_t dscp = 0x2e << 2;
                struct esp_inner in;
                size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = family == 4 ? A4 : A6,
                                                              .dst = family == 4 ? B4 : B6,
                                                              .proto = 17,
                                                              .tos = dscp | inner,
                                                              .payload = sl_bytes(data, 8) });
                ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
                bool ok = esp_inner_ecn(&in, pkt, (uint8_t)(0xfc | outer));
                ck_assert(ok == (want[inner][outer] != DROP));
                if (!ok)
                    continue;
                /* reads again, so the checksum is right; the outer DSCP stayed outside */
                ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
                ck_assert_uint_eq(in.tos, dscp | want[inner][outer]);
            }
}
END_TEST

/* A TCP segment with these options, and its checksum. */
static size_t tcp_make(uint8_t *pkt, int family, uint8_t flags, struct sl_bytes options,
                       const uint8_t *data, size_t data_len)
{
    uint8_t tcp[2000] = { 0x80, 0x01, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0 };
    size_t hdr = 20 + options.len;
    tcp[12] = (uint8_t)(hdr / 4 << 4);
    tcp[13] = flags;
    esp_put16(tcp + 14, 64240);
    if (options.len)
        memcpy(tcp + 20, options.p, options.len);
    if (data_len)
        memcpy(tcp + hdr, data, data_len);
    size_t len = hdr + data_len;
    struct esp_ip ip = { .src = family == 4 ? A4 : A6,
                         .dst = family == 4 ? B4 : B6,
                         .proto = 6,
                         .payload = sl_bytes(tcp, len) };
    size_t n = esp_ip_make(pkt, &ip);
    uint8_t pseudo[40] = { 0 };
    size_t addr = family == 4 ? 8 : 32;
    memcpy(pseudo, pkt + (family == 4 ? 12 : 8), addr);
    pseudo[addr + 1] = 6;
    esp_put16(pseudo + addr + 2, (unsigned)len);
    uint16_t part = (uint16_t)~esp_slow_sum(pseudo, addr + 4, 0);
    esp_put16(pkt + n - len + 16, esp_slow_sum(pkt + n - len, len, part));
    return n;
}

/* Is the TCP checksum of a packet made by tcp_make right? */
static bool tcp_sum_ok(const uint8_t *pkt, size_t n, int family)
{
    size_t hdr = family == 4 ? 20 : 40, len = n - hdr, addr = family == 4 ? 8 : 32;
    uint8_t pseudo[40] = { 0 };
    memcpy(pseudo, pkt + (family == 4 ? 12 : 8), addr);
    pseudo[addr + 1] = 6;
    esp_put16(pseudo + addr + 2, (unsigned)len);
    return esp_slow_sum(pkt + hdr, len, (uint16_t)~esp_slow_sum(pseudo, addr + 4, 0)) == 0;
}

START_TEST(mss_is_lowered_and_checksum_stays_right)
{
    static const struct {
        const char *options;
        uint8_t flags;
        uint16_t mtu;
        size_t at;             /* of the value in the options */
        uint16_t want4, want6; /* 0: unchanged */
    } cases[] = {
        { "020405b4", 0x02, 1400, 2, 1360, 1340 },
        { "020405b4", 0x12, 1400, 2, 1360, 1340 },         /* SYN, ACK */
        { "020405b4", 0x10, 1400, 2, 0, 0 },               /* no SYN */
        { "020405b4", 0x02, 1520, 2, 0, 0 },               /* small enough */
        { "01020405b4010101", 0x02, 1400, 3, 1360, 1340 }, /* at an odd place */
        { "01030307020405b401010402", 0x02, 1300, 6, 1260, 1240 },
        { "0402080a0000000100000002020405b40000", 0x02, 576, 14, 536, 516 },
        { "00020405b4000000", 0x02, 1400, 3, 0, 0 }, /* behind the end of options */
        { "02030500", 0x02, 1400, 2, 0, 0 },         /* wrong length */
        { "02040000", 0x02, 1400, 2, 0, 0 },
        { "05ff05b4", 0x02, 1400, 2, 0, 0 },         /* runs out */
        { "0500020405b40000", 0x02, 1400, 4, 0, 0 }, /* length 0 */
        { "020405b4", 0x02, 60, 2, 88, 88 },         /* never to nothing */
    };
    for (int family = 4; family <= 6; family += 2)
        for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
            uint8_t pkt[512], before[512];
            uint8_t options[40] = { 0 };
            struct sl_bytes given = sl_test_hex(cases[i].options);
            memcpy(options, given.p, given.len);
            size_t n =
                tcp_make(pkt, family, cases[i].flags, sl_bytes(options, (given.len + 3) / 4 * 4),
                         (const uint8_t *)"hello", 5);
            ck_assert(tcp_sum_ok(pkt, n, family));
            memcpy(before, pkt, n);
            struct esp_inner in;
            ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
            uint16_t want = family == 4 ? cases[i].want4 : cases[i].want6;
            bool changed = esp_inner_clamp_mss(&in, pkt, cases[i].mtu);
            ck_assert_msg(changed == (want != 0), "case %zu", i);
            if (want == 0) {
                ck_assert_mem_eq(pkt, before, n);
                continue;
            }
            const uint8_t *at = pkt + in.l4 + 20 + cases[i].at;
            ck_assert_uint_eq(at[0] * 256u + at[1], want);
            ck_assert_msg(tcp_sum_ok(pkt, n, family), "case %zu", i);
            ck_assert_msg(!esp_inner_clamp_mss(&in, pkt, cases[i].mtu), "again, case %zu", i);
        }
}
END_TEST

START_TEST(mss_checksum_is_right_for_any_values)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(1624));
    struct sl_rng rng = sl_rng_seeded(&state);
    unsigned changed = 0;
    for (int i = 0; i < 20000; i++) {
        int family = sl_rng_below(&rng, 2) ? 4 : 6;
        uint8_t pkt[512], options[40], data[64];
        /* fill with padding, then the MSS somewhere */
        size_t len = 4 * (1 + sl_rng_below(&rng, 10)), at = sl_rng_below(&rng, len - 3);
        memset(options, 1, sizeof(options));
        options[at] = 2;
        options[at + 1] = 4;
        sl_rng_fill(&rng, options + at + 2, 2);
        sl_rng_fill(&rng, data, sizeof(data));
        size_t n = tcp_make(pkt, family, 0x02, sl_bytes(options, len), data,
                            sl_rng_below(&rng, sizeof(data) + 1));
        struct esp_inner in;
        ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
        changed += esp_inner_clamp_mss(&in, pkt, (uint16_t)(200 + sl_rng_below(&rng, 1400)));
        ck_assert(tcp_sum_ok(pkt, n, family));
    }
    ck_assert_uint_gt(changed, 10000);
}
END_TEST

/* Puts fragments together as RFC 791 describes; returns the data's length. */
static size_t reassemble(const struct sl_bytes *frags, size_t n, uint8_t *data, bool *complete)
{
    size_t end = 0, have = 0;
    bool last = false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = frags[i].p;
        size_t hdr = (size_t)(p[0] & 15) * 4, len = (size_t)p[2] * 256 + p[3] - hdr;
        size_t at = ((size_t)(p[6] & 0x1f) * 256 + p[7]) * 8;
        ck_assert_uint_eq(esp_slow_sum(p, hdr, 0), 0);
        ck_assert_uint_eq(frags[i].len, hdr + len);
        if (p[6] & 0x20)
            ck_assert_uint_eq(len % 8, 0);
        else
            last = true;
        memcpy(data + at, p + hdr, len);
        have += len;
        if (at + len > end)
            end = at + len;
    }
    *complete = last && have == end;
    return end;
}

START_TEST(fragments_make_the_packet_again)
{
    static const uint8_t options[12] = { 0x94, 4, 0, 0, /* router alert: copied */
                                         0x44, 4, 5, 0, /* timestamp: not copied */
                                         1,    1, 0, 0 };
    static uint8_t pkt[66000], out[64][2000], data[66000];
    for (uint16_t mtu = 68; mtu < 1501; mtu = (uint16_t)(mtu + 13))
        for (size_t total = mtu + 1u; total <= 40u * mtu && total < 4000; total += 1 + total / 3) {
            for (int with = 0; with < 2; with++) {
                size_t hdr = with ? 32 : 20;
                uint8_t payload[4000];
                for (size_t i = 0; i < sizeof(payload); i++)
                    payload[i] = (uint8_t)(i * 7 + i / 256);
                struct esp_ip ip = { .src = A4,
                                     .dst = B4,
                                     .proto = 17,
                                     .id = 0xbeef,
                                     .tos = 0xb8,
                                     .options = sl_bytes(options, with ? 12 : 0),
                                     .payload = sl_bytes(payload, total - hdr) };
                size_t n = esp_ip_make(pkt, &ip);
                struct esp_inner in;
                ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
                struct sl_bytes frags[64];
                size_t count = 0, len;
                uint32_t at = 0;
                while ((len = esp_fragment(&in, sl_bytes(pkt, n), mtu, &at, out[count]))) {
                    ck_assert_uint_le(len, mtu);
                    ck_assert_uint_eq(out[count][1], 0xb8);
                    ck_assert_mem_eq(out[count] + 4, "\xbe\xef", 2);
                    ck_assert_mem_eq(out[count] + 8, pkt + 8, 2);
                    ck_assert_mem_eq(out[count] + 12, pkt + 12, 8);
                    size_t want = count == 0 ? hdr : with ? 24 : 20;
                    ck_assert_uint_eq((out[count][0] & 15) * 4u, want);
                    if (want > 20)
                        ck_assert_mem_eq(out[count] + 20, options, 4);
                    frags[count] = sl_bytes(out[count], len);
                    ck_assert_uint_lt(++count, 64);
                }
                bool complete;
                ck_assert_uint_eq(reassemble(frags, count, data, &complete), n - hdr);
                ck_assert(complete);
                ck_assert_mem_eq(data, payload, n - hdr);
            }
        }
}
END_TEST

START_TEST(fragment_of_a_fragment_keeps_its_place)
{
    uint8_t pkt[2000], out[2000], data[1480];
    memset(data, 7, sizeof(data));
    struct esp_ip ip = { .src = A4,
                         .dst = B4,
                         .proto = 17,
                         .frag = 0x2000 | 185, /* the second 1480 bytes, and more to come */
                         .payload = sl_bytes(data, sizeof(data)) };
    size_t n = esp_ip_make(pkt, &ip), len;
    struct esp_inner in;
    ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
    uint32_t at = 0;
    unsigned count = 0, next = 185;
    while ((len = esp_fragment(&in, sl_bytes(pkt, n), 1000, &at, out))) {
        unsigned frag = out[6] * 256u + out[7];
        ck_assert_uint_eq(frag & 0x1fff, next);
        ck_assert(frag & 0x2000); /* the last of these is not the last of all */
        next += (unsigned)(len - 20) / 8;
        count++;
    }
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(next, 185 * 2);
}
END_TEST

START_TEST(too_big_answers_ipv4_sender)
{
    uint8_t mem[2000], *pkt = mem + ESP_TOO_BIG_ROOM4, original[1500];
    size_t n = esp_udp_make(pkt, 4, 1500, 0x4000);
    memcpy(original, pkt, n);
    struct esp_inner in;
    ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
    size_t len = esp_too_big(&in, pkt, 1438);
    ck_assert_uint_eq(len, 576);
    ck_assert_int_eq(esp_inner_read(&in, sl_bytes(mem, len)), SL_OK);
    ck_assert_uint_eq(in.total, len);
    ck_assert_uint_eq(in.src.lo, 0x0a020009);
    ck_assert_uint_eq(in.dst.lo, 0x0a010005);
    ck_assert_uint_eq(in.proto, 1);
    ck_assert_uint_eq(esp_slow_sum(mem + 20, len - 20, 0), 0);
    ck_assert_mem_eq(mem + 20, "\x03\x04", 2);
    ck_assert_mem_eq(mem + 24, "\x00\x00\x05\x9e", 4);
    ck_assert_mem_eq(mem + 28, original, len - 28);
}
END_TEST

START_TEST(too_big_answers_ipv6_sender)
{
    uint8_t mem[2000], *pkt = mem + ESP_TOO_BIG_ROOM6, original[1500];
    size_t n = esp_udp_make(pkt, 6, 1500, 0);
    memcpy(original, pkt, n);
    struct esp_inner in;
    ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
    size_t len = esp_too_big(&in, pkt, 1418);
    ck_assert_uint_eq(len, 1280);
    ck_assert_int_eq(esp_inner_read(&in, sl_bytes(mem, len)), SL_OK);
    ck_assert(in.proto == 58 && in.total == len && in.dst.lo == 5 && in.src.lo == 9);
    ck_assert_mem_eq(mem + 40, "\x02\x00", 2);
    ck_assert_mem_eq(mem + 44, "\x00\x00\x05\x8a", 4);
    ck_assert_mem_eq(mem + 48, original, len - 48);
    uint8_t pseudo[40] = { 0 };
    memcpy(pseudo, mem + 8, 32);
    esp_put16(pseudo + 34, (unsigned)(len - 40));
    pseudo[39] = 58;
    ck_assert_uint_eq(esp_slow_sum(mem + 40, len - 40, (uint16_t)~esp_slow_sum(pseudo, 40, 0)), 0);
}
END_TEST

/* RFC 1122 3.2.2, RFC 4443 2.4 e: errors, later fragments, groups and strange senders get none */
START_TEST(too_big_does_not_answer_everything)
{
    static const struct {
        const char *src, *dst;
        uint8_t proto, type;
        uint16_t frag;
        bool want;
    } cases[] = {
        { A4, B4, 17, 0, 0x4000, true },
        { A4, B4, 1, 8, 0x4000, true },
        { A4, B4, 1, 3, 0x4000, false },
        { A4, B4, 1, 11, 0x4000, false },
        { A4, B4, 17, 0, 0x4001, false },
        { A4, "224.0.0.5", 17, 0, 0x4000, false },
        { A4, "255.255.255.255", 17, 0, 0x4000, false },
        { "0.0.0.0", B4, 17, 0, 0x4000, false },
        { "127.0.0.1", B4, 17, 0, 0x4000, false },
        { "224.1.1.1", B4, 17, 0, 0x4000, false },
        { A6, B6, 17, 0, 0, true },
        { A6, B6, 58, 128, 0, true },
        { A6, B6, 58, 1, 0, false },
        { A6, "ff02::1", 17, 0, 0, false },
        { "::", B6, 17, 0, 0, false },
        { "ff02::1", B6, 17, 0, 0, false },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        uint8_t mem[2000], *pkt = mem + ESP_TOO_BIG_ROOM6, payload[1400] = { cases[i].type };
        size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = cases[i].src,
                                                      .dst = cases[i].dst,
                                                      .proto = cases[i].proto,
                                                      .frag = cases[i].frag,
                                                      .payload = sl_bytes(payload, 1400) });
        struct esp_inner in;
        ck_assert_int_eq(esp_inner_read(&in, sl_bytes(pkt, n)), SL_OK);
        ck_assert_msg((esp_too_big(&in, pkt, 1400) != 0) == cases[i].want, "case %zu", i);
    }
}
END_TEST

SL_TESTS(esp_inner, SL_CASE(ipv4_packet_is_read), SL_CASE(truncated_packets_are_refused),
         SL_CASE(bad_ipv4_headers_are_refused), SL_CASE(fragments_have_no_ports_but_the_first),
         SL_CASE(ipv6_extension_headers_are_followed), SL_CASE(broken_ipv6_chains_are_refused),
         SL_CASE(selectors_match_addresses_protocol_and_ports), SL_CASE(ecn_follows_the_table),
         SL_CASE(mss_is_lowered_and_checksum_stays_right),
         SL_CASE(mss_checksum_is_right_for_any_values), SL_CASE(fragments_make_the_packet_again),
         SL_CASE(fragment_of_a_fragment_keeps_its_place), SL_CASE(too_big_answers_ipv4_sender),
         SL_CASE(too_big_answers_ipv6_sender), SL_CASE(too_big_does_not_answer_everything))
