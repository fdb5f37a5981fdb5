/*
 * The policy for what leaves (RFC 4301 4.4.1): shunts in their order, then the selectors of the
 * children that may send, the most specific first and among equals the newest. One immutable
 * snapshot in one piece of memory; a change makes a new one.
 *
 * Selectors are kept by the pair of prefix lengths that cover them, one hash probe each (tuple space
 * search), so that a lookup costs what the number of different lengths costs, not of children.
 */
#ifndef SL_ESP_SPD_H
#define SL_ESP_SPD_H

#include "src/esp/sa.h"

struct esp_spd;

struct esp_shunt {
    bool bypass; /* else drop */
    struct esp_sel local, remote;
};

/* Copies the shunts, points to the children. Children that are gone or not wanted are left out. */
SL_MUST_USE enum sl_rc esp_spd_new(struct esp_spd **out, const struct esp_shunt *shunts, size_t n,
                                   const struct esp_child_list *children, struct sl_err *err);
void esp_spd_free(struct esp_spd *s);

/* The first shunt for the packet, or NULL. */
const struct esp_shunt *esp_spd_shunt(const struct esp_spd *s, const struct esp_inner *in);
/* The SA that protects the packet, or NULL. */
struct esp_out *esp_spd_find(const struct esp_spd *s, const struct esp_inner *in);

#endif
