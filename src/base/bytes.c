/* Bytes, buffers, reader and writer; see sealane/bytes.h. */
#include "sealane/bytes.h"

#include "sealane/secret.h"

#include <openssl/crypto.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sl_bytes sl_str(const char *s)
{
    return sl_bytes(s, s ? strlen(s) : 0);
}

bool sl_bytes_eq(struct sl_bytes a, struct sl_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

int sl_bytes_cmp(struct sl_bytes a, struct sl_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

struct sl_bytes sl_bytes_slice(struct sl_bytes b, size_t from, size_t len)
{
    if (from >= b.len)
        return (struct sl_bytes){ 0 };
    return sl_bytes(b.p + from, len < b.len - from ? len : b.len - from);
}

bool sl_ct_equal(struct sl_bytes a, struct sl_bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.p, b.p, a.len) == 0);
}

bool sl_add(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool sl_mul(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* ---- owned buffers ------------------------------------------------------------------------ */

void sl_buf_clear(struct sl_buf *b)
{
    free(b->p);
    *b = (struct sl_buf){ 0 };
}

void sl_buf_wipe(struct sl_buf *b)
{
    if (b->p)
        sl_wipe(b->p, b->cap);
    sl_buf_clear(b);
}

bool sl_buf_reserve(struct sl_buf *b, size_t more)
{
    size_t need;
    if (!sl_add(b->len, more, &need) || need > SL_BUF_MAX)
        return false;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    /* Not realloc: what a buffer held may have to be wiped, and realloc leaves copies behind. */
    uint8_t *p = malloc(cap);
    if (!p)
        return false;
    if (b->p) {
        memcpy(p, b->p, b->len);
        sl_wipe(b->p, b->len);
        free(b->p);
    }
    b->p = p;
    b->cap = cap;
    return true;
}

bool sl_buf_put(struct sl_buf *b, struct sl_bytes v)
{
    if (!sl_buf_reserve(b, v.len))
        return false;
    if (v.len)
        memcpy(b->p + b->len, v.p, v.len);
    b->len += v.len;
    return true;
}

bool sl_buf_set(struct sl_buf *b, struct sl_bytes v)
{
    b->len = 0;
    return sl_buf_put(b, v);
}

bool sl_buf_put_str(struct sl_buf *b, const char *s)
{
    return sl_buf_put(b, sl_str(s));
}

bool sl_buf_printf(struct sl_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 && sl_buf_reserve(b, (size_t)n + 1);
    if (ok) {
        (void)vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return ok;
}

bool sl_buf_nul(struct sl_buf *b)
{
    if (!sl_buf_reserve(b, 1))
        return false;
    b->p[b->len] = 0;
    return true;
}

uint8_t *sl_memdup(struct sl_bytes v)
{
    uint8_t *p = malloc(v.len ? v.len : 1);
    if (p && v.len)
        memcpy(p, v.p, v.len);
    return p;
}

char *sl_strdup_bytes(struct sl_bytes v)
{
    if (v.len && memchr(v.p, 0, v.len))
        return NULL;
    char *s = malloc(v.len + 1);
    if (!s)
        return NULL;
    if (v.len)
        memcpy(s, v.p, v.len);
    s[v.len] = 0;
    return s;
}

/* ---- reader ------------------------------------------------------------------------------- */

struct sl_bytes sl_rd_take(struct sl_rd *r, size_t n)
{
    if (r->bad || n > (size_t)(r->end - r->p)) {
        r->bad = true;
        return (struct sl_bytes){ 0 };
    }
    struct sl_bytes v = sl_bytes(r->p, n);
    if (n)
        r->p += n;
    return v;
}

static uint64_t rd_uint(struct sl_rd *r, size_t n)
{
    struct sl_bytes v = sl_rd_take(r, n);
    uint64_t x = 0;
    for (size_t i = 0; i < v.len; i++)
        x = x << 8 | v.p[i];
    return x;
}

uint8_t sl_rd_u8(struct sl_rd *r)
{
    return (uint8_t)rd_uint(r, 1);
}

uint16_t sl_rd_u16(struct sl_rd *r)
{
    return (uint16_t)rd_uint(r, 2);
}

uint32_t sl_rd_u24(struct sl_rd *r)
{
    return (uint32_t)rd_uint(r, 3);
}

uint32_t sl_rd_u32(struct sl_rd *r)
{
    return (uint32_t)rd_uint(r, 4);
}

uint64_t sl_rd_u64(struct sl_rd *r)
{
    return rd_uint(r, 8);
}

struct sl_bytes sl_rd_rest(struct sl_rd *r)
{
    return sl_rd_take(r, sl_rd_left(r));
}

void sl_rd_skip(struct sl_rd *r, size_t n)
{
    (void)sl_rd_take(r, n);
}

void sl_rd_copy(struct sl_rd *r, void *out, size_t n)
{
    struct sl_bytes v = sl_rd_take(r, n);
    if (v.len)
        memcpy(out, v.p, v.len);
    else if (n)
        memset(out, 0, n);
}

void sl_rd_fail(struct sl_rd *r)
{
    r->bad = true;
}

struct sl_bytes sl_rd_part8(struct sl_rd *r)
{
    return sl_rd_take(r, sl_rd_u8(r));
}

struct sl_bytes sl_rd_part16(struct sl_rd *r)
{
    return sl_rd_take(r, sl_rd_u16(r));
}

struct sl_bytes sl_rd_part32(struct sl_rd *r)
{
    return sl_rd_take(r, sl_rd_u32(r));
}

bool sl_rd_sub16(struct sl_rd *r, struct sl_rd *body)
{
    *body = sl_rd(sl_rd_part16(r));
    body->bad = r->bad;
    return !r->bad;
}

/* ---- writer ------------------------------------------------------------------------------- */

struct sl_wr sl_wr_buf(struct sl_buf *b, size_t max)
{
    return (struct sl_wr){ .buf = b, .len = b->len, .max = max < SL_BUF_MAX ? max : SL_BUF_MAX };
}

struct sl_wr sl_wr_fixed(void *p, size_t cap)
{
    return (struct sl_wr){ .p = p, .max = cap };
}

/* Room for n more bytes, or NULL; len has moved past them. */
static uint8_t *wr_room(struct sl_wr *w, size_t n)
{
    size_t end;
    if (w->bad || !sl_add(w->len, n, &end) || end > w->max)
        goto fail;
    if (w->buf) {
        if (!sl_buf_reserve(w->buf, n))
            goto fail;
        w->buf->len = end;
    }
    uint8_t *at = (w->buf ? w->buf->p : w->p) + w->len;
    w->len = end;
    return at;
fail:
    w->bad = true;
    return NULL;
}

static void wr_uint(struct sl_wr *w, uint64_t v, size_t n)
{
    uint8_t *at = wr_room(w, n);
    for (size_t i = 0; at && i < n; i++)
        at[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

void sl_wr_u8(struct sl_wr *w, uint8_t v)
{
    wr_uint(w, v, 1);
}

void sl_wr_u16(struct sl_wr *w, uint16_t v)
{
    wr_uint(w, v, 2);
}

void sl_wr_u24(struct sl_wr *w, uint32_t v)
{
    if (v >> 24)
        w->bad = true;
    wr_uint(w, v, 3);
}

void sl_wr_u32(struct sl_wr *w, uint32_t v)
{
    wr_uint(w, v, 4);
}

void sl_wr_u64(struct sl_wr *w, uint64_t v)
{
    wr_uint(w, v, 8);
}

void sl_wr_put(struct sl_wr *w, struct sl_bytes v)
{
    uint8_t *at = wr_room(w, v.len);
    if (at && v.len)
        memcpy(at, v.p, v.len);
}

void sl_wr_zero(struct sl_wr *w, size_t n)
{
    uint8_t *at = wr_room(w, n);
    if (at && n)
        memset(at, 0, n);
}

void sl_wr_part8(struct sl_wr *w, struct sl_bytes v)
{
    if (v.len > UINT8_MAX)
        w->bad = true;
    sl_wr_u8(w, (uint8_t)v.len);
    sl_wr_put(w, v);
}

void sl_wr_part16(struct sl_wr *w, struct sl_bytes v)
{
    if (v.len > UINT16_MAX)
        w->bad = true;
    sl_wr_u16(w, (uint16_t)v.len);
    sl_wr_put(w, v);
}

void sl_wr_part32(struct sl_wr *w, struct sl_bytes v)
{
    if (v.len > UINT32_MAX)
        w->bad = true;
    sl_wr_u32(w, (uint32_t)v.len);
    sl_wr_put(w, v);
}

void sl_wr_str16(struct sl_wr *w, const char *s)
{
    sl_wr_part16(w, sl_str(s));
}

static void wr_patch(struct sl_wr *w, size_t at, uint64_t v, size_t n)
{
    if (w->bad || at > w->len || n > w->len - at) {
        w->bad = true;
        return;
    }
    uint8_t *p = (w->buf ? w->buf->p : w->p) + at;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

size_t sl_wr_open16(struct sl_wr *w)
{
    size_t mark = w->len;
    sl_wr_u16(w, 0);
    return mark;
}

void sl_wr_close16(struct sl_wr *w, size_t mark)
{
    size_t n = w->bad ? 0 : w->len - mark - 2;
    if (n > UINT16_MAX)
        w->bad = true;
    wr_patch(w, mark, n, 2);
}

size_t sl_wr_open32(struct sl_wr *w)
{
    size_t mark = w->len;
    sl_wr_u32(w, 0);
    return mark;
}

void sl_wr_close32(struct sl_wr *w, size_t mark)
{
    size_t n = w->bad ? 0 : w->len - mark - 4;
    if (n > UINT32_MAX)
        w->bad = true;
    wr_patch(w, mark, n, 4);
}

void sl_wr_patch16(struct sl_wr *w, size_t at, uint16_t v)
{
    wr_patch(w, at, v, 2);
}

void sl_wr_patch32(struct sl_wr *w, size_t at, uint32_t v)
{
    wr_patch(w, at, v, 4);
}
