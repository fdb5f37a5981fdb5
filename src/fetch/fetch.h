/*
 * One fetch over HTTP(S) or LDAP(S) under the rules of policy.h, with a deadline, byte limits and
 * checked redirects. fetch_get waits for it: for commands and threads. The daemon's fetch process
 * runs the parts below on its event loop.
 *
 * What comes back is bytes of a stranger: whether they are a CRL is for the caller to find out.
 * Of HTTP caching (RFC 9111) only conditional requests are used: what a CRL or an OCSP response says
 * of its own times counts, no header.
 */
#ifndef SRC_FETCH_FETCH_H
#define SRC_FETCH_FETCH_H

#include "src/fetch/policy.h"

#define FETCH_ETAG_MAX         256 /* with NUL; a longer one is not kept */
#define FETCH_DATE_MAX         64
#define FETCH_TYPE_MAX         128
#define FETCH_DEADLINE_MS      15000
#define FETCH_DEADLINE_MAX_MS  120000
#define FETCH_LDAP_DEADLINE_MS 5000

struct fetch_request {
    struct sl_bytes uri;
    enum fetch_origin origin;          /* FETCH_FROM_CERTIFICATE when nothing is said */
    bool post;                         /* with body; else GET */
    const char *content_type, *accept; /* NULL or "": none */
    struct sl_bytes body;
    size_t max_bytes;    /* of the answer; 0: the rules' max_crl_bytes, which is also its limit */
    int64_t deadline_ms; /* for all of it, redirects included; 0: the default */
    bool follow;         /* redirects */
    const char *etag, *last_modified; /* of what the asker has (RFC 9110 13.1); NULL or "": none */
};

/*
 * rc SL_OK: the server answered, with whatever status. 304: what the asker has is still the newest;
 * body is empty, and etag and last_modified are to be kept.
 */
struct fetch_reply {
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    uint16_t status;                                          /* of LDAP: 200 */
    char content_type[FETCH_TYPE_MAX];                        /* without parameters, lower case */
    char etag[FETCH_ETAG_MAX], last_modified[FETCH_DATE_MAX]; /* "": none */
    /*
     * LDAP: every value of every attribute asked for, each a DER SEQUENCE, one after another;
     * fetch_der_next takes them apart.
     */
    struct sl_buf body;
    uint32_t value_n; /* of LDAP: how many; of HTTP 1, or 0 when the body is empty */
};
void fetch_reply_clear(struct fetch_reply *r);

/*
 * Fetches and waits, not longer than the deadline even when the resolver hangs. Returns reply->rc.
 * fetch_global_init has been called.
 */
enum sl_rc fetch_get(const struct fetch_rules *rules, const struct fetch_request *q,
                     struct fetch_reply *reply);
/* Once in a process, before threads; also keeps ldap.conf and the environment out of libldap. */
SL_MUST_USE bool fetch_global_init(void);

/* Splits a DER element of a SEQUENCE (universal 16) off rest. False: rest does not begin with one. */
bool fetch_der_next(struct sl_bytes *rest, struct sl_bytes *value);

/* ---- HTTP by libcurl ------------------------------------------------------------------------------ */
/*
 * One request with its redirects, on an easy handle that the caller drives through a multi handle.
 * rules must outlive it.
 */
struct fetch_http;
SL_MUST_USE enum sl_rc fetch_http_new(struct fetch_http **out, const struct fetch_rules *rules,
                                      const struct fetch_request *q, void *owner,
                                      struct sl_err *err);
void fetch_http_free(struct fetch_http *h);
void *fetch_http_easy(struct fetch_http *h);  /* CURL; CURLOPT_PRIVATE is h */
void *fetch_http_owner(struct fetch_http *h); /* as given to fetch_http_new */
/*
 * The handle ended with CURLcode code and was taken off the multi handle. True: a redirect is
 * followed, add it again. False: *reply says how it ended.
 */
bool fetch_http_next(struct fetch_http *h, int code, struct fetch_reply *reply);

/* ---- LDAP by libldap, which blocks ------------------------------------------------------------------ */
bool fetch_is_ldap(struct sl_bytes uri);
/* Blocks until end_ns of sl_clock_mono_ns, and on a resolver that hangs for longer. */
void fetch_ldap_get(const struct fetch_rules *rules, const struct fetch_request *q, int64_t end_ns,
                    struct fetch_reply *reply);

#endif
