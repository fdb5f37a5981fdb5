/*
 * Addresses for use inside the tunnel (RFC 7296 2.19, 3.15; RFC 8598), and what "dynamic" selectors
 * stand for.
 *
 *   IDi, ..., AUTH, CP(CFG_REQUEST), SAi2, TSi, TSr  -->
 *                               <--  IDr, ..., AUTH, CP(CFG_REPLY), SAr2, TSi, TSr
 *                               <--  IDr, ..., AUTH, N(INTERNAL_ADDRESS_FAILURE)   none is left
 *                               <--  IDr, ..., AUTH, N(FAILED_CP_REQUIRED)         none was asked for
 *
 * Which address the peer gets is part of the decision about it and comes with the verdict (sa->grant);
 * on the client's side what the peer gave is kept in the same place. Both outlive rekeys.
 *
 * "dynamic" is the virtual address of that side; before the reply the client offers the whole family,
 * to be narrowed. Where no virtual address is in play it is the side's outer address.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum cfg_attr { /* RFC 7296 3.15.1, RFC 8598 6 */
                CFG_IP4_ADDRESS = 1,
                CFG_IP4_DNS = 3,
                CFG_IP6_ADDRESS = 8,
                CFG_IP6_DNS = 10,
                CFG_DNS_DOMAIN = 25,
};
#define CFG_ATTR_BITS 32 /* types below are noted in setup->cfg_asked */

static const struct sl_addr any_address[2] = { { .family = 4 }, { .family = 6 } };

static const struct sl_virtual *vip_of(const struct ike_isa *sa)
{
    static const struct sl_virtual none;
    return sa->grant ? &sa->grant->vip : &none;
}

static bool has_vip(const struct ike_isa *sa)
{
    return vip_of(sa)->addr[0].family || vip_of(sa)->addr[1].family;
}

static bool wishes(const struct ike_isa *sa, struct sl_conf_wish wish[2])
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    return conf && conf->virtual_ip.n && sl_conf_wishes(wish, &conf->virtual_ip);
}

/* ---- attributes -------------------------------------------------------------------------------- */

static void put_attr(struct sl_wr *w, uint16_t type, struct sl_bytes value)
{
    sl_wr_u16(w, type);
    sl_wr_part16(w, value);
}

static size_t open_cp(struct ike_wr *c, uint8_t type)
{
    const size_t mark = ike_wr_open(c, IKE_P_CP);
    sl_wr_u8(&c->w, type);
    sl_wr_zero(&c->w, 3);
    return mark;
}

/* INTERNAL_IP4_ADDRESS: address (4); INTERNAL_IP6_ADDRESS: address (16), prefix length (1) */
static void put_address(struct sl_wr *w, const struct sl_addr *a)
{
    uint8_t v[17] = { 0 };
    const size_t len = sl_addr_len(a);
    memcpy(v, a->b, len);
    v[16] = 128;
    put_attr(w, a->family == 4 ? CFG_IP4_ADDRESS : CFG_IP6_ADDRESS, sl_bytes(v, len == 4 ? 4 : 17));
}

/* In a request the value may be missing, which asks for any. */
static bool read_address(struct sl_addr *a, const struct ike_cp_attr *attr, bool request)
{
    const bool v6 = attr->type == CFG_IP6_ADDRESS;
    *a = any_address[v6];
    if (request && attr->value.len == 0)
        return true;
    if (attr->value.len != (v6 ? 17U : 4U) && !(v6 && request && attr->value.len == 16))
        return false;
    return sl_addr_from_bytes(a, sl_bytes_slice(attr->value, 0, v6 ? 16 : 4));
}

static enum sl_rc malformed(const char *what, struct sl_err *err)
{
    return SL_FAIL(err, SL_IKE_MALFORMED, "CP payload: %s (RFC 7296 3.15)", what);
}

static enum sl_rc read_cp(struct ike_cp *cp, const struct ike_payload *p, uint8_t type,
                          const char *what, struct sl_err *err)
{
    if (!ike_cp_read(cp, p->body))
        return malformed("its attributes cannot be read", err);
    return cp->type == type ? SL_OK : malformed(what, err);
}

/* ---- client ------------------------------------------------------------------------------------ */

void put_cfg_request(struct ike_wr *c, const struct ike_isa *sa)
{
    static const uint16_t dns[2] = { CFG_IP4_DNS, CFG_IP6_DNS };
    struct sl_conf_wish wish[2];
    if (!wishes(sa, wish))
        return;
    /* A new authentication of the same peer asks for the address that is in use. */
    const struct ike_isa *old = sa->replaces ? isa_find(sa->ike, sa->replaces) : NULL;
    const size_t mark = open_cp(c, IKE_CP_REQUEST);
    for (unsigned f = 0; f < 2; f++) {
        if (!wish[f].want)
            continue;
        const struct sl_addr *a =
            old && vip_of(old)->addr[f].family ? &vip_of(old)->addr[f] : &wish[f].addr;
        if (sl_addr_is_any(a))
            put_attr(&c->w, f ? CFG_IP6_ADDRESS : CFG_IP4_ADDRESS, sl_bytes(NULL, 0));
        else
            put_address(&c->w, a);
        put_attr(&c->w, dns[f], sl_bytes(NULL, 0));
    }
    put_attr(&c->w, CFG_DNS_DOMAIN, sl_bytes(NULL, 0));
    ike_wr_close(c, mark);
}

/* An address that a host can have: no group, no loopback, no broadcast. */
static bool usable(const struct sl_addr *a)
{
    static const uint8_t loopback[16] = { [15] = 1 };
    if (sl_addr_is_any(a))
        return false;
    if (a->family == 4)
        return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224;
    return a->b[0] != 0xff && memcmp(a->b, loopback, sizeof(loopback)) != 0;
}

static enum sl_rc take_address(struct sl_virtual *v, const struct sl_conf_wish wish[2],
                               const struct ike_cp_attr *attr, struct sl_err *err)
{
    struct sl_addr a;
    char text[SL_ADDR_TEXT];
    if (!read_address(&a, attr, false))
        return malformed("an address has a wrong length", err);
    const unsigned f = a.family == 6;
    const char *wrong = !wish[f].want       ? "was not asked for"
                        : v->addr[f].family ? "is the second of its family"
                        : !usable(&a)       ? "is no address of a host"
                                            : NULL;
    if (wrong)
        return SL_FAIL(err, SL_ADDRESS_UNEXPECTED, "peer gives us %s, which %s (RFC 7296 2.19)",
                       sl_addr_text(text, &a), wrong);
    v->addr[f] = a;
    return SL_OK;
}

/* Servers and domains are help: what is not understood is passed over. */
static void take_dns(struct sl_virtual *v, struct sl_bytes value)
{
    struct sl_addr a;
    if (v->dns_n < SL_DNS_MAX && sl_addr_from_bytes(&a, value) && usable(&a))
        v->dns[v->dns_n++] = a;
}

static void take_domain(struct sl_virtual *v, struct sl_bytes value)
{
    const size_t at = strlen(v->split_dns);
    if (value.len == 0 || value.len > 253 || at + value.len + 2 > sizeof(v->split_dns))
        return;
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] <= ' ' || value.p[i] >= 0x7f)
            return;
    snprintf(v->split_dns + at, sizeof(v->split_dns) - at, "%s%.*s", at ? " " : "", (int)value.len,
             (const char *)value.p);
}

enum sl_rc cfg_reply_take(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct ike_payload *p = ike_payloads_find(&x->list, IKE_P_CP);
    struct sl_conf_wish wish[2] = { { 0 }, { 0 } };
    struct sl_virtual v = { 0 };
    struct ike_cp cp;
    if (!p)
        return SL_OK;
    (void)wishes(sa, wish);
    SL_TRY(read_cp(&cp, p, IKE_CP_REPLY, "expected a CFG_REPLY", err));
    struct sl_rd r = sl_rd(cp.body);
    for (struct ike_cp_attr a; ike_cp_next(&a, &r);) {
        if (a.type == CFG_IP4_ADDRESS || a.type == CFG_IP6_ADDRESS)
            SL_TRY(take_address(&v, wish, &a, err));
        else if (a.type == CFG_IP4_DNS || a.type == CFG_IP6_DNS)
            take_dns(&v, a.value);
        else if (a.type == CFG_DNS_DOMAIN)
            take_domain(&v, a.value);
    }
    if (!sa->grant)
        sa->grant = calloc(1, sizeof(*sa->grant));
    if (!sa->grant)
        return SL_FAIL_MEM(err);
    sa->grant->vip = v;
    return SL_OK;
}

/* ---- server ------------------------------------------------------------------------------------ */

enum sl_rc cfg_request_read(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_setup *s = x->setup;
    const struct ike_payload *p = ike_payloads_find(&x->list, IKE_P_CP);
    struct ike_cp cp;
    s->cfg_asked = 0;
    s->wish[0] = s->wish[1] = (struct sl_addr){ 0 };
    if (!p)
        return SL_OK;
    SL_TRY(read_cp(&cp, p, IKE_CP_REQUEST, "expected a CFG_REQUEST", err));
    struct sl_rd r = sl_rd(cp.body);
    for (struct ike_cp_attr a; ike_cp_next(&a, &r);) {
        struct sl_addr wish;
        if (a.type < CFG_ATTR_BITS)
            s->cfg_asked |= 1U << a.type;
        if (a.type != CFG_IP4_ADDRESS && a.type != CFG_IP6_ADDRESS)
            continue;
        if (!read_address(&wish, &a, true))
            return malformed("an address has a wrong length", err);
        if (!s->wish[wish.family == 6].family) /* one of each family */
            s->wish[wish.family == 6] = wish;
    }
    return SL_OK;
}

static void put_domains(struct sl_wr *w, const char *list)
{
    for (const char *at = list; *at;) {
        const size_t n = strcspn(at, " ");
        put_attr(w, CFG_DNS_DOMAIN, sl_bytes((const uint8_t *)at, n));
        at += n + (at[n] == ' ');
    }
}

void put_cfg_reply(struct ike_wr *c, const struct ike_xchg *x)
{
    const struct sl_virtual *v = vip_of(x->sa);
    const uint32_t asked = x->setup->cfg_asked;
    if (!has_vip(x->sa))
        return;
    const size_t mark = open_cp(c, IKE_CP_REPLY);
    for (unsigned f = 0; f < 2; f++)
        if (v->addr[f].family)
            put_address(&c->w, &v->addr[f]);
    for (size_t i = 0; i < v->dns_n; i++) {
        const uint16_t type = v->dns[i].family == 4 ? CFG_IP4_DNS : CFG_IP6_DNS;
        if (asked & 1U << type)
            put_attr(&c->w, type, sl_addr_bytes(&v->dns[i]));
    }
    /* SPEC RFC8598-3.2 MUST: domains go only to an initiator that asked for them */
    if (asked & 1U << CFG_DNS_DOMAIN)
        put_domains(&c->w, v->split_dns);
    ike_wr_close(c, mark);
}

enum sl_rc cfg_failure(const struct ike_isa *sa, struct sl_err *err)
{
    if (!sa->grant || sa->grant->vip_rc == SL_OK)
        return SL_OK;
    return SL_FAIL(err, sa->grant->vip_rc, "peer asked for an address: %s (RFC 7296 3.15.4)",
                   sl_rc_text(sa->grant->vip_rc));
}

/* ---- selectors --------------------------------------------------------------------------------- */

static bool push(struct sl_ts out[SL_TS_MAX], size_t *n, const struct sl_ts *like,
                 const struct sl_addr *first, const struct sl_addr *last)
{
    if (*n == SL_TS_MAX)
        return false;
    out[*n] = *like;
    out[*n].first = *first;
    out[(*n)++].last = *last;
    return true;
}

/* What one "dynamic" stands for. */
static enum sl_rc put_dynamic(const struct ike_isa *sa, const struct sl_ts *like, bool ours,
                              bool offer, struct sl_ts out[SL_TS_MAX], size_t *n,
                              struct sl_err *err)
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    const struct sl_virtual *v = vip_of(sa);
    const bool client = sa->began == ours; /* this side is the one that gets addresses */
    const size_t before = *n;
    struct sl_conf_wish wish[2];
    struct sl_addr last[2] = { { .family = 4 }, { .family = 6 } };
    memset(last[0].b, 0xff, 4);
    memset(last[1].b, 0xff, 16);
    if (client && offer && ours && wishes(sa, wish)) {
        for (unsigned f = 0; f < 2; f++)
            if (wish[f].want)
                (void)push(out, n, like, &any_address[f], &last[f]);
        return SL_OK;
    }
    for (unsigned f = 0; client && f < 2; f++)
        if (v->addr[f].family)
            (void)push(out, n, like, &v->addr[f], &v->addr[f]);
    if (*n > before)
        return SL_OK;
    if (client && ours && wishes(sa, wish))
        return SL_FAIL(err, SL_ADDRESS_NONE,
                       "peer gave us no address, which local_ts = dynamic needs (RFC 7296 2.19)");
    if (client && !ours && conf && conf->pools.n)
        return SL_FAIL(err, SL_ADDRESS_REQUIRED,
                       "peer asked for no address, which remote_ts = dynamic needs (RFC 7296 "
                       "3.15.4)");
    const struct sl_addr *outer = ours ? &sa->local.addr : &sa->remote.addr;
    if (!sl_addr_is_any(outer))
        (void)push(out, n, like, outer, outer);
    return SL_OK;
}

enum sl_rc vip_selectors(const struct ike_isa *sa, const struct sl_ts *ts, size_t ts_n, bool ours,
                         bool offer, struct sl_ts out[SL_TS_MAX], size_t *n, struct sl_err *err)
{
    *n = 0;
    for (size_t i = 0; i < ts_n; i++) {
        if (ts[i].first.family)
            (void)push(out, n, &ts[i], &ts[i].first, &ts[i].last);
        else
            SL_TRY(put_dynamic(sa, &ts[i], ours, offer, out, n, err));
    }
    if (*n)
        return SL_OK;
    return SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE, "%s_ts = dynamic: this side's address is not known",
                   ours ? "local" : "remote");
}

void vip_of_child(const struct ike_isa *sa, struct sl_addr out[2])
{
    out[0] = out[1] = (struct sl_addr){ 0 };
    if (sa->began && has_vip(sa))
        memcpy(out, vip_of(sa)->addr, sizeof(vip_of(sa)->addr));
}
