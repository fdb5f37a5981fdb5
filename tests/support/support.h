/*
 * What every test program shares: Check with a main, failing assertions that print an sl_err,
 * files of tests/vectors, and the seed that SL_SEED overrides.
 *
 *   START_TEST(load_past_next_update_is_stale) { ... } END_TEST
 *   SL_TESTS(crl, load_past_next_update_is_stale, ...)      makes main()
 */
#ifndef SL_TEST_SUPPORT_H
#define SL_TEST_SUPPORT_H

#include "sealane/bytes.h"
#include "sealane/err.h"
#include "sealane/rng.h"

#include <check.h>

/* Runs the cases (no fork under sanitizers that dislike it); returns the exit status. */
struct sl_test_case {
    const char *name;
    const TTest *test;
};
int sl_test_main(const char *suite, const struct sl_test_case *cases, size_t n, double timeout_s);

/* START_TEST defines a variable of the test's name, so a list of names is a list of cases. */
#define SL_CASE(t) \
    {              \
#t, t      \
    }
#define SL_TESTS_TIMEOUT(suite, seconds, ...)                             \
    int main(void)                                                        \
    {                                                                     \
        const struct sl_test_case cases[] = { __VA_ARGS__ };              \
        return sl_test_main(#suite, cases, SL_ARRAY_LEN(cases), seconds); \
    }
#define SL_TESTS(suite, ...) SL_TESTS_TIMEOUT(suite, 60, __VA_ARGS__)

#define ck_ok(call, err)                                                                           \
    do {                                                                                           \
        enum sl_rc ck_rc_ = (call);                                                                \
        ck_assert_msg(ck_rc_ == SL_OK, "%s: %s: %s", #call, sl_rc_name(ck_rc_), sl_err_text(err)); \
    } while (0)
#define ck_rc(call, want, err)                                                                \
    do {                                                                                      \
        enum sl_rc ck_rc_ = (call);                                                           \
        ck_assert_msg(ck_rc_ == (want), "%s: got %s, want %s: %s", #call, sl_rc_name(ck_rc_), \
                      sl_rc_name(want), sl_err_text(err));                                    \
    } while (0)
#define ck_bytes_eq(a, b)                                                    \
    do {                                                                     \
        struct sl_bytes ck_a_ = (a), ck_b_ = (b);                            \
        ck_assert_uint_eq(ck_a_.len, ck_b_.len);                             \
        ck_assert_mem_eq(ck_a_.len ? (const void *)ck_a_.p : "",             \
                         ck_b_.len ? (const void *)ck_b_.p : "", ck_a_.len); \
    } while (0)

/* Bytes from hex (spaces, colons, newlines ignored); freed at exit. Aborts on bad hex. */
struct sl_bytes sl_test_hex(const char *hex);
/* The content of tests/<path>; freed at exit. Aborts when it cannot be read. */
struct sl_bytes sl_test_file(const char *path);
/* SL_SEED from the environment, else dflt; prints it. */
uint64_t sl_test_seed(uint64_t dflt);
/* A temporary directory removed at exit. */
const char *sl_test_tmpdir(void);

#endif
