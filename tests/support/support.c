/* Shared by all test programs; see support.h. */
#include "support/support.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct owned {
    struct owned *next;
    void *p;
};
static struct owned *owned_list;
static char tmpdir[64];

static void free_owned(void)
{
    while (owned_list) {
        struct owned *next = owned_list->next;
        free(owned_list->p);
        free(owned_list);
        owned_list = next;
    }
}

static void *own(void *p)
{
    struct owned *o = malloc(sizeof(*o));
    if (!p || !o)
        abort();
    if (!owned_list)
        atexit(free_owned);
    *o = (struct owned){ .next = owned_list, .p = p };
    owned_list = o;
    return p;
}

int sl_test_main(const char *suite, const struct sl_test_case *cases, size_t n, double timeout_s)
{
    Suite *s = suite_create(suite);
    for (size_t i = 0; i < n; i++) {
        TCase *tc = tcase_create(cases[i].name);
        tcase_set_timeout(tc, timeout_s);
        tcase_add_test(tc, cases[i].test);
        suite_add_tcase(s, tc);
    }
    SRunner *sr = srunner_create(s);
#if defined(__SANITIZE_THREAD__)
    srunner_set_fork_status(sr, CK_NOFORK);
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
    srunner_set_fork_status(sr, CK_NOFORK); /* so that leaks are looked for at exit */
#endif
#endif
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

struct sl_bytes sl_test_hex(const char *hex)
{
    size_t len = strlen(hex), n = 0;
    uint8_t *out = own(malloc(len / 2 + 1));
    unsigned half = 0, have = 0;
    for (size_t i = 0; i < len; i++) {
        if (strchr(" :\n\t", hex[i]))
            continue;
        const char *digits = "0123456789abcdef";
        const char *at = strchr(digits, hex[i] | 0x20);
        if (!at || !*at)
            abort();
        half = half << 4 | (unsigned)(at - digits);
        if (++have == 2) {
            out[n++] = (uint8_t)half;
            half = have = 0;
        }
    }
    if (have)
        abort();
    return sl_bytes(out, n);
}

struct sl_bytes sl_test_file(const char *path)
{
    char full[1024];
    snprintf(full, sizeof(full), "%s/%s", SL_TEST_DIR, path);
    FILE *f = fopen(full, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s\n", full, strerror(errno));
        abort();
    }
    SL_AUTO_BUF b = { 0 };
    uint8_t chunk[4096];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), f)) > 0)
        if (!sl_buf_put(&b, sl_bytes(chunk, got)))
            abort();
    fclose(f);
    if (!sl_buf_nul(&b))
        abort();
    struct sl_bytes out = sl_bytes(own(b.p), b.len);
    b = (struct sl_buf){ 0 };
    return out;
}

uint64_t sl_test_seed(uint64_t dflt)
{
    const char *env = getenv("SL_SEED");
    uint64_t seed = env ? strtoull(env, NULL, 0) : dflt;
    fprintf(stderr, "seed %" PRIu64 " (repeat with SL_SEED=%" PRIu64 ")\n", seed, seed);
    return seed;
}

static pid_t tmpdir_pid;
static void remove_tmpdir(void)
{
    if (getpid() != tmpdir_pid)
        return;
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", tmpdir);
    if (system(cmd) != 0)
        fprintf(stderr, "%s was not removed\n", tmpdir);
}

const char *sl_test_tmpdir(void)
{
    if (tmpdir_pid != getpid()) {
        strcpy(tmpdir, "/tmp/sealane-test.XXXXXX");
        if (!mkdtemp(tmpdir))
            abort();
        tmpdir_pid = getpid();
        atexit(remove_tmpdir);
    }
    return tmpdir;
}
