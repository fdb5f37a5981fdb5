/* See net.h. */
#include "sim/net.h"

#include <stdlib.h>

const struct sim_weather sim_fair = { .delay_min_ns = SL_NS_PER_MS, .delay_max_ns = SL_NS_PER_MS };

void sim_net_init(struct sim_net *net, struct sim *sim, const struct sim_weather *weather)
{
    *net = (struct sim_net){ .sim = sim, .weather = *weather };
}

void sim_net_attach(struct sim_net *net, struct sim_node *node)
{
    if (net->n == SIM_NODES_MAX)
        abort();
    net->node[net->n++] = node;
}

static void drop_datagram(void *arg)
{
    struct sim_datagram *d = arg;
    sl_buf_clear(&d->data);
    free(d);
}

static void deliver(void *ctx, void *arg)
{
    struct sim_net *net = ctx;
    struct sim_datagram *d = arg;
    for (size_t i = 0; i < net->n; i++) {
        struct sim_node *node = net->node[i];
        const bool nat = node->outside.family != 0;
        if (node->cut || !sl_addr_eq(&d->to.addr, nat ? &node->outside : &node->addr))
            continue;
        struct sl_endpoint local = { node->addr, d->to.port };
        if (nat)
            local.port = (uint16_t)(local.port - node->nat_offset);
        net->delivered++;
        node->receive(node->ctx, &local, &d->from, sl_buf_bytes(&d->data));
        break;
    }
    drop_datagram(d);
}

static void launch(struct sim_net *net, const struct sim_datagram *d)
{
    struct sim *sim = net->sim;
    const struct sim_weather *w = &net->weather;
    if (sim_chance(sim, w->loss)) {
        net->lost++;
        return;
    }
    struct sim_datagram *copy = calloc(1, sizeof(*copy));
    if (!copy)
        abort();
    copy->from = d->from;
    copy->to = d->to;
    if (!sl_buf_put(&copy->data, sl_buf_bytes(&d->data)))
        abort();
    if (copy->data.len && sim_chance(sim, w->corrupt))
        copy->data.p[sl_rng_below(&sim->rng, copy->data.len)] ^=
            (uint8_t)(1u << sl_rng_below(&sim->rng, 8));
    int64_t delay = sim_between(sim, w->delay_min_ns, w->delay_max_ns);
    if (sim_chance(sim, w->reorder))
        delay += sim_between(sim, 0, 10 * w->delay_max_ns);
    sim_after(sim, delay, deliver, drop_datagram, net, copy);
}

void sim_net_send(struct sim_net *net, const struct sl_endpoint *from, const struct sl_endpoint *to,
                  struct sl_bytes data)
{
    struct sim_datagram d = { .from = *from, .to = *to };
    for (size_t i = 0; i < net->n; i++) {
        const struct sim_node *node = net->node[i];
        if (!sl_addr_eq(&node->addr, &from->addr))
            continue;
        if (node->cut)
            return;
        if (node->outside.family) {
            d.from.addr = node->outside;
            d.from.port = (uint16_t)(from->port + node->nat_offset);
        }
    }
    net->sent++;
    if (!sl_buf_put(&d.data, data))
        abort();
    if (!net->tap || net->tap(net->tap_ctx, &d) == SIM_PASS) {
        launch(net, &d);
        if (sim_chance(net->sim, net->weather.duplicate))
            launch(net, &d);
    }
    sl_buf_clear(&d.data);
}
