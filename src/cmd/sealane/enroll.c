/* enroll: asks the daemon to enrol, and shows how it goes while the request is pending. */
#include "src/cmd/sealane/cli.h"

#include "sealane/time.h"

#include <string.h>
#include <unistd.h>

#define ENROLL_SILENCE_MS ((int64_t)24 * 3600 * 1000) /* a request may be pending for long */

static void progress(struct cli *cli, const char *text, const json_t *data)
{
    char now[SL_TIME_TEXT];
    const char *what = *text ? text : field_string(data, "text");
    if (cli->json) {
        json_t *line = json_pack("{s:s,s:O*}", "text", what, "data", data);
        (void)json_dumpf(line, cli->err, JSON_COMPACT | JSON_ENSURE_ASCII);
        fputc('\n', cli->err);
        json_decref(line);
        return;
    }
    fprintf(cli->err, "%s  ", sl_time_text(now, sl_clock_utc_s()));
    out_text(cli->err, *what ? what : field_string(data, "state"));
    fputc('\n', cli->err);
}

enum cli_exit run_enroll(struct cli *cli, const struct command *cmd, const json_t *args)
{
    struct sl_err err = { 0 };
    json_t *data = NULL;
    enum cli_exit result = CLI_OK;
    if (client_ask(cli, "enroll", args, ENROLL_SILENCE_MS, progress, &data, &err) != SL_OK) {
        result = cli_fail(cli, cmd, &err, data);
        if (err.rc == SL_SCEP_NO_PIN && !cli->json)
            fputs("compare the fingerprint with the CA's operator, then give it with --fingerprint "
                  "or in the "
                  "configuration\n",
                  cli->err);
        else if (err.rc == SL_SCEP_PENDING && !cli->json)
            fputs(
                "the daemon goes on asking; sealane certs shows the certificate when it is there\n",
                cli->err);
    } else if (cli->json) {
        out_json(cli->out, data);
    } else {
        const json_t *cert = json_object_get(data, "certificate");
        out_text(cli->out, field_string(args, "identity"));
        fputs(": the certificate is there\n", cli->out);
        show_certificate(cli->out, cert ? cert : data);
    }
    json_decref(data);
    return result;
}
