/*
 * The authority's process, as its parts see each other:
 *
 *   role_authority.c    life, the worker thread and its queue, links to identity
 *   authority_http.c    HTTP: SCEP, CRL, OCSP, CA certificates
 *   authority_verbs.c   control verbs
 *
 * The loop's thread takes requests and gives answers; everything that touches the store, the CA or
 * a key is a job and runs in the one worker thread, which may wait for the keyring. A job is
 * handed over by pointer and belongs to one thread at a time.
 */
#ifndef SL_CMD_SEALANED_AUTHORITY_H
#define SL_CMD_SEALANED_AUTHORITY_H

#include "sealane/ca.h"
#include "sealane/scep.h"
#include "src/proc/role.h"

#include <event2/http.h>
#include <pthread.h>

struct authority;

struct job {
    struct job *next;
    void (*work)(struct authority *a, struct job *j);   /* in the worker; sets what follows */
    void (*answer)(struct authority *a, struct job *j); /* in the loop */
    void (*clear)(struct job *j);                       /* frees what is its own; in the loop */
    bool dropped; /* the queue was full or the process is ending: answer says so */
};

struct revocation { /* what identity is told, by the loop */
    bool told;      /* filled */
    struct sl_buf issuer, serial, crl;
    int reason;
    int64_t utc_s;
};

struct authority {
    struct proc_role *p;
    const struct sl_conf_authority *conf;

    /* the worker's, once it runs */
    struct sl_store *store;
    struct sl_key_ops keys;
    struct sl_ca_env env;
    struct sl_ca *ca;
    struct sl_scep_server *scep;
    struct spool *spool, **spool_end; /* audit records that identity has not taken yet */
    size_t spool_n;
    int64_t spool_retry_ns; /* monotonic: not before */

    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *queue, **queue_end;
    size_t queue_n;
    struct job *done, **done_end;
    bool stop, stopped;

    /* the loop's */
    pthread_t thread;
    bool running;
    struct event *done_event, *tick_timer;
    struct authority_http *http;
    struct sl_buf certs[SL_CA_ROLE_COUNT]; /* DER copies for identity and HTTP; empty: none */
    uint64_t served, refused;              /* HTTP requests; those turned away by a limit */
};

/* Puts j into the queue; when that is full it is answered as dropped, from here. */
void authority_post(struct authority *a, struct job *j);
/* In the worker: hands copies of the CA's certificates to the loop when they have changed. */
void authority_certs_changed(struct authority *a);
/* In the loop. */
void authority_tell_revoked(struct authority *a, const struct revocation *r);
void authority_tick_soon(struct authority *a);
void revocation_clear(struct revocation *r);

SL_MUST_USE enum sl_rc authority_http_new(struct authority_http **out, struct authority *a, int fd,
                                          struct sl_err *err);
void authority_http_stop(struct authority_http *h); /* takes no more connections */
void authority_http_free(struct authority_http *h);

void authority_verbs(struct authority *a); /* registers them */

#endif
