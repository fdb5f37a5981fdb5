/* Memory, lists and sections of one import; included files. */
#include "src/import/tree.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---------------------------------------------------------------------------------------- */
struct imp_chunk {
    struct imp_chunk *next;
    max_align_t data[];
};

static void *take(struct imp *x, size_t size)
{
    struct imp_chunk *c = x->oom ? NULL : calloc(1, sizeof(*c) + size);
    if (!c) {
        x->oom = true;
        return NULL;
    }
    c->next = x->chunks;
    x->chunks = c;
    return c->data;
}

void *imp_alloc(struct imp *x, size_t size)
{
    assert(size <= sizeof(x->sink));
    void *p = take(x, size);
    if (p)
        return p;
    memset(x->sink, 0, sizeof(x->sink));
    return x->sink;
}

const char *imp_text(struct imp *x, struct sl_bytes v)
{
    char *p = take(x, v.len + 1);
    if (!p)
        return "";
    if (v.len)
        memcpy(p, v.p, v.len);
    return p;
}

const char *imp_printf(struct imp *x, const char *fmt, ...)
{
    char small[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap); /* NOLINT(clang-analyzer-valist.*) */
    va_end(ap);
    if (n < 0)
        return "";
    if ((size_t)n < sizeof(small))
        return imp_text(x, sl_bytes(small, (size_t)n));
    char *p = take(x, (size_t)n + 1);
    if (!p)
        return "";
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap); /* NOLINT(clang-analyzer-valist.*) */
    va_end(ap);
    return p;
}

void imp_add(struct imp *x, struct imp_list *list, const char *text)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 8;
        const char **v = take(x, cap * sizeof(*v));
        if (!v)
            return;
        if (list->n)
            memcpy(v, list->v, list->n * sizeof(*v));
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = text;
}

bool imp_has(const struct imp_list *list, const char *text)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i], text) == 0)
            return true;
    return false;
}

void imp_free(struct imp *x)
{
    while (x->chunks) {
        struct imp_chunk *c = x->chunks;
        x->chunks = c->next;
        free(c);
    }
}

void imp_split(struct imp *x, struct imp_list *out, const char *text, const char *seps)
{
    while (*text) {
        size_t n = strcspn(text, seps), len = n;
        const char *from = text;
        while (len && (*from == ' ' || *from == '\t')) {
            from++;
            len--;
        }
        while (len && (from[len - 1] == ' ' || from[len - 1] == '\t'))
            len--;
        if (len)
            imp_add(x, out, imp_text(x, sl_bytes(from, len)));
        text += n;
        text += *text != '\0';
    }
}

/* ---- sections -------------------------------------------------------------------------------------- */
enum sl_rc imp_count(struct imp *x, struct imp_at at)
{
    if (++x->nodes > IMP_NODES_MAX)
        return SL_FAIL(x->err, SL_TOO_LARGE,
                       "%s:%u: more than %d sections and keys, with what is inherited", at.file,
                       at.line, IMP_NODES_MAX);
    if (x->sections > IMP_SECTIONS_MAX || x->wide)
        return SL_FAIL(x->err, SL_TOO_LARGE, "%s:%u: more than %d sections, or %d keys in one",
                       at.file, at.line, IMP_SECTIONS_MAX, IMP_KEYS_MAX);
    return x->oom ? SL_FAIL_MEM(x->err) : SL_OK;
}

struct imp_section *imp_section_find(struct imp_section *in, const char *name)
{
    for (struct imp_section *s = in->subs; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

struct imp_section *imp_section_open(struct imp *x, struct imp_section *in, const char *name,
                                     struct imp_at at)
{
    struct imp_section **end = &in->subs;
    for (; *end; end = &(*end)->next)
        if (strcmp((*end)->name, name) == 0)
            return *end;
    struct imp_section *s = imp_alloc(x, sizeof(*s));
    x->sections++;
    s->name = name;
    s->at = at;
    if (!x->oom)
        *end = s;
    return s;
}

void imp_key_put(struct imp *x, struct imp_section *s, const char *name, const char *value,
                 struct imp_at at)
{
    struct imp_key **end = &s->keys;
    unsigned n = 0;
    for (; *end && strcmp((*end)->name, name) != 0; n++)
        end = &(*end)->next;
    x->wide = x->wide || n >= IMP_KEYS_MAX;
    struct imp_key *k = *end;
    if (!k) {
        k = imp_alloc(x, sizeof(*k));
        if (x->oom)
            return;
        *end = k;
    }
    k->name = name;
    k->value = value;
    k->at = at;
    k->origin = k;
}

struct imp_key *imp_key(struct imp_section *s, const char *name)
{
    for (struct imp_key *k = s->keys; k; k = k->next)
        if (strcmp(k->name, name) == 0) {
            k->used = true;
            return *k->value ? k : NULL;
        }
    return NULL;
}

const char *imp_value(struct imp_section *s, const char *name)
{
    const struct imp_key *k = imp_key(s, name);
    return k ? k->value : "";
}

enum sl_rc imp_inherit(struct imp *x, struct imp_section *s, const struct imp_section *parent,
                       unsigned depth)
{
    if (depth > IMP_DEPTH_MAX)
        return SL_FAIL(x->err, SL_CONFIG_REFERENCE, "%s:%u: sections are nested deeper than %d",
                       parent->at.file, parent->at.line, IMP_DEPTH_MAX);
    for (const struct imp_key *k = parent->keys; k; k = k->next) {
        struct imp_key **end = &s->keys;
        while (*end && strcmp((*end)->name, k->name) != 0)
            end = &(*end)->next;
        if (*end)
            continue;
        SL_TRY(imp_count(x, k->at));
        struct imp_key *copy = imp_alloc(x, sizeof(*copy));
        if (x->oom)
            return SL_FAIL_MEM(x->err);
        *copy = *k;
        copy->next = NULL;
        copy->used = false;
        *end = copy;
    }
    for (const struct imp_section *p = parent->subs; p; p = p->next) {
        SL_TRY(imp_count(x, p->at));
        struct imp_section *sub = imp_section_open(x, s, p->name, p->at);
        if (x->oom)
            return SL_FAIL_MEM(x->err);
        SL_TRY(imp_inherit(x, sub, p, depth + 1));
    }
    return SL_OK;
}

/* ---- included files --------------------------------------------------------------------------------- */
struct found {
    struct imp *x;
    struct imp_list paths;
};
static void found(void *to, const char *path)
{
    struct found *f = to;
    if (f->paths.n <= IMP_FILES_MAX)
        imp_add(f->x, &f->paths, imp_text(f->x, sl_str(path)));
}

enum sl_rc imp_include(struct imp *x, const char *pattern, struct imp_at at, unsigned depth,
                       enum sl_rc (*read)(struct imp *x, const char *file, struct sl_bytes text,
                                          unsigned depth, void *to),
                       void *to)
{
    const struct sl_import_files *files = &x->ask->files;
    const char *slash = strrchr(at.file, '/');
    const char *full =
        *pattern == '/'
            ? pattern
            : imp_printf(x, "%.*s%s", slash ? (int)(slash + 1 - at.file) : 0, at.file, pattern);
    struct found f = { .x = x };
    if (depth >= IMP_DEPTH_MAX)
        return SL_FAIL(x->err, SL_CONFIG_REFERENCE,
                       "%s:%u: includes are nested deeper than %d; does a file include itself?",
                       at.file, at.line, IMP_DEPTH_MAX);
    if (files->list && files->read)
        files->list(files->ctx, full, found, &f);
    if (!f.paths.n)
        imp_add(
            x, &x->includes,
            imp_printf(x, "%s:%u: include %s: no file of that name was found; import it on its own",
                       at.file, at.line, pattern));
    for (size_t i = 0; i < f.paths.n; i++) {
        SL_AUTO_BUF text = { 0 };
        if (++x->files > IMP_FILES_MAX)
            return SL_FAIL(x->err, SL_TOO_LARGE, "%s:%u: more than %d files are included", at.file,
                           at.line, IMP_FILES_MAX);
        if (files->read(files->ctx, f.paths.v[i], &text, x->err) != SL_OK)
            return SL_WRAP(x->err, "%s:%u: include", at.file, at.line);
        enum sl_rc rc = read(x, f.paths.v[i], sl_buf_bytes(&text), depth + 1, to);
        sl_buf_wipe(&text); /* a file of secrets, perhaps */
        SL_TRY(rc);
    }
    return SL_OK;
}
