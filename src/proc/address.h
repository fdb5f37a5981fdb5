/*
 * Addresses on the tunnel device that peers gave us (RFC 7296 2.19). Each is counted by the children
 * that use it, so a rekey neither removes nor adds it. For the supervisor's thread.
 */
#ifndef SL_PROC_ADDRESS_H
#define SL_PROC_ADDRESS_H

#include "src/proc/msg.h"

struct proc_addresses;
SL_MUST_USE enum sl_rc proc_addresses_new(struct proc_addresses **out, const char *tun,
                                          struct sl_err *err);
void proc_addresses_free(struct proc_addresses *p);
SL_MUST_USE enum sl_rc proc_addresses_add(struct proc_addresses *p, const struct sl_addr *addr,
                                          struct sl_err *err);
SL_MUST_USE enum sl_rc proc_addresses_del(struct proc_addresses *p, const struct sl_addr *addr,
                                          struct sl_err *err);
void proc_addresses_orphan(struct proc_addresses *p); /* nobody uses them, but they stay */
void proc_addresses_remove_all(struct proc_addresses *p);

#endif
