/*
 * The rules of path validation one by one, above all those that libcrypto's own validation misses:
 * each certificate is made for its case, and the case next to it that must pass is there too.
 */
#include "sealane/path.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

static struct sl_err err;
static struct test_cert *the_root(void)
{
    static struct test_cert root;
    if (!root.x)
        root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    return &root;
}

#define CA_EXT "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"

/* root, an intermediate when sub has a subject, leaf: the verdict with params. */
static enum sl_rc verdict(const struct test_spec *sub, struct test_spec leaf,
                          struct sl_path_params params)
{
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    struct test_cert s;
    struct sl_bytes peer[2];
    ck_ok(sl_certs_load(&anchors, the_root()->der, "root", &err), &err);
    leaf.subject = leaf.subject ? leaf.subject : "CN=leaf";
    leaf.by = the_root();
    if (sub) {
        struct test_spec spec = *sub;
        spec.subject = spec.subject ? spec.subject : "CN=sub";
        spec.by = the_root();
        s = test_cert(&spec);
        leaf.by = &s;
        peer[1] = s.der;
    }
    peer[0] = test_cert(&leaf).der;
    params.peer = peer;
    params.peer_n = sub ? 2 : 1;
    params.anchors = &anchors;
    params.now_utc_s = TEST_NOW;
    sl_err_reset(&err);
    enum sl_rc rc = sl_path_build(&path, &params, &err);
    sl_path_clear(&path);
    sl_certs_clear(&anchors);
    return rc;
}

static enum sl_rc leaf_verdict(const char *subject, const char *ext, enum sl_profile profile)
{
    return verdict(NULL, (struct test_spec){ .subject = subject, .ext = ext },
                   (struct sl_path_params){ .profile = profile });
}

/* A CA with nameConstraints above a leaf with subjectAltName and subject. */
static enum sl_rc named(const char *constraints, const char *san, const char *subject)
{
    char sub_ext[400], leaf_ext[300];
    snprintf(sub_ext, sizeof(sub_ext), "nameConstraints=%s\n", constraints);
    snprintf(leaf_ext, sizeof(leaf_ext), "subjectAltName=%s\n", san ? san : "");
    return verdict(&(struct test_spec){ .ca = true, .ext = sub_ext },
                   (struct test_spec){ .subject = subject, .ext = san ? leaf_ext : NULL },
                   (struct sl_path_params){ 0 });
}

START_TEST(name_constraints_of_every_type_hold)
{
    static const struct {
        const char *nc, *san, *subject;
        bool ok;
    } cases[] = {
        /* dNSName: itself and below, without case; whole labels only */
        { "permitted;DNS:good.example", "DNS:good.example", NULL, true },
        { "permitted;DNS:good.example", "DNS:A.GOOD.example", NULL, true },
        { "permitted;DNS:good.example", "DNS:notgood.example", NULL, false },
        { "permitted;DNS:good.example", "DNS:good.example,DNS:bad.example", NULL, false },
        { "permitted;DNS:good.example,permitted;DNS:bad.example", "DNS:bad.example", NULL, true },
        { "excluded;DNS:bad.example", "DNS:gw.bad.example", NULL, false },
        { "excluded;DNS:bad.example", "DNS:gw.notbad.example", NULL, true },
        { "permitted;DNS:example,excluded;DNS:bad.example", "DNS:bad.example", NULL, false },
        { "permitted;DNS:good.example", "IP:192.0.2.1", NULL, true }, /* another type */
        { "permitted;DNS:good.example", "email:a@bad.example", NULL, true },
        /* malformed names are never within, and never safely outside */
        { "permitted;DNS:good.example", "DNS:.good.example", NULL, false },
        { "permitted;DNS:good.example", "DNS:a..good.example", NULL, false },
        { "excluded;DNS:bad.example", "DNS:a b.example", NULL, false },
        { "excluded;DNS:bad.example", "DNS:gw.bad.example.", NULL, false },
        /* wildcards: all they may stand for must be permitted, none may be excluded */
        { "permitted;DNS:good.example", "DNS:*.good.example", NULL, true },
        { "permitted;DNS:gw.good.example", "DNS:*.good.example", NULL, false },
        { "excluded;DNS:gw.good.example", "DNS:*.good.example", NULL, false },
        { "excluded;DNS:a.gw.good.example", "DNS:*.good.example", NULL, true },
        { "excluded;DNS:bad.example", "DNS:*.good.example", NULL, true },
        { "permitted;DNS:good.example", "DNS:g*.good.example", NULL, false },
        /* a host name in the common name of an end entity without dNSName */
        { "permitted;DNS:good.example", NULL, "CN=gw.bad.example", false },
        { "excluded;DNS:bad.example", NULL, "CN=gw.bad.example", false },
        { "permitted;DNS:good.example", "DNS:gw.good.example", "CN=gw.bad.example", true },
        { "permitted;DNS:good.example", NULL, "CN=gateway seven", true },
        /* rfc822Name: a mailbox, a host, a domain */
        { "permitted;email:a@good.example", "email:a@GOOD.example", NULL, true },
        { "permitted;email:a@good.example", "email:A@good.example", NULL, false },
        { "permitted;email:good.example", "email:b@good.example", NULL, true },
        { "permitted;email:good.example", "email:b@mx.good.example", NULL, false },
        { "permitted;email:.good.example", "email:b@mx.good.example", NULL, true },
        { "permitted;email:.good.example", "email:b@good.example", NULL, false },
        { "excluded;email:bad.example", "email:b@bad.example", NULL, false },
        { "permitted;email:good.example", "email:a@b@good.example", NULL, false },
        { "excluded;email:bad.example", "email:nobody", NULL, false },
        { "excluded;email:bad.example", "email:a@good.example", NULL, true },
        /* emailAddress in the subject counts only where there is no subjectAltName */
        { "permitted;email:good.example", NULL, "CN=a,emailAddress=a@bad.example", false },
        { "permitted;email:good.example", NULL, "CN=a,emailAddress=a@good.example", true },
        { "permitted;email:good.example", "DNS:a", "CN=a,emailAddress=a@bad.example", true },
        /* iPAddress */
        { "permitted;IP:192.0.2.0/255.255.255.0", "IP:192.0.2.77", NULL, true },
        { "permitted;IP:192.0.2.0/255.255.255.0", "IP:192.0.3.1", NULL, false },
        { "permitted;IP:192.0.2.0/255.255.255.0", "IP:2001:db8::1", NULL, false },
        { "excluded;IP:192.0.2.128/255.255.255.128", "IP:192.0.2.129", NULL, false },
        { "excluded;IP:192.0.2.128/255.255.255.128", "IP:192.0.2.1", NULL, true },
        { "excluded;IP:192.0.2.0/255.255.255.0", "IP:2001:db8::1", NULL, true },
        { "permitted;IP:2001:db8::/ffff:ffff::", "IP:2001:db8:1::1", NULL, true },
        { "permitted;IP:2001:db8::/ffff:ffff::", "IP:2001:db9::1", NULL, false },
        /* URI: the host, or hosts of a domain */
        { "permitted;URI:good.example", "URI:http://good.example/x", NULL, true },
        { "permitted;URI:good.example", "URI:http://user@GOOD.example:80/x", NULL, true },
        { "permitted;URI:good.example", "URI:http://a.good.example/", NULL, false },
        { "permitted;URI:.good.example", "URI:http://a.good.example/", NULL, true },
        { "permitted;URI:.good.example", "URI:http://good.example/", NULL, false },
        { "permitted;URI:good.example", "URI:http://good.example@bad.example/", NULL, false },
        { "permitted;URI:good.example", "URI:urn:x:y", NULL, false },
        { "excluded;URI:bad.example", "URI:urn:x:y", NULL, false },
        { "excluded;URI:bad.example", "URI:http://192.0.2.1/", NULL, false },
        { "excluded;URI:bad.example", "URI:http://good.example?q=bad.example", NULL, true },
        /* a type that is not processed, constrained and present */
        { "excluded;RID:1.2.3", "RID:1.2.4", NULL, false },
        { "excluded;RID:1.2.3", "DNS:a", NULL, true },
        { "permitted;otherName:1.2.3.4;UTF8:a", "otherName:1.2.3.4;UTF8:a", NULL, false },
        { "permitted;otherName:1.2.3.4;UTF8:a", "otherName:1.2.3.5;UTF8:a", NULL, true },
        { "permitted;email:good.example", "otherName:1.3.6.1.5.5.7.8.9;UTF8:a@bad.example", NULL,
          false }, /* SmtpUTF8Mailbox */
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        enum sl_rc rc = named(cases[i].nc, cases[i].san, cases[i].subject);
        ck_assert_msg(rc == (cases[i].ok ? SL_OK : SL_CERT_NAME_CONSTRAINTS),
                      "%s against %s, %s: got %s: %s", cases[i].nc, cases[i].san,
                      cases[i].subject ? cases[i].subject : "CN=leaf", sl_rc_name(rc),
                      sl_err_text(&err));
        if (rc != SL_OK)
            ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "RFC 5280"));
    }
}
END_TEST

/* nameConstraints over directoryName wants sections of a configuration: written in DER here. */
START_TEST(directory_name_constraints_hold)
{
    /* [0] permitted or [1] excluded, of one subtree: [4] directoryName O=Lab */
    static const struct {
        const char *tag, *subject;
        bool ok;
    } cases[] = {
        { "a0", "CN=gw,O=Lab", true },   { "a0", "CN=gw,O=LAB", true },
        { "a0", "CN=gw,O=Lab  ", true }, { "a0", "CN=gw,O=Labs", false },
        { "a0", "O=Lab,CN=gw", false },  { "a0", "CN=gw", false },
        { "a1", "CN=gw,O=Lab", false },  { "a1", "CN=gw,O=Other", true },
        { "a1", "O=Lab,C=DE", true },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char ext[200];
        snprintf(ext, sizeof(ext),
                 "nameConstraints=critical,DER:3016%s143012a410300e310c300a060355040a0c034c6162\n",
                 cases[i].tag);
        enum sl_rc rc = verdict(&(struct test_spec){ .ca = true, .ext = ext },
                                (struct test_spec){ .subject = cases[i].subject },
                                (struct sl_path_params){ 0 });
        ck_assert_msg(rc == (cases[i].ok ? SL_OK : SL_CERT_NAME_CONSTRAINTS), "%s %s: %s: %s",
                      cases[i].tag, cases[i].subject, sl_rc_name(rc), sl_err_text(&err));
    }
}
END_TEST

START_TEST(malformed_name_constraints_refuse_the_ca)
{
    static const char *const cases[] = {
        "permitted;DNS:.good.example", /* a dot in front is for URIs */
        "permitted;DNS:*.good.example",
        "permitted;email:a@b@good.example",
        "permitted;URI:http://good.example",
        "permitted;IP:192.0.2.0/255.0.255.0",                      /* no prefix */
        "critical,DER:3000",                                       /* nothing in it */
        "critical,DER:3004a000a100",                               /* two empty lists */
        "critical,DER:3013a011300f820a676f6f642e746573742e800101", /* minimum 1 */
        "critical,DER:300aa008300687047f000001",                   /* an address without mask */
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        enum sl_rc rc = named(cases[i], "DNS:gw.good.example", NULL);
        ck_assert_msg(rc == SL_CERT_NAME_CONSTRAINTS || rc == SL_CERT_MALFORMED, "%s: %s: %s",
                      cases[i], sl_rc_name(rc), sl_err_text(&err));
        ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "CN=sub"));
    }
    ck_rc(named("permitted;DNS:.good.example", "DNS:gw.good.example", NULL),
          SL_CERT_NAME_CONSTRAINTS, &err);
    ck_rc(leaf_verdict(NULL, "nameConstraints=permitted;DNS:good.example\n", SL_PROFILE_RFC5280),
          SL_CERT_NAME_CONSTRAINTS, &err);
}
END_TEST

START_TEST(too_many_names_are_refused_and_not_compared)
{
    struct sl_buf nc = { 0 }, san = { 0 };
    ck_assert(sl_buf_put_str(&nc, "nameConstraints="));
    ck_assert(sl_buf_put_str(&san, "subjectAltName="));
    for (int i = 0; i < 400; i++) {
        ck_assert(sl_buf_printf(&nc, "%sexcluded;DNS:x%d.example", i ? "," : "", i));
        ck_assert(sl_buf_printf(&san, "%sDNS:y%d.example", i ? "," : "", i));
    }
    ck_assert(sl_buf_put_str(&nc, "\n") && sl_buf_nul(&nc));
    ck_assert(sl_buf_put_str(&san, "\n") && sl_buf_nul(&san));
    ck_rc(verdict(&(struct test_spec){ .ca = true, .ext = (const char *)nc.p },
                  (struct test_spec){ .ext = (const char *)san.p }, (struct sl_path_params){ 0 }),
          SL_CERT_BUDGET, &err);
    sl_buf_clear(&nc);
    sl_buf_clear(&san);
}
END_TEST

START_TEST(form_of_a_certificate_is_checked)
{
    static const struct {
        const char *ext;
        enum sl_rc rc, strict;
    } cases[] = {
        { "extendedKeyUsage=DER:3000\n", SL_CERT_EKU, SL_CERT_EKU },
        { "subjectAltName=DER:3000\n", SL_CERT_MALFORMED, SL_CERT_MALFORMED },
        { "subjectAltName=DNS:a\nsubjectAltName=DNS:b\n", SL_CERT_MALFORMED, SL_CERT_MALFORMED },
        { "1.2.3.4=DER:0500\n1.2.3.4=DER:0500\n", SL_CERT_MALFORMED, SL_CERT_MALFORMED },
        { "1.2.3.4=critical,DER:0500\n", SL_CERT_CRITICAL_EXTENSION, SL_CERT_CRITICAL_EXTENSION },
        { "authorityInfoAccess=DER:6d616c\n", SL_CERT_MALFORMED, SL_CERT_MALFORMED },
        { "extendedKeyUsage=DER:300a06082b060105050703110500\n", SL_CERT_MALFORMED,
          SL_CERT_MALFORMED }, /* bytes after the value */
        { "basicConstraints=DER:3003020100\n", SL_CERT_INVALID, SL_CERT_INVALID },
        { "certificatePolicies=1.2.3,1.2.3\n", SL_CERT_POLICY, SL_CERT_POLICY },
        /* critical subjectAltName beside a subject: fine, but not for CA/Browser */
        { "subjectAltName=critical,DNS:a\n", SL_OK, SL_CERT_INVALID },
        { "subjectAltName=DNS:a\n", SL_OK, SL_OK },
        { NULL, SL_OK, SL_CERT_INVALID }, /* no subjectAltName */
        { "subjectAltName=DNS:a\nkeyUsage=digitalSignature,keyCertSign\n", SL_CERT_KEY_USAGE,
          SL_CERT_KEY_USAGE },
        { "subjectAltName=DNS:a\nauthorityInfoAccess=critical,OCSP;URI:http://a/\n", SL_OK,
          SL_CERT_INVALID },
        { "subjectAltName=DNS:a\nbasicConstraints=critical,CA:TRUE\nkeyUsage=digitalSignature\n",
          SL_OK, SL_CERT_KEY_USAGE },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char ext[300];
        snprintf(ext, sizeof(ext), "authorityKeyIdentifier=keyid\n%s",
                 cases[i].ext ? cases[i].ext : "");
        enum sl_rc a = leaf_verdict(NULL, ext, SL_PROFILE_RFC5280);
        ck_assert_msg(a == cases[i].rc, "%s: %s: %s", ext, sl_rc_name(a), sl_err_text(&err));
        enum sl_rc b = leaf_verdict(NULL, ext, SL_PROFILE_STRICT);
        ck_assert_msg(b == cases[i].strict, "strict %s: %s: %s", ext, sl_rc_name(b),
                      sl_err_text(&err));
    }
}
END_TEST

START_TEST(empty_names_are_refused)
{
    ck_rc(leaf_verdict("", "subjectAltName=DNS:a\nauthorityKeyIdentifier=keyid\n",
                       SL_PROFILE_RFC5280),
          SL_CERT_INVALID, &err);
    ck_rc(
        leaf_verdict("", "subjectAltName=DNS:a\nauthorityKeyIdentifier=keyid\n", SL_PROFILE_STRICT),
        SL_CERT_INVALID, &err);
    ck_ok(leaf_verdict("", "subjectAltName=critical,DNS:a\nauthorityKeyIdentifier=keyid\n",
                       SL_PROFILE_STRICT),
          &err);
    struct test_cert nameless = test_cert(&(struct test_spec){ .subject = "", .ca = true });
    struct test_cert leaf = test_cert(&(struct test_spec){ .subject = "CN=l", .by = &nameless });
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    ck_ok(sl_certs_load(&anchors, nameless.der, "a", &err), &err);
    struct sl_path_params p = {
        .anchors = &anchors, .peer = &leaf.der, .peer_n = 1, .now_utc_s = TEST_NOW
    };
    ck_rc(sl_path_build(&path, &p, &err), SL_CERT_MALFORMED, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "issuer is empty"));
    sl_certs_clear(&anchors);
}
END_TEST

/* In the default profile odd numbers pass, as PKITS wants; strict keeps RFC 5280 4.1.2.2. */
START_TEST(serial_numbers_are_a_matter_of_the_strict_profile)
{
    static const char ext[] = "authorityKeyIdentifier=keyid\nsubjectAltName=DNS:a\n";
    for (int strict = 0; strict < 2; strict++)
        ck_rc(verdict(NULL, (struct test_spec){ .serial = -5, .ext = ext },
                      (struct sl_path_params){ .profile = strict ? SL_PROFILE_STRICT
                                                                 : SL_PROFILE_RFC5280 }),
              strict ? SL_CERT_MALFORMED : SL_OK, &err);
}
END_TEST

START_TEST(issuers_are_held_to_the_profile)
{
    static const struct {
        const char *ext;
        enum sl_rc rc, strict;
    } cases[] = {
        { CA_EXT "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n", SL_OK, SL_OK },
        { CA_EXT "authorityKeyIdentifier=keyid\n", SL_OK, SL_CERT_INVALID },
        { CA_EXT "subjectKeyIdentifier=hash\n", SL_OK, SL_CERT_INVALID },
        { "basicConstraints=CA:TRUE\nkeyUsage=keyCertSign\nsubjectKeyIdentifier=hash\n"
          "authorityKeyIdentifier=keyid\n",
          SL_OK, SL_CERT_INVALID }, /* basicConstraints not critical */
        { "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n"
          "authorityKeyIdentifier=keyid\n",
          SL_OK, SL_CERT_KEY_USAGE },
        { "keyUsage=keyCertSign\n", SL_CERT_NOT_CA, SL_CERT_KEY_USAGE },
        { CA_EXT "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                 "extendedKeyUsage=codeSigning\n",
          SL_OK, SL_CERT_EKU },
        { CA_EXT "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                 "extendedKeyUsage=anyExtendedKeyUsage\n",
          SL_OK, SL_OK },
        /* policyConstraints: obeyed without being critical, which RFC 5280 demands of the CA */
        { CA_EXT "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                 "policyConstraints=requireExplicitPolicy:0\n",
          SL_CERT_POLICY, SL_CERT_INVALID },
        { CA_EXT "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                 "inhibitAnyPolicy=0\n",
          SL_OK, SL_CERT_INVALID },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_spec sub = { .ext = cases[i].ext };
        struct test_spec leaf = { .ext = "subjectAltName=DNS:a\nauthorityKeyIdentifier=keyid\n" };
        if (!strstr(cases[i].ext, "subjectKeyIdentifier"))
            leaf.ext = "subjectAltName=DNS:a\n";
        enum sl_rc a = verdict(&sub, leaf, (struct sl_path_params){ 0 });
        ck_assert_msg(a == cases[i].rc, "%s: %s: %s", cases[i].ext, sl_rc_name(a),
                      sl_err_text(&err));
        enum sl_rc b = verdict(&sub, leaf, (struct sl_path_params){ .profile = SL_PROFILE_STRICT });
        ck_assert_msg(b == cases[i].strict ||
                          (cases[i].strict == SL_CERT_INVALID && b == SL_CERT_INVALID) ||
                          (!strstr(cases[i].ext, "subjectKeyIdentifier") && b != SL_OK),
                      "strict %s: %s: %s", cases[i].ext, sl_rc_name(b), sl_err_text(&err));
    }
}
END_TEST

/* A use that is demanded by name must be among those of the CAs, where these have any. */
START_TEST(use_of_a_ca_limits_a_demanded_use)
{
    static const struct {
        const char *ca, *want;
        enum sl_rc rc;
    } cases[] = { { "extendedKeyUsage=codeSigning\n", NULL, SL_OK },
                  { "extendedKeyUsage=codeSigning\n", "serverAuth", SL_CERT_EKU },
                  { "extendedKeyUsage=serverAuth\n", "serverAuth", SL_OK },
                  { "extendedKeyUsage=anyExtendedKeyUsage\n", "serverAuth", SL_OK },
                  { NULL, "serverAuth", SL_OK } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        ck_rc(
            verdict(
                &(struct test_spec){ .ca = true, .ext = cases[i].ca },
                (struct test_spec){ .ext = cases[i].want ? "extendedKeyUsage=serverAuth\n" : NULL },
                (struct sl_path_params){ .eku = &cases[i].want, .eku_n = cases[i].want != NULL }),
            cases[i].rc, &err);
}
END_TEST

/* What the strict profile says of the key identifiers of a root. */
START_TEST(strict_root_names_its_own_key_or_none)
{
    static const struct {
        const char *ext;
        bool ok;
    } cases[] = {
        { "", true },
        { "authorityKeyIdentifier=keyid:always\n", true },
        { "authorityKeyIdentifier=DER:3000\n", false },
        { "authorityKeyIdentifier=DER:3006800401020304\n", false },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_cert top =
            test_cert(&(struct test_spec){ .subject = "CN=top", .ca = true, .ext = cases[i].ext });
        struct test_cert leaf = test_cert(
            &(struct test_spec){ .subject = "CN=l",
                                 .by = &top,
                                 .ext = "subjectAltName=DNS:a\nauthorityKeyIdentifier=keyid\n" });
        struct sl_certs anchors = { 0 };
        struct sl_path path = { 0 };
        ck_ok(sl_certs_load(&anchors, top.der, "top", &err), &err);
        struct sl_path_params p = { .anchors = &anchors,
                                    .peer = &leaf.der,
                                    .peer_n = 1,
                                    .now_utc_s = TEST_NOW,
                                    .profile = SL_PROFILE_STRICT };
        ck_rc(sl_path_build(&path, &p, &err), cases[i].ok ? SL_OK : SL_CERT_INVALID, &err);
        sl_path_clear(&path);
        p.profile = SL_PROFILE_RFC5280;
        ck_ok(sl_path_build(&path, &p, &err), &err);
        sl_path_clear(&path);
        sl_certs_clear(&anchors);
    }
}
END_TEST

/* A version 1 certificate cannot say that it is a CA; only as a self-issued anchor it need not. */
START_TEST(version_1_is_a_ca_only_as_an_anchor)
{
    struct test_cert old = test_cert(&(struct test_spec){ .subject = "CN=old" });
    struct test_cert sub = test_cert(&(struct test_spec){ .subject = "CN=sub", .by = &old });
    ck_assert(X509_set_version(old.x, X509_VERSION_1) && X509_sign(old.x, old.key, EVP_sha256()));
    ck_assert(X509_set_version(sub.x, X509_VERSION_1) && X509_sign(sub.x, old.key, EVP_sha256()));
    struct test_cert leaf = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &sub });
    struct test_cert direct = test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &old });
    unsigned char *o = NULL, *s = NULL;
    int on = i2d_X509(old.x, &o), sn = i2d_X509(sub.x, &s);
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    ck_ok(sl_certs_load(&anchors, sl_bytes(o, (size_t)on), "old", &err), &err);
    struct sl_bytes peer[] = { leaf.der, sl_bytes(s, (size_t)sn) };
    struct sl_path_params p = {
        .anchors = &anchors, .peer = peer, .peer_n = 2, .now_utc_s = TEST_NOW
    };
    ck_rc(sl_path_build(&path, &p, &err), SL_CERT_NOT_CA, &err);
    p.peer = &direct.der;
    p.peer_n = 1;
    ck_ok(sl_path_build(&path, &p, &err), &err);
    sl_path_clear(&path);
    p.profile = SL_PROFILE_STRICT;
    p.any_use = true;
    ck_assert(sl_path_build(&path, &p, &err) != SL_OK);
    sl_certs_clear(&anchors);
    OPENSSL_free(o);
    OPENSSL_free(s);
}
END_TEST

/* ---- policies ------------------------------------------------------------------------------------ */
START_TEST(policies_are_mapped_and_constrained)
{
    static const struct {
        const char *sub, *leaf, *user;
        bool explicit_policy, inhibit_any, inhibit_mapping;
        enum sl_rc rc;
        const char *policy; /* all that come out */
    } cases[] = {
        { "certificatePolicies=1.2.1\n", "certificatePolicies=1.2.1\n", NULL, true, false, false,
          SL_OK, "1.2.1" },
        { "certificatePolicies=1.2.1\n", "certificatePolicies=1.2.2\n", NULL, true, false, false,
          SL_CERT_POLICY, "" },
        { "certificatePolicies=1.2.1\n", "certificatePolicies=1.2.2\n", NULL, false, false, false,
          SL_OK, "" },
        { "certificatePolicies=1.2.1\n", "certificatePolicies=1.2.1\n", "1.2.9", true, false, false,
          SL_CERT_POLICY, "" },
        { "certificatePolicies=1.2.1,1.2.2\n", "certificatePolicies=1.2.1,1.2.2\n", "1.2.2", true,
          false, false, SL_OK, "1.2.2" },
        { "certificatePolicies=anyPolicy\n", "certificatePolicies=1.2.1\n", "1.2.1", true, false,
          false, SL_OK, "1.2.1" },
        { "certificatePolicies=anyPolicy\n", "certificatePolicies=1.2.1\n", "1.2.1", true, true,
          false, SL_CERT_POLICY, "" },
        { "certificatePolicies=anyPolicy\n", "certificatePolicies=anyPolicy\n", "1.2.1", true,
          false, false, SL_OK, "1.2.1" },
        { "certificatePolicies=anyPolicy\n", "certificatePolicies=anyPolicy\n", NULL, true, false,
          false, SL_OK, "2.5.29.32.0" },
        { "certificatePolicies=1.2.1\npolicyMappings=1.2.1:1.3.1\n", "certificatePolicies=1.3.1\n",
          "1.2.1", true, false, false, SL_OK, "1.2.1" },
        { "certificatePolicies=1.2.1\npolicyMappings=1.2.1:1.3.1\n", "certificatePolicies=1.2.1\n",
          NULL, true, false, false, SL_CERT_POLICY, "" },
        { "certificatePolicies=1.2.1\npolicyMappings=1.2.1:1.3.1\n", "certificatePolicies=1.3.1\n",
          NULL, true, false, true, SL_CERT_POLICY, "" },
        { "certificatePolicies=anyPolicy\npolicyMappings=1.2.1:1.3.1\n",
          "certificatePolicies=1.3.1\n", NULL, true, false, false, SL_OK, "1.2.1" },
        { "certificatePolicies=1.2.1,1.2.2\npolicyMappings=1.2.1:1.3.1,1.2.2:1.3.1\n",
          "certificatePolicies=1.3.1\n", "1.2.2", true, false, false, SL_OK, "1.2.2" },
        { "certificatePolicies=1.2.1\npolicyMappings=1.2.1:anyPolicy\n",
          "certificatePolicies=1.2.1\n", NULL, false, false, false, SL_CERT_POLICY, "" },
        { "policyConstraints=requireExplicitPolicy:0\n", "certificatePolicies=1.2.1\n", NULL, false,
          false, false, SL_CERT_POLICY, "" },
        { "policyConstraints=requireExplicitPolicy:1\n", NULL, NULL, false, false, false,
          SL_CERT_POLICY, "" },
        { "policyConstraints=requireExplicitPolicy:2\n", NULL, NULL, false, false, false, SL_OK,
          "" },
        { NULL, "policyConstraints=requireExplicitPolicy:0\n", NULL, false, false, false,
          SL_CERT_POLICY, "" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_certs anchors = { 0 };
        struct sl_path path = { 0 };
        struct test_cert s = test_cert(&(struct test_spec){
            .subject = "CN=sub", .by = the_root(), .ca = true, .ext = cases[i].sub });
        struct test_cert l =
            test_cert(&(struct test_spec){ .subject = "CN=leaf", .by = &s, .ext = cases[i].leaf });
        struct sl_bytes peer[] = { l.der, s.der };
        ck_ok(sl_certs_load(&anchors, the_root()->der, "root", &err), &err);
        struct sl_path_params p = { .anchors = &anchors,
                                    .peer = peer,
                                    .peer_n = 2,
                                    .now_utc_s = TEST_NOW,
                                    .policy = &cases[i].user,
                                    .policy_n = cases[i].user != NULL,
                                    .explicit_policy = cases[i].explicit_policy,
                                    .inhibit_any = cases[i].inhibit_any,
                                    .inhibit_mapping = cases[i].inhibit_mapping };
        enum sl_rc rc = sl_path_build(&path, &p, &err);
        ck_assert_msg(rc == cases[i].rc, "case %zu: %s: %s", i, sl_rc_name(rc), sl_err_text(&err));
        ck_assert_uint_eq(path.policy_n, cases[i].policy[0] != '\0');
        if (path.policy_n)
            ck_assert_str_eq(path.policy[0], cases[i].policy);
        sl_path_clear(&path);
        sl_certs_clear(&anchors);
    }
}
END_TEST

/* Each CA maps every policy to every other: a tree would grow as 8 to the depth (RFC 9618 3). */
START_TEST(mappings_that_multiply_cost_little)
{
    struct sl_buf ext = { 0 };
    ck_assert(sl_buf_put_str(&ext, "certificatePolicies=1.2.0"));
    for (int i = 1; i < 8; i++)
        ck_assert(sl_buf_printf(&ext, ",1.2.%d", i));
    ck_assert(sl_buf_put_str(&ext, "\npolicyMappings="));
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            ck_assert(sl_buf_printf(&ext, "%s1.2.%d:1.2.%d", i || k ? "," : "", i, k));
    ck_assert(sl_buf_put_str(&ext, "\n") && sl_buf_nul(&ext));
    struct sl_bytes peer[SL_PATH_MAX];
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    struct test_cert by = *the_root();
    for (size_t i = SL_PATH_MAX - 2; i > 0; i--) {
        char name[16];
        snprintf(name, sizeof(name), "CN=s%zu", i);
        by = test_cert(&(struct test_spec){
            .subject = name, .by = &by, .ca = true, .ext = (const char *)ext.p });
        peer[i] = by.der;
    }
    peer[0] = test_cert(&(struct test_spec){
                            .subject = "CN=leaf", .by = &by, .ext = "certificatePolicies=1.2.3\n" })
                  .der;
    ck_ok(sl_certs_load(&anchors, the_root()->der, "root", &err), &err);
    struct sl_path_params p = { .anchors = &anchors,
                                .peer = peer,
                                .peer_n = SL_PATH_MAX - 1,
                                .now_utc_s = TEST_NOW,
                                .explicit_policy = true };
    ck_ok(sl_path_build(&path, &p, &err), &err);
    ck_assert_uint_eq(path.n, SL_PATH_MAX);
    ck_assert_uint_eq(path.policy_n, 8);
    sl_path_clear(&path);
    sl_certs_clear(&anchors);
    sl_buf_clear(&ext);
}
END_TEST

START_TEST(resources_must_be_held_above)
{
    static const char all[] = CA_EXT "sbgp-ipAddrBlock=critical,IPv4:192.0.2.0/24\n";
    ck_ok(verdict(NULL, (struct test_spec){ 0 }, (struct sl_path_params){ 0 }), &err);
    struct test_cert top = test_cert(&(struct test_spec){ .subject = "CN=top", .ext = all });
    struct test_cert in = test_cert(&(struct test_spec){
        .subject = "CN=in", .by = &top, .ext = "sbgp-ipAddrBlock=critical,IPv4:192.0.2.0/25\n" });
    struct test_cert out =
        test_cert(&(struct test_spec){ .subject = "CN=out",
                                       .by = &top,
                                       .ext = "sbgp-ipAddrBlock=critical,IPv4:198.51.100.0/24\n" });
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    ck_ok(sl_certs_load(&anchors, top.der, "top", &err), &err);
    struct sl_path_params p = {
        .anchors = &anchors, .peer = &in.der, .peer_n = 1, .now_utc_s = TEST_NOW
    };
    ck_ok(sl_path_build(&path, &p, &err), &err);
    sl_path_clear(&path);
    p.peer = &out.der;
    ck_rc(sl_path_build(&path, &p, &err), SL_CERT_INVALID, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "RFC 3779"));
    sl_certs_clear(&anchors);
}
END_TEST

START_TEST(inner_and_outer_algorithm_must_agree)
{
    struct test_cert leaf =
        test_cert(&(struct test_spec){ .subject = "CN=leaf", .key = "p384", .by = the_root() });
    struct sl_bytes copy = test_keep(leaf.der);
    uint8_t *p = (uint8_t *)(uintptr_t)copy.p;
    /* ecdsa-with-SHA256 (1.2.840.10045.4.3.2): the last of its two places becomes SHA384 (.3) */
    static const uint8_t oid[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
    size_t last = 0;
    for (size_t i = 0; i + sizeof(oid) <= copy.len; i++)
        if (memcmp(p + i, oid, sizeof(oid)) == 0)
            last = i;
    ck_assert_uint_gt(last, 0);
    p[last + sizeof(oid) - 1] = 3;
    struct sl_certs anchors = { 0 };
    struct sl_path path = { 0 };
    ck_ok(sl_certs_load(&anchors, the_root()->der, "root", &err), &err);
    struct sl_path_params params = {
        .anchors = &anchors, .peer = &copy, .peer_n = 1, .now_utc_s = TEST_NOW
    };
    ck_rc(sl_path_build(&path, &params, &err), SL_CERT_MALFORMED, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "4.1.1.2"));
    sl_certs_clear(&anchors);
}
END_TEST

SL_TESTS(path_rules, SL_CASE(name_constraints_of_every_type_hold),
         SL_CASE(directory_name_constraints_hold),
         SL_CASE(malformed_name_constraints_refuse_the_ca),
         SL_CASE(too_many_names_are_refused_and_not_compared),
         SL_CASE(form_of_a_certificate_is_checked), SL_CASE(empty_names_are_refused),
         SL_CASE(serial_numbers_are_a_matter_of_the_strict_profile),
         SL_CASE(issuers_are_held_to_the_profile), SL_CASE(version_1_is_a_ca_only_as_an_anchor),
         SL_CASE(use_of_a_ca_limits_a_demanded_use), SL_CASE(strict_root_names_its_own_key_or_none),
         SL_CASE(policies_are_mapped_and_constrained), SL_CASE(mappings_that_multiply_cost_little),
         SL_CASE(resources_must_be_held_above), SL_CASE(inner_and_outer_algorithm_must_agree))
