/*
 * The audit log: form of a line, group commit, every way of tampering that the chain and the head can
 * show, and repair after a crash.
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define T0 1763918430123456789LL /* 2025-11-23T17:20:30.123456789Z */

static char dir[128], log_path[160], head_path[160];

static void fresh_dir(void)
{
    static unsigned n;
    snprintf(dir, sizeof(dir), "%s/audit%u", sl_test_tmpdir(), n++);
    snprintf(log_path, sizeof(log_path), "%s/audit.jsonl", dir);
    snprintf(head_path, sizeof(head_path), "%s/head", dir);
}

static struct sl_audit *open_log(void)
{
    struct sl_audit *a = NULL;
    struct sl_err err = { 0 };
    ck_ok(sl_audit_open(&a, dir, &err), &err);
    return a;
}

static uint64_t append(struct sl_audit *a, const char *kind, json_t *body)
{
    uint64_t n = 0;
    struct sl_err err = { 0 };
    ck_ok(sl_audit_append(a, kind, body, T0, &n, &err), &err);
    json_decref(body);
    return n;
}

static void sync_log(struct sl_audit *a)
{
    struct sl_err err = { 0 };
    ck_ok(sl_audit_sync(a, &err), &err);
    ck_assert(!sl_audit_dirty(a));
}

/* A log of n decisions in a fresh directory. */
static void make_log(unsigned n)
{
    fresh_dir();
    struct sl_audit *a = open_log();
    for (unsigned i = 1; i <= n; i++) {
        ck_assert_uint_eq(
            append(a, "decision", json_pack("{s:s,s:i}", "peer", "dns:gw.example", "i", i)), i);
        if (i % 2 == 0)
            sync_log(a);
    }
    sync_log(a);
    sl_audit_close(a);
}

static struct sl_buf read_file(const char *path)
{
    struct sl_buf b = { 0 };
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    uint8_t chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        ck_assert(sl_buf_put(&b, sl_bytes(chunk, n)));
    fclose(f);
    return b;
}

static void write_file(const char *path, struct sl_bytes v)
{
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(v.p, 1, v.len, f), v.len);
    ck_assert_int_eq(fclose(f), 0);
}

static struct sl_audit_report verify(void)
{
    struct sl_audit_report r;
    struct sl_err err = { 0 };
    ck_ok(sl_audit_verify(dir, &r, &err), &err);
    ck_assert_msg((r.rc == SL_OK) == (r.text[0] == '\0') && (r.rc == SL_OK) == (r.bad == 0),
                  "%s: %s, bad %u", sl_rc_name(r.rc), r.text, (unsigned)r.bad);
    return r;
}

static void expect(enum sl_rc rc, uint64_t bad)
{
    struct sl_audit_report r = verify();
    ck_assert_msg(r.rc == rc, "got %s, want %s: %s", sl_rc_name(r.rc), sl_rc_name(rc), r.text);
    ck_assert_msg(r.bad == bad, "got record %" PRIu64 ", want %" PRIu64 ": %s", r.bad, bad, r.text);
}

/* Lines of a log, newline included; views into text. */
#define LINES_MAX 16
static size_t split_lines(struct sl_bytes text, struct sl_bytes lines[LINES_MAX])
{
    size_t n = 0;
    for (size_t at = 0; at < text.len; n++) {
        const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
        ck_assert(end && n < LINES_MAX);
        lines[n] = sl_bytes(text.p + at, (size_t)(end - text.p) + 1 - at);
        at += lines[n].len;
    }
    return n;
}

static void write_lines(const struct sl_bytes *lines, size_t n)
{
    SL_AUTO_BUF b = { 0 };
    for (size_t i = 0; i < n; i++)
        ck_assert(sl_buf_put(&b, lines[i]));
    write_file(log_path, sl_buf_bytes(&b));
}

/* ---- form --------------------------------------------------------------------------------------------- */
/* Hashes made with Python's hashlib. */
START_TEST(line_has_the_documented_bytes_and_hash)
{
    fresh_dir();
    struct sl_audit *a = open_log();
    (void)append(a, "decision", json_pack("{s:s,s:b}", "peer", "dns:gw-a.example", "ok", 1));
    (void)append(a, "ike-up", json_object());
    sync_log(a);
    sl_audit_close(a);
    SL_AUTO_BUF text = read_file(log_path);
    const char *want = "{\"n\":1,\"prev\":\""
                       "0000000000000000000000000000000000000000000000000000000000000000"
                       "\",\"t\":\"2025-11-23T17:20:30.123456Z\",\"kind\":\"decision\","
                       "\"peer\":\"dns:gw-a.example\",\"ok\":true,\"hash\":\""
                       "40ebe563d411005b52f80a399710eef6196c68de30d3e4819a290e0fdf7391d4"
                       "\"}\n"
                       "{\"n\":2,\"prev\":\""
                       "40ebe563d411005b52f80a399710eef6196c68de30d3e4819a290e0fdf7391d4"
                       "\",\"t\":\"2025-11-23T17:20:30.123456Z\",\"kind\":\"ike-up\",\"hash\":\""
                       "20d13bb2095630d4b5ac75df43832fc97af310253f1231d494f41dcb7f632740"
                       "\"}\n";
    ck_bytes_eq(sl_buf_bytes(&text), sl_str(want));
}
END_TEST

START_TEST(records_are_numbered_and_verified_across_reopening)
{
    make_log(5);
    struct sl_audit *a = open_log();
    ck_assert(!sl_audit_dirty(a));
    ck_assert_uint_eq(append(a, "ca.issue", NULL), 6);
    ck_assert(sl_audit_dirty(a));
    sync_log(a);
    sl_audit_close(a);
    struct sl_audit_report r = verify();
    ck_assert_int_eq(r.rc, SL_OK);
    ck_assert_uint_eq(r.records, 6);
    ck_assert_uint_eq(strlen(r.head), 64);
    struct stat st;
    ck_assert_int_eq(stat(log_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(queued_record_is_not_in_the_file_before_sync)
{
    fresh_dir();
    struct sl_audit *a = open_log();
    (void)append(a, "sa", NULL);
    struct stat st;
    ck_assert_int_eq(stat(log_path, &st), 0);
    ck_assert_int_eq(st.st_size, 0);
    ck_assert_uint_eq(verify().records, 0);
    sync_log(a);
    ck_assert_uint_eq(verify().records, 1);
    sl_audit_close(a);
}
END_TEST

START_TEST(text_of_a_peer_cannot_break_the_line)
{
    fresh_dir();
    struct sl_audit *a = open_log();
    (void)append(a, "decision",
                 json_pack("{s:s,s:{s:s}}", "peer", "x\"}\n{\"n\":2,\"hash\":\"", "in", "hash",
                           "\xc3\xa4\x1b[2J\x7f"));
    sync_log(a);
    sl_audit_close(a);
    SL_AUTO_BUF text = read_file(log_path);
    for (size_t i = 0; i + 1 < text.len; i++)
        ck_assert(text.p[i] >= 0x20 && text.p[i] < 0x80);
    expect(SL_OK, 0);
}
END_TEST

START_TEST(reserved_fields_and_kinds_are_refused)
{
    fresh_dir();
    struct sl_audit *a = open_log();
    struct sl_err err = { 0 };
    uint64_t n = 0;
    static const char *const fields[] = { "n", "prev", "t", "kind", "hash" };
    for (size_t i = 0; i < SL_ARRAY_LEN(fields); i++) {
        json_t *body = json_pack("{s:s}", fields[i], "x");
        ck_rc(sl_audit_append(a, "sa", body, T0, &n, &err), SL_USAGE, &err);
        json_decref(body);
    }
    static const char *const kinds[] = { "repair", "checkpoint", "", "Sa", "a b", "\"" };
    for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++)
        ck_rc(sl_audit_append(a, kinds[i], NULL, T0, &n, &err), SL_USAGE, &err);
    char *big = malloc(AUDIT_LINE_MAX);
    memset(big, 'x', AUDIT_LINE_MAX - 1);
    big[AUDIT_LINE_MAX - 1] = '\0';
    json_t *body = json_pack("{s:s}", "v", big);
    free(big);
    ck_rc(sl_audit_append(a, "sa", body, T0, &n, &err), SL_TOO_LARGE, &err);
    json_decref(body);
    ck_assert(!sl_audit_dirty(a));
    ck_assert_uint_eq(append(a, "sa", NULL), 1);
    sl_audit_close(a);
    expect(SL_OK, 0);
}
END_TEST

START_TEST(second_writer_is_refused)
{
    fresh_dir();
    struct sl_audit *a = open_log(), *b = NULL;
    struct sl_err err = { 0 };
    ck_rc(sl_audit_open(&b, dir, &err), SL_EXISTS, &err);
    ck_assert_ptr_null(b);
    sl_audit_close(a);
}
END_TEST

/* ---- tampering ------------------------------------------------------------------------------------------ */
START_TEST(every_changed_byte_is_found)
{
    make_log(4);
    SL_AUTO_BUF text = read_file(log_path);
    static const uint8_t masks[] = { 0x01, 0x20, 0x80 };
    for (size_t i = 0; i < text.len; i++)
        for (size_t m = 0; m < sizeof(masks); m++) {
            text.p[i] ^= masks[m];
            write_file(log_path, sl_buf_bytes(&text));
            struct sl_audit_report r = verify();
            ck_assert_msg(r.rc != SL_OK, "byte %zu ^ %02x was not found", i, masks[m]);
            text.p[i] ^= masks[m];
        }
    write_file(log_path, sl_buf_bytes(&text));
    expect(SL_OK, 0);
}
END_TEST

START_TEST(changed_record_is_named)
{
    make_log(4);
    SL_AUTO_BUF text = read_file(log_path);
    struct sl_bytes lines[LINES_MAX];
    ck_assert_uint_eq(split_lines(sl_buf_bytes(&text), lines), 4);
    text.p[(size_t)(lines[2].p - text.p) + lines[2].len / 2] ^= 1;
    write_file(log_path, sl_buf_bytes(&text));
    expect(SL_AUDIT_EDITED, 3);
    ck_assert_ptr_nonnull(strstr(verify().text, "record 3 (line 3)"));
}
END_TEST

START_TEST(removed_record_is_missing)
{
    make_log(5);
    SL_AUTO_BUF text = read_file(log_path);
    struct sl_bytes lines[LINES_MAX], left[LINES_MAX];
    size_t n = split_lines(sl_buf_bytes(&text), lines);
    for (size_t gone = 0; gone < n; gone++) {
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (i != gone)
                left[k++] = lines[i];
        write_lines(left, k);
        expect(SL_AUDIT_MISSING, gone + 1);
    }
}
END_TEST

START_TEST(exchanged_and_repeated_records_are_out_of_order)
{
    make_log(5);
    SL_AUTO_BUF text = read_file(log_path);
    struct sl_bytes lines[LINES_MAX];
    size_t n = split_lines(sl_buf_bytes(&text), lines);
    for (size_t i = 0; i + 1 < n; i++) {
        struct sl_bytes kept = lines[i];
        lines[i] = lines[i + 1];
        lines[i + 1] = kept;
        write_lines(lines, n);
        expect(SL_AUDIT_ORDER, i + 1);
        lines[i + 1] = lines[i];
        lines[i] = kept;
    }
    for (size_t i = 0; i < n; i++) {
        struct sl_bytes more[LINES_MAX];
        memcpy(more, lines, (i + 1) * sizeof(*lines));
        more[i + 1] = lines[i];
        memcpy(more + i + 2, lines + i + 1, (n - i - 1) * sizeof(*lines));
        write_lines(more, n + 1);
        expect(SL_AUDIT_ORDER, i + 1);
    }
}
END_TEST

/* Someone who can compute hashes: the chain alone shows an insertion, the head a rewritten history. */
START_TEST(forged_records_with_right_hashes_are_found)
{
    make_log(4);
    SL_AUTO_BUF text = read_file(log_path);
    struct sl_bytes lines[LINES_MAX], forged[LINES_MAX];
    size_t n = split_lines(sl_buf_bytes(&text), lines);
    struct audit_point at;
    char prev[AUDIT_HASH_HEX + 1];
    json_t *record;
    struct sl_err err = { 0 };
    ck_ok(audit_line_read(sl_bytes(lines[1].p, lines[1].len - 1), &at, prev, &record, &err), &err);
    json_decref(record);
    SL_AUTO_BUF rewritten = { 0 };
    for (size_t i = 2; i < n; i++)
        ck_ok(audit_line_write(&rewritten, &at, "decision", NULL, T0, &err), &err);
    struct sl_bytes fake[LINES_MAX];
    (void)split_lines(sl_buf_bytes(&rewritten), fake);
    /* inserted behind record 2 */
    memcpy(forged, lines, 2 * sizeof(*lines));
    forged[2] = fake[0];
    memcpy(forged + 3, lines + 2, (n - 2) * sizeof(*lines));
    write_lines(forged, n + 1);
    expect(SL_AUDIT_ORDER, 3);
    /* in place of record 3 */
    write_lines(forged, 3);
    forged[3] = lines[3];
    write_lines(forged, n);
    expect(SL_AUDIT_EDITED, 3);
    /* everything from record 3 on made anew */
    forged[3] = fake[1];
    write_lines(forged, n);
    expect(SL_AUDIT_EDITED, 4);
}
END_TEST

START_TEST(log_cut_at_any_byte_is_found)
{
    make_log(3);
    SL_AUTO_BUF text = read_file(log_path);
    for (size_t len = 0; len < text.len; len++) {
        write_file(log_path, sl_bytes(text.p, len));
        struct sl_audit_report r = verify();
        ck_assert_msg(r.rc == SL_AUDIT_MISSING, "cut at %zu: %s %s", len, sl_rc_name(r.rc), r.text);
    }
    ck_assert_int_eq(unlink(log_path), 0);
    expect(SL_AUDIT_MISSING, 1);
}
END_TEST

START_TEST(changed_or_missing_head_is_found)
{
    make_log(3);
    SL_AUTO_BUF head = read_file(head_path);
    for (size_t i = 0; i < head.len; i++) {
        head.p[i] ^= 1;
        write_file(head_path, sl_buf_bytes(&head));
        ck_assert_msg(verify().rc != SL_OK, "byte %zu", i);
        head.p[i] ^= 1;
        write_file(head_path, sl_bytes(head.p, i));
        ck_assert_msg(verify().rc != SL_OK, "length %zu", i);
    }
    ck_assert_int_eq(unlink(head_path), 0);
    expect(SL_AUDIT_MISSING, 3);
}
END_TEST

START_TEST(directory_without_a_log_is_not_found)
{
    fresh_dir();
    struct sl_audit_report r;
    struct sl_err err = { 0 };
    ck_rc(sl_audit_verify(dir, &r, &err), SL_NOT_FOUND, &err);
}
END_TEST

/* ---- repair ---------------------------------------------------------------------------------------------- */
static bool keep_last(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    (void)number;
    (void)line;
    json_decref(*(json_t **)ctx);
    *(json_t **)ctx = json_deep_copy(record);
    return true;
}

static json_t *last_record(void)
{
    json_t *last = NULL;
    struct sl_err err = { 0 };
    ck_ok(sl_audit_each(dir, 0, keep_last, &last, &err), &err);
    ck_assert_ptr_nonnull(last);
    return last;
}

static const char *text_of(const json_t *r, const char *key)
{
    const char *s = json_string_value(json_object_get(r, key));
    return s ? s : "";
}

START_TEST(torn_last_line_is_moved_away_and_recorded)
{
    make_log(3);
    SL_AUTO_BUF text = read_file(log_path);
    struct sl_bytes lines[LINES_MAX];
    (void)split_lines(sl_buf_bytes(&text), lines);
    /* The crash: record 3 was being written, the head still stands at 2. */
    struct audit_head old = { .size = (uint64_t)(lines[2].p - text.p) };
    char prev[AUDIT_HASH_HEX + 1], old_text[AUDIT_HEAD_LEN + 1];
    json_t *record;
    struct sl_err err = { 0 };
    ck_ok(audit_line_read(sl_bytes(lines[1].p, lines[1].len - 1), &old.at, prev, &record, &err),
          &err);
    json_decref(record);
    audit_head_write(old_text, &old);
    for (size_t len = 1; len < lines[2].len; len++) {
        write_file(log_path, sl_bytes(text.p, old.size + len));
        write_file(head_path, sl_str(old_text));
        if (len == 1 || len == lines[2].len - 1)
            expect(SL_AUDIT_TORN, 3);
        sl_audit_close(open_log());
        struct sl_audit_report r = verify();
        ck_assert_msg(r.rc == SL_OK && r.records == 3, "cut at %zu: %s", len, r.text);
        json_t *repair = last_record();
        ck_assert_str_eq(text_of(repair, "kind"), "repair");
        ck_assert_str_eq(text_of(repair, "reason"), "AUDIT_TORN");
        ck_assert_int_eq(json_integer_value(json_object_get(repair, "torn_bytes")),
                         (json_int_t)len);
        char torn[300];
        snprintf(torn, sizeof(torn), "%s/%s", dir, text_of(repair, "torn_file"));
        SL_AUTO_BUF kept = read_file(torn);
        ck_bytes_eq(sl_buf_bytes(&kept), sl_bytes(lines[2].p, len));
        ck_assert_int_eq(unlink(torn), 0);
        json_decref(repair);
    }
}
END_TEST

START_TEST(durable_record_behind_an_old_head_is_kept)
{
    make_log(2);
    SL_AUTO_BUF head = read_file(head_path);
    struct sl_audit *a = open_log();
    (void)append(a, "sa", NULL);
    sync_log(a);
    sl_audit_close(a);
    write_file(head_path, sl_buf_bytes(&head)); /* the crash came before the new head */
    expect(SL_OK, 0);
    a = open_log();
    ck_assert_uint_eq(append(a, "sa", NULL), 4);
    sl_audit_close(a);
    expect(SL_OK, 0);
    ck_assert_uint_eq(verify().records, 4);
}
END_TEST

START_TEST(lost_records_stay_visible_after_the_daemon_went_on)
{
    make_log(5);
    SL_AUTO_BUF text = read_file(log_path);
    struct sl_bytes lines[LINES_MAX];
    (void)split_lines(sl_buf_bytes(&text), lines);
    write_lines(lines, 3);
    struct sl_audit *a = open_log();
    ck_assert_uint_eq(append(a, "sa", NULL), 7); /* 6 is the repair */
    sl_audit_close(a);
    expect(SL_AUDIT_MISSING, 4);
    json_t *last = last_record();
    ck_assert_int_eq(json_integer_value(json_object_get(last, "n")), 7);
    json_decref(last);
    sl_audit_close(open_log());
    expect(SL_AUDIT_MISSING, 4);
}
END_TEST

START_TEST(lost_log_stays_visible_after_the_daemon_went_on)
{
    make_log(2);
    ck_assert_int_eq(unlink(log_path), 0);
    sl_audit_close(open_log());
    expect(SL_AUDIT_MISSING, 1);
}
END_TEST

START_TEST(lost_or_broken_head_is_recorded)
{
    make_log(2);
    ck_assert_int_eq(unlink(head_path), 0);
    sl_audit_close(open_log());
    json_t *r = last_record();
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(r, "found"), 0)),
                     "the head was missing");
    json_decref(r);
    char junk[500];
    memset(junk, 'x', sizeof(junk));
    write_file(head_path, sl_bytes(junk, sizeof(junk)));
    sl_audit_close(open_log());
    r = last_record();
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(r, "found"), 0)),
                     "the head could not be read");
    json_decref(r);
    expect(SL_OK, 0);
    ck_assert_uint_eq(verify().records, 4);
}
END_TEST

START_TEST(edit_while_stopped_is_still_found_after_a_start)
{
    make_log(3);
    SL_AUTO_BUF text = read_file(log_path);
    text.p[text.len - 100] ^= 1;
    write_file(log_path, sl_buf_bytes(&text));
    struct sl_audit *a = open_log();
    (void)append(a, "sa", NULL);
    sl_audit_close(a);
    expect(SL_AUDIT_EDITED, 3);
}
END_TEST

START_TEST(full_disk_refuses_the_sync_and_loses_nothing)
{
    make_log(2);
    struct sl_audit *a = open_log();
    struct sl_err err = { 0 };
    struct rlimit was, small;
    struct stat st;
    ck_assert_int_eq(stat(log_path, &st), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){ .rlim_cur = (rlim_t)st.st_size + 100, .rlim_max = was.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    (void)append(
        a, "sa",
        json_pack("{s:s}", "text", "a record that does not fit any more, with its hashes"));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum sl_rc rc = sl_audit_sync(a, &err);
    bool dirty = sl_audit_dirty(a);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
    ck_assert_int_eq(rc, SL_AUDIT_WRITE);
    ck_assert(dirty);
    expect(SL_OK, 0); /* nothing half written is left */
    ck_assert_uint_eq(verify().records, 2);
    sync_log(a);
    sl_audit_close(a);
    expect(SL_OK, 0);
    ck_assert_uint_eq(verify().records, 3);
}
END_TEST

START_TEST(queue_is_bounded_while_syncs_fail)
{
    fresh_dir();
    struct sl_audit *a = open_log();
    struct sl_err err = { 0 };
    uint64_t n;
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = '\0';
    json_t *body = json_pack("{s:s}", "v", big);
    free(big);
    enum sl_rc rc = SL_OK;
    for (int i = 0; i < 100 && rc == SL_OK; i++)
        rc = sl_audit_append(a, "sa", body, T0, &n, &err);
    json_decref(body);
    ck_assert_int_eq(rc, SL_AUDIT_WRITE);
    sl_audit_close(a);
}
END_TEST

/* ---- walking ---------------------------------------------------------------------------------------------- */
struct walked {
    uint64_t first, last, count, stop;
};
static bool walk(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    struct walked *w = ctx;
    ck_assert_int_eq(json_integer_value(json_object_get(record, "n")), (json_int_t)number);
    ck_assert(line.len > 0 && line.p[line.len - 1] == '}');
    w->first = w->first ? w->first : number;
    w->last = number;
    w->count++;
    return number != w->stop;
}

START_TEST(walk_starts_and_stops_where_told)
{
    make_log(6);
    struct sl_err err = { 0 };
    struct walked w = { .stop = 5 };
    ck_ok(sl_audit_each(dir, 3, walk, &w, &err), &err);
    ck_assert(w.first == 3 && w.last == 5 && w.count == 3);
    SL_AUTO_BUF text = read_file(log_path);
    text.p[10] ^= 1;
    write_file(log_path, sl_buf_bytes(&text));
    w = (struct walked){ 0 };
    ck_rc(sl_audit_each(dir, 0, walk, &w, &err), SL_AUDIT_EDITED, &err);
    ck_assert(w.first == 2 && w.last == 6 && w.count == 5);
    fresh_dir();
    ck_rc(sl_audit_each(dir, 0, walk, &w, &err), SL_NOT_FOUND, &err);
}
END_TEST

SL_TESTS_TIMEOUT(audit, 120, SL_CASE(line_has_the_documented_bytes_and_hash),
                 SL_CASE(records_are_numbered_and_verified_across_reopening),
                 SL_CASE(queued_record_is_not_in_the_file_before_sync),
                 SL_CASE(text_of_a_peer_cannot_break_the_line),
                 SL_CASE(reserved_fields_and_kinds_are_refused), SL_CASE(second_writer_is_refused),
                 SL_CASE(every_changed_byte_is_found), SL_CASE(changed_record_is_named),
                 SL_CASE(removed_record_is_missing),
                 SL_CASE(exchanged_and_repeated_records_are_out_of_order),
                 SL_CASE(forged_records_with_right_hashes_are_found),
                 SL_CASE(log_cut_at_any_byte_is_found), SL_CASE(changed_or_missing_head_is_found),
                 SL_CASE(directory_without_a_log_is_not_found),
                 SL_CASE(torn_last_line_is_moved_away_and_recorded),
                 SL_CASE(durable_record_behind_an_old_head_is_kept),
                 SL_CASE(lost_records_stay_visible_after_the_daemon_went_on),
                 SL_CASE(lost_log_stays_visible_after_the_daemon_went_on),
                 SL_CASE(lost_or_broken_head_is_recorded),
                 SL_CASE(edit_while_stopped_is_still_found_after_a_start),
                 SL_CASE(full_disk_refuses_the_sync_and_loses_nothing),
                 SL_CASE(queue_is_bounded_while_syncs_fail),
                 SL_CASE(walk_starts_and_stops_where_told))
