/*
 * Enrolment and renewal of our own certificates (SCEP, enroll/). The client core calls private keys
 * synchronously (docs/adr/0004), so each enrolment runs in a thread of its own that asks keyring and
 * fetch and waits; the loop learns of its progress and end by an event.
 *
 * The way of a new certificate to its place, each step durable before the next:
 *
 *   key NAME.new made -> certificate issued and verified -> NAME.pem.new written
 *     -> key NAME.new renamed to NAME -> NAME.pem.new renamed to NAME.pem
 *
 * Until the last but one step the old pair is whole. After a crash in between, NAME.pem.new is there
 * at the start, and recovery finishes what the keys show to have been begun.
 */
#include "src/cmd/sealaned/identity.h"

#include "sealane/key.h"
#include "sealane/scep.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYRING_MS    120000 /* a large RSA key takes its time */
#define CLIENTS_MAX   8
#define CHAIN_MAX     ((size_t)1 << 20)
#define TRANSPORT     "rsa:2048"
#define CHALLENGE_MAX 1024

enum job_kind { JOB_ENROLL, JOB_RENEW, JOB_RECOVER };

struct enroll_job {
    struct identity *id;
    struct own *own;
    enum job_kind kind;

    /* What the thread works with; set before it starts. */
    const struct sl_conf_scep *scep;
    char fingerprint[128];
    bool trust_on_first_use;
    struct sl_secret challenge;
    struct sl_buf old_cert;
    char old_serial[64];
    char path[IDENTITY_PATH_MAX], path_new[IDENTITY_PATH_MAX];
    char key[MSG_KEY_NAME_MAX], key_new[MSG_KEY_NAME_MAX], key_transport[MSG_KEY_NAME_MAX];

    pthread_t thread;
    struct event *news;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    char progress[256];
    bool told, pending, done, stop;

    /* The thread's, until done. */
    enum sl_rc rc;
    struct sl_err err;
    char ca_fingerprint[65], transaction[65];
    bool first_use;

    struct proc_ctl *client[CLIENTS_MAX]; /* the loop's */
    size_t client_n;
};

/* Challenges from the files of the configuration, as config->scep. */
static struct sl_secret *challenges;

/* ---- in the thread: keyring and fetch --------------------------------------------------------------- */
static enum sl_rc key_call(struct enroll_job *j, enum msg_type type, const void *m,
                           struct sl_buf *bytes, struct sl_err *err)
{
    SL_AUTO_BUF reply = { 0 };
    struct msg_key_reply r;
    SL_TRY(msg_call(j->id->p->link[PROC_KEYRING], type, m, KEYRING_MS, MSG_KEY_REPLY, &r, &reply,
                    err));
    if (r.rc != SL_OK)
        return SL_FAIL(err, r.rc, "%s", r.text);
    if (bytes && !sl_buf_put(bytes, r.bytes))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

static enum sl_rc remove_key(struct enroll_job *j, const char *name, struct sl_err *err)
{
    struct msg_key_name m = { 0 };
    struct sl_err own = { 0 };
    snprintf(m.name, sizeof(m.name), "%s", name);
    enum sl_rc rc = key_call(j, MSG_KEY_REMOVE, &m, NULL, &own);
    return rc == SL_OK || rc == SL_KEY_NOT_FOUND ? SL_OK : SL_FAIL(err, rc, "%s", own.text);
}

static enum sl_rc make_key(struct enroll_job *j, const char *name, const char *alg,
                           struct sl_buf *spki, struct sl_err *err)
{
    struct msg_key_generate m = { 0 };
    SL_TRY(remove_key(j, name, err)); /* left over from an attempt that was cut off */
    snprintf(m.name, sizeof(m.name), "%s", name);
    snprintf(m.alg, sizeof(m.alg), "%s", alg);
    return key_call(j, MSG_KEY_GENERATE, &m, spki, err);
}

static enum sl_rc key_spki(struct enroll_job *j, const char *name, struct sl_buf *spki,
                           struct sl_err *err)
{
    struct msg_key_name m = { 0 };
    snprintf(m.name, sizeof(m.name), "%s", name);
    return key_call(j, MSG_KEY_SPKI, &m, spki, err);
}

static enum sl_rc rename_key(struct enroll_job *j, struct sl_err *err)
{
    struct msg_key_rename m = { 0 };
    snprintf(m.from, sizeof(m.from), "%s", j->key_new);
    snprintf(m.to, sizeof(m.to), "%s", j->key);
    return key_call(j, MSG_KEY_RENAME, &m, NULL, err);
}

static enum sl_rc exchange(struct enroll_job *j, struct sl_enrollment *e,
                           const struct sl_enrollment_step *step, struct sl_err *err)
{
    SL_AUTO_BUF reply = { 0 };
    struct msg_http_reply r;
    struct sl_err why = { 0 };
    struct msg_http m = { .uri = sl_str(step->url),
                          .body = step->body,
                          .max_bytes = SL_SCEP_MESSAGE_MAX,
                          .deadline_ms = (uint32_t)j->scep->timeout_ms,
                          .follow = !step->post,
                          .configured = true };
    snprintf(m.method, sizeof(m.method), "%s", step->post ? "POST" : "GET");
    snprintf(m.content_type, sizeof(m.content_type), "%s",
             step->post ? "application/x-pki-message" : "");
    enum sl_rc rc = msg_call(j->id->p->link[PROC_FETCH], MSG_HTTP, &m, j->scep->timeout_ms + 1000,
                             MSG_HTTP_REPLY, &r, &reply, &why);
    if (rc == SL_OK && r.rc != SL_OK)
        rc = SL_FAIL(&why, r.rc, "%s", r.text);
    if (rc != SL_OK)
        return sl_enrollment_lost(e, &why, sl_clock_utc_s(), err);
    return sl_enrollment_answer(e, r.status, r.content_type, r.body, sl_clock_utc_s(), err);
}

/* ---- in the thread: the enrolment ---------------------------------------------------------------------- */
static void tell(struct enroll_job *j, const char *progress, bool pending)
{
    pthread_mutex_lock(&j->lock);
    bool news = strcmp(j->progress, progress) != 0 || pending != j->pending;
    snprintf(j->progress, sizeof(j->progress), "%s", progress);
    j->pending = pending;
    if (news)
        j->told = false;
    pthread_mutex_unlock(&j->lock);
    if (news)
        event_active(j->news, EV_TIMEOUT, 0);
}

/* False when the daemon ends. */
static bool wait_until(struct enroll_job *j, int64_t utc_s)
{
    pthread_mutex_lock(&j->lock);
    while (!j->stop && sl_clock_utc_s() < utc_s) {
        struct timespec until = { .tv_sec = utc_s };
        (void)pthread_cond_timedwait(&j->wake, &j->lock, &until);
    }
    bool go_on = !j->stop;
    pthread_mutex_unlock(&j->lock);
    return go_on;
}

static bool append_pem(struct sl_buf *out, struct sl_bytes der)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    bool ok = bio && PEM_write_bio(bio, PEM_STRING_X509, "", der.p, (long)der.len) > 0;
    long n = ok ? BIO_get_mem_data(bio, &p) : 0;
    ok = ok && n > 0 && sl_buf_put(out, sl_bytes(p, (size_t)n));
    BIO_free(bio);
    return ok;
}

static enum sl_rc sync_move(const char *from, const char *to, struct sl_err *err)
{
    SL_AUTO_BUF content = { 0 };
    SL_TRY(identity_read_file(&content, from, CHAIN_MAX, err));
    SL_TRY(identity_write_file(to, sl_buf_bytes(&content), err));
    if (unlink(from) < 0)
        return SL_FAIL(err, SL_IO, "%s: %s", from, strerror(errno));
    return SL_OK;
}

static enum sl_rc keep(struct enroll_job *j, const struct sl_enrollment *e, struct sl_err *err)
{
    struct sl_enrollment_result r;
    SL_AUTO_BUF pem = { 0 };
    sl_enrollment_result(e, &r);
    snprintf(j->transaction, sizeof(j->transaction), "%s", r.transaction_id);
    bool ok = append_pem(&pem, r.cert);
    for (size_t i = 0; ok && i < r.chain_n; i++) {
        SL_AUTO(sl_cert) *c = NULL;
        /* The root is the peer's to trust, not ours to send. */
        if (sl_cert_read(&c, r.chain[i], NULL) == SL_OK && sl_cert_self_issued(c))
            continue;
        ok = append_pem(&pem, r.chain[i]);
    }
    if (!ok)
        return SL_FAIL_MEM(err);
    tell(j, "storing the certificate", false);
    SL_TRY(identity_write_file(j->path_new, sl_buf_bytes(&pem), err));
    SL_TRY(rename_key(j, err));
    return sync_move(j->path_new, j->path, err);
}

static enum sl_rc go_through(struct enroll_job *j, struct sl_enrollment *e, struct sl_err *err)
{
    enum sl_rc rc = SL_OK;
    for (;;) {
        struct sl_enrollment_step step;
        sl_enrollment_step(e, &step);
        tell(j, step.progress ? step.progress : "", step.want == SL_ENROLLMENT_WAIT);
        switch (step.want) {
        case SL_ENROLLMENT_HTTP:
            rc = exchange(j, e, &step, err);
            break;
        case SL_ENROLLMENT_WAIT:
            if (!wait_until(j, step.wait_until))
                return SL_FAIL(err, SL_CANCELLED, "the daemon ends");
            rc = sl_enrollment_tick(e, sl_clock_utc_s(), err);
            break;
        case SL_ENROLLMENT_DONE:
            return keep(j, e, err);
        case SL_ENROLLMENT_FAILED:
            return rc != SL_OK ? rc
                               : SL_FAIL(err, SL_INTERNAL, "the enrolment failed without a reason");
        }
        struct sl_enrollment_result r;
        sl_enrollment_result(e, &r); /* also of a failure: the fingerprint that was shown */
        snprintf(j->ca_fingerprint, sizeof(j->ca_fingerprint), "%s", r.fingerprint);
        j->first_use = r.first_use;
        if (rc != SL_OK) {
            /* A failure that ends it; others are dealt with inside. */
            sl_enrollment_step(e, &step);
            if (step.want == SL_ENROLLMENT_FAILED)
                return rc;
            sl_err_reset(err);
            rc = SL_OK;
        }
    }
}

static enum sl_rc enroll(struct enroll_job *j, struct sl_err *err)
{
    const struct sl_conf_identity *conf = j->own->conf;
    struct sl_key_ops ops;
    SL_AUTO_BUF spki = { 0 };
    SL_AUTO_BUF old_spki = { 0 };
    SL_AUTO_BUF transport = { 0 };
    SL_AUTO(sl_enrollment) *e = NULL;
    msg_key_ops(&ops, j->id->p->link[PROC_KEYRING]);
    tell(j, "making the key", false);
    SL_TRY(make_key(j, j->key_new, conf->key, &spki, err));
    struct sl_enrollment_conf c = {
        .url = j->scep->url,
        .ca_id = j->scep->ca_id,
        .fingerprint = j->fingerprint,
        .trust_on_first_use = j->trust_on_first_use,
        .legacy = j->scep->legacy,
        .challenge = sl_secret_bytes(&j->challenge),
        .subject = conf->subject,
        .san = (const char *const *)conf->san.v,
        .san_n = conf->san.n,
        .key = { &ops, j->key_new, sl_buf_bytes(&spki) },
        .transport = { &ops, "", { 0 } },
        .old_key = { &ops, "", { 0 } },
        .poll_s = j->scep->poll_s,
        .rng = sl_rng_system,
    };
    uint16_t bits = 0;
    bool rsa = sl_spki_type(sl_buf_bytes(&spki), &bits) == SL_KEY_RSA;
    if (j->kind == JOB_RENEW) {
        SL_TRY(key_spki(j, j->key, &old_spki, err));
        c.old_key = (struct sl_key){ &ops, j->key, sl_buf_bytes(&old_spki) };
        c.old_cert = sl_buf_bytes(&j->old_cert);
        rsa = rsa && sl_spki_type(sl_buf_bytes(&old_spki), &bits) == SL_KEY_RSA;
    }
    if (!rsa) {
        SL_TRY(make_key(j, j->key_transport, TRANSPORT, &transport, err));
        c.transport = (struct sl_key){ &ops, j->key_transport, sl_buf_bytes(&transport) };
    }
    SL_TRY(sl_enrollment_new(&e, &c, sl_clock_utc_s(), err));
    return go_through(j, e, err);
}

/* A certificate that was issued but not yet in its place when the machine stopped. */
static enum sl_rc recover(struct enroll_job *j, struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    SL_AUTO_BUF spki = { 0 };
    struct sl_certs chain = { 0 };
    bool renamed = false;
    enum sl_rc rc = identity_read_file(&text, j->path_new, CHAIN_MAX, err);
    if (rc == SL_OK)
        rc = sl_certs_load(&chain, sl_buf_bytes(&text), j->path_new, err);
    if (rc == SL_OK && key_spki(j, j->key_new, &spki, err) == SL_OK &&
        sl_bytes_eq(sl_buf_bytes(&spki), sl_cert_spki(chain.v[0]))) {
        rc = rename_key(j, err);
        renamed = rc == SL_OK;
    }
    if (rc == SL_OK && !renamed) {
        spki.len = 0;
        rc = key_spki(j, j->key, &spki, err);
        if (rc == SL_OK && !sl_bytes_eq(sl_buf_bytes(&spki), sl_cert_spki(chain.v[0])))
            rc = SL_FAIL(err, SL_ENROLL_KEY_MISMATCH, "%s: the keyring has no key for it",
                         j->path_new);
    }
    sl_certs_clear(&chain);
    if (rc == SL_OK)
        return sync_move(j->path_new, j->path, err);
    if (rc == SL_ENROLL_KEY_MISMATCH || rc == SL_CERT_NONE || rc == SL_CERT_MALFORMED)
        (void)unlink(j->path_new); /* of no use to anybody */
    return rc;
}

static void *run(void *arg)
{
    struct enroll_job *j = arg;
    struct sl_err err = { 0 }, ignored = { 0 };
    j->rc = j->kind == JOB_RECOVER ? recover(j, &err) : enroll(j, &err);
    j->err = err;
    /* The keys of an attempt that failed serve nobody, unless a certificate waits for its key. */
    if (j->kind != JOB_RECOVER) {
        (void)!remove_key(j, j->key_transport, &ignored);
        if (j->rc != SL_OK && access(j->path_new, F_OK) < 0)
            (void)!remove_key(j, j->key_new, &ignored);
    }
    pthread_mutex_lock(&j->lock);
    j->done = true;
    pthread_mutex_unlock(&j->lock);
    event_active(j->news, EV_TIMEOUT, 0);
    return NULL;
}

/* ---- in the loop ------------------------------------------------------------------------------------------ */
static void job_free(struct enroll_job *j)
{
    if (j->news)
        event_free(j->news);
    sl_secret_clear(&j->challenge);
    sl_buf_clear(&j->old_cert);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wake);
    free(j);
}

static void record(struct enroll_job *j)
{
    struct sl_err err = { 0 };
    const struct own *own = j->own;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "identity", own->conf->name, "action",
                          j->kind == JOB_ENROLL  ? "enrol"
                          : j->kind == JOB_RENEW ? "renew"
                                                 : "recover",
                          "server", j->scep ? j->scep->name : "", "verdict",
                          j->rc == SL_OK ? "done" : "failed", "reason", sl_rc_name(j->rc));
    if (j->rc != SL_OK)
        json_object_set_new(o, "text", json_string(sl_err_text(&j->err)));
    if (j->ca_fingerprint[0])
        json_object_set_new(o, "ca_sha256", json_string(j->ca_fingerprint));
    if (j->rc == SL_OK && j->ca_fingerprint[0])
        json_object_set_new(o, "first_use", json_boolean(j->first_use));
    if (j->transaction[0])
        json_object_set_new(o, "transaction", json_string(j->transaction));
    if (j->old_serial[0])
        json_object_set_new(o, "old_serial", json_string(j->old_serial));
    if (j->rc == SL_OK && own->chain.n) {
        char when[SL_TIME_TEXT];
        const struct sl_cert *c = own->chain.v[0];
        json_object_set_new(o, "subject", json_string(sl_cert_subject(c)));
        json_object_set_new(o, "serial", json_string(sl_cert_serial(c)));
        json_object_set_new(o, "not_after", json_string(sl_time_text(when, sl_cert_not_after(c))));
    }
    if (identity_record(j->id, "enroll", o, NULL, NULL, NULL, &err) != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "audit log: enrolment");
    json_decref(o);
}

static void answer_clients(struct enroll_job *j)
{
    json_t *o = json_pack("{s:o}", "certificate", identity_own_json(j->own));
    if (j->ca_fingerprint[0])
        json_object_set_new(o, "ca_sha256", json_string(j->ca_fingerprint));
    if (j->rc == SL_OK)
        json_object_set_new(o, "first_use", json_boolean(j->first_use));
    for (size_t i = 0; i < j->client_n; i++)
        if (j->rc == SL_OK)
            proc_ctl_reply(j->client[i], SL_OK, "", o, false);
        else
            proc_ctl_reply(j->client[i], j->rc, sl_err_text(&j->err), o, false);
    json_decref(o);
}

static void finished(struct enroll_job *j)
{
    struct identity *id = j->id;
    struct own *own = j->own;
    const char *name = own->conf->name;
    pthread_join(j->thread, NULL);
    own->job = NULL;
    if (j->rc == SL_OK) {
        identity_own_load(id, own, true);
        own->failures = 0;
        own->retry_at = 0;
        sl_info("identity %s: %s, certificate %s", name,
                j->kind == JOB_RENEW    ? "renewed"
                : j->kind == JOB_ENROLL ? "enrolled"
                                        : "recovered",
                own->chain.n ? sl_cert_name(own->chain.v[0]) : "?");
    } else {
        int64_t now = sl_clock_utc_s();
        int64_t left = own->chain.n ? sl_cert_not_after(own->chain.v[0]) - now : 0;
        own->failures++;
        own->retry_at = now + sl_renew_retry_s(own->failures, left, &sl_rng_system);
        snprintf(own->text, sizeof(own->text), "%.250s", sl_err_text(&j->err));
        sl_log_err(SL_LOG_ERROR, &j->err, "identity %s: %s failed", name,
                   j->kind == JOB_RENEW ? "renewal" : "enrolment");
        if (j->kind == JOB_RECOVER)
            identity_own_load(id, own, false);
    }
    record(j);
    answer_clients(j);
    job_free(j);
}

static void on_news(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct enroll_job *j = arg;
    char progress[sizeof(j->progress)];
    pthread_mutex_lock(&j->lock);
    bool done = j->done, told = j->told, pending = j->pending;
    memcpy(progress, j->progress, sizeof(progress));
    j->told = true;
    pthread_mutex_unlock(&j->lock);
    if (!told && progress[0]) {
        sl_info("identity %s: %s", j->own->conf->name, progress);
        json_t *o =
            json_pack("{s:s, s:s}", "state", pending ? "pending" : "running", "text", progress);
        for (size_t i = 0; i < j->client_n; i++)
            proc_ctl_reply(j->client[i], SL_OK, progress, o, true);
        json_decref(o);
    }
    if (done)
        finished(j);
}

/* A job not yet launched; NULL with *err. */
static struct enroll_job *new_job(struct identity *id, struct own *own, enum job_kind kind,
                                  struct sl_err *err)
{
    struct enroll_job *j = calloc(1, sizeof(*j));
    if (!j) {
        (void)SL_FAIL_MEM(err);
        return NULL;
    }
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL);
    j->id = id;
    j->own = own;
    j->kind = kind;
    j->scep = sl_config_scep(id->p->config, own->conf->scep);
    identity_own_path(id, own, "", j->path);
    identity_own_path(id, own, ".new", j->path_new);
    snprintf(j->key, sizeof(j->key), "%s", own->conf->name);
    snprintf(j->key_new, sizeof(j->key_new), "%s.new", own->conf->name);
    snprintf(j->key_transport, sizeof(j->key_transport), "%s.transport", own->conf->name);
    if (j->scep) {
        size_t at = (size_t)(j->scep - id->p->config->scep);
        snprintf(j->fingerprint, sizeof(j->fingerprint), "%s", j->scep->fingerprint);
        enum sl_rc rc = SL_OK;
        if (kind == JOB_ENROLL && challenges[at].len)
            rc = sl_secret_copy(&j->challenge, sl_secret_bytes(&challenges[at]), err);
        if (rc != SL_OK) {
            job_free(j);
            return NULL;
        }
    }
    if (own->chain.n) {
        snprintf(j->old_serial, sizeof(j->old_serial), "%s", sl_cert_serial(own->chain.v[0]));
        if (!sl_buf_put(&j->old_cert, sl_cert_der(own->chain.v[0]))) {
            job_free(j);
            (void)SL_FAIL_MEM(err);
            return NULL;
        }
    }
    j->news = event_new(id->p->base, -1, 0, on_news, j);
    if (!j->news) {
        job_free(j);
        (void)SL_FAIL_MEM(err);
        return NULL;
    }
    return j;
}

/* From here on the thread owns what it works with. False, and j is gone: it could not be begun. */
static bool launch(struct enroll_job *j, struct sl_err *err)
{
    int e = pthread_create(&j->thread, NULL, run, j);
    if (e) {
        job_free(j);
        (void)SL_FAIL(err, SL_NO_MEMORY, "thread: %s", strerror(e));
        return false;
    }
    j->own->job = j;
    return true;
}

const char *identity_enroll_state(const struct own *own)
{
    if (!own->job)
        return NULL;
    pthread_mutex_lock(&own->job->lock);
    bool pending = own->job->pending;
    pthread_mutex_unlock(&own->job->lock);
    return pending ? "pending" : "enrolling";
}

void identity_enroll_tick(struct identity *id)
{
    const int64_t now = sl_clock_utc_s();
    for (size_t i = 0; i < id->p->config->identity_n; i++) {
        struct own *own = &id->own[i];
        struct sl_err err = { 0 };
        if (!own->conf->scep[0] || own->conf->certificate[0] || !own->chain.n || own->job)
            continue;
        const struct sl_cert *c = own->chain.v[0];
        if (!own->renew_at)
            own->renew_at =
                sl_renew_at(sl_cert_not_before(c), sl_cert_not_after(c), own->conf->renew_percent,
                            own->conf->renew_jitter_percent, &sl_rng_system);
        int64_t due = own->retry_at ? own->retry_at : own->renew_at;
        if (own->state != OWN_VALID || now < due)
            continue;
        struct enroll_job *j = new_job(id, own, JOB_RENEW, &err);
        if (!j || !launch(j, &err)) {
            own->retry_at = now + 60;
            sl_log_err(SL_LOG_ERROR, &err, "identity %s: renewal", own->conf->name);
        }
    }
}

/* ---- the verb ------------------------------------------------------------------------------------------------ */
/* The enrolment that the arguments ask for, under way; NULL with *err. */
static struct enroll_job *begin(struct identity *id, const json_t *args, struct sl_err *err)
{
    const char *name = json_string_value(json_object_get(args, "identity"));
    const char *fingerprint = json_string_value(json_object_get(args, "fingerprint"));
    const char *challenge = json_string_value(json_object_get(args, "challenge"));
    bool renew = json_is_true(json_object_get(args, "renew"));
    struct own *own = name ? identity_own(id, name) : NULL;
    if (!own) {
        (void)SL_FAIL(err, SL_NOT_FOUND, "identity %s is not configured", name ? name : "(none)");
        return NULL;
    }
    if (!own->conf->scep[0]) {
        (void)SL_FAIL(err, SL_USAGE,
                      "identity %s names no scep section: its certificate is a file of the "
                      "configuration",
                      name);
        return NULL;
    }
    if (own->job)
        return own->job;
    bool valid = own->chain.n && own->state == OWN_VALID;
    if (renew && !valid) {
        (void)SL_FAIL(err, SL_USAGE, "identity %s has no valid certificate to renew", name);
        return NULL;
    }
    /* A challenge is for a first certificate, also where an old one is still valid. */
    struct enroll_job *j =
        new_job(id, own, valid && (renew || !challenge) ? JOB_RENEW : JOB_ENROLL, err);
    if (!j)
        return NULL;
    j->trust_on_first_use = json_is_true(json_object_get(args, "trust_on_first_use"));
    if (fingerprint && *fingerprint)
        snprintf(j->fingerprint, sizeof(j->fingerprint), "%s", fingerprint);
    if (challenge && *challenge) {
        sl_secret_clear(&j->challenge);
        if (sl_secret_copy(&j->challenge, sl_str(challenge), err) != SL_OK) {
            job_free(j);
            return NULL;
        }
    }
    return launch(j, err) ? j : NULL;
}

void identity_verb_enroll(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct sl_err err = { 0 };
    struct enroll_job *j = begin(ctx, args, &err);
    if (!j)
        proc_ctl_fail(q, &err);
    else if (j->client_n == CLIENTS_MAX)
        proc_ctl_reply(q, SL_UNAVAILABLE, "too many wait for this enrolment", NULL, false);
    else
        j->client[j->client_n++] = q;
}

/* ---- start and end --------------------------------------------------------------------------------------------- */
/* The first line of the file. */
static enum sl_rc read_challenge(int fd, struct sl_secret *out, struct sl_err *err)
{
    uint8_t text[CHALLENGE_MAX];
    ssize_t n = pread(fd, text, sizeof(text), 0);
    const uint8_t *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
    size_t len = end ? (size_t)(end - text) : n > 0 ? (size_t)n : 0;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    enum sl_rc rc = len ? sl_secret_copy(out, sl_bytes(text, len), err)
                        : SL_FAIL(err, SL_CONFIG_VALUE, "it starts with an empty line");
    sl_wipe(text, sizeof(text));
    return rc;
}

enum sl_rc identity_enroll_open(struct identity *id, struct sl_err *err)
{
    const struct sl_config *c = id->p->config;
    challenges = calloc(c->scep_n + 1, sizeof(*challenges));
    if (!challenges)
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < c->scep_n; i++) {
        char name[96];
        struct sl_err why = { 0 };
        snprintf(name, sizeof(name), "challenge:%s", c->scep[i].name);
        int fd = proc_fd_take(id->p, name);
        if (fd < 0)
            continue;
        if (read_challenge(fd, &challenges[i], &why) != SL_OK)
            sl_log_err(SL_LOG_ERROR, &why, "%s", c->scep[i].challenge_file);
        close(fd);
    }
    for (size_t i = 0; i < c->identity_n; i++) {
        struct own *own = &id->own[i];
        if (own->conf->certificate[0])
            continue;
        char path[IDENTITY_PATH_MAX];
        identity_own_path(id, own, ".new", path);
        if (access(path, F_OK) < 0) {
            identity_own_load(id, own, false);
            continue;
        }
        struct enroll_job *j = new_job(id, own, JOB_RECOVER, err);
        if (!j || !launch(j, err))
            return SL_NO_MEMORY;
    }
    return SL_OK;
}

bool identity_enroll_close(struct identity *id)
{
    bool busy = false;
    for (size_t i = 0; id->own && i < id->p->config->identity_n; i++) {
        struct enroll_job *j = id->own[i].job;
        if (!j)
            continue;
        pthread_mutex_lock(&j->lock);
        j->stop = true;
        pthread_cond_signal(&j->wake);
        pthread_mutex_unlock(&j->lock);
        busy = true;
    }
    for (size_t i = 0; challenges && i < id->p->config->scep_n; i++)
        sl_secret_clear(&challenges[i]);
    return busy;
}
