/*
 * Policy: ordered rules, the first that matches decides, and no match refuses. Patterns are globs
 * (* any run, ? one character) compared without case.
 */
#ifndef SEALANE_POLICY_H
#define SEALANE_POLICY_H

#include "sealane/directory.h"

struct sl_policy_ask {
    const char *connection;
    const struct sl_id *id;
    const char *issuer, *subject; /* RFC 4514; "" with a PSK */
    const char *method;           /* "cert", "psk" */
    const struct sl_addr *remote; /* family 0: unknown, matches no remote prefix */
    const struct sl_entry *entry; /* NULL: none, matches no group and no entry_attr */
};
bool sl_glob(const char *pattern, const char *text);
/*
 * The rule that decides. SL_OK with *rule and *grant filled; POLICY_REFUSED with *rule; else
 * POLICY_NO_MATCH. *err names the rule also on success (rc SL_OK, text "rule NAME accepts ...").
 *
 * An id pattern with "TYPE:" in front is compared with the whole ID text, else with what follows the
 * type. A group pattern is compared with each memberOf value and with the value of its first RDN.
 */
SL_MUST_USE enum sl_rc sl_policy_decide(const struct sl_conf_rule *rules, size_t n,
                                        const struct sl_policy_ask *ask,
                                        const struct sl_conf_rule **rule, struct sl_grant *grant,
                                        struct sl_err *err);
#endif
