/*
 * Unit tests of src/ike/auth.h: the choice of signature, AlgorithmIdentifiers against OpenSSL's own,
 * both directions with real keys, and AUTH of captured exchanges.
 */
#include "ike_vectors.h"
#include "sealane/key.h"
#include "src/ike/auth.h"
#include "src/ike/sk.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define SHA1     IKE_HASH_BIT(IKE_HASH_SHA1)
#define SHA256   IKE_HASH_BIT(IKE_HASH_SHA2_256)
#define SHA384   IKE_HASH_BIT(IKE_HASH_SHA2_384)
#define SHA512   IKE_HASH_BIT(IKE_HASH_SHA2_512)
#define IDENTITY IKE_HASH_BIT(IKE_HASH_IDENTITY)

/* ---- choosing ---------------------------------------------------------------------------------------- */
START_TEST(signature_is_chosen_by_key_and_peer)
{
    static const struct {
        enum sl_key_type type;
        uint16_t bits;
        uint32_t hashes;
        unsigned options;
        uint8_t method;
        enum sl_sig sig;
    } rows[] = {
        /* RFC 7427: the hash that fits the key */
        { SL_KEY_RSA, 2048, IKE_HASHES_OURS, 0, 14, SL_SIG_RSA_PSS_SHA256 },
        { SL_KEY_RSA, 3072, IKE_HASHES_OURS, 0, 14, SL_SIG_RSA_PSS_SHA256 },
        { SL_KEY_RSA, 4096, IKE_HASHES_OURS, 0, 14, SL_SIG_RSA_PSS_SHA384 },
        { SL_KEY_RSA, 2048, IKE_HASHES_OURS, IKE_AUTH_OPT_NO_PSS, 14, SL_SIG_RSA_PKCS1_SHA256 },
        { SL_KEY_EC_P256, 0, IKE_HASHES_OURS, 0, 14, SL_SIG_ECDSA_SHA256 },
        { SL_KEY_EC_P384, 0, IKE_HASHES_OURS, 0, 14, SL_SIG_ECDSA_SHA384 },
        { SL_KEY_EC_P521, 0, IKE_HASHES_OURS, 0, 14, SL_SIG_ECDSA_SHA512 },
        { SL_KEY_ED25519, 0, IKE_HASHES_OURS, 0, 14, SL_SIG_ED25519 },
        /* else what the peer has, strongest first */
        { SL_KEY_RSA, 2048, SHA1 | SHA384, 0, 14, SL_SIG_RSA_PSS_SHA384 },
        { SL_KEY_RSA, 4096, SHA256 | SHA512, 0, 14, SL_SIG_RSA_PSS_SHA512 },
        { SL_KEY_EC_P521, 0, SHA256, 0, 14, SL_SIG_ECDSA_SHA256 },
        /* a peer without RFC 7427 */
        { SL_KEY_RSA, 2048, 0, 0, 1, SL_SIG_RSA_PKCS1_SHA256 },
        { SL_KEY_RSA, 2048, 0, IKE_AUTH_OPT_LEGACY_SHA1, 1, SL_SIG_RSA_PKCS1_SHA1 },
        { SL_KEY_RSA, 2048, SHA1, IKE_AUTH_OPT_LEGACY_SHA1, 1, SL_SIG_RSA_PKCS1_SHA1 },
        { SL_KEY_EC_P256, 0, 0, 0, 9, SL_SIG_ECDSA_SHA256 },
        { SL_KEY_EC_P384, 0, SHA1, 0, 10, SL_SIG_ECDSA_SHA384 },
        { SL_KEY_EC_P521, 0, 0, 0, 11, SL_SIG_ECDSA_SHA512 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct ike_auth_choice c = { 0 };
        struct sl_err err = { 0 };
        ck_ok(
            ike_auth_choose(&c, rows[i].type, rows[i].bits, rows[i].hashes, rows[i].options, &err),
            &err);
        ck_assert_msg(c.method == rows[i].method && c.sig == rows[i].sig, "row %zu: method %u, %s",
                      i, c.method, sl_sig_text(c.sig));
    }
}
END_TEST

START_TEST(key_that_the_peer_cannot_verify_is_named)
{
    struct ike_auth_choice c;
    struct sl_err err = { 0 };
    ck_rc(ike_auth_choose(&c, SL_KEY_ED25519, 0, 0, 0, &err), SL_AUTH_METHOD, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer takes no signature of our Ed25519 key: hash algorithms it "
                     "announced: none");
    ck_rc(ike_auth_choose(&c, SL_KEY_ED25519, 0, SHA256 | SHA512, 0, &err), SL_AUTH_METHOD, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer takes no signature of our Ed25519 key: hash algorithms it "
                     "announced: SHA-256, SHA-512");
    ck_rc(ike_auth_choose(&c, SL_KEY_RSA, 2048, SHA1, 0, &err), SL_AUTH_METHOD, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer takes no signature of our RSA-2048 key: hash algorithms it "
                     "announced: SHA-1");
    ck_rc(ike_auth_choose(&c, SL_KEY_NONE, 0, IKE_HASHES_OURS, 0, &err), SL_AUTH_METHOD, &err);
}
END_TEST

START_TEST(hashes_written_read_back)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_payloads list;
    struct ike_notify n;
    uint32_t hashes = 0;
    struct sl_err err = { 0 };
    struct ike_wr c = ike_wr_chain(&b);
    ike_put_hashes(&c, IKE_HASHES_OURS);
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_payloads_read(&list, c.first, sl_buf_bytes(&b), &err), &err);
    ck_assert(ike_notify_find(&list, IKE_N_SIGNATURE_HASH_ALGORITHMS, &n));
    ck_bytes_eq(n.data, sl_test_hex("0002 0003 0004 0005"));
    ck_assert(ike_hashes_read(&hashes, n.data));
    ck_assert_uint_eq(hashes, IKE_HASHES_OURS);
    ck_assert(ike_hashes_read(&hashes, sl_test_hex("0001 0009 ffff 0000 0002")));
    ck_assert_uint_eq(hashes, SHA1 | SHA256);
    ck_assert(!ike_hashes_read(&hashes, sl_test_hex("000200")));
    ck_assert(!ike_hashes_read(&hashes, (struct sl_bytes){ 0 }));
}
END_TEST

/* ---- AlgorithmIdentifiers ------------------------------------------------------------------------------ */
/* What OpenSSL writes into a certificate signed so. */
static struct sl_bytes algorithm_of_openssl(const char *key, const EVP_MD *md, bool pss,
                                            uint8_t out[128])
{
    EVP_PKEY *pkey = strcmp(key, "rsa") == 0       ? EVP_RSA_gen(2048)
                     : strcmp(key, "ed25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                   : EVP_EC_gen(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    X509 *cert = X509_new();
    ck_assert(pkey && ctx && cert);
    ck_assert_int_eq(X509_set_pubkey(cert, pkey), 1);
    ck_assert_int_eq(EVP_DigestSignInit(ctx, &pctx, md, NULL, pkey), 1);
    if (pss) {
        ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
        ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    ck_assert_int_gt(X509_sign_ctx(cert, ctx), 0);
    const X509_ALGOR *alg = NULL;
    X509_get0_signature(NULL, &alg, cert);
    uint8_t *p = out;
    int len = i2d_X509_ALGOR(alg, NULL);
    ck_assert(len > 0 && len <= 128);
    ck_assert_int_eq(i2d_X509_ALGOR(alg, &p), len);
    X509_free(cert);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return sl_bytes(out, (size_t)len);
}

START_TEST(algorithm_identifiers_are_those_of_openssl)
{
    static const struct {
        enum sl_sig sig;
        const char *key;
        const char *md;
        bool pss;
    } rows[] = {
        { SL_SIG_RSA_PKCS1_SHA256, "rsa", "SHA256", false },
        { SL_SIG_RSA_PKCS1_SHA384, "rsa", "SHA384", false },
        { SL_SIG_RSA_PKCS1_SHA512, "rsa", "SHA512", false },
        { SL_SIG_RSA_PSS_SHA256, "rsa", "SHA256", true },
        { SL_SIG_RSA_PSS_SHA384, "rsa", "SHA384", true },
        { SL_SIG_RSA_PSS_SHA512, "rsa", "SHA512", true },
        { SL_SIG_ECDSA_SHA256, "P-256", "SHA256", false },
        { SL_SIG_ECDSA_SHA384, "P-384", "SHA384", false },
        { SL_SIG_ECDSA_SHA512, "P-521", "SHA512", false },
        { SL_SIG_ED25519, "ed25519", NULL, false },
        { SL_SIG_RSA_PKCS1_SHA1, "rsa", "SHA1", false },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        uint8_t der[128];
        enum sl_sig sig = SL_SIG_NONE;
        struct sl_err err = { 0 };
        const EVP_MD *md = rows[i].md ? EVP_get_digestbyname(rows[i].md) : NULL;
        struct sl_bytes theirs = algorithm_of_openssl(rows[i].key, md, rows[i].pss, der);
        ck_bytes_eq(ike_auth_algorithm(rows[i].sig), theirs);
        ck_ok(ike_auth_algorithm_read(&sig, theirs, &err), &err);
        ck_assert_int_eq(sig, rows[i].sig);
    }
    ck_assert_uint_eq(ike_auth_algorithm(SL_SIG_NONE).len, 0);
}
END_TEST

START_TEST(algorithm_cut_or_changed_is_not_taken_for_another)
{
    for (int k = SL_SIG_NONE + 1; k < SL_SIG_COUNT; k++) {
        struct sl_bytes der = ike_auth_algorithm((enum sl_sig)k);
        enum sl_sig sig;
        struct sl_err err = { 0 };
        if (!der.len) { /* of IKEv1, which names no algorithm */
            ck_assert(k == SL_SIG_RSA_PKCS1_RAW || k == SL_SIG_ECDSA_RAW);
            continue;
        }
        for (size_t len = 0; len < der.len; len++) {
            uint8_t *exact = malloc(len + 1);
            memcpy(exact, der.p, len);
            ck_rc(ike_auth_algorithm_read(&sig, sl_bytes(exact, len), &err), SL_IKE_MALFORMED,
                  &err);
            free(exact);
        }
        uint8_t longer[128];
        memcpy(longer, der.p, der.len);
        longer[der.len] = 0;
        ck_rc(ike_auth_algorithm_read(&sig, sl_bytes(longer, der.len + 1), &err), SL_IKE_MALFORMED,
              &err);
    }
}
END_TEST

START_TEST(algorithms_that_are_weak_or_odd_are_refused)
{
    static const struct {
        const char *der;
        enum sl_rc rc;
    } rows[] = {
        /* RSASSA-PSS with no parameters at all and with the defaults, which are SHA-1 */
        { "300b 06092a864886f70d01010a", SL_IKE_MALFORMED },
        { "300d 06092a864886f70d01010a 3000", SL_WEAK_ALGORITHM },
        /* SHA-256 with MGF1 left at SHA-1 */
        { "3023 06092a864886f70d01010a 3016 a00f 300d 0609608648016503040201 0500 a203 020120",
          SL_WEAK_ALGORITHM },
        /* hash SHA-256, MGF1 SHA-512 */
        { "3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a "
          "06092a864886f70d010108"
          "300d 0609608648016503040203 0500 a203 020120",
          SL_AUTH_METHOD },
        /* salt of 20 */
        { "3041 06092a864886f70d01010a 3034 a00f 300d 0609608648016503040201 0500 a11c 301a "
          "06092a864886f70d010108"
          "300d 0609608648016503040201 0500 a203 020114",
          SL_AUTH_METHOD },
        /* trailer 2 */
        { "3046 06092a864886f70d01010a 3039 a00f 300d 0609608648016503040201 0500 a11c 301a "
          "06092a864886f70d010108"
          "300d 0609608648016503040201 0500 a203 020120 a303 020102",
          SL_AUTH_METHOD },
        { "300d 06092a864886f70d010104 0500", SL_WEAK_ALGORITHM }, /* md5WithRSA */
        { "3009 06072a8648ce3d0401", SL_WEAK_ALGORITHM },          /* ecdsa-with-SHA1 */
        { "300c 06082a8648ce3d040302 0500", SL_AUTH_METHOD },      /* ECDSA with parameters */
        { "3007 06032b6570 0500", SL_AUTH_METHOD },                /* Ed25519 with parameters */
        { "3005 06032b6571", SL_AUTH_METHOD },                     /* Ed448 */
        { "3006 06042a030405", SL_AUTH_METHOD },                   /* nobody's */
        { "300d 0609608648016503040201 0500", SL_AUTH_METHOD },    /* a hash is no signature */
        { "0500", SL_IKE_MALFORMED },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        enum sl_sig sig = SL_SIG_NONE;
        struct sl_err err = { 0 };
        enum sl_rc rc = ike_auth_algorithm_read(&sig, sl_test_hex(rows[i].der), &err);
        ck_assert_msg(rc == rows[i].rc, "row %zu: %s: %s", i, sl_rc_name(rc), sl_err_text(&err));
    }
    enum sl_sig sig = SL_SIG_NONE;
    struct sl_err err = { 0 };
    /* RFC 4055 5: absent parameters are to be taken; explicit default trailer too */
    ck_ok(ike_auth_algorithm_read(&sig, sl_test_hex("300b 06092a864886f70d01010b"), &err), &err);
    ck_assert_int_eq(sig, SL_SIG_RSA_PKCS1_SHA256);
    ck_ok(
        ike_auth_algorithm_read(
            &sig,
            sl_test_hex(
                "3046 06092a864886f70d01010a 3039 a00f 300d 0609608648016503040201 0500 a11c 301a "
                "06092a864886f70d010108 300d 0609608648016503040201 0500 a203 020120 a303 020101"),
            &err),
        &err);
    ck_assert_int_eq(sig, SL_SIG_RSA_PSS_SHA256);
}
END_TEST

/* ---- both directions with real keys ------------------------------------------------------------------------ */
START_TEST(auth_made_is_parsed_and_verifies)
{
    static const struct {
        const char *alg;
        uint32_t hashes;
        unsigned options;
    } rows[] = {
        { "rsa:2048", IKE_HASHES_OURS, 0 },
        { "rsa:2048", IKE_HASHES_OURS, IKE_AUTH_OPT_NO_PSS },
        { "rsa:2048", SHA512, 0 },
        { "rsa:2048", 0, 0 },
        { "ecdsa:p256", IKE_HASHES_OURS, 0 },
        { "ecdsa:p384", IKE_HASHES_OURS, 0 },
        { "ecdsa:p521", IKE_HASHES_OURS, 0 },
        { "ecdsa:p256", 0, 0 },
        { "ecdsa:p384", 0, 0 },
        { "ecdsa:p521", 0, 0 },
        { "ed25519", IKE_HASHES_OURS, 0 },
    };
    struct sl_bytes octets = sl_str("message nonce prf");
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct sl_keyset *keys = NULL;
        struct sl_err err = { 0 };
        struct ike_auth_choice choice;
        struct ike_auth_claim claim;
        struct sl_bytes spki;
        uint16_t bits = 0;
        uint8_t scratch[IKE_AUTH_SCRATCH];
        ck_ok(sl_keyset_new(&keys, &err), &err);
        ck_ok(sl_keyset_generate(keys, "k", rows[i].alg, &err), &err);
        ck_ok(sl_keyset_spki(keys, "k", &spki, &err), &err);
        enum sl_key_type type = sl_spki_type(spki, &bits);
        const struct sl_key_ops ops = sl_keyset_ops(keys);
        ck_ok(ike_auth_choose(&choice, type, bits, rows[i].hashes, rows[i].options, &err), &err);
        /* several, as r and s are of varying length in DER */
        for (size_t round = 0; round < (type == SL_KEY_RSA ? 1 : 40); round++) {
            SL_AUTO_BUF signature = { 0 }, data = { 0 };
            ck_ok(ops.sign(ops.ctx, "k", choice.sig, octets, &signature, &err), &err);
            ck_ok(ike_auth_make(&data, &choice, sl_buf_bytes(&signature), &err), &err);
            const struct ike_auth auth = { choice.method, sl_buf_bytes(&data) };
            ck_ok(ike_auth_parse(&claim, &auth, IKE_HASHES_OURS, rows[i].options, scratch, &err),
                  &err);
            ck_assert_int_eq(claim.sig, choice.sig);
            ck_bytes_eq(claim.signature, sl_buf_bytes(&signature));
            ck_ok(sl_sig_verify(claim.sig, spki, octets, claim.signature, &err), &err);
        }
        sl_keyset_free(keys);
    }
}
END_TEST

START_TEST(auth_that_breaks_a_rule_is_refused)
{
    static const struct {
        uint8_t method;
        const char *data;
        uint32_t hashes;
        unsigned options;
        enum sl_rc rc;
    } rows[] = {
        { 14, "07 3005 06032b6570 aabb", IKE_HASHES_OURS, 0, SL_OK },
        { 14, "07 3005 06032b6570 aabb", SHA256, 0,
          SL_AUTH_METHOD }, /* identity was not announced */
        { 14, "0c 300a 06082a8648ce3d040303 aabb", SHA256, 0, SL_AUTH_METHOD },
        { 14, "07 3005 06032b6570", IKE_HASHES_OURS, 0, SL_IKE_MALFORMED }, /* no signature */
        { 14, "00 aabb", IKE_HASHES_OURS, 0, SL_IKE_MALFORMED },
        { 14, "ff 3005 06032b6570 aabb", IKE_HASHES_OURS, 0, SL_IKE_MALFORMED },
        { 14, "08 3005 06032b6570 aabb", IKE_HASHES_OURS, 0,
          SL_IKE_MALFORMED }, /* a byte too many */
        { 14, "0f 300d 06092a864886f70d010105 0500 aa", IKE_HASHES_OURS, 0, SL_WEAK_ALGORITHM },
        { 14, "0f 300d 06092a864886f70d010105 0500 aa", IKE_HASHES_OURS, IKE_AUTH_OPT_LEGACY_SHA1,
          SL_OK },
        { 1, "aabb", 0, 0, SL_OK },
        { 2, "aabb", 0, 0, SL_OK },
        { 3, "aabb", IKE_HASHES_OURS, 0, SL_AUTH_METHOD },
        { 9, "aabb", IKE_HASHES_OURS, 0, SL_IKE_MALFORMED },
        { 13, "aabb", IKE_HASHES_OURS, 0,
          SL_AUTH_METHOD }, /* nobody comes in without authentication */
        { 200, "aabb", IKE_HASHES_OURS, 0, SL_AUTH_METHOD },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct ike_auth_claim claim;
        struct sl_err err = { 0 };
        uint8_t scratch[IKE_AUTH_SCRATCH];
        const struct ike_auth auth = { rows[i].method, sl_test_hex(rows[i].data) };
        enum sl_rc rc =
            ike_auth_parse(&claim, &auth, rows[i].hashes, rows[i].options, scratch, &err);
        ck_assert_msg(rc == rows[i].rc, "row %zu: %s: %s", i, sl_rc_name(rc), sl_err_text(&err));
    }
    struct ike_auth_claim claim;
    struct sl_err err = { 0 };
    uint8_t scratch[IKE_AUTH_SCRATCH];
    static const uint8_t raw[132];
    for (uint8_t method = 9; method <= 11; method++) { /* zero r and s encode, and verify nothing */
        size_t len = method == 9 ? 64 : method == 10 ? 96 : 132;
        const struct ike_auth good = { method, sl_bytes(raw, len) },
                              bad = { method, sl_bytes(raw, len - 1) };
        ck_ok(ike_auth_parse(&claim, &good, 0, 0, scratch, &err), &err);
        ck_rc(ike_auth_parse(&claim, &bad, 0, 0, scratch, &err), SL_IKE_MALFORMED, &err);
    }
    uint8_t ones[132];
    memset(ones, 0xff, sizeof(ones)); /* the longest DER there is fits scratch */
    const struct ike_auth longest = { 11, sl_bytes(ones, sizeof(ones)) };
    ck_ok(ike_auth_parse(&claim, &longest, 0, 0, scratch, &err), &err);
}
END_TEST

START_TEST(signature_that_is_not_der_is_not_made_raw)
{
    SL_AUTO_BUF out = { 0 };
    struct sl_err err = { 0 };
    const struct ike_auth_choice choice = { IKE_AUTH_ECDSA_256, SL_SIG_ECDSA_SHA256 };
    ck_rc(ike_auth_make(&out, &choice, sl_str("rubbish"), &err), SL_CRYPTO, &err);
    ck_rc(ike_auth_make(&out, &choice, sl_test_hex("3006 020101 020101 00"), &err), SL_CRYPTO,
          &err);
    ck_ok(ike_auth_make(&out, &choice, sl_test_hex("3006 020101 020102"), &err), &err);
    ck_assert_uint_eq(out.len, 64);
    ck_assert_uint_eq(out.p[31], 1);
    ck_assert_uint_eq(out.p[63], 2);
}
END_TEST

/* ---- another implementation's AUTH ------------------------------------------------------------------------------ */
static void check_auth(const struct vec *v, const struct vec_exchange *x, bool from_i,
                       const struct ike_payloads *list)
{
    struct ike_auth auth;
    struct ike_auth_claim claim;
    uint8_t scratch[IKE_AUTH_SCRATCH];
    struct sl_err err = { 0 };
    struct sl_bytes octets = vec_get(v, from_i ? "octets.1" : "octets.2");
    ck_assert(ike_auth_read(&auth, ike_payloads_find(list, IKE_P_AUTH)->body));
    ck_ok(ike_auth_parse(&claim, &auth, IKE_HASHES_OURS, 0, scratch, &err), &err);
    if (strcmp(x->name, "chacha-psk") == 0) {
        uint8_t mac[SL_PRF_MAX];
        ck_assert_uint_eq(claim.method, IKE_AUTH_PSK);
        ck_ok(sl_prf_psk_auth(x->prf, sl_str("lab-psk-0123456789"), octets, mac, &err), &err);
        ck_bytes_eq(claim.signature, sl_bytes(mac, sl_prf_len(x->prf)));
        return;
    }
    struct ike_certs certs;
    ck_assert_uint_eq(claim.method, IKE_AUTH_DIGITAL_SIGNATURE);
    ck_assert_int_eq(claim.sig, strcmp(x->name, "gcm-ecdsa") == 0 ? SL_SIG_ECDSA_SHA256
                                                                  : SL_SIG_RSA_PKCS1_SHA256);
    ck_ok(ike_certs_collect(&certs, list, &err), &err);
    ck_assert_uint_eq(certs.cert_n, 1);
    const uint8_t *p = certs.cert[0].p;
    X509 *c = d2i_X509(NULL, &p, (long)certs.cert[0].len);
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c), &spki);
    ck_assert_int_gt(len, 0);
    ck_ok(sl_sig_verify(claim.sig, sl_bytes(spki, (size_t)len), octets, claim.signature, &err),
          &err);
    ck_rc(sl_sig_verify(claim.sig, sl_bytes(spki, (size_t)len), sl_bytes(octets.p, octets.len - 1),
                        claim.signature, &err),
          SL_CRYPTO, &err);
    OPENSSL_free(spki);
    X509_free(c);
}

START_TEST(auth_of_strongswan_verifies)
{
    static struct vec v;
    static struct ike_message m;
    static struct ike_payloads list;
    for (size_t k = 0; k < SL_ARRAY_LEN(vec_exchanges); k++) {
        const struct vec_exchange *x = &vec_exchanges[k];
        struct ike_reassembly ra[2] = { { 0 }, { 0 } };
        struct sl_bytes msg;
        bool from_i;
        size_t checked = 0;
        vec_load(&v, x->name);
        for (size_t i = 2; vec_msg(&v, i, &msg, &from_i); i++) {
            struct sl_err err = { 0 };
            struct sl_buf plain = { 0 };
            uint8_t first = 0;
            enum ike_opened what;
            struct ike_sk sk = { 0 };
            ck_ok(ike_message_read(&m, msg, &err), &err);
            if (m.hdr.exchange != IKE_AUTH)
                break;
            SL_AUTO_SECRET e = vec_secret(&v, from_i ? "sk_ei.1" : "sk_er.1");
            SL_AUTO_SECRET a = { 0 };
            if (x->suite.integ)
                a = vec_secret(&v, from_i ? "sk_ai.1" : "sk_ar.1");
            ck_ok(ike_sk_init(&sk, &x->suite, false, &e, &a, &err), &err);
            ck_ok(ike_sk_open(&what, &sk, &m, &ra[from_i], &plain, &first, &err), &err);
            ike_sk_clear(&sk);
            if (what != IKE_OPENED)
                continue;
            ck_ok(ike_payloads_read(&list, first, sl_buf_bytes(&plain), &err), &err);
            check_auth(&v, x, from_i, &list);
            checked++;
            sl_buf_clear(&plain);
        }
        ck_assert_uint_eq(checked, 2);
    }
}
END_TEST

START_TEST(names_of_methods)
{
    char out[IKE_TEXT];
    ck_assert_str_eq(ike_auth_method_text(out, 14), "digital signature (14)");
    ck_assert_str_eq(ike_auth_method_text(out, 77), "method (77)");
}
END_TEST

SL_TESTS(ike_auth, SL_CASE(signature_is_chosen_by_key_and_peer),
         SL_CASE(key_that_the_peer_cannot_verify_is_named), SL_CASE(hashes_written_read_back),
         SL_CASE(algorithm_identifiers_are_those_of_openssl),
         SL_CASE(algorithm_cut_or_changed_is_not_taken_for_another),
         SL_CASE(algorithms_that_are_weak_or_odd_are_refused),
         SL_CASE(auth_made_is_parsed_and_verifies), SL_CASE(auth_that_breaks_a_rule_is_refused),
         SL_CASE(signature_that_is_not_der_is_not_made_raw), SL_CASE(auth_of_strongswan_verifies),
         SL_CASE(names_of_methods))
