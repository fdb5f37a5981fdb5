/*
 * Key encapsulation (FIPS 203, ML-KEM) by libcrypto's name of the algorithm. Whether it is there
 * shows at run time: OpenSSL 3.5 has it, 3.0 has the calls and no such algorithm.
 */
#ifndef CRYPTO_KEM_H
#define CRYPTO_KEM_H

#include "sealane/crypto.h"

#include <openssl/evp.h>

#define KEM_SHARED_LEN 32 /* of every parameter set (FIPS 203 8) */

bool kem_available(const char *name);
EVP_PKEY *kem_generate(const char *name); /* NULL: failed */
bool kem_public(const EVP_PKEY *key, uint8_t *out, size_t len) SL_MUST_USE;
/* The responder's side: ciphertext and secret from the peer's encapsulation key, which is checked. */
bool kem_encapsulate(const char *name, struct sl_bytes peer, uint8_t *ciphertext, size_t len,
                     uint8_t shared[KEM_SHARED_LEN]) SL_MUST_USE;
bool kem_decapsulate(EVP_PKEY *key, struct sl_bytes ciphertext,
                     uint8_t shared[KEM_SHARED_LEN]) SL_MUST_USE;

#endif
