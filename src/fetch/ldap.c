/*
 * LDAP URIs (RFC 4516) of certificates: the values of a few attributes of one entry (RFC 4523),
 * under the rules of policy.h. The name is resolved and the connection made here, each address
 * judged before, so that libldap gets a socket that leads where it may.
 *
 * Everything blocks, until the deadline: it runs in threads. A name server that hangs may keep
 * getaddrinfo for longer.
 */
#include "src/fetch/fetch.h"

#include "sealane/time.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <ldap.h>
#include <netdb.h>
#include <openldap.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

/* One search, from its URI to its values. */
struct search {
    const struct fetch_rules *rules;
    const struct fetch_target *target;
    int64_t end_ns;
    size_t max_bytes;
    LDAPURLDesc *url;
    LDAP *ld;
    struct fetch_reply *reply;
};

/* What a certificate may ask a directory for (RFC 4523 2); userCertificate is a leaf's own. */
static const char *const attributes[] = { "certificateRevocationList", "deltaRevocationList",
                                          "authorityRevocationList",   "cACertificate",
                                          "crossCertificatePair",      "userCertificate" };

static bool is_attribute(const char *desc)
{
    size_t n = strcspn(desc, ";");
    if (desc[n] && strcasecmp(desc + n, ";binary") != 0)
        return false;
    for (size_t i = 0; i < SL_ARRAY_LEN(attributes); i++)
        if (strlen(attributes[i]) == n && strncasecmp(attributes[i], desc, n) == 0)
            return true;
    return false;
}

/* ---- connecting ------------------------------------------------------------------------------------- */
static int left_ms(const struct search *s)
{
    int64_t ms = (s->end_ns - sl_clock_mono_ns()) / SL_NS_PER_MS;
    return ms < 0 ? 0 : ms > FETCH_DEADLINE_MAX_MS ? FETCH_DEADLINE_MAX_MS : (int)ms;
}

static struct timeval left_tv(const struct search *s)
{
    int ms = left_ms(s) + 1; /* 0 would mean for ever */
    return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L };
}

static enum sl_rc set_blocking(const struct search *s, int fd, struct sl_err *err)
{
    struct timeval tv = left_tv(s);
    int flags = fcntl(fd, F_GETFL);
    /* libldap waits by poll, but TLS reads: no read is to outlast the deadline */
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
        return SL_FAIL(err, SL_IO, "socket: %s", strerror(errno));
    return SL_OK;
}

static enum sl_rc connect_fd(const struct search *s, int fd, const struct addrinfo *a, int ms,
                             struct sl_err *err)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int e = 0;
    socklen_t n = sizeof(e);
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        return SL_FAIL(err, SL_UNAVAILABLE, "connect: %s", strerror(errno));
    int ready = poll(&p, 1, ms);
    if (ready == 0)
        return SL_FAIL(err, SL_TIMEOUT, "no connection within %d ms", ms);
    if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
        e = errno;
    if (e)
        return SL_FAIL(err, SL_UNAVAILABLE, "connect: %s", strerror(e));
    return set_blocking(s, fd, err);
}

static enum sl_rc connect_one(const struct search *s, const struct addrinfo *a, int ms, int *out,
                              struct sl_err *err)
{
    struct sl_endpoint e;
    char text[SL_ENDPOINT_TEXT];
    if (!sl_endpoint_from_sockaddr(&e, a->ai_addr, a->ai_addrlen))
        return SL_FAIL(err, SL_DENIED, "neither an IPv4 nor an IPv6 address");
    if (s->target->origin != FETCH_CONFIGURED)
        SL_TRY(fetch_addr_check(s->rules, &e.addr, err));
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return SL_FAIL(err, SL_IO, "socket: %s", strerror(errno));
    enum sl_rc rc = connect_fd(s, fd, a, ms, err);
    if (rc != SL_OK) {
        close(fd);
        (void)SL_WRAP(err, "%s", sl_endpoint_text(text, &e));
        return rc;
    }
    *out = fd;
    return SL_OK;
}

static enum sl_rc connect_host(const struct search *s, int *fd, struct sl_err *err)
{
    const struct fetch_uri *u = &s->target->uri;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *all = NULL;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", u->port);
    if (u->is_literal) /* also of a family of which the host has only loopback */
        hints.ai_flags = AI_NUMERICHOST;
    int e = getaddrinfo(u->host, port, &hints, &all);
    if (e)
        return SL_FAIL(err, SL_UNAVAILABLE, "%s: %s", u->host, gai_strerror(e));
    int n = 0;
    for (const struct addrinfo *a = all; a; a = a->ai_next)
        n++;
    enum sl_rc rc = SL_UNAVAILABLE;
    struct sl_err one = { 0 };
    sl_err_reset(err);
    /* each gets its share of the time left, so that a dead one leaves some to the others */
    for (const struct addrinfo *a = all; a && rc != SL_OK; a = a->ai_next) {
        rc = connect_one(s, a, left_ms(s) / n--, fd, &one);
        /* when one of several addresses was allowed, the failure is that one's */
        if (rc != SL_OK && (rc != SL_DENIED || err->rc == SL_OK))
            *err = one;
    }
    freeaddrinfo(all);
    return rc == SL_OK || err->rc == SL_OK ? rc : err->rc;
}

static enum sl_rc ldap_failed(const struct search *s, const char *what, int e, struct sl_err *err)
{
    char *detail = NULL, safe[160] = "";
    enum sl_rc rc = e == LDAP_TIMEOUT || left_ms(s) == 0                 ? SL_TIMEOUT
                    : e == LDAP_FILTER_ERROR || e == LDAP_DECODING_ERROR ? SL_DIR_BAD_ANSWER
                    : e == LDAP_NO_SUCH_OBJECT                           ? SL_NOT_FOUND
                                                                         : SL_DIR_UNAVAILABLE;
    if (s->ld)
        ldap_get_option(s->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &detail);
    if (detail && *detail)
        sl_printable(safe, sizeof(safe), sl_str(detail));
    ldap_memfree(detail);
    return SL_FAIL(err, rc, "%s: %s%s%s", what, ldap_err2string(e), *safe ? ": " : "", safe);
}

/* The system's CAs, where libcurl looks for them too; libldap has none without ldap.conf. */
static bool set_ca(LDAP *ld)
{
    const char *file = curl_version_info(CURLVERSION_NOW)->cainfo;
    return !file || ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, file) == 0;
}

static bool set_options(const struct search *s)
{
    int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND,
        least = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;
    struct timeval tv = left_tv(s);
    ber_len_t max = s->max_bytes + 65536; /* names and lengths around the values */
    Sockbuf *sb = NULL;
    bool good = ldap_set_option(s->ld, LDAP_OPT_PROTOCOL_VERSION, &version) == 0 &&
                ldap_set_option(s->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == 0 &&
                ldap_set_option(s->ld, LDAP_OPT_NETWORK_TIMEOUT, &tv) == 0 &&
                ldap_set_option(s->ld, LDAP_OPT_TIMEOUT, &tv) == 0 &&
                ldap_get_option(s->ld, LDAP_OPT_SOCKBUF, &sb) == 0 && sb &&
                ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &max) == 1;
    if (good && s->target->uri.scheme == FETCH_LDAPS)
        good = ldap_set_option(s->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == 0 &&
               ldap_set_option(s->ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least) == 0 && set_ca(s->ld) &&
               ldap_set_option(s->ld, LDAP_OPT_X_TLS_NEWCTX, &client) == 0;
    return good;
}

static enum sl_rc connect_ldap(struct search *s, struct sl_err *err)
{
    const struct fetch_uri *u = &s->target->uri;
    char server[FETCH_HOST_MAX + 32];
    bool v6 = strchr(u->host, ':') != NULL;
    int fd = -1, e;
    SL_TRY(connect_host(s, &fd, err));
    /* the name is for the check of the server's certificate */
    (void)snprintf(server, sizeof(server), "%s://%s%s%s:%u", fetch_scheme_name(u->scheme),
                   v6 ? "[" : "", u->host, v6 ? "]" : "", u->port);
    e = ldap_init_fd(fd, LDAP_PROTO_TCP, server, &s->ld);
    if (e) {
        close(fd);
        s->ld = NULL;
        return ldap_failed(s, "libldap", e, err);
    }
    if (!set_options(s))
        return ldap_failed(s, "options", LDAP_LOCAL_ERROR, err);
    if (u->scheme == FETCH_LDAPS && (e = ldap_install_tls(s->ld)))
        return ldap_failed(s, "TLS", e, err);
    return SL_OK;
}

/* ---- searching ------------------------------------------------------------------------------------------ */
bool fetch_der_next(struct sl_bytes *rest, struct sl_bytes *value)
{
    struct sl_rd r = sl_rd(*rest);
    bool sequence = sl_rd_u8(&r) == 0x30;
    size_t len = sl_rd_u8(&r), header = 2;
    if (len & 0x80) {
        size_t n = len & 0x7f;
        len = 0;
        for (size_t i = 0; i < n && n <= 4; i++)
            len = len << 8 | sl_rd_u8(&r);
        header += n;
        sequence = sequence && n >= 1 && n <= 4;
    }
    if (!sequence || !sl_rd_ok(&r) || len > sl_rd_left(&r))
        return false;
    *value = sl_bytes_slice(*rest, 0, header + len);
    *rest = sl_bytes_slice(*rest, header + len, rest->len);
    return true;
}

static enum sl_rc add_value(struct search *s, const char *attr, struct sl_bytes v,
                            struct sl_err *err)
{
    struct sl_bytes rest = v, one;
    if (!fetch_der_next(&rest, &one) || rest.len)
        return SL_FAIL(err, SL_DIR_BAD_ANSWER, "%s: value is not one DER SEQUENCE (RFC 4523 2)",
                       attr);
    if (v.len > s->max_bytes - s->reply->body.len)
        return SL_FAIL(err, SL_TOO_LARGE, "%s: values are larger than allowed (%zu bytes)", attr,
                       s->max_bytes);
    if (!sl_buf_put(&s->reply->body, v))
        return SL_FAIL_MEM(err);
    s->reply->value_n++;
    return SL_OK;
}

static enum sl_rc add_values(struct search *s, LDAPMessage *entry, struct sl_err *err)
{
    BerElement *ber = NULL;
    enum sl_rc rc = SL_OK;
    for (char *a = ldap_first_attribute(s->ld, entry, &ber); a;
         a = ldap_next_attribute(s->ld, entry, ber)) {
        char shown[80];
        sl_printable(shown, sizeof(shown), sl_str(a));
        struct berval **v =
            rc == SL_OK && is_attribute(a) ? ldap_get_values_len(s->ld, entry, a) : NULL;
        for (size_t i = 0; v && v[i] && rc == SL_OK; i++)
            rc = add_value(s, shown, sl_bytes(v[i]->bv_val, v[i]->bv_len), err);
        ldap_value_free_len(v);
        ldap_memfree(a);
    }
    ber_free(ber, 0);
    return rc;
}

/* The attributes of the URI; without ";binary", as some CAs write them, both forms are asked for. */
static enum sl_rc list_attributes(const struct search *s, char names[][64], char **list, size_t max,
                                  struct sl_err *err)
{
    size_t n = 0;
    for (char **a = s->url->lud_attrs; a && *a; a++) {
        char shown[80];
        if (!is_attribute(*a))
            return SL_FAIL(err, SL_UNSUPPORTED,
                           "attribute %s; expected certificateRevocationList, deltaRevocationList, "
                           "authorityRevocationList, cACertificate or crossCertificatePair",
                           sl_printable(shown, sizeof(shown), sl_str(*a)));
        if (n + 2 > max)
            return SL_FAIL(err, SL_TOO_LARGE, "more than %zu attributes", max / 2);
        (void)snprintf(names[n], 64, "%s", *a);
        n++;
        if (!strchr(*a, ';'))
            (void)snprintf(names[n++], 64, "%s;binary", *a);
    }
    for (size_t i = 0; i < n; i++)
        list[i] = names[i];
    list[n] = NULL;
    return n ? SL_OK
             : SL_FAIL(err, SL_UNSUPPORTED, "no attribute is named (RFC 5280 4.2.1.13, 4.2.2.1)");
}

static enum sl_rc search(struct search *s, struct sl_err *err)
{
    char names[10][64], *list[11];
    LDAPMessage *result = NULL;
    struct timeval tv;
    SL_TRY(list_attributes(s, names, list, SL_ARRAY_LEN(names), err));
    SL_TRY(connect_ldap(s, err));
    tv = left_tv(s);
    int e = ldap_search_ext_s(s->ld, s->url->lud_dn ? s->url->lud_dn : "", s->url->lud_scope,
                              s->url->lud_filter ? s->url->lud_filter : "(objectClass=*)", list, 0,
                              NULL, NULL, &tv, 1, &result);
    enum sl_rc rc = SL_OK;
    if (e == LDAP_SUCCESS || e == LDAP_SIZELIMIT_EXCEEDED) {
        LDAPMessage *entry = ldap_first_entry(s->ld, result);
        if (entry)
            rc = add_values(s, entry, err);
        if (rc == SL_OK && !s->reply->value_n)
            rc = SL_FAIL(err, SL_NOT_FOUND, "the directory has no such value");
    } else {
        rc = ldap_failed(s, "search", e, err);
    }
    ldap_msgfree(result);
    return rc;
}

static enum sl_rc run(struct search *s, const struct fetch_target *t, struct sl_err *err)
{
    s->target = t;
    if (fetch_is_http(t->uri.scheme))
        return SL_FAIL(err, SL_UNSUPPORTED, "expected ldap or ldaps");
    if (ldap_url_parse((const char *)t->text.p, &s->url) != LDAP_URL_SUCCESS)
        return SL_FAIL(err, SL_MALFORMED, "not an LDAP URI (RFC 4516 2)");
    if (s->url->lud_crit_exts)
        return SL_FAIL(err, SL_UNSUPPORTED, "critical extension in the URI (RFC 4516 2)");
    return search(s, err);
}

bool fetch_is_ldap(struct sl_bytes uri)
{
    struct fetch_uri u;
    return fetch_uri_parse(&u, uri, NULL) == SL_OK && !fetch_is_http(u.scheme);
}

void fetch_ldap_get(const struct fetch_rules *rules, const struct fetch_request *q, int64_t end_ns,
                    struct fetch_reply *reply)
{
    struct sl_err err = { 0 };
    struct fetch_target t = { 0 };
    struct search s = { .rules = rules, .end_ns = end_ns, .reply = reply };
    s.max_bytes =
        q->max_bytes && q->max_bytes < rules->max_crl_bytes ? q->max_bytes : rules->max_crl_bytes;
    *reply = (struct fetch_reply){ .status = 200 };
    reply->rc = fetch_target_init(&t, rules, q->uri, q->origin, &err);
    if (reply->rc == SL_OK) {
        reply->rc = run(&s, &t, &err);
        if (reply->rc != SL_OK)
            (void)SL_WRAP(&err, "%.200s", (const char *)t.text.p);
    }
    if (reply->rc != SL_OK) {
        (void)snprintf(reply->text, sizeof(reply->text), "%s", sl_err_text(&err));
        sl_buf_clear(&reply->body);
        reply->value_n = 0;
    }
    if (s.ld)
        ldap_unbind_ext_s(s.ld, NULL, NULL);
    ldap_free_urldesc(s.url);
    fetch_target_clear(&t);
}
