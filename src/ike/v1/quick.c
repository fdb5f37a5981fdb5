/*
 * Quick mode (RFC 2409 5.5)
 *
 *   1  {HASH(1), SA, Ni, [KE], IDci, IDcr}   -->
 *   2                                        <--  {HASH(2), SA, Nr, [KE], IDci, IDcr, [N]}
 *   3  {HASH(3)}                             -->
 *
 * One exchange makes one pair of ESP SAs for one pair of selectors. A rekey is the same exchange again
 * for the same selectors; nothing in it says so.
 *
 * No packet is lost over a rekey: the responder reads on the new SA before it answers, the initiator
 * sends on it as soon as it is answered, and the responder once message 3 or a packet has come.
 */
#include "src/ike/v1/v1.h"

#include <stdio.h>
#include <string.h>

/* ---- both sides -------------------------------------------------------------------------------- */

static struct sl_bytes body_of(const struct ike_xchg *x, uint8_t type)
{
    const struct ike_payload *p = ike_payloads_find(&x->list, type);
    return p ? p->body : sl_bytes(NULL, 0);
}

bool v1_quick_of(const struct ike_xchg *x, uint64_t child)
{
    return x->v1->state != V1_DONE && x->old_child == child;
}

enum sl_rc v1_child_keys(struct ike_child_keys *out, const struct ike_child *c, bool we_began,
                         struct sl_bytes ni, struct sl_bytes nr, const struct sl_secret *shared,
                         struct sl_err *err)
{
    const struct ike_isa *sa = c->sa;
    return v1_child_keys_derive(out, sa->prf, &sa->v1->keys.d, &c->suite, shared,
                                we_began ? c->spi_in : c->spi_out,
                                we_began ? c->spi_out : c->spi_in, ni, nr, err);
}

/* HASH comes first, and covers what follows it. Nothing is believed before. */
static bool hash_holds(const struct ike_xchg *x, const uint8_t *hash)
{
    return x->list.n && x->list.p[0].type == V1_P_HASH &&
           sl_ct_equal(x->list.p[0].body, sl_bytes(hash, sl_prf_len(x->sa->prf)));
}

static enum sl_rc forged(struct ike_xchg *x)
{
    x->sa->ike->stats.integrity++;
    return IKE_IGNORED;
}

static enum sl_rc take_spi(uint32_t *out, struct sl_bytes spi, struct sl_err *err)
{
    struct sl_rd r = sl_rd(spi);
    *out = sl_rd_u32(&r);
    if (!sl_rd_done(&r) || *out < 256)
        return SL_FAIL(err, SL_IKE_MALFORMED, "ESP proposal has no SPI above 255 (RFC 4303 2.1)");
    return SL_OK;
}

/* The address of one end as a selector: what quick mode without IDs is about. */
static struct sl_ts host_ts(const struct sl_addr *a)
{
    return (struct sl_ts){ .first = *a, .last = *a, .end_port = 65535 };
}

/* IDci and IDcr; the initiator's comes first. */
static enum sl_rc take_proxies(struct ike_xchg *x, struct sl_ts *i, struct sl_ts *r,
                               struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    const struct ike_payload *first = ike_payloads_next(&x->list, V1_P_ID, NULL);
    if (!first) {
        *i = host_ts(x->ours ? &sa->local.addr : &sa->remote.addr);
        *r = host_ts(x->ours ? &sa->remote.addr : &sa->local.addr);
        return SL_OK;
    }
    const struct ike_payload *second = ike_payloads_next(&x->list, V1_P_ID, first);
    struct v1_id a, b;
    if (!second || !v1_id_read(&a, first->body) || !v1_id_read(&b, second->body) ||
        !v1_id_to_ts(i, &a) || !v1_id_to_ts(r, &b))
        return SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE,
                       "IDci and IDcr are not two selectors (RFC 2409 5.5)");
    return SL_OK;
}

static enum sl_rc take_nonce(struct ike_xchg *x, struct sl_buf *to, struct sl_err *err)
{
    return v1_take_nonce(x, to, err);
}

static uint16_t encap_of(const struct ike_isa *sa)
{
    if (!(sa->nat_local || sa->nat_remote))
        return V1_ENCAP_TUNNEL;
    return sa->v1->natd == V1_P_NAT_D ? V1_ENCAP_UDP_TUNNEL : V1_ENCAP_UDP_TUNNEL_DRAFT;
}

/* Seconds of a child as offered: its soft lifetime with room for the rekey (see child.c). */
static int64_t life_of(const struct sl_conf_child *conf)
{
    return conf->rekey_s > 0 ? conf->rekey_s + conf->rekey_s / 10 + 30 : 28800;
}

/* The smaller lifetime counts (RFC 2407 4.5.4). */
static void lifetimes(struct ike_child *c, uint64_t life_s, bool we_began)
{
    struct sl_ike *ike = c->sa->ike;
    if (!life_s)
        life_s = 28800; /* RFC 2407 4.5: meant when none is named */
    if (life_s < INT64_MAX / SL_NS_PER_S / 2) {
        const int64_t span = (int64_t)life_s * SL_NS_PER_S;
        const int64_t soft = ike->now_ns + span - span / 10 - ike_jitter(ike, span / 20);
        if (ike->now_ns + span < c->expire_ns)
            c->expire_ns = ike->now_ns + span;
        if (soft < c->rekey_ns)
            c->rekey_ns = soft;
    }
    if (!we_began && c->rekey_ns != INT64_MAX && c->expire_ns > c->rekey_ns)
        c->rekey_ns += (c->expire_ns - c->rekey_ns) / 2; /* the initiator rekeys first */
}

static enum sl_rc send_hashed(struct ike_xchg *x, struct ike_wr *c, struct sl_buf *rest,
                              bool second, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    uint8_t hash[SL_PRF_MAX];
    SL_AUTO_BUF whole = { 0 };
    if (!ike_wr_end(c))
        return SL_FAIL_MEM(err);
    if (second)
        SL_TRY(v1_hash_2(hash, sa->prf, &sa->v1->keys.a, x->v1->mid, sl_buf_bytes(&x->ni),
                         sl_buf_bytes(rest), err));
    else
        SL_TRY(v1_hash_1(hash, sa->prf, &sa->v1->keys.a, x->v1->mid, sl_buf_bytes(rest), err));
    struct ike_wr w = ike_wr_chain(&whole);
    v1_put(&w, V1_P_HASH, sl_bytes(hash, sl_prf_len(sa->prf)));
    if (!ike_wr_end(&w) || whole.len < 4)
        return SL_FAIL_MEM(err);
    whole.p[0] = c->first;
    sl_wr_put(&w.w, sl_buf_bytes(rest));
    return v1_send(x, V1_QUICK, &w, &whole, true, true, err);
}

/* Does o carry the same traffic, for the same configured child? An unconfirmed one does not yet. */
static bool same_traffic(const struct ike_child *o, const struct ike_child *c)
{
    return o != c && o->state == CHILD_UP && o->installed && (o->ours || o->outbound) &&
           strcmp(o->name, c->name) == 0 && o->local.n == c->local.n &&
           o->remote.n == c->remote.n &&
           ike_ts_within(o->local.v, o->local.n, c->local.v, c->local.n) &&
           ike_ts_within(c->local.v, c->local.n, o->local.v, o->local.n) &&
           ike_ts_within(o->remote.v, o->remote.n, c->remote.v, c->remote.n) &&
           ike_ts_within(c->remote.v, c->remote.n, o->remote.v, o->remote.n);
}

static struct ike_child *predecessor(const struct ike_child *c)
{
    struct ike_child *o = c->sa->children;
    while (o && !same_traffic(o, c))
        o = o->next;
    return o;
}

static uint32_t larger_spi(const struct ike_child *c)
{
    return c->spi_in > c->spi_out ? c->spi_in : c->spi_out;
}

/*
 * The child is up on both sides: those that it stands in for are replaced. The peers of a collision
 * come to the same end, whatever order they saw: of two successors of one child, made by both sides,
 * the one whose larger SPI is smaller goes, deleted by the side that began it.
 */
static void succeed(struct ike_child *c)
{
    struct ike_child *rival = NULL;
    for (struct ike_child *o = c->sa->children; o; o = o->next) {
        if (!same_traffic(o, c))
            continue;
        if (o->ours != c->ours && c->replaces && c->replaces == o->replaces)
            rival = o;
        else
            child_replaced(o, c->id, c->ours);
    }
    if (rival && larger_spi(rival) > larger_spi(c))
        child_replaced(c, rival->id, c->ours);
    else if (rival)
        child_replaced(rival, c->id, rival->ours);
}

/* ---- initiator --------------------------------------------------------------------------------- */

static struct ike_child *making(struct ike_xchg *x)
{
    return x->kind == XCHG_REKEY_CHILD ? x->child : child_find(x->sa, x->old_child);
}

static enum sl_rc start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = child_find(sa, x->old_child);
    const struct sl_conf_child *conf = c ? child_conf(c) : NULL;
    if (!conf)
        return SL_FAIL(err, SL_CONFIG_REFERENCE, "child left the configuration");
    SL_TRY(child_offer(x, c, conf, err));
    if (x->kind == XCHG_REKEY_CHILD)
        c->want_rekey = false;
    else
        c->state = CHILD_ASKED;
    if (x->offer_i.n != 1 || x->offer_r.n != 1 || !v1_ts_fits(x->offer_i.v) ||
        !v1_ts_fits(x->offer_r.v)) {
        char a[160], b[160];
        return SL_FAIL(
            err, SL_IKE_TS_UNACCEPTABLE,
            "child %s: %s === %s; IKEv1 carries one selector of each side, with all ports "
            "or one",
            c->name, ike_ts_list_text(a, sizeof(a), x->offer_i.v, x->offer_i.n),
            ike_ts_list_text(b, sizeof(b), x->offer_r.v, x->offer_r.n));
    }
    x->group = v1_esp_group(conf->esp, conf->esp_n);
    SL_TRY(xchg_nonce(x, &x->ni, err));
    if (x->group != SL_KE_NONE)
        return xchg_ask_ke(x, sl_bytes(NULL, 0), err);
    xchg_ask_nothing(x);
    return SL_OK;
}

static enum sl_rc request_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct ike_child *c = making(x);
    const struct sl_conf_child *conf = c ? child_conf(c) : NULL;
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!conf || sa->state != ISA_UP || !child_find(sa, x->old_child))
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_AUTO_BUF rest = { 0 };
    struct ike_wr w = ike_wr_chain(&rest);
    SL_TRY(v1_put_sa_esp(&w, conf->esp, conf->esp_n, x->group, conf->esn, encap_of(sa), c->spi_in,
                         (uint32_t)life_of(conf), 0, err));
    v1_put(&w, V1_P_NONCE, sl_buf_bytes(&x->ni));
    if (x->group != SL_KE_NONE)
        v1_put(&w, V1_P_KE, sl_kex_public(x->kex));
    v1_put_ts(&w, &x->offer_i.v[0]);
    v1_put_ts(&w, &x->offer_r.v[0]);
    return send_hashed(x, &w, &rest, false, err);
}

static enum sl_rc chosen(struct ike_xchg *x, struct ike_child *c, struct sl_err *err)
{
    const struct sl_conf_child *conf = child_conf(c);
    struct v1_sa answer;
    struct v1_esp_choice choice;
    struct sl_ts i, r;
    if (!conf)
        return SL_FAIL(err, SL_CONFIG_REFERENCE, "child %s left the configuration", c->name);
    SL_TRY(v1_sa_read(&answer, body_of(x, V1_P_SA), err));
    SL_TRY(v1_sa_check_esp(&choice, &answer, conf->esp, conf->esp_n, x->group, conf->esn,
                           encap_of(x->sa), err));
    SL_TRY(take_spi(&c->spi_out, choice.spi, err));
    SL_TRY(take_proxies(x, &i, &r, err));
    if (!ike_ts_within(&i, 1, x->offer_i.v, 1) || !ike_ts_within(x->offer_i.v, 1, &i, 1) ||
        !ike_ts_within(&r, 1, x->offer_r.v, 1) || !ike_ts_within(x->offer_r.v, 1, &r, 1))
        return SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE,
                       "child %s: peer answers with other selectors than were offered", c->name);
    if (!selectors_set(&c->local, &i, 1) || !selectors_set(&c->remote, &r, 1))
        return SL_FAIL_MEM(err);
    c->suite = choice.suite;
    c->esn = choice.esn;
    c->ke = choice.ke;
    x->v1->life_s = choice.life_s;
    return SL_OK;
}

static enum sl_rc answer_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = making(x);
    struct v1_notify n;
    uint8_t hash[SL_PRF_MAX];
    SL_TRY(v1_hash_2(hash, sa->prf, &sa->v1->keys.a, x->v1->mid, sl_buf_bytes(&x->ni),
                     v1_after_first(&x->list), err));
    if (!hash_holds(x, hash))
        return forged(x);
    if (!c)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_TRY(chosen(x, c, err));
    SL_TRY(take_nonce(x, &x->nr, err));
    if (v1_notify_find(&x->list, V1_N_RESPONDER_LIFETIME, &n) && n.protocol == V1_PROTO_ESP &&
        !v1_lifetime_read(&x->v1->life_s, &x->v1->life_kb, false, n.data))
        return SL_FAIL(err, SL_IKE_MALFORMED, "RESPONDER-LIFETIME is malformed (RFC 2407 4.6.3.1)");
    const struct sl_bytes ke = body_of(x, V1_P_KE);
    if ((ke.len != 0) != (x->group != SL_KE_NONE))
        return SL_FAIL(err, SL_IKE_INVALID_KE, "child %s: KE payload does not fit the group, %s",
                       c->name, sl_ke_text(x->group));
    if (ke.len)
        return xchg_ask_ke(x, ke, err);
    xchg_ask_nothing(x);
    return SL_OK;
}

/*
 * Nothing answers message 3, so nobody says when the peer reads on the new child. Packets go on on the old
 * one until the peer uses the new one, or for as long as the peer may need for message 3.
 */
#define V1_SETTLE_NS SL_NS_PER_S

static enum sl_rc finish(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = making(x);
    const bool rekey = x->kind == XCHG_REKEY_CHILD;
    uint8_t hash[SL_PRF_MAX];
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!c || sa->state != ISA_UP)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_TRY(v1_hash_3(hash, sa->prf, &sa->v1->keys.a, x->v1->mid, sl_buf_bytes(&x->ni),
                     sl_buf_bytes(&x->nr), err));
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr w = ike_wr_chain(&chain);
    v1_put(&w, V1_P_HASH, sl_bytes(hash, sl_prf_len(sa->prf)));
    if (rekey)
        child_add(sa, c);
    enum sl_rc rc = child_install(c, true, !rekey, sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr),
                                  x->shared.len ? &x->shared : NULL, err);
    if (rc != SL_OK && rekey)
        child_unlink(c);
    SL_TRY(rc);
    x->child = NULL;
    /* Should this be lost, message 2 comes again and fetches it again. */
    rc = v1_send(x, V1_QUICK, &w, &chain, true, false, err);
    if (rc != SL_OK) {
        child_end(c, rc, false);
        return rc;
    }
    lifetimes(c, x->v1->life_s, true);
    child_told(c);
    struct ike_child *old = rekey ? child_find(sa, x->old_child) : NULL;
    if (old && old->want_delete && old->end_rc != SL_IKE_LIFETIME)
        c->want_delete = true; /* taken down by command while it was rekeyed */
    succeed(c);
    if (old && old->replaced_by == c->id)
        old->retry_ns = sa->ike->now_ns + V1_SETTLE_NS;
    else
        child_outbound(c);
    return SL_OK;
}

static void initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    struct ike_child *old = child_find(sa, x->old_child);
    const bool rekey = x->kind == XCHG_REKEY_CHILD;
    if (x->child) {
        child_free(x->child);
        x->child = NULL;
    }
    ike_datagrams_clear(&x->v1->tx);
    v1_finish(x);
    if (!old)
        return;
    if (rekey && !old->replaced_by) {
        old->want_rekey = false;
        old->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
        child_failed(sa, old->name, rc, sl_err_text(err));
    } else if (!rekey && old->state == CHILD_ASKED) {
        char name[SL_NAME_MAX];
        snprintf(name, sizeof(name), "%s", old->name);
        child_end(old, rc, false);
        child_failed(sa, name, rc, sl_err_text(err));
    }
    if (rc == SL_IKE_PEER_DEAD && sa->seen_ns + 60 * SL_NS_PER_S < ike->now_ns)
        sa->want_liveness = true;
}

static const struct v1_step initiator[] = {
    { .from = V1_NEW, .on = GO, .run = start, .to = Q_I_WAIT_KE },
    { .from = Q_I_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = request_out,
      .to = Q_I_SENT,
      .story = "quick mode begun" },
    { .from = Q_I_WAIT_KE,
      .on = ANSWER(ASK_NOTHING),
      .run = request_out,
      .to = Q_I_SENT,
      .story = "quick mode begun" },
    { .from = Q_I_SENT,
      .on = V1_MESSAGE(V1_QUICK),
      .need = V1P(HASH) | V1P(SA) | V1P(NONCE),
      .may = V1P(KE) | V1P(ID) | V1P(NAT_OA),
      .run = answer_in,
      .to = Q_I_WAIT_SHARED },
    { .from = Q_I_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = finish, .to = V1_DONE },
    { .from = Q_I_WAIT_SHARED, .on = ANSWER(ASK_NOTHING), .run = finish, .to = V1_DONE },
};
const struct v1_table v1_quick_initiator =
    V1_TABLE("quick mode initiator", initiator, initiator_fail);

/* ---- responder --------------------------------------------------------------------------------- */

/* One configured child against the request. */
static enum sl_rc try_child(struct ike_xchg *x, const struct v1_sa *offer,
                            const struct sl_conf_child *conf, const struct sl_ts *i,
                            const struct sl_ts *r, struct v1_esp_choice *choice, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ts allowed[SL_TS_MAX], own[SL_TS_MAX];
    size_t n, own_n;
    SL_TRY(child_allowed(sa, conf, allowed, &n, err));
    SL_TRY(vip_selectors(sa, conf->local_ts, conf->local_ts_n, true, false, own, &own_n, err));
    /* SPEC RFC2409-5.5 MUST: what policy does not allow is refused; there is no narrowing */
    if (!ike_ts_within(i, 1, allowed, n) || !ike_ts_within(r, 1, own, own_n)) {
        char a[160], b[160];
        return SL_FAIL(
            err, SL_IKE_TS_UNACCEPTABLE,
            "child %s: peer asks for %s === %s, which the configuration and its grant do "
            "not allow",
            conf->name, ike_ts_list_text(a, sizeof(a), i, 1), ike_ts_list_text(b, sizeof(b), r, 1));
    }
    return v1_sa_select_esp(choice, offer, conf->esp, conf->esp_n, sa->nat_local || sa->nat_remote,
                            conf->esn, IKE_PREFER_PEER, err);
}

static enum sl_rc select_child(struct ike_xchg *x, struct ike_child *c,
                               struct v1_esp_choice *choice, struct sl_err *err)
{
    const struct sl_conf_connection *conn = x->sa->conn->conf;
    struct v1_sa offer;
    struct sl_ts i, r;
    struct sl_err first = { 0 };
    SL_TRY(v1_sa_read(&offer, body_of(x, V1_P_SA), err));
    SL_TRY(take_proxies(x, &i, &r, err));
    for (size_t k = 0; k < conn->child_n; k++) {
        struct sl_err e = { 0 };
        const struct sl_conf_child *conf = &conn->child[k];
        if (try_child(x, &offer, conf, &i, &r, choice, &e) != SL_OK) {
            if (!first.rc)
                first = e;
            continue;
        }
        snprintf(c->name, sizeof(c->name), "%s", conf->name);
        c->suite = choice->suite;
        c->esn = choice->esn;
        c->ke = choice->ke;
        const uint64_t ours = (uint64_t)life_of(conf);
        x->v1->life_s = choice->life_s ? choice->life_s : 28800;
        x->v1->tell_life = ours < x->v1->life_s;
        if (x->v1->tell_life)
            x->v1->life_s = ours;
        if (!selectors_set(&c->remote, &i, 1) || !selectors_set(&c->local, &r, 1))
            return SL_FAIL_MEM(err);
        return take_spi(&c->spi_out, choice->spi, err);
    }
    *err = first;
    return first.rc ? first.rc : SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE, "connection has no child");
}

static enum sl_rc request_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    uint8_t hash[SL_PRF_MAX];
    struct v1_esp_choice choice;
    SL_TRY(v1_hash_1(hash, sa->prf, &sa->v1->keys.a, x->v1->mid, v1_after_first(&x->list), err));
    if (!hash_holds(x, hash))
        return forged(x);
    if (!sa->conn->conf || sa->want_delete)
        return SL_FAIL(err, SL_IKE_STATE, "IKE SA is being closed");
    if (sa->children_n >= IKE_CHILDREN_MAX)
        return SL_FAIL(err, SL_IKE_LIMIT, "%d children are the most on one IKE SA",
                       IKE_CHILDREN_MAX);
    x->kind = XCHG_NEW_CHILD;
    x->child = child_new(sa, "");
    if (!x->child)
        return SL_FAIL_MEM(err);
    SL_TRY(select_child(x, x->child, &choice, err));
    SL_TRY(take_nonce(x, &x->ni, err));
    SL_TRY(xchg_nonce(x, &x->nr, err));
    const struct sl_bytes ke = body_of(x, V1_P_KE);
    if ((ke.len != 0) != (choice.ke != SL_KE_NONE))
        return SL_FAIL(err, SL_IKE_INVALID_KE, "KE payload does not fit the group chosen, %s",
                       sl_ke_text(choice.ke));
    const struct ike_child *old = predecessor(x->child);
    if (old)
        x->child->replaces = old->id;
    x->group = choice.ke;
    if (ke.len)
        return xchg_ask_ke(x, ke, err);
    xchg_ask_nothing(x);
    return SL_OK;
}

static enum sl_rc answer_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = x->child;
    struct v1_esp_choice choice;
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!sa->conn->conf || sa->want_delete || sa->state != ISA_UP)
        return SL_FAIL(err, SL_IKE_STATE, "IKE SA is being closed");
    /* The request is still at hand: its transform is echoed as it is. */
    SL_TRY(select_child(x, c, &choice, err));
    SL_AUTO_BUF rest = { 0 };
    struct ike_wr w = ike_wr_chain(&rest);
    v1_put_sa_esp_choice(&w, &choice, c->spi_in);
    v1_put(&w, V1_P_NONCE, sl_buf_bytes(&x->nr));
    if (x->group != SL_KE_NONE)
        v1_put(&w, V1_P_KE, sl_kex_public(x->kex));
    const struct ike_payload *id = NULL;
    while ((id = ike_payloads_next(&x->list, V1_P_ID, id)))
        v1_put(&w, V1_P_ID, id->body);
    if (x->v1->tell_life) {
        SL_AUTO_BUF life = { 0 };
        uint8_t spi[4];
        child_spi_bytes(spi, c->spi_in);
        if (!v1_lifetime_write(&life, false, (uint32_t)x->v1->life_s, 0))
            return SL_FAIL_MEM(err);
        v1_put_notify(&w, V1_PROTO_ESP, V1_N_RESPONDER_LIFETIME, sl_bytes(spi, sizeof(spi)),
                      sl_buf_bytes(&life));
    }
    child_add(sa, c);
    enum sl_rc rc = child_install(c, false, false, sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr),
                                  x->shared.len ? &x->shared : NULL, err);
    if (rc != SL_OK) {
        child_unlink(c);
        return rc;
    }
    x->child = NULL;
    x->old_child = c->id; /* from here on found by its ID */
    rc = send_hashed(x, &w, &rest, true, err);
    if (rc == SL_OK)
        lifetimes(c, x->v1->life_s, false);
    return rc;
}

static enum sl_rc confirm_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    uint8_t hash[SL_PRF_MAX];
    SL_TRY(v1_hash_3(hash, sa->prf, &sa->v1->keys.a, x->v1->mid, sl_buf_bytes(&x->ni),
                     sl_buf_bytes(&x->nr), err));
    if (!hash_holds(x, hash))
        return forged(x);
    struct ike_child *c = child_find(sa, x->old_child);
    ike_datagrams_clear(&x->v1->tx); /* nothing more is asked of us */
    if (!c || c->state != CHILD_UP)
        return SL_OK;
    child_outbound(c);
    child_told(c);
    succeed(c);
    return SL_OK;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = x->child ? NULL : child_find(sa, x->old_child);
    sa->ike->stats.refused++;
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, x->child ? x->child : c, rc, "quick mode refused: %s",
              sl_err_text(err));
    if (x->child) {
        uint8_t spi[4] = { 0 };
        for (size_t i = 0; i < sizeof(spi); i++)
            spi[i] = (uint8_t)(x->child->spi_out >> (24 - 8 * i));
        v1_send_notify(sa, V1_PROTO_ESP, v1_refusal(rc), sl_bytes(spi, sizeof(spi)),
                       sl_bytes(NULL, 0));
        child_free(x->child);
        x->child = NULL;
    } else if (c) {
        c->replaced_by = c->replaces; /* its end is no loss where the old one is there */
        v1_send_delete(sa, c);
        child_end(c, rc, false);
    }
    ike_datagrams_clear(&x->v1->tx);
    v1_finish(x);
}

static const struct v1_step responder[] = {
    { .from = V1_NEW,
      .on = V1_MESSAGE(V1_QUICK),
      .need = V1P(HASH) | V1P(SA) | V1P(NONCE),
      .may = V1P(KE) | V1P(ID) | V1P(NAT_OA),
      .run = request_in,
      .to = Q_R_WAIT_SHARED,
      .story = "peer asks for a child by quick mode" },
    { .from = Q_R_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = answer_out, .to = Q_R_SENT },
    { .from = Q_R_WAIT_SHARED, .on = ANSWER(ASK_NOTHING), .run = answer_out, .to = Q_R_SENT },
    { .from = Q_R_SENT,
      .on = V1_MESSAGE(V1_QUICK),
      .need = V1P(HASH),
      .run = confirm_in,
      .to = V1_DONE },
};
const struct v1_table v1_quick_responder =
    V1_TABLE("quick mode responder", responder, responder_fail);
