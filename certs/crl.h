/* The inside of a CRL, for certs/crl*.c only. */
#ifndef CERTS_CRL_H
#define CERTS_CRL_H

#include "certs/internal.h"
#include "sealane/revocation.h"

#include <openssl/x509v3.h>

/* One revoked certificate: 8 bytes beside the DER, sorted by hash, then serial, then place. */
struct crl_entry {
    uint32_t hash; /* of the serial's content octets */
    uint32_t at;   /* where the entry's SEQUENCE starts in the DER */
};

struct sl_crl {
    unsigned refs;
    struct sl_bytes der, tbs; /* der is owned, tbs a part of it */
    X509_CRL *head;           /* the list without its entries; its signature is of the whole */
    long version;             /* 0: v1, 1: v2 */
    char issuer[256], number[48];
    struct sl_buf issuer_der;
    ASN1_INTEGER *serial, *base; /* cRLNumber, BaseCRLNumber; NULL when absent */
    bool number_critical, delta;
    AUTHORITY_KEYID *authority;
    ISSUING_DIST_POINT *idp;
    int64_t this_update, next_update;
    char *fresh[SL_CERT_URI_MAX];
    size_t fresh_n;
    struct crl_entry *entry;
    size_t entry_n;
    /* Indirect lists: where the entries start that carry certificateIssuer, ascending. */
    uint32_t *change;
    size_t change_n;
    char critical[80];   /* a critical extension, of the list or an entry, that is not known */
    uint8_t checked[32]; /* SHA-256 of the issuer key whose signature check succeeded */
    bool checked_ok;
};

static inline bool crl_indirect(const struct sl_crl *crl)
{
    return crl->idp && crl->idp->indirectCRL > 0;
}

/* Takes der apart: head, tbs, version. */
SL_MUST_USE enum sl_rc crl_frame(struct sl_crl *crl, struct sl_bytes *entries, struct sl_err *err);
/* Fills entry, change and critical from the content of revokedCertificates. */
SL_MUST_USE enum sl_rc crl_index(struct sl_crl *crl, struct sl_bytes entries, struct sl_err *err);

struct crl_found {
    bool found;
    long reason;           /* CRLReason; -1: none that can be read */
    int64_t revoked_utc_s; /* 0: cannot be read */
};
/* The entry of the certificate with this serial and issuer; false only when memory ran out. */
SL_MUST_USE bool crl_find(struct crl_found *out, const struct sl_crl *crl,
                          const ASN1_INTEGER *serial, const X509_NAME *issuer);

/* Issued by that subject, with a key that may sign lists, and what 5.1 and 5.2 demand of any list. */
SL_MUST_USE enum sl_rc crl_usable(const struct sl_crl *crl, struct sl_err *err);

#endif
