/*
 * A connection whose configuration changes while it has SAs. What differs only in lifetimes, timers or
 * the form of messages is in force from now on, and for an SA that is there from its next rekey on,
 * where it was told to the datapath; what was negotiated, or who may connect, ends the SAs in question,
 * and those that are to be kept up are begun anew.
 */
#include "sealane/config_diff.h"
#include "src/ike/core.h"

#include <string.h>

static const struct sl_conf_child *named(const struct sl_conf_connection *conf, const char *name)
{
    for (size_t i = 0; i < conf->child_n; i++)
        if (strcmp(conf->child[i].name, name) == 0)
            return &conf->child[i];
    return NULL;
}

/* NULL: the child stays. */
static const char *why_child_ends(const struct ike_child *c, const struct sl_conf_connection *old,
                                  const struct sl_conf_connection *fresh)
{
    const struct sl_conf_child *was = named(old, c->name), *is = named(fresh, c->name);
    if (!is)
        return "left";
    return was && sl_config_child_effect(was, is) != SL_CONFIG_LIVE ? "changed" : NULL;
}

static void end_children(struct ike_isa *sa, const struct sl_conf_connection *old,
                         const struct sl_conf_connection *fresh)
{
    struct ike_child *next;
    for (struct ike_child *c = sa->children; c; c = next) {
        next = c->next;
        const char *why = c->state == CHILD_GONE ? NULL : why_child_ends(c, old, fresh);
        if (!why)
            continue;
        ike_event(sa->ike, SL_IKE_EV_STORY, sa, c, SL_OK, "child %s is ended: its configuration %s",
                  c->name, why);
        if (c->state == CHILD_WANTED) {
            child_end(c, SL_CANCELLED, false);
            continue;
        }
        c->want_delete = true;
        c->end_rc = SL_IKE_DELETED;
    }
}

void conn_changed(struct ike_conn *conn, const struct sl_conf_connection *old,
                  const struct sl_conf_connection *fresh)
{
    const bool anew = sl_config_connection_effect(old, fresh) != SL_CONFIG_LIVE;
    for (struct ike_isa *sa = conn->sas; sa; sa = sa->conn_next) {
        if (sa->state == ISA_DEAD || sa->state == ISA_CLOSED)
            continue;
        if (anew)
            isa_close(sa, SL_IKE_DELETED, "its connection's configuration changed");
        else
            end_children(sa, old, fresh);
        isa_touch(sa); /* its timers follow the new intervals */
    }
    if (anew) { /* what failed before may work now */
        conn->failures = 0;
        conn->again_ns = 0;
    }
    conn_touch(conn);
}
