/*
 * Certificate revocation lists (RFC 5280 5): reading one, what it says of itself, and its signature.
 * What it means for a certificate is in crl_apply.c, its entries in crl_index.c.
 */
#include "certs/crl.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdlib.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------- */
static enum sl_rc malformed(const struct sl_crl *crl, const char *what, struct sl_err *err)
{
    return SL_FAIL_SSL(err, SL_REVOCATION_INVALID, "CRL of %s: %s", crl->issuer, what);
}

/* The only extension of a kind, decoded; false when it is there and repeated or not decodable. */
static bool extension(void **out, const struct sl_crl *crl, int nid, bool *critical)
{
    int found = 0;
    *out = X509_CRL_get_ext_d2i(crl->head, nid, &found, NULL);
    if (critical)
        *critical = found > 0;
    return *out || found == -1;
}

static enum sl_rc fill_times(struct sl_crl *crl, struct sl_err *err)
{
    if (!certs_time(&crl->this_update, X509_CRL_get0_lastUpdate(crl->head)))
        return malformed(crl, "thisUpdate cannot be read (RFC 5280 5.1.2.4)", err);
    if (!X509_CRL_get0_nextUpdate(crl->head))
        return malformed(crl, "it has no nextUpdate (RFC 5280 5.1.2.5)", err);
    if (!certs_time(&crl->next_update, X509_CRL_get0_nextUpdate(crl->head)))
        return malformed(crl, "nextUpdate cannot be read (RFC 5280 5.1.2.5)", err);
    if (crl->next_update < crl->this_update)
        return malformed(crl, "nextUpdate lies before thisUpdate (RFC 5280 5.1.2.5)", err);
    return SL_OK;
}

/* cRLNumber and BaseCRLNumber: 0 to 20 octets' worth (RFC 5280 5.2.3). */
static bool number_ok(const ASN1_INTEGER *n)
{
    return !n || (ASN1_STRING_type(n) != V_ASN1_NEG_INTEGER && ASN1_STRING_length(n) <= 20);
}

static enum sl_rc fill_numbers(struct sl_crl *crl, struct sl_err *err)
{
    void *p = NULL;
    if (!extension(&p, crl, NID_crl_number, &crl->number_critical))
        return malformed(crl, "cRLNumber is repeated or cannot be read (RFC 5280 5.2.3)", err);
    crl->serial = p;
    if (!extension(&p, crl, NID_delta_crl, NULL))
        return malformed(crl, "deltaCRLIndicator is repeated or cannot be read (RFC 5280 5.2.4)",
                         err);
    crl->base = p;
    crl->delta = p != NULL;
    if (!number_ok(crl->serial) || !number_ok(crl->base))
        return malformed(crl, "a CRL number is negative or longer than 20 octets (RFC 5280 5.2.3)",
                         err);
    if (crl->serial)
        sl_hex(
            crl->number, sizeof(crl->number),
            sl_bytes(ASN1_STRING_get0_data(crl->serial), (size_t)ASN1_STRING_length(crl->serial)));
    return SL_OK;
}

static enum sl_rc fill_extensions(struct sl_crl *crl, struct sl_err *err)
{
    const STACK_OF(X509_EXTENSION) *list = X509_CRL_get0_extensions(crl->head);
    if (sk_X509_EXTENSION_num(list) > 0 && crl->version < X509_CRL_VERSION_2)
        return malformed(crl, "it has extensions, which a v1 list cannot have (RFC 5280 5.1.2.1)",
                         err);
    SL_TRY(fill_numbers(crl, err));
    void *p = NULL;
    if (!extension(&p, crl, NID_issuing_distribution_point, NULL))
        return malformed(
            crl, "issuingDistributionPoint is repeated or cannot be read (RFC 5280 5.2.5)", err);
    crl->idp = p;
    DIST_POINT_NAME *point = crl->idp ? crl->idp->distpoint : NULL;
    if (point && point->type == 1 && !point->dpname &&
        !DIST_POINT_set_dpname(point, X509_CRL_get_issuer(crl->head)))
        return malformed(crl, "the name of its distribution point is not one (RFC 5280 5.2.5)",
                         err);
    if (!extension(&p, crl, NID_authority_key_identifier, NULL))
        return malformed(
            crl, "authorityKeyIdentifier is repeated or cannot be read (RFC 5280 5.2.1)", err);
    crl->authority = p;
    if (!extension(&p, crl, NID_freshest_crl, NULL))
        return malformed(crl, "freshestCRL is repeated or cannot be read (RFC 5280 5.2.6)", err);
    certs_point_uris(crl->fresh, &crl->fresh_n, p);
    CRL_DIST_POINTS_free(p);
    return SL_OK;
}

/* Critical extensions of a list that are understood. */
static bool known_extension(const ASN1_OBJECT *o)
{
    switch (OBJ_obj2nid(o)) {
    case NID_authority_key_identifier:
    case NID_crl_number:
    case NID_issuing_distribution_point:
    case NID_delta_crl:
    case NID_freshest_crl:
    case NID_issuer_alt_name:
        return true;
    default:
        return false;
    }
}

static enum sl_rc fill(struct sl_crl *crl, struct sl_err *err)
{
    struct sl_bytes entries;
    SL_TRY(crl_frame(crl, &entries, err));
    const X509_NAME *name = X509_CRL_get_issuer(crl->head);
    certs_name_text(crl->issuer, sizeof(crl->issuer), name);
    unsigned char *der = NULL;
    int n = i2d_X509_NAME(name, &der);
    bool ok = n > 0 && sl_buf_put(&crl->issuer_der, sl_bytes(der, (size_t)n));
    OPENSSL_free(der);
    if (!ok)
        return SL_FAIL_MEM(err);
    if (crl->version != X509_CRL_VERSION_1 && crl->version != X509_CRL_VERSION_2)
        return malformed(crl, "its version is neither v1 nor v2 (RFC 5280 5.1.2.1)", err);
    SL_TRY(fill_times(crl, err));
    SL_TRY(fill_extensions(crl, err));
    const STACK_OF(X509_EXTENSION) *list = X509_CRL_get0_extensions(crl->head);
    for (int i = 0; i < sk_X509_EXTENSION_num(list) && !crl->critical[0]; i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(list, i);
        if (X509_EXTENSION_get_critical(e) && !known_extension(X509_EXTENSION_get_object(e)))
            OBJ_obj2txt(crl->critical, sizeof(crl->critical), X509_EXTENSION_get_object(e), 0);
    }
    return crl_index(crl, entries, err);
}

/* An owned copy of the DER, out of PEM where it is that. */
static enum sl_rc take_der(struct sl_crl *crl, struct sl_bytes in, struct sl_err *err)
{
    if (in.p[0] == 0x30) {
        crl->der = sl_bytes(sl_memdup(in), in.len);
        return crl->der.p ? SL_OK : SL_FAIL_MEM(err);
    }
    BIO *bio = BIO_new_mem_buf(in.p, (int)in.len);
    unsigned char *der = NULL;
    long n = 0;
    bool ok = bio && PEM_bytes_read_bio(&der, &n, NULL, PEM_STRING_X509_CRL, bio, NULL, NULL) > 0;
    BIO_free(bio);
    if (!ok)
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID, "CRL cannot be decoded");
    crl->der = sl_bytes(sl_memdup(sl_bytes(der, (size_t)n)), (size_t)n);
    OPENSSL_free(der);
    return crl->der.p ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc sl_crl_read(struct sl_crl **out, struct sl_bytes in, struct sl_err *err)
{
    if (in.len == 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "CRL is empty");
    if (in.len > SL_CRL_MAX_BYTES)
        return SL_FAIL(err, SL_TOO_LARGE, "CRL has %zu bytes, at most %zu are read", in.len,
                       SL_CRL_MAX_BYTES);
    struct sl_crl *crl = calloc(1, sizeof(*crl));
    if (!crl)
        return SL_FAIL_MEM(err);
    crl->refs = 1;
    enum sl_rc rc = take_der(crl, in, err);
    if (rc == SL_OK)
        rc = fill(crl, err);
    ERR_clear_error();
    if (rc != SL_OK) {
        sl_crl_free(crl);
        return rc;
    }
    *out = crl;
    return SL_OK;
}

struct sl_crl *sl_crl_ref(struct sl_crl *crl)
{
    crl->refs++;
    return crl;
}

void sl_crl_free(struct sl_crl *crl)
{
    if (!crl || --crl->refs > 0)
        return;
    ASN1_INTEGER_free(crl->serial);
    ASN1_INTEGER_free(crl->base);
    AUTHORITY_KEYID_free(crl->authority);
    ISSUING_DIST_POINT_free(crl->idp);
    X509_CRL_free(crl->head);
    for (size_t i = 0; i < crl->fresh_n; i++)
        free(crl->fresh[i]);
    sl_buf_clear(&crl->issuer_der);
    free(crl->entry);
    free(crl->change);
    free((void *)(uintptr_t)crl->der.p);
    free(crl);
}

/* ---- what it says of itself -------------------------------------------------------------------- */
struct sl_bytes sl_crl_der(const struct sl_crl *crl)
{
    return crl->der;
}

const char *sl_crl_issuer(const struct sl_crl *crl)
{
    return crl->issuer;
}

struct sl_bytes sl_crl_issuer_der(const struct sl_crl *crl)
{
    return sl_buf_bytes(&crl->issuer_der);
}

struct sl_bytes sl_crl_authority_key(const struct sl_crl *crl)
{
    const ASN1_OCTET_STRING *id = crl->authority ? crl->authority->keyid : NULL;
    return id ? sl_bytes(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id))
              : (struct sl_bytes){ 0 };
}

bool sl_crl_is_delta(const struct sl_crl *crl)
{
    return crl->delta;
}

bool sl_crl_is_indirect(const struct sl_crl *crl)
{
    return crl_indirect(crl);
}

size_t sl_crl_freshest_uris(const struct sl_crl *crl, const char *uri[SL_CERT_URI_MAX])
{
    for (size_t i = 0; i < crl->fresh_n; i++)
        uri[i] = crl->fresh[i];
    return crl->fresh_n;
}

const char *sl_crl_number(const struct sl_crl *crl)
{
    return crl->number;
}

int sl_crl_number_cmp(const struct sl_crl *a, const struct sl_crl *b)
{
    if (!a->serial || !b->serial)
        return 0;
    int cmp = ASN1_INTEGER_cmp(a->serial, b->serial);
    return (cmp > 0) - (cmp < 0);
}

int64_t sl_crl_this_update(const struct sl_crl *crl)
{
    return crl->this_update;
}

int64_t sl_crl_next_update(const struct sl_crl *crl)
{
    return crl->next_update;
}

size_t sl_crl_entries(const struct sl_crl *crl)
{
    return crl->entry_n;
}

/* ---- signature --------------------------------------------------------------------------------- */
/* RSASSA-PSS, whose parameters libcrypto alone takes out of an algorithm; it asks for two copies. */
static bool verify_copy(struct sl_bytes tbs, const X509_ALGOR *alg, const ASN1_BIT_STRING *sig,
                        EVP_PKEY *pub)
{
    ASN1_STRING *s = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    bool ok = s && ASN1_STRING_set(s, tbs.p, (int)tbs.len) &&
              ASN1_item_verify(ASN1_ITEM_rptr(ASN1_SEQUENCE), alg, sig, s, pub) == 1;
    ASN1_STRING_free(s);
    return ok;
}

/* Over the octets of tbsCertList as they came. */
static bool signature_ok(const struct sl_crl *crl, EVP_PKEY *pub)
{
    const ASN1_BIT_STRING *sig = NULL;
    const X509_ALGOR *alg = NULL;
    int md = NID_undef, pk = NID_undef;
    X509_CRL_get0_signature(crl->head, &sig, &alg);
    if (!OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl->head), &md, &pk))
        return false;
    if (pk == NID_rsassaPss)
        return verify_copy(crl->tbs, alg, sig, pub);
    /* A BIT STRING of whole octets, by a key of the kind that the algorithm names. */
    if ((sig->flags & 7) != 0 || EVP_PKEY_type(pk) != EVP_PKEY_get_base_id(pub))
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *digest = md == NID_undef ? NULL : EVP_get_digestbynid(md);
    bool ok = ctx && (digest || md == NID_undef) &&
              EVP_DigestVerifyInit(ctx, NULL, digest, NULL, pub) == 1 &&
              EVP_DigestVerify(ctx, ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig),
                               crl->tbs.p, crl->tbs.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

enum sl_rc crl_usable(const struct sl_crl *crl, struct sl_err *err)
{
    if (crl->version < X509_CRL_VERSION_2)
        return SL_OK;
    if (!crl->serial)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: it has no cRLNumber, which every v2 list carries (RFC 5280 "
                       "5.2.3)",
                       crl->issuer);
    if (crl->number_critical)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: cRLNumber is critical, which it must not be (RFC 5280 5.2.3)",
                       crl->issuer);
    return SL_OK;
}

enum sl_rc sl_crl_verify(struct sl_crl *crl, const struct sl_cert *issuer, struct sl_err *err)
{
    X509 *x = sl_cert_x509(issuer);
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl->head), X509_get_subject_name(x)) != 0)
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %.180s: it was not issued by %.180s (RFC 5280 6.3.3 (b)(1))",
                       crl->issuer, sl_cert_subject(issuer));
    SL_TRY(crl_usable(crl, err));
    if ((X509_get_extension_flags(x) & EXFLAG_KUSAGE) &&
        !(X509_get_key_usage(x) & X509v3_KU_CRL_SIGN))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: its issuer's keyUsage lacks cRLSign (RFC 5280 6.3.3 (f))",
                       crl->issuer);
    const char *weak = certs_weak_signature(X509_CRL_get_signature_nid(crl->head));
    if (weak)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "CRL of %s: signed with %s, which is too weak",
                       crl->issuer, weak);
    uint8_t key[32];
    sl_sha2(256, sl_cert_spki(issuer), key);
    if (crl->checked_ok && memcmp(key, crl->checked, sizeof(key)) == 0)
        return SL_OK;
    EVP_PKEY *pub = X509_get0_pubkey(x);
    if (!pub || !signature_ok(crl, pub)) {
        ERR_clear_error();
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL of %s: its signature does not verify with the key of %.180s (RFC 5280 "
                       "6.3.3 (g))",
                       crl->issuer, sl_cert_name(issuer));
    }
    memcpy(crl->checked, key, sizeof(key));
    crl->checked_ok = true;
    return SL_OK;
}
