/* pool leases, pool release: addresses handed out to peers. */
#include "src/cmd/sealane/cli.h"

static void show_row(json_t *row)
{
    (void)json_object_set_new(row, "sas",
                              json_integer_value(json_object_get(row, "ike_sas"))
                                  ? json_incref(json_object_get(row, "ike_sas"))
                                  : json_string(""));
}

void show_pool_leases(struct cli *cli, const json_t *args, const json_t *data)
{
    static const struct column columns[] = {
        { "ID", "id" },           { "POOL", "pool" },
        { "ADDRESS", "address" }, { "STATE", "state" },
        { "SAS", "sas" },         { "IDENTITY", "identity" },
        { "SINCE", "since" },     { "KEPT UNTIL", "kept_until" },
    };
    size_t i;
    json_t *row;
    (void)args;
    json_t *rows = json_deep_copy(json_object_get(data, "leases"));
    json_array_foreach(rows, i, row) show_row(row);
    if (json_array_size(rows))
        out_table(cli->out, columns, SL_ARRAY_LEN(columns), rows);
    else
        fputs("no address is handed out\n", cli->out);
    json_decref(rows);
}

void show_pool_release(struct cli *cli, const json_t *args, const json_t *data)
{
    (void)args;
    out_member(cli->out, "released", data, "id");
}
