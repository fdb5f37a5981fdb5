/* Durations, identities, selectors and addresses from the spelling of either project into sealane's. */
#include "src/import/model.h"

#include "sealane/certs.h"
#include "sealane/net.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- durations, words ---------------------------------------------------------------------------------- */
bool imp_seconds(int64_t *out, const char *text)
{
    static const struct {
        const char *unit;
        int64_t s;
    } units[] = {
        { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 }
    };
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    if (v > 1000000000)
        return false;
    if (strcmp(end, "ms") == 0) {
        *out = ((int64_t)v + 999) / 1000;
        return true;
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(units); i++)
        if (strcmp(end, units[i].unit) == 0) {
            *out = (int64_t)v * units[i].s;
            return true;
        }
    return false;
}

const char *imp_duration(struct imp_model *m, int64_t s)
{
    const char *unit = "s";
    if (s && s % 86400 == 0)
        unit = "d", s /= 86400;
    else if (s && s % 3600 == 0)
        unit = "h", s /= 3600;
    else if (s && s % 60 == 0)
        unit = "m", s /= 60;
    return imp_printf(m->x, "%" PRId64 "%s", s, unit);
}

int imp_bool(const char *text)
{
    static const char *const words[] = { "no", "yes",      "false",   "true",  "0",
                                         "1",  "disabled", "enabled", "never", "insist" };
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return i % 2;
    return -1;
}

/* ---- identities ------------------------------------------------------------------------------------------ */
/* A value inside an RFC 4514 name. */
static const char *dn_value(struct imp_model *m, const char *v)
{
    SL_AUTO_BUF b = { 0 };
    size_t n = strlen(v);
    bool kept = true;
    for (size_t i = 0; i < n && kept; i++) {
        bool special = strchr(",+\"\\<>;", v[i]) || (i == 0 && v[i] == '#');
        kept = (!special || sl_buf_put_str(&b, "\\")) && sl_buf_put(&b, sl_bytes(v + i, 1));
    }
    return imp_text(m->x, sl_buf_bytes(&b));
}

/* "C=CH, O=Lab, CN=x" or "/C=CH/O=Lab/CN=x", most general first, to RFC 4514, most general last. */
static const char *dn(struct imp_model *m, const char *text)
{
    char sep = *text == '/' ? '/' : ',';
    const char *out = "";
    while (*text) {
        char part[512];
        size_t n = 0;
        bool quoted = false;
        for (; *text && (quoted || *text != sep); text++) {
            if (*text == '"')
                quoted = !quoted;
            else if (*text == '\\' && text[1] && n + 1 < sizeof(part))
                part[n++] = *++text;
            else if (n + 1 < sizeof(part) && (n || *text != ' '))
                part[n++] = *text;
        }
        text += *text != '\0';
        while (n && part[n - 1] == ' ')
            n--;
        part[n] = '\0';
        char *eq = strchr(part, '=');
        if (!n)
            continue;
        if (!eq || eq == part)
            return NULL;
        *eq = '\0';
        const char *type =
            strcasecmp(part, "E") == 0 || strcasecmp(part, "email") == 0 ? "emailAddress" : part;
        out = imp_printf(m->x, "%s=%s%s%s", type, dn_value(m, eq + 1 + strspn(eq + 1, " ")),
                         *out ? "," : "", out);
    }
    return out;
}

static struct imp_id checked(struct imp_model *m, const char *text)
{
    struct sl_id id;
    struct sl_err err = { 0 };
    bool plain = !strstr(text, "${");
    for (const char *p = text; *p; p++)
        plain = plain && (unsigned char)*p >= 0x20 && *p != 0x7f;
    if (plain && sl_id_parse(&id, text, &err) == SL_OK)
        return (struct imp_id){ IMP_ID_EXACT, text };
    return (struct imp_id){ IMP_ID_BAD, imp_text(m->x, sl_str(plain ? sl_err_text(&err)
                                                                    : "control characters")) };
}

static struct imp_id name_id(struct imp_model *m, const char *form, const char *value)
{
    if (strchr(value, '*'))
        return (struct imp_id){ IMP_ID_PATTERN, imp_printf(m->x, "%s%s", form, value) };
    return checked(m, imp_printf(m->x, "%s%s", form, value));
}

static struct imp_id dn_id(struct imp_model *m, const char *text)
{
    const char *name = dn(m, text);
    if (!name)
        return (struct imp_id){ IMP_ID_BAD, "not a distinguished name" };
    if (strchr(name, '*'))
        return (struct imp_id){ IMP_ID_SUBJECT, name };
    return checked(m, imp_printf(m->x, "dn:%s", name));
}

static struct imp_id keyid(struct imp_model *m, struct sl_bytes v)
{
    char hex[2 * SL_ID_MAX + 1];
    if (v.len > SL_ID_MAX)
        return (struct imp_id){ IMP_ID_BAD, "too long" };
    return checked(m, imp_printf(m->x, "keyid:%s", sl_hex(hex, sizeof(hex), v)));
}

struct imp_id imp_id(struct imp_model *m, const char *text)
{
    static const struct {
        const char *prefix, *form; /* form NULL: a DN; "": key ID as text */
    } forms[] = {
        { "fqdn:", "dns:" },    { "dns:", "dns:" },        { "rfc822:", "email:" },
        { "email:", "email:" }, { "userfqdn:", "email:" }, { "ipv4:", "ip:" },
        { "ipv6:", "ip:" },     { "ip:", "ip:" },          { "asn1dn:", NULL },
        { "dn:", NULL },        { "keyid:", "" },
    };
    if (strncmp(text, "%any", 4) == 0 || strcmp(text, "*") == 0 || !*text)
        return (struct imp_id){ IMP_ID_ANY, NULL };
    if (*text == '%')
        return (struct imp_id){ IMP_ID_BAD, "it is taken from elsewhere" };
    for (size_t i = 0; i < SL_ARRAY_LEN(forms); i++) {
        size_t n = strlen(forms[i].prefix);
        if (strncmp(text, forms[i].prefix, n) != 0)
            continue;
        if (!forms[i].form)
            return dn_id(m, text + n);
        return *forms[i].form ? name_id(m, forms[i].form, text + n) : keyid(m, sl_str(text + n));
    }
    if (text[0] == '@' && text[1] == '#')
        return checked(m, imp_printf(m->x, "keyid:%s", text + 2));
    if (text[0] == '@' && text[1] == '[') { /* libreswan: a key ID as text, "]" may be missing */
        size_t n = strlen(text);
        return keyid(m, sl_bytes(text + 2, n - 2 - (text[n - 1] == ']')));
    }
    if (text[0] == '@' && text[1] == '@')
        return name_id(m, "email:", text + 2);
    if (text[0] == '@')
        return name_id(m, "dns:", text + 1);
    if (strchr(text, '='))
        return dn_id(m, text);
    if (imp_is_address(text))
        return checked(m, imp_printf(m->x, "ip:%s", text));
    return name_id(m, strchr(text, '@') ? "email:" : "dns:", text);
}

/* ---- addresses --------------------------------------------------------------------------------------------- */
bool imp_is_address(const char *text)
{
    struct sl_addr a;
    return sl_addr_parse(&a, text) && !sl_addr_is_any(&a);
}

static void mask(struct sl_addr *a, unsigned len)
{
    for (unsigned bit = len; bit < 8 * sl_addr_len(a); bit++)
        a->b[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
}

/* ADDRESS[/LEN]; bits past the length are cleared, as both projects do. */
static bool prefix(struct sl_prefix *p, const char *text)
{
    char copy[SL_PREFIX_TEXT];
    if (strlen(text) >= sizeof(copy))
        return false;
    snprintf(copy, sizeof(copy), "%s", text);
    char *slash = strchr(copy, '/'), *end = NULL;
    if (slash)
        *slash++ = '\0';
    if (!sl_addr_parse(&p->addr, copy))
        return false;
    unsigned long max = 8 * sl_addr_len(&p->addr), len = slash ? strtoul(slash, &end, 10) : max;
    if (slash && (!isdigit((unsigned char)*slash) || *end || len > max))
        return false;
    p->len = (uint8_t)len;
    mask(&p->addr, p->len);
    return true;
}

static void last_of(struct sl_addr *last, const struct sl_prefix *p)
{
    struct sl_addr first;
    sl_prefix_range(p, &first, last);
}

/* The largest prefixes that cover first..last and no more (at most 256 of them). */
static void range(struct imp_model *m, struct imp_list *out, struct sl_addr first,
                  const struct sl_addr *last)
{
    unsigned bits = (unsigned)(8 * sl_addr_len(&first));
    for (unsigned n = 0; n < 256 && sl_addr_cmp(&first, last) <= 0; n++) {
        struct sl_prefix p = { first, (uint8_t)bits };
        struct sl_addr end = first;
        while (p.len > 0) {
            struct sl_prefix wider = { first, (uint8_t)(p.len - 1) };
            mask(&wider.addr, wider.len);
            struct sl_addr e;
            last_of(&e, &wider);
            if (!sl_addr_eq(&wider.addr, &first) || sl_addr_cmp(&e, last) > 0)
                break;
            p = wider;
            end = e;
        }
        char text[SL_PREFIX_TEXT];
        imp_add(m->x, out, imp_text(m->x, sl_str(sl_prefix_text(text, &p))));
        size_t i = sl_addr_len(&end);
        while (i > 0 && ++end.b[i - 1] == 0)
            i--;
        if (i == 0)
            break; /* the last address of the family */
        first = end;
    }
}

bool imp_prefixes(struct imp_model *m, struct imp_list *out, const char *text)
{
    char copy[2 * SL_ADDR_TEXT], shown[SL_PREFIX_TEXT];
    struct sl_prefix p;
    if (prefix(&p, text)) {
        imp_add(m->x, out, imp_text(m->x, sl_str(sl_prefix_text(shown, &p))));
        return true;
    }
    if (strlen(text) >= sizeof(copy))
        return false;
    snprintf(copy, sizeof(copy), "%s", text);
    char *dash = strchr(copy, '-');
    struct sl_addr first, last;
    if (!dash)
        return false;
    *dash++ = '\0';
    if (!sl_addr_parse(&first, copy) || !sl_addr_parse(&last, dash) ||
        first.family != last.family || sl_addr_cmp(&first, &last) > 0)
        return false;
    range(m, out, first, &last);
    return true;
}

void imp_remotes(struct imp_model *m, struct imp_conn *c, const struct imp_list *list,
                 const char *port, bool starts, struct imp_at at)
{
    struct imp_list prefixes = { 0 };
    const char *single = NULL;
    bool any = list->n == 0;
    for (size_t i = 0; i < list->n; i++) {
        const char *a = list->v[i];
        struct imp_list of_this = { 0 };
        if (*a == '%' || strcmp(a, "0.0.0.0") == 0 || strcmp(a, "::") == 0 ||
            strcmp(a, "0.0.0.0/0") == 0 || strcmp(a, "::/0") == 0) {
            any = true;
        } else if (imp_is_address(a) && !single) {
            single = a;
            (void)imp_prefixes(m, &prefixes, a);
        } else if (imp_prefixes(m, &of_this, a)) {
            for (size_t k = 0; k < of_this.n && prefixes.n < 1000; k++)
                imp_add(m->x, &prefixes, of_this.v[k]);
        } else {
            imp_note(
                m, &c->notes, at,
                "peer %.200s: names are not resolved here; write its address as remote, or keep "
                "remote = any and let the peer call",
                a);
            any = true;
        }
    }
    if (single && (list->n == 1 || starts)) {
        c->remote = *port
                        ? imp_printf(m->x, strchr(single, ':') ? "[%s]:%s" : "%s:%s", single, port)
                        : single;
        if (list->n > 1)
            imp_note(
                m, &c->notes, at,
                "several addresses of the peer; only the first, which is called, is written; make "
                "a second connection with remote = any for the others");
    } else if (!any) {
        c->prefixes = prefixes;
    }
    if (*port && !(single && strcmp(c->remote, "any") != 0) && strcmp(port, "500") != 0)
        imp_note(m, &c->notes, at, "the peer's port %.20s counts only with its address", port);
}

/* ---- selectors ---------------------------------------------------------------------------------------------- */
static const char *port_number(const char *name)
{
    static const char *const names[][2] = {
        { "http", "80" },    { "https", "443" }, { "ssh", "22" },     { "domain", "53" },
        { "smtp", "25" },    { "ldap", "389" },  { "ldaps", "636" },  { "l2tp", "1701" },
        { "bootps", "67" },  { "bootpc", "68" }, { "ntp", "123" },    { "snmp", "161" },
        { "syslog", "514" }, { "bgp", "179" },   { "isakmp", "500" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
    return name;
}

const char *imp_selector(struct imp_model *m, const char *text, const char *dynamic,
                         const char **why)
{
    char copy[128], proto[80] = "";
    *why = "not a selector";
    if (strlen(text) >= sizeof(copy))
        return NULL;
    snprintf(copy, sizeof(copy), "%s", text);
    char *bracket = strchr(copy, '[');
    if (bracket) {
        *bracket++ = '\0';
        bracket[strcspn(bracket, "]")] = '\0';
        char *slash = strchr(bracket, '/');
        if (slash)
            *slash++ = '\0';
        const char *name =
            strcmp(bracket, "ipv6-icmp") == 0 || strcmp(bracket, "icmpv6") == 0 ? "icmp6" : bracket;
        bool any_proto = !*name || strcmp(name, "%any") == 0 || strcmp(name, "0") == 0;
        bool any_port = !slash || !*slash || strcmp(slash, "%any") == 0 || strcmp(slash, "0") == 0;
        if (any_proto && !any_port) {
            *why = "a port without a protocol; write one selector for tcp and one for udp";
            return NULL;
        }
        if (!any_proto)
            snprintf(proto, sizeof(proto), any_port ? "[%.30s]" : "[%.30s/%.30s]", name,
                     any_port ? "" : port_number(slash));
    }
    const char *net = copy;
    if (strncmp(copy, "dynamic", 7) == 0 || strcmp(copy, "%dynamic") == 0) {
        /* sealane knows the word too; where nothing is negotiated, dynamic says what it stands for */
        const char *own = imp_printf(m->x, "dynamic%s", proto);
        if (!dynamic &&
            imp_takes(
                "", imp_printf(m->x, "} child p { local_ts = \"%s\" remote_ts = \"%s\"", own, own)))
            return own;
        if (!dynamic) {
            *why =
                "\"dynamic\" stands for an address that only the exchange tells; write the prefix "
                "that it comes from";
            return NULL;
        }
        net = dynamic;
    }
    char shown[SL_PREFIX_TEXT], full[256];
    struct sl_prefix p;
    struct sl_ts ts;
    if (prefix(&p, net))
        net = sl_prefix_text(shown, &p);
    snprintf(full, sizeof(full), "%s%s", net, proto);
    return sl_ts_parse(&ts, full) ? imp_text(m->x, sl_str(full)) : NULL;
}
