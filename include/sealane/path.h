/*
 * Certification paths (RFC 5280 6.1 in full; the IKE rules of RFC 4945 5.1.3 on top): candidate paths
 * are built depth first with backtracking from everything that is at hand and each is validated as
 * it grows. A core: nothing here fetches, waits or reads the wall clock; what an issuer is missing for
 * is told, so that a caller who can fetch may add it and go on.
 *
 * Revocation is not looked at here. A caller who finds a path revoked asks for the next one.
 */
#ifndef SEALANE_PATH_H
#define SEALANE_PATH_H

#include "sealane/certs.h"

/* What one search may cost; 0 in a field: the default. A search that ends so says CERT_BUDGET. */
struct sl_path_budget {
    uint32_t candidates; /* partial paths looked at; default SL_PATH_CANDIDATES */
    uint32_t signatures; /* signatures verified; default SL_PATH_SIGNATURES */
    int64_t cpu_ns;      /* of the calling thread, all calls into the finder together */
};
#define SL_PATH_CANDIDATES 2000
#define SL_PATH_SIGNATURES 100
#define SL_PATH_CPU_NS     (200 * (int64_t)1000000)
#define SL_PATH_TOLD_MAX   64 /* dead candidates that are kept to be told */

/*
 * A search: yields valid paths one after the other, best first, each at most once. One thread. The
 * lists and strings in params are borrowed until it is freed; certificates are referenced.
 */
struct sl_path_finder;
SL_MUST_USE enum sl_rc sl_path_finder_new(struct sl_path_finder **out,
                                          const struct sl_path_params *params, struct sl_err *err);
void sl_path_finder_free(struct sl_path_finder *f);
SL_AUTO_DEFINE(sl_path_finder)
/*
 * The next valid path, with its valid policies (sl_path.policy). When there is none (any more) the
 * reason is that of the dead candidate which came farthest; CERT_BUDGET when the search was cut.
 */
SL_MUST_USE enum sl_rc sl_path_finder_next(struct sl_path_finder *f, struct sl_path *out,
                                           struct sl_err *err);

/*
 * After a failed _next: the certificates whose issuer was not at hand, for caIssuers (RFC 5280
 * 4.2.2.1) or a directory. Lent; at most max, each certificate once.
 */
size_t sl_path_finder_missing(const struct sl_path_finder *f, struct sl_cert **v, size_t max);
/* One more intermediate, untrusted; _next then also tries paths through it. TOO_LARGE past SL_PATH_EXTRA. */
SL_MUST_USE enum sl_rc sl_path_finder_add(struct sl_path_finder *f, struct sl_cert *c,
                                          struct sl_err *err);

/* A candidate that died, or a path that was found (rc SL_OK): what it was made of and why. */
struct sl_path_candidate {
    struct sl_cert *cert[SL_PATH_MAX]; /* [0] the end entity; referenced */
    size_t n;
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX]; /* certificate, rule, RFC section */
};
size_t sl_path_finder_candidates(const struct sl_path_finder *f,
                                 const struct sl_path_candidate **v);

#endif
