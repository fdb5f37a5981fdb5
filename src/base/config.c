/*
 * The configuration file: text in, struct sl_config out (sealane.conf(5)).
 *
 * The way: config_outline.c walks over the text and hands a cleaned copy to libconfuse, libconfuse
 * yields the texts of the values, config_value.c converts them by the key table, config_check.c
 * looks at what must fit together. All problems are collected, in this order.
 *
 * libconfuse's scanner has global state, so its part runs under a lock; libconfuse reads every value
 * as text, without defaults, includes or functions.
 */
#include "src/base/config_impl.h"

#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the key table ------------------------------------------------------------------------------- */
#define STRUCT_daemon     struct sl_config
#define STRUCT_ike        struct sl_config
#define STRUCT_datapath   struct sl_config
#define STRUCT_audit      struct sl_config
#define STRUCT_authority  struct sl_config
#define STRUCT_fetch      struct sl_config
#define STRUCT_trust      struct sl_conf_trust
#define STRUCT_scep       struct sl_conf_scep
#define STRUCT_identity   struct sl_conf_identity
#define STRUCT_psk        struct sl_conf_psk
#define STRUCT_directory  struct sl_conf_directory
#define STRUCT_pool       struct sl_conf_pool
#define STRUCT_rule       struct sl_conf_rule
#define STRUCT_connection struct sl_conf_connection
#define STRUCT_child      struct sl_conf_child
#define STRUCT_shunt      struct sl_conf_shunt

/* What the man page calls each type; rule is a string literal. */
#define TYPE_TEXT(rule)        "text"
#define TYPE_PATH(rule)        "path"
#define TYPE_STRINGS(rule)     "list of text"
#define TYPE_PATHS(rule)       "list of paths"
#define TYPE_ANCHORS(rule)     "list of paths"
#define TYPE_SANS(rule)        "list of names"
#define TYPE_ATTRS(rule)       "list of attribute=pattern"
#define TYPE_PREFIXES(rule)    "list of prefixes"
#define TYPE_POOL(rule)        "list of prefixes and ranges"
#define TYPE_IPS(rule)         "list of addresses"
#define TYPE_STATICS(rule)     "list of IDENTITY=ADDRESS"
#define TYPE_REWRITES(rule)    "list of URI=URI"
#define TYPE_URL(rule)         "URL " rule
#define TYPE_FINGERPRINT(rule) "SHA-256 in hex"
#define TYPE_KEYALG(rule)      "key algorithm"
#define TYPE_BOOL(rule)        "yes or no"
#define TYPE_INT(rule)         "number " rule
#define TYPE_BYTES(rule)       "number, k, M, G or T after it"
#define TYPE_SECONDS(rule)     "duration"
#define TYPE_MILLIS(rule)      "duration"
#define TYPE_CHOICE(rule)      rule
#define TYPE_CHOICE_BOOL(rule) rule
#define TYPE_CHOICE_TEXT(rule) rule
#define TYPE_ADDR(rule)        "IPv" rule " address"
#define TYPE_ENDPOINT(rule)    "address, port " rule
#define TYPE_ID(rule)          "identity"
#define TYPE_REF(rule)         "name of a section " rule
#define TYPE_TS(rule)          "selector"
#define TYPE_TS_LIST(rule)     "list of selectors"
#define TYPE_TS_DYNAMIC(rule)  "list of selectors, or dynamic"
#define TYPE_IKE(rule)         "list of proposals"
#define TYPE_ESP(rule)         "list of proposals"

#define FIELD_SIZE(section, field) sizeof(((STRUCT_##section *)NULL)->field)
#define ROW(section, key, type, field, size, dflt, rule, text, count) \
    { { #section, #key, TYPE_##type(rule), dflt, text },              \
      CONF_##section,                                                 \
      CONF_##type,                                                    \
      rule,                                                           \
      offsetof(STRUCT_##section, field),                              \
      size,                                                           \
      count },
#define CONF_KEY(section, key, type, field, dflt, rule, text) \
    ROW(section, key, type, field, FIELD_SIZE(section, field), dflt, rule, text, 0)
#define CONF_LIST(section, key, type, field, dflt, rule, text) \
    ROW(section, key, type, field, 0, dflt, rule, text, offsetof(STRUCT_##section, field##_n))
static const struct conf_key table[] = {
#include "src/base/config_keys.def"
};
#undef CONF_KEY
#undef CONF_LIST

/* The same rows, public part only. */
#define CONF_KEY(section, key, type, field, dflt, rule, text) \
    { #section, #key, TYPE_##type(rule), dflt, text },
#define CONF_LIST CONF_KEY
static const struct sl_config_key public_table[] = {
#include "src/base/config_keys.def"
};
#undef CONF_KEY
#undef CONF_LIST

const struct sl_config_key *sl_config_keys(size_t *n)
{
    *n = SL_ARRAY_LEN(public_table);
    return public_table;
}

/* ---- kinds of section ------------------------------------------------------------------------------- */
enum { /* rows of each kind, counted by the compiler: the table is in the order of the kinds */
#define CONF_KEY(section, key, type, field, dflt, rule, text) ROW_##section##_##key,
#define CONF_LIST                                             CONF_KEY
#include "src/base/config_keys.def"
#undef CONF_KEY
#undef CONF_LIST
       ROW_END
};

/* Where the array of a titled kind is in its parent's struct. */
struct conf_array {
    size_t size, array, count;
};
#define ARRAY(parent, section)                                      \
    {                                                               \
        sizeof(STRUCT_##section), offsetof(struct parent, section), \
            offsetof(struct parent, section##_n)                    \
    }
static const struct conf_array arrays[CONF_KINDS] = {
    [CONF_trust] = ARRAY(sl_config, trust),
    [CONF_scep] = ARRAY(sl_config, scep),
    [CONF_identity] = ARRAY(sl_config, identity),
    [CONF_psk] = ARRAY(sl_config, psk),
    [CONF_directory] = ARRAY(sl_config, directory),
    [CONF_pool] = ARRAY(sl_config, pool),
    [CONF_rule] = ARRAY(sl_config, rule),
    [CONF_connection] = ARRAY(sl_config, connection),
    [CONF_child] = ARRAY(sl_conf_connection, child),
    [CONF_shunt] = ARRAY(sl_config, shunt),
};
/* Every titled struct begins with its name. */
_Static_assert(offsetof(struct sl_conf_trust, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_scep, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_identity, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_psk, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_directory, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_rule, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_connection, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_child, name) == 0, "name first");
_Static_assert(offsetof(struct sl_conf_shunt, name) == 0, "name first");

#define KIND(section, titled, parent, first, next)        \
    {                                                     \
#section, titled, parent, first, (next) - (first) \
    }
static const struct conf_kind_info kinds[CONF_KINDS] = {
    [CONF_daemon] = KIND(daemon, false, CONF_NO_KIND, ROW_daemon_state_dir, ROW_ike_listen4),
    [CONF_ike] = KIND(ike, false, CONF_NO_KIND, ROW_ike_listen4, ROW_datapath_tun_name),
    [CONF_datapath] = KIND(datapath, false, CONF_NO_KIND, ROW_datapath_tun_name, ROW_audit_dir),
    [CONF_audit] = KIND(audit, false, CONF_NO_KIND, ROW_audit_dir, ROW_trust_anchor),
    [CONF_trust] = KIND(trust, true, CONF_NO_KIND, ROW_trust_anchor, ROW_scep_url),
    [CONF_scep] = KIND(scep, true, CONF_NO_KIND, ROW_scep_url, ROW_identity_key),
    [CONF_identity] = KIND(identity, true, CONF_NO_KIND, ROW_identity_key, ROW_psk_file),
    [CONF_psk] = KIND(psk, true, CONF_NO_KIND, ROW_psk_file, ROW_directory_type),
    [CONF_directory] = KIND(directory, true, CONF_NO_KIND, ROW_directory_type, ROW_pool_addresses),
    [CONF_pool] = KIND(pool, true, CONF_NO_KIND, ROW_pool_addresses, ROW_rule_action),
    [CONF_rule] = KIND(rule, true, CONF_NO_KIND, ROW_rule_action, ROW_connection_local),
    [CONF_connection] =
        KIND(connection, true, CONF_NO_KIND, ROW_connection_local, ROW_child_local_ts),
    [CONF_child] = KIND(child, true, CONF_connection, ROW_child_local_ts, ROW_shunt_action),
    [CONF_shunt] = KIND(shunt, true, CONF_NO_KIND, ROW_shunt_action, ROW_authority_enabled),
    [CONF_authority] = KIND(authority, false, CONF_NO_KIND, ROW_authority_enabled, ROW_fetch_allow),
    [CONF_fetch] = KIND(fetch, false, CONF_NO_KIND, ROW_fetch_allow, ROW_END),
};
_Static_assert(ROW_child_local_ts - ROW_connection_local < CONF_KEYS_MAX,
               "the largest section fits");

const struct conf_kind_info *conf_kind(enum conf_kind kind)
{
    return &kinds[kind];
}

enum conf_kind conf_kind_find(enum conf_kind parent, const char *name)
{
    for (unsigned k = 0; k < CONF_KINDS; k++)
        if (kinds[k].parent == parent && strcmp(kinds[k].name, name) == 0)
            return (enum conf_kind)k;
    return CONF_NO_KIND;
}

const struct conf_key *conf_keys(enum conf_kind kind, size_t *n)
{
    *n = kind < CONF_KINDS ? kinds[kind].n : 0;
    return kind < CONF_KINDS ? &table[kinds[kind].first] : NULL;
}

const char *conf_sections(enum conf_kind kind, const void *parent, size_t *n, size_t *size)
{
    const struct conf_array *a = &arrays[kind];
    const char *v;
    memcpy(&v, (const char *)parent + a->array, sizeof(v));
    memcpy(n, (const char *)parent + a->count, sizeof(*n));
    *size = a->size;
    return v;
}

/* ---- problems ----------------------------------------------------------------------------------------- */
void conf_problem(struct conf_ctx *x, enum sl_rc rc, unsigned line,
                  const struct conf_section *section, const char *key, const char *fmt, ...)
{
    char what[640], where[320] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (section) {
        const struct conf_section *up =
            section->parent == SIZE_MAX ? NULL : &x->outline.v[section->parent];
        if (up)
            snprintf(where, sizeof(where), "%s \"%s\": ", kinds[up->kind].name, up->title);
        size_t n = strlen(where);
        snprintf(where + n, sizeof(where) - n,
                 section->title[0] ? "%s \"%s\": " : "%s: ", kinds[section->kind].name,
                 section->title);
    }
    if (key) {
        size_t n = strlen(where);
        snprintf(where + n, sizeof(where) - n, "key \"%.64s\": ", key);
    }
    char place[16] = "";
    if (line)
        snprintf(place, sizeof(place), ":%u", line);
    if (x->count++ == 0) {
        x->first = rc;
        (void)SL_FAIL(x->err, rc, "%s%s: %s%s", x->file, place, where, what);
    }
    if (!x->problems)
        return;
    bool kept = true;
    if (x->count <= CONF_PROBLEMS_MAX)
        kept = sl_buf_printf(x->problems, "%s%s: %s%s\n", x->file, place, where, what);
    else if (x->count == CONF_PROBLEMS_MAX + 1)
        kept = sl_buf_printf(x->problems, "%s: more problems follow\n", x->file);
    (void)kept; /* the first problem is in err whatever happens to the list */
}

/* ---- libconfuse --------------------------------------------------------------------------------------- */
static pthread_mutex_t confuse_lock = PTHREAD_MUTEX_INITIALIZER;
static struct conf_ctx
    *confuse_ctx; /* of the call that holds the lock: the callback gets no context */

static void SL_PRINTF(2, 0) confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char what[256];
    vsnprintf(what, sizeof(what), fmt, ap);
    conf_problem(confuse_ctx, SL_CONFIG_SYNTAX, cfg && cfg->line > 0 ? (unsigned)cfg->line : 0,
                 NULL, NULL, "%s", what);
}

/* Options of one kind, in the table's order, then its sections and the end. */
struct confuse_opts {
    cfg_opt_t v[CONF_KINDS][CONF_KEYS_MAX + 2], root[CONF_KINDS + 1];
};

static void build_opts(struct confuse_opts *o)
{
    const cfg_opt_t end = CFG_END();
    size_t top = 0;
    for (unsigned k = 0; k < CONF_KINDS; k++) {
        size_t n, i;
        const struct conf_key *keys = conf_keys(k, &n);
        for (i = 0; i < n; i++) {
            const cfg_opt_t one = CFG_STR(keys[i].pub.key, 0, CFGF_NODEFAULT);
            const cfg_opt_t list = CFG_STR_LIST(keys[i].pub.key, 0, CFGF_NODEFAULT);
            o->v[k][i] = conf_type_is_list(keys[i].type) ? list : one;
        }
        if (k == CONF_connection) {
            const cfg_opt_t child =
                CFG_SEC("child", o->v[CONF_child], CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
            o->v[k][i++] = child;
        }
        o->v[k][i] = end;
        if (kinds[k].parent == CONF_NO_KIND) {
            const cfg_opt_t one = CFG_SEC(kinds[k].name, o->v[k], CFGF_NONE);
            const cfg_opt_t many =
                CFG_SEC(kinds[k].name, o->v[k], CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
            o->root[top++] = kinds[k].titled ? many : one;
        }
    }
    o->root[top] = end;
}

/* ---- filling ------------------------------------------------------------------------------------------- */
/* One more struct at the end of its kind's array in parent. */
static void *grow(void *parent, enum conf_kind kind, const char *title)
{
    const struct conf_array *a = &arrays[kind];
    char *v, *name;
    size_t n;
    assert(parent); /* the outline has no child outside a connection */
    memcpy(&v, (char *)parent + a->array, sizeof(v));
    memcpy(&n, (char *)parent + a->count, sizeof(n));
    if ((n & (n - 1)) == 0) { /* full at powers of two */
        char *grown = reallocarray(v, n ? n * 2 : 1, a->size);
        if (!grown)
            return NULL;
        v = grown;
        memcpy((char *)parent + a->array, &v, sizeof(v));
    }
    memset(v + n * a->size, 0, a->size);
    n++;
    memcpy((char *)parent + a->count, &n, sizeof(n));
    name = strdup(title);
    memcpy(v + (n - 1) * a->size, &name, sizeof(name));
    return name ? v + (n - 1) * a->size : NULL;
}

/* Values of a default: words separated by spaces for a list, else one text. */
static bool set_default(struct conf_ctx *x, const struct conf_place *at, const struct conf_key *key,
                        void *base)
{
    const char *words[CONF_KEYS_MAX];
    size_t n = 0;
    if (!conf_type_is_list(key->type))
        return conf_value_set(x, at, key, base, &key->pub.dflt, 1);
    char copy[512], *rest = copy;
    snprintf(copy, sizeof(copy), "%s", key->pub.dflt);
    for (char *w; (w = strsep(&rest, " "));)
        if (*w && n < SL_ARRAY_LEN(words))
            words[n++] = w;
    return conf_value_set(x, at, key, base, words, n);
}

/* All keys of a section; sec NULL: the section is absent, defaults only. */
static bool fill(struct conf_ctx *x, enum conf_kind kind, const struct conf_section *outline,
                 cfg_t *sec, void *base)
{
    size_t n;
    const struct conf_key *keys = conf_keys(kind, &n);
    for (size_t i = 0; i < n; i++) {
        const struct conf_key *key = &keys[i];
        cfg_opt_t *opt = sec ? cfg_getopt(sec, key->pub.key) : NULL;
        struct conf_place at = { .section = outline, .key = key->pub.key };
        bool given = outline && outline->key_line[i] && opt;
        if (given) {
            unsigned count = cfg_opt_size(opt);
            const char *few[16], **v = few;
            at.line = outline->key_line[i];
            if (count > SL_ARRAY_LEN(few) && !(v = calloc(count, sizeof(*v))))
                return false;
            for (unsigned j = 0; j < count; j++)
                v[j] = cfg_opt_getnstr(opt, j);
            bool ok = true;
            if (count == 0 && !conf_type_is_list(key->type))
                given = false; /* its statement was reported and blanked */
            else if (count == 0 && !key->pub.dflt)
                conf_problem(x, SL_CONFIG_VALUE, at.line, outline, at.key, "the list is empty");
            else
                ok = conf_value_set(x, &at, key, base, v, count);
            if (v != few)
                free(v);
            if (!ok)
                return false;
        }
        if (given)
            continue;
        at.line = outline ? outline->line : 0;
        if (key->pub.dflt) {
            if (!set_default(x, &at, key, base))
                return false;
        } else if (outline && !outline->key_line[i]) {
            conf_problem(x, SL_CONFIG_VALUE, at.line, outline, at.key,
                         "missing; it is required: %s", key->pub.text);
        }
    }
    return true;
}

/* Sections of the outline and those of libconfuse stand in the same order, kind by kind. */
static bool fill_all(struct conf_ctx *x, cfg_t *root, struct sl_config *c)
{
    unsigned seen[CONF_KINDS] = { 0 };
    bool there[CONF_KINDS] = { false };
    cfg_t *parent_sec = NULL;
    struct sl_conf_connection *parent = NULL;
    for (size_t i = 0; i < x->outline.n; i++) {
        const struct conf_section *s = &x->outline.v[i];
        bool top = kinds[s->kind].parent == CONF_NO_KIND;
        if (s->kind == CONF_connection)
            seen[CONF_child] = 0;
        cfg_t *sec = cfg_opt_getnsec(cfg_getopt(top ? root : parent_sec, kinds[s->kind].name),
                                     kinds[s->kind].titled ? seen[s->kind]++ : 0);
        void *base = c;
        if (kinds[s->kind].titled && !(base = grow(top ? (void *)c : parent, s->kind, s->title)))
            return false;
        if (s->kind == CONF_connection) {
            parent_sec = sec;
            parent = base;
        }
        there[s->kind] = true;
        if (!fill(x, s->kind, s, sec, base))
            return false;
    }
    for (unsigned k = 0; k < CONF_KINDS; k++)
        if (!kinds[k].titled && !there[k] && !fill(x, k, NULL, NULL, c))
            return false;
    if (c->audit_dir && !*c->audit_dir) {
        char *dir = NULL;
        if (asprintf(&dir, "%s/audit", c->state_dir) < 0)
            return false;
        free(c->audit_dir);
        c->audit_dir = dir;
    }
    return true;
}

static bool read_values(struct conf_ctx *x, struct sl_buf *clean, struct sl_config *c)
{
    struct confuse_opts *opts = calloc(1, sizeof(*opts));
    if (!opts)
        return false;
    pthread_mutex_lock(&confuse_lock);
    confuse_ctx = x;
    build_opts(opts);
    cfg_t *root = cfg_init(opts->root, CFGF_NONE);
    bool ok = root;
    unsigned before = x->count;
    if (root) {
        (void)cfg_set_error_function(root, confuse_error);
        if (cfg_parse_buf(root, (const char *)clean->p) == CFG_SUCCESS)
            ok = fill_all(x, root, c);
        else if (x->count == before) /* it failed without a word: out of memory */
            ok = false;
        cfg_free(root);
    }
    confuse_ctx = NULL;
    pthread_mutex_unlock(&confuse_lock);
    free(opts);
    return ok;
}

static struct sl_config *config_new(const char *file_name)
{
    struct sl_config *c = calloc(1, sizeof(*c));
    if (c && !(c->file = strdup(file_name))) {
        free(c);
        return NULL;
    }
    return c;
}

enum sl_rc sl_config_parse(struct sl_config **out, struct sl_bytes text, const char *file_name,
                           struct sl_buf *problems, struct sl_err *err)
{
    struct conf_ctx x = { .file = file_name, .problems = problems, .err = err };
    SL_AUTO_BUF clean = { 0 };
    struct sl_config *c = config_new(file_name);
    if (!c)
        return SL_FAIL_MEM(err);
    bool readable = conf_outline_read(&x, text, &clean);
    if (readable) {
        if (!read_values(&x, &clean, c))
            conf_problem(&x, SL_NO_MEMORY, 0, NULL, NULL, "out of memory");
        else
            conf_check(&x, c);
    }
    free(x.outline.v);
    if (x.count) {
        sl_config_free(c);
        return x.first;
    }
    *out = c;
    return SL_OK;
}

enum sl_rc sl_config_load(struct sl_config **out, const char *path, struct sl_buf *problems,
                          struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return SL_FAIL(err, errno == ENOENT ? SL_NOT_FOUND : SL_IO, "%s: %s", path,
                       strerror(errno));
    struct stat st;
    enum sl_rc rc = SL_OK;
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode))
        rc = SL_FAIL(err, SL_IO, "%s: is not a file that can be read", path);
    while (rc == SL_OK && text.len <= CONF_TEXT_MAX) {
        uint8_t chunk[16384];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = SL_FAIL(err, SL_IO, "%s: %s", path, strerror(errno));
        else if (got > 0 && !sl_buf_put(&text, sl_bytes(chunk, (size_t)got)))
            rc = SL_FAIL_MEM(err);
        if (got <= 0)
            break;
    }
    close(fd);
    if (rc != SL_OK)
        return rc;
    return sl_config_parse(out, sl_buf_bytes(&text), path, problems, err);
}

/* ---- the result ------------------------------------------------------------------------------------------ */
static void clear_fields(enum conf_kind kind, void *base)
{
    size_t n;
    const struct conf_key *keys = conf_keys(kind, &n);
    for (size_t i = 0; i < n; i++)
        conf_value_clear(&keys[i], base);
}

static void clear_array(enum conf_kind kind, void *parent)
{
    const struct conf_array *a = &arrays[kind];
    char *v, *name;
    size_t n;
    memcpy(&v, (char *)parent + a->array, sizeof(v));
    memcpy(&n, (char *)parent + a->count, sizeof(n));
    for (size_t i = 0; i < n; i++) {
        void *base = v + i * a->size;
        if (kind == CONF_connection)
            clear_array(CONF_child, base);
        clear_fields(kind, base);
        memcpy(&name, base, sizeof(name));
        free(name);
    }
    free(v);
}

void sl_config_free(struct sl_config *c)
{
    if (!c)
        return;
    for (unsigned k = 0; k < CONF_KINDS; k++) {
        if (!kinds[k].titled)
            clear_fields(k, c);
        else if (kinds[k].parent == CONF_NO_KIND)
            clear_array(k, c);
    }
    free(c->file);
    free(c);
}

#define LOOKUP(section)                                                            \
    const struct sl_conf_##section *sl_config_##section(const struct sl_config *c, \
                                                        const char *name)          \
    {                                                                              \
        for (size_t i = 0; i < c->section##_n; i++)                                \
            if (strcmp(c->section[i].name, name) == 0)                             \
                return &c->section[i];                                             \
        return NULL;                                                               \
    }
LOOKUP(trust)
LOOKUP(scep)
LOOKUP(identity)
LOOKUP(psk)
LOOKUP(directory)
LOOKUP(pool)
LOOKUP(connection)
