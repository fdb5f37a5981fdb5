/*
 * The model as a configuration. Each connection, with the sections it uses, is parsed before it is
 * written; one that sealane would not take stands there as a comment with the parser's own words. So
 * does each shunt. What is written at the end is parsed as a whole once more.
 */
#include "src/import/model.h"

#include "sealane/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    struct imp_model *m;
    struct sl_buf *out;
    struct sl_import_sum *sum;
    bool bad;
};

SL_PRINTF(2, 3) static void put(struct writer *w, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap); /* NOLINT(clang-analyzer-valist.*) */
    va_end(ap);
    if (n < 0 || !sl_buf_reserve(w->out, (size_t)n + 1))
        w->bad = true;
    else
        w->out->len +=
            (size_t)vsnprintf((char *)w->out->p + w->out->len, (size_t)n + 1, fmt, again);
    va_end(again);
}

/* Text for a comment: one line, without control characters, and without what the reader refuses. */
static void put_plain(struct writer *w, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f)
            put(w, " ");
        else if (c == '$' && s[1] == '{')
            put(w, "$ ");
        else
            put(w, "%c", c);
    }
}

static void comment(struct writer *w, const char *indent, struct imp_at at, const char *text)
{
    put(w, "%s# ", indent);
    if (at.file) {
        put_plain(w, at.file);
        put(w, ":%u: ", at.line);
    }
    put_plain(w, text);
    put(w, "\n");
    w->sum->comments++;
}

static void comments(struct writer *w, const char *indent, const struct imp_notes *notes)
{
    for (const struct imp_note *n = notes->first; n; n = n->next)
        comment(w, indent, n->at, n->text);
}

/* In double quotes; what cannot stand there makes the section fail its own parsing. */
static void quoted(struct writer *w, const char *s)
{
    put(w, "\"");
    for (; *s; s++)
        put(w, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    put(w, "\"");
}

static void key(struct writer *w, const char *indent, const char *name, const char *value)
{
    put(w, "%s%s = ", indent, name);
    quoted(w, value);
    put(w, "\n");
}

static void list(struct writer *w, const char *indent, const char *name, const struct imp_list *l)
{
    if (!l->n)
        return;
    put(w, "%s%s = {", indent, name);
    for (size_t i = 0; i < l->n; i++) {
        put(w, i ? ", " : " ");
        quoted(w, l->v[i]);
    }
    put(w, " }\n");
}

static void sets(struct writer *w, const char *indent, const struct imp_set *s)
{
    for (; s; s = s->next)
        put(w, "%s%s = %s\n", indent, s->key, s->value);
}

/* ---- sections --------------------------------------------------------------------------------------- */
static void identity(struct writer *w, const struct imp_identity *i)
{
    comments(w, "", &i->notes);
    put(w, "identity %s {\n", i->name);
    key(w, "    ", "certificate", i->cert);
    key(w, "    ", "key_file", i->key);
    put(w, "}\n\n");
}

static void trust(struct writer *w, const struct imp_trust *t)
{
    comments(w, "", &t->notes);
    put(w, "trust %s {\n", t->name);
    list(w, "    ", "anchor", &t->anchors);
    sets(w, "    ", t->sets);
    put(w, "}\n\n");
}

static void psk(struct writer *w, const struct imp_psk *p)
{
    comments(w, "", &p->notes);
    put(w, "psk %s {\n", p->name);
    key(w, "    ", "file", p->file);
    put(w, "}\n\n");
}

static void rule(struct writer *w, const struct imp_conn *c)
{
    if (c->refuse)
        comment(w, "", c->at, c->refuse);
    put(w, "rule %s {\n    action = %s\n", c->name, c->refuse ? "refuse" : "accept");
    put(w, "    connection = { %s }\n", c->name);
    list(w, "    ", "id", &c->rule_id);
    list(w, "    ", "subject", &c->rule_subject);
    put(w, "}\n\n");
}

static void child(struct writer *w, const struct imp_child *k)
{
    put(w, "\n");
    comments(w, "    ", &k->notes);
    if (k->left_out) {
        put(w, "    # child %s is left out:\n", k->name);
        comment(w, "    ", k->at, k->left_out);
        return;
    }
    put(w, "    child %s {\n", k->name);
    list(w, "        ", "local_ts", &k->local_ts);
    list(w, "        ", "remote_ts", &k->remote_ts);
    list(w, "        ", "esp", &k->esp);
    sets(w, "        ", k->sets);
    if (k->start)
        put(w, "        start = yes\n");
    put(w, "    }\n");
}

static void connection(struct writer *w, const struct imp_conn *c)
{
    comments(w, "", &c->notes);
    put(w, "connection %s {\n", c->name);
    key(w, "    ", "local", c->local);
    key(w, "    ", "remote", c->remote);
    list(w, "    ", "remote_prefix", &c->prefixes);
    if (c->psk)
        put(w, "    auth = psk\n    psk = %s\n", c->psk->name);
    if (c->identity && !c->psk)
        put(w, "    identity = %s\n", c->identity->name);
    if (c->trust && !c->psk)
        put(w, "    trust = %s\n", c->trust->name);
    if (c->id_local)
        key(w, "    ", "id_local", c->id_local);
    if (c->id_remote)
        key(w, "    ", "id_remote", c->id_remote);
    list(w, "    ", "ike", &c->ike);
    list(w, "    ", "pools", &c->pools);
    list(w, "    ", "virtual_ip", &c->virtual_ip);
    sets(w, "    ", c->sets);
    for (const struct imp_child *k = c->children; k; k = k->next)
        child(w, k);
    put(w, "}\n\n");
}

static void pools(struct writer *w)
{
    for (const struct imp_pool *p = w->m->pools; p; p = p->next) {
        comments(w, "", &p->notes);
        put(w, "pool %s {\n", p->name);
        list(w, "    ", "addresses", &p->addresses);
        list(w, "    ", "dns", &p->dns);
        put(w, "}\n\n");
    }
}

static void shunt(struct writer *w, const struct imp_shunt *s)
{
    put(w, "shunt %s {\n    action = %s\n", s->name, s->action);
    key(w, "    ", "local_ts", s->local);
    key(w, "    ", "remote_ts", s->remote);
    put(w, "}\n\n");
}

/* ---- would it be taken? -------------------------------------------------------------------------------- */
static const char *refusal(struct imp_model *m, struct sl_buf *text)
{
    SL_AUTO(sl_config) *config = NULL;
    struct sl_err err = { 0 };
    if (sl_config_parse(&config, sl_buf_bytes(text), "the result", NULL, &err) == SL_OK)
        return NULL;
    return imp_printf(m->x, "sealane would not take it: %s", sl_err_text(&err));
}

static bool has_child(const struct imp_conn *c)
{
    for (const struct imp_child *k = c->children; k; k = k->next)
        if (!k->left_out)
            return true;
    return false;
}

static void check(struct writer *w, struct imp_conn *c)
{
    struct sl_import_sum ignored = { 0 };
    SL_AUTO_BUF text = { 0 };
    struct writer probe = { .m = w->m, .out = &text, .sum = &ignored };
    if (c->left_out)
        return;
    if (!has_child(c)) {
        c->left_out = c->children ? "none of its children could be written (see below)"
                                  : "it has no child, so it carries nothing";
        return;
    }
    if (c->identity && !c->psk)
        identity(&probe, c->identity);
    if (c->trust && !c->psk)
        trust(&probe, c->trust);
    if (c->psk)
        psk(&probe, c->psk);
    if (c->pools.n)
        pools(&probe);
    rule(&probe, c);
    connection(&probe, c);
    w->bad = w->bad || probe.bad;
    c->left_out = refusal(w->m, &text);
}

static bool shunt_fits(struct writer *w, const struct imp_shunt *s)
{
    struct sl_import_sum ignored = { 0 };
    SL_AUTO_BUF text = { 0 };
    struct writer probe = { .m = w->m, .out = &text, .sum = &ignored };
    shunt(&probe, s);
    const char *why = refusal(w->m, &text);
    if (why) {
        put(w, "# shunt %s is left out:\n", s->name);
        comment(w, "", s->at, why);
        put(w, "\n");
        w->sum->left_out++;
    }
    return !why;
}

/* A section that only connections left out refer to is not written. */
#define USED(m, field, what)                                            \
    ({                                                                  \
        bool used_ = false;                                             \
        for (const struct imp_conn *c_ = (m)->conns; c_; c_ = c_->next) \
            used_ = used_ || (!c_->left_out && c_->field == (what));    \
        used_;                                                          \
    })

static void left_out(struct writer *w, const struct imp_conn *c)
{
    put(w, "# connection %s is left out:\n", c->name);
    comment(w, "", c->at, c->left_out);
    comments(w, "", &c->notes);
    for (const struct imp_child *k = c->children; k; k = k->next) {
        comments(w, "", &k->notes);
        if (k->left_out)
            comment(w, "", k->at, k->left_out);
    }
    put(w, "\n");
    w->sum->left_out++;
}

enum sl_rc imp_write(struct sl_buf *out, struct sl_import_sum *sum, struct imp_model *m)
{
    SL_AUTO_BUF text = { 0 };
    struct writer w = { .m = m, .out = &text, .sum = sum };
    struct imp *x = m->x;
    for (struct imp_conn *c = m->conns; c; c = c->next)
        check(&w, c);
    comments(&w, "", &m->notes);
    for (size_t i = 0; i < x->includes.n; i++)
        comment(&w, "", (struct imp_at){ 0 }, x->includes.v[i]);
    put(&w, "\n");
    for (const struct imp_identity *i = m->identities; i; i = i->next)
        if (USED(m, identity, i))
            identity(&w, i);
    for (const struct imp_trust *t = m->trusts; t; t = t->next)
        if (USED(m, trust, t))
            trust(&w, t);
    for (const struct imp_psk *p = m->psks; p; p = p->next)
        if (USED(m, psk, p))
            psk(&w, p);
    pools(&w);
    for (const struct imp_conn *c = m->conns; c; c = c->next) {
        if (c->left_out) {
            left_out(&w, c);
            continue;
        }
        rule(&w, c);
        connection(&w, c);
        sum->connections++;
    }
    for (const struct imp_shunt *s = m->shunts; s; s = s->next)
        if (shunt_fits(&w, s)) {
            shunt(&w, s);
            sum->shunts++;
        }
    if (w.bad || x->oom)
        return SL_FAIL_MEM(x->err);
    const char *why = refusal(m, &text);
    if (why)
        return SL_FAIL(x->err, SL_TOO_LARGE,
                       "%s: the result as a whole is not taken; import it in parts: %s",
                       x->ask->file, why);
    return sl_buf_put(out, sl_buf_bytes(&text)) ? SL_OK : SL_FAIL_MEM(x->err);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */
enum sl_rc sl_import(struct sl_buf *out, struct sl_import_sum *sum, const struct sl_import_ask *ask,
                     struct sl_err *err)
{
    struct imp *x = calloc(1, sizeof(*x));
    struct imp_model m = { .x = x };
    *sum = (struct sl_import_sum){ 0 };
    if (!x)
        return SL_FAIL_MEM(err);
    x->ask = ask;
    x->err = err;
    const char *slash = strrchr(ask->file, '/');
    x->dir = imp_text(x, sl_bytes(ask->file, slash ? (size_t)(slash + 1 - ask->file) : 0));
    x->root = imp_alloc(x, sizeof(*x->root));
    bool swanctl = ask->form == SL_IMPORT_SWANCTL;
    enum sl_rc rc = swanctl ? imp_swanctl_read(x) : imp_ipsec_read(x);
    if (rc == SL_OK)
        rc = swanctl ? imp_swanctl_map(&m) : imp_ipsec_map(&m);
    if (rc == SL_OK && x->oom)
        rc = SL_FAIL_MEM(err);
    if (rc == SL_OK)
        rc = imp_write(out, sum, &m);
    imp_free(x);
    free(x);
    return rc;
}
