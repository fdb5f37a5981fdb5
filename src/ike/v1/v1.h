/*
 * IKEv1 in the core (RFC 2408, 2409, 2407; RFC 3706, 3947): what its files share.
 *
 *   packet.c         datagrams to their SAs and exchanges, encryption, repetition, the tables
 *   phase1.c         what main mode and aggressive mode have in common
 *   main_mode.c      main mode
 *   aggressive.c     aggressive mode
 *   quick.c          quick mode: children
 *   informational.c  Delete, notifications, dead peer detection
 *   life.c           wishes, deadlines, the end of an SA, and the succession of phase 1
 *
 * A phase 1 SA is a struct ike_isa whose v1 is set. Its exchanges are struct ike_xchg with an x->v1;
 * the one of phase 1 stands in sa->out or sa->in until it is done, those of phase 2 in sa->v1->parts,
 * of which there may be several at once.
 *
 * There are no responses in IKEv1, only messages. So each exchange keeps the last message it sent:
 * it goes out again when its timer says so, where an answer is due, and whenever the peer's message
 * that led to it comes again.
 */
#ifndef SL_SRC_IKE_V1_V1_H
#define SL_SRC_IKE_V1_V1_H

#include "src/ike/core.h"
#include "src/ike/v1/codec.h"
#include "src/ike/v1/crypt.h"
#include "src/ike/v1/keys.h"
#include "src/ike/v1/proposal.h"

#define V1_PARTS_MAX  16 /* quick modes of one peer under way at once */
#define V1_PARTS_KEPT 64 /* with those that are done and may have to repeat their last message */
#define V1_MIDS_MAX   64 /* message IDs remembered, of each kind */
#define V1_KEPT_NS    (30 * SL_NS_PER_S)

enum v1_state {
    V1_NEW = 1,
    /* main mode: the initiator's states, then the responder's */
    M_I_SA_SENT,
    M_I_WAIT_KE,
    M_I_KE_SENT,
    M_I_WAIT_SHARED,
    M_I_WAIT_SKEYID,
    M_I_WAIT_SIGN,
    M_I_AUTH_SENT,
    M_I_WAIT_DECISION,
    M_R_SA_SENT,
    M_R_WAIT_SHARED,
    M_R_WAIT_SKEYID,
    M_R_KE_SENT,
    M_R_WAIT_DECISION,
    M_R_WAIT_SIGN,
    /* aggressive mode */
    A_I_WAIT_KE,
    A_I_SENT,
    A_I_WAIT_SHARED,
    A_I_WAIT_SKEYID,
    A_I_WAIT_DECISION,
    A_I_WAIT_SIGN,
    A_R_WAIT_SHARED,
    A_R_WAIT_SKEYID,
    A_R_WAIT_SIGN,
    A_R_SENT,
    A_R_WAIT_DECISION,
    /* quick mode */
    Q_I_WAIT_KE,
    Q_I_SENT,
    Q_I_WAIT_SHARED,
    Q_R_WAIT_SHARED,
    Q_R_SENT,
    V1_DONE, /* over; kept to repeat its last message */
};
const char *v1_state_name(enum v1_state s);

/* Events besides GO and ANSWER of step.h. */
#define V1_MESSAGE(exchange) IKE_ON(2, (exchange))
#define V1P(type)            V1_BIT(V1_P_##type)

struct v1_step {
    enum v1_state from;
    uint16_t on;
    uint32_t need, may; /* messages: payloads */
    enum sl_rc (*run)(struct ike_xchg *x, struct sl_err *err);
    enum v1_state to;
    const char *story;
};
struct v1_table {
    const char *name;
    const struct v1_step *step;
    size_t n;
    void (*fail)(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err);
};
#define V1_TABLE(text, steps, on_fail)                                             \
    {                                                                              \
        .name = (text), .step = (steps), .n = SL_ARRAY_LEN(steps), .fail = on_fail \
    }

/* What an exchange of IKEv1 has besides struct ike_xchg. */
struct v1_xchg {
    struct ike_xchg *next; /* in sa->v1->parts */
    const struct v1_table *table;
    enum v1_state state;
    uint32_t mid;          /* 0: phase 1 */
    uint8_t iv[V1_IV_LEN]; /* of the next message, whoever sends it */
    bool has_iv;
    /* the last message sent */
    struct ike_datagrams tx;
    unsigned sent;
    int64_t due_ns; /* again then; INT64_MAX: only when asked */
    /* the last message of the peer that was acted upon */
    uint8_t rx_digest[32];
    bool has_rx;
    int64_t done_ns; /* V1_DONE: forgotten then */
    /* phase 1 */
    struct sl_buf sai;      /* body of the initiator's SA */
    struct sl_buf gxi, gxr; /* bodies of KE */
    struct sl_buf choice;   /* responder of aggressive mode: its SA, to be sent later */
    struct sl_buf claim;    /* the peer's HASH or signature */
    struct sl_buf certs;    /* the peer's certificates, back to back */
    size_t cert_end[SL_CHAIN_MAX], cert_n;
    /* phase 2 */
    struct sl_bytes proxy_i, proxy_r; /* bodies of IDci, IDcr in the message being handled */
    uint64_t life_s, life_kb;
    bool tell_life; /* responder: ours is shorter than what was offered */
};

/* What a phase 1 SA has besides struct ike_isa. */
struct ike_v1 {
    struct v1_keys keys;
    uint8_t last[V1_IV_LEN]; /* last block of phase 1: source of later IVs */
    bool ready;              /* keys and last are there: phase 2 messages are read */
    uint32_t vids;
    uint8_t natd;  /* payload type of NAT-D; 0: no NAT traversal */
    uint16_t auth; /* enum v1_auth_method */
    bool aggressive;
    uint64_t life_s;         /* negotiated; 0: none */
    struct ike_xchg *phase1; /* done, and kept to repeat its last message; NULL while it runs */
    struct ike_xchg *parts;
    size_t parts_n;
    uint32_t quick_mid[V1_MIDS_MAX], info_mid[V1_MIDS_MAX];
    size_t quick_mids, info_mids; /* ever; the array is a ring */
    uint16_t fragment_id;
    struct v1_reassembly ra;
    /* dead peer detection (RFC 3706) */
    uint32_t dpd_seq, dpd_peer_seq;
    bool dpd_waits, dpd_peer_seen;
    unsigned dpd_sent;
    int64_t dpd_due_ns;
    /* why the peer may be silent: never believed at once, for it was not protected */
    enum sl_rc hint_rc;
    char hint[SL_ERR_TEXT_MAX];
};

/* ---- packet.c ---------------------------------------------------------------------------------- */
struct ike_isa *v1_isa_new(struct sl_ike *ike, bool initiator); /* ISA_MAKING; NULL: no memory */
struct ike_xchg *v1_xchg_new(struct ike_isa *sa, enum ike_xchg_kind kind, bool ours, uint32_t mid,
                             const struct v1_table *table);
/* A chain: encrypted under the exchange's IV where keys are there. timer: an answer is due. */
enum sl_rc v1_send(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c, struct sl_buf *chain,
                   bool encrypt, bool timer, struct sl_err *err) SL_MUST_USE;
void v1_resend(struct ike_xchg *x);
/* A protected message of one's own, as informational exchanges are: HASH(1) goes in front. */
enum sl_rc v1_send_info(struct ike_isa *sa, struct ike_wr *c, struct sl_buf *chain,
                        struct sl_err *err) SL_MUST_USE;
/* Puts HASH in front of a chain: for quick mode. */
enum sl_rc v1_hash_front(struct sl_buf *out, struct sl_bytes hash, uint8_t first,
                         struct sl_bytes rest, struct sl_err *err) SL_MUST_USE;
uint32_t v1_new_mid(struct ike_isa *sa);
void v1_info_believed(struct ike_isa *sa, uint32_t mid);
void v1_finish(struct ike_xchg *x); /* V1_DONE of phase 2: what it need not keep is freed */
void v1_doubt(struct ike_isa *sa, enum sl_rc rc, const char *text);

/* ---- phase1.c ---------------------------------------------------------------------------------- */
uint32_t v1_vids_offered(const struct ike_isa *sa);
void v1_put_vids(struct ike_wr *c, const struct ike_isa *sa);
void v1_take_vids(struct ike_xchg *x);
size_t v1_methods(uint16_t out[1], const struct ike_isa *sa, const struct sl_conf_connection *conf);
int64_t v1_life_offered(const struct sl_conf_connection *conf);
enum sl_rc v1_take_choice(struct ike_xchg *x, const struct v1_ike_choice *choice,
                          struct sl_err *err) SL_MUST_USE;
enum sl_rc v1_take_nonce(struct ike_xchg *x, struct sl_buf *to, struct sl_err *err) SL_MUST_USE;
enum sl_rc v1_take_natd(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void v1_float(struct ike_isa *sa); /* to port 4500 where there is a NAT */
/* The shared secret is there: SKEYID is asked for, or made at once. */
enum sl_rc v1_ask_skeyid(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
enum sl_rc v1_take_skeyid(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
enum sl_rc v1_take_claim(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE; /* HASH, SIG, CERTs */
enum sl_rc v1_take_id(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
enum sl_rc v1_ask_peer(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;  /* ASK_DECISION */
enum sl_rc v1_accept(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;    /* its answer */
enum sl_rc v1_ask_proof(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE; /* our signature */
/* CERTs and HASH or SIG, from the answer. */
enum sl_rc v1_put_proof(struct ike_xchg *x, struct ike_wr *c, struct sl_err *err) SL_MUST_USE;
void v1_put_cert_request(struct ike_wr *c, const struct ike_isa *sa);
bool v1_alone(const struct ike_isa *sa);
void v1_established(struct ike_xchg *x);
void v1_phase1_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err);
/* A first message of a peer. */
void v1_first_message(struct sl_ike *ike, const struct sl_endpoint *local,
                      const struct sl_endpoint *remote, const struct v1_message *m);
struct ike_conn *v1_candidate(struct sl_ike *ike, const struct sl_addr *local,
                              const struct sl_addr *remote, bool aggressive, size_t n);

extern const struct v1_table v1_main_initiator, v1_main_responder;
extern const struct v1_table v1_aggressive_initiator, v1_aggressive_responder;
extern const struct v1_table v1_quick_initiator, v1_quick_responder;

/* ---- quick.c ----------------------------------------------------------------------------------- */
bool v1_quick_of(const struct ike_xchg *x, uint64_t child);

/* ---- informational.c --------------------------------------------------------------------------- */
void v1_informational(struct ike_isa *sa, const struct v1_message *m);
void v1_plain_informational(struct ike_isa *sa, const struct ike_payloads *list);
void v1_send_notify(struct ike_isa *sa, uint8_t protocol, uint16_t type, struct sl_bytes spi,
                    struct sl_bytes data);
void v1_send_delete(struct ike_isa *sa, struct ike_child *c); /* NULL: of the SA itself */
void v1_dpd(struct ike_isa *sa);
void v1_refuse_plain(struct sl_ike *ike, const struct sl_endpoint *local,
                     const struct sl_endpoint *remote, const struct ike_hdr *in, uint16_t type);
uint16_t v1_refusal(enum sl_rc rc);

/* ---- life.c ------------------------------------------------------------------------------------ */
void v1_peer_deleted(struct ike_isa *sa); /* the peer ended the SA; its children find another */

#endif
