/* status: is everything well, and if not, what is to be done. */
#include "src/cmd/sealane/cli.h"

#include <string.h>

/* What is not well, from the roles' own words and from the list of processes. */
static json_t *collect_problems(const json_t *data)
{
    json_t *all = json_array(), *p;
    size_t i;
    const char *name;
    json_t *role;
    json_array_foreach(json_object_get(data, "problems"), i, p)(void) json_array_append(all, p);
    json_object_foreach(json_object_get(data, "roles"), name, role)
    {
        if (*field_string(role, "rc") && !field_is(role, "rc", "OK")) /* it could not be asked */
            (void)json_array_append_new(all,
                                        json_pack("{s:s,s:s+,s:s}", "role", name, "text",
                                                  "gives no answer: ", field_string(role, "text"),
                                                  "do", "look at its log: journalctl -u sealaned"));
        json_array_foreach(json_object_get(role, "problems"), i, p)
        {
            json_t *copy = json_is_object(p) ? json_copy(p) : json_pack("{s:O}", "text", p);
            (void)json_object_set_new(copy, "role", json_string(name));
            (void)json_array_append_new(all, copy);
        }
    }
    json_array_foreach(json_object_get(data, "processes"), i, p)
    {
        const char *state = field_string(p, "state");
        if (strcmp(state, "running") != 0 && strcmp(state, "ready") != 0)
            (void)json_array_append_new(
                all,
                json_pack("{s:s,s:s+++,s:s}", "role", field_string(p, "name"), "text", "is ", state,
                          *field_string(p, "lost") ? ": " : "", field_string(p, "lost"), "do",
                          "it is started again by itself; if this stays, look at its log: "
                          "journalctl -u sealaned"));
    }
    return all;
}

enum cli_exit judge_status(const json_t *data)
{
    json_t *problems = collect_problems(data);
    bool well = json_array_size(problems) == 0;
    json_decref(problems);
    return well ? CLI_OK : CLI_NOT_WELL;
}

/* Is it worth a place: one value, and neither nothing nor none? */
static bool is_fact(const char *key, const json_t *v)
{
    if (strcmp(key, "rc") == 0 || strcmp(key, "well") == 0 || strcmp(key, "text") == 0)
        return false;
    return (json_is_integer(v) && json_integer_value(v) != 0) || json_is_string(v) ||
           json_is_boolean(v);
}

/* The facts of a role in lines of some 90 characters: "ike          ike sas 2, half open 1". */
static void show_facts(FILE *f, const char *role, const json_t *facts)
{
    const char *key;
    json_t *v;
    size_t column = 0;
    json_object_foreach((json_t *)facts, key, v)
    {
        char buf[512];
        if (!is_fact(key, v))
            continue;
        const char *text = field_text(buf, sizeof(buf), facts, key);
        size_t len = strlen(key) + 1 + strlen(text) + 2;
        if (column == 0)
            fprintf(f, "  %-12s ", role);
        else if (column + len > 90)
            fprintf(f, ",\n  %-12s ", "");
        else
            fputs(", ", f);
        column = column == 0 || column + len > 90 ? 15 + len : column + len;
        for (const char *c = key; *c; c++)
            fputc(*c == '_' ? ' ' : *c, f);
        fputc(' ', f);
        out_text(f, text);
    }
    if (column)
        fputc('\n', f);
}

void show_status(struct cli *cli, const json_t *args, const json_t *data)
{
    static const struct column processes[] = {
        { "PROCESS", "name" }, { "PID", "pid" },           { "STATE", "state" },
        { "SINCE", "since" },  { "RESTARTS", "restarts" }, { "LAST RESTART", "lost" },
    };
    (void)args;
    FILE *f = cli->out;
    json_t *problems = collect_problems(data), *p;
    size_t i;
    if (json_array_size(problems) == 0)
        fputs("sealane is well.\n", f);
    else
        fprintf(f, "%zu thing%s not well:\n", json_array_size(problems),
                json_array_size(problems) == 1 ? " is" : "s are");
    json_array_foreach(problems, i, p)
    {
        fprintf(f, "  %zu. ", i + 1);
        if (*field_string(p, "role")) {
            out_text(f, field_string(p, "role"));
            fputs(": ", f);
        }
        out_text(f, field_string(p, "text"));
        fputc('\n', f);
        const char *advice = field_string(p, *field_string(p, "do") ? "do" : "advice");
        if (*advice) {
            fputs("     -> ", f);
            out_text(f, advice);
            fputc('\n', f);
        }
    }
    json_decref(problems);
    if (json_array_size(json_object_get(data, "processes"))) {
        fputc('\n', f);
        out_table(f, processes, SL_ARRAY_LEN(processes), json_object_get(data, "processes"));
    }
    const json_t *roles = json_object_get(data, "roles");
    const char *name;
    json_t *role;
    if (json_object_size(roles))
        fputc('\n', f);
    json_object_foreach((json_t *)roles, name, role) show_facts(f, name, role);
}
