/* Comparing two configurations, and what a change of each key does. */
#ifndef SEALANE_CONFIG_DIFF_H
#define SEALANE_CONFIG_DIFF_H

#include "sealane/config.h"

/*
 * What differs between two configurations, one row for each section that came or went, for each key
 * whose value is another, and for each kind of section of which only the order is another (where it
 * counts: rules, connections, shunts).
 */
enum sl_config_how { SL_CONFIG_ADDED, SL_CONFIG_REMOVED, SL_CONFIG_CHANGED, SL_CONFIG_REORDERED };
enum sl_config_effect {
    SL_CONFIG_LIVE,   /* can take effect at once, and SAs stay as they are */
    SL_CONFIG_SAS,    /* what was negotiated, or with whom: SAs of the connection or child end */
    SL_CONFIG_RESTART /* only when sealaned is started again */
};
struct sl_config_change {
    enum sl_config_how how;
    enum sl_config_effect effect;
    const char *section, *key;    /* static; key "" unless CHANGED */
    char connection[SL_NAME_MAX]; /* of a child; else "" */
    char name[SL_NAME_MAX];       /* of the section; "": it has none */
};
struct sl_config_diff { /* {0} is empty */
    struct sl_config_change *v;
    size_t n;
};
SL_MUST_USE enum sl_rc sl_config_compare(struct sl_config_diff *out, const struct sl_config *old,
                                         const struct sl_config *fresh, struct sl_err *err);
void sl_config_diff_clear(struct sl_config_diff *d);
#define SL_CONFIG_CHANGE_TEXT 400
/* "connection site, child net: rekey changed". */
const char *sl_config_change_text(char buf[SL_CONFIG_CHANGE_TEXT],
                                  const struct sl_config_change *c);
/* The largest effect of the keys that differ; of a connection without its children. */
enum sl_config_effect sl_config_connection_effect(const struct sl_conf_connection *a,
                                                  const struct sl_conf_connection *b);
enum sl_config_effect sl_config_child_effect(const struct sl_conf_child *a,
                                             const struct sl_conf_child *b);
/* What a change of this key does. */
enum sl_config_effect sl_config_key_effect(const char *section, const char *key);

#endif
