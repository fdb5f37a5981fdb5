/*
 * PRF, prf+ and the PSK AUTH value against RFC 4231 and python3-cryptography; SHA-2 against
 * FIPS 180-4's examples.
 */
#include "crypto_vectors.h"
#include "sealane/crypto.h"

static struct sl_err err;

static const struct {
    const char *name;
    enum sl_prf prf;
} prfs[] = { { "sha256", SL_PRF_HMAC_SHA2_256 },
             { "sha384", SL_PRF_HMAC_SHA2_384 },
             { "sha512", SL_PRF_HMAC_SHA2_512 } };

static enum sl_prf prf_named(const char *name)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(prfs); i++)
        if (strcmp(prfs[i].name, name) == 0)
            return prfs[i].prf;
    ck_abort_msg("no PRF is named %s", name);
}

static struct sl_bytes repeat(uint8_t byte, size_t n)
{
    static uint8_t room[3][256];
    static unsigned turn;
    uint8_t *p = room[turn++ % 3];
    ck_assert_uint_le(n, sizeof(room[0]));
    memset(p, byte, n);
    return sl_bytes(p, n);
}

START_TEST(prf_gives_rfc4231_cases)
{
    const char *big_key = "Test Using Larger Than Block-Size Key - Hash Key First";
    const char *big = "This is a test using a larger than block-size key and a larger than "
                      "block-size data. The key needs to be hashed before being used by the HMAC "
                      "algorithm.";
    const struct {
        struct sl_bytes key, data;
        const char *out[3];
    } cases[] = {
        { repeat(0x0b, 20),
          sl_str("Hi There"),
          { "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
            "faea9ea9076ede7f4af152e8b2fa9cb6",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
            "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" } },
        { sl_str("Jefe"),
          sl_str("what do ya want for nothing?"),
          { "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
            "8e2240ca5e69e2c78b3239ecfab21649",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" } },
        { sl_test_hex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
          repeat(0xcd, 50),
          { "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e"
            "6801dd23c4a7d679ccf8a386c674cffb",
            "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
            "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd" } },
    };
    const char *hashed_key[] = {
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
        "0c2ef6ab4030fe8296248df163f44952",
        "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
        "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"
    };
    const char *hashed_both[] = {
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5"
        "a678cc31e799176d3860e6110c46523e",
        "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944"
        "b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58"
    };
    struct sl_bytes key = repeat(0xaa, 131), one = sl_str(big_key), two = sl_str(big);
    uint8_t out[SL_PRF_MAX];
    for (size_t p = 0; p < 3; p++) {
        size_t len = sl_prf_len(prfs[p].prf);
        for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
            /* split anywhere, the parts are one message */
            for (size_t cut = 0; cut <= cases[i].data.len; cut++) {
                struct sl_bytes parts[] = { sl_bytes_slice(cases[i].data, 0, cut),
                                            sl_bytes_slice(cases[i].data, cut, 1000) };
                ck_ok(sl_prf_run(prfs[p].prf, cases[i].key, parts, 2, out, &err), &err);
                ck_bytes_eq(sl_bytes(out, len), sl_test_hex(cases[i].out[p]));
            }
        }
        ck_ok(sl_prf_run(prfs[p].prf, key, &one, 1, out, &err), &err);
        ck_bytes_eq(sl_bytes(out, len), sl_test_hex(hashed_key[p]));
        ck_ok(sl_prf_run(prfs[p].prf, key, &two, 1, out, &err), &err);
        ck_bytes_eq(sl_bytes(out, len), sl_test_hex(hashed_both[p]));
    }
}
END_TEST

static void check_prf_line(char *const *f)
{
    enum sl_prf prf = prf_named(f[1]);
    struct sl_bytes key = vector_hex(f[2]), seed = vector_hex(f[3]), want = vector_hex(f[5]);
    static uint8_t out[255 * SL_PRF_MAX];
    if (strcmp(f[0], "psk") == 0) {
        ck_ok(sl_prf_psk_auth(prf, key, seed, out, &err), &err);
        ck_bytes_eq(sl_bytes(out, sl_prf_len(prf)), want);
        return;
    }
    size_t len = strtoul(f[4], NULL, 10);
    memset(out, 0, sizeof(out));
    ck_ok(sl_prf_plus(prf, key, seed, out, len, &err), &err);
    if (len < 1000) {
        ck_bytes_eq(sl_bytes(out, len), want);
        ck_assert_uint_eq(out[len], 0);
        return;
    }
    uint8_t digest[32];
    sl_sha2(256, sl_bytes(out, len), digest);
    ck_bytes_eq(sl_bytes(digest, 32), want);
}

START_TEST(prf_plus_and_psk_agree_with_independent_library)
{
    ck_assert_uint_eq(vector_each("vectors/crypto/prf.txt", 6, check_prf_line), 27);
}
END_TEST

START_TEST(prf_plus_past_255_rounds_is_refused)
{
    static uint8_t out[255 * 32 + 1];
    ck_rc(sl_prf_plus(SL_PRF_HMAC_SHA2_256, sl_str("k"), sl_str("s"), out, sizeof(out), &err),
          SL_TOO_LARGE, &err);
    ck_ok(sl_prf_plus(SL_PRF_HMAC_SHA2_256, sl_str("k"), sl_str("s"), out, 0, &err), &err);
}
END_TEST

START_TEST(prf_with_empty_key_is_defined)
{
    uint8_t out[SL_PRF_MAX];
    ck_ok(sl_prf_run(SL_PRF_HMAC_SHA2_256, sl_bytes(NULL, 0), NULL, 0, out, &err), &err);
    ck_bytes_eq(sl_bytes(out, 32),
                sl_test_hex("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"));
}
END_TEST

START_TEST(weak_and_unknown_prf_is_refused)
{
    uint8_t out[SL_PRF_MAX];
    struct sl_bytes none = { 0 };
    ck_assert_uint_eq(sl_prf_len(SL_PRF_HMAC_SHA1), 0);
    ck_assert_uint_eq(sl_prf_len((enum sl_prf)4711), 0);
    ck_rc(sl_prf_run(SL_PRF_HMAC_SHA1, none, NULL, 0, out, &err), SL_UNSUPPORTED, &err);
    ck_rc(sl_prf_plus(SL_PRF_NONE, none, none, out, 1, &err), SL_UNSUPPORTED, &err);
    ck_rc(sl_prf_psk_auth((enum sl_prf)4711, none, none, out, &err), SL_UNSUPPORTED, &err);
}
END_TEST

START_TEST(sha2_gives_fips_examples)
{
    uint8_t out[64];
    sl_sha2(256, sl_str("abc"), out);
    ck_bytes_eq(sl_bytes(out, 32),
                sl_test_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    sl_sha2(256, sl_bytes(NULL, 0), out);
    ck_bytes_eq(sl_bytes(out, 32),
                sl_test_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    sl_sha2(384, sl_str("abc"), out);
    ck_bytes_eq(sl_bytes(out, 48), sl_test_hex("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
                                               "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"));
    sl_sha2(512, sl_str("abc"), out);
    ck_bytes_eq(sl_bytes(out, 64),
                sl_test_hex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"));
}
END_TEST

SL_TESTS(crypto_prf, SL_CASE(prf_gives_rfc4231_cases),
         SL_CASE(prf_plus_and_psk_agree_with_independent_library),
         SL_CASE(prf_plus_past_255_rounds_is_refused), SL_CASE(prf_with_empty_key_is_defined),
         SL_CASE(weak_and_unknown_prf_is_refused), SL_CASE(sha2_gives_fips_examples))
