/*
 * Sources of what can be fetched: one for each URI of a CRL or of CA certificates, however many
 * issuers and certificates name it, and one for each certificate at an OCSP responder. A source is
 * fetched once however many decisions wait for it; a failure is remembered for a short, growing
 * while; what was fetched is verified before it replaces what was known.
 *
 * A CRL's URI does not say who signs the list. The certificates that may have are kept with the
 * source as decisions meet them; a list that none of them signed waits, unused, for one that did.
 */
#include "src/ident/internal.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_part(struct sl_buf *b, struct sl_bytes v, bool *ok)
{
    uint8_t len[4] = { (uint8_t)(v.len >> 24), (uint8_t)(v.len >> 16), (uint8_t)(v.len >> 8),
                       (uint8_t)v.len };
    *ok = *ok && sl_buf_put(b, sl_bytes(len, sizeof(len))) && sl_buf_put(b, v);
}

static bool make_key(uint8_t out[32], const struct source_key *k)
{
    SL_AUTO_BUF b = { 0 };
    bool ok = true;
    static const char *const kinds[] = {
        [SOURCE_OCSP] = "ocsp", [SOURCE_CRL] = "crl", [SOURCE_CERT] = "cert"
    };
    put_part(&b, sl_str(kinds[k->kind]), &ok);
    put_part(&b, sl_str(k->uri), &ok);
    if (k->kind == SOURCE_OCSP) {
        put_part(&b, sl_cert_subject_der(k->issuer), &ok);
        put_part(&b, sl_cert_spki(k->issuer), &ok);
        put_part(&b, sl_cert_der(k->cert), &ok);
        put_part(&b, k->responder ? sl_cert_der(k->responder) : (struct sl_bytes){ 0 }, &ok);
    }
    if (ok)
        sl_sha2(256, sl_buf_bytes(&b), out);
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
    gate_leave(s);
    sl_cert_free(s->cert);
    sl_cert_free(s->issuer);
    sl_cert_free(s->responder);
    sl_cert_free(s->delegate);
    for (size_t i = 0; i < s->signer_n; i++)
        sl_cert_free(s->signer[i]);
    sl_crl_free(s->crl);
    sl_crl_free(s->unproved);
    sl_certs_clear(&s->certs);
    sl_buf_clear(&s->response);
    sl_buf_clear(&s->request);
    free(s->get);
    free(s->uri);
    free(s);
}

static void forget_uses(struct source_use *v, size_t n, const struct source *s)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].source == s)
            v[i].source = NULL;
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
    for (struct sl_decision *x = d->running; x; x = x->next) {
        forget_uses(x->issuer, x->issuer_n, s);
        for (size_t i = 0; i < x->path.n; i++)
            forget_uses(x->check[i].use, x->check[i].use_n, s);
    }
    source_free(s);
}

static struct source *make(struct sl_decider *d, const struct source_key *key,
                           const uint8_t hash[32])
{
    struct source *s = calloc(1, sizeof(*s));
    char *copy = strdup(key->uri);
    if (!s || !copy) {
        free(s);
        free(copy);
        return NULL;
    }
    memcpy(s->key, hash, sizeof(s->key));
    s->kind = key->kind;
    s->uri = copy;
    if (key->kind == SOURCE_OCSP) {
        s->issuer = sl_cert_ref(key->issuer);
        s->cert = sl_cert_ref(key->cert);
        s->responder = key->responder ? sl_cert_ref(key->responder) : NULL;
        if (!gate_join(d, s)) {
            source_free(s);
            return NULL;
        }
    }
    s->bucket = bucket(hash);
    s->next = d->source[s->bucket];
    d->source[s->bucket] = s;
    d->source_n++;
    return s;
}

enum sl_rc source_get(struct source **out, struct sl_decider *d, const struct source_key *key,
                      const struct trust *t, struct sl_now now, struct sl_err *err)
{
    uint8_t hash[32];
    if (!make_key(hash, key))
        return SL_FAIL_MEM(err);
    struct source *s = d->source[bucket(hash)];
    while (s && memcmp(s->key, hash, sizeof(hash)) != 0)
        s = s->next;
    if (!s) {
        if (d->source_n >= IDENT_SOURCES_MAX && !d->busy)
            evict(d);
        s = make(d, key, hash);
        if (!s)
            return SL_FAIL_MEM(err);
        if (t)
            s->sha256 = t->conf->ocsp_sha256;
    }
    if (t) {
        s->deadline_ms = t->conf->deadline_ms;
        s->nonce = t->conf->ocsp_nonce;
        s->configured = s->configured || key->configured;
        if (t->index < 64)
            s->trusts |= UINT64_C(1) << t->index;
    }
    s->used_ns = now.mono_ns;
    *out = s;
    return SL_OK;
}

enum sl_rc source_ocsp(const struct source *s, int64_t utc_s, struct sl_rev_answer *out,
                       struct sl_err *err)
{
    if (!s->have)
        return SL_NOT_FOUND;
    *out = s->answer; /* verified when it came; only time can have changed it */
    char when[SL_TIME_TEXT];
    if (utc_s > s->answer.next_update)
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "OCSP response for certificate %.200s: nextUpdate %s passed %lld s ago "
                       "(RFC 6960 4.2.2.1)",
                       sl_cert_name(s->cert), sl_time_text(when, s->answer.next_update),
                       (long long)(utc_s - s->answer.next_update));
    return SL_OK;
}

int64_t source_next_update(const struct source *s)
{
    switch (s->kind) {
    case SOURCE_CRL:
        return sl_crl_next_update(s->crl);
    case SOURCE_OCSP:
        return s->answer.next_update;
    case SOURCE_CERT:
        break;
    }
    return s->fetched_utc_s + 2 * IDENT_REFRESH_MAX_S; /* says no time; asked for every hour */
}

/* ---- fetching ---------------------------------------------------------------------------------------- */
int64_t ident_backoff_s(unsigned failures)
{
    int64_t wait_s = IDENT_BACKOFF_MIN_S;
    for (unsigned i = 0; i < failures && wait_s < IDENT_BACKOFF_MAX_S; i++)
        wait_s *= 2;
    return wait_s < IDENT_BACKOFF_MAX_S ? wait_s : IDENT_BACKOFF_MAX_S;
}

static void failed(struct sl_decider *d, struct source *s, enum sl_rc rc, const char *text,
                   struct sl_now now)
{
    s->retry_ns = now.mono_ns + ident_backoff_s(s->failures++) * SL_NS_PER_S;
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

void source_succeeded(struct sl_decider *d, struct source *s, struct sl_now now)
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
    int64_t left = (source_next_update(s) - now.utc_s) / 2;
    if (left < IDENT_REFRESH_MIN_S)
        left = IDENT_REFRESH_MIN_S;
    if (left > IDENT_REFRESH_MAX_S)
        left = IDENT_REFRESH_MAX_S;
    left -= (int64_t)sl_rng_below(d->rng, (uint64_t)left / 10 + 1);
    s->refresh_ns = now.mono_ns + left * SL_NS_PER_S;
    decider_timer(d, s->refresh_ns);
}

/* The URI of a GET: base64 of the request, escaped, behind the responder's (RFC 6960 A.1). */
static char *get_uri(const char *uri, struct sl_bytes request)
{
    unsigned char text[IDENT_GET_MAX + 4];
    char out[IDENT_GET_MAX + 8];
    if (request.len / 3 * 4 + 4 > IDENT_GET_MAX)
        return NULL;
    int n = EVP_EncodeBlock(text, request.p, (int)request.len);
    size_t base = strlen(uri), at = base;
    if (n <= 0 || base == 0 || base + 1 > IDENT_GET_MAX)
        return NULL;
    memcpy(out, uri, base);
    if (out[at - 1] != '/')
        out[at++] = '/';
    for (int i = 0; i < n; i++) {
        if (at + 3 > IDENT_GET_MAX)
            return NULL;
        if (text[i] == '+' || text[i] == '/' || text[i] == '=')
            at += (size_t)snprintf(out + at, 4, "%%%02X", text[i]);
        else
            out[at++] = (char)text[i];
    }
    out[at] = '\0';
    return strdup(out);
}

static enum sl_rc make_request(struct sl_decider *d, struct source *s, struct sl_err *err)
{
    struct sl_bytes nonce = { 0 };
    s->request.len = 0;
    free(s->get);
    s->get = NULL;
    if (s->nonce) {
        sl_rng_fill(d->rng, s->nonce_value, sizeof(s->nonce_value));
        nonce = sl_bytes(s->nonce_value, sizeof(s->nonce_value));
    }
    /* SHA-1 names the issuer here, it protects nothing; every responder knows it (RFC 5019 2.1.1). */
    SL_TRY(sl_ocsp_request(&s->request, s->cert, s->issuer, s->sha256 ? 256 : 1, nonce, err));
    /* Short requests go by GET, which caches between here and there may answer (RFC 5019 5). */
    if (!s->nonce && !s->only_post)
        s->get = get_uri(s->uri, sl_buf_bytes(&s->request));
    return SL_OK;
}

static void ask(struct sl_decider *d, struct source *s, struct sl_now now)
{
    s->question = ++d->last_question;
    s->new_etag[0] = s->new_modified[0] = '\0';
    s->asked = false;
    d->to_ask += gate_enter(s);
    /* The shell keeps the deadline; this is for the case that it never answers. */
    s->until_ns = now.mono_ns + (s->deadline_ms + 1000) * SL_NS_PER_MS;
    decider_timer(d, s->until_ns);
}

static void failed_until(struct sl_decider *d, struct source *s, const char *text, int64_t retry_ns,
                         struct sl_now now)
{
    failed(d, s, SL_REVOCATION_UNAVAILABLE, text, now);
    s->failures--; /* nobody asked for it */
    s->retry_ns = retry_ns;
}

void source_refused(struct sl_decider *d, struct source *s, const char *text, int64_t retry_ns,
                    struct sl_now now)
{
    s->question = 0;
    failed_until(d, s, text, retry_ns, now);
    decider_wake(d, &s->waiting, now);
}

void source_released(struct sl_decider *d, struct source *s, struct sl_now now)
{
    d->to_ask++;
    s->until_ns = now.mono_ns + (s->deadline_ms + 1000) * SL_NS_PER_MS; /* as in ask() */
    decider_timer(d, s->until_ns);
}

bool source_fetch(struct sl_decider *d, struct source *s, struct sl_now now)
{
    if (s->question)
        return true;
    if (now.mono_ns < s->retry_ns)
        return false;
    struct sl_err err;
    sl_err_reset(&err);
    s->asked_utc_s = now.utc_s;
    int64_t retry_ns;
    const char *why;
    if (gate_closed(s, now, &retry_ns, &why)) {
        failed_until(d, s, why, retry_ns, now);
        return false;
    }
    s->other_hash = false;
    if (s->kind == SOURCE_OCSP && make_request(d, s, &err) != SL_OK) {
        failed(d, s, err.rc, sl_err_text(&err), now);
        return false;
    }
    ask(d, s, now);
    return true;
}

/* ---- what came -------------------------------------------------------------------------------------------- */
/* An older list served again must not bring a revoked certificate back. */
static enum sl_rc check_newer(const struct source *s, const struct sl_crl *crl, int64_t utc_s,
                              struct sl_err *err)
{
    if (!s->crl)
        return SL_OK;
    if (!sl_dn_eq(sl_crl_issuer_der(crl), sl_crl_issuer_der(s->crl))) {
        if (utc_s > sl_crl_next_update(s->crl))
            return SL_OK;
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.200s came where one of %.200s is known and still counts",
                       sl_crl_issuer(crl), sl_crl_issuer(s->crl));
    }
    int order = sl_crl_number_cmp(crl, s->crl);
    if (order < 0 || (order == 0 && sl_crl_this_update(crl) < sl_crl_this_update(s->crl)))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: number %s is below %s, which is known already (RFC 5280 5.2.3)",
                       sl_crl_issuer(crl), sl_crl_number(crl), sl_crl_number(s->crl));
    return SL_OK;
}

/* Takes the list that its signer is known of. */
static enum sl_rc take_proved(struct sl_decider *d, struct source *s, struct sl_crl *crl,
                              int64_t utc_s, struct sl_err *err)
{
    SL_TRY(check_newer(s, crl, utc_s, err));
    bool same = s->crl && sl_bytes_eq(sl_crl_der(crl), sl_crl_der(s->crl));
    if (!same) {
        decider_change(d);
        s->unsaved = sl_crl_der(crl).len >= IDENT_APART_BYTES;
        sl_crl_free(s->crl);
        s->crl = sl_crl_ref(crl);
    }
    if (utc_s > sl_crl_next_update(s->crl)) {
        s->have = true; /* within a grace window it may still serve */
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "CRL of %s: nextUpdate has passed (RFC 5280 5.1.2.5)",
                       sl_crl_issuer(s->crl));
    }
    return SL_OK;
}

static void to_front(struct source *s, size_t i)
{
    struct sl_cert *c = s->signer[i];
    memmove(s->signer + 1, s->signer, i * sizeof(s->signer[0]));
    s->signer[0] = c;
}

static bool signed_by(struct sl_crl *crl, const struct sl_cert *signer, struct sl_err *err)
{
    return sl_dn_eq(sl_crl_issuer_der(crl), sl_cert_subject_der(signer)) &&
           sl_crl_verify(crl, signer, err) == SL_OK;
}

static enum sl_rc take_crl(struct sl_decider *d, struct source *s, struct sl_bytes body,
                           int64_t utc_s, struct sl_err *err)
{
    SL_AUTO(sl_crl) *crl = NULL;
    struct sl_bytes rest = body, one = der_next(&rest);
    if (one.len && rest.len && der_next(&rest).len) /* several values of an LDAP attribute */
        body = one;
    SL_TRY(sl_crl_read(&crl, body, err));
    if (sl_crl_this_update(crl) > utc_s + SL_REV_SKEW_S)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: thisUpdate lies in the future (RFC 5280 5.1.2.4)",
                       sl_crl_issuer(crl));
    struct sl_err why;
    sl_err_reset(&why);
    for (size_t i = 0; i < s->signer_n; i++)
        if (signed_by(crl, s->signer[i], &why)) {
            to_front(s, i);
            return take_proved(d, s, crl, utc_s, err);
        }
    /* It may be an indirect CRL, or signed with a key of its own: revocation.c knows who else might. */
    sl_crl_free(s->unproved);
    s->unproved = sl_crl_ref(crl);
    if (why.rc != SL_OK)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "%s", sl_err_text(&why));
    return SL_FAIL(err, SL_REVOCATION_INVALID,
                   "CRL of %s: no certificate of that name is at hand to verify it (RFC 5280 6.3.3 "
                   "(f))",
                   sl_crl_issuer(crl));
}

void source_signer(struct sl_decider *d, struct source *s, struct sl_cert *signer,
                   struct sl_now now)
{
    for (size_t i = 0; i < s->signer_n; i++)
        if (sl_bytes_eq(sl_cert_der(s->signer[i]), sl_cert_der(signer)))
            return; /* was tried when the list came */
    if (s->signer_n == IDENT_SIGNERS_MAX)
        sl_cert_free(s->signer[--s->signer_n]);
    s->signer[s->signer_n++] = sl_cert_ref(signer);
    if (!s->unproved || !signed_by(s->unproved, signer, NULL))
        return;
    SL_AUTO(sl_crl) *crl = s->unproved;
    s->unproved = NULL;
    struct sl_err err;
    sl_err_reset(&err);
    to_front(s, s->signer_n - 1);
    if (take_proved(d, s, crl, now.utc_s, &err) == SL_OK)
        source_succeeded(d, s, now);
    else
        failed(d, s, err.rc, sl_err_text(&err), now);
}

static enum sl_rc take_ocsp(struct sl_decider *d, struct source *s, struct sl_bytes body,
                            struct sl_bytes nonce, int64_t utc_s, struct sl_err *err)
{
    struct sl_rev_answer a;
    SL_AUTO(sl_cert) *delegate = NULL;
    enum sl_rc rc = sl_ocsp_check_delegated(body, s->cert, s->issuer, s->responder, nonce, utc_s,
                                            &a, &delegate, err);
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
    sl_cert_free(s->delegate);
    s->delegate = sl_steal(&delegate);
    if (s->have && a.revoked != s->answer.revoked)
        decider_change(d);
    else if (a.revoked)
        d->generation++; /* first heard of it: a CRL may have said good before */
    s->answer = a;
    s->have = true;
    return rc;
}

static enum sl_rc take_certs(struct source *s, struct sl_bytes body, struct sl_err *err)
{
    struct sl_certs certs = { 0 };
    SL_TRY(certs_read(&certs, body, s->uri, err));
    sl_certs_clear(&s->certs);
    s->certs = certs;
    s->have = true;
    return SL_OK;
}

enum sl_rc source_take(struct sl_decider *d, struct source *s, struct sl_bytes data,
                       struct sl_bytes nonce, struct sl_now now, struct sl_err *err)
{
    switch (s->kind) {
    case SOURCE_CRL:
        return take_crl(d, s, data, now.utc_s, err);
    case SOURCE_OCSP:
        return take_ocsp(d, s, data, nonce, now.utc_s, err);
    case SOURCE_CERT:
        break;
    }
    return take_certs(s, data, err);
}

void source_offer(struct sl_decider *d, struct source *s, struct sl_bytes response,
                  struct sl_now now)
{
    /* What is known to be revoked, a response that the peer brings does not take back. */
    if (s->kind == SOURCE_OCSP && !(s->have && s->answer.revoked) &&
        take_ocsp(d, s, response, (struct sl_bytes){ 0 }, now.utc_s, NULL) == SL_OK)
        source_succeeded(d, s, now);
}

/*
 * A second try within the same fetch: by POST where GET is not known; with the other hash where the
 * responder answered and does not know the certificate (RFC 6960 4.4.7.2.2 leaves the hash to it).
 */
static bool try_otherwise(struct sl_decider *d, struct source *s, enum sl_rc rc,
                          const struct sl_err *err, struct sl_now now)
{
    if (s->kind != SOURCE_OCSP)
        return false;
    if (rc == SL_UNSUPPORTED && s->get) {
        s->only_post = true;
    } else if (rc == SL_OK && !s->other_hash &&
               (err->rc == SL_REVOCATION_UNAVAILABLE || err->rc == SL_REVOCATION_UNKNOWN)) {
        s->other_hash = true;
        s->sha256 = !s->sha256;
        s->first = err->rc;
        snprintf(s->error, sizeof(s->error), "%s", sl_err_text(err));
    } else {
        return false;
    }
    if (make_request(d, s, NULL) != SL_OK)
        return false;
    ask(d, s, now);
    return true;
}

/* Neither hash helped: the next fetch begins with the first one again, and "unknown" is what counts. */
static void failed_both(struct sl_decider *d, struct source *s, const struct sl_err *err,
                        struct sl_now now)
{
    char text[sizeof(s->error)];
    memcpy(text, s->error, sizeof(text));
    s->sha256 = !s->sha256;
    if (s->first == SL_REVOCATION_UNKNOWN)
        failed(d, s, s->first, text, now);
    else
        failed(d, s, err->rc, sl_err_text(err), now);
}

void source_answer(struct sl_decider *d, struct source *s, enum sl_rc rc, const char *text,
                   struct sl_bytes body, struct sl_now now)
{
    struct gate *gate = s->gate;
    if (!s->asked && !s->held)
        d->to_ask--;
    s->question = 0;
    gate_report(s, rc == SL_OK || rc == SL_UNSUPPORTED || rc == SL_TOO_LARGE, text, now);
    struct sl_err err;
    sl_err_reset(&err);
    if (rc != SL_OK)
        (void)SL_FAIL(&err, SL_REVOCATION_UNAVAILABLE, "%s", text && *text ? text : sl_rc_text(rc));
    else if (source_take(d, s, body,
                         s->nonce ? sl_bytes(s->nonce_value, sizeof(s->nonce_value))
                                  : (struct sl_bytes){ 0 },
                         now, &err) == SL_OK)
        sl_err_reset(&err);
    if (err.rc == SL_OK) {
        memcpy(s->etag, s->new_etag, sizeof(s->etag));
        memcpy(s->modified, s->new_modified, sizeof(s->modified));
        source_succeeded(d, s, now);
    } else if (try_otherwise(d, s, rc, &err, now)) {
        gate_flow(d, gate, now);
        return;
    } else if (s->other_hash) {
        failed_both(d, s, &err, now);
    } else {
        failed(d, s, err.rc, sl_err_text(&err), now);
    }
    decider_wake(d, &s->waiting, now);
    gate_flow(d, gate, now);
}

void source_unchanged(struct sl_decider *d, struct source *s, struct sl_now now)
{
    if (!s->have) { /* we did not ask so */
        source_answer(d, s, SL_UNAVAILABLE, "the server says 304 (not modified) of nothing",
                      (struct sl_bytes){ 0 }, now);
        return;
    }
    struct gate *gate = s->gate;
    if (!s->asked && !s->held)
        d->to_ask--;
    s->question = 0;
    gate_report(s, true, NULL, now);
    if (s->kind == SOURCE_CRL && now.utc_s > sl_crl_next_update(s->crl))
        failed(d, s, SL_REVOCATION_STALE,
               "the server has no newer list than the one past its nextUpdate", now);
    else
        source_succeeded(d, s, now);
    decider_wake(d, &s->waiting, now);
    gate_flow(d, gate, now);
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
