/*
 * Texts of the configuration turned into values: numbers, durations, addresses, selectors,
 * identities. Every refusal says what was expected. Proposals are in config_proposal.c.
 */
#include "sealane/time.h"
#include "src/base/config_impl.h"
#include "src/base/config_nearest.h"
#include "src/base/config_proposal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_VALUE_MAX 4096

static void bad(struct conf_ctx *x, const struct conf_place *at, const char *value,
                const char *expected)
{
    char shown[160];
    conf_problem(x, SL_CONFIG_VALUE, at->line, at->section, at->key,
                 "\"%s\" is not allowed; expected %s",
                 sl_printable(shown, sizeof(shown), sl_str(value)), expected);
}

/* A field is an object of its own type inside base; memcpy keeps this free of aliasing. */
static void *field(const struct conf_key *key, void *base)
{
    return (char *)base + key->offset;
}

static void put_uint(const struct conf_key *key, void *base, uint64_t v)
{
    switch (key->size) {
    case 1:
        memcpy(field(key, base), &(uint8_t){ (uint8_t)v }, 1);
        break;
    case 2:
        memcpy(field(key, base), &(uint16_t){ (uint16_t)v }, 2);
        break;
    case 4:
        memcpy(field(key, base), &(uint32_t){ (uint32_t)v }, 4);
        break;
    default:
        memcpy(field(key, base), &v, 8);
        break;
    }
}

static bool put_text(const struct conf_key *key, void *base, const char *v)
{
    char *copy = strdup(v);
    if (!copy)
        return false;
    memcpy(field(key, base), &copy, sizeof(copy));
    return true;
}

/* "LOW..HIGH", perhaps after "0|". */
struct range {
    bool zero;
    uint64_t low, high;
};
static struct range range_of(const char *rule)
{
    struct range r = { .high = UINT64_MAX };
    if (strncmp(rule, "0|", 2) == 0) {
        r.zero = true;
        rule += 2;
    }
    char *end;
    r.low = strtoull(rule, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        r.high = strtoull(end + 2, NULL, 10);
    return r;
}

static bool within(const struct range *r, uint64_t v)
{
    return (r->zero && v == 0) || (v >= r->low && v <= r->high);
}

static bool decimal(const char *v, uint64_t *out, const char **rest)
{
    if (*v < '0' || *v > '9')
        return false;
    errno = 0;
    char *end;
    *out = strtoull(v, &end, 10);
    *rest = end;
    return errno == 0;
}

static void set_int(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                    void *base, const char *v)
{
    struct range r = range_of(key->rule);
    uint64_t n;
    const char *rest;
    if (decimal(v, &n, &rest) && !*rest && within(&r, n)) {
        put_uint(key, base, n);
        return;
    }
    char expected[80];
    snprintf(expected, sizeof(expected), "a number %s%" PRIu64 " to %" PRIu64,
             r.zero ? "0 or " : "", r.low, r.high);
    bad(x, at, v, expected);
}

static void set_bytes(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                      void *base, const char *v)
{
    uint64_t n, factor = 1;
    const char *rest;
    bool ok = decimal(v, &n, &rest);
    if (ok && *rest) {
        static const char units[] = "kMGT";
        const char *u = strchr(units, *rest);
        ok = u && !rest[1];
        for (const char *p = units; ok && p <= u; p++)
            factor *= 1000;
    }
    if (ok && n <= (UINT64_MAX >> 1) / factor)
        put_uint(key, base, n * factor);
    else
        bad(x, at, v, "a number, perhaps with k, M, G or T (powers of 1000)");
}

/* Durations: per_s is 1 for seconds, 1000 for milliseconds. */
static void set_duration(struct conf_ctx *x, const struct conf_place *at,
                         const struct conf_key *key, void *base, const char *v, int64_t per_s)
{
    struct range r = range_of(key->rule);
    int64_t s;
    uint64_t ms;
    const char *rest;
    bool is_ms =
        per_s == 1000 && decimal(v, &ms, &rest) && strcmp(rest, "ms") == 0 && ms <= INT64_MAX;
    if (is_ms || sl_duration_parse(&s, v)) {
        int64_t value = is_ms ? (int64_t)ms : s * per_s;
        if (value >= 0 && within(&r, (uint64_t)value)) {
            memcpy(field(key, base), &value, sizeof(value));
            return;
        }
        char expected[96];
        if (per_s == 1000)
            snprintf(expected, sizeof(expected), "a duration of %" PRIu64 "ms to %" PRIu64 "ms",
                     r.low, r.high);
        else
            snprintf(expected, sizeof(expected), "a duration of %" PRIu64 "s to %" PRIu64 "s",
                     r.low, r.high);
        bad(x, at, v, expected);
        return;
    }
    bad(x, at, v,
        per_s == 1000 ? "a duration as 500ms, 5s or 1m" : "a duration as 90s, 15m, 4h, 30d or 2w");
}

static void set_bool(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                     void *base, const char *v)
{
    static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        if (strcmp(v, words[i]) == 0) {
            bool b = i % 2;
            memcpy(field(key, base), &b, sizeof(b));
            return;
        }
    bad(x, at, v, "yes or no");
}

/* Position of v among "a|b|c", or -1 with a problem. */
static int choose(struct conf_ctx *x, const struct conf_place *at, const char *rule, const char *v)
{
    char words[160], *rest = words, expected[256] = "one of";
    snprintf(words, sizeof(words), "%s", rule);
    struct sl_nearest near = { .word = v };
    int i = 0;
    for (char *w; (w = strsep(&rest, "|")); i++) {
        if (strcmp(w, v) == 0)
            return i;
        sl_nearest_try(&near, w);
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used, "%s \"%s\"", i ? "," : "", w);
    }
    if (near.best) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used, "; nearest: \"%s\"", near.best);
    }
    bad(x, at, v, expected);
    return -1;
}

static bool set_url(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                    void *base, const char *v)
{
    if (*v) {
        char schemes[96], *rest = schemes;
        snprintf(schemes, sizeof(schemes), "%s", key->rule);
        bool ok = false;
        for (char *scheme; (scheme = strsep(&rest, "|"));) {
            size_t n = strlen(scheme);
            ok |= strncasecmp(v, scheme, n) == 0 && (v[n] || strcmp(scheme, "ldapi://") == 0);
        }
        for (const char *c = v; *c; c++)
            ok &= (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f;
        if (!ok) {
            char expected[128];
            snprintf(expected, sizeof(expected), "a URL without spaces that begins with %s",
                     key->rule);
            bad(x, at, v, expected);
            v = "";
        }
    }
    return put_text(key, base, v);
}

/* Hex of 32 bytes; stored in lower case without colons. */
static bool set_fingerprint(struct conf_ctx *x, const struct conf_place *at,
                            const struct conf_key *key, void *base, const char *v)
{
    SL_AUTO_BUF raw = { 0 };
    char hex[65] = "";
    if (*v && (!sl_unhex(&raw, v) || raw.len != 32))
        bad(x, at, v, "a SHA-256 fingerprint: 64 hexadecimal digits, colons allowed between bytes");
    else if (*v)
        sl_hex(hex, sizeof(hex), sl_buf_bytes(&raw));
    return put_text(key, base, hex);
}

/* ---- lists of text --------------------------------------------------------------------------------- */
static bool check_san(const char *v)
{
    struct sl_addr a;
    const char *at = strchr(v, '@');
    if (strncmp(v, "dns:", 4) == 0)
        return v[4] &&
               !v[4 + strspn(v + 4,
                             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*_")];
    if (strncmp(v, "ip:", 3) == 0)
        return sl_addr_parse(&a, v + 3);
    return strncmp(v, "email:", 6) == 0 && at && at > v + 6 && at[1];
}

static bool check_attr(const char *v)
{
    const char *eq = strchr(v, '=');
    return eq && eq > v && eq[1];
}

/* The length of a scheme that is fetched, with "://"; 0: v begins with none. */
static size_t fetched_scheme(const char *v)
{
    static const char *const schemes[] = { "http://", "https://", "ldap://", "ldaps://" };
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes); i++)
        if (strncasecmp(v, schemes[i], strlen(schemes[i])) == 0)
            return strlen(schemes[i]);
    return 0;
}

/* FROM=TO; FROM may hold "=" itself, so the border is the first one that a scheme follows. */
static bool check_rewrite(const char *v)
{
    size_t from = fetched_scheme(v), to = 0;
    const char *eq = v + from;
    for (const char *c = v; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return false;
    while (from && (eq = strchr(eq, '=')) && !(to = fetched_scheme(eq + 1)))
        eq++;
    return to && eq[1 + to] && eq[1 + to] != '/' && v[from] != '/' && v[from] != '=';
}

static bool pool_range(const char *v)
{
    struct sl_ts ts;
    return !strchr(v, '[') && sl_ts_parse(&ts, v);
}

bool sl_conf_static(struct sl_id *id, struct sl_addr *addr, const char *text)
{
    /* an identity may hold "=" itself, an address may not */
    const char *eq = strrchr(text, '=');
    char name[SL_ID_TEXT];
    struct sl_err err = { 0 };
    if (!eq || eq == text || (size_t)(eq - text) >= sizeof(name) || !sl_addr_parse(addr, eq + 1))
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)(eq - text), text);
    return sl_id_parse(id, name, &err) == SL_OK;
}

static bool static_entry(const char *v)
{
    struct sl_id id;
    struct sl_addr addr;
    return sl_conf_static(&id, &addr, v);
}

bool sl_conf_wishes(struct sl_conf_wish out[2], const struct sl_conf_strings *words)
{
    memset(out, 0, 2 * sizeof(*out));
    for (size_t i = 0; i < words->n; i++) {
        const char *v = words->v[i];
        const bool both = strcmp(v, "both") == 0;
        struct sl_addr a = { .family = 4 };
        if (strcmp(v, "6") == 0)
            a.family = 6;
        else if (!both && strcmp(v, "4") != 0 && !sl_addr_parse(&a, v))
            return false;
        out[a.family == 6] = (struct sl_conf_wish){ .want = true, .addr = a };
        if (both)
            out[1] = (struct sl_conf_wish){ .want = true, .addr.family = 6 };
    }
    return true;
}

static const char *element_wrong(const struct conf_key *key, const char *v)
{
    struct sl_prefix prefix;
    if (!*v)
        return "text that is not empty";
    switch (key->type) {
    case CONF_SANS:
        return check_san(v) ? NULL : "dns:NAME, ip:ADDRESS or email:NAME@DOMAIN";
    case CONF_ATTRS:
        return check_attr(v) ? NULL : "attribute=pattern";
    case CONF_REWRITES:
        return check_rewrite(v)
                   ? NULL
                   : "FROM=TO, both URIs that begin with http://, https://, ldap:// or "
                     "ldaps:// and name a host, as http://crl.corp/=http://mirror/";
    case CONF_PREFIXES:
        return sl_prefix_parse(&prefix, v)
                   ? NULL
                   : "a prefix as 192.0.2.0/24 (host bits zero) or an address";
    case CONF_POOL:
        return pool_range(v)
                   ? NULL
                   : "a prefix as 10.9.0.0/24 (host bits zero), an address, or 10.9.1.10-10.9.1.90";
    case CONF_IPS:
        return sl_addr_parse(&(struct sl_addr){ 0 }, v) ? NULL : "an IPv4 or IPv6 address";
    case CONF_STATICS:
        return static_entry(v) ? NULL
                               : "IDENTITY=ADDRESS, as dns:branch7.example=10.9.0.7 or "
                                 "dn:CN=b7=2001:db8::7";
    case CONF_ANCHORS:
        if (strcmp(v, "authority") == 0)
            return NULL;
        return *v == '/' ? NULL : "a path that begins with \"/\", or \"authority\"";
    case CONF_PATHS:
        return *v == '/' ? NULL : "a path that begins with \"/\"";
    default:
        return NULL;
    }
}

static bool set_strings(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                        void *base, const char *const *v, size_t n)
{
    struct sl_conf_strings s = { 0 };
    if (n) {
        s.v = calloc(n, sizeof(*s.v));
        if (!s.v)
            return false;
    }
    memcpy(field(key, base), &s, sizeof(s));
    for (size_t i = 0; i < n; i++) {
        const char *expected =
            strlen(v[i]) > TEXT_VALUE_MAX ? "shorter text" : element_wrong(key, v[i]);
        if (expected) {
            bad(x, at, v[i], expected);
            continue;
        }
        s.v[s.n] = strdup(v[i]);
        if (!s.v[s.n])
            return false;
        s.n++;
        memcpy(field(key, base), &s, sizeof(s));
    }
    return true;
}

static bool selectors(const struct conf_key *key)
{
    return key->type == CONF_TS_LIST || key->type == CONF_TS_DYNAMIC;
}

/* ---- lists of values -------------------------------------------------------------------------------- */
static bool set_values(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                       void *base, const char *const *v, size_t n)
{
    size_t size = selectors(key)          ? sizeof(struct sl_ts)
                  : key->type == CONF_IKE ? sizeof(struct sl_conf_ike_proposal)
                                          : sizeof(struct sl_conf_esp_proposal);
    size_t max = selectors(key) ? SL_TS_MAX : CONF_PROPOSALS_MAX, used = 0;
    if (n > max) {
        conf_problem(x, SL_CONFIG_VALUE, at->line, at->section, at->key,
                     "%zu values; at most %zu are allowed", n, max);
        n = max;
    }
    char *values = NULL;
    if (n && !(values = calloc(n, size)))
        return false;
    memcpy(field(key, base), &values, sizeof(values));
    for (size_t i = 0; i < n; i++) {
        char why[320];
        bool ok = true;
        if (selectors(key)) {
            struct sl_ts ts = { .end_port = UINT16_MAX };
            ok = (key->type == CONF_TS_DYNAMIC && strcmp(v[i], "dynamic") == 0) ||
                 sl_ts_parse(&ts, v[i]);
            if (ok)
                memcpy(values + used * size, &ts, size);
            else
                bad(x, at, v[i],
                    "a selector as 10.0.0.0/8 (host bits zero), 10.0.0.1-10.0.0.9 or "
                    "10.0.0.0/8[tcp/443]");
        } else if (key->type == CONF_IKE) {
            struct sl_conf_ike_proposal p;
            ok = conf_ike_proposal(&p, v[i], why, sizeof(why));
            if (ok)
                memcpy(values + used * size, &p, size);
        } else {
            struct sl_conf_esp_proposal p;
            ok = conf_esp_proposal(&p, v[i], why, sizeof(why));
            if (ok)
                memcpy(values + used * size, &p, size);
        }
        if (!ok && !selectors(key)) {
            char shown[100];
            conf_problem(x, SL_CONFIG_VALUE, at->line, at->section, at->key, "proposal \"%s\": %s",
                         sl_printable(shown, sizeof(shown), sl_str(v[i])), why);
        }
        used += ok;
    }
    memcpy((char *)base + key->count_offset, &used, sizeof(used));
    return true;
}

/* ---- one value ---------------------------------------------------------------------------------------- */
static void set_endpoint(struct conf_ctx *x, const struct conf_place *at,
                         const struct conf_key *key, void *base, const char *v)
{
    uint16_t port = (uint16_t)strtoul(key->rule, NULL, 10);
    struct sl_endpoint e = { .port = port };
    if (strcmp(v, "any") != 0 && !sl_endpoint_parse(&e, v, port)) {
        bad(x, at, v, "an address as 192.0.2.1, 192.0.2.1:500 or [2001:db8::1]:500, or any");
        return;
    }
    memcpy(field(key, base), &e, sizeof(e));
}

static void set_addr(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                     void *base, const char *v)
{
    struct sl_addr a;
    if (sl_addr_parse(&a, v) && a.family == (uint8_t)(*key->rule - '0'))
        memcpy(field(key, base), &a, sizeof(a));
    else
        bad(x, at, v, *key->rule == '4' ? "an IPv4 address" : "an IPv6 address");
}

static void set_id(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                   void *base, const char *v)
{
    struct sl_id id = { 0 };
    struct sl_err err = { 0 };
    if (*v && sl_id_parse(&id, v, &err) != SL_OK) {
        conf_problem(
            x, SL_CONFIG_VALUE, at->line, at->section, at->key,
            "%s; expected dns:NAME, email:NAME@DOMAIN, ip:ADDRESS, dn:SUBJECT or keyid:HEX",
            sl_err_text(&err));
        return;
    }
    memcpy(field(key, base), &id, sizeof(id));
}

static void set_ts(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                   void *base, const char *v)
{
    struct sl_ts ts;
    if (sl_ts_parse(&ts, v))
        memcpy(field(key, base), &ts, sizeof(ts));
    else
        bad(x, at, v,
            "a selector as 10.0.0.0/8 (host bits zero), 10.0.0.1-10.0.0.9 or 10.0.0.0/8[tcp/443]");
}

static bool set_one(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                    void *base, const char *v)
{
    int i;
    enum sl_key_type key_type;
    uint16_t bits;
    if (strlen(v) > TEXT_VALUE_MAX) {
        bad(x, at, "(long text)", "at most 4096 characters");
        v = "";
    }
    switch (key->type) {
    case CONF_TEXT:
    case CONF_REF:
        return put_text(key, base, v);
    case CONF_PATH:
        if (*v && *v != '/') {
            bad(x, at, v, "a path that begins with \"/\"");
            v = "";
        }
        return put_text(key, base, v);
    case CONF_URL:
        return set_url(x, at, key, base, v);
    case CONF_FINGERPRINT:
        return set_fingerprint(x, at, key, base, v);
    case CONF_KEYALG:
        if (!sl_key_alg_parse(&key_type, &bits, v))
            bad(x, at, v, "rsa:2048 to rsa:4096, ecdsa:p256, ecdsa:p384, ecdsa:p521 or ed25519");
        return put_text(key, base, v);
    case CONF_BOOL:
        if (*v)
            set_bool(x, at, key, base, v);
        return true;
    case CONF_INT:
        set_int(x, at, key, base, v);
        return true;
    case CONF_BYTES:
        set_bytes(x, at, key, base, v);
        return true;
    case CONF_SECONDS:
        set_duration(x, at, key, base, v, 1);
        return true;
    case CONF_MILLIS:
        set_duration(x, at, key, base, v, 1000);
        return true;
    case CONF_CHOICE:
    case CONF_CHOICE_BOOL:
        i = choose(x, at, key->rule, v);
        if (i >= 0)
            put_uint(key, base, (uint64_t)i);
        return true;
    case CONF_CHOICE_TEXT:
        (void)choose(x, at, key->rule, v);
        return put_text(key, base, v);
    case CONF_ADDR:
        set_addr(x, at, key, base, v);
        return true;
    case CONF_ENDPOINT:
        set_endpoint(x, at, key, base, v);
        return true;
    case CONF_ID:
        set_id(x, at, key, base, v);
        return true;
    case CONF_TS:
        set_ts(x, at, key, base, v);
        return true;
    case CONF_STRINGS:
    case CONF_PATHS:
    case CONF_ANCHORS:
    case CONF_SANS:
    case CONF_ATTRS:
    case CONF_REWRITES:
    case CONF_PREFIXES:
    case CONF_POOL:
    case CONF_IPS:
    case CONF_STATICS:
    case CONF_TS_LIST:
    case CONF_TS_DYNAMIC:
    case CONF_IKE:
    case CONF_ESP:
        break;
    }
    return true;
}

bool conf_type_is_list(enum conf_type type)
{
    switch (type) {
    case CONF_STRINGS:
    case CONF_PATHS:
    case CONF_ANCHORS:
    case CONF_SANS:
    case CONF_ATTRS:
    case CONF_REWRITES:
    case CONF_PREFIXES:
    case CONF_POOL:
    case CONF_IPS:
    case CONF_STATICS:
    case CONF_TS_LIST:
    case CONF_TS_DYNAMIC:
    case CONF_IKE:
    case CONF_ESP:
        return true;
    default:
        return false;
    }
}

bool conf_value_set(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                    void *base, const char *const *v, size_t n)
{
    if (!conf_type_is_list(key->type))
        return set_one(x, at, key, base, n ? v[0] : "");
    if (selectors(key) || key->type == CONF_IKE || key->type == CONF_ESP)
        return set_values(x, at, key, base, v, n);
    return set_strings(x, at, key, base, v, n);
}

void conf_value_clear(const struct conf_key *key, void *base)
{
    char *p;
    struct sl_conf_strings s;
    switch (key->type) {
    case CONF_TEXT:
    case CONF_REF:
    case CONF_PATH:
    case CONF_URL:
    case CONF_FINGERPRINT:
    case CONF_KEYALG:
    case CONF_CHOICE_TEXT:
    case CONF_TS_LIST:
    case CONF_TS_DYNAMIC:
    case CONF_IKE:
    case CONF_ESP:
        memcpy(&p, field(key, base), sizeof(p));
        free(p);
        break;
    case CONF_STRINGS:
    case CONF_PATHS:
    case CONF_ANCHORS:
    case CONF_SANS:
    case CONF_ATTRS:
    case CONF_REWRITES:
    case CONF_PREFIXES:
    case CONF_POOL:
    case CONF_IPS:
    case CONF_STATICS:
        memcpy(&s, field(key, base), sizeof(s));
        for (size_t i = 0; i < s.n; i++)
            free(s.v[i]);
        free(s.v);
        break;
    case CONF_BOOL:
    case CONF_INT:
    case CONF_BYTES:
    case CONF_SECONDS:
    case CONF_MILLIS:
    case CONF_CHOICE:
    case CONF_CHOICE_BOOL:
    case CONF_ADDR:
    case CONF_ENDPOINT:
    case CONF_ID:
    case CONF_TS:
        break;
    }
}
