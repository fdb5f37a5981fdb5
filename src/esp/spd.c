/* The policy for what leaves; see spd.h. */
#include "src/esp/spd.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX \
    64u /* more pairs of lengths share one group each family, found through any key */
#define NONE UINT32_MAX

struct pair { /* one of our side's selectors with one of the peer's */
    uint64_t prio;
    struct esp_out *out;
    const struct esp_sel *local, *remote;
    uint32_t group, next;
};
struct group {
    uint64_t best; /* highest prio in it */
    uint8_t family, local_len, remote_len;
    struct esp_num local_mask, remote_mask;
};
struct esp_spd {
    struct esp_shunt *shunts;
    size_t shunt_n;
    struct group groups[GROUPS_MAX + 2];
    uint32_t order[GROUPS_MAX + 2]; /* by falling best */
    uint32_t group_n;
    struct pair *pairs;
    uint32_t pair_n;
    uint32_t *heads; /* chains of pairs by falling prio */
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
    m.lo = n <= 64 ? 0 : UINT64_MAX << (128 - n);
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
    for (uint32_t i = 0; i < s->group_n; i++)
        if (s->groups[i].family == family && s->groups[i].local_len == local_len &&
            s->groups[i].remote_len == remote_len)
            return i;
    /* the two places past GROUPS_MAX are for the group of all lengths, which every pair fits */
    if (s->group_n >= GROUPS_MAX && (local_len || remote_len))
        return group_for(s, family, 0, 0);
    s->groups[s->group_n] = (struct group){
        .family = family,
        .local_len = local_len,
        .remote_len = remote_len,
        .local_mask = mask_of(family, local_len),
        .remote_mask = mask_of(family, remote_len),
    };
    return s->group_n++;
}

static void pair_add(struct esp_spd *s, struct esp_child *c, const struct esp_sel *local,
                     const struct esp_sel *remote)
{
    uint32_t index = s->pair_n++;
    struct pair *p = &s->pairs[index];
    *p = (struct pair){
        .prio = priority(local, remote, c->order),
        .out = &c->out,
        .local = local,
        .remote = remote,
        .group = group_for(s, local->family, cover_len(local), cover_len(remote)),
    };
    struct group *g = &s->groups[p->group];
    if (p->prio > g->best)
        g->best = p->prio;
    uint32_t *at = &s->heads[hash(g, p->group, local->first, remote->first) & s->mask];
    while (*at != NONE && s->pairs[*at].prio >= p->prio)
        at = &s->pairs[*at].next;
    p->next = *at;
    *at = index;
}

static bool sends(const struct esp_child *c)
{
    return c->wanted && !c->gone;
}

static size_t count_pairs(const struct esp_child_list *children)
{
    size_t n = 0;
    const struct esp_child *c;
    TAILQ_FOREACH(c, children, all)
    {
        if (sends(c))
            n += c->local_n * c->remote_n;
    }
    return n;
}

/* Any of our selectors goes with any of the peer's of its family (RFC 7296 2.9). */
static void child_pairs(struct esp_spd *s, struct esp_child *c)
{
    for (size_t i = 0; i < c->local_n; i++)
        for (size_t j = 0; j < c->remote_n; j++)
            if (esp_child_local(c)[i].family == esp_child_remote(c)[j].family)
                pair_add(s, c, &esp_child_local(c)[i], &esp_child_remote(c)[j]);
}

static void order_groups(struct esp_spd *s)
{
    for (uint32_t i = 0; i < s->group_n; i++) {
        uint32_t j = i;
        for (; j && s->groups[s->order[j - 1]].best < s->groups[i].best; j--)
            s->order[j] = s->order[j - 1];
        s->order[j] = i;
    }
}

enum sl_rc esp_spd_new(struct esp_spd **out, const struct esp_shunt *shunts, size_t n,
                       const struct esp_child_list *children, struct sl_err *err)
{
    size_t pairs = count_pairs(children), heads = 16;
    while (heads < pairs)
        heads *= 2;
    if (heads >= NONE)
        return SL_FAIL(err, SL_TOO_LARGE, "%zu pairs of selectors", pairs);
    struct esp_spd *s = calloc(1, sizeof(*s));
    if (s) {
        s->shunts = calloc(n + 1, sizeof(*s->shunts));
        s->pairs = calloc(pairs + 1, sizeof(*s->pairs));
        s->heads = malloc(heads * sizeof(*s->heads));
    }
    if (!s || !s->shunts || !s->pairs || !s->heads) {
        esp_spd_free(s);
        return SL_FAIL_MEM(err);
    }
    s->shunt_n = n;
    if (n)
        memcpy(s->shunts, shunts, n * sizeof(*s->shunts));
    memset(s->heads, 0xff, heads * sizeof(*s->heads)); /* NONE */
    s->mask = (uint32_t)heads - 1;

    struct esp_child *c;
    TAILQ_FOREACH(c, children, all)
    {
        if (sends(c))
            child_pairs(s, c);
    }
    order_groups(s);
    *out = s;
    return SL_OK;
}

void esp_spd_free(struct esp_spd *s)
{
    if (!s)
        return;
    free(s->shunts);
    free(s->pairs);
    free(s->heads);
    free(s);
}

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
    const struct pair *best = NULL;
    for (uint32_t i = 0; i < s->group_n; i++) {
        uint32_t index = s->order[i];
        const struct group *g = &s->groups[index];
        if (best && best->prio >= g->best)
            break;
        if (g->family != in->family)
            continue;
        uint32_t at = s->heads[hash(g, index, in->src, in->dst) & s->mask];
        for (; at != NONE; at = s->pairs[at].next) {
            const struct pair *p = &s->pairs[at];
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
