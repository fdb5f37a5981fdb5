/*
 * The OCSP responses of our own certificates, kept with ike for peers that ask for them (RFC 4806).
 * The decider's sources fetch and refresh them (sealane/decision.h); here they are sent to ike when
 * they come, change or run out.
 */
#include "src/cmd/sealaned/identity.h"

#include "sealane/crypto.h"

#include <stdio.h>
#include <string.h>

/* The trust section of a connection that hands this identity's responses over; NULL: none does. */
static const char *trust_of(const struct identity *id, const struct own *own)
{
    const struct sl_config *c = id->p->config;
    for (size_t i = 0; i < c->connection_n; i++) {
        const struct sl_conf_connection *conn = &c->connection[i];
        if (conn->auth == SL_METHOD_CERT && (conn->ocsp & SL_IKE_OCSP_REPLY) &&
            !strcmp(conn->identity, own->conf->name))
            return conn->trust;
    }
    return NULL;
}

void identity_staple_drop(struct own *own)
{
    sl_own_free(own->staples);
    own->staples = NULL;
    own->revoked = false;
}

void identity_staple_renew(struct identity *id, struct own *own)
{
    struct sl_err err = { 0 };
    const char *trust = trust_of(id, own);
    identity_staple_drop(own);
    if (trust && sl_own_new(&own->staples, id->d, trust, &own->chain, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "identity %s: OCSP responses for IKE", own->conf->name);
}

static bool digest_of(uint8_t out[32], const struct msg_staples *m)
{
    SL_AUTO_BUF all = { 0 };
    for (size_t i = 0; i < m->staple_n; i++)
        if (!sl_buf_put(&all, sl_bytes(&m->staple[i].depth, 1)) ||
            !sl_buf_put(&all, m->staple[i].response))
            return false;
    sl_sha2(256, sl_buf_bytes(&all), out);
    return true;
}

static void tell_revoked(struct own *own, const char *revoked)
{
    if (revoked && !own->revoked)
        sl_error("identity %s: its OCSP responder says that certificate %s is revoked",
                 own->conf->name, revoked);
    own->revoked = revoked != NULL;
}

void identity_staple_send(struct identity *id, struct own *own, bool all)
{
    static struct msg_staples m; /* large; loop thread only */
    static struct sl_own_status status;
    struct chan *ike = id->p->link[PROC_IKE];
    struct sl_err err = { 0 };
    uint8_t digest[32];
    if (!own->staples || !ike || !chan_is_linked(ike) ||
        (own->state != OWN_VALID && own->state != OWN_EXPIRED))
        return;
    sl_own_look(own->staples, identity_now(), &status);
    tell_revoked(own, status.revoked);
    memset(&m, 0, sizeof(m));
    snprintf(m.identity, sizeof(m.identity), "%s", own->conf->name);
    memcpy(m.staple, status.staple, sizeof(m.staple));
    m.staple_n = status.n;
    if (!digest_of(digest, &m) || (!all && !memcmp(digest, own->staples_sent, sizeof(digest))))
        return;
    if (msg_send(ike, MSG_STAPLES, &m, &err) != SL_OK) {
        sl_log_err(SL_LOG_WARN, &err, "OCSP responses of %s for ike", own->conf->name);
        return; /* a second later it is tried again */
    }
    memcpy(own->staples_sent, digest, sizeof(digest));
    sl_debug("identity %s: %zu OCSP responses are at hand for peers that ask in IKE",
             own->conf->name, m.staple_n);
}

void identity_staple_tick(struct identity *id)
{
    for (size_t i = 0; i < id->p->config->identity_n; i++)
        identity_staple_send(id, &id->own[i], false);
}
