/*
 * Taking a configuration: which connections come, stay and go; and finding one by its name or by the
 * addresses of a peer, in a time that does not depend on how many there are with other peers.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool conn_initiable(const struct sl_conf_connection *conf)
{
    return !sl_addr_is_any(&conf->remote.addr);
}

/* ---- tables ------------------------------------------------------------------------------------ */

/* FNV-1a; names and addresses here are the operator's, not a peer's. */
static uint64_t hash(const void *v, size_t len)
{
    const uint8_t *p = v;
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3ULL;
    return h;
}

static uint64_t name_key(const char *name)
{
    return hash(name, strlen(name));
}

static uint64_t addr_key(const struct sl_addr *a)
{
    return hash(a->b, a->family == 4 ? 4 : 16) + a->family;
}

struct ike_conn *conn_find(const struct sl_ike *ike, const char *name)
{
    struct ike_map_node *n = ike_map_get(&ike->index.by_name, name_key(name));
    for (; n; n = ike_map_next(n)) {
        struct ike_conn *c = IKE_OF(n, struct ike_conn, by_name);
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

void conn_forget(struct ike_conn *conn)
{
    struct ike_conn_index *x = &conn->ike->index;
    ike_map_del(&x->by_name, &conn->by_name);
    ike_map_del(&x->by_remote, &conn->by_remote);
    x->asked = false;
}

void conn_free(struct ike_conn *conn)
{
    if (!conn)
        return;
    conn_forget(conn);
    ike_heap_set(&conn->ike->t.conn_timers, &conn->timer, INT64_MAX);
    while (conn->cmds) {
        struct ike_cmd *next = conn->cmds->next;
        conn_cmd_free(conn->cmds);
        conn->cmds = next;
    }
    free(conn->keep);
    free(conn->prefix);
    free(conn);
}

/* ---- taking a configuration -------------------------------------------------------------------- */

/* What one configured connection needs, made before anything is changed. */
struct prepared {
    struct ike_conn *conn; /* there already, or fresh */
    bool fresh;
    struct ike_keep *keep;
    size_t keep_n;
    struct sl_prefix *prefix;
    size_t prefix_n;
};

/* The children to keep up; what was taken down by command stays down. */
static bool prepare_keep(struct prepared *p, const struct sl_conf_connection *conf)
{
    p->keep = calloc(conf->child_n + 1, sizeof(*p->keep));
    if (!p->keep)
        return false;
    for (size_t i = 0; i < conf->child_n; i++) {
        if (!conf->child[i].start || !conn_initiable(conf))
            continue;
        struct ike_keep *keep = &p->keep[p->keep_n++];
        snprintf(keep->name, sizeof(keep->name), "%s", conf->child[i].name);
        keep->on = true;
        for (size_t k = 0; k < p->conn->keep_n; k++)
            if (strcmp(p->conn->keep[k].name, keep->name) == 0)
                keep->on = p->conn->keep[k].on;
    }
    return true;
}

static bool prepare_prefixes(struct prepared *p, const struct sl_conf_connection *conf)
{
    p->prefix = calloc(conf->remote_prefixes.n + 1, sizeof(*p->prefix));
    if (!p->prefix)
        return false;
    for (size_t i = 0; i < conf->remote_prefixes.n; i++)
        if (sl_prefix_parse(&p->prefix[p->prefix_n], conf->remote_prefixes.v[i]))
            p->prefix_n++;
    return true;
}

static bool prepare(struct sl_ike *ike, struct prepared *p, const struct sl_conf_connection *conf)
{
    p->conn = conn_find(ike, conf->name);
    if (!p->conn) {
        p->conn = calloc(1, sizeof(*p->conn));
        if (!p->conn)
            return false;
        p->fresh = true;
        p->conn->ike = ike;
        p->conn->timer.at_ns = INT64_MAX;
        snprintf(p->conn->name, sizeof(p->conn->name), "%s", conf->name);
    }
    return prepare_keep(p, conf) && prepare_prefixes(p, conf);
}

static void prepared_free(struct prepared *p, size_t n)
{
    for (size_t i = 0; p && i < n; i++) {
        free(p[i].keep);
        free(p[i].prefix);
        if (p[i].fresh)
            conn_free(p[i].conn);
    }
    free(p);
}

/* A connection that left the configuration takes its SAs with it, and goes when they are gone. */
static void retire(struct ike_conn *conn)
{
    conn->conf = NULL;
    conn->keep_n = 0;
    conn_forget(conn);
    for (struct ike_isa *sa = conn->sas; sa; sa = sa->conn_next)
        isa_close(sa, SL_IKE_NO_CONNECTION, "its connection left the configuration");
    conn_touch(conn);
}

static void commit(struct sl_ike *ike, struct prepared *p, const struct sl_conf_connection *conf)
{
    struct ike_conn *c = p->conn;
    struct ike_conn_index *x = &ike->index;
    free(c->keep);
    free(c->prefix);
    c->keep = sl_steal(&p->keep);
    c->keep_n = p->keep_n;
    c->prefix = sl_steal(&p->prefix);
    c->prefix_n = p->prefix_n;
    const struct sl_conf_connection *old = c->conf;
    c->conf = conf;
    if (old && old != conf)
        conn_changed(c, old, conf);
    x->ikev1 = x->ikev1 || conf->ikev1;
    ike_map_put(&x->by_name, &c->by_name, name_key(c->name));
    if (conn_initiable(conf))
        ike_map_put(&x->by_remote, &c->by_remote, addr_key(&conf->remote.addr));
    else
        x->loose[x->loose_n++] = c;
    conn_touch(c);
}

/* The list in the file's order, with those that are being retired at its end. */
static void reorder(struct sl_ike *ike, const struct prepared *p, size_t n)
{
    struct ike_conn *retired = NULL, **last = &retired;
    for (struct ike_conn *c = ike->conns, *next; c; c = next) {
        next = c->next;
        if (!c->conf) {
            *last = c;
            last = &c->next;
        }
    }
    *last = NULL;
    last = &ike->conns;
    for (size_t i = 0; i < n; i++) {
        *last = p[i].conn;
        last = &p[i].conn->next;
    }
    *last = retired;
}

enum sl_rc conns_load(struct sl_ike *ike, const struct sl_config *config, struct sl_err *err)
{
    const size_t n = config->connection_n;
    struct ike_conn_index *x = &ike->index;
    if (!x->by_name.bucket && !ike_map_init(&x->by_name))
        return SL_FAIL_MEM(err);
    if (!x->by_remote.bucket && !ike_map_init(&x->by_remote))
        return SL_FAIL_MEM(err);
    /* Memory first, so that a reload is done whole or not at all. */
    size_t old = 0;
    for (struct ike_conn *c = ike->conns; c; c = c->next)
        old++;
    struct prepared *p = calloc(n + 1, sizeof(*p));
    struct ike_conn **loose = calloc(n + 1, sizeof(struct ike_conn *));
    struct ike_conn **fit = calloc(n + 1, sizeof(struct ike_conn *));
    bool ok = p && loose && fit && ike_heap_reserve(&ike->t.conn_timers, old + n + 1);
    for (size_t i = 0; ok && i < n; i++)
        ok = prepare(ike, &p[i], &config->connection[i]);
    if (!ok) {
        prepared_free(p, n);
        free(loose);
        free(fit);
        return SL_FAIL_MEM(err);
    }
    for (struct ike_conn *c = ike->conns; c; c = c->next) {
        ike_map_del(&x->by_name, &c->by_name);
        ike_map_del(&x->by_remote, &c->by_remote);
    }
    free(x->loose);
    free(x->fit);
    x->loose = loose;
    x->loose_n = 0;
    x->fit = fit;
    x->asked = false;
    for (size_t i = 0; i < n; i++) {
        commit(ike, &p[i], &config->connection[i]);
        p[i].fresh = false;
    }
    ike->config = config;
    for (struct ike_conn *c = ike->conns; c; c = c->next)
        if (c->conf && !c->by_name.in)
            retire(c);
    reorder(ike, p, n);
    prepared_free(p, n);
    return SL_OK;
}

void conns_free(struct sl_ike *ike)
{
    while (ike->conns) {
        struct ike_conn *next = ike->conns->next;
        conn_free(ike->conns);
        ike->conns = next;
    }
    ike_map_clear(&ike->index.by_name);
    ike_map_clear(&ike->index.by_remote);
    free(ike->index.loose);
    free(ike->index.fit);
}

/* ---- which connection -------------------------------------------------------------------------- */

/* 0: does not fit; higher is more specific. */
static unsigned fits(const struct ike_conn *conn, const struct sl_addr *local,
                     const struct sl_addr *remote)
{
    const struct sl_conf_connection *conf = conn->conf;
    unsigned score = 1;
    if (!sl_addr_is_any(&conf->local.addr)) {
        if (!sl_addr_eq(&conf->local.addr, local))
            return 0;
        score++;
    }
    if (conn_initiable(conf) && sl_addr_eq(&conf->remote.addr, remote))
        return score + 4;
    for (size_t i = 0; i < conn->prefix_n; i++)
        if (sl_prefix_has(&conn->prefix[i], remote))
            return score + 2;
    return !conn_initiable(conf) && !conf->remote_prefixes.n ? score : 0;
}
#define FITS_MAX 6

static bool by_file_order(const struct ike_conn *a, const struct ike_conn *b)
{
    return a->conf < b->conf; /* elements of one array */
}

/* Puts c behind those that are in x->fit from `from` on and stand before it in the file. */
static void insert(struct ike_conn_index *x, size_t from, struct ike_conn *c)
{
    size_t at = x->fit_n++;
    for (; at > from && by_file_order(c, x->fit[at - 1]); at--)
        x->fit[at] = x->fit[at - 1];
    x->fit[at] = c;
}

static void find_of(struct ike_conn_index *x, bool ikev1)
{
    for (unsigned score = FITS_MAX; score > 0; score--) {
        const size_t from = x->fit_n;
        struct ike_map_node *n = ike_map_get(&x->by_remote, addr_key(&x->remote));
        for (; n; n = ike_map_next(n)) {
            struct ike_conn *c = IKE_OF(n, struct ike_conn, by_remote);
            if (c->conf->ikev1 == ikev1 && fits(c, &x->local, &x->remote) == score)
                insert(x, from, c);
        }
        for (size_t i = 0; i < x->loose_n; i++)
            if (x->loose[i]->conf->ikev1 == ikev1 &&
                fits(x->loose[i], &x->local, &x->remote) == score)
                insert(x, from, x->loose[i]);
    }
}

/* Those of IKEv2 first, then those of IKEv1. */
static struct ike_conn_index *find_candidates(struct sl_ike *ike, const struct sl_addr *local,
                                              const struct sl_addr *remote)
{
    struct ike_conn_index *x = &ike->index;
    if (x->asked && sl_addr_eq(&x->local, local) && sl_addr_eq(&x->remote, remote))
        return x;
    x->local = *local;
    x->remote = *remote;
    x->fit_n = 0;
    find_of(x, false);
    x->fit_v2_n = x->fit_n;
    find_of(x, true);
    x->asked = true;
    return x;
}

struct ike_conn *conn_candidate(struct sl_ike *ike, const struct sl_addr *local,
                                const struct sl_addr *remote, size_t n)
{
    const struct ike_conn_index *x = find_candidates(ike, local, remote);
    return n < x->fit_v2_n ? x->fit[n] : NULL;
}

struct ike_conn *conn_candidate_v1(struct sl_ike *ike, const struct sl_addr *local,
                                   const struct sl_addr *remote, size_t n)
{
    const struct ike_conn_index *x = find_candidates(ike, local, remote);
    return n < x->fit_n - x->fit_v2_n ? x->fit[x->fit_v2_n + n] : NULL;
}
