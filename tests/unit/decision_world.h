/* A gateway that decides, and the servers that it asks: for test_decision.c and test_decision_servers.c. */
#ifndef TEST_DECISION_WORLD_H
#define TEST_DECISION_WORLD_H

#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/crypto.h"
#include "sealane/decision.h"
#include "sealane/directory.h"
#include "sealane/time.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <openssl/ocsp.h>

#include <stdio.h>
#include <string.h>

static struct sl_err err;

#define S(s)     ((char[]){ s })
#define CRL_URI  "http://crl.example/ca.crl"
#define OCSP_URI "http://ocsp.example/"
#define CDP      "crlDistributionPoints=URI:" CRL_URI "\n"
#define AIA      "authorityInfoAccess=OCSP;URI:" OCSP_URI "\n"
#define SAN      "subjectAltName=DNS:gw-a.example\n"

static const char ldif[] = "dn: cn=gw-a,dc=lab\ncn: gw-a.example\nmemberOf: cn=gateways,dc=lab\n\n"
                           "dn: cn=gw-off,dc=lab\ncn: gw-off.example\nstate: disabled\n";

/* One gateway's configuration and decider, and the servers around it. */
struct world {
    struct sl_conf_trust trust[2];
    struct sl_conf_directory dir;
    struct sl_conf_rule rule[2];
    struct sl_conf_connection conn[3];
    struct sl_config config;
    struct sl_rng_seeded seed;
    struct sl_rng rng;
    struct sl_decider *d;
    struct sl_now now;
    struct test_cert ca, ca2;
    char *prefix;

    /* What is served: empty data with SL_OK is never answered. */
    struct sl_bytes crl, ocsp;
    bool dead, silent; /* refuse connections; swallow questions */
    unsigned asked_crl, asked_ocsp, asked_search, asked_psk;
    uint64_t last_id;
    struct sl_entries found;
    enum sl_rc search_rc;
};

static char empty[] = "";

static inline struct sl_conf_trust make_trust(char *name)
{
    return (struct sl_conf_trust){ .name = name,
                                   .revocation = SL_REVOCATION_HARD,
                                   .grace_s = 3600,
                                   .deadline_ms = 5000,
                                   .ocsp = true,
                                   .crl = true,
                                   .min_rsa_bits = 2048 };
}

static inline struct sl_conf_connection make_conn(char *name, char *trust)
{
    return (struct sl_conf_connection){ .name = name,
                                        .auth = SL_METHOD_CERT,
                                        .identity = empty,
                                        .psk = empty,
                                        .trust = trust,
                                        .directory = empty };
}

static inline struct world *setup(void)
{
    static struct world w_;
    struct world *w = &w_;
    memset(w, 0, sizeof(*w));
    w->trust[0] = make_trust(S("lab"));
    w->trust[1] = make_trust(S("other"));
    static char lab[] = "lab", other[] = "other", site[] = "site", site2[] = "site2",
                site3[] = "psk", key[] = "shared", dir[] = "people", filter[] = "(cn=%{id})",
                base[] = "dc=lab", sub[] = "sub", all[] = "everyone", no[] = "no",
                attr[] = "state=disabled";
    w->trust[0].name = lab;
    w->trust[1].name = other;
    w->conn[0] = make_conn(site, lab);
    w->conn[1] = make_conn(site2, other);
    w->conn[2] = make_conn(site3, empty);
    w->conn[2].auth = SL_METHOD_PSK;
    w->conn[2].psk = key;
    w->dir = (struct sl_conf_directory){ .name = dir,
                                         .type = SL_DIRECTORY_LDIF,
                                         .file = empty,
                                         .uri = empty,
                                         .base = base,
                                         .filter = filter,
                                         .scope = sub,
                                         .enabled_filter = empty,
                                         .disabled_attr = attr,
                                         .required = true,
                                         .timeout_ms = 2000,
                                         .cache_s = 60 };
    w->rule[0] = (struct sl_conf_rule){ .name = all, .accept = true, .grant_tag = empty };
    w->rule[1] = (struct sl_conf_rule){ .name = no, .grant_tag = empty };
    w->config = (struct sl_config){ .file = empty,
                                    .trust = w->trust,
                                    .trust_n = 2,
                                    .directory = &w->dir,
                                    .directory_n = 1,
                                    .rule = w->rule,
                                    .rule_n = 1,
                                    .connection = w->conn,
                                    .connection_n = 3 };
    sl_rng_seeded_init(&w->seed, 1);
    w->rng = sl_rng_seeded(&w->seed);
    w->now = (struct sl_now){ .mono_ns = 1000 * SL_NS_PER_S, .utc_s = TEST_NOW };
    w->ca = test_cert(&(struct test_spec){ .subject = "CN=Lab CA", .ca = true });
    w->ca2 = test_cert(&(struct test_spec){ .subject = "CN=Other CA", .ca = true });
    return w;
}

static inline void start(struct world *w)
{
    ck_ok(sl_decider_new(&w->d, &w->config, &w->rng, &err), &err);
    ck_ok(sl_decider_anchors(w->d, "lab", w->ca.der, "ca.pem", &err), &err);
    ck_ok(sl_decider_anchors(w->d, "other", w->ca2.der, "ca2.pem", &err), &err);
    ck_ok(sl_decider_ldif(w->d, "people", sl_str(ldif), "people.ldif", &err), &err);
    (void)sl_decider_changed(w->d);
    w->crl = test_crl(&(struct test_crl_spec){ .by = &w->ca, .number = 5 });
}

static inline void finish(struct world *w)
{
    sl_decider_free(w->d);
    sl_entries_clear(&w->found);
}

static inline void pass(struct world *w, int64_t ms)
{
    w->now.mono_ns += ms * SL_NS_PER_MS;
    w->now.utc_s = TEST_NOW + (w->now.mono_ns / SL_NS_PER_S - 1000);
    sl_decider_tick(w->d, w->now);
}

static inline struct test_cert leaf_with(struct world *w, const char *ext)
{
    return test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &w->ca, .ext = ext });
}

static inline struct test_cert leaf(struct world *w)
{
    return leaf_with(w, SAN CDP);
}

/* An ask whose signature is right. */
static inline struct sl_decision_ask ask_for(const struct test_cert *c, const char *id)
{
    struct sl_decision_ask a = { .connection = "site",
                                 .possession = SL_POSSESSION_SIGNATURE,
                                 .sig = SL_SIG_ECDSA_SHA256,
                                 .sa = 9 };
    ck_ok(sl_id_parse(&a.id, id, &err), &err);
    a.octets = sl_str("the signed octets");
    uint8_t sig[256];
    size_t n = sizeof(sig);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, c->key) == 1 &&
              EVP_DigestSign(md, sig, &n, a.octets.p, a.octets.len) == 1);
    EVP_MD_CTX_free(md);
    a.auth = test_keep(sl_bytes(sig, n));
    a.cert[0] = c->der;
    a.cert_n = 1;
    return a;
}

static inline void answer(struct world *w)
{
    struct sl_question q;
    while (sl_decider_next(w->d, &q)) {
        w->last_id = q.id;
        struct sl_bytes body = { 0 };
        switch (q.type) {
        case SL_ASK_FETCH:
            ck_assert_int_le(q.timeout_ms, 5000);
            if (strncmp(q.uri, OCSP_URI, strlen(OCSP_URI)) == 0) {
                w->asked_ocsp++;
                body = w->ocsp;
            } else {
                w->asked_crl++;
                ck_assert(strncmp(q.uri, "http://crl.example/", 19) == 0);
                body = w->crl;
            }
            if (w->silent)
                break;
            if (w->dead || body.len == 0)
                sl_decider_answer_fetch(w->d, q.id, SL_UNAVAILABLE, "connection refused", body,
                                        w->now);
            else
                sl_decider_answer_fetch(w->d, q.id, SL_OK, "", body, w->now);
            break;
        case SL_ASK_SEARCH:
            w->asked_search++;
            ck_assert_str_eq(q.directory, "people");
            if (!w->silent)
                sl_decider_answer_search(w->d, q.id, w->dead ? SL_DIR_UNAVAILABLE : w->search_rc,
                                         w->dead ? "connection refused" : "", &w->found, w->now);
            break;
        case SL_ASK_PSK: {
            uint8_t mac[SL_PRF_MAX];
            w->asked_psk++;
            ck_assert_str_eq(q.psk, "shared");
            ck_ok(sl_prf_psk_auth(q.prf, sl_str("secret"), q.octets, mac, &err), &err);
            if (!w->silent)
                sl_decider_answer_psk(
                    w->d, q.id, w->dead ? SL_KEY_NOT_FOUND : SL_OK,
                    w->dead ? (struct sl_bytes){ 0 } : sl_bytes(mac, sl_prf_len(q.prf)), w->now);
            break;
        }
        }
    }
}

/* Runs one decision to its end, letting time pass while it waits. */
static inline struct sl_decision *decide(struct world *w, const struct sl_decision_ask *ask)
{
    struct sl_decision *x = NULL;
    ck_ok(sl_decider_start(w->d, ask, w->now, w, NULL, &err), &err);
    for (unsigned i = 0; i < 1000; i++) {
        answer(w);
        x = sl_decider_finished(w->d);
        if (x)
            break;
        pass(w, 100);
    }
    ck_assert_msg(x != NULL, "no verdict after 100 s");
    ck_assert_ptr_eq(sl_decision_ctx(x), w);
    const struct sl_verdict *v = sl_decision_verdict(x);
    /* the record says what the verdict says */
    const json_t *e = sl_decision_evidence(x);
    ck_assert_str_eq(json_string_value(json_object_get(e, "reason")), sl_rc_name(v->rc));
    ck_assert_str_eq(json_string_value(json_object_get(e, "text")), v->text);
    ck_assert(v->text[0] != '\0');
    ck_assert_str_eq(json_string_value(json_object_get(e, "verdict")), v->rc == SL_OK ? "accept"
                                                                       : v->rc == SL_AUTH_NOT_ASKED
                                                                           ? "accept-test"
                                                                           : "refuse");
    /* and the story begins with it */
    struct sl_buf story = { 0 };
    ck_assert(sl_decision_story(&story, e) && sl_buf_nul(&story));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, v->text));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, sl_rc_name(v->rc)));
    sl_buf_clear(&story);
    return x;
}

static inline void expect(struct world *w, const struct sl_decision_ask *ask, enum sl_rc want)
{
    SL_AUTO(sl_decision) *x = decide(w, ask);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == want, "got %s, want %s: %s", sl_rc_name(v->rc), sl_rc_name(want),
                  v->text);
}

static inline const char *status_of(const struct sl_decision *x, size_t i)
{
    const json_t *c = json_array_get(json_object_get(sl_decision_evidence(x), "revocation"), i);
    return json_string_value(json_object_get(c, "status"));
}

#endif
