/*
 * The text of the configuration before libconfuse sees it.
 *
 * libconfuse reads the values, but it keeps no line per key, stops at the first unknown key, takes
 * the end of the file for a closing brace, expands ${ENVIRONMENT}, and finds keys by paths ("a|b").
 * This file walks over the text once: it learns the line of every section and key, reports unknown
 * and repeated ones, checks that braces and quotes close, refuses what libconfuse would read in a
 * way that surprises, and hands on a copy in which comments and reported statements are blank.
 */
#include "src/base/config_impl.h"
#include "src/base/config_nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 3 /* section, section inside, and one of an unknown section */

enum token { T_END, T_WORD, T_STRING, T_OPEN, T_CLOSE, T_EQUAL, T_COMMA, T_BAD };

struct scan {
    struct conf_ctx *x;
    struct sl_bytes text;
    struct sl_buf *clean;
    size_t at;       /* next byte */
    size_t token_at; /* where the last token starts */
    unsigned line;   /* of at */
    unsigned token_line;
    char word[256]; /* the last token's text, cut when longer */
};

/* Open sections, innermost last. */
struct open {
    enum conf_kind kind; /* CONF_NO_KIND: unknown, its content is skipped */
    size_t index;        /* into the outline */
    size_t start;        /* offset of its name */
    unsigned line;
    char name[64];
};

static int peek(const struct scan *s, size_t ahead)
{
    return s->at + ahead < s->text.len ? s->text.p[s->at + ahead] : -1;
}

static void blank(struct scan *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (s->clean->p[i] != '\n')
            s->clean->p[i] = ' ';
}

static const struct conf_section *section_at(const struct scan *s, const struct open *o)
{
    return o->kind == CONF_NO_KIND ? NULL : &s->x->outline.v[o->index];
}

static bool is_word_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c > 0 && strchr("._/:%@-[]", c));
}

/* White space and comments; false when a comment does not end. */
static bool skip_blank(struct scan *s)
{
    for (;;) {
        int c = peek(s, 0), next = peek(s, 1);
        size_t from = s->at;
        if (c == '\n') {
            s->line++;
            s->at++;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            s->at++;
            blank(s, from, s->at);
        } else if (c == '#' || (c == '/' && next == '/')) {
            while (peek(s, 0) >= 0 && peek(s, 0) != '\n')
                s->at++;
            blank(s, from, s->at);
        } else if (c == '/' && next == '*') {
            unsigned line = s->line;
            for (s->at += 2; !(peek(s, 0) == '*' && peek(s, 1) == '/'); s->at++) {
                if (peek(s, 0) < 0) {
                    conf_problem(s->x, SL_CONFIG_SYNTAX, line, NULL, NULL,
                                 "comment that starts here has no closing */");
                    return false;
                }
                if (peek(s, 0) == '\n')
                    s->line++;
            }
            s->at += 2;
            blank(s, from, s->at);
        } else {
            return true;
        }
    }
}

static void word_add(struct scan *s, size_t *n, int c)
{
    if (*n + 1 < sizeof(s->word))
        s->word[(*n)++] = (char)c;
    s->word[*n] = '\0';
}

/* A quoted string. Only \\ and the quote itself can be escaped: libconfuse would turn \2a of a filter
 * into a control character. */
static enum token read_string(struct scan *s)
{
    int quote = peek(s, 0);
    size_t n = 0;
    s->at++;
    for (;;) {
        int c = peek(s, 0);
        if (c < 0 || c == '\n') {
            conf_problem(s->x, SL_CONFIG_SYNTAX, s->token_line, NULL, NULL,
                         "text in quotes has no closing %c on its line", quote);
            return T_BAD;
        }
        s->at++;
        if (c == quote)
            return T_STRING;
        if (c == '\\') {
            int e = peek(s, 0);
            bool pair = e == '\\' || e == quote;
            if (!pair && quote == '"') {
                conf_problem(s->x, SL_CONFIG_SYNTAX, s->token_line, NULL, NULL,
                             "a backslash in double quotes stands only before \" and \\; "
                             "write the text in single quotes to keep it as it is");
                return T_BAD;
            }
            if (pair) {
                s->at++;
                c = e;
            }
        }
        word_add(s, &n, c);
    }
}

static enum token read_word(struct scan *s)
{
    size_t n = 0;
    while (is_word_char(peek(s, 0))) {
        int c = peek(s, 0), next = peek(s, 1);
        if (c == '/' && (next == '/' || next == '*')) {
            conf_problem(s->x, SL_CONFIG_SYNTAX, s->line, NULL, NULL,
                         "\"/%c\" would start a comment inside \"%s\": write the text in quotes",
                         next, s->word);
            return T_BAD;
        }
        word_add(s, &n, c);
        s->at++;
    }
    return T_WORD;
}

static enum token next_token(struct scan *s)
{
    s->word[0] = '\0';
    if (!skip_blank(s))
        return T_BAD;
    s->token_at = s->at;
    s->token_line = s->line;
    int c = peek(s, 0);
    if (c < 0)
        return T_END;
    if (c == '"' || c == '\'')
        return read_string(s);
    if (is_word_char(c))
        return read_word(s);
    s->at++;
    snprintf(s->word, sizeof(s->word), "%c", c);
    switch (c) {
    case '{':
        return T_OPEN;
    case '}':
        return T_CLOSE;
    case '=':
        return T_EQUAL;
    case ',':
        return T_COMMA;
    default:
        break;
    }
    char shown[8];
    uint8_t byte = (uint8_t)c;
    conf_problem(s->x, SL_CONFIG_SYNTAX, s->line, NULL, NULL,
                 "\"%s\" has no meaning here; text with special characters is written in quotes",
                 sl_printable(shown, sizeof(shown), sl_bytes(&byte, 1)));
    return T_BAD;
}

static bool unexpected(struct scan *s, const struct open *in, enum token t, const char *expected)
{
    const struct conf_section *sec = in ? section_at(s, in) : NULL;
    if (t == T_BAD)
        return false; /* reported */
    if (t == T_END)
        conf_problem(s->x, SL_CONFIG_SYNTAX, s->token_line, sec, NULL,
                     "the file ends here; expected %s", expected);
    else
        conf_problem(s->x, SL_CONFIG_SYNTAX, s->token_line, sec, NULL,
                     "found \"%.80s\"; expected %s", s->word, expected);
    return false;
}

/* After '=': one value or a list. *values counts, *list tells which. */
static bool skip_value(struct scan *s, const struct open *in, size_t *values, bool *list)
{
    enum token t = next_token(s);
    *values = 1;
    *list = t == T_OPEN;
    if (t == T_WORD || t == T_STRING)
        return true;
    if (t != T_OPEN)
        return unexpected(s, in, t, "a value, or a list { value, value } after \"=\"");
    for (*values = 0;; ++*values) {
        t = next_token(s);
        if (t == T_CLOSE)
            return true;
        if (t != T_WORD && t != T_STRING)
            return unexpected(s, in, t, "a value or the \"}\" of the list");
        t = next_token(s);
        if (t == T_CLOSE) {
            ++*values;
            return true;
        }
        if (t != T_COMMA)
            return unexpected(s, in, t, "\",\" or the \"}\" of the list");
    }
}

/* ---- meaning ------------------------------------------------------------------------------------- */
static const struct conf_key *find_key(enum conf_kind kind, const char *name, size_t *row)
{
    size_t n;
    const struct conf_key *keys = conf_keys(kind, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(keys[i].pub.key, name) == 0) {
            *row = i;
            return &keys[i];
        }
    return NULL;
}

static void unknown_key(struct scan *s, const struct open *in, unsigned line, const char *name)
{
    size_t n;
    if (!in) {
        struct sl_nearest near = { .word = name };
        for (unsigned k = 0; k < CONF_KINDS; k++)
            sl_nearest_try(&near, conf_kind(k)->name);
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, NULL, name,
                     "a key stands inside a section%s%s%s",
                     near.best ? "; nearest section: \"" : "", near.best ? near.best : "",
                     near.best ? "\"" : "");
        return;
    }
    struct sl_nearest near = { .word = name };
    const struct conf_key *keys = conf_keys(in->kind, &n);
    for (size_t i = 0; i < n; i++)
        sl_nearest_try(&near, keys[i].pub.key);
    if (near.best) {
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, section_at(s, in), name,
                     "unknown key; nearest valid key: \"%s\"", near.best);
        return;
    }
    /* Perhaps it is in the wrong section. */
    for (unsigned k = 0; k < CONF_KINDS; k++) {
        size_t row;
        if (find_key(k, name, &row)) {
            conf_problem(s->x, SL_CONFIG_SYNTAX, line, section_at(s, in), name,
                         "unknown key in this section; it belongs into a section \"%s\"",
                         conf_kind(k)->name);
            return;
        }
    }
    conf_problem(s->x, SL_CONFIG_SYNTAX, line, section_at(s, in), name,
                 "unknown key; sealane.conf(5) lists the keys of a section \"%s\"",
                 conf_kind(in->kind)->name);
}

/* NAME = VALUE; name starts at start. */
static bool key_statement(struct scan *s, const struct open *in, const char *name, unsigned line,
                          size_t start)
{
    size_t values, row = 0;
    bool list;
    if (!skip_value(s, in, &values, &list))
        return false;
    const struct conf_key *key = in ? find_key(in->kind, name, &row) : NULL;
    if (!key) {
        if (!in || in->kind != CONF_NO_KIND)
            unknown_key(s, in, line, name);
        blank(s, start, s->at);
        return true;
    }
    struct conf_section *sec = &s->x->outline.v[in->index];
    if (sec->key_line[row])
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, sec, name, "given twice; first on line %u",
                     sec->key_line[row]);
    else if (list && !conf_type_is_list(key->type))
        conf_problem(s->x, SL_CONFIG_VALUE, line, sec, name, "takes one value, not a list");
    else if (values > CONF_LIST_MAX)
        conf_problem(s->x, SL_CONFIG_VALUE, line, sec, name, "more than %d values", CONF_LIST_MAX);
    else {
        sec->key_line[row] = line;
        return true;
    }
    if (!sec->key_line[row])
        sec->key_line[row] = line;
    blank(s, start, s->at);
    return true;
}

static bool title_ok(const char *t)
{
    size_t n = strspn(t, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n < SL_NAME_MAX && !t[n] && t[0] != '.' && t[0] != '-';
}

static void unknown_section(struct scan *s, const struct open *in, unsigned line, const char *name)
{
    struct sl_nearest near = { .word = name };
    enum conf_kind parent = in ? in->kind : CONF_NO_KIND;
    for (unsigned k = 0; k < CONF_KINDS; k++)
        if (conf_kind(k)->parent == parent)
            sl_nearest_try(&near, conf_kind(k)->name);
    if (near.best)
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, in ? section_at(s, in) : NULL, NULL,
                     "unknown section \"%.80s\"; nearest valid section: \"%s\"", name, near.best);
    else
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, in ? section_at(s, in) : NULL, NULL,
                     "unknown section \"%.80s\"%s", name,
                     !in ? "; sealane.conf(5) lists the sections"
                     : in->kind == CONF_connection
                         ? "; inside a connection only \"child\" sections stand"
                         : "; no section stands inside this one");
}

/* Adds a section to the outline; false when its statement must not reach libconfuse. */
static bool add_section(struct scan *s, const struct open *in, struct open *o, const char *title,
                        bool *fatal)
{
    struct conf_ctx *x = s->x;
    const struct conf_kind_info *info = conf_kind(o->kind);
    const struct conf_section *parent = in ? section_at(s, in) : NULL;
    if (info->titled && !title) {
        conf_problem(x, SL_CONFIG_SYNTAX, o->line, parent, NULL,
                     "section \"%s\" needs a name: %s NAME { ... }", info->name, info->name);
        return false;
    }
    if (!info->titled && title) {
        conf_problem(x, SL_CONFIG_SYNTAX, o->line, parent, NULL, "section \"%s\" takes no name",
                     info->name);
        return false;
    }
    if (title && !title_ok(title)) {
        conf_problem(
            x, SL_CONFIG_VALUE, o->line, parent, NULL,
            "name \"%.80s\" of section \"%s\" is not allowed; expected 1 to %d of a-z 0-9 . _ - "
            "and a letter or digit first",
            title, info->name, SL_NAME_MAX - 1);
        return false;
    }
    struct conf_outline *out = &x->outline;
    if (out->n >= CONF_SECTIONS_MAX) {
        conf_problem(x, SL_CONFIG_VALUE, o->line, NULL, NULL, "more than %d sections",
                     CONF_SECTIONS_MAX);
        *fatal = true;
        return false;
    }
    size_t up = in ? in->index : SIZE_MAX;
    for (size_t i = 0; i < out->n; i++)
        if (out->v[i].kind == o->kind && out->v[i].parent == up &&
            strcmp(out->v[i].title, title ? title : "") == 0) {
            conf_problem(x, SL_CONFIG_SYNTAX, o->line, parent, NULL,
                         "section \"%s%s%s\" is there twice; first on line %u", info->name,
                         title ? " " : "", title ? title : "", out->v[i].line);
            return false;
        }
    if (out->n == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 16;
        struct conf_section *grown = reallocarray(out->v, cap, sizeof(*grown));
        if (!grown) {
            conf_problem(x, SL_NO_MEMORY, o->line, NULL, NULL, "out of memory");
            *fatal = true;
            return false;
        }
        out->v = grown;
        out->cap = cap;
    }
    struct conf_section *sec = &out->v[out->n];
    *sec = (struct conf_section){ .kind = o->kind, .line = o->line, .parent = up };
    if (title)
        snprintf(sec->title, sizeof(sec->title), "%s", title);
    o->index = out->n++;
    return true;
}

/* NAME [TITLE] { */
static bool open_section(struct scan *s, struct open *stack, size_t *depth, const char *name,
                         const char *title, unsigned line, size_t start)
{
    const struct open *in = *depth ? &stack[*depth - 1] : NULL;
    if (*depth == DEPTH_MAX) {
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, NULL, NULL, "sections are nested too deep");
        return false;
    }
    struct open *o = &stack[*depth];
    *o = (struct open){ .kind = CONF_NO_KIND, .start = start, .line = line };
    snprintf(o->name, sizeof(o->name), "%.60s", name);
    if (!in || in->kind != CONF_NO_KIND) { /* inside an unknown section all is skipped */
        bool fatal = false;
        o->kind = conf_kind_find(in ? in->kind : CONF_NO_KIND, name);
        if (o->kind == CONF_NO_KIND)
            unknown_section(s, in, line, name);
        else if (!add_section(s, in, o, title, &fatal))
            o->kind = CONF_NO_KIND;
        if (fatal)
            return false;
    }
    ++*depth;
    return true;
}

/* One statement; *end is set at the end of the text. */
static bool statement(struct scan *s, struct open *stack, size_t *depth, bool *end)
{
    const struct open *in = *depth ? &stack[*depth - 1] : NULL;
    enum token t = next_token(s);
    if (t == T_END && !in) {
        *end = true;
        return true;
    }
    if (t == T_END) {
        conf_problem(s->x, SL_CONFIG_SYNTAX, in->line, section_at(s, in), NULL,
                     "section \"%s\" that starts here has no closing \"}\"", in->name);
        return false;
    }
    if (t == T_CLOSE && in) {
        if (in->kind == CONF_NO_KIND)
            blank(s, in->start, s->at);
        --*depth;
        return true;
    }
    if (t == T_CLOSE) {
        conf_problem(s->x, SL_CONFIG_SYNTAX, s->token_line, NULL, NULL,
                     "\"}\" closes no section; is there one too many?");
        return false;
    }
    if (t == T_STRING) {
        conf_problem(
            s->x, SL_CONFIG_SYNTAX, s->token_line, in ? section_at(s, in) : NULL, NULL,
            "found text in quotes; expected a key or a section, which are written without");
        return false;
    }
    if (t != T_WORD)
        return unexpected(s, in, t, "a key or a section");

    char name[256];
    snprintf(name, sizeof(name), "%s", s->word);
    size_t start = s->token_at;
    unsigned line = s->token_line;
    t = next_token(s);
    if (t == T_EQUAL)
        return key_statement(s, in, name, line, start);
    if (t == T_OPEN)
        return open_section(s, stack, depth, name, NULL, line, start);
    if (t != T_WORD && t != T_STRING)
        return unexpected(s, in, t, "\"=\" after a key, or a name and \"{\" after a section");
    char title[256];
    snprintf(title, sizeof(title), "%s", s->word);
    t = next_token(s);
    if (t != T_OPEN) {
        if (t == T_BAD)
            return false;
        conf_problem(s->x, SL_CONFIG_SYNTAX, line, in ? section_at(s, in) : NULL, NULL,
                     "found \"%.60s %.60s\"; expected \"%.60s = VALUE\" or \"%.60s NAME {\"", name,
                     title, name, name);
        return false;
    }
    return open_section(s, stack, depth, name, title, line, start);
}

/* What no part of the file may hold. */
static bool check_bytes(struct conf_ctx *x, struct sl_bytes text)
{
    if (text.len > CONF_TEXT_MAX) {
        conf_problem(x, SL_CONFIG_SYNTAX, 0, NULL, NULL, "%zu bytes; at most %zu are read",
                     text.len, CONF_TEXT_MAX);
        return false;
    }
    unsigned line = 1;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (c == '\n')
            line++;
        if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f) {
            conf_problem(x, SL_CONFIG_SYNTAX, line, NULL, NULL,
                         "control character 0x%02x; expected plain text", c);
            return false;
        }
        if (c == '$' && i + 1 < text.len && text.p[i + 1] == '{') {
            conf_problem(x, SL_CONFIG_SYNTAX, line, NULL, NULL,
                         "\"${\" is not allowed: environment variables are not expanded here");
            return false;
        }
    }
    return true;
}

bool conf_outline_read(struct conf_ctx *x, struct sl_bytes text, struct sl_buf *clean)
{
    if (!check_bytes(x, text))
        return false;
    if (!sl_buf_put(clean, text) || !sl_buf_nul(clean)) {
        conf_problem(x, SL_NO_MEMORY, 0, NULL, NULL, "out of memory");
        return false;
    }
    struct scan s = { .x = x, .text = text, .clean = clean, .line = 1 };
    struct open stack[DEPTH_MAX];
    size_t depth = 0;
    bool end = false;
    while (!end)
        if (!statement(&s, stack, &depth, &end))
            return false;
    return true;
}
