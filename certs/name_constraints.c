/*
 * Name constraints (RFC 5280 4.2.1.10, 6.1.3 (b) and (c)) of one CA against the names of one
 * certificate below it. To intersect the permitted subtrees of several CAs is the same as asking each.
 *
 * directoryName, dNSName, rfc822Name, iPAddress and uniformResourceIdentifier are processed; a name
 * of another type that is constrained is refused. What cannot be read is never taken as permitted.
 */
#include "certs/path_internal.h"

#include <openssl/err.h>

#include <ctype.h>
#include <string.h>

enum fit { FIT_NO = 0, FIT_YES, FIT_BAD }; /* outside, within, the name is malformed */

struct name {
    int type; /* GEN_* */
    struct sl_bytes v;
    X509_NAME *dn;            /* GEN_DIRNAME */
    const ASN1_OBJECT *other; /* GEN_OTHERNAME: its type-id */
    const char *what;         /* for messages */
};

static struct sl_bytes string(const ASN1_STRING *s)
{
    return sl_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* RFC 1034 3.5 with RFC 1123 2.1 and the underscore of practice: labels joined by single dots. */
static bool is_host(struct sl_bytes v)
{
    size_t label = 0;
    if (v.len == 0 || v.len > 253)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.p[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        if ((!isalnum(v.p[i]) && v.p[i] != '-' && v.p[i] != '_') || ++label > 63)
            return false;
    }
    return label > 0;
}

static struct sl_bytes after(struct sl_bytes v, size_t n)
{
    return sl_bytes_slice(v, n, v.len);
}

/* host is base, or has labels in front of it. */
static bool host_within(struct sl_bytes host, struct sl_bytes base)
{
    if (base.len == 0 || certs_same_nocase(host, base))
        return true;
    return host.len > base.len && host.p[host.len - base.len - 1] == '.' &&
           certs_same_nocase(after(host, host.len - base.len), base);
}

/* ---- one name against one subtree ---------------------------------------------------------------- */
static enum fit dns_fits(struct sl_bytes name, struct sl_bytes base, bool excluded)
{
    bool wild = name.len > 2 && name.p[0] == '*' && name.p[1] == '.';
    struct sl_bytes host = wild ? after(name, 2) : name;
    if (!is_host(host))
        return FIT_BAD;
    if (host_within(host, base))
        return FIT_YES;
    if (!wild || !excluded)
        return FIT_NO;
    /* the wildcard stands for one label: could it make the base itself? */
    const uint8_t *dot = memchr(base.p, '.', base.len);
    return dot && certs_same_nocase(host, after(base, (size_t)(dot - base.p) + 1)) ? FIT_YES
                                                                                   : FIT_NO;
}

/* The one '@' of an address; false when there are none, several, or nothing on a side. */
static bool split_mail(struct sl_bytes v, struct sl_bytes *local, struct sl_bytes *host)
{
    const uint8_t *at = v.len ? memchr(v.p, '@', v.len) : NULL;
    if (!at || at == v.p)
        return false;
    *local = sl_bytes(v.p, (size_t)(at - v.p));
    *host = after(v, local->len + 1);
    for (size_t i = 0; i < local->len; i++)
        if (local->p[i] <= ' ' || local->p[i] >= 0x7f)
            return false;
    return is_host(*host);
}

static enum fit host_fits(struct sl_bytes host, struct sl_bytes base)
{
    if (base.len == 0)
        return FIT_YES;
    if (base.p[0] != '.')
        return certs_same_nocase(host, base) ? FIT_YES : FIT_NO;
    struct sl_bytes domain = after(base, 1);
    return host.len > domain.len && host_within(host, domain) ? FIT_YES : FIT_NO;
}

static enum fit mail_fits(struct sl_bytes name, struct sl_bytes base)
{
    struct sl_bytes local, host, base_local, base_host;
    if (!split_mail(name, &local, &host))
        return FIT_BAD;
    if (!split_mail(base, &base_local, &base_host))
        return host_fits(host, base);
    /* RFC 5280 4.2.1.10: one mailbox; only the host part is without case (7.5) */
    return sl_bytes_eq(local, base_local) && certs_same_nocase(host, base_host) ? FIT_YES : FIT_NO;
}

/* RFC 3986 3.2: the host of scheme://[user@]host[:port]; false when there is none that is a name. */
static bool uri_host(struct sl_bytes uri, struct sl_bytes *host)
{
    size_t i = 0;
    for (size_t k = 0; k < uri.len; k++)
        if (uri.p[k] <= ' ' || uri.p[k] >= 0x7f)
            return false;
    while (i < uri.len && (isalnum(uri.p[i]) || strchr("+-.", uri.p[i])))
        i++;
    if (i == 0 || i + 3 > uri.len || memcmp(uri.p + i, "://", 3) != 0)
        return false;
    struct sl_bytes rest = after(uri, i + 3);
    size_t end = 0;
    while (end < rest.len && !strchr("/?#", rest.p[end]))
        end++;
    rest.len = end;
    for (size_t k = 0; k < rest.len; k++)
        if (rest.p[k] == '@') {
            rest = after(rest, k + 1);
            k = (size_t)-1; /* the last one ends the user part */
        }
    const uint8_t *colon = rest.len ? memchr(rest.p, ':', rest.len) : NULL;
    if (colon)
        rest.len = (size_t)(colon - rest.p);
    if (!is_host(rest))
        return false;
    /* an IPv4 address is no fully qualified domain name: its last label is a number */
    size_t last = rest.len;
    while (last > 0 && rest.p[last - 1] != '.')
        last--;
    *host = rest;
    return !isdigit(rest.p[last]);
}

static enum fit uri_fits(struct sl_bytes name, struct sl_bytes base)
{
    struct sl_bytes host;
    return uri_host(name, &host) ? host_fits(host, base) : FIT_BAD;
}

static enum fit ip_fits(struct sl_bytes name, struct sl_bytes base)
{
    if (name.len != 4 && name.len != 16)
        return FIT_BAD;
    if (base.len != 2 * name.len)
        return FIT_NO;
    for (size_t i = 0; i < name.len; i++)
        if ((name.p[i] ^ base.p[i]) & base.p[name.len + i])
            return FIT_NO;
    return FIT_YES;
}

/* The first RDNs of name are those of base (RFC 5280 7.1). */
static enum fit dn_fits(const X509_NAME *name, const X509_NAME *base)
{
    int n = X509_NAME_entry_count(base);
    if (n == 0)
        return FIT_YES;
    int rdns = X509_NAME_ENTRY_set(X509_NAME_get_entry(base, n - 1)) + 1;
    X509_NAME *head = X509_NAME_dup(name);
    if (!head)
        return FIT_BAD;
    for (int i = X509_NAME_entry_count(head);
         i > 0 && X509_NAME_ENTRY_set(X509_NAME_get_entry(head, i - 1)) >= rdns; i--)
        X509_NAME_ENTRY_free(X509_NAME_delete_entry(head, i - 1));
    int cmp = X509_NAME_cmp(head, base);
    X509_NAME_free(head);
    return cmp == -2 ? FIT_BAD : cmp == 0 ? FIT_YES : FIT_NO;
}

static enum fit fits(const struct name *n, const GENERAL_NAME *base, bool excluded)
{
    switch (n->type) {
    case GEN_DNS:
        return dns_fits(n->v, string(base->d.dNSName), excluded);
    case GEN_EMAIL:
        return mail_fits(n->v, string(base->d.rfc822Name));
    case GEN_URI:
        return uri_fits(n->v, string(base->d.uniformResourceIdentifier));
    case GEN_IPADD:
        return ip_fits(n->v, string(base->d.iPAddress));
    case GEN_DIRNAME:
        return dn_fits(n->dn, base->d.directoryName);
    default:
        return FIT_BAD;
    }
}

/* ---- one name against all constraints of a CA ----------------------------------------------------- */
static bool constrains(const GENERAL_NAME *base, const struct name *n)
{
    if (base->type != n->type)
        return false;
    return n->type != GEN_OTHERNAME || OBJ_cmp(base->d.otherName->type_id, n->other) == 0;
}

static void show(char *out, size_t cap, const struct name *n)
{
    if (n->type == GEN_DIRNAME)
        certs_name_text(out, cap, n->dn);
    else if (n->type == GEN_IPADD || n->v.len == 0)
        sl_hex(out, cap, n->v);
    else
        sl_printable(out, cap, n->v);
}

static enum sl_rc refuse(const struct path_cert *ca, const struct path_cert *c,
                         const struct name *n, const char *why, struct sl_err *err)
{
    char text[100];
    show(text, sizeof(text), n);
    return SL_FAIL(err, SL_CERT_NAME_CONSTRAINTS, "certificate %.120s: %s \"%s\" %s %.120s",
                   sl_cert_name(c->cert), n->what, text, why, sl_cert_name(ca->cert));
}

static enum sl_rc check_name(const struct path_cert *ca, const struct path_cert *c,
                             const struct name *n, struct sl_err *err)
{
    static const char malformed[] =
        "cannot be compared with the name constraints (RFC 5280 4.2.1.10) of CA";
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(ca->nc->excludedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(ca->nc->excludedSubtrees, i)->base;
        if (!constrains(base, n))
            continue;
        enum fit f = fits(n, base, true);
        if (f != FIT_NO)
            return refuse(ca, c, n,
                          f == FIT_BAD ? malformed
                                       : "is in an excluded subtree (RFC 5280 6.1.3 (c)) of CA",
                          err);
    }
    bool constrained = false;
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(ca->nc->permittedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(ca->nc->permittedSubtrees, i)->base;
        if (!constrains(base, n))
            continue;
        enum fit f = fits(n, base, false);
        if (f == FIT_BAD)
            return refuse(ca, c, n, malformed, err);
        if (f == FIT_YES)
            return SL_OK;
        constrained = true;
    }
    return constrained ? refuse(ca, c, n,
                                "is outside the permitted subtrees (RFC 5280 6.1.3 (b)) of CA", err)
                       : SL_OK;
}

static struct name name_of(const GENERAL_NAME *g)
{
    struct name n = { .type = g->type, .what = "subjectAltName of a type that is not supported" };
    switch (g->type) {
    case GEN_DNS:
        n.what = "dNSName";
        n.v = string(g->d.dNSName);
        break;
    case GEN_EMAIL:
        n.what = "rfc822Name";
        n.v = string(g->d.rfc822Name);
        break;
    case GEN_URI:
        n.what = "uniformResourceIdentifier";
        n.v = string(g->d.uniformResourceIdentifier);
        break;
    case GEN_IPADD:
        n.what = "iPAddress";
        n.v = string(g->d.iPAddress);
        break;
    case GEN_DIRNAME:
        n.what = "directoryName";
        n.dn = g->d.directoryName;
        break;
    case GEN_OTHERNAME:
        n.other = g->d.otherName->type_id;
        /* RFC 9598 6: a mailbox in UTF-8 falls under rfc822Name, which is not read here */
        if (OBJ_obj2nid(n.other) == NID_id_on_SmtpUTF8Mailbox) {
            n.type = GEN_EMAIL;
            n.what = "SmtpUTF8Mailbox";
            n.other = NULL;
        }
        break;
    default:
        break;
    }
    return n;
}

/* emailAddress of the subject of a certificate without subjectAltName (4.2.1.10). */
static enum sl_rc check_subject_mail(const struct path_cert *ca, const struct path_cert *c,
                                     struct sl_err *err)
{
    const X509_NAME *subject = X509_get_subject_name(c->x);
    for (int at = -1;
         (at = X509_NAME_get_index_by_NID(subject, NID_pkcs9_emailAddress, at)) >= 0;) {
        const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        struct name n = { .type = GEN_EMAIL, .v = string(s), .what = "emailAddress" };
        SL_TRY(check_name(ca, c, &n, err));
    }
    return SL_OK;
}

/*
 * Local policy, as libcrypto has it: the common name of an end entity without a dNSName is held to
 * the dNSName constraints when it has the form of a host name, lest somebody reads it as one.
 */
static enum sl_rc check_subject_host(const struct path_cert *ca, const struct path_cert *c,
                                     struct sl_err *err)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(c->san); i++)
        if (sk_GENERAL_NAME_value(c->san, i)->type == GEN_DNS)
            return SL_OK;
    const X509_NAME *subject = X509_get_subject_name(c->x);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
        const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        unsigned char *utf8 = NULL;
        int len = ASN1_STRING_to_UTF8(&utf8, s);
        struct name n = { .type = GEN_DNS,
                          .v = sl_bytes(utf8, len > 0 ? (size_t)len : 0),
                          .what = "host name in commonName" };
        enum sl_rc rc = SL_OK;
        if (is_host(n.v) && memchr(n.v.p, '.', n.v.len))
            rc = check_name(ca, c, &n, err);
        OPENSSL_free(utf8);
        SL_TRY(rc);
    }
    ERR_clear_error();
    return SL_OK;
}

/*
 * What the comparisons may cost, in simple ones; a directoryName is copied for each, attribute by
 * attribute. Counts are bounded by the size of a certificate, so nothing overflows.
 */
#define DN_COST 16
static size_t work(const NAME_CONSTRAINTS *nc, const struct path_cert *c)
{
    size_t trees = 0, dn_trees = 0, names = 1;
    size_t parts = (size_t)X509_NAME_entry_count(X509_get_subject_name(c->x));
    const STACK_OF(GENERAL_SUBTREE) * both[] = { nc->permittedSubtrees, nc->excludedSubtrees };
    for (size_t k = 0; k < SL_ARRAY_LEN(both); k++)
        for (int i = 0; i < sk_GENERAL_SUBTREE_num(both[k]); i++, trees++)
            dn_trees += sk_GENERAL_SUBTREE_value(both[k], i)->base->type == GEN_DIRNAME;
    names += parts; /* common names and addresses in the subject */
    for (int i = 0; i < sk_GENERAL_NAME_num(c->san); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(c->san, i);
        names++;
        if (g->type == GEN_DIRNAME)
            parts += (size_t)X509_NAME_entry_count(g->d.directoryName);
    }
    return names * trees + parts * dn_trees * DN_COST;
}

enum sl_rc path_nc_check(const struct path_cert *ca, const struct path_cert *c, bool leaf,
                         struct sl_err *err)
{
    X509_NAME *subject = X509_get_subject_name(c->x);
    size_t cost = work(ca->nc, c);
    if (cost > PATH_NAMES_WORK)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %.180s: too many names for the name constraints of CA %.180s "
                       "(%zu comparisons)",
                       sl_cert_name(c->cert), sl_cert_name(ca->cert), cost);
    if (X509_NAME_entry_count(subject) > 0) {
        struct name n = { .type = GEN_DIRNAME, .dn = subject, .what = "subject" };
        SL_TRY(check_name(ca, c, &n, err));
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(c->san); i++) {
        struct name n = name_of(sk_GENERAL_NAME_value(c->san, i));
        SL_TRY(check_name(ca, c, &n, err));
    }
    if (!c->san)
        SL_TRY(check_subject_mail(ca, c, err));
    return leaf ? check_subject_host(ca, c, err) : SL_OK;
}

/* ---- the extension itself ------------------------------------------------------------------------- */
/* Address and mask, the mask a run of ones (RFC 4632 3.1). */
static bool ip_base_ok(struct sl_bytes v)
{
    if (v.len != 8 && v.len != 32)
        return false;
    bool zero = false;
    for (size_t bit = 0; bit < v.len * 4; bit++) {
        bool one = v.p[v.len / 2 + bit / 8] & (0x80u >> (bit % 8));
        if (one && zero)
            return false;
        zero = !one;
    }
    return true;
}

static bool base_ok(const GENERAL_NAME *g)
{
    struct sl_bytes local, host, v;
    switch (g->type) {
    case GEN_DNS: /* no dot in front: that is for URIs (4.2.1.10); empty: every name */
        v = string(g->d.dNSName);
        return v.len == 0 || is_host(v);
    case GEN_EMAIL:
        v = string(g->d.rfc822Name);
        return v.len == 0 || split_mail(v, &local, &host) ||
               is_host(v.p[0] == '.' ? after(v, 1) : v);
    case GEN_URI:
        v = string(g->d.uniformResourceIdentifier);
        return v.len == 0 || is_host(v.p[0] == '.' ? after(v, 1) : v);
    case GEN_IPADD:
        return ip_base_ok(string(g->d.iPAddress));
    default:
        return true; /* not supported: refused when such a name appears */
    }
}

static enum sl_rc form_of(const struct path_cert *ca, const STACK_OF(GENERAL_SUBTREE) * trees,
                          struct sl_err *err)
{
    if (trees && sk_GENERAL_SUBTREE_num(trees) == 0)
        return SL_FAIL(err, SL_CERT_NAME_CONSTRAINTS,
                       "certificate %s: nameConstraints holds an empty list (RFC 5280 4.2.1.10)",
                       sl_cert_name(ca->cert));
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
        const GENERAL_SUBTREE *t = sk_GENERAL_SUBTREE_value(trees, i);
        if ((t->minimum && ASN1_INTEGER_get(t->minimum) != 0) || t->maximum)
            return SL_FAIL(err, SL_CERT_NAME_CONSTRAINTS,
                           "certificate %s: a name constraint has a minimum or maximum, which is "
                           "not supported (RFC 5280 4.2.1.10)",
                           sl_cert_name(ca->cert));
        if (!base_ok(t->base)) {
            char text[100];
            struct name n = name_of(t->base);
            show(text, sizeof(text), &n);
            return SL_FAIL(err, SL_CERT_NAME_CONSTRAINTS,
                           "certificate %.200s: name constraint %s \"%s\" is malformed "
                           "(RFC 5280 4.2.1.10)",
                           sl_cert_name(ca->cert), n.what, text);
        }
    }
    return SL_OK;
}

enum sl_rc path_nc_form(const struct path_cert *ca, struct sl_err *err)
{
    if (!ca->nc->permittedSubtrees && !ca->nc->excludedSubtrees)
        return SL_FAIL(err, SL_CERT_NAME_CONSTRAINTS,
                       "certificate %s: nameConstraints is empty (RFC 5280 4.2.1.10)",
                       sl_cert_name(ca->cert));
    SL_TRY(form_of(ca, ca->nc->permittedSubtrees, err));
    return form_of(ca, ca->nc->excludedSubtrees, err);
}
