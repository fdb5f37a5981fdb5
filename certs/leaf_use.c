/*
 * What a certificate may be used for: key usage and extended key usage of an end entity by RFC 4945
 * 5.1.3.2 and 5.1.3.12, with the list of uses that configuration allows, and where a use is demanded
 * the extended key usage of the CAs above it. libcrypto's purposes are not used: none knows IKE.
 */
#include "certs/path_internal.h"

#include <openssl/err.h>

#include <stdio.h>
#include <string.h>

/* Names that configuration may use beside libcrypto's own ("serverAuth") and OIDs. */
static ASN1_OBJECT *eku_object(const char *name)
{
    static const struct {
        const char *name, *oid;
    } own[] = {
        { "ipsecIKE", "1.3.6.1.5.5.7.3.17" },       /* RFC 4945 5.1.3.12 */
        { "ikeIntermediate", "1.3.6.1.5.5.8.2.2" }, /* of old clients */
        { "any", "2.5.29.37.0" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(own); i++)
        if (strcasecmp(own[i].name, name) == 0)
            name = own[i].oid;
    ASN1_OBJECT *o = OBJ_txt2obj(name, 0);
    ERR_clear_error();
    return o;
}

bool sl_eku_valid(const char *name)
{
    ASN1_OBJECT *o = eku_object(name);
    ASN1_OBJECT_free(o);
    return o != NULL;
}

static bool eku_holds(const EXTENDED_KEY_USAGE *eku, const char *name)
{
    ASN1_OBJECT *o = eku_object(name);
    bool found = false;
    for (int i = 0; o && i < sk_ASN1_OBJECT_num(eku); i++)
        found = found || OBJ_cmp(sk_ASN1_OBJECT_value(eku, i), o) == 0;
    ASN1_OBJECT_free(o);
    return found;
}

static void eku_text(char *out, size_t cap, const EXTENDED_KEY_USAGE *eku)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < sk_ASN1_OBJECT_num(eku) && used + 1 < cap; i++) {
        char one[80];
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(eku, i);
        int nid = OBJ_obj2nid(o);
        if (nid != NID_undef)
            snprintf(one, sizeof(one), "%s", OBJ_nid2sn(nid));
        else
            OBJ_obj2txt(one, sizeof(one), o, 1);
        int n = snprintf(out + used, cap - used, "%s%s", used ? ", " : "", one);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used == 0)
        snprintf(out, cap, "nothing");
}

static bool eku_allows(const EXTENDED_KEY_USAGE *eku, const struct sl_path_params *p)
{
    if (p->eku_n == 0 && (eku_holds(eku, "ipsecIKE") || eku_holds(eku, "any")))
        return true;
    for (size_t i = 0; i < p->eku_n; i++)
        if (eku_holds(eku, p->eku[i]))
            return true;
    return false;
}

enum sl_rc path_check_use(const struct path_cert *leaf, const struct sl_path_params *p,
                          struct sl_err *err)
{
    if (leaf->ku && !(leaf->ku_bits & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)))
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: keyUsage has neither digitalSignature nor nonRepudiation "
                       "(RFC 4945 5.1.3.2)",
                       sl_cert_name(leaf->cert));
    if (!leaf->eku || eku_allows(leaf->eku, p)) /* absent: any use */
        return SL_OK;
    char has[200];
    eku_text(has, sizeof(has), leaf->eku);
    return SL_FAIL(err, SL_CERT_EKU,
                   "certificate %.200s: extendedKeyUsage is %s, expected %s (RFC 4945 5.1.3.12)",
                   sl_cert_name(leaf->cert), has,
                   p->eku_n ? "one that trust.eku names" : "id-kp-ipsecIKE, any, or none");
}

enum sl_rc path_check_ca_use(const struct path_cert *ca, const struct sl_path_params *p,
                             struct sl_err *err)
{
    if (!ca->eku || eku_holds(ca->eku, "any") || eku_allows(ca->eku, p))
        return SL_OK;
    char has[200];
    eku_text(has, sizeof(has), ca->eku);
    return SL_FAIL(err, SL_CERT_EKU,
                   "certificate %.200s: extendedKeyUsage of the CA is %s, which does not include "
                   "the use asked for (local policy on RFC 5280 4.2.1.12)",
                   sl_cert_name(ca->cert), has);
}
