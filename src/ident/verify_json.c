/* A validation's request: its members, one by one or as a line of a batch. */
#include "sealane/time.h"
#include "sealane/verify.h"

#include <openssl/err.h>
#include <openssl/objects.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_DEPTH_MAX 8

/* ---- parts ------------------------------------------------------------------------------------------ */
void sl_verify_ask_clear(struct sl_verify_ask *ask)
{
    for (size_t k = 0; k < SL_VERIFY_LISTS; k++) {
        for (size_t i = 0; i < ask->list[k].n; i++)
            sl_buf_clear(&ask->list[k].v[i].data);
        free(ask->list[k].v);
    }
    sl_buf_clear(&ask->leaf.data);
    *ask = (struct sl_verify_ask){ 0 };
}

static enum sl_rc fill(struct sl_verify_part *part, struct sl_bytes data, const char *what,
                       struct sl_err *err)
{
    *part = (struct sl_verify_part){ 0 };
    snprintf(part->what, sizeof(part->what), "%s", what);
    if (!sl_buf_put(&part->data, data))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

enum sl_rc sl_verify_put(struct sl_verify_ask *ask, enum sl_verify_list list, struct sl_bytes data,
                         const char *what, struct sl_err *err)
{
    struct sl_verify_parts *l = &ask->list[list];
    if (list == SL_VERIFY_OCSP && l->n == SL_CHAIN_MAX)
        return SL_FAIL(err, SL_USAGE, "%s: more than %d OCSP responses", what, SL_CHAIN_MAX);
    struct sl_verify_part *v = reallocarray(l->v, l->n + 1, sizeof(*v));
    if (!v)
        return SL_FAIL_MEM(err);
    l->v = v;
    SL_TRY(fill(&v[l->n], data, what, err));
    l->n++;
    return SL_OK;
}

enum sl_rc sl_verify_put_leaf(struct sl_verify_ask *ask, struct sl_bytes data, const char *what,
                              struct sl_err *err)
{
    if (ask->has_leaf)
        return SL_FAIL(err, SL_USAGE, "leaf is given twice");
    SL_TRY(fill(&ask->leaf, data, what, err));
    ask->has_leaf = true;
    return SL_OK;
}

/* PEM as it is, or base64 of DER. */
static enum sl_rc content(struct sl_buf *out, const char *member, const json_t *value,
                          struct sl_err *err)
{
    if (!json_is_string(value))
        return SL_FAIL(err, SL_USAGE, "%s: expected PEM or base64 of DER as a string", member);
    struct sl_bytes text = sl_bytes(json_string_value(value), json_string_length(value));
    if (memmem(text.p, text.len, "-----BEGIN ", 11)) {
        if (!sl_buf_put(out, text))
            return SL_FAIL_MEM(err);
    } else if (!sl_unbase64(out, text)) {
        return SL_FAIL(err, SL_USAGE, "%s: neither PEM nor base64", member);
    }
    return SL_OK;
}

static enum sl_rc put_content(struct sl_verify_ask *ask, enum sl_verify_list list,
                              const char *member, const json_t *value, struct sl_err *err)
{
    SL_AUTO_BUF data = { 0 };
    SL_TRY(content(&data, member, value, err));
    return sl_verify_put(ask, list, sl_buf_bytes(&data), member, err);
}

static enum sl_rc put_list(struct sl_verify_ask *ask, enum sl_verify_list list, const char *member,
                           const json_t *value, struct sl_err *err)
{
    size_t i;
    json_t *one;
    if (!json_is_array(value))
        return put_content(ask, list, member, value, err);
    json_array_foreach(value, i, one)
    {
        char what[SL_VERIFY_WHAT];
        snprintf(what, sizeof(what), "%s[%zu]", member, i);
        SL_TRY(put_content(ask, list, what, one, err));
    }
    return SL_OK;
}

/* ---- rules -------------------------------------------------------------------------------------------- */
static enum sl_rc set_flag(bool *flag, const char *member, const json_t *value, struct sl_err *err)
{
    if (!json_is_boolean(value))
        return SL_FAIL(err, SL_USAGE, "%s: expected true or false", member);
    *flag = json_is_true(value);
    return SL_OK;
}

/* RFC 3339 with a fraction, which is cut off, and an offset; or seconds since 1970. */
static bool read_time(int64_t *utc_s, const char *text)
{
    char plain[SL_TIME_TEXT];
    size_t len = strlen(text), n = 19; /* "2026-11-23T17:20:30" */
    if (len < n || !strchr(text, ':'))
        return sl_time_parse(utc_s, text);
    snprintf(plain, sizeof(plain), "%.19sZ", text);
    if (text[n] == '.')
        n += 1 + strspn(text + n + 1, "0123456789");
    if (!sl_time_parse(utc_s, plain))
        return false;
    if (strcmp(text + n, "Z") == 0 || strcmp(text + n, "z") == 0)
        return true;
    const char *p = text + n + 1;
    if ((text[n] != '+' && text[n] != '-') || strlen(p) != 5 || p[2] != ':' ||
        strspn(p, "0123456789") != 2 || strspn(p + 3, "0123456789") != 2)
        return false;
    int hours = (p[0] - '0') * 10 + p[1] - '0', minutes = (p[3] - '0') * 10 + p[4] - '0';
    if (hours > 23 || minutes > 59)
        return false;
    int64_t offset = (int64_t)(hours * 60 + minutes) * 60;
    *utc_s += text[n] == '+' ? -offset : offset;
    return true;
}

static enum sl_rc set_time(struct sl_verify_rules *r, const char *member, const json_t *value,
                           struct sl_err *err)
{
    const char *text = json_string_value(value);
    r->timed = true;
    if (json_is_integer(value))
        r->utc_s = json_integer_value(value);
    else if (!text || !read_time(&r->utc_s, text))
        return SL_FAIL(err, SL_USAGE,
                       "%s: expected a time as 2026-11-23T17:00:00Z or seconds since 1970", member);
    if (r->utc_s < -62167219200 || r->utc_s > 253402300799) /* the years that ASN.1 can write */
        return SL_FAIL(err, SL_USAGE, "%s: outside the years 0 to 9999", member);
    return SL_OK;
}

static bool is_oid(const char *text)
{
    ASN1_OBJECT *o = OBJ_txt2obj(text, 1);
    ERR_clear_error();
    ASN1_OBJECT_free(o);
    return o != NULL;
}

static bool is_policy(const char *text)
{
    return is_oid(text);
}

static enum sl_rc add_oid(char v[][SL_VERIFY_OID_TEXT], size_t *n, size_t max, const char *member,
                          const json_t *value, bool (*valid)(const char *), const char *expected,
                          struct sl_err *err)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) >= SL_VERIFY_OID_TEXT || !valid(text))
        return SL_FAIL(err, SL_USAGE, "%s: \"%.80s\" is not %s", member, text ? text : "",
                       expected);
    if (*n == max)
        return SL_FAIL(err, SL_USAGE, "%s: more than %zu", member, max);
    memcpy(v[*n], text, strlen(text) + 1);
    ++*n;
    return SL_OK;
}

static enum sl_rc set_eku(struct sl_verify_rules *r, const char *member, const json_t *value,
                          struct sl_err *err)
{
    const char *text = json_string_value(value);
    size_t i;
    json_t *one;
    if (text && strcmp(text, "none") == 0) {
        r->any_use = true;
        r->eku_n = 0;
        return SL_OK;
    }
    static const char expected[] = "an OID, a name of an extended key usage, or none";
    r->any_use = false;
    r->eku_n = 0;
    if (!json_is_array(value))
        return add_oid(r->eku, &r->eku_n, SL_VERIFY_EKU_MAX, member, value, sl_eku_valid, expected,
                       err);
    json_array_foreach(value, i, one) SL_TRY(
        add_oid(r->eku, &r->eku_n, SL_VERIFY_EKU_MAX, member, one, sl_eku_valid, expected, err));
    return SL_OK;
}

static enum sl_rc set_policy(struct sl_verify_rules *r, const char *member, const json_t *value,
                             struct sl_err *err)
{
    size_t i;
    json_t *one;
    r->policy_n = 0;
    if (!json_is_array(value))
        return add_oid(r->policy, &r->policy_n, SL_VERIFY_POLICY_MAX, member, value, is_policy,
                       "an OID", err);
    json_array_foreach(value, i, one) SL_TRY(add_oid(r->policy, &r->policy_n, SL_VERIFY_POLICY_MAX,
                                                     member, one, is_policy, "an OID", err));
    /* anyPolicy in the user's set accepts every policy (RFC 5280 6.1.1 (c)). */
    for (i = 0; i < r->policy_n; i++)
        if (strcmp(r->policy[i], "2.5.29.32.0") == 0)
            r->policy_n = 0;
    return SL_OK;
}

static enum sl_rc set_any_policy(struct sl_verify_rules *r, const char *member, const json_t *value,
                                 struct sl_err *err)
{
    bool any = false;
    SL_TRY(set_flag(&any, member, value, err));
    if (any)
        r->policy_n = 0;
    return SL_OK;
}

static enum sl_rc set_revocation(struct sl_verify_rules *r, const char *member, const json_t *value,
                                 struct sl_err *err)
{
    static const char *const words[] = { "require", "grace", "off" };
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < SL_ARRAY_LEN(words); i++)
        if (strcmp(words[i], text) == 0) {
            r->revocation = (enum sl_verify_revocation)(SL_VERIFY_REQUIRE + i);
            return SL_OK;
        }
    return SL_FAIL(err, SL_USAGE, "%s: \"%.40s\" is none of require, grace, off", member,
                   text ? text : "");
}

static enum sl_rc set_profile(struct sl_verify_rules *r, const char *member, const json_t *value,
                              struct sl_err *err)
{
    const char *text = json_string_value(value);
    if (text && strcmp(text, "rfc5280") == 0)
        r->profile = SL_PROFILE_RFC5280;
    else if (text && strcmp(text, "strict") == 0)
        r->profile = SL_PROFILE_STRICT;
    else
        return SL_FAIL(err, SL_USAGE, "%s: \"%.40s\" is none of rfc5280, strict", member,
                       text ? text : "");
    return SL_OK;
}

static enum sl_rc set_depth(struct sl_verify_rules *r, const char *member, const json_t *value,
                            struct sl_err *err)
{
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || n > UINT8_MAX)
        return SL_FAIL(err, SL_USAGE, "%s: expected a number from 0 to %d", member, UINT8_MAX);
    r->depth_limited = true;
    r->max_depth = (uint8_t)n;
    return SL_OK;
}

static enum sl_rc set_name(struct sl_verify_rules *r, const char *member, const json_t *value,
                           struct sl_err *err)
{
    static const char *const types[] = { "dns:", "ip:", "email:", "dn:" };
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < SL_ARRAY_LEN(types); i++)
        if (strncmp(text, types[i], strlen(types[i])) == 0) {
            if (sl_id_parse(&r->id, text, err) == SL_OK)
                return SL_OK;
            err->rc = SL_USAGE;
            return SL_WRAP(err, "%s", member);
        }
    return SL_FAIL(err, SL_USAGE,
                   "%s: \"%.80s\" is no identity; expected dns:NAME, ip:ADDRESS, email:ADDRESS or "
                   "dn:NAME",
                   member, text ? text : "");
}

/* ---- the table ------------------------------------------------------------------------------------------ */
static const struct {
    const char *member;
    enum sl_verify_list list;
} lists[] = {
    { "anchors", SL_VERIFY_ANCHORS },
    { "anchor", SL_VERIFY_ANCHORS },
    { "intermediates", SL_VERIFY_INTERMEDIATES },
    { "intermediate", SL_VERIFY_INTERMEDIATES },
    { "crls", SL_VERIFY_CRLS },
    { "crl", SL_VERIFY_CRLS },
    { "ocsp", SL_VERIFY_OCSP },
};

static const struct {
    const char *member;
    enum sl_rc (*set)(struct sl_verify_rules *r, const char *member, const json_t *value,
                      struct sl_err *err);
} rules[] = {
    { "time", set_time },
    { "name", set_name },
    { "eku", set_eku },
    { "policy", set_policy },
    { "any_policy", set_any_policy },
    { "revocation", set_revocation },
    { "profile", set_profile },
    { "max_depth", set_depth },
};

static const struct {
    const char *member;
    size_t at;
} flags[] = {
    { "explicit_policy", offsetof(struct sl_verify_rules, explicit_policy) },
    { "inhibit_any", offsetof(struct sl_verify_rules, inhibit_any) },
    { "inhibit_mapping", offsetof(struct sl_verify_rules, inhibit_mapping) },
    { "no_fetch", offsetof(struct sl_verify_rules, no_fetch) },
};

enum sl_rc sl_verify_set(struct sl_verify_ask *ask, const char *member, const json_t *value,
                         struct sl_err *err)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(rules); i++)
        if (strcmp(rules[i].member, member) == 0)
            return rules[i].set(&ask->rules, member, value, err);
    for (size_t i = 0; i < SL_ARRAY_LEN(flags); i++)
        if (strcmp(flags[i].member, member) == 0)
            return set_flag((bool *)((uint8_t *)&ask->rules + flags[i].at), member, value, err);
    for (size_t i = 0; i < SL_ARRAY_LEN(lists); i++)
        if (strcmp(lists[i].member, member) == 0)
            return put_list(ask, lists[i].list, member, value, err);
    if (strcmp(member, "leaf") != 0)
        return SL_FAIL(err, SL_USAGE, "unknown member \"%.60s\"", member);
    SL_AUTO_BUF data = { 0 };
    SL_TRY(content(&data, member, value, err));
    return sl_verify_put_leaf(ask, sl_buf_bytes(&data), member, err);
}

/* ---- a line ------------------------------------------------------------------------------------------------ */
static json_t *answer_line(const json_t *request, const struct sl_verify_ask *defaults,
                           const struct sl_verify_shell *shell)
{
    struct sl_verify_ask ask = { .defaults = defaults };
    struct sl_err err;
    const char *member;
    json_t *value, *answer = NULL;
    sl_err_reset(&err);
    if (defaults)
        ask.rules = defaults->rules;
    json_object_foreach((json_t *)(uintptr_t)request, member, value)
    {
        if (strcmp(member, "id") != 0 && sl_verify_set(&ask, member, value, &err) != SL_OK) {
            answer = sl_verify_error(err.rc, sl_err_text(&err));
            break;
        }
    }
    if (!answer)
        answer = sl_verify(&ask, shell);
    sl_verify_ask_clear(&ask);
    return answer;
}

/* jansson recurses as deep as its input; a request needs two levels. */
static bool too_deep(struct sl_bytes line)
{
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = line.p[i];
        if (text && c == '\\')
            i++;
        else if (c == '"')
            text = !text;
        else if (!text && (c == '[' || c == '{') && ++depth > LINE_DEPTH_MAX)
            return true;
        else if (!text && (c == ']' || c == '}'))
            depth--;
    }
    return false;
}

json_t *sl_verify_line(struct sl_bytes line, const struct sl_verify_ask *defaults,
                       const struct sl_verify_shell *shell)
{
    json_error_t why;
    char text[256];
    if (line.len > SL_VERIFY_LINE_MAX)
        return sl_verify_error(SL_TOO_LARGE, "a request is at most 8 MiB");
    if (too_deep(line))
        return sl_verify_error(SL_MALFORMED, "the request is nested too deeply");
    json_t *request = json_loadb((const char *)line.p, line.len, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(request)) {
        snprintf(text, sizeof(text), "the request is not a JSON object: %.160s",
                 request ? "it is another value" : why.text);
        json_decref(request);
        return sl_verify_error(SL_MALFORMED, text);
    }
    json_t *answer = answer_line(request, defaults, shell);
    json_t *id = json_object_get(request, "id");
    if (answer && id)
        (void)json_object_set(answer, "id", id);
    json_decref(request);
    return answer;
}
