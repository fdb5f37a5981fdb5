/*
 * RSA key transport that tells a guesser nothing; see transport.c.
 */
#ifndef CRYPTO_TRANSPORT_H
#define CRYPTO_TRANSPORT_H

#include "sealane/crypto.h"

#include <openssl/evp.h>

#define TRANSPORT_REJECT_LEN 32

/* A secret of the key from which answers to wrong paddings are made. */
SL_MUST_USE enum sl_rc transport_reject_key(struct sl_secret *out, const EVP_PKEY *key,
                                            struct sl_err *err);
/*
 * The message in cipher appended to out; pseudo-random bytes, the same each time, when the padding
 * is wrong. SL_MALFORMED when cipher is not of the modulus' length or size, which all can see.
 */
SL_MUST_USE enum sl_rc transport_decrypt(EVP_PKEY *key, const struct sl_secret *reject, bool oaep,
                                         struct sl_bytes cipher, struct sl_buf *out,
                                         struct sl_err *err);

#endif
