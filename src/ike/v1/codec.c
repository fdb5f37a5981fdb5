/*
 * IKEv1 header and chain of payloads: reading, which payloads a message may hold, names (RFC 2408
 * 3.1, 3.2). Bodies are in payload.c.
 */
#include "src/ike/v1/codec.h"

#include <stdio.h>

#define GENERIC_HDR_LEN 4
#define PRIVATE_USE     128 /* payload types from here are private (RFC 2408 3.1) */

/* ---- chain ------------------------------------------------------------------------------------- */
/* Each payload: Next Payload (1), RESERVED (1), length with these four (2), body. */
static enum sl_rc read_payload(struct ike_payload *p, uint8_t type, size_t number, struct sl_rd *r,
                               struct sl_err *err)
{
    char name[IKE_TEXT];
    p->type = type;
    p->next = sl_rd_u8(r);
    p->critical = false;
    sl_rd_skip(r, 1); /* RESERVED: peers have been seen to fill it */
    size_t len = sl_rd_u16(r);
    if (!sl_rd_ok(r) || len < GENERIC_HDR_LEN)
        return SL_FAIL(err, SL_IKE_MALFORMED, "payload %zu (%s): no whole generic header", number,
                       v1_payload_text(name, type));
    p->body = sl_rd_take(r, len - GENERIC_HDR_LEN);
    if (!sl_rd_ok(r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "payload %zu (%s): its length %zu goes past the end",
                       number, v1_payload_text(name, type), len);
    return SL_OK;
}

static enum sl_rc read_chain(struct ike_payloads *list, uint8_t type, struct sl_rd *r, bool padded,
                             struct sl_err *err)
{
    list->n = 0;
    list->unsupported = 0;
    while (type != V1_P_NONE) {
        if (list->n == IKE_PAYLOADS_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "message has more than %d payloads",
                           IKE_PAYLOADS_MAX);
        struct ike_payload *p = &list->p[list->n];
        SL_TRY(read_payload(p, type, list->n + 1, r, err));
        list->n++;
        type = p->next;
    }
    if (!padded && !sl_rd_done(r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "%zu bytes after the last payload", sl_rd_left(r));
    return SL_OK;
}

enum sl_rc v1_message_read(struct v1_message *m, struct sl_bytes datagram, struct sl_err *err)
{
    static const uint8_t zero[V1_COOKIE_LEN];
    struct sl_rd r = sl_rd(datagram);
    m->raw = datagram;
    m->body = (struct sl_bytes){ 0 };
    m->list.n = 0;
    m->list.unsupported = 0;
    if (!ike_hdr_read(&m->hdr, &r))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "datagram of %zu bytes is shorter than an ISAKMP header", datagram.len);
    if (m->hdr.version >> 4 != V1_VERSION >> 4)
        return SL_FAIL(err, SL_IKE_VERSION, "IKE version %u.%u, expected 1.0", m->hdr.version >> 4,
                       m->hdr.version & 15);
    if (m->hdr.length != datagram.len)
        return SL_FAIL(err, SL_IKE_MALFORMED, "header says %u bytes, the datagram has %zu",
                       m->hdr.length, datagram.len);
    if (sl_bytes_eq(sl_bytes(m->hdr.spi_i, V1_COOKIE_LEN), sl_bytes(zero, V1_COOKIE_LEN)))
        return SL_FAIL(err, SL_IKE_MALFORMED, "initiator's cookie is zero (RFC 2408 2.5.3)");
    m->body = sl_bytes_slice(datagram, IKE_HDR_LEN, datagram.len);
    if (v1_is_encrypted(&m->hdr))
        return SL_OK;
    /* SPEC RFC2408-3.1 MUST: the length covers header and payloads, so nothing may follow */
    return read_chain(&m->list, m->hdr.next, &r, false, err);
}

enum sl_rc v1_payloads_read(struct ike_payloads *list, uint8_t first, struct sl_bytes chain,
                            struct sl_err *err)
{
    struct sl_rd r = sl_rd(chain);
    return read_chain(list, first, &r, true, err);
}

/* ---- which payloads a message may hold ----------------------------------------------------------- */
#define REPEATABLE                                                                              \
    (V1_BIT(V1_P_CERT) | V1_BIT(V1_P_CR) | V1_BIT(V1_P_N) | V1_BIT(V1_P_D) | V1_BIT(V1_P_VID) | \
     V1_BIT(V1_P_NAT_D) | V1_BIT(V1_P_NAT_OA))

/* The bit a type counts under; 0: none of ours. */
static uint32_t bit_of(uint8_t type)
{
    if (v1_is_natd(type))
        return V1_BIT(V1_P_NAT_D);
    if (type == V1_P_NAT_OA_DRAFT || type == V1_P_NAT_OA_DRAFT4)
        return V1_BIT(V1_P_NAT_OA);
    return type <= V1_P_NAT_OA ? V1_BIT(type) : 0;
}

enum sl_rc v1_payloads_check(const struct ike_payloads *list, uint32_t need, uint32_t may,
                             const char *what, struct sl_err *err)
{
    char name[IKE_TEXT];
    uint32_t seen = 0, allowed = need | may | V1_BIT(V1_P_N) | V1_BIT(V1_P_VID);
    size_t ids = 0;
    for (size_t i = 0; i < list->n; i++) {
        uint8_t type = list->p[i].type;
        uint32_t bit = bit_of(type);
        if (!bit && type >= PRIVATE_USE)
            continue;
        if (!(allowed & bit))
            return SL_FAIL(err, SL_IKE_MALFORMED, "%s has a payload %s, which it may not", what,
                           v1_payload_text(name, type));
        bool again = type == V1_P_ID ? ++ids > 2 : (seen & bit & ~REPEATABLE) != 0;
        if (again)
            return SL_FAIL(err, SL_IKE_MALFORMED, "%s has too many payloads %s", what,
                           v1_payload_text(name, type));
        seen |= bit;
    }
    for (unsigned type = 1; type <= V1_P_NAT_OA; type++)
        if (need & ~seen & V1_BIT(type))
            return SL_FAIL(err, SL_IKE_MALFORMED, "%s lacks the payload %s", what,
                           v1_payload_text(name, (uint8_t)type));
    return SL_OK;
}

struct sl_bytes v1_after_first(const struct ike_payloads *list)
{
    if (list->n < 2)
        return (struct sl_bytes){ 0 };
    /* the views are parts of one chain, in order */
    const struct sl_bytes last = list->p[list->n - 1].body;
    const uint8_t *from = list->p[0].body.p + list->p[0].body.len;
    return sl_bytes(from, (size_t)(last.p + last.len - from));
}

/* ---- names --------------------------------------------------------------------------------------- */
const char *v1_exchange_text(char out[IKE_TEXT], uint8_t exchange)
{
    switch (exchange) {
    case V1_MAIN:
        return "main mode";
    case V1_AUTH_ONLY:
        return "authentication only";
    case V1_AGGRESSIVE:
        return "aggressive mode";
    case V1_INFORMATIONAL:
        return "informational";
    case V1_TRANSACTION:
        return "transaction";
    case V1_QUICK:
        return "quick mode";
    case V1_NEW_GROUP:
        return "new group mode";
    default:
        (void)snprintf(out, IKE_TEXT, "exchange %u", exchange);
        return out;
    }
}

const char *v1_payload_text(char out[IKE_TEXT], uint8_t type)
{
    static const char *const names[] = { "none", "SA",  "P",     "T", "KE", "ID",  "CERT", "CR",
                                         "HASH", "SIG", "NONCE", "N", "D",  "VID", "ATTR" };
    if (type < SL_ARRAY_LEN(names))
        return names[type];
    switch (type) {
    case V1_P_NAT_D:
        return "NAT-D";
    case V1_P_NAT_OA:
        return "NAT-OA";
    case V1_P_NAT_D_DRAFT:
    case V1_P_NAT_D_DRAFT4:
        return "NAT-D (draft)";
    case V1_P_NAT_OA_DRAFT:
    case V1_P_NAT_OA_DRAFT4:
        return "NAT-OA (draft)";
    case V1_P_FRAGMENT:
        return "fragment";
    default:
        (void)snprintf(out, IKE_TEXT, "payload %u", type);
        return out;
    }
}

const char *v1_notify_text(char out[IKE_TEXT], uint16_t type)
{
    const char *name = NULL;
    switch (type) {
#define NOTIFY_NAME(n, number) \
    case number:               \
        name = #n;             \
        break;
        V1_NOTIFIES(NOTIFY_NAME)
#undef NOTIFY_NAME
    default:
        (void)snprintf(out, IKE_TEXT, "notify %u", type);
        return out;
    }
    /* the RFCs write these with hyphens */
    size_t i = 0;
    for (; name[i] && i + 1 < IKE_TEXT; i++)
        out[i] = name[i] == '_' ? '-' : name[i];
    out[i] = 0;
    return out;
}

/* ---- vendor IDs ------------------------------------------------------------------------------------ */
static const struct {
    uint8_t len;   /* bytes that are compared */
    uint8_t extra; /* bytes of options or version that may follow */
    uint8_t id[16];
} vids[V1_VID_COUNT] = {
    [V1_VID_NATT] = { 16,
                      0,
                      { 0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2,
                        0x0e, 0x95, 0x45, 0x2f } },
    [V1_VID_NATT_03] = { 16,
                         0,
                         { 0x7d, 0x94, 0x19, 0xa6, 0x53, 0x10, 0xca, 0x6f, 0x2c, 0x17, 0x9d, 0x92,
                           0x15, 0x52, 0x9d, 0x56 } },
    [V1_VID_NATT_02N] = { 16,
                          0,
                          { 0x90, 0xcb, 0x80, 0x91, 0x3e, 0xbb, 0x69, 0x6e, 0x08, 0x63, 0x81, 0xb5,
                            0xec, 0x42, 0x7b, 0x1f } },
    [V1_VID_NATT_02] = { 16,
                         0,
                         { 0xcd, 0x60, 0x46, 0x43, 0x35, 0xdf, 0x21, 0xf8, 0x7c, 0xfd, 0xb2, 0xfc,
                           0x68, 0xb6, 0xa4, 0x48 } },
    /* the last two bytes are the version; 1.0 is the only one there has been (RFC 3706 5.1) */
    [V1_VID_DPD] = { 16,
                     0,
                     { 0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77,
                       0x57, 0x01, 0x00 } },
    [V1_VID_XAUTH] = { 8, 0, { 0x09, 0x00, 0x26, 0x89, 0xdf, 0xd6, 0xb7, 0x12 } },
    /* flags follow that tell in which modes; all who send it take fragments */
    [V1_VID_FRAGMENTATION] = { 16,
                               4,
                               { 0x40, 0x48, 0xb7, 0xd5, 0x6e, 0xbc, 0xe8, 0x85, 0x25, 0xe7, 0xde,
                                 0x7f, 0x00, 0xd6, 0xc2, 0xd3 } },
    /* major and minor version follow */
    [V1_VID_UNITY] = { 14,
                       2,
                       { 0x12, 0xf5, 0xf2, 0x8c, 0x45, 0x71, 0x68, 0xa9, 0x70, 0x2d, 0x9f, 0xe2,
                         0x74, 0xcc } },
};

enum v1_vid v1_vid_find(struct sl_bytes body)
{
    for (unsigned i = 0; i < V1_VID_COUNT; i++)
        if (body.len >= vids[i].len && body.len <= (size_t)vids[i].len + vids[i].extra &&
            sl_bytes_eq(sl_bytes_slice(body, 0, vids[i].len), sl_bytes(vids[i].id, vids[i].len)))
            return (enum v1_vid)i;
    return V1_VID_COUNT;
}

uint32_t v1_vids(const struct ike_payloads *list)
{
    uint32_t set = 0;
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, V1_P_VID, p));) {
        enum v1_vid vid = v1_vid_find(p->body);
        if (vid != V1_VID_COUNT)
            set |= 1U << vid;
    }
    return set;
}

void v1_put_vid(struct ike_wr *c, enum v1_vid vid)
{
    size_t mark = ike_wr_open(c, V1_P_VID);
    sl_wr_put(&c->w, sl_bytes(vids[vid].id, vids[vid].len));
    if (vid == V1_VID_FRAGMENTATION)
        sl_wr_u32(&c->w, 0xc0000000); /* main and aggressive mode */
    if (vid == V1_VID_UNITY)
        sl_wr_u16(&c->w, 0x0100);
    ike_wr_close(c, mark);
}

uint8_t v1_natd_type(uint32_t set)
{
    if (set & 1U << V1_VID_NATT)
        return V1_P_NAT_D;
    if (set & (1U << V1_VID_NATT_03 | 1U << V1_VID_NATT_02N | 1U << V1_VID_NATT_02))
        return V1_P_NAT_D_DRAFT;
    return 0;
}

bool v1_is_natd(uint8_t type)
{
    return type == V1_P_NAT_D || type == V1_P_NAT_D_DRAFT || type == V1_P_NAT_D_DRAFT4;
}
