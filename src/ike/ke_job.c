/* Key exchange as a piece of work for any thread: see struct sl_ke_job in sealane/ike.h. */
#include "sealane/ike.h"

#include <stdlib.h>

void sl_ke_job_run(struct sl_ke_job *job)
{
    sl_err_reset(&job->err);
    sl_secret_clear(&job->shared);
    job->rc = SL_OK;
    const struct sl_bytes peer = sl_buf_bytes(&job->peer_public);
    if (!job->kex && !peer.len)
        job->rc = sl_kex_new(&job->kex, job->group, &job->err);
    else if (!job->kex)
        job->rc = sl_kex_respond(&job->kex, job->group, peer, &job->shared, &job->err);
    else if (peer.len)
        job->rc = sl_kex_derive(job->kex, peer, &job->shared, &job->err);
}

void sl_ke_job_free(struct sl_ke_job *job)
{
    if (!job)
        return;
    sl_kex_free(job->kex);
    sl_buf_clear(&job->peer_public);
    sl_secret_clear(&job->shared);
    free(job);
}
