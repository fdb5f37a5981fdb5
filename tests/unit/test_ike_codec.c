/* Unit tests of src/ike/codec.h: header, chain of payloads, bodies, names, tshark as a decoder. */
#include "ike_vectors.h"
#include "src/ike/auth.h"
#include "src/ike/proposal.h"
#include "src/ike/ts.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

static const struct ike_hdr header = { .spi_i = { 1, 2, 3, 4, 5, 6, 7, 8 },
                                       .spi_r = { 9, 10, 11, 12, 13, 14, 15, 16 },
                                       .exchange = IKE_AUTH,
                                       .flags = IKE_FLAG_INITIATOR,
                                       .id = 7 };

static struct sl_bytes view(const struct sl_buf *b)
{
    return sl_buf_bytes(b);
}

/* A message of raw payloads after the header of `header`. */
static struct sl_bytes message_of(struct sl_buf *b, uint8_t first, const char *hex)
{
    struct sl_wr w = sl_wr_buf(b, SL_BUF_MAX);
    struct sl_bytes body = sl_test_hex(hex);
    struct ike_hdr h = header;
    h.version = IKE_VERSION_2;
    h.next = first;
    h.length = (uint32_t)(IKE_HDR_LEN + body.len);
    ike_hdr_write(&w, &h);
    sl_wr_put(&w, body);
    ck_assert(sl_wr_ok(&w));
    return view(b);
}

static enum sl_rc read_rc(uint8_t first, const char *hex)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_message m;
    struct sl_err err = { 0 };
    return ike_message_read(&m, message_of(&b, first, hex), &err);
}

/* A certificate that a decoder can read; nothing is signed. */
static void make_cert(struct sl_buf *out)
{
    X509 *cert = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t *der = NULL;
    ck_assert(cert && key && X509_set_pubkey(cert, key) && X509_sign(cert, key, EVP_sha256()));
    int len = i2d_X509(cert, &der);
    ck_assert(len > 0 && sl_buf_put(out, sl_bytes(der, (size_t)len)));
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    X509_free(cert);
}

/* Every payload there is, as no real message has them. */
static void write_everything(struct sl_buf *b)
{
    SL_AUTO_BUF cert = { 0 };
    make_cert(&cert);
    static const uint8_t bytes[64] = { 0xa5, 0x5a };
    struct sl_id id = { .type = SL_ID_FQDN, .len = 12, .data = "gw-a.example" };
    struct sl_ts ts;
    const struct sl_conf_ike_proposal ike = { { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
                                              SL_PRF_HMAC_SHA2_256,
                                              SL_KE_CURVE25519,
                                              { .may_skip = 0 } };
    const uint32_t spis[] = { 0x01020304, 0xa0b0c0d0 };
    ck_assert(sl_ts_parse(&ts, "10.1.0.0/16[tcp/443]"));
    struct ike_wr c = ike_wr_message(b, &header);
    ike_put_sa_ike(&c, &ike, 1, (struct sl_bytes){ 0 });
    ike_put_ke(&c, SL_KE_CURVE25519, sl_bytes(bytes, 32));
    ike_put_nonce(&c, sl_bytes(bytes, 32));
    ike_put_id(&c, IKE_P_IDi, &id);
    ike_put_id(&c, IKE_P_IDr, &id);
    ike_put_cert(&c, IKE_CERT_X509_SIGNATURE, view(&cert));
    ike_put_certreq(&c, IKE_CERT_X509_SIGNATURE, sl_bytes(bytes, 40));
    ike_put_auth(&c, IKE_AUTH_PSK, sl_bytes(bytes, 32));
    ike_put_notify(&c, IKE_N_INITIAL_CONTACT, (struct sl_bytes){ 0 });
    ike_put_notify_spi(&c, IKE_N_REKEY_SA, IKE_PROTO_ESP, sl_bytes(bytes, 4),
                       (struct sl_bytes){ 0 });
    ike_put_hashes(&c, IKE_HASHES_OURS);
    ike_put_delete_esp(&c, spis, 2);
    ike_put_delete_ike(&c);
    ike_put_vendor(&c, sl_str("sealane"));
    ike_put_ts(&c, IKE_P_TSi, &ts, 1);
    ike_put_ts(&c, IKE_P_TSr, &ts, 1);
    ike_wr_payload(&c, IKE_P_EAP, false, sl_test_hex("01 07 0005 01"));
    ck_assert(ike_wr_end(&c));
}

START_TEST(message_written_reads_back)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_message m;
    struct sl_err err = { 0 };
    write_everything(&b);
    ck_ok(ike_message_read(&m, view(&b), &err), &err);
    ck_assert_mem_eq(m.hdr.spi_i, header.spi_i, IKE_SPI_LEN);
    ck_assert_mem_eq(m.hdr.spi_r, header.spi_r, IKE_SPI_LEN);
    ck_assert_uint_eq(m.hdr.version, IKE_VERSION_2);
    ck_assert_uint_eq(m.hdr.exchange, IKE_AUTH);
    ck_assert(ike_hdr_from_initiator(&m.hdr) && !ike_hdr_is_response(&m.hdr));
    ck_assert_uint_eq(m.hdr.id, 7);
    ck_assert_uint_eq(m.hdr.length, b.len);
    ck_assert_uint_eq(m.list.n, 17);
    ck_assert_uint_eq(m.list.p[0].type, IKE_P_SA);
    ck_assert_uint_eq(m.list.p[16].type, IKE_P_EAP);
    ck_assert_uint_eq(m.list.p[16].next, IKE_P_NONE);

    struct ike_ke ke;
    ck_assert(ike_ke_read(&ke, ike_payloads_find(&m.list, IKE_P_KE)->body));
    ck_assert_uint_eq(ke.group, SL_KE_CURVE25519);
    ck_assert_uint_eq(ke.data.len, 32);
    struct sl_id id;
    ck_assert(ike_id_read(&id, ike_payloads_find(&m.list, IKE_P_IDr)->body));
    ck_assert_int_eq(id.type, SL_ID_FQDN);
    ck_bytes_eq(sl_bytes(id.data, id.len), sl_str("gw-a.example"));
    struct ike_cert cert;
    ck_assert(ike_certreq_read(&cert, ike_payloads_find(&m.list, IKE_P_CERTREQ)->body));
    ck_assert_uint_eq(cert.data.len, 2 * IKE_CERTREQ_HASH_LEN);
    struct ike_auth auth;
    ck_assert(ike_auth_read(&auth, ike_payloads_find(&m.list, IKE_P_AUTH)->body));
    ck_assert_uint_eq(auth.method, IKE_AUTH_PSK);
    struct sl_bytes nonce;
    ck_assert(ike_nonce_read(&nonce, ike_payloads_find(&m.list, IKE_P_NONCE)->body));
    struct ike_notify n;
    ck_assert(ike_notifies_check(&m.list));
    ck_assert(ike_notify_find(&m.list, IKE_N_REKEY_SA, &n));
    ck_assert_uint_eq(n.protocol, IKE_PROTO_ESP);
    ck_bytes_eq(n.spi, sl_test_hex("a55a0000"));
    ck_assert(!ike_notify_find(&m.list, IKE_N_COOKIE, &n));
    ck_assert(!ike_notify_find_error(&m.list, &n));
    struct ike_delete d;
    const struct ike_payload *p = ike_payloads_find(&m.list, IKE_P_D);
    ck_assert(ike_delete_read(&d, p->body));
    ck_assert_uint_eq(d.protocol, IKE_PROTO_ESP);
    ck_assert_uint_eq(d.n, 2);
    ck_assert_uint_eq(ike_delete_spi(&d, 1), 0xa0b0c0d0);
    p = ike_payloads_next(&m.list, IKE_P_D, p);
    ck_assert(ike_delete_read(&d, p->body));
    ck_assert_uint_eq(d.protocol, IKE_PROTO_IKE);
    ck_assert_ptr_null(ike_payloads_next(&m.list, IKE_P_D, p));
    struct ike_eap eap;
    ck_assert(ike_eap_read(&eap, ike_payloads_find(&m.list, IKE_P_EAP)->body));
    ck_assert_uint_eq(eap.id, 7);
    ck_assert_uint_eq(ike_payloads_count(&m.list, IKE_P_N), 3);
}
END_TEST

START_TEST(message_cut_at_any_byte_is_malformed)
{
    SL_AUTO_BUF b = { 0 };
    write_everything(&b);
    for (size_t len = 0; len < b.len; len++) {
        struct ike_message m;
        struct sl_err err = { 0 };
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, b.p, len);
        ck_rc(ike_message_read(&m, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        if (len >= IKE_HDR_LEN) { /* and with a header that admits to the cut */
            exact[24] = exact[25] = 0;
            exact[26] = (uint8_t)(len >> 8);
            exact[27] = (uint8_t)len;
            ck_rc(ike_message_read(&m, sl_bytes(exact, len), &err), SL_IKE_MALFORMED, &err);
        }
        free(exact);
    }
}
END_TEST

/* A body cut anywhere is refused, except where what is left is a shorter sound body. */
START_TEST(body_cut_below_its_fixed_part_is_refused)
{
    union {
        struct ike_ke ke;
        struct sl_id id;
        struct ike_cert cert;
        struct ike_auth auth;
        struct ike_notify n;
        struct ike_delete d;
        struct ike_cp cp;
        struct ike_eap eap;
        struct sl_bytes nonce;
    } u;
    struct sl_bytes zero = sl_test_hex("0000000000000000000000000000000000");
    for (size_t len = 0; len <= 4; len++) {
        struct sl_bytes cut = sl_bytes_slice(zero, 0, len);
        ck_assert(!ike_ke_read(&u.ke, cut));
        ck_assert(!ike_id_read(&u.id, cut));
        ck_assert(!ike_auth_read(&u.auth, cut));
        ck_assert(!ike_delete_read(&u.d, cut));
        ck_assert(!ike_eap_read(&u.eap, cut));
        ck_assert(ike_notify_read(&u.n, cut) == (len == 4));
        ck_assert(ike_cp_read(&u.cp, cut) == (len == 4));
        ck_assert(ike_cert_read(&u.cert, cut) == (len > 1));
        ck_assert(ike_certreq_read(&u.cert, cut) == (len > 0));
    }
    ck_assert(!ike_nonce_read(&u.nonce, sl_bytes_slice(zero, 0, 15)));
    ck_assert(ike_nonce_read(&u.nonce, sl_bytes_slice(zero, 0, 16)));
    static const uint8_t big[257];
    ck_assert(ike_nonce_read(&u.nonce, sl_bytes(big, 256)));
    ck_assert(!ike_nonce_read(&u.nonce, sl_bytes(big, 257)));
    ck_assert(!ike_notify_read(&u.n, sl_test_hex("03 05 4009 01020304 05"))); /* SPI of 5 bytes */
    ck_assert(!ike_notify_read(&u.n, sl_test_hex("03 08 4009 01020304")));    /* SPI past the end */
    ck_assert(!ike_id_read(&u.id, sl_test_hex("01 000000 0a0000")));          /* IPv4 of 3 bytes */
    ck_assert(!ike_id_read(&u.id, sl_test_hex("05 000000 0a000001")));        /* IPv6 of 4 bytes */
    static const uint8_t long_id[4 + SL_ID_MAX + 1] = { SL_ID_KEY_ID };
    ck_assert(ike_id_read(&u.id, sl_bytes(long_id, 4 + SL_ID_MAX)));
    ck_assert(!ike_id_read(&u.id, sl_bytes(long_id, sizeof(long_id))));
}
END_TEST

START_TEST(delete_with_wrong_spis_is_refused)
{
    struct ike_delete d;
    ck_assert(ike_delete_read(&d, sl_test_hex("01 00 0000")));
    ck_assert(!ike_delete_read(&d, sl_test_hex("01 08 0001 0102030405060708"))); /* IKE has none */
    ck_assert(!ike_delete_read(&d, sl_test_hex("03 04 0000")));
    ck_assert(!ike_delete_read(&d, sl_test_hex("03 04 0002 01020304")));
    ck_assert(!ike_delete_read(&d, sl_test_hex("03 04 0001 01020304 05")));
    ck_assert(!ike_delete_read(&d, sl_test_hex("03 ff ffff 01020304")));
    ck_assert(!ike_delete_read(&d, sl_test_hex("07 04 0001 01020304")));
    ck_assert(ike_delete_read(&d, sl_test_hex("02 04 0001 01020304")));
}
END_TEST

START_TEST(configuration_steps_through_its_attributes)
{
    struct ike_cp cp;
    struct ike_cp_attr a;
    ck_assert(ike_cp_read(&cp, sl_test_hex("01 000000 8001 0000 0003 0004 01020304")));
    ck_assert_uint_eq(cp.type, IKE_CP_REQUEST);
    ck_assert_uint_eq(cp.n, 2);
    struct sl_rd r = sl_rd(cp.body);
    ck_assert(ike_cp_next(&a, &r));
    ck_assert_uint_eq(a.type, 1); /* the reserved bit is not part of it */
    ck_assert(ike_cp_next(&a, &r));
    ck_bytes_eq(a.value, sl_test_hex("01020304"));
    ck_assert(!ike_cp_next(&a, &r));
    ck_assert(!ike_cp_read(&cp, sl_test_hex("01 000000 0001 0005 01020304")));
    SL_AUTO_BUF many = { 0 };
    struct sl_wr w = sl_wr_buf(&many, SL_BUF_MAX);
    sl_wr_u32(&w, 0x01000000);
    sl_wr_zero(&w, 4 * IKE_CP_ATTRS_MAX);
    ck_assert(ike_cp_read(&cp, view(&many)));
    sl_wr_zero(&w, 4);
    ck_assert(!ike_cp_read(&cp, view(&many)));
}
END_TEST

START_TEST(chain_that_lies_about_lengths_is_malformed)
{
    ck_assert_int_eq(read_rc(IKE_P_NONE, ""), SL_OK);
    ck_assert_int_eq(read_rc(IKE_P_V, "00 00 0004"), SL_OK);
    ck_assert_int_eq(read_rc(IKE_P_V, "00 00 0000"), SL_IKE_MALFORMED); /* would loop for ever */
    ck_assert_int_eq(read_rc(IKE_P_V, "2b 00 0003"), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_rc(IKE_P_V, "00 00 0005"), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_rc(IKE_P_V, "00 00 ffff 00"), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_rc(IKE_P_V, "2b 00 0004"), SL_IKE_MALFORMED); /* one more is promised */
    ck_assert_int_eq(read_rc(IKE_P_V, "00 00 0004 00"), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_rc(IKE_P_NONE, "00"), SL_IKE_MALFORMED);
}
END_TEST

START_TEST(encrypted_payload_ends_the_outer_chain)
{
    struct ike_payloads list;
    struct sl_err err = { 0 };
    ck_assert_int_eq(read_rc(IKE_P_SK, "21 00 0008 01020304"),
                     SL_OK); /* 33: type of the inner one */
    ck_assert_int_eq(read_rc(IKE_P_SK, "2b 00 0008 01020304 00 00 0004"), SL_IKE_MALFORMED);
    ck_rc(ike_payloads_read(&list, IKE_P_SK, sl_test_hex("00 00 0008 01020304"), &err),
          SL_IKE_MALFORMED, &err);
    ck_rc(ike_payloads_read(&list, IKE_P_N, sl_test_hex("35 00 0004 00 00 0004"), &err),
          SL_IKE_MALFORMED, &err);
}
END_TEST

START_TEST(payloads_past_the_limit_are_refused)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_wr c = ike_wr_message(&b, &header);
    struct ike_message m;
    struct sl_err err = { 0 };
    for (size_t i = 0; i < IKE_PAYLOADS_MAX; i++)
        ike_put_vendor(&c, sl_str("v"));
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_message_read(&m, view(&b), &err), &err);
    ck_assert_uint_eq(m.list.n, IKE_PAYLOADS_MAX);
    ike_put_vendor(&c, sl_str("v"));
    ck_assert(ike_wr_end(&c));
    ck_rc(ike_message_read(&m, view(&b), &err), SL_TOO_LARGE, &err);
}
END_TEST

START_TEST(unknown_critical_payload_is_named)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_message m;
    struct sl_err err = { 0 };
    struct ike_wr c = ike_wr_message(&b, &header);
    ike_wr_payload(&c, 200, false, sl_str("ignored"));
    ike_wr_payload(&c, IKE_P_V, true, sl_str("critical means nothing on a known type"));
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_message_read(&m, view(&b), &err), &err);
    ck_assert_uint_eq(m.list.n, 2);
    ck_assert(m.list.p[1].critical);
    ck_assert_uint_eq(ike_payloads_set(&m.list), IKE_BIT(IKE_P_V));
    ck_ok(ike_payloads_check(&m.list, 0, 0, "test", &err), &err);
    ike_wr_payload(&c, 201, true, sl_str("x"));
    ike_wr_payload(&c, 202, true, sl_str("x"));
    ck_assert(ike_wr_end(&c));
    ck_rc(ike_message_read(&m, view(&b), &err), SL_IKE_CRITICAL_PAYLOAD, &err);
    ck_assert_uint_eq(m.list.unsupported, 201);
    ck_assert_uint_eq(m.hdr.id, 7);
}
END_TEST

START_TEST(header_that_breaks_a_rule_is_refused)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_message m;
    struct sl_err err = { 0 };
    (void)message_of(&b, IKE_P_NONE, "");
    ck_ok(ike_message_read(&m, view(&b), &err), &err);
    b.p[17] = 0x2f; /* a higher minor version is taken */
    ck_ok(ike_message_read(&m, view(&b), &err), &err);
    b.p[17] = 0x30;
    ck_rc(ike_message_read(&m, view(&b), &err), SL_IKE_VERSION, &err);
    ck_assert_uint_eq(m.hdr.version, 0x30);
    b.p[17] = 0x10;
    ck_rc(ike_message_read(&m, view(&b), &err), SL_IKE_VERSION, &err);
    b.p[17] = 0x20;
    b.p[27]++;
    ck_rc(ike_message_read(&m, view(&b), &err), SL_IKE_MALFORMED, &err);
    b.p[27]--;
    memset(b.p, 0, IKE_SPI_LEN);
    ck_rc(ike_message_read(&m, view(&b), &err), SL_IKE_MALFORMED, &err);
}
END_TEST

START_TEST(payloads_are_checked_against_need_and_may)
{
    struct ike_payloads list;
    struct sl_err err = { 0 };
    uint64_t need = IKE_BIT(IKE_P_KE) | IKE_BIT(IKE_P_NONCE), may = IKE_BIT(IKE_P_CERT);
    SL_AUTO_BUF b = { 0 };
    struct ike_wr c = ike_wr_chain(&b);
    ike_put_nonce(&c, sl_str("0123456789abcdef"));
    ike_put_cert(&c, IKE_CERT_X509_SIGNATURE, sl_str("a"));
    ike_put_cert(&c, IKE_CERT_X509_SIGNATURE, sl_str("b"));
    ike_put_notify(&c, IKE_N_COOKIE, sl_str("c"));
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_rc(ike_payloads_check(&list, need, may, "IKE_AUTH request", &err), SL_IKE_MALFORMED, &err);
    ck_assert_str_eq(sl_err_text(&err), "IKE_AUTH request lacks the payload KE");
    ike_put_ke(&c, 31, sl_str("k"));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_ok(ike_payloads_check(&list, need, may, "IKE_AUTH request", &err), &err);
    ck_rc(ike_payloads_check(&list, need, 0, "IKE_AUTH request", &err), SL_IKE_MALFORMED, &err);
    ck_assert_str_eq(sl_err_text(&err), "IKE_AUTH request has a payload CERT, which it may not");
    ike_put_ke(&c, 31, sl_str("k"));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_rc(ike_payloads_check(&list, need, may, "IKE_AUTH request", &err), SL_IKE_MALFORMED, &err);
    ck_assert_str_eq(sl_err_text(&err), "IKE_AUTH request has more than one payload KE");
}
END_TEST

START_TEST(certificates_are_collected_in_order)
{
    SL_AUTO_BUF b = { 0 };
    struct ike_wr c = ike_wr_chain(&b);
    struct ike_payloads list;
    struct ike_certs certs;
    struct sl_err err = { 0 };
    ike_put_cert(&c, IKE_CERT_X509_SIGNATURE, sl_str("leaf"));
    ike_put_cert(&c, IKE_CERT_HASH_URL, sl_str("http://"));
    ike_put_cert(&c, IKE_CERT_OCSP, sl_str("good"));
    ike_put_cert(&c, IKE_CERT_X509_SIGNATURE, sl_str("issuer"));
    ck_assert(ike_wr_end(&c));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_ok(ike_certs_collect(&certs, &list, &err), &err);
    ck_assert_uint_eq(certs.cert_n, 2);
    ck_bytes_eq(certs.cert[0], sl_str("leaf"));
    ck_bytes_eq(certs.cert[1], sl_str("issuer"));
    ck_assert_uint_eq(certs.ocsp_n, 1);
    ck_bytes_eq(certs.ocsp[0], sl_str("good"));
    /* OCSP responses that repeat one, are too large or too many are left out and counted */
    static const uint8_t large[IKE_OCSP_MAX + 1];
    ike_put_cert(&c, IKE_CERT_OCSP, sl_str("good"));
    ike_put_cert(&c, IKE_CERT_OCSP, sl_bytes(large, sizeof(large)));
    ike_put_cert(&c, IKE_CERT_OCSP, sl_bytes(large, sizeof(large) - 1));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_ok(ike_certs_collect(&certs, &list, &err), &err);
    ck_assert_uint_eq(certs.ocsp_n, 2);
    ck_assert_uint_eq(certs.ocsp_skipped, 2);
    ck_assert_uint_eq(certs.ocsp[1].len, IKE_OCSP_MAX);
    for (uint8_t i = 0; i < SL_CHAIN_MAX; i++)
        ike_put_cert(&c, IKE_CERT_OCSP, sl_bytes(&i, 1));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_ok(ike_certs_collect(&certs, &list, &err), &err);
    ck_assert_uint_eq(certs.ocsp_n, SL_CHAIN_MAX);
    ck_assert_uint_eq(certs.ocsp_skipped, 4);
    for (size_t i = 2; i <= SL_CHAIN_MAX; i++)
        ike_put_cert(&c, IKE_CERT_X509_SIGNATURE, sl_str("more"));
    ck_ok(ike_payloads_read(&list, c.first, view(&b), &err), &err);
    ck_rc(ike_certs_collect(&certs, &list, &err), SL_TOO_LARGE, &err);
}
END_TEST

START_TEST(writer_past_its_limits_fails)
{
    SL_AUTO_BUF b = { 0 };
    static const uint8_t big[IKE_MESSAGE_MAX];
    struct ike_wr c = ike_wr_message(&b, &header);
    ike_put_vendor(&c, sl_bytes(big, sizeof(big)));
    ck_assert(!ike_wr_end(&c));
    sl_buf_clear(&b);
    struct ike_wr d = ike_wr_chain(&b);
    ike_put_delete_esp(&d, NULL, 0);
    ck_assert(!ike_wr_end(&d));
    sl_buf_clear(&b);
    struct ike_wr e = ike_wr_chain(&b);
    ck_assert(ike_wr_end(&e));
    ck_assert_uint_eq(e.first, IKE_P_NONE);
}
END_TEST

START_TEST(names_of_known_and_unknown_values)
{
    char out[IKE_TEXT];
    ck_assert_str_eq(ike_exchange_text(out, IKE_CREATE_CHILD_SA), "CREATE_CHILD_SA");
    ck_assert_str_eq(ike_exchange_text(out, 99), "exchange 99");
    ck_assert_str_eq(ike_payload_text(out, IKE_P_TSr), "TSr");
    ck_assert_str_eq(ike_payload_text(out, IKE_P_SKF), "SKF");
    ck_assert_str_eq(ike_payload_text(out, 49), "payload 49");
    ck_assert_str_eq(ike_notify_text(out, 24), "AUTHENTICATION_FAILED");
    ck_assert_str_eq(ike_notify_text(out, 16443), "SUPPORTED_AUTH_METHODS");
    ck_assert_str_eq(ike_notify_text(out, 8192), "notify 8192");
    ck_assert(ike_notify_is_error(IKE_N_CHILD_SA_NOT_FOUND));
    ck_assert(!ike_notify_is_error(IKE_N_INITIAL_CONTACT));
}
END_TEST

START_TEST(messages_of_strongswan_read)
{
    static struct vec v;
    for (size_t k = 0; k < SL_ARRAY_LEN(vec_exchanges); k++) {
        vec_load(&v, vec_exchanges[k].name);
        struct sl_bytes msg;
        bool from_initiator;
        size_t n = 0;
        for (; vec_msg(&v, n, &msg, &from_initiator); n++) {
            struct ike_message m;
            struct sl_err err = { 0 };
            ck_ok(ike_message_read(&m, msg, &err), &err);
            uint8_t last = m.list.p[m.list.n - 1].type;
            ck_assert_int_eq(last == IKE_P_SK || last == IKE_P_SKF, n >= 2);
            if (n >= 2)
                continue;
            ck_ok(ike_payloads_check(&m.list,
                                     IKE_BIT(IKE_P_SA) | IKE_BIT(IKE_P_KE) | IKE_BIT(IKE_P_NONCE),
                                     IKE_BIT(IKE_P_CERTREQ), "IKE_SA_INIT", &err),
                  &err);
            struct ike_notify notify;
            ck_assert(ike_notifies_check(&m.list));
            ck_assert(ike_notify_find(&m.list, IKE_N_IKEV2_FRAGMENTATION_SUPPORTED, &notify));
            struct ike_ke ke;
            ck_assert(ike_ke_read(&ke, ike_payloads_find(&m.list, IKE_P_KE)->body));
            ck_assert_uint_eq(ke.group, vec_exchanges[k].ke);
            ck_assert_uint_eq(ke.data.len, sl_ke_public_len(vec_exchanges[k].ke));
        }
        ck_assert_uint_ge(n, 14);
    }
}
END_TEST

/* tshark as an independent decoder of what we write; skipped where it is not installed. */
START_TEST(messages_we_write_are_decoded_by_tshark)
{
    if (system("command -v tshark >/dev/null && command -v text2pcap >/dev/null") != 0) {
        printf("tshark is not installed: not compared\n");
        return;
    }
    static const char *const expected[] = {
        "Initiator SPI: 0102030405060708",
        "Exchange type: IKE_AUTH (35)",
        "Message ID: 0x00000007",
        "Payload: Security Association (33)",
        "Transform ID (ENCR): AES-GCM with a 16 octet ICV (20)",
        "Key Length: 128",
        "Transform ID (PRF): PRF_HMAC_SHA2_256 (5)",
        "Transform ID (D-H): Curve25519 (31)",
        "Payload: Key Exchange (34)",
        "DH Group #: Curve25519 (31)",
        "Payload: Nonce (40)",
        "Payload: Identification - Initiator (35)",
        "Payload: Identification - Responder (36)",
        "Identification Data:gw-a.example",
        "Payload: Certificate (37)",
        "Certificate Encoding: X.509 Certificate - Signature (4)",
        "Payload: Certificate Request (38)",
        "Payload: Authentication (39)",
        "Authentication Method: Shared Key Message Integrity Code (2)",
        "Notify Message Type: INITIAL_CONTACT (16384)",
        "Notify Message Type: REKEY_SA (16393)",
        "Supported Signature Hash Algorithm: SHA2-512 (4)",
        "Payload: Delete (42)",
        "Number of SPIs: 2",
        "Delete SPI: a0b0c0d0",
        "Payload: Vendor ID (43)",
        "Payload: Traffic Selector - Initiator (44)",
        "Payload: Traffic Selector - Responder (45)",
        "Protocol ID: TCP (6)",
        "Start Port: 443",
        "Starting Addr: 10.1.0.0",
        "Ending Addr: 10.1.255.255",
        "Payload: Extensible Authentication (48)",
    };
    SL_AUTO_BUF b = { 0 };
    char command[256], path[128];
    const char *dir = sl_test_tmpdir();
    write_everything(&b);
    (void)snprintf(path, sizeof(path), "%s/m.txt", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < b.len; i++)
        i % 16 ? fprintf(f, " %02x", b.p[i]) : fprintf(f, "\n%04zx %02x", i, b.p[i]);
    fprintf(f, "\n");
    fclose(f);
    (void)snprintf(command, sizeof(command),
                   "text2pcap -q -u 500,500 %s/m.txt %s/m.pcap >/dev/null 2>&1 && "
                   "tshark -n -V -r %s/m.pcap >%s/m.out 2>/dev/null",
                   dir, dir, dir, dir);
    ck_assert_int_eq(system(command), 0);
    (void)snprintf(path, sizeof(path), "%s/m.out", dir);
    f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    static char out[1 << 17];
    size_t n = fread(out, 1, sizeof(out) - 1, f);
    out[n] = 0;
    fclose(f);
    for (size_t i = 0; i < SL_ARRAY_LEN(expected); i++)
        ck_assert_msg(strstr(out, expected[i]) != NULL, "tshark does not say \"%s\"", expected[i]);
    ck_assert_msg(!strstr(out, "Malformed") && !strstr(out, "Expert Info (Error"),
                  "tshark objects");
}
END_TEST

SL_TESTS(ike_codec, SL_CASE(message_written_reads_back),
         SL_CASE(message_cut_at_any_byte_is_malformed),
         SL_CASE(body_cut_below_its_fixed_part_is_refused),
         SL_CASE(delete_with_wrong_spis_is_refused),
         SL_CASE(configuration_steps_through_its_attributes),
         SL_CASE(chain_that_lies_about_lengths_is_malformed),
         SL_CASE(encrypted_payload_ends_the_outer_chain),
         SL_CASE(payloads_past_the_limit_are_refused), SL_CASE(unknown_critical_payload_is_named),
         SL_CASE(header_that_breaks_a_rule_is_refused),
         SL_CASE(payloads_are_checked_against_need_and_may),
         SL_CASE(certificates_are_collected_in_order), SL_CASE(writer_past_its_limits_fails),
         SL_CASE(names_of_known_and_unknown_values), SL_CASE(messages_of_strongswan_read),
         SL_CASE(messages_we_write_are_decoded_by_tshark))
