/*
 * The OCSP responses of our own certificates, fetched before a peer asks for them in IKE (RFC 4806).
 * They are sources like those of peers' certificates: one fetch however many ask, remembered
 * failures, refreshed at about half their life, kept on disk. Here is only which there are, and
 * which of them may be handed over.
 */
#include "src/ident/internal.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct sl_own {
    struct sl_decider *d;
    const struct trust *trust;
    const struct sl_certs *chain;
    struct sl_cert *issuer[SL_CHAIN_MAX]; /* of chain->v[i]; NULL: not found yet */
};

enum sl_rc sl_own_new(struct sl_own **out, struct sl_decider *d, const char *trust,
                      const struct sl_certs *chain, struct sl_err *err)
{
    const struct trust *t = NULL;
    for (size_t i = 0; i < d->config->trust_n; i++)
        if (!strcmp(d->config->trust[i].name, trust))
            t = &d->trust[i];
    if (!t)
        return SL_FAIL(err, SL_NOT_FOUND, "trust section %s does not exist", trust);
    struct sl_own *own = calloc(1, sizeof(*own));
    if (!own)
        return SL_FAIL_MEM(err);
    own->d = d;
    own->trust = t;
    own->chain = chain;
    *out = own;
    return SL_OK;
}

void sl_own_free(struct sl_own *own)
{
    if (!own)
        return;
    for (size_t i = 0; i < SL_CHAIN_MAX; i++)
        sl_cert_free(own->issuer[i]);
    free(own);
}

/* ---- whose certificate issued ours ---------------------------------------------------------------- */
static struct sl_cert *issuer_among(const struct sl_certs *list, const struct sl_cert *cert)
{
    X509 *x = sl_cert_x509(cert);
    for (size_t i = 0; i < list->n; i++) {
        X509 *ca = sl_cert_x509(list->v[i]);
        if (X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(x)) == 0 &&
            X509_verify(x, X509_get0_pubkey(ca)) == 1)
            return sl_cert_ref(list->v[i]);
        ERR_clear_error();
    }
    return NULL;
}

static struct sl_cert *find_issuer(const struct sl_own *own, size_t at)
{
    const struct sl_decider *d = own->d;
    const struct sl_cert *cert = own->chain->v[at];
    struct sl_cert *found = issuer_among(own->chain, cert);
    for (size_t i = 0; i < d->config->trust_n && !found; i++) {
        found = issuer_among(&d->trust[i].anchors, cert);
        if (!found)
            found = issuer_among(&d->trust[i].intermediates, cert);
    }
    return found;
}

/* ---- what may be handed over ---------------------------------------------------------------------- */
/*
 * The key that signed a response, as a CERTREQ would name it. The response itself names a key by the
 * hash of its bits alone (RFC 6960 4.2.1), so the certificate is needed: the issuer's, that of a
 * configured responder, or the delegate's that came along.
 */
static bool responder_of(uint8_t out[20], const struct source *s)
{
    const struct sl_bytes der = sl_buf_bytes(&s->response);
    const unsigned char *p = der.p;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)der.len);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
    STACK_OF(X509) *known = sk_X509_new_null();
    X509 *signer = NULL;
    uint8_t *spki = NULL;
    int len = -1;
    if (basic && known && sk_X509_push(known, sl_cert_x509(s->issuer)) > 0 &&
        (!s->responder || sk_X509_push(known, sl_cert_x509(s->responder)) > 0) &&
        OCSP_resp_get0_signer(basic, &signer, known) == 1)
        len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(signer), &spki);
    if (len > 0)
        SHA1(spki, (size_t)len, out);
    OPENSSL_free(spki);
    sk_X509_free(known);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return len > 0;
}

/* False: nothing is known that holds now, so it is to be fetched. */
static bool look_at(struct sl_own *own, size_t at, struct source *s, struct sl_now now,
                    struct sl_own_status *out)
{
    const struct sl_cert *cert = own->chain->v[at];
    struct sl_rev_answer a = { 0 };
    struct sl_err err;
    sl_err_reset(&err);
    const enum sl_rc rc = source_ocsp(s, now.utc_s, &a, &err);
    if (rc == SL_OK && a.revoked)
        out->revoked = sl_cert_name(cert);
    /*
     * Only good news is handed over, and only while it is new: the peer that gets nothing asks the
     * responder itself. A response with a nonce was made for us, and is as good to others.
     */
    const struct sl_bytes response = sl_buf_bytes(&s->response);
    const int64_t left = a.next_update - now.utc_s;
    if (rc != SL_OK)
        return false;
    if (a.revoked || left <= 0 || response.len > SL_STAPLE_MAX_BYTES || out->n == SL_CHAIN_MAX)
        return true;
    struct sl_staple *staple = &out->staple[out->n];
    *staple = (struct sl_staple){ .depth = (uint8_t)at,
                                  .valid_s = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left,
                                  .response = response };
    if (responder_of(staple->responder, s))
        out->n++;
    return true;
}

static void look(struct sl_own *own, size_t at, const struct source_key *key, struct sl_now now,
                 struct sl_own_status *out)
{
    /* Its terms are the section's; but it says nothing about the section's peers. */
    const struct trust terms = { .conf = own->trust->conf, .index = SIZE_MAX };
    struct source *s = NULL;
    if (source_get(&s, own->d, key, &terms, now, NULL) == SL_OK && s &&
        !look_at(own, at, s, now, out))
        (void)source_fetch(own->d, s, now);
}

/* The responders that a certificate names come first: every peer takes their word. */
static void look_for(struct sl_own *own, size_t at, struct sl_now now, struct sl_own_status *out)
{
    const struct trust *t = own->trust;
    const char *uri[SL_CERT_URI_MAX];
    const size_t n = sl_cert_ocsp_uris(own->chain->v[at], uri);
    const bool configured = t->conf->responder && *t->conf->responder;
    if (!own->issuer[at] && (n || configured))
        own->issuer[at] = find_issuer(own, at);
    struct source_key key = { .kind = SOURCE_OCSP,
                              .cert = own->chain->v[at],
                              .issuer = own->issuer[at] };
    if (!key.issuer || sl_bytes_eq(sl_cert_der(key.cert), sl_cert_der(key.issuer)))
        return; /* a root has no status */
    for (size_t k = 0; k < n; k++) {
        key.uri = uri[k];
        if (strncasecmp(uri[k], "http", 4) == 0)
            look(own, at, &key, now, out);
    }
    if (configured) {
        key.uri = t->conf->responder;
        key.responder = t->responder.n ? t->responder.v[0] : NULL;
        key.configured = true;
        look(own, at, &key, now, out);
    }
}

void sl_own_look(struct sl_own *own, struct sl_now now, struct sl_own_status *out)
{
    *out = (struct sl_own_status){ 0 };
    for (size_t i = 0; own->trust->conf->ocsp && i < own->chain->n && i < SL_CHAIN_MAX; i++)
        look_for(own, i, now, out);
}
