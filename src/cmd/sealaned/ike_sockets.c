/*
 * The ike role's UDP sockets. RFC 3948 2.2: on port 4500 a message begins with four zero bytes.
 */
#include "src/cmd/sealaned/role_ike.h"

#include "sealane/time.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH  64 /* datagrams read before the loop looks at its other work */
#define MARKER 4  /* non-ESP marker */

/* The address that a datagram was sent to, from its control message. */
static bool local_address(struct sl_addr *out, struct msghdr *h)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            return sl_addr_from_bytes(out, sl_bytes(&info.ipi_addr, 4));
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            return sl_addr_from_bytes(out, sl_bytes(&info.ipi6_addr, 16));
        }
    }
    return false;
}

static void received(struct socket_end *s, struct msghdr *h, size_t len)
{
    struct role_ike *r = s->r;
    struct sl_endpoint local = { .port = s->port }, remote;
    struct sl_bytes data = sl_bytes(r->buf, len);
    if ((h->msg_flags & MSG_TRUNC) || !local_address(&local.addr, h) ||
        !sl_endpoint_from_sockaddr(&remote, h->msg_name, h->msg_namelen))
        return;
    if (s->natt) {
        static const uint8_t marker[MARKER];
        if (len < MARKER || memcmp(r->buf, marker, MARKER) != 0)
            return; /* ESP, which has its own process, or a keepalive */
        data = sl_bytes(r->buf + MARKER, len - MARKER);
    }
    sl_ike_packet(r->ike, sl_clock_mono_ns(), &local, &remote, data);
    ike_drain(r);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct socket_end *s = ctx;
    (void)what;
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage from;
        union {
            char space[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                       CMSG_SPACE(sizeof(struct in_pktinfo))];
            struct cmsghdr align;
        } control;
        struct iovec iov = { .iov_base = s->r->buf, .iov_len = sizeof(s->r->buf) };
        struct msghdr h = { .msg_name = &from,
                            .msg_namelen = sizeof(from),
                            .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control) };
        const ssize_t n = recvmsg(fd, &h, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return; /* EAGAIN, or an ICMP error of an earlier datagram, which nobody authenticated */
        received(s, &h, (size_t)n);
    }
}

static const struct socket_end *socket_for(const struct role_ike *r, const struct sl_endpoint *from)
{
    for (size_t i = 0; i < SOCKETS; i++) {
        const struct socket_end *s = &r->sock[i];
        if (s->fd >= 0 && s->port == from->port && s->v6 == (from->addr.family == 6))
            return s;
    }
    return NULL;
}

static void put_source(struct msghdr *h, void *space, const struct sl_addr *a)
{
    if (sl_addr_is_any(a))
        return; /* the kernel chooses by its routes */
    h->msg_control = space;
    h->msg_controllen = a->family == 4 ? CMSG_SPACE(sizeof(struct in_pktinfo))
                                       : CMSG_SPACE(sizeof(struct in6_pktinfo));
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    if (a->family == 4) {
        struct in_pktinfo info = { 0 };
        memcpy(&info.ipi_spec_dst, a->b, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = { 0 };
        memcpy(&info.ipi6_addr, a->b, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    }
}

/* One try: what the network does not take now is repeated by IKE itself. */
void ike_send_datagram(struct role_ike *r, const struct sl_ike_action *a)
{
    static const uint8_t marker[MARKER];
    const struct socket_end *s = socket_for(r, &a->from);
    char to[SL_ENDPOINT_TEXT];
    if (!s) {
        r->send_failures++;
        sl_warn("no socket to send from port %u to %s", a->from.port, sl_endpoint_text(to, &a->to));
        return;
    }
    struct sockaddr_storage ss;
    union {
        char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct cmsghdr align;
    } control = { .space = { 0 } };
    struct iovec iov[2] = { { .iov_base = (void *)(uintptr_t)marker,
                              .iov_len = a->natt ? MARKER : 0 },
                            { .iov_base = (void *)(uintptr_t)a->data.p, .iov_len = a->data.len } };
    struct msghdr h = { .msg_name = &ss, .msg_iov = iov, .msg_iovlen = 2 };
    h.msg_namelen = sl_endpoint_to_sockaddr(&ss, &a->to);
    put_source(&h, &control, &a->from.addr);
    if (sendmsg(s->fd, &h, 0) < 0 && errno != EAGAIN && errno != EINTR) {
        r->send_failures++;
        sl_info("datagram to %s was not sent: %s", sl_endpoint_text(to, &a->to), strerror(errno));
    }
}

enum sl_rc ike_sockets_open(struct role_ike *r, struct sl_err *err)
{
    static const char *const names[SOCKETS] = { "udp500v4", "udp4500v4", "udp500v6", "udp4500v6" };
    for (unsigned i = 0; i < SOCKETS; i++) {
        struct socket_end *s = &r->sock[i];
        s->r = r;
        s->natt = i % 2 == 1;
        s->v6 = i >= 2;
        s->port = s->natt ? r->p->config->port_natt : r->p->config->port;
        s->fd = proc_fd_take(r->p, names[i]);
        if (s->fd < 0)
            continue;
        s->in = event_new(r->p->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
        if (!s->in || event_add(s->in, NULL) < 0)
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

void ike_sockets_close(struct role_ike *r)
{
    for (unsigned i = 0; i < SOCKETS; i++) {
        if (r->sock[i].in)
            event_free(r->sock[i].in);
        if (r->sock[i].fd >= 0)
            close(r->sock[i].fd);
    }
}
