/*
 * Key derivation and keyed values of IKEv2: SKEYSEED and the SK_ keys (RFC 7296 2.14, 2.18), KEYMAT
 * for child SAs (2.17), signed octets (2.15), NAT detection hashes (2.23), cookies (2.6).
 */
#ifndef IKE_KEYS_H
#define IKE_KEYS_H

#include "src/ike/codec.h"

#include "sealane/crypto.h"
#include "sealane/net.h"
#include "sealane/rng.h"
#include "sealane/time.h"

/* ---- keys of the IKE SA ----------------------------------------------------------------------- */
/* {0} is empty. i: sent by the original initiator, r: by the responder. */
struct ike_keys {
    struct sl_secret d;      /* derives child SAs and the next IKE SA */
    struct sl_secret ai, ar; /* integrity of SK payloads; empty with an AEAD */
    struct sl_secret ei, er; /* encryption of SK payloads; with the salt of an AEAD */
    struct sl_secret pi, pr; /* AUTH */
};
void ike_keys_clear(struct ike_keys *k);
void ike_keys_move(struct ike_keys *to, struct ike_keys *from); /* what *to held is wiped */

/*
 * SKEYSEED = prf(Ni | Nr, g^ir), then prf+(SKEYSEED, Ni | Nr | SPIi | SPIr) cut into the seven keys.
 * *out must be empty. Nonces are the bodies of the Nonce payloads.
 */
SL_MUST_USE enum sl_rc ike_keys_derive(struct ike_keys *out, enum sl_prf prf,
                                       const struct sl_suite *suite, struct sl_bytes ni,
                                       struct sl_bytes nr, const uint8_t spi_i[IKE_SPI_LEN],
                                       const uint8_t spi_r[IKE_SPI_LEN],
                                       const struct sl_secret *shared, struct sl_err *err);
/*
 * After a rekey of the IKE SA: SKEYSEED = prf(SK_d of the old SA, g^ir | Ni | Nr) with the old SA's
 * prf; the rest as above with the new prf and suite. i and r are now the rekey's initiator and
 * responder, whose SPIs, nonces and roles the new SA keeps (RFC 7296 2.18).
 *
 * more: SK(1) | SK(2) ... of additional key exchanges, which come after Nr (RFC 9370 2.2.4); NULL:
 * none.
 */
SL_MUST_USE enum sl_rc ike_keys_rekey(struct ike_keys *out, enum sl_prf old_prf,
                                      const struct sl_secret *old_d, enum sl_prf prf,
                                      const struct sl_suite *suite, struct sl_bytes ni,
                                      struct sl_bytes nr, const uint8_t spi_i[IKE_SPI_LEN],
                                      const uint8_t spi_r[IKE_SPI_LEN],
                                      const struct sl_secret *shared, const struct sl_secret *more,
                                      struct sl_err *err);

/* ---- keys of a child SA ------------------------------------------------------------------------ */
/* i: for packets sent by the initiator of the exchange that made the child. */
struct ike_child_keys {
    struct sl_secret encr_i, integ_i, encr_r, integ_r; /* integ empty with an AEAD */
};
void ike_child_keys_clear(struct ike_child_keys *k);
/*
 * KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr [| SK(1) | SK(2) ...]). shared, more: NULL without PFS. Nonces: of IKE_SA_INIT for the
 * first child, of CREATE_CHILD_SA for others. *out must be empty.
 */
SL_MUST_USE enum sl_rc ike_child_keys_derive(struct ike_child_keys *out, enum sl_prf prf,
                                             const struct sl_secret *sk_d,
                                             const struct sl_suite *suite,
                                             const struct sl_secret *shared, struct sl_bytes ni,
                                             struct sl_bytes nr, const struct sl_secret *more,
                                             struct sl_err *err);

/* ---- AUTH --------------------------------------------------------------------------------------- */
/*
 * What the AUTH payload of one side covers: message | nonce | prf(sk_p, id), appended to *out.
 *
 *   message  that side's IKE_SA_INIT message as it went out, from the first byte of the header
 *            (the last one sent, where a cookie or another group was asked for)
 *   nonce    the OTHER side's nonce
 *   sk_p     SK_pi for the initiator's AUTH, SK_pr for the responder's
 *   id       body of that side's ID payload (type, RESERVED, data)
 */
SL_MUST_USE enum sl_rc ike_signed_octets(struct sl_buf *out, enum sl_prf prf,
                                         struct sl_bytes message, struct sl_bytes nonce,
                                         const struct sl_secret *sk_p, struct sl_bytes id,
                                         struct sl_err *err);

/* ---- NAT detection -------------------------------------------------------------------------------- */
#define IKE_NATD_LEN 20
/* SHA-1(SPIi | SPIr | address | port): data of N(NAT_DETECTION_*_IP). Not a security function. */
void ike_natd_hash(uint8_t out[IKE_NATD_LEN], const uint8_t spi_i[IKE_SPI_LEN],
                   const uint8_t spi_r[IKE_SPI_LEN], const struct sl_endpoint *e);
/*
 * What the peer's NAT detection notifies say, from our view of the packet: *local_natted when no
 * DESTINATION hash is that of local, *remote_natted when no SOURCE hash (there may be several) is
 * that of remote. False when the peer sent none of one kind: it does not support NAT traversal.
 */
bool ike_natd_check(const struct ike_payloads *list, const uint8_t spi_i[IKE_SPI_LEN],
                    const uint8_t spi_r[IKE_SPI_LEN], const struct sl_endpoint *local,
                    const struct sl_endpoint *remote, bool *local_natted,
                    bool *remote_natted) SL_MUST_USE;

/* ---- cookies ----------------------------------------------------------------------------------------- */
#define IKE_COOKIE_LEN        33 /* version (1), SHA-256 (32) */
#define IKE_COOKIE_SECRET_LEN 32
/* The responder's secrets; the one before the current one is still honoured. Never leaves memory. */
struct ike_cookie {
    uint8_t secret[2][IKE_COOKIE_SECRET_LEN]; /* [version & 1] */
    uint8_t version;
    bool has_old;
    int64_t rotate_ns; /* core time of the next change */
};
#define IKE_COOKIE_ROTATE_NS (60 * SL_NS_PER_S)
void ike_cookie_init(struct ike_cookie *k, const struct sl_rng *rng, int64_t now_ns);
/* Call before use; changes the secret when its time has come. A secret out of use for a period is dropped. */
void ike_cookie_tick(struct ike_cookie *k, const struct sl_rng *rng, int64_t now_ns);
/* version | SHA-256(Ni | address | port | SPIi | secret). Allocates nothing. nonce: 16..256 bytes. */
void ike_cookie_make(uint8_t out[IKE_COOKIE_LEN], const struct ike_cookie *k, struct sl_bytes ni,
                     const struct sl_endpoint *from, const uint8_t spi_i[IKE_SPI_LEN]);
bool ike_cookie_check(const struct ike_cookie *k, struct sl_bytes cookie, struct sl_bytes ni,
                      const struct sl_endpoint *from, const uint8_t spi_i[IKE_SPI_LEN]) SL_MUST_USE;
void ike_cookie_clear(struct ike_cookie *k);

#endif
