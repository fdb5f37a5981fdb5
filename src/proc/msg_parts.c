/* See msg_parts.h. */
#include "src/proc/msg_parts.h"

#include <string.h>

void wr_text(struct sl_wr *w, const char *s)
{
    sl_wr_part16(w, sl_str(s));
}

void rd_text(struct sl_rd *r, char *out, size_t cap)
{
    struct sl_bytes v = sl_rd_part16(r);
    out[0] = '\0';
    if (v.len >= cap || (v.len && memchr(v.p, 0, v.len))) {
        sl_rd_fail(r);
        return;
    }
    if (v.len)
        memcpy(out, v.p, v.len);
    out[v.len] = '\0';
}

bool rd_bool(struct sl_rd *r)
{
    uint8_t v = sl_rd_u8(r);
    if (v > 1)
        sl_rd_fail(r);
    return v == 1;
}

/* A count of at most max, zero when it is more. */
size_t rd_count(struct sl_rd *r, size_t max)
{
    size_t n = sl_rd_u16(r);
    if (n > max) {
        sl_rd_fail(r);
        return 0;
    }
    return n;
}

void wr_rc(struct sl_wr *w, enum sl_rc rc)
{
    sl_wr_u32(w, (uint32_t)rc);
}

enum sl_rc rd_rc(struct sl_rd *r)
{
    uint32_t v = sl_rd_u32(r);
    if (!sl_rc_valid(v)) {
        sl_rd_fail(r);
        return SL_INTERNAL;
    }
    return (enum sl_rc)v;
}

void wr_addr(struct sl_wr *w, const struct sl_addr *a)
{
    sl_wr_u8(w, a->family);
    sl_wr_put(w, sl_addr_bytes(a));
}

void rd_addr(struct sl_rd *r, struct sl_addr *a)
{
    memset(a, 0, sizeof(*a));
    a->family = sl_rd_u8(r);
    if (a->family != 0 && a->family != 4 && a->family != 6) {
        sl_rd_fail(r);
        a->family = 0;
    }
    sl_rd_copy(r, a->b, sl_addr_len(a));
}

/* Two addresses, IPv4 and IPv6 in this order, each or both absent. */
void rd_pair(struct sl_rd *r, struct sl_addr a[2])
{
    rd_addr(r, &a[0]);
    rd_addr(r, &a[1]);
    if (a[0].family == 6 || a[1].family == 4)
        sl_rd_fail(r);
}

void wr_endpoint(struct sl_wr *w, const struct sl_endpoint *e)
{
    wr_addr(w, &e->addr);
    sl_wr_u16(w, e->port);
}

void rd_endpoint(struct sl_rd *r, struct sl_endpoint *e)
{
    rd_addr(r, &e->addr);
    e->port = sl_rd_u16(r);
}

static void wr_ts(struct sl_wr *w, const struct sl_ts *ts)
{
    wr_addr(w, &ts->first);
    wr_addr(w, &ts->last);
    sl_wr_u8(w, ts->protocol);
    sl_wr_u16(w, ts->start_port);
    sl_wr_u16(w, ts->end_port);
}

static void rd_ts(struct sl_rd *r, struct sl_ts *ts)
{
    rd_addr(r, &ts->first);
    rd_addr(r, &ts->last);
    ts->protocol = sl_rd_u8(r);
    ts->start_port = sl_rd_u16(r);
    ts->end_port = sl_rd_u16(r);
    if (ts->first.family != ts->last.family || ts->first.family == 0)
        sl_rd_fail(r);
}

void wr_ts_list(struct sl_wr *w, const struct sl_ts *ts, size_t n)
{
    sl_wr_u16(w, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        wr_ts(w, &ts[i]);
}

size_t rd_ts_list(struct sl_rd *r, struct sl_ts *ts)
{
    size_t n = rd_count(r, SL_TS_MAX);
    for (size_t i = 0; i < n; i++)
        rd_ts(r, &ts[i]);
    return n;
}

void wr_id(struct sl_wr *w, const struct sl_id *id)
{
    sl_wr_u8(w, (uint8_t)id->type);
    sl_wr_part16(w, sl_bytes(id->data, id->len));
}

void rd_id(struct sl_rd *r, struct sl_id *id)
{
    memset(id, 0, sizeof(*id));
    id->type = (enum sl_id_type)sl_rd_u8(r);
    struct sl_bytes v = sl_rd_part16(r);
    if (v.len > sizeof(id->data)) {
        sl_rd_fail(r);
        return;
    }
    id->len = (uint16_t)v.len;
    if (v.len)
        memcpy(id->data, v.p, v.len);
}

void wr_list(struct sl_wr *w, const struct sl_bytes *v, size_t n)
{
    sl_wr_u16(w, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        sl_wr_part32(w, v[i]);
}

size_t rd_list(struct sl_rd *r, struct sl_bytes *v, size_t max)
{
    size_t n = rd_count(r, max);
    for (size_t i = 0; i < n; i++)
        v[i] = sl_rd_part32(r);
    return n;
}

/* Algorithm numbers: whether they are supported is the business of who uses them. */
void wr_suite(struct sl_wr *w, const struct sl_suite *s)
{
    sl_wr_u16(w, (uint16_t)s->encr);
    sl_wr_u16(w, s->key_bits);
    sl_wr_u16(w, (uint16_t)s->integ);
}

void rd_suite(struct sl_rd *r, struct sl_suite *s)
{
    s->encr = (enum sl_encr)sl_rd_u16(r);
    s->key_bits = sl_rd_u16(r);
    s->integ = (enum sl_integ)sl_rd_u16(r);
}

enum sl_sig rd_sig(struct sl_rd *r)
{
    uint8_t v = sl_rd_u8(r);
    if (v >= SL_SIG_COUNT) {
        sl_rd_fail(r);
        return SL_SIG_NONE;
    }
    return (enum sl_sig)v;
}

void wr_secret(struct sl_wr *w, const struct sl_secret *s)
{
    sl_wr_part16(w, sl_secret_bytes(s));
}

void rd_secret(struct sl_rd *r, struct sl_secret *s)
{
    struct sl_bytes v = sl_rd_part16(r);
    if (v.len && sl_secret_copy(s, v, NULL) != SL_OK)
        sl_rd_fail(r);
}
