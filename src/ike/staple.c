/*
 * OCSP in IKE (RFC 4806): which responses of our own certificates are at hand, whether the peer asked
 * for them, and which it gets. Identity fetches them ahead of time and says how long they are valid;
 * nothing here waits for one.
 */
#include "src/ike/core.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is at hand ---------------------------------------------------------------------------- */

void staples_clear(struct ike_cred *cred)
{
    for (size_t i = 0; i < cred->staple_n; i++)
        sl_buf_clear(&cred->staple[i].response);
    cred->staple_n = 0;
}

enum sl_rc sl_ike_staples(struct sl_ike *ike, int64_t now_ns, const char *identity,
                          const struct sl_staple *v, size_t n, struct sl_err *err)
{
    struct ike_cred *cred = cred_find(ike, identity);
    struct ike_staple made[SL_CHAIN_MAX] = { 0 };
    if (!cred)
        return SL_FAIL(err, SL_NOT_FOUND, "identity %s: OCSP responses for a certificate not known",
                       identity);
    if (n > SL_CHAIN_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "identity %s: %zu OCSP responses; %d are the most",
                       identity, n, SL_CHAIN_MAX);
    for (size_t i = 0; i < n; i++) {
        made[i].depth = v[i].depth;
        made[i].until_ns = now_ns + v[i].valid_s * SL_NS_PER_S;
        memcpy(made[i].responder, v[i].responder, sizeof(made[i].responder));
        if (sl_buf_put(&made[i].response, v[i].response))
            continue;
        for (size_t k = 0; k <= i; k++)
            sl_buf_clear(&made[k].response);
        return SL_FAIL_MEM(err);
    }
    staples_clear(cred);
    memcpy(cred->staple, made, sizeof(made));
    cred->staple_n = n;
    cred->told_none = cred->told_none && n == 0;
    return SL_OK;
}

/* ---- what is asked for -------------------------------------------------------------------------- */

enum sl_rc certreqs_take(struct ike_setup *s, const struct ike_payloads *list, struct sl_err *err)
{
    s->peer_certreq = false;
    s->peer_ocsp = false;
    s->peer_responders.len = 0;
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, IKE_P_CERTREQ, p));) {
        struct sl_rd r = sl_rd(p->body);
        const uint8_t encoding = sl_rd_u8(&r);
        const struct sl_bytes hashes = sl_rd_rest(&r);
        if (encoding != IKE_CERT_OCSP) {
            s->peer_certreq = true;
            continue;
        }
        s->peer_ocsp = true;
        /* A list that is cut, or longer than anybody needs, only loses its say in the choice. */
        if (hashes.len % IKE_CERTREQ_HASH_LEN == 0 &&
            s->peer_responders.len + hashes.len <= IKE_RESPONDERS_MAX * IKE_CERTREQ_HASH_LEN &&
            !sl_buf_put(&s->peer_responders, hashes))
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

bool staple_wanted(const struct sl_ike *ike, const struct sl_conf_connection *conf)
{
    const struct sl_conf_trust *trust = sl_config_trust(ike->config, conf->trust);
    return conf->auth == SL_METHOD_CERT && (conf->ocsp & SL_IKE_OCSP_REQUEST) && trust &&
           trust->ocsp && trust->revocation != SL_REVOCATION_OFF;
}

/*
 * SPEC RFC4806-4.1 MUST: the request is a CERTREQ of its own. It names no responder: one may be new to
 * us, and whether it may speak for the certificate is checked when its response comes.
 */
void put_ocsp_request(struct ike_wr *c)
{
    ike_put_certreq(c, IKE_CERT_OCSP, sl_bytes(NULL, 0));
}

/* ---- what is sent ------------------------------------------------------------------------------- */

static bool named(const struct ike_setup *s, const struct ike_staple *staple)
{
    for (size_t at = 0; at + IKE_CERTREQ_HASH_LEN <= s->peer_responders.len;
         at += IKE_CERTREQ_HASH_LEN)
        if (memcmp(s->peer_responders.p + at, staple->responder, IKE_CERTREQ_HASH_LEN) == 0)
            return true;
    return false;
}

/* The one for a certificate of our chain; NULL: none that is fresh. */
static const struct ike_staple *choose(const struct ike_xchg *x, const struct ike_cred *cred,
                                       size_t depth)
{
    const struct ike_staple *best = NULL;
    for (size_t i = 0; i < cred->staple_n; i++) {
        const struct ike_staple *s = &cred->staple[i];
        if (s->depth != depth || s->until_ns <= x->sa->ike->now_ns)
            continue;
        if (named(x->setup, s))
            return s;
        if (!best)
            best = s;
    }
    return best;
}

/* Whether a response still fits a message that also holds AUTH, SA and TS (RFC 7383 2.5). */
static bool fits(const struct ike_isa *sa, const struct ike_wr *c, size_t len)
{
    const size_t rest = 4096;
    const size_t most = sa->fragment
                            ? IKE_FRAGMENTS_MAX * (size_t)(sa->conn->conf->fragment_size - 128)
                            : IKE_MESSAGE_MAX;
    return sl_wr_len(&c->w) + len + rest <= most;
}

void put_staples(struct ike_wr *c, struct ike_xchg *x)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    struct ike_cred *cred = cred_find(x->sa->ike, conf->identity);
    size_t bytes = 0, sent = 0;
    if (conf->auth != SL_METHOD_CERT || !cred || !x->setup->peer_ocsp ||
        !(conf->ocsp & SL_IKE_OCSP_REPLY))
        return;
    for (size_t depth = 0; depth < cred->n; depth++) {
        const struct ike_staple *s = choose(x, cred, depth);
        if (!s || bytes + s->response.len > IKE_STAPLES_BYTES || !fits(x->sa, c, s->response.len))
            continue;
        bytes += s->response.len;
        sent++;
        ike_put_cert(c, IKE_CERT_OCSP, sl_buf_bytes(&s->response));
    }
    if (sent) {
        ike_event(x->sa->ike, SL_IKE_EV_STORY, x->sa, NULL, SL_OK,
                  "%zu OCSP responses (%zu bytes) of our certificates sent (RFC 4806)", sent,
                  bytes);
    } else if (!cred->told_none) {
        cred->told_none = true;
        ike_event(x->sa->ike, SL_IKE_EV_STORY, x->sa, NULL, SL_UNAVAILABLE,
                  "peer asks for the OCSP response of our certificate (RFC 4806); identity %s has "
                  "none at hand, so none is sent",
                  cred->identity);
    }
}
