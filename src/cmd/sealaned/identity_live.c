/*
 * The accepted peers, each for as long as its IKE SA lives: what was asked about it is kept, so that it
 * can be asked again when a CRL, a directory or the policy has changed.
 */
#include "src/cmd/sealaned/identity.h"

#include <stdlib.h>

struct live *identity_live_find(struct identity *id, uint64_t ike_sa)
{
    return IKE_OF(ike_map_get(&id->live_by_ike_sa, ike_sa), struct live, by_ike_sa);
}

void identity_live_remove(struct identity *id, struct live *l)
{
    if (!l)
        return;
    if (id->sweep_at == l)
        id->sweep_at = l->next;
    if (l->prev)
        l->prev->next = l->next;
    else
        id->live = l->next;
    if (l->next)
        l->next->prev = l->prev;
    id->live_n--;
    ike_map_del(&id->live_by_ike_sa, &l->by_ike_sa);
    sl_buf_clear(&l->ask);
    free(l);
}

void identity_live_clear(struct identity *id)
{
    for (struct live *l = id->live, *next; l; l = next) {
        next = l->next;
        ike_map_del(&id->live_by_ike_sa, &l->by_ike_sa);
        sl_buf_clear(&l->ask);
        free(l);
    }
    id->live = id->sweep_at = NULL;
    id->live_n = 0;
}

void identity_live_add(struct identity *id, uint64_t ike_sa, struct sl_buf *ask,
                       int64_t reask_utc_s)
{
    struct live *l = identity_live_find(id, ike_sa);
    if (!l) {
        l = calloc(1, sizeof(*l));
        if (!l) {
            sl_error("IKE SA %llu: no memory to ask about its peer again",
                     (unsigned long long)ike_sa);
            return;
        }
        l->ike_sa = ike_sa;
        l->next = id->live;
        if (l->next)
            l->next->prev = l;
        id->live = l;
        id->live_n++;
        ike_map_put(&id->live_by_ike_sa, &l->by_ike_sa, ike_sa);
    }
    sl_buf_clear(&l->ask);
    l->ask = *ask;
    *ask = (struct sl_buf){ 0 };
    l->reask_utc_s = reask_utc_s;
}
