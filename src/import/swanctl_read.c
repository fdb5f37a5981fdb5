/*
 * Reader of swanctl.conf's syntax, which strongswan.conf(5) describes:
 *
 *   NAME [: PARENT, PARENT] {          a section; its name may be repeated, then it goes on
 *       NAME = words or "text in quotes"   to the end of the line, to "#" or to "}"
 *       include PATTERN
 *       # comment
 *   }
 *
 * A parent is named from the top, parts joined by dots. What the section says itself comes first,
 * then its parents from left to right. Messages never show a value: it may be a secret.
 */
#include "src/import/tree.h"

#include <string.h>

struct scan {
    struct imp *x;
    struct sl_bytes text;
    size_t at;
    struct imp_at place;
    unsigned depth; /* of includes */
};

static int peek(const struct scan *s)
{
    return s->at < s->text.len ? s->text.p[s->at] : -1;
}

static int next(struct scan *s)
{
    int c = peek(s);
    if (c >= 0)
        s->at++;
    if (c == '\n')
        s->place.line++;
    return c;
}

/* What stands at the cursor, without showing text. */
static const char *seen(const struct scan *s)
{
    switch (peek(s)) {
    case -1:
        return "the end of the file";
    case '\n':
        return "the end of the line";
    case '{':
        return "\"{\"";
    case '}':
        return "\"}\"";
    case '=':
        return "\"=\"";
    case '"':
        return "text in quotes";
    default:
        return "another word";
    }
}

static enum sl_rc expected(struct scan *s, const char *what)
{
    return SL_FAIL(s->x->err, SL_CONFIG_SYNTAX, "%s:%u: expected %s, seen %s", s->place.file,
                   s->place.line, what, seen(s));
}

static void skip_blank(struct scan *s, bool lines)
{
    for (;;) {
        int c = peek(s);
        if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n'))
            next(s);
        else if (c == '#')
            while (peek(s) >= 0 && peek(s) != '\n')
                next(s);
        else
            return;
    }
}

/* Text in quotes, the cursor on the first; appended to out. */
static enum sl_rc read_quoted(struct scan *s, struct sl_buf *out)
{
    unsigned line = s->place.line;
    bool kept = true;
    next(s);
    for (;;) {
        int c = next(s);
        if (c < 0)
            return SL_FAIL(
                s->x->err, SL_CONFIG_SYNTAX,
                "%s:%u: expected a closing \" of the text that starts here, seen the end "
                "of the file",
                s->place.file, line);
        if (c == '"')
            break;
        if (c == '\r')
            continue;
        if (c == '\\') {
            c = next(s);
            if (c == '\r' && peek(s) == '\n')
                c = next(s);
            if (c == '\n' || c < 0)
                continue; /* an escaped line end joins lines */
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        uint8_t byte = (uint8_t)c;
        if (!c || out->len >= IMP_VALUE_MAX)
            return SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                           "%s:%u: expected text of at most %d bytes without NUL, seen more",
                           s->place.file, line, IMP_VALUE_MAX);
        kept = kept && sl_buf_put(out, sl_bytes(&byte, 1));
    }
    return kept ? SL_OK : SL_FAIL_MEM(s->x->err);
}

/* Words and quoted parts up to the end of the value; one space between them. */
static enum sl_rc read_value(struct scan *s, const char **out)
{
    SL_AUTO_BUF b = { 0 };
    enum sl_rc rc = SL_OK;
    bool first = true, kept = true;
    while (rc == SL_OK) {
        while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\r')
            next(s);
        int c = peek(s);
        if (c < 0 || c == '\n' || c == '#' || c == '}')
            break;
        if (!first)
            kept = kept && sl_buf_put_str(&b, " ");
        first = false;
        if (c == '"') {
            rc = read_quoted(s, &b);
            continue;
        }
        size_t from = s->at;
        while ((c = peek(s)) >= 0 && !strchr("#}\"\r\n\t ", c ? c : ' '))
            next(s);
        if (s->at == from || b.len + (s->at - from) > IMP_VALUE_MAX)
            rc = SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                         "%s:%u: expected text of at most %d bytes without NUL, seen more",
                         s->place.file, s->place.line, IMP_VALUE_MAX);
        else
            kept = kept && sl_buf_put(&b, sl_bytes(s->text.p + from, s->at - from));
    }
    if (rc == SL_OK && !kept)
        rc = SL_FAIL_MEM(s->x->err);
    if (rc == SL_OK)
        *out = imp_text(s->x, sl_buf_bytes(&b));
    sl_buf_wipe(&b);
    return rc;
}

/* A name: up to blank or a character with a meaning; escapes keep spaces of include patterns. */
static enum sl_rc read_name(struct scan *s, const char *stop, const char **out)
{
    size_t from = s->at;
    int c;
    while ((c = peek(s)) > 0 && !strchr(stop, c))
        next(s);
    if (s->at == from || s->at - from > 255)
        return expected(s, "a name of 1 to 255 characters");
    *out = imp_text(s->x, sl_bytes(s->text.p + from, s->at - from));
    return SL_OK;
}

static enum sl_rc statements(struct scan *s, struct imp_section *in, unsigned depth);

static enum sl_rc read_file(struct imp *x, const char *file, struct sl_bytes text, unsigned depth,
                            void *to)
{
    struct scan s = { .x = x, .text = text, .place = { file, 1 }, .depth = depth };
    if (text.len > IMP_FILE_MAX)
        return SL_FAIL(x->err, SL_TOO_LARGE, "%s: %zu bytes; at most %zu are read", file, text.len,
                       IMP_FILE_MAX);
    SL_TRY(statements(&s, to, depth));
    if (peek(&s) == '}')
        return expected(&s, "a section or the end of the file, for no section is open");
    return SL_OK;
}

static enum sl_rc include(struct scan *s, struct imp_section *in)
{
    struct imp_at at = s->place;
    const char *pattern;
    SL_TRY(read_value(s, &pattern));
    if (!*pattern)
        return expected(s, "a file after \"include\"");
    return imp_include(s->x, pattern, at, s->depth, read_file, in);
}

/* [: PARENT, ...] { ... } */
static enum sl_rc section(struct scan *s, struct imp_section *in, const char *name,
                          struct imp_at at, unsigned depth)
{
    struct imp_list parents = { 0 };
    skip_blank(s, false);
    if (peek(s) == ':') {
        next(s);
        for (;;) {
            const char *parent;
            skip_blank(s, false);
            SL_TRY(read_name(s, "#{}=\"\r\n\t ,", &parent));
            imp_add(s->x, &parents, parent);
            skip_blank(s, false);
            if (peek(s) != ',')
                break;
            next(s);
        }
    }
    skip_blank(s, true);
    if (peek(s) != '{')
        return expected(s, "\"=\" or \"{\" after a name");
    if (depth >= IMP_DEPTH_MAX)
        return SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                       "%s:%u: expected at most %d sections inside each other, seen more",
                       s->place.file, s->place.line, IMP_DEPTH_MAX);
    next(s);
    SL_TRY(imp_count(s->x, at));
    struct imp_section *sub = imp_section_open(s->x, in, name, at);
    for (size_t i = 0; i < parents.n; i++)
        sub->parents =
            sub->parents ? imp_printf(s->x, "%s,%s", sub->parents, parents.v[i]) : parents.v[i];
    SL_TRY(statements(s, sub, depth + 1));
    if (peek(s) != '}')
        return SL_FAIL(s->x->err, SL_CONFIG_SYNTAX,
                       "%s:%u: expected a closing \"}\" of the section that starts here, seen %s",
                       at.file, at.line, seen(s));
    next(s);
    return SL_OK;
}

/* Up to the end of the text or to a "}", which stays. */
static enum sl_rc statements(struct scan *s, struct imp_section *in, unsigned depth)
{
    for (;;) {
        skip_blank(s, true);
        int c = peek(s);
        if (c < 0 || c == '}')
            return SL_OK;
        if (s->x->oom)
            return SL_FAIL_MEM(s->x->err);
        struct imp_at at = s->place;
        const char *name;
        if (c == '{' || c == '=' || c == '"')
            return expected(s, "a name");
        SL_TRY(read_name(s, "#{}=\"\r\n\t :", &name));
        while (peek(s) == ':' && s->at + 1 < s->text.len && !strchr(" \t", s->text.p[s->at + 1]) &&
               s->text.p[s->at + 1]) { /* part of the name, as in fe80:: */
            const char *more;
            next(s);
            SL_TRY(read_name(s, "#{}=\"\r\n\t :", &more));
            name = imp_printf(s->x, "%s:%s", name, more);
        }
        bool blank = peek(s) == ' ' || peek(s) == '\t';
        skip_blank(s, false);
        if (peek(s) == '=') {
            const char *value;
            next(s);
            SL_TRY(imp_count(s->x, at));
            SL_TRY(read_value(s, &value));
            imp_key_put(s->x, in, name, value, at);
        } else if (blank && strcmp(name, "include") == 0 && peek(s) != '{' && peek(s) != ':') {
            SL_TRY(include(s, in));
        } else {
            SL_TRY(section(s, in, name, at, depth));
        }
    }
}

/* ---- parents ----------------------------------------------------------------------------------------- */
static struct imp_section *named(struct imp *x, const char *path)
{
    struct imp_list parts = { 0 };
    struct imp_section *s = x->root;
    imp_split(x, &parts, path, ".");
    for (size_t i = 0; s && i < parts.n; i++)
        s = imp_section_find(s, parts.v[i]);
    return parts.n ? s : NULL;
}

static enum sl_rc resolve(struct imp *x, struct imp_section *s, unsigned depth)
{
    if (s->resolved)
        return SL_OK;
    if (s->resolving || depth > IMP_DEPTH_MAX)
        return SL_FAIL(x->err, SL_CONFIG_REFERENCE,
                       "%s:%u: section \"%s\" inherits from itself, or over more than %d sections",
                       s->at.file, s->at.line, s->name, IMP_DEPTH_MAX);
    s->resolving = true;
    struct imp_list parents = { 0 };
    if (s->parents)
        imp_split(x, &parents, s->parents, ",");
    for (size_t i = 0; i < parents.n; i++) {
        struct imp_section *parent = named(x, parents.v[i]);
        if (!parent)
            return SL_FAIL(
                x->err, SL_CONFIG_REFERENCE,
                "%s:%u: section \"%s\" inherits from \"%s\", which is not there; expected "
                "a section's name from the top, parts joined by dots",
                s->at.file, s->at.line, s->name, parents.v[i]);
        SL_TRY(resolve(x, parent, depth + 1));
        SL_TRY(imp_inherit(x, s, parent, depth));
    }
    for (struct imp_section *sub = s->subs; sub; sub = sub->next)
        SL_TRY(resolve(x, sub, depth + 1));
    s->resolving = false;
    s->resolved = true;
    return SL_OK;
}

enum sl_rc imp_swanctl_read(struct imp *x)
{
    SL_TRY(read_file(x, x->ask->file, x->ask->text, 0, x->root));
    for (struct imp_section *s = x->root->subs; s; s = s->next)
        SL_TRY(resolve(x, s, 0));
    return SL_OK;
}
