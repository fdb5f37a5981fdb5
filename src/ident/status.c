/*
 * What the decider holds, told: sources with their freshness and failures, and for each trust section
 * and CA until when its peers have a status that counts.
 */
#include "src/ident/internal.h"

#include <stdlib.h>
#include <string.h>

static void put_time(json_t *o, const char *key, int64_t utc_s)
{
    char when[SL_TIME_TEXT];
    if (utc_s)
        json_object_set_new(o, key, json_string(sl_time_text(when, utc_s)));
}

static const char *kind_word(const struct source *s)
{
    switch (s->kind) {
    case SOURCE_OCSP:
        return "ocsp";
    case SOURCE_CRL:
        return s->crl && sl_crl_is_delta(s->crl) ? "delta" : "crl";
    case SOURCE_CERT:
        break;
    }
    return "certificates";
}

static const char *issuer_of(const struct source *s)
{
    if (s->kind == SOURCE_OCSP)
        return sl_cert_subject(s->issuer);
    return s->crl ? sl_crl_issuer(s->crl) : s->signer_n ? sl_cert_subject(s->signer[0]) : "";
}

static int64_t this_update(const struct source *s)
{
    return s->kind == SOURCE_CRL    ? sl_crl_this_update(s->crl)
           : s->kind == SOURCE_OCSP ? s->answer.this_update
                                    : s->fetched_utc_s;
}

static void put_times(json_t *o, int64_t from, int64_t to, struct sl_now now)
{
    put_time(o, "this_update", from);
    put_time(o, "next_update", to);
    json_object_set_new(o, "age_s", json_integer(now.utc_s - from));
    json_object_set_new(o, "fresh", json_boolean(now.utc_s <= to));
}

static void put_crl(json_t *o, const struct sl_crl *crl)
{
    json_object_set_new(o, "entries", json_integer((json_int_t)sl_crl_entries(crl)));
    json_object_set_new(o, "number", json_string(sl_crl_number(crl)));
}

static json_t *source_json(const struct source *s, struct sl_now now)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s}", "kind", kind_word(s), "uri", s->uri, "issuer", issuer_of(s));
    if (s->cert)
        json_object_set_new(o, "cert", json_string(sl_cert_name(s->cert)));
    if (s->have) {
        put_times(o, this_update(s), source_next_update(s), now);
        put_time(o, "fetched", s->fetched_utc_s);
        if (s->crl)
            put_crl(o, s->crl);
    }
    json_object_set_new(o, "fetching", json_boolean(s->question != 0));
    if (s->rc != SL_OK) {
        json_object_set_new(o, "reason", json_string(sl_rc_name(s->rc)));
        json_object_set_new(o, "error", json_string(s->error));
        put_time(o, "failing_since", s->since_utc_s);
    }
    return o;
}

static json_t *file_json(const struct local_crl *l, struct sl_now now)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "kind", sl_crl_is_delta(l->crl) ? "delta" : "crl",
                          "file", l->what, "issuer", sl_crl_issuer(l->crl));
    put_times(o, sl_crl_this_update(l->crl), sl_crl_next_update(l->crl), now);
    put_crl(o, l->crl);
    return o;
}

/* ---- trust sections and their CAs ---------------------------------------------------------------------- */
struct ca {
    char name[256];
    int64_t crl_until, ocsp_until; /* 0: none */
    json_t *sources;
};
struct cas {
    struct ca *v;
    size_t n;
};

static struct ca *ca_of(struct cas *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (strncmp(all->v[i].name, name, sizeof(all->v[i].name) - 1) == 0)
            return &all->v[i];
    struct ca *v = reallocarray(all->v, all->n + 1, sizeof(*v));
    if (!v)
        return NULL;
    all->v = v;
    struct ca *c = &v[all->n++];
    *c = (struct ca){ .sources = json_array() };
    strncpy(c->name, name, sizeof(c->name) - 1);
    return c;
}

/* CRLs stand in for each other; with OCSP the peer whose answer ends first counts. */
static void add_source(struct cas *all, const struct source *s, struct sl_now now)
{
    struct ca *c = s->kind == SOURCE_CERT ? NULL : ca_of(all, issuer_of(s));
    if (!c)
        return;
    json_array_append_new(c->sources, source_json(s, now));
    if (!s->have)
        return;
    int64_t until = source_next_update(s);
    if (s->kind == SOURCE_CRL && !sl_crl_is_delta(s->crl) && until > c->crl_until)
        c->crl_until = until;
    if (s->kind == SOURCE_OCSP && (c->ocsp_until == 0 || until < c->ocsp_until))
        c->ocsp_until = until;
}

static void add_file(struct cas *all, const struct local_crl *l, struct sl_now now)
{
    struct ca *c = ca_of(all, sl_crl_issuer(l->crl));
    if (!c)
        return;
    json_array_append_new(c->sources, file_json(l, now));
    if (!sl_crl_is_delta(l->crl) && sl_crl_next_update(l->crl) > c->crl_until)
        c->crl_until = sl_crl_next_update(l->crl);
}

/* Takes c's list. */
static json_t *ca_json(const struct sl_conf_trust *conf, const struct ca *c, struct sl_now now)
{
    json_t *o = json_pack("{s:s, s:o}", "ca", c->name, "sources", c->sources);
    int64_t until = c->crl_until > c->ocsp_until ? c->crl_until : c->ocsp_until;
    if (conf->revocation == SL_REVOCATION_OFF) {
        json_object_set_new(o, "seconds_until_refused", json_null());
        return o;
    }
    put_time(o, "fresh_until", until);
    if (until && conf->revocation == SL_REVOCATION_GRACE)
        until += conf->grace_s;
    put_time(o, "refused_from", until);
    int64_t left = until - now.utc_s + 1; /* nextUpdate is inclusive */
    json_object_set_new(o, "seconds_until_refused", json_integer(until && left > 0 ? left : 0));
    return o;
}

static const char *mode_word(enum sl_revocation_mode mode)
{
    return mode == SL_REVOCATION_HARD ? "hard" : mode == SL_REVOCATION_GRACE ? "grace" : "off";
}

static json_t *trust_json(const struct sl_decider *d, const struct trust *t, struct sl_now now)
{
    struct cas all = { 0 };
    json_t *anchors = json_array(), *cas = json_array(), *certs = json_array();
    for (size_t k = 0; k < t->anchors.n; k++)
        json_array_append_new(anchors, json_string(sl_cert_name(t->anchors.v[k])));
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s)) {
        if (t->index >= 64 || !(s->trusts >> t->index & 1))
            continue;
        add_source(&all, s, now);
        if (s->kind == SOURCE_CERT)
            json_array_append_new(certs, source_json(s, now));
    }
    for (size_t k = 0; k < t->crl_n; k++)
        add_file(&all, &t->crl[k], now);
    for (size_t i = 0; i < all.n; i++)
        json_array_append_new(cas, ca_json(t->conf, &all.v[i], now));
    free(all.v);
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "name", t->conf->name, "revocation",
                     mode_word(t->conf->revocation), "grace_s", (json_int_t)t->conf->grace_s,
                     "anchors", anchors, "cas", cas, "certificates", certs);
}

/* ---- directories ------------------------------------------------------------------------------------------ */
static json_t *directory_json(const struct sl_decider *d, const struct directory *dir)
{
    bool ldif = dir->conf->type == SL_DIRECTORY_LDIF;
    json_t *o = json_pack("{s:s, s:s}", "name", dir->conf->name, "type", ldif ? "ldif" : "ldap");
    if (ldif)
        json_object_set_new(o, "entries", json_integer((json_int_t)dir->all.n));
    unsigned failing = 0;
    for (struct search *s = decider_search(d, NULL); s; s = decider_search(d, s)) {
        if (s->dir == dir && s->rc != SL_OK) {
            failing++;
            json_object_set_new(o, "error", json_string(s->error));
        }
    }
    json_object_set_new(o, "failing", json_integer(failing));
    return o;
}

json_t *sl_decider_status(const struct sl_decider *d, struct sl_now now)
{
    json_t *root = json_object(), *trusts = json_array(), *sources = json_array(),
           *dirs = json_array();
    for (size_t i = 0; i < d->config->trust_n; i++)
        json_array_append_new(trusts, trust_json(d, &d->trust[i], now));
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s))
        json_array_append_new(sources, source_json(s, now));
    for (size_t i = 0; i < d->config->directory_n; i++)
        json_array_append_new(dirs, directory_json(d, &d->dir[i]));
    json_object_set_new(root, "trust", trusts);
    json_object_set_new(root, "sources", sources);
    json_object_set_new(root, "directories", dirs);
    return root;
}
