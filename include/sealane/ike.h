/*
 * The IKE core (RFC 7296): packets, a time and answers go in; packets, timers and questions come
 * out. It opens no socket, reads no clock and never blocks. One struct sl_ike holds all IKE SAs of
 * a gateway and belongs to one thread.
 *
 * Use: feed it with sl_ike_packet, sl_ike_answer_*, sl_ike_* commands and sl_ike_tick; after every
 * call drain sl_ike_next until it returns false and carry out each action. An action's views are
 * valid until the next call into the core.
 */
#ifndef SEALANE_IKE_H
#define SEALANE_IKE_H

#include "sealane/child.h"
#include "sealane/config.h"
#include "sealane/decision.h"
#include "sealane/rng.h"

struct sl_ike;

enum sl_ike_action_type {
    SL_IKE_SEND = 1,       /* one UDP datagram */
    SL_IKE_ASK_KE,         /* compute a key exchange; answer with sl_ike_answer_ke */
    SL_IKE_ASK_SIGN,       /* our AUTH; answer with sl_ike_answer_sign */
    SL_IKE_ASK_DECISION,   /* may the peer in?; answer with sl_ike_answer_decision */
    SL_IKE_CHILD_ADD,      /* install; the receiver takes the keys out of *child */
    SL_IKE_CHILD_OUTBOUND, /* start sending on child_id (see sl_child.outbound) */
    SL_IKE_CHILD_DEL,      /* remove child_id, both directions */
    SL_IKE_CHILD_MOVE,     /* child_id: outer endpoints or UDP encapsulation changed */
    SL_IKE_EVENT,          /* something for the log and the audit record */
    SL_IKE_DONE,           /* a command (up, down, rekey) ended with rc */
};

/* Work for a worker thread: owned by the action until answered. Run with sl_ke_job_run anywhere. */
struct sl_ke_job {
    enum sl_ke group;
    struct sl_kex *kex;        /* NULL: generate first, as responder where there is peer_public */
    struct sl_buf peer_public; /* empty: generate only */
    struct sl_secret shared;   /* out */
    enum sl_rc rc;             /* out */
    struct sl_err err;
};
void sl_ke_job_run(struct sl_ke_job *job);
void sl_ke_job_free(struct sl_ke_job *job);

enum sl_ike_event {
    SL_IKE_EV_IKE_UP = 1,
    SL_IKE_EV_IKE_DOWN,
    SL_IKE_EV_IKE_REKEYED,
    SL_IKE_EV_IKE_FAILED,
    SL_IKE_EV_CHILD_UP,
    SL_IKE_EV_CHILD_DOWN,
    SL_IKE_EV_CHILD_REKEYED,
    SL_IKE_EV_CHILD_FAILED,
    SL_IKE_EV_PEER_MOVED,
    SL_IKE_EV_STORY, /* STORY: a step worth a log line, never an audit record */
};
const char *sl_ike_event_name(enum sl_ike_event ev); /* "ike-up" */

struct sl_ike_action {
    enum sl_ike_action_type type;
    uint64_t id; /* of a question or a command; echo it in the answer */
    uint64_t ike_sa, child_id;
    /* SEND */
    struct sl_endpoint from, to;
    bool natt;            /* port 4500: the shell puts the 4-byte non-ESP marker in front */
    struct sl_bytes data; /* SEND: datagram; ASK_SIGN: octets to sign */
    /* ASK_KE */
    struct sl_ke_job *job;
    /* ASK_SIGN */
    const char *key; /* key name in the keyring, or pre-shared key name when sig is NONE */
    enum sl_sig sig;
    enum sl_prf prf;
    bool skeyid; /* IKEv1: asked is SKEYID = prf(pre-shared key, data), a secret (RFC 2409 5) */
    /* ASK_DECISION */
    const struct sl_decision_ask *ask;
    /* CHILD_ADD, CHILD_MOVE (id and endpoints only) */
    struct sl_child *child;
    /* EVENT, DONE */
    enum sl_ike_event event;
    enum sl_rc rc;
    const char *text; /* one line; never secret */
    const char *connection, *child_name;
    const struct sl_id *peer_id; /* NULL when unknown */
};

/*
 * config is borrowed and must outlive the core, or be replaced with sl_ike_config. rng likewise.
 * SAs of unchanged connections stay as they are on sl_ike_config; the configuration before may be freed
 * once it has succeeded.
 */
SL_MUST_USE enum sl_rc sl_ike_new(struct sl_ike **out, const struct sl_config *config,
                                  const struct sl_rng *rng, int64_t now_ns, struct sl_err *err);
void sl_ike_free(struct sl_ike *ike);
SL_MUST_USE enum sl_rc sl_ike_config(struct sl_ike *ike, const struct sl_config *config,
                                     struct sl_err *err);

/*
 * Our certificate for a configured identity: chain[0] the end entity, then its issuers without the
 * root. Copied. key is the keyring's name. Called at start and after each renewal; n 0: there is none any more. Anchors: the
 * SHA-1 key hashes to send in CERTREQ for a trust domain (RFC 7296 3.7), 20 bytes each.
 */
SL_MUST_USE enum sl_rc sl_ike_credential(struct sl_ike *ike, const char *identity, const char *key,
                                         const struct sl_bytes *chain, size_t n,
                                         struct sl_err *err);
SL_MUST_USE enum sl_rc sl_ike_anchors(struct sl_ike *ike, const char *trust, struct sl_bytes hashes,
                                      struct sl_err *err);

/*
 * The OCSP responses that are at hand for a credential's chain, replacing those before (n 0: none);
 * copied, and dropped with the credential. A peer that asks (RFC 4806) gets for each certificate the
 * first that a responder it named has signed, else the first, as long as it is valid.
 */
SL_MUST_USE enum sl_rc sl_ike_staples(struct sl_ike *ike, int64_t now_ns, const char *identity,
                                      const struct sl_staple *v, size_t n, struct sl_err *err);

/* A datagram from the wire; on port 4500 without its non-ESP marker. Never fails: bad input counts. */
void sl_ike_packet(struct sl_ike *ike, int64_t now_ns, const struct sl_endpoint *local,
                   const struct sl_endpoint *remote, struct sl_bytes data);
void sl_ike_tick(struct sl_ike *ike, int64_t now_ns);
int64_t sl_ike_next_timer_ns(const struct sl_ike *ike); /* INT64_MAX: none */
bool sl_ike_next(struct sl_ike *ike, struct sl_ike_action *out);

void sl_ike_answer_ke(struct sl_ike *ike, int64_t now_ns, uint64_t id,
                      struct sl_ke_job *job); /* takes job */
void sl_ike_answer_sign(struct sl_ike *ike, int64_t now_ns, uint64_t id, enum sl_rc rc,
                        struct sl_bytes signature);
void sl_ike_answer_decision(struct sl_ike *ike, int64_t now_ns, uint64_t id,
                            const struct sl_verdict *verdict);
/* From the datapath: soft limit reached or last packet seen at. */
void sl_ike_child_soft(struct sl_ike *ike, int64_t now_ns, uint64_t child_id);
void sl_ike_child_hard(struct sl_ike *ike, int64_t now_ns, uint64_t child_id);
void sl_ike_child_seen(struct sl_ike *ike, int64_t now_ns,
                       uint64_t child_id); /* an authentic inbound packet came */
/*
 * An authentic packet of the child, newer than all before, came from another outer address than its
 * remote one: where the peer is behind a NAT and we are not, the IKE SA and its children move there
 * (RFC 7296 2.23), and the peer is asked whether it hears us.
 */
void sl_ike_child_heard(struct sl_ike *ike, int64_t now_ns, uint64_t child_id,
                        const struct sl_endpoint *remote);
void sl_ike_child_install_failed(struct sl_ike *ike, int64_t now_ns, uint64_t child_id,
                                 enum sl_rc rc);

/*
 * The addresses of this host that others can reach, whenever they or its routes have changed, and at
 * start; copied. IKE SAs with MOBIKE (RFC 4555) that used an address that is gone move to what the
 * kernel chooses (SL_IKE_SEND and children with the address "any" of a family), the others are asked
 * whether they still reach their peer. Without a call, addresses are taken to be what they were.
 */
void sl_ike_addresses(struct sl_ike *ike, int64_t now_ns, const struct sl_addr *v, size_t n);

/* Commands; each ends in one SL_IKE_DONE with the returned id. child may be NULL for all. */
uint64_t sl_ike_up(struct sl_ike *ike, int64_t now_ns, const char *connection, const char *child);
uint64_t sl_ike_down(struct sl_ike *ike, int64_t now_ns, const char *connection, const char *child);
uint64_t sl_ike_rekey(struct sl_ike *ike, int64_t now_ns, const char *connection, const char *child,
                      bool ike_sa);
/* End an SA for a reason (a decision changed), by its id or that of the SA it is a rekey of. */
void sl_ike_end(struct sl_ike *ike, int64_t now_ns, uint64_t ike_sa, enum sl_rc reason);

/* A view of the SAs for `sealane sas`. */
struct sl_ike_sa_info {
    uint64_t id;
    const char *connection, *state; /* state: the .story of its table row */
    struct sl_endpoint local, remote;
    uint8_t version; /* 1, 2 */
    bool initiator, natt, mobike;
    uint8_t spi_i[8], spi_r[8];
    struct sl_id id_local, id_remote;
    struct sl_suite suite;
    enum sl_prf prf;
    enum sl_ke ke;
    int64_t established_ns, rekey_ns, expire_ns; /* core time; 0: not yet */
    uint64_t record;                             /* audit record of the acceptance */
    const struct sl_virtual *vip;                /* addresses; NULL: none */
    bool vip_ours;                               /* the peer gave them to us, else we to it */
    const char *tag;                             /* granted by the decision; "": none */
};
struct sl_child_info {
    uint64_t id, ike_sa;
    const char *name, *state;
    uint32_t spi_in, spi_out;
    struct sl_suite suite;
    bool esn, udp_encap;
    const struct sl_ts *ts_local, *ts_remote;
    size_t ts_local_n, ts_remote_n;
    int64_t established_ns, rekey_ns, expire_ns;
};
void sl_ike_list(const struct sl_ike *ike,
                 void (*on_ike)(void *ctx, const struct sl_ike_sa_info *i),
                 void (*on_child)(void *ctx, const struct sl_child_info *c), void *ctx);

/*
 * The children that are to be kept up and are not: for `sealane status`. rc and text are of the last
 * attempt (SL_OK: none has failed yet), again_ns the time of the next.
 */
void sl_ike_missing(const struct sl_ike *ike,
                    void (*each)(void *ctx, const char *connection, const char *child,
                                 enum sl_rc rc, const char *text, int64_t again_ns),
                    void *ctx);

struct sl_ike_stats {
    uint64_t ike_sas, half_open, child_sas, packets_in, packets_out, retransmits, malformed,
        integrity, cookies_sent, refused, dropped_limit, unknown_spi;
};
void sl_ike_stats(const struct sl_ike *ike, struct sl_ike_stats *out);

#endif
