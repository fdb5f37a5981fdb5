/*
 * HTTP of the authority, on libevent's server:
 *
 *   /scep, /scep/pkiclient.exe, /cgi-bin/pkiclient.exe   SCEP (RFC 8894 4.1), GET and POST
 *   /crl/issuing.crl, /crl/root.crl                      CRLs (RFC 5280 4.2.1.13), DER
 *   /ocsp                                                OCSP (RFC 6960 A.1), POST, and GET /ocsp/BASE64
 *   /ca.crt, /root.crt                                   the CA certificates, DER
 *
 * Limits: size of a request and of its headers, time for one, connections at once, jobs waiting.
 */
#include "src/cmd/sealaned/authority.h"

#include "enroll/x509_build.h"
#include "sealane/time.h"

#include <event2/buffer.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADERS_MAX     32768 /* a SCEP request by GET is in the URI */
#define TIMEOUT_S       20
#define CONNECTIONS_MAX 1024
#define OCSP_MAX        16384 /* a request, DER */

struct authority_http {
    struct authority *a;
    struct evhttp *http;
    struct evconnlistener *listener; /* http's */
    struct event *resume;
    int fd, fd_first; /* the listening socket; the lowest free descriptor before any connection */
    bool stopped;
};

enum route { R_SCEP, R_CRL_ISSUING, R_CRL_ROOT, R_OCSP, R_CERT_ISSUING, R_CERT_ROOT };

static const struct {
    const char *path;
    enum route route;
} routes[] = {
    { "/scep", R_SCEP },
    { "/scep/pkiclient.exe", R_SCEP },
    { "/cgi-bin/pkiclient.exe", R_SCEP },
    { "/crl/issuing.crl", R_CRL_ISSUING },
    { "/crl/root.crl", R_CRL_ROOT },
    { "/ocsp", R_OCSP },
    { "/ca.crt", R_CERT_ISSUING },
    { "/root.crt", R_CERT_ROOT },
};

struct http_job {
    struct job job;
    struct evhttp_request *req; /* the loop's */
    enum route route;
    bool post;
    char operation[32], source[64];
    struct sl_buf message, body;
    int status;
    const char *type;
    int64_t max_age_s; /* 0: not to be kept */
};

/* ---- answers ------------------------------------------------------------------------------------------ */

static void reply_with(struct evhttp_request *req, int status, const char *type,
                       struct sl_bytes body, int64_t max_age_s)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *b = evbuffer_new();
    char age[48] = "no-store";
    if (max_age_s > 0)
        (void)snprintf(age, sizeof(age), "public, max-age=%lld", (long long)max_age_s);
    if (!b || (body.len && evbuffer_add(b, body.p, body.len) != 0)) {
        status = 500;
        type = "text/plain";
    }
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", age);
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (status == 503)
        evhttp_add_header(headers, "Retry-After", "10");
    evhttp_send_reply(req, status, NULL, b);
    if (b)
        evbuffer_free(b);
}

static void send_status(struct evhttp_request *req, int status)
{
    reply_with(req, status, "text/plain", sl_bytes(NULL, 0), 0);
}

static void answer(struct authority *a, struct job *j)
{
    struct http_job *h = (struct http_job *)j;
    a->served++;
    if (j->dropped)
        send_status(h->req, 503);
    else
        reply_with(h->req, h->status, h->type, sl_buf_bytes(&h->body), h->max_age_s);
}

static void clear(struct job *j)
{
    struct http_job *h = (struct http_job *)j;
    sl_buf_wipe(&h->message);
    sl_buf_clear(&h->body);
}

/* ---- in the worker ---------------------------------------------------------------------------------------- */

static void work_scep(struct authority *a, struct http_job *h)
{
    struct sl_scep_http req = { .post = h->post,
                                .operation = h->operation,
                                .message = sl_buf_bytes(&h->message),
                                .source = h->source };
    struct sl_scep_reply reply;
    sl_scep_server_handle(a->scep, &req, sl_clock_utc_s(), &reply);
    h->status = reply.status;
    h->type = reply.content_type;
    h->body = reply.body;
    if (reply.rc != SL_OK && reply.rc != SL_SCEP_PENDING)
        sl_warn("SCEP from %s: refused: %s: %s", h->source, sl_rc_name(reply.rc), reply.text);
    else if (reply.text[0])
        sl_info("SCEP from %s: %s", h->source, reply.text);
}

static int status_of(enum sl_rc rc)
{
    return rc == SL_CA_NOT_INITIALISED ? 503 : 500;
}

static void work_crl(struct authority *a, struct http_job *h)
{
    struct sl_err err = { 0 };
    enum sl_ca_role issuer = h->route == R_CRL_ROOT ? SL_CA_ROOT : SL_CA_ISSUING;
    h->type = "application/pkix-crl";
    /* a list may be asked for again when the next one is due: peers are to learn of it soon */
    h->max_age_s = a->conf->crl_interval_s < 60 ? 0 : 60;
    if (sl_ca_crl(a->ca, issuer, false, sl_clock_utc_s(), &h->body, &err) == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "CRL for %s", h->source);
    h->status = status_of(err.rc);
    h->max_age_s = 0;
}

static void work_ocsp(struct authority *a, struct http_job *h)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF der = { 0 };
    struct sl_bytes request = sl_buf_bytes(&h->message);
    h->type = "application/ocsp-response";
    if (!h->post) {
        if (!sl_unbase64(&der, request))
            der.len = 0; /* what cannot be read is answered as malformed */
        request = sl_buf_bytes(&der);
    }
    if (sl_ca_ocsp(a->ca, request, sl_clock_utc_s(), &h->body, &h->max_age_s, &err) == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "OCSP for %s", h->source);
    h->status = 500;
}

static void work_cert(struct authority *a, struct http_job *h)
{
    X509 *x = sl_ca_cert_get(a->ca, h->route == R_CERT_ROOT ? SL_CA_ROOT : SL_CA_ISSUING);
    h->type = "application/pkix-cert";
    if (!x || xb_cert_der(&h->body, x, NULL) != SL_OK)
        h->status = x ? 500 : 503;
}

static void work(struct authority *a, struct job *j)
{
    struct http_job *h = (struct http_job *)j;
    h->status = 200;
    switch (h->route) {
    case R_SCEP:
        work_scep(a, h);
        return;
    case R_CRL_ISSUING:
    case R_CRL_ROOT:
        work_crl(a, h);
        return;
    case R_OCSP:
        work_ocsp(a, h);
        return;
    case R_CERT_ISSUING:
    case R_CERT_ROOT:
        work_cert(a, h);
        return;
    }
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static bool take_body(struct http_job *h, size_t max)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(h->req);
    size_t len = evbuffer_get_length(in);
    if (len > max || !sl_buf_reserve(&h->message, len))
        return false;
    if (len && evbuffer_remove(in, h->message.p, len) != (int)len)
        return false;
    h->message.len = len;
    return true;
}

/*
 * operation and message of the query. The decoder turns '+' into a space, as forms want it; base64
 * that came unescaped has its '+' back here.
 */
static bool take_query(struct http_job *h, const char *query)
{
    struct evkeyvalq q = { 0 };
    if (!query || evhttp_parse_query_str(query, &q) != 0)
        return true; /* no operation: refused further on */
    const char *op = evhttp_find_header(&q, "operation");
    const char *message = evhttp_find_header(&q, "message");
    (void)snprintf(h->operation, sizeof(h->operation), "%.31s", op ? op : "");
    bool ok = !message || h->post || sl_buf_put_str(&h->message, message);
    for (size_t i = 0; i < h->message.len && !h->post; i++)
        if (h->message.p[i] == ' ')
            h->message.p[i] = '+';
    evhttp_clear_headers(&q);
    return ok;
}

/* GET /ocsp/BASE64, percent-escaped (RFC 6960 A.1). */
static bool take_ocsp_path(struct http_job *h, const char *rest)
{
    size_t len = 0;
    char *text = evhttp_uridecode(rest, 0, &len);
    bool ok = text && len <= OCSP_MAX / 3 * 4 && sl_buf_put(&h->message, sl_bytes(text, len));
    free(text);
    return ok;
}

static bool find_route(const char *path, enum route *out, const char **rest)
{
    *rest = "";
    for (size_t i = 0; i < SL_ARRAY_LEN(routes); i++)
        if (strcmp(path, routes[i].path) == 0) {
            *out = routes[i].route;
            return true;
        }
    if (strncmp(path, "/ocsp/", 6) == 0) {
        *out = R_OCSP;
        *rest = path + 6;
        return true;
    }
    return false;
}

static void set_source(struct http_job *h)
{
    struct evhttp_connection *c = evhttp_request_get_connection(h->req);
    char *address = NULL;
    uint16_t port = 0;
    if (c)
        evhttp_connection_get_peer(c, &address, &port);
    (void)snprintf(h->source, sizeof(h->source), "%.63s", address ? address : "?");
}

/* 0, or the status to refuse it with. */
static int take_request(struct http_job *h, const struct evhttp_uri *uri, const char *rest)
{
    switch (h->route) {
    case R_SCEP:
        if (h->post && !take_body(h, SL_SCEP_MESSAGE_MAX))
            return 413;
        return take_query(h, evhttp_uri_get_query(uri)) ? 0 : 500;
    case R_OCSP:
        if (h->post)
            return *rest ? 404 : take_body(h, OCSP_MAX) ? 0 : 413;
        return take_ocsp_path(h, rest) ? 0 : 413;
    case R_CRL_ISSUING:
    case R_CRL_ROOT:
    case R_CERT_ISSUING:
    case R_CERT_ROOT:
        return h->post ? 405 : 0;
    }
    return 404;
}

static void on_request(struct evhttp_request *req, void *ctx)
{
    struct authority_http *http = ctx;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL, *rest;
    enum route route;
    if (!path || !find_route(path, &route, &rest)) {
        send_status(req, 404);
        return;
    }
    struct http_job *h = calloc(1, sizeof(*h));
    if (!h) {
        send_status(req, 503);
        return;
    }
    h->job = (struct job){ .work = work, .answer = answer, .clear = clear };
    h->req = req;
    h->route = route;
    h->post = evhttp_request_get_command(req) == EVHTTP_REQ_POST;
    set_source(h);
    int refused = take_request(h, uri, rest);
    if (refused) {
        send_status(req, refused);
        clear(&h->job);
        free(h);
        return;
    }
    authority_post(http->a, &h->job);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* The lowest descriptor that is free: the kernel gives the lowest, so it tells how many are open. */
static int lowest_free(int fd)
{
    int probe = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (probe >= 0)
        close(probe);
    return probe;
}

static void pause_accepting(struct authority_http *h)
{
    struct timeval tv = { .tv_usec = 200000 };
    evconnlistener_disable(h->listener);
    evtimer_add(h->resume, &tv);
}

static bool too_many(const struct authority_http *h)
{
    int probe = lowest_free(h->fd);
    return probe < 0 || probe > h->fd_first + CONNECTIONS_MAX;
}

static void on_resume(evutil_socket_t fd, short what, void *ctx)
{
    struct authority_http *h = ctx;
    (void)fd;
    (void)what;
    if (h->stopped)
        return;
    if (too_many(h))
        pause_accepting(h);
    else
        evconnlistener_enable(h->listener);
}

/* Asked for each new connection: NULL takes libevent's own kind of buffer. */
static struct bufferevent *on_connection(struct event_base *base, void *ctx)
{
    struct authority_http *h = ctx;
    (void)base;
    if (too_many(h)) {
        h->a->refused++;
        pause_accepting(h);
    }
    return NULL;
}

enum sl_rc authority_http_new(struct authority_http **out, struct authority *a, int fd,
                              struct sl_err *err)
{
    struct authority_http *h = calloc(1, sizeof(*h));
    if (!h) {
        close(fd);
        return SL_FAIL_MEM(err);
    }
    h->a = a;
    h->fd = fd;
    h->http = evhttp_new(a->p->base);
    h->resume = evtimer_new(a->p->base, on_resume, h);
    /* backlog 0: the socket listens already */
    h->listener = evconnlistener_new(a->p->base, NULL, NULL,
                                     LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0, fd);
    if (!h->listener)
        close(fd);
    if (!h->http || !h->resume || !h->listener || !evhttp_bind_listener(h->http, h->listener)) {
        if (h->listener)
            evconnlistener_free(h->listener);
        authority_http_free(h);
        return SL_FAIL_MEM(err);
    }
    evhttp_set_allowed_methods(h->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(h->http, HEADERS_MAX);
    evhttp_set_max_body_size(h->http, SL_SCEP_MESSAGE_MAX);
    evhttp_set_timeout(h->http, TIMEOUT_S);
    evhttp_set_bevcb(h->http, on_connection, h);
    evhttp_set_gencb(h->http, on_request, h);
    h->fd_first = lowest_free(fd);
    *out = h;
    return SL_OK;
}

void authority_http_stop(struct authority_http *h)
{
    h->stopped = true;
    evconnlistener_disable(h->listener);
}

void authority_http_free(struct authority_http *h)
{
    if (!h)
        return;
    if (h->http)
        evhttp_free(h->http); /* with the listener it was bound to */
    if (h->resume)
        event_free(h->resume);
    free(h);
}
