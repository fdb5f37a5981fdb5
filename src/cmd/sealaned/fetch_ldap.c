/*
 * LDAP searches by libldap (RFC 4511, 4513, 4516), which blocks: so each configured directory has a
 * few threads of its own, each with a connection that it keeps. A dead server occupies only them,
 * and the loop answers every request at its deadline, whatever its thread is doing.
 *
 * A job belongs to the queue, then to a thread, then to the loop, which alone frees it.
 */
#include "src/cmd/sealaned/fetch.h"

#include "sealane/time.h"

#include <errno.h>
#include <ldap.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS          2 /* for each directory */
#define THREADS_URI      8 /* for all URIs: strangers' servers may hold one each */
#define QUEUE_MAX        1000
#define ANSWER_BYTES_MAX ((size_t)8 << 20)
#define DEADLINE_MS      5000
#define DEADLINE_MAX_MS  60000
#define LIMIT_DEFAULT    100
#define PATH_OF_FD       32

struct job {
    struct job *next;
    struct ldap_pool *pool;
    struct fetch_asker who;
    bool http;     /* answered by HTTP_REPLY */
    bool answered; /* the loop's; at the deadline */
    struct event *timer;
    int64_t end_ns;
    struct msg_ldap ask; /* base and filter point to the copies below */
    char *base, *filter, *uri;
    /* the thread's answer */
    enum sl_rc rc;
    struct sl_err err;
    struct sl_buf entries;
    uint32_t entry_n;
    struct fetch_request request; /* of a URI: where, and how many bytes */
    struct fetch_reply reply;
};

struct ldap_pool {
    struct fetch *f;
    const struct sl_conf_directory *d;                      /* NULL: the pool of URIs */
    char ca[PATH_OF_FD], cert[PATH_OF_FD], key[PATH_OF_FD]; /* paths that libldap reads */
    int fd[3];
    struct sl_secret password;
    pthread_t thread[THREADS_URI];
    unsigned threads;
    struct event *done_event;
    uint64_t asked, failed; /* the loop's */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    /* under mutex */
    struct job *first, **last;
    unsigned queued;
    struct job *done;
    bool stop;
};

/* ---- the loop's side --------------------------------------------------------------------------- */
static void job_free(struct job *j)
{
    if (j->timer)
        event_free(j->timer);
    free(j->base);
    free(j->filter);
    free(j->uri);
    sl_buf_clear(&j->entries);
    fetch_reply_clear(&j->reply);
    free(j);
}

static const char *pool_name(const struct ldap_pool *p)
{
    return p->d ? p->d->name : "LDAP URIs";
}

static void answer(struct job *j, enum sl_rc rc, const char *text)
{
    struct fetch *f = j->pool->f;
    j->answered = true;
    j->pool->failed += rc != SL_OK;
    if (j->http) {
        /* the thread may be at work on j->reply still, unless it succeeded */
        struct fetch_reply failed = { .rc = rc };
        (void)snprintf(failed.text, sizeof(failed.text), "%s", text);
        fetch_answer_reply(f, j->who, rc == SL_OK ? &j->reply : &failed);
        return;
    }
    if (rc == SL_OK)
        f->done++;
    else
        f->failed++;
    struct msg_ldap_reply m = { .rc = rc };
    (void)snprintf(m.text, sizeof(m.text), "%s", text);
    if (rc == SL_OK) {
        m.entry_n = j->entry_n;
        m.entries = sl_buf_bytes(&j->entries);
    }
    fetch_answer_ldap(f, j->who, &m);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct job *j = arg;
    char text[SL_ERR_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s: no answer within the deadline", pool_name(j->pool));
    answer(j, SL_TIMEOUT, text);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct ldap_pool *p = arg;
    pthread_mutex_lock(&p->mutex);
    struct job *j = p->done;
    p->done = NULL;
    pthread_mutex_unlock(&p->mutex);
    while (j) {
        struct job *next = j->next;
        if (!j->answered)
            answer(j, j->rc, j->rc == SL_OK ? "" : sl_err_text(&j->err));
        job_free(j);
        j = next;
    }
}

static void refuse(struct job *j, enum sl_rc rc, const char *why)
{
    char text[SL_ERR_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s: %s", pool_name(j->pool), why);
    answer(j, rc, text);
    job_free(j);
}

/* Takes the job. */
static void enqueue(struct ldap_pool *p, struct job *j, uint32_t deadline_ms)
{
    int64_t ms = deadline_ms ? deadline_ms : DEADLINE_MS;
    if (ms > DEADLINE_MAX_MS)
        ms = DEADLINE_MAX_MS;
    j->end_ns = sl_clock_mono_ns() + ms * SL_NS_PER_MS;
    j->timer = evtimer_new(p->f->p->base, on_deadline, j);
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (!j->timer || evtimer_add(j->timer, &tv) < 0) {
        refuse(j, SL_NO_MEMORY, "out of memory");
        return;
    }
    p->asked++;
    pthread_mutex_lock(&p->mutex);
    bool full = p->queued >= QUEUE_MAX;
    if (!full) {
        *p->last = j;
        p->last = &j->next;
        p->queued++;
        pthread_cond_signal(&p->cond);
    }
    pthread_mutex_unlock(&p->mutex);
    if (full)
        refuse(j, SL_UNAVAILABLE, "too many searches wait already");
}

static struct ldap_pool *find_pool(struct fetch *f, const char *directory)
{
    for (size_t i = 0; i < f->pools_n; i++)
        if (f->pools[i].d ? directory && !strcmp(f->pools[i].d->name, directory) : !directory)
            return &f->pools[i];
    return NULL;
}

void fetch_ldap_search(struct fetch *f, struct fetch_asker who, const struct msg_ldap *m)
{
    struct ldap_pool *p = find_pool(f, m->directory);
    struct job *j = p ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        struct msg_ldap_reply a = { .rc = p ? SL_NO_MEMORY : SL_NOT_FOUND };
        (void)snprintf(a.text, sizeof(a.text), "directory %s: %s", m->directory,
                       p ? "out of memory" : "there is no LDAP directory of this name");
        f->failed++;
        fetch_answer_ldap(f, who, &a);
        return;
    }
    j->pool = p;
    j->who = who;
    j->ask = *m;
    j->base = sl_strdup_bytes(m->base); /* NULL also when it holds a NUL */
    j->filter = sl_strdup_bytes(m->filter);
    if (j->base && j->filter)
        enqueue(p, j, m->deadline_ms);
    else
        refuse(j, SL_MALFORMED, "base or filter cannot be used");
}

enum sl_rc fetch_ldap_uri(struct fetch *f, struct fetch_asker who, const struct msg_http *m,
                          struct sl_err *err)
{
    struct ldap_pool *p = find_pool(f, NULL);
    struct job *j = p ? calloc(1, sizeof(*j)) : NULL;
    if (!j)
        return SL_FAIL_MEM(err);
    j->pool = p;
    j->who = who;
    j->http = true;
    j->uri = sl_strdup_bytes(m->uri);
    if (j->uri) {
        j->request = (struct fetch_request){ .uri = sl_str(j->uri),
                                             .origin = fetch_request_of(m).origin,
                                             .max_bytes = m->max_bytes };
        enqueue(p, j, m->deadline_ms);
    } else {
        refuse(j, SL_MALFORMED, "URI cannot be used");
    }
    return SL_OK;
}

json_t *fetch_ldap_status(const struct fetch *f)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->pools_n; i++) {
        struct ldap_pool *p = &f->pools[i];
        if (!p->d)
            continue;
        pthread_mutex_lock(&p->mutex);
        unsigned queued = p->queued;
        pthread_mutex_unlock(&p->mutex);
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:I, s:I, s:i}", "directory", p->d->name, "uri",
                                        p->d->uri, "asked", (json_int_t)p->asked, "failed",
                                        (json_int_t)p->failed, "waiting", (int)queued));
    }
    return all;
}

/* ---- a thread's side: connecting --------------------------------------------------------------- */
static enum sl_rc ldap_failed(const struct ldap_pool *p, LDAP *ld, const char *what, int e,
                              struct sl_err *err)
{
    char *detail = NULL;
    if (ld)
        ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &detail);
    enum sl_rc rc = SL_DIR_UNAVAILABLE;
    if (e == LDAP_TIMEOUT)
        rc = SL_TIMEOUT;
    else if (e == LDAP_FILTER_ERROR || e == LDAP_DECODING_ERROR)
        rc = SL_DIR_BAD_ANSWER;
    char safe[160] = "";
    if (detail && *detail)
        sl_printable(safe, sizeof(safe), sl_str(detail));
    (void)SL_FAIL(err, rc, "directory %s: %s: %s%s%s", pool_name(p), what, ldap_err2string(e),
                  *safe ? ": " : "", safe);
    if (detail)
        ldap_memfree(detail);
    return rc;
}

static struct timeval time_left(const struct job *j)
{
    int64_t ns = j->end_ns - sl_clock_mono_ns();
    if (ns < SL_NS_PER_MS)
        ns = SL_NS_PER_MS;
    return (struct timeval){ .tv_sec = ns / SL_NS_PER_S, .tv_usec = ns % SL_NS_PER_S / 1000 };
}

static bool set_tls(const struct ldap_pool *p, LDAP *ld)
{
    int demand = LDAP_OPT_X_TLS_DEMAND, least = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;
    bool good = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == 0 &&
                ldap_set_option(ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least) == 0;
    if (*p->ca)
        good = good && ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, p->ca) == 0;
    if (*p->cert && *p->key)
        good = good && ldap_set_option(ld, LDAP_OPT_X_TLS_CERTFILE, p->cert) == 0 &&
               ldap_set_option(ld, LDAP_OPT_X_TLS_KEYFILE, p->key) == 0;
    return good && ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) == 0;
}

static enum sl_rc bind_as(const struct ldap_pool *p, LDAP *ld, struct sl_err *err)
{
    const struct sl_conf_directory *d = p->d;
    char none[] = "";
    struct berval password = { .bv_val = none }; /* for EXTERNAL: present, and empty (RFC 4422 A) */
    int e;
    if (!d)
        return SL_OK; /* anonymous: LDAP needs no bind for that (RFC 4513 4) */
    if (d->sasl_external) {
        e = ldap_sasl_bind_s(ld, NULL, "EXTERNAL", &password, NULL, NULL, NULL);
        return e ? ldap_failed(p, ld, "SASL EXTERNAL", e, err) : SL_OK;
    }
    if (!*d->bind_dn)
        return SL_OK;
    /* a name without a password is an anonymous bind that looks like a success (RFC 4513 5.1.2) */
    if (!p->password.len)
        return SL_FAIL(err, SL_DIR_UNAVAILABLE, "directory %s: no password for %s", d->name,
                       d->bind_dn);
    password = (struct berval){ .bv_val = (char *)p->password.p, .bv_len = p->password.len };
    e = ldap_sasl_bind_s(ld, d->bind_dn, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
    return e ? ldap_failed(p, ld, "bind", e, err) : SL_OK;
}

static enum sl_rc connect_to(const struct ldap_pool *p, const struct job *j, const char *uri,
                             bool starttls, LDAP **out, struct sl_err *err)
{
    LDAP *ld = NULL;
    int version = LDAP_VERSION3, e = ldap_initialize(&ld, uri);
    struct timeval tv = time_left(j);
    if (e)
        return ldap_failed(p, NULL, uri, e, err);
    bool good = ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) == 0 &&
                ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == 0 &&
                ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &tv) == 0 &&
                ldap_set_option(ld, LDAP_OPT_TIMEOUT, &tv) == 0;
    bool tls = starttls || !strncmp(uri, "ldaps://", 8);
    if (good && tls)
        good = set_tls(p, ld);
    enum sl_rc rc = good ? SL_OK : ldap_failed(p, ld, "options", LDAP_LOCAL_ERROR, err);
    if (rc == SL_OK && starttls && (e = ldap_start_tls_s(ld, NULL, NULL)))
        rc = ldap_failed(p, ld, "StartTLS", e, err);
    if (rc == SL_OK)
        rc = bind_as(p, ld, err);
    if (rc != SL_OK) {
        ldap_unbind_ext_s(ld, NULL, NULL);
        return rc;
    }
    *out = ld;
    return SL_OK;
}

/* ---- a thread's side: searching ---------------------------------------------------------------- */
static bool add_values(LDAP *ld, LDAPMessage *entry, const char *attr, struct sl_wr *w, uint32_t *n)
{
    struct berval **v = ldap_get_values_len(ld, entry, attr);
    for (size_t i = 0; v && v[i]; i++) {
        struct msg_ldap_value value = { .attr = sl_str(attr),
                                        .value = sl_bytes(v[i]->bv_val, v[i]->bv_len) };
        msg_ldap_value_write(&value, w);
        ++*n;
    }
    ldap_value_free_len(v);
    return sl_wr_ok(w);
}

static bool add_entry(struct job *j, LDAP *ld, LDAPMessage *entry)
{
    SL_AUTO_BUF values = { 0 };
    struct sl_wr vw = sl_wr_buf(&values, ANSWER_BYTES_MAX);
    struct sl_wr ew = sl_wr_buf(&j->entries, ANSWER_BYTES_MAX);
    struct msg_ldap_entry e = { 0 };
    BerElement *ber = NULL;
    bool good = true;
    char *dn = ldap_get_dn(ld, entry);
    for (char *a = ldap_first_attribute(ld, entry, &ber); a && good;
         a = ldap_next_attribute(ld, entry, ber)) {
        good = add_values(ld, entry, a, &vw, &e.value_n);
        ldap_memfree(a);
    }
    ber_free(ber, 0);
    e.dn = sl_str(dn ? dn : "");
    e.values = sl_buf_bytes(&values);
    if (good)
        msg_ldap_entry_write(&e, &ew);
    ldap_memfree(dn);
    j->entry_n++;
    return good && sl_wr_ok(&ew);
}

static enum sl_rc take_entries(struct job *j, LDAP *ld, LDAPMessage *result, struct sl_err *err)
{
    for (LDAPMessage *m = ldap_first_entry(ld, result); m; m = ldap_next_entry(ld, m))
        if (j->entry_n < j->ask.limit && !add_entry(j, ld, m))
            return SL_FAIL(err, SL_TOO_LARGE, "directory %s: answer is over %zu bytes",
                           pool_name(j->pool), ANSWER_BYTES_MAX);
    return SL_OK;
}

/* LDAP's code; LDAP_SUCCESS with *rc when entries came. */
static int search_once(struct job *j, LDAP *ld, enum sl_rc *rc)
{
    char *attrs[MSG_LDAP_ATTRS_MAX + 1] = { 0 };
    LDAPMessage *result = NULL;
    struct timeval tv = time_left(j);
    for (size_t i = 0; i < j->ask.attr_n; i++)
        attrs[i] = j->ask.attr[i];
    int e =
        ldap_search_ext_s(ld, j->base, (int)j->ask.scope, j->filter, j->ask.attr_n ? attrs : NULL,
                          0, NULL, NULL, &tv, (int)j->ask.limit, &result);
    /* "more than you asked for" comes with as many as were asked for */
    if (e == LDAP_SUCCESS || e == LDAP_SIZELIMIT_EXCEEDED) {
        *rc = take_entries(j, ld, result, &j->err);
        e = LDAP_SUCCESS;
    } else if (e == LDAP_NO_SUCH_OBJECT) {
        *rc = SL_OK; /* nothing found */
        e = LDAP_SUCCESS;
    }
    ldap_msgfree(result);
    return e;
}

static bool connection_lost(int e)
{
    return e == LDAP_SERVER_DOWN || e == LDAP_CONNECT_ERROR || e == LDAP_UNAVAILABLE ||
           e == LDAP_TIMEOUT;
}

static void hang_up(LDAP **ld)
{
    if (*ld)
        ldap_unbind_ext_s(*ld, NULL, NULL);
    *ld = NULL;
}

static void run_search(struct job *j, LDAP **ld)
{
    const struct sl_conf_directory *d = j->pool->d;
    bool kept = *ld != NULL;
    if (!j->ask.limit)
        j->ask.limit = LIMIT_DEFAULT;
    for (;;) {
        j->rc = SL_OK;
        if (!*ld)
            j->rc = connect_to(j->pool, j, d->uri,
                               d->starttls && strncmp(d->uri, "ldaps://", 8) != 0 &&
                                   strncmp(d->uri, "ldapi://", 8) != 0,
                               ld, &j->err);
        if (j->rc != SL_OK)
            return;
        int e = search_once(j, *ld, &j->rc);
        if (e == LDAP_SUCCESS)
            return;
        j->rc = ldap_failed(j->pool, *ld, "search", e, &j->err);
        if (connection_lost(e))
            hang_up(ld);
        /* a connection that was kept may have been closed meanwhile: once more on a new one */
        if (!kept || *ld || e == LDAP_TIMEOUT)
            return;
        kept = false;
    }
}

/* ---- a thread's side: work ------------------------------------------------------------------------- */
static void run_uri(struct job *j)
{
    fetch_ldap_get(&j->pool->f->rules, &j->request, j->end_ns, &j->reply);
    j->rc = j->reply.rc;
    if (j->rc != SL_OK)
        (void)SL_FAIL(&j->err, j->rc, "%s", j->reply.text);
}

static void *work(void *arg)
{
    struct ldap_pool *p = arg;
    LDAP *ld = NULL;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->first && !p->stop)
            pthread_cond_wait(&p->cond, &p->mutex);
        if (p->stop)
            break;
        struct job *j = p->first;
        p->first = j->next;
        if (!p->first)
            p->last = &p->first;
        p->queued--;
        pthread_mutex_unlock(&p->mutex);
        if (sl_clock_mono_ns() >= j->end_ns)
            j->rc = SL_FAIL(&j->err, SL_TIMEOUT, "%s: waited too long for its turn", pool_name(p));
        else if (p->d)
            run_search(j, &ld);
        else
            run_uri(j);
        pthread_mutex_lock(&p->mutex);
        if (p->stop) /* the loop has ended, and the process is about to */
            break;
        j->next = p->done;
        p->done = j;
        event_active(p->done_event, EV_TIMEOUT, 0);
    }
    pthread_mutex_unlock(&p->mutex);
    hang_up(&ld);
    return NULL;
}

/* ---- beginning and end ------------------------------------------------------------------------- */
/*
 * libldap takes files by path, and the handed ones may be readable by root alone: their content goes
 * into a memfd of ours, whose path under /proc only this process can use.
 */
static int own_copy(int fd, const char *what, char path[PATH_OF_FD])
{
    struct stat st;
    int copy = memfd_create("sealane-file", MFD_CLOEXEC);
    if (copy >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size < 1 << 20) {
        SL_AUTO_SECRET all = { 0 };
        if (sl_secret_init(&all,
                           (size_t)st.st_size < SL_SECRET_MAX ? (size_t)st.st_size : SL_SECRET_MAX,
                           NULL) == SL_OK) {
            off_t at = 0;
            ssize_t n;
            while ((n = pread(fd, all.p, all.len, at)) > 0 && write(copy, all.p, (size_t)n) == n)
                at += n;
            if (at == st.st_size) {
                (void)snprintf(path, PATH_OF_FD, "/proc/self/fd/%d", copy);
                close(fd);
                return copy;
            }
        }
    }
    sl_error("%s: %s", what, strerror(errno));
    if (copy >= 0)
        close(copy);
    close(fd);
    return -1;
}

static int take_file(struct ldap_pool *p, const char *kind, char path[PATH_OF_FD])
{
    char name[96];
    (void)snprintf(name, sizeof(name), "%s:%s", kind, p->d->name);
    int fd = proc_fd_take(p->f->p, name);
    return fd < 0 ? -1 : own_copy(fd, name, path);
}

/* The first line, without its end. */
static enum sl_rc take_password(struct ldap_pool *p, struct sl_err *err)
{
    char name[96];
    (void)snprintf(name, sizeof(name), "password:%s", p->d->name);
    int fd = proc_fd_take(p->f->p, name);
    if (fd < 0)
        return SL_OK;
    SL_AUTO_SECRET all = { 0 };
    SL_TRY(sl_secret_init(&all, 4096, err));
    ssize_t n = pread(fd, all.p, all.len, 0);
    close(fd);
    if (n < 0)
        return SL_FAIL(err, SL_IO, "%s: %s", name, strerror(errno));
    size_t len = 0;
    while (len < (size_t)n && all.p[len] != '\n' && all.p[len] != '\r')
        len++;
    return len ? sl_secret_copy(&p->password, sl_bytes(all.p, len), err) : SL_OK;
}

static enum sl_rc pool_open(struct ldap_pool *p, struct fetch *f, const struct sl_conf_directory *d,
                            struct sl_err *err)
{
    p->f = f;
    p->d = d;
    p->last = &p->first;
    p->fd[0] = p->fd[1] = p->fd[2] = -1;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->cond, NULL);
    p->done_event = event_new(f->p->base, -1, 0, on_done, p);
    if (!p->done_event)
        return SL_FAIL_MEM(err);
    if (d) {
        p->fd[0] = take_file(p, "ca", p->ca);
        p->fd[1] = take_file(p, "client_cert", p->cert);
        p->fd[2] = take_file(p, "client_key", p->key);
        SL_TRY(take_password(p, err));
    }
    for (unsigned n = d ? THREADS : THREADS_URI; p->threads < n; p->threads++) {
        int e = pthread_create(&p->thread[p->threads], NULL, work, p);
        if (e)
            return SL_FAIL(err, SL_NO_MEMORY, "thread: %s", strerror(e));
    }
    return SL_OK;
}

enum sl_rc fetch_ldap_open(struct fetch *f, struct sl_err *err)
{
    const struct sl_config *c = f->p->config;
    f->pools = calloc(c->directory_n + 1, sizeof(*f->pools));
    if (!f->pools)
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < c->directory_n; i++)
        if (c->directory[i].type == SL_DIRECTORY_LDAP)
            SL_TRY(pool_open(&f->pools[f->pools_n++], f, &c->directory[i], err));
    return pool_open(&f->pools[f->pools_n++], f, NULL, err);
}

/* A thread in a dead server's hands ends with the process. */
void fetch_ldap_close(struct fetch *f)
{
    for (size_t i = 0; i < f->pools_n; i++) {
        struct ldap_pool *p = &f->pools[i];
        pthread_mutex_lock(&p->mutex);
        p->stop = true;
        pthread_cond_broadcast(&p->cond);
        pthread_mutex_unlock(&p->mutex);
        for (unsigned k = 0; k < p->threads; k++)
            pthread_detach(p->thread[k]);
    }
}
