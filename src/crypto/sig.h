/*
 * Signature schemes and key types, shared by verifying (sig.c), the key set (keyset.c) and the
 * keys that live elsewhere (pkey.c).
 */
#ifndef CRYPTO_SIG_H
#define CRYPTO_SIG_H

#include "sealane/crypto.h"

#include <openssl/evp.h>

#define SIG_RSA_BITS_MIN 2048
#define SIG_RSA_BITS_MAX 8192 /* larger keys only serve to burn the verifier's time */

enum sig_family { SIG_RSA_PKCS1, SIG_RSA_PSS, SIG_ECDSA, SIG_EDDSA, SIG_RSA_RAW, SIG_ECDSA_RAW };

struct sig_scheme {
    enum sl_sig id;
    enum sig_family family;
    const char *text;
    const char *digest; /* NULL: the scheme has its own */
    uint8_t digest_len;
    struct sl_bytes
        algorithm; /* DER AlgorithmIdentifier as X.509 writes it; none of IKEv1's raw ones */
};

/* NULL when there is no such scheme. */
const struct sig_scheme *sig_scheme(enum sl_sig id);
/* The scheme of a family with the digest of that name (any of its names); NULL: none of ours. */
const struct sig_scheme *sig_find(enum sig_family family, const char *digest);
bool sig_fits(const struct sig_scheme *s, enum sl_key_type type);

/* SL_KEY_NONE when the key is none of ours (RSA of any size is). */
enum sl_key_type sig_key_type(const EVP_PKEY *key, uint16_t *bits);
/* A public key from DER with nothing behind it; NULL when it cannot be read. */
EVP_PKEY *sig_read_spki(struct sl_bytes spki);
bool sig_write_spki(struct sl_buf *out, const EVP_PKEY *key);

/* The families of IKEv1: hash is 32, 48 or 64 bytes; out has room for EVP_PKEY_get_size(key). */
static inline bool sig_is_raw(const struct sig_scheme *s)
{
    return s->family == SIG_RSA_RAW || s->family == SIG_ECDSA_RAW;
}
bool sig_raw_verify(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes hash,
                    struct sl_bytes signature) SL_MUST_USE;
bool sig_raw_sign(const struct sig_scheme *s, EVP_PKEY *key, struct sl_bytes hash, uint8_t *out,
                  size_t *len) SL_MUST_USE;

/* Signature over data, or over the digest of it when prehashed, appended to out. */
SL_MUST_USE enum sl_rc sig_sign(const struct sig_scheme *s, EVP_PKEY *key, bool prehashed,
                                struct sl_bytes data, struct sl_buf *out, struct sl_err *err);

#endif
