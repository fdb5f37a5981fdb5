/*
 * IKEv1 SA payloads: reading, writing, choosing; see proposal.h. Names and the mapping of numbers are
 * in numbers.c.
 */
#include "src/ike/v1/numbers.h"

#include <stdio.h>
#include <string.h>

#define PROPOSAL_HDR_LEN  8
#define TRANSFORM_HDR_LEN 8
#define SPI_MAX           16
#define SITUATION_ID_ONLY 1
#define ISAKMP_KEY_IKE    1 /* the one transform of phase 1 */
#define NOT_FOUND         SIZE_MAX

/* ---- reading ------------------------------------------------------------------------------------ */
/*
 * RFC 2408 3.6: next (1), RESERVED (1), length (2), number (1), ID (1), RESERVED2 (2), attributes. The
 * next field is left to the length: peers have set it to odd values.
 */
static bool read_transform(struct v1_transform *t, struct sl_rd *r)
{
    sl_rd_skip(r, 2);
    size_t len = sl_rd_u16(r);
    if (!sl_rd_ok(r) || len < TRANSFORM_HDR_LEN)
        return false;
    struct sl_rd body = sl_rd(sl_rd_take(r, len - 4));
    t->number = sl_rd_u8(&body);
    t->id = sl_rd_u8(&body);
    sl_rd_skip(&body, 2);
    t->attrs = sl_rd_rest(&body);
    struct sl_rd attrs = sl_rd(t->attrs);
    size_t n = 0;
    for (struct v1_attr a; v1_attr_next(&a, &attrs);)
        n++;
    return sl_rd_ok(r) && sl_rd_done(&body) && sl_rd_done(&attrs) && n <= V1_ATTRS_MAX;
}

bool v1_transform_next(struct v1_transform *t, struct sl_rd *r)
{
    return sl_rd_left(r) > 0 && read_transform(t, r);
}

/* RFC 2408 3.5: next (1), RESERVED (1), length (2), number (1), protocol (1), SPI size (1), count (1), SPI */
static enum sl_rc read_proposal(struct v1_proposal *p, struct sl_rd *r, struct sl_err *err)
{
    sl_rd_skip(r, 2);
    size_t len = sl_rd_u16(r);
    if (!sl_rd_ok(r) || len < PROPOSAL_HDR_LEN)
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: no whole proposal header");
    struct sl_rd body = sl_rd(sl_rd_take(r, len - 4));
    if (!sl_rd_ok(r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal length %zu goes past the end", len);
    p->number = sl_rd_u8(&body);
    p->protocol = sl_rd_u8(&body);
    size_t spi_len = sl_rd_u8(&body);
    p->n = sl_rd_u8(&body);
    p->spi = sl_rd_take(&body, spi_len);
    p->body = sl_rd_rest(&body);
    bool four = p->protocol == V1_PROTO_ESP || p->protocol == V1_PROTO_AH;
    if (!sl_rd_done(&body) || spi_len > SPI_MAX || (four && spi_len != 4))
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal %u: SPI of %zu bytes with protocol %u",
                       p->number, spi_len, p->protocol);
    if (p->n > V1_TRANSFORMS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "SA: proposal %u has more than %d transforms", p->number,
                       V1_TRANSFORMS_MAX);
    struct sl_rd transforms = sl_rd(p->body);
    struct v1_transform t;
    size_t n = 0;
    for (; sl_rd_left(&transforms) > 0; n++)
        if (!read_transform(&t, &transforms))
            return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal %u: transform %zu is malformed",
                           p->number, n + 1);
    if (n == 0 || n != p->n)
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal %u says %zu transforms and has %zu",
                       p->number, p->n, n);
    return SL_OK;
}

/* RFC 2407 4.6.1: DOI (4), situation (4), proposals */
enum sl_rc v1_sa_read(struct v1_sa *sa, struct sl_bytes body, struct sl_err *err)
{
    struct sl_rd r = sl_rd(body);
    uint32_t doi = sl_rd_u32(&r), situation = sl_rd_u32(&r);
    sa->n = 0;
    if (!sl_rd_ok(&r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: no whole header");
    if (doi != V1_DOI_IPSEC || situation != SITUATION_ID_ONLY)
        return SL_FAIL(err, SL_UNSUPPORTED,
                       "SA: DOI %u with situation %u, expected 1 and 1 (RFC 2407 4.6.1)", doi,
                       situation);
    while (sl_rd_left(&r) > 0) {
        if (sa->n == V1_PROPOSALS_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "SA has more than %d proposals", V1_PROPOSALS_MAX);
        SL_TRY(read_proposal(&sa->p[sa->n], &r, err));
        sa->n++;
    }
    if (sa->n == 0)
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA has no proposal");
    return SL_OK;
}

/* ---- writing ------------------------------------------------------------------------------------- */
/* Where lengths and counts of an open proposal stand. */
struct open {
    size_t sa, proposal, last; /* last: offset of the last transform, NOT_FOUND: none */
    unsigned n;
};

static struct open open_sa(struct ike_wr *c, uint8_t number, uint8_t protocol, struct sl_bytes spi)
{
    struct open o = { .sa = ike_wr_open(c, V1_P_SA), .last = NOT_FOUND };
    sl_wr_u32(&c->w, V1_DOI_IPSEC);
    sl_wr_u32(&c->w, SITUATION_ID_ONLY);
    o.proposal = c->w.len;
    sl_wr_u16(&c->w, 0);
    sl_wr_u16(&c->w, 0); /* length, filled in by close_sa */
    sl_wr_u8(&c->w, number);
    sl_wr_u8(&c->w, protocol);
    if (spi.len > SPI_MAX)
        c->w.bad = true;
    sl_wr_u8(&c->w, (uint8_t)spi.len);
    sl_wr_u8(&c->w, 0); /* count, likewise */
    sl_wr_put(&c->w, spi);
    return o;
}

static void put_transform(struct ike_wr *c, struct open *o, uint8_t number, uint8_t id,
                          struct sl_bytes attrs)
{
    if (o->last != NOT_FOUND)
        sl_wr_patch16(&c->w, o->last, V1_P_T << 8);
    o->last = c->w.len;
    if (++o->n > V1_TRANSFORMS_MAX || attrs.len > UINT16_MAX - TRANSFORM_HDR_LEN)
        c->w.bad = true;
    sl_wr_u16(&c->w, 0);
    sl_wr_u16(&c->w, (uint16_t)(TRANSFORM_HDR_LEN + attrs.len));
    sl_wr_u8(&c->w, number);
    sl_wr_u8(&c->w, id);
    sl_wr_u16(&c->w, 0);
    sl_wr_put(&c->w, attrs);
}

static void close_sa(struct ike_wr *c, const struct open *o, size_t spi_len)
{
    sl_wr_patch16(&c->w, o->proposal + 2, (uint16_t)(c->w.len - o->proposal));
    sl_wr_patch16(&c->w, o->proposal + 6, (uint16_t)(spi_len << 8 | o->n));
    ike_wr_close(c, o->sa);
}

#define ATTRS_ROOM 96
static void put_terms(struct ike_wr *c, struct open *o, bool phase1, const struct v1_terms *t)
{
    uint8_t room[ATTRS_ROOM];
    struct sl_wr w = sl_wr_fixed(room, sizeof(room));
    if (phase1)
        v1_terms_write_ike(&w, t);
    else
        v1_terms_write_esp(&w, t);
    if (!sl_wr_ok(&w))
        c->w.bad = true;
    uint8_t id = phase1 ? ISAKMP_KEY_IKE : (uint8_t)t->encr;
    put_transform(c, o, (uint8_t)(o->n + 1), id, sl_bytes(room, sl_wr_len(&w)));
}

enum sl_rc v1_put_sa_ike(struct ike_wr *c, const struct sl_conf_ike_proposal *conf, size_t n,
                         const uint16_t *auth, size_t auth_n, uint32_t life_s, struct sl_err *err)
{
    size_t usable = 0;
    for (size_t i = 0; i < n; i++)
        usable += v1_ike_usable(&conf[i]);
    if (usable == 0 || auth_n == 0)
        return v1_refuse_conf_ike(conf, n, auth_n, err);
    struct open o = open_sa(c, 1, V1_PROTO_ISAKMP, (struct sl_bytes){ 0 });
    for (size_t i = 0; i < n && !c->w.bad; i++) {
        for (size_t k = 0; k < auth_n && v1_ike_usable(&conf[i]); k++) {
            const struct v1_terms t = v1_terms_of_ike(&conf[i], auth[k], life_s);
            put_terms(c, &o, true, &t);
        }
    }
    close_sa(c, &o, 0);
    return SL_OK;
}

void v1_put_sa_ike_choice(struct ike_wr *c, const struct v1_ike_choice *choice)
{
    struct open o = open_sa(c, choice->proposal, V1_PROTO_ISAKMP, choice->spi);
    put_transform(c, &o, choice->transform, ISAKMP_KEY_IKE, choice->attrs);
    close_sa(c, &o, choice->spi.len);
}

static struct sl_bytes spi_bytes(uint8_t out[4], uint32_t spi)
{
    struct sl_wr w = sl_wr_fixed(out, 4);
    sl_wr_u32(&w, spi);
    return sl_bytes(out, 4);
}

static bool esp_offered(const struct sl_conf_esp_proposal *conf, enum sl_ke ke)
{
    return conf->ke == ke && v1_esp_usable(conf);
}

enum sl_rc v1_put_sa_esp(struct ike_wr *c, const struct sl_conf_esp_proposal *conf, size_t n,
                         enum sl_ke ke, bool esn, uint16_t encap, uint32_t spi, uint32_t life_s,
                         uint32_t life_kb, struct sl_err *err)
{
    uint8_t spi_b[4];
    size_t usable = 0;
    for (size_t i = 0; i < n; i++)
        usable += esp_offered(&conf[i], ke);
    if (usable == 0)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "none of %zu ESP proposals can be offered by IKEv1 with group %s", n,
                       sl_ke_text(ke));
    struct open o = open_sa(c, 1, V1_PROTO_ESP, spi_bytes(spi_b, spi));
    for (size_t i = 0; i < n && !c->w.bad; i++) {
        for (int with = esn; with >= 0 && esp_offered(&conf[i], ke); with--) {
            const struct v1_terms t = v1_terms_of_esp(&conf[i], with, encap, life_s, life_kb);
            put_terms(c, &o, false, &t);
        }
    }
    close_sa(c, &o, sizeof(spi_b));
    return SL_OK;
}

void v1_put_sa_esp_choice(struct ike_wr *c, const struct v1_esp_choice *choice, uint32_t spi)
{
    uint8_t spi_b[4];
    struct open o = open_sa(c, choice->proposal, V1_PROTO_ESP, spi_bytes(spi_b, spi));
    put_transform(c, &o, choice->transform, choice->transform_id, choice->attrs);
    close_sa(c, &o, sizeof(spi_b));
}

enum sl_ke v1_esp_group(const struct sl_conf_esp_proposal *conf, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v1_esp_usable(&conf[i]))
            return conf[i].ke;
    return SL_KE_NONE;
}

/* ---- phase 1: choosing ------------------------------------------------------------------------------- */
static size_t auth_index(const uint16_t *auth, size_t n, uint16_t method)
{
    for (size_t i = 0; i < n; i++)
        if (auth[i] == method)
            return i;
    return NOT_FOUND;
}

static bool fits_ike(const struct v1_terms *t, const struct sl_conf_ike_proposal *conf)
{
    return !t->unknown && v1_ike_usable(conf) && t->encr == V1_ENCR_AES_CBC &&
           t->key_bits == conf->suite.key_bits && t->hash == v1_hash_of(conf->prf) &&
           t->group == conf->ke;
}

static void take_ike(struct v1_ike_choice *out, const struct v1_proposal *p,
                     const struct v1_transform *t, const struct v1_terms *terms,
                     const struct sl_conf_ike_proposal *conf, size_t ours)
{
    *out = (struct v1_ike_choice){ .suite = conf->suite,
                                   .prf = conf->prf,
                                   .ke = conf->ke,
                                   .auth = terms->auth,
                                   .life_s = terms->life_s,
                                   .life_kb = terms->life_kb,
                                   .proposal = p->number,
                                   .transform = t->number,
                                   .spi = p->spi,
                                   .attrs = t->attrs,
                                   .ours = ours };
}

static bool is_ike(const struct v1_proposal *p, const struct v1_transform *t)
{
    return p->protocol == V1_PROTO_ISAKMP && t->id == ISAKMP_KEY_IKE;
}

enum sl_rc v1_sa_select_ike(struct v1_ike_choice *out, const struct v1_sa *sa,
                            const struct sl_conf_ike_proposal *conf, size_t n, const uint16_t *auth,
                            size_t auth_n, enum ike_prefer prefer, struct sl_err *err)
{
    uint64_t best = UINT64_MAX, at = 0;
    for (size_t i = 0; i < sa->n; i++) {
        struct sl_rd r = sl_rd(sa->p[i].body);
        for (struct v1_transform t; v1_transform_next(&t, &r); at++) {
            struct v1_terms terms;
            if (!is_ike(&sa->p[i], &t))
                continue;
            v1_terms_read_ike(&terms, t.attrs);
            if (auth_index(auth, auth_n, terms.auth) == NOT_FOUND)
                continue;
            for (size_t k = 0; k < n; k++) {
                uint64_t rank = prefer == IKE_PREFER_OURS ? (uint64_t)k << 32 | at : at;
                if (rank >= best || !fits_ike(&terms, &conf[k]))
                    continue;
                best = rank;
                take_ike(out, &sa->p[i], &t, &terms, &conf[k], k);
            }
        }
    }
    return best == UINT64_MAX ? v1_refuse_ike(sa, conf, n, auth, auth_n, err) : SL_OK;
}

/* The answer's one proposal and its one transform. */
static enum sl_rc answer_of(struct v1_transform *t, const struct v1_sa *sa, uint8_t protocol,
                            struct sl_err *err)
{
    if (sa->n != 1 || sa->p[0].n != 1)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "peer's answer has %zu proposals and %zu transforms, expected one of each",
                       sa->n, sa->p[0].n);
    struct sl_rd r = sl_rd(sa->p[0].body);
    if (sa->p[0].protocol != protocol || !v1_transform_next(t, &r))
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer's answer is for protocol %u, expected %u",
                       sa->p[0].protocol, protocol);
    return SL_OK;
}

enum sl_rc v1_sa_check_ike(struct v1_ike_choice *out, const struct v1_sa *sa,
                           const struct sl_conf_ike_proposal *conf, size_t n, const uint16_t *auth,
                           size_t auth_n, struct sl_err *err)
{
    struct v1_transform t;
    struct v1_terms terms;
    char text[V1_TERMS_TEXT];
    SL_TRY(answer_of(&t, sa, V1_PROTO_ISAKMP, err));
    v1_terms_read_ike(&terms, t.attrs);
    if (t.id == ISAKMP_KEY_IKE && auth_index(auth, auth_n, terms.auth) != NOT_FOUND) {
        for (size_t k = 0; k < n; k++) {
            if (fits_ike(&terms, &conf[k])) {
                take_ike(out, &sa->p[0], &t, &terms, &conf[k], k);
                return SL_OK;
            }
        }
    }
    return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer answered with %s, which was not offered",
                   v1_terms_text(text, &terms, true));
}

/* ---- phase 2: choosing ------------------------------------------------------------------------------- */
static bool fits_esp(const struct v1_terms *t, const struct sl_conf_esp_proposal *conf)
{
    return !t->unknown && v1_esp_usable(conf) && t->encr == v1_esp_id(&conf->suite) &&
           t->key_bits == conf->suite.key_bits && t->hash == v1_esp_auth(&conf->suite) &&
           t->group == conf->ke;
}

static void take_esp(struct v1_esp_choice *out, const struct v1_proposal *p,
                     const struct v1_transform *t, const struct v1_terms *terms,
                     const struct sl_conf_esp_proposal *conf, size_t ours)
{
    *out = (struct v1_esp_choice){ .suite = conf->suite,
                                   .ke = conf->ke,
                                   .esn = terms->esn,
                                   .encap = terms->encap,
                                   .life_s = terms->life_s,
                                   .life_kb = terms->life_kb,
                                   .proposal = p->number,
                                   .transform = t->number,
                                   .transform_id = t->id,
                                   .attrs = t->attrs,
                                   .spi = p->spi,
                                   .ours = ours };
}

/* Proposals of one number belong together (RFC 2408 4.2): ESP beside AH or IPComp, which we lack. */
static bool stands_alone(const struct v1_sa *sa, size_t i)
{
    for (size_t k = 0; k < sa->n; k++)
        if (k != i && sa->p[k].number == sa->p[i].number)
            return false;
    return true;
}

enum sl_rc v1_sa_select_esp(struct v1_esp_choice *out, const struct v1_sa *sa,
                            const struct sl_conf_esp_proposal *conf, size_t n, bool udp, bool esn,
                            enum ike_prefer prefer, struct sl_err *err)
{
    uint64_t best = UINT64_MAX, at = 0;
    for (size_t i = 0; i < sa->n; i++) {
        struct sl_rd r = sl_rd(sa->p[i].body);
        for (struct v1_transform t; v1_transform_next(&t, &r); at++) {
            struct v1_terms terms;
            if (sa->p[i].protocol != V1_PROTO_ESP || !stands_alone(sa, i))
                continue;
            v1_terms_read_esp(&terms, &t);
            bool tunnel = udp ? v1_encap_is_udp(terms.encap) : terms.encap == V1_ENCAP_TUNNEL;
            if (!tunnel || (terms.esn && !esn))
                continue;
            for (size_t k = 0; k < n; k++) {
                uint64_t rank = prefer == IKE_PREFER_OURS ? (uint64_t)k << 32 | at : at;
                if (rank >= best || !fits_esp(&terms, &conf[k]))
                    continue;
                best = rank;
                take_esp(out, &sa->p[i], &t, &terms, &conf[k], k);
            }
        }
    }
    return best == UINT64_MAX ? v1_refuse_esp(sa, conf, n, udp, err) : SL_OK;
}

enum sl_rc v1_sa_check_esp(struct v1_esp_choice *out, const struct v1_sa *sa,
                           const struct sl_conf_esp_proposal *conf, size_t n, enum sl_ke ke,
                           bool esn, uint16_t encap, struct sl_err *err)
{
    struct v1_transform t;
    struct v1_terms terms;
    char text[V1_TERMS_TEXT];
    SL_TRY(answer_of(&t, sa, V1_PROTO_ESP, err));
    v1_terms_read_esp(&terms, &t);
    for (size_t k = 0; k < n && terms.encap == encap && (esn || !terms.esn); k++) {
        if (conf[k].ke == ke && fits_esp(&terms, &conf[k])) {
            take_esp(out, &sa->p[0], &t, &terms, &conf[k], k);
            return SL_OK;
        }
    }
    return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer answered with %s, which was not offered",
                   v1_terms_text(text, &terms, false));
}
