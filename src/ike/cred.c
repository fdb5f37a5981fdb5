/*
 * Our certificates, as the identity process hands them over, and the key hashes of the anchors for
 * CERTREQ. The core reads of a certificate only its names and the type of its key.
 */
#include "src/ike/core.h"

#include "sealane/certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ike_cred *cred_find(const struct sl_ike *ike, const char *identity)
{
    struct ike_cred *c = ike->creds;
    while (c && strcmp(c->identity, identity) != 0)
        c = c->next;
    return c;
}

struct sl_bytes cred_cert(const struct ike_cred *cred, size_t i)
{
    const size_t from = i ? cred->end[i - 1] : 0;
    return sl_bytes_slice(sl_buf_bytes(&cred->der), from, cred->end[i] - from);
}

static void cred_free(struct ike_cred *c)
{
    if (!c)
        return;
    sl_buf_clear(&c->der);
    staples_clear(c);
    free(c);
}

static void add_id(struct ike_cred *c, enum sl_id_type type, struct sl_bytes value)
{
    if (c->id_n == IKE_CRED_IDS || !value.len || value.len > SL_ID_MAX)
        return;
    struct sl_id *id = &c->id[c->id_n++];
    id->type = type;
    id->len = (uint16_t)value.len;
    memcpy(id->data, value.p, value.len);
}

static void add_names(struct ike_cred *c, const struct sl_cert *cert)
{
    static const enum sl_id_type kinds[] = { SL_ID_FQDN, SL_ID_RFC822_ADDR, SL_ID_IPV4_ADDR,
                                             SL_ID_IPV6_ADDR };
    struct sl_bytes value;
    for (size_t k = 0; k < SL_ARRAY_LEN(kinds); k++)
        for (size_t i = 0; sl_cert_san(cert, kinds[k], i, &value); i++)
            add_id(c, kinds[k], value);
    add_id(c, SL_ID_DER_ASN1_DN, sl_cert_subject_der(cert));
}

enum sl_rc sl_ike_credential(struct sl_ike *ike, const char *identity, const char *key,
                             const struct sl_bytes *chain, size_t n, struct sl_err *err)
{
    if (n > SL_CHAIN_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "identity %s: chain of %zu certificates; %d are the most",
                       identity, n, SL_CHAIN_MAX);
    struct ike_cred **at = &ike->creds;
    while (*at && strcmp((*at)->identity, identity) != 0)
        at = &(*at)->next;
    struct ike_cred *old = *at;
    if (!n) {
        *at = old ? old->next : NULL;
        cred_free(old);
        return SL_OK;
    }
    SL_AUTO(sl_cert) *cert = NULL;
    if (sl_cert_read(&cert, chain[0], err) != SL_OK)
        return SL_WRAP(err, "identity %s", identity);
    struct ike_cred *c = calloc(1, sizeof(*c));
    if (!c)
        return SL_FAIL_MEM(err);
    snprintf(c->identity, sizeof(c->identity), "%s", identity);
    snprintf(c->key, sizeof(c->key), "%s", key);
    c->type = sl_spki_type(sl_cert_spki(cert), &c->bits);
    add_names(c, cert);
    for (size_t i = 0; i < n; i++) {
        if (!sl_buf_put(&c->der, chain[i])) {
            cred_free(c);
            return SL_FAIL_MEM(err);
        }
        c->end[c->n++] = c->der.len;
    }
    if (c->type == SL_KEY_NONE) {
        cred_free(c);
        return SL_FAIL(err, SL_UNSUPPORTED, "identity %s: key type of %s is not one for IKE",
                       identity, sl_cert_name(cert));
    }
    c->next = old ? old->next : NULL;
    *at = c;
    cred_free(old);
    conn_credential(ike, identity);
    return SL_OK;
}

struct sl_bytes anchor_hashes(const struct sl_ike *ike, const char *trust)
{
    for (const struct ike_anchor *a = ike->anchors; a; a = a->next)
        if (strcmp(a->trust, trust) == 0)
            return sl_buf_bytes(&a->hashes);
    return sl_bytes(NULL, 0);
}

enum sl_rc sl_ike_anchors(struct sl_ike *ike, const char *trust, struct sl_bytes hashes,
                          struct sl_err *err)
{
    if (hashes.len % IKE_CERTREQ_HASH_LEN)
        return SL_FAIL(err, SL_MALFORMED, "trust %s: %zu bytes are no list of key hashes", trust,
                       hashes.len);
    struct ike_anchor *a = ike->anchors;
    while (a && strcmp(a->trust, trust) != 0)
        a = a->next;
    SL_AUTO_BUF copy = { 0 };
    if (!sl_buf_put(&copy, hashes))
        return SL_FAIL_MEM(err);
    if (!a) {
        a = calloc(1, sizeof(*a));
        if (!a)
            return SL_FAIL_MEM(err);
        snprintf(a->trust, sizeof(a->trust), "%s", trust);
        a->next = ike->anchors;
        ike->anchors = a;
    }
    sl_buf_clear(&a->hashes);
    a->hashes = copy;
    copy = (struct sl_buf){ 0 };
    return SL_OK;
}

void creds_free(struct sl_ike *ike)
{
    while (ike->creds) {
        struct ike_cred *next = ike->creds->next;
        cred_free(ike->creds);
        ike->creds = next;
    }
    while (ike->anchors) {
        struct ike_anchor *next = ike->anchors->next;
        sl_buf_clear(&ike->anchors->hashes);
        free(ike->anchors);
        ike->anchors = next;
    }
}
