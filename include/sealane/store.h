/*
 * What the authority must not forget: challenges, requests, certificates, CRL numbers and its own
 * certificates. The verbs are those of the domain, so that SQLite (one machine) and PostgreSQL
 * (several authorities) can stand behind them; each verb is one transaction and durable when it
 * returns SL_OK.
 *
 * Two promises live here and nowhere else:
 *   - a certificate handed out is on record: its serial is reserved before the signature is made
 *     (sl_store_reserve) and its bytes are stored before they leave (sl_store_issued);
 *   - a serial is never used twice: it is unique, and one whose signing was interrupted stays
 *     reserved for ever ("abandoned") instead of being taken again.
 *
 * A struct sl_store belongs to one thread at a time.
 */
#ifndef SEALANE_STORE_H
#define SEALANE_STORE_H

#include "sealane/err.h"

struct sl_store;

#define SL_SERIAL_TEXT \
    41 /* lower-case hex, without leading zero octets, with NUL; RFC 5280 4.1.2.2 */
#define SL_STORE_HASH 32

/* Opens the database file, making it (mode 0600) and its tables when absent. */
SL_MUST_USE enum sl_rc sl_store_open(struct sl_store **out, const char *path, struct sl_err *err);
void sl_store_free(struct sl_store *s);
SL_AUTO_DEFINE(sl_store)

/* ---- named values: the authority's own certificates -------------------------------------------- */
struct sl_store_value {
    const char *name;
    struct sl_bytes value;
};
/* All n at once or none; values of the same names are replaced. */
SL_MUST_USE enum sl_rc sl_store_values_put(struct sl_store *s, const struct sl_store_value *v,
                                           size_t n, struct sl_err *err);
/* Appends to out; SL_NOT_FOUND. */
SL_MUST_USE enum sl_rc sl_store_value_get(struct sl_store *s, const char *name, struct sl_buf *out,
                                          struct sl_err *err);

/* ---- challenges -------------------------------------------------------------------------------- */
/* One-time passwords, known only by their SHA-256. Views are borrowed. */
struct sl_store_challenge {
    uint8_t hash[SL_STORE_HASH];
    const char *name;    /* what it may be used for: the device's name */
    struct sl_bytes san; /* DER GeneralNames it permits; may be empty */
    int64_t created, expires;
    int64_t used; /* UTC seconds, 0: not yet */
};
SL_MUST_USE enum sl_rc sl_store_challenge_add(struct sl_store *s,
                                              const struct sl_store_challenge *c,
                                              struct sl_err *err);
/*
 * Looks without taking. CA_CHALLENGE_WRONG (unknown), _USED, _EXPIRED; on SL_OK name and san are
 * appended to the buffers (name with a NUL beyond its end).
 */
SL_MUST_USE enum sl_rc sl_store_challenge_look(struct sl_store *s,
                                               const uint8_t hash[SL_STORE_HASH], int64_t now,
                                               struct sl_buf *name, struct sl_buf *san,
                                               struct sl_err *err);
/* Forgets those that expired before `before`; they are then unknown instead of expired. */
SL_MUST_USE enum sl_rc sl_store_challenge_purge(struct sl_store *s, int64_t before,
                                                struct sl_err *err);

/* ---- requests ---------------------------------------------------------------------------------- */
enum sl_request_state {
    SL_REQUEST_PENDING = 1, /* waits for an operator */
    SL_REQUEST_APPROVED,    /* may be issued; nothing signed has been recorded yet */
    SL_REQUEST_ISSUED,
    SL_REQUEST_REJECTED,
};
const char *sl_request_state_text(enum sl_request_state state);

struct sl_request { /* in a callback or an add: views borrowed */
    int64_t id;     /* out; 0 for the authority's own certificates */
    enum sl_request_state state;
    const char *kind;              /* "pkcsreq", "renewal" */
    const char *transaction_id;    /* the protocol's own name for it */
    uint8_t digest[SL_STORE_HASH]; /* of all that makes a repetition the same request */
    uint8_t signer[SL_STORE_HASH]; /* SHA-256 of the signer's SubjectPublicKeyInfo: who may poll */
    struct sl_bytes spki, subject, san; /* DER: the key, and the names it is to be issued with */
    const char *subject_text, *source;  /* for people: RFC 4514 name; address it came from */
    const char *old_serial;             /* of a renewal, else "" */
    int64_t created, decided;
    const char *reason;          /* of a rejection, else "" */
    char serial[SL_SERIAL_TEXT]; /* of the certificate, "" before */
};
/*
 * Adds r and, where challenge is not NULL, uses that challenge up in the same transaction: SL_OK
 * for one asker only. *id receives the request's number.
 * SL_EXISTS when (transaction_id, digest) is known; CA_CHALLENGE_*; SL_UNAVAILABLE when max_pending
 * requests are waiting and r would be one more.
 */
SL_MUST_USE enum sl_rc sl_store_request_add(struct sl_store *s, const struct sl_request *r,
                                            const uint8_t *challenge, size_t max_pending,
                                            int64_t *id, struct sl_err *err);
typedef enum sl_rc sl_request_fn(void *ctx, const struct sl_request *r, struct sl_err *err);
/* By (transaction_id, digest), by number, or the newest of a transaction with that signer. */
SL_MUST_USE enum sl_rc sl_store_request_find(struct sl_store *s, const char *transaction_id,
                                             const uint8_t digest[SL_STORE_HASH], sl_request_fn *fn,
                                             void *ctx, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_store_request_get(struct sl_store *s, int64_t id, sl_request_fn *fn,
                                            void *ctx, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_store_request_poll(struct sl_store *s, const char *transaction_id,
                                             const uint8_t signer[SL_STORE_HASH], sl_request_fn *fn,
                                             void *ctx, struct sl_err *err);
/* state 0: all. Oldest first; stops at the callback's first failure and returns it. */
SL_MUST_USE enum sl_rc sl_store_request_each(struct sl_store *s, enum sl_request_state state,
                                             sl_request_fn *fn, void *ctx, struct sl_err *err);
/* PENDING to APPROVED or REJECTED; SL_NOT_FOUND, SL_EXISTS when it was decided before. */
SL_MUST_USE enum sl_rc sl_store_request_decide(struct sl_store *s, int64_t id, bool approve,
                                               const char *reason, int64_t now, struct sl_err *err);

/* ---- certificates ------------------------------------------------------------------------------ */
enum sl_cert_state {
    SL_CERT_RESERVED = 1, /* signing has begun; becomes abandoned when it is not finished */
    SL_CERT_ABANDONED,
    SL_CERT_ISSUED,
    SL_CERT_REVOKED,
};
const char *sl_cert_state_text(enum sl_cert_state state);

struct sl_cert_row { /* in a callback: views borrowed */
    char serial[SL_SERIAL_TEXT];
    enum sl_cert_state state;
    const char *kind;    /* "device", "issuing", "ra", "ocsp", "root" */
    int64_t request;     /* 0: the authority's own */
    struct sl_bytes der; /* empty while reserved or abandoned */
    const char *subject_text;
    int64_t not_before, not_after;
    int64_t issued, revoked; /* UTC seconds, 0: not */
    int reason;              /* CRLReason (RFC 5280 5.3.1) of a revocation */
};
/*
 * Writes down, before anything is signed, that serial is taken for request (0: none). An earlier
 * reservation of the same request is abandoned. SL_EXISTS when the serial was ever used.
 */
SL_MUST_USE enum sl_rc sl_store_reserve(struct sl_store *s, const char *serial, const char *kind,
                                        int64_t request, int64_t now, struct sl_err *err);
/*
 * Completes a reservation with the certificate, its request becoming ISSUED, and stores the values
 * (may be NULL) with it. SL_NOT_FOUND when serial is not reserved.
 */
SL_MUST_USE enum sl_rc sl_store_issued(struct sl_store *s, const struct sl_cert_row *row,
                                       const struct sl_store_value *values, size_t values_n,
                                       struct sl_err *err);
typedef enum sl_rc sl_cert_row_fn(void *ctx, const struct sl_cert_row *row, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_store_cert_get(struct sl_store *s, const char *serial, sl_cert_row_fn *fn,
                                         void *ctx, struct sl_err *err);
/* state 0: all but reserved and abandoned ones. In the order of issuing. */
SL_MUST_USE enum sl_rc sl_store_cert_each(struct sl_store *s, enum sl_cert_state state,
                                          sl_cert_row_fn *fn, void *ctx, struct sl_err *err);
/* ISSUED to REVOKED; SL_NOT_FOUND, SL_EXISTS when it was revoked before. */
SL_MUST_USE enum sl_rc sl_store_revoke(struct sl_store *s, const char *serial, int reason,
                                       int64_t now, struct sl_err *err);

/* ---- CRLs -------------------------------------------------------------------------------------- */
/* A number never given before for issuer ("root", "issuing"): 1, 2, ... (RFC 5280 5.2.3). */
SL_MUST_USE enum sl_rc sl_store_crl_number(struct sl_store *s, const char *issuer, int64_t *number,
                                           struct sl_err *err);
SL_MUST_USE enum sl_rc sl_store_crl_put(struct sl_store *s, const char *issuer, int64_t number,
                                        struct sl_bytes der, int64_t this_update,
                                        int64_t next_update, struct sl_err *err);
/* The newest; DER is appended. SL_NOT_FOUND when there is none. */
SL_MUST_USE enum sl_rc sl_store_crl_get(struct sl_store *s, const char *issuer, struct sl_buf *der,
                                        int64_t *number, int64_t *this_update, int64_t *next_update,
                                        struct sl_err *err);

/* Totals for status: certificates of devices, serials given up, challenges that can be used. */
struct sl_store_counts {
    int64_t pending, issued, revoked, abandoned, challenges;
};
SL_MUST_USE enum sl_rc sl_store_count(struct sl_store *s, int64_t now, struct sl_store_counts *out,
                                      struct sl_err *err);

#endif
