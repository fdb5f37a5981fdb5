/* The store of address leases: what was put is there after it was closed and opened again. */
#include "sealane/leases.h"

#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[512];

static struct sl_leases *open_it(void)
{
    struct sl_leases *s = NULL;
    struct sl_err err = { 0 };
    snprintf(path, sizeof(path), "%s/leases.db", sl_test_tmpdir());
    ck_ok(sl_leases_open(&s, path, &err), &err);
    return s;
}

static void put(struct sl_leases *s, const char *addr, const char *who, int64_t ended)
{
    struct sl_lease l = { .pool = "p", .identity = who, .since_s = 5, .ended_s = ended };
    struct sl_err err = { 0 };
    ck_assert(sl_addr_parse(&l.addr, addr));
    ck_ok(sl_leases_put(s, &l, &err), &err);
}

static char seen[512];
static bool see(void *ctx, const struct sl_lease *l)
{
    char text[SL_ADDR_TEXT];
    const size_t at = strlen(seen);
    (void)ctx;
    ck_assert_str_eq(l->pool, "p");
    ck_assert_int_eq(l->since_s, 5);
    snprintf(seen + at, sizeof(seen) - at, "%s=%s@%lld ", l->identity, sl_addr_text(text, &l->addr),
             (long long)l->ended_s);
    return true;
}

static const char *all(struct sl_leases *s)
{
    struct sl_err err = { 0 };
    seen[0] = '\0';
    ck_ok(sl_leases_each(s, see, NULL, &err), &err);
    return seen;
}

START_TEST(leases_outlive_the_process_in_the_order_of_their_ends)
{
    struct sl_leases *s = open_it();
    struct stat st;
    put(s, "10.9.0.1", "dns:a", 0);
    put(s, "10.9.0.2", "dns:b", 300);
    put(s, "2001:db8::1", "dns:c", 100);
    put(s, "10.9.0.2", "dns:d", 200); /* the same address: another's now */
    sl_leases_free(s);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    s = open_it();
    ck_assert_str_eq(all(s), "dns:c=2001:db8::1@100 dns:d=10.9.0.2@200 dns:a=10.9.0.1@0 ");
    struct sl_addr a;
    struct sl_err err = { 0 };
    ck_assert(sl_addr_parse(&a, "10.9.0.2"));
    ck_ok(sl_leases_drop(s, &a, &err), &err);
    ck_assert_str_eq(all(s), "dns:c=2001:db8::1@100 dns:a=10.9.0.1@0 ");
    sl_leases_free(s);
    unlink(path);
}
END_TEST

START_TEST(open_of_something_else_says_what_it_is)
{
    struct sl_leases *s = NULL;
    struct sl_err err = { 0 };
    snprintf(path, sizeof(path), "%s/other.db", sl_test_tmpdir());
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 200; i++)
        fputs("this is no database at all; ", f);
    fclose(f);
    ck_rc(sl_leases_open(&s, path, &err), SL_STORE, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), path));
    unlink(path);
}
END_TEST

SL_TESTS(leases, SL_CASE(leases_outlive_the_process_in_the_order_of_their_ends),
         SL_CASE(open_of_something_else_says_what_it_is))
