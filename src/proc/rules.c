/*
 * Rules of policy routing (rules.h): RTM_NEWRULE, RTM_DELRULE. Matching by protocol and port and the
 * mark of who made a rule are in Linux since 4.17.
 */
#include "src/proc/rules.h"

#include "src/esp/route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#define RULES_MAX 4096u /* of shunts; each packet's route is looked up along them */

enum place { AT_MARK, AT_SHUNTS, AT_TABLE, AT_END };

struct rule {
    uint8_t family, action;
    uint32_t priority;
    uint32_t target; /* FR_ACT_GOTO: a priority; FR_ACT_TO_TBL: a table */
    uint32_t mark;   /* 0: any */
    struct rule_match match;
};

/* ---- what a shunt needs ------------------------------------------------------------------------ */
static bool any_port(const struct sl_ts *ts)
{
    return ts->start_port == 0 && ts->end_port == UINT16_MAX;
}

static bool has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_DCCP ||
           protocol == IPPROTO_SCTP || protocol == IPPROTO_UDPLITE;
}

/* The kernel's ranges begin at 1, and no packet of a connection carries port 0. */
static bool port_range(uint16_t out[2], const struct sl_ts *ts)
{
    out[0] = out[1] = 0;
    if (any_port(ts))
        return true;
    out[0] = ts->start_port ? ts->start_port : 1;
    out[1] = ts->end_port;
    return out[0] <= out[1];
}

static bool each_pair(const struct sl_conf_shunt *s, struct rule_match *m,
                      bool (*on)(void *ctx, const struct rule_match *m), void *ctx)
{
    struct esp_range local, remote;
    esp_range_init(&local, &s->local_ts.first, &s->local_ts.last);
    while (esp_range_next(&local, &m->from)) {
        esp_range_init(&remote, &s->remote_ts.first, &s->remote_ts.last);
        while (esp_range_next(&remote, &m->to))
            if (!on(ctx, m))
                return false;
    }
    return true;
}

bool rules_of_shunt(const struct sl_conf_shunt *s,
                    bool (*on)(void *ctx, const struct rule_match *m), void *ctx)
{
    static const uint8_t with_ports[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP,
                                          IPPROTO_UDPLITE };
    struct rule_match m = { .protocol = s->local_ts.protocol };
    if (!m.protocol)
        m.protocol = s->remote_ts.protocol;
    else if (s->remote_ts.protocol && s->remote_ts.protocol != m.protocol)
        return true; /* no packet is of two protocols */
    if (any_port(&s->local_ts) && any_port(&s->remote_ts))
        return each_pair(s, &m, on, ctx);
    if ((m.protocol && !has_ports(m.protocol)) || !port_range(m.sport, &s->local_ts) ||
        !port_range(m.dport, &s->remote_ts)) {
        m = (struct rule_match){ .protocol = m.protocol };
        return s->action == SL_SHUNT_DROP && each_pair(s, &m, on, ctx);
    }
    if (m.protocol)
        return each_pair(s, &m, on, ctx);
    for (size_t i = 0; i < SL_ARRAY_LEN(with_ports); i++) {
        m.protocol = with_ports[i];
        if (!each_pair(s, &m, on, ctx))
            return false;
    }
    return true;
}

/* ---- to the kernel ----------------------------------------------------------------------------- */
static void put_match(struct nlmsghdr *nlh, struct fib_rule_hdr *h, const struct rule_match *m)
{
    h->src_len = m->from.len;
    h->dst_len = m->to.len;
    if (m->from.len)
        mnl_attr_put(nlh, FRA_SRC, sl_addr_len(&m->from.addr), m->from.addr.b);
    if (m->to.len)
        mnl_attr_put(nlh, FRA_DST, sl_addr_len(&m->to.addr), m->to.addr.b);
    if (m->protocol)
        mnl_attr_put_u8(nlh, FRA_IP_PROTO, m->protocol);
    struct fib_rule_port_range sport = { m->sport[0], m->sport[1] };
    struct fib_rule_port_range dport = { m->dport[0], m->dport[1] };
    if (sport.end)
        mnl_attr_put(nlh, FRA_SPORT_RANGE, sizeof(sport), &sport);
    if (dport.end)
        mnl_attr_put(nlh, FRA_DPORT_RANGE, sizeof(dport), &dport);
}

static int change(struct rtnl *r, uint16_t type, const struct rule *rule)
{
    _Alignas(struct nlmsghdr) char buf[512];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = type;
    if (type == RTM_NEWRULE)
        nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    struct fib_rule_hdr *h = mnl_nlmsg_put_extra_header(nlh, sizeof(*h));
    h->family = rule->family;
    h->action = rule->action;
    mnl_attr_put_u32(nlh, FRA_PRIORITY, rule->priority);
    mnl_attr_put_u8(nlh, FRA_PROTOCOL, RTNL_PROTOCOL);
    if (rule->action == FR_ACT_GOTO)
        mnl_attr_put_u32(nlh, FRA_GOTO, rule->target);
    if (rule->action == FR_ACT_TO_TBL)
        mnl_attr_put_u32(nlh, FRA_TABLE, rule->target);
    if (rule->mark) {
        mnl_attr_put_u32(nlh, FRA_FWMARK, rule->mark);
        mnl_attr_put_u32(nlh, FRA_FWMASK, UINT32_MAX);
    }
    put_match(nlh, h, &rule->match);
    int e = rtnl_ask(r, nlh);
    /* the same again comes behind itself, where it has nothing to say */
    return e == EEXIST && type == RTM_NEWRULE ? 0 : e;
}

/* ---- what is there ----------------------------------------------------------------------------- */
struct attrs {
    uint32_t priority, table;
    uint8_t protocol;
    bool ip_proto, sport, dport;
};
static int read_attr(const struct nlattr *a, void *ctx)
{
    struct attrs *out = ctx;
    uint16_t len = mnl_attr_get_payload_len(a);
    switch (mnl_attr_get_type(a)) {
    case FRA_PRIORITY:
        out->priority = len == 4 ? mnl_attr_get_u32(a) : 0;
        break;
    case FRA_TABLE: /* RTA_TABLE has the same number */
        out->table = len == 4 ? mnl_attr_get_u32(a) : 0;
        break;
    case FRA_PROTOCOL:
        out->protocol = len == 1 ? mnl_attr_get_u8(a) : 0;
        break;
    case FRA_IP_PROTO:
        out->ip_proto = true;
        break;
    case FRA_SPORT_RANGE:
        out->sport = true;
        break;
    case FRA_DPORT_RANGE:
        out->dport = true;
        break;
    default:
        break;
    }
    return MNL_CB_OK;
}
_Static_assert((int)FRA_TABLE == (int)RTA_TABLE, "rules and routes name their table alike");

struct search {
    const struct rules_config *c;
    struct sl_buf found; /* messages, as they came */
    bool knows_ports;
    bool failed;
};

static void keep(struct search *s, const struct nlmsghdr *nlh)
{
    static const uint8_t pad[NLMSG_ALIGNTO] = { 0 };
    size_t rest = NLMSG_ALIGN(nlh->nlmsg_len) - nlh->nlmsg_len;
    s->failed |= !sl_buf_put(&s->found, sl_bytes((const uint8_t *)nlh, nlh->nlmsg_len)) ||
                 !sl_buf_put(&s->found, sl_bytes(pad, rest));
}

static int on_rule(const struct nlmsghdr *nlh, void *ctx)
{
    struct search *s = ctx;
    struct attrs a = { 0 };
    if (mnl_attr_parse(nlh, sizeof(struct fib_rule_hdr), read_attr, &a) < 0 ||
        a.protocol != RTNL_PROTOCOL)
        return MNL_CB_OK;
    bool place = a.priority >= s->c->priority && a.priority - s->c->priority < RULES_PLACES;
    if (place && a.ip_proto && a.sport && a.dport)
        s->knows_ports = true;
    if (place || a.table == s->c->table)
        keep(s, nlh);
    return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *nlh, void *ctx)
{
    struct search *s = ctx;
    struct attrs a = { 0 };
    const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
    if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*rt)) ||
        mnl_attr_parse(nlh, sizeof(*rt), read_attr, &a) < 0 || rt->rtm_protocol != RTNL_PROTOCOL)
        return MNL_CB_OK;
    if ((a.table ? a.table : rt->rtm_table) == s->c->table)
        keep(s, nlh);
    return MNL_CB_OK;
}

static int look(struct rtnl *r, struct search *s, uint8_t family, bool routes)
{
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    nlh->nlmsg_type = routes ? RTM_GETROUTE : RTM_GETRULE;
    if (routes) {
        struct rtmsg *rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
        rt->rtm_family = family;
        mnl_attr_put_u32(nlh, RTA_TABLE, s->c->table);
    } else {
        struct fib_rule_hdr *h = mnl_nlmsg_put_extra_header(nlh, sizeof(*h));
        h->family = family;
    }
    return rtnl_dump(r, nlh, routes ? on_route : on_rule, s);
}

/* Sends each message that was found back, as the wish to delete what it describes. */
static void delete_found(struct rtnl *r, struct search *s, uint16_t type)
{
    for (size_t at = 0; at + sizeof(struct nlmsghdr) <= s->found.len;) {
        _Alignas(struct nlmsghdr) char buf[2048];
        struct nlmsghdr h;
        memcpy(&h, s->found.p + at, sizeof(h));
        if (h.nlmsg_len <= sizeof(buf)) {
            memcpy(buf, s->found.p + at, h.nlmsg_len);
            struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
            nlh->nlmsg_type = type;
            nlh->nlmsg_flags = 0;
            nlh->nlmsg_pid = 0;
            int e = rtnl_ask(r, nlh);
            if (e && e != ENOENT && e != ESRCH)
                sl_warn("what is left in routing table %u is not removed: %s", s->c->table,
                        strerror(e));
        }
        at += NLMSG_ALIGN(h.nlmsg_len);
    }
    sl_buf_clear(&s->found);
}

void rules_remove(struct rtnl *r, const struct rules_config *c, uint8_t family)
{
    struct search s = { .c = c };
    int e = look(r, &s, family, false);
    delete_found(r, &s, RTM_DELRULE);
    int e2 = look(r, &s, family, true); /* ENOENT: there is no such table */
    delete_found(r, &s, RTM_DELROUTE);
    if (s.failed || (e && e != EAFNOSUPPORT && e != EOPNOTSUPP))
        sl_warn("routing rules are not removed: %s", s.failed ? "no memory" : strerror(e));
    if (e2 && e2 != ENOENT && e2 != EAFNOSUPPORT && e2 != EOPNOTSUPP)
        sl_warn("routes in table %u are not removed: %s", c->table, strerror(e2));
}

/* ---- the whole set ----------------------------------------------------------------------------- */
/*
 * A kernel before 4.17 accepts such a rule and leaves the protocol and the ports out, so that it would
 * match everything: what it made of the rule is looked at.
 */
static bool knows_ports(struct rtnl *r, const struct rules_config *c, uint8_t family)
{
    const struct rule probe = {
        .family = family,
        .action = FR_ACT_GOTO,
        .priority = c->priority + AT_SHUNTS,
        .target = c->priority + AT_END,
        .match = { .protocol = IPPROTO_TCP, .sport = { 1, 1 }, .dport = { 1, 1 } }
    };
    struct search s = { .c = c };
    if (change(r, RTM_NEWRULE, &probe) != 0)
        return false;
    (void)look(r, &s, family, false);
    (void)change(r, RTM_DELRULE, &probe);
    sl_buf_clear(&s.found);
    return s.knows_ports;
}

struct shunts {
    struct rtnl *r;
    struct rule rule;
    size_t n;
    int error;
};
static bool set_shunt_rule(void *ctx, const struct rule_match *m)
{
    struct shunts *s = ctx;
    s->rule.match = *m;
    s->error = s->n++ < RULES_MAX ? change(s->r, RTM_NEWRULE, &s->rule) : E2BIG;
    return s->error == 0;
}

/*
 * A bypass without its rules is no danger: its packets come to the datapath and are dropped there. A
 * drop without them lets the bypasses behind it take its packets, so those are left out then.
 */
static void set_shunts(struct rtnl *r, const struct rules_config *c, uint8_t family)
{
    struct shunts s = { .r = r };
    for (size_t i = 0; i < c->shunt_n; i++) {
        const struct sl_conf_shunt *shunt = &c->shunt[i];
        bool bypass = shunt->action == SL_SHUNT_BYPASS;
        if ((shunt->local_ts.first.family == 4) != (family == AF_INET))
            continue;
        s.error = 0;
        s.rule = (struct rule){ .family = family,
                                .action = FR_ACT_GOTO,
                                .priority = c->priority + AT_SHUNTS,
                                .target = c->priority + (bypass ? AT_END : AT_TABLE) };
        if (rules_of_shunt(shunt, set_shunt_rule, &s))
            continue;
        sl_warn("shunt %s cannot be told by routing rules: %s%s", shunt->name,
                s.error == E2BIG ? "with it there are too many"
                : s.error        ? strerror(s.error)
                                 : "it is by ICMP type, or by a port of a protocol without ports",
                bypass ? "; those of its packets that enter the tunnel are dropped"
                       : "; bypasses after it are left out");
        if (!bypass)
            return;
    }
}

enum sl_rc rules_set(struct rtnl *r, const struct rules_config *c, uint8_t family,
                     struct sl_err *err)
{
    const struct rule end = { .family = family,
                              .action = FR_ACT_NOP,
                              .priority = c->priority + AT_END };
    const struct rule mark = { .family = family,
                               .action = FR_ACT_GOTO,
                               .priority = c->priority + AT_MARK,
                               .target = c->priority + AT_END,
                               .mark = c->mark };
    const struct rule table = { .family = family,
                                .action = FR_ACT_TO_TBL,
                                .priority = c->priority + AT_TABLE,
                                .target = c->table };
    rules_remove(r, c, family);
    int e = change(r, RTM_NEWRULE, &end);
    bool known = !e && knows_ports(r, c, family);
    if (!e && known)
        e = change(r, RTM_NEWRULE, &mark);
    if (!e && known) {
        set_shunts(r, c, family);
        e = change(r, RTM_NEWRULE, &table);
    }
    if (!e && known)
        return SL_OK;
    if (e == EAFNOSUPPORT)
        return SL_FAIL(err, SL_NOT_FOUND, "this host has no IPv%c", family == AF_INET ? '4' : '6');
    rules_remove(r, c, family);
    return SL_FAIL(err, SL_UNSUPPORTED, "routing rules for IPv%c by mark, protocol and port: %s",
                   family == AF_INET ? '4' : '6',
                   e ? strerror(e) : "this kernel leaves the ports out (Linux 4.17 has them)");
}
