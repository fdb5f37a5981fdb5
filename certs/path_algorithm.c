/*
 * Signature algorithms by the names that configuration gives them (trust.signature), and whether a
 * certificate is signed with one that it allows. RFC 5280 4.1.1.2, RFC 4055 3.1, RFC 5758 3.2,
 * RFC 8410.
 */
#include "certs/path_internal.h"

#include <stdio.h>
#include <string.h>

/* libcrypto's short name of nid is another name of the first row that has the nid. */
static const struct algorithm {
    const char *name;
    int nid;
    int md; /* the hash that the parameters must name (RSASSA-PSS); NID_undef: any */
} algorithms[] = {
    { "rsa-sha256", NID_sha256WithRSAEncryption, NID_undef },
    { "rsa-sha384", NID_sha384WithRSAEncryption, NID_undef },
    { "rsa-sha512", NID_sha512WithRSAEncryption, NID_undef },
    { "rsassa-pss", NID_rsassaPss, NID_undef },
    { "rsa-pss-sha256", NID_rsassaPss, NID_sha256 },
    { "rsa-pss-sha384", NID_rsassaPss, NID_sha384 },
    { "rsa-pss-sha512", NID_rsassaPss, NID_sha512 },
    { "ecdsa-sha256", NID_ecdsa_with_SHA256, NID_undef },
    { "ecdsa-sha384", NID_ecdsa_with_SHA384, NID_undef },
    { "ecdsa-sha512", NID_ecdsa_with_SHA512, NID_undef },
    { "ed25519", NID_ED25519, NID_undef },
    { "ed448", NID_ED448, NID_undef },
};

const char *sl_signature_name(size_t i)
{
    return i < SL_ARRAY_LEN(algorithms) ? algorithms[i].name : NULL;
}

static const struct algorithm *by_name(const char *name)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(algorithms); i++) {
        const struct algorithm *a = &algorithms[i];
        if (strcasecmp(a->name, name) == 0 ||
            (a->md == NID_undef && strcasecmp(OBJ_nid2sn(a->nid), name) == 0))
            return a;
    }
    return NULL;
}

bool sl_signature_valid(const char *name)
{
    return by_name(name) != NULL;
}

/* As configuration would name it; else libcrypto's name, with the hash of RSASSA-PSS. */
static void seen_text(char *out, size_t cap, int nid, int md)
{
    const struct algorithm *found = NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(algorithms); i++)
        if (algorithms[i].nid == nid && (nid != NID_rsassaPss || algorithms[i].md == md))
            found = &algorithms[i];
    if (found)
        snprintf(out, cap, "%s", found->name);
    else if (nid == NID_rsassaPss)
        snprintf(out, cap, "rsassa-pss with %s", OBJ_nid2sn(md));
    else
        snprintf(out, cap, "%s", OBJ_nid2sn(nid));
}

static void list_text(char *out, size_t cap, const char *const *v, size_t n)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && used < cap; i++) {
        int k = snprintf(out + used, cap - used, "%s%s", i ? ", " : "", v[i]);
        used += k > 0 ? (size_t)k : 0;
    }
}

enum sl_rc path_check_signature_name(const struct path_cert *c, int md,
                                     const struct sl_path_params *p, struct sl_err *err)
{
    int nid = X509_get_signature_nid(c->x);
    for (size_t i = 0; i < p->signature_n; i++) {
        const struct algorithm *a = by_name(p->signature[i]);
        if (a && a->nid == nid && (a->md == NID_undef || a->md == md))
            return SL_OK;
    }
    if (p->signature_n == 0)
        return SL_OK;
    char seen[80], allowed[200];
    seen_text(seen, sizeof(seen), nid, md);
    list_text(allowed, sizeof(allowed), p->signature, p->signature_n);
    return SL_FAIL(
        err, SL_CERT_WEAK,
        "certificate %.200s: signed with %s, trust.signature allows %s (RFC 5280 4.1.1.2)",
        sl_cert_name(c->cert), seen, allowed);
}
