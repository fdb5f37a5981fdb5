/*
 * Who may sign an OCSP response (RFC 6960 4.2.2.2): the CA itself, a delegate that it issued, or a
 * responder that configuration trusts for it.
 */
#include "certs/ocsp.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

/* More candidates serve nobody, and each costs two signature checks. */
#define CANDIDATES_MAX 4

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

/* What every responder's own certificate must be, however it came to be trusted. */
static enum sl_rc check_responder(X509 *x, const char *who, int64_t now, struct sl_err *err)
{
    (void)X509_check_purpose(x, -1, 0); /* caches the extensions */
    uint32_t flags = X509_get_extension_flags(x);
    int64_t from = 0, to = 0;
    if (flags & (EXFLAG_INVALID | EXFLAG_CRITICAL))
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP responder %s: its certificate has an extension that is invalid or not known",
            who);
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
    return SL_OK;
}

/* RFC 6960 4.2.2.2: a delegate is issued directly by the CA and carries id-kp-OCSPSigning. */
static enum sl_rc check_delegate(X509 *x, const char *who, const struct ocsp_ask *ask,
                                 struct sl_err *err)
{
    SL_TRY(check_responder(x, who, ask->now_utc_s, err));
    if (!(X509_get_extension_flags(x) & EXFLAG_XKUSAGE) ||
        !(X509_get_extended_key_usage(x) & XKU_OCSP_SIGN))
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP responder %s: its certificate lacks id-kp-OCSPSigning (RFC 6960 4.2.2.2)", who);
    X509 *ca = sl_cert_x509(ask->issuer);
    const char *weak = certs_weak_signature(X509_get_signature_nid(x));
    if (weak)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP responder %s: its certificate is signed with %s, which is too weak",
                       who, weak);
    /* The key that issued the certificate in question, not another of the same CA's name. */
    if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)) != 0 ||
        X509_verify(x, X509_get0_pubkey(ca)) != 1) {
        ERR_clear_error();
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "OCSP responder %.200s: its certificate was not issued by %.180s (RFC 6960 4.2.2.2)",
            who, sl_cert_subject(ask->issuer));
    }
    if (!ask->delegates && X509_get_ext_by_NID(x, NID_id_pkix_OCSP_noCheck, -1) < 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP responder %s: its certificate lacks id-pkix-ocsp-nocheck "
                       "(RFC 6960 4.2.2.2.1)",
                       who);
    return SL_OK;
}

static enum sl_rc hand_out(struct sl_cert **delegate, X509 *x, struct sl_err *err)
{
    if (X509_get_ext_by_NID(x, NID_id_pkix_OCSP_noCheck, -1) >= 0)
        return SL_OK;
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    enum sl_rc rc =
        n > 0 ? sl_cert_read(delegate, sl_bytes(der, (size_t)n), err) : SL_FAIL_MEM(err);
    OPENSSL_free(der);
    return rc;
}

/* The certificates that came along. The first complaint about one that fits the ResponderID stays. */
static enum sl_rc by_delegate(OCSP_BASICRESP *basic, const struct ocsp_ask *ask,
                              struct sl_rev_answer *a, struct sl_cert **delegate,
                              struct sl_err *err)
{
    const STACK_OF(X509) *sent = OCSP_resp_get0_certs(basic);
    enum sl_rc rc = SL_OK;
    int tried = 0;
    for (int i = 0; i < sk_X509_num(sent) && tried < CANDIDATES_MAX; i++) {
        X509 *x = sk_X509_value(sent, i);
        if (!is_responder(basic, x))
            continue;
        struct sl_err *why = tried++ == 0 ? err : NULL;
        char who[256];
        certs_name_text(who, sizeof(who), X509_get_subject_name(x));
        enum sl_rc one = check_delegate(x, who, ask, why);
        if (one == SL_OK && !signed_by(basic, x))
            one = SL_FAIL(why, SL_REVOCATION_INVALID,
                          "OCSP response: its signature does not verify with the key of %s "
                          "(RFC 6960 3.2)",
                          who);
        if (one == SL_OK) {
            snprintf(a->responder, sizeof(a->responder), "%s", who);
            return hand_out(delegate, x, err);
        }
        if (rc == SL_OK)
            rc = one;
    }
    if (tried)
        return rc;
    return SL_FAIL(
        err, SL_REVOCATION_INVALID,
        "OCSP response: signed neither by %.200s nor by a delegate of it that came along "
        "(RFC 6960 4.2.2.2)",
        sl_cert_subject(ask->issuer));
}

enum sl_rc ocsp_check_signer(OCSP_BASICRESP *basic, const struct ocsp_ask *ask,
                             struct sl_rev_answer *a, struct sl_cert **delegate, struct sl_err *err)
{
    const ASN1_OBJECT *oid = NULL;
    X509_ALGOR_get0(&oid, NULL, NULL, OCSP_resp_get0_tbs_sigalg(basic));
    const char *weak = certs_weak_signature(OBJ_obj2nid(oid));
    if (weak)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "OCSP response: signed with %s, which is too weak", weak);
    X509 *ca = sl_cert_x509(ask->issuer);
    if (is_responder(basic, ca) && signed_by(basic, ca)) {
        snprintf(a->responder, sizeof(a->responder), "%s", sl_cert_subject(ask->issuer));
        return SL_OK;
    }
    X509 *extra = ask->extra ? sl_cert_x509(ask->extra) : NULL;
    if (extra && is_responder(basic, extra) && signed_by(basic, extra)) {
        snprintf(a->responder, sizeof(a->responder), "%s", sl_cert_subject(ask->extra));
        return check_responder(extra, a->responder, ask->now_utc_s, err);
    }
    return by_delegate(basic, ask, a, delegate, err);
}
