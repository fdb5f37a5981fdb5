/*
 * SCEP server (RFC 8894): reads a request, hands what it asks to the authority, wraps the answer.
 * HTTP is the shell's.
 *
 *   GetCACaps                      -->
 *                                  <--  keywords
 *   GetCACert                      -->
 *                                  <--  CA (and RA) certificates
 *   PKCSReq, RenewalReq, CertPoll  -->
 *                                  <--  CertRep: SUCCESS, PENDING or FAILURE
 */
#include "enroll/ca_internal.h"
#include "enroll/scep_message.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct sl_scep_server {
    struct sl_ca *ca;
    const struct sl_ca_env *env;
    struct scep_algs algs;
};

enum sl_rc sl_scep_server_new(struct sl_scep_server **out, struct sl_ca *ca,
                              const struct sl_ca_env *env, bool legacy, struct sl_err *err)
{
    SL_AUTO(sl_scep_server) *s = calloc(1, sizeof(*s));
    if (!s)
        return SL_FAIL_MEM(err);
    s->ca = ca;
    s->env = env;
    SL_TRY(scep_algs_init(&s->algs, legacy, err));
    *out = sl_steal(&s);
    return SL_OK;
}

void sl_scep_server_free(struct sl_scep_server *s)
{
    if (!s)
        return;
    scep_algs_clear(&s->algs);
    free(s);
}

/* Who speaks SCEP: the RA where there is one, else the (RSA) issuing CA. */
static struct ca_member *speaker(struct sl_scep_server *s)
{
    struct ca_member *ra = &s->ca->member[SL_CA_RA];
    return ra->cert ? ra : &s->ca->member[SL_CA_ISSUING];
}

/* ---- GetCACaps, GetCACert ------------------------------------------------------------------------------ */

static uint32_t our_caps(const struct sl_scep_server *s)
{
    uint32_t caps = SL_SCEP_CAP_AES | SL_SCEP_CAP_POST | SL_SCEP_CAP_SHA256 | SL_SCEP_CAP_SHA384 |
                    SL_SCEP_CAP_SHA512 | SL_SCEP_CAP_STANDARD | SL_SCEP_CAP_PROOF;
    if (s->env->conf->renewal)
        caps |= SL_SCEP_CAP_RENEWAL;
    if (s->algs.legacy)
        caps |= SL_SCEP_CAP_DES3 | SL_SCEP_CAP_SHA1;
    return caps;
}

static enum sl_rc get_caps(struct sl_scep_server *s, struct sl_scep_reply *reply,
                           struct sl_err *err)
{
    reply->content_type = "text/plain";
    return sl_scep_caps_write(&reply->body, our_caps(s)) ? SL_OK : SL_FAIL_MEM(err);
}

/* The issuing CA first, then the RA, then the root, so that a client can build the whole chain. */
static enum sl_rc get_cert(struct sl_scep_server *s, struct sl_scep_reply *reply,
                           struct sl_err *err)
{
    static const enum sl_ca_role order[] = { SL_CA_ISSUING, SL_CA_RA, SL_CA_ROOT };
    SL_TRY(ca_need_ready(s->ca, err));
    xb_x509_stack *certs = sk_X509_new_null();
    bool ok = certs != NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(order) && ok; i++) {
        X509 *x = s->ca->member[order[i]].cert;
        ok = !x || sk_X509_push(certs, x) > 0;
    }
    enum sl_rc rc = ok ? scep_certs_write(&reply->body, certs, err) : SL_FAIL_MEM(err);
    sk_X509_free(certs); /* the certificates stay the authority's */
    reply->content_type = "application/x-x509-ca-ra-cert";
    return rc;
}

/* ---- PKIOperation ---------------------------------------------------------------------------------------- */

/* failInfo for a refusal (RFC 8894 3.2.1.4). */
static enum scep_fail fail_of(enum sl_rc rc)
{
    switch (rc) {
    case SL_SCEP_LEGACY:
    case SL_SCEP_BAD_ALG:
    case SL_WEAK_ALGORITHM:
        return SCEP_BAD_ALG;
    case SL_SCEP_SIGNATURE:
    case SL_SCEP_DECRYPT:
    case SL_SCEP_MALFORMED:
    case SL_CA_REQUEST_SIGNATURE:
        return SCEP_BAD_MESSAGE_CHECK;
    case SL_NOT_FOUND:
        return SCEP_BAD_CERT_ID;
    default:
        return SCEP_BAD_REQUEST;
    }
}

/*
 * What the asker is told in words. Faults of ours are not its business; refusals are, so that the
 * person at the device knows what to do.
 */
static const char *told(enum sl_rc rc, const struct sl_err *err)
{
    switch (rc) {
    case SL_SCEP_DECRYPT: /* one text for all ways in which it can fail */
        return "the envelope cannot be opened";
    case SL_STORE:
    case SL_CRYPTO:
    case SL_INTERNAL:
    case SL_NO_MEMORY:
    case SL_IO:
    case SL_PROC_GONE:
    case SL_TIMEOUT:
    case SL_KEY_NOT_FOUND:
        return "the authority has a fault of its own, try again later";
    default:
        return sl_err_text(err);
    }
}

/* Wraps an answer; cert empty but for SUCCESS. The reply's cipher and digest are the request's. */
static enum sl_rc cert_rep(struct sl_scep_server *s, const struct scep_message *req,
                           struct scep_attrs *attrs, struct sl_bytes cert, int cipher_nid,
                           int64_t now, struct sl_buf *out, struct sl_err *err)
{
    struct ca_member *me = speaker(s);
    attrs->type = SCEP_CERT_REP;
    attrs->has_status = true;
    snprintf(attrs->transaction_id, sizeof(attrs->transaction_id), "%s", req->attrs.transaction_id);
    attrs->has_recipient_nonce = req->attrs.has_sender_nonce;
    memcpy(attrs->recipient_nonce, req->attrs.sender_nonce, SCEP_NONCE_LEN);
    attrs->has_sender_nonce = true;
    sl_rng_fill(&s->env->rng, attrs->sender_nonce, SCEP_NONCE_LEN);
    SL_AUTO_BUF content = { 0 };
    if (cert.len) {
        XB_AUTO(X509) *x = NULL;
        SL_TRY(xb_cert_read(&x, cert, err));
        xb_x509_stack *one = sk_X509_new_null();
        SL_AUTO_BUF list = { 0 };
        enum sl_rc rc =
            one && sk_X509_push(one, x) > 0 ? scep_certs_write(&list, one, err) : SL_FAIL_MEM(err);
        sk_X509_free(one);
        SL_TRY(rc);
        SL_TRY(scep_envelope_write(&content, &s->algs, sl_buf_bytes(&list), req->signer, cipher_nid,
                                   err));
    }
    /*
     * A request with SHA-1 (refused, or taken under `legacy`) is answered with SHA-256: a CA's key
     * must not make SHA-1 signatures over what a stranger had a hand in.
     */
    int md = req->digest_nid;
    bool usable = md == NID_sha256 || md == NID_sha384 || md == NID_sha512;
    return scep_message_write(out, &s->algs, attrs, sl_buf_bytes(&content), me->cert, me->pkey,
                              usable ? md : NID_sha256, now, err);
}

static bool self_signed(X509 *x)
{
    bool is = X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0 &&
              X509_verify(x, X509_get0_pubkey(x)) == 1;
    ERR_clear_error();
    return is;
}

static bool names_our_ca(const struct sl_scep_server *s, X509 *x)
{
    X509 *ca = s->ca->member[SL_CA_ISSUING].cert;
    return X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)) == 0;
}

/*
 * PKCSReq and RenewalReq (RFC 8894 3.3.1): the request's own signature proves the new key, the
 * challenge or the old certificate gives the right. The old certificate is the message's signer,
 * or, for keys SCEP cannot use, the one of the renewal proof. Older clients sign a PKCSReq with the
 * certificate they want renewed; one from elsewhere (a maker's) gives no right here.
 */
static enum sl_rc enrol(struct sl_scep_server *s, const struct scep_message *m,
                        struct sl_bytes plain, const char *source, int64_t now,
                        struct sl_ca_answer *answer, struct sl_err *err)
{
    XB_AUTO(X509) *proven = NULL;
    if (m->proof.len)
        SL_TRY(
            scep_proof_read(&proven, sl_buf_bytes(&m->proof), m->attrs.transaction_id, plain, err));
    struct sl_ca_request req = {
        .transaction_id = m->attrs.transaction_id,
        .csr = plain,
        .signer = m->signer,
        .source = source,
    };
    if (proven)
        req.old = proven;
    else if (m->attrs.type == SCEP_RENEWAL_REQ ? !self_signed(m->signer)
                                               : names_our_ca(s, m->signer))
        req.old = m->signer;
    if (m->attrs.type == SCEP_RENEWAL_REQ && !req.old)
        return SL_FAIL(err, SL_CA_RENEWAL,
                       "RenewalReq is not signed with a certificate of this CA (RFC 8894 3.3.1.2)");
    return sl_ca_submit(s->ca, &req, now, answer, err);
}

static enum sl_rc poll(struct sl_scep_server *s, const struct scep_message *m,
                       struct sl_bytes plain, int64_t now, struct sl_ca_answer *answer,
                       struct sl_err *err)
{
    XB_AUTO(X509_NAME) *issuer = NULL;
    XB_AUTO(X509_NAME) *subject = NULL;
    SL_TRY(scep_poll_read(&issuer, &subject, plain, err));
    X509_NAME *ours = X509_get_subject_name(s->ca->member[SL_CA_ISSUING].cert);
    X509_NAME *ra = X509_get_subject_name(speaker(s)->cert);
    if (X509_NAME_cmp(issuer, ours) != 0 && X509_NAME_cmp(issuer, ra) != 0)
        return SL_FAIL(err, SL_NOT_FOUND, "CertPoll names another issuer");
    return sl_ca_poll(s->ca, m->attrs.transaction_id, m->signer, now, answer, err);
}

static enum sl_rc serve(struct sl_scep_server *s, const struct scep_message *m, int *cipher_nid,
                        const char *source, int64_t now, struct sl_ca_answer *answer,
                        struct sl_err *err)
{
    struct ca_member *me = speaker(s);
    enum scep_type type = m->attrs.type;
    if (type != SCEP_PKCS_REQ && type != SCEP_RENEWAL_REQ && type != SCEP_CERT_POLL)
        return SL_FAIL(err, SL_UNSUPPORTED, "messageType %d is not served here", (int)type);
    if (!m->attrs.has_sender_nonce)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "request has no senderNonce (RFC 8894 3.2.1.5)");
    SL_AUTO_BUF plain = { 0 };
    enum sl_rc rc = scep_envelope_read(&plain, cipher_nid, &s->algs, sl_buf_bytes(&m->content),
                                       me->cert, me->pkey, err);
    if (rc == SL_OK)
        rc = type == SCEP_CERT_POLL ? poll(s, m, sl_buf_bytes(&plain), now, answer, err)
                                    : enrol(s, m, sl_buf_bytes(&plain), source, now, answer, err);
    sl_buf_wipe(&plain); /* the request holds the challenge */
    return rc;
}

/* The CertRep for what serve said; also where it refused, once the transaction is known. */
static enum sl_rc pki_operation(struct sl_scep_server *s, struct sl_bytes der, const char *source,
                                int64_t now, struct sl_scep_reply *reply, struct sl_err *err)
{
    SL_TRY(ca_need_ready(s->ca, err));
    struct scep_message m = { 0 };
    struct sl_ca_answer answer = { 0 };
    struct scep_attrs attrs = { 0 };
    struct sl_err why = { 0 };
    int cipher = NID_aes_256_cbc;
    enum sl_rc rc = scep_message_read(&m, &s->algs, der, NULL, &why);
    if (rc != SL_OK && !m.attrs.transaction_id[0]) {
        scep_message_clear(&m);
        *err = why;
        return rc;
    }
    if (rc == SL_OK)
        rc = serve(s, &m, &cipher, source, now, &answer, &why);
    reply->rc = rc;
    if (rc != SL_OK) {
        attrs.status = SCEP_FAILURE;
        attrs.fail = fail_of(rc);
        sl_printable(attrs.fail_text, sizeof(attrs.fail_text), sl_str(told(rc, &why)));
        snprintf(reply->text, sizeof(reply->text), "%s", sl_err_text(&why));
    } else if (answer.outcome == SL_CA_PENDING) {
        attrs.status = SCEP_PENDING;
        reply->rc = SL_SCEP_PENDING;
        snprintf(reply->text, sizeof(reply->text), "request %lld waits for approval",
                 (long long)answer.request);
    } else {
        attrs.status = SCEP_SUCCESS;
        snprintf(reply->text, sizeof(reply->text), "certificate %s", answer.serial);
    }
    reply->content_type = "application/x-pki-message";
    rc = cert_rep(s, &m, &attrs, sl_buf_bytes(&answer.der), cipher, now, &reply->body, err);
    sl_buf_clear(&answer.der);
    scep_message_clear(&m);
    return rc;
}

/* ---- HTTP ---------------------------------------------------------------------------------------------------- */

static enum sl_rc pki_operation_http(struct sl_scep_server *s, const struct sl_scep_http *req,
                                     int64_t now, struct sl_scep_reply *reply, struct sl_err *err)
{
    if (req->message.len > SL_SCEP_MESSAGE_MAX / 3 * 4)
        return SL_FAIL(err, SL_TOO_LARGE, "message has %zu bytes", req->message.len);
    if (req->post)
        return pki_operation(s, req->message, req->source, now, reply, err);
    SL_AUTO_BUF der = { 0 };
    if (!sl_unbase64(&der, req->message))
        return SL_FAIL(err, SL_SCEP_MALFORMED, "message of the GET request is not base64");
    return pki_operation(s, sl_buf_bytes(&der), req->source, now, reply, err);
}

void sl_scep_server_handle(struct sl_scep_server *s, const struct sl_scep_http *req, int64_t now,
                           struct sl_scep_reply *reply)
{
    struct sl_err err = { 0 };
    *reply = (struct sl_scep_reply){ .status = 200, .content_type = "text/plain" };
    enum sl_rc rc;
    int bad = 400;
    if (strcasecmp(req->operation, "GetCACaps") == 0) {
        rc = get_caps(s, reply, &err);
    } else if (strcasecmp(req->operation, "GetCACert") == 0) {
        rc = get_cert(s, reply, &err);
    } else if (strcasecmp(req->operation, "PKIOperation") == 0) {
        rc = pki_operation_http(s, req, now, reply, &err);
    } else {
        rc = SL_FAIL(&err, SL_UNSUPPORTED, "SCEP operation is unknown or missing");
        bad = 404;
    }
    ERR_clear_error();
    if (rc == SL_OK)
        return;
    if (rc == SL_CA_NOT_INITIALISED)
        bad = 503;
    else if (rc != SL_SCEP_MALFORMED && rc != SL_TOO_LARGE && rc != SL_UNSUPPORTED)
        bad = 500;
    sl_buf_clear(&reply->body);
    reply->status = bad;
    reply->content_type = "text/plain";
    reply->rc = rc;
    snprintf(reply->text, sizeof(reply->text), "%s", sl_err_text(&err));
    /* a body that cannot be made is an empty one: the status says enough */
    if (!sl_buf_put_str(&reply->body, bad == 500 ? "internal error\n" : sl_rc_text(rc)))
        sl_buf_clear(&reply->body);
}
