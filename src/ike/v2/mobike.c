/*
 * MOBIKE (RFC 4555): an IKE SA and its children go on when an outer address changes.
 *
 *   IKE_AUTH    N(MOBIKE_SUPPORTED), N(ADDITIONAL_*_ADDRESS)*   -->  and the same back
 *   initiator   N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_*_IP)   -->  from the addresses to be used
 *                                        <--  N(NAT_DETECTION_*_IP)
 *   responder   N(COOKIE2)  -->  <--  N(COOKIE2)    to the new address, before children go there
 *   both        N(ADDITIONAL_*_ADDRESS)* | N(NO_ADDITIONAL_ADDRESSES)  -->
 *
 * "Initiator" is who began the first of a series of rekeyed SAs (sa->began): that side alone decides
 * which pair of addresses is used. It leaves the choice of its own address to the kernel's routes
 * (source address "any") and learns it from where the answer arrives; when tries stay unanswered it
 * goes through what else it knows of, in turn. The other side only tells where it can be reached.
 *
 * What an update was sent with counts, not where the SA would have gone since: a request that went
 * over more than one path is followed by another over the path that answered (3.5).
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <string.h>

#define PATHS_MAX   32
#define PATIENCE    2 /* transmissions on one path before another is tried */
#define COOKIE2_MIN 8 /* RFC 4555 4.2.5 */
#define COOKIE2_MAX 64

enum { DOING_UPDATE = 1, DOING_CHECK = 2, DOING_TELL = 4, DOING_PROBE = 8 };

struct path {
    struct sl_addr local, remote;
};

static const struct sl_conf_connection *conf_of(const struct ike_isa *sa)
{
    return sa->conn ? sa->conn->conf : NULL;
}

/* ---- addresses --------------------------------------------------------------------------------- */

static bool has(const struct sl_addr *v, size_t n, const struct sl_addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (sl_addr_eq(&v[i], a))
            return true;
    return false;
}

static bool host_has(const struct ike_isa *sa, const struct sl_addr *a)
{
    return has(sa->ike->address, sa->ike->address_n, a);
}

/* The configuration names no address of ours: any may be used. */
static bool may_choose(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = conf_of(sa);
    const struct sl_config *c = sa->ike->config;
    return conf && sl_addr_is_any(&conf->local.addr) &&
           sl_addr_is_any(sa->remote.addr.family == 4 ? &c->listen4 : &c->listen6);
}

static bool covered(const struct sl_ts *ts, size_t n, const struct sl_addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (sl_ts_has(&ts[i], a, ts[i].protocol, ts[i].start_port))
            return true;
    return false;
}

/*
 * Addresses inside a tunnel are no addresses of its outside, unless its selectors cover the one in
 * use as well.
 */
static bool is_inside(const struct ike_isa *sa, const struct sl_addr *a)
{
    const struct sl_conf_connection *conf = conf_of(sa);
    const struct sl_addr *now =
        sa->mobike.local.addr.family ? &sa->mobike.local.addr : &sa->local.addr;
    for (size_t i = 0; conf && i < conf->child_n; i++) {
        const struct sl_conf_child *k = &conf->child[i];
        if (covered(k->local_ts, k->local_ts_n, a) && !covered(k->local_ts, k->local_ts_n, now))
            return true;
    }
    for (const struct ike_child *c = sa->children; c; c = c->next)
        if (covered(c->local.v, c->local.n, a) && !covered(c->local.v, c->local.n, now))
            return true;
    return false;
}

/* Our addresses of a family (0: of any) that the SA could use, at most cap. */
static size_t usable(const struct ike_isa *sa, uint8_t family, struct sl_addr *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < sa->ike->address_n && n < cap; i++) {
        const struct sl_addr *a = &sa->ike->address[i];
        if ((!family || a->family == family) && !is_inside(sa, a))
            out[n++] = *a;
    }
    return n;
}

static void put_addresses(struct ike_wr *c, const struct ike_isa *sa, bool also_none)
{
    struct sl_addr v[IKE_MOBIKE_ADDRESSES];
    const size_t n = may_choose(sa) ? usable(sa, 0, v, SL_ARRAY_LEN(v)) : 0;
    size_t told = 0;
    for (size_t i = 0; i < n; i++) {
        if (sl_addr_eq(&v[i], &sa->local.addr))
            continue;
        ike_put_notify(
            c, v[i].family == 4 ? IKE_N_ADDITIONAL_IP4_ADDRESS : IKE_N_ADDITIONAL_IP6_ADDRESS,
            sl_addr_bytes(&v[i]));
        told++;
    }
    if (!told && also_none)
        ike_put_notify(c, IKE_N_NO_ADDITIONAL_ADDRESSES, sl_bytes(NULL, 0));
}

/* What the peer tells of its addresses replaces what it told before; false: it tells nothing. */
static bool take_addresses(struct ike_isa *sa, const struct ike_payloads *list)
{
    struct sl_addr v[IKE_MOBIKE_ADDRESSES];
    size_t n = 0;
    bool told = false;
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, IKE_P_N, p));) {
        struct ike_notify note;
        struct sl_addr a;
        if (!ike_notify_read(&note, p->body))
            continue;
        const bool v4 = note.type == IKE_N_ADDITIONAL_IP4_ADDRESS;
        told = told || note.type == IKE_N_NO_ADDITIONAL_ADDRESSES;
        if (!v4 && note.type != IKE_N_ADDITIONAL_IP6_ADDRESS)
            continue;
        told = true;
        if (note.data.len == (v4 ? 4U : 16U) && sl_addr_from_bytes(&a, note.data) &&
            !sl_addr_is_any(&a) && n < SL_ARRAY_LEN(v))
            v[n++] = a;
    }
    if (!told)
        return false;
    memcpy(sa->mobike.peer, v, n * sizeof(v[0]));
    sa->mobike.peer_n = n;
    return true;
}

/* ---- paths ------------------------------------------------------------------------------------- */

static void add_path(struct path *out, size_t *n, const struct sl_addr *local,
                     const struct sl_addr *remote)
{
    if (*n < PATHS_MAX && local->family == remote->family)
        out[(*n)++] = (struct path){ *local, *remote };
}

/*
 * The pairs of addresses to try, best first: the peer's present address before its others; for each,
 * what the kernel chooses before each address of ours. None: we are off the network.
 */
static size_t paths(const struct ike_isa *sa, struct path out[PATHS_MAX])
{
    const struct ike_mobike *m = &sa->mobike;
    struct sl_addr remote[IKE_MOBIKE_ADDRESSES + 1] = { m->remote.addr };
    size_t remotes = 1, n = 0;
    for (size_t i = 0; i < m->peer_n; i++)
        if (!has(remote, remotes, &m->peer[i]))
            remote[remotes++] = m->peer[i];
    for (unsigned each = 0; each < 2; each++)
        for (size_t i = 0; i < remotes; i++) {
            struct sl_addr ours[IKE_MOBIKE_ADDRESSES];
            const struct sl_addr any = { .family = remote[i].family };
            if (!sa->ike->addresses_known || !may_choose(sa)) {
                if (!each && (!sa->ike->addresses_known || host_has(sa, &m->local.addr)))
                    add_path(out, &n, &m->local.addr, &remote[i]);
                continue;
            }
            const size_t k = usable(sa, any.family, ours, SL_ARRAY_LEN(ours));
            if (!each && k)
                add_path(out, &n, &any, &remote[i]);
            for (size_t j = 0; each && k > 1 && j < k; j++)
                add_path(out, &n, &ours[j], &remote[i]);
        }
    return n;
}

static void take_path(struct ike_isa *sa, const struct path *p)
{
    sa->local.addr = p->local;
    sa->remote = (struct sl_endpoint){ p->remote, sa->mobike.remote.port };
}

/* What is out goes again at once, with all its tries, for it went to or from where nobody is. */
static void resend(struct ike_isa *sa)
{
    if (sa->win.tx_waiting) {
        sa->win.tx_sent = 1;
        sa->win.tx_extra = 0;
        sa->win.tx_due_ns = sa->ike->now_ns;
        sa->mobike.several = true;
    }
    isa_touch(sa);
}

bool mobike_again(struct ike_isa *sa)
{
    struct ike_mobike *m = &sa->mobike;
    struct path p[PATHS_MAX];
    if (!m->on || sa->state != ISA_UP || sa->want_delete)
        return true;
    const size_t n = paths(sa, p);
    if (!n) {
        sa->win.tx_due_ns = INT64_MAX; /* sl_ike_addresses tells when there is a way again */
        return false;
    }
    if (sa->began && n > 1 && sa->win.tx_sent >= PATIENCE) {
        m->path = (m->path + 1) % (unsigned)n;
        take_path(sa, &p[m->path]);
        m->several = true;
    }
    return true;
}

static void move_children(struct ike_isa *sa)
{
    for (struct ike_child *c = sa->children; c; c = c->next) {
        c->udp_encap = sa->nat_local || sa->nat_remote;
        child_move(c);
    }
}

/* The IKE SA is at these addresses now; tells of it when they are others than before. */
static void settle(struct ike_isa *sa)
{
    struct ike_mobike *m = &sa->mobike;
    char local[SL_ENDPOINT_TEXT], remote[SL_ENDPOINT_TEXT];
    if (sl_endpoint_eq(&m->local, &sa->local) && sl_endpoint_eq(&m->remote, &sa->remote))
        return;
    m->local = sa->local;
    m->remote = sa->remote;
    m->path = 0;
    sa->natt = sa->local.port == sa->ike->config->port_natt;
    ike_event(sa->ike, SL_IKE_EV_PEER_MOVED, sa, NULL, SL_OK, "now between %s and %s, by MOBIKE",
              sl_endpoint_text(local, &sa->local), sl_endpoint_text(remote, &sa->remote));
}

/* Whether there is a NAT, from the message at hand; as before when it does not say. */
static void detect_nat(struct ike_isa *sa, const struct ike_payloads *list)
{
    const struct sl_conf_connection *conf = conf_of(sa);
    bool nat_local, nat_remote;
    if (!ike_natd_check(list, sa->spi_i, sa->spi_r, &sa->reply_local, &sa->reply_remote, &nat_local,
                        &nat_remote))
        return;
    sa->peer_may_move = nat_remote && !nat_local;
    sa->nat_local = nat_local || (conf && conf->force_encap);
    sa->nat_remote = nat_remote;
}

/* ---- IKE_AUTH ---------------------------------------------------------------------------------- */

void mobike_offer(struct ike_wr *c, const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = conf_of(sa);
    if (!conf || !conf->mobike)
        return;
    ike_put_notify(c, IKE_N_MOBIKE_SUPPORTED, sl_bytes(NULL, 0));
    put_addresses(c, sa, false);
}

void mobike_accept(struct ike_wr *c, const struct ike_isa *sa)
{
    if (sa->mobike.on)
        mobike_offer(c, sa);
}

/* Behind a NAT: how does the peer see us now, to know later whether that has changed? */
static void ask_how_seen(struct ike_isa *sa)
{
    if (sa->mobike.on && sa->began && sa->nat_local)
        sa->want_liveness = true;
}

void mobike_take(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_notify n;
    const struct sl_conf_connection *conf = conf_of(sa);
    sa->mobike.on = conf && conf->mobike && ike_notify_find(&x->list, IKE_N_MOBIKE_SUPPORTED, &n);
    sa->mobike.local = sa->local;
    sa->mobike.remote = sa->remote;
    ask_how_seen(sa);
    (void)take_addresses(sa, &x->list);
}

/* ---- our own addresses change ------------------------------------------------------------------ */

static void addresses_changed(struct ike_isa *sa, bool others)
{
    struct ike_mobike *m = &sa->mobike;
    struct path p[PATHS_MAX];
    const bool held = sa->win.tx_waiting && sa->win.tx_due_ns == INT64_MAX;
    const bool lost = !host_has(sa, &m->local.addr);
    const size_t n = paths(sa, p);
    if (others && may_choose(sa))
        m->want_tell = true;
    if (!n || !(lost || held)) {
        if (sa->began && n)
            sa->want_liveness = true; /* does the path still carry? */
        isa_touch(sa);
        return;
    }
    m->path = 0;
    if (sa->began) {
        take_path(sa, &p[0]);
        m->want_update = true;
    } else if (lost) {
        sa->local.addr = p[0].local;
    }
    resend(sa);
}

void sl_ike_addresses(struct sl_ike *ike, int64_t now_ns, const struct sl_addr *v, size_t n)
{
    ike_begin(ike, now_ns);
    if (n > IKE_ADDRESSES_MAX)
        n = IKE_ADDRESSES_MAX;
    bool others = n != ike->address_n;
    for (size_t i = 0; i < n; i++)
        others = others || !has(ike->address, ike->address_n, &v[i]);
    const bool first = !ike->addresses_known;
    ike->addresses_known = true;
    ike->address_n = n;
    if (n)
        memcpy(ike->address, v, n * sizeof(*v));
    for (struct ike_isa *sa = ike->sas; sa && !first; sa = sa->next)
        if (sa->mobike.on && sa->state == ISA_UP)
            addresses_changed(sa, others);
    conns_settle(ike);
}

/* ---- our requests ------------------------------------------------------------------------------ */

bool mobike_wants(const struct ike_isa *sa)
{
    const struct ike_mobike *m = &sa->mobike;
    struct path p[PATHS_MAX];
    return m->on && (m->want_update || m->want_check || m->want_tell) && paths(sa, p);
}

void mobike_put_request(struct ike_wr *c, struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_mobike *m = &sa->mobike;
    m->doing = 0;
    if (!m->on)
        return;
    m->several = false;
    if (x->kind == XCHG_LIVENESS && sa->began && sa->natt_supported) {
        /* SPEC RFC4555-3.8 MAY: a liveness check finds out that a NAT has changed its mapping */
        put_nat_detection(c, sa, &sa->local, &sa->remote);
        m->doing = DOING_PROBE;
    }
    if (x->kind != XCHG_MOBIKE)
        return;
    if (m->want_update) {
        ike_put_notify(c, IKE_N_UPDATE_SA_ADDRESSES, sl_bytes(NULL, 0));
        if (sa->natt_supported)
            put_nat_detection(c, sa, &sa->local, &sa->remote);
        m->doing |= DOING_UPDATE;
    }
    if (m->want_check) {
        sl_rng_fill(&sa->ike->rng, m->cookie2, sizeof(m->cookie2));
        ike_put_notify(c, IKE_N_COOKIE2, sl_bytes(m->cookie2, sizeof(m->cookie2)));
        m->doing |= DOING_CHECK;
    }
    if (m->want_tell) {
        put_addresses(c, sa, true);
        m->doing |= DOING_TELL;
    }
}

void mobike_sent(struct ike_isa *sa)
{
    struct ike_mobike *m = &sa->mobike;
    m->want_update = m->want_update && !(m->doing & DOING_UPDATE);
    m->want_check = m->want_check && !(m->doing & DOING_CHECK);
    m->want_tell = m->want_tell && !(m->doing & DOING_TELL);
}

static bool may_be_at(const struct ike_isa *sa, const struct sl_addr *a)
{
    return sl_addr_eq(a, &sa->mobike.remote.addr) || has(sa->mobike.peer, sa->mobike.peer_n, a);
}

/*
 * An answer shows that its path works. Its addresses are not covered by its integrity: only one that
 * the peer has named is believed.
 */
static void answered(struct ike_isa *sa)
{
    struct ike_mobike *m = &sa->mobike;
    if (!sa->began || m->want_update || !may_be_at(sa, &sa->reply_remote.addr))
        return;
    sa->local = sa->reply_local;
    sa->remote = sa->reply_remote;
    const bool moved =
        !sl_endpoint_eq(&m->local, &sa->local) || !sl_endpoint_eq(&m->remote, &sa->remote);
    /* SPEC RFC4555-3.5 MUST: an update sent over several paths is followed by a new one */
    m->want_update = m->doing & DOING_UPDATE ? m->several : moved;
}

static void refused(struct ike_isa *sa, uint16_t notify)
{
    struct ike_mobike *m = &sa->mobike;
    struct path p[PATHS_MAX];
    char name[IKE_TEXT];
    const size_t n = paths(sa, p);
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, SL_IKE_PEER_ERROR,
              "peer answered UPDATE_SA_ADDRESSES with %s", ike_notify_text(name, notify));
    m->want_update = m->path + 1 < n;
    if (m->want_update)
        take_path(sa, &p[++m->path]);
}

static void updated(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_notify n;
    if (sa->mobike.want_update)
        return; /* our addresses have changed again since, or the request went several ways */
    if (ike_notify_find_error(&x->list, &n)) {
        refused(sa, n.type);
        return;
    }
    detect_nat(sa, &x->list);
    settle(sa);
    move_children(sa);
}

static void checked(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    const struct ike_mobike *m = &sa->mobike;
    struct ike_notify n;
    if (m->want_check)
        return; /* the peer has moved on meanwhile */
    /* SPEC RFC4555-3.7 MUST: another cookie than the one sent closes the IKE SA */
    if (!ike_notify_find(&x->list, IKE_N_COOKIE2, &n) ||
        !sl_ct_equal(n.data, sl_bytes(m->cookie2, sizeof(m->cookie2)))) {
        isa_close(sa, SL_IKE_MALFORMED, "peer did not return COOKIE2 (RFC 4555 3.7)");
        return;
    }
    move_children(sa);
}

/* The peer sees us elsewhere than before: the NAT between has changed its mapping. */
static void probed(struct ike_xchg *x)
{
    struct ike_mobike *m = &x->sa->mobike;
    struct ike_notify n;
    if (!ike_notify_find(&x->list, IKE_N_NAT_DETECTION_DESTINATION_IP, &n) ||
        n.data.len != IKE_NATD_LEN)
        return;
    if (!(m->doing & DOING_UPDATE) && m->seen_known && !m->several &&
        memcmp(m->seen, n.data.p, IKE_NATD_LEN) != 0)
        m->want_update = true;
    memcpy(m->seen, n.data.p, IKE_NATD_LEN);
    m->seen_known = true;
}

void mobike_response(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_mobike *m = &sa->mobike;
    if (!m->on || sa->state != ISA_UP)
        return;
    answered(sa);
    if (m->doing & DOING_UPDATE)
        updated(x);
    if (m->doing & DOING_CHECK)
        checked(x);
    if (m->doing & (DOING_UPDATE | DOING_PROBE))
        probed(x);
    m->doing = 0;
    isa_touch(sa);
}

/* ---- the peer's requests ----------------------------------------------------------------------- */

/* SPEC RFC4555-3.9 MUST: with NO_NATS_ALLOWED the addresses are those that the peer has sent from */
static bool nat_forbidden(const struct ike_xchg *x)
{
    const struct ike_isa *sa = x->sa;
    struct ike_notify n;
    uint8_t seen[36];
    if (!ike_notify_find(&x->list, IKE_N_NO_NATS_ALLOWED, &n))
        return false;
    struct sl_wr w = sl_wr_fixed(seen, sizeof(seen));
    sl_wr_put(&w, sl_addr_bytes(&sa->reply_remote.addr));
    sl_wr_put(&w, sl_addr_bytes(&sa->reply_local.addr));
    sl_wr_u16(&w, sa->reply_remote.port);
    sl_wr_u16(&w, sa->reply_local.port);
    const size_t len = sl_wr_len(&w);
    return n.data.len != len || memcmp(n.data.p, seen, len) != 0;
}

/* Peers of a connection with prefixes stay inside them. */
static bool acceptable(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = conf_of(sa);
    if (!conf || !conf->remote_prefixes.n)
        return true;
    for (size_t i = 0; i < conf->remote_prefixes.n; i++) {
        struct sl_prefix p;
        if (sl_prefix_parse(&p, conf->remote_prefixes.v[i]) &&
            sl_prefix_has(&p, &sa->reply_remote.addr))
            return true;
    }
    return false;
}

void mobike_put_response(struct ike_wr *c, const struct ike_xchg *x, bool *update)
{
    const struct ike_isa *sa = x->sa;
    struct ike_notify n;
    *update = false;
    if (!sa->mobike.on)
        return;
    *update = !sa->began && ike_notify_find(&x->list, IKE_N_UPDATE_SA_ADDRESSES, &n);
    if (nat_forbidden(x)) {
        ike_put_notify(c, IKE_N_UNEXPECTED_NAT_DETECTED, sl_bytes(NULL, 0));
        *update = false;
    } else if (*update && !acceptable(sa)) {
        ike_put_notify(c, IKE_N_UNACCEPTABLE_ADDRESSES, sl_bytes(NULL, 0));
        *update = false;
    }
    if (sa->natt_supported && ike_notify_find(&x->list, IKE_N_NAT_DETECTION_SOURCE_IP, &n))
        put_nat_detection(c, sa, &sa->reply_local, &sa->reply_remote);
    if (ike_notify_find(&x->list, IKE_N_COOKIE2, &n) && n.data.len >= COOKIE2_MIN &&
        n.data.len <= COOKIE2_MAX)
        ike_put_notify(c, IKE_N_COOKIE2, n.data);
}

/* The peer was told to be elsewhere; its children follow when it has answered from there. */
static void follow_update(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    const bool elsewhere = !sl_endpoint_eq(&sa->remote, &sa->reply_remote);
    detect_nat(sa, &x->list);
    sa->local = sa->reply_local;
    sa->remote = sa->reply_remote;
    settle(sa);
    if (elsewhere) {
        sa->mobike.want_check = true;
        resend(sa);
    } else {
        move_children(sa);
    }
}

/* A responder that has left the address we know tells so from another: we follow (3.6). */
static void follow_responder(struct ike_isa *sa)
{
    struct ike_mobike *m = &sa->mobike;
    const struct sl_addr *from = &sa->reply_remote.addr;
    if (sl_addr_eq(from, &m->remote.addr) || has(m->peer, m->peer_n, &m->remote.addr))
        return;
    if (!has(m->peer, m->peer_n, from)) {
        if (m->peer_n == SL_ARRAY_LEN(m->peer))
            return;
        m->peer[m->peer_n++] = *from;
    }
    sa->local = sa->reply_local;
    sa->remote = (struct sl_endpoint){ *from, m->remote.port };
    m->want_update = true;
    resend(sa);
}

void mobike_requested(struct ike_xchg *x, bool update)
{
    struct ike_isa *sa = x->sa;
    struct ike_mobike *m = &sa->mobike;
    if (!m->on || sa->state != ISA_UP)
        return;
    const bool told = take_addresses(sa, &x->list);
    if (update)
        follow_update(x);
    else if (told && sa->began)
        follow_responder(sa);
    isa_touch(sa);
}

void mobike_inherit(struct ike_isa *to, const struct ike_isa *from)
{
    if (!from->mobike.on)
        return;
    to->mobike = from->mobike;
    to->mobike.doing = 0;
    to->mobike.seen_known = false; /* the hashes cover the SPIs */
    to->local = from->local;
    to->remote = from->remote;
    to->natt = from->natt;
    to->nat_local = from->nat_local;
    to->nat_remote = from->nat_remote;
    to->peer_may_move = from->peer_may_move;
    if (from->mobike.doing & DOING_UPDATE)
        to->mobike.want_update = true;
    if (from->mobike.doing & DOING_CHECK)
        to->mobike.want_check = true;
    ask_how_seen(to);
}
