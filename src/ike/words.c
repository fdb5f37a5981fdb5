/* See words.h. */
#include "src/ike/words.h"

#include <stdio.h>

void ike_words_add(struct ike_words *w, const char *between, const char *item)
{
    const size_t room = sizeof(w->text) - w->len;
    const int n = snprintf(w->text + w->len, room, "%s%s", w->len ? between : "", item);
    if (n < 0 || (size_t)n >= room) {
        w->text[w->len] = 0;
        return;
    }
    w->len += (size_t)n;
}
