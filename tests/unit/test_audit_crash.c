/*
 * A writer of the audit log is killed at random moments, and the unsynced end of the file is cut at a
 * random byte as a loss of power would: every record whose sync was acknowledged is there afterwards,
 * and the log verifies.
 */
#include "src/audit/impl.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 60

static char dir[128];

/* Appends in groups until killed; tells the number of each record made durable. */
static _Noreturn void writer(int ack_fd, uint64_t seed)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, seed);
    struct sl_rng rng = sl_rng_seeded(&state);
    struct sl_audit *a = NULL;
    if (sl_audit_open(&a, dir, NULL) != SL_OK)
        _exit(3);
    for (;;) {
        uint64_t n = 0, group = 1 + sl_rng_below(&rng, 5);
        for (uint64_t i = 0; i < group; i++) {
            char text[2000];
            size_t len = (size_t)sl_rng_below(&rng, sizeof(text) - 1);
            memset(text, 'a', len);
            text[len] = '\0';
            json_t *body = json_pack("{s:s}", "text", text);
            if (sl_audit_append(a, "decision", body, sl_clock_utc_ns(), &n, NULL) != SL_OK)
                _exit(4);
            json_decref(body);
        }
        if (sl_audit_sync(a, NULL) != SL_OK || write(ack_fd, &n, sizeof(n)) != sizeof(n))
            _exit(5);
    }
}

/* Bytes behind the head were never acknowledged: a loss of power may take any of them. */
static void lose_power(const struct sl_rng *rng)
{
    struct audit_head head;
    struct stat st;
    char path[200];
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    if (audit_head_load(&head, dir, NULL) != SL_OK || stat(path, &st) != 0 ||
        (uint64_t)st.st_size <= head.size)
        return;
    uint64_t cut = head.size + sl_rng_below(rng, (uint64_t)st.st_size - head.size + 1);
    ck_assert_int_eq(truncate(path, (off_t)cut), 0);
}

START_TEST(killed_writer_loses_no_acknowledged_record)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(20261123));
    struct sl_rng rng = sl_rng_seeded(&state);
    snprintf(dir, sizeof(dir), "%s/audit", sl_test_tmpdir());
    uint64_t acknowledged = 0;
    unsigned repairs = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fds[2];
        ck_assert_int_eq(pipe(fds), 0);
        uint64_t seed = sl_rng_u64(&rng);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            close(fds[0]);
            writer(fds[1], seed);
        }
        close(fds[1]);
        struct timespec wait = { .tv_nsec = (long)sl_rng_below(&rng, 20 * SL_NS_PER_MS) };
        nanosleep(&wait, NULL);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                      "the writer ended with status %x", (unsigned)status);
        for (uint64_t n; read(fds[0], &n, sizeof(n)) == sizeof(n);)
            acknowledged = n;
        close(fds[0]);
        lose_power(&rng);

        struct sl_audit *a = NULL;
        struct sl_err err = { 0 };
        struct sl_audit_report before, after;
        enum sl_rc rc = sl_audit_verify(dir, &before, &err);
        if (rc == SL_NOT_FOUND) /* killed before it made the log */
            continue;
        ck_ok(rc, &err);
        ck_assert_msg(before.rc == SL_OK || before.rc == SL_AUDIT_TORN, "round %u: %s", round,
                      before.text);
        ck_assert_msg(before.records >= acknowledged,
                      "round %u: %" PRIu64 " of %" PRIu64 " records", round, before.records,
                      acknowledged);
        ck_ok(sl_audit_open(&a, dir, &err), &err);
        sl_audit_close(a);
        ck_ok(sl_audit_verify(dir, &after, &err), &err);
        ck_assert_msg(after.rc == SL_OK, "round %u: %s", round, after.text);
        repairs += before.rc == SL_AUDIT_TORN;
        ck_assert_uint_eq(after.records, before.records + (before.rc == SL_AUDIT_TORN));
    }
    ck_assert_uint_gt(acknowledged, 0);
    fprintf(stderr, "%u kills, %" PRIu64 " records acknowledged, %u torn ends repaired\n", ROUNDS,
            acknowledged, repairs);
}
END_TEST

SL_TESTS_TIMEOUT(audit_crash, 120, SL_CASE(killed_writer_loses_no_acknowledged_record))
