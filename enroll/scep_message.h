/*
 * SCEP messages (RFC 8894 3): CMS SignedData with SCEP's attributes around CMS EnvelopedData. Used
 * by client and server alike; who a signer is and what a message may do is decided by them.
 *
 *   pkiMessage = SignedData { attributes, signer, pkcsPKIEnvelope }
 *   pkcsPKIEnvelope = EnvelopedData { recipient, CSR | degenerate SignedData | IssuerAndSubject }
 */
#ifndef SEALANE_ENROLL_SCEP_MESSAGE_H
#define SEALANE_ENROLL_SCEP_MESSAGE_H

#include "enroll/x509_build.h"
#include "sealane/scep.h"

enum scep_type {
    SCEP_CERT_REP = 3,
    SCEP_RENEWAL_REQ = 17,
    SCEP_PKCS_REQ = 19,
    SCEP_CERT_POLL = 20,
    SCEP_GET_CERT = 21,
    SCEP_GET_CRL = 22,
};
enum scep_status { SCEP_SUCCESS = 0, SCEP_FAILURE = 2, SCEP_PENDING = 3 };
enum scep_fail {
    SCEP_BAD_ALG = 0,
    SCEP_BAD_MESSAGE_CHECK = 1,
    SCEP_BAD_REQUEST = 2,
    SCEP_BAD_TIME = 3,
    SCEP_BAD_CERT_ID = 4,
};

#define SCEP_NONCE_LEN       16
#define SCEP_TRANSACTION_MAX 256
#define SCEP_FAIL_TEXT_MAX   256

/*
 * The library context messages are read and made in: the process's own, or, with legacy, one with
 * libcrypto's legacy provider beside the default one.
 */
struct scep_algs {
    bool legacy;
    OSSL_LIB_CTX *libctx; /* NULL: the default context */
    OSSL_PROVIDER *dflt, *old;
};
SL_MUST_USE enum sl_rc scep_algs_init(struct scep_algs *a, bool legacy, struct sl_err *err);
void scep_algs_clear(struct scep_algs *a);

struct scep_attrs {
    enum scep_type type;
    bool has_status;
    enum scep_status status;
    enum scep_fail fail;
    char transaction_id[SCEP_TRANSACTION_MAX]; /* printable; "" while unknown */
    uint8_t sender_nonce[SCEP_NONCE_LEN], recipient_nonce[SCEP_NONCE_LEN];
    bool has_sender_nonce, has_recipient_nonce;
    char fail_text[SCEP_FAIL_TEXT_MAX]; /* id-scep-failInfoText, printable; "" when absent */
    struct sl_bytes
        proof; /* sealane's renewal proof: borrowed when writing, of the message when read */
};

struct scep_message {
    struct scep_attrs attrs;
    X509 *signer;          /* the certificate whose key signed it */
    struct sl_buf content; /* DER EnvelopedData; empty when absent */
    struct sl_buf proof;
    int digest_nid;
};
void scep_message_clear(struct scep_message *m);
/*
 * Reads and verifies. signers NULL: the signer's certificate comes from the message itself (the
 * caller judges it); else it must be one of them. A message that is well-formed but refused leaves
 * its attributes in *m (unverified), so that a server can answer to its transaction.
 * SCEP_MALFORMED, SCEP_LEGACY (names the algorithm), SCEP_SIGNATURE.
 */
SL_MUST_USE enum sl_rc scep_message_read(struct scep_message *m, const struct scep_algs *a,
                                         struct sl_bytes der, STACK_OF(X509) * signers,
                                         struct sl_err *err);
/* Appends the message. content empty: none (RFC 8894 3.3.2.2). digest_nid of CMS; now: signingTime. */
SL_MUST_USE enum sl_rc scep_message_write(struct sl_buf *out, const struct scep_algs *a,
                                          const struct scep_attrs *attrs, struct sl_bytes content,
                                          X509 *signer, EVP_PKEY *key, int digest_nid, int64_t now,
                                          struct sl_err *err);

/* EnvelopedData. cipher_nid out: what it was encrypted with. Plain text is appended; wipe it. */
SL_MUST_USE enum sl_rc scep_envelope_read(struct sl_buf *plain, int *cipher_nid,
                                          const struct scep_algs *a, struct sl_bytes der,
                                          X509 *recipient, EVP_PKEY *key, struct sl_err *err);
SL_MUST_USE enum sl_rc scep_envelope_write(struct sl_buf *out, const struct scep_algs *a,
                                           struct sl_bytes plain, X509 *recipient, int cipher_nid,
                                           struct sl_err *err);

/* Degenerate SignedData: certificates and nothing else (RFC 8894 3.4). */
SL_MUST_USE enum sl_rc scep_certs_write(struct sl_buf *out, STACK_OF(X509) * certs,
                                        struct sl_err *err);
SL_MUST_USE enum sl_rc scep_certs_read(STACK_OF(X509) * *out, struct sl_bytes der,
                                       struct sl_err *err);

/* IssuerAndSubject of CertPoll (RFC 8894 3.3.3). */
SL_MUST_USE enum sl_rc scep_poll_write(struct sl_buf *out, const X509_NAME *issuer,
                                       const X509_NAME *subject, struct sl_err *err);
SL_MUST_USE enum sl_rc scep_poll_read(X509_NAME **issuer, X509_NAME **subject, struct sl_bytes der,
                                      struct sl_err *err);

/*
 * A short-lived self-signed certificate for the first message (RFC 8894 2.3); pub is the public
 * part of key.
 */
SL_MUST_USE enum sl_rc scep_self_signed(X509 **out, const X509_NAME *subject, EVP_PKEY *pub,
                                        EVP_PKEY *key, const struct sl_rng *rng, int64_t now,
                                        struct sl_err *err);

/*
 * Proof that the asker holds the old certificate's key, where that key cannot be SCEP's (RFC 8894
 * needs RSA): the old certificate and a signature by its key over the transaction and the request.
 * See docs/adr on renewal of EC and Ed25519 keys.
 */
SL_MUST_USE enum sl_rc scep_proof_write(struct sl_buf *out, struct sl_bytes old_cert,
                                        const struct sl_key *old_key, const char *transaction_id,
                                        struct sl_bytes csr, struct sl_err *err);
SL_MUST_USE enum sl_rc scep_proof_read(X509 **old, struct sl_bytes proof,
                                       const char *transaction_id, struct sl_bytes csr,
                                       struct sl_err *err);

const char *scep_fail_text(enum scep_fail fail); /* "badRequest" */
enum sl_rc scep_fail_rc(enum scep_fail fail);    /* SL_SCEP_BAD_REQUEST */

#endif
