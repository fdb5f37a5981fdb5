/*
 * Key exchange against RFC 5903, RFC 7748 and integer arithmetic over the primes of RFC 3526, and
 * against values that RFC 6989 wants refused.
 */
#include "crypto_vectors.h"
#include "sealane/crypto.h"
#include "src/crypto/kex.h"

static struct sl_err err;

static const enum sl_ke groups[] = { SL_KE_MODP2048, SL_KE_MODP3072, SL_KE_MODP4096,  SL_KE_ECP256,
                                     SL_KE_ECP384,   SL_KE_ECP521,   SL_KE_CURVE25519 };

static void check_known(enum sl_ke group, struct sl_bytes priv, struct sl_bytes pub,
                        struct sl_bytes peer, struct sl_bytes want)
{
    SL_AUTO(sl_kex) *k = NULL;
    SL_AUTO_SECRET shared = { 0 };
    ck_ok(kex_new_known(&k, group, priv, pub, &err), &err);
    ck_bytes_eq(sl_kex_public(k), pub);
    ck_ok(sl_kex_derive(k, peer, &shared, &err), &err);
    ck_bytes_eq(sl_secret_bytes(&shared), want);
}

START_TEST(ecp_gives_rfc5903_secrets)
{
    const struct {
        enum sl_ke group;
        const char *i, *gi, *r, *gr, *girx;
    } cases[] = {
        { SL_KE_ECP256, "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
          "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
          "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
          "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
          "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
          "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
          "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE" },
        { SL_KE_ECP384,
          "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655"
          "E35B538041E649EE3FAEF896783AB194",
          "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6"
          "DE3AC808ACB4BDB4C88732AEE95F41AA"
          "9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38E"
          "EB9FCFF3C2C947DAE69B4C634573A81C",
          "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942"
          "E0308312916B8ED2960E4BD55A7448FC",
          "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D"
          "0D1AC43A0336DEF96FDA41D0774A3571"
          "DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FF"
          "F83FA40142209DFF5EAAD96DB9E6386C",
          "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4"
          "D603135569B9E9D09CF5D4A270F59746" },
        { SL_KE_ECP521,
          "0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A0"
          "95AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52",
          "0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBE"
          "E1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176CED3E"
          "017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10A"
          "D8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F1507438BF01BEB6CA3926F9582",
          "0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E"
          "9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9",
          "00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A21"
          "9B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9460F"
          "015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87"
          "220B6536C5C408A1D2AEBB8E86D678AE49CB57091F4732296579AB44FCD17F0FC56A",
          "01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04"
          "D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3DDEA" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_bytes gi = sl_test_hex(cases[i].gi), gr = sl_test_hex(cases[i].gr);
        struct sl_bytes girx = sl_test_hex(cases[i].girx);
        check_known(cases[i].group, sl_test_hex(cases[i].i), gi, gr, girx);
        check_known(cases[i].group, sl_test_hex(cases[i].r), gr, gi, girx);
    }
}
END_TEST

START_TEST(curve25519_gives_rfc7748_secret)
{
    struct sl_bytes ka =
        sl_test_hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    struct sl_bytes kb =
        sl_test_hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    struct sl_bytes k =
        sl_test_hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    check_known(SL_KE_CURVE25519,
                sl_test_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"), ka,
                kb, k);
    check_known(SL_KE_CURVE25519,
                sl_test_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"), kb,
                ka, k);
}
END_TEST

static void check_modp_line(char *const *f)
{
    check_known((enum sl_ke)strtoul(f[0], NULL, 10), vector_hex(f[1]), vector_hex(f[2]),
                vector_hex(f[3]), vector_hex(f[4]));
}

START_TEST(modp_pads_value_and_secret_to_the_modulus)
{
    ck_assert_uint_eq(vector_each("vectors/crypto/modp.txt", 5, check_modp_line), 9);
}
END_TEST

START_TEST(both_sides_derive_the_same_secret)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(groups); i++) {
        SL_AUTO(sl_kex) *a = NULL, *b = NULL;
        SL_AUTO_SECRET sa = { 0 }, sb = { 0 };
        ck_assert(sl_ke_supported(groups[i]));
        ck_ok(sl_kex_new(&a, groups[i], &err), &err);
        ck_ok(sl_kex_new(&b, groups[i], &err), &err);
        ck_assert_int_eq(sl_kex_group(a), groups[i]);
        ck_assert_uint_eq(sl_kex_public(a).len, sl_ke_public_len(groups[i]));
        ck_assert(!sl_bytes_eq(sl_kex_public(a), sl_kex_public(b)));
        ck_ok(sl_kex_derive(a, sl_kex_public(b), &sa, &err), &err);
        ck_ok(sl_kex_derive(b, sl_kex_public(a), &sb, &err), &err);
        ck_assert(sl_secret_equal(&sa, &sb));
        ck_assert_uint_gt(sa.len, 0);
    }
}
END_TEST

START_TEST(value_of_wrong_length_is_malformed)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(groups); i++) {
        SL_AUTO(sl_kex) *k = NULL;
        SL_AUTO_SECRET s = { 0 };
        uint8_t value[513] = { 0 };
        ck_ok(sl_kex_new(&k, groups[i], &err), &err);
        struct sl_bytes own = sl_kex_public(k);
        memcpy(value, own.p, own.len);
        for (size_t len = 0; len < sizeof(value); len++)
            if (len != own.len)
                ck_rc(sl_kex_derive(k, sl_bytes(value, len), &s, &err), SL_MALFORMED, &err);
        ck_assert_ptr_null(s.p);
    }
}
END_TEST

/* RFC 6989 2.1: 1 < r < p-1. The prime is all ones in its first and last 64 bits. */
START_TEST(modp_value_outside_range_is_refused)
{
    for (size_t i = 0; i < 3; i++) {
        SL_AUTO(sl_kex) *k = NULL;
        size_t len = sl_ke_public_len(groups[i]);
        uint8_t value[512];
        ck_ok(sl_kex_new(&k, groups[i], &err), &err);
        for (unsigned small = 0; small < 3; small++) {
            SL_AUTO_SECRET s = { 0 };
            memset(value, 0, len);
            value[len - 1] = (uint8_t)small;
            ck_rc(sl_kex_derive(k, sl_bytes(value, len), &s, &err), small < 2 ? SL_CRYPTO : SL_OK,
                  &err);
        }
        SL_AUTO_SECRET s = { 0 };
        memset(value, 0xff, len);
        ck_rc(sl_kex_derive(k, sl_bytes(value, len), &s, &err), SL_CRYPTO, &err);
    }
}
END_TEST

START_TEST(modp_value_at_the_prime_is_refused)
{
    /* RFC 3526 3: the 2048-bit prime; p-1 and p and p+1 are out, p-2 is in */
    static const char prime[] = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
                                "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
                                "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
                                "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05"
                                "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB"
                                "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
                                "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
                                "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF";
    SL_AUTO(sl_kex) *k = NULL;
    uint8_t value[256];
    struct sl_bytes p = sl_test_hex(prime);
    ck_assert_uint_eq(p.len, sizeof(value));
    ck_ok(sl_kex_new(&k, SL_KE_MODP2048, &err), &err);
    for (unsigned down = 0; down < 3; down++) {
        SL_AUTO_SECRET s = { 0 };
        memcpy(value, p.p, p.len);
        value[255] = (uint8_t)(0xff - down);
        ck_rc(sl_kex_derive(k, sl_bytes(value, sizeof(value)), &s, &err),
              down < 2 ? SL_CRYPTO : SL_OK, &err);
    }
}
END_TEST

START_TEST(point_off_the_curve_is_refused)
{
    for (size_t i = 3; i < 6; i++) {
        SL_AUTO(sl_kex) *k = NULL, *peer = NULL;
        uint8_t value[132];
        ck_ok(sl_kex_new(&k, groups[i], &err), &err);
        ck_ok(sl_kex_new(&peer, groups[i], &err), &err);
        struct sl_bytes good = sl_kex_public(peer);
        for (size_t at = 0; at < good.len; at++) {
            SL_AUTO_SECRET s = { 0 };
            memcpy(value, good.p, good.len);
            value[at] ^= 1;
            ck_rc(sl_kex_derive(k, sl_bytes(value, good.len), &s, &err), SL_CRYPTO, &err);
        }
        /* the origin, the nearest one can write to the point at infinity; a coordinate past p */
        SL_AUTO_SECRET s = { 0 };
        memset(value, 0, sizeof(value));
        ck_rc(sl_kex_derive(k, sl_bytes(value, good.len), &s, &err), SL_CRYPTO, &err);
        memset(value, 0xff, sizeof(value));
        ck_rc(sl_kex_derive(k, sl_bytes(value, good.len), &s, &err), SL_CRYPTO, &err);
    }
}
END_TEST

START_TEST(curve25519_value_of_low_order_is_refused)
{
    /* the points of order 1, 2, 4 and 8 and their other encodings */
    const char *low[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    SL_AUTO(sl_kex) *k = NULL;
    ck_ok(sl_kex_new(&k, SL_KE_CURVE25519, &err), &err);
    for (size_t i = 0; i < SL_ARRAY_LEN(low); i++) {
        SL_AUTO_SECRET s = { 0 };
        ck_rc(sl_kex_derive(k, sl_test_hex(low[i]), &s, &err), SL_CRYPTO, &err);
    }
}
END_TEST

START_TEST(weak_and_unknown_groups_are_refused_by_name)
{
    struct sl_kex *k = NULL;
    ck_rc(sl_kex_new(&k, SL_KE_MODP1024, &err), SL_UNSUPPORTED, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "modp1024"));
    ck_rc(sl_kex_new(&k, (enum sl_ke)99, &err), SL_UNSUPPORTED, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "group 99"));
    ck_assert_ptr_null(k);
    ck_assert(!sl_ke_supported(SL_KE_NONE) && !sl_ke_supported(SL_KE_MODP1024));
    ck_assert_uint_eq(sl_ke_public_len(SL_KE_MODP1024), 0);
    ck_assert_str_eq(sl_ke_text(SL_KE_CURVE25519), "curve25519");
    ck_assert_str_eq(sl_ke_text(SL_KE_MODP2048), "modp2048");
}
END_TEST

SL_TESTS(crypto_kex, SL_CASE(ecp_gives_rfc5903_secrets), SL_CASE(curve25519_gives_rfc7748_secret),
         SL_CASE(modp_pads_value_and_secret_to_the_modulus),
         SL_CASE(both_sides_derive_the_same_secret), SL_CASE(value_of_wrong_length_is_malformed),
         SL_CASE(modp_value_outside_range_is_refused), SL_CASE(modp_value_at_the_prime_is_refused),
         SL_CASE(point_off_the_curve_is_refused), SL_CASE(curve25519_value_of_low_order_is_refused),
         SL_CASE(weak_and_unknown_groups_are_refused_by_name))
