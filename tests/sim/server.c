/* See server.h. */
#include "sim/server.h"

#include <stdlib.h>
#include <string.h>

#define RTO_NS     (200 * SL_NS_PER_MS) /* a segment that was lost is sent again after this, doubled */
#define RTO_MAX_NS (8 * SL_NS_PER_S)

struct exchange {
    struct sim_servers *all;
    struct sim_server *server;
    char *uri;
    bool post;
    struct sl_buf body;
    int64_t until_ns, back_ns; /* when the asker gives up; how long the answer will be on its way */
    void *owner;
    uint64_t id;
    sim_replied_fn *fn;
    enum sl_rc rc;
    const char *text;
    struct sim_reply reply;
};

void sim_servers_init(struct sim_servers *s, struct sim *sim, const struct sim_net *net,
                      uint64_t seed)
{
    *s = (struct sim_servers){ .sim = sim, .net = net, .seed = seed };
}

void sim_servers_add(struct sim_servers *s, struct sim_server *server, const char *prefix)
{
    if (s->n == SIM_SERVERS_MAX || strlen(prefix) >= sizeof(server->prefix))
        abort();
    memcpy(server->prefix, prefix, strlen(prefix) + 1);
    s->server[s->n++] = server;
}

static struct sim_server *find(const struct sim_servers *s, const char *uri)
{
    struct sim_server *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct sim_server *x = s->server[i];
        const size_t len = strlen(x->prefix);
        if (strncmp(x->prefix, uri, len) == 0 && (!best || len > strlen(best->prefix)))
            best = x;
    }
    return best;
}

static void drop_exchange(void *arg)
{
    struct exchange *x = arg;
    sl_buf_clear(&x->body);
    sl_buf_clear(&x->reply.body);
    free(x->uri);
    free(x);
}

static void end(void *owner, void *arg)
{
    struct exchange *x = arg;
    x->fn(owner, x->id, x->rc, x->text, x->rc == SL_OK ? &x->reply : NULL);
    drop_exchange(x);
}

static void end_after(struct exchange *x, int64_t delay_ns, enum sl_rc rc, const char *text)
{
    struct sim *sim = x->all->sim;
    if (sim->now_ns + delay_ns > x->until_ns) {
        delay_ns = x->until_ns - sim->now_ns;
        rc = SL_TIMEOUT;
        text = "no answer within the deadline";
    }
    x->rc = rc;
    x->text = text;
    sim_after(sim, delay_ns, end, drop_exchange, x->owner, x);
}

/* The question is there; what the server does now it has done, whether or not the answer arrives. */
static void arrive(void *owner, void *arg)
{
    struct exchange *x = arg;
    struct sim_server *server = x->server;
    (void)owner;
    if (!server || server->state == SIM_REFUSES) {
        end_after(x, x->back_ns, SL_UNAVAILABLE, "connection refused");
        return;
    }
    if (server->state == SIM_SILENT) {
        end_after(x, INT64_MAX / 2, SL_TIMEOUT, "");
        return;
    }
    const struct sim_request q = { x->uri, x->post, sl_buf_bytes(&x->body) };
    server->served++;
    x->reply = (struct sim_reply){ .status = 200, .content_type = "" };
    server->serve(server->ctx, &q, &x->reply);
    end_after(x, server->slow_ns + x->back_ns, SL_OK, "");
}

/* One way: the network's delay, and as often as it is lost the time until it is sent again. */
static int64_t one_way(const struct sim_weather *w, const struct sl_rng *rng)
{
    int64_t delay = w->delay_min_ns +
                    (int64_t)sl_rng_below(rng, (uint64_t)(w->delay_max_ns - w->delay_min_ns + 1));
    for (int64_t rto = RTO_NS; w->loss && rto <= RTO_MAX_NS && sl_rng_below(rng, 1000) < w->loss;
         rto *= 2)
        delay += rto;
    return delay;
}

static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return h;
}

void sim_ask(struct sim_servers *s, const struct sim_request *q, int64_t timeout_ms, void *owner,
             uint64_t id, sim_replied_fn *fn)
{
    struct exchange *x = calloc(1, sizeof(*x));
    if (!x || !(x->uri = strdup(q->uri)) || !sl_buf_put(&x->body, q->body))
        abort();
    x->all = s;
    x->server = find(s, q->uri);
    x->post = q->post;
    x->until_ns = s->sim->now_ns + timeout_ms * SL_NS_PER_MS;
    x->owner = owner;
    x->id = id;
    x->fn = fn;
    struct sl_rng_seeded state;
    const uint64_t count = x->server ? x->server->asked++ : 0;
    sl_rng_seeded_init(&state, s->seed ^ hash(x->server ? x->server->prefix : "") ^
                                   count * UINT64_C(0x9e3779b97f4a7c15));
    const struct sl_rng rng = sl_rng_seeded(&state);
    const struct sim_weather *w = &s->net->weather;
    int64_t there = 0;
    for (int leg = 0; leg < 3; leg++) /* SYN, SYN and ACK, the question */
        there += one_way(w, &rng);
    x->back_ns = one_way(w, &rng);
    if (s->sim->now_ns + there > x->until_ns)
        end_after(x, there, SL_TIMEOUT, "");
    else
        sim_after(s->sim, there, arrive, drop_exchange, owner, x);
}
