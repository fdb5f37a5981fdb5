/*
 * CRLs written octet by octet, for what libcrypto would not make: unsorted, repeated or malformed
 * entries, odd serials, entries of several issuers, a million of them.
 */
#ifndef SL_TEST_CRL_DER_H
#define SL_TEST_CRL_DER_H

#include "tests/support/certs.h"

/* Appends tag, length and body. */
void der_put(struct sl_buf *out, uint8_t tag, struct sl_bytes body);

struct der_entry {
    const char *serial; /* content octets in hex */
    int reason;         /* 0: none */
    const char *issuer; /* certificateIssuer, RFC 4514 */
    const char *ext;    /* more extensions, DER in hex */
    bool bare;          /* without extensions whatever the rest says */
};
void der_put_entry(struct sl_buf *out, const struct der_entry *e);

/* Zero or NULL: the default. */
struct der_crl {
    const struct test_cert *by, *signer; /* who issues; whose key signs, when another */
    const char *issuer;                  /* RFC 4514; by's subject */
    int version;                         /* 0: v2; 1: v1; else the number written */
    int64_t from, to;                    /* TEST_NOW - 1 h, + 1 day */
    long number, base;                   /* 0: 1, -1: none; base 0: no delta */
    bool number_critical;
    const char *idp;       /* content of a "[idp]" section in libcrypto's syntax */
    const char *authority; /* key identifier in hex */
    const char *freshest;  /* URI */
    const char *ext;       /* more extensions, DER in hex */
    const struct der_entry *entry;
    size_t entry_n;
    struct sl_bytes raw;       /* content of revokedCertificates instead of entry */
    struct sl_bytes inner_alg; /* AlgorithmIdentifier inside, when another than outside */
    bool pss;                  /* an RSA key signs with PSS */
};
struct sl_bytes der_crl(const struct der_crl *spec);

#endif
