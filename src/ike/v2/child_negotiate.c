/*
 * What IKE_AUTH and CREATE_CHILD_SA share of the negotiation of a child SA (RFC 7296 2.7, 2.9): its
 * proposal, its selectors, and the KE and Nonce payloads of CREATE_CHILD_SA.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <string.h>

bool child_read_spi(const struct sl_bytes spi, uint32_t *out)
{
    struct sl_rd r = sl_rd(spi);
    *out = sl_rd_u32(&r);
    return sl_rd_done(&r) && *out > 255; /* RFC 4303 2.1 */
}

static enum sl_rc read_selectors(const struct ike_xchg *x, struct sl_ts tsi[SL_TS_MAX],
                                 size_t *tsi_n, struct sl_ts tsr[SL_TS_MAX], size_t *tsr_n,
                                 struct sl_err *err)
{
    SL_TRY(ike_ts_read(tsi, tsi_n, NULL, ike_payloads_find(&x->list, IKE_P_TSi)->body, err));
    return ike_ts_read(tsr, tsr_n, NULL, ike_payloads_find(&x->list, IKE_P_TSr)->body, err);
}

static enum sl_rc settle(struct ike_xchg *x, struct ike_child *c, struct sl_err *err)
{
    if (!child_read_spi(x->choice.spi, &c->spi_out))
        return SL_FAIL(err, SL_IKE_MALFORMED, "ESP proposal has no SPI above 255 (RFC 4303 2.1)");
    c->suite = x->choice.suite;
    c->esn = x->choice.esn;
    c->ke = x->choice.ke;
    return SL_OK;
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
bool child_read_ke(const struct ike_xchg *x, enum sl_ke group, struct ike_ke *ke)
{
    const struct ike_payload *p = ike_payloads_find(&x->list, IKE_P_KE);
    *ke = (struct ike_ke){ 0 };
    if (group == SL_KE_NONE)
        return true;
    return p && ike_ke_read(ke, p->body) && ke->group == (uint16_t)group;
}

enum sl_rc child_read_nonce(const struct ike_xchg *x, struct sl_buf *to, struct sl_err *err)
{
    struct sl_bytes nonce;
    if (!ike_nonce_read(&nonce, ike_payloads_find(&x->list, IKE_P_NONCE)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED, "nonce is not 16 to 256 bytes (RFC 7296 3.9)");
    return sl_buf_set(to, nonce) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc child_offer(struct ike_xchg *x, struct ike_child *c, const struct sl_conf_child *conf,
                       struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    if (x->kind == XCHG_REKEY_CHILD) {
        if (sa->children_n >= IKE_CHILDREN_MAX)
            return SL_FAIL(err, SL_IKE_LIMIT, "%d children are the most", IKE_CHILDREN_MAX);
        x->child = child_new(sa, c->name);
        if (!x->child || !selectors_set(&x->offer_i, c->local.v, c->local.n) ||
            !selectors_set(&x->offer_r, c->remote.v, c->remote.n))
            return SL_FAIL_MEM(err);
        x->child->replaces = c->id;
        return SL_OK;
    }
    struct sl_ts allowed[SL_TS_MAX], ours[SL_TS_MAX];
    size_t n, ours_n;
    SL_TRY(child_allowed(sa, conf, allowed, &n, err));
    SL_TRY(vip_selectors(sa, conf->local_ts, conf->local_ts_n, true, false, ours, &ours_n, err));
    if (!selectors_set(&x->offer_i, ours, ours_n) || !selectors_set(&x->offer_r, allowed, n))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

void child_spi_bytes(uint8_t out[4], uint32_t spi)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(spi >> (24 - 8 * i));
}
