/*
 * Addresses of peers: taken as a part of the decision, so that the record of an acceptance names them;
 * given back when ike says that the SA has ended. The leases are kept in identity/leases.db. When that
 * cannot be written addresses are still handed out, and the log and `sealane status` say so.
 *
 * Control verbs: pool.leases, pool.release {lease}.
 */
#include "src/cmd/sealaned/identity.h"

#include "sealane/leases.h"

#include <stdio.h>
#include <string.h>

static void stored(struct identity *id, enum sl_rc rc, const struct sl_err *err)
{
    const bool failing = rc != SL_OK;
    if (failing && !id->leases_failing)
        sl_log_err(SL_LOG_ERROR, err, "an address lease is not stored");
    else if (!failing && id->leases_failing)
        sl_info("address leases: stored again");
    id->leases_failing = failing;
}

static void on_lease(void *ctx, const struct sl_lease *lease, bool gone)
{
    struct identity *id = ctx;
    struct sl_err err = { 0 };
    if (!id->leases)
        return;
    stored(id,
           gone ? sl_leases_drop(id->leases, &lease->addr, &err)
                : sl_leases_put(id->leases, lease, &err),
           &err);
}

static bool load(void *ctx, const struct sl_lease *lease)
{
    struct identity *id = ctx;
    return sl_pools_load(id->pools, lease, sl_clock_utc_s());
}

static bool grants_address(const struct sl_config *c)
{
    for (size_t i = 0; i < c->rule_n; i++)
        if (c->rule[i].grant_address.n)
            return true;
    return c->pool_n > 0;
}

enum sl_rc identity_lease_open(struct identity *id, struct sl_err *err)
{
    char path[IDENTITY_PATH_MAX];
    SL_TRY(sl_pools_new(&id->pools, id->p->config, on_lease, id, err));
    if (!grants_address(id->p->config))
        return SL_OK;
    snprintf(path, sizeof(path), "%s/leases.db", id->dir);
    SL_TRY(sl_leases_open(&id->leases, path, err));
    return sl_leases_each(id->leases, load, id, err);
}

void identity_lease_close(struct identity *id)
{
    /* Not given back: those in use are found so, and kept from now on, at the next start. */
    sl_pools_free(id->pools);
    sl_leases_free(id->leases);
    id->pools = NULL;
    id->leases = NULL;
}

static const struct sl_conf_rule *rule_named(const struct sl_config *c, const char *name)
{
    for (size_t i = 0; i < c->rule_n; i++)
        if (strcmp(c->rule[i].name, name) == 0)
            return &c->rule[i];
    return NULL;
}

/* What the audit record says of it. */
static json_t *evidence(const struct sl_virtual *v, enum sl_rc rc, const struct sl_err *err)
{
    char text[SL_ADDR_TEXT];
    json_t *o = json_object(), *list = json_array(), *dns = json_array();
    for (unsigned f = 0; f < 2; f++)
        if (v->addr[f].family)
            json_array_append_new(list, json_string(sl_addr_text(text, &v->addr[f])));
    for (size_t i = 0; i < v->dns_n; i++)
        json_array_append_new(dns, json_string(sl_addr_text(text, &v->dns[i])));
    json_object_set_new(o, "addresses", list);
    json_object_set_new(o, "dns", dns);
    if (v->split_dns[0])
        json_object_set_new(o, "split_dns", json_string(v->split_dns));
    if (rc != SL_OK) {
        json_object_set_new(o, "reason", json_string(sl_rc_name(rc)));
        json_object_set_new(o, "text", json_string(sl_err_text(err)));
    }
    return o;
}

void identity_lease_take(struct identity *id, const struct sl_decision_ask *ask,
                         struct sl_verdict *v, json_t *record)
{
    const struct sl_conf_connection *conf = sl_config_connection(id->p->config, ask->connection);
    struct sl_err err = { 0 };
    if (v->rc != SL_OK || !conf || (!ask->wish[0].family && !ask->wish[1].family))
        return;
    const struct sl_pool_ask take = { .connection = conf,
                                      .rule = rule_named(id->p->config, v->rule),
                                      .id = &ask->id,
                                      .sa = ask->sa,
                                      .wish = { ask->wish[0], ask->wish[1] },
                                      .now_s = sl_clock_utc_s() };
    v->grant.vip_rc = sl_pools_take(id->pools, &take, &v->grant.vip, &err);
    if (v->grant.vip_rc != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "connection %s", conf->name);
    json_object_set_new(record, "address", evidence(&v->grant.vip, v->grant.vip_rc, &err));
}

void identity_lease_end(struct identity *id, uint64_t ike_sa)
{
    sl_pools_end(id->pools, ike_sa, sl_clock_utc_s());
}

void identity_lease_end_all(struct identity *id)
{
    sl_pools_end_all(id->pools, sl_clock_utc_s());
}

void identity_lease_move(struct identity *id, uint64_t from_sa, uint64_t to_sa)
{
    sl_pools_move(id->pools, from_sa, to_sa);
}

void identity_lease_hold(struct identity *id, const struct msg_lease *m)
{
    for (unsigned f = 0; f < 2; f++)
        if (m->addr[f].family)
            sl_pools_hold(id->pools, &m->id, m->ike_sa, &m->addr[f], sl_clock_utc_s());
}

/* ---- verbs ------------------------------------------------------------------------------------- */

static void put_time(json_t *o, const char *key, int64_t utc_s)
{
    char text[SL_TIME_TEXT];
    if (utc_s)
        json_object_set_new(o, key, json_string(sl_time_text(text, utc_s)));
}

static void list_one(void *ctx, const struct sl_lease *l)
{
    char text[SL_ADDR_TEXT];
    json_t *o =
        json_pack("{s:I, s:s, s:s, s:s, s:b, s:i, s:s}", "id", (json_int_t)l->number, "pool",
                  l->pool, "identity", l->identity, "address", sl_addr_text(text, &l->addr),
                  "fixed", l->fixed, "ike_sas", (int)l->users, "state",
                  l->users   ? "in use"
                  : l->fixed ? "fixed"
                             : "kept");
    put_time(o, "since", l->since_s);
    put_time(o, "ended", l->ended_s);
    put_time(o, "kept_until", l->until_s);
    json_array_append_new(ctx, o);
}

void identity_verb_pool_leases(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    json_t *list = json_array();
    (void)args;
    sl_pools_each(id->pools, list_one, list);
    json_t *o = json_pack("{s:o}", "leases", list);
    proc_ctl_reply(q, SL_OK, "", o, false);
    json_decref(o);
}

void identity_verb_pool_release(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct identity *id = ctx;
    struct sl_err err = { 0 };
    bool released = false;
    const json_int_t number = json_integer_value(json_object_get(args, "lease"));
    if (number <= 0)
        (void)SL_FAIL(&err, SL_USAGE, "which lease?");
    else
        released = sl_pools_release(id->pools, (uint64_t)number, &err) == SL_OK;
    if (!released) {
        proc_ctl_fail(q, &err);
        return;
    }
    json_t *o = json_pack("{s:I}", "id", number);
    proc_ctl_reply(q, SL_OK, "", o, false);
    json_decref(o);
}
