/*
 * INFORMATIONAL (RFC 7296 1.4, 2.4, 2.25): Delete of the IKE SA or of children, liveness, and the
 * frame of what mobike.c asks and answers.
 *
 *   D | nothing, [N]  -->
 *                     <--  D of the other half of each pair | nothing, [N]
 *
 * A Delete names the SPIs its sender receives on; the answer names those of the other direction,
 * unless their deletion is itself under way (1.4.1).
 */
#include "src/ike/core.h"

#include <assert.h>
#include <stdio.h>

/* ---- initiator --------------------------------------------------------------------------------- */

static enum sl_rc request_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = x->old_child ? child_find(sa, x->old_child) : NULL;
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    if (x->kind == XCHG_DELETE_IKE) {
        if (sa->end_notify)
            ike_put_notify(&w, sa->end_notify, sl_bytes(NULL, 0));
        ike_put_delete_ike(&w);
    } else if (x->kind == XCHG_DELETE_CHILD) {
        assert(c);
        ike_put_delete_esp(&w, &c->spi_in, 1);
    }
    mobike_put_request(&w, x);
    SL_TRY(xchg_request(x, IKE_INFORMATIONAL, &w, &buf, err));
    mobike_sent(sa);
    x->sent_state = D_SENT;
    if (x->kind == XCHG_DELETE_IKE) {
        sa->state = ISA_DELETING;
        sa->half_open_ns = INT64_MAX;
    }
    if (c) {
        c->state = CHILD_DELETING;
        c->gone_ns = INT64_MAX;
    }
    sa->want_liveness = false;
    return SL_OK;
}

static enum sl_rc response_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    (void)err;
    if (x->kind == XCHG_DELETE_IKE) {
        isa_end(sa, sa->end_rc ? sa->end_rc : SL_IKE_DELETED, sa->end_text[0] ? sa->end_text : NULL,
                false);
    } else if (x->kind == XCHG_DELETE_CHILD) {
        struct ike_child *c = child_find(sa, x->old_child);
        if (c && c->state == CHILD_DELETING)
            child_end(c, c->end_rc ? c->end_rc : SL_IKE_DELETED, true);
    }
    mobike_response(x);
    return SL_OK;
}

static void initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    if (rc == SL_NO_MEMORY) {
        sa->retry_ns = sa->ike->now_ns + SL_NS_PER_S; /* the wish stands */
        isa_touch(sa);
        return;
    }
    /* An answer that cannot be read is an answer to what was asked. */
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, rc, "INFORMATIONAL: %s", sl_err_text(err));
    ike_window_answered(&sa->win);
    (void)response_in(x, NULL);
}

static const struct ike_step initiator[] = {
    { .from = X_NEW, .on = GO, .run = request_out, .to = D_SENT },
    { .from = D_SENT,
      .on = RESPONSE(IKE_INFORMATIONAL),
      .may = P(D) | P(CP),
      .run = response_in,
      .to = X_DONE },
};
const struct ike_table ike_info_initiator =
    IKE_TABLE("INFORMATIONAL initiator", initiator, initiator_fail);

/* ---- responder --------------------------------------------------------------------------------- */

#define DELETES_MAX IKE_CHILDREN_MAX

struct deletes {
    struct ike_child *child[DELETES_MAX];
    size_t n;
    bool ike;
};

/*
 * A child that the peer has made by its answer to our request and deletes already, while we compute
 * its keys: the Delete is answered as usual and carried out when it is there. Where the answer itself
 * has not come yet, its SPI is kept until it does.
 */
static struct ike_child *being_made(struct ike_isa *sa, uint32_t spi)
{
    struct ike_xchg *out = sa->out;
    if (!out || (out->kind != XCHG_REKEY_CHILD && out->kind != XCHG_NEW_CHILD))
        return NULL;
    if (out->child && out->child->spi_out == spi)
        return out->child;
    if (out->early_deletes < IKE_EARLY_DELETES)
        out->early_delete[out->early_deletes++] = spi;
    return NULL;
}

static enum sl_rc read_deletes(struct ike_xchg *x, struct deletes *d, struct sl_err *err)
{
    const struct ike_payload *p = NULL;
    while ((p = ike_payloads_next(&x->list, IKE_P_D, p))) {
        struct ike_delete del;
        if (!ike_delete_read(&del, p->body))
            return SL_FAIL(err, SL_IKE_MALFORMED, "D payload is malformed (RFC 7296 3.11)");
        if (del.protocol == IKE_PROTO_IKE)
            d->ike = true;
        for (size_t i = 0; del.protocol == IKE_PROTO_ESP && i < del.n; i++) {
            struct ike_child *c = child_by_spi_out(x->sa, ike_delete_spi(&del, i));
            if (!c)
                c = being_made(x->sa, ike_delete_spi(&del, i));
            for (size_t k = 0; c && k < d->n; k++)
                if (d->child[k] == c)
                    c = NULL;
            if (c && d->n < DELETES_MAX)
                d->child[d->n++] = c;
        }
    }
    return SL_OK;
}

/* The peer ends the SA, maybe while our own rekey of it is out (RFC 7296 2.25.2: forget that). */
static void peer_ends(struct ike_isa *sa, enum sl_rc rc, const char *text)
{
    struct ike_xchg *out = sa->out;
    struct ike_isa *rival = out && out->kind == XCHG_REKEY_IKE && out->rival_id
                                ? isa_find(sa->ike, out->rival_id)
                                : NULL;
    if (rival && rival->state == ISA_UP && sa->state == ISA_UP) {
        isa_inherit(rival, sa);
        sa->replaced_by = rival->id;
        sa->quiet = true;
        ike_event(sa->ike, SL_IKE_EV_IKE_REKEYED, rival, NULL, SL_OK, "replaces IKE SA %llu",
                  (unsigned long long)sa->id);
    }
    /* The loser of two simultaneous rekeys may go before our own exchange is over: no loss either. */
    for (const struct ike_isa *old = sa->ike->sas; old; old = old->next)
        if (old->out && old->out->kind == XCHG_REKEY_IKE && old->out->rival_id == sa->id)
            sa->quiet = true;
    isa_end(sa, sa->state == ISA_DELETING && sa->end_rc ? sa->end_rc : rc, text, true);
}

static enum sl_rc request_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct deletes d = { 0 };
    uint32_t spi[DELETES_MAX];
    size_t n = 0;
    struct ike_notify note;
    if (!ike_notifies_check(&x->list))
        return SL_FAIL(err, SL_IKE_MALFORMED, "N payload is malformed (RFC 7296 3.10)");
    SL_TRY(read_deletes(x, &d, err));
    /* SPEC RFC7296-1.4.1 MUST: no Delete in the answer for what our own Delete is out for */
    for (size_t i = 0; i < d.n; i++)
        if (d.child[i]->state != CHILD_DELETING)
            spi[n++] = d.child[i]->spi_in;
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    if (n && !d.ike)
        ike_put_delete_esp(&w, spi, n);
    bool update;
    mobike_put_response(&w, x, &update);
    SL_TRY(xchg_respond(x, IKE_INFORMATIONAL, &w, &buf, err));
    if (ike_notify_find(&x->list, IKE_N_AUTHENTICATION_FAILED, &note)) {
        sa->ike->stats.refused++;
        peer_ends(sa, SL_IKE_PEER_REFUSED, "peer refused our authentication; its own log says why");
    } else if (d.ike) {
        peer_ends(sa, SL_IKE_DELETED, "peer deleted it");
    } else {
        for (size_t i = 0; i < d.n; i++) {
            if (sa->out && d.child[i] == sa->out->child) {
                d.child[i]->peer_deleted = true;
                continue;
            }
            /* The peer knows already that its rekey lost against ours: no loss to tell of. */
            if (sa->out && sa->out->rival && sa->out->rival_id == d.child[i]->id)
                d.child[i]->replaced_by = sa->out->old_child;
            child_end(d.child[i], SL_IKE_DELETED, true);
        }
    }
    mobike_requested(x, update);
    return SL_OK;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    if (sa->win.rx_busy)
        (void)xchg_respond_refused(x, IKE_INFORMATIONAL, rc);
    if (xchg_refusal(x, rc) == IKE_N_INVALID_SYNTAX)
        isa_end(sa, rc, sl_err_text(err), true);
}

static const struct ike_step responder[] = {
    { .from = X_NEW,
      .on = REQUEST(IKE_INFORMATIONAL),
      .may = P(D) | P(CP),
      .run = request_in,
      .to = X_DONE },
};
const struct ike_table ike_info_responder =
    IKE_TABLE("INFORMATIONAL responder", responder, responder_fail);

const struct ike_table *ike_responder_table(const struct ike_isa *sa, uint8_t exchange)
{
    if (!isa_alive(sa))
        return NULL;
    switch (exchange) {
    case IKE_CREATE_CHILD_SA:
        return &ike_create_responder;
    case IKE_INFORMATIONAL:
        return &ike_info_responder;
    default:
        return NULL;
    }
}
