/*
 * The queue of actions that the IKE core hands to its shell. Actions own what they point to; those
 * that must never be lost (a child's removal, an SA's end, a command's end) are allocated when the
 * thing they end is made, so that running out of memory later cannot swallow them.
 */
#ifndef SL_SRC_IKE_ACTION_H
#define SL_SRC_IKE_ACTION_H

#include "sealane/ike.h"

/* What an ASK_DECISION needs to stay readable until it is popped. */
struct ike_ask {
    struct sl_decision_ask ask; /* its views point into store */
    struct sl_buf store;
};
void ike_ask_free(struct ike_ask *a);

struct ike_act {
    struct ike_act *next;
    struct sl_ike_action a;
    struct sl_buf data; /* what a.data shows */
    char *text;         /* what a.text shows; NULL: the text of a.rc */
    char connection[SL_NAME_MAX], child_name[SL_NAME_MAX];
    char key[SL_NAME_MAX];
    struct sl_id *peer_id;
    struct sl_child *child;
    struct ike_ask *ask;
    struct sl_ke_job *job; /* until popped; then the shell's */
};

#define IKE_SPARE_MAX 64 /* finished SEND actions kept for the next packets */

struct ike_actions {
    struct ike_act *first, **last;
    struct ike_act *lent; /* popped; valid until the next call into the core */
    struct ike_act *spare;
    unsigned spares;
};
void ike_actions_init(struct ike_actions *q);
void ike_actions_clear(struct ike_actions *q);

struct ike_act *ike_act_new(struct ike_actions *q,
                            enum sl_ike_action_type type); /* NULL: no memory */
void ike_act_free(struct ike_act *act);
void ike_act_push(struct ike_actions *q, struct ike_act *act);
/* Gives back what was lent, then lends the next action. */
bool ike_act_pop(struct ike_actions *q, struct sl_ike_action *out);
void ike_act_return(struct ike_actions *q);

#endif
