/*
 * Decisions, audit log and live SAs of a simulated device, in the order in which the identity process
 * of the daemon does things; see device.h.
 */
#include "sim/device.h"

#include "src/proc/msg.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_NS SL_NS_PER_MS /* how long a record waits for company */
#define MARGIN_MS 500          /* what the network may take beyond a question's time */

/* A decision that was asked for. */
struct sim_asked {
    struct sim_asked *next; /* of those whose records wait */
    struct sim_asked *all;  /* of all */
    bool again;
    uint64_t question; /* of the IKE core */
    uint64_t ike_sa;
    int64_t asked_ns;
    uint64_t changes;  /* the device's when it was asked */
    struct sl_buf ask; /* as it would come over the link */
    struct sl_verdict verdict;
    char connection[SL_NAME_MAX];
};

struct sim_live {
    struct sim_live *next;
    uint64_t ike_sa;
    struct sl_buf ask;
    int64_t reask_utc_s;
    bool asking;
};

static void pump(struct sim_device *d);

struct sl_now sim_device_now(const struct sim_device *d)
{
    return (struct sl_now){ d->sim->now_ns, sim_utc_s(d->sim) };
}

/* ---- live SAs ------------------------------------------------------------------------------------ */

static struct sim_live **live_at(struct sim_device *d, uint64_t ike_sa)
{
    struct sim_live **at = &d->live;
    while (*at && (*at)->ike_sa != ike_sa)
        at = &(*at)->next;
    return at;
}

static void live_remove(struct sim_live **at)
{
    struct sim_live *l = *at;
    if (!l)
        return;
    *at = l->next;
    sl_buf_clear(&l->ask);
    free(l);
}

static void live_add(struct sim_device *d, struct sim_asked *a)
{
    live_remove(live_at(d, a->ike_sa));
    struct sim_live *l = calloc(1, sizeof(*l));
    ck_assert_ptr_nonnull(l);
    l->ike_sa = a->ike_sa;
    l->ask = a->ask;
    a->ask = (struct sl_buf){ 0 };
    l->reask_utc_s = a->verdict.reask_utc_s;
    l->next = d->live;
    d->live = l;
}

size_t sim_device_live(const struct sim_device *d)
{
    size_t n = 0;
    for (const struct sim_live *l = d->live; l; l = l->next)
        n++;
    return n;
}

static struct sim_asked *asked_new(struct sim_device *d, uint64_t ike_sa, const char *connection)
{
    struct sim_asked *a = calloc(1, sizeof(*a));
    ck_assert_ptr_nonnull(a);
    a->ike_sa = ike_sa;
    a->asked_ns = d->sim->now_ns;
    a->changes = d->changes;
    snprintf(a->connection, sizeof(a->connection), "%s", connection);
    a->all = d->asked;
    d->asked = a;
    return a;
}

static void asked_free(struct sim_device *d, struct sim_asked *a)
{
    struct sim_asked **at = &d->asked;
    while (*at != a)
        at = &(*at)->all;
    *at = a->all;
    sl_buf_clear(&a->ask);
    free(a);
}

static void ask_again(struct sim_device *d, struct sim_live *l)
{
    static struct sl_decision_ask ask; /* large */
    struct sl_err err = { 0 };
    if (l->asking)
        return;
    ck_assert(msg_read(MSG_DECIDE, &ask, sl_buf_bytes(&l->ask)));
    struct sim_asked *a = asked_new(d, l->ike_sa, ask.connection);
    a->again = true;
    l->asking = true;
    ck_ok(sl_decider_start(d->decider, &ask, sim_device_now(d), a, NULL, &err), &err);
}

/* Begun before the last change, and passed by when all were asked again. */
static void ask_again_if_late(struct sim_device *d, uint64_t changes, uint64_t ike_sa)
{
    struct sim_live *l = *live_at(d, ike_sa);
    if (!l || changes == d->changes)
        return;
    ask_again(d, l);
    pump(d);
}

static void ask_all_again(struct sim_device *d)
{
    d->changes++;
    for (struct sim_live *l = d->live; l; l = l->next)
        ask_again(d, l);
}

/* ---- verdicts ------------------------------------------------------------------------------------ */

static void note(struct sim_device *d, const struct sim_asked *a)
{
    struct sim_verdict *v = &d->verdict[d->verdict_n++ % SIM_VERDICTS];
    *v = (struct sim_verdict){ .again = a->again,
                               .rc = a->verdict.rc,
                               .asked_ns = a->asked_ns,
                               .answered_ns = d->sim->now_ns,
                               .record = a->verdict.record };
    memcpy(v->connection, a->connection, sizeof(v->connection));
}

const struct sim_verdict *sim_device_verdict(const struct sim_device *d, const char *connection)
{
    for (size_t i = 0; i < d->verdict_n && i < SIM_VERDICTS; i++) {
        const struct sim_verdict *v = &d->verdict[(d->verdict_n - 1 - i) % SIM_VERDICTS];
        if (strcmp(v->connection, connection) == 0)
            return v;
    }
    return NULL;
}

static void on_commit(void *ctx, void *arg)
{
    struct sim_device *d = ctx;
    struct sl_err err = { 0 };
    (void)arg;
    ck_ok(sl_audit_sync(d->audit, &err), &err);
    struct sim_asked *list = sl_steal(&d->waiting);
    while (list) {
        struct sim_asked *a = list;
        list = a->next;
        note(d, a);
        if (a->again) {
            d->ended_ns = d->sim->now_ns;
            sl_ike_end(d->gw.ike, d->sim->now_ns, a->ike_sa, a->verdict.rc);
            sim_gw_pump(&d->gw);
        } else {
            if (a->verdict.rc == SL_OK) {
                live_add(d, a);
                ask_again_if_late(d, a->changes, a->ike_sa);
            }
            sim_gw_answer_decision(&d->gw, 0, a->question, &a->verdict);
        }
        asked_free(d, a);
    }
}

static uint64_t append(struct sim_device *d, const char *kind, const json_t *body)
{
    struct sl_err err = { 0 };
    uint64_t number = 0;
    const bool dirty = sl_audit_dirty(d->audit);
    ck_ok(sl_audit_append(d->audit, kind, body, sim_utc_s(d->sim) * SL_NS_PER_S, &number, &err),
          &err);
    if (!dirty)
        sim_after(d->sim, COMMIT_NS, on_commit, NULL, d, NULL);
    return number;
}

void sim_device_record_now(struct sim_device *d, const char *kind, const json_t *body)
{
    (void)append(d, kind, body);
}

static void finished(struct sim_device *d, struct sl_decision *x)
{
    struct sim_asked *a = sl_decision_ctx(x), **at = &d->waiting;
    struct sim_live **live = a->again ? live_at(d, a->ike_sa) : NULL;
    a->verdict = *sl_decision_verdict(x);
    if (d->gw.verbose)
        fprintf(stderr, "%12.3f %s decision%s on %s: %s %s\n", (double)d->sim->now_ns / 1e9,
                d->conf->name, a->again ? " again" : "", a->connection, sl_rc_name(a->verdict.rc),
                a->verdict.text);
    if (live && *live)
        (*live)->asking = false;
    if (live && (!*live || a->verdict.rc == SL_OK)) { /* only a refusal is news */
        if (*live)
            (*live)->reask_utc_s = a->verdict.reask_utc_s;
        ask_again_if_late(d, a->changes, a->ike_sa);
        asked_free(d, a);
        return;
    }
    if (live)
        live_remove(live);
    a->verdict.record = append(d, "decision", sl_decision_evidence(x));
    while (*at)
        at = &(*at)->next;
    *at = a;
}

/* ---- questions ----------------------------------------------------------------------------------- */

static void on_fetched(void *owner, uint64_t id, enum sl_rc rc, const char *text,
                       const struct sim_reply *r)
{
    struct sim_device *d = owner;
    if (rc == SL_OK && r->status != 200)
        rc = SL_UNAVAILABLE;
    sl_decider_answer_fetch(d->decider, id, rc, text,
                            rc == SL_OK ? sl_buf_bytes(&r->body) : (struct sl_bytes){ 0 },
                            sim_device_now(d));
    pump(d);
}

static void on_searched(void *owner, uint64_t id, enum sl_rc rc, const char *text,
                        const struct sim_reply *r)
{
    struct sim_device *d = owner;
    struct sl_entries found = { 0 };
    if (rc == SL_OK)
        sim_directory_answer(&found, sl_buf_bytes(&r->body));
    sl_decider_answer_search(d->decider, id, rc, text, &found, sim_device_now(d));
    sl_entries_clear(&found);
    pump(d);
}

struct psk_answer {
    uint64_t id;
    enum sl_rc rc;
    size_t len;
    uint8_t mac[SL_PRF_MAX];
};

static void on_psk(void *ctx, void *arg)
{
    struct sim_device *d = ctx;
    struct psk_answer *p = arg;
    sl_decider_answer_psk(d->decider, p->id, p->rc, sl_bytes(p->mac, p->len), sim_device_now(d));
    free(p);
    pump(d);
}

static void ask_psk(struct sim_device *d, const struct sl_question *q)
{
    struct sl_err err = { 0 };
    struct psk_answer *p = calloc(1, sizeof(*p));
    ck_assert_ptr_nonnull(p);
    p->id = q->id;
    p->rc = sl_keyset_psk_auth(d->keys, q->psk, q->prf, q->octets, p->mac, &err);
    p->len = p->rc == SL_OK ? sl_prf_len(q->prf) : 0;
    sim_after(d->sim, d->key_slow_ns + SL_NS_PER_MS, on_psk, free, d, p);
}

static void ask(struct sim_device *d, const struct sl_question *q)
{
    SL_AUTO_BUF search = { 0 };
    switch (q->type) {
    case SL_ASK_FETCH: {
        const struct sim_request r = { q->uri, q->content_type != NULL, q->body };
        sim_ask(d->servers, &r, q->timeout_ms + MARGIN_MS, d, q->id, on_fetched);
        break;
    }
    case SL_ASK_SEARCH: {
        const struct sl_conf_directory *dir = sl_config_directory(d->gw.config, q->directory);
        ck_assert_ptr_nonnull(dir);
        sim_directory_question(&search, q->base, q->scope, q->filter);
        const struct sim_request r = { dir->uri, true, sl_buf_bytes(&search) };
        sim_ask(d->servers, &r, q->timeout_ms + MARGIN_MS, d, q->id, on_searched);
        break;
    }
    case SL_ASK_PSK:
        ask_psk(d, q);
        break;
    }
}

static void on_timer(void *ctx, void *arg)
{
    struct sim_device *d = ctx;
    (void)arg;
    if (d->decider_armed_ns > d->sim->now_ns)
        return; /* an older setting */
    d->decider_armed_ns = INT64_MAX;
    sl_decider_tick(d->decider, sim_device_now(d));
    pump(d);
}

static void set_timer(struct sim_device *d)
{
    const int64_t at = sl_decider_next_timer_ns(d->decider);
    if (at == INT64_MAX || at >= d->decider_armed_ns)
        return;
    d->decider_armed_ns = at > d->sim->now_ns ? at : d->sim->now_ns;
    sim_after(d->sim, d->decider_armed_ns - d->sim->now_ns, on_timer, NULL, d, NULL);
}

/* After every call into the decider. */
static void pump(struct sim_device *d)
{
    struct sl_question q;
    struct sl_decision *x;
    if (d->pumping)
        return; /* further up someone is at it */
    d->pumping = true;
    for (bool more = true; more;) {
        more = false;
        while (sl_decider_next(d->decider, &q)) {
            ask(d, &q);
            more = true;
        }
        while ((x = sl_decider_finished(d->decider))) {
            finished(d, x);
            sl_decision_free(x);
            more = true;
        }
        if (sl_decider_changed(d->decider)) {
            d->changed_ns = d->sim->now_ns;
            ask_all_again(d);
            more = true;
        }
    }
    d->pumping = false;
    set_timer(d);
}

void sim_identity_decide(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *q)
{
    struct sim_device *d = gw->oracle.ctx;
    struct sl_err err = { 0 };
    struct sim_asked *a = asked_new(d, q->sa, q->connection);
    a->question = id;
    ck_ok(msg_write(MSG_DECIDE, q, &a->ask, &err), &err);
    ck_ok(sl_decider_start(d->decider, q, sim_device_now(d), a, NULL, &err), &err);
    pump(d);
}

/* ---- what IKE tells ------------------------------------------------------------------------------ */

/* The id in "replaces IKE SA 7, ..."; 0: there is none. */
static uint64_t replaced_sa(const char *text)
{
    static const char words[] = "replaces IKE SA ";
    return strncmp(text, words, sizeof(words) - 1) == 0
               ? strtoull(text + sizeof(words) - 1, NULL, 10)
               : 0;
}

void sim_identity_event(struct sim_device *d, const struct sl_ike_action *a)
{
    const uint64_t old = replaced_sa(a->text);
    char peer[SL_ID_TEXT];
    if (a->event == SL_IKE_EV_STORY || !d->audit)
        return;
    if (a->event == SL_IKE_EV_IKE_DOWN || a->event == SL_IKE_EV_IKE_FAILED)
        live_remove(live_at(d, a->ike_sa));
    if (a->event == SL_IKE_EV_IKE_REKEYED && old && *live_at(d, old))
        (*live_at(d, old))->ike_sa = a->ike_sa;
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:s}", "event", sl_ike_event_name(a->event),
                          "connection", a->connection ? a->connection : "", "sa",
                          (json_int_t)a->ike_sa, "reason", sl_rc_name(a->rc), "text", a->text);
    if (a->peer_id)
        json_object_set_new(o, "peer", json_string(sl_id_text(peer, a->peer_id)));
    (void)append(d, "sa", o);
    json_decref(o);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void on_second(void *ctx, void *arg)
{
    struct sim_device *d = ctx;
    const int64_t utc_s = sim_utc_s(d->sim);
    (void)arg;
    sim_after(d->sim, SL_NS_PER_S, on_second, NULL, d, NULL);
    for (struct sim_live *l = d->live; l; l = l->next)
        if (l->reask_utc_s && utc_s >= l->reask_utc_s)
            ask_again(d, l);
    sim_enroll_tick(d);
    pump(d);
}

void sim_identity_start(struct sim_device *d)
{
    struct sl_err err = { 0 };
    char path[128];
    snprintf(path, sizeof(path), "%s/audit", d->dir);
    ck_ok(sl_audit_open(&d->audit, path, &err), &err);
    ck_ok(sl_decider_new(&d->decider, d->gw.config, &d->rng, &err), &err);
    for (size_t i = 0; i < SIM_TRUST && d->conf->trust[i].name; i++)
        ck_ok(sl_decider_anchors(d->decider, d->conf->trust[i].name,
                                 sl_buf_bytes(&d->conf->trust[i].authority->root), "root", &err),
              &err);
    if (d->conf->ldif_name)
        sim_device_ldif(d, d->conf->ldif);
    if (d->cache.len)
        ck_ok(sl_decider_load(d->decider, sl_buf_bytes(&d->cache), sim_device_now(d), &err), &err);
    d->decider_armed_ns = INT64_MAX;
    sim_after(d->sim, SL_NS_PER_S, on_second, NULL, d, NULL);
    pump(d);
}

void sim_identity_stop(struct sim_device *d)
{
    struct sl_err err = { 0 };
    sl_buf_clear(&d->cache);
    ck_ok(sl_decider_save(d->decider, &d->cache, &err), &err);
    sl_decider_free(d->decider);
    d->decider = NULL;
    sl_audit_close(d->audit);
    d->audit = NULL;
    d->waiting = NULL;
    while (d->asked)
        asked_free(d, d->asked);
    while (d->live)
        live_remove(&d->live);
}

void sim_device_refresh(struct sim_device *d)
{
    sl_decider_refresh(d->decider, sim_device_now(d));
    pump(d);
}

void sim_device_crl(struct sim_device *d, const char *trust, struct sl_bytes der)
{
    struct sl_err err = { 0 };
    ck_ok(sl_decider_crl(d->decider, trust, der, "of the embedded authority", &err), &err);
    sim_device_refresh(d);
}

void sim_device_ldif(struct sim_device *d, const char *text)
{
    struct sl_err err = { 0 };
    ck_ok(sl_decider_ldif(d->decider, d->conf->ldif_name, sl_str(text), "people.ldif", &err), &err);
    pump(d);
}

struct wanted {
    uint64_t number;
    json_t *record;
};

static bool on_record(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    struct wanted *w = ctx;
    (void)line;
    if (number != w->number)
        return true;
    w->record = json_deep_copy(record);
    return false;
}

json_t *sim_device_record(const struct sim_device *d, uint64_t number)
{
    struct sl_err err = { 0 };
    struct wanted w = { .number = number };
    char path[128];
    snprintf(path, sizeof(path), "%s/audit", d->dir);
    ck_ok(sl_audit_each(path, number, on_record, &w, &err), &err);
    ck_assert_msg(w.record, "%s has no record %llu", path, (unsigned long long)number);
    return w.record;
}
