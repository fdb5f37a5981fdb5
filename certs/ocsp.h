/* The inside of OCSP, for certs/ocsp*.c only. */
#ifndef CERTS_OCSP_H
#define CERTS_OCSP_H

#include "certs/internal.h"

#include <openssl/ocsp.h>

/* What a response is judged by. */
struct ocsp_ask {
    const struct sl_cert *cert, *issuer, *extra; /* extra: a configured responder, or NULL */
    struct sl_bytes nonce;
    int64_t now_utc_s;
    bool delegates; /* one without id-pkix-ocsp-nocheck is handed out, not refused */
};

/* Verifies the signature. *delegate is set for one that has to be looked up itself. */
SL_MUST_USE enum sl_rc ocsp_check_signer(OCSP_BASICRESP *basic, const struct ocsp_ask *ask,
                                         struct sl_rev_answer *a, struct sl_cert **delegate,
                                         struct sl_err *err);

#endif
