/* Routes into the tunnel device (route.h): RTM_NEWROUTE and RTM_DELROUTE. */
#include "src/proc/route.h"

#include "src/ike/map.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES_MAX 200000u

struct route {
    struct sl_prefix prefix;
    struct sl_addr source;
    unsigned users;      /* of the way into the tunnel */
    unsigned near_users; /* of the way past it */
    bool near;           /* the kernel has the way past it */
};
struct entry {
    struct ike_map_node node; /* by prefix */
    struct entry *next, *prev;
    struct route route;
};
struct proc_routes {
    struct rtnl *nl;
    unsigned ifindex;
    const struct rules_config *rules;
    bool own_table[2]; /* IPv4, IPv6 */
    struct ike_map map;
    struct entry *first;
};

static const uint8_t families[2] = { AF_INET, AF_INET6 };

/* Without the rules the routes stand where every packet finds them. */
static void set_rules(struct proc_routes *r)
{
    for (unsigned i = 0; i < 2 && r->rules; i++) {
        struct sl_err err = { 0 };
        enum sl_rc rc = rules_set(r->nl, r->rules, families[i], &err);
        r->own_table[i] = rc == SL_OK;
        if (rc != SL_OK && rc != SL_NOT_FOUND)
            sl_warn("%s; tunnel routes go into the main table: shunts bypass whole networks only, "
                    "and no remote selector may cover the peer's own address",
                    sl_err_text(&err));
    }
}

enum sl_rc proc_routes_new(struct proc_routes **out, const char *tun,
                           const struct rules_config *rules, struct sl_err *err)
{
    struct proc_routes *r = calloc(1, sizeof(*r));
    if (!r)
        return SL_FAIL_MEM(err);
    r->rules = rules;
    r->ifindex = if_nametoindex(tun);
    enum sl_rc rc = r->ifindex ? rtnl_new(&r->nl, err)
                               : SL_FAIL(err, SL_IO, "routes into %s: %s", tun, strerror(errno));
    if (rc == SL_OK && !ike_map_init(&r->map))
        rc = SL_FAIL_MEM(err);
    if (rc != SL_OK) {
        proc_routes_free(r);
        return rc;
    }
    set_rules(r);
    *out = r;
    return SL_OK;
}

void proc_routes_free(struct proc_routes *r)
{
    if (!r)
        return;
    rtnl_free(r->nl);
    while (r->first) {
        struct entry *next = r->first->next;
        free(r->first);
        r->first = next;
    }
    ike_map_clear(&r->map);
    free(r);
}

static bool own_table(const struct proc_routes *r, const struct sl_prefix *p)
{
    return r->own_table[p->addr.family == 4 ? 0 : 1];
}

static int change_one(struct proc_routes *r, uint16_t type, const struct route *route,
                      const struct sl_prefix *prefix)
{
    _Alignas(struct nlmsghdr) char buf[1024];
    bool v4 = prefix->addr.family == 4;
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = type;
    if (type == RTM_NEWROUTE)
        nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
    *rt = (struct rtmsg){ .rtm_family = v4 ? AF_INET : AF_INET6,
                          .rtm_dst_len = prefix->len,
                          .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = RTNL_PROTOCOL,
                          .rtm_scope = v4 && !route->near ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                          .rtm_type = route->near ? RTN_THROW : RTN_UNICAST };
    mnl_attr_put(nlh, RTA_DST, sl_addr_len(&prefix->addr), prefix->addr.b);
    if (own_table(r, prefix)) {
        rt->rtm_table = RT_TABLE_UNSPEC;
        mnl_attr_put_u32(nlh, RTA_TABLE, r->rules->table);
    }
    if (!route->near)
        mnl_attr_put_u32(nlh, RTA_OIF, r->ifindex);
    if (!route->near && route->source.family)
        mnl_attr_put(nlh, RTA_PREFSRC, sl_addr_len(&route->source), route->source.b);
    return rtnl_ask(r->nl, nlh);
}

/* In the main table the route of a whole family goes in halves; any other as it is. */
static int change(struct proc_routes *r, uint16_t type, const struct route *route)
{
    struct sl_prefix half = route->prefix;
    if (half.len > 0 || own_table(r, &half))
        return change_one(r, type, route, &half);
    half.len = 1;
    int rc = change_one(r, type, route, &half);
    half.addr.b[0] = 0x80;
    int rc2 = change_one(r, type, route, &half);
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

/* FNV-1a. Peers choose prefixes only within what the configuration and the policy allow. */
static uint64_t key_of(const struct sl_prefix *p)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ p->len ^ (uint64_t)p->addr.family << 8;
    for (size_t i = 0; i < sl_addr_len(&p->addr); i++)
        h = (h ^ p->addr.b[i]) * UINT64_C(0x100000001b3);
    return h;
}

static struct entry *find(const struct proc_routes *r, const struct sl_prefix *prefix)
{
    struct ike_map_node *n = ike_map_get(&r->map, key_of(prefix));
    for (; n; n = ike_map_next(n)) {
        struct entry *e = IKE_OF(n, struct entry, node);
        if (e->route.prefix.len == prefix->len && sl_addr_eq(&e->route.prefix.addr, &prefix->addr))
            return e;
    }
    return NULL;
}

static enum sl_rc failed(struct sl_err *err, const char *what, const struct sl_prefix *prefix,
                         int e)
{
    char text[SL_PREFIX_TEXT];
    return SL_FAIL(err, SL_IO, "route to %s not %s: %s", sl_prefix_text(text, prefix), what,
                   strerror(e));
}

static struct entry *new_entry(struct proc_routes *r, struct sl_err *err)
{
    struct entry *e = r->map.count < ROUTES_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        (void)SL_FAIL(err, SL_TOO_LARGE, "no room for more than %zu routes", r->map.count);
    return e;
}

static void insert(struct proc_routes *r, struct entry *e)
{
    ike_map_put(&r->map, &e->node, key_of(&e->route.prefix));
    e->next = r->first;
    if (r->first)
        r->first->prev = e;
    r->first = e;
}

static void forget(struct proc_routes *r, struct entry *e)
{
    ike_map_del(&r->map, &e->node);
    if (e->prev)
        e->prev->next = e->next;
    else
        r->first = e->next;
    if (e->next)
        e->next->prev = e->prev;
    free(e);
}

/* Puts the way that want has into the place of the one that is there. */
static int put(struct proc_routes *r, const struct route *want, const struct route *old)
{
    /* an IPv6 route is not replaced by one of another type, but stands beside it */
    if (old && old->near != want->near)
        (void)change(r, RTM_DELROUTE, old);
    return change(r, RTM_NEWROUTE, want);
}

enum sl_rc proc_routes_add(struct proc_routes *r, const struct msg_route *m, struct sl_err *err)
{
    struct entry *there = find(r, &m->prefix);
    struct route *old = there ? &there->route : NULL;
    if (m->near && !own_table(r, &m->prefix))
        return SL_OK; /* its route in the main table is longer */
    if (old && (m->near ? old->near_users || old->users : old->users)) {
        unsigned *users = m->near ? &old->near_users : &old->users;
        ++*users;
        return SL_OK;
    }
    struct entry *fresh = old ? NULL : new_entry(r, err);
    if (!old && !fresh)
        return SL_TOO_LARGE;
    struct route route = { .prefix = m->prefix, .near = m->near };
    if (old)
        route.near_users = old->near_users;
    if (m->near)
        route.near_users++;
    else
        route.users = 1;
    if (!m->near)
        route.source = find_source(m);
    int e = put(r, &route, old);
    if (e) {
        free(fresh);
        return failed(err, "added", &m->prefix, e);
    }
    if (old) {
        *old = route;
    } else {
        fresh->route = route;
        insert(r, fresh);
    }
    return SL_OK;
}

static int drop(struct proc_routes *r, struct entry *entry)
{
    int e = change(r, RTM_DELROUTE, &entry->route);
    forget(r, entry);
    return e == ESRCH ? 0 : e; /* somebody else removed it: as wanted */
}

enum sl_rc proc_routes_del(struct proc_routes *r, const struct msg_route *m, struct sl_err *err)
{
    struct entry *there = find(r, &m->prefix);
    struct route *route = there ? &there->route : NULL;
    if (!there || (m->near && !own_table(r, &m->prefix)))
        return SL_OK;
    unsigned *users = m->near ? &route->near_users : &route->users;
    if (*users)
        --*users;
    int e = 0;
    if (!route->users && !route->near_users) {
        e = drop(r, there);
    } else if (!route->users && !route->near) {
        struct route past = { .prefix = m->prefix, .near_users = route->near_users, .near = true };
        e = put(r, &past, route);
        *route = past;
    }
    return e ? failed(err, "removed", &m->prefix, e) : SL_OK;
}

void proc_routes_orphan(struct proc_routes *r)
{
    for (struct entry *e = r->first; e; e = e->next)
        e->route.users = e->route.near_users = 0;
}

void proc_routes_remove_all(struct proc_routes *r)
{
    while (r->first)
        (void)drop(r, r->first);
    for (unsigned i = 0; i < 2; i++)
        if (r->own_table[i])
            rules_remove(r->nl, r->rules, families[i]);
}

size_t proc_routes_count(const struct proc_routes *r)
{
    return r->map.count;
}
