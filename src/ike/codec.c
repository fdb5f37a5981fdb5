/*
 * IKEv2 header and chain of payloads: reading, writing, which payloads a message may hold, names
 * (RFC 7296 3.1, 3.2, 2.5). Bodies are in payload.c.
 */
#include "src/ike/codec.h"

#include <stdio.h>

#define GENERIC_HDR_LEN 4
#define CRITICAL        0x80

/* The types of RFC 7296 and RFC 7383: the critical bit means nothing on these (RFC 7296 2.5). */
static const uint64_t known_types =
    (IKE_BIT(IKE_P_EAP + 1) - IKE_BIT(IKE_P_SA)) | IKE_BIT(IKE_P_SKF);
static const uint64_t repeatable = IKE_BIT(IKE_P_CERT) | IKE_BIT(IKE_P_CERTREQ) | IKE_BIT(IKE_P_N) |
                                   IKE_BIT(IKE_P_D) | IKE_BIT(IKE_P_V);

static bool is_known(uint8_t type)
{
    return type < 64 && (known_types & IKE_BIT(type));
}

/* ---- header --------------------------------------------------------------------------------- */
/*
 * RFC 7296 3.1: SPIi (8), SPIr (8), Next Payload (1), version (1), exchange (1), flags (1),
 * message ID (4), length (4)
 */
bool ike_hdr_read(struct ike_hdr *h, struct sl_rd *r)
{
    sl_rd_copy(r, h->spi_i, IKE_SPI_LEN);
    sl_rd_copy(r, h->spi_r, IKE_SPI_LEN);
    h->next = sl_rd_u8(r);
    h->version = sl_rd_u8(r);
    h->exchange = sl_rd_u8(r);
    h->flags = sl_rd_u8(r);
    h->id = sl_rd_u32(r);
    h->length = sl_rd_u32(r);
    return sl_rd_ok(r);
}

void ike_hdr_write(struct sl_wr *w, const struct ike_hdr *h)
{
    sl_wr_put(w, sl_bytes(h->spi_i, IKE_SPI_LEN));
    sl_wr_put(w, sl_bytes(h->spi_r, IKE_SPI_LEN));
    sl_wr_u8(w, h->next);
    sl_wr_u8(w, h->version);
    sl_wr_u8(w, h->exchange);
    sl_wr_u8(w, h->flags);
    sl_wr_u32(w, h->id);
    sl_wr_u32(w, h->length);
}

/* ---- chain ------------------------------------------------------------------------------------ */
/*
 * Each payload: Next Payload (1), critical bit and RESERVED (1), length with these four (2), body.
 * outer: SK and SKF may come, as the last; their Next Payload belongs to the chain inside.
 */
static enum sl_rc read_chain(struct ike_payloads *list, uint8_t type, struct sl_rd *r, bool outer,
                             struct sl_err *err)
{
    char name[IKE_TEXT];
    list->n = 0;
    list->unsupported = 0;
    while (type != IKE_P_NONE) {
        if (list->n == IKE_PAYLOADS_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "message has more than %d payloads",
                           IKE_PAYLOADS_MAX);
        struct ike_payload *p = &list->p[list->n];
        p->type = type;
        p->next = sl_rd_u8(r);
        p->critical = (sl_rd_u8(r) & CRITICAL) != 0;
        size_t len = sl_rd_u16(r);
        if (!sl_rd_ok(r) || len < GENERIC_HDR_LEN)
            return SL_FAIL(err, SL_IKE_MALFORMED, "payload %zu (%s): no whole generic header",
                           list->n + 1, ike_payload_text(name, type));
        p->body = sl_rd_take(r, len - GENERIC_HDR_LEN);
        if (!sl_rd_ok(r))
            return SL_FAIL(err, SL_IKE_MALFORMED,
                           "payload %zu (%s): its length %zu goes past the end", list->n + 1,
                           ike_payload_text(name, type), len);
        list->n++;
        if (type == IKE_P_SK || type == IKE_P_SKF) {
            if (!outer)
                return SL_FAIL(err, SL_IKE_MALFORMED, "%s inside an encrypted payload",
                               ike_payload_text(name, type));
            break; /* SPEC RFC7296-3.14 MUST: the encrypted payload is the last one */
        }
        if (p->critical && !is_known(type) && !list->unsupported)
            list->unsupported = type;
        type = p->next;
    }
    if (!sl_rd_done(r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "%zu bytes after the last payload", sl_rd_left(r));
    if (list->unsupported) /* SPEC RFC7296-2.5 MUST: such a message is rejected */
        return SL_FAIL(err, SL_IKE_CRITICAL_PAYLOAD,
                       "payload of unknown type %u is marked critical (RFC 7296 2.5)",
                       list->unsupported);
    return SL_OK;
}

enum sl_rc ike_message_read(struct ike_message *m, struct sl_bytes datagram, struct sl_err *err)
{
    static const uint8_t zero[IKE_SPI_LEN];
    struct sl_rd r = sl_rd(datagram);
    m->raw = datagram;
    m->list.n = 0;
    m->list.unsupported = 0;
    if (!ike_hdr_read(&m->hdr, &r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "datagram of %zu bytes is shorter than an IKE header",
                       datagram.len);
    /* SPEC RFC7296-2.5 MUST: a higher minor version is taken, another major one is not */
    if (m->hdr.version >> 4 != IKE_VERSION_2 >> 4)
        return SL_FAIL(err, SL_IKE_VERSION, "IKE version %u.%u, expected 2.0", m->hdr.version >> 4,
                       m->hdr.version & 15);
    if (m->hdr.length != datagram.len)
        return SL_FAIL(err, SL_IKE_MALFORMED, "header says %u bytes, the datagram has %zu",
                       m->hdr.length, datagram.len);
    /* SPEC RFC7296-3.1 MUST: the initiator's SPI is not zero */
    if (sl_bytes_eq(sl_bytes(m->hdr.spi_i, IKE_SPI_LEN), sl_bytes(zero, IKE_SPI_LEN)))
        return SL_FAIL(err, SL_IKE_MALFORMED, "initiator's SPI is zero (RFC 7296 3.1)");
    return read_chain(&m->list, m->hdr.next, &r, true, err);
}

enum sl_rc ike_payloads_read(struct ike_payloads *list, uint8_t first, struct sl_bytes chain,
                             struct sl_err *err)
{
    struct sl_rd r = sl_rd(chain);
    return read_chain(list, first, &r, false, err);
}

const struct ike_payload *ike_payloads_next(const struct ike_payloads *list, uint8_t type,
                                            const struct ike_payload *prev)
{
    for (size_t i = prev ? (size_t)(prev - list->p) + 1 : 0; i < list->n; i++)
        if (list->p[i].type == type)
            return &list->p[i];
    return NULL;
}

const struct ike_payload *ike_payloads_find(const struct ike_payloads *list, uint8_t type)
{
    return ike_payloads_next(list, type, NULL);
}

size_t ike_payloads_count(const struct ike_payloads *list, uint8_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->p[i].type == type;
    return n;
}

uint64_t ike_payloads_set(const struct ike_payloads *list)
{
    uint64_t set = 0;
    for (size_t i = 0; i < list->n; i++)
        if (is_known(list->p[i].type))
            set |= IKE_BIT(list->p[i].type);
    return set;
}

enum sl_rc ike_payloads_check(const struct ike_payloads *list, uint64_t need, uint64_t may,
                              const char *what, struct sl_err *err)
{
    char name[IKE_TEXT];
    uint64_t seen = 0, allowed = need | may | IKE_BIT(IKE_P_N) | IKE_BIT(IKE_P_V);
    for (size_t i = 0; i < list->n; i++) {
        uint8_t type = list->p[i].type;
        if (!is_known(type))
            continue;
        if (!(allowed & IKE_BIT(type)))
            return SL_FAIL(err, SL_IKE_MALFORMED, "%s has a payload %s, which it may not", what,
                           ike_payload_text(name, type));
        if (seen & IKE_BIT(type) & ~repeatable)
            return SL_FAIL(err, SL_IKE_MALFORMED, "%s has more than one payload %s", what,
                           ike_payload_text(name, type));
        seen |= IKE_BIT(type);
    }
    for (uint8_t type = 0; type < 64; type++)
        if (need & ~seen & IKE_BIT(type))
            return SL_FAIL(err, SL_IKE_MALFORMED, "%s lacks the payload %s", what,
                           ike_payload_text(name, type));
    return SL_OK;
}

/* ---- writing ---------------------------------------------------------------------------------- */
#define HDR_NEXT_AT   16
#define HDR_LENGTH_AT 24

static struct ike_wr begin(struct sl_buf *buf)
{
    size_t max = 0;
    if (!sl_add(buf->len, IKE_MESSAGE_MAX, &max))
        max = buf->len;
    return (struct ike_wr){ .w = sl_wr_buf(buf, max), .start = buf->len, .link = SIZE_MAX };
}

struct ike_wr ike_wr_message(struct sl_buf *buf, const struct ike_hdr *h)
{
    struct ike_wr c = begin(buf);
    struct ike_hdr hdr = *h;
    hdr.next = IKE_P_NONE;
    if (!hdr.version)
        hdr.version = IKE_VERSION_2;
    ike_hdr_write(&c.w, &hdr);
    c.has_hdr = true;
    c.link = c.start + HDR_NEXT_AT;
    c.link_second = hdr.version;
    return c;
}

struct ike_wr ike_wr_chain(struct sl_buf *buf)
{
    return begin(buf);
}

static size_t open_payload(struct ike_wr *c, uint8_t type, bool critical)
{
    /* the byte beside the last Next Payload field is written again, as the writer patches pairs */
    if (c->link != SIZE_MAX)
        sl_wr_patch16(&c->w, c->link, (uint16_t)(type << 8 | c->link_second));
    if (!c->first)
        c->first = type;
    c->link = c->w.len;
    c->link_second = critical ? CRITICAL : 0;
    sl_wr_u8(&c->w, IKE_P_NONE);
    sl_wr_u8(&c->w, c->link_second);
    return sl_wr_open16(&c->w);
}

size_t ike_wr_open(struct ike_wr *c, uint8_t type)
{
    return open_payload(c, type, false);
}

void ike_wr_close(struct ike_wr *c, size_t mark)
{
    /* the length counts the generic header, of which all but two bytes come before the mark's end */
    size_t n = c->w.bad ? 0 : c->w.len - mark - 2 + GENERIC_HDR_LEN;
    if (n > UINT16_MAX)
        c->w.bad = true;
    sl_wr_patch16(&c->w, mark, (uint16_t)n);
}

void ike_wr_payload(struct ike_wr *c, uint8_t type, bool critical, struct sl_bytes body)
{
    size_t mark = open_payload(c, type, critical);
    sl_wr_put(&c->w, body);
    ike_wr_close(c, mark);
}

bool ike_wr_end(struct ike_wr *c)
{
    if (c->has_hdr)
        sl_wr_patch32(&c->w, c->start + HDR_LENGTH_AT, (uint32_t)(c->w.len - c->start));
    return sl_wr_ok(&c->w);
}

/* ---- names -------------------------------------------------------------------------------------- */
const char *ike_exchange_text(char out[IKE_TEXT], uint8_t exchange)
{
    switch (exchange) {
    case IKE_SA_INIT:
        return "IKE_SA_INIT";
    case IKE_AUTH:
        return "IKE_AUTH";
    case IKE_CREATE_CHILD_SA:
        return "CREATE_CHILD_SA";
    case IKE_INFORMATIONAL:
        return "INFORMATIONAL";
    case IKE_SESSION_RESUME:
        return "IKE_SESSION_RESUME";
    case IKE_INTERMEDIATE:
        return "IKE_INTERMEDIATE";
    case IKE_FOLLOWUP_KE:
        return "IKE_FOLLOWUP_KE";
    default:
        (void)snprintf(out, IKE_TEXT, "exchange %u", exchange);
        return out;
    }
}

const char *ike_payload_text(char out[IKE_TEXT], uint8_t type)
{
    static const char *const names[] = { "SA",   "KE",    "IDi", "IDr", "CERT", "CERTREQ",
                                         "AUTH", "Nonce", "N",   "D",   "V",    "TSi",
                                         "TSr",  "SK",    "CP",  "EAP" };
    if (type >= IKE_P_SA && type - IKE_P_SA < (int)SL_ARRAY_LEN(names))
        return names[type - IKE_P_SA];
    if (type == IKE_P_SKF)
        return "SKF";
    (void)snprintf(out, IKE_TEXT, "payload %u", type);
    return out;
}

const char *ike_notify_text(char out[IKE_TEXT], uint16_t type)
{
    switch (type) {
#define NOTIFY_NAME(name, number) \
    case number:                  \
        return #name;
        IKE_NOTIFIES(NOTIFY_NAME)
#undef NOTIFY_NAME
    default:
        (void)snprintf(out, IKE_TEXT, "notify %u", type);
        return out;
    }
}
