/*
 * The datapath's shell: moves packets between TUN, the sockets outside and struct sl_esp, many with
 * one system call where the kernel allows it, and as one packet through its network stack where they
 * are alike (UDP_SEGMENT, UDP_GRO). All memory is taken at the start; what does not fit is
 * left in the kernel's queues or dropped and counted. Non-blocking; the caller owns the event loop
 * and the descriptors. One thread.
 */
#ifndef SL_ESP_IO_H
#define SL_ESP_IO_H

#include "sealane/esp.h"

enum esp_sock { ESP_UDP4, ESP_UDP6, ESP_RAW4, ESP_RAW6, ESP_SOCK_COUNT };
const char *esp_sock_text(enum esp_sock s); /* "udp4" */

struct esp_io_fds { /* -1: none */
    int tun;
    int sock[ESP_SOCK_COUNT];
};

struct esp_io_stats {
    uint64_t tun_read, tun_written; /* packets */
    uint64_t wire_received, wire_sent;
    uint64_t tun_bad;          /* from the TUN, of no use */
    uint64_t tun_dropped;      /* the kernel did not take it */
    uint64_t wire_dropped;     /* no socket, or the kernel refused it */
    uint64_t overload_dropped; /* no memory left for it while a socket was full */
    uint64_t kernel_dropped;   /* overflow of a socket's receive queue */
    uint64_t truncated;        /* received, larger than a packet can be */
    uint64_t keepalives;
    uint64_t bypass_dropped;             /* to be bypassed, but routed into the TUN */
    uint64_t calls_received, calls_sent; /* system calls for wire_received, wire_sent */
};

struct esp_io;
/* e and the descriptors are borrowed. Sets the options of the sockets that the datapath needs. */
SL_MUST_USE enum sl_rc esp_io_new(struct esp_io **out, struct sl_esp *e,
                                  const struct esp_io_fds *fds, struct sl_err *err);
void esp_io_free(struct esp_io *io);

/* The TUN is readable. Takes a bounded number of packets; what is left makes it readable again. */
void esp_io_tun(struct esp_io *io);
/* A socket is readable; likewise. */
void esp_io_sock(struct esp_io *io, enum esp_sock s);
/* A socket that esp_io_blocked named is writable: sends what waits. */
void esp_io_writable(struct esp_io *io, enum esp_sock s);
/*
 * Bits 1 << enum esp_sock of the sockets that take nothing more. While there are any, do not call
 * esp_io_tun: the TUN's own queue holds the packets and drops the excess.
 */
unsigned esp_io_blocked(const struct esp_io *io);
void esp_io_stats(const struct esp_io *io, struct esp_io_stats *out);

#endif
