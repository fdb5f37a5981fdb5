/*
 * Fetch: the only process that makes connections. It answers two questions of identity: HTTP
 * exchanges (CRL, OCSP, SCEP) by libcurl on the event loop, and LDAP searches by libldap in threads
 * (fetch_ldap.c). Every request has a deadline of its own and waits for no other. What may be
 * fetched and how is in src/fetch/. What comes back is bytes; reading them is identity's business.
 */
#include "src/cmd/sealaned/fetch.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFERS_MAX 512 /* at once; the rest is told to come again */
#ifdef SL_FAULTS
#define SHOWN_MAX ((size_t)1 << 20) /* of a body, to a test */
#endif

struct transfer {
    struct fetch *f;
    struct transfer *next;
    struct fetch_asker who;
    struct fetch_http *http;
};

/* ---- answers ----------------------------------------------------------------------------------- */
#ifdef SL_FAULTS
static char *as_hex(struct sl_bytes v)
{
    char *hex = malloc(2 * v.len + 1);
    return hex ? sl_hex(hex, 2 * v.len + 1, v) : NULL;
}

static json_t *as_json(struct sl_bytes v)
{
    char *hex = as_hex(v);
    json_t *text = json_stringn((const char *)v.p, v.len);
    json_t *o = text ? text : json_string(hex ? hex : "");
    free(hex);
    return o;
}

static void set_value(json_t *entry, const struct msg_ldap_value *v)
{
    char *name = sl_strdup_bytes(v->attr);
    if (name)
        json_object_set_new(entry, name, as_json(v->value));
    free(name);
}

static void answer_test(struct proc_ctl *q, enum sl_rc rc, const char *text, json_t *data)
{
    proc_ctl_reply(q, rc, text, data, false);
    json_decref(data);
}
#endif

void fetch_answer_http(struct fetch *f, struct fetch_asker who, const struct msg_http_reply *m)
{
    struct sl_err err = { 0 };
#ifdef SL_FAULTS
    if (who.ctl) {
        answer_test(who.ctl, m->rc, m->text,
                    json_pack("{s:i, s:s, s:s, s:s, s:i, s:I, s:o}", "status", (int)m->status,
                              "type", m->content_type, "etag", m->etag, "last_modified",
                              m->last_modified, "values", (int)m->value_n, "size",
                              (json_int_t)m->body.len, "body",
                              as_json(sl_bytes_slice(m->body, 0, SHOWN_MAX))));
        return;
    }
#endif
    if (msg_answer(f->p->link[PROC_IDENTITY], who.id, MSG_HTTP_REPLY, m, false, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "answer to identity");
}

void fetch_answer_ldap(struct fetch *f, struct fetch_asker who, const struct msg_ldap_reply *m)
{
    struct sl_err err = { 0 };
#ifdef SL_FAULTS
    if (who.ctl) {
        json_t *entries = json_array();
        struct sl_rd r = sl_rd(m->entries);
        struct msg_ldap_entry e;
        while (sl_rd_left(&r) && msg_ldap_entry_read(&e, &r)) {
            json_t *entry = json_pack("{s:o}", "dn", as_json(e.dn));
            struct sl_rd v = sl_rd(e.values);
            struct msg_ldap_value value;
            while (sl_rd_left(&v) && msg_ldap_value_read(&value, &v))
                set_value(entry, &value);
            json_array_append_new(entries, entry);
        }
        answer_test(who.ctl, m->rc, m->text, json_pack("{s:o}", "entries", entries));
        return;
    }
#endif
    if (msg_answer(f->p->link[PROC_IDENTITY], who.id, MSG_LDAP_REPLY, m, false, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "answer to identity");
}

void fetch_answer_reply(struct fetch *f, struct fetch_asker who, const struct fetch_reply *r)
{
    struct msg_http_reply m = {
        .rc = r->rc, .status = r->status, .body = sl_buf_bytes(&r->body), .value_n = r->value_n
    };
    (void)snprintf(m.text, sizeof(m.text), "%s", r->text);
    (void)snprintf(m.content_type, sizeof(m.content_type), "%s", r->content_type);
    (void)snprintf(m.etag, sizeof(m.etag), "%s", r->etag);
    (void)snprintf(m.last_modified, sizeof(m.last_modified), "%s", r->last_modified);
    if (r->rc == SL_OK) {
        f->done++;
    } else {
        f->failed++;
        f->denied += r->rc == SL_DENIED;
        sl_debug("%s", m.text);
    }
    fetch_answer_http(f, who, &m);
}

static void refuse_http(struct fetch *f, struct fetch_asker who, const struct sl_err *err)
{
    struct msg_http_reply m = { .rc = err->rc };
    f->failed++;
    f->denied += err->rc == SL_DENIED;
    (void)snprintf(m.text, sizeof(m.text), "%s", sl_err_text(err));
    fetch_answer_http(f, who, &m);
}

static void transfer_free(struct transfer *t)
{
    struct transfer **p = &t->f->transfers;
    while (*p && *p != t)
        p = &(*p)->next;
    if (*p) {
        *p = t->next;
        t->f->transfers_n--;
    }
    fetch_http_free(t->http);
    free(t);
}

static void finish(struct transfer *t, CURLcode code)
{
    struct fetch *f = t->f;
    struct fetch_reply reply;
    CURL *easy = fetch_http_easy(t->http);
    curl_multi_remove_handle(f->multi, easy);
    if (fetch_http_next(t->http, (int)code, &reply)) {
        if (curl_multi_add_handle(f->multi, easy) == CURLM_OK)
            return;
        reply = (struct fetch_reply){ .rc = SL_NO_MEMORY };
    }
    fetch_answer_reply(f, t->who, &reply);
    fetch_reply_clear(&reply);
    transfer_free(t);
}

/* ---- libcurl on the event loop ----------------------------------------------------------------- */
static void take_finished(struct fetch *f)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(f->multi, &left))) {
        struct fetch_http *h = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&h);
        finish(fetch_http_owner(h), code);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct fetch *f = arg;
    int running,
        bits = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(f->multi, fd, bits, &running);
    take_finished(f);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct fetch *f = arg;
    int running;
    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(f);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *per_socket)
{
    (void)easy;
    struct fetch *f = arg;
    struct event *e = per_socket;
    if (e) {
        event_free(e);
        curl_multi_assign(f->multi, fd, NULL);
    }
    if (what == CURL_POLL_REMOVE)
        return 0;
    short bits = EV_PERSIST;
    if (what & CURL_POLL_IN)
        bits |= EV_READ;
    if (what & CURL_POLL_OUT)
        bits |= EV_WRITE;
    e = event_new(f->p->base, fd, bits, on_socket, f);
    if (!e || event_add(e, NULL) < 0)
        return -1;
    curl_multi_assign(f->multi, fd, e);
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct fetch *f = arg;
    if (ms < 0)
        return evtimer_del(f->timer);
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    return evtimer_add(f->timer, &tv);
}

/* ---- a request --------------------------------------------------------------------------------- */
struct fetch_request fetch_request_of(const struct msg_http *m)
{
    return (struct fetch_request){ .uri = m->uri,
                                   .origin =
                                       m->configured ? FETCH_CONFIGURED : FETCH_FROM_CERTIFICATE,
                                   .post = !strcmp(m->method, "POST"),
                                   .content_type = m->content_type,
                                   .accept = m->accept,
                                   .body = m->body,
                                   .max_bytes = m->max_bytes,
                                   .deadline_ms = m->deadline_ms,
                                   .follow = m->follow,
                                   .etag = m->etag,
                                   .last_modified = m->last_modified };
}

static enum sl_rc start_transfer(struct fetch *f, struct fetch_asker who, const struct msg_http *m,
                                 struct sl_err *err)
{
    struct fetch_request q = fetch_request_of(m);
    if (!q.post && strcmp(m->method, "GET") != 0)
        return SL_FAIL(err, SL_UNSUPPORTED, "HTTP method \"%s\"", m->method);
    if (f->transfers_n >= TRANSFERS_MAX)
        return SL_FAIL(err, SL_UNAVAILABLE, "%u transfers are under way", f->transfers_n);
    struct transfer *t = calloc(1, sizeof(*t));
    if (!t)
        return SL_FAIL_MEM(err);
    t->f = f;
    t->who = who;
    enum sl_rc rc = fetch_http_new(&t->http, &f->rules, &q, t, err);
    if (rc == SL_OK && curl_multi_add_handle(f->multi, fetch_http_easy(t->http)) != CURLM_OK)
        rc = SL_FAIL_MEM(err);
    if (rc != SL_OK) {
        transfer_free(t);
        return rc;
    }
    t->next = f->transfers;
    f->transfers = t;
    f->transfers_n++;
    return SL_OK;
}

static void start_http(struct fetch *f, struct fetch_asker who, const struct msg_http *m)
{
    struct sl_err err = { 0 };
    struct fetch_target t = { 0 };
    enum sl_rc rc = fetch_target_init(
        &t, &f->rules, m->uri, m->configured ? FETCH_CONFIGURED : FETCH_FROM_CERTIFICATE, &err);
    f->asked++;
    /* a rewrite may have changed the scheme */
    if (rc == SL_OK)
        rc = fetch_is_http(t.uri.scheme) ? start_transfer(f, who, m, &err)
                                         : fetch_ldap_uri(f, who, m, &err);
    fetch_target_clear(&t);
    if (rc != SL_OK)
        refuse_http(f, who, &err);
}

static void on_request(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct fetch *f = ctx;
    struct fetch_asker who = { .id = m->id };
    struct msg_http http;
    static struct msg_ldap ldap; /* large */
    if (m->type == MSG_HTTP && m->id && msg_read(MSG_HTTP, &http, m->body)) {
        start_http(f, who, &http);
    } else if (m->type == MSG_LDAP && m->id && msg_read(MSG_LDAP, &ldap, m->body)) {
        f->asked++;
        fetch_ldap_search(f, who, &ldap);
    } else {
        sl_error("%s sent a malformed or unexpected %s", chan_peer(c), msg_name(m->type));
    }
}

/* ---- control ----------------------------------------------------------------------------------- */
static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct fetch *f = ctx;
    (void)args;
    json_t *result = json_pack("{s:I, s:I, s:I, s:I, s:i, s:o}", "asked", (json_int_t)f->asked,
                               "done", (json_int_t)f->done, "failed", (json_int_t)f->failed,
                               "denied", (json_int_t)f->denied, "http_now", (int)f->transfers_n,
                               "ldap", fetch_ldap_status(f));
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

#ifdef SL_FAULTS
/* What identity would ask, asked by a test. */
static const char *text_of(const json_t *args, const char *key)
{
    const char *v = json_string_value(json_object_get(args, key));
    return v ? v : "";
}

static uint32_t number_of(const json_t *args, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(args, key));
}

static void verb_http(void *ctx, struct proc_ctl *q, const json_t *args)
{
    const char *body = text_of(args, "body");
    struct msg_http m = { .uri = sl_str(text_of(args, "uri")),
                          .body = sl_str(body),
                          .max_bytes = number_of(args, "max_bytes"),
                          .deadline_ms = number_of(args, "deadline_ms"),
                          .follow = json_is_true(json_object_get(args, "follow")),
                          .configured = json_is_true(json_object_get(args, "configured")) };
    (void)snprintf(m.method, sizeof(m.method), "%s", *body ? "POST" : "GET");
    (void)snprintf(m.content_type, sizeof(m.content_type), "%s", text_of(args, "type"));
    (void)snprintf(m.etag, sizeof(m.etag), "%s", text_of(args, "etag"));
    (void)snprintf(m.last_modified, sizeof(m.last_modified), "%s", text_of(args, "last_modified"));
    start_http(ctx, (struct fetch_asker){ .ctl = q }, &m);
}

static void verb_ldap(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct msg_ldap m = { .base = sl_str(text_of(args, "base")),
                          .filter = sl_str(text_of(args, "filter")),
                          .scope = MSG_LDAP_SUB,
                          .limit = number_of(args, "limit"),
                          .deadline_ms = number_of(args, "deadline_ms") };
    (void)snprintf(m.directory, sizeof(m.directory), "%s", text_of(args, "directory"));
    fetch_ldap_search(ctx, (struct fetch_asker){ .ctl = q }, &m);
}
#endif

static const struct proc_verb verbs[] = {
    { "status", verb_status },
#ifdef SL_FAULTS
    { "fetch.http", verb_http },
    { "fetch.ldap", verb_ldap },
#endif
};

static bool open_curl(struct fetch *f)
{
    if (!fetch_global_init())
        return false;
    f->multi = curl_multi_init();
    f->timer = evtimer_new(f->p->base, on_timer, f);
    return f->multi && f->timer &&
           curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK &&
           curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f) == CURLM_OK &&
           curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
           curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f) == CURLM_OK;
}

static void close_curl(struct fetch *f)
{
    for (struct transfer *t = f->transfers, *next; t; t = next) {
        next = t->next;
        curl_multi_remove_handle(f->multi, fetch_http_easy(t->http));
        transfer_free(t);
    }
    if (f->multi)
        curl_multi_cleanup(f->multi);
    if (f->timer)
        event_free(f->timer);
    curl_global_cleanup();
}

int role_fetch(struct proc_role *p)
{
    static struct fetch f;
    struct sl_err err = { 0 };
    f.p = p;
    p->ctx = &f;
    if (fetch_rules_init(&f.rules, &p->config->fetch, &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "section fetch");
        return 1;
    }
    if (!open_curl(&f)) {
        sl_error("libcurl cannot be started");
        return 1;
    }
    if (fetch_ldap_open(&f, &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "LDAP");
        return 1;
    }
    chan_handle(p->link[PROC_IDENTITY], &(struct chan_handler){ .message = on_request, .ctx = &f });
    proc_control(p, verbs, SL_ARRAY_LEN(verbs));
    proc_ready(p);
    int status = proc_run(p);
    fetch_ldap_close(&f);
    close_curl(&f);
    return status;
}
