/*
 * The ike role: the shell around the IKE core (sealane/ike.h). UDP sockets on the ports of IKE, the
 * core's one timer, worker threads for key exchanges; questions to keyring (signatures) and identity
 * (decisions), child SAs to esp, events to identity for the audit record and to the log; and the
 * verbs up, down, rekey, sas and status.
 *
 * Everything but the workers runs in the loop's thread. A worker owns a job from the queue to the
 * list of finished ones. RFC 3948 2.2: on port 4500 a message begins with four zero bytes.
 */
#include "sealane/ike.h"
#include "src/cmd/sealaned/ike_addresses.h"
#include "src/ike/proposal.h"
#include "src/ike/retransmit.h"
#include "src/proc/role.h"

#include "sealane/time.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX    65535
#define BATCH           64 /* datagrams read before the loop looks at its other work */
#define SIGN_MS         10000
#define DECIDE_MS       90000 /* beyond the deadline of any trust section */
#define DOWN_PATIENCE_S 2  /* the peer's time to answer before a command is told that it has not */
#define DOWN_AGAIN_S    20 /* and each time after that; less than a command waits for a line */
#define SHUTDOWN_MS     1500 /* for telling the peers */
#define SOCKETS         4
#define MARKER          4 /* non-ESP marker */

struct role_ike;

struct socket_end {
    struct role_ike *r;
    int fd;
    uint16_t port;
    bool natt, v6;
    struct event *in;
};

struct job {
    struct job *next;
    uint64_t id;
    struct sl_ke_job *ke;
};

/* A question to another process, kept until its answer. */
struct question {
    struct role_ike *r;
    uint64_t id;
};

/* A command that waits for its SL_IKE_DONE. */
struct waiting {
    struct waiting *next;
    struct role_ike *r;
    uint64_t id;
    struct proc_ctl *q; /* NULL: our own, at shutdown */
    /* down: what is said, at first and again, while the peer does not answer */
    struct event *impatience;
    bool to_the_end; /* go on waiting then */
    char connection[SL_NAME_MAX];
};

struct role_ike {
    struct proc_role *p;
    struct sl_ike *ike;
    struct socket_end sock[SOCKETS];
    struct event *timer, *done, *stop, *poll;
    struct ike_addresses *addresses;
    struct waiting *waiting;
    bool stopping;
    uint64_t send_failures;
    uint8_t buf[DATAGRAM_MAX];
    /* workers */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *todo, **todo_last, *finished; /* under lock */
    bool quit;                                /* under lock */
    pthread_t *thread;
    unsigned threads;
};

static void drain(struct role_ike *r);

/* ---- workers ----------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    struct role_ike *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->quit) {
        struct job *j = r->todo;
        if (!j) {
            pthread_cond_wait(&r->wake, &r->lock);
            continue;
        }
        r->todo = j->next;
        if (!r->todo)
            r->todo_last = &r->todo;
        pthread_mutex_unlock(&r->lock);
        sl_ke_job_run(j->ke);
        pthread_mutex_lock(&r->lock);
        j->next = r->finished;
        r->finished = j;
        event_active(r->done, 0, 0);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void on_finished(evutil_socket_t fd, short what, void *ctx)
{
    struct role_ike *r = ctx;
    (void)fd;
    (void)what;
    pthread_mutex_lock(&r->lock);
    struct job *j = r->finished;
    r->finished = NULL;
    pthread_mutex_unlock(&r->lock);
    while (j) {
        struct job *next = j->next;
        sl_ike_answer_ke(r->ike, sl_clock_mono_ns(), j->id, j->ke);
        free(j);
        j = next;
        drain(r);
    }
}

static void ask_ke(struct role_ike *r, const struct sl_ike_action *a)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j) {
        a->job->rc = SL_NO_MEMORY;
        sl_ike_answer_ke(r->ike, sl_clock_mono_ns(), a->id, a->job);
        return;
    }
    j->id = a->id;
    j->ke = a->job;
    pthread_mutex_lock(&r->lock);
    *r->todo_last = j;
    r->todo_last = &j->next;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

static enum sl_rc start_workers(struct role_ike *r, struct sl_err *err)
{
    const unsigned n = r->p->config->worker_threads;
    r->thread = calloc(n, sizeof(*r->thread));
    if (!r->thread)
        return SL_FAIL_MEM(err);
    for (; r->threads < n; r->threads++) {
        const int e = pthread_create(&r->thread[r->threads], NULL, work, r);
        if (e)
            return SL_FAIL(err, SL_UNAVAILABLE, "worker thread: %s", strerror(e));
    }
    return SL_OK;
}

static void free_jobs(struct job *j)
{
    while (j) {
        struct job *next = j->next;
        sl_ke_job_free(j->ke);
        free(j);
        j = next;
    }
}

static void stop_workers(struct role_ike *r)
{
    pthread_mutex_lock(&r->lock);
    r->quit = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->threads; i++)
        pthread_join(r->thread[i], NULL);
    free(r->thread);
    free_jobs(r->todo);
    free_jobs(r->finished);
}

/* ---- sockets ----------------------------------------------------------------------------------- */

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
    drain(r);
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
static void send_datagram(struct role_ike *r, const struct sl_ike_action *a)
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

/* ---- questions --------------------------------------------------------------------------------- */

static struct question *new_question(struct role_ike *r, uint64_t id)
{
    struct question *q = calloc(1, sizeof(*q));
    if (q) {
        q->r = r;
        q->id = id;
    }
    return q;
}

static void on_signature(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct role_ike *r = q->r;
    static struct msg_key_reply reply; /* large; loop thread only */
    struct sl_bytes sig = { 0 };
    if (rc == SL_OK &&
        (!m || m->type != MSG_KEY_REPLY || !msg_read(MSG_KEY_REPLY, &reply, m->body)))
        rc = SL_PROC_MESSAGE;
    else if (rc == SL_OK) {
        rc = reply.rc;
        sig = reply.bytes;
        if (rc != SL_OK)
            sl_error("keyring made no signature: %s: %s", sl_rc_name(rc), reply.text);
    }
    sl_ike_answer_sign(r->ike, sl_clock_mono_ns(), q->id, rc, sig);
    free(q);
    drain(r);
}

static void ask_sign(struct role_ike *r, const struct sl_ike_action *a)
{
    struct sl_err err = { 0 };
    struct question *q = new_question(r, a->id);
    enum sl_rc rc = q ? SL_OK : SL_FAIL_MEM(&err);
    if (q && a->sig == SL_SIG_NONE) {
        struct msg_key_psk_auth m = { .prf = a->prf, .octets = a->data };
        (void)snprintf(m.name, sizeof(m.name), "%s", a->key);
        rc = msg_ask(r->p->link[PROC_KEYRING], MSG_KEY_PSK_AUTH, &m, SIGN_MS, on_signature, q, NULL,
                     &err);
    } else if (q) {
        struct msg_key_sign m = { .sig = a->sig, .data = a->data };
        (void)snprintf(m.name, sizeof(m.name), "%s", a->key);
        rc = msg_ask(r->p->link[PROC_KEYRING], MSG_KEY_SIGN, &m, SIGN_MS, on_signature, q, NULL,
                     &err);
    }
    if (rc == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "keyring cannot be asked for a signature");
    free(q);
    sl_ike_answer_sign(r->ike, sl_clock_mono_ns(), a->id, rc, sl_bytes(NULL, 0));
}

static void no_verdict(struct role_ike *r, uint64_t id, enum sl_rc rc)
{
    static struct sl_verdict v; /* large; loop thread only */
    v = (struct sl_verdict){ .rc = rc };
    (void)snprintf(v.text, sizeof(v.text), "no decision: %s", sl_rc_text(rc));
    sl_ike_answer_decision(r->ike, sl_clock_mono_ns(), id, &v);
}

static void on_verdict(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct role_ike *r = q->r;
    static struct sl_verdict v;
    if (rc == SL_OK && (!m || m->type != MSG_VERDICT || !msg_read(MSG_VERDICT, &v, m->body)))
        rc = SL_PROC_MESSAGE;
    if (rc == SL_OK)
        sl_ike_answer_decision(r->ike, sl_clock_mono_ns(), q->id, &v);
    else
        no_verdict(r, q->id, rc);
    free(q);
    drain(r);
}

static void ask_decision(struct role_ike *r, const struct sl_ike_action *a)
{
    struct sl_err err = { 0 };
    struct question *q = new_question(r, a->id);
    const enum sl_rc rc = q ? msg_ask(r->p->link[PROC_IDENTITY], MSG_DECIDE, a->ask, DECIDE_MS,
                                      on_verdict, q, NULL, &err)
                            : SL_FAIL_MEM(&err);
    if (rc == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "identity cannot be asked for a decision");
    free(q);
    no_verdict(r, a->id, rc);
}

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

static void waiting_unlink(struct waiting *w)
{
    struct waiting **at = &w->r->waiting;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

static void waiting_free(struct waiting *w)
{
    if (w->impatience)
        event_free(w->impatience);
    free(w);
}

static void on_done(struct role_ike *r, const struct sl_ike_action *a)
{
    struct waiting *w = r->waiting;
    while (w && w->id != a->id)
        w = w->next;
    if (!w)
        return;
    waiting_unlink(w);
    if (w->q) {
        json_t *result = json_pack("{s:s, s:s}", "connection", a->connection, "text", a->text);
        proc_ctl_reply(w->q, a->rc, a->rc == SL_OK ? "" : a->text, result, false);
        json_decref(result);
    }
    waiting_free(w);
}

static void carry_out(struct role_ike *r, const struct sl_ike_action *a)
{
    struct msg_child child = { .child_id = a->child_id };
    switch (a->type) {
    case SL_IKE_SEND:
        send_datagram(r, a);
        break;
    case SL_IKE_ASK_KE:
        ask_ke(r, a);
        break;
    case SL_IKE_ASK_SIGN:
        ask_sign(r, a);
        break;
    case SL_IKE_ASK_DECISION:
        ask_decision(r, a);
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
        on_done(r, a);
        break;
    }
}

static void drain(struct role_ike *r)
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
    drain(r);
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
    drain(r);
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
    drain(r);
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
        drain(r);
    }
    if (k.n)
        sl_warn("esp was replaced: %zu children are rekeyed", k.n);
    free(k.id);
}

/* ---- control ----------------------------------------------------------------------------------- */

/* Starts a command; it may have been answered when this returns. */
static void command(struct role_ike *r, struct proc_ctl *q, const json_t *args,
                    uint64_t (*run)(struct role_ike *r, const char *connection, const char *child,
                                    const json_t *args),
                    event_callback_fn on_impatience)
{
    const char *connection = json_string_value(json_object_get(args, "connection"));
    const char *child = json_string_value(json_object_get(args, "child"));
    struct sl_err err = { 0 };
    if (!connection || !*connection) {
        (void)SL_FAIL(&err, SL_USAGE, "which connection?");
        proc_ctl_fail(q, &err);
        return;
    }
    struct waiting *w = calloc(1, sizeof(*w));
    if (w && on_impatience)
        w->impatience = event_new(r->p->base, -1, 0, on_impatience, w);
    const uint64_t id = w && (w->impatience || !on_impatience)
                            ? run(r, connection, child && *child ? child : NULL, args)
                            : 0;
    if (!id) {
        if (w)
            waiting_free(w);
        (void)SL_FAIL_MEM(&err);
        proc_ctl_fail(q, &err);
        return;
    }
    w->r = r;
    w->id = id;
    w->q = q;
    w->to_the_end = json_is_true(json_object_get(args, "wait"));
    (void)snprintf(w->connection, sizeof(w->connection), "%s", connection);
    w->next = r->waiting;
    r->waiting = w;
    if (w->impatience)
        event_add(w->impatience, &(struct timeval){ .tv_sec = DOWN_PATIENCE_S });
    drain(r);
}

static int64_t tried_s(const struct role_ike *r, const char *connection)
{
    for (size_t i = 0; i < r->p->config->connection_n; i++) {
        const struct sl_conf_connection *c = &r->p->config->connection[i];
        if (strcmp(c->name, connection) == 0)
            return (ike_retry_span_ms(&(struct ike_retry){ .first_ms = c->retransmit_ms,
                                                           .tries = c->retransmit_tries }) +
                    999) /
                   1000;
    }
    return 0;
}

/* The peer has not answered the Delete yet, and may be gone. */
static void on_down_impatience(evutil_socket_t fd, short what, void *ctx)
{
    struct waiting *w = ctx;
    char text[SL_ERR_TEXT_MAX];
    (void)fd;
    (void)what;
    (void)snprintf(text, sizeof(text),
                   "the peer has not answered yet: the Delete is sent again, and without an answer "
                   "for about %lld s the SA is removed all the same; `sealane sas` shows it",
                   (long long)tried_s(w->r, w->connection));
    json_t *result =
        json_pack("{s:s, s:s, s:b}", "connection", w->connection, "text", text, "pending", 1);
    proc_ctl_reply(w->q, SL_OK, w->to_the_end ? text : "", result, w->to_the_end);
    json_decref(result);
    if (w->to_the_end) {
        event_add(w->impatience, &(struct timeval){ .tv_sec = DOWN_AGAIN_S });
        return;
    }
    waiting_unlink(w);
    waiting_free(w);
}

static uint64_t run_up(struct role_ike *r, const char *connection, const char *child,
                       const json_t *args)
{
    (void)args;
    return sl_ike_up(r->ike, sl_clock_mono_ns(), connection, child);
}

static uint64_t run_down(struct role_ike *r, const char *connection, const char *child,
                         const json_t *args)
{
    (void)args;
    return sl_ike_down(r->ike, sl_clock_mono_ns(), connection, child);
}

static uint64_t run_rekey(struct role_ike *r, const char *connection, const char *child,
                          const json_t *args)
{
    return sl_ike_rekey(r->ike, sl_clock_mono_ns(), connection, child,
                        json_is_true(json_object_get(args, "ike")));
}

static void verb_up(void *ctx, struct proc_ctl *q, const json_t *args)
{
    command(ctx, q, args, run_up, NULL);
}

static void verb_down(void *ctx, struct proc_ctl *q, const json_t *args)
{
    command(ctx, q, args, run_down, on_down_impatience);
}

static void verb_rekey(void *ctx, struct proc_ctl *q, const json_t *args)
{
    command(ctx, q, args, run_rekey, NULL);
}

struct listing {
    json_t *sas, *last; /* last: the SA whose children follow */
    const char *only;   /* connection; NULL: all */
    int64_t now_ns;
};

static json_t *num(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static void put_times(json_t *o, int64_t now_ns, int64_t established_ns, int64_t rekey_ns)
{
    if (established_ns)
        json_object_set_new(o, "age_s", json_integer((now_ns - established_ns) / SL_NS_PER_S));
    if (rekey_ns)
        json_object_set_new(
            o, "rekey_in_s",
            json_integer(rekey_ns > now_ns ? (rekey_ns - now_ns) / SL_NS_PER_S : 0));
}

static void list_ike(void *ctx, const struct sl_ike_sa_info *i)
{
    struct listing *l = ctx;
    l->last = NULL;
    if (l->only && strcmp(l->only, i->connection) != 0)
        return;
    char text[SL_ID_TEXT], ep[SL_ENDPOINT_TEXT], suite[SL_SUITE_TEXT], prf[IKE_TEXT], spi[17];
    const bool agreed = i->suite.encr != SL_ENCR_NONE;
    json_t *o = json_object();
    json_object_set_new(o, "id", num(i->id));
    json_object_set_new(o, "connection", json_string(i->connection));
    json_object_set_new(o, "state", json_string(i->state));
    json_object_set_new(o, "initiator", json_boolean(i->initiator));
    json_object_set_new(o, "local", json_string(sl_endpoint_text(ep, &i->local)));
    json_object_set_new(o, "remote", json_string(sl_endpoint_text(ep, &i->remote)));
    if (i->id_local.type)
        json_object_set_new(o, "id_local", json_string(sl_id_text(text, &i->id_local)));
    if (i->id_remote.type)
        json_object_set_new(o, "id_remote", json_string(sl_id_text(text, &i->id_remote)));
    json_object_set_new(o, "spi_i", json_string(sl_hex(spi, sizeof(spi), sl_bytes(i->spi_i, 8))));
    json_object_set_new(o, "spi_r", json_string(sl_hex(spi, sizeof(spi), sl_bytes(i->spi_r, 8))));
    if (agreed) {
        const struct ike_transform t = { .type = IKE_T_PRF, .id = (uint16_t)i->prf };
        json_object_set_new(o, "suite", json_string(sl_suite_text(suite, &i->suite)));
        json_object_set_new(o, "prf", json_string(ike_transform_text(prf, &t)));
        json_object_set_new(o, "ke", json_string(sl_ke_text(i->ke)));
    }
    json_object_set_new(o, "natt", json_boolean(i->natt));
    json_object_set_new(o, "mobike", json_boolean(i->mobike));
    put_times(o, l->now_ns, i->established_ns, i->rekey_ns);
    if (i->record)
        json_object_set_new(o, "record", num(i->record));
    if (i->tag[0])
        json_object_set_new(o, "tag", json_string(i->tag));
    json_object_set_new(o, "children", json_array());
    json_array_append_new(l->sas, o);
    l->last = o;
}

static json_t *selectors(const struct sl_ts *ts, size_t n)
{
    char text[SL_TS_TEXT];
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(sl_ts_text(text, &ts[i])));
    return a;
}

static void list_child(void *ctx, const struct sl_child_info *c)
{
    struct listing *l = ctx;
    char suite[SL_SUITE_TEXT], spi[16];
    if (!l->last)
        return;
    json_t *o = json_object();
    json_object_set_new(o, "id", num(c->id));
    json_object_set_new(o, "name", json_string(c->name));
    json_object_set_new(o, "state", json_string(c->state));
    (void)snprintf(spi, sizeof(spi), "%08x", c->spi_in);
    json_object_set_new(o, "spi_in", json_string(spi));
    if (c->established_ns) {
        (void)snprintf(spi, sizeof(spi), "%08x", c->spi_out);
        json_object_set_new(o, "spi_out", json_string(spi));
        json_object_set_new(o, "suite", json_string(sl_suite_text(suite, &c->suite)));
        json_object_set_new(o, "esn", json_boolean(c->esn));
        json_object_set_new(o, "udp_encap", json_boolean(c->udp_encap));
    }
    json_object_set_new(o, "ts_local", selectors(c->ts_local, c->ts_local_n));
    json_object_set_new(o, "ts_remote", selectors(c->ts_remote, c->ts_remote_n));
    put_times(o, l->now_ns, c->established_ns, c->rekey_ns);
    json_array_append_new(json_object_get(l->last, "children"), o);
}

static void verb_sas(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct role_ike *r = ctx;
    struct listing l = { .sas = json_array(), .now_ns = sl_clock_mono_ns() };
    l.only = json_string_value(json_object_get(args, "connection"));
    if (l.only && !*l.only)
        l.only = NULL;
    sl_ike_list(r->ike, list_ike, list_child, &l);
    json_t *result = json_object();
    json_object_set_new(result, "sas", l.sas);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

static void list_missing(void *ctx, const char *connection, const char *child, enum sl_rc rc,
                         const char *text, int64_t again_ns)
{
    json_t *problems = ctx;
    char what[SL_ERR_TEXT_MAX + 256], advice[192];
    const int64_t wait = again_ns - sl_clock_mono_ns();
    if (rc == SL_OK)
        (void)snprintf(what, sizeof(what), "connection %s: child %s is not up yet", connection,
                       child);
    else
        (void)snprintf(what, sizeof(what), "connection %s: child %s is not up: %s: %s", connection,
                       child, sl_rc_name(rc), text);
    (void)snprintf(advice, sizeof(advice),
                   "it is tried again in %lld s; see `sealane help reasons` or try at once with "
                   "`sealane up %s`",
                   (long long)(wait > 0 ? wait / SL_NS_PER_S : 0), connection);
    json_array_append_new(problems, json_pack("{s:s, s:s}", "text", what, "do", advice));
}

static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct role_ike *r = ctx;
    struct sl_ike_stats s;
    (void)args;
    sl_ike_stats(r->ike, &s);
    json_t *problems = json_array(), *result = json_object();
    const struct {
        const char *name;
        uint64_t v;
    } rows[] = {
        { "ike_sas", s.ike_sas },
        { "child_sas", s.child_sas },
        { "half_open", s.half_open },
        { "packets_in", s.packets_in },
        { "packets_out", s.packets_out },
        { "retransmits", s.retransmits },
        { "malformed", s.malformed },
        { "integrity", s.integrity },
        { "cookies_sent", s.cookies_sent },
        { "refused", s.refused },
        { "dropped_limit", s.dropped_limit },
        { "unknown_spi", s.unknown_spi },
        { "send_failures", r->send_failures },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        json_object_set_new(result, rows[i].name, num(rows[i].v));
    sl_ike_missing(r->ike, list_missing, problems);
    if (r->sock[0].fd < 0 && r->sock[2].fd < 0)
        json_array_append_new(problems,
                              json_pack("{s:s, s:s}", "text", "no socket for IKE", "do",
                                        "see the supervisor's log for why it could not be opened"));
    json_object_set_new(result, "problems", problems);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

#ifdef SL_FAULTS
static void verb_attempt(void *ctx, struct proc_ctl *q, const json_t *args)
{
    (void)ctx;
    json_t *result = proc_attempt(args);
    proc_ctl_reply(q, result ? SL_OK : SL_USAGE, result ? "" : "nothing known to try", result,
                   false);
    json_decref(result);
}
#endif

static const struct proc_verb verbs[] = {
    { "up", verb_up },
    { "down", verb_down },
    { "rekey", verb_rekey },
    { "sas", verb_sas },
    { "status", verb_status },
#ifdef SL_FAULTS
    { "ike.attempt", verb_attempt },
#endif
};

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
        drain(r);
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

static enum sl_rc open_sockets(struct role_ike *r, struct sl_err *err)
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

static void on_addresses(void *ctx, const struct sl_addr *v, size_t n)
{
    struct role_ike *r = ctx;
    sl_ike_addresses(r->ike, sl_clock_mono_ns(), v, n);
    drain(r);
}

static enum sl_rc begin(struct role_ike *r, struct sl_err *err)
{
    SL_TRY(sl_ike_new(&r->ike, r->p->config, &sl_rng_system, sl_clock_mono_ns(), err));
    r->timer = event_new(r->p->base, -1, 0, on_timer, r);
    r->done = event_new(r->p->base, -1, 0, on_finished, r);
    if (!r->timer || !r->done)
        return SL_FAIL_MEM(err);
    SL_TRY(start_workers(r, err));
    const int rtnl = proc_fd_take(r->p, "rtnl");
    if (rtnl >= 0)
        SL_TRY(ike_addresses_new(&r->addresses, r->p->base, rtnl, on_addresses, r, err));
    return open_sockets(r, err);
}

static void event_end(struct event *e)
{
    if (e)
        event_free(e);
}

static void end(struct role_ike *r)
{
    stop_workers(r);
    ike_addresses_free(r->addresses);
    event_end(r->timer);
    event_end(r->done);
    event_end(r->stop);
    event_end(r->poll);
    for (unsigned i = 0; i < SOCKETS; i++) {
        event_end(r->sock[i].in);
        if (r->sock[i].fd >= 0)
            close(r->sock[i].fd);
    }
    while (r->waiting) {
        struct waiting *next = r->waiting->next;
        if (r->waiting->q)
            proc_ctl_reply(r->waiting->q, SL_CANCELLED, "the daemon ends", NULL, false);
        waiting_free(r->waiting);
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
        chan_handle(p->link[PROC_IDENTITY],
                    &(struct chan_handler){ .message = on_identity, .ctx = &r });
        chan_handle(p->link[PROC_ESP], &(struct chan_handler){
                                           .message = on_esp, .linked = on_esp_linked, .ctx = &r });
        proc_control(p, verbs, SL_ARRAY_LEN(verbs));
        proc_ready(p);
        sl_ike_tick(r.ike, sl_clock_mono_ns());
        drain(&r);
        status = proc_run(p);
    } else {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
    }
    end(&r);
    return status;
}
