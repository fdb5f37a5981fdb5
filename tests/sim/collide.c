/* See collide.h. */
#include "sim/collide.h"

#include "sim/left.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAD_MS      40                 /* traffic before anything begins */
#define TRAFFIC_NS   (8 * SL_NS_PER_MS) /* one packet each way */
#define TRAFFIC_MS   20000              /* it ends so long after the beginning */
#define SETTLE_MS    900000             /* the longest that anything may take */
#define LEFT_OVER_MS 130000             /* and by then the last trace is gone */

/* ---- what it is about, in words ---------------------------------------------------------------- */

static const char *const op_text[] = { "nothing", "child rekey", "IKE rekey", "child down",
                                       "IKE down" };
static const char *const fate_text[] = { "as sent",  "dropped", "300 ms late",
                                         "3 s late", "twice",   "all twice" };
static const char *const proposals_text[] = { "same proposals", "INVALID_KE", "mixed proposals",
                                              "no PFS" };

const char *collide_text(const struct collide_cell *c)
{
    static char out[160];
    char which[48] = "";
    if (c->fate != FATE_NONE && c->fate != FATE_ALL_TWICE)
        snprintf(which, sizeof(which), "message %u of %s ", c->message, c->from_a ? "a" : "b");
    snprintf(out, sizeof(out), "a: %s, b: %s %.1f ms after; %s; %s%s", op_text[c->a], op_text[c->b],
             (double)c->b_after_us / 1e3, proposals_text[c->proposals], which, fate_text[c->fate]);
    return out;
}

/* ---- the run ----------------------------------------------------------------------------------- */

struct run {
    struct world *w;
    const struct collide_cell *cell;
    unsigned from_a, from_b; /* messages since the beginning */
    bool begun;
    uint64_t id_a, id_b; /* commands */
    int64_t down_ns;     /* something was ordered down then, so packets may be lost; 0: not yet */
    bool sending;
    unsigned tick;
    unsigned broken;  /* packets lost though both sides had the SA when they were sent */
    unsigned unheard; /* packets sent on an SA that the receiver did not have */
    unsigned unsent;  /* packets for which the sender had no SA */
    unsigned sent;
};
static struct run run;

/* ---- the fate of one message ------------------------------------------------------------------- */

static void late(void *ctx, void *arg)
{
    struct sim_datagram *d = arg;
    const struct world *w = ctx;
    const struct sim_node *node =
        sl_addr_eq(&d->to.addr, &w->a.node.addr) ? &w->a.node : &w->b.node;
    node->receive(node->ctx, &d->to, &d->from, sl_buf_bytes(&d->data));
    sl_buf_clear(&d->data);
    free(d);
}

static void forget(void *arg)
{
    struct sim_datagram *d = arg;
    sl_buf_clear(&d->data);
    free(d);
}

static void again(struct world *w, const struct sim_datagram *d, int64_t after_ms)
{
    struct sim_datagram *copy = calloc(1, sizeof(*copy));
    ck_assert_ptr_nonnull(copy);
    copy->from = d->from;
    copy->to = d->to;
    ck_assert(sl_buf_put(&copy->data, sl_buf_bytes(&d->data)));
    sim_after(&w->sim, after_ms * SL_NS_PER_MS, late, forget, w, copy);
}

static bool fate(void *ctx, struct sim_datagram *d)
{
    struct run *r = ctx;
    if (!r->begun)
        return true;
    const bool from_a = sl_addr_eq(&d->from.addr, &r->w->a.node.addr);
    const unsigned n = from_a ? ++r->from_a : ++r->from_b;
    if (r->cell->fate != FATE_ALL_TWICE && (from_a != r->cell->from_a || n != r->cell->message))
        return true;
    switch (r->cell->fate) {
    case FATE_NONE:
        return true;
    case FATE_DROP:
        return false;
    case FATE_LATE:
        again(r->w, d, 300);
        return false;
    case FATE_VERY_LATE:
        again(r->w, d, 3000);
        return false;
    case FATE_TWICE:
        again(r->w, d, 2000);
        return true;
    case FATE_ALL_TWICE:
        again(r->w, d, n % 2 ? 1 : 40);
        return true;
    }
    return true;
}

/* ---- traffic ----------------------------------------------------------------------------------- */

struct packet {
    struct run *run;
    uint32_t spi;
    bool both; /* both sides had the SA when it was sent */
};

static struct sim_sa *receiver(struct sim_gw *gw, uint32_t spi)
{
    for (struct sim_sa *sa = gw->sas; sa; sa = sa->next)
        if (sa->child.spi_in == spi)
            return sa;
    return NULL;
}

static void arrives(void *ctx, void *arg)
{
    struct sim_gw *gw = ctx;
    struct packet *p = arg;
    const struct sim_sa *sa = receiver(gw, p->spi);
    if (sa) {
        sl_ike_child_seen(gw->ike, gw->sim->now_ns, sa->child.id);
        sim_gw_pump(gw);
    } else if (p->both && !p->run->down_ns) {
        p->run->broken++;
    } else {
        p->run->unheard++;
    }
    if (!sa && gw->verbose)
        fprintf(stderr, "%12.3f %s packet for %08x, which is not here\n",
                (double)gw->sim->now_ns / 1e9, gw->name, p->spi);
    free(p);
}

static void packet(struct run *r, struct sim_gw *from, struct sim_gw *to)
{
    const struct sim_sa *best = NULL;
    for (const struct sim_sa *sa = from->sas; sa; sa = sa->next)
        if (sa->outbound && (!best || sa->order > best->order))
            best = sa;
    if (!best) {
        r->unsent++;
        return;
    }
    struct packet *p = malloc(sizeof(*p));
    ck_assert_ptr_nonnull(p);
    *p = (struct packet){ r, best->child.spi_out, receiver(to, best->child.spi_out) != NULL };
    r->sent++;
    /* Every eighth takes a long way, and arrives after many that were sent later. */
    sim_after(to->sim, (r->tick % 8 ? 1 : 40) * SL_NS_PER_MS, arrives, free, to, p);
}

static void traffic(void *ctx, void *arg)
{
    struct run *r = ctx;
    (void)arg;
    if (!r->sending)
        return;
    r->tick++;
    packet(r, &r->w->a, &r->w->b);
    packet(r, &r->w->b, &r->w->a);
    sim_after(&r->w->sim, TRAFFIC_NS, traffic, NULL, r, NULL);
}

/* ---- commands ---------------------------------------------------------------------------------- */

static uint64_t command(struct run *r, struct sim_gw *gw, enum collide_op op)
{
    switch (op) {
    case OP_REKEY_CHILD:
        return sim_gw_rekey(gw, "ab", NULL, false);
    case OP_REKEY_IKE:
        return sim_gw_rekey(gw, "ab", NULL, true);
    case OP_DOWN_CHILD:
        r->down_ns = r->w->sim.now_ns;
        return sim_gw_down(gw, "ab", "net");
    case OP_DOWN_IKE:
        r->down_ns = r->w->sim.now_ns;
        return sim_gw_down(gw, "ab", NULL);
    case OP_NONE:
    case OP_N:
        break;
    }
    return 0;
}

static void begin_a(void *ctx, void *arg)
{
    struct run *r = ctx;
    (void)arg;
    r->id_a = command(r, &r->w->a, r->cell->a);
}

static void begin_b(void *ctx, void *arg)
{
    struct run *r = ctx;
    (void)arg;
    r->id_b = command(r, &r->w->b, r->cell->b);
}

static void begin(struct run *r)
{
    const int64_t b_us = r->cell->b_after_us, first_us = b_us < 0 ? -b_us : 0;
    r->begun = true;
    sim_after(&r->w->sim, first_us * 1000, begin_a, NULL, r, NULL);
    sim_after(&r->w->sim, (first_us + b_us) * 1000, begin_b, NULL, r, NULL);
}

/* ---- what must hold ---------------------------------------------------------------------------- */

static bool has(const struct collide_cell *c, enum collide_op op)
{
    return c->a == op || c->b == op;
}

#define HOLDS(condition, ...)                                                                   \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            char what_[800];                                                                    \
            snprintf(what_, sizeof(what_), __VA_ARGS__);                                        \
            ck_abort_msg("%s (seed %llu): %s", collide_text(r->cell), (unsigned long long)seed, \
                         what_);                                                                \
        }                                                                                       \
    } while (0)

static bool settled(struct world *w)
{
    return !run.sending && !sim_left_over(&w->a) && !sim_left_over(&w->b) &&
           !sim_agree(&w->a, &w->b);
}

static void check_command(const struct run *r, uint64_t seed, const struct sim_gw *gw,
                          enum collide_op op, uint64_t id, bool must_work)
{
    if (op == OP_NONE)
        return;
    const struct sim_done *d = sim_gw_done(gw, id);
    HOLDS(d, "the command of %s has not ended", gw->name);
    HOLDS(!must_work || d->rc == SL_OK, "the command of %s ended with %s: %s", gw->name,
          sl_rc_name(d->rc), d->text);
}

static void check(const struct run *r, uint64_t seed)
{
    const struct collide_cell *c = r->cell;
    struct world *w = r->w;
    const bool ike_down = has(c, OP_DOWN_IKE), child_down = has(c, OP_DOWN_CHILD);
    const bool rekeys_only = !ike_down && !child_down;
    const struct sim_view a = sim_gw_view(&w->a);
    const struct sim_gw *const both[] = { &w->a, &w->b };
    HOLDS(a.ike_up == (ike_down ? 0 : 1), "%u IKE SAs", a.ike_up);
    HOLDS(a.child_up == (rekeys_only ? 1 : 0), "%u children", a.child_up);
    HOLDS(!r->broken, "%u packets of an SA that both sides had were lost", r->broken);
    HOLDS(r->sent > 0, "no packet was sent");
    if (rekeys_only) {
        HOLDS(!r->unheard, "%u packets met no SA", r->unheard);
        HOLDS(!r->unsent, "%u times there was no SA to send on", r->unsent);
        for (size_t i = 0; i < 2; i++) {
            const unsigned *n = both[i]->events.n;
            HOLDS(!n[SL_IKE_EV_IKE_DOWN] && !n[SL_IKE_EV_CHILD_DOWN] && !n[SL_IKE_EV_IKE_FAILED] &&
                      !n[SL_IKE_EV_CHILD_FAILED],
                  "%s told of a loss or failure: %s", both[i]->name, both[i]->last_text);
        }
    }
    check_command(r, seed, &w->a, c->a, r->id_a, rekeys_only);
    check_command(r, seed, &w->b, c->b, r->id_b, rekeys_only);
}

/* ---- worlds ------------------------------------------------------------------------------------ */

/* Proposals of a and b: for IKE, for ESP. %s: the suffix. */
static const struct {
    const char *a[2], *b[2];
} proposals[PROPOSALS_N] = {
    [PROPOSALS_SAME] = { { "\"aes128gcm16-prfsha256-curve25519%s\"",
                           "\"aes128gcm16-curve25519%s\"" },
                         { "\"aes128gcm16-prfsha256-curve25519%s\"",
                           "\"aes128gcm16-curve25519%s\"" } },
    /* IKE: both take curve25519 only for the first exchange; the rekeys differ by configuration. */
    [PROPOSALS_INVALID_KE] = { { "\"aes128gcm16-prfsha256-ecp256%s\", "
                                 "\"aes128gcm16-prfsha256-curve25519%s\"",
                                 "\"aes128gcm16-ecp256%s\", \"aes128gcm16-curve25519%s\"" },
                               { "\"aes128gcm16-prfsha256-curve25519%s\"",
                                 "\"aes128gcm16-curve25519%s\"" } },
    [PROPOSALS_MIXED] = { { "\"aes128gcm16-prfsha256-ecp256%s\", "
                            "\"aes256gcm16-prfsha384-curve25519%s\"",
                            "\"aes128gcm16-ecp256%s\", \"aes256gcm16-curve25519%s\"" },
                          { "\"aes128gcm16-prfsha256-ecp384%s\", "
                            "\"aes256gcm16-prfsha384-curve25519%s\"",
                            "\"aes128gcm16-ecp384%s\", \"aes256gcm16-curve25519%s\"" } },
    [PROPOSALS_NO_PFS] = { { "\"aes128gcm16-prfsha256-curve25519%s\"", "\"aes128gcm16\"" },
                           { "\"aes128gcm16-prfsha256-curve25519%s\"", "\"aes128gcm16\"" } },
};

static struct world_side make_side(char out[2][256], const char *const lines[2], const char *suffix)
{
    static const char *const key[] = { "ike", "esp" };
    char with[220];
    for (size_t i = 0; i < 2; i++) {
        size_t n = 0;
        for (const char *p = lines[i]; *p && n < sizeof(with) - 1;) {
            if (strncmp(p, "%s", 2) == 0) {
                n += (size_t)snprintf(with + n, sizeof(with) - n, "%s", suffix);
                p += 2;
            } else {
                with[n++] = *p++;
            }
        }
        with[n < sizeof(with) ? n : sizeof(with) - 1] = '\0';
        snprintf(out[i], 256, "%s = { %s }%s", key[i], with,
                 i == 0 ? "\n  retransmit = 500ms" : "");
    }
    return (struct world_side){ "", out[0], out[1] };
}

void collide_run(struct world *w, uint64_t seed, const struct collide_cell *cell,
                 const char *suffix)
{
    char a_text[2][256], b_text[2][256];
    const struct world_side a = make_side(a_text, proposals[cell->proposals].a, suffix);
    const struct world_side b = make_side(b_text, proposals[cell->proposals].b, suffix);
    struct run *r = &run;
    world_init(w, seed, NULL, &a, &b, true, NULL);
    world_up(w);
    *r = (struct run){ .w = w, .cell = cell, .sending = true };
    w->spoil = fate;
    w->spoil_ctx = r;
    traffic(r, NULL);
    world_run(w, LEAD_MS);
    begin(r);
    world_run(w, TRAFFIC_MS);
    r->sending = false;
    const bool good = world_until(w, settled, SETTLE_MS);
    const char *differs = sim_agree(&w->a, &w->b), *left_a = sim_left_over(&w->a),
               *left_b = sim_left_over(&w->b);
    HOLDS(good, "not settled: %s; left at a: %s; at b: %s", differs ? differs : "both agree",
          left_a ? left_a : "nothing", left_b ? left_b : "nothing");
    world_run(w, LEFT_OVER_MS);
    HOLDS(world_until(w, settled, SETTLE_MS), "what was settled did not stay so");
    check(r, seed);
    world_clear(w);
}
