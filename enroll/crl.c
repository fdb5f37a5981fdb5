/*
 * CRLs of the root and of the issuing CA (RFC 5280 5): complete lists, numbered, made by schedule
 * and after each revocation. An expired certificate leaves the list only after a list later than
 * its end has shown it (5: "until it appears on one regularly scheduled CRL issued beyond the
 * revoked certificate's validity period").
 */
#include "enroll/ca_internal.h"

#include "sealane/time.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct listing {
    X509_CRL *crl;
    bool root;
    int64_t now, keep_s;
    char issuing_serial[SL_SERIAL_TEXT];
};

static bool set_entry_reason(X509_REVOKED *entry, int reason)
{
    if (reason == 0) /* RFC 5280 5.3.1: unspecified SHOULD be left out */
        return true;
    ASN1_ENUMERATED *e = ASN1_ENUMERATED_new();
    bool ok = e && ASN1_ENUMERATED_set(e, reason) &&
              X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, e, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_ENUMERATED_free(e);
    return ok;
}

/* The authority's "root" and "issuing" certificates are signed by the root, all others by the issuing CA. */
static enum sl_rc list_revoked(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    struct listing *l = ctx;
    bool by_root = strcmp(row->kind, "issuing") == 0 || strcmp(row->kind, "root") == 0;
    if (by_root != l->root || l->now > row->not_after + l->keep_s)
        return SL_OK;
    X509_REVOKED *entry = X509_REVOKED_new();
    BIGNUM *bn = NULL;
    ASN1_INTEGER *serial = NULL;
    ASN1_TIME *when = NULL;
    bool ok = entry && BN_hex2bn(&bn, row->serial) > 0 && (serial = BN_to_ASN1_INTEGER(bn, NULL)) &&
              (when = ASN1_TIME_adj(NULL, (time_t)row->revoked, 0, 0)) &&
              X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
              X509_REVOKED_set_revocationDate(entry, when) == 1 &&
              set_entry_reason(entry, row->reason) && X509_CRL_add0_revoked(l->crl, entry) == 1;
    if (!ok)
        X509_REVOKED_free(entry);
    BN_free(bn);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(when);
    return ok ? SL_OK : SL_FAIL_SSL(err, SL_CRYPTO, "CRL entry %s cannot be built", row->serial);
}

static bool set_crl_times(X509_CRL *crl, int64_t this_update, int64_t next_update)
{
    ASN1_TIME *a = ASN1_TIME_adj(NULL, (time_t)this_update, 0, 0);
    ASN1_TIME *b = ASN1_TIME_adj(NULL, (time_t)next_update, 0, 0);
    bool ok =
        a && b && X509_CRL_set1_lastUpdate(crl, a) == 1 && X509_CRL_set1_nextUpdate(crl, b) == 1;
    ASN1_TIME_free(a);
    ASN1_TIME_free(b);
    return ok;
}

static bool add_crl_extensions(X509_CRL *crl, X509 *issuer, int64_t number)
{
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    bool ok =
        aki && n && (aki->keyid = ASN1_OCTET_STRING_dup(X509_get0_subject_key_id(issuer))) &&
        X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, aki, 0, X509V3_ADD_DEFAULT) == 1 &&
        ASN1_INTEGER_set_int64(n, number) == 1 &&
        X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, X509V3_ADD_DEFAULT) == 1;
    AUTHORITY_KEYID_free(aki);
    ASN1_INTEGER_free(n);
    return ok;
}

static enum sl_rc build(struct sl_ca *ca, X509_CRL *crl, enum sl_ca_role role, int64_t number,
                        int64_t now, int64_t this_update, int64_t next_update, struct sl_err *err)
{
    struct ca_member *issuer = &ca->member[role];
    if (X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert)) != 1 ||
        !set_crl_times(crl, this_update, next_update) ||
        !add_crl_extensions(crl, issuer->cert, number))
        return SL_FAIL_SSL(err, SL_CRYPTO, "CRL cannot be built");
    struct listing l = {
        .crl = crl, .root = role == SL_CA_ROOT, .now = now, .keep_s = ca->env.conf->crl_lifetime_s
    };
    SL_TRY(sl_store_cert_each(ca->env.store, SL_CERT_REVOKED, list_revoked, &l, err));
    X509_CRL_sort(crl);
    if (X509_CRL_sign(crl, issuer->pkey, xb_digest(issuer->pkey)) <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "CRL cannot be signed");
    if (X509_CRL_verify(crl, X509_get0_pubkey(issuer->cert)) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO,
                           "the CRL's signature does not verify with the issuer's key");
    return SL_OK;
}

enum sl_rc crl_make(struct sl_ca *ca, enum sl_ca_role role, int64_t now, struct sl_buf *der,
                    struct sl_err *err)
{
    const char *name = sl_ca_role_text(role);
    int64_t number, this_update = now - CA_BACKDATE_S;
    int64_t next_update = now + ca->env.conf->crl_lifetime_s;
    SL_TRY(sl_store_crl_number(ca->env.store, name, &number, err));
    X509_CRL *crl = X509_CRL_new();
    if (!crl)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = build(ca, crl, role, number, now, this_update, next_update, err);
    uint8_t *p = NULL;
    int len = rc == SL_OK ? i2d_X509_CRL(crl, &p) : 0;
    X509_CRL_free(crl);
    if (rc == SL_OK && len <= 0)
        rc = SL_FAIL_SSL(err, SL_CRYPTO, "CRL cannot be encoded");
    struct sl_bytes made = sl_bytes(p, len > 0 ? (size_t)len : 0);
    if (rc == SL_OK)
        rc = sl_store_crl_put(ca->env.store, name, number, made, this_update, next_update, err);
    if (rc == SL_OK && !sl_buf_put(der, made))
        rc = SL_FAIL_MEM(err);
    OPENSSL_free(p);
    if (rc == SL_OK)
        return rc;
    return SL_WRAP(err, "CRL %lld of the %s CA", (long long)number, name);
}

enum sl_rc sl_ca_crl(struct sl_ca *ca, enum sl_ca_role issuer, bool force, int64_t now,
                     struct sl_buf *der, struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    if (issuer != SL_CA_ROOT && issuer != SL_CA_ISSUING)
        return SL_FAIL(err, SL_USAGE, "only root and issuing CA have a CRL");
    int64_t number, this_update, next_update;
    SL_AUTO_BUF kept = { 0 };
    enum sl_rc rc = sl_store_crl_get(ca->env.store, sl_ca_role_text(issuer), &kept, &number,
                                     &this_update, &next_update, err);
    if (rc != SL_OK && rc != SL_NOT_FOUND)
        return rc;
    bool due = rc == SL_NOT_FOUND || force || now >= next_update ||
               now >= this_update + CA_BACKDATE_S + ca->env.conf->crl_interval_s;
    sl_err_reset(err);
    if (due)
        return crl_make(ca, issuer, now, der, err);
    return sl_buf_put(der, sl_buf_bytes(&kept)) ? SL_OK : SL_FAIL_MEM(err);
}
