/*
 * Rules between keys: references exist, choices bring what they need, numbers fit together. Each
 * message says what to write.
 */
#include "sealane/certs.h"
#include "src/base/config_impl.h"
#include "src/base/config_nearest.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A section with its place in the file, while all of a kind are walked. */
struct here {
    struct conf_ctx *x;
    const struct conf_section *s;
};

/* The line on which a key was given; 0: it was not. */
static unsigned given(const struct here *h, const char *key)
{
    size_t n;
    if (!h->s)
        return 0;
    const struct conf_key *keys = conf_keys(h->s->kind, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(keys[i].pub.key, key) == 0)
            return h->s->key_line[i];
    return 0;
}

/* The line to name in a message about a key: its own, else that of its section; 0: no section. */
static unsigned line_of(const struct here *h, const char *key)
{
    unsigned line = given(h, key);
    return line || !h->s ? line : h->s->line;
}

#define VALUE(h, key, ...) \
    conf_problem((h)->x, SL_CONFIG_VALUE, line_of(h, key), (h)->s, key, __VA_ARGS__)

/* Names of one titled kind, in file order, from the outline. */
static bool section_exists(const struct conf_ctx *x, enum conf_kind kind, const char *name)
{
    for (size_t i = 0; i < x->outline.n; i++)
        if (x->outline.v[i].kind == kind && strcmp(x->outline.v[i].title, name) == 0)
            return true;
    return false;
}

static void reference(const struct here *h, const char *key, enum conf_kind kind, const char *name)
{
    if (!*name || section_exists(h->x, kind, name))
        return;
    struct sl_nearest near = { .word = name };
    const char *only = NULL;
    for (size_t i = 0; i < h->x->outline.n; i++)
        if (h->x->outline.v[i].kind == kind) {
            only = h->x->outline.v[i].title;
            sl_nearest_try(&near, only);
        }
    const char *what = conf_kind(kind)->name;
    char shown[100];
    sl_printable(shown, sizeof(shown), sl_str(name));
    if (near.best)
        conf_problem(h->x, SL_CONFIG_REFERENCE, line_of(h, key), h->s, key,
                     "there is no section %s \"%s\"; nearest: \"%s\"", what, shown, near.best);
    else if (only)
        conf_problem(h->x, SL_CONFIG_REFERENCE, line_of(h, key), h->s, key,
                     "there is no section %s \"%s\"; there is \"%s\"", what, shown, only);
    else
        conf_problem(h->x, SL_CONFIG_REFERENCE, line_of(h, key), h->s, key,
                     "there is no section %s \"%s\", nor any other of that kind", what, shown);
}

static void check_global(const struct here *daemon, const struct here *ike,
                         const struct here *datapath, const struct sl_config *c)
{
    if (c->port && c->port == c->port_natt)
        VALUE(ike, "port_natt", "is %u as port is; they must differ (RFC 3948)", c->port_natt);
    if (c->cookie_threshold > c->max_half_open)
        VALUE(ike, "cookie_threshold",
              "is %u, more than max_half_open (%u), so no cookie would ever be asked",
              c->cookie_threshold, c->max_half_open);
    size_t tun = c->tun_name ? strlen(c->tun_name) : 0;
    if (tun == 0 || tun >= IFNAMSIZ || strpbrk(c->tun_name, "/: %"))
        VALUE(datapath, "tun_name",
              "not the name of a network device; expected 1 to %d characters without "
              "\"/\", \":\", \"%%\" or space",
              IFNAMSIZ - 1);
    if (c->table >= 253 && c->table <= 255)
        VALUE(datapath, "table", "is %u, one of the kernel's own tables (default, main, local)",
              c->table);
    if (c->user_base > UINT32_MAX - 16)
        VALUE(daemon, "user_base", "too large: one user per role follows it");
    if (c->run_dir && strlen(c->run_dir) > 80)
        VALUE(daemon, "run_dir",
              "longer than 80 characters, so the control socket's path would not fit");
    if (c->state_dir && !*c->state_dir)
        VALUE(daemon, "state_dir", "is empty");
    if (c->run_dir && !*c->run_dir)
        VALUE(daemon, "run_dir", "is empty");
}

/* Each word once, and only words that are known. */
static void check_order(const struct here *h, const struct sl_conf_strings *order)
{
    static const char *const words[] = { "staple", "cache", "ocsp", "crl" };
    for (size_t i = 0; i < order->n; i++) {
        bool known = false, again = false;
        for (size_t k = 0; k < SL_ARRAY_LEN(words); k++)
            known = known || strcmp(order->v[i], words[k]) == 0;
        for (size_t k = 0; k < i; k++)
            again = again || strcmp(order->v[i], order->v[k]) == 0;
        char shown[64];
        sl_printable(shown, sizeof(shown), sl_str(order->v[i]));
        if (!known || again)
            VALUE(h, "order", "\"%s\" %s; expected staple, cache, ocsp and crl, each at most once",
                  shown, known ? "is there twice" : "is not known");
    }
}

/* Each a known algorithm; the message names the nearest, and all of them. */
static void check_signatures(const struct here *h, const struct sl_conf_strings *names)
{
    for (size_t i = 0; i < names->n; i++) {
        if (sl_signature_valid(names->v[i]))
            continue;
        struct sl_nearest near = { .word = names->v[i] };
        char all[300] = "", shown[64];
        size_t used = 0;
        const char *one;
        for (size_t k = 0; (one = sl_signature_name(k)) && used < sizeof(all); k++) {
            sl_nearest_try(&near, one);
            int n = snprintf(all + used, sizeof(all) - used, "%s%s", k ? ", " : "", one);
            used += n > 0 ? (size_t)n : 0;
        }
        sl_printable(shown, sizeof(shown), sl_str(names->v[i]));
        VALUE(h, "signature", "\"%s\" is not known%s%s%s; expected some of %s", shown,
              near.best ? "; nearest: \"" : "", near.best ? near.best : "", near.best ? "\"" : "",
              all);
    }
}

static void check_uris(const struct here *h, const struct sl_conf_strings *uris)
{
    static const char *const schemes[] = { "http://", "https://", "ldap://", "ldaps://" };
    for (size_t i = 0; i < uris->n; i++) {
        bool known = false;
        for (size_t k = 0; k < SL_ARRAY_LEN(schemes); k++)
            known = known || strncasecmp(uris->v[i], schemes[k], strlen(schemes[k])) == 0;
        char shown[100];
        sl_printable(shown, sizeof(shown), sl_str(uris->v[i]));
        if (!known)
            VALUE(h, "intermediate_uri",
                  "\"%s\" is not fetched; expected http://, https://, ldap:// or ldaps://", shown);
    }
}

static void check_trust(const struct here *h, const struct sl_conf_trust *t,
                        const struct sl_config *c)
{
    for (size_t i = 0; i < t->anchors.n; i++)
        if (strcmp(t->anchors.v[i], "authority") == 0 && !c->authority.enabled)
            conf_problem(
                h->x, SL_CONFIG_REFERENCE, line_of(h, "anchor"), h->s, "anchor",
                "\"authority\" is the embedded CA, which is not enabled; expected a file, or a "
                "section authority { enabled = yes }");
    if (t->revocation == SL_REVOCATION_HARD && !t->ocsp && !t->crl && !t->crls.n && !*t->crl_dir)
        VALUE(h, "revocation",
              "hard with ocsp = no, crl = no and no crl_file would refuse every peer");
    check_order(h, &t->order);
    check_uris(h, &t->intermediate_uris);
    check_signatures(h, &t->signature);
    if (*t->responder && !t->ocsp)
        VALUE(h, "responder", "given with ocsp = no, so it would never be asked");
    if (*t->responder_cert && !*t->responder)
        VALUE(h, "responder_cert", "given without responder");
}

static void check_identity(const struct here *h, const struct sl_conf_identity *i)
{
    reference(h, "scep", CONF_scep, i->scep);
    if (strncmp(i->name, "ca-", 3) == 0)
        conf_problem(h->x, SL_CONFIG_VALUE, h->s->line, h->s, NULL,
                     "names that begin with \"ca-\" belong to the authority's keys");
    if (*i->scep && *i->certificate)
        VALUE(h, "certificate",
              "given beside scep; an identity is enrolled or brought by hand, not both");
    if (!*i->scep && !*i->certificate)
        VALUE(h, "scep",
              "missing, and no certificate is given; expected scep = SECTION to enrol, or "
              "certificate = FILE and key_file = FILE");
    if (*i->scep && !*i->subject && !i->san.n)
        VALUE(h, "subject", "missing, and no san is given; the request needs a name");
    if (*i->key_file && !*i->certificate)
        VALUE(h, "key_file", "given without certificate; an enrolled identity makes its own key");
    if (i->renew_percent + i->renew_jitter_percent > 98)
        VALUE(h, "renew_percent",
              "%u with a jitter of %u would renew when the certificate has expired",
              i->renew_percent, i->renew_jitter_percent);
}

static void check_directory(const struct here *h, struct sl_conf_directory *d)
{
    if (d->type == SL_DIRECTORY_LDIF) {
        if (!*d->file)
            VALUE(h, "file", "missing; type = ldif needs the file");
        if (*d->uri)
            VALUE(h, "uri", "given with type = ldif; expected type = ldap, or no uri");
        return;
    }
    bool plain = strncasecmp(d->uri, "ldap://", 7) == 0,
         local = strncasecmp(d->uri, "ldapi://", 8) == 0;
    if (!given(h, "starttls"))
        d->starttls = plain;
    if (!*d->uri && !given(h, "uri"))
        VALUE(h, "uri", "missing; type = ldap needs the server");
    if (!*d->base)
        VALUE(h, "base", "missing; type = ldap needs where to search, as dc=example,dc=org");
    if (*d->file)
        VALUE(h, "file", "given with type = ldap; expected type = ldif, or no file");
    if (d->starttls && *d->uri && !plain)
        VALUE(h, "starttls", "is for ldap:// only; %s needs none", local ? "ldapi://" : "ldaps://");
    if (*d->bind_dn && !*d->password_file)
        VALUE(h, "password_file", "missing; bind_dn needs the password");
    if (*d->password_file && !*d->bind_dn)
        VALUE(h, "bind_dn", "missing; password_file is for a simple bind");
    if (d->sasl_external && *d->bind_dn)
        VALUE(h, "bind_dn", "given beside sasl_external = yes; expected one of the two");
    if (!*d->client_cert != !*d->client_key)
        VALUE(h, *d->client_cert ? "client_cert" : "client_key",
              "client_cert and client_key are given together or not at all");
    if (d->sasl_external && !local && !*d->client_cert)
        VALUE(h, "client_cert", "missing; sasl_external = yes binds with a TLS client certificate");
}

static void pool_names(const struct here *h, const char *key, const struct sl_conf_strings *names)
{
    for (size_t i = 0; i < names->n; i++)
        reference(h, key, CONF_pool, names->v[i]);
}

static void dns_servers(const struct here *h, const char *key, const struct sl_conf_strings *v)
{
    if (v->n > SL_DNS_MAX)
        VALUE(h, key, "%zu servers; at most %d are allowed", v->n, SL_DNS_MAX);
}

static void check_pool(const struct here *h, const struct sl_conf_pool *p)
{
    size_t text = 0;
    if (!p->addresses.n && !p->statics.n)
        VALUE(h, "addresses",
              "missing, and no static address is given, so there is nothing to hand "
              "out");
    if (p->addresses.n > SL_POOL_RANGES_MAX)
        VALUE(h, "addresses", "%zu ranges; at most %d are allowed", p->addresses.n,
              SL_POOL_RANGES_MAX);
    dns_servers(h, "dns", &p->dns);
    if (p->split_dns.n > SL_SPLIT_DNS_MAX)
        VALUE(h, "split_dns", "%zu domains; at most %d are allowed", p->split_dns.n,
              SL_SPLIT_DNS_MAX);
    for (size_t i = 0; i < p->split_dns.n; i++) {
        const char *d = p->split_dns.v[i];
        text += strlen(d) + 1;
        if (strspn(d, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") !=
                strlen(d) ||
            strlen(d) > 253)
            VALUE(h, "split_dns", "\"%.60s\" is no domain name; expected one as corp.example", d);
    }
    if (text > SL_SPLIT_DNS_TEXT)
        VALUE(h, "split_dns", "%zu characters; at most %d are allowed", text, SL_SPLIT_DNS_TEXT);
    if (p->split_dns.n && !p->dns.n)
        VALUE(h, "split_dns", "given without dns, the servers that resolve these names");
    for (size_t i = 0; i < p->statics.n; i++)
        for (size_t k = 0; k < i; k++) {
            struct sl_id id;
            struct sl_addr a, b;
            if (sl_conf_static(&id, &a, p->statics.v[i]) &&
                sl_conf_static(&id, &b, p->statics.v[k]) && sl_addr_eq(&a, &b))
                VALUE(h, "static", "\"%.80s\": another identity has this address", p->statics.v[i]);
        }
}

static void check_grant_addresses(const struct here *h, const struct sl_conf_rule *r)
{
    unsigned seen = 0;
    pool_names(h, "grant_pool", &r->grant_pool);
    dns_servers(h, "grant_dns", &r->grant_dns);
    for (size_t i = 0; i < r->grant_address.n; i++) {
        struct sl_addr a;
        if (!sl_addr_parse(&a, r->grant_address.v[i]))
            continue;
        if (seen & a.family)
            VALUE(h, "grant_address", "two IPv%u addresses; expected at most one", a.family);
        seen |= a.family;
    }
    if (!r->accept && (r->grant_pool.n || r->grant_address.n || r->grant_dns.n))
        VALUE(h,
              r->grant_pool.n      ? "grant_pool"
              : r->grant_address.n ? "grant_address"
                                   : "grant_dns",
              "given with action = refuse, which grants nothing");
}

static void check_rule(const struct here *h, const struct sl_conf_rule *r)
{
    if (!r->accept && r->grant_ts_n)
        VALUE(h, "grant_ts", "given with action = refuse, which grants nothing");
    check_grant_addresses(h, r);
    if (strlen(r->grant_tag) >= SL_NAME_MAX)
        VALUE(h, "grant_tag", "longer than %d characters", SL_NAME_MAX - 1);
    for (size_t i = 0; i < r->method.n; i++)
        if (strcmp(r->method.v[i], "cert") != 0 && strcmp(r->method.v[i], "psk") != 0 &&
            !strpbrk(r->method.v[i], "*?["))
            VALUE(h, "method", "\"%.40s\" is not allowed; expected cert or psk", r->method.v[i]);
}

static void check_connection(const struct here *h, const struct sl_conf_connection *c)
{
    reference(h, "identity", CONF_identity, c->identity);
    reference(h, "psk", CONF_psk, c->psk);
    reference(h, "trust", CONF_trust, c->trust);
    reference(h, "directory", CONF_directory, c->directory);
    if (c->auth == SL_METHOD_CERT) {
        if (!*c->identity)
            VALUE(h, "identity", "missing; auth = cert needs our identity section");
        if (!*c->trust)
            VALUE(h, "trust",
                  "missing; auth = cert needs a trust section for the peer's certificate");
        if (*c->psk)
            VALUE(h, "psk", "given with auth = cert; expected auth = psk, or no psk");
    } else {
        if (!*c->psk)
            VALUE(h, "psk", "missing; auth = psk needs the psk section");
        if (*c->identity)
            VALUE(h, "identity",
                  "given with auth = psk, where no certificate is shown; expected id_local");
        if (c->id_local.type == SL_ID_NONE && !given(h, "id_local"))
            VALUE(h, "id_local",
                  "missing; with auth = psk there is no certificate to take it from");
    }
    bool any = sl_addr_is_any(&c->remote.addr), local_any = sl_addr_is_any(&c->local.addr);
    if (!any && !local_any && c->local.addr.family != c->remote.addr.family)
        VALUE(h, "local", "IPv%u and remote IPv%u; expected one family", c->local.addr.family,
              c->remote.addr.family);
    if (!any && c->remote_prefixes.n)
        VALUE(h, "remote_prefix", "is for remote = any; here one peer is named already");
    if (c->aggressive && !c->ikev1)
        VALUE(h, "aggressive", "given with version = ikev2, which has no such mode; expected no");
    if (c->aggressive && c->auth == SL_METHOD_PSK && !c->aggressive_psk)
        VALUE(h, "aggressive",
              "with auth = psk shows a HASH against which keys can be tried offline; expected no, "
              "or aggressive_psk = yes beside it");
    struct sl_conf_wish wish[2];
    pool_names(h, "pools", &c->pools);
    if (!sl_conf_wishes(wish, &c->virtual_ip))
        VALUE(h, "virtual_ip", "expected 0.0.0.0 or 4, :: or 6, both, or an address");
    if (c->virtual_ip.n && sl_addr_is_any(&c->remote.addr))
        VALUE(h, "virtual_ip", "the connection has remote = any, so there is nobody to ask");
    if (!c->child_n)
        conf_problem(
            h->x, SL_CONFIG_VALUE, h->s->line, h->s, NULL,
            "has no child section, so it would carry nothing; expected child NAME { ... }");
}

/* dynamic: either, for that is not known yet */
static unsigned family_bits(const struct sl_ts *ts)
{
    return ts->first.family == 4 ? 1U : ts->first.family == 6 ? 2U : 3U;
}

static void check_child(const struct here *h, const struct sl_conf_connection *c,
                        const struct sl_conf_child *k)
{
    unsigned families[2] = { 0 };
    for (size_t i = 0; i < k->local_ts_n; i++)
        families[0] |= family_bits(&k->local_ts[i]);
    for (size_t i = 0; i < k->remote_ts_n; i++)
        families[1] |= family_bits(&k->remote_ts[i]);
    if (families[0] && families[1] && !(families[0] & families[1]))
        VALUE(h, "remote_ts", "no address family in common with local_ts");
    if (c->ikev1 && k->local_ts_n > 1)
        VALUE(h, "local_ts",
              "%zu selectors; IKEv1 carries one of each side, so write a child for each",
              k->local_ts_n);
    if (c->ikev1 && k->remote_ts_n > 1)
        VALUE(h, "remote_ts",
              "%zu selectors; IKEv1 carries one of each side, so write a child for each",
              k->remote_ts_n);
    if (k->start && sl_addr_is_any(&c->remote.addr))
        VALUE(h, "start",
              "the connection has remote = any, so there is nobody to call; expected an address");
}

static void check_shunt(const struct here *h, const struct sl_conf_shunt *s)
{
    if (s->local_ts.first.family && s->remote_ts.first.family &&
        s->local_ts.first.family != s->remote_ts.first.family)
        VALUE(h, "remote_ts", "not of the address family of local_ts");
}

static void check_authority(const struct here *h, const struct sl_conf_authority *a)
{
    if (!a->enabled)
        return;
    if (!*a->base_url && !given(h, "base_url"))
        VALUE(h, "base_url",
              "missing; enabled = yes needs the URL under which peers reach the CA, as "
              "http://ca.example:8080");
    if (a->crl_lifetime_s <= a->crl_interval_s)
        VALUE(h, "crl_lifetime",
              "%llds is not longer than crl_interval (%llds), so CRLs would expire "
              "before the next one",
              (long long)a->crl_lifetime_s, (long long)a->crl_interval_s);
}

void conf_check(struct conf_ctx *x, struct sl_config *c)
{
    struct here single[CONF_KINDS];
    for (unsigned k = 0; k < CONF_KINDS; k++)
        single[k] = (struct here){ .x = x };
    for (size_t i = 0; i < x->outline.n; i++)
        single[x->outline.v[i].kind].s = &x->outline.v[i];
    /* An absent section still has defaults; its problems carry no line. */
    check_global(&single[CONF_daemon], &single[CONF_ike], &single[CONF_datapath], c);
    check_authority(&single[CONF_authority], &c->authority);

    size_t seen[CONF_KINDS] = { 0 };
    for (size_t i = 0; i < x->outline.n; i++) {
        struct here h = { .x = x, .s = &x->outline.v[i] };
        size_t n = seen[h.s->kind]++;
        switch (h.s->kind) {
        case CONF_trust:
            check_trust(&h, &c->trust[n], c);
            break;
        case CONF_identity:
            check_identity(&h, &c->identity[n]);
            break;
        case CONF_psk:
            if (strncmp(c->psk[n].name, "ca-", 3) == 0)
                conf_problem(x, SL_CONFIG_VALUE, h.s->line, h.s, NULL,
                             "names that begin with \"ca-\" belong to the authority's keys");
            break;
        case CONF_directory:
            check_directory(&h, &c->directory[n]);
            break;
        case CONF_pool:
            check_pool(&h, &c->pool[n]);
            break;
        case CONF_rule:
            check_rule(&h, &c->rule[n]);
            break;
        case CONF_connection:
            check_connection(&h, &c->connection[n]);
            seen[CONF_child] = 0;
            break;
        case CONF_child: /* follows its connection, the last one counted */
            check_child(&h, &c->connection[seen[CONF_connection] - 1],
                        &c->connection[seen[CONF_connection] - 1].child[n]);
            break;
        case CONF_shunt:
            check_shunt(&h, &c->shunt[n]);
            break;
        case CONF_scep:
        case CONF_daemon:
        case CONF_ike:
        case CONF_datapath:
        case CONF_audit:
        case CONF_authority:
        case CONF_fetch:
        case CONF_KINDS:
            break;
        }
    }
}
