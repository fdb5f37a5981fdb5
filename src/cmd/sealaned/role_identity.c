/*
 * The identity process: who is this peer, and may it in? It runs the decider (src/ident), whose
 * questions go to fetch and keyring; makes every verdict durable in the audit log before it leaves;
 * asks again about live SAs when what they rest on changes; and looks after our own certificates.
 *
 * Control verbs: status, certs, enroll, policy.test {cert, id, connection}, policy.refresh (fetch
 * revocation data anew and ask again about live SAs), trust.status (freshness of each CA), pool.leases,
 * pool.release.
 */
#include "src/cmd/sealaned/identity.h"

#include "sealane/directory.h"

#include <event2/event.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAVE_EVERY_S  10
#define SWEEP_AT_ONCE 32 /* live SAs asked again before other work gets its turn */

/* Why a decision was started; its context. */
enum asked_by { ASKED_IKE, ASKED_AGAIN, ASKED_TEST };
struct asked {
    struct asked *next, **place; /* IKE: in identity.deciding */
    bool over;                   /* IKE: the SA ended meanwhile */
    enum asked_by by;
    struct identity *id;
    uint64_t request; /* IKE: of the channel */
    uint64_t ike_sa, ike_epoch;
    uint64_t changes;  /* identity.changes when it was asked */
    struct sl_buf ask; /* IKE: as it came, kept when the peer is accepted */
    struct proc_ctl *ctl;
    struct sl_verdict verdict;
};

struct sl_now identity_now(void)
{
    return (struct sl_now){ .mono_ns = sl_clock_mono_ns(), .utc_s = sl_clock_utc_s() };
}

/* ---- live SAs -------------------------------------------------------------------------------------- */
static void asked_free(struct asked *a)
{
    if (a->place) {
        *a->place = a->next;
        if (a->next)
            a->next->place = a->place;
    }
    sl_buf_clear(&a->ask);
    free(a);
}

static void ask_again(struct identity *id, struct live *l)
{
    static struct sl_decision_ask ask; /* large; loop thread only */
    struct sl_err err = { 0 };
    if (l->asking || !msg_read(MSG_DECIDE, &ask, sl_buf_bytes(&l->ask)))
        return;
    struct asked *a = calloc(1, sizeof(*a));
    if (!a)
        return;
    *a = (struct asked){ .by = ASKED_AGAIN,
                         .id = id,
                         .ike_sa = l->ike_sa,
                         .ike_epoch = id->ike_epoch,
                         .changes = id->changes };
    l->asking = true;
    if (sl_decider_start(id->d, &ask, identity_now(), a, NULL, &err) != SL_OK) {
        sl_log_err(SL_LOG_WARN, &err, "IKE SA %llu", (unsigned long long)l->ike_sa);
        l->asking = false;
        asked_free(a);
    }
}

/*
 * An accepted answer was begun before the last change, and may rest on what was there before it: the
 * sweep has passed it by, for it was still under way or not yet on the list.
 */
static void ask_again_if_late(struct identity *id, const struct asked *a, struct live *l)
{
    if (!l || a->changes == id->changes)
        return;
    ask_again(id, l);
    identity_pump(id);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct identity *id = arg;
    for (unsigned i = 0; i < SWEEP_AT_ONCE && id->sweep_at; i++) {
        struct live *l = id->sweep_at;
        id->sweep_at = l->next;
        ask_again(id, l);
    }
    identity_pump(id);
    if (id->sweep_at)
        event_active(id->sweep, EV_TIMEOUT, 0);
}

void identity_ask_again(struct identity *id)
{
    id->changes++;
    id->sweep_at = id->live;
    if (id->sweep_at)
        event_active(id->sweep, EV_TIMEOUT, 0);
}

/* ---- verdicts ---------------------------------------------------------------------------------------- */
static void send_verdict(struct identity *id, uint64_t request, const struct sl_verdict *v)
{
    struct sl_err err = { 0 };
    if (msg_answer(id->p->link[PROC_IKE], request, MSG_VERDICT, v, false, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "verdict for ike");
}

/* The record of a decision for ike is durable, or will not be soon. */
static void on_recorded(void *ctx, enum sl_rc rc, const char *text, uint64_t number)
{
    struct asked *a = ctx;
    struct identity *id = a->id;
    struct sl_verdict *v = &a->verdict;
    v->record = number;
    if (rc != SL_OK) {
        v->record = 0;
        identity_lease_end(id, a->ike_sa);
        v->rc = SL_AUDIT_WRITE; /* no acceptance without its record */
        v->grant = (struct sl_grant){ 0 };
        snprintf(v->text, sizeof(v->text), "%s", text);
    }
    bool there = a->ike_epoch == id->ike_epoch; /* the process that asked still is */
    if (there && a->over)
        identity_lease_end(id, a->ike_sa);
    if (v->rc == SL_OK) {
        id->accepted++;
        if (there && !a->over) {
            identity_live_add(id, a->ike_sa, &a->ask, v->reask_utc_s);
            ask_again_if_late(id, a, identity_live_find(id, a->ike_sa));
        }
    } else {
        id->refused++;
    }
    if (there)
        send_verdict(id, a->request, v);
    asked_free(a);
}

/* The record that an SA ends is durable; when the disk fails the SA ends all the same. */
static void on_end_recorded(void *ctx, enum sl_rc rc, const char *text, uint64_t number)
{
    struct asked *a = ctx;
    struct sl_err err = { 0 };
    struct msg_end_sa m = { .ike_sa = a->ike_sa, .rc = a->verdict.rc };
    (void)rc, (void)text, (void)number;
    a->id->ended++;
    if (a->ike_epoch == a->id->ike_epoch &&
        msg_send(a->id->p->link[PROC_IKE], MSG_END_SA, &m, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "end of IKE SA %llu", (unsigned long long)a->ike_sa);
    asked_free(a);
}

static void log_verdict(const struct sl_decision *x, const char *prefix)
{
    const struct sl_verdict *v = sl_decision_verdict(x);
    const struct sl_decision_ask *ask = sl_decision_ask(x);
    char id[SL_ID_TEXT], ep[SL_ENDPOINT_TEXT];
    sl_log(v->rc == SL_OK ? SL_LOG_INFO : SL_LOG_WARN, "%s%s %s (connection %s, %s): %s: %s",
           prefix, v->rc == SL_OK ? "accept" : "refuse", sl_id_text(id, &ask->id), ask->connection,
           sl_endpoint_text(ep, &ask->remote), sl_rc_name(v->rc), v->text);
}

static void finished_ike(struct identity *id, struct asked *a, const struct sl_decision *x)
{
    struct sl_err err = { 0 };
    id->decided++;
    log_verdict(x, "");
    a->verdict = *sl_decision_verdict(x);
    if (!a->over && a->ike_epoch == id->ike_epoch)
        identity_lease_take(id, sl_decision_ask(x), &a->verdict, sl_decision_evidence(x));
    if (identity_record(id, "decision", sl_decision_evidence(x), on_recorded, a, NULL, &err) !=
        SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "audit log");
        on_recorded(a, SL_AUDIT_WRITE, sl_err_text(&err), 0);
    }
}

/* A live SA was asked about again: only a refusal is news. */
static void finished_again(struct identity *id, struct asked *a, struct sl_decision *x)
{
    struct sl_err err = { 0 };
    const struct sl_verdict *v = sl_decision_verdict(x);
    struct live *l = a->ike_epoch == id->ike_epoch ? identity_live_find(id, a->ike_sa) : NULL;
    if (l)
        l->asking = false;
    if (!l || v->rc == SL_OK) {
        if (l)
            l->reask_utc_s = v->reask_utc_s;
        ask_again_if_late(id, a, l);
        asked_free(a);
        return;
    }
    log_verdict(x, "live SA: ");
    a->verdict = *v;
    json_object_set_new(sl_decision_evidence(x), "again", json_true());
    identity_live_remove(id, l);
    if (identity_record(id, "decision", sl_decision_evidence(x), on_end_recorded, a, NULL, &err) !=
        SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "audit log");
        on_end_recorded(a, SL_AUDIT_WRITE, "", 0);
    }
}

static void finished(struct identity *id, struct sl_decision *x)
{
    struct asked *a = sl_decision_ctx(x);
    switch (a->by) {
    case ASKED_IKE:
        finished_ike(id, a, x);
        return;
    case ASKED_AGAIN:
        finished_again(id, a, x);
        return;
    case ASKED_TEST:
        proc_ctl_reply(a->ctl, SL_OK, "", sl_decision_evidence(x), false);
        asked_free(a);
        return;
    }
}

/* ---- questions --------------------------------------------------------------------------------------- */
struct question {
    struct identity *id;
    uint64_t number;
};

/* A server that is there and does not take such a request, as GET of an OCSP responder. */
static bool not_taken(uint16_t status)
{
    return status == 400 || status == 404 || status == 405 || status == 414 || status == 501;
}

static void on_http(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct sl_decider *d = q->id->d;
    static struct msg_http_reply r; /* large; loop thread only */
    struct sl_bytes none = { 0 };
    char text[128];
    if (rc == SL_OK && !msg_read(MSG_HTTP_REPLY, &r, m->body))
        rc = SL_PROC_MESSAGE;
    if (rc != SL_OK) {
        sl_decider_answer_fetch(d, q->number, rc, "", none, identity_now());
    } else if (r.rc != SL_OK) {
        sl_decider_answer_fetch(d, q->number, r.rc, r.text, none, identity_now());
    } else if (r.status == 304) {
        sl_decider_answer_unchanged(d, q->number, identity_now());
    } else if (r.status != 200 && r.status != 0) {
        snprintf(text, sizeof(text), "the server answers with HTTP status %u", r.status);
        sl_decider_answer_fetch(d, q->number, not_taken(r.status) ? SL_UNSUPPORTED : SL_UNAVAILABLE,
                                text, none, identity_now());
    } else {
        sl_decider_answer_version(d, q->number, r.etag, r.last_modified);
        sl_decider_answer_fetch(d, q->number, SL_OK, "", r.body, identity_now());
    }
    identity_pump(q->id);
    free(q);
}

static bool take_entries(struct sl_entries *out, const struct msg_ldap_reply *r)
{
    struct sl_rd entries = sl_rd(r->entries);
    for (uint32_t i = 0; i < r->entry_n; i++) {
        struct msg_ldap_entry e;
        if (!msg_ldap_entry_read(&e, &entries))
            return false;
        struct sl_entry *to = sl_entries_new(out, e.dn);
        struct sl_rd values = sl_rd(e.values);
        for (uint32_t k = 0; to && k < e.value_n; k++) {
            struct msg_ldap_value v;
            if (!msg_ldap_value_read(&v, &values) || !sl_entry_put(to, v.attr, v.value))
                return false;
        }
        if (!to)
            return false;
    }
    return true;
}

static void on_ldap(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct msg_ldap_reply r;
    struct sl_entries found = { 0 };
    const char *text = "";
    if (rc == SL_OK && !msg_read(MSG_LDAP_REPLY, &r, m->body))
        rc = SL_PROC_MESSAGE;
    if (rc == SL_OK) {
        rc = r.rc;
        text = r.text;
        if ((rc == SL_OK || rc == SL_TOO_LARGE) && !take_entries(&found, &r)) {
            rc = SL_DIR_BAD_ANSWER;
            text = "an entry cannot be taken: a dn with a NUL, or too many attributes or values";
        } else if (rc == SL_TOO_LARGE) {
            /* More than the two that were asked for: ambiguous, whatever they are. */
            rc = SL_OK;
            while (found.n < 2 && sl_entries_new(&found, sl_str("(more entries)")))
                ;
        }
    }
    sl_decider_answer_search(q->id->d, q->number, rc, text, &found, identity_now());
    sl_entries_clear(&found);
    identity_pump(q->id);
    free(q);
}

static void on_psk(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct msg_key_reply r = { 0 };
    if (rc == SL_OK && !msg_read(MSG_KEY_REPLY, &r, m->body))
        rc = SL_PROC_MESSAGE;
    if (rc == SL_OK)
        rc = r.rc;
    sl_decider_answer_psk(q->id->d, q->number, rc, rc == SL_OK ? r.bytes : (struct sl_bytes){ 0 },
                          identity_now());
    identity_pump(q->id);
    free(q);
}

static enum sl_rc ask_http(struct identity *id, const struct sl_question *q, struct question *ctx,
                           struct sl_err *err)
{
    struct msg_http m = { .uri = sl_str(q->uri),
                          .body = q->body,
                          .max_bytes = (uint32_t)q->max_bytes,
                          .deadline_ms = (uint32_t)q->timeout_ms,
                          .follow = true,
                          .configured = !q->from_cert };
    snprintf(m.etag, sizeof(m.etag), "%s", q->etag ? q->etag : "");
    snprintf(m.last_modified, sizeof(m.last_modified), "%s", q->modified ? q->modified : "");
    snprintf(m.method, sizeof(m.method), "%s", q->content_type ? "POST" : "GET");
    snprintf(m.content_type, sizeof(m.content_type), "%s", q->content_type ? q->content_type : "");
    snprintf(m.accept, sizeof(m.accept), "%s", q->accept ? q->accept : "");
    return msg_ask(id->p->link[PROC_FETCH], MSG_HTTP, &m, q->timeout_ms + 500, on_http, ctx, NULL,
                   err);
}

static enum sl_rc ask_ldap(struct identity *id, const struct sl_question *q, struct question *ctx,
                           struct sl_err *err)
{
    static struct msg_ldap m; /* large; loop thread only */
    memset(&m, 0, sizeof(m));
    m.base = sl_str(q->base);
    m.filter = sl_str(q->filter);
    m.scope = !strcmp(q->scope, "base")  ? MSG_LDAP_BASE
              : !strcmp(q->scope, "one") ? MSG_LDAP_ONE
                                         : MSG_LDAP_SUB;
    m.limit = 2;
    m.deadline_ms = (uint32_t)q->timeout_ms;
    snprintf(m.directory, sizeof(m.directory), "%s", q->directory);
    for (size_t i = 0; i < q->attr_n && i < MSG_LDAP_ATTRS_MAX; i++)
        snprintf(m.attr[m.attr_n++], sizeof(m.attr[0]), "%s", q->attr[i]);
    return msg_ask(id->p->link[PROC_FETCH], MSG_LDAP, &m, q->timeout_ms + 500, on_ldap, ctx, NULL,
                   err);
}

static enum sl_rc ask_psk(struct identity *id, const struct sl_question *q, struct question *ctx,
                          struct sl_err *err)
{
    if (q->nonces.len) {
        struct msg_key_psk_v1 v1 = { .prf = q->prf, .nonces = q->nonces, .octets = q->octets };
        snprintf(v1.name, sizeof(v1.name), "%s", q->psk);
        return msg_ask(id->p->link[PROC_KEYRING], MSG_KEY_PSK_V1, &v1, q->timeout_ms, on_psk, ctx,
                       NULL, err);
    }
    struct msg_key_psk_auth m = { .prf = q->prf, .octets = q->octets };
    snprintf(m.name, sizeof(m.name), "%s", q->psk);
    return msg_ask(id->p->link[PROC_KEYRING], MSG_KEY_PSK_AUTH, &m, q->timeout_ms, on_psk, ctx,
                   NULL, err);
}

static void ask(struct identity *id, const struct sl_question *q)
{
    struct sl_err err = { 0 };
    struct question *ctx = calloc(1, sizeof(*ctx));
    const uint64_t number = q->id;
    const enum sl_question_type type = q->type;
    enum sl_rc rc = SL_NO_MEMORY;
    if (ctx) {
        *ctx = (struct question){ id, number };
        rc = type == SL_ASK_FETCH    ? ask_http(id, q, ctx, &err)
             : type == SL_ASK_SEARCH ? ask_ldap(id, q, ctx, &err)
                                     : ask_psk(id, q, ctx, &err);
    }
    if (rc == SL_OK)
        return;
    free(ctx);
    if (type == SL_ASK_FETCH)
        sl_decider_answer_fetch(id->d, number, rc, sl_err_text(&err), (struct sl_bytes){ 0 },
                                identity_now());
    else if (type == SL_ASK_SEARCH)
        sl_decider_answer_search(id->d, number, rc, sl_err_text(&err), NULL, identity_now());
    else
        sl_decider_answer_psk(id->d, number, rc, (struct sl_bytes){ 0 }, identity_now());
}

static void set_timer(struct identity *id)
{
    int64_t at = sl_decider_next_timer_ns(id->d);
    if (at == INT64_MAX) {
        event_del(id->timer);
        return;
    }
    int64_t left = at - sl_clock_mono_ns();
    if (left < 0)
        left = 0;
    /* rounded up, so that the tick finds it due */
    struct timeval tv = { .tv_sec = left / SL_NS_PER_S,
                          .tv_usec = (left % SL_NS_PER_S) / 1000 + 1 };
    event_add(id->timer, &tv);
}

void identity_pump(struct identity *id)
{
    if (id->pumping || !id->d)
        return; /* further up someone is at it, and will see what was added */
    id->pumping = true;
    struct sl_question q;
    struct sl_decision *x;
    bool more = true;
    while (more) {
        more = false;
        while (sl_decider_next(id->d, &q)) {
            ask(id, &q);
            more = true;
        }
        while ((x = sl_decider_finished(id->d))) {
            finished(id, x);
            sl_decision_free(x);
            more = true;
        }
    }
    id->pumping = false;
    if (sl_decider_changed(id->d))
        identity_ask_again(id);
    set_timer(id);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct identity *id = arg;
    sl_decider_tick(id->d, identity_now());
    identity_pump(id);
}

/* ---- ike ------------------------------------------------------------------------------------------------- */
static void on_decide(struct identity *id, const struct chan_msg *m)
{
    static struct sl_decision_ask ask_; /* large; loop thread only */
    struct sl_err err = { 0 };
    struct sl_verdict v = { .rc = SL_PROC_MESSAGE };
    struct asked *a = calloc(1, sizeof(*a));
    enum sl_rc rc = SL_OK;
    if (!a)
        rc = SL_FAIL_MEM(&err);
    if (rc == SL_OK && !msg_read(MSG_DECIDE, &ask_, m->body))
        rc = SL_FAIL(&err, SL_PROC_MESSAGE, "the question from ike is malformed");
    if (rc == SL_OK && a && !sl_buf_put(&a->ask, m->body))
        rc = SL_FAIL_MEM(&err);
    if (rc == SL_OK && ask_.possession == SL_POSSESSION_NOT_ASKED)
        rc = SL_FAIL(&err, SL_PROC_MESSAGE, "a decision for an SA must ask for possession");
    if (rc == SL_OK && a) {
        a->by = ASKED_IKE;
        a->changes = id->changes;
        a->id = id;
        a->request = m->id;
        a->ike_sa = ask_.sa;
        a->ike_epoch = id->ike_epoch;
        a->next = id->deciding;
        a->place = &id->deciding;
        if (a->next)
            a->next->place = &a->next;
        id->deciding = a;
        rc = sl_decider_start(id->d, &ask_, identity_now(), a, NULL, &err);
    }
    if (rc != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "decision");
        v.rc = rc;
        snprintf(v.text, sizeof(v.text), "%s", sl_err_text(&err));
        send_verdict(id, m->id, &v);
        if (a)
            asked_free(a);
    }
    identity_pump(id);
}

/* The new IKE SA of a rekey has the old one's peer; the event's text names the old one. */
static void live_move(struct identity *id, const struct msg_sa_event *e)
{
    static const char words[] = "replaces IKE SA ";
    struct live *l = NULL;
    if (!strncmp(e->text, words, sizeof(words) - 1))
        l = identity_live_find(id, strtoull(e->text + sizeof(words) - 1, NULL, 10));
    if (l) {
        ike_map_del(&id->live_by_ike_sa, &l->by_ike_sa);
        l->ike_sa = e->ike_sa;
        ike_map_put(&id->live_by_ike_sa, &l->by_ike_sa, l->ike_sa);
    }
    if (!strncmp(e->text, words, sizeof(words) - 1))
        identity_lease_move(id, strtoull(e->text + sizeof(words) - 1, NULL, 10), e->ike_sa);
}

/* The peer is gone, perhaps before it was decided about. */
static void sa_over(struct identity *id, uint64_t ike_sa)
{
    identity_live_remove(id, identity_live_find(id, ike_sa));
    identity_lease_end(id, ike_sa);
    for (struct asked *a = id->deciding; a; a = a->next)
        if (a->ike_sa == ike_sa && a->ike_epoch == id->ike_epoch)
            a->over = true;
}

static void on_sa_event(struct identity *id, const struct msg_sa_event *e)
{
    struct sl_err err = { 0 };
    char peer[SL_ID_TEXT], ep[SL_ENDPOINT_TEXT];
    if (e->event == SL_IKE_EV_IKE_DOWN || e->event == SL_IKE_EV_IKE_FAILED)
        sa_over(id, e->ike_sa);
    if (e->event == SL_IKE_EV_IKE_REKEYED)
        live_move(id, e);
    if (e->event == SL_IKE_EV_STORY)
        return;
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:s}", "event", sl_ike_event_name(e->event), "connection",
                  e->connection, "sa", (json_int_t)e->ike_sa, "reason", sl_rc_name(e->rc));
    if (e->child[0])
        json_object_set_new(o, "child", json_string(e->child));
    if (e->child_id)
        json_object_set_new(o, "child_sa", json_integer((json_int_t)e->child_id));
    if (e->peer.type != SL_ID_NONE)
        json_object_set_new(o, "peer", json_string(sl_id_text(peer, &e->peer)));
    if (e->remote.addr.family)
        json_object_set_new(o, "remote", json_string(sl_endpoint_text(ep, &e->remote)));
    json_object_set_new(o, "text", json_string(e->text));
    if (identity_record(id, "sa", o, NULL, NULL, NULL, &err) != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "audit log: SA event");
    json_decref(o);
}

static void on_ike(void *ctx, struct chan *c, struct chan_msg *m)
{
    static struct msg_sa_event e; /* large; loop thread only */
    static struct msg_lease lease;
    (void)c;
    if (m->type == MSG_DECIDE && m->id)
        on_decide(ctx, m);
    else if (m->type == MSG_SA_EVENT && msg_read(MSG_SA_EVENT, &e, m->body))
        on_sa_event(ctx, &e);
    else if (m->type == MSG_LEASE && msg_read(MSG_LEASE, &lease, m->body))
        identity_lease_hold(ctx, &lease);
    else
        sl_error("ike sent %s, which is malformed or not for identity", msg_name(m->type));
}

void identity_send_anchors(struct identity *id)
{
    const struct sl_config *config = id->p->config;
    struct chan *ike = id->p->link[PROC_IKE];
    if (!ike || !chan_is_linked(ike))
        return;
    for (size_t i = 0; i < config->trust_n; i++) {
        struct sl_err err = { 0 };
        SL_AUTO_BUF hashes = { 0 };
        struct msg_anchors m = { 0 };
        snprintf(m.trust, sizeof(m.trust), "%s", config->trust[i].name);
        enum sl_rc rc = sl_decider_anchor_hashes(id->d, config->trust[i].name, &hashes, &err);
        m.hashes = sl_buf_bytes(&hashes);
        if (rc == SL_OK)
            rc = msg_send(ike, MSG_ANCHORS, &m, &err);
        if (rc != SL_OK)
            sl_log_err(SL_LOG_WARN, &err, "anchors of trust %s for ike", config->trust[i].name);
    }
}

/* A new ike process knows nothing, and the SAs of the old one are gone. */
static void ike_linked(void *ctx, struct chan *c, bool linked)
{
    struct identity *id = ctx;
    (void)c;
    if (!linked) {
        id->ike_epoch++;
        identity_live_clear(id);
        identity_lease_end_all(id);
        return;
    }
    identity_send_anchors(id);
    for (size_t i = 0; i < id->p->config->identity_n; i++)
        if (id->own[i].chain.n)
            identity_own_send(id, &id->own[i]);
}

/* ---- authority ---------------------------------------------------------------------------------------------- */
struct audit_request {
    struct identity *id;
    uint64_t request;
};

static void answer_audit(struct identity *id, uint64_t request, enum sl_rc rc, const char *text,
                         uint64_t number)
{
    struct sl_err err = { 0 };
    struct msg_audit_done d = { .rc = rc, .number = rc == SL_OK ? number : 0 };
    snprintf(d.text, sizeof(d.text), "%s", text);
    if (msg_answer(id->p->link[PROC_AUTHORITY], request, MSG_AUDIT_DONE, &d, false, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "answer to the authority");
}

static void on_audit_recorded(void *ctx, enum sl_rc rc, const char *text, uint64_t number)
{
    struct audit_request *a = ctx;
    answer_audit(a->id, a->request, rc, text, number);
    free(a);
}

static void on_audit(struct identity *id, const struct chan_msg *m)
{
    struct msg_audit q;
    struct sl_err err = { 0 };
    json_t *o = NULL;
    struct audit_request *a = NULL;
    if (!msg_read(MSG_AUDIT, &q, m->body))
        (void)SL_FAIL(&err, SL_PROC_MESSAGE, "the record of the authority is malformed");
    else if (!(o = json_loadb((const char *)q.json.p, q.json.len, JSON_REJECT_DUPLICATES, NULL)) ||
             !json_is_object(o))
        (void)SL_FAIL(&err, SL_MALFORMED, "the record of the authority is not a JSON object");
    else if (!(a = calloc(1, sizeof(*a))))
        (void)SL_FAIL_MEM(&err);
    if (err.rc == SL_OK && a) {
        *a = (struct audit_request){ id, m->id };
        if (identity_record(id, q.kind, o, m->id ? on_audit_recorded : NULL, a, NULL, &err) ==
                SL_OK &&
            m->id)
            a = NULL; /* it will be answered */
    }
    if (err.rc != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "audit log: record of the authority");
        if (m->id)
            answer_audit(id, m->id, err.rc, sl_err_text(&err), 0);
    }
    free(a);
    json_decref(o);
}

/* Our own authority revoked something: peers must not live on what was cached. */
static void on_revoked(struct identity *id, const struct msg_revoked *m)
{
    const struct sl_config *config = id->p->config;
    struct sl_err err = { 0 };
    for (size_t i = 0; m->crl.len && i < config->trust_n; i++)
        for (size_t k = 0; k < config->trust[i].anchors.n; k++)
            if (!strcmp(config->trust[i].anchors.v[k], "authority") &&
                sl_decider_crl(id->d, config->trust[i].name, m->crl, "of the embedded authority",
                               &err) != SL_OK)
                sl_log_err(SL_LOG_ERROR, &err, "trust %s", config->trust[i].name);
    sl_decider_refresh(id->d, identity_now());
    identity_pump(id);
}

static void on_authority(void *ctx, struct chan *c, struct chan_msg *m)
{
    static struct msg_authority_certs certs; /* large; loop thread only */
    struct msg_revoked revoked;
    (void)c;
    if (m->type == MSG_AUDIT)
        on_audit(ctx, m);
    else if (m->type == MSG_REVOKED && msg_read(MSG_REVOKED, &revoked, m->body))
        on_revoked(ctx, &revoked);
    else if (m->type == MSG_AUTHORITY_CERTS && msg_read(MSG_AUTHORITY_CERTS, &certs, m->body))
        identity_authority_certs(ctx, &certs);
    else
        sl_error("authority sent %s, which is malformed or not for identity", msg_name(m->type));
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */
static void problem(json_t *list, const char *what_to_do, const char *fmt, ...) SL_PRINTF(3, 4);
static void problem(json_t *list, const char *what_to_do, const char *fmt, ...)
{
    char text[SL_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    json_array_append_new(list, json_pack("{s:s, s:s}", "text", text, "do", what_to_do));
}

static void own_problem(json_t *problems, const struct own *own)
{
    const char *name = own->conf->name;
    const char *again = own->conf->scep[0] ? "enrol it: sealane enroll NAME --challenge ..."
                                           : "put its certificate in place";
    switch (own->state) {
    case OWN_VALID:
        if (own->revoked)
            problem(problems, again, "identity %s: its OCSP responder says that it is revoked",
                    name);
        if (own->failures)
            problem(problems, "see what the CA says; the certificate is still valid",
                    "identity %s: renewal failed %u times: %s", name, own->failures, own->text);
        return;
    case OWN_MISSING:
        problem(problems, again, "identity %s has no certificate", name);
        return;
    case OWN_EXPIRED:
        problem(problems, again, "identity %s: its certificate has expired", name);
        return;
    case OWN_NOT_YET:
        problem(problems, "check this host's clock",
                "identity %s: its certificate is not yet valid", name);
        return;
    case OWN_FAILED:
        problem(problems, again, "identity %s: %s", name, own->text);
        return;
    }
}

static void source_problems(json_t *problems, const json_t *status)
{
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(status, "sources"), i, s)
    {
        const char *error = json_string_value(json_object_get(s, "error"));
        bool fresh = json_is_true(json_object_get(s, "fresh"));
        if (error)
            problem(problems,
                    fresh ? "nobody is refused yet: what is cached is fresh"
                          : "reach the server, or give its CRL as a file (trust.crl_files)",
                    "%s of %s: %s", json_string_value(json_object_get(s, "uri")),
                    json_string_value(json_object_get(s, "issuer")), error);
    }
    json_array_foreach(json_object_get(status, "directories"), i, s)
    {
        const char *error = json_string_value(json_object_get(s, "error"));
        if (error)
            problem(problems, "reach the directory server", "directory %s: %s",
                    json_string_value(json_object_get(s, "name")), error);
    }
}

static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    json_t *o = sl_decider_status(id->d, identity_now()), *problems = json_array();
    (void)args;
    json_object_set_new(o, "decisions", json_integer((json_int_t)id->decided));
    json_object_set_new(o, "accepted", json_integer((json_int_t)id->accepted));
    json_object_set_new(o, "refused", json_integer((json_int_t)id->refused));
    json_object_set_new(o, "ended", json_integer((json_int_t)id->ended));
    json_object_set_new(o, "live_peers", json_integer((json_int_t)id->live_n));
    json_object_set_new(o, "records", json_integer((json_int_t)id->records.written));
    if (id->records.failing)
        problem(problems, "make room on the disk of the audit log; until then nobody is accepted",
                "the audit log cannot be written");
    for (size_t i = 0; i < id->p->config->identity_n; i++)
        own_problem(problems, &id->own[i]);
    for (size_t i = 0; i < id->watched_n; i++)
        if (id->watched[i].failing && id->watched[i].kind != WATCH_CERTIFICATE)
            problem(problems, "correct the file", "%s", id->watched[i].error);
    if (id->leases_failing)
        problem(problems,
                "make room on the disk; until then a restart forgets who had which address",
                "address leases cannot be stored");
    source_problems(problems, o);
    json_object_set_new(o, "problems", problems);
    proc_ctl_reply(q, SL_OK, "", o, false);
    json_decref(o);
}

static void verb_certs(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    json_t *list = json_array();
    (void)args;
    for (size_t i = 0; i < id->p->config->identity_n; i++)
        json_array_append_new(list, identity_own_json(&id->own[i]));
    json_t *o = json_pack("{s:o}", "certificates", list);
    proc_ctl_reply(q, SL_OK, "", o, false);
    json_decref(o);
}

static const char *text_arg(const json_t *args, const char *key)
{
    const char *s = json_string_value(json_object_get(args, key));
    return s ? s : "";
}

/* The connection to test: named, else the only one, or the only one with certificates. */
static const char *default_connection(const struct sl_config *c)
{
    const char *found = NULL;
    if (c->connection_n == 1)
        return c->connection[0].name;
    for (size_t i = 0; i < c->connection_n; i++)
        if (c->connection[i].auth == SL_METHOD_CERT) {
            if (found)
                return NULL;
            found = c->connection[i].name;
        }
    return found;
}

/* Takes *a when it begins. */
static enum sl_rc start_test(struct identity *id, struct asked **a, const json_t *args,
                             struct sl_certs *chain, struct sl_err *err)
{
    static struct sl_decision_ask t; /* large; loop thread only */
    const char *connection = text_arg(args, "connection"), *who = text_arg(args, "id"),
               *pem = text_arg(args, "cert");
    memset(&t, 0, sizeof(t));
    t.possession = SL_POSSESSION_NOT_ASKED;
    if (!*connection && !(connection = default_connection(id->p->config)))
        return SL_FAIL(err, SL_USAGE, "several connections are configured: name one");
    snprintf(t.connection, sizeof(t.connection), "%s", connection);
    if (*who)
        SL_TRY(sl_id_parse(&t.id, who, err));
    if (*pem)
        SL_TRY(sl_certs_load(chain, sl_str(pem), "certificate", err));
    for (size_t i = 0; i < chain->n && i < SL_CHAIN_MAX; i++)
        t.cert[t.cert_n++] = sl_cert_der(chain->v[i]);
    SL_TRY(sl_decider_start(id->d, &t, identity_now(), *a, NULL, err));
    *a = NULL;
    return SL_OK;
}

static void verb_policy_test(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    struct sl_err err = { 0 };
    struct sl_certs chain = { 0 };
    struct asked *a = calloc(1, sizeof(*a));
    if (!a) {
        (void)SL_FAIL_MEM(&err);
        proc_ctl_fail(q, &err);
        return;
    }
    *a = (struct asked){ .by = ASKED_TEST, .id = id, .ctl = q };
    if (start_test(id, &a, args, &chain, &err) != SL_OK)
        proc_ctl_fail(q, &err);
    if (a)
        asked_free(a);
    sl_certs_clear(&chain);
    identity_pump(id);
}

static void verb_policy_refresh(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    (void)args;
    identity_files_look(id);
    sl_decider_refresh(id->d, identity_now());
    identity_pump(id);
    json_t *o = json_pack("{s:I}", "live_peers", (json_int_t)id->live_n);
    proc_ctl_reply(q, SL_OK, "", o, false);
    json_decref(o);
}

static void verb_trust_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    json_t *all = sl_decider_status(id->d, identity_now());
    (void)args;
    json_t *o = json_pack("{s:O}", "trust", json_object_get(all, "trust"));
    json_decref(all);
    proc_ctl_reply(q, SL_OK, "", o, false);
    json_decref(o);
}

static const struct proc_verb verbs[] = {
    { "status", verb_status },
    { "certs", verb_certs },
    { "enroll", identity_verb_enroll },
    { "policy.test", verb_policy_test },
    { "policy.refresh", verb_policy_refresh },
    { "trust.status", verb_trust_status },
    { "pool.leases", identity_verb_pool_leases },
    { "pool.release", identity_verb_pool_release },
};

/* ---- start and end ------------------------------------------------------------------------------------------------ */
static void on_second(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct identity *id = arg;
    const struct sl_now now = identity_now();
    identity_own_tick(id);
    identity_staple_tick(id);
    identity_enroll_tick(id);
    for (struct live *l = id->live, *next; l; l = next) {
        next = l->next;
        if (l->reask_utc_s && now.utc_s >= l->reask_utc_s)
            ask_again(id, l);
    }
    if (now.mono_ns - id->saved_ns >= SAVE_EVERY_S * SL_NS_PER_S) {
        id->saved_ns = now.mono_ns;
        identity_cache_save(id);
    }
    identity_pump(id);
}

static void on_files(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    identity_files_look(arg);
}

static enum sl_rc open_events(struct identity *id, struct sl_err *err)
{
    struct event_base *base = id->p->base;
    static const struct timeval second = { 1, 0 }, half = { 0, 500000 };
    id->timer = evtimer_new(base, on_timer, id);
    id->sweep = evtimer_new(base, on_sweep, id);
    id->second = event_new(base, -1, EV_PERSIST, on_second, id);
    id->files = event_new(base, -1, EV_PERSIST, on_files, id);
    if (!id->timer || !id->sweep || !id->second || !id->files ||
        event_add(id->second, &second) < 0 || event_add(id->files, &half) < 0)
        return SL_FAIL_MEM(err);
    return SL_OK;
}

static enum sl_rc open_all(struct identity *id, struct sl_err *err)
{
    const struct sl_config *config = id->p->config;
    snprintf(id->dir, sizeof(id->dir), "%s/identity", config->state_dir);
    SL_TRY(open_events(id, err));
    SL_TRY(identity_records_open(id, err));
    SL_TRY(identity_lease_open(id, err));
    SL_TRY(sl_decider_new(&id->d, config, &sl_rng_system, err));
    SL_TRY(identity_certs_open(id, err));
    SL_TRY(identity_files_open(id, err));
    identity_cache_load(id);
    return identity_enroll_open(id, err);
}

static void close_all(struct identity *id, int status)
{
    struct event *events[] = { id->timer, id->second, id->files, id->sweep };
    bool busy = identity_enroll_close(id);
    if (id->d)
        identity_cache_save(id);
    identity_live_clear(id);
    ike_map_clear(&id->live_by_ike_sa);
    identity_records_close(id);
    identity_lease_close(id);
    if (busy)
        _exit(status); /* everything is on disk; an enrolment's thread may be waiting for a link */
    sl_decider_free(id->d);
    id->d = NULL;
    identity_files_close(id);
    identity_certs_close(id);
    for (size_t i = 0; i < SL_ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
}

static void unexpected(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)ctx;
    sl_error("%s sent %s, which nobody asked for", chan_peer(c), msg_name(m->type));
}

int role_identity(struct proc_role *p)
{
    static struct identity id;
    struct sl_err err = { 0 };
    id.p = p;
    p->ctx = &id;
    if ((ike_map_init(&id.live_by_ike_sa) ? open_all(&id, &err) : SL_FAIL_MEM(&err)) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
        close_all(&id, 1);
        return 1;
    }
    /* These only answer; without a handler the answers would not be read. */
    chan_handle(p->link[PROC_FETCH], &(struct chan_handler){ .message = unexpected });
    chan_handle(p->link[PROC_KEYRING], &(struct chan_handler){ .message = unexpected });
    chan_handle(p->link[PROC_IKE],
                &(struct chan_handler){ .message = on_ike, .linked = ike_linked, .ctx = &id });
    chan_handle(p->link[PROC_AUTHORITY],
                &(struct chan_handler){ .message = on_authority, .ctx = &id });
    proc_control(p, verbs, SL_ARRAY_LEN(verbs));
    ike_linked(&id, p->link[PROC_IKE], chan_is_linked(p->link[PROC_IKE]));
    proc_ready(p);
    int status = proc_run(p);
    close_all(&id, status);
    return status;
}
