/* The policy for what leaves; see spd.h. */
#include "src/esp/spd.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX \
    64u /* more pairs of lengths share one group each family, found through any key */
#define HEADS_MIN 16u

/* One of our side's selectors with one of the peer's. */
struct esp_pair {
    uint64_t prio;
    struct esp_out *out;
    const struct esp_sel *local, *remote;
    uint32_t group;
    struct esp_pair *next, *prev; /* of its chain; prev NULL: the first */
};
struct group {
    uint64_t best; /* none in it is higher */
    size_t n;      /* pairs in it */
    uint8_t family, local_len, remote_len;
    struct esp_num local_mask, remote_mask;
};
struct esp_spd {
    struct esp_shunt *shunts;
    size_t shunt_n;
    struct group groups[GROUPS_MAX + 2];
    uint32_t order[GROUPS_MAX + 2]; /* by falling best */
    uint32_t group_n;
    bool unordered;
    size_t pair_n;
    struct esp_pair **heads; /* chains by falling prio */
    uint32_t mask;
};

static unsigned bits(uint8_t family)
{
    return family == 4 ? 32 : 128;
}

/* Length of the smallest prefix that covers a range. */
static uint8_t cover_len(const struct esp_sel *s)
{
    uint64_t hi = s->first.hi ^ s->last.hi, lo = s->first.lo ^ s->last.lo;
    unsigned common =
        hi ? (unsigned)__builtin_clzll(hi) : 64 + (lo ? (unsigned)__builtin_clzll(lo) : 64);
    return (uint8_t)(common - (128 - bits(s->family)));
}

static struct esp_num mask_of(uint8_t family, uint8_t len)
{
    unsigned n = len + (128 - bits(family)); /* IPv4 lies in the low bits */
    struct esp_num m;
    m.hi = n == 0 ? 0 : n >= 64 ? UINT64_MAX : UINT64_MAX << (64 - n);
    m.lo = n <= 64 ? 0 : n >= 128 ? UINT64_MAX : UINT64_MAX << (128 - n);
    return m;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint32_t hash(const struct group *g, uint32_t index, struct esp_num local,
                     struct esp_num remote)
{
    uint64_t h = mix(index + 1, local.lo & g->local_mask.lo);
    h = mix(h, remote.lo & g->remote_mask.lo);
    if (g->family == 6) {
        h = mix(h, local.hi & g->local_mask.hi);
        h = mix(h, remote.hi & g->remote_mask.hi);
    }
    return (uint32_t)(h >> 32);
}

/* Remote before local before protocol before port; then the newest. */
static uint64_t priority(const struct esp_sel *local, const struct esp_sel *remote, uint64_t order)
{
    uint64_t p = (uint64_t)cover_len(remote) << 56 | (uint64_t)cover_len(local) << 48;
    if (local->proto || remote->proto)
        p |= UINT64_C(1) << 47;
    if (!local->any_port || !remote->any_port)
        p |= UINT64_C(1) << 46;
    return p | (order & ((UINT64_C(1) << 46) - 1));
}

static uint32_t group_for(struct esp_spd *s, uint8_t family, uint8_t local_len, uint8_t remote_len)
{
    uint32_t at = s->group_n;
    for (uint32_t i = 0; i < s->group_n; i++) {
        const struct group *g = &s->groups[i];
        if (g->n && g->family == family && g->local_len == local_len && g->remote_len == remote_len)
            return i;
        if (!g->n && i < at)
            at = i;
    }
    /* the two places past GROUPS_MAX are for the group of all lengths, which every pair fits */
    if (at >= GROUPS_MAX && (local_len || remote_len))
        return group_for(s, family, 0, 0);
    s->groups[at] = (struct group){
        .family = family,
        .local_len = local_len,
        .remote_len = remote_len,
        .local_mask = mask_of(family, local_len),
        .remote_mask = mask_of(family, remote_len),
    };
    if (at == s->group_n)
        s->group_n++;
    return at;
}

static struct esp_pair **head_of(const struct esp_spd *s, const struct esp_pair *p)
{
    const uint32_t h = hash(&s->groups[p->group], p->group, p->local->first, p->remote->first);
    return &s->heads[h & s->mask];
}

/* Among equals of one priority the new one comes last; orders differ, so there are none. */
static void link_pair(const struct esp_spd *s, struct esp_pair *p)
{
    struct esp_pair **at = head_of(s, p), *before = NULL;
    while (*at && (*at)->prio >= p->prio) {
        before = *at;
        at = &before->next;
    }
    p->prev = before;
    p->next = *at;
    if (p->next)
        p->next->prev = p;
    *at = p;
}

static void pair_add(struct esp_spd *s, struct esp_pair *p, struct esp_child *c,
                     const struct esp_sel *local, const struct esp_sel *remote)
{
    *p = (struct esp_pair){
        .prio = priority(local, remote, c->order),
        .out = &c->out,
        .local = local,
        .remote = remote,
        .group = group_for(s, local->family, cover_len(local), cover_len(remote)),
    };
    struct group *g = &s->groups[p->group];
    g->n++;
    if (p->prio > g->best) {
        g->best = p->prio;
        s->unordered = true;
    }
    s->pair_n++;
    link_pair(s, p);
}

static void pair_remove(struct esp_spd *s, struct esp_pair *p)
{
    if (p->prev)
        p->prev->next = p->next;
    else
        *head_of(s, p) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    s->groups[p->group].n--;
    s->pair_n--;
}

/* ---- the table --------------------------------------------------------------------------------- */

enum sl_rc esp_spd_new(struct esp_spd **out, struct sl_err *err)
{
    struct esp_spd *s = calloc(1, sizeof(*s));
    if (s)
        s->heads = calloc(HEADS_MIN, sizeof(struct esp_pair *));
    if (!s || !s->heads) {
        free(s);
        return SL_FAIL_MEM(err);
    }
    s->mask = HEADS_MIN - 1;
    *out = s;
    return SL_OK;
}

void esp_spd_free(struct esp_spd *s)
{
    if (!s)
        return;
    free(s->shunts);
    free(s->heads);
    free(s);
}

struct esp_shunt *esp_spd_shunts(struct esp_spd *s, struct esp_shunt *v, size_t n)
{
    struct esp_shunt *old = s->shunts;
    s->shunts = v;
    s->shunt_n = n;
    return old;
}

/* As many chains as pairs. */
static bool grow(struct esp_spd *s, size_t pairs)
{
    size_t heads = (size_t)s->mask + 1, more = heads;
    while (more < pairs)
        more *= 2;
    if (more == heads)
        return true;
    struct esp_pair **old = s->heads;
    struct esp_pair **made = more <= UINT32_MAX ? calloc(more, sizeof(struct esp_pair *)) : NULL;
    if (!made)
        return false;
    s->heads = made;
    s->mask = (uint32_t)more - 1;
    for (size_t i = 0; i < heads; i++) {
        struct esp_pair *p = old[i], *before;
        while (p && p->next)
            p = p->next;
        for (; p; p = before) { /* from the last: each goes in front of those moved already */
            before = p->prev;
            link_pair(s, p);
        }
    }
    free(old);
    return true;
}

enum sl_rc esp_spd_reserve(struct esp_spd *s, size_t pairs, struct sl_err *err)
{
    return grow(s, s->pair_n + pairs) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc esp_spd_prepare(struct esp_child *c, struct sl_err *err)
{
    if (!c->pairs)
        c->pairs = calloc(c->local_n * c->remote_n, sizeof(*c->pairs));
    return c->pairs ? SL_OK : SL_FAIL_MEM(err);
}

/* Any of our selectors goes with any of the peer's of its family (RFC 7296 2.9). */
void esp_spd_put(struct esp_spd *s, struct esp_child *c)
{
    const struct esp_sel *local = esp_child_local(c), *remote = esp_child_remote(c);
    esp_spd_remove(s, c);
    for (size_t i = 0; i < c->local_n; i++)
        for (size_t j = 0; j < c->remote_n; j++)
            if (local[i].family == remote[j].family)
                pair_add(s, &c->pairs[c->pair_n++], c, &local[i], &remote[j]);
}

void esp_spd_remove(struct esp_spd *s, struct esp_child *c)
{
    for (size_t i = 0; i < c->pair_n; i++)
        pair_remove(s, &c->pairs[i]);
    c->pair_n = 0;
}

void esp_spd_settle(struct esp_spd *s)
{
    if (!s->unordered)
        return;
    for (uint32_t i = 0; i < s->group_n; i++) {
        uint32_t j = i;
        for (; j && s->groups[s->order[j - 1]].best < s->groups[i].best; j--)
            s->order[j] = s->order[j - 1];
        s->order[j] = i;
    }
    s->unordered = false;
}

/* ---- lookup ------------------------------------------------------------------------------------ */

const struct esp_shunt *esp_spd_shunt(const struct esp_spd *s, const struct esp_inner *in)
{
    for (size_t i = 0; i < s->shunt_n; i++)
        if (esp_sel_has(&s->shunts[i].local, in, in->src, in->sport) &&
            esp_sel_has(&s->shunts[i].remote, in, in->dst, in->dport))
            return &s->shunts[i];
    return NULL;
}

struct esp_out *esp_spd_find(const struct esp_spd *s, const struct esp_inner *in)
{
    const struct esp_pair *best = NULL;
    for (uint32_t i = 0; i < s->group_n; i++) {
        uint32_t index = s->order[i];
        const struct group *g = &s->groups[index];
        if (best && best->prio >= g->best)
            break;
        if (g->family != in->family)
            continue;
        const struct esp_pair *p = s->heads[hash(g, index, in->src, in->dst) & s->mask];
        for (; p; p = p->next) {
            if (best && p->prio <= best->prio)
                break;
            if (p->group == index && esp_sel_has(p->local, in, in->src, in->sport) &&
                esp_sel_has(p->remote, in, in->dst, in->dport)) {
                best = p;
                break;
            }
        }
    }
    return best ? best->out : NULL;
}
