/*
 * A set of private keys and pre-shared keys in memory. Private keys stay inside libcrypto's
 * EVP_PKEY, which keeps their numbers in the secure heap where the process has made one; what
 * passes through here on import and export is in secrets. Files, names' meaning and who may use
 * which key are left to the keyring.
 */
#include "sealane/key.h"

#include "sig.h"
#include "transport.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 64

struct entry {
    char name[NAME_MAX_LEN + 1];
    EVP_PKEY *key;
    enum sl_key_type type;
    struct sl_buf spki;
    struct sl_secret reject; /* RSA only */
};

struct psk {
    char name[NAME_MAX_LEN + 1];
    struct sl_secret secret;
};

struct sl_keyset {
    struct entry **keys; /* by themselves on the heap, so that what is lent stays in place */
    size_t key_n;
    struct psk *psks;
    size_t psk_n;
};

enum sl_rc sl_keyset_new(struct sl_keyset **out, struct sl_err *err)
{
    struct sl_keyset *ks = calloc(1, sizeof(*ks));
    if (!ks)
        return SL_FAIL_MEM(err);
    *out = ks;
    return SL_OK;
}

static void free_entry(struct entry *e)
{
    if (!e)
        return;
    EVP_PKEY_free(e->key);
    sl_buf_clear(&e->spki);
    sl_secret_clear(&e->reject);
    free(e);
}

void sl_keyset_free(struct sl_keyset *ks)
{
    if (!ks)
        return;
    for (size_t i = 0; i < ks->key_n; i++)
        free_entry(ks->keys[i]);
    for (size_t i = 0; i < ks->psk_n; i++)
        sl_secret_clear(&ks->psks[i].secret);
    free(ks->keys);
    free(ks->psks);
    free(ks);
}

/* ---- names ------------------------------------------------------------------------------------ */
static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= NAME_MAX_LEN &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static enum sl_rc check_name(const char *name, struct sl_err *err)
{
    char text[2 * NAME_MAX_LEN];
    if (name_is_valid(name))
        return SL_OK;
    return SL_FAIL(err, SL_USAGE, "key name '%s' is not 1 to %d of a-z 0-9 . _ -",
                   sl_printable(text, sizeof(text), sl_str(name)), NAME_MAX_LEN);
}

/* name was found valid, so it fits */
static void set_name(char out[NAME_MAX_LEN + 1], const char *name)
{
    memcpy(out, name, strlen(name) + 1);
}

static size_t index_of(const struct sl_keyset *ks, const char *name)
{
    size_t i = 0;
    while (i < ks->key_n && strcmp(ks->keys[i]->name, name) != 0)
        i++;
    return i;
}

static struct entry *find(const struct sl_keyset *ks, const char *name)
{
    size_t i = index_of(ks, name);
    return i < ks->key_n ? ks->keys[i] : NULL;
}

static enum sl_rc no_key(const char *name, struct sl_err *err)
{
    char text[2 * NAME_MAX_LEN];
    return SL_FAIL(err, SL_KEY_NOT_FOUND, "no private key is named '%s'",
                   sl_printable(text, sizeof(text), sl_str(name)));
}

/* ---- adding ----------------------------------------------------------------------------------- */
static enum sl_rc check_new(const struct sl_keyset *ks, const char *name, struct sl_err *err)
{
    SL_TRY(check_name(name, err));
    if (find(ks, name))
        return SL_FAIL(err, SL_EXISTS, "there is a key named '%s'", name);
    return SL_OK;
}

/* The private part belongs to the public part: a signature made with the one fits the other. */
static enum sl_rc check_pair(const struct entry *e, struct sl_err *err)
{
    static const enum sl_sig tries[] = { SL_SIG_RSA_PKCS1_SHA256, SL_SIG_ECDSA_SHA256,
                                         SL_SIG_ED25519 };
    SL_AUTO_BUF signature = { 0 };
    struct sl_bytes data = sl_str("private and public key belong together");
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        if (!sig_fits(sig_scheme(tries[i]), e->type))
            continue;
        SL_TRY(sig_sign(sig_scheme(tries[i]), e->key, false, data, &signature, err));
        if (sl_sig_verify(tries[i], sl_buf_bytes(&e->spki), data, sl_buf_bytes(&signature), NULL) !=
            SL_OK)
            return SL_FAIL(err, SL_MALFORMED, "private and public part do not belong together");
        return SL_OK;
    }
    return SL_FAIL(err, SL_INTERNAL, "no scheme for the key");
}

static enum sl_rc fill_entry(struct entry *e, struct sl_err *err)
{
    uint16_t bits = 0;
    e->type = sig_key_type(e->key, &bits);
    if (e->type == SL_KEY_NONE)
        return SL_FAIL(err, SL_UNSUPPORTED,
                       "private key is none of RSA, ECDSA with a named P-256, P-384 or P-521, "
                       "Ed25519");
    if (e->type == SL_KEY_RSA && bits < SIG_RSA_BITS_MIN)
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "RSA key has %u bits, %d are needed", bits,
                       SIG_RSA_BITS_MIN);
    if (e->type == SL_KEY_RSA && bits > SIG_RSA_BITS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "RSA key has %u bits, at most %d are allowed", bits,
                       SIG_RSA_BITS_MAX);
    if (!sig_write_spki(&e->spki, e->key))
        return SL_FAIL_SSL(err, SL_CRYPTO, "public key cannot be written");
    if (e->type == SL_KEY_RSA)
        SL_TRY(transport_reject_key(&e->reject, e->key, err));
    return check_pair(e, err);
}

/* Takes key, also on failure. */
static enum sl_rc add(struct sl_keyset *ks, const char *name, EVP_PKEY *key, struct sl_err *err)
{
    struct entry *e = calloc(1, sizeof(*e));
    struct entry **grown = realloc(ks->keys, (ks->key_n + 1) * sizeof(struct entry *));
    if (grown)
        ks->keys = grown;
    if (!e || !grown) {
        free(e);
        EVP_PKEY_free(key);
        return SL_FAIL_MEM(err);
    }
    set_name(e->name, name);
    e->key = key;
    enum sl_rc rc = fill_entry(e, err);
    if (rc != SL_OK) {
        free_entry(e);
        (void)SL_WRAP(err, "key '%s'", name);
        return rc;
    }
    ks->keys[ks->key_n++] = e;
    return SL_OK;
}

enum sl_rc sl_keyset_generate(struct sl_keyset *ks, const char *name, const char *alg,
                              struct sl_err *err)
{
    enum sl_key_type type;
    uint16_t bits;
    SL_TRY(check_new(ks, name, err));
    if (!sl_key_alg_parse(&type, &bits, alg))
        return SL_FAIL(err, SL_USAGE,
                       "key algorithm '%s' is none of rsa:2048 to rsa:4096, ecdsa:p256, "
                       "ecdsa:p384, ecdsa:p521, ed25519",
                       alg);
    EVP_PKEY *key = NULL;
    switch (type) {
    case SL_KEY_RSA:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
        break;
    case SL_KEY_EC_P256:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        break;
    case SL_KEY_EC_P384:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
        break;
    case SL_KEY_EC_P521:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
        break;
    case SL_KEY_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    case SL_KEY_NONE:
        break;
    }
    if (!key)
        return SL_FAIL_SSL(err, SL_CRYPTO, "key '%s' (%s) could not be made", name, alg);
    return add(ks, name, key, err);
}

/* ---- import and export ------------------------------------------------------------------------ */
static EVP_PKEY *read_der(struct sl_bytes der)
{
    const unsigned char *p = der.p;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
    if (key && p == der.p + der.len)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

struct pem_block {
    char *name, *header;
    unsigned char *data;
    long len;
};

static void free_block(struct pem_block *b)
{
    OPENSSL_secure_free(b->name);
    OPENSSL_secure_free(b->header);
    OPENSSL_secure_clear_free(b->data, b->len > 0 ? (size_t)b->len : 0);
    *b = (struct pem_block){ 0 };
}

static bool ends_with(const char *s, const char *end)
{
    size_t a = strlen(s), b = strlen(end);
    return a >= b && strcmp(s + a - b, end) == 0;
}

/* *key, which must be NULL, only when the block holds a private key. */
static enum sl_rc read_block(EVP_PKEY **key, const struct pem_block *b, struct sl_err *err)
{
    if (!ends_with(b->name, "PRIVATE KEY"))
        return SL_OK; /* EC PARAMETERS, a certificate */
    if (strcmp(b->name, "ENCRYPTED PRIVATE KEY") == 0 || b->header[0] != '\0')
        return SL_FAIL(err, SL_UNSUPPORTED,
                       "private key is encrypted; it must be stored decrypted, readable by the "
                       "keyring alone");
    if (*key)
        return SL_FAIL(err, SL_MALFORMED, "more than one private key");
    *key = read_der(sl_bytes(b->data, (size_t)b->len));
    if (!*key)
        return SL_FAIL_SSL(err, SL_MALFORMED, "private key cannot be decoded");
    return SL_OK;
}

static enum sl_rc read_pem(EVP_PKEY **out, struct sl_bytes pem, struct sl_err *err)
{
    EVP_PKEY *key = NULL;
    enum sl_rc rc = SL_OK;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len); /* reads in place, copies nothing */
    if (!bio)
        return SL_FAIL_MEM(err);
    struct pem_block b = { 0 };
    while (rc == SL_OK &&
           PEM_read_bio_ex(bio, &b.name, &b.header, &b.data, &b.len, PEM_FLAG_SECURE) == 1) {
        rc = read_block(&key, &b, err);
        free_block(&b);
    }
    BIO_free(bio);
    if (rc == SL_OK && !key)
        rc = SL_FAIL(err, SL_MALFORMED, "no private key in PEM was found");
    ERR_clear_error(); /* the end of the PEM file is an error to libcrypto */
    if (rc != SL_OK) {
        EVP_PKEY_free(key);
        return rc;
    }
    *out = key;
    return SL_OK;
}

enum sl_rc sl_keyset_import(struct sl_keyset *ks, const char *name, struct sl_bytes der_or_pem,
                            struct sl_err *err)
{
    EVP_PKEY *key = NULL;
    SL_TRY(check_new(ks, name, err));
    if (der_or_pem.len == 0 || der_or_pem.len > SL_SECRET_MAX)
        return SL_FAIL(err, SL_MALFORMED, "key '%s': %zu bytes, expected 1 to %d", name,
                       der_or_pem.len, SL_SECRET_MAX);
    if (der_or_pem.p[0] == 0x30) { /* SEQUENCE */
        key = read_der(der_or_pem);
        if (!key)
            return SL_FAIL_SSL(err, SL_MALFORMED, "key '%s': private key cannot be decoded", name);
    } else {
        enum sl_rc rc = read_pem(&key, der_or_pem, err);
        if (rc != SL_OK) {
            (void)SL_WRAP(err, "key '%s'", name);
            return rc;
        }
    }
    return add(ks, name, key, err);
}

enum sl_rc sl_keyset_export(struct sl_keyset *ks, const char *name, struct sl_secret *pkcs8_pem,
                            struct sl_err *err)
{
    const struct entry *e = find(ks, name);
    if (!e)
        return no_key(name, err);
    BIO *bio = BIO_new(BIO_s_secmem());
    char *p = NULL;
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, e->key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return SL_FAIL_SSL(err, SL_CRYPTO, "key '%s' cannot be written", name);
    }
    long len = BIO_get_mem_data(bio, &p);
    enum sl_rc rc = sl_secret_copy(pkcs8_pem, sl_bytes(p, len > 0 ? (size_t)len : 0), err);
    BIO_free(bio);
    return rc;
}

/* ---- the rest of a key's life ------------------------------------------------------------------ */
static void drop(struct sl_keyset *ks, size_t i)
{
    free_entry(ks->keys[i]);
    memmove(&ks->keys[i], &ks->keys[i + 1], (ks->key_n - i - 1) * sizeof(struct entry *));
    ks->key_n--;
}

enum sl_rc sl_keyset_rename(struct sl_keyset *ks, const char *from, const char *to,
                            struct sl_err *err)
{
    struct entry *e = find(ks, from);
    if (!e)
        return no_key(from, err);
    SL_TRY(check_name(to, err));
    if (strcmp(from, to) == 0)
        return SL_OK;
    size_t replaced = index_of(ks, to);
    if (replaced < ks->key_n)
        drop(ks, replaced);
    set_name(e->name, to);
    return SL_OK;
}

enum sl_rc sl_keyset_remove(struct sl_keyset *ks, const char *name, struct sl_err *err)
{
    size_t i = index_of(ks, name);
    if (i == ks->key_n)
        return no_key(name, err);
    drop(ks, i);
    return SL_OK;
}

enum sl_rc sl_keyset_spki(struct sl_keyset *ks, const char *name, struct sl_bytes *spki,
                          struct sl_err *err)
{
    const struct entry *e = find(ks, name);
    if (!e)
        return no_key(name, err);
    *spki = sl_buf_bytes(&e->spki);
    return SL_OK;
}

size_t sl_keyset_count(const struct sl_keyset *ks)
{
    return ks->key_n;
}

const char *sl_keyset_name(const struct sl_keyset *ks, size_t i)
{
    return i < ks->key_n ? ks->keys[i]->name : NULL;
}

/* ---- pre-shared keys --------------------------------------------------------------------------- */
static bool psk_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return len >= 1 && len <= NAME_MAX_LEN;
}

static struct psk *find_psk(const struct sl_keyset *ks, const char *name)
{
    for (size_t i = 0; i < ks->psk_n; i++)
        if (strcmp(ks->psks[i].name, name) == 0)
            return &ks->psks[i];
    return NULL;
}

enum sl_rc sl_keyset_psk_set(struct sl_keyset *ks, const char *name, struct sl_bytes secret,
                             struct sl_err *err)
{
    if (!psk_name_is_valid(name))
        return SL_FAIL(err, SL_USAGE,
                       "name of a pre-shared key is not 1 to %d printable characters",
                       NAME_MAX_LEN);
    SL_AUTO_SECRET copy = { 0 };
    SL_TRY(sl_secret_copy(&copy, secret, err));
    struct psk *p = find_psk(ks, name);
    if (!p) {
        struct psk *grown = realloc(ks->psks, (ks->psk_n + 1) * sizeof(*grown));
        if (!grown)
            return SL_FAIL_MEM(err);
        ks->psks = grown;
        p = &ks->psks[ks->psk_n++];
        *p = (struct psk){ 0 };
        set_name(p->name, name);
    }
    sl_secret_move(&p->secret, &copy);
    return SL_OK;
}

enum sl_rc sl_keyset_psk_auth(struct sl_keyset *ks, const char *name, enum sl_prf prf,
                              struct sl_bytes octets, uint8_t *out, struct sl_err *err)
{
    char text[2 * NAME_MAX_LEN];
    const struct psk *p = find_psk(ks, name);
    if (!p)
        return SL_FAIL(err, SL_KEY_NOT_FOUND, "no pre-shared key is named '%s'",
                       sl_printable(text, sizeof(text), sl_str(name)));
    return sl_prf_psk_auth(prf, sl_secret_bytes(&p->secret), octets, out, err);
}

enum sl_rc sl_keyset_psk_v1(struct sl_keyset *ks, const char *name, enum sl_prf prf,
                            struct sl_bytes nonces, struct sl_bytes octets, uint8_t *out,
                            struct sl_err *err)
{
    char text[2 * NAME_MAX_LEN];
    uint8_t skeyid[SL_PRF_MAX];
    const struct psk *p = find_psk(ks, name);
    if (!p)
        return SL_FAIL(err, SL_KEY_NOT_FOUND, "no pre-shared key is named '%s'",
                       sl_printable(text, sizeof(text), sl_str(name)));
    if (!nonces.len)
        return SL_FAIL(err, SL_USAGE, "SKEYID of pre-shared key %s is asked for without nonces",
                       p->name);
    /* with it prf(psk, nonces) would be what proves the key in IKEv2, to whomever and for ever */
    if (sl_bytes_eq(nonces, sl_str(SL_PSK_PAD)))
        return SL_FAIL(err, SL_KEY_USE, "the pad of IKEv2 is no nonce: pre-shared key %s", p->name);
    enum sl_rc rc = sl_prf_run(prf, sl_secret_bytes(&p->secret), &nonces, 1, skeyid, err);
    if (rc == SL_OK && octets.len)
        rc = sl_prf_run(prf, sl_bytes(skeyid, sl_prf_len(prf)), &octets, 1, out, err);
    else if (rc == SL_OK)
        memcpy(out, skeyid, sl_prf_len(prf));
    sl_wipe(skeyid, sizeof(skeyid));
    return rc;
}

/* ---- operations -------------------------------------------------------------------------------- */
static enum sl_rc sign_either(const struct sl_keyset *ks, const char *name, enum sl_sig sig,
                              bool prehashed, struct sl_bytes data, struct sl_buf *out,
                              struct sl_err *err)
{
    const struct entry *e = find(ks, name);
    const struct sig_scheme *s = sig_scheme(sig);
    if (!e)
        return no_key(name, err);
    if (!s)
        return SL_FAIL(err, SL_UNSUPPORTED, "signature scheme %u is not known", (unsigned)sig);
    if (!sig_fits(s, e->type))
        return SL_FAIL(err, SL_KEY_USE, "key '%s' cannot make a %s signature", name, s->text);
    return sig_sign(s, e->key, prehashed, data, out, err);
}

static enum sl_rc op_sign(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                          struct sl_buf *out, struct sl_err *err)
{
    return sign_either(ctx, name, sig, false, data, out, err);
}

static enum sl_rc op_sign_digest(void *ctx, const char *name, enum sl_sig sig,
                                 struct sl_bytes digest, struct sl_buf *out, struct sl_err *err)
{
    return sign_either(ctx, name, sig, true, digest, out, err);
}

static enum sl_rc op_decrypt(void *ctx, const char *name, bool oaep, struct sl_bytes cipher,
                             struct sl_buf *out, struct sl_err *err)
{
    const struct entry *e = find(ctx, name);
    if (!e)
        return no_key(name, err);
    if (e->type != SL_KEY_RSA)
        return SL_FAIL(err, SL_KEY_USE, "key '%s' is not RSA and cannot decrypt", name);
    return transport_decrypt(e->key, &e->reject, oaep, cipher, out, err);
}

struct sl_key_ops sl_keyset_ops(struct sl_keyset *ks)
{
    return (struct sl_key_ops){
        .sign = op_sign, .sign_digest = op_sign_digest, .decrypt = op_decrypt, .ctx = ks
    };
}
