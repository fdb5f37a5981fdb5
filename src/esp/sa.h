/*
 * The security associations of the datapath: a child with its inbound and its outbound SA. Each
 * direction lies on cache lines of its own and holds all that a packet of it changes, so that the
 * two may belong to different threads.
 */
#ifndef SL_ESP_SA_H
#define SL_ESP_SA_H

#include "sealane/esp.h"
#include "src/esp/codec.h"
#include "src/esp/inner.h"
#include "src/esp/replay.h"

#include <stdalign.h>
#include <sys/queue.h>

#define ESP_CACHE_LINE 64

struct esp_child;
struct esp_pair; /* spd.c */

struct esp_in {
    alignas(ESP_CACHE_LINE) struct esp_codec codec;
    struct esp_replay replay;
    struct sl_esp_counters n;
    bool hard; /* a limit was reached: carries nothing more */
    struct esp_child *child;
};

struct esp_out {
    alignas(ESP_CACHE_LINE) struct esp_codec codec;
    uint64_t seq; /* last used; 0: none */
    uint64_t seq_soft, seq_last;
    struct sl_esp_counters n;
    bool hard;
    bool udp_encap;
    uint16_t outer_mtu;
    uint16_t limit4, limit6; /* larger inner packets are fragmented or refused */
    uint16_t mss_mtu;        /* the packet size a TCP connection is told to fit */
    struct sl_endpoint local, remote;
    struct esp_child *child;
};

struct esp_child {
    struct esp_in in;
    struct esp_out out;
    uint64_t id, ike_sa;
    char connection[SL_NAME_MAX], name[SL_NAME_MAX];
    struct sl_addr vip[2]; /* as in struct sl_child */
    struct sl_suite suite;
    struct sl_child_limits limits;
    struct sl_ts *ts;    /* of our side, then of the peer's */
    struct esp_sel *sel; /* the same, ready for matching */
    size_t local_n, remote_n;
    struct esp_pair *pairs; /* of selectors, in the policy; NULL: it has never been in */
    size_t pair_n;          /* in the policy now */
    bool wanted;            /* may send */
    bool active;            /* may, as of the policy in force */
    bool gone;              /* deleted; freed with the policy that still names it */
    uint64_t order;         /* of wanted: of equal selectors the highest is used */
    unsigned pending;       /* events, 1 << type */
    unsigned told;          /* SOFT and HARD, reported once */
    int64_t seen_utc_s, moved_utc_s;
    struct sl_endpoint moved_local, moved_remote;
    TAILQ_ENTRY(esp_child) all, events, changes;
    bool queued;  /* in events */
    bool changed; /* in changes: the policy in force does not show it as it is */
};
TAILQ_HEAD(esp_child_list, esp_child);

static inline const struct esp_sel *esp_child_local(const struct esp_child *c)
{
    return c->sel;
}
static inline const struct esp_sel *esp_child_remote(const struct esp_child *c)
{
    return c->sel + c->local_n;
}

/* Takes nothing from c but copies; the keys stay with the caller. */
SL_MUST_USE enum sl_rc esp_child_new(struct esp_child **out, const struct sl_child *c,
                                     const struct sl_esp_config *config, struct sl_err *err);
void esp_child_free(struct esp_child *c);
/* Works out limit4, limit6 and mss_mtu anew. */
void esp_out_mtu(struct esp_out *o, const struct sl_suite *suite, uint16_t outer_mtu,
                 uint16_t inner_mtu);

#endif
