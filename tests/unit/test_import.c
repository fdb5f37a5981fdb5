/*
 * Import of swanctl.conf and ipsec.conf: each sample's result is parsed as a configuration and its fields
 * are compared; what has no counterpart is a comment with its place; secrets appear nowhere.
 */
#include "sealane/config.h"
#include "sealane/import.h"
#include "support/support.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files in memory ------------------------------------------------------------------------------- */
struct memory_file {
    const char *path, *text;
};
static void list_memory(void *ctx, const char *pattern, void (*found)(void *to, const char *path),
                        void *to)
{
    for (const struct memory_file *f = ctx; f->path; f++)
        if (fnmatch(pattern, f->path, FNM_PATHNAME) == 0)
            found(to, f->path);
}
static enum sl_rc read_memory(void *ctx, const char *path, struct sl_buf *out, struct sl_err *err)
{
    for (const struct memory_file *f = ctx; f->path; f++)
        if (strcmp(f->path, path) == 0)
            return sl_buf_put_str(out, f->text) ? SL_OK : SL_FAIL_MEM(err);
    return SL_FAIL(err, SL_IO, "%s: not there", path);
}

static struct sl_buf result; /* of the last import */
static struct sl_import_sum sum;
static struct sl_err error;

static enum sl_rc import_text(enum sl_import_form form, const char *text,
                              const struct memory_file *files, bool right)
{
    struct sl_import_ask ask = {
        .form = form, .file = "/etc/x/in.conf", .local_right = right, .text = sl_str(text)
    };
    if (files)
        ask.files = (struct sl_import_files){ .ctx = (void *)(uintptr_t)files,
                                              .list = list_memory,
                                              .read = read_memory };
    sl_buf_clear(&result);
    sl_err_reset(&error);
    enum sl_rc rc = sl_import(&result, &sum, &ask, &error);
    ck_assert(sl_buf_nul(&result));
    return rc;
}

static const char *text_of(void)
{
    return (const char *)result.p;
}

static struct sl_config *parsed(void)
{
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    ck_assert_msg(sl_config_parse(&c, sl_buf_bytes(&result), "result", NULL, &err) == SL_OK,
                  "%s in:\n%s", sl_err_text(&err), text_of());
    ck_assert_ptr_null(strstr(text_of(), "topsecret"));
    return c;
}

static struct sl_config *import_ok(enum sl_import_form form, const char *text,
                                   const struct memory_file *files)
{
    ck_assert_msg(import_text(form, text, files, false) == SL_OK, "%s", sl_err_text(&error));
    return parsed();
}

static struct sl_config *sample(enum sl_import_form form, const char *name)
{
    char path[256];
    SL_AUTO_BUF text = { 0 };
    snprintf(path, sizeof(path), "%s/vectors/import/%s", SL_TEST_DIR, name);
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s", path);
    uint8_t chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        ck_assert(sl_buf_put(&text, sl_bytes(chunk, n)));
    fclose(f);
    ck_assert(sl_buf_nul(&text));
    return import_ok(form, (const char *)text.p, NULL);
}

static void has(const char *piece)
{
    ck_assert_msg(strstr(text_of(), piece) != NULL, "expected \"%s\" in:\n%s", piece, text_of());
}

static const struct sl_conf_connection *conn(const struct sl_config *c, const char *name)
{
    const struct sl_conf_connection *k = sl_config_connection(c, name);
    ck_assert_msg(k != NULL, "no connection %s in:\n%s", name, text_of());
    return k;
}

static void ts_is(const struct sl_ts *ts, const char *want)
{
    char text[SL_TS_TEXT];
    ck_assert_str_eq(sl_ts_text(text, ts), want);
}

static void id_is(const struct sl_id *id, const char *want)
{
    struct sl_id expected = { 0 };
    ck_assert_int_eq(sl_id_parse(&expected, want, NULL), SL_OK);
    ck_assert_int_eq(id->type, expected.type);
    ck_assert(sl_bytes_eq(sl_bytes(id->data, id->len), sl_bytes(expected.data, expected.len)));
}

/* ---- swanctl ------------------------------------------------------------------------------------------ */
START_TEST(swanctl_site_is_taken_over_field_by_field)
{
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_SWANCTL, "site.swanctl.conf");
    const struct sl_conf_connection *b = conn(c, "berlin");
    char text[SL_ENDPOINT_TEXT];
    ck_assert_uint_eq(c->connection_n, 3);
    ck_assert_uint_eq(sum.connections, 3);
    ck_assert_str_eq(sl_endpoint_text(text, &b->local), "192.0.2.1:500");
    ck_assert_str_eq(sl_endpoint_text(text, &b->remote), "198.51.100.7:500");
    id_is(&b->id_local, "dns:gw-a.example");
    id_is(&b->id_remote, "dn:CN=gw-b,O=Example,C=DE");
    ck_assert(b->force_encap && !b->fragmentation);
    ck_assert_int_eq(b->rekey_s, 7200);
    ck_assert_int_eq(b->dpd_s, 30);
    ck_assert_uint_eq(b->ike_n, 3); /* modp1024 is left out */
    ck_assert_int_eq(b->ike[0].prf, SL_PRF_HMAC_SHA2_384);
    ck_assert_int_eq(b->ike[2].suite.key_bits, 256);
    ck_assert_uint_eq(b->child_n, 2); /* l2tp is transport mode */
    ck_assert_uint_eq(b->child[0].local_ts_n, 2);
    ts_is(&b->child[0].local_ts[0], "10.1.0.0/16"); /* host bits are cleared */
    ts_is(&b->child[0].remote_ts[0], "10.2.0.0/16[tcp/443]");
    ts_is(&b->child[0].remote_ts[1], "10.2.9.1-10.2.9.9");
    ck_assert(b->child[0].start && !b->child[1].start);
    ck_assert_int_eq(b->child[0].rekey_s, 3000);
    ck_assert_uint_eq(b->child[0].esp_n, 2);
    ck_assert_int_eq(b->child[0].esp[0].ke, SL_KE_ECP384);
    ck_assert_uint_eq(b->child[1].rekey_bytes, 500ULL << 20);
    ck_assert_uint_eq(b->child[1].replay_window_pkts, 128);
    ck_assert_int_eq(sl_config_trust(c, b->trust)->revocation, SL_REVOCATION_HARD);
    ck_assert_str_eq(sl_config_trust(c, b->trust)->anchors.v[0], "/etc/x/x509ca/corp-ca.pem");
    ck_assert_str_eq(sl_config_identity(c, b->identity)->certificate, "/etc/x/x509/gw-a.pem");
}
END_TEST

START_TEST(swanctl_peers_psks_and_shunts)
{
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_SWANCTL, "site.swanctl.conf");
    const struct sl_conf_connection *rw = conn(c, "roadwarriors"), *old = conn(c, "ikev1-old");
    ck_assert(sl_addr_is_any(&rw->remote.addr));
    ck_assert_str_eq(rw->pools.v[0], "rw");
    ck_assert_str_eq(c->pool[0].addresses.v[0], "10.9.0.0/24");
    ck_assert_str_eq(c->pool[0].dns.v[0], "10.1.0.53");
    ck_assert_uint_eq(rw->remote_prefixes.n, 3);
    ck_assert_str_eq(rw->remote_prefixes.v[1], "198.51.100.16/31"); /* the range as prefixes */
    ck_assert_str_eq(rw->remote_prefixes.v[2], "198.51.100.18/32");
    ck_assert_int_eq(rw->id_remote.type, SL_ID_NONE);
    ck_assert(old->ikev1 && !old->aggressive && !rw->ikev1);
    ck_assert_int_eq(old->auth, SL_METHOD_PSK);
    id_is(&old->id_local, "keyid:6272616e6368");
    ck_assert_str_eq(sl_config_psk(c, old->psk)->file, "/etc/sealane/ike-branch.psk");
    ck_assert(!old->child[0].start); /* nobody to call */
    ck_assert_uint_eq(c->shunt_n, 2);
    ck_assert_int_eq(c->shunt[0].action, SL_SHUNT_BYPASS);
    ck_assert_int_eq(c->shunt[1].action, SL_SHUNT_DROP);
    ts_is(&c->shunt[0].local_ts, "192.0.2.1/32[tcp/22]");
    ck_assert_uint_eq(c->rule_n, 3);
    ck_assert_str_eq(c->rule[1].id.v[0], "dns:*.example");
    ck_assert(c->rule[1].accept);
}
END_TEST

START_TEST(swanctl_what_has_no_counterpart_is_a_comment_with_its_place)
{
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_SWANCTL, "site.swanctl.conf");
    ck_assert_uint_eq(c->connection_n, 3);
    ck_assert_uint_eq(sum.left_out, 2);
    has("# /etc/x/in.conf:17: updown = /usr/lib/ipsec/_updown iptables: sealane runs no scripts");
    has("# /etc/x/in.conf:43: mark_in = 42: marks do not choose a tunnel");
    has("# /etc/x/in.conf:47: mode = transport: sealane has tunnel mode only");
    has("/etc/x/in.conf:4: proposals: aes128-sha256-modp1024 is left out: too weak");
    has("the peer authenticates by eap-mschapv2");
    has("peer vpn.example.net: names are not resolved here");
    has("secrets.eap-bob: credentials of this kind");
    has("secrets.private-gw: the key file gw-a.key is encrypted");
    has("put the value of secret in section ike-branch into it");
    has("# /etc/x/in.conf:20: the connection was called \"Berlin\"");
}
END_TEST

START_TEST(swanctl_of_the_lab_is_taken_over)
{
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_SWANCTL, "lab-psk.swanctl.conf");
    const struct sl_conf_connection *t = conn(c, "t");
    ck_assert_int_eq(t->auth, SL_METHOD_PSK);
    id_is(&t->id_remote, "dns:gw-b.lab");
    ck_assert_int_eq(t->rekey_s, 4 * 3600);
    ck_assert_int_eq(t->child[0].rekey_s, 31536000); /* 0: never */
    sl_config_free(sl_steal(&c));
    c = sample(SL_IMPORT_SWANCTL, "lab-ecdsa.swanctl.conf");
    t = conn(c, "t");
    ck_assert_int_eq(t->auth, SL_METHOD_CERT);
    ck_assert_int_eq(t->ike[0].ke, SL_KE_CURVE25519);
    ck_assert_int_eq(sl_config_trust(c, t->trust)->revocation, SL_REVOCATION_GRACE);
}
END_TEST

START_TEST(swanctl_additional_key_exchange_is_kept_where_it_is_taken)
{
    SL_AUTO(sl_config) *probe = NULL;
    static const char with[] = "psk k { file = /k }\nconnection c { auth = psk psk = k id_local = "
                               "\"dns:a\" remote = 192.0.2.1\n"
                               "ike = { \"aes256gcm16-prfsha384-curve25519-ke1_mlkem768\" }\n"
                               "child n { local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 } }\n";
    bool taken = sl_config_parse(&probe, sl_str(with), "probe", NULL, NULL) == SL_OK;
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_SWANCTL, "pq.swanctl.conf");
    ck_assert_uint_eq(conn(c, "pq")->ike_n, taken ? 2 : 1);
    has(taken ? "\"aes256gcm16-prfsha384-curve25519-ke1_mlkem768\""
              : "proposals: aes256gcm16-prfsha384-curve25519-ke1_mlkem768 is left out");
    ck_assert_int_eq(conn(c, "pq")->reauth_s, 86400);
    ck_assert(!conn(c, "pq")->send_cert_always);
    has("include conf.d/*.conf: no file of that name was found");
}
END_TEST

START_TEST(swanctl_follows_includes_and_finds_files)
{
    static const struct memory_file files[] = {
        { "/etc/x/conf.d/a.conf",
          "connections { a { remote_addrs = 192.0.2.9\n"
          "local { certs = gw.pem }\nremote { }\n"
          "children { c { local_ts = 10.0.0.0/8\nremote_ts = 10.0.0.0/8\n} } } }\n" },
        { "/etc/x/conf.d/b.conf", "secrets { ike { secret = topsecret } }\n" },
        { "/etc/x/private/other.key", "" },
        { "/etc/x/rsa/gw.der", "" },
        { "/etc/x/x509ca/one.pem", "" },
        { "/etc/x/x509ca/two.pem", "" },
        { "/etc/x/x509crl/one.crl", "" },
        { NULL, NULL },
    };
    SL_AUTO(sl_config) *c = import_ok(SL_IMPORT_SWANCTL, "include conf.d/*.conf\n", files);
    const struct sl_conf_connection *a = conn(c, "a");
    const struct sl_conf_trust *t = sl_config_trust(c, a->trust);
    ck_assert_str_eq(sl_config_identity(c, a->identity)->key_file, "/etc/x/rsa/gw.der");
    ck_assert_uint_eq(t->anchors.n, 2);
    ck_assert_str_eq(t->anchors.v[1], "/etc/x/x509ca/two.pem");
    ck_assert_str_eq(t->crls.v[0], "/etc/x/x509crl/one.crl");
    has("/etc/x/conf.d/a.conf:1: ");
}
END_TEST

START_TEST(swanctl_inherits_own_before_parents_left_before_right)
{
    static const char text[] = "one { rekey_time = 1h\ndpd_delay = 11\nsub { x = 1 } }\n"
                               "deep { two { dpd_delay = 22\nencap = yes } }\n"
                               "connections { a : one, deep.two { rekey_time = 2h\n"
                               "remote_addrs = 192.0.2.9\nlocal { auth = psk\nid = a }\n"
                               "remote { auth = psk }\nchildren { c { local_ts = 10.0.0.0/8\n"
                               "remote_ts = 10.0.0.0/8\n} } } }\n";
    SL_AUTO(sl_config) *c = import_ok(SL_IMPORT_SWANCTL, text, NULL);
    ck_assert_int_eq(conn(c, "a")->rekey_s, 7200);
    ck_assert_int_eq(conn(c, "a")->dpd_s, 11);
    ck_assert(conn(c, "a")->force_encap);
}
END_TEST

START_TEST(swanctl_id_that_cannot_be_told_refuses_instead_of_accepting_all)
{
    static const char text[] =
        "connections { a { remote_addrs = 192.0.2.9\n"
        "local { auth = psk\nid = a }\nremote { auth = psk\nid = \"b c\" }\n"
        "children { c { local_ts = 10.0.0.0/8\nremote_ts = 10.0.0.0/8\n} } } }\n";
    SL_AUTO(sl_config) *c = import_ok(SL_IMPORT_SWANCTL, text, NULL);
    ck_assert_uint_eq(c->rule_n, 1);
    ck_assert(!c->rule[0].accept);
    has("the peer's identity b c cannot be taken over");
}
END_TEST

/* ---- ipsec.conf --------------------------------------------------------------------------------------- */
START_TEST(strongswan_ipsec_conf_is_taken_over)
{
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_IPSEC, "strongswan.ipsec.conf");
    const struct sl_conf_connection *b = conn(c, "berlin"), *rw = conn(c, "rw"),
                                    *p = conn(c, "psk");
    ck_assert_uint_eq(c->connection_n, 3);
    has("read as a file of strongSwan");
    id_is(&b->id_local, "dn:CN=gw-a,O=Example,C=CH");
    id_is(&b->id_remote, "dns:gw-b.example");
    ck_assert(b->child[0].start);
    ck_assert_int_eq(b->rekey_s, 3 * 3600 - 540);
    ck_assert_int_eq(b->child[0].rekey_s, 3600 - 540);
    ck_assert_int_eq(b->child[0].esp[0].ke, SL_KE_MODP2048);
    ck_assert_int_eq(b->child[0].esp[1].ke, SL_KE_NONE);
    ck_assert_uint_eq(b->child[0].local_ts_n, 2);
    ck_assert_int_eq(sl_config_trust(c, b->trust)->revocation, SL_REVOCATION_HARD);
    ck_assert_str_eq(c->rule[1].subject.v[0], "CN=*,O=Example,C=CH");
    ck_assert(sl_addr_is_any(&rw->remote.addr));
    ck_assert_int_eq(p->auth, SL_METHOD_PSK);
    ck_assert(p->force_encap);
    id_is(&p->id_remote, "ip:198.51.100.9"); /* rightid is right where it is not said */
    ck_assert_int_eq(p->reauth_s, 3 * 3600 - 540);
    ck_assert_uint_eq(c->shunt_n, 1);
    ts_is(&c->shunt[0].remote_ts, "10.1.0.0/16");
    has("conn base is not written");
    has("type = transport: sealane has tunnel mode only");
}
END_TEST

START_TEST(libreswan_ipsec_conf_is_taken_over)
{
    SL_AUTO(sl_config) *c = sample(SL_IMPORT_IPSEC, "libreswan.ipsec.conf");
    const struct sl_conf_connection *o = conn(c, "office"), *k = conn(c, "certs");
    has("read as a file of libreswan");
    ck_assert_uint_eq(o->child_n, 4); /* two by two */
    ck_assert_str_eq(o->child[3].name, "office-2x2");
    ts_is(&o->child[3].local_ts[0], "10.1.1.0/24");
    ts_is(&o->child[3].remote_ts[0], "10.3.0.0/24");
    ck_assert_uint_eq(o->ike_n, 5);
    ck_assert_int_eq(o->ike[1].prf, SL_PRF_HMAC_SHA2_512);
    ck_assert_int_eq(o->ike[1].ke, SL_KE_ECP256);
    ck_assert_int_eq(o->child[0].esp[0].ke, SL_KE_MODP2048); /* pfs is yes unless said otherwise */
    ck_assert_int_eq(k->child[0].esp[0].ke, SL_KE_NONE);     /* pfs = no */
    id_is(&o->id_remote, "keyid:6272616e63682037");          /* "branch 7" */
    ck_assert_int_eq(o->rekey_s, 86400 - 540);
    ck_assert(sl_addr_is_any(&k->local.addr) && sl_addr_is_any(&k->remote.addr));
    has("a certificate of the NSS database");
    has("it authenticates by raw public keys");
    ck_assert_uint_eq(k->pools.n, 1);
    ck_assert_str_eq(c->pool[0].addresses.v[0], "10.8.0.10-10.8.0.99");
}
END_TEST

START_TEST(ipsec_conf_right_as_local_swaps_the_ends)
{
    static const char text[] = "conn a\n\tleft=192.0.2.1\n\tright=192.0.2.2\n\tauthby=secret\n"
                               "\tleftsubnet=10.1.0.0/16\n\trightsubnet=10.2.0.0/16\n\tauto=add\n";
    ck_assert_int_eq(import_text(SL_IMPORT_IPSEC, text, NULL, true), SL_OK);
    SL_AUTO(sl_config) *c = parsed();
    ts_is(&conn(c, "a")->child[0].local_ts[0], "10.2.0.0/16");
    id_is(&conn(c, "a")->id_remote, "ip:192.0.2.1");
}
END_TEST

/* ---- errors --------------------------------------------------------------------------------------------- */
static const struct {
    enum sl_import_form form;
    enum sl_rc rc;
    const char *text, *message;
} broken[] = {
    { SL_IMPORT_SWANCTL, SL_CONFIG_SYNTAX, "a {\n  b = 1\n",
      "/etc/x/in.conf:1: expected a closing \"}\" of the section that starts here, seen the end" },
    { SL_IMPORT_SWANCTL, SL_CONFIG_SYNTAX, "a {\n}\n}\n", "/etc/x/in.conf:3: expected a section" },
    { SL_IMPORT_SWANCTL, SL_CONFIG_SYNTAX, "secrets { ike { secret = \"topsecret\n",
      "/etc/x/in.conf:1: expected a closing \" of the text" },
    { SL_IMPORT_SWANCTL, SL_CONFIG_SYNTAX, "secrets {\nike {\ntopsecret\n} }\n",
      "/etc/x/in.conf:4: expected \"=\" or \"{\" after a name, seen \"}\"" },
    { SL_IMPORT_SWANCTL, SL_CONFIG_REFERENCE, "a : b { }\nb : a { }\n", "inherits from itself" },
    { SL_IMPORT_SWANCTL, SL_CONFIG_REFERENCE, "a : nobody { }\n",
      "/etc/x/in.conf:1: section \"a\" inherits from \"nobody\", which is not there" },
    { SL_IMPORT_IPSEC, SL_CONFIG_SYNTAX, "conn a\nleft=192.0.2.1\n",
      "/etc/x/in.conf:2: expected \"config setup\"" },
    { SL_IMPORT_IPSEC, SL_CONFIG_SYNTAX, "conn a\n  left\n",
      "/etc/x/in.conf:2: expected KEY=VALUE in an indented line, seen no \"=\"" },
    { SL_IMPORT_IPSEC, SL_CONFIG_SYNTAX, "conn a\n  leftid=\"x\n",
      "/etc/x/in.conf:2: expected a closing \" of the value" },
    { SL_IMPORT_IPSEC, SL_CONFIG_SYNTAX, "  left=1\n", "first, seen the key \"left\"" },
    { SL_IMPORT_IPSEC, SL_CONFIG_REFERENCE, "conn a\n  also=b\n", "says also=b" },
    { SL_IMPORT_IPSEC, SL_CONFIG_REFERENCE, "conn a\n  also=a\n", "takes over itself" },
};

START_TEST(broken_file_is_named_with_line_expected_and_seen)
{
    ck_assert_int_eq(import_text(broken[_i].form, broken[_i].text, NULL, false), broken[_i].rc);
    ck_assert_msg(strstr(error.text, broken[_i].message) != NULL, "expected \"%s\" in \"%s\"",
                  broken[_i].message, error.text);
    ck_assert_ptr_null(strstr(error.text, "topsecret"));
    ck_assert_uint_eq(result.len, 0);
}
END_TEST

START_TEST(include_of_itself_ends)
{
    static const struct memory_file files[] = { { "/etc/x/in.conf", "include in.conf\n" },
                                                { NULL, NULL } };
    ck_assert_int_eq(import_text(SL_IMPORT_SWANCTL, "include in.conf\n", files, false),
                     SL_CONFIG_REFERENCE);
    ck_assert_int_eq(import_text(SL_IMPORT_IPSEC, "include in.conf\n", files, false),
                     SL_CONFIG_REFERENCE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("import");
    TCase *t = tcase_create("all");
    tcase_add_test(t, swanctl_site_is_taken_over_field_by_field);
    tcase_add_test(t, swanctl_peers_psks_and_shunts);
    tcase_add_test(t, swanctl_what_has_no_counterpart_is_a_comment_with_its_place);
    tcase_add_test(t, swanctl_of_the_lab_is_taken_over);
    tcase_add_test(t, swanctl_additional_key_exchange_is_kept_where_it_is_taken);
    tcase_add_test(t, swanctl_follows_includes_and_finds_files);
    tcase_add_test(t, swanctl_inherits_own_before_parents_left_before_right);
    tcase_add_test(t, swanctl_id_that_cannot_be_told_refuses_instead_of_accepting_all);
    tcase_add_test(t, strongswan_ipsec_conf_is_taken_over);
    tcase_add_test(t, libreswan_ipsec_conf_is_taken_over);
    tcase_add_test(t, ipsec_conf_right_as_local_swaps_the_ends);
    tcase_add_loop_test(t, broken_file_is_named_with_line_expected_and_seen, 0,
                        (int)SL_ARRAY_LEN(broken));
    tcase_add_test(t, include_of_itself_ends);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    sl_buf_clear(&result);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
