/*
 * Encrypted messages and fragments of IKEv1; see crypt.h.
 */
#include "src/ike/v1/crypt.h"

#include <stdlib.h>
#include <string.h>

#define GENERIC_HDR_LEN  4
#define FRAGMENT_HDR_LEN 4 /* ID (2), number (1), flags (1) */
#define FRAGMENT_LAST    1
#define IPV4_HDR_LEN     20
#define IPV6_HDR_LEN     40
#define UDP_HDR_LEN      8
#define MARKER_LEN       4 /* non-ESP marker, RFC 3948 2.2 */

/* ---- encryption ------------------------------------------------------------------------------------ */
enum sl_rc v1_seal(struct sl_buf *out, const struct sl_secret *enc, uint8_t iv[V1_IV_LEN],
                   const struct ike_hdr *h, uint8_t first, struct sl_bytes chain,
                   struct sl_err *err)
{
    /* SPEC RFC2409-B: padded with zeros to whole blocks, without a pad length */
    size_t pad = (V1_IV_LEN - chain.len % V1_IV_LEN) % V1_IV_LEN;
    size_t len = chain.len + pad, start = out->len;
    if (first == V1_P_NONE || chain.len == 0)
        return SL_FAIL(err, SL_INTERNAL, "nothing to encrypt");
    if (len > IKE_MESSAGE_MAX - IKE_HDR_LEN)
        return SL_FAIL(err, SL_TOO_LARGE, "message of %zu bytes, at most %d are sent", len,
                       IKE_MESSAGE_MAX);
    struct ike_hdr hdr = *h;
    hdr.next = first;
    hdr.version = V1_VERSION;
    hdr.flags |= V1_FLAG_ENCRYPTION;
    hdr.length = (uint32_t)(IKE_HDR_LEN + len);
    struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
    ike_hdr_write(&w, &hdr);
    sl_wr_put(&w, chain);
    sl_wr_zero(&w, pad);
    if (!sl_wr_ok(&w)) {
        out->len = start;
        return SL_FAIL_MEM(err);
    }
    enum sl_rc rc = sl_cbc(true, sl_secret_bytes(enc), iv, out->p + start + IKE_HDR_LEN, len, err);
    if (rc != SL_OK) {
        sl_wipe(out->p + start, out->len - start);
        out->len = start;
        return rc;
    }
    memcpy(iv, out->p + out->len - V1_IV_LEN, V1_IV_LEN);
    return SL_OK;
}

enum sl_rc v1_open(struct sl_buf *plain, uint8_t next[V1_IV_LEN], const struct sl_secret *enc,
                   const uint8_t iv[V1_IV_LEN], const struct v1_message *m, struct sl_err *err)
{
    if (!v1_is_encrypted(&m->hdr))
        return SL_FAIL(err, SL_IKE_MALFORMED, "message is not encrypted");
    if (m->body.len == 0 || m->body.len % V1_IV_LEN != 0)
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "encrypted message of %zu bytes, expected whole blocks of %d", m->body.len,
                       V1_IV_LEN);
    struct sl_buf copy = { 0 };
    if (!sl_buf_put(&copy, m->body))
        return SL_FAIL_MEM(err);
    enum sl_rc rc = sl_cbc(false, sl_secret_bytes(enc), iv, copy.p, copy.len, err);
    if (rc != SL_OK) {
        sl_buf_wipe(&copy);
        return rc;
    }
    sl_buf_wipe(plain);
    *plain = copy;
    memcpy(next, m->body.p + m->body.len - V1_IV_LEN, V1_IV_LEN);
    return SL_OK;
}

/* ---- fragments, sending ----------------------------------------------------------------------------- */
static enum sl_rc write_fragment(struct ike_datagrams *d, const struct ike_hdr *whole, uint16_t id,
                                 size_t number, bool last, struct sl_bytes data, struct sl_err *err)
{
    struct ike_hdr h = *whole;
    /* the fragment itself is in the clear, whatever is in it; the rest is as peers know it */
    h.next = V1_P_FRAGMENT;
    h.flags = 0;
    h.length = (uint32_t)(IKE_HDR_LEN + GENERIC_HDR_LEN + FRAGMENT_HDR_LEN + data.len);
    struct sl_wr w = sl_wr_buf(&d->buf, SL_BUF_MAX);
    ike_hdr_write(&w, &h);
    sl_wr_u8(&w, V1_P_NONE);
    sl_wr_u8(&w, 0);
    sl_wr_u16(&w, (uint16_t)(GENERIC_HDR_LEN + FRAGMENT_HDR_LEN + data.len));
    sl_wr_u16(&w, id);
    sl_wr_u8(&w, (uint8_t)number);
    sl_wr_u8(&w, last ? FRAGMENT_LAST : 0);
    sl_wr_put(&w, data);
    if (!sl_wr_ok(&w))
        return SL_FAIL_MEM(err);
    d->end[d->n++] = d->buf.len;
    return SL_OK;
}

enum sl_rc v1_split(struct ike_datagrams *out, struct sl_bytes message, uint16_t id,
                    uint16_t fragment_size, uint8_t family, bool natt, struct sl_err *err)
{
    struct ike_hdr h;
    struct sl_rd r = sl_rd(message);
    if (!ike_hdr_read(&h, &r))
        return SL_FAIL(err, SL_INTERNAL, "no message to send");
    size_t outer = UDP_HDR_LEN;
    outer += family == 6 ? IPV6_HDR_LEN : IPV4_HDR_LEN;
    outer += natt ? MARKER_LEN : 0;
    if (fragment_size == 0 || outer + message.len <= fragment_size) {
        if (!ike_datagrams_plain(out, message))
            return SL_FAIL_MEM(err);
        return SL_OK;
    }
    size_t size = fragment_size > IKE_FRAGMENT_SIZE_MIN ? fragment_size : IKE_FRAGMENT_SIZE_MIN;
    size_t room = size - outer - IKE_HDR_LEN - GENERIC_HDR_LEN - FRAGMENT_HDR_LEN;
    size_t n = (message.len + room - 1) / room;
    if (n > V1_FRAGMENTS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "message of %zu bytes needs %zu fragments, at most %d",
                       message.len, n, V1_FRAGMENTS_MAX);
    struct ike_datagrams d = { 0 };
    for (size_t i = 0; i < n; i++) {
        enum sl_rc rc = write_fragment(&d, &h, id, i + 1, i + 1 == n,
                                       sl_bytes_slice(message, i * room, room), err);
        if (rc != SL_OK) {
            ike_datagrams_clear(&d);
            return rc;
        }
    }
    ike_datagrams_clear(out);
    *out = d;
    return SL_OK;
}

/* ---- fragments, receiving ----------------------------------------------------------------------------- */
bool v1_is_fragment(const struct v1_message *m)
{
    return !v1_is_encrypted(&m->hdr) && m->list.n == 1 && m->list.p[0].type == V1_P_FRAGMENT;
}

void v1_reassembly_clear(struct v1_reassembly *ra)
{
    for (size_t i = 0; ra->part && i < V1_FRAGMENTS_MAX; i++)
        sl_buf_clear(&ra->part[i]);
    free(ra->part);
    *ra = (struct v1_reassembly){ 0 };
}

struct fragment {
    uint16_t id;
    uint8_t number;
    bool last;
    struct sl_bytes data;
};

static bool read_fragment(struct fragment *f, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    f->id = sl_rd_u16(&r);
    f->number = sl_rd_u8(&r);
    f->last = (sl_rd_u8(&r) & FRAGMENT_LAST) != 0;
    f->data = sl_rd_rest(&r);
    return sl_rd_done(&r) && f->number > 0 && f->data.len > 0;
}

/*
 * Does it belong to what is here? Peers give every message the same ID, so a part that is here with
 * other content, or another end, is of another message too.
 */
static bool belongs(const struct v1_reassembly *ra, const struct fragment *f)
{
    if (!ra->part || ra->id != f->id)
        return false;
    const struct sl_buf *same = &ra->part[f->number - 1];
    if (same->len && !sl_bytes_eq(sl_buf_bytes(same), f->data))
        return false;
    for (size_t i = f->number; f->last && i < V1_FRAGMENTS_MAX; i++)
        if (ra->part[i].len)
            return false;
    if (f->last)
        return ra->last == 0 || ra->last == f->number;
    return ra->last == 0 || f->number < ra->last;
}

static enum sl_rc join_all(struct sl_buf *whole, const struct v1_reassembly *ra, struct sl_err *err)
{
    struct sl_buf all = { 0 };
    for (size_t i = 0; i < ra->last; i++) {
        if (!sl_buf_put(&all, sl_buf_bytes(&ra->part[i]))) {
            sl_buf_clear(&all);
            return SL_FAIL_MEM(err);
        }
    }
    sl_buf_clear(whole);
    *whole = all;
    return SL_OK;
}

/* Is every part from 1 to the last one here? None is past it: see belongs. */
static bool complete(const struct v1_reassembly *ra)
{
    return ra->last && ra->have == ra->last;
}

static enum sl_rc add_fragment(struct v1_reassembly *ra, const struct fragment *f,
                               struct sl_err *err)
{
    struct sl_buf *at = &ra->part[f->number - 1];
    if (at->len == 0) {
        if (f->data.len > V1_REASSEMBLY_MAX - ra->bytes)
            return SL_FAIL(err, SL_TOO_LARGE, "fragments of a message have more than %d bytes",
                           V1_REASSEMBLY_MAX);
        if (!sl_buf_put(at, f->data))
            return SL_FAIL_MEM(err);
        ra->bytes += f->data.len;
        ra->have++;
    }
    if (f->last)
        ra->last = f->number;
    return SL_OK;
}

enum sl_rc v1_join(enum v1_joined *what, struct sl_buf *whole, struct v1_reassembly *ra,
                   const struct v1_message *m, struct sl_err *err)
{
    struct fragment f;
    if (!v1_is_fragment(m) || !read_fragment(&f, m->list.p[0].body))
        return SL_FAIL(err, SL_IKE_MALFORMED, "fragment payload is broken");
    if (f.number > V1_FRAGMENTS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "fragment number %u, at most %d are taken", f.number,
                       V1_FRAGMENTS_MAX);
    if (f.data.len > V1_REASSEMBLY_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "fragment of %zu bytes, a message has at most %d",
                       f.data.len, V1_REASSEMBLY_MAX);
    if (!belongs(ra, &f)) {
        struct sl_buf *part = calloc(V1_FRAGMENTS_MAX, sizeof(*part));
        if (!part)
            return SL_FAIL_MEM(err);
        v1_reassembly_clear(ra);
        ra->part = part;
        ra->id = f.id;
    }
    SL_TRY(add_fragment(ra, &f, err));
    *what = V1_JOINED_PART;
    if (!complete(ra))
        return SL_OK;
    SL_TRY(join_all(whole, ra, err));
    v1_reassembly_clear(ra);
    *what = V1_JOINED;
    return SL_OK;
}
