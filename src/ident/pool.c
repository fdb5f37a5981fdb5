/* Address pools (sealane/pool.h): ranges, leases by address and by identity, holders by IKE SA. */
#include "sealane/pool.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 number;

struct range {
    uint8_t family;
    number first, last;
};

struct list {
    struct lease *first, *last;
};

struct pool {
    const struct sl_conf_pool *conf;
    struct range range[SL_POOL_RANGES_MAX];
    size_t range_n;
    /* By family, IPv4 first. */
    size_t at_range[2]; /* addresses before (at_range, at) were handed out once, or have a lease */
    number at[2];
    struct list kept[2]; /* by the end of their use, oldest first */
    struct list unused[2];
};

struct lease {
    struct lease *by_addr, *by_id; /* next in their buckets */
    struct lease *prev, *next;     /* in kept or unused */
    struct list *in;
    struct pool *pool; /* NULL: of a rule */
    struct sl_addr addr;
    char *id; /* NULL: nobody's */
    bool fixed;
    unsigned users;
    uint64_t number;
    int64_t since_s, ended_s;
};

struct holder {
    struct holder *next;
    uint64_t sa;
    struct lease *lease[2];
};

struct sl_pools {
    const struct sl_config *config;
    sl_lease_fn *fn;
    void *ctx;
    struct pool *pool;
    size_t pool_n, lease_n, holder_n, buckets;
    struct lease **by_addr, **by_id;
    struct holder **holder;
    uint64_t last_number;
};
#define BUCKETS_MIN 256

/* ---- numbers and hashes ------------------------------------------------------------------------ */

static unsigned fam(const struct sl_addr *a)
{
    return a->family == 6;
}

static number number_of(const struct sl_addr *a)
{
    number n = 0;
    for (size_t i = 0; i < sl_addr_len(a); i++)
        n = n << 8 | a->b[i];
    return n;
}

static struct sl_addr addr_of(uint8_t family, number n)
{
    struct sl_addr a = { .family = family };
    for (size_t i = sl_addr_len(&a); i-- > 0; n >>= 8)
        a.b[i] = (uint8_t)n;
    return a;
}

static size_t hash(const struct sl_pools *p, const void *v, size_t len)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)v)[i]) * 0x100000001b3U;
    return (size_t)(h ^ h >> 32) & (p->buckets - 1);
}

static size_t hash_addr(const struct sl_pools *p, const struct sl_addr *a)
{
    return hash(p, a->b, sizeof(a->b));
}

char *sl_lease_identity(char out[SL_ID_TEXT], const struct sl_id *id)
{
    sl_id_text(out, id);
    if (id->type == SL_ID_FQDN || id->type == SL_ID_DER_ASN1_DN)
        for (char *c = out; *c; c++)
            *c = (char)tolower((unsigned char)*c);
    return out;
}

/* ---- leases in their lists --------------------------------------------------------------------- */

static void list_off(struct lease *l)
{
    if (!l->in)
        return;
    *(l->prev ? &l->prev->next : &l->in->first) = l->next;
    *(l->next ? &l->next->prev : &l->in->last) = l->prev;
    l->prev = l->next = NULL;
    l->in = NULL;
}

static void list_on(struct list *in, struct lease *l)
{
    list_off(l);
    l->in = in;
    l->prev = in->last;
    *(in->last ? &in->last->next : &in->first) = l;
    in->last = l;
}

static struct lease *find_addr(const struct sl_pools *p, const struct sl_addr *a)
{
    struct lease *l = p->by_addr[hash_addr(p, a)];
    while (l && !sl_addr_eq(&l->addr, a))
        l = l->by_addr;
    return l;
}

static void put_id(struct sl_pools *p, struct lease *l)
{
    struct lease **at = &p->by_id[hash(p, l->id, strlen(l->id))];
    l->by_id = *at;
    *at = l;
}

static void drop_id(struct sl_pools *p, struct lease *l)
{
    if (!l->id)
        return;
    struct lease **at = &p->by_id[hash(p, l->id, strlen(l->id))];
    while (*at != l)
        at = &(*at)->by_id;
    *at = l->by_id;
    free(l->id);
    l->id = NULL;
}

static bool grow(struct sl_pools *p)
{
    if (p->buckets && p->lease_n + p->holder_n < p->buckets)
        return true;
    struct sl_pools to = { .buckets = p->buckets ? p->buckets * 4 : BUCKETS_MIN };
    to.by_addr = calloc(to.buckets, sizeof(struct lease *));
    to.by_id = calloc(to.buckets, sizeof(struct lease *));
    to.holder = calloc(to.buckets, sizeof(struct holder *));
    if (!to.by_addr || !to.by_id || !to.holder) {
        free(to.by_addr);
        free(to.by_id);
        free(to.holder);
        return p->buckets != 0; /* longer chains, nothing worse */
    }
    for (size_t b = 0; b < p->buckets; b++) {
        for (struct lease *l = p->by_addr[b], *next; l; l = next) {
            next = l->by_addr;
            struct lease **at = &to.by_addr[hash_addr(&to, &l->addr)];
            l->by_addr = *at;
            *at = l;
            if (l->id)
                put_id(&to, l);
        }
        for (struct holder *h = p->holder[b], *next; h; h = next) {
            next = h->next;
            struct holder **at = &to.holder[hash(&to, &h->sa, sizeof(h->sa))];
            h->next = *at;
            *at = h;
        }
    }
    free(p->by_addr);
    free(p->by_id);
    free(p->holder);
    p->by_addr = to.by_addr;
    p->by_id = to.by_id;
    p->holder = to.holder;
    p->buckets = to.buckets;
    return true;
}

static struct lease *lease_new(struct sl_pools *p, struct pool *pool, const struct sl_addr *addr)
{
    if (p->lease_n >= SL_POOL_LEASES_MAX || !grow(p))
        return NULL;
    struct lease *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->pool = pool;
    l->addr = *addr;
    l->number = ++p->last_number;
    struct lease **at = &p->by_addr[hash_addr(p, addr)];
    l->by_addr = *at;
    *at = l;
    p->lease_n++;
    return l;
}

static bool give_to(struct sl_pools *p, struct lease *l, const char *id)
{
    char *copy = strdup(id);
    if (!copy)
        return false;
    drop_id(p, l);
    l->id = copy;
    l->since_s = l->ended_s = 0;
    put_id(p, l);
    return true;
}

static void view(struct sl_lease *out, const struct lease *l)
{
    *out = (struct sl_lease){ .number = l->number,
                              .pool = l->pool ? l->pool->conf->name : "",
                              .identity = l->id ? l->id : "",
                              .addr = l->addr,
                              .fixed = l->fixed,
                              .users = l->users,
                              .since_s = l->since_s,
                              .ended_s = l->ended_s };
    if (l->pool && !l->users && !l->fixed)
        out->until_s = l->ended_s + l->pool->conf->lease_s;
}

static void tell(const struct sl_pools *p, const struct lease *l, bool gone)
{
    struct sl_lease v;
    if (!p->fn)
        return;
    view(&v, l);
    p->fn(p->ctx, &v, gone);
}

/* ---- making ------------------------------------------------------------------------------------ */

/* Network and broadcast addresses of a prefix stay out, and IPv6's anycast address of routers. */
static void add_range(struct pool *pool, const char *text)
{
    struct sl_ts ts;
    if (pool->range_n == SL_POOL_RANGES_MAX || !sl_ts_parse(&ts, text))
        return;
    struct range r = { .family = ts.first.family,
                       .first = number_of(&ts.first),
                       .last = number_of(&ts.last) };
    if (strchr(text, '/') && r.last - r.first >= 3) {
        r.first++;
        r.last -= r.family == 4;
    }
    pool->range[pool->range_n++] = r;
}

static bool in_range(const struct pool *pool, const struct sl_addr *a)
{
    const number n = number_of(a);
    for (size_t i = 0; i < pool->range_n; i++)
        if (pool->range[i].family == a->family && n >= pool->range[i].first &&
            n <= pool->range[i].last)
            return true;
    return false;
}

static enum sl_rc add_statics(struct sl_pools *p, struct pool *pool, struct sl_err *err)
{
    for (size_t i = 0; i < pool->conf->statics.n; i++) {
        struct sl_id id;
        struct sl_addr addr;
        char text[SL_ID_TEXT];
        if (!sl_conf_static(&id, &addr, pool->conf->statics.v[i]))
            return SL_FAIL(err, SL_CONFIG_VALUE,
                           "pool %s: static \"%.80s\" is not IDENTITY=ADDRESS", pool->conf->name,
                           pool->conf->statics.v[i]);
        if (find_addr(p, &addr))
            return SL_FAIL(err, SL_CONFIG_VALUE,
                           "pool %s: static \"%.80s\": the address is given "
                           "to another identity",
                           pool->conf->name, pool->conf->statics.v[i]);
        struct lease *l = lease_new(p, pool, &addr);
        if (!l || !give_to(p, l, sl_lease_identity(text, &id)))
            return SL_FAIL_MEM(err);
        l->fixed = true;
    }
    return SL_OK;
}

static enum sl_rc fill(struct sl_pools *p, struct sl_err *err)
{
    const struct sl_config *config = p->config;
    p->pool = calloc(config->pool_n + 1, sizeof(*p->pool));
    if (!p->pool || !grow(p))
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < config->pool_n; i++) {
        struct pool *pool = &p->pool[p->pool_n++];
        pool->conf = &config->pool[i];
        for (size_t k = 0; k < pool->conf->addresses.n; k++)
            add_range(pool, pool->conf->addresses.v[k]);
        pool->at_range[0] = pool->at_range[1] = SIZE_MAX;
    }
    for (size_t i = 0; i < p->pool_n; i++)
        SL_TRY(add_statics(p, &p->pool[i], err));
    return SL_OK;
}

enum sl_rc sl_pools_new(struct sl_pools **out, const struct sl_config *config, sl_lease_fn *fn,
                        void *ctx, struct sl_err *err)
{
    struct sl_pools *p = calloc(1, sizeof(*p));
    if (!p)
        return SL_FAIL_MEM(err);
    p->config = config;
    p->fn = fn;
    p->ctx = ctx;
    const enum sl_rc rc = fill(p, err);
    if (rc != SL_OK) {
        sl_pools_free(p);
        return rc;
    }
    *out = p;
    return SL_OK;
}

void sl_pools_free(struct sl_pools *p)
{
    if (!p)
        return;
    for (size_t b = 0; b < p->buckets; b++) {
        for (struct lease *l = p->by_addr[b], *next; l; l = next) {
            next = l->by_addr;
            free(l->id);
            free(l);
        }
        for (struct holder *h = p->holder[b], *next; h; h = next) {
            next = h->next;
            free(h);
        }
    }
    free(p->by_addr);
    free(p->by_id);
    free(p->holder);
    free(p->pool);
    free(p);
}

static struct pool *find_pool(const struct sl_pools *p, const char *name)
{
    for (size_t i = 0; i < p->pool_n; i++)
        if (strcmp(p->pool[i].conf->name, name) == 0)
            return &p->pool[i];
    return NULL;
}

bool sl_pools_load(struct sl_pools *p, const struct sl_lease *lease, int64_t now_s)
{
    struct pool *pool = find_pool(p, lease->pool);
    struct lease *l = find_addr(p, &lease->addr);
    if (l && l->fixed && strcmp(l->id, lease->identity) == 0) {
        l->since_s = lease->since_s; /* a static one, known already */
        l->ended_s = lease->ended_s ? lease->ended_s : now_s;
        return true;
    }
    if (l || !pool || !in_range(pool, &lease->addr)) {
        if (p->fn)
            p->fn(p->ctx, lease, true);
        return true;
    }
    l = lease_new(p, pool, &lease->addr);
    if (!l || !give_to(p, l, lease->identity))
        return false;
    l->since_s = lease->since_s;
    l->ended_s = lease->ended_s ? lease->ended_s : now_s;
    list_on(&pool->kept[fam(&l->addr)], l);
    return true;
}

/* ---- taking ------------------------------------------------------------------------------------ */

/* The next address of the pool that nobody has had yet; false: there is none. */
static bool next_new(const struct sl_pools *p, struct pool *pool, unsigned f, struct sl_addr *out)
{
    if (pool->at_range[f] == SIZE_MAX) {
        pool->at_range[f] = 0;
        pool->at[f] = pool->range_n ? pool->range[0].first : 0;
    }
    while (pool->at_range[f] < pool->range_n) {
        const struct range *r = &pool->range[pool->at_range[f]];
        if (r->family == (f ? 6 : 4) && pool->at[f] >= r->first && pool->at[f] <= r->last) {
            *out = addr_of(r->family, pool->at[f]);
            /* the last address of all has no successor: what wraps is below first, and leaves */
            pool->at[f]++;
            if (!find_addr(p, out))
                return true;
            continue;
        }
        if (++pool->at_range[f] < pool->range_n)
            pool->at[f] = pool->range[pool->at_range[f]].first;
    }
    return false;
}

static bool kept_long_enough(const struct lease *l, int64_t now_s)
{
    return now_s - l->ended_s >= l->pool->conf->lease_s;
}

/* One that is nobody's any more: given back, or kept for its last identity long enough. */
static struct lease *second_hand(struct pool *pool, unsigned f, int64_t now_s)
{
    if (pool->unused[f].first)
        return pool->unused[f].first;
    struct lease *oldest = pool->kept[f].first;
    return oldest && kept_long_enough(oldest, now_s) ? oldest : NULL;
}

static struct lease *take_over(struct sl_pools *p, struct lease *l, const char *id)
{
    return l && give_to(p, l, id) ? l : NULL;
}

static struct lease *fresh(struct sl_pools *p, struct pool *pool, unsigned f, const char *id,
                           int64_t now_s)
{
    struct sl_addr a;
    if (p->lease_n < SL_POOL_LEASES_MAX && next_new(p, pool, f, &a)) {
        struct lease *l = lease_new(p, pool, &a);
        if (!l)
            return NULL;
        list_on(&pool->unused[f], l);
        return take_over(p, l, id);
    }
    return take_over(p, second_hand(pool, f, now_s), id);
}

/* The address it would like, when it is nobody's. */
static struct lease *wished(struct sl_pools *p, struct pool *pool, const struct sl_addr *wish,
                            const char *id, int64_t now_s)
{
    if (sl_addr_is_any(wish) || !in_range(pool, wish))
        return NULL;
    struct lease *l = find_addr(p, wish);
    if (!l) {
        l = lease_new(p, pool, wish);
        if (l)
            list_on(&pool->unused[fam(wish)], l);
        return take_over(p, l, id);
    }
    if (l->fixed || l->users || l->pool != pool || (l->id && !kept_long_enough(l, now_s)))
        return NULL;
    return take_over(p, l, id);
}

/* What the identity has in this pool; a static address before others. */
static struct lease *own(const struct sl_pools *p, const struct pool *pool, unsigned f,
                         const char *id)
{
    struct lease *found = NULL;
    for (struct lease *l = p->by_id[hash(p, id, strlen(id))]; l; l = l->by_id)
        if (l->pool == pool && fam(&l->addr) == f && strcmp(l->id, id) == 0 && (!found || l->fixed))
            found = l;
    return found;
}

static const struct sl_conf_strings *pools_for(const struct sl_pool_ask *ask)
{
    return ask->rule && ask->rule->grant_pool.n ? &ask->rule->grant_pool : &ask->connection->pools;
}

/* The very address that a rule grants. SL_EXISTS: another identity has it. */
static enum sl_rc granted(struct sl_pools *p, const struct sl_addr *addr, const char *id,
                          struct lease **out, struct sl_err *err)
{
    struct lease *l = find_addr(p, addr);
    char text[SL_ADDR_TEXT];
    if (l && l->id && strcmp(l->id, id) != 0 && (l->users || (l->fixed && l->pool)))
        return SL_FAIL(err, SL_ADDRESS_NONE, "address %s of the rule is %.200s's",
                       sl_addr_text(text, addr), l->id);
    if (!l && !(l = lease_new(p, NULL, addr)))
        return SL_FAIL_MEM(err);
    if ((!l->id || strcmp(l->id, id) != 0) && !give_to(p, l, id)) {
        if (l->pool)
            list_on(&l->pool->unused[fam(addr)], l);
        return SL_FAIL_MEM(err);
    }
    l->fixed = l->fixed || !l->pool;
    *out = l;
    return SL_OK;
}

static enum sl_rc choose(struct sl_pools *p, const struct sl_pool_ask *ask, unsigned f,
                         const char *id, struct lease **out, struct sl_err *err)
{
    const struct sl_conf_strings *names = pools_for(ask);
    for (size_t i = 0; ask->rule && i < ask->rule->grant_address.n; i++) {
        struct sl_addr a;
        if (sl_addr_parse(&a, ask->rule->grant_address.v[i]) && fam(&a) == f)
            return granted(p, &a, id, out, err);
    }
    struct lease *l = NULL;
    for (size_t i = 0; i < names->n && !l; i++)
        l = own(p, find_pool(p, names->v[i]), f, id);
    for (size_t i = 0; i < names->n && !l; i++)
        l = wished(p, find_pool(p, names->v[i]), &ask->wish[f], id, ask->now_s);
    for (size_t i = 0; i < names->n && !l; i++)
        l = fresh(p, find_pool(p, names->v[i]), f, id, ask->now_s);
    if (!l)
        return SL_FAIL(err, SL_ADDRESS_NONE, "no IPv%c address is left for %.200s in %zu pools",
                       f ? '6' : '4', id, names->n);
    *out = l;
    return SL_OK;
}

static struct holder **find_holder(const struct sl_pools *p, uint64_t sa)
{
    struct holder **at = &p->holder[hash(p, &sa, sizeof(sa))];
    while (*at && (*at)->sa != sa)
        at = &(*at)->next;
    return at;
}

static struct holder *holder_for(struct sl_pools *p, uint64_t sa)
{
    struct holder **at = find_holder(p, sa);
    if (*at)
        return *at;
    struct holder *h = calloc(1, sizeof(*h));
    if (!h || !grow(p)) {
        free(h);
        return NULL;
    }
    h->sa = sa;
    at = &p->holder[hash(p, &sa, sizeof(sa))];
    h->next = *at;
    *at = h;
    p->holder_n++;
    return h;
}

static void hold(struct sl_pools *p, struct holder *h, struct lease *l, int64_t now_s)
{
    list_off(l);
    h->lease[fam(&l->addr)] = l;
    if (!l->users++ || !l->since_s)
        l->since_s = now_s;
    l->ended_s = 0;
    tell(p, l, false);
}

static void give_back(struct sl_pools *p, struct lease *l, int64_t now_s)
{
    if (--l->users)
        return;
    l->ended_s = now_s;
    if (!l->fixed)
        list_on(&l->pool->kept[fam(&l->addr)], l);
    tell(p, l, false);
}

static void put_dns(struct sl_virtual *v, const struct sl_conf_strings *servers)
{
    for (size_t i = 0; i < servers->n && v->dns_n < SL_DNS_MAX; i++) {
        struct sl_addr a;
        bool known = !sl_addr_parse(&a, servers->v[i]);
        for (size_t k = 0; k < v->dns_n && !known; k++)
            known = sl_addr_eq(&v->dns[k], &a);
        if (!known)
            v->dns[v->dns_n++] = a;
    }
}

static bool has_domain(const char *list, const char *domain)
{
    const size_t len = strlen(domain);
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == len && strncasecmp(at, domain, len) == 0)
            return true;
    return false;
}

static void put_servers(struct sl_virtual *v, const struct sl_pools *p,
                        const struct sl_pool_ask *ask)
{
    const struct sl_conf_strings *names = pools_for(ask);
    if (ask->rule && ask->rule->grant_dns.n)
        put_dns(v, &ask->rule->grant_dns);
    for (size_t i = 0; i < names->n; i++) {
        const struct sl_conf_pool *conf = find_pool(p, names->v[i])->conf;
        if (!ask->rule || !ask->rule->grant_dns.n)
            put_dns(v, &conf->dns);
        for (size_t k = 0; k < conf->split_dns.n; k++) {
            const size_t at = strlen(v->split_dns);
            if (has_domain(v->split_dns, conf->split_dns.v[k]) ||
                at + strlen(conf->split_dns.v[k]) + 2 > sizeof(v->split_dns))
                continue;
            snprintf(v->split_dns + at, sizeof(v->split_dns) - at, "%s%s", at ? " " : "",
                     conf->split_dns.v[k]);
        }
    }
}

enum sl_rc sl_pools_take(struct sl_pools *p, const struct sl_pool_ask *ask, struct sl_virtual *out,
                         struct sl_err *err)
{
    struct sl_virtual v = { 0 };
    struct sl_err first = { 0 };
    char id[SL_ID_TEXT];
    sl_lease_identity(id, ask->id);
    struct holder *h = holder_for(p, ask->sa);
    if (!h)
        return SL_FAIL_MEM(err);
    for (unsigned f = 0; f < 2; f++) {
        struct lease *l = h->lease[f];
        struct sl_err why = { 0 };
        if (!ask->wish[f].family)
            continue;
        if (!l && choose(p, ask, f, id, &l, &why) == SL_OK)
            hold(p, h, l, ask->now_s);
        if (l)
            v.addr[f] = l->addr;
        else if (!first.rc)
            first = why;
    }
    if (!v.addr[0].family && !v.addr[1].family) {
        sl_pools_end(p, ask->sa, ask->now_s);
        *err = first;
        return first.rc ? first.rc : SL_FAIL(err, SL_ADDRESS_NONE, "no address was asked for");
    }
    put_servers(&v, p, ask);
    *out = v;
    return SL_OK;
}

/* ---- holding and giving back ------------------------------------------------------------------- */

void sl_pools_hold(struct sl_pools *p, const struct sl_id *id, uint64_t sa,
                   const struct sl_addr *addr, int64_t now_s)
{
    char text[SL_ID_TEXT];
    struct lease *l = find_addr(p, addr);
    if (!l || !l->id || strcmp(l->id, sl_lease_identity(text, id)) != 0)
        return; /* the configuration has changed, or it is somebody else's by now */
    struct holder *h = holder_for(p, sa);
    if (h && !h->lease[fam(addr)])
        hold(p, h, l, now_s);
}

void sl_pools_move(struct sl_pools *p, uint64_t from_sa, uint64_t to_sa)
{
    struct holder **at = find_holder(p, from_sa), *h = *at;
    if (!h || *find_holder(p, to_sa))
        return;
    *at = h->next;
    h->sa = to_sa;
    at = &p->holder[hash(p, &to_sa, sizeof(to_sa))];
    h->next = *at;
    *at = h;
}

void sl_pools_end(struct sl_pools *p, uint64_t sa, int64_t now_s)
{
    struct holder **at = find_holder(p, sa), *h = *at;
    if (!h)
        return;
    *at = h->next;
    p->holder_n--;
    for (unsigned f = 0; f < 2; f++)
        if (h->lease[f])
            give_back(p, h->lease[f], now_s);
    free(h);
}

void sl_pools_end_all(struct sl_pools *p, int64_t now_s)
{
    for (size_t b = 0; b < p->buckets; b++)
        while (p->holder[b])
            sl_pools_end(p, p->holder[b]->sa, now_s);
}

enum sl_rc sl_pools_release(struct sl_pools *p, uint64_t n, struct sl_err *err)
{
    char text[SL_ADDR_TEXT];
    for (size_t b = 0; b < p->buckets; b++)
        for (struct lease *l = p->by_addr[b]; l; l = l->by_addr) {
            if (l->number != n || !l->id)
                continue;
            if (l->users || l->fixed)
                return SL_FAIL(err, SL_EXISTS, "lease %llu, %s of %.200s, is %s",
                               (unsigned long long)n, sl_addr_text(text, &l->addr), l->id,
                               l->users ? "in use: take its IKE SA down first"
                                        : "fixed by the configuration");
            tell(p, l, true);
            drop_id(p, l);
            list_on(&l->pool->unused[fam(&l->addr)], l);
            return SL_OK;
        }
    return SL_FAIL(err, SL_NOT_FOUND, "there is no lease %llu; `sealane pool leases` lists them",
                   (unsigned long long)n);
}

void sl_pools_each(const struct sl_pools *p, void (*fn)(void *ctx, const struct sl_lease *lease),
                   void *ctx)
{
    for (size_t b = 0; b < p->buckets; b++)
        for (const struct lease *l = p->by_addr[b]; l; l = l->by_addr) {
            struct sl_lease v;
            if (!l->id || (!l->users && !l->ended_s))
                continue;
            view(&v, l);
            fn(ctx, &v);
        }
}
