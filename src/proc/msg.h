/*
 * What sealane's processes say to each other: every message as a plain struct with a writer and a
 * reader side by side in msg.c. Integers are big-endian, strings and byte fields carry their
 * length, and a reader accepts exactly what a writer makes.
 *
 * Views (struct sl_bytes) in a struct that was read point into the message. Text in arrays is
 * NUL-terminated. Use:
 *
 *   struct msg_end_sa m = { .ike_sa = 7, .rc = SL_REVOKED };
 *   msg_send(link, MSG_END_SA, &m, &err);
 *   ...
 *   case MSG_END_SA: if (!msg_read(MSG_END_SA, &m, body)) ...
 *
 * The struct that belongs to a type is named in the table MSG_TABLE below.
 */
#ifndef SL_PROC_MSG_H
#define SL_PROC_MSG_H

#include "sealane/child.h"
#include "sealane/decision.h"
#include "sealane/ike.h"
#include "sealane/log.h"
#include "src/proc/chan.h"

#define MSG_KEY_NAME_MAX   96 /* with NUL */
#define MSG_PATH_MAX       1024
#define MSG_LDAP_ATTRS_MAX 64
#define MSG_FDS_MAX        48
#define MSG_PROCS_MAX      16

/* ---- keyring ------------------------------------------------------------------------------- */
struct msg_key_sign {
    char name[MSG_KEY_NAME_MAX];
    enum sl_sig sig;
    struct sl_bytes data;
};
struct msg_key_decrypt {
    char name[MSG_KEY_NAME_MAX];
    bool oaep;
    struct sl_bytes cipher;
};
struct msg_key_generate {
    char name[MSG_KEY_NAME_MAX];
    char alg[32]; /* as in sl_key_alg_parse */
};
struct msg_key_name { /* SPKI, REMOVE */
    char name[MSG_KEY_NAME_MAX];
};
struct msg_key_rename { /* replaces to */
    char from[MSG_KEY_NAME_MAX], to[MSG_KEY_NAME_MAX];
};
struct msg_key_psk_auth {
    char name[MSG_KEY_NAME_MAX];
    enum sl_prf prf;
    struct sl_bytes octets;
};
struct msg_key_psk_v1 { /* octets empty: SKEYID itself, which only the ike process may have */
    char name[MSG_KEY_NAME_MAX];
    enum sl_prf prf;
    struct sl_bytes nonces, octets;
};
/*
 * The answer to each: the signature, the plain text, the DER SubjectPublicKeyInfo (GENERATE,
 * SPKI), the MAC, or the list.
 */
struct msg_key_reply {
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    struct sl_bytes bytes;
};
/* The bytes of a LIST's answer. */
struct msg_key_item {
    char name[MSG_KEY_NAME_MAX];
    struct sl_bytes spki;
};
void msg_key_item_write(const struct msg_key_item *m, struct sl_wr *w);
bool msg_key_item_read(struct msg_key_item *m, struct sl_rd *r); /* one; the rest stays in r */

/* ---- fetch --------------------------------------------------------------------------------- */
struct msg_http {
    char method[8]; /* "GET", "POST" */
    struct sl_bytes uri;
    char content_type[128], accept[128]; /* "": none */
    struct sl_bytes body;
    uint32_t max_bytes; /* of the answer's body */
    uint32_t deadline_ms;
    bool follow; /* redirects, to http and https only */
    /*
     * The administrator wrote the URI, and no address is refused. False, for what certificates name:
     * the section fetch decides.
     */
    bool configured;
    char etag[256], last_modified[64]; /* of what the asker has (RFC 9110 13.1); "": none */
};
struct msg_http_reply { /* rc SL_OK: the server answered, with whatever status */
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    uint16_t status;
    char content_type[128]; /* without parameters, lower case */
    /* To be kept with the body and sent with the next request. Status 304: those of before. */
    char etag[256], last_modified[64]; /* "": none */
    struct sl_bytes body;
    /* HTTP: 1, 0 for an empty body. LDAP: DER SEQUENCEs one after another (fetch_der_next). */
    uint32_t value_n;
};

enum msg_ldap_scope { MSG_LDAP_BASE = 0, MSG_LDAP_ONE = 1, MSG_LDAP_SUB = 2 };
struct msg_ldap {
    char
        directory[SL_NAME_MAX]; /* configured directory: server, TLS and credentials come from it */
    struct sl_bytes base, filter;
    enum msg_ldap_scope scope;
    char attr[MSG_LDAP_ATTRS_MAX][64];
    size_t attr_n;  /* 0: all */
    uint32_t limit; /* entries */
    uint32_t deadline_ms;
};
/* entries: one struct msg_ldap_entry after another; the reader has checked them all. */
struct msg_ldap_reply {
    enum sl_rc rc; /* DIR_UNAVAILABLE, DIR_BAD_ANSWER, TOO_LARGE (more than limit), ... */
    char text[SL_ERR_TEXT_MAX];
    uint32_t entry_n;
    struct sl_bytes entries;
};
struct msg_ldap_entry {
    struct sl_bytes dn;
    uint32_t value_n;
    struct sl_bytes values; /* struct msg_ldap_value, one after another */
};
struct msg_ldap_value { /* an attribute with several values appears once for each */
    struct sl_bytes attr, value;
};
void msg_ldap_entry_write(const struct msg_ldap_entry *m, struct sl_wr *w);
bool msg_ldap_entry_read(struct msg_ldap_entry *m, struct sl_rd *r); /* one; the rest stays in r */
void msg_ldap_value_write(const struct msg_ldap_value *m, struct sl_wr *w);
bool msg_ldap_value_read(struct msg_ldap_value *m, struct sl_rd *r);

/* ---- ike and identity ---------------------------------------------------------------------- */
/* DECIDE is struct sl_decision_ask, VERDICT struct sl_verdict (include/sealane/decision.h). */
struct msg_credential {
    char identity[SL_NAME_MAX], key[MSG_KEY_NAME_MAX];
    struct sl_bytes chain[SL_CHAIN_MAX]; /* DER, [0] the end entity; chain_n 0: none any more */
    size_t chain_n;
};
struct msg_staples { /* of the credential sent last; staple_n 0: none at hand */
    char identity[SL_NAME_MAX];
    struct sl_staple staple[SL_CHAIN_MAX];
    size_t staple_n;
};
struct msg_anchors {
    char trust[SL_NAME_MAX];
    struct sl_bytes hashes; /* SHA-1 of each anchor's SubjectPublicKeyInfo, 20 bytes each */
};
struct msg_end_sa {
    uint64_t ike_sa;
    enum sl_rc rc;
};
/* An IKE SA holds addresses of a pool: told to an identity that was started anew. */
struct msg_lease {
    uint64_t ike_sa;
    struct sl_id id;
    struct sl_addr addr[2]; /* IPv4, IPv6; family 0: none */
};
struct msg_sa_event {
    enum sl_ike_event event;
    enum sl_rc rc;
    uint64_t ike_sa, child_id;
    char connection[SL_NAME_MAX], child[SL_NAME_MAX]; /* "": none */
    struct sl_id peer;                                /* type NONE: unknown */
    struct sl_endpoint remote;
    char text[SL_ERR_TEXT_MAX];
};

/* ---- ike and esp --------------------------------------------------------------------------- */
/* CHILD_ADD is struct sl_child; who reads it owns its keys (sl_child_clear). */
struct msg_child { /* OUTBOUND, DEL, SOFT, HARD, SEEN */
    uint64_t child_id;
};
struct msg_child_move { /* by ike; of CHILD_HEARD, by esp: where a packet came from */
    uint64_t child_id;
    struct sl_endpoint local, remote;
    bool udp_encap;
};
struct msg_child_failed { /* could not be installed */
    uint64_t child_id;
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
};

/* ---- esp and supervisor -------------------------------------------------------------------- */
struct msg_address { /* of ours, that a peer gave us: on TUN while a child uses it */
    struct sl_addr addr;
};
/*
 * A route of remote traffic into TUN; local: the near side, for choosing a source address. near: the
 * prefix is of the near side itself, which stays out of TUN.
 */
struct msg_route {
    struct sl_prefix prefix;
    bool near;
    struct sl_addr local_first, local_last; /* family 0: none */
};

/* ---- authority and identity ---------------------------------------------------------------- */
struct msg_audit { /* answered by AUDIT_DONE when durable */
    char kind[32];
    struct sl_bytes json; /* one object */
};
struct msg_audit_done {
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    uint64_t number;
};
struct msg_revoked {        /* a certificate of the embedded authority was revoked */
    struct sl_bytes issuer; /* DER Name */
    struct sl_bytes serial; /* big-endian, as in the certificate's INTEGER */
    uint8_t reason;         /* CRLReason */
    int64_t utc_s;
    struct sl_bytes crl; /* DER of the CRL that says so; empty when not yet made */
};
struct msg_authority_certs { /* the embedded authority's own, [0] the root; n 0: not initialised */
    struct sl_bytes cert[SL_CHAIN_MAX];
    size_t cert_n;
};

/* ---- control and every role ---------------------------------------------------------------- */
struct msg_ctl_request {
    char verb[48];
    struct sl_bytes json; /* arguments: one object, or empty */
};
struct msg_ctl_cancel { /* nobody waits for more answers */
    uint64_t id;
};
struct msg_ctl_reply {
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    struct sl_bytes json; /* one value, or empty */
    bool more;            /* equal to CHAN_MORE of the frame */
};

/* ---- supervisor and every role ------------------------------------------------------------- */
/* Descriptors for a role, one per name; before its START, in as many messages as it takes. */
struct msg_hand {
    char name[MSG_FDS_MAX][96];
    size_t name_n;
};
/* Now the role may start. Descriptors: the configuration, then one per link. */
struct msg_start {
    uint8_t role;
    char config_file[MSG_PATH_MAX]; /* for messages */
    uint32_t user, group;
    uint8_t link[MSG_PROCS_MAX]; /* roles */
    size_t link_n;
};
struct msg_link { /* the role's successor; its socket is the descriptor */
    uint8_t role;
};
struct msg_proc {
    uint8_t role;
    uint32_t pid; /* 0: not running */
    bool ready;
    int64_t started_utc_s;
    uint32_t restarts;
    char lost[256]; /* why it was last restarted and what that cost; "" */
};
struct msg_procs {
    struct msg_proc proc[MSG_PROCS_MAX];
    size_t proc_n;
};
struct msg_none { /* a message that is its type alone */
    uint8_t unused;
};

/* Type, number, struct, stem of the reader and the writer. Numbers are for ever. */
#define MSG_TABLE(X)                                                     \
    X(MSG_START, 1, msg_start, msg_start)                                \
    X(MSG_READY, 2, msg_none, msg_none)                                  \
    X(MSG_SHUTDOWN, 3, msg_none, msg_none)                               \
    X(MSG_LINK, 4, msg_link, msg_link)                                   \
    X(MSG_PROCS_ASK, 5, msg_none, msg_none)                              \
    X(MSG_PROCS, 6, msg_procs, msg_procs)                                \
    X(MSG_HAND, 7, msg_hand, msg_hand)                                   \
    X(MSG_KEY_SIGN, 16, msg_key_sign, msg_key_sign)                      \
    X(MSG_KEY_DECRYPT, 17, msg_key_decrypt, msg_key_decrypt)             \
    X(MSG_KEY_GENERATE, 18, msg_key_generate, msg_key_generate)          \
    X(MSG_KEY_SPKI, 19, msg_key_name, msg_key_name)                      \
    X(MSG_KEY_RENAME, 20, msg_key_rename, msg_key_rename)                \
    X(MSG_KEY_REMOVE, 21, msg_key_name, msg_key_name)                    \
    X(MSG_KEY_LIST, 22, msg_none, msg_none)                              \
    X(MSG_KEY_PSK_AUTH, 23, msg_key_psk_auth, msg_key_psk_auth)          \
    X(MSG_KEY_REPLY, 24, msg_key_reply, msg_key_reply)                   \
    X(MSG_KEY_PSK_V1, 25, msg_key_psk_v1, msg_key_psk_v1)                \
    X(MSG_HTTP, 32, msg_http, msg_http)                                  \
    X(MSG_HTTP_REPLY, 33, msg_http_reply, msg_http_reply)                \
    X(MSG_LDAP, 34, msg_ldap, msg_ldap)                                  \
    X(MSG_LDAP_REPLY, 35, msg_ldap_reply, msg_ldap_reply)                \
    X(MSG_DECIDE, 48, sl_decision_ask, msg_decide)                       \
    X(MSG_VERDICT, 49, sl_verdict, msg_verdict)                          \
    X(MSG_CREDENTIAL, 50, msg_credential, msg_credential)                \
    X(MSG_ANCHORS, 51, msg_anchors, msg_anchors)                         \
    X(MSG_END_SA, 52, msg_end_sa, msg_end_sa)                            \
    X(MSG_SA_EVENT, 53, msg_sa_event, msg_sa_event)                      \
    X(MSG_STAPLES, 54, msg_staples, msg_staples)                         \
    X(MSG_LEASE, 56, msg_lease, msg_lease)                               \
    X(MSG_CHILD_ADD, 64, sl_child, msg_child_add)                        \
    X(MSG_CHILD_OUTBOUND, 65, msg_child, msg_child)                      \
    X(MSG_CHILD_DEL, 66, msg_child, msg_child)                           \
    X(MSG_CHILD_MOVE, 67, msg_child_move, msg_child_move)                \
    X(MSG_CHILD_SOFT, 68, msg_child, msg_child)                          \
    X(MSG_CHILD_HARD, 69, msg_child, msg_child)                          \
    X(MSG_CHILD_SEEN, 70, msg_child, msg_child)                          \
    X(MSG_CHILD_FAILED, 71, msg_child_failed, msg_child_failed)          \
    X(MSG_CHILD_HEARD, 72, msg_child_move, msg_child_move)               \
    X(MSG_ROUTE_ADD, 80, msg_route, msg_route)                           \
    X(MSG_ROUTE_DEL, 81, msg_route, msg_route)                           \
    X(MSG_ADDRESS_ADD, 82, msg_address, msg_address)                     \
    X(MSG_ADDRESS_DEL, 83, msg_address, msg_address)                     \
    X(MSG_AUDIT, 96, msg_audit, msg_audit)                               \
    X(MSG_AUDIT_DONE, 97, msg_audit_done, msg_audit_done)                \
    X(MSG_REVOKED, 98, msg_revoked, msg_revoked)                         \
    X(MSG_AUTHORITY_CERTS, 99, msg_authority_certs, msg_authority_certs) \
    X(MSG_CTL_REQUEST, 112, msg_ctl_request, msg_ctl_request)            \
    X(MSG_CTL_REPLY, 113, msg_ctl_reply, msg_ctl_reply)                  \
    X(MSG_CTL_CANCEL, 114, msg_ctl_cancel, msg_ctl_cancel)

enum msg_type {
#define MSG_ENUM(type, number, st, stem) type = (number),
    MSG_TABLE(MSG_ENUM)
#undef MSG_ENUM
};

const char *msg_name(unsigned type); /* "END_SA"; "?" when unknown */
size_t msg_size(unsigned type);      /* of its struct; 0 when unknown */

/* m points to the type's struct. false: malformed, m then holds nothing to be freed. */
SL_MUST_USE bool msg_read(enum msg_type type, void *m, struct sl_bytes body);
/* Appends; SL_TOO_LARGE, SL_NO_MEMORY. Wipe out when it holds secrets. */
SL_MUST_USE enum sl_rc msg_write(enum msg_type type, const void *m, struct sl_buf *out,
                                 struct sl_err *err);

/* As chan_send, chan_request, chan_reply and chan_call; encoded copies are wiped. */
SL_MUST_USE enum sl_rc msg_send(struct chan *c, enum msg_type type, const void *m,
                                struct sl_err *err);
SL_MUST_USE enum sl_rc msg_send_fds(struct chan *c, enum msg_type type, const void *m,
                                    const int *fd, size_t fd_n, struct sl_err *err);
SL_MUST_USE enum sl_rc msg_ask(struct chan *c, enum msg_type type, const void *m,
                               int64_t deadline_ms, chan_reply_fn *fn, void *ctx, uint64_t *id,
                               struct sl_err *err);
SL_MUST_USE enum sl_rc msg_answer(struct chan *c, uint64_t id, enum msg_type type, const void *m,
                                  bool more, struct sl_err *err);
/* The answer, of want_type, is read into answer; its views point into *reply. */
SL_MUST_USE enum sl_rc msg_call(struct chan *c, enum msg_type type, const void *m,
                                int64_t deadline_ms, enum msg_type want_type, void *answer,
                                struct sl_buf *reply, struct sl_err *err);

/*
 * Key operations through the keyring at the other end of c (struct sl_key_ops): from worker
 * threads only.
 */
struct sl_key_ops;
void msg_key_ops(struct sl_key_ops *ops, struct chan *c);

#endif
