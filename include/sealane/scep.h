/*
 * SCEP (RFC 8894): the client as a state machine that enrols or renews one certificate, and the
 * server in front of sealane/ca.h. Both are cores: HTTP exchanges are questions answered by a
 * shell; private-key operations go through struct sl_key_ops, synchronously.
 *
 * Messages use AES-CBC and SHA-2. Single DES, 3DES and SHA-1 are refused by name unless the server
 * (or, for the authority, its clients) is allowed them by the option `legacy`; libcrypto's legacy
 * provider then lives in a library context of its own, so nothing else in the process gains it.
 */
#ifndef SEALANE_SCEP_H
#define SEALANE_SCEP_H

#include "sealane/ca.h"

#define SL_SCEP_MESSAGE_MAX (256u << 10) /* a PKI message or GetCACert answer, DER */

/* ---- capabilities (RFC 8894 3.5.2) -------------------------------------------------------------- */
enum sl_scep_cap {
    SL_SCEP_CAP_AES = 1 << 0,
    SL_SCEP_CAP_DES3 = 1 << 1,
    SL_SCEP_CAP_NEXT_CA = 1 << 2,
    SL_SCEP_CAP_POST = 1 << 3,
    SL_SCEP_CAP_RENEWAL = 1 << 4,
    SL_SCEP_CAP_SHA1 = 1 << 5,
    SL_SCEP_CAP_SHA256 = 1 << 6,
    SL_SCEP_CAP_SHA384 = 1 << 7,
    SL_SCEP_CAP_SHA512 = 1 << 8,
    SL_SCEP_CAP_STANDARD = 1 << 9,
    SL_SCEP_CAP_PROOF =
        1 << 10, /* sealane's own: renewal of keys that cannot decrypt, see docs/adr */
};
/* One keyword a line, CRLF or LF; unknown ones are ignored, as the RFC demands. */
uint32_t sl_scep_caps_read(struct sl_bytes text);
SL_MUST_USE bool sl_scep_caps_write(struct sl_buf *out, uint32_t caps);

/* ---- client ------------------------------------------------------------------------------------ */
struct sl_enrollment_conf {  /* copied, but for the keys' ops */
    const char *url;         /* of the server, without query */
    const char *ca_id;       /* "message" of GetCACert, "" for none */
    const char *fingerprint; /* SHA-256 of a CA certificate in hex, colons allowed; "" : none */
    bool trust_on_first_use; /* go on without a pin; the result says what was trusted */
    bool legacy;
    struct sl_bytes challenge; /* may be empty */
    const char *subject;       /* RFC 4514; renewal: "" takes the old certificate's */
    const char *const *san;    /* "dns:..", "ip:..", "email:.." */
    size_t san_n;
    struct sl_key key; /* the new key */
    /*
     * An RSA key for the length of this enrolment, needed when key (or, in a renewal, old_key) is
     * not RSA: SCEP's answer is encrypted to the asker. Empty name otherwise.
     */
    struct sl_key transport;
    struct sl_key old_key;    /* renewal; empty name: first enrolment */
    struct sl_bytes old_cert; /* renewal: DER */
    int64_t poll_s;           /* while pending; 0: 60 */
    int64_t give_up_s;        /* pending for so long at most; 0: 7 days */
    struct sl_rng rng;
};

enum sl_enrollment_want {
    SL_ENROLLMENT_HTTP = 1, /* make the exchange, then sl_enrollment_answer or _lost */
    SL_ENROLLMENT_WAIT,     /* pending: come back with sl_enrollment_tick at wait_until */
    SL_ENROLLMENT_DONE,
    SL_ENROLLMENT_FAILED,
};
struct sl_enrollment_step { /* lent until the next call */
    enum sl_enrollment_want want;
    const char *url;      /* HTTP */
    bool post;            /* HTTP: body of type application/x-pki-message; else GET */
    struct sl_bytes body; /* HTTP */
    int64_t wait_until;   /* WAIT: UTC seconds */
    const char *progress; /* one line for people: "asking for the CA certificate" */
};

struct sl_enrollment;
/* SL_CONFIG_VALUE, SL_SCEP_NO_PIN, ... before anything is sent. */
SL_MUST_USE enum sl_rc sl_enrollment_new(struct sl_enrollment **out,
                                         const struct sl_enrollment_conf *conf, int64_t now,
                                         struct sl_err *err);
void sl_enrollment_free(struct sl_enrollment *e);
SL_AUTO_DEFINE(sl_enrollment)
void sl_enrollment_step(const struct sl_enrollment *e, struct sl_enrollment_step *step);
/*
 * The answer to the exchange asked for: HTTP status, Content-Type ("" when none), body. Errors end
 * the enrolment (want becomes FAILED) and are returned: SCEP_*, ENROLL_*.
 */
SL_MUST_USE enum sl_rc sl_enrollment_answer(struct sl_enrollment *e, int status,
                                            const char *content_type, struct sl_bytes body,
                                            int64_t now, struct sl_err *err);
/* The exchange failed (why: what the fetcher said). While pending it is tried again later. */
SL_MUST_USE enum sl_rc sl_enrollment_lost(struct sl_enrollment *e, const struct sl_err *why,
                                          int64_t now, struct sl_err *err);
/* Time has passed; moves a WAIT on when wait_until is reached. */
SL_MUST_USE enum sl_rc sl_enrollment_tick(struct sl_enrollment *e, int64_t now, struct sl_err *err);

struct sl_enrollment_result { /* lent; complete when DONE, fingerprint from the CA's answer on */
    struct sl_bytes cert;     /* DER, verified to the pinned CA */
    struct sl_bytes chain[8]; /* DER: CA certificates above it, up to the pinned one */
    size_t chain_n;
    char fingerprint[65]; /* SHA-256 of the pinned (or trusted on first use) CA certificate */
    bool first_use;       /* nothing had been pinned */
    char transaction_id[65];
    char serial[SL_SERIAL_TEXT];
    int64_t not_before, not_after;
};
void sl_enrollment_result(const struct sl_enrollment *e, struct sl_enrollment_result *out);

/* ---- renewal ----------------------------------------------------------------------------------- */
/*
 * When to renew: percent of the lifetime, earlier or later by up to jitter_percent of it, drawn from
 * rng, never after not_after nor before not_before.
 */
int64_t sl_renew_at(int64_t not_before, int64_t not_after, unsigned percent,
                    unsigned jitter_percent, const struct sl_rng *rng);
/*
 * Seconds to wait after failure number `failures` (1, 2, ...): doubling from a minute, never more
 * than a sixteenth of the time that is left, at least 10 s, at most 6 h, with a jitter of a quarter.
 */
int64_t sl_renew_retry_s(unsigned failures, int64_t left_s, const struct sl_rng *rng);

/* ---- server ------------------------------------------------------------------------------------ */
struct sl_scep_server;
SL_MUST_USE enum sl_rc sl_scep_server_new(struct sl_scep_server **out, struct sl_ca *ca,
                                          const struct sl_ca_env *env, bool legacy,
                                          struct sl_err *err);
void sl_scep_server_free(struct sl_scep_server *s);
SL_AUTO_DEFINE(sl_scep_server)

struct sl_scep_http {
    bool post;
    const char *operation;   /* query parameter, "" when absent */
    struct sl_bytes message; /* POST: the body; GET PKIOperation: base64, percent-decoding done */
    const char *source;      /* the client's address, for records */
};
struct sl_scep_reply {
    int status; /* HTTP */
    const char *content_type;
    struct sl_buf body; /* cleared by the caller */
    enum sl_rc rc; /* SL_OK, SL_SCEP_PENDING, or why the request was refused: for log and metrics */
    char text[SL_ERR_TEXT_MAX];
};
/* Always makes a reply. */
void sl_scep_server_handle(struct sl_scep_server *s, const struct sl_scep_http *req, int64_t now,
                           struct sl_scep_reply *reply);

#endif
