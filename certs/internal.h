/* Shared by the files of certs/ only. */
#ifndef CERTS_INTERNAL_H
#define CERTS_INTERNAL_H

#include "sealane/certs.h"
#include "sealane/time.h"

/* Exactly one DER Name; NULL when it is not. */
X509_NAME *certs_name_read(struct sl_bytes der);
/* RFC 4514 text, printable; out holds at least one byte. Returns out. */
char *certs_name_text(char *out, size_t cap, const X509_NAME *name);
/* UTC seconds of an ASN1_TIME; false when it is not one (RFC 5280 4.1.2.5). */
bool certs_time(int64_t *utc_s, const ASN1_TIME *t) SL_MUST_USE;
/* Name of a signature algorithm too weak to be believed ("RSA-SHA1"), else NULL. */
const char *certs_weak_signature(int nid);

#endif
