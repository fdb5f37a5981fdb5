/*
 * Revocation in a decision, by points: alternatives and sums of reasons, deltas, indirect CRLs,
 * delegated and configured responders, the order of sources, what is fetched and how often.
 */
#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/crypto.h"
#include "sealane/decision.h"
#include "sealane/time.h"
#include "tests/support/certs.h"
#include "tests/support/crl_der.h"
#include "tests/support/support.h"

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

static struct sl_err err;

#define CRL1  "http://crl.example/1.crl"
#define CRL2  "http://crl.example/2.crl"
#define DELTA "http://crl.example/delta.crl"
#define OCSP  "http://ocsp.example"
#define OWN   "http://own.example/ocsp"
#define CERT  "http://ca.example/sub.crt"
#define SAN   "subjectAltName=DNS:gw-a.example\n"
#define CDP   "crlDistributionPoints=URI:" CRL1 "\n"
#define AIA   "authorityInfoAccess=OCSP;URI:" OCSP "\n"

#define INDIRECT "[idp]\nindirectCRL=TRUE\n"

/* ---- a world of servers ---------------------------------------------------------------------------- */
enum mood { DEAD, SERVES, SILENT, NO_GET };
struct server {
    const char *uri; /* or how it begins, with OCSP */
    enum mood mood;
    struct sl_bytes body,
        body_sha256; /* OCSP with a SHA-256 certID: the latter, when it is there */
    const char *etag;
    unsigned asked, gets, posts, unchanged;
};
struct world {
    struct sl_conf_trust trust[2];
    struct sl_conf_rule rule;
    struct sl_conf_connection conn[2];
    struct sl_config config;
    struct sl_rng_seeded seed;
    struct sl_rng rng;
    struct sl_decider *d;
    struct sl_now now;
    struct test_cert ca, ca2;
    struct server server[10];
    size_t server_n;
};
static struct world w;
static char empty[] = "", lab[] = "lab", other[] = "other", site[] = "site", site2[] = "site2",
            everyone[] = "everyone";

static struct server *serve(const char *uri, enum mood mood, struct sl_bytes body)
{
    for (size_t i = 0; i < w.server_n; i++)
        if (!strcmp(w.server[i].uri, uri)) {
            w.server[i].mood = mood;
            w.server[i].body = body;
            return &w.server[i];
        }
    ck_assert_uint_lt(w.server_n, SL_ARRAY_LEN(w.server));
    w.server[w.server_n] = (struct server){ .uri = uri, .mood = mood, .body = body };
    return &w.server[w.server_n++];
}

static struct server *server_of(const char *uri)
{
    for (size_t i = 0; i < w.server_n; i++)
        if (!strncmp(uri, w.server[i].uri, strlen(w.server[i].uri)))
            return &w.server[i];
    ck_abort_msg("%s was asked for, and nothing is there", uri);
    return NULL;
}

static void boot(void)
{
    ck_ok(sl_decider_new(&w.d, &w.config, &w.rng, &err), &err);
    ck_ok(sl_decider_anchors(w.d, "lab", w.ca.der, "ca.pem", &err), &err);
    ck_ok(sl_decider_anchors(w.d, "other", w.ca2.der, "ca2.pem", &err), &err);
    (void)sl_decider_changed(w.d);
}

static void setup(void)
{
    memset(&w, 0, sizeof(w));
    for (size_t i = 0; i < 2; i++) {
        w.trust[i] = (struct sl_conf_trust){ .name = i ? other : lab,
                                             .revocation = SL_REVOCATION_HARD,
                                             .grace_s = 3600,
                                             .deadline_ms = 4000,
                                             .ocsp = true,
                                             .crl = true,
                                             .min_rsa_bits = 2048,
                                             .responder = empty,
                                             .responder_cert = empty,
                                             .crl_dir = empty };
        w.conn[i] = (struct sl_conf_connection){ .name = i ? site2 : site,
                                                 .auth = SL_METHOD_CERT,
                                                 .identity = empty,
                                                 .psk = empty,
                                                 .trust = i ? other : lab,
                                                 .directory = empty };
    }
    w.rule = (struct sl_conf_rule){ .name = everyone, .accept = true, .grant_tag = empty };
    w.config = (struct sl_config){ .file = empty,
                                   .trust = w.trust,
                                   .trust_n = 2,
                                   .rule = &w.rule,
                                   .rule_n = 1,
                                   .connection = w.conn,
                                   .connection_n = 2 };
    sl_rng_seeded_init(&w.seed, 1);
    w.rng = sl_rng_seeded(&w.seed);
    w.now = (struct sl_now){ .mono_ns = 1000 * SL_NS_PER_S, .utc_s = TEST_NOW };
    w.ca = test_cert(&(struct test_spec){ .subject = "CN=Lab CA", .ca = true });
    w.ca2 = test_cert(&(struct test_spec){ .subject = "CN=Other CA", .ca = true });
    boot();
}

static void finish(void)
{
    sl_decider_free(w.d);
    w.d = NULL;
}

static void pass(int64_t ms)
{
    w.now.mono_ns += ms * SL_NS_PER_MS;
    w.now.utc_s = TEST_NOW + (w.now.mono_ns / SL_NS_PER_S - 1000);
    sl_decider_tick(w.d, w.now);
}

static struct sl_decision_ask ask_for(const struct test_cert *c)
{
    struct sl_decision_ask a = { .connection = "site",
                                 .possession = SL_POSSESSION_SIGNATURE,
                                 .sig = SL_SIG_ECDSA_SHA256 };
    uint8_t sig[256];
    size_t n = sizeof(sig);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ck_ok(sl_id_parse(&a.id, "dns:gw-a.example", &err), &err);
    a.octets = sl_str("the signed octets");
    ck_assert(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, c->key) == 1 &&
              EVP_DigestSign(md, sig, &n, a.octets.p, a.octets.len) == 1);
    EVP_MD_CTX_free(md);
    a.auth = test_keep(sl_bytes(sig, n));
    a.cert[0] = c->der;
    a.cert_n = 1;
    return a;
}

/* Is the certID of this request made with SHA-256? Its OID stands in it. */
static bool asks_sha256(const struct sl_question *q)
{
    static const uint8_t oid[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01 };
    return q->body.len && memmem(q->body.p, q->body.len, oid, sizeof(oid)) != NULL;
}

static void answer(void)
{
    struct sl_question q;
    while (sl_decider_next(w.d, &q)) {
        ck_assert_int_eq(q.type, SL_ASK_FETCH);
        ck_assert_int_le(q.timeout_ms, 4000);
        struct server *s = server_of(q.uri);
        s->asked++;
        s->gets += !q.content_type;
        s->posts += q.content_type != NULL;
        struct sl_bytes none = { 0 }, body = s->body;
        if (s->body_sha256.len && asks_sha256(&q))
            body = s->body_sha256;
        if (s->mood == SILENT)
            continue;
        if (s->mood == DEAD) {
            sl_decider_answer_fetch(w.d, q.id, SL_UNAVAILABLE, "connection refused", none, w.now);
        } else if (s->mood == NO_GET && !q.content_type) {
            sl_decider_answer_fetch(w.d, q.id, SL_UNSUPPORTED, "HTTP status 405", none, w.now);
        } else if (s->etag && q.etag && !strcmp(s->etag, q.etag)) {
            s->unchanged++;
            sl_decider_answer_unchanged(w.d, q.id, w.now);
        } else {
            if (s->etag)
                sl_decider_answer_version(w.d, q.id, s->etag, "");
            sl_decider_answer_fetch(w.d, q.id, SL_OK, "", body, w.now);
        }
    }
}

static struct sl_decision *decide(const struct sl_decision_ask *ask)
{
    struct sl_decision *x = NULL;
    ck_ok(sl_decider_start(w.d, ask, w.now, NULL, NULL, &err), &err);
    for (unsigned i = 0; i < 200 && !x; i++) {
        answer();
        x = sl_decider_finished(w.d);
        if (!x)
            pass(100);
    }
    ck_assert_msg(x != NULL, "no verdict after 20 s");
    struct sl_buf story = { 0 };
    ck_assert(sl_decision_story(&story, sl_decision_evidence(x)) && sl_buf_nul(&story));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, sl_decision_verdict(x)->text));
    sl_buf_clear(&story);
    return x;
}

#define expect(ask, want, words) expect_(ask, want, words, __LINE__)
static void expect_(const struct sl_decision_ask *ask, enum sl_rc want, const char *words, int line)
{
    SL_AUTO(sl_decision) *x = decide(ask);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == want && strstr(v->text, words),
                  "line %d: got %s, want %s with \"%s\": %s", line, sl_rc_name(v->rc),
                  sl_rc_name(want), words, v->text);
}

static struct test_cert leaf(const char *ext)
{
    return test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w.ca, .serial = 77, .ext = ext });
}
#define LEAF_HEX "4d"

static struct sl_bytes crl(const struct der_crl *spec)
{
    struct der_crl s = *spec;
    if (!s.by)
        s.by = &w.ca;
    return der_crl(&s);
}

static struct sl_bytes good_crl(void)
{
    return crl(&(struct der_crl){ .number = 5 });
}

static struct sl_bytes revoking(long number)
{
    static const struct der_entry e = { .serial = LEAF_HEX, .reason = 1 };
    return crl(&(struct der_crl){ .number = number, .entry = &e, .entry_n = 1 });
}

/* ---- distribution points that libcrypto's syntax cannot say ------------------------------------------- */
struct point {
    const char *uri[2];
    int reason;  /* bit of ReasonFlags; 0: none */
    bool others; /* all the others instead */
    const struct test_cert *issuer;
};

static DIST_POINT *make_point(const struct point *p)
{
    DIST_POINT *dp = DIST_POINT_new();
    dp->distpoint = DIST_POINT_NAME_new();
    dp->distpoint->type = 0;
    dp->distpoint->name.fullname = GENERAL_NAMES_new();
    for (size_t i = 0; i < 2 && p->uri[i]; i++) {
        GENERAL_NAME *n = GENERAL_NAME_new();
        ASN1_IA5STRING *s = ASN1_IA5STRING_new();
        ck_assert(ASN1_STRING_set(s, p->uri[i], -1));
        GENERAL_NAME_set0_value(n, GEN_URI, s);
        ck_assert(sk_GENERAL_NAME_push(dp->distpoint->name.fullname, n));
    }
    if (p->reason) {
        dp->reasons = ASN1_BIT_STRING_new();
        for (int b = 1; b <= 8; b++)
            if ((b == p->reason) != p->others)
                ck_assert(ASN1_BIT_STRING_set_bit(dp->reasons, b, 1));
    }
    if (p->issuer) {
        GENERAL_NAME *n = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(n, GEN_DIRNAME, X509_NAME_dup(X509_get_subject_name(p->issuer->x)));
        dp->CRLissuer = GENERAL_NAMES_new();
        ck_assert(sk_GENERAL_NAME_push(dp->CRLissuer, n));
    }
    return dp;
}

/* "crlDistributionPoints=DER:.." with SAN in front. */
static const char *with_points(const struct point *p, size_t n)
{
    static char text[4096];
    CRL_DIST_POINTS *all = CRL_DIST_POINTS_new();
    unsigned char *der = NULL;
    for (size_t i = 0; i < n; i++)
        ck_assert(sk_DIST_POINT_push(all, make_point(&p[i])));
    int len = i2d_CRL_DIST_POINTS(all, &der);
    ck_assert(len > 0 && (size_t)len * 3 + 64 < sizeof(text));
    size_t at = (size_t)snprintf(text, sizeof(text), SAN "crlDistributionPoints=DER");
    for (int i = 0; i < len; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, ":%02x", der[i]);
    snprintf(text + at, sizeof(text) - at, "\n");
    OPENSSL_free(der);
    CRL_DIST_POINTS_free(all);
    return text;
}

/* ---- CRLs ---------------------------------------------------------------------------------------------- */
START_TEST(uris_of_a_point_are_alternatives)
{
    setup();
    struct test_cert c = leaf(with_points(&(struct point){ .uri = { CRL1, CRL2 } }, 1));
    struct sl_decision_ask a = ask_for(&c);
    struct server *first = serve(CRL1, DEAD, (struct sl_bytes){ 0 }),
                  *second = serve(CRL2, SERVES, good_crl());
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(first->asked, 1);
    ck_assert_uint_eq(second->asked, 1);
    /* the first one that answers is enough */
    finish();
    boot();
    first->mood = SERVES;
    first->body = good_crl();
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(second->asked, 1);
    finish();
}
END_TEST

START_TEST(points_add_up_until_all_reasons_are_covered)
{
    setup();
    const struct point points[] = { { .uri = { CRL1 }, .reason = 1 },
                                    { .uri = { CRL2 }, .reason = 1, .others = true } };
    struct test_cert c = leaf(with_points(points, 2));
    struct sl_decision_ask a = ask_for(&c);
    static const char some[] = "[idp]\nfullname=URI:" CRL1 "\nonlysomereasons=keyCompromise\n",
                      rest[] = "[idp]\nfullname=URI:" CRL2
                               "\nonlysomereasons=CACompromise,affiliationChanged,superseded,"
                               "cessationOfOperation,certificateHold,privilegeWithdrawn,"
                               "AACompromise\n";
    serve(CRL1, SERVES, crl(&(struct der_crl){ .idp = some }));
    struct server *second = serve(CRL2, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOCATION_UNAVAILABLE, CRL2);
    pass(3000);
    serve(CRL2, SERVES, crl(&(struct der_crl){ .idp = rest }));
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(second->asked, 2);
    /* and either may revoke */
    static const struct der_entry e = { .serial = LEAF_HEX, .reason = 4 };
    pass(3600 * 1000);
    serve(CRL2, SERVES,
          crl(&(struct der_crl){ .number = 6, .idp = rest, .entry = &e, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    expect(&a, SL_REVOKED, "superseded");
    finish();
}
END_TEST

START_TEST(delta_is_fetched_and_combined)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry e = { .serial = LEAF_HEX, .reason = 1 };
    serve(CRL1, SERVES, crl(&(struct der_crl){ .number = 5, .freshest = DELTA }));
    struct server *delta = serve(DELTA, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_OK, ""); /* the complete list counts alone */
    ck_assert_uint_eq(delta->asked, 1);
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(delta->asked, 1); /* failed, and not asked again so soon */
    pass(3000);
    serve(DELTA, SERVES,
          crl(&(struct der_crl){ .number = 6, .base = 5, .entry = &e, .entry_n = 1 }));
    SL_AUTO(sl_decision) *x = decide(&a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOKED);
    ck_assert_ptr_nonnull(strstr(sl_decision_verdict(x)->text, "with delta " DELTA));
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    /* it outlives a restart with every server dead */
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w.d, &saved, &err), &err);
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&saved), w.now, &err), &err);
    serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    serve(DELTA, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOKED, "with delta");
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    sl_buf_clear(&saved);
    finish();
}
END_TEST

START_TEST(indirect_crl_needs_its_issuers_certificate_and_path)
{
    setup();
    struct test_cert issuer = test_cert(
        &(struct test_spec){ .subject = "CN=Lists", .by = &w.ca, .ext = "keyUsage=cRLSign\n" });
    struct test_cert fake = test_cert(
        &(struct test_spec){ .subject = "CN=Lists", .by = &w.ca2, .ext = "keyUsage=cRLSign\n" });
    struct test_cert c =
        leaf(with_points(&(struct point){ .uri = { CRL1 }, .issuer = &issuer }, 1));
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry good[] = { { .serial = "01", .issuer = "CN=Lab CA" } },
                                  bad[] = { { .serial = LEAF_HEX, .issuer = "CN=Lab CA" } };
    serve(CRL1, SERVES,
          crl(&(struct der_crl){ .by = &issuer, .idp = INDIRECT, .entry = good, .entry_n = 1 }));
    expect(&a, SL_REVOCATION_INVALID, "CN=Lists");
    /* another's certificate of that name, to another anchor */
    a.cert[1] = fake.der;
    a.cert_n = 2;
    expect(&a, SL_REVOCATION_INVALID, "CN=Lists");
    a.cert[1] = issuer.der;
    expect(&a, SL_OK, ""); /* the list is there; it only lacked its signer */
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    /* after a restart with the server dead the signer is known too */
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w.d, &saved, &err), &err);
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&saved), w.now, &err), &err);
    sl_buf_clear(&saved);
    serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    a.cert_n = 1;
    expect(&a, SL_OK, "");
    pass(3000);
    serve(CRL1, SERVES,
          crl(&(struct der_crl){
              .by = &issuer, .number = 2, .idp = INDIRECT, .entry = bad, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert(sl_decider_changed(w.d));
    expect(&a, SL_REVOKED, "CRL " CRL1);
    finish();
}
END_TEST

START_TEST(crl_issuer_falls_under_the_algorithms_of_its_trust_section)
{
    static char sha384[] = "ecdsa-sha384";
    char *names[] = { sha384 };
    static const struct der_entry good[] = { { .serial = "01", .issuer = "CN=Lab CA" } };
    for (int allowed = 0; allowed < 2; allowed++) {
        setup();
        w.trust[0].signature = (struct sl_conf_strings){ .v = names, .n = 1 };
        struct test_cert issuer = test_cert(&(struct test_spec){ .subject = "CN=Lists",
                                                                 .by = &w.ca,
                                                                 .md = allowed ? "SHA384" : NULL,
                                                                 .ext = "keyUsage=cRLSign\n" });
        const char *ext = with_points(&(struct point){ .uri = { CRL1 }, .issuer = &issuer }, 1);
        struct test_cert c = test_cert(
            &(struct test_spec){ .subject = "CN=gw-a", .by = &w.ca, .md = "SHA384", .ext = ext });
        struct sl_decision_ask a = ask_for(&c);
        a.cert[1] = issuer.der;
        a.cert_n = 2;
        serve(
            CRL1, SERVES,
            crl(&(struct der_crl){ .by = &issuer, .idp = INDIRECT, .entry = good, .entry_n = 1 }));
        expect(&a, allowed ? SL_OK : SL_REVOCATION_INVALID,
               allowed ? "" : "signed with ecdsa-sha256, trust.signature allows ecdsa-sha384");
        finish();
    }
}
END_TEST

START_TEST(crl_issuer_that_is_revoked_does_not_count)
{
    setup();
    struct test_cert issuer = test_cert(&(struct test_spec){
        .subject = "CN=Lists", .by = &w.ca, .serial = 99, .ext = "keyUsage=cRLSign\n" });
    struct test_cert c =
        leaf(with_points(&(struct point){ .uri = { CRL1 }, .issuer = &issuer }, 1));
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry gone[] = { { .serial = "63", .reason = 1 } };
    a.cert[1] = issuer.der;
    a.cert_n = 2;
    serve(CRL1, SERVES, crl(&(struct der_crl){ .by = &issuer, .idp = INDIRECT }));
    /* of certificates for this point's purpose only, so that it does not speak about the leaf */
    ck_ok(sl_decider_crl(w.d, "lab",
                         crl(&(struct der_crl){ .entry = gone,
                                                .entry_n = 1,
                                                .idp = "[idp]\nonlysomereasons=keyCompromise\n" }),
                         "ca.crl", &err),
          &err);
    expect(&a, SL_REVOCATION_INVALID, "revoked");
    finish();
}
END_TEST

START_TEST(two_issuers_that_name_one_uri_cause_one_fetch)
{
    setup();
    struct test_cert sub =
        test_cert(&(struct test_spec){ .subject = "CN=Sub", .by = &w.ca, .ca = true, .ext = CDP });
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &sub, .ext = SAN CDP });
    struct sl_decision_ask a = ask_for(&c);
    a.cert[1] = sub.der;
    a.cert_n = 2;
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &sub }), "sub.crl", &err), &err);
    serve(CRL1, SERVES, good_crl());
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    finish();
}
END_TEST

START_TEST(list_that_is_served_elsewhere_does_not_replace_what_is_known)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    serve(CRL1, SERVES, good_crl());
    expect(&a, SL_OK, "");
    serve(CRL1, SERVES, crl(&(struct der_crl){ .by = &w.ca2, .number = 50 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert_uint_eq(server_of(CRL1)->asked, 2);
    expect(&a, SL_OK, "");
    finish();
}
END_TEST

START_TEST(list_that_is_gone_from_the_directory_counts_no_more)
{
    setup();
    struct test_cert c = leaf(SAN);
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_crl(w.d, "lab", good_crl(), "a.crl", &err), &err);
    expect(&a, SL_OK, "");
    (void)sl_decider_changed(w.d);
    sl_decider_crl_gone(w.d, "lab", "b.crl");
    ck_assert(!sl_decider_changed(w.d));
    sl_decider_crl_gone(w.d, "lab", "a.crl");
    ck_assert(sl_decider_changed(w.d));
    expect(&a, SL_REVOCATION_NONE, "");
    finish();
}
END_TEST

START_TEST(unchanged_list_is_not_sent_again)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    struct server *s = serve(CRL1, SERVES, good_crl());
    s->etag = "\"v1\"";
    expect(&a, SL_OK, "");
    (void)sl_decider_changed(w.d);
    sl_decider_refresh(w.d, w.now);
    (void)sl_decider_changed(w.d);
    answer();
    ck_assert_uint_eq(s->unchanged, 1);
    ck_assert(!sl_decider_changed(w.d));
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 2);
    s->body = revoking(6);
    s->etag = "\"v2\"";
    sl_decider_refresh(w.d, w.now);
    answer();
    expect(&a, SL_REVOKED, "");
    ck_assert_uint_eq(s->unchanged, 1);
    finish();
}
END_TEST

START_TEST(large_list_is_saved_in_a_file_of_its_own)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    struct sl_buf raw = { 0 }, apart = { 0 }, small = { 0 };
    char name[SL_CACHE_NAME];
    for (unsigned i = 0; i < 3000; i++) {
        char serial[16];
        snprintf(serial, sizeof(serial), "01%06x", i);
        der_put_entry(&raw, &(struct der_entry){ .serial = serial });
    }
    serve(CRL1, SERVES, crl(&(struct der_crl){ .raw = sl_buf_bytes(&raw) }));
    expect(&a, SL_OK, "");
    ck_ok(sl_decider_save(w.d, &small, &err), &err);
    ck_assert_uint_lt(small.len, 1000);
    ck_assert(sl_decider_save_next(w.d, name, &apart));
    ck_assert_uint_gt(apart.len, 65536);
    ck_assert_uint_eq(strlen(name), 36);
    small.len = 0;
    ck_assert(!sl_decider_save_next(w.d, name, &small)); /* not again, as it has not changed */
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&apart), w.now, &err), &err);
    serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    ck_assert(!sl_decider_save_next(w.d, name, &small));
    sl_buf_clear(&raw);
    sl_buf_clear(&apart);
    sl_buf_clear(&small);
    finish();
}
END_TEST

/* ---- OCSP ------------------------------------------------------------------------------------------------ */
static struct sl_bytes ocsp(const struct test_cert *c, int status, const struct test_cert *signer)
{
    return test_ocsp(
        &(struct test_ocsp_spec){ .cert = c, .by = &w.ca, .signer = signer, .status = status });
}
#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

START_TEST(short_requests_go_by_get_and_by_post_where_get_is_not_known)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct sl_decision_ask a = ask_for(&c);
    struct server *s = serve(OCSP, SERVES, ocsp(&c, GOOD, NULL));
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->gets, 1);
    ck_assert_uint_eq(s->posts, 0);
    finish();
    boot();
    s->mood = NO_GET;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->gets, 2);
    ck_assert_uint_eq(s->posts, 1);
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert_uint_eq(s->posts, 2); /* remembered */
    ck_assert_uint_eq(s->gets, 2);
    finish();
    boot();
    w.trust[0].ocsp_nonce = true;
    expect(&a, SL_REVOCATION_INVALID, "nonce");
    ck_assert_uint_eq(s->gets, 2);
    finish();
}
END_TEST

START_TEST(the_other_hash_is_tried_once_and_remembered)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct sl_decision_ask a = ask_for(&c);
    struct server *s =
        serve(OCSP, NO_GET,
              test_ocsp(&(struct test_ocsp_spec){ .cert = &c, .by = &w.ca, .response_status = 6 }));
    s->body_sha256 = test_ocsp(
        &(struct test_ocsp_spec){ .cert = &c, .by = &w.ca, .status = GOOD, .sha256 = true });
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->posts, 2);
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert_uint_eq(s->posts, 3);
    /* neither: what is told is that it does not know it, which no grace covers */
    finish();
    boot();
    w.trust[0].revocation = SL_REVOCATION_GRACE;
    s->body_sha256 = s->body;
    s->body = ocsp(&c, UNKNOWN, NULL);
    expect(&a, SL_REVOCATION_UNKNOWN, "");
    expect(&a, SL_REVOCATION_UNKNOWN, "");
    ck_assert_uint_eq(s->posts, 5);
    finish();
}
END_TEST

START_TEST(delegate_is_looked_up_by_crl)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct test_cert delegate =
        test_cert(&(struct test_spec){ .subject = "CN=Responder",
                                       .by = &w.ca,
                                       .serial = 88,
                                       .ext = "extendedKeyUsage=OCSPSigning\n" CDP });
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry e = { .serial = "58", .reason = 1 };
    serve(OCSP, SERVES, ocsp(&c, GOOD, &delegate));
    struct server *s = serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOCATION_UNAVAILABLE, "responder's certificate");
    ck_assert_uint_eq(s->asked, 1);
    pass(3000);
    serve(CRL1, SERVES, good_crl());
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 2);
    ck_assert_uint_eq(server_of(OCSP)->asked, 1);
    serve(CRL1, SERVES, crl(&(struct der_crl){ .number = 6, .entry = &e, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    expect(&a, SL_REVOCATION_INVALID, "responder's certificate CN=Responder");
    finish();
}
END_TEST

static char own[] = OWN;

START_TEST(configured_responder_is_asked_first_and_trusted)
{
    setup();
    struct test_cert c = leaf(SAN AIA);
    struct test_cert responder = test_cert(&(struct test_spec){ .subject = "CN=Central" });
    struct sl_decision_ask a = ask_for(&c);
    w.trust[0].responder = own;
    struct server *s = serve(OWN, SERVES, ocsp(&c, GOOD, &responder)),
                  *named = serve(OCSP, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOCATION_INVALID, OWN); /* its certificate is not configured */
    finish();
    boot();
    unsigned before = named->asked;
    ck_ok(sl_decider_responder(w.d, "lab", responder.der, "responder.pem", &err), &err);
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 2);
    ck_assert_uint_eq(named->asked, before);
    /* a cache from then is no good once it is not configured any more */
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w.d, &saved, &err), &err);
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&saved), w.now, &err), &err);
    s->mood = DEAD;
    expect(&a, SL_REVOCATION_UNAVAILABLE, "");
    sl_buf_clear(&saved);
    finish();
}
END_TEST

START_TEST(unknown_is_an_answer_unless_the_crl_may_have_a_say)
{
    setup();
    struct test_cert c = leaf(SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c);
    serve(OCSP, SERVES, ocsp(&c, UNKNOWN, NULL));
    struct server *list = serve(CRL1, SERVES, good_crl());
    expect(&a, SL_REVOCATION_UNKNOWN, "CN=gw-a");
    ck_assert_uint_eq(list->asked, 0);
    w.trust[0].unknown_to_crl = true;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(list->asked, 1);
    pass(90 * 1000 * 1000);
    list->mood = DEAD;
    expect(&a, SL_REVOCATION_UNKNOWN, "");
    finish();
}
END_TEST

START_TEST(must_staple_is_honoured_when_asked_for)
{
    setup();
    struct test_cert c = leaf(SAN AIA "tlsfeature=status_request\n");
    struct sl_decision_ask a = ask_for(&c);
    struct server *s = serve(OCSP, SERVES, ocsp(&c, GOOD, NULL));
    w.trust[0].must_staple = true;
    expect(&a, SL_REVOCATION_NOT_STAPLED, "RFC 7633");
    ck_assert_uint_eq(s->asked, 0);
    a.ocsp[0] = ocsp(&c, GOOD, NULL);
    a.ocsp_n = 1;
    expect(&a, SL_OK, "");
    a.ocsp_n = 0; /* it is in the cache now */
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 0);
    finish();
    boot();
    w.trust[0].must_staple = false;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 1);
    finish();
}
END_TEST

START_TEST(order_of_sources_is_the_configurations)
{
    setup();
    struct test_cert c = leaf(SAN AIA CDP);
    struct sl_decision_ask a = ask_for(&c);
    static char crl_word[] = "crl", ocsp_word[] = "ocsp", *order[] = { crl_word, ocsp_word };
    struct server *s = serve(OCSP, SERVES, ocsp(&c, GOOD, NULL)),
                  *list = serve(CRL1, SERVES, good_crl());
    w.trust[0].order = (struct sl_conf_strings){ .v = order, .n = 2 };
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 0);
    ck_assert_uint_eq(list->asked, 1);
    /* a staple is no source now, and yet: what is revoked stays revoked */
    a.ocsp[0] = ocsp(&c, REVOKED, NULL);
    a.ocsp_n = 1;
    expect(&a, SL_REVOKED, "");
    a.ocsp_n = 0;
    finish();
    boot();
    list->mood = DEAD;
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 1);
    finish();
}
END_TEST

/* ---- paths ------------------------------------------------------------------------------------------------ */
START_TEST(another_path_is_tried_when_revocation_refuses_the_first)
{
    setup();
    ck_ok(sl_decider_anchors(w.d, "lab", w.ca2.der, "ca2.pem", &err), &err);
    struct test_cert one = test_cert(&(struct test_spec){
        .subject = "CN=Sub", .by = &w.ca, .serial = 41, .ca = true, .ext = CDP });
    struct test_cert two =
        test_cert(&(struct test_spec){ .subject = "CN=Sub",
                                       .by = &w.ca2,
                                       .serial = 42,
                                       .same_key = &one,
                                       .ca = true,
                                       .ext = "crlDistributionPoints=URI:" CRL2 "\n" });
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &one, .ext = SAN });
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &one }), "sub.crl", &err), &err);
    struct sl_decision_ask a = ask_for(&c);
    a.cert[1] = one.der;
    a.cert[2] = two.der;
    a.cert_n = 3;
    static const struct der_entry e1 = { .serial = "29", .reason = 2 },
                                  e2 = { .serial = "2a", .reason = 2 };
    serve(CRL1, SERVES, crl(&(struct der_crl){ .entry = &e1, .entry_n = 1 }));
    serve(CRL2, SERVES, crl(&(struct der_crl){ .by = &w.ca2 }));
    struct sl_decision *x = decide(&a);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    const json_t *path = json_object_get(sl_decision_evidence(x), "path");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(path, 2), "subject")),
                     "CN=Other CA");
    sl_decision_free(x);
    /* and with both revoked the first one is told, and both are in the story */
    serve(CRL2, SERVES,
          crl(&(struct der_crl){ .by = &w.ca2, .number = 2, .entry = &e2, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    x = decide(&a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOKED);
    const json_t *cand = json_object_get(sl_decision_evidence(x), "candidates");
    unsigned revoked = 0;
    for (size_t i = 0; i < json_array_size(cand); i++)
        revoked += !strcmp(json_string_value(json_object_get(json_array_get(cand, i), "reason")),
                           "REVOKED");
    ck_assert_uint_eq(revoked, 2);
    SL_AUTO_BUF story = { 0 };
    ck_assert(sl_decision_story(&story, sl_decision_evidence(x)) && sl_buf_nul(&story));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, "candidate    CN=gw-a"));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, "(serial 2a) < CN=Other CA"));
    ck_assert_str_eq(sl_decision_verdict(x)->subject, "CN=gw-a");
    sl_decision_free(x);
    finish();
}
END_TEST

static struct test_cert sub_ca(void)
{
    return test_cert(
        &(struct test_spec){ .subject = "CN=Sub", .by = &w.ca, .ca = true, .ext = CDP });
}

START_TEST(missing_issuer_is_fetched_when_allowed_and_once)
{
    setup();
    struct test_cert sub = sub_ca();
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a",
                                       .by = &sub,
                                       .ext = SAN "authorityInfoAccess=caIssuers;URI:" CERT "\n" });
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &sub }), "sub.crl", &err), &err);
    serve(CRL1, SERVES, good_crl());
    struct server *s = serve(CERT, SERVES, sub.der);
    expect(&a, SL_CERT_UNKNOWN_CA, "");
    ck_assert_uint_eq(s->asked, 0); /* off by default */
    w.trust[0].aia = true;
    for (unsigned i = 0; i < 20; i++)
        ck_ok(sl_decider_start(w.d, &a, w.now, NULL, NULL, &err), &err);
    answer();
    for (unsigned i = 0; i < 20; i++) {
        SL_AUTO(sl_decision) *x = sl_decider_finished(w.d);
        ck_assert_ptr_nonnull(x);
        ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    }
    ck_assert_uint_eq(s->asked, 1);
    finish();
    boot();
    s->mood = SILENT;
    int64_t began = w.now.mono_ns;
    expect(&a, SL_CERT_UNKNOWN_CA, "");
    ck_assert_int_le(w.now.mono_ns - began, 2100 * SL_NS_PER_MS);
    finish();
}
END_TEST

START_TEST(configured_uri_of_certificates_is_fetched_when_an_issuer_is_missing)
{
    setup();
    static char uri[] = CERT, *uris[] = { uri };
    w.trust[0].intermediate_uris = (struct sl_conf_strings){ .v = uris, .n = 1 };
    struct test_cert sub = sub_ca();
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &sub, .ext = SAN });
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &sub }), "sub.crl", &err), &err);
    serve(CRL1, SERVES, good_crl());
    struct server *s = serve(CERT, SERVES, test_pem(&sub));
    expect(&a, SL_OK, "");
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 1);
    pass(3700 * 1000);
    answer();
    ck_assert_uint_eq(s->asked, 2); /* kept up to date */
    finish();
}
END_TEST

/* ---- many at once, and what is told --------------------------------------------------------------------- */
static void start_peer(long serial, const char *ext)
{
    struct test_cert c = test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w.ca, .serial = serial, .ext = ext });
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_start(w.d, &a, w.now, NULL, NULL, &err), &err);
}

/* The first request finds out that the responder answers; then the others go, also those held. */
START_TEST(responder_that_answers_is_asked_by_everybody)
{
    setup();
    struct server *responder = serve(OCSP, SILENT, (struct sl_bytes){ 0 });
    for (unsigned i = 0; i < 40; i++)
        start_peer(2000 + i, SAN AIA);
    struct sl_question first, none;
    ck_assert(sl_decider_next(w.d, &first));
    ck_assert(!sl_decider_next(w.d, &none));
    responder->mood = SERVES;
    responder->body = sl_str("no response");
    sl_decider_answer_fetch(w.d, first.id, SL_OK, "", responder->body, w.now);
    answer();
    ck_assert_uint_eq(responder->asked, 39);
    for (unsigned i = 0; i < 40; i++) {
        SL_AUTO(sl_decision) *x = sl_decider_finished(w.d);
        ck_assert_ptr_nonnull(x);
        ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_INVALID);
    }
    /* it falls silent: those who waited for their turn are told together, and nobody asks again */
    responder->mood = DEAD;
    responder->asked = 0;
    for (unsigned i = 0; i < 40; i++)
        start_peer(3000 + i, SAN AIA);
    answer();
    ck_assert_uint_le(responder->asked, 16);
    for (unsigned i = 0; i < 40; i++) {
        SL_AUTO(sl_decision) *x = sl_decider_finished(w.d);
        ck_assert_ptr_nonnull(x);
        ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_UNAVAILABLE);
    }
    unsigned asked = responder->asked;
    start_peer(4000, SAN AIA);
    answer();
    ck_assert_uint_eq(responder->asked, asked);
    sl_decider_refresh(w.d, w.now); /* an operator knows better, and asks at once */
    start_peer(4001, SAN AIA);
    answer();
    ck_assert_uint_gt(responder->asked, asked);
    asked = responder->asked;
    responder->mood = SERVES;
    pass(3000); /* the back-off ends */
    start_peer(4002, SAN AIA);
    answer();
    ck_assert_uint_gt(responder->asked, asked);
    finish();
}
END_TEST

START_TEST(five_hundred_peers_and_dead_servers_cause_one_fetch_for_each_uri)
{
    setup();
    struct test_cert o =
        test_cert(&(struct test_spec){ .subject = "CN=o", .by = &w.ca2, .ext = SAN });
    struct sl_decision_ask b = ask_for(&o);
    snprintf(b.connection, sizeof(b.connection), "site2");
    ck_ok(sl_decider_crl(w.d, "other", crl(&(struct der_crl){ .by = &w.ca2 }), "o.crl", &err),
          &err);
    struct server *responder = serve(OCSP, SILENT, (struct sl_bytes){ 0 }),
                  *list = serve(CRL1, SILENT, (struct sl_bytes){ 0 });
    int64_t began = w.now.mono_ns;
    for (unsigned i = 0; i < 500; i++) /* each with a certificate, and so a request, of its own */
        start_peer(1000 + i, SAN AIA CDP);
    unsigned refused = 0;
    for (unsigned ms = 0; ms <= 4000; ms += 100) {
        answer();
        ck_ok(sl_decider_start(w.d, &b, w.now, &w, NULL, &err), &err);
        bool served = false;
        struct sl_decision *x;
        while ((x = sl_decider_finished(w.d))) {
            if (sl_decision_ctx(x)) {
                served = true; /* at once, at any time of the outage */
                ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_OK);
            } else {
                refused++;
                ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOCATION_UNAVAILABLE);
            }
            sl_decision_free(x);
        }
        ck_assert(served);
        pass(100);
    }
    ck_assert_uint_eq(refused, 500);
    ck_assert_int_le(w.now.mono_ns - began, 4200 * SL_NS_PER_MS);
    ck_assert_uint_eq(responder->asked, 1);
    ck_assert_uint_eq(list->asked, 1);
    finish();
}
END_TEST

START_TEST(status_tells_until_when_peers_of_a_ca_are_let_in)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    serve(CRL1, SERVES, crl(&(struct der_crl){ .to = TEST_NOW + 600 }));
    expect(&a, SL_OK, "");
    w.trust[0].revocation = SL_REVOCATION_GRACE;
    json_t *all = sl_decider_status(w.d, w.now);
    const json_t *trust = json_array_get(json_object_get(all, "trust"), 0),
                 *ca = json_array_get(json_object_get(trust, "cas"), 0),
                 *source = json_array_get(json_object_get(ca, "sources"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(ca, "ca")), "CN=Lab CA");
    ck_assert_int_eq(json_integer_value(json_object_get(ca, "seconds_until_refused")),
                     600 + 3600 + 1);
    ck_assert_str_eq(json_string_value(json_object_get(source, "uri")), CRL1);
    ck_assert_int_eq(json_integer_value(json_object_get(source, "age_s")), 3600);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_array_get(json_object_get(all, "trust"), 1), "cas")),
        0);
    json_decref(all);
    w.trust[0].revocation = SL_REVOCATION_HARD;
    pass(601 * 1000);
    all = sl_decider_status(w.d, w.now);
    ca =
        json_array_get(json_object_get(json_array_get(json_object_get(all, "trust"), 0), "cas"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(ca, "seconds_until_refused")), 0);
    json_decref(all);
    server_of(CRL1)->mood = DEAD;
    expect(&a, SL_REVOCATION_STALE, "");
    finish();
}
END_TEST

SL_TESTS(revocation, SL_CASE(uris_of_a_point_are_alternatives),
         SL_CASE(points_add_up_until_all_reasons_are_covered),
         SL_CASE(delta_is_fetched_and_combined),
         SL_CASE(indirect_crl_needs_its_issuers_certificate_and_path),
         SL_CASE(crl_issuer_falls_under_the_algorithms_of_its_trust_section),
         SL_CASE(crl_issuer_that_is_revoked_does_not_count),
         SL_CASE(two_issuers_that_name_one_uri_cause_one_fetch),
         SL_CASE(list_that_is_served_elsewhere_does_not_replace_what_is_known),
         SL_CASE(list_that_is_gone_from_the_directory_counts_no_more),
         SL_CASE(unchanged_list_is_not_sent_again),
         SL_CASE(large_list_is_saved_in_a_file_of_its_own),
         SL_CASE(short_requests_go_by_get_and_by_post_where_get_is_not_known),
         SL_CASE(the_other_hash_is_tried_once_and_remembered),
         SL_CASE(delegate_is_looked_up_by_crl),
         SL_CASE(configured_responder_is_asked_first_and_trusted),
         SL_CASE(unknown_is_an_answer_unless_the_crl_may_have_a_say),
         SL_CASE(must_staple_is_honoured_when_asked_for),
         SL_CASE(order_of_sources_is_the_configurations),
         SL_CASE(another_path_is_tried_when_revocation_refuses_the_first),
         SL_CASE(missing_issuer_is_fetched_when_allowed_and_once),
         SL_CASE(configured_uri_of_certificates_is_fetched_when_an_issuer_is_missing),
         SL_CASE(responder_that_answers_is_asked_by_everybody),
         SL_CASE(five_hundred_peers_and_dead_servers_cause_one_fetch_for_each_uri),
         SL_CASE(status_tells_until_when_peers_of_a_ca_are_let_in))
