/*
 * The simulator's network: UDP datagrams between nodes, each with its seeded loss, delay,
 * reordering, duplication and corruption; NAT boxes in front of nodes; and taps through which a
 * test reads, drops or changes what passes.
 */
#ifndef SL_TESTS_SIM_NET_H
#define SL_TESTS_SIM_NET_H

#include "sealane/net.h"
#include "sim/clock.h"

struct sim_weather {
    unsigned loss, duplicate, reorder, corrupt; /* per mille */
    int64_t delay_min_ns, delay_max_ns; /* reordered datagrams wait up to ten times as long */
};

enum sim_tap { SIM_PASS, SIM_DROP };

struct sim_datagram {
    struct sl_endpoint from, to;
    struct sl_buf data; /* without the non-ESP marker */
};

struct sim_node {
    struct sl_addr addr;    /* what the node believes */
    struct sl_addr outside; /* what others see; family 0: no NAT */
    uint16_t nat_offset;    /* added to the source port outside */
    bool cut;               /* nothing in, nothing out */
    void (*receive)(void *ctx, const struct sl_endpoint *local, const struct sl_endpoint *remote,
                    struct sl_bytes data);
    void *ctx;
};

#define SIM_NODES_MAX 16
struct sim_net {
    struct sim *sim;
    struct sim_weather weather;
    struct sim_node *node[SIM_NODES_MAX];
    size_t n;
    enum sim_tap (*tap)(void *ctx, struct sim_datagram *d); /* may be NULL */
    void *tap_ctx;
    uint64_t sent, lost, delivered;
};

void sim_net_init(struct sim_net *net, struct sim *sim, const struct sim_weather *weather);
void sim_net_attach(struct sim_net *net, struct sim_node *node);
void sim_net_send(struct sim_net *net, const struct sl_endpoint *from, const struct sl_endpoint *to,
                  struct sl_bytes data);

extern const struct sim_weather sim_fair; /* 1 ms each way, nothing lost */

#endif
