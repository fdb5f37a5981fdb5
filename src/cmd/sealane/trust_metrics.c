/*
 * trust status --metrics: the same as OpenMetrics text, for a scraper or node_exporter's textfile
 * collector. Sources of one CA are counted by state, for OCSP has one for each certificate; only lists
 * have a line of their own.
 */
#include "src/cmd/sealane/cli.h"

#include <inttypes.h>
#include <string.h>

enum state { FRESH, STALE, NOTHING, STATES };
static const char *const states[STATES] = { "fresh", "stale", "nothing" };
static const char *const kinds[] = { "crl", "ocsp" };

struct counts {
    unsigned n[SL_ARRAY_LEN(kinds)][STATES], failing[SL_ARRAY_LEN(kinds)];
};

/* OpenMetrics 1.0, ABNF of label values: backslash, double quote and line feed are escaped. */
static void label(FILE *f, const char *name, const char *value)
{
    fprintf(f, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", f);
        else if (*value == '"' || *value == '\\')
            fprintf(f, "\\%c", *value);
        else
            fputc(*value, f);
    }
    fputc('"', f);
}

static void family(FILE *f, const char *name, const char *unit, const char *help)
{
    fprintf(f, "# TYPE %s gauge\n", name);
    if (*unit)
        fprintf(f, "# UNIT %s %s\n", name, unit);
    fprintf(f, "# HELP %s %s\n", name, help);
}

static void open_line(FILE *f, const char *name, const json_t *t, const json_t *ca)
{
    fprintf(f, "%s{", name);
    label(f, "trust", field_string(t, "name"));
    fputc(',', f);
    label(f, "ca", field_string(ca, "ca"));
}

static enum state state_of(const json_t *s)
{
    if (!*field_string(s, "this_update"))
        return NOTHING;
    return json_is_false(json_object_get(s, "fresh")) ? STALE : FRESH;
}

/* All but OCSP are lists: "crl" and "delta". */
static size_t kind_of(const json_t *s)
{
    return strcasecmp(field_string(s, "kind"), "ocsp") == 0;
}

static void count(struct counts *c, const json_t *ca)
{
    size_t i;
    json_t *s;
    memset(c, 0, sizeof(*c));
    json_array_foreach(json_object_get(ca, "sources"), i, s)
    {
        c->n[kind_of(s)][state_of(s)]++;
        c->failing[kind_of(s)] += *field_string(s, "error") != '\0';
    }
}

typedef void per_ca(FILE *f, const char *name, const json_t *t, const json_t *ca);

static void left_of(FILE *f, const char *name, const json_t *t, const json_t *ca)
{
    const json_t *left = json_object_get(ca, "seconds_until_refused");
    if (!json_is_integer(left))
        return; /* revocation is not asked */
    open_line(f, name, t, ca);
    fprintf(f, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(left));
}

static void sources_of(FILE *f, const char *name, const json_t *t, const json_t *ca)
{
    struct counts c;
    count(&c, ca);
    for (size_t k = 0; k < SL_ARRAY_LEN(kinds); k++)
        for (size_t s = 0; s < STATES; s++) {
            open_line(f, name, t, ca);
            fprintf(f, ",kind=\"%s\",state=\"%s\"} %u\n", kinds[k], states[s], c.n[k][s]);
        }
}

static void failing_of(FILE *f, const char *name, const json_t *t, const json_t *ca)
{
    struct counts c;
    count(&c, ca);
    for (size_t k = 0; k < SL_ARRAY_LEN(kinds); k++) {
        open_line(f, name, t, ca);
        fprintf(f, ",kind=\"%s\"} %u\n", kinds[k], c.failing[k]);
    }
}

static void ages_of(FILE *f, const char *name, const json_t *t, const json_t *ca)
{
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(ca, "sources"), i, s)
    {
        if (kind_of(s) != 0 || state_of(s) == NOTHING)
            continue;
        open_line(f, name, t, ca);
        fputc(',', f);
        label(f, "source",
              *field_string(s, "uri") ? field_string(s, "uri") : field_string(s, "file"));
        fprintf(f, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(s, "age_s")));
    }
}

void show_trust_metrics(FILE *f, const json_t *data)
{
    static const struct {
        const char *name, *unit, *help;
        per_ca *show;
    } families[] = {
        { "sealane_trust_until_refused_seconds", "seconds",
          "Until peers of this CA are refused unless something newer comes.", left_of },
        { "sealane_trust_sources", "", "Sources of revocation status by what is held of them.",
          sources_of },
        { "sealane_trust_sources_failing", "", "Sources whose last fetch failed.", failing_of },
        { "sealane_trust_crl_age_seconds", "seconds", "Since thisUpdate of the list that is held.",
          ages_of },
    };
    for (size_t n = 0; n < SL_ARRAY_LEN(families); n++) {
        size_t i, k;
        json_t *t, *ca;
        family(f, families[n].name, families[n].unit, families[n].help);
        json_array_foreach(json_object_get(data, "trust"), i, t)
        {
            json_array_foreach(json_object_get(t, "cas"), k, ca) families[n].show(
                f, families[n].name, t, ca);
        }
    }
    fputs("# EOF\n", f);
}
