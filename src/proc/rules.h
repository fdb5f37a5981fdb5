/*
 * The rules (`ip rule`) that lead packets to the table of tunnel routes, or past it. Four places
 * from a priority on:
 *
 *   +0   what carries our mark: on to +3            the daemon's own IKE and ESP packets
 *   +1   each shunt, in order: bypass on to +3, drop on to +2
 *   +2   the table of tunnel routes
 *   +3   nothing; the host's ordinary rules follow
 *
 * So the first shunt that matches decides, as in the SPD, and what is bypassed is routed as if this
 * daemon were not there. One set for each address family. For the supervisor's thread.
 */
#ifndef SL_PROC_RULES_H
#define SL_PROC_RULES_H

#include "sealane/config.h"
#include "src/proc/rtnl.h"

#define RULES_PLACES 4

struct rules_config {
    uint32_t table, mark, priority;
    const struct sl_conf_shunt *shunt;
    size_t shunt_n;
};

/* One rule of a shunt. */
struct rule_match {
    struct sl_prefix from, to;   /* len 0: any */
    uint8_t protocol;            /* 0: any */
    uint16_t sport[2], dport[2]; /* first, last; 0, 0: any */
};
/*
 * Calls on for each rule that a shunt needs. false when on did so, or when a bypass cannot be told by
 * rules: by ICMP type, or by ports of a protocol without them. A drop that cannot be told exactly is
 * told by all of its protocol: what it catches too much goes to the datapath, which knows better.
 */
SL_MUST_USE bool rules_of_shunt(const struct sl_conf_shunt *s,
                                bool (*on)(void *ctx, const struct rule_match *m), void *ctx);

/*
 * Removes what another daemon left behind and sets the rules of one family (AF_INET, AF_INET6).
 * SL_UNSUPPORTED: this kernel has no such rules, and none is there. SL_NOT_FOUND: nor has it the family.
 */
SL_MUST_USE enum sl_rc rules_set(struct rtnl *r, const struct rules_config *c, uint8_t family,
                                 struct sl_err *err);
/* Removes the rules of the family, and our routes in the table. */
void rules_remove(struct rtnl *r, const struct rules_config *c, uint8_t family);

#endif
