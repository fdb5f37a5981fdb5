/*
 * The channel (chan.h). What each message means is msg.h's business.
 *
 * Only the table of waiting requests and the descriptor are shared with chan_call's threads; the
 * mutex guards both and is never held while a handler runs or a thread sleeps.
 */
#include "src/proc/chan.h"

#include "sealane/log.h"
#include "sealane/secret.h"
#include "sealane/time.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_LEN   12u
#define BUCKETS      256u
#define READ_BURST   64 /* frames taken per turn of the loop, so that no channel starves another */
#define SOCKET_BUF   (4 << 20)
#define NEEDED_SEALS (F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_GROW)

struct queued {
    struct queued *next;
    size_t len;
    int fd[CHAN_FDS_MAX];
    size_t fd_n;
    uint8_t frame[];
};

/* A request of ours that waits for its answer: fn, or a thread in chan_call. */
struct waiting {
    struct waiting *next;
    uint64_t id;
    struct chan *c;
    chan_reply_fn *fn;
    void *ctx;
    struct event *timer;
    int64_t deadline_ms;
    struct call *call;
};
struct call {
    struct waiting w;
    pthread_cond_t cond;
    bool done;
    enum sl_rc rc;
    uint16_t want_type;
    struct sl_buf *reply;
};

struct chan {
    struct event_base *base;
    char peer[32];
    struct chan_handler handler;
    struct event *readable, *writable;
    struct queued *first, **last;
    size_t queued_msgs, queued_bytes;
    uint8_t *in;        /* one datagram */
    bool busy;          /* a handler runs, so the channel cannot be freed */
    struct event *gone; /* fails the requests of a process that has ended, outside their caller */
    pthread_mutex_t mutex;
    /* under mutex */
    int fd;
    uint64_t next_id;
    struct waiting *waiting[BUCKETS];
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_gone(evutil_socket_t fd, short what, void *arg);

/* ---- requests that wait ------------------------------------------------------------------------ */
static void waiting_add(struct chan *c, struct waiting *w)
{
    pthread_mutex_lock(&c->mutex);
    if (++c->next_id == 0)
        c->next_id = 1; /* 0 is a notice */
    w->id = c->next_id;
    w->next = c->waiting[w->id % BUCKETS];
    c->waiting[w->id % BUCKETS] = w;
    pthread_mutex_unlock(&c->mutex);
}

/* Under the mutex. */
static struct waiting *waiting_find(struct chan *c, uint64_t id)
{
    struct waiting *w = c->waiting[id % BUCKETS];
    while (w && w->id != id)
        w = w->next;
    return w;
}

/* Under the mutex. */
static void waiting_unlink(struct chan *c, struct waiting *w)
{
    struct waiting **p = &c->waiting[w->id % BUCKETS];
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static void waiting_free(struct waiting *w)
{
    if (w->timer)
        event_free(w->timer);
    free(w);
}

/* Under the mutex. */
static void call_end(struct call *call, enum sl_rc rc)
{
    call->rc = rc;
    call->done = true;
    pthread_cond_signal(&call->cond);
}

static void waiting_fail_all(struct chan *c, enum sl_rc rc)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (;;) {
            pthread_mutex_lock(&c->mutex);
            struct waiting *w = c->waiting[i];
            if (w) {
                c->waiting[i] = w->next;
                if (w->call)
                    call_end(w->call, rc);
            }
            pthread_mutex_unlock(&c->mutex);
            if (!w)
                break;
            if (!w->call) {
                chan_reply_fn *fn = w->fn;
                void *ctx = w->ctx;
                waiting_free(w);
                fn(ctx, rc, NULL);
            }
        }
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct waiting *w = arg;
    struct chan *c = w->c;
    pthread_mutex_lock(&c->mutex);
    waiting_unlink(c, w);
    pthread_mutex_unlock(&c->mutex);
    chan_reply_fn *fn = w->fn;
    void *ctx = w->ctx;
    waiting_free(w);
    fn(ctx, SL_TIMEOUT, NULL);
}

static struct timeval ms_timeval(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

/* ---- the socket -------------------------------------------------------------------------------- */
enum sl_rc chan_pair(int fd[2], struct sl_err *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
        return SL_FAIL(err, SL_IO, "socketpair: %s", strerror(errno));
    return SL_OK;
}

static void queue_clear(struct chan *c)
{
    while (c->first) {
        struct queued *q = c->first;
        c->first = q->next;
        for (size_t i = 0; i < q->fd_n; i++)
            close(q->fd[i]);
        sl_wipe(q->frame, q->len);
        free(q);
    }
    c->last = &c->first;
    c->queued_msgs = c->queued_bytes = 0;
}

static void events_clear(struct chan *c)
{
    if (c->readable)
        event_free(c->readable);
    if (c->writable)
        event_free(c->writable);
    c->readable = c->writable = NULL;
}

/* The process at the other end has gone, or the channel to it is closed for good. */
static void unlink_peer(struct chan *c)
{
    events_clear(c);
    queue_clear(c);
    pthread_mutex_lock(&c->mutex);
    int fd = c->fd;
    c->fd = -1;
    pthread_mutex_unlock(&c->mutex);
    if (fd >= 0)
        close(fd);
}

static void peer_gone(struct chan *c)
{
    if (c->fd < 0)
        return;
    unlink_peer(c);
    waiting_fail_all(c, SL_PROC_GONE);
    if (c->handler.linked)
        c->handler.linked(c->handler.ctx, c, false);
}

/* Fd is the caller's until this succeeds. */
static enum sl_rc take_fd(struct chan *c, int fd, struct sl_err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return SL_FAIL(err, SL_IO, "channel to %s: %s", c->peer, strerror(errno));
    /* best effort: past net.core.wmem_max only for the privileged */
    int size = SOCKET_BUF;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    c->readable = event_new(c->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(c->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (!c->readable || !c->writable || (c->handler.message && event_add(c->readable, NULL) < 0)) {
        events_clear(c);
        return SL_FAIL_MEM(err);
    }
    pthread_mutex_lock(&c->mutex);
    c->fd = fd;
    pthread_mutex_unlock(&c->mutex);
    return SL_OK;
}

enum sl_rc chan_new(struct chan **out, struct event_base *base, int fd, const char *peer,
                    struct sl_err *err)
{
    struct chan *c = calloc(1, sizeof(*c));
    uint8_t *in = malloc(HEADER_LEN + CHAN_INLINE_MAX);
    struct event *gone = c ? event_new(base, -1, 0, on_gone, c) : NULL;
    if (!c || !in || !gone) {
        free(c);
        free(in);
        if (gone)
            event_free(gone);
        if (fd >= 0)
            close(fd);
        return SL_FAIL_MEM(err);
    }
    c->base = base;
    c->in = in;
    c->gone = gone;
    c->fd = -1;
    c->last = &c->first;
    (void)snprintf(c->peer, sizeof(c->peer), "%s", peer);
    pthread_mutex_init(&c->mutex, NULL);
    /*
     * A process may answer what the predecessor of this one had asked. Ids that start anywhere make
     * sure that such an answer meets no request of ours.
     */
    if (getrandom(&c->next_id, sizeof(c->next_id), 0) != sizeof(c->next_id))
        c->next_id = (uint64_t)sl_clock_mono_ns() << 16;
    if (fd >= 0) {
        enum sl_rc rc = take_fd(c, fd, err);
        if (rc != SL_OK) {
            close(fd);
            chan_free(c);
            return rc;
        }
    }
    *out = c;
    return SL_OK;
}

void chan_free(struct chan *c)
{
    if (!c)
        return;
    assert(!c->busy);
    unlink_peer(c);
    waiting_fail_all(c, SL_CANCELLED);
    event_free(c->gone);
    pthread_mutex_destroy(&c->mutex);
    free(c->in);
    free(c);
}

void chan_handle(struct chan *c, const struct chan_handler *h)
{
    c->handler = *h;
    if (c->readable && h->message)
        event_add(c->readable, NULL);
}

enum sl_rc chan_link(struct chan *c, int fd, struct sl_err *err)
{
    peer_gone(c);
    enum sl_rc rc = take_fd(c, fd, err);
    if (rc != SL_OK) {
        close(fd);
        return rc;
    }
    if (c->handler.linked)
        c->handler.linked(c->handler.ctx, c, true);
    return SL_OK;
}

bool chan_is_linked(const struct chan *c)
{
    return c->fd >= 0;
}

const char *chan_peer(const struct chan *c)
{
    return c->peer;
}

size_t chan_queued(const struct chan *c)
{
    return c->queued_bytes;
}

/* ---- sending ----------------------------------------------------------------------------------- */
static int memfd_of(struct sl_bytes body)
{
    int fd = memfd_create("sealane-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    size_t done = 0;
    while (done < body.len) {
        ssize_t n = write(fd, body.p + done, body.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done < body.len || fcntl(fd, F_ADD_SEALS, NEEDED_SEALS | F_SEAL_SEAL) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static ssize_t put(int socket_fd, struct iovec *iov, size_t iov_n, const int *fd, size_t fd_n)
{
    struct msghdr mh = { .msg_iov = iov, .msg_iovlen = iov_n };
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * (CHAN_FDS_MAX + 1))];
    if (fd_n) {
        memset(control, 0, sizeof(control));
        mh.msg_control = control;
        mh.msg_controllen = CMSG_SPACE(sizeof(int) * fd_n);
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int) * fd_n);
        memcpy(CMSG_DATA(cm), fd, sizeof(int) * fd_n);
    }
    ssize_t n;
    do
        n = sendmsg(socket_fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool must_wait(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == ENOBUFS || e == ENOMEM || e == ETOOMANYREFS;
}

/* A frame as it goes out: header and body apart, so that a body is not copied unless it waits. */
struct frame {
    uint8_t header[HEADER_LEN];
    struct sl_bytes body;
    int fd[CHAN_FDS_MAX];
    size_t fd_n;
    int memfd; /* -1: inline */
};

static enum sl_rc frame_make(struct frame *f, uint16_t type, uint16_t flags, uint64_t id,
                             struct sl_bytes body, const int *fd, size_t fd_n, struct sl_err *err)
{
    bool large = body.len > CHAN_INLINE_MAX;
    if (body.len > CHAN_BODY_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "message of %zu bytes, the limit is %zu", body.len,
                       CHAN_BODY_MAX);
    if (fd_n + large > CHAN_FDS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "%zu descriptors in one message, the limit is %d", fd_n,
                       CHAN_FDS_MAX);
    f->memfd = -1;
    f->fd_n = 0;
    f->body = body;
    if (large) {
        f->memfd = memfd_of(body);
        if (f->memfd < 0)
            return SL_FAIL(err, SL_IO, "memfd of %zu bytes: %s", body.len, strerror(errno));
        f->fd[f->fd_n++] = f->memfd;
        f->body = sl_bytes(NULL, 0);
        flags |= CHAN_MEMFD;
    }
    for (size_t i = 0; i < fd_n; i++)
        f->fd[f->fd_n++] = fd[i];
    struct sl_wr w = sl_wr_fixed(f->header, sizeof(f->header));
    sl_wr_u16(&w, type);
    sl_wr_u16(&w, flags);
    sl_wr_u64(&w, id);
    return SL_OK;
}

static void frame_clear(struct frame *f)
{
    if (f->memfd >= 0)
        close(f->memfd);
}

static ssize_t frame_put(int fd, const struct frame *f)
{
    struct iovec iov[2] = { { .iov_base = (void *)(uintptr_t)f->header, .iov_len = HEADER_LEN },
                            { .iov_base = (void *)(uintptr_t)f->body.p, .iov_len = f->body.len } };
    return put(fd, iov, f->body.len ? 2 : 1, f->fd, f->fd_n);
}

static enum sl_rc enqueue(struct chan *c, const struct frame *f, struct sl_err *err)
{
    size_t len = HEADER_LEN + f->body.len;
    if (c->queued_msgs >= CHAN_QUEUE_MSGS_MAX || c->queued_bytes + len > CHAN_QUEUE_BYTES_MAX)
        return SL_FAIL(err, SL_UNAVAILABLE, "%s does not keep up: %zu messages (%zu bytes) wait",
                       c->peer, c->queued_msgs, c->queued_bytes);
    struct queued *q = malloc(sizeof(*q) + len);
    if (!q)
        return SL_FAIL_MEM(err);
    q->next = NULL;
    q->len = len;
    q->fd_n = 0;
    memcpy(q->frame, f->header, HEADER_LEN);
    if (f->body.len)
        memcpy(q->frame + HEADER_LEN, f->body.p, f->body.len);
    for (; q->fd_n < f->fd_n; q->fd_n++) {
        q->fd[q->fd_n] = fcntl(f->fd[q->fd_n], F_DUPFD_CLOEXEC, 0);
        if (q->fd[q->fd_n] < 0)
            break;
    }
    if (q->fd_n < f->fd_n || event_add(c->writable, NULL) < 0) {
        int e = errno;
        for (size_t i = 0; i < q->fd_n; i++)
            close(q->fd[i]);
        sl_wipe(q->frame, len);
        free(q);
        return SL_FAIL(err, SL_IO, "message to %s cannot wait: %s", c->peer, strerror(e));
    }
    *c->last = q;
    c->last = &q->next;
    c->queued_msgs++;
    c->queued_bytes += len;
    return SL_OK;
}

static enum sl_rc send_frame(struct chan *c, uint16_t type, uint16_t flags, uint64_t id,
                             struct sl_bytes body, const int *fd, size_t fd_n, struct sl_err *err)
{
    if (c->fd < 0)
        return SL_FAIL(err, SL_PROC_GONE, "%s is not running", c->peer);
    struct frame f = { .memfd = -1 };
    SL_TRY(frame_make(&f, type, flags, id, body, fd, fd_n, err));
    enum sl_rc rc = SL_OK;
    if (c->first) {
        rc = enqueue(c, &f, err);
    } else if (frame_put(c->fd, &f) < 0) {
        if (must_wait(errno)) {
            rc = enqueue(c, &f, err);
        } else {
            rc = SL_FAIL(err, SL_PROC_GONE, "%s: %s", c->peer, strerror(errno));
            event_active(c->gone, EV_TIMEOUT, 0); /* handlers are not to run inside a send */
        }
    }
    frame_clear(&f);
    return rc;
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct chan *c = arg;
    if (c->fd < 0)
        return;
    /* what it had still to say comes first, and a successor may have been linked since */
    ssize_t n = recv(c->fd, c->in, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0 || (n < 0 && !must_wait(errno)))
        peer_gone(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct chan *c = arg;
    while (c->first) {
        struct queued *q = c->first;
        struct iovec iov = { .iov_base = q->frame, .iov_len = q->len };
        if (put(fd, &iov, 1, q->fd, q->fd_n) < 0) {
            if (!must_wait(errno))
                peer_gone(c);
            return;
        }
        c->first = q->next;
        if (!c->first)
            c->last = &c->first;
        c->queued_msgs--;
        c->queued_bytes -= q->len;
        for (size_t i = 0; i < q->fd_n; i++)
            close(q->fd[i]);
        sl_wipe(q->frame, q->len);
        free(q);
    }
    event_del(c->writable);
}

enum sl_rc chan_send(struct chan *c, uint16_t type, struct sl_bytes body, struct sl_err *err)
{
    return send_frame(c, type, 0, 0, body, NULL, 0, err);
}

enum sl_rc chan_send_fds(struct chan *c, uint16_t type, struct sl_bytes body, const int *fd,
                         size_t fd_n, struct sl_err *err)
{
    return send_frame(c, type, 0, 0, body, fd, fd_n, err);
}

enum sl_rc chan_reply(struct chan *c, uint64_t id, uint16_t type, struct sl_bytes body, bool more,
                      struct sl_err *err)
{
    uint16_t flags = CHAN_REPLY;
    if (more)
        flags |= CHAN_MORE;
    return send_frame(c, type, flags, id, body, NULL, 0, err);
}

enum sl_rc chan_request(struct chan *c, uint16_t type, struct sl_bytes body, int64_t deadline_ms,
                        chan_reply_fn *fn, void *ctx, uint64_t *id, struct sl_err *err)
{
    struct waiting *w = calloc(1, sizeof(*w));
    if (!w)
        return SL_FAIL_MEM(err);
    w->c = c;
    w->fn = fn;
    w->ctx = ctx;
    w->deadline_ms = deadline_ms;
    w->timer = evtimer_new(c->base, on_deadline, w);
    struct timeval tv = ms_timeval(deadline_ms);
    if (!w->timer || evtimer_add(w->timer, &tv) < 0) {
        waiting_free(w);
        return SL_FAIL_MEM(err);
    }
    waiting_add(c, w);
    enum sl_rc rc = send_frame(c, type, 0, w->id, body, NULL, 0, err);
    if (rc != SL_OK) {
        pthread_mutex_lock(&c->mutex);
        waiting_unlink(c, w);
        pthread_mutex_unlock(&c->mutex);
        waiting_free(w);
        return rc;
    }
    if (id)
        *id = w->id;
    return SL_OK;
}

void chan_cancel(struct chan *c, uint64_t id)
{
    pthread_mutex_lock(&c->mutex);
    struct waiting *w = waiting_find(c, id);
    if (w && w->call)
        w = NULL;
    if (w)
        waiting_unlink(c, w);
    pthread_mutex_unlock(&c->mutex);
    if (w)
        waiting_free(w);
}

/* ---- receiving --------------------------------------------------------------------------------- */
static void answered_call(struct call *call, const struct chan_msg *m)
{
    if (m->flags & CHAN_MORE)
        return;
    enum sl_rc rc = SL_OK;
    if (m->type != call->want_type)
        rc = SL_PROC_MESSAGE;
    else if (!sl_buf_put(call->reply, m->body))
        rc = SL_NO_MEMORY;
    call_end(call, rc);
}

static void answered(struct chan *c, struct chan_msg *m)
{
    bool more = m->flags & CHAN_MORE;
    pthread_mutex_lock(&c->mutex);
    struct waiting *w = waiting_find(c, m->id);
    chan_reply_fn *fn = NULL;
    void *ctx = NULL;
    if (w && w->call) {
        if (!more)
            waiting_unlink(c, w);
        answered_call(w->call, m);
        w = NULL;
    } else if (w) {
        fn = w->fn;
        ctx = w->ctx;
        if (!more)
            waiting_unlink(c, w);
    }
    pthread_mutex_unlock(&c->mutex);
    if (!w)
        return; /* too late, cancelled, or for a thread */
    if (more) {
        struct timeval tv = ms_timeval(w->deadline_ms);
        evtimer_add(w->timer, &tv);
    } else {
        waiting_free(w);
    }
    fn(ctx, SL_OK, m);
}

/*
 * The body of a large message, mapped. The seals make sure that it cannot shrink below the mapping
 * nor change while it is read.
 */
static bool memfd_body(int fd, struct sl_bytes *body)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & NEEDED_SEALS) != NEEDED_SEALS || fstat(fd, &st) < 0 ||
        st.st_size <= 0 || (uint64_t)st.st_size > CHAN_BODY_MAX)
        return false;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return false;
    *body = sl_bytes(p, (size_t)st.st_size);
    return true;
}

/* One frame in c->in; false when it breaks the rules. */
static bool dispatch(struct chan *c, size_t len, int *fd, size_t fd_n)
{
    struct sl_rd r = sl_rd(sl_bytes(c->in, len));
    struct chan_msg m = { .type = sl_rd_u16(&r), .flags = sl_rd_u16(&r), .id = sl_rd_u64(&r) };
    m.body = sl_rd_rest(&r);
    if (!sl_rd_done(&r) || m.flags & ~(CHAN_REPLY | CHAN_MORE | CHAN_MEMFD))
        return false;
    void *mapped = NULL;
    if (m.flags & CHAN_MEMFD) {
        struct sl_bytes body;
        if (m.body.len || fd_n < 1 || !memfd_body(fd[0], &body))
            return false;
        mapped = (void *)(uintptr_t)body.p;
        m.body = body;
        close(fd[0]);
        fd[0] = -1;
        m.flags &= (uint16_t)~CHAN_MEMFD;
    }
    for (size_t i = mapped ? 1 : 0; i < fd_n; i++) {
        m.fd[m.fd_n++] = fd[i];
        fd[i] = -1;
    }
    size_t body_len = m.body.len;
    if (m.flags & CHAN_REPLY)
        answered(c, &m);
    else
        c->handler.message(c->handler.ctx, c, &m);
    for (size_t i = 0; i < m.fd_n; i++)
        if (m.fd[i] >= 0)
            close(m.fd[i]);
    if (mapped)
        munmap(mapped, body_len);
    return true;
}

/* Reads one datagram: its length, 0 at the end, -1 with errno. */
static ssize_t get(struct chan *c, int *fd, size_t *fd_n, bool *cut)
{
    struct iovec iov = { .iov_base = c->in, .iov_len = HEADER_LEN + CHAN_INLINE_MAX };
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * CHAN_FDS_MAX)];
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t n;
    do
        n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *fd_n = 0;
    if (n < 0)
        return n;
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int one;
            memcpy(&one, CMSG_DATA(cm) + i * sizeof(int), sizeof(one));
            if (*fd_n < CHAN_FDS_MAX)
                fd[(*fd_n)++] = one;
            else
                close(one);
        }
    }
    *cut = mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    return n;
}

static void on_readable(evutil_socket_t socket_fd, short what, void *arg)
{
    (void)socket_fd, (void)what;
    struct chan *c = arg;
    c->busy = true;
    for (int i = 0; i < READ_BURST && c->fd >= 0 && c->handler.message; i++) {
        int fd[CHAN_FDS_MAX];
        size_t fd_n;
        bool cut = false;
        ssize_t n = get(c, fd, &fd_n, &cut);
        if (n < 0 && must_wait(errno))
            break;
        bool good = n > 0 && !cut && dispatch(c, (size_t)n, fd, fd_n);
        for (size_t k = 0; n > 0 && k < fd_n; k++)
            if (!good && fd[k] >= 0)
                close(fd[k]);
        if (n > 0)
            sl_wipe(c->in, (size_t)n); /* it may have held keys */
        if (n > 0 && !good)
            sl_error("%s sent a message that cannot be read, its channel is closed", c->peer);
        if (!good) {
            peer_gone(c);
            break;
        }
    }
    c->busy = false;
}

/* ---- from worker threads ----------------------------------------------------------------------- */
static int64_t ms_left(int64_t end_ns)
{
    int64_t left = end_ns - sl_clock_mono_ns();
    return left > 0 ? (left + SL_NS_PER_MS - 1) / SL_NS_PER_MS : 0;
}

/*
 * Sends past the loop's queue, whose order does not concern another thread. A full socket is
 * waited for in short sleeps: it may be replaced meanwhile, so it must not be held in a poll(2).
 */
static enum sl_rc call_send(struct chan *c, const struct frame *f, int64_t end_ns,
                            struct sl_err *err)
{
    for (;;) {
        pthread_mutex_lock(&c->mutex);
        ssize_t n = c->fd < 0 ? -1 : frame_put(c->fd, f);
        int e = c->fd < 0 ? EPIPE : errno;
        pthread_mutex_unlock(&c->mutex);
        if (n >= 0)
            return SL_OK;
        if (!must_wait(e))
            return SL_FAIL(err, SL_PROC_GONE, "%s is not running", c->peer);
        if (!ms_left(end_ns))
            return SL_FAIL(err, SL_TIMEOUT, "%s does not keep up", c->peer);
        struct timespec pause = { .tv_nsec = SL_NS_PER_MS };
        nanosleep(&pause, NULL);
    }
}

enum sl_rc chan_call(struct chan *c, uint16_t type, struct sl_bytes body, int64_t deadline_ms,
                     uint16_t want_type, struct sl_buf *reply, struct sl_err *err)
{
    struct call call = { .want_type = want_type, .reply = reply };
    call.w = (struct waiting){ .c = c, .call = &call };
    int64_t end_ns = sl_clock_mono_ns() + deadline_ms * SL_NS_PER_MS;
    struct timespec end = { .tv_sec = end_ns / SL_NS_PER_S, .tv_nsec = end_ns % SL_NS_PER_S };

    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&call.cond, &attr);
    pthread_condattr_destroy(&attr);
    waiting_add(c, &call.w);

    struct frame f = { .memfd = -1 };
    enum sl_rc rc = frame_make(&f, type, 0, call.w.id, body, NULL, 0, err);
    if (rc == SL_OK) {
        rc = call_send(c, &f, end_ns, err);
        frame_clear(&f);
    }
    pthread_mutex_lock(&c->mutex);
    while (rc == SL_OK && !call.done)
        if (pthread_cond_timedwait(&call.cond, &c->mutex, &end) == ETIMEDOUT && !call.done)
            rc = SL_FAIL(err, SL_TIMEOUT, "%s did not answer within %lld ms", c->peer,
                         (long long)deadline_ms);
    waiting_unlink(c, &call.w);
    pthread_mutex_unlock(&c->mutex);
    pthread_cond_destroy(&call.cond);
    if (rc != SL_OK)
        return rc;
    if (call.rc != SL_OK)
        return SL_FAIL(err, call.rc, "%s: %s", c->peer, sl_rc_text(call.rc));
    return SL_OK;
}
