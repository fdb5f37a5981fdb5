/* Key exchange as a piece of work for any thread: see struct sl_ke_job in sealane/ike.h. */
#include "sealane/ike.h"

#include <stdlib.h>

void sl_ke_job_run(struct sl_ke_job *job)
{
    sl_err_reset(&job->err);
    sl_secret_clear(&job->shared);
    job->rc = SL_OK;
    if (!job->kex)
        job->rc = sl_kex_new(&job->kex, job->group, &job->err);
    if (job->rc == SL_OK && job->peer_public.len)
        job->rc = sl_kex_derive(job->kex, sl_buf_bytes(&job->peer_public), &job->shared, &job->err);
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
