/*
 * ML-KEM as a key exchange. Where libcrypto lacks it (before OpenSSL 3.5), what is left to test is
 * that this is said, and the rest is skipped, which is printed.
 */
#include "sealane/crypto.h"
#include "sealane/ike.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_err err;
static const struct {
    enum sl_ke id;
    size_t public_len, cipher_len;
} kems[] = {
    { SL_KE_MLKEM512, 800, 768 },
    { SL_KE_MLKEM768, 1184, 1088 },
    { SL_KE_MLKEM1024, 1568, 1568 },
};

static bool here(void)
{
    if (sl_ke_supported(SL_KE_MLKEM768))
        return true;
    printf("skipped: this libcrypto has no ML-KEM (OpenSSL 3.5 has)\n");
    return false;
}

START_TEST(kem_where_libcrypto_lacks_it_is_refused_by_name)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(kems); i++) {
        SL_AUTO(sl_kex) *k = NULL;
        SL_AUTO_SECRET s = { 0 };
        ck_assert(sl_ke_is_kem(kems[i].id) && !sl_ke_is_kem(SL_KE_CURVE25519));
        ck_assert_uint_eq(sl_ke_public_len(kems[i].id), kems[i].public_len);
        if (sl_ke_supported(kems[i].id))
            continue;
        ck_rc(sl_kex_new(&k, kems[i].id, &err), SL_UNSUPPORTED, &err);
        ck_assert_ptr_nonnull(strstr(err.text, "libcrypto lacks mlkem"));
        ck_rc(sl_kex_respond(&k, kems[i].id, sl_bytes(NULL, 0), &s, &err), SL_UNSUPPORTED, &err);
    }
}
END_TEST

START_TEST(both_sides_of_a_kem_have_the_same_secret)
{
    for (size_t i = 0; here() && i < SL_ARRAY_LEN(kems); i++) {
        struct sl_ke_job *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
        ck_assert(a && b);
        a->group = b->group = kems[i].id;
        sl_ke_job_run(a);
        ck_ok(a->rc, &a->err);
        ck_assert_uint_eq(sl_kex_public(a->kex).len, kems[i].public_len);
        ck_assert(sl_buf_put(&b->peer_public, sl_kex_public(a->kex)));
        sl_ke_job_run(b);
        ck_ok(b->rc, &b->err);
        ck_assert_uint_eq(sl_kex_public(b->kex).len, kems[i].cipher_len);
        ck_assert(sl_buf_put(&a->peer_public, sl_kex_public(b->kex)));
        sl_ke_job_run(a);
        ck_ok(a->rc, &a->err);
        ck_assert_uint_eq(a->shared.len, 32);
        ck_assert(sl_secret_equal(&a->shared, &b->shared));
        sl_ke_job_free(a);
        sl_ke_job_free(b);
    }
}
END_TEST

START_TEST(values_of_a_kem_that_are_wrong_are_refused_or_give_another_secret)
{
    for (size_t i = 0; here() && i < SL_ARRAY_LEN(kems); i++) {
        SL_AUTO(sl_kex) *a = NULL, *b = NULL, *c = NULL;
        SL_AUTO_SECRET sa = { 0 }, sb = { 0 }, sc = { 0 };
        uint8_t value[1568];
        ck_ok(sl_kex_new(&a, kems[i].id, &err), &err);
        memcpy(value, sl_kex_public(a).p, kems[i].public_len);
        ck_rc(sl_kex_respond(&c, kems[i].id, sl_bytes(value, kems[i].public_len - 1), &sc, &err),
              SL_MALFORMED, &err);
        memset(value, 0xff, 3); /* two coefficients of 4095: not below q (FIPS 203 7.2) */
        ck_rc(sl_kex_respond(&c, kems[i].id, sl_bytes(value, kems[i].public_len), &sc, &err),
              SL_CRYPTO, &err);
        ck_ok(sl_kex_respond(&b, kems[i].id, sl_kex_public(a), &sb, &err), &err);
        memcpy(value, sl_kex_public(b).p, kems[i].cipher_len);
        ck_rc(sl_kex_derive(a, sl_bytes(value, kems[i].cipher_len - 1), &sa, &err), SL_MALFORMED,
              &err);
        ck_rc(sl_kex_derive(b, sl_bytes(value, kems[i].cipher_len), &sa, &err), SL_USAGE, &err);
        value[5] ^= 1;
        ck_ok(sl_kex_derive(a, sl_bytes(value, kems[i].cipher_len), &sa, &err), &err);
        ck_assert(!sl_secret_equal(&sa, &sb));
    }
}
END_TEST

START_TEST(responding_with_a_group_is_generating_and_deriving)
{
    SL_AUTO(sl_kex) *a = NULL, *b = NULL;
    SL_AUTO_SECRET sa = { 0 }, sb = { 0 };
    ck_ok(sl_kex_new(&a, SL_KE_ECP384, &err), &err);
    ck_ok(sl_kex_respond(&b, SL_KE_ECP384, sl_kex_public(a), &sb, &err), &err);
    ck_ok(sl_kex_derive(a, sl_kex_public(b), &sa, &err), &err);
    ck_assert(sl_secret_equal(&sa, &sb));
}
END_TEST

SL_TESTS(crypto_kem, SL_CASE(kem_where_libcrypto_lacks_it_is_refused_by_name),
         SL_CASE(both_sides_of_a_kem_have_the_same_secret),
         SL_CASE(values_of_a_kem_that_are_wrong_are_refused_or_give_another_secret),
         SL_CASE(responding_with_a_group_is_generating_and_deriving))
