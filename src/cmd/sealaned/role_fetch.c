/*
 * Fetch: the only process that makes connections. It answers two questions of identity: HTTP
 * exchanges (CRL, OCSP, SCEP) by libcurl on the event loop, and LDAP searches by libldap in threads
 * (fetch_ldap.c). Every request has a deadline of its own and waits for no other. What comes back
 * is bytes; reading them is identity's business.
 */
#include "src/cmd/sealaned/fetch.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_MAX      5
#define HTTP_BYTES_DEFAULT ((size_t)16 << 20)
#define HTTP_BYTES_MAX     ((size_t)100 << 20)
#define DEADLINE_MS        15000
#define DEADLINE_MAX_MS    120000
#define TRANSFERS_MAX      512 /* at once; the rest is told to come again */
#define USER_AGENT         "sealane/" SL_VERSION

struct transfer {
    struct fetch *f;
    struct transfer *next;
    struct fetch_asker who;
    CURL *easy;
    struct curl_slist *headers;
    struct sl_buf body;
    size_t max_bytes;
    bool too_large;
    char *uri;
    char problem[CURL_ERROR_SIZE];
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
                    json_pack("{s:i, s:s, s:o}", "status", (int)m->status, "type", m->content_type,
                              "body", as_json(m->body)));
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

static void refuse_http(struct fetch *f, struct fetch_asker who, const struct sl_err *err)
{
    struct msg_http_reply m = { .rc = err->rc };
    f->failed++;
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
    if (t->easy)
        curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    sl_buf_clear(&t->body);
    free(t->uri);
    free(t);
}

/* "Application/PKIX-CRL; charset=x" -> "application/pkix-crl" */
static void content_type(char *out, size_t cap, const char *value)
{
    size_t n = 0;
    for (; value && value[n] && value[n] != ';' && value[n] != ' ' && n < cap - 1; n++)
        out[n] = (char)(value[n] >= 'A' && value[n] <= 'Z' ? value[n] + 32 : value[n]);
    out[n] = '\0';
}

static enum sl_rc rc_of(const struct transfer *t, CURLcode code)
{
    if (t->too_large)
        return SL_TOO_LARGE;
    switch (code) { /* NOLINT(clang-diagnostic-switch-enum): libcurl's list grows */
    case CURLE_OK:
        return SL_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return SL_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return SL_UNSUPPORTED;
    case CURLE_FILESIZE_EXCEEDED:
        return SL_TOO_LARGE;
    case CURLE_OUT_OF_MEMORY:
        return SL_NO_MEMORY;
    default:
        return SL_UNAVAILABLE;
    }
}

static void finish(struct transfer *t, CURLcode code)
{
    struct fetch *f = t->f;
    struct msg_http_reply m = { .rc = rc_of(t, code) };
    if (m.rc == SL_OK) {
        long status = 0;
        char *type = NULL;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
        m.status = (uint16_t)status;
        content_type(m.content_type, sizeof(m.content_type), type);
        m.body = sl_buf_bytes(&t->body);
        f->done++;
    } else {
        char uri[256];
        (void)snprintf(m.text, sizeof(m.text), "%s: %s",
                       sl_printable(uri, sizeof(uri), sl_str(t->uri)),
                       t->too_large  ? "answer is larger than allowed"
                       : *t->problem ? t->problem
                                     : curl_easy_strerror(code));
        f->failed++;
        sl_debug("%s", m.text);
    }
    fetch_answer_http(f, t->who, &m);
    curl_multi_remove_handle(f->multi, t->easy);
    transfer_free(t);
}

/* ---- libcurl on the event loop ----------------------------------------------------------------- */
static void take_finished(struct fetch *f)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(f->multi, &left))) {
        struct transfer *t = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        finish(t, code);
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

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * n; /* size is always 1 */
    if (len > t->max_bytes - t->body.len) {
        t->too_large = true;
        return 0;
    }
    return sl_buf_put(&t->body, sl_bytes(p, len)) ? len : 0;
}

/* ---- a request --------------------------------------------------------------------------------- */
static bool has_scheme(struct sl_bytes uri, const char *scheme)
{
    size_t n = strlen(scheme);
    return uri.len > n && !strncasecmp((const char *)uri.p, scheme, n);
}

static enum sl_rc add_header(struct transfer *t, const char *name, const char *value,
                             struct sl_err *err)
{
    char line[256];
    if (strpbrk(value, "\r\n"))
        return SL_FAIL(err, SL_MALFORMED, "%s holds a line break", name);
    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(t->headers, line);
    if (!more)
        return SL_FAIL_MEM(err);
    t->headers = more;
    return SL_OK;
}

static enum sl_rc set_up(struct transfer *t, const struct msg_http *m, struct sl_err *err)
{
    CURL *e = t->easy;
    bool post = !strcmp(m->method, "POST");
    long deadline = m->deadline_ms ? (long)m->deadline_ms : DEADLINE_MS;
    if (deadline > DEADLINE_MAX_MS)
        deadline = DEADLINE_MAX_MS;
    if (!post && strcmp(m->method, "GET") != 0)
        return SL_FAIL(err, SL_UNSUPPORTED, "HTTP method \"%s\"", m->method);
    if (*m->content_type)
        SL_TRY(add_header(t, "Content-Type", m->content_type, err));
    if (*m->accept)
        SL_TRY(add_header(t, "Accept", m->accept, err));
    SL_TRY(add_header(t, "Expect", "", err)); /* no 100-continue, which some servers never send */
    CURLcode rc = CURLE_OK;
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, t->uri);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->problem);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, m->follow ? 1L : 0L);
    SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    SET(CURLOPT_TIMEOUT_MS, deadline);
    SET(CURLOPT_CONNECTTIMEOUT_MS, deadline);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* never wait for the thread of a resolver that hangs */
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_USERAGENT, USER_AGENT);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->max_bytes);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)m->body.len);
        SET(CURLOPT_COPYPOSTFIELDS, m->body.len ? (const char *)m->body.p : "");
    }
#undef SET
    return rc ? SL_FAIL(err, SL_INTERNAL, "libcurl: %s", curl_easy_strerror(rc)) : SL_OK;
}

static enum sl_rc start_transfer(struct fetch *f, struct fetch_asker who, const struct msg_http *m,
                                 struct sl_err *err)
{
    char shown[128];
    if (!has_scheme(m->uri, "http://") && !has_scheme(m->uri, "https://"))
        return SL_FAIL(err, SL_UNSUPPORTED, "URI %s: only http and https are fetched",
                       sl_printable(shown, sizeof(shown), m->uri));
    if (f->transfers_n >= TRANSFERS_MAX)
        return SL_FAIL(err, SL_UNAVAILABLE, "%u transfers are under way", f->transfers_n);
    struct transfer *t = calloc(1, sizeof(*t));
    if (!t)
        return SL_FAIL_MEM(err);
    t->f = f;
    t->who = who;
    t->max_bytes = m->max_bytes ? m->max_bytes : HTTP_BYTES_DEFAULT;
    if (t->max_bytes > HTTP_BYTES_MAX)
        t->max_bytes = HTTP_BYTES_MAX;
    t->uri = sl_strdup_bytes(m->uri); /* NULL also when it holds a NUL */
    t->easy = curl_easy_init();
    enum sl_rc rc =
        t->uri && t->easy ? set_up(t, m, err) : SL_FAIL(err, SL_MALFORMED, "URI cannot be used");
    if (rc == SL_OK && curl_multi_add_handle(f->multi, t->easy) != CURLM_OK)
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
    bool is_ldap = has_scheme(m->uri, "ldap://") || has_scheme(m->uri, "ldaps://");
    f->asked++;
    if ((is_ldap ? fetch_ldap_uri(f, who, m, &err) : start_transfer(f, who, m, &err)) != SL_OK)
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
    json_t *result = json_pack("{s:I, s:I, s:I, s:i, s:o}", "asked", (json_int_t)f->asked, "done",
                               (json_int_t)f->done, "failed", (json_int_t)f->failed, "http_now",
                               (int)f->transfers_n, "ldap", fetch_ldap_status(f));
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
                          .follow = json_is_true(json_object_get(args, "follow")) };
    (void)snprintf(m.method, sizeof(m.method), "%s", *body ? "POST" : "GET");
    (void)snprintf(m.content_type, sizeof(m.content_type), "%s", text_of(args, "type"));
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
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
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
        curl_multi_remove_handle(f->multi, t->easy);
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
