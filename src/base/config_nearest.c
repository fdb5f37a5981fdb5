/* Suggestions by edit distance (optimal string alignment); see config_nearest.h. */
#include "src/base/config_nearest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 63

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t sl_edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX)
        return SIZE_MAX;
    size_t rows[3][WORD_MAX + 1] = { 0 };
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++)
        above[j] = j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t d = above[j - 1] + (a[i - 1] != b[j - 1]);
            d = min2(d, min2(above[j] + 1, row[j - 1] + 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = min2(d, before[j - 2] + 1);
            row[j] = d;
        }
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[nb];
}

void sl_nearest_try(struct sl_nearest *n, const char *candidate)
{
    size_t d = sl_edit_distance(n->word, candidate), len = strlen(n->word);
    /* A word that contains the other ("timeout_ms" for "timeout") is near however long its rest. */
    if (len >= 3 && strlen(candidate) >= 3 &&
        (strstr(candidate, n->word) || strstr(n->word, candidate)))
        d = min2(d, 2);
    if (d > 2 && d > len / 2)
        return;
    if (!n->best || d < n->distance) {
        n->best = candidate;
        n->distance = d;
    }
}
