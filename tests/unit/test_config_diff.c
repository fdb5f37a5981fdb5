/* What differs between two configurations: every key of the table is noticed when it changes. */
#include "sealane/config_diff.h"
#include "src/base/config_impl.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

/*
 * Two values for every type of the table, by what the man page calls it; keys whose rules ask for
 * more are named below. The first is what the base has.
 */
struct sample {
    const char *section, *key; /* "": any */
    const char *type;          /* "": any */
    const char *a, *b;
};
static const struct sample samples[] = {
    { "trust", "eku", "", "ipsecIKE", "1.2.3.4" },
    { "trust", "signature", "", "ed25519", "ed448" },
    { "trust", "policy", "", "1.2.3.4", "1.2.3.5" },
    { "trust", "order", "", "{ staple, cache, ocsp, crl }", "{ cache, staple, ocsp, crl }" },
    { "trust", "intermediate_uri", "", "\"http://a/x\"", "\"http://b/x\"" },
    { "trust", "responder", "", "\"http://a/\"", "\"http://b/\"" },
    { "trust", "min_ec_bits", "", "256", "384" },
    { "trust", "min_rsa_bits", "", "2048", "3072" },
    { "identity", "subject", "", "\"CN=a\"", "\"CN=b\"" },
    { "identity", "scep", "", "s", "s2" },
    { "identity", "renew_percent", "", "50", "60" },
    { "directory", "uri", "", "\"ldap://a\"", "\"ldap://b\"" },
    { "directory", "base", "", "\"dc=a\"", "\"dc=b\"" },
    { "directory", "bind_dn", "", "\"cn=a\"", "\"cn=b\"" },
    { "directory", "filter", "", "\"(cn=%{id})\"", "\"(ou=%{id})\"" },
    { "directory", "enabled_filter", "", "\"(a=b)\"", "\"(a=c)\"" },
    { "directory", "disabled_attr", "", "\"a=b\"", "\"a=c\"" },
    { "rule", "method", "", "cert", "psk" },
    { "rule", "grant_pool", "", "w", "w2" },
    { "pool", "split_dns", "", "a.example", "b.example" },
    { "connection", "pools", "", "w", "w2" },
    { "connection", "virtual_ip", "", "\"4\"", "\"6\"" },
    { "connection", "remote", "", "192.0.2.1", "192.0.2.2" },
    { "connection", "local", "", "192.0.2.3", "192.0.2.4" },
    { "connection", "identity", "", "i", "i2" },
    { "connection", "trust", "", "t", "t2" },
    { "connection", "directory", "", "d", "d2" },
    { "connection", "fragment_size", "", "1280", "1400" },
    { "connection", "id_local", "", "\"dns:a\"", "\"dns:A\"" },
    { "ike", "max_half_open", "", "1000", "1001" },
    { "ike", "max_half_open_per_source", "", "20", "21" },
    { "trust", "deadline", "", "1s", "2s" },
    { "identity", "renew_jitter_percent", "", "5", "6" },
    { "directory", "timeout", "", "1s", "2s" },
    { "connection", "retransmit", "", "1s", "2s" },
    { "connection", "force_encap", "", "no", "yes" },
    { "ike", "port", "", "500", "501" },
    { "ike", "port_natt", "", "4500", "4501" },
    { "datapath", "tun_name", "", "a0", "b0" },
    { "datapath", "mtu", "", "1400", "1300" },
    { "authority", "base_url", "", "\"http://a\"", "\"http://b\"" },
    { "fetch", "rewrite", "", "\"http://a/=http://b/\"", "\"http://a/=http://c/\"" },
    { "fetch", "proxy", "", "\"http://a:1\"", "\"http://a:2\"" },
    { "daemon", "user_base", "", "64800", "64900" },
    { "", "", "text", "a", "b" },
    { "", "", "path", "/a", "/b" },
    { "", "", "list of text", "a", "{ a, b }" },
    { "", "", "list of paths", "/a", "{ /a, /b }" },
    { "", "", "list of names", "\"dns:a\"", "\"dns:b\"" },
    { "", "", "list of attribute=pattern", "\"a=b\"", "\"a=c\"" },
    { "", "", "list of prefixes", "192.0.2.0/24", "192.0.2.0/25" },
    { "", "", "SHA-256 in hex",
      "\"0000000000000000000000000000000000000000000000000000000000000000\"",
      "\"0000000000000000000000000000000000000000000000000000000000000001\"" },
    { "", "", "key algorithm", "rsa:2048", "rsa:3072" },
    { "", "", "yes or no", "no", "yes" },
    { "", "", "number, k, M, G or T after it", "1M", "2M" },
    { "", "", "duration", "61s", "62s" },
    { "", "", "IPv4 address", "192.0.2.1", "192.0.2.2" },
    { "", "", "IPv6 address", "\"2001:db8::1\"", "\"2001:db8::2\"" },
    { "", "", "identity", "\"dns:a\"", "\"dns:b\"" },
    { "", "", "selector", "10.0.0.0/8", "10.0.0.0/9" },
    { "", "", "list of selectors, or dynamic", "10.0.0.0/8", "{ 10.0.0.0/9, 10.128.0.0/9 }" },
    { "", "", "list of prefixes and ranges", "10.9.0.0/24", "10.8.0.0/24" },
    { "", "", "list of addresses", "192.0.2.1", "192.0.2.2" },
    { "", "", "list of IDENTITY=ADDRESS", "\"dns:a=10.9.0.7\"", "\"dns:a=10.9.0.8\"" },
    { "", "", "list of selectors", "10.0.0.0/8", "{ 10.0.0.0/9, 10.128.0.0/9 }" },
};

static bool fits(const struct sample *s, const struct sl_config_key *k)
{
    return (!*s->section || !strcmp(s->section, k->section)) &&
           (!*s->key || !strcmp(s->key, k->key)) && (!*s->type || !strcmp(s->type, k->type));
}

/* Two different values of a key; into buffers for those that follow from its type. */
static void values(const struct sl_config_key *k, char a[100], char b[100])
{
    a[0] = b[0] = '\0';
    for (size_t i = 0; i < SL_ARRAY_LEN(samples); i++)
        if (fits(&samples[i], k)) {
            snprintf(a, 100, "%s", samples[i].a);
            snprintf(b, 100, "%s", samples[i].b);
            return;
        }
    if (!strncmp(k->type, "number ", 7)) {
        unsigned long low = strtoul(k->type + 7, NULL, 10);
        snprintf(a, 100, "%lu", low + 1);
        snprintf(b, 100, "%lu", low + 2);
        return;
    }
    if (!strncmp(k->type, "URL ", 4)) {
        snprintf(a, 100, "\"http://a\"");
        snprintf(b, 100, "\"http://b\"");
        return;
    }
    if (!strncmp(k->type, "address, port", 13)) {
        snprintf(a, 100, "192.0.2.1");
        snprintf(b, 100, "\"192.0.2.1:77\"");
        return;
    }
    if (!strcmp(k->type, "list of proposals")) {
        bool ike = !strcmp(k->key, "ike");
        snprintf(a, 100, "%s", ike ? "aes128gcm16-prfsha256-ecp256" : "aes128gcm16");
        snprintf(b, 100, "%s", ike ? "aes128gcm16-prfsha384-ecp256" : "aes128gcm16-ecp256");
        return;
    }
    const char *bar = strchr(k->type, '|'); /* a choice: its first two words */
    if (!bar)
        return; /* a type without a sample: see mutate */
    size_t first = (size_t)(bar - k->type), second = strcspn(bar + 1, "|");
    snprintf(a, 100, "%.*s", (int)first, k->type);
    snprintf(b, 100, "%.*s", (int)second, bar + 1);
}

/* Sections a key's section needs beside itself, and what it must hold itself. */
static const char around[] = "scep s { url = \"http://s/\" }\n"
                             "scep s2 { url = \"http://s/\" }\n"
                             "identity i { subject = \"CN=i\" scep = s }\n"
                             "identity i2 { subject = \"CN=i\" scep = s }\n"
                             "trust t { anchor = /t.pem }\n"
                             "trust t2 { anchor = /t.pem }\n"
                             "psk p { file = /p }\n"
                             "pool w { addresses = 10.7.0.0/24 }\n"
                             "pool w2 { addresses = 10.6.0.0/24 }\n"
                             "directory d { type = ldif file = /d filter = \"(cn=%{id})\" }\n"
                             "directory d2 { type = ldif file = /d filter = \"(cn=%{id})\" }\n";

struct own {
    const char *section, *key; /* key: only when this one is tried; "": always */
    const char *needs;         /* as KEY = VALUE; left out when the key tried is among them */
};
static const struct own needs[] = {
    { "trust", "", "anchor = /a.pem" },
    { "scep", "", "url = \"http://x/\"" },
    { "identity", "", "subject = \"CN=x\"" },
    { "identity", "", "scep = s" },
    { "psk", "", "file = /x" },
    { "pool", "", "addresses = 10.9.0.0/24" },
    { "directory", "", "type = ldap" },
    { "directory", "", "filter = \"(cn=%{id})\"" },
    { "directory", "", "base = \"dc=x\"" },
    { "directory", "", "uri = \"ldap://x\"" },
    { "rule", "", "action = accept" },
    { "connection", "", "identity = i" },
    { "connection", "", "trust = t" },
    { "connection", "", "remote = 192.0.2.1" },
    { "child", "", "local_ts = 10.1.0.0/16" },
    { "child", "", "remote_ts = 10.2.0.0/16" },
    { "pool", "split_dns", "dns = 192.0.2.1" },
    { "trust", "responder_cert", "responder = \"http://x/\"" },
    { "directory", "client_cert", "client_key = /x" },
    { "directory", "client_key", "client_cert = /x" },
    { "directory", "password_file", "bind_dn = \"cn=x\"" },
    { "directory", "bind_dn", "password_file = /x" },
    { "directory", "sasl_external", "client_cert = /x" },
    { "directory", "sasl_external", "client_key = /x" },
    { "authority", "enabled", "base_url = \"http://x\"" },
    { "shunt", "", "action = drop" },
    { "shunt", "", "local_ts = 10.1.0.0/16" },
    { "shunt", "", "remote_ts = 10.2.0.0/16" },
};

static bool is_key_of(const char *statement, const char *key)
{
    size_t n = strlen(key);
    return !strncmp(statement, key, n) && statement[n] == ' ';
}

static void put_needs(struct sl_buf *out, const char *section, const char *key)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(needs); i++)
        if (!strcmp(needs[i].section, section) && !is_key_of(needs[i].needs, key) &&
            (!*needs[i].key || !strcmp(needs[i].key, key)))
            ck_assert(sl_buf_printf(out, "  %s\n", needs[i].needs));
}

static struct sl_config *with(const struct sl_config_key *k, const char *value, struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    struct sl_config *c = NULL;
    bool child = !strcmp(k->section, "child"), titled = false;
    for (size_t i = 0; i < SL_ARRAY_LEN(needs); i++)
        titled = titled || (!*needs[i].key && !strcmp(needs[i].section, k->section));
    ck_assert(sl_buf_printf(&text, "%s", around));
    if (child || !strcmp(k->section, "connection")) {
        ck_assert(sl_buf_printf(&text, "connection x {\n"));
        put_needs(&text, "connection", child ? "" : k->key);
    } else {
        ck_assert(sl_buf_printf(&text, "%s %s {\n", k->section, titled ? "x" : ""));
        put_needs(&text, k->section, k->key);
    }
    if (!child)
        ck_assert(sl_buf_printf(&text, "  %s = %s\n", k->key, value));
    if (child || !strcmp(k->section, "connection")) {
        ck_assert(sl_buf_printf(&text, "  child y {\n"));
        put_needs(&text, "child", child ? k->key : "");
        if (child)
            ck_assert(sl_buf_printf(&text, "  %s = %s\n", k->key, value));
        ck_assert(sl_buf_printf(&text, "  }\n"));
    }
    ck_assert(sl_buf_printf(&text, "}\n"));
    enum sl_rc rc = sl_config_parse(&c, sl_buf_bytes(&text), "t.conf", NULL, err);
    return rc == SL_OK ? c : NULL;
}

/*
 * Keys that no two valid files can differ in by themselves, because of rules between keys: the field
 * is changed behind the parser's back.
 */
static void mutate(const struct conf_key *k, void *base)
{
    char *at = (char *)base + k->offset, *p;
    struct sl_conf_strings s;
    size_t n;
    switch (k->type) {
    case CONF_TEXT:
    case CONF_REF:
    case CONF_PATH:
    case CONF_URL:
    case CONF_FINGERPRINT:
    case CONF_KEYALG:
    case CONF_CHOICE_TEXT:
        memcpy(&p, at, sizeof(p));
        free(p);
        p = strdup("another");
        memcpy(at, &p, sizeof(p));
        return;
    default:
        break;
    }
    if (!conf_type_is_list(k->type)) {
        *at = (char)(*at ^ 1);
    } else if (k->size == 0) { /* an array: its last element goes */
        memcpy(&n, (char *)base + k->count_offset, sizeof(n));
        ck_assert_msg(n > 0, "%s %s is empty", k->pub.section, k->pub.key);
        n--;
        memcpy((char *)base + k->count_offset, &n, sizeof(n));
    } else {
        memcpy(&s, at, sizeof(s));
        s.v = realloc(s.v, (s.n + 1) * sizeof(*s.v));
        s.v[s.n++] = strdup("another");
        memcpy(at, &s, sizeof(s));
    }
}

static struct sl_config *base_of(const struct sl_config_key *k, bool changed)
{
    static const char all[] = "rule x { action = accept }\n"
                              "connection x { identity = i trust = t remote = 192.0.2.1\n"
                              "  child y { local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 } }\n"
                              "shunt x { action = drop local_ts = 10.0.0.0/8 "
                              "remote_ts = 10.0.0.0/8 }\n";
    SL_AUTO_BUF text = { 0 };
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    ck_assert(sl_buf_printf(&text, "%s%s", around, all));
    ck_ok(sl_config_parse(&c, sl_buf_bytes(&text), "t.conf", NULL, &err), &err);
    for (unsigned kind = 0; changed && kind < CONF_KINDS; kind++) {
        size_t n, count, size;
        const struct conf_key *keys = conf_keys(kind, &n);
        for (size_t i = 0; i < n; i++) {
            if (strcmp(keys[i].pub.section, k->section) != 0 ||
                strcmp(keys[i].pub.key, k->key) != 0)
                continue;
            void *base = c;
            if (kind == CONF_child)
                base = c->connection[0].child;
            else if (conf_kind(kind)->titled)
                base = (void *)(uintptr_t)conf_sections(kind, c, &count, &size);
            mutate(&keys[i], base);
        }
    }
    return c;
}

START_TEST(every_key_is_noticed)
{
    size_t n, tried = 0;
    const struct sl_config_key *keys = sl_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        const struct sl_config_key *k = &keys[i];
        char a[100], b[100];
        struct sl_err err = { 0 };
        struct sl_config_diff d;
        values(k, a, b);
        struct sl_config *x = *a ? with(k, a, &err) : NULL, *y = x ? with(k, b, &err) : NULL;
        if (!y) {
            sl_config_free(x);
            x = base_of(k, false);
            y = base_of(k, true);
        } else {
            tried++;
        }
        ck_assert_int_eq(sl_config_compare(&d, x, x, &err), SL_OK);
        ck_assert_uint_eq(d.n, 0);
        ck_assert_int_eq(sl_config_compare(&d, x, y, &err), SL_OK);
        bool found = false;
        for (size_t j = 0; j < d.n; j++) {
            found = found || (!strcmp(d.v[j].section, k->section) && !strcmp(d.v[j].key, k->key));
            ck_assert_int_eq(d.v[j].how, SL_CONFIG_CHANGED);
        }
        ck_assert_msg(found, "%s %s: a change is not noticed", k->section, k->key);
        /* the audit log's directory follows state_dir when it is not given */
        ck_assert_uint_eq(d.n, !strcmp(k->key, "state_dir") ? 2 : 1);
        ck_assert_int_eq(d.v[0].effect, sl_config_key_effect(k->section, k->key));
        sl_config_diff_clear(&d);
        sl_config_free(x);
        sl_config_free(y);
    }
    ck_assert_uint_ge(tried, 100); /* by their text */
}
END_TEST

static struct sl_config *parse(const char *text)
{
    struct sl_config *c = NULL;
    struct sl_err err = { 0 };
    ck_assert_msg(sl_config_parse(&c, sl_str(text), "t.conf", NULL, &err) == SL_OK, "%s",
                  sl_err_text(&err));
    return c;
}

/* All rows, one a line. */
static const char *story(const char *a, const char *b)
{
    static struct sl_buf out;
    struct sl_err err = { 0 };
    struct sl_config_diff d;
    SL_AUTO(sl_config) *x = parse(a);
    SL_AUTO(sl_config) *y = parse(b);
    sl_buf_clear(&out);
    ck_assert_int_eq(sl_config_compare(&d, x, y, &err), SL_OK);
    for (size_t i = 0; i < d.n; i++) {
        char text[SL_CONFIG_CHANGE_TEXT];
        ck_assert(sl_buf_printf(&out, "%s (%d)\n", sl_config_change_text(text, &d.v[i]),
                                (int)d.v[i].effect));
    }
    sl_config_diff_clear(&d);
    ck_assert(sl_buf_nul(&out));
    return (const char *)out.p;
}

#define BASE                                                            \
    "psk p { file = /p } psk q { file = /q } trust t { anchor = /a }\n" \
    "identity i { subject = \"CN=i\" key_file = /k certificate = /c }\n"
#define CHILD "child n { local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8 }"
#define PSK   "id_local = \"dns:a\" remote = 192.0.2.1 " CHILD " }\n"

START_TEST(keys_that_do_not_change_alone)
{
    ck_assert_str_eq(story(BASE "connection c { auth = psk psk = p " PSK,
                           BASE "connection c { auth = psk psk = q " PSK),
                     "connection c: psk changed (1)\n");
    ck_assert_str_eq(story(BASE "connection c { auth = psk psk = p " PSK,
                           BASE "connection c { identity = i trust = t " PSK),
                     "connection c: auth changed (1)\nconnection c: identity changed (1)\n"
                     "connection c: psk changed (1)\nconnection c: trust changed (0)\n");
    ck_assert_str_eq(story("identity i { subject = \"CN=i\" key_file = /k certificate = /c }",
                           "identity i { subject = \"CN=i\" key_file = /l certificate = /d }"),
                     "identity i: certificate changed (0)\nidentity i: key_file changed (0)\n");
    ck_assert_str_eq(story(BASE "connection c { auth = psk psk = p id_local = \"dns:a\" "
                                "remote_prefix = 192.0.2.0/24 " CHILD " }",
                           BASE "connection c { auth = psk psk = p id_local = \"dns:a\" "
                                "remote_prefix = 192.0.2.0/25 " CHILD " }"),
                     "connection c: remote_prefix changed (1)\n");
    ck_assert_str_eq(story("directory d { type = ldif file = /a filter = \"(cn=%{id})\" }",
                           "directory d { type = ldif file = /b filter = \"(cn=%{id})\" }"),
                     "directory d: file changed (0)\n");
    ck_assert_ptr_nonnull(
        strstr(story("directory d { type = ldif file = /a filter = \"(cn=%{id})\" }",
                     "directory d { type = ldap uri = \"ldap://h\" base = \"dc=x\" "
                     "filter = \"(cn=%{id})\" }"),
               "directory d: type changed (0)\n"));
}
END_TEST

START_TEST(sections_come_go_and_move)
{
    ck_assert_str_eq(story("rule a { action = accept } rule b { action = refuse }",
                           "rule b { action = refuse } rule a { action = accept }"),
                     "rule in another order (0)\n");
    ck_assert_str_eq(story("rule a { action = accept } rule b { action = refuse }",
                           "rule c { action = accept } rule b { action = refuse }"),
                     "rule a removed (0)\nrule c added (0)\n");
    ck_assert_str_eq(story("trust a { anchor = /a } trust b { anchor = /b }",
                           "trust b { anchor = /b } trust a { anchor = /a }"),
                     ""); /* nothing depends on it */
    ck_assert_str_eq(story(BASE "connection c { auth = psk psk = p " PSK, BASE),
                     "connection c removed (1)\n");
    ck_assert_str_eq(story(BASE "connection c { auth = psk psk = p " PSK,
                           BASE "connection c { auth = psk psk = p child m { local_ts = 10.0.0.0/8 "
                                "remote_ts = 10.0.0.0/8 } " PSK),
                     "connection c, child m added (0)\n");
    ck_assert_str_eq(story(BASE "connection c { auth = psk psk = p child m { local_ts = 10.0.0.0/8 "
                                "remote_ts = 10.0.0.0/8 } " PSK,
                           BASE "connection c { auth = psk psk = p " PSK),
                     "connection c, child m removed (1)\n");
}
END_TEST

START_TEST(effects_of_keys)
{
    ck_assert_int_eq(sl_config_key_effect("daemon", "state_dir"), SL_CONFIG_RESTART);
    ck_assert_int_eq(sl_config_key_effect("daemon", "log_level"), SL_CONFIG_LIVE);
    ck_assert_int_eq(sl_config_key_effect("ike", "worker_threads"), SL_CONFIG_RESTART);
    ck_assert_int_eq(sl_config_key_effect("datapath", "table"), SL_CONFIG_RESTART);
    ck_assert_int_eq(sl_config_key_effect("authority", "listen"), SL_CONFIG_RESTART);
    ck_assert_int_eq(sl_config_key_effect("authority", "enabled"), SL_CONFIG_RESTART);
    ck_assert_int_eq(sl_config_key_effect("authority", "lifetime"), SL_CONFIG_LIVE);
    ck_assert_int_eq(sl_config_key_effect("connection", "remote"), SL_CONFIG_SAS);
    ck_assert_int_eq(sl_config_key_effect("connection", "dpd"), SL_CONFIG_LIVE);
    ck_assert_int_eq(sl_config_key_effect("child", "esp"), SL_CONFIG_SAS);
    ck_assert_int_eq(sl_config_key_effect("child", "rekey"), SL_CONFIG_LIVE);
    ck_assert_int_eq(sl_config_key_effect("rule", "action"), SL_CONFIG_LIVE);
    ck_assert_int_eq(sl_config_key_effect("nothing", "of it"), SL_CONFIG_RESTART);
}
END_TEST

START_TEST(a_connection_is_compared_without_its_children)
{
    SL_AUTO(sl_config) *x = parse(BASE "connection c { auth = psk psk = p dpd = 1m " PSK);
    SL_AUTO(sl_config) *y = parse(BASE "connection c { auth = psk psk = p dpd = 2m "
                                       "id_local = \"dns:a\" remote = 192.0.2.1 child n { "
                                       "local_ts = 10.1.0.0/16 remote_ts = 10.0.0.0/8 } }");
    const struct sl_conf_connection *a = &x->connection[0], *b = &y->connection[0];
    ck_assert_int_eq(sl_config_connection_effect(a, b), SL_CONFIG_LIVE);
    ck_assert_int_eq(sl_config_child_effect(&a->child[0], &b->child[0]), SL_CONFIG_SAS);
    ck_assert_int_eq(sl_config_child_effect(&a->child[0], &a->child[0]), SL_CONFIG_LIVE);
}
END_TEST

SL_TESTS(config_diff, SL_CASE(every_key_is_noticed), SL_CASE(keys_that_do_not_change_alone),
         SL_CASE(sections_come_go_and_move), SL_CASE(effects_of_keys),
         SL_CASE(a_connection_is_compared_without_its_children))
