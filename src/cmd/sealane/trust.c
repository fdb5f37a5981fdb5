/* trust status: how fresh the revocation data of each CA is, and how long its peers are still let in. */
#include "src/cmd/sealane/cli.h"

#include <inttypes.h>
#include <string.h>

static int64_t number(const json_t *o, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(o, key));
}

/* A CA whose peers are refused now is not well. */
enum cli_exit judge_trust_status(const json_t *data)
{
    size_t i, k;
    json_t *t, *ca;
    json_array_foreach(json_object_get(data, "trust"), i, t)
    {
        json_array_foreach(json_object_get(t, "cas"), k, ca)
        {
            const json_t *left = json_object_get(ca, "seconds_until_refused");
            if (json_is_integer(left) && json_integer_value(left) == 0)
                return CLI_NOT_WELL;
        }
    }
    return CLI_OK;
}

static void show_source(FILE *f, const json_t *s)
{
    char buf[64];
    fprintf(f, "    %-7s ", field_string(s, "kind"));
    out_text(f, *field_string(s, "uri") ? field_string(s, "uri") : field_string(s, "file"));
    if (*field_string(s, "cert")) {
        fputs(" for ", f);
        out_text(f, field_string(s, "cert"));
    }
    fputc('\n', f);
    if (*field_string(s, "this_update"))
        fprintf(f, "            thisUpdate %s, nextUpdate %s, %s old%s\n",
                field_string(s, "this_update"), field_string(s, "next_update"),
                out_duration(buf, sizeof(buf), number(s, "age_s")),
                json_is_false(json_object_get(s, "fresh")) ? ", no longer fresh" : "");
    else
        fputs("            nothing is held\n", f);
    if (*field_string(s, "error")) {
        fprintf(f, "            %s", field_string(s, "reason"));
        if (*field_string(s, "failing_since"))
            fprintf(f, " since %s", field_string(s, "failing_since"));
        fputs(": ", f);
        out_text(f, field_string(s, "error"));
        fputc('\n', f);
    }
}

static void show_ca(FILE *f, const json_t *ca)
{
    const json_t *left = json_object_get(ca, "seconds_until_refused");
    char buf[64];
    size_t i;
    json_t *s;
    fputs("  ", f);
    out_text(f, field_string(ca, "ca"));
    if (!json_is_integer(left))
        fputs(": revocation is not asked\n", f);
    else if (json_integer_value(left) == 0)
        fputs(": PEERS ARE REFUSED, no status counts any more\n", f);
    else
        fprintf(f, ": peers are refused in %s (%" PRId64 " s) unless something newer comes\n",
                out_duration(buf, sizeof(buf), (int64_t)json_integer_value(left)),
                (int64_t)json_integer_value(left));
    json_array_foreach(json_object_get(ca, "sources"), i, s) show_source(f, s);
}

void show_trust_status(struct cli *cli, const json_t *args, const json_t *data)
{
    FILE *f = cli->out;
    size_t i, k;
    json_t *t, *ca;
    char buf[1024];
    if (json_is_true(json_object_get(args, "metrics"))) {
        show_trust_metrics(f, data);
        return;
    }
    if (json_array_size(json_object_get(data, "trust")) == 0)
        fputs("no trust section is configured\n", f);
    json_array_foreach(json_object_get(data, "trust"), i, t)
    {
        fprintf(f, "trust %s, revocation %s, anchors: ", field_string(t, "name"),
                field_string(t, "revocation"));
        out_text(f, field_text(buf, sizeof(buf), t, "anchors"));
        fputc('\n', f);
        if (json_array_size(json_object_get(t, "cas")) == 0)
            fputs("  no status of any certificate was asked for yet\n", f);
        json_array_foreach(json_object_get(t, "cas"), k, ca) show_ca(f, ca);
        json_array_foreach(json_object_get(t, "certificates"), k, ca) show_source(f, ca);
    }
}
