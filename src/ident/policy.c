/*
 * Policy rules in file order: the first that matches decides, none refuses. The words made here are
 * those of the log, the audit record and `sealane policy test`.
 */
#include "sealane/policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Linear in text times stars: after a mismatch only the last star moves on. */
bool sl_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *retry = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (*pattern == '?' ||
                   tolower((unsigned char)*pattern) == tolower((unsigned char)*text)) {
            if (!*pattern)
                return false;
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool any_glob(const struct sl_conf_strings *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (sl_glob(patterns->v[i], text))
            return true;
    return false;
}

static bool typed(const char *pattern)
{
    static const char *const types[] = { "dns:", "email:", "ip:", "dn:", "keyid:", "type" };
    for (size_t i = 0; i < SL_ARRAY_LEN(types); i++)
        if (strncasecmp(pattern, types[i], strlen(types[i])) == 0)
            return true;
    return false;
}

static bool id_matches(const struct sl_conf_strings *patterns, const struct sl_id *id)
{
    char text[SL_ID_TEXT];
    sl_id_text(text, id);
    const char *value = strchr(text, ':');
    value = value ? value + 1 : text;
    for (size_t i = 0; i < patterns->n; i++)
        if (sl_glob(patterns->v[i], typed(patterns->v[i]) ? text : value))
            return true;
    return false;
}

/* The value of a DN's first RDN: "cn=Gateways,ou=Groups" is Gateways. */
static void first_value(char *out, size_t cap, const char *dn)
{
    const char *eq = strchr(dn, '=');
    size_t n = 0;
    for (const char *s = eq ? eq + 1 : dn; *s && *s != ',' && *s != '+' && n + 1 < cap; s++) {
        if (*s == '\\' && s[1])
            s++;
        out[n++] = *s;
    }
    out[n] = '\0';
}

static bool group_matches(const struct sl_conf_strings *patterns, const struct sl_entry *e)
{
    const struct sl_attr *a = e ? sl_entry_attr(e, "memberOf") : NULL;
    for (size_t i = 0; a && i < a->n; i++) {
        char name[256];
        const char *dn = (const char *)a->value[i].p;
        first_value(name, sizeof(name), dn);
        if (any_glob(patterns, dn) || any_glob(patterns, name))
            return true;
    }
    return false;
}

/* Every "attr=glob" must hold: that is how several conditions on one entry are said. */
static bool attrs_match(const struct sl_conf_strings *patterns, const struct sl_entry *e)
{
    for (size_t i = 0; i < patterns->n; i++) {
        const char *p = patterns->v[i];
        size_t len = strcspn(p, "=");
        char name[SL_NAME_MAX];
        if (!e || len == 0 || len >= sizeof(name) || !p[len])
            return false;
        memcpy(name, p, len);
        name[len] = '\0';
        const struct sl_attr *a = sl_entry_attr(e, name);
        bool hit = false;
        for (size_t k = 0; a && k < a->n && !hit; k++)
            hit = sl_glob(p + len + 1, (const char *)a->value[k].p);
        if (!hit)
            return false;
    }
    return true;
}

static bool remote_matches(const struct sl_conf_strings *prefixes, const struct sl_addr *remote)
{
    for (size_t i = 0; i < prefixes->n; i++) {
        struct sl_prefix p;
        if (remote && sl_prefix_parse(&p, prefixes->v[i]) && sl_prefix_has(&p, remote))
            return true;
    }
    return false;
}

static bool matches(const struct sl_conf_rule *r, const struct sl_policy_ask *ask)
{
    return (r->connection.n == 0 || any_glob(&r->connection, ask->connection)) &&
           (r->id.n == 0 || id_matches(&r->id, ask->id)) &&
           (r->issuer.n == 0 || any_glob(&r->issuer, ask->issuer)) &&
           (r->subject.n == 0 || any_glob(&r->subject, ask->subject)) &&
           (r->method.n == 0 || any_glob(&r->method, ask->method)) &&
           (r->group.n == 0 || group_matches(&r->group, ask->entry)) &&
           attrs_match(&r->entry_attr, ask->entry) &&
           (r->remote.n == 0 || remote_matches(&r->remote, ask->remote));
}

static enum sl_rc grant_of(struct sl_grant *g, const struct sl_conf_rule *r, struct sl_err *err)
{
    *g = (struct sl_grant){ 0 };
    if (r->grant_ts_n > SL_TS_MAX)
        return SL_FAIL(err, SL_CONFIG_VALUE,
                       "rule %s grants %zu traffic selectors, at most %d are allowed", r->name,
                       r->grant_ts_n, SL_TS_MAX);
    for (size_t i = 0; i < r->grant_ts_n; i++)
        g->ts[g->ts_n++] = r->grant_ts[i];
    g->lifetime_s = r->grant_lifetime_s > UINT32_MAX ? UINT32_MAX : (uint32_t)r->grant_lifetime_s;
    snprintf(g->tag, sizeof(g->tag), "%s", r->grant_tag);
    return SL_OK;
}

enum sl_rc sl_policy_decide(const struct sl_conf_rule *rules, size_t n,
                            const struct sl_policy_ask *ask, const struct sl_conf_rule **rule,
                            struct sl_grant *grant, struct sl_err *err)
{
    char id[SL_ID_TEXT];
    sl_id_text(id, ask->id);
    for (size_t i = 0; i < n; i++) {
        if (!matches(&rules[i], ask))
            continue;
        *rule = &rules[i];
        if (!rules[i].accept)
            return SL_FAIL(err, SL_POLICY_REFUSED, "rule %s refuses %.200s on connection %s",
                           rules[i].name, id, ask->connection);
        SL_TRY(grant_of(grant, &rules[i], err));
        (void)SL_FAIL(err, SL_OK, "rule %s accepts %.200s on connection %s", rules[i].name, id,
                      ask->connection);
        return SL_OK;
    }
    return SL_FAIL(err, SL_POLICY_NO_MATCH,
                   "none of the %zu rules matches %.200s on connection %s, and no match refuses", n,
                   id, ask->connection);
}
