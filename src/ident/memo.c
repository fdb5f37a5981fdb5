/*
 * Remembered validations: a path that was found good with its revocation settled holds for the same
 * certificates and responses until the first of its times ends, or anything changes that could speak
 * against it (sl_decider.generation). What was refused, accepted in grace, or found while a source
 * that counts was silent is never remembered. The rules beside the certificates are the trust section's, which does not change.
 *
 * A table of fixed size with one place per hash; a later validation takes the place of an earlier one.
 * The whole key is compared, so a hash that a peer chose well costs others a search and no more.
 */
#include "src/ident/internal.h"

#include <stdlib.h>
#include <string.h>

struct memo {
    struct sl_buf key;
    uint64_t generation;
    int64_t from_utc_s, until_utc_s; /* until: not included */
    struct sl_path path;
    struct revocation_proof proof;
    json_t *found[6]; /* as members below */
};
static const char *const members[] = { "trust",      "path",       "policies",
                                       "candidates", "revocation", "revocation_mode" };

static void forget(struct memo *m)
{
    if (!m)
        return;
    sl_buf_clear(&m->key);
    sl_path_clear(&m->path);
    for (size_t i = 0; i < SL_ARRAY_LEN(members); i++)
        json_decref(m->found[i]);
    free(m);
}

void memo_free(struct sl_decider *d)
{
    for (size_t i = 0; d->memo && i < IDENT_MEMOS; i++)
        forget(d->memo[i]);
    free(d->memo);
    d->memo = NULL;
}

/* ---- the key: trust section, certificates, responses --------------------------------------------------- */
static void write_key(struct sl_wr *w, const struct sl_decision *x)
{
    sl_wr_u32(w, (uint32_t)x->trust->index);
    sl_wr_u32(w, (uint32_t)x->ask.cert_n);
    for (size_t i = 0; i < x->ask.cert_n; i++)
        sl_wr_part32(w, x->ask.cert[i]);
    for (size_t i = 0; i < x->ask.ocsp_n; i++)
        sl_wr_part32(w, x->ask.ocsp[i]);
}

/* The same as comparing with what write_key would write, without writing it. */
static bool key_is(struct sl_bytes key, const struct sl_decision *x)
{
    struct sl_rd r = sl_rd(key);
    if (sl_rd_u32(&r) != x->trust->index || sl_rd_u32(&r) != x->ask.cert_n)
        return false;
    for (size_t i = 0; i < x->ask.cert_n; i++)
        if (!sl_bytes_eq(sl_rd_part32(&r), x->ask.cert[i]))
            return false;
    for (size_t i = 0; i < x->ask.ocsp_n; i++)
        if (!sl_bytes_eq(sl_rd_part32(&r), x->ask.ocsp[i]))
            return false;
    return sl_rd_done(&r);
}

/* FNV-1a over the end of the first certificate, which is its signature. */
static struct memo **place_of(struct sl_decider *d, const struct sl_decision *x)
{
    struct sl_bytes c = x->ask.cert[0];
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    if (!d->memo && !(d->memo = calloc(IDENT_MEMOS, sizeof(*d->memo))))
        return NULL;
    for (size_t i = c.len > 32 ? c.len - 32 : 0; i < c.len; i++)
        h = (h ^ c.p[i]) * UINT64_C(0x100000001b3);
    return &d->memo[(h ^ h >> 32) % IDENT_MEMOS];
}

/* ---- keeping and recalling --------------------------------------------------------------------------------- */
static bool is_in_grace(const struct sl_decision *x)
{
    for (size_t i = 0; i + 1 < x->path.n; i++)
        if (x->check[i].stale || x->check[i].blind)
            return true;
    return false;
}

/* Some source that was asked gave nothing: it may speak again before the rest of this ends. */
static bool lacks_a_source(const struct sl_decision *x)
{
    for (size_t i = 0; i + 1 < x->path.n; i++)
        for (size_t k = 0; k < x->check[i].use_n; k++) {
            const struct source *s = x->check[i].use[k].source;
            if (s && s->rc != SL_OK)
                return true;
        }
    return false;
}

static void copy_path(struct sl_path *to, const struct sl_path *from)
{
    *to = *from;
    for (size_t i = 0; i < to->n; i++)
        (void)sl_cert_ref(to->cert[i]);
}

void memo_keep(struct sl_decision *x, struct sl_now now)
{
    struct memo **place = x->ask.cert_n ? place_of(x->decider, x) : NULL;
    SL_AUTO_BUF key = { 0 };
    struct sl_wr w = sl_wr_buf(&key, IDENT_MEMO_KEY);
    if (!place || !x->has_path || !x->has_revocation || is_in_grace(x) || lacks_a_source(x))
        return;
    write_key(&w, x);
    struct memo *m = sl_wr_ok(&w) ? calloc(1, sizeof(*m)) : NULL;
    if (!m)
        return; /* too long to be remembered, or no memory */
    forget(*place);
    *place = m;
    m->key = key;
    key = (struct sl_buf){ 0 };
    m->generation = x->decider->generation;
    m->from_utc_s = now.utc_s;
    m->until_utc_s = x->reask_utc_s;
    copy_path(&m->path, &x->path);
    m->proof = x->revocation_proof;
    for (size_t i = 0; i < SL_ARRAY_LEN(members); i++)
        m->found[i] = json_incref(json_object_get(x->evidence, members[i]));
}

/* Entries of "revocation" with their age as of now; the rest of each is shared. */
static json_t *aged(const json_t *list, int64_t by_s)
{
    json_t *out = json_array(), *o;
    size_t i;
    json_array_foreach(list, i, o)
    {
        json_t *copy = json_copy(o);
        const json_t *age = json_object_get(o, "age_s");
        if (copy && age)
            (void)json_object_set_new(copy, "age_s", json_integer(json_integer_value(age) + by_s));
        (void)json_array_append_new(out, copy);
    }
    return out;
}

bool memo_recall(struct sl_decision *x, struct sl_now now)
{
    struct memo **place = x->ask.cert_n && !x->finder ? place_of(x->decider, x) : NULL;
    const struct memo *m = place ? *place : NULL;
    if (!m || m->generation != x->decider->generation || now.utc_s < m->from_utc_s ||
        now.utc_s >= m->until_utc_s || !key_is(sl_buf_bytes(&m->key), x))
        return false;
    copy_path(&x->path, &m->path);
    x->has_path = &x->path;
    x->revocation_proof = m->proof;
    x->has_revocation = &x->revocation_proof;
    x->reask_utc_s = m->until_utc_s;
    for (size_t i = 0; i < SL_ARRAY_LEN(members); i++) {
        if (!m->found[i])
            continue;
        json_t *v = strcmp(members[i], "revocation") == 0 && now.utc_s != m->from_utc_s
                        ? aged(m->found[i], now.utc_s - m->from_utc_s)
                        : json_incref(m->found[i]);
        (void)json_object_set_new(x->evidence, members[i], v);
    }
    x->recalled = true;
    return true;
}
