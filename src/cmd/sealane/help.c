/*
 * Usage, help, and what documentation is made of: the same tables printed as mdoc for sealane(1) and
 * sealane.conf(5), as Markdown for docs/reasons.md, and as the list of verbs.
 */
#include "src/cmd/sealane/cli.h"

#include <string.h>

static const struct arg globals[] = {
    { ARG_TEXT, "--config", "FILE", "config", false,
      "configuration, for the paths in it; default /etc/sealane/sealane.conf; short -c" },
    { ARG_TEXT, "--socket", "PATH", "socket", false,
      "control socket; default control.sock in run_dir" },
    { ARG_FLAG, "--json", NULL, "json", false, "print results as JSON" },
    { .type = ARG_END },
};

static const struct {
    int status;
    const char *text;
} exits[] = {
    { CLI_OK, "done" },
    { CLI_FAILED, "refused or failed; the message names the object and the reason" },
    { CLI_USAGE, "wrong usage" },
    { CLI_NO_DAEMON, "the daemon cannot be reached" },
    { CLI_NOT_WELL, "status: something is not well" },
};

static void print_args(FILE *f, const struct arg *args)
{
    for (const struct arg *a = args; a && a->type != ARG_END; a++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s", a->option ? a->option : "",
                 a->option && a->meta ? " " : "", a->meta ? a->meta : "");
        fprintf(f, "  %-24s %s\n", left, a->text);
    }
}

void help_usage(FILE *f)
{
    size_t n;
    const struct command *c = cli_commands(&n);
    fprintf(f, "usage: sealane [--config FILE] [--socket PATH] [--json] COMMAND ...\n\n");
    for (size_t i = 0; i < n; i++) {
        char words[CLI_WORDS_MAX];
        fprintf(f, "  %-14s %s\n", cli_words(words, &c[i], ' '), c[i].text);
    }
    fprintf(
        f,
        "\nsealane help COMMAND tells more; sealane help verbs, keys and reasons print tables.\n");
}

void help_command(FILE *f, const struct command *cmd)
{
    char words[CLI_WORDS_MAX];
    SL_AUTO_BUF synopsis = { 0 };
    args_synopsis(&synopsis, cmd);
    fprintf(f, "usage: sealane %s%.*s\n\n%s\n", cli_words(words, cmd, ' '), (int)synopsis.len,
            synopsis.len ? (const char *)synopsis.p : "", cmd->text);
    if (cmd->args) {
        fputc('\n', f);
        print_args(f, cmd->args);
    }
    fputc('\n', f);
    print_args(f, globals);
}

/* ---- tables ------------------------------------------------------------------------------------------- */
static void print_verbs(FILE *f)
{
    size_t n;
    const struct command *c = cli_commands(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(c[i].noun, "audit") == 0 || strcmp(c[i].noun, "cert") == 0 ||
            strcmp(c[i].noun, "config") == 0 || strcmp(c[i].noun, "import") == 0)
            continue; /* answered without the daemon */
        char words[CLI_WORDS_MAX];
        fprintf(f, "%s", cli_words(words, &c[i], '.'));
        for (const struct arg *a = c[i].args; a && a->type != ARG_END; a++)
            fprintf(f, " %s%s", a->key, a->required ? "" : "?");
        fputc('\n', f);
    }
}

static void print_reasons(FILE *f)
{
    for (unsigned rc = 1; rc < SL_RC_COUNT; rc++)
        fprintf(f, "%-26s %-5s %s\n", sl_rc_name((enum sl_rc)rc), sl_rc_family((enum sl_rc)rc),
                sl_rc_text((enum sl_rc)rc));
}

static void print_reasons_md(FILE *f)
{
    static const struct {
        const char *family, *title;
    } families[] = {
        { "GEN", "General" },
        { "CONF", "Configuration" },
        { "CERT", "Certificate path" },
        { "REV", "Revocation" },
        { "ID", "Identity" },
        { "DIR", "Directory" },
        { "POL", "Policy" },
        { "IKE", "IKE" },
        { "ESP", "ESP" },
        { "ENR", "Enrolment" },
        { "CA", "Authority" },
        { "AUD", "Audit log" },
        { "PROC", "Processes" },
    };
    fprintf(
        f, "# Reason codes\n\n"
           "Made by `sealane help reasons-md` from `include/sealane/reasons.def`. A code is stable "
           "for ever:\n"
           "it stands in the log, in audit records, in the answers of `sealane` and in metrics.\n");
    for (size_t i = 0; i < SL_ARRAY_LEN(families); i++) {
        fprintf(f, "\n## %s\n\n| code | meaning |\n|---|---|\n", families[i].title);
        for (unsigned rc = 1; rc < SL_RC_COUNT; rc++)
            if (strcmp(sl_rc_family((enum sl_rc)rc), families[i].family) == 0)
                fprintf(f, "| `%s` | %s |\n", sl_rc_name((enum sl_rc)rc),
                        sl_rc_text((enum sl_rc)rc));
    }
}

/* ---- mdoc ------------------------------------------------------------------------------------------------ */
/* A word of a table's text as mdoc; the first of a line must not look like a macro. */
static void mdoc_word(FILE *f, const char *s, size_t len, bool first)
{
    if (first && (*s == '.' || *s == '\''))
        fputs("\\&", f);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\\')
            fputs("\\e", f);
        else if (s[i] == '-' && i + 1 < len && s[i + 1] == '-')
            fputs("\\-", f);
        else if (s[i] == '`')
            fputs("\\(oq", f);
        else
            fputc(s[i], f);
    }
}

/* Text in lines of no more than 76 characters or so, as mandoc wants its input. */
static void mdoc_text(FILE *f, const char *s)
{
    size_t column = 0;
    while (*s) {
        size_t len = strcspn(s, " ");
        if (column && column + 1 + len > 76) {
            fputc('\n', f);
            column = 0;
        }
        if (column)
            fputc(' ', f);
        mdoc_word(f, s, len, column == 0);
        column += len + 1;
        s += len + strspn(s + len, " ");
    }
    fputc('\n', f);
}

/* An argument of a command inside an .It or .Op line. */
static void mdoc_arg(FILE *f, const struct arg *a)
{
    if (a->option) /* .Fl writes the first hyphen */
        fprintf(f, "Fl %s", a->option + 1);
    if (a->option && a->meta)
        fputc(' ', f);
    if (a->meta)
        fprintf(f, "Ar %s", a->meta);
}

static void print_mdoc(FILE *f)
{
    size_t n;
    const struct command *c = cli_commands(&n);
    fprintf(f, ".Bl -tag -width indent\n");
    for (size_t i = 0; i < n; i++) {
        fprintf(f, ".It Cm %s%s%s", c[i].noun, c[i].word ? " " : "", c[i].word ? c[i].word : "");
        for (const struct arg *a = c[i].args; a && a->type != ARG_END; a++) {
            fprintf(f, " %s", a->required ? "" : "Oo ");
            mdoc_arg(f, a);
            if (!a->required)
                fprintf(f, " Oc%s", a->type == ARG_LIST ? " Ns ..." : "");
        }
        fputc('\n', f);
        mdoc_text(f, c[i].text);
        if (!c[i].args)
            continue;
        fprintf(f, ".Bl -tag -width indent -compact\n");
        for (const struct arg *a = c[i].args; a->type != ARG_END; a++) {
            fprintf(f, ".It ");
            mdoc_arg(f, a);
            fputc('\n', f);
            mdoc_text(f, a->text);
        }
        fprintf(f, ".El\n");
    }
    fprintf(f, ".El\n");
}

static void print_mdoc_keys(FILE *f)
{
    size_t n;
    const struct sl_config_key *k = sl_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(k[i].section, k[i - 1].section) != 0)
            fprintf(f, "%s.Ss Section %s\n.Bl -tag -width indent\n", i ? ".El\n" : "",
                    k[i].section);
        fprintf(f, ".It Cm %s Pq %s", k[i].key, k[i].type);
        if (!k[i].dflt)
            fprintf(f, ", required\n");
        else if (*k[i].dflt)
            fprintf(f, ", default Ql %s\n", k[i].dflt);
        else
            fputc('\n', f);
        mdoc_text(f, k[i].text);
    }
    fprintf(f, ".El\n");
}

/* ---- sealane help ---------------------------------------------------------------------------------------- */
enum cli_exit help_run(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *topic;
        void (*print)(FILE *f);
    } topics[] = {
        { "verbs", print_verbs },           { "reasons", print_reasons },
        { "reasons-md", print_reasons_md }, { "mdoc", print_mdoc },
        { "mdoc-keys", print_mdoc_keys },
    };
    size_t n, shown = 0;
    const struct command *c = cli_commands(&n);
    if (argc == 0) {
        help_usage(cli->out);
        fprintf(cli->out, "\nExit status:\n");
        for (size_t i = 0; i < SL_ARRAY_LEN(exits); i++)
            fprintf(cli->out, "  %d  %s\n", exits[i].status, exits[i].text);
        return CLI_OK;
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
        if (strcmp(topics[i].topic, argv[0]) == 0) {
            topics[i].print(cli->out);
            return CLI_OK;
        }
    if (strcmp(argv[0], "keys") == 0) {
        argv[0] = NULL;
        return run_config_keys(cli, NULL, NULL);
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(c[i].noun, argv[0]) == 0 &&
            (argc < 2 || (c[i].word && strcmp(c[i].word, argv[1]) == 0))) {
            if (shown++)
                fputc('\n', cli->out);
            help_command(cli->out, &c[i]);
        }
    if (shown)
        return CLI_OK;
    fprintf(cli->err, "sealane: there is no help on \"");
    out_text(cli->err, argv[0]);
    fprintf(cli->err, "\"; sealane help lists all commands\n");
    return CLI_USAGE;
}
