/* See action.h. */
#include "src/ike/action.h"

#include <stdlib.h>
#include <string.h>

enum { SPARE_DATA_MAX = 4096 };

void ike_ask_free(struct ike_ask *a)
{
    if (!a)
        return;
    sl_buf_clear(&a->store);
    free(a);
}

void ike_actions_init(struct ike_actions *q)
{
    *q = (struct ike_actions){ 0 };
    q->last = &q->first;
}

void ike_act_free(struct ike_act *act)
{
    if (!act)
        return;
    sl_buf_clear(&act->data);
    free(act->text);
    free(act->peer_id);
    if (act->child)
        sl_child_clear(act->child);
    free(act->child);
    ike_ask_free(act->ask);
    sl_ke_job_free(act->job);
    free(act);
}

static void free_list(struct ike_act *act)
{
    while (act) {
        struct ike_act *next = act->next;
        ike_act_free(act);
        act = next;
    }
}

void ike_actions_clear(struct ike_actions *q)
{
    free_list(q->first);
    free_list(q->spare);
    ike_act_free(q->lent);
    ike_actions_init(q);
}

struct ike_act *ike_act_new(struct ike_actions *q, enum sl_ike_action_type type)
{
    struct ike_act *act = type == SL_IKE_SEND ? q->spare : NULL;
    if (act) {
        q->spare = act->next;
        q->spares--;
        struct sl_buf data = act->data;
        data.len = 0;
        *act = (struct ike_act){ .data = data };
    } else {
        act = calloc(1, sizeof(*act));
        if (!act)
            return NULL;
    }
    act->a.type = type;
    return act;
}

void ike_act_push(struct ike_actions *q, struct ike_act *act)
{
    act->next = NULL;
    *q->last = act;
    q->last = &act->next;
}

void ike_act_return(struct ike_actions *q)
{
    struct ike_act *act = q->lent;
    if (!act)
        return;
    q->lent = NULL;
    if (act->a.type == SL_IKE_SEND && q->spares < IKE_SPARE_MAX &&
        act->data.cap <= SPARE_DATA_MAX) {
        act->next = q->spare;
        q->spare = act;
        q->spares++;
        return;
    }
    ike_act_free(act);
}

bool ike_act_pop(struct ike_actions *q, struct sl_ike_action *out)
{
    ike_act_return(q);
    struct ike_act *act = q->first;
    if (!act)
        return false;
    q->first = act->next;
    if (!q->first)
        q->last = &q->first;
    q->lent = act;
    struct sl_ike_action *a = &act->a;
    a->data = sl_buf_bytes(&act->data);
    a->text = act->text ? act->text : sl_rc_text(a->rc);
    a->connection = act->connection;
    a->child_name = act->child_name;
    a->key = act->key;
    a->peer_id = act->peer_id;
    a->child = act->child;
    a->ask = act->ask ? &act->ask->ask : NULL;
    a->job = sl_steal(&act->job);
    *out = *a;
    return true;
}
