/* config check, config keys. */
#include "src/cmd/sealane/cli.h"
#include "src/fetch/policy.h"

#include "src/proc/rules.h"

#include <string.h>

static bool go_on(void *ctx, const struct rule_match *m)
{
    (void)ctx, (void)m;
    return true;
}

/* What is allowed, and may not be what was meant. */
static json_t *notes(const struct sl_config *c)
{
    json_t *list = json_array();
    if (c->connection_n && !c->rule_n)
        (void)json_array_append_new(list,
                                    json_string("there is no rule, so every peer is refused"));
    for (size_t i = 0; i < c->shunt_n; i++) {
        char local[SL_TS_TEXT], remote[SL_TS_TEXT];
        const struct sl_conf_shunt *s = &c->shunt[i];
        if (rules_of_shunt(s, go_on, NULL))
            continue;
        json_t *line = json_sprintf(
            "shunt %s: routing rules tell neither ICMP types nor ports of a protocol without them, "
            "so what of %s to %s enters the tunnel is dropped, not bypassed",
            s->name, sl_ts_text(local, &s->local_ts), sl_ts_text(remote, &s->remote_ts));
        (void)json_array_append_new(list, line);
    }
    return list;
}

enum cli_exit run_config_check(struct cli *cli, const struct command *cmd, const json_t *args)
{
    (void)cmd;
    const char *file = field_string(args, "file");
    if (!*file)
        file = cli->config ? cli->config : "/etc/sealane/sealane.conf";
    SL_AUTO(sl_config) *c = NULL;
    SL_AUTO_BUF problems = { 0 };
    struct sl_err err = { 0 };
    enum sl_rc rc = sl_config_load(&c, file, &problems, &err);
    if (rc == SL_OK)
        rc = fetch_rules_check(&c->fetch, &err);
    /* A file that cannot be read is no problem of a line, but a problem. */
    bool listed = problems.len > 0 && sl_buf_nul(&problems);
    char *rest = listed ? (char *)problems.p : err.text;
    json_t *list = json_array();
    unsigned n = 0;
    for (char *line; rc != SL_OK && (line = strsep(&rest, "\n"));) {
        if (!*line)
            continue;
        n++;
        (void)json_array_append_new(list, json_string(line));
        if (!cli->json) {
            out_text(cli->err, line);
            fputc('\n', cli->err);
        }
    }
    json_t *noted = rc == SL_OK ? notes(c) : json_array();
    if (cli->json) {
        json_t *o = json_pack("{s:s,s:s,s:O,s:O}", "file", file, "rc", sl_rc_name(rc), "problems",
                              list, "notes", noted);
        out_json(cli->out, o);
        json_decref(o);
    } else if (rc == SL_OK) {
        out_text(cli->out, file);
        fprintf(cli->out,
                ": good (connections %zu, identities %zu, trust %zu, rules %zu, authority %s)\n",
                c->connection_n, c->identity_n, c->trust_n, c->rule_n,
                c->authority.enabled ? "yes" : "no");
        for (size_t i = 0; i < json_array_size(noted); i++) {
            fputs("note: ", cli->out);
            out_text(cli->out, json_string_value(json_array_get(noted, i)));
            fputc('\n', cli->out);
        }
    } else {
        fprintf(cli->err, "%u problem%s\n", n, n == 1 ? "" : "s");
    }
    json_decref(noted);
    json_decref(list);
    return rc == SL_OK ? CLI_OK : CLI_FAILED;
}

enum cli_exit run_config_keys(struct cli *cli, const struct command *cmd, const json_t *args)
{
    static const struct column columns[] = {
        { "SECTION", "section" }, { "KEY", "key" }, { "TYPE", "type" }, { "DEFAULT", "default" }
    };
    (void)cmd;
    size_t n;
    const struct sl_config_key *k = sl_config_keys(&n);
    const char *only = field_string(args, "section");
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++)
        if (!*only || strcmp(only, k[i].section) == 0)
            (void)json_array_append_new(
                rows, json_pack("{s:s,s:s,s:s,s:s,s:s}", "section", k[i].section, "key", k[i].key,
                                "type", k[i].type, "default", k[i].dflt ? k[i].dflt : "required",
                                "text", k[i].text));
    size_t found = json_array_size(rows);
    if (cli->json)
        out_json(cli->out, rows);
    else if (found)
        out_table(cli->out, columns, SL_ARRAY_LEN(columns), rows);
    else
        fprintf(cli->err, "sealane: config keys: there is no section \"%s\"\n", only);
    json_decref(rows);
    return found ? CLI_OK : CLI_FAILED;
}
