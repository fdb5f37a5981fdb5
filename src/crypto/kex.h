/*
 * A key exchange with a chosen private value, for known answers in tests. Nothing else calls it.
 */
#ifndef CRYPTO_KEX_H
#define CRYPTO_KEX_H

#include "sealane/crypto.h"

/* priv: big-endian, for curve25519 as in RFC 7748; pub: as in the KE payload. */
SL_MUST_USE enum sl_rc kex_new_known(struct sl_kex **out, enum sl_ke group, struct sl_bytes priv,
                                     struct sl_bytes pub, struct sl_err *err);

#endif
