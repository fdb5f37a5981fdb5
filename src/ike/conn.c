/*
 * Configured connections at work: the children that are to be kept up with
 * back-off between attempts, and the commands up, down and rekey, each of which ends in one
 * SL_IKE_DONE.
 *
 * A command or a wish is not a queue of steps: whenever something about a connection changes, it is
 * looked at anew (conns_settle), and what is missing is begun.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sl_conf_child *conn_child(const struct ike_conn *conn, const char *name)
{
    for (size_t i = 0; conn->conf && i < conn->conf->child_n; i++)
        if (strcmp(conn->conf->child[i].name, name) == 0)
            return &conn->conf->child[i];
    return NULL;
}

void conn_cmd_free(struct ike_cmd *cmd)
{
    if (!cmd)
        return;
    ike_act_free(cmd->done);
    free(cmd->target);
    free(cmd);
}

/* ---- references -------------------------------------------------------------------------------- */

void conn_ref(struct ike_isa *sa, struct ike_conn *conn)
{
    conn_unref(sa);
    sa->conn = conn;
    sa->conn_prev = NULL;
    sa->conn_next = conn->sas;
    if (conn->sas)
        conn->sas->conn_prev = sa;
    conn->sas = sa;
}

void conn_unref(struct ike_isa *sa)
{
    struct ike_conn *conn = sa->conn;
    if (!conn)
        return;
    if (sa->conn_prev)
        sa->conn_prev->conn_next = sa->conn_next;
    else
        conn->sas = sa->conn_next;
    if (sa->conn_next)
        sa->conn_next->conn_prev = sa->conn_prev;
    sa->conn = NULL;
    sa->conn_prev = sa->conn_next = NULL;
    conn_touch(conn);
}

void conn_touch(struct ike_conn *conn)
{
    if (conn->touched)
        return;
    conn->touched = true;
    conn->touched_next = conn->ike->touched_conns;
    conn->ike->touched_conns = conn;
}

void conn_credential(struct sl_ike *ike, const char *identity)
{
    for (struct ike_conn *c = ike->conns; c; c = c->next)
        if (c->conf && strcmp(c->conf->identity, identity) == 0) {
            c->again_ns = 0;
            conn_touch(c);
        }
}

/* ---- attempts ---------------------------------------------------------------------------------- */

void conn_attempt_failed(struct ike_conn *conn, enum sl_rc rc, const char *text)
{
    struct sl_ike *ike = conn->ike;
    conn->last_rc = rc;
    snprintf(conn->last_text, sizeof(conn->last_text), "%s", text);
    int64_t wait = IKE_BACKOFF_MIN_NS;
    for (unsigned i = 0; i < conn->failures && wait < IKE_BACKOFF_MAX_NS; i++)
        wait *= 2;
    if (wait > IKE_BACKOFF_MAX_NS)
        wait = IKE_BACKOFF_MAX_NS;
    conn->failures++;
    conn->again_ns = ike->now_ns + wait + ike_jitter(ike, wait / 4);
    conn_touch(conn);
}

void conn_worked(struct ike_conn *conn)
{
    /* Not at once again, should the peer end it as soon as it is up. */
    conn->failures = 0;
    conn->last_rc = SL_OK;
    conn->again_ns = conn->ike->now_ns + IKE_BACKOFF_MIN_NS;
}

static bool usable(const struct ike_isa *sa)
{
    return (sa->state == ISA_UP || (sa->state == ISA_SETUP && sa->initiator)) && !sa->want_delete;
}

/* The IKE SA on which new children are made: one that is up before one that is being made. */
static struct ike_isa *usable_sa(const struct ike_conn *conn)
{
    struct ike_isa *best = NULL;
    for (struct ike_isa *sa = conn->sas; sa; sa = sa->conn_next) {
        if (!usable(sa))
            continue;
        if (sa->state == ISA_UP)
            return sa;
        best = sa;
    }
    return best;
}

static struct ike_child *find_named(const struct ike_conn *conn, const char *name)
{
    for (struct ike_isa *sa = conn->sas; sa; sa = sa->conn_next) {
        if (!usable(sa) && !(sa->state == ISA_REKEYED || sa->state == ISA_SETUP))
            continue;
        for (struct ike_child *c = sa->children; c; c = c->next)
            if (child_counts(c) && strcmp(c->name, name) == 0)
                return c;
    }
    return NULL;
}

static void attempt(struct ike_conn *conn, const char *name)
{
    struct sl_ike *ike = conn->ike;
    struct sl_err err = { 0 };
    struct ike_isa *sa = usable_sa(conn);
    if (!sa) {
        sa = init_begin(ike, conn, name, &err);
        if (!sa) {
            conn_attempt_failed(conn, err.rc, sl_err_text(&err));
            ike_event(ike, SL_IKE_EV_STORY, NULL, NULL, err.rc, "%s: %s", conn->name,
                      sl_err_text(&err));
        }
        return;
    }
    struct ike_child *c = sa->children_n < IKE_CHILDREN_MAX ? child_new(sa, name) : NULL;
    if (!c) {
        conn_attempt_failed(conn, SL_NO_MEMORY, sl_rc_text(SL_NO_MEMORY));
        return;
    }
    child_add(sa, c);
    isa_touch(sa);
}

/* ---- commands ---------------------------------------------------------------------------------- */

static bool named(const struct ike_cmd *cmd, const char *child)
{
    return !cmd->child[0] || strcmp(cmd->child, child) == 0;
}

static void cmd_done(struct ike_conn *conn, struct ike_cmd *cmd, enum sl_rc rc, const char *text)
{
    struct ike_cmd **at = &conn->cmds;
    while (*at != cmd)
        at = &(*at)->next;
    *at = cmd->next;
    struct ike_act *done = sl_steal(&cmd->done);
    done->a.id = cmd->id;
    done->a.rc = rc;
    done->text = text ? strdup(text) : NULL;
    snprintf(done->connection, sizeof(done->connection), "%s", conn->name);
    snprintf(done->child_name, sizeof(done->child_name), "%s", cmd->child);
    ike_act_push(&conn->ike->actions, done);
    conn_cmd_free(cmd);
}

static void set_keep(struct ike_conn *conn, const struct ike_cmd *cmd, bool on)
{
    for (size_t i = 0; i < conn->keep_n; i++)
        if (named(cmd, conn->keep[i].name))
            conn->keep[i].on = on;
}

static void settle_up(struct ike_conn *conn, struct ike_cmd *cmd)
{
    const struct sl_conf_connection *conf = conn->conf;
    if (!conf) {
        cmd_done(conn, cmd, SL_IKE_NO_CONNECTION, "connection left the configuration");
        return;
    }
    bool missing = false, waiting = false;
    for (size_t i = 0; i < conf->child_n; i++) {
        if (!named(cmd, conf->child[i].name))
            continue;
        const struct ike_child *c = find_named(conn, conf->child[i].name);
        if (c && c->state == CHILD_UP)
            continue;
        if (c) {
            waiting = true;
        } else if (!cmd->begun) {
            attempt(conn, conf->child[i].name);
            waiting = waiting || find_named(conn, conf->child[i].name);
            missing = missing || !find_named(conn, conf->child[i].name);
        } else {
            missing = true;
        }
    }
    cmd->begun = true;
    if (waiting)
        return;
    if (missing)
        cmd_done(conn, cmd, conn->last_rc ? conn->last_rc : SL_IKE_DELETED,
                 conn->last_rc ? conn->last_text : NULL);
    else
        cmd_done(conn, cmd, SL_OK, "up");
}

/*
 * Ends when all is gone that it found and what rekeys under way make of that; not what the peer
 * brings up afterwards.
 */
static void settle_down(struct ike_conn *conn, struct ike_cmd *cmd)
{
    bool left = false;
    for (struct ike_isa *sa = conn->sas; sa && !(left && cmd->begun); sa = sa->conn_next) {
        if (sa->state == ISA_DEAD || sa->state == ISA_CLOSED || sa->state == ISA_MAKING)
            continue;
        if (!cmd->child[0]) {
            if (!cmd->begun)
                isa_close(sa, SL_IKE_DELETED, "taken down by command");
            left = left || (sa->state != ISA_DEAD && sa->state != ISA_CLOSED &&
                            (sa->want_delete || sa->state == ISA_DELETING));
            continue;
        }
        struct ike_child *next;
        for (struct ike_child *c = sa->children; c; c = next) {
            next = c->next;
            if (!named(cmd, c->name) || c->state == CHILD_GONE)
                continue;
            if (!cmd->begun && c->state == CHILD_WANTED) {
                child_end(c, SL_CANCELLED, false);
                continue;
            }
            if (!cmd->begun) {
                c->want_delete = true;
                c->end_rc = SL_IKE_DELETED;
                isa_touch(sa);
            }
            left = left || c->want_delete || c->state == CHILD_DELETING;
        }
    }
    cmd->begun = true;
    if (!left)
        cmd_done(conn, cmd, SL_OK, "down");
}

/* What is to be rekeyed is fixed when the command comes; its end is its replacement. */
static bool rekey_targets(struct ike_conn *conn, struct ike_cmd *cmd)
{
    size_t n = 0;
    for (struct ike_isa *sa = conn->sas; sa; sa = sa->conn_next)
        n += 1 + sa->children_n;
    cmd->target = calloc(n + 1, sizeof(*cmd->target));
    if (!cmd->target)
        return false;
    for (struct ike_isa *sa = conn->sas; sa; sa = sa->conn_next) {
        if (sa->state != ISA_UP)
            continue;
        isa_touch(sa);
        if (cmd->ike_sa) {
            sa->want_rekey = true;
            sa->rekey_ns = INT64_MAX;
            cmd->target[cmd->target_n++] = sa->id;
            continue;
        }
        for (struct ike_child *c = sa->children; c; c = c->next) {
            if (c->state != CHILD_UP || !named(cmd, c->name))
                continue;
            c->want_rekey = true;
            c->rekey_ns = INT64_MAX;
            cmd->target[cmd->target_n++] = c->id;
        }
    }
    return true;
}

enum progress { REKEY_DONE, REKEY_WAITS, REKEY_FAILED };
static enum progress rekey_progress(const struct ike_conn *conn, const struct ike_cmd *cmd,
                                    uint64_t id)
{
    const struct sl_ike *ike = conn->ike;
    if (cmd->ike_sa) {
        const struct ike_isa *sa = isa_find(ike, id);
        if (!sa || sa->state != ISA_UP)
            return sa && sa->replaced_by ? REKEY_DONE : REKEY_FAILED;
        const bool busy = (sa->out && sa->out->kind == XCHG_REKEY_IKE) ||
                          (sa->in && sa->in->kind == XCHG_REKEY_IKE) ||
                          followup_rekeys(sa, XCHG_REKEY_IKE, 0) || v1_rekeys(sa, 0);
        return sa->want_rekey || busy ? REKEY_WAITS : REKEY_FAILED;
    }
    const struct ike_child *c = IKE_OF(ike_map_get(&ike->t.children, id), struct ike_child, by_id);
    if (!c)
        return REKEY_FAILED; /* ended before it was replaced, else it were no target any more */
    if (c->replaced_by)
        return REKEY_DONE;
    const struct ike_xchg *out = c->sa->out, *in = c->sa->in;
    const bool busy = (out && out->old_child == id) || (in && in->old_child == id) ||
                      followup_rekeys(c->sa, XCHG_REKEY_CHILD, id) || v1_rekeys(c->sa, id);
    return c->state == CHILD_UP && (c->want_rekey || busy) ? REKEY_WAITS : REKEY_FAILED;
}

static void settle_rekey(struct ike_conn *conn, struct ike_cmd *cmd)
{
    if (!cmd->begun) {
        cmd->begun = true;
        conn->last_rc = SL_OK;
        if (!rekey_targets(conn, cmd)) {
            cmd_done(conn, cmd, SL_NO_MEMORY, NULL);
            return;
        }
        if (!cmd->target_n) {
            cmd_done(conn, cmd, SL_NOT_FOUND, "nothing of that name is up");
            return;
        }
    }
    bool waits = false, failed = false;
    for (size_t i = 0; i < cmd->target_n; i++) {
        if (!cmd->target[i])
            continue; /* was replaced, and may be forgotten by now */
        const enum progress p = rekey_progress(conn, cmd, cmd->target[i]);
        waits = waits || p == REKEY_WAITS;
        failed = failed || p == REKEY_FAILED;
        if (p == REKEY_DONE)
            cmd->target[i] = 0;
    }
    if (waits)
        return;
    if (failed)
        cmd_done(conn, cmd, conn->last_rc ? conn->last_rc : SL_IKE_PEER_ERROR,
                 conn->last_rc ? conn->last_text : "it ended before it was rekeyed");
    else
        cmd_done(conn, cmd, SL_OK, "rekeyed");
}

/* ---- settling ---------------------------------------------------------------------------------- */

static void reauthenticate(struct ike_conn *conn)
{
    struct sl_ike *ike = conn->ike;
    for (struct ike_isa *old = conn->sas; old; old = old->conn_next) {
        if (!old->want_reauth || old->state != ISA_UP)
            continue;
        old->want_reauth = false;
        struct ike_isa *sa = NULL;
        struct sl_err err = { 0 };
        for (const struct ike_child *c = old->children; c; c = c->next) {
            if (!child_counts(c))
                continue;
            if (!sa) {
                sa = init_begin(ike, conn, c->name, &err);
                if (!sa)
                    break;
                sa->replaces = old->id;
                continue;
            }
            struct ike_child *copy = child_new(sa, c->name);
            if (copy)
                child_add(sa, copy);
        }
        if (!sa)
            old->reauth_ns = ike->now_ns + 60 * SL_NS_PER_S;
        isa_touch(old);
        return; /* the list has changed; this connection is looked at again */
    }
    conn->want_reauth = false;
}

static void keep_up(struct ike_conn *conn)
{
    struct sl_ike *ike = conn->ike;
    int64_t again = INT64_MAX;
    for (size_t i = 0; conn->conf && i < conn->keep_n; i++) {
        if (!conn->keep[i].on || find_named(conn, conn->keep[i].name))
            continue;
        if (conn->again_ns > ike->now_ns) {
            again = conn->again_ns;
            continue;
        }
        attempt(conn, conn->keep[i].name);
        if (!find_named(conn, conn->keep[i].name))
            again = conn->again_ns;
    }
    ike_heap_set(&ike->t.conn_timers, &conn->timer, again);
}

static void settle(struct ike_conn *conn)
{
    struct ike_cmd *next;
    for (struct ike_cmd *cmd = conn->cmds; cmd; cmd = next) {
        next = cmd->next;
        switch (cmd->kind) {
        case CMD_UP:
            settle_up(conn, cmd);
            break;
        case CMD_DOWN:
            settle_down(conn, cmd);
            break;
        case CMD_REKEY:
            settle_rekey(conn, cmd);
            break;
        }
    }
    if (conn->conf && conn->want_reauth)
        reauthenticate(conn);
    if (conn->keep_n)
        keep_up(conn);
}

static void unlink_conn(struct ike_conn *conn)
{
    struct ike_conn **at = &conn->ike->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
}

void conns_settle(struct sl_ike *ike)
{
    /* Beginning an exchange touches SAs, whose settling touches connections. */
    while (ike->touched || ike->touched_conns) {
        isas_settle(ike);
        struct ike_conn *conn = ike->touched_conns;
        if (!conn)
            continue;
        ike->touched_conns = conn->touched_next;
        conn->touched = false;
        if (conn->conf || conn->sas) {
            settle(conn);
        } else {
            while (conn->cmds)
                cmd_done(conn, conn->cmds, SL_IKE_NO_CONNECTION, NULL);
            unlink_conn(conn);
            conn_free(conn);
        }
    }
}

void conn_due(struct ike_conn *conn)
{
    ike_heap_set(&conn->ike->t.conn_timers, &conn->timer, INT64_MAX);
    conn_touch(conn);
}

void sl_ike_missing(const struct sl_ike *ike,
                    void (*each)(void *ctx, const char *connection, const char *child,
                                 enum sl_rc rc, const char *text, int64_t again_ns),
                    void *ctx)
{
    for (const struct ike_conn *conn = ike->conns; conn; conn = conn->next)
        for (size_t i = 0; conn->conf && i < conn->keep_n; i++) {
            const struct ike_child *c = find_named(conn, conn->keep[i].name);
            if (conn->keep[i].on && !(c && c->state == CHILD_UP))
                each(ctx, conn->name, conn->keep[i].name, conn->last_rc, conn->last_text,
                     conn->again_ns);
        }
}

/* ---- the public commands ----------------------------------------------------------------------- */

static uint64_t command(struct sl_ike *ike, int64_t now_ns, enum ike_cmd_kind kind,
                        const char *connection, const char *child, bool ike_sa)
{
    ike_begin(ike, now_ns);
    struct ike_cmd *cmd = calloc(1, sizeof(*cmd));
    if (!cmd || !(cmd->done = ike_act_new(&ike->actions, SL_IKE_DONE))) {
        free(cmd);
        return 0;
    }
    const uint64_t id = cmd->id = ++ike->next_id;
    cmd->kind = kind;
    cmd->ike_sa = ike_sa;
    if (child)
        snprintf(cmd->child, sizeof(cmd->child), "%s", child);
    struct ike_conn *conn = conn_find(ike, connection);
    struct sl_err err = { 0 };
    if (!conn)
        (void)SL_FAIL(&err, SL_NOT_FOUND, "no connection %s is configured", connection);
    else if (child && child[0] && !conn_child(conn, child))
        (void)SL_FAIL(&err, SL_NOT_FOUND, "connection %s has no child %s", connection, child);
    else if (kind == CMD_UP && !conn_initiable(conn->conf) && !usable_sa(conn))
        (void)SL_FAIL(&err, SL_USAGE,
                      "connection %s has no remote address: it can only be begun by the peer",
                      connection);
    if (err.rc != SL_OK || !conn) {
        cmd->done->a.id = id;
        cmd->done->a.rc = err.rc;
        cmd->done->text = strdup(sl_err_text(&err));
        snprintf(cmd->done->connection, sizeof(cmd->done->connection), "%s", connection);
        ike_act_push(&ike->actions, sl_steal(&cmd->done));
        conn_cmd_free(cmd);
        return id;
    }
    if (kind != CMD_REKEY)
        set_keep(conn, cmd, kind == CMD_UP);
    if (kind == CMD_UP) {
        conn->last_rc = SL_OK;
        conn->failures = 0;
    }
    struct ike_cmd **at = &conn->cmds;
    while (*at)
        at = &(*at)->next;
    *at = cmd;
    conn_touch(conn);
    conns_settle(ike);
    return id;
}

uint64_t sl_ike_up(struct sl_ike *ike, int64_t now_ns, const char *connection, const char *child)
{
    return command(ike, now_ns, CMD_UP, connection, child, false);
}

uint64_t sl_ike_down(struct sl_ike *ike, int64_t now_ns, const char *connection, const char *child)
{
    return command(ike, now_ns, CMD_DOWN, connection, child, false);
}

uint64_t sl_ike_rekey(struct sl_ike *ike, int64_t now_ns, const char *connection, const char *child,
                      bool ike_sa)
{
    return command(ike, now_ns, CMD_REKEY, connection, child, ike_sa);
}
