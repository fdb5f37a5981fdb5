/*
 * A child SA's life (RFC 7296 1.3, 2.8, 2.17): making, keys, handing to the datapath, replacing
 * without losing a packet, removing. The messages are in v2/create_child.c and v2/auth.c.
 *
 * A child that was replaced or deleted by an exchange goes on reading for a few seconds
 * (CHILD_GONE), since packets that were sent on it may still be under way.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ike_child *child_new(struct ike_isa *sa, const char *name)
{
    struct sl_ike *ike = sa->ike;
    struct ike_child *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->del = ike_act_new(&ike->actions, SL_IKE_CHILD_DEL);
    c->down = ike_act_new(&ike->actions, SL_IKE_EVENT);
    c->turn = ike_act_new(&ike->actions, SL_IKE_CHILD_OUTBOUND);
    c->sa = sa;
    if (!c->del || !c->down || !c->turn) {
        child_free(c);
        return NULL;
    }
    c->id = ++ike->next_id;
    c->state = CHILD_WANTED;
    c->rekey_ns = c->expire_ns = c->gone_ns = INT64_MAX;
    snprintf(c->name, sizeof(c->name), "%s", name);
    do {
        c->spi_in = (uint32_t)sl_rng_u64(&ike->rng);
    } while (c->spi_in < 256 /* RFC 4303 2.1: reserved */ || ike_map_get(&ike->t.spis, c->spi_in));
    ike_map_put(&ike->t.spis, &c->by_spi, c->spi_in);
    return c;
}

void child_free(struct ike_child *c)
{
    if (!c)
        return;
    ike_map_del(&c->sa->ike->t.spis, &c->by_spi);
    ike_act_free(c->del);
    ike_act_free(c->down);
    ike_act_free(c->turn);
    selectors_clear(&c->local);
    selectors_clear(&c->remote);
    sl_secret_clear(&c->more);
    free(c);
}

void child_add(struct ike_isa *sa, struct ike_child *c)
{
    c->sa = sa;
    c->next = sa->children;
    sa->children = c;
    sa->children_n++;
    ike_map_put(&sa->ike->t.children, &c->by_id, c->id);
}

void child_unlink(struct ike_child *c)
{
    struct ike_isa *sa = c->sa;
    struct ike_child **at = &sa->children;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->next = NULL;
    sa->children_n--;
    ike_map_del(&sa->ike->t.children, &c->by_id);
}

static void child_remove(struct ike_child *c)
{
    struct ike_isa *sa = c->sa;
    child_unlink(c);
    if (c->installed) {
        c->del->a.child_id = c->id;
        c->del->a.ike_sa = sa->id;
        ike_act_push(&sa->ike->actions, sl_steal(&c->del));
    }
    child_free(c);
}

struct ike_child *child_find(const struct ike_isa *sa, uint64_t id)
{
    struct ike_child *c = sa->children;
    while (c && c->id != id)
        c = c->next;
    return c;
}

struct ike_child *child_by_spi_out(const struct ike_isa *sa, uint32_t spi)
{
    for (struct ike_child *c = sa->children; c; c = c->next)
        if (c->installed && c->spi_out == spi && c->state != CHILD_GONE)
            return c;
    return NULL;
}

const struct sl_conf_child *child_conf(const struct ike_child *c)
{
    return c->sa->conn ? conn_child(c->sa->conn, c->name) : NULL;
}

bool child_counts(const struct ike_child *c)
{
    switch (c->state) {
    case CHILD_WANTED:
    case CHILD_ASKED:
    case CHILD_UP:
        return true;
    case CHILD_REPLACED:
    case CHILD_DELETING:
    case CHILD_GONE:
        break;
    }
    return false;
}

/* ---- selectors --------------------------------------------------------------------------------- */

void selectors_clear(struct ike_selectors *s)
{
    free(s->v);
    *s = (struct ike_selectors){ 0 };
}

bool selectors_set(struct ike_selectors *s, const struct sl_ts *v, size_t n)
{
    struct sl_ts *copy = calloc(n ? n : 1, sizeof(*copy));
    if (!copy)
        return false;
    if (n)
        memcpy(copy, v, n * sizeof(*copy));
    free(s->v);
    *s = (struct ike_selectors){ copy, n };
    return true;
}

enum sl_rc child_allowed(const struct ike_isa *sa, const struct sl_conf_child *conf,
                         struct sl_ts out[SL_TS_MAX], size_t *n, struct sl_err *err)
{
    const struct sl_grant *grant = sa->grant;
    struct sl_ts has[SL_TS_MAX];
    size_t has_n;
    if (!grant || !grant->ts_n)
        return vip_selectors(sa, conf->remote_ts, conf->remote_ts_n, false, false, out, n, err);
    SL_TRY(vip_selectors(sa, conf->remote_ts, conf->remote_ts_n, false, false, has, &has_n, err));
    *n = 0;
    for (size_t i = 0; i < has_n; i++)
        for (size_t j = 0; j < grant->ts_n && *n < SL_TS_MAX; j++)
            if (sl_ts_intersect(&out[*n], &has[i], &grant->ts[j]))
                (*n)++;
    if (*n)
        return SL_OK;
    char want[256], may[256];
    return SL_FAIL(err, SL_POLICY_TS,
                   "child %s: remote selectors %s; policy grants the peer only %s", conf->name,
                   ike_ts_list_text(want, sizeof(want), has, has_n),
                   ike_ts_list_text(may, sizeof(may), grant->ts, grant->ts_n));
}

/* ---- installing -------------------------------------------------------------------------------- */

static void lifetimes(struct ike_child *c, const struct sl_conf_child *conf)
{
    struct sl_ike *ike = c->sa->ike;
    c->established_ns = ike->now_ns;
    if (!conf || conf->rekey_s <= 0)
        return;
    /* Up to a tenth early, so that both sides seldom begin at once; the end a tenth late. */
    const int64_t span = conf->rekey_s * SL_NS_PER_S;
    c->rekey_ns = ike->now_ns + span - ike_jitter(ike, span / 10);
    c->expire_ns = ike->now_ns + span + span / 10 + 30 * SL_NS_PER_S;
}

static void describe(struct sl_child *out, const struct ike_child *c,
                     const struct sl_conf_child *conf)
{
    const struct ike_isa *sa = c->sa;
    out->id = c->id;
    out->ike_sa = sa->id;
    out->replaces = c->replaces;
    snprintf(out->connection, sizeof(out->connection), "%s", sa->conn->name);
    snprintf(out->child, sizeof(out->child), "%s", c->name);
    out->local = sa->local;
    out->remote = sa->remote;
    out->udp_encap = c->udp_encap;
    out->esn = c->esn;
    out->spi_in = c->spi_in;
    out->spi_out = c->spi_out;
    out->suite = c->suite;
    memcpy(out->ts_local, c->local.v, c->local.n * sizeof(struct sl_ts));
    memcpy(out->ts_remote, c->remote.v, c->remote.n * sizeof(struct sl_ts));
    out->ts_local_n = c->local.n;
    out->ts_remote_n = c->remote.n;
    out->outbound = c->outbound;
    vip_of_child(sa, out->vip);
    if (!conf)
        return;
    out->replay_window_pkts = conf->replay_window_pkts;
    /* The hard limit leaves the rekey a fifth of the soft one. */
    out->limits = (struct sl_child_limits){
        .soft_bytes = conf->rekey_bytes,
        .hard_bytes = conf->rekey_bytes + conf->rekey_bytes / 5,
        .soft_packets = conf->rekey_packets,
        .hard_packets = conf->rekey_packets + conf->rekey_packets / 5,
    };
}

enum sl_rc child_install(struct ike_child *c, bool we_began, bool outbound, struct sl_bytes ni,
                         struct sl_bytes nr, const struct sl_secret *shared, struct sl_err *err)
{
    struct ike_isa *sa = c->sa;
    const struct sl_conf_child *conf = child_conf(c);
    struct ike_child_keys keys = { 0 };
    if (sa->v1)
        SL_TRY(v1_child_keys(&keys, c, we_began, ni, nr, shared, err));
    else
        SL_TRY(ike_child_keys_derive(&keys, sa->prf, &sa->keys.d, &c->suite, shared, ni, nr,
                                     c->more.len ? &c->more : NULL, err));

    struct ike_act *act = ike_act_new(&sa->ike->actions, SL_IKE_CHILD_ADD);
    struct sl_child *child = calloc(1, sizeof(*child));
    if (!act || !child) {
        ike_act_free(act);
        free(child);
        ike_child_keys_clear(&keys);
        return SL_FAIL_MEM(err);
    }
    sl_secret_clear(&c->more);
    c->ours = we_began;
    c->outbound = outbound;
    c->udp_encap = sa->nat_local || sa->nat_remote;
    describe(child, c, conf);
    sl_secret_move(&child->encr_out, we_began ? &keys.encr_i : &keys.encr_r);
    sl_secret_move(&child->integ_out, we_began ? &keys.integ_i : &keys.integ_r);
    sl_secret_move(&child->encr_in, we_began ? &keys.encr_r : &keys.encr_i);
    sl_secret_move(&child->integ_in, we_began ? &keys.integ_r : &keys.integ_i);
    ike_child_keys_clear(&keys);
    act->child = child;
    act->a.child_id = c->id;
    act->a.ike_sa = sa->id;
    ike_act_push(&sa->ike->actions, act);

    c->installed = true;
    c->state = CHILD_UP;
    lifetimes(c, conf);
    isa_touch(sa);
    return SL_OK;
}

void child_unsure(struct ike_child *c)
{
    const int64_t most = c->established_ns + IKE_UNSURE_MAX_NS;
    c->retry_ns = c->sa->ike->now_ns + IKE_UNSURE_NS;
    if (c->retry_ns > most)
        c->retry_ns = most;
    c->sa->unsure = c->id;
    isa_touch(c->sa);
}

void child_sure(struct ike_isa *sa)
{
    struct ike_child *c = sa->unsure ? child_find(sa, sa->unsure) : NULL;
    sa->unsure = 0;
    if (!c)
        return;
    c->retry_ns = 0;
    isa_touch(sa);
}

void child_told(const struct ike_child *c)
{
    const struct ike_isa *sa = c->sa;
    char suite[SL_SUITE_TEXT], local[256], remote[256];
    ike_event(sa->ike, c->replaces ? SL_IKE_EV_CHILD_REKEYED : SL_IKE_EV_CHILD_UP, sa, c, SL_OK,
              "%s %08x in %08x out %s%s%s, %s === %s",
              c->replaces ? "replaces an older SA:" : "SPIs", c->spi_in, c->spi_out,
              sl_suite_text(suite, &c->suite), c->esn ? " ESN" : "", c->udp_encap ? " in UDP" : "",
              ike_ts_list_text(local, sizeof(local), c->local.v, c->local.n),
              ike_ts_list_text(remote, sizeof(remote), c->remote.v, c->remote.n));
}

void child_outbound(struct ike_child *c)
{
    if (c->outbound || !c->installed)
        return;
    struct ike_act *act = sl_steal(&c->turn);
    act->a.child_id = c->id;
    act->a.ike_sa = c->sa->id;
    ike_act_push(&c->sa->ike->actions, act);
    c->outbound = true;
}

void child_move(struct ike_child *c)
{
    if (!c->installed)
        return;
    struct ike_act *act = ike_act_new(&c->sa->ike->actions, SL_IKE_CHILD_MOVE);
    struct sl_child *child = calloc(1, sizeof(*child));
    if (!act || !child) {
        ike_act_free(act);
        free(child);
        return;
    }
    describe(child, c, NULL);
    act->child = child;
    act->a.child_id = c->id;
    act->a.ike_sa = c->sa->id;
    ike_act_push(&c->sa->ike->actions, act);
}

/* ---- ending ------------------------------------------------------------------------------------ */

void child_replaced(struct ike_child *old, uint64_t by, bool we_delete)
{
    old->replaced_by = by;
    old->want_rekey = false;
    old->rekey_ns = INT64_MAX;
    if (old->state == CHILD_GONE || old->state == CHILD_DELETING)
        return; /* is on its way out already */
    if (old->state == CHILD_UP)
        old->state = CHILD_REPLACED;
    if (we_delete)
        old->want_delete = true;
    else
        old->gone_ns = old->sa->ike->now_ns + IKE_REDUNDANT_NS; /* the peer should; else we do */
    isa_touch(old->sa);
}

void child_end(struct ike_child *c, enum sl_rc rc, bool linger)
{
    struct ike_isa *sa = c->sa;
    isa_touch(sa);
    if (c->replaced_by) {
        /* Its successor sends from now on, whatever was seen of the peer (RFC 7296 2.8). */
        struct ike_child *next = c->installed ? child_find(sa, c->replaced_by) : NULL;
        if (next)
            child_outbound(next);
    } else if (c->installed && c->down) {
        struct ike_act *down = sl_steal(&c->down);
        down->a.event = SL_IKE_EV_CHILD_DOWN;
        down->a.rc = rc;
        down->a.ike_sa = sa->id;
        down->a.child_id = c->id;
        snprintf(down->connection, sizeof(down->connection), "%s", sa->conn->name);
        snprintf(down->child_name, sizeof(down->child_name), "%s", c->name);
        ike_act_push(&sa->ike->actions, down);
    }
    if (!linger || !c->installed) {
        child_remove(c);
        return;
    }
    c->state = CHILD_GONE;
    c->want_rekey = c->want_delete = false;
    c->rekey_ns = c->expire_ns = INT64_MAX;
    c->gone_ns = sa->ike->now_ns + IKE_CHILD_LINGER_NS;
}

void child_unwanted(struct ike_child *c, enum sl_rc rc)
{
    c->state = CHILD_REPLACED;
    c->want_delete = true;
    c->end_rc = rc;
    isa_touch(c->sa);
}

void child_failed(struct ike_isa *sa, const char *name, enum sl_rc rc, const char *text)
{
    struct ike_act *act = ike_act_new(&sa->ike->actions, SL_IKE_EVENT);
    if (act) {
        act->a.event = SL_IKE_EV_CHILD_FAILED;
        act->a.rc = rc;
        act->a.ike_sa = sa->id;
        act->text = strdup(text);
        snprintf(act->child_name, sizeof(act->child_name), "%s", name);
        if (sa->conn)
            snprintf(act->connection, sizeof(act->connection), "%s", sa->conn->name);
        ike_act_push(&sa->ike->actions, act);
    }
    if (sa->conn)
        conn_attempt_failed(sa->conn, rc, text);
}
