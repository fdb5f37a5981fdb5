/*
 * Signatures made by python3-cryptography and by RFC 8032; key types; damaged keys, signatures and
 * data.
 */
#include "crypto_vectors.h"
#include "sealane/crypto.h"
#include "src/crypto/sig.h"

#include <openssl/x509.h>

static struct sl_err err;

static enum sl_sig sig_named(const char *name)
{
    for (int i = SL_SIG_NONE + 1; i < SL_SIG_COUNT; i++)
        if (strcmp(sl_sig_text((enum sl_sig)i), name) == 0)
            return (enum sl_sig)i;
    ck_abort_msg("no scheme is named %s", name);
}

static void check_line(char *const *f)
{
    enum sl_rc want = sl_rc_from_name(f[0]);
    enum sl_sig sig = sig_named(f[1]);
    struct sl_bytes spki = vector_hex(f[2]), data = vector_hex(f[3]), s = vector_hex(f[4]);
    ck_rc(sl_sig_verify(sig, spki, data, s, &err), want, &err);
    if (want != SL_OK)
        return;
    for (int i = SL_SIG_NONE; i <= SL_SIG_COUNT; i++)
        if (i != (int)sig)
            ck_assert_int_ne(sl_sig_verify((enum sl_sig)i, spki, data, s, &err), SL_OK);
    uint8_t bad[600];
    memcpy(bad, s.p, s.len);
    for (size_t i = 0; i < s.len; i += 1 + s.len / 40) {
        bad[i] ^= 0x10;
        ck_rc(sl_sig_verify(sig, spki, data, sl_bytes(bad, s.len), &err), SL_CRYPTO, &err);
        bad[i] ^= 0x10;
    }
    bad[s.len] = 0;
    ck_rc(sl_sig_verify(sig, spki, data, sl_bytes(bad, s.len + 1), &err), SL_CRYPTO, &err);
    ck_rc(sl_sig_verify(sig, spki, data, sl_bytes(bad, s.len - 1), &err), SL_CRYPTO, &err);
    ck_rc(sl_sig_verify(sig, spki, data, sl_bytes(bad, 0), &err), SL_CRYPTO, &err);
    ck_rc(sl_sig_verify(sig, spki, sl_str("other data"), s, &err), SL_CRYPTO, &err);
}

START_TEST(signatures_of_an_independent_library_verify_and_changed_ones_do_not)
{
    ck_assert_uint_eq(vector_each("vectors/crypto/sigs.txt", 5, check_line), 35);
}
END_TEST

START_TEST(ed25519_verifies_rfc8032_test_3)
{
    struct sl_bytes spki =
        sl_test_hex("302a300506032b6570032100"
                    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    struct sl_bytes s =
        sl_test_hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    ck_ok(sl_sig_verify(SL_SIG_ED25519, spki, sl_test_hex("af82"), s, &err), &err);
    ck_rc(sl_sig_verify(SL_SIG_ED25519, spki, sl_test_hex("af83"), s, &err), SL_CRYPTO, &err);
}
END_TEST

static void check_spki_line(char *const *f)
{
    struct sl_bytes spki = vector_hex(f[2]), s = vector_hex(f[4]);
    uint8_t copy[1024];
    uint16_t bits = 1;
    ck_assert_uint_lt(spki.len, sizeof(copy));
    memcpy(copy, spki.p, spki.len);
    copy[spki.len] = 0;
    for (size_t len = 0; len <= spki.len + 1; len++) {
        if (len == spki.len)
            continue;
        ck_assert_int_eq(sl_spki_type(sl_bytes(copy, len), &bits), SL_KEY_NONE);
        ck_assert_uint_eq(bits, 0);
        ck_rc(sl_sig_verify(sig_named(f[1]), sl_bytes(copy, len), sl_str("x"), s, &err),
              SL_MALFORMED, &err);
    }
}

START_TEST(truncated_or_longer_public_key_is_malformed)
{
    vector_each("vectors/crypto/sigs.txt", 5, check_spki_line);
}
END_TEST

START_TEST(key_algorithms_parse_as_documented)
{
    const struct {
        const char *alg;
        enum sl_key_type type;
        uint16_t bits;
    } good[] = { { "rsa:2048", SL_KEY_RSA, 2048 },      { "rsa:3072", SL_KEY_RSA, 3072 },
                 { "rsa:4096", SL_KEY_RSA, 4096 },      { "ecdsa:p256", SL_KEY_EC_P256, 256 },
                 { "ecdsa:p384", SL_KEY_EC_P384, 384 }, { "ecdsa:p521", SL_KEY_EC_P521, 521 },
                 { "ed25519", SL_KEY_ED25519, 256 } };
    const char *bad[] = { "",          "rsa",        "rsa:",      "rsa:1024",  "rsa:2047",
                          "rsa:4104",  "rsa:8192",   "rsa:02048", "rsa:2048 ", "rsa:-204",
                          "rsa:+204",  "rsa: 204",   "RSA:2048",  "rsa:20480", "ecdsa",
                          "ecdsa:",    "ecdsa:p224", "p256",      "ed25519 ",  "ed448",
                          "rsa:0x80a", "rsa:2050" };
    enum sl_key_type type;
    uint16_t bits;
    for (size_t i = 0; i < SL_ARRAY_LEN(good); i++) {
        ck_assert(sl_key_alg_parse(&type, &bits, good[i].alg));
        ck_assert_int_eq(type, good[i].type);
        ck_assert_uint_eq(bits, good[i].bits);
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!sl_key_alg_parse(&type, &bits, bad[i]), "%s", bad[i]);
}
END_TEST

/* libcrypto's own algorithm identifiers, so that the tables in sig.c are not their only witness */
START_TEST(algorithm_identifiers_are_those_of_libcrypto)
{
    for (int i = SL_SIG_NONE + 1; i < SL_SIG_COUNT; i++) {
        const struct sig_scheme *s = sig_scheme((enum sl_sig)i);
        if (sig_is_raw(s)) { /* no certificate or message names these */
            ck_assert_uint_eq(s->algorithm.len, 0);
            continue;
        }
        const unsigned char *p = s->algorithm.p;
        X509_ALGOR *alg = d2i_X509_ALGOR(NULL, &p, (long)s->algorithm.len);
        ck_assert_ptr_nonnull(alg);
        ck_assert_ptr_eq(p, s->algorithm.p + s->algorithm.len);
        const ASN1_OBJECT *oid;
        X509_ALGOR_get0(&oid, NULL, NULL, alg);
        int digest = 0, key = 0;
        ck_assert_int_eq(OBJ_find_sigid_algs(OBJ_obj2nid(oid), &digest, &key), 1);
        if (s->family == SIG_RSA_PKCS1 || s->family == SIG_ECDSA)
            ck_assert_int_eq(digest, EVP_MD_get_type(EVP_get_digestbyname(OBJ_nid2sn(digest))));
        ck_assert_int_eq(key, s->family == SIG_EDDSA     ? NID_ED25519
                              : s->family == SIG_ECDSA   ? NID_X9_62_id_ecPublicKey
                              : s->family == SIG_RSA_PSS ? NID_rsassaPss
                                                         : NID_rsaEncryption);
        X509_ALGOR_free(alg);
    }
}
END_TEST

START_TEST(schemes_are_found_by_any_name_of_their_digest)
{
    ck_assert_int_eq(sig_find(SIG_RSA_PKCS1, "SHA256")->id, SL_SIG_RSA_PKCS1_SHA256);
    ck_assert_int_eq(sig_find(SIG_RSA_PSS, "SHA2-384")->id, SL_SIG_RSA_PSS_SHA384);
    ck_assert_int_eq(sig_find(SIG_ECDSA, "sha512")->id, SL_SIG_ECDSA_SHA512);
    ck_assert_int_eq(sig_find(SIG_EDDSA, NULL)->id, SL_SIG_ED25519);
    ck_assert_ptr_null(sig_find(SIG_ECDSA, "SHA1"));
    ck_assert_ptr_null(sig_find(SIG_RSA_PKCS1, "MD5"));
    ck_assert_ptr_null(sig_find(SIG_RSA_PKCS1, NULL));
}
END_TEST

SL_TESTS(crypto_sig, SL_CASE(signatures_of_an_independent_library_verify_and_changed_ones_do_not),
         SL_CASE(ed25519_verifies_rfc8032_test_3),
         SL_CASE(truncated_or_longer_public_key_is_malformed),
         SL_CASE(key_algorithms_parse_as_documented),
         SL_CASE(algorithm_identifiers_are_those_of_libcrypto),
         SL_CASE(schemes_are_found_by_any_name_of_their_digest))
