/*
 * What the two sides of CREATE_CHILD_SA share (create_child.c, create_respond.c): which SA stays when
 * both began at once, and the IKE SA's successor.
 */
#ifndef SL_SRC_IKE_V2_CREATE_H
#define SL_SRC_IKE_V2_CREATE_H

#include "src/ike/core.h"

int64_t create_later(struct sl_ike *ike);
enum sl_rc create_take_spi(uint8_t out[IKE_SPI_LEN], struct sl_bytes spi,
                           struct sl_err *err) SL_MUST_USE;
enum sl_rc create_make_next(struct ike_xchg *x, struct sl_err *err) SL_MUST_USE;
void create_adopt(struct ike_xchg *x);
void create_succeed(struct ike_isa *old, struct ike_isa *next, bool we_delete);
void create_redundant(struct ike_isa *sa, uint64_t winner, bool we_delete);

#endif
