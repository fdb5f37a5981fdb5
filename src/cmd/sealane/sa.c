/* up, down, rekey, sas: connections and their SAs. */
#include "src/cmd/sealane/cli.h"

#include <string.h>

void show_done(struct cli *cli, const json_t *args, const json_t *data)
{
    const char *child = field_string(args, "child"), *text = field_string(data, "text");
    out_text(cli->out, field_string(args, "connection"));
    if (*child) {
        fputs(" child ", cli->out);
        out_text(cli->out, child);
    }
    fputs(": ", cli->out);
    out_text(cli->out, *text ? text : "done");
    fputc('\n', cli->out);
}

/* ", established 2h 5m ago" and the like, nothing when the member is absent. */
static void duration(FILE *f, const char *before, const json_t *o, const char *key,
                     const char *after)
{
    const json_t *v = json_object_get(o, key);
    char text[48];
    if (json_is_integer(v))
        fprintf(f, "%s%s%s", before, out_duration(text, sizeof(text), json_integer_value(v)),
                after);
}

static void part(FILE *f, const char *before, const json_t *o, const char *key, const char *after)
{
    char buf[1024];
    const char *text = field_text(buf, sizeof(buf), o, key);
    if (!*text)
        return;
    fputs(before, f);
    out_text(f, text);
    fputs(after, f);
}

static void show_traffic(FILE *f, const json_t *child, const char *label, const char *packets,
                         const char *bytes)
{
    char n[32];
    if (!json_object_get(child, packets))
        return;
    fprintf(f, "    %-9s %" JSON_INTEGER_FORMAT " packets, %s", label,
            json_integer_value(json_object_get(child, packets)),
            out_bytes(n, sizeof(n), json_integer_value(json_object_get(child, bytes))));
    fputc('\n', f);
}

/* {"replayed": 2, "late": 0} as "replayed 2"; nothing when all are 0. */
static void show_drops(FILE *f, const json_t *drops)
{
    const char *key;
    json_t *v;
    bool first = true;
    json_object_foreach((json_t *)drops, key, v)
    {
        if (json_integer_value(v) <= 0)
            continue;
        fputs(first ? "    dropped   " : ", ", f);
        out_text(f, key);
        fprintf(f, " %" JSON_INTEGER_FORMAT, json_integer_value(v));
        first = false;
    }
    if (!first)
        fputc('\n', f);
}

static void show_child(FILE *f, const json_t *child)
{
    fputs("  child ", f);
    out_text(f, field_string(child, "name"));
    part(f, " #", child, "id", "");
    part(f, "  ", child, "state", "");
    duration(f, ", ", child, "age_s", " old");
    duration(f, ", new keys in ", child, "rekey_in_s", "");
    fputc('\n', f);
    fputs("    traffic   ", f);
    part(f, "", child, "ts_local", "");
    part(f, " === ", child, "ts_remote", "\n");
    fputs("    ESP       ", f);
    part(f, "", child, "suite", "");
    part(f, ", SPI in ", child, "spi_in", "");
    part(f, ", out ", child, "spi_out", "");
    fputs(json_is_true(json_object_get(child, "esn")) ? ", ESN" : "", f);
    fputs(json_is_true(json_object_get(child, "udp_encap")) ? ", in UDP" : "", f);
    fputc('\n', f);
    show_traffic(f, child, "in", "packets_in", "bytes_in");
    show_traffic(f, child, "out", "packets_out", "bytes_out");
    show_drops(f, json_object_get(child, "drops"));
}

static void show_sa(FILE *f, const json_t *sa)
{
    out_text(f, field_string(sa, "connection"));
    part(f, " #", sa, "id", "");
    part(f, "  ", sa, "state", "");
    duration(f, ", ", sa, "age_s", " old");
    duration(f, ", new keys in ", sa, "rekey_in_s", "");
    fputs(json_is_true(json_object_get(sa, "initiator")) ? ", we called\n" : "\n", f);
    part(f, "  local       ", sa, "local", "");
    part(f, "  ", sa, "id_local", "");
    fputc('\n', f);
    part(f, "  remote      ", sa, "remote", "");
    part(f, "  ", sa, "id_remote", "");
    fputs(json_is_true(json_object_get(sa, "natt")) ? ", behind NAT or encapsulated\n" : "\n", f);
    part(f,
         json_integer_value(json_object_get(sa, "version")) == 1 ? "  IKEv1       "
                                                                 : "  IKEv2       ",
         sa, "suite", "");
    part(f, " ", sa, "prf", "");
    part(f, " ", sa, "ke", "\n");
    part(f, "  accepted    audit record ", sa, "record", "\n");
    part(f, "  our address ", sa, "virtual_local", "\n");
    part(f, "  its address ", sa, "virtual_remote", "\n");
    part(f, "  DNS         ", sa, "dns", "\n");
    part(f, "  for names   ", sa, "split_dns", "\n");
    part(f, "  tag         ", sa, "tag", "\n");
    size_t i;
    json_t *child;
    json_array_foreach(json_object_get(sa, "children"), i, child) show_child(f, child);
}

static void show_sas(struct cli *cli, const json_t *args, const json_t *data)
{
    const json_t *sas = json_is_array(data) ? data : json_object_get(data, "sas");
    const char *only = field_string(args, "connection");
    size_t i, shown = 0;
    json_t *sa;
    json_array_foreach(sas, i, sa)
    {
        if (*only && !field_is(sa, "connection", only))
            continue;
        if (shown++)
            fputc('\n', cli->out);
        show_sa(cli->out, sa);
    }
    if (!shown)
        fputs(*only ? "no SA of this connection\n" : "no SA\n", cli->out);
}

/* ---- counters ----------------------------------------------------------------------------------- */
/* Copies the datapath's counters of a child SA into what IKE says of it. */
static void add_counters(json_t *child, const json_t *counted)
{
    static const char *const reasons[] = { "replayed", "late",    "integrity", "malformed",
                                           "policy",   "too_big", "exhausted" };
    const json_t *in = json_object_get(counted, "in"), *out = json_object_get(counted, "out");
    json_t *drops = json_object();
    for (size_t i = 0; i < SL_ARRAY_LEN(reasons); i++) {
        json_int_t n = json_integer_value(json_object_get(in, reasons[i])) +
                       json_integer_value(json_object_get(out, reasons[i]));
        (void)json_object_set_new(drops, reasons[i], json_integer(n));
    }
    (void)json_object_set(child, "packets_in", json_object_get(in, "packets"));
    (void)json_object_set(child, "bytes_in", json_object_get(in, "bytes"));
    (void)json_object_set(child, "packets_out", json_object_get(out, "packets"));
    (void)json_object_set(child, "bytes_out", json_object_get(out, "bytes"));
    (void)json_object_set_new(child, "drops", drops);
}

static void merge(json_t *sas, const json_t *counted)
{
    size_t i, j, k;
    json_t *sa, *child, *c;
    json_array_foreach(sas, i, sa) json_array_foreach(json_object_get(sa, "children"), j, child)
        json_array_foreach(
            counted, k, c) if (json_equal(json_object_get(c, "id"), json_object_get(child, "id")))
            add_counters(child, c);
}

/* IKE knows the SAs, the datapath their counters. */
enum cli_exit run_sas(struct cli *cli, const struct command *cmd, const json_t *args)
{
    struct sl_err err = { 0 }, counters_err = { 0 };
    json_t *data = NULL, *counted = NULL, *none = json_object();
    enum cli_exit result = CLI_OK;
    if (client_ask(cli, "sas", args, 0, NULL, &data, &err) != SL_OK) {
        result = cli_fail(cli, cmd, &err, data);
    } else {
        if (client_ask(cli, "esp", none, 0, NULL, &counted, &counters_err) == SL_OK)
            merge(json_object_get(data, "sas"), json_object_get(counted, "children"));
        else if (!cli->json)
            fprintf(cli->err, "no counters: %s\n", sl_err_text(&counters_err));
        if (cli->json)
            out_json(cli->out, data ? data : none);
        else
            show_sas(cli, args, data);
    }
    json_decref(none);
    json_decref(data);
    json_decref(counted);
    return result;
}

void show_esp(struct cli *cli, const json_t *args, const json_t *data)
{
    static const struct column columns[] = {
        { "CONNECTION", "connection" }, { "CHILD", "child" },   { "SPI IN", "spi_in" },
        { "SPI OUT", "spi_out" },       { "IN", "packets_in" }, { "OUT", "packets_out" },
        { "REPLAYED", "replayed" },     { "LATE", "late" },     { "INTEGRITY", "integrity" },
        { "MALFORMED", "malformed" },   { "POLICY", "policy" }, { "TOO BIG", "too_big" },
    };
    (void)args;
    json_t *rows = json_deep_copy(json_object_get(data, "children")), *row, *v;
    const char *key;
    size_t i;
    bool any = false;
    json_array_foreach(rows, i, row)
    {
        add_counters(row, row);
        (void)json_object_update(row, json_object_get(row, "drops"));
    }
    if (json_array_size(rows))
        out_table(cli->out, columns, SL_ARRAY_LEN(columns), rows);
    else
        fputs("no child SA\n", cli->out);
    json_decref(rows);
    json_object_foreach(json_object_get(data, "totals"), key, v)
    {
        if (json_integer_value(v) == 0)
            continue;
        fputs(any ? "" : "\n", cli->out);
        any = true;
        out_text(cli->out, key);
        fprintf(cli->out, "%*s%" JSON_INTEGER_FORMAT "\n",
                (int)(strlen(key) < 24 ? 24 - strlen(key) : 1), "", json_integer_value(v));
    }
}
