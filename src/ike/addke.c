/* See addke.h. */
#include "src/ike/addke.h"

#include <stdio.h>

bool addke_usable(enum sl_ke ke, const struct sl_conf_addke *add)
{
    if (ke != SL_KE_NONE && !sl_ke_supported(ke))
        return false;
    for (size_t i = 0; i < SL_ADDKE_MAX; i++)
        if (add->ke[i] != SL_KE_NONE && !sl_ke_supported(add->ke[i]))
            return false;
    return true;
}

bool addke_note(struct addke_found *f, const struct sl_conf_addke *want,
                const struct ike_transform *t)
{
    if (t->type < IKE_T_ADDKE1 || t->type >= IKE_T_ADDKE1 + SL_ADDKE_MAX)
        return false;
    const unsigned i = t->type - IKE_T_ADDKE1;
    if (f->n[i] < UINT8_MAX)
        f->n[i]++;
    if (t->unknown_attr || t->key_bits)
        return true;
    if (t->id == SL_KE_NONE)
        f->none = (uint8_t)(f->none | 1U << i);
    else if (t->id == (uint16_t)want->ke[i] && !ike_transform_weak(t))
        f->here = (uint8_t)(f->here | 1U << i);
    return true;
}

bool addke_any(const struct addke_found *f)
{
    for (size_t i = 0; i < SL_ADDKE_MAX; i++)
        if (f->n[i])
            return true;
    return false;
}

bool addke_doubled(const struct addke_found *f)
{
    for (size_t i = 0; i < SL_ADDKE_MAX; i++)
        if (f->n[i] > 1)
            return true;
    return false;
}

bool addke_choose(struct ike_addke *out, const struct addke_found *f,
                  const struct sl_conf_addke *want, bool allowed)
{
    for (size_t i = 0; i < SL_ADDKE_MAX; i++) {
        const unsigned bit = 1U << i;
        const bool we_may_skip = want->ke[i] == SL_KE_NONE || (want->may_skip & bit);
        out->ke[i] = SL_KE_NONE;
        if (f->n[i])
            out->has = (uint8_t)(out->has | bit);
        if (allowed && (f->here & bit))
            out->ke[i] = want->ke[i];
        else if (!we_may_skip || (f->n[i] && !(f->none & bit)))
            return false; /* a type that is absent is NONE (RFC 9370 2.2.2) */
    }
    return true;
}

/* ---- what was settled on -------------------------------------------------------------------------- */
enum sl_ke ike_addke_get(const struct ike_addke *a, size_t i)
{
    for (size_t k = 0; k < SL_ADDKE_MAX; k++)
        if (a->ke[k] != SL_KE_NONE && i-- == 0)
            return a->ke[k];
    return SL_KE_NONE;
}

size_t ike_addke_n(const struct ike_addke *a)
{
    size_t n = 0;
    for (size_t k = 0; k < SL_ADDKE_MAX; k++)
        n += a->ke[k] != SL_KE_NONE;
    return n;
}

bool ike_addke_fits(const struct sl_conf_addke *conf, const struct ike_addke *a)
{
    for (size_t i = 0; i < SL_ADDKE_MAX; i++)
        if (a->ke[i] != conf->ke[i] && !(a->ke[i] == SL_KE_NONE && (conf->may_skip >> i & 1)))
            return false;
    return true;
}

size_t ike_first_ike(const struct sl_conf_ike_proposal *conf, size_t n)
{
    size_t i = 0;
    while (i < n && !addke_usable(conf[i].ke, &conf[i].add))
        i++;
    return i;
}

size_t ike_first_esp(const struct sl_conf_esp_proposal *conf, size_t n)
{
    size_t i = 0;
    while (i < n && !addke_usable(conf[i].ke, &conf[i].add))
        i++;
    return i;
}

bool ike_offers_additional(const struct sl_conf_ike_proposal *conf, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < SL_ADDKE_MAX && addke_usable(conf[i].ke, &conf[i].add); k++)
            if (conf[i].add.ke[k] != SL_KE_NONE)
                return true;
    return false;
}

const char *ike_ke_text(char out[IKE_KE_TEXT], enum sl_ke ke, const struct ike_addke *a)
{
    size_t len = (size_t)snprintf(out, IKE_KE_TEXT, "%s", sl_ke_text(ke));
    const size_t n = ike_addke_n(a);
    for (size_t i = 0; i < n && len < IKE_KE_TEXT; i++)
        len += (size_t)snprintf(out + len, IKE_KE_TEXT - len, "%s%s",
                                i == 0      ? " with "
                                : i + 1 < n ? ", "
                                            : " and ",
                                sl_ke_text(ike_addke_get(a, i)));
    return out;
}
