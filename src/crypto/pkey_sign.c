/*
 * Signatures of the provider behind sl_key_pkey: what libcrypto wants signed is gathered and given
 * to the key's sign operation as a whole, since who holds the key does the hashing. Verifying goes
 * to libcrypto's own implementation with the public key. Choosing a scheme is translated from
 * libcrypto's parameters (digest, padding, salt length, MGF1 digest) to enum sl_sig.
 */
#include "pkey.h"

#include "sig.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_NAME_MAX 32

struct sig_ctx {
    struct pkey *key;
    bool pss;
    int salt_len;                                        /* as libcrypto counts: -1 as the hash */
    char digest[DIGEST_NAME_MAX], mgf1[DIGEST_NAME_MAX]; /* "": not set */
    struct sl_buf data;                                  /* to be signed */
    EVP_MD_CTX *verify_data;                             /* verifying: libcrypto's own contexts */
    EVP_PKEY_CTX *verify; /* belongs to verify_data when that is there */
};

static void *new_ctx(void *provctx, const char *propq)
{
    (void)provctx, (void)propq;
    struct sig_ctx *c = calloc(1, sizeof(*c));
    if (c)
        c->salt_len = RSA_PSS_SALTLEN_DIGEST;
    return c;
}

static void drop_verify(struct sig_ctx *c)
{
    if (!c->verify_data)
        EVP_PKEY_CTX_free(c->verify);
    EVP_MD_CTX_free(c->verify_data);
    c->verify_data = NULL;
    c->verify = NULL;
}

static void free_ctx(void *ctx)
{
    struct sig_ctx *c = ctx;
    if (!c)
        return;
    drop_verify(c);
    pkey_unref(c->key);
    sl_buf_clear(&c->data);
    free(c);
}

static void *dup_ctx(void *ctx)
{
    const struct sig_ctx *from = ctx;
    struct sig_ctx *c = new_ctx(NULL, NULL);
    if (!c)
        return NULL;
    *c = *from;
    c->key = from->key ? pkey_ref(from->key) : NULL;
    c->data = (struct sl_buf){ 0 };
    c->verify_data = NULL;
    c->verify = NULL;
    bool ok = sl_buf_put(&c->data, sl_buf_bytes(&from->data));
    if (ok && from->verify_data) {
        c->verify_data = EVP_MD_CTX_new();
        ok = c->verify_data && EVP_MD_CTX_copy_ex(c->verify_data, from->verify_data) == 1;
        c->verify = ok ? EVP_MD_CTX_get_pkey_ctx(c->verify_data) : NULL;
    } else if (ok && from->verify) {
        c->verify = EVP_PKEY_CTX_dup(from->verify);
        ok = c->verify != NULL;
    }
    if (ok)
        return c;
    free_ctx(c);
    return NULL;
}

/* ---- parameters -------------------------------------------------------------------------------- */
static bool is_rsa(const struct sig_ctx *c)
{
    return c->key && c->key->type == SL_KEY_RSA;
}

static bool get_name(const OSSL_PARAM *p, char out[DIGEST_NAME_MAX])
{
    char *at = out;
    return OSSL_PARAM_get_utf8_string(p, &at, DIGEST_NAME_MAX) == 1;
}

/* A parameter that is a number, or one of the names that libcrypto gives some numbers. */
static bool get_choice(const OSSL_PARAM *p, const char *const *names, const int *values, size_t n,
                       int *out)
{
    char text[DIGEST_NAME_MAX];
    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, out) == 1;
    if (!get_name(p, text))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = values[i];
            return true;
        }
    }
    char *end = NULL;
    long v = strtol(text, &end, 10);
    *out = (int)v;
    return end != text && *end == '\0' && v >= 0 && v <= 512;
}

static bool set_padding(struct sig_ctx *c, const OSSL_PARAM *p)
{
    static const char *const names[] = { OSSL_PKEY_RSA_PAD_MODE_PKCSV15,
                                         OSSL_PKEY_RSA_PAD_MODE_PSS };
    static const int values[] = { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING };
    int pad = 0;
    if (!is_rsa(c) || !get_choice(p, names, values, SL_ARRAY_LEN(names), &pad) ||
        (pad != RSA_PKCS1_PADDING && pad != RSA_PKCS1_PSS_PADDING))
        return false;
    c->pss = pad == RSA_PKCS1_PSS_PADDING;
    return true;
}

/* "auto" leaves the choice to the signer, who takes the hash's length; "max" cannot be had */
static bool set_salt_len(struct sig_ctx *c, const OSSL_PARAM *p)
{
    static const char *const names[] = { OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST,
                                         OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO,
                                         OSSL_PKEY_RSA_PSS_SALT_LEN_MAX };
    static const int values[] = { RSA_PSS_SALTLEN_DIGEST, RSA_PSS_SALTLEN_AUTO,
                                  RSA_PSS_SALTLEN_MAX };
    int len = 0;
    if (!get_choice(p, names, values, SL_ARRAY_LEN(names), &len))
        return false;
    c->salt_len = len == RSA_PSS_SALTLEN_AUTO ? RSA_PSS_SALTLEN_DIGEST : len;
    return true;
}

static int set_params(void *ctx, const OSSL_PARAM params[])
{
    struct sig_ctx *c = ctx;
    const OSSL_PARAM *p;
    if (!params)
        return 1;
    if (c->verify)
        return EVP_PKEY_CTX_set_params(c->verify, params);
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) && !set_padding(c, p))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) &&
        !set_salt_len(c, p))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST)) &&
        !get_name(p, c->mgf1))
        return 0;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
    return !p || get_name(p, c->digest);
}

static bool same_digest(const char *a, const char *b)
{
    EVP_MD *md = EVP_MD_fetch(NULL, a, NULL);
    bool same = md && EVP_MD_is_a(md, b);
    EVP_MD_free(md);
    return same;
}

/* The scheme that the parameters amount to; NULL when it is none of ours. */
static const struct sig_scheme *scheme_of(const struct sig_ctx *c)
{
    if (!c->key)
        return NULL;
    if (c->key->type == SL_KEY_ED25519)
        return sig_find(SIG_EDDSA, NULL);
    if (c->digest[0] == '\0')
        return NULL;
    if (c->key->type != SL_KEY_RSA)
        return sig_find(SIG_ECDSA, c->digest);
    if (!c->pss)
        return sig_find(SIG_RSA_PKCS1, c->digest);
    const struct sig_scheme *s = sig_find(SIG_RSA_PSS, c->digest);
    if (!s || (c->salt_len != RSA_PSS_SALTLEN_DIGEST && c->salt_len != s->digest_len) ||
        (c->mgf1[0] != '\0' && !same_digest(c->mgf1, s->digest)))
        return NULL;
    return s;
}

/* As a number or as text, whichever is asked for. */
static int give_choice(OSSL_PARAM *p, const char *name, int value)
{
    return p->data_type == OSSL_PARAM_UTF8_STRING ? OSSL_PARAM_set_utf8_string(p, name)
                                                  : OSSL_PARAM_set_int(p, value);
}

static int get_params(void *ctx, OSSL_PARAM params[])
{
    const struct sig_ctx *c = ctx;
    const struct sig_scheme *s = scheme_of(c);
    OSSL_PARAM *p;
    if (c->verify)
        return EVP_PKEY_CTX_get_params(c->verify, params);
    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID)) &&
        (!s || !OSSL_PARAM_set_octet_string(p, s->algorithm.p, s->algorithm.len)))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST)) &&
        !OSSL_PARAM_set_utf8_string(p, c->digest))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST)) &&
        !OSSL_PARAM_set_utf8_string(p, c->mgf1[0] != '\0' ? c->mgf1 : c->digest))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) &&
        !give_choice(p, c->pss ? OSSL_PKEY_RSA_PAD_MODE_PSS : OSSL_PKEY_RSA_PAD_MODE_PKCSV15,
                     c->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN))) {
        char text[16];
        int len = c->salt_len == RSA_PSS_SALTLEN_DIGEST && s ? s->digest_len : c->salt_len;
        snprintf(text, sizeof(text), "%d", len);
        return give_choice(p, text, len);
    }
    return 1;
}

static const OSSL_PARAM ctx_params[] = {
    OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *gettable(void *ctx, void *provctx)
{
    (void)ctx, (void)provctx;
    return ctx_params;
}

static const OSSL_PARAM *settable(void *ctx, void *provctx)
{
    (void)ctx, (void)provctx;
    return ctx_params + 1;
}

/* ---- signing ----------------------------------------------------------------------------------- */
/* key NULL: the one already there, for another message. */
static bool start(struct sig_ctx *c, void *key)
{
    if (key) {
        pkey_unref(c->key);
        c->key = pkey_ref(key);
    }
    drop_verify(c);
    c->data.len = 0;
    return c->key != NULL;
}

static int sign_init(void *ctx, void *key, const OSSL_PARAM params[])
{
    struct sig_ctx *c = ctx;
    return start(c, key) && c->key->key && set_params(c, params);
}

static int digest_sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct sig_ctx *c = ctx;
    if (!start(c, key) || !c->key->key || (digest && strlen(digest) >= sizeof(c->digest)))
        return 0;
    if (digest && digest[0] != '\0')
        memcpy(c->digest, digest, strlen(digest) + 1);
    else if (c->digest[0] == '\0' && c->key->type != SL_KEY_ED25519)
        memcpy(c->digest, "SHA256", sizeof("SHA256"));
    return set_params(c, params);
}

static int digest_sign_update(void *ctx, const unsigned char *data, size_t len)
{
    struct sig_ctx *c = ctx;
    return sl_buf_put(&c->data, sl_bytes(data, len));
}

typedef enum sl_rc sign_fn(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                           struct sl_buf *out, struct sl_err *err);

/* sig NULL: only the length is asked for. */
static int sign_with(const struct sig_ctx *c, sign_fn *fn, struct sl_bytes data, unsigned char *sig,
                     size_t *len, size_t room)
{
    const struct sig_scheme *s = scheme_of(c);
    struct sl_err err = { 0 };
    SL_AUTO_BUF out = { 0 };
    if (!s || !fn) {
        (void)SL_FAIL(&err, SL_UNSUPPORTED, "key '%s' cannot sign so: digest '%s', %s, %s",
                      c->key->key->name, c->digest, c->pss ? "PSS" : "no PSS",
                      fn ? "message" : "digest alone");
        return pkey_raise(&err);
    }
    if (!sig) {
        *len = (size_t)EVP_PKEY_get_size(c->key->public);
        return 1;
    }
    if (fn(c->key->key->ops->ctx, c->key->key->name, s->id, data, &out, &err) != SL_OK)
        return pkey_raise(&err);
    if (out.len > room) {
        (void)SL_FAIL(&err, SL_INTERNAL, "signature of %zu bytes, room for %zu", out.len, room);
        return pkey_raise(&err);
    }
    memcpy(sig, out.p, out.len);
    *len = out.len;
    return 1;
}

static int digest_sign_final(void *ctx, unsigned char *sig, size_t *len, size_t room)
{
    const struct sig_ctx *c = ctx;
    return sign_with(c, c->key->key->ops->sign, sl_buf_bytes(&c->data), sig, len, room);
}

static int digest_sign(void *ctx, unsigned char *sig, size_t *len, size_t room,
                       const unsigned char *data, size_t data_len)
{
    const struct sig_ctx *c = ctx;
    return sign_with(c, c->key->key->ops->sign, sl_bytes(data, data_len), sig, len, room);
}

/* Of a digest. ECDSA's callers do not always say which one it is; its length tells. */
static int sign(void *ctx, unsigned char *sig, size_t *len, size_t room,
                const unsigned char *digest, size_t digest_len)
{
    struct sig_ctx *c = ctx;
    if (c->digest[0] == '\0' && !is_rsa(c)) {
        const char *digest_of_len = digest_len == 32   ? "SHA256"
                                    : digest_len == 48 ? "SHA384"
                                    : digest_len == 64 ? "SHA512"
                                                       : "";
        memcpy(c->digest, digest_of_len, strlen(digest_of_len) + 1);
    }
    return sign_with(c, c->key->key->ops->sign_digest, sl_bytes(digest, digest_len), sig, len,
                     room);
}

/* ---- verifying, by libcrypto -------------------------------------------------------------------- */
static int verify_init(void *ctx, void *key, const OSSL_PARAM params[])
{
    struct sig_ctx *c = ctx;
    if (!start(c, key))
        return 0;
    c->verify = EVP_PKEY_CTX_new_from_pkey(NULL, c->key->public, PKEY_OTHERS);
    return c->verify && EVP_PKEY_verify_init_ex(c->verify, params) == 1;
}

static int verify(void *ctx, const unsigned char *sig, size_t len, const unsigned char *digest,
                  size_t digest_len)
{
    const struct sig_ctx *c = ctx;
    return c->verify && EVP_PKEY_verify(c->verify, sig, len, digest, digest_len) == 1;
}

static int digest_verify_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct sig_ctx *c = ctx;
    if (!start(c, key))
        return 0;
    c->verify_data = EVP_MD_CTX_new();
    if (c->verify_data && EVP_DigestVerifyInit_ex(c->verify_data, &c->verify, digest, NULL,
                                                  PKEY_OTHERS, c->key->public, params) == 1)
        return 1;
    c->verify = NULL;
    drop_verify(c);
    return 0;
}

static int digest_verify_update(void *ctx, const unsigned char *data, size_t len)
{
    const struct sig_ctx *c = ctx;
    return c->verify_data && EVP_DigestVerifyUpdate(c->verify_data, data, len);
}

static int digest_verify_final(void *ctx, const unsigned char *sig, size_t len)
{
    const struct sig_ctx *c = ctx;
    return c->verify_data && EVP_DigestVerifyFinal(c->verify_data, sig, len) == 1;
}

static int digest_verify(void *ctx, const unsigned char *sig, size_t len, const unsigned char *data,
                         size_t data_len)
{
    const struct sig_ctx *c = ctx;
    return c->verify_data && EVP_DigestVerify(c->verify_data, sig, len, data, data_len) == 1;
}

const OSSL_DISPATCH pkey_signature[] = {
    PKEY_FN(OSSL_FUNC_SIGNATURE_NEWCTX, new_ctx),
    PKEY_FN(OSSL_FUNC_SIGNATURE_FREECTX, free_ctx),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DUPCTX, dup_ctx),
    PKEY_FN(OSSL_FUNC_SIGNATURE_SIGN_INIT, sign_init),
    PKEY_FN(OSSL_FUNC_SIGNATURE_SIGN, sign),
    PKEY_FN(OSSL_FUNC_SIGNATURE_VERIFY_INIT, verify_init),
    PKEY_FN(OSSL_FUNC_SIGNATURE_VERIFY, verify),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, digest_sign_init),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, digest_sign_update),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, digest_sign_final),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, digest_sign),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, digest_verify_init),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, digest_verify_update),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, digest_verify_final),
    PKEY_FN(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, digest_verify),
    PKEY_FN(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, get_params),
    PKEY_FN(OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, gettable),
    PKEY_FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
    PKEY_FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable),
    PKEY_FN_END,
};
