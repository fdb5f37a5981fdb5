/* What ca.c, ca_request.c, crl.c and ocsp_responder.c share. */
#ifndef SEALANE_ENROLL_CA_INTERNAL_H
#define SEALANE_ENROLL_CA_INTERNAL_H

#include "enroll/x509_build.h"
#include "sealane/ca.h"

#define CA_BACKDATE_S 300 /* notBefore and thisUpdate lie this far back: peers' clocks differ */

struct ca_member {  /* one certificate of the authority with its key */
    X509 *cert;     /* NULL: not there */
    EVP_PKEY *pkey; /* does its private operations through keys */
    struct sl_buf spki;
    struct sl_key key;
};

struct sl_ca {
    struct sl_ca_env env;
    struct ca_member member[SL_CA_ROLE_COUNT];
    char crl_uri[SL_CA_ROLE_COUNT][512]; /* of what root and issuing CA sign */
    char ocsp_uri[512], cert_uri[512];
};

enum sl_rc ca_need_ready(const struct sl_ca *ca, struct sl_err *err);
/* Hands {"...": ...} to the audit log; takes body. */
void ca_record(const struct sl_ca *ca, const char *kind, json_t *body);
/* A serial of 128 random bits, on record as taken before anything is signed with it. */
SL_MUST_USE enum sl_rc ca_take_serial(struct sl_ca *ca, const char *kind, int64_t request,
                                      int64_t now, char serial[SL_SERIAL_TEXT], struct sl_err *err);
/* Signs c, whose serial has been taken, and puts it on record; the certificate is *out's. */
SL_MUST_USE enum sl_rc ca_sign_and_store(struct sl_ca *ca, const struct xb_cert *c,
                                         EVP_PKEY *signer, const char *kind, int64_t request,
                                         const char *value, int64_t now, X509 **out,
                                         struct sl_err *err);
int64_t ca_cert_time(const ASN1_TIME *t); /* UTC seconds, 0 when it cannot be read */
int64_t ca_earlier(int64_t a, int64_t b);
/* Sign lists and responses whose scheduled time has come. */
enum sl_rc crl_make(struct sl_ca *ca, enum sl_ca_role issuer, int64_t now, struct sl_buf *der,
                    struct sl_err *err);

#endif
