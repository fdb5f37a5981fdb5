/*
 * The life of an SA of IKEv1 once phase 1 is done: wishes, deadlines, and who inherits the children.
 * Deletes and rekeys are not answered, so what they are about ends here at once; children read on for
 * a while (CHILD_GONE).
 */
#include "src/ike/v1/v1.h"

#include <stdio.h>

/* ---- deadlines --------------------------------------------------------------------------------- */

static int64_t min_ns(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t v1_deadline(const struct ike_isa *sa)
{
    const struct ike_v1 *v = sa->v1;
    const struct ike_xchg *x = sa->out ? sa->out : sa->in;
    int64_t at = v->dpd_due_ns;
    if (x)
        at = min_ns(at, x->v1->due_ns);
    for (x = v->parts; x; x = x->v1->next)
        at = min_ns(at, min_ns(x->v1->due_ns, x->v1->done_ns));
    return at;
}

void v1_due(struct ike_isa *sa)
{
    struct ike_v1 *v = sa->v1;
    const int64_t now = sa->ike->now_ns;
    struct ike_xchg *x = sa->out ? sa->out : sa->in;
    if (sa->state == ISA_DEAD || sa->state == ISA_CLOSED)
        return;
    if (x && x->v1->due_ns <= now)
        v1_resend(x);
    struct ike_xchg *next;
    for (x = v->parts; x && sa->state != ISA_DEAD; x = next) {
        next = x->v1->next;
        if (x->v1->done_ns <= now)
            xchg_free(x);
        else if (x->v1->due_ns <= now)
            v1_resend(x);
    }
    if (v->dpd_due_ns <= now && sa->state == ISA_UP) {
        v->dpd_due_ns = INT64_MAX;
        if (sa->seen_ns > now - SL_NS_PER_S) {
            v->dpd_waits = sa->want_liveness = false; /* something else of it has come */
            return;
        }
        v1_dpd(sa);
    }
}

/* ---- wishes ------------------------------------------------------------------------------------ */

bool v1_rekeys(const struct ike_isa *sa, uint64_t child)
{
    if (!sa->v1)
        return false;
    if (!child) {
        for (const struct ike_isa *o = sa->conn ? sa->conn->sas : NULL; o; o = o->conn_next)
            if (o->state == ISA_SETUP && o->replaces == sa->id)
                return true;
        return false;
    }
    for (const struct ike_xchg *x = sa->v1->parts; x; x = x->v1->next)
        if (x->ours && v1_quick_of(x, child))
            return true;
    return false;
}

static bool quick(struct ike_isa *sa, enum ike_xchg_kind kind, struct ike_child *c)
{
    struct ike_xchg *x = v1_xchg_new(sa, kind, true, v1_new_mid(sa), &v1_quick_initiator);
    if (!x || v1_iv_phase2(x->v1->iv, sa->prf, sa->v1->last, x->v1->mid, NULL) != SL_OK) {
        xchg_free(x);
        c->retry_ns = sa->ike->now_ns + SL_NS_PER_S;
        return false;
    }
    x->v1->has_iv = true;
    x->old_child = c->id;
    v1_event(x, GO, false);
    return true;
}

static struct ike_isa *heir_of(const struct ike_isa *sa)
{
    struct ike_isa *best = NULL;
    for (struct ike_isa *o = sa->conn ? sa->conn->sas : NULL; o; o = o->conn_next)
        if (o != sa && o->v1 && o->state == ISA_UP && !o->want_delete &&
            sl_id_eq(&o->id_remote, &sa->id_remote) &&
            (!best || o->established_ns > best->established_ns))
            best = o;
    return best;
}

static bool has_named(const struct ike_isa *sa, const struct ike_child *like)
{
    for (const struct ike_child *c = sa->children; c; c = c->next)
        if (c->state == CHILD_UP && snprintf(NULL, 0, "%s", c->name) > 0 &&
            sl_bytes_eq(sl_str(c->name), sl_str(like->name)))
            return true;
    return false;
}

/* The children of an SA that ends go to another with the same peer. False: there is none. */
static bool bequeath(struct ike_isa *sa, bool tell)
{
    struct ike_isa *heir = heir_of(sa);
    if (!heir)
        return false;
    while (sa->v1->parts)
        xchg_free(sa->v1->parts);
    for (struct ike_child *c = sa->children, *next; c; c = next) {
        next = c->next;
        if (c->state == CHILD_WANTED || c->state == CHILD_ASKED) {
            child_end(c, SL_CANCELLED, false);
        } else if (has_named(heir, c) && c->installed && c->state == CHILD_UP && tell) {
            c->replaced_by = heir->id; /* the heir has its like: no loss to tell of */
            v1_send_delete(sa, c);
            child_end(c, SL_IKE_REPLACED, false);
        }
    }
    isa_inherit(heir, sa);
    sa->replaced_by = heir->id;
    sa->quiet = true;
    return true;
}

void v1_peer_deleted(struct ike_isa *sa)
{
    if (sa->state == ISA_UP && bequeath(sa, false))
        ike_event(sa->ike, SL_IKE_EV_IKE_REKEYED, isa_find(sa->ike, sa->replaced_by), NULL, SL_OK,
                  "replaces IKE SA %llu (IKEv1)", (unsigned long long)sa->id);
    isa_end(sa, SL_IKE_DELETED, "peer deleted it", false);
}

void v1_closing(struct ike_isa *sa)
{
    if (!sa->v1 || sa->state != ISA_UP)
        return;
    for (struct ike_child *c = sa->children; c; c = c->next)
        if (c->installed && c->state != CHILD_GONE)
            v1_send_delete(sa, c);
}

static bool run_delete(struct ike_isa *sa)
{
    if (sa->children)
        (void)bequeath(sa, true);
    for (struct ike_child *c = sa->children; c; c = c->next)
        if (c->installed && c->state != CHILD_GONE)
            v1_send_delete(sa, c);
    v1_send_delete(sa, NULL);
    isa_end(sa, sa->end_rc ? sa->end_rc : SL_IKE_DELETED, sa->end_text[0] ? sa->end_text : NULL,
            false);
    return true;
}

static bool run_rekey(struct ike_isa *sa)
{
    struct sl_err err = { 0 };
    struct sl_ike *ike = sa->ike;
    if (v1_rekeys(sa, 0))
        return false;
    sa->want_rekey = false;
    if (sa->conn->conf && v1_begin(ike, sa->conn, NULL, sa, &err))
        return true;
    sa->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
    ike_event(ike, SL_IKE_EV_STORY, sa, NULL, err.rc, "rekey of the IKE SA failed: %s",
              sl_err_text(&err));
    return true;
}

/* The peer is at it already: no need to collide knowingly. */
static bool peer_rekeys(const struct ike_isa *sa, uint64_t child)
{
    for (const struct ike_xchg *x = sa->v1->parts; x; x = x->v1->next) {
        if (x->ours || x->v1->state == V1_DONE)
            continue;
        const struct ike_child *c = x->child ? x->child : child_find(sa, x->old_child);
        if (c && c->replaces == child)
            return true;
    }
    return false;
}

static bool run_child(struct ike_isa *sa, struct ike_child *c)
{
    if (c->retry_ns > sa->ike->now_ns)
        return false;
    if (c->want_delete && (c->state == CHILD_UP || c->state == CHILD_REPLACED)) {
        if (c->installed)
            v1_send_delete(sa, c);
        child_end(c, c->end_rc ? c->end_rc : SL_IKE_DELETED, true);
        return true;
    }
    if (c->want_rekey && c->state == CHILD_UP && !v1_rekeys(sa, c->id) && !peer_rekeys(sa, c->id))
        return quick(sa, XCHG_REKEY_CHILD, c);
    if (c->state == CHILD_WANTED)
        return quick(sa, XCHG_NEW_CHILD, c);
    return false;
}

static bool run(struct ike_isa *sa)
{
    if (sa->retry_ns > sa->ike->now_ns || (sa->state != ISA_UP && sa->state != ISA_REKEYED))
        return false;
    if (sa->want_delete)
        return run_delete(sa);
    if (sa->state == ISA_UP) {
        if (sa->want_rekey && run_rekey(sa))
            return true;
        size_t under_way = 0;
        for (const struct ike_xchg *x = sa->v1->parts; x; x = x->v1->next)
            under_way += x->ours && x->v1->state != V1_DONE;
        for (struct ike_child *c = sa->children; c; c = c->next)
            if ((c->want_delete || under_way < V1_PARTS_MAX / 2) && run_child(sa, c))
                return true;
        if (sa->want_liveness && !sa->v1->dpd_waits) {
            v1_dpd(sa);
            return true;
        }
    }
    return false;
}

bool v1_run_one(struct ike_isa *sa)
{
    const bool ran = run(sa);
    if (ran)
        isa_touch(sa); /* looked at again after each wish that was carried out */
    return ran;
}
