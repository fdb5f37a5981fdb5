/*
 * Shared by the files of the configuration reader: config.c (the way through), config_outline.c
 * (the text before libconfuse sees it), config_value.c (text to values), config_check.c (rules
 * between keys), config_diff.c (what differs between two).
 */
#ifndef SRC_BASE_CONFIG_IMPL_H
#define SRC_BASE_CONFIG_IMPL_H

#include "sealane/config.h"

#define CONF_TEXT_MAX     ((size_t)1 << 20) /* bytes of a configuration file */
#define CONF_SECTIONS_MAX 16384
#define CONF_LIST_MAX     1024 /* values of one list */
#define CONF_PROBLEMS_MAX 200  /* reported; the rest is only counted */
#define CONF_KEYS_MAX     40   /* keys of one kind of section */

enum conf_type {
    CONF_TEXT,
    CONF_PATH,
    CONF_STRINGS,
    CONF_PATHS,
    CONF_ANCHORS,
    CONF_SANS,
    CONF_ATTRS,
    CONF_PREFIXES,
    CONF_POOL,
    CONF_IPS,
    CONF_STATICS,
    CONF_REWRITES,
    CONF_URL,
    CONF_FINGERPRINT,
    CONF_KEYALG,
    CONF_BOOL,
    CONF_INT,
    CONF_BYTES,
    CONF_SECONDS,
    CONF_MILLIS,
    CONF_CHOICE,
    CONF_CHOICE_BOOL,
    CONF_CHOICE_TEXT,
    CONF_ADDR,
    CONF_ENDPOINT,
    CONF_ID,
    CONF_REF,
    CONF_TS,
    CONF_TS_LIST,
    CONF_TS_DYNAMIC,
    CONF_IKE,
    CONF_ESP,
};

enum conf_kind { /* of section, in the order of the key table */
                 CONF_daemon,
                 CONF_ike,
                 CONF_datapath,
                 CONF_audit,
                 CONF_trust,
                 CONF_scep,
                 CONF_identity,
                 CONF_psk,
                 CONF_directory,
                 CONF_pool,
                 CONF_rule,
                 CONF_connection,
                 CONF_child,
                 CONF_shunt,
                 CONF_authority,
                 CONF_fetch,
                 CONF_KINDS,
                 CONF_NO_KIND = CONF_KINDS,
};

struct conf_kind_info {
    const char *name;
    bool titled;
    enum conf_kind parent; /* CONF_NO_KIND: top level */
    size_t first, n;       /* its rows in the key table */
};
const struct conf_kind_info *conf_kind(enum conf_kind kind);
/* The kind of a section's name inside parent; CONF_NO_KIND: none. */
enum conf_kind conf_kind_find(enum conf_kind parent, const char *name);

struct conf_key {
    struct sl_config_key pub;
    enum conf_kind kind;
    enum conf_type type;
    const char *rule;
    size_t offset, size; /* of the field in its section's struct; size 0: an array */
    size_t count_offset; /* of field##_n, lists of values only */
};
const struct conf_key *conf_keys(enum conf_kind kind, size_t *n);
/*
 * The structs of a titled kind in its parent: *n of them, *size bytes apart. Each begins with its
 * name.
 */
const char *conf_sections(enum conf_kind kind, const void *parent, size_t *n, size_t *size);
bool conf_type_is_list(enum conf_type type);

/* One section as it stands in the file. */
struct conf_section {
    enum conf_kind kind;
    unsigned line;
    size_t parent; /* index of the section it is in; SIZE_MAX: top level */
    char title[SL_NAME_MAX];
    unsigned key_line[CONF_KEYS_MAX]; /* by row within its kind; 0: not given */
};
struct conf_outline {
    struct conf_section *v;
    size_t n, cap;
};

struct conf_ctx {
    const char *file;
    struct sl_buf *problems; /* NULL: only the first is kept */
    struct sl_err *err;
    enum sl_rc first;
    unsigned count;
    struct conf_outline outline;
};

/* Records a problem: "FILE:LINE: SECTION "TITLE": key "KEY": ..."; section and key may be NULL. */
void conf_problem(struct conf_ctx *x, enum sl_rc rc, unsigned line,
                  const struct conf_section *section, const char *key, const char *fmt, ...)
    SL_PRINTF(6, 7);

/*
 * Reads the structure of the text: sections and keys with their lines, unknown and repeated ones
 * reported. Writes a copy for libconfuse into clean: comments and reported statements blanked,
 * lines kept. False when the text cannot be handed on.
 */
bool conf_outline_read(struct conf_ctx *x, struct sl_bytes text, struct sl_buf *clean);

/* Where a value stands, for messages. */
struct conf_place {
    unsigned line;
    const struct conf_section *section;
    const char *key;
};
/* Converts n texts into the field of base. False on exhaustion only; problems are recorded. */
bool conf_value_set(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                    void *base, const char *const *v, size_t n);
/* Frees what the field of base owns. */
void conf_value_clear(const struct conf_key *key, void *base);

/* Rules between keys and sections. */
void conf_check(struct conf_ctx *x, struct sl_config *c);

#endif
