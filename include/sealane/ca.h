/*
 * The embedded authority: a root, an issuing CA, an RA certificate for SCEP where the CA is not
 * RSA, and a delegated OCSP responder. A core: requests, a time and answers of the key owner go
 * in; certificates, CRLs and OCSP responses come out. State lives behind sealane/store.h, private
 * keys behind struct sl_key_ops, which is called synchronously (docs/adr): a shell runs this in a
 * worker thread.
 *
 * Certificates follow one profile (RFC 5280, RFC 4945 5.1.3): names come from what was permitted
 * (a challenge's, an approved request's, the old certificate's), never from a request's extensions
 * as they stand.
 */
#ifndef SEALANE_CA_H
#define SEALANE_CA_H

#include "sealane/config.h"
#include "sealane/key.h"
#include "sealane/rng.h"
#include "sealane/store.h"

#include <jansson.h>
#include <openssl/x509.h>

enum sl_ca_role { SL_CA_ROOT, SL_CA_ISSUING, SL_CA_RA, SL_CA_OCSP, SL_CA_ROLE_COUNT };
const char *sl_ca_role_text(enum sl_ca_role role); /* "root", "issuing", "ra", "ocsp" */
const char *sl_ca_key_name(enum sl_ca_role role);  /* "ca-root", "ca-issuing", "ca-ra", "ca-ocsp" */

struct sl_ca_env { /* borrowed for the life of the authority */
    const struct sl_conf_authority *conf;
    struct sl_store *store;
    const struct sl_key_ops *keys;
    struct sl_rng rng;
    /* Told of every issuing, revocation and decision, with a JSON object for the audit log; may be NULL. */
    void (*record)(void *ctx, const char *kind, const json_t *body);
    void *ctx;
};

struct sl_ca;
/* Loads the authority's certificates from the store; one not yet initialised opens too. */
SL_MUST_USE enum sl_rc sl_ca_open(struct sl_ca **out, const struct sl_ca_env *env,
                                  struct sl_err *err);
void sl_ca_free(struct sl_ca *ca);
SL_AUTO_DEFINE(sl_ca)
bool sl_ca_ready(const struct sl_ca *ca);
X509 *sl_ca_cert_get(const struct sl_ca *ca,
                     enum sl_ca_role role); /* lent; NULL where there is none */

/*
 * Makes the certificates. The shell has generated the keys of sl_ca_key_name before: spki[role] is
 * the DER SubjectPublicKeyInfo of each, empty for SL_CA_RA when the issuing key is RSA (it then
 * serves SCEP itself). name goes into the subjects: "Lab" makes "Lab Root CA", "Lab Issuing CA".
 * SL_EXISTS when there is an authority already; SL_WEAK_ALGORITHM, CA_REQUEST for a key that does
 * not fit its role.
 */
struct sl_ca_setup {
    const char *name;
    struct sl_bytes spki[SL_CA_ROLE_COUNT];
    int64_t root_lifetime_s, issuing_lifetime_s; /* 0: 20 and 10 years */
};
SL_MUST_USE enum sl_rc sl_ca_setup(struct sl_ca *ca, const struct sl_ca_setup *setup, int64_t now,
                                   struct sl_err *err);

/* ---- challenges -------------------------------------------------------------------------------- */
/*
 * A one-time password for the device called name, which is printed once and kept as a hash. The
 * certificate will bear the subject CN=name and, of the alternative names the request asks for,
 * those permitted: name itself as dNSName (iPAddress, rfc822Name) by its form, and san ("dns:..",
 * "ip:..", "email:..").
 */
SL_MUST_USE enum sl_rc sl_ca_challenge(struct sl_ca *ca, const char *name, const char *const *san,
                                       size_t san_n, int64_t lifetime_s, int64_t now,
                                       struct sl_secret *text, struct sl_err *err);

/* ---- requests ---------------------------------------------------------------------------------- */
struct sl_ca_request { /* borrowed */
    const char *transaction_id;
    struct sl_bytes csr; /* DER CertificationRequest */
    X509 *signer;        /* certificate that signed the message; who may poll */
    X509 *old;           /* renewal: the certificate that is proven to be the asker's; else NULL */
    const char *source;  /* address, for people */
};
enum sl_ca_outcome { SL_CA_ISSUED = 1, SL_CA_PENDING };
struct sl_ca_answer {
    enum sl_ca_outcome outcome;
    int64_t request;
    struct sl_buf der; /* the certificate when issued; the caller clears it */
    char serial[SL_SERIAL_TEXT];
};
/*
 * Judges and, where it is permitted, issues. The same request again (transaction, contents) has the
 * same answer. A refusal is an error: CA_CHALLENGE_*, CA_REQUEST, CA_REQUEST_SIGNATURE, CA_RENEWAL,
 * CA_REJECTED, WEAK_ALGORITHM.
 */
SL_MUST_USE enum sl_rc sl_ca_submit(struct sl_ca *ca, const struct sl_ca_request *req, int64_t now,
                                    struct sl_ca_answer *answer, struct sl_err *err);
/* The state of an earlier request, for its signer only; NOT_FOUND, CA_REJECTED. */
SL_MUST_USE enum sl_rc sl_ca_poll(struct sl_ca *ca, const char *transaction_id, X509 *signer,
                                  int64_t now, struct sl_ca_answer *answer, struct sl_err *err);
/* An operator's decisions. approve issues at once. */
SL_MUST_USE enum sl_rc sl_ca_approve(struct sl_ca *ca, int64_t request, int64_t now,
                                     char serial[SL_SERIAL_TEXT], struct sl_err *err);
SL_MUST_USE enum sl_rc sl_ca_reject(struct sl_ca *ca, int64_t request, const char *reason,
                                    int64_t now, struct sl_err *err);

/* ---- revocation -------------------------------------------------------------------------------- */
/* reason as in RFC 5280 5.3.1: "unspecified", "keyCompromise", ...; NULL: unspecified. */
SL_MUST_USE bool sl_ca_reason_parse(int *code, const char *text);
const char *sl_ca_reason_text(int code);
/* Records the revocation and makes a new CRL. Serial in hex, colons and case as one likes. */
SL_MUST_USE enum sl_rc sl_ca_revoke(struct sl_ca *ca, const char *serial, int reason, int64_t now,
                                    struct sl_err *err);
/* The current CRL of root or issuing CA, made anew when there is none, it is due, or force is set. */
SL_MUST_USE enum sl_rc sl_ca_crl(struct sl_ca *ca, enum sl_ca_role issuer, bool force, int64_t now,
                                 struct sl_buf *der, struct sl_err *err);
/*
 * Answers a DER OCSPRequest (RFC 6960) with a DER OCSPResponse, an error response included; fails
 * only when not even that can be made. *max_age_s: how long it may be cached, 0 not at all.
 */
SL_MUST_USE enum sl_rc sl_ca_ocsp(struct sl_ca *ca, struct sl_bytes request, int64_t now,
                                  struct sl_buf *response, int64_t *max_age_s, struct sl_err *err);

/*
 * What is due by itself: CRLs by schedule, RA and OCSP certificates before they end, old
 * challenges. *next is when to come again.
 */
SL_MUST_USE enum sl_rc sl_ca_tick(struct sl_ca *ca, int64_t now, int64_t *next, struct sl_err *err);

#endif
