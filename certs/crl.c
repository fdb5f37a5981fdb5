/*
 * Certificate revocation lists (RFC 5280 5 and 6.3.3): complete, direct CRLs of the certificate's
 * own issuer. Indirect and delta CRLs, and CRLs for some reasons only, are told apart and refused by
 * name; they cannot clear a certificate here.
 */
#include "certs/internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sl_crl {
    unsigned refs;
    X509_CRL *x;
    struct sl_buf der;
    char issuer[256], number[48];
    ASN1_INTEGER *serial; /* cRLNumber, NULL when absent */
    int64_t this_update, next_update;
    ISSUING_DIST_POINT *idp;
    bool delta;
    char critical[80]; /* OID of a critical extension, of the CRL or an entry, that is not known */
    uint8_t checked[32]; /* SHA-256 of the issuer key whose signature check succeeded */
    bool checked_ok;
};

/* Critical extensions that are understood; libcrypto parses all of them. */
static bool known_extension(const ASN1_OBJECT *o, bool entry)
{
    switch (OBJ_obj2nid(o)) {
    case NID_authority_key_identifier:
    case NID_crl_number:
    case NID_issuing_distribution_point:
    case NID_delta_crl:
    case NID_freshest_crl:
    case NID_issuer_alt_name:
        return !entry;
    case NID_crl_reason:
    case NID_invalidity_date:
        return entry;
    default: /* certificateIssuer too: it is only right in an indirect CRL, which is refused */
        return false;
    }
}

static void note_critical(struct sl_crl *crl, const STACK_OF(X509_EXTENSION) * list, bool entry)
{
    for (int i = 0; i < sk_X509_EXTENSION_num(list) && !crl->critical[0]; i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(list, i);
        if (X509_EXTENSION_get_critical(e) && !known_extension(X509_EXTENSION_get_object(e), entry))
            OBJ_obj2txt(crl->critical, sizeof(crl->critical), X509_EXTENSION_get_object(e), 0);
    }
}

static enum sl_rc fill(struct sl_crl *crl, struct sl_err *err)
{
    certs_name_text(crl->issuer, sizeof(crl->issuer), X509_CRL_get_issuer(crl->x));
    if (!certs_time(&crl->this_update, X509_CRL_get0_lastUpdate(crl->x)))
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID,
                           "CRL of %s: thisUpdate cannot be read (RFC 5280 5.1.2.4)", crl->issuer);
    if (!X509_CRL_get0_nextUpdate(crl->x))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: it has no nextUpdate (RFC 5280 5.1.2.5)", crl->issuer);
    if (!certs_time(&crl->next_update, X509_CRL_get0_nextUpdate(crl->x)))
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID,
                           "CRL of %s: nextUpdate cannot be read (RFC 5280 5.1.2.5)", crl->issuer);
    int critical = 0;
    crl->serial = X509_CRL_get_ext_d2i(crl->x, NID_crl_number, &critical, NULL);
    if (!crl->serial && critical != -1)
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID,
                           "CRL of %s: cRLNumber cannot be read (RFC 5280 5.2.3)", crl->issuer);
    if (crl->serial)
        sl_hex(
            crl->number, sizeof(crl->number),
            sl_bytes(ASN1_STRING_get0_data(crl->serial), (size_t)ASN1_STRING_length(crl->serial)));
    crl->idp = X509_CRL_get_ext_d2i(crl->x, NID_issuing_distribution_point, &critical, NULL);
    if (!crl->idp && critical != -1)
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID,
                           "CRL of %s: issuingDistributionPoint cannot be read (RFC 5280 5.2.5)",
                           crl->issuer);
    crl->delta = X509_CRL_get_ext_by_NID(crl->x, NID_delta_crl, -1) >= 0;
    note_critical(crl, X509_CRL_get0_extensions(crl->x), false);
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl->x);
    for (int i = 0; i < sk_X509_REVOKED_num(entries) && !crl->critical[0]; i++)
        note_critical(crl, X509_REVOKED_get0_extensions(sk_X509_REVOKED_value(entries, i)), true);
    return SL_OK;
}

static X509_CRL *decode(struct sl_bytes in, struct sl_err *err)
{
    X509_CRL *x = NULL;
    if (in.p[0] == 0x30) {
        const unsigned char *p = in.p;
        x = d2i_X509_CRL(NULL, &p, (long)in.len);
        if (x && p != in.p + in.len) {
            X509_CRL_free(x);
            (void)SL_FAIL(err, SL_REVOCATION_INVALID, "CRL is followed by %zu stray bytes",
                          (size_t)(in.p + in.len - p));
            return NULL;
        }
    } else {
        BIO *bio = BIO_new_mem_buf(in.p, (int)in.len);
        if (bio)
            x = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    if (!x)
        (void)SL_FAIL_SSL(err, SL_REVOCATION_INVALID, "CRL cannot be decoded");
    return x;
}

enum sl_rc sl_crl_read(struct sl_crl **out, struct sl_bytes in, struct sl_err *err)
{
    if (in.len == 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "CRL is empty");
    if (in.len > SL_CRL_MAX_BYTES)
        return SL_FAIL(err, SL_TOO_LARGE, "CRL has %zu bytes, at most %zu are read", in.len,
                       SL_CRL_MAX_BYTES);
    struct sl_crl *crl = calloc(1, sizeof(*crl));
    if (!crl)
        return SL_FAIL_MEM(err);
    crl->refs = 1;
    enum sl_rc rc = SL_OK;
    crl->x = decode(in, err);
    if (!crl->x) {
        rc = SL_REVOCATION_INVALID;
    } else {
        unsigned char *der = NULL;
        int n = i2d_X509_CRL(crl->x, &der);
        if (n <= 0 || !sl_buf_put(&crl->der, sl_bytes(der, (size_t)n)))
            rc = SL_FAIL_MEM(err);
        else
            rc = fill(crl, err);
        OPENSSL_free(der);
    }
    ERR_clear_error();
    if (rc != SL_OK) {
        sl_crl_free(crl);
        return rc;
    }
    *out = crl;
    return SL_OK;
}

struct sl_crl *sl_crl_ref(struct sl_crl *crl)
{
    crl->refs++;
    return crl;
}

void sl_crl_free(struct sl_crl *crl)
{
    if (!crl || --crl->refs > 0)
        return;
    ASN1_INTEGER_free(crl->serial);
    ISSUING_DIST_POINT_free(crl->idp);
    X509_CRL_free(crl->x);
    sl_buf_clear(&crl->der);
    free(crl);
}

struct sl_bytes sl_crl_der(const struct sl_crl *crl)
{
    return sl_buf_bytes(&crl->der);
}

const char *sl_crl_issuer(const struct sl_crl *crl)
{
    return crl->issuer;
}

const char *sl_crl_number(const struct sl_crl *crl)
{
    return crl->number;
}

int sl_crl_number_cmp(const struct sl_crl *a, const struct sl_crl *b)
{
    if (!a->serial || !b->serial)
        return 0;
    int cmp = ASN1_INTEGER_cmp(a->serial, b->serial);
    return (cmp > 0) - (cmp < 0);
}

int64_t sl_crl_this_update(const struct sl_crl *crl)
{
    return crl->this_update;
}

int64_t sl_crl_next_update(const struct sl_crl *crl)
{
    return crl->next_update;
}

size_t sl_crl_entries(const struct sl_crl *crl)
{
    int n = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl->x));
    return n > 0 ? (size_t)n : 0;
}

/* ---- RFC 5280 6.3.3 ------------------------------------------------------------------------------- */
static bool names_meet(const GENERAL_NAMES *a, const GENERAL_NAMES *b)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(a); i++)
        for (int k = 0; k < sk_GENERAL_NAME_num(b); k++)
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, k)) == 0)
                return true;
    return false;
}

/*
 * (b)(2)(i): a name of the IDP is one of the certificate's distribution points; a certificate
 * without the extension has its issuer's name as the only one.
 */
static bool point_meets(ISSUING_DIST_POINT *idp, const struct sl_cert *cert)
{
    X509 *x = sl_cert_x509(cert);
    DIST_POINT_NAME *want = idp->distpoint;
    /* nameRelativeToCRLIssuer: completed with the CRL issuer, here always the certificate's issuer. */
    if (want->type == 1 && !want->dpname && !DIST_POINT_set_dpname(want, X509_get_issuer_name(x)))
        return false;
    CRL_DIST_POINTS *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    bool found = false;
    for (int i = 0; !found && i < sk_DIST_POINT_num(points); i++) {
        DIST_POINT *dp = sk_DIST_POINT_value(points, i);
        DIST_POINT_NAME *have = dp->distpoint;
        if (dp->reasons || dp->CRLissuer || !have)
            continue;
        if (have->type == 1 && !have->dpname)
            (void)DIST_POINT_set_dpname(have, X509_get_issuer_name(x));
        if (want->type == 0 && have->type == 0) {
            found = names_meet(want->name.fullname, have->name.fullname);
        } else if (want->type == 1 && have->type == 1) {
            found = want->dpname && have->dpname && X509_NAME_cmp(want->dpname, have->dpname) == 0;
        } else {
            X509_NAME *dn = want->type == 1 ? want->dpname : have->dpname;
            const GENERAL_NAMES *full = want->type == 0 ? want->name.fullname : have->name.fullname;
            for (int k = 0; dn && !found && k < sk_GENERAL_NAME_num(full); k++) {
                const GENERAL_NAME *g = sk_GENERAL_NAME_value(full, k);
                found = g->type == GEN_DIRNAME && X509_NAME_cmp(g->d.directoryName, dn) == 0;
            }
        }
    }
    if (!points && want->type == 0)
        for (int k = 0; !found && k < sk_GENERAL_NAME_num(want->name.fullname); k++) {
            const GENERAL_NAME *g = sk_GENERAL_NAME_value(want->name.fullname, k);
            found = g->type == GEN_DIRNAME &&
                    X509_NAME_cmp(g->d.directoryName, X509_get_issuer_name(x)) == 0;
        }
    CRL_DIST_POINTS_free(points);
    ERR_clear_error();
    return found;
}

/* Is the certificate in what the CRL covers, and does the CRL cover all of it? */
static enum sl_rc check_scope(struct sl_crl *crl, const struct sl_cert *cert, struct sl_err *err)
{
    if (crl->delta)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: it is a delta CRL, which is not used alone (RFC 5280 5.2.4)",
                       crl->issuer);
    if (crl->critical[0])
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: critical extension %s is not known (RFC 5280 5.2, 5.3)",
                       crl->issuer, crl->critical);
    ISSUING_DIST_POINT *idp = crl->idp;
    if (!idp)
        return SL_OK;
    if (idp->indirectCRL > 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: indirect CRLs are not supported (RFC 5280 5.2.5)", crl->issuer);
    if (idp->onlysomereasons)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: it covers some reasons only, which is not supported "
                       "(RFC 5280 5.2.5)",
                       crl->issuer);
    int only = (idp->onlyuser > 0) + (idp->onlyCA > 0) + (idp->onlyattr > 0);
    bool ca = sl_cert_is_ca(cert);
    if (only > 1 || idp->onlyattr > 0 || (idp->onlyuser > 0 && ca) || (idp->onlyCA > 0 && !ca))
        return SL_FAIL(
            err, SL_REVOCATION_INVALID,
            "CRL of %.160s: its scope leaves out certificate %.160s (RFC 5280 6.3.3 (b)(2))",
            crl->issuer, sl_cert_name(cert));
    if (idp->distpoint && !point_meets(idp, cert))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.160s: its distribution point is none of certificate %.160s "
                       "(RFC 5280 6.3.3 (b)(2)(i))",
                       crl->issuer, sl_cert_name(cert));
    return SL_OK;
}

enum sl_rc sl_crl_verify(struct sl_crl *crl, const struct sl_cert *issuer, struct sl_err *err)
{
    X509 *x = sl_cert_x509(issuer);
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl->x), X509_get_subject_name(x)) != 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.180s: it was not issued by %.180s (RFC 5280 6.3.3 (b)(1))",
                       crl->issuer, sl_cert_subject(issuer));
    if ((X509_get_extension_flags(x) & EXFLAG_KUSAGE) &&
        !(X509_get_key_usage(x) & X509v3_KU_CRL_SIGN))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: its issuer's keyUsage lacks cRLSign (RFC 5280 6.3.3 (f))",
                       crl->issuer);
    const char *weak = certs_weak_signature(X509_CRL_get_signature_nid(crl->x));
    if (weak)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "CRL of %s: signed with %s, which is too weak",
                       crl->issuer, weak);
    uint8_t key[32];
    sl_sha2(256, sl_cert_spki(issuer), key);
    if (crl->checked_ok && memcmp(key, crl->checked, sizeof(key)) == 0)
        return SL_OK;
    EVP_PKEY *pub = X509_get0_pubkey(x);
    if (!pub || X509_CRL_verify(crl->x, pub) != 1) {
        ERR_clear_error();
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: its signature does not verify with the key of %.180s (RFC 5280 "
                       "6.3.3 (g))",
                       crl->issuer, sl_cert_name(issuer));
    }
    memcpy(crl->checked, key, sizeof(key));
    crl->checked_ok = true;
    return SL_OK;
}

static const char *reason_of(const X509_REVOKED *entry)
{
    static const char *const names[] = {
        "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
        "superseded",    "cessationOfOperation", "certificateHold", "",
        "removeFromCRL", "privilegeWithdrawn",   "aACompromise"
    };
    ASN1_ENUMERATED *e = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    long code = e ? ASN1_ENUMERATED_get(e) : -1;
    ASN1_ENUMERATED_free(e);
    return code >= 0 && code < (long)SL_ARRAY_LEN(names) ? names[code] : "";
}

enum sl_rc sl_crl_check(struct sl_crl *crl, const struct sl_cert *cert,
                        const struct sl_cert *issuer, int64_t now, struct sl_rev_answer *out,
                        struct sl_err *err)
{
    SL_TRY(sl_crl_verify(crl, issuer, err));
    SL_TRY(check_scope(crl, cert, err));
    char when[SL_TIME_TEXT];
    if (crl->this_update > now + SL_REV_SKEW_S)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: thisUpdate %s lies in the future (RFC 5280 5.1.2.4)",
                       crl->issuer, sl_time_text(when, crl->this_update));
    struct sl_rev_answer a = { .this_update = crl->this_update,
                               .next_update = crl->next_update,
                               .why = "" };
    snprintf(a.responder, sizeof(a.responder), "%s", crl->issuer);
    X509_REVOKED *entry = NULL;
    ASN1_INTEGER *serial = X509_get_serialNumber(sl_cert_x509(cert));
    /*
     * removeFromCRL (found == 2) has no place in a complete CRL (RFC 5280 5.3.1): it would clear a
     * certificate that is on the list, so it counts as revoked.
     */
    if (X509_CRL_get0_by_serial(crl->x, &entry, serial) != 0 && entry) {
        a.revoked = true;
        a.why = reason_of(entry);
        if (!certs_time(&a.revoked_utc_s, X509_REVOKED_get0_revocationDate(entry)))
            a.revoked_utc_s = 0;
    }
    ERR_clear_error();
    *out = a;
    if (now > crl->next_update)
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "CRL of %s: nextUpdate %s passed %lld s ago (RFC 5280 5.1.2.5)", crl->issuer,
                       sl_time_text(when, crl->next_update), (long long)(now - crl->next_update));
    return SL_OK;
}
