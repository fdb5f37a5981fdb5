/* Addresses on the tunnel device (address.h): RTM_NEWADDR and RTM_DELADDR. */
#include "src/proc/address.h"

#include "src/proc/rtnl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 1024u

struct address {
    struct sl_addr addr;
    unsigned users;
};
struct proc_addresses {
    struct rtnl *nl;
    unsigned ifindex;
    struct address *v;
    size_t n, cap;
};

enum sl_rc proc_addresses_new(struct proc_addresses **out, const char *tun, struct sl_err *err)
{
    struct proc_addresses *p = calloc(1, sizeof(*p));
    if (!p)
        return SL_FAIL_MEM(err);
    p->ifindex = if_nametoindex(tun);
    enum sl_rc rc = p->ifindex ? rtnl_new(&p->nl, err)
                               : SL_FAIL(err, SL_IO, "addresses of %s: %s", tun, strerror(errno));
    if (rc != SL_OK) {
        proc_addresses_free(p);
        return rc;
    }
    *out = p;
    return SL_OK;
}

void proc_addresses_free(struct proc_addresses *p)
{
    if (!p)
        return;
    rtnl_free(p->nl);
    free(p->v);
    free(p);
}

/* A host address: no network is on the device, what goes into it is said by routes. */
static int change(struct proc_addresses *p, uint16_t type, const struct sl_addr *a)
{
    _Alignas(struct nlmsghdr) char buf[256];
    const size_t len = sl_addr_len(a);
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = type;
    if (type == RTM_NEWADDR)
        nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
    *m = (struct ifaddrmsg){ .ifa_family = a->family == 4 ? AF_INET : AF_INET6,
                             .ifa_prefixlen = (uint8_t)(8 * len),
                             .ifa_flags = a->family == 4 ? 0 : IFA_F_NODAD,
                             .ifa_scope = RT_SCOPE_UNIVERSE,
                             .ifa_index = p->ifindex };
    mnl_attr_put(nlh, IFA_LOCAL, len, a->b);
    mnl_attr_put(nlh, IFA_ADDRESS, len, a->b);
    return rtnl_ask(p->nl, nlh);
}

static struct address *find(struct proc_addresses *p, const struct sl_addr *a)
{
    for (size_t i = 0; i < p->n; i++)
        if (sl_addr_eq(&p->v[i].addr, a))
            return &p->v[i];
    return NULL;
}

static enum sl_rc failed(struct sl_err *err, const char *what, const struct sl_addr *a, int e)
{
    char text[SL_ADDR_TEXT];
    return SL_FAIL(err, SL_IO, "address %s not %s: %s", sl_addr_text(text, a), what, strerror(e));
}

enum sl_rc proc_addresses_add(struct proc_addresses *p, const struct sl_addr *addr,
                              struct sl_err *err)
{
    struct address *have = find(p, addr);
    if (have) {
        have->users++;
        return SL_OK;
    }
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 8;
        struct address *v = cap <= ADDRESSES_MAX ? realloc(p->v, cap * sizeof(*v)) : NULL;
        if (!v)
            return SL_FAIL(err, SL_TOO_LARGE, "no room for more than %zu addresses", p->n);
        p->v = v;
        p->cap = cap;
    }
    const int e = change(p, RTM_NEWADDR, addr);
    if (e)
        return failed(err, "added", addr, e);
    p->v[p->n++] = (struct address){ .addr = *addr, .users = 1 };
    return SL_OK;
}

static int drop(struct proc_addresses *p, struct address *a)
{
    const int e = change(p, RTM_DELADDR, &a->addr);
    *a = p->v[--p->n];
    return e == EADDRNOTAVAIL ? 0 : e; /* somebody else removed it: as wanted */
}

enum sl_rc proc_addresses_del(struct proc_addresses *p, const struct sl_addr *addr,
                              struct sl_err *err)
{
    struct address *have = find(p, addr);
    if (!have || (have->users && --have->users))
        return SL_OK;
    const int e = drop(p, have);
    return e ? failed(err, "removed", addr, e) : SL_OK;
}

void proc_addresses_orphan(struct proc_addresses *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->v[i].users = 0;
}

void proc_addresses_remove_all(struct proc_addresses *p)
{
    while (p->n)
        (void)drop(p, &p->v[p->n - 1]);
}
