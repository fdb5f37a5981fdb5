/*
 * The esp role: one thread that carries packets (src/esp/io.h), takes child SAs from ike, tells it
 * of limits and of life, asks the supervisor for the routes into the tunnel, and answers `sealane esp`.
 *
 * Child SAs belong to IKE SAs. While ike is away packets are carried on; when a new ike is there it
 * knows none of the old SAs and nobody could end them, so they are removed then.
 */
#include "src/esp/io.h"
#include "src/esp/route.h"
#include "src/proc/role.h"

#include "sealane/time.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTER_OVERHEAD 100u /* of the MTU of TUN, as the supervisor reckons it */
#define OUTER_MTU      1500u

struct sock_events {
    struct role_esp *r;
    struct event *in, *out;
};
struct role_esp {
    struct proc_role *p;
    struct sl_esp *e;
    struct esp_io *io;
    struct esp_io_fds fds;
    struct event *tun;
    struct sock_events sock[ESP_SOCK_COUNT];
    struct event *commit; /* pending: changes wait to be made visible */
    unsigned blocked;
};

/* ---- to ike and the supervisor ----------------------------------------------------------------- */
static void tell(struct role_esp *r, enum proc_role_id to, enum msg_type type, const void *m)
{
    struct sl_err err = { 0 };
    if (msg_send(r->p->link[to], type, m, &err) != SL_OK && err.rc != SL_PROC_GONE)
        sl_log_err(SL_LOG_ERROR, &err, "%s to %s", msg_name(type), proc_role_name(to));
}

static void drain_events(struct role_esp *r)
{
    struct sl_esp_event ev;
    while (sl_esp_next(r->e, &ev)) {
        struct msg_child m = { .child_id = ev.child_id };
        switch (ev.type) {
        case SL_ESP_EV_SOFT:
            tell(r, PROC_IKE, MSG_CHILD_SOFT, &m);
            break;
        case SL_ESP_EV_HARD:
            sl_warn("child %llu has reached a hard limit", (unsigned long long)ev.child_id);
            tell(r, PROC_IKE, MSG_CHILD_HARD, &m);
            break;
        case SL_ESP_EV_SEEN:
            tell(r, PROC_IKE, MSG_CHILD_SEEN, &m);
            break;
        case SL_ESP_EV_MOVED: {
            /* ike knows whether the peer may move, and moves all that is its (RFC 7296 2.23) */
            struct msg_child_move heard = {
                .child_id = ev.child_id, .local = ev.local, .remote = ev.remote, .udp_encap = true
            };
            tell(r, PROC_IKE, MSG_CHILD_HEARD, &heard);
            break;
        }
        }
    }
}

struct route_change {
    struct role_esp *r;
    struct msg_route m;
    enum msg_type type;
};
static void route_send(void *ctx, const struct sl_prefix *p)
{
    struct route_change *c = ctx;
    c->m.prefix = *p;
    tell(c->r, PROC_SUPERVISOR, c->type, &c->m);
}

/* Our own side keeps its ordinary routes, though the peer's selectors may cover it. */
static void near_routes(struct role_esp *r, const struct sl_esp_child_info *c, bool add)
{
    struct route_change change = { .r = r,
                                   .m.near = true,
                                   .type = add ? MSG_ROUTE_ADD : MSG_ROUTE_DEL };
    for (size_t i = 0; i < c->ts_local_n; i++) {
        struct esp_range range;
        struct sl_prefix p;
        esp_range_init(&range, &c->ts_local[i].first, &c->ts_local[i].last);
        while (esp_range_next(&range, &p))
            route_send(&change, &p);
    }
}

/* Addresses that the peer gave us; before the routes, which choose them as their source. */
static void addresses(struct role_esp *r, const struct sl_esp_child_info *c, bool add)
{
    for (unsigned f = 0; f < 2; f++) {
        struct msg_address m = { .addr = c->vip[f] };
        if (m.addr.family)
            tell(r, PROC_SUPERVISOR, add ? MSG_ADDRESS_ADD : MSG_ADDRESS_DEL, &m);
    }
}

/* The routes of a child: what its peer's selectors cover goes into the tunnel. */
static void routes(struct role_esp *r, const struct sl_esp_child_info *c, bool add)
{
    const struct sl_config *config = r->p->config;
    if (!config->install_routes)
        return;
    for (size_t i = 0; i < c->ts_remote_n; i++) {
        struct route_change change = { .r = r, .type = add ? MSG_ROUTE_ADD : MSG_ROUTE_DEL };
        for (size_t j = 0; j < c->ts_local_n && !change.m.local_first.family; j++)
            if (c->ts_local[j].first.family == c->ts_remote[i].first.family) {
                change.m.local_first = c->ts_local[j].first;
                change.m.local_last = c->ts_local[j].last;
            }
        esp_routes(&c->ts_remote[i], c->ts_local, c->ts_local_n, config->shunt, config->shunt_n,
                   route_send, &change);
    }
    near_routes(r, c, add);
}

/* ---- packets ----------------------------------------------------------------------------------- */
/*
 * A socket that is full keeps the TUN from being read; its own queue then drops the excess, and no
 * memory grows here.
 */
static void watch(struct role_esp *r)
{
    unsigned blocked = esp_io_blocked(r->io);
    if (blocked == r->blocked)
        return;
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++) {
        if (blocked & ~r->blocked & 1u << s)
            event_add(r->sock[s].out, NULL);
        if (r->blocked & ~blocked & 1u << s)
            event_del(r->sock[s].out);
    }
    if (blocked && !r->blocked)
        event_del(r->tun);
    if (!blocked)
        event_add(r->tun, NULL);
    r->blocked = blocked;
}

static void on_tun(evutil_socket_t fd, short what, void *ctx)
{
    struct role_esp *r = ctx;
    (void)fd;
    (void)what;
    esp_io_tun(r->io);
    watch(r);
    drain_events(r);
}

static enum esp_sock sock_index(const struct sock_events *s)
{
    return (enum esp_sock)(s - s->r->sock);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct sock_events *s = ctx;
    (void)fd;
    (void)what;
    esp_io_sock(s->r->io, sock_index(s));
    drain_events(s->r);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    struct sock_events *s = ctx;
    (void)fd;
    (void)what;
    esp_io_writable(s->r->io, sock_index(s));
    watch(s->r);
}

/* ---- children ---------------------------------------------------------------------------------- */
/* Many changes that come together become visible together. */
static void changed(struct role_esp *r)
{
    event_active(r->commit, 0, 0);
}

static void on_commit(evutil_socket_t fd, short what, void *ctx)
{
    struct role_esp *r = ctx;
    struct sl_err err = { 0 };
    (void)fd;
    (void)what;
    if (sl_esp_commit(r->e, &err) == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "policy stays as it was, trying again");
    event_add(r->commit, &(struct timeval){ .tv_sec = 1 });
}

static void failed(struct role_esp *r, uint64_t child_id, const struct sl_err *err)
{
    struct msg_child_failed m = { .child_id = child_id, .rc = err->rc };
    (void)strncpy(m.text, sl_err_text(err), sizeof(m.text) - 1);
    sl_log_err(SL_LOG_ERROR, err, "child %llu", (unsigned long long)child_id);
    tell(r, PROC_IKE, MSG_CHILD_FAILED, &m);
}

static void child_add(struct role_esp *r, struct sl_child *c)
{
    struct sl_err err = { 0 };
    struct sl_esp_child_info info;
    uint64_t id = c->id;
    if (sl_esp_child_add(r->e, c, &err) != SL_OK) {
        failed(r, id, &err);
        return;
    }
    if (sl_esp_child_info(r->e, id, &info)) {
        addresses(r, &info, true);
        routes(r, &info, true);
    }
    if (!c->udp_encap && r->fds.sock[c->remote.addr.family == 4 ? ESP_RAW4 : ESP_RAW6] < 0)
        sl_warn("child %s/%s needs protocol 50, for which there is no socket: set force_encap",
                c->connection, c->child);
    changed(r);
}

static void child_del(struct role_esp *r, uint64_t id)
{
    struct sl_esp_child_info info;
    struct sl_err err = { 0 };
    if (sl_esp_child_info(r->e, id, &info)) {
        routes(r, &info, false);
        addresses(r, &info, false);
    }
    if (sl_esp_child_del(r->e, id, &err) != SL_OK)
        sl_debug("%s", sl_err_text(&err)); /* one that could not be installed */
    changed(r);
}

/* SL_NOT_FOUND is no news for ike: a child that could not be installed was reported already. */
static void child_result(struct role_esp *r, enum sl_rc rc, uint64_t id, const struct sl_err *err)
{
    if (rc == SL_OK)
        changed(r);
    else
        failed(r, id, err);
}

static void malformed(const struct chan *c, const struct chan_msg *m)
{
    sl_error("%s from %s is malformed: PROC_MESSAGE", msg_name(m->type), chan_peer(c));
}

static void on_ike(void *ctx, struct chan *chan, struct chan_msg *m)
{
    struct role_esp *r = ctx;
    struct sl_err err = { 0 };
    switch (m->type) {
    case MSG_CHILD_ADD: {
        struct sl_child c = { 0 };
        if (!msg_read(MSG_CHILD_ADD, &c, m->body)) {
            malformed(chan, m);
            return;
        }
        child_add(r, &c);
        sl_child_clear(&c);
        return;
    }
    case MSG_CHILD_OUTBOUND: {
        struct msg_child c;
        if (!msg_read(MSG_CHILD_OUTBOUND, &c, m->body)) {
            malformed(chan, m);
            return;
        }
        child_result(r, sl_esp_child_outbound(r->e, c.child_id, &err), c.child_id, &err);
        return;
    }
    case MSG_CHILD_DEL: {
        struct msg_child c;
        if (!msg_read(MSG_CHILD_DEL, &c, m->body)) {
            malformed(chan, m);
            return;
        }
        child_del(r, c.child_id);
        return;
    }
    case MSG_CHILD_MOVE: {
        struct msg_child_move c;
        if (!msg_read(MSG_CHILD_MOVE, &c, m->body)) {
            malformed(chan, m);
            return;
        }
        child_result(r, sl_esp_child_move(r->e, c.child_id, &c.local, &c.remote, c.udp_encap, &err),
                     c.child_id, &err);
        return;
    }
    default:
        malformed(chan, m);
    }
}

struct ids {
    uint64_t *v;
    size_t n;
};
static void collect_id(void *ctx, const struct sl_esp_child_info *c)
{
    struct ids *ids = ctx;
    ids->v[ids->n++] = c->id;
}

static void del_all(struct role_esp *r)
{
    struct sl_esp_stats n;
    sl_esp_stats(r->e, &n);
    struct ids ids = { .v = calloc(n.children + 1, sizeof(*ids.v)) };
    if (!ids.v) {
        sl_error("out of memory: children of the old ike stay");
        return;
    }
    sl_esp_list(r->e, collect_id, &ids);
    for (size_t i = 0; i < ids.n; i++)
        child_del(r, ids.v[i]);
    if (ids.n)
        sl_warn("ike was replaced: %zu children of the old one are removed", ids.n);
    free(ids.v);
}

static void on_ike_linked(void *ctx, struct chan *chan, bool linked)
{
    struct role_esp *r = ctx;
    (void)chan;
    if (linked)
        del_all(r);
    else
        sl_info("ike has ended: children carry on until its successor is there");
}

/* ---- control ----------------------------------------------------------------------------------- */
static json_t *num(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *counters(const struct sl_esp_counters *c)
{
    char text[SL_TIME_TEXT];
    json_t *o = json_object();
    json_object_set_new(o, "packets", num(c->packets));
    json_object_set_new(o, "bytes", num(c->bytes));
    json_object_set_new(o, "replayed", num(c->replayed));
    json_object_set_new(o, "late", num(c->late));
    json_object_set_new(o, "integrity", num(c->integrity));
    json_object_set_new(o, "malformed", num(c->malformed));
    json_object_set_new(o, "policy", num(c->policy));
    json_object_set_new(o, "too_big", num(c->too_big));
    json_object_set_new(o, "exhausted", num(c->exhausted));
    json_object_set_new(
        o, "last", c->last_utc_s ? json_string(sl_time_text(text, c->last_utc_s)) : json_null());
    return o;
}

static uint64_t dropped(const struct sl_esp_counters *c)
{
    return c->replayed + c->late + c->integrity + c->malformed + c->policy + c->too_big +
           c->exhausted;
}

static json_t *selectors(const struct sl_ts *ts, size_t n)
{
    char text[SL_TS_TEXT];
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(sl_ts_text(text, &ts[i])));
    return a;
}

static void list_child(void *ctx, const struct sl_esp_child_info *c)
{
    char text[SL_SUITE_TEXT], local[SL_ENDPOINT_TEXT], remote[SL_ENDPOINT_TEXT], in[16], out[16];
    (void)snprintf(in, sizeof(in), "%08x", c->spi_in);
    (void)snprintf(out, sizeof(out), "%08x", c->spi_out);
    json_t *o = json_object();
    json_object_set_new(o, "id", num(c->id));
    json_object_set_new(o, "ike_sa", num(c->ike_sa));
    json_object_set_new(o, "connection", json_string(c->connection));
    json_object_set_new(o, "child", json_string(c->child));
    json_object_set_new(o, "local", json_string(sl_endpoint_text(local, &c->local)));
    json_object_set_new(o, "remote", json_string(sl_endpoint_text(remote, &c->remote)));
    json_object_set_new(o, "udp_encap", json_boolean(c->udp_encap));
    json_object_set_new(o, "suite", json_string(sl_suite_text(text, &c->suite)));
    json_object_set_new(o, "esn", json_boolean(c->esn));
    json_object_set_new(o, "outbound", json_boolean(c->outbound));
    json_object_set_new(o, "limit_reached", json_boolean(c->hard));
    json_object_set_new(o, "spi_in", json_string(in));
    json_object_set_new(o, "spi_out", json_string(out));
    json_object_set_new(o, "seq_in", num(c->seq_in));
    json_object_set_new(o, "seq_out", num(c->seq_out));
    json_object_set_new(o, "replay_window_pkts", num(c->replay_window_pkts));
    json_object_set_new(o, "inner_mtu4", num(c->inner_mtu4));
    json_object_set_new(o, "inner_mtu6", num(c->inner_mtu6));
    json_object_set_new(o, "ts_local", selectors(c->ts_local, c->ts_local_n));
    json_object_set_new(o, "ts_remote", selectors(c->ts_remote, c->ts_remote_n));
    /* the sums that stand in `sealane sas`, then every reason by itself */
    json_object_set_new(o, "packets_in", num(c->in.packets));
    json_object_set_new(o, "bytes_in", num(c->in.bytes));
    json_object_set_new(o, "packets_out", num(c->out.packets));
    json_object_set_new(o, "bytes_out", num(c->out.bytes));
    json_object_set_new(o, "dropped", num(dropped(&c->in) + dropped(&c->out)));
    json_object_set_new(o, "in", counters(&c->in));
    json_object_set_new(o, "out", counters(&c->out));
    json_array_append_new(ctx, o);
}

static json_t *totals(const struct role_esp *r)
{
    struct sl_esp_stats e;
    struct esp_io_stats i;
    sl_esp_stats(r->e, &e);
    esp_io_stats(r->io, &i);
    const struct {
        const char *name;
        uint64_t v;
    } rows[] = {
        { "children", e.children },
        { "tun_read", i.tun_read },
        { "tun_written", i.tun_written },
        { "wire_received", i.wire_received },
        { "wire_sent", i.wire_sent },
        { "calls_received", i.calls_received },
        { "calls_sent", i.calls_sent },
        { "keepalives", i.keepalives },
        { "in_short", e.in_short },
        { "in_no_sa", e.in_no_sa },
        { "in_dummy", e.in_dummy },
        { "in_truncated", i.truncated },
        { "in_kernel_dropped", i.kernel_dropped },
        { "in_tun_dropped", i.tun_dropped },
        { "out_malformed", e.out_malformed + i.tun_bad },
        { "out_no_policy", e.out_no_policy },
        { "out_shunt_drop", e.out_shunt_drop },
        { "out_bypass_dropped", i.bypass_dropped },
        { "out_wire_dropped", i.wire_dropped },
        { "out_overload_dropped", i.overload_dropped },
        { "fragmented", e.fragmented },
        { "mss_clamped", e.mss_clamped },
        { "too_big_sent", e.too_big_sent },
        { "too_big_muted", e.too_big_muted },
    };
    json_t *o = json_object();
    for (size_t k = 0; k < SL_ARRAY_LEN(rows); k++)
        json_object_set_new(o, rows[k].name, num(rows[k].v));
    return o;
}

static void verb_esp(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct role_esp *r = ctx;
    (void)args;
    json_t *result = json_object(), *children = json_array();
    sl_esp_list(r->e, list_child, children);
    json_object_set_new(result, "children", children);
    json_object_set_new(result, "totals", totals(r));
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

static void problem(json_t *list, bool there_is, const char *text, const char *advice)
{
    if (there_is)
        json_array_append_new(list, json_pack("{s:s, s:s}", "text", text, "do", advice));
}

static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct role_esp *r = ctx;
    struct sl_esp_stats e;
    struct esp_io_stats i;
    (void)args;
    sl_esp_stats(r->e, &e);
    esp_io_stats(r->io, &i);
    json_t *result = json_object(), *problems = json_array();
    json_object_set_new(result, "children", num(e.children));
    json_object_set_new(result, "packets_in", num(i.tun_written));
    json_object_set_new(result, "packets_out", num(i.wire_sent));
    problem(problems, r->fds.sock[ESP_UDP4] < 0 && r->fds.sock[ESP_UDP6] < 0,
            "no socket for ESP in UDP", "see the supervisor's log for why it could not be opened");
    problem(problems, i.bypass_dropped > 0,
            "packets that a shunt bypasses were routed into the tunnel and dropped",
            "routing rules cannot tell ICMP types, fragments, and sockets without a source address "
            "of their own: `sealane config check` names such shunts, sealane.conf(5) tells more");
    json_object_set_new(result, "problems", problems);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

static const struct proc_verb verbs[] = {
    { "status", verb_status },
    { "esp", verb_esp },
#ifdef SL_FAULTS
    { "esp.attempt", proc_verb_attempt },
#endif
};

/* ---- start ------------------------------------------------------------------------------------- */
static enum sl_rc datapath(struct role_esp *r, struct sl_err *err)
{
    const struct sl_config *c = r->p->config;
    struct sl_esp_config config = { .rng = &sl_rng_system, .inner_mtu = c->mtu };
    /* a device larger than usual was made for links that are */
    config.outer_mtu = c->mtu > OUTER_MTU - OUTER_OVERHEAD && c->mtu < UINT16_MAX - OUTER_OVERHEAD
                           ? (uint16_t)(c->mtu + OUTER_OVERHEAD)
                           : OUTER_MTU;
    SL_TRY(sl_esp_new(&r->e, &config, err));
    SL_TRY(sl_esp_shunts(r->e, c->shunt, c->shunt_n, err));
    SL_TRY(sl_esp_commit(r->e, err));
    static const char *const names[ESP_SOCK_COUNT] = { "esp4500v4", "esp4500v6", "rawespv4",
                                                       "rawespv6" };
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
        r->fds.sock[s] = proc_fd_take(r->p, names[s]);
    r->fds.tun = proc_fd_take(r->p, "tun");
    if (r->fds.tun < 0)
        return SL_FAIL(err, SL_NOT_FOUND, "no tunnel device was handed over");
    return esp_io_new(&r->io, r->e, &r->fds, err);
}

static enum sl_rc events(struct role_esp *r, struct sl_err *err)
{
    struct event_base *base = r->p->base;
    r->tun = event_new(base, r->fds.tun, EV_READ | EV_PERSIST, on_tun, r);
    r->commit = event_new(base, -1, 0, on_commit, r);
    if (!r->tun || !r->commit || event_add(r->tun, NULL) < 0)
        return SL_FAIL_MEM(err);
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++) {
        struct sock_events *k = &r->sock[s];
        k->r = r;
        if (r->fds.sock[s] < 0)
            continue;
        k->in = event_new(base, r->fds.sock[s], EV_READ | EV_PERSIST, on_readable, k);
        k->out = event_new(base, r->fds.sock[s], EV_WRITE | EV_PERSIST, on_writable, k);
        if (!k->in || !k->out || event_add(k->in, NULL) < 0)
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

static void event_end(struct event *e)
{
    if (e)
        event_free(e);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void end(struct role_esp *r)
{
    event_end(r->tun);
    event_end(r->commit);
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++) {
        event_end(r->sock[s].in);
        event_end(r->sock[s].out);
    }
    esp_io_free(r->io);
    sl_esp_free(r->e);
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
        close_fd(r->fds.sock[s]);
    close_fd(r->fds.tun);
}

int role_esp(struct proc_role *p)
{
    static struct role_esp r;
    struct sl_err err = { 0 };
    r = (struct role_esp){ .p = p, .fds = { .tun = -1, .sock = { -1, -1, -1, -1 } } };
    p->ctx = &r;
    int status = 1;
    if (datapath(&r, &err) == SL_OK && events(&r, &err) == SL_OK) {
        chan_handle(p->link[PROC_IKE], &(struct chan_handler){
                                           .message = on_ike, .linked = on_ike_linked, .ctx = &r });
        proc_control(p, verbs, SL_ARRAY_LEN(verbs));
        proc_ready(p);
        status = proc_run(p);
    } else {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
    }
    end(&r);
    return status;
}
