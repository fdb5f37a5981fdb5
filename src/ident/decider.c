/*
 * The decider: trust, sources, searches and running decisions of one gateway; questions go out here
 * and answers come in. What one decision does is in decision.c.
 */
#include "src/ident/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- waiting ----------------------------------------------------------------------------------- */
void ident_wait_on(struct wait **list, struct wait *w)
{
    ident_wait_off(w);
    w->next = *list;
    if (w->next)
        w->next->place = &w->next;
    w->place = list;
    *list = w;
}

void ident_wait_off(struct wait *w)
{
    if (!w->place)
        return;
    *w->place = w->next;
    if (w->next)
        w->next->place = w->place;
    w->next = NULL;
    w->place = NULL;
}

void decider_wake(struct sl_decider *d, struct wait **waiting, struct sl_now now)
{
    /* Off the queue first: a decision that goes on may queue again, and must not be met twice. */
    struct wait *list = *waiting;
    bool outer = d->busy;
    *waiting = NULL;
    if (list)
        list->place = &list;
    d->busy = true;
    while (list) {
        struct wait *w = list;
        ident_wait_off(w);
        decision_advance(w->decision, now);
    }
    d->busy = outer;
}

void decider_change(struct sl_decider *d)
{
    d->changed = true;
    d->generation++;
}

void decider_timer(struct sl_decider *d, int64_t at_ns)
{
    if (at_ns < d->timer_ns)
        d->timer_ns = at_ns;
}

struct source *decider_source(const struct sl_decider *d, const struct source *after)
{
    struct source *s = after ? after->next : NULL;
    for (size_t b = after ? after->bucket + 1 : 0; !s && b < IDENT_BUCKETS; b++)
        s = d->source[b];
    return s;
}

struct search *decider_search(const struct sl_decider *d, const struct search *after)
{
    struct search *s = after ? after->next : NULL;
    for (size_t b = after ? after->bucket + 1 : 0; !s && b < IDENT_BUCKETS; b++)
        s = d->search[b];
    return s;
}

/* ---- life ------------------------------------------------------------------------------------------ */
enum sl_rc sl_decider_new(struct sl_decider **out, const struct sl_config *config,
                          const struct sl_rng *rng, struct sl_err *err)
{
    SL_AUTO(sl_decider) *d = calloc(1, sizeof(*d));
    if (!d)
        return SL_FAIL_MEM(err);
    d->config = config;
    d->rng = rng;
    d->timer_ns = INT64_MAX;
    d->finished_end = &d->finished;
    d->trust = calloc(config->trust_n + 1, sizeof(*d->trust));
    d->dir = calloc(config->directory_n + 1, sizeof(*d->dir));
    if (!d->trust || !d->dir)
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < config->trust_n; i++) {
        d->trust[i].conf = &config->trust[i];
        d->trust[i].index = i;
    }
    for (size_t i = 0; i < config->directory_n; i++) {
        struct directory *dir = &d->dir[i];
        dir->conf = &config->directory[i];
        dir->attr_n = sl_directory_attrs(dir->conf, config->rule, config->rule_n, dir->attr);
    }
    *out = sl_steal(&d);
    return SL_OK;
}

void sl_decider_free(struct sl_decider *d)
{
    if (!d)
        return;
    while (d->running)
        sl_decision_free(d->running);
    while (d->finished)
        sl_decision_free(sl_decider_finished(d));
    for (size_t b = 0; b < IDENT_BUCKETS; b++) {
        for (struct source *s = d->source[b], *next; s; s = next) {
            next = s->next;
            source_free(s);
        }
        for (struct search *s = d->search[b], *next; s; s = next) {
            next = s->next;
            search_free(s);
        }
    }
    for (size_t i = 0; d->trust && i < d->config->trust_n; i++) {
        struct trust *t = &d->trust[i];
        sl_certs_clear(&t->anchors);
        sl_certs_clear(&t->intermediates);
        sl_certs_clear(&t->responder);
        for (size_t k = 0; k < t->crl_n; k++) {
            free(t->crl[k].what);
            sl_crl_free(t->crl[k].crl);
        }
        free(t->crl);
    }
    for (size_t i = 0; d->dir && i < d->config->directory_n; i++)
        sl_entries_clear(&d->dir[i].all);
    memo_free(d);
    free(d->trust);
    free(d->dir);
    free(d);
}

/* ---- what the configuration names --------------------------------------------------------------------- */
static struct trust *find_trust(const struct sl_decider *d, const char *name, struct sl_err *err)
{
    for (size_t i = 0; i < d->config->trust_n; i++)
        if (strcmp(d->config->trust[i].name, name) == 0)
            return &d->trust[i];
    (void)SL_FAIL(err, SL_NOT_FOUND, "trust section %s does not exist", name);
    return NULL;
}

enum sl_rc sl_decider_anchors(struct sl_decider *d, const char *trust, struct sl_bytes in,
                              const char *what, struct sl_err *err)
{
    struct trust *t = find_trust(d, trust, err);
    if (!t)
        return SL_NOT_FOUND;
    SL_TRY(sl_certs_load(&t->anchors, in, what, err));
    decider_change(d);
    return SL_OK;
}

enum sl_rc sl_decider_intermediates(struct sl_decider *d, const char *trust, struct sl_bytes in,
                                    const char *what, struct sl_err *err)
{
    struct trust *t = find_trust(d, trust, err);
    return t ? sl_certs_load(&t->intermediates, in, what, err) : SL_NOT_FOUND;
}

enum sl_rc sl_decider_crl(struct sl_decider *d, const char *trust, struct sl_bytes in,
                          const char *what, struct sl_err *err)
{
    struct trust *t = find_trust(d, trust, err);
    if (!t)
        return SL_NOT_FOUND;
    SL_AUTO(sl_crl) *crl = NULL;
    if (sl_crl_read(&crl, in, err) != SL_OK)
        return SL_WRAP(err, "%s", what);
    size_t k = 0;
    while (k < t->crl_n && strcmp(t->crl[k].what, what) != 0)
        k++;
    if (k == t->crl_n) {
        struct local_crl *v = reallocarray(t->crl, t->crl_n + 1, sizeof(*v));
        if (!v)
            return SL_FAIL_MEM(err);
        t->crl = v;
        char *copy = strdup(what);
        if (!copy)
            return SL_FAIL_MEM(err);
        v[t->crl_n++] = (struct local_crl){ .what = copy };
    }
    sl_crl_free(t->crl[k].crl);
    t->crl[k].crl = sl_steal(&crl);
    decider_change(d);
    return SL_OK;
}

void sl_decider_crl_gone(struct sl_decider *d, const char *trust, const char *what)
{
    struct trust *t = find_trust(d, trust, NULL);
    for (size_t k = 0; t && k < t->crl_n; k++) {
        if (strcmp(t->crl[k].what, what) != 0)
            continue;
        free(t->crl[k].what);
        sl_crl_free(t->crl[k].crl);
        t->crl[k] = t->crl[--t->crl_n];
        decider_change(d);
        return;
    }
}

enum sl_rc sl_decider_responder(struct sl_decider *d, const char *trust, struct sl_bytes in,
                                const char *what, struct sl_err *err)
{
    struct trust *t = find_trust(d, trust, err);
    struct sl_certs certs = { 0 };
    if (!t)
        return SL_NOT_FOUND;
    SL_TRY(sl_certs_load(&certs, in, what, err));
    sl_certs_clear(&t->responder);
    t->responder = certs;
    decider_change(d);
    return SL_OK;
}

enum sl_rc sl_decider_ldif(struct sl_decider *d, const char *directory, struct sl_bytes text,
                           const char *what, struct sl_err *err)
{
    struct directory *dir = NULL;
    for (size_t i = 0; i < d->config->directory_n; i++)
        if (strcmp(d->config->directory[i].name, directory) == 0)
            dir = &d->dir[i];
    if (!dir)
        return SL_FAIL(err, SL_NOT_FOUND, "directory section %s does not exist", directory);
    struct sl_entries all = { 0 };
    SL_TRY(sl_ldif_read(&all, text, what, err));
    if (!dir->loaded || !sl_entries_eq(&all, &dir->all))
        decider_change(d);
    sl_entries_clear(&dir->all);
    dir->all = all;
    dir->loaded = true;
    return SL_OK;
}

enum sl_rc sl_decider_anchor_hashes(const struct sl_decider *d, const char *trust,
                                    struct sl_buf *out, struct sl_err *err)
{
    const struct trust *t = find_trust(d, trust, err);
    if (!t)
        return SL_NOT_FOUND;
    for (size_t i = 0; i < t->anchors.n; i++)
        if (!sl_buf_put(out, sl_cert_key_sha1(t->anchors.v[i])))
            return SL_FAIL_MEM(err);
    return SL_OK;
}

/* ---- questions ---------------------------------------------------------------------------------------- */
static void fetch_question(const struct sl_decider *d, struct sl_question *q, struct source *s)
{
    *q = (struct sl_question){ .type = SL_ASK_FETCH,
                               .id = s->question,
                               .timeout_ms = s->deadline_ms,
                               .uri = s->uri,
                               .from_cert = !s->configured,
                               .max_bytes = d->config->fetch.max_crl_bytes
                                                ? (size_t)d->config->fetch.max_crl_bytes
                                                : SL_CRL_MAX_BYTES };
    if (s->kind == SOURCE_OCSP) {
        q->accept = "application/ocsp-response";
        q->max_bytes = SL_OCSP_MAX_BYTES;
        if (s->get) {
            q->uri = s->get;
        } else {
            q->content_type = "application/ocsp-request";
            q->body = sl_buf_bytes(&s->request);
        }
    } else if (s->kind == SOURCE_CERT) {
        q->max_bytes = (size_t)SL_CERT_MAX_BYTES * 4;
    }
    if (s->have && s->kind != SOURCE_OCSP) {
        q->etag = *s->etag ? s->etag : NULL;
        q->modified = *s->modified ? s->modified : NULL;
    }
    s->asked = true;
}

static void search_question(struct sl_question *q, struct search *s)
{
    const struct directory *dir = s->dir;
    *q = (struct sl_question){ .type = SL_ASK_SEARCH,
                               .id = s->question,
                               .timeout_ms = dir->conf->timeout_ms,
                               .directory = dir->conf->name,
                               .base = dir->conf->base,
                               .scope = *dir->conf->scope ? dir->conf->scope : "sub",
                               .filter = s->filter,
                               .attr_n = dir->attr_n };
    for (size_t i = 0; i < dir->attr_n; i++)
        q->attr[i] = dir->attr[i];
    s->asked = true;
}

bool sl_decider_next(struct sl_decider *d, struct sl_question *q)
{
    if (d->to_ask == 0)
        return false;
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s)) {
        if (s->question && !s->asked && !s->held) {
            fetch_question(d, q, s);
            d->to_ask--;
            return true;
        }
    }
    for (struct search *s = decider_search(d, NULL); s; s = decider_search(d, s)) {
        if (s->question && !s->asked) {
            search_question(q, s);
            d->to_ask--;
            return true;
        }
    }
    for (struct sl_decision *x = d->running; x; x = x->next)
        if (x->psk_question && !x->psk_asked) {
            *q = (struct sl_question){ .type = SL_ASK_PSK,
                                       .id = x->psk_question,
                                       .timeout_ms = IDENT_PSK_MS,
                                       .psk = x->conn->psk,
                                       .prf = x->ask.prf,
                                       .octets = x->ask.octets,
                                       .nonces = x->ask.nonces };
            x->psk_asked = true;
            d->to_ask--;
            return true;
        }
    d->to_ask = 0;
    return false;
}

static struct source *asked_for(const struct sl_decider *d, uint64_t id)
{
    struct source *s = id ? decider_source(d, NULL) : NULL;
    while (s && s->question != id)
        s = decider_source(d, s);
    return s;
}

void sl_decider_answer_fetch(struct sl_decider *d, uint64_t id, enum sl_rc rc, const char *text,
                             struct sl_bytes body, struct sl_now now)
{
    struct source *s = asked_for(d, id);
    if (s)
        source_answer(d, s, rc, text, body, now);
}

void sl_decider_answer_version(struct sl_decider *d, uint64_t id, const char *etag,
                               const char *modified)
{
    struct source *s = asked_for(d, id);
    if (!s)
        return;
    snprintf(s->new_etag, sizeof(s->new_etag), "%s",
             strlen(etag) < sizeof(s->new_etag) ? etag : "");
    snprintf(s->new_modified, sizeof(s->new_modified), "%s",
             strlen(modified) < sizeof(s->new_modified) ? modified : "");
}

void sl_decider_answer_unchanged(struct sl_decider *d, uint64_t id, struct sl_now now)
{
    struct source *s = asked_for(d, id);
    if (s)
        source_unchanged(d, s, now);
}

void sl_decider_answer_search(struct sl_decider *d, uint64_t id, enum sl_rc rc, const char *text,
                              const struct sl_entries *entries, struct sl_now now)
{
    for (struct search *s = decider_search(d, NULL); s; s = decider_search(d, s)) {
        if (id && s->question == id) {
            search_answer(d, s, rc, text, entries, now);
            return;
        }
    }
}

void sl_decider_answer_psk(struct sl_decider *d, uint64_t id, enum sl_rc rc, struct sl_bytes mac,
                           struct sl_now now)
{
    for (struct sl_decision *x = d->running; x; x = x->next) {
        if (!id || x->psk_question != id)
            continue;
        if (!x->psk_asked)
            d->to_ask--;
        x->psk_question = 0;
        x->psk_answered = true;
        x->psk_rc = rc;
        if (rc == SL_OK && !sl_buf_put(&x->psk_mac, mac))
            x->psk_rc = SL_NO_MEMORY;
        decision_advance(x, now);
        return;
    }
}

void sl_decider_tick(struct sl_decider *d, struct sl_now now)
{
    if (now.mono_ns < d->timer_ns)
        return;
    d->timer_ns = INT64_MAX;
    d->busy = true; /* nothing is forgotten while it is walked over */
    for (struct sl_decision *x = d->running, *next; x; x = next) {
        next = x->next;
        if (decision_timer_ns(x) <= now.mono_ns)
            decision_advance(x, now);
    }
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s)) {
        source_tick(d, s, now);
    }
    for (struct search *s = decider_search(d, NULL); s; s = decider_search(d, s)) {
        search_tick(d, s, now);
    }
    for (const struct sl_decision *x = d->running; x; x = x->next)
        decider_timer(d, decision_timer_ns(x));
    d->busy = false;
}

int64_t sl_decider_next_timer_ns(const struct sl_decider *d)
{
    return d->timer_ns;
}

struct sl_decision *sl_decider_finished(struct sl_decider *d)
{
    struct sl_decision *x = d->finished;
    if (!x)
        return NULL;
    d->finished = x->next;
    if (x->next)
        x->next->place = &d->finished;
    else
        d->finished_end = &d->finished;
    x->next = NULL;
    x->place = NULL;
    x->decider = NULL;
    return x;
}

bool sl_decider_changed(struct sl_decider *d)
{
    bool changed = d->changed;
    d->changed = false;
    return changed;
}

bool sl_decider_dirty(const struct sl_decider *d)
{
    return d->dirty;
}

void sl_decider_refresh(struct sl_decider *d, struct sl_now now)
{
    gates_reopen(d);
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s)) {
        s->retry_ns = 0;
        s->refresh_ns = now.mono_ns;
    }
    for (struct search *s = decider_search(d, NULL); s; s = decider_search(d, s)) {
        s->retry_ns = 0;
        s->fresh_ns = now.mono_ns;
    }
    decider_timer(d, now.mono_ns);
    sl_decider_tick(d, now);
    decider_change(d); /* directory answers are asked for by the decisions themselves */
}
