/*
 * The policy for what leaves (RFC 4301 4.4.1): shunts in their order, then the selectors of the
 * children that may send, the most specific first and among equals the newest. It changes only when
 * sl_esp_commit says so, and then by what has changed: a child costs the same whether there are ten
 * or a hundred thousand others.
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

SL_MUST_USE enum sl_rc esp_spd_new(struct esp_spd **out, struct sl_err *err);
void esp_spd_free(struct esp_spd *s); /* before the children it points to */
/* Takes v, of n shunts; returns those before, for the caller to free. */
struct esp_shunt *esp_spd_shunts(struct esp_spd *s, struct esp_shunt *v, size_t n);

/* Takes the memory that putting the child will need, and for pairs more in all. */
SL_MUST_USE enum sl_rc esp_spd_prepare(struct esp_child *c, struct sl_err *err);
SL_MUST_USE enum sl_rc esp_spd_reserve(struct esp_spd *s, size_t pairs, struct sl_err *err);
/* Once there is room: the child sends, with its order as it is now. */
void esp_spd_put(struct esp_spd *s, struct esp_child *c);
/* Nothing when it is not in. */
void esp_spd_remove(struct esp_spd *s, struct esp_child *c);
/* After changes, before the next packet. */
void esp_spd_settle(struct esp_spd *s);

/* The first shunt for the packet, or NULL. */
const struct esp_shunt *esp_spd_shunt(const struct esp_spd *s, const struct esp_inner *in);
/* The SA that protects the packet, or NULL. */
struct esp_out *esp_spd_find(const struct esp_spd *s, const struct esp_inner *in);

#endif
