/*
 * Certificates out of what was fetched, and what certificates say about where to fetch: caIssuers
 * (RFC 5280 4.2.2.1) and the TLS feature extension (RFC 7633).
 */
#include "src/ident/internal.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CERTS_BYTES_MAX ((size_t)4 * SL_CERT_MAX_BYTES)
#define CERTS_MAX       32 /* taken from one answer */
#define TLS_STATUS      5  /* status_request (RFC 6066 1.1) */

static enum sl_rc add_x509(struct sl_certs *out, const X509 *x, struct sl_err *err)
{
    SL_AUTO(sl_cert) *c = NULL;
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    if (n <= 0)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = sl_cert_read(&c, sl_bytes(der, (size_t)n), err);
    OPENSSL_free(der);
    if (rc != SL_OK)
        return rc;
    return sl_certs_add(out, c) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc from_pkcs7(struct sl_certs *out, const PKCS7 *p7, const char *what,
                             struct sl_err *err)
{
    const STACK_OF(X509) *list = PKCS7_type_is_signed(p7) && p7->d.sign ? p7->d.sign->cert : NULL;
    for (int i = 0; i < sk_X509_num(list) && i < CERTS_MAX; i++)
        (void)add_x509(out, sk_X509_value(list, i), NULL); /* one that is no good spoils no other */
    return out->n ? SL_OK
                  : SL_FAIL(err, SL_CERT_MALFORMED,
                            "%s: a PKCS #7 without a certificate that can be used (RFC 5280 "
                            "4.2.2.1)",
                            what);
}

/* crossCertificatePair (RFC 4523 2.3): certificates for the CA and by it. */
typedef struct {
    X509 *forward, *reverse;
} CERT_PAIR;
ASN1_SEQUENCE(CERT_PAIR) = {
    ASN1_EXP_OPT(CERT_PAIR, forward, X509, 0),
    ASN1_EXP_OPT(CERT_PAIR, reverse, X509, 1),
} static_ASN1_SEQUENCE_END(CERT_PAIR)

static bool from_pair(struct sl_certs *out, struct sl_bytes der)
{
    const unsigned char *p = der.p;
    ASN1_VALUE *v = ASN1_item_d2i(NULL, &p, (long)der.len, ASN1_ITEM_rptr(CERT_PAIR));
    const CERT_PAIR *pair = (const CERT_PAIR *)v;
    bool good = pair && p == der.p + der.len && (pair->forward || pair->reverse);
    if (good && pair->forward)
        (void)add_x509(out, pair->forward, NULL);
    if (good && pair->reverse)
        (void)add_x509(out, pair->reverse, NULL);
    ASN1_item_free(v, ASN1_ITEM_rptr(CERT_PAIR));
    return good;
}

struct sl_bytes der_next(struct sl_bytes *in)
{
    const unsigned char *p = in->p;
    long len = 0;
    int tag = 0, class = 0;
    if (in->len == 0 || in->len > LONG_MAX)
        return (struct sl_bytes){ 0 };
    int rc = ASN1_get_object(&p, &len, &tag, &class, (long)in->len);
    ERR_clear_error();
    if (rc != V_ASN1_CONSTRUCTED || tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
        return (struct sl_bytes){ 0 };
    size_t n = (size_t)(p - in->p) + (size_t)len;
    struct sl_bytes one = sl_bytes(in->p, n);
    *in = sl_bytes(in->p + n, in->len - n);
    return one;
}

/* The values of an LDAP attribute come one after another: certificates or pairs of them. */
static enum sl_rc from_values(struct sl_certs *out, struct sl_bytes in, const char *what,
                              struct sl_err *err)
{
    struct sl_bytes one;
    while ((one = der_next(&in)).len && out->n < CERTS_MAX) {
        SL_AUTO(sl_cert) *c = NULL;
        if (sl_cert_read(&c, one, NULL) == SL_OK) {
            if (!sl_certs_add(out, c))
                return SL_FAIL_MEM(err);
        } else {
            (void)from_pair(out, one);
        }
    }
    ERR_clear_error();
    return out->n ? SL_OK
                  : SL_FAIL(err, SL_CERT_MALFORMED, "%s: no certificate that can be read", what);
}

enum sl_rc certs_read(struct sl_certs *out, struct sl_bytes in, const char *what,
                      struct sl_err *err)
{
    const unsigned char *p = in.p;
    if (in.len == 0 || in.len > CERTS_BYTES_MAX)
        return SL_FAIL(err, SL_CERT_MALFORMED, "%s: %zu bytes; expected CA certificates", what,
                       in.len);
    struct sl_bytes rest = in;
    enum sl_rc rc;
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)in.len);
    ERR_clear_error();
    if (p7 && p == in.p + in.len)
        rc = from_pkcs7(out, p7, what, err);
    else if (der_next(&rest).len)
        rc = from_values(out, in, what, err);
    else
        rc = sl_certs_load(out, in, what, err);
    PKCS7_free(p7);
    if (rc != SL_OK)
        sl_certs_clear(out);
    return rc;
}

static bool wanted(const char *uri)
{
    static const char *const schemes[] = { "http://", "https://", "ldap://", "ldaps://" };
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes); i++)
        if (strncasecmp(uri, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

size_t cert_issuer_uris(const struct sl_cert *c, char uri[SL_CERT_URI_MAX][512])
{
    size_t n = 0;
    AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(sl_cert_x509(c), NID_info_access, NULL, NULL);
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(aia) && n < SL_CERT_URI_MAX; i++) {
        const ACCESS_DESCRIPTION *a = sk_ACCESS_DESCRIPTION_value(aia, i);
        if (OBJ_obj2nid(a->method) != NID_ad_ca_issuers || a->location->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *s = a->location->d.uniformResourceIdentifier;
        const char *text = (const char *)ASN1_STRING_get0_data(s);
        size_t len = (size_t)ASN1_STRING_length(s);
        if (len == 0 || len >= sizeof(uri[0]) || memchr(text, '\0', len))
            continue;
        memcpy(uri[n], text, len);
        uri[n][len] = '\0';
        if (wanted(uri[n]))
            n++;
    }
    AUTHORITY_INFO_ACCESS_free(aia);
    ERR_clear_error();
    return n;
}

bool cert_must_staple(const struct sl_cert *c)
{
    bool found = false;
    TLS_FEATURE *list = X509_get_ext_d2i(sl_cert_x509(c), NID_tlsfeature, NULL, NULL);
    for (int i = 0; i < sk_ASN1_INTEGER_num(list); i++)
        found = found || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(list, i)) == TLS_STATUS;
    TLS_FEATURE_free(list);
    ERR_clear_error();
    return found;
}
