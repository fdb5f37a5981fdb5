/*
 * The datapath's shell on loopback: two gateways, their TUN devices replaced by socket pairs. UDP,
 * and protocol 50 where the test may open raw sockets; overload; the selector of port 4500.
 */
#include "src/esp/io.h"
#include "src/esp/steer.h"
#include "src/esp/tun.h"

#include "support/esp.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sl_err err;

struct gw {
    struct sl_esp *e;
    struct esp_io *io;
    struct esp_io_fds fds;
    int inside; /* the other end of the TUN */
    struct sl_endpoint at;
};

static int udp_socket(bool v6, struct sl_endpoint *at, bool reuse)
{
    struct sockaddr_storage ss;
    struct sl_endpoint e = *at;
    if (!e.addr.family)
        ck_assert(sl_endpoint_parse(&e, v6 ? "[::1]:0" : "127.0.0.1:0", 0));
    socklen_t len = sl_endpoint_to_sockaddr(&ss, &e);
    int one = 1, fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    if (reuse)
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
    len = sizeof(ss);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert(sl_endpoint_from_sockaddr(at, (struct sockaddr *)&ss, len));
    return fd;
}

static void gw_open(struct gw *g, enum esp_sock s)
{
    bool v6 = s == ESP_UDP6 || s == ESP_RAW6;
    *g = (struct gw){ .fds = { .tun = -1, .sock = { -1, -1, -1, -1 } } };
    ck_ok(sl_esp_new(&g->e, &(struct sl_esp_config){ .rng = &sl_rng_system }, &err), &err);
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    g->fds.tun = pair[0];
    g->inside = pair[1];
    if (s == ESP_UDP4 || s == ESP_UDP6)
        g->fds.sock[s] = udp_socket(v6, &g->at, false);
    else
        g->fds.sock[s] =
            socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ESP);
    if (g->fds.sock[s] >= 0)
        ck_ok(esp_io_new(&g->io, g->e, &g->fds, &err), &err);
}

static void gw_close(struct gw *g)
{
    esp_io_free(g->io);
    sl_esp_free(g->e);
    close(g->inside);
    close(g->fds.tun);
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
        if (g->fds.sock[s] >= 0)
            close(g->fds.sock[s]);
}

static void gw_child(struct gw *g, char side, const struct gw *peer, bool encap, uint32_t spi_a)
{
    struct sl_child c;
    esp_test_child(&c, &(struct esp_test_child){ .side = side,
                                                 .suite = esp_suites[0],
                                                 .udp_encap = encap,
                                                 .outbound = true,
                                                 .spi_a = spi_a,
                                                 .spi_b = spi_a + 1 });
    c.local = g->at;
    c.remote = peer->at;
    ck_ok(sl_esp_child_add(g->e, &c, &err), &err);
    ck_ok(sl_esp_commit(g->e, &err), &err);
}

static struct esp_io_stats stats(const struct gw *g)
{
    struct esp_io_stats n;
    esp_io_stats(g->io, &n);
    return n;
}

/* The next packet at fd within a second; its length. */
static size_t arrive(int fd, uint8_t *buf, size_t cap)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, 1000) != 1)
        return 0;
    ssize_t n = read(fd, buf, cap);
    return n > 0 ? (size_t)n : 0;
}

static void wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ck_assert_int_eq(poll(&p, 1, 2000), 1);
}

static void through(enum esp_sock s)
{
    bool v6 = s == ESP_UDP6 || s == ESP_RAW6, raw = s == ESP_RAW4 || s == ESP_RAW6;
    struct gw a, b;
    gw_open(&a, s);
    gw_open(&b, s);
    if (!a.io || !b.io) {
        fprintf(stderr, "%s: raw sockets are not permitted, not tested\n", esp_sock_text(s));
        gw_close(&a);
        gw_close(&b);
        return;
    }
    if (raw) /* two addresses, though a raw socket hears of all */
        ck_assert(sl_endpoint_parse(&a.at, v6 ? "::1" : "127.0.0.1", 4500) &&
                  sl_endpoint_parse(&b.at, v6 ? "::1" : "127.0.0.2", 4500));
    uint32_t spi = 0x10000u + (uint32_t)getpid() * 4;
    gw_child(&a, 'a', &b, !raw, spi);
    gw_child(&b, 'b', &a, !raw, spi);

    uint8_t sent[1500], got[2000];
    for (int i = 0; i < 20; i++) {
        size_t n = esp_udp_make(sent, i % 2 ? 4 : 6, 100 + (size_t)i * 50, 0x4000);
        ck_assert_int_eq(write(a.inside, sent, n), (ssize_t)n);
        esp_io_tun(a.io);
        wait_readable(b.fds.sock[s]);
        esp_io_sock(b.io, s);
        ck_assert_uint_eq(arrive(b.inside, got, sizeof(got)), n);
        ck_assert_mem_eq(got, sent, n);
    }
    struct esp_io_stats na = stats(&a), nb = stats(&b);
    ck_assert(na.tun_read == 20 && na.wire_sent == 20);
    ck_assert_uint_ge(nb.wire_received, 20); /* a raw socket also gets what it sent itself */
    ck_assert_uint_eq(nb.tun_written, 20);
    /* the addresses agree, so that nobody is thought to have moved */
    struct sl_esp_event ev;
    while (sl_esp_next(b.e, &ev))
        ck_assert_int_eq(ev.type, SL_ESP_EV_SEEN);
    gw_close(&a);
    gw_close(&b);
}

START_TEST(packets_pass_over_udp4)
{
    through(ESP_UDP4);
}
END_TEST
START_TEST(packets_pass_over_udp6)
{
    through(ESP_UDP6);
}
END_TEST
START_TEST(packets_pass_over_protocol_50)
{
    through(ESP_RAW4);
    through(ESP_RAW6);
}
END_TEST

START_TEST(tos_is_carried_outside_and_marks_come_back)
{
    struct gw a, b;
    gw_open(&a, ESP_UDP4);
    gw_open(&b, ESP_UDP4);
    gw_child(&a, 'a', &b, true, 0x1000);
    gw_child(&b, 'b', &a, true, 0x1000);
    int one = 1;
    ck_assert_int_eq(setsockopt(b.fds.sock[ESP_UDP4], IPPROTO_IP, IP_RECVTOS, &one, sizeof(one)),
                     0);
    uint8_t pkt[200], payload[40] = { 0 };
    size_t n = esp_ip_make(pkt, &(struct esp_ip){ .src = "10.1.0.5",
                                                  .dst = "10.2.0.9",
                                                  .proto = 17,
                                                  .tos = 0xb8 | 2,
                                                  .payload = sl_bytes(payload, 40) });
    ck_assert_int_eq(write(a.inside, pkt, n), (ssize_t)n);
    esp_io_tun(a.io);
    /* look at it on its way, and send it on as a router that marks congestion */
    uint8_t wire[2000], control[64];
    struct iovec iov = { wire, sizeof(wire) };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    wait_readable(b.fds.sock[ESP_UDP4]);
    ssize_t len = recvmsg(b.fds.sock[ESP_UDP4], &m, 0);
    ck_assert_int_gt(len, 0);
    int tos = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            tos = *CMSG_DATA(c);
    ck_assert_int_eq(tos, 0xba);
    struct sockaddr_storage ss;
    socklen_t sl = sl_endpoint_to_sockaddr(&ss, &b.at);
    int ce = 3;
    ck_assert_int_eq(setsockopt(a.fds.sock[ESP_UDP4], IPPROTO_IP, IP_TOS, &ce, sizeof(ce)), 0);
    ck_assert_int_eq(sendto(a.fds.sock[ESP_UDP4], wire, (size_t)len, 0, (struct sockaddr *)&ss, sl),
                     len);
    wait_readable(b.fds.sock[ESP_UDP4]);
    esp_io_sock(b.io, ESP_UDP4);
    ck_assert_uint_eq(arrive(b.inside, wire, sizeof(wire)), n);
    ck_assert_uint_eq(wire[1], 0xbb);
    gw_close(&a);
    gw_close(&b);
}
END_TEST

START_TEST(large_packets_leave_in_fragments_or_are_answered)
{
    struct gw a, b;
    gw_open(&a, ESP_UDP4);
    gw_open(&b, ESP_UDP4);
    gw_child(&a, 'a', &b, true, 0x1000);
    gw_child(&b, 'b', &a, true, 0x1000);
    static uint8_t pkt[9000], got[9000];
    size_t n = esp_udp_make(pkt, 4, 8000, 0);
    ck_assert_int_eq(write(a.inside, pkt, n), (ssize_t)n);
    esp_io_tun(a.io);
    size_t data = 0, count = 0, len;
    while (data < n - 20) {
        wait_readable(b.fds.sock[ESP_UDP4]);
        esp_io_sock(b.io, ESP_UDP4);
        while ((len = arrive(b.inside, got, sizeof(got)))) {
            ck_assert_uint_le(len, 1438);
            data += len - 20;
            count++;
            if (data >= n - 20)
                break;
        }
    }
    ck_assert_uint_eq(data, n - 20);
    ck_assert_uint_eq(count, 6);
    n = esp_udp_make(pkt, 4, 1500, 0x4000);
    ck_assert_int_eq(write(a.inside, pkt, n), (ssize_t)n);
    esp_io_tun(a.io);
    ck_assert_uint_eq(arrive(a.inside, got, sizeof(got)), 576); /* fragmentation needed */
    ck_assert_mem_eq(got + 20, "\x03\x04", 2);
    gw_close(&a);
    gw_close(&b);
}
END_TEST

/* A burst to one peer goes through the kernel as few messages, and comes out whole, in order. */
START_TEST(bursts_are_joined_and_taken_apart)
{
    enum { PACKETS = 100 };
    struct gw a, b;
    gw_open(&a, ESP_UDP4);
    gw_open(&b, ESP_UDP4);
    gw_child(&a, 'a', &b, true, 0x1000);
    gw_child(&b, 'b', &a, true, 0x1000);
    uint8_t pkt[2000], got[2000];
    size_t len[PACKETS];
    int room = 1 << 20;
    (void)setsockopt(b.fds.tun, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    for (int i = 0; i < PACKETS; i++) {
        /* runs of one size, each ended by a shorter packet, then a larger size */
        len[i] = 200 + (size_t)(i / 20) * 50 - (i % 20 == 19 ? 60 : 0);
        esp_udp_make(pkt, 4, len[i], 0x4000);
        esp_put16(pkt + 4, (unsigned)i); /* told apart by the IP identification */
        esp_put16(pkt + 10, 0);
        esp_put16(pkt + 10, esp_slow_sum(pkt, 20, 0));
        ck_assert_int_eq(write(a.inside, pkt, len[i]), (ssize_t)len[i]);
    }
    esp_io_tun(a.io);
    struct esp_io_stats n = stats(&a);
    ck_assert_uint_eq(n.wire_sent, PACKETS);
    ck_assert_uint_le(n.calls_sent, 4);
    int arrived = 0;
    for (int tries = 0; tries < 100 && arrived < PACKETS; tries++) {
        wait_readable(b.fds.sock[ESP_UDP4]);
        esp_io_sock(b.io, ESP_UDP4);
        ssize_t r;
        while ((r = read(b.inside, got, sizeof(got))) > 0) {
            ck_assert_uint_eq((size_t)r, len[arrived]);
            ck_assert_uint_eq(got[4] * 256u + got[5], (unsigned)arrived);
            arrived++;
        }
    }
    ck_assert_int_eq(arrived, PACKETS);
    ck_assert_uint_eq(stats(&b).wire_received, PACKETS);
    gw_close(&a);
    gw_close(&b);
}
END_TEST

START_TEST(keepalives_and_rubbish_are_counted)
{
    struct gw b;
    gw_open(&b, ESP_UDP4);
    struct sockaddr_storage ss;
    socklen_t sl = sl_endpoint_to_sockaddr(&ss, &b.at);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    const uint8_t keepalive = 0xff, rubbish[100] = { 1, 2, 3, 4 };
    ck_assert_int_eq(sendto(s, &keepalive, 1, 0, (struct sockaddr *)&ss, sl), 1);
    ck_assert_int_eq(sendto(s, rubbish, 100, 0, (struct sockaddr *)&ss, sl), 100);
    ck_assert_int_eq(sendto(s, rubbish, 3, 0, (struct sockaddr *)&ss, sl), 3);
    ck_assert_int_eq(sendto(s, rubbish, 0, 0, (struct sockaddr *)&ss, sl), 0);
    for (int i = 0; i < 100 && stats(&b).wire_received < 4; i++)
        esp_io_sock(b.io, ESP_UDP4);
    struct sl_esp_stats n;
    sl_esp_stats(b.e, &n);
    ck_assert(stats(&b).keepalives == 1 && n.in_no_sa == 1 && n.in_short == 2);
    close(s);
    gw_close(&b);
}
END_TEST

/* A peer of protocol 50 while there is no raw socket: dropped, counted, nothing else suffers. */
START_TEST(packets_without_a_socket_are_dropped)
{
    struct gw a, b;
    gw_open(&a, ESP_UDP4);
    gw_open(&b, ESP_UDP4);
    gw_child(&a, 'a', &b, false, 0x1000);
    uint8_t pkt[200];
    size_t n = esp_udp_make(pkt, 4, 100, 0);
    for (int i = 0; i < 300; i++) { /* more than there are buffers: none is lost */
        ck_assert_int_eq(write(a.inside, pkt, n), (ssize_t)n);
        esp_io_tun(a.io);
    }
    ck_assert_uint_eq(stats(&a).wire_dropped, 300);
    ck_assert_uint_eq(esp_io_blocked(a.io), 0);
    gw_close(&a);
    gw_close(&b);
}
END_TEST

/*
 * A socket that takes no more: the TUN is left alone, memory stays as it is, and when there is room
 * again what waited goes out in order. UDP on loopback never fills: a socket pair, which ignores the
 * names of its peers, is put beneath the descriptor.
 */
START_TEST(full_socket_stops_reading_and_loses_nothing)
{
    enum { PACKETS = 60 };
    struct gw a, b;
    gw_open(&a, ESP_UDP4);
    gw_open(&b, ESP_UDP4);
    gw_child(&a, 'a', &b, true, 0x1000);
    gw_child(&b, 'b', &a, true, 0x1000);
    int pair[2], small = 8192;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    ck_assert_int_eq(dup2(pair[0], a.fds.sock[ESP_UDP4]), a.fds.sock[ESP_UDP4]);

    uint8_t pkt[1000];
    size_t n = esp_udp_make(pkt, 4, 900, 0x4000);
    for (int i = 0; i < PACKETS; i++)
        ck_assert_int_eq(write(a.inside, pkt, n), (ssize_t)n);
    static struct esp_mem mem;
    unsigned arrived = 0, waits = 0;
    for (int i = 0; i < 1000 && arrived < PACKETS; i++) {
        if (!esp_io_blocked(a.io))
            esp_io_tun(a.io);
        if (esp_io_blocked(a.io)) {
            waits++;
            ck_assert_uint_eq(esp_io_blocked(a.io), 1u << ESP_UDP4);
            uint64_t before = stats(&a).tun_read;
            esp_io_tun(a.io);
            ck_assert_uint_eq(stats(&a).tun_read, before);
        }
        esp_mem_set(&mem, sl_bytes(NULL, 0));
        ssize_t got = read(pair[1], mem.p.buf + mem.p.off, 2000);
        ck_assert_int_gt(got, 0);
        mem.p.len = (uint32_t)got;
        ck_assert_int_eq(sl_esp_inbound(b.e, &mem.p), SL_ESP_INSIDE);
        struct sl_esp_child_info info;
        ck_assert(sl_esp_child_info(b.e, 1, &info));
        ck_assert_uint_eq(info.seq_in, ++arrived);
        esp_io_writable(a.io, ESP_UDP4);
    }
    ck_assert_uint_eq(arrived, PACKETS);
    ck_assert_uint_gt(waits, 0);
    ck_assert_uint_eq(stats(&a).wire_sent, PACKETS);
    ck_assert_uint_eq(stats(&a).overload_dropped + stats(&a).wire_dropped, 0);
    close(pair[0]);
    close(pair[1]);
    gw_close(&a);
    gw_close(&b);
}
END_TEST

START_TEST(port_is_shared_between_ike_and_esp)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct sl_endpoint at = { 0 };
        int ike = udp_socket(v6, &at, true), esp = udp_socket(v6, &at, true);
        ck_ok(esp_steer(esp, &err), &err);
        struct sockaddr_storage ss;
        socklen_t sl = sl_endpoint_to_sockaddr(&ss, &at);
        static const struct {
            uint8_t bytes[64];
            size_t len;
            bool ike;
        } cases[] = {
            { { 0, 0, 0, 0, 1, 2, 3 }, 64, true },
            { { 0xff }, 1, true },
            { { 0x12, 0x34, 0x56, 0x78 }, 64, false },
            { { 0, 0, 1, 0 }, 64, false },
            { { 0x80 }, 5, false },
            { { 0, 0, 0, 0 }, 4, true },
            { { 1, 2, 3 }, 3, true },
            { { 0 }, 0, true },
            { { 0, 0, 0, 1 }, 4, false },
        };
        /* many senders: without the selector their hash would scatter them */
        for (int sender = 0; sender < 20; sender++) {
            int s = socket(ss.ss_family, SOCK_DGRAM, 0);
            for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
                ck_assert_int_eq(
                    sendto(s, cases[i].bytes, cases[i].len, 0, (struct sockaddr *)&ss, sl),
                    (ssize_t)cases[i].len);
                uint8_t got[100];
                int want = cases[i].ike ? ike : esp, other = cases[i].ike ? esp : ike;
                wait_readable(want);
                ck_assert_int_eq(recv(want, got, sizeof(got), 0), (ssize_t)cases[i].len);
                ck_assert_int_eq(recv(other, got, sizeof(got), 0), -1);
                ck_assert_int_eq(errno, EAGAIN);
            }
            close(s);
        }
        close(ike);
        close(esp);
    }
}
END_TEST

/* With a real device, where the test may make one: the virtio header is told apart. */
START_TEST(tun_device_reads_and_writes_behind_its_header)
{
    int fd = -1;
    if (esp_tun_open(&fd, "", &err) != SL_OK) {
        fprintf(stderr, "no TUN device here, not tested: %s\n", sl_err_text(&err));
        return;
    }
    struct esp_tun t;
    ck_ok(esp_tun_init(&t, fd, &err), &err);
    ck_assert_uint_eq(t.hdr_len, 10);
    static struct esp_mem mem;
    esp_mem_set(&mem, sl_bytes(NULL, 0));
    ck_assert_int_eq(esp_tun_read(&t, &mem.p), ESP_TUN_EMPTY);
    close(fd);
}
END_TEST

SL_TESTS(esp_io, SL_CASE(packets_pass_over_udp4), SL_CASE(packets_pass_over_udp6),
         SL_CASE(packets_pass_over_protocol_50),
         SL_CASE(tos_is_carried_outside_and_marks_come_back),
         SL_CASE(large_packets_leave_in_fragments_or_are_answered),
         SL_CASE(bursts_are_joined_and_taken_apart), SL_CASE(keepalives_and_rubbish_are_counted),
         SL_CASE(packets_without_a_socket_are_dropped),
         SL_CASE(full_socket_stops_reading_and_loses_nothing),
         SL_CASE(port_is_shared_between_ike_and_esp),
         SL_CASE(tun_device_reads_and_writes_behind_its_header))
