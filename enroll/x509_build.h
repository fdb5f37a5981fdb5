/*
 * Building blocks for certificates and requests on libcrypto's X.509: names, alternative names,
 * extensions, serials, PKCS#10 (RFC 2986). Shared by the authority and the enrolment client.
 */
#ifndef SEALANE_ENROLL_X509_BUILD_H
#define SEALANE_ENROLL_X509_BUILD_H

#include "sealane/decision.h"
#include "sealane/key.h"
#include "sealane/store.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Scope-bound libcrypto objects. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type */
#define XB_AUTO_DEFINE(type, free_fn)         \
    static inline void type##_auto_(type **p) \
    {                                         \
        free_fn(*p);                          \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
#define XB_AUTO(type) __attribute__((cleanup(type##_auto_))) type
static inline void xb_x509_stack_free(STACK_OF(X509) * sk)
{
    sk_X509_pop_free(sk, X509_free);
}
typedef STACK_OF(X509) xb_x509_stack;
XB_AUTO_DEFINE(xb_x509_stack, xb_x509_stack_free)
XB_AUTO_DEFINE(X509, X509_free)
XB_AUTO_DEFINE(X509_REQ, X509_REQ_free)
XB_AUTO_DEFINE(X509_NAME, X509_NAME_free)
XB_AUTO_DEFINE(GENERAL_NAMES, GENERAL_NAMES_free)
XB_AUTO_DEFINE(EVP_PKEY, EVP_PKEY_free)
XB_AUTO_DEFINE(ASN1_INTEGER, ASN1_INTEGER_free)
XB_AUTO_DEFINE(ASN1_OBJECT, ASN1_OBJECT_free)

#define XB_SAN_MAX 64 /* alternative names of one certificate */
#define XB_RDN_MAX 16 /* parts of a subject */

/* ---- decoding: exactly one object, no byte left over ---------------------------------------------- */
SL_MUST_USE enum sl_rc xb_cert_read(X509 **out, struct sl_bytes der, struct sl_err *err);
SL_MUST_USE enum sl_rc xb_name_read(X509_NAME **out, struct sl_bytes der, struct sl_err *err);
SL_MUST_USE enum sl_rc xb_san_read(GENERAL_NAMES **out, struct sl_bytes der, struct sl_err *err);
SL_MUST_USE enum sl_rc xb_spki_read(EVP_PKEY **out, struct sl_bytes der, struct sl_err *err);
/* ---- encoding: appended to out --------------------------------------------------------------------- */
SL_MUST_USE enum sl_rc xb_cert_der(struct sl_buf *out, const X509 *x, struct sl_err *err);
SL_MUST_USE enum sl_rc xb_name_der(struct sl_buf *out, const X509_NAME *name, struct sl_err *err);
SL_MUST_USE enum sl_rc xb_san_der(struct sl_buf *out, const GENERAL_NAMES *san, struct sl_err *err);
SL_MUST_USE enum sl_rc xb_spki_der(struct sl_buf *out, const X509 *x, struct sl_err *err);

/* Lower-case hex of a serial number; false when negative, zero or over 20 octets (RFC 5280 4.1.2.2). */
SL_MUST_USE bool xb_serial_text(char out[SL_SERIAL_TEXT], const ASN1_INTEGER *serial);
/* The same form from what a person typed: case, colons and leading zeros are free. */
SL_MUST_USE bool xb_serial_parse(char out[SL_SERIAL_TEXT], const char *text);
/* RFC 4514 text of a Name, cut to cap; returns out. */
char *xb_name_text(char *out, size_t cap, const X509_NAME *name);
/* One name: "dns:a"; "other name" for a type that is not certified here. Returns out. */
char *xb_san_item(char out[SL_ID_TEXT], const GENERAL_NAME *name);
/* "dns:a, ip:192.0.2.1", printable, cut to cap; returns out. */
char *xb_san_text(char *out, size_t cap, const GENERAL_NAMES *san);
/* UTC seconds; false when the time cannot be read. */
SL_MUST_USE bool xb_time(int64_t *utc_s, const ASN1_TIME *t);
void xb_sha256_spki(uint8_t out[32], struct sl_bytes spki);

/* ---- alternative names ------------------------------------------------------------------------------ */
/* Adds "dns:..", "ip:.." or "email:.."; CONFIG_VALUE for anything else. */
SL_MUST_USE enum sl_rc xb_san_add(GENERAL_NAMES *san, const char *text, struct sl_err *err);
/* Adds a copy unless an equal one is there. */
SL_MUST_USE enum sl_rc xb_san_add_name(GENERAL_NAMES *san, GENERAL_NAME *name, struct sl_err *err);
/* A type this system certifies (dNSName, iPAddress, rfc822Name), with well-formed contents. */
SL_MUST_USE bool xb_san_usable(const GENERAL_NAME *name);
bool xb_san_has(const GENERAL_NAMES *san, const GENERAL_NAME *name); /* case folded for DNS */

/* ---- certificates ------------------------------------------------------------------------------------ */
/* The digest X.509, CMS and OCSP signatures of this key use; NULL for Ed25519, which has its own. */
const EVP_MD *xb_digest(const EVP_PKEY *pkey);
struct xb_cert {
    const char *serial; /* hex */
    const X509_NAME *subject, *issuer;
    EVP_PKEY *key;     /* public part is enough */
    X509 *issuer_cert; /* for the authority key identifier; NULL: self-signed */
    int64_t not_before, not_after;
    bool ca;
    int path_len;       /* CA: -1 none */
    unsigned key_usage; /* KU_ bits of x509v3.h */
    int eku_nid;        /* NID_undef: none */
    const GENERAL_NAMES *san;
    const char *crl_uri, *ocsp_uri, *issuer_uri; /* NULL: none */
    bool ocsp_nocheck;
};
/* Makes and signs; the signature is checked again with the issuer's public key before *out is set. */
SL_MUST_USE enum sl_rc xb_cert_make(X509 **out, const struct xb_cert *c, EVP_PKEY *signer,
                                    struct sl_err *err);

/* ---- requests (PKCS#10) ------------------------------------------------------------------------------ */
struct xb_csr {
    X509_REQ *req;
    struct sl_buf spki, tbs;
    const X509_NAME *subject;   /* of req */
    GENERAL_NAMES *san;         /* asked for; never NULL, maybe empty */
    struct sl_secret challenge; /* empty when there is none */
};
void xb_csr_clear(struct xb_csr *c);
/*
 * Reads, checks the shape, the key and the signature: CA_REQUEST, CA_REQUEST_SIGNATURE,
 * WEAK_ALGORITHM. sha1 allows that digest in the request's own signature.
 */
SL_MUST_USE enum sl_rc xb_csr_read(struct xb_csr *out, struct sl_bytes der, bool sha1,
                                   struct sl_err *err);
/* A request for key signed by it. challenge and san may be empty. */
SL_MUST_USE enum sl_rc xb_csr_make(struct sl_buf *der, const X509_NAME *subject,
                                   const GENERAL_NAMES *san, struct sl_bytes challenge,
                                   struct sl_bytes spki, EVP_PKEY *key, struct sl_err *err);
/* RSA of at least 2048 bits with a usual exponent, P-256/384/521 or Ed25519. */
SL_MUST_USE enum sl_rc xb_key_check(struct sl_bytes spki, struct sl_err *err);

#endif
