/*
 * Cryptography: a thin layer on libcrypto's EVP. Algorithm identifiers are the IANA transform IDs
 * of IKEv2 (RFC 7296 3.3.2), used as they are by IKE, ESP and the processes' messages.
 */
#ifndef SEALANE_CRYPTO_H
#define SEALANE_CRYPTO_H

#include "sealane/err.h"
#include "sealane/rng.h"
#include "sealane/secret.h"

enum sl_encr { /* transform type 1 */
               SL_ENCR_NONE = 0,
               SL_ENCR_3DES = 3, /* known so that it can be refused by name */
               SL_ENCR_NULL = 11,
               SL_ENCR_AES_CBC = 12,
               SL_ENCR_AES_GCM_16 = 20,
               SL_ENCR_CHACHA20_POLY1305 = 28,
};
enum sl_prf { /* transform type 2 */
              SL_PRF_NONE = 0,
              SL_PRF_HMAC_SHA1 = 2, /* refused */
              SL_PRF_HMAC_SHA2_256 = 5,
              SL_PRF_HMAC_SHA2_384 = 6,
              SL_PRF_HMAC_SHA2_512 = 7,
};
enum sl_integ { /* transform type 3 */
                SL_INTEG_NONE = 0,
                SL_INTEG_HMAC_SHA1_96 = 2, /* refused */
                SL_INTEG_HMAC_SHA2_256_128 = 12,
                SL_INTEG_HMAC_SHA2_384_192 = 13,
                SL_INTEG_HMAC_SHA2_512_256 = 14,
};
enum sl_ke { /* transform type 4 */
             SL_KE_NONE = 0,
             SL_KE_MODP1024 = 2, /* refused */
             SL_KE_MODP2048 = 14,
             SL_KE_MODP3072 = 15,
             SL_KE_MODP4096 = 16,
             SL_KE_ECP256 = 19,
             SL_KE_ECP384 = 20,
             SL_KE_ECP521 = 21,
             SL_KE_CURVE25519 = 31,
             SL_KE_MLKEM512 = 35, /* where libcrypto has them (OpenSSL 3.5), found at run time */
             SL_KE_MLKEM768 = 36,
             SL_KE_MLKEM1024 = 37,
};

/* How packets and SK payloads are protected: an AEAD, or a cipher with a MAC. */
struct sl_suite {
    enum sl_encr encr;
    uint16_t key_bits;   /* 128, 192, 256; 256 for ChaCha20 */
    enum sl_integ integ; /* SL_INTEG_NONE with an AEAD */
};
/* Lengths in bytes. */
size_t sl_suite_encr_key_len(const struct sl_suite *s);  /* with the 4-byte salt of an AEAD */
size_t sl_suite_integ_key_len(const struct sl_suite *s); /* 0 with an AEAD */
size_t sl_suite_iv_len(const struct sl_suite *s);        /* on the wire: 8 or 16 */
size_t sl_suite_icv_len(const struct sl_suite *s);
size_t sl_suite_block_len(const struct sl_suite *s); /* 16 for CBC; 1 for an AEAD */
bool sl_suite_is_aead(const struct sl_suite *s);
/* May be negotiated. ENCR_NULL may not: it is there only for who constructs it on purpose. */
bool sl_suite_supported(const struct sl_suite *s);
/* "aes128gcm16", "chacha20poly1305", "aes256-sha256"; returns out. */
#define SL_SUITE_TEXT 48
char *sl_suite_text(char out[SL_SUITE_TEXT], const struct sl_suite *s);

/*
 * One direction of one key, with its cipher contexts kept. Not thread-safe: one per SA and thread.
 */
struct sl_cipher;
SL_MUST_USE enum sl_rc sl_cipher_new(struct sl_cipher **out, const struct sl_suite *suite,
                                     bool seal, struct sl_bytes encr_key, struct sl_bytes integ_key,
                                     struct sl_err *err);
void sl_cipher_free(struct sl_cipher *c);
SL_AUTO_DEFINE(sl_cipher)
/*
 * Seal in place: data[0..len) becomes ciphertext, icv receives sl_suite_icv_len bytes. iv holds the
 * bytes that go on the wire. aad precedes iv on the wire; the MAC of a non-AEAD suite covers
 * aad | iv | ciphertext | mac_tail (mac_tail: high half of an ESN, else empty; RFC 4303 2.2.1), an
 * AEAD covers aad only (the caller puts the ESN into it; RFC 4106 5). len is a multiple of the
 * block length.
 */
SL_MUST_USE bool sl_cipher_seal(struct sl_cipher *c, struct sl_bytes aad, const uint8_t *iv,
                                uint8_t *data, size_t len, struct sl_bytes mac_tail, uint8_t *icv);
/* Checks icv, then decrypts in place; false, with data undefined, when the check fails. */
SL_MUST_USE bool sl_cipher_open(struct sl_cipher *c, struct sl_bytes aad, const uint8_t *iv,
                                uint8_t *data, size_t len, struct sl_bytes mac_tail,
                                const uint8_t *icv);

/*
 * AES-CBC alone, in place, whole blocks; key of 16, 24 or 32 bytes. For IKEv1 messages, whose
 * integrity is a matter of their payloads.
 */
SL_MUST_USE enum sl_rc sl_cbc(bool seal, struct sl_bytes key, const uint8_t iv[16], uint8_t *data,
                              size_t len, struct sl_err *err);

/* ---- PRF (RFC 7296 2.13, 2.14; RFC 4868) ----------------------------------------------------- */
#define SL_PRF_MAX 64
size_t sl_prf_len(enum sl_prf prf); /* output and preferred key length; 0: not supported */
/* out receives sl_prf_len bytes: prf(key, parts[0] | parts[1] | ...). */
SL_MUST_USE enum sl_rc sl_prf_run(enum sl_prf prf, struct sl_bytes key,
                                  const struct sl_bytes *parts, size_t n, uint8_t *out,
                                  struct sl_err *err);
/* prf+(key, seed) filled to len bytes (RFC 7296 2.13); at most 255 rounds. */
SL_MUST_USE enum sl_rc sl_prf_plus(enum sl_prf prf, struct sl_bytes key, struct sl_bytes seed,
                                   uint8_t *out, size_t len, struct sl_err *err);
#define SL_PSK_PAD "Key Pad for IKEv2"
/* AUTH = prf(prf(secret, SL_PSK_PAD), octets) (RFC 7296 2.15). */
SL_MUST_USE enum sl_rc sl_prf_psk_auth(enum sl_prf prf, struct sl_bytes secret,
                                       struct sl_bytes octets, uint8_t *out, struct sl_err *err);

/* ---- key exchange ------------------------------------------------------------------------------ */
/* A private value of one group. May be moved between threads, used by one at a time. */
struct sl_kex;
bool sl_ke_supported(enum sl_ke group); /* here and now: ML-KEM depends on libcrypto */
/* A method of encapsulation: the responder's value is made from the initiator's (FIPS 203). */
bool sl_ke_is_kem(enum sl_ke group);
size_t sl_ke_public_len(enum sl_ke group); /* of the initiator's value */
/* Text of an algorithm for messages: "curve25519", "modp2048"; "group 99" for the unknown. */
const char *sl_ke_text(enum sl_ke group);
SL_MUST_USE enum sl_rc sl_kex_new(struct sl_kex **out, enum sl_ke group, struct sl_err *err);
void sl_kex_free(struct sl_kex *k);
SL_AUTO_DEFINE(sl_kex)
enum sl_ke sl_kex_group(const struct sl_kex *k);
struct sl_bytes sl_kex_public(const struct sl_kex *k); /* as in the KE payload; lent */
/*
 * The responder's step: its value and the shared secret from the initiator's value; for a KEM the
 * only way to either. *shared must be empty.
 */
SL_MUST_USE enum sl_rc sl_kex_respond(struct sl_kex **out, enum sl_ke group,
                                      struct sl_bytes peer_public, struct sl_secret *shared,
                                      struct sl_err *err);
/*
 * Checks the peer's value (RFC 6989) and derives g^ir; for a KEM the initiator's decapsulation.
 * *shared must be empty.
 */
SL_MUST_USE enum sl_rc sl_kex_derive(struct sl_kex *k, struct sl_bytes peer_public,
                                     struct sl_secret *shared, struct sl_err *err);

/* ---- signatures -------------------------------------------------------------------------------- */
/* How a signature is made, independent of where the key lives. */
enum sl_sig {
    SL_SIG_NONE = 0,
    SL_SIG_RSA_PKCS1_SHA256,
    SL_SIG_RSA_PKCS1_SHA384,
    SL_SIG_RSA_PKCS1_SHA512,
    SL_SIG_RSA_PSS_SHA256, /* MGF1 with the same hash, salt as long as the hash */
    SL_SIG_RSA_PSS_SHA384,
    SL_SIG_RSA_PSS_SHA512,
    SL_SIG_ECDSA_SHA256, /* DER Ecdsa-Sig-Value */
    SL_SIG_ECDSA_SHA384,
    SL_SIG_ECDSA_SHA512,
    SL_SIG_ED25519,
    SL_SIG_RSA_PKCS1_SHA1, /* only ever verified or made under an explicit legacy option */
    /*
     * IKEv1 only: the data is a hash of 32, 48 or 64 bytes that the exchange has made, and is signed
     * as it is: PKCS#1 v1.5 padding with no DigestInfo (RFC 2409 5.1); ECDSA as r | s (RFC 4754 7).
     */
    SL_SIG_RSA_PKCS1_RAW,
    SL_SIG_ECDSA_RAW,
    SL_SIG_COUNT
};
const char *sl_sig_text(enum sl_sig sig); /* "rsa-pss-sha256" */

enum sl_key_type {
    SL_KEY_NONE = 0,
    SL_KEY_RSA,
    SL_KEY_EC_P256,
    SL_KEY_EC_P384,
    SL_KEY_EC_P521,
    SL_KEY_ED25519
};
/* key_alg: "rsa:2048".."rsa:4096", "ecdsa:p256|p384|p521", "ed25519" */
SL_MUST_USE bool sl_key_alg_parse(enum sl_key_type *type, uint16_t *bits, const char *key_alg);
/* Type and size of a DER SubjectPublicKeyInfo; SL_KEY_NONE when it is none of ours. */
enum sl_key_type sl_spki_type(struct sl_bytes spki, uint16_t *bits);
/*
 * SL_OK, SL_CRYPTO (does not verify, or a key of another type), SL_WEAK_ALGORITHM (RSA under 2048
 * bits), SL_TOO_LARGE (over 8192), SL_MALFORMED (the key cannot be read).
 */
SL_MUST_USE enum sl_rc sl_sig_verify(enum sl_sig sig, struct sl_bytes spki, struct sl_bytes data,
                                     struct sl_bytes signature, struct sl_err *err);

/* SHA-2 digest of v; out receives 32, 48 or 64 bytes for bits 256, 384, 512. */
void sl_sha2(unsigned bits, struct sl_bytes v, uint8_t *out);

#endif
