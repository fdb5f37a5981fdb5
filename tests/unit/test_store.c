/* The SQLite store: its two promises (record before hand-out, no serial twice) and its verbs. */
#include "sealane/store.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *db(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", sl_test_tmpdir(), name);
    return path;
}

static struct sl_store *open_store(const char *name)
{
    struct sl_err err = { 0 };
    struct sl_store *s = NULL;
    ck_ok(sl_store_open(&s, db(name), &err), &err);
    return s;
}

static struct sl_request request(const char *transaction, enum sl_request_state state)
{
    struct sl_request r = { .state = state,
                            .kind = "pkcsreq",
                            .transaction_id = transaction,
                            .spki = sl_str("spki"),
                            .subject = sl_str("subject"),
                            .san = sl_bytes(NULL, 0),
                            .subject_text = "CN=a",
                            .source = "192.0.2.1",
                            .old_serial = "",
                            .created = 1000,
                            .reason = "" };
    memset(r.digest, 1, sizeof(r.digest));
    memset(r.signer, 2, sizeof(r.signer));
    return r;
}

static enum sl_rc add(struct sl_store *s, const char *transaction, enum sl_request_state state,
                      const uint8_t *challenge, int64_t *id, struct sl_err *err)
{
    struct sl_request r = request(transaction, state);
    return sl_store_request_add(s, &r, challenge, 2, id, err);
}

static enum sl_rc copy_state(void *ctx, const struct sl_request *r, struct sl_err *err)
{
    (void)err;
    *(enum sl_request_state *)ctx = r->state;
    return SL_OK;
}

static enum sl_rc copy_cert_state(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    (void)err;
    *(enum sl_cert_state *)ctx = row->state;
    return SL_OK;
}

static struct sl_cert_row cert(const char *serial, int64_t id)
{
    struct sl_cert_row row = { .kind = "device",
                               .request = id,
                               .der = sl_str("DER"),
                               .subject_text = "CN=a",
                               .not_before = 1,
                               .not_after = 2000000000,
                               .issued = 1001 };
    snprintf(row.serial, sizeof(row.serial), "%s", serial);
    return row;
}

START_TEST(open_makes_a_private_file_and_keeps_what_it_holds)
{
    struct sl_err err = { 0 };
    struct sl_store *s = open_store("values.db");
    struct stat st;
    ck_assert_int_eq(stat(db("values.db"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    struct sl_store_value v[] = { { "a", sl_str("1") }, { "b", sl_bytes(NULL, 0) } };
    ck_ok(sl_store_values_put(s, v, 2, &err), &err);
    v[0].value = sl_str("3");
    ck_ok(sl_store_values_put(s, v, 1, &err), &err);
    sl_store_free(s);
    s = open_store("values.db");
    SL_AUTO_BUF b = { 0 };
    ck_ok(sl_store_value_get(s, "a", &b, &err), &err);
    ck_bytes_eq(sl_buf_bytes(&b), sl_str("3"));
    b.len = 0;
    ck_ok(sl_store_value_get(s, "b", &b, &err), &err);
    ck_assert_uint_eq(b.len, 0);
    ck_rc(sl_store_value_get(s, "c", &b, &err), SL_NOT_FOUND, &err);
    sl_store_free(s);
}
END_TEST

START_TEST(open_of_something_else_is_an_error)
{
    struct sl_err err = { 0 };
    struct sl_store *s = NULL;
    FILE *f = fopen(db("junk.db"), "w");
    for (int i = 0; i < 1000; i++)
        fprintf(f, "this is not a database\n");
    fclose(f);
    ck_rc(sl_store_open(&s, db("junk.db"), &err), SL_STORE, &err);
    ck_assert_ptr_null(s);
    ck_rc(sl_store_open(&s, "/nonexistent/x.db", &err), SL_STORE, &err);
}
END_TEST

static void add_challenge(struct sl_store *s, uint8_t id, int64_t expires)
{
    struct sl_err err = { 0 };
    struct sl_store_challenge c = { .name = "gw-a", .san = sl_str("san"), .expires = expires };
    memset(c.hash, id, sizeof(c.hash));
    ck_ok(sl_store_challenge_add(s, &c, &err), &err);
}

START_TEST(challenge_is_used_once_and_with_its_request_or_not_at_all)
{
    struct sl_err err = { 0 };
    struct sl_store *s = open_store("challenge.db");
    uint8_t good[SL_STORE_HASH], late[SL_STORE_HASH], none[SL_STORE_HASH];
    memset(good, 7, sizeof(good));
    memset(late, 8, sizeof(late));
    memset(none, 9, sizeof(none));
    add_challenge(s, 7, 2000);
    add_challenge(s, 8, 1000); /* requests are made at 1000 */
    SL_AUTO_BUF name = { 0 };
    SL_AUTO_BUF san = { 0 };
    ck_ok(sl_store_challenge_look(s, good, 1999, &name, &san, &err), &err);
    ck_assert_str_eq((char *)name.p, "gw-a");
    ck_bytes_eq(sl_buf_bytes(&san), sl_str("san"));
    ck_rc(sl_store_challenge_look(s, good, 2000, &name, &san, &err), SL_CA_CHALLENGE_EXPIRED, &err);
    int64_t id = 0;
    ck_rc(add(s, "t1", SL_REQUEST_APPROVED, none, &id, &err), SL_CA_CHALLENGE_WRONG, &err);
    ck_rc(add(s, "t1", SL_REQUEST_APPROVED, late, &id, &err), SL_CA_CHALLENGE_EXPIRED, &err);
    enum sl_request_state state = 0;
    uint8_t digest[SL_STORE_HASH];
    memset(digest, 1, sizeof(digest));
    /* refused: the request was not added either */
    ck_rc(sl_store_request_find(s, "t1", digest, copy_state, &state, &err), SL_NOT_FOUND, &err);
    ck_ok(add(s, "t1", SL_REQUEST_APPROVED, good, &id, &err), &err);
    ck_assert_int_gt(id, 0);
    ck_rc(add(s, "t2", SL_REQUEST_APPROVED, good, &id, &err), SL_CA_CHALLENGE_USED, &err);
    ck_rc(sl_store_challenge_look(s, good, 1500, &name, &san, &err), SL_CA_CHALLENGE_USED, &err);
    /* a repetition of the request does not reach the challenge */
    ck_rc(add(s, "t1", SL_REQUEST_APPROVED, good, &id, &err), SL_EXISTS, &err);
    ck_ok(sl_store_challenge_purge(s, 1500, &err), &err);
    ck_rc(sl_store_challenge_look(s, late, 1500, &name, &san, &err), SL_CA_CHALLENGE_WRONG, &err);
    sl_store_free(s);
}
END_TEST

START_TEST(pending_requests_are_decided_once_and_are_limited)
{
    struct sl_err err = { 0 };
    struct sl_store *s = open_store("pending.db");
    int64_t a = 0, b = 0, c = 0;
    ck_ok(add(s, "a", SL_REQUEST_PENDING, NULL, &a, &err), &err);
    ck_ok(add(s, "b", SL_REQUEST_PENDING, NULL, &b, &err), &err);
    ck_rc(add(s, "c", SL_REQUEST_PENDING, NULL, &c, &err), SL_UNAVAILABLE, &err);
    ck_ok(sl_store_request_decide(s, a, true, "", 1002, &err), &err);
    ck_rc(sl_store_request_decide(s, a, false, "", 1002, &err), SL_EXISTS, &err);
    ck_ok(sl_store_request_decide(s, b, false, "unknown device", 1002, &err), &err);
    ck_rc(sl_store_request_decide(s, 99, true, "", 1002, &err), SL_NOT_FOUND, &err);
    enum sl_request_state state = 0;
    ck_ok(sl_store_request_get(s, a, copy_state, &state, &err), &err);
    ck_assert_int_eq(state, SL_REQUEST_APPROVED);
    ck_ok(sl_store_request_get(s, b, copy_state, &state, &err), &err);
    ck_assert_int_eq(state, SL_REQUEST_REJECTED);
    ck_ok(add(s, "c", SL_REQUEST_PENDING, NULL, &c, &err), &err);
    uint8_t signer[SL_STORE_HASH];
    memset(signer, 2, sizeof(signer));
    ck_ok(sl_store_request_poll(s, "c", signer, copy_state, &state, &err), &err);
    ck_assert_int_eq(state, SL_REQUEST_PENDING);
    signer[0] = 3;
    ck_rc(sl_store_request_poll(s, "c", signer, copy_state, &state, &err), SL_NOT_FOUND, &err);
    sl_store_free(s);
}
END_TEST

START_TEST(serial_is_never_taken_twice)
{
    struct sl_err err = { 0 };
    struct sl_store *s = open_store("serial.db");
    int64_t id = 0;
    ck_ok(add(s, "t", SL_REQUEST_APPROVED, NULL, &id, &err), &err);
    ck_ok(sl_store_reserve(s, "0a", "device", id, 1000, &err), &err);
    ck_rc(sl_store_reserve(s, "0a", "device", 0, 1000, &err), SL_EXISTS, &err);
    /* taking another for the same request gives the first one up, for ever */
    ck_ok(sl_store_reserve(s, "0b", "device", id, 1000, &err), &err);
    struct sl_cert_row first = cert("0a", id), second = cert("0b", id);
    ck_rc(sl_store_issued(s, &first, NULL, 0, &err), SL_NOT_FOUND, &err);
    ck_ok(sl_store_issued(s, &second, NULL, 0, &err), &err);
    ck_rc(sl_store_issued(s, &second, NULL, 0, &err), SL_NOT_FOUND, &err);
    enum sl_cert_state state = 0;
    ck_ok(sl_store_cert_get(s, "0a", copy_cert_state, &state, &err), &err);
    ck_assert_int_eq(state, SL_CERT_ABANDONED);
    ck_ok(sl_store_reserve(s, "0c", "device", 0, 1000, &err), &err);
    sl_store_free(s);
    s = open_store("serial.db"); /* as after a kill: what was open is given up */
    ck_ok(sl_store_cert_get(s, "0c", copy_cert_state, &state, &err), &err);
    ck_assert_int_eq(state, SL_CERT_ABANDONED);
    const char *taken[] = { "0a", "0b", "0c" };
    for (size_t i = 0; i < 3; i++)
        ck_rc(sl_store_reserve(s, taken[i], "device", 0, 1000, &err), SL_EXISTS, &err);
    struct sl_store_counts n;
    ck_ok(sl_store_count(s, 1000, &n, &err), &err);
    ck_assert_int_eq(n.issued, 1);
    ck_assert_int_eq(n.abandoned, 2);
    sl_store_free(s);
}
END_TEST

START_TEST(revocation_happens_once_and_only_to_what_was_issued)
{
    struct sl_err err = { 0 };
    struct sl_store *s = open_store("revoke.db");
    ck_ok(sl_store_reserve(s, "0a", "device", 0, 1000, &err), &err);
    ck_rc(sl_store_revoke(s, "0a", 1, 1001, &err), SL_NOT_FOUND, &err);
    struct sl_cert_row row = cert("0a", 0);
    ck_ok(sl_store_issued(s, &row, NULL, 0, &err), &err);
    ck_ok(sl_store_revoke(s, "0a", 1, 1001, &err), &err);
    ck_rc(sl_store_revoke(s, "0a", 1, 1002, &err), SL_EXISTS, &err);
    ck_rc(sl_store_revoke(s, "0f", 1, 1002, &err), SL_NOT_FOUND, &err);
    sl_store_free(s);
}
END_TEST

START_TEST(crl_numbers_rise_for_each_issuer_also_after_reopening)
{
    struct sl_err err = { 0 };
    struct sl_store *s = open_store("crl.db");
    int64_t n = 0, from = 0, to = 0;
    for (int64_t want = 1; want <= 3; want++) {
        ck_ok(sl_store_crl_number(s, "issuing", &n, &err), &err);
        ck_assert_int_eq(n, want);
        sl_store_free(s);
        s = open_store("crl.db");
    }
    ck_ok(sl_store_crl_number(s, "root", &n, &err), &err);
    ck_assert_int_eq(n, 1);
    SL_AUTO_BUF der = { 0 };
    ck_rc(sl_store_crl_get(s, "issuing", &der, &n, &from, &to, &err), SL_NOT_FOUND, &err);
    ck_ok(sl_store_crl_put(s, "issuing", 2, sl_str("two"), 10, 20, &err), &err);
    ck_ok(sl_store_crl_put(s, "issuing", 3, sl_str("three"), 11, 21, &err), &err);
    ck_rc(sl_store_crl_put(s, "issuing", 3, sl_str("other"), 11, 21, &err), SL_EXISTS, &err);
    ck_ok(sl_store_crl_get(s, "issuing", &der, &n, &from, &to, &err), &err);
    ck_bytes_eq(sl_buf_bytes(&der), sl_str("three"));
    ck_assert_int_eq(n, 3);
    ck_assert_int_eq(to, 21);
    sl_store_free(s);
}
END_TEST

/* Reserves and completes serials, telling each on fd once it is on record, until it is killed. */
static void issue_for_ever(const char *path, unsigned round, int fd)
{
    struct sl_store *s = NULL;
    if (sl_store_open(&s, path, NULL) != SL_OK)
        _exit(2);
    for (unsigned i = 0;; i++) {
        char serial[SL_SERIAL_TEXT];
        snprintf(serial, sizeof(serial), "%08x%08x", round, i);
        struct sl_cert_row row = cert(serial, 0);
        if (sl_store_reserve(s, serial, "device", 0, 1000, NULL) != SL_OK ||
            sl_store_issued(s, &row, NULL, 0, NULL) != SL_OK || write(fd, serial, 17) != 17)
            _exit(3);
    }
}

START_TEST(kill_at_any_moment_loses_nothing_that_was_told)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(20261123));
    struct sl_rng rng = sl_rng_seeded(&state);
    struct sl_err err = { 0 };
    unsigned told = 0;
    sl_store_free(open_store("kill.db"));
    char path[128]; /* the folder belongs to this process */
    snprintf(path, sizeof(path), "%s", db("kill.db"));
    for (unsigned round = 0; round < 25; round++) {
        int p[2];
        ck_assert_int_eq(pipe(p), 0);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            close(p[0]);
            issue_for_ever(path, round, p[1]);
        }
        close(p[1]);
        struct timespec nap = { .tv_nsec = (long)(5000000 + sl_rng_below(&rng, 40000000)) };
        nanosleep(&nap, NULL);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        struct sl_store *s = open_store("kill.db");
        char serial[17];
        while (read(p[0], serial, 17) == 17) {
            enum sl_cert_state got = 0;
            ck_ok(sl_store_cert_get(s, serial, copy_cert_state, &got, &err), &err);
            ck_assert_int_eq(got, SL_CERT_ISSUED);
            told++;
        }
        close(p[0]);
        sl_store_free(s);
    }
    ck_assert_uint_gt(told, 25); /* the test did test something */
}
END_TEST

SL_TESTS(store, SL_CASE(open_makes_a_private_file_and_keeps_what_it_holds),
         SL_CASE(open_of_something_else_is_an_error),
         SL_CASE(challenge_is_used_once_and_with_its_request_or_not_at_all),
         SL_CASE(pending_requests_are_decided_once_and_are_limited),
         SL_CASE(serial_is_never_taken_twice),
         SL_CASE(revocation_happens_once_and_only_to_what_was_issued),
         SL_CASE(crl_numbers_rise_for_each_issuer_also_after_reopening),
         SL_CASE(kill_at_any_moment_loses_nothing_that_was_told))
