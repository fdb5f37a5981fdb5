/* See clock.h. */
#include "sim/clock.h"

#include <stdlib.h>

void sim_init(struct sim *s, uint64_t seed)
{
    *s = (struct sim){ .now_ns = 1000 * SL_NS_PER_S };
    sl_rng_seeded_init(&s->rng_state, seed);
    s->rng = sl_rng_seeded(&s->rng_state);
}

void sim_clear(struct sim *s)
{
    sim_forget(s, NULL);
    free(s->heap);
    s->heap = NULL;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void rise(struct sim *s, size_t i)
{
    for (; i > 0 && before(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        struct sim_event e = s->heap[i];
        s->heap[i] = s->heap[(i - 1) / 2];
        s->heap[(i - 1) / 2] = e;
    }
}

static void sink(struct sim *s, size_t i)
{
    for (size_t c; (c = 2 * i + 1) < s->n; i = c) {
        if (c + 1 < s->n && before(&s->heap[c + 1], &s->heap[c]))
            c++;
        if (!before(&s->heap[c], &s->heap[i]))
            return;
        struct sim_event e = s->heap[i];
        s->heap[i] = s->heap[c];
        s->heap[c] = e;
    }
}

void sim_after(struct sim *s, int64_t delay_ns, void (*run)(void *ctx, void *arg),
               void (*drop)(void *arg), void *ctx, void *arg)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->heap = reallocarray(s->heap, s->cap, sizeof(*s->heap));
        if (!s->heap)
            abort();
    }
    s->heap[s->n] = (struct sim_event){ s->now_ns + delay_ns, s->order++, run, drop, ctx, arg };
    rise(s, s->n++);
}

void sim_forget(struct sim *s, const void *ctx)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!ctx || s->heap[i].ctx == ctx) {
            if (s->heap[i].drop)
                s->heap[i].drop(s->heap[i].arg);
        } else {
            s->heap[kept++] = s->heap[i];
        }
    }
    s->n = kept;
    for (size_t i = kept / 2; i-- > 0;)
        sink(s, i);
}

int64_t sim_next_ns(const struct sim *s)
{
    return s->n ? s->heap[0].at_ns : INT64_MAX;
}

bool sim_step(struct sim *s)
{
    if (!s->n)
        return false;
    struct sim_event e = s->heap[0];
    s->heap[0] = s->heap[--s->n];
    sink(s, 0);
    if (e.at_ns > s->now_ns)
        s->now_ns = e.at_ns;
    e.run(e.ctx, e.arg);
    return true;
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return per_mille && sl_rng_below(&s->rng, 1000) < per_mille;
}

int64_t sim_between(struct sim *s, int64_t from, int64_t to)
{
    return from + (int64_t)sl_rng_below(&s->rng, (uint64_t)(to - from + 1));
}
