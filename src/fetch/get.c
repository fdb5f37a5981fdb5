/*
 * A fetch that is waited for (fetch.h), for commands and threads.
 */
#include "sealane/time.h"
#include "src/fetch/fetch.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void fail(struct fetch_reply *reply, const struct sl_err *err)
{
    *reply = (struct fetch_reply){ .rc = err->rc };
    (void)snprintf(reply->text, sizeof(reply->text), "%s", sl_err_text(err));
}

/* libcurl resolves in threads and leaves them behind at its deadline. */
static void get_http(const struct fetch_rules *rules, const struct fetch_request *q,
                     struct fetch_reply *reply)
{
    struct sl_err err = { 0 };
    struct fetch_http *h = NULL;
    if (fetch_http_new(&h, rules, q, NULL, &err) != SL_OK) {
        fail(reply, &err);
        return;
    }
    while (fetch_http_next(h, (int)curl_easy_perform(fetch_http_easy(h)), reply))
        ;
    fetch_http_free(h);
}

/*
 * LDAP runs in a thread of its own, which the asker leaves behind when a resolver keeps it past the
 * deadline; so it works on copies, and whoever comes last frees them.
 */
struct ldap_call {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned holders; /* under mutex */
    bool done;
    struct fetch_rules rules;
    struct fetch_request q;
    char *uri;
    int64_t end_ns;
    struct fetch_reply reply;
};

static void call_release(struct ldap_call *c)
{
    pthread_mutex_lock(&c->mutex);
    bool last = --c->holders == 0;
    pthread_mutex_unlock(&c->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->cond);
    fetch_reply_clear(&c->reply);
    fetch_rules_clear(&c->rules);
    free(c->uri);
    free(c);
}

static void *call_run(void *arg)
{
    struct ldap_call *c = arg;
    struct fetch_reply reply;
    fetch_ldap_get(&c->rules, &c->q, c->end_ns, &reply);
    pthread_mutex_lock(&c->mutex);
    c->reply = reply;
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
    call_release(c);
    return NULL;
}

/* What LDAP needs of the rules; rewriting is done before, and there is no proxy for LDAP. */
static bool copy_rules(struct fetch_rules *to, const struct fetch_rules *from)
{
    *to = (struct fetch_rules){ .max_crl_bytes = from->max_crl_bytes, .proxy = strdup("") };
    if (from->allow_n && (to->allow = calloc(from->allow_n, sizeof(*to->allow)))) {
        memcpy(to->allow, from->allow, from->allow_n * sizeof(*to->allow));
        to->allow_n = from->allow_n;
    }
    if (from->deny_n && (to->deny = calloc(from->deny_n, sizeof(*to->deny)))) {
        memcpy(to->deny, from->deny, from->deny_n * sizeof(*to->deny));
        to->deny_n = from->deny_n;
    }
    return to->proxy && to->allow_n == from->allow_n && to->deny_n == from->deny_n;
}

static void call_wait(struct ldap_call *c, struct fetch_reply *reply)
{
    struct timespec end = { .tv_sec = c->end_ns / SL_NS_PER_S, .tv_nsec = c->end_ns % SL_NS_PER_S };
    struct sl_err err = { 0 };
    int e = 0;
    pthread_mutex_lock(&c->mutex);
    while (!c->done && e == 0)
        e = pthread_cond_timedwait(&c->cond, &c->mutex, &end);
    if (c->done) {
        *reply = c->reply;
        c->reply.body = (struct sl_buf){ 0 };
    }
    bool done = c->done;
    pthread_mutex_unlock(&c->mutex);
    if (!done) {
        (void)SL_FAIL(&err, SL_TIMEOUT, "%.200s: no answer within the deadline", c->uri);
        fail(reply, &err);
    }
}

static void get_ldap(const struct fetch_rules *rules, const struct fetch_request *q,
                     const struct fetch_target *t, struct fetch_reply *reply)
{
    struct sl_err err = { 0 };
    int64_t ms = q->deadline_ms > 0 ? q->deadline_ms : FETCH_LDAP_DEADLINE_MS;
    struct ldap_call *c = calloc(1, sizeof(*c));
    pthread_condattr_t attr;
    pthread_t thread;
    if (!c) {
        (void)SL_FAIL_MEM(&err);
        fail(reply, &err);
        return;
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
    c->holders = 1;
    c->uri = sl_strdup_bytes(sl_buf_bytes(&t->text));
    c->end_ns = sl_clock_mono_ns() +
                (ms < FETCH_DEADLINE_MAX_MS ? ms : FETCH_DEADLINE_MAX_MS) * SL_NS_PER_MS;
    if (c->uri && copy_rules(&c->rules, rules)) {
        c->q = (struct fetch_request){ .uri = sl_str(c->uri),
                                       .origin = t->origin,
                                       .max_bytes = q->max_bytes };
        c->holders = 2;
        if (pthread_create(&thread, NULL, call_run, c) == 0) {
            pthread_detach(thread);
            call_wait(c, reply);
            call_release(c);
            return;
        }
        c->holders = 1;
    }
    (void)SL_FAIL_MEM(&err);
    fail(reply, &err);
    call_release(c);
}

enum sl_rc fetch_get(const struct fetch_rules *rules, const struct fetch_request *q,
                     struct fetch_reply *reply)
{
    struct fetch_target t = { 0 };
    struct sl_err err = { 0 };
    /* a rewrite may change the scheme, so it comes first */
    if (fetch_target_init(&t, rules, q->uri, q->origin, &err) != SL_OK)
        fail(reply, &err);
    else if (fetch_is_http(t.uri.scheme))
        get_http(rules, q, reply);
    else
        get_ldap(rules, q, &t, reply);
    fetch_target_clear(&t);
    return reply->rc;
}
