/*
 * URIs: taken apart strictly (RFC 3986), rewritten, sent by a proxy or not, and followed through
 * redirects (policy.h). What this reader and the libraries could understand differently is refused.
 */
#include "src/fetch/policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct scheme {
    const char *name;
    uint16_t port;
} schemes[] = {
    [FETCH_HTTP] = { "http", 80 },
    [FETCH_HTTPS] = { "https", 443 },
    [FETCH_LDAP] = { "ldap", 389 },
    [FETCH_LDAPS] = { "ldaps", 636 },
};

const char *fetch_scheme_name(enum fetch_scheme scheme)
{
    return schemes[scheme].name;
}

bool fetch_is_http(enum fetch_scheme scheme)
{
    return scheme == FETCH_HTTP || scheme == FETCH_HTTPS;
}

bool fetch_literal(struct sl_addr *out, const char *host)
{
    struct in_addr v4;
    if (strchr(host, ':'))
        return sl_addr_parse(out, host) && out->family == 6;
    /* glibc's inet_aton is what its getaddrinfo uses for numbers, and allows blanks at the end */
    if (!*host || strpbrk(host, " \t\r\n\v\f") || !inet_aton(host, &v4))
        return false;
    *out = (struct sl_addr){ .family = 4 };
    memcpy(out->b, &v4, sizeof(v4));
    return true;
}

/* ---- taking apart --------------------------------------------------------------------------------- */
#define SHOWN 96
static char *shown(char out[SHOWN], struct sl_bytes text)
{
    return sl_printable(out, SHOWN, sl_bytes_slice(text, 0, SHOWN - 1));
}

static enum sl_rc check_bytes(struct sl_bytes text, struct sl_err *err)
{
    char s[SHOWN];
    if (text.len > FETCH_URI_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "URI of %zu bytes; at most %d are allowed", text.len,
                       FETCH_URI_MAX);
    for (size_t i = 0; i < text.len; i++)
        /* '\' is a '/' to some readers; blanks and control characters end a request line */
        if (text.p[i] <= 0x20 || text.p[i] >= 0x7f || strchr("\\\"<>^`{|}", text.p[i]))
            return SL_FAIL(err, SL_MALFORMED,
                           "URI %s: byte 0x%02x at %zu; expected the characters of RFC 3986 2",
                           shown(s, text), text.p[i], i);
    return SL_OK;
}

static enum sl_rc take_scheme(struct fetch_uri *u, struct sl_rd *r, struct sl_bytes text,
                              struct sl_err *err)
{
    char s[SHOWN];
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i].name);
        if (text.len < n + 3 || strncasecmp((const char *)text.p, schemes[i].name, n) != 0 ||
            memcmp(text.p + n, "://", 3) != 0)
            continue;
        u->scheme = (enum fetch_scheme)i;
        u->port = schemes[i].port;
        sl_rd_skip(r, n + 3);
        return SL_OK;
    }
    return SL_FAIL(err, SL_UNSUPPORTED, "URI %s: expected http, https, ldap or ldaps, and a host",
                   shown(s, text));
}

static enum sl_rc take_port(struct fetch_uri *u, struct sl_bytes v, struct sl_err *err)
{
    unsigned port = 0;
    for (size_t i = 0; i < v.len; i++) {
        if (v.p[i] < '0' || v.p[i] > '9' || i > 5)
            return SL_FAIL(err, SL_MALFORMED, "port is not a number (RFC 3986 3.2.3)");
        port = port * 10 + (unsigned)(v.p[i] - '0');
    }
    if (v.len && (port == 0 || port > UINT16_MAX))
        return SL_FAIL(err, SL_MALFORMED, "port %u; expected 1 to 65535", port);
    if (v.len) /* "http://host:/" means the scheme's own */
        u->port = (uint16_t)port;
    return SL_OK;
}

static enum sl_rc take_host(struct fetch_uri *u, struct sl_bytes v, const char *allowed,
                            struct sl_err *err)
{
    if (!v.len)
        return SL_FAIL(err, SL_UNSUPPORTED, "no host is named, and none is configured");
    if (v.len > FETCH_HOST_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "host of %zu bytes; at most %d are allowed (RFC 1035)",
                       v.len, FETCH_HOST_MAX);
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c + 32);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(allowed, c)))
            return SL_FAIL(err, SL_MALFORMED, "character '%c' in the host", c);
        u->host[i] = (char)c;
    }
    u->host[v.len] = '\0';
    return SL_OK;
}

/* host [ ":" port ], after user information was excluded (RFC 3986 3.2) */
static enum sl_rc take_authority(struct fetch_uri *u, struct sl_bytes v, struct sl_err *err)
{
    const uint8_t *colon, *close;
    if (v.len && memchr(v.p, '@', v.len))
        return SL_FAIL(err, SL_MALFORMED, "user information before the host is not allowed");
    if (v.len && v.p[0] == '[') {
        close = memchr(v.p, ']', v.len);
        size_t host = close ? (size_t)(close - v.p) : 0;
        if (!close || (host + 1 < v.len && v.p[host + 1] != ':'))
            return SL_FAIL(err, SL_MALFORMED,
                           "no \"]\" after the IPv6 address, or more than a port");
        if (memchr(v.p, '%', host))
            return SL_FAIL(err, SL_MALFORMED, "a zone identifier is not allowed (RFC 6874)");
        SL_TRY(take_host(u, sl_bytes(v.p + 1, host - 1), ":.", err));
        if (!sl_addr_parse(&u->literal, u->host) || u->literal.family != 6)
            return SL_FAIL(err, SL_MALFORMED, "[%.60s] is not an IPv6 address", u->host);
        u->is_literal = true;
        return host + 2 <= v.len ? take_port(u, sl_bytes_slice(v, host + 2, v.len), err) : SL_OK;
    }
    colon = v.len ? memchr(v.p, ':', v.len) : NULL;
    size_t host = colon ? (size_t)(colon - v.p) : v.len;
    SL_TRY(take_host(u, sl_bytes_slice(v, 0, host), ".-_", err));
    u->is_literal = fetch_literal(&u->literal, u->host);
    return colon ? take_port(u, sl_bytes_slice(v, host + 1, v.len), err) : SL_OK;
}

enum sl_rc fetch_uri_parse(struct fetch_uri *out, struct sl_bytes text, struct sl_err *err)
{
    char s[SHOWN];
    struct fetch_uri u = { 0 };
    struct sl_rd r = sl_rd(text);
    SL_TRY(check_bytes(text, err));
    SL_TRY(take_scheme(&u, &r, text, err));
    struct sl_bytes left = sl_rd_rest(&r);
    size_t n = 0;
    while (n < left.len && !strchr("/?#", left.p[n]))
        n++;
    enum sl_rc rc = take_authority(&u, sl_bytes_slice(left, 0, n), err);
    if (rc != SL_OK) {
        (void)SL_WRAP(err, "URI %s", shown(s, text));
        return rc;
    }
    u.rest = sl_bytes_slice(left, n, left.len);
    *out = u;
    return SL_OK;
}

/* ---- rewriting and the proxy ------------------------------------------------------------------------- */
static bool same_server(const struct fetch_uri *a, const struct fetch_uri *b)
{
    return a->scheme == b->scheme && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* path begins with from on the border of a segment; "" and "/" begin every one. */
static bool begins(struct sl_bytes path, struct sl_bytes from, struct sl_bytes *after)
{
    if (from.len == 1 && from.p[0] == '/' && (!path.len || path.p[0] != '/'))
        from.len = 0;
    if (path.len < from.len || (from.len && memcmp(path.p, from.p, from.len) != 0))
        return false;
    *after = sl_bytes_slice(path, from.len, path.len);
    return !after->len || !from.len || from.p[from.len - 1] == '/' || strchr("/?#", after->p[0]);
}

bool fetch_rewrite(const struct fetch_rules *r, const struct fetch_uri *u, struct sl_buf *out)
{
    struct sl_bytes after;
    for (size_t i = 0; i < r->rewrite_n; i++) {
        const struct fetch_rewrite *w = &r->rewrite[i];
        if (!same_server(u, &w->from_uri) || !begins(u->rest, w->from_uri.rest, &after))
            continue;
        size_t before = out->len, to = strlen(w->to);
        /* "http://a" to "http://b/": one "/" is enough */
        if (after.len && after.p[0] == '/' && w->to[to - 1] == '/')
            to--;
        if (sl_buf_put(out, sl_bytes(w->to, to)) && sl_buf_put(out, after) && sl_buf_nul(out))
            return true;
        out->len = before;
        return false;
    }
    return false;
}

static bool named_by(const char *rule, const struct fetch_uri *u)
{
    struct sl_prefix p;
    size_t host = strlen(u->host), n = strlen(rule);
    if (strcmp(rule, "*") == 0)
        return true;
    if (sl_prefix_parse(&p, rule))
        return u->is_literal && sl_prefix_has(&p, &u->literal);
    if (rule[0] == '.')
        return host > n && strcasecmp(u->host + host - n, rule) == 0;
    return strcasecmp(u->host, rule) == 0;
}

bool fetch_by_proxy(const struct fetch_rules *r, const struct fetch_uri *u)
{
    if (!*r->proxy || !fetch_is_http(u->scheme))
        return false;
    for (size_t i = 0; i < r->no_proxy_n; i++)
        if (named_by(r->no_proxy[i], u))
            return false;
    return true;
}

/* ---- targets ------------------------------------------------------------------------------------------- */
static enum sl_rc set_target(struct fetch_target *t, const struct fetch_rules *r,
                             struct sl_bytes uri, struct sl_err *err)
{
    struct fetch_uri asked;
    SL_TRY(fetch_uri_parse(&asked, uri, err));
    if (t->origin != FETCH_CONFIGURED && fetch_rewrite(r, &asked, &t->text)) {
        t->rewritten = true;
        t->origin = FETCH_CONFIGURED;
    } else if (!sl_buf_put(&t->text, uri) || !sl_buf_nul(&t->text)) {
        return SL_FAIL_MEM(err);
    }
    SL_TRY(fetch_uri_parse(&t->uri, sl_buf_bytes(&t->text), err));
    t->proxied = fetch_by_proxy(r, &t->uri);
    if (t->origin == FETCH_CONFIGURED || !t->uri.is_literal)
        return SL_OK;
    enum sl_rc rc = fetch_addr_check(r, &t->uri.literal, err);
    char s[SHOWN];
    if (rc != SL_OK)
        (void)SL_WRAP(err, "URI %s", shown(s, sl_buf_bytes(&t->text)));
    return rc;
}

enum sl_rc fetch_target_init(struct fetch_target *t, const struct fetch_rules *r,
                             struct sl_bytes uri, enum fetch_origin origin, struct sl_err *err)
{
    *t = (struct fetch_target){ .origin = origin };
    enum sl_rc rc = set_target(t, r, uri, err);
    if (rc != SL_OK)
        fetch_target_clear(t);
    return rc;
}

enum sl_rc fetch_target_redirect(struct fetch_target *t, const struct fetch_rules *r,
                                 const struct fetch_target *from, struct sl_bytes uri,
                                 struct sl_err *err)
{
    struct fetch_uri to;
    char s[SHOWN];
    SL_TRY(fetch_uri_parse(&to, uri, err));
    if (!fetch_is_http(to.scheme))
        return SL_FAIL(err, SL_UNSUPPORTED,
                       "redirect to %s: only http and https may be redirected to", shown(s, uri));
    if (from->uri.scheme == FETCH_HTTPS && to.scheme == FETCH_HTTP)
        return SL_FAIL(err, SL_DENIED, "redirect from https to %s: TLS would be left",
                       shown(s, uri));
    bool stays = from->origin == FETCH_CONFIGURED && same_server(&to, &from->uri);
    enum sl_rc rc =
        fetch_target_init(t, r, uri, stays ? FETCH_CONFIGURED : FETCH_FROM_CERTIFICATE, err);
    if (rc == SL_OK && !fetch_is_http(t->uri.scheme)) {
        rc = SL_FAIL(err, SL_UNSUPPORTED, "redirect to %s: rewritten to something else than http",
                     shown(s, uri));
        fetch_target_clear(t);
    }
    return rc;
}

void fetch_target_clear(struct fetch_target *t)
{
    sl_buf_clear(&t->text);
    *t = (struct fetch_target){ 0 };
}
