/*
 * The entries of a CRL (RFC 5280 5.1.2.6) without an object for each. The list is cut in two: its
 * head, framed anew without the entries, goes through libcrypto's decoder; the entries are walked
 * once, which leaves eight bytes for each, sorted. What an entry says is decoded when it is found.
 */
#include "certs/crl.h"
#include "certs/der.h"

#include <openssl/err.h>

#include <stdlib.h>
#include <string.h>

static bool is_time(const struct certs_tlv *t)
{
    return certs_tlv_is(t, V_ASN1_UTCTIME) || certs_tlv_is(t, V_ASN1_GENERALIZEDTIME);
}

/* ---- head -------------------------------------------------------------------------------------- */
struct parts {
    struct certs_tlv tbs, alg, signature; /* of CertificateList */
    struct certs_tlv inner_alg;
    struct sl_bytes before, entries, after; /* the content of tbs: what is around the entries */
    bool has_entries;
};

/*
 * CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm, signatureValue }
 * TBSCertList ::= SEQUENCE { version OPTIONAL, signature, issuer, thisUpdate, nextUpdate OPTIONAL,
 *                            revokedCertificates OPTIONAL, crlExtensions [0] OPTIONAL }
 */
static bool cut(struct parts *o, struct sl_bytes der, struct sl_bytes *stray)
{
    struct sl_bytes in = der;
    struct certs_tlv t;
    if (!certs_take_tag(&in, &t, V_ASN1_SEQUENCE))
        return false;
    *stray = in;
    in = t.body;
    if (!certs_take_tag(&in, &o->tbs, V_ASN1_SEQUENCE) ||
        !certs_take_tag(&in, &o->alg, V_ASN1_SEQUENCE) ||
        !certs_take_tag(&in, &o->signature, V_ASN1_BIT_STRING) || in.len)
        return false;
    in = o->tbs.body;
    if (!certs_take(&in, &t))
        return false;
    if (certs_tlv_is(&t, V_ASN1_INTEGER) && !certs_take(&in, &t))
        return false;
    if (!certs_tlv_is(&t, V_ASN1_SEQUENCE))
        return false;
    o->inner_alg = t;
    if (!certs_take_tag(&in, &t, V_ASN1_SEQUENCE) || !certs_take(&in, &t) || !is_time(&t))
        return false;
    struct sl_bytes rest = in;
    if (in.len && certs_take(&in, &t) && is_time(&t))
        rest = in;
    o->before = sl_bytes(o->tbs.body.p, (size_t)(rest.p - o->tbs.body.p));
    o->after = in = rest;
    if (in.len && !certs_take(&in, &t))
        return false;
    if (rest.len && certs_tlv_is(&t, V_ASN1_SEQUENCE)) {
        o->has_entries = true;
        o->entries = t.body;
        o->after = in;
    }
    return true;
}

static bool put_header(struct sl_buf *b, size_t content)
{
    unsigned char head[16], *p = head;
    if (content > SL_CRL_MAX_BYTES + 64)
        return false;
    ASN1_put_object(&p, 1, (int)content, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    return sl_buf_put(b, sl_bytes(head, (size_t)(p - head)));
}

static bool frame(struct sl_buf *out, const struct parts *o)
{
    SL_AUTO_BUF tbs = { 0 };
    return put_header(&tbs, o->before.len + o->after.len) && sl_buf_put(&tbs, o->before) &&
           sl_buf_put(&tbs, o->after) &&
           put_header(out, tbs.len + o->alg.all.len + o->signature.all.len) &&
           sl_buf_put(out, sl_buf_bytes(&tbs)) && sl_buf_put(out, o->alg.all) &&
           sl_buf_put(out, o->signature.all);
}

enum sl_rc crl_frame(struct sl_crl *crl, struct sl_bytes *entries, struct sl_err *err)
{
    struct parts o = { 0 };
    struct sl_bytes stray = { 0 };
    bool ok = cut(&o, crl->der, &stray);
    if (stray.len)
        return SL_FAIL(err, SL_REVOCATION_INVALID, "CRL is followed by %zu stray bytes", stray.len);
    if (!ok)
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID, "CRL cannot be decoded (RFC 5280 5.1)");
    if (!sl_bytes_eq(o.alg.all, o.inner_alg.all))
        return SL_FAIL(err, SL_REVOCATION_INVALID,
                       "CRL: its two signature algorithm fields differ (RFC 5280 5.1.1.2)");
    SL_AUTO_BUF head = { 0 };
    if (!frame(&head, &o))
        return SL_FAIL_MEM(err);
    const unsigned char *p = head.p;
    crl->head = d2i_X509_CRL(NULL, &p, (long)head.len);
    if (!crl->head || p != head.p + head.len)
        return SL_FAIL_SSL(err, SL_REVOCATION_INVALID, "CRL cannot be decoded (RFC 5280 5.1)");
    crl->tbs = o.tbs.all;
    crl->version = X509_CRL_get_version(crl->head);
    *entries = o.has_entries ? o.entries : (struct sl_bytes){ 0 };
    return SL_OK;
}

/* ---- entries ----------------------------------------------------------------------------------- */
struct raw_entry {
    struct sl_bytes serial, extensions; /* content octets; the latter empty when absent */
    bool extended;
};

/* SEQUENCE { userCertificate INTEGER, revocationDate Time, crlEntryExtensions OPTIONAL } */
static bool split(struct raw_entry *e, struct sl_bytes body)
{
    struct certs_tlv t;
    if (!certs_take_tag(&body, &t, V_ASN1_INTEGER) || t.body.len == 0)
        return false;
    e->serial = t.body;
    /* Shortest form (X.690 8.3.2): one number has one encoding, so that octets can be compared. */
    if (t.body.len > 1 &&
        ((t.body.p[0] == 0 && t.body.p[1] < 0x80) || (t.body.p[0] == 0xff && t.body.p[1] >= 0x80)))
        return false;
    if (!certs_take(&body, &t) || !is_time(&t))
        return false;
    e->extended = body.len > 0;
    e->extensions = (struct sl_bytes){ 0 };
    if (!e->extended)
        return true;
    if (!certs_take_tag(&body, &t, V_ASN1_SEQUENCE) || body.len)
        return false;
    e->extensions = t.body;
    return true;
}

static struct sl_bytes serial_at(const struct sl_crl *crl, uint32_t at)
{
    struct sl_bytes in = sl_bytes_slice(crl->der, at, crl->der.len);
    struct certs_tlv t = { 0 };
    (void)certs_take(&in, &t);
    in = t.body;
    (void)certs_take(&in, &t);
    return t.body;
}

static uint32_t hash_of(struct sl_bytes v)
{
    uint32_t h = 2166136261u; /* FNV-1a: it only spreads, the order of equal ones is by serial */
    for (size_t i = 0; i < v.len; i++)
        h = (h ^ v.p[i]) * 16777619u;
    return h;
}

static int by_serial(const void *pa, const void *pb, void *arg)
{
    const struct crl_entry *a = pa, *b = pb;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int cmp = sl_bytes_cmp(serial_at(arg, a->at), serial_at(arg, b->at));
    return cmp ? cmp : (a->at > b->at) - (a->at < b->at);
}

static bool oid_is(struct sl_bytes oid, uint8_t ce)
{
    return oid.len == 3 && oid.p[0] == 0x55 && oid.p[1] == 0x1d && oid.p[2] == ce;
}

static void note_critical(struct sl_crl *crl, struct sl_bytes oid_tlv)
{
    const unsigned char *p = oid_tlv.p;
    ASN1_OBJECT *o = d2i_ASN1_OBJECT(NULL, &p, (long)oid_tlv.len);
    if (o)
        OBJ_obj2txt(crl->critical, sizeof(crl->critical), o, 0);
    else
        memcpy(crl->critical, "<unreadable>", sizeof("<unreadable>"));
    ASN1_OBJECT_free(o);
}

static GENERAL_NAMES *entry_issuer(const struct sl_crl *crl, uint32_t at)
{
    const unsigned char *p = crl->der.p + at;
    X509_REVOKED *r = d2i_X509_REVOKED(NULL, &p, (long)(crl->der.len - at));
    GENERAL_NAMES *names =
        r ? X509_REVOKED_get_ext_d2i(r, NID_certificate_issuer, NULL, NULL) : NULL;
    X509_REVOKED_free(r);
    return names;
}

/* Records that the entry names its certificate's issuer, by a directory name (RFC 5280 5.3.3). */
static enum sl_rc note_issuer(struct sl_crl *crl, uint32_t at, size_t *cap)
{
    GENERAL_NAMES *names = entry_issuer(crl, at);
    bool directory = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        directory = directory || sk_GENERAL_NAME_value(names, i)->type == GEN_DIRNAME;
    GENERAL_NAMES_free(names);
    if (!directory)
        return SL_REVOCATION_INVALID;
    if (crl->change_n == *cap) {
        size_t more = *cap ? *cap * 2 : 16;
        uint32_t *v = reallocarray(crl->change, more, sizeof(*v));
        if (!v)
            return SL_NO_MEMORY;
        crl->change = v;
        *cap = more;
    }
    crl->change[crl->change_n++] = at;
    return SL_OK;
}

/* Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
static enum sl_rc walk_extensions(struct sl_crl *crl, uint32_t at, struct sl_bytes in, size_t *cap)
{
    while (in.len) {
        struct certs_tlv one, oid, t;
        if (!certs_take_tag(&in, &one, V_ASN1_SEQUENCE))
            return SL_REVOCATION_INVALID;
        struct sl_bytes body = one.body;
        if (!certs_take_tag(&body, &oid, V_ASN1_OBJECT) || !certs_take(&body, &t))
            return SL_REVOCATION_INVALID;
        bool critical = false;
        if (certs_tlv_is(&t, V_ASN1_BOOLEAN)) {
            if (t.body.len != 1)
                return SL_REVOCATION_INVALID;
            critical = t.body.p[0] != 0;
            if (!certs_take(&body, &t))
                return SL_REVOCATION_INVALID;
        }
        if (!certs_tlv_is(&t, V_ASN1_OCTET_STRING) || body.len)
            return SL_REVOCATION_INVALID;
        bool issuer = crl_indirect(crl) && oid_is(oid.body, 29);
        if (issuer)
            SL_TRY(note_issuer(crl, at, cap));
        /* cRLReason and invalidityDate; certificateIssuer is at home in indirect lists only. */
        if (critical && !issuer && !oid_is(oid.body, 21) && !oid_is(oid.body, 24) &&
            !crl->critical[0])
            note_critical(crl, oid.all);
    }
    return SL_OK;
}

enum sl_rc crl_index(struct sl_crl *crl, struct sl_bytes entries, struct sl_err *err)
{
    size_t n = 0, cap = 0;
    struct certs_tlv t;
    for (struct sl_bytes in = entries; in.len; n++)
        if (!certs_take_tag(&in, &t, V_ASN1_SEQUENCE))
            return SL_FAIL_SSL(err, SL_REVOCATION_INVALID,
                               "CRL of %s: entry %zu cannot be decoded (RFC 5280 5.1.2.6)",
                               crl->issuer, n + 1);
    if (n == 0)
        return SL_OK;
    crl->entry = reallocarray(NULL, n, sizeof(*crl->entry));
    if (!crl->entry)
        return SL_FAIL_MEM(err);
    for (struct sl_bytes in = entries; in.len; crl->entry_n++) {
        struct raw_entry e;
        uint32_t at = (uint32_t)(in.p - crl->der.p);
        enum sl_rc rc = SL_REVOCATION_INVALID;
        if (certs_take_tag(&in, &t, V_ASN1_SEQUENCE) && split(&e, t.body))
            rc = walk_extensions(crl, at, e.extensions, &cap);
        if (rc == SL_NO_MEMORY)
            return SL_FAIL_MEM(err);
        if (rc != SL_OK)
            return SL_FAIL_SSL(err, SL_REVOCATION_INVALID,
                               "CRL of %s: entry %zu cannot be decoded (RFC 5280 5.1.2.6, 5.3)",
                               crl->issuer, crl->entry_n + 1);
        if (e.extended && crl->version < X509_CRL_VERSION_2)
            return SL_FAIL(err, SL_REVOCATION_INVALID,
                           "CRL of %s: entry %zu has extensions, which a v1 list cannot have "
                           "(RFC 5280 5.1.2.6)",
                           crl->issuer, crl->entry_n + 1);
        crl->entry[crl->entry_n] = (struct crl_entry){ hash_of(e.serial), at };
    }
    qsort_r(crl->entry, crl->entry_n, sizeof(*crl->entry), by_serial, crl);
    return SL_OK;
}

/* ---- looking up -------------------------------------------------------------------------------- */
/* RFC 5280 5.3.3: the last certificateIssuer at or before the entry, else the list's issuer. */
static bool entry_is_of(const struct sl_crl *crl, uint32_t at, const X509_NAME *issuer)
{
    size_t lo = 0, hi = crl->change_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (crl->change[mid] <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return X509_NAME_cmp(X509_CRL_get_issuer(crl->head), issuer) == 0;
    GENERAL_NAMES *names = entry_issuer(crl, crl->change[lo - 1]);
    bool same = false;
    for (int i = 0; !same && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        same = g->type == GEN_DIRNAME && X509_NAME_cmp(g->d.directoryName, issuer) == 0;
    }
    GENERAL_NAMES_free(names);
    return same;
}

static struct crl_found decode_entry(const struct sl_crl *crl, uint32_t at)
{
    struct crl_found f = { .found = true, .reason = -1 };
    const unsigned char *p = crl->der.p + at;
    X509_REVOKED *r = d2i_X509_REVOKED(NULL, &p, (long)(crl->der.len - at));
    if (r) {
        ASN1_ENUMERATED *e = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, NULL, NULL);
        if (e)
            f.reason = ASN1_ENUMERATED_get(e);
        ASN1_ENUMERATED_free(e);
        if (!certs_time(&f.revoked_utc_s, X509_REVOKED_get0_revocationDate(r)))
            f.revoked_utc_s = 0;
    }
    X509_REVOKED_free(r);
    return f;
}

static size_t lower_bound(const struct sl_crl *crl, uint32_t hash, struct sl_bytes serial)
{
    size_t lo = 0, hi = crl->entry_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct crl_entry *e = &crl->entry[mid];
        bool below =
            e->hash != hash ? e->hash < hash : sl_bytes_cmp(serial_at(crl, e->at), serial) < 0;
        if (below)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool crl_find(struct crl_found *out, const struct sl_crl *crl, const ASN1_INTEGER *serial,
              const X509_NAME *issuer)
{
    *out = (struct crl_found){ .reason = -1 };
    unsigned char *der = NULL;
    int n = i2d_ASN1_INTEGER(serial, &der);
    struct sl_bytes in = sl_bytes(der, n > 0 ? (size_t)n : 0);
    struct certs_tlv key;
    if (!certs_take(&in, &key)) {
        OPENSSL_free(der);
        return false;
    }
    uint32_t hash = hash_of(key.body);
    for (size_t i = lower_bound(crl, hash, key.body); i < crl->entry_n; i++) {
        const struct crl_entry *e = &crl->entry[i];
        if (e->hash != hash || !sl_bytes_eq(serial_at(crl, e->at), key.body))
            break;
        if (!entry_is_of(crl, e->at, issuer))
            continue;
        /* Of several entries the one that revokes counts (RFC 5280 5.3.1: removeFromCRL). */
        struct crl_found f = decode_entry(crl, e->at);
        if (!out->found || out->reason == CRL_REASON_REMOVE_FROM_CRL)
            *out = f;
        if (out->reason != CRL_REASON_REMOVE_FROM_CRL)
            break;
    }
    OPENSSL_free(der);
    ERR_clear_error();
    return true;
}
