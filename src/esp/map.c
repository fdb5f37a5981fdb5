/* A table from a number to a pointer; see map.h. */
#include "src/esp/map.h"

#include <assert.h>
#include <stdlib.h>

#define SLOTS_MIN 16u

void esp_map_clear(struct esp_map *m)
{
    free(m->slots);
    *m = (struct esp_map){ 0 };
}

void esp_map_put(struct esp_map *m, uint64_t key, void *value)
{
    assert(m->slots && m->n < m->mask);
    uint64_t i = esp_map_hash(key) & m->mask;
    while (m->slots[i].value)
        i = (i + 1) & m->mask;
    m->slots[i] = (struct esp_map_slot){ .key = key, .value = value };
    m->n++;
}

bool esp_map_reserve(struct esp_map *m)
{
    size_t slots = m->slots ? (size_t)m->mask + 1 : 0;
    if ((m->n + 1) * 2 <= slots)
        return true;
    size_t more = slots ? slots * 2 : SLOTS_MIN;
    struct esp_map grown = { .slots = calloc(more, sizeof(*grown.slots)), .mask = more - 1 };
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < slots; i++)
        if (m->slots[i].value)
            esp_map_put(&grown, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = grown;
    return true;
}

void esp_map_del(struct esp_map *m, uint64_t key)
{
    if (!m->slots)
        return;
    uint64_t i = esp_map_hash(key) & m->mask;
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & m->mask;
    if (!m->slots[i].value)
        return;
    /* close the gap: what was pushed past it by a collision moves back */
    for (uint64_t j = (i + 1) & m->mask; m->slots[j].value; j = (j + 1) & m->mask) {
        uint64_t home = esp_map_hash(m->slots[j].key) & m->mask;
        if (((j - home) & m->mask) >= ((j - i) & m->mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (struct esp_map_slot){ 0 };
    m->n--;
}
