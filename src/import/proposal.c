/*
 * Proposals. strongSwan: aes128-aes256-sha256-modp2048, parts in any order, several of a kind are
 * alternatives; "!" at the end forbids its defaults. libreswan: aes_gcm256-sha2;dh19+dh20, "+" between
 * alternatives. sealane has one of each kind in a proposal, so they are multiplied out. The parser of
 * the configuration decides what is taken, so a new algorithm needs no change here.
 */
#include "src/import/model.h"

#include <stdio.h>
#include <string.h>

#define RESULTS_MAX    16 /* in a list of sealane's */
#define CANDIDATES_MAX 64

enum part { ENCR, AEAD, INTEG, PRF, KE, ADDITIONAL, IGNORED, PARTS };

/* Other names of what sealane calls by the second; a key length of its own where "aes" says none. */
static const char *const aliases[][2] = {
    { "aes", "aes128" },
    { "aes_cbc", "aes128" },
    { "aes_cbc128", "aes128" },
    { "aes_cbc192", "aes192" },
    { "aes_cbc256", "aes256" },
    { "aes128gcm128", "aes128gcm16" },
    { "aes192gcm128", "aes192gcm16" },
    { "aes256gcm128", "aes256gcm16" },
    { "aes_gcm", "aes256gcm16" },
    { "aes_gcm128", "aes128gcm16" },
    { "aes_gcm192", "aes192gcm16" },
    { "aes_gcm256", "aes256gcm16" },
    { "aes_gcm_c_128", "aes128gcm16" },
    { "aes_gcm_c_256", "aes256gcm16" },
    { "aes_gcm_16_128", "aes128gcm16" },
    { "aes_gcm_16_256", "aes256gcm16" },
    { "aes_gcm_16", "aes256gcm16" },
    { "aes_gcm_c", "aes256gcm16" },
    { "chacha20_poly1305", "chacha20poly1305" },
    { "chachapoly", "chacha20poly1305" },
    { "sha2", "sha256" },
    { "sha2_256", "sha256" },
    { "sha2_384", "sha384" },
    { "sha2_512", "sha512" },
    { "hmac_sha2_256", "sha256" },
    { "hmac_sha2_512", "sha512" },
    { "prfsha2_256", "prfsha256" },
    { "dh14", "modp2048" },
    { "dh15", "modp3072" },
    { "dh16", "modp4096" },
    { "dh19", "ecp256" },
    { "dh20", "ecp384" },
    { "dh21", "ecp521" },
    { "dh31", "curve25519" },
    { "dh5", "modp1536" },
    { "dh2", "modp1024" },
    { "x25519", "curve25519" },
    { "sha", "sha1" },
    { "dh17", "modp6144" },
    { "dh18", "modp8192" },
};

static const char *alias(const char *word)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(aliases); i++)
        if (strcmp(word, aliases[i][0]) == 0)
            return aliases[i][1];
    return word;
}

static enum part part_of(const char *w)
{
    static const char *const ke[] = { "modp", "ecp", "curve", "x448", "dh", "mlkem", "newhope" };
    static const char *const integ[] = { "sha", "md5", "aesxcbc", "aescmac", "aesgmac", "hmac" };
    if (strncmp(w, "prf", 3) == 0)
        return PRF;
    if (strncmp(w, "ke", 2) == 0 && w[2] >= '1' && w[2] <= '7' && w[3] == '_')
        return ADDITIONAL;
    if (strcmp(w, "esn") == 0 || strcmp(w, "noesn") == 0 || strcmp(w, "none") == 0 ||
        strcmp(w, "modpnone") == 0)
        return IGNORED;
    for (size_t i = 0; i < SL_ARRAY_LEN(ke); i++)
        if (strncmp(w, ke[i], strlen(ke[i])) == 0)
            return KE;
    for (size_t i = 0; i < SL_ARRAY_LEN(integ); i++)
        if (strncmp(w, integ[i], strlen(integ[i])) == 0)
            return INTEG;
    return strstr(w, "gcm") || strstr(w, "ccm") || strstr(w, "poly1305") ? AEAD : ENCR;
}

struct parsed {
    struct imp_list of[PARTS];
};

/* Each word by its kind; "null" after an AEAD is libreswan's word for no integrity of its own. */
static void parse(struct imp_model *m, struct parsed *p, const char *text)
{
    struct imp_list words = { 0 };
    imp_split(m->x, &words, text, "-+;");
    for (size_t i = 0; i < words.n; i++) {
        const char *w = alias(words.v[i]);
        enum part part = part_of(w);
        if (strcmp(w, "null") == 0 && (p->of[AEAD].n || p->of[ENCR].n))
            part = IGNORED;
        if (!imp_has(&p->of[part], w))
            imp_add(m->x, &p->of[part], w);
    }
}

static void candidate(struct imp_model *m, struct imp_proposals *out, struct imp_list *bad,
                      const char *text, bool ike)
{
    const char *line = imp_printf(m->x, "%s = { \"%s\" }", ike ? "ike" : "esp", text);
    if (imp_has(&out->out, text) || imp_has(bad, text))
        return;
    if (strlen(text) < 256 && imp_takes(ike ? line : "", ike ? "" : line))
        imp_add(m->x, &out->out, text);
    else
        imp_add(m->x, bad, text);
}

static const char *add(struct imp_model *m, const char *text, const char *part)
{
    return *part ? imp_printf(m->x, "%s%s%s", text, *text ? "-" : "", part) : text;
}

/* One of each kind in turn. */
static void multiply(struct imp_model *m, struct imp_proposals *out, struct imp_list *bad,
                     const struct parsed *p, bool ike, bool aead, const char *pfs)
{
    static const char *const none[] = { "" };
    static const char *const prfs[] = { "prfsha256", "prfsha384", "prfsha512" };
    const struct imp_list *encr = &p->of[aead ? AEAD : ENCR], *integ = &p->of[INTEG],
                          *ke = &p->of[KE];
    const char *more = "", *one_ke[] = { pfs };
    for (size_t i = 0; i < p->of[ADDITIONAL].n; i++)
        more = add(m, more, p->of[ADDITIONAL].v[i]);
    const char *const *kes = ke->n ? ke->v : one_ke, *const *seconds = none;
    size_t ke_n = ke->n ? ke->n : 1, second_n = 1;
    struct imp_list from_integ = { 0 };
    if (!aead) {
        seconds = integ->n ? integ->v : none;
        second_n = integ->n ? integ->n : 1;
    } else if (ike && p->of[PRF].n) {
        seconds = p->of[PRF].v;
        second_n = p->of[PRF].n;
    } else if (ike && integ->n) { /* the PRF is taken from the integrity algorithm named */
        for (size_t i = 0; i < integ->n; i++)
            imp_add(m->x, &from_integ, imp_printf(m->x, "prf%s", integ->v[i]));
        seconds = from_integ.v;
        second_n = from_integ.n;
    } else if (ike) {
        seconds = prfs;
        second_n = SL_ARRAY_LEN(prfs);
    }
    for (size_t e = 0; e < encr->n; e++)
        for (size_t s = 0; s < second_n; s++)
            for (size_t k = 0; k < ke_n; k++) {
                const char *text = add(m, encr->v[e], seconds[s]);
                size_t prf_n = ike && !aead ? p->of[PRF].n : 0;
                for (size_t r = 0; r < (prf_n ? prf_n : 1); r++) {
                    if (out->out.n > CANDIDATES_MAX || bad->n > CANDIDATES_MAX)
                        return;
                    const char *t = prf_n ? add(m, text, p->of[PRF].v[r]) : text;
                    candidate(m, out, bad, add(m, add(m, t, kes[k]), more), ike);
                }
            }
}

void imp_proposals(struct imp_model *m, struct imp_proposals *p, struct imp_notes *notes,
                   struct imp_key *key, bool ike, const char *pfs_group)
{
    struct imp_list all = { 0 }, bad = { 0 };
    imp_split(m->x, &all, key->value, ", ");
    for (size_t i = 0; i < all.n && i < 64; i++) {
        struct parsed parts = { 0 };
        const char *text = all.v[i];
        size_t n = strlen(text);
        if (n && text[n - 1] == '!')
            text = imp_text(m->x, sl_bytes(text, n - 1));
        if (strcmp(text, "default") == 0) {
            p->defaults = true;
            continue;
        }
        parse(m, &parts, text);
        multiply(m, p, &bad, &parts, ike, true, ike ? "" : pfs_group);
        multiply(m, p, &bad, &parts, ike, false, ike ? "" : pfs_group);
        if (!parts.of[AEAD].n && !parts.of[ENCR].n)
            imp_add(m->x, &bad, text);
    }
    if (p->out.n > RESULTS_MAX) {
        imp_note(m, notes, key->at,
                 "%s = %.200s: %zu proposals multiplied out, of which the first %d are written",
                 key->name, key->value, p->out.n, RESULTS_MAX);
        p->out.n = RESULTS_MAX;
    }
    for (size_t i = 0; i < bad.n && i < 8; i++)
        imp_note(m, notes, key->at,
                 "%s: %.100s is left out: too weak, or an algorithm that sealane does not have",
                 key->name, bad.v[i]);
    if (bad.n > 8)
        imp_note(m, notes, key->at, "%s: %zu more like these are left out", key->name, bad.n - 8);
    if (!p->out.n) {
        if (bad.n)
            imp_note(m, notes, key->at,
                     "%s = %.200s: nothing of it is left, so the defaults stand; the peer has to "
                     "offer one of them",
                     key->name, key->value);
        p->defaults = true;
    } else if (p->defaults) {
        imp_note(m, notes, key->at,
                 "%s: \"default\" beside others is left out; add what the peer needs", key->name);
        p->defaults = false;
    }
}
