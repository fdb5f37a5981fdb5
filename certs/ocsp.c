/*
 * OCSP, the client's side (RFC 6960, RFC 5019, RFC 8954): the request for one certificate, and what
 * a response is worth. libcrypto decodes and verifies signatures; what holds, for whom and how long
 * is decided here, who may sign in ocsp_signer.c.
 */
#include "certs/ocsp.h"
#include "certs/der.h"
#include "sealane/revocation.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <string.h>

#define NONCE_MAX 32 /* RFC 8954 2.1 */

/* ---- request ----------------------------------------------------------------------------------- */
static const EVP_MD *md_of(unsigned bits)
{
    return bits == 256 ? EVP_sha256() : EVP_sha1();
}

enum sl_rc sl_ocsp_request(struct sl_buf *out, const struct sl_cert *cert,
                           const struct sl_cert *issuer, unsigned bits, struct sl_bytes nonce,
                           struct sl_err *err)
{
    if (nonce.len > NONCE_MAX)
        return SL_FAIL(err, SL_TOO_LARGE,
                       "OCSP request: nonce of %zu bytes, at most %d are sent (RFC 8954 2.1)",
                       nonce.len, NONCE_MAX);
    OCSP_REQUEST *req = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(md_of(bits), sl_cert_x509(cert), sl_cert_x509(issuer));
    unsigned char *der = NULL;
    int n = 0;
    bool ok = req && id && OCSP_request_add0_id(req, id);
    if (ok)
        id = NULL; /* owned by req */
    if (ok && nonce.len)
        ok = OCSP_request_add1_nonce(req, (unsigned char *)(uintptr_t)nonce.p, (int)nonce.len) > 0;
    if (ok)
        ok = (n = i2d_OCSP_REQUEST(req, &der)) > 0 && sl_buf_put(out, sl_bytes(der, (size_t)n));
    OPENSSL_free(der);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(req);
    if (!ok)
        return SL_FAIL_SSL(err, SL_NO_MEMORY, "OCSP request for certificate %s cannot be made",
                           sl_cert_name(cert));
    return SL_OK;
}

/* ---- which answer is ours ---------------------------------------------------------------------- */
/* The certificate's CertID by both hashes that are asked with. */
struct ids {
    OCSP_CERTID *sha1, *sha256;
};

static bool ids_init(struct ids *ids, const struct ocsp_ask *ask)
{
    X509 *cert = sl_cert_x509(ask->cert), *issuer = sl_cert_x509(ask->issuer);
    ids->sha1 = OCSP_cert_to_id(EVP_sha1(), cert, issuer);
    ids->sha256 = OCSP_cert_to_id(EVP_sha256(), cert, issuer);
    return ids->sha1 && ids->sha256;
}

static void ids_clear(struct ids *ids)
{
    OCSP_CERTID_free(ids->sha1);
    OCSP_CERTID_free(ids->sha256);
}

/* RFC 6960 3.2 (1): hash of the issuer's name, hash of its key and serial, all three. */
static bool is_ours(const OCSP_SINGLERESP *single, const struct ids *ids)
{
    OCSP_CERTID *have = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *md = NULL;
    if (!OCSP_id_get0_info(NULL, &md, NULL, NULL, have))
        return false;
    switch (OBJ_obj2nid(md)) {
    case NID_sha1:
        return OCSP_id_cmp(ids->sha1, have) == 0;
    case NID_sha256:
        return OCSP_id_cmp(ids->sha256, have) == 0;
    default:
        return false;
    }
}

/* ---- one answer -------------------------------------------------------------------------------- */
struct single {
    int status; /* V_OCSP_CERTSTATUS_* */
    struct sl_rev_answer a;
};

/* RFC 6960 4.4: archiveCutoff and CrlID are understood, and change nothing here. */
static bool known_in_single(int nid)
{
    return nid == NID_id_pkix_OCSP_archiveCutoff || nid == NID_id_pkix_OCSP_CrlID;
}

static enum sl_rc read_single(struct single *out, OCSP_SINGLERESP *s, int64_t now,
                              struct sl_err *err)
{
    for (int i = 0; i < OCSP_SINGLERESP_get_ext_count(s); i++) {
        X509_EXTENSION *e = OCSP_SINGLERESP_get_ext(s, i);
        if (X509_EXTENSION_get_critical(e) &&
            !known_in_single(OBJ_obj2nid(X509_EXTENSION_get_object(e))))
            return SL_FAIL(err, SL_REVOCATION_INVALID,
                           "OCSP response: a critical extension is not known (RFC 6960 4.4)");
    }
    int reason = -1;
    ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
    struct sl_rev_answer a = { .why = "" };
    char when[SL_TIME_TEXT];
    out->status = OCSP_single_get0_status(s, &reason, &revoked, &this_update, &next_update);
    if (!certs_time(&a.this_update, this_update) ||
        (next_update && !certs_time(&a.next_update, next_update)))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: its times cannot be read (RFC 6960 4.2.2.1)");
    if (!next_update)
        a.next_update = a.this_update + SL_OCSP_NO_NEXT_S;
    if (a.next_update < a.this_update)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: nextUpdate %s lies before thisUpdate (RFC 6960 4.2.2.1)",
                       sl_time_text(when, a.next_update));
    if (a.this_update > now + SL_REV_SKEW_S)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: thisUpdate %s lies in the future (RFC 6960 4.2.2.1)",
                       sl_time_text(when, a.this_update));
    if (out->status == V_OCSP_CERTSTATUS_REVOKED) { /* whatever the reason, hold too */
        a.revoked = true;
        a.why = reason < 0 ? "" : OCSP_crl_reason_str(reason);
        if (!certs_time(&a.revoked_utc_s, revoked))
            a.revoked_utc_s = 0;
    }
    out->a = a;
    return SL_OK;
}

/*
 * Of several answers for the certificate the latest counts; of two that are equally late, the one
 * that revokes. Those that break a rule are passed over while there is another.
 */
static enum sl_rc pick(struct single *best, OCSP_BASICRESP *basic, const struct ids *ids,
                       const struct ocsp_ask *ask, struct sl_err *err)
{
    enum sl_rc rc = SL_OK;
    bool any = false, ok = false;
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *s = OCSP_resp_get0(basic, i);
        if (!is_ours(s, ids))
            continue;
        struct single one;
        enum sl_rc this_rc = read_single(&one, s, ask->now_utc_s, any ? NULL : err);
        if (!any)
            rc = this_rc;
        any = true;
        if (this_rc != SL_OK)
            continue;
        if (!ok || one.a.this_update > best->a.this_update ||
            (one.a.this_update == best->a.this_update && one.a.revoked))
            *best = one;
        ok = true;
    }
    if (!any)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: it says nothing about certificate %s (RFC 6960 3.2)",
                       sl_cert_name(ask->cert));
    return ok ? SL_OK : rc;
}

/* ---- the response ------------------------------------------------------------------------------ */
static enum sl_rc check_nonce(OCSP_BASICRESP *basic, struct sl_bytes nonce, struct sl_err *err)
{
    if (nonce.len == 0)
        return SL_OK;
    int at = OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, -1);
    if (at < 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: it lacks the nonce that was asked for (RFC 8954 2.1)");
    if (OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, at) >= 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: it has more than one nonce (RFC 8954 2.1)");
    const ASN1_OCTET_STRING *v = X509_EXTENSION_get_data(OCSP_BASICRESP_get_ext(basic, at));
    /* The value is an OCTET STRING inside; some responders leave that wrapping out. */
    struct sl_bytes have = sl_bytes(ASN1_STRING_get0_data(v), (size_t)ASN1_STRING_length(v));
    if (have.len == nonce.len + 2 && have.p[0] == 0x04 && have.p[1] == nonce.len)
        have = sl_bytes_slice(have, 2, nonce.len);
    if (!sl_bytes_eq(have, nonce))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: its nonce is of another request (RFC 8954 2.1)");
    return SL_OK;
}

static enum sl_rc check_head(OCSP_BASICRESP *basic, int64_t now, struct sl_err *err)
{
    for (int i = 0; i < OCSP_BASICRESP_get_ext_count(basic); i++) {
        X509_EXTENSION *e = OCSP_BASICRESP_get_ext(basic, i);
        if (X509_EXTENSION_get_critical(e) &&
            OBJ_obj2nid(X509_EXTENSION_get_object(e)) != NID_id_pkix_OCSP_Nonce)
            return SL_FAIL(err, SL_REVOCATION_INVALID,
                           "OCSP response: a critical extension is not known (RFC 6960 4.4)");
    }
    int64_t produced = 0;
    char when[SL_TIME_TEXT];
    if (!certs_time(&produced, OCSP_resp_get0_produced_at(basic)))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: producedAt cannot be read (RFC 6960 4.2.2.1)");
    if (produced > now + SL_REV_SKEW_S)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: producedAt %s lies in the future (RFC 6960 4.2.2.1)",
                       sl_time_text(when, produced));
    return SL_OK;
}

static enum sl_rc judge(struct single *out, OCSP_BASICRESP *basic, const struct ocsp_ask *ask,
                        struct sl_cert **delegate, struct sl_err *err)
{
    struct ids ids;
    enum sl_rc rc = SL_OK;
    if (!ids_init(&ids, ask))
        rc = SL_FAIL_MEM(err);
    else
        rc = pick(out, basic, &ids, ask, err);
    ids_clear(&ids);
    SL_TRY(rc);
    SL_TRY(check_head(basic, ask->now_utc_s, err));
    SL_TRY(check_nonce(basic, ask->nonce, err));
    SL_TRY(ocsp_check_signer(basic, ask, &out->a, delegate, err));
    if (out->status != V_OCSP_CERTSTATUS_GOOD && out->status != V_OCSP_CERTSTATUS_REVOKED)
        return SL_FAIL(err, SL_REVOCATION_UNKNOWN,
                       "certificate %s: OCSP responder %s does not know it (RFC 6960 2.2)",
                       sl_cert_name(ask->cert), out->a.responder);
    return SL_OK;
}

/*
 * OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] SEQUENCE { OID,
 * OCTET STRING } OPTIONAL }. libcrypto would let bytes pass that follow what the OCTET STRING holds.
 */
static OCSP_BASICRESP *basic_of(struct sl_bytes der, OCSP_RESPONSE *resp)
{
    struct certs_tlv t;
    if (!certs_take_tag(&der, &t, V_ASN1_SEQUENCE))
        return NULL;
    struct sl_bytes in = t.body;
    if (!certs_take_tag(&in, &t, V_ASN1_ENUMERATED) || !certs_take(&in, &t) || in.len)
        return NULL;
    in = t.body;
    if (!certs_take_tag(&in, &t, V_ASN1_SEQUENCE) || in.len)
        return NULL;
    in = t.body;
    if (!certs_take_tag(&in, &t, V_ASN1_OBJECT) || !certs_take_tag(&in, &t, V_ASN1_OCTET_STRING) ||
        in.len)
        return NULL;
    const unsigned char *p = t.body.p;
    OCSP_BASICRESP *whole = d2i_OCSP_BASICRESP(NULL, &p, (long)t.body.len);
    bool ok = whole && p == t.body.p + t.body.len;
    OCSP_BASICRESP_free(whole);
    return ok ? OCSP_response_get1_basic(resp) : NULL; /* checks the type as well */
}

static enum sl_rc check_response(struct single *out, struct sl_bytes der,
                                 const struct ocsp_ask *ask, struct sl_cert **delegate,
                                 struct sl_err *err)
{
    if (der.len == 0 || der.len > SL_OCSP_MAX_BYTES)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "OCSP response has %zu bytes, 1 to %d are read",
                       der.len, SL_OCSP_MAX_BYTES);
    const unsigned char *p = der.p;
    OCSP_RESPONSE *resp = d2i_OCSP_RESPONSE(NULL, &p, (long)der.len);
    OCSP_BASICRESP *basic = NULL;
    enum sl_rc rc = SL_OK;
    if (!resp || p != der.p + der.len)
        rc = SL_FAIL(err, SL_REVOCATION_INVALID, "OCSP response cannot be decoded");
    else if (OCSP_response_status(resp) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        rc = SL_FAIL(err, SL_REVOCATION_UNAVAILABLE,
                     "OCSP responder answers \"%s\" for certificate %s (RFC 6960 4.2.1)",
                     OCSP_response_status_str(OCSP_response_status(resp)), sl_cert_name(ask->cert));
    else if (!(basic = basic_of(der, resp)))
        rc = SL_FAIL(err, SL_REVOCATION_INVALID,
                     "OCSP response is not one of the basic type, whole and alone");
    else
        rc = judge(out, basic, ask, delegate, err);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(resp);
    ERR_clear_error();
    return rc;
}

static enum sl_rc check(struct sl_bytes der, const struct ocsp_ask *ask, struct sl_rev_answer *out,
                        struct sl_cert **delegate, struct sl_err *err)
{
    struct single s = { 0 };
    SL_AUTO(sl_cert) *found = NULL;
    SL_TRY(check_response(&s, der, ask, &found, err));
    *out = s.a;
    if (delegate)
        *delegate = sl_steal(&found);
    char when[SL_TIME_TEXT];
    int64_t now = ask->now_utc_s;
    if (now > s.a.next_update)
        return SL_FAIL(
            err, SL_REVOCATION_STALE,
            "OCSP response for certificate %s: nextUpdate %s passed %lld s ago (RFC 6960 "
            "4.2.2.1)",
            sl_cert_name(ask->cert), sl_time_text(when, s.a.next_update),
            (long long)(now - s.a.next_update));
    return SL_OK;
}

enum sl_rc sl_ocsp_check_delegated(struct sl_bytes der, const struct sl_cert *cert,
                                   const struct sl_cert *issuer, const struct sl_cert *extra,
                                   struct sl_bytes nonce, int64_t now, struct sl_rev_answer *out,
                                   struct sl_cert **delegate, struct sl_err *err)
{
    const struct ocsp_ask ask = { .cert = cert,
                                  .issuer = issuer,
                                  .extra = extra,
                                  .nonce = nonce,
                                  .now_utc_s = now,
                                  .delegates = true };
    return check(der, &ask, out, delegate, err);
}

enum sl_rc sl_ocsp_check(struct sl_bytes der, const struct sl_cert *cert,
                         const struct sl_cert *issuer, struct sl_bytes nonce, int64_t now,
                         struct sl_rev_answer *out, struct sl_err *err)
{
    const struct ocsp_ask ask = {
        .cert = cert, .issuer = issuer, .nonce = nonce, .now_utc_s = now
    };
    return check(der, &ask, out, NULL, err);
}
