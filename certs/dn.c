/*
 * Distinguished names: RFC 4514 text to the DER of a Name and back, and comparison by RFC 5280 7.1.
 *
 * libcrypto encodes, decodes and folds; what is here is the text grammar, which it does not read.
 */
#include "certs/internal.h"

#include <openssl/err.h>
#include <openssl/objects.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DN_MAX_RDNS  64
#define DN_MAX_VALUE 1024

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct attribute {
    int nid;
    char value[DN_MAX_VALUE];
    size_t len;
    bool with_previous; /* '+': same RDN as the attribute before */
};

/* RFC 4514 3: a type is a short name or a dotted OID. */
static enum sl_rc read_type(struct attribute *a, const char **s, const char *text,
                            struct sl_err *err)
{
    char type[64];
    size_t n = 0;
    while (**s == ' ')
        (*s)++;
    while (isalnum((unsigned char)**s) || **s == '.' || **s == '-') {
        if (n + 1 >= sizeof(type))
            return SL_FAIL(err, SL_MALFORMED, "name \"%s\": attribute type is too long", text);
        type[n++] = *(*s)++;
    }
    type[n] = '\0';
    while (**s == ' ')
        (*s)++;
    if (n == 0 || **s != '=')
        return SL_FAIL(err, SL_MALFORMED,
                       "name \"%s\": expected TYPE=value at character %zu (RFC 4514 3)", text,
                       (size_t)(*s - text) + 1);
    (*s)++;
    /* The short names of RFC 4514 and of common use; libcrypto's are case-sensitive. */
    static const struct {
        const char *name;
        int nid;
    } known[] = {
        { "CN", NID_commonName },
        { "O", NID_organizationName },
        { "OU", NID_organizationalUnitName },
        { "C", NID_countryName },
        { "L", NID_localityName },
        { "ST", NID_stateOrProvinceName },
        { "S", NID_stateOrProvinceName },
        { "STREET", NID_streetAddress },
        { "DC", NID_domainComponent },
        { "UID", NID_userId },
        { "serialNumber", NID_serialNumber },
        { "emailAddress", NID_pkcs9_emailAddress },
        { "E", NID_pkcs9_emailAddress },
        { "SN", NID_surname },
        { "GN", NID_givenName },
        { "T", NID_title },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(known); i++)
        if (strcasecmp(known[i].name, type) == 0) {
            a->nid = known[i].nid;
            return SL_OK;
        }
    a->nid = OBJ_txt2nid(type);
    if (a->nid == NID_undef) {
        ERR_clear_error();
        return SL_FAIL(err, SL_MALFORMED, "name \"%s\": attribute type %s is not known", text,
                       type);
    }
    return SL_OK;
}

static enum sl_rc put(struct attribute *a, char c, const char *text, struct sl_err *err)
{
    if (a->len >= sizeof(a->value))
        return SL_FAIL(err, SL_MALFORMED, "name \"%s\": a value is longer than %d bytes", text,
                       DN_MAX_VALUE);
    a->value[a->len++] = c;
    return SL_OK;
}

/* RFC 4514 3: \C and \HH escapes; unescaped outer spaces do not count. */
static enum sl_rc read_value(struct attribute *a, const char **s, const char *text,
                             struct sl_err *err)
{
    while (**s == ' ')
        (*s)++;
    size_t keep = 0; /* length that trailing spaces may not be cut below */
    while (**s && **s != ',' && **s != '+' && **s != ';') {
        char c = *(*s)++;
        if (c == '\\') {
            int hi = hex_digit(**s), lo = **s ? hex_digit((*s)[1]) : -1;
            if (hi >= 0 && lo >= 0) {
                c = (char)(hi * 16 + lo);
                *s += 2;
            } else if (**s && strchr(" \"#+,;<=>\\", **s)) {
                c = *(*s)++;
            } else {
                return SL_FAIL(err, SL_MALFORMED, "name \"%s\": bad escape (RFC 4514 2.4)", text);
            }
            SL_TRY(put(a, c, text, err));
            keep = a->len;
            continue;
        }
        if (strchr("\"<>", c))
            return SL_FAIL(err, SL_MALFORMED, "name \"%s\": '%c' must be escaped (RFC 4514 2.4)",
                           text, c);
        SL_TRY(put(a, c, text, err));
    }
    while (a->len > keep && a->value[a->len - 1] == ' ')
        a->len--;
    if (a->len == 0)
        return SL_FAIL(err, SL_MALFORMED, "name \"%s\": a value is empty", text);
    return SL_OK;
}

enum sl_rc sl_dn_parse(struct sl_buf *der, const char *text, struct sl_err *err)
{
    struct attribute *list = calloc(DN_MAX_RDNS, sizeof(*list));
    X509_NAME *name = X509_NAME_new();
    size_t n = 0;
    enum sl_rc rc = SL_OK;
    bool joined = false;
    if (!list || !name) {
        X509_NAME_free(name);
        free(list);
        return SL_FAIL_MEM(err);
    }
    for (const char *s = text; rc == SL_OK;) {
        if (n == DN_MAX_RDNS) {
            rc = SL_FAIL(err, SL_MALFORMED, "name has more than %d parts", DN_MAX_RDNS);
            break;
        }
        struct attribute *a = &list[n++];
        a->with_previous = joined;
        rc = read_type(a, &s, text, err);
        if (rc == SL_OK)
            rc = read_value(a, &s, text, err);
        if (rc != SL_OK || *s == '\0')
            break;
        joined = *s == '+';
        s++;
    }
    /* The text has the most specific RDN first, the DER last (RFC 4514 2.1). */
    for (size_t end = n; rc == SL_OK && end > 0;) {
        size_t first = end - 1;
        while (list[first].with_previous)
            first--;
        for (size_t i = first; rc == SL_OK && i < end; i++)
            if (!X509_NAME_add_entry_by_NID(name, list[i].nid, MBSTRING_UTF8,
                                            (const unsigned char *)list[i].value, (int)list[i].len,
                                            -1, i > first ? -1 : 0))
                rc = SL_FAIL_SSL(err, SL_MALFORMED, "name \"%s\": %s value is not allowed", text,
                                 OBJ_nid2sn(list[i].nid));
        end = first;
    }
    unsigned char *out = NULL;
    if (rc == SL_OK) {
        int len = i2d_X509_NAME(name, &out);
        if (len <= 0 || !sl_buf_put(der, sl_bytes(out, (size_t)len)))
            rc = SL_FAIL_MEM(err);
    }
    OPENSSL_free(out);
    X509_NAME_free(name);
    free(list);
    return rc;
}

X509_NAME *certs_name_read(struct sl_bytes der)
{
    if (der.len == 0 || der.len > SL_CERT_MAX_BYTES)
        return NULL;
    const unsigned char *p = der.p;
    X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)der.len);
    if (name && p != der.p + der.len) {
        X509_NAME_free(name);
        name = NULL;
    }
    ERR_clear_error();
    return name;
}

char *certs_name_text(char *out, size_t cap, const X509_NAME *name)
{
    out[0] = '\0';
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        char *p = NULL;
        long n = BIO_get_mem_data(bio, &p);
        /* RFC 2253 printing escapes what is not printable; this only makes sure of it. */
        size_t k = 0;
        for (; n > 0 && k < (size_t)n && k + 1 < cap; k++)
            out[k] = (char)(p[k] >= ' ' && p[k] < 0x7f ? p[k] : '?');
        out[k] = '\0';
    }
    BIO_free(bio);
    ERR_clear_error();
    return out;
}

char *sl_dn_text(char *out, size_t cap, struct sl_bytes der)
{
    out[0] = '\0';
    X509_NAME *name = certs_name_read(der);
    if (name)
        certs_name_text(out, cap, name);
    X509_NAME_free(name);
    return out;
}

bool sl_dn_eq(struct sl_bytes a, struct sl_bytes b)
{
    X509_NAME *x = certs_name_read(a), *y = certs_name_read(b);
    bool eq = x && y && X509_NAME_cmp(x, y) == 0;
    X509_NAME_free(x);
    X509_NAME_free(y);
    return eq;
}
