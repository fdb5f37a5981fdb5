/* Unit tests of src/base: bytes, text, errors, secrets, time, randomness, addresses. */
#include "sealane/log.h"
#include "sealane/net.h"
#include "sealane/rng.h"
#include "sealane/secret.h"
#include "sealane/time.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(reader_past_end_is_sticky)
{
    struct sl_rd r = sl_rd(sl_test_hex("0102 03"));
    ck_assert_uint_eq(sl_rd_u16(&r), 0x0102);
    ck_assert_uint_eq(sl_rd_u32(&r), 0);
    ck_assert(!sl_rd_ok(&r));
    ck_assert_uint_eq(sl_rd_u8(&r), 0); /* the byte that is there is not given any more */
    ck_assert(!sl_rd_done(&r));
}
END_TEST

START_TEST(reader_with_bytes_left_is_not_done)
{
    struct sl_rd r = sl_rd(sl_test_hex("0001 ff 00"));
    struct sl_rd body;
    ck_assert(sl_rd_sub16(&r, &body));
    ck_assert_uint_eq(sl_rd_u8(&body), 0xff);
    ck_assert(sl_rd_done(&body));
    ck_assert(sl_rd_ok(&r) && !sl_rd_done(&r));
    sl_rd_skip(&r, 1);
    ck_assert(sl_rd_done(&r));
}
END_TEST

START_TEST(writer_output_cut_anywhere_does_not_read)
{
    SL_AUTO_BUF b = { 0 };
    struct sl_wr w = sl_wr_buf(&b, 1000);
    sl_wr_u8(&w, 1);
    sl_wr_u16(&w, 0x0203);
    sl_wr_u24(&w, 0x040506);
    sl_wr_u32(&w, 0x0708090a);
    sl_wr_u64(&w, 0x0b0c0d0e0f101112);
    size_t m16 = sl_wr_open16(&w), m32 = sl_wr_open32(&w);
    sl_wr_str16(&w, "ab");
    sl_wr_close32(&w, m32);
    sl_wr_close16(&w, m16);
    ck_assert(sl_wr_ok(&w));
    ck_bytes_eq(sl_buf_bytes(&b), sl_test_hex("01 0203 040506 0708090a 0b0c0d0e0f101112"
                                              "0008 00000004 0002 6162"));
    for (size_t cut = 0; cut <= b.len; cut++) {
        struct sl_rd r = sl_rd(sl_bytes(b.p, cut)), body;
        sl_rd_skip(&r, 1 + 2 + 3 + 4 + 8);
        sl_rd_sub16(&r, &body);
        ck_assert(sl_rd_done(&r) == (cut == b.len));
    }
}
END_TEST

START_TEST(writer_past_its_limit_fails)
{
    uint8_t mem[4];
    struct sl_wr w = sl_wr_fixed(mem, sizeof(mem));
    sl_wr_u32(&w, 1);
    ck_assert(sl_wr_ok(&w));
    sl_wr_u8(&w, 1);
    ck_assert(!sl_wr_ok(&w));

    SL_AUTO_BUF b = { 0 };
    w = sl_wr_buf(&b, 3);
    sl_wr_u16(&w, 1);
    sl_wr_u16(&w, 1);
    ck_assert(!sl_wr_ok(&w));

    static const uint8_t big[UINT16_MAX + 1];
    w = sl_wr_buf(&b, SL_BUF_MAX);
    sl_wr_part16(&w, sl_bytes(big, sizeof(big)));
    ck_assert(!sl_wr_ok(&w));
    w = sl_wr_buf(&b, SL_BUF_MAX);
    size_t mark = sl_wr_open16(&w);
    sl_wr_put(&w, sl_bytes(big, sizeof(big)));
    sl_wr_close16(&w, mark);
    ck_assert(!sl_wr_ok(&w));
}
END_TEST

START_TEST(size_arithmetic_overflow_is_seen)
{
    size_t out = 7;
    ck_assert(!sl_add(SIZE_MAX, 1, &out) && !sl_mul(SIZE_MAX / 2 + 1, 2, &out));
    ck_assert_uint_eq(out, 7);
    ck_assert(sl_add(1, 2, &out) && out == 3);
}
END_TEST

START_TEST(base64_matches_rfc4648)
{
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const coded[] = { "",         "Zg==",     "Zm8=",    "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++) {
        SL_AUTO_BUF b = { 0 }, back = { 0 };
        ck_assert(sl_base64(&b, sl_str(plain[i])));
        ck_bytes_eq(sl_buf_bytes(&b), sl_str(coded[i]));
        ck_assert(sl_unbase64(&back, sl_buf_bytes(&b)));
        ck_bytes_eq(sl_buf_bytes(&back), sl_str(plain[i]));
    }
    static const char *const bad[] = { "Z",        "Zg",   "Zg=",  "Zh==",  "Zm9=",
                                       "Zg==Zg==", "=Zg=", "Zg=a", "Zm9v*", "====" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        SL_AUTO_BUF b = { 0 };
        ck_assert_msg(!sl_unbase64(&b, sl_str(bad[i])), "%s", bad[i]);
        ck_assert_uint_eq(b.len, 0);
    }
}
END_TEST

START_TEST(base64_longer_than_a_step_round_trips)
{
    SL_AUTO_BUF in = { 0 }, text = { 0 }, back = { 0 };
    for (unsigned i = 0; i < 200000; i++)
        ck_assert(sl_buf_put(&in, sl_bytes(&(uint8_t){ (uint8_t)(i * 7) }, 1)));
    ck_assert(sl_base64(&text, sl_buf_bytes(&in)));
    ck_assert(sl_unbase64(&back, sl_buf_bytes(&text)));
    ck_bytes_eq(sl_buf_bytes(&back), sl_buf_bytes(&in));
}
END_TEST

START_TEST(hex_reads_what_it_writes)
{
    char text[16];
    SL_AUTO_BUF b = { 0 };
    ck_assert_str_eq(sl_hex(text, sizeof(text), sl_test_hex("00ff10")), "00ff10");
    ck_assert_str_eq(sl_hex(text, 4, sl_test_hex("00ff10")), "00");
    ck_assert(sl_unhex(&b, "00:FF:10"));
    ck_bytes_eq(sl_buf_bytes(&b), sl_test_hex("00ff10"));
    ck_assert(!sl_unhex(&b, "0") && !sl_unhex(&b, "0g") && !sl_unhex(&b, "00:"));
    ck_assert_uint_eq(b.len, 3);
}
END_TEST

START_TEST(printable_escapes_what_could_forge_a_line)
{
    char out[32];
    ck_assert_str_eq(sl_printable(out, sizeof(out), sl_str("a\nb\\\x7f")), "a\\x0ab\\x5c\\x7f");
    ck_assert_str_eq(sl_printable(out, 4, sl_str("ab\n")), "ab");
}
END_TEST

START_TEST(reason_names_are_unique_and_found)
{
    for (unsigned i = 0; i < SL_RC_COUNT; i++) {
        ck_assert_uint_eq(sl_rc_from_name(sl_rc_name((enum sl_rc)i)), i);
        ck_assert(strlen(sl_rc_text((enum sl_rc)i)) > 0);
    }
    ck_assert_uint_eq(sl_rc_from_name("NO_SUCH"), SL_RC_COUNT);
    ck_assert_str_eq(sl_rc_name(SL_REVOKED), "REVOKED");
}
END_TEST

START_TEST(error_context_goes_in_front)
{
    struct sl_err err = { 0 };
    ck_rc(SL_FAIL(&err, SL_REVOKED, "serial %d", 7), SL_REVOKED, &err);
    ck_rc(SL_WRAP(&err, "peer %s", "gw-a"), SL_REVOKED, &err);
    ck_assert_str_eq(err.text, "peer gw-a: serial 7");
    char longer[2 * SL_ERR_TEXT_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    ck_rc(SL_WRAP(&err, "%s", longer), SL_REVOKED, &err);
    ck_assert_uint_eq(strlen(err.text), SL_ERR_TEXT_MAX - 1);
}
END_TEST

START_TEST(secret_is_compared_moved_and_bounded)
{
    struct sl_err err = { 0 };
    SL_AUTO_SECRET a = { 0 }, b = { 0 }, c = { 0 };
    ck_ok(sl_secret_copy(&a, sl_str("secret"), &err), &err);
    ck_ok(sl_secret_copy(&b, sl_str("secret"), &err), &err);
    ck_assert(sl_secret_equal(&a, &b));
    b.p[0] ^= 1;
    ck_assert(!sl_secret_equal(&a, &b));
    sl_secret_move(&c, &a);
    ck_assert(a.p == NULL && c.len == 6);
    ck_rc(sl_secret_init(&a, 0, &err), SL_TOO_LARGE, &err);
    ck_rc(sl_secret_init(&a, SL_SECRET_MAX + 1, &err), SL_TOO_LARGE, &err);
    ck_ok(sl_secret_init(&a, SL_SECRET_MAX, &err), &err);
    for (size_t i = 0; i < a.len; i++)
        ck_assert_uint_eq(a.p[i], 0);
}
END_TEST

START_TEST(times_read_what_they_write)
{
    char text[SL_TIME_TEXT];
    int64_t t;
    ck_assert_str_eq(sl_time_text(text, 1795454430), "2026-11-23T17:20:30Z");
    ck_assert(sl_time_parse(&t, text) && t == 1795454430);
    ck_assert(sl_time_parse(&t, "0") && t == 0);
    ck_assert(sl_time_parse(&t, "1969-12-31T23:59:59Z") && t == -1);
    static const char *const bad[] = { "",
                                       "x",
                                       "-1",
                                       "2026-11-23",
                                       "2026-02-30T00:00:00Z",
                                       "2026-11-23T17:20:30",
                                       "2026-13-01T00:00:00Z",
                                       "2026-11-23T17:20:30Zx" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!sl_time_parse(&t, bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(durations_know_their_units)
{
    int64_t s;
    ck_assert(sl_duration_parse(&s, "90") && s == 90);
    ck_assert(sl_duration_parse(&s, "15m") && s == 900);
    ck_assert(sl_duration_parse(&s, "2w") && s == 1209600);
    static const char *const bad[] = {
        "", "m", "-1s", "1y", "1ms", "1 h", "99999999999999999999", "9999999w"
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!sl_duration_parse(&s, bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(seeded_source_repeats_and_is_even)
{
    struct sl_rng_seeded a, b;
    sl_rng_seeded_init(&a, 1);
    sl_rng_seeded_init(&b, 1);
    struct sl_rng ra = sl_rng_seeded(&a), rb = sl_rng_seeded(&b);
    unsigned seen[10] = { 0 };
    for (int i = 0; i < 100000; i++) {
        uint64_t v = sl_rng_below(&ra, 10);
        ck_assert_uint_eq(v, sl_rng_below(&rb, 10));
        seen[v]++;
    }
    for (int i = 0; i < 10; i++)
        ck_assert(seen[i] > 9500 && seen[i] < 10500);
}
END_TEST

START_TEST(endpoints_read_what_they_write)
{
    static const char *const good[] = { "192.0.2.1:500", "[2001:db8::1]:4500" };
    char text[SL_ENDPOINT_TEXT];
    struct sl_endpoint e, back;
    for (size_t i = 0; i < SL_ARRAY_LEN(good); i++) {
        ck_assert(sl_endpoint_parse(&e, good[i], 1));
        ck_assert_str_eq(sl_endpoint_text(text, &e), good[i]);
        struct sockaddr_storage ss;
        socklen_t len = sl_endpoint_to_sockaddr(&ss, &e);
        ck_assert(sl_endpoint_from_sockaddr(&back, (struct sockaddr *)&ss, len));
        ck_assert(sl_endpoint_eq(&e, &back));
    }
    ck_assert(sl_endpoint_parse(&e, "2001:db8::1", 500) && e.port == 500 && e.addr.family == 6);
    static const char *const bad[] = { "",     "a",      "192.0.2.1:", "192.0.2.1:65536",
                                       "[::1", "[::1]x", "1.2.3.4:+5" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!sl_endpoint_parse(&e, bad[i], 1), "%s", bad[i]);
}
END_TEST

START_TEST(prefix_with_host_bits_is_refused)
{
    struct sl_prefix p;
    struct sl_addr a;
    ck_assert(sl_prefix_parse(&p, "10.1.0.0/16") && sl_addr_parse(&a, "10.1.255.255"));
    ck_assert(sl_prefix_has(&p, &a));
    ck_assert(sl_addr_parse(&a, "10.2.0.0") && !sl_prefix_has(&p, &a));
    ck_assert(!sl_prefix_parse(&p, "10.1.0.1/16") && !sl_prefix_parse(&p, "10.0.0.0/33"));
    ck_assert(sl_prefix_parse(&p, "::/0") && sl_addr_parse(&a, "2001:db8::1"));
    ck_assert(sl_prefix_has(&p, &a));
}
END_TEST

START_TEST(selectors_read_what_they_write)
{
    static const char *const good[] = { "10.0.0.0/8",           "10.0.0.1-10.0.0.9",
                                        "2001:db8::/32",        "10.0.0.0/8[tcp]",
                                        "10.0.0.1/32[tcp/443]", "10.0.0.0/8[udp/1000-2000]",
                                        "10.0.0.0/8[47]" };
    char text[SL_TS_TEXT];
    struct sl_ts ts;
    for (size_t i = 0; i < SL_ARRAY_LEN(good); i++) {
        ck_assert_msg(sl_ts_parse(&ts, good[i]), "%s", good[i]);
        ck_assert_str_eq(sl_ts_text(text, &ts), good[i]);
    }
    static const char *const bad[] = { "",
                                       "10.0.0.1/8",
                                       "10.0.0.9-10.0.0.1",
                                       "10.0.0.0/8[",
                                       "10.0.0.0/8[tcp/70000]",
                                       "10.0.0.0/8[tcp/9-8]",
                                       "10.0.0.1-::1" };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!sl_ts_parse(&ts, bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(selectors_intersect)
{
    struct sl_ts a, b, both, want;
    ck_assert(sl_ts_parse(&a, "10.0.0.0/8") && sl_ts_parse(&b, "10.1.0.0-11.0.0.0[tcp/80]"));
    ck_assert(sl_ts_intersect(&both, &a, &b));
    ck_assert(sl_ts_parse(&want, "10.1.0.0-10.255.255.255[tcp/80]") && sl_ts_eq(&both, &want));
    ck_assert(sl_ts_within(&both, &a) && sl_ts_within(&both, &b) && !sl_ts_within(&b, &a));
    ck_assert(sl_ts_parse(&b, "11.0.0.0/8") && !sl_ts_intersect(&both, &a, &b));
    ck_assert(sl_ts_parse(&a, "10.0.0.0/8[tcp]") && sl_ts_parse(&b, "10.0.0.0/8[udp]"));
    ck_assert(!sl_ts_intersect(&both, &a, &b));
}
END_TEST

START_TEST(log_line_cannot_be_forged)
{
    int fd[2];
    char line[256] = { 0 };
    ck_assert_int_eq(pipe(fd), 0);
    sl_log_init("test", fd[1], SL_LOG_INFO);
    sl_info("peer %s", "x\n2026 error forged");
    sl_debug("not shown");
    ssize_t n = read(fd[0], line, sizeof(line) - 1);
    ck_assert_int_gt(n, 0);
    ck_assert_ptr_eq(strchr(line, '\n'), line + n - 1);
    ck_assert_ptr_nonnull(strstr(line, "info  test["));
    close(fd[0]);
    close(fd[1]);
    sl_log_init("test", STDERR_FILENO, SL_LOG_INFO);
}
END_TEST

/* More than a process may have mappings, as a gateway with many SAs has. */
START_TEST(secrets_by_the_hundred_thousand)
{
    enum { N = 200000 };
    static struct sl_secret v[N];
    struct sl_err err = { 0 };
    bool kept = true;
    for (size_t i = 0; i < N; i++) {
        if (sl_secret_init(&v[i], 16 + i % 60, &err) != SL_OK)
            ck_abort_msg("secret %zu: %s", i, sl_err_text(&err));
        memset(v[i].p, (int)(i & 0xff), v[i].len);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < v[i].len; k++)
            kept = kept && v[i].p[k] == (i & 0xff);
        sl_secret_clear(&v[i]);
    }
    ck_assert(kept);
}
END_TEST

START_TEST(secrets_of_all_sizes_begin_as_zeros_also_where_another_was)
{
    for (size_t len = 1; len <= 5000; len += 7) {
        struct sl_err err = { 0 };
        struct sl_secret s[3] = { { 0 } };
        for (unsigned round = 0; round < 2; round++) {
            for (size_t i = 0; i < 3; i++) {
                ck_ok(sl_secret_init(&s[i], len, &err), &err);
                ck_assert_uint_eq(s[i].len, len);
                bool zero = true;
                for (size_t k = 0; k < len; k++)
                    zero = zero && s[i].p[k] == 0;
                ck_assert(zero);
                memset(s[i].p, 0xa5, len);
            }
            for (size_t i = 0; i < 3; i++)
                sl_secret_clear(&s[i]);
        }
    }
}
END_TEST

SL_TESTS(base, SL_CASE(reader_past_end_is_sticky), SL_CASE(reader_with_bytes_left_is_not_done),
         SL_CASE(writer_output_cut_anywhere_does_not_read), SL_CASE(writer_past_its_limit_fails),
         SL_CASE(size_arithmetic_overflow_is_seen), SL_CASE(base64_matches_rfc4648),
         SL_CASE(base64_longer_than_a_step_round_trips), SL_CASE(hex_reads_what_it_writes),
         SL_CASE(printable_escapes_what_could_forge_a_line),
         SL_CASE(reason_names_are_unique_and_found), SL_CASE(error_context_goes_in_front),
         SL_CASE(secret_is_compared_moved_and_bounded), SL_CASE(times_read_what_they_write),
         SL_CASE(durations_know_their_units), SL_CASE(seeded_source_repeats_and_is_even),
         SL_CASE(endpoints_read_what_they_write), SL_CASE(prefix_with_host_bits_is_refused),
         SL_CASE(selectors_read_what_they_write), SL_CASE(selectors_intersect),
         SL_CASE(log_line_cannot_be_forged), SL_CASE(secrets_by_the_hundred_thousand),
         SL_CASE(secrets_of_all_sizes_begin_as_zeros_also_where_another_was))
