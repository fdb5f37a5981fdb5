/*
 * A private key that lives elsewhere: in the keyring process for the daemon, in memory for tests
 * and the simulator. Holders see its public part and ask for operations; never its bytes.
 *
 * sl_key_pkey wraps such a key as an EVP_PKEY (through a small OpenSSL provider), so that
 * libcrypto's X.509, CMS and OCSP code signs and decrypts with it unchanged.
 */
#ifndef SEALANE_KEY_H
#define SEALANE_KEY_H

#include "sealane/crypto.h"

#include <openssl/evp.h>

struct sl_key_ops {
    /* Signature over data by scheme; out is appended to. Blocks for as long as its owner allows. */
    enum sl_rc (*sign)(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                       struct sl_buf *out, struct sl_err *err);
    /*
     * The same over a digest already made with the scheme's hash; for those callers of
     * libcrypto that sign digests (EVP_PKEY_sign, CMS without signed attributes). May be NULL.
     */
    enum sl_rc (*sign_digest)(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes digest,
                              struct sl_buf *out, struct sl_err *err);
    /*
     * RSA key transport (PKCS#1 v1.5 or OAEP-SHA256) for CMS. A wrong padding is answered by
     * pseudo-random bytes of the expected length, never by an error (RFC 8017 7.2.2).
     */
    enum sl_rc (*decrypt)(void *ctx, const char *name, bool oaep, struct sl_bytes cipher,
                          struct sl_buf *out, struct sl_err *err);
    void *ctx;
};

/* A named key: operations, name and DER SubjectPublicKeyInfo (all borrowed). */
struct sl_key {
    const struct sl_key_ops *ops;
    const char *name;
    struct sl_bytes spki;
};

/*
 * A new EVP_PKEY doing its private operations through key, which must outlive it. Give CMS_decrypt
 * the recipient's certificate too: without it libcrypto tries all recipients, and takes the answer
 * to a wrong padding for a key. A refusal by the ops is on libcrypto's error queue, for SL_FAIL_SSL.
 */
SL_MUST_USE enum sl_rc sl_key_pkey(EVP_PKEY **out, const struct sl_key *key, struct sl_err *err);

/*
 * A set of keys in this process's memory: the keyring's own, and tests'. Several threads may use
 * it while none changes it.
 */
struct sl_keyset;
SL_MUST_USE enum sl_rc sl_keyset_new(struct sl_keyset **out, struct sl_err *err);
void sl_keyset_free(struct sl_keyset *ks);
SL_AUTO_DEFINE(sl_keyset)
/* alg as in sl_key_alg_parse. SL_EXISTS when the name is taken. Names: [a-z0-9._-]{1,64}. */
SL_MUST_USE enum sl_rc sl_keyset_generate(struct sl_keyset *ks, const char *name, const char *alg,
                                          struct sl_err *err);
/*
 * PEM or DER, PKCS#8 or traditional, not encrypted; RSA of 2048 to 8192 bits, the curves of
 * sl_key_alg_parse by name, Ed25519. SL_EXISTS when the name is taken.
 */
SL_MUST_USE enum sl_rc sl_keyset_import(struct sl_keyset *ks, const char *name,
                                        struct sl_bytes der_or_pem, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_keyset_export(struct sl_keyset *ks, const char *name,
                                        struct sl_secret *pkcs8_pem, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_keyset_rename(struct sl_keyset *ks, const char *from, const char *to,
                                        struct sl_err *err); /* replaces to */
SL_MUST_USE enum sl_rc sl_keyset_remove(struct sl_keyset *ks, const char *name, struct sl_err *err);
/* DER SubjectPublicKeyInfo, lent until the key changes; SL_KEY_NOT_FOUND. */
SL_MUST_USE enum sl_rc sl_keyset_spki(struct sl_keyset *ks, const char *name, struct sl_bytes *spki,
                                      struct sl_err *err);
size_t sl_keyset_count(const struct sl_keyset *ks);
const char *sl_keyset_name(const struct sl_keyset *ks, size_t i);
/* Pre-shared keys. Names: 1 to 64 printable characters. _set replaces; SL_KEY_NOT_FOUND. */
SL_MUST_USE enum sl_rc sl_keyset_psk_set(struct sl_keyset *ks, const char *name,
                                         struct sl_bytes secret, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_keyset_psk_auth(struct sl_keyset *ks, const char *name, enum sl_prf prf,
                                          struct sl_bytes octets, uint8_t *out, struct sl_err *err);
/*
 * IKEv1 (RFC 2409 5): SKEYID = prf(psk, nonces), or, with octets, prf(SKEYID, octets): the HASH of a
 * side that proves the key. SL_KEY_USE: nonces are the pad of IKEv2.
 */
SL_MUST_USE enum sl_rc sl_keyset_psk_v1(struct sl_keyset *ks, const char *name, enum sl_prf prf,
                                        struct sl_bytes nonces, struct sl_bytes octets,
                                        uint8_t *out, struct sl_err *err);
/* Operations on the set; ctx is ks. */
struct sl_key_ops sl_keyset_ops(struct sl_keyset *ks);

#endif
