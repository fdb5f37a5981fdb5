/*
 * Audit records of the identity process. Records of one moment share one sync (group commit); what
 * must not happen before its record is durable is called from here.
 */
#include "src/cmd/sealaned/identity.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>

#define COMMIT_NS (SL_NS_PER_MS) /* how long a record waits for company */
#define RETRY_S   1

static void schedule(struct identity_records *r)
{
    struct timeval tv = { .tv_sec = r->failing ? RETRY_S : 0,
                          .tv_usec = r->failing ? 0 : COMMIT_NS / 1000 };
    if (!event_pending(r->commit, EV_TIMEOUT, NULL))
        event_add(r->commit, &tv);
}

/*
 * When the disk fails nothing is accepted: who waits is told so at once, while the records stay
 * queued and are tried again.
 */
static void commit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct identity *id = arg;
    struct identity_records *r = &id->records;
    struct sl_err err = { 0 };
    enum sl_rc rc = sl_audit_sync(r->audit, &err);
    if (rc != SL_OK && !r->failing)
        sl_log_err(SL_LOG_ERROR, &err, "audit log");
    else if (rc == SL_OK && r->failing)
        sl_info("audit log: works again");
    r->failing = rc != SL_OK;
    /* Those called may record more; that waits for the next commit. */
    struct identity_waiter *v = r->v;
    size_t n = r->n;
    r->v = NULL;
    r->n = r->cap = 0;
    for (size_t i = 0; i < n; i++)
        v[i].fn(v[i].ctx, rc, rc == SL_OK ? "" : sl_err_text(&err), v[i].number);
    free(v);
    if (sl_audit_dirty(r->audit))
        schedule(r);
    identity_pump(id);
}

enum sl_rc identity_record(struct identity *id, const char *kind, const json_t *body,
                           identity_recorded_fn *fn, void *ctx, uint64_t *number,
                           struct sl_err *err)
{
    struct identity_records *r = &id->records;
    uint64_t n = 0;
    if (fn && r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        struct identity_waiter *v = reallocarray(r->v, cap, sizeof(*v));
        if (!v)
            return SL_FAIL_MEM(err);
        r->v = v;
        r->cap = cap;
    }
    SL_TRY(sl_audit_append(r->audit, kind, body, sl_clock_utc_ns(), &n, err));
    if (fn)
        r->v[r->n++] = (struct identity_waiter){ fn, ctx, n };
    if (number)
        *number = n;
    r->written++;
    schedule(r);
    return SL_OK;
}

enum sl_rc identity_records_open(struct identity *id, struct sl_err *err)
{
    SL_TRY(sl_audit_open(&id->records.audit, id->p->config->audit_dir, err));
    id->records.commit = evtimer_new(id->p->base, commit, id);
    return id->records.commit ? SL_OK : SL_FAIL_MEM(err);
}

void identity_records_close(struct identity *id)
{
    struct identity_records *r = &id->records;
    struct sl_err err = { 0 };
    if (r->audit && sl_audit_dirty(r->audit) && sl_audit_sync(r->audit, &err) != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "audit log");
    sl_audit_close(r->audit);
    if (r->commit)
        event_free(r->commit);
    free(r->v);
}
