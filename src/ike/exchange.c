/*
 * What all exchanges need: running events through their tables, questions to the shell, sealing and
 * sending, refusing, and coming back from a lack of memory. What the messages mean is in v2/.
 */
#include "src/ike/core.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life -------------------------------------------------------------------------------------- */

struct ike_xchg *xchg_new(struct ike_isa *sa, enum ike_xchg_kind kind, bool ours)
{
    struct ike_xchg *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->sa = sa;
    x->kind = kind;
    x->ours = ours;
    x->state = X_NEW;
    if (kind == XCHG_SETUP) {
        x->setup = calloc(1, sizeof(*x->setup));
        if (!x->setup) {
            free(x);
            return NULL;
        }
    }
    assert(ours ? !sa->out : !sa->in);
    *(ours ? &sa->out : &sa->in) = x;
    return x;
}

static void setup_free(struct ike_setup *s)
{
    if (!s)
        return;
    sl_buf_clear(&s->init_ours);
    sl_buf_clear(&s->init_theirs);
    sl_buf_clear(&s->cookie);
    sl_buf_clear(&s->id_ours);
    sl_buf_clear(&s->id_theirs);
    sl_buf_clear(&s->ours_sig);
    sl_buf_clear(&s->peer_responders);
    intermediate_free(s->intermediate);
    free(s->verdict);
    free(s);
}

/* The question is no longer of interest; its answer will find nobody. */
static void forget_question(struct ike_xchg *x)
{
    ike_map_del(&x->sa->ike->t.questions, &x->by_question);
    x->asking = 0;
}

void xchg_free(struct ike_xchg *x)
{
    if (!x)
        return;
    forget_question(x);
    v1_xchg_clear(x);
    struct ike_isa *sa = x->sa;
    if (sa->out == x)
        sa->out = NULL;
    if (sa->in == x)
        sa->in = NULL;
    followup_unlink(x);
    if (x->child)
        child_free(x->child);
    if (x->next)
        isa_free(x->next);
    sl_buf_wipe(&x->plain);
    sl_kex_free(x->kex);
    sl_secret_clear(&x->shared);
    sl_secret_clear(&x->base);
    sl_secret_clear(&x->more);
    sl_buf_clear(&x->link);
    sl_buf_clear(&x->ni);
    sl_buf_clear(&x->nr);
    selectors_clear(&x->offer_i);
    selectors_clear(&x->offer_r);
    sl_buf_clear(&x->rival_nonce);
    sl_buf_clear(&x->refuse_data);
    setup_free(x->setup);
    free(x);
}

void xchg_drop(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    if (x->ours)
        ike_window_answered(&sa->win);
    else
        sa->win.rx_busy = false;
    xchg_free(x);
}

/*
 * There was no memory to handle an event. A message that came will come again: go back to where it
 * is awaited. What was never sent cannot come back, so that exchange fails.
 */
static void lost(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct sl_err err = { 0 };
    (void)SL_FAIL_MEM(&err);
    forget_question(x);
    sl_secret_clear(&x->shared);
    if (!x->ours) {
        sa->win.rx_busy = false;
        if (x->kind == XCHG_SETUP && x->state >= R_INIT_DONE)
            x->state = R_INIT_DONE;
        else if (x->kind == XCHG_SETUP)
            isa_end(sa, SL_NO_MEMORY, NULL, false);
        else
            xchg_free(x);
        return;
    }
    if (x->sent_state && sa->win.tx_waiting) {
        x->state = x->sent_state;
        sa->win.tx_due_ns = sa->ike->now_ns + SL_NS_PER_S;
        return;
    }
    x->table->fail(x, SL_NO_MEMORY, &err);
    xchg_free(x);
}

void xchg_event(struct ike_xchg *x, uint16_t on, bool message)
{
    struct ike_isa *sa = x->sa;
    if (x->v1) {
        v1_event(x, on, message);
        return;
    }
    for (;;) {
        struct sl_err err = { 0 };
        const struct ike_table *table = x->table;
        const struct ike_step *s =
            ike_step_find(table, x->state, on, message ? &x->list : NULL, &err);
        const enum sl_rc rc = s ? s->run(x, &err) : err.rc;
        if (rc == SL_NO_MEMORY) {
            lost(x);
            return;
        }
        if (rc == IKE_IGNORED)
            return;
        if (rc != SL_OK || !s) {
            table->fail(x, rc, &err);
            xchg_free(x);
            return;
        }
        x->state = s->to;
        if (s->story)
            x->story = s->story;
        if (x->ours && message && x->state != x->sent_state)
            sa->win.tx_due_ns = INT64_MAX; /* answered; the window stays ours until we are done */
        if (s->story)
            ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, SL_OK, "%s", s->story);
        if (s->to == X_DONE) {
            if (x->ours)
                ike_window_answered(&sa->win);
            assert(x->ours || !sa->win.rx_busy);
            xchg_free(x);
            return;
        }
        if (x->asking != ASK_NOTHING)
            return;
        x->asking = 0;
        on = ANSWER(ASK_NOTHING);
        message = false;
    }
}

/* ---- questions --------------------------------------------------------------------------------- */

static void ask(struct ike_xchg *x, enum ike_question q, struct ike_act *act)
{
    struct sl_ike *ike = x->sa->ike;
    assert(!x->asking);
    act->a.id = ++ike->next_id;
    act->a.ike_sa = x->sa->id;
    ike_map_put(&ike->t.questions, &x->by_question, act->a.id);
    x->asking = q;
    ike_act_push(&ike->actions, act);
}

enum sl_rc xchg_ask_ke(struct ike_xchg *x, struct sl_bytes peer_public, struct sl_err *err)
{
    struct ike_act *act = ike_act_new(&x->sa->ike->actions, SL_IKE_ASK_KE);
    struct sl_ke_job *job = calloc(1, sizeof(*job));
    if (!act || !job || !sl_buf_put(&job->peer_public, peer_public)) {
        ike_act_free(act);
        sl_ke_job_free(job);
        return SL_FAIL_MEM(err);
    }
    job->group = x->group;
    job->kex = sl_steal(&x->kex);
    act->job = job;
    ask(x, ASK_KE, act);
    return SL_OK;
}

enum sl_rc xchg_ask_sign(struct ike_xchg *x, const char *key, enum sl_sig sig,
                         struct sl_buf *octets, struct sl_err *err)
{
    struct ike_act *act = ike_act_new(&x->sa->ike->actions, SL_IKE_ASK_SIGN);
    if (!act)
        return SL_FAIL_MEM(err);
    act->data = *octets;
    *octets = (struct sl_buf){ 0 };
    snprintf(act->key, sizeof(act->key), "%s", key);
    act->a.sig = sig;
    act->a.prf = x->sa->prf;
    ask(x, ASK_SIGN, act);
    return SL_OK;
}

enum sl_rc xchg_ask_skeyid(struct ike_xchg *x, const char *psk, struct sl_buf *nonces,
                           struct sl_err *err)
{
    struct ike_act *act = ike_act_new(&x->sa->ike->actions, SL_IKE_ASK_SIGN);
    if (!act)
        return SL_FAIL_MEM(err);
    act->data = *nonces;
    *nonces = (struct sl_buf){ 0 };
    snprintf(act->key, sizeof(act->key), "%s", psk);
    act->a.skeyid = true;
    act->a.prf = x->sa->prf;
    ask(x, ASK_SIGN, act);
    return SL_OK;
}

enum sl_rc xchg_ask_decision(struct ike_xchg *x, struct ike_ask *question, struct sl_err *err)
{
    struct ike_act *act = ike_act_new(&x->sa->ike->actions, SL_IKE_ASK_DECISION);
    if (!act)
        return SL_FAIL_MEM(err);
    act->ask = question;
    ask(x, ASK_DECISION, act);
    return SL_OK;
}

void xchg_ask_nothing(struct ike_xchg *x)
{
    assert(!x->asking);
    x->asking = ASK_NOTHING;
}

enum sl_rc xchg_take_ke(struct ike_xchg *x, struct sl_err *err)
{
    struct sl_ke_job *job = x->job;
    if (!x->kex)
        x->kex = sl_steal(&job->kex);
    if (job->rc != SL_OK) {
        if (job->rc == SL_NO_MEMORY)
            return SL_FAIL_MEM(err);
        return SL_FAIL(err, SL_IKE_MALFORMED, "key exchange with %s failed: %s",
                       sl_ke_text(job->group), sl_err_text(&job->err));
    }
    sl_secret_clear(&x->shared);
    sl_secret_move(&x->shared, &job->shared);
    return SL_OK;
}

enum sl_rc xchg_nonce(struct ike_xchg *x, struct sl_buf *nonce, struct sl_err *err)
{
    uint8_t fresh[IKE_NONCE_LEN];
    sl_rng_fill(&x->sa->ike->rng, fresh, sizeof(fresh));
    return sl_buf_set(nonce, sl_bytes(fresh, sizeof(fresh))) ? SL_OK : SL_FAIL_MEM(err);
}

/* ---- sending ----------------------------------------------------------------------------------- */

void ike_send(struct sl_ike *ike, const struct sl_endpoint *from, const struct sl_endpoint *to,
              bool natt, struct sl_bytes data)
{
    struct ike_act *act = ike_act_new(&ike->actions, SL_IKE_SEND);
    if (!act || !sl_buf_put(&act->data, data)) {
        ike_act_free(act); /* as if the network had lost it */
        return;
    }
    act->a.from = *from;
    act->a.to = *to;
    act->a.natt = natt;
    ike->stats.packets_out++;
    ike_act_push(&ike->actions, act);
}

void isa_transmit(struct ike_isa *sa, const struct ike_datagrams *d, const struct sl_endpoint *from,
                  const struct sl_endpoint *to)
{
    for (size_t i = 0; i < d->n; i++)
        ike_send(sa->ike, from, to, from->port == sa->ike->config->port_natt,
                 ike_datagram_get(d, i));
    sa->sent_ns = sa->ike->now_ns;
}

static enum sl_rc seal(struct ike_datagrams *out, struct ike_xchg *x, uint8_t exchange,
                       bool response, struct ike_wr *c, struct sl_buf *buf, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    if (!ike_wr_end(c)) {
        if (buf->len > IKE_MESSAGE_MAX / 2)
            return SL_FAIL(err, SL_TOO_LARGE, "message would be longer than %d bytes (RFC 7296 2)",
                           IKE_MESSAGE_MAX);
        return SL_FAIL_MEM(err);
    }
    struct ike_hdr h = {
        .version = IKE_VERSION_2,
        .exchange = exchange,
        .flags = (uint8_t)((sa->initiator ? IKE_FLAG_INITIATOR : 0) |
                           (response ? IKE_FLAG_RESPONSE : 0)),
        .id = response ? sa->win.rx_next : sa->win.tx_next,
    };
    memcpy(h.spi_i, sa->spi_i, IKE_SPI_LEN);
    memcpy(h.spi_r, sa->spi_r, IKE_SPI_LEN);
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    const uint16_t size = sa->fragment && conf ? conf->fragment_size : 0;
    return ike_sk_seal(out, &sa->tx, &h, c->first, sl_buf_bytes(buf), size, sa->remote.addr.family,
                       sa->natt, &sa->ike->rng, err);
}

enum sl_rc xchg_request(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c, struct sl_buf *buf,
                        struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_datagrams d = { 0 };
    const enum sl_rc rc = seal(&d, x, exchange, false, c, buf, err);
    if (rc == SL_OK) {
        x->sent_type = exchange;
        ike_window_answered(&sa->win); /* by the response that led here, if any */
        isa_transmit(sa, &d, &sa->local, &sa->remote);
        const struct ike_retry retry = isa_retry(sa);
        ike_window_request(&sa->win, &d, &retry, &sa->ike->rng, sa->ike->now_ns);
    }
    ike_datagrams_clear(&d);
    return rc;
}

enum sl_rc xchg_seal_response(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c,
                              struct sl_buf *buf, struct ike_datagrams *out, struct sl_err *err)
{
    return seal(out, x, exchange, true, c, buf, err);
}

void xchg_send_response(struct ike_xchg *x, struct ike_datagrams *d)
{
    struct ike_isa *sa = x->sa;
    isa_transmit(sa, d, &sa->reply_local, &sa->reply_remote);
    ike_window_respond(&sa->win, d);
    ike_datagrams_clear(d);
}

enum sl_rc xchg_respond(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c, struct sl_buf *buf,
                        struct sl_err *err)
{
    struct ike_datagrams d = { 0 };
    const enum sl_rc rc = seal(&d, x, exchange, true, c, buf, err);
    if (rc == SL_OK)
        xchg_send_response(x, &d);
    ike_datagrams_clear(&d);
    return rc;
}

enum sl_rc xchg_send_init(struct ike_xchg *x, struct sl_buf *message, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_datagrams d = { 0 };
    if (!ike_datagrams_plain(&d, sl_buf_bytes(message))) {
        ike_datagrams_clear(&d);
        return SL_FAIL_MEM(err);
    }
    if (x->ours) {
        x->sent_type = IKE_SA_INIT;
        /* Another IKE_SA_INIT after a cookie or another group has message ID 0 again (2.2). */
        isa_transmit(sa, &d, &sa->local, &sa->remote);
        const struct ike_retry retry = isa_retry(sa);
        ike_window_answered(&sa->win);
        sa->win.tx_next = 0;
        ike_window_request(&sa->win, &d, &retry, &sa->ike->rng, sa->ike->now_ns);
    } else {
        isa_transmit(sa, &d, &sa->reply_local, &sa->reply_remote);
        ike_window_respond(&sa->win, &d);
    }
    ike_datagrams_clear(&d);
    return SL_OK;
}

/* ---- refusing ---------------------------------------------------------------------------------- */

enum sl_rc xchg_refuse(struct ike_xchg *x, uint16_t notify, enum sl_rc rc)
{
    x->refuse = notify;
    return rc;
}

uint16_t xchg_refusal(const struct ike_xchg *x, enum sl_rc rc)
{
    if (x->refuse)
        return x->refuse;
    switch ((int)rc) {
    case SL_MALFORMED:
    case SL_IKE_MALFORMED:
    case SL_TOO_LARGE:
        return IKE_N_INVALID_SYNTAX;
    case SL_IKE_CRITICAL_PAYLOAD:
        return IKE_N_UNSUPPORTED_CRITICAL_PAYLOAD;
    case SL_IKE_NO_PROPOSAL:
    case SL_WEAK_ALGORITHM:
        return IKE_N_NO_PROPOSAL_CHOSEN;
    case SL_IKE_TS_UNACCEPTABLE:
    case SL_POLICY_TS:
        return IKE_N_TS_UNACCEPTABLE;
    case SL_ADDRESS_NONE:
        return IKE_N_INTERNAL_ADDRESS_FAILURE;
    case SL_ADDRESS_REQUIRED:
        return IKE_N_FAILED_CP_REQUIRED;
    case SL_IKE_LIMIT:
        return IKE_N_NO_ADDITIONAL_SAS;
    case SL_NOT_FOUND:
        return IKE_N_CHILD_SA_NOT_FOUND;
    default:
        /* SPEC RFC7296-2.21.2 SHOULD: which evidence was wanting is not told to the peer */
        return x->kind == XCHG_SETUP ? IKE_N_AUTHENTICATION_FAILED : IKE_N_TEMPORARY_FAILURE;
    }
}

bool xchg_respond_refused(struct ike_xchg *x, uint8_t exchange, enum sl_rc rc)
{
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_notify(&c, xchg_refusal(x, rc), sl_buf_bytes(&x->refuse_data));
    if (xchg_respond(x, exchange, &c, &buf, NULL) == SL_OK)
        return true;
    x->sa->win.rx_busy = false;
    return false;
}

/* ---- telling ----------------------------------------------------------------------------------- */

int64_t ike_jitter(struct sl_ike *ike, int64_t span_ns)
{
    return span_ns > 0 ? (int64_t)sl_rng_below(&ike->rng, (uint64_t)span_ns + 1) : 0;
}

void ike_event(struct sl_ike *ike, enum sl_ike_event ev, const struct ike_isa *sa,
               const struct ike_child *child, enum sl_rc rc, const char *fmt, ...)
{
    struct ike_act *act = ike_act_new(&ike->actions, SL_IKE_EVENT);
    if (!act)
        return;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&act->text, fmt, ap) < 0)
        act->text = NULL;
    va_end(ap);
    act->a.event = ev;
    act->a.rc = rc;
    if (sa) {
        act->a.ike_sa = sa->id;
        act->a.from = sa->local;
        act->a.to = sa->remote;
        if (sa->conn)
            snprintf(act->connection, sizeof(act->connection), "%s", sa->conn->name);
        if (sa->id_remote.type) {
            act->peer_id = malloc(sizeof(*act->peer_id));
            if (act->peer_id)
                *act->peer_id = sa->id_remote;
        }
    }
    if (child) {
        act->a.child_id = child->id;
        snprintf(act->child_name, sizeof(act->child_name), "%s", child->name);
    }
    ike_act_push(&ike->actions, act);
}
