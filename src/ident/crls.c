/*
 * What the CRLs at hand say together about one certificate (RFC 5280 6.3.3): those fetched from its
 * distribution points and those of local files, each with a delta where one fits, until all reasons
 * are covered. A list that another than the certificate's issuer signed (an indirect one, or an
 * issuer with a key of its own for CRLs) counts only with a valid path for its signer to the
 * anchor that the certificate's path ends in.
 */
#include "src/ident/internal.h"

#include <openssl/x509v3.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SIGNERS_TRIED 4 /* for one list */
#define DELTAS_TRIED  4

struct list {
    struct sl_crl *crl;
    struct source_use *use;        /* NULL: a file */
    const struct local_crl *local; /* NULL: fetched */
    struct sl_bytes issuer;
    bool delta;
};
struct lists {
    struct list v[IDENT_LISTS_MAX];
    size_t n;
    bool cut;
};

/* ---- lists at hand ----------------------------------------------------------------------------------- */
static bool names(struct sl_bytes a, struct sl_bytes b)
{
    return sl_bytes_eq(a, b) || sl_dn_eq(a, b);
}

/* May a list of this issuer speak about the certificate? */
static bool concerns(const struct crls_ask *q, struct sl_bytes issuer)
{
    if (names(issuer, sl_cert_subject_der(q->issuer)))
        return true;
    const struct cert_check *c = q->check;
    for (size_t i = 0; !q->delegate && i < c->point_n; i++)
        if (c->point[i].crl_issuer.len && names(issuer, c->point[i].crl_issuer))
            return true;
    return false;
}

static void add(struct lists *l, const struct crls_ask *q, struct sl_crl *crl,
                struct source_use *use, const struct local_crl *local)
{
    struct sl_bytes issuer = sl_crl_issuer_der(crl);
    if (!concerns(q, issuer))
        return;
    if (l->n == IDENT_LISTS_MAX) {
        l->cut = true;
        return;
    }
    l->v[l->n++] = (struct list){
        .crl = crl, .use = use, .local = local, .issuer = issuer, .delta = sl_crl_is_delta(crl)
    };
}

static bool of_role(const struct crls_ask *q, const struct source_use *u)
{
    return q->delegate ? u->role == USE_DELEGATE : u->role == USE_CRL || u->role == USE_DELTA;
}

static void collect(struct lists *l, const struct crls_ask *q)
{
    struct cert_check *c = q->check;
    const struct trust *t = q->x->trust;
    for (size_t i = 0; i < c->use_n; i++) {
        struct source_use *u = &c->use[i];
        if (!u->source || !of_role(q, u))
            continue;
        if (u->source->crl)
            add(l, q, u->source->crl, u, NULL);
    }
    for (size_t i = 0; i < t->crl_n; i++)
        add(l, q, t->crl[i].crl, NULL, &t->crl[i]);
}

/* ---- who may have signed --------------------------------------------------------------------------------- */
static void know_signer(struct sl_decision *x, struct sl_cert *c)
{
    if (x->signer_n == IDENT_SIGNER_CERTS)
        return;
    for (size_t i = 0; i < x->signer_n; i++)
        if (sl_bytes_eq(sl_cert_der(x->signer[i].cert), sl_cert_der(c)))
            return;
    x->signer[x->signer_n++] = (struct signer){ .cert = sl_cert_ref(c) };
}

static void know_named(struct sl_decision *x, const struct sl_certs *list, struct sl_bytes name)
{
    for (size_t i = 0; i < list->n; i++)
        if (names(sl_cert_subject_der(list->v[i]), name))
            know_signer(x, list->v[i]);
}

/* Certificates of that name from everywhere: the peer, the configuration, what was fetched. */
static void know_signers(struct sl_decision *x, struct sl_bytes name, const struct source *from)
{
    for (size_t i = 0; from && i < from->signer_n; i++)
        if (names(sl_cert_subject_der(from->signer[i]), name))
            know_signer(x, from->signer[i]);
    for (size_t i = 1; i < x->ask.cert_n; i++) {
        SL_AUTO(sl_cert) *c = NULL;
        if (sl_cert_read(&c, x->ask.cert[i], NULL) == SL_OK && names(sl_cert_subject_der(c), name))
            know_signer(x, c);
    }
    know_named(x, &x->trust->anchors, name);
    know_named(x, &x->trust->intermediates, name);
    for (size_t i = 0; i < x->issuer_n; i++)
        if (x->issuer[i].source)
            know_named(x, &x->issuer[i].source->certs, name);
}

/* Do lists at hand, signed by its own issuer, say that a signer's certificate is revoked? */
static bool known_revoked(struct sl_decision *x, const struct sl_path *path, struct sl_now now)
{
    const struct trust *t = x->trust;
    for (size_t i = 0; i + 1 < path->n; i++) {
        struct sl_crl_use use = { .crl_issuer = path->cert[i + 1],
                                  .cert = path->cert[i],
                                  .issuer = path->cert[i + 1],
                                  .now_utc_s = now.utc_s };
        struct sl_crl_status s = { 0 };
        for (size_t k = 0; k < t->crl_n && x->applied < IDENT_APPLY_MAX; k++) {
            use.crl = t->crl[k].crl;
            if (sl_crl_is_delta(use.crl) ||
                !names(sl_crl_issuer_der(use.crl), sl_cert_subject_der(use.issuer)))
                continue;
            x->applied++;
            if (sl_crl_apply(&s, &use, NULL) == SL_OK && s.answer.revoked)
                return true;
            s = (struct sl_crl_status){ 0 };
        }
    }
    return false;
}

/* Its path to the same anchor (6.3.3 (f)); it may be part of the path that is looked at. */
static bool judge_signer(struct sl_decision *x, struct signer *s, struct sl_now now)
{
    if (s->judged)
        return s->good;
    s->judged = true;
    for (size_t i = 1; i < x->path.n && !s->good; i++)
        s->good = sl_bytes_eq(sl_cert_der(x->path.cert[i]), sl_cert_der(s->cert));
    if (s->good)
        return true;
    struct sl_certs anchor = { .v = &x->path.cert[x->path.n - 1], .n = 1 };
    struct sl_bytes peer[SL_CHAIN_MAX + 1];
    size_t n = 0;
    peer[n++] = sl_cert_der(s->cert);
    for (size_t i = 1; i < x->ask.cert_n; i++)
        peer[n++] = x->ask.cert[i];
    struct sl_path_params params = { .anchors = &anchor,
                                     .intermediates = &x->trust->intermediates,
                                     .peer = peer,
                                     .peer_n = n,
                                     .now_utc_s = now.utc_s,
                                     .min_rsa_bits = x->trust->conf->min_rsa_bits,
                                     .min_ec_bits = x->trust->conf->min_ec_bits,
                                     .signature = (const char *const *)x->trust->conf->signature.v,
                                     .signature_n = x->trust->conf->signature.n,
                                     .any_use = true };
    struct sl_path path = { 0 };
    struct sl_err err;
    sl_err_reset(&err);
    SL_AUTO(sl_path_finder) *f = NULL;
    enum sl_rc rc = sl_path_finder_new(&f, &params, &err);
    for (size_t i = 0; rc == SL_OK && i < x->issuer_n; i++)
        for (size_t k = 0; x->issuer[i].source && k < x->issuer[i].source->certs.n; k++)
            (void)!sl_path_finder_add(f, x->issuer[i].source->certs.v[k], NULL);
    s->good = rc == SL_OK && sl_path_finder_next(f, &path, &err) == SL_OK;
    bool revoked = s->good && known_revoked(x, &path, now);
    if (revoked) {
        s->good = false;
        (void)SL_FAIL(&err, SL_REVOKED, "its own certificate or one above it is revoked");
    }
    sl_path_clear(&path);
    if (!s->good)
        snprintf(s->text, sizeof(s->text), "CRL issuer %.80s: %.160s", sl_cert_name(s->cert),
                 sl_err_text(&err));
    return s->good;
}

/* The list names the key of its signer, and it is another. */
static bool key_differs(const struct sl_crl *crl, const struct sl_cert *c)
{
    struct sl_bytes want = sl_crl_authority_key(crl);
    const ASN1_OCTET_STRING *have = X509_get0_subject_key_id(sl_cert_x509(c));
    return want.len && have &&
           !sl_bytes_eq(want,
                        sl_bytes(ASN1_STRING_get0_data(have), (size_t)ASN1_STRING_length(have)));
}

/* ---- applying -------------------------------------------------------------------------------------------- */
static void note(struct crls_answer *a, enum sl_rc rc, const char *fmt, ...) SL_PRINTF(3, 4);
static void note(struct crls_answer *a, enum sl_rc rc, const char *fmt, ...)
{
    if (a->rc == SL_REVOCATION_STALE || (a->rc != SL_OK && rc != SL_REVOCATION_STALE))
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->text, sizeof(a->text), fmt, ap);
    va_end(ap);
    a->rc = rc;
}

static char *origin_of(char out[320], const struct list *l, const struct list *delta)
{
    int n = l->use ? snprintf(out, 320, "CRL %.150s", l->use->source->uri)
                   : snprintf(out, 320, "CRL file %.150s", l->local->what);
    if (delta && n > 0 && n < 320)
        snprintf(out + n, (size_t)(320 - n), " with delta %.130s",
                 delta->use ? delta->use->source->uri : delta->local->what);
    return out;
}

/* Deltas of the same issuer, the newest first; returns how many. */
static size_t deltas_of(const struct list *v[DELTAS_TRIED], const struct lists *all,
                        const struct list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct list *d = &all->v[i];
        if (!d->delta || !names(d->issuer, l->issuer))
            continue;
        size_t at = n < DELTAS_TRIED ? n++ : DELTAS_TRIED;
        while (at > 0 && sl_crl_number_cmp(d->crl, v[at - 1]->crl) > 0) {
            if (at < DELTAS_TRIED)
                v[at] = v[at - 1];
            at--;
        }
        if (at < DELTAS_TRIED)
            v[at] = d;
    }
    return n;
}

/* With the newest delta that fits, else alone. */
static enum sl_rc apply(struct sl_crl_status *out, const struct crls_ask *q,
                        const struct lists *all, const struct list *l, const struct sl_cert *signer,
                        const struct list **delta, struct sl_err *err)
{
    const struct list *v[DELTAS_TRIED] = { 0 };
    struct sl_crl_use use = { .crl = l->crl,
                              .crl_issuer = signer,
                              .cert = q->cert,
                              .issuer = q->issuer,
                              .now_utc_s = q->now.utc_s };
    size_t n = deltas_of(v, all, l);
    for (size_t i = 0; i < n; i++) {
        *out = (struct sl_crl_status){ 0 };
        use.delta = v[i]->crl;
        *delta = v[i];
        q->x->applied++;
        if (sl_crl_apply(out, &use, NULL) == SL_OK)
            return SL_OK;
    }
    *out = (struct sl_crl_status){ 0 };
    use.delta = NULL;
    *delta = NULL;
    q->x->applied++;
    return sl_crl_apply(out, &use, err);
}

/* By its issuer's key, then by any other certificate of the name that a path vouches for. */
static enum sl_rc apply_signed(struct sl_crl_status *out, const struct crls_ask *q,
                               const struct lists *all, const struct list *l,
                               const struct list **delta, struct sl_err *err)
{
    struct sl_decision *x = q->x;
    enum sl_rc rc = SL_REVOCATION_INVALID;
    struct sl_err why;
    sl_err_reset(&why);
    if (names(l->issuer, sl_cert_subject_der(q->issuer)) && !key_differs(l->crl, q->issuer)) {
        rc = apply(out, q, all, l, q->issuer, delta, err);
        if (rc == SL_OK)
            return rc;
    }
    know_signers(x, l->issuer, l->use ? l->use->source : NULL);
    unsigned tried = 0;
    for (size_t i = 0; i < x->signer_n && tried < SIGNERS_TRIED; i++) {
        struct signer *s = &x->signer[i];
        if (!names(sl_cert_subject_der(s->cert), l->issuer) ||
            sl_bytes_eq(sl_cert_der(s->cert), sl_cert_der(q->issuer)) ||
            key_differs(l->crl, s->cert))
            continue;
        tried++;
        if (!judge_signer(x, s, q->now)) {
            if (why.rc == SL_OK)
                (void)SL_FAIL(&why, SL_REVOCATION_INVALID, "%s", s->text);
            continue;
        }
        sl_err_reset(&why);
        if (apply(out, q, all, l, s->cert, delta, &why) != SL_OK)
            continue;
        if (!out->no_key_usage)
            return SL_OK;
        /* The issuer itself may be silent about it; who signs in its place must be allowed to. */
        (void)SL_FAIL(&why, SL_REVOCATION_INVALID,
                      "CRL issuer %.200s: it has no keyUsage with cRLSign (RFC 5280 6.3.3 (f))",
                      sl_cert_name(s->cert));
    }
    if (why.rc != SL_OK)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "%s", sl_err_text(&why));
    if (err->rc == SL_OK)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "no certificate of CRL issuer %.200s is at hand (RFC 5280 6.3.3 (f))",
                       sl_crl_issuer(l->crl));
    return rc == SL_OK ? SL_REVOCATION_INVALID : rc;
}

/* What one list that counts adds. A list for all reasons alone is preferred to a sum. */
static void merge(struct crls_answer *a, const struct sl_crl_status *s, const char *origin)
{
    uint16_t *mask = s->stale ? &a->any : &a->fresh;
    struct sl_rev_answer *to = s->stale ? &a->stale : &a->answer;
    char *where = s->stale ? a->stale_origin : a->origin;
    bool full = s->reasons == SL_REASONS_ALL, had_full = *mask == SL_REASONS_ALL;
    bool first = to->next_update == 0;
    if (first || (full && (!had_full || s->answer.next_update > to->next_update)) ||
        (!full && !had_full && s->answer.next_update < to->next_update)) {
        *to = s->answer;
        snprintf(where, 320, "%s", origin);
    }
    *mask |= s->reasons;
}

static void look_at(struct crls_answer *a, const struct crls_ask *q, const struct lists *all,
                    const struct list *l)
{
    struct sl_crl_status s;
    const struct list *delta = NULL;
    struct sl_err err;
    char origin[320];
    sl_err_reset(&err);
    enum sl_rc rc = apply_signed(&s, q, all, l, &delta, &err);
    origin_of(origin, l, rc == SL_OK ? delta : NULL);
    if (rc != SL_OK) {
        note(a, rc, "%.150s: %.340s", origin, sl_err_text(&err));
        return;
    }
    if (s.answer.revoked) {
        a->revoked = true;
        a->answer = s.answer;
        snprintf(a->origin, sizeof(a->origin), "%s", origin);
        return;
    }
    if (l->use)
        l->use->counted = !s.stale;
    if (s.stale) {
        char when[SL_TIME_TEXT];
        note(a, SL_REVOCATION_STALE, "%.150s: nextUpdate %s has passed (RFC 5280 5.1.2.5)", origin,
             sl_time_text(when, s.answer.next_update));
    }
    if (s.reasons == 0)
        note(a, SL_REVOCATION_INVALID,
             "%.150s: has parts that are not understood, so it can revoke and not clear (RFC 5280 "
             "5.2)",
             origin);
    else
        merge(a, &s, origin);
}

/* ---- deltas that are named --------------------------------------------------------------------------------- */
static void name_deltas(const struct crls_ask *q, const char *const *uri, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct source_key key = { .kind = SOURCE_CRL, .uri = uri[i] };
        struct source_use *u = check_use(q->x, q->check, USE_DELTA, 0, &key, q->now);
        if (u && u->source)
            source_signer(q->x->decider, u->source, q->issuer, q->now);
    }
}

/* freshestCRL of the certificate, and of the complete lists that are at hand. */
static void find_deltas(const struct crls_ask *q, const struct lists *all)
{
    const char *uri[SL_CERT_URI_MAX];
    if (!q->x->trust->conf->crl || q->delegate)
        return;
    name_deltas(q, uri, sl_cert_freshest_uris(q->cert, uri));
    for (size_t i = 0; i < all->n; i++)
        if (!all->v[i].delta)
            name_deltas(q, uri, sl_crl_freshest_uris(all->v[i].crl, uri));
}

static struct source_use *missing_delta(const struct crls_ask *q)
{
    struct cert_check *c = q->check;
    for (size_t i = 0; i < c->use_n && !q->delegate; i++) {
        struct source_use *u = &c->use[i];
        if (u->role != USE_DELTA || u->tried || !u->source)
            continue;
        const struct sl_crl *crl = u->source->crl;
        if (!crl || q->now.utc_s > sl_crl_next_update(crl))
            return u;
    }
    return NULL;
}

/* A list that waits for its signer may get one from the certificates of this decision. */
static void prove(struct crls_answer *out, const struct crls_ask *q)
{
    struct cert_check *c = q->check;
    struct sl_decision *x = q->x;
    for (size_t i = 0; i < c->use_n; i++) {
        struct source *s = c->use[i].source;
        if (!s || !of_role(q, &c->use[i]) || !s->unproved ||
            !concerns(q, sl_crl_issuer_der(s->unproved)))
            continue;
        struct sl_bytes name = sl_crl_issuer_der(s->unproved);
        know_signers(x, name, s);
        for (size_t k = 0; k < x->signer_n && s->unproved; k++) {
            struct signer *by = &x->signer[k];
            if (!names(sl_cert_subject_der(by->cert), name) || key_differs(s->unproved, by->cert))
                continue;
            if (judge_signer(x, by, q->now))
                source_signer(x->decider, s, by->cert, q->now);
            else
                note(out, SL_REVOCATION_INVALID, "CRL %.150s: %.300s", s->uri, by->text);
        }
    }
}

void crls_look(struct crls_answer *out, const struct crls_ask *q)
{
    struct lists all = { 0 };
    *out = (struct crls_answer){ .answer.why = "", .stale.why = "" };
    prove(out, q);
    collect(&all, q);
    size_t uses = q->check->use_n;
    find_deltas(q, &all);
    if (q->check->use_n != uses) { /* what they name may be at hand already */
        all = (struct lists){ 0 };
        collect(&all, q);
    }
    for (size_t i = 0; i < all.n && !out->revoked; i++) {
        if (q->x->applied >= IDENT_APPLY_MAX) {
            all.cut = true;
            break;
        }
        if (!all.v[i].delta)
            look_at(out, q, &all, &all.v[i]);
    }
    if (all.cut)
        note(out, SL_REVOCATION_UNAVAILABLE, "more CRLs are at hand than one decision looks at");
    out->any |= out->fresh;
    out->delta = missing_delta(q);
}
