/*
 * The authority: the embedded CA with its HTTP service. It holds requests and issued certificates,
 * asks the keyring for every signature, and tells identity what it issued and revoked.
 *
 * See authority.h for its parts and threads; control verbs and their JSON are described in
 * authority_verbs.c.
 */
#include "src/cmd/sealaned/authority.h"

#include "enroll/x509_build.h"
#include "sealane/time.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_MAX         512  /* jobs waiting: beyond it the asker is told to come again */
#define SPOOL_MAX         4096 /* audit records kept while identity is away */
#define AUDIT_DEADLINE_MS 2000
#define AUDIT_RETRY_S     10 /* after a failure: a dead identity does not slow every request down */

struct spool {
    struct spool *next;
    char kind[32];
    char *json;
};

/* ---- audit: from the worker ------------------------------------------------------------------------- */

static enum sl_rc audit_send(struct authority *a, const struct spool *s)
{
    struct sl_err err = { 0 };
    struct msg_audit m = { .json = sl_str(s->json) };
    struct msg_audit_done done;
    SL_AUTO_BUF reply = { 0 };
    (void)snprintf(m.kind, sizeof(m.kind), "%s", s->kind);
    enum sl_rc rc = msg_call(a->p->link[PROC_IDENTITY], MSG_AUDIT, &m, AUDIT_DEADLINE_MS,
                             MSG_AUDIT_DONE, &done, &reply, &err);
    return rc == SL_OK ? done.rc : rc;
}

/* In order, and each until it is durable: a record that cannot be delivered waits for the next time. */
static void spool_flush(struct authority *a)
{
    if (sl_clock_mono_ns() < a->spool_retry_ns)
        return;
    while (a->spool) {
        struct spool *s = a->spool;
        enum sl_rc rc = audit_send(a, s);
        if (rc == SL_USAGE || rc == SL_MALFORMED || rc == SL_TOO_LARGE || rc == SL_UNSUPPORTED) {
            /* it will not be taken later either, and others must not wait behind it */
            sl_error("audit: identity refuses a record of kind %s: %s", s->kind, sl_rc_text(rc));
        } else if (rc != SL_OK) {
            a->spool_retry_ns = sl_clock_mono_ns() + AUDIT_RETRY_S * SL_NS_PER_S;
            sl_warn("audit: %zu records wait for identity: %s", a->spool_n, sl_rc_text(rc));
            return;
        }
        a->spool = s->next;
        if (!a->spool)
            a->spool_end = &a->spool;
        a->spool_n--;
        free(s->json);
        free(s);
    }
}

static void on_record(void *ctx, const char *kind, const json_t *body)
{
    struct authority *a = ctx;
    struct spool *s = calloc(1, sizeof(*s));
    if (s)
        s->json = json_dumps(body, JSON_COMPACT);
    if (!s || !s->json || a->spool_n >= SPOOL_MAX) {
        /* what was issued is in the store; only the audit log's copy is lost */
        sl_error("audit: a record of kind %s is lost: %s", kind,
                 a->spool_n >= SPOOL_MAX ? "too many are waiting" : "out of memory");
        if (s)
            free(s->json);
        free(s);
        return;
    }
    (void)snprintf(s->kind, sizeof(s->kind), "%s", kind);
    *a->spool_end = s;
    a->spool_end = &s->next;
    a->spool_n++;
    spool_flush(a);
}

static void spool_free(struct authority *a)
{
    while (a->spool) {
        struct spool *s = a->spool;
        a->spool = s->next;
        free(s->json);
        free(s);
    }
}

/* ---- the worker and its queue --------------------------------------------------------------------------- */

static struct job *next_job(struct authority *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->queue && !a->stop)
        pthread_cond_wait(&a->wake, &a->lock);
    struct job *j = a->stop ? NULL : a->queue;
    if (j) {
        a->queue = j->next;
        if (!a->queue)
            a->queue_end = &a->queue;
        a->queue_n--;
        j->next = NULL;
    } else {
        a->stopped = true;
    }
    pthread_mutex_unlock(&a->lock);
    return j;
}

static void *worker(void *ctx)
{
    struct authority *a = ctx;
    struct job *j;
    while ((j = next_job(a))) {
        j->work(a, j);
        pthread_mutex_lock(&a->lock);
        *a->done_end = j;
        a->done_end = &j->next;
        pthread_mutex_unlock(&a->lock);
        event_active(a->done_event, 0, 0);
    }
    event_active(a->done_event, 0, 0);
    return NULL;
}

static void finish_job(struct authority *a, struct job *j)
{
    j->answer(a, j);
    if (j->clear)
        j->clear(j);
    free(j);
}

static void drop_queue(struct authority *a)
{
    while (a->queue) {
        struct job *j = a->queue;
        a->queue = j->next;
        j->dropped = true;
        finish_job(a, j);
    }
    a->queue_end = &a->queue;
    a->queue_n = 0;
}

static void on_done(evutil_socket_t fd, short what, void *ctx)
{
    struct authority *a = ctx;
    (void)fd;
    (void)what;
    pthread_mutex_lock(&a->lock);
    struct job *j = a->done;
    a->done = NULL;
    a->done_end = &a->done;
    bool stopped = a->stopped;
    pthread_mutex_unlock(&a->lock);
    while (j) {
        struct job *next = j->next;
        finish_job(a, j);
        j = next;
    }
    if (stopped && a->running) {
        pthread_join(a->thread, NULL);
        a->running = false;
        drop_queue(a);
        proc_stop(a->p, 0);
    }
}

void authority_post(struct authority *a, struct job *j)
{
    pthread_mutex_lock(&a->lock);
    bool full = a->queue_n >= QUEUE_MAX || a->stop;
    if (!full) {
        *a->queue_end = j;
        a->queue_end = &j->next;
        a->queue_n++;
        pthread_cond_signal(&a->wake);
    }
    pthread_mutex_unlock(&a->lock);
    if (!full)
        return;
    a->refused++;
    j->dropped = true;
    finish_job(a, j);
}

static void on_shutdown(struct proc_role *p, void *ctx)
{
    struct authority *a = ctx;
    (void)p;
    authority_http_stop(a->http);
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}

/* ---- identity: what it has to know --------------------------------------------------------------------------- */

static void tell_certs(struct authority *a)
{
    static const enum sl_ca_role order[] = { SL_CA_ROOT, SL_CA_ISSUING };
    struct msg_authority_certs m = { 0 };
    struct sl_err err = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(order); i++)
        if (a->certs[order[i]].len)
            m.cert[m.cert_n++] = sl_buf_bytes(&a->certs[order[i]]);
    if (msg_send(a->p->link[PROC_IDENTITY], MSG_AUTHORITY_CERTS, &m, &err) != SL_OK &&
        err.rc != SL_PROC_GONE)
        sl_log_err(SL_LOG_ERROR, &err, "certificates to identity");
}

struct certs_job {
    struct job job;
    struct sl_buf der[SL_CA_ROLE_COUNT];
};

static void certs_answer(struct authority *a, struct job *j)
{
    struct certs_job *c = (struct certs_job *)j;
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        sl_buf_clear(&a->certs[r]);
        a->certs[r] = c->der[r];
        c->der[r] = (struct sl_buf){ 0 };
    }
    tell_certs(a);
}

static bool certs_copy(struct authority *a, struct sl_buf der[SL_CA_ROLE_COUNT])
{
    struct sl_err err = { 0 };
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        X509 *x = sl_ca_cert_get(a->ca, (enum sl_ca_role)r);
        if (x && xb_cert_der(&der[r], x, &err) != SL_OK) {
            sl_log_err(SL_LOG_ERROR, &err, "copy of the CA's certificates");
            return false;
        }
    }
    return true;
}

void authority_certs_changed(struct authority *a)
{
    struct certs_job *c = calloc(1, sizeof(*c));
    if (!c || !certs_copy(a, c->der)) {
        for (int r = 0; c && r < SL_CA_ROLE_COUNT; r++)
            sl_buf_clear(&c->der[r]);
        free(c);
        return;
    }
    c->job.answer = certs_answer;
    pthread_mutex_lock(&a->lock);
    *a->done_end = &c->job;
    a->done_end = &c->job.next;
    pthread_mutex_unlock(&a->lock);
    event_active(a->done_event, 0, 0);
}

void authority_tell_revoked(struct authority *a, const struct revocation *r)
{
    struct sl_err err = { 0 };
    struct msg_revoked m = { .issuer = sl_buf_bytes(&r->issuer),
                             .serial = sl_buf_bytes(&r->serial),
                             .reason = (uint8_t)r->reason,
                             .utc_s = r->utc_s,
                             .crl = sl_buf_bytes(&r->crl) };
    if (r->told && msg_send(a->p->link[PROC_IDENTITY], MSG_REVOKED, &m, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "revocation to identity");
}

void revocation_clear(struct revocation *r)
{
    sl_buf_clear(&r->issuer);
    sl_buf_clear(&r->serial);
    sl_buf_clear(&r->crl);
}

static void on_identity(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)ctx;
    sl_warn("%s sends %s, which is not for the authority", chan_peer(c), msg_name(m->type));
}

static void on_identity_linked(void *ctx, struct chan *c, bool linked)
{
    struct authority *a = ctx;
    (void)c;
    if (!linked)
        return;
    tell_certs(a);
    authority_tick_soon(a); /* delivers what waits for it */
}

/* ---- what is due by itself ----------------------------------------------------------------------------------------- */

struct tick_job {
    struct job job;
    int64_t next, now;
    bool spool; /* records wait */
    struct sl_err err;
};

static void tick_work(struct authority *a, struct job *j)
{
    struct tick_job *t = (struct tick_job *)j;
    X509 *ra = sl_ca_cert_get(a->ca, SL_CA_RA), *ocsp = sl_ca_cert_get(a->ca, SL_CA_OCSP);
    a->spool_retry_ns = 0; /* this may be the news that identity is back */
    spool_flush(a);
    t->now = sl_clock_utc_s();
    if (sl_ca_tick(a->ca, t->now, &t->next, &t->err) != SL_OK && t->err.rc == SL_OK)
        t->err.rc = SL_INTERNAL;
    t->spool = a->spool != NULL;
    if (ra != sl_ca_cert_get(a->ca, SL_CA_RA) || ocsp != sl_ca_cert_get(a->ca, SL_CA_OCSP))
        authority_certs_changed(a);
}

static void tick_answer(struct authority *a, struct job *j)
{
    struct tick_job *t = (struct tick_job *)j;
    int64_t wait = t->next - t->now;
    if (j->dropped)
        wait = 10;
    if (t->err.rc != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &t->err, "CRLs and certificates that are due");
        wait = 30;
    }
    if (wait < 1)
        wait = 1;
    int64_t max = t->spool ? AUDIT_RETRY_S : 3600; /* the clock may be set */
    if (wait > max)
        wait = max;
    struct timeval tv = { .tv_sec = (time_t)wait };
    evtimer_add(a->tick_timer, &tv);
}

void authority_tick_soon(struct authority *a)
{
    struct timeval tv = { 0 };
    evtimer_add(a->tick_timer, &tv);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct authority *a = ctx;
    (void)fd;
    (void)what;
    struct tick_job *t = calloc(1, sizeof(*t));
    if (!t) {
        struct timeval tv = { .tv_sec = 30 };
        evtimer_add(a->tick_timer, &tv);
        return;
    }
    t->job.work = tick_work;
    t->job.answer = tick_answer;
    authority_post(a, &t->job);
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

static enum sl_rc open_ca(struct authority *a, struct sl_err *err)
{
    char path[1024];
    if (snprintf(path, sizeof(path), "%s/authority/ca.db", a->p->config->state_dir) >=
        (int)sizeof(path))
        return SL_FAIL(err, SL_CONFIG_VALUE, "state_dir is too long");
    SL_TRY(sl_store_open(&a->store, path, err));
    msg_key_ops(&a->keys, a->p->link[PROC_KEYRING]);
    a->env = (struct sl_ca_env){ .conf = a->conf,
                                 .store = a->store,
                                 .keys = &a->keys,
                                 .rng = sl_rng_system,
                                 .record = on_record,
                                 .ctx = a };
    SL_TRY(sl_ca_open(&a->ca, &a->env, err));
    SL_TRY(sl_scep_server_new(&a->scep, a->ca, &a->env, a->conf->legacy, err));
    if (!certs_copy(a, a->certs))
        return SL_FAIL(err, SL_NO_MEMORY, "certificates of the authority");
    return SL_OK;
}

static enum sl_rc start(struct authority *a, struct sl_err *err)
{
    SL_TRY(open_ca(a, err));
    int fd = proc_fd_take(a->p, "http");
    if (fd < 0)
        return SL_FAIL(err, SL_INTERNAL, "no HTTP socket was handed over");
    SL_TRY(authority_http_new(&a->http, a, fd, err));
    a->done_event = event_new(a->p->base, -1, EV_PERSIST, on_done, a);
    a->tick_timer = evtimer_new(a->p->base, on_tick, a);
    if (!a->done_event || !a->tick_timer)
        return SL_FAIL_MEM(err);
    int rc = pthread_create(&a->thread, NULL, worker, a);
    if (rc != 0)
        return SL_FAIL(err, SL_IO, "worker thread: %s", strerror(rc));
    a->running = true;
    return SL_OK;
}

static void authority_clear(struct authority *a)
{
    authority_http_free(a->http);
    if (a->done_event)
        event_free(a->done_event);
    if (a->tick_timer)
        event_free(a->tick_timer);
    sl_scep_server_free(a->scep);
    sl_ca_free(a->ca);
    sl_store_free(a->store);
    spool_free(a);
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        sl_buf_clear(&a->certs[r]);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
}

int role_authority(struct proc_role *p)
{
    struct sl_err err = { 0 };
    struct authority a = { .p = p, .conf = &p->config->authority };
    a.queue_end = &a.queue;
    a.done_end = &a.done;
    a.spool_end = &a.spool;
    pthread_mutex_init(&a.lock, NULL);
    pthread_cond_init(&a.wake, NULL);
    if (start(&a, &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "authority cannot start");
        authority_clear(&a);
        return 1;
    }
    p->ctx = &a;
    p->on_shutdown = on_shutdown;
    authority_verbs(&a);
    chan_handle(p->link[PROC_IDENTITY],
                &(struct chan_handler){ on_identity, on_identity_linked, &a });
    chan_handle(p->link[PROC_KEYRING], &(struct chan_handler){ .message = on_identity, .ctx = &a });
    tell_certs(&a);
    authority_tick_soon(&a);
    if (!sl_ca_ready(a.ca))
        sl_warn("there is no authority yet: make one with `sealane ca init`");
    proc_ready(p);
    int status = proc_run(p);
    if (a.running) { /* the loop ended without a shutdown: nobody is left to answer the worker */
        _exit(status);
    }
    authority_clear(&a);
    return status;
}
