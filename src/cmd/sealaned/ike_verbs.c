/*
 * The ike role's verbs: up, down, rekey, sas and status.
 */
#include "src/cmd/sealaned/role_ike.h"

#include "sealane/time.h"
#include "src/ike/proposal.h"
#include "src/ike/retransmit.h"

#include <stdlib.h>
#include <string.h>

#define DOWN_PATIENCE_S 2  /* the peer's time to answer before a command is told that it has not */
#define DOWN_AGAIN_S    20 /* and each time after that; less than a command waits for a line */

static void waiting_unlink(struct waiting *w)
{
    struct waiting **at = &w->r->waiting;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

void ike_waiting_free(struct waiting *w)
{
    if (w->impatience)
        event_free(w->impatience);
    free(w);
}

void ike_command_done(struct role_ike *r, const struct sl_ike_action *a)
{
    struct waiting *w = r->waiting;
    while (w && w->id != a->id)
        w = w->next;
    if (!w)
        return;
    waiting_unlink(w);
    if (w->q) {
        json_t *result = json_pack("{s:s, s:s}", "connection", a->connection, "text", a->text);
        proc_ctl_reply(w->q, a->rc, a->rc == SL_OK ? "" : a->text, result, false);
        json_decref(result);
    }
    ike_waiting_free(w);
}

/* Starts a command; it may have been answered when this returns. */
static void command(struct role_ike *r, struct proc_ctl *q, const json_t *args,
                    uint64_t (*run)(struct role_ike *r, const char *connection, const char *child,
                                    const json_t *args),
                    event_callback_fn on_impatience)
{
    const char *connection = json_string_value(json_object_get(args, "connection"));
    const char *child = json_string_value(json_object_get(args, "child"));
    struct sl_err err = { 0 };
    if (!connection || !*connection) {
        (void)SL_FAIL(&err, SL_USAGE, "which connection?");
        proc_ctl_fail(q, &err);
        return;
    }
    struct waiting *w = calloc(1, sizeof(*w));
    if (w && on_impatience)
        w->impatience = event_new(r->p->base, -1, 0, on_impatience, w);
    const uint64_t id = w && (w->impatience || !on_impatience)
                            ? run(r, connection, child && *child ? child : NULL, args)
                            : 0;
    if (!id) {
        if (w)
            ike_waiting_free(w);
        (void)SL_FAIL_MEM(&err);
        proc_ctl_fail(q, &err);
        return;
    }
    w->r = r;
    w->id = id;
    w->q = q;
    w->to_the_end = json_is_true(json_object_get(args, "wait"));
    (void)snprintf(w->connection, sizeof(w->connection), "%s", connection);
    w->next = r->waiting;
    r->waiting = w;
    if (w->impatience)
        event_add(w->impatience, &(struct timeval){ .tv_sec = DOWN_PATIENCE_S });
    ike_drain(r);
}

static int64_t tried_s(const struct role_ike *r, const char *connection)
{
    for (size_t i = 0; i < r->p->config->connection_n; i++) {
        const struct sl_conf_connection *c = &r->p->config->connection[i];
        if (strcmp(c->name, connection) == 0)
            return (ike_retry_span_ms(&(struct ike_retry){ .first_ms = c->retransmit_ms,
                                                           .tries = c->retransmit_tries }) +
                    999) /
                   1000;
    }
    return 0;
}

/* The peer has not answered the Delete yet, and may be gone. */
static void on_down_impatience(evutil_socket_t fd, short what, void *ctx)
{
    struct waiting *w = ctx;
    char text[SL_ERR_TEXT_MAX];
    (void)fd;
    (void)what;
    (void)snprintf(text, sizeof(text),
                   "the peer has not answered yet: the Delete is sent again, and without an answer "
                   "for about %lld s the SA is removed all the same; `sealane sas` shows it",
                   (long long)tried_s(w->r, w->connection));
    json_t *result =
        json_pack("{s:s, s:s, s:b}", "connection", w->connection, "text", text, "pending", 1);
    proc_ctl_reply(w->q, SL_OK, w->to_the_end ? text : "", result, w->to_the_end);
    json_decref(result);
    if (w->to_the_end) {
        event_add(w->impatience, &(struct timeval){ .tv_sec = DOWN_AGAIN_S });
        return;
    }
    waiting_unlink(w);
    ike_waiting_free(w);
}

static uint64_t run_up(struct role_ike *r, const char *connection, const char *child,
                       const json_t *args)
{
    (void)args;
    return sl_ike_up(r->ike, sl_clock_mono_ns(), connection, child);
}

static uint64_t run_down(struct role_ike *r, const char *connection, const char *child,
                         const json_t *args)
{
    (void)args;
    return sl_ike_down(r->ike, sl_clock_mono_ns(), connection, child);
}

static uint64_t run_rekey(struct role_ike *r, const char *connection, const char *child,
                          const json_t *args)
{
    return sl_ike_rekey(r->ike, sl_clock_mono_ns(), connection, child,
                        json_is_true(json_object_get(args, "ike")));
}

static void verb_up(void *ctx, struct proc_ctl *q, const json_t *args)
{
    command(ctx, q, args, run_up, NULL);
}

static void verb_down(void *ctx, struct proc_ctl *q, const json_t *args)
{
    command(ctx, q, args, run_down, on_down_impatience);
}

static void verb_rekey(void *ctx, struct proc_ctl *q, const json_t *args)
{
    command(ctx, q, args, run_rekey, NULL);
}

struct listing {
    json_t *sas, *last; /* last: the SA whose children follow */
    const char *only;   /* connection; NULL: all */
    int64_t now_ns;
};

static json_t *num(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static void put_times(json_t *o, int64_t now_ns, int64_t established_ns, int64_t rekey_ns)
{
    if (established_ns)
        json_object_set_new(o, "age_s", json_integer((now_ns - established_ns) / SL_NS_PER_S));
    if (rekey_ns)
        json_object_set_new(
            o, "rekey_in_s",
            json_integer(rekey_ns > now_ns ? (rekey_ns - now_ns) / SL_NS_PER_S : 0));
}

/* Addresses inside the tunnel, the peer's or ours, and the servers that go with them. */
static void put_vip(json_t *o, const struct sl_ike_sa_info *i)
{
    char text[SL_ADDR_TEXT];
    json_t *list = json_array(), *dns = json_array(), *domains = json_array();
    for (unsigned f = 0; f < 2; f++)
        if (i->vip->addr[f].family)
            json_array_append_new(list, json_string(sl_addr_text(text, &i->vip->addr[f])));
    for (size_t k = 0; k < i->vip->dns_n; k++)
        json_array_append_new(dns, json_string(sl_addr_text(text, &i->vip->dns[k])));
    for (const char *at = i->vip->split_dns; *at;) {
        const size_t n = strcspn(at, " ");
        json_array_append_new(domains, json_stringn(at, n));
        at += n + (at[n] == ' ');
    }
    json_object_set_new(o, i->vip_ours ? "virtual_local" : "virtual_remote", list);
    json_object_set_new(o, "dns", dns);
    json_object_set_new(o, "split_dns", domains);
}

static void list_ike(void *ctx, const struct sl_ike_sa_info *i)
{
    struct listing *l = ctx;
    l->last = NULL;
    if (l->only && strcmp(l->only, i->connection) != 0)
        return;
    char text[SL_ID_TEXT], ep[SL_ENDPOINT_TEXT], suite[SL_SUITE_TEXT], prf[IKE_TEXT], spi[17];
    const bool agreed = i->suite.encr != SL_ENCR_NONE;
    json_t *o = json_object();
    json_object_set_new(o, "id", num(i->id));
    json_object_set_new(o, "connection", json_string(i->connection));
    json_object_set_new(o, "state", json_string(i->state));
    json_object_set_new(o, "version", json_integer(i->version));
    json_object_set_new(o, "initiator", json_boolean(i->initiator));
    json_object_set_new(o, "local", json_string(sl_endpoint_text(ep, &i->local)));
    json_object_set_new(o, "remote", json_string(sl_endpoint_text(ep, &i->remote)));
    if (i->id_local.type)
        json_object_set_new(o, "id_local", json_string(sl_id_text(text, &i->id_local)));
    if (i->id_remote.type)
        json_object_set_new(o, "id_remote", json_string(sl_id_text(text, &i->id_remote)));
    json_object_set_new(o, "spi_i", json_string(sl_hex(spi, sizeof(spi), sl_bytes(i->spi_i, 8))));
    json_object_set_new(o, "spi_r", json_string(sl_hex(spi, sizeof(spi), sl_bytes(i->spi_r, 8))));
    if (agreed) {
        const struct ike_transform t = { .type = IKE_T_PRF, .id = (uint16_t)i->prf };
        json_object_set_new(o, "suite", json_string(sl_suite_text(suite, &i->suite)));
        json_object_set_new(o, "prf", json_string(ike_transform_text(prf, &t)));
        json_object_set_new(o, "ke", json_string(i->ke_text));
    }
    json_object_set_new(o, "natt", json_boolean(i->natt));
    json_object_set_new(o, "mobike", json_boolean(i->mobike));
    put_times(o, l->now_ns, i->established_ns, i->rekey_ns);
    if (i->record)
        json_object_set_new(o, "record", num(i->record));
    if (i->vip)
        put_vip(o, i);
    if (i->tag[0])
        json_object_set_new(o, "tag", json_string(i->tag));
    json_object_set_new(o, "children", json_array());
    json_array_append_new(l->sas, o);
    l->last = o;
}

static json_t *selectors(const struct sl_ts *ts, size_t n)
{
    char text[SL_TS_TEXT];
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(sl_ts_text(text, &ts[i])));
    return a;
}

static void list_child(void *ctx, const struct sl_child_info *c)
{
    struct listing *l = ctx;
    char suite[SL_SUITE_TEXT], spi[16];
    if (!l->last)
        return;
    json_t *o = json_object();
    json_object_set_new(o, "id", num(c->id));
    json_object_set_new(o, "name", json_string(c->name));
    json_object_set_new(o, "state", json_string(c->state));
    (void)snprintf(spi, sizeof(spi), "%08x", c->spi_in);
    json_object_set_new(o, "spi_in", json_string(spi));
    if (c->established_ns) {
        (void)snprintf(spi, sizeof(spi), "%08x", c->spi_out);
        json_object_set_new(o, "spi_out", json_string(spi));
        json_object_set_new(o, "suite", json_string(sl_suite_text(suite, &c->suite)));
        json_object_set_new(o, "esn", json_boolean(c->esn));
        json_object_set_new(o, "udp_encap", json_boolean(c->udp_encap));
    }
    json_object_set_new(o, "ts_local", selectors(c->ts_local, c->ts_local_n));
    json_object_set_new(o, "ts_remote", selectors(c->ts_remote, c->ts_remote_n));
    put_times(o, l->now_ns, c->established_ns, c->rekey_ns);
    json_array_append_new(json_object_get(l->last, "children"), o);
}

static void verb_sas(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct role_ike *r = ctx;
    struct listing l = { .sas = json_array(), .now_ns = sl_clock_mono_ns() };
    l.only = json_string_value(json_object_get(args, "connection"));
    if (l.only && !*l.only)
        l.only = NULL;
    sl_ike_list(r->ike, list_ike, list_child, &l);
    json_t *result = json_object();
    json_object_set_new(result, "sas", l.sas);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

static void list_missing(void *ctx, const char *connection, const char *child, enum sl_rc rc,
                         const char *text, int64_t again_ns)
{
    json_t *problems = ctx;
    char what[SL_ERR_TEXT_MAX + 256], advice[192];
    const int64_t wait = again_ns - sl_clock_mono_ns();
    if (rc == SL_OK)
        (void)snprintf(what, sizeof(what), "connection %s: child %s is not up yet", connection,
                       child);
    else
        (void)snprintf(what, sizeof(what), "connection %s: child %s is not up: %s: %s", connection,
                       child, sl_rc_name(rc), text);
    (void)snprintf(advice, sizeof(advice),
                   "it is tried again in %lld s; see `sealane help reasons` or try at once with "
                   "`sealane up %s`",
                   (long long)(wait > 0 ? wait / SL_NS_PER_S : 0), connection);
    json_array_append_new(problems, json_pack("{s:s, s:s}", "text", what, "do", advice));
}

static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct role_ike *r = ctx;
    struct sl_ike_stats s;
    (void)args;
    sl_ike_stats(r->ike, &s);
    json_t *problems = json_array(), *result = json_object();
    const struct {
        const char *name;
        uint64_t v;
    } rows[] = {
        { "ike_sas", s.ike_sas },
        { "child_sas", s.child_sas },
        { "half_open", s.half_open },
        { "packets_in", s.packets_in },
        { "packets_out", s.packets_out },
        { "retransmits", s.retransmits },
        { "malformed", s.malformed },
        { "integrity", s.integrity },
        { "cookies_sent", s.cookies_sent },
        { "refused", s.refused },
        { "dropped_limit", s.dropped_limit },
        { "unknown_spi", s.unknown_spi },
        { "send_failures", r->send_failures },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        json_object_set_new(result, rows[i].name, num(rows[i].v));
    sl_ike_missing(r->ike, list_missing, problems);
    if (r->sock[0].fd < 0 && r->sock[2].fd < 0)
        json_array_append_new(problems,
                              json_pack("{s:s, s:s}", "text", "no socket for IKE", "do",
                                        "see the supervisor's log for why it could not be opened"));
    json_object_set_new(result, "problems", problems);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

const struct proc_verb ike_verbs[] = {
    { "up", verb_up },
    { "down", verb_down },
    { "rekey", verb_rekey },
    { "sas", verb_sas },
    { "status", verb_status },
#ifdef SL_FAULTS
    { "ike.attempt", proc_verb_attempt },
#endif
};
const size_t ike_verbs_n = SL_ARRAY_LEN(ike_verbs);
