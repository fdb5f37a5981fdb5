/*
 * The revocation status of one certificate of a verified path (RFC 5280 6.3, RFC 6960), from, in
 * this order: an OCSP response handed over in IKE (RFC 4806), what the cache holds, local CRL files,
 * and the sources the certificate names (OCSP before CRL). The first good answer settles it; any
 * answer "revoked" settles it too.
 *
 * Modes: hard refuses without an answer. grace accepts, and records so, when the last answer was good
 * and is at most grace_s past its nextUpdate, or when there was never one and the sources have been
 * silent for at most grace_s. off does not ask. "unknown" from a responder is an answer, and no grace
 * covers it.
 */
#include "src/ident/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    say(c, "%s: %.400s", origin, text);
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
            *a->why ? ": " : "", a->why, origin);
    } else {
        c->rc = SL_OK;
        c->text[0] = '\0';
    }
}

/* A stale answer: revoked is final; good is kept for grace when it is the freshest so far. */
static void keep_stale(struct cert_check *c, const struct sl_cert *cert,
                       const struct sl_rev_answer *a, const char *origin)
{
    if (a->revoked) {
        settle(c, cert, a, origin);
        return;
    }
    if (c->have_answer && c->answer.next_update >= a->next_update)
        return;
    c->answer = *a;
    c->have_answer = true;
    snprintf(c->origin, sizeof(c->origin), "%s", origin);
}

static void take(struct cert_check *c, const struct sl_cert *cert, enum sl_rc rc,
                 const struct sl_rev_answer *a, const struct sl_err *err, const char *origin)
{
    if (rc == SL_OK) {
        settle(c, cert, a, origin);
        return;
    }
    note(c, rc, origin, sl_err_text(err));
    if (rc == SL_REVOCATION_STALE)
        keep_stale(c, cert, a, origin);
}

static const char *origin_of(char out[320], const struct source *s)
{
    snprintf(out, 320, "%s %.300s", s->kind == SOURCE_OCSP ? "OCSP" : "CRL", s->uri);
    return out;
}

/* only_revoked: a source that does not say so is passed over. */
static void look_at_source(struct cert_check *c, struct source *s, const struct sl_cert *cert,
                           const struct sl_cert *issuer, bool only_revoked, int64_t utc_s)
{
    struct sl_rev_answer a = { 0 };
    struct sl_err err;
    char origin[320];
    sl_err_reset(&err);
    enum sl_rc rc = source_check(s, cert, issuer, utc_s, &a, &err);
    bool revoked = (rc == SL_OK || rc == SL_REVOCATION_STALE) && a.revoked;
    if (rc != SL_NOT_FOUND && (!only_revoked || revoked))
        take(c, cert, rc, &a, &err, origin_of(origin, s));
}

static enum sl_rc find_sources(struct sl_decision *x, size_t i, struct sl_now now,
                               struct sl_err *err)
{
    struct cert_check *c = &x->check[i];
    const struct sl_conf_trust *conf = x->trust->conf;
    struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    const char *uri[SL_CERT_URI_MAX];
    size_t n = conf->ocsp ? sl_cert_ocsp_uris(cert, uri) : 0;
    for (size_t k = 0; k < n; k++) {
        if (strncasecmp(uri[k], "http", 4) != 0)
            continue; /* OCSP is spoken over HTTP (RFC 6960 appendix A) */
        SL_TRY(source_get(&c->source[c->n], x->decider, SOURCE_OCSP, uri[k], cert, issuer, conf,
                          now, err));
        c->n++;
    }
    n = conf->crl ? sl_cert_crl_uris(cert, uri) : 0;
    for (size_t k = 0; k < n; k++) {
        SL_TRY(source_get(&c->source[c->n], x->decider, SOURCE_CRL, uri[k], cert, issuer, conf, now,
                          err));
        c->n++;
    }
    return SL_OK;
}

/* Local CRL files; only_revoked: those that do not say so are passed over. */
static void look_at_files(struct sl_decision *x, size_t i, bool only_revoked, int64_t utc_s)
{
    struct cert_check *c = &x->check[i];
    const struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    for (size_t k = 0; k < x->trust->crl_n && !c->done && x->trust->conf->crl; k++) {
        const struct local_crl *local = &x->trust->crl[k];
        struct sl_rev_answer a = { 0 };
        struct sl_err err;
        char origin[320];
        sl_err_reset(&err);
        if (strcmp(sl_crl_issuer(local->crl), sl_cert_subject(issuer)) != 0)
            continue; /* another CA's; its name is looked at closely when it is used */
        snprintf(origin, sizeof(origin), "CRL file %.300s", local->what);
        enum sl_rc rc = sl_crl_check(local->crl, cert, issuer, utc_s, &a, &err);
        if (!only_revoked || ((rc == SL_OK || rc == SL_REVOCATION_STALE) && a.revoked))
            take(c, cert, rc, &a, &err, origin);
    }
}

/*
 * The responses that came with the peer, until one settles it; each may be any certificate's of the
 * path (RFC 4806 3.1). One that is no good is worth a word only for the peer's own certificate.
 */
static void look_at_handed_over(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    const struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    for (size_t n = 0; n < x->ask.ocsp_n && !c->done; n++) {
        struct sl_rev_answer a = { 0 };
        struct sl_err err;
        sl_err_reset(&err);
        const enum sl_rc rc = sl_ocsp_check(x->ask.ocsp[n], cert, issuer, (struct sl_bytes){ 0 },
                                            now.utc_s, &a, &err);
        if (i == 0 || (rc != SL_REVOCATION_INVALID && rc != SL_REVOCATION_UNAVAILABLE))
            take(c, cert, rc, &a, &err, "OCSP response handed over in IKE (RFC 4806)");
        for (size_t k = 0; rc == SL_OK && k < c->n; k++)
            if (c->source[k])
                source_offer(x->decider, c->source[k], x->ask.ocsp[n], now);
    }
}

/* What is known without asking anybody. */
static void look_around(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    const struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    /*
     * What is known to say revoked is believed before anything that says otherwise: a peer may hand
     * over a response from before its revocation.
     */
    for (size_t k = 0; k < c->n && !c->done; k++)
        if (c->source[k])
            look_at_source(c, c->source[k], cert, issuer, true, now.utc_s);
    look_at_files(x, i, true, now.utc_s);
    if (x->trust->conf->ocsp)
        look_at_handed_over(x, i, now);
    for (size_t k = 0; k < c->n && !c->done; k++)
        if (c->source[k])
            look_at_source(c, c->source[k], cert, issuer, false, now.utc_s);
    look_at_files(x, i, false, now.utc_s);
}

/* The sources' silence began then; 0: they have not failed. */
static int64_t silent_since(const struct cert_check *c)
{
    int64_t since = 0;
    for (size_t k = 0; k < c->n; k++) {
        const struct source *s = c->source[k];
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

bool revocation_advance(struct sl_decision *x, size_t i, struct sl_now now)
{
    struct cert_check *c = &x->check[i];
    const struct sl_cert *cert = x->path.cert[i], *issuer = x->path.cert[i + 1];
    char origin[320];
    if (c->done)
        return true;
    if (!c->begun) {
        struct sl_err err;
        sl_err_reset(&err);
        c->begun = true;
        if (find_sources(x, i, now, &err) != SL_OK) {
            c->done = true;
            c->rc = err.rc;
            say(c, "%s", sl_err_text(&err));
            return true;
        }
        look_around(x, i, now);
    }
    for (; !c->done && c->at < c->n; c->at++, c->step_ns = 0) {
        struct source *s = c->source[c->at];
        if (!s)
            continue;
        if (c->step_ns) { /* was waited for */
            look_at_source(c, s, cert, issuer, false, now.utc_s);
            if (c->done)
                break;
            if (s->question && now.mono_ns < c->step_ns)
                return false;
        } else if (source_fetch(x->decider, s, now)) {
            /* An equal share of what is left, so that a dead responder leaves time for the CRL. */
            int64_t left = x->revocation_ns - now.mono_ns;
            if (left > 0) {
                c->step_ns = now.mono_ns + left / (int64_t)(c->n - c->at);
                ident_wait_on(&s->waiting, &c->wait);
                decider_timer(x->decider, c->step_ns);
                return false;
            }
        }
        ident_wait_off(&c->wait);
        if (s->question)
            note(c, SL_REVOCATION_UNAVAILABLE, origin_of(origin, s),
                 "no answer within the deadline");
        else
            note(c, s->rc ? s->rc : SL_REVOCATION_UNAVAILABLE, origin_of(origin, s), s->error);
    }
    ident_wait_off(&c->wait);
    if (!c->done)
        conclude(x, i, now);
    return true;
}
