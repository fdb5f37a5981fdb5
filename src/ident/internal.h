/*
 * What the files of the decision share: the decider's state, the sources of revocation data and the
 * directory searches that decisions wait for, and a decision's own state.
 *
 *   decider.c      life, trust, questions and answers, timers
 *   source.c       revocation data: fetching, single flight, back-off, the cache
 *   revocation.c   one certificate's status from handed-over OCSP, cache, files and sources
 *   search.c       directory searches: single flight, cache, grace
 *   decision.c     the steps of one decision, and the only place that can accept
 *   story.c        evidence as text
 */
#ifndef IDENT_INTERNAL_H
#define IDENT_INTERNAL_H

#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/decision.h"
#include "sealane/directory.h"
#include "sealane/policy.h"
#include "sealane/time.h"

#define IDENT_BUCKETS       1024
#define IDENT_SOURCES_MAX   16384 /* then the longest unused is forgotten */
#define IDENT_SEARCHES_MAX  16384
#define IDENT_CERT_SOURCES  (2 * SL_CERT_URI_MAX)
#define IDENT_BACKOFF_MIN_S 2
#define IDENT_BACKOFF_MAX_S 60
#define IDENT_REFRESH_MIN_S 60
#define IDENT_REFRESH_MAX_S 3600
#define IDENT_FORGET_S      86400 /* a source unused for so long is not refreshed any more */
#define IDENT_PSK_MS        5000

/* A decision's place in the queue of what it waits for. */
struct wait {
    struct wait *next, **place; /* place NULL: not waiting */
    struct sl_decision *decision;
};
void ident_wait_on(struct wait **list, struct wait *w);
void ident_wait_off(struct wait *w);

/* ---- revocation data that can be fetched ---------------------------------------------------------- */
enum source_kind { SOURCE_OCSP = 1, SOURCE_CRL = 2 };

struct source {
    struct source *next; /* in its bucket */
    size_t bucket;
    uint8_t key[32];
    enum source_kind kind;
    char *uri;
    struct sl_cert *issuer, *cert; /* cert: OCSP only */
    int64_t deadline_ms;
    bool nonce;

    /* What was fetched and verified. */
    struct sl_crl *crl;
    struct sl_buf response;
    struct sl_rev_answer answer; /* OCSP; next_update counts for both */
    bool have;
    int64_t fetched_utc_s, refresh_ns;

    /* The fetch under way, and what went wrong last. */
    uint64_t question; /* 0: none */
    bool asked;        /* the question was handed out */
    struct sl_buf request;
    uint8_t nonce_value[SL_OCSP_NONCE_LEN];
    int64_t until_ns, asked_utc_s;
    unsigned failures;
    int64_t retry_ns, since_utc_s; /* since: first failure after the last success; 0: none */
    enum sl_rc rc;
    char error[256];

    int64_t used_ns;
    struct wait *waiting;
};

enum sl_rc source_get(struct source **out, struct sl_decider *d, enum source_kind kind,
                      const char *uri, struct sl_cert *cert, struct sl_cert *issuer,
                      const struct sl_conf_trust *conf, struct sl_now now, struct sl_err *err);
/* What the source holds about cert: as sl_crl_check and sl_ocsp_check; SL_NOT_FOUND when nothing. */
enum sl_rc source_check(struct source *s, const struct sl_cert *cert, const struct sl_cert *issuer,
                        int64_t utc_s, struct sl_rev_answer *out, struct sl_err *err);
/* Under way (also when begun by this call), or false: not before retry_ns. */
bool source_fetch(struct sl_decider *d, struct source *s, struct sl_now now);
/* An OCSP response that came with the peer. */
void source_offer(struct sl_decider *d, struct source *s, struct sl_bytes response,
                  struct sl_now now);
void source_answer(struct sl_decider *d, struct source *s, enum sl_rc rc, const char *text,
                   struct sl_bytes body, struct sl_now now);
void source_tick(struct sl_decider *d, struct source *s, struct sl_now now);
void source_free(struct source *s);

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

/* The revocation status of one certificate of the path. */
struct cert_check {
    struct source *source[IDENT_CERT_SOURCES];
    size_t n, at;
    struct wait wait;
    int64_t step_ns; /* the source `at` is waited for until then */
    bool begun, done;
    enum sl_rc rc; /* once done; before: the worst of what sources said */
    char text[SL_ERR_TEXT_MAX];
    struct sl_rev_answer answer;
    bool have_answer, stale, blind; /* blind: accepted in grace without any data */
    char origin[320];
};

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

    const struct sl_conf_connection *conn;
    struct trust *trust;
    struct directory *dir;

    struct sl_path path;
    struct cert_check check[SL_PATH_MAX];
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

/* ---- the decider ----------------------------------------------------------------------------------------- */
struct local_crl {
    char *what;
    struct sl_crl *crl;
};
struct trust {
    const struct sl_conf_trust *conf;
    struct sl_certs anchors, intermediates;
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
    struct search *search[IDENT_BUCKETS];
    size_t search_n;
    struct sl_decision *running, *finished;
    struct sl_decision **finished_end;
    uint64_t last_question;
    size_t to_ask; /* questions not yet handed out */
    int64_t timer_ns;
    bool changed, dirty, busy;
};
void decider_timer(struct sl_decider *d, int64_t at_ns);
void decider_wake(struct sl_decider *d, struct wait **waiting, struct sl_now now);

/* All of them, in no order; NULL: first, and NULL after the last. */
struct source *decider_source(const struct sl_decider *d, const struct source *after);
struct search *decider_search(const struct sl_decider *d, const struct search *after);

#endif
