/*
 * Messages between processes: each type is written, read back and written again to the same bytes,
 * and no truncation or added byte is accepted.
 */
#include "support/support.h"

#include "src/proc/msg.h"
#include "src/proc/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_endpoint endpoint(const char *text)
{
    struct sl_endpoint e;
    ck_assert(sl_endpoint_parse(&e, text, 500));
    return e;
}

static struct sl_ts ts(const char *text)
{
    struct sl_ts t;
    ck_assert(sl_ts_parse(&t, text));
    return t;
}

static void secret(struct sl_secret *s, const char *text)
{
    struct sl_err err = { 0 };
    ck_ok(sl_secret_copy(s, sl_str(text), &err), &err);
}

/* A seed for fuzz_proc_msg: type, body. */
static void write_seed(enum msg_type type, struct sl_bytes body)
{
    const char *folder = getenv("SL_WRITE_CORPUS");
    char path[512];
    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%s", folder, msg_name((uint16_t)type));
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    const uint8_t number[2] = { (uint8_t)(type >> 8), (uint8_t)type };
    ck_assert_uint_eq(fwrite(number, 1, 2, f) + fwrite(body.p, 1, body.len, f), 2 + body.len);
    fclose(f);
}

/*
 * The bytes of m, checked: read back they give the same bytes; nothing shorter or longer is read.
 * again receives what was read, its views into *out.
 */
static void check(enum msg_type type, const void *m, void *again, struct sl_buf *out)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF second = { 0 };
    ck_ok(msg_write(type, m, out, &err), &err);
    write_seed(type, sl_buf_bytes(out));
    ck_assert_msg(msg_read(type, again, sl_buf_bytes(out)), "%s", msg_name((uint16_t)type));
    ck_ok(msg_write(type, again, &second, &err), &err);
    ck_bytes_eq(sl_buf_bytes(out), sl_buf_bytes(&second));

    void *scratch = calloc(1, msg_size((uint16_t)type));
    for (size_t len = 0; len < out->len; len++) {
        uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees one byte too many */
        if (len)
            memcpy(exact, out->p, len);
        ck_assert_msg(!msg_read(type, scratch, sl_bytes(exact, len)), "%s cut to %zu of %zu bytes",
                      msg_name((uint16_t)type), len, out->len);
        free(exact);
    }
    ck_assert(sl_buf_put(&second, sl_str("x")));
    ck_assert_msg(!msg_read(type, scratch, sl_buf_bytes(&second)), "%s with a byte more",
                  msg_name((uint16_t)type));
    free(scratch);
}
#define CHECK(type, m, again) \
    SL_AUTO_BUF out = { 0 };  \
    check(type, m, again, &out)

START_TEST(every_type_has_a_name_and_a_size)
{
#define CASE(t, number, st, stem)                      \
    ck_assert_uint_eq(msg_size(t), sizeof(struct st)); \
    ck_assert_str_eq(msg_name(t), &#t[4]);
    MSG_TABLE(CASE)
    ck_assert_uint_eq(msg_size(9999), 0);
    ck_assert_str_eq(msg_name(9999), "?");
}
END_TEST

START_TEST(start_round_trips)
{
    struct msg_start m = { .role = PROC_ESP,
                           .config_file = "/etc/sealane.conf",
                           .user = 64802,
                           .group = 64802,
                           .link = { 0, 1, 7 },
                           .link_n = 3 };
    struct msg_start back;
    CHECK(MSG_START, &m, &back);
    ck_assert_uint_eq(back.user, 64802);
    ck_assert_uint_eq(back.link_n, 3);
    ck_assert_uint_eq(back.link[2], 7);
    struct msg_hand h = { .name = { "tun", "esp4500v4" }, .name_n = 2 }, h2;
    SL_AUTO_BUF b = { 0 };
    check(MSG_HAND, &h, &h2, &b);
    ck_assert_uint_eq(h2.name_n, 2);
    ck_assert_str_eq(h2.name[1], "esp4500v4");
}
END_TEST

START_TEST(address_messages_round_trip)
{
    struct msg_address a, a2;
    struct msg_lease l = { .ike_sa = 7, .addr = { { .family = 4, .b = { 10, 9, 0, 1 } } } }, l2;
    ck_assert(sl_addr_parse(&a.addr, "2001:db8::7"));
    {
        CHECK(MSG_ADDRESS_ADD, &a, &a2);
        ck_assert(sl_addr_eq(&a.addr, &a2.addr));
    }
    CHECK(MSG_LEASE, &l, &l2);
    ck_assert_uint_eq(l2.ike_sa, 7);
    ck_assert(sl_addr_eq(&l.addr[0], &l2.addr[0]) && !l2.addr[1].family);
    l.addr[0].family = 6; /* IPv6 in the place of IPv4 */
    SL_AUTO_BUF wrong = { 0 };
    struct sl_err err = { 0 };
    ck_ok(msg_write(MSG_LEASE, &l, &wrong, &err), &err);
    ck_assert(!msg_read(MSG_LEASE, &l2, sl_buf_bytes(&wrong)));
}
END_TEST

START_TEST(supervisor_messages_round_trip)
{
    struct msg_link l = { .role = PROC_KEYRING }, l2;
    CHECK(MSG_LINK, &l, &l2);
    ck_assert_uint_eq(l2.role, PROC_KEYRING);
    struct msg_procs p = { .proc_n = 1 }, p2;
    p.proc[0] = (struct msg_proc){ .role = PROC_IKE,
                                   .pid = 77,
                                   .ready = true,
                                   .started_utc_s = 1795450000,
                                   .restarts = 3,
                                   .lost = "killed" };
    SL_AUTO_BUF b = { 0 };
    check(MSG_PROCS, &p, &p2, &b);
    ck_assert_uint_eq(p2.proc[0].pid, 77);
    ck_assert(p2.proc[0].ready);
    ck_assert_str_eq(p2.proc[0].lost, "killed");
    struct msg_route r = { .near = true,
                           .local_first = ts("10.1.0.0/16").first,
                           .local_last = ts("10.1.0.0/16").last };
    struct msg_route r2;
    ck_assert(sl_prefix_parse(&r.prefix, "2001:db8::/32"));
    SL_AUTO_BUF c = { 0 };
    check(MSG_ROUTE_ADD, &r, &r2, &c);
    ck_assert_uint_eq(r2.prefix.len, 32);
    ck_assert(r2.near);
    ck_assert(sl_addr_eq(&r2.local_last, &r.local_last));
}
END_TEST

START_TEST(key_messages_round_trip)
{
    struct msg_key_sign s = { .name = "gw-a",
                              .sig = SL_SIG_ECDSA_SHA384,
                              .data = sl_str("octets") };
    struct msg_key_sign s2;
    CHECK(MSG_KEY_SIGN, &s, &s2);
    ck_assert_str_eq(s2.name, "gw-a");
    ck_assert_int_eq(s2.sig, SL_SIG_ECDSA_SHA384);
    ck_bytes_eq(s2.data, sl_str("octets"));
    struct msg_key_decrypt d = { .name = "ca-ra", .oaep = true, .cipher = sl_str("cipher") }, d2;
    SL_AUTO_BUF b1 = { 0 };
    check(MSG_KEY_DECRYPT, &d, &d2, &b1);
    ck_assert(d2.oaep);
    struct msg_key_generate g = { .name = "gw-a", .alg = "ecdsa:p256" }, g2;
    SL_AUTO_BUF b2 = { 0 };
    check(MSG_KEY_GENERATE, &g, &g2, &b2);
    ck_assert_str_eq(g2.alg, "ecdsa:p256");
    struct msg_key_name n = { .name = "gw-a" }, n2;
    SL_AUTO_BUF b3 = { 0 };
    check(MSG_KEY_SPKI, &n, &n2, &b3);
    struct msg_key_rename rn = { .from = "gw-a.new", .to = "gw-a" }, rn2;
    SL_AUTO_BUF b4 = { 0 };
    check(MSG_KEY_RENAME, &rn, &rn2, &b4);
    ck_assert_str_eq(rn2.from, "gw-a.new");
    ck_assert_str_eq(rn2.to, "gw-a");
    struct msg_key_psk_auth k = { .name = "site",
                                  .prf = SL_PRF_HMAC_SHA2_384,
                                  .octets = sl_str("o") },
                            k2;
    SL_AUTO_BUF b5 = { 0 };
    check(MSG_KEY_PSK_AUTH, &k, &k2, &b5);
    ck_assert_int_eq(k2.prf, SL_PRF_HMAC_SHA2_384);
    struct msg_key_reply a = { .rc = SL_KEY_NOT_FOUND,
                               .text = "key gw-b: none",
                               .bytes = sl_str("") },
                         a2;
    SL_AUTO_BUF b6 = { 0 };
    check(MSG_KEY_REPLY, &a, &a2, &b6);
    ck_assert_int_eq(a2.rc, SL_KEY_NOT_FOUND);
    ck_assert_str_eq(a2.text, "key gw-b: none");
}
END_TEST

START_TEST(fetch_messages_round_trip)
{
    struct msg_http h = { .method = "POST",
                          .uri = sl_str("http://ocsp.example/"),
                          .content_type = "application/ocsp-request",
                          .accept = "application/ocsp-response",
                          .body = sl_str("0\003"),
                          .max_bytes = 65536,
                          .deadline_ms = 2000,
                          .follow = true,
                          .configured = true,
                          .etag = "\"v1\"",
                          .last_modified = "Wed, 25 Nov 2026 08:00:00 GMT" };
    struct msg_http h2;
    CHECK(MSG_HTTP, &h, &h2);
    ck_bytes_eq(h2.uri, h.uri);
    ck_assert_uint_eq(h2.deadline_ms, 2000);
    ck_assert(h2.follow && h2.configured);
    ck_assert_str_eq(h2.etag, "\"v1\"");
    ck_assert_str_eq(h2.last_modified, h.last_modified);
    struct msg_http_reply r = { .rc = SL_OK,
                                .status = 404,
                                .content_type = "text/html",
                                .etag = "W/\"2\"",
                                .last_modified = "Wed, 25 Nov 2026 08:00:00 GMT",
                                .body = sl_str("none"),
                                .value_n = 1 },
                          r2;
    SL_AUTO_BUF b1 = { 0 };
    check(MSG_HTTP_REPLY, &r, &r2, &b1);
    ck_assert_uint_eq(r2.status, 404);
    ck_assert_uint_eq(r2.value_n, 1);
    ck_assert_str_eq(r2.etag, "W/\"2\"");
    ck_assert_str_eq(r2.last_modified, r.last_modified);
    struct msg_ldap l = { .directory = "corp",
                          .base = sl_str("dc=x"),
                          .filter = sl_str("(cn=a)"),
                          .scope = MSG_LDAP_ONE,
                          .attr = { "cn", "userCertificate;binary" },
                          .attr_n = 2,
                          .limit = 2,
                          .deadline_ms = 1500 },
                    l2;
    SL_AUTO_BUF b2 = { 0 };
    check(MSG_LDAP, &l, &l2, &b2);
    ck_assert_str_eq(l2.attr[1], "userCertificate;binary");
    ck_assert_int_eq(l2.scope, MSG_LDAP_ONE);
}
END_TEST

START_TEST(ldap_answer_holds_binary_values)
{
    SL_AUTO_BUF values = { 0 }, entries = { 0 };
    struct sl_wr vw = sl_wr_buf(&values, 4096), ew = sl_wr_buf(&entries, 4096);
    const uint8_t binary[] = { 0x30, 0x00, 0xff };
    msg_ldap_value_write(&(struct msg_ldap_value){ sl_str("cn"), sl_str("a") }, &vw);
    msg_ldap_value_write(&(struct msg_ldap_value){ sl_str("c"), sl_bytes(binary, 3) }, &vw);
    struct msg_ldap_entry e = { .dn = sl_str("cn=a,dc=x"),
                                .value_n = 2,
                                .values = sl_buf_bytes(&values) };
    msg_ldap_entry_write(&e, &ew);
    msg_ldap_entry_write(&(struct msg_ldap_entry){ .dn = sl_str("cn=b") }, &ew);
    struct msg_ldap_reply m = { .entry_n = 2, .entries = sl_buf_bytes(&entries) }, back;
    CHECK(MSG_LDAP_REPLY, &m, &back);
    struct sl_rd r = sl_rd(back.entries);
    struct msg_ldap_entry one;
    ck_assert(msg_ldap_entry_read(&one, &r));
    ck_bytes_eq(one.dn, sl_str("cn=a,dc=x"));
    struct sl_rd v = sl_rd(one.values);
    struct msg_ldap_value value;
    ck_assert(msg_ldap_value_read(&value, &v) && msg_ldap_value_read(&value, &v));
    ck_bytes_eq(value.value, sl_bytes(binary, 3));

    /* a count that is not the number of entries is a lie */
    SL_AUTO_BUF lie = { 0 };
    struct sl_err err = { 0 };
    m.entry_n = 3;
    ck_ok(msg_write(MSG_LDAP_REPLY, &m, &lie, &err), &err);
    ck_assert(!msg_read(MSG_LDAP_REPLY, &back, sl_buf_bytes(&lie)));
}
END_TEST

START_TEST(decision_round_trips)
{
    struct sl_decision_ask m = { .connection = "hub",
                                 .local = endpoint("192.0.2.1:4500"),
                                 .remote = endpoint("[2001:db8::9]:4500"),
                                 .cert = { sl_str("leaf"), sl_str("issuer") },
                                 .cert_n = 2,
                                 .ocsp = { sl_str("of leaf"), sl_str("of issuer") },
                                 .ocsp_n = 2,
                                 .possession = SL_POSSESSION_SIGNATURE,
                                 .sig = SL_SIG_RSA_PSS_SHA256,
                                 .octets = sl_str("oct"),
                                 .auth = sl_str("sig"),
                                 .prf = SL_PRF_HMAC_SHA2_256,
                                 .sa = 99 };
    m.id = (struct sl_id){ .type = SL_ID_FQDN, .len = 4 };
    memcpy(m.id.data, "gw-b", 4);
    static struct sl_decision_ask back;
    CHECK(MSG_DECIDE, &m, &back);
    ck_assert(sl_endpoint_eq(&back.remote, &m.remote));
    ck_bytes_eq(back.cert[1], sl_str("issuer"));
    ck_assert_uint_eq(back.ocsp_n, 2);
    ck_bytes_eq(back.ocsp[1], sl_str("of issuer"));
    ck_assert_uint_eq(back.id.len, 4);
    ck_assert_int_eq(back.id_local.type, SL_ID_NONE);
    ck_assert_uint_eq(back.sa, 99);

    static struct sl_verdict v = { .rc = SL_REVOKED,
                                   .text = "certificate CN=x is revoked",
                                   .rule = "r1",
                                   .entry = "cn=x",
                                   .subject = "CN=x",
                                   .reask_utc_s = 1795450000,
                                   .record = 12,
                                   .grant = { .ts_n = 1, .lifetime_s = 60, .tag = "t" } };
    static struct sl_verdict v2;
    v.grant.ts[0] = ts("10.0.0.0/8[tcp/443]");
    SL_AUTO_BUF b = { 0 };
    check(MSG_VERDICT, &v, &v2, &b);
    ck_assert_int_eq(v2.rc, SL_REVOKED);
    ck_assert(sl_ts_eq(&v2.grant.ts[0], &v.grant.ts[0]));
    ck_assert_str_eq(v2.grant.tag, "t");
}
END_TEST

START_TEST(identity_messages_round_trip)
{
    struct msg_credential c = { .identity = "gw-a",
                                .key = "gw-a",
                                .chain = { sl_str("ee"), sl_str("ca") },
                                .chain_n = 2 },
                          c2;
    CHECK(MSG_CREDENTIAL, &c, &c2);
    ck_bytes_eq(c2.chain[0], sl_str("ee"));
    struct msg_staples st = { .identity = "gw-a",
                              .staple = { { .depth = 0,
                                            .valid_s = 3600,
                                            .responder = "0123456789012345678",
                                            .response = sl_str("of ee") },
                                          { .depth = 1, .response = sl_str("of ca") } },
                              .staple_n = 2 },
                       st2;
    SL_AUTO_BUF b0 = { 0 };
    check(MSG_STAPLES, &st, &st2, &b0);
    ck_assert_uint_eq(st2.staple[0].valid_s, 3600);
    ck_assert_uint_eq(st2.staple[1].depth, 1);
    ck_assert_str_eq((const char *)st2.staple[0].responder, "0123456789012345678");
    ck_bytes_eq(st2.staple[1].response, sl_str("of ca"));
    /* more than ike may send, or for a certificate past the longest chain */
    static const uint8_t large[SL_STAPLE_MAX_BYTES + 1];
    SL_AUTO_BUF wrong = { 0 };
    st.staple[1].response = sl_bytes(large, sizeof(large));
    struct sl_err err = { 0 };
    ck_ok(msg_write(MSG_STAPLES, &st, &wrong, &err), &err);
    ck_assert(!msg_read(MSG_STAPLES, &st2, sl_buf_bytes(&wrong)));
    st.staple[1].response = sl_str("of ca");
    st.staple[1].depth = SL_CHAIN_MAX;
    wrong.len = 0;
    ck_ok(msg_write(MSG_STAPLES, &st, &wrong, &err), &err);
    ck_assert(!msg_read(MSG_STAPLES, &st2, sl_buf_bytes(&wrong)));
    struct msg_anchors a = { .trust = "corp", .hashes = sl_str("01234567890123456789") }, a2;
    SL_AUTO_BUF b1 = { 0 };
    check(MSG_ANCHORS, &a, &a2, &b1);
    struct msg_end_sa e = { .ike_sa = 7, .rc = SL_REVOKED }, e2;
    SL_AUTO_BUF b2 = { 0 };
    check(MSG_END_SA, &e, &e2, &b2);
    ck_assert_uint_eq(e2.ike_sa, 7);
    static struct msg_sa_event s, s2;
    s = (struct msg_sa_event){ .event = SL_IKE_EV_CHILD_UP,
                               .ike_sa = 1,
                               .child_id = 2,
                               .connection = "hub",
                               .child = "net",
                               .remote = endpoint("192.0.2.7"),
                               .text = "child net is up" };
    SL_AUTO_BUF b3 = { 0 };
    check(MSG_SA_EVENT, &s, &s2, &b3);
    ck_assert_int_eq(s2.event, SL_IKE_EV_CHILD_UP);
    ck_assert_str_eq(s2.text, "child net is up");
    struct msg_audit au = { .kind = "issued", .json = sl_str("{}") }, au2;
    SL_AUTO_BUF b4 = { 0 };
    check(MSG_AUDIT, &au, &au2, &b4);
    struct msg_audit_done ad = { .rc = SL_OK, .number = 41 }, ad2;
    SL_AUTO_BUF b5 = { 0 };
    check(MSG_AUDIT_DONE, &ad, &ad2, &b5);
    ck_assert_uint_eq(ad2.number, 41);
    struct msg_revoked rv = { .issuer = sl_str("dn"),
                              .serial = sl_str("\x01"),
                              .reason = 1,
                              .utc_s = 5,
                              .crl = sl_str("crl") },
                       rv2;
    SL_AUTO_BUF b6 = { 0 };
    check(MSG_REVOKED, &rv, &rv2, &b6);
    struct msg_authority_certs ac = { .cert = { sl_str("root") }, .cert_n = 1 }, ac2;
    SL_AUTO_BUF b7 = { 0 };
    check(MSG_AUTHORITY_CERTS, &ac, &ac2, &b7);
    ck_bytes_eq(ac2.cert[0], sl_str("root"));
}
END_TEST

START_TEST(child_round_trips_with_its_keys)
{
    static struct sl_child m, back;
    m = (struct sl_child){
        .id = 5,
        .ike_sa = 6,
        .replaces = 4,
        .connection = "hub",
        .child = "net",
        .local = endpoint("192.0.2.1:4500"),
        .remote = endpoint("192.0.2.2:4500"),
        .udp_encap = true,
        .esn = true,
        .spi_in = 0xc0000001,
        .spi_out = 0xc0000002,
        .suite = { SL_ENCR_AES_CBC, 128, SL_INTEG_HMAC_SHA2_256_128 },
        .ts_local = { ts("10.1.0.0/16") },
        .ts_remote = { ts("10.2.0.0/16") },
        .ts_local_n = 1,
        .ts_remote_n = 1,
        .replay_window_pkts = 1024,
        .limits = { .soft_bytes = 1, .hard_bytes = 2, .soft_packets = 3, .hard_packets = 4 },
        .outbound = true
    };
    secret(&m.encr_in, "0123456789abcdef");
    secret(&m.integ_in, "0123456789abcdef0123456789abcdef");
    secret(&m.encr_out, "fedcba9876543210");
    secret(&m.integ_out, "fedcba9876543210fedcba9876543210");
    CHECK(MSG_CHILD_ADD, &m, &back);
    ck_assert(sl_secret_equal(&m.integ_out, &back.integ_out));
    ck_assert_uint_eq(back.spi_out, 0xc0000002);
    ck_assert_uint_eq(back.limits.hard_packets, 4);
    ck_assert(back.outbound && back.esn && back.udp_encap);
    sl_child_clear(&m);
    sl_child_clear(&back);
    ck_assert_ptr_null(back.encr_in.p);
}
END_TEST

START_TEST(datapath_messages_round_trip)
{
    struct msg_child c = { .child_id = 5 }, c2;
    CHECK(MSG_CHILD_SOFT, &c, &c2);
    ck_assert_uint_eq(c2.child_id, 5);
    struct msg_child_move mv = { .child_id = 5,
                                 .local = endpoint("192.0.2.1"),
                                 .remote = endpoint("192.0.2.9:1024"),
                                 .udp_encap = true },
                          mv2;
    SL_AUTO_BUF b = { 0 };
    check(MSG_CHILD_MOVE, &mv, &mv2, &b);
    SL_AUTO_BUF h = { 0 };
    check(MSG_CHILD_HEARD, &mv, &mv2, &h);
    ck_assert_uint_eq(mv2.remote.port, 1024);
    struct msg_child_failed f = { .child_id = 5, .rc = SL_UNSUPPORTED, .text = "no" }, f2;
    SL_AUTO_BUF b2 = { 0 };
    check(MSG_CHILD_FAILED, &f, &f2, &b2);
    ck_assert_int_eq(f2.rc, SL_UNSUPPORTED);
}
END_TEST

START_TEST(control_messages_round_trip)
{
    struct msg_ctl_request q = { .verb = "status", .json = sl_str("{}") }, q2;
    CHECK(MSG_CTL_REQUEST, &q, &q2);
    ck_assert_str_eq(q2.verb, "status");
    struct msg_ctl_reply r = {
        .rc = SL_NOT_FOUND, .text = "no such", .json = sl_str("[]"), .more = true
    };
    struct msg_ctl_reply r2;
    SL_AUTO_BUF b = { 0 };
    check(MSG_CTL_REPLY, &r, &r2, &b);
    ck_assert(r2.more);
    struct msg_ctl_cancel c = { .id = 0x0102030405060708 }, c2;
    SL_AUTO_BUF b2 = { 0 };
    check(MSG_CTL_CANCEL, &c, &c2, &b2);
    ck_assert_uint_eq(c2.id, c.id);
}
END_TEST

START_TEST(text_with_nul_or_too_long_is_refused)
{
    struct msg_key_name m;
    SL_AUTO_BUF b = { 0 };
    struct sl_wr w = sl_wr_buf(&b, 4096);
    sl_wr_part16(&w, sl_bytes("a\0b", 3));
    ck_assert(!msg_read(MSG_KEY_SPKI, &m, sl_buf_bytes(&b)));
    sl_buf_clear(&b);
    char longest[MSG_KEY_NAME_MAX];
    memset(longest, 'k', sizeof(longest));
    w = sl_wr_buf(&b, 4096);
    sl_wr_part16(&w, sl_bytes(longest, sizeof(longest)));
    ck_assert(!msg_read(MSG_KEY_SPKI, &m, sl_buf_bytes(&b)));
    sl_buf_clear(&b);
    w = sl_wr_buf(&b, 4096);
    sl_wr_part16(&w, sl_bytes(longest, sizeof(longest) - 1));
    ck_assert(msg_read(MSG_KEY_SPKI, &m, sl_buf_bytes(&b)));
}
END_TEST

START_TEST(links_are_those_of_the_design)
{
    ck_assert(proc_role_linked(PROC_IKE, PROC_KEYRING));
    ck_assert(proc_role_linked(PROC_KEYRING, PROC_IKE));
    ck_assert(proc_role_linked(PROC_CONTROL, PROC_ESP));
    ck_assert(!proc_role_linked(PROC_IKE, PROC_FETCH));
    ck_assert(!proc_role_linked(PROC_ESP, PROC_KEYRING));
    ck_assert(!proc_role_linked(PROC_FETCH, PROC_KEYRING));
    ck_assert(!proc_role_linked(PROC_IKE, PROC_IKE));
    for (size_t i = 0; i < PROC_ROLE_COUNT; i++) {
        enum proc_role_id role;
        ck_assert(proc_role_find(&role, proc_role_name((enum proc_role_id)i)));
        ck_assert_uint_eq(role, i);
    }
}
END_TEST

SL_TESTS(proc_msg, SL_CASE(every_type_has_a_name_and_a_size), SL_CASE(start_round_trips),
         SL_CASE(supervisor_messages_round_trip), SL_CASE(address_messages_round_trip),
         SL_CASE(key_messages_round_trip), SL_CASE(fetch_messages_round_trip),
         SL_CASE(ldap_answer_holds_binary_values), SL_CASE(decision_round_trips),
         SL_CASE(identity_messages_round_trip), SL_CASE(child_round_trips_with_its_keys),
         SL_CASE(datapath_messages_round_trip), SL_CASE(control_messages_round_trip),
         SL_CASE(text_with_nul_or_too_long_is_refused), SL_CASE(links_are_those_of_the_design))
