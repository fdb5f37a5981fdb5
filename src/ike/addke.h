/*
 * Additional key exchanges in proposals (RFC 9370 2.2.2): what proposal.c asks about transforms of
 * the types ADDKE1 to ADDKE7.
 */
#ifndef IKE_ADDKE_H
#define IKE_ADDKE_H

#include "src/ike/proposal.h"

/* Does this libcrypto have every method that a proposal of ours cannot go without? */
bool addke_usable(enum sl_ke ke, const struct sl_conf_addke *add);

/* What a proposal of the peer has of each type. */
struct addke_found {
    uint8_t n[SL_ADDKE_MAX]; /* transforms; stops at 255 */
    uint8_t here, none;      /* bit i: the method we want is among them, NONE is */
};
/* False: t is not of these types. want: ours. */
bool addke_note(struct addke_found *f, const struct sl_conf_addke *want,
                const struct ike_transform *t);
bool addke_any(const struct addke_found *f);
bool addke_doubled(const struct addke_found *f); /* a type more than once */
/* Settles on what both have; false: they do not fit. allowed: false: only no additional exchange. */
bool addke_choose(struct ike_addke *out, const struct addke_found *f,
                  const struct sl_conf_addke *want, bool allowed);

#endif
