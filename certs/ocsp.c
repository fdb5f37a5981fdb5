/*
 * OCSP, the client's side (RFC 6960, RFC 5019): the request for one certificate, and what a response
 * is worth. libcrypto decodes and verifies signatures; who may sign, for whom and how long it holds
 * is decided here.
 *
 * A delegate without id-pkix-ocsp-nocheck would itself have to be looked up; it is refused by name
 * and the next source is asked (RFC 6960 4.2.2.2.1 leaves that to the client).
 */
#include "certs/internal.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

static const EVP_MD *md_of(unsigned bits)
{
    return bits == 256 ? EVP_sha256() : EVP_sha1();
}

enum sl_rc sl_ocsp_request(struct sl_buf *out, const struct sl_cert *cert,
                           const struct sl_cert *issuer, unsigned bits, struct sl_bytes nonce,
                           struct sl_err *err)
{
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

/* RFC 6960 4.2.2.3: the ResponderID is the name, or the SHA-1 of the key's bits. */
static bool is_responder(const OCSP_BASICRESP *basic, const X509 *x)
{
    const ASN1_OCTET_STRING *hash = NULL;
    const X509_NAME *name = NULL;
    if (!OCSP_resp_get0_id(basic, &hash, &name))
        return false;
    if (name)
        return X509_NAME_cmp(name, X509_get_subject_name(x)) == 0;
    uint8_t key[SHA_DIGEST_LENGTH];
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x);
    SHA1(ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits), key);
    return ASN1_STRING_length(hash) == SHA_DIGEST_LENGTH &&
           memcmp(ASN1_STRING_get0_data(hash), key, sizeof(key)) == 0;
}

static bool signed_by(OCSP_BASICRESP *basic, X509 *signer)
{
    /* OCSP_NOVERIFY: only the signature, with signer taken from the stack; the rest is done here. */
    STACK_OF(X509) *one = sk_X509_new_null();
    bool ok =
        one && sk_X509_push(one, signer) > 0 &&
        OCSP_basic_verify(basic, one, NULL, OCSP_TRUSTOTHER | OCSP_NOVERIFY | OCSP_NOINTERN) > 0;
    sk_X509_free(one);
    ERR_clear_error();
    return ok;
}

/* RFC 6960 4.2.2.2: a delegate is issued directly by the CA and carries id-kp-OCSPSigning. */
static enum sl_rc check_delegate(X509 *x, const struct sl_cert *issuer, int64_t now,
                                 struct sl_err *err)
{
    X509 *ca = sl_cert_x509(issuer);
    char who[256];
    certs_name_text(who, sizeof(who), X509_get_subject_name(x));
    (void)X509_check_purpose(x, -1, 0); /* caches the extensions */
    uint32_t flags = X509_get_extension_flags(x);
    const char *weak = certs_weak_signature(X509_get_signature_nid(x));
    int64_t from = 0, to = 0;
    if (flags & (EXFLAG_INVALID | EXFLAG_CRITICAL))
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP responder %s: its certificate has an extension that is invalid or not known",
            who);
    if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)) != 0 || weak ||
        X509_verify(x, X509_get0_pubkey(ca)) != 1) {
        ERR_clear_error();
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP responder %.200s: its certificate was not issued by %.180s (RFC 6960 4.2.2.2)",
            who, sl_cert_subject(issuer));
    }
    if (!(flags & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(x) & XKU_OCSP_SIGN))
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP responder %s: its certificate lacks id-kp-OCSPSigning (RFC 6960 4.2.2.2)", who);
    if ((flags & EXFLAG_KUSAGE) &&
        !(X509_get_key_usage(x) & (X509v3_KU_DIGITAL_SIGNATURE | X509v3_KU_NON_REPUDIATION)))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP responder %s: its keyUsage lacks digitalSignature (RFC 5280 4.2.1.3)",
                       who);
    if (!certs_time(&from, X509_get0_notBefore(x)) || !certs_time(&to, X509_get0_notAfter(x)) ||
        now < from || now > to)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP responder %s: its certificate is not valid now (RFC 5280 4.1.2.5)",
                       who);
    if (X509_get_ext_by_NID(x, NID_id_pkix_OCSP_noCheck, -1) < 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP responder %s: its certificate lacks id-pkix-ocsp-nocheck "
                       "(RFC 6960 4.2.2.2.1)",
                       who);
    return SL_OK;
}

static enum sl_rc check_signer(OCSP_BASICRESP *basic, const struct sl_cert *issuer, int64_t now,
                               struct sl_rev_answer *a, struct sl_err *err)
{
    const X509_ALGOR *alg = OCSP_resp_get0_tbs_sigalg(basic);
    const ASN1_OBJECT *oid = NULL;
    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    const char *weak = certs_weak_signature(OBJ_obj2nid(oid));
    if (weak)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: signed with %s, which is too weak", weak);
    if (is_responder(basic, sl_cert_x509(issuer)) && signed_by(basic, sl_cert_x509(issuer))) {
        snprintf(a->responder, sizeof(a->responder), "%s", sl_cert_subject(issuer));
        return SL_OK;
    }
    const STACK_OF(X509) *sent = OCSP_resp_get0_certs(basic);
    /* More than a few certificates serve nobody; the signature of each candidate costs. */
    for (int i = 0; i < sk_X509_num(sent) && i < 4; i++) {
        X509 *x = sk_X509_value(sent, i);
        if (!is_responder(basic, x))
            continue;
        SL_TRY(check_delegate(x, issuer, now, err));
        if (!signed_by(basic, x))
            return SL_FAIL(err, SL_REVOCATION_INVALID,
                           "OCSP response: its signature does not verify (RFC 6960 3.2)");
        certs_name_text(a->responder, sizeof(a->responder), X509_get_subject_name(x));
        return SL_OK;
    }
    return SL_FAIL(
        err, SL_REVOCATION_INVALID,
        "OCSP response: signed neither by %.200s nor by a delegate of it that came along "
        "(RFC 6960 4.2.2.2)",
        sl_cert_subject(issuer));
}

static bool same_id(const OCSP_SINGLERESP *single, const struct sl_cert *cert,
                    const struct sl_cert *issuer)
{
    const OCSP_CERTID *have = OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *md = NULL;
    if (!OCSP_id_get0_info(NULL, &md, NULL, NULL, (OCSP_CERTID *)(uintptr_t)have))
        return false;
    int nid = OBJ_obj2nid(md);
    if (nid != NID_sha1 && nid != NID_sha256)
        return false;
    OCSP_CERTID *want = OCSP_cert_to_id(md_of(nid == NID_sha256 ? 256 : 1), sl_cert_x509(cert),
                                        sl_cert_x509(issuer));
    bool same = want && OCSP_id_cmp(want, have) == 0;
    OCSP_CERTID_free(want);
    ERR_clear_error();
    return same;
}

static bool unknown_critical(const OCSP_BASICRESP *basic, OCSP_SINGLERESP *single)
{
    for (int i = 0; i < OCSP_BASICRESP_get_ext_count((OCSP_BASICRESP *)(uintptr_t)basic); i++) {
        X509_EXTENSION *e = OCSP_BASICRESP_get_ext((OCSP_BASICRESP *)(uintptr_t)basic, i);
        if (X509_EXTENSION_get_critical(e) &&
            OBJ_obj2nid(X509_EXTENSION_get_object(e)) != NID_id_pkix_OCSP_Nonce)
            return true;
    }
    for (int i = 0; i < OCSP_SINGLERESP_get_ext_count(single); i++)
        if (X509_EXTENSION_get_critical(OCSP_SINGLERESP_get_ext(single, i)))
            return true;
    return false;
}

static enum sl_rc check_nonce(OCSP_BASICRESP *basic, struct sl_bytes nonce, struct sl_err *err)
{
    if (nonce.len == 0)
        return SL_OK;
    int at = OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, -1);
    const ASN1_OCTET_STRING *v =
        at < 0 ? NULL : X509_EXTENSION_get_data(OCSP_BASICRESP_get_ext(basic, at));
    if (!v)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: it lacks the nonce that was asked for (RFC 8954 2.1)");
    /* The value is an OCTET STRING inside; some responders leave that wrapping out. */
    struct sl_bytes have = sl_bytes(ASN1_STRING_get0_data(v), (size_t)ASN1_STRING_length(v));
    if (have.len == nonce.len + 2 && have.p[0] == 0x04 && have.p[1] == nonce.len)
        have = sl_bytes_slice(have, 2, nonce.len);
    if (!sl_bytes_eq(have, nonce))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: its nonce is of another request (RFC 8954 2.1)");
    return SL_OK;
}

static const char *reason_text(int code)
{
    return code < 0 ? "" : OCSP_crl_reason_str(code);
}

static enum sl_rc check_single(OCSP_SINGLERESP *single, const struct sl_cert *cert, int64_t now,
                               struct sl_rev_answer *a, struct sl_err *err)
{
    int reason = -1;
    ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
    int status = OCSP_single_get0_status(single, &reason, &revoked, &this_update, &next_update);
    char when[SL_TIME_TEXT];
    if (!certs_time(&a->this_update, this_update) ||
        (next_update && !certs_time(&a->next_update, next_update)))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: its times cannot be read (RFC 6960 4.2.2.1)");
    if (!next_update)
        a->next_update = a->this_update + SL_OCSP_NO_NEXT_S;
    if (a->this_update > now + SL_REV_SKEW_S)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: thisUpdate %s lies in the future (RFC 6960 4.2.2.1)",
                       sl_time_text(when, a->this_update));
    if (status == V_OCSP_CERTSTATUS_REVOKED) {
        a->revoked = true;
        a->why = reason_text(reason);
        if (!certs_time(&a->revoked_utc_s, revoked))
            a->revoked_utc_s = 0;
    } else if (status != V_OCSP_CERTSTATUS_GOOD) {
        return SL_FAIL(err, SL_REVOCATION_UNKNOWN,
                       "certificate %s: OCSP responder %s does not know it (RFC 6960 2.2)",
                       sl_cert_name(cert), a->responder);
    }
    return SL_OK;
}

static enum sl_rc judge(OCSP_BASICRESP *basic, const struct sl_cert *cert,
                        const struct sl_cert *issuer, struct sl_bytes nonce, int64_t now,
                        struct sl_rev_answer *a, struct sl_err *err)
{
    OCSP_SINGLERESP *single = NULL;
    for (int i = 0; i < OCSP_resp_count(basic) && i < 64 && !single; i++)
        if (same_id(OCSP_resp_get0(basic, i), cert, issuer))
            single = OCSP_resp_get0(basic, i);
    if (!single)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: it says nothing about certificate %s (RFC 6960 3.2)",
                       sl_cert_name(cert));
    SL_TRY(check_signer(basic, issuer, now, a, err));
    if (unknown_critical(basic, single))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: a critical extension is not known (RFC 6960 4.4)");
    SL_TRY(check_nonce(basic, nonce, err));
    return check_single(single, cert, now, a, err);
}

enum sl_rc sl_ocsp_check(struct sl_bytes der, const struct sl_cert *cert,
                         const struct sl_cert *issuer, struct sl_bytes nonce, int64_t now,
                         struct sl_rev_answer *out, struct sl_err *err)
{
    if (der.len == 0 || der.len > SL_OCSP_MAX_BYTES)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "OCSP response has %zu bytes, 1 to %d are read",
                       der.len, SL_OCSP_MAX_BYTES);
    const unsigned char *p = der.p;
    OCSP_RESPONSE *resp = d2i_OCSP_RESPONSE(NULL, &p, (long)der.len);
    OCSP_BASICRESP *basic = NULL;
    struct sl_rev_answer a = { .why = "" };
    enum sl_rc rc = SL_OK;
    if (!resp || p != der.p + der.len)
        rc = SL_FAIL(err, SL_REVOCATION_INVALID, "OCSP response cannot be decoded");
    else if (OCSP_response_status(resp) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        rc = SL_FAIL(err, SL_REVOCATION_UNAVAILABLE,
                     "OCSP responder answers \"%s\" for certificate %s (RFC 6960 4.2.1)",
                     OCSP_response_status_str(OCSP_response_status(resp)), sl_cert_name(cert));
    else if (!(basic = OCSP_response_get1_basic(resp)))
        rc = SL_FAIL(err, SL_REVOCATION_INVALID, "OCSP response is not of the basic type");
    else
        rc = judge(basic, cert, issuer, nonce, now, &a, err);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(resp);
    ERR_clear_error();
    if (rc != SL_OK)
        return rc;
    *out = a;
    char when[SL_TIME_TEXT];
    if (now > a.next_update)
        return SL_FAIL(
            err, SL_REVOCATION_STALE,
            "OCSP response for certificate %s: nextUpdate %s passed %lld s ago (RFC 6960 "
            "4.2.2.1)",
            sl_cert_name(cert), sl_time_text(when, a.next_update),
            (long long)(now - a.next_update));
    return SL_OK;
}
