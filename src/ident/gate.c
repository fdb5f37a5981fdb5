/*
 * One state for all requests to one OCSP responder. Each certificate is a request of its own, so a
 * crowd of peers is a crowd of requests; what must not follow is a crowd of waits for a dead server.
 *
 *   not known   one request is under way, the others are held until it ends
 *   alive       IDENT_GATE_RUNNING at once, the others are held in the order they came
 *   silent      nobody asks before the back-off ends, and those that were held fail at once
 *
 * A server that answers anything, also that it will not, is alive.
 */
#include "src/ident/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gate {
    struct gate *next, **place;
    char *uri;
    size_t sources; /* that go through it; freed with the last */
    bool alive;
    unsigned running, failures;
    int64_t retry_ns;
    char error[256];
    struct source *first, **end; /* held */
};

/* FNV-1a */
static size_t bucket_of(const char *uri)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *uri; uri++)
        h = (h ^ (uint8_t)*uri) * UINT64_C(0x100000001b3);
    return (size_t)((h ^ h >> 32) % IDENT_GATES);
}

bool gate_join(struct sl_decider *d, struct source *s)
{
    struct gate **list = &d->gate[bucket_of(s->uri)], *g = *list;
    while (g && strcmp(g->uri, s->uri) != 0)
        g = g->next;
    if (!g) {
        g = calloc(1, sizeof(*g));
        if (!g || !(g->uri = strdup(s->uri))) {
            free(g);
            return false;
        }
        g->end = &g->first;
        g->next = *list;
        g->place = list;
        if (g->next)
            g->next->place = &g->next;
        *list = g;
    }
    g->sources++;
    s->gate = g;
    return true;
}

static void unhold(struct gate *g, struct source *s)
{
    struct source **p = &g->first;
    while (*p != s)
        p = &(*p)->next_held;
    *p = s->next_held;
    if (g->end == &s->next_held)
        g->end = p;
    s->next_held = NULL;
    s->held = false;
}

void gate_leave(struct source *s)
{
    struct gate *g = s->gate;
    if (!g)
        return;
    if (s->held)
        unhold(g, s);
    g->running -= s->running;
    s->running = false;
    s->gate = NULL;
    if (--g->sources > 0)
        return;
    *g->place = g->next;
    if (g->next)
        g->next->place = g->place;
    free(g->uri);
    free(g);
}

bool gate_closed(const struct source *s, struct sl_now now, int64_t *retry_ns, const char **why)
{
    if (!s->gate || now.mono_ns >= s->gate->retry_ns)
        return false;
    *retry_ns = s->gate->retry_ns;
    *why = s->gate->error;
    return true;
}

void gates_reopen(struct sl_decider *d)
{
    for (size_t i = 0; i < IDENT_GATES; i++)
        for (struct gate *g = d->gate[i]; g; g = g->next) {
            g->failures = 0;
            g->retry_ns = 0;
        }
}

bool gate_enter(struct source *s)
{
    struct gate *g = s->gate;
    if (g && g->running >= (g->alive ? IDENT_GATE_RUNNING : 1)) {
        s->held = true;
        *g->end = s;
        g->end = &s->next_held;
        return false;
    }
    if (g) {
        g->running++;
        s->running = true;
    }
    return true;
}

void gate_report(struct source *s, bool answered, const char *text, struct sl_now now)
{
    struct gate *g = s->gate;
    if (!g)
        return;
    if (s->held) { /* its time was up before it was asked: that says nothing of the server */
        unhold(g, s);
        return;
    }
    if (!s->running)
        return;
    s->running = false;
    g->running--;
    g->alive = answered;
    if (answered) {
        g->failures = 0;
        g->retry_ns = 0;
        return;
    }
    if (now.mono_ns < g->retry_ns)
        return; /* one outage, told by several that were under way */
    g->retry_ns = now.mono_ns + ident_backoff_s(g->failures++) * SL_NS_PER_S;
    snprintf(g->error, sizeof(g->error), "%s", text && *text ? text : "no answer");
}

void gate_flow(struct sl_decider *d, struct gate *g, struct sl_now now)
{
    while (g && g->first && now.mono_ns < g->retry_ns) {
        struct source *s = g->first;
        unhold(g, s);
        source_refused(d, s, g->error, g->retry_ns, now);
    }
    while (g && g->first && g->running < (g->alive ? IDENT_GATE_RUNNING : 1)) {
        struct source *s = g->first;
        unhold(g, s);
        g->running++;
        s->running = true;
        source_released(d, s, now);
    }
}
