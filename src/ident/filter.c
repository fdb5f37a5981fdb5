/*
 * LDAP filters as text (RFC 4515), evaluated on entries in memory (RFC 4511 4.5.1.7): for LDIF
 * directories and for account rules. Without a schema, values compare as caseIgnoreMatch does;
 * extensible match is refused when read. Nesting and size are bounded.
 */
#include "sealane/directory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FILTER_MAX_DEPTH 32
#define FILTER_MAX_NODES 1024
#define FILTER_MAX_TEXT  65536

enum filter_kind { F_AND, F_OR, F_NOT, F_EQUAL, F_PRESENT, F_SUBSTRING, F_GE, F_LE };

struct sl_filter {
    enum filter_kind kind;
    struct sl_filter *child, *next; /* AND, OR, NOT; siblings */
    char *attr;
    struct sl_buf value; /* EQUAL, GE, LE */
    struct sl_buf *part; /* SUBSTRING: what stands between the '*' */
    size_t part_n;       /* first and last may be empty: no initial, no final */
};

void sl_filter_free(struct sl_filter *f)
{
    while (f) {
        struct sl_filter *next = f->next;
        sl_filter_free(f->child);
        for (size_t i = 0; i < f->part_n; i++)
            sl_buf_clear(&f->part[i]);
        free(f->part);
        sl_buf_clear(&f->value);
        free(f->attr);
        free(f);
        f = next;
    }
}

struct parser {
    const char *s, *text;
    unsigned depth, nodes;
    struct sl_err *err;
};

static enum sl_rc fail(struct parser *p, const char *what)
{
    return SL_FAIL(p->err, SL_MALFORMED, "filter \"%.200s\": %s at character %zu (RFC 4515 3)",
                   p->text, what, (size_t)(p->s - p->text) + 1);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum sl_rc read_attr(struct parser *p, struct sl_filter *f)
{
    const char *from = p->s;
    while (isalnum((unsigned char)*p->s) || (*p->s && strchr("-.;_", *p->s)))
        p->s++;
    if (p->s == from)
        return fail(p, "expected an attribute");
    if (*p->s == ':')
        return fail(p, "extensible match is not supported");
    f->attr = sl_strdup_bytes(sl_bytes(from, (size_t)(p->s - from)));
    return f->attr ? SL_OK : SL_FAIL_MEM(p->err);
}

static enum sl_rc new_part(struct parser *p, struct sl_filter *f)
{
    struct sl_buf *v = reallocarray(f->part, f->part_n + 1, sizeof(*v));
    if (!v)
        return SL_FAIL_MEM(p->err);
    f->part = v;
    v[f->part_n++] = (struct sl_buf){ 0 };
    return SL_OK;
}

/* assertionvalue up to the closing parenthesis; stars: '*' parts it */
static enum sl_rc read_value(struct parser *p, struct sl_filter *f, bool stars)
{
    SL_TRY(new_part(p, f));
    for (; *p->s && *p->s != ')'; p->s++) {
        char c = *p->s;
        if (c == '(')
            return fail(p, "unescaped '('");
        if (c == '*') {
            if (!stars)
                return fail(p, "unescaped '*'");
            SL_TRY(new_part(p, f));
            continue;
        }
        if (c == '\\') {
            int hi = hex_digit(p->s[1]), lo = hi >= 0 ? hex_digit(p->s[2]) : -1;
            if (lo < 0)
                return fail(p, "expected two hex digits after '\\'");
            c = (char)(hi * 16 + lo);
            p->s += 2;
        }
        if (!sl_buf_put(&f->part[f->part_n - 1], sl_bytes(&c, 1)))
            return SL_FAIL_MEM(p->err);
    }
    return SL_OK;
}

static void parts_to_value(struct sl_filter *f)
{
    f->value = f->part[0];
    free(f->part);
    f->part = NULL;
    f->part_n = 0;
}

static enum sl_rc read_item(struct parser *p, struct sl_filter *f)
{
    SL_TRY(read_attr(p, f));
    f->kind = F_EQUAL;
    if (*p->s == '>' || *p->s == '<' || *p->s == '~') {
        f->kind = *p->s == '>' ? F_GE : *p->s == '<' ? F_LE : F_EQUAL;
        p->s++;
    }
    if (*p->s != '=')
        return fail(p, "expected '='");
    bool plain = p->s[-1] != '>' && p->s[-1] != '<' && p->s[-1] != '~';
    p->s++;
    SL_TRY(read_value(p, f, plain));
    if (f->part_n == 1) {
        parts_to_value(f);
        return SL_OK;
    }
    f->kind = F_SUBSTRING;
    bool empty = true;
    for (size_t i = 0; i < f->part_n; i++)
        empty = empty && f->part[i].len == 0;
    if (empty && f->part_n > 2)
        return fail(p, "'**' is not a value");
    if (empty)
        f->kind = F_PRESENT;
    return SL_OK;
}

static enum sl_rc read_filter(struct parser *p, struct sl_filter *f);

/* Filters one after another, as children of f. */
static enum sl_rc read_list(struct parser *p, struct sl_filter *f)
{
    struct sl_filter *last = NULL;
    while (*p->s == '(') {
        if (f->kind == F_NOT && last)
            return fail(p, "'!' takes one filter");
        struct sl_filter *child = calloc(1, sizeof(*child));
        if (!child)
            return SL_FAIL_MEM(p->err);
        if (last)
            last->next = child;
        else
            f->child = child;
        last = child;
        SL_TRY(read_filter(p, child));
    }
    return f->kind == F_NOT && !last ? fail(p, "'!' takes one filter") : SL_OK;
}

/* f is zero; whoever made it frees the tree, also on failure. */
static enum sl_rc read_filter(struct parser *p, struct sl_filter *f)
{
    if (*p->s != '(')
        return fail(p, "expected '('");
    if (++p->depth > FILTER_MAX_DEPTH || ++p->nodes > FILTER_MAX_NODES)
        return fail(p, "too deep or too many parts");
    p->s++;
    if (*p->s == '&' || *p->s == '|' || *p->s == '!') {
        f->kind = *p->s == '&' ? F_AND : *p->s == '|' ? F_OR : F_NOT;
        p->s++;
        SL_TRY(read_list(p, f));
    } else {
        SL_TRY(read_item(p, f));
    }
    if (*p->s != ')')
        return fail(p, "expected ')'");
    p->s++;
    p->depth--;
    return SL_OK;
}

enum sl_rc sl_filter_parse(struct sl_filter **out, const char *text, struct sl_err *err)
{
    if (strlen(text) > FILTER_MAX_TEXT)
        return SL_FAIL(err, SL_TOO_LARGE, "filter is longer than %d characters", FILTER_MAX_TEXT);
    struct parser p = { .s = text, .text = text, .err = err };
    struct sl_filter *f = calloc(1, sizeof(*f));
    if (!f)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = read_filter(&p, f);
    if (rc == SL_OK && *p.s)
        rc = fail(&p, "stray text after the filter");
    if (rc != SL_OK) {
        sl_filter_free(f);
        return rc;
    }
    *out = f;
    return SL_OK;
}

/* ---- matching ------------------------------------------------------------------------------------ */
/*
 * The next character of a value as caseIgnoreMatch sees it (RFC 4518 2.6.1): lower case, runs of
 * spaces as one, none at the ends. Returns -1 at the end.
 */
struct folded {
    const uint8_t *p, *end;
};

static struct folded fold(struct sl_bytes v)
{
    struct folded f = { v.p, v.len ? v.p + v.len : v.p };
    while (f.p < f.end && *f.p == ' ')
        f.p++;
    while (f.end > f.p && f.end[-1] == ' ')
        f.end--;
    return f;
}

static int step(struct folded *f)
{
    if (f->p == f->end)
        return -1;
    int c = tolower(*f->p++);
    if (c == ' ')
        while (f->p < f->end && *f->p == ' ')
            f->p++;
    return c;
}

static int compare(struct sl_bytes a, struct sl_bytes b)
{
    struct folded x = fold(a), y = fold(b);
    for (;;) {
        int c = step(&x), d = step(&y);
        if (c != d)
            return c < d ? -1 : 1;
        if (c == -1)
            return 0;
    }
}

static bool number(struct sl_bytes v, int64_t *out)
{
    struct folded f = fold(v);
    size_t len = (size_t)(f.end - f.p);
    char text[24];
    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, f.p, len);
    text[len] = '\0';
    size_t digits = strspn(text + (text[0] == '-'), "0123456789");
    if (digits == 0 || digits > 18 || digits + (text[0] == '-') != len)
        return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

static int order(struct sl_bytes a, struct sl_bytes b)
{
    int64_t x, y;
    if (number(a, &x) && number(b, &y))
        return (x > y) - (x < y);
    return compare(a, b);
}

/* Folded copy, so that substrings can be looked for; false on exhaustion. */
static bool folded_copy(struct sl_buf *out, struct sl_bytes v)
{
    struct folded f = { v.p, v.len ? v.p + v.len : v.p };
    if (!sl_buf_reserve(out, v.len + 1))
        return false;
    for (int c; (c = step(&f)) != -1;)
        out->p[out->len++] = (uint8_t)c;
    return true;
}

static bool substring(const struct sl_filter *f, struct sl_bytes value)
{
    SL_AUTO_BUF v = { 0 };
    if (!folded_copy(&v, value))
        return false;
    size_t at = 0;
    for (size_t i = 0; i < f->part_n; i++) {
        SL_AUTO_BUF part = { 0 };
        if (!folded_copy(&part, sl_buf_bytes(&f->part[i])))
            return false;
        if (part.len == 0)
            continue;
        if (part.len > v.len - at)
            return false;
        if (i == 0) {
            if (memcmp(v.p, part.p, part.len) != 0)
                return false;
            at = part.len;
        } else if (i + 1 == f->part_n) {
            return memcmp(v.p + v.len - part.len, part.p, part.len) == 0;
        } else {
            const uint8_t *hit = memmem(v.p + at, v.len - at, part.p, part.len);
            if (!hit)
                return false;
            at = (size_t)(hit - v.p) + part.len;
        }
    }
    return true;
}

static bool item(const struct sl_filter *f, struct sl_bytes value)
{
    switch (f->kind) {
    case F_EQUAL:
        return compare(value, sl_buf_bytes(&f->value)) == 0;
    case F_GE:
        return order(value, sl_buf_bytes(&f->value)) >= 0;
    case F_LE:
        return order(value, sl_buf_bytes(&f->value)) <= 0;
    case F_SUBSTRING:
        return substring(f, value);
    case F_PRESENT:
        return true;
    case F_AND:
    case F_OR:
    case F_NOT:
        break;
    }
    return false;
}

/*
 * Without a schema no attribute is unknown, so nothing is undefined: an absent attribute is false,
 * and its NOT is true, as servers answer for attributes that their schema has.
 */
bool sl_filter_match(const struct sl_filter *f, const struct sl_entry *e)
{
    switch (f->kind) {
    case F_AND:
    case F_OR:
        for (const struct sl_filter *c = f->child; c; c = c->next)
            if (sl_filter_match(c, e) == (f->kind == F_OR))
                return f->kind == F_OR;
        return f->kind == F_AND; /* (&) is true, (|) is false: RFC 4526 */
    case F_NOT:
        return !sl_filter_match(f->child, e);
    case F_EQUAL:
    case F_PRESENT:
    case F_SUBSTRING:
    case F_GE:
    case F_LE:
        break;
    }
    const struct sl_attr *a = sl_entry_attr(e, f->attr);
    for (size_t i = 0; a && i < a->n; i++)
        if (item(f, sl_buf_bytes(&a->value[i])))
            return true;
    return false;
}

void sl_filter_attrs(const struct sl_filter *f, void (*each)(void *ctx, const char *name),
                     void *ctx)
{
    for (; f; f = f->next) {
        if (f->attr)
            each(ctx, f->attr);
        sl_filter_attrs(f->child, each, ctx);
    }
}

bool sl_filter_escape(struct sl_buf *out, struct sl_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.p[i];
        bool plain = c > 0x1f && c < 0x7f && c != '(' && c != ')' && c != '*' && c != '\\';
        if (plain ? !sl_buf_put(out, sl_bytes(&c, 1)) : !sl_buf_printf(out, "\\%02x", c))
            return false;
    }
    return true;
}
