/*
 * Routes that lead remote networks into the tunnel device, by rtnetlink (libmnl). They stand in a
 * table of their own, which the rules of rules.h lead to; a kernel without such rules has them in the
 * main table. For the supervisor's thread only. What was added is remembered and can be removed whole.
 */
#ifndef SL_PROC_ROUTE_H
#define SL_PROC_ROUTE_H

#include "src/proc/msg.h"
#include "src/proc/rules.h"

struct proc_routes;
/*
 * tun: the device's name. rules: the table and what leads to it, set at once in place of what another
 * daemon left there; borrowed. NULL: the main table.
 */
SL_MUST_USE enum sl_rc proc_routes_new(struct proc_routes **out, const char *tun,
                                       const struct rules_config *rules, struct sl_err *err);
void proc_routes_free(struct proc_routes *r); /* leaves routes and rules in place */
/*
 * Adds a user of the route to m->prefix; the first one installs it. Where one of this host's addresses
 * lies within m->local_first..local_last it becomes the preferred source address.
 *
 * m->near: the prefix is of our own side and keeps its ordinary route, though a wider one leads into
 * the tunnel; where the peer's side has just the same prefix, the tunnel has it.
 *
 * In the main table another route to the same prefix is replaced, a prefix of length 0 is installed as
 * its two halves, so that the way to the peer itself is not lost, and the near side needs no route.
 */
SL_MUST_USE enum sl_rc proc_routes_add(struct proc_routes *r, const struct msg_route *m,
                                       struct sl_err *err);
/* Takes one user away; the last one removes the route. */
SL_MUST_USE enum sl_rc proc_routes_del(struct proc_routes *r, const struct msg_route *m,
                                       struct sl_err *err);
/*
 * The process that used the routes is gone: nobody uses them, but they stay, so that packets meant
 * for the tunnel do not leave in clear.
 */
void proc_routes_orphan(struct proc_routes *r);
void proc_routes_remove_all(struct proc_routes *r); /* and the rules */
size_t proc_routes_count(const struct proc_routes *r);

#endif
