/* certs: our own certificates. */
#include "src/cmd/sealane/cli.h"

void show_certificate(FILE *f, const json_t *cert)
{
    static const struct {
        const char *label, *key;
    } members[] = {
        { "identity", "identity" },     { "state", "state" },
        { "subject", "subject" },       { "names", "san" },
        { "issuer", "issuer" },         { "serial", "serial" },
        { "valid from", "not_before" }, { "valid until", "not_after" },
        { "renewal", "renew_at" },      { "key", "key" },
        { "SHA-256", "sha256" },        { "revoked", "revoked_at" },
        { "reason", "reason" },         { "note", "text" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(members); i++)
        out_member(f, members[i].label, cert, members[i].key);
}

void show_certs(struct cli *cli, const json_t *args, const json_t *data)
{
    static const struct column columns[] = {
        { "IDENTITY", "identity" }, { "STATE", "state" },           { "SUBJECT", "subject" },
        { "SERIAL", "serial" },     { "VALID UNTIL", "not_after" }, { "RENEWAL", "renew_at" },
        { "NOTE", "text" },
    };
    (void)args;
    const json_t *list = json_is_array(data) ? data : json_object_get(data, "certificates");
    if (json_array_size(list) == 0)
        fputs("no identity is configured\n", cli->out);
    else
        out_table(cli->out, columns, SL_ARRAY_LEN(columns), list);
}
