/*
 * What both readers yield: sections with keys, each with its place. And the memory of one import,
 * freed as a whole: an allocation that fails is remembered and yields harmless memory, so that
 * readers and mapping go on without checks and sl_import looks once.
 */
#ifndef SRC_IMPORT_TREE_H
#define SRC_IMPORT_TREE_H

#include "sealane/import.h"

#define IMP_FILE_MAX     ((size_t)1 << 20)
#define IMP_FILES_MAX    256
#define IMP_NODES_MAX    100000 /* sections and keys, inherited ones counted again */
#define IMP_SECTIONS_MAX 8192
#define IMP_KEYS_MAX     512 /* of one section */
#define IMP_DEPTH_MAX    16  /* nesting of sections, of includes, of inheritance */
#define IMP_VALUE_MAX    8192

struct imp_at {
    const char *file;
    unsigned line;
};
struct imp_key {
    struct imp_key *next;
    struct imp_key *origin; /* of an inherited copy; else itself */
    const char *name, *value;
    struct imp_at at;
    bool used, noted; /* noted: of the origin */
};
struct imp_section {
    struct imp_section *next;
    const char *name; /* ipsec.conf: "conn NAME", "ca NAME", "config setup" */
    struct imp_at at;
    struct imp_key *keys;
    struct imp_section *subs;
    const char *parents; /* swanctl: "a, b" after the colon; NULL: none */
    bool resolved, resolving;
};
struct imp_list {
    const char **v;
    size_t n, cap;
};
struct imp_chunk;
struct imp {
    struct imp_chunk *chunks;
    bool oom;
    max_align_t sink[64]; /* what is handed out when memory ends */
    const struct sl_import_ask *ask;
    struct sl_err *err;
    const char *dir; /* of ask->file, with "/" at its end */
    size_t nodes, sections, files;
    bool wide; /* a section had more than IMP_KEYS_MAX keys */
    struct imp_section *root;
    struct imp_list includes; /* that were not followed, "FILE:LINE: PATTERN" */
};

void *imp_alloc(struct imp *x, size_t size); /* zeroed; never NULL; at most sizeof x->sink */
const char *imp_text(struct imp *x, struct sl_bytes v);
const char *imp_printf(struct imp *x, const char *fmt, ...) SL_PRINTF(2, 3);
void imp_add(struct imp *x, struct imp_list *list, const char *text);
bool imp_has(const struct imp_list *list, const char *text);
void imp_free(struct imp *x);

/* ---- sections ------------------------------------------------------------------------------------ */
struct imp_section *imp_section_find(struct imp_section *in, const char *name);
/* The section of that name in in, made where it is absent. */
struct imp_section *imp_section_open(struct imp *x, struct imp_section *in, const char *name,
                                     struct imp_at at);
/* Sets a key; one of the same name is replaced. */
void imp_key_put(struct imp *x, struct imp_section *s, const char *name, const char *value,
                 struct imp_at at);
/* Lends the key and marks it as used; NULL when absent or empty. */
struct imp_key *imp_key(struct imp_section *s, const char *name);
const char *imp_value(struct imp_section *s, const char *name); /* "" when absent */
/* Takes what parent has and s has not; for swanctl with sections. */
enum sl_rc imp_inherit(struct imp *x, struct imp_section *s, const struct imp_section *parent,
                       unsigned depth);
SL_MUST_USE enum sl_rc imp_count(struct imp *x, struct imp_at at);

/* ---- readers ------------------------------------------------------------------------------------- */
SL_MUST_USE enum sl_rc imp_swanctl_read(struct imp *x);
SL_MUST_USE enum sl_rc imp_ipsec_read(struct imp *x);
/* Calls read for each file that pattern names, relative to the including file. */
SL_MUST_USE enum sl_rc imp_include(struct imp *x, const char *pattern, struct imp_at at,
                                   unsigned depth,
                                   enum sl_rc (*read)(struct imp *x, const char *file,
                                                      struct sl_bytes text, unsigned depth,
                                                      void *to),
                                   void *to);
/* Splits at any of seps, blanks around removed, empty parts left out. */
void imp_split(struct imp *x, struct imp_list *out, const char *text, const char *seps);

#endif
