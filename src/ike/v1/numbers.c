/*
 * Numbers and names of IKEv1's transforms, and how refusals tell them; see numbers.h.
 */
#include "src/ike/v1/numbers.h"

#include "src/ike/words.h"

#include <stdio.h>
#include <string.h>

/* Attributes of phase 1 (RFC 2409 appendix A) and of ESP (RFC 2407 4.5, RFC 4304). */
enum ike_attr {
    A1_ENCR = 1,
    A1_HASH = 2,
    A1_AUTH = 3,
    A1_GROUP = 4,
    A1_LIFE_TYPE = 11,
    A1_LIFE = 12,
    A1_KEY_LENGTH = 14
};
enum esp_attr {
    A2_LIFE_TYPE = 1,
    A2_LIFE = 2,
    A2_GROUP = 3,
    A2_ENCAP = 4,
    A2_AUTH = 5,
    A2_KEY_LENGTH = 6,
    A2_ESN = 11
};
enum life_type { LIFE_SECONDS = 1, LIFE_KILOBYTES = 2 };

/* ---- what our algorithms are called on the wire --------------------------------------------------- */
static const struct {
    enum sl_prf prf;
    enum sl_integ integ;
    uint8_t ike, esp; /* hash; authentication algorithm */
} hashes[] = {
    { SL_PRF_HMAC_SHA2_256, SL_INTEG_HMAC_SHA2_256_128, 4, 5 },
    { SL_PRF_HMAC_SHA2_384, SL_INTEG_HMAC_SHA2_384_192, 5, 6 },
    { SL_PRF_HMAC_SHA2_512, SL_INTEG_HMAC_SHA2_512_256, 6, 7 },
};

uint64_t v1_hash_of(enum sl_prf prf)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(hashes); i++)
        if (hashes[i].prf == prf)
            return hashes[i].ike;
    return 0;
}

uint64_t v1_esp_auth(const struct sl_suite *suite)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(hashes); i++)
        if (hashes[i].integ == suite->integ)
            return hashes[i].esp;
    return 0;
}

uint64_t v1_esp_id(const struct sl_suite *suite)
{
    switch (suite->encr) {
    case SL_ENCR_AES_CBC:
    case SL_ENCR_AES_GCM_16:
        return suite->encr;
    case SL_ENCR_NONE:
    case SL_ENCR_3DES:
    case SL_ENCR_NULL:
    case SL_ENCR_CHACHA20_POLY1305:
        break;
    }
    return 0;
}

static bool group_ok(enum sl_ke ke)
{
    const struct ike_transform t = { .type = IKE_T_KE, .id = (uint16_t)ke };
    return sl_ke_supported(ke) && !ike_transform_weak(&t);
}

/* IKEv1 has no additional key exchanges: what demands them may not go without. */
static bool needs_addke(const struct sl_conf_addke *add)
{
    for (size_t i = 0; i < SL_ADDKE_MAX; i++)
        if (add->ke[i] != SL_KE_NONE && !(add->may_skip >> i & 1))
            return true;
    return false;
}

bool v1_ike_usable(const struct sl_conf_ike_proposal *conf)
{
    if (conf->suite.encr != SL_ENCR_AES_CBC || !sl_suite_supported(&conf->suite) ||
        needs_addke(&conf->add))
        return false;
    for (size_t i = 0; i < SL_ARRAY_LEN(hashes); i++)
        if (hashes[i].prf == conf->prf)
            return hashes[i].integ == conf->suite.integ && group_ok(conf->ke);
    return false;
}

bool v1_esp_usable(const struct sl_conf_esp_proposal *conf)
{
    return v1_esp_id(&conf->suite) && sl_suite_supported(&conf->suite) &&
           !needs_addke(&conf->add) && (conf->ke == SL_KE_NONE || group_ok(conf->ke));
}

/* ---- terms: writing ---------------------------------------------------------------------------------- */
struct v1_terms v1_terms_of_ike(const struct sl_conf_ike_proposal *conf, uint16_t auth,
                                uint32_t life_s)
{
    return (struct v1_terms){ .encr = V1_ENCR_AES_CBC,
                              .key_bits = conf->suite.key_bits,
                              .hash = v1_hash_of(conf->prf),
                              .group = conf->ke,
                              .auth = auth,
                              .life_s = life_s };
}

struct v1_terms v1_terms_of_esp(const struct sl_conf_esp_proposal *conf, bool esn, uint16_t encap,
                                uint32_t life_s, uint32_t life_kb)
{
    return (struct v1_terms){ .encr = v1_esp_id(&conf->suite),
                              .key_bits = conf->suite.key_bits,
                              .hash = v1_esp_auth(&conf->suite),
                              .group = conf->ke,
                              .encap = encap,
                              .esn = esn,
                              .life_s = life_s,
                              .life_kb = life_kb };
}

static void put_life(struct sl_wr *w, bool phase1, const struct v1_terms *t)
{
    uint16_t type = phase1 ? A1_LIFE_TYPE : A2_LIFE_TYPE, life = phase1 ? A1_LIFE : A2_LIFE;
    if (t->life_s) {
        v1_attr_tv(w, type, LIFE_SECONDS);
        v1_attr_num(w, life, (uint32_t)t->life_s);
    }
    if (t->life_kb) {
        v1_attr_tv(w, type, LIFE_KILOBYTES);
        v1_attr_num(w, life, (uint32_t)t->life_kb);
    }
}

void v1_terms_write_ike(struct sl_wr *w, const struct v1_terms *t)
{
    v1_attr_tv(w, A1_ENCR, (uint16_t)t->encr);
    v1_attr_tv(w, A1_KEY_LENGTH, (uint16_t)t->key_bits);
    v1_attr_tv(w, A1_HASH, (uint16_t)t->hash);
    v1_attr_tv(w, A1_GROUP, (uint16_t)t->group);
    v1_attr_tv(w, A1_AUTH, t->auth);
    put_life(w, true, t);
}

void v1_terms_write_esp(struct sl_wr *w, const struct v1_terms *t)
{
    v1_attr_tv(w, A2_KEY_LENGTH, (uint16_t)t->key_bits);
    if (t->hash)
        v1_attr_tv(w, A2_AUTH, (uint16_t)t->hash);
    if (t->group)
        v1_attr_tv(w, A2_GROUP, (uint16_t)t->group);
    v1_attr_tv(w, A2_ENCAP, t->encap);
    if (t->esn)
        v1_attr_tv(w, A2_ESN, 1);
    put_life(w, false, t);
}

bool v1_lifetime_write(struct sl_buf *out, bool phase1, uint32_t life_s, uint32_t life_kb)
{
    const struct v1_terms t = { .life_s = life_s, .life_kb = life_kb };
    struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
    put_life(&w, phase1, &t);
    return sl_wr_ok(&w);
}

/* ---- terms: reading ---------------------------------------------------------------------------------- */
/* One value of a term that may be named once. */
static void once(uint64_t *term, const struct v1_attr *a, struct v1_terms *t)
{
    uint64_t v = 0;
    if (*term || !v1_attr_u64(&v, a) || v == 0 || v > UINT16_MAX)
        t->unknown = true;
    else
        *term = v;
}

static void once16(uint16_t *term, const struct v1_attr *a, struct v1_terms *t)
{
    uint64_t v = *term;
    once(&v, a, t);
    *term = (uint16_t)v;
}

/* A life duration belongs to the life type right before it (RFC 2407 4.5). */
static bool read_life(struct v1_terms *t, const struct v1_attr *a, uint64_t type)
{
    uint64_t v = 0;
    /* SPEC RFC2407-4.5.4 MUST: lengths of any size are read; what is past 64 bits is for ever */
    if (a->data.len > sizeof(v))
        v = UINT64_MAX;
    else if (!v1_attr_u64(&v, a))
        return false;
    if (type == LIFE_SECONDS)
        t->life_s = v;
    else if (type == LIFE_KILOBYTES)
        t->life_kb = v;
    else
        return false;
    return true;
}

/* Reads life type and duration where a is one of the two; false when it is neither. */
static bool life_attr(struct v1_terms *t, const struct v1_attr *a, bool phase1, uint64_t *type)
{
    if (a->type == (phase1 ? A1_LIFE_TYPE : A2_LIFE_TYPE)) {
        if (!v1_attr_u64(type, a))
            t->unknown = true;
        return true;
    }
    if (a->type != (phase1 ? A1_LIFE : A2_LIFE))
        return false;
    if (!read_life(t, a, *type))
        t->unknown = true;
    *type = 0;
    return true;
}

void v1_terms_read_ike(struct v1_terms *t, struct sl_bytes attrs)
{
    struct sl_rd r = sl_rd(attrs);
    uint64_t type = 0;
    *t = (struct v1_terms){ 0 };
    for (struct v1_attr a; v1_attr_next(&a, &r);) {
        if (life_attr(t, &a, true, &type))
            continue;
        switch (a.type) {
        case A1_ENCR:
            once(&t->encr, &a, t);
            break;
        case A1_KEY_LENGTH:
            once(&t->key_bits, &a, t);
            break;
        case A1_HASH:
            once(&t->hash, &a, t);
            break;
        case A1_GROUP:
            once(&t->group, &a, t);
            break;
        case A1_AUTH:
            once16(&t->auth, &a, t);
            break;
        default:
            t->unknown =
                true; /* SPEC RFC2408-3.6 MUST: not chosen with what we do not understand */
        }
    }
}

void v1_terms_read_esp(struct v1_terms *t, const struct v1_transform *transform)
{
    struct sl_rd r = sl_rd(transform->attrs);
    uint64_t type = 0, esn = 0;
    *t = (struct v1_terms){ .encr = transform->id };
    for (struct v1_attr a; v1_attr_next(&a, &r);) {
        if (life_attr(t, &a, false, &type))
            continue;
        switch (a.type) {
        case A2_KEY_LENGTH:
            once(&t->key_bits, &a, t);
            break;
        case A2_AUTH:
            once(&t->hash, &a, t);
            break;
        case A2_GROUP:
            once(&t->group, &a, t);
            break;
        case A2_ENCAP:
            once16(&t->encap, &a, t);
            break;
        case A2_ESN:
            once(&esn, &a, t);
            t->unknown |= esn != 1;
            t->esn = true;
            break;
        default:
            t->unknown = true;
        }
    }
}

bool v1_lifetime_read(uint64_t *life_s, uint64_t *life_kb, bool phase1, struct sl_bytes attrs)
{
    struct sl_rd r = sl_rd(attrs);
    struct v1_terms t = { .life_s = *life_s, .life_kb = *life_kb };
    uint64_t type = 0;
    for (struct v1_attr a; v1_attr_next(&a, &r);)
        t.unknown |= !life_attr(&t, &a, phase1, &type);
    if (!sl_rd_done(&r) || t.unknown)
        return false;
    *life_s = t.life_s;
    *life_kb = t.life_kb;
    return true;
}

/* ---- names ----------------------------------------------------------------------------------------- */
struct name {
    uint16_t number;
    bool weak;
    const char *text;
};
static const struct name ike_encrs[] = {
    { 1, true, "DES" },  { 2, true, "IDEA" }, { 3, true, "Blowfish" }, { 4, true, "RC5" },
    { 5, true, "3DES" }, { 6, true, "CAST" }, { 7, false, "AES-CBC" }, { 8, false, "Camellia-CBC" },
};
static const struct name ike_hashes[] = {
    { 1, true, "MD5" },       { 2, true, "SHA-1" },     { 3, true, "Tiger" },
    { 4, false, "SHA2-256" }, { 5, false, "SHA2-384" }, { 6, false, "SHA2-512" },
};
static const struct name esp_encrs[] = {
    { 1, true, "DES-IV64" },     { 2, true, "DES" },
    { 3, true, "3DES" },         { 4, true, "RC5" },
    { 5, true, "IDEA" },         { 6, true, "CAST" },
    { 7, true, "Blowfish" },     { 8, true, "3IDEA" },
    { 9, true, "DES-IV32" },     { 10, true, "RC4" },
    { 11, true, "NULL" },        { 12, false, "AES-CBC" },
    { 13, false, "AES-CTR" },    { 14, false, "AES-CCM-8" },
    { 15, false, "AES-CCM-12" }, { 16, false, "AES-CCM-16" },
    { 18, false, "AES-GCM-8" },  { 19, false, "AES-GCM-12" },
    { 20, false, "AES-GCM-16" }, { 22, false, "Camellia-CBC" },
    { 23, true, "AES-GMAC" },
};
static const struct name esp_auths[] = {
    { 1, true, "HMAC-MD5" },       { 2, true, "HMAC-SHA1" },      { 3, true, "DES-MAC" },
    { 4, true, "KPDK" },           { 5, false, "HMAC-SHA2-256" }, { 6, false, "HMAC-SHA2-384" },
    { 7, false, "HMAC-SHA2-512" }, { 8, true, "HMAC-RIPEMD" },    { 9, false, "AES-XCBC" },
};
static const struct name auths[] = {
    { V1_AUTH_PSK, false, "pre-shared key" },
    { 2, false, "DSS signature" },
    { V1_AUTH_RSA_SIG, false, "RSA signature" },
    { 4, false, "RSA encryption" },
    { 5, false, "revised RSA encryption" },
    { V1_AUTH_ECDSA_256, false, "ECDSA-256" },
    { V1_AUTH_ECDSA_384, false, "ECDSA-384" },
    { V1_AUTH_ECDSA_521, false, "ECDSA-521" },
    { 64221, false, "hybrid RSA" },
    { V1_AUTH_XAUTH_INIT_PSK, false, "XAuth with pre-shared key" },
    { V1_AUTH_XAUTH_RESP_PSK, false, "XAuth of the responder with pre-shared key" },
    { V1_AUTH_XAUTH_INIT_RSA, false, "XAuth with RSA signature" },
    { V1_AUTH_XAUTH_RESP_RSA, false, "XAuth of the responder with RSA signature" },
};

static const struct name *find(const struct name *names, size_t n, uint64_t number)
{
    for (size_t i = 0; i < n; i++)
        if (names[i].number == number)
            return &names[i];
    return NULL;
}
#define FIND(table, number) find((table), SL_ARRAY_LEN(table), (number))

const char *v1_auth_text(char out[IKE_TEXT], uint16_t method)
{
    const struct name *name = FIND(auths, method);
    if (name)
        return name->text;
    (void)snprintf(out, IKE_TEXT, "auth method %u", method);
    return out;
}

uint16_t v1_auth_of_key(enum sl_key_type type)
{
    switch (type) {
    case SL_KEY_RSA:
        return V1_AUTH_RSA_SIG;
    case SL_KEY_EC_P256:
        return V1_AUTH_ECDSA_256;
    case SL_KEY_EC_P384:
        return V1_AUTH_ECDSA_384;
    case SL_KEY_EC_P521:
        return V1_AUTH_ECDSA_521;
    case SL_KEY_NONE:
    case SL_KEY_ED25519:
        break;
    }
    return 0;
}

enum sl_sig v1_auth_sig(uint16_t method)
{
    switch (method) {
    case V1_AUTH_RSA_SIG:
    case V1_AUTH_XAUTH_INIT_RSA:
    case V1_AUTH_XAUTH_RESP_RSA:
        return SL_SIG_RSA_PKCS1_RAW;
    case V1_AUTH_ECDSA_256:
    case V1_AUTH_ECDSA_384:
    case V1_AUTH_ECDSA_521:
        return SL_SIG_ECDSA_RAW;
    default:
        return SL_SIG_NONE;
    }
}

enum sl_prf v1_auth_prf(uint16_t method)
{
    switch (method) {
    case V1_AUTH_ECDSA_256:
        return SL_PRF_HMAC_SHA2_256;
    case V1_AUTH_ECDSA_384:
        return SL_PRF_HMAC_SHA2_384;
    case V1_AUTH_ECDSA_521:
        return SL_PRF_HMAC_SHA2_512;
    default:
        return SL_PRF_NONE;
    }
}

/* ---- telling terms ------------------------------------------------------------------------------------ */
static void append_named(struct ike_words *l, const struct name *name, const char *kind,
                         uint64_t number, uint64_t bits)
{
    char text[IKE_TEXT];
    if (name && bits)
        (void)snprintf(text, sizeof(text), "%s-%llu", name->text, (unsigned long long)bits);
    else if (name)
        (void)snprintf(text, sizeof(text), "%s", name->text);
    else
        (void)snprintf(text, sizeof(text), "%s %llu", kind, (unsigned long long)number);
    ike_words_add(l, " ", text);
}

static struct ike_transform group_of(const struct v1_terms *t)
{
    return (struct ike_transform){ .type = IKE_T_KE, .id = (uint16_t)t->group };
}

const char *v1_terms_text(char out[V1_TERMS_TEXT], const struct v1_terms *t, bool phase1)
{
    struct ike_words l = { .len = 0 };
    char text[IKE_TEXT];
    const struct ike_transform group = group_of(t);
    append_named(&l, phase1 ? FIND(ike_encrs, t->encr) : FIND(esp_encrs, t->encr), "cipher",
                 t->encr, t->key_bits);
    if (t->hash || phase1)
        append_named(&l, phase1 ? FIND(ike_hashes, t->hash) : FIND(esp_auths, t->hash), "hash",
                     t->hash, 0);
    if (t->group || phase1)
        ike_words_add(&l, " ", ike_transform_text(text, &group));
    if (phase1)
        ike_words_add(&l, " ", v1_auth_text(text, t->auth));
    if (!phase1 && t->esn)
        ike_words_add(&l, " ", "ESN");
    if (t->unknown)
        ike_words_add(&l, " ", "with attributes that are not known");
    (void)snprintf(out, V1_TERMS_TEXT, "%.*s", V1_TERMS_TEXT - 1, l.text);
    return out;
}

/* The parts of a transform that are refused as weak, "3DES with MODP-1024"; how many. */
static size_t weak_parts(struct ike_words *l, const struct v1_terms *t, bool phase1)
{
    const struct ike_transform group = group_of(t);
    const struct name *const parts[] = {
        phase1 ? FIND(ike_encrs, t->encr) : FIND(esp_encrs, t->encr),
        phase1 ? FIND(ike_hashes, t->hash) : FIND(esp_auths, t->hash),
    };
    size_t n = 0;
    char text[IKE_TEXT];
    for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++) {
        if (parts[i] && parts[i]->weak) {
            ike_words_add(l, " with ", parts[i]->text);
            n++;
        }
    }
    if (t->group && ike_transform_weak(&group)) {
        ike_words_add(l, " with ", ike_transform_text(text, &group));
        n++;
    }
    return n;
}

/* All that the peer offers in one phase: what it is, and what of it is weak. */
struct offer {
    struct ike_words all, weak;
    size_t n, weak_n, weak_parts;
};

static void tell(struct offer *o, const struct v1_terms *t, bool phase1)
{
    char text[V1_TERMS_TEXT];
    struct ike_words weak = { .len = 0 };
    size_t parts = weak_parts(&weak, t, phase1);
    (void)v1_terms_text(text, t, phase1);
    o->n++;
    if (!strstr(o->all.text, text))
        ike_words_add(&o->all, ", ", text);
    if (parts == 0)
        return;
    o->weak_n++;
    if (!strstr(o->weak.text, weak.text)) {
        ike_words_add(&o->weak, ", or ", weak.text);
        o->weak_parts += parts;
    }
}

static enum sl_rc refuse(const struct offer *o, const char *phase, const char *ours,
                         struct sl_err *err)
{
    if (o->n == 0)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer makes no proposal for %s", phase);
    if (o->weak_n == o->n)
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "peer offers only %s; %s refused as too weak",
                       o->weak.text,
                       o->weak_parts == 1   ? "it is"
                       : o->weak_parts == 2 ? "both are"
                                            : "all are");
    return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "no proposal for %s in common: peer offers %.240s; %s",
                   phase, o->all.text, ours);
}

enum sl_rc v1_refuse_conf_ike(const struct sl_conf_ike_proposal *conf, size_t n, size_t auth_n,
                              struct sl_err *err)
{
    size_t aead = 0;
    if (auth_n == 0)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "IKEv1 has no authentication method for the key of this connection");
    for (size_t i = 0; i < n; i++)
        aead += sl_suite_is_aead(&conf[i].suite);
    if (aead == n)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "all %zu proposals have an AEAD, which cannot protect IKEv1 messages: add "
                       "one like aes256-sha256-modp2048",
                       n);
    return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                   "none of %zu proposals can be used by IKEv1, which needs AES-CBC with one hash "
                   "for PRF and integrity, and one key exchange; %zu have an AEAD",
                   n, aead);
}

enum sl_rc v1_refuse_ike(const struct v1_sa *sa, const struct sl_conf_ike_proposal *conf, size_t n,
                         const uint16_t *auth, size_t auth_n, struct sl_err *err)
{
    struct offer o = { .n = 0 };
    struct ike_words ours = { .len = 0 };
    char text[V1_TERMS_TEXT], out[IKE_WORDS_MAX];
    size_t usable = 0;
    for (size_t i = 0; i < n && auth_n; i++) {
        if (!v1_ike_usable(&conf[i]))
            continue;
        const struct v1_terms t = v1_terms_of_ike(&conf[i], auth[0], 0);
        usable++;
        ike_words_add(&ours, ", ", v1_terms_text(text, &t, true));
    }
    if (usable == 0)
        return v1_refuse_conf_ike(conf, n, auth_n, err);
    for (size_t i = 0; i < sa->n; i++) {
        struct sl_rd r = sl_rd(sa->p[i].body);
        for (struct v1_transform t; v1_transform_next(&t, &r);) {
            struct v1_terms terms;
            if (sa->p[i].protocol != V1_PROTO_ISAKMP)
                continue;
            v1_terms_read_ike(&terms, t.attrs);
            tell(&o, &terms, true);
        }
    }
    (void)snprintf(out, sizeof(out), "ours: %.180s", ours.text);
    return refuse(&o, "phase 1", out, err);
}

enum sl_rc v1_refuse_esp(const struct v1_sa *sa, const struct sl_conf_esp_proposal *conf, size_t n,
                         bool udp, struct sl_err *err)
{
    struct offer o = { .n = 0 };
    struct ike_words ours = { .len = 0 };
    char text[V1_TERMS_TEXT], out[IKE_WORDS_MAX];
    for (size_t i = 0; i < n; i++) {
        const struct v1_terms t = v1_terms_of_esp(&conf[i], false, 0, 0, 0);
        if (v1_esp_usable(&conf[i]))
            ike_words_add(&ours, ", ", v1_terms_text(text, &t, false));
    }
    for (size_t i = 0; i < sa->n; i++) {
        struct sl_rd r = sl_rd(sa->p[i].body);
        for (struct v1_transform t; v1_transform_next(&t, &r);) {
            struct v1_terms terms;
            if (sa->p[i].protocol != V1_PROTO_ESP)
                continue;
            v1_terms_read_esp(&terms, &t);
            tell(&o, &terms, false);
        }
    }
    (void)snprintf(out, sizeof(out), "ours, as a tunnel%s: %.150s", udp ? " in UDP" : "",
                   ours.text);
    return refuse(&o, "ESP", out, err);
}
