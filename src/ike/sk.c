/*
 * Protected messages and fragments; see sk.h (RFC 7296 3.14, RFC 5282, RFC 7383).
 */
#include "src/ike/sk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GENERIC_HDR_LEN  4
#define FRAGMENT_HDR_LEN 4 /* fragment number (2), total (2) */
#define IV_MAX           16
#define UDP_HDR_LEN      8
#define MARKER_LEN       4 /* non-ESP marker, RFC 3948 2.2 */
#define MAC_TAIL_NONE    ((struct sl_bytes){ 0 })

enum sl_rc ike_sk_init(struct ike_sk *sk, const struct sl_suite *suite, bool seal,
                       const struct sl_secret *encr_key, const struct sl_secret *integ_key,
                       struct sl_err *err)
{
    struct sl_cipher *cipher = NULL;
    SL_TRY(sl_cipher_new(&cipher, suite, seal, sl_secret_bytes(encr_key),
                         integ_key ? sl_secret_bytes(integ_key) : (struct sl_bytes){ 0 }, err));
    *sk = (struct ike_sk){ .cipher = cipher, .suite = *suite, .seal = seal };
    return SL_OK;
}

void ike_sk_clear(struct ike_sk *sk)
{
    sl_cipher_free(sk->cipher);
    *sk = (struct ike_sk){ 0 };
}

/* ---- sending ---------------------------------------------------------------------------------------- */
void ike_datagrams_clear(struct ike_datagrams *d)
{
    sl_buf_clear(&d->buf);
    d->n = 0;
}

struct sl_bytes ike_datagram_get(const struct ike_datagrams *d, size_t i)
{
    size_t from = i ? d->end[i - 1] : 0;
    return sl_bytes(d->buf.p + from, d->end[i] - from);
}

bool ike_datagrams_plain(struct ike_datagrams *d, struct sl_bytes message)
{
    struct sl_buf copy = { 0 };
    if (!sl_buf_put(&copy, message))
        return false;
    ike_datagrams_clear(d);
    d->buf = copy;
    d->end[0] = copy.len;
    d->n = 1;
    return true;
}

/* How long the encrypted part (content, padding, pad length) of len bytes of content is. */
static size_t padded(const struct sl_suite *s, size_t len)
{
    size_t block = sl_suite_block_len(s);
    return (len + 1 + block - 1) / block * block;
}

/* Everything of a datagram around its encrypted part. */
static size_t overhead(const struct sl_suite *s, bool fragment)
{
    return IKE_HDR_LEN + GENERIC_HDR_LEN + (fragment ? (size_t)FRAGMENT_HDR_LEN : 0) +
           sl_suite_iv_len(s) + sl_suite_icv_len(s);
}

struct piece {
    uint8_t next; /* type of the first inner payload; 0 in later fragments */
    struct sl_bytes content;
    uint16_t number, total; /* 0: SK, else SKF */
};

/* Appends one sealed datagram. */
static bool seal_piece(struct ike_datagrams *out, struct ike_sk *sk, const struct ike_hdr *h,
                       const struct piece *piece, const struct sl_rng *rng)
{
    const struct sl_suite *suite = &sk->suite;
    bool fragment = piece->total > 0;
    size_t iv_len = sl_suite_iv_len(suite), icv_len = sl_suite_icv_len(suite);
    size_t encr_len = padded(suite, piece->content.len);
    size_t total = overhead(suite, fragment) + encr_len;
    size_t start = out->buf.len;
    struct ike_hdr hdr = *h;
    hdr.version = hdr.version ? hdr.version : IKE_VERSION_2;
    hdr.next = fragment ? IKE_P_SKF : IKE_P_SK;
    hdr.length = (uint32_t)total;

    struct sl_wr w = sl_wr_buf(&out->buf, SL_BUF_MAX);
    ike_hdr_write(&w, &hdr);
    sl_wr_u8(&w, piece->next);
    sl_wr_u8(&w, 0);
    sl_wr_u16(&w, (uint16_t)(total - IKE_HDR_LEN));
    if (fragment) {
        sl_wr_u16(&w, piece->number);
        sl_wr_u16(&w, piece->total);
    }
    size_t aad_len = sl_wr_len(&w) - start;
    uint8_t iv[IV_MAX];
    if (sl_suite_is_aead(suite)) {
        /* SPEC RFC5282-3.1 MUST: never an IV twice with one key */
        struct sl_wr counter = sl_wr_fixed(iv, sizeof(iv));
        sl_wr_u64(&counter, sk->iv++);
    } else {
        sl_rng_fill(rng, iv, iv_len); /* SPEC RFC7296-3.14 MUST: not to be guessed with CBC */
    }
    sl_wr_put(&w, sl_bytes(iv, iv_len));
    sl_wr_put(&w, piece->content);
    size_t pad = encr_len - piece->content.len - 1;
    sl_wr_zero(&w, pad);
    sl_wr_u8(&w, (uint8_t)pad);
    sl_wr_zero(&w, icv_len);
    if (!sl_wr_ok(&w))
        return false;
    uint8_t *p = out->buf.p + start, *encr = p + aad_len + iv_len;
    out->end[out->n++] = sl_wr_len(&w);
    return sl_cipher_seal(sk->cipher, sl_bytes(p, aad_len), p + aad_len, encr, encr_len,
                          MAC_TAIL_NONE, encr + encr_len);
}

/* Content bytes that fit into a fragment of a datagram of fragment_size; 0: none. */
static size_t fragment_room(const struct sl_suite *s, size_t message_max)
{
    size_t block = sl_suite_block_len(s), around = overhead(s, true);
    if (message_max < around + block)
        return 0;
    return (message_max - around) / block * block - 1;
}

enum sl_rc ike_sk_seal(struct ike_datagrams *out, struct ike_sk *sk, const struct ike_hdr *h,
                       uint8_t first, struct sl_bytes chain, uint16_t fragment_size, uint8_t family,
                       bool natt, const struct sl_rng *rng, struct sl_err *err)
{
    struct ike_datagrams made = { 0 };
    size_t around = (family == 6 ? 40U : 20U) + UDP_HDR_LEN + (natt ? MARKER_LEN : 0);
    size_t whole = overhead(&sk->suite, false) + padded(&sk->suite, chain.len);
    if (chain.len > IKE_MESSAGE_MAX || (fragment_size == 0 && whole + around > UINT16_MAX))
        return SL_FAIL(err, SL_TOO_LARGE, "message of %zu bytes is larger than %d", whole,
                       IKE_MESSAGE_MAX);
    size_t limit = fragment_size < IKE_FRAGMENT_SIZE_MIN ? IKE_FRAGMENT_SIZE_MIN : fragment_size;
    bool ok;
    if (fragment_size == 0 || whole + around <= limit) {
        const struct piece one = { .next = first, .content = chain };
        ok = seal_piece(&made, sk, h, &one, rng);
    } else {
        size_t room = fragment_room(&sk->suite, limit - around);
        size_t total = room ? (chain.len + room - 1) / room : SIZE_MAX;
        if (total > IKE_FRAGMENTS_MAX)
            return SL_FAIL(err, SL_TOO_LARGE,
                           "message of %zu bytes does not fit %d fragments of %zu bytes", whole,
                           IKE_FRAGMENTS_MAX, limit);
        ok = true;
        for (size_t i = 0; i < total && ok; i++) {
            const struct piece one = { .next = i ? IKE_P_NONE : first,
                                       .content = sl_bytes_slice(chain, i * room, room),
                                       .number = (uint16_t)(i + 1),
                                       .total = (uint16_t)total };
            ok = seal_piece(&made, sk, h, &one, rng);
        }
    }
    if (!ok) {
        sl_buf_wipe(&made.buf); /* content may stand in it in clear */
        return SL_FAIL(err, SL_CRYPTO, "message could not be sealed");
    }
    ike_datagrams_clear(out);
    *out = made;
    return SL_OK;
}

/* ---- receiving ------------------------------------------------------------------------------------------- */
void ike_reassembly_clear(struct ike_reassembly *ra)
{
    for (size_t i = 0; ra->part && i < ra->total; i++)
        sl_buf_wipe(&ra->part[i]);
    free(ra->part);
    *ra = (struct ike_reassembly){ 0 };
}

/*
 * Checks and decrypts the content of an SK or SKF payload whose IV starts at `at` in the datagram;
 * *out must be empty.
 */
static enum sl_rc open_content(struct sl_buf *out, struct ike_sk *sk, struct sl_bytes raw,
                               size_t at, struct sl_err *err)
{
    const struct sl_suite *suite = &sk->suite;
    size_t iv_len = sl_suite_iv_len(suite), icv_len = sl_suite_icv_len(suite);
    size_t block = sl_suite_block_len(suite);
    struct sl_rd r = sl_rd(sl_bytes_slice(raw, at, raw.len));
    struct sl_bytes iv = sl_rd_take(&r, iv_len);
    size_t left = sl_rd_left(&r);
    if (!sl_rd_ok(&r) || left < icv_len + block || (left - icv_len) % block)
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "encrypted payload of %zu bytes is too short or no whole number of blocks",
                       raw.len - at);
    struct sl_bytes encr = sl_rd_take(&r, left - icv_len), icv = sl_rd_take(&r, icv_len);
    if (!sl_buf_put(out, encr))
        return SL_FAIL_MEM(err);
    if (!sl_cipher_open(sk->cipher, sl_bytes(raw.p, at), iv.p, out->p, out->len, MAC_TAIL_NONE,
                        icv.p))
        return SL_FAIL(err, SL_IKE_INTEGRITY, "integrity check of the encrypted payload failed");
    /* SPEC RFC7296-3.14 MUST: any padding content is taken; its length must fit */
    size_t pad = out->p[out->len - 1];
    if (pad + 1 > out->len)
        return SL_FAIL(err, SL_IKE_MALFORMED, "padding of %zu bytes in %zu", pad, out->len);
    out->len -= pad + 1;
    return SL_OK;
}

/* Makes ra ready for a fragment of h among total, forgetting what was there for others. */
static bool start(struct ike_reassembly *ra, const struct ike_hdr *h, uint16_t total)
{
    if (ra->part && ra->id == h->id && ra->exchange == h->exchange && ra->flags == h->flags &&
        ra->total == total)
        return true;
    ike_reassembly_clear(ra);
    ra->part = calloc(total, sizeof(*ra->part));
    if (!ra->part)
        return false;
    ra->id = h->id;
    ra->exchange = h->exchange;
    ra->flags = h->flags;
    ra->total = total;
    return true;
}

/* All fragments are here: joined into *plain. */
static bool join(struct ike_reassembly *ra, struct sl_buf *plain, uint8_t *first)
{
    struct sl_buf all = { 0 };
    bool ok = sl_buf_reserve(&all, ra->bytes);
    for (size_t i = 0; i < ra->total && ok; i++)
        ok = sl_buf_put(&all, sl_buf_bytes(&ra->part[i]));
    if (!ok) {
        sl_buf_wipe(&all);
        return false;
    }
    *first = ra->first;
    sl_buf_wipe(plain);
    *plain = all;
    ike_reassembly_clear(ra);
    return true;
}

static enum sl_rc open_fragment(enum ike_opened *what, struct ike_sk *sk,
                                const struct ike_message *m, const struct ike_payload *skf,
                                size_t at, struct ike_reassembly *ra, struct sl_buf *plain,
                                uint8_t *first, struct sl_err *err)
{
    struct sl_rd r = sl_rd(skf->body);
    uint16_t number = sl_rd_u16(&r), total = sl_rd_u16(&r);
    if (!sl_rd_ok(&r) || number == 0 || number > total)
        return SL_FAIL(err, SL_IKE_MALFORMED, "fragment %u of %u", number, total);
    if (total > IKE_FRAGMENTS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "message in %u fragments, at most %d are taken", total,
                       IKE_FRAGMENTS_MAX);
    bool same = ra->part && ra->id == m->hdr.id && ra->exchange == m->hdr.exchange &&
                ra->flags == m->hdr.flags;
    /*
     * SPEC RFC7383-2.6 MUST: a fragment that is here already is dropped before the cipher's work, and
     * one of a split into fewer parts than now being put together belongs to an older sending
     */
    if (same && (total < ra->total || (total == ra->total && ra->part[number - 1].p))) {
        *what = IKE_OPENED_AGAIN;
        return SL_OK;
    }
    struct sl_buf content = { 0 };
    enum sl_rc rc = open_content(&content, sk, m->raw, at + FRAGMENT_HDR_LEN, err);
    /* nothing of ra changes before this point: the fragment is authentic */
    if (rc == SL_OK && !start(ra, &m->hdr, total))
        rc = SL_FAIL_MEM(err);
    if (rc == SL_OK && ra->bytes + content.len > IKE_MESSAGE_MAX) {
        ike_reassembly_clear(ra);
        rc = SL_FAIL(err, SL_TOO_LARGE, "fragments make a message of more than %d bytes",
                     IKE_MESSAGE_MAX);
    }
    if (rc != SL_OK) {
        sl_buf_wipe(&content);
        return rc;
    }
    assert(ra->part && number <= ra->total);
    ra->bytes += content.len;
    ra->part[number - 1] = content;
    if (number == 1)
        ra->first = skf->next; /* SPEC RFC7383-2.5 MUST: only the first fragment names it */
    *what = IKE_OPENED_PART;
    if (++ra->have < ra->total)
        return SL_OK;
    if (!join(ra, plain, first)) {
        ike_reassembly_clear(ra); /* so that the peer's next sending finds room */
        return SL_FAIL_MEM(err);
    }
    *what = IKE_OPENED;
    return SL_OK;
}

enum sl_rc ike_sk_open(enum ike_opened *what, struct ike_sk *sk, const struct ike_message *m,
                       struct ike_reassembly *ra, struct sl_buf *plain, uint8_t *first,
                       struct sl_err *err)
{
    const struct ike_payload *last = m->list.n ? &m->list.p[m->list.n - 1] : NULL;
    uint64_t encrypted = IKE_BIT(IKE_P_SK) | IKE_BIT(IKE_P_SKF);
    if (!last || (last->type != IKE_P_SK && last->type != IKE_P_SKF))
        return SL_FAIL(err, SL_IKE_MALFORMED, "message is not encrypted");
    if (ike_payloads_set(&m->list) & ~encrypted)
        return SL_FAIL(err, SL_IKE_MALFORMED, "payloads in clear before the encrypted one");
    size_t at = m->raw.len - last->body.len; /* the last payload ends the message */
    if (last->type == IKE_P_SKF)
        return open_fragment(what, sk, m, last, at, ra, plain, first, err);
    struct sl_buf content = { 0 };
    enum sl_rc rc = open_content(&content, sk, m->raw, at, err);
    if (rc != SL_OK) {
        sl_buf_wipe(&content);
        return rc;
    }
    ike_reassembly_clear(ra); /* the peer sent it whole after all */
    sl_buf_wipe(plain);
    *plain = content;
    *first = last->next;
    *what = IKE_OPENED;
    return SL_OK;
}
