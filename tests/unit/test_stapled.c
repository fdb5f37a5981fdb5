/*
 * OCSP in IKE (RFC 4806) at the decider: our own certificates' responses kept at hand, and what a peer
 * hands over: for each certificate of its path, and whatever a hostile one may send.
 */
#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/crypto.h"
#include "sealane/decision.h"
#include "sealane/time.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>

#include <string.h>

static struct sl_err err;

#define LEAF_URI "http://ocsp.example/leaf"
#define MID_URI  "http://ocsp.example/mid"
#define AIA(uri) "authorityInfoAccess=OCSP;URI:" uri "\n"
#define SAN      "subjectAltName=DNS:gw-a.example\n"
#define DELEGATE "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\nkeyUsage=digitalSignature\n"

/* One connection under one CA, and two responders: of the leaf and of an intermediate. */
static struct {
    struct sl_conf_trust trust;
    struct sl_conf_rule rule;
    struct sl_conf_connection conn;
    struct sl_config config;
    struct sl_rng_seeded seed;
    struct sl_rng rng;
    struct sl_decider *d;
    struct sl_now now;
    struct test_cert ca, mid, leaf;
    struct sl_certs chain;
    struct sl_own *own;
    struct sl_own_status status;
    struct sl_bytes leaf_ocsp, mid_ocsp; /* served; empty: connection refused */
    unsigned asked;
} w;

static void setup(const char *leaf_ext)
{
    static char lab[] = "lab", site[] = "site", all[] = "all", empty[] = "", file[] = "test";
    memset(&w, 0, sizeof(w));
    w.trust = (struct sl_conf_trust){ .name = lab,
                                      .revocation = SL_REVOCATION_HARD,
                                      .deadline_ms = 5000,
                                      .ocsp = true,
                                      .crl = true,
                                      .min_rsa_bits = 2048 };
    w.rule = (struct sl_conf_rule){ .name = all, .accept = true, .grant_tag = empty };
    w.conn = (struct sl_conf_connection){ .name = site,
                                          .auth = SL_METHOD_CERT,
                                          .identity = empty,
                                          .psk = empty,
                                          .trust = lab,
                                          .directory = empty };
    w.config = (struct sl_config){ .file = file,
                                   .trust = &w.trust,
                                   .trust_n = 1,
                                   .rule = &w.rule,
                                   .rule_n = 1,
                                   .connection = &w.conn,
                                   .connection_n = 1 };
    sl_rng_seeded_init(&w.seed, 1);
    w.rng = sl_rng_seeded(&w.seed);
    w.now = (struct sl_now){ .mono_ns = 1000 * SL_NS_PER_S, .utc_s = TEST_NOW };
    w.ca = test_cert(&(struct test_spec){ .subject = "CN=Lab CA", .ca = true });
    w.mid = test_cert(
        &(struct test_spec){ .subject = "CN=Mid", .by = &w.ca, .ca = true, .ext = AIA(MID_URI) });
    w.leaf = test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &w.mid, .ext = leaf_ext });
    ck_ok(sl_decider_new(&w.d, &w.config, &w.rng, &err), &err);
    ck_ok(sl_decider_anchors(w.d, "lab", w.ca.der, "ca.pem", &err), &err);
    ck_ok(sl_certs_load(&w.chain, w.leaf.der, "leaf", &err), &err);
    ck_ok(sl_certs_load(&w.chain, w.mid.der, "mid", &err), &err);
    ck_ok(sl_own_new(&w.own, w.d, "lab", &w.chain, &err), &err);
}

static void finish(void)
{
    sl_own_free(w.own);
    sl_certs_clear(&w.chain);
    sl_decider_free(w.d);
}

static struct sl_bytes ocsp_of(const struct test_cert *cert, const struct test_cert *by, int status)
{
    return test_ocsp(&(struct test_ocsp_spec){ .cert = cert, .by = by, .status = status });
}

static void answer(void)
{
    struct sl_question q;
    while (sl_decider_next(w.d, &q)) {
        ck_assert_int_eq(q.type, SL_ASK_FETCH);
        w.asked++;
        /* with GET the request follows the URI */
        const bool leaf = strncmp(q.uri, LEAF_URI, strlen(LEAF_URI)) == 0;
        ck_assert(leaf || strncmp(q.uri, MID_URI, strlen(MID_URI)) == 0);
        const struct sl_bytes body = leaf ? w.leaf_ocsp : w.mid_ocsp;
        sl_decider_answer_fetch(w.d, q.id, body.len ? SL_OK : SL_UNAVAILABLE,
                                body.len ? "" : "connection refused", body, w.now);
    }
}

/* So much time passes, with a look each second as identity takes it. */
static void pass(int64_t s)
{
    for (int64_t i = 0; i < s; i++) {
        w.now.mono_ns += SL_NS_PER_S;
        w.now.utc_s++;
        sl_decider_tick(w.d, w.now);
        answer();
        sl_own_look(w.own, w.now, &w.status);
        answer();
    }
}

/* ---- our own responses -------------------------------------------------------------------------- */

START_TEST(own_responses_are_fetched_ahead_for_each_certificate)
{
    setup(SAN AIA(LEAF_URI));
    w.leaf_ocsp = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD);
    w.mid_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    sl_own_look(w.own, w.now, &w.status);
    ck_assert_uint_eq(w.status.n, 0); /* nothing is waited for */
    pass(2);
    ck_assert_uint_eq(w.status.n, 2);
    ck_assert_uint_eq(w.asked, 2);
    const struct sl_staple *s = w.status.staple;
    ck_assert_uint_eq(s[0].depth, 0);
    ck_bytes_eq(s[0].response, w.leaf_ocsp);
    ck_assert_uint_eq(s[0].valid_s, TEST_DAY - 2); /* nextUpdate is a day past TEST_NOW */
    ck_bytes_eq(sl_bytes(s[0].responder, 20), sl_cert_key_sha1(w.chain.v[1]));
    ck_assert_uint_eq(s[1].depth, 1);
    ck_bytes_eq(s[1].response, w.mid_ocsp);
    ck_assert_ptr_null(w.status.revoked);
    finish();
}
END_TEST

START_TEST(own_response_of_a_delegate_is_told_by_the_delegates_key)
{
    setup(SAN AIA(LEAF_URI));
    struct test_cert by =
        test_cert(&(struct test_spec){ .subject = "CN=OCSP", .by = &w.mid, .ext = DELEGATE });
    struct sl_certs delegate = { 0 };
    ck_ok(sl_certs_load(&delegate, by.der, "delegate", &err), &err);
    for (int by_key = 0; by_key < 2; by_key++) {
        w.leaf_ocsp = test_ocsp(&(struct test_ocsp_spec){ .cert = &w.leaf,
                                                          .by = &w.mid,
                                                          .signer = &by,
                                                          .by_key = by_key,
                                                          .from = TEST_NOW + by_key,
                                                          .status = V_OCSP_CERTSTATUS_GOOD });
        pass(1);
        sl_decider_refresh(w.d, w.now);
        pass(1);
        ck_assert_uint_eq(w.status.n, 1);
        ck_bytes_eq(w.status.staple[0].response, w.leaf_ocsp);
        ck_bytes_eq(sl_bytes(w.status.staple[0].responder, 20), sl_cert_key_sha1(delegate.v[0]));
    }
    sl_certs_clear(&delegate);
    finish();
}
END_TEST

START_TEST(own_response_is_refreshed_at_half_its_life)
{
    setup(SAN AIA(LEAF_URI));
    w.mid_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    w.leaf_ocsp = test_ocsp(&(struct test_ocsp_spec){ .cert = &w.leaf,
                                                      .by = &w.mid,
                                                      .status = V_OCSP_CERTSTATUS_GOOD,
                                                      .from = TEST_NOW,
                                                      .to = TEST_NOW + 1000 });
    pass(400);
    ck_assert_uint_eq(w.asked, 2);
    ck_assert_uint_eq(w.status.staple[0].valid_s, 600);
    const struct sl_bytes newer = test_ocsp(&(struct test_ocsp_spec){
        .cert = &w.leaf, .by = &w.mid, .from = TEST_NOW + 400, .to = TEST_NOW + 1400 });
    w.leaf_ocsp = newer;
    pass(110);
    ck_assert_uint_eq(w.asked, 3);
    ck_bytes_eq(w.status.staple[0].response, newer);
    finish();
}
END_TEST

START_TEST(own_response_when_the_responder_is_dead_runs_out_and_comes_back)
{
    setup(SAN AIA(LEAF_URI));
    w.leaf_ocsp = test_ocsp(&(struct test_ocsp_spec){
        .cert = &w.leaf, .by = &w.mid, .from = TEST_NOW, .to = TEST_NOW + 300 });
    w.mid_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    pass(2);
    ck_assert_uint_eq(w.status.n, 2);
    w.leaf_ocsp = (struct sl_bytes){ 0 };
    pass(297);
    ck_assert_uint_eq(w.status.n, 2);
    ck_assert_uint_eq(w.status.staple[0].valid_s, 1);
    pass(1);
    ck_assert_uint_eq(w.status.n, 1); /* a response past its time is none */
    ck_assert_uint_eq(w.status.staple[0].depth, 1);
    const unsigned before = w.asked;
    pass(600);
    ck_assert_uint_ge(w.asked - before, 9);  /* it is tried again, */
    ck_assert_uint_le(w.asked - before, 40); /* and not every second */
    w.leaf_ocsp = test_ocsp(&(struct test_ocsp_spec){
        .cert = &w.leaf, .by = &w.mid, .from = TEST_NOW + 800, .to = TEST_NOW + 5000 });
    pass(61);
    ck_assert_uint_eq(w.status.n, 2);
    finish();
}
END_TEST

START_TEST(own_response_that_is_no_good_news_is_not_handed_over)
{
    setup(SAN AIA(LEAF_URI));
    w.leaf_ocsp = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_REVOKED);
    pass(2);
    ck_assert_uint_eq(w.status.n, 0);
    ck_assert_ptr_nonnull(w.status.revoked);
    ck_assert_ptr_nonnull(strstr(w.status.revoked, "CN=gw-a"));
    finish();
    /* larger than a peer should have to take: fresh and good all the same */
    setup(SAN AIA(LEAF_URI));
    static uint8_t nonce[SL_STAPLE_MAX_BYTES];
    w.leaf_ocsp = test_ocsp(&(struct test_ocsp_spec){
        .cert = &w.leaf, .by = &w.mid, .nonce = sl_bytes(nonce, sizeof(nonce)) });
    pass(2);
    ck_assert_uint_eq(w.status.n, 0);
    ck_assert_ptr_null(w.status.revoked);
    finish();
    /* of another certificate, and no response at all */
    setup(SAN AIA(LEAF_URI));
    w.leaf_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    w.mid_ocsp = sl_str("an error page");
    pass(2);
    ck_assert_uint_eq(w.status.n, 0);
    finish();
}
END_TEST

START_TEST(own_response_comes_also_from_the_configured_responder)
{
    setup(SAN);
    static char uri[] = LEAF_URI;
    struct test_cert by = test_cert(&(struct test_spec){ .subject = "CN=Our OCSP" });
    struct sl_certs responder = { 0 };
    ck_ok(sl_certs_load(&responder, by.der, "responder", &err), &err);
    w.trust.responder = uri;
    ck_ok(sl_decider_responder(w.d, "lab", by.der, "responder.pem", &err), &err);
    w.leaf_ocsp = test_ocsp(&(struct test_ocsp_spec){
        .cert = &w.leaf, .by = &w.mid, .signer = &by, .without_cert = true });
    pass(2);
    ck_assert_uint_eq(w.status.n, 1);
    ck_assert_uint_eq(w.status.staple[0].depth, 0);
    ck_bytes_eq(sl_bytes(w.status.staple[0].responder, 20), sl_cert_key_sha1(responder.v[0]));
    sl_certs_clear(&responder);
    finish();
}
END_TEST

START_TEST(own_responses_are_not_asked_for_without_ocsp_uri_or_issuer)
{
    setup(SAN AIA(LEAF_URI));
    w.trust.ocsp = false;
    pass(2);
    ck_assert_uint_eq(w.asked, 0);
    finish();
    setup(SAN AIA(LEAF_URI));
    /* a CA of the right name and another key has not issued it */
    struct test_cert fake = test_cert(&(struct test_spec){ .subject = "CN=Mid", .ca = true });
    sl_certs_clear(&w.chain);
    ck_ok(sl_certs_load(&w.chain, w.leaf.der, "leaf", &err), &err);
    ck_ok(sl_certs_load(&w.chain, fake.der, "fake", &err), &err);
    pass(2);
    ck_assert_uint_eq(w.asked, 0);
    /* until the true one is known */
    w.leaf_ocsp = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD);
    ck_ok(sl_decider_intermediates(w.d, "lab", w.mid.der, "mid.pem", &err), &err);
    pass(2);
    ck_assert_uint_eq(w.status.n, 1);
    finish();
    setup(SAN AIA(LEAF_URI));
    struct sl_own *nowhere = NULL;
    ck_rc(sl_own_new(&nowhere, w.d, "nowhere", &w.chain, &err), SL_NOT_FOUND, &err);
    finish();
}
END_TEST

/* ---- what a peer hands over --------------------------------------------------------------------------- */

static struct sl_decision_ask peer(void)
{
    struct sl_decision_ask a = { .connection = "site",
                                 .possession = SL_POSSESSION_SIGNATURE,
                                 .sig = SL_SIG_ECDSA_SHA256,
                                 .octets = sl_str("the signed octets") };
    uint8_t sig[256];
    size_t n = sizeof(sig);
    ck_ok(sl_id_parse(&a.id, "dns:gw-a.example", &err), &err);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, w.leaf.key) == 1 &&
              EVP_DigestSign(md, sig, &n, a.octets.p, a.octets.len) == 1);
    EVP_MD_CTX_free(md);
    a.auth = test_keep(sl_bytes(sig, n));
    a.cert[a.cert_n++] = w.leaf.der;
    a.cert[a.cert_n++] = w.mid.der;
    return a;
}

static void hand_over(struct sl_decision_ask *a, struct sl_bytes response)
{
    a->ocsp[a->ocsp_n++] = response;
}

static void expect(const struct sl_decision_ask *a, enum sl_rc want)
{
    struct sl_decision *x = NULL;
    ck_ok(sl_decider_start(w.d, a, w.now, NULL, NULL, &err), &err);
    for (unsigned i = 0; i < 100 && !x; i++) {
        answer();
        x = sl_decider_finished(w.d);
        w.now.mono_ns += SL_NS_PER_S / 10;
        sl_decider_tick(w.d, w.now);
    }
    ck_assert(x != NULL);
    const struct sl_verdict *v = sl_decision_verdict(x);
    ck_assert_msg(v->rc == want, "got %s, want %s: %s", sl_rc_name(v->rc), sl_rc_name(want),
                  v->text);
    sl_decision_free(x);
}

START_TEST(responses_for_the_whole_path_save_every_fetch_and_are_kept)
{
    setup(SAN AIA(LEAF_URI));
    struct sl_decision_ask a = peer();
    /* the intermediate's first: their order says nothing */
    hand_over(&a, ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD));
    hand_over(&a, ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD));
    expect(&a, SL_OK);
    ck_assert_uint_eq(w.asked, 0);
    a.ocsp_n = 0;
    expect(&a, SL_OK); /* from the cache */
    ck_assert_uint_eq(w.asked, 0);
    finish();
}
END_TEST

START_TEST(response_for_one_certificate_does_not_speak_for_another)
{
    setup(SAN AIA(LEAF_URI));
    struct sl_decision_ask a = peer();
    struct test_cert other =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &w.mid, .ext = SAN });
    hand_over(&a, ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD));
    hand_over(&a, ocsp_of(&other, &w.mid, V_OCSP_CERTSTATUS_GOOD));
    hand_over(&a, ocsp_of(&w.leaf, &w.ca, V_OCSP_CERTSTATUS_GOOD)); /* another issuer's word */
    expect(&a, SL_REVOCATION_INVALID);
    ck_assert_uint_eq(w.asked, 1); /* the leaf's own responder, which is dead */
    finish();
    /* nor does a leaf's "revoked" by someone else's key end it */
    setup(SAN AIA(LEAF_URI));
    a = peer();
    hand_over(&a, ocsp_of(&w.leaf, &w.ca, V_OCSP_CERTSTATUS_REVOKED));
    w.leaf_ocsp = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD);
    w.mid_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    expect(&a, SL_OK);
    finish();
}
END_TEST

START_TEST(junk_beside_good_responses_changes_nothing)
{
    setup(SAN AIA(LEAF_URI));
    struct sl_decision_ask a = peer();
    static uint8_t oversize[SL_OCSP_MAX_BYTES + 1];
    const struct sl_bytes good = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD);
    hand_over(&a, sl_str("garbage"));
    hand_over(&a, sl_bytes(oversize, sizeof(oversize)));
    hand_over(&a, sl_bytes_slice(good, 0, good.len - 1));
    hand_over(
        &a, test_ocsp(&(struct test_ocsp_spec){
                .cert = &w.leaf, .by = &w.mid, .response_status = OCSP_RESPONSE_STATUS_TRYLATER }));
    hand_over(&a, ocsp_of(&w.leaf, &w.ca, V_OCSP_CERTSTATUS_GOOD));
    while (a.ocsp_n < SL_CHAIN_MAX - 2)
        hand_over(&a, ocsp_of(&w.mid, &w.mid, V_OCSP_CERTSTATUS_GOOD));
    hand_over(&a, good);
    hand_over(&a, ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD));
    expect(&a, SL_OK);
    ck_assert_uint_eq(w.asked, 0);
    finish();
    setup(SAN AIA(LEAF_URI));
    w.leaf_ocsp = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD);
    w.mid_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    struct sl_decision_ask b = peer(); /* the junk alone: as if nothing had come */
    for (size_t i = 0; i < 4; i++)
        hand_over(&b, a.ocsp[i]);
    expect(&b, SL_OK);
    ck_assert_uint_eq(w.asked, 2);
    finish();
}
END_TEST

START_TEST(revoked_beats_whatever_good_is_handed_over)
{
    setup(SAN AIA(LEAF_URI));
    w.leaf_ocsp = ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_REVOKED);
    w.mid_ocsp = ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD);
    struct sl_decision_ask a = peer();
    expect(&a, SL_REVOKED); /* known from now on */
    hand_over(&a, ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD));
    hand_over(&a, ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD));
    expect(&a, SL_REVOKED);
    finish();
    /* an intermediate is revoked by what the peer itself hands over */
    setup(SAN AIA(LEAF_URI));
    a = peer();
    hand_over(&a, ocsp_of(&w.leaf, &w.mid, V_OCSP_CERTSTATUS_GOOD));
    hand_over(&a, ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_REVOKED));
    expect(&a, SL_REVOKED);
    ck_assert_uint_eq(w.asked, 0);
    finish();
}
END_TEST

START_TEST(stale_response_handed_over_needs_the_responder)
{
    setup(SAN AIA(LEAF_URI));
    struct sl_decision_ask a = peer();
    hand_over(&a, test_ocsp(&(struct test_ocsp_spec){
                      .cert = &w.leaf, .by = &w.mid, .from = TEST_NOW - 900, .to = TEST_NOW - 1 }));
    hand_over(&a, ocsp_of(&w.mid, &w.ca, V_OCSP_CERTSTATUS_GOOD));
    expect(&a, SL_REVOCATION_STALE);
    ck_assert_uint_eq(w.asked, 1);
    finish();
}
END_TEST

SL_TESTS(stapled, SL_CASE(own_responses_are_fetched_ahead_for_each_certificate),
         SL_CASE(own_response_of_a_delegate_is_told_by_the_delegates_key),
         SL_CASE(own_response_is_refreshed_at_half_its_life),
         SL_CASE(own_response_when_the_responder_is_dead_runs_out_and_comes_back),
         SL_CASE(own_response_that_is_no_good_news_is_not_handed_over),
         SL_CASE(own_response_comes_also_from_the_configured_responder),
         SL_CASE(own_responses_are_not_asked_for_without_ocsp_uri_or_issuer),
         SL_CASE(responses_for_the_whole_path_save_every_fetch_and_are_kept),
         SL_CASE(response_for_one_certificate_does_not_speak_for_another),
         SL_CASE(junk_beside_good_responses_changes_nothing),
         SL_CASE(revoked_beats_whatever_good_is_handed_over),
         SL_CASE(stale_response_handed_over_needs_the_responder))
