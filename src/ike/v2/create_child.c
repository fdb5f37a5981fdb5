/*
 * CREATE_CHILD_SA (RFC 7296 1.3, 2.8, 2.18, 2.25)
 *
 *   SA, Ni, [KEi], TSi, TSr                --> <--  SA, Nr, [KEr], TSi, TSr      a new child
 *   N(REKEY_SA), SA, Ni, [KEi], TSi, TSr   --> <--  SA, Nr, [KEr], TSi, TSr      a child's successor
 *   SA, Ni, KEi                            --> <--  SA, Nr, KEr                  the IKE SA's successor
 *                                              <--  N(error)
 *
 * Both sides may begin the rekey of the same SA at once. Each then answers the other, so there are
 * two successors; the one made with the lowest of the four nonces is given up by the side that began
 * it, and the other side deletes the old SA (2.8.1, 2.8.2). A request that meets something else under
 * way on the same SA is put off with TEMPORARY_FAILURE (2.25).
 *
 * No packet is lost over a child's rekey: the responder reads on the new SA before it answers, the
 * initiator sends on it once answered and only then deletes the old one, and the responder sends on
 * it when it sees it used or the old one deleted.
 */
#include "src/ike/core.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- nonces ------------------------------------------------------------------------------------ */

int nonce_cmp(struct sl_bytes a, struct sl_bytes b)
{
    return sl_bytes_cmp(a, b);
}

struct sl_bytes nonce_lower(struct sl_bytes a, struct sl_bytes b)
{
    return nonce_cmp(a, b) <= 0 ? a : b;
}

/* True when our exchange made the SA that has to go. */
static bool ours_is_redundant(const struct ike_xchg *x)
{
    return x->rival && nonce_cmp(nonce_lower(sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr)),
                                 sl_buf_bytes(&x->rival_nonce)) < 0;
}

static bool keep(struct sl_buf *to, struct sl_bytes v)
{
    to->len = 0;
    return sl_buf_put(to, v);
}

static void spi_bytes(uint8_t out[4], uint32_t spi)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(spi >> (24 - 8 * i));
}

static bool read_spi(const struct sl_bytes spi, uint32_t *out)
{
    struct sl_rd r = sl_rd(spi);
    *out = sl_rd_u32(&r);
    return sl_rd_done(&r) && *out > 255; /* RFC 4303 2.1 */
}

/* ---- what is negotiated, shared with IKE_AUTH -------------------------------------------------- */

static enum sl_rc read_selectors(const struct ike_xchg *x, struct sl_ts tsi[SL_TS_MAX],
                                 size_t *tsi_n, struct sl_ts tsr[SL_TS_MAX], size_t *tsr_n,
                                 struct sl_err *err)
{
    SL_TRY(ike_ts_read(tsi, tsi_n, NULL, ike_payloads_find(&x->list, IKE_P_TSi)->body, err));
    return ike_ts_read(tsr, tsr_n, NULL, ike_payloads_find(&x->list, IKE_P_TSr)->body, err);
}

static enum sl_rc no_additional(const struct ike_xchg *x, struct sl_err *err)
{
    if (!ike_addke_n(&x->choice.add))
        return SL_OK;
    return SL_FAIL(
        err, SL_IKE_NO_PROPOSAL,
        "additional key exchanges in CREATE_CHILD_SA (RFC 9370 2.2.4) are not supported");
}

static enum sl_rc settle(struct ike_xchg *x, struct ike_child *c, struct sl_err *err)
{
    if (!read_spi(x->choice.spi, &c->spi_out))
        return SL_FAIL(err, SL_IKE_MALFORMED, "ESP proposal has no SPI above 255 (RFC 4303 2.1)");
    c->suite = x->choice.suite;
    c->esn = x->choice.esn;
    c->ke = x->choice.ke;
    return no_additional(x, err);
}

/* One configured child against the request: selectors, then proposal. */
static enum sl_rc try_child(struct ike_xchg *x, const struct ike_sa *offer,
                            const struct sl_conf_child *conf, struct ike_ts_fit *i,
                            struct ike_ts_fit *r, bool with_ke, struct sl_err *err)
{
    struct sl_ts tsi[SL_TS_MAX], tsr[SL_TS_MAX], allowed[SL_TS_MAX], ours[SL_TS_MAX];
    size_t tsi_n, tsr_n, allowed_n, ours_n;
    SL_TRY(read_selectors(x, tsi, &tsi_n, tsr, &tsr_n, err));
    SL_TRY(child_allowed(x->sa, conf, allowed, &allowed_n, err));
    SL_TRY(vip_selectors(x->sa, conf->local_ts, conf->local_ts_n, true, false, ours, &ours_n, err));
    ike_ts_narrow(i, tsi, tsi_n, allowed, allowed_n);
    ike_ts_narrow(r, tsr, tsr_n, ours, ours_n);
    if (!i->n || !r->n) {
        char a[200], b[200];
        return SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE,
                       "child %s: peer offers %s === %s, of which the configuration and its grant "
                       "allow nothing (RFC 7296 2.9)",
                       conf->name, ike_ts_list_text(a, sizeof(a), tsi, tsi_n),
                       ike_ts_list_text(b, sizeof(b), tsr, tsr_n));
    }
    return ike_sa_select_esp(&x->choice, offer, conf->esp, conf->esp_n, with_ke, conf->esn,
                             IKE_PREFER_PEER, err);
}

enum sl_rc child_select(struct ike_xchg *x, struct ike_child *c, const struct sl_conf_child *conf,
                        bool with_ke, struct sl_err *err)
{
    const struct sl_conf_connection *conn = x->sa->conn->conf;
    const struct sl_conf_child *best = NULL;
    struct ike_ts_fit fit_i, fit_r;
    struct sl_err first = { 0 };
    struct ike_sa offer;
    int best_fit = -1;
    SL_TRY(ike_sa_read(&offer, ike_payloads_find(&x->list, IKE_P_SA)->body, err));
    for (size_t i = 0; i < conn->child_n; i++) {
        struct sl_err e = { 0 };
        if (conf && conf != &conn->child[i])
            continue;
        if (try_child(x, &offer, &conn->child[i], &fit_i, &fit_r, with_ke, &e) != SL_OK) {
            if (!first.rc)
                first = e;
            continue;
        }
        /* Prefer a child that holds the peer's own packet, then one that need not be narrowed. */
        const int fit = 4 * (fit_i.first && fit_r.first) + fit_i.whole + fit_r.whole;
        if (fit > best_fit) {
            best_fit = fit;
            best = &conn->child[i];
        }
    }
    if (!best) {
        *err = first;
        return first.rc ? first.rc
                        : SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE, "connection %s has no child for it",
                                  x->sa->conn->name);
    }
    SL_TRY(try_child(x, &offer, best, &fit_i, &fit_r, with_ke, err));
    SL_TRY(settle(x, c, err));
    snprintf(c->name, sizeof(c->name), "%s", best->name);
    if (!selectors_set(&c->remote, fit_i.ts, fit_i.n) ||
        !selectors_set(&c->local, fit_r.ts, fit_r.n))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

enum sl_rc child_chosen(struct ike_xchg *x, struct ike_child *c, const struct sl_conf_child *conf,
                        bool with_ke, struct sl_err *err)
{
    struct sl_ts tsi[SL_TS_MAX], tsr[SL_TS_MAX], allowed[SL_TS_MAX];
    size_t tsi_n, tsr_n, allowed_n;
    struct ike_sa answer;
    if (!conf)
        return SL_FAIL(err, SL_CONFIG_REFERENCE, "child %s left the configuration", c->name);
    if (!ike_payloads_find(&x->list, IKE_P_TSi) || !ike_payloads_find(&x->list, IKE_P_TSr))
        return SL_FAIL(err, SL_IKE_MALFORMED, "child %s: answer without selectors", c->name);
    SL_TRY(ike_sa_read(&answer, ike_payloads_find(&x->list, IKE_P_SA)->body, err));
    SL_TRY(ike_sa_check_esp(&x->choice, &answer, conf->esp, conf->esp_n, with_ke, conf->esn, err));
    SL_TRY(settle(x, c, err));
    SL_TRY(read_selectors(x, tsi, &tsi_n, tsr, &tsr_n, err));
    if (!tsi_n || !tsr_n || !ike_ts_within(tsi, tsi_n, x->offer_i.v, x->offer_i.n) ||
        !ike_ts_within(tsr, tsr_n, x->offer_r.v, x->offer_r.n))
        return SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE,
                       "child %s: peer's selectors are not within those offered (RFC 7296 2.9)",
                       c->name);
    SL_TRY(child_allowed(x->sa, conf, allowed, &allowed_n, err));
    if (!ike_ts_within(tsr, tsr_n, allowed, allowed_n)) {
        char has[200], may[200];
        return SL_FAIL(err, SL_POLICY_TS, "child %s: peer's selectors %s; policy grants %s",
                       c->name, ike_ts_list_text(has, sizeof(has), tsr, tsr_n),
                       ike_ts_list_text(may, sizeof(may), allowed, allowed_n));
    }
    SL_TRY(vip_selectors(x->sa, conf->local_ts, conf->local_ts_n, true, false, allowed, &allowed_n,
                         err));
    if (!ike_ts_within(tsi, tsi_n, allowed, allowed_n)) {
        char has[200], may[200];
        return SL_FAIL(err, SL_IKE_TS_UNACCEPTABLE,
                       "child %s: peer narrows our side to %s, which is not within %s", c->name,
                       ike_ts_list_text(has, sizeof(has), tsi, tsi_n),
                       ike_ts_list_text(may, sizeof(may), allowed, allowed_n));
    }
    if (!selectors_set(&c->local, tsi, tsi_n) || !selectors_set(&c->remote, tsr, tsr_n))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

/* The KE payload that goes with what was chosen: none without PFS. False: missing or another group. */
static bool read_ke(const struct ike_xchg *x, enum sl_ke group, struct ike_ke *ke)
{
    const struct ike_payload *p = ike_payloads_find(&x->list, IKE_P_KE);
    *ke = (struct ike_ke){ 0 };
    if (group == SL_KE_NONE)
        return true;
    return p && ike_ke_read(ke, p->body) && ke->group == (uint16_t)group;
}

static enum sl_rc read_nonce(const struct ike_xchg *x, struct sl_buf *to, struct sl_err *err)
{
    struct sl_bytes nonce;
    if (!ike_nonce_read(&nonce, ike_payloads_find(&x->list, IKE_P_NONCE)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED, "nonce is not 16 to 256 bytes (RFC 7296 3.9)");
    return keep(to, nonce) ? SL_OK : SL_FAIL_MEM(err);
}

/* ---- initiator, common to children and the IKE SA ---------------------------------------------- */

static enum sl_rc ask_value(struct ike_xchg *x, struct sl_err *err)
{
    if (x->group != SL_KE_NONE)
        return xchg_ask_ke(x, sl_bytes(NULL, 0), err);
    xchg_ask_nothing(x);
    return SL_OK;
}

/* What puts the exchange off for a while instead of ending the SA. */
static int64_t later(struct sl_ike *ike)
{
    return ike->now_ns + IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
}

static enum sl_rc peer_error(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    char name[IKE_TEXT];
    if (!ike_notify_find_error(&x->list, &n))
        return SL_FAIL(err, SL_IKE_MALFORMED, "CREATE_CHILD_SA response fits no shape");
    x->refuse = n.type; /* kept for _fail */
    enum sl_rc rc = SL_IKE_PEER_ERROR;
    if (n.type == IKE_N_TS_UNACCEPTABLE)
        rc = SL_IKE_TS_UNACCEPTABLE;
    else if (n.type == IKE_N_NO_PROPOSAL_CHOSEN)
        rc = SL_IKE_NO_PROPOSAL;
    else if (n.type == IKE_N_INVALID_KE_PAYLOAD)
        rc = SL_IKE_INVALID_KE;
    return SL_FAIL(err, rc, "peer answered CREATE_CHILD_SA with %s", ike_notify_text(name, n.type));
}

/* The group of N(INVALID_KE_PAYLOAD), when it is one to try. */
static bool other_group(const struct ike_xchg *x, uint16_t *group)
{
    struct ike_notify n;
    if (!ike_notify_find(&x->list, IKE_N_INVALID_KE_PAYLOAD, &n) || x->ke_retries >= IKE_KE_RETRIES)
        return false;
    struct sl_rd r = sl_rd(n.data);
    *group = sl_rd_u16(&r);
    return sl_rd_done(&r) && *group != (uint16_t)x->group;
}

static enum sl_rc try_group(struct ike_xchg *x, uint16_t group, struct sl_err *err)
{
    struct sl_kex *old = sl_steal(&x->kex);
    const enum sl_ke old_group = x->group;
    x->group = (enum sl_ke)group;
    const enum sl_rc rc = xchg_ask_ke(x, sl_bytes(NULL, 0), err);
    if (rc != SL_OK) {
        x->kex = old;
        x->group = old_group;
        return rc;
    }
    sl_kex_free(old);
    x->ke_retries++;
    return SL_OK;
}

/* ---- initiator: a new child, or a child's successor -------------------------------------------- */

static enum sl_ke first_group(const struct sl_conf_child *conf, enum sl_ke used)
{
    if (used != SL_KE_NONE && ike_offers_ke_esp(conf->esp, conf->esp_n, (uint16_t)used))
        return used;
    for (size_t i = 0; i < conf->esp_n; i++)
        if (conf->esp[i].ke != SL_KE_NONE)
            return conf->esp[i].ke;
    return SL_KE_NONE;
}

static enum sl_rc child_start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = child_find(sa, x->old_child);
    assert(c);
    const struct sl_conf_child *conf = child_conf(c);
    if (!conf)
        return SL_FAIL(err, SL_CONFIG_REFERENCE, "child %s left the configuration", c->name);
    if (x->kind == XCHG_REKEY_CHILD) {
        if (sa->children_n >= IKE_CHILDREN_MAX)
            return SL_FAIL(err, SL_IKE_LIMIT, "%d children are the most", IKE_CHILDREN_MAX);
        x->child = child_new(sa, c->name);
        if (!x->child || !selectors_set(&x->offer_i, c->local.v, c->local.n) ||
            !selectors_set(&x->offer_r, c->remote.v, c->remote.n))
            return SL_FAIL_MEM(err);
        x->child->replaces = c->id;
    } else {
        struct sl_ts allowed[SL_TS_MAX], ours[SL_TS_MAX];
        size_t n, ours_n;
        SL_TRY(child_allowed(sa, conf, allowed, &n, err));
        SL_TRY(
            vip_selectors(sa, conf->local_ts, conf->local_ts_n, true, false, ours, &ours_n, err));
        if (!selectors_set(&x->offer_i, ours, ours_n) || !selectors_set(&x->offer_r, allowed, n))
            return SL_FAIL_MEM(err);
    }
    x->group = first_group(conf, c->ke);
    SL_TRY(xchg_nonce(x, &x->ni, err));
    SL_TRY(ask_value(x, err));
    if (x->kind == XCHG_NEW_CHILD)
        c->state = CHILD_ASKED;
    return SL_OK;
}

/* The child being made: for a rekey a new one, else the one that was wanted. */
static struct ike_child *making(struct ike_xchg *x)
{
    return x->kind == XCHG_REKEY_CHILD ? x->child : child_find(x->sa, x->old_child);
}

static enum sl_rc child_request(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct ike_child *c = making(x), *old = child_find(sa, x->old_child);
    const struct sl_conf_child *conf = c ? child_conf(c) : NULL;
    uint8_t spi[4];
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!conf || !old || sa->state != ISA_UP)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    if (x->kind == XCHG_REKEY_CHILD) {
        spi_bytes(spi, old->spi_in);
        ike_put_notify_spi(&w, IKE_N_REKEY_SA, IKE_PROTO_ESP, sl_bytes(spi, sizeof(spi)),
                           sl_bytes(NULL, 0));
    }
    spi_bytes(spi, c->spi_in);
    ike_put_sa_esp(&w, conf->esp, conf->esp_n, sl_bytes(spi, sizeof(spi)), true, conf->esn);
    ike_put_nonce(&w, sl_buf_bytes(&x->ni));
    if (x->group != SL_KE_NONE)
        ike_put_ke(&w, (uint16_t)x->group, sl_kex_public(x->kex));
    ike_put_ts(&w, IKE_P_TSi, x->offer_i.v, x->offer_i.n);
    ike_put_ts(&w, IKE_P_TSr, x->offer_r.v, x->offer_r.n);
    SL_TRY(xchg_request(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    x->sent_state = C_SENT;
    return SL_OK;
}

static enum sl_rc child_other_group(struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_child *c = making(x);
    const struct sl_conf_child *conf = c ? child_conf(c) : NULL;
    uint16_t group;
    if (!conf || !other_group(x, &group) || !ike_offers_ke_esp(conf->esp, conf->esp_n, group))
        return peer_error(x, err);
    return try_group(x, group, err);
}

static enum sl_rc child_response(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_child *c = making(x);
    struct ike_ke ke;
    if (!c)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_TRY(child_chosen(x, c, child_conf(c), true, err));
    for (size_t i = 0; i < x->early_deletes; i++)
        c->peer_deleted = c->peer_deleted || x->early_delete[i] == c->spi_out;
    SL_TRY(read_nonce(x, &x->nr, err));
    if (!read_ke(x, c->ke, &ke) || (c->ke != SL_KE_NONE && c->ke != x->group))
        return SL_FAIL(err, SL_IKE_INVALID_KE, "KE payload does not fit the group chosen, %s",
                       sl_ke_text(c->ke));
    if (c->ke != SL_KE_NONE)
        return xchg_ask_ke(x, ke.data, err);
    xchg_ask_nothing(x);
    return SL_OK;
}

static enum sl_rc child_finish(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = making(x);
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!c)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    const bool rekey = x->kind == XCHG_REKEY_CHILD;
    if (rekey && ours_is_redundant(x)) {
        /* Never used: the peer sends on the winner, and so do we. */
        x->child = NULL;
        child_add(sa, c);
        c->replaced_by = x->rival_id;
        child_unwanted(c, SL_IKE_COLLISION);
        ike_event(sa->ike, SL_IKE_EV_STORY, sa, c, SL_IKE_COLLISION,
                  "both sides rekeyed; ours has the lowest nonce and goes (RFC 7296 2.8.1)");
        return SL_OK;
    }
    if (rekey)
        child_add(sa, c);
    const enum sl_rc rc = child_install(c, true, true, sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr),
                                        x->shared.len ? &x->shared : NULL, err);
    if (rc != SL_OK) {
        if (rekey)
            child_unlink(c);
        return rc;
    }
    x->child = NULL;
    child_told(c);
    struct ike_child *old = rekey ? child_find(sa, x->old_child) : NULL;
    if (old) {
        if (old->want_delete && old->end_rc != SL_IKE_LIFETIME)
            c->want_delete = true; /* taken down by command while it was rekeyed */
        child_replaced(old, c->id, true);
    }
    struct ike_child *rival = x->rival_id ? child_find(sa, x->rival_id) : NULL;
    if (rival)
        child_replaced(rival, c->id, false); /* its maker deletes it */
    if (c->peer_deleted)
        child_end(c, SL_IKE_DELETED, true);
    return SL_OK;
}

/* The peer answered, so it has made the child that we cannot take. */
static bool peer_made_it(const struct ike_xchg *x)
{
    return (x->state == C_SENT && !x->refuse) || x->state == C_WAIT_SHARED;
}

static void child_initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    struct ike_child *old = child_find(sa, x->old_child);
    const bool soon = rc == SL_NO_MEMORY || x->refuse == IKE_N_TEMPORARY_FAILURE;
    const bool rekey = x->kind == XCHG_REKEY_CHILD;
    ike_window_answered(&sa->win);
    if (rekey && peer_made_it(x) && x->child) {
        struct ike_child *c = sl_steal(&x->child);
        child_add(sa, c);
        c->replaced_by = x->old_child;
        child_unwanted(c, rc);
    }
    if (!old)
        return;
    if (!rekey && peer_made_it(x)) {
        child_failed(sa, old->name, rc, sl_err_text(err));
        child_unwanted(old, rc);
        return;
    }
    if (soon && (rekey || rc == SL_NO_MEMORY || old->retries++ < 10)) {
        old->retry_ns = later(ike);
        if (!rekey)
            old->state = CHILD_WANTED;
        ike_event(ike, SL_IKE_EV_STORY, sa, old, rc, "tried again later: %s", sl_err_text(err));
        isa_touch(sa);
        return;
    }
    if (!rekey) {
        char name[SL_NAME_MAX];
        snprintf(name, sizeof(name), "%s", old->name);
        child_end(old, rc, false);
        child_failed(sa, name, rc, sl_err_text(err));
        return;
    }
    if (old->replaced_by)
        return; /* the peer's rekey of it stands */
    if (x->refuse == IKE_N_CHILD_SA_NOT_FOUND) {
        /* SPEC RFC7296-2.25 SHOULD: a child that the peer no longer has is removed silently */
        child_end(old, SL_IKE_DELETED, false);
        return;
    }
    /* Tried once more later; its lifetime ends it should that fail as well. */
    old->want_rekey = false;
    old->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
    child_failed(sa, old->name, rc, sl_err_text(err));
    isa_touch(sa);
}

/* The rows of a refusal: another group is tried once more, anything else is the end. */
#define PEER_REFUSES(other_group)                                                     \
    { .from = C_SENT,                                                                 \
      .on = RESPONSE(IKE_CREATE_CHILD_SA),                                            \
      .notify = IKE_N_INVALID_KE_PAYLOAD,                                             \
      .need = P(N),                                                                   \
      .run = (other_group),                                                           \
      .to = C_WAIT_KE,                                                                \
      .story = "peer asked for another key exchange group" },                         \
    {                                                                                 \
        .from = C_SENT, .on = RESPONSE(IKE_CREATE_CHILD_SA), .notify = IKE_ANY_ERROR, \
        .need = P(N), .run = peer_error, .to = X_DONE                                 \
    }

static const struct ike_step child_initiator[] = {
    { .from = X_NEW, .on = GO, .run = child_start, .to = C_WAIT_KE },
    { .from = C_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = child_request,
      .to = C_SENT,
      .story = "CREATE_CHILD_SA sent" },
    { .from = C_WAIT_KE,
      .on = ANSWER(ASK_NOTHING),
      .run = child_request,
      .to = C_SENT,
      .story = "CREATE_CHILD_SA sent" },
    PEER_REFUSES(child_other_group),
    { .from = C_SENT,
      .on = RESPONSE(IKE_CREATE_CHILD_SA),
      .need = P(SA) | P(NONCE) | P(TSi) | P(TSr),
      .may = P(KE),
      .run = child_response,
      .to = C_WAIT_SHARED },
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = child_finish, .to = X_DONE },
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_NOTHING), .run = child_finish, .to = X_DONE },
};
const struct ike_table ike_child_initiator =
    IKE_TABLE("CREATE_CHILD_SA initiator, child", child_initiator, child_initiator_fail);

/* ---- initiator: the IKE SA's successor --------------------------------------------------------- */

static enum sl_rc rekey_start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    if (!sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    x->next = isa_new(sa->ike, true);
    if (!x->next)
        return SL_FAIL_MEM(err);
    x->group = sa->ke;
    SL_TRY(xchg_nonce(x, &x->ni, err));
    SL_TRY(ask_value(x, err));
    sa->want_rekey = false;
    return SL_OK;
}

static enum sl_rc rekey_request(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    SL_TRY(xchg_take_ke(x, err));
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    ike_put_sa_ike(&w, conf->ike, conf->ike_n, sl_bytes(x->next->spi_i, IKE_SPI_LEN));
    ike_put_nonce(&w, sl_buf_bytes(&x->ni));
    ike_put_ke(&w, (uint16_t)x->group, sl_kex_public(x->kex));
    SL_TRY(xchg_request(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    x->sent_state = C_SENT;
    return SL_OK;
}

static enum sl_rc rekey_other_group(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    uint16_t group;
    if (!conf || !other_group(x, &group) || !ike_offers_ke_ike(conf->ike, conf->ike_n, group))
        return peer_error(x, err);
    return try_group(x, group, err);
}

static enum sl_rc take_spi(uint8_t out[IKE_SPI_LEN], struct sl_bytes spi, struct sl_err *err)
{
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    if (spi.len != IKE_SPI_LEN || memcmp(spi.p, none, IKE_SPI_LEN) == 0)
        return SL_FAIL(
            err, SL_IKE_MALFORMED,
            "IKE proposal of a rekey needs an SPI of 8 bytes, not zero (RFC 7296 3.3.1)");
    memcpy(out, spi.p, IKE_SPI_LEN);
    return SL_OK;
}

static enum sl_rc rekey_response(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    struct ike_sa answer;
    struct ike_ke ke;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(ike_sa_read(&answer, ike_payloads_find(&x->list, IKE_P_SA)->body, err));
    SL_TRY(ike_sa_check_ike(&x->choice, &answer, conf->ike, conf->ike_n, IKE_OFFER_REKEY, err));
    SL_TRY(no_additional(x, err));
    SL_TRY(take_spi(x->next->spi_r, x->choice.spi, err));
    SL_TRY(read_nonce(x, &x->nr, err));
    if (x->choice.ke != x->group || !read_ke(x, x->group, &ke))
        return SL_FAIL(err, SL_IKE_INVALID_KE, "KE payload does not fit the group chosen, %s",
                       sl_ke_text(x->choice.ke));
    return xchg_ask_ke(x, ke.data, err);
}

/* x->next takes over what the old SA was: keys derived from its own, the same peer, the same path. */
static enum sl_rc make_next(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *old = x->sa, *next = x->next;
    next->suite = x->choice.suite;
    next->prf = x->choice.prf;
    next->ke = x->choice.ke;
    next->add = x->choice.add;
    ike_keys_clear(&next->keys);
    SL_TRY(ike_keys_rekey(&next->keys, old->prf, &old->keys.d, next->prf, &next->suite,
                          sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr), next->spi_i, next->spi_r,
                          &x->shared, x->more.len ? &x->more : NULL, err));
    SL_TRY(isa_keys(next, err));
    if (old->grant && !next->grant) {
        next->grant = calloc(1, sizeof(*next->grant));
        if (!next->grant)
            return SL_FAIL_MEM(err);
        *next->grant = *old->grant;
    }
    return SL_OK;
}

static void adopt(struct ike_xchg *x)
{
    struct ike_isa *old = x->sa, *next = sl_steal(&x->next);
    conn_ref(next, old->conn);
    next->local = old->local;
    next->remote = old->remote;
    next->reply_local = old->reply_local;
    next->reply_remote = old->reply_remote;
    next->natt = old->natt;
    next->nat_local = old->nat_local;
    next->nat_remote = old->nat_remote;
    next->peer_may_move = old->peer_may_move;
    next->natt_supported = old->natt_supported;
    next->fragment = old->fragment;
    next->id_local = old->id_local;
    next->id_remote = old->id_remote;
    next->record = old->record;
    next->decided = old->decided;
    next->began = old->began;
    next->reauth_ns = old->reauth_ns; /* authentication is not renewed by a rekey */
    memcpy(next->tie, old->tie, sizeof(next->tie));
    if (next->grant && next->grant->lifetime_s)
        next->expire_ns = old->expire_ns;
    isa_enlist(next, ISA_UP);
    isa_lifetimes(next);
    isa_known(next);
    isa_touch(next);
}

/* The old SA is done with; its children, wishes and all, go to the successor. */
static void succeed(struct ike_isa *old, struct ike_isa *next, bool we_delete)
{
    struct sl_ike *ike = old->ike;
    char suite[SL_SUITE_TEXT], ke[IKE_KE_TEXT];
    isa_inherit(next, old);
    old->state = ISA_REKEYED;
    old->replaced_by = next->id;
    old->quiet = true;
    old->want_rekey = old->want_liveness = old->want_reauth = false;
    old->rekey_ns = old->expire_ns = old->reauth_ns = INT64_MAX;
    if (we_delete)
        old->want_delete = true;
    else
        old->half_open_ns = ike->now_ns + IKE_REDUNDANT_NS;
    isa_touch(old);
    ike_event(ike, SL_IKE_EV_IKE_REKEYED, next, NULL, SL_OK, "replaces IKE SA %llu, %s, %s",
              (unsigned long long)old->id, sl_suite_text(suite, &next->suite),
              ike_ke_text(ke, next->ke, &next->add));
}

/* An SA of a collision that nobody will use. */
static void redundant(struct ike_isa *sa, uint64_t winner, bool we_delete)
{
    sa->state = ISA_REKEYED;
    sa->replaced_by = winner;
    sa->quiet = true;
    sa->rekey_ns = sa->expire_ns = sa->reauth_ns = INT64_MAX;
    sa->want_delete = we_delete;
    sa->half_open_ns = we_delete ? INT64_MAX : sa->ike->now_ns + IKE_REDUNDANT_NS;
    isa_touch(sa);
}

/* The SA that the peer's simultaneous rekey made, unless it has been deleted already. */
static struct ike_isa *living_rival(const struct ike_xchg *x)
{
    struct ike_isa *rival = x->rival_id ? isa_find(x->sa->ike, x->rival_id) : NULL;
    return rival && rival->state == ISA_UP ? rival : NULL;
}

static enum sl_rc rekey_finish(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa, *next = x->next;
    SL_TRY(xchg_take_ke(x, err));
    SL_TRY(make_next(x, err));
    adopt(x);
    struct ike_isa *rival = living_rival(x);
    if (sa->state != ISA_UP || sa->want_delete) {
        redundant(next, sa->replaced_by, true); /* the old SA ended, or is to end, meanwhile */
        return SL_OK;
    }
    if (ours_is_redundant(x)) {
        ike_event(sa->ike, SL_IKE_EV_STORY, next, NULL, SL_IKE_COLLISION,
                  "both sides rekeyed; ours has the lowest nonce and goes (RFC 7296 2.8.2)");
        redundant(next, x->rival_id, true);
        if (rival)
            succeed(sa, rival, false); /* else as soon as it is made */
        return SL_OK;
    }
    succeed(sa, next, true);
    if (rival)
        redundant(rival, next->id, false);
    return SL_OK;
}

static void rekey_initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    struct ike_isa *rival = living_rival(x);
    ike_window_answered(&sa->win);
    if (sa->state != ISA_UP)
        return;
    if (rival) {
        succeed(sa, rival, false);
        return;
    }
    if (rc == SL_NO_MEMORY || x->refuse == IKE_N_TEMPORARY_FAILURE) {
        sa->want_rekey = true;
        sa->retry_ns = later(ike);
        ike_event(ike, SL_IKE_EV_STORY, sa, NULL, rc, "rekey is tried again later: %s",
                  sl_err_text(err));
    } else {
        sa->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
        ike_event(ike, SL_IKE_EV_STORY, sa, NULL, rc, "rekey of the IKE SA failed: %s",
                  sl_err_text(err));
        sa->conn->last_rc = rc;
        snprintf(sa->conn->last_text, sizeof(sa->conn->last_text), "%s", sl_err_text(err));
    }
    isa_touch(sa);
}

static const struct ike_step rekey_initiator[] = {
    { .from = X_NEW, .on = GO, .run = rekey_start, .to = C_WAIT_KE },
    { .from = C_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = rekey_request,
      .to = C_SENT,
      .story = "CREATE_CHILD_SA sent to rekey the IKE SA" },
    PEER_REFUSES(rekey_other_group),
    { .from = C_SENT,
      .on = RESPONSE(IKE_CREATE_CHILD_SA),
      .need = P(SA) | P(NONCE) | P(KE),
      .run = rekey_response,
      .to = C_WAIT_SHARED_IKE },
    { .from = C_WAIT_SHARED_IKE, .on = ANSWER(ASK_KE), .run = rekey_finish, .to = X_DONE },
};
const struct ike_table ike_rekey_initiator =
    IKE_TABLE("CREATE_CHILD_SA initiator, IKE SA", rekey_initiator, rekey_initiator_fail);

/* ---- responder --------------------------------------------------------------------------------- */

/* What forbids any new SA on this IKE SA now (RFC 7296 2.25.1, 2.25.2). */
static enum sl_rc check_idle(struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    if (!sa->conn->conf)
        (void)SL_FAIL(err, SL_IKE_STATE, "connection left the configuration");
    else if (sa->state != ISA_UP || sa->want_delete)
        (void)SL_FAIL(err, SL_IKE_STATE, "IKE SA is being replaced or closed (RFC 7296 2.25.2)");
    else
        return SL_OK;
    return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
}

static enum sl_rc check_no_ike_rekey(struct ike_xchg *x, struct sl_err *err)
{
    if (!x->sa->out || x->sa->out->kind != XCHG_REKEY_IKE)
        return SL_OK;
    (void)SL_FAIL(err, SL_IKE_STATE, "we are rekeying the IKE SA (RFC 7296 2.25.2)");
    return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
}

/* Notes on our own exchange that the peer made the same at once; nr is ours. */
static bool note_rival(struct ike_xchg *ours, const struct ike_xchg *x)
{
    if (!keep(&ours->rival_nonce, nonce_lower(sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr))))
        return false;
    ours->rival = true;
    return true;
}

static enum sl_rc wrong_group(struct ike_xchg *x, enum sl_ke want, struct sl_err *err)
{
    const uint8_t group[2] = { (uint8_t)(want >> 8), (uint8_t)want };
    if (!keep(&x->refuse_data, sl_bytes(group, sizeof(group))))
        return SL_FAIL_MEM(err);
    (void)SL_FAIL(err, SL_IKE_INVALID_KE,
                  "KE payload is not of the group chosen, %s (RFC 7296 1.3)", sl_ke_text(want));
    return xchg_refuse(x, IKE_N_INVALID_KE_PAYLOAD, SL_IKE_INVALID_KE);
}

/* Chooses, and asks for the key exchange where there is one. */
static enum sl_rc answer_child(struct ike_xchg *x, const struct sl_conf_child *conf,
                               uint64_t replaces, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_ke ke;
    if (sa->children_n >= IKE_CHILDREN_MAX)
        return SL_FAIL(err, SL_IKE_LIMIT, "%d children are the most on one IKE SA",
                       IKE_CHILDREN_MAX);
    x->child = child_new(sa, "");
    if (!x->child)
        return SL_FAIL_MEM(err);
    x->child->replaces = replaces;
    SL_TRY(child_select(x, x->child, conf, true, err));
    SL_TRY(read_nonce(x, &x->ni, err));
    SL_TRY(xchg_nonce(x, &x->nr, err));
    if (!read_ke(x, x->child->ke, &ke))
        return wrong_group(x, x->child->ke, err);
    x->group = x->child->ke;
    if (x->group != SL_KE_NONE)
        return xchg_ask_ke(x, ke.data, err);
    xchg_ask_nothing(x);
    return SL_OK;
}

static enum sl_rc new_child_in(struct ike_xchg *x, struct sl_err *err)
{
    x->kind = XCHG_NEW_CHILD;
    SL_TRY(check_idle(x, err));
    SL_TRY(check_no_ike_rekey(x, err));
    return answer_child(x, NULL, 0, err);
}

static enum sl_rc rekey_child_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_notify n;
    uint32_t spi = 0;
    x->kind = XCHG_REKEY_CHILD;
    SL_TRY(check_idle(x, err));
    SL_TRY(check_no_ike_rekey(x, err));
    struct ike_child *old = NULL;
    if (ike_notify_find(&x->list, IKE_N_REKEY_SA, &n) && n.protocol == IKE_PROTO_ESP &&
        read_spi(n.spi, &spi))
        old = child_by_spi_out(sa, spi);
    if (!old && sa->out && (sa->out->kind == XCHG_REKEY_CHILD || sa->out->kind == XCHG_NEW_CHILD)) {
        /* Maybe what the answer to our own request, still out, is to bring. */
        (void)SL_FAIL(err, SL_IKE_STATE, "child with SPI %08x may be in the making", spi);
        return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
    }
    if (!old) {
        (void)SL_FAIL(err, SL_NOT_FOUND, "peer rekeys a child with SPI %08x that is not there",
                      spi);
        return xchg_refuse(x, IKE_N_CHILD_SA_NOT_FOUND, SL_NOT_FOUND);
    }
    if (old->state != CHILD_UP || old->want_delete) {
        (void)SL_FAIL(err, SL_IKE_STATE, "child is being closed (RFC 7296 2.25.1)");
        return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
    }
    const struct sl_conf_child *conf = child_conf(old);
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "child %s left the configuration", old->name);
    SL_TRY(answer_child(x, conf, old->id, err));
    x->old_child = old->id;
    struct ike_xchg *out = sa->out;
    if (out && out->kind == XCHG_REKEY_CHILD && out->old_child == old->id && !note_rival(out, x))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

/* The child that the peer rekeys may have gone, or been ordered down, while the answer was made. */
static enum sl_rc check_old(struct ike_xchg *x, const struct ike_child *old, struct sl_err *err)
{
    const bool lost = !old || old->state == CHILD_DELETING || old->state == CHILD_GONE ||
                      (old->want_delete && old->end_rc != SL_IKE_LIFETIME);
    if (x->kind != XCHG_REKEY_CHILD || (old && old->replaced_by) || !lost)
        return SL_OK;
    (void)SL_FAIL(err, SL_IKE_STATE, "child is being closed (RFC 7296 2.25.1)");
    return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
}

static enum sl_rc child_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    uint8_t spi[4];
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    SL_TRY(check_idle(x, err));
    struct ike_child *old = child_find(sa, x->old_child);
    SL_TRY(check_old(x, old, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    spi_bytes(spi, x->child->spi_in);
    ike_put_sa_choice(&w, &x->choice, sl_bytes(spi, sizeof(spi)));
    ike_put_nonce(&w, sl_buf_bytes(&x->nr));
    if (x->group != SL_KE_NONE)
        ike_put_ke(&w, (uint16_t)x->group, sl_kex_public(x->kex));
    ike_put_ts(&w, IKE_P_TSi, x->child->remote.v, x->child->remote.n);
    ike_put_ts(&w, IKE_P_TSr, x->child->local.v, x->child->local.n);
    struct ike_datagrams d = { 0 };
    SL_TRY(xchg_seal_response(x, IKE_CREATE_CHILD_SA, &w, &buf, &d, err));

    struct ike_child *c = x->child;
    child_add(sa, c);
    const enum sl_rc rc =
        child_install(c, false, x->kind == XCHG_NEW_CHILD, sl_buf_bytes(&x->ni),
                      sl_buf_bytes(&x->nr), x->shared.len ? &x->shared : NULL, err);
    if (rc != SL_OK) {
        child_unlink(c);
        ike_datagrams_clear(&d);
        return rc;
    }
    x->child = NULL;
    child_told(c);
    struct ike_xchg *out = sa->out;
    if (out && out->kind == XCHG_REKEY_CHILD && out->old_child == x->old_child && out->rival)
        out->rival_id = c->id;
    if (old && old->replaced_by && old->replaced_by != c->id)
        child_replaced(c, old->replaced_by, false); /* our own rekey won meanwhile */
    else if (old)
        child_replaced(old, c->id, false);
    xchg_send_response(x, &d);
    child_unsure(c);
    return SL_OK;
}

static enum sl_rc rekey_ike_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_xchg *out = sa->out;
    struct ike_sa offer;
    struct ike_ke ke;
    x->kind = XCHG_REKEY_IKE;
    SL_TRY(check_idle(x, err));
    if (out && out->kind != XCHG_REKEY_IKE && out->kind != XCHG_LIVENESS) {
        (void)SL_FAIL(err, SL_IKE_STATE, "an exchange about a child is out (RFC 7296 2.25.2)");
        return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
    }
    SL_TRY(ike_sa_read(&offer, ike_payloads_find(&x->list, IKE_P_SA)->body, err));
    SL_TRY(ike_sa_select_ike(&x->choice, &offer, sa->conn->conf->ike, sa->conn->conf->ike_n,
                             IKE_OFFER_REKEY, IKE_PREFER_PEER, err));
    SL_TRY(no_additional(x, err));
    SL_TRY(take_spi(x->peer_spi, x->choice.spi, err));
    SL_TRY(read_nonce(x, &x->ni, err));
    SL_TRY(xchg_nonce(x, &x->nr, err));
    if (!read_ke(x, x->choice.ke, &ke))
        return wrong_group(x, x->choice.ke, err);
    x->next = isa_new(sa->ike, false);
    if (!x->next)
        return SL_FAIL_MEM(err);
    memcpy(x->next->spi_i, x->peer_spi, IKE_SPI_LEN);
    x->group = x->choice.ke;
    SL_TRY(xchg_ask_ke(x, ke.data, err));
    if (out && out->kind == XCHG_REKEY_IKE && !note_rival(out, x))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

static enum sl_rc ike_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa, *next = x->next;
    SL_TRY(xchg_take_ke(x, err));
    if (sa->state != ISA_REKEYED && (sa->state != ISA_UP || sa->want_delete)) {
        (void)SL_FAIL(err, SL_IKE_STATE, "IKE SA is being closed");
        return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
    }
    SL_TRY(make_next(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    ike_put_sa_choice(&w, &x->choice, sl_bytes(next->spi_r, IKE_SPI_LEN));
    ike_put_nonce(&w, sl_buf_bytes(&x->nr));
    ike_put_ke(&w, (uint16_t)x->group, sl_kex_public(x->kex));
    SL_TRY(xchg_respond(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    adopt(x);
    struct ike_xchg *out = sa->out;
    if (sa->state == ISA_REKEYED)
        redundant(next, sa->replaced_by, false); /* our own rekey won meanwhile */
    else if (out && out->kind == XCHG_REKEY_IKE && out->rival)
        out->rival_id = next->id; /* who wins shows when our own is answered */
    else
        succeed(sa, next, false);
    return SL_OK;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_xchg *out = sa->out;
    sa->ike->stats.refused++;
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, x->child, rc, "CREATE_CHILD_SA refused: %s",
              sl_err_text(err));
    /* What was noted as a rival will not be made. */
    if (out && out->rival && out->kind == x->kind && out->old_child == x->old_child &&
        !out->rival_id)
        out->rival = false;
    struct ike_child *old = x->old_child ? child_find(sa, x->old_child) : NULL;
    if (old && old->state == CHILD_UP && !out && x->kind == XCHG_REKEY_CHILD) {
        old->want_rekey = true;
        old->retry_ns = later(sa->ike);
        isa_touch(sa);
    }
    if (sa->win.rx_busy)
        (void)xchg_respond_refused(x, IKE_CREATE_CHILD_SA, rc);
    if (xchg_refusal(x, rc) == IKE_N_INVALID_SYNTAX)
        /* SPEC RFC7296-2.21.3 MUST: after INVALID_SYNTAX under protection both sides end the SA */
        isa_end(sa, rc, sl_err_text(err), true);
}

static const struct ike_step create_responder[] = {
    { .from = X_NEW,
      .on = REQUEST(IKE_CREATE_CHILD_SA),
      .notify = IKE_N_REKEY_SA,
      .need = P(SA) | P(NONCE) | P(TSi) | P(TSr),
      .may = P(KE),
      .run = rekey_child_in,
      .to = C_WAIT_SHARED,
      .story = "peer rekeys a child" },
    { .from = X_NEW,
      .on = REQUEST(IKE_CREATE_CHILD_SA),
      .need = P(SA) | P(NONCE) | P(TSi) | P(TSr),
      .may = P(KE),
      .run = new_child_in,
      .to = C_WAIT_SHARED,
      .story = "peer asks for a child" },
    { .from = X_NEW,
      .on = REQUEST(IKE_CREATE_CHILD_SA),
      .need = P(SA) | P(NONCE) | P(KE),
      .run = rekey_ike_in,
      .to = C_WAIT_SHARED_IKE,
      .story = "peer rekeys the IKE SA" },
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = child_out, .to = X_DONE },
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_NOTHING), .run = child_out, .to = X_DONE },
    { .from = C_WAIT_SHARED_IKE, .on = ANSWER(ASK_KE), .run = ike_out, .to = X_DONE },
};
const struct ike_table ike_create_responder =
    IKE_TABLE("CREATE_CHILD_SA responder", create_responder, responder_fail);
