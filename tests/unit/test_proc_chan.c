/*
 * Channels: requests and answers, descriptors, bodies beyond a datagram, a slow reader, a peer that
 * goes and its successor, calls from other threads.
 * CTEST: threads
 */
#include "support/support.h"

#include "sealane/time.h"
#include "src/proc/chan.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ECHO = 1, SILENT, STREAM, WRONG, NOTE };

struct side {
    struct event_base *base;
    struct chan *c;
    unsigned notes, links, gone;
    size_t last_len;
    int kept_fd;
};
struct answer {
    unsigned n, last;
    enum sl_rc rc;
    size_t len;
    uint8_t first;
    struct event_base *base;
};

static void serve(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct side *s = ctx;
    struct sl_err err = { 0 };
    switch (m->type) {
    case ECHO:
        ck_ok(chan_reply(c, m->id, ECHO, m->body, false, &err), &err);
        break;
    case STREAM:
        for (int i = 0; i < 3; i++)
            ck_ok(chan_reply(c, m->id, STREAM, m->body, i < 2, &err), &err);
        break;
    case WRONG:
        ck_ok(chan_reply(c, m->id, ECHO, m->body, false, &err), &err);
        break;
    case NOTE:
        s->notes++;
        s->last_len = m->body.len;
        if (m->fd_n) {
            s->kept_fd = m->fd[0];
            m->fd[0] = -1;
        }
        break;
    default:
        break;
    }
}

static void linked(void *ctx, struct chan *c, bool is)
{
    (void)c;
    struct side *s = ctx;
    if (is)
        s->links++;
    else
        s->gone++;
}

static void on_answer(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct answer *a = ctx;
    a->n++;
    a->rc = rc;
    if (m) {
        a->len = m->body.len;
        a->first = m->body.len ? m->body.p[0] : 0;
        a->last += !(m->flags & CHAN_MORE);
    }
}

static struct event_base *base;
static struct side a, b;

static void setup(void)
{
    struct sl_err err = { 0 };
    int fd[2];
    base = event_base_new();
    ck_ok(chan_pair(fd, &err), &err);
    a = (struct side){ .base = base, .kept_fd = -1 };
    b = (struct side){ .base = base, .kept_fd = -1 };
    ck_ok(chan_new(&a.c, base, fd[0], "b", &err), &err);
    ck_ok(chan_new(&b.c, base, fd[1], "a", &err), &err);
    chan_handle(a.c, &(struct chan_handler){ serve, linked, &a });
    chan_handle(b.c, &(struct chan_handler){ serve, linked, &b });
}

static void teardown(void)
{
    chan_free(a.c);
    chan_free(b.c);
    event_base_free(base);
}

static void turn(int n)
{
    for (int i = 0; i < n; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

START_TEST(request_is_answered_by_its_id)
{
    setup();
    struct sl_err err = { 0 };
    struct answer one = { 0 }, two = { 0 };
    ck_ok(chan_request(a.c, ECHO, sl_str("1st"), 1000, on_answer, &one, NULL, &err), &err);
    ck_ok(chan_request(a.c, ECHO, sl_str("22"), 1000, on_answer, &two, NULL, &err), &err);
    ck_assert_uint_eq(one.n, 0);
    turn(3);
    ck_assert_uint_eq(one.n, 1);
    ck_assert_int_eq(one.rc, SL_OK);
    ck_assert_uint_eq(one.len, 3);
    ck_assert_uint_eq(two.len, 2);
    teardown();
}
END_TEST

START_TEST(stream_of_answers_ends_with_the_last)
{
    setup();
    struct sl_err err = { 0 };
    struct answer got = { 0 };
    ck_ok(chan_request(a.c, STREAM, sl_str("x"), 1000, on_answer, &got, NULL, &err), &err);
    turn(5);
    ck_assert_uint_eq(got.n, 3);
    ck_assert_uint_eq(got.last, 1);
    teardown();
}
END_TEST

START_TEST(silence_past_the_deadline_is_a_timeout)
{
    setup();
    struct sl_err err = { 0 };
    struct answer got = { 0 };
    int64_t start = sl_clock_mono_ns();
    ck_ok(chan_request(a.c, SILENT, sl_str("x"), 30, on_answer, &got, NULL, &err), &err);
    while (!got.n && sl_clock_mono_ns() - start < 2 * SL_NS_PER_S)
        event_base_loop(base, EVLOOP_ONCE);
    ck_assert_int_eq(got.rc, SL_TIMEOUT);
    ck_assert_uint_eq(got.n, 1);
    teardown();
}
END_TEST

START_TEST(cancelled_request_is_never_answered)
{
    setup();
    struct sl_err err = { 0 };
    struct answer got = { 0 };
    uint64_t id = 0;
    ck_ok(chan_request(a.c, ECHO, sl_str("x"), 1000, on_answer, &got, &id, &err), &err);
    chan_cancel(a.c, id);
    turn(3);
    ck_assert_uint_eq(got.n, 0);
    teardown();
}
END_TEST

START_TEST(large_body_travels_in_a_memfd)
{
    setup();
    struct sl_err err = { 0 };
    size_t n = (size_t)3 << 20;
    uint8_t *big = malloc(n);
    memset(big, 0x5a, n);
    struct answer got = { 0 };
    ck_ok(chan_request(a.c, ECHO, sl_bytes(big, n), 1000, on_answer, &got, NULL, &err), &err);
    turn(3);
    ck_assert_uint_eq(got.len, n);
    ck_assert_uint_eq(got.first, 0x5a);
    /* the largest that still goes inline, and one more */
    for (size_t k = CHAN_INLINE_MAX; k <= CHAN_INLINE_MAX + 1; k++) {
        ck_ok(chan_send(a.c, NOTE, sl_bytes(big, k), &err), &err);
        turn(2);
        ck_assert_uint_eq(b.last_len, k);
    }
    free(big);
    teardown();
}
END_TEST

START_TEST(body_over_the_limit_is_refused)
{
    setup();
    struct sl_err err = { 0 };
    uint8_t one = 0; /* never read: the length decides */
    ck_rc(chan_send(a.c, NOTE, sl_bytes(&one, CHAN_BODY_MAX + 1), &err), SL_TOO_LARGE, &err);
    teardown();
}
END_TEST

START_TEST(descriptor_is_passed_and_works)
{
    setup();
    struct sl_err err = { 0 };
    int p[2];
    ck_assert_int_eq(pipe(p), 0);
    ck_ok(chan_send_fds(a.c, NOTE, sl_str("fd"), &p[1], 1, &err), &err);
    close(p[1]);
    turn(2);
    ck_assert_int_ge(b.kept_fd, 0);
    ck_assert_int_eq(write(b.kept_fd, "!", 1), 1);
    char c = 0;
    ck_assert_int_eq(read(p[0], &c, 1), 1);
    ck_assert_int_eq(c, '!');
    close(b.kept_fd);
    close(p[0]);
    teardown();
}
END_TEST

START_TEST(slow_reader_fills_a_bounded_queue_in_order)
{
    setup();
    struct sl_err err = { 0 };
    static uint8_t block[60000];
    enum sl_rc rc = SL_OK;
    unsigned sent = 0;
    while ((rc = chan_send(a.c, NOTE, sl_bytes(block, sizeof(block)), &err)) == SL_OK)
        sent++;
    ck_assert_int_eq(rc, SL_UNAVAILABLE);
    ck_assert_uint_le(chan_queued(a.c), CHAN_QUEUE_BYTES_MAX);
    ck_assert_uint_gt(sent, CHAN_QUEUE_BYTES_MAX / sizeof(block) - 2);
    for (int i = 0; i < 5000 && b.notes < sent; i++)
        turn(1);
    ck_assert_uint_eq(b.notes, sent);
    ck_assert_uint_eq(chan_queued(a.c), 0);
    teardown();
}
END_TEST

START_TEST(peer_that_goes_fails_requests_and_its_successor_answers)
{
    setup();
    struct sl_err err = { 0 };
    struct answer got = { 0 };
    ck_ok(chan_request(a.c, SILENT, sl_str("x"), 60000, on_answer, &got, NULL, &err), &err);
    chan_free(b.c);
    b.c = NULL;
    turn(2);
    ck_assert_uint_eq(got.n, 1);
    ck_assert_int_eq(got.rc, SL_PROC_GONE);
    ck_assert_uint_eq(a.gone, 1);
    ck_assert(!chan_is_linked(a.c));
    ck_rc(chan_send(a.c, NOTE, sl_str("x"), &err), SL_PROC_GONE, &err);

    int fd[2];
    ck_ok(chan_pair(fd, &err), &err);
    ck_ok(chan_link(a.c, fd[0], &err), &err);
    ck_ok(chan_new(&b.c, base, fd[1], "a", &err), &err);
    chan_handle(b.c, &(struct chan_handler){ serve, linked, &b });
    ck_assert_uint_eq(a.links, 1);
    got = (struct answer){ 0 };
    ck_ok(chan_request(a.c, ECHO, sl_str("again"), 1000, on_answer, &got, NULL, &err), &err);
    turn(3);
    ck_assert_int_eq(got.rc, SL_OK);
    ck_assert_uint_eq(got.len, 5);
    teardown();
}
END_TEST

START_TEST(send_to_a_dead_peer_reports_it_from_the_loop)
{
    setup();
    struct sl_err err = { 0 };
    chan_free(b.c);
    b.c = NULL;
    struct answer got = { 0 };
    ck_rc(chan_request(a.c, ECHO, sl_str("x"), 1000, on_answer, &got, NULL, &err), SL_PROC_GONE,
          &err);
    ck_assert_uint_eq(a.gone, 0); /* never from inside the call */
    turn(2);
    ck_assert_uint_eq(a.gone, 1);
    ck_assert_uint_eq(got.n, 0); /* the call failed, so there is no answer */
    teardown();
}
END_TEST

/* Frames that no chan makes: each closes the channel, none is handled. */
START_TEST(frame_that_breaks_the_rules_closes_the_channel)
{
    static const struct {
        const char *hex;
    } bad[] = { { "0001" },
                { "0005 0000 000000000000" },
                { "0005 0008 0000000000000000" },
                { "0005 0004 0000000000000000" /* MEMFD without descriptor */ } };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        struct sl_err err = { 0 };
        int fd[2];
        setup();
        ck_ok(chan_pair(fd, &err), &err);
        ck_ok(chan_link(b.c, fd[0], &err), &err);
        struct sl_bytes raw = sl_test_hex(bad[i].hex);
        ck_assert_int_eq(send(fd[1], raw.p, raw.len, 0), (ssize_t)raw.len);
        turn(2);
        ck_assert_msg(!chan_is_linked(b.c), "%s", bad[i].hex);
        ck_assert_uint_eq(b.notes, 0);
        close(fd[1]);
        teardown();
    }
}
END_TEST

/* A body in a descriptor that is not a sealed memfd could change while it is read. */
START_TEST(unsealed_body_closes_the_channel)
{
    setup();
    struct sl_err err = { 0 };
    int fd[2], file = fileno(tmpfile());
    ck_assert_int_eq(ftruncate(file, 100), 0);
    ck_ok(chan_pair(fd, &err), &err);
    ck_ok(chan_link(b.c, fd[0], &err), &err);
    struct sl_bytes raw = sl_test_hex("0005 0004 0000000000000000");
    struct iovec iov = { .iov_base = (void *)(uintptr_t)raw.p, .iov_len = raw.len };
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cm), &file, sizeof(file));
    ck_assert_int_gt(sendmsg(fd[1], &mh, 0), 0);
    turn(2);
    ck_assert(!chan_is_linked(b.c));
    ck_assert_uint_eq(b.notes, 0);
    close(fd[1]);
    teardown();
}
END_TEST

/* ---- calls from threads ------------------------------------------------------------------------ */
struct caller {
    pthread_t thread;
    uint16_t type;
    unsigned times, good;
    int64_t deadline_ms;
    enum sl_rc last;
};

static void *call(void *arg)
{
    struct caller *k = arg;
    for (unsigned i = 0; i < k->times; i++) {
        struct sl_err err = { 0 };
        struct sl_buf reply = { 0 };
        uint8_t body[8];
        memset(body, (int)i, sizeof(body));
        k->last = chan_call(a.c, k->type, sl_bytes(body, sizeof(body)), k->deadline_ms, k->type,
                            &reply, &err);
        if (k->last == SL_OK && sl_bytes_eq(sl_buf_bytes(&reply), sl_bytes(body, sizeof(body))))
            k->good++;
        sl_buf_clear(&reply);
    }
    return NULL;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

/* The loop runs until the threads' flag says that they are done. */
static void *join(void *arg)
{
    struct caller *k = arg;
    for (; k->times; k++)
        pthread_join(k->thread, NULL);
    return NULL;
}

static void run_callers(struct caller *k, size_t n)
{
    pthread_t waiter;
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&k[i].thread, NULL, call, &k[i]), 0);
    ck_assert_int_eq(pthread_create(&waiter, NULL, join, k), 0);
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    event_add(tick, &(struct timeval){ .tv_usec = 5000 });
    while (pthread_tryjoin_np(waiter, NULL) != 0)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(tick);
}

START_TEST(calls_of_many_threads_get_their_own_answers)
{
    setup();
    struct caller k[5] = { 0 };
    for (size_t i = 0; i < 4; i++)
        k[i] = (struct caller){ .type = ECHO, .times = 200, .deadline_ms = 5000 };
    run_callers(k, 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(k[i].good, 200);
    teardown();
}
END_TEST

START_TEST(call_that_nobody_answers_times_out)
{
    setup();
    struct caller k[2] = { { .type = SILENT, .times = 1, .deadline_ms = 30 } };
    run_callers(k, 1);
    ck_assert_int_eq(k[0].last, SL_TIMEOUT);
    teardown();
}
END_TEST

START_TEST(call_answered_by_another_type_is_refused)
{
    setup();
    struct caller k[2] = { { .type = WRONG, .times = 1, .deadline_ms = 1000 } };
    run_callers(k, 1);
    ck_assert_int_eq(k[0].last, SL_PROC_MESSAGE);
    teardown();
}
END_TEST

static void drop_b(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    chan_free(b.c);
    b.c = NULL;
}

START_TEST(call_fails_when_the_peer_goes)
{
    setup();
    event_base_once(base, -1, EV_TIMEOUT, drop_b, NULL, &(struct timeval){ .tv_usec = 20000 });
    struct caller k[2] = { { .type = SILENT, .times = 1, .deadline_ms = 10000 } };
    int64_t start = sl_clock_mono_ns();
    run_callers(k, 1);
    ck_assert_int_eq(k[0].last, SL_PROC_GONE);
    ck_assert_int_lt(sl_clock_mono_ns() - start, 5 * SL_NS_PER_S);
    teardown();
}
END_TEST

SL_TESTS(proc_chan, SL_CASE(request_is_answered_by_its_id),
         SL_CASE(stream_of_answers_ends_with_the_last),
         SL_CASE(silence_past_the_deadline_is_a_timeout),
         SL_CASE(cancelled_request_is_never_answered), SL_CASE(large_body_travels_in_a_memfd),
         SL_CASE(body_over_the_limit_is_refused), SL_CASE(descriptor_is_passed_and_works),
         SL_CASE(slow_reader_fills_a_bounded_queue_in_order),
         SL_CASE(peer_that_goes_fails_requests_and_its_successor_answers),
         SL_CASE(send_to_a_dead_peer_reports_it_from_the_loop),
         SL_CASE(frame_that_breaks_the_rules_closes_the_channel),
         SL_CASE(unsealed_body_closes_the_channel),
         SL_CASE(calls_of_many_threads_get_their_own_answers),
         SL_CASE(call_that_nobody_answers_times_out),
         SL_CASE(call_answered_by_another_type_is_refused), SL_CASE(call_fails_when_the_peer_goes))
