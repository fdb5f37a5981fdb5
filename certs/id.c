/*
 * IKE identities: text and wire form, comparison, and the table that binds them to certificates
 * (RFC 4945 3.1 and 5.1.3). An ID is never matched against the CN, nor with wildcards.
 */
#include "certs/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static enum sl_rc take(struct sl_id *id, enum sl_id_type type, struct sl_bytes v, const char *text,
                       struct sl_err *err)
{
    if (v.len == 0 || v.len > SL_ID_MAX)
        return SL_FAIL(err, SL_MALFORMED, "identity \"%s\": 1 to %d bytes are allowed, not %zu",
                       text, SL_ID_MAX, v.len);
    struct sl_id made = { .type = type, .len = (uint16_t)v.len };
    memcpy(made.data, v.p, v.len);
    *id = made;
    return SL_OK;
}

/* A host name of letters, digits, hyphens and dots: what a dNSName may hold (RFC 5280 4.2.1.6). */
static bool host_name(struct sl_bytes v)
{
    if (v.len == 0 || v.len > 253 || v.p[0] == '.')
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!isalnum(v.p[i]) && v.p[i] != '-' && v.p[i] != '.' && v.p[i] != '_')
            return false;
        if (v.p[i] == '.' && i + 1 < v.len && v.p[i + 1] == '.')
            return false;
    }
    return true;
}

/* RFC 5280 4.2.1.6: an rfc822Name is IA5; what is printed escaped would not be read back. */
static bool mailbox(const char *value)
{
    const char *at = strrchr(value, '@');
    if (!at || at == value || !host_name(sl_str(at + 1)))
        return false;
    for (const char *s = value; s < at; s++)
        if (*s <= ' ' || *s > '~' || *s == '\\')
            return false;
    return true;
}

enum sl_rc sl_id_parse(struct sl_id *id, const char *text, struct sl_err *err)
{
    const char *colon = strchr(text, ':');
    struct sl_bytes type = sl_bytes(text, colon ? (size_t)(colon - text) : 0);
    const char *value = colon ? colon + 1 : "";
    struct sl_bytes v = sl_str(value);
    if (sl_bytes_eq(type, sl_str("dns"))) {
        if (!host_name(v))
            return SL_FAIL(err, SL_MALFORMED, "identity \"%s\": not a host name", text);
        return take(id, SL_ID_FQDN, v, text, err);
    }
    if (sl_bytes_eq(type, sl_str("email"))) {
        if (!mailbox(value))
            return SL_FAIL(err, SL_MALFORMED, "identity \"%s\": not user@host", text);
        return take(id, SL_ID_RFC822_ADDR, v, text, err);
    }
    if (sl_bytes_eq(type, sl_str("ip"))) {
        struct sl_addr a;
        if (!sl_addr_parse(&a, value))
            return SL_FAIL(err, SL_MALFORMED, "identity \"%s\": not an IP address", text);
        return take(id, a.family == 4 ? SL_ID_IPV4_ADDR : SL_ID_IPV6_ADDR, sl_addr_bytes(&a), text,
                    err);
    }
    if (sl_bytes_eq(type, sl_str("dn"))) {
        SL_AUTO_BUF der = { 0 };
        SL_TRY(sl_dn_parse(&der, value, err));
        return take(id, SL_ID_DER_ASN1_DN, sl_buf_bytes(&der), text, err);
    }
    if (sl_bytes_eq(type, sl_str("keyid"))) {
        SL_AUTO_BUF raw = { 0 };
        if (!sl_unhex(&raw, value))
            return SL_FAIL(err, SL_MALFORMED, "identity \"%s\": keyid must be hex", text);
        return take(id, SL_ID_KEY_ID, sl_buf_bytes(&raw), text, err);
    }
    return SL_FAIL(err, SL_MALFORMED,
                   "identity \"%s\": expected dns:, email:, ip:, dn: or keyid: in front", text);
}

static struct sl_bytes id_bytes(const struct sl_id *id)
{
    return sl_bytes(id->data, id->len);
}

char *sl_id_text(char out[SL_ID_TEXT], const struct sl_id *id)
{
    struct sl_addr a;
    char addr[SL_ADDR_TEXT];
    int n = 0;
    switch (id->type) {
    case SL_ID_NONE:
        snprintf(out, SL_ID_TEXT, "none");
        return out;
    case SL_ID_FQDN:
        n = snprintf(out, SL_ID_TEXT, "dns:");
        sl_printable(out + n, SL_ID_TEXT - (size_t)n, id_bytes(id));
        return out;
    case SL_ID_RFC822_ADDR:
        n = snprintf(out, SL_ID_TEXT, "email:");
        sl_printable(out + n, SL_ID_TEXT - (size_t)n, id_bytes(id));
        return out;
    case SL_ID_IPV4_ADDR:
    case SL_ID_IPV6_ADDR:
        if (id->len == (id->type == SL_ID_IPV4_ADDR ? 4 : 16) &&
            sl_addr_from_bytes(&a, id_bytes(id))) {
            snprintf(out, SL_ID_TEXT, "ip:%s", sl_addr_text(addr, &a));
            return out;
        }
        break;
    case SL_ID_DER_ASN1_DN:
        n = snprintf(out, SL_ID_TEXT, "dn:");
        if (*sl_dn_text(out + n, SL_ID_TEXT - (size_t)n, id_bytes(id)))
            return out;
        break;
    case SL_ID_KEY_ID:
        n = snprintf(out, SL_ID_TEXT, "keyid:");
        sl_hex(out + n, SL_ID_TEXT - (size_t)n, id_bytes(id));
        return out;
    case SL_ID_DER_ASN1_GN:
        break;
    }
    n = snprintf(out, SL_ID_TEXT, "type%u:", (unsigned)id->type);
    sl_hex(out + n, SL_ID_TEXT - (size_t)n, id_bytes(id));
    return out;
}

bool certs_same_nocase(struct sl_bytes a, struct sl_bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (tolower(a.p[i]) != tolower(b.p[i]))
            return false;
    return true;
}

/* RFC 5280 7.5: the part before the @ exactly, the domain without case. */
static bool same_email(struct sl_bytes a, struct sl_bytes b)
{
    const uint8_t *at = a.len ? memrchr(a.p, '@', a.len) : NULL;
    if (!at || a.len != b.len)
        return false;
    size_t local = (size_t)(at - a.p) + 1;
    return memcmp(a.p, b.p, local) == 0 && certs_same_nocase(sl_bytes(a.p + local, a.len - local),
                                                             sl_bytes(b.p + local, b.len - local));
}

bool sl_id_eq(const struct sl_id *a, const struct sl_id *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case SL_ID_FQDN:
        return certs_same_nocase(id_bytes(a), id_bytes(b));
    case SL_ID_RFC822_ADDR:
        return same_email(id_bytes(a), id_bytes(b));
    case SL_ID_DER_ASN1_DN:
        return sl_dn_eq(id_bytes(a), id_bytes(b));
    case SL_ID_NONE:
        return true;
    case SL_ID_IPV4_ADDR:
    case SL_ID_IPV6_ADDR:
    case SL_ID_DER_ASN1_GN:
    case SL_ID_KEY_ID:
        break;
    }
    return sl_bytes_eq(id_bytes(a), id_bytes(b));
}

/* ---- the table ----------------------------------------------------------------------------------- */
struct binding {
    enum sl_id_type type;
    const char *rule;    /* where it must be found */
    const char *section; /* of RFC 4945 */
    bool (*usable)(struct sl_bytes id);
    bool (*same)(struct sl_bytes id, struct sl_bytes san);
};

static bool four(struct sl_bytes v)
{
    return v.len == 4;
}

static bool sixteen(struct sl_bytes v)
{
    return v.len == 16;
}

static bool some(struct sl_bytes v)
{
    return v.len > 0;
}

/* In the order of RFC 4945 3.1. A wildcard in a dNSName is a '*' that no host name holds. */
static const struct binding bindings[] = {
    { SL_ID_IPV4_ADDR, "iPAddress", "3.1.1", four, sl_bytes_eq },
    { SL_ID_IPV6_ADDR, "iPAddress", "3.1.1", sixteen, sl_bytes_eq },
    { SL_ID_FQDN, "dNSName", "3.1.2", host_name, certs_same_nocase },
    { SL_ID_RFC822_ADDR, "rfc822Name", "3.1.3", some, same_email },
    { SL_ID_DER_ASN1_DN, "subject", "3.1.5", some, sl_dn_eq },
};

static void what_it_has(char *out, size_t cap, const struct sl_cert *cert, enum sl_id_type type)
{
    size_t used = 0;
    struct sl_bytes san;
    out[0] = '\0';
    for (size_t i = 0; i < 4 && sl_cert_san(cert, type, i, &san) && used + 1 < cap; i++) {
        char one[160];
        struct sl_addr a;
        char addr[SL_ADDR_TEXT];
        if ((type == SL_ID_IPV4_ADDR || type == SL_ID_IPV6_ADDR) && sl_addr_from_bytes(&a, san))
            snprintf(one, sizeof(one), "%s", sl_addr_text(addr, &a));
        else
            sl_printable(one, sizeof(one), san);
        int n = snprintf(out + used, cap - used, "%s%s", used ? ", " : "", one);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used == 0)
        snprintf(out, cap, "none");
}

enum sl_rc sl_id_in_cert(const struct sl_id *id, const struct sl_cert *cert,
                         const struct sl_id *key_id, struct sl_id_match *out, struct sl_err *err)
{
    char text[SL_ID_TEXT];
    sl_id_text(text, id);
    if (id->type == SL_ID_KEY_ID) {
        if (!key_id || key_id->type != SL_ID_KEY_ID || !sl_id_eq(id, key_id))
            return SL_FAIL(err, SL_ID_TYPE,
                           "identity %.200s: a KEY_ID is in no certificate and the connection does "
                           "not name it (RFC 4945 3.1.7)",
                           text);
        *out = (struct sl_id_match){ .rule = "configured KEY_ID" };
        snprintf(out->value, sizeof(out->value), "%s", text);
        return SL_OK;
    }
    const struct binding *b = NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(bindings); i++)
        if (bindings[i].type == id->type)
            b = &bindings[i];
    if (!b)
        return SL_FAIL(err, SL_ID_TYPE,
                       "identity %.200s: type %u cannot be bound to a certificate (RFC 4945 3.1)",
                       text, (unsigned)id->type);
    if (!b->usable(id_bytes(id)))
        return SL_FAIL(err, SL_ID_TYPE, "identity %.200s is not well formed (RFC 4945 %s)", text,
                       b->section);
    char has[200];
    if (id->type == SL_ID_DER_ASN1_DN) {
        if (b->same(id_bytes(id), sl_cert_subject_der(cert)))
            goto found;
        snprintf(has, sizeof(has), "%s", sl_cert_subject(cert));
    } else {
        struct sl_bytes san;
        for (size_t i = 0; sl_cert_san(cert, id->type, i, &san); i++)
            if (b->same(id_bytes(id), san))
                goto found;
        what_it_has(has, sizeof(has), cert, id->type);
    }
    return SL_FAIL(err, SL_ID_NOT_IN_CERT,
                   "identity %.160s is not in certificate %.120s: its %s is %s (RFC 4945 %s)", text,
                   sl_cert_name(cert), b->rule, has, b->section);
found:
    *out = (struct sl_id_match){ .rule = b->rule };
    snprintf(out->value, sizeof(out->value), "%s", text);
    return SL_OK;
}

enum sl_rc sl_id_from_cert(struct sl_id *id, const struct sl_cert *cert, struct sl_err *err)
{
    static const enum sl_id_type order[] = { SL_ID_FQDN, SL_ID_RFC822_ADDR, SL_ID_IPV4_ADDR,
                                             SL_ID_IPV6_ADDR };
    struct sl_bytes v;
    for (size_t i = 0; i < SL_ARRAY_LEN(order); i++)
        if (sl_cert_san(cert, order[i], 0, &v))
            return take(id, order[i], v, sl_cert_name(cert), err);
    return take(id, SL_ID_DER_ASN1_DN, sl_cert_subject_der(cert), sl_cert_name(cert), err);
}
