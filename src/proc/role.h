/*
 * What a role of sealaned is given, and what it owes. By the time its entry function runs the
 * process has its own user, no capabilities, its system-call filter and its links; files that it
 * was not handed are out of reach (see sandbox.h for each role's confinement).
 *
 *   int role_esp(struct proc_role *p)
 *   {
 *       ... set handlers on p->link[...], take descriptors with proc_fd_take ...
 *       proc_ready(p);
 *       int rc = proc_run(p);      returns at shutdown
 *       ... clean up ...
 *       return rc;                 the exit status
 *   }
 */
#ifndef SL_PROC_ROLE_H
#define SL_PROC_ROLE_H

#include "sealane/config.h"
#include "src/proc/msg.h"

#include <event2/event.h>
#include <jansson.h>

enum proc_role_id {
    PROC_SUPERVISOR,
    PROC_IKE,
    PROC_ESP,
    PROC_IDENTITY,
    PROC_FETCH,
    PROC_KEYRING,
    PROC_AUTHORITY,
    PROC_CONTROL,
    PROC_ROLE_COUNT
};
const char *proc_role_name(enum proc_role_id role); /* "ike" */
bool proc_role_find(enum proc_role_id *role, const char *name) SL_MUST_USE;
bool proc_role_linked(enum proc_role_id a, enum proc_role_id b); /* have a channel */

struct proc_role {
    enum proc_role_id role;
    const char *name;
    struct event_base *base;
    const struct sl_config *config;
    /*
     * NULL where there is no link. Set a handler on those the role listens to (chan_handle); not
     * on PROC_SUPERVISOR and PROC_CONTROL, which are answered here. A link stays the same object
     * when its process is replaced.
     */
    struct chan *link[PROC_ROLE_COUNT];
    /* Called once when the daemon ends; the loop runs on until proc_stop. NULL: stop at once. */
    void (*on_shutdown)(struct proc_role *p, void *ctx);
    void *ctx; /* the role's own, given to on_shutdown and control verbs */
    struct proc_inner *in;
};

/*
 * A descriptor that the supervisor opened, -1 when there is none. The caller owns what it takes.
 * UDP sockets are non-blocking, bound, and tell the local address (IP_PKTINFO, IPV6_PKTINFO).
 *   ike: "udp500v4" "udp4500v4" "udp500v6" "udp4500v6" "rtnl" (changes of addresses and routes)
 *   esp: "esp4500v4" "esp4500v6" "rawespv4" "rawespv6" "tun" (IFF_TUN, IFF_NO_PI, IFF_VNET_HDR;
 *     it may set TUNSETOFFLOAD itself)
 *   identity: "challenge:<scep>"
 *   fetch: "password:<directory>" "client_key:<directory>" "client_cert:<directory>" "ca:<directory>"
 *   keyring: "key:<identity>" "psk:<psk>"
 *   authority: "http"
 *   control: "control"
 */
int proc_fd_take(struct proc_role *p, const char *name);
void proc_ready(struct proc_role *p);
int proc_run(struct proc_role *p); /* the loop; returns the exit status */
void proc_stop(struct proc_role *p, int status);

/*
 * Control verbs. args is an object, never NULL, borrowed. Every request is answered by
 * proc_ctl_reply until more is false; a request may be kept and answered later, from the loop's
 * thread. Both "status" and every verb of its own belong in a role's table; an unknown verb is
 * answered here. The result of "status" is an object; its member "problems", when there is one, is
 * an array of { "text": what is wrong, "do": what to do }.
 *
 * Which verb goes to which role is decided by its first word, in role_control.c.
 */
struct proc_ctl; /* one request; freed by its last answer */
struct proc_verb {
    const char *verb;
    void (*run)(void *ctx, struct proc_ctl *q, const json_t *args);
};
void proc_control(struct proc_role *p, const struct proc_verb *verbs, size_t n);
/* result (may be NULL) is borrowed. text "" with SL_OK. */
void proc_ctl_reply(struct proc_ctl *q, enum sl_rc rc, const char *text, const json_t *result,
                    bool more);
void proc_ctl_fail(struct proc_ctl *q, const struct sl_err *err);
/* false: nobody waits any more. A request that was kept is still to be ended with a last answer. */
bool proc_ctl_alive(const struct proc_ctl *q);
#ifdef SL_FAULTS
/* What a test makes a process try (args.try), to see that it is refused: a new object, or NULL. */
json_t *proc_attempt(const json_t *args);
void proc_verb_attempt(void *ctx, struct proc_ctl *q, const json_t *args); /* as a verb */
#endif

/*
 * For main(): receives what the supervisor hands over on descriptor PROC_START_FD, confines the
 * process and runs entry. The exit status.
 */
#define PROC_START_FD 3
int proc_role_main(enum proc_role_id role, int (*entry)(struct proc_role *));

/* The roles, one file each: src/cmd/sealaned/role_NAME.c. */
int role_ike(struct proc_role *p);
int role_esp(struct proc_role *p);
int role_identity(struct proc_role *p);
int role_fetch(struct proc_role *p);
int role_keyring(struct proc_role *p);
int role_authority(struct proc_role *p);
int role_control(struct proc_role *p);

#endif
