/* See left.h. */
#include "sim/left.h"

#include "src/ike/core.h"

const char *sim_left_over(const struct sim_gw *gw)
{
    struct sl_ike_stats stats;
    sl_ike_stats(gw->ike, &stats);
    size_t sas = 0, children = 0;
    for (const struct ike_isa *sa = gw->ike->sas; sa; sa = sa->next) {
        sas++;
        if (sa->state != ISA_UP || sa->half_open || sa->half_open_ns != INT64_MAX)
            return "an IKE SA that is not up";
        if (sa->out || sa->in || sa->win.tx_waiting || sa->win.rx_busy)
            return "an exchange";
        if (sa->want_rekey || sa->want_delete || sa->want_liveness || sa->want_reauth)
            return "a wish";
        for (const struct ike_child *c = sa->children; c; c = c->next) {
            children++;
            if (c->state != CHILD_UP || c->want_delete || c->want_rekey || c->gone_ns != INT64_MAX)
                return "a child that is not up";
            if (!c->installed || !c->outbound)
                return "a child that does not send";
        }
    }
    if (stats.half_open)
        return "a half-open SA";
    if (stats.ike_sas != sas || stats.child_sas != children)
        return "a count that is not that of the lists";
    for (const struct ike_conn *c = gw->ike->conns; c; c = c->next)
        if (c->cmds)
            return c->cmds->kind == CMD_UP     ? "a command to bring up"
                   : c->cmds->kind == CMD_DOWN ? "a command to take down"
                   : c->cmds->ike_sa           ? "a command to rekey the IKE SA"
                                               : "a command to rekey children";
    return NULL;
}
