/*
 * Where a certificate says its CRLs are: cRLDistributionPoints and freshestCRL (RFC 5280 4.2.1.13,
 * 4.2.1.15), read once with the certificate.
 */
#include "certs/internal.h"
#include "sealane/revocation.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdlib.h>

struct certs_points {
    CRL_DIST_POINTS *list; /* relative names are completed */
    struct sl_crl_point v[SL_CERT_POINTS_MAX];
    size_t n;
    char *uri[SL_CERT_POINTS_MAX][SL_CERT_URI_MAX];
    struct sl_buf crl_issuer[SL_CERT_POINTS_MAX];
    char *fresh[SL_CERT_URI_MAX];
    size_t fresh_n;
};

uint16_t certs_reasons(const ASN1_BIT_STRING *flags)
{
    if (!flags)
        return SL_REASONS_ALL;
    uint16_t mask = 0;
    for (int i = 1; i <= 8; i++)
        if (ASN1_BIT_STRING_get_bit(flags, i))
            mask = (uint16_t)(mask | 1u << i);
    return mask;
}

static X509_NAME *directory_name(const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (sk_GENERAL_NAME_value(names, i)->type == GEN_DIRNAME)
            return sk_GENERAL_NAME_value(names, i)->d.directoryName;
    return NULL;
}

void certs_point_uris(char *uri[SL_CERT_URI_MAX], size_t *n, const CRL_DIST_POINTS *list)
{
    for (int i = 0; i < sk_DIST_POINT_num(list); i++) {
        const DIST_POINT_NAME *name = sk_DIST_POINT_value(list, i)->distpoint;
        for (int k = 0; name && name->type == 0 && k < sk_GENERAL_NAME_num(name->name.fullname);
             k++)
            certs_put_uri(uri, n, sk_GENERAL_NAME_value(name->name.fullname, k));
    }
}

static bool read_point(struct certs_points *p, const DIST_POINT *dp)
{
    struct sl_crl_point *v = &p->v[p->n];
    const DIST_POINT_NAME *name = dp->distpoint;
    for (int k = 0; name && name->type == 0 && k < sk_GENERAL_NAME_num(name->name.fullname); k++)
        certs_put_uri(p->uri[p->n], &v->uri_n, sk_GENERAL_NAME_value(name->name.fullname, k));
    for (size_t i = 0; i < v->uri_n; i++)
        v->uri[i] = p->uri[p->n][i];
    v->reasons = certs_reasons(dp->reasons);
    const X509_NAME *issuer = directory_name(dp->CRLissuer);
    if (issuer) {
        unsigned char *der = NULL;
        int n = i2d_X509_NAME(issuer, &der);
        bool ok = n > 0 && sl_buf_put(&p->crl_issuer[p->n], sl_bytes(der, (size_t)n));
        OPENSSL_free(der);
        if (!ok)
            return false;
        v->crl_issuer = sl_buf_bytes(&p->crl_issuer[p->n]);
    }
    p->n++;
    return true;
}

bool certs_points_read(struct certs_points **out, X509 *x)
{
    struct certs_points *p = calloc(1, sizeof(*p));
    if (!p)
        return false;
    bool ok = true;
    p->list = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; ok && i < sk_DIST_POINT_num(p->list); i++) {
        DIST_POINT *dp = sk_DIST_POINT_value(p->list, i);
        /* nameRelativeToCRLIssuer: completed with cRLIssuer, else the certificate's issuer. */
        const X509_NAME *base = directory_name(dp->CRLissuer);
        if (dp->distpoint && dp->distpoint->type == 1 && !dp->distpoint->dpname)
            (void)DIST_POINT_set_dpname(dp->distpoint, base ? base : X509_get_issuer_name(x));
        if (p->n < SL_CERT_POINTS_MAX)
            ok = read_point(p, dp);
    }
    CRL_DIST_POINTS *fresh = X509_get_ext_d2i(x, NID_freshest_crl, NULL, NULL);
    certs_point_uris(p->fresh, &p->fresh_n, fresh);
    CRL_DIST_POINTS_free(fresh);
    ERR_clear_error();
    if (!ok) {
        certs_points_free(p);
        return false;
    }
    *out = p;
    return true;
}

void certs_points_free(struct certs_points *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < SL_CERT_POINTS_MAX; i++) {
        for (size_t k = 0; k < SL_CERT_URI_MAX; k++)
            free(p->uri[i][k]);
        sl_buf_clear(&p->crl_issuer[i]);
    }
    for (size_t i = 0; i < p->fresh_n; i++)
        free(p->fresh[i]);
    CRL_DIST_POINTS_free(p->list);
    free(p);
}

const CRL_DIST_POINTS *certs_points_list(const struct sl_cert *c)
{
    return certs_points_of(c)->list;
}

size_t sl_cert_crl_points(const struct sl_cert *c, struct sl_crl_point v[SL_CERT_POINTS_MAX])
{
    const struct certs_points *p = certs_points_of(c);
    for (size_t i = 0; i < p->n; i++)
        v[i] = p->v[i];
    return p->n;
}

size_t sl_cert_freshest_uris(const struct sl_cert *c, const char *uri[SL_CERT_URI_MAX])
{
    const struct certs_points *p = certs_points_of(c);
    for (size_t i = 0; i < p->fresh_n; i++)
        uri[i] = p->fresh[i];
    return p->fresh_n;
}
