/*
 * An intrusive hash map from 64-bit keys, and an intrusive timer heap: what the SA table is made
 * of. Neither allocates when a member is added (the heap's room is reserved when the member is
 * made), so registering an SA, a question or a deadline cannot fail half way.
 */
#ifndef SL_SRC_IKE_MAP_H
#define SL_SRC_IKE_MAP_H

#include "sealane/bytes.h"

struct ike_map_node {
    struct ike_map_node *next;
    uint64_t key;
    bool in;
};
struct ike_map {
    struct ike_map_node **bucket;
    size_t buckets, count; /* buckets: a power of two */
};

bool ike_map_init(struct ike_map *m) SL_MUST_USE;
void ike_map_clear(struct ike_map *m); /* members are their owners' */
/* Keys should be spread by the caller where a peer can choose them. Equal keys may coexist. */
void ike_map_put(struct ike_map *m, struct ike_map_node *n, uint64_t key);
void ike_map_del(struct ike_map *m, struct ike_map_node *n); /* nothing when n is not in */
struct ike_map_node *ike_map_get(const struct ike_map *m, uint64_t key);
struct ike_map_node *ike_map_next(const struct ike_map_node *n); /* next of the same key */

/* The structure that embeds a node, or NULL. */
#define IKE_OF(node, type, member)                                   \
    ({                                                               \
        __typeof__(node) of_ = (node);                               \
        of_ ? (type *)((char *)of_ - offsetof(type, member)) : NULL; \
    })

struct ike_timer {
    int64_t at_ns;
    size_t pos; /* 1-based place in the heap; 0: not set */
};
struct ike_heap {
    struct ike_timer **v;
    size_t n, cap;
};
bool ike_heap_reserve(struct ike_heap *h, size_t members) SL_MUST_USE;
void ike_heap_clear(struct ike_heap *h);
/* at_ns INT64_MAX unsets. */
void ike_heap_set(struct ike_heap *h, struct ike_timer *t, int64_t at_ns);
struct ike_timer *ike_heap_first(const struct ike_heap *h); /* NULL: none */

#endif
