/* The datapath's shell; see io.h. ESP in UDP RFC 3948, protocol 50 RFC 4303 2. */
#include "src/esp/io.h"

#include "sealane/time.h"
#include "src/esp/tun.h"
#include "src/esp/view.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH            64u  /* packets a system call; received, each of them may be many in one */
#define WAKE_UP          256u /* packets a wake-up, so that no descriptor starves the others */
#define JOINED_MAX       64u /* packets that the kernel sends as one, UDP_MAX_SEGMENTS of its oldest */
#define JOINED_BYTES_MAX 65000u
#define JOIN_AGAIN_NS    (10 * SL_NS_PER_S) /* after the kernel refused to */
#define CONTROL          128u
#define PACKET_CAP       (SL_ESP_HEADROOM + SL_ESP_PACKET_MAX + 1 + SL_ESP_TAILROOM)
/*
 * Buffers lie further apart than a packet is long, by a number that keeps their beginnings from
 * meeting in the same sets of the processor's cache.
 */
#define STRIDE ((PACKET_CAP + 64u) / 64u * 64u + 21u * 64u)

/* Packets in memory that belong to one user: the TUN's way out, or one batch received. */
struct buffers {
    uint8_t *mem;
    struct sl_esp_pkt pkt[BATCH * 2];
    struct sl_esp_pkt *free[BATCH * 2];
    size_t free_n;
};

/*
 * One or more packets for one message to the kernel: those that follow each other to one peer, alike
 * in size but for the last, go through its network stack as one and are cut apart at the end of it
 * (UDP_SEGMENT).
 */
struct message {
    size_t first, n; /* packets of the queue */
    uint32_t size, bytes;
    bool closed; /* the last one is shorter */
};
/* Packets for one socket, sent with one call. Messages [head, n) are still to be sent. */
struct queue {
    size_t head, n, packets;
    bool blocked;
    struct message message[BATCH];
    struct sl_esp_pkt *pkt[BATCH];
    struct iovec iov[BATCH];
    struct mmsghdr msg[BATCH];
    struct sockaddr_storage to[BATCH];
    uint8_t control[BATCH][CONTROL] __attribute__((aligned(8)));
};

struct sock {
    int fd;
    bool raw, v6;
    int64_t join_from_ns; /* packets are joined from this time on */
    uint32_t overflow;    /* the kernel's count of what it dropped */
    struct queue out;
};

struct esp_io {
    struct sl_esp *e;
    struct esp_tun tun;
    struct sock sock[ESP_SOCK_COUNT];
    struct buffers out;
    struct esp_io_stats n;
    int64_t now_ns;
    /* one batch received */
    uint8_t *in_mem;
    struct mmsghdr msg[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_storage from[BATCH];
    uint8_t control[BATCH][CONTROL] __attribute__((aligned(8)));
};

const char *esp_sock_text(enum esp_sock s)
{
    static const char *const text[] = { "udp4", "udp6", "raw4", "raw6" };
    return s < ESP_SOCK_COUNT ? text[s] : "?";
}

/* ---- making and ending ------------------------------------------------------------------------- */
static enum sl_rc option(int fd, int level, int name, int value, const char *what,
                         struct sl_err *err)
{
    if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
        return SL_FAIL(err, SL_IO, "socket option %s: %s", what, strerror(errno));
    return SL_OK;
}

/*
 * DF is not set on outer packets, and IPv6 ones may be fragmented here: what the path turns out not
 * to carry in one piece is slow, but arrives. Inner packets are made to fit beforehand, so that
 * this is the exception (RFC 4301 8.1 lets the outer DF be chosen).
 */
static enum sl_rc sock_init(struct sock *s, int fd, bool raw, bool v6, struct sl_err *err)
{
    *s = (struct sock){ .fd = fd, .raw = raw, .v6 = v6 };
    if (fd < 0)
        return SL_OK;
    SL_TRY(option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL", err));
    s->join_from_ns = raw ? INT64_MAX : 0;
    if (!raw)
        SL_TRY(option(fd, IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO", err));
    if (v6) {
        SL_TRY(option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO", err));
        SL_TRY(option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS", err));
        return option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT, "IPV6_MTU_DISCOVER",
                      err);
    }
    SL_TRY(option(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO", err));
    SL_TRY(option(fd, IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS", err));
    return option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT, "IP_MTU_DISCOVER", err);
}

enum sl_rc esp_io_new(struct esp_io **out, struct sl_esp *e, const struct esp_io_fds *fds,
                      struct sl_err *err)
{
    struct esp_io *io = calloc(1, sizeof(*io));
    if (!io)
        return SL_FAIL_MEM(err);
    io->e = e;
    size_t out_n = SL_ARRAY_LEN(io->out.pkt);
    io->out.mem = aligned_alloc(64, out_n * STRIDE);
    io->in_mem = aligned_alloc(64, (size_t)BATCH * STRIDE);
    enum sl_rc rc = io->out.mem && io->in_mem ? SL_OK : SL_FAIL_MEM(err);
    if (rc == SL_OK)
        rc = esp_tun_init(&io->tun, fds->tun, err);
    for (unsigned s = 0; s < ESP_SOCK_COUNT && rc == SL_OK; s++)
        rc = sock_init(&io->sock[s], fds->sock[s], s == ESP_RAW4 || s == ESP_RAW6,
                       s == ESP_UDP6 || s == ESP_RAW6, err);
    if (rc != SL_OK) {
        esp_io_free(io);
        return rc;
    }
    for (size_t i = 0; i < out_n; i++) {
        io->out.pkt[i] = (struct sl_esp_pkt){ .buf = io->out.mem + i * STRIDE, .cap = PACKET_CAP };
        io->out.free[io->out.free_n++] = &io->out.pkt[i];
    }
    *out = io;
    return SL_OK;
}

void esp_io_free(struct esp_io *io)
{
    if (!io)
        return;
    free(io->out.mem);
    free(io->in_mem);
    free(io);
}

void esp_io_stats(const struct esp_io *io, struct esp_io_stats *out)
{
    *out = io->n;
}

unsigned esp_io_blocked(const struct esp_io *io)
{
    unsigned bits = 0;
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
        bits |= io->sock[s].out.blocked ? 1u << s : 0;
    return bits;
}

static struct sl_esp_pkt *take(struct esp_io *io)
{
    return io->out.free_n ? io->out.free[--io->out.free_n] : NULL;
}

static void give(struct esp_io *io, struct sl_esp_pkt *p)
{
    io->out.free[io->out.free_n++] = p;
}

static void set_time(struct esp_io *io)
{
    io->now_ns = sl_clock_mono_ns();
    sl_esp_time(io->e, io->now_ns, sl_clock_utc_s());
}

/* ---- to the wire ------------------------------------------------------------------------------- */
/* One control message at mem + at; where the next one goes. */
static size_t control_add(uint8_t *mem, size_t at, int level, int type, const void *data,
                          size_t len)
{
    struct cmsghdr c = { .cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type };
    memset(mem + at, 0, CMSG_SPACE(len));
    memcpy(mem + at, &c, sizeof(c));
    memcpy(mem + at + CMSG_LEN(0), data, len);
    return at + CMSG_SPACE(len);
}

/*
 * The source address; where they are not 0, the DSCP and ECN octet of the outer header; where there
 * are many, the size of a packet.
 */
static void control_make(const struct sock *s, struct msghdr *m, uint8_t *mem,
                         const struct sl_esp_pkt *p, const struct message *message)
{
    bool local = !sl_addr_is_any(&p->local.addr);
    size_t n = 0;
    if (local && s->v6) {
        struct in6_pktinfo i = { 0 };
        memcpy(&i.ipi6_addr, p->local.addr.b, 16);
        n = control_add(mem, n, IPPROTO_IPV6, IPV6_PKTINFO, &i, sizeof(i));
    } else if (local) {
        struct in_pktinfo i = { 0 };
        memcpy(&i.ipi_spec_dst, p->local.addr.b, 4);
        n = control_add(mem, n, IPPROTO_IP, IP_PKTINFO, &i, sizeof(i));
    }
    if (p->tos) {
        int tos = p->tos;
        n = control_add(mem, n, s->v6 ? IPPROTO_IPV6 : IPPROTO_IP, s->v6 ? IPV6_TCLASS : IP_TOS,
                        &tos, sizeof(tos));
    }
    if (message->n > 1) {
        uint16_t size = (uint16_t)message->size;
        n = control_add(mem, n, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
    }
    m->msg_control = n ? mem : NULL;
    m->msg_controllen = n;
}

/* Message i of the queue as the kernel takes it. */
static void message_make(struct sock *s, size_t i)
{
    struct queue *q = &s->out;
    const struct message *message = &q->message[i];
    const struct sl_esp_pkt *p = q->pkt[message->first];
    struct sl_endpoint to = p->remote;
    if (s->raw)
        to.port = 0; /* a raw IPv6 socket takes it for a protocol */
    struct msghdr *m = &q->msg[i].msg_hdr;
    *m = (struct msghdr){ .msg_name = &q->to[i],
                          .msg_iov = &q->iov[message->first],
                          .msg_iovlen = message->n };
    m->msg_namelen = sl_endpoint_to_sockaddr(&q->to[i], &to);
    control_make(s, m, q->control[i], p, message);
}

static void message_done(struct esp_io *io, struct queue *q)
{
    const struct message *m = &q->message[q->head++];
    for (size_t i = 0; i < m->n; i++)
        give(io, q->pkt[m->first + i]);
}

static void messages_make(struct sock *s)
{
    for (size_t i = s->out.head; i < s->out.n; i++)
        message_make(s, i);
}

/*
 * The kernel refused the first message. Of many packets: it cannot join them, here or on this path;
 * they become messages of their own. A single one is lost: no route, too long, no buffers.
 */
static void message_refused(struct esp_io *io, struct sock *s, int error)
{
    struct queue *q = &s->out;
    struct message all = q->message[q->head];
    if (all.n == 1 ||
        (error != EINVAL && error != EMSGSIZE && error != EIO && error != EOPNOTSUPP)) {
        io->n.wire_dropped += all.n;
        message_done(io, q);
        return;
    }
    s->join_from_ns = io->now_ns + JOIN_AGAIN_NS;
    /* there is a place for every packet of the queue */
    memmove(&q->message[q->head + all.n], &q->message[q->head + 1],
            (q->n - q->head - 1) * sizeof(q->message[0]));
    for (size_t i = 0; i < all.n; i++)
        q->message[q->head + i] = (struct message){ .first = all.first + i, .n = 1 };
    q->n += all.n - 1;
    messages_make(s);
}

/* Sends what waits; a full socket keeps the rest. */
static void flush(struct esp_io *io, struct sock *s)
{
    struct queue *q = &s->out;
    messages_make(s);
    while (q->head < q->n) {
        int sent = sendmmsg(s->fd, q->msg + q->head, (unsigned)(q->n - q->head), MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            q->blocked = true;
            return;
        }
        io->n.calls_sent++;
        if (sent <= 0)
            message_refused(io, s, errno);
        for (int i = 0; i < sent; i++) {
            io->n.wire_sent += q->message[q->head].n;
            message_done(io, q);
        }
    }
    q->head = q->n = q->packets = 0;
    q->blocked = false;
}

static void flush_all(struct esp_io *io)
{
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
        if (io->sock[s].out.n && !io->sock[s].out.blocked)
            flush(io, &io->sock[s]);
}

/* May p go in one message with the packets of m? */
static bool joins(const struct esp_io *io, const struct sock *s, const struct message *m,
                  const struct sl_esp_pkt *p)
{
    const struct sl_esp_pkt *first = s->out.pkt[m->first];
    return io->now_ns >= s->join_from_ns && !m->closed && m->n < JOINED_MAX && p->len <= m->size &&
           m->bytes + p->len <= JOINED_BYTES_MAX && p->tos == first->tos &&
           sl_endpoint_eq(&p->remote, &first->remote) &&
           sl_addr_eq(&p->local.addr, &first->local.addr);
}

/* Takes p. */
static void enqueue(struct esp_io *io, struct sl_esp_pkt *p)
{
    bool v6 = p->remote.addr.family == 6;
    struct sock *s = &io->sock[p->udp_encap ? (v6 ? ESP_UDP6 : ESP_UDP4)
                               : v6         ? ESP_RAW6
                                            : ESP_RAW4];
    struct queue *q = &s->out;
    if (s->fd < 0) {
        io->n.wire_dropped++;
        give(io, p);
        return;
    }
    if (q->packets == BATCH && !q->blocked)
        flush(io, s);
    if (q->blocked) { /* only fragments come here then: the TUN is not read */
        io->n.overload_dropped++;
        give(io, p);
        return;
    }
    size_t at = q->packets++;
    q->pkt[at] = p;
    q->iov[at] = (struct iovec){ .iov_base = p->buf + p->off, .iov_len = p->len };
    struct message *m = q->n ? &q->message[q->n - 1] : NULL;
    if (!m || !joins(io, s, m, p)) {
        q->message[q->n++] =
            (struct message){ .first = at, .n = 1, .size = p->len, .bytes = p->len };
        return;
    }
    m->n++;
    m->bytes += p->len;
    m->closed = p->len < m->size;
}

static void inside(struct esp_io *io, const struct sl_esp_pkt *p)
{
    if (esp_tun_write(&io->tun, p))
        io->n.tun_written++;
    else
        io->n.tun_dropped++;
}

/* Seals and queues the fragments of whole. */
static void split(struct esp_io *io, const struct sl_esp_pkt *whole)
{
    uint32_t at = 0;
    for (;;) {
        struct sl_esp_pkt *frag = take(io);
        if (!frag) {
            flush_all(io);
            frag = take(io);
        }
        if (!frag) {
            io->n.overload_dropped++;
            return;
        }
        if (sl_esp_split(io->e, whole, &at, frag) != SL_ESP_WIRE) {
            give(io, frag);
            return;
        }
        enqueue(io, frag);
    }
}

static void outbound(struct esp_io *io, struct sl_esp_pkt *p)
{
    switch (sl_esp_outbound(io->e, p)) {
    case SL_ESP_WIRE:
        enqueue(io, p);
        return;
    case SL_ESP_INSIDE:
        inside(io, p);
        break;
    case SL_ESP_SPLIT:
        split(io, p);
        break;
    case SL_ESP_BYPASS:
        io->n.bypass_dropped++;
        break;
    case SL_ESP_DROP:
        break;
    }
    give(io, p);
}

void esp_io_tun(struct esp_io *io)
{
    set_time(io);
    for (unsigned i = 0; i < WAKE_UP && !esp_io_blocked(io); i++) {
        struct sl_esp_pkt *p = take(io);
        if (!p) {
            flush_all(io);
            p = take(io);
        }
        if (!p)
            break;
        enum esp_tun_got got = esp_tun_read(&io->tun, p);
        if (got == ESP_TUN_PACKET) {
            io->n.tun_read++;
            outbound(io, p);
            continue;
        }
        give(io, p);
        if (got == ESP_TUN_EMPTY)
            break;
        io->n.tun_bad++;
    }
    flush_all(io);
}

void esp_io_writable(struct esp_io *io, enum esp_sock s)
{
    if (io->sock[s].fd >= 0)
        flush(io, &io->sock[s]);
}

/* ---- from the wire ----------------------------------------------------------------------------- */
static int receive(struct esp_io *io, const struct sock *s)
{
    for (unsigned i = 0; i < BATCH; i++) {
        io->iov[i] = (struct iovec){ .iov_base = io->in_mem + (size_t)i * STRIDE + SL_ESP_HEADROOM,
                                     .iov_len = SL_ESP_PACKET_MAX + 1 };
        io->msg[i].msg_hdr = (struct msghdr){ .msg_name = &io->from[i],
                                              .msg_namelen = sizeof(io->from[i]),
                                              .msg_iov = &io->iov[i],
                                              .msg_iovlen = 1,
                                              .msg_control = io->control[i],
                                              .msg_controllen = CONTROL };
    }
    int n;
    do
        n = recvmmsg(s->fd, io->msg, BATCH, MSG_DONTWAIT, NULL);
    while (n < 0 && errno == EINTR);
    return n;
}

/*
 * What the kernel tells beside the packet: where it went to, its TOS, how many were lost, and the
 * size of each when it has joined many; else 0.
 */
static uint32_t control_read(struct esp_io *io, struct sock *s, struct msghdr *m,
                             struct sl_esp_pkt *p)
{
    uint32_t size = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct sl_bytes data = sl_bytes(CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS && data.len >= 1) {
            p->tos = data.p[0];
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS &&
                   data.len >= sizeof(int)) {
            int v;
            memcpy(&v, data.p, sizeof(v));
            p->tos = (uint8_t)v;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
                   data.len >= sizeof(struct in_pktinfo)) {
            struct in_pktinfo i;
            memcpy(&i, data.p, sizeof(i));
            p->local.addr = (struct sl_addr){ .family = 4 };
            memcpy(p->local.addr.b, &i.ipi_addr, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
                   data.len >= sizeof(struct in6_pktinfo)) {
            struct in6_pktinfo i;
            memcpy(&i, data.p, sizeof(i));
            p->local.addr = (struct sl_addr){ .family = 6 };
            memcpy(p->local.addr.b, &i.ipi6_addr, 16);
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL &&
                   data.len >= sizeof(uint32_t)) {
            uint32_t total;
            memcpy(&total, data.p, sizeof(total));
            io->n.kernel_dropped += (uint32_t)(total - s->overflow);
            s->overflow = total;
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO &&
                   data.len >= sizeof(int)) {
            int v;
            memcpy(&v, data.p, sizeof(v));
            size = v > 0 ? (uint32_t)v : 0;
        }
    }
    return size;
}

/* A raw IPv4 socket delivers the outer header, too. false: it is not what the kernel promises. */
static bool strip_ipv4(struct sl_esp_pkt *p)
{
    struct sl_bytes b = sl_bytes(p->buf + p->off, p->len);
    uint32_t len = (uint32_t)(view_u8(b, 0) & 15) * 4;
    if (view_u8(b, 0) >> 4 != 4 || len < sizeof(struct iphdr) || len > b.len)
        return false;
    p->tos = view_u8(b, 1);
    p->off += len;
    p->len -= len;
    return true;
}

static void inbound_one(struct esp_io *io, struct sl_esp_pkt *p)
{
    io->n.wire_received++;
    /* SPEC RFC3948-2.3 MUST: a NAT keepalive is one byte, ignored */
    if (p->udp_encap && p->len == 1 && p->buf[p->off] == 0xff) {
        io->n.keepalives++;
        return;
    }
    if (sl_esp_inbound(io->e, p) == SL_ESP_INSIDE)
        inside(io, p);
}

/* Message i of a batch; the number of packets in it. */
static unsigned inbound(struct esp_io *io, struct sock *s, unsigned i)
{
    struct msghdr *m = &io->msg[i].msg_hdr;
    struct sl_esp_pkt p = { .buf = io->in_mem + (size_t)i * STRIDE,
                            .cap = PACKET_CAP,
                            .off = SL_ESP_HEADROOM,
                            .len = io->msg[i].msg_len,
                            .udp_encap = !s->raw };
    uint32_t size = control_read(io, s, m, &p);
    if (m->msg_flags & MSG_TRUNC || p.len > SL_ESP_PACKET_MAX ||
        !sl_endpoint_from_sockaddr(&p.remote, m->msg_name, m->msg_namelen) ||
        (s->raw && !s->v6 && !strip_ipv4(&p))) {
        io->n.truncated++;
        return 1;
    }
    if (!size || size >= p.len) {
        inbound_one(io, &p);
        return 1;
    }
    /* each packet is opened where it lies: it stays within its own bytes */
    unsigned n = 0;
    uint32_t end = p.off + p.len;
    for (uint32_t off = p.off; off < end; off += size, n++) {
        struct sl_esp_pkt one = p;
        one.off = off;
        one.len = end - off < size ? end - off : size;
        inbound_one(io, &one);
    }
    return n;
}

void esp_io_sock(struct esp_io *io, enum esp_sock which)
{
    struct sock *s = &io->sock[which];
    if (s->fd < 0)
        return;
    set_time(io);
    for (unsigned packets = 0; packets < WAKE_UP;) {
        int n = receive(io, s);
        if (n <= 0)
            return;
        io->n.calls_received++;
        for (int i = 0; i < n; i++)
            packets += inbound(io, s, (unsigned)i);
        if ((unsigned)n < BATCH)
            return;
    }
}
