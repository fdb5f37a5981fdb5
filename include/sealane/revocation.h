/*
 * Revocation by CRL, complete (RFC 5280 6.3): distribution points, several CRLs that add up reasons,
 * indirect CRLs with an issuer of their own, delta CRLs. Cores: the caller brings the lists and a
 * verified path for a CRL issuer that is not the certificate's own.
 */
#ifndef SEALANE_REVOCATION_H
#define SEALANE_REVOCATION_H

#include "sealane/certs.h"

/* ReasonFlags as a mask (RFC 5280 4.2.1.13): bit n is named bit n; bit 0, unused, is never set. */
#define SL_REASONS_ALL 0x1feu

/* One cRLDistributionPoints entry; all views are lent by the certificate. */
#define SL_CERT_POINTS_MAX 8
struct sl_crl_point {
    const char *uri[SL_CERT_URI_MAX]; /* fullName URIs, http, https, ldap, ldaps */
    size_t uri_n;
    uint16_t reasons;           /* SL_REASONS_ALL when the point names none */
    struct sl_bytes crl_issuer; /* DER Name of cRLIssuer; empty: the certificate's own issuer */
};
size_t sl_cert_crl_points(const struct sl_cert *c, struct sl_crl_point v[SL_CERT_POINTS_MAX]);
/* freshestCRL URIs of a certificate or of a complete CRL (RFC 5280 4.2.1.15, 5.2.6). */
size_t sl_cert_freshest_uris(const struct sl_cert *c, const char *uri[SL_CERT_URI_MAX]);
size_t sl_crl_freshest_uris(const struct sl_crl *crl, const char *uri[SL_CERT_URI_MAX]);

bool sl_crl_is_delta(const struct sl_crl *crl);
bool sl_crl_is_indirect(const struct sl_crl *crl);
struct sl_bytes sl_crl_issuer_der(const struct sl_crl *crl); /* DER Name; lent */
/* The keyIdentifier of authorityKeyIdentifier, to pick the issuer's certificate; empty: none. */
struct sl_bytes sl_crl_authority_key(const struct sl_crl *crl);

/* What all CRLs looked at so far say about one certificate. All zero to begin with. */
struct sl_crl_status {
    uint16_t reasons; /* 6.3.3 reasons_mask; SL_REASONS_ALL: nothing is left to ask */
    bool stale;       /* a list that counted is past its nextUpdate */
    bool
        no_key_usage; /* a list that counted is of an issuer without keyUsage: 6.3.3 (f) allows it */
    struct sl_rev_answer answer; /* revoked at once; else times of the list that ends first */
};
struct sl_crl_use {
    struct sl_crl *crl;   /* complete */
    struct sl_crl *delta; /* may be NULL: none at hand; must fit crl (6.3.3 (c)) */
    /*
     * Whose key signed the list: the certificate's issuer, or the indirect CRL issuer's certificate,
     * for which the caller has validated a path to the same anchor.
     */
    const struct sl_cert *crl_issuer;
    const struct sl_cert *cert, *issuer;
    int64_t now_utc_s;
};
/*
 * RFC 5280 6.3.3 (b) to (l) for one list: issuer, scope (IDP against each distribution point),
 * reasons, key usage, signature, times, entry with certificateIssuer. Adds what it finds to status.
 * SL_OK: it counted (perhaps status->stale); REVOCATION_INVALID: it does not count, status unchanged;
 * REVOCATION_STALE only for a delta that is past its nextUpdate and does not revoke. When a call with
 * a delta fails, the complete list may still count alone when given without it. Once revoked, status
 * stays as it is.
 */
SL_MUST_USE enum sl_rc sl_crl_apply(struct sl_crl_status *status, const struct sl_crl_use *use,
                                    struct sl_err *err);

/*
 * OCSP with a delegate that must itself be looked up (RFC 6960 4.2.2.2.1): as sl_ocsp_check, but a
 * delegate without id-pkix-ocsp-nocheck is handed out in *delegate (a reference) with SL_OK or
 * REVOCATION_STALE, and the answer counts only once the caller has found the delegate not revoked;
 * else *delegate is NULL then. extra: a responder that configuration trusts for this CA (RFC 6960
 * 4.2.2.2 case 1), or NULL.
 */
SL_MUST_USE enum sl_rc sl_ocsp_check_delegated(struct sl_bytes der, const struct sl_cert *cert,
                                               const struct sl_cert *issuer,
                                               const struct sl_cert *extra, struct sl_bytes nonce,
                                               int64_t now_utc_s, struct sl_rev_answer *out,
                                               struct sl_cert **delegate, struct sl_err *err);

#endif
