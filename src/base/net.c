/* Addresses, prefixes and traffic selectors; see sealane/net.h. */
#include "sealane/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t sl_addr_len(const struct sl_addr *a)
{
    return a->family == 4 ? 4 : a->family == 6 ? 16 : 0;
}

bool sl_addr_eq(const struct sl_addr *a, const struct sl_addr *b)
{
    return a->family == b->family && memcmp(a->b, b->b, sl_addr_len(a)) == 0;
}

int sl_addr_cmp(const struct sl_addr *a, const struct sl_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->b, b->b, sl_addr_len(a));
}

bool sl_addr_is_any(const struct sl_addr *a)
{
    for (size_t i = 0; i < sl_addr_len(a); i++)
        if (a->b[i])
            return false;
    return true;
}

bool sl_addr_parse(struct sl_addr *a, const char *text)
{
    struct sl_addr v = { 0 };
    if (inet_pton(AF_INET, text, v.b) == 1)
        v.family = 4;
    else if (inet_pton(AF_INET6, text, v.b) == 1)
        v.family = 6;
    else
        return false;
    *a = v;
    return true;
}

bool sl_addr_from_bytes(struct sl_addr *a, struct sl_bytes v)
{
    if (v.len != 4 && v.len != 16)
        return false;
    *a = (struct sl_addr){ .family = v.len == 4 ? 4 : 6 };
    memcpy(a->b, v.p, v.len);
    return true;
}

char *sl_addr_text(char out[SL_ADDR_TEXT], const struct sl_addr *a)
{
    if (a->family == 0 || !inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, out, SL_ADDR_TEXT))
        (void)snprintf(out, SL_ADDR_TEXT, "any");
    return out;
}

bool sl_endpoint_eq(const struct sl_endpoint *a, const struct sl_endpoint *b)
{
    return a->port == b->port && sl_addr_eq(&a->addr, &b->addr);
}

/* A decimal number without sign or leading space, at most max. */
static bool number_parse(unsigned *out, const char *text, unsigned max)
{
    unsigned v = 0;
    if (!*text || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (unsigned)(*text - '0');
    }
    *out = v;
    return v <= max;
}

bool sl_endpoint_parse(struct sl_endpoint *e, const char *text, uint16_t default_port)
{
    char host[SL_ADDR_TEXT];
    const char *port = NULL;
    size_t n = strlen(text);
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (!close || (close[1] && close[1] != ':'))
            return false;
        port = close[1] ? close + 2 : NULL;
        text++;
        n = (size_t)(close - text);
    } else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
        port = strchr(text, ':') + 1;
        n = (size_t)(port - text) - 1;
    }
    struct sl_endpoint v = { .port = default_port };
    unsigned number = default_port;
    if (n >= sizeof(host))
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    if (!sl_addr_parse(&v.addr, host) || (port && !number_parse(&number, port, UINT16_MAX)))
        return false;
    v.port = (uint16_t)number;
    *e = v;
    return true;
}

char *sl_endpoint_text(char out[SL_ENDPOINT_TEXT], const struct sl_endpoint *e)
{
    char a[SL_ADDR_TEXT];
    sl_addr_text(a, &e->addr);
    (void)snprintf(out, SL_ENDPOINT_TEXT, e->addr.family == 6 ? "[%s]:%u" : "%s:%u", a, e->port);
    return out;
}

socklen_t sl_endpoint_to_sockaddr(struct sockaddr_storage *ss, const struct sl_endpoint *e)
{
    memset(ss, 0, sizeof(*ss));
    if (e->addr.family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(e->port);
        memcpy(&in6->sin6_addr, e->addr.b, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ss;
    in->sin_family = AF_INET;
    in->sin_port = htons(e->port);
    memcpy(&in->sin_addr, e->addr.b, 4);
    return sizeof(*in);
}

bool sl_endpoint_from_sockaddr(struct sl_endpoint *e, const struct sockaddr *sa, socklen_t len)
{
    struct sl_endpoint v = { 0 };
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        v.addr.family = 4;
        memcpy(v.addr.b, &in->sin_addr, 4);
        v.port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        v.addr.family = mapped ? 4 : 6;
        memcpy(v.addr.b, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
        v.port = ntohs(in6->sin6_port);
    } else {
        return false;
    }
    *e = v;
    return true;
}

/* ---- prefixes ------------------------------------------------------------------------------- */

void sl_prefix_range(const struct sl_prefix *p, struct sl_addr *first, struct sl_addr *last)
{
    *first = *last = p->addr;
    for (size_t bit = p->len; bit < 8 * sl_addr_len(&p->addr); bit++)
        last->b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

bool sl_prefix_has(const struct sl_prefix *p, const struct sl_addr *a)
{
    struct sl_addr first, last;
    sl_prefix_range(p, &first, &last);
    return a->family == p->addr.family && sl_addr_cmp(a, &first) >= 0 && sl_addr_cmp(a, &last) <= 0;
}

bool sl_prefix_parse(struct sl_prefix *p, const char *text)
{
    char host[SL_ADDR_TEXT];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    struct sl_prefix v = { 0 };
    if (n >= sizeof(host))
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    if (!sl_addr_parse(&v.addr, host))
        return false;
    unsigned max = (unsigned)(8 * sl_addr_len(&v.addr)), len = max;
    if (slash && !number_parse(&len, slash + 1, max))
        return false;
    v.len = (uint8_t)len;
    for (size_t bit = v.len; bit < max; bit++)
        if (v.addr.b[bit / 8] & 0x80 >> bit % 8)
            return false;
    *p = v;
    return true;
}

char *sl_prefix_text(char out[SL_PREFIX_TEXT], const struct sl_prefix *p)
{
    char a[SL_ADDR_TEXT];
    (void)snprintf(out, SL_PREFIX_TEXT, "%s/%u", sl_addr_text(a, &p->addr), p->len);
    return out;
}

/* ---- traffic selectors ---------------------------------------------------------------------- */

/* Length of the prefix that is exactly first..last, or -1. */
static int range_prefix_len(const struct sl_addr *first, const struct sl_addr *last)
{
    size_t bits = 8 * sl_addr_len(first), same = 0;
    while (same < bits && !((first->b[same / 8] ^ last->b[same / 8]) & 0x80 >> same % 8))
        same++;
    for (size_t i = same; i < bits; i++)
        if (first->b[i / 8] & 0x80 >> i % 8 || !(last->b[i / 8] & 0x80 >> i % 8))
            return -1;
    return (int)same;
}

static const struct {
    const char *name;
    uint8_t number;
} protocols[] = { { "icmp", 1 }, { "tcp", 6 }, { "udp", 17 }, { "icmp6", 58 }, { "sctp", 132 } };

static bool protocol_parse(uint8_t *out, const char *text)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(protocols); i++) {
        if (strcmp(protocols[i].name, text) == 0) {
            *out = protocols[i].number;
            return true;
        }
    }
    unsigned v;
    if (!number_parse(&v, text, UINT8_MAX))
        return false;
    *out = (uint8_t)v;
    return true;
}

/* The part in brackets: "tcp", "tcp/443", "17/1000-2000". Edits text. */
static bool ports_parse(struct sl_ts *ts, char *text)
{
    char *slash = strchr(text, '/');
    if (slash)
        *slash++ = 0;
    if (!protocol_parse(&ts->protocol, text))
        return false;
    if (!slash)
        return true;
    char *dash = strchr(slash, '-');
    if (dash)
        *dash++ = 0;
    unsigned start, end;
    if (!number_parse(&start, slash, UINT16_MAX) ||
        !number_parse(&end, dash ? dash : slash, UINT16_MAX) || start > end)
        return false;
    ts->start_port = (uint16_t)start;
    ts->end_port = (uint16_t)end;
    return true;
}

bool sl_ts_parse(struct sl_ts *out, const char *text)
{
    char copy[SL_TS_TEXT];
    size_t n = strlen(text);
    struct sl_ts ts = { .end_port = UINT16_MAX };
    if (n >= sizeof(copy))
        return false;
    memcpy(copy, text, n + 1);
    char *bracket = strchr(copy, '[');
    if (bracket) {
        char *close = strchr(bracket, ']');
        if (!close || close[1])
            return false;
        *bracket = *close = 0;
        if (!ports_parse(&ts, bracket + 1))
            return false;
    }
    char *dash = strchr(copy, '-');
    if (dash) {
        *dash = 0;
        if (!sl_addr_parse(&ts.first, copy) || !sl_addr_parse(&ts.last, dash + 1) ||
            ts.first.family != ts.last.family || sl_addr_cmp(&ts.first, &ts.last) > 0)
            return false;
    } else {
        struct sl_prefix p;
        if (!sl_prefix_parse(&p, copy))
            return false;
        sl_prefix_range(&p, &ts.first, &ts.last);
    }
    *out = ts;
    return true;
}

char *sl_ts_text(char out[SL_TS_TEXT], const struct sl_ts *ts)
{
    char first[SL_ADDR_TEXT], last[SL_ADDR_TEXT], number[8];
    sl_addr_text(first, &ts->first);
    int len = range_prefix_len(&ts->first, &ts->last), n;
    if (len >= 0)
        n = snprintf(out, SL_TS_TEXT, "%s/%d", first, len);
    else
        n = snprintf(out, SL_TS_TEXT, "%s-%s", first, sl_addr_text(last, &ts->last));
    if (ts->protocol == 0 && ts->start_port == 0 && ts->end_port == UINT16_MAX)
        return out;
    (void)snprintf(number, sizeof(number), "%u", ts->protocol);
    const char *protocol = number;
    for (size_t i = 0; i < SL_ARRAY_LEN(protocols); i++)
        if (protocols[i].number == ts->protocol)
            protocol = protocols[i].name;
    size_t at = (size_t)n, left = SL_TS_TEXT - at;
    if (ts->start_port == 0 && ts->end_port == UINT16_MAX)
        (void)snprintf(out + at, left, "[%s]", protocol);
    else if (ts->start_port == ts->end_port)
        (void)snprintf(out + at, left, "[%s/%u]", protocol, ts->start_port);
    else if (ts->start_port > ts->end_port)
        (void)snprintf(out + at, left, "[%s/opaque]", protocol);
    else
        (void)snprintf(out + at, left, "[%s/%u-%u]", protocol, ts->start_port, ts->end_port);
    return out;
}

bool sl_ts_eq(const struct sl_ts *a, const struct sl_ts *b)
{
    return a->protocol == b->protocol && a->start_port == b->start_port &&
           a->end_port == b->end_port && sl_addr_eq(&a->first, &b->first) &&
           sl_addr_eq(&a->last, &b->last);
}

bool sl_ts_intersect(struct sl_ts *out, const struct sl_ts *a, const struct sl_ts *b)
{
    struct sl_ts ts;
    if (a->first.family != b->first.family ||
        (a->protocol && b->protocol && a->protocol != b->protocol))
        return false;
    ts.protocol = a->protocol ? a->protocol : b->protocol;
    ts.first = sl_addr_cmp(&a->first, &b->first) > 0 ? a->first : b->first;
    ts.last = sl_addr_cmp(&a->last, &b->last) < 0 ? a->last : b->last;
    bool opaque_a = a->start_port > a->end_port, opaque_b = b->start_port > b->end_port;
    if (opaque_a || opaque_b) {
        /* OPAQUE meets OPAQUE, and ANY, which includes it (RFC 4301 4.4.1.1) */
        bool any_a = a->start_port == 0 && a->end_port == UINT16_MAX;
        bool any_b = b->start_port == 0 && b->end_port == UINT16_MAX;
        if (!(opaque_a || any_a) || !(opaque_b || any_b))
            return false;
        ts.start_port = UINT16_MAX;
        ts.end_port = 0;
    } else {
        ts.start_port = a->start_port > b->start_port ? a->start_port : b->start_port;
        ts.end_port = a->end_port < b->end_port ? a->end_port : b->end_port;
        if (ts.start_port > ts.end_port)
            return false;
    }
    if (sl_addr_cmp(&ts.first, &ts.last) > 0)
        return false;
    *out = ts;
    return true;
}

bool sl_ts_within(const struct sl_ts *inner, const struct sl_ts *outer)
{
    struct sl_ts both;
    return sl_ts_intersect(&both, inner, outer) && sl_ts_eq(&both, inner);
}

bool sl_ts_has(const struct sl_ts *ts, const struct sl_addr *a, uint8_t protocol, uint16_t port)
{
    return a->family == ts->first.family && sl_addr_cmp(a, &ts->first) >= 0 &&
           sl_addr_cmp(a, &ts->last) <= 0 && (!ts->protocol || ts->protocol == protocol) &&
           port >= ts->start_port && port <= ts->end_port;
}
