/* See device.h. */
#include "sim/device.h"

#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * ESP without UDP has no ports. In the simulated network it is a datagram between ports 0, which IKE
 * never uses.
 */
#define ESP_PORT 0

/* ---- the datapath -------------------------------------------------------------------------------- */

struct packet {
    struct sl_esp_pkt p;
    uint8_t bytes[SL_ESP_HEADROOM + 2048 + SL_ESP_TAILROOM];
};

static struct sl_esp_pkt *packet_set(struct packet *k, struct sl_bytes v)
{
    ck_assert_uint_le(v.len, 2048);
    k->p = (struct sl_esp_pkt){
        .buf = k->bytes, .cap = sizeof(k->bytes), .off = SL_ESP_HEADROOM, .len = (uint32_t)v.len
    };
    memcpy(k->bytes + SL_ESP_HEADROOM, v.p, v.len);
    return &k->p;
}

static void esp_time(struct sim_device *d)
{
    sl_esp_time(d->esp, d->sim->now_ns, sim_utc_s(d->sim));
}

/* What the datapath has to say to IKE. */
static void esp_events(struct sim_device *d)
{
    struct sl_esp_event ev;
    bool any = false;
    while (sl_esp_next(d->esp, &ev)) {
        any = true;
        switch (ev.type) {
        case SL_ESP_EV_SOFT:
            sl_ike_child_soft(d->gw.ike, d->sim->now_ns, ev.child_id);
            break;
        case SL_ESP_EV_HARD:
            sl_ike_child_hard(d->gw.ike, d->sim->now_ns, ev.child_id);
            break;
        case SL_ESP_EV_SEEN:
            sl_ike_child_seen(d->gw.ike, d->sim->now_ns, ev.child_id);
            break;
        case SL_ESP_EV_MOVED:
            sl_ike_child_heard(d->gw.ike, d->sim->now_ns, ev.child_id, &ev.remote);
            break;
        }
    }
    if (any)
        sim_gw_pump(&d->gw);
}

bool sim_device_send(struct sim_device *d, struct sl_bytes packet)
{
    if (!d->running)
        return false;
    struct packet k;
    struct sl_esp_pkt *p = packet_set(&k, packet);
    esp_time(d);
    const enum sl_esp_do what = sl_esp_outbound(d->esp, p);
    ck_assert_msg(what == SL_ESP_WIRE || what == SL_ESP_DROP, "the datapath wants %d", (int)what);
    if (what == SL_ESP_WIRE) {
        const struct sl_endpoint from = { d->gw.node.addr, ESP_PORT },
                                 to = { p->remote.addr, ESP_PORT };
        d->wire_out++;
        sim_net_send(d->net, &from, &to, sl_bytes(p->buf + p->off, p->len));
    }
    esp_events(d);
    return what == SL_ESP_WIRE;
}

static void on_datagram(void *ctx, const struct sl_endpoint *local,
                        const struct sl_endpoint *remote, struct sl_bytes data)
{
    struct sim_device *d = ctx;
    if (!d->running)
        return;
    if (local->port != ESP_PORT) {
        d->receive(&d->gw, local, remote, data);
        return;
    }
    struct packet k;
    struct sl_esp_pkt *p = packet_set(&k, data);
    p->local = *local;
    p->remote = *remote;
    esp_time(d);
    d->wire_in++;
    if (sl_esp_inbound(d->esp, p) == SL_ESP_INSIDE) {
        d->opened++;
        d->inside(d->inside_ctx, d, sl_bytes(p->buf + p->off, p->len));
    } else if (p->reason == SL_ESP_REPLAY) {
        d->replayed++;
    } else {
        d->refused++;
    }
    esp_events(d);
}

static void secret_copy(struct sl_secret *to, const struct sl_secret *from)
{
    struct sl_err err = { 0 };
    *to = (struct sl_secret){ 0 };
    if (from->len)
        ck_ok(sl_secret_copy(to, sl_secret_bytes(from), &err), &err);
}

/* gw.c keeps the children too, for comparing both sides: the keys are copied. */
static void child_add(struct sim_device *d, const struct sl_child *from)
{
    static struct sl_child c; /* large */
    struct sl_err err = { 0 };
    c = *from;
    secret_copy(&c.encr_in, &from->encr_in);
    secret_copy(&c.integ_in, &from->integ_in);
    secret_copy(&c.encr_out, &from->encr_out);
    secret_copy(&c.integ_out, &from->integ_out);
    ck_ok(sl_esp_child_add(d->esp, &c, &err), &err);
    sl_child_clear(&c);
}

static void on_told(struct sim_gw *gw, const struct sl_ike_action *a)
{
    struct sim_device *d = gw->oracle.ctx;
    struct sl_err err = { 0 };
    switch ((int)a->type) {
    case SL_IKE_CHILD_ADD:
        child_add(d, a->child);
        break;
    case SL_IKE_CHILD_OUTBOUND:
        ck_ok(sl_esp_child_outbound(d->esp, a->child_id, &err), &err);
        break;
    case SL_IKE_CHILD_DEL:
        ck_ok(sl_esp_child_del(d->esp, a->child_id, &err), &err);
        break;
    case SL_IKE_CHILD_MOVE:
        ck_ok(sl_esp_child_move(d->esp, a->child_id, &a->child->local, &a->child->remote,
                                a->child->udp_encap, &err),
              &err);
        break;
    default:
        sim_identity_event(d, a);
        return;
    }
    ck_ok(sl_esp_commit(d->esp, &err), &err);
}

/* ---- the keyring --------------------------------------------------------------------------------- */

static void on_sign(struct sim_gw *gw, uint64_t id, const struct sl_ike_action *a)
{
    struct sim_device *d = gw->oracle.ctx;
    struct sl_err err = { 0 };
    SL_AUTO_BUF sig = { 0 };
    enum sl_rc rc;
    if (a->sig == SL_SIG_NONE) {
        uint8_t mac[SL_PRF_MAX];
        rc = sl_keyset_psk_auth(d->keys, a->key, a->prf, a->data, mac, &err);
        if (rc == SL_OK)
            ck_assert(sl_buf_put(&sig, sl_bytes(mac, sl_prf_len(a->prf))));
    } else {
        rc = d->ops.sign(d->ops.ctx, a->key, a->sig, a->data, &sig, &err);
    }
    sim_gw_answer_sign(
        gw, d->key_slow_ns + sim_between(d->sim, gw->oracle.sign_min_ns, gw->oracle.sign_max_ns),
        id, rc, sl_buf_bytes(&sig));
}

void sim_device_credential(struct sim_device *d)
{
    struct sl_err err = { 0 };
    struct sl_bytes chain[SIM_CHAIN_MAX];
    if (!d->chain_n)
        return;
    for (size_t i = 0; i < d->chain_n; i++)
        chain[i] = sl_buf_bytes(&d->chain[i]);
    ck_ok(sl_ike_credential(d->gw.ike, SIM_KEY, SIM_KEY, chain, d->chain_n, &err), &err);
    sim_gw_pump(&d->gw);
}

/* ---- life ---------------------------------------------------------------------------------------- */

/* Everything but the IKE core. */
static void start_rest(struct sim_device *d)
{
    struct sl_err err = { 0 };
    sl_rng_seeded_init(&d->rng_state, sl_rng_u64(&d->sim->rng));
    d->rng = sl_rng_seeded(&d->rng_state);
    const struct sl_esp_config esp = { .rng = &d->rng };
    ck_ok(sl_esp_new(&d->esp, &esp, &err), &err);
    sim_identity_start(d);
    for (size_t i = 0; i < SIM_TRUST && d->conf->trust[i].name; i++) {
        SL_AUTO_BUF hashes = { 0 };
        ck_ok(sl_decider_anchor_hashes(d->decider, d->conf->trust[i].name, &hashes, &err), &err);
        ck_ok(sl_ike_anchors(d->gw.ike, d->conf->trust[i].name, sl_buf_bytes(&hashes), &err), &err);
    }
    d->running = true;
    sim_device_credential(d);
}

void sim_device_init(struct sim_device *d, struct sim *sim, struct sim_net *net,
                     struct sim_servers *servers, const struct sim_device_conf *conf,
                     const char *dir)
{
    struct sl_err err = { 0 };
    *d = (struct sim_device){ .sim = sim, .net = net, .servers = servers, .conf = conf };
    snprintf(d->dir, sizeof(d->dir), "%s", dir);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    ck_ok(sl_keyset_new(&d->keys, &err), &err);
    d->ops = sl_keyset_ops(d->keys);
    ck_ok(sl_keyset_psk_set(d->keys, "psk", sl_str("a pre-shared key for simulations"), &err),
          &err);
    sim_gw_init(&d->gw, sim, net, conf->name, conf->addr, conf->config, NULL, NULL);
    d->gw.oracle.sign = on_sign;
    d->gw.oracle.decide = sim_identity_decide;
    d->gw.oracle.told = on_told;
    d->gw.oracle.ctx = d;
    d->receive = d->gw.node.receive;
    d->gw.node.receive = on_datagram;
    d->gw.node.ctx = d;
    start_rest(d);
}

void sim_device_stop(struct sim_device *d)
{
    if (!d->running)
        return;
    d->running = false;
    sim_forget(d->sim, d);
    sim_gw_stop(&d->gw);
    sim_enroll_stop(d);
    sim_identity_stop(d);
    sl_esp_free(d->esp);
    d->esp = NULL;
}

void sim_device_start(struct sim_device *d)
{
    sim_gw_start(&d->gw);
    start_rest(d);
}

void sim_device_clear(struct sim_device *d)
{
    struct sl_err err = { 0 };
    struct sl_audit_report report;
    char path[128];
    sim_device_stop(d);
    sim_gw_clear(&d->gw);
    sl_keyset_free(d->keys);
    sl_buf_clear(&d->cache);
    for (size_t i = 0; i < SIM_CHAIN_MAX; i++)
        sl_buf_clear(&d->chain[i]);
    snprintf(path, sizeof(path), "%s/audit", d->dir);
    ck_ok(sl_audit_verify(path, &report, &err), &err);
    ck_assert_msg(report.rc == SL_OK, "%s: %s", path, report.text);
}
