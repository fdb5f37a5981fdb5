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
    if (json_integer_value(json_object_get(child, "dropped")) > 0)
        part(f, "    dropped   ", child, "dropped", " packets\n");
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
    part(f, "  IKE         ", sa, "suite", "");
    part(f, " ", sa, "prf", "");
    part(f, " ", sa, "ke", "\n");
    part(f, "  accepted    audit record ", sa, "record", "\n");
    part(f, "  tag         ", sa, "tag", "\n");
    size_t i;
    json_t *child;
    json_array_foreach(json_object_get(sa, "children"), i, child) show_child(f, child);
}

void show_sas(struct cli *cli, const json_t *args, const json_t *data)
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
