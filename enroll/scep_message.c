/* See scep_message.h. RFC 8894 3, RFC 5652 (CMS, through libcrypto). */
#include "enroll/scep_message.h"

#include <ctype.h>
#include <limits.h>
#include <openssl/asn1t.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CERTS_MAX      16 /* certificates in one message */
#define RECIPIENTS_MAX 16 /* of one envelope: each costs a look */
#define PLAIN_MAX      (128u << 10)

XB_AUTO_DEFINE(CMS_ContentInfo, CMS_ContentInfo_free)
XB_AUTO_DEFINE(BIO, BIO_free)

/* ---- attributes: Verisign's arc, and the one of RFC 8894 ------------------------------------------- */
#define OID_MESSAGE_TYPE    "2.16.840.1.113733.1.9.2"
#define OID_PKI_STATUS      "2.16.840.1.113733.1.9.3"
#define OID_FAIL_INFO       "2.16.840.1.113733.1.9.4"
#define OID_SENDER_NONCE    "2.16.840.1.113733.1.9.5"
#define OID_RECIPIENT_NONCE "2.16.840.1.113733.1.9.6"
#define OID_TRANSACTION_ID  "2.16.840.1.113733.1.9.7"
#define OID_FAIL_INFO_TEXT  "1.3.6.1.5.5.7.24.1"
/* Under the arc for UUIDs (X.667): nobody else's. */
#define OID_RENEWAL_PROOF "2.25.146149962455567464268183007678684005601"

/* ---- library context -------------------------------------------------------------------------------- */

enum sl_rc scep_algs_init(struct scep_algs *a, bool legacy, struct sl_err *err)
{
    *a = (struct scep_algs){ .legacy = legacy };
    if (!legacy)
        return SL_OK;
    a->libctx = OSSL_LIB_CTX_new();
    if (a->libctx) {
        a->dflt = OSSL_PROVIDER_load(a->libctx, "default");
        a->old = OSSL_PROVIDER_load(a->libctx, "legacy");
    }
    if (a->dflt && a->old)
        return SL_OK;
    enum sl_rc rc =
        SL_FAIL_SSL(err, SL_UNSUPPORTED, "libcrypto's legacy provider cannot be loaded");
    scep_algs_clear(a);
    return rc;
}

void scep_algs_clear(struct scep_algs *a)
{
    if (a->old)
        OSSL_PROVIDER_unload(a->old);
    if (a->dflt)
        OSSL_PROVIDER_unload(a->dflt);
    OSSL_LIB_CTX_free(a->libctx);
    *a = (struct scep_algs){ 0 };
}

/* ---- small pieces ------------------------------------------------------------------------------------ */

/* Exactly one ContentInfo, in a's library context. */
static enum sl_rc cms_decode(CMS_ContentInfo **out, const struct scep_algs *a, struct sl_bytes der,
                             const char *what, struct sl_err *err)
{
    if (der.len > SL_SCEP_MESSAGE_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "%s has %zu bytes, the limit is %u", what, der.len,
                       SL_SCEP_MESSAGE_MAX);
    CMS_ContentInfo *cms = CMS_ContentInfo_new_ex(a ? a->libctx : NULL, NULL);
    if (!cms)
        return SL_FAIL_MEM(err);
    const uint8_t *p = der.p;
    if (!d2i_CMS_ContentInfo(&cms, &p, (long)der.len)) /* frees cms on failure */
        return SL_FAIL_SSL(err, SL_SCEP_MALFORMED, "%s is not CMS (RFC 5652)", what);
    if (p != der.p + der.len) {
        CMS_ContentInfo_free(cms);
        return SL_FAIL(err, SL_SCEP_MALFORMED, "%zu bytes follow the %s",
                       der.len - (size_t)(p - der.p), what);
    }
    *out = cms;
    return SL_OK;
}

static enum sl_rc cms_encode(struct sl_buf *out, CMS_ContentInfo *cms, struct sl_err *err)
{
    uint8_t *p = NULL;
    int len = i2d_CMS_ContentInfo(cms, &p);
    if (len <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "CMS message cannot be encoded");
    bool ok = sl_buf_put(out, sl_bytes(p, (size_t)len));
    OPENSSL_free(p);
    return ok ? SL_OK : SL_FAIL_MEM(err);
}

static BIO *mem_bio(struct sl_bytes b)
{
    return BIO_new_mem_buf(b.len ? (const void *)b.p : "", (int)b.len);
}

/* What a memory BIO holds, appended to out. */
static bool bio_take(struct sl_buf *out, BIO *bio)
{
    char *p = NULL;
    long len = BIO_get_mem_data(bio, &p);
    return len <= 0 || sl_buf_put(out, sl_bytes(p, (size_t)len));
}

static const char *alg_name(int nid)
{
    return nid == NID_undef ? "an unknown algorithm" : OBJ_nid2ln(nid);
}

static bool digest_strong(int nid)
{
    return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

static bool cipher_strong(int nid)
{
    return nid == NID_aes_128_cbc || nid == NID_aes_192_cbc || nid == NID_aes_256_cbc;
}

static enum sl_rc check_alg(bool strong, bool old, bool legacy, int nid, const char *what,
                            struct sl_err *err)
{
    if (strong || (old && legacy))
        return SL_OK;
    if (old)
        return SL_FAIL(err, SL_SCEP_LEGACY,
                       "%s uses %s, which is refused unless the option `legacy` is set", what,
                       alg_name(nid));
    return SL_FAIL(err, SL_SCEP_BAD_ALG, "%s uses %s: expected AES-CBC and SHA-2", what,
                   alg_name(nid));
}

static enum sl_rc check_digest(const struct scep_algs *a, int nid, struct sl_err *err)
{
    return check_alg(digest_strong(nid), nid == NID_sha1, a->legacy, nid, "message signature", err);
}

static enum sl_rc check_cipher(const struct scep_algs *a, int nid, struct sl_err *err)
{
    bool old = nid == NID_des_cbc || nid == NID_des_ede3_cbc;
    return check_alg(cipher_strong(nid), old, a->legacy, nid, "message encryption", err);
}

static int alg_nid(const X509_ALGOR *alg)
{
    const ASN1_OBJECT *o = NULL;
    X509_ALGOR_get0(&o, NULL, NULL, alg);
    return OBJ_obj2nid(o);
}

/* ---- reading attributes -------------------------------------------------------------------------------- */

/* The one value of an attribute that occurs once, of the given type; NULL otherwise. */
static const ASN1_STRING *attr_get(CMS_SignerInfo *si, const char *oid, int type)
{
    XB_AUTO(ASN1_OBJECT) *o = OBJ_txt2obj(oid, 1);
    /* -3: neither several attributes nor several values */
    return o ? CMS_signed_get0_data_by_OBJ(si, o, -3, type) : NULL;
}

static bool attr_present(CMS_SignerInfo *si, const char *oid)
{
    XB_AUTO(ASN1_OBJECT) *o = OBJ_txt2obj(oid, 1);
    return o && CMS_signed_get_attr_by_OBJ(si, o, -1) >= 0;
}

/* Text attributes are PrintableString (RFC 8894 3.2.1); other clients' UTF8 and IA5 are read too. */
static bool attr_text(CMS_SignerInfo *si, const char *oid, char *out, size_t cap)
{
    static const int types[] = { V_ASN1_PRINTABLESTRING, V_ASN1_UTF8STRING, V_ASN1_IA5STRING };
    const ASN1_STRING *v = NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(types) && !v; i++)
        v = attr_get(si, oid, types[i]);
    int len = v ? ASN1_STRING_length(v) : 0;
    if (len <= 0 || (size_t)len >= cap)
        return false;
    const uint8_t *p = ASN1_STRING_get0_data(v);
    for (int i = 0; i < len; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return false;
    memcpy(out, p, (size_t)len);
    out[len] = '\0';
    return true;
}

static bool attr_number(CMS_SignerInfo *si, const char *oid, int *out)
{
    char text[8];
    if (!attr_text(si, oid, text, sizeof(text)) || strlen(text) > 3)
        return false;
    char *end;
    *out = (int)strtol(text, &end, 10);
    return isdigit((unsigned char)text[0]) && *end == '\0';
}

static bool attr_nonce(CMS_SignerInfo *si, const char *oid, uint8_t out[SCEP_NONCE_LEN])
{
    const ASN1_STRING *v = attr_get(si, oid, V_ASN1_OCTET_STRING);
    if (!v || ASN1_STRING_length(v) != SCEP_NONCE_LEN)
        return false;
    memcpy(out, ASN1_STRING_get0_data(v), SCEP_NONCE_LEN);
    return true;
}

static enum sl_rc read_status(struct scep_attrs *attrs, CMS_SignerInfo *si, struct sl_err *err)
{
    int status, fail;
    if (!attr_number(si, OID_PKI_STATUS, &status))
        return SL_FAIL(err, SL_SCEP_MALFORMED, "CertRep has no pkiStatus (RFC 8894 3.2.1.3)");
    if (status != SCEP_SUCCESS && status != SCEP_FAILURE && status != SCEP_PENDING)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "pkiStatus %d is unknown (RFC 8894 3.2.1.3)",
                       status);
    attrs->has_status = true;
    attrs->status = (enum scep_status)status;
    if (status == SCEP_FAILURE) {
        if (!attr_number(si, OID_FAIL_INFO, &fail) || fail > SCEP_BAD_CERT_ID)
            return SL_FAIL(err, SL_SCEP_MALFORMED,
                           "failure without a known failInfo (RFC 8894 3.2.1.4)");
        attrs->fail = (enum scep_fail)fail;
        const ASN1_STRING *t = attr_get(si, OID_FAIL_INFO_TEXT, V_ASN1_UTF8STRING);
        if (t)
            sl_printable(attrs->fail_text, sizeof(attrs->fail_text),
                         sl_bytes(ASN1_STRING_get0_data(t), (size_t)ASN1_STRING_length(t)));
    }
    return SL_OK;
}

static enum sl_rc read_attrs(struct scep_message *m, CMS_SignerInfo *si, struct sl_err *err)
{
    struct scep_attrs *a = &m->attrs;
    int type;
    if (!attr_text(si, OID_TRANSACTION_ID, a->transaction_id, sizeof(a->transaction_id)))
        return SL_FAIL(err, SL_SCEP_MALFORMED,
                       "message has no usable transactionID (RFC 8894 3.2.1.1)");
    if (!attr_number(si, OID_MESSAGE_TYPE, &type))
        return SL_FAIL(err, SL_SCEP_MALFORMED, "message has no messageType (RFC 8894 3.2.1.2)");
    a->type = (enum scep_type)type; /* unknown ones are the caller's to refuse */
    a->has_sender_nonce = attr_nonce(si, OID_SENDER_NONCE, a->sender_nonce);
    a->has_recipient_nonce = attr_nonce(si, OID_RECIPIENT_NONCE, a->recipient_nonce);
    const ASN1_STRING *proof = attr_get(si, OID_RENEWAL_PROOF, V_ASN1_OCTET_STRING);
    if (attr_present(si, OID_RENEWAL_PROOF)) {
        if (!proof || ASN1_STRING_length(proof) > 65536 ||
            !sl_buf_put(&m->proof,
                        sl_bytes(ASN1_STRING_get0_data(proof), (size_t)ASN1_STRING_length(proof))))
            return SL_FAIL(err, SL_SCEP_MALFORMED, "renewal proof is not one octet string");
        a->proof = sl_buf_bytes(&m->proof);
    }
    return a->type == SCEP_CERT_REP ? read_status(a, si, err) : SL_OK;
}

/* ---- SignedData ------------------------------------------------------------------------------------------ */

void scep_message_clear(struct scep_message *m)
{
    X509_free(m->signer);
    sl_buf_clear(&m->content);
    sl_buf_clear(&m->proof);
    *m = (struct scep_message){ 0 };
}

/* RFC 8894 3.1: rsaEncryption, or the combined form some send, with the digest of the SignerInfo. */
static bool signature_fits(int sig_nid, int digest_nid)
{
    int md = NID_undef, pk = NID_undef;
    if (sig_nid == NID_rsaEncryption)
        return true;
    if (sig_nid == NID_rsassaPss)
        return true; /* its parameters are checked by libcrypto against the digest */
    return OBJ_find_sigid_algs(sig_nid, &md, &pk) == 1 && pk == NID_rsaEncryption &&
           md == digest_nid;
}

static enum sl_rc one_signer(CMS_ContentInfo *cms, CMS_SignerInfo **si, struct sl_err *err)
{
    if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "message is not SignedData (RFC 8894 3)");
    STACK_OF(CMS_SignerInfo) *all = CMS_get0_SignerInfos(cms); /* lent */
    if (sk_CMS_SignerInfo_num(all) != 1)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "message has %d signers: expected one",
                       sk_CMS_SignerInfo_num(all));
    if (OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "content of the message is not id-data");
    *si = sk_CMS_SignerInfo_value(all, 0);
    return SL_OK;
}

/* The key a signature is to be verified with must be worth it. */
static enum sl_rc check_signer_key(X509 *signer, struct sl_err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(signer);
    if (!key || !EVP_PKEY_is_a(key, "RSA"))
        return SL_FAIL(err, SL_SCEP_SIGNATURE, "signer's key is not RSA (RFC 8894 3.1)");
    int bits = EVP_PKEY_get_bits(key);
    if (bits < 2048)
        return SL_FAIL(err, SL_WEAK_ALGORITHM,
                       "signer's RSA key has %d bits: at least 2048 are required", bits);
    if (bits > 8192)
        return SL_FAIL(err, SL_SCEP_SIGNATURE,
                       "signer's RSA key has %d bits: at most 8192 are read", bits);
    return SL_OK;
}

static enum sl_rc find_signer(CMS_ContentInfo *cms, CMS_SignerInfo *si, STACK_OF(X509) * signers,
                              X509 **out, struct sl_err *err)
{
    STACK_OF(X509) *inner = signers ? NULL : CMS_get1_certs(cms);
    STACK_OF(X509) *from = signers ? signers : inner;
    X509 *found = NULL;
    bool many = inner && sk_X509_num(inner) > CERTS_MAX;
    for (int i = 0; i < sk_X509_num(from) && !found && !many; i++)
        if (CMS_SignerInfo_cert_cmp(si, sk_X509_value(from, i)) == 0)
            found = sk_X509_value(from, i);
    if (found)
        X509_up_ref(found);
    sk_X509_pop_free(inner, X509_free);
    if (many)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "message carries more than %d certificates",
                       CERTS_MAX);
    if (!found)
        return SL_FAIL(err, SL_SCEP_SIGNATURE,
                       signers ? "message is not signed by a certificate of this CA"
                               : "message does not carry its signer's certificate");
    *out = found;
    return SL_OK;
}

static enum sl_rc verify(struct scep_message *m, CMS_ContentInfo *cms, struct sl_err *err)
{
    xb_x509_stack *certs = sk_X509_new_null();
    XB_AUTO(BIO) *out = BIO_new(BIO_s_mem());
    ASN1_OCTET_STRING **content = CMS_get0_content(cms);
    bool absent = !content || !*content;
    XB_AUTO(BIO) *empty = mem_bio(sl_bytes(NULL, 0));
    bool ready = certs && out && empty && sk_X509_push(certs, m->signer) > 0;
    /* the signature alone: what the signer's certificate is worth is for the caller */
    bool ok = ready && CMS_verify(cms, certs, NULL, absent ? empty : NULL, out,
                                  CMS_NO_SIGNER_CERT_VERIFY | CMS_NOINTERN | CMS_BINARY) == 1;
    sk_X509_free(certs); /* the signer stays m's */
    if (!ready)
        return SL_FAIL_MEM(err);
    if (!ok)
        return SL_FAIL_SSL(err, SL_SCEP_SIGNATURE, "signature of the message does not verify");
    return absent || bio_take(&m->content, out) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc scep_message_read(struct scep_message *m, const struct scep_algs *a, struct sl_bytes der,
                             STACK_OF(X509) * signers, struct sl_err *err)
{
    *m = (struct scep_message){ 0 };
    XB_AUTO(CMS_ContentInfo) *cms = NULL;
    CMS_SignerInfo *si = NULL;
    SL_TRY(cms_decode(&cms, a, der, "message", err));
    SL_TRY(one_signer(cms, &si, err));
    SL_TRY(read_attrs(m, si, err));
    X509_ALGOR *digest = NULL, *sig = NULL;
    CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &sig);
    m->digest_nid = alg_nid(digest);
    SL_TRY(check_digest(a, m->digest_nid, err));
    if (!signature_fits(alg_nid(sig), m->digest_nid))
        return SL_FAIL(err, SL_SCEP_BAD_ALG, "message signature uses %s: expected RSA with %s",
                       alg_name(alg_nid(sig)), alg_name(m->digest_nid));
    SL_TRY(find_signer(cms, si, signers, &m->signer, err));
    SL_TRY(check_signer_key(m->signer, err));
    enum sl_rc rc = verify(m, cms, err);
    ERR_clear_error();
    return rc;
}

static bool attr_add(CMS_SignerInfo *si, const char *oid, int type, struct sl_bytes v)
{
    return CMS_signed_add1_attr_by_txt(si, oid, type, v.p, (int)v.len) == 1;
}

static bool attr_add_number(CMS_SignerInfo *si, const char *oid, int n)
{
    char text[12];
    snprintf(text, sizeof(text), "%d", n);
    return attr_add(si, oid, V_ASN1_PRINTABLESTRING, sl_str(text));
}

static bool add_attrs(CMS_SignerInfo *si, const struct scep_attrs *a, int64_t now)
{
    ASN1_TIME *t = ASN1_TIME_adj(NULL, (time_t)now, 0, 0);
    bool ok = t && CMS_signed_add1_attr_by_NID(si, NID_pkcs9_signingTime, ASN1_STRING_type(t), t,
                                               -1) == 1;
    ASN1_TIME_free(t);
    struct sl_bytes sender = sl_bytes(a->sender_nonce, SCEP_NONCE_LEN);
    struct sl_bytes recipient = sl_bytes(a->recipient_nonce, SCEP_NONCE_LEN);
    ok = ok && attr_add_number(si, OID_MESSAGE_TYPE, (int)a->type) &&
         attr_add(si, OID_TRANSACTION_ID, V_ASN1_PRINTABLESTRING, sl_str(a->transaction_id)) &&
         (!a->has_sender_nonce || attr_add(si, OID_SENDER_NONCE, V_ASN1_OCTET_STRING, sender)) &&
         (!a->has_recipient_nonce ||
          attr_add(si, OID_RECIPIENT_NONCE, V_ASN1_OCTET_STRING, recipient)) &&
         (!a->has_status || attr_add_number(si, OID_PKI_STATUS, (int)a->status)) &&
         (!a->proof.len || attr_add(si, OID_RENEWAL_PROOF, V_ASN1_OCTET_STRING, a->proof));
    if (ok && a->has_status && a->status == SCEP_FAILURE)
        ok = attr_add_number(si, OID_FAIL_INFO, (int)a->fail) &&
             (!a->fail_text[0] ||
              attr_add(si, OID_FAIL_INFO_TEXT, V_ASN1_UTF8STRING, sl_str(a->fail_text)));
    return ok;
}

enum sl_rc scep_message_write(struct sl_buf *out, const struct scep_algs *a,
                              const struct scep_attrs *attrs, struct sl_bytes content, X509 *signer,
                              EVP_PKEY *key, int digest_nid, int64_t now, struct sl_err *err)
{
    unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP;
    XB_AUTO(CMS_ContentInfo) *cms =
        CMS_sign_ex(NULL, NULL, NULL, NULL, CMS_BINARY | CMS_PARTIAL, a->libctx, NULL);
    XB_AUTO(BIO) *data = mem_bio(content);
    if (!cms || !data)
        return SL_FAIL_SSL(err, SL_CRYPTO, "CMS message cannot be built");
    const EVP_MD *md = EVP_get_digestbynid(digest_nid);
    CMS_SignerInfo *si = md ? CMS_add1_signer(cms, signer, key, md, flags) : NULL;
    if (!si || !add_attrs(si, attrs, now))
        return SL_FAIL_SSL(err, SL_CRYPTO, "CMS signer cannot be added");
    /* no content at all is something else than an empty one */
    if (content.len == 0 && CMS_set_detached(cms, 1) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO, "CMS content cannot be left out");
    if (CMS_final(cms, data, NULL, flags) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO, "CMS message cannot be signed");
    return cms_encode(out, cms, err);
}

/* ---- EnvelopedData ------------------------------------------------------------------------------------------ */

/*
 * The cipher the contents are encrypted with. libcrypto's CMS has no accessor for it; its PKCS#7
 * code reads the same bytes when the recipients are RSA keys named by issuer and serial, as SCEP's
 * are.
 */
static enum sl_rc envelope_cipher(int *nid, struct sl_bytes der, struct sl_err *err)
{
    const uint8_t *p = der.p;
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)der.len);
    *nid = NID_undef;
    bool ok = p7 && PKCS7_type_is_enveloped(p7) && p7->d.enveloped && p7->d.enveloped->enc_data &&
              p7->d.enveloped->enc_data->algorithm;
    if (ok)
        *nid = alg_nid(p7->d.enveloped->enc_data->algorithm);
    PKCS7_free(p7);
    return ok ? SL_OK
              : SL_FAIL_SSL(err, SL_SCEP_MALFORMED,
                            "envelope is not for RSA recipients named by issuer and serial");
}

enum sl_rc scep_envelope_read(struct sl_buf *plain, int *cipher_nid, const struct scep_algs *a,
                              struct sl_bytes der, X509 *recipient, EVP_PKEY *key,
                              struct sl_err *err)
{
    XB_AUTO(CMS_ContentInfo) *cms = NULL;
    SL_TRY(cms_decode(&cms, a, der, "envelope", err));
    if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_enveloped)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "content of the message is not EnvelopedData");
    STACK_OF(CMS_RecipientInfo) *ris = CMS_get0_RecipientInfos(cms);
    if (sk_CMS_RecipientInfo_num(ris) < 1 || sk_CMS_RecipientInfo_num(ris) > RECIPIENTS_MAX)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "envelope has %d recipients: expected 1 to %d",
                       sk_CMS_RecipientInfo_num(ris), RECIPIENTS_MAX);
    SL_TRY(envelope_cipher(cipher_nid, der, err));
    SL_TRY(check_cipher(a, *cipher_nid, err));
    XB_AUTO(BIO) *out = BIO_new(BIO_s_mem());
    if (!out)
        return SL_FAIL_MEM(err);
    /*
     * With the certificate given, an envelope for somebody else is an error at once; a key that
     * was unwrapped wrongly is replaced by a random one, so that padding tells nothing (RFC 3218).
     */
    if (CMS_decrypt(cms, key, recipient, NULL, out, CMS_BINARY) != 1)
        return SL_FAIL_SSL(err, SL_SCEP_DECRYPT, "envelope cannot be opened with this key");
    char *p = NULL;
    long len = BIO_get_mem_data(out, &p);
    enum sl_rc rc = SL_OK;
    if (len <= 0 || len > (long)PLAIN_MAX)
        rc = SL_FAIL(err, SL_SCEP_DECRYPT, "envelope holds %ld bytes", len);
    else if (!sl_buf_put(plain, sl_bytes(p, (size_t)len)))
        rc = SL_FAIL_MEM(err);
    if (len > 0)
        OPENSSL_cleanse(p, (size_t)len);
    ERR_clear_error();
    return rc;
}

enum sl_rc scep_envelope_write(struct sl_buf *out, const struct scep_algs *a, struct sl_bytes plain,
                               X509 *recipient, int cipher_nid, struct sl_err *err)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(a->libctx, OBJ_nid2sn(cipher_nid), NULL);
    xb_x509_stack *to = sk_X509_new_null();
    XB_AUTO(BIO) *data = mem_bio(plain);
    CMS_ContentInfo *cms = NULL;
    if (cipher && to && data && sk_X509_push(to, recipient) > 0)
        cms = CMS_encrypt_ex(to, data, cipher, CMS_BINARY, a->libctx, NULL);
    sk_X509_free(to); /* the recipient stays the caller's */
    EVP_CIPHER_free(cipher);
    if (!cms)
        return SL_FAIL_SSL(err, SL_CRYPTO, "message cannot be encrypted with %s",
                           alg_name(cipher_nid));
    enum sl_rc rc = cms_encode(out, cms, err);
    CMS_ContentInfo_free(cms);
    return rc;
}

/* ---- certificates only ------------------------------------------------------------------------------------ */

enum sl_rc scep_certs_write(struct sl_buf *out, STACK_OF(X509) * certs, struct sl_err *err)
{
    XB_AUTO(CMS_ContentInfo) *cms = CMS_ContentInfo_new();
    if (!cms || CMS_SignedData_init(cms) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO, "list of certificates cannot be built");
    for (int i = 0; i < sk_X509_num(certs); i++)
        if (CMS_add1_cert(cms, sk_X509_value(certs, i)) != 1)
            return SL_FAIL_SSL(err, SL_CRYPTO, "list of certificates cannot be built");
    return cms_encode(out, cms, err);
}

enum sl_rc scep_certs_read(STACK_OF(X509) * *out, struct sl_bytes der, struct sl_err *err)
{
    XB_AUTO(CMS_ContentInfo) *cms = NULL;
    SL_TRY(cms_decode(&cms, NULL, der, "list of certificates", err));
    if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "list of certificates is not SignedData");
    xb_x509_stack *certs = CMS_get1_certs(cms);
    int n = sk_X509_num(certs);
    if (n < 1 || n > CERTS_MAX) {
        xb_x509_stack_free(certs);
        return SL_FAIL(err, SL_SCEP_MALFORMED, "list holds %d certificates: expected 1 to %d",
                       n < 0 ? 0 : n, CERTS_MAX);
    }
    *out = certs;
    return SL_OK;
}

/* ---- IssuerAndSubject --------------------------------------------------------------------------------------- */

typedef struct {
    X509_NAME *issuer, *subject;
} ISSUER_AND_SUBJECT;
/* clang-format off */
ASN1_SEQUENCE(ISSUER_AND_SUBJECT) = {
    ASN1_SIMPLE(ISSUER_AND_SUBJECT, issuer, X509_NAME),
    ASN1_SIMPLE(ISSUER_AND_SUBJECT, subject, X509_NAME),
} static_ASN1_SEQUENCE_END(ISSUER_AND_SUBJECT)
/* clang-format on */

enum sl_rc scep_poll_write(struct sl_buf *out, const X509_NAME *issuer, const X509_NAME *subject,
                           struct sl_err *err)
{
    /* encoding changes neither name */
    ISSUER_AND_SUBJECT v = { .issuer = (X509_NAME *)issuer, .subject = (X509_NAME *)subject };
    uint8_t *p = NULL;
    int len = ASN1_item_i2d((ASN1_VALUE *)&v, &p, ASN1_ITEM_rptr(ISSUER_AND_SUBJECT));
    if (len <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "IssuerAndSubject cannot be encoded");
    bool ok = sl_buf_put(out, sl_bytes(p, (size_t)len));
    OPENSSL_free(p);
    return ok ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc scep_poll_read(X509_NAME **issuer, X509_NAME **subject, struct sl_bytes der,
                          struct sl_err *err)
{
    const uint8_t *p = der.p;
    ISSUER_AND_SUBJECT *v = (ISSUER_AND_SUBJECT *)ASN1_item_d2i(NULL, &p, (long)der.len,
                                                                ASN1_ITEM_rptr(ISSUER_AND_SUBJECT));
    if (!v || p != der.p + der.len) {
        ASN1_item_free((ASN1_VALUE *)v, ASN1_ITEM_rptr(ISSUER_AND_SUBJECT));
        return SL_FAIL_SSL(err, SL_SCEP_MALFORMED,
                           "CertPoll does not hold IssuerAndSubject (RFC 8894 3.3.3)");
    }
    *issuer = v->issuer;
    *subject = v->subject;
    v->issuer = v->subject = NULL;
    ASN1_item_free((ASN1_VALUE *)v, ASN1_ITEM_rptr(ISSUER_AND_SUBJECT));
    return SL_OK;
}

/* ---- the first message's own certificate ---------------------------------------------------------------------- */

enum sl_rc scep_self_signed(X509 **out, const X509_NAME *subject, EVP_PKEY *pub, EVP_PKEY *key,
                            const struct sl_rng *rng, int64_t now, struct sl_err *err)
{
    uint8_t raw[16];
    char serial[SL_SERIAL_TEXT];
    sl_rng_fill(rng, raw, sizeof(raw));
    raw[0] |= 1;
    sl_hex(serial, sizeof(serial), sl_bytes(raw, sizeof(raw)));
    struct xb_cert c = {
        .serial = serial,
        .subject = subject,
        .issuer = subject,
        .key = pub,
        .not_before = now - 3600,
        .not_after = now + 30LL * 24 * 3600, /* longer than anybody waits for an approval */
        .key_usage = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT,
        .eku_nid = NID_undef,
    };
    return xb_cert_make(out, &c, key, err);
}

/* ---- renewal proof ---------------------------------------------------------------------------------------------- */
/*
 *   version (1) = 1, scheme (1, enum sl_sig), certificate (2 + n, DER), signature (2 + n)
 *
 * signed: the label, the transactionID with its length, SHA-256 of the request
 */
#define PROOF_VERSION 1

static bool proof_text(struct sl_buf *b, const char *transaction_id, struct sl_bytes csr)
{
    uint8_t digest[32];
    sl_sha2(256, csr, digest);
    struct sl_wr w = sl_wr_buf(b, 1024);
    sl_wr_put(&w, sl_str("sealane SCEP renewal proof"));
    sl_wr_str16(&w, transaction_id);
    sl_wr_put(&w, sl_bytes(digest, sizeof(digest)));
    return sl_wr_ok(&w);
}

static enum sl_sig proof_scheme(struct sl_bytes spki)
{
    uint16_t bits;
    switch (sl_spki_type(spki, &bits)) {
    case SL_KEY_RSA:
        return SL_SIG_RSA_PSS_SHA256;
    case SL_KEY_EC_P256:
        return SL_SIG_ECDSA_SHA256;
    case SL_KEY_EC_P384:
        return SL_SIG_ECDSA_SHA384;
    case SL_KEY_EC_P521:
        return SL_SIG_ECDSA_SHA512;
    case SL_KEY_ED25519:
        return SL_SIG_ED25519;
    case SL_KEY_NONE:
        break;
    }
    return SL_SIG_NONE;
}

enum sl_rc scep_proof_write(struct sl_buf *out, struct sl_bytes old_cert,
                            const struct sl_key *old_key, const char *transaction_id,
                            struct sl_bytes csr, struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    SL_AUTO_BUF sig = { 0 };
    enum sl_sig scheme = proof_scheme(old_key->spki);
    if (scheme == SL_SIG_NONE)
        return SL_FAIL(err, SL_UNSUPPORTED, "key %s has a type that cannot renew", old_key->name);
    if (!proof_text(&text, transaction_id, csr))
        return SL_FAIL_MEM(err);
    SL_TRY(old_key->ops->sign(old_key->ops->ctx, old_key->name, scheme, sl_buf_bytes(&text), &sig,
                              err));
    struct sl_wr w = sl_wr_buf(out, 65536);
    sl_wr_u8(&w, PROOF_VERSION);
    sl_wr_u8(&w, (uint8_t)scheme);
    sl_wr_part16(&w, old_cert);
    sl_wr_part16(&w, sl_buf_bytes(&sig));
    return sl_wr_ok(&w) ? SL_OK : SL_FAIL(err, SL_TOO_LARGE, "renewal proof is too large");
}

enum sl_rc scep_proof_read(X509 **old, struct sl_bytes proof, const char *transaction_id,
                           struct sl_bytes csr, struct sl_err *err)
{
    struct sl_rd r = sl_rd(proof);
    uint8_t version = sl_rd_u8(&r);
    uint8_t scheme = sl_rd_u8(&r);
    struct sl_bytes cert = sl_rd_part16(&r);
    struct sl_bytes sig = sl_rd_part16(&r);
    if (!sl_rd_done(&r) || version != PROOF_VERSION)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "renewal proof cannot be read");
    XB_AUTO(X509) *x = NULL;
    SL_TRY(xb_cert_read(&x, cert, err));
    SL_AUTO_BUF spki = { 0 };
    SL_TRY(xb_spki_der(&spki, x, err));
    if (scheme == SL_SIG_NONE || scheme != (uint8_t)proof_scheme(sl_buf_bytes(&spki)))
        return SL_FAIL(err, SL_SCEP_MALFORMED, "renewal proof's scheme does not fit its key");
    SL_AUTO_BUF text = { 0 };
    if (!proof_text(&text, transaction_id, csr))
        return SL_FAIL_MEM(err);
    if (sl_sig_verify((enum sl_sig)scheme, sl_buf_bytes(&spki), sl_buf_bytes(&text), sig, err) !=
        SL_OK)
        return SL_FAIL(err, SL_SCEP_SIGNATURE,
                       "renewal proof is not signed by the old certificate's key");
    *old = x;
    x = NULL;
    return SL_OK;
}

/* ---- failInfo ----------------------------------------------------------------------------------------------------- */

const char *scep_fail_text(enum scep_fail fail)
{
    switch (fail) {
    case SCEP_BAD_ALG:
        return "badAlg";
    case SCEP_BAD_MESSAGE_CHECK:
        return "badMessageCheck";
    case SCEP_BAD_REQUEST:
        return "badRequest";
    case SCEP_BAD_TIME:
        return "badTime";
    case SCEP_BAD_CERT_ID:
        return "badCertId";
    }
    return "unknown";
}

enum sl_rc scep_fail_rc(enum scep_fail fail)
{
    switch (fail) {
    case SCEP_BAD_ALG:
        return SL_SCEP_BAD_ALG;
    case SCEP_BAD_MESSAGE_CHECK:
        return SL_SCEP_BAD_MESSAGE_CHECK;
    case SCEP_BAD_REQUEST:
        return SL_SCEP_BAD_REQUEST;
    case SCEP_BAD_TIME:
        return SL_SCEP_BAD_TIME;
    case SCEP_BAD_CERT_ID:
        return SL_SCEP_BAD_CERT_ID;
    }
    return SL_SCEP_BAD_REQUEST;
}
