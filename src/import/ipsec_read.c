/*
 * Reader of ipsec.conf's syntax (ipsec.conf(5) of strongSwan and of libreswan):
 *
 *   config setup | conn NAME | ca NAME      at the start of a line
 *       KEY = VALUE                         indented; VALUE may stand in "quotes"
 *   include PATTERN
 *   # comment
 *
 * A conn takes first what it says itself, then what the conns named by also= say, then conn %default.
 */
#include "src/import/tree.h"

#include <string.h>

struct state { /* one file */
    struct imp *x;
    struct imp_section *in; /* the section that is open; NULL: none yet */
    struct imp_at at;
    unsigned depth;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip(const char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}

/* A word up to blank; NULL when there is none. */
static const char *word(struct imp *x, const char **p)
{
    const char *from = *p = skip(*p);
    while (**p && !is_blank(**p))
        (*p)++;
    return *p == from ? NULL : imp_text(x, sl_bytes(from, (size_t)(*p - from)));
}

/* The value without its quotes and without a comment after it. */
static enum sl_rc value(struct state *s, const char *p, const char **out)
{
    SL_AUTO_BUF b = { 0 };
    bool quoted = false, kept = true;
    p = skip(p);
    for (; *p && kept; p++) {
        if (*p == '"') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && *p == '#' && (b.len == 0 || is_blank(p[-1])))
            break;
        if (quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
            p++;
        kept = sl_buf_put(&b, sl_bytes(p, 1));
    }
    while (!quoted && b.len && is_blank((char)b.p[b.len - 1]))
        b.len--;
    enum sl_rc rc = SL_OK;
    if (!kept)
        rc = SL_FAIL_MEM(s->x->err);
    else if (quoted)
        rc = SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                     "%s:%u: expected a closing \" of the value, seen the end of the line",
                     s->at.file, s->at.line);
    else if (b.len > IMP_VALUE_MAX)
        rc = SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                     "%s:%u: expected a value of at most %d bytes, seen %zu", s->at.file,
                     s->at.line, IMP_VALUE_MAX, b.len);
    else
        *out = imp_text(s->x, sl_buf_bytes(&b));
    sl_buf_wipe(&b);
    return rc;
}

static enum sl_rc parameter(struct state *s, const char *line)
{
    const char *p = skip(line), *eq = strchr(p, '=');
    size_t n = strcspn(p, "= \t\r\"#");
    const char *rest = skip(p + n);
    if (!eq || n == 0 || n > 64 || *rest != '=')
        return SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                       "%s:%u: expected KEY=VALUE in an indented line, seen %s", s->at.file,
                       s->at.line,
                       n == 0 ? "no key"
                       : !eq  ? "no \"=\""
                              : "several words before \"=\"");
    const char *name = imp_text(s->x, sl_bytes(p, n)), *v;
    if (!s->in)
        return SL_FAIL(
            s->x->err, SL_CONFIG_SYNTAX,
            "%s:%u: expected \"config setup\", \"conn NAME\" or \"ca NAME\" first, seen the "
            "key \"%s\"",
            s->at.file, s->at.line, name);
    SL_TRY(value(s, rest + 1, &v));
    SL_TRY(imp_count(s->x, s->at));
    if (strcmp(name, "also") == 0) { /* may stand several times */
        s->in->parents = s->in->parents ? imp_printf(s->x, "%s,%s", s->in->parents, v) : v;
        return SL_OK;
    }
    imp_key_put(s->x, s->in, name, v, s->at);
    return SL_OK;
}

static enum sl_rc read_file(struct imp *x, const char *file, struct sl_bytes text, unsigned depth,
                            void *to);

static enum sl_rc header(struct state *s, const char *line)
{
    const char *p = line, *kind = word(s->x, &p), *name = word(s->x, &p);
    if (name && *name == '#')
        name = NULL;
    if (!kind || *kind == '#' || strcmp(kind, "version") == 0)
        return SL_OK;
    if (strcmp(kind, "include") == 0 && name) {
        size_t n = strlen(name);
        const char *bare = *name == '"' && n > 1 && name[n - 1] == '"'
                               ? imp_text(s->x, sl_bytes(name + 1, n - 2))
                               : name;
        SL_TRY(imp_include(s->x, bare, s->at, s->depth, read_file, s->x->root));
        s->in = NULL;
        return SL_OK;
    }
    bool known = strcmp(kind, "conn") == 0 || strcmp(kind, "ca") == 0 ||
                 (strcmp(kind, "config") == 0 && name && strcmp(name, "setup") == 0);
    if (!known || !name || strlen(name) > 255) {
        char shown[40];
        return SL_FAIL(
            s->x->err, SL_CONFIG_SYNTAX,
            "%s:%u: expected \"config setup\", \"conn NAME\", \"ca NAME\" or \"include "
            "FILE\" at the start of a line, seen \"%s\"%s; are a section's keys indented?",
            s->at.file, s->at.line,
            sl_printable(shown, sizeof(shown), sl_bytes(kind, strcspn(kind, "="))),
            known ? " without a name" : "");
    }
    SL_TRY(imp_count(s->x, s->at));
    s->in = imp_section_open(s->x, s->x->root, imp_printf(s->x, "%s %s", kind, name), s->at);
    return SL_OK;
}

static enum sl_rc read_file(struct imp *x, const char *file, struct sl_bytes text, unsigned depth,
                            void *to)
{
    struct state s = { .x = x, .at = { file, 0 }, .depth = depth };
    (void)to;
    if (text.len > IMP_FILE_MAX)
        return SL_FAIL(x->err, SL_TOO_LARGE, "%s: %zu bytes; at most %zu are read", file, text.len,
                       IMP_FILE_MAX);
    for (size_t at = 0; at < text.len;) {
        SL_AUTO_BUF line = { 0 };
        bool more = true, kept = true;
        s.at.line++;
        unsigned lines = 0;
        while (more && at < text.len && kept) { /* a line end after "\" joins lines */
            const uint8_t *from = text.p + at, *end = memchr(from, '\n', text.len - at);
            size_t n = end ? (size_t)(end - from) : text.len - at;
            at += n + (end != NULL);
            n -= n && from[n - 1] == '\r';
            more = n && from[n - 1] == '\\';
            if (memchr(from, 0, n))
                return SL_FAIL(x->err, SL_CONFIG_SYNTAX, "%s:%u: expected text, seen a NUL", file,
                               s.at.line);
            kept = sl_buf_put(&line, sl_bytes(from, n - more));
            lines++;
        }
        if (!kept || !sl_buf_nul(&line) || x->oom)
            return SL_FAIL_MEM(x->err);
        const char *p = (const char *)line.p, *first = skip(p);
        if (*first && *first != '#')
            SL_TRY(is_blank(*p) ? parameter(&s, p) : header(&s, p));
        s.at.line += lines - 1;
    }
    return SL_OK;
}

/* ---- inheritance -------------------------------------------------------------------------------------- */
static enum sl_rc resolve(struct imp *x, struct imp_section *s, unsigned depth)
{
    if (s->resolved)
        return SL_OK;
    if (s->resolving || depth > IMP_DEPTH_MAX)
        return SL_FAIL(x->err, SL_CONFIG_REFERENCE,
                       "%s:%u: \"%s\" takes over itself by also=, or over more than %d sections",
                       s->at.file, s->at.line, s->name, IMP_DEPTH_MAX);
    s->resolving = true;
    struct imp_list parents = { 0 };
    if (s->parents)
        imp_split(x, &parents, s->parents, ", ");
    const char *kind = strncmp(s->name, "ca ", 3) == 0 ? "ca" : "conn";
    for (size_t i = 0; i < parents.n; i++) {
        const char *name = imp_printf(x, "%s %s", kind, parents.v[i]);
        struct imp_section *parent = imp_section_find(x->root, name);
        if (!parent)
            return SL_FAIL(x->err, SL_CONFIG_REFERENCE,
                           "%s:%u: \"%s\" says also=%s; expected a section \"%s\", seen none",
                           s->at.file, s->at.line, s->name, parents.v[i], name);
        SL_TRY(resolve(x, parent, depth + 1));
        SL_TRY(imp_inherit(x, s, parent, 0));
    }
    s->resolving = false;
    s->resolved = true;
    return SL_OK;
}

enum sl_rc imp_ipsec_read(struct imp *x)
{
    SL_TRY(read_file(x, x->ask->file, x->ask->text, 0, x->root));
    for (struct imp_section *s = x->root->subs; s; s = s->next)
        SL_TRY(resolve(x, s, 0));
    for (struct imp_section *s = x->root->subs; s; s = s->next) {
        const char *kind = strncmp(s->name, "ca ", 3) == 0 ? "ca %default" : "conn %default";
        const struct imp_section *base = imp_section_find(x->root, kind);
        if (base && base != s && strcmp(s->name, "config setup") != 0)
            SL_TRY(imp_inherit(x, s, base, 0));
    }
    return SL_OK;
}
