/*
 * One decision: path, revocation, binding, possession, directory, policy, in this order; the first
 * failure refuses. Each step that holds leaves its proof, and say_accept() at the end of
 * this file is the only place that can say yes: it demands every proof as a value.
 */
#include "src/ident/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- evidence ------------------------------------------------------------------------------------ */
static void put(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value); /* a value that could not be made is left out */
}

static void put_text(json_t *o, const char *key, const char *text)
{
    json_t *v = json_string(text);
    if (!v) { /* not UTF-8 */
        char safe[SL_ERR_TEXT_MAX + 64];
        v = json_string(sl_printable(safe, sizeof(safe), sl_str(text)));
    }
    put(o, key, v);
}

static void put_time(json_t *o, const char *key, int64_t utc_s)
{
    char when[SL_TIME_TEXT];
    put(o, key, json_string(sl_time_text(when, utc_s)));
}

static json_t *cert_json(const struct sl_cert *c)
{
    json_t *o = json_object();
    put_text(o, "subject", sl_cert_subject(c));
    put_text(o, "issuer", sl_cert_issuer(c));
    put_text(o, "serial", sl_cert_serial(c));
    put_text(o, "sha256", sl_cert_sha256(c));
    put_time(o, "not_before", sl_cert_not_before(c));
    put_time(o, "not_after", sl_cert_not_after(c));
    return o;
}

static void put_ask(struct sl_decision *x)
{
    const struct sl_decision_ask *a = &x->ask;
    char id[SL_ID_TEXT], ep[SL_ENDPOINT_TEXT];
    put_text(x->evidence, "connection", a->connection);
    put_text(x->evidence, "id", sl_id_text(id, &a->id));
    if (a->id_local.type != SL_ID_NONE)
        put_text(x->evidence, "id_local", sl_id_text(id, &a->id_local));
    if (a->remote.addr.family)
        put_text(x->evidence, "remote", sl_endpoint_text(ep, &a->remote));
    if (a->local.addr.family)
        put_text(x->evidence, "local", sl_endpoint_text(ep, &a->local));
    if (a->sa)
        put(x->evidence, "sa", json_integer((json_int_t)a->sa));
}

/* ---- life ------------------------------------------------------------------------------------------- */
static void unlink_decision(struct sl_decision *x)
{
    if (x->finished && x->decider->finished_end == &x->next)
        x->decider->finished_end = x->place;
    if (x->place) {
        *x->place = x->next;
        if (x->next)
            x->next->place = x->place;
    }
    x->place = NULL;
    x->next = NULL;
}

static void stop_waiting(struct sl_decision *x)
{
    for (size_t i = 0; i < SL_PATH_MAX; i++)
        ident_wait_off(&x->check[i].wait);
    ident_wait_off(&x->search_wait);
    ident_wait_off(&x->issuer_wait);
    if (x->psk_question && !x->psk_asked)
        x->decider->to_ask--;
    x->psk_question = 0;
}

/* ask's views point into one copy. */
static bool copy_ask(struct sl_decision *x, const struct sl_decision_ask *ask)
{
    x->ask = *ask;
    if (ask->possession != SL_POSSESSION_PSK_V1)
        x->ask.nonces = sl_bytes(NULL, 0); /* they would ask the keyring for a value of IKEv1 */
    if (x->ask.cert_n > SL_CHAIN_MAX)
        x->ask.cert_n = SL_CHAIN_MAX;
    if (x->ask.ocsp_n > SL_CHAIN_MAX)
        x->ask.ocsp_n = SL_CHAIN_MAX;
    struct sl_bytes *views[2 * SL_CHAIN_MAX + 3];
    size_t n = 0, total = 0;
    for (size_t i = 0; i < x->ask.cert_n; i++)
        views[n++] = &x->ask.cert[i];
    for (size_t i = 0; i < x->ask.ocsp_n; i++)
        views[n++] = &x->ask.ocsp[i];
    views[n++] = &x->ask.octets;
    views[n++] = &x->ask.auth;
    views[n++] = &x->ask.nonces;
    for (size_t i = 0; i < n; i++)
        if (!sl_add(total, views[i]->len, &total))
            return false;
    x->copy = malloc(total ? total : 1);
    if (!x->copy)
        return false;
    uint8_t *p = x->copy;
    for (size_t i = 0; i < n; i++) {
        if (views[i]->len)
            memcpy(p, views[i]->p, views[i]->len);
        views[i]->p = p;
        p += views[i]->len;
    }
    return true;
}

/* What only the search and the status of its paths needed. */
static void clear_paths(struct sl_decision *x)
{
    revocation_reset(x);
    sl_path_finder_free(x->finder);
    x->finder = NULL;
    for (size_t i = 0; i < x->refused_n; i++)
        for (size_t k = 0; k < x->refused[i].n; k++)
            sl_cert_free(x->refused[i].cert[k]);
    x->refused_n = 0;
    json_decref(x->refusal.path);
    json_decref(x->refusal.policies);
    json_decref(x->refusal.revocation);
    x->refusal = (struct path_refusal){ 0 };
}

void sl_decision_free(struct sl_decision *x)
{
    if (!x)
        return;
    if (x->decider) {
        stop_waiting(x);
        unlink_decision(x);
    }
    clear_paths(x);
    sl_path_clear(&x->path);
    sl_entries_clear(&x->entries);
    sl_buf_wipe(&x->psk_mac);
    json_decref(x->evidence);
    free(x->copy);
    free(x);
}

void *sl_decision_ctx(const struct sl_decision *x)
{
    return x->ctx;
}

const struct sl_decision_ask *sl_decision_ask(const struct sl_decision *x)
{
    return &x->ask;
}

const struct sl_verdict *sl_decision_verdict(const struct sl_decision *x)
{
    return &x->verdict;
}

json_t *sl_decision_evidence(const struct sl_decision *x)
{
    return x->evidence;
}

/* ---- the end of a decision ---------------------------------------------------------------------------- */
static void finish(struct sl_decision *x, const char *word)
{
    struct sl_decider *d = x->decider;
    struct sl_verdict *v = &x->verdict;
    if (x->finder && !json_object_get(x->evidence, "candidates"))
        put(x->evidence, "candidates", path_candidates(x));
    put_text(x->evidence, "verdict", word);
    put_text(x->evidence, "reason", sl_rc_name(v->rc));
    put_text(x->evidence, "text", v->text);
    if (x->has_path)
        snprintf(v->subject, sizeof(v->subject), "%s", sl_cert_subject(x->path.cert[0]));
    if (x->entry)
        snprintf(v->entry, sizeof(v->entry), "%s", x->entry->dn);
    stop_waiting(x);
    clear_paths(x);
    unlink_decision(x);
    x->phase = PHASE_DONE;
    x->finished = true;
    x->place = d->finished_end;
    *x->place = x;
    d->finished_end = &x->next;
}

static void refuse(struct sl_decision *x, enum sl_rc rc, const char *text)
{
    x->verdict.rc = rc == SL_OK ? SL_INTERNAL : rc;
    snprintf(x->verdict.text, sizeof(x->verdict.text), "%s", text && *text ? text : sl_rc_text(rc));
    x->verdict.grant = (struct sl_grant){ 0 };
    finish(x, "refuse");
}

static void refuse_err(struct sl_decision *x, const struct sl_err *err)
{
    refuse(x, err->rc, sl_err_text(err));
}

static void reask_by(struct sl_decision *x, int64_t utc_s)
{
    if (x->reask_utc_s == 0 || utc_s < x->reask_utc_s)
        x->reask_utc_s = utc_s;
}

/* ---- 1. path (RFC 5280 6.1) ------------------------------------------------------------------------------ */
static void put_presented(struct sl_decision *x)
{
    SL_AUTO(sl_cert) *leaf = NULL;
    if (x->ask.cert_n && sl_cert_read(&leaf, x->ask.cert[0], NULL) == SL_OK) {
        put(x->evidence, "presented", json_pack("[o]", cert_json(leaf)));
        snprintf(x->verdict.subject, sizeof(x->verdict.subject), "%s", sl_cert_subject(leaf));
    }
}

/* A path was found: it is looked at from here on. */
static void take_path(struct sl_decision *x)
{
    json_t *path = json_array(), *policies = json_array();
    for (size_t i = 0; i < x->path.n; i++) {
        json_array_append_new(path, cert_json(x->path.cert[i]));
        reask_by(x, sl_cert_not_after(x->path.cert[i]) + 1);
    }
    for (size_t i = 0; i < x->path.policy_n; i++)
        json_array_append_new(policies, json_string(x->path.policy[i]));
    put(x->evidence, "path", path);
    put(x->evidence, "policies", policies);
    x->has_path = &x->path;
}

static bool step_path(struct sl_decision *x, struct sl_now now, bool *waiting, struct sl_err *err)
{
    put_text(x->evidence, "trust", x->trust->conf->name);
    if (path_advance(x, now, waiting, err)) {
        take_path(x);
        return true;
    }
    if (!*waiting)
        put_presented(x);
    return false;
}

/* ---- 2. revocation --------------------------------------------------------------------------------------- */
static json_t *check_json(const struct sl_decision *x, size_t i, struct sl_now now)
{
    const struct cert_check *c = &x->check[i];
    json_t *o = json_object();
    put_text(o, "cert", sl_cert_name(x->path.cert[i]));
    put_text(o, "status",
             c->rc == SL_OK        ? (c->stale || c->blind ? "grace" : "good")
             : c->rc == SL_REVOKED ? "revoked"
                                   : "undetermined");
    if (c->have_answer) {
        put_text(o, "source", c->origin);
        put_text(o, "responder", c->answer.responder);
        put_time(o, "this_update", c->answer.this_update);
        put_time(o, "next_update", c->answer.next_update);
        put(o, "age_s", json_integer(now.utc_s - c->answer.this_update));
        if (c->answer.revoked && c->answer.revoked_utc_s)
            put_time(o, "revoked", c->answer.revoked_utc_s);
    }
    if (c->text[0])
        put_text(o, "text", c->text);
    return o;
}

/* Remembers why this path is refused; the first one is the best, and the one that is told. */
static void keep_refusal(struct sl_decision *x, const struct sl_err *err)
{
    struct path_refusal *r = &x->refusal;
    if (!r->there) {
        r->there = true;
        r->rc = err->rc;
        snprintf(r->text, sizeof(r->text), "%s", sl_err_text(err));
        r->path = json_incref(json_object_get(x->evidence, "path"));
        r->policies = json_incref(json_object_get(x->evidence, "policies"));
        r->revocation = json_incref(json_object_get(x->evidence, "revocation"));
    }
    struct path_verdict *v = &x->refused[x->refused_n++];
    v->n = x->path.n;
    for (size_t i = 0; i < x->path.n; i++)
        v->cert[i] = sl_cert_ref(x->path.cert[i]);
    v->rc = err->rc;
    snprintf(v->text, sizeof(v->text), "%s", sl_err_text(err));
}

/* Revocation refuses the path: is there another? False: waiting for nothing, refused for good. */
static bool next_path(struct sl_decision *x, struct sl_err *err)
{
    struct sl_err none;
    sl_err_reset(&none);
    keep_refusal(x, err);
    x->has_path = NULL;
    revocation_reset(x);
    sl_path_clear(&x->path);
    x->reask_utc_s = 0;
    if (x->refused_n < IDENT_PATHS_MAX &&
        sl_path_finder_next(x->finder, &x->path, &none) == SL_OK) {
        take_path(x);
        return true;
    }
    put(x->evidence, "path", json_incref(x->refusal.path));
    put(x->evidence, "policies", json_incref(x->refusal.policies));
    put(x->evidence, "revocation", json_incref(x->refusal.revocation));
    snprintf(x->verdict.subject, sizeof(x->verdict.subject), "%s",
             sl_cert_subject(x->refused[0].cert[0]));
    sl_err_reset(err);
    (void)SL_FAIL(err, x->refusal.rc, "%s", x->refusal.text);
    return false;
}

/* The certificate whose failure is told first: the end entity, then upwards. */
static bool judge_path(struct sl_decision *x, struct sl_now now, bool *waiting, struct sl_err *err)
{
    const struct sl_conf_trust *conf = x->trust->conf;
    size_t n = x->path.n - 1; /* the anchor is not asked about */
    *waiting = false;
    if (conf->revocation == SL_REVOCATION_OFF) {
        x->revocation_proof = (struct revocation_proof){ .off = true };
        put(x->evidence, "revocation", json_array());
        put_text(x->evidence, "revocation_mode", "off");
        x->has_revocation = &x->revocation_proof;
        return true;
    }
    if (x->revocation_ns == 0) {
        x->revocation_ns = now.mono_ns + conf->deadline_ms * SL_NS_PER_MS;
        decider_timer(x->decider, x->revocation_ns);
    }
    for (size_t i = 0; i < n; i++)
        if (!revocation_advance(x, i, now))
            *waiting = true;
    if (*waiting)
        return false;
    json_t *list = json_array();
    const struct cert_check *bad = NULL;
    size_t settled = 0;
    for (size_t i = 0; i < n; i++) {
        const struct cert_check *c = &x->check[i];
        json_array_append_new(list, check_json(x, i, now));
        if (c->rc != SL_OK && !bad)
            bad = c;
        settled += c->done && c->rc == SL_OK;
        if (c->rc == SL_OK && c->have_answer && !c->stale)
            reask_by(x, c->answer.next_update + 1);
        else if (c->rc == SL_OK)
            reask_by(x, now.utc_s + IDENT_BACKOFF_MAX_S); /* grace: it may have come back */
    }
    put_text(x->evidence, "revocation_mode",
             conf->revocation == SL_REVOCATION_GRACE ? "grace" : "hard");
    put(x->evidence, "revocation", list);
    if (bad) {
        (void)SL_FAIL(err, bad->rc, "%s", bad->text);
        return false;
    }
    reask_by(x, now.utc_s + IDENT_REFRESH_MAX_S);
    x->revocation_proof = (struct revocation_proof){ .certs = settled };
    x->has_revocation = &x->revocation_proof;
    return true;
}

static bool step_revocation(struct sl_decision *x, struct sl_now now, bool *waiting,
                            struct sl_err *err)
{
    while (!judge_path(x, now, waiting, err)) {
        if (*waiting || !next_path(x, err))
            return false;
        sl_err_reset(err);
    }
    put(x->evidence, "candidates", path_candidates(x));
    memo_keep(x, now);
    return true;
}

/* ---- 3. the ID's binding (RFC 4945 3.1) --------------------------------------------------------------------- */
static void put_binding(struct sl_decision *x)
{
    json_t *o = json_object();
    put_text(o, "rule", x->match.rule);
    put_text(o, "value", x->match.value);
    put(x->evidence, "binding", o);
    x->has_binding = &x->match;
}

/* Validation alone: the ID, where one is asked about. */
static bool step_name(struct sl_decision *x, struct sl_err *err)
{
    char text[SL_ID_TEXT];
    if (!x->with_id)
        return true;
    put_text(x->evidence, "id", sl_id_text(text, &x->ask.id));
    if (sl_id_in_cert(&x->ask.id, x->path.cert[0], NULL, &x->match, err) != SL_OK)
        return false;
    put_binding(x);
    return true;
}

static bool step_binding(struct sl_decision *x, struct sl_err *err)
{
    const struct sl_conf_connection *conn = x->conn;
    struct sl_id *id = &x->ask.id;
    char text[SL_ID_TEXT], want[SL_ID_TEXT];
    if (conn->auth == SL_METHOD_CERT) {
        if (id->type == SL_ID_NONE && x->ask.possession == SL_POSSESSION_NOT_ASKED) {
            /* A test that names no ID asks about the certificate's own. */
            if (sl_id_from_cert(id, x->path.cert[0], err) != SL_OK)
                return false;
            put_text(x->evidence, "id", sl_id_text(text, id));
        }
        if (sl_id_in_cert(id, x->path.cert[0], &conn->id_remote, &x->match, err) != SL_OK)
            return false;
    } else {
        if (id->type == SL_ID_NONE) {
            (void)SL_FAIL(err, SL_ID_TYPE, "the peer named no identity");
            return false;
        }
        x->match.rule = "pre-shared key";
        snprintf(x->match.value, sizeof(x->match.value), "%s", conn->psk);
    }
    if (conn->id_remote.type != SL_ID_NONE && !sl_id_eq(id, &conn->id_remote)) {
        (void)SL_FAIL(err, SL_ID_UNEXPECTED, "identity %.200s: connection %s expects %.200s",
                      sl_id_text(text, id), conn->name, sl_id_text(want, &conn->id_remote));
        return false;
    }
    put_binding(x);
    return true;
}

/* ---- 4. possession (RFC 7296 2.15) ---------------------------------------------------------------------------- */
static bool check_signature(struct sl_decision *x, struct sl_err *err)
{
    const struct sl_decision_ask *a = &x->ask;
    struct sl_err why;
    sl_err_reset(&why);
    enum sl_rc rc = sl_sig_verify(a->sig, sl_cert_spki(x->path.cert[0]), a->octets, a->auth, &why);
    if (rc == SL_OK)
        return true;
    (void)SL_FAIL(
        err, rc == SL_WEAK_ALGORITHM ? rc : SL_AUTH_SIGNATURE,
        "AUTH (%s) does not verify with the key of certificate %.200s: %.200s (RFC 7296 2.15)",
        sl_sig_text(a->sig), sl_cert_name(x->path.cert[0]), sl_err_text(&why));
    return false;
}

static bool check_psk(struct sl_decision *x, struct sl_now now, bool *waiting, struct sl_err *err)
{
    struct sl_decider *d = x->decider;
    const bool v1 = x->ask.possession == SL_POSSESSION_PSK_V1;
    /* Without nonces the keyring would be asked for a value of IKEv2. */
    if (v1 && (!x->ask.nonces.len || !x->ask.octets.len)) {
        (void)SL_FAIL(err, SL_AUTH_PSK,
                      "HASH came without the nonces it is made with (RFC 2409 5)");
        return false;
    }
    if (!x->psk_answered && x->psk_ns == 0) {
        x->psk_question = ++d->last_question;
        d->to_ask++;
        x->psk_ns = now.mono_ns + IDENT_PSK_MS * SL_NS_PER_MS;
        decider_timer(d, x->psk_ns);
    }
    if (!x->psk_answered && now.mono_ns < x->psk_ns) {
        *waiting = true;
        return false;
    }
    if (!x->psk_answered || x->psk_rc != SL_OK) {
        (void)SL_FAIL(err, x->psk_answered ? x->psk_rc : SL_TIMEOUT,
                      "pre-shared key %s: the keyring gives no answer", x->conn->psk);
        return false;
    }
    if (x->psk_mac.len == 0 || !sl_ct_equal(sl_buf_bytes(&x->psk_mac), x->ask.auth)) {
        (void)SL_FAIL(err, SL_AUTH_PSK, "%s does not match pre-shared key %s (%s)",
                      v1 ? "HASH" : "AUTH", x->conn->psk, v1 ? "RFC 2409 5" : "RFC 7296 2.15");
        return false;
    }
    return true;
}

static bool step_possession(struct sl_decision *x, struct sl_now now, bool *waiting,
                            struct sl_err *err)
{
    const char *word = "not asked";
    *waiting = false;
    switch (x->ask.possession) {
    case SL_POSSESSION_SIGNATURE:
        if (!check_signature(x, err))
            return false;
        word = sl_sig_text(x->ask.sig);
        break;
    case SL_POSSESSION_PSK:
    case SL_POSSESSION_PSK_V1:
        if (!check_psk(x, now, waiting, err))
            return false;
        word = x->ask.possession == SL_POSSESSION_PSK ? "psk" : "psk (IKEv1)";
        break;
    case SL_POSSESSION_NOT_ASKED:
        break;
    }
    put_text(x->evidence, "possession", word);
    x->possession_proof = (struct possession_proof){ .kind = x->ask.possession };
    x->has_possession = &x->possession_proof;
    return true;
}

/* ---- 5. directory ----------------------------------------------------------------------------------------------- */
static bool pass_directory(struct sl_decision *x, json_t *o, bool consulted)
{
    const struct directory *dir = x->dir;
    put(x->evidence, "directory", o);
    x->directory_proof =
        (struct directory_proof){ .required = dir && dir->conf->required, .consulted = consulted };
    x->has_directory = &x->directory_proof;
    return true;
}

static bool take_entries(struct sl_decision *x, const struct search *s)
{
    for (size_t i = 0; i < s->found.n; i++) {
        const struct sl_entry *from = &s->found.v[i];
        struct sl_entry *e = sl_entries_new(&x->entries, sl_str(from->dn));
        for (size_t k = 0; e && k < from->n; k++)
            for (size_t j = 0; j < from->attr[k].n; j++)
                if (!sl_entry_put(e, sl_str(from->attr[k].name),
                                  sl_buf_bytes(&from->attr[k].value[j])))
                    return false;
        if (!e)
            return false;
    }
    return true;
}

/* The search has ended, well or not: what does the directory say? */
static bool judge_directory(struct sl_decision *x, struct sl_now now, json_t *o, struct sl_err *err)
{
    const struct sl_conf_directory *conf = x->dir->conf;
    const struct search *s = x->search;
    bool fresh = s->have && s->rc == SL_OK && !s->question;
    if (!fresh) {
        const char *why = s->question ? "no answer within the deadline" : s->error;
        int64_t age = now.utc_s - s->found_utc_s;
        if (!s->have || conf->mode != SL_REVOCATION_GRACE || age > conf->cache_s + conf->grace_s) {
            (void)SL_FAIL(err, s->rc == SL_DIR_BAD_ANSWER ? s->rc : SL_DIR_UNAVAILABLE,
                          "directory %s: %.300s", conf->name, why);
            return false;
        }
        char text[400];
        snprintf(text, sizeof(text), "grace: the answer is %lld s old; %.300s", (long long)age,
                 why);
        put_text(o, "status", "grace");
        put_text(o, "text", text);
    }
    if (!take_entries(x, s)) {
        (void)SL_FAIL_MEM(err);
        return false;
    }
    enum sl_rc rc =
        sl_directory_check(conf, s->filter, &x->entries, x->has_path ? x->path.cert[0] : NULL, err);
    if (x->entries.n == 1)
        put_text(o, "entry", x->entries.v[0].dn);
    if (rc == SL_DIR_NO_ENTRY && !conf->required) {
        put_text(o, "text", "no entry, and none is required");
        sl_err_reset(err);
        return true;
    }
    if (rc != SL_OK)
        return false;
    x->entry = &x->entries.v[0];
    return true;
}

static bool step_directory(struct sl_decision *x, struct sl_now now, bool *waiting,
                           struct sl_err *err)
{
    struct directory *dir = x->dir;
    *waiting = false;
    if (!dir)
        return pass_directory(x, json_null(), false);
    const struct sl_conf_directory *conf = dir->conf;
    json_t *o = json_pack("{s:s}", "name", conf->name);
    if (!x->search) {
        SL_AUTO_BUF filter = { 0 };
        struct sl_peer_view peer = { .id = &x->ask.id,
                                     .cert = x->has_path ? x->path.cert[0] : NULL,
                                     .issuer =
                                         x->has_path && x->path.n > 1 ? x->path.cert[1] : NULL };
        if (sl_mapping_expand(&filter, conf->filter, &peer, err) != SL_OK) {
            if (err->rc == SL_DIR_NO_ENTRY && !conf->required) {
                sl_err_reset(err);
                put_text(o, "text",
                         "the mapping rule does not fit the peer, and no entry is required");
                return pass_directory(x, o, true);
            }
            json_decref(o);
            return false;
        }
        if (search_get(&x->search, x->decider, dir, (const char *)filter.p, now, err) != SL_OK) {
            json_decref(o);
            return false;
        }
        x->search_ns = now.mono_ns + conf->timeout_ms * SL_NS_PER_MS;
        if (search_ask(x->decider, x->search, now)) {
            ident_wait_on(&x->search->waiting, &x->search_wait);
            decider_timer(x->decider, x->search_ns);
        }
    }
    if (x->search->question && x->search_wait.place && now.mono_ns < x->search_ns) {
        json_decref(o);
        *waiting = true;
        return false;
    }
    ident_wait_off(&x->search_wait);
    put_text(o, "filter", x->search->filter);
    bool ok = judge_directory(x, now, o, err);
    /* Once the answer is old, and not a moment before: the cache would say the same again. */
    int64_t left_s = (x->search->fresh_ns - now.mono_ns) / SL_NS_PER_S + 2;
    x->search = NULL; /* may be forgotten from here on */
    if (!ok) {
        put(x->evidence, "directory", o);
        return false;
    }
    if (conf->type == SL_DIRECTORY_LDAP)
        reask_by(x, now.utc_s + (left_s > 10 ? left_s : 10));
    return pass_directory(x, o, true);
}

/* ---- 6. policy --------------------------------------------------------------------------------------------------- */
static json_t *grant_json(const struct sl_grant *g)
{
    json_t *o = json_object(), *list = json_array();
    char text[SL_TS_TEXT];
    for (size_t i = 0; i < g->ts_n; i++)
        json_array_append_new(list, json_string(sl_ts_text(text, &g->ts[i])));
    if (g->ts_n)
        put(o, "ts", list);
    else
        json_decref(list);
    if (g->lifetime_s)
        put(o, "lifetime_s", json_integer(g->lifetime_s));
    if (g->tag[0])
        put_text(o, "tag", g->tag);
    return o;
}

/* The certificate's address blocks as a further limit; err keeps the rule's words unless it fails. */
static bool restrict_grant(struct sl_decision *x, struct sl_err *err)
{
    struct sl_err why;
    json_t *blocks = NULL;
    if (x->conn->auth != SL_METHOD_CERT ||
        x->trust->conf->address_blocks != SL_ADDRESS_BLOCKS_RESTRICT)
        return true;
    sl_err_reset(&why);
    bool ok = blocks_restrict(&x->path, &x->grant, &blocks, &why) == SL_OK;
    if (blocks)
        put(x->evidence, "address_blocks", blocks);
    if (!ok)
        *err = why;
    return ok;
}

static bool step_policy(struct sl_decision *x, struct sl_err *err)
{
    bool cert = x->conn->auth == SL_METHOD_CERT;
    struct sl_policy_ask ask = { .connection = x->conn->name,
                                 .id = &x->ask.id,
                                 .issuer = cert ? sl_cert_issuer(x->path.cert[0]) : "",
                                 .subject = cert ? sl_cert_subject(x->path.cert[0]) : "",
                                 .method = cert ? "cert" : "psk",
                                 .remote = x->ask.remote.addr.family ? &x->ask.remote.addr : NULL,
                                 .entry = x->entry };
    const struct sl_conf_rule *rule = NULL;
    enum sl_rc rc = sl_policy_decide(x->decider->config->rule, x->decider->config->rule_n, &ask,
                                     &rule, &x->grant, err);
    json_t *o = json_object();
    if (rule) {
        put_text(o, "rule", rule->name);
        snprintf(x->verdict.rule, sizeof(x->verdict.rule), "%s", rule->name);
    }
    put_text(o, "text", sl_err_text(err));
    bool granted = rc == SL_OK && restrict_grant(x, err);
    if (granted)
        put(o, "grant", grant_json(&x->grant));
    put(x->evidence, "policy", o);
    if (!granted)
        return false;
    x->policy_proof = (struct policy_proof){ .rule = rule };
    x->has_policy = &x->policy_proof;
    return true;
}

/* ---- the one door ------------------------------------------------------------------------------------------------- */
/* What proves possession here; a connection speaks one version of IKE. */
static enum sl_possession possession_wanted(const struct sl_decision *x)
{
    if (x->conn->auth == SL_METHOD_CERT)
        return SL_POSSESSION_SIGNATURE;
    return x->conn->ikev1 ? SL_POSSESSION_PSK_V1 : SL_POSSESSION_PSK;
}

/* The first proof that is not there, or NULL. */
static const char *missing_proof(const struct sl_decision *x)
{
    bool cert = x->conn->auth == SL_METHOD_CERT;
    if (cert && (!x->has_path || x->has_path->n == 0))
        return "path";
    if (cert && (!x->has_revocation ||
                 (!x->has_revocation->off && x->has_revocation->certs != x->has_path->n - 1)))
        return "revocation";
    if (!x->has_binding || !x->has_binding->rule)
        return "binding";
    if (!x->has_possession || (x->has_possession->kind != SL_POSSESSION_NOT_ASKED &&
                               x->has_possession->kind != possession_wanted(x)))
        return "possession";
    if (!x->has_directory || (x->dir && !x->has_directory->consulted) ||
        (x->has_directory->required && !x->entry))
        return "directory";
    if (!x->has_policy || !x->has_policy->rule || !x->has_policy->rule->accept)
        return "policy";
    return NULL;
}

/*
 * The only function that ends a decision with SL_OK. It takes every proof anew as a value and is
 * reached from one place; a proof that is missing is a bug, and refuses.
 */
static void say_accept(struct sl_decision *x, const char *text)
{
    struct sl_verdict *v = &x->verdict;
    const char *missing = missing_proof(x);
    if (missing) {
        char why[64];
        snprintf(why, sizeof(why), "no proof of %s was kept", missing);
        refuse(x, SL_INTERNAL, why);
        return;
    }
    v->grant = x->grant;
    v->reask_utc_s = x->reask_utc_s;
    snprintf(v->text, sizeof(v->text), "%s", text);
    if (x->reask_utc_s)
        put_time(x->evidence, "ask_again", x->reask_utc_s);
    if (x->has_possession->kind == SL_POSSESSION_NOT_ASKED) {
        v->rc = SL_AUTH_NOT_ASKED;
        finish(x, "accept-test");
        return;
    }
    v->rc = SL_OK;
    finish(x, "accept");
}

/* ---- going on -------------------------------------------------------------------------------------------------------- */
static bool step(struct sl_decision *x, struct sl_now now, bool *waiting, struct sl_err *err)
{
    *waiting = false;
    bool psk = !x->validation && x->conn->auth == SL_METHOD_PSK;
    switch (x->phase) {
    case PHASE_PATH:
        return psk || memo_recall(x, now) || step_path(x, now, waiting, err);
    case PHASE_REVOCATION:
        return psk || x->recalled || step_revocation(x, now, waiting, err);
    case PHASE_BINDING:
        return x->validation ? step_name(x, err) : step_binding(x, err);
    case PHASE_POSSESSION:
        return step_possession(x, now, waiting, err);
    case PHASE_DIRECTORY:
        return step_directory(x, now, waiting, err);
    case PHASE_POLICY:
        return step_policy(x, err);
    case PHASE_DONE:
        break;
    }
    return false;
}

void decision_advance(struct sl_decision *x, struct sl_now now)
{
    struct sl_err err;
    sl_err_reset(&err);
    while (!x->finished) {
        bool waiting;
        if (!step(x, now, &waiting, &err)) {
            if (!waiting)
                refuse_err(x, &err);
            return;
        }
        if (x->validation && x->phase == PHASE_BINDING) {
            x->verdict.rc = SL_AUTH_NOT_ASKED; /* never an acceptance */
            x->verdict.reask_utc_s = x->reask_utc_s;
            finish(x, "good");
            return;
        }
        if (x->phase == PHASE_POLICY) {
            say_accept(x, sl_err_text(&err)); /* the rule's words */
            return;
        }
        x->phase++;
    }
}

int64_t decision_timer_ns(const struct sl_decision *x)
{
    int64_t at = INT64_MAX;
    switch (x->phase) {
    case PHASE_PATH:
        return x->issuer_ns ? x->issuer_ns : at;
    case PHASE_REVOCATION:
        for (size_t i = 0; i < x->path.n; i++)
            if (!x->check[i].done && x->check[i].step_ns && x->check[i].step_ns < at)
                at = x->check[i].step_ns;
        return at;
    case PHASE_POSSESSION:
        return x->psk_ns ? x->psk_ns : at;
    case PHASE_DIRECTORY:
        return x->search_ns ? x->search_ns : at;
    case PHASE_BINDING:
    case PHASE_POLICY:
    case PHASE_DONE:
        break;
    }
    return at;
}

/* What the connection asks for, and whether the ask fits it. */
static bool admit(struct sl_decision *x, struct sl_err *err)
{
    struct sl_decider *d = x->decider;
    const struct sl_config *config = d->config;
    x->conn = sl_config_connection(config, x->ask.connection);
    if (!x->conn) {
        (void)SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection %s is not configured",
                      x->ask.connection);
        return false;
    }
    bool cert = x->conn->auth == SL_METHOD_CERT;
    put_text(x->evidence, "method", cert ? "cert" : "psk");
    for (size_t i = 0; i < config->trust_n; i++)
        if (strcmp(config->trust[i].name, x->conn->trust) == 0)
            x->trust = &d->trust[i];
    for (size_t i = 0; i < config->directory_n; i++)
        if (strcmp(config->directory[i].name, x->conn->directory) == 0)
            x->dir = &d->dir[i];
    if (cert && !x->trust) {
        (void)SL_FAIL(err, SL_CONFIG_REFERENCE, "connection %s names no trust section that exists",
                      x->conn->name);
        return false;
    }
    if (x->conn->directory[0] && !x->dir) {
        (void)SL_FAIL(err, SL_CONFIG_REFERENCE, "connection %s: directory %s does not exist",
                      x->conn->name, x->conn->directory);
        return false;
    }
    if (x->ask.possession != possession_wanted(x) && x->ask.possession != SL_POSSESSION_NOT_ASKED) {
        (void)SL_FAIL(err, SL_AUTH_METHOD, "connection %s authenticates by %s, the peer by %s",
                      x->conn->name, cert ? "certificate" : "pre-shared key",
                      cert ? "pre-shared key" : "certificate");
        return false;
    }
    return true;
}

/* A running decision whose ask is copied; NULL: no memory. */
static struct sl_decision *begin(struct sl_decider *d, const struct sl_decision_ask *ask, void *ctx)
{
    struct sl_decision *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->evidence = json_object();
    if (!x->evidence || !copy_ask(x, ask)) {
        sl_decision_free(x);
        return NULL;
    }
    x->decider = d;
    x->ctx = ctx;
    for (size_t i = 0; i < SL_PATH_MAX; i++)
        x->check[i].wait.decision = x;
    x->search_wait.decision = x;
    x->issuer_wait.decision = x;
    x->next = d->running;
    x->place = &d->running;
    if (x->next)
        x->next->place = &x->next;
    d->running = x;
    return x;
}

enum sl_rc sl_decider_start(struct sl_decider *d, const struct sl_decision_ask *ask,
                            struct sl_now now, void *ctx, struct sl_decision **out,
                            struct sl_err *err)
{
    struct sl_decision *x = begin(d, ask, ctx);
    if (!x)
        return SL_FAIL_MEM(err);
    put_ask(x);
    if (out)
        *out = x;
    struct sl_err why;
    sl_err_reset(&why);
    if (admit(x, &why))
        decision_advance(x, now);
    else
        refuse_err(x, &why);
    return SL_OK;
}

enum sl_rc sl_decider_validate(struct sl_decider *d, const struct sl_validate_ask *ask,
                               struct sl_now now, void *ctx, struct sl_decision **out,
                               struct sl_err *err)
{
    struct sl_decision_ask whole = { .possession = SL_POSSESSION_NOT_ASKED, .cert_n = ask->cert_n };
    memcpy(whole.cert, ask->cert, sizeof(whole.cert));
    memcpy(whole.ocsp, ask->ocsp, sizeof(whole.ocsp));
    whole.ocsp_n = ask->ocsp_n;
    if (ask->id)
        whole.id = *ask->id;
    struct sl_decision *x = begin(d, &whole, ctx);
    if (!x)
        return SL_FAIL_MEM(err);
    x->validation = true;
    x->with_id = ask->id != NULL;
    if (out)
        *out = x;
    for (size_t i = 0; i < d->config->trust_n; i++)
        if (strcmp(d->config->trust[i].name, ask->trust) == 0)
            x->trust = &d->trust[i];
    if (x->trust) {
        decision_advance(x, now);
        return SL_OK;
    }
    char why[128];
    snprintf(why, sizeof(why), "trust section %.64s does not exist", ask->trust);
    refuse(x, SL_CONFIG_REFERENCE, why);
    return SL_OK;
}
