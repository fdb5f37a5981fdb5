/* Words of the command line into the arguments of a verb, by the command's table. */
#include "src/base/config_nearest.h"
#include "src/cmd/sealane/cli.h"

#include "sealane/secret.h"
#include "sealane/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)128 << 10)

struct parse {
    struct cli *cli;
    const struct command *cmd;
    json_t *out;
};

SL_PRINTF(2, 3) static void complain(struct parse *p, const char *fmt, ...)
{
    char words[CLI_WORDS_MAX], what[512];
    va_list ap;
    va_start(ap, fmt);
    /* the analyzer loses sight of va_start when it inlines this */
    vsnprintf(what, sizeof(what), fmt, ap); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(ap);
    fprintf(p->cli->err, "sealane: %s: ", cli_words(words, p->cmd, ' '));
    out_text(p->cli->err, what);
    SL_AUTO_BUF synopsis = { 0 };
    args_synopsis(&synopsis, p->cmd);
    fprintf(p->cli->err, "\nusage: sealane %s%.*s\n", words, (int)synopsis.len,
            synopsis.len ? (const char *)synopsis.p : "");
}

static const char *name_of(const struct arg *a)
{
    return a->option ? a->option : a->meta;
}

/* The content of a file, or its first line; new reference. */
static json_t *read_file(struct parse *p, const struct arg *a, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    if (!f) {
        complain(p, "%s: %s: %s", name_of(a), path, strerror(errno));
        return NULL;
    }
    SL_AUTO_BUF b = { 0 };
    uint8_t chunk[4096];
    size_t n;
    bool ok = true;
    while (ok && b.len <= FILE_MAX && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        ok = sl_buf_put(&b, sl_bytes(chunk, n));
    ok = ok && !ferror(f);
    if (!standard)
        fclose(f);
    sl_wipe(chunk, sizeof(chunk));
    size_t len = b.len;
    if (a->type == ARG_SECRET_FILE)
        for (len = 0; len < b.len && b.p[len] != '\n' && b.p[len] != '\r'; len++)
            ;
    json_t *v = ok && len && len <= FILE_MAX ? json_stringn((const char *)b.p, len) : NULL;
    sl_buf_wipe(&b);
    if (!v)
        complain(p, "%s: %s: %s", name_of(a), path,
                 !ok              ? "cannot be read"
                 : len == 0       ? "is empty"
                 : len > FILE_MAX ? "is larger than 128 KiB"
                                  : "is not UTF-8 text");
    return v;
}

static json_t *value_of(struct parse *p, const struct arg *a, const char *text)
{
    int64_t s;
    switch (a->type) {
    case ARG_NUMBER: {
        char *end;
        errno = 0;
        long long v = strtoll(text, &end, 10);
        if (errno == 0 && *text >= '0' && *text <= '9' && !*end)
            return json_integer(v);
        complain(p, "%s: \"%s\" is not a number", name_of(a), text);
        return NULL;
    }
    case ARG_DURATION:
        if (sl_duration_parse(&s, text) && s > 0)
            return json_integer(s);
        complain(p, "%s: \"%s\" is not a duration; expected one as 90s, 15m, 4h or 30d", name_of(a),
                 text);
        return NULL;
    case ARG_TIME:
        if (strpbrk(text, "smhdw") && sl_duration_parse(&s, text))
            return json_integer(sl_clock_utc_s() - s);
        if (sl_time_parse(&s, text))
            return json_integer(s);
        complain(
            p,
            "%s: \"%s\" is not a time; expected one as 2026-11-23T17:00:00Z, or 2h for 2 hours ago",
            name_of(a), text);
        return NULL;
    case ARG_FILE:
    case ARG_SECRET_FILE:
        return read_file(p, a, text);
    case ARG_TEXT:
    case ARG_LIST: {
        json_t *v = *text ? json_string(text) : NULL;
        if (!v)
            complain(p, "%s: expected UTF-8 text that is not empty", name_of(a));
        return v;
    }
    case ARG_FLAG:
        return json_true();
    case ARG_END:
        break;
    }
    return NULL;
}

static bool put(struct parse *p, const struct arg *a, const char *text)
{
    json_t *there = json_object_get(p->out, a->key), *v;
    if (there && a->type != ARG_LIST) {
        complain(p, "%s is given twice", name_of(a));
        return false;
    }
    if (!(v = value_of(p, a, text)))
        return false;
    if (a->type != ARG_LIST)
        return json_object_set_new(p->out, a->key, v) == 0;
    if (!there) {
        there = json_array();
        if (json_object_set_new(p->out, a->key, there) != 0)
            return false;
    }
    return json_array_append_new(there, v) == 0;
}

static bool option(struct parse *p, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *equal = strchr(word, '=');
    size_t n = equal ? (size_t)(equal - word) : strlen(word);
    struct sl_nearest near = { .word = word };
    for (const struct arg *a = p->cmd->args; a && a->type != ARG_END; a++) {
        if (!a->option)
            continue;
        sl_nearest_try(&near, a->option);
        if (strlen(a->option) != n || strncmp(a->option, word, n) != 0)
            continue;
        if (a->type == ARG_FLAG && equal) {
            complain(p, "%s takes no value", a->option);
            return false;
        }
        if (a->type == ARG_FLAG)
            return put(p, a, "");
        if (equal)
            return put(p, a, equal + 1);
        if (*i + 1 >= argc) {
            complain(p, "%s needs a value: %s", a->option, a->meta);
            return false;
        }
        return put(p, a, argv[++*i]);
    }
    if (near.best)
        complain(p, "unknown option \"%s\"; nearest: \"%s\"", word, near.best);
    else
        complain(p, "unknown option \"%s\"", word);
    return false;
}

static bool positional(struct parse *p, const char *word)
{
    for (const struct arg *a = p->cmd->args; a && a->type != ARG_END; a++)
        if (!a->option && !json_object_get(p->out, a->key))
            return put(p, a, word);
    complain(p, "\"%s\" is one word too many", word);
    return false;
}

json_t *args_parse(struct cli *cli, const struct command *cmd, int argc, char **argv)
{
    struct parse p = { .cli = cli, .cmd = cmd, .out = json_object() };
    bool ok = p.out, options = true;
    for (int i = 0; ok && i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && argv[i][0] == '-' && argv[i][1])
            ok = option(&p, argc, argv, &i);
        else
            ok = positional(&p, argv[i]);
    }
    for (const struct arg *a = cmd->args; ok && a && a->type != ARG_END; a++)
        if (a->required && !json_object_get(p.out, a->key)) {
            complain(&p, "%s is missing: %s", name_of(a), a->text);
            ok = false;
        }
    if (ok)
        return p.out;
    json_decref(p.out);
    return NULL;
}

void args_synopsis(struct sl_buf *out, const struct command *cmd)
{
    bool ok = true;
    for (const struct arg *a = cmd->args; ok && a && a->type != ARG_END; a++) {
        const char *open = a->required ? "" : "[", *close = a->required ? "" : "]";
        if (!a->option)
            ok = sl_buf_printf(out, " %s%s%s", open, a->meta, close);
        else
            ok = sl_buf_printf(out, " %s%s%s%s%s%s", open, a->option, a->meta ? " " : "",
                               a->meta ? a->meta : "", close, a->type == ARG_LIST ? "..." : "");
    }
}
