/*
 * Every graph of a few cross-signed CAs: each edge is a certificate that is absent, good, or has a
 * defect of its own. A second computation, over the graph alone, says whether a valid path exists; the
 * command's core must find one exactly then, and made of good certificates only.
 */
#include "sealane/time.h"
#include "sealane/verify.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

static struct sl_err err;

static struct sl_now test_now(void *ctx)
{
    (void)ctx;
    return (struct sl_now){ .mono_ns = sl_clock_mono_ns(), .utc_s = TEST_NOW };
}
static const struct sl_verify_shell shell = { .now = test_now };

/* ---- the CAs and their certificates ----------------------------------------------------------------- */
enum { R, A, B, C, CAS }; /* R is the anchor; A issued the leaf */
enum defect {
    GOOD,
    EXPIRED,
    NOT_YET,
    NO_CA,
    EXCLUDED,
    UNKNOWN_CRITICAL,
    NO_CERTSIGN,
    REVOKED,
    DEFECTS
};
static const char *const ca_name[CAS] = { "CN=R", "CN=A", "CN=B", "CN=C" };

static const struct edge {
    int from, to;
} edges[] = { { R, A }, { R, B }, { R, C }, { B, A }, { C, A }, { B, C }, { C, B }, { A, B } };
#define EDGES SL_ARRAY_LEN(edges)

static struct test_cert holder[CAS], leaf, cert[EDGES][DEFECTS];
static struct sl_bytes crl[CAS];
#define SERIAL(edge, defect) ((long)(100 * ((edge) + 1) + (defect)))

static struct test_cert make_edge(size_t e, enum defect defect)
{
    struct test_spec s = { .subject = ca_name[edges[e].to],
                           .by = &holder[edges[e].from],
                           .same_key = &holder[edges[e].to],
                           .serial = SERIAL(e, defect),
                           .ca = true };
    switch (defect) {
    case EXPIRED:
        s.to = TEST_NOW - 1;
        break;
    case NOT_YET:
        s.from = TEST_NOW + 1;
        break;
    case NO_CA:
        s.ca = false;
        s.ext = "basicConstraints=critical,CA:FALSE\n";
        break;
    case EXCLUDED:
        s.ext = "nameConstraints=critical,excluded;DNS:gw.example\n";
        break;
    case UNKNOWN_CRITICAL:
        s.ext = "1.3.6.1.4.1.55738.1=critical,DER:0500\n";
        break;
    case NO_CERTSIGN:
        s.ca = false;
        s.ext = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\n";
        break;
    case GOOD:
    case REVOKED: /* by its CA's list */
    case DEFECTS:
        break;
    }
    return test_cert(&s);
}

static void setup(void)
{
    for (int i = 0; i < CAS; i++)
        holder[i] = test_cert(&(struct test_spec){ .subject = ca_name[i], .ca = true });
    leaf = test_cert(&(struct test_spec){ .subject = "CN=gw",
                                          .by = &holder[A],
                                          .serial = 9,
                                          .ext = "subjectAltName=DNS:gw.example\n" });
    for (size_t e = 0; e < EDGES; e++)
        for (enum defect d = GOOD; d < DEFECTS; d++)
            cert[e][d] = make_edge(e, d);
    for (int i = 0; i < CAS; i++) {
        struct test_crl_spec s = { .by = &holder[i], .number = 1 };
        size_t n = 0;
        for (size_t e = 0; e < EDGES; e++)
            if (edges[e].from == i)
                s.revoked[n++] = SERIAL(e, REVOKED);
        crl[i] = test_crl(&s);
    }
}

/* ---- what must be found -------------------------------------------------------------------------------- */
/* Is there a way of good edges from ca up to R that passes no CA twice? */
static bool reaches(const int state[EDGES], int ca, unsigned passed)
{
    if (ca == R)
        return true;
    for (size_t e = 0; e < EDGES; e++)
        if (edges[e].to == ca && state[e] == GOOD && !(passed & 1u << edges[e].from) &&
            reaches(state, edges[e].from, passed | 1u << edges[e].from))
            return true;
    return false;
}

static bool is_good_chain(const json_t *answer)
{
    const json_t *chain = json_object_get(answer, "chain");
    size_t i;
    json_t *c;
    json_array_foreach(chain, i, c)
    {
        char serial[32];
        bool known = i == 0 || i + 1 == json_array_size(chain);
        for (size_t e = 0; e < EDGES && !known; e++) {
            X509 *x = cert[e][GOOD].x;
            const ASN1_INTEGER *s = X509_get0_serialNumber(x);
            sl_hex(serial, sizeof(serial),
                   sl_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
            known = strcmp(serial, json_string_value(json_object_get(c, "serial"))) == 0;
        }
        if (!known)
            return false;
    }
    return json_array_size(chain) >= 3;
}

/* state: GOOD.., or -1 for an edge that is not there. Returns whether the answer is as it must be. */
static bool run(const int state[EDGES], bool with_crls, bool backwards)
{
    struct sl_verify_ask ask = { .rules = { .any_use = true, .no_fetch = true } };
    ck_ok(sl_verify_put_leaf(&ask, leaf.der, "leaf", &err), &err);
    ck_ok(sl_verify_put(&ask, SL_VERIFY_ANCHORS, holder[R].der, "R", &err), &err);
    for (size_t k = 0; k < EDGES; k++) {
        size_t e = backwards ? EDGES - 1 - k : k;
        if (state[e] >= 0)
            ck_ok(sl_verify_put(&ask, SL_VERIFY_INTERMEDIATES, cert[e][state[e]].der, "edge", &err),
                  &err);
    }
    for (int i = 0; with_crls && i < CAS; i++)
        ck_ok(sl_verify_put(&ask, SL_VERIFY_CRLS, crl[i], ca_name[i], &err), &err);
    json_t *answer = sl_verify(&ask, &shell);
    const char *verdict = json_string_value(json_object_get(answer, "verdict"));
    bool want = reaches(state, A, 1u << A);
    bool good = strcmp(verdict, "good") == 0;
    bool ok = want == good && (!good || is_good_chain(answer));
    if (!ok) {
        for (size_t e = 0; e < EDGES; e++)
            printf("%s>%s:%d ", ca_name[edges[e].from] + 3, ca_name[edges[e].to] + 3, state[e]);
        printf("expected %s, seen %s: %s\n", want ? "good" : "refused", verdict,
               json_string_value(json_object_get(answer, "text")));
    }
    json_decref(answer);
    sl_verify_ask_clear(&ask);
    return ok;
}

/* Every graph whose number is first modulo step; defects take turns over the edges. */
static unsigned run_all(unsigned first, unsigned step, bool with_crls)
{
    unsigned wrong = 0, all = 1;
    for (size_t e = 0; e < EDGES; e++)
        all *= 3;
    for (unsigned g = first; g < all; g += step) {
        int state[EDGES];
        unsigned rest = g, defects = with_crls ? REVOKED : NO_CERTSIGN;
        for (size_t e = 0; e < EDGES; e++, rest /= 3)
            state[e] = rest % 3 == 0   ? -1
                       : rest % 3 == 1 ? GOOD
                                       : (int)(1 + (g / step + e) % defects);
        wrong += !run(state, with_crls, g & 1);
    }
    return wrong;
}

START_TEST(path_is_found_exactly_when_there_is_one)
{
    setup();
    ck_assert_uint_eq(run_all(0, 2, false), 0);
}
END_TEST

START_TEST(path_not_revoked_is_found_exactly_when_there_is_one)
{
    setup();
    ck_assert_uint_eq(run_all(0, 5, true), 0);
}
END_TEST

/* Every edge that is there is either good or revoked: only the next path helps. */
START_TEST(revoked_paths_are_left_for_others)
{
    unsigned wrong = 0;
    setup();
    for (unsigned g = 0; g < 1u << EDGES; g++) {
        int state[EDGES];
        for (size_t e = 0; e < EDGES; e++)
            state[e] = g & 1u << e ? GOOD : REVOKED;
        wrong += !run(state, true, g & 1);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* ---- path lengths ------------------------------------------------------------------------------------------ */
/* R > C > B > A > leaf, and R > B beside it; lengths -2: no such certificate, -1: no limit, 0, 1. */
static const struct edge line[] = { { R, C }, { C, B }, { B, A }, { R, B } };
#define LINE SL_ARRAY_LEN(line)

/* From the CA that edge e certifies down to the leaf there are below CAs. */
static bool fits(int length, int below)
{
    return length == -1 || length >= below;
}

static bool length_allows(const int length[LINE])
{
    bool by_c = length[0] > -2 && length[1] > -2 && length[2] > -2 && fits(length[0], 2) &&
                fits(length[1], 1) && fits(length[2], 0);
    bool by_r = length[3] > -2 && length[2] > -2 && fits(length[3], 1) && fits(length[2], 0);
    return by_c || by_r;
}

START_TEST(path_lengths_hold_on_every_path)
{
    struct test_cert made[LINE][4];
    unsigned wrong = 0;
    setup();
    for (size_t e = 0; e < LINE; e++)
        for (int k = 1; k < 4; k++) {
            static const char *const ext[] = { NULL, "basicConstraints=critical,CA:TRUE\n",
                                               "basicConstraints=critical,CA:TRUE,pathlen:0\n",
                                               "basicConstraints=critical,CA:TRUE,pathlen:1\n" };
            char all[256];
            snprintf(all, sizeof(all), "%skeyUsage=critical,keyCertSign,cRLSign\n", ext[k]);
            made[e][k] = test_cert(&(struct test_spec){ .subject = ca_name[line[e].to],
                                                        .by = &holder[line[e].from],
                                                        .same_key = &holder[line[e].to],
                                                        .ext = all });
        }
    for (unsigned g = 0; g < 256; g++) {
        struct sl_verify_ask ask = { .rules = { .any_use = true, .no_fetch = true } };
        int length[LINE];
        ck_ok(sl_verify_put_leaf(&ask, leaf.der, "leaf", &err), &err);
        ck_ok(sl_verify_put(&ask, SL_VERIFY_ANCHORS, holder[R].der, "R", &err), &err);
        for (size_t e = 0; e < LINE; e++) {
            unsigned k = g >> 2 * e & 3;
            length[e] = (int)k - 2;
            if (k)
                ck_ok(sl_verify_put(&ask, SL_VERIFY_INTERMEDIATES, made[e][k].der, "edge", &err),
                      &err);
        }
        json_t *answer = sl_verify(&ask, &shell);
        const char *verdict = json_string_value(json_object_get(answer, "verdict"));
        if ((strcmp(verdict, "good") == 0) != length_allows(length)) {
            wrong++;
            printf("%d %d %d %d: %s: %s\n", length[0], length[1], length[2], length[3], verdict,
                   json_string_value(json_object_get(answer, "text")));
        }
        json_decref(answer);
        sl_verify_ask_clear(&ask);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

SL_TESTS_TIMEOUT(cert_graphs, 280, SL_CASE(path_is_found_exactly_when_there_is_one),
                 SL_CASE(path_not_revoked_is_found_exactly_when_there_is_one),
                 SL_CASE(revoked_paths_are_left_for_others),
                 SL_CASE(path_lengths_hold_on_every_path))
