/*
 * The pieces of the OpenSSL provider behind sl_key_pkey: what a key is to libcrypto, shared by key
 * management (pkey.c), signatures (pkey_sign.c) and key transport (pkey_cipher.c).
 */
#ifndef CRYPTO_PKEY_H
#define CRYPTO_PKEY_H

#include "sealane/key.h"

#include <openssl/core.h>
#include <stdatomic.h>

/* Public operations go to any other provider, so that they cannot come back here. */
#define PKEY_OTHERS "provider!=sealane"

struct pkey {
    atomic_int refs;
    const struct sl_key *key; /* NULL: a public key that libcrypto brought here to compare */
    EVP_PKEY *public;
    enum sl_key_type type;
};
struct pkey *pkey_ref(struct pkey *k);
void pkey_unref(struct pkey *k);

/* err's text onto libcrypto's error queue; returns 0, which is libcrypto's failure. */
int pkey_raise(const struct sl_err *err);

/* Dispatch tables hold functions of many types as one; each is called by its own again. */
#define PKEY_FN(id, f)            \
    {                             \
        (id), (void (*)(void))(f) \
    }
#define PKEY_FN_END \
    {               \
        0, NULL     \
    }
extern const OSSL_DISPATCH pkey_signature[];
extern const OSSL_DISPATCH pkey_cipher[];

#endif
