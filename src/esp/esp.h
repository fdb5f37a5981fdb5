/* The inside of struct sl_esp, shared by control.c (what changes it) and packet.c (what uses it). */
#ifndef SL_ESP_ESP_H
#define SL_ESP_ESP_H

#include "src/esp/map.h"
#include "src/esp/sa.h"
#include "src/esp/spd.h"

#define ESP_IV_POOL_LEN 1024u

struct sl_esp {
    struct sl_esp_config config;
    int64_t mono_ns, utc_s;
    struct esp_map by_spi; /* struct esp_in */
    struct esp_spd *spd;   /* in force */
    struct sl_esp_stats stats;
    /* random bytes for CBC IVs, drawn many at a time */
    uint8_t iv_pool[ESP_IV_POOL_LEN];
    size_t iv_left;
    /* ICMP errors: a token bucket (RFC 1812 4.3.2.8, RFC 4443 2.4 f) */
    int64_t icmp_ns;
    uint32_t icmp_tokens;

    struct esp_child_list events; /* children with something to tell */

    struct esp_map by_id;                    /* struct esp_child */
    struct esp_child_list children, changes; /* changes: since the last commit */
    struct esp_shunt *shunts; /* to be in force with the next commit; NULL: no change */
    size_t shunt_n;
    uint64_t order;
};

/* Queues an event of the child; type once until it is fetched. */
void esp_tell(struct sl_esp *e, struct esp_child *c, enum sl_esp_event_type type);

#endif
