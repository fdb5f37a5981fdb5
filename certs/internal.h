/* Shared by the files of certs/ only. */
#ifndef CERTS_INTERNAL_H
#define CERTS_INTERNAL_H

#include "sealane/certs.h"
#include "sealane/time.h"

#include <openssl/x509v3.h>

/* Exactly one DER Name; NULL when it is not. */
X509_NAME *certs_name_read(struct sl_bytes der);
/* RFC 4514 text, printable; out holds at least one byte. Returns out. */
char *certs_name_text(char *out, size_t cap, const X509_NAME *name);
/* UTC seconds of an ASN1_TIME; false when it is not one (RFC 5280 4.1.2.5). */
bool certs_time(int64_t *utc_s, const ASN1_TIME *t) SL_MUST_USE;
/* Equal but for the case of ASCII letters, as host names are (RFC 4343). */
bool certs_same_nocase(struct sl_bytes a, struct sl_bytes b);
/* Name of a signature algorithm too weak to be believed ("RSA-SHA1"), else NULL. */
const char *certs_weak_signature(int nid);
/* Adds a URI that may be fetched, once; others are left out. */
void certs_put_uri(char *list[SL_CERT_URI_MAX], size_t *n, const GENERAL_NAME *g);

/* ---- points.c: cRLDistributionPoints and freshestCRL -------------------------------------------- */
struct certs_points;
SL_MUST_USE bool certs_points_read(struct certs_points **out, X509 *x); /* false: out of memory */
void certs_points_free(struct certs_points *p);
const struct certs_points *certs_points_of(const struct sl_cert *c);
/* May be NULL or empty; nameRelativeToCRLIssuer is completed. */
const CRL_DIST_POINTS *certs_points_list(const struct sl_cert *c);
/* The fullName URIs of all points. */
void certs_point_uris(char *uri[SL_CERT_URI_MAX], size_t *n, const CRL_DIST_POINTS *list);
/* ReasonFlags as a mask; all when flags is NULL. */
uint16_t certs_reasons(const ASN1_BIT_STRING *flags);

#endif
