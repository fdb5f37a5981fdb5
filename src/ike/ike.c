/*
 * The public face of the IKE core (sealane/ike.h): datagrams to their SAs, answers to the exchanges
 * that asked, deadlines, lists and counters. See core.h for how the work is divided.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the instance ------------------------------------------------------------------------------ */

enum sl_rc sl_ike_new(struct sl_ike **out, const struct sl_config *config, const struct sl_rng *rng,
                      int64_t now_ns, struct sl_err *err)
{
    struct sl_ike *ike = calloc(1, sizeof(*ike));
    if (!ike)
        return SL_FAIL_MEM(err);
    ike->config = config;
    ike->rng = *rng;
    ike->now_ns = now_ns;
    ike_actions_init(&ike->actions);
    if (!ike_tables_init(&ike->t, rng)) {
        free(ike);
        return SL_FAIL_MEM(err);
    }
    ike_cookie_init(&ike->cookie, rng, now_ns);
    const enum sl_rc rc = conns_load(ike, config, err);
    if (rc != SL_OK) {
        sl_ike_free(ike);
        return rc;
    }
    *out = ike;
    return SL_OK;
}

void sl_ike_free(struct sl_ike *ike)
{
    if (!ike)
        return;
    while (ike->sas)
        isa_free(ike->sas);
    conns_free(ike);
    creds_free(ike);
    ike_actions_clear(&ike->actions);
    ike_tables_clear(&ike->t);
    ike_cookie_clear(&ike->cookie);
    free(ike);
}

enum sl_rc sl_ike_config(struct sl_ike *ike, const struct sl_config *config, struct sl_err *err)
{
    ike_act_return(&ike->actions);
    SL_TRY(conns_load(ike, config, err));
    conns_settle(ike);
    return SL_OK;
}

void ike_begin(struct sl_ike *ike, int64_t now_ns)
{
    ike_act_return(&ike->actions);
    if (now_ns > ike->now_ns)
        ike->now_ns = now_ns;
}

bool sl_ike_next(struct sl_ike *ike, struct sl_ike_action *out)
{
    return ike_act_pop(&ike->actions, out);
}

const char *sl_ike_event_name(enum sl_ike_event ev)
{
    switch (ev) {
    case SL_IKE_EV_IKE_UP:
        return "ike-up";
    case SL_IKE_EV_IKE_DOWN:
        return "ike-down";
    case SL_IKE_EV_IKE_REKEYED:
        return "ike-rekeyed";
    case SL_IKE_EV_IKE_FAILED:
        return "ike-failed";
    case SL_IKE_EV_CHILD_UP:
        return "child-up";
    case SL_IKE_EV_CHILD_DOWN:
        return "child-down";
    case SL_IKE_EV_CHILD_REKEYED:
        return "child-rekeyed";
    case SL_IKE_EV_CHILD_FAILED:
        return "child-failed";
    case SL_IKE_EV_PEER_MOVED:
        return "peer-moved";
    case SL_IKE_EV_STORY:
        return "story";
    }
    return "?";
}

/* ---- datagrams --------------------------------------------------------------------------------- */

/*
 * Answers to what belongs to no SA: at most a few a second, only to requests, never to what could be
 * an answer itself (RFC 7296 2.21.4, 2.5).
 */
static void answer_stranger(struct sl_ike *ike, const struct sl_endpoint *local,
                            const struct sl_endpoint *remote, const struct ike_hdr *in,
                            uint16_t notify)
{
    if (ike_hdr_is_response(in))
        return;
    if (ike->now_ns - ike->spi_window_ns >= SL_NS_PER_S) {
        ike->spi_window_ns = ike->now_ns;
        ike->spi_answers = 0;
    }
    if (ike->spi_answers >= IKE_SPI_ANSWERS_PER_S)
        return;
    ike->spi_answers++;
    SL_AUTO_BUF buf = { 0 };
    struct ike_hdr h = { .version = IKE_VERSION_2, .exchange = in->exchange, .id = in->id };
    h.flags = (uint8_t)(IKE_FLAG_RESPONSE | (ike_hdr_from_initiator(in) ? 0 : IKE_FLAG_INITIATOR));
    memcpy(h.spi_i, in->spi_i, IKE_SPI_LEN);
    memcpy(h.spi_r, in->spi_r, IKE_SPI_LEN);
    struct ike_wr c = ike_wr_message(&buf, &h);
    ike_put_notify(&c, notify, sl_bytes(NULL, 0));
    if (ike_wr_end(&c))
        ike_send(ike, local, remote, local->port == ike->config->port_natt, sl_buf_bytes(&buf));
}

static struct ike_isa *find_sa(struct sl_ike *ike, const struct ike_hdr *h)
{
    /* The sender's I flag says which SPI is ours (RFC 7296 3.1). */
    const uint8_t *ours = ike_hdr_from_initiator(h) ? h->spi_r : h->spi_i;
    const uint8_t *theirs = ike_hdr_from_initiator(h) ? h->spi_i : h->spi_r;
    struct ike_isa *sa =
        IKE_OF(ike_map_get(&ike->t.by_spi, ike_spi_key(ours)), struct ike_isa, by_spi);
    if (!sa || sa->v1 || sa->initiator == ike_hdr_from_initiator(h) || sa->state == ISA_MAKING ||
        sa->state == ISA_DEAD)
        return NULL;
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    const uint8_t *known = sa->initiator ? sa->spi_r : sa->spi_i;
    if (memcmp(known, none, IKE_SPI_LEN) != 0 && memcmp(known, theirs, IKE_SPI_LEN) != 0)
        return NULL;
    return sa;
}

/* Sends what is for the peer to its new address from now on, of all its children, too. */
static void move_peer(struct ike_isa *sa, const struct sl_endpoint *local,
                      const struct sl_endpoint *remote, const char *told_by)
{
    char from[SL_ENDPOINT_TEXT], to[SL_ENDPOINT_TEXT];
    sl_endpoint_text(from, &sa->remote);
    sl_endpoint_text(to, remote);
    sa->local = *local;
    sa->remote = *remote;
    sa->natt = local->port == sa->ike->config->port_natt;
    if (sa->state == ISA_SETUP)
        return; /* the change to port 4500 */
    for (const struct ike_child *c = sa->children; c; c = c->next)
        child_move((struct ike_child *)c);
    ike_event(sa->ike, SL_IKE_EV_PEER_MOVED, sa, NULL, SL_OK, "from %s to %s, by %s", from, to,
              told_by);
}

/*
 * An authentic message came from another address or port than before: the peer's NAT has changed its
 * mapping. SPEC RFC7296-2.23 SHOULD: a host that is not behind a NAT follows its peer, by what is new
 * and authentic; one behind a NAT does not, since it could be led astray. SPEC RFC4555-3.8 MUST: with
 * MOBIKE no message but an update changes where IKE goes.
 */
static void follow_peer(struct ike_isa *sa, const struct sl_endpoint *local,
                        const struct sl_endpoint *remote)
{
    if (sl_endpoint_eq(&sa->remote, remote) && sl_endpoint_eq(&sa->local, local))
        return;
    if (sa->state == ISA_SETUP || (sa->peer_may_move && !sa->mobike.on))
        move_peer(sa, local, remote, "IKE");
}

/* The request again: its response again, once for each whole request (RFC 7383 2.6.1). */
static void repeat_response(struct ike_isa *sa, const struct ike_message *m,
                            const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    const struct ike_payload *skf = ike_payloads_find(&m->list, IKE_P_SKF);
    if (skf) {
        struct sl_rd r = sl_rd(skf->body);
        if (sl_rd_u16(&r) != 1)
            return;
    }
    struct ike_reassembly ra = { 0 };
    SL_AUTO_BUF plain = { 0 };
    enum ike_opened what;
    uint8_t first;
    struct ike_sk *rx = sa->rx_before.cipher ? &sa->rx_before : &sa->rx;
    const bool authentic = ike_sk_open(&what, rx, m, &ra, &plain, &first, NULL) == SL_OK;
    ike_reassembly_clear(&ra);
    if (!authentic) {
        sa->ike->stats.integrity++;
        return;
    }
    sa->ike->stats.retransmits++;
    struct ike_child *c = sa->unsure ? child_find(sa, sa->unsure) : NULL;
    if (c)
        child_unsure(c);
    isa_transmit(sa, &sa->win.rx, local, remote);
}

/* The exchange that a new message belongs to; NULL: it is to be dropped. */
static struct ike_xchg *exchange_for(struct ike_isa *sa, const struct ike_hdr *h)
{
    if (ike_hdr_is_response(h))
        return sa->out && sa->out->state == sa->out->sent_state ? sa->out : NULL;
    if (sa->state == ISA_SETUP) {
        struct ike_xchg *in = sa->in && sa->in->state == R_INIT_DONE ? sa->in : NULL;
        const bool more = in && in->table == &ike_intermediate_responder;
        return in && h->exchange == (more ? IKE_INTERMEDIATE : IKE_AUTH) ? in : NULL;
    }
    const struct ike_table *table = ike_responder_table(sa, h->exchange);
    if (!table || sa->in)
        return NULL;
    struct ike_xchg *x = xchg_new(sa, XCHG_PEER, false);
    if (x)
        x->table = table;
    return x;
}

static void read_failed(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err,
                        const struct ike_hdr *h)
{
    struct ike_isa *sa = x->sa;
    sa->ike->stats.malformed++;
    if (ike_hdr_is_response(h)) {
        x->table->fail(x, rc, err);
        xchg_free(x);
        return;
    }
    if (rc == SL_IKE_CRITICAL_PAYLOAD &&
        !sl_buf_put(&x->refuse_data, sl_bytes(&x->list.unsupported, 1)))
        x->refuse_data.len = 0; /* then the answer does not name it */
    x->table->fail(x, rc, err);
    xchg_free(x);
}

static void protected_message(struct ike_isa *sa, const struct ike_message *m,
                              const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    struct sl_ike *ike = sa->ike;
    const bool response = ike_hdr_is_response(&m->hdr);
    const enum ike_rx rx = ike_window_classify(&sa->win, response, m->hdr.id);
    if (rx == IKE_RX_AGAIN)
        repeat_response(sa, m, local, remote);
    if (rx != IKE_RX_NEW || sa->state == ISA_CLOSED)
        return;
    if (response && !(sa->out && sa->out->state == sa->out->sent_state))
        return; /* being worked on */
    SL_AUTO_BUF plain = { 0 };
    enum ike_opened what;
    uint8_t first;
    struct sl_err err = { 0 };
    enum sl_rc rc = ike_sk_open(&what, &sa->rx, m, response ? &sa->ra_response : &sa->ra_request,
                                &plain, &first, &err);
    if (rc != SL_OK) {
        if (rc == SL_IKE_INTEGRITY)
            ike->stats.integrity++;
        else if (rc != SL_NO_MEMORY)
            ike->stats.malformed++;
        return;
    }
    sa->seen_ns = ike->now_ns;
    if (what != IKE_OPENED)
        return;
    follow_peer(sa, local, remote);
    sa->reply_local = *local;
    sa->reply_remote = *remote;
    struct ike_xchg *x = exchange_for(sa, &m->hdr);
    if (!x || (response && m->hdr.exchange != x->sent_type)) {
        sl_buf_wipe(&plain);
        return;
    }
    sl_buf_wipe(&x->plain);
    x->plain = plain;
    plain = (struct sl_buf){ 0 };
    if (!response) {
        ike_window_begin(&sa->win);
        child_sure(sa); /* it has had our last response, or it would repeat that request */
        ike_sk_clear(&sa->rx_before); /* the peer has the new keys */
    }
    rc = ike_payloads_read(&x->list, first, sl_buf_bytes(&x->plain), &err);
    if (rc != SL_OK)
        read_failed(x, rc, &err, &m->hdr);
    else
        xchg_event(x, response ? RESPONSE(m->hdr.exchange) : REQUEST(m->hdr.exchange), true);
}

static void init_response(struct ike_isa *sa, const struct ike_message *m,
                          const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    struct ike_xchg *x = sa->out;
    /* From where we sent to, or somebody else's guess is believed too easily. */
    if (!x || x->state != I_INIT_SENT || m->hdr.id != 0 || !sl_endpoint_eq(&sa->remote, remote))
        return;
    sa->reply_local = *local;
    sa->reply_remote = *remote;
    x->list = m->list;
    xchg_event(x, RESPONSE(IKE_SA_INIT), true);
}

static void dispatch(struct sl_ike *ike, const struct sl_endpoint *local,
                     const struct sl_endpoint *remote, struct sl_bytes data)
{
    struct ike_message *m = &ike->message;
    struct sl_err err = { 0 };
    const enum sl_rc rc = ike_message_read(m, data, &err);
    if (rc == SL_IKE_VERSION) {
        ike->stats.malformed++;
        if (m->hdr.version >> 4 > IKE_VERSION_2 >> 4)
            answer_stranger(ike, local, remote, &m->hdr, IKE_N_INVALID_MAJOR_VERSION);
        return;
    }
    if (rc != SL_OK) {
        ike->stats.malformed++;
        return;
    }
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    if (memcmp(m->hdr.spi_i, none, IKE_SPI_LEN) == 0) {
        ike->stats.malformed++;
        return;
    }
    if (m->hdr.exchange == IKE_SA_INIT && !ike_hdr_is_response(&m->hdr)) {
        if (memcmp(m->hdr.spi_r, none, IKE_SPI_LEN) == 0 && ike_hdr_from_initiator(&m->hdr) &&
            m->hdr.id == 0)
            init_request(ike, local, remote, m);
        else
            ike->stats.malformed++;
        return;
    }
    struct ike_isa *sa = find_sa(ike, &m->hdr);
    if (!sa) {
        ike->stats.unknown_spi++;
        answer_stranger(ike, local, remote, &m->hdr, IKE_N_INVALID_IKE_SPI);
        return;
    }
    isa_touch(sa);
    if (m->hdr.exchange == IKE_SA_INIT)
        init_response(sa, m, local, remote);
    else if (sa->rx.cipher)
        protected_message(sa, m, local, remote);
}

void sl_ike_packet(struct sl_ike *ike, int64_t now_ns, const struct sl_endpoint *local,
                   const struct sl_endpoint *remote, struct sl_bytes data)
{
    ike_begin(ike, now_ns);
    ike->stats.packets_in++;
    if (data.len == 1 && data.p[0] == 0xff)
        return; /* NAT keepalive (RFC 3948 2.3) */
    if (data.len >= IKE_HDR_LEN && data.p[17] >> 4 == 1)
        v1_packet(ike, local, remote, data); /* major version 1, which has the same header */
    else
        dispatch(ike, local, remote, data);
    conns_settle(ike);
}

/* ---- time -------------------------------------------------------------------------------------- */

int64_t sl_ike_next_timer_ns(const struct sl_ike *ike)
{
    const struct ike_timer *a = ike_heap_first(&ike->t.timers);
    const struct ike_timer *b = ike_heap_first(&ike->t.conn_timers);
    const int64_t at = a ? a->at_ns : INT64_MAX;
    if (ike->touched || ike->touched_conns)
        return ike->now_ns;
    return b && b->at_ns < at ? b->at_ns : at;
}

void sl_ike_tick(struct sl_ike *ike, int64_t now_ns)
{
    ike_begin(ike, now_ns);
    conns_settle(ike);
    struct ike_timer *t;
    while ((t = ike_heap_first(&ike->t.timers)) && t->at_ns <= ike->now_ns) {
        ike_heap_set(&ike->t.timers, t, INT64_MAX);
        isa_due(IKE_OF(t, struct ike_isa, timer));
        conns_settle(ike);
    }
    while ((t = ike_heap_first(&ike->t.conn_timers)) && t->at_ns <= ike->now_ns) {
        conn_due(IKE_OF(t, struct ike_conn, timer));
        conns_settle(ike);
    }
}

/* ---- answers ----------------------------------------------------------------------------------- */

static struct ike_xchg *asked(struct sl_ike *ike, uint64_t id, enum ike_question q)
{
    struct ike_xchg *x = IKE_OF(ike_map_get(&ike->t.questions, id), struct ike_xchg, by_question);
    if (!x || x->asking != q)
        return NULL; /* whoever asked is gone */
    ike_map_del(&ike->t.questions, &x->by_question);
    x->asking = 0;
    isa_touch(x->sa);
    return x;
}

void sl_ike_answer_ke(struct sl_ike *ike, int64_t now_ns, uint64_t id, struct sl_ke_job *job)
{
    ike_begin(ike, now_ns);
    struct ike_xchg *x = asked(ike, id, ASK_KE);
    if (x) {
        x->job = job;
        struct ike_isa *sa = x->sa;
        xchg_event(x, ANSWER(ASK_KE), false);
        /* The exchange may be gone; if not, the job is no longer its. */
        if (v1_holds(sa, x))
            x->job = NULL;
    }
    sl_ke_job_free(job);
    conns_settle(ike);
}

void sl_ike_answer_sign(struct sl_ike *ike, int64_t now_ns, uint64_t id, enum sl_rc rc,
                        struct sl_bytes signature)
{
    ike_begin(ike, now_ns);
    struct ike_xchg *x = asked(ike, id, ASK_SIGN);
    if (x) {
        x->answer_rc = rc;
        x->signature = signature;
        xchg_event(x, ANSWER(ASK_SIGN), false);
    }
    conns_settle(ike);
}

void sl_ike_answer_decision(struct sl_ike *ike, int64_t now_ns, uint64_t id,
                            const struct sl_verdict *verdict)
{
    ike_begin(ike, now_ns);
    struct ike_xchg *x = asked(ike, id, ASK_DECISION);
    if (x) {
        x->verdict = verdict;
        xchg_event(x, ANSWER(ASK_DECISION), false);
    }
    conns_settle(ike);
}

/* ---- from the datapath ------------------------------------------------------------------------- */

static struct ike_child *child_of(struct sl_ike *ike, int64_t now_ns, uint64_t id)
{
    ike_begin(ike, now_ns);
    struct ike_child *c = IKE_OF(ike_map_get(&ike->t.children, id), struct ike_child, by_id);
    if (c)
        isa_touch(c->sa);
    return c;
}

void sl_ike_child_soft(struct sl_ike *ike, int64_t now_ns, uint64_t child_id)
{
    struct ike_child *c = child_of(ike, now_ns, child_id);
    if (c && c->state == CHILD_UP) {
        c->want_rekey = true;
        c->rekey_ns = INT64_MAX;
    }
    conns_settle(ike);
}

void sl_ike_child_hard(struct sl_ike *ike, int64_t now_ns, uint64_t child_id)
{
    struct ike_child *c = child_of(ike, now_ns, child_id);
    if (c && (c->state == CHILD_UP || c->state == CHILD_REPLACED)) {
        c->want_delete = true;
        c->end_rc = SL_IKE_LIFETIME;
    }
    conns_settle(ike);
}

void sl_ike_child_seen(struct sl_ike *ike, int64_t now_ns, uint64_t child_id)
{
    struct ike_child *c = child_of(ike, now_ns, child_id);
    if (c) {
        c->sa->seen_ns = ike->now_ns;
        if (c->state == CHILD_UP)
            child_outbound(c);
        if (c->sa->unsure == c->id)
            child_sure(c->sa);
    }
    conns_settle(ike);
}

void sl_ike_child_heard(struct sl_ike *ike, int64_t now_ns, uint64_t child_id,
                        const struct sl_endpoint *remote)
{
    struct ike_child *c = child_of(ike, now_ns, child_id);
    if (c && (c->sa->state == ISA_UP || c->sa->state == ISA_REKEYED) && c->sa->peer_may_move &&
        c->sa->natt && c->sa->remote.addr.family == remote->addr.family &&
        !sl_endpoint_eq(&c->sa->remote, remote)) {
        move_peer(c->sa, &c->sa->local, remote, "ESP");
        /* does the peer hear us there? Its answer also shows where IKE comes from now */
        c->sa->want_liveness = true;
    }
    conns_settle(ike);
}

void sl_ike_child_install_failed(struct sl_ike *ike, int64_t now_ns, uint64_t child_id,
                                 enum sl_rc rc)
{
    struct ike_child *c = child_of(ike, now_ns, child_id);
    if (c && c->installed) {
        c->installed = false; /* there is nothing to remove */
        char text[160];
        snprintf(text, sizeof(text), "the datapath could not install it: %s", sl_rc_text(rc));
        child_failed(c->sa, c->name, rc, text);
        child_unwanted(c, rc);
    }
    conns_settle(ike);
}

void sl_ike_end(struct sl_ike *ike, int64_t now_ns, uint64_t ike_sa, enum sl_rc reason)
{
    ike_begin(ike, now_ns);
    /* What rekeys made of the SA ends with it: the decision was about the peer. */
    const struct ike_isa *named = isa_find(ike, ike_sa);
    const uint64_t decided = named ? named->decided : ike_sa;
    for (struct ike_isa *sa = ike->sas; sa; sa = sa->next)
        if (sa->id == ike_sa || sa->decided == decided)
            isa_close(sa, reason, sl_rc_text(reason));
    conns_settle(ike);
}

/* ---- views ------------------------------------------------------------------------------------- */

static const char *isa_story(const struct ike_isa *sa)
{
    switch (sa->state) {
    case ISA_MAKING:
        return "being made";
    case ISA_SETUP:
        if (sa->out && sa->out->story)
            return sa->out->story;
        return sa->in && sa->in->story ? sa->in->story : "beginning";
    case ISA_UP:
        return sa->out && sa->out->kind == XCHG_REKEY_IKE ? "established, rekeying" : "established";
    case ISA_REKEYED:
        return "replaced";
    case ISA_DELETING:
        return "being deleted";
    case ISA_CLOSED:
    case ISA_DEAD:
        break;
    }
    return "closed";
}

static const char *child_story(const struct ike_child *c)
{
    switch (c->state) {
    case CHILD_WANTED:
        return "wanted";
    case CHILD_ASKED:
        return "being negotiated";
    case CHILD_UP:
        return c->want_rekey ? "installed, rekeying" : "installed";
    case CHILD_REPLACED:
        return "replaced";
    case CHILD_DELETING:
        return "being deleted";
    case CHILD_GONE:
        break;
    }
    return "draining";
}

static int64_t shown(int64_t at_ns)
{
    return at_ns == INT64_MAX ? 0 : at_ns;
}

void sl_ike_list(const struct sl_ike *ike,
                 void (*on_ike)(void *ctx, const struct sl_ike_sa_info *i),
                 void (*on_child)(void *ctx, const struct sl_child_info *c), void *ctx)
{
    for (const struct ike_isa *sa = ike->sas; sa; sa = sa->next) {
        if (sa->state == ISA_MAKING || sa->state == ISA_CLOSED || sa->state == ISA_DEAD)
            continue;
        struct sl_ike_sa_info i = {
            .id = sa->id,
            .connection = sa->conn ? sa->conn->name : "",
            .state = isa_story(sa),
            .local = sa->local,
            .remote = sa->remote,
            .version = sa->v1 ? 1 : 2,
            .initiator = sa->initiator,
            .natt = sa->natt,
            .mobike = sa->mobike.on,
            .id_local = sa->id_local,
            .id_remote = sa->id_remote,
            .suite = sa->suite,
            .prf = sa->prf,
            .ke = sa->ke,
            .established_ns = sa->established_ns,
            .rekey_ns = shown(sa->rekey_ns),
            .expire_ns = shown(sa->expire_ns),
            .record = sa->record,
            .vip = sa->grant && (sa->grant->vip.addr[0].family || sa->grant->vip.addr[1].family)
                       ? &sa->grant->vip
                       : NULL,
            .vip_ours = sa->began,
            .tag = sa->grant ? sa->grant->tag : "",
        };
        memcpy(i.spi_i, sa->spi_i, IKE_SPI_LEN);
        memcpy(i.spi_r, sa->spi_r, IKE_SPI_LEN);
        if (on_ike)
            on_ike(ctx, &i);
        for (const struct ike_child *c = sa->children; on_child && c; c = c->next) {
            const struct sl_child_info k = {
                .id = c->id,
                .ike_sa = sa->id,
                .name = c->name,
                .state = child_story(c),
                .spi_in = c->spi_in,
                .spi_out = c->spi_out,
                .suite = c->suite,
                .esn = c->esn,
                .udp_encap = c->udp_encap,
                .ts_local = c->local.v,
                .ts_remote = c->remote.v,
                .ts_local_n = c->local.n,
                .ts_remote_n = c->remote.n,
                .established_ns = c->established_ns,
                .rekey_ns = shown(c->rekey_ns),
                .expire_ns = shown(c->expire_ns),
            };
            on_child(ctx, &k);
        }
    }
}

void sl_ike_stats(const struct sl_ike *ike, struct sl_ike_stats *out)
{
    *out = ike->stats;
    out->ike_sas = ike->t.by_id.count;
    out->child_sas = ike->t.children.count;
}
