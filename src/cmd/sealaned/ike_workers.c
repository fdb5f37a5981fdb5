/*
 * The ike role's worker threads, for key exchanges. A worker owns a job from the queue to the list of
 * finished ones; the loop's thread does the rest.
 */
#include "src/cmd/sealaned/role_ike.h"

#include "sealane/time.h"

#include <stdlib.h>
#include <string.h>

struct job {
    struct job *next;
    uint64_t id;
    struct sl_ke_job *ke;
};

static void *work(void *arg)
{
    struct role_ike *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->quit) {
        struct job *j = r->todo;
        if (!j) {
            pthread_cond_wait(&r->wake, &r->lock);
            continue;
        }
        r->todo = j->next;
        if (!r->todo)
            r->todo_last = &r->todo;
        pthread_mutex_unlock(&r->lock);
        sl_ke_job_run(j->ke);
        pthread_mutex_lock(&r->lock);
        j->next = r->finished;
        r->finished = j;
        event_active(r->done, 0, 0);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

void ike_on_finished(evutil_socket_t fd, short what, void *ctx)
{
    struct role_ike *r = ctx;
    (void)fd;
    (void)what;
    pthread_mutex_lock(&r->lock);
    struct job *j = r->finished;
    r->finished = NULL;
    pthread_mutex_unlock(&r->lock);
    while (j) {
        struct job *next = j->next;
        sl_ike_answer_ke(r->ike, sl_clock_mono_ns(), j->id, j->ke);
        free(j);
        j = next;
        ike_drain(r);
    }
}

void ike_ask_ke(struct role_ike *r, const struct sl_ike_action *a)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j) {
        a->job->rc = SL_NO_MEMORY;
        sl_ike_answer_ke(r->ike, sl_clock_mono_ns(), a->id, a->job);
        return;
    }
    j->id = a->id;
    j->ke = a->job;
    pthread_mutex_lock(&r->lock);
    *r->todo_last = j;
    r->todo_last = &j->next;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

enum sl_rc ike_workers_start(struct role_ike *r, struct sl_err *err)
{
    const unsigned n = r->p->config->worker_threads;
    r->thread = calloc(n, sizeof(*r->thread));
    if (!r->thread)
        return SL_FAIL_MEM(err);
    for (; r->threads < n; r->threads++) {
        const int e = pthread_create(&r->thread[r->threads], NULL, work, r);
        if (e)
            return SL_FAIL(err, SL_UNAVAILABLE, "worker thread: %s", strerror(e));
    }
    return SL_OK;
}

static void free_jobs(struct job *j)
{
    while (j) {
        struct job *next = j->next;
        sl_ke_job_free(j->ke);
        free(j);
        j = next;
    }
}

void ike_workers_stop(struct role_ike *r)
{
    pthread_mutex_lock(&r->lock);
    r->quit = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->threads; i++)
        pthread_join(r->thread[i], NULL);
    free(r->thread);
    free_jobs(r->todo);
    free_jobs(r->finished);
}
