/*
 * Unit tests of src/ike/sk.h: SK and SKF against captured exchanges and against ourselves, limits
 * of reassembly, and whole exchanges of another implementation followed through their rekeys.
 */
#include "ike_vectors.h"
#include "src/ike/proposal.h"
#include "src/ike/sk.h"

#include <stdlib.h>

static const struct ike_hdr header = { .spi_i = { 1, 2, 3, 4, 5, 6, 7, 8 },
                                       .spi_r = { 9, 10, 11, 12, 13, 14, 15, 16 },
                                       .exchange = IKE_INFORMATIONAL,
                                       .flags = IKE_FLAG_INITIATOR,
                                       .id = 3 };
static const struct sl_suite suites[] = {
    { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
    { SL_ENCR_AES_GCM_16, 256, SL_INTEG_NONE },
    { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
    { SL_ENCR_AES_CBC, 128, SL_INTEG_HMAC_SHA2_256_128 },
    { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_512_256 },
};

/* Two ends of one direction. */
struct ends {
    struct ike_sk seal, open;
    struct ike_reassembly ra;
    struct ike_datagrams d;
    struct sl_buf plain;
    uint8_t first;
};

static void ends_init(struct ends *e, const struct sl_suite *suite)
{
    struct sl_err err = { 0 };
    SL_AUTO_SECRET ek = { 0 };
    SL_AUTO_SECRET ik = { 0 };
    *e = (struct ends){ 0 };
    ck_ok(sl_secret_init(&ek, sl_suite_encr_key_len(suite), &err), &err);
    memset(ek.p, 0x42, ek.len);
    if (sl_suite_integ_key_len(suite)) {
        ck_ok(sl_secret_init(&ik, sl_suite_integ_key_len(suite), &err), &err);
        memset(ik.p, 0x43, ik.len);
    }
    ck_ok(ike_sk_init(&e->seal, suite, true, &ek, &ik, &err), &err);
    ck_ok(ike_sk_init(&e->open, suite, false, &ek, &ik, &err), &err);
}

static void ends_clear(struct ends *e)
{
    ike_sk_clear(&e->seal);
    ike_sk_clear(&e->open);
    ike_reassembly_clear(&e->ra);
    ike_datagrams_clear(&e->d);
    sl_buf_clear(&e->plain);
}

static enum sl_rc seal(struct ends *e, const struct ike_hdr *h, struct sl_bytes chain,
                       uint16_t size)
{
    struct sl_err err = { 0 };
    return ike_sk_seal(&e->d, &e->seal, h, chain.len ? IKE_P_V : IKE_P_NONE, chain, size, 4, false,
                       &sl_rng_system, &err);
}

static enum sl_rc open_bytes(struct ends *e, struct sl_bytes datagram, enum ike_opened *what,
                             struct sl_err *err)
{
    static struct ike_message m;
    SL_TRY(ike_message_read(&m, datagram, err));
    return ike_sk_open(what, &e->open, &m, &e->ra, &e->plain, &e->first, err);
}

static enum ike_opened open_ok(struct ends *e, size_t i)
{
    enum ike_opened what = 0;
    struct sl_err err = { 0 };
    ck_ok(open_bytes(e, ike_datagram_get(&e->d, i), &what, &err), &err);
    return what;
}

/* A chain of n bytes that looks random. */
static struct sl_bytes content(size_t n)
{
    static uint8_t bytes[IKE_MESSAGE_MAX + 1];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    return sl_bytes(bytes, n);
}

/* ---- against ourselves --------------------------------------------------------------------------- */
START_TEST(sealed_message_opens)
{
    for (size_t k = 0; k < SL_ARRAY_LEN(suites); k++) {
        struct ends e;
        ends_init(&e, &suites[k]);
        for (size_t n = 0; n < 70; n++) {
            ck_assert_int_eq(seal(&e, &header, content(n), 0), SL_OK);
            ck_assert_uint_eq(e.d.n, 1);
            ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED);
            ck_assert_uint_eq(e.first, n ? IKE_P_V : IKE_P_NONE);
            ck_bytes_eq(sl_buf_bytes(&e.plain), content(n));
        }
        ends_clear(&e);
    }
}
END_TEST

START_TEST(message_changed_anywhere_is_refused)
{
    for (size_t k = 0; k < SL_ARRAY_LEN(suites); k++) {
        struct ends e;
        enum ike_opened what;
        struct sl_err err = { 0 };
        ends_init(&e, &suites[k]);
        for (uint16_t size = 0; size <= 300; size = (uint16_t)(size + 300)) {
            ck_assert_int_eq(seal(&e, &header, content(300), size), SL_OK);
            uint8_t *p = e.d.buf.p;
            for (size_t i = 0; i < e.d.end[0]; i++) {
                p[i] ^= 0x10;
                enum sl_rc rc = open_bytes(&e, ike_datagram_get(&e.d, 0), &what, &err);
                /* the version's minor half is not used and yet protected; the rest may not even parse */
                ck_assert_msg(rc == SL_IKE_INTEGRITY || rc == SL_IKE_MALFORMED ||
                                  rc == SL_IKE_VERSION || rc == SL_TOO_LARGE,
                              "byte %zu: %s", i, sl_rc_name(rc));
                ck_assert_msg(i >= IKE_HDR_LEN || rc != SL_OK, "header byte %zu", i);
                p[i] ^= 0x10;
            }
            ck_assert_ptr_null(e.ra.part); /* nothing was begun by a forgery */
        }
        ends_clear(&e);
    }
}
END_TEST

START_TEST(message_cut_at_any_byte_is_refused)
{
    for (size_t k = 0; k < SL_ARRAY_LEN(suites); k++) {
        struct ends e;
        ends_init(&e, &suites[k]);
        for (uint16_t size = 0; size <= 300; size = (uint16_t)(size + 300)) {
            ck_assert_int_eq(seal(&e, &header, content(300), size), SL_OK);
            struct sl_bytes whole = ike_datagram_get(&e.d, 0);
            for (size_t len = IKE_HDR_LEN + 4; len < whole.len; len++) {
                enum ike_opened what;
                struct sl_err err = { 0 };
                uint8_t *exact = malloc(len);
                memcpy(exact, whole.p, len);
                size_t body = len - IKE_HDR_LEN; /* lengths that fit the cut */
                exact[26] = (uint8_t)(len >> 8);
                exact[27] = (uint8_t)len;
                exact[30] = (uint8_t)(body >> 8);
                exact[31] = (uint8_t)body;
                enum sl_rc rc = open_bytes(&e, sl_bytes(exact, len), &what, &err);
                ck_assert_msg(rc == SL_IKE_INTEGRITY || rc == SL_IKE_MALFORMED, "%zu: %s", len,
                              sl_rc_name(rc));
                free(exact);
            }
        }
        ends_clear(&e);
    }
}
END_TEST

START_TEST(ivs_never_come_twice)
{
    struct ends e;
    ends_init(&e, &suites[0]);
    uint8_t seen[100][8];
    for (size_t i = 0; i < 100; i++) {
        ck_assert_int_eq(seal(&e, &header, content(10), 0), SL_OK);
        memcpy(seen[i], ike_datagram_get(&e.d, 0).p + IKE_HDR_LEN + 4, 8);
        for (size_t k = 0; k < i; k++)
            ck_assert_mem_ne(seen[i], seen[k], 8);
    }
    ends_clear(&e);
}
END_TEST

START_TEST(message_not_encrypted_is_refused)
{
    struct ends e;
    SL_AUTO_BUF b = { 0 };
    enum ike_opened what;
    struct sl_err err = { 0 };
    ends_init(&e, &suites[0]);
    struct ike_wr c = ike_wr_message(&b, &header);
    ck_assert(ike_wr_end(&c));
    ck_rc(open_bytes(&e, sl_buf_bytes(&b), &what, &err), SL_IKE_MALFORMED, &err);
    ike_put_notify(&c, IKE_N_INITIAL_CONTACT, (struct sl_bytes){ 0 });
    ck_assert(ike_wr_end(&c));
    ck_rc(open_bytes(&e, sl_buf_bytes(&b), &what, &err), SL_IKE_MALFORMED, &err);
    ike_wr_payload(&c, IKE_P_SK, false, content(40));
    ck_assert(ike_wr_end(&c));
    ck_rc(open_bytes(&e, sl_buf_bytes(&b), &what, &err), SL_IKE_MALFORMED, &err);
    ck_assert_str_eq(sl_err_text(&err), "payloads in clear before the encrypted one");
    ends_clear(&e);
}
END_TEST

/* A padding longer than the content passes the integrity check of a peer that lies. */
START_TEST(padding_longer_than_the_content_is_refused)
{
    struct ends e;
    enum ike_opened what;
    struct sl_err err = { 0 };
    ends_init(&e, &suites[0]);
    SL_AUTO_BUF b = { 0 };
    struct sl_wr w = sl_wr_buf(&b, SL_BUF_MAX);
    struct ike_hdr h = header;
    h.version = IKE_VERSION_2;
    h.next = IKE_P_SK;
    h.length = IKE_HDR_LEN + 4 + 8 + 4 + 16;
    ike_hdr_write(&w, &h);
    sl_wr_u16(&w, IKE_P_V << 8);
    sl_wr_u16(&w, 4 + 8 + 4 + 16);
    sl_wr_u64(&w, 77);         /* IV */
    sl_wr_u32(&w, 0x01020304); /* three bytes before a pad length of 4 */
    sl_wr_zero(&w, 16);
    uint8_t *p = b.p + IKE_HDR_LEN + 4;
    ck_assert(sl_cipher_seal(e.seal.cipher, sl_bytes(b.p, IKE_HDR_LEN + 4), p, p + 8, 4,
                             (struct sl_bytes){ 0 }, p + 12));
    ck_rc(open_bytes(&e, sl_buf_bytes(&b), &what, &err), SL_IKE_MALFORMED, &err);
    ends_clear(&e);
}
END_TEST

/* ---- fragments --------------------------------------------------------------------------------------- */
START_TEST(fragments_fit_the_datagram_and_join_in_any_order)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(7383));
    struct sl_rng rng = sl_rng_seeded(&state);
    for (size_t round = 0; round < 300; round++) {
        struct ends e;
        struct sl_err err = { 0 };
        ends_init(&e, &suites[round % SL_ARRAY_LEN(suites)]);
        uint16_t size = (uint16_t)(IKE_FRAGMENT_SIZE_MIN + sl_rng_below(&rng, 1300));
        uint8_t family = sl_rng_below(&rng, 2) ? 4 : 6;
        bool natt = sl_rng_below(&rng, 2);
        size_t around = (family == 4 ? 20U : 40U) + 8 + (natt ? 4 : 0),
               n = sl_rng_below(&rng, 9000);
        ck_ok(ike_sk_seal(&e.d, &e.seal, &header, IKE_P_V, content(n), size, family, natt, &rng,
                          &err),
              &err);
        size_t order[IKE_FRAGMENTS_MAX];
        for (size_t i = 0; i < e.d.n; i++) {
            struct sl_bytes one = ike_datagram_get(&e.d, i);
            ck_assert_uint_le(one.len + around, size);
            ck_assert(e.d.n == 1 || i + 1 == e.d.n ||
                      one.len + around + 16 > size); /* none too small */
            size_t at = sl_rng_below(&rng, i + 1);
            order[i] = order[at];
            order[at] = i;
        }
        for (size_t i = 0; i < e.d.n; i++) {
            enum ike_opened last = i + 1 == e.d.n ? IKE_OPENED : IKE_OPENED_PART;
            ck_assert_int_eq(open_ok(&e, order[i]), last);
            if (last == IKE_OPENED_PART && i)
                ck_assert_int_eq(open_ok(&e, order[i - 1]), IKE_OPENED_AGAIN);
        }
        ck_assert_uint_eq(e.first, IKE_P_V);
        ck_bytes_eq(sl_buf_bytes(&e.plain), content(n));
        ck_assert_ptr_null(e.ra.part);
        ends_clear(&e);
    }
}
END_TEST

START_TEST(split_into_more_fragments_starts_anew)
{
    struct ends e;
    ends_init(&e, &suites[0]);
    ck_assert_int_eq(seal(&e, &header, content(2000), 1000), SL_OK);
    ck_assert_uint_eq(e.d.n, 3);
    ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED_PART);
    ck_assert_int_eq(seal(&e, &header, content(2000), 600),
                     SL_OK); /* the peer tries smaller ones */
    ck_assert_uint_eq(e.d.n, 4);
    ck_assert_int_eq(open_ok(&e, 1), IKE_OPENED_PART);
    ck_assert_uint_eq(e.ra.have, 1); /* the first split's fragment is forgotten */
    ck_assert_int_eq(seal(&e, &header, content(2000), 1000), SL_OK);
    ck_assert_int_eq(open_ok(&e, 1), IKE_OPENED_AGAIN); /* late, of the old split */
    ck_assert_uint_eq(e.ra.total, 4);
    ends_clear(&e);
}
END_TEST

START_TEST(fragment_of_another_message_starts_anew)
{
    struct ends e;
    struct ike_hdr next = header;
    next.id++;
    ends_init(&e, &suites[0]);
    ck_assert_int_eq(seal(&e, &header, content(2000), 1000), SL_OK);
    ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED_PART);
    ck_assert_int_eq(seal(&e, &next, content(2000), 1000), SL_OK);
    ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED_PART);
    ck_assert_uint_eq(e.ra.id, next.id);
    ck_assert_uint_eq(e.ra.have, 1);
    ck_assert_int_eq(seal(&e, &next, content(20), 0), SL_OK); /* and whole after all */
    ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED);
    ck_assert_ptr_null(e.ra.part);
    ends_clear(&e);
}
END_TEST

START_TEST(forged_fragment_does_not_disturb)
{
    struct ends e;
    struct sl_err err = { 0 };
    enum ike_opened what;
    ends_init(&e, &suites[0]);
    ck_assert_int_eq(seal(&e, &header, content(2000), 1000), SL_OK);
    ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED_PART);
    for (uint8_t total = 4; total < 64; total++) { /* another total, another ID: not authentic */
        uint8_t *p = e.d.buf.p + e.d.end[0];
        p[IKE_HDR_LEN + 7] = total;
        p[23] = total;
        ck_rc(open_bytes(&e, ike_datagram_get(&e.d, 1), &what, &err), SL_IKE_INTEGRITY, &err);
    }
    ck_assert_uint_eq(e.ra.id, header.id);
    ck_assert_uint_eq(e.ra.have, 1);
    ck_assert_uint_eq(e.ra.total, 3);
    ends_clear(&e);
}
END_TEST

START_TEST(fragment_numbers_out_of_range_are_refused)
{
    static const struct {
        uint16_t number, total;
        enum sl_rc rc;
    } bad[] = { { 0, 3, SL_IKE_MALFORMED },
                { 4, 3, SL_IKE_MALFORMED },
                { 0, 0, SL_IKE_MALFORMED },
                { 1, 0, SL_IKE_MALFORMED },
                { 1, 65535, SL_TOO_LARGE },
                { 65535, 65535, SL_TOO_LARGE },
                { 1, IKE_FRAGMENTS_MAX + 1, SL_TOO_LARGE } };
    struct ends e;
    ends_init(&e, &suites[0]);
    ck_assert_int_eq(seal(&e, &header, content(2000), 1000), SL_OK);
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        enum ike_opened what;
        struct sl_err err = { 0 };
        uint8_t *p = e.d.buf.p + IKE_HDR_LEN + 4;
        p[0] = (uint8_t)(bad[i].number >> 8);
        p[1] = (uint8_t)bad[i].number;
        p[2] = (uint8_t)(bad[i].total >> 8);
        p[3] = (uint8_t)bad[i].total;
        ck_rc(open_bytes(&e, ike_datagram_get(&e.d, 0), &what, &err), bad[i].rc, &err);
    }
    ends_clear(&e);
}
END_TEST

START_TEST(messages_past_the_limits_are_refused)
{
    struct ends e;
    struct sl_err err = { 0 };
    ends_init(&e, &suites[0]);
    ck_assert_int_eq(seal(&e, &header, content(IKE_MESSAGE_MAX + 1), 1280), SL_TOO_LARGE);
    ck_assert_int_eq(seal(&e, &header, content(IKE_MESSAGE_MAX), 1280), SL_OK);
    ck_assert_uint_le(e.d.n, IKE_FRAGMENTS_MAX);
    ck_assert_int_eq(seal(&e, &header, content(IKE_MESSAGE_MAX), 600),
                     SL_TOO_LARGE); /* fragments */
    ck_assert_int_eq(seal(&e, &header, content(IKE_MESSAGE_MAX - 60), 0), SL_TOO_LARGE); /* UDP */
    ck_assert_int_eq(seal(&e, &header, content(65000), 0), SL_OK);
    ck_assert_int_eq(open_ok(&e, 0), IKE_OPENED);
    /* a peer with the keys may still not make us hold more than the limit */
    struct ike_hdr h = header;
    enum ike_opened what = IKE_OPENED_PART;
    h.version = IKE_VERSION_2;
    h.next = IKE_P_SKF;
    enum sl_rc rc = SL_OK;
    for (uint16_t i = 1; i <= IKE_FRAGMENTS_MAX && rc == SL_OK; i++) {
        SL_AUTO_BUF b = { 0 };
        struct sl_wr w = sl_wr_buf(&b, SL_BUF_MAX);
        size_t encr = 5000, total = IKE_HDR_LEN + 4 + 4 + 8 + encr + 16;
        h.length = (uint32_t)total;
        ike_hdr_write(&w, &h);
        sl_wr_u16(&w, IKE_P_V << 8);
        sl_wr_u16(&w, (uint16_t)(total - IKE_HDR_LEN));
        sl_wr_u16(&w, i);
        sl_wr_u16(&w, IKE_FRAGMENTS_MAX);
        sl_wr_u64(&w, i + 1000U);
        sl_wr_zero(&w, encr + 16);
        uint8_t *p = b.p + IKE_HDR_LEN + 8;
        ck_assert(sl_cipher_seal(e.seal.cipher, sl_bytes(b.p, IKE_HDR_LEN + 8), p, p + 8, encr,
                                 (struct sl_bytes){ 0 }, p + 8 + encr));
        rc = open_bytes(&e, sl_buf_bytes(&b), &what, &err);
        ck_assert_uint_le(e.ra.bytes, IKE_MESSAGE_MAX);
    }
    ck_assert_int_eq(rc, SL_TOO_LARGE);
    ck_assert_ptr_null(e.ra.part);
    ends_clear(&e);
}
END_TEST

START_TEST(plain_message_is_one_datagram)
{
    struct ike_datagrams d = { 0 };
    ck_assert(ike_datagrams_plain(&d, sl_str("message")));
    ck_assert(ike_datagrams_plain(&d, sl_str("another")));
    ck_assert_uint_eq(d.n, 1);
    ck_bytes_eq(ike_datagram_get(&d, 0), sl_str("another"));
    ike_datagrams_clear(&d);
}
END_TEST

/* ---- another implementation's exchanges ------------------------------------------------------------------ */
static void ck_secret(const struct sl_secret *s, const struct vec *v, const char *name)
{
    struct sl_bytes want = vec_has(v, name) ? vec_get(v, name) : (struct sl_bytes){ 0 };
    ck_assert_msg(s->len == want.len && (!want.len || memcmp(s->p, want.p, want.len) == 0),
                  "%s differs", name);
}

static struct sl_secret key_of(const struct vec *v, const char *name, unsigned generation)
{
    char full[24];
    (void)snprintf(full, sizeof(full), "%s.%u", name, generation);
    return vec_has(v, full) ? vec_secret(v, full) : (struct sl_secret){ 0 };
}

static struct ike_sk sk_of(const struct vec *v, const struct vec_exchange *x, bool seal_it,
                           bool from_i, unsigned generation)
{
    struct ike_sk sk = { 0 };
    struct sl_err err = { 0 };
    SL_AUTO_SECRET e = key_of(v, from_i ? "sk_ei" : "sk_er", generation);
    SL_AUTO_SECRET a = key_of(v, from_i ? "sk_ai" : "sk_ar", generation);
    ck_ok(ike_sk_init(&sk, &x->suite, seal_it, &e, &a, &err), &err);
    return sk;
}

/* Randomness that is the IV of the message to be made again. */
static void fill_iv(void *ctx, void *out, size_t len)
{
    memcpy(out, ctx, len);
}

/* Sealing the same content under the same IV gives the very bytes of strongSwan (AEADs: no padding). */
static void ck_sealed_alike(const struct vec *v, const struct vec_exchange *x, bool from_i,
                            unsigned generation, const struct ike_message *m, uint8_t first,
                            struct sl_bytes plain)
{
    struct ike_sk sk = sk_of(v, x, true, from_i, generation);
    struct ike_datagrams d = { 0 };
    struct sl_err err = { 0 };
    uint8_t iv[16];
    size_t iv_len = sl_suite_iv_len(&x->suite);
    memcpy(iv, m->raw.p + IKE_HDR_LEN + 4, iv_len);
    for (size_t i = 0; i < 8; i++)
        sk.iv = sk.iv << 8 | iv[i];
    const struct sl_rng rng = { fill_iv, iv };
    ck_ok(ike_sk_seal(&d, &sk, &m->hdr, first, plain, 0, 4, true, &rng, &err), &err);
    struct sl_bytes made = ike_datagram_get(&d, 0);
    ck_assert_uint_eq(made.len, m->raw.len);
    if (sl_suite_is_aead(&x->suite))
        ck_bytes_eq(made, m->raw);
    else /* the padding's content is free; up to the last block all is the same */
        ck_assert_mem_eq(made.p, m->raw.p, m->raw.len - sl_suite_icv_len(&x->suite) - 16);
    ike_datagrams_clear(&d);
    ike_sk_clear(&sk);
}

struct rekey { /* what CREATE_CHILD_SA of one kind said */
    uint8_t nonce[2][IKE_NONCE_MAX];
    size_t nonce_len[2];
    uint8_t spi[2][IKE_SPI_LEN];
    uint8_t protocol;
    size_t n;
};

static void note_rekey(struct rekey *k, const struct ike_payloads *list)
{
    static struct ike_sa sa;
    struct sl_err err = { 0 };
    struct sl_bytes nonce;
    ck_ok(ike_sa_read(&sa, ike_payloads_find(list, IKE_P_SA)->body, &err), &err);
    ck_assert(ike_nonce_read(&nonce, ike_payloads_find(list, IKE_P_NONCE)->body));
    k->protocol = sa.p[0].protocol;
    memcpy(k->nonce[k->n], nonce.p, nonce.len);
    k->nonce_len[k->n] = nonce.len;
    memcpy(k->spi[k->n], sa.p[0].spi.p, sa.p[0].spi.len);
    k->n++;
}

static void ck_rekey(const struct rekey *k, const struct vec *v, const struct vec_exchange *x)
{
    struct sl_err err = { 0 };
    struct sl_bytes ni = sl_bytes(k->nonce[0], k->nonce_len[0]),
                    nr = sl_bytes(k->nonce[1], k->nonce_len[1]);
    SL_AUTO_SECRET d = key_of(v, "sk_d", 1);
    if (k->protocol == IKE_PROTO_ESP) {
        struct ike_child_keys c = { 0 };
        SL_AUTO_SECRET shared = key_of(v, "child_shared", 1);
        ck_assert_int_eq(shared.len > 0, x->pfs);
        ck_ok(ike_child_keys_derive(&c, x->prf, &d, &x->child, x->pfs ? &shared : NULL, ni, nr,
                                    NULL, &err),
              &err);
        ck_secret(&c.encr_i, v, "encr_i.2");
        ck_secret(&c.integ_i, v, "integ_i.2");
        ck_secret(&c.encr_r, v, "encr_r.2");
        ck_secret(&c.integ_r, v, "integ_r.2");
        ike_child_keys_clear(&c);
        return;
    }
    struct ike_keys keys = { 0 };
    SL_AUTO_SECRET shared = key_of(v, "shared", 2);
    ck_ok(ike_keys_rekey(&keys, x->prf, &d, x->prf, &x->suite, ni, nr, k->spi[0], k->spi[1],
                         &shared, NULL, &err),
          &err);
    ck_secret(&keys.d, v, "sk_d.2");
    ck_secret(&keys.ai, v, "sk_ai.2");
    ck_secret(&keys.ar, v, "sk_ar.2");
    ck_secret(&keys.ei, v, "sk_ei.2");
    ck_secret(&keys.er, v, "sk_er.2");
    ck_secret(&keys.pi, v, "sk_pi.2");
    ck_secret(&keys.pr, v, "sk_pr.2");
    ike_keys_clear(&keys);
}

START_TEST(exchanges_of_strongswan_open_and_their_rekeys_derive)
{
    static struct vec v;
    static struct ike_message m;
    static struct ike_payloads list;
    for (size_t k = 0; k < SL_ARRAY_LEN(vec_exchanges); k++) {
        const struct vec_exchange *x = &vec_exchanges[k];
        struct sl_bytes msg;
        bool from_i;
        struct ike_reassembly ra[2] = { { 0 }, { 0 } };
        struct rekey rekey = { .n = 0 };
        uint8_t spi[IKE_SPI_LEN];
        size_t opened = 0, rekeys = 0, parts = 0, deletes = 0;
        vec_load(&v, x->name);
        ck_assert(vec_msg(&v, 0, &msg, &from_i));
        memcpy(spi, msg.p, sizeof(spi));
        for (size_t i = 2; vec_msg(&v, i, &msg, &from_i); i++) {
            struct sl_err err = { 0 };
            struct sl_buf plain = { 0 };
            uint8_t first = 0;
            enum ike_opened what;
            ck_ok(ike_message_read(&m, msg, &err), &err);
            ck_assert_int_eq(ike_hdr_from_initiator(&m.hdr),
                             from_i); /* the initiator rekeyed as well */
            unsigned generation = memcmp(spi, m.hdr.spi_i, IKE_SPI_LEN) == 0 ? 1 : 2;
            struct ike_sk sk = sk_of(&v, x, false, from_i, generation);
            ck_ok(ike_sk_open(&what, &sk, &m, &ra[from_i], &plain, &first, &err), &err);
            ike_sk_clear(&sk);
            if (what == IKE_OPENED_PART) {
                parts++;
                continue;
            }
            ck_assert_int_eq(what, IKE_OPENED);
            ck_ok(ike_payloads_read(&list, first, sl_buf_bytes(&plain), &err), &err);
            ck_assert(ike_notifies_check(&list));
            opened++;
            if (m.list.p[0].type == IKE_P_SK)
                ck_sealed_alike(&v, x, from_i, generation, &m, first, sl_buf_bytes(&plain));
            const struct ike_payload *p = ike_payloads_find(&list, IKE_P_D);
            struct ike_delete d;
            if (p) {
                ck_assert(ike_delete_read(&d, p->body));
                deletes++;
            }
            if (m.hdr.exchange == IKE_CREATE_CHILD_SA) {
                note_rekey(&rekey, &list);
                if (rekey.n == 2) {
                    ck_rekey(&rekey, &v, x);
                    rekeys++;
                    rekey.n = 0;
                }
            }
            sl_buf_clear(&plain);
        }
        ck_assert_uint_eq(rekeys, 2);
        ck_assert_uint_eq(opened, 14);
        ck_assert_uint_eq(parts, strcmp(x->name, "cbc-rsa-fragments") == 0 ? 2 : 0);
        ck_assert_uint_eq(deletes, 3); /* the child's on both sides, the IKE SA's */
    }
}
END_TEST

SL_TESTS(ike_sk, SL_CASE(sealed_message_opens), SL_CASE(message_changed_anywhere_is_refused),
         SL_CASE(message_cut_at_any_byte_is_refused), SL_CASE(ivs_never_come_twice),
         SL_CASE(message_not_encrypted_is_refused),
         SL_CASE(padding_longer_than_the_content_is_refused),
         SL_CASE(fragments_fit_the_datagram_and_join_in_any_order),
         SL_CASE(split_into_more_fragments_starts_anew),
         SL_CASE(fragment_of_another_message_starts_anew),
         SL_CASE(forged_fragment_does_not_disturb),
         SL_CASE(fragment_numbers_out_of_range_are_refused),
         SL_CASE(messages_past_the_limits_are_refused), SL_CASE(plain_message_is_one_datagram),
         SL_CASE(exchanges_of_strongswan_open_and_their_rekeys_derive))
