/* See x509_build.h. RFC 5280, RFC 2986, RFC 4945 5.1.3. */
#include "enroll/x509_build.h"

#include "sealane/certs.h"
#include "sealane/time.h"

#include <ctype.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* ---- decoding and encoding ------------------------------------------------------------------------ */

/* NOLINTBEGIN(bugprone-macro-parentheses): types */
#define DEFINE_READ(fn, type, d2i, free_fn, code, what)                     \
    enum sl_rc fn(type **out, struct sl_bytes der, struct sl_err *err)      \
    {                                                                       \
        const uint8_t *p = der.p;                                           \
        type *v = der.len > LONG_MAX ? NULL : d2i(NULL, &p, (long)der.len); \
        if (!v)                                                             \
            return SL_FAIL_SSL(err, code, what " cannot be decoded");       \
        if (p != der.p + der.len) {                                         \
            free_fn(v);                                                     \
            return SL_FAIL(err, code, "%zu bytes follow the " what,         \
                           der.len - (size_t)(p - der.p));                  \
        }                                                                   \
        *out = v;                                                           \
        return SL_OK;                                                       \
    }

/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_READ(xb_cert_read, X509, d2i_X509, X509_free, SL_CERT_MALFORMED, "certificate")
DEFINE_READ(xb_name_read, X509_NAME, d2i_X509_NAME, X509_NAME_free, SL_MALFORMED, "name")
DEFINE_READ(xb_san_read, GENERAL_NAMES, d2i_GENERAL_NAMES, GENERAL_NAMES_free, SL_MALFORMED,
            "alternative names")
DEFINE_READ(xb_spki_read, EVP_PKEY, d2i_PUBKEY, EVP_PKEY_free, SL_MALFORMED, "public key")
static DEFINE_READ(req_read, X509_REQ, d2i_X509_REQ, X509_REQ_free, SL_CA_REQUEST,
                   "certificate request")

    /* Appends what an i2d function made; len is its result, p its memory. */
    static enum sl_rc
    put_der(struct sl_buf *out, int len, uint8_t *p, const char *what, struct sl_err *err)
{
    if (len < 0 || !p)
        return SL_FAIL_SSL(err, SL_CRYPTO, "%s cannot be encoded", what);
    bool ok = sl_buf_put(out, sl_bytes(p, (size_t)len));
    OPENSSL_free(p);
    return ok ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc xb_cert_der(struct sl_buf *out, const X509 *x, struct sl_err *err)
{
    uint8_t *p = NULL;
    int len = i2d_X509(x, &p);
    return put_der(out, len, p, "certificate", err);
}

enum sl_rc xb_name_der(struct sl_buf *out, const X509_NAME *name, struct sl_err *err)
{
    uint8_t *p = NULL;
    int len = i2d_X509_NAME(name, &p);
    return put_der(out, len, p, "name", err);
}

enum sl_rc xb_san_der(struct sl_buf *out, const GENERAL_NAMES *san, struct sl_err *err)
{
    uint8_t *p = NULL;
    int len = i2d_GENERAL_NAMES(san, &p);
    return put_der(out, len, p, "alternative names", err);
}

enum sl_rc xb_spki_der(struct sl_buf *out, const X509 *x, struct sl_err *err)
{
    uint8_t *p = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &p);
    return put_der(out, len, p, "public key", err);
}

/* ---- text and time ---------------------------------------------------------------------------------- */

static bool serial_from_bytes(char out[SL_SERIAL_TEXT], struct sl_bytes v)
{
    while (v.len && v.p[0] == 0)
        v = sl_bytes_slice(v, 1, v.len - 1);
    if (v.len == 0 || v.len > 20)
        return false;
    sl_hex(out, SL_SERIAL_TEXT, v);
    return true;
}

bool xb_serial_text(char out[SL_SERIAL_TEXT], const ASN1_INTEGER *serial)
{
    if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
        return false;
    int len = ASN1_STRING_length(serial);
    return len > 0 && serial_from_bytes(out, sl_bytes(ASN1_STRING_get0_data(serial), (size_t)len));
}

bool xb_serial_parse(char out[SL_SERIAL_TEXT], const char *text)
{
    char even[128];
    size_t len = strlen(text);
    if (len == 0 || len >= sizeof(even) - 1)
        return false;
    /* an odd number of digits comes from tools that drop a leading zero */
    snprintf(even, sizeof(even), "%s%s", !strchr(text, ':') && len % 2 ? "0" : "", text);
    SL_AUTO_BUF b = { 0 };
    return sl_unhex(&b, even) && serial_from_bytes(out, sl_buf_bytes(&b));
}

char *xb_name_text(char *out, size_t cap, const X509_NAME *name)
{
    SL_AUTO_BUF der = { 0 };
    if (cap)
        out[0] = '\0';
    if (xb_name_der(&der, name, NULL) == SL_OK)
        sl_dn_text(out, cap, sl_buf_bytes(&der));
    return out;
}

bool xb_time(int64_t *utc_s, const ASN1_TIME *t)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *utc_s = (int64_t)timegm(&tm);
    return true;
}

void xb_sha256_spki(uint8_t out[32], struct sl_bytes spki)
{
    sl_sha2(256, spki, out);
}

static struct sl_bytes asn1_bytes(const ASN1_STRING *s)
{
    int len = ASN1_STRING_length(s);
    return sl_bytes(ASN1_STRING_get0_data(s), len > 0 ? (size_t)len : 0);
}

/* ---- alternative names ------------------------------------------------------------------------------ */

static int san_type(const struct sl_id *id)
{
    switch (id->type) {
    case SL_ID_FQDN:
        return GEN_DNS;
    case SL_ID_RFC822_ADDR:
        return GEN_EMAIL;
    case SL_ID_IPV4_ADDR:
    case SL_ID_IPV6_ADDR:
        return GEN_IPADD;
    case SL_ID_NONE:
    case SL_ID_DER_ASN1_DN:
    case SL_ID_DER_ASN1_GN:
    case SL_ID_KEY_ID:
        break;
    }
    return -1;
}

enum sl_rc xb_san_add(GENERAL_NAMES *san, const char *text, struct sl_err *err)
{
    struct sl_id id;
    SL_TRY(sl_id_parse(&id, text, err));
    int type = san_type(&id);
    if (type < 0)
        return SL_FAIL(err, SL_CONFIG_VALUE,
                       "alternative name \"%s\": expected dns:, ip: or email:", text);
    ASN1_STRING *v =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (!v || !name || !ASN1_STRING_set(v, id.data, id.len)) {
        ASN1_STRING_free(v);
        GENERAL_NAME_free(name);
        return SL_FAIL_MEM(err);
    }
    GENERAL_NAME_set0_value(name, type, v);
    enum sl_rc rc =
        xb_san_usable(name)
            ? xb_san_add_name(san, name, err)
            : SL_FAIL(err, SL_CONFIG_VALUE, "alternative name \"%s\" is not well formed", text);
    GENERAL_NAME_free(name);
    return rc;
}

enum sl_rc xb_san_add_name(GENERAL_NAMES *san, GENERAL_NAME *name, struct sl_err *err)
{
    if (xb_san_has(san, name))
        return SL_OK;
    if (sk_GENERAL_NAME_num(san) >= XB_SAN_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "more than %d alternative names", XB_SAN_MAX);
    GENERAL_NAME *copy = GENERAL_NAME_dup(name);
    if (!copy || !sk_GENERAL_NAME_push(san, copy)) {
        GENERAL_NAME_free(copy);
        return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

/* Printable ASCII without what would change the meaning of a list or a URI (RFC 1034, RFC 5321). */
static bool plain_chars(struct sl_bytes v, const char *extra)
{
    if (v.len == 0 || v.len > 255)
        return false;
    for (size_t i = 0; i < v.len; i++)
        if (!isascii(v.p[i]) || (!isalnum(v.p[i]) && (!v.p[i] || !strchr(extra, v.p[i]))))
            return false;
    return true;
}

bool xb_san_usable(const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *v = GENERAL_NAME_get0_value(name, &type);
    switch (type) {
    case GEN_DNS:
        return plain_chars(asn1_bytes(v), "-_.") && asn1_bytes(v).p[0] != '.';
    case GEN_EMAIL: {
        struct sl_bytes b = asn1_bytes(v);
        const uint8_t *at = b.len ? memchr(b.p, '@', b.len) : NULL;
        return plain_chars(b, "@-_.+=") && at && at != b.p && at != b.p + b.len - 1 &&
               !memchr(at + 1, '@', (size_t)(b.p + b.len - at - 1));
    }
    case GEN_IPADD:
        return asn1_bytes(v).len == 4 || asn1_bytes(v).len == 16;
    default:
        return false;
    }
}

bool xb_san_has(const GENERAL_NAMES *san, const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *want = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_IPADD)
        return false;
    struct sl_bytes w = asn1_bytes(want);
    for (int i = 0; i < sk_GENERAL_NAME_num(san); i++) {
        int t;
        const ASN1_STRING *have = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(san, i), &t);
        if (t != type)
            continue;
        struct sl_bytes h = asn1_bytes(have);
        if (type == GEN_DNS
                ? h.len == w.len && strncasecmp((const char *)h.p, (const char *)w.p, h.len) == 0
                : sl_bytes_eq(h, w))
            return true;
    }
    return false;
}

char *xb_san_item(char out[SL_ID_TEXT], const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *v = GENERAL_NAME_get0_value(name, &type);
    struct sl_id id = { 0 };
    snprintf(out, SL_ID_TEXT, "other name");
    if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_IPADD)
        return out;
    struct sl_bytes raw = asn1_bytes(v);
    if (raw.len == 0 || raw.len > SL_ID_MAX || (type == GEN_IPADD && raw.len != 4 && raw.len != 16))
        return out;
    id.type = type == GEN_DNS     ? SL_ID_FQDN
              : type == GEN_EMAIL ? SL_ID_RFC822_ADDR
              : raw.len == 4      ? SL_ID_IPV4_ADDR
                                  : SL_ID_IPV6_ADDR;
    id.len = (uint16_t)raw.len;
    memcpy(id.data, raw.p, raw.len);
    return sl_id_text(out, &id);
}

char *xb_san_text(char *out, size_t cap, const GENERAL_NAMES *san)
{
    SL_AUTO_BUF b = { 0 };
    char item[SL_ID_TEXT];
    for (int i = 0; i < sk_GENERAL_NAME_num(san); i++)
        if (!sl_buf_printf(&b, "%s%s", i ? ", " : "",
                           xb_san_item(item, sk_GENERAL_NAME_value(san, i))))
            break;
    return sl_printable(out, cap, sl_buf_bytes(&b));
}

/* ---- certificates ------------------------------------------------------------------------------------ */

const EVP_MD *xb_digest(const EVP_PKEY *pkey)
{
    if (EVP_PKEY_is_a(pkey, "ED25519"))
        return NULL;
    if (EVP_PKEY_is_a(pkey, "EC"))
        return EVP_PKEY_get_bits(pkey) > 384   ? EVP_sha512()
               : EVP_PKEY_get_bits(pkey) > 256 ? EVP_sha384()
                                               : EVP_sha256();
    return EVP_sha256();
}

static bool set_serial(X509 *x, const char *hex)
{
    BIGNUM *bn = NULL;
    bool ok = BN_hex2bn(&bn, hex) > 0 && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
    BN_free(bn);
    return ok;
}

static bool set_times(X509 *x, int64_t not_before, int64_t not_after)
{
    return ASN1_TIME_adj(X509_getm_notBefore(x), (time_t)not_before, 0, 0) &&
           ASN1_TIME_adj(X509_getm_notAfter(x), (time_t)not_after, 0, 0);
}

static bool add_constraints(X509 *x, const struct xb_cert *c)
{
    BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
    bool ok = bc != NULL;
    if (ok) {
        bc->ca = c->ca ? 0xff : 0;
        if (c->ca && c->path_len >= 0)
            ok = (bc->pathlen = ASN1_INTEGER_new()) && ASN1_INTEGER_set(bc->pathlen, c->path_len);
        ok = ok && X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, X509V3_ADD_DEFAULT) == 1;
    }
    BASIC_CONSTRAINTS_free(bc);
    return ok;
}

/* KU_ values are the bits of the first octet (and, for decipherOnly, the second) as on the wire. */
static bool add_key_usage(X509 *x, unsigned ku)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool ok = bits != NULL;
    for (int i = 0; i < 8 && ok; i++)
        if (ku & (0x80u >> i))
            ok = ASN1_BIT_STRING_set_bit(bits, i, 1) == 1;
    ok = ok && X509_add1_ext_i2d(x, NID_key_usage, bits, 1, X509V3_ADD_DEFAULT) == 1;
    ASN1_BIT_STRING_free(bits);
    return ok;
}

static bool add_eku(X509 *x, int nid)
{
    EXTENDED_KEY_USAGE *eku = sk_ASN1_OBJECT_new_null();
    ASN1_OBJECT *o = OBJ_dup(OBJ_nid2obj(nid));
    bool ok = eku && o && sk_ASN1_OBJECT_push(eku, o);
    if (!ok)
        ASN1_OBJECT_free(o);
    ok = ok && X509_add1_ext_i2d(x, NID_ext_key_usage, eku, 0, X509V3_ADD_DEFAULT) == 1;
    sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
    return ok;
}

/* Key identifiers: the leftmost 160 bits of the key's SHA-256 (RFC 7093 2, method 1). */
static bool add_key_ids(X509 *x, X509 *issuer)
{
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    ASN1_OCTET_STRING *ski = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    bool ok = ski && aki && X509_pubkey_digest(x, EVP_sha256(), md, &len) == 1 && len >= 20 &&
              ASN1_OCTET_STRING_set(ski, md, 20) &&
              X509_add1_ext_i2d(x, NID_subject_key_identifier, ski, 0, X509V3_ADD_DEFAULT) == 1;
    const ASN1_OCTET_STRING *above = ok && issuer ? X509_get0_subject_key_id(issuer) : ski;
    if (ok && above) {
        aki->keyid = ASN1_OCTET_STRING_dup(above);
        ok = aki->keyid &&
             X509_add1_ext_i2d(x, NID_authority_key_identifier, aki, 0, X509V3_ADD_DEFAULT) == 1;
    }
    AUTHORITY_KEYID_free(aki);
    ASN1_OCTET_STRING_free(ski);
    return ok;
}

static GENERAL_NAME *uri_name(const char *uri)
{
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_IA5STRING *s = ASN1_IA5STRING_new();
    if (!g || !s || !ASN1_STRING_set(s, uri, -1)) {
        GENERAL_NAME_free(g);
        ASN1_IA5STRING_free(s);
        return NULL;
    }
    GENERAL_NAME_set0_value(g, GEN_URI, s);
    return g;
}

static bool add_crl_uri(X509 *x, const char *uri)
{
    CRL_DIST_POINTS *points = sk_DIST_POINT_new_null();
    DIST_POINT *dp = DIST_POINT_new();
    GENERAL_NAME *g = uri_name(uri);
    bool ok = points && dp && g && (dp->distpoint = DIST_POINT_NAME_new()) &&
              (dp->distpoint->name.fullname = GENERAL_NAMES_new());
    if (ok) {
        dp->distpoint->type = 0; /* fullName */
        ok = sk_GENERAL_NAME_push(dp->distpoint->name.fullname, g) > 0;
        if (ok)
            g = NULL;
    }
    if (ok && (ok = sk_DIST_POINT_push(points, dp) > 0))
        dp = NULL;
    ok =
        ok && X509_add1_ext_i2d(x, NID_crl_distribution_points, points, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAME_free(g);
    DIST_POINT_free(dp);
    sk_DIST_POINT_pop_free(points, DIST_POINT_free);
    return ok;
}

static bool push_access(AUTHORITY_INFO_ACCESS *aia, int method, const char *uri)
{
    ACCESS_DESCRIPTION *ad = ACCESS_DESCRIPTION_new();
    GENERAL_NAME *g = uri_name(uri);
    if (!ad || !g) {
        ACCESS_DESCRIPTION_free(ad);
        GENERAL_NAME_free(g);
        return false;
    }
    ASN1_OBJECT_free(ad->method);
    ad->method = OBJ_nid2obj(method);
    GENERAL_NAME_free(ad->location);
    ad->location = g;
    if (sk_ACCESS_DESCRIPTION_push(aia, ad) > 0)
        return true;
    ACCESS_DESCRIPTION_free(ad);
    return false;
}

static bool add_access(X509 *x, const struct xb_cert *c)
{
    AUTHORITY_INFO_ACCESS *aia = sk_ACCESS_DESCRIPTION_new_null();
    bool ok = aia && (!c->ocsp_uri || push_access(aia, NID_ad_OCSP, c->ocsp_uri)) &&
              (!c->issuer_uri || push_access(aia, NID_ad_ca_issuers, c->issuer_uri)) &&
              X509_add1_ext_i2d(x, NID_info_access, aia, 0, X509V3_ADD_DEFAULT) == 1;
    sk_ACCESS_DESCRIPTION_pop_free(aia, ACCESS_DESCRIPTION_free);
    return ok;
}

static bool add_nocheck(X509 *x)
{
    ASN1_NULL *null = ASN1_NULL_new();
    bool ok =
        null && X509_add1_ext_i2d(x, NID_id_pkix_OCSP_noCheck, null, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_NULL_free(null);
    return ok;
}

static bool add_extensions(X509 *x, const struct xb_cert *c)
{
    GENERAL_NAMES *san = (GENERAL_NAMES *)c->san; /* i2d does not change it */
    /* RFC 5280 4.2.1.6: critical where there is no subject to go by */
    int san_critical = X509_NAME_entry_count(c->subject) == 0;
    return add_constraints(x, c) && (!c->key_usage || add_key_usage(x, c->key_usage)) &&
           (c->eku_nid == NID_undef || add_eku(x, c->eku_nid)) && add_key_ids(x, c->issuer_cert) &&
           (!san || sk_GENERAL_NAME_num(san) <= 0 ||
            X509_add1_ext_i2d(x, NID_subject_alt_name, san, san_critical, X509V3_ADD_DEFAULT) ==
                1) &&
           (!c->crl_uri || add_crl_uri(x, c->crl_uri)) &&
           ((!c->ocsp_uri && !c->issuer_uri) || add_access(x, c)) &&
           (!c->ocsp_nocheck || add_nocheck(x));
}

enum sl_rc xb_cert_make(X509 **out, const struct xb_cert *c, EVP_PKEY *signer, struct sl_err *err)
{
    XB_AUTO(X509) *x = X509_new();
    if (!x)
        return SL_FAIL_MEM(err);
    if (X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x, c->serial) ||
        !set_times(x, c->not_before, c->not_after) || X509_set_subject_name(x, c->subject) != 1 ||
        X509_set_issuer_name(x, c->issuer) != 1 || X509_set_pubkey(x, c->key) != 1 ||
        !add_extensions(x, c))
        return SL_FAIL_SSL(err, SL_CRYPTO, "certificate cannot be built");
    if (X509_sign(x, signer, xb_digest(signer)) <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "certificate cannot be signed");
    /* A key owner that signs wrongly (a fault, another key) must not put a dud on record. */
    EVP_PKEY *pub = c->issuer_cert ? X509_get0_pubkey(c->issuer_cert) : X509_get0_pubkey(x);
    if (!pub || X509_verify(x, pub) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO,
                           "the signature made does not verify with the issuer's key");
    *out = x;
    x = NULL;
    return SL_OK;
}

/* ---- requests ----------------------------------------------------------------------------------------- */

enum sl_rc xb_key_check(struct sl_bytes spki, struct sl_err *err)
{
    uint16_t bits = 0;
    enum sl_key_type type = sl_spki_type(spki, &bits);
    if (type == SL_KEY_NONE)
        return SL_FAIL(err, SL_CA_REQUEST,
                       "key type is not supported: expected RSA, ECDSA P-256/384/521 or Ed25519");
    if (type != SL_KEY_RSA)
        return SL_OK;
    if (bits < 2048)
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "RSA key of %u bits: at least 2048 are required",
                       bits);
    if (bits > SL_RSA_MAX_BITS)
        return SL_FAIL(err, SL_CA_REQUEST, "RSA key of %u bits: at most %d are allowed", bits,
                       SL_RSA_MAX_BITS);
    XB_AUTO(EVP_PKEY) *key = NULL;
    SL_TRY(xb_spki_read(&key, spki, err));
    BIGNUM *e = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
              BN_num_bits(e) >= 17 && BN_num_bits(e) <= 64;
    BN_free(e);
    return ok ? SL_OK
              : SL_FAIL(err, SL_WEAK_ALGORITHM,
                        "RSA public exponent is not an odd number of 17 to 64 bits");
}

void xb_csr_clear(struct xb_csr *c)
{
    X509_REQ_free(c->req);
    GENERAL_NAMES_free(c->san);
    sl_buf_clear(&c->spki);
    sl_buf_wipe(&c->tbs); /* holds the challenge */
    sl_secret_clear(&c->challenge);
    *c = (struct xb_csr){ 0 };
}

static enum sl_rc check_digest(const X509_REQ *req, bool sha1, struct sl_err *err)
{
    int nid = X509_REQ_get_signature_nid(req), md = NID_undef, pk;
    if (OBJ_find_sigid_algs(nid, &md, &pk) != 1)
        return SL_FAIL(err, SL_CA_REQUEST, "request has an unknown signature algorithm");
    bool strong = md == NID_sha256 || md == NID_sha384 || md == NID_sha512 || nid == NID_ED25519 ||
                  nid == NID_rsassaPss;
    if (strong || (sha1 && md == NID_sha1))
        return SL_OK;
    return SL_FAIL(err, SL_WEAK_ALGORITHM, "request is signed with %s: SHA-2 is required",
                   OBJ_nid2ln(nid));
}

/* RFC 2985 5.4.1: one DirectoryString. */
static enum sl_rc read_challenge(struct xb_csr *out, struct sl_err *err)
{
    int at = X509_REQ_get_attr_by_NID(out->req, NID_pkcs9_challengePassword, -1);
    if (at < 0)
        return SL_OK;
    if (X509_REQ_get_attr_by_NID(out->req, NID_pkcs9_challengePassword, at) >= 0)
        return SL_FAIL(err, SL_CA_REQUEST, "request has more than one challengePassword");
    X509_ATTRIBUTE *a = X509_REQ_get_attr(out->req, at);
    ASN1_TYPE *v = X509_ATTRIBUTE_count(a) == 1 ? X509_ATTRIBUTE_get0_type(a, 0) : NULL;
    int type = v ? ASN1_TYPE_get(v) : V_ASN1_UNDEF;
    if (type != V_ASN1_PRINTABLESTRING && type != V_ASN1_UTF8STRING && type != V_ASN1_IA5STRING &&
        type != V_ASN1_T61STRING && type != V_ASN1_BMPSTRING)
        return SL_FAIL(err, SL_CA_REQUEST, "challengePassword is not one string (RFC 2985 5.4.1)");
    uint8_t *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, v->value.asn1_string);
    if (len < 0)
        return SL_FAIL_SSL(err, SL_CA_REQUEST, "challengePassword cannot be read");
    enum sl_rc rc = len == 0 ? SL_OK
                    : len > 1024
                        ? SL_FAIL(err, SL_CA_REQUEST, "challengePassword is too long")
                        : sl_secret_copy(&out->challenge, sl_bytes(utf8, (size_t)len), err);
    OPENSSL_clear_free(utf8, (size_t)len);
    return rc;
}

/* Only the alternative names are taken from what the request asks for; all else is the profile's. */
static enum sl_rc read_san(struct xb_csr *out, struct sl_err *err)
{
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(out->req);
    int crit = -1;
    GENERAL_NAMES *san = exts ? X509V3_get_d2i(exts, NID_subject_alt_name, &crit, NULL) : NULL;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    if (!san && crit != -1)
        return SL_FAIL_SSL(err, SL_CA_REQUEST,
                           crit == -2 ? "request asks for alternative names twice"
                                      : "alternative names cannot be decoded");
    out->san = san ? san : GENERAL_NAMES_new();
    if (!out->san)
        return SL_FAIL_MEM(err);
    int n = sk_GENERAL_NAME_num(out->san);
    if (n > XB_SAN_MAX)
        return SL_FAIL(err, SL_CA_REQUEST, "request asks for %d alternative names: %d are allowed",
                       n, XB_SAN_MAX);
    for (int i = 0; i < n; i++)
        if (!xb_san_usable(sk_GENERAL_NAME_value(out->san, i)))
            return SL_FAIL(err, SL_CA_REQUEST,
                           "alternative name %d is not a well-formed DNS name, IP address or e-mail"
                           " address",
                           i + 1);
    return SL_OK;
}

static enum sl_rc read_csr(struct xb_csr *out, struct sl_bytes der, bool sha1, struct sl_err *err)
{
    SL_TRY(req_read(&out->req, der, err));
    out->subject = X509_REQ_get_subject_name(out->req);
    uint8_t *p = NULL;
    int len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(out->req), &p);
    SL_TRY(put_der(&out->spki, len, p, "public key", err));
    p = NULL;
    len = i2d_re_X509_REQ_tbs(out->req, &p);
    SL_TRY(put_der(&out->tbs, len, p, "certificate request", err));
    SL_TRY(xb_key_check(sl_buf_bytes(&out->spki), err));
    SL_TRY(check_digest(out->req, sha1, err));
    EVP_PKEY *key = X509_REQ_get0_pubkey(out->req);
    if (!key || X509_REQ_verify(out->req, key) != 1)
        return SL_FAIL_SSL(err, SL_CA_REQUEST_SIGNATURE,
                           "certificate request is not signed by the key it asks for (RFC 2986 3)");
    int rdns = X509_NAME_entry_count(out->subject);
    if (rdns > XB_RDN_MAX)
        return SL_FAIL(err, SL_CA_REQUEST, "subject has %d parts: %d are allowed", rdns,
                       XB_RDN_MAX);
    SL_TRY(read_challenge(out, err));
    return read_san(out, err);
}

enum sl_rc xb_csr_read(struct xb_csr *out, struct sl_bytes der, bool sha1, struct sl_err *err)
{
    struct xb_csr c = { 0 };
    enum sl_rc rc = read_csr(&c, der, sha1, err);
    ERR_clear_error();
    if (rc != SL_OK) {
        xb_csr_clear(&c);
        return rc;
    }
    *out = c;
    return SL_OK;
}

static bool add_challenge(X509_REQ *req, struct sl_bytes challenge)
{
    if (challenge.len == 0)
        return true;
    bool printable = true;
    for (size_t i = 0; i < challenge.len; i++) {
        int c = challenge.p[i];
        printable = printable && isascii(c) && c && (isalnum(c) || strchr(" '()+,-./:=?", c));
    }
    /* PrintableString where it can be one: the most widely understood form (RFC 8894 2.9) */
    return X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword,
                                     printable ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING,
                                     challenge.p, (int)challenge.len) == 1;
}

static bool add_san_request(X509_REQ *req, const GENERAL_NAMES *san)
{
    if (!san || sk_GENERAL_NAME_num(san) <= 0)
        return true;
    STACK_OF(X509_EXTENSION) *exts = NULL;
    bool ok = X509V3_add1_i2d(&exts, NID_subject_alt_name, (void *)san,
                              X509_NAME_entry_count(X509_REQ_get_subject_name(req)) == 0,
                              X509V3_ADD_DEFAULT) == 1 &&
              X509_REQ_add_extensions(req, exts) == 1;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok;
}

enum sl_rc xb_csr_make(struct sl_buf *der, const X509_NAME *subject, const GENERAL_NAMES *san,
                       struct sl_bytes challenge, struct sl_bytes spki, EVP_PKEY *key,
                       struct sl_err *err)
{
    XB_AUTO(EVP_PKEY) *pub = NULL;
    SL_TRY(xb_spki_read(&pub, spki, err));
    XB_AUTO(X509_REQ) *req = X509_REQ_new();
    if (!req)
        return SL_FAIL_MEM(err);
    if (challenge.len > 1024)
        return SL_FAIL(err, SL_CONFIG_VALUE, "challenge is longer than 1024 bytes");
    if (X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_subject_name(req, subject) != 1 || X509_REQ_set_pubkey(req, pub) != 1 ||
        !add_challenge(req, challenge) || !add_san_request(req, san))
        return SL_FAIL_SSL(err, SL_CRYPTO, "certificate request cannot be built");
    if (X509_REQ_sign(req, key, xb_digest(pub)) <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "certificate request cannot be signed");
    uint8_t *p = NULL;
    int len = i2d_X509_REQ(req, &p);
    enum sl_rc rc = put_der(der, len, p, "certificate request", err);
    return rc;
}
