/*
 * Revocation of a whole path from a heap of CRLs, as a caller of sl_crl_apply does it but without
 * fetching: every list that applies until no reason is left, deltas, indirect lists with the path of
 * their issuer.
 */
#ifndef SL_TEST_REVOKE_H
#define SL_TEST_REVOKE_H

#include "sealane/path.h"
#include "sealane/revocation.h"

struct test_revoke {
    const struct sl_path_params *params; /* of the path; its peer list holds the CRL issuers too */
    struct sl_crl *const *crl;
    size_t n;
};

/*
 * SL_OK: every certificate but the anchor is known not to be revoked. REVOKED; REVOCATION_STALE;
 * REVOCATION_UNAVAILABLE when some reason was left without an answer.
 */
SL_MUST_USE enum sl_rc test_path_revoked(const struct test_revoke *r, const struct sl_path *path,
                                         struct sl_err *err);
/* The first path of the finder that is not revoked; else the reason of the last one. */
SL_MUST_USE enum sl_rc test_path_good(const struct test_revoke *r, struct sl_path *out,
                                      struct sl_err *err);

#endif
