/*
 * Names of IKEv2 transforms as the IANA registry has them, and which of them are too weak (RFC 8247
 * 2: MUST NOT and SHOULD NOT; RFC 9395). The rest of proposals is in proposal.c.
 */
#include "src/ike/proposal.h"

#include <stdio.h>

struct row {
    uint8_t type;
    uint16_t id;
    bool weak;
    const char *name;
};

static const struct row rows[] = {
    { IKE_T_ENCR, 1, true, "DES-IV64" },
    { IKE_T_ENCR, 2, true, "DES" },
    { IKE_T_ENCR, SL_ENCR_3DES, true, "3DES" },
    { IKE_T_ENCR, 4, true, "RC5" },
    { IKE_T_ENCR, 5, true, "IDEA" },
    { IKE_T_ENCR, 6, true, "CAST" },
    { IKE_T_ENCR, 7, true, "Blowfish" },
    { IKE_T_ENCR, 8, true, "3IDEA" },
    { IKE_T_ENCR, 9, true, "DES-IV32" },
    { IKE_T_ENCR, SL_ENCR_NULL, true, "NULL encryption" },
    { IKE_T_ENCR, SL_ENCR_AES_CBC, false, "AES-CBC" },
    { IKE_T_ENCR, 13, false, "AES-CTR" },
    { IKE_T_ENCR, 14, false, "AES-CCM-8" },
    { IKE_T_ENCR, 15, false, "AES-CCM-12" },
    { IKE_T_ENCR, 16, false, "AES-CCM-16" },
    { IKE_T_ENCR, 18, false, "AES-GCM-8" },
    { IKE_T_ENCR, 19, false, "AES-GCM-12" },
    { IKE_T_ENCR, SL_ENCR_AES_GCM_16, false, "AES-GCM-16" },
    { IKE_T_ENCR, 21, true, "NULL encryption with AES-GMAC" },
    { IKE_T_ENCR, 23, false, "Camellia-CBC" },
    { IKE_T_ENCR, 24, false, "Camellia-CTR" },
    { IKE_T_ENCR, 25, false, "Camellia-CCM-8" },
    { IKE_T_ENCR, 26, false, "Camellia-CCM-12" },
    { IKE_T_ENCR, 27, false, "Camellia-CCM-16" },
    { IKE_T_ENCR, SL_ENCR_CHACHA20_POLY1305, false, "ChaCha20-Poly1305" },
    { IKE_T_PRF, 1, true, "PRF-HMAC-MD5" },
    { IKE_T_PRF, SL_PRF_HMAC_SHA1, true, "PRF-HMAC-SHA1" },
    { IKE_T_PRF, 3, true, "PRF-HMAC-Tiger" },
    { IKE_T_PRF, 4, false, "PRF-AES128-XCBC" },
    { IKE_T_PRF, SL_PRF_HMAC_SHA2_256, false, "PRF-HMAC-SHA2-256" },
    { IKE_T_PRF, SL_PRF_HMAC_SHA2_384, false, "PRF-HMAC-SHA2-384" },
    { IKE_T_PRF, SL_PRF_HMAC_SHA2_512, false, "PRF-HMAC-SHA2-512" },
    { IKE_T_PRF, 8, false, "PRF-AES128-CMAC" },
    { IKE_T_INTEG, SL_INTEG_NONE, false, "no integrity" },
    { IKE_T_INTEG, 1, true, "HMAC-MD5-96" },
    { IKE_T_INTEG, SL_INTEG_HMAC_SHA1_96, true, "HMAC-SHA1-96" },
    { IKE_T_INTEG, 3, true, "DES-MAC" },
    { IKE_T_INTEG, 4, true, "KPDK-MD5" },
    { IKE_T_INTEG, 5, false, "AES-XCBC-96" },
    { IKE_T_INTEG, 6, true, "HMAC-MD5-128" },
    { IKE_T_INTEG, 7, true, "HMAC-SHA1-160" },
    { IKE_T_INTEG, 8, false, "AES-CMAC-96" },
    { IKE_T_INTEG, 9, false, "AES-128-GMAC" },
    { IKE_T_INTEG, 10, false, "AES-192-GMAC" },
    { IKE_T_INTEG, 11, false, "AES-256-GMAC" },
    { IKE_T_INTEG, SL_INTEG_HMAC_SHA2_256_128, false, "HMAC-SHA2-256-128" },
    { IKE_T_INTEG, SL_INTEG_HMAC_SHA2_384_192, false, "HMAC-SHA2-384-192" },
    { IKE_T_INTEG, SL_INTEG_HMAC_SHA2_512_256, false, "HMAC-SHA2-512-256" },
    { IKE_T_KE, SL_KE_NONE, false, "no key exchange" },
    { IKE_T_KE, 1, true, "MODP-768" },
    { IKE_T_KE, SL_KE_MODP1024, true, "MODP-1024" },
    { IKE_T_KE, 5, true, "MODP-1536" },
    { IKE_T_KE, SL_KE_MODP2048, false, "MODP-2048" },
    { IKE_T_KE, SL_KE_MODP3072, false, "MODP-3072" },
    { IKE_T_KE, SL_KE_MODP4096, false, "MODP-4096" },
    { IKE_T_KE, 17, false, "MODP-6144" },
    { IKE_T_KE, 18, false, "MODP-8192" },
    { IKE_T_KE, SL_KE_ECP256, false, "ECP-256" },
    { IKE_T_KE, SL_KE_ECP384, false, "ECP-384" },
    { IKE_T_KE, SL_KE_ECP521, false, "ECP-521" },
    { IKE_T_KE, 22, true, "MODP-1024-160" },
    { IKE_T_KE, 23, true, "MODP-2048-224" },
    { IKE_T_KE, 24, true, "MODP-2048-256" },
    { IKE_T_KE, 25, true, "ECP-192" },
    { IKE_T_KE, 26, true, "ECP-224" },
    { IKE_T_KE, 27, true, "Brainpool-224" },
    { IKE_T_KE, 28, false, "Brainpool-256" },
    { IKE_T_KE, 29, false, "Brainpool-384" },
    { IKE_T_KE, 30, false, "Brainpool-512" },
    { IKE_T_KE, SL_KE_CURVE25519, false, "Curve25519" },
    { IKE_T_KE, 32, false, "Curve448" },
    { IKE_T_KE, 35, false, "ML-KEM-512" },
    { IKE_T_KE, 36, false, "ML-KEM-768" },
    { IKE_T_KE, 37, false, "ML-KEM-1024" },
    { IKE_T_ESN, 0, false, "no ESN" },
    { IKE_T_ESN, 1, false, "ESN" },
};

/* ADDKE1 to ADDKE7 have the methods of type 4 (RFC 9370 4). */
static const struct row *find(const struct ike_transform *t)
{
    const bool additional = t->type >= IKE_T_ADDKE1 && t->type < IKE_T_ADDKE1 + SL_ADDKE_MAX;
    const uint8_t type = additional ? IKE_T_KE : t->type;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        if (rows[i].type == type && rows[i].id == t->id)
            return &rows[i];
    return NULL;
}

const char *ike_transform_text(char out[IKE_TEXT], const struct ike_transform *t)
{
    static const char *const kinds[] = {
        "transform", "cipher", "PRF", "integrity", "group", "ESN"
    };
    const struct row *row = find(t);
    if (row && t->type >= IKE_T_ADDKE1)
        (void)snprintf(out, IKE_TEXT, "with %s", row->name);
    else if (row && t->key_bits)
        (void)snprintf(out, IKE_TEXT, "%s-%u", row->name, t->key_bits);
    else if (row)
        return row->name;
    else if (t->type >= IKE_T_ADDKE1 && t->type < IKE_T_ADDKE1 + 7)
        (void)snprintf(out, IKE_TEXT, "additional key exchange %u", t->id);
    else
        (void)snprintf(out, IKE_TEXT, "%s %u",
                       t->type < SL_ARRAY_LEN(kinds) ? kinds[t->type] : "transform", t->id);
    return out;
}

bool ike_transform_weak(const struct ike_transform *t)
{
    const struct row *row = find(t);
    return row && row->weak;
}
