/*
 * Keys and hashes of IKEv1 (RFC 2409 5, 5.5 and appendix B; RFC 4109 3: prf is HMAC of the negotiated
 * hash; RFC 3947 3.2). All values are named as in RFC 2409; "_b" is a payload's body.
 */
#ifndef IKE_V1_KEYS_H
#define IKE_V1_KEYS_H

#include "src/ike/keys.h"
#include "src/ike/v1/codec.h"

#define V1_IV_LEN 16 /* AES-CBC */

/* {0} is empty. */
struct v1_keys {
    struct sl_secret skeyid;  /* HASH_I, HASH_R */
    struct sl_secret d, a, e; /* SKEYID_d: children; _a: HASH(n); _e: source of enc */
    struct sl_secret enc;     /* Ka, the AES key of all messages of the SA */
};
void v1_keys_clear(struct v1_keys *k);
void v1_keys_move(struct v1_keys *to, struct v1_keys *from);

/* Signatures: SKEYID = prf(Ni_b | Nr_b, g^xy). *out must be empty. */
SL_MUST_USE enum sl_rc v1_skeyid_sig(struct sl_secret *out, enum sl_prf prf, struct sl_bytes ni,
                                     struct sl_bytes nr, const struct sl_secret *shared,
                                     struct sl_err *err);
/*
 * All keys from SKEYID, which is taken (moved) on success. With pre-shared keys SKEYID =
 * prf(key, Ni_b | Nr_b) comes from the keyring. suite: AES-CBC. *out must be empty.
 */
SL_MUST_USE enum sl_rc v1_keys_derive(struct v1_keys *out, enum sl_prf prf,
                                      const struct sl_suite *suite, struct sl_secret *skeyid,
                                      const struct sl_secret *shared,
                                      const uint8_t cky_i[V1_COOKIE_LEN],
                                      const uint8_t cky_r[V1_COOKIE_LEN], struct sl_err *err);

/*
 * HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)
 * HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)
 * out receives sl_prf_len(prf) bytes. g^x: bodies of KE; sai: body of the initiator's SA as sent.
 */
struct v1_hash_in {
    struct sl_bytes gxi, gxr, sai;
    const uint8_t *cky_i, *cky_r;
};
SL_MUST_USE enum sl_rc v1_hash_i(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                                 const struct sl_secret *skeyid, const struct v1_hash_in *in,
                                 struct sl_bytes idii, struct sl_err *err);
SL_MUST_USE enum sl_rc v1_hash_r(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                                 const struct sl_secret *skeyid, const struct v1_hash_in *in,
                                 struct sl_bytes idir, struct sl_err *err);

/*
 * Quick mode, informational and transaction exchanges (RFC 2409 5.5, 5.7), with M-ID the message ID:
 *   HASH(1) = prf(SKEYID_a, M-ID | rest)               also of informational and transaction
 *   HASH(2) = prf(SKEYID_a, M-ID | Ni_b | rest)
 *   HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)
 * rest: the payloads behind HASH (v1_after_first).
 */
SL_MUST_USE enum sl_rc v1_hash_1(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                                 const struct sl_secret *skeyid_a, uint32_t mid,
                                 struct sl_bytes rest, struct sl_err *err);
SL_MUST_USE enum sl_rc v1_hash_2(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                                 const struct sl_secret *skeyid_a, uint32_t mid, struct sl_bytes ni,
                                 struct sl_bytes rest, struct sl_err *err);
SL_MUST_USE enum sl_rc v1_hash_3(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                                 const struct sl_secret *skeyid_a, uint32_t mid, struct sl_bytes ni,
                                 struct sl_bytes nr, struct sl_err *err);

/*
 * KEYMAT of an ESP pair (RFC 2409 5.5): prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b),
 * expanded, once for each direction's SPI. shared: NULL without PFS. spi_i, spi_r: chosen by the
 * initiator and the responder of quick mode (host order); i in the result is what the initiator sends.
 */
SL_MUST_USE enum sl_rc v1_child_keys_derive(struct ike_child_keys *out, enum sl_prf prf,
                                            const struct sl_secret *skeyid_d,
                                            const struct sl_suite *suite,
                                            const struct sl_secret *shared, uint32_t spi_i,
                                            uint32_t spi_r, struct sl_bytes ni, struct sl_bytes nr,
                                            struct sl_err *err);

/* ---- IVs (RFC 2409 appendix B) ------------------------------------------------------------------------ */
/* Of the first encrypted message of phase 1: hash(g^xi | g^xr), cut. */
SL_MUST_USE enum sl_rc v1_iv_phase1(uint8_t out[V1_IV_LEN], enum sl_prf prf, struct sl_bytes gxi,
                                    struct sl_bytes gxr, struct sl_err *err);
/* Of the first message of a later exchange: hash(last block of phase 1 | M-ID), cut. */
SL_MUST_USE enum sl_rc v1_iv_phase2(uint8_t out[V1_IV_LEN], enum sl_prf prf,
                                    const uint8_t last[V1_IV_LEN], uint32_t mid,
                                    struct sl_err *err);

/* ---- NAT detection (RFC 3947 3.2) ---------------------------------------------------------------------- */
/* hash(CKY-I | CKY-R | address | port), sl_prf_len(prf) bytes. */
SL_MUST_USE enum sl_rc v1_natd_hash(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                                    const uint8_t cky_i[V1_COOKIE_LEN],
                                    const uint8_t cky_r[V1_COOKIE_LEN], const struct sl_endpoint *e,
                                    struct sl_err *err);
/* Two NAT-D payloads: of the remote endpoint, then of the local one. type: v1_natd_type. */
SL_MUST_USE enum sl_rc v1_put_natd(struct ike_wr *c, uint8_t type, enum sl_prf prf,
                                   const uint8_t cky_i[V1_COOKIE_LEN],
                                   const uint8_t cky_r[V1_COOKIE_LEN],
                                   const struct sl_endpoint *local,
                                   const struct sl_endpoint *remote, struct sl_err *err);
/* As ike_natd_check: the first NAT-D is of our address as the peer sees it, the others of its own. */
bool v1_natd_check(const struct ike_payloads *list, enum sl_prf prf,
                   const uint8_t cky_i[V1_COOKIE_LEN], const uint8_t cky_r[V1_COOKIE_LEN],
                   const struct sl_endpoint *local, const struct sl_endpoint *remote,
                   bool *local_natted, bool *remote_natted) SL_MUST_USE;

#endif
