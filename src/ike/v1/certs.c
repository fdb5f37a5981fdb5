/*
 * CERT payloads of IKEv1 (RFC 2408 3.9): X.509 certificates as they are, and those that come wrapped
 * in PKCS#7 (RFC 4945 3.3.10), which is taken apart by libcrypto. Nothing of the wrapping is believed:
 * its certificates are candidates for path building like all others.
 */
#include "src/ike/v1/codec.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#define UNPACKED_MAX 65536 /* bytes of certificates out of PKCS#7 */

void v1_put_cert(struct ike_wr *c, uint8_t encoding, struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, V1_P_CERT);
    sl_wr_u8(&c->w, encoding);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

void v1_certs_clear(struct v1_certs *c)
{
    sl_buf_clear(&c->unpacked);
    c->n = 0;
}

static enum sl_rc add(struct v1_certs *out, struct sl_bytes der, struct sl_err *err)
{
    for (size_t i = 0; i < out->n; i++)
        if (sl_bytes_eq(out->cert[i], der))
            return SL_OK;
    if (out->n == SL_CHAIN_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "peer sent more than %d certificates", SL_CHAIN_MAX);
    out->cert[out->n++] = der;
    return SL_OK;
}

/*
 * The certificates inside one PKCS#7. Each is put at the end of `unpacked`, whose room was reserved
 * for all, so that views into it stay.
 */
static enum sl_rc add_inside(struct v1_certs *out, const PKCS7 *p7, struct sl_err *err)
{
    const STACK_OF(X509) *certs = PKCS7_type_is_signed(p7) && p7->d.sign ? p7->d.sign->cert : NULL;
    for (int i = 0; i < sk_X509_num(certs); i++) {
        uint8_t *der = NULL;
        int len = i2d_X509(sk_X509_value(certs, i), &der);
        size_t at = out->unpacked.len;
        bool fits = len > 0 && (size_t)len <= out->unpacked.cap - at &&
                    sl_buf_put(&out->unpacked, sl_bytes(der, (size_t)len));
        OPENSSL_free(der);
        if (!fits)
            return SL_FAIL(err, SL_TOO_LARGE, "certificates in PKCS#7 are more than %d bytes",
                           UNPACKED_MAX);
        SL_TRY(add(out, sl_bytes(out->unpacked.p + at, (size_t)len), err));
    }
    return SL_OK;
}

static enum sl_rc add_pkcs7(struct v1_certs *out, struct sl_bytes data, struct sl_err *err)
{
    const unsigned char *p = data.p;
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)data.len);
    if (!p7 || p != data.p + data.len) {
        PKCS7_free(p7);
        return SL_FAIL_SSL(err, SL_IKE_MALFORMED, "CERT: PKCS#7 of %zu bytes does not parse",
                           data.len);
    }
    enum sl_rc rc = add_inside(out, p7, err);
    PKCS7_free(p7);
    return rc;
}

static enum sl_rc collect(struct v1_certs *out, const struct ike_payloads *list, struct sl_err *err)
{
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, V1_P_CERT, p));) {
        struct ike_cert c;
        if (!ike_cert_read(&c, p->body))
            return SL_FAIL(err, SL_IKE_MALFORMED, "CERT payload is empty");
        if (c.encoding == IKE_CERT_X509_SIGNATURE) {
            SL_TRY(add(out, c.data, err));
        } else if (c.encoding == IKE_CERT_PKCS7) {
            if (!out->unpacked.cap && !sl_buf_reserve(&out->unpacked, UNPACKED_MAX))
                return SL_FAIL_MEM(err);
            SL_TRY(add_pkcs7(out, c.data, err));
        }
    }
    return SL_OK;
}

enum sl_rc v1_certs_collect(struct v1_certs *out, const struct ike_payloads *list,
                            struct sl_err *err)
{
    struct v1_certs found = { 0 };
    enum sl_rc rc = collect(&found, list, err);
    if (rc != SL_OK) {
        v1_certs_clear(&found);
        return rc;
    }
    v1_certs_clear(out);
    *out = found;
    return SL_OK;
}
