/* See map.h. */
#include "src/ike/map.h"

#include <assert.h>
#include <stdlib.h>

enum { MAP_FIRST_BUCKETS = 64 };

bool ike_map_init(struct ike_map *m)
{
    struct ike_map_node **bucket = calloc(MAP_FIRST_BUCKETS, sizeof(*bucket));
    if (!bucket)
        return false;
    *m = (struct ike_map){ .bucket = bucket, .buckets = MAP_FIRST_BUCKETS };
    return true;
}

void ike_map_clear(struct ike_map *m)
{
    free(m->bucket);
    *m = (struct ike_map){ 0 };
}

/* Fibonacci hashing: counters and random SPIs both spread well. */
static size_t place(const struct ike_map *m, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 24) & (m->buckets - 1);
}

/* Doubles the buckets; when there is no memory the chains simply get longer. */
static void grow(struct ike_map *m)
{
    struct ike_map bigger = { .buckets = m->buckets * 2 };
    bigger.bucket = calloc(bigger.buckets, sizeof(struct ike_map_node *));
    if (!bigger.bucket)
        return;
    for (size_t i = 0; i < m->buckets; i++) {
        struct ike_map_node *next;
        for (struct ike_map_node *n = m->bucket[i]; n; n = next) {
            next = n->next;
            size_t at = place(&bigger, n->key);
            n->next = bigger.bucket[at];
            bigger.bucket[at] = n;
        }
    }
    free(m->bucket);
    m->bucket = bigger.bucket;
    m->buckets = bigger.buckets;
}

void ike_map_put(struct ike_map *m, struct ike_map_node *n, uint64_t key)
{
    assert(!n->in);
    if (m->count >= m->buckets)
        grow(m);
    size_t at = place(m, key);
    *n = (struct ike_map_node){ .next = m->bucket[at], .key = key, .in = true };
    m->bucket[at] = n;
    m->count++;
}

void ike_map_del(struct ike_map *m, struct ike_map_node *n)
{
    if (!n->in)
        return;
    struct ike_map_node **at = &m->bucket[place(m, n->key)];
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    *n = (struct ike_map_node){ 0 };
    m->count--;
}

struct ike_map_node *ike_map_get(const struct ike_map *m, uint64_t key)
{
    struct ike_map_node *n = m->bucket[place(m, key)];
    while (n && n->key != key)
        n = n->next;
    return n;
}

struct ike_map_node *ike_map_next(const struct ike_map_node *n)
{
    const uint64_t key = n->key;
    struct ike_map_node *next = n->next;
    while (next && next->key != key)
        next = next->next;
    return next;
}

/* ---- timer heap -------------------------------------------------------------------------------- */

bool ike_heap_reserve(struct ike_heap *h, size_t members)
{
    if (members <= h->cap)
        return true;
    size_t cap = h->cap ? h->cap : 16;
    while (cap < members)
        cap *= 2;
    struct ike_timer **v = reallocarray(h->v, cap, sizeof(struct ike_timer *));
    if (!v)
        return false;
    h->v = v;
    h->cap = cap;
    return true;
}

void ike_heap_clear(struct ike_heap *h)
{
    free(h->v);
    *h = (struct ike_heap){ 0 };
}

static void put_at(struct ike_heap *h, size_t i, struct ike_timer *t)
{
    h->v[i] = t;
    t->pos = i + 1;
}

static void rise(struct ike_heap *h, size_t i)
{
    struct ike_timer *t = h->v[i];
    while (i > 0 && h->v[(i - 1) / 2]->at_ns > t->at_ns) {
        put_at(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(h, i, t);
}

static void sink(struct ike_heap *h, size_t i)
{
    struct ike_timer *t = h->v[i];
    for (size_t c; (c = 2 * i + 1) < h->n; i = c) {
        if (c + 1 < h->n && h->v[c + 1]->at_ns < h->v[c]->at_ns)
            c++;
        if (h->v[c]->at_ns >= t->at_ns)
            break;
        put_at(h, i, h->v[c]);
    }
    put_at(h, i, t);
}

void ike_heap_set(struct ike_heap *h, struct ike_timer *t, int64_t at_ns)
{
    if (at_ns == INT64_MAX) {
        if (t->pos == 0)
            return;
        size_t i = t->pos - 1;
        struct ike_timer *last = h->v[--h->n];
        t->pos = 0;
        t->at_ns = at_ns;
        if (last != t) {
            put_at(h, i, last);
            rise(h, i);
            sink(h, last->pos - 1);
        }
        return;
    }
    t->at_ns = at_ns;
    if (t->pos == 0) {
        assert(h->n < h->cap);
        put_at(h, h->n++, t);
    }
    rise(h, t->pos - 1);
    sink(h, t->pos - 1);
}

struct ike_timer *ike_heap_first(const struct ike_heap *h)
{
    return h->n ? h->v[0] : NULL;
}
