/*
 * What the files of the decision share: the decider's state, the sources of revocation data and the
 * directory searches that decisions wait for, and a decision's own state.
 *
 *   decider.c      life, trust, questions and answers, timers
 *   status.c       freshness and failures, told
 *   source.c       what can be fetched: single flight, back-off, verification, refreshing
 *   source_cache.c the same on disk
 *   source_certs.c certificates read from what was fetched, URIs and features in certificates
 *   revocation.c   one certificate's status from handed-over OCSP, cache, files and sources
 *   crls.c         what CRLs at hand say together: points, deltas, indirect ones and their signers
 *   paths.c        the path search, missing issuers, candidates
 *   gate.c         one state for all requests to one OCSP responder
 *   search.c       directory searches: single flight, cache, grace
 *   decision.c     the steps of one decision, and the only place that can accept
 *   memo.c         validations that are remembered
 *   blocks.c       the grant cut to the address blocks of the peer's certificate
 *   story.c        evidence as text
 */
#ifndef IDENT_INTERNAL_H
#define IDENT_INTERNAL_H

#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/decision.h"
#include "sealane/directory.h"
#include "sealane/path.h"
#include "sealane/policy.h"
#include "sealane/revocation.h"
#include "sealane/time.h"

#define IDENT_BUCKETS       1024
#define IDENT_SOURCES_MAX   16384 /* then the longest unused is forgotten */
#define IDENT_SEARCHES_MAX  16384
#define IDENT_USES_MAX      40    /* sources that one certificate's status may rest on */
#define IDENT_SIGNERS_MAX   4     /* certificates remembered with a CRL that may have signed it */
#define IDENT_LISTS_MAX     32    /* CRLs looked at for one certificate */
#define IDENT_APPLY_MAX     512   /* applications of a CRL in one decision */
#define IDENT_ISSUERS_MAX   8     /* fetches of missing issuers in one decision */
#define IDENT_GET_MAX       255   /* OCSP by GET up to this length of the URI (RFC 5019 5) */
#define IDENT_APART_BYTES   65536 /* a CRL this large is saved in a file of its own */
#define IDENT_BACKOFF_MIN_S 2
#define IDENT_BACKOFF_MAX_S 60
#define IDENT_REFRESH_MIN_S 60
#define IDENT_REFRESH_MAX_S 3600
#define IDENT_FORGET_S      86400 /* a source unused for so long is not refreshed any more */
#define IDENT_PSK_MS        5000
#define IDENT_GATES         256 /* places of a table */
#define IDENT_GATE_RUNNING  16  /* requests at once to a responder that answers */
#define IDENT_MEMOS         1024
#define IDENT_MEMO_KEY      ((size_t)64 << 10) /* longer ones are not remembered */

/* A decision's place in the queue of what it waits for. */
struct wait {
    struct wait *next, **place; /* place NULL: not waiting */
    struct sl_decision *decision;
};
void ident_wait_on(struct wait **list, struct wait *w);
void ident_wait_off(struct wait *w);

/* ---- data that can be fetched ----------------------------------------------------------------------- */
enum source_kind { SOURCE_OCSP = 1, SOURCE_CRL = 2, SOURCE_CERT = 3 };

struct trust;
/* What makes two sources one: the URI and, with OCSP, what is asked about and who may answer. */
struct source_key {
    enum source_kind kind;
    const char *uri;
    struct sl_cert *cert, *issuer; /* OCSP only */
    struct sl_cert *responder;     /* OCSP: configured as trusted; NULL: none */
    bool configured;               /* the URI stands in the configuration; no part of what it is */
};

struct source {
    struct source *next; /* in its bucket */
    size_t bucket;
    uint8_t key[32];
    enum source_kind kind;
    char *uri;
    struct sl_cert *issuer, *cert, *responder;
    struct sl_cert *signer[IDENT_SIGNERS_MAX]; /* CRL: who may sign it, [0] who did last */
    size_t signer_n;
    uint64_t trusts; /* trust sections that use it, bit n: the n-th */
    int64_t deadline_ms;
    bool nonce;

    /* What was fetched and verified. */
    struct sl_crl *crl;
    struct sl_crl *unproved; /* came, and no signer is known yet; never used before one is */
    struct sl_buf response;
    struct sl_rev_answer answer; /* OCSP */
    struct sl_cert *delegate;    /* OCSP: signed it, and must itself be looked up */
    struct sl_certs certs;
    bool have;
    bool unsaved; /* a large CRL that differs from its file */
    int64_t fetched_utc_s, refresh_ns;
    char etag[256], modified[64];         /* of what is held, for the next request */
    char new_etag[256], new_modified[64]; /* of what comes */
    bool configured;                      /* the URI stands in the configuration */

    /* The fetch under way, and what went wrong last. */
    uint64_t question; /* 0: none */
    bool asked;        /* the question was handed out */
    struct gate *gate; /* OCSP */
    struct source *next_held;
    bool held, running; /* at the gate */
    struct sl_buf request;
    char *get;                          /* OCSP: URI of the request by GET, NULL: POST */
    bool sha256, other_hash, only_post; /* OCSP: hash of the certID, both are tried */
    enum sl_rc first;                   /* what came of the first hash */
    uint8_t nonce_value[SL_OCSP_NONCE_LEN];
    int64_t until_ns, asked_utc_s;
    unsigned failures;
    int64_t retry_ns, since_utc_s; /* since: first failure after the last success; 0: none */
    enum sl_rc rc;
    char error[256];

    int64_t used_ns;
    struct wait *waiting;
};

/* t: the section that asks; NULL: the cache on disk. */
enum sl_rc source_get(struct source **out, struct sl_decider *d, const struct source_key *key,
                      const struct trust *t, struct sl_now now, struct sl_err *err);
/* What an OCSP source holds about its certificate: as sl_ocsp_check; SL_NOT_FOUND when nothing. */
enum sl_rc source_ocsp(const struct source *s, int64_t utc_s, struct sl_rev_answer *out,
                       struct sl_err *err);
/*
 * Whose list it may be: when one is held that nobody is known to have signed, and signer did, it
 * counts from now on.
 */
void source_signer(struct sl_decider *d, struct source *s, struct sl_cert *signer,
                   struct sl_now now);
/* Under way (also when begun by this call), or false: not before retry_ns. */
bool source_fetch(struct sl_decider *d, struct source *s, struct sl_now now);
/* The gate of a held source: its responder is silent; or it is its turn. */
void source_refused(struct sl_decider *d, struct source *s, const char *text, int64_t retry_ns,
                    struct sl_now now);
void source_released(struct sl_decider *d, struct source *s, struct sl_now now);
/* Seconds to wait after so many failures before this one. */
int64_t ident_backoff_s(unsigned failures);
/* An OCSP response that came with the peer. */
void source_offer(struct sl_decider *d, struct source *s, struct sl_bytes response,
                  struct sl_now now);
void source_answer(struct sl_decider *d, struct source *s, enum sl_rc rc, const char *text,
                   struct sl_bytes body, struct sl_now now);
void source_unchanged(struct sl_decider *d, struct source *s, struct sl_now now);
void source_tick(struct sl_decider *d, struct source *s, struct sl_now now);
int64_t source_next_update(const struct source *s);
void source_free(struct source *s);
/* What came, verified and taken; also from the cache on disk (source_cache.c). */
enum sl_rc source_take(struct sl_decider *d, struct source *s, struct sl_bytes data,
                       struct sl_bytes nonce, struct sl_now now, struct sl_err *err);
void source_succeeded(struct sl_decider *d, struct source *s, struct sl_now now);

/* CA certificates in DER, PEM or a PKCS #7 of certificates alone (RFC 5280 4.2.2.1). */
enum sl_rc certs_read(struct sl_certs *out, struct sl_bytes in, const char *what,
                      struct sl_err *err);
/* The next DER SEQUENCE of several, and in moves past it; empty: none. */
struct sl_bytes der_next(struct sl_bytes *in);
/* http and ldap URIs of caIssuers (RFC 5280 4.2.2.1); lent by c. */
size_t cert_issuer_uris(const struct sl_cert *c, char uri[SL_CERT_URI_MAX][512]);
/* TLS feature status_request (RFC 7633 4.2.3.1). */
bool cert_must_staple(const struct sl_cert *c);

/* ---- one gate for each OCSP responder (gate.c) ------------------------------------------------------------ */
bool gate_join(struct sl_decider *d, struct source *s); /* false: no memory */
void gate_leave(struct source *s);
/* The responder is silent and its back-off has not ended. */
bool gate_closed(const struct source *s, struct sl_now now, int64_t *retry_ns, const char **why);
/* An operator asks for everything anew: no back-off counts any more. */
void gates_reopen(struct sl_decider *d);
/* May be asked now; false: it is held, and released or refused later. */
bool gate_enter(struct source *s);
/* The request has ended; text says how when no answer came. gate_flow follows once s is settled. */
void gate_report(struct source *s, bool answered, const char *text, struct sl_now now);
void gate_flow(struct sl_decider *d, struct gate *g, struct sl_now now);

/* ---- directory searches ------------------------------------------------------------------------------ */
struct directory {
    const struct sl_conf_directory *conf;
    struct sl_entries all; /* LDIF */
    bool loaded;
    char attr[SL_DIR_ATTRS][SL_NAME_MAX];
    size_t attr_n;
};
struct search {
    struct search *next;
    size_t bucket;
    struct directory *dir;
    char *filter;
    struct sl_entries found;
    bool have;
    int64_t found_utc_s, fresh_ns; /* fresh until */
    uint64_t question;
    bool asked;
    int64_t until_ns;
    unsigned failures;
    int64_t retry_ns;
    enum sl_rc rc;
    char error[256];
    int64_t used_ns;
    struct wait *waiting;
};
enum sl_rc search_get(struct search **out, struct sl_decider *d, struct directory *dir,
                      const char *filter, struct sl_now now, struct sl_err *err);
bool search_ask(struct sl_decider *d, struct search *s, struct sl_now now);
void search_answer(struct sl_decider *d, struct search *s, enum sl_rc rc, const char *text,
                   const struct sl_entries *entries, struct sl_now now);
void search_tick(struct sl_decider *d, struct search *s, struct sl_now now);
void search_free(struct search *s);

/* ---- one decision ------------------------------------------------------------------------------------- */
enum phase {
    PHASE_PATH,
    PHASE_REVOCATION,
    PHASE_BINDING,
    PHASE_POSSESSION,
    PHASE_DIRECTORY,
    PHASE_POLICY,
    PHASE_DONE
};

/* What a source is asked for. */
enum use_role {
    USE_OCSP = 1,
    USE_CRL,      /* of one of the certificate's distribution points */
    USE_DELTA,    /* freshestCRL */
    USE_DELEGATE, /* CRL for the certificate of an OCSP responder */
};
struct source_use {
    struct source *source; /* NULL: was forgotten */
    enum use_role role;
    uint8_t point;
    bool tried;   /* asked in this decision, or not to be asked now */
    bool counted; /* a fresh list of it counts */
};

/* The revocation status of one certificate of the path. */
struct cert_check {
    struct source_use use[IDENT_USES_MAX];
    size_t use_n;
    struct sl_crl_point point[SL_CERT_POINTS_MAX];
    size_t point_n;
    struct wait wait;
    struct source_use *waits; /* for its source, until step_ns */
    int64_t step_ns;
    bool begun, done;

    /* The best of the responses that came with the peer. */
    enum sl_rc staple_rc; /* SL_NOT_FOUND: none is about this certificate */
    struct sl_rev_answer staple;
    struct sl_cert *staple_delegate;
    char staple_text[SL_ERR_TEXT_MAX];

    enum sl_rc rc; /* once done; before: the worst of what sources said */
    char text[SL_ERR_TEXT_MAX];
    struct sl_rev_answer answer;
    bool have_answer, stale, blind; /* blind: accepted in grace without any data */
    char origin[320];
};

/* A certificate that may sign CRLs beside the path's own, and what came of its path. */
struct signer {
    struct sl_cert *cert;
    bool judged, good;
    char text[256];
};
#define IDENT_SIGNER_CERTS 16

/* The refusal of a path, while others are tried. */
struct path_refusal {
    bool there;
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    json_t *path, *policies, *revocation;
};
/* Paths that revocation refused, by their certificates' hashes, for the list of candidates. */
struct path_verdict {
    struct sl_cert *cert[SL_PATH_MAX];
    size_t n;
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
};
#define IDENT_PATHS_MAX 8 /* paths whose revocation one decision asks about */

struct revocation_proof {
    size_t certs; /* whose status was settled */
    bool off;
};
struct possession_proof {
    enum sl_possession kind;
};
struct directory_proof {
    bool required, consulted;
};
struct policy_proof {
    const struct sl_conf_rule *rule;
};

struct sl_decision {
    struct sl_decider *decider;
    struct sl_decision *next, **place; /* in the decider's running or finished list */
    void *ctx;
    struct sl_decision_ask ask;
    uint8_t *copy; /* what ask's views point to */
    enum phase phase;
    bool finished;
    bool validation, with_id; /* path, revocation and perhaps binding only */
    bool recalled;            /* path and revocation are those of a validation before */

    const struct sl_conf_connection *conn;
    struct trust *trust;
    struct directory *dir;

    struct sl_path_finder *finder;
    struct source_use issuer[IDENT_ISSUERS_MAX]; /* fetched for missing issuers */
    size_t issuer_n;
    struct source_use *issuer_waits;
    struct wait issuer_wait;
    int64_t issuer_ns;
    struct path_refusal refusal;
    struct path_verdict refused[IDENT_PATHS_MAX];
    size_t refused_n;

    struct sl_path path;
    struct cert_check check[SL_PATH_MAX];
    struct signer signer[IDENT_SIGNER_CERTS]; /* of CRLs */
    size_t signer_n;
    bool signers_known;
    unsigned applied;
    struct sl_id_match match;
    int64_t revocation_ns; /* deadline */
    struct search *search;
    struct wait search_wait;
    int64_t search_ns;
    uint64_t psk_question;
    bool psk_asked, psk_answered;
    int64_t psk_ns;
    enum sl_rc psk_rc;
    struct sl_buf psk_mac;
    const struct sl_entry *entry;
    struct sl_entries entries; /* owns entry */
    struct sl_grant grant;
    int64_t reask_utc_s;

    /* The proofs, each NULL until it is there. Only decision.c's say_accept reads them. */
    const struct sl_path *has_path;
    const struct revocation_proof *has_revocation;
    const struct sl_id_match *has_binding;
    const struct possession_proof *has_possession;
    const struct directory_proof *has_directory;
    const struct policy_proof *has_policy;
    struct revocation_proof revocation_proof;
    struct possession_proof possession_proof;
    struct directory_proof directory_proof;
    struct policy_proof policy_proof;

    json_t *evidence;
    struct sl_verdict verdict;
};
/* Carries the decision as far as it can go now. */
void decision_advance(struct sl_decision *x, struct sl_now now);
int64_t decision_timer_ns(const struct sl_decision *x);

/* The status of path[i]; false: still waiting. */
bool revocation_advance(struct sl_decision *x, size_t i, struct sl_now now);
void revocation_reset(struct sl_decision *x); /* of the path that was looked at */

/* ---- CRLs of one certificate (crls.c) ------------------------------------------------------------------ */
struct crls_ask {
    struct sl_decision *x;
    struct cert_check *check;
    struct sl_cert *cert, *issuer; /* the path's, or an OCSP delegate and its CA */
    bool delegate;
    struct sl_now now;
};
struct crls_answer {
    uint16_t fresh, any; /* reasons covered by lists that are fresh, or by any */
    bool revoked;
    struct sl_rev_answer answer, stale; /* of what covers all reasons; stale: with stale lists */
    char origin[320], stale_origin[320];
    struct source_use *delta; /* named, not at hand and not yet tried */
    enum sl_rc rc;            /* the failure nearest to an answer */
    char text[SL_ERR_TEXT_MAX];
};
/* What the lists at hand say together (RFC 5280 6.3.3). */
void crls_look(struct crls_answer *out, const struct crls_ask *ask);
/* A use of uri, made when it is not there; NULL: no room. */
struct source_use *check_use(struct sl_decision *x, struct cert_check *c, enum use_role role,
                             uint8_t point, const struct source_key *key, struct sl_now now);

/* ---- paths (paths.c) ------------------------------------------------------------------------------------- */
/* The next path in x->path; false: waiting, or none with the reason in err. */
bool path_advance(struct sl_decision *x, struct sl_now now, bool *waiting, struct sl_err *err);
json_t *path_candidates(const struct sl_decision *x); /* new */

/* ---- what is remembered (memo.c) ----------------------------------------------------------------------- */
/* Path and revocation of x are settled and good. */
void memo_keep(struct sl_decision *x, struct sl_now now);
/* Takes both from a validation of the same before; false: there is none that still holds. */
bool memo_recall(struct sl_decision *x, struct sl_now now);
void memo_free(struct sl_decider *d);

/* ---- address blocks (blocks.c) ------------------------------------------------------------------------- */
/*
 * Cuts grant to the addresses that the end entity of a validated path holds (RFC 3779 2.2.3); without
 * the extension it stays as it is. told: the blocks in text, new, also when they refuse; NULL: none.
 * SL_POLICY_TS: nothing is left, or more than SL_TS_MAX selectors.
 */
enum sl_rc blocks_restrict(const struct sl_path *path, struct sl_grant *grant, json_t **told,
                           struct sl_err *err) SL_MUST_USE;

/* ---- the decider ----------------------------------------------------------------------------------------- */
struct local_crl {
    char *what;
    struct sl_crl *crl;
};
struct trust {
    const struct sl_conf_trust *conf;
    size_t index;
    struct sl_certs anchors, intermediates;
    struct sl_certs responder; /* configured, [0] alone is used */
    struct local_crl *crl;
    size_t crl_n;
};

struct sl_decider {
    const struct sl_config *config;
    const struct sl_rng *rng;
    struct trust *trust; /* as config->trust */
    struct directory *dir;
    struct source *source[IDENT_BUCKETS];
    size_t source_n;
    struct gate *gate[IDENT_GATES];
    struct search *search[IDENT_BUCKETS];
    size_t search_n;
    struct sl_decision *running, *finished;
    struct sl_decision **finished_end;
    uint64_t last_question;
    size_t to_ask; /* questions not yet handed out */
    int64_t timer_ns;
    struct memo **memo;  /* IDENT_MEMOS places; NULL: none yet */
    uint64_t generation; /* of all that could speak against a remembered validation */
    bool changed, dirty, busy;
    bool started; /* the configured URIs of certificates were asked for */
};
void decider_timer(struct sl_decider *d, int64_t at_ns);
/* Something that decisions rest on is not what it was. */
void decider_change(struct sl_decider *d);
void decider_wake(struct sl_decider *d, struct wait **waiting, struct sl_now now);

/* All of them, in no order; NULL: first, and NULL after the last. */
struct source *decider_source(const struct sl_decider *d, const struct source *after);
struct search *decider_search(const struct sl_decider *d, const struct search *after);

#endif
