/*
 * The content of AUTH (RFC 7296 3.8): which signature to make for a peer, the AlgorithmIdentifier of
 * RFC 7427, the older methods of RFC 4754, and the other direction. Making and checking signatures
 * is left to the holder of the key and to the decision.
 */
#ifndef IKE_AUTH_H
#define IKE_AUTH_H

#include "src/ike/codec.h"

#include "sealane/crypto.h"

enum ike_auth_method {
    IKE_AUTH_RSA = 1, /* RSASSA-PKCS1-v1_5 */
    IKE_AUTH_PSK = 2,
    IKE_AUTH_DSS = 3,
    IKE_AUTH_ECDSA_256 = 9, /* P-256 with SHA-256, r | s (RFC 4754) */
    IKE_AUTH_ECDSA_384 = 10,
    IKE_AUTH_ECDSA_521 = 11,
    IKE_AUTH_SECURE_PASSWORD = 12,
    IKE_AUTH_NULL = 13,
    IKE_AUTH_DIGITAL_SIGNATURE = 14, /* RFC 7427 */
};
const char *ike_auth_method_text(char out[IKE_TEXT], uint8_t method); /* "digital signature (14)" */

/* Hash algorithms of N(SIGNATURE_HASH_ALGORITHMS), RFC 7427 4; 5: RFC 8420. */
enum ike_hash {
    IKE_HASH_SHA1 = 1,
    IKE_HASH_SHA2_256 = 2,
    IKE_HASH_SHA2_384 = 3,
    IKE_HASH_SHA2_512 = 4,
    IKE_HASH_IDENTITY = 5,
};
#define IKE_HASH_BIT(hash) (1U << (hash))
#define IKE_HASHES_OURS                                                  \
    (IKE_HASH_BIT(IKE_HASH_SHA2_256) | IKE_HASH_BIT(IKE_HASH_SHA2_384) | \
     IKE_HASH_BIT(IKE_HASH_SHA2_512) | IKE_HASH_BIT(IKE_HASH_IDENTITY))
/* The notify's data as IKE_HASH_BITs; unknown hashes are passed over. False: odd length or empty. */
bool ike_hashes_read(uint32_t *hashes, struct sl_bytes data) SL_MUST_USE;
void ike_put_hashes(struct ike_wr *c, uint32_t hashes); /* the whole notify payload */

/* How to sign for a peer. */
struct ike_auth_choice {
    uint8_t method; /* enum ike_auth_method */
    enum sl_sig sig;
};
enum ike_auth_option {
    IKE_AUTH_OPT_NO_PSS = 1, /* RSA: PKCS#1 v1.5 under RFC 7427 (a peer known not to take PSS) */
    IKE_AUTH_OPT_LEGACY_SHA1 = 2, /* method 1 means SHA-1; only where the operator asked for it */
};
/*
 * Chooses for our key and the peer's announced hashes (0: it announced none, so RFC 7427 is not
 * available). With RFC 7427: the hash that fits the key's strength, else the strongest the peer has;
 * RSA by PSS (RFC 8247 3.2); Ed25519 when the peer has IDENTITY. Without: methods 1, 9, 10, 11 by key
 * type; method 1 uses SHA-256, as RFC 7296 3.8 permits, unless LEGACY_SHA1. SL_AUTH_METHOD names the
 * key type and the peer's hashes when nothing fits.
 */
SL_MUST_USE enum sl_rc ike_auth_choose(struct ike_auth_choice *out, enum sl_key_type type,
                                       uint16_t rsa_bits, uint32_t peer_hashes, unsigned options,
                                       struct sl_err *err);
/*
 * Makes the AUTH payload's data from a signature as the keyring returns it (ECDSA: DER), appended
 * to *out. Method 14: length, AlgorithmIdentifier, signature; 9 to 11: r | s; 1, 2: as it is.
 */
SL_MUST_USE enum sl_rc ike_auth_make(struct sl_buf *out, const struct ike_auth_choice *choice,
                                     struct sl_bytes signature, struct sl_err *err);

/* What the peer's AUTH says. */
struct ike_auth_claim {
    uint8_t method;  /* enum ike_auth_method */
    enum sl_sig sig; /* SL_SIG_NONE with a PSK */
    struct sl_bytes
        signature; /* as sl_sig_verify takes it, or the PSK's MAC; into the payload or scratch */
};
#define IKE_AUTH_SCRATCH 160
/*
 * Takes the AUTH payload apart. scratch holds the DER form of methods 9 to 11 and must live as long
 * as the claim. hashes: those we announced (IKE_HASHES_OURS).
 *
 * SL_AUTH_METHOD: method or AlgorithmIdentifier is not one of ours, or its hash was not announced;
 * SL_WEAK_ALGORITHM: SHA-1; SL_IKE_MALFORMED: does not parse, or bytes are left over.
 */
SL_MUST_USE enum sl_rc ike_auth_parse(struct ike_auth_claim *out, const struct ike_auth *auth,
                                      uint32_t hashes, unsigned options,
                                      uint8_t scratch[IKE_AUTH_SCRATCH], struct sl_err *err);

/* The DER AlgorithmIdentifier of RFC 7427 appendix A for sig, static; empty for those it has none for. */
struct sl_bytes ike_auth_algorithm(enum sl_sig sig);
/* The reverse; errors as ike_auth_parse. */
SL_MUST_USE enum sl_rc ike_auth_algorithm_read(enum sl_sig *sig, struct sl_bytes der,
                                               struct sl_err *err);

#endif
