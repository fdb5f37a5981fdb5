/*
 * The rows behind struct sl_suite, shared by suite.c and cipher.c.
 */
#ifndef CRYPTO_SUITE_H
#define CRYPTO_SUITE_H

#include "sealane/crypto.h"

#define SUITE_TAG_LEN   16 /* of every AEAD here: RFC 4106 6, RFC 7634 2 */
#define SUITE_NONCE_LEN 12 /* salt and wire IV: RFC 4106 4, RFC 7634 2 */

struct suite_encr {
    enum sl_encr id;
    uint16_t key_bits;
    const char *text;
    const char *evp; /* name to fetch; NULL for the null cipher */
    uint8_t key_len, salt_len, iv_len, block_len;
};

struct suite_integ {
    enum sl_integ id;
    const char *text;
    const char *digest;
    uint8_t key_len, icv_len; /* RFC 4868 2.1.1, 2.3: key as long as the hash, half of it sent */
};

/* NULL when there is no such row. */
const struct suite_encr *suite_encr(const struct sl_suite *s);
const struct suite_integ *suite_integ(const struct sl_suite *s);
/* A cipher can be made of it: as sl_suite_supported, and also the null cipher with a MAC. */
bool suite_known(const struct sl_suite *s);

#endif
