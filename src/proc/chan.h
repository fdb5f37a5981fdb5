/*
 * A channel between two processes: typed frames over one SOCK_SEQPACKET socket, driven by libevent.
 *
 *   frame: type (2), flags (2), id (8), body
 *
 * A frame with id 0 is a notice. A request carries an id of its sender's choosing and is answered
 * by frames with CHAN_REPLY and the same id; all but the last of them carry CHAN_MORE. A body too
 * large for one datagram travels in a sealed memfd, which neither side notices. Nothing here
 * blocks but chan_call, which is for worker threads.
 *
 * The channel outlives the process at its other end: when that ends, requests fail with
 * SL_PROC_GONE, and chan_link gives the channel its successor.
 *
 * Threads: everything belongs to the loop's thread, but chan_call.
 */
#ifndef SL_PROC_CHAN_H
#define SL_PROC_CHAN_H

#include "sealane/err.h"

struct chan;
struct event_base;

#define CHAN_REPLY 0x0001 /* answers the request with this id */
#define CHAN_MORE  0x0002 /* and more answers follow */
#define CHAN_MEMFD 0x0004 /* the body is in the first descriptor (never seen by users) */

#define CHAN_BODY_MAX        ((size_t)128 << 20)
#define CHAN_INLINE_MAX      65000u /* above: memfd */
#define CHAN_FDS_MAX         64
#define CHAN_QUEUE_MSGS_MAX  8192
#define CHAN_QUEUE_BYTES_MAX ((size_t)64 << 20)

struct chan_msg {
    uint16_t type, flags;
    uint64_t id;          /* 0: a notice; else answer it with chan_reply */
    struct sl_bytes body; /* valid until the handler returns, then wiped */
    int fd[CHAN_FDS_MAX]; /* to keep one, set its place to -1; the rest is closed */
    size_t fd_n;
};

struct chan_handler {
    /* A notice (id 0) or a request. */
    void (*message)(void *ctx, struct chan *c, struct chan_msg *m);
    /* The other process has gone (false) or its successor is there (true). May be NULL. */
    void (*linked)(void *ctx, struct chan *c, bool linked);
    void *ctx;
};

/* The answer to a request: m, or NULL with the reason (SL_PROC_GONE, SL_TIMEOUT). */
typedef void chan_reply_fn(void *ctx, enum sl_rc rc, struct chan_msg *m);

/* fd is taken, also on failure; -1: not linked yet. peer names the other process in messages. */
SL_MUST_USE enum sl_rc chan_new(struct chan **out, struct event_base *base, int fd,
                                const char *peer, struct sl_err *err);
/* Requests waiting fail with SL_CANCELLED. Not from a handler; no thread may be in chan_call. */
void chan_free(struct chan *c);
/* Until a handler is set nothing is read. */
void chan_handle(struct chan *c, const struct chan_handler *h);
/* A new process at the other end; fd is taken. What was asked of the old one fails. */
SL_MUST_USE enum sl_rc chan_link(struct chan *c, int fd, struct sl_err *err);
bool chan_is_linked(const struct chan *c);
const char *chan_peer(const struct chan *c);
size_t chan_queued(const struct chan *c); /* bytes waiting to be sent */

/* SL_PROC_GONE, SL_TOO_LARGE, SL_UNAVAILABLE (queue full). Descriptors are borrowed. */
SL_MUST_USE enum sl_rc chan_send(struct chan *c, uint16_t type, struct sl_bytes body,
                                 struct sl_err *err);
SL_MUST_USE enum sl_rc chan_send_fds(struct chan *c, uint16_t type, struct sl_bytes body,
                                     const int *fd, size_t fd_n, struct sl_err *err);
/*
 * When SL_OK, fn is called later, never from inside, once for each answer: with CHAN_MORE set in
 * m->flags for all but the last, or once with the failure. Each answer renews the deadline.
 * *id (may be NULL) is for chan_cancel.
 */
SL_MUST_USE enum sl_rc chan_request(struct chan *c, uint16_t type, struct sl_bytes body,
                                    int64_t deadline_ms, chan_reply_fn *fn, void *ctx, uint64_t *id,
                                    struct sl_err *err);
void chan_cancel(struct chan *c, uint64_t id); /* its fn will not be called any more */
/* Answers request id. */
SL_MUST_USE enum sl_rc chan_reply(struct chan *c, uint64_t id, uint16_t type, struct sl_bytes body,
                                  bool more, struct sl_err *err);
/*
 * Ask and wait, from any thread but the loop's, which must be running. The last answer's body is
 * appended to reply; it must be of want_type (else SL_PROC_MESSAGE).
 */
SL_MUST_USE enum sl_rc chan_call(struct chan *c, uint16_t type, struct sl_bytes body,
                                 int64_t deadline_ms, uint16_t want_type, struct sl_buf *reply,
                                 struct sl_err *err);

/* A connected pair of sockets fit for chan_new, both close-on-exec. */
SL_MUST_USE enum sl_rc chan_pair(int fd[2], struct sl_err *err);

#endif
