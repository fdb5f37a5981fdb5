/*
 * sl_key_pkey: a key that lives elsewhere as an EVP_PKEY. A provider named "sealane" is added to
 * libcrypto's default context, beside its own: it manages RSA, EC and Ed25519 keys that consist of
 * a public key and a struct sl_key to ask. libcrypto's X.509, CMS and OCSP code signs and decrypts
 * with them unchanged, because for a key whose private part cannot be exported it takes the
 * operations of the key's own provider.
 *
 * Its algorithms bear the names of libcrypto's, since CMS and X.509 look at them. For everybody
 * else's keys libcrypto's own must stay first choice: it takes the one it met first, so they are
 * fetched before the provider is loaded (load_provider). New sealane keys are asked for by
 * property.
 */
#include "pkey.h"

#include "sig.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PARAM_KEY "sealane-key" /* the bytes of a const struct sl_key * */

int pkey_raise(const struct sl_err *err)
{
    ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL, "%s", sl_err_text(err));
    return 0;
}

/* ---- key management ---------------------------------------------------------------------------- */
static void *new_key(void *provctx)
{
    (void)provctx;
    struct pkey *k = calloc(1, sizeof(*k));
    if (k)
        atomic_init(&k->refs, 1);
    return k;
}

struct pkey *pkey_ref(struct pkey *k)
{
    atomic_fetch_add(&k->refs, 1);
    return k;
}

void pkey_unref(struct pkey *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    EVP_PKEY_free(k->public);
    free(k);
}

static void free_key(void *key)
{
    pkey_unref(key);
}

static void *dup_key(const void *key, int selection)
{
    const struct pkey *from = key;
    struct pkey *k = new_key(NULL);
    if (!k)
        return NULL;
    k->key = selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? from->key : NULL;
    k->type = from->type;
    k->public = from->public;
    if (k->public && EVP_PKEY_up_ref(k->public) != 1) {
        free(k);
        return NULL;
    }
    return k;
}

static int has(const void *key, int selection)
{
    const struct pkey *k = key;
    if (!k->public)
        return 0;
    return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || k->key != NULL;
}

static int match(const void *a, const void *b, int selection)
{
    const struct pkey *x = a, *y = b;
    (void)selection; /* equal public keys have equal private keys and parameters */
    return x->public && y->public && EVP_PKEY_eq(x->public, y->public) == 1;
}

/* A key to ask (sl_key_pkey), or the numbers of a public key (libcrypto, to compare). */
static int import(struct pkey *k, const char *type, const OSSL_PARAM params[])
{
    uint16_t bits = 0;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_KEY);
    if (p) {
        if (p->data_type != OSSL_PARAM_OCTET_STRING ||
            p->data_size != sizeof(const struct sl_key *))
            return 0;
        memcpy(&k->key, p->data, sizeof(const struct sl_key *));
        k->public = sig_read_spki(k->key->spki);
    } else {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, PKEY_OTHERS);
        if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
            (void)EVP_PKEY_fromdata(ctx, &k->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)params);
        EVP_PKEY_CTX_free(ctx);
    }
    if (k->public)
        k->type = sig_key_type(k->public, &bits);
    return k->public != NULL;
}

static int import_rsa(void *key, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    return import(key, "RSA", params);
}

static int import_ec(void *key, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    return import(key, "EC", params);
}

static int import_ed25519(void *key, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    return import(key, "ED25519", params);
}

/*
 * Refused when the private part is asked for: that makes libcrypto use this provider's operations
 * instead of giving the key to its own.
 */
static int export_public(void *key, int selection, OSSL_CALLBACK *cb, void *arg)
{
    const struct pkey *k = key;
    if (!k->public || (k->key && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)))
        return 0;
    return EVP_PKEY_export(k->public, EVP_PKEY_PUBLIC_KEY, cb, arg);
}

static int get_key_params(void *key, OSSL_PARAM params[])
{
    const struct pkey *k = key;
    return k->public && EVP_PKEY_get_params(k->public, params);
}

static const OSSL_PARAM rsa_params[] = {
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM ec_params[] = {
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM ed25519_params[] = {
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *rsa_gettable(void *provctx)
{
    (void)provctx;
    return rsa_params;
}

static const OSSL_PARAM *ec_gettable(void *provctx)
{
    (void)provctx;
    return ec_params;
}

static const OSSL_PARAM *ed25519_gettable(void *provctx)
{
    (void)provctx;
    return ed25519_params;
}

static const OSSL_PARAM *rsa_types(int selection)
{
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? rsa_params + 4 : NULL;
}

static const OSSL_PARAM *ec_types(int selection)
{
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? ec_params + 4 : NULL;
}

static const OSSL_PARAM *ed25519_types(int selection)
{
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? ed25519_params + 4 : NULL;
}

static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

#define KEYMGMT(type)                                                                              \
    PKEY_FN(OSSL_FUNC_KEYMGMT_NEW, new_key), PKEY_FN(OSSL_FUNC_KEYMGMT_FREE, free_key),            \
        PKEY_FN(OSSL_FUNC_KEYMGMT_DUP, dup_key), PKEY_FN(OSSL_FUNC_KEYMGMT_HAS, has),              \
        PKEY_FN(OSSL_FUNC_KEYMGMT_MATCH, match), PKEY_FN(OSSL_FUNC_KEYMGMT_IMPORT, import_##type), \
        PKEY_FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, type##_types),                                     \
        PKEY_FN(OSSL_FUNC_KEYMGMT_EXPORT, export_public),                                          \
        PKEY_FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, type##_types),                                     \
        PKEY_FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_key_params),                                     \
        PKEY_FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, type##_gettable)
static const OSSL_DISPATCH rsa_keymgmt[] = { KEYMGMT(rsa), PKEY_FN_END };
static const OSSL_DISPATCH ec_keymgmt[] = {
    KEYMGMT(ec), PKEY_FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation), PKEY_FN_END
};
static const OSSL_DISPATCH ed25519_keymgmt[] = { KEYMGMT(ed25519), PKEY_FN_END };

/* ---- the provider ------------------------------------------------------------------------------ */
#define RSA_NAMES     "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define EC_NAMES      "EC:id-ecPublicKey:1.2.840.10045.2.1"
#define ED25519_NAMES "ED25519:1.3.101.112"
#define PROPERTIES    "provider=sealane"
#define ALG_END                \
    {                          \
        NULL, NULL, NULL, NULL \
    }
static const OSSL_ALGORITHM keymgmts[] = {
    { RSA_NAMES, PROPERTIES, rsa_keymgmt, "RSA key held elsewhere" },
    { EC_NAMES, PROPERTIES, ec_keymgmt, "EC key held elsewhere" },
    { ED25519_NAMES, PROPERTIES, ed25519_keymgmt, "Ed25519 key held elsewhere" },
    ALG_END,
};
static const OSSL_ALGORITHM signatures[] = {
    { RSA_NAMES, PROPERTIES, pkey_signature, "RSA signature made elsewhere" },
    { "ECDSA", PROPERTIES, pkey_signature, "ECDSA signature made elsewhere" },
    { ED25519_NAMES, PROPERTIES, pkey_signature, "Ed25519 signature made elsewhere" },
    ALG_END,
};
static const OSSL_ALGORITHM ciphers[] = {
    { RSA_NAMES, PROPERTIES, pkey_cipher, "RSA decryption done elsewhere" },
    ALG_END,
};

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keymgmts;
    case OSSL_OP_SIGNATURE:
        return signatures;
    case OSSL_OP_ASYM_CIPHER:
        return ciphers;
    default:
        return NULL;
    }
}

static const OSSL_DISPATCH provider[] = { PKEY_FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
                                          PKEY_FN_END };

static int start_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                          const OSSL_DISPATCH **out, void **provctx)
{
    (void)in;
    *out = provider;
    *provctx = (void *)handle; /* nothing is kept for the provider as a whole */
    return 1;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_PROVIDER *loaded; /* as long as the process lives */

static void load_provider(void)
{
    EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(NULL, "RSA", NULL));
    EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(NULL, "RSA", NULL));
    EVP_ASYM_CIPHER_free(EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL));
    /* 1: the default provider goes on being loaded by itself */
    if (OSSL_PROVIDER_add_builtin(NULL, "sealane", start_provider) == 1)
        loaded = OSSL_PROVIDER_try_load(NULL, "sealane", 1);
}

static const char *type_name(enum sl_key_type type)
{
    switch (type) {
    case SL_KEY_RSA:
        return "RSA";
    case SL_KEY_EC_P256:
    case SL_KEY_EC_P384:
    case SL_KEY_EC_P521:
        return "EC";
    case SL_KEY_ED25519:
        return "ED25519";
    case SL_KEY_NONE:
        break;
    }
    return NULL;
}

enum sl_rc sl_key_pkey(EVP_PKEY **out, const struct sl_key *key, struct sl_err *err)
{
    uint16_t bits = 0;
    const char *type = type_name(sl_spki_type(key->spki, &bits));
    if (!type)
        return SL_FAIL(err, SL_MALFORMED, "public key of '%s' cannot be read", key->name);
    pthread_once(&once, load_provider);
    if (!loaded)
        return SL_FAIL_SSL(err, SL_CRYPTO, "provider for keys held elsewhere cannot be loaded");
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(PARAM_KEY, (void *)&key, sizeof(const struct sl_key *)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, PROPERTIES);
    bool ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok)
        return SL_FAIL_SSL(err, SL_CRYPTO, "key '%s' cannot be given to libcrypto", key->name);
    *out = pkey;
    return SL_OK;
}
