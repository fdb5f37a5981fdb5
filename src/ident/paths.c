/*
 * The first step of a decision: paths one after the other from the search (sealane/path.h). Where an
 * issuer is missing it is fetched: from the URIs that the configuration names, and with trust.aia
 * from the caIssuers of certificates. The latter are not verified yet, so whoever sends one chooses
 * where we call; that is why it is off by default, and why http and ldap alone are followed, each
 * URI once, and few of them.
 */
#include "src/ident/internal.h"

#include <stdio.h>
#include <string.h>

static enum sl_rc open_finder(struct sl_decision *x, struct sl_now now, struct sl_err *err)
{
    const struct sl_conf_trust *conf = x->trust->conf;
    struct sl_path_params params = { .anchors = &x->trust->anchors,
                                     .intermediates = &x->trust->intermediates,
                                     .peer = x->ask.cert,
                                     .peer_n = x->ask.cert_n,
                                     .now_utc_s = now.utc_s,
                                     .min_rsa_bits = conf->min_rsa_bits,
                                     .min_ec_bits = conf->min_ec_bits,
                                     .signature = (const char *const *)conf->signature.v,
                                     .signature_n = conf->signature.n,
                                     .eku = (const char *const *)conf->eku.v,
                                     .eku_n = conf->eku.n,
                                     .profile = conf->profile,
                                     .policy = (const char *const *)conf->policy.v,
                                     .policy_n = conf->policy.n,
                                     .explicit_policy = conf->explicit_policy,
                                     .inhibit_any = conf->inhibit_any_policy,
                                     .inhibit_mapping = conf->inhibit_policy_mapping,
                                     .max_depth = (uint8_t)conf->max_depth,
                                     .depth_zero = conf->no_intermediates,
                                     .any_use = conf->any_use };
    return sl_path_finder_new(&x->finder, &params, err);
}

/* ---- missing issuers ----------------------------------------------------------------------------------- */
static void give(struct sl_decision *x, const struct source *s)
{
    for (size_t i = 0; s && i < s->certs.n; i++)
        (void)!sl_path_finder_add(x->finder, s->certs.v[i], NULL);
}

static struct source_use *use_uri(struct sl_decision *x, const char *uri, bool configured,
                                  struct sl_now now)
{
    struct source *s = NULL;
    struct source_key key = { .kind = SOURCE_CERT, .uri = uri, .configured = configured };
    if (source_get(&s, x->decider, &key, x->trust, now, NULL) != SL_OK)
        return NULL;
    for (size_t i = 0; i < x->issuer_n; i++)
        if (x->issuer[i].source == s)
            return &x->issuer[i];
    if (x->issuer_n == IDENT_ISSUERS_MAX)
        return NULL;
    struct source_use *u = &x->issuer[x->issuer_n++];
    *u = (struct source_use){ .source = s };
    if (s->have)
        give(x, s);
    return u;
}

/* What the configuration names is used as far as it is there. */
static void use_configured(struct sl_decision *x, struct sl_now now)
{
    const struct sl_conf_strings *uris = &x->trust->conf->intermediate_uris;
    for (size_t i = 0; i < uris->n; i++)
        (void)use_uri(x, uris->v[i], true, now);
}

/* A source that is worth asking now for an issuer; NULL: none. */
static struct source_use *next_fetch(struct sl_decision *x, struct sl_now now)
{
    struct sl_cert *missing[8];
    size_t n = sl_path_finder_missing(x->finder, missing, SL_ARRAY_LEN(missing));
    if (n == 0)
        return NULL;
    for (size_t i = 0; x->trust->conf->aia && i < n; i++) {
        char uri[SL_CERT_URI_MAX][512];
        size_t uris = cert_issuer_uris(missing[i], uri);
        for (size_t k = 0; k < uris; k++)
            (void)use_uri(x, uri[k], false, now);
    }
    for (size_t i = 0; i < x->issuer_n; i++)
        if (!x->issuer[i].tried && x->issuer[i].source) {
            if (!x->issuer[i].source->have)
                return &x->issuer[i];
            x->issuer[i].tried = true; /* was given to the search already */
        }
    return NULL;
}

/* Begins a fetch and waits for a fair share of the time that all fetching of a decision has. */
static bool wait_for(struct sl_decision *x, struct source_use *u, struct sl_now now)
{
    if (x->revocation_ns == 0)
        x->revocation_ns = now.mono_ns + x->trust->conf->deadline_ms * SL_NS_PER_MS;
    int64_t left = x->revocation_ns - now.mono_ns;
    if (left <= 0 || !source_fetch(x->decider, u->source, now))
        return false;
    x->issuer_ns = now.mono_ns + left / 2; /* the rest is for revocation */
    x->issuer_waits = u;
    ident_wait_on(&u->source->waiting, &x->issuer_wait);
    decider_timer(x->decider, x->issuer_ns);
    return true;
}

/* False: still waiting. */
static bool end_wait(struct sl_decision *x, struct sl_now now)
{
    struct source_use *u = x->issuer_waits;
    if (!u)
        return true;
    if (u->source && u->source->question && now.mono_ns < x->issuer_ns)
        return false;
    ident_wait_off(&x->issuer_wait);
    x->issuer_waits = NULL;
    x->issuer_ns = 0;
    u->tried = true;
    give(x, u->source);
    return true;
}

bool path_advance(struct sl_decision *x, struct sl_now now, bool *waiting, struct sl_err *err)
{
    *waiting = false;
    if (!x->finder) {
        if (open_finder(x, now, err) != SL_OK)
            return false;
        use_configured(x, now);
    }
    if (!end_wait(x, now)) {
        *waiting = true;
        return false;
    }
    sl_path_clear(&x->path);
    if (sl_path_finder_next(x->finder, &x->path, err) == SL_OK)
        return true;
    struct source_use *u;
    while ((u = next_fetch(x, now))) {
        if (wait_for(x, u, now)) {
            *waiting = true;
            return false;
        }
        u->tried = true;
    }
    return false;
}

/* ---- the story of the search ------------------------------------------------------------------------------- */
static bool same_path(const struct sl_path_candidate *c, const struct path_verdict *v)
{
    if (c->n != v->n)
        return false;
    for (size_t i = 0; i < c->n; i++)
        if (!sl_bytes_eq(sl_cert_der(c->cert[i]), sl_cert_der(v->cert[i])))
            return false;
    return true;
}

json_t *path_candidates(const struct sl_decision *x)
{
    json_t *list = json_array();
    const struct sl_path_candidate *v = NULL;
    size_t n = x->finder ? sl_path_finder_candidates(x->finder, &v) : 0;
    for (size_t i = 0; i < n; i++) {
        enum sl_rc rc = v[i].rc;
        const char *text = v[i].text;
        for (size_t k = 0; rc == SL_OK && k < x->refused_n; k++)
            if (same_path(&v[i], &x->refused[k])) {
                rc = x->refused[k].rc;
                text = x->refused[k].text;
            }
        json_t *certs = json_array();
        for (size_t k = 0; k < v[i].n; k++)
            json_array_append_new(certs, json_string(sl_cert_name(v[i].cert[k])));
        json_t *o = json_pack("{s:o, s:s}", "certs", certs, "reason", sl_rc_name(rc));
        char safe[SL_ERR_TEXT_MAX + 64];
        if (*text)
            json_object_set_new(o, "text",
                                json_string(sl_printable(safe, sizeof(safe), sl_str(text))));
        json_array_append_new(list, o);
    }
    return list;
}
