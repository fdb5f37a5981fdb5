/*
 * The identity process, split by what it looks after:
 *
 *   role_identity.c      start, decisions, asking about live SAs again, control verbs
 *   identity_live.c      the accepted peers
 *   identity_files.c     files the configuration names, watched; the revocation cache on disk
 *   identity_records.c   the audit log: group commit, and what waits for it
 *   identity_certs.c     our own certificates: loaded, stored, sent to ike
 *   identity_staple.c    their OCSP responses, for peers that ask in IKE (RFC 4806)
 *   identity_lease.c     addresses of peers, and their leases on disk
 *   identity_enroll.c    enrolment and renewal, in threads
 *
 * One loop thread owns all of this; an enrolment's thread touches only its own job.
 */
#ifndef SL_IDENTITY_H
#define SL_IDENTITY_H

#include "sealane/audit.h"
#include "sealane/certs.h"
#include "sealane/decision.h"
#include "sealane/log.h"
#include "sealane/pool.h"
#include "sealane/time.h"
#include "src/ike/map.h"
#include "src/proc/role.h"

#define IDENTITY_PATH_MAX 1024

/* ---- records ------------------------------------------------------------------------------------- */
/* Called when the record is durable (SL_OK) or could not be made so. */
typedef void identity_recorded_fn(void *ctx, enum sl_rc rc, const char *text, uint64_t number);
struct identity_waiter {
    identity_recorded_fn *fn;
    void *ctx;
    uint64_t number;
};
struct identity_records {
    struct sl_audit *audit;
    struct event *commit;
    struct identity_waiter *v; /* in order of their records */
    size_t n, cap;
    uint64_t written;
    bool failing;
};

/* ---- our own certificates -------------------------------------------------------------------------- */
enum own_state { OWN_MISSING, OWN_VALID, OWN_EXPIRED, OWN_NOT_YET, OWN_FAILED };
struct own {
    const struct sl_conf_identity *conf;
    struct sl_certs chain; /* [0] the end entity; empty: none */
    enum own_state state;
    char text[256]; /* what is wrong, or how an enrolment stands */
    char key[16];   /* kind of its key */
    bool checked;   /* the keyring holds its key, or said that it does not */
    bool checking;
    int64_t renew_at, retry_at;
    unsigned failures;
    struct enroll_job *job; /* enrolment or renewal under way */
    /* OCSP in IKE */
    struct sl_own *staples;   /* of the chain; NULL: no connection hands its responses over */
    uint8_t staples_sent[32]; /* digest of what ike was sent last */
    bool revoked;             /* its responder says so */
};

/* ---- files that are watched -------------------------------------------------------------------------- */
enum watched_kind {
    WATCH_ANCHOR,
    WATCH_INTERMEDIATE,
    WATCH_CRL,
    WATCH_RESPONDER,
    WATCH_LDIF,
    WATCH_CERTIFICATE
};
struct watched {
    enum watched_kind kind;
    const char *path;
    char *found; /* path, when it was found in trust.crl_dir and is not configured by name */
    const char *section;
    struct own *own;
    int64_t mtime_ns, size;
    uint64_t inode;
    bool seen, failing;
    char error[256];
};

struct sl_leases;
struct asked;

/* An accepted peer, for as long as its IKE SA lives. */
struct live {
    struct live *next, *prev;
    struct ike_map_node by_ike_sa;
    uint64_t ike_sa;
    struct sl_buf ask;
    int64_t reask_utc_s;
    bool asking;
};

struct identity {
    struct proc_role *p;
    struct sl_decider *d;
    struct identity_records records;
    struct own *own; /* as config->identity */
    struct watched *watched;
    size_t watched_n;
    char dir[IDENTITY_PATH_MAX - 128]; /* state_dir/identity */

    struct event *timer;          /* the decider's next */
    struct event *second;         /* once a second: clocks, renewal, cache */
    struct event *files;          /* twice a second */
    struct event *sweep;          /* live SAs being asked again */
    uint64_t changes;             /* of what decisions rest on, each asked about by a sweep */
    struct live *live, *sweep_at; /* sweep_at: next to be asked, NULL: none */
    size_t live_n;
    struct ike_map live_by_ike_sa;
    int64_t saved_ns;
    bool pumping;
    uint64_t ike_epoch; /* counts ike processes */

    struct asked *deciding; /* decisions for ike under way */
    struct sl_pools *pools;
    struct sl_leases *leases; /* NULL: no addresses to hand out */
    bool leases_failing;

    struct sl_certs authority; /* the embedded authority's own, [0] the root */
    uint64_t decided, accepted, refused, ended;
};

struct sl_now identity_now(void);
/* After every call into the decider: questions go out, verdicts are dealt with, timers are set. */
void identity_pump(struct identity *id);
/* identity_live.c: the accepted peers. live_add takes ask: MSG_DECIDE as it came. */
struct live *identity_live_find(struct identity *id, uint64_t ike_sa); /* NULL: none */
void identity_live_remove(struct identity *id, struct live *l);        /* NULL: nothing */
void identity_live_clear(struct identity *id);
void identity_live_add(struct identity *id, uint64_t ike_sa, struct sl_buf *ask,
                       int64_t reask_utc_s);

/* Something changed that decisions depend on: every live SA is asked again. */
void identity_ask_again(struct identity *id);
void identity_send_anchors(struct identity *id);

/* identity_records.c */
SL_MUST_USE enum sl_rc identity_records_open(struct identity *id, struct sl_err *err);
void identity_records_close(struct identity *id);
/* fn (may be NULL) is called later, once. When this fails it is not. */
SL_MUST_USE enum sl_rc identity_record(struct identity *id, const char *kind, const json_t *body,
                                       identity_recorded_fn *fn, void *ctx, uint64_t *number,
                                       struct sl_err *err);

/* identity_files.c */
SL_MUST_USE enum sl_rc identity_files_open(struct identity *id, struct sl_err *err);
void identity_files_close(struct identity *id);
void identity_files_look(struct identity *id); /* reads what has changed */
void identity_authority_certs(struct identity *id, const struct msg_authority_certs *m);
void identity_cache_load(struct identity *id);
void identity_cache_save(struct identity *id);
SL_MUST_USE enum sl_rc identity_read_file(struct sl_buf *out, const char *path, size_t max,
                                          struct sl_err *err);
/* The whole file or none, whenever the machine stops. */
SL_MUST_USE enum sl_rc identity_write_file(const char *path, struct sl_bytes content,
                                           struct sl_err *err);

/* identity_certs.c */
SL_MUST_USE enum sl_rc identity_certs_open(struct identity *id, struct sl_err *err);
void identity_certs_close(struct identity *id);
struct own *identity_own(struct identity *id, const char *name); /* NULL: not configured */
void identity_own_path(const struct identity *id, const struct own *own, const char *suffix,
                       char out[IDENTITY_PATH_MAX]);
/* Reads the certificate file again and tells ike; key_known: the keyring is known to hold its key. */
void identity_own_load(struct identity *id, struct own *own, bool key_known);
void identity_own_send(struct identity *id, struct own *own);
void identity_own_tick(struct identity *id); /* states follow the clock */
json_t *identity_own_json(const struct own *own);

/* identity_staple.c */
void identity_staple_renew(struct identity *id, struct own *own); /* the chain is another */
void identity_staple_drop(struct own *own);                       /* before the chain goes */
/* Sends ike what is at hand when that is news; all: ike knows nothing yet. */
void identity_staple_send(struct identity *id, struct own *own, bool all);
void identity_staple_tick(struct identity *id);

/* identity_lease.c */
SL_MUST_USE enum sl_rc identity_lease_open(struct identity *id, struct sl_err *err);
void identity_lease_close(struct identity *id);
/* The addresses that an accepted peer asks for, into the verdict's grant and into the record. */
void identity_lease_take(struct identity *id, const struct sl_decision_ask *ask,
                         struct sl_verdict *v, json_t *record);
void identity_lease_end(struct identity *id, uint64_t ike_sa);
void identity_lease_end_all(struct identity *id);
void identity_lease_move(struct identity *id, uint64_t from_sa, uint64_t to_sa);
void identity_lease_hold(struct identity *id, const struct msg_lease *m);
void identity_verb_pool_leases(void *ctx, struct proc_ctl *q, const json_t *args);
void identity_verb_pool_release(void *ctx, struct proc_ctl *q, const json_t *args);

/* identity_enroll.c */
SL_MUST_USE enum sl_rc identity_enroll_open(struct identity *id, struct sl_err *err);
/* True: a thread is still at work, which must not outlive what it uses. */
bool identity_enroll_close(struct identity *id);
void identity_enroll_tick(struct identity *id); /* starts renewals that are due */
void identity_verb_enroll(void *ctx, struct proc_ctl *q, const json_t *args);
const char *identity_enroll_state(const struct own *own); /* "pending", or NULL */

#endif
