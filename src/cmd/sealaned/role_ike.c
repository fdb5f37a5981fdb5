/*
 * The ike role: the shell around the IKE core (sealane/ike.h). UDP sockets on the ports of IKE, the
 * core's one timer, worker threads for key exchanges; questions to keyring (signatures) and identity
 * (decisions), child SAs to esp, events to identity for the audit record and to the log; and the
 * verbs up, down, rekey, sas and status. How the work is divided: role_ike.h.
 */
#include "src/cmd/sealaned/role_ike.h"

#include "src/cmd/sealaned/ike_addresses.h"

#include "sealane/time.h"

#include <stdlib.h>
#include <string.h>

#define SHUTDOWN_MS 1500 /* for telling the peers */

/* ---- what the core wants done ------------------------------------------------------------------ */

static bool tell(struct role_ike *r, enum proc_role_id to, enum msg_type type, const void *m)
{
    struct sl_err err = { 0 };
    if (msg_send(r->p->link[to], type, m, &err) == SL_OK)
        return true;
    if (err.rc != SL_PROC_GONE)
        sl_log_err(SL_LOG_ERROR, &err, "%s to %s", msg_name(type), proc_role_name(to));
    return false;
}

static void log_event(const struct sl_ike_action *a)
{
    enum sl_log_level level = SL_LOG_INFO;
    char peer[SL_ID_TEXT], remote[SL_ENDPOINT_TEXT];
    if (a->event == SL_IKE_EV_STORY)
        level = a->rc == SL_OK ? SL_LOG_DEBUG : SL_LOG_INFO;
    else if (a->event == SL_IKE_EV_IKE_FAILED || a->event == SL_IKE_EV_CHILD_FAILED)
        level = SL_LOG_WARN;
    if (sl_log_level_get() < level)
        return;
    sl_log(level, "%s %s%s%s sa=%llu%s%s%s%s%s%s: %s", sl_ike_event_name(a->event), a->connection,
           *a->child_name ? "/" : "", a->child_name, (unsigned long long)a->ike_sa,
           a->peer_id ? " peer=" : "", a->peer_id ? sl_id_text(peer, a->peer_id) : "",
           a->to.addr.family ? " at=" : "",
           a->to.addr.family ? sl_endpoint_text(remote, &a->to) : "",
           a->rc != SL_OK ? " reason=" : "", a->rc != SL_OK ? sl_rc_name(a->rc) : "", a->text);
}

static void on_event(struct role_ike *r, const struct sl_ike_action *a)
{
    static struct msg_sa_event m; /* large; loop thread only */
    log_event(a);
    if (a->event == SL_IKE_EV_STORY)
        return;
    m = (struct msg_sa_event){
        .event = a->event, .rc = a->rc, .ike_sa = a->ike_sa, .child_id = a->child_id
    };
    (void)snprintf(m.connection, sizeof(m.connection), "%s", a->connection);
    (void)snprintf(m.child, sizeof(m.child), "%s", a->child_name);
    (void)snprintf(m.text, sizeof(m.text), "%s", a->text);
    if (a->peer_id)
        m.peer = *a->peer_id;
    m.remote = a->to;
    (void)tell(r, PROC_IDENTITY, MSG_SA_EVENT, &m);
}

static void carry_out(struct role_ike *r, const struct sl_ike_action *a)
{
    struct msg_child child = { .child_id = a->child_id };
    switch (a->type) {
    case SL_IKE_SEND:
        ike_send_datagram(r, a);
        break;
    case SL_IKE_ASK_KE:
        ike_ask_ke(r, a);
        break;
    case SL_IKE_ASK_SIGN:
        ike_ask_sign(r, a);
        break;
    case SL_IKE_ASK_DECISION:
        ike_ask_decision(r, a);
        break;
    case SL_IKE_CHILD_ADD: {
        const uint64_t id = a->child_id;
        if (!tell(r, PROC_ESP, MSG_CHILD_ADD, a->child))
            sl_ike_child_install_failed(r->ike, sl_clock_mono_ns(), id, SL_UNAVAILABLE);
        break;
    }
    case SL_IKE_CHILD_OUTBOUND:
        (void)tell(r, PROC_ESP, MSG_CHILD_OUTBOUND, &child);
        break;
    case SL_IKE_CHILD_DEL:
        (void)tell(r, PROC_ESP, MSG_CHILD_DEL, &child);
        break;
    case SL_IKE_CHILD_MOVE: {
        struct msg_child_move m = { .child_id = a->child_id,
                                    .local = a->child->local,
                                    .remote = a->child->remote,
                                    .udp_encap = a->child->udp_encap };
        (void)tell(r, PROC_ESP, MSG_CHILD_MOVE, &m);
        break;
    }
    case SL_IKE_EVENT:
        on_event(r, a);
        break;
    case SL_IKE_DONE:
        ike_command_done(r, a);
        break;
    }
}

void ike_drain(struct role_ike *r)
{
    struct sl_ike_action a;
    while (sl_ike_next(r->ike, &a))
        carry_out(r, &a);
    const int64_t at = sl_ike_next_timer_ns(r->ike);
    if (at == INT64_MAX) {
        event_del(r->timer);
        return;
    }
    int64_t wait = at - sl_clock_mono_ns();
    if (wait < 0)
        wait = 0;
    event_add(r->timer, &(struct timeval){ .tv_sec = wait / SL_NS_PER_S,
                                           .tv_usec = wait % SL_NS_PER_S / 1000 + 1 });
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct role_ike *r = ctx;
    (void)fd;
    (void)what;
    sl_ike_tick(r->ike, sl_clock_mono_ns());
    ike_drain(r);
}

/* ---- from identity and esp --------------------------------------------------------------------- */

static void malformed(const struct chan *c, const struct chan_msg *m)
{
    sl_error("%s from %s is malformed or not for ike: PROC_MESSAGE", msg_name(m->type),
             chan_peer(c));
}

static void on_identity(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct role_ike *r = ctx;
    struct sl_err err = { 0 };
    if (m->type == MSG_CREDENTIAL) {
        struct msg_credential x;
        if (!msg_read(MSG_CREDENTIAL, &x, m->body))
            malformed(c, m);
        else if (sl_ike_credential(r->ike, x.identity, x.key, x.chain, x.chain_n, &err) != SL_OK)
            sl_log_err(SL_LOG_ERROR, &err, "certificate of identity %s", x.identity);
    } else if (m->type == MSG_STAPLES) {
        struct msg_staples x;
        if (!msg_read(MSG_STAPLES, &x, m->body))
            malformed(c, m);
        else if (sl_ike_staples(r->ike, sl_clock_mono_ns(), x.identity, x.staple, x.staple_n,
                                &err) != SL_OK)
            sl_log_err(SL_LOG_ERROR, &err, "OCSP responses of identity %s", x.identity);
    } else if (m->type == MSG_ANCHORS) {
        struct msg_anchors x;
        if (!msg_read(MSG_ANCHORS, &x, m->body))
            malformed(c, m);
        else if (sl_ike_anchors(r->ike, x.trust, x.hashes, &err) != SL_OK)
            sl_log_err(SL_LOG_ERROR, &err, "anchors of %s", x.trust);
    } else if (m->type == MSG_END_SA) {
        struct msg_end_sa x;
        if (!msg_read(MSG_END_SA, &x, m->body))
            malformed(c, m);
        else
            sl_ike_end(r->ike, sl_clock_mono_ns(), x.ike_sa, x.rc);
    } else {
        malformed(c, m);
    }
    sl_ike_tick(r->ike, sl_clock_mono_ns());
    ike_drain(r);
}

/* A new identity does not know which addresses are in use. */
static void tell_lease(void *ctx, const struct sl_ike_sa_info *i)
{
    static struct msg_lease m; /* large; loop thread only */
    if (!i->vip || i->vip_ours)
        return;
    m = (struct msg_lease){ .ike_sa = i->id,
                            .id = i->id_remote,
                            .addr = { i->vip->addr[0], i->vip->addr[1] } };
    (void)tell(ctx, PROC_IDENTITY, MSG_LEASE, &m);
}

static void on_identity_linked(void *ctx, struct chan *c, bool linked)
{
    struct role_ike *r = ctx;
    (void)c;
    if (linked)
        sl_ike_list(r->ike, tell_lease, NULL, r);
}

static void on_esp(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct role_ike *r = ctx;
    const int64_t now = sl_clock_mono_ns();
    struct msg_child x = { 0 };
    struct msg_child_move heard;
    struct msg_child_failed f;
    if (m->type == MSG_CHILD_FAILED) {
        if (!msg_read(MSG_CHILD_FAILED, &f, m->body))
            malformed(c, m);
        else
            sl_ike_child_install_failed(r->ike, now, f.child_id, f.rc);
    } else if (m->type == MSG_CHILD_SOFT && msg_read(MSG_CHILD_SOFT, &x, m->body)) {
        sl_ike_child_soft(r->ike, now, x.child_id);
    } else if (m->type == MSG_CHILD_HARD && msg_read(MSG_CHILD_HARD, &x, m->body)) {
        sl_ike_child_hard(r->ike, now, x.child_id);
    } else if (m->type == MSG_CHILD_SEEN && msg_read(MSG_CHILD_SEEN, &x, m->body)) {
        sl_ike_child_seen(r->ike, now, x.child_id);
    } else if (m->type == MSG_CHILD_HEARD && msg_read(MSG_CHILD_HEARD, &heard, m->body)) {
        sl_ike_child_heard(r->ike, now, heard.child_id, &heard.remote);
    } else {
        malformed(c, m);
    }
    ike_drain(r);
}

struct children {
    uint64_t *id;
    size_t n, cap;
};

static void collect(void *ctx, const struct sl_child_info *c)
{
    struct children *k = ctx;
    if (k->n < k->cap)
        k->id[k->n++] = c->id;
}

/* A new esp has none of the children; each gets a successor, keys and all. */
static void on_esp_linked(void *ctx, struct chan *c, bool linked)
{
    struct role_ike *r = ctx;
    struct sl_ike_stats stats;
    (void)c;
    if (!linked)
        return;
    sl_ike_stats(r->ike, &stats);
    struct children k = { .cap = stats.child_sas };
    k.id = calloc(k.cap + 1, sizeof(*k.id));
    if (!k.id)
        return;
    sl_ike_list(r->ike, NULL, collect, &k);
    for (size_t i = 0; i < k.n; i++) {
        sl_ike_child_soft(r->ike, sl_clock_mono_ns(), k.id[i]);
        ike_drain(r);
    }
    if (k.n)
        sl_warn("esp was replaced: %zu children are rekeyed", k.n);
    free(k.id);
}

/* ---- start and end ----------------------------------------------------------------------------- */

static void stop_when_told(struct role_ike *r)
{
    if (r->stopping && !r->waiting)
        proc_stop(r->p, 0);
}

static void on_stop(evutil_socket_t fd, short what, void *ctx)
{
    struct role_ike *r = ctx;
    (void)fd;
    (void)what;
    proc_stop(r->p, 0);
}

static void on_poll(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    stop_when_told(ctx);
}

/* The peers are told, but not waited for long. */
static void on_shutdown(struct proc_role *p, void *ctx)
{
    struct role_ike *r = ctx;
    r->stopping = true;
    for (size_t i = 0; i < p->config->connection_n; i++) {
        struct waiting *w = calloc(1, sizeof(*w));
        if (!w)
            break;
        w->r = r;
        w->id = sl_ike_down(r->ike, sl_clock_mono_ns(), p->config->connection[i].name, NULL);
        w->next = r->waiting;
        r->waiting = w;
        ike_drain(r);
    }
    r->stop = event_new(p->base, -1, 0, on_stop, r);
    struct event *poll = event_new(p->base, -1, EV_PERSIST, on_poll, r);
    if (!r->stop || !poll) {
        proc_stop(p, 0);
        return;
    }
    event_add(r->stop, &(struct timeval){ .tv_sec = SHUTDOWN_MS / 1000,
                                          .tv_usec = SHUTDOWN_MS % 1000 * 1000 });
    event_add(poll, &(struct timeval){ .tv_usec = 20000 });
    r->poll = poll;
    stop_when_told(r);
}

static void on_addresses(void *ctx, const struct sl_addr *v, size_t n)
{
    struct role_ike *r = ctx;
    sl_ike_addresses(r->ike, sl_clock_mono_ns(), v, n);
    ike_drain(r);
}

static enum sl_rc begin(struct role_ike *r, struct sl_err *err)
{
    SL_TRY(sl_ike_new(&r->ike, r->p->config, &sl_rng_system, sl_clock_mono_ns(), err));
    r->timer = event_new(r->p->base, -1, 0, on_timer, r);
    r->done = event_new(r->p->base, -1, 0, ike_on_finished, r);
    if (!r->timer || !r->done)
        return SL_FAIL_MEM(err);
    SL_TRY(ike_workers_start(r, err));
    const int rtnl = proc_fd_take(r->p, "rtnl");
    if (rtnl >= 0)
        SL_TRY(ike_addresses_new(&r->addresses, r->p->base, rtnl, on_addresses, r, err));
    return ike_sockets_open(r, err);
}

static void event_end(struct event *e)
{
    if (e)
        event_free(e);
}

static void end(struct role_ike *r)
{
    ike_workers_stop(r);
    ike_addresses_free(r->addresses);
    event_end(r->timer);
    event_end(r->done);
    event_end(r->stop);
    event_end(r->poll);
    ike_sockets_close(r);
    while (r->waiting) {
        struct waiting *next = r->waiting->next;
        if (r->waiting->q)
            proc_ctl_reply(r->waiting->q, SL_CANCELLED, "the daemon ends", NULL, false);
        ike_waiting_free(r->waiting);
        r->waiting = next;
    }
    sl_ike_free(r->ike);
}

int role_ike(struct proc_role *p)
{
    static struct role_ike r;
    struct sl_err err = { 0 };
    r = (struct role_ike){ .p = p };
    r.todo_last = &r.todo;
    for (unsigned i = 0; i < SOCKETS; i++)
        r.sock[i].fd = -1;
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.wake, NULL);
    p->ctx = &r;
    p->on_shutdown = on_shutdown;
    int status = 1;
    if (begin(&r, &err) == SL_OK) {
        chan_handle(p->link[PROC_IDENTITY], &(struct chan_handler){ .message = on_identity,
                                                                    .linked = on_identity_linked,
                                                                    .ctx = &r });
        chan_handle(p->link[PROC_ESP], &(struct chan_handler){
                                           .message = on_esp, .linked = on_esp_linked, .ctx = &r });
        proc_control(p, ike_verbs, ike_verbs_n);
        proc_ready(p);
        sl_ike_tick(r.ike, sl_clock_mono_ns());
        ike_drain(&r);
        status = proc_run(p);
    } else {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
    }
    end(&r);
    return status;
}
