/*
 * NIST PKITS 1.0.1, every sub-test, through the decider: path and CRLs together, the CRLs as local
 * files (tests/vectors/pkits).
 */
#include "sealane/certs.h"
#include "sealane/config.h"
#include "sealane/decision.h"
#include "sealane/time.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#define PKITS_NOW INT64_C(1302825600) /* 2011-04-15T00:00:00Z */

struct sub_test {
    const char *id, *path[8], *crl[8], *policy[4], *policies[4];
    bool explicit_policy, inhibit_mapping, inhibit_any, valid;
};
static const struct sub_test all[] = {
#include "tests/vectors/pkits/tests.inc"
};

static struct sl_err err;

static struct sl_bytes file(const char *dir, const char *name, const char *end)
{
    char path[200];
    snprintf(path, sizeof(path), "vectors/pkits/%s/%s.%s", dir, name, end);
    return sl_test_file(path);
}

/* DSA is weaker than anything that is accepted here, and refused as such. */
static bool is_dsa(const struct sub_test *t)
{
    return !strcmp(t->id, "4.1.4.s1") || !strcmp(t->id, "4.1.5.s1");
}

static void run(const struct sub_test *t)
{
    static char name[] = "pkits", empty[] = "";
    char *policy[4];
    struct sl_conf_trust trust = { .name = name,
                                   .revocation = SL_REVOCATION_HARD,
                                   .deadline_ms = 1000,
                                   .min_rsa_bits = 2048,
                                   .explicit_policy = t->explicit_policy,
                                   .inhibit_policy_mapping = t->inhibit_mapping,
                                   .inhibit_any_policy = t->inhibit_any };
    while (trust.policy.n < 4 && t->policy[trust.policy.n]) {
        policy[trust.policy.n] = (char *)(uintptr_t)t->policy[trust.policy.n];
        trust.policy.n++;
    }
    trust.policy.v = policy;
    struct sl_config config = { .file = empty, .trust = &trust, .trust_n = 1 };
    struct sl_rng_seeded seed;
    sl_rng_seeded_init(&seed, 1);
    struct sl_rng rng = sl_rng_seeded(&seed);
    struct sl_now now = { .mono_ns = SL_NS_PER_S, .utc_s = PKITS_NOW };
    SL_AUTO(sl_decider) *d = NULL;
    ck_ok(sl_decider_new(&d, &config, &rng, &err), &err);
    ck_ok(sl_decider_anchors(d, name, file("certs", "TrustAnchorRootCertificate", "crt"), "anchor",
                             &err),
          &err);
    for (size_t i = 0; i < 8 && t->crl[i]; i++)
        ck_ok(sl_decider_crl(d, name, file("crls", t->crl[i], "crl"), t->crl[i], &err), &err);
    struct sl_validate_ask ask = { .trust = name };
    for (; ask.cert_n < 8 && t->path[ask.cert_n]; ask.cert_n++)
        ask.cert[ask.cert_n] = file("certs", t->path[ask.cert_n], "crt");
    ck_ok(sl_decider_validate(d, &ask, now, NULL, NULL, &err), &err);
    SL_AUTO(sl_decision) *x = sl_decider_finished(d);
    ck_assert_ptr_nonnull(x);
    const struct sl_verdict *v = sl_decision_verdict(x);
    bool good = v->rc == SL_AUTH_NOT_ASKED;
    ck_assert_msg(good == (t->valid && !is_dsa(t)), "PKITS %s: expected %s, seen %s: %s", t->id,
                  t->valid ? "valid" : "invalid", sl_rc_name(v->rc), v->text);
    if (is_dsa(t))
        ck_assert_int_eq(v->rc, SL_CERT_WEAK);
}

START_TEST(every_sub_test_agrees)
{
    ck_assert_uint_eq(SL_ARRAY_LEN(all), 249);
    for (size_t i = 0; i < SL_ARRAY_LEN(all); i++)
        run(&all[i]);
}
END_TEST

SL_TESTS(revocation_pkits, SL_CASE(every_sub_test_agrees))
