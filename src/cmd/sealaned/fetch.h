/*
 * The fetch role's two halves: HTTP on the event loop (role_fetch.c) and LDAP in threads
 * (fetch_ldap.c).
 */
#ifndef SL_FETCH_H
#define SL_FETCH_H

#include "src/fetch/fetch.h"
#include "src/proc/role.h"

struct transfer;
struct ldap_pool;

struct fetch {
    struct proc_role *p;
    void *multi; /* CURLM */
    struct event *timer;
    struct transfer *transfers;
    unsigned transfers_n;
    struct fetch_rules rules; /* constant; threads read it */
    uint64_t asked, done, failed, denied;
    struct ldap_pool *pools; /* one per configured LDAP directory, and one for URIs */
    size_t pools_n;
};

/* Who asked: identity's request, or in builds with fault switches a test over control. */
struct fetch_asker {
    uint64_t id;
    struct proc_ctl *ctl; /* NULL: identity */
};
void fetch_answer_http(struct fetch *f, struct fetch_asker who, const struct msg_http_reply *m);
void fetch_answer_ldap(struct fetch *f, struct fetch_asker who, const struct msg_ldap_reply *m);

SL_MUST_USE enum sl_rc fetch_ldap_open(struct fetch *f, struct sl_err *err);
void fetch_ldap_close(struct fetch *f);
/* Answers with LDAP_REPLY, later or at once. */
void fetch_ldap_search(struct fetch *f, struct fetch_asker who, const struct msg_ldap *m);
void fetch_answer_reply(struct fetch *f, struct fetch_asker who, const struct fetch_reply *r);
/* A view of m. */
struct fetch_request fetch_request_of(const struct msg_http *m);
/* An ldap:// or ldaps:// URI (RFC 4516): all values of its attributes, as HTTP_REPLY. */
SL_MUST_USE enum sl_rc fetch_ldap_uri(struct fetch *f, struct fetch_asker who,
                                      const struct msg_http *m, struct sl_err *err);
json_t *fetch_ldap_status(const struct fetch *f);

#endif
