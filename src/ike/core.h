/*
 * What the files of the IKE core share: the instance, its IKE SAs (struct ike_isa), child SAs,
 * exchanges, connections and commands. All of it belongs to the instance's thread.
 *
 *   ike.c       public functions: packets, answers, deadlines, lists
 *   sa.c        an IKE SA's life: making, deadlines, the next exchange, its end
 *   child.c     a child SA's life: making, keys, installing, replacing, removing
 *   exchange.c  what all exchanges need: questions, sending, responding, failing
 *   conn.c      configured connections: keeping up, commands
 *   conn_load.c configured connections: taking a configuration, lookup by name and addresses
 *   cred.c      our certificates and the anchors' hashes
 *   staple.c    OCSP responses of our certificates, and what the peer asks for (RFC 4806)
 *   v2/         the exchanges' tables and handlers; mobike.c (RFC 4555), childless.c
 *               (RFC 6023) and auth_lifetime.c (RFC 4478) work for them
 *   addke.c     additional key exchanges in proposals (RFC 9370)
 *
 * An IKE SA has at most one exchange of ours (out) and one of the peer's (in) at a time, as the
 * window of one allows (RFC 7296 2.3). What we want to do next is kept as marks on the SA and its
 * children, not as a queue, so wanting something never needs memory.
 */
#ifndef SL_SRC_IKE_CORE_H
#define SL_SRC_IKE_CORE_H

#include "sealane/ike.h"
#include "sealane/time.h"
#include "src/ike/action.h"
#include "src/ike/auth.h"
#include "src/ike/codec.h"
#include "src/ike/keys.h"
#include "src/ike/proposal.h"
#include "src/ike/retransmit.h"
#include "src/ike/sa_table.h"
#include "src/ike/sk.h"
#include "src/ike/step.h"
#include "src/ike/ts.h"

/* ---- limits and fixed times -------------------------------------------------------------------- */
#define IKE_CHILDREN_MAX      256 /* of one IKE SA, all states */
#define IKE_NONCE_LEN         32  /* ours (RFC 7296 2.10: at least half the PRF's key) */
#define IKE_COOKIES_FOLLOWED  3   /* cookies an initiator returns before it gives up */
#define IKE_KE_RETRIES        2   /* INVALID_KE_PAYLOADs an initiator follows */
#define IKE_LINGER_NS         (30 * SL_NS_PER_S) /* a closed SA still answers repeated requests */
#define IKE_CHILD_LINGER_NS   (5 * SL_NS_PER_S) /* a replaced child still reads packets under way */
#define IKE_REDUNDANT_NS      (60 * SL_NS_PER_S) /* the peer's time to delete what it should delete */
#define IKE_INIT_ERROR_NS     (3 * SL_NS_PER_S) /* an unprotected refusal is believed after this */
#define IKE_RETRY_NS          (4 * SL_NS_PER_S) /* after TEMPORARY_FAILURE, plus jitter */
#define IKE_BACKOFF_MIN_NS    (2 * SL_NS_PER_S) /* connections to be kept up: doubles up to */
#define IKE_BACKOFF_MAX_NS    (300 * SL_NS_PER_S)
#define IKE_STAPLES_BYTES     8192 /* OCSP responses sent in one message; peers read little more */
#define IKE_RESPONDERS_MAX    64   /* responders named by a peer that are looked at */
#define IKE_ASIDE_MAX         4 /* negotiations of a peer between its IKE_FOLLOWUP_KE exchanges */
#define IKE_ASIDE_NS          (60 * SL_NS_PER_S) /* its time for the next one */
#define IKE_LINK_MAX          1024 /* bytes of a responder's link in ADDITIONAL_KEY_EXCHANGE */
#define IKE_UNSURE_NS         (2 * SL_NS_PER_S) /* no word about a child the peer may not know of yet */
#define IKE_UNSURE_MAX_NS     (10 * SL_NS_PER_S) /* the same, while its request is repeated */
#define IKE_EARLY_DELETES     8  /* SPIs deleted by the peer before its answer came, remembered */
#define IKE_ADDRESSES_MAX     64 /* of this host */
#define IKE_MOBIKE_ADDRESSES  8  /* additional ones of a peer, and ours told to it */
#define IKE_SPI_ANSWERS_PER_S 10 /* INVALID_IKE_SPI and INVALID_MAJOR_VERSION */

struct ike_isa;
struct ike_xchg;
struct ike_v1;  /* of an IKE SA of version 1, src/ike/v1/v1.h */
struct v1_xchg; /* of one of its exchanges */

/* ---- child SAs ---------------------------------------------------------------------------------- */
enum ike_child_state {
    CHILD_WANTED = 1, /* to be negotiated */
    CHILD_ASKED,      /* being negotiated by our exchange */
    CHILD_UP,
    CHILD_REPLACED, /* a successor is up; waits for its deletion by whoever must */
    CHILD_DELETING, /* our Delete is under way */
    CHILD_GONE,     /* deleted; still reads packets that were under way (IKE_CHILD_LINGER_NS) */
};

struct ike_selectors {
    struct sl_ts *v;
    size_t n;
};

struct ike_child {
    struct ike_child *next; /* in sa->children */
    struct ike_isa *sa;
    struct ike_map_node by_id, by_spi;
    uint64_t id, replaces, replaced_by; /* 0: none */
    char name[SL_NAME_MAX];
    enum ike_child_state state;
    bool ours;      /* we began the exchange that made it */
    bool installed; /* the datapath has it */
    bool outbound;  /* the datapath sends on it */
    bool want_rekey, want_delete;
    bool peer_deleted; /* by the peer, before our exchange that makes it was over */
    uint32_t spi_in, spi_out;
    struct sl_suite suite;
    enum sl_ke ke;         /* of PFS; SL_KE_NONE */
    struct sl_secret more; /* SK(1) | SK(2) ... of its making, until it is installed */
    bool esn, udp_encap;
    struct ike_selectors local, remote;
    int64_t established_ns, rekey_ns, expire_ns; /* INT64_MAX: never */
    int64_t retry_ns;                            /* no new attempt before; 0: at once */
    int64_t gone_ns;  /* CHILD_GONE: to be removed then; CHILD_REPLACED: deleted by us then */
    unsigned retries; /* attempts that were put off by the peer */
    enum sl_rc end_rc;
    struct ike_act *del, *down, *turn; /* made with the child, so that they can always be told */
};

/* ---- exchanges ---------------------------------------------------------------------------------- */
enum ike_xchg_kind {
    XCHG_SETUP = 1, /* IKE_SA_INIT and IKE_AUTH */
    XCHG_NEW_CHILD,
    XCHG_REKEY_CHILD,
    XCHG_REKEY_IKE,
    XCHG_DELETE_CHILD,
    XCHG_DELETE_IKE,
    XCHG_LIVENESS,
    XCHG_MOBIKE, /* addresses: new ones, a check of the peer's, a list of ours (RFC 4555) */
    XCHG_PEER,   /* a request of the peer, before its kind is known */
};

/* What only the first two exchanges need. */
struct ike_setup {
    struct sl_buf init_ours, init_theirs; /* the IKE_SA_INIT messages, for AUTH */
    struct sl_buf cookie;                 /* to return; empty: none */
    unsigned cookies, ke_retries;
    enum sl_rc hint_rc; /* an unprotected refusal that may be forged */
    char hint[SL_ERR_TEXT_MAX];
    int64_t hint_ns;              /* believed then; 0: none */
    uint32_t peer_hashes;         /* RFC 7427 hashes, IKE_HASH_BITs */
    bool peer_certreq, peer_ocsp; /* the peer asks for our certificates, for their OCSP responses */
    struct sl_buf peer_responders;    /* key hashes of the OCSP responders it trusts; empty: any */
    struct sl_buf id_ours, id_theirs; /* bodies of the ID payloads */
    struct ike_intermediate *intermediate; /* NULL: there is no IKE_INTERMEDIATE */
    struct ike_auth_choice auth;
    struct sl_buf ours_sig;         /* AUTH data made from the answer */
    struct sl_verdict *verdict;     /* the answer to ASK_DECISION */
    uint32_t cfg_asked;             /* CP attributes the peer asks for, a bit each */
    struct sl_addr wish[2];         /* addresses it asks for, see sl_decision_ask */
    bool peer_childless, childless; /* RFC 6023: the peer supports it; we do so */
    bool initial_contact;           /* the peer says that we hold nothing of it that is alive */
};

struct ike_xchg {
    struct ike_isa *sa;
    enum ike_xchg_kind kind;
    bool ours;
    const struct ike_table *table;
    enum ike_state state, sent_state; /* sent_state: where a lost response takes us back to */
    uint8_t sent_type;                /* exchange type of our request */
    const char *story;
    struct ike_map_node by_question;
    enum ike_question asking; /* 0: none pending */

    /* the message being handled, or the request kept while its answer is prepared */
    struct sl_buf plain;
    struct ike_payloads list;
    /* the answer being handled; lent */
    struct sl_ke_job *job;
    struct sl_bytes signature;
    const struct sl_verdict *verdict;
    enum sl_rc answer_rc;

    /* key exchange */
    enum sl_ke group; /* of our KE payload; SL_KE_NONE: none */
    struct sl_kex *kex;
    struct sl_secret shared;
    /* additional key exchanges of CREATE_CHILD_SA (followup.c) */
    struct sl_secret base, more; /* SK(0), while SK(1) | SK(2) ... are being agreed */
    size_t more_done;
    struct sl_buf link;          /* initiator: the responder's */
    uint64_t series;             /* responder: its link; of a request: that it names */
    struct ike_xchg *aside_next; /* in sa->aside */
    int64_t aside_ns;            /* given up then */
    struct sl_buf ni, nr;
    unsigned ke_retries;

    /* what is being negotiated */
    struct ike_choice choice; /* its spi is not used after the message is gone */
    struct ike_child *child;  /* being made; in sa->children only when state says so */
    uint64_t old_child;       /* child being rekeyed or deleted; 0: none */
    struct ike_isa *next;     /* IKE SA being made by a rekey; not yet in the table */
    uint8_t peer_spi[IKE_SPI_LEN];
    struct ike_selectors offer_i, offer_r; /* what we offered */
    /*
     * The peer rekeyed the same SA while our exchange was out (RFC 7296 2.8.1): the lower of its two
     * nonces, and what it made (0: not yet).
     */
    bool rival;
    struct sl_buf rival_nonce;
    uint64_t rival_id;
    uint32_t early_delete[IKE_EARLY_DELETES]; /* unknown SPIs: maybe of what it is to bring */
    size_t early_deletes;
    struct ike_setup *setup; /* XCHG_SETUP only */
    struct v1_xchg *v1;      /* IKEv1; NULL: IKEv2 */

    uint16_t refuse; /* N to answer a refused request with; 0: by the reason */
    struct sl_buf refuse_data;
};

/* ---- IKE SAs ------------------------------------------------------------------------------------ */
enum ike_isa_state {
    ISA_MAKING = 1, /* by a rekey that is not finished */
    ISA_SETUP,
    ISA_UP,
    ISA_REKEYED, /* no longer used, for its successor is up or it was refused; waits for Delete */
    ISA_DELETING,
    ISA_CLOSED, /* gone; still answers the repetition of the peer's last request */
    ISA_DEAD,   /* to be freed before the core returns */
};

struct ike_mobike {
    bool on;                                   /* both sides support it */
    bool want_update, want_check, want_tell;   /* to be asked, or told, of the peer */
    bool several;                              /* the request that is out went several ways */
    uint8_t doing;                             /* what the request that is out is about */
    unsigned path;                             /* the one being tried */
    struct sl_endpoint local, remote;          /* what both sides agree upon */
    struct sl_addr peer[IKE_MOBIKE_ADDRESSES]; /* where else the peer says it is */
    size_t peer_n;
    uint8_t cookie2[16];
    uint8_t seen[IKE_NATD_LEN]; /* how the peer sees us */
    bool seen_known;
};

struct ike_isa {
    struct sl_ike *ike;
    struct ike_v1 *v1; /* IKEv1; NULL: IKEv2 */
    struct ike_isa *prev, *next;
    struct ike_map_node by_id, by_spi;
    struct ike_map_node by_init, by_peer;  /* half-open responders; SAs that are up, by peer's ID */
    struct ike_isa *conn_prev, *conn_next; /* of its connection */
    struct ike_timer timer;
    struct ike_source *source; /* half-open responders: their count per source */
    struct ike_isa *touched_next;
    bool touched; /* to be looked at before the core returns */
    uint64_t id;
    uint64_t decided; /* the SA that the decision about the peer was asked for: kept over rekeys */
    struct ike_conn *conn; /* NULL until the responder knows it */
    bool initiator;        /* original initiator: the I flag, whose keys are whose */
    bool began;            /* we began its first IKE_SA_INIT: kept over rekeys */
    bool half_open;        /* counted */
    enum ike_isa_state state;
    uint8_t spi_i[IKE_SPI_LEN], spi_r[IKE_SPI_LEN];
    uint8_t init_hash[32]; /* half-open responders: of the request, to know it again */

    struct sl_endpoint local, remote;
    struct sl_endpoint reply_local, reply_remote; /* where the request being answered came from */
    bool natt;                                    /* on port 4500 */
    bool nat_local, nat_remote, natt_supported;
    bool peer_may_move; /* it is behind a NAT, and we are not, whatever we pretend */
    bool fragment;      /* RFC 7383 agreed */
    struct ike_mobike mobike;

    struct sl_suite suite;
    enum sl_prf prf;
    enum sl_ke ke;
    struct ike_keys keys;
    struct ike_addke add; /* additional key exchanges */
    struct ike_sk tx, rx;
    struct ike_sk rx_before; /* for a repeated request that came under the keys before; or empty */
    struct ike_window win;
    struct ike_reassembly ra_request, ra_response;
    struct ike_xchg *out, *in;
    struct ike_xchg *aside; /* the peer's, between its IKE_FOLLOWUP_KE exchanges */

    struct ike_child *children;
    size_t children_n;
    struct sl_id id_local, id_remote;
    struct sl_grant *grant; /* NULL: nothing granted beyond the configuration */
    uint64_t record;
    uint8_t tie[IKE_NONCE_LEN]; /* lowest nonce of IKE_SA_INIT, for simultaneous starts */

    /* wishes, carried out one at a time by isa_run */
    bool want_rekey, want_delete, want_liveness, want_reauth;
    int64_t retry_ns;     /* rekey of this SA: not before */
    uint64_t unsure;      /* child made by our last response, which may be lost; 0: none */
    uint64_t replaces;    /* reauthentication: the SA to delete when this one is up */
    uint64_t replaced_by; /* another SA stands in for it: its end is no loss */

    int64_t created_ns, established_ns, rekey_ns, expire_ns, reauth_ns; /* INT64_MAX: never */
    int64_t half_open_ns;     /* ISA_SETUP: given up then; ISA_REKEYED, ISA_CLOSED: ended then */
    int64_t seen_ns, sent_ns; /* last authentic traffic in; last datagram out */
    bool quiet;               /* a rekey's old or redundant SA: its end was told by IKE_REKEYED */
    enum sl_rc end_rc;
    char end_text[160];
    uint16_t end_notify;  /* N beside our Delete; 0: none */
    struct ike_act *down; /* made with the SA */
};

/* ---- connections and commands ---------------------------------------------------------------------- */
enum ike_cmd_kind { CMD_UP = 1, CMD_DOWN, CMD_REKEY };
struct ike_cmd {
    struct ike_cmd *next;
    uint64_t id;
    enum ike_cmd_kind kind;
    char child[SL_NAME_MAX]; /* "": all */
    bool ike_sa;             /* CMD_REKEY */
    uint64_t *target;        /* CMD_REKEY: SAs to be replaced */
    size_t target_n;
    struct ike_act *done; /* made with the command */
    bool begun;
};

struct ike_keep { /* a child to be kept up, until it is taken down by command */
    char name[SL_NAME_MAX];
    bool on;
};

struct ike_conn {
    struct ike_conn *next;
    struct ike_map_node by_name,
        by_remote; /* while configured; by_remote: with one remote address */
    const struct sl_conf_connection *conf; /* NULL: no longer configured; lives on for its SAs */
    char name[SL_NAME_MAX];
    struct sl_ike *ike;
    struct ike_isa *sas;    /* IKE SAs that refer to it */
    struct ike_timer timer; /* next attempt of a connection that is kept up */
    struct ike_keep *keep;  /* the children with start = yes */
    size_t keep_n;
    struct sl_prefix *prefix; /* peers that may begin */
    size_t prefix_n;
    unsigned failures;  /* in a row */
    int64_t again_ns;   /* no attempt of our own before */
    enum sl_rc last_rc; /* how the last attempt failed */
    char last_text[SL_ERR_TEXT_MAX];
    struct ike_cmd *cmds;
    bool want_reauth; /* one of its SAs does */
    bool touched;     /* its commands and wishes are to be looked at */
    struct ike_conn *touched_next;
};

/*
 * Connections by name and by remote address, and the answer to the last question which of them fit a
 * pair of addresses: one handshake asks it several times.
 */
struct ike_conn_index {
    struct ike_map by_name, by_remote;
    struct ike_conn **loose; /* configured, without one remote address, in the file's order */
    size_t loose_n;
    struct ike_conn **fit;  /* room for all */
    size_t fit_n, fit_v2_n; /* of IKEv2 first */
    struct sl_addr local, remote;
    bool asked; /* fit is of local and remote */
    bool ikev1; /* a connection speaks IKEv1, or has: its SAs may still be there */
};

/* ---- credentials ------------------------------------------------------------------------------------- */
#define IKE_CRED_IDS 16
struct ike_staple {
    uint8_t depth; /* of its certificate in the chain */
    int64_t until_ns;
    uint8_t responder[IKE_CERTREQ_HASH_LEN];
    struct sl_buf response;
};
struct ike_cred {
    struct ike_cred *next;
    char identity[SL_NAME_MAX], key[SL_NAME_MAX];
    struct sl_buf der; /* the chain, back to back */
    size_t end[SL_CHAIN_MAX], n;
    enum sl_key_type type;
    uint16_t bits;
    struct sl_id id[IKE_CRED_IDS]; /* subjectAltNames, then the subject */
    size_t id_n;
    struct ike_staple staple[SL_CHAIN_MAX];
    size_t staple_n;
    bool told_none; /* a peer asked when there was none, and it was said */
};
struct ike_anchor {
    struct ike_anchor *next;
    char trust[SL_NAME_MAX];
    struct sl_buf hashes;
};

/* ---- the instance -------------------------------------------------------------------------------------- */
struct sl_ike {
    const struct sl_config *config;
    struct sl_rng rng;
    int64_t now_ns;
    uint64_t next_id; /* of SAs, children, questions and commands */
    struct ike_table_set t;
    struct ike_actions actions;
    struct ike_isa *sas, *touched;
    struct ike_conn *conns, *touched_conns;
    struct ike_conn_index index;
    struct ike_cred *creds;
    struct ike_anchor *anchors;
    struct ike_cookie cookie;
    struct sl_addr address[IKE_ADDRESSES_MAX]; /* of this host */
    size_t address_n;
    bool addresses_known;
    struct sl_ike_stats stats;
    int64_t spi_window_ns; /* rate of answers to unknown SPIs */
    unsigned spi_answers;
    struct ike_message message; /* the packet being read: too large for the stack of every call */
};

/* ---- ike.c -------------------------------------------------------------------------------------------------- */
void ike_begin(struct sl_ike *ike, int64_t now_ns); /* every public function that acts starts so */

/* ---- sa.c -------------------------------------------------------------------------------------------------- */
struct ike_isa *isa_new(struct sl_ike *ike, bool initiator);   /* ISA_MAKING; NULL: no memory */
void isa_enlist(struct ike_isa *sa, enum ike_isa_state state); /* it begins: an SA of its own now */
void isa_free(struct ike_isa *sa);
struct ike_isa *isa_find(const struct sl_ike *ike, uint64_t id);
uint8_t *isa_spi_ours(struct ike_isa *sa);
enum sl_rc isa_keys(struct ike_isa *sa, struct sl_err *err) SL_MUST_USE; /* tx and rx from keys */
struct ike_retry isa_retry(const struct ike_isa *sa);
/* Sets the timers of an SA that has just been established or rekeyed. */
void isa_lifetimes(struct ike_isa *sa);
/* only: the peer says that no other SA with it is alive (INITIAL_CONTACT, RFC 7296 2.4). */
void isa_up(struct ike_isa *sa, bool only);
/* Is there room for another SA with a stranger, in all and of its address? Counted when not. */
bool isa_within_limits(struct sl_ike *ike, const struct sl_endpoint *remote);
void isa_half_open_done(struct ike_isa *sa);
/*
 * Ends an SA at once, without a word to the peer: children removed, events told. linger: it still
 * answers the repetition of the peer's last request. text may be NULL.
 */
void isa_end(struct ike_isa *sa, enum sl_rc rc, const char *text, bool linger);
/* Ends it with a Delete where the peer may know it, else at once. */
void isa_close(struct ike_isa *sa, enum sl_rc rc, const char *text);
/*
 * We refuse a peer that believes the SA to be up: it ends for us now, and the peer is told by Delete.
 */
void isa_goodbye(struct ike_isa *sa, enum sl_rc rc, const char *text, uint16_t notify);
/* Children of an SA whose rekey is done go to the successor. */
void isa_inherit(struct ike_isa *to, struct ike_isa *from);
void isa_touch(struct ike_isa *sa); /* after anything that may change its deadlines or wishes */
void isa_run(
    struct ike_isa *sa); /* begins the next exchange when there is a wish and none is out */
void isa_due(struct ike_isa *sa); /* its timer has come */
bool isa_alive(const struct ike_isa *sa);
void isas_settle(struct sl_ike *ike);
void isa_known(struct ike_isa *sa); /* id_remote is final: to be found by it */
void isa_only(struct ike_isa *sa);  /* the peer says so of an SA that is up: others with it end */

/* ---- child.c -------------------------------------------------------------------------------------------- */
struct ike_child *child_new(struct ike_isa *sa, const char *name); /* not yet in sa->children */
void child_free(struct ike_child *c);
void child_add(struct ike_isa *sa, struct ike_child *c);
void child_unlink(struct ike_child *c); /* the reverse, of one that is not installed; not freed */
struct ike_child *child_find(const struct ike_isa *sa, uint64_t id);
struct ike_child *child_by_spi_out(const struct ike_isa *sa, uint32_t spi);
const struct sl_conf_child *child_conf(const struct ike_child *c); /* NULL: no longer configured */
bool selectors_set(struct ike_selectors *s, const struct sl_ts *v, size_t n) SL_MUST_USE;
void selectors_clear(struct ike_selectors *s);
/*
 * The remote selectors that may be used: as configured, cut to the grant. SL_POLICY_TS when the
 * grant leaves none.
 */
enum sl_rc child_allowed(const struct ike_isa *sa, const struct sl_conf_child *conf,
                         struct sl_ts out[SL_TS_MAX], size_t *n, struct sl_err *err) SL_MUST_USE;
/*
 * Derives the keys and hands the child to the datapath. we_began: our side of the exchange. All
 * memory is taken before anything is changed.
 */
enum sl_rc child_install(struct ike_child *c, bool we_began, bool outbound, struct sl_bytes ni,
                         struct sl_bytes nr, const struct sl_secret *shared,
                         struct sl_err *err) SL_MUST_USE;
/*
 * Our response that made a child may be lost, and until the peer has repeated its request it would
 * answer that there is no such child, and yet bring it up later (RFC 7296 2.25). So we do nothing
 * about it before the peer shows that it knows it, or has had its time.
 */
void child_unsure(struct ike_child *c);     /* made, or its making repeated, by our response */
void child_sure(struct ike_isa *sa);        /* a later request, or traffic, came */
void child_told(const struct ike_child *c); /* the event of its being up, after the IKE SA's */
void child_outbound(struct ike_child *c);
void child_move(struct ike_child *c);
void child_replaced(struct ike_child *old, uint64_t by, bool we_delete);
/* It ends now; told once. linger: it still reads for a while. */
void child_end(struct ike_child *c, enum sl_rc rc, bool linger);
/*
 * The peer made a child that we cannot use: kept, not installed, until our Delete is answered.
 */
void child_unwanted(struct ike_child *c, enum sl_rc rc);
/* The negotiation of a wanted child failed. */
void child_failed(struct ike_isa *sa, const char *name, enum sl_rc rc, const char *text);
bool child_counts(
    const struct ike_child *c); /* carries traffic or will: not replaced, deleted, gone */

/* ---- exchange.c ------------------------------------------------------------------------------------------- */
struct ike_xchg *xchg_new(struct ike_isa *sa, enum ike_xchg_kind kind, bool ours);
void xchg_free(struct ike_xchg *x);
/* Runs an event through the table, and ASK_NOTHING answers that follow from it. */
void xchg_event(struct ike_xchg *x, uint16_t on, bool message);
enum sl_rc xchg_nonce(struct ike_xchg *x, struct sl_buf *nonce, struct sl_err *err) SL_MUST_USE;
/* Questions. ke: peer_public empty: our value is to be made (or, with a kex, nothing). */
enum sl_rc xchg_ask_ke(struct ike_xchg *x, struct sl_bytes peer_public,
                       struct sl_err *err) SL_MUST_USE;
enum sl_rc xchg_ask_sign(struct ike_xchg *x, const char *key, enum sl_sig sig,
                         struct sl_buf *octets, struct sl_err *err) SL_MUST_USE;
/* IKEv1: SKEYID of a pre-shared key, answered as a signature is (RFC 2409 5). */
enum sl_rc xchg_ask_skeyid(struct ike_xchg *x, const char *psk, struct sl_buf *nonces,
                           struct sl_err *err) SL_MUST_USE;
enum sl_rc xchg_ask_decision(struct ike_xchg *x, struct ike_ask *ask,
                             struct sl_err *err) SL_MUST_USE;
void xchg_ask_nothing(struct ike_xchg *x);
/* Takes kex and shared secret out of the answered job; its error when it failed. */
enum sl_rc xchg_take_ke(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
/* Seals and sends a request or the response; c is the chain in buf. */
enum sl_rc xchg_request(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c, struct sl_buf *buf,
                        struct sl_err *err) SL_MUST_USE;
enum sl_rc xchg_respond(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c, struct sl_buf *buf,
                        struct sl_err *err) SL_MUST_USE;
/* The same in two steps, for what must happen between them: nothing can fail after the first. */
enum sl_rc xchg_seal_response(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c,
                              struct sl_buf *buf, struct ike_datagrams *out,
                              struct sl_err *err) SL_MUST_USE;
void xchg_send_response(struct ike_xchg *x, struct ike_datagrams *d);
/* An unprotected message, of IKE_SA_INIT only. */
enum sl_rc xchg_send_init(struct ike_xchg *x, struct sl_buf *message,
                          struct sl_err *err) SL_MUST_USE;
void isa_transmit(struct ike_isa *sa, const struct ike_datagrams *d, const struct sl_endpoint *from,
                  const struct sl_endpoint *to);
/* The notify that answers a refused request. */
uint16_t xchg_refusal(const struct ike_xchg *x, enum sl_rc rc);
enum sl_rc xchg_refuse(struct ike_xchg *x, uint16_t notify, enum sl_rc rc) SL_MUST_USE;
/* A refused request is answered with N alone; false: no memory, the request will come again. */
bool xchg_respond_refused(struct ike_xchg *x, uint8_t exchange, enum sl_rc rc);
void xchg_drop(struct ike_xchg *x); /* ends it without a trace on the wire */
void ike_send(struct sl_ike *ike, const struct sl_endpoint *from, const struct sl_endpoint *to,
              bool natt, struct sl_bytes data);
void ike_event(struct sl_ike *ike, enum sl_ike_event ev, const struct ike_isa *sa,
               const struct ike_child *child, enum sl_rc rc, const char *fmt, ...) SL_PRINTF(6, 7);
int64_t ike_jitter(struct sl_ike *ike, int64_t span_ns); /* 0..span */

/* ---- conn_load.c -------------------------------------------------------------------------------------------- */
/*
 * Takes a configuration whole, or nothing of it. SAs of connections that stay as they are are not
 * touched. The one before must be there until this returns; nothing borrows from it afterwards.
 */
enum sl_rc conns_load(struct sl_ike *ike, const struct sl_config *config,
                      struct sl_err *err) SL_MUST_USE;
void conns_free(struct sl_ike *ike);
/* conn_change.c: ends what of conn's SAs does not fit fresh, which has taken the place of old. */
void conn_changed(struct ike_conn *conn, const struct sl_conf_connection *old,
                  const struct sl_conf_connection *fresh);
struct ike_conn *conn_find(const struct sl_ike *ike, const char *name);
const struct sl_conf_child *conn_child(const struct ike_conn *conn,
                                       const char *name); /* NULL: none */
/*
 * The n-th best configured connection for a pair of addresses, NULL when there are no more: an exact
 * remote address before a prefix before any, then an exact local address, then the file's order.
 */
struct ike_conn *conn_candidate(struct sl_ike *ike, const struct sl_addr *local,
                                const struct sl_addr *remote, size_t n);
/* The same among those of IKEv1; conn_candidate knows only those of IKEv2. */
struct ike_conn *conn_candidate_v1(struct sl_ike *ike, const struct sl_addr *local,
                                   const struct sl_addr *remote, size_t n);
void conn_free(struct ike_conn *conn);   /* in no list or table any more */
void conn_forget(struct ike_conn *conn); /* takes it out of the tables: it is configured no more */
bool conn_initiable(const struct sl_conf_connection *conf); /* we know where its peer is */

/* ---- conn.c ------------------------------------------------------------------------------------------------- */
void conn_cmd_free(struct ike_cmd *cmd);
void conn_ref(struct ike_isa *sa, struct ike_conn *conn);
void conn_unref(struct ike_isa *sa);
void conn_touch(struct ike_conn *conn);
void conn_attempt_failed(struct ike_conn *conn, enum sl_rc rc, const char *text);
void conn_worked(struct ike_conn *conn);
void conn_due(struct ike_conn *conn); /* its timer has come */
void conn_credential(struct sl_ike *ike,
                     const char *identity); /* has come: try what waits for it */
/* Looks at the commands and wishes of touched connections; called before the core returns. */
void conns_settle(struct sl_ike *ike);

/* ---- cred.c --------------------------------------------------------------------------------------------------- */
struct ike_cred *cred_find(const struct sl_ike *ike, const char *identity);
struct sl_bytes cred_cert(const struct ike_cred *cred, size_t i);
struct sl_bytes anchor_hashes(const struct sl_ike *ike, const char *trust); /* empty: none known */
void creds_free(struct sl_ike *ike);

/* ---- staple.c ------------------------------------------------------------------------------------------------- */
void staples_clear(struct ike_cred *cred);
/* What the peer's CERTREQ payloads ask for, into s; those of an earlier message are forgotten. */
enum sl_rc certreqs_take(struct ike_setup *s, const struct ike_payloads *list,
                         struct sl_err *err) SL_MUST_USE;
/* Does a connection ask for the peer's OCSP responses? */
bool staple_wanted(const struct sl_ike *ike, const struct sl_conf_connection *conf);
void put_ocsp_request(struct ike_wr *c);
/* Our responses, where the peer asked for them and as far as they are at hand and fresh. */
void put_staples(struct ike_wr *c, struct ike_xchg *x);

/* ---- v1: what the core calls of src/ike/v1 (v1.h) ------------------------------------------------------------- */
void v1_packet(struct sl_ike *ike, const struct sl_endpoint *local,
               const struct sl_endpoint *remote, struct sl_bytes data);
/* Begins an IKE SA; child NULL: none of its own. replaces: the SA that it succeeds, or NULL. */
struct ike_isa *v1_begin(struct sl_ike *ike, struct ike_conn *conn, const char *child,
                         struct ike_isa *replaces, struct sl_err *err);
void v1_isa_clear(struct ike_isa *sa);
void v1_xchg_clear(struct ike_xchg *x);
bool v1_holds(const struct ike_isa *sa, const struct ike_xchg *x);
void v1_event(struct ike_xchg *x, uint16_t on, bool message);
int64_t v1_deadline(const struct ike_isa *sa);
void v1_due(struct ike_isa *sa);
bool v1_run_one(struct ike_isa *sa);
bool v1_rekeys(const struct ike_isa *sa, uint64_t child); /* child 0: the SA itself */
void v1_closing(struct ike_isa *sa); /* its children are about to end: tell the peer */
enum sl_rc v1_child_keys(struct ike_child_keys *out, const struct ike_child *c, bool we_began,
                         struct sl_bytes ni, struct sl_bytes nr, const struct sl_secret *shared,
                         struct sl_err *err) SL_MUST_USE;
/* ---- v2/config.c ---------------------------------------------------------------------------------------------- */
/* Client: what virtual_ip asks for, and what the peer gave. */
void put_cfg_request(struct ike_wr *c, const struct ike_isa *sa);
enum sl_rc cfg_reply_take(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
/* Server: what the peer asks for, into setup; what it is granted. */
enum sl_rc cfg_request_read(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void put_cfg_reply(struct ike_wr *c, const struct ike_xchg *x);
/* Why a peer that asked gets no address, and so no child. */
enum sl_rc cfg_failure(const struct ike_isa *sa, struct sl_err *err) SL_MUST_USE;
/*
 * Configured selectors of one side with "dynamic" replaced. offer: ours, of IKE_AUTH, before the peer
 * gave us an address. SL_ADDRESS_NONE, SL_ADDRESS_REQUIRED.
 */
enum sl_rc vip_selectors(const struct ike_isa *sa, const struct sl_ts *ts, size_t ts_n, bool ours,
                         bool offer, struct sl_ts out[SL_TS_MAX], size_t *n,
                         struct sl_err *err) SL_MUST_USE;
/* Addresses that the peer gave us and a child's traffic comes from; family 0: none. */
void vip_of_child(const struct ike_isa *sa, struct sl_addr out[2]);

/* ---- v2 --------------------------------------------------------------------------------------------------------- */
extern const struct ike_table ike_init_initiator, ike_init_responder;
extern const struct ike_table ike_auth_initiator, ike_auth_responder;
extern const struct ike_table ike_child_initiator, ike_rekey_initiator, ike_create_responder;
extern const struct ike_table ike_info_initiator, ike_info_responder;

/* Begins an IKE SA to a connection's peer, its first child being `child`. */
struct ike_isa *init_begin(struct sl_ike *ike, struct ike_conn *conn, const char *child,
                           struct sl_err *err);
/* A first message of a peer: limits, cookie, then a new half-open SA. */
void init_request(struct sl_ike *ike, const struct sl_endpoint *local,
                  const struct sl_endpoint *remote, const struct ike_message *m);
/* N(NAT_DETECTION_*_IP) for a message from local to remote, with the SA's SPIs. */
void put_nat_detection(struct ike_wr *c, const struct ike_isa *sa, const struct sl_endpoint *local,
                       const struct sl_endpoint *remote);
/*
 * Negotiation of a child by its responder: chooses child, proposal and selectors from SA, TSi, TSr
 * (and KE) of x->list into *c. conf NULL: any child of the connection.
 */
enum sl_rc child_select(struct ike_xchg *x, struct ike_child *c, const struct sl_conf_child *conf,
                        bool with_ke, struct sl_err *err) SL_MUST_USE;
/* The initiator's side: what was chosen from our offer (x->offer_i, x->offer_r), into *c. */
enum sl_rc child_chosen(struct ike_xchg *x, struct ike_child *c, const struct sl_conf_child *conf,
                        bool with_ke, struct sl_err *err) SL_MUST_USE;
/* The key exchange of IKE_SA_INIT is answered: the first keys. */
enum sl_rc init_derive(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;

/* ---- v2/intermediate.c: IKE_INTERMEDIATE between IKE_SA_INIT and IKE_AUTH */
extern const struct ike_table ike_intermediate_initiator, ike_intermediate_last_initiator,
    ike_intermediate_responder;
/* x->choice is made: setup->intermediate, where it has additional key exchanges. */
enum sl_rc intermediate_prepare(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void intermediate_free(struct ike_intermediate *m);
/* Appends to the octets that AUTH signs what IKE_INTERMEDIATE adds (RFC 9242 3.3); false: no memory. */
bool intermediate_cover(struct sl_buf *octets, const struct ike_xchg *x) SL_MUST_USE;

/* ---- v2/child_negotiate.c, beside child_select and child_chosen */
/* A proposal's SPI; false: not 4 bytes, or reserved. */
bool child_read_spi(struct sl_bytes spi, uint32_t *out);
/* The KE payload that goes with what was chosen: none without PFS. False: missing or another group. */
/*
 * The initiator's side: what is offered, into x->offer_i and x->offer_r: the selectors of c when it is
 * rekeyed, with its successor in x->child, else those that the configuration and the grants allow.
 */
enum sl_rc child_offer(struct ike_xchg *x, struct ike_child *c, const struct sl_conf_child *conf,
                       struct sl_err *err) SL_MUST_USE;
void child_spi_bytes(uint8_t out[4], uint32_t spi);
bool child_read_ke(const struct ike_xchg *x, enum sl_ke group, struct ike_ke *ke);
enum sl_rc child_read_nonce(const struct ike_xchg *x, struct sl_buf *to,
                            struct sl_err *err) SL_MUST_USE;

/* ---- v2/create_child.c, for v2/followup.c */
/* Initiator: all key exchanges are done (x->shared, x->more). */
enum sl_rc create_finish(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void create_initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err);
/* Responder: may x be finished, and the keys of the IKE SA; then what was negotiated is made. */
enum sl_rc create_prepare(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
enum sl_rc create_commit(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void create_no_rival(const struct ike_xchg *x); /* x comes to nothing: it is no rival of ours */

/* ---- v2/followup.c: IKE_FOLLOWUP_KE */
extern const struct ike_table ike_followup_initiator, ike_followup_last_initiator,
    ike_followup_responder;
enum sl_rc followup_link(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE; /* from x->list */
bool followup_peer_made_it(const struct ike_xchg *x); /* it has answered the last of the series */
void followup_put_link(struct ike_wr *c, const struct ike_xchg *x);
void followup_aside(struct ike_xchg *x); /* answered: from sa->in to sa->aside */
void followup_unlink(struct ike_xchg *x);
void followup_due(struct ike_isa *sa);
int64_t followup_ns(const struct ike_isa *sa);
/* Is the peer in the middle of such a rekey? child 0: of the IKE SA. */
bool followup_rekeys(const struct ike_isa *sa, enum ike_xchg_kind kind, uint64_t child);

/* The initiator's IKE_SA_INIT exchange is done: sign and send IKE_AUTH. */
enum sl_rc auth_begin(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
/* Our ID, and what a verdict grants; of both versions. */
enum sl_rc auth_choose_id(struct ike_isa *sa, struct sl_err *err) SL_MUST_USE;
enum sl_rc auth_take_verdict(struct ike_isa *sa, const struct sl_verdict *v,
                             struct sl_err *err) SL_MUST_USE;
/* The table for a peer's request on an established SA; NULL: none for that exchange type. */
const struct ike_table *ike_responder_table(const struct ike_isa *sa, uint8_t exchange);
/* Which of two simultaneous SAs loses: the one with the lowest of the four nonces (RFC 7296 2.8.1). */
int nonce_cmp(struct sl_bytes a, struct sl_bytes b);
struct sl_bytes nonce_lower(struct sl_bytes a, struct sl_bytes b);

/* ---- v2/childless.c: RFC 6023 -------------------------------------------------------------------------------------- */
void childless_announce(struct ike_wr *c,
                        const struct ike_isa *sa); /* in our IKE_SA_INIT response */
/* The initiator: is IKE_AUTH to make no child? Into x->setup->childless. */
enum sl_rc childless_choose(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void childless_up(struct ike_xchg *x, struct ike_child *c); /* c comes by CREATE_CHILD_SA */
/* The responder: a request without a child is allowed; one with a child makes none. */
enum sl_rc childless_check(const struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
enum sl_rc childless_forced(const struct ike_isa *sa, struct sl_err *err) SL_MUST_USE;

/* ---- v2/auth_lifetime.c: RFC 4478 ----------------------------------------------------------------------------------- */
void lifetime_announce(struct ike_wr *c, const struct ike_isa *sa);
void lifetime_take(struct ike_isa *sa, const struct ike_payloads *list);
void lifetime_begin(struct ike_isa *sa); /* the SA is up */

/* ---- v2/mobike.c: RFC 4555 ---------------------------------------------------------------------------------------- */
void mobike_offer(struct ike_wr *c, const struct ike_isa *sa);
void mobike_accept(struct ike_wr *c, const struct ike_isa *sa);
void mobike_take(struct ike_xchg *x); /* what the peer's IKE_AUTH message says of it */
bool mobike_wants(const struct ike_isa *sa);
void mobike_put_request(struct ike_wr *c, struct ike_xchg *x);
void mobike_sent(struct ike_isa *sa);
void mobike_response(struct ike_xchg *x);
/* update: the request says that the peer has moved, and may. */
void mobike_put_response(struct ike_wr *c, const struct ike_xchg *x, bool *update);
void mobike_requested(struct ike_xchg *x, bool update);
/* Before a request is sent again; false: there is no way to send it now. */
bool mobike_again(struct ike_isa *sa) SL_MUST_USE;
void mobike_inherit(struct ike_isa *to, const struct ike_isa *from);

#endif
