/* Ranges of addresses as prefixes; see route.h. */
#include "src/esp/route.h"

static unsigned __int128 number_of(const struct sl_addr *a)
{
    unsigned __int128 n = 0;
    for (size_t i = 0; i < sl_addr_len(a); i++)
        n = n << 8 | a->b[i];
    return n;
}

static struct sl_addr addr_of(uint8_t family, unsigned __int128 n)
{
    struct sl_addr a = { .family = family };
    for (size_t i = sl_addr_len(&a); i-- > 0; n >>= 8)
        a.b[i] = (uint8_t)n;
    return a;
}

void esp_range_init(struct esp_range *r, const struct sl_addr *first, const struct sl_addr *last)
{
    *r = (struct esp_range){
        .family = first->family, .more = true, .first = number_of(first), .last = number_of(last)
    };
}

bool esp_range_next(struct esp_range *r, struct sl_prefix *out)
{
    if (!r->more)
        return false;
    unsigned bits = r->family == 4 ? 32 : 128, host = 0;
    unsigned __int128 ones = 0; /* host bits set */
    while (host < bits) {
        unsigned __int128 wider = ones << 1 | 1;
        if ((r->first & wider) || wider > r->last - r->first)
            break;
        ones = wider;
        host++;
    }
    *out =
        (struct sl_prefix){ .addr = addr_of(r->family, r->first), .len = (uint8_t)(bits - host) };
    r->more = r->first + ones != r->last;
    r->first += ones + 1;
    return true;
}

struct routing {
    const struct sl_ts *local;
    size_t local_n;
    const struct sl_conf_shunt *shunts;
    size_t shunt_n;
    void (*on)(void *ctx, const struct sl_prefix *p);
    void *ctx;
};

static bool any_protocol(const struct sl_ts *ts)
{
    return ts->protocol == 0 && ts->start_port == 0 && ts->end_port == 65535;
}

/* Does the shunt decide for every packet of the child to its addresses? */
static bool decides(const struct sl_conf_shunt *s, const struct routing *g)
{
    if (!any_protocol(&s->local_ts) || !any_protocol(&s->remote_ts))
        return false;
    for (size_t i = 0; i < g->local_n; i++)
        if (g->local[i].first.family == s->local_ts.first.family &&
            (sl_addr_cmp(&g->local[i].first, &s->local_ts.first) < 0 ||
             sl_addr_cmp(&g->local[i].last, &s->local_ts.last) > 0))
            return false;
    return true;
}

static void into_tunnel(const struct routing *g, uint8_t family, unsigned __int128 first,
                        unsigned __int128 last)
{
    struct esp_range r = { .family = family, .more = true, .first = first, .last = last };
    struct sl_prefix p;
    while (esp_range_next(&r, &p))
        g->on(g->ctx, &p);
}

/*
 * The range first..last, for which the shunts before from have nothing to say. The first shunt that
 * touches it decides for the part they share, the later ones for the rest: as deep as there are
 * shunts. A part that a shunt drops goes into the tunnel, where it is dropped.
 */
static void route_range(const struct routing *g, uint8_t family, unsigned __int128 first,
                        unsigned __int128 last, size_t from)
{
    for (size_t i = from; i < g->shunt_n; i++) {
        const struct sl_conf_shunt *s = &g->shunts[i];
        bool bypass = s->action == SL_SHUNT_BYPASS;
        unsigned __int128 lo = number_of(&s->remote_ts.first), hi = number_of(&s->remote_ts.last);
        if (s->remote_ts.first.family != family || hi < first || lo > last ||
            (bypass && !decides(s, g)))
            continue;
        lo = lo < first ? first : lo;
        hi = hi > last ? last : hi;
        if (lo > first)
            route_range(g, family, first, lo - 1, i + 1);
        if (!bypass)
            into_tunnel(g, family, lo, hi);
        if (hi < last)
            route_range(g, family, hi + 1, last, i + 1);
        return;
    }
    into_tunnel(g, family, first, last);
}

void esp_routes(const struct sl_ts *remote, const struct sl_ts *local, size_t local_n,
                const struct sl_conf_shunt *shunts, size_t shunt_n,
                void (*on)(void *ctx, const struct sl_prefix *p), void *ctx)
{
    const struct routing g = { .local = local,
                               .local_n = local_n,
                               .shunts = shunts,
                               .shunt_n = shunt_n,
                               .on = on,
                               .ctx = ctx };
    route_range(&g, remote->first.family, number_of(&remote->first), number_of(&remote->last), 0);
}
