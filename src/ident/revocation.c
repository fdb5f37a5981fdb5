/*
 * The revocation status of one certificate of a verified path (RFC 5280 6.3, RFC 6960). Where it is
 * looked for, and in which order, says trust.order: OCSP responses handed over in IKE (RFC 4806),
 * what the cache and local files hold, OCSP responders, CRLs of the distribution points. The first
 * good answer settles it; any answer "revoked" settles it first of all, for a peer may hand over a
 * response from before its revocation.
 *
 * The status is worked out anew from everything at hand each time something comes; what is missing is
 * fetched one source after the other, each with a fair share of the time that is left.
 *
 * Modes: hard refuses without an answer. grace accepts, and records so, when the last answer was good
 * and is at most grace_s past its nextUpdate, or when there was never one and the sources have been
 * silent for at most grace_s. off does not ask. "unknown" from a responder is an answer, and no grace
 * covers it; trust.on_unknown = crl lets the CRL decide.
 */
#include "src/ident/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char stapled[] = "OCSP response handed over in IKE (RFC 4806)";

/* Which failure is told when several sources fail: the one nearest to an answer. */
static int weight(enum sl_rc rc)
{
    switch ((int)rc) {
    case SL_REVOCATION_UNKNOWN:
        return 5;
    case SL_REVOCATION_STALE:
        return 4;
    case SL_REVOCATION_INVALID:
        return 3;
    case SL_REVOCATION_UNAVAILABLE:
        return 2;
    case SL_OK:
        return 0;
    default:
        return 1;
    }
}

/* Cuts what does not fit; arguments may be c's own texts. */
static void say(struct cert_check *c, const char *fmt, ...) SL_PRINTF(2, 3);
static void say(struct cert_check *c, const char *fmt, ...)
{
    char text[sizeof(c->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    memcpy(c->text, text, sizeof(text));
}

static void note(struct cert_check *c, enum sl_rc rc, const char *origin, const char *text)
{
    if (weight(rc) <= weight(c->rc))
        return;
    c->rc = rc;
    say(c, "%s%s%.400s", origin, *origin ? ": " : "", text);
}

static void settle(struct cert_check *c, const struct sl_cert *cert, const struct sl_rev_answer *a,
                   const char *origin)
{
    char when[SL_TIME_TEXT];
    c->answer = *a;
    c->have_answer = true;
    c->done = true;
    snprintf(c->origin, sizeof(c->origin), "%s", origin);
    if (a->revoked) {
        c->rc = SL_REVOKED;
        say(c, "certificate %.200s was revoked on %s%s%s, says %.180s", sl_cert_name(cert),
            a->revoked_utc_s ? sl_time_text(when, a->revoked_utc_s) : "a date unknown",
            a->why && *a->why ? ": " : "", a->why ? a->why : "", origin);
    } else {
        c->rc = SL_OK;
        c->text[0] = '\0';
    }
}

/* A stale answer: good is kept for grace when it is the freshest so far. */
static void keep_stale(struct cert_check *c, const struct sl_rev_answer *a, const char *origin)
{
    if (c->have_answer && c->answer.next_update >= a->next_update)
        return;
    c->answer = *a;
    c->have_answer = true;
    snprintf(c->origin, sizeof(c->origin), "%s", origin);
}

static const char *origin_of(char out[320], const struct source *s)
{
    snprintf(out, 320, "%s %.300s", s->kind == SOURCE_OCSP ? "OCSP" : "CRL", s->uri);
    return out;
}

/* ---- sources of a certificate ------------------------------------------------------------------------- */
struct source_use *check_use(struct sl_decision *x, struct cert_check *c, enum use_role role,
                             uint8_t point, const struct source_key *key, struct sl_now now)
{
    struct source *s = NULL;
    if (source_get(&s, x->decider, key, x->trust, now, NULL) != SL_OK)
        return NULL;
    for (size_t i = 0; i < c->use_n; i++)
        if (c->use[i].source == s && c->use[i].role == role)
            return &c->use[i];
    if (c->use_n == IDENT_USES_MAX)
        return NULL;
    struct source_use *u = &c->use[c->use_n++];
    *u = (struct source_use){ .source = s, .role = role, .point = point };
    return u;
}

/* A CRL by its URI. The usual signer is the certificate's issuer. */
static void use_crl(struct sl_decision *x, struct cert_check *c, enum use_role role, uint8_t point,
                    const char *uri, struct sl_cert *issuer, struct sl_now now)
{
    struct source_key key = { .kind = SOURCE_CRL, .uri = uri };
    struct source_use *u = check_use(x, c, role, point, &key, now);
    if (u && u->source)
        source_signer(x->decider, u->source, issuer, now);
}

static void find_sources(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    const struct trust *t = x->trust;
    struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    const char *uri[SL_CERT_URI_MAX];
    struct source_key key = { .kind = SOURCE_OCSP, .cert = cert, .issuer = issuer };
    if (t->conf->ocsp && t->conf->responder && *t->conf->responder) {
        key.uri = t->conf->responder;
        key.responder = t->responder.n ? t->responder.v[0] : NULL;
        key.configured = true;
        (void)check_use(x, c, USE_OCSP, 0, &key, now);
        key.responder = NULL;
        key.configured = false;
    }
    size_t n = t->conf->ocsp ? sl_cert_ocsp_uris(cert, uri) : 0;
    for (size_t k = 0; k < n; k++) {
        key.uri = uri[k];
        if (strncasecmp(uri[k], "http", 4) ==
            0) /* OCSP is spoken over HTTP (RFC 6960 appendix A) */
            (void)check_use(x, c, USE_OCSP, 0, &key, now);
    }
    c->point_n = sl_cert_crl_points(cert, c->point);
    for (size_t p = 0; p < c->point_n && t->conf->crl; p++)
        for (size_t k = 0; k < c->point[p].uri_n; k++)
            use_crl(x, c, USE_CRL, (uint8_t)p, c->point[p].uri[k], issuer, now);
}

/* The responses that came with the peer; each may be any certificate's of the path (RFC 4806 3.1). */
static void read_staples(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    const struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    const struct sl_cert *extra = x->trust->responder.n ? x->trust->responder.v[0] : NULL;
    c->staple_rc = SL_NOT_FOUND;
    for (size_t n = 0; n < x->ask.ocsp_n && x->trust->conf->ocsp; n++) {
        struct sl_rev_answer a = { .why = "" };
        struct sl_err err;
        SL_AUTO(sl_cert) *delegate = NULL;
        sl_err_reset(&err);
        enum sl_rc rc =
            sl_ocsp_check_delegated(x->ask.ocsp[n], cert, issuer, extra, (struct sl_bytes){ 0 },
                                    now.utc_s, &a, &delegate, &err);
        bool about = rc == SL_OK || rc == SL_REVOCATION_STALE || rc == SL_REVOCATION_UNKNOWN;
        /* One that is no good is worth a word only for the peer's own certificate. */
        if (!about && (i != 0 || c->staple_rc != SL_NOT_FOUND))
            continue;
        for (size_t k = 0; rc == SL_OK && k < c->use_n; k++)
            if (c->use[k].source && c->use[k].role == USE_OCSP)
                source_offer(x->decider, c->use[k].source, x->ask.ocsp[n], now);
        bool better = c->staple_rc == SL_NOT_FOUND || (a.revoked && !c->staple.revoked) ||
                      (!c->staple.revoked && rc == SL_OK && c->staple_rc != SL_OK);
        if (!better)
            continue;
        c->staple_rc = rc;
        c->staple = a;
        sl_cert_free(c->staple_delegate);
        c->staple_delegate = sl_steal(&delegate);
        snprintf(c->staple_text, sizeof(c->staple_text), "%s", sl_err_text(&err));
    }
}

static void begin(struct sl_decision *x, size_t i, struct sl_now now)
{
    x->check[i].begun = true;
    find_sources(x, i, now);
    read_staples(x, i, now);
}

void revocation_reset(struct sl_decision *x)
{
    for (size_t i = 0; i < SL_PATH_MAX; i++) {
        struct cert_check *c = &x->check[i];
        ident_wait_off(&c->wait);
        sl_cert_free(c->staple_delegate);
        *c = (struct cert_check){ .wait.decision = x };
    }
    for (size_t i = 0; i < x->signer_n; i++)
        sl_cert_free(x->signer[i].cert);
    x->signer_n = 0;
}

/* ---- one look at everything -------------------------------------------------------------------------------- */
struct look {
    struct sl_decision *x;
    struct cert_check *c;
    struct sl_cert *cert, *issuer;
    struct sl_now now;
    struct crls_answer crls;
    struct source_use *want; /* to be fetched before it goes on */
};

enum delegate { DELEGATE_GOOD, DELEGATE_BAD, DELEGATE_WAIT };

/*
 * The status of the certificate of an OCSP responder that does not say id-pkix-ocsp-nocheck (RFC 6960
 * 4.2.2.2.1): by CRL alone, so that it never depends on a further responder.
 */
static enum delegate judge_delegate(struct look *l, struct sl_cert *delegate, const char *origin,
                                    bool fetch)
{
    struct cert_check *c = l->c;
    struct crls_answer a;
    const char *uri[SL_CERT_URI_MAX];
    char text[320];
    if (!delegate)
        return DELEGATE_GOOD;
    size_t n = l->x->trust->conf->crl ? sl_cert_crl_uris(delegate, uri) : 0;
    for (size_t k = 0; k < n; k++)
        use_crl(l->x, c, USE_DELEGATE, 0, uri[k], l->issuer, l->now);
    crls_look(&a, &(struct crls_ask){ .x = l->x,
                                      .check = c,
                                      .cert = delegate,
                                      .issuer = l->issuer,
                                      .delegate = true,
                                      .now = l->now });
    if (a.revoked) {
        snprintf(text, sizeof(text), "the responder's certificate %.180s is revoked",
                 sl_cert_name(delegate));
        note(c, SL_REVOCATION_INVALID, origin, text);
        return DELEGATE_BAD;
    }
    if (a.fresh == SL_REASONS_ALL)
        return DELEGATE_GOOD;
    for (size_t k = 0; fetch && k < c->use_n; k++)
        if (c->use[k].role == USE_DELEGATE && !c->use[k].tried && c->use[k].source) {
            l->want = &c->use[k];
            return DELEGATE_WAIT;
        }
    if (fetch) {
        snprintf(text, sizeof(text),
                 "the status of the responder's certificate %.180s is not known (RFC 6960 "
                 "4.2.2.2.1)",
                 sl_cert_name(delegate));
        note(c, SL_REVOCATION_UNAVAILABLE, origin, text);
    }
    return DELEGATE_BAD;
}

/* That is an answer too, and the last one unless the CRL may have a say. */
static void unknown(struct look *l)
{
    struct cert_check *c = l->c;
    if (l->x->trust->conf->unknown_to_crl)
        return;
    c->done = true;
    say(c, "certificate %.160s: %.340s", sl_cert_name(l->cert), c->text);
}

/* An answer of OCSP counts with its delegate's. */
static void take_ocsp(struct look *l, enum sl_rc rc, const struct sl_rev_answer *a,
                      struct sl_cert *delegate, const char *text, const char *origin)
{
    struct cert_check *c = l->c;
    bool answers = rc == SL_OK || (rc == SL_REVOCATION_STALE && !a->revoked);
    if (answers && judge_delegate(l, delegate, origin, true) != DELEGATE_GOOD)
        return;
    if (rc == SL_OK) {
        settle(c, l->cert, a, origin);
        return;
    }
    note(c, rc, origin, text);
    if (rc == SL_REVOCATION_STALE)
        keep_stale(c, a, origin);
    if (rc == SL_REVOCATION_UNKNOWN)
        unknown(l);
}

/* Anything at hand that says revoked, also what is stale. */
static void look_for_revoked(struct look *l)
{
    struct cert_check *c = l->c;
    char origin[320];
    if (c->staple.revoked && judge_delegate(l, c->staple_delegate, "", false) == DELEGATE_GOOD)
        settle(c, l->cert, &c->staple, stapled);
    for (size_t k = 0; k < c->use_n && !c->done; k++) {
        struct source *s = c->use[k].source;
        if (s && c->use[k].role == USE_OCSP && s->have && s->answer.revoked &&
            judge_delegate(l, s->delegate, "", false) == DELEGATE_GOOD)
            settle(c, l->cert, &s->answer, origin_of(origin, s));
    }
    if (!c->done && l->crls.revoked)
        settle(c, l->cert, &l->crls.answer, l->crls.origin);
}

static void stage_staple(struct look *l)
{
    struct cert_check *c = l->c;
    if (c->staple_rc != SL_NOT_FOUND)
        take_ocsp(l, c->staple_rc, &c->staple, c->staple_delegate, c->staple_text, stapled);
}

static void settle_by_crls(struct look *l)
{
    struct cert_check *c = l->c;
    const struct crls_answer *a = &l->crls;
    if (a->fresh == SL_REASONS_ALL) {
        if (a->delta)
            l->want = a->delta;
        else
            settle(c, l->cert, &a->answer, a->origin);
        return;
    }
    if (a->rc != SL_OK)
        note(c, a->rc, "", a->text);
    if (a->any == SL_REASONS_ALL && a->stale.next_update)
        keep_stale(c, &a->stale, a->stale_origin);
}

static void look_at_responder(struct look *l, struct source *s)
{
    char origin[320];
    struct sl_rev_answer a = { .why = "" };
    struct sl_err err;
    sl_err_reset(&err);
    enum sl_rc rc = source_ocsp(s, l->now.utc_s, &a, &err);
    if (rc != SL_NOT_FOUND)
        take_ocsp(l, rc, &a, s->delegate, sl_err_text(&err), origin_of(origin, s));
}

static void stage_cache(struct look *l)
{
    struct cert_check *c = l->c;
    for (size_t k = 0; k < c->use_n && !c->done && !l->want; k++)
        if (c->use[k].source && c->use[k].role == USE_OCSP)
            look_at_responder(l, c->use[k].source);
    if (!c->done && !l->want)
        settle_by_crls(l);
}

/* A source was asked, or is not to be asked now, and gave no fresh answer: why? */
static void tell(struct look *l, const struct source *s)
{
    char origin[320];
    struct cert_check *c = l->c;
    if (s->question)
        note(c, SL_REVOCATION_UNAVAILABLE, origin_of(origin, s), "no answer within the deadline");
    else if (s->rc != SL_OK)
        note(c, s->rc, origin_of(origin, s), s->error);
    if (s->kind == SOURCE_OCSP && s->rc == SL_REVOCATION_UNKNOWN)
        unknown(l);
}

static void stage_ocsp(struct look *l)
{
    struct cert_check *c = l->c;
    for (size_t k = 0; k < c->use_n && !c->done && !l->want; k++) {
        struct source_use *u = &c->use[k];
        if (!u->source || u->role != USE_OCSP)
            continue;
        look_at_responder(l, u->source);
        if (c->done || l->want)
            return;
        if (!u->tried)
            l->want = u;
        else
            tell(l, u->source);
    }
}

/* The URIs of a point are alternatives; points add up. */
static void stage_crl(struct look *l)
{
    struct cert_check *c = l->c;
    settle_by_crls(l);
    for (size_t p = 0; p < c->point_n && !c->done && !l->want; p++) {
        bool counted = false;
        for (size_t k = 0; k < c->use_n; k++)
            counted =
                counted || (c->use[k].role == USE_CRL && c->use[k].point == p && c->use[k].counted);
        for (size_t k = 0; k < c->use_n && !counted && !l->want; k++) {
            struct source_use *u = &c->use[k];
            if (!u->source || u->role != USE_CRL || u->point != p)
                continue;
            if (!u->tried)
                l->want = u;
            else
                tell(l, u->source);
        }
    }
    if (!c->done && !l->want && l->crls.fresh && c->rc == SL_OK)
        note(c, SL_REVOCATION_UNAVAILABLE, "",
             "the CRLs at hand speak about some reasons of revocation only, and together not about "
             "all (RFC 5280 6.3.3)");
}

/* RFC 7633: whoever holds such a certificate promised to bring its status along. */
static bool misses_staple(struct look *l)
{
    struct cert_check *c = l->c;
    if (!l->x->trust->conf->must_staple || l->cert != l->x->path.cert[0] ||
        !cert_must_staple(l->cert) || c->staple_rc == SL_OK)
        return false;
    for (size_t k = 0; k < c->use_n; k++) {
        struct sl_rev_answer a;
        struct sl_err err;
        sl_err_reset(&err);
        if (c->use[k].source && c->use[k].role == USE_OCSP &&
            source_ocsp(c->use[k].source, l->now.utc_s, &a, &err) == SL_OK)
            return false;
    }
    c->done = true;
    c->rc = SL_REVOCATION_NOT_STAPLED;
    say(c,
        "certificate %.200s has the TLS feature status_request, and no OCSP response about it came "
        "with the peer or is in the cache (RFC 7633 4.2.3.1)",
        sl_cert_name(l->cert));
    return true;
}

static void look(struct look *l)
{
    static const char *const all[] = { "staple", "cache", "ocsp", "crl" };
    const struct sl_conf_strings *order = &l->x->trust->conf->order;
    struct cert_check *c = l->c;
    size_t n = order->n ? order->n : SL_ARRAY_LEN(all);
    crls_look(&l->crls,
              &(struct crls_ask){
                  .x = l->x, .check = c, .cert = l->cert, .issuer = l->issuer, .now = l->now });
    look_for_revoked(l);
    if (c->done || misses_staple(l))
        return;
    for (size_t i = 0; i < n && !c->done && !l->want; i++) {
        const char *word = order->n ? order->v[i] : all[i];
        if (strcmp(word, "staple") == 0)
            stage_staple(l);
        else if (strcmp(word, "cache") == 0)
            stage_cache(l);
        else if (strcmp(word, "ocsp") == 0)
            stage_ocsp(l);
        else if (strcmp(word, "crl") == 0)
            stage_crl(l);
    }
}

/* ---- the end --------------------------------------------------------------------------------------------- */
/* The sources' silence began then; 0: they have not failed. */
static int64_t silent_since(const struct cert_check *c)
{
    int64_t since = 0;
    for (size_t k = 0; k < c->use_n; k++) {
        const struct source *s = c->use[k].source;
        int64_t t = !s ? 0 : s->since_utc_s ? s->since_utc_s : s->asked_utc_s;
        if (t > since)
            since = t;
    }
    return since;
}

/* Every source is through and none gave a fresh answer. */
static void conclude(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    const struct sl_conf_trust *conf = x->trust->conf;
    const struct sl_cert *cert = x->path.cert[i];
    char when[SL_TIME_TEXT];
    c->done = true;
    if (c->rc == SL_OK) {
        c->rc = SL_REVOCATION_NONE;
        say(c,
            "it names no OCSP responder or CRL that trust %s may use, and no CRL file is its "
            "issuer's",
            conf->name);
    }
    enum sl_rc rc = c->rc;
    if (conf->revocation == SL_REVOCATION_GRACE && rc != SL_REVOCATION_UNKNOWN &&
        rc != SL_REVOCATION_NONE) {
        int64_t age = now.utc_s - c->answer.next_update;
        int64_t since = silent_since(c);
        if (c->have_answer && age <= conf->grace_s) {
            c->rc = SL_OK;
            c->stale = true;
            say(c, "grace: %.200s was good until %s; %lld s of %lld s past it are used", c->origin,
                sl_time_text(when, c->answer.next_update), (long long)age,
                (long long)conf->grace_s);
            return;
        }
        if (!c->have_answer && since && now.utc_s - since <= conf->grace_s) {
            c->rc = SL_OK;
            c->blind = true;
            say(c,
                "grace: no status is known and no source answers since %s, %lld s of %lld s "
                "are used (%.299s)",
                sl_time_text(when, since), (long long)(now.utc_s - since), (long long)conf->grace_s,
                c->text);
            return;
        }
    }
    say(c, "certificate %.160s: %.340s", sl_cert_name(cert), c->text);
}

/* An equal share of what is left, so that a dead responder leaves time for the CRL. */
static bool wait_for(struct sl_decision *x, struct cert_check *c, struct source_use *u,
                     struct sl_now now)
{
    int64_t left = x->revocation_ns - now.mono_ns;
    size_t open = 0;
    if (left <= 0 || !source_fetch(x->decider, u->source, now))
        return false;
    for (size_t k = 0; k < c->use_n; k++)
        open += !c->use[k].tried && c->use[k].source;
    c->step_ns = now.mono_ns + left / (int64_t)(open ? open : 1);
    c->waits = u;
    ident_wait_on(&u->source->waiting, &c->wait);
    decider_timer(x->decider, c->step_ns);
    return true;
}

bool revocation_advance(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    if (c->done)
        return true;
    if (!c->begun)
        begin(x, i, now);
    if (c->waits) {
        const struct source *s = c->waits->source;
        if (s && s->question && now.mono_ns < c->step_ns)
            return false;
        c->waits->tried = true;
        c->waits = NULL;
        ident_wait_off(&c->wait);
        c->step_ns = 0;
    }
    bool busy = x->decider->busy;
    x->decider->busy = true; /* no source is forgotten while it is looked at */
    while (!c->done) {
        struct look l = {
            .x = x, .c = c, .cert = x->path.cert[i], .issuer = x->path.cert[i + 1], .now = now
        };
        look(&l);
        if (c->done)
            break;
        if (!l.want) {
            conclude(x, i, now);
        } else if (wait_for(x, c, l.want, now)) {
            x->decider->busy = busy;
            return false;
        } else {
            l.want->tried = true;
        }
    }
    x->decider->busy = busy;
    return true;
}
