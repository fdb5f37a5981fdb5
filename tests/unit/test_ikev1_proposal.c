/*
 * IKEv1 proposals: what we offer is chosen by us as responder and taken back as initiator; what is weak,
 * unknown, not offered or for another encapsulation is not, and the refusal names it.
 */
#include "src/ike/v1/proposal.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

static struct sl_err err;
static struct v1_sa sa;
static struct ike_payloads list;
static struct sl_buf buf;

#define AES(bits, hash)                                    \
    {                                                      \
        SL_ENCR_AES_CBC, (bits), SL_INTEG_HMAC_SHA2_##hash \
    }
static const struct sl_conf_ike_proposal ike[] = {
    { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
      .prf = SL_PRF_HMAC_SHA2_256,
      .ke = SL_KE_CURVE25519 },
    { .suite = AES(256, 256_128), .prf = SL_PRF_HMAC_SHA2_256, .ke = SL_KE_MODP2048 },
    { .suite = AES(128, 384_192), .prf = SL_PRF_HMAC_SHA2_384, .ke = SL_KE_ECP256 },
    { .suite = AES(128, 256_128),
      .prf = SL_PRF_HMAC_SHA2_512,
      .ke = SL_KE_ECP256 }, /* two hashes: not in IKEv1 */
};
static const struct sl_conf_esp_proposal esp[] = {
    { .suite = { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE }, .ke = SL_KE_ECP256 },
    { .suite = AES(256, 512_256), .ke = SL_KE_MODP2048 },
    { .suite = { SL_ENCR_AES_GCM_16, 256, SL_INTEG_NONE }, .ke = SL_KE_MODP2048 },
    { .suite = AES(128, 256_128), .ke = SL_KE_NONE },
};
static const uint16_t rsa[] = { V1_AUTH_RSA_SIG }, psk[] = { V1_AUTH_PSK };
static const uint16_t both[] = { V1_AUTH_ECDSA_256, V1_AUTH_PSK };

static void read_sa(struct ike_wr *c)
{
    ck_assert(ike_wr_end(c));
    ck_ok(v1_payloads_read(&list, c->first, sl_buf_bytes(&buf), &err), &err);
    ck_ok(v1_sa_read(&sa, list.p[0].body, &err), &err);
}

static struct ike_wr begin(void)
{
    buf.len = 0;
    return ike_wr_chain(&buf);
}

static void offer_ike(const uint16_t *auth, size_t n, uint32_t life_s)
{
    struct ike_wr c = begin();
    ck_ok(v1_put_sa_ike(&c, ike, SL_ARRAY_LEN(ike), auth, n, life_s, &err), &err);
    read_sa(&c);
}

START_TEST(phase_1_offer_is_chosen_answered_and_taken)
{
    struct v1_ike_choice choice, taken;
    offer_ike(both, 2, 86400);
    ck_assert_uint_eq(sa.n, 1);
    ck_assert_uint_eq(sa.p[0].n, 4); /* two usable entries, two methods */
    ck_bytes_eq(sl_bytes_slice(list.p[0].body, 0, 8), sl_test_hex("00000001 00000001"));
    ck_ok(v1_sa_select_ike(&choice, &sa, ike, SL_ARRAY_LEN(ike), psk, 1, IKE_PREFER_PEER, &err),
          &err);
    ck_assert_uint_eq(choice.ours, 1);
    ck_assert_uint_eq(choice.transform, 2);
    ck_assert_uint_eq(choice.auth, V1_AUTH_PSK);
    ck_assert_uint_eq(choice.life_s, 86400);
    ck_assert_int_eq(choice.ke, SL_KE_MODP2048);
    const struct sl_conf_ike_proposal turned[] = { ike[2], ike[1] };
    ck_ok(v1_sa_select_ike(&choice, &sa, turned, 2, both, 2, IKE_PREFER_OURS, &err), &err);
    ck_assert_uint_eq(choice.ours, 0);
    ck_assert_uint_eq(choice.suite.key_bits, 128);

    SL_AUTO_BUF attrs = { 0 };
    ck_assert(sl_buf_put(&attrs, choice.attrs));
    choice.attrs = sl_buf_bytes(&attrs);
    struct ike_wr c = begin();
    v1_put_sa_ike_choice(&c, &choice);
    read_sa(&c);
    ck_ok(v1_sa_check_ike(&taken, &sa, ike, SL_ARRAY_LEN(ike), both, 2, &err), &err);
    ck_assert_uint_eq(taken.ours, 2);
    ck_assert_int_eq(taken.prf, SL_PRF_HMAC_SHA2_384);
    ck_rc(v1_sa_check_ike(&taken, &sa, ike, 2, both, 2, &err), SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "AES-CBC-128 SHA2-384 ECP-256 ECDSA-256"));
    offer_ike(both, 2, 0);
    ck_rc(v1_sa_check_ike(&taken, &sa, ike, 4, both, 2, &err), SL_IKE_NO_PROPOSAL, &err);
}
END_TEST

START_TEST(phase_1_without_a_usable_proposal_says_why)
{
    struct v1_ike_choice choice;
    struct ike_wr c = begin();
    ck_rc(v1_put_sa_ike(&c, ike, 1, psk, 1, 60, &err), SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "AEAD"));
    c = begin();
    ck_rc(v1_put_sa_ike(&c, ike + 3, 1, psk, 1, 60, &err), SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "one hash"));
    struct sl_conf_ike_proposal added = ike[1];
    added.add.ke[2] = SL_KE_ECP384; /* more key exchanges (RFC 9370): not in IKEv1 */
    c = begin();
    ck_rc(v1_put_sa_ike(&c, &added, 1, psk, 1, 60, &err), SL_IKE_NO_PROPOSAL, &err);
    added.add.may_skip = 4;
    c = begin();
    ck_ok(v1_put_sa_ike(&c, &added, 1, psk, 1, 60, &err), &err);
    offer_ike(psk, 1, 60);
    ck_rc(v1_sa_select_ike(&choice, &sa, ike, 1, psk, 1, IKE_PREFER_PEER, &err), SL_IKE_NO_PROPOSAL,
          &err);
    ck_assert_ptr_nonnull(strstr(err.text, "AEAD"));
    ck_rc(v1_sa_select_ike(&choice, &sa, ike, 4, rsa, 1, IKE_PREFER_PEER, &err), SL_IKE_NO_PROPOSAL,
          &err);
    ck_assert_ptr_nonnull(strstr(err.text, "pre-shared key"));
    ck_assert_ptr_nonnull(strstr(err.text, "RSA signature"));
    ck_rc(v1_sa_select_ike(&choice, &sa, ike, 4, rsa, 0, IKE_PREFER_PEER, &err), SL_IKE_NO_PROPOSAL,
          &err);
    ck_assert_ptr_nonnull(strstr(err.text, "authentication method"));
}
END_TEST

/* One proposal of one transform from hex of its attributes. */
static void read_one(uint8_t protocol, uint8_t id, const char *attrs_hex)
{
    struct sl_bytes attrs = sl_test_hex(attrs_hex);
    bool phase1 = protocol == V1_PROTO_ISAKMP;
    struct ike_wr c = begin();
    size_t mark = ike_wr_open(&c, V1_P_SA);
    sl_wr_u32(&c.w, 1);
    sl_wr_u32(&c.w, 1);
    sl_wr_u16(&c.w, 0);
    sl_wr_u16(&c.w, (uint16_t)(16U + (phase1 ? 0U : 4U) + attrs.len));
    sl_wr_u8(&c.w, 1);
    sl_wr_u8(&c.w, protocol);
    sl_wr_u8(&c.w, phase1 ? 0 : 4);
    sl_wr_u8(&c.w, 1);
    sl_wr_zero(&c.w, phase1 ? 0 : 4);
    sl_wr_u16(&c.w, 0);
    sl_wr_u16(&c.w, (uint16_t)(8 + attrs.len));
    sl_wr_u8(&c.w, 1);
    sl_wr_u8(&c.w, id);
    sl_wr_u16(&c.w, 0);
    sl_wr_put(&c.w, attrs);
    ike_wr_close(&c, mark);
    read_sa(&c);
}

START_TEST(weak_and_odd_transforms_of_phase_1_are_refused_by_name)
{
    static const struct {
        const char *attrs;
        enum sl_rc rc;
        const char *text;
    } rows[] = {
        { "80010007 800e0100 80020004 8004000e 80030001 800b0001 800c7080", SL_OK, "" },
        { "80010007 800e0100 80020004 8004000e 80030001 800b0001 000c0004 00015180", SL_OK, "" },
        { "80010005 80020002 80040002 80030001", SL_WEAK_ALGORITHM,
          "3DES with SHA-1 with MODP-1024" },
        { "80010007 800e0080 80020002 8004000e 80030001", SL_WEAK_ALGORITHM, "SHA-1" },
        { "80010007 800e0100 80020001 8004000e 80030001", SL_WEAK_ALGORITHM, "MD5" },
        { "80010007 800e0100 80020004 80040002 80030001", SL_WEAK_ALGORITHM, "MODP-1024" },
        { "80010007 800e00c0 80020004 8004000e 80030001", SL_IKE_NO_PROPOSAL, "AES-CBC-192" },
        { "80010007 80020004 8004000e 80030001", SL_IKE_NO_PROPOSAL, "AES-CBC" },
        { "80010007 800e0100 80020004 8004000e 80030003", SL_IKE_NO_PROPOSAL, "RSA signature" },
        { "80010007 800e0100 80020004 8004000e 8003fadd", SL_IKE_NO_PROPOSAL, "hybrid RSA" },
        { "80010007 800e0100 80020004 8004000e 80030001 80050001", SL_IKE_NO_PROPOSAL,
          "attributes that are not known" },
        { "80010007 80010007 800e0100 80020004 8004000e 80030001", SL_IKE_NO_PROPOSAL,
          "attributes that are not known" },
        { "80010007 800e0100 80020004 8004000e 80030001 800c7080", SL_IKE_NO_PROPOSAL,
          "attributes that are not known" },
        { "80010063 80020063 80040063 80030063", SL_IKE_NO_PROPOSAL, "cipher 99" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct v1_ike_choice choice;
        read_one(V1_PROTO_ISAKMP, 1, rows[i].attrs);
        ck_rc(v1_sa_select_ike(&choice, &sa, ike, 4, psk, 1, IKE_PREFER_PEER, &err), rows[i].rc,
              &err);
        if (rows[i].rc != SL_OK)
            ck_assert_msg(strstr(err.text, rows[i].text) != NULL, "%s: %s", rows[i].text, err.text);
        ck_rc(v1_sa_check_ike(&choice, &sa, ike, 4, psk, 1, &err),
              rows[i].rc == SL_OK ? SL_OK : SL_IKE_NO_PROPOSAL, &err);
    }
    struct v1_ike_choice choice;
    read_one(V1_PROTO_ISAKMP, 2, rows[0].attrs); /* not KEY_IKE */
    ck_rc(v1_sa_select_ike(&choice, &sa, ike, 4, psk, 1, IKE_PREFER_PEER, &err), SL_IKE_NO_PROPOSAL,
          &err);
}
END_TEST

START_TEST(quick_mode_offer_is_chosen_answered_and_taken)
{
    struct v1_esp_choice choice, taken;
    struct ike_wr c = begin();
    ck_assert_int_eq(v1_esp_group(esp, SL_ARRAY_LEN(esp)), SL_KE_MODP2048);
    ck_ok(v1_put_sa_esp(&c, esp, 4, SL_KE_MODP2048, true, V1_ENCAP_UDP_TUNNEL, 0x01020304, 3600,
                        100000, &err),
          &err);
    read_sa(&c);
    ck_assert_uint_eq(sa.p[0].n, 4); /* two entries, each with ESN and without */
    ck_ok(v1_sa_select_esp(&choice, &sa, esp, 4, true, true, IKE_PREFER_PEER, &err), &err);
    ck_assert(choice.esn);
    ck_assert_uint_eq(choice.ours, 1);
    ck_assert_uint_eq(choice.life_s, 3600);
    ck_assert_uint_eq(choice.life_kb, 100000);
    ck_ok(v1_sa_select_esp(&choice, &sa, esp, 4, true, false, IKE_PREFER_PEER, &err), &err);
    ck_assert(!choice.esn);
    ck_bytes_eq(choice.spi, sl_test_hex("01020304"));
    ck_rc(v1_sa_select_esp(&choice, &sa, esp, 4, false, true, IKE_PREFER_PEER, &err),
          SL_IKE_NO_PROPOSAL, &err); /* there is no NAT */
    ck_rc(v1_sa_select_esp(&choice, &sa, esp + 3, 1, true, true, IKE_PREFER_PEER, &err),
          SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "AES-CBC-256 HMAC-SHA2-512 MODP-2048"));

    ck_ok(v1_sa_select_esp(&choice, &sa, esp + 2, 2, true, true, IKE_PREFER_OURS, &err), &err);
    ck_assert_int_eq(choice.suite.encr, SL_ENCR_AES_GCM_16);
    SL_AUTO_BUF attrs = { 0 };
    ck_assert(sl_buf_put(&attrs, choice.attrs));
    choice.attrs = sl_buf_bytes(&attrs);
    c = begin();
    v1_put_sa_esp_choice(&c, &choice, 0xaabbccdd);
    read_sa(&c);
    ck_ok(v1_sa_check_esp(&taken, &sa, esp, 4, SL_KE_MODP2048, true, V1_ENCAP_UDP_TUNNEL, &err),
          &err);
    ck_assert_uint_eq(taken.ours, 2);
    ck_bytes_eq(taken.spi, sl_test_hex("aabbccdd"));
    ck_rc(v1_sa_check_esp(&taken, &sa, esp, 4, SL_KE_MODP2048, false, V1_ENCAP_UDP_TUNNEL, &err),
          SL_IKE_NO_PROPOSAL, &err);
    ck_rc(v1_sa_check_esp(&taken, &sa, esp, 4, SL_KE_MODP2048, true, V1_ENCAP_TUNNEL, &err),
          SL_IKE_NO_PROPOSAL, &err);
    ck_rc(v1_sa_check_esp(&taken, &sa, esp, 4, SL_KE_NONE, true, V1_ENCAP_UDP_TUNNEL, &err),
          SL_IKE_NO_PROPOSAL, &err);
    c = begin();
    ck_rc(v1_put_sa_esp(&c, esp, 4, SL_KE_ECP256, true, V1_ENCAP_TUNNEL, 1, 60, 0, &err),
          SL_IKE_NO_PROPOSAL, &err); /* ChaCha20-Poly1305 alone has that group */
}
END_TEST

START_TEST(weak_and_odd_transforms_of_esp_are_refused_by_name)
{
    static const struct {
        uint8_t id;
        const char *attrs;
        enum sl_rc rc;
        const char *text;
    } rows[] = {
        { 12, "80060080 80050005 80040001", SL_OK, "" },
        { 12, "80060080 80050005 80040001 80010001 80027080 80010002 00020004 00100000", SL_OK,
          "" },
        { 12, "80060080 80050005 80040001 80010001 0002000a 01000000000000000000", SL_OK, "" },
        { 3, "80050002 80040001", SL_WEAK_ALGORITHM, "3DES with HMAC-SHA1" },
        { 12, "80060080 80050002 80040001", SL_WEAK_ALGORITHM, "HMAC-SHA1" },
        { 12, "80060080 80050001 80040001 80030002", SL_WEAK_ALGORITHM, "HMAC-MD5 with MODP-1024" },
        { 11, "80050005 80040001", SL_WEAK_ALGORITHM, "NULL" },
        { 12, "80060080 80050005 80040002", SL_IKE_NO_PROPOSAL, "" },
        { 12, "80060080 80050005", SL_IKE_NO_PROPOSAL, "" },
        { 12, "80060080 80050005 80040003", SL_IKE_NO_PROPOSAL, "" },
        { 12, "80060080 80050005 80040001 8003000e", SL_IKE_NO_PROPOSAL, "MODP-2048" },
        { 12, "80060080 80040001", SL_IKE_NO_PROPOSAL, "AES-CBC-128" },
        { 12, "80060080 80050005 80040001 800b0002", SL_IKE_NO_PROPOSAL, "not known" },
        { 12, "80060080 80050005 80040001 80630002", SL_IKE_NO_PROPOSAL, "not known" },
    };
    struct v1_esp_choice choice;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        read_one(V1_PROTO_ESP, rows[i].id, rows[i].attrs);
        ck_rc(v1_sa_select_esp(&choice, &sa, esp, 4, false, true, IKE_PREFER_PEER, &err),
              rows[i].rc, &err);
        if (rows[i].rc != SL_OK)
            ck_assert_msg(strstr(err.text, rows[i].text) != NULL, "%s: %s", rows[i].text, err.text);
    }
    read_one(V1_PROTO_ESP, 12, rows[2].attrs);
    ck_ok(v1_sa_select_esp(&choice, &sa, esp, 4, false, true, IKE_PREFER_PEER, &err), &err);
    ck_assert_uint_eq(choice.life_s, UINT64_MAX);
    read_one(V1_PROTO_AH, 5, "80050005 80040001");
    ck_rc(v1_sa_select_esp(&choice, &sa, esp, 4, false, true, IKE_PREFER_PEER, &err),
          SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "no proposal for ESP"));
}
END_TEST

START_TEST(proposals_bundled_with_another_protocol_are_passed_over)
{
    struct v1_esp_choice choice;
    read_one(V1_PROTO_ESP, 12, "80060080 80050005 80040001");
    sa.p[1] = sa.p[0];
    sa.p[1].protocol = V1_PROTO_IPCOMP;
    sa.n = 2;
    ck_rc(v1_sa_select_esp(&choice, &sa, esp, 4, false, true, IKE_PREFER_PEER, &err),
          SL_IKE_NO_PROPOSAL, &err);
    sa.p[1].number++;
    ck_ok(v1_sa_select_esp(&choice, &sa, esp, 4, false, true, IKE_PREFER_PEER, &err), &err);
}
END_TEST

START_TEST(every_cut_of_an_sa_is_malformed)
{
    struct v1_sa cut;
    offer_ike(both, 2, 86400);
    struct sl_bytes body = list.p[0].body;
    for (size_t len = 0; len < body.len; len++) {
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, body.p, len);
        ck_rc(v1_sa_read(&cut, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        free(exact);
    }
    buf.p[4 + 3] = 2; /* another DOI */
    ck_rc(v1_sa_read(&cut, body, &err), SL_UNSUPPORTED, &err);
    buf.p[4 + 3] = 1;
    buf.p[4 + 7] = 3; /* a situation with labels */
    ck_rc(v1_sa_read(&cut, body, &err), SL_UNSUPPORTED, &err);
}
END_TEST

START_TEST(lifetimes_are_told_and_read)
{
    uint64_t s = 1, kb = 2;
    SL_AUTO_BUF out = { 0 };
    ck_assert(v1_lifetime_write(&out, false, 3600, 500000));
    ck_bytes_eq(sl_buf_bytes(&out), sl_test_hex("80010001 80020e10 80010002 00020004 0007a120"));
    ck_assert(v1_lifetime_read(&s, &kb, false, sl_buf_bytes(&out)));
    ck_assert_uint_eq(s, 3600);
    ck_assert_uint_eq(kb, 500000);
    ck_assert(!v1_lifetime_read(&s, &kb, true, sl_buf_bytes(&out)));
    ck_assert(v1_lifetime_read(&s, &kb, true, sl_test_hex("800b0001 800c0e11")));
    ck_assert_uint_eq(s, 3601);
    ck_assert_uint_eq(kb, 500000);
    ck_assert(!v1_lifetime_read(&s, &kb, true, sl_test_hex("800b0001 800c0e")));
    ck_assert_uint_eq(s, 3601);
}
END_TEST

START_TEST(methods_belong_to_keys)
{
    ck_assert_uint_eq(v1_auth_of_key(SL_KEY_RSA), 3);
    ck_assert_uint_eq(v1_auth_of_key(SL_KEY_EC_P256), 9);
    ck_assert_uint_eq(v1_auth_of_key(SL_KEY_EC_P384), 10);
    ck_assert_uint_eq(v1_auth_of_key(SL_KEY_EC_P521), 11);
    ck_assert_uint_eq(v1_auth_of_key(SL_KEY_ED25519), 0);
    ck_assert_int_eq(v1_auth_sig(3), SL_SIG_RSA_PKCS1_RAW);
    ck_assert_int_eq(v1_auth_sig(11), SL_SIG_ECDSA_RAW);
    ck_assert_int_eq(v1_auth_sig(1), SL_SIG_NONE);
    ck_assert_int_eq(v1_auth_prf(11), SL_PRF_HMAC_SHA2_512);
    ck_assert_int_eq(v1_auth_prf(3), SL_PRF_NONE);
}
END_TEST

SL_TESTS(ikev1_proposal, SL_CASE(phase_1_offer_is_chosen_answered_and_taken),
         SL_CASE(phase_1_without_a_usable_proposal_says_why),
         SL_CASE(weak_and_odd_transforms_of_phase_1_are_refused_by_name),
         SL_CASE(quick_mode_offer_is_chosen_answered_and_taken),
         SL_CASE(weak_and_odd_transforms_of_esp_are_refused_by_name),
         SL_CASE(proposals_bundled_with_another_protocol_are_passed_over),
         SL_CASE(every_cut_of_an_sa_is_malformed), SL_CASE(lifetimes_are_told_and_read),
         SL_CASE(methods_belong_to_keys))
