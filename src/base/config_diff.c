/*
 * What differs between two configurations. The key table says where each value stands and of what
 * type it is, so that a key that is added to the table is compared without a word here; what a change
 * of it does is found in the lists below, and the default of each section is the cautious one.
 */
#include "sealane/config_diff.h"

#include "src/base/config_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- effects ----------------------------------------------------------------------------------- */
struct key_name {
    const char *section, *key;
};
/*
 * Keys that differ from the rest of their section: of those whose other keys need a restart, and of
 * connections and their children, whose other keys are what was negotiated or who may connect. trust
 * and directory are here because the live peers are decided about again.
 */
static const struct key_name live[] = {
    { "daemon", "log_level" },
    { "ike", "max_ike_sas" },
    { "ike", "max_half_open" },
    { "ike", "max_half_open_per_source" },
    { "ike", "cookie_threshold" },
    { "ike", "half_open" },
    { "authority", "base_url" },
    { "authority", "profile_eku" },
    { "authority", "lifetime" },
    { "authority", "crl_interval" },
    { "authority", "crl_lifetime" },
    { "authority", "ocsp_lifetime" },
    { "authority", "manual_approval" },
    { "authority", "renewal" },
    { "authority", "legacy" },
    { "connection", "trust" },
    { "connection", "directory" },
    { "connection", "fragmentation" },
    { "connection", "fragment_size" },
    { "connection", "send_certreq" },
    { "connection", "send_cert_always" },
    { "connection", "ocsp" },
    { "connection", "rekey" },
    { "connection", "reauth" },
    { "connection", "dpd" },
    { "connection", "keepalive" },
    { "connection", "retransmit" },
    { "connection", "retransmit_tries" },
    { "child", "rekey" },
    { "child", "rekey_bytes" },
    { "child", "rekey_packets" },
    { "child", "replay_window" },
    { "child", "start" },
};

static enum sl_config_effect effect_of(enum conf_kind kind, const char *key)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(live); i++)
        if (!strcmp(live[i].section, conf_kind(kind)->name) && !strcmp(live[i].key, key))
            return SL_CONFIG_LIVE;
    switch (kind) {
    case CONF_trust:
    case CONF_scep:
    case CONF_identity:
    case CONF_psk:
    case CONF_directory:
    case CONF_rule:
    case CONF_shunt:
    case CONF_fetch:
        return SL_CONFIG_LIVE;
    case CONF_connection:
    case CONF_child:
        return SL_CONFIG_SAS;
    default:
        return SL_CONFIG_RESTART;
    }
}

enum sl_config_effect sl_config_key_effect(const char *section, const char *key)
{
    for (unsigned k = 0; k < CONF_KINDS; k++)
        if (!strcmp(conf_kind(k)->name, section))
            return effect_of(k, key);
    return SL_CONFIG_RESTART;
}

/* ---- values ------------------------------------------------------------------------------------ */
static bool same_text(const char *a, const char *b)
{
    const char *x, *y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return !strcmp(x ? x : "", y ? y : "");
}

static bool same_strings(const char *a, const char *b)
{
    struct sl_conf_strings x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    bool same = x.n == y.n;
    for (size_t i = 0; same && i < x.n; i++)
        same = !strcmp(x.v[i], y.v[i]);
    return same;
}

static bool same_suite(const struct sl_suite *a, const struct sl_suite *b)
{
    return a->encr == b->encr && a->key_bits == b->key_bits && a->integ == b->integ;
}

static bool same_addke(const struct sl_conf_addke *a, const struct sl_conf_addke *b)
{
    return a->may_skip == b->may_skip && !memcmp(a->ke, b->ke, sizeof(a->ke));
}

static bool same_element(enum conf_type type, const void *a, const void *b)
{
    if (type == CONF_TS_LIST || type == CONF_TS_DYNAMIC)
        return sl_ts_eq(a, b);
    if (type == CONF_IKE) {
        const struct sl_conf_ike_proposal *x = a, *y = b;
        return same_suite(&x->suite, &y->suite) && x->prf == y->prf && x->ke == y->ke &&
               same_addke(&x->add, &y->add);
    }
    const struct sl_conf_esp_proposal *x = a, *y = b;
    return same_suite(&x->suite, &y->suite) && x->ke == y->ke && same_addke(&x->add, &y->add);
}

static bool same_values(const struct conf_key *key, const void *a, const void *b)
{
    const char *x, *y;
    size_t n, m;
    size_t size = key->type == CONF_TS_LIST || key->type == CONF_TS_DYNAMIC ? sizeof(struct sl_ts)
                  : key->type == CONF_IKE ? sizeof(struct sl_conf_ike_proposal)
                                          : sizeof(struct sl_conf_esp_proposal);
    memcpy(&x, (const char *)a + key->offset, sizeof(x));
    memcpy(&y, (const char *)b + key->offset, sizeof(y));
    memcpy(&n, (const char *)a + key->count_offset, sizeof(n));
    memcpy(&m, (const char *)b + key->count_offset, sizeof(m));
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++)
        same = same_element(key->type, x + i * size, y + i * size);
    return same;
}

static bool same_id(const char *a, const char *b)
{
    struct sl_id x, y; /* letters' case counts here: it is sent as it is written */
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x.type == y.type && x.len == y.len && !memcmp(x.data, y.data, x.len);
}

static bool same_value(const struct conf_key *key, const void *a, const void *b)
{
    const char *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;
    if (conf_type_is_list(key->type))
        return key->count_offset ? same_values(key, a, b) : same_strings(x, y);
    switch (key->type) {
    case CONF_TEXT:
    case CONF_REF:
    case CONF_PATH:
    case CONF_URL:
    case CONF_FINGERPRINT:
    case CONF_KEYALG:
    case CONF_CHOICE_TEXT:
        return same_text(x, y);
    case CONF_ADDR:
        return sl_addr_eq((const void *)x, (const void *)y);
    case CONF_ENDPOINT:
        return sl_endpoint_eq((const void *)x, (const void *)y);
    case CONF_TS:
        return sl_ts_eq((const void *)x, (const void *)y);
    case CONF_ID:
        return same_id(x, y);
    default:
        return !memcmp(x, y, key->size);
    }
}

/* ---- rows -------------------------------------------------------------------------------------- */
struct place { /* of the sections compared */
    const char *connection, *name;
};

static bool add(struct sl_config_diff *d, enum sl_config_how how, enum sl_config_effect effect,
                enum conf_kind kind, const char *key, const struct place *at)
{
    if ((d->n & (d->n - 1)) == 0) { /* full at powers of two */
        struct sl_config_change *v = reallocarray(d->v, d->n ? d->n * 2 : 1, sizeof(*v));
        if (!v)
            return false;
        d->v = v;
    }
    struct sl_config_change *c = &d->v[d->n++];
    *c = (struct sl_config_change){
        .how = how, .effect = effect, .section = conf_kind(kind)->name, .key = key
    };
    snprintf(c->connection, sizeof(c->connection), "%s", at->connection);
    snprintf(c->name, sizeof(c->name), "%s", at->name);
    return true;
}

static bool compare_keys(struct sl_config_diff *d, enum conf_kind kind, const void *a,
                         const void *b, const struct place *at)
{
    size_t n;
    const struct conf_key *keys = conf_keys(kind, &n);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        if (!same_value(&keys[i], a, b))
            ok = add(d, SL_CONFIG_CHANGED, effect_of(kind, keys[i].pub.key), kind, keys[i].pub.key,
                     at);
    return ok;
}

static const char *name_of(const void *section)
{
    const char *name;
    memcpy(&name, section, sizeof(name));
    return name;
}

/* The section of that name; it stands at the same place more often than not. */
static const void *find(const char *v, size_t n, size_t size, size_t guess, const char *name)
{
    if (guess < n && !strcmp(name_of(v + guess * size), name))
        return v + guess * size;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name_of(v + i * size), name))
            return v + i * size;
    return NULL;
}

static bool order_counts(enum conf_kind kind)
{
    return kind == CONF_rule || kind == CONF_connection || kind == CONF_shunt;
}

/* Of all sections of a kind, in parents a and b. connection: the parent's name, "" at top level. */
static bool compare_kind(struct sl_config_diff *d, enum conf_kind kind, const void *a,
                         const void *b, const char *connection)
{
    size_t n, m, size;
    const char *old = conf_sections(kind, a, &n, &size);
    const char *fresh = conf_sections(kind, b, &m, &size);
    /* a connection and a child take their SAs with them; leases stand in the pools of the start */
    enum sl_config_effect gone =
        kind == CONF_connection || kind == CONF_child ? SL_CONFIG_SAS : SL_CONFIG_LIVE;
    enum sl_config_effect come = SL_CONFIG_LIVE;
    if (kind == CONF_pool)
        gone = come = SL_CONFIG_RESTART;
    bool ok = true, moved = false;
    const char *last = NULL;
    for (size_t i = 0; ok && i < n; i++) {
        const char *name = name_of(old + i * size);
        if (!find(fresh, m, size, i, name))
            ok = add(d, SL_CONFIG_REMOVED, gone, kind, "", &(struct place){ connection, name });
    }
    for (size_t i = 0; ok && i < m; i++) {
        const char *now = fresh + i * size, *name = name_of(now);
        const struct place at = { connection, name };
        const char *was = find(old, n, size, i, name);
        if (!was) {
            ok = add(d, SL_CONFIG_ADDED, come, kind, "", &at);
            continue;
        }
        moved = moved || (last && was < last);
        last = was;
        ok = compare_keys(d, kind, was, now, &at) &&
             (kind != CONF_connection || compare_kind(d, CONF_child, was, now, name));
    }
    if (ok && moved && order_counts(kind))
        ok = add(d, SL_CONFIG_REORDERED, SL_CONFIG_LIVE, kind, "", &(struct place){ "", "" });
    return ok;
}

enum sl_rc sl_config_compare(struct sl_config_diff *out, const struct sl_config *old,
                             const struct sl_config *fresh, struct sl_err *err)
{
    bool ok = true;
    *out = (struct sl_config_diff){ 0 };
    for (unsigned k = 0; ok && k < CONF_KINDS; k++) {
        if (!conf_kind(k)->titled)
            ok = compare_keys(out, k, old, fresh, &(struct place){ "", "" });
        else if (conf_kind(k)->parent == CONF_NO_KIND)
            ok = compare_kind(out, k, old, fresh, "");
    }
    if (ok)
        return SL_OK;
    sl_config_diff_clear(out);
    return SL_FAIL_MEM(err);
}

void sl_config_diff_clear(struct sl_config_diff *d)
{
    free(d->v);
    *d = (struct sl_config_diff){ 0 };
}

static enum sl_config_effect largest(enum conf_kind kind, const void *a, const void *b)
{
    size_t n;
    const struct conf_key *keys = conf_keys(kind, &n);
    enum sl_config_effect most = SL_CONFIG_LIVE;
    for (size_t i = 0; i < n; i++) {
        enum sl_config_effect e = effect_of(kind, keys[i].pub.key);
        if (e > most && !same_value(&keys[i], a, b))
            most = e;
    }
    return most;
}

enum sl_config_effect sl_config_connection_effect(const struct sl_conf_connection *a,
                                                  const struct sl_conf_connection *b)
{
    return largest(CONF_connection, a, b);
}

enum sl_config_effect sl_config_child_effect(const struct sl_conf_child *a,
                                             const struct sl_conf_child *b)
{
    return largest(CONF_child, a, b);
}

const char *sl_config_change_text(char buf[SL_CONFIG_CHANGE_TEXT], const struct sl_config_change *c)
{
    static const char *const words[] = { [SL_CONFIG_ADDED] = "added",
                                         [SL_CONFIG_REMOVED] = "removed",
                                         [SL_CONFIG_CHANGED] = "changed",
                                         [SL_CONFIG_REORDERED] = "in another order" };
    const char *of = *c->connection ? "connection " : "", *comma = *c->connection ? ", " : "";
    snprintf(buf, SL_CONFIG_CHANGE_TEXT, "%s%s%s%s%s%s%s%s %s", of, c->connection, comma,
             c->section, *c->name ? " " : "", c->name, *c->key ? ": " : "", c->key, words[c->how]);
    return buf;
}
