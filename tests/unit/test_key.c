/*
 * The key set: names, generation, import of every form, export, signing in every scheme, RSA key
 * transport with implicit rejection, pre-shared keys.
 */
#include "crypto_vectors.h"
#include "sealane/key.h"

#include <stdio.h>

static struct sl_err err;
static struct sl_keyset *ks;
static struct sl_key_ops ops;

static void open_set(void)
{
    ck_ok(sl_keyset_new(&ks, &err), &err);
    ops = sl_keyset_ops(ks);
}

static void close_set(void)
{
    sl_keyset_free(ks);
    ks = NULL;
}

static struct sl_bytes key_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "vectors/crypto/keys/%s", name);
    return sl_test_file(path);
}

START_TEST(generated_keys_sign_in_each_scheme_that_fits_and_no_other)
{
    const struct {
        const char *alg;
        enum sl_key_type type;
        uint16_t bits;
        unsigned schemes; /* a bit for each */
    } cases[] = {
        { "rsa:2048", SL_KEY_RSA, 2048, 0x187e },
        { "rsa:3072", SL_KEY_RSA, 3072, 0x187e },
        { "ecdsa:p256", SL_KEY_EC_P256, 256, 0x2380 },
        { "ecdsa:p384", SL_KEY_EC_P384, 384, 0x2380 },
        { "ecdsa:p521", SL_KEY_EC_P521, 521, 0x2380 },
        { "ed25519", SL_KEY_ED25519, 256, 0x400 },
    };
    struct sl_bytes data = sl_str("what is signed, of a hash's size"), digest; /* 32 bytes */
    uint8_t hash[64];
    open_set();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_bytes spki;
        uint16_t bits = 0;
        ck_ok(sl_keyset_generate(ks, "k", cases[i].alg, &err), &err);
        ck_ok(sl_keyset_spki(ks, "k", &spki, &err), &err);
        ck_assert_int_eq(sl_spki_type(spki, &bits), cases[i].type);
        ck_assert_uint_eq(bits, cases[i].bits);
        for (unsigned s = SL_SIG_NONE; s <= SL_SIG_COUNT; s++) {
            SL_AUTO_BUF out = { 0 };
            bool fits = cases[i].schemes >> s & 1;
            ck_assert(sl_buf_put_str(&out, "before"));
            ck_rc(ops.sign(ops.ctx, "k", (enum sl_sig)s, data, &out, &err),
                  fits                                    ? SL_OK
                  : s == SL_SIG_NONE || s == SL_SIG_COUNT ? SL_UNSUPPORTED
                                                          : SL_KEY_USE,
                  &err);
            if (!fits) {
                ck_bytes_eq(sl_buf_bytes(&out), sl_str("before"));
                continue;
            }
            ck_ok(sl_sig_verify((enum sl_sig)s, spki, data,
                                sl_bytes_slice(sl_buf_bytes(&out), 6, out.len), &err),
                  &err);
        }
        const enum sl_sig hashed[] = { SL_SIG_RSA_PKCS1_SHA256, SL_SIG_RSA_PSS_SHA384,
                                       SL_SIG_ECDSA_SHA512 };
        const unsigned hash_bits[] = { 256, 384, 512 };
        for (size_t h = 0; h < SL_ARRAY_LEN(hashed); h++) {
            SL_AUTO_BUF out = { 0 };
            bool fits = cases[i].schemes >> hashed[h] & 1;
            sl_sha2(hash_bits[h], data, hash);
            digest = sl_bytes(hash, hash_bits[h] / 8);
            ck_rc(ops.sign_digest(ops.ctx, "k", hashed[h], digest, &out, &err),
                  fits ? SL_OK : SL_KEY_USE, &err);
            if (!fits)
                continue;
            ck_ok(sl_sig_verify(hashed[h], spki, data, sl_buf_bytes(&out), &err), &err);
            digest.len--;
            ck_rc(ops.sign_digest(ops.ctx, "k", hashed[h], digest, &out, &err), SL_USAGE, &err);
        }
        if (cases[i].type == SL_KEY_ED25519) {
            SL_AUTO_BUF out = { 0 };
            ck_rc(ops.sign_digest(ops.ctx, "k", SL_SIG_ED25519, digest, &out, &err), SL_USAGE,
                  &err);
        }
        ck_ok(sl_keyset_remove(ks, "k", &err), &err);
    }
    close_set();
}
END_TEST

START_TEST(names_live_by_the_rules)
{
    struct sl_bytes spki, old;
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = '\0';
    const char *bad[] = { "", "A", "a b", "a/b", "\xc3\xa4", "a\n", longest };
    open_set();
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_rc(sl_keyset_generate(ks, bad[i], "ed25519", &err), SL_USAGE, &err);
    ck_ok(sl_keyset_generate(ks, longest + 1, "ed25519", &err), &err);
    ck_ok(sl_keyset_generate(ks, "ca-root.1_x", "ed25519", &err), &err);
    ck_rc(sl_keyset_generate(ks, "ca-root.1_x", "ed25519", &err), SL_EXISTS, &err);
    ck_rc(sl_keyset_import(ks, "ca-root.1_x", key_file("ed25519.pem"), &err), SL_EXISTS, &err);
    ck_rc(sl_keyset_generate(ks, "b", "rsa:1024", &err), SL_USAGE, &err);
    ck_assert_uint_eq(sl_keyset_count(ks), 2);
    ck_assert_str_eq(sl_keyset_name(ks, 1), "ca-root.1_x");
    ck_assert_ptr_null(sl_keyset_name(ks, 2));

    ck_ok(sl_keyset_spki(ks, "ca-root.1_x", &old, &err), &err);
    ck_rc(sl_keyset_rename(ks, "ca-root.1_x", "B", &err), SL_USAGE, &err);
    ck_rc(sl_keyset_rename(ks, "none", "b", &err), SL_KEY_NOT_FOUND, &err);
    ck_ok(sl_keyset_rename(ks, "ca-root.1_x", "ca-root.1_x", &err), &err);
    ck_ok(sl_keyset_rename(ks, "ca-root.1_x", longest + 1, &err), &err);
    ck_assert_uint_eq(sl_keyset_count(ks), 1);
    ck_ok(sl_keyset_spki(ks, longest + 1, &spki, &err), &err);
    ck_assert_ptr_eq(spki.p, old.p); /* the renamed one replaced the other */
    ck_rc(sl_keyset_spki(ks, "ca-root.1_x", &spki, &err), SL_KEY_NOT_FOUND, &err);
    ck_rc(sl_keyset_remove(ks, "ca-root.1_x", &err), SL_KEY_NOT_FOUND, &err);
    ck_ok(sl_keyset_remove(ks, longest + 1, &err), &err);
    ck_assert_uint_eq(sl_keyset_count(ks), 0);

    SL_AUTO_BUF out = { 0 };
    SL_AUTO_SECRET pem = { 0 };
    ck_rc(ops.sign(ops.ctx, "x", SL_SIG_ED25519, spki, &out, &err), SL_KEY_NOT_FOUND, &err);
    ck_rc(ops.decrypt(ops.ctx, "x", false, spki, &out, &err), SL_KEY_NOT_FOUND, &err);
    ck_rc(sl_keyset_export(ks, "x", &pem, &err), SL_KEY_NOT_FOUND, &err);
    close_set();
}
END_TEST

START_TEST(every_plain_form_of_a_key_is_imported_as_the_same_key)
{
    const struct {
        const char *first, *others[5];
    } cases[] = {
        { "rsa-pkcs8.pem", { "rsa-pkcs8.der", "rsa-traditional.pem", "rsa-traditional.der" } },
        { "ec-pkcs8.pem", { "ec-traditional-with-parameters.pem", "ec-traditional.der" } },
        { "ed25519.pem", { NULL } },
    };
    open_set();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_bytes want, spki;
        SL_AUTO_SECRET pem = { 0 };
        ck_ok(sl_keyset_import(ks, "a", key_file(cases[i].first), &err), &err);
        ck_ok(sl_keyset_spki(ks, "a", &want, &err), &err);
        for (size_t k = 0; cases[i].others[k]; k++) {
            ck_ok(sl_keyset_import(ks, "b", key_file(cases[i].others[k]), &err), &err);
            ck_ok(sl_keyset_spki(ks, "b", &spki, &err), &err);
            ck_bytes_eq(spki, want);
            ck_ok(sl_keyset_remove(ks, "b", &err), &err);
        }
        ck_ok(sl_keyset_export(ks, "a", &pem, &err), &err);
        ck_bytes_eq(sl_secret_bytes(&pem), key_file(cases[i].first)); /* byte for byte PKCS#8 PEM */
        ck_ok(sl_keyset_import(ks, "b", sl_secret_bytes(&pem), &err), &err);
        ck_ok(sl_keyset_remove(ks, "a", &err), &err);
        ck_ok(sl_keyset_remove(ks, "b", &err), &err);
    }
    close_set();
}
END_TEST

START_TEST(keys_that_must_not_be_used_are_refused_with_the_reason)
{
    const struct {
        const char *file;
        enum sl_rc rc;
        const char *says;
    } cases[] = {
        { "rsa-encrypted.pem", SL_UNSUPPORTED, "encrypted" },
        { "rsa-traditional-encrypted.pem", SL_UNSUPPORTED, "encrypted" },
        { "rsa-public.pem", SL_MALFORMED, "no private key" },
        { "rsa-1024.pem", SL_WEAK_ALGORITHM, "1024 bits" },
        { "ec-explicit.pem", SL_UNSUPPORTED, "named" },
        { "ec-secp256k1.pem", SL_UNSUPPORTED, "none of" },
        { "x25519.pem", SL_UNSUPPORTED, "none of" },
    };
    open_set();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        ck_rc(sl_keyset_import(ks, "k", key_file(cases[i].file), &err), cases[i].rc, &err);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].file, err.text);
        ck_assert_ptr_nonnull(strstr(err.text, "'k'"));
    }
    ck_rc(sl_keyset_import(ks, "k", sl_str("nonsense"), &err), SL_MALFORMED, &err);
    ck_rc(sl_keyset_import(ks, "k", sl_bytes(NULL, 0), &err), SL_MALFORMED, &err);
    SL_AUTO_BUF two = { 0 };
    ck_assert(sl_buf_put(&two, key_file("ed25519.pem")) &&
              sl_buf_put(&two, key_file("ec-pkcs8.pem")));
    ck_rc(sl_keyset_import(ks, "k", sl_buf_bytes(&two), &err), SL_MALFORMED, &err);
    ck_assert_uint_eq(sl_keyset_count(ks), 0);
    close_set();
}
END_TEST

START_TEST(truncated_or_longer_key_is_refused)
{
    const char *files[] = { "rsa-pkcs8.der", "rsa-traditional.der", "ec-traditional.der" };
    open_set();
    for (size_t i = 0; i < SL_ARRAY_LEN(files); i++) {
        struct sl_bytes der = key_file(files[i]);
        SL_AUTO_BUF longer = { 0 };
        for (size_t len = 0; len < der.len; len++)
            ck_rc(sl_keyset_import(ks, "k", sl_bytes(der.p, len), &err), SL_MALFORMED, &err);
        ck_assert(sl_buf_put(&longer, der) && sl_buf_put(&longer, sl_bytes("", 1)));
        ck_rc(sl_keyset_import(ks, "k", sl_buf_bytes(&longer), &err), SL_MALFORMED, &err);
    }
    close_set();
}
END_TEST

START_TEST(private_key_with_foreign_public_part_is_refused)
{
    /* RFC 5915: the public point is the last 64 bytes; the one of another key is put there */
    open_set();
    SL_AUTO_BUF mixed = { 0 };
    struct sl_bytes der = key_file("ec-traditional.der"), spki;
    ck_ok(sl_keyset_generate(ks, "other", "ecdsa:p256", &err), &err);
    ck_ok(sl_keyset_spki(ks, "other", &spki, &err), &err);
    ck_assert(sl_buf_put(&mixed, sl_bytes(der.p, der.len - 64)) &&
              sl_buf_put(&mixed, sl_bytes(spki.p + spki.len - 64, 64)));
    ck_rc(sl_keyset_import(ks, "k", sl_buf_bytes(&mixed), &err), SL_MALFORMED, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "belong together"));
    close_set();
}
END_TEST

static void check_transport_line(char *const *f)
{
    struct sl_bytes cipher = vector_hex(f[1]), want = vector_hex(f[2]);
    for (int round = 0; round < 2; round++) {
        SL_AUTO_BUF out = { 0 };
        ck_ok(ops.decrypt(ops.ctx, "rsa", strcmp(f[0], "oaep") == 0, cipher, &out, &err), &err);
        ck_bytes_eq(sl_buf_bytes(&out), want);
    }
}

START_TEST(wrong_padding_is_answered_like_libcrypto_3_2_does)
{
    open_set();
    ck_ok(sl_keyset_import(ks, "rsa", key_file("rsa-pkcs8.pem"), &err), &err);
    ck_assert_uint_eq(vector_each("vectors/crypto/transport.txt", 3, check_transport_line), 40);
    close_set();
}
END_TEST

static void check_oaep_damage(char *const *f)
{
    SL_AUTO_BUF out = { 0 }, again = { 0 };
    uint8_t cipher[256];
    if (strcmp(f[0], "oaep") != 0)
        return;
    memcpy(cipher, vector_hex(f[1]).p, sizeof(cipher));
    cipher[100] ^= 1;
    ck_ok(ops.decrypt(ops.ctx, "rsa", true, sl_bytes(cipher, 256), &out, &err), &err);
    ck_ok(ops.decrypt(ops.ctx, "rsa", true, sl_bytes(cipher, 256), &again, &err), &err);
    ck_assert(!sl_bytes_eq(sl_buf_bytes(&out), vector_hex(f[2])));
    ck_bytes_eq(sl_buf_bytes(&out), sl_buf_bytes(&again));
}

START_TEST(decrypt_fails_only_for_what_all_can_see)
{
    SL_AUTO_BUF out = { 0 };
    uint8_t cipher[257];
    open_set();
    ck_ok(sl_keyset_import(ks, "rsa", key_file("rsa-pkcs8.pem"), &err), &err);
    ck_ok(sl_keyset_import(ks, "ec", key_file("ec-pkcs8.pem"), &err), &err);
    vector_each("vectors/crypto/transport.txt", 3, check_oaep_damage);
    memset(cipher, 0xff, sizeof(cipher)); /* above the modulus */
    for (size_t len = 0; len <= sizeof(cipher); len++)
        ck_rc(ops.decrypt(ops.ctx, "rsa", false, sl_bytes(cipher, len), &out, &err), SL_MALFORMED,
              &err);
    ck_assert_uint_eq(out.len, 0);
    ck_rc(ops.decrypt(ops.ctx, "ec", false, sl_bytes(cipher, 256), &out, &err), SL_KEY_USE, &err);
    close_set();
}
END_TEST

START_TEST(psk_auth_is_that_of_the_prf_and_names_are_found)
{
    uint8_t got[SL_PRF_MAX], want[SL_PRF_MAX];
    open_set();
    ck_ok(sl_keyset_psk_set(ks, "branch", sl_str("first"), &err), &err);
    ck_ok(sl_keyset_psk_set(ks, "Other one", sl_str("other"), &err), &err);
    ck_ok(sl_keyset_psk_set(ks, "branch", sl_str("second"), &err), &err); /* replaces */
    ck_ok(sl_keyset_psk_auth(ks, "branch", SL_PRF_HMAC_SHA2_384, sl_str("octets"), got, &err),
          &err);
    ck_ok(sl_prf_psk_auth(SL_PRF_HMAC_SHA2_384, sl_str("second"), sl_str("octets"), want, &err),
          &err);
    ck_bytes_eq(sl_bytes(got, 48), sl_bytes(want, 48));
    ck_rc(sl_keyset_psk_auth(ks, "none", SL_PRF_HMAC_SHA2_256, sl_str(""), got, &err),
          SL_KEY_NOT_FOUND, &err);
    ck_rc(sl_keyset_psk_set(ks, "", sl_str("x"), &err), SL_USAGE, &err);
    ck_rc(sl_keyset_psk_set(ks, "a\n", sl_str("x"), &err), SL_USAGE, &err);
    ck_assert_int_ne(sl_keyset_psk_set(ks, "empty", sl_bytes(NULL, 0), &err), SL_OK);
    close_set();
}
END_TEST

START_TEST(psk_of_ikev1_gives_skeyid_and_hashes_but_never_what_proves_it_in_ikev2)
{
    uint8_t skeyid[SL_PRF_MAX], got[SL_PRF_MAX], want[SL_PRF_MAX];
    const struct sl_bytes nonces = sl_str("the nonces of both sides"), octets = sl_str("octets");
    const enum sl_prf prf = SL_PRF_HMAC_SHA2_256;
    open_set();
    ck_ok(sl_keyset_psk_set(ks, "branch", sl_str("secret"), &err), &err);
    ck_ok(sl_keyset_psk_v1(ks, "branch", prf, nonces, sl_bytes(NULL, 0), skeyid, &err), &err);
    ck_ok(sl_prf_run(prf, sl_str("secret"), &nonces, 1, want, &err), &err);
    ck_bytes_eq(sl_bytes(skeyid, 32), sl_bytes(want, 32));
    ck_ok(sl_keyset_psk_v1(ks, "branch", prf, nonces, octets, got, &err), &err);
    ck_ok(sl_prf_run(prf, sl_bytes(skeyid, 32), &octets, 1, want, &err), &err);
    ck_bytes_eq(sl_bytes(got, 32), sl_bytes(want, 32));
    ck_rc(sl_keyset_psk_v1(ks, "branch", prf, sl_str(SL_PSK_PAD), sl_bytes(NULL, 0), got, &err),
          SL_KEY_USE, &err);
    ck_rc(sl_keyset_psk_v1(ks, "branch", prf, sl_bytes(NULL, 0), octets, got, &err), SL_USAGE,
          &err);
    ck_rc(sl_keyset_psk_v1(ks, "none", prf, nonces, octets, got, &err), SL_KEY_NOT_FOUND, &err);
    close_set();
}
END_TEST

SL_TESTS(key, SL_CASE(psk_of_ikev1_gives_skeyid_and_hashes_but_never_what_proves_it_in_ikev2),
         SL_CASE(generated_keys_sign_in_each_scheme_that_fits_and_no_other),
         SL_CASE(names_live_by_the_rules),
         SL_CASE(every_plain_form_of_a_key_is_imported_as_the_same_key),
         SL_CASE(keys_that_must_not_be_used_are_refused_with_the_reason),
         SL_CASE(truncated_or_longer_key_is_refused),
         SL_CASE(private_key_with_foreign_public_part_is_refused),
         SL_CASE(wrong_padding_is_answered_like_libcrypto_3_2_does),
         SL_CASE(decrypt_fails_only_for_what_all_can_see),
         SL_CASE(psk_auth_is_that_of_the_prf_and_names_are_found))
