/*
 * IKEv1 SA payloads (RFC 2408 3.4 to 3.6, RFC 2407 4.4, 4.5, RFC 2409 appendix A): reading, offering
 * ours, choosing as responder and checking the answer as initiator, for phase 1 (ISAKMP) and phase 2
 * (ESP). Weak and unknown algorithms are never chosen; a refusal names what the peer offered.
 *
 * Configuration is that of IKEv2: of struct sl_conf_ike_proposal an entry is usable where its cipher
 * is AES-CBC and its PRF and integrity are of one hash, as IKEv1 negotiates only one. AEADs cannot
 * protect IKEv1 messages, and there are no additional key exchanges (RFC 9370); such entries are passed
 * over.
 *
 * Leaves to others: SPIs, the KE payload's length (compare with choice.ke), the policy on lifetimes.
 */
#ifndef IKE_V1_PROPOSAL_H
#define IKE_V1_PROPOSAL_H

#include "src/ike/proposal.h"
#include "src/ike/v1/codec.h"

#define V1_PROPOSALS_MAX  32
#define V1_TRANSFORMS_MAX 128 /* in one proposal */

/* Authentication methods (RFC 2409 appendix A, RFC 4754, draft-ietf-ipsec-isakmp-xauth-06). */
enum v1_auth_method {
    V1_AUTH_PSK = 1,
    V1_AUTH_RSA_SIG = 3,
    V1_AUTH_ECDSA_256 = 9,
    V1_AUTH_ECDSA_384 = 10,
    V1_AUTH_ECDSA_521 = 11,
    V1_AUTH_XAUTH_INIT_PSK = 65001, /* the initiator is asked for name and password afterwards */
    V1_AUTH_XAUTH_RESP_PSK = 65002,
    V1_AUTH_XAUTH_INIT_RSA = 65005,
    V1_AUTH_XAUTH_RESP_RSA = 65006,
};
const char *v1_auth_text(char out[IKE_TEXT],
                         uint16_t method); /* "RSA signature", "auth method 99" */
/* The method for a signing key; 0 for Ed25519, which IKEv1 cannot use. */
uint16_t v1_auth_of_key(enum sl_key_type type);
/* How its SIG payload is made and verified; SL_SIG_NONE for pre-shared keys and the unknown. */
enum sl_sig v1_auth_sig(uint16_t method);
/* The hash that a signature method prescribes (RFC 4754 2: ECDSA-256 with SHA-256 ...); NONE: any. */
enum sl_prf v1_auth_prf(uint16_t method);

enum v1_encap { /* RFC 2407 4.5, RFC 3947 5.1 */
                V1_ENCAP_TUNNEL = 1,
                V1_ENCAP_TRANSPORT = 2,
                V1_ENCAP_UDP_TUNNEL = 3,
                V1_ENCAP_UDP_TRANSPORT = 4,
                V1_ENCAP_UDP_TUNNEL_DRAFT = 61443,
                V1_ENCAP_UDP_TRANSPORT_DRAFT = 61444,
};

/* ---- reading --------------------------------------------------------------------------------------- */
struct v1_transform {
    uint8_t number, id;
    struct sl_bytes attrs; /* read well when the SA did */
};
struct v1_proposal {
    uint8_t number, protocol;
    struct sl_bytes spi;  /* at most 16 bytes */
    size_t n;             /* transforms */
    struct sl_bytes body; /* of transforms */
};
struct v1_sa {
    struct v1_proposal p[V1_PROPOSALS_MAX];
    size_t n;
};
/*
 * Reads a whole SA payload: DOI IPSEC, situation SIT_IDENTITY_ONLY, every proposal and transform to
 * the end. SL_IKE_MALFORMED says where; SL_TOO_LARGE; SL_UNSUPPORTED: another DOI or situation.
 */
SL_MUST_USE enum sl_rc v1_sa_read(struct v1_sa *sa, struct sl_bytes body, struct sl_err *err);
bool v1_transform_next(struct v1_transform *t, struct sl_rd *r) SL_MUST_USE;

/* ---- phase 1 ----------------------------------------------------------------------------------------- */
struct v1_ike_choice {
    struct sl_suite suite; /* AES-CBC, integrity of the hash */
    enum sl_prf prf;       /* HMAC of the negotiated hash */
    enum sl_ke ke;
    uint16_t auth;               /* enum v1_auth_method */
    uint64_t life_s, life_kb;    /* as in the transform; 0: none named */
    uint8_t proposal, transform; /* numbers */
    struct sl_bytes spi,
        attrs;   /* of the transform, echoed in the answer; borrowed from the payload */
    size_t ours; /* index into conf */
};
/*
 * Our offer: one proposal, a transform for each usable entry and method, in this order. life_s: named
 * in each. auth: the methods that may be used, the best first.
 *
 * SL_IKE_NO_PROPOSAL: no entry is usable (says why: AEADs, groups).
 */
SL_MUST_USE enum sl_rc v1_put_sa_ike(struct ike_wr *c, const struct sl_conf_ike_proposal *conf,
                                     size_t n, const uint16_t *auth, size_t auth_n, uint32_t life_s,
                                     struct sl_err *err);
/*
 * Responder. SL_IKE_NO_PROPOSAL, SL_WEAK_ALGORITHM: nothing in common; the text names the peer's
 * offer, methods included.
 */
SL_MUST_USE enum sl_rc v1_sa_select_ike(struct v1_ike_choice *out, const struct v1_sa *sa,
                                        const struct sl_conf_ike_proposal *conf, size_t n,
                                        const uint16_t *auth, size_t auth_n, enum ike_prefer prefer,
                                        struct sl_err *err);
/* Its answer: the chosen transform, unchanged (RFC 2408 4.2). */
void v1_put_sa_ike_choice(struct ike_wr *c, const struct v1_ike_choice *choice);
/* Initiator: the answer is one proposal of one transform that equals one of ours. */
SL_MUST_USE enum sl_rc v1_sa_check_ike(struct v1_ike_choice *out, const struct v1_sa *sa,
                                       const struct sl_conf_ike_proposal *conf, size_t n,
                                       const uint16_t *auth, size_t auth_n, struct sl_err *err);

/* ---- phase 2 ------------------------------------------------------------------------------------------- */
struct v1_esp_choice {
    struct sl_suite suite;
    enum sl_ke ke; /* SL_KE_NONE: no PFS */
    bool esn;
    uint16_t encap;              /* enum v1_encap: a tunnel, in UDP or not */
    uint64_t life_s, life_kb;    /* 0: none named (28800 s is then meant, RFC 2407 4.5) */
    uint8_t proposal, transform; /* numbers */
    uint8_t transform_id;
    struct sl_bytes attrs; /* echoed; borrowed from the payload */
    struct sl_bytes spi;   /* the peer's, 4 bytes; borrowed */
    size_t ours;
};
/* May this transform travel on that encapsulation? Used by callers to pick one for v1_put_sa_esp. */
static inline bool v1_encap_is_udp(uint16_t encap)
{
    return encap == V1_ENCAP_UDP_TUNNEL || encap == V1_ENCAP_UDP_TUNNEL_DRAFT;
}
/*
 * Our offer: one proposal with a transform for each entry whose group is ke, as quick mode carries
 * one KE for all (RFC 2409 5.5); with esn each twice, with ESN (RFC 4304) first. ChaCha20-Poly1305
 * has no number in IKEv1 and is passed over. life_kb 0: not named.
 */
SL_MUST_USE enum sl_rc v1_put_sa_esp(struct ike_wr *c, const struct sl_conf_esp_proposal *conf,
                                     size_t n, enum sl_ke ke, bool esn, uint16_t encap,
                                     uint32_t spi, uint32_t life_s, uint32_t life_kb,
                                     struct sl_err *err);
/* The group of the first entry that IKEv1 can offer: the ke for v1_put_sa_esp. */
enum sl_ke v1_esp_group(const struct sl_conf_esp_proposal *conf, size_t n);
/*
 * Responder. udp: there is a NAT, so the encapsulation must be in UDP (RFC 3947 or draft); else a
 * plain tunnel. Proposals that ask for AH or IPComp beside ESP (the same number twice) are passed
 * over. Errors as in phase 1. Compare choice.ke with the presence of KE.
 */
SL_MUST_USE enum sl_rc v1_sa_select_esp(struct v1_esp_choice *out, const struct v1_sa *sa,
                                        const struct sl_conf_esp_proposal *conf, size_t n, bool udp,
                                        bool esn, enum ike_prefer prefer, struct sl_err *err);
void v1_put_sa_esp_choice(struct ike_wr *c, const struct v1_esp_choice *choice, uint32_t spi);
/* Initiator: arguments as they were for the offer. */
SL_MUST_USE enum sl_rc v1_sa_check_esp(struct v1_esp_choice *out, const struct v1_sa *sa,
                                       const struct sl_conf_esp_proposal *conf, size_t n,
                                       enum sl_ke ke, bool esn, uint16_t encap, struct sl_err *err);
/* Attributes of RESPONDER_LIFETIME (RFC 2407 4.6.3.1), for v1_put_notify's data; 0: not named. */
bool v1_lifetime_write(struct sl_buf *out, bool phase1, uint32_t life_s,
                       uint32_t life_kb) SL_MUST_USE;
/* What such a notify's data says; false when broken. What is not named stays as it was. */
bool v1_lifetime_read(uint64_t *life_s, uint64_t *life_kb, bool phase1,
                      struct sl_bytes attrs) SL_MUST_USE;

#endif
