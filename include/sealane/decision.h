/*
 * The decision: who is this peer, and may it in? A core: evidence goes in, questions come out, and
 * one function alone can say accept.
 *
 * The evidence is gathered in a fixed order: path, revocation, ID binding, possession, directory,
 * policy. The first failure decides; what was found before it stays in the record.
 */
#ifndef SEALANE_DECISION_H
#define SEALANE_DECISION_H

#include "sealane/crypto.h"
#include "sealane/net.h"

#include <jansson.h>

/* IKEv2 identification types (RFC 7296 3.5). */
enum sl_id_type {
    SL_ID_NONE = 0,
    SL_ID_IPV4_ADDR = 1,
    SL_ID_FQDN = 2,
    SL_ID_RFC822_ADDR = 3,
    SL_ID_IPV6_ADDR = 5,
    SL_ID_DER_ASN1_DN = 9,
    SL_ID_DER_ASN1_GN = 10,
    SL_ID_KEY_ID = 11,
};
#define SL_ID_MAX 512
struct sl_id {
    enum sl_id_type type;
    uint16_t len;
    uint8_t data[SL_ID_MAX];
};
#define SL_ID_TEXT 640
/* "dns:gw-a.example", "email:a@b", "ip:192.0.2.1", "dn:CN=gw-a,O=Lab" (RFC 4514), "keyid:0a0b". */
SL_MUST_USE enum sl_rc sl_id_parse(struct sl_id *id, const char *text, struct sl_err *err);
char *sl_id_text(char out[SL_ID_TEXT], const struct sl_id *id);
bool sl_id_eq(
    const struct sl_id *a,
    const struct sl_id *b); /* FQDN and e-mail domain case-insensitive, DN by X509_NAME_cmp */

#define SL_NAME_MAX  64 /* configuration names, with NUL */
#define SL_CHAIN_MAX 16 /* certificates a peer may send */
#define SL_TS_MAX    32 /* traffic selectors per side */

enum sl_possession {
    SL_POSSESSION_SIGNATURE = 1,
    SL_POSSESSION_PSK = 2,
    SL_POSSESSION_NOT_ASKED = 3,
    SL_POSSESSION_PSK_V1 = 4, /* IKEv1: HASH_I or HASH_R with a pre-shared key (RFC 2409 5.4) */
};

/* What IKE (or `sealane policy test`) asks. All views borrowed for the length of the call. */
struct sl_decision_ask {
    char connection[SL_NAME_MAX];       /* configured connection the exchange fits */
    struct sl_endpoint local, remote;   /* outer addresses; family 0 in a test */
    struct sl_id id;                    /* the peer's */
    struct sl_id id_local;              /* ours, as sent or asked for by the peer; type 0: none */
    struct sl_bytes cert[SL_CHAIN_MAX]; /* DER, [0] the end entity */
    size_t cert_n;
    struct sl_bytes ocsp[SL_CHAIN_MAX]; /* DER OCSPResponses handed over in IKE (RFC 4806) */
    size_t ocsp_n;
    enum sl_possession possession; /* NOT_ASKED: policy test, never an accept of an SA */
    enum sl_sig sig;               /* of signature */
    struct sl_bytes octets;        /* signed octets (RFC 7296 2.15) */
    struct sl_bytes auth;          /* signature, or PSK MAC */
    enum sl_prf prf;               /* PSK only */
    struct sl_bytes nonces;        /* PSK_V1 only: Ni_b | Nr_b (RFC 2409 5) */
    uint64_t sa;                   /* the asking IKE SA, for the record */
    /*
     * The peer asks for an address of its own (RFC 7296 2.19), [0] IPv4, [1] IPv6: family 0: no; all
     * zero: any; else it would like that one.
     */
    struct sl_addr wish[2];
};

#define SL_DNS_MAX        8
#define SL_SPLIT_DNS_MAX  8
#define SL_SPLIT_DNS_TEXT 1024

/* Addresses that a peer is given, or gave us, for use inside the tunnel (RFC 7296 2.19). */
struct sl_virtual {
    struct sl_addr addr[2]; /* IPv4, IPv6; family 0: none */
    struct sl_addr dns[SL_DNS_MAX];
    size_t dns_n;
    char split_dns[SL_SPLIT_DNS_TEXT]; /* domains (RFC 8598), a space between them */
};

/* What an accepted peer is given; what is absent is left to the connection. */
struct sl_grant {
    struct sl_ts ts[SL_TS_MAX]; /* peer's side; ts_n 0: as configured */
    size_t ts_n;
    uint32_t lifetime_s;   /* the IKE SA must end by then; 0: as configured */
    char tag[SL_NAME_MAX]; /* "" : none */
    struct sl_virtual vip; /* where it asked for addresses and there are some */
    enum sl_rc vip_rc;     /* why a peer that asked gets none; SL_OK: it did not ask, or has one */
};

struct sl_verdict {
    enum sl_rc rc;              /* SL_OK accept, else the reason of the refusal */
    char text[SL_ERR_TEXT_MAX]; /* the reason in words, with the object */
    char rule[SL_NAME_MAX];     /* policy rule that decided; "" when none was reached */
    char entry[256];            /* directory entry (DN), "" when none */
    char subject[256];          /* RFC 4514 subject of the leaf, "" with a PSK */
    int64_t reask_utc_s;        /* when the answer should be asked anew at the latest; 0: never */
    uint64_t record;            /* audit record number that holds the evidence; 0: not recorded */
    struct sl_grant grant;
};

/* An OCSP response of one of our own certificates, to be handed over in IKE (RFC 4806 4.2). */
#define SL_STAPLE_MAX_BYTES 8192
struct sl_staple {
    uint8_t depth;            /* of the certificate in our chain, 0: the end entity */
    uint32_t valid_s;         /* from now until its nextUpdate */
    uint8_t responder[20];    /* SHA-1 of its signer's SubjectPublicKeyInfo (RFC 4806 4.1) */
    struct sl_bytes response; /* DER, 1 to SL_STAPLE_MAX_BYTES */
};

/* ---- the decider: what all decisions of a gateway share ------------------------------------------
 *
 * Trust anchors, the revocation and directory caches and the fetches under way. Cores hold no
 * global, so several live in one test process. One thread. Use: start decisions; after every call
 * drain sl_decider_next (questions) and sl_decider_finished (verdicts).
 *
 * One fetch per URI however many decisions wait for it; a failure is remembered for a short while; a
 * decision never waits past its trust section's deadline_ms and its directory's timeout_ms.
 */
struct sl_config;
struct sl_decider;
struct sl_decision;
struct sl_entries;

struct sl_now {
    int64_t mono_ns; /* for timers */
    int64_t utc_s;   /* for what certificates say */
};

enum sl_question_type { SL_ASK_FETCH = 1, SL_ASK_SEARCH, SL_ASK_PSK };
struct sl_question { /* views valid until the next call into the decider */
    enum sl_question_type type;
    uint64_t id;        /* echo in the answer; an answer that comes late is kept for the cache */
    int64_t timeout_ms; /* after this long the asker goes on without the answer */
    /* FETCH: http(s) GET, or POST when content_type is not NULL; ldap(s): the value of the URI's attribute */
    const char *uri;
    const char *content_type, *accept;
    const char *etag, *modified; /* of what is held, NULL: none; then answer_unchanged is allowed */
    bool from_cert;              /* the URI comes from a certificate, not from the configuration */
    struct sl_bytes body;
    size_t max_bytes;
    /* SEARCH in a configured ldap directory: at most two entries are needed */
    const char *directory, *base, *scope, *filter;
    const char *attr[64];
    size_t attr_n;
    /* PSK: prf(prf(psk, pad), octets) by the keyring; with nonces (IKEv1) they stand for the pad */
    const char *psk;
    enum sl_prf prf;
    struct sl_bytes octets, nonces;
};

/* config and rng outlive the decider. */
SL_MUST_USE enum sl_rc sl_decider_new(struct sl_decider **out, const struct sl_config *config,
                                      const struct sl_rng *rng, struct sl_err *err);
void sl_decider_free(struct sl_decider *d); /* with every decision not yet taken by _finished */
SL_AUTO_DEFINE(sl_decider)

/* The files that the configuration names, read by the shell. what names the file in messages. */
SL_MUST_USE enum sl_rc sl_decider_anchors(struct sl_decider *d, const char *trust,
                                          struct sl_bytes pem_or_der, const char *what,
                                          struct sl_err *err);
SL_MUST_USE enum sl_rc sl_decider_intermediates(struct sl_decider *d, const char *trust,
                                                struct sl_bytes pem_or_der, const char *what,
                                                struct sl_err *err);
/* A local CRL; one of the same name before it is replaced. */
SL_MUST_USE enum sl_rc sl_decider_crl(struct sl_decider *d, const char *trust,
                                      struct sl_bytes pem_or_der, const char *what,
                                      struct sl_err *err);
/* A CRL file that is there no more. */
void sl_decider_crl_gone(struct sl_decider *d, const char *trust, const char *what);
/* The certificate of the section's configured OCSP responder. */
SL_MUST_USE enum sl_rc sl_decider_responder(struct sl_decider *d, const char *trust,
                                            struct sl_bytes pem_or_der, const char *what,
                                            struct sl_err *err);
/* The content of an LDIF directory, replacing what was there; the old stays when this fails. */
SL_MUST_USE enum sl_rc sl_decider_ldif(struct sl_decider *d, const char *directory,
                                       struct sl_bytes text, const char *what, struct sl_err *err);
/* Appends the SHA-1 key hashes of a trust section's anchors, 20 bytes each (RFC 7296 3.7). */
SL_MUST_USE enum sl_rc sl_decider_anchor_hashes(const struct sl_decider *d, const char *trust,
                                                struct sl_buf *out, struct sl_err *err);

/* Begins a decision; ask is copied. ctx comes back with sl_decision_ctx. Fails only without memory. */
SL_MUST_USE enum sl_rc sl_decider_start(struct sl_decider *d, const struct sl_decision_ask *ask,
                                        struct sl_now now, void *ctx, struct sl_decision **out,
                                        struct sl_err *err);
/*
 * Validation alone: path, revocation and, where one is given, the ID's binding, under a trust section
 * and without a connection. It ends as decisions do; what passes ends in SL_AUTH_NOT_ASKED, on which
 * nothing can be built. The evidence has "trust", "path", "policies", "candidates", "revocation" and,
 * with an ID, "binding".
 */
struct sl_validate_ask {
    const char *trust;                  /* configured section */
    struct sl_bytes cert[SL_CHAIN_MAX]; /* DER, [0] the end entity */
    size_t cert_n;
    struct sl_bytes ocsp[SL_CHAIN_MAX]; /* DER OCSPResponses at hand */
    size_t ocsp_n;
    const struct sl_id *id; /* NULL: not looked at */
};
SL_MUST_USE enum sl_rc sl_decider_validate(struct sl_decider *d, const struct sl_validate_ask *ask,
                                           struct sl_now now, void *ctx, struct sl_decision **out,
                                           struct sl_err *err);
bool sl_decider_next(struct sl_decider *d,
                     struct sl_question *q); /* false: no more questions now */
/* SL_UNSUPPORTED: the server is there and does not take such a request (405 and the like). */
void sl_decider_answer_fetch(struct sl_decider *d, uint64_t id, enum sl_rc rc, const char *text,
                             struct sl_bytes body, struct sl_now now);
/* Before answer_fetch: what the server calls the version it sends ("" : nothing). */
void sl_decider_answer_version(struct sl_decider *d, uint64_t id, const char *etag,
                               const char *modified);
/* Instead of answer_fetch: what is held is what the server has (HTTP status 304). */
void sl_decider_answer_unchanged(struct sl_decider *d, uint64_t id, struct sl_now now);
/* entries are taken (copied); NULL or none with SL_OK: nothing found. */
void sl_decider_answer_search(struct sl_decider *d, uint64_t id, enum sl_rc rc, const char *text,
                              const struct sl_entries *entries, struct sl_now now);
void sl_decider_answer_psk(struct sl_decider *d, uint64_t id, enum sl_rc rc, struct sl_bytes mac,
                           struct sl_now now);
void sl_decider_tick(struct sl_decider *d, struct sl_now now);
int64_t sl_decider_next_timer_ns(const struct sl_decider *d); /* INT64_MAX: none */

/* The next decision that has its verdict, now owned by the caller; NULL: none. */
struct sl_decision *sl_decider_finished(struct sl_decider *d);
void sl_decision_free(
    struct sl_decision *decision); /* also one not finished: nobody waits any more */
SL_AUTO_DEFINE(sl_decision)
void *sl_decision_ctx(const struct sl_decision *decision);
const struct sl_decision_ask *sl_decision_ask(const struct sl_decision *decision);
/*
 * Once finished. rc is SL_OK only when possession was proved; a test (POSSESSION_NOT_ASKED) that
 * passes everything else ends in SL_AUTH_NOT_ASKED, on which nothing can be built.
 */
const struct sl_verdict *sl_decision_verdict(const struct sl_decision *decision);
/* Everything found, in order, as a JSON object: the body of an audit record "decision". Lent. */
json_t *sl_decision_evidence(const struct sl_decision *decision);
/* The same told in lines of text, for `policy test` and `audit show`. */
SL_MUST_USE bool sl_decision_story(struct sl_buf *out, const json_t *evidence);

/*
 * Our own certificates' OCSP responses, fetched before a peer asks for them and refreshed at about
 * half their life. chain and decider are borrowed and must be there for every look; its issuers are
 * looked for in the chain itself and among the decider's anchors and intermediates. trust: whose
 * deadline and nonce rule hold for fetching.
 */
struct sl_own;
struct sl_certs;
struct sl_own_status {
    struct sl_staple staple[SL_CHAIN_MAX]; /* fresh ones; views valid until the next call */
    size_t n;
    const char *revoked; /* one of our certificates that its responder calls revoked; NULL: none */
};
SL_MUST_USE enum sl_rc sl_own_new(struct sl_own **out, struct sl_decider *d, const char *trust,
                                  const struct sl_certs *chain, struct sl_err *err);
void sl_own_free(struct sl_own *own);
SL_AUTO_DEFINE(sl_own)
/* What is at hand; starts what is to be fetched. Called about once a second; never waits. */
void sl_own_look(struct sl_own *own, struct sl_now now, struct sl_own_status *out);

/* True once after a CRL, an OCSP response or a directory changed: ask live SAs again. */
bool sl_decider_changed(struct sl_decider *d);
/* Fetch all revocation data in use anew and forget directory answers (something was revoked). */
void sl_decider_refresh(struct sl_decider *d, struct sl_now now);
/*
 * The cache as bytes for the disk; what is read back is verified before it is used. Large CRLs are
 * not in it: save_next gives each that has changed, and the name of its file; false: no more.
 */
#define SL_CACHE_NAME 40
bool sl_decider_save_next(struct sl_decider *d, char name[SL_CACHE_NAME], struct sl_buf *out);
SL_MUST_USE enum sl_rc sl_decider_save(struct sl_decider *d, struct sl_buf *out,
                                       struct sl_err *err);
SL_MUST_USE enum sl_rc sl_decider_load(struct sl_decider *d, struct sl_bytes in, struct sl_now now,
                                       struct sl_err *err);
bool sl_decider_dirty(const struct sl_decider *d); /* the cache differs from what was last saved */
/* Sources, their freshness and failures, as a new JSON object. */
json_t *sl_decider_status(const struct sl_decider *d, struct sl_now now);

#endif
