/*
 * Certificates: reading them, building and checking a path to an anchor, telling from CRLs and OCSP
 * responses whether they are revoked, and matching IKE identities with them. Cores: bytes and a time
 * come in, answers go out; nothing here fetches, waits or reads a clock.
 *
 * Every refusal names the certificate (subject and serial), the rule and its RFC section.
 */
#ifndef SEALANE_CERTS_H
#define SEALANE_CERTS_H

#include "sealane/decision.h"
#include "sealane/err.h"

#include <openssl/x509.h>

/* ---- distinguished names (RFC 4514) ------------------------------------------------------------ */
/* "CN=gw-a,O=Lab", most specific part first, to the DER of a Name; types by short name or OID. */
SL_MUST_USE enum sl_rc sl_dn_parse(struct sl_buf *der, const char *text, struct sl_err *err);
/* Text of a DER Name, printable ASCII, cut to cap; "" when it is empty or not a Name. Returns out. */
char *sl_dn_text(char *out, size_t cap, struct sl_bytes der);
/* Both are Names and equal by RFC 5280 7.1 (case and white space folded). */
bool sl_dn_eq(struct sl_bytes a, struct sl_bytes b);

/* ---- one certificate --------------------------------------------------------------------------- */
#define SL_CERT_MAX_BYTES 65536
#define SL_CERT_URI_MAX   8 /* of one kind taken from a certificate */

/* Immutable after reading and counted; one thread at a time. */
struct sl_cert;
/* Exactly one DER certificate; CERT_MALFORMED, TOO_LARGE. */
SL_MUST_USE enum sl_rc sl_cert_read(struct sl_cert **out, struct sl_bytes der, struct sl_err *err);
struct sl_cert *sl_cert_ref(struct sl_cert *c);
void sl_cert_free(struct sl_cert *c); /* gives one reference back */
SL_AUTO_DEFINE(sl_cert)

struct sl_bytes sl_cert_der(const struct sl_cert *c);
const char *sl_cert_subject(const struct sl_cert *c); /* RFC 4514 */
const char *sl_cert_issuer(const struct sl_cert *c);
const char *sl_cert_serial(
    const struct sl_cert *c); /* lower-case hex, "-" in front when negative */
const char *sl_cert_sha256(const struct sl_cert *c); /* of the DER, lower-case hex */
const char *sl_cert_name(const struct sl_cert *c);   /* "CN=gw-a (serial 0a1b)", for messages */
struct sl_bytes sl_cert_subject_der(const struct sl_cert *c);
struct sl_bytes sl_cert_spki(const struct sl_cert *c); /* DER SubjectPublicKeyInfo */
/* SHA-1 of the SubjectPublicKeyInfo, 20 bytes: the form of a CERTREQ (RFC 7296 3.7). */
struct sl_bytes sl_cert_key_sha1(const struct sl_cert *c);
int64_t sl_cert_not_before(const struct sl_cert *c);
int64_t sl_cert_not_after(const struct sl_cert *c);
bool sl_cert_is_ca(const struct sl_cert *c); /* basicConstraints cA (RFC 5280 4.2.1.9) */
bool sl_cert_self_issued(const struct sl_cert *c);
/* The i-th subjectAltName of a type; false past the last. FQDN, RFC822_ADDR, IPV4, IPV6 only. */
bool sl_cert_san(const struct sl_cert *c, enum sl_id_type type, size_t i, struct sl_bytes *value);
/* The first value of a subject attribute by short name ("CN", "serialNumber") or OID, as UTF-8. */
SL_MUST_USE bool sl_cert_subject_attr(const struct sl_cert *c, const char *type,
                                      struct sl_buf *utf8);
/* URIs: OCSP responders of authorityInfoAccess; fullName URIs of cRLDistributionPoints. */
size_t sl_cert_ocsp_uris(const struct sl_cert *c, const char *uri[SL_CERT_URI_MAX]);
size_t sl_cert_crl_uris(const struct sl_cert *c, const char *uri[SL_CERT_URI_MAX]);
X509 *sl_cert_x509(const struct sl_cert *c); /* lent; for libcrypto's own functions */

/* An owned list. */
struct sl_certs {
    struct sl_cert **v;
    size_t n;
};
SL_MUST_USE bool sl_certs_add(struct sl_certs *list, struct sl_cert *c); /* takes a reference */
void sl_certs_clear(struct sl_certs *list);
/* Every certificate of a PEM text, or one in DER; what names the file in messages. At least one. */
SL_MUST_USE enum sl_rc sl_certs_load(struct sl_certs *list, struct sl_bytes pem_or_der,
                                     const char *what, struct sl_err *err);

/* ---- paths (RFC 5280 6.1; IKE rules of RFC 4945 5.1.3 on top) ----------------------------------- */
#define SL_PATH_MAX     10   /* certificates in a path, the anchor included */
#define SL_PATH_EXTRA   1024 /* intermediates handed in, of all sources */
#define SL_RSA_MAX_BITS 8192 /* larger keys cost more than an honest peer needs */

/* Beside RFC 5280; STRICT adds rules of CA/Browser kind that harm nobody else. */
enum sl_profile { SL_PROFILE_RFC5280 = 0, SL_PROFILE_STRICT };

#define SL_PATH_POLICIES_MAX 32
struct sl_path {
    struct sl_cert *cert[SL_PATH_MAX]; /* [0] end entity, [n-1] anchor */
    size_t n;
    /* The user-constrained policy set (RFC 5280 6.1.5), OIDs as text; 2.5.29.32.0: any. */
    char policy[SL_PATH_POLICIES_MAX][64];
    size_t policy_n;
};
void sl_path_clear(struct sl_path *p);

struct sl_path_budget;
struct sl_path_params {
    const struct sl_certs *anchors;       /* also ones that are not self-issued */
    const struct sl_certs *intermediates; /* from configuration; may be NULL */
    const struct sl_bytes *peer;          /* DER, [0] the end entity */
    size_t peer_n;
    int64_t now_utc_s;            /* validity is inclusive at both ends (RFC 5280 4.1.2.5) */
    uint16_t min_rsa_bits;        /* 0: 2048 */
    uint16_t min_ec_bits;         /* 0: 256 */
    const char *const *signature; /* allowed below the anchor, sl_signature_valid; none: not weak */
    size_t signature_n;
    const char *const *eku; /* allowed, OID or name; none: absent, anyExtendedKeyUsage, ipsecIKE */
    size_t eku_n;
    bool any_use; /* key usage and EKU of the end entity are not looked at */
    bool strict; /* also what RFC 5280 demands of issuers only: key identifiers, key usage of CAs */
    enum sl_profile profile;
    const char *const *policy; /* user-initial-policy-set, OIDs; none: any-policy (6.1.1 (c)) */
    size_t policy_n;
    bool explicit_policy, inhibit_any, inhibit_mapping; /* 6.1.1 (e) to (g) */
    uint8_t max_depth; /* intermediates that are not self-issued; 0: what SL_PATH_MAX leaves */
    bool depth_zero;   /* max_depth 0 means none */
    const struct sl_path_budget *budget; /* sealane/path.h; NULL: the defaults */
};
/*
 * One path from peer[0] to an anchor. A certificate of the peer past the first that cannot be read
 * is left out. Errors: family CERT, each naming certificate, rule and section.
 */
SL_MUST_USE enum sl_rc sl_path_build(struct sl_path *out, const struct sl_path_params *params,
                                     struct sl_err *err);
/* Whether name is an EKU that trust.eku may hold: a known name or an OID. */
bool sl_eku_valid(const char *name);
/*
 * Whether name is a signature algorithm that trust.signature may hold, without case: "rsa-sha256",
 * "rsa-pss-sha256", "ecdsa-sha256", "ed25519" and so on, or libcrypto's short name of one of them.
 */
bool sl_signature_valid(const char *name);
/* The i-th such name, for messages; NULL: no more. */
const char *sl_signature_name(size_t i);

/* ---- revocation --------------------------------------------------------------------------------- */
#define SL_REV_SKEW_S     300 /* how far thisUpdate may lie in our future: clocks differ */
#define SL_CRL_MAX_BYTES  ((size_t)100 << 20)
#define SL_OCSP_MAX_BYTES 65536
#define SL_OCSP_NO_NEXT_S \
    300 /* a response without nextUpdate is used this long (RFC 6960 4.2.2.1) */
#define SL_OCSP_NONCE_LEN 16 /* RFC 8954 2.1 */

/* What one source says about one certificate. */
struct sl_rev_answer {
    bool revoked;
    int64_t this_update, next_update; /* UTC seconds */
    int64_t revoked_utc_s;            /* when revoked */
    const char *why;                  /* "keyCompromise", "" when not said; static storage */
    char responder[256];              /* who signed, RFC 4514 */
};

/* A CRL; counted, one thread at a time. */
struct sl_crl;
/* DER, or PEM holding one. REVOCATION_INVALID, TOO_LARGE. */
SL_MUST_USE enum sl_rc sl_crl_read(struct sl_crl **out, struct sl_bytes der_or_pem,
                                   struct sl_err *err);
struct sl_crl *sl_crl_ref(struct sl_crl *crl);
void sl_crl_free(struct sl_crl *crl); /* gives one reference back */
SL_AUTO_DEFINE(sl_crl)
struct sl_bytes sl_crl_der(const struct sl_crl *crl);
const char *sl_crl_issuer(const struct sl_crl *crl); /* RFC 4514 */
const char *sl_crl_number(const struct sl_crl *crl); /* hex, "" when it has none */
/* -1, 0, 1 as a's CRL number is below, equal to or above b's; 0 when either has none. */
int sl_crl_number_cmp(const struct sl_crl *a, const struct sl_crl *b);
int64_t sl_crl_this_update(const struct sl_crl *crl);
int64_t sl_crl_next_update(const struct sl_crl *crl);
size_t sl_crl_entries(const struct sl_crl *crl);
/* Is the CRL issuer's, and signed by it? REVOCATION_INVALID. The result is remembered by the CRL. */
SL_MUST_USE enum sl_rc sl_crl_verify(struct sl_crl *crl, const struct sl_cert *issuer,
                                     struct sl_err *err);
/*
 * What the CRL says about cert, issued by issuer (RFC 5280 6.3.3): issuer, scope (IDP), signature,
 * times, entry. SL_OK with *out filled when it is fresh; REVOCATION_STALE with *out filled when only
 * nextUpdate has passed; else REVOCATION_INVALID.
 */
SL_MUST_USE enum sl_rc sl_crl_check(struct sl_crl *crl, const struct sl_cert *cert,
                                    const struct sl_cert *issuer, int64_t now_utc_s,
                                    struct sl_rev_answer *out, struct sl_err *err);

/* A DER OCSPRequest for one certificate. bits: 1 for SHA-1, 256 for SHA-256 certID; nonce may be empty. */
SL_MUST_USE enum sl_rc sl_ocsp_request(struct sl_buf *out, const struct sl_cert *cert,
                                       const struct sl_cert *issuer, unsigned bits,
                                       struct sl_bytes nonce, struct sl_err *err);
/*
 * What a DER OCSPResponse says about cert (RFC 6960 3.2): signer (the issuer itself, or its
 * delegate with id-kp-OCSPSigning and id-pkix-ocsp-nocheck), certID, times. nonce: empty when none
 * was sent or none is demanded. SL_OK, REVOCATION_STALE (*out filled), REVOCATION_UNKNOWN,
 * REVOCATION_INVALID, REVOCATION_UNAVAILABLE (an error status of the responder).
 */
SL_MUST_USE enum sl_rc sl_ocsp_check(struct sl_bytes der, const struct sl_cert *cert,
                                     const struct sl_cert *issuer, struct sl_bytes nonce,
                                     int64_t now_utc_s, struct sl_rev_answer *out,
                                     struct sl_err *err);

/* ---- identity (RFC 4945 3.1, 5.1.3) ------------------------------------------------------------- */
/* How an ID was found in a certificate: its name in records ("dNSName") and the value. */
struct sl_id_match {
    const char *rule; /* static storage */
    char value[SL_ID_TEXT];
};
/*
 * Is id in cert? FQDN: a dNSName, case-insensitive, no wildcard, never the CN; RFC822_ADDR; IPV4 and
 * IPV6 addresses; DER_ASN1_DN: the subject. KEY_ID: only when key_id (from configuration, may be
 * NULL) is equal to it. SL_OK, ID_NOT_IN_CERT, ID_TYPE.
 */
SL_MUST_USE enum sl_rc sl_id_in_cert(const struct sl_id *id, const struct sl_cert *cert,
                                     const struct sl_id *key_id, struct sl_id_match *out,
                                     struct sl_err *err);
/* Our own ID when the connection names none: first dNSName, e-mail, address, else the subject. */
SL_MUST_USE enum sl_rc sl_id_from_cert(struct sl_id *id, const struct sl_cert *cert,
                                       struct sl_err *err);

#endif
