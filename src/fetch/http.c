/*
 * HTTP(S) by libcurl under the rules of policy.h. Redirects are followed here, not by libcurl, so
 * that each hop passes the same checks as the first; the address is judged when libcurl asks for a
 * socket, that is after the name was resolved and before a packet leaves.
 *
 * No connection is kept: one that was made for a configured URI must not serve a stranger's.
 */
#include "src/fetch/fetch.h"

#include "sealane/time.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USER_AGENT      "sealane/" SL_VERSION
#define LOW_SPEED_BYTES 64L /* a second, for LOW_SPEED_S */
#define LOW_SPEED_S     10L

struct fetch_http {
    const struct fetch_rules *rules;
    void *owner;
    CURL *easy;
    struct curl_slist *headers;
    struct fetch_target hop[FETCH_REDIRECTS + 1];
    size_t hop_n;
    bool post, follow;
    char content_type[FETCH_TYPE_MAX], accept[FETCH_TYPE_MAX];
    char etag[FETCH_ETAG_MAX], last_modified[FETCH_DATE_MAX];
    uint8_t *request;
    size_t request_len;
    int64_t end_ns;
    size_t max_bytes;
    /* of the hop under way */
    struct sl_buf body;
    size_t header_bytes;
    bool too_large, headers_too_large, opened;
    struct sl_err denied; /* rc SL_OK: no address was refused */
    char problem[CURL_ERROR_SIZE];
};

bool fetch_global_init(void)
{
    /* what is not in our configuration is not to come from ldap.conf or the environment */
    return setenv("LDAPNOINIT", "1", 1) == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

void fetch_reply_clear(struct fetch_reply *r)
{
    sl_buf_clear(&r->body);
}

static const struct fetch_target *now_at(const struct fetch_http *h)
{
    return &h->hop[h->hop_n - 1];
}

static const char *uri_of(const struct fetch_http *h)
{
    return (const char *)now_at(h)->text.p;
}

/* ---- what libcurl calls ---------------------------------------------------------------------------- */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct fetch_http *h = arg;
    struct sl_endpoint e;
    const struct fetch_target *t = now_at(h);
    (void)purpose;
    if (!sl_endpoint_from_sockaddr(&e, &a->addr, a->addrlen)) {
        (void)SL_FAIL(&h->denied, SL_DENIED, "neither an IPv4 nor an IPv6 address");
        return CURL_SOCKET_BAD;
    }
    /* with a proxy it is the proxy's address, which is configured */
    if (!t->proxied && t->origin != FETCH_CONFIGURED &&
        fetch_addr_check(h->rules, &e.addr, &h->denied) != SL_OK)
        return CURL_SOCKET_BAD;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    h->opened |= fd >= 0;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
    struct fetch_http *h = arg;
    size_t len = size * n; /* size is always 1 */
    if (len > h->max_bytes - h->body.len) {
        h->too_large = true;
        return 0;
    }
    return sl_buf_put(&h->body, sl_bytes(p, len)) ? len : 0;
}

static size_t take_header(char *p, size_t size, size_t n, void *arg)
{
    struct fetch_http *h = arg;
    (void)p;
    h->header_bytes += size * n;
    h->headers_too_large = h->header_bytes > FETCH_HEADER_BYTES;
    return h->headers_too_large ? 0 : size * n;
}

/* ---- a hop --------------------------------------------------------------------------------------------- */
static enum sl_rc add_header(struct fetch_http *h, const char *name, const char *value,
                             struct sl_err *err)
{
    char line[FETCH_ETAG_MAX + 64];
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return SL_FAIL(err, SL_MALFORMED, "%s holds a control character", name);
    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(h->headers, line);
    if (!more)
        return SL_FAIL_MEM(err);
    h->headers = more;
    return SL_OK;
}

static enum sl_rc make_headers(struct fetch_http *h, struct sl_err *err)
{
    curl_slist_free_all(h->headers);
    h->headers = NULL;
    if (*h->content_type && h->post)
        SL_TRY(add_header(h, "Content-Type", h->content_type, err));
    if (*h->accept)
        SL_TRY(add_header(h, "Accept", h->accept, err));
    /* RFC 9110 13.1.2, 13.1.3; libcurl would compare dates by itself, so they are plain headers */
    if (*h->etag)
        SL_TRY(add_header(h, "If-None-Match", h->etag, err));
    if (*h->last_modified)
        SL_TRY(add_header(h, "If-Modified-Since", h->last_modified, err));
    return add_header(h, "Expect", "", err); /* no 100-continue, which some servers never send */
}

static CURLcode set_limits(struct fetch_http *h, long left_ms)
{
    CURL *e = h->easy;
    bool strict = now_at(h)->origin != FETCH_CONFIGURED;
    CURLcode rc = CURLE_OK;
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(e, option, value)
    SET(CURLOPT_TIMEOUT_MS, left_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, left_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, strict ? LOW_SPEED_BYTES : 0L);
    SET(CURLOPT_LOW_SPEED_TIME, strict ? LOW_SPEED_S : 0L);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)h->max_bytes);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, h);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, h);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, h);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    return rc;
}

static CURLcode set_request(struct fetch_http *h)
{
    CURL *e = h->easy;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_URL, uri_of(h));
    SET(CURLOPT_PRIVATE, h);
    SET(CURLOPT_ERRORBUFFER, h->problem);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* never wait for the thread of a resolver that hangs */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* both are set, so that the environment's are not looked at */
    SET(CURLOPT_PROXY, now_at(h)->proxied ? h->rules->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_USERAGENT, USER_AGENT);
    SET(CURLOPT_HTTPHEADER, h->headers);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (h->post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->request_len);
        SET(CURLOPT_POSTFIELDS, h->request_len ? (const char *)h->request : "");
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
#undef SET
    return rc;
}

static enum sl_rc set_up(struct fetch_http *h, struct sl_err *err)
{
    int64_t left_ms = (h->end_ns - sl_clock_mono_ns()) / SL_NS_PER_MS;
    h->body.len = h->header_bytes = 0;
    h->too_large = h->headers_too_large = h->opened = false;
    sl_err_reset(&h->denied);
    *h->problem = '\0';
    if (left_ms <= 0)
        return SL_FAIL(err, SL_TIMEOUT, "the deadline passed while redirects were followed");
    SL_TRY(make_headers(h, err));
    CURLcode rc = set_request(h);
    if (rc == CURLE_OK)
        rc = set_limits(h, (long)left_ms);
    return rc ? SL_FAIL(err, SL_INTERNAL, "libcurl: %s", curl_easy_strerror(rc)) : SL_OK;
}

/* ---- beginning and end -------------------------------------------------------------------------------- */
static bool take_text(char *out, size_t cap, const char *v)
{
    return !v || (size_t)snprintf(out, cap, "%s", v) < cap;
}

static enum sl_rc take_request(struct fetch_http *h, const struct fetch_request *q,
                               struct sl_err *err)
{
    int64_t ms = q->deadline_ms > 0 ? q->deadline_ms : FETCH_DEADLINE_MS;
    h->end_ns = sl_clock_mono_ns() +
                (ms < FETCH_DEADLINE_MAX_MS ? ms : FETCH_DEADLINE_MAX_MS) * SL_NS_PER_MS;
    h->max_bytes = q->max_bytes && q->max_bytes < h->rules->max_crl_bytes ? q->max_bytes
                                                                          : h->rules->max_crl_bytes;
    h->post = q->post;
    h->follow = q->follow;
    if (!take_text(h->content_type, sizeof(h->content_type), q->content_type) ||
        !take_text(h->accept, sizeof(h->accept), q->accept) ||
        !take_text(h->etag, sizeof(h->etag), q->etag) ||
        !take_text(h->last_modified, sizeof(h->last_modified), q->last_modified))
        return SL_FAIL(err, SL_TOO_LARGE, "a header of the request is too long");
    h->request_len = q->body.len;
    if (q->body.len && !(h->request = sl_memdup(q->body)))
        return SL_FAIL_MEM(err);
    SL_TRY(fetch_target_init(&h->hop[0], h->rules, q->uri, q->origin, err));
    h->hop_n = 1;
    if (!fetch_is_http(now_at(h)->uri.scheme))
        return SL_FAIL(err, SL_UNSUPPORTED, "URI %.160s: expected http or https", uri_of(h));
    h->easy = curl_easy_init();
    return h->easy ? set_up(h, err) : SL_FAIL_MEM(err);
}

enum sl_rc fetch_http_new(struct fetch_http **out, const struct fetch_rules *rules,
                          const struct fetch_request *q, void *owner, struct sl_err *err)
{
    struct fetch_http *h = calloc(1, sizeof(*h));
    if (!h)
        return SL_FAIL_MEM(err);
    h->rules = rules;
    h->owner = owner;
    enum sl_rc rc = take_request(h, q, err);
    if (rc == SL_OK)
        *out = h;
    else
        fetch_http_free(h);
    return rc;
}

void fetch_http_free(struct fetch_http *h)
{
    if (!h)
        return;
    if (h->easy)
        curl_easy_cleanup(h->easy);
    curl_slist_free_all(h->headers);
    for (size_t i = 0; i < h->hop_n; i++)
        fetch_target_clear(&h->hop[i]);
    sl_buf_clear(&h->body);
    free(h->request);
    free(h);
}

void *fetch_http_easy(struct fetch_http *h)
{
    return h->easy;
}

void *fetch_http_owner(struct fetch_http *h)
{
    return h->owner;
}

/* ---- an answer ------------------------------------------------------------------------------------------ */
static enum sl_rc rc_of(CURLcode code)
{
    switch (code) { /* NOLINT(clang-diagnostic-switch-enum): libcurl's list grows */
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

static enum sl_rc failed(const struct fetch_http *h, CURLcode code, struct sl_err *err)
{
    if (h->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return SL_FAIL(err, SL_TOO_LARGE, "answer is larger than allowed (%zu bytes)",
                       h->max_bytes);
    if (h->headers_too_large)
        return SL_FAIL(err, SL_TOO_LARGE, "header lines are larger than allowed (%zu bytes)",
                       FETCH_HEADER_BYTES);
    /* when one of several addresses was allowed, the failure is that one's */
    if (h->denied.rc != SL_OK && !h->opened)
        return SL_FAIL(err, SL_DENIED, "%s", sl_err_text(&h->denied));
    return SL_FAIL(err, rc_of(code), "%s", *h->problem ? h->problem : curl_easy_strerror(code));
}

/* A header's only value; false: none, several, or longer than out. */
static bool header(const struct fetch_http *h, const char *name, char *out, size_t cap)
{
    struct curl_header *v = NULL;
    if (curl_easy_header(h->easy, name, 0, CURLH_HEADER, -1, &v) != CURLHE_OK || v->amount != 1 ||
        strlen(v->value) >= cap)
        return false;
    for (const char *c = v->value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    (void)snprintf(out, cap, "%s", v->value);
    return true;
}

/* "Application/PKIX-CRL; charset=x" -> "application/pkix-crl" */
static void content_type(char *out, size_t cap, const char *value)
{
    size_t n = 0;
    for (; value && value[n] && value[n] != ';' && value[n] != ' ' && n < cap - 1; n++)
        out[n] = (char)(value[n] >= 'A' && value[n] <= 'Z' ? value[n] + 32 : value[n]);
    out[n] = '\0';
}

/* RFC 9110 15.4: 301, 302, 303, 307, 308 */
static bool is_redirect(long status)
{
    return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

static enum sl_rc redirect(struct fetch_http *h, long status, struct sl_err *err)
{
    char *to = NULL;
    struct fetch_target next;
    curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &to);
    if (!to)
        return SL_FAIL(err, SL_UNAVAILABLE, "redirect (HTTP status %ld) without a Location",
                       status);
    SL_TRY(fetch_target_redirect(&next, h->rules, now_at(h), sl_str(to), err));
    enum sl_rc rc = SL_OK;
    for (size_t i = 0; i < h->hop_n && rc == SL_OK; i++)
        if (sl_bytes_eq(sl_buf_bytes(&h->hop[i].text), sl_buf_bytes(&next.text)))
            rc = SL_FAIL(err, SL_UNAVAILABLE, "redirect loop: %.160s was asked before",
                         (const char *)next.text.p);
    if (rc == SL_OK && h->hop_n > FETCH_REDIRECTS)
        rc = SL_FAIL(err, SL_UNAVAILABLE, "more than %d redirects", FETCH_REDIRECTS);
    if (rc != SL_OK) {
        fetch_target_clear(&next);
        return rc;
    }
    h->hop[h->hop_n++] = next;
    if (status == 303)
        h->post = false; /* RFC 9110 15.4.4; the others keep the method, and so the question */
    return set_up(h, err);
}

static enum sl_rc take_answer(struct fetch_http *h, long status, struct fetch_reply *reply,
                              struct sl_err *err)
{
    char *type = NULL, coding[64] = "identity";
    curl_easy_getinfo(h->easy, CURLINFO_CONTENT_TYPE, &type);
    (void)header(h, "Content-Encoding", coding, sizeof(coding));
    if (h->body.len && strcmp(coding, "identity") != 0)
        return SL_FAIL(err, SL_UNSUPPORTED, "answer is compressed (%s), which was not asked for",
                       coding);
    reply->status = (uint16_t)status;
    content_type(reply->content_type, sizeof(reply->content_type), type);
    if (!header(h, "ETag", reply->etag, sizeof(reply->etag)) && status == 304)
        memcpy(reply->etag, h->etag, sizeof(reply->etag));
    if (!header(h, "Last-Modified", reply->last_modified, sizeof(reply->last_modified)) &&
        status == 304)
        memcpy(reply->last_modified, h->last_modified, sizeof(reply->last_modified));
    reply->body = h->body;
    reply->value_n = h->body.len ? 1 : 0;
    h->body = (struct sl_buf){ 0 };
    return SL_OK;
}

bool fetch_http_next(struct fetch_http *h, int code, struct fetch_reply *reply)
{
    struct sl_err err = { 0 };
    long status = 0;
    enum sl_rc rc = code == CURLE_OK ? SL_OK : failed(h, (CURLcode)code, &err);
    *reply = (struct fetch_reply){ 0 };
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    size_t at = h->hop_n - 1; /* what is told of is this hop, whatever comes of the next */
    if (rc == SL_OK && h->follow && is_redirect(status)) {
        rc = redirect(h, status, &err);
        if (rc == SL_OK)
            return true;
    } else if (rc == SL_OK) {
        rc = take_answer(h, status, reply, &err);
    }
    reply->rc = rc;
    if (rc != SL_OK)
        (void)snprintf(reply->text, sizeof(reply->text), "%.200s%s: %s",
                       (const char *)h->hop[at].text.p, at ? " (after a redirect)" : "",
                       sl_err_text(&err));
    return false;
}
