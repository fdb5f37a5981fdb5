/* The nearest of some valid words to one that is not, for "did you mean". */
#ifndef SRC_BASE_CONFIG_NEAREST_H
#define SRC_BASE_CONFIG_NEAREST_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) from a to b; words over 63 bytes count far. */
size_t sl_edit_distance(const char *a, const char *b);
/* Keeps the best of several words; start with {word}. */
struct sl_nearest {
    const char *word;
    const char *best; /* NULL: none is near */
    size_t distance;
};
void sl_nearest_try(struct sl_nearest *n, const char *candidate);

#endif
