/* Unit tests of src/ike/proposal.h: reading, writing and choosing proposals. */
#include "ike_vectors.h"
#include "src/ike/proposal.h"

#include <stdlib.h>

#define GCM128                                 \
    {                                          \
        SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE \
    }
#define CHACHA                                        \
    {                                                 \
        SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE \
    }
#define CBC256                                           \
    {                                                    \
        SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 \
    }
static const struct sl_bytes no_spi;

static const struct sl_conf_ike_proposal ike_ours[] = {
    { GCM128, SL_PRF_HMAC_SHA2_256, SL_KE_CURVE25519, { .may_skip = 0 } },
    { CBC256, SL_PRF_HMAC_SHA2_384, SL_KE_MODP3072, { .may_skip = 0 } },
    { CHACHA, SL_PRF_HMAC_SHA2_512, SL_KE_ECP384, { .may_skip = 0 } },
};
static const struct sl_conf_esp_proposal esp_ours[] = {
    { GCM128, SL_KE_CURVE25519, { .may_skip = 0 } },
    { CBC256, SL_KE_NONE, { .may_skip = 0 } },
};

/* ---- a peer's offer, made by hand: "1:20/128 2:5 4:31 | 1:12/256 ..." (type:id/key bits) ---------- */
static void put_transform(struct sl_wr *w, bool last, unsigned type, unsigned id, unsigned bits)
{
    sl_wr_u8(w, last ? 0 : 3);
    sl_wr_u8(w, 0);
    sl_wr_u16(w, bits ? 12 : 8);
    sl_wr_u8(w, (uint8_t)type);
    sl_wr_u8(w, 0);
    sl_wr_u16(w, (uint16_t)id);
    if (bits) {
        sl_wr_u16(w, 0x800e);
        sl_wr_u16(w, (uint16_t)bits);
    }
}

static void offer(struct sl_buf *b, uint8_t protocol, struct sl_bytes spi, const char *text)
{
    struct sl_wr w = sl_wr_buf(b, SL_BUF_MAX);
    uint8_t number = 1;
    b->len = 0;
    w.len = 0;
    for (const char *at = text; *at;) {
        const char *end = strchr(at, '|');
        size_t start = w.len, n = 0;
        end = end ? end : at + strlen(at);
        sl_wr_u8(&w, *end ? 2 : 0);
        sl_wr_u8(&w, 0);
        sl_wr_u16(&w, 0);
        sl_wr_u8(&w, number++);
        sl_wr_u8(&w, protocol);
        sl_wr_u8(&w, (uint8_t)spi.len);
        sl_wr_u8(&w, 0);
        sl_wr_put(&w, spi);
        while (at < end) {
            unsigned type = 0, id = 0, bits = 0;
            int used = 0, more = 0;
            ck_assert_int_eq(sscanf(at, " %u:%u%n", &type, &id, &used), 2);
            at += used;
            if (*at == '/') {
                ck_assert_int_eq(sscanf(at, "/%u%n", &bits, &more), 1);
                at += more;
            }
            while (at < end && *at == ' ')
                at++;
            put_transform(&w, at == end, type, id, bits);
            n++;
        }
        sl_wr_patch16(&w, start + 2, (uint16_t)(w.len - start));
        b->p[start + 7] = (uint8_t)n;
        at = *end ? end + 1 : end;
    }
    ck_assert(sl_wr_ok(&w));
}

static enum sl_rc select_ike(struct ike_choice *out, const char *text, enum ike_prefer prefer,
                             struct sl_err *err)
{
    static struct sl_buf b;
    static struct ike_sa sa;
    offer(&b, IKE_PROTO_IKE, no_spi, text);
    SL_TRY(ike_sa_read(&sa, sl_buf_bytes(&b), err));
    return ike_sa_select_ike(out, &sa, ike_ours, SL_ARRAY_LEN(ike_ours), IKE_OFFER_INIT, prefer,
                             err);
}

static enum sl_rc select_esp(struct ike_choice *out, const char *text, bool with_ke, bool esn,
                             struct sl_err *err)
{
    static struct sl_buf b;
    static struct ike_sa sa;
    offer(&b, IKE_PROTO_ESP, sl_test_hex("c0ffee01"), text);
    SL_TRY(ike_sa_read(&sa, sl_buf_bytes(&b), err));
    return ike_sa_select_esp(out, &sa, esp_ours, SL_ARRAY_LEN(esp_ours), with_ke, esn,
                             IKE_PREFER_PEER, err);
}

/* The body of the one payload that was written. */
static struct sl_bytes body_of(const struct sl_buf *b)
{
    return sl_bytes(b->p + 4, b->len - 4);
}

/* ---- both ends with our own writer ------------------------------------------------------------------ */
START_TEST(ike_offer_chosen_and_answered_agrees_on_both_sides)
{
    SL_AUTO_BUF b = { 0 }, a = { 0 };
    struct ike_sa sa;
    struct ike_choice r, i;
    struct sl_err err = { 0 };
    for (size_t k = 0; k < SL_ARRAY_LEN(ike_ours); k++) {
        struct sl_bytes spi = k ? sl_test_hex("0102030405060708") : no_spi; /* rekey and first */
        b.len = a.len = 0;
        struct ike_wr c = ike_wr_chain(&b);
        ike_put_sa_ike(&c, ike_ours, SL_ARRAY_LEN(ike_ours), spi);
        ck_assert(ike_wr_end(&c));
        ck_ok(ike_sa_read(&sa, body_of(&b), &err), &err);
        ck_assert_uint_eq(sa.n, SL_ARRAY_LEN(ike_ours));
        ck_ok(ike_sa_select_ike(&r, &sa, &ike_ours[k], 1, k ? IKE_OFFER_REKEY : IKE_OFFER_INIT,
                                IKE_PREFER_PEER, &err),
              &err);
        ck_assert_uint_eq(r.number, k + 1);
        ck_bytes_eq(r.spi, spi);
        struct ike_wr d = ike_wr_chain(&a);
        ike_put_sa_choice(&d, &r, k ? sl_test_hex("1112131415161718") : no_spi);
        ck_assert(ike_wr_end(&d));
        ck_ok(ike_sa_read(&sa, body_of(&a), &err), &err);
        ck_ok(ike_sa_check_ike(&i, &sa, ike_ours, SL_ARRAY_LEN(ike_ours),
                               k ? IKE_OFFER_REKEY : IKE_OFFER_INIT, &err),
              &err);
        ck_assert_uint_eq(i.ours, k);
        ck_assert_int_eq(i.prf, ike_ours[k].prf);
        ck_assert_int_eq(i.ke, ike_ours[k].ke);
        ck_assert_int_eq(i.suite.encr, ike_ours[k].suite.encr);
        ck_assert_uint_eq(i.suite.key_bits, ike_ours[k].suite.key_bits);
        ck_assert_int_eq(i.suite.integ, ike_ours[k].suite.integ);
    }
}
END_TEST

START_TEST(esp_offer_chosen_and_answered_agrees_on_both_sides)
{
    for (unsigned bits = 0; bits < 16; bits++) {
        bool with_ke = bits & 1, esn_i = bits & 2, esn_r = bits & 4;
        size_t k = bits >> 3;
        SL_AUTO_BUF b = { 0 }, a = { 0 };
        struct ike_sa sa;
        struct ike_choice r, i;
        struct sl_err err = { 0 };
        struct ike_wr c = ike_wr_chain(&b);
        ike_put_sa_esp(&c, esp_ours, 2, sl_test_hex("01020304"), with_ke, esn_i);
        ck_assert(ike_wr_end(&c));
        ck_ok(ike_sa_read(&sa, body_of(&b), &err), &err);
        ck_ok(ike_sa_select_esp(&r, &sa, &esp_ours[k], 1, with_ke, esn_r, IKE_PREFER_PEER, &err),
              &err);
        ck_assert_int_eq(r.esn, esn_i && esn_r);
        ck_assert_int_eq(r.ke, with_ke ? esp_ours[k].ke : SL_KE_NONE);
        struct ike_wr d = ike_wr_chain(&a);
        ike_put_sa_choice(&d, &r, sl_test_hex("0a0b0c0d"));
        ck_assert(ike_wr_end(&d));
        ck_ok(ike_sa_read(&sa, body_of(&a), &err), &err);
        ck_ok(ike_sa_check_esp(&i, &sa, esp_ours, 2, with_ke, esn_i, &err), &err);
        ck_assert_uint_eq(i.ours, k);
        ck_assert_int_eq(i.esn, r.esn);
        ck_assert_int_eq(i.ke, r.ke);
        ck_bytes_eq(i.spi, sl_test_hex("0a0b0c0d"));
    }
}
END_TEST

/* ---- choosing among a peer's many ------------------------------------------------------------------- */
START_TEST(order_of_the_peer_or_ours_decides)
{
    struct ike_choice c;
    struct sl_err err = { 0 };
    const char *peer = "1:28 2:7 4:20 | 1:12/256 3:12 2:6 4:15 | 1:20/128 2:5 4:31";
    ck_ok(select_ike(&c, peer, IKE_PREFER_PEER, &err), &err);
    ck_assert_uint_eq(c.number, 1);
    ck_assert_uint_eq(c.ours, 2);
    ck_ok(select_ike(&c, peer, IKE_PREFER_OURS, &err), &err);
    ck_assert_uint_eq(c.number, 3);
    ck_assert_uint_eq(c.ours, 0);
    /* within one proposal the order of the ciphers decides */
    ck_ok(select_ike(&c, "1:28 1:20/256 1:20/128 2:5 2:7 4:31 4:20", IKE_PREFER_PEER, &err), &err);
    ck_assert_int_eq(c.suite.encr, SL_ENCR_CHACHA20_POLY1305);
    ck_ok(select_ike(&c, "1:20/256 1:20/128 1:28 2:5 2:7 4:31 4:20", IKE_PREFER_PEER, &err), &err);
    ck_assert_int_eq(c.suite.encr, SL_ENCR_AES_GCM_16);
    ck_assert_uint_eq(c.suite.key_bits, 128);
}
END_TEST

START_TEST(transforms_that_do_not_fit_are_not_chosen)
{
    static const char *const bad[] = {
        "1:20 2:5 4:31",          /* no key length */
        "1:20/192 2:5 4:31",      /* another key length */
        "1:28/256 2:7 4:20",      /* RFC 7634: ChaCha20 has no key length */
        "1:20/128 3:12 2:5 4:31", /* an AEAD beside integrity alone */
        "1:12/256 2:6 4:15",      /* CBC without integrity */
        "1:12/256 3:0 2:6 4:15",  /* the same, said */
        "1:20/128 4:31",          /* no PRF */
        "1:20/128 2:5",           /* no group */
        "1:20/128 2:5 4:31 6:36", /* an additional key exchange that we do not have */
        "1:20/128 2:5 4:31 5:0",  /* ESN has no place in IKE */
        "2:5 4:31",               /* no cipher */
    };
    struct ike_choice c;
    struct sl_err err = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(select_ike(&c, bad[i], IKE_PREFER_PEER, &err) == SL_IKE_NO_PROPOSAL, "%s",
                      bad[i]);
    ck_ok(select_ike(&c, "1:20/128 3:0 2:5 4:31", IKE_PREFER_PEER, &err), &err);
    ck_assert(c.has_integ);
    ck_ok(select_ike(&c, "1:20/128 2:5 4:31 6:36 | 1:20/128 2:5 4:31", IKE_PREFER_PEER, &err),
          &err);
    ck_assert_uint_eq(c.number, 2);
}
END_TEST

START_TEST(esp_rules_of_group_and_esn)
{
    struct ike_choice c;
    struct sl_err err = { 0 };
    ck_rc(select_esp(&c, "1:20/128", false, true, &err), SL_IKE_NO_PROPOSAL,
          &err); /* no ESN at all */
    ck_rc(select_esp(&c, "1:20/128 5:1", false, false, &err), SL_IKE_NO_PROPOSAL, &err);
    ck_ok(select_esp(&c, "1:20/128 5:1 5:0", false, false, &err), &err);
    ck_assert(!c.esn);
    ck_ok(select_esp(&c, "1:20/128 5:0 5:1", false, true, &err), &err);
    ck_assert(!c.esn);                                                   /* the peer's order */
    ck_ok(select_esp(&c, "1:20/128 4:14 5:0", false, true, &err), &err); /* in IKE_AUTH: ignored */
    ck_assert(!c.has_ke && c.ke == SL_KE_NONE);
    ck_rc(select_esp(&c, "1:20/128 4:14 5:0", true, true, &err), SL_IKE_NO_PROPOSAL, &err);
    ck_rc(select_esp(&c, "1:20/128 5:0", true, true, &err), SL_IKE_NO_PROPOSAL,
          &err); /* PFS is ours */
    ck_ok(select_esp(&c, "1:12/256 3:12 4:14 4:0 5:0", true, true, &err), &err);
    ck_assert(c.has_ke && c.ke == SL_KE_NONE); /* the answer must say NONE */
    ck_rc(select_esp(&c, "1:20/128 2:5 5:0", false, true, &err), SL_IKE_NO_PROPOSAL, &err);
}
END_TEST

START_TEST(weak_offers_are_refused_by_name)
{
    struct ike_choice c;
    struct sl_err err = { 0 };
    ck_rc(select_ike(&c, "1:3 3:12 2:5 4:2", IKE_PREFER_PEER, &err), SL_WEAK_ALGORITHM, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer offers only 3DES with MODP-1024; both are refused as too weak");
    ck_rc(select_ike(&c, "1:20/128 2:5 4:2", IKE_PREFER_PEER, &err), SL_WEAK_ALGORITHM, &err);
    ck_assert_str_eq(sl_err_text(&err), "peer offers only MODP-1024; it is refused as too weak");
    ck_rc(select_ike(&c, "1:3 1:2 3:2 2:2 4:2 4:5", IKE_PREFER_PEER, &err), SL_WEAK_ALGORITHM,
          &err);
    ck_assert_str_eq(
        sl_err_text(&err),
        "peer offers only 3DES or DES with HMAC-SHA1-96 with PRF-HMAC-SHA1 with MODP-1024 or "
        "MODP-1536; all are refused as too weak");
    ck_rc(select_ike(&c, "1:3 3:12 2:5 4:14 | 1:20/128 2:5 4:2 | 1:3 3:12 2:5 4:15",
                     IKE_PREFER_PEER, &err),
          SL_WEAK_ALGORITHM, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer offers only 3DES, or MODP-1024; both are refused as too weak");
    ck_rc(select_esp(&c, "1:11 3:12 5:0", false, true, &err), SL_WEAK_ALGORITHM, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer offers only NULL encryption; it is refused as too weak");
}
END_TEST

START_TEST(weak_configuration_is_never_offered_a_match)
{
    const struct sl_conf_ike_proposal weak = {
        CBC256, SL_PRF_HMAC_SHA1, SL_KE_MODP2048, { .may_skip = 0 }
    };
    SL_AUTO_BUF b = { 0 };
    struct ike_sa sa;
    struct ike_choice c;
    struct sl_err err = { 0 };
    offer(&b, IKE_PROTO_IKE, no_spi, "1:12/256 3:12 2:2 4:14");
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_rc(ike_sa_select_ike(&c, &sa, &weak, 1, IKE_OFFER_INIT, IKE_PREFER_PEER, &err),
          SL_WEAK_ALGORITHM, &err);
    ck_assert_str_eq(sl_err_text(&err),
                     "peer offers only PRF-HMAC-SHA1; it is refused as too weak");
}
END_TEST

START_TEST(no_common_offer_names_both_sides)
{
    struct ike_choice c;
    struct sl_err err = { 0 };
    ck_rc(
        select_ike(&c, "1:20/256 1:3 2:5 4:14 4:99 | 1:20/256 2:5 4:2 4:14", IKE_PREFER_PEER, &err),
        SL_IKE_NO_PROPOSAL, &err);
    ck_assert_str_eq(
        sl_err_text(&err),
        "no IKE proposal in common: peer offers AES-GCM-16-256/3DES PRF-HMAC-SHA2-256 "
        "MODP-2048/group 99/MODP-1024; ours: aes128gcm16 PRF-HMAC-SHA2-256 Curve25519, "
        "aes256-sha256 PRF-HMAC-SHA2-384 MODP-3072, chacha20poly1305 PRF-HMAC-SHA2-512 ECP-384");
    ck_rc(select_ike(&c, "1:20/128 2:5 4:14", IKE_PREFER_PEER, &err), SL_IKE_NO_PROPOSAL, &err);
}
END_TEST

/* ---- the peer's answer --------------------------------------------------------------------------------- */
START_TEST(answer_other_than_offered_is_refused)
{
    static const char *const bad[] = {
        "1:20/256 2:5 4:31",                 /* never offered */
        "1:20/128 2:5 4:14",                 /* another group */
        "1:20/128 1:28 2:5 4:31",            /* two ciphers */
        "1:20/128 2:5 2:6 4:31",             /* two PRFs */
        "1:20/128 2:5 4:31 | 1:28 2:7 4:20", /* two proposals */
        "1:12/256 3:12 2:6 4:15",            /* number 2 under number 1 */
    };
    SL_AUTO_BUF b = { 0 };
    struct ike_sa sa;
    struct ike_choice c;
    struct sl_err err = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        offer(&b, IKE_PROTO_IKE, no_spi, bad[i]);
        ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
        ck_assert_msg(ike_sa_check_ike(&c, &sa, ike_ours, 3, IKE_OFFER_INIT, &err) ==
                          SL_IKE_NO_PROPOSAL,
                      "%s", bad[i]);
    }
    offer(&b, IKE_PROTO_IKE, no_spi, "1:20/128 2:5 4:31");
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_ok(ike_sa_check_ike(&c, &sa, ike_ours, 3, IKE_OFFER_INIT, &err), &err);
    ck_rc(ike_sa_check_ike(&c, &sa, ike_ours, 3, IKE_OFFER_REKEY, &err), SL_IKE_NO_PROPOSAL,
          &err); /* no SPI */
    b.p[4] = 4;  /* a number that was not offered */
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_rc(ike_sa_check_ike(&c, &sa, ike_ours, 3, IKE_OFFER_INIT, &err), SL_IKE_NO_PROPOSAL, &err);
    offer(&b, IKE_PROTO_ESP, sl_test_hex("01020304"), "1:20/128 5:1 5:0");
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_rc(ike_sa_check_esp(&c, &sa, esp_ours, 2, false, true, &err), SL_IKE_NO_PROPOSAL, &err);
    offer(&b, IKE_PROTO_ESP, sl_test_hex("01020304"), "1:20/128 5:1");
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_rc(ike_sa_check_esp(&c, &sa, esp_ours, 2, false, false, &err), SL_IKE_NO_PROPOSAL, &err);
    offer(&b, IKE_PROTO_ESP, sl_test_hex("01020304"), "1:20/128 4:31 5:0");
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_rc(ike_sa_check_esp(&c, &sa, esp_ours, 2, false, true, &err), SL_IKE_NO_PROPOSAL, &err);
}
END_TEST

START_TEST(groups_that_may_be_asked_for_are_those_offered)
{
    ck_assert(ike_offers_ke_ike(ike_ours, 3, SL_KE_MODP3072));
    ck_assert(!ike_offers_ke_ike(ike_ours, 3, SL_KE_MODP1024));
    ck_assert(ike_offers_ke_esp(esp_ours, 2, SL_KE_CURVE25519));
    ck_assert(!ike_offers_ke_esp(esp_ours, 2, SL_KE_NONE));
}
END_TEST

/* ---- format ------------------------------------------------------------------------------------------------ */
START_TEST(payload_cut_at_any_byte_is_malformed)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_sa sa;
    offer(&b, IKE_PROTO_IKE, sl_test_hex("0102030405060708"),
          "1:20/128 1:12/256 3:12 2:5 4:31 | 1:28 2:7 4:20");
    for (size_t len = 0; len < b.len; len++) {
        struct sl_err err = { 0 };
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, b.p, len);
        ck_rc(ike_sa_read(&sa, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        free(exact);
    }
}
END_TEST

START_TEST(format_that_lies_is_malformed)
{
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {
        { 0, 2 },                            /* more proposals are promised */
        { 0, 1 },                            /* no such marker */
        { 3, 7 },                            /* proposal shorter than its header */
        { 3, 0 },   { 3, 255 },  { 4, 0 },   /* number 0 */
        { 6, 4 },                            /* SPI size of ESP */
        { 6, 255 },                          /* SPI past the end */
        { 7, 0 },   { 7, 2 },    { 7, 4 },   /* counts of transforms */
        { 8, 0 },                            /* first transform says it is the last */
        { 11, 7 },                           /* transform shorter than its header */
        { 11, 0 },  { 11, 255 }, { 11, 11 }, /* cuts the attribute */
        { 20, 0 },                           /* second says it is the last */
        { 28, 3 },                           /* the last says there are more */
    };
    SL_AUTO_BUF b = { 0 };
    struct ike_sa sa;
    struct sl_err err = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(lies); i++) {
        offer(&b, IKE_PROTO_IKE, no_spi, "1:20/128 2:5 4:31");
        ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
        b.p[lies[i].at] = lies[i].value;
        ck_assert_msg(ike_sa_read(&sa, sl_buf_bytes(&b), &err) == SL_IKE_MALFORMED, "byte %zu = %u",
                      lies[i].at, lies[i].value);
    }
    offer(&b, IKE_PROTO_IKE, no_spi, "1:20/128 2:5 4:31 | 1:20/128 2:5 4:31");
    b.p[b.len / 2 + 4] = 1; /* a number twice */
    ck_rc(ike_sa_read(&sa, sl_buf_bytes(&b), &err), SL_IKE_MALFORMED, &err);
}
END_TEST

START_TEST(attributes_not_known_make_a_transform_unusable)
{
    struct ike_sa sa;
    struct ike_transform t;
    struct ike_choice c;
    struct sl_err err = { 0 };
    /* AES-GCM with Key Length 128 and a TLV attribute of type 99 */
    struct sl_bytes body = sl_test_hex("00 00 002a 01 01 00 03"
                                       "03 00 0012 01 00 0014 800e 0080 0063 0002 abcd"
                                       "03 00 0008 02 00 0005"
                                       "00 00 0008 04 00 001f");
    ck_ok(ike_sa_read(&sa, body, &err), &err);
    struct sl_rd r = sl_rd(sa.p[0].body);
    ck_assert(ike_transform_next(&t, &r));
    ck_assert(t.unknown_attr);
    ck_assert_uint_eq(t.key_bits, 128);
    ck_rc(ike_sa_select_ike(&c, &sa, ike_ours, 3, IKE_OFFER_INIT, IKE_PREFER_PEER, &err),
          SL_IKE_NO_PROPOSAL, &err);
}
END_TEST

START_TEST(counts_past_the_limits_are_refused)
{
    SL_AUTO_BUF text = { 0 }, b = { 0 };
    struct ike_sa sa;
    struct sl_err err = { 0 };
    for (size_t i = 0; i < IKE_PROPOSALS_MAX; i++)
        ck_assert(sl_buf_put_str(&text, i ? "|1:28 2:7 4:20" : "1:28 2:7 4:20"));
    ck_assert(sl_buf_nul(&text));
    offer(&b, IKE_PROTO_IKE, no_spi, (const char *)text.p);
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_assert(sl_buf_put_str(&text, "|1:28 2:7 4:20") && sl_buf_nul(&text));
    offer(&b, IKE_PROTO_IKE, no_spi, (const char *)text.p);
    ck_rc(ike_sa_read(&sa, sl_buf_bytes(&b), &err), SL_TOO_LARGE, &err);
    text.len = 0;
    for (size_t i = 0; i < IKE_TRANSFORMS_MAX; i++)
        ck_assert(sl_buf_put_str(&text, "1:28 "));
    ck_assert(sl_buf_nul(&text));
    offer(&b, IKE_PROTO_IKE, no_spi, (const char *)text.p);
    ck_ok(ike_sa_read(&sa, sl_buf_bytes(&b), &err), &err);
    ck_assert(sl_buf_put_str(&text, "1:28") && sl_buf_nul(&text));
    offer(&b, IKE_PROTO_IKE, no_spi, (const char *)text.p);
    ck_rc(ike_sa_read(&sa, sl_buf_bytes(&b), &err), SL_TOO_LARGE, &err);
}
END_TEST

START_TEST(offers_of_strongswan_are_chosen)
{
    static struct vec v;
    static struct ike_sa sa;
    for (size_t k = 0; k < SL_ARRAY_LEN(vec_exchanges); k++) {
        const struct vec_exchange *x = &vec_exchanges[k];
        const struct sl_conf_ike_proposal ours = { x->suite, x->prf, x->ke, { .may_skip = 0 } };
        vec_load(&v, x->name);
        for (size_t i = 0; i < 2; i++) {
            struct sl_bytes msg;
            bool from_initiator;
            struct ike_message m;
            struct ike_choice c;
            struct sl_err err = { 0 };
            ck_assert(vec_msg(&v, i, &msg, &from_initiator));
            ck_ok(ike_message_read(&m, msg, &err), &err);
            struct sl_bytes body = ike_payloads_find(&m.list, IKE_P_SA)->body;
            ck_ok(ike_sa_read(&sa, body, &err), &err);
            ck_ok(i ? ike_sa_check_ike(&c, &sa, &ours, 1, IKE_OFFER_INIT, &err)
                    : ike_sa_select_ike(&c, &sa, &ours, 1, IKE_OFFER_INIT, IKE_PREFER_PEER, &err),
                  &err);
            /* strongSwan writes its transforms in our order, so the payload comes out the same */
            SL_AUTO_BUF b = { 0 };
            struct ike_wr w = ike_wr_chain(&b);
            ike_put_sa_choice(&w, &c, no_spi);
            ck_assert(ike_wr_end(&w));
            ck_bytes_eq(body_of(&b), body);
        }
    }
}
END_TEST

START_TEST(names_and_strength_of_transforms)
{
    char out[IKE_TEXT];
    ck_assert_str_eq(ike_transform_text(out, &(struct ike_transform){ IKE_T_ENCR, 20, 128, false }),
                     "AES-GCM-16-128");
    ck_assert_str_eq(ike_transform_text(out, &(struct ike_transform){ IKE_T_KE, 99, 0, false }),
                     "group 99");
    ck_assert_str_eq(ike_transform_text(out, &(struct ike_transform){ IKE_T_ADDKE1, 36, 0, false }),
                     "with ML-KEM-768");
    ck_assert_str_eq(ike_transform_text(out, &(struct ike_transform){ 77, 5, 0, false }),
                     "transform 5");
    ck_assert(ike_transform_weak(&(struct ike_transform){ IKE_T_PRF, SL_PRF_HMAC_SHA1, 0, false }));
    ck_assert(
        !ike_transform_weak(&(struct ike_transform){ IKE_T_PRF, SL_PRF_HMAC_SHA2_256, 0, false }));
    ck_assert(!ike_transform_weak(&(struct ike_transform){ IKE_T_KE, 99, 0, false }));
}
END_TEST

SL_TESTS(ike_proposal, SL_CASE(ike_offer_chosen_and_answered_agrees_on_both_sides),
         SL_CASE(esp_offer_chosen_and_answered_agrees_on_both_sides),
         SL_CASE(order_of_the_peer_or_ours_decides),
         SL_CASE(transforms_that_do_not_fit_are_not_chosen), SL_CASE(esp_rules_of_group_and_esn),
         SL_CASE(weak_offers_are_refused_by_name),
         SL_CASE(weak_configuration_is_never_offered_a_match),
         SL_CASE(no_common_offer_names_both_sides), SL_CASE(answer_other_than_offered_is_refused),
         SL_CASE(groups_that_may_be_asked_for_are_those_offered),
         SL_CASE(payload_cut_at_any_byte_is_malformed), SL_CASE(format_that_lies_is_malformed),
         SL_CASE(attributes_not_known_make_a_transform_unusable),
         SL_CASE(counts_past_the_limits_are_refused), SL_CASE(offers_of_strongswan_are_chosen),
         SL_CASE(names_and_strength_of_transforms))
