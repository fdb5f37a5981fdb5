/*
 * Sources of revocation data: one for each CRL URI and issuer, one for each certificate at an OCSP
 * responder. A source is fetched once however many decisions wait for it; a failure is remembered
 * for a short, growing while; what was fetched is verified before it replaces what was known.
 */
#include "src/ident/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_part(struct sl_buf *b, struct sl_bytes v, bool *ok)
{
    uint8_t len[4] = { (uint8_t)(v.len >> 24), (uint8_t)(v.len >> 16), (uint8_t)(v.len >> 8),
                       (uint8_t)v.len };
    *ok = *ok && sl_buf_put(b, sl_bytes(len, sizeof(len))) && sl_buf_put(b, v);
}

static bool make_key(uint8_t key[32], enum source_kind kind, const char *uri,
                     const struct sl_cert *cert, const struct sl_cert *issuer)
{
    SL_AUTO_BUF b = { 0 };
    bool ok = true;
    put_part(&b, sl_str(kind == SOURCE_OCSP ? "ocsp" : "crl"), &ok);
    put_part(&b, sl_str(uri), &ok);
    put_part(&b, sl_cert_subject_der(issuer), &ok);
    put_part(&b, sl_cert_spki(issuer), &ok);
    if (kind == SOURCE_OCSP)
        put_part(&b, sl_cert_der(cert), &ok);
    if (ok)
        sl_sha2(256, sl_buf_bytes(&b), key);
    return ok;
}

static size_t bucket(const uint8_t key[32])
{
    return ((size_t)key[0] << 8 | key[1]) % IDENT_BUCKETS;
}

void source_free(struct source *s)
{
    if (!s)
        return;
    sl_cert_free(s->cert);
    sl_cert_free(s->issuer);
    sl_crl_free(s->crl);
    sl_buf_clear(&s->response);
    sl_buf_clear(&s->request);
    free(s->uri);
    free(s);
}

/* Makes room by forgetting the source that was used longest ago and that nobody waits for. */
static void evict(struct sl_decider *d)
{
    struct source **oldest = NULL;
    for (size_t b = 0; b < IDENT_BUCKETS; b++)
        for (struct source **p = &d->source[b]; *p; p = &(*p)->next)
            if (!(*p)->question && !(*p)->waiting &&
                (!oldest || (*p)->used_ns < (*oldest)->used_ns))
                oldest = p;
    if (!oldest)
        return;
    struct source *s = *oldest;
    *oldest = s->next;
    d->source_n--;
    /* Decisions keep pointers to their sources; those that do not wait any more are done with them. */
    for (struct sl_decision *x = d->running; x; x = x->next)
        for (size_t i = 0; i < x->path.n; i++)
            for (size_t k = 0; k < x->check[i].n; k++)
                if (x->check[i].source[k] == s)
                    x->check[i].source[k] = NULL;
    source_free(s);
}

enum sl_rc source_get(struct source **out, struct sl_decider *d, enum source_kind kind,
                      const char *uri, struct sl_cert *cert, struct sl_cert *issuer,
                      const struct sl_conf_trust *conf, struct sl_now now, struct sl_err *err)
{
    uint8_t key[32];
    if (!make_key(key, kind, uri, cert, issuer))
        return SL_FAIL_MEM(err);
    struct source *s = d->source[bucket(key)];
    while (s && memcmp(s->key, key, sizeof(key)) != 0)
        s = s->next;
    if (!s) {
        if (d->source_n >= IDENT_SOURCES_MAX && !d->busy)
            evict(d);
        s = calloc(1, sizeof(*s));
        char *copy = strdup(uri);
        if (!s || !copy) {
            free(s);
            free(copy);
            return SL_FAIL_MEM(err);
        }
        memcpy(s->key, key, sizeof(key));
        s->kind = kind;
        s->uri = copy;
        s->issuer = sl_cert_ref(issuer);
        s->cert = kind == SOURCE_OCSP ? sl_cert_ref(cert) : NULL;
        s->bucket = bucket(key);
        s->next = d->source[bucket(key)];
        d->source[bucket(key)] = s;
        d->source_n++;
    }
    if (conf) {
        s->deadline_ms = conf->deadline_ms;
        s->nonce = conf->ocsp_nonce;
    }
    s->used_ns = now.mono_ns;
    *out = s;
    return SL_OK;
}

enum sl_rc source_check(struct source *s, const struct sl_cert *cert, const struct sl_cert *issuer,
                        int64_t utc_s, struct sl_rev_answer *out, struct sl_err *err)
{
    if (!s->have)
        return SL_NOT_FOUND;
    if (s->kind == SOURCE_CRL)
        return sl_crl_check(s->crl, cert, issuer, utc_s, out, err);
    *out = s->answer; /* verified when it came; only time can have changed it */
    char when[SL_TIME_TEXT];
    if (utc_s > s->answer.next_update)
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "OCSP response for certificate %.200s: nextUpdate %s passed %lld s ago "
                       "(RFC 6960 4.2.2.1)",
                       sl_cert_name(cert), sl_time_text(when, s->answer.next_update),
                       (long long)(utc_s - s->answer.next_update));
    return SL_OK;
}

/* ---- fetching ---------------------------------------------------------------------------------------- */
static void failed(struct sl_decider *d, struct source *s, enum sl_rc rc, const char *text,
                   struct sl_now now)
{
    int64_t wait_s = IDENT_BACKOFF_MIN_S;
    for (unsigned i = 0; i < s->failures && wait_s < IDENT_BACKOFF_MAX_S; i++)
        wait_s *= 2;
    if (wait_s > IDENT_BACKOFF_MAX_S)
        wait_s = IDENT_BACKOFF_MAX_S;
    s->failures++;
    s->retry_ns = now.mono_ns + wait_s * SL_NS_PER_S;
    if (s->since_utc_s == 0) {
        s->since_utc_s = s->asked_utc_s ? s->asked_utc_s : now.utc_s;
        d->dirty = true; /* an outage outlives a restart */
    }
    s->rc = rc;
    snprintf(s->error, sizeof(s->error), "%s", text);
    if (s->have) { /* keep trying in the background */
        s->refresh_ns = s->retry_ns;
        decider_timer(d, s->refresh_ns);
    }
}

static int64_t next_update(const struct source *s)
{
    return s->kind == SOURCE_CRL ? sl_crl_next_update(s->crl) : s->answer.next_update;
}

static void succeeded(struct sl_decider *d, struct source *s, struct sl_now now)
{
    s->have = true;
    s->failures = 0;
    s->retry_ns = 0;
    s->since_utc_s = 0;
    s->rc = SL_OK;
    s->error[0] = '\0';
    s->fetched_utc_s = now.utc_s;
    d->dirty = true;
    /* Half of what is left, bounded, and up to a tenth sooner so that gateways do not march in step. */
    int64_t left = (next_update(s) - now.utc_s) / 2;
    if (left < IDENT_REFRESH_MIN_S)
        left = IDENT_REFRESH_MIN_S;
    if (left > IDENT_REFRESH_MAX_S)
        left = IDENT_REFRESH_MAX_S;
    left -= (int64_t)sl_rng_below(d->rng, (uint64_t)left / 10 + 1);
    s->refresh_ns = now.mono_ns + left * SL_NS_PER_S;
    decider_timer(d, s->refresh_ns);
}

bool source_fetch(struct sl_decider *d, struct source *s, struct sl_now now)
{
    if (s->question)
        return true;
    if (now.mono_ns < s->retry_ns)
        return false;
    s->request.len = 0;
    struct sl_err err;
    sl_err_reset(&err);
    s->asked_utc_s = now.utc_s;
    if (s->kind == SOURCE_OCSP) {
        struct sl_bytes nonce = { 0 };
        if (s->nonce) {
            sl_rng_fill(d->rng, s->nonce_value, sizeof(s->nonce_value));
            nonce = sl_bytes(s->nonce_value, sizeof(s->nonce_value));
        }
        /* SHA-1 names the issuer here, it protects nothing; every responder knows it (RFC 5019 2.1.1). */
        if (sl_ocsp_request(&s->request, s->cert, s->issuer, 1, nonce, &err) != SL_OK) {
            failed(d, s, err.rc, sl_err_text(&err), now);
            return false;
        }
    }
    s->question = ++d->last_question;
    s->asked = false;
    d->to_ask++;
    /* The shell keeps the deadline; this is for the case that it never answers. */
    s->until_ns = now.mono_ns + (s->deadline_ms + 1000) * SL_NS_PER_MS;
    decider_timer(d, s->until_ns);
    return true;
}

static enum sl_rc take_crl(struct sl_decider *d, struct source *s, struct sl_bytes body,
                           int64_t utc_s, struct sl_err *err)
{
    SL_AUTO(sl_crl) *crl = NULL;
    SL_TRY(sl_crl_read(&crl, body, err));
    SL_TRY(sl_crl_verify(crl, s->issuer, err));
    if (sl_crl_this_update(crl) > utc_s + SL_REV_SKEW_S)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: thisUpdate lies in the future (RFC 5280 5.1.2.4)",
                       sl_crl_issuer(crl));
    if (s->crl) {
        /* An older list served again must not bring a revoked certificate back. */
        int order = sl_crl_number_cmp(crl, s->crl);
        if (order < 0 || (order == 0 && sl_crl_this_update(crl) < sl_crl_this_update(s->crl)))
            return SL_FAIL(
                err, SL_REVOCATION_INVALID,
                "CRL of %s: number %s is below %s, which is known already (RFC 5280 5.2.3)",
                sl_crl_issuer(crl), sl_crl_number(crl), sl_crl_number(s->crl));
        if (!sl_bytes_eq(sl_crl_der(crl), sl_crl_der(s->crl)))
            d->changed = true;
    } else {
        d->changed = true;
    }
    sl_crl_free(s->crl);
    s->crl = sl_steal(&crl);
    if (utc_s > sl_crl_next_update(s->crl)) {
        s->have = true; /* within a grace window it may still serve */
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "CRL of %s: nextUpdate has passed (RFC 5280 5.1.2.5)",
                       sl_crl_issuer(s->crl));
    }
    return SL_OK;
}

static enum sl_rc take_ocsp(struct sl_decider *d, struct source *s, struct sl_bytes body,
                            struct sl_bytes nonce, int64_t utc_s, struct sl_err *err)
{
    struct sl_rev_answer a;
    enum sl_rc rc = sl_ocsp_check(body, s->cert, s->issuer, nonce, utc_s, &a, err);
    if (rc != SL_OK && rc != SL_REVOCATION_STALE)
        return rc;
    if (s->have && a.this_update < s->answer.this_update)
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP response for certificate %s: older than the one known (RFC 6960 4.2.2.1)",
            sl_cert_name(s->cert));
    struct sl_buf copy = { 0 };
    if (!sl_buf_put(&copy, body))
        return SL_FAIL_MEM(err);
    sl_buf_clear(&s->response);
    s->response = copy;
    if (s->have && a.revoked != s->answer.revoked)
        d->changed = true;
    s->answer = a;
    s->have = true;
    return rc;
}

void source_offer(struct sl_decider *d, struct source *s, struct sl_bytes response,
                  struct sl_now now)
{
    if (s->kind == SOURCE_OCSP &&
        take_ocsp(d, s, response, (struct sl_bytes){ 0 }, now.utc_s, NULL) == SL_OK)
        succeeded(d, s, now);
}

void source_answer(struct sl_decider *d, struct source *s, enum sl_rc rc, const char *text,
                   struct sl_bytes body, struct sl_now now)
{
    if (!s->asked)
        d->to_ask--;
    s->question = 0;
    struct sl_err err;
    sl_err_reset(&err);
    if (rc != SL_OK)
        (void)SL_FAIL(&err, SL_REVOCATION_UNAVAILABLE, "%s", text && *text ? text : sl_rc_text(rc));
    else if (s->kind == SOURCE_CRL)
        (void)take_crl(d, s, body, now.utc_s, &err);
    else
        (void)take_ocsp(d, s, body,
                        s->nonce ? sl_bytes(s->nonce_value, sizeof(s->nonce_value))
                                 : (struct sl_bytes){ 0 },
                        now.utc_s, &err);
    if (err.rc == SL_OK)
        succeeded(d, s, now);
    else
        failed(d, s, err.rc, sl_err_text(&err), now);
    decider_wake(d, &s->waiting, now);
}

void source_tick(struct sl_decider *d, struct source *s, struct sl_now now)
{
    if (s->question && now.mono_ns >= s->until_ns)
        source_answer(d, s, SL_TIMEOUT, "no answer within the deadline", (struct sl_bytes){ 0 },
                      now);
    if (s->have && !s->question && now.mono_ns >= s->refresh_ns) {
        if (now.mono_ns - s->used_ns < IDENT_FORGET_S * SL_NS_PER_S && source_fetch(d, s, now))
            s->refresh_ns = s->until_ns;
        else
            s->refresh_ns = now.mono_ns + IDENT_REFRESH_MAX_S * SL_NS_PER_S;
    }
    if (s->question)
        decider_timer(d, s->until_ns);
    if (s->have)
        decider_timer(d, s->refresh_ns);
}

/* ---- the cache on disk --------------------------------------------------------------------------------- */
/*
 *   magic (8), then for each source: kind (1), fetched (8), since (8), uri (16), issuer (32),
 *   certificate (32, OCSP), data (32; empty: only an outage is known)
 */
static const char magic[] = "SLREVC01";

enum sl_rc sl_decider_save(struct sl_decider *d, struct sl_buf *out, struct sl_err *err)
{
    struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
    sl_wr_put(&w, sl_str(magic));
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s)) {
        if (!s->have && !s->since_utc_s)
            continue;
        sl_wr_u8(&w, (uint8_t)s->kind);
        sl_wr_u64(&w, (uint64_t)s->fetched_utc_s);
        sl_wr_u64(&w, (uint64_t)s->since_utc_s);
        sl_wr_str16(&w, s->uri);
        sl_wr_part32(&w, sl_cert_der(s->issuer));
        sl_wr_part32(&w, s->cert ? sl_cert_der(s->cert) : (struct sl_bytes){ 0 });
        sl_wr_part32(&w, !s->have ? (struct sl_bytes){ 0 }
                         : s->crl ? sl_crl_der(s->crl)
                                  : sl_buf_bytes(&s->response));
    }
    d->dirty = false;
    return sl_wr_ok(&w)
               ? SL_OK
               : SL_FAIL(err, SL_TOO_LARGE, "the revocation cache is too large to be saved");
}

/* One source; what does not verify is left out: the cache is a help, never an authority. */
static void load_one(struct sl_decider *d, enum source_kind kind, const char *uri,
                     struct sl_bytes issuer_der, struct sl_bytes cert_der, struct sl_bytes data,
                     int64_t fetched, int64_t since, struct sl_now now)
{
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO(sl_cert) *cert = NULL;
    struct source *s = NULL;
    if (sl_cert_read(&issuer, issuer_der, NULL) != SL_OK ||
        (kind == SOURCE_OCSP && sl_cert_read(&cert, cert_der, NULL) != SL_OK) ||
        source_get(&s, d, kind, uri, cert, issuer, NULL, now, NULL) != SL_OK || !s)
        return;
    s->deadline_ms = 5000; /* until a decision says otherwise */
    enum sl_rc rc = SL_OK;
    if (data.len)
        rc = kind == SOURCE_CRL ? take_crl(d, s, data, now.utc_s, NULL)
                                : take_ocsp(d, s, data, (struct sl_bytes){ 0 }, now.utc_s, NULL);
    if (data.len && rc == SL_OK)
        succeeded(d, s, now);
    if (fetched > 0 && fetched <= now.utc_s)
        s->fetched_utc_s = fetched;
    if (since > 0 && since <= now.utc_s)
        s->since_utc_s = since;
}

enum sl_rc sl_decider_load(struct sl_decider *d, struct sl_bytes in, struct sl_now now,
                           struct sl_err *err)
{
    struct sl_rd r = sl_rd(in);
    if (!sl_bytes_eq(sl_rd_take(&r, sizeof(magic) - 1), sl_str(magic)))
        return SL_FAIL(err, SL_MALFORMED, "revocation cache: not in a form that is known");
    while (sl_rd_ok(&r) && !sl_rd_done(&r)) {
        uint8_t kind = sl_rd_u8(&r);
        int64_t fetched = (int64_t)sl_rd_u64(&r), since = (int64_t)sl_rd_u64(&r);
        struct sl_bytes uri = sl_rd_part16(&r), issuer = sl_rd_part32(&r), cert = sl_rd_part32(&r),
                        data = sl_rd_part32(&r);
        if (!sl_rd_ok(&r))
            return SL_FAIL(err, SL_MALFORMED, "revocation cache: cut short");
        char *text = sl_strdup_bytes(uri);
        if (text && (kind == SOURCE_CRL || kind == SOURCE_OCSP))
            load_one(d, (enum source_kind)kind, text, issuer, cert, data, fetched, since, now);
        free(text);
    }
    d->dirty = false;
    d->changed = false;
    return SL_OK;
}
