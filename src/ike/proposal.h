/*
 * SA payloads (RFC 7296 3.3): reading and writing proposals and transforms, offering ours, choosing
 * among the peer's, and checking the peer's choice among ours. Weak and unknown algorithms are never
 * chosen; a refusal names what the peer offered.
 *
 * Leaves to others: SPIs (the caller's), the KE payload's group (compare it with ike_choice.ke),
 * and the cipher text.
 */
#ifndef IKE_PROPOSAL_H
#define IKE_PROPOSAL_H

#include "src/ike/codec.h"

#include "sealane/config.h"

#define IKE_PROPOSALS_MAX  64  /* in one SA payload */
#define IKE_TRANSFORMS_MAX 128 /* in one proposal */
#define IKE_ATTRS_MAX      8   /* in one transform */

enum ike_transform_type {
    IKE_T_ENCR = 1,
    IKE_T_PRF = 2,
    IKE_T_INTEG = 3,
    IKE_T_KE = 4,
    IKE_T_ESN = 5,
    IKE_T_ADDKE1 = 6, /* ..12: additional key exchanges, RFC 9370 */
};

/* One transform: type, ID and Key Length attribute. */
struct ike_transform {
    uint8_t type;
    uint16_t id;
    uint16_t key_bits; /* 0: no Key Length attribute */
    bool unknown_attr; /* carries an attribute we do not know: never chosen (RFC 7296 3.3.6) */
};
/* One proposal; its transforms are stepped through with ike_transform_next. */
struct ike_proposal {
    uint8_t number, protocol; /* enum ike_protocol */
    struct sl_bytes spi;      /* 0, 4 or 8 bytes */
    size_t n;                 /* transforms */
    struct sl_bytes body;     /* of transforms */
};
struct ike_sa {
    struct ike_proposal p[IKE_PROPOSALS_MAX];
    size_t n;
};

/*
 * Reads a whole SA payload and checks its format: the last/more markers and counts agree, numbers
 * rise by one (from 1 in an offer; an answer keeps the number it chose), SPI lengths fit the
 * protocol. SL_IKE_MALFORMED says where; SL_TOO_LARGE. A proposal of an unknown protocol is kept,
 * never chosen.
 */
SL_MUST_USE enum sl_rc ike_sa_read(struct ike_sa *sa, struct sl_bytes body, struct sl_err *err);
/* *r starts as sl_rd(proposal->body) of a payload that read well; false at the end. */
bool ike_transform_next(struct ike_transform *t, struct sl_rd *r) SL_MUST_USE;

/*
 * Our offer, in order, numbered from 1, without the proposals that cannot be used here (a key
 * exchange that this libcrypto lacks).
 *
 *   spi      IKE: empty in IKE_SA_INIT, 8 bytes in a rekey. ESP: 4 bytes, ours for receiving
 *   with_ke  ESP: put the groups of PFS in (CREATE_CHILD_SA); never in IKE_AUTH (RFC 7296 1.2)
 *   esn      ESP: offer ESN before no-ESN; false: no-ESN alone
 */
void ike_put_sa_ike(struct ike_wr *c, const struct sl_conf_ike_proposal *conf, size_t n,
                    struct sl_bytes spi);
void ike_put_sa_esp(struct ike_wr *c, const struct sl_conf_esp_proposal *conf, size_t n,
                    struct sl_bytes spi, bool with_ke, bool esn);

/* The first proposal that can be used here; n: none can. */
size_t ike_first_ike(const struct sl_conf_ike_proposal *conf, size_t n);
size_t ike_first_esp(const struct sl_conf_esp_proposal *conf, size_t n); /* with its groups */
/* Does one of them have additional key exchanges? Then IKE_INTERMEDIATE is announced (RFC 9370 2.2). */
bool ike_offers_additional(const struct sl_conf_ike_proposal *conf, size_t n);

/* The additional key exchanges chosen, ADDKE1 to ADDKE7 (RFC 9370 2.2.2). */
struct ike_addke {
    enum sl_ke ke[SL_ADDKE_MAX]; /* SL_KE_NONE: none of that number */
    uint8_t has; /* bit i: the offer had transforms of its type, so the answer has */
};
/* The i-th that is to be done, in their order, from 0; SL_KE_NONE: there are no more. */
enum sl_ke ike_addke_get(const struct ike_addke *a, size_t i);
size_t ike_addke_n(const struct ike_addke *a);
/* "curve25519", "curve25519 with mlkem768 and ecp384"; returns out. */
#define IKE_KE_TEXT 128
const char *ike_ke_text(char out[IKE_KE_TEXT], enum sl_ke ke, const struct ike_addke *a);
/* May a connection with this configuration have settled on that? */
bool ike_addke_fits(const struct sl_conf_addke *conf, const struct ike_addke *a);

/* What both sides settled on. */
struct ike_choice {
    uint8_t number;   /* of the proposal, to be echoed */
    uint8_t protocol; /* IKE_PROTO_IKE or IKE_PROTO_ESP */
    struct sl_suite suite;
    enum sl_prf prf; /* IKE only */
    enum sl_ke ke;   /* ESP: SL_KE_NONE without PFS */
    bool has_ke;     /* ESP: the offer had transforms of type 4, so the answer has one */
    struct ike_addke add;
    bool has_integ;      /* the offer named integrity (NONE beside an AEAD), so the answer does */
    bool esn;            /* ESP only */
    struct sl_bytes spi; /* the peer's; borrowed from the payload */
    size_t ours;         /* index into conf */
};
/* The responder's answer: the chosen proposal alone, with the responder's own SPI. */
void ike_put_sa_choice(struct ike_wr *c, const struct ike_choice *choice, struct sl_bytes spi);

/* Whose order counts where several proposals fit. */
enum ike_prefer { IKE_PREFER_PEER = 0, IKE_PREFER_OURS };

/*
 * Responder: chooses among the peer's proposals one that equals one of ours.
 *
 * SL_IKE_NO_PROPOSAL: nothing in common; SL_WEAK_ALGORITHM: nothing in common because of algorithms
 * refused as weak. Either way the text names the peer's algorithms ("peer offers only 3DES with
 * MODP-1024; both are refused as too weak") and the answer on the wire is N(NO_PROPOSAL_CHOSEN).
 *
 * kind: a rekey of the IKE SA, whose proposals carry 8-byte SPIs (else none may), or the first
 * messages of a peer that does or does not know IKE_INTERMEDIATE, without which there can be no
 * additional key exchanges. ESP: with_ke as above; false ignores groups that the peer names in
 * IKE_AUTH. esn: ESN may be chosen.
 */
enum ike_offer_kind { IKE_OFFER_INIT, IKE_OFFER_INIT_INTERMEDIATE, IKE_OFFER_REKEY };
SL_MUST_USE enum sl_rc ike_sa_select_ike(struct ike_choice *out, const struct ike_sa *sa,
                                         const struct sl_conf_ike_proposal *conf, size_t n,
                                         enum ike_offer_kind kind, enum ike_prefer prefer,
                                         struct sl_err *err);
SL_MUST_USE enum sl_rc ike_sa_select_esp(struct ike_choice *out, const struct ike_sa *sa,
                                         const struct sl_conf_esp_proposal *conf, size_t n,
                                         bool with_ke, bool esn, enum ike_prefer prefer,
                                         struct sl_err *err);
/*
 * Initiator: the answer must be one proposal with one transform of each type, and must equal the
 * one we offered under its number. SL_IKE_NO_PROPOSAL says what differs.
 */
SL_MUST_USE enum sl_rc ike_sa_check_ike(struct ike_choice *out, const struct ike_sa *sa,
                                        const struct sl_conf_ike_proposal *conf, size_t n,
                                        enum ike_offer_kind kind, struct sl_err *err);
SL_MUST_USE enum sl_rc ike_sa_check_esp(struct ike_choice *out, const struct ike_sa *sa,
                                        const struct sl_conf_esp_proposal *conf, size_t n,
                                        bool with_ke, bool esn, struct sl_err *err);

/*
 * May the responder ask for this group by N(INVALID_KE_PAYLOAD)? True when one of our proposals has
 * it; the initiator must not be led to a group it did not offer (RFC 7296 1.2).
 */
bool ike_offers_ke_ike(const struct sl_conf_ike_proposal *conf, size_t n, uint16_t group);
bool ike_offers_ke_esp(const struct sl_conf_esp_proposal *conf, size_t n, uint16_t group);

/* "AES-GCM-16-128", "3DES", "PRF-HMAC-SHA2-256", "MODP-1024", "group 99": any number, known or not. */
const char *ike_transform_text(char out[IKE_TEXT], const struct ike_transform *t);
/* Known and refused: 3DES, SHA-1, MODP-1024 and the like. */
bool ike_transform_weak(const struct ike_transform *t);

#endif
