/*
 * The address policy and the section fetch (policy.h). URIs are in uri.c.
 */
#include "src/fetch/policy.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * Where no certificate may lead: this host, its links, the services that clouds put there, and
 * addresses that are no host's (RFC 6890).
 */
static const struct fetch_builtin builtin[] = {
    { "0.0.0.0/8", "unspecified address, this network" },
    { "127.0.0.0/8", "loopback" },
    { "169.254.0.0/16", "link-local" },
    { "169.254.169.254/32", "cloud metadata service" },
    { "169.254.170.2/32", "cloud metadata service" },
    { "100.100.100.200/32", "cloud metadata service" },
    { "168.63.129.16/32", "cloud metadata service" },
    { "224.0.0.0/4", "multicast" },
    { "240.0.0.0/4", "reserved" },
    { "255.255.255.255/32", "broadcast" },
    { "::/128", "unspecified address" },
    { "::1/128", "loopback" },
    { "fe80::/10", "link-local" },
    { "fd00:ec2::254/128", "cloud metadata service" },
    { "ff00::/8", "multicast" },
};

const struct fetch_builtin *fetch_builtin(size_t i)
{
    return i < SL_ARRAY_LEN(builtin) ? &builtin[i] : NULL;
}

/* ---- addresses ----------------------------------------------------------------------------------- */
/*
 * IPv6 addresses in which an IPv4 address stands, whole and from the byte at. A packet to one may
 * end at the other, so both are judged.
 */
static const struct embedding {
    const char *prefix, *what;
    uint8_t at;
    bool inverted;
} embeddings[] = {
    { "::/96", "IPv4-compatible", 12, false },           /* RFC 4291 2.5.5.1 */
    { "::ffff:0:0:0/96", "IPv4-translated", 12, false }, /* RFC 7915 */
    { "64:ff9b::/96", "NAT64", 12, false },              /* RFC 6052 2.1 */
    { "64:ff9b:1::/48", "local NAT64", 12, false },      /* RFC 8215, used as a /96 */
    { "2002::/16", "6to4", 2, false },                   /* RFC 3056 2 */
    { "2001::/32", "Teredo client", 12, true },          /* RFC 4380 4 */
    { "2001::/32", "Teredo server", 4, false },
};

static struct sl_addr ipv4_at(const uint8_t *b, bool inverted)
{
    struct sl_addr a = { .family = 4 };
    for (size_t i = 0; i < 4; i++)
        a.b[i] = (uint8_t)(inverted ? b[i] ^ 0xff : b[i]);
    return a;
}

/* ::ffff:192.0.2.1 is how IPv6 sockets write an IPv4 address (RFC 4291 2.5.5.2). */
static struct sl_addr plain(const struct sl_addr *a)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    return a->family == 6 && memcmp(a->b, mapped, sizeof(mapped)) == 0 ? ipv4_at(a->b + 12, false)
                                                                       : *a;
}

/* RFC 5214 6.1: interface identifiers 0000:5efe and 0200:5efe, then the IPv4 address. */
static bool is_isatap(const struct sl_addr *a)
{
    static const uint8_t mark[3] = { 0x00, 0x5e, 0xfe };
    return a->family == 6 && (a->b[8] & 0xfc) == 0 && memcmp(a->b + 9, mark, 3) == 0;
}

struct match {
    int len; /* of the prefix; -1: none */
    const struct sl_prefix *prefix;
    const char *what;
};

static struct match longest(const struct sl_prefix *v, size_t n, const struct sl_addr *a)
{
    struct match m = { .len = -1 };
    for (size_t i = 0; i < n; i++)
        if (v[i].len > m.len && sl_prefix_has(&v[i], a))
            m = (struct match){ .len = v[i].len, .prefix = &v[i] };
    return m;
}

static struct match longest_builtin(const struct sl_addr *a, struct sl_prefix *keep)
{
    struct match m = { .len = -1 };
    struct sl_prefix p;
    for (size_t i = 0; i < SL_ARRAY_LEN(builtin); i++)
        if (sl_prefix_parse(&p, builtin[i].prefix) && p.len > m.len && sl_prefix_has(&p, a)) {
            *keep = p;
            m = (struct match){ .len = p.len, .prefix = keep, .what = builtin[i].what };
        }
    return m;
}

static enum sl_rc check_one(const struct fetch_rules *r, const struct sl_addr *a,
                            const struct sl_addr *whole, const char *form, struct sl_err *err)
{
    char text[SL_ADDR_TEXT], in[SL_ADDR_TEXT], net[SL_PREFIX_TEXT], within[96] = "";
    struct sl_prefix keep = { 0 };
    struct match allow = longest(r->allow, r->allow_n, a), deny = longest(r->deny, r->deny_n, a),
                 own = longest_builtin(a, &keep);
    if (form)
        (void)snprintf(within, sizeof(within), " (%s address %s)", form, sl_addr_text(in, whole));
    if (deny.len >= 0 && deny.len >= allow.len && deny.len >= own.len)
        return SL_FAIL(err, SL_DENIED, "address %s%s is not connected to: fetch.deny has %s",
                       sl_addr_text(text, a), within, sl_prefix_text(net, deny.prefix));
    if (own.len > allow.len)
        return SL_FAIL(err, SL_DENIED,
                       "address %s%s is not connected to: %s (%s), and fetch.allow has nothing as "
                       "specific",
                       sl_addr_text(text, a), within, sl_prefix_text(net, own.prefix), own.what);
    return SL_OK;
}

enum sl_rc fetch_addr_check(const struct fetch_rules *r, const struct sl_addr *given,
                            struct sl_err *err)
{
    struct sl_addr a = plain(given), inner;
    struct sl_prefix p;
    if (!a.family)
        return SL_FAIL(err, SL_DENIED, "neither an IPv4 nor an IPv6 address");
    SL_TRY(check_one(r, &a, NULL, NULL, err));
    for (size_t i = 0; a.family == 6 && i < SL_ARRAY_LEN(embeddings); i++) {
        const struct embedding *e = &embeddings[i];
        if (!sl_prefix_parse(&p, e->prefix) || !sl_prefix_has(&p, &a))
            continue;
        /* :: and ::1 have rules of their own, and embed nothing */
        if (i == 0 && memcmp(a.b, (const uint8_t[15]){ 0 }, 15) == 0 && a.b[15] <= 1)
            continue;
        inner = ipv4_at(a.b + e->at, e->inverted);
        SL_TRY(check_one(r, &inner, &a, e->what, err));
    }
    if (is_isatap(&a)) {
        inner = ipv4_at(a.b + 12, false);
        SL_TRY(check_one(r, &inner, &a, "ISATAP", err));
    }
    return SL_OK;
}

/* ---- the section fetch ----------------------------------------------------------------------------- */
static enum sl_rc take_prefixes(struct sl_prefix **out, size_t *n, const struct sl_conf_strings *s,
                                const char *key, struct sl_err *err)
{
    if (!s->n)
        return SL_OK;
    if (s->n > FETCH_RULES_MAX)
        return SL_FAIL(err, SL_CONFIG_VALUE, "fetch.%s: %zu prefixes; at most %d are allowed", key,
                       s->n, FETCH_RULES_MAX);
    *out = calloc(s->n, sizeof(**out));
    if (!*out)
        return SL_FAIL_MEM(err);
    for (; *n < s->n; ++*n) {
        struct sl_prefix *p = &(*out)[*n];
        char shown[64];
        if (!sl_prefix_parse(p, s->v[*n]))
            return SL_FAIL(err, SL_CONFIG_VALUE, "fetch.%s: \"%s\" is not a prefix", key,
                           sl_printable(shown, sizeof(shown), sl_str(s->v[*n])));
        /* as addresses are judged: ::ffff:10.0.0.0/104 is 10.0.0.0/8 */
        struct sl_addr a = plain(&p->addr);
        if (p->addr.family == 6 && a.family == 4 && p->len >= 96)
            *p = (struct sl_prefix){ .addr = a, .len = (uint8_t)(p->len - 96) };
    }
    return SL_OK;
}

/* FROM=TO: the first "=" that a URI follows. */
static enum sl_rc take_rewrite(struct fetch_rewrite *w, const char *text, struct sl_err *err)
{
    struct fetch_uri to = { 0 };
    const char *eq = text;
    while ((eq = strchr(eq, '=')) && fetch_uri_parse(&to, sl_str(eq + 1), NULL) != SL_OK)
        eq++;
    if (!eq)
        return SL_FAIL(err, SL_CONFIG_VALUE,
                       "fetch.rewrite: \"%.200s\" is not FROM=TO with two URIs", text);
    w->from = sl_strdup_bytes(sl_bytes(text, (size_t)(eq - text)));
    w->to = strdup(eq + 1);
    if (!w->from || !w->to)
        return SL_FAIL_MEM(err);
    if (fetch_uri_parse(&w->from_uri, sl_str(w->from), err) != SL_OK) {
        (void)SL_WRAP(err, "fetch.rewrite");
        return SL_FAIL(err, SL_CONFIG_VALUE, "fetch.rewrite: FROM of \"%.200s\" is not a URI",
                       text);
    }
    return SL_OK;
}

static enum sl_rc take_proxy(struct fetch_rules *r, const struct sl_conf_fetch *c,
                             struct sl_err *err)
{
    struct sl_err why = { 0 };
    r->proxy = strdup(c && c->proxy ? c->proxy : "");
    if (!r->proxy)
        return SL_FAIL_MEM(err);
    if (*r->proxy && fetch_uri_parse(&r->proxy_uri, sl_str(r->proxy), &why) != SL_OK)
        return SL_FAIL(err, SL_CONFIG_VALUE, "fetch.proxy: %s", sl_err_text(&why));
    if (*r->proxy && r->proxy_uri.scheme != FETCH_HTTP)
        return SL_FAIL(err, SL_CONFIG_VALUE, "fetch.proxy: expected http://HOST:PORT");
    if (!c || !c->no_proxy.n)
        return SL_OK;
    r->no_proxy = calloc(c->no_proxy.n, sizeof(*r->no_proxy));
    if (!r->no_proxy)
        return SL_FAIL_MEM(err);
    for (; r->no_proxy_n < c->no_proxy.n; r->no_proxy_n++) {
        r->no_proxy[r->no_proxy_n] = strdup(c->no_proxy.v[r->no_proxy_n]);
        if (!r->no_proxy[r->no_proxy_n])
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

static enum sl_rc take_all(struct fetch_rules *r, const struct sl_conf_fetch *c, struct sl_err *err)
{
    r->max_crl_bytes = FETCH_CRL_BYTES;
    SL_TRY(take_proxy(r, c, err));
    if (!c)
        return SL_OK;
    if (c->max_crl_bytes)
        r->max_crl_bytes =
            c->max_crl_bytes < FETCH_BYTES_MAX ? (size_t)c->max_crl_bytes : FETCH_BYTES_MAX;
    SL_TRY(take_prefixes(&r->allow, &r->allow_n, &c->allow, "allow", err));
    SL_TRY(take_prefixes(&r->deny, &r->deny_n, &c->deny, "deny", err));
    if (!c->rewrite.n)
        return SL_OK;
    r->rewrite = calloc(c->rewrite.n, sizeof(*r->rewrite));
    if (!r->rewrite)
        return SL_FAIL_MEM(err);
    for (; r->rewrite_n < c->rewrite.n; r->rewrite_n++) {
        enum sl_rc rc = take_rewrite(&r->rewrite[r->rewrite_n], c->rewrite.v[r->rewrite_n], err);
        if (rc != SL_OK) {
            r->rewrite_n++; /* to be freed as well */
            return rc;
        }
    }
    return SL_OK;
}

enum sl_rc fetch_rules_init(struct fetch_rules *r, const struct sl_conf_fetch *c,
                            struct sl_err *err)
{
    *r = (struct fetch_rules){ 0 };
    enum sl_rc rc = take_all(r, c, err);
    if (rc != SL_OK)
        fetch_rules_clear(r);
    return rc;
}

void fetch_rules_clear(struct fetch_rules *r)
{
    for (size_t i = 0; i < r->rewrite_n; i++) {
        free(r->rewrite[i].from);
        free(r->rewrite[i].to);
    }
    for (size_t i = 0; i < r->no_proxy_n; i++)
        free(r->no_proxy[i]);
    free(r->rewrite);
    free(r->no_proxy);
    free(r->allow);
    free(r->deny);
    free(r->proxy);
    *r = (struct fetch_rules){ 0 };
}

enum sl_rc fetch_rules_check(const struct sl_conf_fetch *c, struct sl_err *err)
{
    struct fetch_rules r;
    SL_TRY(fetch_rules_init(&r, c, err));
    fetch_rules_clear(&r);
    return SL_OK;
}
