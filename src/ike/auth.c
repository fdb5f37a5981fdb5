/*
 * Content of AUTH; see auth.h (RFC 7296 3.8, RFC 7427, RFC 4754, RFC 8420).
 */
#include "src/ike/auth.h"

#include "src/crypto/sig.h"

#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

const char *ike_auth_method_text(char out[IKE_TEXT], uint8_t method)
{
    const char *name = "method";
    switch (method) {
    case IKE_AUTH_RSA:
        name = "RSA signature";
        break;
    case IKE_AUTH_PSK:
        name = "pre-shared key";
        break;
    case IKE_AUTH_DSS:
        name = "DSS";
        break;
    case IKE_AUTH_ECDSA_256:
        name = "ECDSA P-256";
        break;
    case IKE_AUTH_ECDSA_384:
        name = "ECDSA P-384";
        break;
    case IKE_AUTH_ECDSA_521:
        name = "ECDSA P-521";
        break;
    case IKE_AUTH_SECURE_PASSWORD:
        name = "secure password";
        break;
    case IKE_AUTH_NULL:
        name = "no authentication";
        break;
    case IKE_AUTH_DIGITAL_SIGNATURE:
        name = "digital signature";
        break;
    default:
        break;
    }
    (void)snprintf(out, IKE_TEXT, "%s (%u)", name, method);
    return out;
}

/* ---- N(SIGNATURE_HASH_ALGORITHMS) (RFC 7427 4): hash algorithms, two bytes each --------------------- */
bool ike_hashes_read(uint32_t *hashes, struct sl_bytes data)
{
    uint32_t set = 0;
    struct sl_rd r = sl_rd(data);
    while (sl_rd_left(&r) > 0) {
        uint16_t hash = sl_rd_u16(&r);
        if (hash >= IKE_HASH_SHA1 && hash <= IKE_HASH_IDENTITY)
            set |= IKE_HASH_BIT(hash);
    }
    *hashes = set;
    return sl_rd_done(&r) && data.len > 0;
}

void ike_put_hashes(struct ike_wr *c, uint32_t hashes)
{
    uint8_t data[2 * IKE_HASH_IDENTITY];
    struct sl_wr w = sl_wr_fixed(data, sizeof(data));
    for (unsigned hash = IKE_HASH_SHA1; hash <= IKE_HASH_IDENTITY; hash++)
        if (hashes & IKE_HASH_BIT(hash))
            sl_wr_u16(&w, (uint16_t)hash);
    ike_put_notify(c, IKE_N_SIGNATURE_HASH_ALGORITHMS, sl_bytes(data, sl_wr_len(&w)));
}

/* ---- AlgorithmIdentifiers ----------------------------------------------------------------------------- */
struct sl_bytes ike_auth_algorithm(enum sl_sig sig)
{
    const struct sig_scheme *s = sig_scheme(sig);
    return s ? s->algorithm : (struct sl_bytes){ 0 };
}

/* The hash that a verifier of s announces; 0: none. */
static unsigned hash_of(const struct sig_scheme *s)
{
    if (!s->digest)
        return IKE_HASH_IDENTITY;
    switch (s->digest_len) {
    case 20:
        return IKE_HASH_SHA1;
    case 32:
        return IKE_HASH_SHA2_256;
    case 48:
        return IKE_HASH_SHA2_384;
    case 64:
        return IKE_HASH_SHA2_512;
    default:
        return 0;
    }
}

/* The algorithm of a, and whether its parameters are absent or NULL. */
static int alg_nid(const X509_ALGOR *a, bool *absent, bool *null)
{
    const ASN1_OBJECT *oid = NULL;
    int type = V_ASN1_UNDEF;
    X509_ALGOR_get0(&oid, &type, NULL, a);
    *absent = type == V_ASN1_UNDEF;
    *null = type == V_ASN1_NULL;
    return OBJ_obj2nid(oid);
}

/* The SEQUENCE in a's parameters, as DER; empty when they are something else. */
static struct sl_bytes alg_sequence(const X509_ALGOR *a)
{
    int type = V_ASN1_UNDEF;
    const void *value = NULL;
    X509_ALGOR_get0(NULL, &type, &value, a);
    if (type != V_ASN1_SEQUENCE)
        return (struct sl_bytes){ 0 };
    const ASN1_STRING *s = (const ASN1_STRING *)value;
    return sl_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static X509_ALGOR *decode_alg(struct sl_bytes der)
{
    const uint8_t *p = der.p;
    X509_ALGOR *a = der.len ? d2i_X509_ALGOR(NULL, &p, (long)der.len) : NULL;
    if (a && p != der.p + der.len) {
        X509_ALGOR_free(a);
        a = NULL;
    }
    return a;
}

static int hash_nid(const X509_ALGOR *a)
{
    bool absent, null;
    if (!a)
        return NID_sha1; /* RFC 4055 3.1: the default */
    int nid = alg_nid(a, &absent, &null);
    return absent || null ? nid : NID_undef;
}

/* MGF1's hash; a mask generation function that is another is NID_undef. */
static int mgf_hash_nid(const X509_ALGOR *a)
{
    bool absent, null;
    if (!a)
        return NID_sha1;
    if (alg_nid(a, &absent, &null) != NID_mgf1)
        return NID_undef;
    X509_ALGOR *inner = decode_alg(alg_sequence(a));
    int nid = inner ? hash_nid(inner) : NID_undef;
    X509_ALGOR_free(inner);
    return nid;
}

static const char *nid_text(int nid)
{
    return nid == NID_undef ? "an unknown algorithm" : OBJ_nid2ln(nid);
}

/* RFC 4055 3.1, RFC 7427 A.4: only the parameters that sl_sig knows, all of one hash. */
static enum sl_rc read_pss(enum sl_sig *sig, const X509_ALGOR *a, struct sl_err *err)
{
    struct sl_bytes der = alg_sequence(a);
    const uint8_t *p = der.p;
    RSA_PSS_PARAMS *pss = der.len ? d2i_RSA_PSS_PARAMS(NULL, &p, (long)der.len) : NULL;
    if (!pss || p != der.p + der.len) {
        RSA_PSS_PARAMS_free(pss);
        return SL_FAIL_SSL(err, SL_IKE_MALFORMED, "AUTH: parameters of RSASSA-PSS do not parse");
    }
    int hash = hash_nid(pss->hashAlgorithm), mgf = mgf_hash_nid(pss->maskGenAlgorithm);
    long salt = pss->saltLength ? ASN1_INTEGER_get(pss->saltLength) : 20;
    long trailer = pss->trailerField ? ASN1_INTEGER_get(pss->trailerField) : 1;
    RSA_PSS_PARAMS_free(pss);
    if (hash == NID_sha1 || hash == NID_md5 || mgf == NID_sha1)
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "AUTH: RSASSA-PSS with %s is refused as too weak",
                       nid_text(hash == NID_md5 ? hash : NID_sha1));
    const struct sig_scheme *s = hash == NID_undef ? NULL : sig_find(SIG_RSA_PSS, OBJ_nid2sn(hash));
    if (!s || mgf != hash || salt != s->digest_len || trailer != 1)
        return SL_FAIL(
            err, SL_AUTH_METHOD,
            "AUTH: RSASSA-PSS with %s, MGF1 with %s, salt of %ld bytes; expected SHA-2 in "
            "both and a salt as long",
            nid_text(hash), nid_text(mgf), salt);
    *sig = s->id;
    return SL_OK;
}

/* The scheme of a signature algorithm other than RSASSA-PSS; NULL: none of ours. */
static const struct sig_scheme *scheme_of(int nid, int *digest)
{
    int key = NID_undef;
    *digest = NID_undef;
    if (nid == NID_undef || OBJ_find_sigid_algs(nid, digest, &key) != 1)
        return NULL;
    switch (key) {
    case NID_rsaEncryption:
        return sig_find(SIG_RSA_PKCS1, OBJ_nid2sn(*digest));
    case NID_X9_62_id_ecPublicKey:
        return sig_find(SIG_ECDSA, OBJ_nid2sn(*digest));
    case NID_ED25519:
        return sig_scheme(SL_SIG_ED25519);
    default:
        return NULL;
    }
}

static enum sl_rc read_alg(enum sl_sig *sig, const X509_ALGOR *a, struct sl_err *err)
{
    bool absent, null;
    int nid = alg_nid(a, &absent, &null), digest;
    if (nid == NID_rsassaPss)
        return read_pss(sig, a, err);
    const struct sig_scheme *s = scheme_of(nid, &digest);
    if (!s && (digest == NID_sha1 || digest == NID_md5))
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "AUTH: signature by %s is refused as too weak",
                       nid_text(nid));
    if (!s)
        return SL_FAIL(err, SL_AUTH_METHOD, "AUTH: signature by %s is not supported",
                       nid_text(nid));
    /* RFC 4055 5: NULL with RSA, absence to be taken too; RFC 5758 3.2, RFC 8410 3: absent */
    if (!absent && !(s->family == SIG_RSA_PKCS1 && null))
        return SL_FAIL(err, SL_AUTH_METHOD, "AUTH: %s with parameters", nid_text(nid));
    *sig = s->id;
    return SL_OK;
}

enum sl_rc ike_auth_algorithm_read(enum sl_sig *sig, struct sl_bytes der, struct sl_err *err)
{
    X509_ALGOR *a = decode_alg(der);
    if (!a)
        return SL_FAIL_SSL(err, SL_IKE_MALFORMED, "AUTH: AlgorithmIdentifier does not parse");
    enum sl_rc rc = read_alg(sig, a, err);
    X509_ALGOR_free(a);
    return rc;
}

/* ---- choosing ------------------------------------------------------------------------------------------- */
static const char *key_text(char out[32], enum sl_key_type type, uint16_t rsa_bits)
{
    switch (type) {
    case SL_KEY_RSA:
        (void)snprintf(out, 32, "RSA-%u", rsa_bits);
        return out;
    case SL_KEY_EC_P256:
        return "ECDSA P-256";
    case SL_KEY_EC_P384:
        return "ECDSA P-384";
    case SL_KEY_EC_P521:
        return "ECDSA P-521";
    case SL_KEY_ED25519:
        return "Ed25519";
    case SL_KEY_NONE:
        break;
    }
    return "unknown";
}

static void hashes_text(char *out, size_t cap, uint32_t hashes)
{
    static const char *const names[] = { "", "SHA-1", "SHA-256", "SHA-384", "SHA-512", "identity" };
    size_t len = 0;
    out[0] = 0;
    for (size_t i = IKE_HASH_SHA1; i <= IKE_HASH_IDENTITY && len < cap; i++)
        if (hashes & IKE_HASH_BIT(i)) {
            int n = snprintf(out + len, cap - len, "%s%s", len ? ", " : "", names[i]);
            len += n > 0 ? (size_t)n : 0;
        }
    if (len == 0)
        (void)snprintf(out, cap, "none");
}

/* The hash as strong as the key (SP 800-57 part 1, 5.6), else the strongest the peer has; 0: none. */
static unsigned hash_for(enum sl_key_type type, uint16_t rsa_bits, uint32_t peer_hashes)
{
    unsigned fit = IKE_HASH_SHA2_256;
    if (type == SL_KEY_EC_P521 || (type == SL_KEY_RSA && rsa_bits > 7680))
        fit = IKE_HASH_SHA2_512;
    else if (type == SL_KEY_EC_P384 || (type == SL_KEY_RSA && rsa_bits > 3072))
        fit = IKE_HASH_SHA2_384;
    if (peer_hashes & IKE_HASH_BIT(fit))
        return fit;
    for (unsigned hash = IKE_HASH_SHA2_512; hash >= IKE_HASH_SHA2_256; hash--)
        if (peer_hashes & IKE_HASH_BIT(hash))
            return hash;
    return 0;
}

static enum sl_sig sig_for(enum sl_key_type type, unsigned hash, bool pss)
{
    static const enum sl_sig table[3][3] = {
        { SL_SIG_RSA_PKCS1_SHA256, SL_SIG_RSA_PKCS1_SHA384, SL_SIG_RSA_PKCS1_SHA512 },
        { SL_SIG_RSA_PSS_SHA256, SL_SIG_RSA_PSS_SHA384, SL_SIG_RSA_PSS_SHA512 },
        { SL_SIG_ECDSA_SHA256, SL_SIG_ECDSA_SHA384, SL_SIG_ECDSA_SHA512 },
    };
    return table[type == SL_KEY_RSA ? pss : 2][hash - IKE_HASH_SHA2_256];
}

enum sl_rc ike_auth_choose(struct ike_auth_choice *out, enum sl_key_type type, uint16_t rsa_bits,
                           uint32_t peer_hashes, unsigned options, struct sl_err *err)
{
    bool legacy = (options & IKE_AUTH_OPT_LEGACY_SHA1) != 0;
    unsigned hash = hash_for(type, rsa_bits, peer_hashes);
    enum sl_sig sig = SL_SIG_NONE;
    uint8_t method = IKE_AUTH_DIGITAL_SIGNATURE;
    if (type == SL_KEY_ED25519) {
        if (peer_hashes & IKE_HASH_BIT(IKE_HASH_IDENTITY)) /* SPEC RFC8420-2 MUST: only then */
            sig = SL_SIG_ED25519;
    } else if (type != SL_KEY_NONE && hash) {
        sig = sig_for(type, hash, !(options & IKE_AUTH_OPT_NO_PSS));
    } else if (type == SL_KEY_EC_P256) { /* the curve fixes the hash (RFC 4754 3) */
        method = IKE_AUTH_ECDSA_256;
        sig = SL_SIG_ECDSA_SHA256;
    } else if (type == SL_KEY_EC_P384) {
        method = IKE_AUTH_ECDSA_384;
        sig = SL_SIG_ECDSA_SHA384;
    } else if (type == SL_KEY_EC_P521) {
        method = IKE_AUTH_ECDSA_521;
        sig = SL_SIG_ECDSA_SHA512;
    } else if (type == SL_KEY_RSA && (peer_hashes == 0 || legacy)) {
        method = IKE_AUTH_RSA;
        sig = legacy ? SL_SIG_RSA_PKCS1_SHA1 : SL_SIG_RSA_PKCS1_SHA256;
    }
    if (sig == SL_SIG_NONE) {
        char key[32], hashes[64];
        hashes_text(hashes, sizeof(hashes), peer_hashes);
        return SL_FAIL(err, SL_AUTH_METHOD,
                       "peer takes no signature of our %s key: hash algorithms it announced: %s",
                       key_text(key, type, rsa_bits), hashes);
    }
    out->method = method;
    out->sig = sig;
    return SL_OK;
}

/* ---- r | s of RFC 4754 and the DER form ----------------------------------------------------------------------- */
static size_t half_len(uint8_t method)
{
    switch (method) {
    case IKE_AUTH_ECDSA_256:
        return 32;
    case IKE_AUTH_ECDSA_384:
        return 48;
    case IKE_AUTH_ECDSA_521:
        return 66;
    default:
        return 0;
    }
}

static bool der_to_raw(uint8_t *out, size_t half, struct sl_bytes der)
{
    const uint8_t *p = der.p;
    ECDSA_SIG *sig = der.len ? d2i_ECDSA_SIG(NULL, &p, (long)der.len) : NULL;
    bool ok = sig && p == der.p + der.len &&
              BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half) == (int)half &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half) == (int)half;
    ECDSA_SIG_free(sig);
    return ok;
}

/* DER into scratch; 0 when it does not go. */
static size_t raw_to_der(uint8_t scratch[IKE_AUTH_SCRATCH], struct sl_bytes raw)
{
    size_t half = raw.len / 2;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.p, (int)half, NULL), *s = BN_bin2bn(raw.p + half, (int)half, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return 0;
    }
    int len = i2d_ECDSA_SIG(sig, NULL);
    size_t n = 0;
    if (len > 0 && len <= IKE_AUTH_SCRATCH) {
        uint8_t *p = scratch;
        n = i2d_ECDSA_SIG(sig, &p) == len ? (size_t)len : 0;
    }
    ECDSA_SIG_free(sig);
    return n;
}

/* ---- making and taking apart ------------------------------------------------------------------------------------ */
/* RFC 7427 3: length of the AlgorithmIdentifier (1), AlgorithmIdentifier, signature */
enum sl_rc ike_auth_make(struct sl_buf *out, const struct ike_auth_choice *choice,
                         struct sl_bytes signature, struct sl_err *err)
{
    struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
    size_t start = out->len, half = half_len(choice->method);
    if (choice->method == IKE_AUTH_DIGITAL_SIGNATURE) {
        struct sl_bytes alg = ike_auth_algorithm(choice->sig);
        if (alg.len == 0)
            return SL_FAIL(err, SL_INTERNAL, "no AlgorithmIdentifier for signature %d",
                           (int)choice->sig);
        sl_wr_part8(&w, alg);
        sl_wr_put(&w, signature);
    } else if (half) {
        uint8_t raw[2 * 66];
        if (!der_to_raw(raw, half, signature))
            return SL_FAIL_SSL(err, SL_CRYPTO,
                               "ECDSA signature of %zu bytes is not one of two %zu "
                               "byte numbers in DER",
                               signature.len, half);
        sl_wr_put(&w, sl_bytes(raw, 2 * half));
    } else {
        sl_wr_put(&w, signature);
    }
    if (!sl_wr_ok(&w)) {
        out->len = start;
        return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

static enum sl_rc parse_digital(struct ike_auth_claim *out, struct sl_bytes data, uint32_t hashes,
                                unsigned options, struct sl_err *err)
{
    struct sl_rd r = sl_rd(data);
    struct sl_bytes alg = sl_rd_part8(&r);
    out->signature = sl_rd_rest(&r);
    if (!sl_rd_done(&r) || alg.len == 0 || out->signature.len == 0)
        return SL_FAIL(err, SL_IKE_MALFORMED, "AUTH: digital signature of %zu bytes is cut short",
                       data.len);
    SL_TRY(ike_auth_algorithm_read(&out->sig, alg, err));
    if (out->sig == SL_SIG_RSA_PKCS1_SHA1) {
        if (options & IKE_AUTH_OPT_LEGACY_SHA1)
            return SL_OK;
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "AUTH: signature with SHA-1 is refused as too weak");
    }
    const struct sig_scheme *s = sig_scheme(out->sig);
    if (!s || !(hashes & IKE_HASH_BIT(hash_of(s)))) /* SPEC RFC7427-4 MUST: a hash we announced */
        return SL_FAIL(err, SL_AUTH_METHOD, "AUTH: %s uses a hash that we did not announce",
                       sl_sig_text(out->sig));
    return SL_OK;
}

enum sl_rc ike_auth_parse(struct ike_auth_claim *out, const struct ike_auth *auth, uint32_t hashes,
                          unsigned options, uint8_t scratch[IKE_AUTH_SCRATCH], struct sl_err *err)
{
    struct ike_auth_claim c = { .method = auth->method, .signature = auth->data };
    size_t half = half_len(auth->method);
    char method[IKE_TEXT];
    switch (auth->method) {
    case IKE_AUTH_DIGITAL_SIGNATURE:
        SL_TRY(parse_digital(&c, auth->data, hashes, options, err));
        break;
    case IKE_AUTH_RSA:
        /* the hash is not in the payload: SHA-256 (RFC 7296 3.8), SHA-1 where told so */
        c.sig =
            options & IKE_AUTH_OPT_LEGACY_SHA1 ? SL_SIG_RSA_PKCS1_SHA1 : SL_SIG_RSA_PKCS1_SHA256;
        break;
    case IKE_AUTH_PSK:
        c.sig = SL_SIG_NONE;
        break;
    case IKE_AUTH_ECDSA_256:
    case IKE_AUTH_ECDSA_384:
    case IKE_AUTH_ECDSA_521:
        c.sig = half == 32   ? SL_SIG_ECDSA_SHA256
                : half == 48 ? SL_SIG_ECDSA_SHA384
                             : SL_SIG_ECDSA_SHA512;
        if (auth->data.len != 2 * half)
            return SL_FAIL(err, SL_IKE_MALFORMED, "AUTH: %s signature of %zu bytes, expected %zu",
                           ike_auth_method_text(method, auth->method), auth->data.len, 2 * half);
        size_t len = raw_to_der(scratch, auth->data);
        if (len == 0)
            return SL_FAIL_SSL(err, SL_CRYPTO, "AUTH: ECDSA signature cannot be encoded");
        c.signature = sl_bytes(scratch, len);
        break;
    default:
        return SL_FAIL(err, SL_AUTH_METHOD, "AUTH: method %s is not supported",
                       ike_auth_method_text(method, auth->method));
    }
    *out = c;
    return SL_OK;
}
