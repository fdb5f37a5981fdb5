/*
 * Control: the UNIX socket of the command `sealane`. One JSON object a line in each direction:
 *
 *   {"verb": "ca.list", "args": {"state": "valid"}}
 *   {"rc": "OK", "text": "", "data": {...}, "more": false}
 *
 * Requests of a connection are answered in turn, with "more": true on every line but the last of
 * each (docs/control.md). The first word of the verb (up to a dot, blank or hyphen) names the role in the table below;
 * the rest is that role's business. `status` is answered here, from what all roles and the
 * supervisor say. Who may connect is decided by the permissions of the socket.
 */
#include "src/proc/role.h"

#include "sealane/time.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX       64
#define LINE_BYTES_MAX    ((size_t)256 << 10)
#define PENDING_BYTES_MAX ((size_t)64 << 20) /* a client that does not read is let go */
#define IDLE_S            600
#define VERB_MAX          sizeof(((struct msg_ctl_request *)0)->verb)
#define STATUS_MS         2000

static const struct {
    const char *word;
    enum proc_role_id role;
    int64_t deadline_ms; /* to each answer */
} routes[] = {
    { "up", PROC_IKE, 180000 },
    { "down", PROC_IKE, 60000 },
    { "rekey", PROC_IKE, 60000 },
    { "sas", PROC_IKE, 5000 },
    { "esp", PROC_ESP, 5000 },
    { "certs", PROC_IDENTITY, 5000 },
    { "cert", PROC_IDENTITY, 30000 },
    { "enroll", PROC_IDENTITY, (int64_t)24 * 3600 * 1000 }, /* may wait for approval */
    { "renew", PROC_IDENTITY, (int64_t)24 * 3600 * 1000 },
    { "policy", PROC_IDENTITY, 60000 },
    { "trust", PROC_IDENTITY, 5000 },
    { "pool", PROC_IDENTITY, 5000 },
    { "directory", PROC_IDENTITY, 30000 },
    { "audit", PROC_IDENTITY, (int64_t)24 * 3600 * 1000 }, /* tail waits for the next record */
    { "ca", PROC_AUTHORITY, 120000 },
    { "keys", PROC_KEYRING, 120000 },
    { "fetch", PROC_FETCH, 60000 },
};

struct control;
struct client {
    struct control *c;
    struct client *next;
    struct bufferevent *be;
    uint64_t id;        /* of the request at its role; 0: none, or status */
    struct chan *where; /* that role */
    struct gather *gather;
    bool busy;
    bool taking; /* next_request is at work further up */
};

/* What `status` waits for: one answer of each role and the supervisor's table. */
struct gather {
    struct client *client; /* NULL: it has gone */
    unsigned waiting;
    json_t *roles, *processes;
};
struct gather_one {
    struct gather *g;
    enum proc_role_id role;
};

struct control {
    struct proc_role *p;
    struct evconnlistener *listener;
    struct client *clients;
    unsigned clients_n;
};

static void next_request(struct client *k);

/* ---- answers ----------------------------------------------------------------------------------- */
static void client_free(struct client *k)
{
    struct client **p = &k->c->clients;
    while (*p != k)
        p = &(*p)->next;
    *p = k->next;
    k->c->clients_n--;
    if (k->where && k->id) {
        struct sl_err err = { 0 };
        struct msg_ctl_cancel m = { .id = k->id };
        chan_cancel(k->where, k->id);
        if (msg_send(k->where, MSG_CTL_CANCEL, &m, &err) != SL_OK && err.rc != SL_PROC_GONE)
            sl_log_err(SL_LOG_WARN, &err, "%s goes on with a request nobody waits for",
                       chan_peer(k->where));
    }
    if (k->gather)
        k->gather->client = NULL;
    bufferevent_free(k->be);
    free(k);
}

static void send_line(struct client *k, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    struct evbuffer *out = bufferevent_get_output(k->be);
    if (!text || evbuffer_add(out, text, strlen(text)) < 0 || evbuffer_add(out, "\n", 1) < 0)
        sl_error("out of memory, an answer is lost");
    free(text);
    json_decref(line);
}

/* data is taken and may be NULL. */
static void send_answer(struct client *k, enum sl_rc rc, const char *text, json_t *data, bool more)
{
    json_t *line = json_pack("{s:s, s:s}", "rc", sl_rc_name(rc), "text", text);
    if (!line) /* the text is not UTF-8 */
        line = json_pack("{s:s, s:s}", "rc", sl_rc_name(rc), "text", sl_rc_text(rc));
    if (data)
        json_object_set_new(line, "data", data);
    json_object_set_new(line, "more", json_boolean(more));
    send_line(k, line);
}

static void fail(struct client *k, const struct sl_err *err)
{
    send_answer(k, err->rc, sl_err_text(err), NULL, false);
}

static void finished(struct client *k)
{
    k->busy = false;
    k->id = 0;
    k->where = NULL;
    next_request(k);
}

static void on_role_answer(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct client *k = ctx;
    struct msg_ctl_reply r;
    struct sl_err err = { 0 };
    if (!m) {
        (void)SL_FAIL(&err, rc, "%s: %s", chan_peer(k->where), sl_rc_text(rc));
        fail(k, &err);
        finished(k);
        return;
    }
    bool more = m->flags & CHAN_MORE;
    json_error_t problem;
    json_t *result = NULL;
    bool good = m->type == MSG_CTL_REPLY && msg_read(MSG_CTL_REPLY, &r, m->body);
    if (good && r.json.len) {
        result = json_loadb((const char *)r.json.p, r.json.len, JSON_DECODE_ANY, &problem);
        good = result != NULL;
    }
    if (!good) {
        (void)SL_FAIL(&err, SL_PROC_MESSAGE, "%s sent an answer that cannot be read",
                      chan_peer(k->where));
        fail(k, &err);
    } else {
        send_answer(k, r.rc, r.text, result, more);
    }
    if (evbuffer_get_length(bufferevent_get_output(k->be)) > PENDING_BYTES_MAX) {
        sl_warn("a control client does not read its answers, it is let go");
        client_free(k);
        return;
    }
    if (!more)
        finished(k);
}

static void pass_on(struct client *k, enum proc_role_id role, int64_t deadline_ms, const char *verb,
                    const json_t *args)
{
    struct sl_err err = { 0 };
    struct msg_ctl_request m = { 0 };
    char *json = args ? json_dumps(args, JSON_COMPACT) : NULL;
    m.json = sl_str(json ? json : "");
    (void)snprintf(m.verb, sizeof(m.verb), "%s", verb);
    k->where = k->c->p->link[role];
    enum sl_rc rc =
        msg_ask(k->where, MSG_CTL_REQUEST, &m, deadline_ms, on_role_answer, k, &k->id, &err);
    free(json);
    if (rc == SL_OK) {
        k->busy = true;
        return;
    }
    k->where = NULL;
    if (role == PROC_AUTHORITY && !k->c->p->config->authority.enabled)
        (void)SL_FAIL(&err, SL_UNAVAILABLE,
                      "this host has no authority: the configuration's "
                      "authority section does not enable it");
    fail(k, &err);
}

/* ---- status ------------------------------------------------------------------------------------ */
/* Every role that was asked has an object here, also one that did not answer. */
static json_t *role_object(struct gather *g, const char *role)
{
    json_t *o = json_object_get(g->roles, role);
    if (!o) {
        o = json_object();
        json_object_set_new(g->roles, role, o);
    }
    return o;
}

static void add_problem(struct gather *g, const char *role, const char *text, const char *advice)
{
    json_t *o = role_object(g, role), *problems = json_object_get(o, "problems");
    if (!problems) {
        problems = json_array();
        json_object_set_new(o, "problems", problems);
    }
    json_array_append_new(problems, json_pack("{s:s, s:s}", "text", text, "do", advice));
}

static bool is_well(const struct gather *g)
{
    const char *name;
    json_t *role;
    json_object_foreach(g->roles, name,
                        role) if (json_array_size(json_object_get(role, "problems"))) return false;
    return true;
}

static void gather_done(struct gather *g)
{
    if (--g->waiting)
        return;
    struct client *k = g->client;
    if (k) {
        k->gather = NULL;
        send_answer(k, SL_OK, "",
                    json_pack("{s:s, s:O, s:O}", "verdict", is_well(g) ? "well" : "attention",
                              "processes", g->processes, "roles", g->roles),
                    false);
    }
    json_decref(g->roles);
    json_decref(g->processes);
    free(g);
    if (k)
        finished(k);
}

static void on_role_status(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct gather_one *one = ctx;
    struct gather *g = one->g;
    const char *name = proc_role_name(one->role);
    struct msg_ctl_reply r;
    json_t *status = NULL;
    if (m && m->type == MSG_CTL_REPLY && msg_read(MSG_CTL_REPLY, &r, m->body)) {
        status = r.json.len ? json_loadb((const char *)r.json.p, r.json.len, 0, NULL) : NULL;
        if (json_is_object(status))
            json_object_update(role_object(g, name), status);
        if (r.rc != SL_OK)
            add_problem(g, name, r.text, "");
    } else {
        char text[128];
        (void)snprintf(text, sizeof(text), "%s does not answer (%s)", name, sl_rc_name(rc));
        add_problem(g, name, text,
                    "it is started again when it ends by itself; the log says what it does");
    }
    json_decref(status);
    free(one);
    gather_done(g);
}

static void on_procs(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct gather *g = ctx;
    static struct msg_procs procs;
    (void)rc;
    if (!m || m->type != MSG_PROCS || !msg_read(MSG_PROCS, &procs, m->body)) {
        add_problem(g, "supervisor", "the supervisor does not answer", "restart sealaned");
        gather_done(g);
        return;
    }
    for (size_t i = 0; i < procs.proc_n; i++) {
        const struct msg_proc *p = &procs.proc[i];
        const char *name = proc_role_name((enum proc_role_id)p->role);
        char since[SL_TIME_TEXT];
        const char *state = !p->pid ? "restarting" : p->ready ? "running" : "starting";
        json_array_append_new(g->processes,
                              json_pack("{s:s, s:i, s:s, s:s, s:i, s:s}", "name", name, "pid",
                                        (int)p->pid, "state", state, "since",
                                        sl_time_text(since, p->started_utc_s), "restarts",
                                        (int)p->restarts, "lost", p->lost));
    }
    gather_done(g);
}

static void start_status(struct client *k)
{
    struct control *c = k->c;
    struct sl_err err = { 0 };
    struct gather *g = calloc(1, sizeof(*g));
    if (!g) {
        send_answer(k, SL_NO_MEMORY, sl_rc_text(SL_NO_MEMORY), NULL, false);
        return;
    }
    *g = (struct gather){
        .client = k, .waiting = 1, .roles = json_object(), .processes = json_array()
    };
    k->gather = g;
    k->busy = true;
    struct msg_none none = { 0 };
    g->waiting++;
    if (msg_ask(c->p->link[PROC_SUPERVISOR], MSG_PROCS_ASK, &none, STATUS_MS, on_procs, g, NULL,
                &err) != SL_OK)
        on_procs(g, err.rc, NULL);
    for (size_t i = 0; i < PROC_ROLE_COUNT; i++) {
        enum proc_role_id role = (enum proc_role_id)i;
        if (role == PROC_SUPERVISOR || !proc_role_linked(PROC_CONTROL, role) ||
            (role == PROC_AUTHORITY && !c->p->config->authority.enabled))
            continue;
        struct gather_one *one = malloc(sizeof(*one));
        if (!one)
            continue;
        *one = (struct gather_one){ g, role };
        struct msg_ctl_request m = { .verb = "status" };
        g->waiting++;
        if (msg_ask(c->p->link[role], MSG_CTL_REQUEST, &m, STATUS_MS, on_role_status, one, NULL,
                    &err) != SL_OK)
            on_role_status(one, err.rc, NULL);
    }
    gather_done(g);
}

/* ---- requests ---------------------------------------------------------------------------------- */
static void route(struct client *k, const char *verb, const json_t *args)
{
    size_t word = strcspn(verb, ". -");
    struct sl_err err = { 0 };
    if (!strcmp(verb, "status")) {
        start_status(k);
        return;
    }
#ifdef SL_FAULTS
    enum proc_role_id target;
    const char *name = json_string_value(json_object_get(args, "role"));
    if (!strcmp(verb, "fault") && name && proc_role_find(&target, name) &&
        target != PROC_SUPERVISOR) {
        if (target != PROC_CONTROL) {
            pass_on(k, target, 10000, verb, args);
            return;
        }
        json_t *data = proc_attempt(args);
        send_answer(k, data ? SL_OK : SL_USAGE, "", data, false);
        return;
    }
#endif
    for (size_t i = 0; i < SL_ARRAY_LEN(routes); i++)
        if (strlen(routes[i].word) == word && !strncmp(routes[i].word, verb, word)) {
            pass_on(k, routes[i].role, routes[i].deadline_ms, verb, args);
            return;
        }
    (void)SL_FAIL(&err, SL_UNSUPPORTED, "unknown verb \"%s\"", verb);
    fail(k, &err);
}

static void on_line(struct client *k, const char *line, size_t len)
{
    struct sl_err err = { 0 };
    json_error_t problem;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &problem);
    const char *verb = json_string_value(json_object_get(request, "verb"));
    const json_t *args = json_object_get(request, "args");
    if (!request)
        (void)SL_FAIL(&err, SL_MALFORMED, "request is not JSON: %s at byte %d", problem.text,
                      problem.position);
    else if (args && !json_is_object(args))
        (void)SL_FAIL(&err, SL_MALFORMED, "member \"args\" of the request is not an object");
    else if (verb && *verb && strlen(verb) < VERB_MAX)
        route(k, verb, args);
    else
        (void)SL_FAIL(&err, SL_MALFORMED,
                      "request has no member \"verb\" of at most %zu characters", VERB_MAX - 1);
    if (err.rc != SL_OK)
        fail(k, &err);
    json_decref(request);
}

/* Takes the next line, when none is being answered. */
static void next_request(struct client *k)
{
    struct evbuffer *in = bufferevent_get_input(k->be);
    if (k->taking)
        return;
    k->taking = true;
    while (!k->busy) {
        size_t len;
        char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
        if (!line)
            break;
        on_line(k, line, len);
        free(line);
    }
    k->taking = false;
}

static void on_read(struct bufferevent *be, void *ctx)
{
    struct client *k = ctx;
    next_request(k);
    if (evbuffer_get_length(bufferevent_get_input(be)) >= LINE_BYTES_MAX) {
        if (k->busy) { /* it may send on when it has its answer */
            return;
        }
        sl_warn("a control request is longer than %zu bytes", LINE_BYTES_MAX);
        client_free(k);
    }
}

static void on_event(struct bufferevent *be, short what, void *ctx)
{
    struct client *k = ctx;
    (void)be;
    if (what & BEV_EVENT_TIMEOUT && k->busy) {
        bufferevent_enable(k->be, EV_READ); /* a timeout turns it off */
        return;
    }
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
        client_free(k);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *ctx)
{
    struct control *c = ctx;
    (void)l, (void)sa, (void)len;
    struct client *k = c->clients_n < CLIENTS_MAX ? calloc(1, sizeof(*k)) : NULL;
    struct bufferevent *be =
        k ? bufferevent_socket_new(c->p->base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (!be) {
        sl_warn("a control connection is refused, %u are open", c->clients_n);
        close(fd);
        free(k);
        return;
    }
    struct ucred who = { 0 };
    socklen_t n = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0)
        sl_debug("control connection of user %u, pid %d", who.uid, (int)who.pid);
    *k = (struct client){ .c = c, .next = c->clients, .be = be };
    c->clients = k;
    c->clients_n++;
    bufferevent_setcb(be, on_read, NULL, on_event, k);
    bufferevent_setwatermark(be, EV_READ, 0, LINE_BYTES_MAX);
    bufferevent_set_timeouts(be, &(struct timeval){ .tv_sec = IDLE_S }, NULL);
    bufferevent_enable(be, EV_READ | EV_WRITE);
}

static void on_accept_error(struct evconnlistener *l, void *ctx)
{
    (void)l, (void)ctx;
    sl_warn("control socket: %s", strerror(errno));
}

int role_control(struct proc_role *p)
{
    static struct control c;
    c.p = p;
    p->ctx = &c;
    int fd = proc_fd_take(p, "control");
    c.listener = fd < 0 ? NULL
                        : evconnlistener_new(p->base, on_accept, &c,
                                             LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!c.listener) {
        sl_error("the control socket cannot be used");
        return 1;
    }
    evconnlistener_set_error_cb(c.listener, on_accept_error);
    proc_ready(p);
    int status = proc_run(p);
    evconnlistener_free(c.listener);
    for (struct client *k = c.clients, *next; k; k = next) {
        next = k->next;
        client_free(k);
    }
    return status;
}
