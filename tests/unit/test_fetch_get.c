/*
 * CTEST: threads
 * A fetch that is waited for, against a server of a few lines on the loopback of a namespace of its
 * own: what a command gets without the daemon.
 */
#include "sealane/time.h"
#include "src/fetch/fetch.h"
#include "tests/support/support.h"

#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static char no_text[] = "", loopback[] = "127.0.0.0/8";
static char *allow_one[] = { loopback };

/* ---- the server --------------------------------------------------------------------------------- */
static const struct page {
    const char *path, *answer; /* NULL: says nothing until the asker goes */
} pages[] = {
    { "GET /a ", "HTTP/1.1 200 OK\r\nContent-Type: Application/PKIX-CRL; x=y\r\nETag: \"1\"\r\n"
                 "Last-Modified: Wed, 25 Nov 2026 08:00:00 GMT\r\nContent-Length: 4\r\n\r\nbody" },
    { "GET /same ", "HTTP/1.1 304 Not Modified\r\n\r\n" },
    { "GET /to-a ", "HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 6\r\n\r\nignore" },
    { "GET /to-two ", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:8099/a\r\n\r\n" },
    { "GET /two-tags ",
      "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nETag: \"2\"\r\nContent-Length: 0\r\n\r\n" },
    { "GET /silent ", NULL },
    { "POST /p ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\np" },
};
static struct server {
    pthread_mutex_t mutex;
    char last[4096]; /* request */
    unsigned served;
} server = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void serve(int fd)
{
    char q[4096] = "";
    size_t n = 0;
    while (n < sizeof(q) - 1 && !strstr(q, "\r\n\r\n")) {
        ssize_t got = recv(fd, q + n, sizeof(q) - 1 - n, 0);
        if (got <= 0)
            return;
        n += (size_t)got;
        q[n] = '\0';
    }
    pthread_mutex_lock(&server.mutex);
    memcpy(server.last, q, sizeof(q));
    server.served++;
    pthread_mutex_unlock(&server.mutex);
    for (size_t i = 0; i < SL_ARRAY_LEN(pages); i++) {
        const char *a = pages[i].answer;
        if (strncmp(q, pages[i].path, strlen(pages[i].path)) != 0)
            continue;
        if (a)
            (void)!send(fd, a, strlen(a), MSG_NOSIGNAL);
        else
            while (recv(fd, q, sizeof(q), 0) > 0)
                ;
    }
}

static void *run_server(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        serve(fd);
        close(fd);
    }
}

/* False: this process may not have a namespace, and the test is skipped with a word. */
static bool set_up(void)
{
    static int listener;
    static bool done; /* in this process: cases share it when Check does not fork */
    struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(8099),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    pthread_t thread;
    if (done)
        return true;
    if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) < 0) {
        printf("skipped: no namespace of our own\n");
        return false;
    }
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(listener >= 0 && ioctl(listener, SIOCSIFFLAGS, &lo) == 0);
    ck_assert(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 8) == 0);
    ck_assert(pthread_create(&thread, NULL, run_server, &listener) == 0);
    ck_assert(fetch_global_init());
    done = true;
    return true;
}

static struct fetch_rules rules_of(bool open)
{
    struct fetch_rules r;
    struct sl_err err = { 0 };
    struct sl_conf_fetch c = { .proxy = no_text };
    if (open)
        c.allow = (struct sl_conf_strings){ .v = allow_one, .n = 1 };
    ck_ok(fetch_rules_init(&r, &c, &err), &err);
    return r;
}

static unsigned served(char last[4096])
{
    pthread_mutex_lock(&server.mutex);
    unsigned n = server.served;
    memcpy(last, server.last, sizeof(server.last));
    pthread_mutex_unlock(&server.mutex);
    return n;
}

#define BASE "http://127.0.0.1:8099"
static char request[4096];

/* ---- cases ------------------------------------------------------------------------------------------ */
START_TEST(an_answer_comes_with_what_belongs_to_it)
{
    if (!set_up())
        return;
    struct fetch_rules r = rules_of(true);
    struct fetch_reply a;
    struct fetch_request q = { .uri = sl_str(BASE "/a"), .accept = "application/pkix-crl" };
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_OK);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "application/pkix-crl");
    ck_assert_str_eq(a.etag, "\"1\"");
    ck_assert_str_eq(a.last_modified, "Wed, 25 Nov 2026 08:00:00 GMT");
    ck_assert_uint_eq(a.value_n, 1);
    ck_bytes_eq(sl_buf_bytes(&a.body), sl_str("body"));
    (void)served(request);
    ck_assert_ptr_nonnull(strstr(request, "\r\nAccept: application/pkix-crl\r\n"));
    ck_assert_ptr_null(strcasestr(request, "encoding"));
    ck_assert_ptr_null(strcasestr(request, "if-"));
    fetch_reply_clear(&a);

    q.uri = sl_str(BASE "/two-tags"); /* neither can be relied on */
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_OK);
    ck_assert_str_eq(a.etag, "");
    ck_assert_uint_eq(a.value_n, 0);
    fetch_reply_clear(&a);

    q = (struct fetch_request){ .uri = sl_str(BASE "/p"),
                                .post = true,
                                .body = sl_str("x"),
                                .content_type = "application/ocsp-request" };
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_OK);
    ck_bytes_eq(sl_buf_bytes(&a.body), sl_str("p"));
    fetch_reply_clear(&a);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(not_modified_keeps_what_the_asker_has)
{
    if (!set_up())
        return;
    struct fetch_rules r = rules_of(true);
    struct fetch_reply a;
    struct fetch_request q = { .uri = sl_str(BASE "/same"),
                               .etag = "W/\"7\"",
                               .last_modified = "Wed, 25 Nov 2026 08:00:00 GMT" };
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_OK);
    ck_assert_uint_eq(a.status, 304);
    ck_assert_str_eq(a.etag, "W/\"7\"");
    ck_assert_str_eq(a.last_modified, q.last_modified);
    ck_assert_uint_eq(a.body.len, 0);
    (void)served(request);
    ck_assert_ptr_nonnull(strstr(request, "\r\nIf-None-Match: W/\"7\"\r\n"));
    ck_assert_ptr_nonnull(
        strstr(request, "\r\nIf-Modified-Since: Wed, 25 Nov 2026 08:00:00 GMT\r\n"));
    fetch_reply_clear(&a);
    q.etag = "\"a\r\nX: y\"";
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_MALFORMED);
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(nothing_is_sent_to_a_denied_address)
{
    if (!set_up())
        return;
    struct fetch_rules strict = rules_of(false);
    unsigned before = served(request); /* of the cases that ran in this process before */
    struct fetch_reply a;
    static const char *const uris[] = { BASE "/a", "http://localhost:8099/a",
                                        "ldap://127.0.0.1:8099/cn=x?cACertificate;binary",
                                        "ldaps://localhost:8099/cn=x?cACertificate;binary" };
    for (size_t i = 0; i < SL_ARRAY_LEN(uris); i++) {
        struct fetch_request q = { .uri = sl_str(uris[i]), .deadline_ms = 5000 };
        ck_assert_msg(fetch_get(&strict, &q, &a) == SL_DENIED, "%s: %s %s", uris[i],
                      sl_rc_name(a.rc), a.text);
        ck_assert_ptr_nonnull(strstr(a.text, "loopback"));
    }
    ck_assert_uint_eq(served(request), before);
    /* configured, it may; and a redirect from there to another address may not */
    struct fetch_request q = { .uri = sl_str(BASE "/to-a"),
                               .origin = FETCH_CONFIGURED,
                               .follow = true };
    ck_assert_int_eq(fetch_get(&strict, &q, &a), SL_OK);
    ck_bytes_eq(sl_buf_bytes(&a.body), sl_str("body"));
    fetch_reply_clear(&a);
    q.uri = sl_str(BASE "/to-two");
    ck_assert_int_eq(fetch_get(&strict, &q, &a), SL_DENIED);
    ck_assert_ptr_nonnull(strstr(a.text, "127.0.0.2"));
    fetch_rules_clear(&strict);
}
END_TEST

START_TEST(deadlines_hold)
{
    if (!set_up())
        return;
    struct fetch_rules r = rules_of(true);
    struct fetch_reply a;
    static const char *const uris[] = { BASE "/silent",
                                        "ldap://127.0.0.1:8099/cn=x?cACertificate;binary" };
    for (size_t i = 0; i < SL_ARRAY_LEN(uris); i++) {
        struct fetch_request q = { .uri = sl_str(uris[i]), .deadline_ms = 300 };
        int64_t begin = sl_clock_mono_ns();
        ck_assert_msg(fetch_get(&r, &q, &a) == SL_TIMEOUT, "%s: %s %s", uris[i], sl_rc_name(a.rc),
                      a.text);
        int64_t took_ms = (sl_clock_mono_ns() - begin) / SL_NS_PER_MS;
        ck_assert_msg(took_ms >= 250 && took_ms < 5000, "%lld ms", (long long)took_ms);
    }
    fetch_rules_clear(&r);
}
END_TEST

START_TEST(limits_and_wrong_questions_are_told)
{
    if (!set_up())
        return;
    struct fetch_rules r = rules_of(true);
    struct fetch_reply a;
    struct fetch_request q = { .uri = sl_str(BASE "/a"), .max_bytes = 3 };
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_TOO_LARGE);
    q.max_bytes = 4;
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_OK);
    fetch_reply_clear(&a);
    q.uri = sl_str("file:///etc/passwd");
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_UNSUPPORTED);
    q.uri = sl_str("http://me@127.0.0.1:8099/a");
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_MALFORMED);
    q.uri = sl_str("ldap://127.0.0.1:8099/cn=x?userPassword");
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_UNSUPPORTED);
    q.uri = sl_str("http://127.0.0.1:8098/a"); /* a closed port */
    ck_assert_int_eq(fetch_get(&r, &q, &a), SL_UNAVAILABLE);
    fetch_rules_clear(&r);
}
END_TEST

SL_TESTS(fetch_get, SL_CASE(an_answer_comes_with_what_belongs_to_it),
         SL_CASE(not_modified_keeps_what_the_asker_has),
         SL_CASE(nothing_is_sent_to_a_denied_address), SL_CASE(deadlines_hold),
         SL_CASE(limits_and_wrong_questions_are_told))
