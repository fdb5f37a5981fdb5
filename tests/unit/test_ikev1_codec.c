/*
 * The IKEv1 codec: chains, bodies, limits, certificates in PKCS#7 made by libcrypto.
 */
#include "src/ike/v1/codec.h"
#include "support/support.h"

#include <openssl/evp.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_err err;
static struct v1_message m;
static struct ike_payloads list;

static const uint8_t cky_i[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t cky_r[8] = { 9, 10, 11, 12, 13, 14, 15, 16 };
static const struct ike_hdr hdr = { .spi_i = { 1 },
                                    .version = V1_VERSION,
                                    .exchange = V1_INFORMATIONAL };

/* The body of the payload that a call on &c writes. */
#define BODY(out, call)                                                            \
    SL_AUTO_BUF out##_buf = { 0 };                                                 \
    struct ike_wr c = ike_wr_chain(&out##_buf);                                    \
    call;                                                                          \
    ck_assert(ike_wr_end(&c));                                                     \
    ck_ok(v1_payloads_read(&list, c.first, sl_buf_bytes(&out##_buf), &err), &err); \
    ck_assert_uint_eq(list.n, 1);                                                  \
    struct sl_bytes out = list.p[0].body

START_TEST(message_is_read_as_written_and_every_cut_is_refused)
{
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_message(&buf, &hdr);
    v1_put_notify(&c, V1_PROTO_ISAKMP, V1_N_NO_PROPOSAL_CHOSEN, sl_bytes(NULL, 0), sl_str("why"));
    v1_put_vid(&c, V1_VID_DPD);
    ck_assert(ike_wr_end(&c));
    ck_ok(v1_message_read(&m, sl_buf_bytes(&buf), &err), &err);
    ck_assert_uint_eq(m.list.n, 2);
    ck_assert_uint_eq(m.hdr.next, V1_P_N);
    ck_assert_uint_eq(v1_vids(&m.list), 1U << V1_VID_DPD);
    ck_bytes_eq(v1_after_first(&m.list), sl_bytes_slice(sl_buf_bytes(&buf), buf.len - 20, 20));
    for (size_t len = 0; len < buf.len; len++) {
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, buf.p, len);
        ck_rc(v1_message_read(&m, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        if (len >= IKE_HDR_LEN) { /* also when the header says so */
            exact[26] = (uint8_t)(len >> 8);
            exact[27] = (uint8_t)len;
            ck_rc(v1_message_read(&m, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        }
        free(exact);
    }
    buf.p[17] = 0x20;
    ck_rc(v1_message_read(&m, sl_buf_bytes(&buf), &err), SL_IKE_VERSION, &err);
    buf.p[17] = 0x11; /* a higher minor version is taken */
    ck_ok(v1_message_read(&m, sl_buf_bytes(&buf), &err), &err);
    memset(buf.p, 0, V1_COOKIE_LEN);
    ck_rc(v1_message_read(&m, sl_buf_bytes(&buf), &err), SL_IKE_MALFORMED, &err);
}
END_TEST

START_TEST(encrypted_message_is_not_looked_into)
{
    SL_AUTO_BUF buf = { 0 };
    struct ike_hdr h = hdr;
    h.flags = V1_FLAG_ENCRYPTION;
    h.next = V1_P_HASH;
    h.length = IKE_HDR_LEN + 3;
    struct sl_wr w = sl_wr_buf(&buf, 1000);
    ike_hdr_write(&w, &h);
    sl_wr_put(&w, sl_str("xyz"));
    ck_ok(v1_message_read(&m, sl_buf_bytes(&buf), &err), &err);
    ck_assert_uint_eq(m.list.n, 0);
    ck_bytes_eq(m.body, sl_str("xyz"));
}
END_TEST

START_TEST(payloads_past_the_limit_are_refused_and_padding_is_not)
{
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    for (int i = 0; i < IKE_PAYLOADS_MAX; i++)
        v1_put(&c, V1_P_VID, sl_str("v"));
    ck_assert(ike_wr_end(&c));
    ck_assert(sl_buf_put(&buf, sl_bytes("\xff\0\xff\1\1\1", 6)));
    ck_ok(v1_payloads_read(&list, c.first, sl_buf_bytes(&buf), &err), &err);
    ck_assert_uint_eq(list.n, IKE_PAYLOADS_MAX);
    ck_assert_uint_eq(v1_after_first(&list).len, 5U * (IKE_PAYLOADS_MAX - 1));
    buf.len = 0;
    c = ike_wr_chain(&buf);
    for (int i = 0; i <= IKE_PAYLOADS_MAX; i++)
        v1_put(&c, V1_P_VID, sl_str("v"));
    ck_assert(ike_wr_end(&c));
    ck_rc(v1_payloads_read(&list, c.first, sl_buf_bytes(&buf), &err), SL_TOO_LARGE, &err);
}
END_TEST

static enum sl_rc check_types(const uint8_t *types, size_t n)
{
    list.n = n;
    for (size_t i = 0; i < n; i++)
        list.p[i] = (struct ike_payload){ .type = types[i] };
    return v1_payloads_check(&list, V1_BIT(V1_P_HASH) | V1_BIT(V1_P_SA),
                             V1_BIT(V1_P_ID) | V1_BIT(V1_P_NAT_D) | V1_BIT(V1_P_CERT), "message",
                             &err);
}

START_TEST(only_the_payloads_of_the_message_are_taken)
{
    static const struct {
        uint8_t types[6];
        size_t n;
        enum sl_rc rc;
    } rows[] = {
        { { V1_P_HASH, V1_P_SA }, 2, SL_OK },
        { { V1_P_SA, V1_P_HASH, V1_P_VID, V1_P_VID, V1_P_N, V1_P_N }, 6, SL_OK },
        { { V1_P_HASH, V1_P_SA, V1_P_ID, V1_P_ID, V1_P_CERT, V1_P_CERT }, 6, SL_OK },
        { { V1_P_HASH, V1_P_SA, V1_P_NAT_D, V1_P_NAT_D_DRAFT, V1_P_NAT_D_DRAFT4 }, 5, SL_OK },
        { { V1_P_HASH, V1_P_SA, 200 }, 3, SL_OK }, /* private use */
        { { V1_P_HASH }, 1, SL_IKE_MALFORMED },
        { { V1_P_HASH, V1_P_SA, V1_P_SA }, 3, SL_IKE_MALFORMED },
        { { V1_P_HASH, V1_P_HASH, V1_P_SA }, 3, SL_IKE_MALFORMED },
        { { V1_P_HASH, V1_P_SA, V1_P_ID, V1_P_ID, V1_P_ID }, 5, SL_IKE_MALFORMED },
        { { V1_P_HASH, V1_P_SA, V1_P_KE }, 3, SL_IKE_MALFORMED },
        { { V1_P_HASH, V1_P_SA, V1_P_NAT_OA_DRAFT }, 3, SL_IKE_MALFORMED },
        { { V1_P_HASH, V1_P_SA, 33 }, 3, SL_IKE_MALFORMED }, /* SA of IKEv2 */
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        ck_rc(check_types(rows[i].types, rows[i].n), rows[i].rc, &err);
}
END_TEST

START_TEST(identities_of_phase_1_keep_the_rules)
{
    static const struct {
        const char *body;
        const char *text; /* NULL: refused */
    } rows[] = {
        { "01 00 0000 c0000201", "ip:192.0.2.1" }, { "01 11 01f4 c0000201", "ip:192.0.2.1" },
        { "01 11 1194 c0000201", "ip:192.0.2.1" }, { "02 11 0000 67772e6c6162", "dns:gw.lab" },
        { "03 00 0000 614062", "email:a@b" },      { "0b 00 0000 0a0b", "keyid:0a0b" },
        { "01 06 01f4 c0000201", NULL },           { "01 11 0050 c0000201", NULL },
        { "01 00 01f4 c0000201", NULL },           { "01 00 0000 c00002", NULL },
        { "05 00 0000 c0000201", NULL },           { "04 00 0000 c0000200ffffff00", NULL },
        { "07 00 0000 c0000200c0000209", NULL },   { "63 00 0000 01", NULL },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct v1_id raw;
        struct sl_id id;
        char text[SL_ID_TEXT];
        ck_assert(v1_id_read(&raw, sl_test_hex(rows[i].body)));
        ck_assert_msg(v1_id_to_id(&id, &raw) == (rows[i].text != NULL), "row %zu", i);
        if (!rows[i].text)
            continue;
        ck_assert_str_eq(sl_id_text(text, &id), rows[i].text);
        BODY(ours, v1_put_id(&c, &id));
        ck_bytes_eq(sl_bytes_slice(ours, 4, ours.len),
                    sl_bytes_slice(sl_test_hex(rows[i].body), 4, 999));
        ck_assert_mem_eq(ours.p + 1, "\0\0\0", 3);
    }
    struct v1_id raw;
    struct sl_id id;
    static uint8_t large[4 + SL_ID_MAX + 1] = { V1_ID_KEY_ID };
    ck_assert(v1_id_read(&raw, sl_bytes(large, sizeof(large))) && !v1_id_to_id(&id, &raw));
    ck_assert(v1_id_read(&raw, sl_bytes(large, sizeof(large) - 1)) && v1_id_to_id(&id, &raw));
    ck_assert(!v1_id_read(&raw, sl_bytes(large, 4)));
}
END_TEST

START_TEST(proxy_identities_are_selectors)
{
    static const struct {
        const char *body, *ts; /* ts NULL: refused */
        bool same;             /* ours is the same body */
    } rows[] = {
        { "04 00 0000 0a000000 ff000000", "10.0.0.0/8", true },
        { "04 00 0000 0a010203 ff000000", "10.0.0.0/8", false },
        { "04 00 0000 00000000 00000000", "0.0.0.0/0", true },
        { "01 00 0000 0a000001", "10.0.0.1/32", true },
        { "04 00 0000 0a000001 ffffffff", "10.0.0.1/32", false },
        { "07 00 0000 0a000001 0a000009", "10.0.0.1-10.0.0.9", true },
        { "01 06 0050 0a000001", "10.0.0.1/32[tcp/80]", true },
        { "04 11 0000 0a000000 fffffe00", "10.0.0.0/23[udp]", true },
        { "05 00 0000 20010db8000000000000000000000001", "2001:db8::1/128", true },
        { "06 00 0000 20010db8000000000000000000000000 ffffffff000000000000000000000000",
          "2001:db8::/32", true },
        { "08 00 0000 20010db8000000000000000000000001 20010db8000000000000000000000003",
          "2001:db8::1-2001:db8::3", true },
        { "04 00 0000 0a000000 ff00ff00", NULL, false },
        { "07 00 0000 0a000009 0a000001", NULL, false },
        { "04 00 0000 0a000000 ffff", NULL, false },
        { "01 00 0050 0a000001", NULL, false },
        { "02 00 0000 67772e6c6162", NULL, false },
        { "06 00 0000 0a000000 ff000000", NULL, false },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct v1_id raw;
        struct sl_ts ts, want;
        struct sl_bytes body = sl_test_hex(rows[i].body);
        ck_assert(v1_id_read(&raw, body));
        ck_assert_msg(v1_id_to_ts(&ts, &raw) == (rows[i].ts != NULL), "row %zu", i);
        if (!rows[i].ts)
            continue;
        ck_assert(sl_ts_parse(&want, rows[i].ts));
        ck_assert_msg(sl_ts_eq(&ts, &want), "row %zu", i);
        BODY(ours, v1_put_ts(&c, &ts));
        if (rows[i].same)
            ck_bytes_eq(ours, body);
        ck_assert(v1_id_read(&raw, ours) && v1_id_to_ts(&ts, &raw) && sl_ts_eq(&ts, &want));
    }
    struct sl_ts ports;
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ck_assert(sl_ts_parse(&ports, "10.0.0.1[tcp/80-81]"));
    ck_assert(!v1_ts_fits(&ports));
    v1_put_ts(&c, &ports);
    ck_assert(!ike_wr_end(&c));
}
END_TEST

START_TEST(notifies_and_deletes_are_read_as_written)
{
    struct v1_notify n;
    struct v1_delete d;
    uint32_t seq = 0;
    {
        BODY(ours, v1_put_notify_sa(&c, V1_N_R_U_THERE, cky_i, cky_r, sl_bytes("\0\0\1\2", 4)));
        ck_assert(v1_notify_read(&n, ours));
        ck_assert_uint_eq(n.type, 36136);
        ck_assert_uint_eq(n.spi.len, 16);
        ck_assert_mem_eq(n.spi.p + 8, cky_r, 8);
        ck_assert(v1_dpd_seq(&seq, &n));
        ck_assert_uint_eq(seq, 258);
        ck_assert(v1_notify_find(&list, V1_N_R_U_THERE, &n));
        ck_assert(!v1_notify_find(&list, V1_N_R_U_THERE_ACK, &n));
        n.data.len = 3;
        ck_assert(!v1_dpd_seq(&seq, &n));
    }
    {
        const uint32_t spis[] = { 0x01020304, 0xfffefdfc };
        BODY(ours, v1_put_delete_esp(&c, spis, 2));
        ck_bytes_eq(ours, sl_test_hex("00000001 03 04 0002 01020304 fffefdfc"));
        ck_assert(v1_delete_read(&d, ours));
        ck_bytes_eq(v1_delete_spi(&d, 1), sl_test_hex("fffefdfc"));
    }
    {
        BODY(ours, v1_put_delete_sa(&c, cky_i, cky_r));
        ck_bytes_eq(ours, sl_test_hex("00000001 01 10 0001 0102030405060708 090a0b0c0d0e0f10"));
        ck_assert(v1_delete_read(&d, ours));
    }
    static const char *const bad_d[] = {
        "00000001 03 04 0000",
        "00000001 03 04 0002 01020304",
        "00000001 03 08 0001 0102030405060708",
        "00000001 01 04 0001 01020304",
        "00000002 03 04 0001 01020304",
        "00000001 03 04",
        "00000001 03 00 0001",
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad_d); i++)
        ck_assert_msg(!v1_delete_read(&d, sl_test_hex(bad_d[i])), "delete %zu", i);
    static const char *const bad_n[] = {
        "00000002 01 00 000e",
        "00000001 01 03 000e 010203",
        "00000001 01 10 000e 0102",
        "00000001",
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad_n); i++)
        ck_assert_msg(!v1_notify_read(&n, sl_test_hex(bad_n[i])), "notify %zu", i);
}
END_TEST

START_TEST(attributes_are_stepped_through)
{
    SL_AUTO_BUF buf = { 0 };
    struct sl_wr w = sl_wr_buf(&buf, 1000);
    uint64_t v = 0;
    v1_attr_num(&w, 12, 28800);
    v1_attr_num(&w, 12, 86400);
    v1_attr_tlv(&w, 16520, sl_str("name"));
    ck_bytes_eq(sl_buf_bytes(&buf), sl_test_hex("800c7080 000c0004 00015180 40880004 6e616d65"));
    struct sl_rd r = sl_rd(sl_buf_bytes(&buf));
    struct v1_attr a;
    ck_assert(v1_attr_next(&a, &r) && a.tv && v1_attr_u64(&v, &a) && v == 28800);
    ck_assert(v1_attr_next(&a, &r) && !a.tv && v1_attr_u64(&v, &a) && v == 86400);
    ck_assert(v1_attr_next(&a, &r) && a.type == 16520);
    ck_bytes_eq(a.data, sl_str("name"));
    ck_assert(!v1_attr_next(&a, &r) && sl_rd_done(&r));
    r = sl_rd(sl_test_hex("000c0005 00015180"));
    ck_assert(!v1_attr_next(&a, &r) && !sl_rd_done(&r));
    struct v1_cfg cfg;
    ck_assert(v1_cfg_read(&cfg, sl_test_hex("01 00 1234 4089 0000")));
    ck_assert_uint_eq(cfg.id, 0x1234);
    ck_assert(!v1_cfg_read(&cfg, sl_test_hex("01 00 1234 4089 0001")));
    ck_assert(!v1_cfg_read(&cfg, sl_test_hex("01 00 12")));
    buf.len = 0;
    ck_assert(sl_buf_put(&buf, sl_test_hex("01 00 1234")));
    for (int i = 0; i <= V1_ATTRS_MAX; i++) {
        ck_assert(v1_cfg_read(&cfg, sl_buf_bytes(&buf)));
        ck_assert(sl_buf_put(&buf, sl_test_hex("4089 0000")));
    }
    ck_assert(!v1_cfg_read(&cfg, sl_buf_bytes(&buf)));
}
END_TEST

/* Vendor IDs are MD5 of what the drafts say, where they say it. */
START_TEST(vendor_ids_are_the_digests_of_their_names)
{
    static const struct {
        enum v1_vid vid;
        const char *text;
    } rows[] = {
        { V1_VID_NATT, "RFC 3947" },
        { V1_VID_NATT_03, "draft-ietf-ipsec-nat-t-ike-03" },
        { V1_VID_NATT_02N, "draft-ietf-ipsec-nat-t-ike-02\n" },
        { V1_VID_NATT_02, "draft-ietf-ipsec-nat-t-ike-02" },
        { V1_VID_FRAGMENTATION, "FRAGMENTATION" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        uint8_t md[16];
        ck_assert_int_eq(EVP_Digest(rows[i].text, strlen(rows[i].text), md, NULL, EVP_md5(), NULL),
                         1);
        ck_assert_int_eq(v1_vid_find(sl_bytes(md, 16)), rows[i].vid);
        ck_assert_int_eq(v1_vid_find(sl_bytes(md, 15)), V1_VID_COUNT);
        BODY(ours, v1_put_vid(&c, rows[i].vid));
        ck_assert_mem_eq(ours.p, md, 16);
    }
    for (int v = 0; v < V1_VID_COUNT; v++) {
        BODY(ours, v1_put_vid(&c, (enum v1_vid)v));
        ck_assert_int_eq(v1_vid_find(ours), v);
    }
    ck_assert_int_eq(v1_vid_find(sl_test_hex("12f5f28c457168a9702d9fe274cc0204")), V1_VID_UNITY);
    ck_assert_int_eq(v1_vid_find(sl_test_hex("09002689dfd6b712")), V1_VID_XAUTH);
    ck_assert_uint_eq(v1_natd_type(0), 0);
    ck_assert_uint_eq(v1_natd_type(1U << V1_VID_NATT_02N), V1_P_NAT_D_DRAFT);
    ck_assert_uint_eq(v1_natd_type(1U << V1_VID_NATT | 1U << V1_VID_NATT_03), V1_P_NAT_D);
}
END_TEST

/* ---- certificates ---------------------------------------------------------------------------------- */
static X509 *make_cert(int serial)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    ck_assert(key && x && ASN1_INTEGER_set(X509_get_serialNumber(x), serial));
    ck_assert(X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
              X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    ck_assert(X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()));
    EVP_PKEY_free(key);
    return x;
}

static struct sl_bytes der_of(X509 *x, uint8_t **der)
{
    *der = NULL;
    int len = i2d_X509(x, der);
    ck_assert_int_gt(len, 0);
    return sl_bytes(*der, (size_t)len);
}

START_TEST(certificates_come_out_of_pkcs7_and_are_listed_once)
{
    X509 *a = make_cert(1), *b = make_cert(2);
    uint8_t *der_a, *der_b, *der_7 = NULL;
    struct sl_bytes ca = der_of(a, &der_a), cb = der_of(b, &der_b);
    PKCS7 *p7 = PKCS7_new();
    ck_assert(PKCS7_set_type(p7, NID_pkcs7_signed) && PKCS7_content_new(p7, NID_pkcs7_data) &&
              PKCS7_add_certificate(p7, a) && PKCS7_add_certificate(p7, b));
    int len = i2d_PKCS7(p7, &der_7);
    ck_assert_int_gt(len, 0);

    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    v1_put_cert(&c, IKE_CERT_X509_SIGNATURE, cb);
    v1_put_cert(&c, IKE_CERT_CRL, sl_str("passed over"));
    v1_put_cert(&c, IKE_CERT_PKCS7, sl_bytes(der_7, (size_t)len));
    ck_assert(ike_wr_end(&c));
    ck_ok(v1_payloads_read(&list, c.first, sl_buf_bytes(&buf), &err), &err);
    struct v1_certs certs = { 0 };
    ck_ok(v1_certs_collect(&certs, &list, &err), &err);
    ck_assert_uint_eq(certs.n, 2);
    ck_bytes_eq(certs.cert[0], cb);
    ck_bytes_eq(certs.cert[1], ca);

    list.p[2].body.len--; /* cut: nothing is kept of it, what was there before stays */
    ck_rc(v1_certs_collect(&certs, &list, &err), SL_IKE_MALFORMED, &err);
    ck_assert_uint_eq(certs.n, 2);
    v1_certs_clear(&certs);
    PKCS7_free(p7);
    OPENSSL_free(der_7);
    OPENSSL_free(der_a);
    OPENSSL_free(der_b);
    X509_free(a);
    X509_free(b);
}
END_TEST

START_TEST(more_certificates_than_a_chain_has_are_refused)
{
    struct v1_certs certs = { 0 };
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    for (uint8_t i = 0; i <= SL_CHAIN_MAX; i++)
        v1_put_cert(&c, IKE_CERT_X509_SIGNATURE, sl_bytes(&i, 1));
    ck_assert(ike_wr_end(&c));
    ck_ok(v1_payloads_read(&list, c.first, sl_buf_bytes(&buf), &err), &err);
    ck_rc(v1_certs_collect(&certs, &list, &err), SL_TOO_LARGE, &err);
    list.n--;
    ck_ok(v1_certs_collect(&certs, &list, &err), &err);
    ck_assert_uint_eq(certs.n, SL_CHAIN_MAX);
    v1_certs_clear(&certs);
}
END_TEST

START_TEST(names_are_those_of_the_rfcs)
{
    char out[IKE_TEXT];
    ck_assert_str_eq(v1_exchange_text(out, 2), "main mode");
    ck_assert_str_eq(v1_exchange_text(out, 99), "exchange 99");
    ck_assert_str_eq(v1_payload_text(out, 20), "NAT-D");
    ck_assert_str_eq(v1_payload_text(out, 13), "VID");
    ck_assert_str_eq(v1_payload_text(out, 99), "payload 99");
    ck_assert_str_eq(v1_notify_text(out, 14), "NO-PROPOSAL-CHOSEN");
    ck_assert_str_eq(v1_notify_text(out, 36137), "R-U-THERE-ACK");
    ck_assert_str_eq(v1_notify_text(out, 9999), "notify 9999");
}
END_TEST

SL_TESTS(ikev1_codec, SL_CASE(message_is_read_as_written_and_every_cut_is_refused),
         SL_CASE(encrypted_message_is_not_looked_into),
         SL_CASE(payloads_past_the_limit_are_refused_and_padding_is_not),
         SL_CASE(only_the_payloads_of_the_message_are_taken),
         SL_CASE(identities_of_phase_1_keep_the_rules), SL_CASE(proxy_identities_are_selectors),
         SL_CASE(notifies_and_deletes_are_read_as_written), SL_CASE(attributes_are_stepped_through),
         SL_CASE(vendor_ids_are_the_digests_of_their_names),
         SL_CASE(certificates_come_out_of_pkcs7_and_are_listed_once),
         SL_CASE(more_certificates_than_a_chain_has_are_refused),
         SL_CASE(names_are_those_of_the_rfcs))
