/* policy test: the decision about a peer that is not there, told as `audit show` tells it. */
#include "src/cmd/sealane/cli.h"

#include "sealane/decision.h"

#include <string.h>

static const json_t *evidence_of(const json_t *data)
{
    const json_t *e = json_object_get(data, "evidence");
    return json_is_object(e) ? e : data;
}

enum cli_exit judge_policy(const json_t *data)
{
    const json_t *e = evidence_of(data);
    /* Everything but the signature, which nobody made here, was in order. */
    bool ok =
        field_is(e, "verdict", "accept") || field_is(e, "reason", sl_rc_name(SL_AUTH_NOT_ASKED));
    return ok ? CLI_OK : CLI_FAILED;
}

void show_policy(struct cli *cli, const json_t *args, const json_t *data)
{
    (void)args;
    SL_AUTO_BUF story = { 0 };
    const json_t *e = evidence_of(data);
    if (sl_decision_story(&story, e) && sl_buf_nul(&story)) {
        char *rest = (char *)story.p;
        for (char *line; (line = strsep(&rest, "\n"));)
            if (*line) {
                out_text(cli->out, line);
                fputc('\n', cli->out);
            }
    }
    if (judge_policy(data) == CLI_OK)
        fputs("the peer would be let in, once it proves that it holds the key\n", cli->out);
    else
        fputs("the peer would be refused\n", cli->out);
}

void show_refresh(struct cli *cli, const json_t *args, const json_t *data)
{
    char buf[32];
    (void)args;
    const char *n = field_text(buf, sizeof(buf), data, "live_peers");
    fprintf(cli->out, "revocation data is fetched anew; live peers that are decided again: %s\n",
            *n ? n : "0");
}
