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
