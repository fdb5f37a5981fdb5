/*
 * What a CRL means for one certificate: RFC 5280 6.3.3 (b) to (l), for one list and its delta at a
 * time. Which lists there are, and the path of a CRL issuer that is not the certificate's own, is
 * the caller's.
 */
#include "certs/crl.h"

#include <openssl/err.h>

#include <stdio.h>
#include <string.h>

/* ---- (b) and (d): which reasons the list covers for this certificate ---------------------------- */
/* The names of a distribution point, or of cRLIssuer: some of either kind. */
struct names {
    const GENERAL_NAMES *full;
    const X509_NAME *dn;
};

static struct names names_of(const DIST_POINT_NAME *p)
{
    return p->type == 0 ? (struct names){ .full = p->name.fullname }
                        : (struct names){ .dn = p->dpname };
}

static bool holds_dn(const GENERAL_NAMES *list, const X509_NAME *dn)
{
    for (int i = 0; dn && i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(list, i);
        if (g->type == GEN_DIRNAME && X509_NAME_cmp(g->d.directoryName, dn) == 0)
            return true;
    }
    return false;
}

static bool names_meet(struct names a, struct names b)
{
    if (a.dn && b.dn && X509_NAME_cmp(a.dn, b.dn) == 0)
        return true;
    if (holds_dn(a.full, b.dn) || holds_dn(b.full, a.dn))
        return true;
    for (int i = 0; i < sk_GENERAL_NAME_num(a.full); i++)
        for (int k = 0; k < sk_GENERAL_NAME_num(b.full); k++)
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a.full, i),
                                 sk_GENERAL_NAME_value(b.full, k)) == 0)
                return true;
    return false;
}

enum covers { OTHER_ISSUER, NOT_INDIRECT, OTHER_POINT, COVERS };

/*
 * (b)(1) and (b)(2)(i) for one distribution point. NULL: the one that every certificate has beside
 * its own, with its issuer's name as name and issuer (end of 6.3.3).
 */
static enum covers point_covers(const struct sl_crl *crl, const DIST_POINT *dp,
                                const X509_NAME *cert_issuer)
{
    const X509_NAME *by = X509_CRL_get_issuer(crl->head);
    if (dp && dp->CRLissuer) {
        if (!holds_dn(dp->CRLissuer, by))
            return OTHER_ISSUER;
        if (!crl_indirect(crl))
            return NOT_INDIRECT;
    } else if (X509_NAME_cmp(by, cert_issuer) != 0) {
        return OTHER_ISSUER;
    }
    if (!crl->idp || !crl->idp->distpoint)
        return COVERS;
    struct names want = names_of(crl->idp->distpoint);
    struct names have = !dp             ? (struct names){ .dn = cert_issuer }
                        : dp->distpoint ? names_of(dp->distpoint)
                                        : (struct names){ .full = dp->CRLissuer };
    return names_meet(want, have) ? COVERS : OTHER_POINT;
}

static enum sl_rc check_kind(const struct sl_crl *crl, const struct sl_cert *cert,
                             struct sl_err *err)
{
    const ISSUING_DIST_POINT *idp = crl->idp;
    if (!idp)
        return SL_OK;
    bool ca = sl_cert_is_ca(cert);
    const char *why = NULL;
    if ((idp->onlyuser > 0) + (idp->onlyCA > 0) + (idp->onlyattr > 0) > 1)
        why = "more than one onlyContains field is set (RFC 5280 5.2.5)";
    else if (idp->onlyattr > 0)
        why = "it holds attribute certificates only (RFC 5280 6.3.3 (b)(2)(iv))";
    else if (idp->onlyuser > 0 && ca)
        why = "it holds end entities only, and this is a CA (RFC 5280 6.3.3 (b)(2)(ii))";
    else if (idp->onlyCA > 0 && !ca)
        why = "it holds CAs only, and this is none (RFC 5280 6.3.3 (b)(2)(iii))";
    if (!why)
        return SL_OK;
    return SL_FAIL(err, SL_REVOCATION_INVALID,
                   "CRL of %.160s: its scope leaves out certificate %.160s: %s", crl->issuer,
                   sl_cert_name(cert), why);
}

/* (b) and (d): the interim reasons mask, over all distribution points that the list serves. */
static enum sl_rc interim(uint16_t *mask, const struct sl_crl *crl, const struct sl_cert *cert,
                          struct sl_err *err)
{
    SL_TRY(check_kind(crl, cert, err));
    const X509_NAME *issuer = X509_get_issuer_name(sl_cert_x509(cert));
    const CRL_DIST_POINTS *points = certs_points_list(cert);
    const uint16_t of_list = certs_reasons(crl->idp ? crl->idp->onlysomereasons : NULL);
    enum covers best = OTHER_ISSUER;
    uint16_t sum = 0;
    /* From -1, the point that is in no certificate; sk_DIST_POINT_num is -1 for NULL. */
    for (int i = -1; i < 0 || i < sk_DIST_POINT_num(points); i++) {
        const DIST_POINT *dp = i < 0 ? NULL : sk_DIST_POINT_value(points, i);
        enum covers c = point_covers(crl, dp, issuer);
        if (c == COVERS)
            sum = (uint16_t)(sum | (of_list & certs_reasons(dp ? dp->reasons : NULL)));
        if (c > best)
            best = c;
    }
    switch (best) {
    case OTHER_ISSUER:
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.160s: it is neither of the issuer of certificate %.160s nor of a "
                       "cRLIssuer that it names (RFC 5280 6.3.3 (b)(1))",
                       crl->issuer, sl_cert_name(cert));
    case NOT_INDIRECT:
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.160s: certificate %.160s names its issuer as cRLIssuer, but the "
                       "list is not indirect (RFC 5280 6.3.3 (b)(1))",
                       crl->issuer, sl_cert_name(cert));
    case OTHER_POINT:
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.160s: its distribution point is none of certificate %.160s "
                       "(RFC 5280 6.3.3 (b)(2)(i))",
                       crl->issuer, sl_cert_name(cert));
    case COVERS:
        break;
    }
    *mask = sum;
    return SL_OK;
}

/* ---- (c): does the delta belong to the complete list? ------------------------------------------ */
/* Both lack the extension, or both hold the same octets. */
static bool same_extension(const struct sl_crl *a, const struct sl_crl *b, int nid)
{
    int i = X509_CRL_get_ext_by_NID(a->head, nid, -1);
    int k = X509_CRL_get_ext_by_NID(b->head, nid, -1);
    if (i < 0 || k < 0)
        return i < 0 && k < 0;
    return ASN1_STRING_cmp(X509_EXTENSION_get_data(X509_CRL_get_ext(a->head, i)),
                           X509_EXTENSION_get_data(X509_CRL_get_ext(b->head, k))) == 0;
}

static enum sl_rc check_fit(const struct sl_crl *crl, const struct sl_crl *delta,
                            struct sl_err *err)
{
    const char *why = NULL;
    if (!delta->base)
        why = "it has no deltaCRLIndicator (RFC 5280 5.2.4)";
    else if (X509_NAME_cmp(X509_CRL_get_issuer(crl->head), X509_CRL_get_issuer(delta->head)) != 0)
        why = "the complete list has another issuer (RFC 5280 6.3.3 (c)(1))";
    else if (!same_extension(crl, delta, NID_issuing_distribution_point))
        why = "the complete list has another scope (RFC 5280 6.3.3 (c)(2))";
    else if (!same_extension(crl, delta, NID_authority_key_identifier))
        why = "the complete list has another authorityKeyIdentifier (RFC 5280 6.3.3 (c)(3))";
    else if (!crl->serial || !delta->serial)
        why = "without CRL numbers it cannot be combined (RFC 5280 5.2.4)";
    else if (ASN1_INTEGER_cmp(crl->serial, delta->base) < 0)
        why = "the complete list is older than its base (RFC 5280 5.2.4 (c))";
    else if (ASN1_INTEGER_cmp(crl->serial, delta->serial) >= 0)
        why = "the complete list is not older (RFC 5280 5.2.4 (d))";
    if (!why)
        return SL_OK;
    return SL_FAIL(err, SL_REVOCATION_INVALID,
                   "delta CRL of %.160s: number %.48s does not fit complete list %.48s: %s",
                   delta->issuer, delta->number, crl->number, why);
}

/* ---- times, entries ---------------------------------------------------------------------------- */
static enum sl_rc check_begun(const struct sl_crl *crl, int64_t now, struct sl_err *err)
{
    char when[SL_TIME_TEXT];
    if (crl->this_update <= now + SL_REV_SKEW_S)
        return SL_OK;
    return SL_FAIL(err, SL_REVOCATION_INVALID,
                   "CRL of %s: thisUpdate %s lies in the future (RFC 5280 5.1.2.4)", crl->issuer,
                   sl_time_text(when, crl->this_update));
}

static const char *reason_name(long code)
{
    static const char *const names[] = {
        "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
        "superseded",    "cessationOfOperation", "certificateHold", "",
        "removeFromCRL", "privilegeWithdrawn",   "aACompromise"
    };
    return code >= 0 && code < (long)SL_ARRAY_LEN(names) ? names[code] : "";
}

static enum sl_rc look_up(struct crl_found *f, const struct sl_crl *crl, const struct sl_cert *cert,
                          struct sl_err *err)
{
    X509 *x = sl_cert_x509(cert);
    return crl_find(f, crl, X509_get0_serialNumber(x), X509_get_issuer_name(x)) ? SL_OK
                                                                                : SL_FAIL_MEM(err);
}

static struct sl_rev_answer answer_of(const struct sl_crl *crl, const struct crl_found *f)
{
    struct sl_rev_answer a = { .this_update = crl->this_update,
                               .next_update = crl->next_update,
                               .why = "" };
    snprintf(a.responder, sizeof(a.responder), "%s", crl->issuer);
    if (f) {
        a.revoked = true;
        a.revoked_utc_s = f->revoked_utc_s;
        a.why = reason_name(f->reason);
    }
    return a;
}

/* RFC 5280 5.2, 5.3: a list with a critical extension that is not known clears nobody. */
static enum sl_rc check_critical(const struct sl_crl *crl, struct sl_err *err)
{
    if (!crl->critical[0])
        return SL_OK;
    return SL_FAIL(err, SL_REVOCATION_INVALID,
                   "CRL of %s: critical extension %s is not known (RFC 5280 5.2, 5.3)", crl->issuer,
                   crl->critical);
}

/* (i) to (k). *by: the list whose entry counts, NULL when the certificate is on neither. */
static enum sl_rc find_entry(const struct sl_crl **by, struct crl_found *f,
                             const struct sl_crl_use *use, struct sl_err *err)
{
    *by = NULL;
    if (use->delta) {
        SL_TRY(look_up(f, use->delta, use->cert, err));
        if (f->found && f->reason != CRL_REASON_REMOVE_FROM_CRL) {
            *by = use->delta;
            return SL_OK;
        }
        SL_TRY(check_critical(use->delta, err));
        if (f->found) { /* taken off the complete list, so that one is not asked */
            f->found = false;
            return check_critical(use->crl, err);
        }
    }
    SL_TRY(look_up(f, use->crl, use->cert, err));
    /* removeFromCRL has no place in a complete list (RFC 5280 5.3.1): there it clears nobody. */
    if (f->found)
        *by = use->crl;
    return f->found ? SL_OK : check_critical(use->crl, err);
}

static enum sl_rc check_delta(const struct sl_crl_use *use, struct sl_err *err)
{
    SL_TRY(check_fit(use->crl, use->delta, err));
    if (sl_crl_verify(use->delta, use->crl_issuer, err) != SL_OK) /* (h) */
        return SL_WRAP(err, "delta");
    return check_begun(use->delta, use->now_utc_s, err);
}

static void count(struct sl_crl_status *status, const struct sl_crl *crl, int64_t now)
{
    const struct sl_rev_answer *a = &status->answer;
    if (!a->why || crl->next_update < a->next_update)
        status->answer = answer_of(crl, NULL);
    status->stale = status->stale || now > crl->next_update;
}

enum sl_rc sl_crl_apply(struct sl_crl_status *status, const struct sl_crl_use *use,
                        struct sl_err *err)
{
    struct sl_crl *crl = use->crl;
    int64_t now = use->now_utc_s;
    if (status->answer.revoked)
        return SL_OK;
    if (crl->delta)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: it is a delta CRL, which is not used alone (RFC 5280 5.2.4)",
                       crl->issuer);
    SL_TRY(sl_crl_verify(crl, use->crl_issuer, err)); /* (f), (g) */
    uint16_t mask = 0;
    SL_TRY(interim(&mask, crl, use->cert, err)); /* (b), (d) */
    if ((mask & ~status->reasons) == 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.160s: it covers no reason for certificate %.160s that is still "
                       "open (RFC 5280 6.3.3 (e))",
                       crl->issuer, sl_cert_name(use->cert));
    SL_TRY(check_begun(crl, now, err));
    if (use->delta)
        SL_TRY(check_delta(use, err)); /* (c), (h) */
    const struct sl_crl *by = NULL;
    struct crl_found f;
    SL_TRY(find_entry(&by, &f, use, err)); /* (i) to (k) */
    char when[SL_TIME_TEXT];
    if (use->delta && now > use->delta->next_update && by != use->delta)
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "delta CRL of %s: nextUpdate %s passed %lld s ago (RFC 5280 5.1.2.5)",
                       crl->issuer, sl_time_text(when, use->delta->next_update),
                       (long long)(now - use->delta->next_update));
    status->reasons = (uint16_t)(status->reasons | mask); /* (l) */
    status->no_key_usage =
        status->no_key_usage ||
        !(X509_get_extension_flags(sl_cert_x509(use->crl_issuer)) & EXFLAG_KUSAGE);
    count(status, crl, now);
    if (use->delta)
        count(status, use->delta, now);
    if (by)
        status->answer = answer_of(by, &f);
    return SL_OK;
}

/* ---- one list alone ---------------------------------------------------------------------------- */
enum sl_rc sl_crl_check(struct sl_crl *crl, const struct sl_cert *cert,
                        const struct sl_cert *issuer, int64_t now, struct sl_rev_answer *out,
                        struct sl_err *err)
{
    struct sl_crl_status status = { 0 };
    const struct sl_crl_use use = {
        .crl = crl, .crl_issuer = issuer, .cert = cert, .issuer = issuer, .now_utc_s = now
    };
    SL_TRY(sl_crl_apply(&status, &use, err));
    if (!status.answer.revoked && status.reasons != SL_REASONS_ALL)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.160s: it covers some reasons only and cannot clear certificate "
                       "%.160s alone (RFC 5280 5.2.5)",
                       crl->issuer, sl_cert_name(cert));
    *out = status.answer;
    char when[SL_TIME_TEXT];
    if (status.stale)
        return SL_FAIL(err, SL_REVOCATION_STALE,
                       "CRL of %s: nextUpdate %s passed %lld s ago (RFC 5280 5.1.2.5)", crl->issuer,
                       sl_time_text(when, crl->next_update), (long long)(now - crl->next_update));
    return SL_OK;
}
