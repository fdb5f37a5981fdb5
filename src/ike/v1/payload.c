/*
 * Bodies of IKEv1 payloads other than SA (RFC 2408 3.8 to 3.16, RFC 2407 4.6). _read and _put of one
 * payload stand together under a line that draws it. CERT is in certs.c.
 */
#include "src/ike/v1/codec.h"

#include <string.h>

bool v1_nonce_ok(struct sl_bytes body)
{
    return body.len >= V1_NONCE_MIN && body.len <= V1_NONCE_MAX;
}

/* ---- ID (RFC 2407 4.6.2): type (1), protocol (1), port (2), data ---------------------------------- */
bool v1_id_read(struct v1_id *id, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    id->type = sl_rd_u8(&r);
    id->protocol = sl_rd_u8(&r);
    id->port = sl_rd_u16(&r);
    id->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && id->data.len > 0;
}

bool v1_id_to_id(struct sl_id *out, const struct v1_id *id)
{
    /* SPEC RFC2407-4.6.2 MUST: in phase 1 both are zero, or UDP and 500; NATs made 4500 of it */
    bool unset = id->protocol == 0 && id->port == 0;
    bool ike = id->protocol == 17 && (id->port == 500 || id->port == 4500 || id->port == 0);
    if (!(unset || ike) || id->data.len == 0 || id->data.len > sizeof(out->data))
        return false;
    switch (id->type) {
    case V1_ID_IPV4_ADDR:
        if (id->data.len != 4)
            return false;
        break;
    case V1_ID_IPV6_ADDR:
        if (id->data.len != 16)
            return false;
        break;
    case V1_ID_FQDN:
    case V1_ID_USER_FQDN:
    case V1_ID_DER_ASN1_DN:
    case V1_ID_DER_ASN1_GN:
    case V1_ID_KEY_ID:
        break;
    default:
        return false;
    }
    /* the numbers of RFC 2407 4.6.2.1 and RFC 7296 3.5 are the same for these */
    out->type = (enum sl_id_type)id->type;
    out->len = (uint16_t)id->data.len;
    memset(out->data, 0, sizeof(out->data));
    memcpy(out->data, id->data.p, id->data.len);
    return true;
}

void v1_id_write(struct sl_wr *w, const struct sl_id *id)
{
    sl_wr_u8(w, (uint8_t)id->type);
    sl_wr_u8(w, 0);
    sl_wr_u16(w, 0);
    sl_wr_put(w, sl_bytes(id->data, id->len));
}

void v1_put_id(struct ike_wr *c, const struct sl_id *id)
{
    size_t mark = ike_wr_open(c, V1_P_ID);
    v1_id_write(&c->w, id);
    ike_wr_close(c, mark);
}

/* ---- ID in phase 2 ---------------------------------------------------------------------------------- */
/* A contiguous mask's length; false for one with holes. */
static bool mask_len(uint8_t *len, struct sl_bytes mask)
{
    unsigned n = 0;
    bool ended = false;
    for (size_t i = 0; i < mask.len * 8; i++) {
        bool bit = mask.p[i / 8] >> (7 - i % 8) & 1;
        if (bit && ended)
            return false;
        ended |= !bit;
        n += bit;
    }
    *len = (uint8_t)n;
    return true;
}

static bool subnet_read(struct sl_ts *ts, struct sl_bytes data, size_t len)
{
    struct sl_prefix p = { 0 };
    if (data.len != 2 * len || !sl_addr_from_bytes(&p.addr, sl_bytes_slice(data, 0, len)) ||
        !mask_len(&p.len, sl_bytes_slice(data, len, len)))
        return false;
    for (size_t i = 0; i < len; i++)
        p.addr.b[i] &= data.p[len + i]; /* host bits are passed over, as peers set them */
    sl_prefix_range(&p, &ts->first, &ts->last);
    return true;
}

static bool range_read(struct sl_ts *ts, struct sl_bytes data, size_t len)
{
    return data.len == 2 * len && sl_addr_from_bytes(&ts->first, sl_bytes_slice(data, 0, len)) &&
           sl_addr_from_bytes(&ts->last, sl_bytes_slice(data, len, len)) &&
           sl_addr_cmp(&ts->first, &ts->last) <= 0;
}

static bool addr_read(struct sl_ts *ts, struct sl_bytes data, size_t len)
{
    if (data.len != len || !sl_addr_from_bytes(&ts->first, data))
        return false;
    ts->last = ts->first;
    return true;
}

bool v1_id_to_ts(struct sl_ts *out, const struct v1_id *id)
{
    struct sl_ts ts = { .protocol = id->protocol };
    ts.start_port = id->port;
    ts.end_port = id->port ? id->port : UINT16_MAX; /* 0: any (RFC 2407 4.6.2) */
    if (id->port && !id->protocol)
        return false;
    bool ok = false;
    switch (id->type) {
    case V1_ID_IPV4_ADDR:
        ok = addr_read(&ts, id->data, 4);
        break;
    case V1_ID_IPV6_ADDR:
        ok = addr_read(&ts, id->data, 16);
        break;
    case V1_ID_IPV4_SUBNET:
        ok = subnet_read(&ts, id->data, 4);
        break;
    case V1_ID_IPV6_SUBNET:
        ok = subnet_read(&ts, id->data, 16);
        break;
    case V1_ID_IPV4_RANGE:
        ok = range_read(&ts, id->data, 4);
        break;
    case V1_ID_IPV6_RANGE:
        ok = range_read(&ts, id->data, 16);
        break;
    default:
        break;
    }
    if (ok)
        *out = ts;
    return ok;
}

bool v1_ts_fits(const struct sl_ts *ts)
{
    bool all = ts->start_port == 0 && ts->end_port == UINT16_MAX;
    return all || (ts->start_port == ts->end_port && ts->start_port != 0 && ts->protocol != 0);
}

static bool has_host_bits(const struct sl_addr *a, unsigned len)
{
    for (unsigned i = len; i < 8 * sl_addr_len(a); i++)
        if (a->b[i / 8] >> (7 - i % 8) & 1)
            return true;
    return false;
}

/* The prefix that is exactly first..last. */
static bool as_prefix(struct sl_prefix *p, const struct sl_ts *ts)
{
    for (unsigned len = 0; len <= 8 * sl_addr_len(&ts->first); len++) {
        struct sl_addr first, last;
        p->addr = ts->first;
        p->len = (uint8_t)len;
        if (has_host_bits(&p->addr, len))
            continue;
        sl_prefix_range(p, &first, &last);
        if (sl_addr_eq(&last, &ts->last))
            return true;
    }
    return false;
}

void v1_put_ts(struct ike_wr *c, const struct sl_ts *ts)
{
    struct sl_prefix p;
    bool v6 = ts->first.family == 6;
    bool one = sl_addr_eq(&ts->first, &ts->last);
    bool prefix = !one && as_prefix(&p, ts);
    size_t mark = ike_wr_open(c, V1_P_ID);
    if (!v1_ts_fits(ts))
        c->w.bad = true;
    sl_wr_u8(&c->w, (uint8_t)(one      ? (v6 ? V1_ID_IPV6_ADDR : V1_ID_IPV4_ADDR)
                              : prefix ? (v6 ? V1_ID_IPV6_SUBNET : V1_ID_IPV4_SUBNET)
                                       : (v6 ? V1_ID_IPV6_RANGE : V1_ID_IPV4_RANGE)));
    sl_wr_u8(&c->w, ts->protocol);
    sl_wr_u16(&c->w, ts->start_port);
    sl_wr_put(&c->w, sl_addr_bytes(&ts->first));
    if (prefix) {
        for (unsigned i = 0; i < sl_addr_len(&ts->first); i++) {
            unsigned left = p.len > 8 * i ? p.len - 8 * i : 0;
            sl_wr_u8(&c->w, left >= 8 ? 0xff : (uint8_t)(0xff00U >> left));
        }
    } else if (!one) {
        sl_wr_put(&c->w, sl_addr_bytes(&ts->last));
    }
    ike_wr_close(c, mark);
}

/* ---- N (RFC 2408 3.14): DOI (4), protocol (1), SPI size (1), type (2), SPI, data ------------------- */
bool v1_notify_read(struct v1_notify *n, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    n->doi = sl_rd_u32(&r);
    n->protocol = sl_rd_u8(&r);
    size_t spi_len = sl_rd_u8(&r);
    n->type = sl_rd_u16(&r);
    n->spi = sl_rd_take(&r, spi_len);
    n->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && n->doi <= V1_DOI_IPSEC &&
           (spi_len == 0 || spi_len == 4 || spi_len == 8 || spi_len == 16);
}

bool v1_notify_find(const struct ike_payloads *list, uint16_t type, struct v1_notify *n)
{
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, V1_P_N, p));)
        if (v1_notify_read(n, p->body) && n->type == type)
            return true;
    return false;
}

void v1_put_notify(struct ike_wr *c, uint8_t protocol, uint16_t type, struct sl_bytes spi,
                   struct sl_bytes data)
{
    size_t mark = ike_wr_open(c, V1_P_N);
    sl_wr_u32(&c->w, V1_DOI_IPSEC);
    sl_wr_u8(&c->w, protocol);
    if (spi.len > UINT8_MAX)
        c->w.bad = true;
    sl_wr_u8(&c->w, (uint8_t)spi.len);
    sl_wr_u16(&c->w, type);
    sl_wr_put(&c->w, spi);
    sl_wr_put(&c->w, data);
    ike_wr_close(c, mark);
}

static struct sl_bytes both_cookies(uint8_t out[2 * V1_COOKIE_LEN], const uint8_t *cky_i,
                                    const uint8_t *cky_r)
{
    memcpy(out, cky_i, V1_COOKIE_LEN);
    memcpy(out + V1_COOKIE_LEN, cky_r, V1_COOKIE_LEN);
    return sl_bytes(out, 2 * V1_COOKIE_LEN);
}

void v1_put_notify_sa(struct ike_wr *c, uint16_t type, const uint8_t cky_i[V1_COOKIE_LEN],
                      const uint8_t cky_r[V1_COOKIE_LEN], struct sl_bytes data)
{
    uint8_t spi[2 * V1_COOKIE_LEN];
    v1_put_notify(c, V1_PROTO_ISAKMP, type, both_cookies(spi, cky_i, cky_r), data);
}

bool v1_dpd_seq(uint32_t *seq, const struct v1_notify *n)
{
    struct sl_rd r = sl_rd(n->data);
    uint32_t v = sl_rd_u32(&r);
    if (!sl_rd_done(&r))
        return false;
    *seq = v;
    return true;
}

/* ---- D (RFC 2408 3.15): DOI (4), protocol (1), SPI size (1), count (2), SPIs ------------------------ */
bool v1_delete_read(struct v1_delete *d, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    uint32_t doi = sl_rd_u32(&r);
    d->protocol = sl_rd_u8(&r);
    d->spi_len = sl_rd_u8(&r);
    d->n = sl_rd_u16(&r);
    d->spis = sl_rd_rest(&r);
    size_t want = d->protocol == V1_PROTO_ISAKMP ? 2 * V1_COOKIE_LEN : 4;
    return sl_rd_done(&r) && doi <= V1_DOI_IPSEC && d->spi_len == want && d->n > 0 &&
           d->spis.len == (size_t)d->n * d->spi_len;
}

struct sl_bytes v1_delete_spi(const struct v1_delete *d, size_t i)
{
    return sl_bytes_slice(d->spis, i * d->spi_len, d->spi_len);
}

static size_t delete_open(struct ike_wr *c, uint8_t protocol, uint8_t spi_len, size_t n)
{
    size_t mark = ike_wr_open(c, V1_P_D);
    if (n == 0 || n > UINT16_MAX)
        c->w.bad = true;
    sl_wr_u32(&c->w, V1_DOI_IPSEC);
    sl_wr_u8(&c->w, protocol);
    sl_wr_u8(&c->w, spi_len);
    sl_wr_u16(&c->w, (uint16_t)n);
    return mark;
}

void v1_put_delete_sa(struct ike_wr *c, const uint8_t cky_i[V1_COOKIE_LEN],
                      const uint8_t cky_r[V1_COOKIE_LEN])
{
    size_t mark = delete_open(c, V1_PROTO_ISAKMP, 2 * V1_COOKIE_LEN, 1);
    sl_wr_put(&c->w, sl_bytes(cky_i, V1_COOKIE_LEN));
    sl_wr_put(&c->w, sl_bytes(cky_r, V1_COOKIE_LEN));
    ike_wr_close(c, mark);
}

void v1_put_delete_esp(struct ike_wr *c, const uint32_t *spi, size_t n)
{
    size_t mark = delete_open(c, V1_PROTO_ESP, 4, n);
    for (size_t i = 0; i < n && !c->w.bad; i++)
        sl_wr_u32(&c->w, spi[i]);
    ike_wr_close(c, mark);
}

/* ---- CR (RFC 2408 3.10): encoding (1), authority --------------------------------------------------- */
bool v1_cr_read(struct ike_cert *cr, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    cr->encoding = sl_rd_u8(&r);
    cr->data = sl_rd_rest(&r);
    return sl_rd_done(&r);
}

void v1_put_cr(struct ike_wr *c, struct sl_bytes ca_name)
{
    size_t mark = ike_wr_open(c, V1_P_CR);
    sl_wr_u8(&c->w, IKE_CERT_X509_SIGNATURE);
    sl_wr_put(&c->w, ca_name);
    ike_wr_close(c, mark);
}

/* ---- attributes (RFC 2408 3.3) -------------------------------------------------------------------- */
#define ATTR_TV 0x8000

bool v1_attr_next(struct v1_attr *a, struct sl_rd *r)
{
    if (sl_rd_left(r) == 0)
        return false;
    uint16_t type = sl_rd_u16(r);
    a->type = type & (ATTR_TV - 1);
    a->tv = (type & ATTR_TV) != 0;
    a->data = a->tv ? sl_rd_take(r, 2) : sl_rd_part16(r);
    return sl_rd_ok(r);
}

bool v1_attr_u64(uint64_t *v, const struct v1_attr *a)
{
    uint64_t n = 0;
    if (a->data.len == 0 || a->data.len > sizeof(n))
        return false;
    for (size_t i = 0; i < a->data.len; i++)
        n = n << 8 | a->data.p[i];
    *v = n;
    return true;
}

void v1_attr_tv(struct sl_wr *w, uint16_t type, uint16_t value)
{
    sl_wr_u16(w, type | ATTR_TV);
    sl_wr_u16(w, value);
}

void v1_attr_tlv(struct sl_wr *w, uint16_t type, struct sl_bytes value)
{
    sl_wr_u16(w, type);
    sl_wr_part16(w, value);
}

void v1_attr_num(struct sl_wr *w, uint16_t type, uint32_t v)
{
    if (v <= UINT16_MAX) {
        v1_attr_tv(w, type, (uint16_t)v);
        return;
    }
    sl_wr_u16(w, type);
    sl_wr_u16(w, 4);
    sl_wr_u32(w, v);
}

/* ---- ATTR: type (1), RESERVED (1), identifier (2), attributes --------------------------------------- */
bool v1_cfg_read(struct v1_cfg *cfg, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    cfg->type = sl_rd_u8(&r);
    sl_rd_skip(&r, 1);
    cfg->id = sl_rd_u16(&r);
    cfg->attrs = sl_rd_rest(&r);
    if (!sl_rd_done(&r))
        return false;
    struct sl_rd attrs = sl_rd(cfg->attrs);
    size_t n = 0;
    for (struct v1_attr a; v1_attr_next(&a, &attrs);)
        n++;
    return sl_rd_done(&attrs) && n <= V1_ATTRS_MAX;
}

size_t v1_cfg_open(struct ike_wr *c, uint8_t type, uint16_t id)
{
    size_t mark = ike_wr_open(c, V1_P_ATTR);
    sl_wr_u8(&c->w, type);
    sl_wr_u8(&c->w, 0);
    sl_wr_u16(&c->w, id);
    return mark;
}
