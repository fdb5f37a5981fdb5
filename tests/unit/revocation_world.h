/* A gateway that decides, with servers of CRLs and OCSP: for test_revocation.c and test_revocation_ocsp.c. */
#ifndef TEST_REVOCATION_WORLD_H
#define TEST_REVOCATION_WORLD_H

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

static inline struct server *serve(const char *uri, enum mood mood, struct sl_bytes body)
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

static inline struct server *server_of(const char *uri)
{
    for (size_t i = 0; i < w.server_n; i++)
        if (!strncmp(uri, w.server[i].uri, strlen(w.server[i].uri)))
            return &w.server[i];
    ck_abort_msg("%s was asked for, and nothing is there", uri);
    return NULL;
}

static inline void boot(void)
{
    ck_ok(sl_decider_new(&w.d, &w.config, &w.rng, &err), &err);
    ck_ok(sl_decider_anchors(w.d, "lab", w.ca.der, "ca.pem", &err), &err);
    ck_ok(sl_decider_anchors(w.d, "other", w.ca2.der, "ca2.pem", &err), &err);
    (void)sl_decider_changed(w.d);
}

static inline void setup(void)
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

static inline void finish(void)
{
    sl_decider_free(w.d);
    w.d = NULL;
}

static inline void pass(int64_t ms)
{
    w.now.mono_ns += ms * SL_NS_PER_MS;
    w.now.utc_s = TEST_NOW + (w.now.mono_ns / SL_NS_PER_S - 1000);
    sl_decider_tick(w.d, w.now);
}

static inline struct sl_decision_ask ask_for(const struct test_cert *c)
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
static inline bool asks_sha256(const struct sl_question *q)
{
    static const uint8_t oid[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01 };
    return q->body.len && memmem(q->body.p, q->body.len, oid, sizeof(oid)) != NULL;
}

static inline void answer(void)
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

static inline struct sl_decision *decide(const struct sl_decision_ask *ask)
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
static inline void expect_(const struct sl_decision_ask *ask, enum sl_rc want, const char *words,
                           int line)
{
    SL_AUTO(sl_decision) *x = decide(ask);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == want && strstr(v->text, words),
                  "line %d: got %s, want %s with \"%s\": %s", line, sl_rc_name(v->rc),
                  sl_rc_name(want), words, v->text);
}

static inline struct test_cert leaf(const char *ext)
{
    return test_cert(
        &(struct test_spec){ .subject = "CN=gw-a", .by = &w.ca, .serial = 77, .ext = ext });
}
#define LEAF_HEX "4d"

static inline struct sl_bytes crl(const struct der_crl *spec)
{
    struct der_crl s = *spec;
    if (!s.by)
        s.by = &w.ca;
    return der_crl(&s);
}

static inline struct sl_bytes good_crl(void)
{
    return crl(&(struct der_crl){ .number = 5 });
}

static inline struct sl_bytes revoking(long number)
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

static inline DIST_POINT *make_point(const struct point *p)
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
static inline const char *with_points(const struct point *p, size_t n)
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

#endif
