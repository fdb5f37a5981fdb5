/*
 * A packet's way through the datapath, outbound and inbound. Nothing here allocates, locks or
 * waits. RFC 4301 5, RFC 4303 3.3 and 3.4.
 */
#include "sealane/time.h"
#include "src/esp/esp.h"
#include "src/esp/frag.h"
#include "src/esp/view.h"

#include <string.h>

#define ICMP_PER_S   1000u
#define ICMP_BURST   200u
#define IPV4_MTU_MIN 68u

static enum sl_esp_do drop(struct sl_esp_pkt *p, enum sl_rc reason)
{
    p->reason = reason;
    return SL_ESP_DROP;
}

/* Has used come to a limit; 0: no limit. */
static bool at(uint64_t used, uint64_t limit)
{
    return limit && used >= limit;
}

static void tell_once(struct sl_esp *e, struct esp_child *c, enum sl_esp_event_type type)
{
    if (c->told & 1u << type)
        return;
    c->told |= 1u << type;
    esp_tell(e, c, type);
}

/* After a packet was counted: the limits of bytes and packets (RFC 4301 4.4.2.1). */
static bool limits(struct sl_esp *e, struct esp_child *c, const struct sl_esp_counters *n)
{
    const struct sl_child_limits *l = &c->limits;
    if (at(n->bytes, l->soft_bytes) || at(n->packets, l->soft_packets))
        tell_once(e, c, SL_ESP_EV_SOFT);
    if (!at(n->bytes, l->hard_bytes) && !at(n->packets, l->hard_packets))
        return false;
    tell_once(e, c, SL_ESP_EV_HARD);
    return true;
}

/* ---- outbound ---------------------------------------------------------------------------------- */
static const uint8_t *iv_random(struct sl_esp *e, size_t len)
{
    if (e->iv_left < len) {
        sl_rng_fill(e->config.rng, e->iv_pool, sizeof(e->iv_pool));
        e->iv_left = sizeof(e->iv_pool);
    }
    e->iv_left -= len;
    return e->iv_pool + e->iv_left;
}

/* Seals the inner packet p of an SA that may still send; p becomes the packet for the wire. */
static enum sl_esp_do seal(struct sl_esp *e, struct esp_out *o, struct sl_esp_pkt *p,
                           uint8_t family, uint8_t tos)
{
    struct esp_child *c = o->child;
    p->child_id = c->id;
    if (o->hard || o->seq >= o->seq_last) {
        o->n.exhausted++;
        tell_once(e, c, SL_ESP_EV_HARD);
        return drop(p, o->seq >= o->seq_last ? SL_ESP_SEQUENCE_END : SL_ESP_LIMIT);
    }
    assert(p->off >= SL_ESP_HEADROOM && p->cap - p->off - p->len >= SL_ESP_TAILROOM);
    uint64_t seq = ++o->seq; /* used up even if sealing fails: an IV is never used again */
    const uint8_t *random = o->codec.iv_is_counter ? NULL : iv_random(e, o->codec.iv_len);
    struct sl_bytes out;
    uint32_t inner_len = p->len;
    if (!esp_codec_seal(&o->codec, seq, random, family == 4 ? ESP_NH_IPV4 : ESP_NH_IPV6,
                        p->buf + p->off, p->len, &out))
        return drop(p, SL_CRYPTO);
    p->off = (uint32_t)(out.p - p->buf);
    p->len = (uint32_t)out.len;
    p->local = o->local;
    p->remote = o->remote;
    p->udp_encap = o->udp_encap;
    p->tos = tos; /* DSCP and ECN are copied (RFC 4301 5.1.2, RFC 6040 4.1 "normal mode") */
    o->n.packets++;
    o->n.bytes += inner_len;
    o->n.last_utc_s = e->utc_s;
    if (seq >= o->seq_soft)
        tell_once(e, c, SL_ESP_EV_SOFT);
    if (limits(e, c, &o->n))
        o->hard = true;
    return SL_ESP_WIRE;
}

static bool icmp_allowed(struct sl_esp *e)
{
    const int64_t ns_each = SL_NS_PER_S / ICMP_PER_S;
    int64_t passed = e->mono_ns - e->icmp_ns;
    if (e->icmp_ns == 0 || passed >= ns_each * (int64_t)ICMP_BURST) {
        e->icmp_tokens = ICMP_BURST;
        e->icmp_ns = e->mono_ns;
    } else if (passed >= ns_each) {
        e->icmp_tokens += (uint32_t)(passed / ns_each);
        e->icmp_ns += passed / ns_each * ns_each;
    }
    if (e->icmp_tokens > ICMP_BURST)
        e->icmp_tokens = ICMP_BURST;
    if (!e->icmp_tokens)
        return false;
    e->icmp_tokens--;
    return true;
}

/* The packet may not be fragmented: it becomes the error that tells its sender the size. */
static enum sl_esp_do too_big(struct sl_esp *e, struct esp_out *o, const struct esp_inner *in,
                              struct sl_esp_pkt *p, uint16_t mtu)
{
    o->n.too_big++;
    p->child_id = o->child->id;
    uint32_t room = in->family == 4 ? ESP_TOO_BIG_ROOM4 : ESP_TOO_BIG_ROOM6;
    assert(p->off >= room);
    size_t len = icmp_allowed(e) ? esp_too_big(in, p->buf + p->off, mtu) : 0;
    if (!len) {
        e->stats.too_big_muted++;
        return drop(p, SL_ESP_TOO_BIG);
    }
    e->stats.too_big_sent++;
    p->off -= room;
    p->len = (uint32_t)len;
    return SL_ESP_INSIDE;
}

enum sl_esp_do sl_esp_outbound(struct sl_esp *e, struct sl_esp_pkt *p)
{
    struct esp_inner in;
    p->reason = SL_OK;
    p->child_id = 0;
    if (esp_inner_read(&in, sl_bytes(p->buf + p->off, p->len)) != SL_OK) {
        e->stats.out_malformed++;
        return drop(p, SL_ESP_INNER);
    }
    p->len = in.total;
    const struct esp_shunt *shunt = esp_spd_shunt(e->spd, &in);
    if (shunt && shunt->bypass) {
        e->stats.out_bypass++;
        return SL_ESP_BYPASS;
    }
    if (shunt) {
        e->stats.out_shunt_drop++;
        return drop(p, SL_ESP_SHUNT);
    }
    struct esp_out *o = esp_spd_find(e->spd, &in);
    if (!o) {
        e->stats.out_no_policy++;
        return drop(p, SL_ESP_NO_POLICY); /* SPEC RFC4301-5.1 MUST: no policy, no packet */
    }
    uint16_t limit = in.family == 4 ? o->limit4 : o->limit6;
    if (in.total > limit) {
        if (in.df)
            return too_big(e, o, &in, p, limit);
        e->stats.fragmented++;
        p->sa = o;
        return SL_ESP_SPLIT;
    }
    if (esp_inner_clamp_mss(&in, p->buf + p->off, o->mss_mtu))
        e->stats.mss_clamped++;
    return seal(e, o, p, in.family, in.tos);
}

enum sl_esp_do sl_esp_split(struct sl_esp *e, const struct sl_esp_pkt *whole, uint32_t *at_byte,
                            struct sl_esp_pkt *frag)
{
    struct esp_out *o = &whole->sa->child->out;
    struct esp_inner in;
    struct sl_bytes pkt = sl_bytes(whole->buf + whole->off, whole->len);
    frag->child_id = o->child->id;
    if (esp_inner_read(&in, pkt) != SL_OK)
        return drop(frag, SL_ESP_INNER);
    assert(o->limit4 >= IPV4_MTU_MIN);
    frag->off = SL_ESP_HEADROOM;
    assert(frag->cap >= SL_ESP_HEADROOM + o->limit4 + SL_ESP_TAILROOM);
    frag->reason = SL_OK;
    frag->len = (uint32_t)esp_fragment(&in, pkt, o->limit4, at_byte, frag->buf + frag->off);
    if (!frag->len)
        return drop(frag, SL_OK);
    return seal(e, o, frag, in.family, in.tos);
}

/* ---- inbound ----------------------------------------------------------------------------------- */
/* An authentic packet: the peer lives, and may have got another address (RFC 7296 2.23). */
static void seen(struct sl_esp *e, struct esp_child *c, const struct sl_esp_pkt *p, bool newest)
{
    if (c->seen_utc_s != e->utc_s) {
        c->seen_utc_s = e->utc_s;
        esp_tell(e, c, SL_ESP_EV_SEEN);
    }
    if (!newest || !p->udp_encap || !c->out.udp_encap || c->moved_utc_s == e->utc_s ||
        sl_endpoint_eq(&p->remote, &c->out.remote))
        return;
    c->moved_utc_s = e->utc_s;
    c->moved_local = p->local;
    c->moved_remote = p->remote;
    esp_tell(e, c, SL_ESP_EV_MOVED);
}

static enum sl_esp_do refuse(struct esp_in *i, struct sl_esp_pkt *p, enum sl_rc reason)
{
    uint64_t *n = &i->n.malformed;
    switch ((int)reason) {
    case SL_ESP_REPLAY:
        n = &i->n.replayed;
        break;
    case SL_ESP_LATE:
        n = &i->n.late;
        break;
    case SL_ESP_INTEGRITY:
        n = &i->n.integrity;
        break;
    case SL_ESP_POLICY:
    case SL_ESP_ECN:
        n = &i->n.policy;
        break;
    case SL_ESP_LIMIT:
        n = &i->n.exhausted;
        break;
    default:
        break;
    }
    ++*n;
    return drop(p, reason);
}

/* What came out of the envelope: is it a packet that this SA may carry? */
static enum sl_esp_do inside(struct sl_esp *e, struct esp_in *i, struct sl_esp_pkt *p,
                             const struct esp_plain *plain)
{
    const struct esp_child *c = i->child;
    if (plain->next_header == ESP_NH_NONE) {
        e->stats.in_dummy++; /* SPEC RFC4303-2.6 MUST: dummy packets are discarded */
        return drop(p, SL_OK);
    }
    struct esp_inner in;
    if ((plain->next_header != ESP_NH_IPV4 && plain->next_header != ESP_NH_IPV6) ||
        esp_inner_read(&in, sl_bytes(plain->p, plain->len)) != SL_OK)
        return refuse(i, p, SL_ESP_INNER);
    if (in.family != (plain->next_header == ESP_NH_IPV4 ? 4 : 6))
        return refuse(i, p, SL_ESP_INNER);
    /* SPEC RFC4301-5.2 MUST: the packet is one that the SA was made for */
    if (!esp_sels_have(esp_child_remote(c), c->remote_n, &in, in.src, in.sport) ||
        !esp_sels_have(esp_child_local(c), c->local_n, &in, in.dst, in.dport))
        return refuse(i, p, SL_ESP_POLICY);
    if (!esp_inner_ecn(&in, plain->p, p->tos))
        return refuse(i, p, SL_ESP_ECN);
    if (esp_inner_clamp_mss(&in, plain->p, c->out.mss_mtu))
        e->stats.mss_clamped++;
    p->off = (uint32_t)(plain->p - p->buf);
    p->len = in.total; /* the rest is padding for traffic flow confidentiality (RFC 4303 2.7) */
    i->n.packets++;
    i->n.bytes += in.total;
    i->n.last_utc_s = e->utc_s;
    return SL_ESP_INSIDE;
}

enum sl_esp_do sl_esp_inbound(struct sl_esp *e, struct sl_esp_pkt *p)
{
    struct sl_bytes pkt = sl_bytes(p->buf + p->off, p->len);
    p->reason = SL_OK;
    p->child_id = 0;
    if (pkt.len < ESP_HDR_LEN) {
        e->stats.in_short++;
        return drop(p, SL_ESP_MALFORMED);
    }
    struct esp_in *i = esp_map_get(&e->by_spi, view_u32(pkt, 0));
    if (!i) {
        e->stats.in_no_sa++;
        return drop(p, SL_ESP_NO_SA);
    }
    p->child_id = i->child->id;
    if (i->hard)
        return refuse(i, p, SL_ESP_LIMIT);
    if (!esp_codec_fits(&i->codec, pkt.len))
        return refuse(i, p, SL_ESP_MALFORMED);

    /* SPEC RFC4303-3.4.3 MUST: the window is asked before, and moved after, the ICV is verified */
    uint64_t seq = esp_replay_seq(&i->replay, i->codec.esn, view_u32(pkt, 4));
    enum sl_rc rc = esp_replay_check(&i->replay, seq);
    if (rc != SL_OK)
        return refuse(i, p, rc);
    struct esp_plain plain;
    rc = esp_codec_open(&i->codec, seq, p->buf + p->off, p->len, &plain);
    if (rc == SL_ESP_INTEGRITY)
        return refuse(i, p, rc);
    bool newest = seq > i->replay.top;
    esp_replay_accept(&i->replay, seq);
    seen(e, i->child, p, newest);
    if (rc != SL_OK)
        return refuse(i, p, rc);
    enum sl_esp_do what = inside(e, i, p, &plain);
    if (limits(e, i->child, &i->n))
        i->hard = true;
    return what;
}
