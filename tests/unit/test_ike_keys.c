/*
 * Unit tests of src/ike/keys.h: derivation against the keys that another implementation logged
 * (tests/vectors/ikev2), NAT detection, cookies.
 */
#include "ike_vectors.h"

static void ck_secret(const struct sl_secret *s, const struct vec *v, const char *name)
{
    if (!vec_has(v, name)) {
        ck_assert_msg(s->len == 0, "%s is not empty", name);
        return;
    }
    struct sl_bytes want = vec_get(v, name);
    ck_assert_msg(s->len == want.len && memcmp(s->p, want.p, want.len) == 0, "%s differs", name);
}

struct init { /* the IKE_SA_INIT exchange of a vector */
    struct ike_message request, response;
    struct sl_bytes ni, nr;
};

static void read_init(struct init *x, const struct vec *v)
{
    struct sl_bytes msg;
    bool from_initiator;
    struct sl_err err = { 0 };
    ck_assert(vec_msg(v, 0, &msg, &from_initiator) && from_initiator);
    ck_ok(ike_message_read(&x->request, msg, &err), &err);
    ck_assert(vec_msg(v, 1, &msg, &from_initiator) && !from_initiator);
    ck_ok(ike_message_read(&x->response, msg, &err), &err);
    ck_assert(ike_nonce_read(&x->ni, ike_payloads_find(&x->request.list, IKE_P_NONCE)->body));
    ck_assert(ike_nonce_read(&x->nr, ike_payloads_find(&x->response.list, IKE_P_NONCE)->body));
}

START_TEST(keys_of_strongswan_are_derived)
{
    static struct vec v;
    static struct init x;
    for (size_t k = 0; k < SL_ARRAY_LEN(vec_exchanges); k++) {
        const struct vec_exchange *e = &vec_exchanges[k];
        struct sl_err err = { 0 };
        struct ike_keys keys = { 0 }, moved = { 0 };
        struct ike_child_keys child = { 0 };
        vec_load(&v, e->name);
        read_init(&x, &v);
        SL_AUTO_SECRET shared = vec_secret(&v, "shared.1");
        ck_ok(ike_keys_derive(&keys, e->prf, &e->suite, x.ni, x.nr, x.response.hdr.spi_i,
                              x.response.hdr.spi_r, &shared, &err),
              &err);
        ck_secret(&keys.d, &v, "sk_d.1");
        ck_secret(&keys.ai, &v, "sk_ai.1");
        ck_secret(&keys.ar, &v, "sk_ar.1");
        ck_secret(&keys.ei, &v, "sk_ei.1");
        ck_secret(&keys.er, &v, "sk_er.1");
        ck_secret(&keys.pi, &v, "sk_pi.1");
        ck_secret(&keys.pr, &v, "sk_pr.1");
        ike_keys_move(&moved, &keys);
        ck_assert_uint_eq(keys.d.len, 0);
        ck_secret(&moved.d, &v, "sk_d.1");
        ck_ok(ike_child_keys_derive(&child, e->prf, &moved.d, &e->child, NULL, x.ni, x.nr, NULL,
                                    &err),
              &err);
        ck_secret(&child.encr_i, &v, "encr_i.1");
        ck_secret(&child.integ_i, &v, "integ_i.1");
        ck_secret(&child.encr_r, &v, "encr_r.1");
        ck_secret(&child.integ_r, &v, "integ_r.1");
        /* signed octets of both sides; the IDs are those of the lab */
        SL_AUTO_BUF octets = { 0 };
        ck_assert(sl_buf_put_str(&octets, "before"));
        ck_ok(ike_signed_octets(&octets, e->prf, x.request.raw, x.nr, &moved.pi,
                                sl_test_hex("02000000 67772d612e6c6162"), &err),
              &err);
        ck_bytes_eq(sl_bytes(octets.p + 6, octets.len - 6), vec_get(&v, "octets.1"));
        octets.len = 0;
        ck_ok(ike_signed_octets(&octets, e->prf, x.response.raw, x.ni, &moved.pr,
                                sl_test_hex("02000000 67772d622e6c6162"), &err),
              &err);
        ck_bytes_eq(sl_buf_bytes(&octets), vec_get(&v, "octets.2"));
        ike_child_keys_clear(&child);
        ike_keys_clear(&moved);
    }
}
END_TEST

START_TEST(derivation_with_unusable_inputs_fails)
{
    static const uint8_t long_nonce[IKE_NONCE_MAX + 1];
    const uint8_t spi[IKE_SPI_LEN] = { 1 };
    const struct sl_suite suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE };
    const struct sl_suite weak = { SL_ENCR_3DES, 0, SL_INTEG_HMAC_SHA1_96 };
    struct sl_bytes nonce = sl_test_hex("000102030405060708090a0b0c0d0e0f");
    struct sl_err err = { 0 };
    struct ike_keys keys = { 0 };
    struct ike_child_keys child = { 0 };
    SL_AUTO_BUF octets = { 0 };
    SL_AUTO_SECRET shared = { 0 };
    ck_ok(sl_secret_copy(&shared, nonce, &err), &err);
    ck_rc(ike_keys_derive(&keys, SL_PRF_HMAC_SHA1, &suite, nonce, nonce, spi, spi, &shared, &err),
          SL_UNSUPPORTED, &err);
    ck_rc(
        ike_keys_derive(&keys, SL_PRF_HMAC_SHA2_256, &weak, nonce, nonce, spi, spi, &shared, &err),
        SL_UNSUPPORTED, &err);
    ck_rc(ike_keys_derive(&keys, SL_PRF_HMAC_SHA2_256, &suite,
                          sl_bytes(long_nonce, sizeof(long_nonce)), nonce, spi, spi, &shared, &err),
          SL_IKE_MALFORMED, &err);
    ck_rc(ike_child_keys_derive(&child, SL_PRF_HMAC_SHA2_256, &shared, &suite, NULL, nonce,
                                (struct sl_bytes){ 0 }, NULL, &err),
          SL_IKE_MALFORMED, &err);
    ck_rc(ike_signed_octets(&octets, SL_PRF_HMAC_SHA2_256, nonce, (struct sl_bytes){ 0 }, &shared,
                            nonce, &err),
          SL_INTERNAL, &err);
    ck_assert_uint_eq(keys.d.len + child.encr_i.len + octets.len, 0);
}
END_TEST

/* The lab's user-space ESP makes each side's source hash wrong on purpose, to force encapsulation. */
START_TEST(nat_detection_of_strongswan_is_read)
{
    static struct vec v;
    static struct init x;
    struct sl_endpoint a, b, other;
    ck_assert(sl_endpoint_parse(&a, "10.99.0.1:500", 0));
    ck_assert(sl_endpoint_parse(&b, "10.99.0.2:500", 0));
    ck_assert(sl_endpoint_parse(&other, "10.99.0.2:4500", 0));
    for (size_t k = 0; k < SL_ARRAY_LEN(vec_exchanges); k++) {
        uint8_t hash[IKE_NATD_LEN];
        bool local = true, remote = false;
        vec_load(&v, vec_exchanges[k].name);
        read_init(&x, &v);
        const struct ike_hdr *q = &x.request.hdr, *r = &x.response.hdr;
        ike_natd_hash(hash, r->spi_i, r->spi_r, &b);
        ck_bytes_eq(sl_bytes(hash, sizeof(hash)), vec_get(&v, "natd_src.1"));
        ike_natd_hash(hash, r->spi_i, r->spi_r, &a);
        ck_bytes_eq(sl_bytes(hash, sizeof(hash)), vec_get(&v, "natd_dst.1"));
        ck_assert(ike_natd_check(&x.response.list, r->spi_i, r->spi_r, &a, &b, &local, &remote));
        ck_assert(!local && remote);
        ck_assert(ike_natd_check(&x.request.list, q->spi_i, q->spi_r, &b, &a, &local, &remote));
        ck_assert(!local && remote);
        ck_assert(ike_natd_check(&x.request.list, q->spi_i, q->spi_r, &other, &a, &local, &remote));
        ck_assert(local);
    }
}
END_TEST

START_TEST(nat_detection_with_several_sources_takes_any)
{
    const uint8_t spi_i[IKE_SPI_LEN] = { 1 }, spi_r[IKE_SPI_LEN] = { 2 };
    struct sl_endpoint a, b, c;
    ck_assert(sl_endpoint_parse(&a, "[2001:db8::1]:500", 0));
    ck_assert(sl_endpoint_parse(&b, "[2001:db8::2]:500", 0));
    ck_assert(sl_endpoint_parse(&c, "192.0.2.1:500", 0));
    uint8_t ha[IKE_NATD_LEN], hb[IKE_NATD_LEN], hc[IKE_NATD_LEN];
    ike_natd_hash(ha, spi_i, spi_r, &a);
    ike_natd_hash(hb, spi_i, spi_r, &b);
    ike_natd_hash(hc, spi_i, spi_r, &c);
    SL_AUTO_BUF buf = { 0 };
    struct ike_payloads list;
    struct sl_err err = { 0 };
    bool local = true, remote = true;
    struct ike_wr w = ike_wr_chain(&buf);
    ike_put_notify(&w, IKE_N_NAT_DETECTION_SOURCE_IP, sl_bytes(hc, sizeof(hc)));
    ck_assert(ike_wr_end(&w));
    ck_ok(ike_payloads_read(&list, w.first, sl_buf_bytes(&buf), &err), &err);
    ck_assert(!ike_natd_check(&list, spi_i, spi_r, &a, &b, &local, &remote)); /* no destination */
    ike_put_notify(&w, IKE_N_NAT_DETECTION_SOURCE_IP, sl_bytes(hb, sizeof(hb)));
    ike_put_notify(&w, IKE_N_NAT_DETECTION_DESTINATION_IP, sl_bytes(ha, sizeof(ha)));
    ck_ok(ike_payloads_read(&list, w.first, sl_buf_bytes(&buf), &err), &err);
    ck_assert(ike_natd_check(&list, spi_i, spi_r, &a, &b, &local, &remote));
    ck_assert(!local && !remote);
    ck_assert(ike_natd_check(&list, spi_i, spi_r, &c, &b, &local, &remote));
    ck_assert(local && !remote);
}
END_TEST

START_TEST(cookie_holds_for_its_sender_alone)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, 1);
    struct sl_rng rng = sl_rng_seeded(&state);
    struct ike_cookie k;
    struct sl_endpoint a, b, port;
    const uint8_t spi[IKE_SPI_LEN] = { 1, 2, 3 }, spi2[IKE_SPI_LEN] = { 1, 2, 4 };
    struct sl_bytes ni = sl_test_hex("000102030405060708090a0b0c0d0e0f");
    struct sl_bytes ni2 = sl_test_hex("000102030405060708090a0b0c0d0e0f10");
    uint8_t cookie[IKE_COOKIE_LEN];
    struct sl_bytes c = sl_bytes(cookie, sizeof(cookie));
    ck_assert(sl_endpoint_parse(&a, "192.0.2.1:500", 0));
    ck_assert(sl_endpoint_parse(&b, "192.0.2.2:500", 0));
    ck_assert(sl_endpoint_parse(&port, "192.0.2.1:501", 0));
    ike_cookie_init(&k, &rng, 0);
    ike_cookie_make(cookie, &k, ni, &a, spi);
    ck_assert(ike_cookie_check(&k, c, ni, &a, spi));
    ck_assert(!ike_cookie_check(&k, c, ni, &b, spi));
    ck_assert(!ike_cookie_check(&k, c, ni, &port, spi));
    ck_assert(!ike_cookie_check(&k, c, ni2, &a, spi));
    ck_assert(!ike_cookie_check(&k, c, ni, &a, spi2));
    ck_assert(!ike_cookie_check(&k, sl_bytes(cookie, IKE_COOKIE_LEN - 1), ni, &a, spi));
    for (size_t i = 0; i < IKE_COOKIE_LEN; i++) {
        cookie[i] ^= 1;
        ck_assert(!ike_cookie_check(&k, c, ni, &a, spi));
        cookie[i] ^= 1;
    }
    ike_cookie_clear(&k);
}
END_TEST

START_TEST(cookie_lives_through_one_change_of_secret)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, 2);
    struct sl_rng rng = sl_rng_seeded(&state);
    struct ike_cookie k;
    struct sl_endpoint a;
    const uint8_t spi[IKE_SPI_LEN] = { 9 };
    struct sl_bytes ni = sl_test_hex("000102030405060708090a0b0c0d0e0f");
    uint8_t old[IKE_COOKIE_LEN], fresh[IKE_COOKIE_LEN];
    struct sl_bytes c = sl_bytes(old, sizeof(old)), f = sl_bytes(fresh, sizeof(fresh));
    ck_assert(sl_endpoint_parse(&a, "[2001:db8::1]:4500", 0));
    ike_cookie_init(&k, &rng, 1000);
    ike_cookie_make(old, &k, ni, &a, spi);
    ike_cookie_tick(&k, &rng, 1000 + IKE_COOKIE_ROTATE_NS - 1);
    ck_assert_uint_eq(k.version, 0);
    ike_cookie_tick(&k, &rng, 1000 + IKE_COOKIE_ROTATE_NS);
    ike_cookie_make(fresh, &k, ni, &a, spi);
    ck_assert(!sl_bytes_eq(c, f));
    ck_assert(ike_cookie_check(&k, c, ni, &a, spi) && ike_cookie_check(&k, f, ni, &a, spi));
    ike_cookie_tick(&k, &rng, 1000 + 2 * IKE_COOKIE_ROTATE_NS);
    ck_assert(!ike_cookie_check(&k, c, ni, &a, spi));
    ck_assert(ike_cookie_check(&k, f, ni, &a, spi));
    ike_cookie_tick(&k, &rng,
                    1000 + 9 * IKE_COOKIE_ROTATE_NS); /* long unused: nothing old is honoured */
    ck_assert(!ike_cookie_check(&k, f, ni, &a, spi));
    for (unsigned i = 0; i < 300; i++) /* the version byte wraps */
        ike_cookie_tick(&k, &rng, k.rotate_ns);
    ike_cookie_make(fresh, &k, ni, &a, spi);
    ike_cookie_tick(&k, &rng, k.rotate_ns);
    ck_assert(ike_cookie_check(&k, f, ni, &a, spi));
}
END_TEST

SL_TESTS(ike_keys, SL_CASE(keys_of_strongswan_are_derived),
         SL_CASE(derivation_with_unusable_inputs_fails),
         SL_CASE(nat_detection_of_strongswan_is_read),
         SL_CASE(nat_detection_with_several_sources_takes_any),
         SL_CASE(cookie_holds_for_its_sender_alone),
         SL_CASE(cookie_lives_through_one_change_of_secret))
