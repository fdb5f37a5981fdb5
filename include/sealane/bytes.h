/*
 * Bytes: borrowed views, owned buffers, and the bounds-checked cursors through which every wire
 * format is read and written.
 *
 * Failure of a cursor is sticky: after a short read every value is zero and sl_rd_done is false,
 * so a reader lists its fields and checks once. Integers on the wire are big-endian.
 */
#ifndef SEALANE_BYTES_H
#define SEALANE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_MUST_USE     __attribute__((warn_unused_result))
#define SL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define SL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Calls NAME_free on leaving the scope: SL_AUTO(sl_crl) *crl = NULL; needs SL_AUTO_DEFINE(sl_crl). */
#define SL_AUTO(type) __attribute__((cleanup(type##_auto_))) struct type
#define SL_AUTO_DEFINE(type)                         \
    static inline void type##_auto_(struct type **p) \
    {                                                \
        type##_free(*p);                             \
    }

/* Hands over what *pp owns and leaves NULL behind. */
#define sl_steal(pp)                       \
    ({                                     \
        __typeof__(*(pp)) stolen_ = *(pp); \
        *(pp) = NULL;                      \
        stolen_;                           \
    })

/* A borrowed view. p may be NULL only when len is 0. */
struct sl_bytes {
    const uint8_t *p;
    size_t len;
};

static inline struct sl_bytes sl_bytes(const void *p, size_t len)
{
    return (struct sl_bytes){ .p = p, .len = len };
}
struct sl_bytes sl_str(const char *s);                  /* the characters of s, without its NUL */
bool sl_bytes_eq(struct sl_bytes a, struct sl_bytes b); /* not constant time: public values only */
int sl_bytes_cmp(struct sl_bytes a, struct sl_bytes b); /* lexicographic, as memcmp */
struct sl_bytes sl_bytes_slice(struct sl_bytes b, size_t from, size_t len); /* clipped to b */

/* Constant time in the contents; false at once when the lengths differ. */
bool sl_ct_equal(struct sl_bytes a, struct sl_bytes b);

/* Checked size arithmetic: false on overflow, *out then untouched. */
bool sl_add(size_t a, size_t b, size_t *out) SL_MUST_USE;
bool sl_mul(size_t a, size_t b, size_t *out) SL_MUST_USE;

/*
 * An owned, growing buffer. {0} is empty and valid. Growth is capped at SL_BUF_MAX; the _put
 * functions return false on exhaustion and leave the buffer as it was.
 */
#define SL_BUF_MAX ((size_t)1 << 30)
struct sl_buf {
    uint8_t *p;
    size_t len, cap;
};
void sl_buf_clear(struct sl_buf *b); /* frees; b is empty and usable again */
void sl_buf_wipe(struct sl_buf *b);  /* overwrites, then frees */
bool sl_buf_reserve(struct sl_buf *b, size_t more) SL_MUST_USE;
bool sl_buf_put(struct sl_buf *b, struct sl_bytes v) SL_MUST_USE;
bool sl_buf_set(struct sl_buf *b,
                struct sl_bytes v) SL_MUST_USE; /* what it held is gone; v is not of b */
bool sl_buf_put_str(struct sl_buf *b, const char *s) SL_MUST_USE;
bool sl_buf_printf(struct sl_buf *b, const char *fmt, ...) SL_MUST_USE SL_PRINTF(2, 3);
bool sl_buf_nul(struct sl_buf *b) SL_MUST_USE; /* NUL after the end, not counted in len */
static inline struct sl_bytes sl_buf_bytes(const struct sl_buf *b)
{
    return sl_bytes(b->p, b->len);
}
static inline void sl_buf_auto_(struct sl_buf *b)
{
    sl_buf_clear(b);
}
#define SL_AUTO_BUF __attribute__((cleanup(sl_buf_auto_))) struct sl_buf

/* malloc'd copies; NULL on exhaustion. sl_strndup also refuses (NULL) an embedded NUL. */
uint8_t *sl_memdup(struct sl_bytes v);
char *sl_strdup_bytes(struct sl_bytes v);

/* ---- reader ------------------------------------------------------------------------------- */
struct sl_rd {
    const uint8_t *p, *end;
    bool bad;
};
static inline struct sl_rd sl_rd(struct sl_bytes b)
{
    return (struct sl_rd){ .p = b.p, .end = b.len ? b.p + b.len : b.p, .bad = false };
}
uint8_t sl_rd_u8(struct sl_rd *r);
uint16_t sl_rd_u16(struct sl_rd *r);
uint32_t sl_rd_u24(struct sl_rd *r);
uint32_t sl_rd_u32(struct sl_rd *r);
uint64_t sl_rd_u64(struct sl_rd *r);
struct sl_bytes sl_rd_take(struct sl_rd *r, size_t n); /* exactly n bytes, or empty and bad */
struct sl_bytes sl_rd_rest(struct sl_rd *r);           /* all that is left, maybe none */
void sl_rd_skip(struct sl_rd *r, size_t n);
void sl_rd_copy(struct sl_rd *r, void *out, size_t n); /* zeroes out on a short read */
void sl_rd_fail(struct sl_rd *r);                      /* the caller saw a rule broken */
/* A part prefixed by its own length in 8, 16 or 32 bits (length of the part alone). */
struct sl_bytes sl_rd_part8(struct sl_rd *r);
struct sl_bytes sl_rd_part16(struct sl_rd *r);
struct sl_bytes sl_rd_part32(struct sl_rd *r);
bool sl_rd_sub16(struct sl_rd *r, struct sl_rd *body);
static inline size_t sl_rd_left(const struct sl_rd *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->p);
}
static inline bool sl_rd_ok(const struct sl_rd *r)
{
    return !r->bad;
}
static inline bool sl_rd_done(const struct sl_rd *r) /* no failure and every byte used */
{
    return !r->bad && r->p == r->end;
}

/* ---- writer ------------------------------------------------------------------------------- */
/*
 * Writes into an sl_buf (grows) or into fixed memory (sticky failure when full). max bounds the
 * total in both cases.
 */
struct sl_wr {
    struct sl_buf *buf; /* NULL: fixed memory */
    uint8_t *p;         /* fixed memory only */
    size_t len, max;
    bool bad;
};
struct sl_wr sl_wr_buf(struct sl_buf *b, size_t max); /* appends to b */
struct sl_wr sl_wr_fixed(void *p, size_t cap);
void sl_wr_u8(struct sl_wr *w, uint8_t v);
void sl_wr_u16(struct sl_wr *w, uint16_t v);
void sl_wr_u24(struct sl_wr *w, uint32_t v);
void sl_wr_u32(struct sl_wr *w, uint32_t v);
void sl_wr_u64(struct sl_wr *w, uint64_t v);
void sl_wr_put(struct sl_wr *w, struct sl_bytes v);
void sl_wr_zero(struct sl_wr *w, size_t n);
void sl_wr_part8(struct sl_wr *w, struct sl_bytes v); /* length, then v; bad when too long */
void sl_wr_part16(struct sl_wr *w, struct sl_bytes v);
void sl_wr_part32(struct sl_wr *w, struct sl_bytes v);
void sl_wr_str16(struct sl_wr *w, const char *s); /* NULL as empty */
/* Opens a 16- or 32-bit length, filled in by _close with the bytes written between. */
size_t sl_wr_open16(struct sl_wr *w);
void sl_wr_close16(struct sl_wr *w, size_t mark);
size_t sl_wr_open32(struct sl_wr *w);
void sl_wr_close32(struct sl_wr *w, size_t mark);
void sl_wr_patch16(struct sl_wr *w, size_t at, uint16_t v);
void sl_wr_patch32(struct sl_wr *w, size_t at, uint32_t v);
static inline size_t sl_wr_len(const struct sl_wr *w)
{
    return w->len;
}
static inline bool sl_wr_ok(const struct sl_wr *w)
{
    return !w->bad;
}

/* ---- text forms ---------------------------------------------------------------------------- */
/* Lower-case hex into out (2*len+1 bytes needed, truncates to fit); returns out. */
char *sl_hex(char *out, size_t cap, struct sl_bytes v);
bool sl_unhex(struct sl_buf *out, const char *hex) SL_MUST_USE; /* colons allowed between bytes */
bool sl_base64(struct sl_buf *out, struct sl_bytes v) SL_MUST_USE;      /* one line, no newline */
bool sl_unbase64(struct sl_buf *out, struct sl_bytes text) SL_MUST_USE; /* white space ignored */
/* Copies with every byte outside printable ASCII as \xNN, for logs and errors. */
char *sl_printable(char *out, size_t cap, struct sl_bytes v);

#endif
