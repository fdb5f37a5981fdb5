/*
 * Directory entries as plain values, whatever back end they came from (RFC 4512 2.2).
 */
#include "sealane/directory.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct sl_entry *sl_entries_new(struct sl_entries *list, struct sl_bytes dn)
{
    struct sl_entry *v = reallocarray(list->v, list->n + 1, sizeof(*v));
    if (!v)
        return NULL;
    list->v = v;
    char *copy = sl_strdup_bytes(dn);
    if (!copy)
        return NULL;
    struct sl_entry *e = &v[list->n++];
    *e = (struct sl_entry){ .dn = copy };
    return e;
}

/* Attribute descriptions without options: "userCertificate;binary" is userCertificate. */
static bool same_type(const char *stored, struct sl_bytes name)
{
    size_t stored_len = strcspn(stored, ";");
    const uint8_t *semi = name.len ? memchr(name.p, ';', name.len) : NULL;
    size_t len = semi ? (size_t)(semi - name.p) : name.len;
    return stored_len == len && strncasecmp(stored, (const char *)name.p, len) == 0;
}

bool sl_entry_put(struct sl_entry *e, struct sl_bytes name, struct sl_bytes value)
{
    struct sl_attr *a = NULL;
    for (size_t i = 0; i < e->n && !a; i++)
        if (same_type(e->attr[i].name, name))
            a = &e->attr[i];
    if (!a) {
        if (e->n == SL_ENTRY_MAX_ATTRS)
            return false;
        struct sl_attr *v = reallocarray(e->attr, e->n + 1, sizeof(*v));
        if (!v)
            return false;
        e->attr = v;
        char *copy = sl_strdup_bytes(name);
        if (!copy)
            return false;
        a = &v[e->n++];
        *a = (struct sl_attr){ .name = copy };
    }
    if (a->n == SL_ENTRY_MAX_VALUES)
        return false;
    struct sl_buf *v = reallocarray(a->value, a->n + 1, sizeof(*v));
    if (!v)
        return false;
    a->value = v;
    struct sl_buf copy = { 0 };
    /* A NUL after the value lets text be read as a string; it is not counted. */
    if (!sl_buf_put(&copy, value) || !sl_buf_nul(&copy)) {
        sl_buf_clear(&copy);
        return false;
    }
    v[a->n++] = copy;
    return true;
}

const struct sl_attr *sl_entry_attr(const struct sl_entry *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (same_type(e->attr[i].name, sl_str(name)))
            return &e->attr[i];
    return NULL;
}

void sl_entries_clear(struct sl_entries *list)
{
    for (size_t i = 0; i < list->n; i++) {
        struct sl_entry *e = &list->v[i];
        for (size_t k = 0; k < e->n; k++) {
            for (size_t j = 0; j < e->attr[k].n; j++)
                sl_buf_clear(&e->attr[k].value[j]);
            free(e->attr[k].value);
            free(e->attr[k].name);
        }
        free(e->attr);
        free(e->dn);
    }
    free(list->v);
    *list = (struct sl_entries){ 0 };
}

bool sl_entries_eq(const struct sl_entries *a, const struct sl_entries *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct sl_entry *x = &a->v[i], *y = &b->v[i];
        if (strcmp(x->dn, y->dn) != 0 || x->n != y->n)
            return false;
        for (size_t k = 0; k < x->n; k++) {
            const struct sl_attr *p = &x->attr[k], *q = &y->attr[k];
            if (strcasecmp(p->name, q->name) != 0 || p->n != q->n)
                return false;
            for (size_t j = 0; j < p->n; j++)
                if (!sl_bytes_eq(sl_buf_bytes(&p->value[j]), sl_buf_bytes(&q->value[j])))
                    return false;
        }
    }
    return true;
}
