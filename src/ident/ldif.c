/*
 * LDIF content records (RFC 2849), the directory that is a file, and searching in it.
 *
 * Change records and "attr:< url" values are refused: the first have no meaning here, the second
 * would make the reader of a file open other files.
 */
#include "sealane/directory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct sl_bytes text;
    size_t at;
    unsigned line, first; /* of the next physical line; where the current logical line begins */
    const char *file;
    struct sl_err *err;
};

static enum sl_rc fail(const struct reader *r, const char *what)
{
    return SL_FAIL(r->err, SL_MALFORMED, "%s:%u: %s (RFC 2849)", r->file, r->first, what);
}

/* One physical line without its end; false at the end of the text. */
static bool physical(struct reader *r, struct sl_bytes *line)
{
    if (r->at >= r->text.len)
        return false;
    const uint8_t *from = r->text.p + r->at;
    size_t left = r->text.len - r->at;
    const uint8_t *nl = memchr(from, '\n', left);
    size_t len = nl ? (size_t)(nl - from) : left;
    r->at += len + (nl != NULL);
    r->line++;
    if (len > 0 && from[len - 1] == '\r')
        len--;
    *line = sl_bytes(from, len);
    return true;
}

/* A logical line: folded parts joined, comments passed over; an empty one ends a record. */
static enum sl_rc logical(struct reader *r, struct sl_buf *out, bool *end)
{
    *end = false;
    for (;;) {
        struct sl_bytes line;
        out->len = 0;
        if (!physical(r, &line)) {
            *end = true;
            return SL_OK;
        }
        r->first = r->line;
        if (!sl_buf_put(out, line))
            return SL_FAIL_MEM(r->err);
        while (r->at < r->text.len && r->text.p[r->at] == ' ') {
            if (!physical(r, &line) || !sl_buf_put(out, sl_bytes_slice(line, 1, line.len)))
                return SL_FAIL_MEM(r->err);
        }
        if (out->len == 0 || out->p[0] != '#')
            return SL_OK;
    }
}

/* "attr: value" or "attr:: base64" */
static enum sl_rc split(const struct reader *r, struct sl_bytes line, struct sl_bytes *attr,
                        struct sl_buf *value)
{
    value->len = 0;
    const uint8_t *colon = memchr(line.p, ':', line.len);
    if (!colon || colon == line.p)
        return fail(r, "expected \"attribute: value\"");
    *attr = sl_bytes(line.p, (size_t)(colon - line.p));
    for (size_t i = 0; i < attr->len; i++)
        if (!isalnum(attr->p[i]) && (!attr->p[i] || !strchr("-.;_", attr->p[i])))
            return fail(r, "an attribute name holds letters, digits, '-', '.' and ';' only");
    struct sl_bytes v = sl_bytes_slice(line, attr->len + 1, line.len);
    bool base64 = v.len > 0 && v.p[0] == ':';
    if (v.len > 0 && v.p[0] == '<')
        return fail(r, "values from URLs are not read");
    if (base64)
        v = sl_bytes_slice(v, 1, v.len);
    while (v.len > 0 && v.p[0] == ' ')
        v = sl_bytes_slice(v, 1, v.len);
    if (base64) {
        SL_AUTO_BUF raw = { 0 };
        if (!sl_unbase64(&raw, v))
            return fail(r, "value is not base64");
        if (!sl_buf_put(value, sl_buf_bytes(&raw)))
            return SL_FAIL_MEM(r->err);
        return SL_OK;
    }
    return sl_buf_put(value, v) ? SL_OK : SL_FAIL_MEM(r->err);
}

static bool is(struct sl_bytes attr, const char *name)
{
    return attr.len == strlen(name) && strncasecmp((const char *)attr.p, name, attr.len) == 0;
}

static enum sl_rc read_all(struct sl_entries *out, struct reader *r, struct sl_buf *line,
                           struct sl_buf *value)
{
    struct sl_entry *e = NULL;
    bool started = false;
    for (;;) {
        bool end;
        SL_TRY(logical(r, line, &end));
        if (end)
            return SL_OK;
        if (line->len == 0) {
            e = NULL;
            continue;
        }
        struct sl_bytes attr = { 0 };
        SL_TRY(split(r, sl_buf_bytes(line), &attr, value));
        if (!started && is(attr, "version")) {
            if (!sl_bytes_eq(sl_buf_bytes(value), sl_str("1")))
                return fail(r, "version must be 1");
            started = true;
            continue;
        }
        started = true;
        if (is(attr, "dn")) {
            if (e)
                return fail(r, "\"dn:\" inside a record; records are parted by an empty line");
            if (value->len && memchr(value->p, 0, value->len))
                return fail(r, "dn holds a NUL");
            e = sl_entries_new(out, sl_buf_bytes(value));
            if (!e)
                return SL_FAIL_MEM(r->err);
            continue;
        }
        if (!e)
            return fail(r, "a record must begin with \"dn:\"");
        if (is(attr, "changetype") || is(attr, "control"))
            return fail(r, "change records are not content");
        if (!sl_entry_put(e, attr, sl_buf_bytes(value)))
            return fail(r, "more attributes or values than an entry may have");
    }
}

enum sl_rc sl_ldif_read(struct sl_entries *out, struct sl_bytes text, const char *file,
                        struct sl_err *err)
{
    if (text.len > SL_LDIF_MAX_BYTES)
        return SL_FAIL(err, SL_TOO_LARGE, "%s: %zu bytes, at most %zu are read", file, text.len,
                       SL_LDIF_MAX_BYTES);
    struct reader r = { .text = text, .file = file, .err = err };
    struct sl_entries all = { 0 };
    SL_AUTO_BUF line = { 0 };
    SL_AUTO_BUF value = { 0 };
    enum sl_rc rc = read_all(&all, &r, &line, &value);
    if (rc != SL_OK) {
        sl_entries_clear(&all);
        return rc;
    }
    *out = all;
    return SL_OK;
}

/* ---- search ---------------------------------------------------------------------------------------- */
/* A DN for comparing: lower case, no spaces beside ',', '+' and '='; escapes stay as they are. */
static bool normal(struct sl_buf *out, const char *dn)
{
    size_t keep = 0; /* spaces after this are outer ones */
    bool outer = true;
    for (const char *s = dn; *s; s++) {
        uint8_t c = (uint8_t)tolower((unsigned char)*s);
        if (c == ' ' && outer)
            continue;
        bool mark = c == ',' || c == '+' || c == '=';
        if (mark)
            out->len = keep;
        if (!sl_buf_put(out, sl_bytes(&c, 1)))
            return false;
        outer = mark;
        if (c == '\\' && s[1]) {
            s++;
            c = (uint8_t)tolower((unsigned char)*s);
            if (!sl_buf_put(out, sl_bytes(&c, 1)))
                return false;
        }
        if (c != ' ' || s[-(s > dn)] == '\\')
            keep = out->len;
    }
    out->len = keep;
    return true;
}

static bool one_rdn(struct sl_bytes dn)
{
    for (size_t i = 0; i < dn.len; i++) {
        if (dn.p[i] == '\\')
            i++;
        else if (dn.p[i] == ',')
            return false;
    }
    return true;
}

static bool in_scope(struct sl_bytes dn, struct sl_bytes base, const char *scope)
{
    if (sl_bytes_eq(dn, base))
        return strcmp(scope, "one") != 0;
    if (strcmp(scope, "base") == 0)
        return false;
    struct sl_bytes above = dn;
    if (base.len > 0) {
        if (dn.len <= base.len + 1)
            return false;
        size_t comma = dn.len - base.len - 1;
        if (dn.p[comma] != ',' || (comma > 0 && dn.p[comma - 1] == '\\') ||
            memcmp(dn.p + comma + 1, base.p, base.len) != 0)
            return false;
        above = sl_bytes(dn.p, comma);
    }
    return strcmp(scope, "one") != 0 || one_rdn(above);
}

static bool copy_entry(struct sl_entries *out, const struct sl_entry *e)
{
    struct sl_entry *c = sl_entries_new(out, sl_str(e->dn));
    for (size_t i = 0; c && i < e->n; i++)
        for (size_t k = 0; k < e->attr[i].n; k++)
            if (!sl_entry_put(c, sl_str(e->attr[i].name), sl_buf_bytes(&e->attr[i].value[k])))
                return false;
    return c != NULL;
}

enum sl_rc sl_ldif_search(struct sl_entries *out, const struct sl_entries *all, const char *base,
                          const char *scope, const struct sl_filter *f, size_t max,
                          struct sl_err *err)
{
    SL_AUTO_BUF want = { 0 };
    SL_AUTO_BUF dn = { 0 };
    struct sl_entries found = { 0 };
    if (!normal(&want, base))
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < all->n && found.n < max; i++) {
        dn.len = 0;
        if (!normal(&dn, all->v[i].dn)) {
            sl_entries_clear(&found);
            return SL_FAIL_MEM(err);
        }
        if (!in_scope(sl_buf_bytes(&dn), sl_buf_bytes(&want), *scope ? scope : "sub") ||
            !sl_filter_match(f, &all->v[i]))
            continue;
        if (!copy_entry(&found, &all->v[i])) {
            sl_entries_clear(&found);
            return SL_FAIL_MEM(err);
        }
    }
    *out = found;
    return SL_OK;
}
