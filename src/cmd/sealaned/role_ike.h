/*
 * What the files of the ike role share. Everything but the workers runs in the loop's thread.
 *
 *   role_ike.c       start and end, what the core wants done, messages of identity and esp
 *   ike_sockets.c    UDP sockets on the ports of IKE
 *   ike_workers.c    threads for key exchanges
 *   ike_questions.c  signatures by keyring, decisions by identity
 *   ike_addresses.c  the host's addresses and their changes
 *   ike_verbs.c      up, down, rekey, sas, status
 */
#ifndef SL_SRC_CMD_SEALANED_ROLE_IKE_H
#define SL_SRC_CMD_SEALANED_ROLE_IKE_H

#include "sealane/ike.h"
#include "src/proc/role.h"

#include <pthread.h>

#define DATAGRAM_MAX 65535
#define SOCKETS      4

struct role_ike;

struct socket_end {
    struct role_ike *r;
    int fd;
    uint16_t port;
    bool natt, v6;
    struct event *in;
};

struct job; /* of a worker */

/* A command that waits for its SL_IKE_DONE. */
struct waiting {
    struct waiting *next;
    struct role_ike *r;
    uint64_t id;
    struct proc_ctl *q; /* NULL: our own, at shutdown */
    /* down: what is said, at first and again, while the peer does not answer */
    struct event *impatience;
    bool to_the_end; /* go on waiting then */
    char connection[SL_NAME_MAX];
};

struct role_ike {
    struct proc_role *p;
    struct sl_ike *ike;
    struct socket_end sock[SOCKETS];
    struct event *timer, *done, *stop, *poll;
    struct ike_addresses *addresses;
    struct waiting *waiting;
    bool stopping;
    uint64_t send_failures;
    uint8_t buf[DATAGRAM_MAX];
    /* workers */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *todo, **todo_last, *finished; /* under lock */
    bool quit;                                /* under lock */
    pthread_t *thread;
    unsigned threads;
};

/* Carries out what the core wants done, and sets its timer; after every call into the core. */
void ike_drain(struct role_ike *r);

/* ike_sockets.c */
enum sl_rc ike_sockets_open(struct role_ike *r, struct sl_err *err) SL_MUST_USE;
void ike_sockets_close(struct role_ike *r);
/* One try: what the network does not take now is repeated by IKE itself. */
void ike_send_datagram(struct role_ike *r, const struct sl_ike_action *a);

/* ike_workers.c */
enum sl_rc ike_workers_start(struct role_ike *r, struct sl_err *err) SL_MUST_USE;
void ike_workers_stop(struct role_ike *r);
void ike_on_finished(evutil_socket_t fd, short what, void *ctx); /* event of r->done */
void ike_ask_ke(struct role_ike *r, const struct sl_ike_action *a);

/* ike_questions.c */
void ike_ask_sign(struct role_ike *r, const struct sl_ike_action *a);
void ike_ask_decision(struct role_ike *r, const struct sl_ike_action *a);

/* ike_verbs.c */
extern const struct proc_verb ike_verbs[];
extern const size_t ike_verbs_n;
void ike_command_done(struct role_ike *r, const struct sl_ike_action *a); /* SL_IKE_DONE */
void ike_waiting_free(struct waiting *w);

#endif
