/*
 * One certificate as path validation sees it: the extensions of RFC 5280 4.2.1 decoded once, and the
 * rules of form that hold wherever it stands in a path. The strict profile adds what RFC 5280 asks of
 * CAs and what others do without: serial numbers, criticality, key identifiers.
 */
#include "certs/path_internal.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>

#include <stdlib.h>
#include <string.h>

bool path_strict(const struct sl_path_params *p)
{
    return p->strict || p->profile == SL_PROFILE_STRICT;
}

/* ---- extensions ------------------------------------------------------------------------------------ */
/* Those of RFC 5280 4.2 and RFC 3779 that must be readable; done: processed, so may be critical. */
static const struct known {
    int nid;
    bool done;
    enum { ANY, MUST, MUST_NOT } critical; /* RFC 5280's word on criticality; strict profile only */
} known[] = {
    { NID_authority_key_identifier, true, MUST_NOT },
    { NID_subject_key_identifier, true, MUST_NOT },
    { NID_key_usage, true, ANY },
    { NID_certificate_policies, true, ANY },
    { NID_policy_mappings, true, ANY },
    { NID_subject_alt_name, true, ANY },
    { NID_issuer_alt_name, true, ANY },
    { NID_basic_constraints, true, ANY },
    { NID_name_constraints, true, ANY },
    { NID_policy_constraints, true, MUST },
    { NID_ext_key_usage, true, ANY },
    { NID_crl_distribution_points, true, ANY },
    { NID_inhibit_any_policy, true, MUST },
    { NID_freshest_crl, true, MUST_NOT },
    { NID_info_access, true, MUST_NOT },
    { NID_sinfo_access, false, MUST_NOT },
    { NID_tlsfeature, true, ANY },
#ifndef OPENSSL_NO_RFC3779
    { NID_sbgp_ipAddrBlock, true, ANY },
    { NID_sbgp_autonomousSysNum, true, ANY },
#endif
};

static const struct known *known_of(int nid)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(known); i++)
        if (known[i].nid == nid)
            return &known[i];
    return NULL;
}

/* The whole value is one structure of the extension's type, nothing after it. */
static bool decodes(X509_EXTENSION *e)
{
    const X509V3_EXT_METHOD *m = X509V3_EXT_get(e);
    const ASN1_OCTET_STRING *v = X509_EXTENSION_get_data(e);
    const unsigned char *p = ASN1_STRING_get0_data(v), *end = p + ASN1_STRING_length(v);
    if (!m || !m->it)
        return m != NULL;
    const ASN1_ITEM *it = ASN1_ITEM_ptr(m->it);
    ASN1_VALUE *value = ASN1_item_d2i(NULL, &p, end - p, it);
    bool ok = value && p == end;
    ASN1_item_free(value, it);
    return ok;
}

static void ext_name(char *out, size_t cap, const ASN1_OBJECT *o)
{
    if (OBJ_obj2txt(out, (int)cap, o, 0) <= 0)
        sl_printable(out, cap, sl_str("unreadable"));
}

static enum sl_rc check_extension(X509_EXTENSION *e, const char *name, bool strict,
                                  struct sl_err *err)
{
    char text[80];
    const ASN1_OBJECT *o = X509_EXTENSION_get_object(e);
    const struct known *k = known_of(OBJ_obj2nid(o));
    bool critical = X509_EXTENSION_get_critical(e) > 0;
    ext_name(text, sizeof(text), o);
    if (critical && (!k || !k->done))
        return SL_FAIL(err, SL_CERT_CRITICAL_EXTENSION,
                       "certificate %.300s: critical extension %s is not known (RFC 5280 4.2)",
                       name, text);
    if (k && !decodes(e))
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %.300s: extension %s cannot be decoded (RFC 5280 4.2)", name,
                       text);
    if (strict && k && k->critical != ANY && critical != (k->critical == MUST))
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %.300s: extension %s must %sbe critical (strict profile; RFC "
                       "5280 4.2.1, 4.2.2)",
                       name, text, critical ? "not " : "");
    return SL_OK;
}

static enum sl_rc check_extensions(X509 *x, const char *name, bool strict, struct sl_err *err)
{
    const STACK_OF(X509_EXTENSION) *v = X509_get0_extensions(x);
    int n = sk_X509_EXTENSION_num(v);
    if (v && X509_get_version(x) != X509_VERSION_3)
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: has extensions but is not of version 3 (RFC 5280 4.1.2.1)",
                       name);
    if (n > PATH_EXTENSIONS_MAX)
        return SL_FAIL(err, SL_CERT_BUDGET, "certificate %s: %d extensions, at most %d are read",
                       name, n, PATH_EXTENSIONS_MAX);
    for (int i = 0; i < n; i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(v, i);
        for (int k = 0; k < i; k++)
            if (OBJ_cmp(X509_EXTENSION_get_object(e),
                        X509_EXTENSION_get_object(sk_X509_EXTENSION_value(v, k))) == 0) {
                char text[80];
                ext_name(text, sizeof(text), X509_EXTENSION_get_object(e));
                return SL_FAIL(err, SL_CERT_MALFORMED,
                               "certificate %.300s: extension %s is there twice (RFC 5280 4.2)",
                               name, text);
            }
        SL_TRY(check_extension(e, name, strict, err));
    }
    return SL_OK;
}

static void *ext(X509 *x, int nid, bool *critical)
{
    int c = 0;
    void *v = X509_get_ext_d2i(x, nid, &c, NULL);
    if (critical)
        *critical = v && c > 0;
    return v;
}

/* -1 when v is NULL; skip counts and path lengths past any path count as LONG_MAX. */
static long count_of(const ASN1_INTEGER *v)
{
    int64_t n = 0;
    if (!v)
        return -1;
    if (ASN1_STRING_type(v) == V_ASN1_NEG_INTEGER || !ASN1_INTEGER_get_int64(&n, v))
        return ASN1_STRING_type(v) == V_ASN1_NEG_INTEGER ? 0 : INT32_MAX;
    return n > INT32_MAX ? INT32_MAX : (long)n;
}

static void decode(struct path_cert *c)
{
    X509 *x = c->x;
    BASIC_CONSTRAINTS *bc = ext(x, NID_basic_constraints, &c->bc_critical);
    c->bc = bc != NULL;
    c->ca = bc && bc->ca;
    c->path_len = bc ? count_of(bc->pathlen) : -1;
    BASIC_CONSTRAINTS_free(bc);
    POLICY_CONSTRAINTS *pc = ext(x, NID_policy_constraints, &c->pc_critical);
    c->require = pc ? count_of(pc->requireExplicitPolicy) : -1;
    c->no_map = pc ? count_of(pc->inhibitPolicyMapping) : -1;
    POLICY_CONSTRAINTS_free(pc);
    ASN1_INTEGER *no_any = ext(x, NID_inhibit_any_policy, NULL);
    c->no_any = count_of(no_any);
    ASN1_INTEGER_free(no_any);
    c->ku = (X509_get_extension_flags(x) & EXFLAG_KUSAGE) != 0;
    c->ku_bits = c->ku ? X509_get_key_usage(x) : 0;
    c->eku = ext(x, NID_ext_key_usage, NULL);
    c->san = ext(x, NID_subject_alt_name, &c->san_critical);
    c->nc = ext(x, NID_name_constraints, NULL);
    c->policies = ext(x, NID_certificate_policies, NULL);
    c->mappings = ext(x, NID_policy_mappings, NULL);
    c->akid = X509_get0_authority_key_id(x);
    c->skid = X509_get0_subject_key_id(x);
}

/* ---- rules of form ---------------------------------------------------------------------------------- */
/* Keys that cost too much or protect too little, before libcrypto computes with them. */
static enum sl_rc check_key(const struct sl_cert *c, const struct sl_path_params *p,
                            struct sl_err *err)
{
    uint16_t min_rsa_bits = p->min_rsa_bits ? p->min_rsa_bits : PATH_DEFAULT_RSA;
    uint16_t min_ec_bits = p->min_ec_bits ? p->min_ec_bits : PATH_DEFAULT_EC;
    EVP_PKEY *key = X509_get0_pubkey(sl_cert_x509(c));
    if (!key) {
        ERR_clear_error();
        int nid = OBJ_obj2nid(X509_get0_tbs_sigalg(sl_cert_x509(c))->algorithm);
        ASN1_OBJECT *kind = NULL;
        (void)X509_PUBKEY_get0_param(&kind, NULL, NULL, NULL,
                                     X509_get_X509_PUBKEY(sl_cert_x509(c)));
        if (OBJ_obj2nid(kind) == NID_dsa || nid == NID_dsaWithSHA1)
            return SL_FAIL(err, SL_CERT_WEAK, "certificate %s: DSA keys are not accepted",
                           sl_cert_name(c));
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: its public key cannot be decoded or is of an unknown kind "
                       "(RFC 5280 4.1.2.7)",
                       sl_cert_name(c));
    }
    int bits = EVP_PKEY_get_bits(key);
    int type = EVP_PKEY_get_base_id(key);
    if (type == EVP_PKEY_DSA)
        return SL_FAIL(err, SL_CERT_WEAK, "certificate %s: DSA keys are not accepted",
                       sl_cert_name(c));
    if (type == EVP_PKEY_EC && bits < min_ec_bits)
        return SL_FAIL(err, SL_CERT_WEAK,
                       "certificate %s: elliptic curve key of %d bits, at least %u are required",
                       sl_cert_name(c), bits, min_ec_bits);
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_RSA_PSS)
        return SL_OK;
    if (bits < min_rsa_bits)
        return SL_FAIL(err, SL_CERT_WEAK,
                       "certificate %s: RSA key of %d bits, at least %u are required",
                       sl_cert_name(c), bits, min_rsa_bits);
    if (bits > SL_RSA_MAX_BITS)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %s: RSA key of %d bits, at most %d are used", sl_cert_name(c),
                       bits, SL_RSA_MAX_BITS);
    return SL_OK;
}

static enum sl_rc check_base(const struct path_cert *c, struct sl_err *err)
{
    const char *name = sl_cert_name(c->cert);
    const X509_ALGOR *outer = NULL;
    long version = X509_get_version(c->x);
    if (version < X509_VERSION_1 || version > X509_VERSION_3)
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: version %ld is not known (RFC 5280 4.1.2.1)", name,
                       version + 1);
    X509_get0_signature(NULL, &outer, c->x);
    if (X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(c->x)) != 0)
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: signatureAlgorithm differs from the signed signature field "
                       "(RFC 5280 4.1.1.2)",
                       name);
    if (X509_NAME_entry_count(X509_get_issuer_name(c->x)) == 0)
        return SL_FAIL(err, SL_CERT_MALFORMED, "certificate %s: issuer is empty (RFC 5280 4.1.2.4)",
                       name);
    return SL_OK;
}

static enum sl_rc check_policies(const struct path_cert *c, struct sl_err *err)
{
    int n = sk_POLICYINFO_num(c->policies), m = sk_POLICY_MAPPING_num(c->mappings);
    const char *name = sl_cert_name(c->cert);
    if (n > PATH_POLICIES_MAX || m > PATH_POLICIES_MAX)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %s: %d policies and %d mappings, at most %d each are used",
                       name, n, m, PATH_POLICIES_MAX);
    if ((c->policies && n == 0) || (c->mappings && m == 0))
        return SL_FAIL(err, SL_CERT_POLICY,
                       "certificate %s: an empty list of policies or mappings (RFC 5280 4.2.1.4, "
                       "4.2.1.5)",
                       name);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (OBJ_cmp(sk_POLICYINFO_value(c->policies, i)->policyid,
                        sk_POLICYINFO_value(c->policies, k)->policyid) == 0)
                return SL_FAIL(err, SL_CERT_POLICY,
                               "certificate %s: a policy is named twice (RFC 5280 4.2.1.4)", name);
    return SL_OK;
}

/* RFC 5280's rules on the content of extensions that are safe to demand of everybody. */
static enum sl_rc check_content(const struct path_cert *c, struct sl_err *err)
{
    const char *name = sl_cert_name(c->cert);
    SL_TRY(check_policies(c, err));
    if (c->eku && sk_ASN1_OBJECT_num(c->eku) == 0)
        return SL_FAIL(err, SL_CERT_EKU,
                       "certificate %s: extendedKeyUsage is empty (RFC 5280 4.2.1.12)", name);
    if (c->san && sk_GENERAL_NAME_num(c->san) == 0)
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: subjectAltName is empty (RFC 5280 4.2.1.6)", name);
    if (c->bc && !c->ca && c->path_len >= 0)
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: pathLenConstraint in a certificate that is no CA (RFC 5280 "
                       "4.2.1.9)",
                       name);
    if (c->nc && !c->ca)
        return SL_FAIL(err, SL_CERT_NAME_CONSTRAINTS,
                       "certificate %s: nameConstraints in a certificate that is no CA (RFC 5280 "
                       "4.2.1.10)",
                       name);
    return c->nc ? path_nc_form(c, err) : SL_OK;
}

static enum sl_rc check_strict(const struct path_cert *c, struct sl_err *err)
{
    const char *name = sl_cert_name(c->cert);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(c->x);
    const unsigned char *digits = ASN1_STRING_get0_data(serial);
    int len = ASN1_STRING_length(serial);
    /* a number whose first bit is set takes one octet more in DER */
    if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER || len == 0 || (len == 1 && !digits[0]) ||
        len + (digits[0] >> 7) > 20)
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: serial number is not positive or longer than 20 octets "
                       "(strict profile; RFC 5280 4.1.2.2)",
                       name);
    if (!c->v3)
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: is of version %ld (strict profile; RFC 5280 4.1.2.1)", name,
                       X509_get_version(c->x) + 1);
    if (c->ku && c->ca && !(c->ku_bits & KU_KEY_CERT_SIGN))
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: basicConstraints cA without keyCertSign (strict profile; "
                       "RFC 5280 4.2.1.9)",
                       name);
    if (c->ku && c->ku_bits == 0)
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: keyUsage has no bit set (strict profile; RFC 5280 4.2.1.3)",
                       name);
    bool self_signed = (X509_get_extension_flags(c->x) & EXFLAG_SS) != 0;
    if (!self_signed && !c->akid)
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: authorityKeyIdentifier with keyIdentifier is missing "
                       "(strict profile; RFC 5280 4.2.1.1)",
                       name);
    EVP_PKEY *key = X509_get0_pubkey(c->x);
    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) % 8 != 0)
        return SL_FAIL(err, SL_CERT_WEAK,
                       "certificate %s: RSA modulus is no multiple of 8 bits (strict profile)",
                       name);
    return SL_OK;
}

static enum sl_rc judge(struct path_cert *c, const struct sl_path_params *p, struct sl_err *err)
{
    bool strict = path_strict(p);
    SL_TRY(check_base(c, err));
    SL_TRY(check_extensions(c->x, sl_cert_name(c->cert), strict, err));
    SL_TRY(check_key(c->cert, p, err));
    SL_TRY(check_content(c, err));
    return strict ? check_strict(c, err) : SL_OK;
}

enum sl_rc path_cert_read(struct path_cert *out, struct sl_cert *cert,
                          const struct sl_path_params *p, struct sl_err *err)
{
    struct path_cert c = { .cert = cert, .x = sl_cert_x509(cert) };
    struct sl_err why;
    sl_err_reset(&why);
    c.self_issued = X509_NAME_cmp(X509_get_subject_name(c.x), X509_get_issuer_name(c.x)) == 0;
    c.v3 = X509_get_version(c.x) == X509_VERSION_3;
    decode(&c);
    c.rc = judge(&c, p, &why);
    if (c.rc != SL_OK)
        memcpy(c.text, why.text, sizeof(c.text));
    ERR_clear_error();
    c.cert = sl_cert_ref(cert);
    *out = c;
    return c.rc == SL_NO_MEMORY ? SL_FAIL_MEM(err) : SL_OK;
}

void path_cert_clear(struct path_cert *c)
{
    EXTENDED_KEY_USAGE_free(c->eku);
    GENERAL_NAMES_free(c->san);
    NAME_CONSTRAINTS_free(c->nc);
    CERTIFICATEPOLICIES_free(c->policies);
    sk_POLICY_MAPPING_pop_free(c->mappings, POLICY_MAPPING_free);
    sl_cert_free(c->cert);
    *c = (struct path_cert){ 0 };
}

int path_key_id(const struct path_cert *c, const struct path_cert *issuer)
{
    if (!c->akid || !issuer->skid)
        return 0;
    return ASN1_OCTET_STRING_cmp(c->akid, issuer->skid) == 0 ? 1 : -1;
}
