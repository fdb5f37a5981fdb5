/*
 * An IKE SA's life: making, lifetimes and deadlines, beginning the next exchange, its end. One
 * timer per SA stands for the earliest of its deadlines and those of its children.
 */
#include "src/ike/core.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making and freeing ------------------------------------------------------------------------ */

uint8_t *isa_spi_ours(struct ike_isa *sa)
{
    return sa->initiator ? sa->spi_i : sa->spi_r;
}

struct ike_isa *isa_new(struct sl_ike *ike, bool initiator)
{
    struct ike_isa *sa = calloc(1, sizeof(*sa));
    if (!sa)
        return NULL;
    sa->ike = ike;
    sa->down = ike_act_new(&ike->actions, SL_IKE_EVENT);
    if (!sa->down || !ike_heap_reserve(&ike->t.timers, ike->t.by_id.count + 1)) {
        ike_act_free(sa->down);
        free(sa);
        return NULL;
    }
    sa->id = sa->decided = ++ike->next_id;
    sa->initiator = initiator;
    sa->state = ISA_MAKING;
    sa->created_ns = sa->seen_ns = sa->sent_ns = ike->now_ns;
    sa->rekey_ns = sa->expire_ns = sa->reauth_ns = sa->half_open_ns = INT64_MAX;
    sa->timer.at_ns = INT64_MAX;
    ike_window_init(&sa->win);
    uint64_t key;
    do {
        sl_rng_fill(&ike->rng, isa_spi_ours(sa), IKE_SPI_LEN);
        key = ike_spi_key(isa_spi_ours(sa));
    } while (key == 0 || ike_map_get(&ike->t.by_spi, key));
    ike_map_put(&ike->t.by_spi, &sa->by_spi, key);
    ike_map_put(&ike->t.by_id, &sa->by_id, sa->id);
    return sa;
}

void isa_enlist(struct ike_isa *sa, enum ike_isa_state state)
{
    struct sl_ike *ike = sa->ike;
    assert(sa->state == ISA_MAKING);
    sa->state = state;
    sa->next = ike->sas;
    if (sa->next)
        sa->next->prev = sa;
    ike->sas = sa;
}

void isa_free(struct ike_isa *sa)
{
    if (!sa)
        return;
    struct sl_ike *ike = sa->ike;
    xchg_free(sa->out);
    xchg_free(sa->in);
    while (sa->aside)
        xchg_free(sa->aside);
    while (sa->children)
        child_end(sa->children, sa->end_rc ? sa->end_rc : SL_IKE_DELETED, false);
    if (sa->touched) { /* child_end asks for a look that is no longer needed */
        struct ike_isa **at = &ike->touched;
        while (*at != sa)
            at = &(*at)->touched_next;
        *at = sa->touched_next;
    }
    isa_half_open_done(sa);
    ike_map_del(&ike->t.by_id, &sa->by_id);
    ike_map_del(&ike->t.by_spi, &sa->by_spi);
    ike_map_del(&ike->t.by_peer[sa->began], &sa->by_peer);
    ike_heap_set(&ike->t.timers, &sa->timer, INT64_MAX);
    conn_unref(sa);
    if (sa->prev)
        sa->prev->next = sa->next;
    else if (ike->sas == sa)
        ike->sas = sa->next;
    if (sa->next)
        sa->next->prev = sa->prev;
    v1_isa_clear(sa);
    ike_keys_clear(&sa->keys);
    ike_sk_clear(&sa->tx);
    ike_sk_clear(&sa->rx);
    ike_sk_clear(&sa->rx_before);
    ike_window_clear(&sa->win);
    ike_reassembly_clear(&sa->ra_request);
    ike_reassembly_clear(&sa->ra_response);
    ike_act_free(sa->down);
    free(sa->grant);
    free(sa);
}

struct ike_isa *isa_find(const struct sl_ike *ike, uint64_t id)
{
    return IKE_OF(ike_map_get(&ike->t.by_id, id), struct ike_isa, by_id);
}

bool isa_alive(const struct ike_isa *sa)
{
    return sa->state == ISA_UP || sa->state == ISA_REKEYED || sa->state == ISA_DELETING;
}

enum sl_rc isa_keys(struct ike_isa *sa, struct sl_err *err)
{
    const struct ike_keys *k = &sa->keys;
    ike_sk_clear(&sa->tx);
    ike_sk_clear(&sa->rx);
    SL_TRY(ike_sk_init(&sa->tx, &sa->suite, true, sa->initiator ? &k->ei : &k->er,
                       sa->initiator ? &k->ai : &k->ar, err));
    return ike_sk_init(&sa->rx, &sa->suite, false, sa->initiator ? &k->er : &k->ei,
                       sa->initiator ? &k->ar : &k->ai, err);
}

struct ike_retry isa_retry(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    if (!conf)
        return (struct ike_retry){ .first_ms = 1000, .tries = 5 };
    return (struct ike_retry){ .first_ms = conf->retransmit_ms, .tries = conf->retransmit_tries };
}

/* ---- being up ---------------------------------------------------------------------------------- */

void isa_lifetimes(struct ike_isa *sa)
{
    struct sl_ike *ike = sa->ike;
    sl_secret_clear(&sa->keys.pi); /* AUTH is done */
    sl_secret_clear(&sa->keys.pr);
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    sa->established_ns = sa->seen_ns = ike->now_ns;
    sa->half_open_ns = INT64_MAX;
    if (conf && conf->rekey_s > 0) {
        const int64_t span = conf->rekey_s * SL_NS_PER_S;
        sa->rekey_ns = ike->now_ns + span - ike_jitter(ike, span / 10);
        const int64_t end = ike->now_ns + span + span / 10 + 60 * SL_NS_PER_S;
        if (end < sa->expire_ns)
            sa->expire_ns = end;
    }
}

void isa_known(struct ike_isa *sa)
{
    ike_map_put(&sa->ike->t.by_peer[sa->began], &sa->by_peer,
                ike_peer_key(&sa->ike->t, &sa->id_remote));
}

bool isa_within_limits(struct sl_ike *ike, const struct sl_endpoint *remote)
{
    const struct sl_config *conf = ike->config;
    if (ike->t.by_id.count < conf->max_ike_sas && ike->stats.half_open < conf->max_half_open &&
        ike_source_half_open(&ike->t, &remote->addr) < conf->max_half_open_per_source)
        return true;
    ike->stats.dropped_limit++;
    return false;
}

void isa_half_open_done(struct ike_isa *sa)
{
    struct sl_ike *ike = sa->ike;
    ike_map_del(&ike->t.by_init, &sa->by_init);
    if (sa->source)
        ike_source_del(&ike->t, sa->source);
    sa->source = NULL;
    if (sa->half_open)
        ike->stats.half_open--;
    sa->half_open = false;
}

/*
 * Both gateways began at once and both SAs are up. One is enough: as for rekeys, the SA made with
 * the lowest nonce goes, deleted by the side that began it (after RFC 7296 2.8.1, which leaves this
 * case open).
 */
static void resolve_simultaneous(struct ike_isa *sa, struct ike_isa *o)
{
    if (o->conn != sa->conn || !sl_id_eq(&o->id_local, &sa->id_local))
        return;
    /* A rekey of IKEv1 is a new SA; only those that were made at the same time collide. */
    if (sa->v1 ? o->established_ns < sa->created_ns : o->replaces || sa->replaces)
        return;
    struct ike_isa *loser = memcmp(o->tie, sa->tie, sizeof(sa->tie)) < 0 ? o : sa;
    if (!loser->began)
        return;
    loser->want_delete = true;
    loser->replaced_by = loser == o ? sa->id : o->id;
    loser->end_rc = SL_IKE_COLLISION;
    loser->retry_ns = sa->ike->now_ns + SL_NS_PER_S; /* the peer's SA may be a moment behind */
    isa_touch(loser);
}

/* Calls each for every other SA with the same peer that is up and was begun so; each may end it. */
static void with_same_peer(struct ike_isa *sa, bool began,
                           void (*each)(struct ike_isa *sa, struct ike_isa *other))
{
    struct ike_map_node *next;
    for (struct ike_map_node *n = ike_map_get(&sa->ike->t.by_peer[began], sa->by_peer.key); n;
         n = next) {
        next = ike_map_next(n);
        struct ike_isa *o = IKE_OF(n, struct ike_isa, by_peer);
        if (o != sa && o->state == ISA_UP && sl_id_eq(&o->id_remote, &sa->id_remote))
            each(sa, o);
    }
}

static void end_older(struct ike_isa *sa, struct ike_isa *other)
{
    if (other->conn == sa->conn && other->established_ns <= sa->created_ns && !sa->replaces)
        isa_end(other, SL_IKE_REPLACED, "the peer began anew (INITIAL_CONTACT)", false);
}

void isa_only(struct ike_isa *sa)
{
    with_same_peer(sa, true, end_older);
    with_same_peer(sa, false, end_older);
}

void isa_up(struct ike_isa *sa, bool only)
{
    struct sl_ike *ike = sa->ike;
    sa->state = ISA_UP;
    isa_half_open_done(sa);
    isa_lifetimes(sa);
    lifetime_begin(sa);
    char suite[SL_SUITE_TEXT], peer[SL_ID_TEXT], ke[IKE_KE_TEXT];
    ike_event(ike, SL_IKE_EV_IKE_UP, sa, NULL, SL_OK, "%s as %s, %s, %s%s",
              sl_id_text(peer, &sa->id_remote), sa->initiator ? "initiator" : "responder",
              sl_suite_text(suite, &sa->suite), ike_ke_text(ke, sa->ke, &sa->add),
              sa->nat_local || sa->nat_remote ? ", NAT between" : "");
    conn_worked(sa->conn);
    if (sa->replaces) {
        struct ike_isa *old = isa_find(ike, sa->replaces);
        if (old && isa_alive(old)) {
            old->replaced_by = sa->id;
            old->end_rc = SL_IKE_REPLACED;
            old->retry_ns = ike->now_ns + IKE_CHILD_LINGER_NS; /* packets under way arrive first */
            old->want_delete = true;
            isa_touch(old);
        }
    }
    isa_known(sa);
    if (only) {
        with_same_peer(sa, false, end_older);
        with_same_peer(sa, true, end_older);
    }
    with_same_peer(sa, !sa->began, resolve_simultaneous);
    isa_touch(sa);
}

void isa_inherit(struct ike_isa *to, struct ike_isa *from)
{
    while (from->children) {
        struct ike_child *c = from->children;
        from->children = c->next;
        c->next = to->children;
        to->children = c;
        c->sa = to;
    }
    to->children_n += from->children_n;
    from->children_n = 0;
    to->want_liveness = false;
    mobike_inherit(to, from);
    isa_touch(to);
    isa_touch(from);
}

/* ---- ending ------------------------------------------------------------------------------------ */

static void tell_end(struct ike_isa *sa, enum sl_rc rc, const char *text)
{
    if (!sa->down || sa->state == ISA_MAKING)
        return;
    const bool was_up = sa->established_ns != 0;
    struct ike_act *down = sl_steal(&sa->down);
    down->a.event = was_up ? SL_IKE_EV_IKE_DOWN : SL_IKE_EV_IKE_FAILED;
    if (sa->quiet)
        down->a.event = SL_IKE_EV_STORY;
    down->a.rc = rc;
    down->a.ike_sa = sa->id;
    down->a.from = sa->local;
    down->a.to = sa->remote;
    down->text = text ? strdup(text) : NULL;
    if (sa->conn)
        snprintf(down->connection, sizeof(down->connection), "%s", sa->conn->name);
    if (sa->id_remote.type) {
        down->peer_id = malloc(sizeof(*down->peer_id));
        if (down->peer_id)
            *down->peer_id = sa->id_remote;
    }
    ike_act_push(&sa->ike->actions, down);
}

void isa_end(struct ike_isa *sa, enum sl_rc rc, const char *text, bool linger)
{
    struct sl_ike *ike = sa->ike;
    if (sa->state == ISA_DEAD || sa->state == ISA_CLOSED)
        return;
    sa->end_rc = rc;
    isa_touch(sa);
    tell_end(sa, rc, text);
    while (sa->children)
        child_end(sa->children, rc, false);
    if (sa->conn) {
        if (!sa->established_ns && sa->initiator)
            conn_attempt_failed(sa->conn, rc, text ? text : sl_rc_text(rc));
        conn_touch(sa->conn);
    }
    sa->want_delete = sa->want_rekey = sa->want_liveness = sa->want_reauth = false;
    sa->rekey_ns = sa->expire_ns = sa->reauth_ns = INT64_MAX;
    ike_window_answered(&sa->win);
    if (linger) {
        /* Still counted as half-open when it is: strangers must not be able to pile these up. */
        sa->state = ISA_CLOSED;
        sa->half_open_ns = ike->now_ns + IKE_LINGER_NS;
    } else {
        sa->state = ISA_DEAD;
    }
}

void isa_goodbye(struct ike_isa *sa, enum sl_rc rc, const char *text, uint16_t notify)
{
    tell_end(sa, rc, text);
    while (sa->children)
        child_end(sa->children, rc, false);
    if (sa->conn && sa->initiator)
        conn_attempt_failed(sa->conn, rc, text);
    isa_half_open_done(sa);
    sa->state = ISA_REKEYED;
    sa->half_open_ns = INT64_MAX;
    sa->end_rc = rc;
    sa->end_notify = notify;
    sa->want_delete = true;
    isa_touch(sa);
}

void isa_close(struct ike_isa *sa, enum sl_rc rc, const char *text)
{
    switch (sa->state) {
    case ISA_MAKING:
    case ISA_CLOSED:
    case ISA_DEAD:
    case ISA_DELETING:
        return;
    case ISA_SETUP:
        /* The peer may have accepted our IKE_AUTH already: then finish, to be able to say goodbye. */
        if (!sa->v1 && sa->initiator && sa->out && sa->out->state >= I_AUTH_SENT) {
            sa->want_delete = true;
            sa->end_rc = rc;
            return;
        }
        isa_end(sa, rc, text, false);
        return;
    case ISA_UP:
    case ISA_REKEYED:
        break;
    }
    sa->end_rc = rc;
    sa->want_delete = true;
    sa->retry_ns = 0;
    if (text)
        snprintf(sa->end_text, sizeof(sa->end_text), "%s", text);
    /* Traffic stops now; a dead peer must not be able to delay that. */
    v1_closing(sa);
    if (sa->state == ISA_UP)
        while (sa->children)
            child_end(sa->children, rc, false);
    isa_touch(sa);
}

/* ---- the next exchange -------------------------------------------------------------------------- */

static void begin(struct ike_isa *sa, enum ike_xchg_kind kind, struct ike_child *child)
{
    struct ike_xchg *x = xchg_new(sa, kind, true);
    if (!x) {
        sa->retry_ns = sa->ike->now_ns + SL_NS_PER_S;
        return;
    }
    if (child)
        x->old_child = child->id;
    switch (kind) {
    case XCHG_NEW_CHILD:
    case XCHG_REKEY_CHILD:
        x->table = &ike_child_initiator;
        break;
    case XCHG_REKEY_IKE:
        x->table = &ike_rekey_initiator;
        break;
    case XCHG_DELETE_CHILD:
    case XCHG_DELETE_IKE:
    case XCHG_LIVENESS:
    case XCHG_MOBIKE:
        x->table = &ike_info_initiator;
        break;
    case XCHG_SETUP:
    case XCHG_PEER:
        assert(false && "begun elsewhere");
        break;
    }
    xchg_event(x, GO, false);
}

static struct ike_child *first_child(struct ike_isa *sa, bool (*wish)(const struct ike_child *c))
{
    for (struct ike_child *c = sa->children; c; c = c->next)
        if (c->retry_ns <= sa->ike->now_ns && wish(c))
            return c;
    return NULL;
}

static bool wants_delete(const struct ike_child *c)
{
    return c->want_delete && (c->state == CHILD_UP || c->state == CHILD_REPLACED);
}

static bool wants_rekey(const struct ike_child *c)
{
    /* The peer may be at it already (RFC 7296 2.8.1: no need to collide knowingly). */
    const struct ike_xchg *in = c->sa->in;
    return c->want_rekey && c->state == CHILD_UP && !(in && in->old_child == c->id) &&
           !followup_rekeys(c->sa, XCHG_REKEY_CHILD, c->id);
}

static bool wants_making(const struct ike_child *c)
{
    return c->state == CHILD_WANTED;
}

/* One wish is begun; false: there was none that can be begun now. */
static bool run_one(struct ike_isa *sa)
{
    const int64_t now = sa->ike->now_ns;
    const bool peer_rekeys =
        (sa->in && sa->in->kind == XCHG_REKEY_IKE) || followup_rekeys(sa, XCHG_REKEY_IKE, 0);
    struct ike_child *c;
    if (sa->v1)
        return v1_run_one(sa);
    if (sa->out || sa->retry_ns > now || (sa->state != ISA_UP && sa->state != ISA_REKEYED))
        return false;
    if (sa->want_delete) {
        if (sa->in && sa->state == ISA_REKEYED)
            return false; /* the peer's own rekey of it is answered first */
        begin(sa, XCHG_DELETE_IKE, NULL);
    } else if (sa->state != ISA_UP || peer_rekeys) {
        return false;
    } else if (mobike_wants(sa)) {
        begin(sa, XCHG_MOBIKE, NULL);
    } else if ((c = first_child(sa, wants_delete))) {
        begin(sa, XCHG_DELETE_CHILD, c);
    } else if (sa->want_rekey && !sa->in && !sa->aside) {
        begin(sa, XCHG_REKEY_IKE, NULL);
    } else if (sa->want_rekey) {
        return false; /* as soon as what the peer began is at its end */
    } else if ((c = first_child(sa, wants_rekey))) {
        begin(sa, XCHG_REKEY_CHILD, c);
    } else if ((c = first_child(sa, wants_making))) {
        begin(sa, XCHG_NEW_CHILD, c);
    } else if (sa->want_liveness) {
        begin(sa, XCHG_LIVENESS, NULL);
    } else {
        return false;
    }
    return true;
}

void isa_run(struct ike_isa *sa)
{
    /* An exchange may fail at once, so bound the attempts of one call. */
    for (int i = 0; i < 8 && run_one(sa); i++)
        ;
}

/* ---- deadlines --------------------------------------------------------------------------------- */

static int64_t min_ns(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t after_ns(int64_t since_ns, int64_t span_s)
{
    return span_s > 0 ? since_ns + span_s * SL_NS_PER_S : INT64_MAX;
}

static int64_t liveness_ns(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    if (!conf || sa->state != ISA_UP || sa->out || sa->want_liveness)
        return INT64_MAX;
    return after_ns(sa->seen_ns, conf->dpd_s);
}

static int64_t keepalive_ns(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    if (!conf || sa->state != ISA_UP || !sa->nat_local || !sa->natt)
        return INT64_MAX;
    return after_ns(sa->sent_ns, conf->keepalive_s);
}

/* When a wish that waits for its time may be tried; a wish that waits for an exchange has no time. */
static int64_t wishes_ns(const struct ike_isa *sa)
{
    int64_t at = INT64_MAX;
    if (sa->out || (sa->state != ISA_UP && sa->state != ISA_REKEYED))
        return at;
    if (sa->want_delete || sa->want_rekey || sa->want_liveness || mobike_wants(sa))
        at = sa->retry_ns;
    for (const struct ike_child *c = sa->children; c; c = c->next)
        if (wants_delete(c) || wants_rekey(c) || wants_making(c))
            at = min_ns(at, c->retry_ns > sa->retry_ns ? c->retry_ns : sa->retry_ns);
    return at > sa->ike->now_ns ? at : INT64_MAX;
}

static int64_t deadline(const struct ike_isa *sa)
{
    if (sa->state == ISA_MAKING || sa->state == ISA_DEAD)
        return INT64_MAX;
    int64_t at = sa->half_open_ns;
    if (sa->state == ISA_CLOSED)
        return at;
    if (sa->v1)
        at = min_ns(at, v1_deadline(sa));
    if (sa->win.tx_waiting)
        at = min_ns(at, sa->win.tx_due_ns);
    if (sa->state == ISA_SETUP && sa->out && sa->out->setup && sa->out->setup->hint_ns)
        at = min_ns(at, sa->out->setup->hint_ns);
    at = min_ns(at, followup_ns(sa));
    at = min_ns(at, min_ns(sa->rekey_ns, min_ns(sa->expire_ns, sa->reauth_ns)));
    at = min_ns(at, min_ns(liveness_ns(sa), min_ns(keepalive_ns(sa), wishes_ns(sa))));
    for (const struct ike_child *c = sa->children; c; c = c->next)
        at = min_ns(at, min_ns(c->gone_ns, min_ns(c->rekey_ns, c->expire_ns)));
    return at;
}

static void give_up(struct ike_isa *sa)
{
    char text[SL_ERR_TEXT_MAX];
    char to[SL_ENDPOINT_TEXT];
    const struct ike_setup *s = sa->state == ISA_SETUP && sa->out ? sa->out->setup : NULL;
    if (s && s->hint_rc) {
        isa_end(sa, s->hint_rc, s->hint, false);
        return;
    }
    snprintf(text, sizeof(text), "%s did not answer %u tries (message %u, %s)",
             sl_endpoint_text(to, &sa->remote), sa->win.tx_sent, sa->win.tx_next - 1,
             sa->out && sa->out->story ? sa->out->story : "request sent");
    isa_end(sa, sa->want_delete || sa->state == ISA_DELETING ? sa->end_rc : SL_IKE_PEER_DEAD, text,
            false);
}

static void children_due(struct ike_isa *sa)
{
    const int64_t now = sa->ike->now_ns;
    struct ike_child *next;
    for (struct ike_child *c = sa->children; c; c = next) {
        next = c->next;
        if (c->gone_ns <= now) {
            c->gone_ns = INT64_MAX;
            if (c->state == CHILD_GONE) {
                child_end(c, SL_IKE_DELETED, false);
                continue;
            }
            c->want_delete = true;
        }
        if (c->expire_ns <= now) {
            c->expire_ns = INT64_MAX;
            c->end_rc = SL_IKE_LIFETIME;
            c->want_delete = true;
        }
        if (c->rekey_ns <= now) {
            c->rekey_ns = INT64_MAX;
            c->want_rekey = true;
        }
    }
}

void isa_due(struct ike_isa *sa)
{
    const int64_t now = sa->ike->now_ns;
    isa_touch(sa);
    if (sa->half_open_ns <= now) {
        sa->half_open_ns = INT64_MAX;
        if (sa->state == ISA_CLOSED)
            sa->state = ISA_DEAD;
        else if (sa->state == ISA_REKEYED)
            sa->want_delete = true;
        else if (sa->state == ISA_SETUP)
            isa_end(sa, SL_TIMEOUT,
                    sa->v1 ? "phase 1 did not come to an end in time"
                           : "IKE_AUTH did not come to an end in time",
                    false);
    }
    if (sa->state == ISA_SETUP && sa->out && sa->out->setup && sa->out->setup->hint_ns &&
        sa->out->setup->hint_ns <= now) {
        give_up(sa);
        return;
    }
    if (sa->v1)
        v1_due(sa);
    if (sa->state == ISA_DEAD || sa->state == ISA_CLOSED)
        return;
    if (sa->win.tx_waiting && sa->win.tx_due_ns <= now && mobike_again(sa)) {
        const struct ike_retry retry = isa_retry(sa);
        if (!ike_window_again(&sa->win, &retry, &sa->ike->rng, now, sa->seen_ns)) {
            give_up(sa);
            return;
        }
        sa->ike->stats.retransmits++;
        isa_transmit(sa, &sa->win.tx, &sa->local, &sa->remote);
    }
    if (sa->expire_ns <= now) {
        sa->expire_ns = INT64_MAX;
        isa_close(sa, SL_IKE_LIFETIME, NULL);
    }
    if (sa->rekey_ns <= now) {
        sa->rekey_ns = INT64_MAX;
        sa->want_rekey = sa->state == ISA_UP;
    }
    if (sa->reauth_ns <= now) {
        sa->reauth_ns = INT64_MAX;
        sa->want_reauth = sa->conn->want_reauth = true;
        conn_touch(sa->conn);
    }
    if (liveness_ns(sa) <= now)
        sa->want_liveness = true;
    if (keepalive_ns(sa) <= now) {
        /* RFC 3948 4: one byte, no non-ESP marker */
        const uint8_t keepalive = 0xff;
        ike_send(sa->ike, &sa->local, &sa->remote, false, sl_bytes(&keepalive, 1));
        sa->sent_ns = now;
    }
    children_due(sa);
    followup_due(sa);
}

void isa_touch(struct ike_isa *sa)
{
    if (sa->touched)
        return;
    sa->touched = true;
    sa->touched_next = sa->ike->touched;
    sa->ike->touched = sa;
}

/* Everything the last event made possible is begun, and what has ended is freed. */
void isas_settle(struct sl_ike *ike)
{
    while (ike->touched) {
        struct ike_isa *sa = ike->touched;
        ike->touched = sa->touched_next;
        sa->touched = false;
        if (sa->state == ISA_DEAD) {
            isa_free(sa);
            continue;
        }
        if (sa->state == ISA_CLOSED) {
            xchg_free(sa->out);
            xchg_free(sa->in);
            while (sa->aside)
                xchg_free(sa->aside);
        }
        isa_run(sa);
        if (sa->conn && !sa->touched)
            conn_touch(sa->conn);
        ike_heap_set(&ike->t.timers, &sa->timer, deadline(sa));
    }
}
