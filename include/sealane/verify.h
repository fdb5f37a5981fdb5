/*
 * Validation by hand: what `sealane cert verify` and `cert explain` ask, without a daemon and without a
 * configuration file. An ask holds one certificate and all that is at hand for it; the answer is a JSON
 * object with the fields verdict, reason, text, chain, policies, revocation and candidates.
 *
 * A core: it drives the same decider as the daemon (sealane/decision.h); fetching and the clock are the
 * shell's. Nothing here can accept a peer: a decider's validation ends in SL_AUTH_NOT_ASKED.
 */
#ifndef SEALANE_VERIFY_H
#define SEALANE_VERIFY_H

#include "sealane/certs.h"
#include "sealane/decision.h"

#define SL_VERIFY_EKU_MAX    16
#define SL_VERIFY_POLICY_MAX 32
#define SL_VERIFY_OID_TEXT   64
#define SL_VERIFY_WHAT       128

enum sl_verify_revocation {
    SL_VERIFY_BY_INPUT =
        0, /* require when a CRL or an OCSP response is given or fetching is allowed */
    SL_VERIFY_REQUIRE,
    SL_VERIFY_GRACE,
    SL_VERIFY_OFF
};

/* Everything that is not a certificate, a CRL or a response. */
struct sl_verify_rules {
    bool timed; /* utc_s counts instead of the shell's clock */
    int64_t utc_s;
    struct sl_id id; /* type NONE: not looked at */
    char eku[SL_VERIFY_EKU_MAX][SL_VERIFY_OID_TEXT];
    size_t eku_n; /* 0: the rule of IKE (RFC 4945 5.1.3.12) */
    bool any_use; /* eku "none" */
    char policy[SL_VERIFY_POLICY_MAX][SL_VERIFY_OID_TEXT];
    size_t policy_n; /* 0: any-policy */
    bool explicit_policy, inhibit_any, inhibit_mapping;
    enum sl_verify_revocation revocation;
    bool depth_limited;
    uint8_t max_depth; /* intermediates that are not self-issued */
    enum sl_profile profile;
    bool no_fetch;
};

/* One certificate, CRL or response, or a PEM file of several. */
struct sl_verify_part {
    struct sl_buf data;
    char what[SL_VERIFY_WHAT]; /* for messages */
};
struct sl_verify_parts {
    struct sl_verify_part *v;
    size_t n;
};

enum sl_verify_list {
    SL_VERIFY_ANCHORS,
    SL_VERIFY_INTERMEDIATES,
    SL_VERIFY_CRLS,
    SL_VERIFY_OCSP,
    SL_VERIFY_LISTS
};

/* {0} is empty and valid. */
struct sl_verify_ask {
    struct sl_verify_rules rules;
    struct sl_verify_part leaf;
    bool has_leaf;
    struct sl_verify_parts list[SL_VERIFY_LISTS];
    /* Lists that this ask leaves empty are taken from here; borrowed, may be NULL. */
    const struct sl_verify_ask *defaults;
};
void sl_verify_ask_clear(struct sl_verify_ask *ask);
/* Adds a copy of data, PEM or DER. */
SL_MUST_USE enum sl_rc sl_verify_put(struct sl_verify_ask *ask, enum sl_verify_list list,
                                     struct sl_bytes data, const char *what, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_verify_put_leaf(struct sl_verify_ask *ask, struct sl_bytes data,
                                          const char *what, struct sl_err *err);
/*
 * One member of a request: a rule, or with contents "leaf", "anchors", ... as PEM or base64 of DER.
 * SL_USAGE names the member and what was expected; an unknown member is one.
 */
SL_MUST_USE enum sl_rc sl_verify_set(struct sl_verify_ask *ask, const char *member,
                                     const json_t *value, struct sl_err *err);

/* What the core cannot do itself. */
struct sl_verify_shell {
    void *ctx;
    struct sl_now (*now)(void *ctx);
    /* Answers a FETCH question before it returns; NULL: fetching is switched off. */
    enum sl_rc (*fetch)(void *ctx, const struct sl_question *q, struct sl_buf *body,
                        struct sl_err *err);
};
/* The answer as a new object; "verdict" is good, refused or error. NULL only without memory. */
json_t *sl_verify(const struct sl_verify_ask *ask, const struct sl_verify_shell *shell);
/* The answer to an ask that cannot be asked. */
json_t *sl_verify_error(enum sl_rc rc, const char *text);

/*
 * One line of a batch: a JSON object, answered by one object that echoes its "id". What the line does
 * not say is taken from defaults, which may be NULL.
 */
#define SL_VERIFY_LINE_MAX ((size_t)8 << 20)
json_t *sl_verify_line(struct sl_bytes line, const struct sl_verify_ask *defaults,
                       const struct sl_verify_shell *shell);

/* An answer as a story for people: what was tried, why it died, and what would make it pass. */
SL_MUST_USE bool sl_verify_story(struct sl_buf *out, const json_t *answer);

#endif
