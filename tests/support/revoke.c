#include "tests/support/revoke.h"

#include <string.h>

/* CRL issuers whose own status is being asked for: a list may come to speak of its own issuer. */
struct asking {
    const struct asking *up;
    const struct sl_cert *issuer;
};

static enum sl_rc path_revoked(const struct test_revoke *r, const struct sl_path *path,
                               const struct asking *up, struct sl_err *err);

/*
 * Does a path, itself not revoked, lead from c to the anchor of path (RFC 5280 6.3.3 (f))? An issuer
 * that is being asked about already is taken as good: nobody else could answer for it.
 */
static bool same_anchor(const struct test_revoke *r, const struct sl_cert *c,
                        const struct sl_path *path, const struct asking *up)
{
    struct sl_bytes peer[SL_CHAIN_MAX] = { sl_cert_der(c) };
    struct sl_path_params params = *r->params;
    struct sl_path found = { 0 };
    struct asking here = { .up = up, .issuer = c };
    SL_AUTO(sl_path_finder) *f = NULL;
    for (const struct asking *a = up; a; a = a->up)
        if (sl_bytes_eq(sl_cert_der(a->issuer), sl_cert_der(c)))
            return true;
    params.peer = peer;
    params.peer_n = 1;
    params.any_use = true;
    params.explicit_policy = false; /* the policies of an end entity are not a CRL issuer's */
    for (size_t i = 0; i < r->params->peer_n && params.peer_n < SL_CHAIN_MAX; i++)
        peer[params.peer_n++] = r->params->peer[i];
    if (sl_path_finder_new(&f, &params, NULL) != SL_OK)
        return false;
    while (sl_path_finder_next(f, &found, NULL) == SL_OK) {
        bool same = sl_bytes_eq(sl_cert_der(found.cert[found.n - 1]),
                                sl_cert_der(path->cert[path->n - 1])) &&
                    path_revoked(r, &found, &here, NULL) == SL_OK;
        sl_path_clear(&found);
        if (same)
            return true;
    }
    return false;
}

/* One list, with each delta that fits and last without, signed by by. */
static bool apply(const struct test_revoke *r, struct sl_crl_status *status, struct sl_crl_use use)
{
    for (size_t i = 0; i <= r->n; i++) {
        use.delta = i < r->n ? r->crl[i] : NULL;
        if (use.delta && (!sl_crl_is_delta(use.delta) ||
                          !sl_bytes_eq(sl_crl_issuer_der(use.delta), sl_crl_issuer_der(use.crl))))
            continue;
        if (sl_crl_apply(status, &use, NULL) == SL_OK)
            return true;
    }
    return false;
}

/* Lists by certificates that merely have the CRL issuer's name: another key, or an indirect list. */
static void apply_others(const struct test_revoke *r, struct sl_crl_status *status,
                         struct sl_crl_use use, const struct sl_path *path, const struct asking *up)
{
    for (size_t i = 1; i < r->params->peer_n; i++) {
        SL_AUTO(sl_cert) *c = NULL;
        if (sl_cert_read(&c, r->params->peer[i], NULL) != SL_OK)
            continue;
        struct sl_crl_status with =
            *status; /* the path is dear: only for a list that would count */
        use.crl_issuer = c;
        if (sl_dn_eq(sl_cert_subject_der(c), sl_crl_issuer_der(use.crl)) && apply(r, &with, use) &&
            same_anchor(r, c, path, up)) {
            *status = with;
            return;
        }
    }
}

static enum sl_rc path_revoked(const struct test_revoke *r, const struct sl_path *path,
                               const struct asking *up, struct sl_err *err)
{
    for (size_t i = 0; i + 1 < path->n; i++) {
        struct sl_crl_status status = { 0 };
        for (size_t k = 0; k < r->n && !status.answer.revoked; k++) {
            struct sl_crl_use use = { .crl = r->crl[k],
                                      .crl_issuer = path->cert[i + 1],
                                      .cert = path->cert[i],
                                      .issuer = path->cert[i + 1],
                                      .now_utc_s = r->params->now_utc_s };
            if (!sl_crl_is_delta(use.crl) && !apply(r, &status, use))
                apply_others(r, &status, use, path, up);
        }
        const char *name = sl_cert_name(path->cert[i]);
        if (status.answer.revoked)
            return SL_FAIL(err, SL_REVOKED, "certificate %s is revoked", name);
        if (status.reasons != SL_REASONS_ALL)
            return SL_FAIL(err, SL_REVOCATION_UNAVAILABLE,
                           "certificate %s: the CRLs answer for reasons %03x only", name,
                           status.reasons);
        if (status.stale)
            return SL_FAIL(err, SL_REVOCATION_STALE, "certificate %s: a CRL is stale", name);
    }
    return SL_OK;
}

enum sl_rc test_path_revoked(const struct test_revoke *r, const struct sl_path *path,
                             struct sl_err *err)
{
    return path_revoked(r, path, NULL, err);
}

enum sl_rc test_path_good(const struct test_revoke *r, struct sl_path *out, struct sl_err *err)
{
    SL_AUTO(sl_path_finder) *f = NULL;
    struct sl_path path = { 0 };
    struct sl_err why;
    enum sl_rc revoked = SL_OK;
    SL_TRY(sl_path_finder_new(&f, r->params, err));
    for (;;) {
        enum sl_rc rc = sl_path_finder_next(f, &path, revoked == SL_OK ? err : NULL);
        if (rc != SL_OK)
            return revoked != SL_OK ? SL_FAIL(err, revoked, "%s", sl_err_text(&why)) : rc;
        revoked = test_path_revoked(r, &path, &why);
        if (revoked == SL_OK) {
            *out = path;
            return SL_OK;
        }
        sl_path_clear(&path);
    }
}
