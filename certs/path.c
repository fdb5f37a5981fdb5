/*
 * One path from a peer's certificate to an anchor, for callers who want the first that is valid; see
 * sealane/path.h for the search itself. Revocation is not looked at here.
 */
#include "sealane/path.h"
#include "certs/internal.h"

void sl_path_clear(struct sl_path *p)
{
    for (size_t i = 0; i < p->n; i++)
        sl_cert_free(p->cert[i]);
    *p = (struct sl_path){ 0 };
}

enum sl_rc sl_path_build(struct sl_path *out, const struct sl_path_params *params,
                         struct sl_err *err)
{
    SL_AUTO(sl_path_finder) *f = NULL;
    SL_TRY(sl_path_finder_new(&f, params, err));
    return sl_path_finder_next(f, out, err);
}
