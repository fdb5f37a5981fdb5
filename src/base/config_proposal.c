/*
 * Proposals as text. Weak algorithms are known here only so that they are refused by name with the
 * reason (RFC 8247, RFC 8221 say MUST NOT or SHOULD NOT for them).
 */
#include "src/base/config_proposal.h"
#include "src/base/config_nearest.h"

#include <stdio.h>
#include <string.h>

enum part { P_ENCR, P_INTEG, P_PRF, P_KE, P_WEAK };

static const struct word {
    const char *name;
    enum part part;
    int id;
    uint16_t bits;
    const char *why; /* weak: the reason */
} words[] = {
    { "aes128gcm16", P_ENCR, SL_ENCR_AES_GCM_16, 128, NULL },
    { "aes192gcm16", P_ENCR, SL_ENCR_AES_GCM_16, 192, NULL },
    { "aes256gcm16", P_ENCR, SL_ENCR_AES_GCM_16, 256, NULL },
    { "chacha20poly1305", P_ENCR, SL_ENCR_CHACHA20_POLY1305, 256, NULL },
    { "aes128", P_ENCR, SL_ENCR_AES_CBC, 128, NULL },
    { "aes192", P_ENCR, SL_ENCR_AES_CBC, 192, NULL },
    { "aes256", P_ENCR, SL_ENCR_AES_CBC, 256, NULL },
    { "sha256", P_INTEG, SL_INTEG_HMAC_SHA2_256_128, 0, NULL },
    { "sha384", P_INTEG, SL_INTEG_HMAC_SHA2_384_192, 0, NULL },
    { "sha512", P_INTEG, SL_INTEG_HMAC_SHA2_512_256, 0, NULL },
    { "prfsha256", P_PRF, SL_PRF_HMAC_SHA2_256, 0, NULL },
    { "prfsha384", P_PRF, SL_PRF_HMAC_SHA2_384, 0, NULL },
    { "prfsha512", P_PRF, SL_PRF_HMAC_SHA2_512, 0, NULL },
    { "modp2048", P_KE, SL_KE_MODP2048, 0, NULL },
    { "modp3072", P_KE, SL_KE_MODP3072, 0, NULL },
    { "modp4096", P_KE, SL_KE_MODP4096, 0, NULL },
    { "ecp256", P_KE, SL_KE_ECP256, 0, NULL },
    { "ecp384", P_KE, SL_KE_ECP384, 0, NULL },
    { "ecp521", P_KE, SL_KE_ECP521, 0, NULL },
    { "curve25519", P_KE, SL_KE_CURVE25519, 0, NULL },
    { "x25519", P_KE, SL_KE_CURVE25519, 0, NULL },
    { "mlkem512", P_KE, SL_KE_MLKEM512, 0, NULL },
    { "mlkem768", P_KE, SL_KE_MLKEM768, 0, NULL },
    { "mlkem1024", P_KE, SL_KE_MLKEM1024, 0, NULL },
    { "3des", P_WEAK, 0, 0, "its 64-bit blocks repeat after some gigabytes; use aes128gcm16" },
    { "des", P_WEAK, 0, 0, "its 56-bit keys are found by trying; use aes128gcm16" },
    { "blowfish", P_WEAK, 0, 0, "its 64-bit blocks repeat after some gigabytes; use aes128gcm16" },
    { "cast128", P_WEAK, 0, 0, "its 64-bit blocks repeat after some gigabytes; use aes128gcm16" },
    { "null", P_WEAK, 0, 0, "it does not encrypt; use aes128gcm16" },
    { "aes128gcm8", P_WEAK, 0, 0, "its integrity tag is too short; use aes128gcm16" },
    { "aes256gcm8", P_WEAK, 0, 0, "its integrity tag is too short; use aes256gcm16" },
    { "sha1", P_WEAK, 0, 0, "SHA-1 is broken as a hash and being withdrawn; use sha256" },
    { "sha", P_WEAK, 0, 0, "SHA-1 is broken as a hash and being withdrawn; use sha256" },
    { "prfsha1", P_WEAK, 0, 0, "SHA-1 is broken as a hash and being withdrawn; use prfsha256" },
    { "md5", P_WEAK, 0, 0, "MD5 is broken; use sha256" },
    { "prfmd5", P_WEAK, 0, 0, "MD5 is broken; use prfsha256" },
    { "modp768", P_WEAK, 0, 0,
      "768-bit discrete logarithms have been computed; use curve25519 or modp2048" },
    { "modp1024", P_WEAK, 0, 0,
      "1024-bit discrete logarithms are within reach; use curve25519 or modp2048" },
    { "modp1024s160", P_WEAK, 0, 0,
      "1024-bit discrete logarithms are within reach; use curve25519 or modp2048" },
    { "modp1536", P_WEAK, 0, 0,
      "1536 bits give less than 112 bits of strength; use curve25519 or modp2048" },
    { "ecp192", P_WEAK, 0, 0, "its strength is under 112 bits; use ecp256" },
};

struct parts {
    const struct word *w[P_WEAK];
    struct sl_conf_addke add;
    uint8_t add_named; /* bit i: there was a word ke<i+1>_ other than none */
};

static const struct word *find(const char *name)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        if (strcmp(words[i].name, name) == 0)
            return &words[i];
    return NULL;
}

static void say_unknown(const char *name, bool key_exchange, char *why, size_t cap)
{
    char shown[64];
    struct sl_nearest near = { .word = name };
    sl_printable(shown, sizeof(shown), sl_str(name));
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        if (words[i].part == P_KE || (!key_exchange && words[i].part != P_WEAK))
            sl_nearest_try(&near, words[i].name);
    if (near.best)
        snprintf(why, cap, "unknown algorithm \"%s\"; nearest: \"%s\"", shown, near.best);
    else
        snprintf(why, cap, "unknown algorithm \"%s\"", shown);
}

/* "ke1_" to "ke7_" before a key exchange: its index, from 0; -1: it is another word. */
static int additional(const char *name)
{
    if (strncmp(name, "ke", 2) != 0 || name[2] < '1' || name[2] > '0' + SL_ADDKE_MAX ||
        name[3] != '_')
        return -1;
    return name[2] - '1';
}

/* name: what stands behind ke<i+1>_ */
static bool add_additional(struct parts *out, unsigned i, const char *name, char *why, size_t cap)
{
    const unsigned bit = 1U << i;
    if (strcmp(name, "none") == 0) {
        out->add.may_skip = (uint8_t)(out->add.may_skip | bit);
        return true;
    }
    const struct word *w = find(name);
    if (!w || (w->part != P_KE && w->part != P_WEAK)) {
        say_unknown(name, true, why, cap);
        return false;
    }
    if (w->part == P_WEAK) {
        snprintf(why, cap, "%s is refused as too weak: %s", w->name, w->why);
        return false;
    }
    if (out->add_named & bit) {
        snprintf(why, cap, "two additional key exchanges ke%u_; write one proposal for each",
                 i + 1);
        return false;
    }
    out->add_named = (uint8_t)(out->add_named | bit);
    out->add.ke[i] = (enum sl_ke)w->id;
    return true;
}

/* SPEC RFC9370-2.2.2: no method twice, and there is a first one for the others to add to. */
static bool check_additional(const struct parts *p, char *why, size_t cap)
{
    if (!p->add_named && !p->add.may_skip)
        return true;
    if (!p->w[P_KE]) {
        snprintf(why, cap, "additional key exchanges need a first one, as curve25519-ke1_mlkem768");
        return false;
    }
    if (p->add.may_skip & ~p->add_named) {
        snprintf(why, cap,
                 "a ke_none stands only beside a method of its number, which it makes "
                 "optional, as ke1_mlkem768-ke1_none");
        return false;
    }
    for (size_t i = 0; i < SL_ADDKE_MAX; i++) {
        if (p->add.ke[i] == SL_KE_NONE)
            continue;
        bool twice = (int)p->add.ke[i] == p->w[P_KE]->id;
        for (size_t k = 0; k < i; k++)
            twice = twice || p->add.ke[k] == p->add.ke[i];
        if (twice) {
            snprintf(why, cap, "ke%zu_ repeats a key exchange of the proposal, which adds nothing",
                     i + 1);
            return false;
        }
    }
    return true;
}

static bool split(struct parts *out, const char *text, char *why, size_t cap)
{
    static const char *const kinds[] = { "encryption", "integrity", "PRF", "key exchange" };
    char copy[256], *rest = copy;
    *out = (struct parts){ 0 };
    if (strlen(text) >= sizeof(copy)) {
        snprintf(why, cap, "too long");
        return false;
    }
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *name; (name = strsep(&rest, "-"));) {
        const int i = additional(name);
        if (i >= 0) {
            if (!add_additional(out, (unsigned)i, name + 4, why, cap))
                return false;
            continue;
        }
        const struct word *w = find(name);
        if (!w) {
            say_unknown(name, false, why, cap);
            return false;
        }
        if (w->part == P_WEAK) {
            snprintf(why, cap, "%s is refused as too weak: %s", w->name, w->why);
            return false;
        }
        if (out->w[w->part]) {
            snprintf(why, cap, "two %s algorithms, \"%s\" and \"%s\"; write one proposal for each",
                     kinds[w->part], out->w[w->part]->name, w->name);
            return false;
        }
        out->w[w->part] = w;
    }
    if (!check_additional(out, why, cap))
        return false;
    const struct word *encr = out->w[P_ENCR], *integ = out->w[P_INTEG];
    if (!encr) {
        snprintf(why, cap, "no encryption algorithm, as aes128gcm16");
        return false;
    }
    bool aead = encr->id != SL_ENCR_AES_CBC;
    if (!aead && !integ)
        snprintf(why, cap, "%s needs an integrity algorithm, as %s-sha256", encr->name, encr->name);
    else if (aead && integ)
        snprintf(why, cap,
                 "%s protects integrity itself; leave out \"%s\" (a PRF is written prf%s)",
                 encr->name, integ->name, integ->name);
    else
        return true;
    return false;
}

static struct sl_suite suite_of(const struct parts *p)
{
    return (struct sl_suite){
        .encr = (enum sl_encr)p->w[P_ENCR]->id,
        .key_bits = p->w[P_ENCR]->bits,
        .integ = p->w[P_INTEG] ? (enum sl_integ)p->w[P_INTEG]->id : SL_INTEG_NONE,
    };
}

static enum sl_prf prf_of(const struct parts *p)
{
    if (p->w[P_PRF])
        return (enum sl_prf)p->w[P_PRF]->id;
    if (!p->w[P_INTEG])
        return SL_PRF_NONE;
    switch ((enum sl_integ)p->w[P_INTEG]->id) {
    case SL_INTEG_HMAC_SHA2_256_128:
        return SL_PRF_HMAC_SHA2_256;
    case SL_INTEG_HMAC_SHA2_384_192:
        return SL_PRF_HMAC_SHA2_384;
    case SL_INTEG_HMAC_SHA2_512_256:
        return SL_PRF_HMAC_SHA2_512;
    case SL_INTEG_NONE:
    case SL_INTEG_HMAC_SHA1_96:
        break;
    }
    return SL_PRF_NONE;
}

bool conf_ike_proposal(struct sl_conf_ike_proposal *out, const char *text, char *why, size_t cap)
{
    struct parts p;
    if (!split(&p, text, why, cap))
        return false;
    if (prf_of(&p) == SL_PRF_NONE) {
        snprintf(why, cap, "%s in IKE needs a PRF, as %s-prfsha256-curve25519", p.w[P_ENCR]->name,
                 p.w[P_ENCR]->name);
        return false;
    }
    if (!p.w[P_KE]) {
        snprintf(why, cap, "no key exchange, as %s-curve25519", text);
        return false;
    }
    *out = (struct sl_conf_ike_proposal){
        .suite = suite_of(&p), .prf = prf_of(&p), .ke = (enum sl_ke)p.w[P_KE]->id, .add = p.add
    };
    return true;
}

bool conf_esp_proposal(struct sl_conf_esp_proposal *out, const char *text, char *why, size_t cap)
{
    struct parts p;
    if (!split(&p, text, why, cap))
        return false;
    if (p.w[P_PRF]) {
        snprintf(why, cap, "\"%s\" is for IKE; ESP has no PRF", p.w[P_PRF]->name);
        return false;
    }
    *out = (struct sl_conf_esp_proposal){ .suite = suite_of(&p),
                                          .ke = p.w[P_KE] ? (enum sl_ke)p.w[P_KE]->id : SL_KE_NONE,
                                          .add = p.add };
    return true;
}
