/*
 * One DER element off the front of some bytes, by libcrypto's header decoder: for where an object for
 * every element costs too much, or libcrypto keeps the octets to itself. Shared by certs/ only.
 */
#ifndef CERTS_DER_H
#define CERTS_DER_H

#include "sealane/bytes.h"

#include <openssl/asn1.h>

struct certs_tlv {
    int tag, class;
    bool constructed;
    struct sl_bytes all, body; /* with and without the header */
};

/* False, with in unchanged, when no whole element of definite length (X.690 10.1) is there. */
static inline bool certs_take(struct sl_bytes *in, struct certs_tlv *t)
{
    const unsigned char *p = in->p;
    long len = 0;
    if (in->len == 0)
        return false;
    int got = ASN1_get_object(&p, &len, &t->tag, &t->class, (long)in->len);
    if (got & 0x81) /* an error, or the indefinite length */
        return false;
    t->constructed = (got & V_ASN1_CONSTRUCTED) != 0;
    t->body = sl_bytes(p, (size_t)len);
    t->all = sl_bytes(in->p, (size_t)(p - in->p) + (size_t)len);
    *in = sl_bytes(in->p + t->all.len, in->len - t->all.len);
    return true;
}

static inline bool certs_tlv_is(const struct certs_tlv *t, int tag)
{
    return t->class == V_ASN1_UNIVERSAL && t->tag == tag &&
           t->constructed == (tag == V_ASN1_SEQUENCE);
}

/* A universal type that is constructed only when it is a SEQUENCE. */
static inline bool certs_take_tag(struct sl_bytes *in, struct certs_tlv *t, int tag)
{
    return certs_take(in, t) && certs_tlv_is(t, tag);
}

#endif
