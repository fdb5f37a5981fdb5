/*
 * A table from a number to a pointer, for SPIs and child ids: open addressing, looked up in constant
 * time, never more than half full. Growth replaces the table whole.
 */
#ifndef SL_ESP_MAP_H
#define SL_ESP_MAP_H

#include "sealane/bytes.h"

struct esp_map_slot {
    uint64_t key;
    void *value; /* NULL: free */
};
struct esp_map { /* {0} is empty and valid */
    struct esp_map_slot *slots;
    uint64_t mask; /* slots - 1 */
    size_t n;
};

static inline uint64_t esp_map_hash(uint64_t key)
{
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return key ^ key >> 32;
}

static inline void *esp_map_get(const struct esp_map *m, uint64_t key)
{
    if (!m->slots)
        return NULL;
    for (uint64_t i = esp_map_hash(key) & m->mask; m->slots[i].value; i = (i + 1) & m->mask)
        if (m->slots[i].key == key)
            return m->slots[i].value;
    return NULL;
}

void esp_map_clear(struct esp_map *m);
/* Room for one more; false on exhaustion. */
SL_MUST_USE bool esp_map_reserve(struct esp_map *m);
/* After esp_map_reserve; key is not in the table. */
void esp_map_put(struct esp_map *m, uint64_t key, void *value);
void esp_map_del(struct esp_map *m, uint64_t key);

#endif
