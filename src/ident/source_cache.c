/*
 * The sources on disk: what was fetched survives a restart with every server dead. What is read back
 * is verified again as if it had come from the network; the cache is a help, never an authority. A
 * large CRL is a file of its own, so that it is not written again for each small answer.
 *
 *   magic (8), then for each source: kind (1), fetched (8), since (8), uri (16), etag (16), last
 *   modified (16), data (32; empty: only an outage is known), and behind it
 *     OCSP   issuer (32), certificate (32), configured responder (32; empty: none)
 *     CRL    number of signers (1), each (32), the one who signed first
 */
#include "src/ident/internal.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "SLREVC02";

struct saved {
    enum source_kind kind;
    int64_t fetched, since;
    struct sl_bytes uri, etag, modified, data;
    struct sl_bytes issuer, cert, responder;
    struct sl_bytes signer[IDENT_SIGNERS_MAX];
    size_t signer_n;
};

static struct sl_bytes der_of(const struct sl_cert *c)
{
    return c ? sl_cert_der(c) : (struct sl_bytes){ 0 };
}

static void put_certs(struct sl_wr *w, const struct sl_certs *certs)
{
    struct sl_buf all = { 0 };
    bool ok = true;
    /* PEM, as certs_read takes it back */
    for (size_t i = 0; i < certs->n; i++) {
        struct sl_bytes der = sl_cert_der(certs->v[i]);
        size_t room = (der.len + 2) / 3 * 4 + 1;
        unsigned char *text = malloc(room);
        int n = text ? EVP_EncodeBlock(text, der.p, (int)der.len) : -1;
        ok = ok && n > 0 && sl_buf_put_str(&all, "-----BEGIN CERTIFICATE-----\n");
        for (int at = 0; ok && at < n; at += 64)
            ok = sl_buf_put(&all, sl_bytes(text + at, (size_t)(n - at < 64 ? n - at : 64))) &&
                 sl_buf_put_str(&all, "\n");
        ok = ok && sl_buf_put_str(&all, "-----END CERTIFICATE-----\n");
        free(text);
    }
    sl_wr_part32(w, ok ? sl_buf_bytes(&all) : (struct sl_bytes){ 0 });
    sl_buf_clear(&all);
}

static void put_data(struct sl_wr *w, const struct source *s)
{
    if (!s->have) {
        sl_wr_part32(w, (struct sl_bytes){ 0 });
        return;
    }
    switch (s->kind) {
    case SOURCE_CRL:
        sl_wr_part32(w, sl_crl_der(s->crl));
        return;
    case SOURCE_OCSP:
        sl_wr_part32(w, sl_buf_bytes(&s->response));
        return;
    case SOURCE_CERT:
        put_certs(w, &s->certs);
        return;
    }
}

static void put_source(struct sl_wr *w, const struct source *s)
{
    sl_wr_u8(w, (uint8_t)s->kind);
    sl_wr_u64(w, (uint64_t)s->fetched_utc_s);
    sl_wr_u64(w, (uint64_t)s->since_utc_s);
    sl_wr_str16(w, s->uri);
    sl_wr_str16(w, s->etag);
    sl_wr_str16(w, s->modified);
    put_data(w, s);
    if (s->kind == SOURCE_OCSP) {
        sl_wr_part32(w, sl_cert_der(s->issuer));
        sl_wr_part32(w, sl_cert_der(s->cert));
        sl_wr_part32(w, der_of(s->responder));
    } else if (s->kind == SOURCE_CRL) {
        sl_wr_u8(w, (uint8_t)s->signer_n);
        for (size_t i = 0; i < s->signer_n; i++)
            sl_wr_part32(w, sl_cert_der(s->signer[i]));
    }
}

static bool is_large(const struct source *s)
{
    return s->kind == SOURCE_CRL && s->crl && sl_crl_der(s->crl).len >= IDENT_APART_BYTES;
}

enum sl_rc sl_decider_save(struct sl_decider *d, struct sl_buf *out, struct sl_err *err)
{
    struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
    sl_wr_put(&w, sl_str(magic));
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s))
        if ((s->have || s->since_utc_s) && !is_large(s))
            put_source(&w, s);
    d->dirty = false;
    return sl_wr_ok(&w)
               ? SL_OK
               : SL_FAIL(err, SL_TOO_LARGE, "the revocation cache is too large to be saved");
}

bool sl_decider_save_next(struct sl_decider *d, char name[SL_CACHE_NAME], struct sl_buf *out)
{
    for (struct source *s = decider_source(d, NULL); s; s = decider_source(d, s)) {
        if (!s->unsaved || !is_large(s))
            continue;
        s->unsaved = false;
        struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
        sl_wr_put(&w, sl_str(magic));
        put_source(&w, s);
        for (size_t i = 0; i < 16; i++)
            snprintf(name + 2 * i, 3, "%02x", s->key[i]);
        snprintf(name + 32, SL_CACHE_NAME - 32, ".crl");
        return sl_wr_ok(&w);
    }
    return false;
}

/* ---- reading ------------------------------------------------------------------------------------------- */
static bool read_saved(struct saved *o, struct sl_rd *r)
{
    *o = (struct saved){ .kind = (enum source_kind)sl_rd_u8(r) };
    o->fetched = (int64_t)sl_rd_u64(r);
    o->since = (int64_t)sl_rd_u64(r);
    o->uri = sl_rd_part16(r);
    o->etag = sl_rd_part16(r);
    o->modified = sl_rd_part16(r);
    o->data = sl_rd_part32(r);
    switch (o->kind) {
    case SOURCE_OCSP:
        o->issuer = sl_rd_part32(r);
        o->cert = sl_rd_part32(r);
        o->responder = sl_rd_part32(r);
        break;
    case SOURCE_CRL:
        o->signer_n = sl_rd_u8(r);
        if (o->signer_n > IDENT_SIGNERS_MAX)
            return false;
        for (size_t i = 0; i < o->signer_n; i++)
            o->signer[i] = sl_rd_part32(r);
        break;
    case SOURCE_CERT:
        break;
    default:
        return false;
    }
    return sl_rd_ok(r);
}

static void copy_text(char *out, size_t cap, struct sl_bytes v)
{
    size_t n = v.len < cap && !memchr(v.len ? v.p : (const void *)"", '\0', v.len) ? v.len : 0;
    if (n)
        memcpy(out, v.p, n);
    out[n] = '\0';
}

static bool read_cert(struct sl_cert **out, struct sl_bytes der)
{
    return der.len == 0 || sl_cert_read(out, der, NULL) == SL_OK;
}

/*
 * One source; what does not verify is left out. A responder that is named as configured counts only
 * for a section that configures the very same: it is part of the key that a decision looks for.
 */
static void load_one(struct sl_decider *d, const struct saved *o, const char *uri,
                     struct sl_now now)
{
    SL_AUTO(sl_cert) *issuer = NULL;
    SL_AUTO(sl_cert) *cert = NULL;
    SL_AUTO(sl_cert) *responder = NULL;
    struct source *s = NULL;
    if (!read_cert(&issuer, o->issuer) || !read_cert(&cert, o->cert) ||
        !read_cert(&responder, o->responder) || (o->kind == SOURCE_OCSP && (!issuer || !cert)))
        return;
    struct source_key key = {
        .kind = o->kind, .uri = uri, .cert = cert, .issuer = issuer, .responder = responder
    };
    if (source_get(&s, d, &key, NULL, now, NULL) != SL_OK || !s)
        return;
    if (s->deadline_ms == 0)
        s->deadline_ms = 5000; /* until a decision says otherwise */
    for (size_t i = o->signer_n; i-- > 0;) {
        SL_AUTO(sl_cert) *signer = NULL;
        if (sl_cert_read(&signer, o->signer[i], NULL) == SL_OK)
            source_signer(d, s, signer, now);
    }
    struct sl_err err;
    sl_err_reset(&err);
    if (o->data.len && source_take(d, s, o->data, (struct sl_bytes){ 0 }, now, &err) == SL_OK)
        source_succeeded(d, s, now);
    s->unsaved = false;
    if (s->have) {
        copy_text(s->etag, sizeof(s->etag), o->etag);
        copy_text(s->modified, sizeof(s->modified), o->modified);
    }
    if (o->fetched > 0 && o->fetched <= now.utc_s)
        s->fetched_utc_s = o->fetched;
    if (o->since > 0 && o->since <= now.utc_s)
        s->since_utc_s = o->since;
}

enum sl_rc sl_decider_load(struct sl_decider *d, struct sl_bytes in, struct sl_now now,
                           struct sl_err *err)
{
    struct sl_rd r = sl_rd(in);
    bool changed = d->changed;
    if (!sl_bytes_eq(sl_rd_take(&r, sizeof(magic) - 1), sl_str(magic)))
        return SL_FAIL(err, SL_MALFORMED, "revocation cache: not in a form that is known");
    while (sl_rd_ok(&r) && !sl_rd_done(&r)) {
        struct saved o;
        if (!read_saved(&o, &r))
            return SL_FAIL(err, SL_MALFORMED, "revocation cache: cut short");
        char *uri = sl_strdup_bytes(o.uri);
        if (uri)
            load_one(d, &o, uri, now);
        free(uri);
    }
    d->dirty = false;
    d->changed = changed;
    return SL_OK;
}
