/*
 * A path from a peer's certificate to an anchor (RFC 5280 6.1), built and checked by libcrypto
 * behind our own interface, and the rules for IKE on top (RFC 4945 5.1.3). Revocation is not looked
 * at here (src/ident/revocation.c does, certificate by certificate).
 *
 * libcrypto treats notAfter as exclusive; the verify callback puts that right. Its purposes are not
 * used, because none of them knows IKE: key usage and EKU of the end entity are judged here.
 */
#include "certs/internal.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_RSA_BITS 2048

void sl_path_clear(struct sl_path *p)
{
    for (size_t i = 0; i < p->n; i++)
        sl_cert_free(p->cert[i]);
    *p = (struct sl_path){ 0 };
}

/* ---- what libcrypto's verdicts are called here --------------------------------------------------- */
struct verdict {
    int error;
    enum sl_rc rc;
    const char *rule; /* after "certificate NAME: " */
};

static const struct verdict verdicts[] = {
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, SL_CERT_UNKNOWN_CA,
      "no certificate of its issuer is trusted or was sent (RFC 5280 6.1)" },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, SL_CERT_UNKNOWN_CA,
      "no certificate of its issuer is trusted or was sent (RFC 5280 6.1)" },
    { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, SL_CERT_UNKNOWN_CA,
      "no certificate of its issuer is trusted or was sent (RFC 5280 6.1)" },
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, SL_CERT_UNKNOWN_CA,
      "it is self-signed and not an anchor (RFC 5280 6.1)" },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, SL_CERT_UNKNOWN_CA,
      "it is self-signed and not an anchor (RFC 5280 6.1)" },
    { X509_V_ERR_CERT_UNTRUSTED, SL_CERT_UNKNOWN_CA, "it is not an anchor (RFC 5280 6.1.1)" },
    { X509_V_ERR_CERT_HAS_EXPIRED, SL_CERT_EXPIRED, NULL },
    { X509_V_ERR_CERT_NOT_YET_VALID, SL_CERT_NOT_YET_VALID, NULL },
    { X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, SL_CERT_MALFORMED,
      "notBefore cannot be read (RFC 5280 4.1.2.5)" },
    { X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, SL_CERT_MALFORMED,
      "notAfter cannot be read (RFC 5280 4.1.2.5)" },
    { X509_V_ERR_CERT_SIGNATURE_FAILURE, SL_CERT_SIGNATURE,
      "its signature does not verify with its issuer's key (RFC 5280 6.1.3 (a)(1))" },
    { X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, SL_CERT_SIGNATURE,
      "its signature does not verify with its issuer's key (RFC 5280 6.1.3 (a)(1))" },
    { X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, SL_CERT_MALFORMED,
      "its public key cannot be used (RFC 5280 4.1.2.7)" },
    { X509_V_ERR_SUBJECT_ISSUER_MISMATCH, SL_CERT_INVALID,
      "its issuer has another name (RFC 5280 6.1.3 (a)(4))" },
    { X509_V_ERR_AKID_SKID_MISMATCH, SL_CERT_INVALID,
      "its authorityKeyIdentifier names another key (RFC 5280 4.2.1.1)" },
    { X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH, SL_CERT_INVALID,
      "its authorityKeyIdentifier names another issuer certificate (RFC 5280 4.2.1.1)" },
    { X509_V_ERR_INVALID_CA, SL_CERT_NOT_CA,
      "it issues certificates but is no CA by basicConstraints (RFC 5280 6.1.4 (k))" },
    { X509_V_ERR_INVALID_NON_CA, SL_CERT_NOT_CA, "it is no CA (RFC 5280 6.1.4 (k))" },
    { X509_V_ERR_PATH_LENGTH_EXCEEDED, SL_CERT_PATH_LENGTH,
      "more CAs follow it than its pathLenConstraint allows (RFC 5280 6.1.4 (l))" },
    { X509_V_ERR_KEYUSAGE_NO_CERTSIGN, SL_CERT_KEY_USAGE,
      "its keyUsage lacks keyCertSign (RFC 5280 6.1.4 (n))" },
    { X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, SL_CERT_CRITICAL_EXTENSION,
      "it has a critical extension that is not known (RFC 5280 4.2)" },
    { X509_V_ERR_INVALID_EXTENSION, SL_CERT_INVALID,
      "an extension cannot be decoded or is inconsistent (RFC 5280 4.2)" },
    { X509_V_ERR_PERMITTED_VIOLATION, SL_CERT_NAME_CONSTRAINTS,
      "a name is outside the permitted subtrees of a CA above it (RFC 5280 6.1.3 (b))" },
    { X509_V_ERR_EXCLUDED_VIOLATION, SL_CERT_NAME_CONSTRAINTS,
      "a name is in an excluded subtree of a CA above it (RFC 5280 6.1.3 (c))" },
    { X509_V_ERR_SUBTREE_MINMAX, SL_CERT_NAME_CONSTRAINTS,
      "name constraints with minimum or maximum are not supported (RFC 5280 4.2.1.10)" },
    { X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, SL_CERT_NAME_CONSTRAINTS,
      "a name constraint is of a type that is not supported (RFC 5280 4.2.1.10)" },
    { X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, SL_CERT_NAME_CONSTRAINTS,
      "a name constraint cannot be read (RFC 5280 4.2.1.10)" },
    { X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, SL_CERT_NAME_CONSTRAINTS,
      "a name cannot be read, so no constraint can be checked (RFC 5280 4.2.1.10)" },
    { X509_V_ERR_INVALID_POLICY_EXTENSION, SL_CERT_POLICY,
      "a certificate policy extension is invalid (RFC 5280 6.1.3 (d))" },
    { X509_V_ERR_NO_EXPLICIT_POLICY, SL_CERT_POLICY,
      "a CA requires a valid policy and the path has none (RFC 5280 6.1.5 (g))" },
    { X509_V_ERR_EE_KEY_TOO_SMALL, SL_CERT_WEAK, "its key is too weak" },
    { X509_V_ERR_CA_KEY_TOO_SMALL, SL_CERT_WEAK, "its key is too weak" },
    { X509_V_ERR_CA_MD_TOO_WEAK, SL_CERT_WEAK, "its signature uses a hash that is too weak" },
    { X509_V_ERR_CERT_CHAIN_TOO_LONG, SL_CERT_BUDGET, NULL },
    { X509_V_ERR_OUT_OF_MEM, SL_NO_MEMORY, "out of memory" },
};

struct run {
    const struct sl_path_params *params;
    char subject[352]; /* the certificate that the verdict is about */
    char why[160];     /* the detail of a time verdict */
};

static void name_of(char *out, size_t cap, X509 *x)
{
    char subject[256], serial[64];
    certs_name_text(subject, sizeof(subject), X509_get_subject_name(x));
    const ASN1_INTEGER *s = X509_get0_serialNumber(x);
    sl_hex(serial, sizeof(serial),
           sl_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
    snprintf(out, cap, "%s (serial %s)", subject[0] ? subject : "<no subject>", serial);
}

static int on_verdict(int ok, X509_STORE_CTX *ctx)
{
    if (ok)
        return 1;
    struct run *run = X509_STORE_CTX_get_app_data(ctx);
    X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    int error = X509_STORE_CTX_get_error(ctx);
    int64_t now = run->params->now_utc_s, t;
    char when[SL_TIME_TEXT], at[SL_TIME_TEXT];
    if (x)
        name_of(run->subject, sizeof(run->subject), x);
    sl_time_text(at, now);
    if (error == X509_V_ERR_CERT_HAS_EXPIRED && x && certs_time(&t, X509_get0_notAfter(x))) {
        if (t == now) { /* RFC 5280 4.1.2.5: through notAfter, inclusive */
            X509_STORE_CTX_set_error(ctx, X509_V_OK);
            return 1;
        }
        snprintf(run->why, sizeof(run->why), "notAfter %s is before %s (RFC 5280 6.1.3 (a)(2))",
                 sl_time_text(when, t), at);
    } else if (error == X509_V_ERR_CERT_NOT_YET_VALID && x &&
               certs_time(&t, X509_get0_notBefore(x))) {
        snprintf(run->why, sizeof(run->why), "notBefore %s is after %s (RFC 5280 6.1.3 (a)(2))",
                 sl_time_text(when, t), at);
    }
    return 0;
}

/*
 * libcrypto passes by a candidate issuer whose key usage lacks keyCertSign and then says that there
 * is no issuer; whoever has to mend the CA needs the true reason.
 */
static X509 *issuer_without_certsign(X509 *x, STACK_OF(X509) * a, STACK_OF(X509) * b)
{
    STACK_OF(X509) * both[] = { a, b };
    for (size_t k = 0; k < 2; k++)
        for (int i = 0; i < sk_X509_num(both[k]); i++) {
            X509 *candidate = sk_X509_value(both[k], i);
            if (X509_check_issued(candidate, x) == X509_V_ERR_KEYUSAGE_NO_CERTSIGN)
                return candidate;
        }
    return NULL;
}

static enum sl_rc explain(X509_STORE_CTX *ctx, const struct run *run, STACK_OF(X509) * anchors,
                          STACK_OF(X509) * others, struct sl_err *err)
{
    int error = X509_STORE_CTX_get_error(ctx);
    X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    const struct verdict *v = NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(verdicts); i++)
        if (verdicts[i].error == error)
            v = &verdicts[i];
    if (!v)
        return SL_FAIL(err, SL_CERT_INVALID, "certificate %.300s: %s (RFC 5280 6.1)", run->subject,
                       X509_verify_cert_error_string(error));
    if (error == X509_V_ERR_CERT_CHAIN_TOO_LONG)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %.300s: the path to an anchor is longer than %d certificates",
                       run->subject, SL_PATH_MAX);
    if (error == X509_V_ERR_INVALID_CA && x && (X509_get_extension_flags(x) & EXFLAG_KUSAGE) &&
        (X509_get_extension_flags(x) & EXFLAG_CA) && !(X509_get_key_usage(x) & KU_KEY_CERT_SIGN))
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %.300s: its keyUsage lacks keyCertSign (RFC 5280 6.1.4 (n))",
                       run->subject);
    if (v->rc == SL_CERT_UNKNOWN_CA && x) {
        X509 *bad = issuer_without_certsign(x, anchors, others);
        char issuer[352], wanted[256];
        if (bad) {
            name_of(issuer, sizeof(issuer), bad);
            return SL_FAIL(err, SL_CERT_KEY_USAGE,
                           "certificate %.200s: its issuer %.200s lacks keyCertSign in keyUsage "
                           "(RFC 5280 6.1.4 (n))",
                           run->subject, issuer);
        }
        return SL_FAIL(err, SL_CERT_UNKNOWN_CA, "certificate %.180s, issued by %.160s: %s",
                       run->subject,
                       certs_name_text(wanted, sizeof(wanted), X509_get_issuer_name(x)), v->rule);
    }
    return SL_FAIL(err, v->rc, "certificate %.300s: %s", run->subject,
                   v->rule       ? v->rule
                   : run->why[0] ? run->why
                                 : "validity");
}

/* ---- rules of our own ------------------------------------------------------------------------------ */
/* Keys that cost too much or protect too little, before libcrypto computes with them. */
static enum sl_rc check_key(const struct sl_cert *c, uint16_t min_rsa_bits, struct sl_err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(sl_cert_x509(c));
    if (!key) {
        ERR_clear_error();
        return SL_FAIL(err, SL_CERT_MALFORMED,
                       "certificate %s: its public key cannot be decoded or is of an unknown kind",
                       sl_cert_name(c));
    }
    int bits = EVP_PKEY_get_bits(key);
    int type = EVP_PKEY_get_base_id(key);
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_RSA_PSS) {
        if (type == EVP_PKEY_DSA)
            return SL_FAIL(err, SL_CERT_WEAK, "certificate %s: DSA keys are not accepted",
                           sl_cert_name(c));
        return SL_OK;
    }
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

/* Names that configuration may use beside libcrypto's own ("serverAuth") and OIDs. */
static ASN1_OBJECT *eku_object(const char *name)
{
    static const struct {
        const char *name, *oid;
    } own[] = {
        { "ipsecIKE", "1.3.6.1.5.5.7.3.17" },       /* RFC 4945 5.1.3.12 */
        { "ikeIntermediate", "1.3.6.1.5.5.8.2.2" }, /* of old clients */
        { "any", "2.5.29.37.0" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(own); i++)
        if (strcasecmp(own[i].name, name) == 0)
            name = own[i].oid;
    ASN1_OBJECT *o = OBJ_txt2obj(name, 0);
    ERR_clear_error();
    return o;
}

bool sl_eku_valid(const char *name)
{
    ASN1_OBJECT *o = eku_object(name);
    ASN1_OBJECT_free(o);
    return o != NULL;
}

static bool eku_holds(const EXTENDED_KEY_USAGE *eku, const char *name)
{
    ASN1_OBJECT *o = eku_object(name);
    bool found = false;
    for (int i = 0; o && i < sk_ASN1_OBJECT_num(eku); i++)
        found = found || OBJ_cmp(sk_ASN1_OBJECT_value(eku, i), o) == 0;
    ASN1_OBJECT_free(o);
    return found;
}

static void eku_text(char *out, size_t cap, const EXTENDED_KEY_USAGE *eku)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < sk_ASN1_OBJECT_num(eku) && used + 1 < cap; i++) {
        char one[80];
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(eku, i);
        int nid = OBJ_obj2nid(o);
        if (nid != NID_undef)
            snprintf(one, sizeof(one), "%s", OBJ_nid2sn(nid));
        else
            OBJ_obj2txt(one, sizeof(one), o, 1);
        int n = snprintf(out + used, cap - used, "%s%s", used ? ", " : "", one);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used == 0)
        snprintf(out, cap, "nothing");
}

/* RFC 4945 5.1.3.2 and 5.1.3.12 on the end entity. */
static enum sl_rc check_use(const struct sl_cert *leaf, const struct sl_path_params *params,
                            struct sl_err *err)
{
    X509 *x = sl_cert_x509(leaf);
    uint32_t flags = X509_get_extension_flags(x);
    if ((flags & EXFLAG_KUSAGE) &&
        !(X509_get_key_usage(x) & (X509v3_KU_DIGITAL_SIGNATURE | X509v3_KU_NON_REPUDIATION)))
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: keyUsage has neither digitalSignature nor nonRepudiation "
                       "(RFC 4945 5.1.3.2)",
                       sl_cert_name(leaf));
    int critical = 0;
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(x, NID_ext_key_usage, &critical, NULL);
    if (!eku && critical == -1)
        return SL_OK; /* absent: any use */
    enum sl_rc rc = SL_CERT_EKU;
    if (params->eku_n == 0 && (eku_holds(eku, "ipsecIKE") || eku_holds(eku, "any")))
        rc = SL_OK;
    for (size_t i = 0; i < params->eku_n; i++)
        if (eku_holds(eku, params->eku[i]))
            rc = SL_OK;
    if (rc != SL_OK) {
        char has[200];
        eku_text(has, sizeof(has), eku);
        rc = SL_FAIL(err, SL_CERT_EKU,
                     "certificate %.200s: extendedKeyUsage is %s, expected %s (RFC 4945 5.1.3.12)",
                     sl_cert_name(leaf), has,
                     params->eku_n ? "one that trust.eku names" : "id-kp-ipsecIKE, any, or none");
    }
    EXTENDED_KEY_USAGE_free(eku);
    ERR_clear_error();
    return rc;
}

/* ---- building -------------------------------------------------------------------------------------- */
static bool push(STACK_OF(X509) * stack, const struct sl_cert *c)
{
    return sk_X509_push(stack, sl_cert_x509(c)) > 0;
}

/* The sl_cert that holds x, or a new one. */
static enum sl_rc cert_of(struct sl_cert **out, X509 *x, const struct sl_certs *const lists[],
                          size_t lists_n, struct sl_err *err)
{
    for (size_t k = 0; k < lists_n; k++)
        for (size_t i = 0; lists[k] && i < lists[k]->n; i++)
            if (sl_cert_x509(lists[k]->v[i]) == x) {
                *out = sl_cert_ref(lists[k]->v[i]);
                return SL_OK;
            }
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    if (n <= 0)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = sl_cert_read(out, sl_bytes(der, (size_t)n), err);
    OPENSSL_free(der);
    return rc;
}

static enum sl_rc verify(struct sl_path *out, const struct sl_path_params *params,
                         const struct sl_certs *peer, STACK_OF(X509) * anchors,
                         STACK_OF(X509) * others, X509_STORE *store, X509_STORE_CTX *ctx,
                         struct sl_err *err)
{
    if (!X509_STORE_CTX_init(ctx, store, sl_cert_x509(peer->v[0]), others))
        return SL_FAIL_SSL(err, SL_NO_MEMORY, "certificate verification cannot begin");
    struct run run = { .params = params };
    snprintf(run.subject, sizeof(run.subject), "%s", sl_cert_name(peer->v[0]));
    X509_STORE_CTX_set0_trusted_stack(ctx, anchors);
    X509_STORE_CTX_set_app_data(ctx, &run);
    X509_STORE_CTX_set_verify_cb(ctx, on_verdict);
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    unsigned long flags = X509_V_FLAG_POLICY_CHECK /* RFC 5280 6.1.1 (c): any-policy, but obeyed */
                          | X509_V_FLAG_PARTIAL_CHAIN /* an anchor need not be self-issued */
                          | X509_V_FLAG_TRUSTED_FIRST;
    if (params->strict)
        flags |= X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE;
    X509_VERIFY_PARAM_set_flags(p, flags);
    X509_VERIFY_PARAM_set_time(p, (time_t)params->now_utc_s);
    X509_VERIFY_PARAM_set_depth(p, SL_PATH_MAX - 2); /* intermediates */
    X509_VERIFY_PARAM_set_auth_level(p, 2);          /* 112 bits: no SHA-1, no RSA below 2048 */
    if (X509_verify_cert(ctx) != 1) {
        enum sl_rc rc = explain(ctx, &run, anchors, others, err);
        ERR_clear_error();
        return rc;
    }
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    int n = sk_X509_num(chain);
    if (n < 1 || n > SL_PATH_MAX)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %s: the path has %d certificates, at most %d "
                       "are accepted",
                       run.subject, n, SL_PATH_MAX);
    const struct sl_certs *const lists[] = { peer, params->intermediates, params->anchors };
    for (int i = 0; i < n; i++) {
        SL_TRY(cert_of(&out->cert[i], sk_X509_value(chain, i), lists, SL_ARRAY_LEN(lists), err));
        out->n = (size_t)i + 1;
        SL_TRY(check_key(out->cert[i],
                         params->min_rsa_bits ? params->min_rsa_bits : DEFAULT_RSA_BITS, err));
    }
    return params->any_use ? SL_OK : check_use(out->cert[0], params, err);
}

/* The peer's certificates: the first must be readable and affordable, others are left out if not. */
static enum sl_rc read_peer(struct sl_certs *peer, const struct sl_path_params *params,
                            struct sl_err *err)
{
    if (params->peer_n == 0)
        return SL_FAIL(err, SL_CERT_NONE, "the peer sent no certificate");
    uint16_t min = params->min_rsa_bits ? params->min_rsa_bits : DEFAULT_RSA_BITS;
    for (size_t i = 0; i < params->peer_n && i < SL_CHAIN_MAX; i++) {
        SL_AUTO(sl_cert) *c = NULL;
        enum sl_rc rc = sl_cert_read(&c, params->peer[i], i == 0 ? err : NULL);
        if (rc == SL_OK)
            rc = check_key(c, min, i == 0 ? err : NULL);
        if (rc != SL_OK && i == 0)
            return rc;
        if (rc == SL_OK && !sl_certs_add(peer, c))
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

enum sl_rc sl_path_build(struct sl_path *out, const struct sl_path_params *params,
                         struct sl_err *err)
{
    struct sl_certs peer = { 0 };
    struct sl_path path = { 0 };
    STACK_OF(X509) *anchors = sk_X509_new_null(), *others = sk_X509_new_null();
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum sl_rc rc = SL_OK;
    bool ok = anchors && others && store && ctx;
    for (size_t i = 0; ok && i < params->anchors->n; i++)
        ok = push(anchors, params->anchors->v[i]);
    rc = ok ? read_peer(&peer, params, err) : SL_FAIL_MEM(err);
    if (rc == SL_OK && peer.n == 0)
        rc = SL_CERT_NONE;
    for (size_t i = 1; ok && i < peer.n; i++)
        ok = push(others, peer.v[i]);
    if (params->intermediates) {
        if (params->intermediates->n > SL_PATH_EXTRA && rc == SL_OK)
            rc = SL_FAIL(err, SL_CERT_BUDGET,
                         "%zu intermediates are configured, at most %d are used",
                         params->intermediates->n, SL_PATH_EXTRA);
        for (size_t i = 0; ok && rc == SL_OK && i < params->intermediates->n; i++)
            ok = push(others, params->intermediates->v[i]);
    }
    if (rc == SL_OK && !ok)
        rc = SL_FAIL_MEM(err);
    if (rc == SL_OK && params->anchors->n == 0)
        rc = SL_FAIL(err, SL_CERT_UNKNOWN_CA, "certificate %s: no anchors are configured",
                     sl_cert_name(peer.v[0]));
    if (rc == SL_OK)
        rc = verify(&path, params, &peer, anchors, others, store, ctx, err);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_free(anchors); /* the certificates belong to the lists */
    sk_X509_free(others);
    sl_certs_clear(&peer);
    if (rc == SL_OK)
        *out = path;
    else
        sl_path_clear(&path);
    return rc;
}
