/*
 * Two ends of a tunnel with fixed keys, one in each of two network namespaces: the datapath alone,
 * without IKE, for tests/bench/esp_tunnel, which makes the namespaces and the traffic. Root only.
 *
 *   bench_esp_tunnel NS_A NS_B OUTER_A OUTER_B NET_A NET_B [udp|raw] [SUITE NUMBER]
 *
 * Makes the device "sl0" in both, prints READY, carries packets until its standard input ends, then
 * prints what each end counted and the CPU seconds used.
 */
#include "src/esp/io.h"
#include "src/esp/tun.h"

#include "support/esp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sl_err err;
static atomic_bool stop;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, sl_err_text(&err), strerror(errno));
    exit(1);
}

struct end {
    char side;
    const char *ns, *outer_a, *outer_b, *net_a, *net_b;
    bool udp;
    size_t suite;
    struct sl_esp *e;
    struct esp_io *io;
    struct esp_io_fds fds;
    double cpu_s;
};

static int outer_socket(const struct end *g)
{
    struct sl_endpoint at;
    struct sockaddr_storage ss;
    int size = 4 << 20;
    if (!sl_endpoint_parse(&at, g->side == 'a' ? g->outer_a : g->outer_b, 4500))
        die("address");
    socklen_t len = sl_endpoint_to_sockaddr(&ss, &at);
    int fd = socket(ss.ss_family, g->udp ? SOCK_DGRAM : SOCK_RAW, g->udp ? 0 : IPPROTO_ESP);
    if (fd < 0 || (g->udp && bind(fd, (struct sockaddr *)&ss, len) < 0))
        die("socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    return fd;
}

/* In the end's namespace. */
static void end_open(struct end *g)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "/run/netns/%s", g->ns);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die(path);
    close(ns);
    g->fds = (struct esp_io_fds){ .tun = -1, .sock = { -1, -1, -1, -1 } };
    struct sl_child c;
    esp_test_child(&c, &(struct esp_test_child){ .side = g->side,
                                                 .suite = esp_suites[g->suite],
                                                 .esn = true,
                                                 .udp_encap = g->udp,
                                                 .outbound = true,
                                                 .outer_a = g->outer_a,
                                                 .outer_b = g->outer_b,
                                                 .ts_a = { g->net_a },
                                                 .ts_b = { g->net_b } });
    bool v6 = c.remote.addr.family == 6;
    g->fds.sock[g->udp ? (v6 ? ESP_UDP6 : ESP_UDP4) : v6 ? ESP_RAW6 : ESP_RAW4] = outer_socket(g);
    if (esp_tun_open(&g->fds.tun, "sl0", &err) != SL_OK ||
        sl_esp_new(&g->e, &(struct sl_esp_config){ .rng = &sl_rng_system }, &err) != SL_OK ||
        sl_esp_child_add(g->e, &c, &err) != SL_OK || sl_esp_commit(g->e, &err) != SL_OK ||
        esp_io_new(&g->io, g->e, &g->fds, &err) != SL_OK)
        die("gateway");
}

static void watch(int ep, int fd, uint32_t what, unsigned id)
{
    struct epoll_event ev = { .events = what, .data.u32 = id };
    if (epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev) < 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll");
}

static void *end_run(void *arg)
{
    enum { TUN = ESP_SOCK_COUNT };
    struct end *g = arg;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    unsigned blocked = 0;
    watch(ep, g->fds.tun, EPOLLIN, TUN);
    for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
        if (g->fds.sock[s] >= 0)
            watch(ep, g->fds.sock[s], EPOLLIN, s);
    while (!atomic_load(&stop)) {
        struct epoll_event ev[8];
        int n = epoll_wait(ep, ev, 8, 100);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u32 == TUN) {
                esp_io_tun(g->io);
                continue;
            }
            if (ev[i].events & EPOLLOUT)
                esp_io_writable(g->io, (enum esp_sock)ev[i].data.u32);
            if (ev[i].events & EPOLLIN)
                esp_io_sock(g->io, (enum esp_sock)ev[i].data.u32);
        }
        unsigned now = esp_io_blocked(g->io);
        if (now != blocked) {
            for (unsigned s = 0; s < ESP_SOCK_COUNT; s++)
                if (g->fds.sock[s] >= 0)
                    watch(ep, g->fds.sock[s], EPOLLIN | (now & 1u << s ? EPOLLOUT : 0), s);
            watch(ep, g->fds.tun, now ? 0 : EPOLLIN, TUN);
            blocked = now;
        }
        struct sl_esp_event e;
        while (sl_esp_next(g->e, &e))
            ;
    }
    struct rusage u;
    if (getrusage(RUSAGE_THREAD, &u) == 0)
        g->cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    close(ep);
    return NULL;
}

/* A thread's namespace is its own: the ends are opened where they run. */
static atomic_int ready;
static void *end_thread(void *arg)
{
    end_open(arg);
    atomic_fetch_add(&ready, 1);
    return end_run(arg);
}

static void end_print(const struct end *g)
{
    struct esp_io_stats i;
    struct sl_esp_child_info c;
    esp_io_stats(g->io, &i);
    if (!sl_esp_child_info(g->e, 1, &c))
        return;
    printf("%c: out %llu packets (%.1f a call), in %llu (%.1f a call), late %llu, replayed %llu, "
           "lost in the kernel %llu, wire dropped %llu, cpu %.2f s\n",
           g->side, (unsigned long long)i.wire_sent,
           i.calls_sent ? (double)i.wire_sent / (double)i.calls_sent : 0,
           (unsigned long long)i.wire_received,
           i.calls_received ? (double)i.wire_received / (double)i.calls_received : 0,
           (unsigned long long)c.in.late, (unsigned long long)c.in.replayed,
           (unsigned long long)i.kernel_dropped, (unsigned long long)i.wire_dropped, g->cpu_s);
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 9) {
        fprintf(stderr, "usage: bench_esp_tunnel NS_A NS_B OUTER_A OUTER_B NET_A NET_B [udp|raw] "
                        "[SUITE]\n");
        return 2;
    }
    struct end ends[2];
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) {
        ends[i] =
            (struct end){ .side = i ? 'b' : 'a',
                          .ns = argv[1 + i],
                          .outer_a = argv[3],
                          .outer_b = argv[4],
                          .net_a = argv[5],
                          .net_b = argv[6],
                          .udp = argc < 8 || strcmp(argv[7], "raw") != 0,
                          .suite = argc > 8 ? strtoul(argv[8], NULL, 10) % SL_ARRAY_LEN(esp_suites)
                                            : 0 };
        if (pthread_create(&thread[i], NULL, end_thread, &ends[i]) != 0)
            die("thread");
    }
    while (atomic_load(&ready) < 2)
        (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    puts("READY");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        end_print(&ends[i]);
        esp_io_free(ends[i].io);
        sl_esp_free(ends[i].e);
    }
    return 0;
}
