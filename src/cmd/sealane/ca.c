/* ca: the embedded authority. */
#include "src/cmd/sealane/cli.h"

#include <string.h>

static const json_t *list_of(const json_t *data, const char *key)
{
    return json_is_array(data) ? data : json_object_get(data, key);
}

void show_ca_init(struct cli *cli, const json_t *args, const json_t *data)
{
    size_t i;
    json_t *cert;
    fputs("the authority \"", cli->out);
    out_text(cli->out, field_string(args, "name"));
    fputs("\" is ready\n", cli->out);
    json_array_foreach(list_of(data, "certificates"), i, cert)
    {
        fputc('\n', cli->out);
        out_text(cli->out, field_string(cert, "role"));
        fputs(":\n", cli->out);
        show_certificate(cli->out, cert);
    }
    if (*field_string(data, "fingerprint")) {
        fputs("\nput this into the scep section of each device: fingerprint = \"", cli->out);
        out_text(cli->out, field_string(data, "fingerprint"));
        fputs("\"\n", cli->out);
    }
}

/* The challenge alone goes to standard output, so that it can be put into a file. */
void show_ca_challenge(struct cli *cli, const json_t *args, const json_t *data)
{
    out_text(cli->out, field_string(data, "challenge"));
    fputc('\n', cli->out);
    fputs("for ", cli->err);
    out_text(cli->err, field_string(args, "name"));
    fputs(", once", cli->err);
    if (*field_string(data, "expires")) {
        fputs(", until ", cli->err);
        out_text(cli->err, field_string(data, "expires"));
    }
    fputs("; it is not shown again\n", cli->err);
}

void show_ca_pending(struct cli *cli, const json_t *args, const json_t *data)
{
    static const struct column columns[] = {
        { "REQUEST", "id" },         { "SUBJECT", "subject" },
        { "NAMES", "san" },          { "KEY", "key" },
        { "SINCE", "since" },        { "FROM", "from" },
        { "KEY SHA-256", "sha256" },
    };
    (void)args;
    if (json_array_size(list_of(data, "requests")) == 0)
        fputs("no request waits for approval\n", cli->out);
    else
        out_table(cli->out, columns, SL_ARRAY_LEN(columns), list_of(data, "requests"));
}

void show_ca_approve(struct cli *cli, const json_t *args, const json_t *data)
{
    char id[32];
    fprintf(cli->out, "request %s is approved", field_text(id, sizeof(id), args, "id"));
    if (*field_string(data, "serial")) {
        fputs("; certificate ", cli->out);
        out_text(cli->out, field_string(data, "serial"));
    }
    fputc('\n', cli->out);
}

void show_ca_reject(struct cli *cli, const json_t *args, const json_t *data)
{
    char id[32];
    (void)data;
    fprintf(cli->out, "request %s is rejected\n", field_text(id, sizeof(id), args, "id"));
}

void show_ca_list(struct cli *cli, const json_t *args, const json_t *data)
{
    static const struct column columns[] = {
        { "SERIAL", "serial" }, { "STATE", "state" },           { "SUBJECT", "subject" },
        { "NAMES", "san" },     { "VALID UNTIL", "not_after" }, { "REVOKED", "revoked_at" },
        { "REASON", "reason" },
    };
    (void)args;
    if (json_array_size(list_of(data, "certificates")) == 0)
        fputs("no certificate\n", cli->out);
    else
        out_table(cli->out, columns, SL_ARRAY_LEN(columns), list_of(data, "certificates"));
}

/* PEM has line breaks, which out_text would show as escapes; other control characters are left out. */
static void show_pem(FILE *f, const char *pem)
{
    for (; *pem; pem++)
        if (*pem == '\n' || ((unsigned char)*pem >= 0x20 && (unsigned char)*pem < 0x7f))
            fputc(*pem, f);
}

void show_ca_show(struct cli *cli, const json_t *args, const json_t *data)
{
    (void)args;
    const json_t *cert = json_object_get(data, "certificate");
    show_certificate(cli->out, cert ? cert : data);
    show_pem(cli->out, field_string(data, "pem"));
}

void show_ca_revoke(struct cli *cli, const json_t *args, const json_t *data)
{
    out_text(cli->out, field_string(args, "serial"));
    fputs(" is revoked; a new CRL is published\n", cli->out);
    out_member(cli->out, "subject", data, "subject");
    out_member(cli->out, "CRL number", data, "number");
}

void show_ca_crl(struct cli *cli, const json_t *args, const json_t *data)
{
    if (json_is_true(json_object_get(args, "show_pem"))) {
        show_pem(cli->out, field_string(data, "pem"));
        return;
    }
    static const struct {
        const char *label, *key;
    } members[] = { { "issuer", "issuer" },           { "number", "number" },
                    { "this update", "this_update" }, { "next update", "next_update" },
                    { "revoked", "entries" },         { "URL", "url" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(members); i++)
        out_member(cli->out, members[i].label, data, members[i].key);
}
