/* Routes into the tunnel device (route.h): RTM_NEWROUTE and RTM_DELROUTE. */
#include "src/proc/route.h"

#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUTES_MAX 100000u
#define PROTOCOL   0x73 /* marks our routes in `ip route`; free in /etc/iproute2/rt_protos */

struct route {
    struct sl_prefix prefix;
    struct sl_addr source;
    unsigned users;
};
struct proc_routes {
    struct mnl_socket *nl;
    unsigned ifindex;
    unsigned seq;
    struct route *v;
    size_t n, cap;
};

enum sl_rc proc_routes_new(struct proc_routes **out, const char *tun, struct sl_err *err)
{
    struct proc_routes *r = calloc(1, sizeof(*r));
    if (!r)
        return SL_FAIL_MEM(err);
    r->seq = (unsigned)time(NULL);
    r->ifindex = if_nametoindex(tun);
    r->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!r->ifindex || !r->nl || mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
        enum sl_rc rc = SL_FAIL(err, SL_IO, "routes into %s: %s", tun, strerror(errno));
        proc_routes_free(r);
        return rc;
    }
    *out = r;
    return SL_OK;
}

void proc_routes_free(struct proc_routes *r)
{
    if (!r)
        return;
    if (r->nl)
        mnl_socket_close(r->nl);
    free(r->v);
    free(r);
}

/* Sends one request and waits for the kernel's answer, which comes at once. errno, or 0. */
static int ask_kernel(struct proc_routes *r, struct nlmsghdr *nlh)
{
    char buf[8192];
    nlh->nlmsg_seq = ++r->seq;
    nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    if (mnl_socket_sendto(r->nl, nlh, nlh->nlmsg_len) < 0)
        return errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(r->nl, buf, sizeof(buf));
        if (n < 0)
            return errno;
        int rc = mnl_cb_run(buf, (size_t)n, r->seq, mnl_socket_get_portid(r->nl), NULL, NULL);
        if (rc <= MNL_CB_STOP)
            return rc < 0 ? errno : 0;
    }
}

static int change_one(struct proc_routes *r, uint16_t type, const struct sl_prefix *prefix,
                      const struct sl_addr *source)
{
    char buf[1024];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = type;
    if (type == RTM_NEWROUTE)
        nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
    *rt = (struct rtmsg){ .rtm_family = prefix->addr.family == 4 ? AF_INET : AF_INET6,
                          .rtm_dst_len = prefix->len,
                          .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = PROTOCOL,
                          .rtm_scope = prefix->addr.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                          .rtm_type = RTN_UNICAST };
    mnl_attr_put(nlh, RTA_DST, sl_addr_len(&prefix->addr), prefix->addr.b);
    mnl_attr_put_u32(nlh, RTA_OIF, r->ifindex);
    if (source->family)
        mnl_attr_put(nlh, RTA_PREFSRC, sl_addr_len(source), source->b);
    return ask_kernel(r, nlh);
}

/* The route of a whole family in halves, any other as it is. */
static int change(struct proc_routes *r, uint16_t type, const struct route *route)
{
    struct sl_prefix half = route->prefix;
    if (half.len > 0)
        return change_one(r, type, &half, &route->source);
    half.len = 1;
    int rc = change_one(r, type, &half, &route->source);
    half.addr.b[0] = 0x80;
    int rc2 = change_one(r, type, &half, &route->source);
    return rc ? rc : rc2;
}

static bool within(const struct sl_addr *a, const struct msg_route *m)
{
    return a->family == m->local_first.family && sl_addr_cmp(a, &m->local_first) >= 0 &&
           sl_addr_cmp(a, &m->local_last) <= 0;
}

/* An address of ours on the near side of the tunnel, so that this host's own packets fit it. */
static struct sl_addr find_source(const struct msg_route *m)
{
    struct sl_addr found = { 0 };
    struct ifaddrs *all = NULL;
    if (!m->local_first.family || m->local_first.family != m->prefix.addr.family ||
        getifaddrs(&all) < 0)
        return found;
    for (struct ifaddrs *i = all; i && !found.family; i = i->ifa_next) {
        struct sl_endpoint e;
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
            continue;
        socklen_t len = i->ifa_addr->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
                        : i->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                             : 0;
        if (len && sl_endpoint_from_sockaddr(&e, i->ifa_addr, len) && within(&e.addr, m) &&
            !(e.addr.family == 4 && e.addr.b[0] == 127))
            found = e.addr;
    }
    freeifaddrs(all);
    return found;
}

static struct route *find(struct proc_routes *r, const struct sl_prefix *prefix)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i].prefix.len == prefix->len && sl_addr_eq(&r->v[i].prefix.addr, &prefix->addr))
            return &r->v[i];
    return NULL;
}

static enum sl_rc failed(struct sl_err *err, const char *what, const struct sl_prefix *prefix,
                         int e)
{
    char text[SL_PREFIX_TEXT];
    return SL_FAIL(err, SL_IO, "route to %s not %s: %s", sl_prefix_text(text, prefix), what,
                   strerror(e));
}

enum sl_rc proc_routes_add(struct proc_routes *r, const struct msg_route *m, struct sl_err *err)
{
    struct route *old = find(r, &m->prefix);
    if (old && old->users) {
        old->users++;
        return SL_OK;
    }
    if (!old && r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        struct route *v = cap <= ROUTES_MAX ? realloc(r->v, cap * sizeof(*v)) : NULL;
        if (!v)
            return SL_FAIL(err, SL_TOO_LARGE, "no room for more than %zu routes", r->n);
        r->v = v;
        r->cap = cap;
    }
    struct route route = { .prefix = m->prefix, .source = find_source(m), .users = 1 };
    int e = change(r, RTM_NEWROUTE, &route);
    if (e)
        return failed(err, "added", &m->prefix, e);
    if (old)
        *old = route;
    else
        r->v[r->n++] = route;
    return SL_OK;
}

static int drop(struct proc_routes *r, struct route *route)
{
    int e = change(r, RTM_DELROUTE, route);
    *route = r->v[--r->n];
    return e == ESRCH ? 0 : e; /* somebody else removed it: as wanted */
}

enum sl_rc proc_routes_del(struct proc_routes *r, const struct sl_prefix *prefix,
                           struct sl_err *err)
{
    struct route *route = find(r, prefix);
    if (!route || (route->users && --route->users > 0))
        return SL_OK;
    int e = drop(r, route);
    return e ? failed(err, "removed", prefix, e) : SL_OK;
}

void proc_routes_orphan(struct proc_routes *r)
{
    for (size_t i = 0; i < r->n; i++)
        r->v[i].users = 0;
}

void proc_routes_remove_all(struct proc_routes *r)
{
    while (r->n)
        (void)drop(r, &r->v[r->n - 1]);
}

size_t proc_routes_count(const struct proc_routes *r)
{
    return r->n;
}
