/*
 * One certificate, read once with libcrypto's decoder and kept with the texts and values that
 * messages, records and rules need. RFC 5280 4.
 */
#include "certs/internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sl_cert {
    atomic_uint refs;
    X509 *x509;
    struct sl_buf der, spki, subject_der;
    char subject[256], issuer[256], serial[64], sha256[65], name[352];
    uint8_t key_sha1[SHA_DIGEST_LENGTH];
    int64_t not_before, not_after;
    GENERAL_NAMES *san;
    char *ocsp[SL_CERT_URI_MAX], *crl[SL_CERT_URI_MAX];
    size_t ocsp_n, crl_n;
    struct certs_points *points;
};

bool certs_time(int64_t *utc_s, const ASN1_TIME *t)
{
    struct tm tm = { 0 };
    if (!t || !ASN1_TIME_to_tm(t, &tm))
        return false;
    /* timegm knows every year that ASN.1 can write. */
    *utc_s = (int64_t)timegm(&tm);
    return true;
}

const char *certs_weak_signature(int nid)
{
    int md = NID_undef, pk = NID_undef;
    if (!OBJ_find_sigid_algs(nid, &md, &pk))
        return "unknown algorithm";
    switch (md) {
    case NID_md2:
    case NID_md4:
    case NID_md5:
    case NID_mdc2:
    case NID_sha1:
        return OBJ_nid2ln(nid);
    default:
        return NULL; /* NID_undef: the scheme holds its hash (PSS, Ed25519) */
    }
}

/* A URI that may be fetched: printable ASCII without spaces, and a scheme that fetch knows. */
static char *uri_copy(const ASN1_IA5STRING *s)
{
    static const char *const schemes[] = { "http://", "https://", "ldap://", "ldaps://" };
    struct sl_bytes v = sl_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    if (v.len == 0 || v.len > 1024)
        return NULL;
    for (size_t i = 0; i < v.len; i++)
        if (v.p[i] <= ' ' || v.p[i] >= 0x7f)
            return NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes); i++)
        if (v.len > strlen(schemes[i]) &&
            strncasecmp((const char *)v.p, schemes[i], strlen(schemes[i])) == 0)
            return sl_strdup_bytes(v);
    return NULL;
}

void certs_put_uri(char *list[SL_CERT_URI_MAX], size_t *n, const GENERAL_NAME *g)
{
    if (g->type != GEN_URI || *n == SL_CERT_URI_MAX)
        return;
    char *uri = uri_copy(g->d.uniformResourceIdentifier);
    for (size_t i = 0; uri && i < *n; i++)
        if (strcmp(list[i], uri) == 0) {
            free(uri);
            return;
        }
    if (uri)
        list[(*n)++] = uri;
}

static void read_uris(struct sl_cert *c)
{
    AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(c->x509, NID_info_access, NULL, NULL);
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(aia); i++) {
        const ACCESS_DESCRIPTION *a = sk_ACCESS_DESCRIPTION_value(aia, i);
        if (OBJ_obj2nid(a->method) == NID_ad_OCSP)
            certs_put_uri(c->ocsp, &c->ocsp_n, a->location);
    }
    AUTHORITY_INFO_ACCESS_free(aia);
    CRL_DIST_POINTS *cdp = X509_get_ext_d2i(c->x509, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; i < sk_DIST_POINT_num(cdp); i++) {
        const DIST_POINT *dp = sk_DIST_POINT_value(cdp, i);
        /* A point for some reasons only, or of another CRL issuer, cannot clear a certificate here. */
        if (dp->reasons || dp->CRLissuer || !dp->distpoint || dp->distpoint->type != 0)
            continue;
        const GENERAL_NAMES *names = dp->distpoint->name.fullname;
        for (int k = 0; k < sk_GENERAL_NAME_num(names); k++)
            certs_put_uri(c->crl, &c->crl_n, sk_GENERAL_NAME_value(names, k));
    }
    CRL_DIST_POINTS_free(cdp);
    ERR_clear_error();
}

static bool take_der(struct sl_buf *out, unsigned char *p, int len)
{
    bool ok = len > 0 && sl_buf_put(out, sl_bytes(p, (size_t)len));
    OPENSSL_free(p);
    return ok;
}

static enum sl_rc fill(struct sl_cert *c, struct sl_err *err)
{
    unsigned char *p = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x509), &p);
    if (!take_der(&c->spki, p, n))
        return SL_FAIL_SSL(err, SL_CERT_MALFORMED, "certificate has no readable public key");
    p = NULL;
    n = i2d_X509_NAME(X509_get_subject_name(c->x509), &p);
    if (!take_der(&c->subject_der, p, n))
        return SL_FAIL_SSL(err, SL_CERT_MALFORMED, "certificate has no readable subject");
    SHA1(c->spki.p, c->spki.len, c->key_sha1);
    uint8_t digest[32];
    sl_sha2(256, sl_buf_bytes(&c->der), digest);
    sl_hex(c->sha256, sizeof(c->sha256), sl_bytes(digest, sizeof(digest)));
    certs_name_text(c->subject, sizeof(c->subject), X509_get_subject_name(c->x509));
    certs_name_text(c->issuer, sizeof(c->issuer), X509_get_issuer_name(c->x509));
    const ASN1_INTEGER *serial = X509_get0_serialNumber(c->x509);
    bool negative = ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
    if (negative)
        c->serial[0] = '-';
    sl_hex(c->serial + negative, sizeof(c->serial) - negative,
           sl_bytes(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)));
    snprintf(c->name, sizeof(c->name), "%s (serial %s)",
             c->subject[0] ? c->subject : "<no subject>", c->serial);
    if (!certs_time(&c->not_before, X509_get0_notBefore(c->x509)) ||
        !certs_time(&c->not_after, X509_get0_notAfter(c->x509)))
        return SL_FAIL_SSL(err, SL_CERT_MALFORMED,
                           "certificate %s: validity cannot be read (RFC 5280 4.1.2.5)", c->name);
    /*
     * Caches every extension that libcrypto knows; one that is there and cannot be decoded spoils
     * the certificate rather than being taken as absent.
     */
    (void)X509_check_purpose(c->x509, -1, 0);
    if (X509_get_extension_flags(c->x509) & EXFLAG_INVALID)
        return SL_FAIL_SSL(err, SL_CERT_MALFORMED, "certificate %s: an extension cannot be decoded",
                           c->name);
    int critical = 0;
    c->san = X509_get_ext_d2i(c->x509, NID_subject_alt_name, &critical, NULL);
    if (!c->san && critical != -1)
        return SL_FAIL_SSL(err, SL_CERT_MALFORMED,
                           "certificate %s: subjectAltName is repeated or cannot be decoded "
                           "(RFC 5280 4.2.1.6)",
                           c->name);
    read_uris(c);
    if (!certs_points_read(&c->points, c->x509))
        return SL_FAIL_MEM(err);
    ERR_clear_error();
    return SL_OK;
}

enum sl_rc sl_cert_read(struct sl_cert **out, struct sl_bytes der, struct sl_err *err)
{
    if (der.len == 0)
        return SL_FAIL(err, SL_CERT_MALFORMED, "certificate is empty");
    if (der.len > SL_CERT_MAX_BYTES)
        return SL_FAIL(err, SL_TOO_LARGE, "certificate has %zu bytes, at most %d are read", der.len,
                       SL_CERT_MAX_BYTES);
    struct sl_cert *c = calloc(1, sizeof(*c));
    if (!c)
        return SL_FAIL_MEM(err);
    atomic_init(&c->refs, 1);
    const unsigned char *p = der.p;
    c->x509 = d2i_X509(NULL, &p, (long)der.len);
    enum sl_rc rc = SL_OK;
    if (!c->x509)
        rc = SL_FAIL_SSL(err, SL_CERT_MALFORMED, "certificate cannot be decoded");
    else if (p != der.p + der.len)
        rc = SL_FAIL(err, SL_CERT_MALFORMED, "certificate is followed by %zu stray bytes",
                     (size_t)(der.p + der.len - p));
    else if (!sl_buf_put(&c->der, der))
        rc = SL_FAIL_MEM(err);
    else
        rc = fill(c, err);
    ERR_clear_error();
    if (rc != SL_OK) {
        sl_cert_free(c);
        return rc;
    }
    *out = c;
    return SL_OK;
}

struct sl_cert *sl_cert_ref(struct sl_cert *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void sl_cert_free(struct sl_cert *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    for (size_t i = 0; i < c->ocsp_n; i++)
        free(c->ocsp[i]);
    for (size_t i = 0; i < c->crl_n; i++)
        free(c->crl[i]);
    certs_points_free(c->points);
    GENERAL_NAMES_free(c->san);
    X509_free(c->x509);
    sl_buf_clear(&c->der);
    sl_buf_clear(&c->spki);
    sl_buf_clear(&c->subject_der);
    free(c);
}

struct sl_bytes sl_cert_der(const struct sl_cert *c)
{
    return sl_buf_bytes(&c->der);
}

const char *sl_cert_subject(const struct sl_cert *c)
{
    return c->subject;
}

const char *sl_cert_issuer(const struct sl_cert *c)
{
    return c->issuer;
}

const char *sl_cert_serial(const struct sl_cert *c)
{
    return c->serial;
}

const char *sl_cert_sha256(const struct sl_cert *c)
{
    return c->sha256;
}

const char *sl_cert_name(const struct sl_cert *c)
{
    return c->name;
}

struct sl_bytes sl_cert_subject_der(const struct sl_cert *c)
{
    return sl_buf_bytes(&c->subject_der);
}

struct sl_bytes sl_cert_spki(const struct sl_cert *c)
{
    return sl_buf_bytes(&c->spki);
}

struct sl_bytes sl_cert_key_sha1(const struct sl_cert *c)
{
    return sl_bytes(c->key_sha1, sizeof(c->key_sha1));
}

int64_t sl_cert_not_before(const struct sl_cert *c)
{
    return c->not_before;
}

int64_t sl_cert_not_after(const struct sl_cert *c)
{
    return c->not_after;
}

bool sl_cert_is_ca(const struct sl_cert *c)
{
    uint32_t flags = X509_get_extension_flags(c->x509);
    return (flags & EXFLAG_BCONS) && (flags & EXFLAG_CA);
}

bool sl_cert_self_issued(const struct sl_cert *c)
{
    return (X509_get_extension_flags(c->x509) & EXFLAG_SI) != 0;
}

bool sl_cert_san(const struct sl_cert *c, enum sl_id_type type, size_t i, struct sl_bytes *value)
{
    for (int k = 0; k < sk_GENERAL_NAME_num(c->san); k++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(c->san, k);
        const ASN1_STRING *s = NULL;
        if (type == SL_ID_FQDN && g->type == GEN_DNS)
            s = g->d.dNSName;
        else if (type == SL_ID_RFC822_ADDR && g->type == GEN_EMAIL)
            s = g->d.rfc822Name;
        else if ((type == SL_ID_IPV4_ADDR || type == SL_ID_IPV6_ADDR) && g->type == GEN_IPADD &&
                 ASN1_STRING_length(g->d.iPAddress) == (type == SL_ID_IPV4_ADDR ? 4 : 16))
            s = g->d.iPAddress;
        if (!s || i-- > 0)
            continue;
        *value = sl_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
        return true;
    }
    return false;
}

bool sl_cert_subject_attr(const struct sl_cert *c, const char *type, struct sl_buf *utf8)
{
    int nid = OBJ_txt2nid(type);
    ERR_clear_error();
    X509_NAME *name = X509_get_subject_name(c->x509);
    int at = nid == NID_undef ? -1 : X509_NAME_get_index_by_NID(name, nid, -1);
    if (at < 0)
        return false;
    unsigned char *text = NULL;
    int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    bool ok = n > 0 && sl_buf_put(utf8, sl_bytes(text, (size_t)n));
    OPENSSL_free(text);
    ERR_clear_error();
    return ok;
}

size_t sl_cert_ocsp_uris(const struct sl_cert *c, const char *uri[SL_CERT_URI_MAX])
{
    for (size_t i = 0; i < c->ocsp_n; i++)
        uri[i] = c->ocsp[i];
    return c->ocsp_n;
}

size_t sl_cert_crl_uris(const struct sl_cert *c, const char *uri[SL_CERT_URI_MAX])
{
    for (size_t i = 0; i < c->crl_n; i++)
        uri[i] = c->crl[i];
    return c->crl_n;
}

X509 *sl_cert_x509(const struct sl_cert *c)
{
    return c->x509;
}

const struct certs_points *certs_points_of(const struct sl_cert *c)
{
    return c->points;
}

/* ---- lists ------------------------------------------------------------------------------------- */
bool sl_certs_add(struct sl_certs *list, struct sl_cert *c)
{
    struct sl_cert **v = reallocarray(list->v, list->n + 1, sizeof(struct sl_cert *));
    if (!v)
        return false;
    list->v = v;
    list->v[list->n++] = sl_cert_ref(c);
    return true;
}

void sl_certs_clear(struct sl_certs *list)
{
    for (size_t i = 0; i < list->n; i++)
        sl_cert_free(list->v[i]);
    free(list->v);
    *list = (struct sl_certs){ 0 };
}

static enum sl_rc add_der(struct sl_certs *list, struct sl_bytes der, const char *what,
                          struct sl_err *err)
{
    SL_AUTO(sl_cert) *c = NULL;
    if (sl_cert_read(&c, der, err) != SL_OK)
        return SL_WRAP(err, "%s", what);
    return sl_certs_add(list, c) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc sl_certs_load(struct sl_certs *list, struct sl_bytes in, const char *what,
                         struct sl_err *err)
{
    if (in.len > 0 && in.p[0] == 0x30) /* a DER SEQUENCE; PEM starts with text */
        return add_der(list, in, what, err);
    if (in.len > (1 << 24))
        return SL_FAIL(err, SL_TOO_LARGE, "%s: more than 16 MiB of certificates", what);
    BIO *bio = BIO_new_mem_buf(in.p, (int)in.len);
    if (!bio)
        return SL_FAIL_MEM(err);
    struct sl_certs found = { 0 };
    enum sl_rc rc = SL_OK;
    for (;;) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long len = 0;
        if (!PEM_read_bio(bio, &name, &header, &der, &len)) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                rc = SL_FAIL_SSL(err, SL_CERT_MALFORMED, "%s: PEM cannot be decoded", what);
            break;
        }
        if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
            rc = add_der(&found, sl_bytes(der, (size_t)len), what, err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        /* The text may have held a private key beside the certificates. */
        OPENSSL_clear_free(der, (size_t)len);
        if (rc != SL_OK)
            break;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (rc == SL_OK && found.n == 0)
        rc = SL_FAIL(err, SL_CERT_NONE, "%s: holds no certificate in PEM or DER", what);
    for (size_t i = 0; rc == SL_OK && i < found.n; i++)
        if (!sl_certs_add(list, found.v[i]))
            rc = SL_FAIL_MEM(err);
    sl_certs_clear(&found);
    return rc;
}
