/*
 * The ESP datapath core (RFC 4303; RFC 4301 for policy): packets go in, packets come out. It opens
 * no socket, reads no clock and allocates nothing per packet. IKE's child SAs are installed with
 * sl_esp_child_*; sockets, TUN and routes belong to the shell (src/esp/io.h).
 *
 * A packet is changed where it lies: the caller's memory leaves SL_ESP_HEADROOM bytes before and
 * SL_ESP_TAILROOM bytes behind what it hands in. Outer IP and UDP headers are the kernel's: "wire"
 * packets start with the SPI.
 *
 * Inbound SAs work from the moment they are added. What is sent is decided by a snapshot of the
 * policy that sl_esp_commit replaces whole, so that "use the new SA" and "remove the old one" take
 * effect between two packets and none is lost in a rekey.
 *
 * Thread: one per struct sl_esp. An SA is found through its SPI and owns its cipher, window and
 * counters, so that several struct sl_esp may later each own a share of the SPIs.
 */
#ifndef SEALANE_ESP_H
#define SEALANE_ESP_H

#include "sealane/child.h"
#include "sealane/config.h"

#define SL_ESP_HEADROOM   64u /* SPI, sequence number and IV; the headers of an ICMP error */
#define SL_ESP_TAILROOM   64u /* padding, trailer and ICV */
#define SL_ESP_PACKET_MAX 65535u
#define SL_ESP_WINDOW_MAX 65536u /* packets; more is taken as this */

struct sl_esp;

struct sl_esp_config {
    const struct sl_rng *rng; /* IVs of CBC suites; borrowed */
    uint16_t outer_mtu;       /* of every path until sl_esp_outer_mtu says otherwise; 0: 1500 */
    uint16_t inner_mtu;       /* of the TUN; 0: no limit of its own */
    uint32_t max_children;    /* 0: 100000 */
    /*
     * Sequence numbers from which a rekey is asked, and the last one used. 0: three quarters of
     * the sequence space and its end. Tests lower them; they never raise the SA's own limit.
     */
    uint64_t seq_soft, seq_last;
};
SL_MUST_USE enum sl_rc sl_esp_new(struct sl_esp **out, const struct sl_esp_config *config,
                                  struct sl_err *err);
void sl_esp_free(struct sl_esp *e);
SL_AUTO_DEFINE(sl_esp)

/* The time for everything that follows; the shell sets it once per wake-up. */
void sl_esp_time(struct sl_esp *e, int64_t mono_ns, int64_t utc_s);

/* ---- policy ------------------------------------------------------------------------------------ */
/*
 * Traffic that is bypassed or dropped, in order, looked at before any SA (RFC 4301 4.4.1). Copied;
 * replaces what was set before. Takes effect with sl_esp_commit.
 */
SL_MUST_USE enum sl_rc sl_esp_shunts(struct sl_esp *e, const struct sl_conf_shunt *shunts, size_t n,
                                     struct sl_err *err);
/*
 * Installs both SAs of a child and takes the keys out of *c (they are wiped there, also on failure).
 * Inbound works at once; outbound after sl_esp_commit, if c->outbound is set or once
 * sl_esp_child_outbound was called. Of children with equal selectors the one last told to send is
 * used, and the one before it again when it goes.
 *
 * SL_EXISTS (id or inbound SPI in use), SL_TOO_LARGE (max_children), SL_UNSUPPORTED (suite),
 * SL_MALFORMED (SPI under 256, no selectors, wrong key length), SL_NO_MEMORY.
 */
SL_MUST_USE enum sl_rc sl_esp_child_add(struct sl_esp *e, struct sl_child *c, struct sl_err *err);
/* The three below: SL_NOT_FOUND when there is no such child. */
SL_MUST_USE enum sl_rc sl_esp_child_outbound(struct sl_esp *e, uint64_t id, struct sl_err *err);
SL_MUST_USE enum sl_rc sl_esp_child_move(struct sl_esp *e, uint64_t id,
                                         const struct sl_endpoint *local,
                                         const struct sl_endpoint *remote, bool udp_encap,
                                         struct sl_err *err);
/* Inbound ends at once; its outbound SA is no longer used after sl_esp_commit. Keys are wiped. */
SL_MUST_USE enum sl_rc sl_esp_child_del(struct sl_esp *e, uint64_t id, struct sl_err *err);
/* Makes the changes above visible to outbound packets. On SL_NO_MEMORY the old policy stays. */
SL_MUST_USE enum sl_rc sl_esp_commit(struct sl_esp *e, struct sl_err *err);

/* The MTU of the path outside to one peer (an ICMP "too big" the kernel believed; a configured one). */
void sl_esp_outer_mtu(struct sl_esp *e, const struct sl_addr *remote, uint16_t mtu);
/*
 * The largest inner packet that fits an outer_mtu when sealed with suite (RFC 4303 2, 3.1.2).
 * outer_family 4 or 6. 0 when nothing fits.
 */
uint16_t sl_esp_inner_mtu(const struct sl_suite *suite, uint8_t outer_family, bool udp_encap,
                          uint16_t outer_mtu);

/* ---- packets ----------------------------------------------------------------------------------- */
struct esp_out; /* an outbound SA */

struct sl_esp_pkt {
    uint8_t *buf;                     /* cap bytes */
    uint32_t cap, off, len;           /* the packet is buf[off .. off + len) */
    struct sl_endpoint local, remote; /* outer addresses: in for inbound, out for WIRE */
    bool udp_encap;                   /* ESP in UDP (RFC 3948), else protocol 50 */
    uint8_t tos;                      /* outer DSCP and ECN: in for inbound, out for WIRE */
    enum sl_rc reason;                /* DROP: why */
    uint64_t child_id;                /* the child that handled it; 0: none */
    const struct esp_out *sa;         /* SPLIT: the SA chosen; private */
};

enum sl_esp_do {
    SL_ESP_DROP,   /* forget it; counted under pkt->reason */
    SL_ESP_WIRE,   /* send it to pkt->remote */
    SL_ESP_INSIDE, /* write it to the TUN */
    SL_ESP_BYPASS, /* send it as it is, unprotected */
    SL_ESP_SPLIT,  /* outbound, too large, may be fragmented: see sl_esp_split */
};

/*
 * An inner IP packet from the TUN. WIRE: sealed. INSIDE: it was too large and must not be
 * fragmented; it has become the ICMP error for its sender (RFC 792, RFC 4443 3.2). BYPASS, SPLIT,
 * DROP as above. Also lowers the MSS of a TCP SYN to what the tunnel carries.
 */
enum sl_esp_do sl_esp_outbound(struct sl_esp *e, struct sl_esp_pkt *p);

/*
 * After SL_ESP_SPLIT: writes the next fragment of whole (RFC 791 3.2) into frag, which has memory of
 * its own, and seals it. *at starts at 0. WIRE until the last fragment, then DROP with reason SL_OK;
 * DROP with another reason when the SA came to its end. To be finished before any sl_esp_child_* or
 * sl_esp_commit.
 */
enum sl_esp_do sl_esp_split(struct sl_esp *e, const struct sl_esp_pkt *whole, uint32_t *at,
                            struct sl_esp_pkt *frag);

/*
 * A packet from outside, from its SPI on, with the outer addresses and TOS. INSIDE: opened, checked
 * against the SA's selectors, ECN applied (RFC 6040). UDP encapsulation is accepted whether or not
 * the SA asks for it (RFC 7296 2.23). Dummy packets (RFC 4303 2.6) are dropped with reason SL_OK.
 */
enum sl_esp_do sl_esp_inbound(struct sl_esp *e, struct sl_esp_pkt *p);

/* ---- what IKE is told -------------------------------------------------------------------------- */
enum sl_esp_event_type {
    SL_ESP_EV_SOFT = 1, /* a soft limit: rekey */
    SL_ESP_EV_HARD,     /* a hard limit: the child carries nothing more */
    SL_ESP_EV_SEEN,     /* an authentic packet came in; the first one, then once a second */
    SL_ESP_EV_MOVED,    /* an authentic, newest packet came from another outer address */
};
struct sl_esp_event {
    enum sl_esp_event_type type;
    uint64_t child_id;
    struct sl_endpoint local, remote; /* MOVED: where it came from */
};
/* The next event; false when there is none. SOFT and HARD come once per child. */
bool sl_esp_next(struct sl_esp *e, struct sl_esp_event *ev);

/* ---- counters ---------------------------------------------------------------------------------- */
/* Packets that belong to no child, and what the datapath did; since sl_esp_new. */
struct sl_esp_stats {
    uint64_t in_short;       /* outer packet too short to hold an SPI and a sequence number */
    uint64_t in_no_sa;       /* unknown SPI */
    uint64_t in_dummy;       /* RFC 4303 2.6 */
    uint64_t out_malformed;  /* inner packet from the TUN with a bad header */
    uint64_t out_no_policy;  /* no SA and no shunt for it */
    uint64_t out_shunt_drop; /* dropped by a shunt */
    uint64_t out_bypass;
    uint64_t fragmented;    /* inner packets fragmented before sealing */
    uint64_t mss_clamped;   /* TCP SYN whose MSS was lowered, both directions */
    uint64_t too_big_sent;  /* ICMP errors made */
    uint64_t too_big_muted; /* not made: rate limit, or no error may answer this packet */
    uint64_t children;      /* now */
};
void sl_esp_stats(const struct sl_esp *e, struct sl_esp_stats *out);

struct sl_esp_child_info {
    uint64_t id, ike_sa;
    const char *connection, *child;
    struct sl_endpoint local, remote;
    bool udp_encap, esn;
    bool outbound; /* used for sending, as of the last commit */
    bool hard;     /* at its end */
    uint32_t spi_in, spi_out;
    struct sl_suite suite;
    uint64_t seq_out, seq_in; /* last sent; highest received */
    uint32_t replay_window_pkts;
    uint16_t inner_mtu4, inner_mtu6; /* largest inner packet that leaves in one piece */
    struct sl_esp_counters in, out;
    const struct sl_ts *ts_local, *ts_remote;
    size_t ts_local_n, ts_remote_n;
    struct sl_addr vip[2]; /* as in struct sl_child */
};
void sl_esp_list(const struct sl_esp *e, void (*on)(void *ctx, const struct sl_esp_child_info *i),
                 void *ctx);
SL_MUST_USE bool sl_esp_child_info(const struct sl_esp *e, uint64_t id,
                                   struct sl_esp_child_info *out);

#endif
