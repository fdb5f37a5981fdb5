/*
 * A decision's evidence as lines of text: the same words for `policy test`, `audit show` and people.
 */
#include "sealane/decision.h"

#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool line(struct sl_buf *out, const char *label, const char *value)
{
    return *value == '\0' || sl_buf_printf(out, "%-12s %s\n", label, value);
}

static bool path_lines(struct sl_buf *out, const json_t *list, const char *label)
{
    size_t i;
    json_t *c;
    bool ok = true;
    json_array_foreach(list, i, c)
    {
        ok = ok && sl_buf_printf(out, "%-12s %s (serial %s), valid %s to %s, SHA-256 %s\n",
                                 i == 0 ? label : "  issued by", text_of(c, "subject"),
                                 text_of(c, "serial"), text_of(c, "not_before"),
                                 text_of(c, "not_after"), text_of(c, "sha256"));
    }
    return ok;
}

/* "candidate    CN=gw-a (serial 4d) < CN=Sub (serial 29): REVOKED: ..." */
static bool candidate_lines(struct sl_buf *out, const json_t *evidence)
{
    const json_t *list = json_object_get(evidence, "candidates");
    size_t i, k;
    json_t *c, *name;
    bool ok = true;
    json_array_foreach(list, i, c)
    {
        bool found = strcmp(text_of(c, "reason"), "OK") == 0;
        if (found && json_array_size(list) == 1)
            break; /* the path itself tells it */
        ok = ok && sl_buf_printf(out, "%-12s ", "candidate");
        json_array_foreach(json_object_get(c, "certs"), k, name) ok =
            ok && sl_buf_printf(out, "%s%s", k ? " < " : "", json_string_value(name));
        ok = ok && sl_buf_printf(out, ": %s%s%s\n", found ? "valid" : text_of(c, "reason"),
                                 *text_of(c, "text") ? ": " : "", text_of(c, "text"));
    }
    return ok;
}

static bool policy_line(struct sl_buf *out, const json_t *evidence)
{
    size_t i;
    json_t *p;
    bool ok = true;
    const json_t *list = json_object_get(evidence, "policies");
    json_array_foreach(list, i, p)
    {
        const char *oid = json_string_value(p);
        ok = ok && sl_buf_printf(out, i ? ", %s" : "policies     %s",
                                 strcmp(oid, "2.5.29.32.0") == 0 ? "any" : oid);
    }
    return ok && (i == 0 || sl_buf_put_str(out, "\n"));
}

static bool revocation_lines(struct sl_buf *out, const json_t *evidence)
{
    size_t i;
    json_t *c;
    bool ok = true;
    if (strcmp(text_of(evidence, "revocation_mode"), "off") == 0)
        return line(out, "revocation", "off: not asked");
    json_array_foreach(json_object_get(evidence, "revocation"), i, c)
    {
        ok = ok && sl_buf_printf(out, "%-12s %s: %s", "revocation", text_of(c, "cert"),
                                 text_of(c, "status"));
        if (ok && *text_of(c, "source"))
            ok = sl_buf_printf(out, ", by %s, thisUpdate %s, nextUpdate %s", text_of(c, "source"),
                               text_of(c, "this_update"), text_of(c, "next_update"));
        if (ok && *text_of(c, "text"))
            ok = sl_buf_printf(out, "; %s", text_of(c, "text"));
        ok = ok && sl_buf_put_str(out, "\n");
    }
    return ok;
}

/* "blocks       10.1.0.0/16, 2001:db8::/32 (RFC 3779)" */
static bool blocks_line(struct sl_buf *out, const json_t *evidence)
{
    const json_t *list = json_object_get(evidence, "address_blocks"), *b;
    bool ok = true;
    if (!list)
        return true;
    ok = sl_buf_printf(out, "%-12s %s", "blocks", json_array_size(list) ? "" : "none");
    for (size_t i = 0; ok && (b = json_array_get(list, i)); i++)
        ok = sl_buf_printf(out, "%s%s", i ? ", " : "", json_string_value(b));
    return ok && sl_buf_put_str(out, " (RFC 3779)\n");
}

/* "address      10.9.0.1, 2001:db8:9::1" of those that the peer got (RFC 7296 2.19) */
static bool address_line(struct sl_buf *out, const json_t *evidence)
{
    const json_t *given = json_object_get(evidence, "address"),
                 *list = json_object_get(given, "addresses"), *a;
    if (!given)
        return true;
    bool ok = sl_buf_printf(out, "%-12s ", "address");
    for (size_t i = 0; ok && (a = json_array_get(list, i)); i++)
        ok = sl_buf_printf(out, "%s%s", i ? ", " : "", json_string_value(a));
    if (ok && *text_of(given, "reason"))
        ok = sl_buf_printf(out, "none: %s: %s", text_of(given, "reason"), text_of(given, "text"));
    return ok && sl_buf_put_str(out, "\n");
}

bool sl_decision_story(struct sl_buf *out, const json_t *e)
{
    const json_t *binding = json_object_get(e, "binding"), *dir = json_object_get(e, "directory"),
                 *policy = json_object_get(e, "policy");
    bool ok = sl_buf_printf(out, "%-12s %s: %s: %s\n", "verdict", text_of(e, "verdict"),
                            text_of(e, "reason"), text_of(e, "text")) &&
              line(out, "connection", text_of(e, "connection")) &&
              line(out, "identity", text_of(e, "id")) &&
              line(out, "remote", text_of(e, "remote")) &&
              line(out, "method", text_of(e, "method")) &&
              path_lines(out, json_object_get(e, "presented"), "presented") &&
              path_lines(out, json_object_get(e, "path"), "path") && policy_line(out, e) &&
              candidate_lines(out, e) && revocation_lines(out, e);
    if (ok && binding)
        ok = sl_buf_printf(out, "%-12s %s: %s\n", "binding", text_of(binding, "rule"),
                           text_of(binding, "value"));
    ok = ok && line(out, "possession", text_of(e, "possession"));
    if (ok && json_is_object(dir))
        ok = sl_buf_printf(out, "%-12s %s: %s%s%s%s%s\n", "directory", text_of(dir, "name"),
                           *text_of(dir, "entry") ? text_of(dir, "entry") : "no entry",
                           *text_of(dir, "filter") ? ", filter " : "", text_of(dir, "filter"),
                           *text_of(dir, "text") ? "; " : "", text_of(dir, "text"));
    if (ok && policy)
        ok = line(out, "policy", text_of(policy, "text"));
    return ok && blocks_line(out, e) && address_line(out, e) &&
           line(out, "ask again", text_of(e, "ask_again"));
}
