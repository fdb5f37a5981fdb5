/* Output for people: clean text, labelled fields, aligned tables; and JSON as it is. */
#include "src/cmd/sealane/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

/*
 * Control characters of what a peer or a certificate said must not reach the terminal: C0, DEL and
 * the C1 range in UTF-8 (C2 80 to C2 9F).
 */
void out_text(FILE *f, const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            fprintf(f, "\\x%02x", *p);
        } else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
            fprintf(f, "\\x%02x", p[1]);
            p++;
        } else {
            fputc(*p, f);
        }
    }
}

void out_json(FILE *f, const json_t *v)
{
    (void)json_dumpf(v, f, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    fputc('\n', f);
}

const char *field_string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

bool field_is(const json_t *o, const char *key, const char *value)
{
    return strcmp(field_string(o, key), value) == 0;
}

static const char *value_text(char *buf, size_t cap, const json_t *v)
{
    buf[0] = '\0';
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        snprintf(buf, cap, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(buf, cap, "%g", json_real_value(v));
    else if (json_is_boolean(v))
        snprintf(buf, cap, "%s", json_is_true(v) ? "yes" : "no");
    else if (json_is_array(v)) {
        size_t i, used = 0;
        json_t *e;
        json_array_foreach(v, i, e)
        {
            char one[256];
            const char *text = value_text(one, sizeof(one), e);
            int n = snprintf(buf + used, cap - used, "%s%s", i ? ", " : "", text);
            if (n < 0 || (size_t)n >= cap - used)
                break;
            used += (size_t)n;
        }
    }
    return buf;
}

const char *field_text(char *buf, size_t cap, const json_t *o, const char *key)
{
    return value_text(buf, cap, json_object_get(o, key));
}

void out_field(FILE *f, const char *label, const char *value)
{
    if (!value || !*value)
        return;
    fprintf(f, "  %-12s ", label);
    out_text(f, value);
    fputc('\n', f);
}

void out_member(FILE *f, const char *label, const json_t *o, const char *key)
{
    char buf[1024];
    out_field(f, label, field_text(buf, sizeof(buf), o, key));
}

char *out_duration(char *buf, size_t cap, int64_t s)
{
    static const struct {
        int64_t s;
        const char *unit;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };
    if (s < 0)
        s = -s;
    for (size_t i = 0; i < SL_ARRAY_LEN(units); i++) {
        if (s < units[i].s)
            continue;
        int64_t rest = i + 1 < SL_ARRAY_LEN(units) ? s % units[i].s / units[i + 1].s : 0;
        if (rest)
            snprintf(buf, cap, "%" PRId64 "%s %" PRId64 "%s", s / units[i].s, units[i].unit, rest,
                     units[i + 1].unit);
        else
            snprintf(buf, cap, "%" PRId64 "%s", s / units[i].s, units[i].unit);
        return buf;
    }
    snprintf(buf, cap, "0s");
    return buf;
}

char *out_bytes(char *buf, size_t cap, int64_t n)
{
    static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB", "PB" };
    double v = (double)n;
    size_t i = 0;
    for (; v >= 1000 && i + 1 < SL_ARRAY_LEN(units); i++)
        v /= 1000;
    snprintf(buf, cap, i ? "%.1f %s" : "%.0f %s", v, units[i]);
    return buf;
}

/* Characters that take a place: every byte but the continuations of UTF-8. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void out_table(FILE *f, const struct column *columns, size_t n, const json_t *rows)
{
    size_t wide[COLUMNS_MAX] = { 0 }, i;
    char buf[1024];
    json_t *row;
    if (n > COLUMNS_MAX)
        n = COLUMNS_MAX;
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < n; c++) {
            size_t w = width(field_text(buf, sizeof(buf), row, columns[c].key));
            wide[c] = w > wide[c] ? w : wide[c];
        }
    }
    size_t last = 0;
    for (size_t c = 0; c < n; c++)
        if (wide[c]) {
            wide[c] = wide[c] > width(columns[c].title) ? wide[c] : width(columns[c].title);
            last = c;
        }
    for (size_t line = 0; line <= json_array_size(rows); line++) {
        for (size_t c = 0; c < n; c++) {
            if (!wide[c])
                continue;
            const char *text =
                line == 0
                    ? columns[c].title
                    : field_text(buf, sizeof(buf), json_array_get(rows, line - 1), columns[c].key);
            out_text(f, text);
            for (size_t w = width(text); c != last && w < wide[c] + 2; w++)
                fputc(' ', f);
        }
        fputc('\n', f);
    }
}
