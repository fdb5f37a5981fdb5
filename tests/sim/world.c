/* See world.h. */
#include "sim/world.h"

#include "src/ike/codec.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sim_tap tap(void *ctx, struct sim_datagram *d)
{
    struct world *w = ctx;
    const bool from_a = sl_addr_eq(&d->from.addr, &w->a.node.addr) ||
                        (w->a.node.outside.family && sl_addr_eq(&d->from.addr, &w->a.node.outside));
    if (w->arrows < ARROWS_MAX) {
        char *out = w->arrow[w->arrows++];
        struct sl_rd r = sl_rd(sl_buf_bytes(&d->data));
        struct ike_hdr h;
        char name[IKE_TEXT];
        if (d->data.len == 1)
            snprintf(out, sizeof(w->arrow[0]), from_a ? "keepalive -->" : "<-- keepalive");
        else if (!ike_hdr_read(&h, &r))
            snprintf(out, sizeof(w->arrow[0]), from_a ? "? -->" : "<-- ?");
        else
            snprintf(out, sizeof(w->arrow[0]), "%s%s %u%s%s", from_a ? "" : "<-- ",
                     ike_exchange_text(name, h.exchange), h.id,
                     ike_hdr_is_response(&h) ? " response" : "", from_a ? " -->" : "");
    }
    unsigned *drop = from_a ? &w->drop_from_a : &w->drop_from_b;
    if (*drop) {
        --*drop;
        return SIM_DROP;
    }
    return !w->spoil || w->spoil(w->spoil_ctx, d) ? SIM_PASS : SIM_DROP;
}

const struct world_ts *world_ts_a, *world_ts_b;

static void side(char *out, size_t cap, bool is_a, const struct world_side *s, bool psk)
{
    const struct world_ts *ts = is_a ? world_ts_a : world_ts_b;
    const char *mine = is_a ? "10.0.1.0/24" : "10.0.2.0/24",
               *theirs = is_a ? "10.0.2.0/24" : "10.0.1.0/24";
    snprintf(out, cap,
             "ike {\n  %s\n}\n"
             "%s"
             "%s"
             "connection ab {\n"
             "%s%s%s"
             "  id_local = \"dns:%s.example\"\n"
             "  id_remote = \"dns:%s.example\"\n"
             "  %s\n"
             "  child net {\n"
             "    local_ts = { \"%s\" }\n    remote_ts = { \"%s\" }\n"
             "    %s\n"
             "  }\n"
             "}\n",
             s->ike, ts && ts->sections ? ts->sections : "",
             psk ? "psk psk {\n  file = \"/none\"\n}\n"
                 : "trust lab {\n  anchor = { \"/none\" }\n}\n"
                   "identity a {\n  certificate = \"/none\"\n  key_file = \"/none\"\n}\n"
                   "identity b {\n  certificate = \"/none\"\n  key_file = \"/none\"\n}\n",
             strstr(s->connection, "local = ") ? ""
             : is_a                            ? "  local = " WORLD_A "\n"
                                               : "  local = " WORLD_B "\n",
             strstr(s->connection, "remote = ") ? ""
             : is_a                             ? "  remote = " WORLD_B "\n"
                                                : "  remote = " WORLD_A "\n",
             psk    ? "  auth = psk\n  psk = psk\n"
             : is_a ? "  identity = a\n  trust = lab\n"
                    : "  identity = b\n  trust = lab\n",
             is_a ? "a" : "b", is_a ? "b" : "a", s->connection, ts && ts->local ? ts->local : mine,
             ts && ts->remote ? ts->remote : theirs, s->child);
}

void world_init(struct world *w, uint64_t seed, const struct sim_weather *weather,
                const struct world_side *a, const struct world_side *b, bool psk, const char *alg)
{
    char text[4096];
    *w = (struct world){ 0 };
    sim_init(&w->sim, seed);
    sim_net_init(&w->net, &w->sim, weather ? weather : &sim_fair);
    w->net.tap = tap;
    w->net.tap_ctx = w;
    side(text, sizeof(text), true, a, psk);
    sim_gw_init(&w->a, &w->sim, &w->net, "a", WORLD_A, text, psk ? NULL : "a",
                alg ? alg : "ed25519");
    side(text, sizeof(text), false, b, psk);
    sim_gw_init(&w->b, &w->sim, &w->net, "b", WORLD_B, text, psk ? NULL : "b",
                alg ? alg : "ed25519");
}

void world_clear(struct world *w)
{
    sim_gw_clear(&w->a);
    sim_gw_clear(&w->b);
    sim_clear(&w->sim);
}

bool world_until(struct world *w, bool (*good)(struct world *w), int64_t ms)
{
    const int64_t end = w->sim.now_ns + ms * SL_NS_PER_MS;
    while (!good || !good(w)) {
        if (sim_next_ns(&w->sim) > end) {
            w->sim.now_ns = end;
            return false;
        }
        sim_step(&w->sim);
    }
    return true;
}

void world_run(struct world *w, int64_t ms)
{
    (void)world_until(w, NULL, ms);
}

void world_forget_arrows(struct world *w)
{
    w->arrows = 0;
}

bool world_arrows(const struct world *w, const char *const *want, size_t n)
{
    bool same = w->arrows == n;
    for (size_t i = 0; same && i < n; i++)
        same = strcmp(w->arrow[i], want[i]) == 0;
    if (same)
        return true;
    fprintf(stderr, "%-34s%s\n", "wanted", "seen");
    for (size_t i = 0; i < n || i < w->arrows; i++)
        fprintf(stderr, "%-34s%s\n", i < n ? want[i] : "", i < w->arrows ? w->arrow[i] : "");
    return false;
}

unsigned world_count(const struct world *w, const char *arrow)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->arrows; i++)
        n += strcmp(w->arrow[i], arrow) == 0;
    return n;
}

bool world_connected(struct world *w)
{
    const struct sim_view a = sim_gw_view(&w->a), b = sim_gw_view(&w->b);
    return a.ike_up == 1 && b.ike_up == 1 && a.child_up == 1 && b.child_up == 1 && !a.ike_other &&
           !b.ike_other && !a.child_other && !b.child_other && !sim_agree(&w->a, &w->b);
}

void world_up(struct world *w)
{
    const uint64_t id = sim_gw_up(&w->a, "ab", NULL);
    world_run(w, 500);
    const struct sim_done *d = sim_gw_done(&w->a, id);
    ck_assert_msg(d && d->rc == SL_OK, "up: %s", d ? d->text : "no end");
    const char *differs = sim_agree(&w->a, &w->b);
    ck_assert_msg(!differs, "%s", differs);
    world_forget_arrows(w);
}
