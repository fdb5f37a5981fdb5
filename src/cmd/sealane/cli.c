/* Global options, and from words to a command. */
#include "src/cmd/sealane/cli.h"
#include "src/base/config_nearest.h"

#include <string.h>

/* Takes --NAME VALUE or --NAME=VALUE at argv[*i]; false when it is another word. */
static bool global_value(struct cli *cli, int argc, char **argv, int *i, const char *name,
                         const char *letter, const char **out, bool *bad)
{
    const char *a = argv[*i];
    size_t n = strlen(name);
    if (strncmp(a, name, n) == 0 && a[n] == '=') {
        *out = a + n + 1;
        return true;
    }
    if (strcmp(a, name) != 0 && (!letter || strcmp(a, letter) != 0))
        return false;
    if (*i + 1 >= argc) {
        fprintf(cli->err, "sealane: %s needs a value\n", a);
        *bad = true;
        return true;
    }
    *out = argv[++*i];
    return true;
}

/* Takes the global options out of argv, wherever they stand; the new count, or -1. */
static int take_globals(struct cli *cli, int argc, char **argv)
{
    int kept = 0;
    bool bad = false;
    for (int i = 0; i < argc && !bad; i++) {
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else if (!global_value(cli, argc, argv, &i, "--config", "-c", &cli->config, &bad) &&
                 !global_value(cli, argc, argv, &i, "--socket", NULL, &cli->socket, &bad))
            argv[kept++] = argv[i];
    }
    return bad ? -1 : kept;
}

static const struct command *find(const char *noun, const char *word, bool *noun_known)
{
    size_t n;
    const struct command *c = cli_commands(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(c[i].noun, noun) != 0)
            continue;
        *noun_known = true;
        if (!c[i].word || (word && strcmp(c[i].word, word) == 0))
            return &c[i];
    }
    return NULL;
}

static enum cli_exit unknown(struct cli *cli, const char *noun, const char *word, bool noun_known)
{
    size_t n;
    const struct command *c = cli_commands(&n);
    struct sl_nearest near = { .word = noun_known ? (word ? word : "") : noun };
    for (size_t i = 0; i < n; i++)
        if (!noun_known)
            sl_nearest_try(&near, c[i].noun);
        else if (strcmp(c[i].noun, noun) == 0)
            sl_nearest_try(&near, c[i].word);
    if (noun_known && !word) {
        fprintf(cli->err, "sealane: %s needs one of:", noun);
        for (size_t i = 0; i < n; i++)
            if (strcmp(c[i].noun, noun) == 0)
                fprintf(cli->err, " %s", c[i].word);
        fprintf(cli->err, "\n");
        return CLI_USAGE;
    }
    fprintf(cli->err, "sealane: there is no command \"");
    out_text(cli->err, noun);
    if (noun_known) {
        fputc(' ', cli->err);
        out_text(cli->err, word);
    }
    fputc('"', cli->err);
    if (near.best)
        fprintf(cli->err, "; nearest: \"%s%s%s\"", noun_known ? noun : "", noun_known ? " " : "",
                near.best);
    fprintf(cli->err, "; sealane help lists all\n");
    return CLI_USAGE;
}

enum cli_exit cli_main(int argc, char **argv, FILE *out, FILE *err)
{
    struct cli cli = { .out = out, .err = err };
    argc = take_globals(&cli, argc - 1, argv + 1);
    argv++;
    if (argc < 0)
        return CLI_USAGE;
    if (argc == 0) {
        help_usage(err);
        return CLI_USAGE;
    }
    if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
        strcmp(argv[0], "-h") == 0)
        return help_run(&cli, argc - 1, argv + 1);
    if (strcmp(argv[0], "--version") == 0) {
        fprintf(out, "sealane %s\n", SL_VERSION);
        return CLI_OK;
    }
    bool noun_known = false;
    const struct command *cmd = find(argv[0], argc > 1 ? argv[1] : NULL, &noun_known);
    if (!cmd)
        return unknown(&cli, argv[0], argc > 1 ? argv[1] : NULL, noun_known);
    int words = cmd->word ? 2 : 1;
    for (int i = words; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help_command(out, cmd);
            return CLI_OK;
        }
    json_t *args = args_parse(&cli, cmd, argc - words, argv + words);
    if (!args)
        return CLI_USAGE;
    enum cli_exit rc = cmd->run ? cmd->run(&cli, cmd, args) : client_run(&cli, cmd, args);
    json_decref(args);
    if (fflush(out) != 0 && rc == CLI_OK)
        rc = CLI_FAILED; /* the result did not arrive */
    return rc;
}
