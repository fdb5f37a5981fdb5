/*
 * One rtnetlink socket (libmnl): requests with their answer, and dumps. For the supervisor's thread.
 */
#ifndef SL_PROC_RTNL_H
#define SL_PROC_RTNL_H

#include "sealane/bytes.h"
#include "sealane/err.h"

#include <libmnl/libmnl.h>

/* Marks what is ours in `ip route` and `ip -d rule`; free in /etc/iproute2/rt_protos. */
#define RTNL_PROTOCOL 0x73

struct rtnl;
SL_MUST_USE enum sl_rc rtnl_new(struct rtnl **out, struct sl_err *err);
void rtnl_free(struct rtnl *r);
/* Sends one request (type, flags beside REQUEST and ACK are set) and waits for the kernel's answer,
 * which comes at once. errno, or 0. */
int rtnl_ask(struct rtnl *r, struct nlmsghdr *nlh);
/* Sends a dump request and gives each message of the answer to on. errno, or 0. */
int rtnl_dump(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t on, void *ctx);

#endif
