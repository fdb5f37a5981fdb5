/*
 * Childless initiation (RFC 6023): an IKE SA that is made without its first child, which then comes
 * by CREATE_CHILD_SA like all others, with a key exchange of its own.
 *
 *                    <--  IKE_SA_INIT: ..., N(CHILDLESS_IKEV2_SUPPORTED)
 *   IKE_AUTH without SA, TSi, TSr  -->
 *                    <--  IDr, [CERT]*, AUTH
 */
#include "src/ike/core.h"

#include <stdio.h>

/* The peer is not known yet: as long as one connection that it may turn out to be allows it. */
void childless_announce(struct ike_wr *c, const struct ike_isa *sa)
{
    struct ike_conn *conn;
    for (size_t n = 0; (conn = conn_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, n)); n++)
        if (conn->conf->childless != SL_CHILDLESS_NEVER) {
            ike_put_notify(c, IKE_N_CHILDLESS_IKEV2_SUPPORTED, sl_bytes(NULL, 0));
            return;
        }
}

enum sl_rc childless_choose(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    struct ike_setup *s = x->setup;
    if (conf->childless == SL_CHILDLESS_FORCE && !s->peer_childless)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "connection %s: childless = force, but the peer did not answer with "
                       "CHILDLESS_IKEV2_SUPPORTED (RFC 6023 3)",
                       conf->name);
    s->childless = s->peer_childless && (conf->childless == SL_CHILDLESS_PREFER ||
                                         conf->childless == SL_CHILDLESS_FORCE);
    return SL_OK;
}

void childless_up(struct ike_xchg *x, struct ike_child *c)
{
    struct ike_isa *sa = x->sa;
    struct sl_err err = { 0 };
    char name[SL_NAME_MAX];
    const enum sl_rc rc = cfg_reply_take(x, &err);
    if (rc != SL_OK) {
        snprintf(name, sizeof(name), "%s", c->name);
        child_end(c, rc, false);
        child_failed(sa, name, rc, sl_err_text(&err));
        return;
    }
    c->state = CHILD_WANTED;
    isa_touch(sa);
}

enum sl_rc childless_check(const struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    if (ike_payloads_find(&x->list, IKE_P_SA) || conf->childless != SL_CHILDLESS_NEVER)
        return SL_OK;
    return SL_FAIL(err, SL_IKE_MALFORMED,
                   "IKE_AUTH request without SA; connection %s has childless = never", conf->name);
}

enum sl_rc childless_forced(const struct ike_isa *sa, struct sl_err *err)
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (conf->childless != SL_CHILDLESS_FORCE)
        return SL_OK;
    return SL_FAIL(err, SL_IKE_LIMIT,
                   "connection %s makes no child in IKE_AUTH (childless = force, RFC 6023)",
                   conf->name);
}
