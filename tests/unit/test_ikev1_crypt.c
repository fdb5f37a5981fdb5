/*
 * IKEv1 encryption and fragments: padding, IVs that move only on success, reassembly within limits.
 */
#include "src/ike/v1/crypt.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

static struct sl_err err;
static struct v1_message m;
static const struct ike_hdr hdr = {
    .spi_i = { 1 }, .spi_r = { 2 }, .exchange = V1_QUICK, .id = 0x01020304
};

static struct sl_secret key_of(size_t len)
{
    struct sl_secret key = { 0 };
    ck_ok(sl_secret_init(&key, len, &err), &err);
    key.p[0] = 7;
    return key;
}

START_TEST(what_is_sealed_opens_and_the_ivs_agree)
{
    static const uint8_t content[100] = { 1, 2, 3 };
    static const size_t key_lens[] = { 16, 24, 32 };
    for (size_t k = 0; k < SL_ARRAY_LEN(key_lens); k++) {
        SL_AUTO_SECRET key = key_of(key_lens[k]);
        uint8_t iv_s[V1_IV_LEN] = { 9 }, iv_o[V1_IV_LEN] = { 9 }, next[V1_IV_LEN];
        for (size_t len = 1; len <= sizeof(content); len++) {
            SL_AUTO_BUF sealed = { 0 };
            SL_AUTO_BUF plain = { 0 };
            ck_ok(v1_seal(&sealed, &key, iv_s, &hdr, V1_P_HASH, sl_bytes(content, len), &err),
                  &err);
            ck_assert_uint_eq(sealed.len, IKE_HDR_LEN + (len + 15) / 16 * 16);
            ck_ok(v1_message_read(&m, sl_buf_bytes(&sealed), &err), &err);
            ck_assert_uint_eq(m.hdr.next, V1_P_HASH);
            ck_ok(v1_open(&plain, next, &key, iv_o, &m, &err), &err);
            ck_assert_mem_eq(plain.p, content, len);
            for (size_t i = len; i < plain.len; i++)
                ck_assert_uint_eq(plain.p[i], 0);
            memcpy(iv_o, next, V1_IV_LEN);
            ck_assert_mem_eq(iv_s, iv_o, V1_IV_LEN);
        }
    }
}
END_TEST

START_TEST(failure_changes_nothing)
{
    SL_AUTO_SECRET key = key_of(16);
    SL_AUTO_SECRET odd = key_of(17);
    SL_AUTO_BUF sealed = { 0 };
    SL_AUTO_BUF plain = { 0 };
    uint8_t iv[V1_IV_LEN] = { 1 }, next[V1_IV_LEN] = { 2 };
    const uint8_t iv_was[V1_IV_LEN] = { 1 }, next_was[V1_IV_LEN] = { 2 };
    ck_assert(sl_buf_put_str(&plain, "as it was"));
    ck_assert(sl_buf_put_str(&sealed, "before"));
    ck_rc(v1_seal(&sealed, &odd, iv, &hdr, V1_P_HASH, sl_str("x"), &err), SL_USAGE, &err);
    ck_rc(v1_seal(&sealed, &key, iv, &hdr, V1_P_NONE, sl_str("x"), &err), SL_INTERNAL, &err);
    ck_rc(v1_seal(&sealed, &key, iv, &hdr, V1_P_HASH, sl_str(""), &err), SL_INTERNAL, &err);
    static uint8_t large[IKE_MESSAGE_MAX];
    ck_rc(v1_seal(&sealed, &key, iv, &hdr, V1_P_HASH, sl_bytes(large, sizeof(large)), &err),
          SL_TOO_LARGE, &err);
    ck_bytes_eq(sl_buf_bytes(&sealed), sl_str("before"));
    sealed.len = 0;
    ck_ok(v1_seal(&sealed, &key, iv, &hdr, V1_P_HASH, sl_str("x"), &err), &err);
    memcpy(iv, iv_was, sizeof(iv));
    ck_ok(v1_message_read(&m, sl_buf_bytes(&sealed), &err), &err);
    ck_rc(v1_open(&plain, next, &odd, iv, &m, &err), SL_USAGE, &err);
    m.body.len--;
    ck_rc(v1_open(&plain, next, &key, iv, &m, &err), SL_IKE_MALFORMED, &err);
    m.body.len = 0;
    ck_rc(v1_open(&plain, next, &key, iv, &m, &err), SL_IKE_MALFORMED, &err);
    m.hdr.flags = 0;
    ck_rc(v1_open(&plain, next, &key, iv, &m, &err), SL_IKE_MALFORMED, &err);
    ck_bytes_eq(sl_buf_bytes(&plain), sl_str("as it was"));
    ck_assert_mem_eq(iv, iv_was, V1_IV_LEN);
    ck_assert_mem_eq(next, next_was, V1_IV_LEN);
}
END_TEST

/* ---- fragments -------------------------------------------------------------------------------------- */
static struct sl_bytes message_of(struct sl_buf *buf, size_t len, uint8_t fill)
{
    struct ike_hdr h = hdr;
    h.version = V1_VERSION;
    h.flags = V1_FLAG_ENCRYPTION;
    h.length = (uint32_t)len;
    struct sl_wr w = sl_wr_buf(buf, SL_BUF_MAX);
    ike_hdr_write(&w, &h);
    for (size_t i = IKE_HDR_LEN; i < len; i++)
        sl_wr_u8(&w, (uint8_t)(fill + i / 100));
    ck_assert(sl_wr_ok(&w));
    return sl_buf_bytes(buf);
}

static enum v1_joined join(struct v1_reassembly *ra, struct sl_buf *whole, struct sl_bytes d)
{
    enum v1_joined what = 0;
    ck_ok(v1_message_read(&m, d, &err), &err);
    ck_assert(v1_is_fragment(&m));
    ck_ok(v1_join(&what, whole, ra, &m, &err), &err);
    return what;
}

START_TEST(messages_are_split_to_size_and_joined_in_any_order)
{
    static const size_t lens[] = { 28, 1000, 1253, 5000, 12000 };
    for (size_t k = 0; k < SL_ARRAY_LEN(lens); k++) {
        for (unsigned natt = 0; natt < 2; natt++) {
            SL_AUTO_BUF buf = { 0 };
            SL_AUTO_BUF whole = { 0 };
            struct ike_datagrams d = { 0 };
            struct v1_reassembly ra = { 0 };
            struct sl_bytes msg = message_of(&buf, lens[k], 1);
            ck_ok(v1_split(&d, msg, 1, 1280, 4, natt, &err), &err);
            bool fits = 28 + natt * 4 + lens[k] <= 1280;
            ck_assert_int_eq(d.n == 1, fits);
            for (size_t i = 0; i < d.n; i++)
                ck_assert_uint_le(28 + natt * 4 + ike_datagram_get(&d, i).len, 1280);
            if (fits) {
                ck_bytes_eq(ike_datagram_get(&d, 0), msg);
            } else {
                for (size_t i = d.n; i-- > 1;) {
                    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&d, i)), V1_JOINED_PART);
                    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&d, i)), V1_JOINED_PART);
                }
                ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&d, 0)), V1_JOINED);
                ck_bytes_eq(sl_buf_bytes(&whole), msg);
                ck_assert_ptr_null(ra.part);
            }
            ike_datagrams_clear(&d);
        }
    }
}
END_TEST

START_TEST(parts_of_another_message_with_the_same_id_start_anew)
{
    SL_AUTO_BUF a = { 0 };
    SL_AUTO_BUF b = { 0 };
    SL_AUTO_BUF whole = { 0 };
    struct ike_datagrams da = { 0 }, db = { 0 };
    struct v1_reassembly ra = { 0 };
    (void)message_of(&a, 5000, 1);
    struct sl_bytes second = message_of(&b, 2000, 50);
    ck_ok(v1_split(&da, sl_buf_bytes(&a), 1, 1280, 4, false, &err), &err);
    ck_ok(v1_split(&db, second, 1, 1280, 4, false, &err), &err);
    ck_assert_uint_eq(da.n, 5);
    ck_assert_uint_eq(db.n, 2);
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&da, 0)), V1_JOINED_PART);
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&da, 3)), V1_JOINED_PART);
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&db, 0)), V1_JOINED_PART);
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&db, 1)), V1_JOINED);
    ck_bytes_eq(sl_buf_bytes(&whole), second);
    /* an end before a part that is here already */
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&da, 3)), V1_JOINED_PART);
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&db, 1)), V1_JOINED_PART);
    ck_assert_uint_eq(ra.have, 1);
    /* a part past the end */
    ck_assert_int_eq(join(&ra, &whole, ike_datagram_get(&da, 3)), V1_JOINED_PART);
    ck_assert_uint_eq(ra.have, 1);
    ck_assert_uint_eq(ra.last, 0);
    v1_reassembly_clear(&ra);
    ike_datagrams_clear(&da);
    ike_datagrams_clear(&db);
}
END_TEST

static enum sl_rc join_raw(struct v1_reassembly *ra, uint8_t number, uint8_t flags, size_t len)
{
    static uint8_t body[4 + V1_REASSEMBLY_MAX + 1];
    SL_AUTO_BUF whole = { 0 };
    enum v1_joined what;
    body[1] = 1;
    body[2] = number;
    body[3] = flags;
    m.hdr = hdr;
    m.list.n = 1;
    m.list.p[0] = (struct ike_payload){ .type = V1_P_FRAGMENT, .body = sl_bytes(body, 4 + len) };
    return v1_join(&what, &whole, ra, &m, &err);
}

START_TEST(limits_of_reassembly_hold)
{
    struct v1_reassembly ra = { 0 };
    ck_rc(join_raw(&ra, 0, 0, 10), SL_IKE_MALFORMED, &err);
    ck_rc(join_raw(&ra, 1, 0, 0), SL_IKE_MALFORMED, &err);
    ck_rc(join_raw(&ra, V1_FRAGMENTS_MAX + 1, 0, 10), SL_TOO_LARGE, &err);
    ck_rc(join_raw(&ra, 1, 0, V1_REASSEMBLY_MAX + 1), SL_TOO_LARGE, &err);
    ck_assert_ptr_null(ra.part);
    ck_ok(join_raw(&ra, 1, 0, V1_REASSEMBLY_MAX - 5), &err);
    ck_rc(join_raw(&ra, 2, 0, 6), SL_TOO_LARGE, &err);
    ck_assert_uint_eq(ra.have, 1);
    ck_ok(join_raw(&ra, V1_FRAGMENTS_MAX, 0, 5), &err);
    ck_assert_uint_eq(ra.bytes, V1_REASSEMBLY_MAX);
    v1_reassembly_clear(&ra);
    SL_AUTO_BUF buf = { 0 };
    struct ike_datagrams d = { 0 };
    ck_rc(v1_split(&d, message_of(&buf, 30000, 1), 1, IKE_FRAGMENT_SIZE_MIN, 4, true, &err),
          SL_TOO_LARGE, &err);
    ck_assert_uint_eq(d.n, 0);
}
END_TEST

SL_TESTS(ikev1_crypt, SL_CASE(what_is_sealed_opens_and_the_ivs_agree),
         SL_CASE(failure_changes_nothing),
         SL_CASE(messages_are_split_to_size_and_joined_in_any_order),
         SL_CASE(parts_of_another_message_with_the_same_id_start_anew),
         SL_CASE(limits_of_reassembly_hold))
