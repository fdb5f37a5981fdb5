/*
 * The numbers of IKEv1's transforms (RFC 2409 appendix A, RFC 2407 4.4.4, 4.5, RFC 4868, RFC 4106,
 * RFC 4304), one transform's terms in plain form, and their names in refusals. Used by proposal.c.
 */
#ifndef IKE_V1_NUMBERS_H
#define IKE_V1_NUMBERS_H

#include "src/ike/v1/proposal.h"

#define V1_ENCR_AES_CBC 7 /* phase 1; in ESP its number is that of IKEv2 */

/* One transform's attributes. 0: not named. */
struct v1_terms {
    uint64_t encr; /* phase 1: attribute 1; ESP: the transform's ID */
    uint64_t key_bits;
    uint64_t hash; /* phase 1: hash; ESP: authentication algorithm */
    uint64_t group;
    uint16_t auth;  /* phase 1 */
    uint16_t encap; /* ESP */
    bool esn;       /* ESP */
    uint64_t life_s, life_kb;
    bool
        unknown; /* an attribute that is not known, given twice, or with an odd value: never chosen */
};

/* May an entry be used by IKEv1 at all? */
bool v1_ike_usable(const struct sl_conf_ike_proposal *conf);
bool v1_esp_usable(const struct sl_conf_esp_proposal *conf);
uint64_t v1_hash_of(enum sl_prf prf);               /* phase 1 hash number; 0: none */
uint64_t v1_esp_id(const struct sl_suite *suite);   /* transform ID; 0: none */
uint64_t v1_esp_auth(const struct sl_suite *suite); /* authentication algorithm; 0 for an AEAD */

struct v1_terms v1_terms_of_ike(const struct sl_conf_ike_proposal *conf, uint16_t auth,
                                uint32_t life_s);
struct v1_terms v1_terms_of_esp(const struct sl_conf_esp_proposal *conf, bool esn, uint16_t encap,
                                uint32_t life_s, uint32_t life_kb);
void v1_terms_write_ike(struct sl_wr *w, const struct v1_terms *t);
void v1_terms_write_esp(struct sl_wr *w, const struct v1_terms *t);
void v1_terms_read_ike(struct v1_terms *t, struct sl_bytes attrs);
void v1_terms_read_esp(struct v1_terms *t, const struct v1_transform *transform);

/* "3DES HMAC-SHA1 MODP-1024 RSA signature" */
#define V1_TERMS_TEXT 256
const char *v1_terms_text(char out[V1_TERMS_TEXT], const struct v1_terms *t, bool phase1);

/* Why nothing fits; the code is never SL_OK. */
enum sl_rc v1_refuse_conf_ike(const struct sl_conf_ike_proposal *conf, size_t n, size_t auth_n,
                              struct sl_err *err);
enum sl_rc v1_refuse_ike(const struct v1_sa *sa, const struct sl_conf_ike_proposal *conf, size_t n,
                         const uint16_t *auth, size_t auth_n, struct sl_err *err);
enum sl_rc v1_refuse_esp(const struct v1_sa *sa, const struct sl_conf_esp_proposal *conf, size_t n,
                         bool udp, struct sl_err *err);

#endif
