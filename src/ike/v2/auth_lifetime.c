/*
 * The lifetime of an authentication (RFC 4478): a responder says for how long it lets the peer in, and
 * the initiator authenticates anew before that time is over, making the new IKE SA before it breaks
 * the old one.
 */
#include "src/ike/core.h"

#define LIFETIME_LEN   4
#define LIFETIME_MIN_S 10 /* a peer cannot have us begin anew more often */

static int64_t shorter_s(int64_t a, int64_t b)
{
    return a <= 0 ? b : b <= 0 || a < b ? a : b;
}

void lifetime_announce(struct ike_wr *c, const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    const int64_t s = shorter_s(sa->grant ? sa->grant->lifetime_s : 0, conf ? conf->reauth_s : 0);
    if (s <= 0 || s > UINT32_MAX)
        return;
    const uint8_t data[LIFETIME_LEN] = { (uint8_t)(s >> 24), (uint8_t)(s >> 16), (uint8_t)(s >> 8),
                                         (uint8_t)s };
    ike_put_notify(c, IKE_N_AUTH_LIFETIME, sl_bytes(data, sizeof(data)));
}

void lifetime_take(struct ike_isa *sa, const struct ike_payloads *list)
{
    struct ike_notify n;
    if (!sa->began || !ike_notify_find(list, IKE_N_AUTH_LIFETIME, &n) || n.data.len != LIFETIME_LEN)
        return;
    struct sl_rd r = sl_rd(n.data);
    int64_t s = sl_rd_u32(&r);
    if (s < LIFETIME_MIN_S)
        s = LIFETIME_MIN_S;
    const int64_t span = s * SL_NS_PER_S;
    /* with time left for the new one to be made */
    const int64_t at = sa->ike->now_ns + span - span / 20 - ike_jitter(sa->ike, span / 20);
    if (at < sa->reauth_ns)
        sa->reauth_ns = at;
    isa_touch(sa);
}

void lifetime_begin(struct ike_isa *sa)
{
    struct sl_ike *ike = sa->ike;
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (conf && conf->reauth_s > 0) {
        const int64_t span = conf->reauth_s * SL_NS_PER_S;
        if (sa->initiator) {
            const int64_t at = ike->now_ns + span - ike_jitter(ike, span / 10);
            if (at < sa->reauth_ns)
                sa->reauth_ns = at;
        } else {
            /* SPEC RFC4478-3 SHOULD: who does not authenticate in time is not served any longer */
            const int64_t end = ike->now_ns + span + span / 10 + 60 * SL_NS_PER_S;
            if (end < sa->expire_ns)
                sa->expire_ns = end;
        }
    }
    if (sa->grant && sa->grant->lifetime_s) {
        const int64_t end = ike->now_ns + sa->grant->lifetime_s * SL_NS_PER_S;
        if (end < sa->expire_ns)
            sa->expire_ns = end;
    }
}
