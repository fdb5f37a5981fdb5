/*
 * Additional key exchanges in proposals (RFC 9370 2.2.2): as they are written in the configuration,
 * and offered, chosen and checked in SA payloads.
 */
#include "src/base/config_proposal.h"
#include "src/ike/proposal.h"
#include "support/support.h"

#include <string.h>

static struct sl_err err;

static struct sl_conf_ike_proposal ike(const char *text)
{
    struct sl_conf_ike_proposal p;
    char why[320] = "";
    ck_assert_msg(conf_ike_proposal(&p, text, why, sizeof(why)), "%s: %s", text, why);
    return p;
}

START_TEST(words_of_additional_key_exchanges_are_read)
{
    struct sl_conf_ike_proposal p = ike("aes256gcm16-prfsha384-curve25519-ke1_mlkem768");
    ck_assert_int_eq(p.ke, SL_KE_CURVE25519);
    ck_assert_int_eq(p.add.ke[0], SL_KE_MLKEM768);
    ck_assert_int_eq(p.add.ke[1], SL_KE_NONE);
    ck_assert_uint_eq(p.add.may_skip, 0);
    p = ike("ke7_ecp521-aes128gcm16-prfsha256-x25519-ke2_ecp384-ke2_none");
    ck_assert_int_eq(p.add.ke[1], SL_KE_ECP384);
    ck_assert_int_eq(p.add.ke[6], SL_KE_ECP521);
    ck_assert_uint_eq(p.add.may_skip, 2);
    struct sl_conf_esp_proposal esp;
    char why[320];
    ck_assert(conf_esp_proposal(&esp, "aes128gcm16-curve25519-ke1_mlkem1024", why, sizeof(why)));
    ck_assert_int_eq(esp.add.ke[0], SL_KE_MLKEM1024);
}
END_TEST

START_TEST(words_that_make_no_sense_are_refused_with_the_reason)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "aes128gcm16-ke1_ecp384", "need a first one" },
        { "aes128gcm16-curve25519-ke1_none", "only beside a method of its number" },
        { "aes128gcm16-curve25519-ke1_curve25519", "ke1_ repeats" },
        { "aes128gcm16-curve25519-ke1_ecp384-ke3_ecp384", "ke3_ repeats" },
        { "aes128gcm16-curve25519-ke1_ecp384-ke1_ecp256", "two additional key exchanges ke1_" },
        { "aes128gcm16-curve25519-ke8_ecp384", "unknown algorithm" },
        { "aes128gcm16-curve25519-ke0_ecp384", "unknown algorithm" },
        { "aes128gcm16-curve25519-ke1_", "unknown algorithm" },
        { "aes128gcm16-curve25519-ke1_aes128", "unknown algorithm" },
        { "aes128gcm16-curve25519-ke1_mlkem786", "nearest: \"mlkem768\"" },
        { "aes128gcm16-curve25519-ke1_modp1024", "too weak" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_conf_esp_proposal p;
        char why[320] = "";
        ck_assert_msg(!conf_esp_proposal(&p, bad[i].text, why, sizeof(why)), "%s", bad[i].text);
        ck_assert_msg(strstr(why, bad[i].why) != NULL, "%s: %s", bad[i].text, why);
    }
}
END_TEST

/* What b, with its proposals, chooses from a's, checked by a again; its additional exchanges. */
static enum sl_rc settle(struct ike_choice *out, const char *a, const char *b,
                         enum ike_offer_kind kind)
{
    static struct ike_sa sa;
    struct sl_conf_ike_proposal ours = ike(a), theirs = ike(b);
    SL_AUTO_BUF offer = { 0 }, answer = { 0 };
    struct ike_wr w = ike_wr_chain(&offer);
    const struct sl_bytes spi =
        kind == IKE_OFFER_REKEY ? sl_test_hex("0102030405060708") : sl_bytes(NULL, 0);
    struct ike_choice c;
    ike_put_sa_ike(&w, &ours, 1, spi);
    ck_assert(ike_wr_end(&w));
    ck_ok(ike_sa_read(&sa, sl_bytes(offer.p + 4, offer.len - 4), &err), &err);
    const enum sl_rc rc = ike_sa_select_ike(&c, &sa, &theirs, 1, kind, IKE_PREFER_PEER, &err);
    if (rc != SL_OK)
        return rc;
    w = ike_wr_chain(&answer);
    ike_put_sa_choice(&w, &c, spi);
    ck_assert(ike_wr_end(&w));
    ck_ok(ike_sa_read(&sa, sl_bytes(answer.p + 4, answer.len - 4), &err), &err);
    ck_ok(ike_sa_check_ike(out, &sa, &ours, 1, kind, &err), &err);
    ck_assert(memcmp(out->add.ke, c.add.ke, sizeof(c.add.ke)) == 0);
    ck_assert(ike_addke_fits(&ours.add, &c.add) && ike_addke_fits(&theirs.add, &c.add));
    return SL_OK;
}
#define BASE "aes128gcm16-prfsha256-curve25519"

START_TEST(additional_key_exchanges_in_common_are_chosen_in_their_order)
{
    static const enum ike_offer_kind kinds[] = { IKE_OFFER_INIT_INTERMEDIATE, IKE_OFFER_REKEY };
    for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++) {
        struct ike_choice c;
        ck_ok(settle(&c, BASE "-ke1_ecp384", BASE "-ke1_ecp384", kinds[i]), &err);
        ck_assert_uint_eq(ike_addke_n(&c.add), 1);
        ck_ok(settle(&c, BASE "-ke2_ecp384-ke5_ecp256", BASE "-ke5_ecp256-ke2_ecp384", kinds[i]),
              &err);
        ck_assert_int_eq(ike_addke_get(&c.add, 0), SL_KE_ECP384);
        ck_assert_int_eq(ike_addke_get(&c.add, 1), SL_KE_ECP256);
        ck_assert_int_eq(ike_addke_get(&c.add, 2), SL_KE_NONE);
    }
}
END_TEST

START_TEST(additional_key_exchanges_that_may_be_skipped_are_skipped_only_then)
{
    static const char *const one = BASE "-ke1_ecp384", *const may = BASE "-ke1_ecp384-ke1_none";
    const enum ike_offer_kind kind = IKE_OFFER_INIT_INTERMEDIATE;
    struct ike_choice c;
    ck_ok(settle(&c, may, BASE, kind), &err);
    ck_assert_uint_eq(ike_addke_n(&c.add), 0);
    ck_ok(settle(&c, BASE, may, kind), &err);
    ck_assert_uint_eq(ike_addke_n(&c.add), 0);
    ck_ok(settle(&c, may, one, kind), &err);
    ck_assert_uint_eq(ike_addke_n(&c.add), 1);
    ck_ok(settle(&c, one, may, kind), &err);
    ck_assert_uint_eq(ike_addke_n(&c.add), 1);
    ck_ok(settle(&c, may, BASE "-ke1_ecp256-ke1_none", kind), &err);
    ck_assert_uint_eq(ike_addke_n(&c.add), 0);
    ck_rc(settle(&c, one, BASE, kind), SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "with ECP-384"));
    ck_rc(settle(&c, BASE, one, kind), SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "with ecp384"));
    ck_rc(settle(&c, one, BASE "-ke2_ecp384", kind), SL_IKE_NO_PROPOSAL, &err);
}
END_TEST

START_TEST(additional_key_exchanges_with_a_peer_without_intermediate_are_not_chosen)
{
    struct ike_choice c;
    ck_rc(settle(&c, BASE "-ke1_ecp384", BASE "-ke1_ecp384", IKE_OFFER_INIT), SL_IKE_NO_PROPOSAL,
          &err);
    ck_ok(settle(&c, BASE "-ke1_ecp384-ke1_none", BASE "-ke1_ecp384-ke1_none", IKE_OFFER_INIT),
          &err);
    ck_assert_uint_eq(ike_addke_n(&c.add), 0);
}
END_TEST

START_TEST(proposals_that_libcrypto_cannot_do_are_passed_over)
{
    static struct ike_sa sa;
    const struct sl_conf_ike_proposal conf[] = { ike(BASE "-ke1_mlkem768"), ike(BASE) };
    const bool has = sl_ke_supported(SL_KE_MLKEM768);
    SL_AUTO_BUF b = { 0 };
    struct ike_wr w = ike_wr_chain(&b);
    struct ike_choice c;
    ike_put_sa_ike(&w, conf, 2, sl_bytes(NULL, 0));
    ck_assert(ike_wr_end(&w));
    ck_ok(ike_sa_read(&sa, sl_bytes(b.p + 4, b.len - 4), &err), &err);
    ck_assert_uint_eq(sa.n, has ? 2 : 1);
    ck_assert_uint_eq(ike_first_ike(conf, 2), has ? 0 : 1);
    ck_assert(ike_offers_additional(conf, 2) == has);
    ck_ok(ike_sa_select_ike(&c, &sa, conf, 2, IKE_OFFER_INIT_INTERMEDIATE, IKE_PREFER_OURS, &err),
          &err);
    ck_assert_uint_eq(c.ours, has ? 0 : 1);
    if (has)
        return;
    ck_assert_uint_eq(ike_first_ike(conf, 1), 1);
    ck_rc(ike_sa_select_ike(&c, &sa, conf, 1, IKE_OFFER_INIT_INTERMEDIATE, IKE_PREFER_OURS, &err),
          SL_IKE_NO_PROPOSAL, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "libcrypto lacks ML-KEM"));
}
END_TEST

START_TEST(additional_key_exchanges_of_a_first_child_are_not_looked_at)
{
    static struct ike_sa sa;
    struct sl_conf_esp_proposal conf;
    char why[320];
    struct ike_choice c;
    ck_assert(conf_esp_proposal(&conf, "aes128gcm16-curve25519-ke1_ecp384", why, sizeof(why)));
    for (int with_ke = 0; with_ke < 2; with_ke++) {
        SL_AUTO_BUF b = { 0 };
        struct ike_wr w = ike_wr_chain(&b);
        ike_put_sa_esp(&w, &conf, 1, sl_test_hex("c0ffee01"), with_ke, false);
        ck_assert(ike_wr_end(&w));
        ck_ok(ike_sa_read(&sa, sl_bytes(b.p + 4, b.len - 4), &err), &err);
        ck_ok(ike_sa_select_esp(&c, &sa, &conf, 1, with_ke, false, IKE_PREFER_PEER, &err), &err);
        ck_assert_uint_eq(ike_addke_n(&c.add), (size_t)with_ke);
        ck_ok(ike_sa_select_esp(&c, &sa, &conf, 1, false, false, IKE_PREFER_PEER, &err), &err);
        ck_assert_uint_eq(ike_addke_n(&c.add), 0);
        ck_assert(ike_sa_check_esp(&c, &sa, &conf, 1, false, false, &err) ==
                  (with_ke ? SL_IKE_NO_PROPOSAL : SL_OK));
    }
}
END_TEST

SL_TESTS(ike_addke, SL_CASE(words_of_additional_key_exchanges_are_read),
         SL_CASE(words_that_make_no_sense_are_refused_with_the_reason),
         SL_CASE(additional_key_exchanges_in_common_are_chosen_in_their_order),
         SL_CASE(additional_key_exchanges_that_may_be_skipped_are_skipped_only_then),
         SL_CASE(additional_key_exchanges_with_a_peer_without_intermediate_are_not_chosen),
         SL_CASE(proposals_that_libcrypto_cannot_do_are_passed_over),
         SL_CASE(additional_key_exchanges_of_a_first_child_are_not_looked_at))
