/*
 * The ESP datapath as a whole: two gateways, each a struct sl_esp, hand each other what they seal.
 * Policy, replay, limits, rekeying, sizes, events.
 */
#include "sealane/esp.h"

#include "support/esp.h"
#include "support/support.h"

#define GCM (esp_suites[0])

static struct sl_rng_seeded rng_state;
static struct sl_rng rng;
static struct sl_err err;
static struct esp_mem mem, mem2;

static struct sl_esp *gateway(const struct sl_esp_config *with)
{
    struct sl_esp_config config = with ? *with : (struct sl_esp_config){ 0 };
    sl_rng_seeded_init(&rng_state, 1);
    rng = sl_rng_seeded(&rng_state);
    config.rng = &rng;
    struct sl_esp *e = NULL;
    ck_ok(sl_esp_new(&e, &config, &err), &err);
    sl_esp_time(e, 1000 * INT64_C(1000000000), 1700000000);
    return e;
}

static void add(struct sl_esp *e, struct esp_test_child t)
{
    struct sl_child c;
    if (!t.suite.encr)
        t.suite = GCM;
    esp_test_child(&c, &t);
    ck_ok(sl_esp_child_add(e, &c, &err), &err);
    ck_assert(!c.encr_in.p && !c.encr_out.p && !c.integ_in.p && !c.integ_out.p);
    ck_ok(sl_esp_commit(e, &err), &err);
}

/* Two gateways with one child between them. */
static void pair(struct sl_esp **a, struct sl_esp **b, struct esp_test_child t)
{
    *a = gateway(NULL);
    *b = gateway(NULL);
    t.outbound = true;
    t.side = 'a';
    add(*a, t);
    t.side = 'b';
    add(*b, t);
}

static struct sl_esp_pkt *udp_packet(unsigned family, size_t total, uint16_t frag)
{
    static uint8_t pkt[SL_ESP_PACKET_MAX];
    return esp_mem_set(&mem, sl_bytes(pkt, esp_udp_make(pkt, family, total, frag)));
}

static struct sl_esp_child_info info(struct sl_esp *e, uint64_t id)
{
    struct sl_esp_child_info i;
    ck_assert(sl_esp_child_info(e, id, &i));
    return i;
}

static struct sl_esp_stats stats(struct sl_esp *e)
{
    struct sl_esp_stats s;
    sl_esp_stats(e, &s);
    return s;
}

static bool event(struct sl_esp *e, enum sl_esp_event_type type, uint64_t id)
{
    struct sl_esp_event ev;
    bool found = false;
    while (sl_esp_next(e, &ev))
        found |= ev.type == type && ev.child_id == id;
    return found;
}

#define expect(got, want) ck_assert_msg((got) == (want), "%s", #got " is not " #want)
#define expect_drop(got, p, why)                                           \
    do {                                                                   \
        ck_assert_int_eq(got, SL_ESP_DROP);                                \
        ck_assert_msg((p)->reason == (why), "dropped for %s, expected %s", \
                      sl_rc_name((p)->reason), sl_rc_name(why));           \
    } while (0)

/* A sealed packet of a, in mem. */
static struct sl_esp_pkt *sealed(struct sl_esp *a)
{
    struct sl_esp_pkt *p = udp_packet(4, 100, 0x4000);
    expect(sl_esp_outbound(a, p), SL_ESP_WIRE);
    return p;
}

START_TEST(every_suite_and_family_goes_through)
{
    for (size_t s = 0; s < SL_ARRAY_LEN(esp_suites); s++)
        for (int flags = 0; flags < 8; flags++) {
            struct sl_esp *a, *b;
            bool outer6 = flags & 1;
            pair(&a, &b,
                 (struct esp_test_child){ .suite = esp_suites[s],
                                          .outer_a = outer6 ? "[2001:db8::1]:4500" : NULL,
                                          .outer_b = outer6 ? "[2001:db8::2]:4500" : NULL,
                                          .esn = flags & 2,
                                          .udp_encap = flags & 4 });
            for (unsigned family = 4; family <= 6; family += 2)
                for (size_t total = 48; total < 1350; total += 31) {
                    uint8_t want[1500];
                    struct sl_esp_pkt *p = udp_packet(family, total, 0x4000);
                    memcpy(want, p->buf + p->off, total);
                    expect(sl_esp_outbound(a, p), SL_ESP_WIRE);
                    ck_assert_uint_eq(p->child_id, 1);
                    ck_assert_uint_eq(p->remote.addr.family, outer6 ? 6 : 4);
                    ck_assert(p->udp_encap == ((flags & 4) != 0));
                    ck_assert_ptr_null(
                        memmem(p->buf + p->off, p->len, want + total - 20, 20)); /* no clear text */
                    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
                    ck_bytes_eq(esp_pkt_bytes(p), sl_bytes(want, total));
                }
            struct sl_esp_child_info out = info(a, 1), in = info(b, 1);
            ck_assert_uint_eq(out.out.packets, in.in.packets);
            ck_assert_uint_eq(out.out.bytes, in.in.bytes);
            ck_assert_uint_eq(out.seq_out, out.out.packets);
            ck_assert_uint_eq(in.seq_in, out.seq_out);
            ck_assert_int_eq(in.in.last_utc_s, 1700000000);
            sl_esp_free(a);
            sl_esp_free(b);
        }
}
END_TEST

START_TEST(replayed_and_late_packets_are_counted_apart)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ 0 });
    uint8_t first[200];
    struct sl_esp_pkt *p = sealed(a);
    size_t n = p->len;
    memcpy(first, p->buf + p->off, n);
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    p = esp_mem_set(&mem, sl_bytes(first, n));
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_REPLAY);
    for (int i = 0; i < 1024; i++)
        expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    p = esp_mem_set(&mem, sl_bytes(first, n));
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_LATE);
    /* a forgery beyond the window does not move it */
    p = sealed(a);
    p->buf[p->off + 5] ^= 1;
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_INTEGRITY);
    ck_assert_uint_eq(info(b, 1).seq_in, 1025);
    struct sl_esp_counters in = info(b, 1).in;
    ck_assert(in.replayed == 1 && in.late == 1 && in.integrity == 1 && in.packets == 1025);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(truncated_outer_packets_never_open)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ 0 });
    uint8_t whole[200];
    struct sl_esp_pkt *p = sealed(a);
    size_t n = p->len;
    memcpy(whole, p->buf + p->off, n);
    for (size_t len = 0; len < n; len++) {
        p = esp_mem_set(&mem, sl_bytes(whole, len));
        expect(sl_esp_inbound(b, p), SL_ESP_DROP);
        ck_assert(p->reason == SL_ESP_MALFORMED || p->reason == SL_ESP_INTEGRITY);
    }
    ck_assert_uint_eq(stats(b).in_short, 8);
    struct sl_esp_counters in = info(b, 1).in;
    ck_assert_uint_eq(in.malformed + in.integrity, n - 8);
    expect(sl_esp_inbound(b, esp_mem_set(&mem, sl_bytes(whole, n))), SL_ESP_INSIDE);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(unknown_spi_is_counted)
{
    struct sl_esp *b = gateway(NULL);
    uint8_t pkt[100] = { 1, 2, 3, 4 };
    struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, sizeof(pkt)));
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_NO_SA);
    ck_assert_uint_eq(stats(b).in_no_sa, 1);
    sl_esp_free(b);
}
END_TEST

/* An authentic peer sends what its SA was not made for. */
START_TEST(inner_packet_outside_the_selectors_is_refused)
{
    struct sl_esp *a = gateway(NULL), *b = gateway(NULL);
    add(a, (struct esp_test_child){
               .outbound = true, .ts_b = { "0.0.0.0/0" }, .ts_a = { "0.0.0.0/0" } });
    add(b, (struct esp_test_child){
               .side = 'b', .ts_a = { "10.1.0.0/24" }, .ts_b = { "10.2.0.0/24[udp/53]" } });
    static const struct {
        const char *src, *dst;
        uint8_t proto;
        enum sl_esp_do want;
    } cases[] = {
        { "10.1.0.5", "10.2.0.9", 17, SL_ESP_INSIDE }, { "10.1.1.5", "10.2.0.9", 17, SL_ESP_DROP },
        { "10.1.0.5", "10.2.1.9", 17, SL_ESP_DROP },   { "10.1.0.5", "10.2.0.9", 6, SL_ESP_DROP },
        { "10.2.0.9", "10.1.0.5", 17, SL_ESP_DROP },
    };
    uint64_t refused = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        uint8_t pkt[100], payload[40] = { 0x30, 0x39, 0, 53 };
        size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = cases[i].src,
                                                      .dst = cases[i].dst,
                                                      .proto = cases[i].proto,
                                                      .payload = sl_bytes(payload, 40) });
        struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, n));
        expect(sl_esp_outbound(a, p), SL_ESP_WIRE);
        enum sl_esp_do got = sl_esp_inbound(b, p);
        ck_assert_int_eq(got, cases[i].want);
        if (got == SL_ESP_DROP) {
            refused++;
            ck_assert_int_eq(p->reason, SL_ESP_POLICY);
        }
    }
    ck_assert_uint_eq(info(b, 1).in.policy, refused);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(without_policy_nothing_leaves)
{
    struct sl_esp *a = gateway(NULL);
    struct sl_esp_pkt *p = udp_packet(4, 100, 0);
    expect_drop(sl_esp_outbound(a, p), p, SL_ESP_NO_POLICY);
    p = udp_packet(4, 100, 0);
    p->buf[p->off + 8] ^= 1; /* TTL, so that the header checksum is wrong */
    expect_drop(sl_esp_outbound(a, p), p, SL_ESP_INNER);
    ck_assert(stats(a).out_no_policy == 1 && stats(a).out_malformed == 1);
    sl_esp_free(a);
}
END_TEST

START_TEST(shunts_come_first_and_in_order)
{
    struct sl_esp *a = gateway(NULL);
    add(a, (struct esp_test_child){ .outbound = true });
    struct sl_conf_shunt shunts[3] = { { .action = SL_SHUNT_BYPASS },
                                       { .action = SL_SHUNT_DROP },
                                       { .action = SL_SHUNT_BYPASS } };
    ck_assert(sl_ts_parse(&shunts[0].local_ts, "10.1.0.0/16[udp/12345]") &&
              sl_ts_parse(&shunts[0].remote_ts, "10.2.0.0/24[udp/53]") &&
              sl_ts_parse(&shunts[1].local_ts, "0.0.0.0/0") &&
              sl_ts_parse(&shunts[1].remote_ts, "10.2.0.0/24") &&
              sl_ts_parse(&shunts[2].local_ts, "0.0.0.0/0") &&
              sl_ts_parse(&shunts[2].remote_ts, "0.0.0.0/0[icmp]"));
    expect(sl_esp_outbound(a, udp_packet(4, 100, 0)), SL_ESP_WIRE);
    ck_ok(sl_esp_shunts(a, shunts, 3, &err), &err);
    expect(sl_esp_outbound(a, udp_packet(4, 100, 0)), SL_ESP_WIRE); /* not before the commit */
    ck_ok(sl_esp_commit(a, &err), &err);

    struct sl_esp_pkt *p = udp_packet(4, 100, 0); /* 12345 to 53 */
    uint8_t before[100];
    memcpy(before, p->buf + p->off, 100);
    expect(sl_esp_outbound(a, p), SL_ESP_BYPASS);
    ck_bytes_eq(esp_pkt_bytes(p), sl_bytes(before, 100));
    p = udp_packet(4, 100, 0);
    p->buf[p->off + 21] ^= 1; /* another port */
    expect_drop(sl_esp_outbound(a, p), p, SL_ESP_SHUNT);
    uint8_t pkt[100], echo[8] = { 8 };
    struct esp_ip ip = {
        .src = "10.1.0.5", .dst = "10.2.7.7", .proto = 1, .payload = sl_bytes(echo, 8)
    };
    expect(sl_esp_outbound(a, esp_mem_set(&mem, sl_bytes(pkt, esp_ip_make(pkt, &ip)))),
           SL_ESP_BYPASS);
    ip.proto = 17;
    expect(sl_esp_outbound(a, esp_mem_set(&mem, sl_bytes(pkt, esp_ip_make(pkt, &ip)))),
           SL_ESP_WIRE);
    ck_assert(stats(a).out_bypass == 2 && stats(a).out_shunt_drop == 1);
    sl_esp_free(a);
}
END_TEST

/* Which child does a packet take? */
static uint64_t taken(struct sl_esp *e, const char *src, const char *dst, uint8_t proto)
{
    uint8_t pkt[100], payload[40] = { 0x30, 0x39, 0, 53 };
    size_t n = esp_ip_make(
        pkt, &(struct esp_ip){
                 .src = src, .dst = dst, .proto = proto, .payload = sl_bytes(payload, 40) });
    struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, n));
    return sl_esp_outbound(e, p) == SL_ESP_WIRE ? p->child_id : 0;
}

START_TEST(the_most_specific_selector_wins)
{
    struct sl_esp *a = gateway(NULL);
    static const struct {
        const char *local, *remote;
    } ts[] = {
        { "0.0.0.0/0", "0.0.0.0/0" },
        { "0.0.0.0/0", "10.2.0.0/16" },
        { "10.1.0.0/16", "10.2.0.0/16" },
        { "10.1.0.0/16", "10.2.0.0/16[udp]" },
        { "10.1.0.0/16", "10.2.0.0/16[udp/53]" },
        { "10.1.0.0/16", "10.2.3.1-10.2.3.200" },
        { "2001:db8:1::/48", "::/0" },
        { "2001:db8:1::/48", "2001:db8:2::9" },
    };
    for (uint32_t i = 0; i < SL_ARRAY_LEN(ts); i++)
        add(a, (struct esp_test_child){ .id = i + 1,
                                        .spi_a = 0x1000 + i,
                                        .outbound = true,
                                        .ts_a = { ts[i].local },
                                        .ts_b = { ts[i].remote } });
    ck_assert_uint_eq(taken(a, "9.9.9.9", "8.8.8.8", 17), 1);
    ck_assert_uint_eq(taken(a, "9.9.9.9", "10.2.0.1", 17), 2);
    ck_assert_uint_eq(taken(a, "10.1.0.1", "10.2.0.1", 6), 3);
    ck_assert_uint_eq(taken(a, "10.1.0.1", "10.2.0.1", 17), 5);
    ck_assert_uint_eq(taken(a, "10.1.0.1", "10.2.3.4", 17), 6);
    ck_assert_uint_eq(taken(a, "10.1.0.1", "10.2.3.201", 17), 5);
    ck_assert_uint_eq(taken(a, "10.1.0.1", "10.2.3.201", 132), 3);
    ck_assert_uint_eq(taken(a, "2001:db8:1::1", "2001:db8:2::9", 17), 8);
    ck_assert_uint_eq(taken(a, "2001:db8:1::1", "2001:db8:2::8", 17), 7);
    ck_assert_uint_eq(taken(a, "2001:db8:2::1", "2001:db8:2::9", 17), 0);
    /* without it, the next best */
    ck_ok(sl_esp_child_del(a, 5, &err), &err);
    ck_ok(sl_esp_commit(a, &err), &err);
    ck_assert_uint_eq(taken(a, "10.1.0.1", "10.2.0.1", 17), 4);
    sl_esp_free(a);
}
END_TEST

/* The policy against a list searched from end to end, with many shapes of selectors. */
START_TEST(policy_lookup_agrees_with_a_plain_list)
{
    enum { CHILDREN = 300 };
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(42));
    struct sl_rng r = sl_rng_seeded(&state);
    struct sl_esp *a = gateway(NULL);
    static struct {
        struct sl_ts local, remote;
    } list[CHILDREN];
    for (uint32_t i = 0; i < CHILDREN; i++) {
        char local[64], remote[64];
        unsigned len = (unsigned)sl_rng_below(&r, 33), len2 = (unsigned)sl_rng_below(&r, 33);
        uint32_t addr = 0x0a000000 | (uint32_t)sl_rng_below(&r, 1 << 12) << 4, addr2 = addr ^ 0x333;
        addr &= len ? UINT32_MAX << (32 - len) : 0;
        addr2 &= len2 ? UINT32_MAX << (32 - len2) : 0;
        snprintf(local, sizeof(local), "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255,
                 addr >> 8 & 255, addr & 255, len);
        snprintf(remote, sizeof(remote), "%u.%u.%u.%u/%u%s", addr2 >> 24, addr2 >> 16 & 255,
                 addr2 >> 8 & 255, addr2 & 255, len2, i % 5 ? "" : "[udp/53]");
        ck_assert(sl_ts_parse(&list[i].local, local) && sl_ts_parse(&list[i].remote, remote));
        add(a, (struct esp_test_child){ .id = i + 1,
                                        .spi_a = 0x1000 + i,
                                        .outbound = true,
                                        .ts_a = { local },
                                        .ts_b = { remote } });
    }
    unsigned found = 0;
    for (int n = 0; n < 4000; n++) {
        char src[32], dst[32];
        uint32_t s = (uint32_t)sl_rng_below(&r, 1 << 16), d = (uint32_t)sl_rng_below(&r, 1 << 16);
        snprintf(src, sizeof(src), "10.0.%u.%u", s >> 8, s & 255);
        snprintf(dst, sizeof(dst), "10.0.%u.%u", d >> 8, d & 255);
        struct sl_addr sa, da;
        ck_assert(sl_addr_parse(&sa, src) && sl_addr_parse(&da, dst));
        uint64_t got = taken(a, src, dst, 17);
        bool any = false, itself = false;
        for (uint32_t i = 0; i < CHILDREN; i++) {
            bool hit = sl_ts_has(&list[i].local, &sa, 17, 12345) &&
                       sl_ts_has(&list[i].remote, &da, 17, 53);
            any |= hit;
            itself |= hit && got == i + 1;
        }
        ck_assert_msg(any == (got != 0), "%s to %s", src, dst);
        ck_assert(!got || itself);
        /* no other hit has a longer remote prefix */
        for (uint32_t i = 0; got && i < CHILDREN; i++)
            if (sl_ts_has(&list[i].local, &sa, 17, 12345) &&
                sl_ts_has(&list[i].remote, &da, 17, 53))
                ck_assert(!(sl_ts_within(&list[i].remote, &list[got - 1].remote) &&
                            sl_addr_cmp(&list[i].remote.last, &list[got - 1].remote.last) < 0));
        found += got != 0;
    }
    ck_assert_uint_gt(found, 1000);
    sl_esp_free(a);
}
END_TEST

/* RFC 7296 2.8: the responder reads the new SA at once, and sends on it when it is told to. */
START_TEST(rekey_loses_no_packet)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ .id = 1 });
    struct esp_test_child next = {
        .id = 2, .replaces = 1, .spi_a = 0xa2000000, .spi_b = 0xb2000000
    };
    expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    next.side = 'b';
    add(b, next); /* b can read the new SA, a still sends on the old */
    struct sl_esp_pkt *p = sealed(a);
    ck_assert_uint_eq(p->child_id, 1);
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    next.side = 'a';
    next.outbound = true;
    add(a, next);
    static struct esp_mem delayed;
    p = sealed(a);
    ck_assert_uint_eq(p->child_id, 2);
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    ck_assert_uint_eq(p->child_id, 2);
    ck_assert(event(b, SL_ESP_EV_SEEN, 2));
    /* b is not told to send on the new one yet */
    uint8_t pkt[100], payload[40] = { 0 };
    struct esp_ip back = {
        .src = "10.2.0.9", .dst = "10.1.0.5", .proto = 17, .payload = sl_bytes(payload, 40)
    };
    size_t n = esp_ip_make(pkt, &back);
    p = esp_mem_set(&mem, sl_bytes(pkt, n));
    expect(sl_esp_outbound(b, p), SL_ESP_WIRE);
    ck_assert_uint_eq(p->child_id, 1);
    delayed = mem; /* a packet of the old SA that is still on its way */
    delayed.p.buf = delayed.bytes;
    ck_ok(sl_esp_child_outbound(b, 2, &err), &err);
    ck_ok(sl_esp_commit(b, &err), &err);
    p = esp_mem_set(&mem, sl_bytes(pkt, n));
    expect(sl_esp_outbound(b, p), SL_ESP_WIRE);
    ck_assert_uint_eq(p->child_id, 2);
    expect(sl_esp_inbound(a, p), SL_ESP_INSIDE);
    expect(sl_esp_inbound(a, &delayed.p), SL_ESP_INSIDE); /* the old one still opens */
    ck_ok(sl_esp_child_del(b, 1, &err), &err);
    ck_ok(sl_esp_child_del(a, 1, &err), &err);
    /* deleted: nothing is opened with it any more */
    expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    ck_ok(sl_esp_commit(a, &err), &err);
    ck_ok(sl_esp_commit(b, &err), &err);
    expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    ck_assert(stats(a).children == 1 && stats(b).children == 1);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(when_the_new_child_goes_the_old_one_sends_again)
{
    struct sl_esp *a = gateway(NULL);
    add(a, (struct esp_test_child){ .id = 1, .outbound = true });
    add(a, (struct esp_test_child){ .id = 2, .outbound = true, .spi_a = 0x2000 });
    ck_assert_uint_eq(sealed(a)->child_id, 2);
    ck_ok(sl_esp_child_del(a, 2, &err), &err);
    ck_ok(sl_esp_commit(a, &err), &err);
    ck_assert_uint_eq(sealed(a)->child_id, 1);
    ck_ok(sl_esp_child_del(a, 1, &err), &err);
    ck_ok(sl_esp_commit(a, &err), &err);
    struct sl_esp_pkt *p = udp_packet(4, 100, 0);
    expect_drop(sl_esp_outbound(a, p), p, SL_ESP_NO_POLICY);
    ck_rc(sl_esp_child_del(a, 1, &err), SL_NOT_FOUND, &err);
    sl_esp_free(a);
}
END_TEST

START_TEST(sequence_numbers_end_without_wrapping)
{
    for (int esn = 0; esn < 2; esn++) {
        struct sl_esp *a = gateway(&(struct sl_esp_config){ .seq_soft = 90, .seq_last = 100 });
        struct sl_esp *b = gateway(NULL);
        add(a, (struct esp_test_child){ .outbound = true, .esn = esn });
        add(b, (struct esp_test_child){ .side = 'b', .esn = esn });
        for (unsigned i = 1; i <= 100; i++) {
            struct sl_esp_pkt *p = sealed(a);
            ck_assert_uint_eq(info(a, 1).seq_out, i);
            ck_assert(event(a, SL_ESP_EV_SOFT, 1) == (i == 90)); /* once */
            expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
        }
        for (int i = 0; i < 3; i++) {
            struct sl_esp_pkt *p = udp_packet(4, 100, 0);
            expect_drop(sl_esp_outbound(a, p), p, SL_ESP_SEQUENCE_END);
            ck_assert(event(a, SL_ESP_EV_HARD, 1) == (i == 0));
        }
        ck_assert_uint_eq(info(a, 1).seq_out, 100);
        ck_assert_uint_eq(info(a, 1).out.exhausted, 3);
        /* a rekeyed child carries on */
        add(a, (struct esp_test_child){ .id = 2, .outbound = true, .esn = esn, .spi_a = 0x2000 });
        ck_assert_uint_eq(sealed(a)->child_id, 2);
        sl_esp_free(a);
        sl_esp_free(b);
    }
}
END_TEST

START_TEST(limits_of_bytes_and_packets_tell_and_stop)
{
    static const struct sl_child_limits limits[] = {
        { .soft_packets = 5, .hard_packets = 8 },
        { .soft_bytes = 500, .hard_bytes = 800 },
    };
    for (size_t l = 0; l < SL_ARRAY_LEN(limits); l++) {
        struct sl_esp *a, *b;
        pair(&a, &b, (struct esp_test_child){ .limits = limits[l] });
        for (int i = 1; i <= 8; i++) {
            struct sl_esp_pkt *p = sealed(a);
            expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
            struct sl_esp_event ev;
            bool soft = false, hard = false;
            while (sl_esp_next(a, &ev)) {
                soft |= ev.type == SL_ESP_EV_SOFT;
                hard |= ev.type == SL_ESP_EV_HARD;
            }
            ck_assert(soft == (i == 5));
            ck_assert(hard == (i == 8));
        }
        ck_assert(event(b, SL_ESP_EV_HARD, 1));
        struct sl_esp_pkt *p = udp_packet(4, 100, 0);
        expect_drop(sl_esp_outbound(a, p), p, SL_ESP_LIMIT);
        ck_assert(info(a, 1).hard && info(b, 1).hard);
        /* the receiving side takes nothing more either */
        struct sl_esp *c = gateway(NULL);
        add(c, (struct esp_test_child){ .outbound = true });
        for (int i = 0; i < 9; i++)
            p = sealed(c);
        expect_drop(sl_esp_inbound(b, p), p, SL_ESP_LIMIT);
        sl_esp_free(a);
        sl_esp_free(b);
        sl_esp_free(c);
    }
}
END_TEST

START_TEST(seen_is_told_at_once_and_then_each_second)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ 0 });
    ck_assert(!event(b, SL_ESP_EV_SEEN, 1));
    expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    ck_assert(event(b, SL_ESP_EV_SEEN, 1));
    expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    ck_assert(!event(b, SL_ESP_EV_SEEN, 1));
    sl_esp_time(b, 1001 * INT64_C(1000000000), 1700000001);
    struct sl_esp_pkt *p = sealed(a);
    p->buf[p->off + p->len - 1] ^= 1;
    expect(sl_esp_inbound(b, p), SL_ESP_DROP);
    ck_assert(!event(b, SL_ESP_EV_SEEN, 1)); /* a forgery is no sign of life */
    expect(sl_esp_inbound(b, sealed(a)), SL_ESP_INSIDE);
    ck_assert(event(b, SL_ESP_EV_SEEN, 1));
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(peer_behind_another_nat_port_is_told_and_moved)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ .udp_encap = true });
    struct sl_esp_pkt *p = sealed(a);
    ck_assert(sl_endpoint_parse(&p->remote, "192.0.2.1", 4500));
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    ck_assert(!event(b, SL_ESP_EV_MOVED, 1));
    p = sealed(a);
    ck_assert(sl_endpoint_parse(&p->remote, "198.51.100.7", 61000));
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    struct sl_esp_event ev = { 0 };
    ck_assert(sl_esp_next(b, &ev) && ev.type == SL_ESP_EV_MOVED);
    ck_assert_uint_eq(ev.remote.port, 61000);
    ck_ok(sl_esp_child_move(b, 1, &ev.local, &ev.remote, true, &err), &err);
    uint8_t pkt[100], payload[40] = { 0 };
    p = esp_mem_set(
        &mem,
        sl_bytes(pkt, esp_ip_make(pkt, &(struct esp_ip){ .src = "10.2.0.9",
                                                         .dst = "10.1.0.5",
                                                         .proto = 17,
                                                         .payload = sl_bytes(payload, 40) })));
    expect(sl_esp_outbound(b, p), SL_ESP_WIRE);
    ck_assert_uint_eq(p->remote.port, 61000);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(only_the_newest_authentic_packet_moves_the_peer)
{
    struct sl_esp *a, *b;
    struct sl_endpoint thief;
    uint8_t older[2000], newer[2000];
    pair(&a, &b, (struct esp_test_child){ .udp_encap = true });
    ck_assert(sl_endpoint_parse(&thief, "203.0.113.7", 4500));
    struct sl_esp_pkt *p = sealed(a);
    uint32_t older_len = p->len;
    memcpy(older, p->buf + p->off, older_len);
    p = sealed(a);
    uint32_t newer_len = p->len;
    memcpy(newer, p->buf + p->off, newer_len);
    ck_assert(sl_endpoint_parse(&p->remote, "192.0.2.1", 4500));
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);

    p = esp_mem_set(&mem, sl_bytes(newer, newer_len)); /* again, from elsewhere */
    p->udp_encap = true;
    p->remote = thief;
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_REPLAY);
    ck_assert(!event(b, SL_ESP_EV_MOVED, 1));
    p = esp_mem_set(&mem,
                    sl_bytes(older, older_len)); /* held back: within the window, not newest */
    p->udp_encap = true;
    p->remote = thief;
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    ck_assert(!event(b, SL_ESP_EV_MOVED, 1));
    p = sealed(a); /* newest, but not authentic */
    p->remote = thief;
    p->buf[p->off + p->len - 1] ^= 1;
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_INTEGRITY);
    ck_assert(!event(b, SL_ESP_EV_MOVED, 1));
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(too_large_with_df_becomes_an_error)
{
    struct sl_esp *a = gateway(NULL);
    add(a, (struct esp_test_child){ .outbound = true, .udp_encap = true });
    struct sl_addr peer;
    ck_assert(sl_addr_parse(&peer, "192.0.2.2"));
    uint16_t limit = info(a, 1).inner_mtu4;
    ck_assert_uint_eq(limit, 1438);
    expect(sl_esp_outbound(a, udp_packet(4, limit, 0x4000)), SL_ESP_WIRE);
    struct sl_esp_pkt *p = udp_packet(4, limit + 1u, 0x4000);
    expect(sl_esp_outbound(a, p), SL_ESP_INSIDE);
    ck_assert_uint_eq(p->len, 576);
    ck_assert_mem_eq(p->buf + p->off + 20, "\x03\x04", 2);
    ck_assert_uint_eq(p->buf[p->off + 26] * 256u + p->buf[p->off + 27], limit);
    p = udp_packet(6, limit + 1u, 0);
    expect(sl_esp_outbound(a, p), SL_ESP_INSIDE);
    ck_assert_uint_eq(p->buf[p->off + 40], 2);
    ck_assert_uint_eq(info(a, 1).out.too_big, 2);
    /* the path shrinks */
    sl_esp_outer_mtu(a, &peer, 1300);
    ck_assert_uint_eq(info(a, 1).inner_mtu4, 1238);
    ck_assert_uint_eq(info(a, 1).inner_mtu6, 1280); /* never below: RFC 8200 5 */
    p = udp_packet(4, 1239, 0x4000);
    expect(sl_esp_outbound(a, p), SL_ESP_INSIDE);
    expect(sl_esp_outbound(a, udp_packet(6, 1280, 0)), SL_ESP_WIRE);
    /* a rekeyed child knows */
    add(a, (struct esp_test_child){
               .id = 2, .replaces = 1, .outbound = true, .udp_encap = true, .spi_a = 0x2000 });
    ck_assert_uint_eq(info(a, 2).inner_mtu4, 1238);
    sl_esp_free(a);
}
END_TEST

START_TEST(errors_are_rate_limited)
{
    struct sl_esp *a = gateway(NULL);
    add(a, (struct esp_test_child){ .outbound = true });
    unsigned sent = 0;
    for (int i = 0; i < 5000; i++)
        sent += sl_esp_outbound(a, udp_packet(4, 1490, 0x4000)) == SL_ESP_INSIDE;
    ck_assert_uint_eq(sent, 200);
    ck_assert_uint_eq(stats(a).too_big_sent, 200);
    ck_assert_uint_eq(stats(a).too_big_muted, 4800);
    sl_esp_time(a, 1000 * INT64_C(1000000000) + 50 * INT64_C(1000000), 1700000000);
    sent = 0;
    for (int i = 0; i < 1000; i++)
        sent += sl_esp_outbound(a, udp_packet(4, 1490, 0x4000)) == SL_ESP_INSIDE;
    ck_assert_uint_eq(sent, 50); /* 1000 a second */
    sl_esp_free(a);
}
END_TEST

START_TEST(too_large_without_df_is_fragmented_and_sealed)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ 0 });
    struct sl_esp_pkt *p = udp_packet(4, 5000, 0);
    expect(sl_esp_outbound(a, p), SL_ESP_SPLIT);
    esp_mem_set(&mem2, sl_bytes(NULL, 0));
    struct sl_esp_pkt *frag = &mem2.p;
    uint32_t at = 0;
    unsigned n = 0;
    size_t data = 0;
    while (sl_esp_split(a, p, &at, frag) == SL_ESP_WIRE) {
        ck_assert_uint_le(frag->len + 20, 1500);
        expect(sl_esp_inbound(b, frag), SL_ESP_INSIDE);
        data += frag->len - 20;
        n++;
    }
    ck_assert_int_eq(frag->reason, SL_OK);
    ck_assert_uint_eq(n, 4);
    ck_assert_uint_eq(data, 4980);
    ck_assert_uint_eq(stats(a).fragmented, 1);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(split_stops_where_the_sequence_ends)
{
    struct sl_esp *a = gateway(&(struct sl_esp_config){ .seq_soft = 1, .seq_last = 2 });
    add(a, (struct esp_test_child){ .outbound = true });
    struct sl_esp_pkt *p = udp_packet(4, 5000, 0);
    expect(sl_esp_outbound(a, p), SL_ESP_SPLIT);
    esp_mem_set(&mem2, sl_bytes(NULL, 0));
    uint32_t at = 0;
    expect(sl_esp_split(a, p, &at, &mem2.p), SL_ESP_WIRE);
    expect(sl_esp_split(a, p, &at, &mem2.p), SL_ESP_WIRE);
    expect_drop(sl_esp_split(a, p, &at, &mem2.p), &mem2.p, SL_ESP_SEQUENCE_END);
    sl_esp_free(a);
}
END_TEST

START_TEST(syn_is_clamped_in_both_directions)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ .udp_encap = true });
    uint8_t pkt[100], tcp[24] = { 0x30, 0x39, 0, 80 };
    tcp[12] = 0x60;
    tcp[13] = 0x02;
    memcpy(tcp + 20, "\x02\x04\x05\xb4", 4);
    size_t n = esp_ip_make(
        pkt, &(struct esp_ip){
                 .src = "10.1.0.5", .dst = "10.2.0.9", .proto = 6, .payload = sl_bytes(tcp, 24) });
    struct sl_addr peer;
    ck_assert(sl_addr_parse(&peer, "192.0.2.1"));
    sl_esp_outer_mtu(b, &peer, 1300); /* b knows better */
    struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, n));
    expect(sl_esp_outbound(a, p), SL_ESP_WIRE);
    ck_assert_uint_eq(stats(a).mss_clamped, 1);
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    ck_assert_uint_eq(stats(b).mss_clamped, 1);
    ck_assert_uint_eq(p->buf[p->off + 42] * 256u + p->buf[p->off + 43], 1238 - 40);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(tos_goes_out_and_congestion_comes_in)
{
    struct sl_esp *a, *b;
    pair(&a, &b, (struct esp_test_child){ 0 });
    uint8_t pkt[100], payload[40] = { 0 };
    struct esp_ip ip = { .src = "10.1.0.5",
                         .dst = "10.2.0.9",
                         .proto = 17,
                         .tos = 0xb8 | 2,
                         .payload = sl_bytes(payload, 40) };
    size_t n = esp_ip_make(pkt, &ip);
    struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, n));
    expect(sl_esp_outbound(a, p), SL_ESP_WIRE);
    ck_assert_uint_eq(p->tos, 0xba);
    p->tos = 3; /* a router on the way: other DSCP, congestion experienced */
    expect(sl_esp_inbound(b, p), SL_ESP_INSIDE);
    ck_assert_uint_eq(p->buf[p->off + 1], 0xbb);
    ck_assert_uint_eq(p->buf[p->off + 8], pkt[8]); /* the TTL inside is not ours to change */
    ip.tos = 0;
    p = esp_mem_set(&mem, sl_bytes(pkt, esp_ip_make(pkt, &ip)));
    expect(sl_esp_outbound(a, p), SL_ESP_WIRE);
    p->tos = 3;
    expect_drop(sl_esp_inbound(b, p), p, SL_ESP_ECN);
    sl_esp_free(a);
    sl_esp_free(b);
}
END_TEST

START_TEST(dummy_padded_and_foreign_payloads)
{
    /* sealed below the datapath, as a peer with other habits would */
    struct sl_esp *b = gateway(NULL);
    add(b, (struct esp_test_child){ .side = 'b' });
    struct sl_cipher *c = NULL;
    struct sl_secret key = { 0 };
    esp_test_key(&key, sl_suite_encr_key_len(&GCM), 0x10);
    ck_ok(sl_cipher_new(&c, &GCM, true, sl_secret_bytes(&key), sl_bytes(NULL, 0), &err), &err);
    sl_secret_clear(&key);
    static const struct {
        uint8_t next_header;
        size_t extra; /* behind the inner packet (RFC 4303 2.7) */
        enum sl_rc want;
        bool cut;
    } cases[] = {
        { 4, 0, SL_OK, false },         { 4, 400, SL_OK, false },
        { 59, 0, SL_OK, false },        { 41, 0, SL_ESP_INNER, false },
        { 17, 0, SL_ESP_INNER, false }, { 4, 0, SL_ESP_INNER, true },
    };
    for (uint8_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        uint8_t pkt[1000] = { 0xb0, 0, 0, 1, 0, 0, 0, (uint8_t)(i + 1) };
        size_t n = esp_udp_make(pkt + 16, 4, 98, 0) + cases[i].extra;
        if (cases[i].cut)
            n -= 4;
        pkt[16 + n] = 0;
        pkt[16 + n + 1] = cases[i].next_header;
        ck_assert(sl_cipher_seal(c, sl_bytes(pkt, 8), pkt + 8, pkt + 16, n + 2, sl_bytes(NULL, 0),
                                 pkt + 16 + n + 2));
        struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, 16 + n + 2 + 16));
        enum sl_esp_do got = sl_esp_inbound(b, p);
        ck_assert_int_eq(p->reason, cases[i].want);
        ck_assert(got == (cases[i].next_header == 4 && cases[i].want == SL_OK ? SL_ESP_INSIDE
                                                                              : SL_ESP_DROP));
        if (got == SL_ESP_INSIDE)
            ck_assert_uint_eq(p->len, 98);
    }
    ck_assert_uint_eq(stats(b).in_dummy, 1);
    ck_assert_uint_eq(info(b, 1).in.malformed, 3);
    sl_cipher_free(c);
    sl_esp_free(b);
}
END_TEST

START_TEST(bad_children_are_refused_and_their_keys_wiped)
{
    struct sl_esp *e = gateway(&(struct sl_esp_config){ .max_children = 2 });
    add(e, (struct esp_test_child){ .id = 1 });
    struct esp_test_child t = { .id = 2, .spi_a = 0x2000, .suite = GCM };
    struct sl_child c;
#define refused(change, rc)                             \
    do {                                                \
        esp_test_child(&c, &t);                         \
        change;                                         \
        ck_rc(sl_esp_child_add(e, &c, &err), rc, &err); \
        ck_assert(!c.encr_in.p && !c.encr_out.p);       \
    } while (0)
    refused(c.id = 1, SL_EXISTS);
    refused(c.spi_in = 0xa0000001, SL_EXISTS);
    refused(c.spi_in = 255, SL_MALFORMED);
    refused(c.spi_out = 0, SL_MALFORMED);
    refused(c.ts_local_n = 0, SL_MALFORMED);
    refused(c.ts_remote_n = SL_TS_MAX + 1, SL_MALFORMED);
    refused(c.ts_remote[0].last = c.ts_local[1].last, SL_MALFORMED);
    refused(c.suite.encr = SL_ENCR_3DES, SL_UNSUPPORTED);
    refused(c.suite.key_bits = 256, SL_MALFORMED);
    refused(c.remote.addr.family = 0, SL_MALFORMED);
    esp_test_child(&c, &t);
    ck_ok(sl_esp_child_add(e, &c, &err), &err);
    refused((c.id = 3, c.spi_in = 0x3000), SL_TOO_LARGE);
    ck_rc(sl_esp_child_outbound(e, 9, &err), SL_NOT_FOUND, &err);
    sl_esp_free(e);
}
END_TEST

START_TEST(many_children_come_and_go)
{
    enum { N = 3000 };
    struct sl_esp *e = gateway(NULL);
    static char remote[N][32];
    for (uint32_t i = 0; i < N; i++) {
        struct sl_child c;
        snprintf(remote[i], sizeof(remote[i]), "10.%u.%u.0/24", 2 + i / 256, i % 256);
        esp_test_child(&c, &(struct esp_test_child){ .id = i + 1,
                                                     .suite = GCM,
                                                     .outbound = true,
                                                     .spi_a = 0x10000 + i * 7,
                                                     .ts_a = { "10.1.0.0/16" },
                                                     .ts_b = { remote[i] } });
        ck_ok(sl_esp_child_add(e, &c, &err), &err);
    }
    ck_ok(sl_esp_commit(e, &err), &err);
    for (uint32_t i = 0; i < N; i++) {
        char dst[32];
        snprintf(dst, sizeof(dst), "10.%u.%u.77", 2 + i / 256, i % 256);
        ck_assert_uint_eq(taken(e, "10.1.2.3", dst, 17), i + 1);
    }
    for (uint32_t i = 0; i < N; i += 2)
        ck_ok(sl_esp_child_del(e, i + 1, &err), &err);
    ck_ok(sl_esp_commit(e, &err), &err);
    for (uint32_t i = 0; i < N; i++) {
        char dst[32];
        struct sl_esp_child_info unused;
        snprintf(dst, sizeof(dst), "10.%u.%u.77", 2 + i / 256, i % 256);
        ck_assert_uint_eq(taken(e, "10.1.2.3", dst, 17), i % 2 ? i + 1 : 0);
        ck_assert(sl_esp_child_info(e, i + 1, &unused) == (i % 2));
        uint8_t pkt[64] = { 0 };
        struct sl_wr w = sl_wr_fixed(pkt, 4);
        sl_wr_u32(&w, 0x10000 + i * 7);
        struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, 64));
        expect(sl_esp_inbound(e, p), SL_ESP_DROP);
        ck_assert((p->reason == SL_ESP_NO_SA) == (i % 2 == 0));
    }
    ck_assert_uint_eq(stats(e).children, N / 2);
    sl_esp_free(e);
}
END_TEST

/* CBC IVs must not be foreseen: no two packets share one, and none is the counter. */
START_TEST(cbc_ivs_differ)
{
    struct sl_esp *a = gateway(NULL);
    add(a, (struct esp_test_child){ .suite = esp_suites[3], .outbound = true });
    static uint8_t ivs[500][16];
    for (int i = 0; i < 500; i++) {
        struct sl_esp_pkt *p = sealed(a);
        memcpy(ivs[i], p->buf + p->off + 8, 16);
        for (int j = 0; j < i; j++)
            ck_assert_mem_ne(ivs[i], ivs[j], 16);
    }
    sl_esp_free(a);
}
END_TEST

SL_TESTS(esp_datapath, SL_CASE(every_suite_and_family_goes_through),
         SL_CASE(replayed_and_late_packets_are_counted_apart),
         SL_CASE(truncated_outer_packets_never_open), SL_CASE(unknown_spi_is_counted),
         SL_CASE(inner_packet_outside_the_selectors_is_refused),
         SL_CASE(without_policy_nothing_leaves), SL_CASE(shunts_come_first_and_in_order),
         SL_CASE(the_most_specific_selector_wins), SL_CASE(policy_lookup_agrees_with_a_plain_list),
         SL_CASE(rekey_loses_no_packet), SL_CASE(when_the_new_child_goes_the_old_one_sends_again),
         SL_CASE(sequence_numbers_end_without_wrapping),
         SL_CASE(limits_of_bytes_and_packets_tell_and_stop),
         SL_CASE(seen_is_told_at_once_and_then_each_second),
         SL_CASE(peer_behind_another_nat_port_is_told_and_moved),
         SL_CASE(only_the_newest_authentic_packet_moves_the_peer),
         SL_CASE(too_large_with_df_becomes_an_error), SL_CASE(errors_are_rate_limited),
         SL_CASE(too_large_without_df_is_fragmented_and_sealed),
         SL_CASE(split_stops_where_the_sequence_ends), SL_CASE(syn_is_clamped_in_both_directions),
         SL_CASE(tos_goes_out_and_congestion_comes_in), SL_CASE(dummy_padded_and_foreign_payloads),
         SL_CASE(bad_children_are_refused_and_their_keys_wiped), SL_CASE(many_children_come_and_go),
         SL_CASE(cbc_ivs_differ))
