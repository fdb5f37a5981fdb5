/*
 * RSA key transport of the provider behind sl_key_pkey: PKCS#1 v1.5 and OAEP with SHA-256 are
 * decrypted by the key's decrypt operation, which answers a wrong padding with pseudo-random bytes.
 * Encrypting goes to libcrypto's own implementation with the public key.
 */
#include "pkey.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_NAME_MAX 32

struct cipher_ctx {
    struct pkey *key;
    int padding;
    char digest[DIGEST_NAME_MAX], mgf1[DIGEST_NAME_MAX]; /* OAEP's; "": not set */
    bool label;                                          /* an OAEP label was set */
    EVP_PKEY_CTX *encrypt;                               /* encrypting: libcrypto's own context */
};

static void *new_ctx(void *provctx)
{
    (void)provctx;
    struct cipher_ctx *c = calloc(1, sizeof(*c));
    if (c)
        c->padding = RSA_PKCS1_PADDING;
    return c;
}

static void free_ctx(void *ctx)
{
    struct cipher_ctx *c = ctx;
    if (!c)
        return;
    EVP_PKEY_CTX_free(c->encrypt);
    pkey_unref(c->key);
    free(c);
}

static void *dup_ctx(void *ctx)
{
    const struct cipher_ctx *from = ctx;
    struct cipher_ctx *c = new_ctx(NULL);
    if (!c)
        return NULL;
    *c = *from;
    c->key = from->key ? pkey_ref(from->key) : NULL;
    c->encrypt = from->encrypt ? EVP_PKEY_CTX_dup(from->encrypt) : NULL;
    if (!from->encrypt || c->encrypt)
        return c;
    free_ctx(c);
    return NULL;
}

/* ---- parameters -------------------------------------------------------------------------------- */
static bool get_name(const OSSL_PARAM *p, char out[DIGEST_NAME_MAX])
{
    char *at = out;
    return OSSL_PARAM_get_utf8_string(p, &at, DIGEST_NAME_MAX) == 1;
}

static bool set_padding(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    char name[DIGEST_NAME_MAX];
    int padding = 0;
    if (p->data_type == OSSL_PARAM_UTF8_STRING) {
        if (!get_name(p, name))
            return false;
        if (strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0)
            padding = RSA_PKCS1_PADDING;
        else if (strcmp(name, OSSL_PKEY_RSA_PAD_MODE_OAEP) == 0)
            padding = RSA_PKCS1_OAEP_PADDING;
    } else if (OSSL_PARAM_get_int(p, &padding) != 1) {
        return false;
    }
    if (padding != RSA_PKCS1_PADDING && padding != RSA_PKCS1_OAEP_PADDING)
        return false;
    c->padding = padding;
    return true;
}

/*
 * Unknown parameters are passed over. One of them is libcrypto's switch for its own implicit
 * rejection, which its CMS code turns off: that of a key held elsewhere stays on.
 */
static int set_params(void *ctx, const OSSL_PARAM params[])
{
    struct cipher_ctx *c = ctx;
    const OSSL_PARAM *p;
    if (!params)
        return 1;
    if (c->encrypt)
        return EVP_PKEY_CTX_set_params(c->encrypt, params);
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE)) &&
        !set_padding(c, p))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST)) &&
        !get_name(p, c->digest))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST)) &&
        !get_name(p, c->mgf1))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL)))
        c->label = p->data_size > 0;
    return 1;
}

static int get_params(void *ctx, OSSL_PARAM params[])
{
    const struct cipher_ctx *c = ctx;
    OSSL_PARAM *p;
    if (c->encrypt)
        return EVP_PKEY_CTX_get_params(c->encrypt, params);
    p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
    if (p && p->data_type == OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_utf8_string(p, c->padding == RSA_PKCS1_PADDING
                                                 ? OSSL_PKEY_RSA_PAD_MODE_PKCSV15
                                                 : OSSL_PKEY_RSA_PAD_MODE_OAEP);
    return !p || OSSL_PARAM_set_int(p, c->padding);
}

static const OSSL_PARAM settable_params[] = {
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM gettable_params[] = {
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *settable(void *ctx, void *provctx)
{
    (void)ctx, (void)provctx;
    return settable_params;
}

static const OSSL_PARAM *gettable(void *ctx, void *provctx)
{
    (void)ctx, (void)provctx;
    return gettable_params;
}

/* ---- operations -------------------------------------------------------------------------------- */
static bool start(struct cipher_ctx *c, void *key)
{
    if (key) {
        pkey_unref(c->key);
        c->key = pkey_ref(key);
    }
    EVP_PKEY_CTX_free(c->encrypt);
    c->encrypt = NULL;
    return c->key != NULL;
}

static int decrypt_init(void *ctx, void *key, const OSSL_PARAM params[])
{
    struct cipher_ctx *c = ctx;
    return start(c, key) && c->key->key && set_params(c, params);
}

static bool is_sha256(const char *name)
{
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    bool is = md && EVP_MD_is_a(md, "SHA2-256");
    EVP_MD_free(md);
    return is;
}

/* RFC 8017 7.1: MGF1 takes the hash of OAEP unless it is told another. */
static bool oaep_is_sha256(const struct cipher_ctx *c)
{
    return !c->label && is_sha256(c->digest) && (c->mgf1[0] == '\0' || is_sha256(c->mgf1));
}

static int decrypt(void *ctx, unsigned char *out, size_t *out_len, size_t room,
                   const unsigned char *in, size_t in_len)
{
    const struct cipher_ctx *c = ctx;
    const struct sl_key *key = c->key->key;
    struct sl_err err = { 0 };
    struct sl_buf plain = { 0 };
    bool oaep = c->padding == RSA_PKCS1_OAEP_PADDING;
    if (!out) {
        *out_len = (size_t)EVP_PKEY_get_size(c->key->public);
        return 1;
    }
    if (!key->ops->decrypt || (oaep && !oaep_is_sha256(c))) {
        (void)SL_FAIL(&err, SL_UNSUPPORTED, "key '%s' decrypts PKCS#1 v1.5 and OAEP with SHA-256",
                      key->name);
        return pkey_raise(&err);
    }
    enum sl_rc rc =
        key->ops->decrypt(key->ops->ctx, key->name, oaep, sl_bytes(in, in_len), &plain, &err);
    if (rc == SL_OK && plain.len > room)
        rc = SL_FAIL(&err, SL_INTERNAL, "message of %zu bytes, room for %zu", plain.len, room);
    if (rc == SL_OK && plain.len > 0)
        memcpy(out, plain.p, plain.len);
    if (rc == SL_OK)
        *out_len = plain.len;
    sl_buf_wipe(&plain);
    return rc == SL_OK ? 1 : pkey_raise(&err);
}

static int encrypt_init(void *ctx, void *key, const OSSL_PARAM params[])
{
    struct cipher_ctx *c = ctx;
    if (!start(c, key))
        return 0;
    c->encrypt = EVP_PKEY_CTX_new_from_pkey(NULL, c->key->public, PKEY_OTHERS);
    return c->encrypt && EVP_PKEY_encrypt_init_ex(c->encrypt, params) == 1;
}

static int encrypt(void *ctx, unsigned char *out, size_t *out_len, size_t room,
                   const unsigned char *in, size_t in_len)
{
    const struct cipher_ctx *c = ctx;
    *out_len = room;
    return c->encrypt && EVP_PKEY_encrypt(c->encrypt, out, out_len, in, in_len) == 1;
}

const OSSL_DISPATCH pkey_cipher[] = {
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_NEWCTX, new_ctx),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_FREECTX, free_ctx),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_DUPCTX, dup_ctx),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, decrypt_init),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_DECRYPT, decrypt),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, encrypt_init),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_ENCRYPT, encrypt),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS, get_params),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS, gettable),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, set_params),
    PKEY_FN(OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, settable),
    PKEY_FN_END,
};
