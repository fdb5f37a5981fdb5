/* The exchanges of tests/vectors/ikev2 for unit tests: messages in order, keys by name. */
#ifndef TEST_IKE_VECTORS_H
#define TEST_IKE_VECTORS_H

#include "src/ike/codec.h"
#include "src/ike/keys.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

#define VEC_ITEMS 128
struct vec {
    struct {
        char name[24];
        struct sl_bytes value;
    } item[VEC_ITEMS]; /* "msg i" and "msg r" for messages */
    size_t n;
};

static inline void vec_load(struct vec *v, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "vectors/ikev2/%s.txt", name);
    const char *text = (const char *)sl_test_file(path).p;
    v->n = 0;
    while (*text) {
        const char *end = strchr(text, '\n');
        ck_assert_ptr_nonnull(end);
        char line[8192];
        ck_assert_uint_lt((size_t)(end - text), sizeof(line));
        memcpy(line, text, (size_t)(end - text));
        line[end - text] = 0;
        char *hex = strrchr(line, ' ');
        ck_assert_ptr_nonnull(hex);
        *hex++ = 0;
        ck_assert_uint_lt(v->n, VEC_ITEMS);
        ck_assert_uint_lt(strlen(line), sizeof(v->item[0].name));
        strcpy(v->item[v->n].name, line);
        v->item[v->n++].value = sl_test_hex(hex);
        text = end + 1;
    }
}

static inline bool vec_has(const struct vec *v, const char *name)
{
    for (size_t i = 0; i < v->n; i++)
        if (strcmp(v->item[i].name, name) == 0)
            return true;
    return false;
}

static inline struct sl_bytes vec_get(const struct vec *v, const char *name)
{
    for (size_t i = 0; i < v->n; i++)
        if (strcmp(v->item[i].name, name) == 0)
            return v->item[i].value;
    ck_abort_msg("vector has no %s", name);
    return (struct sl_bytes){ 0 };
}

/* The k-th message, from 0; false after the last. */
static inline bool vec_msg(const struct vec *v, size_t k, struct sl_bytes *msg,
                           bool *from_initiator)
{
    for (size_t i = 0; i < v->n; i++) {
        if (strncmp(v->item[i].name, "msg ", 4) != 0 || k-- > 0)
            continue;
        *msg = v->item[i].value;
        *from_initiator = v->item[i].name[4] == 'i';
        return true;
    }
    return false;
}

static inline struct sl_secret vec_secret(const struct vec *v, const char *name)
{
    struct sl_secret s = { 0 };
    struct sl_err err = { 0 };
    ck_ok(sl_secret_copy(&s, vec_get(v, name), &err), &err);
    return s;
}

/* The algorithms of each file, as its SOURCE says. */
struct vec_exchange {
    const char *name;
    enum sl_prf prf;
    struct sl_suite suite, child;
    enum sl_ke ke;
    bool pfs;
};
static const struct vec_exchange vec_exchanges[] = {
    { "gcm-ecdsa",
      SL_PRF_HMAC_SHA2_256,
      { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
      { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
      SL_KE_CURVE25519,
      true },
    { "cbc-rsa-fragments",
      SL_PRF_HMAC_SHA2_384,
      { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_384_192 },
      { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 },
      SL_KE_MODP3072,
      false },
    { "chacha-psk",
      SL_PRF_HMAC_SHA2_512,
      { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
      { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
      SL_KE_ECP384,
      true },
};

#endif
