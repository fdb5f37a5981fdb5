/*
 * IKE_FOLLOWUP_KE (RFC 9370 2.2.4): the additional key exchanges of CREATE_CHILD_SA
 *
 *   (CREATE_CHILD_SA as in create_child.c)  -->
 *                                     <--  ..., N(ADDITIONAL_KEY_EXCHANGE)(link)
 *   SK { KEi(n), N(ADDITIONAL_KEY_EXCHANGE)(link) }  -->
 *                                     <--  SK { KEr(n), [N(ADDITIONAL_KEY_EXCHANGE)(link)] }
 *
 * once for each additional key exchange; what is negotiated comes into being with the last one. The
 * link is the responder's, and tells which negotiation a request goes on with.
 *
 * The initiator's exchange lasts over the whole series. The responder puts the negotiation aside
 * after each answer (struct ike_xchg in sa->aside): few of them, each for a limited time. Both sides
 * may rekey the same SA at once; the nonces of CREATE_CHILD_SA decide as ever, when a series ends.
 */
#include "src/ike/core.h"

#include <assert.h>

/* ---- both sides ------------------------------------------------------------------------------- */

/* *out = x->more | what was just agreed. */
static enum sl_rc add_secret(struct sl_secret *out, const struct sl_secret *more,
                             const struct sl_secret *shared, struct sl_err *err)
{
    SL_TRY(sl_secret_init(out, more->len + shared->len, err));
    struct sl_wr w = sl_wr_fixed(out->p, out->len);
    sl_wr_put(&w, sl_secret_bytes(more));
    sl_wr_put(&w, sl_secret_bytes(shared));
    return SL_OK;
}

static enum sl_rc read_ke(const struct ike_xchg *x, enum sl_ke want, struct ike_ke *ke,
                          struct sl_err *err)
{
    if (!ike_ke_read(ke, ike_payloads_find(&x->list, IKE_P_KE)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_FOLLOWUP_KE: KE payload is malformed (RFC 7296 3.4)");
    if (ke->group != (uint16_t)want)
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_FOLLOWUP_KE: KE payload is of group %u, negotiated was %s (RFC 9370 "
                       "2.2.4)",
                       ke->group, sl_ke_text(want));
    return SL_OK;
}

/* ---- initiator -------------------------------------------------------------------------------- */

enum sl_rc followup_link(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    if (!ike_notify_find(&x->list, IKE_N_ADDITIONAL_KEY_EXCHANGE, &n) || !n.data.len)
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "additional key exchanges were chosen, and ADDITIONAL_KEY_EXCHANGE with "
                       "their link is missing (RFC 9370 2.2.4)");
    if (n.data.len > IKE_LINK_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "ADDITIONAL_KEY_EXCHANGE: link of %zu bytes, at most %d",
                       n.data.len, IKE_LINK_MAX);
    return sl_buf_set(&x->link, n.data) ? SL_OK : SL_FAIL_MEM(err);
}

/* Our value of the key exchange after `done` of them. */
static enum sl_rc ask_value(struct ike_xchg *x, size_t done, struct sl_err *err)
{
    struct sl_kex *old = sl_steal(&x->kex);
    const enum sl_ke old_group = x->group;
    x->group = ike_addke_get(&x->choice.add, done);
    const enum sl_rc rc = xchg_ask_ke(x, sl_bytes(NULL, 0), err);
    if (rc != SL_OK) {
        x->kex = old;
        x->group = old_group;
        return rc;
    }
    sl_kex_free(old);
    return SL_OK;
}

static bool is_last(const struct ike_xchg *x)
{
    return x->more_done + 1 == ike_addke_n(&x->choice.add);
}

/* SK(0), of CREATE_CHILD_SA itself. */
static enum sl_rc first_in(struct ike_xchg *x, struct sl_err *err)
{
    enum sl_rc rc = xchg_take_ke(x, err);
    if (rc == SL_OK)
        rc = ask_value(x, 0, err);
    if (rc == SL_NO_MEMORY) /* where its response is awaited once more */
        x->table = x->kind == XCHG_REKEY_IKE ? &ike_rekey_initiator : &ike_child_initiator;
    if (rc != SL_OK)
        return rc;
    sl_secret_clear(&x->base);
    sl_secret_move(&x->base, &x->shared);
    if (is_last(x))
        x->table = &ike_followup_last_initiator;
    return SL_OK;
}

static enum sl_rc send_request(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    if (!isa_alive(x->sa) || x->sa->state == ISA_DELETING)
        return SL_FAIL(err, SL_IKE_DELETED, "IKE SA is being closed");
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_ke(&c, (uint16_t)x->group, sl_kex_public(x->kex));
    ike_put_notify(&c, IKE_N_ADDITIONAL_KEY_EXCHANGE, sl_buf_bytes(&x->link));
    SL_TRY(xchg_request(x, IKE_FOLLOWUP_KE, &c, &buf, err));
    x->sent_state = F_SENT;
    return SL_OK;
}

static enum sl_rc request_out(struct ike_xchg *x, struct sl_err *err)
{
    const enum sl_rc rc = send_request(x, err);
    /* The response before this was taken, and would lead nowhere if it came again. */
    return rc == SL_NO_MEMORY ? SL_FAIL(err, SL_UNAVAILABLE, "no memory for IKE_FOLLOWUP_KE") : rc;
}

static enum sl_rc response_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_ke ke;
    SL_TRY(read_ke(x, x->group, &ke, err));
    if (!is_last(x))
        SL_TRY(followup_link(x, err));
    return xchg_ask_ke(x, ke.data, err);
}

static enum sl_rc shared_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_AUTO_SECRET more = { 0 };
    SL_TRY(xchg_take_ke(x, err));
    SL_TRY(add_secret(&more, &x->more, &x->shared, err));
    SL_TRY(ask_value(x, x->more_done + 1, err));
    sl_secret_clear(&x->more);
    sl_secret_move(&x->more, &more);
    x->more_done++;
    if (is_last(x))
        x->table = &ike_followup_last_initiator;
    return SL_OK;
}

static enum sl_rc last_shared_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_AUTO_SECRET more = { 0 };
    SL_TRY(xchg_take_ke(x, err));
    SL_TRY(add_secret(&more, &x->more, &x->shared, err));
    sl_secret_clear(&x->more);
    sl_secret_move(&x->more, &more);
    sl_secret_clear(&x->shared);
    sl_secret_move(&x->shared, &x->base);
    x->job = NULL; /* its secret is in x->more */
    const enum sl_rc rc = create_finish(x, err);
    return rc == SL_NO_MEMORY ? SL_FAIL(err, SL_UNAVAILABLE, "no memory after IKE_FOLLOWUP_KE")
                              : rc;
}

static enum sl_rc refused_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    char name[IKE_TEXT];
    if (!ike_notify_find_error(&x->list, &n))
        return SL_FAIL(err, SL_IKE_MALFORMED, "IKE_FOLLOWUP_KE response without KE");
    /* SPEC RFC9370-2.2.4: the peer has given the negotiation up; it may be begun anew */
    x->refuse = n.type == IKE_N_STATE_NOT_FOUND ? IKE_N_TEMPORARY_FAILURE : n.type;
    return SL_FAIL(err, SL_IKE_PEER_ERROR, "peer answered IKE_FOLLOWUP_KE with %s",
                   ike_notify_text(name, n.type));
}

/* The rows of one exchange; they differ in what follows it. */
#define ONE_EXCHANGE(last_run, last_to)                                                 \
    { .from = F_WAIT_KE,                                                                \
      .on = ANSWER(ASK_KE),                                                             \
      .run = request_out,                                                               \
      .to = F_SENT,                                                                     \
      .story = "IKE_FOLLOWUP_KE sent" },                                                \
        { .from = F_SENT,                                                               \
          .on = RESPONSE(IKE_FOLLOWUP_KE),                                              \
          .notify = IKE_ANY_ERROR,                                                      \
          .need = P(N),                                                                 \
          .run = refused_in,                                                            \
          .to = X_DONE },                                                               \
        { .from = F_SENT,                                                               \
          .on = RESPONSE(IKE_FOLLOWUP_KE),                                              \
          .need = P(KE),                                                                \
          .run = response_in,                                                           \
          .to = F_WAIT_SHARED },                                                        \
    {                                                                                   \
        .from = F_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = (last_run), .to = (last_to) \
    }

static const struct ike_step initiator[] = {
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = first_in, .to = F_WAIT_KE },
    { .from = C_WAIT_SHARED_IKE, .on = ANSWER(ASK_KE), .run = first_in, .to = F_WAIT_KE },
    ONE_EXCHANGE(shared_in, F_WAIT_KE),
};
const struct ike_table ike_followup_initiator =
    IKE_TABLE("IKE_FOLLOWUP_KE initiator", initiator, create_initiator_fail);
static const struct ike_step last_initiator[] = { ONE_EXCHANGE(last_shared_in, X_DONE) };
const struct ike_table ike_followup_last_initiator =
    IKE_TABLE("last IKE_FOLLOWUP_KE initiator", last_initiator, create_initiator_fail);

bool followup_peer_made_it(const struct ike_xchg *x)
{
    return x->table == &ike_followup_last_initiator &&
           ((x->state == F_SENT && !x->refuse) || x->state == F_WAIT_SHARED);
}

/* ---- responder: what is put aside ------------------------------------------------------------- */

static struct ike_xchg *find_aside(const struct ike_isa *sa, uint64_t series)
{
    struct ike_xchg *p = sa->aside;
    while (p && p->series != series)
        p = p->aside_next;
    return p;
}

static bool same_target(const struct ike_xchg *a, const struct ike_xchg *b)
{
    return a->kind == b->kind && a->kind != XCHG_NEW_CHILD && a->old_child == b->old_child;
}

/* The peer does not go on with it: whom it would have met as a rival stands alone again. */
static void give_up(struct ike_xchg *p, const char *why)
{
    struct ike_isa *sa = p->sa;
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, p->child, SL_TIMEOUT,
              "the peer's CREATE_CHILD_SA is given up: %s", why);
    create_no_rival(p);
    xchg_free(p);
}

void followup_aside(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_xchg *oldest = NULL, *next;
    size_t n = 0;
    for (struct ike_xchg *p = sa->aside; p; p = next) {
        next = p->aside_next;
        if (same_target(p, x)) {
            give_up(p, "it began anew");
            continue;
        }
        oldest = p;
        n++;
    }
    if (n >= IKE_ASIDE_MAX)
        give_up(oldest, "it began too many at once");
    assert(sa->in == x);
    sa->in = NULL;
    sl_buf_wipe(&x->plain);
    x->list.n = 0;
    x->job = NULL;
    x->aside_ns = sa->ike->now_ns + IKE_ASIDE_NS;
    x->aside_next = sa->aside;
    sa->aside = x;
    isa_touch(sa);
}

void followup_unlink(struct ike_xchg *x)
{
    for (struct ike_xchg **at = &x->sa->aside; *at; at = &(*at)->aside_next)
        if (*at == x) {
            *at = x->aside_next;
            return;
        }
}

void followup_due(struct ike_isa *sa)
{
    struct ike_xchg *next;
    for (struct ike_xchg *p = sa->aside; p; p = next) {
        next = p->aside_next;
        if (p->aside_ns <= sa->ike->now_ns)
            give_up(p, "its IKE_FOLLOWUP_KE did not come (RFC 9370 2.2.4)");
    }
}

int64_t followup_ns(const struct ike_isa *sa)
{
    int64_t at = INT64_MAX;
    for (const struct ike_xchg *p = sa->aside; p; p = p->aside_next)
        at = p->aside_ns < at ? p->aside_ns : at;
    return at;
}

bool followup_rekeys(const struct ike_isa *sa, enum ike_xchg_kind kind, uint64_t child)
{
    for (const struct ike_xchg *p = sa->aside; p; p = p->aside_next)
        if (p->kind == kind && p->old_child == child)
            return true;
    return false;
}

/* ---- responder: messages ---------------------------------------------------------------------- */

void followup_put_link(struct ike_wr *c, const struct ike_xchg *p)
{
    uint8_t link[8];
    struct sl_wr w = sl_wr_fixed(link, sizeof(link));
    sl_wr_u64(&w, p->series);
    ike_put_notify(c, IKE_N_ADDITIONAL_KEY_EXCHANGE, sl_bytes(link, sizeof(link)));
}

static enum sl_rc request_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    struct ike_ke ke;
    if (!ike_notifies_check(&x->list))
        return SL_FAIL(err, SL_IKE_MALFORMED, "N payload is malformed (RFC 7296 3.10)");
    struct sl_rd r = sl_rd(ike_notify_find(&x->list, IKE_N_ADDITIONAL_KEY_EXCHANGE, &n)
                               ? n.data
                               : (struct sl_bytes){ 0 });
    const uint64_t series = sl_rd_u64(&r);
    const struct ike_xchg *p = sl_rd_done(&r) ? find_aside(x->sa, series) : NULL;
    if (!p) {
        (void)SL_FAIL(err, SL_NOT_FOUND,
                      "peer goes on with a negotiation that is not there (RFC 9370 2.2.4)");
        return xchg_refuse(x, IKE_N_STATE_NOT_FOUND, SL_NOT_FOUND);
    }
    x->series = series;
    x->group = ike_addke_get(&p->choice.add, p->more_done);
    SL_TRY(read_ke(x, x->group, &ke, err));
    return xchg_ask_ke(x, ke.data, err);
}

/* The last one: all that was negotiated is made of p, and the answer is x's. */
static enum sl_rc finish(struct ike_xchg *x, struct ike_xchg *p, struct sl_secret *more,
                         struct ike_wr *c, struct sl_buf *buf, struct sl_err *err)
{
    struct ike_datagrams d = { 0 };
    sl_secret_clear(&p->more);
    sl_secret_move(&p->more, more);
    sl_secret_clear(&p->shared);
    sl_secret_move(&p->shared, &p->base);
    struct ike_child *child = p->child; /* NULL: the IKE SA is rekeyed */
    enum sl_rc rc = create_prepare(p, err);
    if (rc == SL_OK)
        rc = xchg_seal_response(x, IKE_FOLLOWUP_KE, c, buf, &d, err);
    if (rc == SL_OK)
        rc = create_commit(p, err);
    if (rc != SL_OK) {
        ike_datagrams_clear(&d);
        if (p->refuse)
            x->refuse = p->refuse;
        return rc == SL_NO_MEMORY ? SL_FAIL(err, SL_UNAVAILABLE, "no memory for the new SA") : rc;
    }
    xchg_send_response(x, &d);
    if (child)
        child_unsure(child);
    xchg_free(p);
    return SL_OK;
}

static enum sl_rc response_out(struct ike_xchg *x, struct sl_err *err)
{
    SL_AUTO_SECRET more = { 0 };
    SL_TRY(xchg_take_ke(x, err));
    struct ike_xchg *p = find_aside(x->sa, x->series);
    if (!p) {
        (void)SL_FAIL(err, SL_NOT_FOUND, "the negotiation was given up meanwhile");
        return xchg_refuse(x, IKE_N_STATE_NOT_FOUND, SL_NOT_FOUND);
    }
    SL_TRY(add_secret(&more, &p->more, &x->shared, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_ke(&c, (uint16_t)x->group, sl_kex_public(x->kex));
    if (p->more_done + 1 == ike_addke_n(&p->choice.add))
        return finish(x, p, &more, &c, &buf, err);
    followup_put_link(&c, p);
    SL_TRY(xchg_respond(x, IKE_FOLLOWUP_KE, &c, &buf, err));
    sl_secret_clear(&p->more);
    sl_secret_move(&p->more, &more);
    p->more_done++;
    p->aside_ns = x->sa->ike->now_ns + IKE_ASIDE_NS;
    return SL_OK;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_xchg *p = x->series ? find_aside(sa, x->series) : NULL;
    sa->ike->stats.refused++;
    if (p)
        give_up(p, sl_err_text(err));
    else
        ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, rc, "IKE_FOLLOWUP_KE refused: %s",
                  sl_err_text(err));
    if (sa->win.rx_busy)
        (void)xchg_respond_refused(x, IKE_FOLLOWUP_KE, rc);
    if (xchg_refusal(x, rc) == IKE_N_INVALID_SYNTAX)
        /* SPEC RFC7296-2.21.3 MUST: after INVALID_SYNTAX under protection both sides end the SA */
        isa_end(sa, rc, sl_err_text(err), true);
}

static const struct ike_step responder[] = {
    { .from = X_NEW,
      .on = REQUEST(IKE_FOLLOWUP_KE),
      .need = P(KE) | P(N),
      .run = request_in,
      .to = F_WAIT_SHARED },
    { .from = F_WAIT_SHARED,
      .on = ANSWER(ASK_KE),
      .run = response_out,
      .to = X_DONE,
      .story = "IKE_FOLLOWUP_KE answered" },
};
const struct ike_table ike_followup_responder =
    IKE_TABLE("IKE_FOLLOWUP_KE responder", responder, responder_fail);
