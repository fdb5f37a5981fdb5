/*
 * Validations per second of a chain of three certificates with the CRLs of both CAs, beside
 * libcrypto's bare X509_verify_cert with X509_V_FLAG_CRL_CHECK_ALL on the same bytes in the same run.
 * Cold: everything but the anchor begins at DER, the CRLs too, and nothing is remembered. libcrypto is
 * measured so, and with all that it needs read already. Cached: the same peer again.
 * The sides alternate and the median is taken, so that a busy machine moves all.
 *
 * Prints one line of JSON for each kind of key and one for people.
 */
#include "sealane/config.h"
#include "sealane/decision.h"
#include "sealane/time.h"
#include "tests/support/certs.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS   15
#define ROUND_NS (40 * SL_NS_PER_MS)

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

struct bench {
    struct test_cert root, sub, leaf;
    struct sl_bytes root_crl, sub_crl;
    X509_STORE *store;
    STACK_OF(X509) * others;
    struct sl_conf_trust trust;
    struct sl_config config;
    struct sl_decider *d;
    struct sl_now now;
};

/* ---- what is measured: one validation ------------------------------------------------------------------- */
static void verify(X509_STORE *store, X509 *leaf, STACK_OF(X509) * others)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    need(ctx && X509_STORE_CTX_init(ctx, store, leaf, others), "X509_STORE_CTX_init");
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(p, TEST_NOW);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    need(X509_verify_cert(ctx) == 1, "X509_verify_cert");
    X509_STORE_CTX_free(ctx);
}

static X509_STORE *new_store(const struct bench *b)
{
    X509_STORE *store = X509_STORE_new();
    need(store && X509_STORE_add_cert(store, b->root.x), "store");
    for (int i = 0; i < 2; i++) {
        struct sl_bytes der = i ? b->sub_crl : b->root_crl;
        const unsigned char *p = der.p;
        X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.len);
        need(crl && X509_STORE_add_crl(store, crl), "CRL");
        X509_CRL_free(crl);
    }
    return store;
}

static void bare_read(struct bench *b)
{
    verify(b->store, b->leaf.x, b->others);
}

static X509 *decode(struct sl_bytes der)
{
    const unsigned char *p = der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.len);
    need(x != NULL, "d2i_X509");
    return x;
}

static void bare_der(struct bench *b)
{
    X509 *leaf = decode(b->leaf.der);
    STACK_OF(X509) *others = sk_X509_new_null();
    need(others && sk_X509_push(others, decode(b->sub.der)) > 0, "sk_X509_push");
    X509_STORE *store = new_store(b);
    verify(store, leaf, others);
    X509_STORE_free(store);
    sk_X509_pop_free(others, X509_free);
    X509_free(leaf);
}

static void ours(struct bench *b)
{
    struct sl_validate_ask ask = { .trust = "t", .cert = { b->leaf.der, b->sub.der }, .cert_n = 2 };
    need(sl_decider_validate(b->d, &ask, b->now, NULL, NULL, NULL) == SL_OK, "validate");
    struct sl_decision *x = sl_decider_finished(b->d);
    need(x && sl_decision_verdict(x)->rc == SL_AUTH_NOT_ASKED, "validation");
    sl_decision_free(x);
}

static void load_crls(struct bench *b)
{
    need(sl_decider_crl(b->d, "t", b->root_crl, "root", NULL) == SL_OK &&
             sl_decider_crl(b->d, "t", b->sub_crl, "sub", NULL) == SL_OK,
         "CRLs");
}

/* The CRLs are new, so neither their signatures nor the validation are known. */
static void ours_cold(struct bench *b)
{
    load_crls(b);
    ours(b);
}

/* ---- measuring ---------------------------------------------------------------------------------------------- */
static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double round_ns(void (*run)(struct bench *), struct bench *b)
{
    int64_t begun = sl_clock_mono_ns(), now;
    unsigned n = 0;
    do {
        run(b);
        n++;
        now = sl_clock_mono_ns();
    } while (now - begun < ROUND_NS);
    return (double)(now - begun) / n;
}

static void setup(struct bench *b, const char *key)
{
    static char name[] = "t";
    *b = (struct bench){ .now = { .mono_ns = 1, .utc_s = TEST_NOW } };
    b->root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true, .key = key });
    b->sub = test_cert(
        &(struct test_spec){ .subject = "CN=sub", .by = &b->root, .ca = true, .key = key });
    b->leaf = test_cert(&(struct test_spec){ .subject = "CN=leaf",
                                             .by = &b->sub,
                                             .key = key,
                                             .ext = "subjectAltName=DNS:gw.example\n" });
    b->root_crl = test_crl(&(struct test_crl_spec){ .by = &b->root, .number = 1 });
    b->sub_crl = test_crl(&(struct test_crl_spec){ .by = &b->sub, .number = 1, .revoked = { 5 } });
    b->trust = (struct sl_conf_trust){
        .name = name, .deadline_ms = 1000, .ocsp = true, .crl = true, .min_rsa_bits = 2048
    };
    b->config = (struct sl_config){ .trust = &b->trust, .trust_n = 1 };
    need(sl_decider_new(&b->d, &b->config, &sl_rng_system, NULL) == SL_OK, "decider");
    need(sl_decider_anchors(b->d, "t", b->root.der, "root", NULL) == SL_OK, "anchor");
    load_crls(b);
    b->store = new_store(b);
    b->others = sk_X509_new_null();
    need(b->others && sk_X509_push(b->others, b->sub.x) > 0, "sk_X509_push");
}

static void run_key(const char *key)
{
    static void (*const sides[])(struct bench *) = { bare_read, bare_der, ours_cold, ours };
    double t[SL_ARRAY_LEN(sides)][ROUNDS];
    struct bench b;
    setup(&b, key);
    for (int r = 0; r < ROUNDS; r++)
        for (size_t i = 0; i < SL_ARRAY_LEN(sides); i++)
            t[i][r] = round_ns(sides[i], &b);
    for (size_t i = 0; i < SL_ARRAY_LEN(sides); i++)
        qsort(t[i], ROUNDS, sizeof(double), by_size);
    double read = t[0][ROUNDS / 2], der = t[1][ROUNDS / 2], cold = t[2][ROUNDS / 2],
           cached = t[3][ROUNDS / 2];
    printf(
        "{\"bench\":\"validate\",\"key\":\"%s\",\"libcrypto_per_s\":%.0f,\"libcrypto_der_per_s\":"
        "%.0f,\"cold_per_s\":%.0f,\"cached_per_s\":%.0f,\"cold_to_libcrypto_der\":%.3f,"
        "\"cached_faster\":%.1f}\n",
        key, 1e9 / read, 1e9 / der, 1e9 / cold, 1e9 / cached, cold / der, read / cached);
    printf(
        "%s: libcrypto %.1f us from DER, ours cold %.1f us = %.2f times; libcrypto with all read "
        "%.1f us, ours cached %.2f us = %.0f times faster\n",
        key, der / 1e3, cold / 1e3, cold / der, read / 1e3, cached / 1e3, read / cached);
    sl_decider_free(b.d);
    X509_STORE_free(b.store);
    sk_X509_free(b.others);
}

int main(void)
{
    run_key("p256");
    run_key("rsa:2048");
    run_key("p384");
    return 0;
}
