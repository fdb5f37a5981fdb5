/*
 * See ike_addresses.h; rtnetlink(7). A notification only says that something has changed: the
 * addresses are then read anew, as a whole, so that a lost notification (ENOBUFS) costs nothing.
 */
#include "src/cmd/sealaned/ike_addresses.h"

#include "sealane/log.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 64
#define MESSAGE_MAX   32768
#define STILL_MS      150 /* several changes come together */
#define WAKE_UP       64  /* messages before the loop looks at its other work */

struct ike_addresses {
    int fd;
    struct event *in, *still;
    void (*changed)(void *ctx, const struct sl_addr *v, size_t n);
    void *ctx;
    uint32_t asked; /* sequence number of the dump that is under way */
    struct sl_addr v[ADDRESSES_MAX];
    size_t n;
    struct sl_addr told[ADDRESSES_MAX]; /* what the last call of changed said */
    size_t told_n;
    bool told_any, routes; /* routes: a default route has changed since */
    _Alignas(struct nlmsghdr) uint8_t buf[MESSAGE_MAX];
};

static void soon(struct ike_addresses *a)
{
    evtimer_add(a->still, &(struct timeval){ .tv_usec = STILL_MS * 1000 });
}

static void ask(struct ike_addresses *a)
{
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg m;
    } q = { .h = { .nlmsg_len = sizeof(q),
                   .nlmsg_type = RTM_GETADDR,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = ++a->asked },
            .m = { .ifa_family = AF_UNSPEC } };
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    a->n = 0;
    if (sendto(a->fd, &q, sizeof(q), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        sl_debug("addresses of this host: %s", strerror(errno));
        soon(a); /* a dump is under way, or there was no memory */
    }
}

static void on_still(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    ask(ctx);
}

struct found {
    struct sl_addr address, local;
    uint32_t flags;
};

static int attribute(const struct nlattr *at, void *ctx)
{
    struct found *f = ctx;
    const struct sl_bytes v = sl_bytes(mnl_attr_get_payload(at), mnl_attr_get_payload_len(at));
    switch (mnl_attr_get_type(at)) {
    case IFA_ADDRESS:
        return sl_addr_from_bytes(&f->address, v) ? MNL_CB_OK : MNL_CB_ERROR;
    case IFA_LOCAL:
        return sl_addr_from_bytes(&f->local, v) ? MNL_CB_OK : MNL_CB_ERROR;
    case IFA_FLAGS:
        if (v.len == sizeof(f->flags))
            memcpy(&f->flags, v.p, sizeof(f->flags));
        return MNL_CB_OK;
    default:
        return MNL_CB_OK;
    }
}

/* An address that others can reach: of global scope, and neither in doubt nor on its way out. */
static void take(struct ike_addresses *a, const struct nlmsghdr *h)
{
    const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
    struct found f = { .flags = m->ifa_flags };
    if (mnl_attr_parse(h, sizeof(*m), attribute, &f) != MNL_CB_OK)
        return;
    /* of a point-to-point link, ADDRESS is the other end's */
    const struct sl_addr *ours = f.local.family ? &f.local : &f.address;
    if (m->ifa_scope != RT_SCOPE_UNIVERSE || !ours->family || a->n == ADDRESSES_MAX ||
        (f.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED)))
        return;
    a->v[a->n++] = *ours;
}

static bool same(const struct ike_addresses *a)
{
    bool same = a->told_any && a->n == a->told_n;
    for (size_t i = 0; same && i < a->n; i++)
        same = sl_addr_eq(&a->v[i], &a->told[i]);
    return same;
}

/* Most notifications are of lifetimes that routers renew, and of link-local addresses. */
static void tell(struct ike_addresses *a)
{
    if (same(a) && !a->routes)
        return;
    memcpy(a->told, a->v, sizeof(a->told));
    a->told_n = a->n;
    a->told_any = true;
    a->routes = false;
    a->changed(a->ctx, a->v, a->n);
}

static void message(struct ike_addresses *a, const struct nlmsghdr *h)
{
    const bool answer = h->nlmsg_seq == a->asked && h->nlmsg_pid;
    switch (h->nlmsg_type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (mnl_nlmsg_get_payload_len(h) < sizeof(struct ifaddrmsg))
            return;
        if (h->nlmsg_flags & NLM_F_MULTI && answer)
            take(a, h);
        else
            soon(a);
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
        /* Ways into our tunnels come and go with their SAs; the way to the world is another matter. */
        const struct rtmsg *r = mnl_nlmsg_get_payload(h);
        if (mnl_nlmsg_get_payload_len(h) >= sizeof(*r) && !r->rtm_dst_len &&
            r->rtm_table == RT_TABLE_MAIN) {
            a->routes = true;
            soon(a);
        }
        break;
    }
    case NLMSG_DONE:
        if (answer)
            tell(a);
        break;
    case NLMSG_ERROR:
    case NLMSG_OVERRUN:
        soon(a);
        break;
    default:
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct ike_addresses *a = ctx;
    (void)what;
    for (int i = 0; i < WAKE_UP; i++) {
        struct sockaddr_nl from = { 0 };
        socklen_t len = sizeof(from);
        const ssize_t got =
            recvfrom(fd, a->buf, sizeof(a->buf), MSG_TRUNC, (struct sockaddr *)&from, &len);
        if (got < 0 && errno == ENOBUFS)
            soon(a);
        if (got < 0)
            return;
        if (len != sizeof(from) || from.nl_pid != 0 || (size_t)got > sizeof(a->buf))
            continue; /* not from the kernel */
        int left = (int)got;
        const struct nlmsghdr *h = (const void *)a->buf;
        while (mnl_nlmsg_ok(h, left)) {
            message(a, h);
            h = mnl_nlmsg_next(h, &left);
        }
    }
}

enum sl_rc ike_addresses_new(struct ike_addresses **out, struct event_base *base, int fd,
                             void (*changed)(void *ctx, const struct sl_addr *v, size_t n),
                             void *ctx, struct sl_err *err)
{
    struct ike_addresses *a = calloc(1, sizeof(*a));
    if (!a) {
        close(fd);
        return SL_FAIL_MEM(err);
    }
    a->fd = fd;
    a->changed = changed;
    a->ctx = ctx;
    a->in = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, a);
    a->still = evtimer_new(base, on_still, a);
    if (!a->in || !a->still || event_add(a->in, NULL) < 0) {
        ike_addresses_free(a);
        return SL_FAIL_MEM(err);
    }
    ask(a);
    *out = a;
    return SL_OK;
}

void ike_addresses_free(struct ike_addresses *a)
{
    if (!a)
        return;
    if (a->in)
        event_free(a->in);
    if (a->still)
        event_free(a->still);
    close(a->fd);
    free(a);
}
