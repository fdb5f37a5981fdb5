/* The configuration payload (RFC 7296 3.15, RFC 8598): written by one side, read by the other. */
#include "src/ike/core.h"

#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *const both[] = { (char[]){ "0.0.0.0" }, (char[]){ "2001:db8::9" } };
static struct sl_conf_connection conf;
static struct ike_conn conn;
static struct ike_isa client, server;
static struct ike_setup setup;
static struct ike_xchg x;

static void begin(size_t asked)
{
    conf = (struct sl_conf_connection){ .virtual_ip = { (char **)(uintptr_t)both, asked } };
    conn = (struct ike_conn){ .conf = &conf };
    free(client.grant);
    free(server.grant);
    client = (struct ike_isa){ .conn = &conn, .began = true };
    server = (struct ike_isa){ .conn = &conn };
    setup = (struct ike_setup){ 0 };
    x = (struct ike_xchg){ .setup = &setup };
}

/* The message as the other side reads it. */
static bool deliver(struct ike_isa *to, const struct ike_wr *c, const struct sl_buf *buf)
{
    struct sl_err err = { 0 };
    x.sa = to;
    ck_assert(!c->w.bad);
    return ike_payloads_read(&x.list, c->first, sl_buf_bytes(buf), &err) == SL_OK;
}

/* A CP payload of that type with these attributes, in hex. */
static enum sl_rc read_raw(uint8_t type, const char *attrs, bool request)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    const size_t mark = ike_wr_open(&c, IKE_P_CP);
    sl_wr_u8(&c.w, type);
    sl_wr_zero(&c.w, 3);
    sl_wr_put(&c.w, sl_test_hex(attrs));
    ike_wr_close(&c, mark);
    ck_assert(deliver(request ? &server : &client, &c, &buf));
    return request ? cfg_request_read(&x, &err) : cfg_reply_take(&x, &err);
}

START_TEST(request_and_reply_round_trip)
{
    struct sl_err err = { 0 };
    char text[SL_ADDR_TEXT];
    SL_AUTO_BUF request = { 0 };
    SL_AUTO_BUF reply = { 0 };
    begin(2);
    struct ike_wr c = ike_wr_chain(&request);
    put_cfg_request(&c, &client);
    ck_assert(deliver(&server, &c, &request));
    ck_ok(cfg_request_read(&x, &err), &err);
    ck_assert(setup.wish[0].family == 4 && sl_addr_is_any(&setup.wish[0]));
    ck_assert_str_eq(sl_addr_text(text, &setup.wish[1]), "2001:db8::9");
    server.grant = calloc(1, sizeof(*server.grant));
    struct sl_virtual *v = &server.grant->vip;
    ck_assert(sl_addr_parse(&v->addr[0], "10.9.0.1") && sl_addr_parse(&v->addr[1], "2001:db8::1") &&
              sl_addr_parse(&v->dns[0], "10.0.0.53") && sl_addr_parse(&v->dns[1], "2001:db8::53"));
    v->dns_n = 2;
    snprintf(v->split_dns, sizeof(v->split_dns), "corp.example lab.example");
    c = ike_wr_chain(&reply);
    put_cfg_reply(&c, &x);
    ck_assert(deliver(&client, &c, &reply));
    ck_ok(cfg_reply_take(&x, &err), &err);
    ck_assert(sl_addr_eq(&client.grant->vip.addr[0], &v->addr[0]));
    ck_assert(sl_addr_eq(&client.grant->vip.addr[1], &v->addr[1]));
    ck_assert_uint_eq(client.grant->vip.dns_n, 2);
    ck_assert_str_eq(client.grant->vip.split_dns, "corp.example lab.example");
}
END_TEST

START_TEST(request_is_absent_without_virtual_ip)
{
    SL_AUTO_BUF buf = { 0 };
    begin(0);
    struct ike_wr c = ike_wr_chain(&buf);
    put_cfg_request(&c, &client);
    ck_assert_uint_eq(buf.len, 0);
}
END_TEST

START_TEST(reply_names_only_what_was_asked)
{
    SL_AUTO_BUF buf = { 0 };
    begin(1);
    ck_assert_int_eq(read_raw(IKE_CP_REQUEST, "00010000", true), SL_OK);
    server.grant = calloc(1, sizeof(*server.grant));
    ck_assert(sl_addr_parse(&server.grant->vip.addr[0], "10.9.0.1") &&
              sl_addr_parse(&server.grant->vip.dns[0], "10.0.0.53"));
    server.grant->vip.dns_n = 1;
    snprintf(server.grant->vip.split_dns, sizeof(server.grant->vip.split_dns), "corp.example");
    struct ike_wr c = ike_wr_chain(&buf);
    put_cfg_reply(&c, &x);
    ck_bytes_eq(sl_buf_bytes(&buf), sl_test_hex("00000010020000000001000"
                                                "40a090001"));
}
END_TEST

START_TEST(request_with_odd_attributes)
{
    begin(1);
    ck_assert_int_eq(read_raw(IKE_CP_REQUEST, "", true), SL_OK);
    ck_assert_uint_eq(setup.wish[0].family, 0);
    /* IPv6 without a prefix length, as some clients send it; an unknown attribute; a second IPv4 */
    ck_assert_int_eq(read_raw(IKE_CP_REQUEST,
                              "0008001020010db8000000000000000000000005"
                              "7fff0003aabbcc"
                              "000100040a090009"
                              "000100040a090008",
                              true),
                     SL_OK);
    ck_assert_uint_eq(setup.wish[0].b[3], 9);
    ck_assert_uint_eq(setup.wish[1].b[15], 5);
    ck_assert_int_eq(read_raw(IKE_CP_REQUEST, "000100030a0900", true), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_raw(IKE_CP_REQUEST, "000100040a0900", true), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_raw(IKE_CP_REQUEST, "0001", true), SL_IKE_MALFORMED);
    ck_assert_int_eq(read_raw(IKE_CP_REPLY, "00010000", true), SL_IKE_MALFORMED);
}
END_TEST

START_TEST(reply_with_odd_attributes)
{
    static const struct {
        const char *attrs;
        enum sl_rc rc;
    } rows[] = {
        { "00010000", SL_IKE_MALFORMED }, /* an address that is none */
        { "00080010"
          "20010db8000000000000000000000001",
          SL_IKE_MALFORMED },                                          /* no prefix length */
        { "000100040a090001000100040a090002", SL_ADDRESS_UNEXPECTED }, /* two */
        { "0001000400000000", SL_ADDRESS_UNEXPECTED },
        { "00010004e0000001", SL_ADDRESS_UNEXPECTED },
        { "00080011"
          "ff02000000000000000000000000000180",
          SL_ADDRESS_UNEXPECTED },
        { "00080011"
          "0000000000000000000000000000000180",
          SL_ADDRESS_UNEXPECTED },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        begin(2);
        ck_assert_int_eq(read_raw(IKE_CP_REPLY, rows[i].attrs, false), rows[i].rc);
        ck_assert(!client.grant);
    }
    /* Servers and domains that make no sense are passed over: DNS 0.0.0.0, of 3 bytes; "a b", "" */
    begin(2);
    ck_assert_int_eq(read_raw(IKE_CP_REPLY,
                              "000100040a090001"
                              "0003000400000000"
                              "000300030a0000"
                              "001900036120"
                              "62"
                              "00190000",
                              false),
                     SL_OK);
    ck_assert_uint_eq(client.grant->vip.dns_n, 0);
    ck_assert_str_eq(client.grant->vip.split_dns, "");
}
END_TEST

START_TEST(domains_beyond_the_room_are_passed_over)
{
    static char attrs[20000];
    struct sl_err err = { 0 };
    SL_AUTO_BUF buf = { 0 };
    begin(1);
    struct ike_wr c = ike_wr_chain(&buf);
    const size_t mark = ike_wr_open(&c, IKE_P_CP);
    sl_wr_u8(&c.w, IKE_CP_REPLY);
    sl_wr_zero(&c.w, 3);
    memset(attrs, 'x', sizeof(attrs));
    for (unsigned i = 0; i < 60; i++) {
        sl_wr_u16(&c.w, 25);
        sl_wr_part16(&c.w, sl_bytes((const uint8_t *)attrs, 250));
    }
    ike_wr_close(&c, mark);
    ck_assert(deliver(&client, &c, &buf));
    ck_ok(cfg_reply_take(&x, &err), &err);
    ck_assert_uint_eq(strlen(client.grant->vip.split_dns), 4 * 250 + 3);
}
END_TEST

SL_TESTS(ike_config, SL_CASE(request_and_reply_round_trip),
         SL_CASE(request_is_absent_without_virtual_ip), SL_CASE(reply_names_only_what_was_asked),
         SL_CASE(request_with_odd_attributes), SL_CASE(reply_with_odd_attributes),
         SL_CASE(domains_beyond_the_room_are_passed_over))
