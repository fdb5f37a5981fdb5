/*
 * Routes that lead remote networks into the tunnel device, by rtnetlink (libmnl). For the
 * supervisor's thread only. What was added is remembered and can be removed whole.
 */
#ifndef SL_PROC_ROUTE_H
#define SL_PROC_ROUTE_H

#include "src/proc/msg.h"

struct proc_routes;
/* tun: the device's name. */
SL_MUST_USE enum sl_rc proc_routes_new(struct proc_routes **out, const char *tun,
                                       struct sl_err *err);
void proc_routes_free(struct proc_routes *r); /* leaves the routes in place */
/*
 * Adds a user of the route to m->prefix; the first one installs it, in place of another route to
 * the same prefix. Where one of this host's addresses lies within m->local_first..local_last it
 * becomes the preferred source address. A prefix of length 0 is installed as its two halves, so
 * that the way to the peer itself is not lost.
 */
SL_MUST_USE enum sl_rc proc_routes_add(struct proc_routes *r, const struct msg_route *m,
                                       struct sl_err *err);
/* Takes one user away; the last one removes the route. */
SL_MUST_USE enum sl_rc proc_routes_del(struct proc_routes *r, const struct sl_prefix *prefix,
                                       struct sl_err *err);
/*
 * The process that used the routes is gone: nobody uses them, but they stay, so that packets meant
 * for the tunnel do not leave in clear.
 */
void proc_routes_orphan(struct proc_routes *r);
void proc_routes_remove_all(struct proc_routes *r);
size_t proc_routes_count(const struct proc_routes *r);

#endif
