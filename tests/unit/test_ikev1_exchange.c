/*
 * IKEv1 against exchanges of strongSwan with itself (tests/vectors/ikev1): proposals, keys, IVs,
 * hashes, signatures and child keys come out as it logged them.
 */
#include "ike_vectors.h"
#include "sealane/crypto.h"
#include "src/ike/v1/crypt.h"
#include "src/ike/v1/proposal.h"

#include <openssl/x509.h>

static struct sl_err err;

struct exchange {
    const char *name;
    bool main_mode;
    uint16_t auth;
    struct sl_conf_ike_proposal ike;
    struct sl_conf_esp_proposal esp;
};
#define CBC(bits, hash)                                    \
    {                                                      \
        SL_ENCR_AES_CBC, (bits), SL_INTEG_HMAC_SHA2_##hash \
    }
static const struct exchange exchanges[] = {
    { "main-ecdsa",
      true,
      V1_AUTH_ECDSA_256,
      { .suite = CBC(128, 256_128), .prf = SL_PRF_HMAC_SHA2_256, .ke = SL_KE_ECP256 },
      { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE }, .ke = SL_KE_NONE } },
    { "main-rsa",
      true,
      V1_AUTH_RSA_SIG,
      { .suite = CBC(256, 256_128), .prf = SL_PRF_HMAC_SHA2_256, .ke = SL_KE_MODP2048 },
      { .suite = CBC(256, 256_128), .ke = SL_KE_MODP2048 } },
    { "aggressive-psk",
      false,
      V1_AUTH_PSK,
      { .suite = CBC(256, 384_192), .prf = SL_PRF_HMAC_SHA2_384, .ke = SL_KE_MODP3072 },
      { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE }, .ke = SL_KE_NONE } },
    { "main-rsa-fragments",
      true,
      V1_AUTH_RSA_SIG,
      { .suite = CBC(256, 256_128), .prf = SL_PRF_HMAC_SHA2_256, .ke = SL_KE_MODP2048 },
      { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE }, .ke = SL_KE_MODP2048 } },
    { "main-psk",
      true,
      V1_AUTH_PSK,
      { .suite = CBC(128, 384_192), .prf = SL_PRF_HMAC_SHA2_384, .ke = SL_KE_ECP384 },
      { .suite = CBC(256, 512_256), .ke = SL_KE_NONE } },
    { "aggressive-ecdsa",
      false,
      V1_AUTH_ECDSA_256,
      { .suite = CBC(256, 256_128), .prf = SL_PRF_HMAC_SHA2_256, .ke = SL_KE_ECP256 },
      { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE }, .ke = SL_KE_ECP256 } },
};

#define MESSAGES_MAX 24
struct walk {
    const struct exchange *e;
    struct vec v;
    struct v1_message m[MESSAGES_MAX];
    bool from_i[MESSAGES_MAX];
    size_t n;
    uint8_t cky_i[V1_COOKIE_LEN], cky_r[V1_COOKIE_LEN];
    struct sl_bytes sai, gxi, gxr, ni, nr;
    struct v1_keys keys;
    uint8_t iv[V1_IV_LEN];
};
static struct walk w;
static struct sl_buf plain;
static struct ike_payloads list;

static struct sl_bytes body(const struct ike_payloads *l, uint8_t type)
{
    const struct ike_payload *p = ike_payloads_find(l, type);
    ck_assert_msg(p != NULL, "%s: no payload %u", w.e->name, type);
    return p->body;
}

/* Messages, the fragmented ones put together. */
static void read_messages(void)
{
    static struct sl_buf whole[MESSAGES_MAX];
    struct sl_bytes msg;
    struct v1_reassembly ra = { 0 };
    bool from_i;
    w.n = 0;
    for (size_t k = 0; vec_msg(&w.v, k, &msg, &from_i); k++) {
        enum v1_joined what;
        ck_assert_uint_lt(w.n, MESSAGES_MAX);
        struct v1_message *m = &w.m[w.n];
        ck_ok(v1_message_read(m, msg, &err), &err);
        if (v1_is_fragment(m)) {
            ck_ok(v1_join(&what, &whole[w.n], &ra, m, &err), &err);
            if (what == V1_JOINED_PART)
                continue;
            ck_ok(v1_message_read(m, sl_buf_bytes(&whole[w.n]), &err), &err);
        }
        w.from_i[w.n++] = from_i;
    }
    for (size_t i = 0; i < w.n; i++) {
        const struct ike_payload *ke = ike_payloads_find(&w.m[i].list, V1_P_KE);
        if (!ke)
            continue;
        *(w.from_i[i] ? &w.gxi : &w.gxr) = ke->body;
        *(w.from_i[i] ? &w.ni : &w.nr) = body(&w.m[i].list, V1_P_NONCE);
    }
    w.sai = body(&w.m[0].list, V1_P_SA);
    memcpy(w.cky_i, w.m[1].hdr.spi_i, V1_COOKIE_LEN);
    memcpy(w.cky_r, w.m[1].hdr.spi_r, V1_COOKIE_LEN);
}

static void check_phase1_proposals(void)
{
    static struct v1_sa sa;
    struct v1_ike_choice offered, answered;
    const uint16_t auth[] = { 2, w.e->auth };
    ck_ok(v1_sa_read(&sa, w.sai, &err), &err);
    ck_ok(v1_sa_select_ike(&offered, &sa, &w.e->ike, 1, auth, 2, IKE_PREFER_OURS, &err), &err);
    ck_assert_uint_eq(offered.auth, w.e->auth);
    ck_assert_uint_gt(offered.life_s, 3600);
    /* the answer as we would give it is the one that strongSwan gave */
    SL_AUTO_BUF ours = { 0 };
    struct ike_wr c = ike_wr_chain(&ours);
    v1_put_sa_ike_choice(&c, &offered);
    ck_assert(ike_wr_end(&c));
    struct sl_bytes theirs = body(&w.m[1].list, V1_P_SA);
    ck_ok(v1_sa_read(&sa, theirs, &err), &err);
    ck_ok(v1_sa_check_ike(&answered, &sa, &w.e->ike, 1, auth, 2, &err), &err);
    ck_bytes_eq(answered.attrs, offered.attrs);
    ck_bytes_eq(sl_bytes_slice(sl_buf_bytes(&ours), 4, ours.len), theirs);
    ck_rc(v1_sa_check_ike(&answered, &sa, &w.e->ike, 1, auth, 1, &err), SL_IKE_NO_PROPOSAL, &err);
}

static void ck_secret(const struct sl_secret *s, const char *name)
{
    ck_bytes_eq(sl_secret_bytes(s), vec_get(&w.v, name));
}

static void derive_keys(void)
{
    SL_AUTO_SECRET shared = vec_secret(&w.v, "shared.1");
    SL_AUTO_SECRET skeyid = { 0 };
    if (w.e->auth == V1_AUTH_PSK) {
        const struct sl_bytes nonces[] = { w.ni, w.nr };
        ck_ok(sl_secret_init(&skeyid, sl_prf_len(w.e->ike.prf), &err), &err);
        ck_ok(sl_prf_run(w.e->ike.prf, sl_str("lab-psk-0123456789"), nonces, 2, skeyid.p, &err),
              &err);
    } else {
        ck_ok(v1_skeyid_sig(&skeyid, w.e->ike.prf, w.ni, w.nr, &shared, &err), &err);
    }
    ck_secret(&skeyid, "skeyid.1");
    ck_ok(v1_keys_derive(&w.keys, w.e->ike.prf, &w.e->ike.suite, &skeyid, &shared, w.cky_i, w.cky_r,
                         &err),
          &err);
    ck_assert_uint_eq(skeyid.len, 0);
    ck_secret(&w.keys.skeyid, "skeyid.1");
    ck_secret(&w.keys.d, "skeyid_d.1");
    ck_secret(&w.keys.a, "skeyid_a.1");
    ck_secret(&w.keys.e, "skeyid_e.1");
    ck_secret(&w.keys.enc, "ka.1");
    ck_ok(v1_iv_phase1(w.iv, w.e->ike.prf, w.gxi, w.gxr, &err), &err);
    ck_bytes_eq(sl_bytes(w.iv, V1_IV_LEN), vec_get(&w.v, "iv.1"));
}

/* Decrypts message k with iv, which moves on; sealing what came out again gives the message anew. */
static void open_message(size_t k, uint8_t iv[V1_IV_LEN])
{
    uint8_t next[V1_IV_LEN], again[V1_IV_LEN];
    const struct v1_message *m = &w.m[k];
    ck_ok(v1_open(&plain, next, &w.keys.enc, iv, m, &err), &err);
    ck_ok(v1_payloads_read(&list, m->hdr.next, sl_buf_bytes(&plain), &err), &err);
    SL_AUTO_BUF sealed = { 0 };
    memcpy(again, iv, V1_IV_LEN);
    ck_ok(v1_seal(&sealed, &w.keys.enc, again, &m->hdr, m->hdr.next, sl_buf_bytes(&plain), &err),
          &err);
    ck_bytes_eq(sl_buf_bytes(&sealed), m->raw);
    ck_assert_mem_eq(again, next, V1_IV_LEN);
    memcpy(iv, next, V1_IV_LEN);
}

/* SIG against the certificate that came with it, or HASH. */
static void check_auth(bool initiator, struct sl_bytes id, const struct ike_payloads *l)
{
    enum sl_prf prf = v1_auth_prf(w.e->auth) ? v1_auth_prf(w.e->auth) : w.e->ike.prf;
    const struct v1_hash_in in = { w.gxi, w.gxr, w.sai, w.cky_i, w.cky_r };
    uint8_t hash[SL_PRF_MAX];
    if (initiator)
        ck_ok(v1_hash_i(hash, prf, &w.keys.skeyid, &in, id, &err), &err);
    else
        ck_ok(v1_hash_r(hash, prf, &w.keys.skeyid, &in, id, &err), &err);
    struct sl_bytes h = sl_bytes(hash, sl_prf_len(prf));
    ck_bytes_eq(h, vec_get(&w.v, initiator ? "hash_i.1" : "hash_r.1"));
    if (w.e->auth == V1_AUTH_PSK) {
        ck_bytes_eq(h, body(l, V1_P_HASH));
        return;
    }
    struct v1_certs certs = { 0 };
    ck_ok(v1_certs_collect(&certs, l, &err), &err);
    ck_assert_uint_eq(certs.n, 1);
    const unsigned char *p = certs.cert[0].p;
    X509 *x = d2i_X509(NULL, &p, (long)certs.cert[0].len);
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    ck_assert_int_gt(len, 0);
    struct sl_bytes key = sl_bytes(spki, (size_t)len), sig = body(l, V1_P_SIG);
    ck_ok(sl_sig_verify(v1_auth_sig(w.e->auth), key, h, sig, &err), &err);
    hash[0] ^= 1;
    ck_rc(sl_sig_verify(v1_auth_sig(w.e->auth), key, h, sig, &err), SL_CRYPTO, &err);
    OPENSSL_free(spki);
    X509_free(x);
    v1_certs_clear(&certs);
}

static void check_id(struct sl_bytes id, const char *want)
{
    struct v1_id raw;
    struct sl_id one;
    char text[SL_ID_TEXT];
    ck_assert(v1_id_read(&raw, id) && v1_id_to_id(&one, &raw));
    ck_assert_str_eq(sl_id_text(text, &one), want);
}

static size_t walk_phase1(void)
{
    check_id(body(w.e->main_mode ? &list : &w.m[0].list, V1_P_ID), "dns:gw-a.lab");
    check_auth(true, body(w.e->main_mode ? &list : &w.m[0].list, V1_P_ID), &list);
    if (!w.e->main_mode) {
        check_id(body(&w.m[1].list, V1_P_ID), "dns:gw-b.lab");
        check_auth(false, body(&w.m[1].list, V1_P_ID), &w.m[1].list);
        return 3;
    }
    open_message(5, w.iv);
    check_id(body(&list, V1_P_ID), "dns:gw-b.lab");
    check_auth(false, body(&list, V1_P_ID), &list);
    return 6;
}

static void ck_hash(const uint8_t *hash, const char *name)
{
    struct sl_bytes h = sl_bytes(hash, sl_prf_len(w.e->ike.prf));
    ck_assert_uint_eq(list.p[0].type, V1_P_HASH);
    ck_bytes_eq(h, list.p[0].body);
    ck_bytes_eq(h, vec_get(&w.v, name));
}

struct quick {
    struct sl_bytes ni, nr;
    uint32_t spi_i, spi_r;
    struct sl_buf first;
};

static uint32_t spi_of(struct sl_bytes b)
{
    struct sl_rd r = sl_rd(b);
    return sl_rd_u32(&r);
}

static void check_ids_of_quick(void)
{
    const struct ike_payload *ci = ike_payloads_find(&list, V1_P_ID);
    const struct ike_payload *cr = ike_payloads_next(&list, V1_P_ID, ci);
    const char *want[] = { "10.11.0.0/24", "10.12.0.0/24" };
    const struct ike_payload *p[] = { ci, cr };
    for (size_t i = 0; i < 2; i++) {
        struct v1_id id;
        struct sl_ts ts;
        char text[SL_TS_TEXT];
        ck_assert(p[i] && v1_id_read(&id, p[i]->body) && v1_id_to_ts(&ts, &id));
        ck_assert_str_eq(sl_ts_text(text, &ts), want[i]);
        SL_AUTO_BUF ours = { 0 };
        struct ike_wr c = ike_wr_chain(&ours);
        v1_put_ts(&c, &ts);
        ck_assert(ike_wr_end(&c));
        ck_bytes_eq(sl_bytes_slice(sl_buf_bytes(&ours), 4, ours.len), p[i]->body);
    }
}

static void walk_quick(size_t k)
{
    static struct v1_sa sa;
    struct v1_esp_choice offer, answer;
    struct quick q = { 0 };
    uint8_t hash[SL_PRF_MAX], iv[V1_IV_LEN];
    enum sl_prf prf = w.e->ike.prf;
    uint32_t mid = w.m[k].hdr.id;
    const uint32_t with_ke = w.e->esp.ke ? V1_BIT(V1_P_KE) : 0;
    const uint32_t need = V1_BIT(V1_P_HASH) | V1_BIT(V1_P_SA) | V1_BIT(V1_P_NONCE) | with_ke;
    ck_ok(v1_iv_phase2(iv, prf, w.iv, mid, &err), &err);

    open_message(k, iv);
    ck_ok(v1_payloads_check(&list, need, V1_BIT(V1_P_ID) | V1_BIT(V1_P_NAT_OA), "quick mode", &err),
          &err);
    ck_ok(v1_hash_1(hash, prf, &w.keys.a, mid, v1_after_first(&list), &err), &err);
    ck_hash(hash, "hash_1.1");
    check_ids_of_quick();
    q.first = plain;
    plain = (struct sl_buf){ 0 };
    q.ni = body(&list, V1_P_NONCE);
    ck_ok(v1_sa_read(&sa, body(&list, V1_P_SA), &err), &err);
    ck_ok(v1_sa_select_esp(&offer, &sa, &w.e->esp, 1, true, true, IKE_PREFER_PEER, &err), &err);
    q.spi_i = spi_of(offer.spi);

    open_message(k + 1, iv);
    ck_ok(v1_hash_2(hash, prf, &w.keys.a, mid, q.ni, v1_after_first(&list), &err), &err);
    ck_hash(hash, "hash_2.1");
    SL_AUTO_BUF nr = { 0 };
    ck_assert(sl_buf_put(&nr, body(&list, V1_P_NONCE)));
    q.nr = sl_buf_bytes(&nr);
    ck_ok(v1_sa_read(&sa, body(&list, V1_P_SA), &err), &err);
    ck_ok(v1_sa_check_esp(&answer, &sa, &w.e->esp, 1, w.e->esp.ke, true, offer.encap, &err), &err);
    /* the responder adds lifetimes of its own to what was offered without any */
    ck_assert_uint_gt(answer.life_s, offer.life_s);
    ck_assert_int_eq(answer.esn, offer.esn);
    ck_assert_uint_eq(answer.encap, offer.encap);
    q.spi_r = spi_of(answer.spi);

    open_message(k + 2, iv);
    ck_ok(v1_hash_3(hash, prf, &w.keys.a, mid, q.ni, q.nr, &err), &err);
    ck_hash(hash, "hash_3.1");

    struct ike_child_keys child = { 0 };
    SL_AUTO_SECRET shared = { 0 };
    if (w.e->esp.ke)
        shared = vec_secret(&w.v, "child_shared.1");
    ck_ok(v1_child_keys_derive(&child, prf, &w.keys.d, &w.e->esp.suite,
                               w.e->esp.ke ? &shared : NULL, q.spi_i, q.spi_r, q.ni, q.nr, &err),
          &err);
    ck_secret(&child.encr_i, "encr_i.1");
    ck_secret(&child.encr_r, "encr_r.1");
    if (w.e->esp.suite.integ) {
        ck_secret(&child.integ_i, "integ_i.1");
        ck_secret(&child.integ_r, "integ_r.1");
    }
    ike_child_keys_clear(&child);
    sl_buf_clear(&q.first);
}

START_TEST(exchanges_of_strongswan_are_followed_to_the_last_key)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(exchanges); i++) {
        char name[48];
        memset(&w, 0, sizeof(w));
        w.e = &exchanges[i];
        (void)snprintf(name, sizeof(name), "../ikev1/%s", w.e->name);
        vec_load(&w.v, name);
        read_messages();
        uint32_t vids = v1_vids(&w.m[1].list);
        ck_assert(vids & 1U << V1_VID_DPD && v1_natd_type(vids) == V1_P_NAT_D);
        if (i == 0) /* others were captured without */
            ck_assert(vids & 1U << V1_VID_XAUTH && vids & 1U << V1_VID_FRAGMENTATION);
        check_phase1_proposals();
        derive_keys();
        open_message(w.e->main_mode ? 4 : 2, w.iv);
        walk_quick(walk_phase1());
        v1_keys_clear(&w.keys);
        sl_buf_wipe(&plain);
    }
}
END_TEST

START_TEST(nat_detection_hashes_are_those_of_strongswan)
{
    static const struct sl_endpoint a = { { 4, { 10, 99, 0, 1 } }, 500 };
    static const struct sl_endpoint b = { { 4, { 10, 99, 0, 2 } }, 500 };
    bool local, remote;
    uint8_t hash[SL_PRF_MAX];
    memset(&w, 0, sizeof(w));
    w.e = &exchanges[0];
    vec_load(&w.v, "../ikev1/main-ecdsa");
    read_messages();
    ck_ok(v1_natd_hash(hash, SL_PRF_HMAC_SHA2_256, w.cky_i, w.cky_r, &b, &err), &err);
    ck_bytes_eq(sl_bytes(hash, 32), vec_get(&w.v, "natd_src.1"));
    ck_ok(v1_natd_hash(hash, SL_PRF_HMAC_SHA2_256, w.cky_i, w.cky_r, &a, &err), &err);
    ck_bytes_eq(sl_bytes(hash, 32), vec_get(&w.v, "natd_dst.1"));
    /* its userspace ESP needs UDP, so it tells of a NAT in front of itself that is not there */
    ck_assert(v1_natd_check(&w.m[3].list, SL_PRF_HMAC_SHA2_256, w.cky_i, w.cky_r, &a, &b, &local,
                            &remote));
    ck_assert(!local && remote);
    ck_assert(v1_natd_check(&w.m[3].list, SL_PRF_HMAC_SHA2_256, w.cky_i, w.cky_r, &b, &b, &local,
                            &remote));
    ck_assert(local && remote);
    ck_assert(!v1_natd_check(&w.m[0].list, SL_PRF_HMAC_SHA2_256, w.cky_i, w.cky_r, &b, &b, &local,
                             &remote));

    /* ours are read back as no NAT */
    SL_AUTO_BUF ours = { 0 };
    struct ike_wr c = ike_wr_chain(&ours);
    ck_ok(v1_put_natd(&c, V1_P_NAT_D_DRAFT, SL_PRF_HMAC_SHA2_384, w.cky_i, w.cky_r, &a, &b, &err),
          &err);
    ck_assert(ike_wr_end(&c));
    ck_ok(v1_payloads_read(&list, c.first, sl_buf_bytes(&ours), &err), &err);
    ck_assert(
        v1_natd_check(&list, SL_PRF_HMAC_SHA2_384, w.cky_i, w.cky_r, &b, &a, &local, &remote));
    ck_assert(!local && !remote);
}
END_TEST

START_TEST(keys_are_made_for_aes_cbc_and_sha2_alone)
{
    SL_AUTO_SECRET skeyid = { 0 };
    SL_AUTO_SECRET shared = { 0 };
    struct v1_keys k = { 0 };
    const struct sl_suite suite = CBC(256, 256_128);
    const struct sl_suite gcm = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE };
    ck_ok(sl_secret_init(&skeyid, 32, &err), &err);
    ck_ok(sl_secret_init(&shared, 256, &err), &err);
    ck_rc(v1_keys_derive(&k, SL_PRF_HMAC_SHA2_256, &gcm, &skeyid, &shared, w.cky_i, w.cky_r, &err),
          SL_UNSUPPORTED, &err);
    ck_assert_uint_eq(skeyid.len, 32); /* left where it was */
    ck_rc(v1_keys_derive(&k, SL_PRF_HMAC_SHA1, &suite, &skeyid, &shared, w.cky_i, w.cky_r, &err),
          SL_UNSUPPORTED, &err);
    ck_ok(
        v1_keys_derive(&k, SL_PRF_HMAC_SHA2_256, &suite, &skeyid, &shared, w.cky_i, w.cky_r, &err),
        &err);
    ck_bytes_eq(sl_secret_bytes(&k.enc), sl_secret_bytes(&k.e));
    v1_keys_clear(&k);
}
END_TEST

START_TEST(nonces_out_of_bounds_make_no_key)
{
    static const uint8_t n[257];
    SL_AUTO_SECRET shared = { 0 };
    SL_AUTO_SECRET out = { 0 };
    ck_ok(sl_secret_init(&shared, 32, &err), &err);
    ck_rc(v1_skeyid_sig(&out, SL_PRF_HMAC_SHA2_256, sl_bytes(n, 7), sl_bytes(n, 32), &shared, &err),
          SL_IKE_MALFORMED, &err);
    ck_rc(
        v1_skeyid_sig(&out, SL_PRF_HMAC_SHA2_256, sl_bytes(n, 32), sl_bytes(n, 257), &shared, &err),
        SL_IKE_MALFORMED, &err);
    ck_ok(
        v1_skeyid_sig(&out, SL_PRF_HMAC_SHA2_256, sl_bytes(n, 8), sl_bytes(n, 256), &shared, &err),
        &err);
    ck_assert_uint_eq(out.len, 32);
}
END_TEST

SL_TESTS(ikev1_exchange, SL_CASE(exchanges_of_strongswan_are_followed_to_the_last_key),
         SL_CASE(nat_detection_hashes_are_those_of_strongswan),
         SL_CASE(keys_are_made_for_aes_cbc_and_sha2_alone),
         SL_CASE(nonces_out_of_bounds_make_no_key))
