/*
 * A child SA as IKE hands it to a datapath: selectors, keys, encapsulation and limits. Plain value
 * but for the keys, which the receiver takes.
 */
#ifndef SEALANE_CHILD_H
#define SEALANE_CHILD_H

#include "sealane/crypto.h"
#include "sealane/decision.h"
#include "sealane/net.h"

struct sl_child_limits { /* 0: no limit; soft asks IKE for a rekey, hard removes the SA */
    uint64_t soft_bytes, hard_bytes;
    uint64_t soft_packets, hard_packets;
};

struct sl_child {
    uint64_t id;       /* unique within the ike process; names the pair of SAs */
    uint64_t ike_sa;   /* the IKE SA it belongs to */
    uint64_t replaces; /* id of the child this one rekeys; 0: none */
    char connection[SL_NAME_MAX], child[SL_NAME_MAX];
    struct sl_endpoint local, remote; /* outer; ports are those of IKE (UDP encapsulation) */
    bool udp_encap;
    bool esn;
    uint32_t spi_in, spi_out; /* host order; never 0..255 */
    struct sl_suite suite;
    struct sl_secret encr_in, integ_in, encr_out, integ_out;
    struct sl_ts ts_local[SL_TS_MAX], ts_remote[SL_TS_MAX];
    size_t ts_local_n, ts_remote_n;
    uint32_t replay_window_pkts;
    struct sl_child_limits limits;
    /*
     * A new SA of a rekey may be installed for reading before it is used for sending: an outbound
     * SA is used once `outbound` is set (RFC 7296 2.8: the responder sends on the new SA only when
     * it has seen the initiator use it or delete the old one).
     */
    bool outbound;
    /* IPv4, IPv6 addresses that the peer gave us for this traffic; family 0: none. */
    struct sl_addr vip[2];
};
void sl_child_clear(struct sl_child *c); /* wipes the keys */

/* Counters of one direction; all since the SA was installed. */
struct sl_esp_counters {
    uint64_t packets, bytes; /* accepted or sent; bytes of inner packets */
    uint64_t replayed, late, integrity, malformed, policy, too_big, exhausted;
    int64_t last_utc_s; /* last accepted or sent packet; 0: none */
};

#endif
