/*
 * What changes the datapath: children come, move and go, the policy is replaced, IKE is told. May
 * allocate; packets (packet.c) never come here.
 */
#include "src/esp/esp.h"

#include <stdlib.h>
#include <string.h>

#define CHILDREN_MAX_DEFAULT 100000u

enum sl_rc sl_esp_new(struct sl_esp **out, const struct sl_esp_config *config, struct sl_err *err)
{
    struct sl_esp *e = calloc(1, sizeof(*e));
    if (!e)
        return SL_FAIL_MEM(err);
    e->config = *config;
    if (!e->config.max_children)
        e->config.max_children = CHILDREN_MAX_DEFAULT;
    TAILQ_INIT(&e->children);
    TAILQ_INIT(&e->events);
    TAILQ_INIT(&e->changes);
    enum sl_rc rc = esp_spd_new(&e->spd, err);
    if (rc != SL_OK) {
        free(e);
        return rc;
    }
    *out = e;
    return SL_OK;
}

void sl_esp_free(struct sl_esp *e)
{
    if (!e)
        return;
    esp_spd_free(e->spd);
    struct esp_child *c;
    while ((c = TAILQ_FIRST(&e->children))) {
        TAILQ_REMOVE(&e->children, c, all);
        esp_child_free(c);
    }
    esp_map_clear(&e->by_spi);
    esp_map_clear(&e->by_id);
    free(e->shunts);
    sl_wipe(e->iv_pool, sizeof(e->iv_pool));
    free(e);
}

void sl_esp_time(struct sl_esp *e, int64_t mono_ns, int64_t utc_s)
{
    e->mono_ns = mono_ns;
    e->utc_s = utc_s;
}

enum sl_rc sl_esp_shunts(struct sl_esp *e, const struct sl_conf_shunt *shunts, size_t n,
                         struct sl_err *err)
{
    struct esp_shunt *made = calloc(n + 1, sizeof(*made));
    if (!made)
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < n; i++) {
        made[i].bypass = shunts[i].action == SL_SHUNT_BYPASS;
        esp_sel_of(&made[i].local, &shunts[i].local_ts);
        esp_sel_of(&made[i].remote, &shunts[i].remote_ts);
    }
    free(e->shunts);
    e->shunts = made;
    e->shunt_n = n;
    return SL_OK;
}

static struct esp_child *find(const struct sl_esp *e, uint64_t id, struct sl_err *err)
{
    struct esp_child *c = esp_map_get(&e->by_id, id);
    if (!c)
        (void)SL_FAIL(err, SL_NOT_FOUND, "no child with id %llu", (unsigned long long)id);
    return c;
}

static void change(struct sl_esp *e, struct esp_child *c)
{
    if (!c->changed)
        TAILQ_INSERT_TAIL(&e->changes, c, changes);
    c->changed = true;
}

static void send_on(struct sl_esp *e, struct esp_child *c)
{
    c->wanted = true;
    c->order = ++e->order;
    change(e, c);
}

static enum sl_rc child_add(struct sl_esp *e, const struct sl_child *c, struct sl_err *err)
{
    if (e->by_id.n >= e->config.max_children)
        return SL_FAIL(err, SL_TOO_LARGE, "limit of %u children reached", e->config.max_children);
    if (esp_map_get(&e->by_id, c->id))
        return SL_FAIL(err, SL_EXISTS, "child id %llu is in use", (unsigned long long)c->id);
    if (esp_map_get(&e->by_spi, c->spi_in))
        return SL_FAIL(err, SL_EXISTS, "inbound SPI %08x is in use", c->spi_in);
    if (!esp_map_reserve(&e->by_id) || !esp_map_reserve(&e->by_spi))
        return SL_FAIL_MEM(err);

    struct esp_child *made = NULL;
    SL_TRY(esp_child_new(&made, c, &e->config, err));
    /* what was learnt of the path stays true for the successor */
    const struct esp_child *before = c->replaces ? esp_map_get(&e->by_id, c->replaces) : NULL;
    if (before && sl_addr_eq(&before->out.remote.addr, &made->out.remote.addr))
        esp_out_mtu(&made->out, &made->suite, before->out.outer_mtu, e->config.inner_mtu);
    if (c->outbound)
        send_on(e, made);
    esp_map_put(&e->by_id, made->id, made);
    esp_map_put(&e->by_spi, c->spi_in, &made->in);
    TAILQ_INSERT_TAIL(&e->children, made, all);
    return SL_OK;
}

enum sl_rc sl_esp_child_add(struct sl_esp *e, struct sl_child *c, struct sl_err *err)
{
    enum sl_rc rc = child_add(e, c, err);
    sl_secret_clear(&c->encr_in);
    sl_secret_clear(&c->integ_in);
    sl_secret_clear(&c->encr_out);
    sl_secret_clear(&c->integ_out);
    return rc == SL_OK ? SL_OK : SL_WRAP(err, "child %s/%s", c->connection, c->child);
}

enum sl_rc sl_esp_child_outbound(struct sl_esp *e, uint64_t id, struct sl_err *err)
{
    struct esp_child *c = find(e, id, err);
    if (!c)
        return SL_NOT_FOUND;
    send_on(e, c);
    return SL_OK;
}

enum sl_rc sl_esp_child_move(struct sl_esp *e, uint64_t id, const struct sl_endpoint *local,
                             const struct sl_endpoint *remote, bool udp_encap, struct sl_err *err)
{
    struct esp_child *c = find(e, id, err);
    if (!c)
        return SL_NOT_FOUND;
    /* another path: what was learnt of the old one no longer holds */
    bool same_path = sl_addr_eq(&c->out.remote.addr, &remote->addr);
    c->out.local = *local;
    c->out.remote = *remote;
    c->out.udp_encap = udp_encap;
    esp_out_mtu(&c->out, &c->suite, same_path ? c->out.outer_mtu : e->config.outer_mtu,
                e->config.inner_mtu);
    return SL_OK;
}

enum sl_rc sl_esp_child_del(struct sl_esp *e, uint64_t id, struct sl_err *err)
{
    struct esp_child *c = find(e, id, err);
    if (!c)
        return SL_NOT_FOUND;
    esp_map_del(&e->by_id, id);
    esp_map_del(&e->by_spi, c->in.codec.spi);
    esp_codec_clear(&c->in.codec);
    if (c->queued)
        TAILQ_REMOVE(&e->events, c, events);
    c->queued = false;
    if (c->active) {
        c->gone = true;
        change(e, c);
        return SL_OK;
    }
    if (c->changed)
        TAILQ_REMOVE(&e->changes, c, changes);
    TAILQ_REMOVE(&e->children, c, all);
    esp_child_free(c);
    return SL_OK;
}

/* All memory is taken before anything is changed. */
enum sl_rc sl_esp_commit(struct sl_esp *e, struct sl_err *err)
{
    struct esp_child *c;
    size_t pairs = 0;
    TAILQ_FOREACH(c, &e->changes, changes)
    {
        if (!c->gone)
            SL_TRY(esp_spd_prepare(c, err));
        pairs += c->local_n * c->remote_n;
    }
    SL_TRY(esp_spd_reserve(e->spd, pairs, err));
    if (e->shunts)
        free(esp_spd_shunts(e->spd, sl_steal(&e->shunts), e->shunt_n));
    while ((c = TAILQ_FIRST(&e->changes))) {
        TAILQ_REMOVE(&e->changes, c, changes);
        c->changed = false;
        if (c->gone) {
            esp_spd_remove(e->spd, c);
            TAILQ_REMOVE(&e->children, c, all);
            esp_child_free(c);
        } else {
            esp_spd_put(e->spd, c);
            c->active = true;
        }
    }
    esp_spd_settle(e->spd);
    return SL_OK;
}

void sl_esp_outer_mtu(struct sl_esp *e, const struct sl_addr *remote, uint16_t mtu)
{
    struct esp_child *c;
    TAILQ_FOREACH(c, &e->children, all)
    {
        if (sl_addr_eq(&c->out.remote.addr, remote))
            esp_out_mtu(&c->out, &c->suite, mtu, e->config.inner_mtu);
    }
}

void esp_tell(struct sl_esp *e, struct esp_child *c, enum sl_esp_event_type type)
{
    if (c->gone)
        return;
    c->pending |= 1u << type;
    if (!c->queued)
        TAILQ_INSERT_TAIL(&e->events, c, events);
    c->queued = true;
}

bool sl_esp_next(struct sl_esp *e, struct sl_esp_event *ev)
{
    struct esp_child *c = TAILQ_FIRST(&e->events);
    if (!c)
        return false;
    enum sl_esp_event_type type = (enum sl_esp_event_type)__builtin_ctz(c->pending);
    c->pending &= ~(1u << type);
    if (!c->pending) {
        TAILQ_REMOVE(&e->events, c, events);
        c->queued = false;
    }
    *ev = (struct sl_esp_event){ .type = type, .child_id = c->id };
    if (type == SL_ESP_EV_MOVED) {
        ev->local = c->moved_local;
        ev->remote = c->moved_remote;
    }
    return true;
}

void sl_esp_stats(const struct sl_esp *e, struct sl_esp_stats *out)
{
    *out = e->stats;
    out->children = e->by_id.n;
}

static void info_fill(struct sl_esp_child_info *i, const struct esp_child *c)
{
    *i = (struct sl_esp_child_info){
        .id = c->id,
        .ike_sa = c->ike_sa,
        .connection = c->connection,
        .child = c->name,
        .local = c->out.local,
        .remote = c->out.remote,
        .udp_encap = c->out.udp_encap,
        .esn = c->in.codec.esn,
        .outbound = c->active,
        .hard = c->in.hard || c->out.hard,
        .spi_in = c->in.codec.spi,
        .spi_out = c->out.codec.spi,
        .suite = c->suite,
        .seq_out = c->out.seq,
        .seq_in = c->in.replay.top,
        .replay_window_pkts = (uint32_t)c->in.replay.window_pkts,
        .inner_mtu4 = c->out.limit4,
        .inner_mtu6 = c->out.limit6,
        .in = c->in.n,
        .out = c->out.n,
        .ts_local = c->ts,
        .ts_remote = c->ts + c->local_n,
        .ts_local_n = c->local_n,
        .ts_remote_n = c->remote_n,
        .vip = { c->vip[0], c->vip[1] },
    };
}

void sl_esp_list(const struct sl_esp *e, void (*on)(void *ctx, const struct sl_esp_child_info *i),
                 void *ctx)
{
    const struct esp_child *c;
    TAILQ_FOREACH(c, &e->children, all)
    {
        struct sl_esp_child_info info;
        info_fill(&info, c);
        if (!c->gone)
            on(ctx, &info);
    }
}

bool sl_esp_child_info(const struct sl_esp *e, uint64_t id, struct sl_esp_child_info *out)
{
    const struct esp_child *c = esp_map_get(&e->by_id, id);
    if (!c)
        return false;
    info_fill(out, c);
    return true;
}
