/* The configuration: every key's default, every kind of value, and what is said when it is wrong. */
#include "sealane/config.h"
#include "src/base/config_nearest.h"
#include "support/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PSK   "psk k { file = /etc/k }\n"
#define CONN  "connection c { auth = psk psk = k id_local = \"dns:a\" remote = 192.0.2.2\n"
#define CHILD "child n { local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 %s } }\n"

static struct sl_config *parse_ok(const char *text)
{
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    SL_AUTO_BUF problems = { 0 };
    enum sl_rc rc = sl_config_parse(&c, sl_str(text), "t.conf", &problems, &err);
    ck_assert_msg(rc == SL_OK, "%s", sl_err_text(&err));
    ck_assert_uint_eq(problems.len, 0);
    return c;
}

/* Parses text that must fail and returns all problems; freed by the next call. */
static const char *problems_of(const char *text, enum sl_rc want)
{
    static struct sl_buf problems;
    sl_buf_clear(&problems);
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    enum sl_rc rc = sl_config_parse(&c, sl_str(text), "t.conf", &problems, &err);
    ck_assert_msg(rc == want, "got %s, want %s: %s", sl_rc_name(rc), sl_rc_name(want),
                  sl_err_text(&err));
    ck_assert_ptr_null(c);
    ck_assert(sl_buf_nul(&problems));
    const char *all = (const char *)problems.p;
    size_t first = strcspn(all, "\n");
    /* err holds the first problem */
    ck_assert_msg(strncmp(all, err.text, first < SL_ERR_TEXT_MAX ? first : SL_ERR_TEXT_MAX - 1) ==
                      0,
                  "first problem \"%s\", err \"%s\"", all, err.text);
    return all;
}

static void expect_problem(const char *text, enum sl_rc rc, const char *line)
{
    const char *all = problems_of(text, rc);
    ck_assert_msg(strstr(all, line), "expected \"%s\" in \"%s\"", line, all);
}

static unsigned count_lines(const char *s)
{
    unsigned n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

START_TEST(empty_file_has_documented_defaults)
{
    SL_AUTO(sl_config) *c = parse_ok("");
    ck_assert_str_eq(c->file, "t.conf");
    ck_assert_str_eq(c->state_dir, "/var/lib/sealane");
    ck_assert_str_eq(c->run_dir, "/run/sealane");
    ck_assert_str_eq(c->audit_dir, "/var/lib/sealane/audit");
    ck_assert_str_eq(c->control_group, "");
    ck_assert_int_eq(c->log_level, SL_LOG_INFO);
    ck_assert_uint_eq(c->user_base, 64800);
    ck_assert(c->sandbox);
    ck_assert_uint_eq(c->port, 500);
    ck_assert_uint_eq(c->port_natt, 4500);
    ck_assert_uint_eq(c->listen4.family, 4);
    ck_assert_uint_eq(c->listen6.family, 6);
    ck_assert_uint_eq(c->max_ike_sas, 100000);
    ck_assert_uint_eq(c->cookie_threshold, 100);
    ck_assert_int_eq(c->half_open_s, 30);
    ck_assert_str_eq(c->tun_name, "sealane0");
    ck_assert_uint_eq(c->mtu, 1400);
    ck_assert(c->install_routes);
    ck_assert(!c->authority.enabled);
    ck_assert_uint_eq(c->authority.listen.port, 8080);
    ck_assert_int_eq(c->authority.lifetime_s, 90 * 86400);
    ck_assert(c->authority.manual_approval && c->authority.renewal);
    ck_assert_uint_eq(c->fetch.max_crl_bytes, 67108864);
    ck_assert_str_eq(c->fetch.proxy, "");
    ck_assert(!c->fetch.allow.n && !c->fetch.deny.n && !c->fetch.rewrite.n && !c->fetch.no_proxy.n);
    ck_assert_uint_eq(c->connection_n, 0);
    ck_assert_ptr_null(sl_config_connection(c, "x"));
}
END_TEST

static const char full[] =
    "daemon { log_level = debug state_dir = /s sandbox = no }\n"
    "trust t { anchor = { /a.pem, '/b c.pem' } revocation = grace grace = 2h deadline = 250ms\n"
    "  ocsp = no min_rsa_bits = 3072 min_ec_bits = 384 signature = { ecdsa-sha384, RSASSA-PSS } "
    "eku = \"ipsecIKE\" address_blocks = restrict }\n"
    "scep s { url = \"http://ca/scep\" # 32 bytes, with colons\n"
    "  fingerprint = \"00:01:02:03:04:05:06:07:08:09:0A:0b:0c:0d:0e:0f:"
    "10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f\" }\n"
    "identity i { key = \"ecdsa:p256\" subject = \"CN=i\" scep = s\n"
    "  san = { \"dns:i.example\", \"ip:192.0.2.1\" } }\n"
    "directory d { type = ldap uri = \"ldap://h\" base = \"dc=x\" filter = \"(cn=%{san.dns})\" }\n"
    "directory e { type = ldap uri = \"ldaps://h\" base = \"dc=x\" filter = '(a=\\2a)' mode = "
    "grace }\n"
    "directory f { type = ldif file = /d.ldif filter = \"(cn=\\\"%{id}\\\\)\" }\n"
    "rule r1 { action = accept connection = { \"c*\" } remote = { 192.0.2.0/24 }\n"
    "  grant_ts = { \"10.2.0.0/16[tcp/443]\" } grant_lifetime = 8h grant_tag = blue\n"
    "  entry_attr = \"ou=gw*\" }\n"
    "rule r2 { action = refuse }\n"
    "connection c { local = \"[2001:db8::9]\" remote = \"[2001:db8::1]:1500\" identity = i trust = "
    "t\n"
    "  directory = d id_remote = \"dns:peer\" ike = { aes256-sha256-modp2048,\n"
    "  chacha20poly1305-prfsha512-ecp256 } dpd = 0 retransmit = 2s\n"
    "  child one { local_ts = 10.0.0.0/8 remote_ts = { 10.1.0.0/16, 10.2.0.0/16 } start = yes\n"
    "    esp = { aes128gcm16, aes256gcm16-ecp256, aes128-sha256 } rekey_bytes = 2G esn = no }\n"
    "  child two { local_ts = 10.0.0.0/8 remote_ts = 0.0.0.0/0 } }\n"
    "connection k { auth = psk psk = p id_local = \"dns:k\" child one { local_ts = 10.0.0.0/8\n"
    "  remote_ts = 10.3.0.0/16 } }\n"
    "psk p { file = /p }\n"
    "shunt b { action = bypass local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 }\n"
    "authority { enabled = yes base_url = \"http://ca:8080\" listen = 127.0.0.1 }\n";

START_TEST(full_file_fills_sections_around_connections)
{
    SL_AUTO(sl_config) *c = parse_ok(full);
    ck_assert_str_eq(c->audit_dir, "/s/audit");
    ck_assert_int_eq(c->log_level, SL_LOG_DEBUG);
    ck_assert(!c->sandbox);
    const struct sl_conf_trust *t = sl_config_trust(c, "t");
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->anchors.n, 2);
    ck_assert_str_eq(t->anchors.v[1], "/b c.pem");
    ck_assert_int_eq(t->revocation, SL_REVOCATION_GRACE);
    ck_assert_int_eq(t->address_blocks, SL_ADDRESS_BLOCKS_RESTRICT);
    ck_assert_int_eq(t->grace_s, 7200);
    ck_assert_int_eq(t->deadline_ms, 250);
    ck_assert(!t->ocsp && t->crl);
    ck_assert_uint_eq(t->min_rsa_bits, 3072);
    ck_assert_uint_eq(t->min_ec_bits, 384);
    ck_assert_uint_eq(t->signature.n, 2);
    ck_assert_str_eq(t->signature.v[1], "RSASSA-PSS");
    ck_assert_str_eq(sl_config_scep(c, "s")->fingerprint,
                     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    ck_assert_int_eq(sl_config_scep(c, "s")->timeout_ms, 15000);
    ck_assert_str_eq(sl_config_identity(c, "i")->san.v[1], "ip:192.0.2.1");
    ck_assert_uint_eq(sl_config_identity(c, "i")->renew_percent, 67);
    ck_assert(sl_config_directory(c, "d")->starttls);
    ck_assert(!sl_config_directory(c, "e")->starttls);
    ck_assert_str_eq(sl_config_directory(c, "e")->filter, "(a=\\2a)");
    ck_assert_str_eq(sl_config_directory(c, "f")->filter, "(cn=\"%{id}\\)");
    ck_assert_str_eq(sl_config_directory(c, "f")->scope, "sub");
    ck_assert_uint_eq(c->rule_n, 2);
    ck_assert(c->rule[0].accept && !c->rule[1].accept);
    ck_assert_str_eq(c->rule[0].connection.v[0], "c*");
    ck_assert_uint_eq(c->rule[0].grant_ts_n, 1);
    ck_assert_uint_eq(c->rule[0].grant_ts[0].start_port, 443);
    ck_assert_int_eq(c->rule[0].grant_lifetime_s, 8 * 3600);
    ck_assert_uint_eq(c->authority.listen.addr.b[0], 127);
    ck_assert_uint_eq(c->authority.listen.port, 8080);
    ck_assert_str_eq(sl_config_psk(c, "p")->file, "/p");
    ck_assert_int_eq(c->shunt[0].action, SL_SHUNT_BYPASS);
}
END_TEST

START_TEST(full_file_fills_connections_and_children)
{
    SL_AUTO(sl_config) *c = parse_ok(full);
    const struct sl_conf_connection *n = sl_config_connection(c, "c");
    ck_assert_uint_eq(n->remote.port, 1500);
    ck_assert_uint_eq(n->local.port, 500);
    ck_assert_uint_eq(n->remote.addr.family, 6);
    ck_assert_str_eq(n->directory, "d");
    ck_assert_int_eq(n->id_remote.type, SL_ID_FQDN);
    ck_assert_int_eq(n->id_local.type, SL_ID_NONE);
    ck_assert_int_eq(n->dpd_s, 0);
    ck_assert_int_eq(n->retransmit_ms, 2000);
    ck_assert_uint_eq(n->ike_n, 2);
    ck_assert_int_eq(n->ike[0].suite.encr, SL_ENCR_AES_CBC);
    ck_assert_uint_eq(n->ike[0].suite.key_bits, 256);
    ck_assert_int_eq(n->ike[0].suite.integ, SL_INTEG_HMAC_SHA2_256_128);
    ck_assert_int_eq(n->ike[0].prf, SL_PRF_HMAC_SHA2_256);
    ck_assert_int_eq(n->ike[0].ke, SL_KE_MODP2048);
    ck_assert_int_eq(n->ike[1].prf, SL_PRF_HMAC_SHA2_512);
    ck_assert_uint_eq(n->child_n, 2);
    const struct sl_conf_child *k = &n->child[0];
    ck_assert_str_eq(k->name, "one");
    ck_assert(k->start && !k->esn);
    ck_assert_uint_eq(k->remote_ts_n, 2);
    ck_assert_uint_eq(k->esp_n, 3);
    ck_assert_int_eq(k->esp[0].ke, SL_KE_NONE);
    ck_assert_int_eq(k->esp[1].ke, SL_KE_ECP256);
    ck_assert_int_eq(k->esp[2].suite.integ, SL_INTEG_HMAC_SHA2_256_128);
    ck_assert_uint_eq(k->rekey_bytes, 2000000000);
    ck_assert_uint_eq(k->replay_window_pkts, 1024);
    ck_assert_str_eq(n->child[1].name, "two");
    ck_assert_uint_ge(n->child[1].esp_n, 2);
    const struct sl_conf_connection *p = sl_config_connection(c, "k");
    ck_assert_int_eq(p->auth, SL_METHOD_PSK);
    ck_assert_uint_eq(p->remote.addr.family, 0);
    ck_assert_uint_eq(p->child_n, 1);
    ck_assert_uint_ge(p->ike_n, 2);
}
END_TEST

START_TEST(unknown_key_names_place_and_nearest_key)
{
    expect_problem("ike {\n  port = 500\n  cookie_treshold = 5\n}\n", SL_CONFIG_SYNTAX,
                   "t.conf:3: ike: key \"cookie_treshold\": unknown key; nearest valid key: "
                   "\"cookie_threshold\"\n");
    expect_problem("trust t { anchor = /a\n timeout_ms = 5 }", SL_CONFIG_SYNTAX,
                   "t.conf:2: trust \"t\": key \"timeout_ms\": unknown key");
    expect_problem(
        "trust t { anchor = /a\n bind_dn = x }", SL_CONFIG_SYNTAX,
        "t.conf:2: trust \"t\": key \"bind_dn\": unknown key in this section; it belongs into "
        "a section \"directory\"\n");
}
END_TEST

START_TEST(unknown_section_names_nearest_section)
{
    expect_problem(
        "conection c { local = 1 x = { 1, 2 } child d { a = 1 } }", SL_CONFIG_SYNTAX,
        "t.conf:1: unknown section \"conection\"; nearest valid section: \"connection\"\n");
    expect_problem(PSK CONN "chld n { } }", SL_CONFIG_SYNTAX,
                   "t.conf:3: connection \"c\": unknown section \"chld\"; nearest valid section: "
                   "\"child\"\n");
    expect_problem("port = 500", SL_CONFIG_SYNTAX, "t.conf:1: key \"port\": a key stands inside");
}
END_TEST

START_TEST(several_problems_are_all_reported_in_order)
{
    const char *all = problems_of("ike { prot = 1\n port = 70000\n half_open = soon }\n"
                                  "trust t { revocation = strict }\n"
                                  "bogus { }\n",
                                  SL_CONFIG_SYNTAX);
    ck_assert_msg(count_lines(all) == 6, "%s", all);
    const char *unknown = strstr(all, "\"prot\": unknown key; nearest valid key: \"port\"");
    const char *bogus = strstr(all, "t.conf:5: unknown section \"bogus\"");
    const char *port =
        strstr(all, "t.conf:2: ike: key \"port\": \"70000\" is not allowed; expected a "
                    "number 1 to 65535");
    const char *half =
        strstr(all, "t.conf:3: ike: key \"half_open\": \"soon\" is not allowed; expected "
                    "a duration as 90s");
    const char *anchor = strstr(all, "t.conf:4: trust \"t\": key \"anchor\": missing");
    const char *mode = strstr(all, "expected one of \"hard\", \"grace\", \"off\"");
    ck_assert_msg(unknown && bogus && port && half && anchor && mode, "%s", all);
    ck_assert(unknown < bogus && bogus < port && port < half);
}
END_TEST

START_TEST(repeated_key_and_section_name_the_first)
{
    expect_problem("ike { port = 1\n port = 2 }", SL_CONFIG_SYNTAX,
                   "t.conf:2: ike: key \"port\": given twice; first on line 1\n");
    expect_problem("psk a { file = /a }\npsk a { file = /b }", SL_CONFIG_SYNTAX,
                   "t.conf:2: section \"psk a\" is there twice; first on line 1\n");
    expect_problem("ike { }\nike { }", SL_CONFIG_SYNTAX, "section \"ike\" is there twice");
}
END_TEST

/* libconfuse alone would take the end of the file for a closing brace. */
START_TEST(open_section_at_end_of_file_is_refused)
{
    expect_problem("ike {\n port = 500\n", SL_CONFIG_SYNTAX,
                   "t.conf:1: ike: section \"ike\" that starts here has no closing \"}\"\n");
    expect_problem("ike { } }", SL_CONFIG_SYNTAX, "closes no section");
    expect_problem("daemon { state_dir = \"/x\n }", SL_CONFIG_SYNTAX, "no closing \" on its line");
    expect_problem("/* no end\n", SL_CONFIG_SYNTAX, "t.conf:1: comment that starts here");
    expect_problem("ike { port = }", SL_CONFIG_SYNTAX, "found \"}\"; expected a value");
    expect_problem("ike { port 500 }", SL_CONFIG_SYNTAX,
                   "found \"port 500\"; expected \"port = VALUE\"");
    expect_problem("trust t { anchor = { /a /b } }", SL_CONFIG_SYNTAX,
                   "expected \",\" or the \"}\"");
    expect_problem("ike { port = 500; }", SL_CONFIG_SYNTAX, "\";\" has no meaning here");
}
END_TEST

START_TEST(environment_and_paths_of_libconfuse_are_refused)
{
    setenv("SL_TEST_ENV", "/evil", 1);
    expect_problem("daemon {\n state_dir = \"${SL_TEST_ENV}\" }", SL_CONFIG_SYNTAX,
                   "t.conf:2: \"${\" is not allowed");
    expect_problem("daemon { state_dir = ${SL_TEST_ENV} }", SL_CONFIG_SYNTAX,
                   "\"${\" is not allowed");
    expect_problem("ike { } 'ike|port' = 5", SL_CONFIG_SYNTAX, "found text in quotes");
    expect_problem("ike|port = 5", SL_CONFIG_SYNTAX, "\"|\" has no meaning here");
    expect_problem("include(\"/etc/passwd\")", SL_CONFIG_SYNTAX, "\"(\" has no meaning here");
    expect_problem("trust t { anchor = /a anchor += /b }", SL_CONFIG_SYNTAX,
                   "\"+\" has no meaning here");
    expect_problem("daemon { state_dir = \"\\057x\" }", SL_CONFIG_SYNTAX,
                   "backslash in double quotes");
    expect_problem("scep s { url = http://x }", SL_CONFIG_SYNTAX, "would start a comment");
}
END_TEST

START_TEST(nul_and_oversized_text_are_refused)
{
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    ck_rc(sl_config_parse(&c, sl_bytes("ike { }\0", 8), "t.conf", NULL, &err), SL_CONFIG_SYNTAX,
          &err);
    ck_assert_str_eq(err.text, "t.conf:1: control character 0x00; expected plain text");
    size_t big = ((size_t)1 << 20) + 1;
    char *spaces = malloc(big);
    memset(spaces, ' ', big);
    ck_rc(sl_config_parse(&c, sl_bytes(spaces, big), "t.conf", NULL, &err), SL_CONFIG_SYNTAX, &err);
    ck_ok(sl_config_parse(&c, sl_bytes(spaces, big - 1), "t.conf", NULL, &err), &err);
    sl_config_free(c);
    free(spaces);
}
END_TEST

START_TEST(weak_algorithms_are_refused_by_name_and_reason)
{
    static const char *const weak[] = { "3des-sha256-modp2048",          "aes128-sha1-modp2048",
                                        "aes128-md5-modp2048",           "aes128-sha256-modp1024",
                                        "aes128-sha256-modp768",         "aes128-sha256-modp1536",
                                        "aes128gcm16-prfsha1-curve25519" };
    static const char *const named[] = { "3des",    "sha1",     "md5",    "modp1024",
                                         "modp768", "modp1536", "prfsha1" };
    for (size_t i = 0; i < SL_ARRAY_LEN(weak); i++) {
        char text[400], want[200];
        snprintf(text, sizeof(text), PSK CONN "ike = %s " CHILD, weak[i], "");
        snprintf(want, sizeof(want), "proposal \"%s\": %s is refused as too weak: ", weak[i],
                 named[i]);
        expect_problem(text, SL_CONFIG_VALUE, want);
    }
}
END_TEST

START_TEST(incomplete_proposals_say_what_is_missing)
{
    static const struct {
        const char *proposal, *want;
    } ike[] = {
        { "aes128gcm16-prfsha256", "no key exchange, as aes128gcm16-prfsha256-curve25519" },
        { "aes128gcm16-curve25519", "aes128gcm16 in IKE needs a PRF" },
        { "aes128-curve25519", "aes128 needs an integrity algorithm, as aes128-sha256" },
        { "aes128gcm16-sha256-curve25519", "leave out \"sha256\"" },
        { "sha256-modp2048", "no encryption algorithm" },
        { "aes128-sha256-modp2048-ecp256", "two key exchange algorithms" },
        { "aes128gmc16-prfsha256-ecp256",
          "unknown algorithm \"aes128gmc16\"; nearest: \"aes128gcm16\"" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(ike); i++) {
        char text[400];
        snprintf(text, sizeof(text), PSK CONN "ike = %s " CHILD, ike[i].proposal, "");
        expect_problem(text, SL_CONFIG_VALUE, ike[i].want);
    }
    char text[400];
    snprintf(text, sizeof(text), PSK CONN CHILD, "esp = aes128gcm16-prfsha256");
    expect_problem(
        text, SL_CONFIG_VALUE,
        "connection \"c\": child \"n\": key \"esp\": proposal \"aes128gcm16-prfsha256\": "
        "\"prfsha256\" is for IKE");
}
END_TEST

START_TEST(references_must_exist_and_the_nearest_is_named)
{
    char text[400];
    snprintf(text, sizeof(text), "psk key-b { file = /k }\n" CONN CHILD, "");
    expect_problem(
        text, SL_CONFIG_REFERENCE,
        "t.conf:2: connection \"c\": key \"psk\": there is no section psk \"k\"; there is "
        "\"key-b\"\n");
    expect_problem(
        "scep lab { url = \"http://x\" }\nidentity i { scep = lba subject = \"CN=i\" }",
        SL_CONFIG_REFERENCE,
        "t.conf:2: identity \"i\": key \"scep\": there is no section scep \"lba\"; nearest: "
        "\"lab\"\n");
    expect_problem("trust t { anchor = authority }", SL_CONFIG_REFERENCE, "not enabled");
}
END_TEST

START_TEST(keys_that_do_not_fit_together_are_refused)
{
    static const struct {
        const char *text, *want;
    } bad[] = {
        { "trust t { anchor = /a ocsp = no crl = no }", "would refuse every peer" },
        { "trust t { anchor = /a min_ec_bits = 223 }", "224 to 521" },
        { "trust t { anchor = /a min_ec_bits = 522 }", "224 to 521" },
        { "trust t { anchor = /a signature = { ed25519, ecdsa-sha265 } }",
          "key \"signature\": \"ecdsa-sha265\" is not known; nearest: \"ecdsa-sha256\"" },
        { "trust t { anchor = /a signature = xyzzy }",
          "\"xyzzy\" is not known; expected some of rsa-sha256, " },
        { "trust t { anchor = /a signature = rsa-sha1 }", "ed25519, ed448\n" },
        { "identity i { }", "key \"scep\": missing" },
        { "identity ca-x { scep = s subject = \"CN=x\" } scep s { url = \"http://x\" }",
          "authority's keys" },
        { "directory d { type = ldif filter = \"(a=b)\" }", "key \"file\": missing" },
        { "directory d { type = ldap filter = \"(a=b)\" uri = \"ldaps://x\" starttls = yes base = "
          "b }",
          "is for ldap:// only" },
        { "rule r { action = refuse grant_ts = 10.0.0.0/8 }", "grants nothing" },
        { "connection c { }", "has no child section" },
        { "connection c { }", "key \"identity\": missing" },
        { PSK CONN
          "remote_prefix = 10.0.0.0/8 child n { local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 } }",
          "is for remote = any" },
        { PSK CONN "child n { local_ts = 10.0.0.0/8 remote_ts = \"::/0\" } }",
          "no address family in common" },
        { PSK "connection c { auth = psk psk = k id_local = \"dns:a\" child n { start = yes "
              "local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 } }",
          "nobody to call" },
        { "authority { enabled = yes }", "key \"base_url\": missing" },
        { "authority { enabled = yes base_url = \"http://x\" crl_lifetime = 1h }",
          "not longer than" },
        { "ike { port = 4500 }", "must differ" },
        { "fetch { allow = 127.0.0.1/8 }", "host bits zero" },
        { "fetch { rewrite = \"http://a/\" }", "FROM=TO" },
        { "fetch { rewrite = \"a=http://b/\" }", "FROM=TO" },
        { "fetch { rewrite = \"http://=http://b/\" }", "FROM=TO" },
        { "fetch { rewrite = \"http://a/=http:///\" }", "FROM=TO" },
        { "fetch { rewrite = \"http://a/=file:///b\" }", "FROM=TO" },
        { "fetch { rewrite = \"http://a /=http://b/\" }", "FROM=TO" },
        { "fetch { proxy = \"https://p\" }", "begins with http://" },
        { "fetch { max_crl_bytes = 200000000 }", "1048576 to 104857600" },
        { "datapath { tun_name = \"a-name-too-long-for-linux\" }",
          "not the name of a network device" },
        { "daemon { state_dir = relative }", "a path that begins with \"/\"" },
        { "daemon { log_level = { info } }", "takes one value, not a list" },
        { "psk K { file = /k }", "name \"K\" of section \"psk\" is not allowed" },
        { "psk { file = /k }", "needs a name" },
        { "ike x { }", "takes no name" },
        { "scep s { url = \"ftp://x\" }", "http://|https://" },
        { "scep s { url = \"http://x\" fingerprint = abcd }", "64 hexadecimal digits" },
        { "trust t { anchor = { } }", "the list is empty" },
        { "shunt s { action = drop local_ts = 10.0.0.1/8 remote_ts = 0.0.0.0/0 }",
          "host bits zero" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_config *c = NULL;
        struct sl_err err = { 0 };
        SL_AUTO_BUF problems = { 0 };
        enum sl_rc rc = sl_config_parse(&c, sl_str(bad[i].text), "t.conf", &problems, &err);
        ck_assert_msg(rc != SL_OK, "accepted: %s", bad[i].text);
        ck_assert(sl_buf_nul(&problems));
        ck_assert_msg(strstr((char *)problems.p, bad[i].want), "%s: expected \"%s\" in \"%s\"",
                      bad[i].text, bad[i].want, (char *)problems.p);
    }
}
END_TEST

START_TEST(text_cut_at_any_byte_never_crashes_and_says_why)
{
    struct sl_bytes all = sl_str(full);
    for (size_t n = 0; n < all.len; n++) {
        struct sl_config *c = NULL;
        struct sl_err err = { 0 };
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, all.p, n);
        enum sl_rc rc = sl_config_parse(&c, sl_bytes(cut, n), "t.conf", NULL, &err);
        ck_assert((rc == SL_OK) == (c != NULL));
        if (rc != SL_OK)
            ck_assert_msg(strncmp(err.text, "t.conf:", 7) == 0, "%s", err.text);
        sl_config_free(c);
        free(cut);
    }
}
END_TEST

START_TEST(every_default_passes_its_own_rule)
{
    size_t n;
    const struct sl_config_key *keys = sl_config_keys(&n);
    ck_assert_uint_gt(n, 100);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(*keys[i].text && *keys[i].type && *keys[i].key, "row %zu", i);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(strcmp(keys[i].section, keys[j].section) ||
                              strcmp(keys[i].key, keys[j].key),
                          "%s %s twice", keys[i].section, keys[i].key);
        /* rows of a section stand together, or the parser would miss some */
        if (i && strcmp(keys[i].section, keys[i - 1].section) != 0)
            for (size_t j = 0; j < i; j++)
                ck_assert_str_ne(keys[i].section, keys[j].section);
    }
}
END_TEST

START_TEST(examples_of_the_documentation_are_valid)
{
    static const char *const names[] = { "gateway", "authority", "site-to-site-psk" };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/../docs/examples/%s.conf", SL_TEST_DIR, names[i]);
        struct sl_config *c = NULL;
        struct sl_err err = { 0 };
        ck_ok(sl_config_load(&c, path, NULL, &err), &err);
        sl_config_free(c);
    }
}
END_TEST

START_TEST(file_that_cannot_be_read_is_named)
{
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    ck_rc(sl_config_load(&c, "/nonexistent/sealane.conf", NULL, &err), SL_NOT_FOUND, &err);
    ck_assert_str_eq(err.text, "/nonexistent/sealane.conf: No such file or directory");
    ck_rc(sl_config_load(&c, "/tmp", NULL, &err), SL_IO, &err);
}
END_TEST

/* libconfuse writes to stderr unless told otherwise; a parser in a daemon must not. */
START_TEST(parser_writes_nothing_itself)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/stderr", sl_test_tmpdir());
    int saved = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert(saved >= 0 && fd >= 0);
    dup2(fd, 2);
    (void)problems_of("ike { port = 1 port = 2 } x { } trust t { anchor = {}", SL_CONFIG_SYNTAX);
    (void)problems_of("ike { bogus = 1 }", SL_CONFIG_SYNTAX);
    dup2(saved, 2);
    close(saved);
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), 0);
    close(fd);
}
END_TEST

static void *parse_many(void *arg)
{
    for (int i = 0; i < 50; i++) {
        struct sl_config *c = NULL;
        struct sl_err err = { 0 };
        if (sl_config_parse(&c, sl_str(full), "t.conf", NULL, &err) != SL_OK ||
            c->connection_n != 2)
            return arg;
        sl_config_free(c);
        if (sl_config_parse(&c, sl_str("ike { port = x }"), "u.conf", NULL, &err) == SL_OK ||
            strncmp(err.text, "u.conf:1:", 9) != 0)
            return arg;
    }
    return NULL;
}

START_TEST(parsing_in_several_threads_does_not_mix)
{
    pthread_t t[4];
    static int failed; /* its address is the threads' sign of failure */
    for (size_t i = 0; i < SL_ARRAY_LEN(t); i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, parse_many, &failed), 0);
    for (size_t i = 0; i < SL_ARRAY_LEN(t); i++) {
        void *result;
        ck_assert_int_eq(pthread_join(t[i], &result), 0);
        ck_assert_ptr_null(result);
    }
}
END_TEST

START_TEST(nearest_word_is_found_by_edits)
{
    ck_assert_uint_eq(sl_edit_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(sl_edit_distance("prot", "port"), 1);
    ck_assert_uint_eq(sl_edit_distance("", "abc"), 3);
    ck_assert_uint_eq(sl_edit_distance("same", "same"), 0);
    struct sl_nearest near = { .word = "verfy" };
    sl_nearest_try(&near, "tail");
    ck_assert_ptr_null(near.best);
    sl_nearest_try(&near, "verify");
    ck_assert_str_eq(near.best, "verify");
}
END_TEST

/* CTEST: threads */
SL_TESTS(config, SL_CASE(empty_file_has_documented_defaults),
         SL_CASE(full_file_fills_sections_around_connections),
         SL_CASE(full_file_fills_connections_and_children),
         SL_CASE(unknown_key_names_place_and_nearest_key),
         SL_CASE(unknown_section_names_nearest_section),
         SL_CASE(several_problems_are_all_reported_in_order),
         SL_CASE(repeated_key_and_section_name_the_first),
         SL_CASE(open_section_at_end_of_file_is_refused),
         SL_CASE(environment_and_paths_of_libconfuse_are_refused),
         SL_CASE(nul_and_oversized_text_are_refused),
         SL_CASE(weak_algorithms_are_refused_by_name_and_reason),
         SL_CASE(incomplete_proposals_say_what_is_missing),
         SL_CASE(references_must_exist_and_the_nearest_is_named),
         SL_CASE(keys_that_do_not_fit_together_are_refused),
         SL_CASE(text_cut_at_any_byte_never_crashes_and_says_why),
         SL_CASE(every_default_passes_its_own_rule),
         SL_CASE(examples_of_the_documentation_are_valid),
         SL_CASE(file_that_cannot_be_read_is_named), SL_CASE(parser_writes_nothing_itself),
         SL_CASE(parsing_in_several_threads_does_not_mix), SL_CASE(nearest_word_is_found_by_edits))
