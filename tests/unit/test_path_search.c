/* The search for paths: alternatives and the way back, loops, order, budget, what is told. */
#include "sealane/path.h"
#include "sealane/time.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

static struct sl_err err;

/* A search over what a case puts in; cleared by done(). */
struct search {
    struct sl_certs anchors, extra;
    struct sl_bytes peer[SL_CHAIN_MAX];
    struct sl_path_budget budget;
    struct sl_path_params params;
    struct sl_path_finder *f;
    struct sl_path path;
};

static void add(struct sl_certs *list, const struct test_cert *c)
{
    ck_ok(sl_certs_load(list, c->der, "test", &err), &err);
}

static void give(struct search *s, const struct test_cert *c)
{
    s->peer[s->params.peer_n++] = c->der;
}

static void begin(struct search *s)
{
    s->params.anchors = &s->anchors;
    s->params.intermediates = &s->extra;
    s->params.peer = s->peer;
    s->params.now_utc_s = TEST_NOW;
    s->params.budget = &s->budget;
    ck_ok(sl_path_finder_new(&s->f, &s->params, &err), &err);
}

static enum sl_rc next(struct search *s)
{
    sl_path_clear(&s->path);
    sl_err_reset(&err);
    return sl_path_finder_next(s->f, &s->path, &err);
}

static void done(struct search *s)
{
    sl_path_clear(&s->path);
    sl_path_finder_free(s->f);
    sl_certs_clear(&s->anchors);
    sl_certs_clear(&s->extra);
}

static bool through(const struct search *s, const struct test_cert *c)
{
    for (size_t i = 0; i < s->path.n; i++)
        if (sl_bytes_eq(sl_cert_der(s->path.cert[i]), c->der))
            return true;
    return false;
}

static struct test_cert ca(const char *subject, const struct test_cert *by,
                           const struct test_cert *same_key, const char *ext)
{
    return test_cert(&(struct test_spec){
        .subject = subject, .by = by, .same_key = same_key, .ca = true, .ext = ext });
}

static struct test_cert leaf_by(const struct test_cert *by)
{
    return test_cert(&(struct test_spec){
        .subject = "CN=leaf", .by = by, .ext = "subjectAltName=DNS:gw.good.example\n" });
}

/* Two certificates of one CA by two roots; the first root's is spoilt in the way of the case. */
static void cross(struct search *s, struct test_spec spoilt, struct test_cert *good)
{
    struct test_cert r1 = ca("CN=root 1", NULL, NULL, NULL);
    struct test_cert r2 = ca("CN=root 2", NULL, NULL, NULL);
    *good = ca("CN=sub", &r2, NULL, NULL);
    spoilt.subject = "CN=sub";
    spoilt.by = &r1;
    spoilt.same_key = good;
    struct test_cert bad = test_cert(&spoilt);
    struct test_cert leaf = leaf_by(good);
    add(&s->anchors, &r1);
    add(&s->anchors, &r2);
    give(s, &leaf);
    give(s, &bad);
    give(s, good);
}

START_TEST(search_goes_back_from_a_dead_cross_certificate)
{
    static const struct {
        struct test_spec spec;
        enum sl_rc rc;
    } cases[] = {
        { { .ca = true, .to = TEST_NOW - 1 }, SL_CERT_EXPIRED },
        { { .ca = true, .ext = "nameConstraints=critical,permitted;DNS:other.example\n" },
          SL_CERT_NAME_CONSTRAINTS },
        { { .ca = true, .ext = "policyConstraints=critical,requireExplicitPolicy:0\n" },
          SL_CERT_POLICY },
        { { .ext = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n" },
          SL_CERT_KEY_USAGE },
        { { .ca = true, .md = "SHA1" }, SL_CERT_WEAK },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct search s = { 0 };
        struct test_cert good;
        cross(&s, cases[i].spec, &good);
        begin(&s);
        ck_ok(next(&s), &err);
        ck_assert(through(&s, &good));
        ck_assert_str_eq(sl_cert_subject(s.path.cert[2]), "CN=root 2");
        ck_rc(next(&s), cases[i].rc, &err); /* the other way is dead, for its reason */
        done(&s);
    }
}
END_TEST

START_TEST(next_yields_every_path_once)
{
    struct search s = { 0 };
    struct test_cert good;
    cross(&s, (struct test_spec){ .ca = true }, &good);
    begin(&s);
    ck_ok(next(&s), &err);
    char first[64];
    snprintf(first, sizeof(first), "%s", sl_cert_subject(s.path.cert[2]));
    ck_ok(next(&s), &err);
    ck_assert_str_ne(first, sl_cert_subject(s.path.cert[2]));
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    done(&s);
}
END_TEST

START_TEST(anchor_that_is_not_self_issued_ends_a_path_and_may_be_passed)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert sub = ca("CN=sub", &root, NULL, NULL);
    struct test_cert leaf = leaf_by(&sub);
    struct search s = { 0 };
    add(&s.anchors, &root);
    add(&s.anchors, &sub);
    give(&s, &leaf);
    begin(&s);
    ck_ok(next(&s), &err);
    ck_assert_uint_eq(s.path.n, 2);
    ck_ok(next(&s), &err);
    ck_assert_uint_eq(s.path.n, 3);
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    done(&s);
}
END_TEST

START_TEST(end_entity_is_its_own_anchor_only_by_configuration)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert self = test_cert(&(struct test_spec){ .subject = "CN=me" });
    struct search s = { 0 }, u = { 0 };
    add(&s.anchors, &root);
    add(&s.anchors, &self);
    give(&s, &self);
    begin(&s);
    ck_ok(next(&s), &err);
    ck_assert_uint_eq(s.path.n, 1);
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    done(&s);
    add(&u.anchors, &root);
    give(&u, &self);
    begin(&u);
    ck_rc(next(&u), SL_CERT_UNKNOWN_CA, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "self-signed"));
    done(&u);
}
END_TEST

/* A pinned end entity must not become a CA by being pinned. */
START_TEST(anchor_that_is_no_ca_issues_nothing)
{
    struct test_cert pinned = test_cert(&(struct test_spec){ .subject = "CN=pinned" });
    struct test_cert leaf = leaf_by(&pinned);
    struct search s = { 0 };
    add(&s.anchors, &pinned);
    give(&s, &leaf);
    begin(&s);
    ck_rc(next(&s), SL_CERT_NOT_CA, &err);
    done(&s);
}
END_TEST

START_TEST(anchor_limits_are_honoured)
{
    static const struct {
        const char *ext;
        int64_t to;
        enum sl_rc rc;
    } cases[] = {
        { "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign\n", 0,
          SL_CERT_PATH_LENGTH },
        { "basicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=keyCertSign\n", 0, SL_OK },
        { "basicConstraints=critical,CA:TRUE\nnameConstraints=excluded;DNS:good.example\n", 0,
          SL_CERT_NAME_CONSTRAINTS },
        { "basicConstraints=critical,CA:TRUE\n", TEST_NOW - 1, SL_CERT_EXPIRED },
        { "basicConstraints=critical,CA:TRUE\n", TEST_NOW, SL_OK },
        { "basicConstraints=critical,CA:TRUE\n1.3.6.1.4.1.99999.7=critical,DER:0500\n", 0,
          SL_CERT_CRITICAL_EXTENSION },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct test_cert root = test_cert(
            &(struct test_spec){ .subject = "CN=root", .ext = cases[i].ext, .to = cases[i].to });
        struct test_cert sub = ca("CN=sub", &root, NULL, NULL);
        struct test_cert leaf = leaf_by(&sub);
        struct search s = { 0 };
        add(&s.anchors, &root);
        give(&s, &leaf);
        give(&s, &sub);
        begin(&s);
        ck_rc(next(&s), cases[i].rc, &err);
        done(&s);
    }
}
END_TEST

START_TEST(cas_that_sign_each_other_end_the_search)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert a = ca("CN=a", NULL, NULL, NULL), b = ca("CN=b", NULL, NULL, NULL);
    struct test_cert ab = ca("CN=a", &b, &a, NULL), ba = ca("CN=b", &a, &b, NULL);
    struct test_cert leaf = leaf_by(&a);
    struct search s = { 0 };
    add(&s.anchors, &root);
    give(&s, &leaf);
    give(&s, &ab);
    give(&s, &ba);
    begin(&s);
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    done(&s);
}
END_TEST

/* Key rollover: the old key signs the new one under the same name; none counts as depth. */
START_TEST(self_issued_certificates_do_not_count)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert sub = test_cert(&(struct test_spec){
        .subject = "CN=sub",
        .by = &root,
        .ext = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n" });
    struct test_cert renewed = ca("CN=sub", &sub, NULL, NULL);
    struct test_cert leaf = leaf_by(&renewed);
    static const struct {
        uint8_t max_depth;
        bool zero;
        enum sl_rc rc;
    } cases[] = { { 0, false, SL_OK }, { 1, false, SL_OK }, { 0, true, SL_CERT_PATH_LENGTH } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct search s = { 0 };
        add(&s.anchors, &root);
        give(&s, &leaf);
        give(&s, &renewed);
        give(&s, &sub);
        s.params.max_depth = cases[i].max_depth;
        s.params.depth_zero = cases[i].zero;
        begin(&s);
        ck_rc(next(&s), cases[i].rc, &err);
        done(&s);
    }
}
END_TEST

/* 100 certificates with one name and one key that all sign each other. */
START_TEST(a_hundred_twins_end_within_the_budget)
{
    struct test_cert twin = ca("CN=twin", NULL, NULL, NULL);
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert leaf = leaf_by(&twin);
    for (int distinct = 0; distinct < 2; distinct++) {
        struct search s = { 0 };
        add(&s.anchors, &root);
        for (int i = 0; i < 100; i++) {
            char ext[64];
            snprintf(ext, sizeof(ext), "subjectAltName=DNS:t%d.example\n", i);
            struct test_cert t = ca("CN=twin", &twin, distinct ? NULL : &twin, ext);
            add(&s.extra, &t);
        }
        give(&s, &leaf);
        begin(&s);
        int64_t from = sl_clock_cpu_ns();
        enum sl_rc rc = next(&s);
        int64_t spent = sl_clock_cpu_ns() - from;
        ck_assert_msg(rc == SL_CERT_BUDGET || rc == SL_CERT_UNKNOWN_CA || rc == SL_CERT_SIGNATURE,
                      "%s", sl_rc_name(rc));
        printf("twins with %s keys: %s after %lld us of CPU\n", distinct ? "their own" : "one",
               sl_rc_name(rc), (long long)spent / 1000);
        ck_assert_int_lt(spent, SL_PATH_CPU_NS + SL_PATH_CPU_NS / 4);
        done(&s);
    }
}
END_TEST

START_TEST(twins_with_a_way_out_still_lead_to_the_anchor)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert good = ca("CN=twin", &root, NULL, NULL);
    struct test_cert leaf = leaf_by(&good);
    struct search s = { 0 };
    add(&s.anchors, &root);
    for (int i = 0; i < 60; i++) {
        struct test_cert t = ca("CN=twin", &good, &good, NULL);
        add(&s.extra, &t);
    }
    add(&s.extra, &good);
    give(&s, &leaf);
    begin(&s);
    ck_ok(next(&s), &err);
    ck_assert_uint_eq(s.path.n, 3);
    done(&s);
}
END_TEST

START_TEST(every_budget_cuts_the_search)
{
    static const struct {
        struct sl_path_budget budget;
        const char *what;
    } cases[] = { { { .candidates = 1 }, "1 candidates" },
                  { { .signatures = 1 }, "1 signatures" },
                  { { .cpu_ns = 1 }, "CPU" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct search s = { .budget = cases[i].budget };
        struct test_cert good;
        cross(&s, (struct test_spec){ .ca = true }, &good);
        begin(&s);
        ck_rc(next(&s), SL_CERT_BUDGET, &err);
        ck_assert_msg(strstr(sl_err_text(&err), cases[i].what) != NULL, "%s", sl_err_text(&err));
        ck_rc(next(&s), SL_CERT_BUDGET, &err);
        done(&s);
    }
}
END_TEST

START_TEST(missing_issuer_is_told_and_can_be_added)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert mid = ca("CN=mid", &root, NULL, NULL);
    struct test_cert sub = ca("CN=sub", &mid, NULL, NULL);
    struct test_cert leaf = leaf_by(&sub);
    struct search s = { 0 };
    struct sl_cert *missing[4];
    SL_AUTO(sl_cert) *found = NULL;
    add(&s.anchors, &root);
    give(&s, &leaf);
    give(&s, &sub);
    begin(&s);
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "CN=mid"));
    ck_assert_uint_eq(sl_path_finder_missing(s.f, missing, 4), 1);
    ck_assert_str_eq(sl_cert_subject(missing[0]), "CN=sub");
    ck_ok(sl_cert_read(&found, mid.der, &err), &err);
    ck_ok(sl_path_finder_add(s.f, found, &err), &err);
    ck_ok(next(&s), &err);
    ck_assert_uint_eq(s.path.n, 4);
    ck_assert_uint_eq(sl_path_finder_missing(s.f, missing, 4), 0);
    done(&s);
}
END_TEST

/* A path that was handed out is not found again because something was added. */
START_TEST(added_certificate_brings_new_paths_only)
{
    struct test_cert r1 = ca("CN=root 1", NULL, NULL, NULL), r2 = ca("CN=root 2", NULL, NULL, NULL);
    struct test_cert s1 = ca("CN=sub", &r1, NULL, NULL), s2 = ca("CN=sub", &r2, &s1, NULL);
    struct test_cert leaf = leaf_by(&s1);
    struct search s = { 0 };
    SL_AUTO(sl_cert) *other = NULL;
    add(&s.anchors, &r1);
    add(&s.anchors, &r2);
    give(&s, &leaf);
    give(&s, &s1);
    begin(&s);
    ck_ok(next(&s), &err);
    ck_assert(through(&s, &s1));
    ck_ok(sl_cert_read(&other, s2.der, &err), &err);
    ck_ok(sl_path_finder_add(s.f, other, &err), &err);
    ck_ok(next(&s), &err);
    ck_assert(through(&s, &s2));
    ck_rc(next(&s), SL_CERT_UNKNOWN_CA, &err);
    done(&s);
}
END_TEST

START_TEST(candidates_are_told_with_certificate_rule_and_section)
{
    struct search s = { 0 };
    struct test_cert good;
    cross(&s, (struct test_spec){ .ca = true, .to = TEST_NOW - 1 }, &good);
    begin(&s);
    ck_ok(next(&s), &err);
    ck_rc(next(&s), SL_CERT_EXPIRED, &err);
    const struct sl_path_candidate *v = NULL;
    size_t n = sl_path_finder_candidates(s.f, &v), dead = 0, found = 0;
    for (size_t i = 0; i < n; i++) {
        found += v[i].rc == SL_OK && v[i].n == 3;
        if (v[i].rc != SL_CERT_EXPIRED)
            continue;
        dead++;
        ck_assert_uint_eq(v[i].n, 2);
        ck_assert_ptr_nonnull(strstr(v[i].text, "CN=sub (serial "));
        ck_assert_ptr_nonnull(strstr(v[i].text, "RFC 5280 6.1.3 (a)(2)"));
    }
    ck_assert_uint_eq(dead, 1);
    ck_assert_uint_eq(found, 1);
    done(&s);
}
END_TEST

START_TEST(told_candidates_are_bounded)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert sub = ca("CN=sub", NULL, NULL, NULL);
    struct test_cert leaf = leaf_by(&sub);
    struct search s = { 0 };
    add(&s.anchors, &root);
    for (int i = 0; i < SL_PATH_TOLD_MAX + 20; i++) {
        struct test_cert t = test_cert(&(struct test_spec){
            .subject = "CN=sub", .by = &root, .same_key = &sub, .ca = true, .to = TEST_NOW - 1 });
        add(&s.extra, &t);
    }
    struct test_cert good = ca("CN=sub", &root, &sub, NULL);
    give(&s, &leaf);
    begin(&s);
    ck_rc(next(&s), SL_CERT_EXPIRED, &err);
    const struct sl_path_candidate *v = NULL;
    ck_assert_uint_eq(sl_path_finder_candidates(s.f, &v), SL_PATH_TOLD_MAX);
    SL_AUTO(sl_cert) *c = NULL;
    ck_ok(sl_cert_read(&c, good.der, &err), &err);
    ck_ok(sl_path_finder_add(s.f, c, &err), &err);
    ck_ok(next(&s), &err);
    done(&s);
}
END_TEST

/* The key identifier orders candidates; it does not exclude one whose key fits. */
START_TEST(wrong_key_identifier_is_only_a_hint)
{
    struct test_cert root = ca("CN=root", NULL, NULL, NULL);
    struct test_cert other = ca("CN=root", NULL, NULL, NULL);
    struct test_cert leaf = test_cert(&(struct test_spec){
        .subject = "CN=leaf",
        .by = &root,
        .ext = "authorityKeyIdentifier=DER:30168014000102030405060708090a0b0c0d0e0f10111213\n" });
    struct search s = { 0 }, t = { 0 };
    add(&s.anchors, &other);
    add(&s.anchors, &root);
    give(&s, &leaf);
    begin(&s);
    ck_ok(next(&s), &err);
    done(&s);
    add(&t.anchors, &root);
    give(&t, &leaf);
    t.params.profile = SL_PROFILE_STRICT;
    t.params.any_use = true;
    begin(&t);
    ck_rc(next(&t), SL_CERT_INVALID, &err);
    done(&t);
}
END_TEST

SL_TESTS(path_search, SL_CASE(search_goes_back_from_a_dead_cross_certificate),
         SL_CASE(next_yields_every_path_once),
         SL_CASE(anchor_that_is_not_self_issued_ends_a_path_and_may_be_passed),
         SL_CASE(end_entity_is_its_own_anchor_only_by_configuration),
         SL_CASE(anchor_that_is_no_ca_issues_nothing), SL_CASE(anchor_limits_are_honoured),
         SL_CASE(cas_that_sign_each_other_end_the_search),
         SL_CASE(self_issued_certificates_do_not_count),
         SL_CASE(a_hundred_twins_end_within_the_budget),
         SL_CASE(twins_with_a_way_out_still_lead_to_the_anchor),
         SL_CASE(every_budget_cuts_the_search), SL_CASE(missing_issuer_is_told_and_can_be_added),
         SL_CASE(added_certificate_brings_new_paths_only),
         SL_CASE(candidates_are_told_with_certificate_rule_and_section),
         SL_CASE(told_candidates_are_bounded), SL_CASE(wrong_key_identifier_is_only_a_hint))
