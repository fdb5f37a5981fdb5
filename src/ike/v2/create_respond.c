/*
 * CREATE_CHILD_SA, the responder's side (see create_child.c): what the peer asks for is answered, unless
 * something else is under way on the same SA.
 */
#include "src/ike/v2/create.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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

static const struct ike_table aside_table;

/* Notes on our own exchange that the peer made the same at once; nr is ours. */
static bool note_rival(struct ike_xchg *ours, const struct ike_xchg *x)
{
    if (!sl_buf_set(&ours->rival_nonce, nonce_lower(sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr))))
        return false;
    ours->rival = true;
    return true;
}

static enum sl_rc wrong_group(struct ike_xchg *x, enum sl_ke want, struct sl_err *err)
{
    const uint8_t group[2] = { (uint8_t)(want >> 8), (uint8_t)want };
    if (!sl_buf_set(&x->refuse_data, sl_bytes(group, sizeof(group))))
        return SL_FAIL_MEM(err);
    (void)SL_FAIL(err, SL_IKE_INVALID_KE,
                  "KE payload is not of the group chosen, %s (RFC 7296 1.3)", sl_ke_text(want));
    return xchg_refuse(x, IKE_N_INVALID_KE_PAYLOAD, SL_IKE_INVALID_KE);
}

/* With additional key exchanges the answer is not the end. */
static enum sl_rc ask_answer(struct ike_xchg *x, const struct ike_ke *ke, struct sl_err *err)
{
    SL_TRY(xchg_ask_ke(x, ke->data, err));
    if (ike_addke_n(&x->choice.add))
        x->table = &aside_table;
    return SL_OK;
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
    SL_TRY(child_read_nonce(x, &x->ni, err));
    SL_TRY(xchg_nonce(x, &x->nr, err));
    if (!child_read_ke(x, x->child->ke, &ke))
        return wrong_group(x, x->child->ke, err);
    x->group = x->child->ke;
    if (x->group != SL_KE_NONE)
        return ask_answer(x, &ke, err);
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
        child_read_spi(n.spi, &spi))
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

static void put_child(struct ike_wr *w, const struct ike_xchg *x)
{
    uint8_t spi[4];
    child_spi_bytes(spi, x->child->spi_in);
    ike_put_sa_choice(w, &x->choice, sl_bytes(spi, sizeof(spi)));
    ike_put_nonce(w, sl_buf_bytes(&x->nr));
    if (x->group != SL_KE_NONE)
        ike_put_ke(w, (uint16_t)x->group, sl_kex_public(x->kex));
    ike_put_ts(w, IKE_P_TSi, x->child->remote.v, x->child->remote.n);
    ike_put_ts(w, IKE_P_TSr, x->child->local.v, x->child->local.n);
}

/* The child comes into being, before its answer goes out. */
static enum sl_rc child_commit(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = x->child, *old = child_find(sa, x->old_child);
    child_add(sa, c);
    sl_secret_clear(&c->more);
    sl_secret_move(&c->more, &x->more);
    const enum sl_rc rc =
        child_install(c, false, x->kind == XCHG_NEW_CHILD, sl_buf_bytes(&x->ni),
                      sl_buf_bytes(&x->nr), x->shared.len ? &x->shared : NULL, err);
    if (rc != SL_OK) {
        child_unlink(c);
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
    return SL_OK;
}

static enum sl_rc child_out(struct ike_xchg *x, struct sl_err *err)
{
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    SL_TRY(check_idle(x, err));
    SL_TRY(check_old(x, child_find(x->sa, x->old_child), err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    put_child(&w, x);
    struct ike_datagrams d = { 0 };
    SL_TRY(xchg_seal_response(x, IKE_CREATE_CHILD_SA, &w, &buf, &d, err));
    struct ike_child *c = x->child;
    const enum sl_rc rc = child_commit(x, err);
    if (rc != SL_OK) {
        ike_datagrams_clear(&d);
        return rc;
    }
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
    SL_TRY(create_take_spi(x->peer_spi, x->choice.spi, err));
    SL_TRY(child_read_nonce(x, &x->ni, err));
    SL_TRY(xchg_nonce(x, &x->nr, err));
    if (!child_read_ke(x, x->choice.ke, &ke))
        return wrong_group(x, x->choice.ke, err);
    x->next = isa_new(sa->ike, false);
    if (!x->next)
        return SL_FAIL_MEM(err);
    memcpy(x->next->spi_i, x->peer_spi, IKE_SPI_LEN);
    x->group = x->choice.ke;
    SL_TRY(ask_answer(x, &ke, err));
    if (out && out->kind == XCHG_REKEY_IKE && !note_rival(out, x))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

static void put_ike(struct ike_wr *w, const struct ike_xchg *x)
{
    ike_put_sa_choice(w, &x->choice, sl_bytes(x->next->spi_r, IKE_SPI_LEN));
    ike_put_nonce(w, sl_buf_bytes(&x->nr));
    ike_put_ke(w, (uint16_t)x->group, sl_kex_public(x->kex));
}

static enum sl_rc check_not_closed(struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    if (sa->state == ISA_REKEYED || (sa->state == ISA_UP && !sa->want_delete))
        return SL_OK;
    (void)SL_FAIL(err, SL_IKE_STATE, "IKE SA is being closed");
    return xchg_refuse(x, IKE_N_TEMPORARY_FAILURE, SL_IKE_STATE);
}

/* The IKE SA's successor comes into being; its keys are made. */
static void ike_commit(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa, *next = x->next;
    create_adopt(x);
    struct ike_xchg *out = sa->out;
    if (sa->state == ISA_REKEYED)
        create_redundant(next, sa->replaced_by, false); /* our own rekey won meanwhile */
    else if (out && out->kind == XCHG_REKEY_IKE && out->rival)
        out->rival_id = next->id; /* who wins shows when our own is answered */
    else
        create_succeed(sa, next, false);
}

static enum sl_rc ike_out(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    SL_TRY(check_not_closed(x, err));
    SL_TRY(create_make_next(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    put_ike(&w, x);
    SL_TRY(xchg_respond(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    ike_commit(x);
    return SL_OK;
}

/* ---- responder, with additional key exchanges: answered, and put aside (followup.c) ------------- */

static enum sl_rc aside_out(struct ike_xchg *x, struct sl_err *err)
{
    const bool is_ike = x->kind == XCHG_REKEY_IKE;
    SL_TRY(xchg_take_ke(x, err));
    SL_TRY(is_ike ? check_not_closed(x, err) : check_idle(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    if (is_ike)
        put_ike(&w, x);
    else
        put_child(&w, x);
    x->series = ++x->sa->ike->next_id;
    followup_put_link(&w, x);
    SL_TRY(xchg_respond(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    sl_secret_move(&x->base, &x->shared);
    followup_aside(x);
    return SL_OK;
}

enum sl_rc create_prepare(struct ike_xchg *x, struct sl_err *err)
{
    if (x->kind != XCHG_REKEY_IKE) {
        SL_TRY(check_idle(x, err));
        return check_old(x, child_find(x->sa, x->old_child), err);
    }
    SL_TRY(check_not_closed(x, err));
    return create_make_next(x, err);
}

enum sl_rc create_commit(struct ike_xchg *x, struct sl_err *err)
{
    if (x->kind != XCHG_REKEY_IKE)
        return child_commit(x, err);
    ike_commit(x);
    return SL_OK;
}

void create_no_rival(const struct ike_xchg *x)
{
    struct ike_xchg *out = x->sa->out;
    if (out && out->rival && out->kind == x->kind && out->old_child == x->old_child &&
        !out->rival_id)
        out->rival = false;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_xchg *out = sa->out;
    sa->ike->stats.refused++;
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, x->child, rc, "CREATE_CHILD_SA refused: %s",
              sl_err_text(err));
    create_no_rival(x); /* what was noted as one will not be made */
    struct ike_child *old = x->old_child ? child_find(sa, x->old_child) : NULL;
    if (old && old->state == CHILD_UP && !out && x->kind == XCHG_REKEY_CHILD) {
        old->want_rekey = true;
        old->retry_ns = create_later(sa->ike);
        isa_touch(sa);
    }
    if (sa->win.rx_busy)
        (void)xchg_respond_refused(x, IKE_CREATE_CHILD_SA, rc);
    if (xchg_refusal(x, rc) == IKE_N_INVALID_SYNTAX)
        /* SPEC RFC7296-2.21.3 MUST: after INVALID_SYNTAX under protection both sides end the SA */
        isa_end(sa, rc, sl_err_text(err), true);
}

static const struct ike_step aside[] = {
    { .from = C_WAIT_SHARED,
      .on = ANSWER(ASK_KE),
      .run = aside_out,
      .to = F_ASIDE,
      .story = "CREATE_CHILD_SA answered; more key exchanges are to come" },
    { .from = C_WAIT_SHARED_IKE,
      .on = ANSWER(ASK_KE),
      .run = aside_out,
      .to = F_ASIDE,
      .story = "CREATE_CHILD_SA answered; more key exchanges are to come" },
};
static const struct ike_table aside_table =
    IKE_TABLE("CREATE_CHILD_SA responder, more to come", aside, responder_fail);

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
