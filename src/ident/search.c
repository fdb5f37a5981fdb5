/*
 * Directory searches: the LDIF file answers at once; an LDAP search is a question to the fetch
 * process, asked once however many decisions wait, its answer kept for cache_s and, in mode grace,
 * usable for grace_s more while the server is away.
 */
#include "src/ident/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t bucket(const struct directory *dir, const char *filter)
{
    size_t h = (size_t)(uintptr_t)dir >> 4; /* FNV-1a over the text */
    for (const char *s = filter; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211U;
    return h % IDENT_BUCKETS;
}

void search_free(struct search *s)
{
    if (!s)
        return;
    sl_entries_clear(&s->found);
    free(s->filter);
    free(s);
}

static void evict(struct sl_decider *d)
{
    struct search **oldest = NULL;
    for (size_t b = 0; b < IDENT_BUCKETS; b++)
        for (struct search **p = &d->search[b]; *p; p = &(*p)->next)
            if (!(*p)->question && !(*p)->waiting &&
                (!oldest || (*p)->used_ns < (*oldest)->used_ns))
                oldest = p;
    if (!oldest)
        return;
    struct search *s = *oldest;
    *oldest = s->next;
    d->search_n--;
    search_free(s);
}

enum sl_rc search_get(struct search **out, struct sl_decider *d, struct directory *dir,
                      const char *filter, struct sl_now now, struct sl_err *err)
{
    size_t b = bucket(dir, filter);
    struct search *s = d->search[b];
    while (s && (s->dir != dir || strcmp(s->filter, filter) != 0))
        s = s->next;
    if (!s) {
        if (d->search_n >= IDENT_SEARCHES_MAX && !d->busy)
            evict(d);
        s = calloc(1, sizeof(*s));
        char *copy = strdup(filter);
        if (!s || !copy) {
            free(s);
            free(copy);
            return SL_FAIL_MEM(err);
        }
        s->dir = dir;
        s->filter = copy;
        s->bucket = b;
        s->next = d->search[b];
        d->search[b] = s;
        d->search_n++;
    }
    s->used_ns = now.mono_ns;
    *out = s;
    return SL_OK;
}

static void failed(struct search *s, enum sl_rc rc, const char *text, struct sl_now now)
{
    int64_t wait_s = IDENT_BACKOFF_MIN_S;
    for (unsigned i = 0; i < s->failures && wait_s < IDENT_BACKOFF_MAX_S; i++)
        wait_s *= 2;
    s->failures++;
    s->retry_ns =
        now.mono_ns + (wait_s < IDENT_BACKOFF_MAX_S ? wait_s : IDENT_BACKOFF_MAX_S) * SL_NS_PER_S;
    s->rc = rc;
    snprintf(s->error, sizeof(s->error), "%s", text);
}

/* entries are copied */
static void succeeded(struct sl_decider *d, struct search *s, struct sl_entries *entries,
                      struct sl_now now)
{
    if (s->have && !sl_entries_eq(&s->found, entries))
        d->changed = true;
    sl_entries_clear(&s->found);
    s->found = *entries;
    *entries = (struct sl_entries){ 0 };
    s->have = true;
    s->failures = 0;
    s->retry_ns = 0;
    s->rc = SL_OK;
    s->error[0] = '\0';
    s->found_utc_s = now.utc_s;
    s->fresh_ns = now.mono_ns + s->dir->conf->cache_s * SL_NS_PER_S;
}

static void search_file(struct sl_decider *d, struct search *s, struct sl_now now)
{
    struct sl_err err;
    sl_err_reset(&err);
    struct sl_entries found = { 0 };
    SL_AUTO(sl_filter) *f = NULL;
    const struct sl_conf_directory *conf = s->dir->conf;
    if (!s->dir->loaded)
        (void)SL_FAIL(&err, SL_DIR_UNAVAILABLE, "%s was not read", conf->file);
    else if (sl_filter_parse(&f, s->filter, &err) == SL_OK &&
             sl_ldif_search(&found, &s->dir->all, conf->base, conf->scope, f, 2, &err) == SL_OK)
        sl_err_reset(&err);
    if (err.rc == SL_OK) {
        succeeded(d, s, &found, now);
        s->fresh_ns = now.mono_ns; /* asking the file again costs nothing */
    } else {
        failed(s, err.rc, sl_err_text(&err), now);
        s->retry_ns = now.mono_ns;
    }
    sl_entries_clear(&found);
}

/*
 * Sees to it that s->found is fresh. True: it is being asked for. False: fresh now, or failed with
 * s->rc.
 */
bool search_ask(struct sl_decider *d, struct search *s, struct sl_now now)
{
    if (s->question)
        return true;
    if (s->dir->conf->type == SL_DIRECTORY_LDIF) {
        search_file(d, s, now);
        return false;
    }
    if ((s->have && now.mono_ns < s->fresh_ns) || now.mono_ns < s->retry_ns)
        return false;
    s->question = ++d->last_question;
    s->asked = false;
    d->to_ask++;
    s->until_ns = now.mono_ns + (s->dir->conf->timeout_ms + 1000) * SL_NS_PER_MS;
    decider_timer(d, s->until_ns);
    return true;
}

void search_answer(struct sl_decider *d, struct search *s, enum sl_rc rc, const char *text,
                   const struct sl_entries *entries, struct sl_now now)
{
    if (!s->asked)
        d->to_ask--;
    s->question = 0;
    struct sl_entries copy = { 0 };
    for (size_t i = 0; rc == SL_OK && entries && i < entries->n; i++) {
        const struct sl_entry *from = &entries->v[i];
        struct sl_entry *e = sl_entries_new(&copy, sl_str(from->dn));
        for (size_t k = 0; e && k < from->n; k++)
            for (size_t j = 0; e && j < from->attr[k].n; j++)
                if (!sl_entry_put(e, sl_str(from->attr[k].name),
                                  sl_buf_bytes(&from->attr[k].value[j])))
                    e = NULL;
        if (!e) {
            rc = SL_NO_MEMORY;
            text = NULL;
        }
    }
    if (rc == SL_OK)
        succeeded(d, s, &copy, now);
    else
        failed(s, rc == SL_DIR_BAD_ANSWER ? rc : SL_DIR_UNAVAILABLE,
               text && *text ? text : sl_rc_text(rc), now);
    sl_entries_clear(&copy);
    decider_wake(d, &s->waiting, now);
}

void search_tick(struct sl_decider *d, struct search *s, struct sl_now now)
{
    if (s->question && now.mono_ns >= s->until_ns)
        search_answer(d, s, SL_TIMEOUT, "no answer within the deadline", NULL, now);
    if (s->question)
        decider_timer(d, s->until_ns);
}
