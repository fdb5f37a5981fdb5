/*
 * Suites: which ciphers and MACs sealane knows, their lengths and their names. One table each, so
 * that lengths on the wire (RFC 4106, RFC 7634, RFC 3602, RFC 4868) are written down once. Doing
 * the work is left to cipher.c.
 */
#include "suite.h"

#include <stdio.h>

static const struct suite_encr encrs[] = {
    { SL_ENCR_NULL, 0, "null", NULL, 0, 0, 0, 1 },
    { SL_ENCR_AES_CBC, 128, "aes128", "AES-128-CBC", 16, 0, 16, 16 },
    { SL_ENCR_AES_CBC, 192, "aes192", "AES-192-CBC", 24, 0, 16, 16 },
    { SL_ENCR_AES_CBC, 256, "aes256", "AES-256-CBC", 32, 0, 16, 16 },
    { SL_ENCR_AES_GCM_16, 128, "aes128gcm16", "AES-128-GCM", 16, 4, 8, 1 },
    { SL_ENCR_AES_GCM_16, 192, "aes192gcm16", "AES-192-GCM", 24, 4, 8, 1 },
    { SL_ENCR_AES_GCM_16, 256, "aes256gcm16", "AES-256-GCM", 32, 4, 8, 1 },
    { SL_ENCR_CHACHA20_POLY1305, 256, "chacha20poly1305", "ChaCha20-Poly1305", 32, 4, 8, 1 },
};

static const struct suite_integ integs[] = {
    { SL_INTEG_HMAC_SHA2_256_128, "sha256", "SHA2-256", 32, 16 },
    { SL_INTEG_HMAC_SHA2_384_192, "sha384", "SHA2-384", 48, 24 },
    { SL_INTEG_HMAC_SHA2_512_256, "sha512", "SHA2-512", 64, 32 },
};

const struct suite_encr *suite_encr(const struct sl_suite *s)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(encrs); i++)
        if (encrs[i].id == s->encr && encrs[i].key_bits == s->key_bits)
            return &encrs[i];
    return NULL;
}

const struct suite_integ *suite_integ(const struct sl_suite *s)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(integs); i++)
        if (integs[i].id == s->integ)
            return &integs[i];
    return NULL;
}

bool suite_known(const struct sl_suite *s)
{
    if (!suite_encr(s))
        return false;
    return sl_suite_is_aead(s) ? s->integ == SL_INTEG_NONE : suite_integ(s) != NULL;
}

size_t sl_suite_encr_key_len(const struct sl_suite *s)
{
    const struct suite_encr *e = suite_encr(s);
    return e ? (size_t)e->key_len + e->salt_len : 0;
}

size_t sl_suite_integ_key_len(const struct sl_suite *s)
{
    const struct suite_integ *i = suite_integ(s);
    return i ? i->key_len : 0;
}

size_t sl_suite_iv_len(const struct sl_suite *s)
{
    const struct suite_encr *e = suite_encr(s);
    return e ? e->iv_len : 0;
}

size_t sl_suite_icv_len(const struct sl_suite *s)
{
    if (sl_suite_is_aead(s))
        return SUITE_TAG_LEN;
    const struct suite_integ *i = suite_integ(s);
    return i ? i->icv_len : 0;
}

size_t sl_suite_block_len(const struct sl_suite *s)
{
    const struct suite_encr *e = suite_encr(s);
    return e ? e->block_len : 1;
}

bool sl_suite_is_aead(const struct sl_suite *s)
{
    return s->encr == SL_ENCR_AES_GCM_16 || s->encr == SL_ENCR_CHACHA20_POLY1305;
}

bool sl_suite_supported(const struct sl_suite *s)
{
    return s->encr != SL_ENCR_NULL && suite_known(s);
}

/* Names of what can only be refused, so that a refusal says what it refused. */
static const char *refused_encr(enum sl_encr id)
{
    switch (id) {
    case SL_ENCR_NONE:
        return "no cipher";
    case SL_ENCR_3DES:
        return "3des";
    case SL_ENCR_NULL:
        return "null";
    case SL_ENCR_AES_CBC:
        return "aes";
    case SL_ENCR_AES_GCM_16:
        return "aesgcm16";
    case SL_ENCR_CHACHA20_POLY1305:
        return "chacha20poly1305";
    }
    return NULL;
}

static void encr_text(char *out, size_t cap, const struct sl_suite *s)
{
    const struct suite_encr *e = suite_encr(s);
    const char *name = e ? e->text : refused_encr(s->encr);
    if (e || (name && !s->key_bits))
        snprintf(out, cap, "%s", name);
    else if (name)
        snprintf(out, cap, "%s(%u bits)", name, s->key_bits);
    else
        snprintf(out, cap, "cipher %u", (unsigned)s->encr);
}

char *sl_suite_text(char out[SL_SUITE_TEXT], const struct sl_suite *s)
{
    char encr[32];
    encr_text(encr, sizeof(encr), s);
    const struct suite_integ *i = suite_integ(s);
    if (i)
        snprintf(out, SL_SUITE_TEXT, "%s-%s", encr, i->text);
    else if (s->integ == SL_INTEG_HMAC_SHA1_96)
        snprintf(out, SL_SUITE_TEXT, "%s-sha1", encr);
    else if (s->integ != SL_INTEG_NONE)
        snprintf(out, SL_SUITE_TEXT, "%s-mac %u", encr, (unsigned)s->integ & 0xffffU);
    else
        snprintf(out, SL_SUITE_TEXT, "%s", encr);
    return out;
}
