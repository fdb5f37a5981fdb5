/*
 * Bodies of the IKEv2 payloads that have no module of their own (RFC 7296 3.4 to 3.11, 3.15, 3.16).
 * _read and _put of one payload stand together under a line that draws it.
 */
#include "src/ike/codec.h"

#include <string.h>

/* ---- KE (RFC 7296 3.4): group (2), RESERVED (2), data ------------------------------------------- */
bool ike_ke_read(struct ike_ke *ke, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    ke->group = sl_rd_u16(&r);
    sl_rd_skip(&r, 2);
    ke->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && ke->data.len > 0;
}

void ike_put_ke(struct ike_wr *c, uint16_t group, struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, IKE_P_KE);
    sl_wr_u16(&c->w, group);
    sl_wr_u16(&c->w, 0);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

/* ---- IDi, IDr (RFC 7296 3.5): type (1), RESERVED (3), data ---------------------------------------- */
bool ike_id_read(struct sl_id *id, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    uint8_t type = sl_rd_u8(&r);
    sl_rd_skip(&r, 3);
    struct sl_bytes data = sl_rd_rest(&r);
    if (!sl_rd_done(&r) || data.len == 0 || data.len > sizeof(id->data))
        return false;
    if ((type == SL_ID_IPV4_ADDR && data.len != 4) || (type == SL_ID_IPV6_ADDR && data.len != 16))
        return false;
    id->type = (enum sl_id_type)type;
    id->len = (uint16_t)data.len;
    memcpy(id->data, data.p, data.len);
    memset(id->data + data.len, 0, sizeof(id->data) - data.len);
    return true;
}

void ike_id_write(struct sl_wr *w, const struct sl_id *id)
{
    sl_wr_u8(w, (uint8_t)id->type);
    sl_wr_zero(w, 3);
    sl_wr_put(w, sl_bytes(id->data, id->len));
}

void ike_put_id(struct ike_wr *c, uint8_t type, const struct sl_id *id)
{
    size_t mark = ike_wr_open(c, type);
    ike_id_write(&c->w, id);
    ike_wr_close(c, mark);
}

/* ---- CERT, CERTREQ (RFC 7296 3.6, 3.7): encoding (1), data ------------------------------------------ */
bool ike_cert_read(struct ike_cert *cert, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    cert->encoding = sl_rd_u8(&r);
    cert->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && cert->data.len > 0;
}

void ike_put_cert(struct ike_wr *c, uint8_t encoding, struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, IKE_P_CERT);
    sl_wr_u8(&c->w, encoding);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

static void add_ocsp(struct ike_certs *out, struct sl_bytes response)
{
    bool known = response.len > IKE_OCSP_MAX || out->ocsp_n == SL_CHAIN_MAX;
    for (size_t i = 0; i < out->ocsp_n && !known; i++)
        known = sl_bytes_eq(out->ocsp[i], response);
    if (known)
        out->ocsp_skipped++;
    else
        out->ocsp[out->ocsp_n++] = response;
}

enum sl_rc ike_certs_collect(struct ike_certs *out, const struct ike_payloads *list,
                             struct sl_err *err)
{
    struct ike_certs found = { 0 };
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, IKE_P_CERT, p));) {
        struct ike_cert c;
        if (!ike_cert_read(&c, p->body))
            return SL_FAIL(err, SL_IKE_MALFORMED, "CERT payload is empty");
        if (c.encoding == IKE_CERT_OCSP)
            add_ocsp(&found, c.data);
        if (c.encoding != IKE_CERT_X509_SIGNATURE)
            continue;
        if (found.cert_n == SL_CHAIN_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "peer sent more than %d certificates", SL_CHAIN_MAX);
        found.cert[found.cert_n++] = c.data;
    }
    *out = found;
    return SL_OK;
}

bool ike_certreq_read(struct ike_cert *req, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    req->encoding = sl_rd_u8(&r);
    req->data = sl_rd_rest(&r);
    return sl_rd_done(&r) &&
           (req->encoding != IKE_CERT_X509_SIGNATURE || req->data.len % IKE_CERTREQ_HASH_LEN == 0);
}

void ike_put_certreq(struct ike_wr *c, uint8_t encoding, struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, IKE_P_CERTREQ);
    sl_wr_u8(&c->w, encoding);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

/* ---- AUTH (RFC 7296 3.8): method (1), RESERVED (3), data ---------------------------------------------- */
bool ike_auth_read(struct ike_auth *a, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    a->method = sl_rd_u8(&r);
    sl_rd_skip(&r, 3);
    a->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && a->data.len > 0;
}

void ike_put_auth(struct ike_wr *c, uint8_t method, struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, IKE_P_AUTH);
    sl_wr_u8(&c->w, method);
    sl_wr_zero(&c->w, 3);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

/* ---- Ni, Nr (RFC 7296 3.9) ------------------------------------------------------------------------------ */
bool ike_nonce_read(struct sl_bytes *nonce, struct sl_bytes body)
{
    *nonce = body;
    return body.len >= IKE_NONCE_MIN && body.len <= IKE_NONCE_MAX;
}

void ike_put_nonce(struct ike_wr *c, struct sl_bytes nonce)
{
    ike_wr_payload(c, IKE_P_NONCE, false, nonce);
}

/* ---- N (RFC 7296 3.10): protocol (1), SPI size (1), type (2), SPI, data ----------------------------------- */
bool ike_notify_read(struct ike_notify *n, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    n->protocol = sl_rd_u8(&r);
    uint8_t spi_len = sl_rd_u8(&r);
    n->type = sl_rd_u16(&r);
    n->spi = sl_rd_take(&r, spi_len);
    n->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && (spi_len == 0 || spi_len == 4 || spi_len == IKE_SPI_LEN);
}

static bool find_notify(const struct ike_payloads *list, struct ike_notify *n, bool error,
                        uint16_t type)
{
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, IKE_P_N, p));) {
        struct ike_notify one;
        if (ike_notify_read(&one, p->body) &&
            (error ? ike_notify_is_error(one.type) : one.type == type)) {
            *n = one;
            return true;
        }
    }
    return false;
}

bool ike_notify_find(const struct ike_payloads *list, uint16_t type, struct ike_notify *n)
{
    return find_notify(list, n, false, type);
}

bool ike_notify_find_error(const struct ike_payloads *list, struct ike_notify *n)
{
    return find_notify(list, n, true, 0);
}

bool ike_notifies_check(const struct ike_payloads *list)
{
    struct ike_notify n;
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, IKE_P_N, p));)
        if (!ike_notify_read(&n, p->body))
            return false;
    return true;
}

void ike_put_notify_spi(struct ike_wr *c, uint16_t type, uint8_t protocol, struct sl_bytes spi,
                        struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, IKE_P_N);
    sl_wr_u8(&c->w, protocol);
    if (spi.len > UINT8_MAX)
        c->w.bad = true;
    sl_wr_u8(&c->w, (uint8_t)spi.len);
    sl_wr_u16(&c->w, type);
    sl_wr_put(&c->w, spi);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

void ike_put_notify(struct ike_wr *c, uint16_t type, struct sl_bytes data)
{
    /* SPEC RFC7296-3.10 MUST: without an SPI the protocol field is zero */
    ike_put_notify_spi(c, type, IKE_PROTO_NONE, (struct sl_bytes){ 0 }, data);
}

/* ---- D (RFC 7296 3.11): protocol (1), SPI size (1), count (2), SPIs ----------------------------------------- */
bool ike_delete_read(struct ike_delete *d, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    d->protocol = sl_rd_u8(&r);
    d->spi_len = sl_rd_u8(&r);
    d->n = sl_rd_u16(&r);
    d->spis = sl_rd_take(&r, (size_t)d->spi_len * d->n);
    if (!sl_rd_done(&r))
        return false;
    switch (d->protocol) {
    case IKE_PROTO_IKE:
        return d->spi_len == 0 && d->n == 0;
    case IKE_PROTO_AH:
    case IKE_PROTO_ESP:
        return d->spi_len == 4 && d->n > 0;
    default:
        return false;
    }
}

uint32_t ike_delete_spi(const struct ike_delete *d, size_t i)
{
    struct sl_rd r = sl_rd(sl_bytes_slice(d->spis, i * 4, 4));
    return sl_rd_u32(&r);
}

void ike_put_delete_ike(struct ike_wr *c)
{
    size_t mark = ike_wr_open(c, IKE_P_D);
    sl_wr_u8(&c->w, IKE_PROTO_IKE);
    sl_wr_zero(&c->w, 3);
    ike_wr_close(c, mark);
}

void ike_put_delete_esp(struct ike_wr *c, const uint32_t *spi, size_t n)
{
    size_t mark = ike_wr_open(c, IKE_P_D);
    sl_wr_u8(&c->w, IKE_PROTO_ESP);
    sl_wr_u8(&c->w, 4);
    if (n == 0 || n > UINT16_MAX)
        c->w.bad = true;
    sl_wr_u16(&c->w, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        sl_wr_u32(&c->w, spi[i]);
    ike_wr_close(c, mark);
}

/* ---- V (RFC 7296 3.12) ------------------------------------------------------------------------------------------ */
void ike_put_vendor(struct ike_wr *c, struct sl_bytes id)
{
    ike_wr_payload(c, IKE_P_V, false, id);
}

/* ---- CP (RFC 7296 3.15): type (1), RESERVED (3), then R and type (2), length (2), value --------------------------- */
bool ike_cp_read(struct ike_cp *cp, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    cp->type = sl_rd_u8(&r);
    sl_rd_skip(&r, 3);
    cp->body = sl_rd_rest(&r);
    cp->n = 0;
    if (!sl_rd_done(&r))
        return false;
    struct sl_rd attrs = sl_rd(cp->body);
    for (struct ike_cp_attr a; ike_cp_next(&a, &attrs); cp->n++)
        if (cp->n == IKE_CP_ATTRS_MAX)
            return false;
    return sl_rd_done(&attrs);
}

bool ike_cp_next(struct ike_cp_attr *attr, struct sl_rd *r)
{
    if (sl_rd_done(r))
        return false;
    attr->type = sl_rd_u16(r) & 0x7fff; /* the top bit is reserved, ignored on receipt */
    attr->value = sl_rd_part16(r);
    return sl_rd_ok(r);
}

/* ---- EAP (RFC 7296 3.16, RFC 3748 4): code (1), identifier (1), length (2), data ------------------------------------ */
bool ike_eap_read(struct ike_eap *e, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    e->code = sl_rd_u8(&r);
    e->id = sl_rd_u8(&r);
    e->packet = body;
    return sl_rd_u16(&r) == body.len && sl_rd_ok(&r);
}
