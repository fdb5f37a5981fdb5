/*
 * Certificates, CRLs and OCSP responses made on the spot with libcrypto, for tests of whatever reads
 * them. Everything made lives until exit. A failure inside aborts the test.
 */
#ifndef SL_TEST_CERTS_H
#define SL_TEST_CERTS_H

#include "sealane/bytes.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* A time within the life of everything made with default times: 2026-11-23T12:00:00Z. */
#define TEST_NOW INT64_C(1795435200)
#define TEST_DAY INT64_C(86400)

struct test_cert {
    X509 *x;
    EVP_PKEY *key;
    struct sl_bytes der, spki;
};

/* Zero or NULL: the default. */
struct test_spec {
    const char *subject;        /* RFC 4514: "CN=gw-a,O=Lab" */
    const struct test_cert *by; /* issuer; NULL: self-signed */
    const char *key; /* "p256" (default), "p224", "p384", "p521", "rsa:2048", "ed25519", "ed448" */
    const struct test_cert *same_key; /* use its key instead */
    int64_t from, to;                 /* default TEST_NOW -/+ 10 days */
    long serial;                      /* default: counts up from 1000 */
    const char *md;                   /* "SHA256" default; "" with Ed25519 */
    bool ca; /* basicConstraints, keyUsage keyCertSign|cRLSign, key identifiers */
    /* More extensions, libcrypto's names and syntax, one a line: "subjectAltName=DNS:a\n". */
    const char *ext;
};
struct test_cert test_cert(const struct test_spec *spec);

struct test_crl_spec {
    const struct test_cert *by;
    int64_t from, to; /* thisUpdate default TEST_NOW - 1 h, nextUpdate + 1 day */
    bool no_next;
    long number;         /* 0: 1; -1: none */
    long revoked[8];     /* serials, 0 ends */
    const char *reason;  /* of each entry: "keyCompromise" */
    const char *idp;     /* issuingDistributionPoint in libcrypto's syntax, "critical," in front */
    bool delta;          /* deltaCRLIndicator */
    bool critical_entry; /* an unknown critical entry extension */
    bool critical;       /* an unknown critical extension */
    const char *md;
    const struct test_cert *signer; /* key that signs instead of by's */
};
struct sl_bytes test_crl(const struct test_crl_spec *spec);

struct test_ocsp_single {
    const struct test_cert *cert, *by;
    int status;
    int64_t from, to;
    bool critical; /* with an unknown critical extension */
};
struct test_ocsp_spec {
    const struct test_cert *cert, *by; /* whose status; its issuer */
    const struct test_cert *signer;    /* default by; else its certificate goes along */
    int status;                        /* V_OCSP_CERTSTATUS_* */
    int64_t from, to;                  /* default TEST_NOW - 1 h, + 1 day */
    int64_t produced;                  /* default TEST_NOW - 1 h */
    int reason;                        /* default keyCompromise */
    bool no_next, by_key, sha256;      /* ResponderID by key; certID with SHA-256 */
    struct sl_bytes nonce;
    int response_status; /* OCSP_RESPONSE_STATUS_*, 0 successful */
    bool without_cert;   /* the delegate's certificate stays away */
    bool bare_nonce;     /* without the OCTET STRING around it */
    const char *md;
    const struct test_ocsp_single *more; /* further answers, after the first */
    size_t more_n;
    const struct test_cert *first_cert; /* goes along before the delegate's */
};
struct sl_bytes test_ocsp(const struct test_ocsp_spec *spec);

/* PEM text of a certificate. */
struct sl_bytes test_pem(const struct test_cert *c);
/* Copy that lives until exit. */
struct sl_bytes test_keep(struct sl_bytes v);

#endif
