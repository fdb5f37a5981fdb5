/* The model between mapping and writer: names, comments, sections that are shared, key files. */
#include "src/import/model.h"

#include "sealane/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- comments ---------------------------------------------------------------------------------------- */
void imp_note(struct imp_model *m, struct imp_notes *to, struct imp_at at, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap); /* NOLINT(clang-analyzer-valist.*) */
    va_end(ap);
    struct imp_note *n = imp_alloc(m->x, sizeof(*n));
    n->at = at;
    n->text = imp_text(m->x, sl_str(text));
    if (m->x->oom)
        return;
    if (!to->end)
        to->end = &to->first;
    *to->end = n;
    to->end = &n->next;
}

void imp_note_key(struct imp_model *m, struct imp_notes *to, struct imp_key *k, const char *text)
{
    k->used = true;
    if (k->origin->noted)
        return;
    k->origin->noted = true;
    if (strstr(k->name, "secret") || strstr(k->name, "pass") || strcmp(k->name, "pin") == 0)
        imp_note(m, to, k->at, "%s: %s", k->name, text); /* perhaps a secret */
    else
        imp_note(m, to, k->at, "%s = %.200s: %s", k->name, k->value, text);
}

void imp_leftover(struct imp_model *m, struct imp_notes *to, struct imp_section *s, bool secret)
{
    for (struct imp_key *k = s->keys; k; k = k->next) {
        if (k->used || !*k->value)
            continue;
        k->used = true;
        if (!secret) {
            imp_note_key(m, to, k, imp_gap(k->name));
        } else if (!k->origin->noted) {
            k->origin->noted = true;
            imp_note(m, to, k->at, "%s: %s", k->name, imp_gap(k->name));
        }
    }
}

void imp_set(struct imp_model *m, struct imp_set **sets, const char *key, const char *value)
{
    while (*sets && strcmp((*sets)->key, key) != 0)
        sets = &(*sets)->next;
    struct imp_set *s = *sets ? *sets : imp_alloc(m->x, sizeof(*s));
    s->key = key;
    s->value = value;
    if (!m->x->oom)
        *sets = s;
}

/* ---- names ------------------------------------------------------------------------------------------- */
const char *imp_name(struct imp_model *m, enum imp_kind kind, const char *wanted)
{
    char name[SL_NAME_MAX];
    size_t n = 0, max = sizeof(name) - 8; /* room for a number */
    if (strncasecmp(wanted, "ca-", 3) == 0 && (kind == IMP_IDENTITY || kind == IMP_PSK))
        name[n++] = 'x'; /* "ca-" is the authority's */
    for (; *wanted && n < max; wanted++) {
        char c = *wanted;
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (n == 0 && !plain)
            continue;
        name[n++] = plain || strchr("._-", c) ? c : '-';
    }
    if (n == 0)
        name[n++] = 'x';
    name[n] = '\0';
    struct imp_list *used = &m->names[kind];
    for (unsigned i = 2; imp_has(used, name) && i < 100000; i++)
        snprintf(name + n, sizeof(name) - n, "-%u", i);
    const char *kept = imp_text(m->x, sl_str(name));
    imp_add(m->x, used, kept);
    return kept;
}

#define APPEND(list, item, oom)           \
    do {                                  \
        __typeof__(item) *end_ = &(list); \
        while (*end_ && !(oom))           \
            end_ = &(*end_)->next;        \
        if (!(oom))                       \
            *end_ = (item);               \
    } while (0)

struct imp_conn *imp_conn_new(struct imp_model *m, const char *name, struct imp_at at)
{
    struct imp_conn *c = imp_alloc(m->x, sizeof(*c));
    c->origin = name;
    c->name = imp_name(m, IMP_CONN, name);
    c->at = at;
    c->local = c->remote = "any";
    APPEND(m->conns, c, m->x->oom);
    if (strcmp(c->name, name) != 0)
        imp_note(m, &c->notes, at, "the connection was called \"%.100s\"", name);
    return c;
}

struct imp_child *imp_child_new(struct imp_model *m, struct imp_conn *c, const char *name,
                                struct imp_at at)
{
    struct imp_model own = { .x = m->x }; /* names of children are their connection's */
    for (const struct imp_child *k = c->children; k; k = k->next)
        imp_add(m->x, &own.names[0], k->name);
    struct imp_child *k = imp_alloc(m->x, sizeof(*k));
    k->name = imp_name(&own, 0, name);
    k->at = at;
    APPEND(c->children, k, m->x->oom);
    if (strcmp(k->name, name) != 0)
        imp_note(m, &k->notes, at, "the child was called \"%.100s\"", name);
    return k;
}

struct imp_identity *imp_identity_of(struct imp_model *m, const char *cert, const char *key,
                                     const char *wanted)
{
    for (struct imp_identity *i = m->identities; i; i = i->next)
        if (strcmp(i->cert, cert) == 0 && strcmp(i->key, key) == 0)
            return i;
    struct imp_identity *i = imp_alloc(m->x, sizeof(*i));
    i->name = imp_name(m, IMP_IDENTITY, wanted);
    i->cert = cert;
    i->key = key;
    APPEND(m->identities, i, m->x->oom);
    return i;
}

struct imp_trust *imp_trust_of(struct imp_model *m, const char *label, const char *wanted)
{
    for (struct imp_trust *t = m->trusts; t; t = t->next)
        if (strcmp(t->label, label) == 0)
            return t;
    struct imp_trust *t = imp_alloc(m->x, sizeof(*t));
    t->name = imp_name(m, IMP_TRUST, wanted);
    t->label = label;
    APPEND(m->trusts, t, m->x->oom);
    return t;
}

struct imp_psk *imp_psk_of(struct imp_model *m, const char *label, const char *wanted)
{
    for (struct imp_psk *p = m->psks; p; p = p->next)
        if (strcmp(p->label, label) == 0)
            return p;
    struct imp_psk *p = imp_alloc(m->x, sizeof(*p));
    p->name = imp_name(m, IMP_PSK, wanted);
    p->file = imp_printf(m->x, "/etc/sealane/%s.psk", p->name);
    p->label = label;
    APPEND(m->psks, p, m->x->oom);
    return p;
}

/* A policy without protection: a shunt for each pair of selectors. */
void imp_shunts(struct imp_model *m, struct imp_child *c, const char *wanted, const char *action)
{
    for (size_t l = 0; l < c->local_ts.n; l++)
        for (size_t r = 0; r < c->remote_ts.n && r + l < 1024; r++) {
            if (!strchr(c->local_ts.v[l], ':') != !strchr(c->remote_ts.v[r], ':'))
                continue; /* not of one family: nothing to match */
            struct imp_shunt *s = imp_alloc(m->x, sizeof(*s));
            s->name = imp_name(m, IMP_SHUNT, wanted);
            s->action = action;
            s->local = c->local_ts.v[l];
            s->remote = c->remote_ts.v[r];
            s->at = c->at;
            APPEND(m->shunts, s, m->x->oom);
        }
}

/* ---- files -------------------------------------------------------------------------------------------- */
static void found(void *to, const char *path)
{
    void **args = to;
    struct imp_model *m = args[0];
    struct imp_list *out = args[1];
    if (out->n < 1000)
        imp_add(m->x, out, imp_text(m->x, sl_str(path)));
}

void imp_paths(struct imp_model *m, struct imp_list *out, const char *pattern)
{
    const struct sl_import_files *files = &m->x->ask->files;
    void *args[] = { m, out };
    if (files->list)
        files->list(files->ctx,
                    *pattern == '/' ? pattern : imp_printf(m->x, "%s%s", m->x->dir, pattern), found,
                    args);
}

/* The file's name without folder and ending. */
struct sl_bytes imp_stem(const char *path)
{
    const char *slash = strrchr(path, '/'), *from = slash ? slash + 1 : path,
               *dot = strrchr(from, '.');
    return sl_bytes(from, dot && dot > from ? (size_t)(dot - from) : strlen(from));
}

const char *imp_key_file(struct imp_model *m, struct imp_notes *notes, const char *cert,
                         const char *const *patterns, size_t n, struct imp_at at)
{
    struct imp_list keys = { 0 };
    struct sl_bytes want = imp_stem(cert);
    for (size_t i = 0; i < n; i++)
        imp_paths(m, &keys, patterns[i]);
    for (size_t i = 0; i < keys.n; i++)
        if (sl_bytes_eq(imp_stem(keys.v[i]), want))
            return keys.v[i];
    if (keys.n == 1)
        return keys.v[0];
    imp_note(m, notes, at,
             "which key file belongs to the certificate %.200s cannot be told from names; key_file "
             "is a guess, put the right one there",
             cert);
    if (keys.n)
        return keys.v[0];
    return imp_printf(m->x, "/etc/sealane/%.*s.key", (int)want.len, (const char *)want.p);
}

/* ---- what sealane takes -------------------------------------------------------------------------------- */
bool imp_takes(const char *in_connection, const char *in_child)
{
    SL_AUTO_BUF text = { 0 };
    SL_AUTO(sl_config) *config = NULL;
    return sl_buf_printf(
               &text,
               "psk k { file = /k }\n"
               "connection c { auth = psk psk = k id_local = \"dns:a\" remote = 192.0.2.1\n"
               "%s\n"
               "child n { local_ts = 10.0.0.0/8 remote_ts = 10.0.0.0/8\n%s\n} }\n",
               in_connection, in_child) &&
           sl_config_parse(&config, sl_buf_bytes(&text), "probe", NULL, NULL) == SL_OK;
}
