/* See directory.h. */
#include "sim/directory.h"

#include <stdlib.h>
#include <string.h>

#define RESULTS_MAX 2 /* what the fetch process asks for */

static void put_entry(struct sl_buf *out, const struct sl_entry *e)
{
    if (!sl_buf_printf(out, "dn: %s\n", e->dn))
        abort();
    for (size_t i = 0; i < e->n; i++)
        for (size_t k = 0; k < e->attr[i].n; k++)
            if (!sl_buf_printf(out, "%s: %.*s\n", e->attr[i].name, (int)e->attr[i].value[k].len,
                               (const char *)e->attr[i].value[k].p))
                abort();
    if (!sl_buf_put_str(out, "\n"))
        abort();
}

static void serve(void *ctx, const struct sim_request *q, struct sim_reply *r)
{
    struct sim_directory *d = ctx;
    struct sl_err err = { 0 };
    struct sl_entries all = { 0 }, found = { 0 };
    SL_AUTO(sl_filter) *filter = NULL;
    char *text = sl_strdup_bytes(q->body), *save = NULL;
    const char *base = text ? strtok_r(text, "\n", &save) : NULL;
    const char *scope = strtok_r(NULL, "\n", &save), *rule = strtok_r(NULL, "\n", &save);
    if (!base || !scope || !rule || sl_filter_parse(&filter, rule, &err) != SL_OK ||
        sl_ldif_read(&all, sl_str(d->ldif), "simulated directory", &err) != SL_OK ||
        sl_ldif_search(&found, &all, base, scope, filter, RESULTS_MAX, &err) != SL_OK)
        abort();
    for (size_t i = 0; i < found.n; i++)
        put_entry(&r->body, &found.v[i]);
    sl_entries_clear(&all);
    sl_entries_clear(&found);
    free(text);
}

void sim_directory_init(struct sim_directory *d, struct sim_servers *servers, const char *uri,
                        const char *ldif)
{
    *d = (struct sim_directory){ .ldif = ldif };
    d->server.serve = serve;
    d->server.ctx = d;
    d->server.slow_ns = SL_NS_PER_MS;
    sim_servers_add(servers, &d->server, uri);
}

void sim_directory_question(struct sl_buf *out, const char *base, const char *scope,
                            const char *filter)
{
    if (!sl_buf_printf(out, "%s\n%s\n%s", base, scope, filter))
        abort();
}

void sim_directory_answer(struct sl_entries *out, struct sl_bytes body)
{
    struct sl_err err = { 0 };
    if (body.len && sl_ldif_read(out, body, "answer of the simulated directory", &err) != SL_OK)
        abort();
}
