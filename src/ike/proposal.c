/*
 * SA payloads: reading, writing, choosing (RFC 7296 3.3, 2.7). Names and strength of transforms are
 * in transform.c, what there is about additional key exchanges alone in addke.c.
 */
#include "src/ike/proposal.h"

#include "src/ike/addke.h"
#include "src/ike/words.h"

#include <stdio.h>
#include <string.h>

#define PROPOSAL_HDR_LEN  8
#define TRANSFORM_HDR_LEN 8
#define MORE_PROPOSALS    2
#define MORE_TRANSFORMS   3
#define ATTR_TV           0x8000 /* the value stands in place of a length */
#define ATTR_KEY_LENGTH   14

/* ---- reading ------------------------------------------------------------------------------------ */
/* Attributes of a transform (RFC 7296 3.3.5): AF and type (2), then value (2), or length (2) and value */
static bool read_attrs(struct ike_transform *t, struct sl_rd *r)
{
    for (size_t n = 0; sl_rd_left(r) > 0; n++) {
        uint16_t type = sl_rd_u16(r);
        if (n == IKE_ATTRS_MAX)
            return false;
        if (type == (ATTR_TV | ATTR_KEY_LENGTH) && !t->key_bits) {
            t->key_bits = sl_rd_u16(r);
            t->unknown_attr |= t->key_bits == 0;
            continue;
        }
        t->unknown_attr = true;
        if (type & ATTR_TV)
            sl_rd_skip(r, 2);
        else
            (void)sl_rd_part16(r);
    }
    return sl_rd_done(r);
}

/*
 * RFC 7296 3.3.2: last (0) or more (3) (1), RESERVED (1), length (2), type (1), RESERVED (1), ID (2),
 * attributes
 */
static bool read_transform(struct ike_transform *t, struct sl_rd *r)
{
    *t = (struct ike_transform){ 0 };
    uint8_t more = sl_rd_u8(r);
    sl_rd_skip(r, 1);
    size_t len = sl_rd_u16(r);
    if (!sl_rd_ok(r) || len < TRANSFORM_HDR_LEN)
        return false;
    struct sl_rd body = sl_rd(sl_rd_take(r, len - 4));
    if (!sl_rd_ok(r) || more != (sl_rd_left(r) ? MORE_TRANSFORMS : 0))
        return false;
    t->type = sl_rd_u8(&body);
    sl_rd_skip(&body, 1);
    t->id = sl_rd_u16(&body);
    return read_attrs(t, &body);
}

bool ike_transform_next(struct ike_transform *t, struct sl_rd *r)
{
    return sl_rd_left(r) > 0 && read_transform(t, r);
}

static bool spi_len_fits(uint8_t protocol, size_t len)
{
    switch (protocol) {
    case IKE_PROTO_IKE:
        return len == 0 || len == IKE_SPI_LEN;
    case IKE_PROTO_AH:
    case IKE_PROTO_ESP:
        return len == 4;
    default:
        return true;
    }
}

/*
 * RFC 7296 3.3.1: last (0) or more (2) (1), RESERVED (1), length (2), number (1), protocol (1),
 * SPI size (1), count of transforms (1), SPI, transforms
 */
static enum sl_rc read_proposal(struct ike_proposal *p, struct sl_rd *r, struct sl_err *err)
{
    uint8_t more = sl_rd_u8(r);
    sl_rd_skip(r, 1);
    size_t len = sl_rd_u16(r);
    if (!sl_rd_ok(r) || len < PROPOSAL_HDR_LEN)
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: no whole proposal header");
    struct sl_rd body = sl_rd(sl_rd_take(r, len - 4));
    if (!sl_rd_ok(r))
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal length %zu goes past the end", len);
    if (more != (sl_rd_left(r) ? MORE_PROPOSALS : 0))
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: last/more marker %u is wrong", more);
    p->number = sl_rd_u8(&body);
    p->protocol = sl_rd_u8(&body);
    size_t spi_len = sl_rd_u8(&body);
    p->n = sl_rd_u8(&body);
    p->spi = sl_rd_take(&body, spi_len);
    p->body = sl_rd_rest(&body);
    if (!sl_rd_done(&body) || !spi_len_fits(p->protocol, spi_len))
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal %u: SPI of %zu bytes with protocol %u",
                       p->number, spi_len, p->protocol);
    if (p->n > IKE_TRANSFORMS_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "SA: proposal %u has more than %d transforms", p->number,
                       IKE_TRANSFORMS_MAX);
    struct sl_rd transforms = sl_rd(p->body);
    struct ike_transform t;
    size_t n = 0;
    while (sl_rd_left(&transforms) > 0) {
        if (!read_transform(&t, &transforms))
            return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal %u: transform %zu is malformed",
                           p->number, n + 1);
        n++;
    }
    if (n == 0 || n != p->n)
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal %u says %zu transforms and has %zu",
                       p->number, p->n, n);
    return SL_OK;
}

enum sl_rc ike_sa_read(struct ike_sa *sa, struct sl_bytes body, struct sl_err *err)
{
    struct sl_rd r = sl_rd(body);
    sa->n = 0;
    while (sl_rd_left(&r) > 0) {
        if (sa->n == IKE_PROPOSALS_MAX)
            return SL_FAIL(err, SL_TOO_LARGE, "SA has more than %d proposals", IKE_PROPOSALS_MAX);
        struct ike_proposal *p = &sa->p[sa->n];
        SL_TRY(read_proposal(p, &r, err));
        if (sa->n ? p->number != p[-1].number + 1 : p->number == 0)
            return SL_FAIL(err, SL_IKE_MALFORMED, "SA: proposal number %u is out of order",
                           p->number);
        sa->n++;
    }
    if (sa->n == 0)
        return SL_FAIL(err, SL_IKE_MALFORMED, "SA has no proposal");
    return SL_OK;
}

/* ---- writing ------------------------------------------------------------------------------------- */
#define OURS_MAX (6 + 2 * SL_ADDKE_MAX) /* transforms in one of our proposals */
struct ours {
    struct ike_transform t[OURS_MAX];
    size_t n;
};

static void add(struct ours *o, uint8_t type, unsigned id, uint16_t key_bits)
{
    o->t[o->n++] = (struct ike_transform){ .type = type, .id = (uint16_t)id, .key_bits = key_bits };
}

static bool has_key_length(enum sl_encr encr)
{
    /* SPEC RFC7296-3.3.5 MUST: Key Length only where keys vary; RFC 7634 4: not with ChaCha20 */
    return encr == SL_ENCR_AES_CBC || encr == SL_ENCR_AES_GCM_16;
}

static void add_suite(struct ours *o, const struct sl_suite *s, bool name_integ)
{
    add(o, IKE_T_ENCR, s->encr, has_key_length(s->encr) ? s->key_bits : 0);
    /* SPEC RFC7296-3.3 MUST: an AEAD goes without an integrity transform (or with NONE alone) */
    if (s->integ != SL_INTEG_NONE || name_integ)
        add(o, IKE_T_INTEG, s->integ, 0);
}

/* SPEC RFC9370-2.2.2: a method that may be left out is offered beside NONE */
static void add_additional(struct ours *o, const struct sl_conf_addke *a)
{
    for (size_t i = 0; i < SL_ADDKE_MAX; i++) {
        if (a->ke[i] == SL_KE_NONE)
            continue;
        add(o, (uint8_t)(IKE_T_ADDKE1 + i), a->ke[i], 0);
        if (a->may_skip >> i & 1)
            add(o, (uint8_t)(IKE_T_ADDKE1 + i), SL_KE_NONE, 0);
    }
}

static void write_proposal(struct sl_wr *w, bool last, uint8_t number, uint8_t protocol,
                           struct sl_bytes spi, const struct ours *o)
{
    size_t start = w->len;
    sl_wr_u8(w, last ? 0 : MORE_PROPOSALS);
    sl_wr_u8(w, 0);
    sl_wr_u16(w, 0); /* length, filled in below */
    sl_wr_u8(w, number);
    sl_wr_u8(w, protocol);
    if (spi.len > UINT8_MAX)
        w->bad = true;
    sl_wr_u8(w, (uint8_t)spi.len);
    sl_wr_u8(w, (uint8_t)o->n);
    sl_wr_put(w, spi);
    for (size_t i = 0; i < o->n; i++) {
        const struct ike_transform *t = &o->t[i];
        sl_wr_u8(w, i + 1 < o->n ? MORE_TRANSFORMS : 0);
        sl_wr_u8(w, 0);
        sl_wr_u16(w, t->key_bits ? TRANSFORM_HDR_LEN + 4 : TRANSFORM_HDR_LEN);
        sl_wr_u8(w, t->type);
        sl_wr_u8(w, 0);
        sl_wr_u16(w, t->id);
        if (t->key_bits) {
            sl_wr_u16(w, ATTR_TV | ATTR_KEY_LENGTH);
            sl_wr_u16(w, t->key_bits);
        }
    }
    sl_wr_patch16(w, start + 2, (uint16_t)(w->len - start));
}

void ike_put_sa_ike(struct ike_wr *c, const struct sl_conf_ike_proposal *conf, size_t n,
                    struct sl_bytes spi)
{
    size_t mark = ike_wr_open(c, IKE_P_SA), last = SIZE_MAX;
    uint8_t number = 0;
    for (size_t i = 0; i < n; i++)
        if (addke_usable(conf[i].ke, &conf[i].add))
            last = i;
    if (last == SIZE_MAX || n > IKE_PROPOSALS_MAX)
        c->w.bad = true;
    for (size_t i = 0; i < n && !c->w.bad; i++) {
        struct ours o = { 0 };
        if (!addke_usable(conf[i].ke, &conf[i].add))
            continue;
        add_suite(&o, &conf[i].suite, false);
        add(&o, IKE_T_PRF, conf[i].prf, 0);
        add(&o, IKE_T_KE, conf[i].ke, 0);
        add_additional(&o, &conf[i].add);
        write_proposal(&c->w, i == last, ++number, IKE_PROTO_IKE, spi, &o);
    }
    ike_wr_close(c, mark);
}

void ike_put_sa_esp(struct ike_wr *c, const struct sl_conf_esp_proposal *conf, size_t n,
                    struct sl_bytes spi, bool with_ke, bool esn)
{
    size_t mark = ike_wr_open(c, IKE_P_SA), last = SIZE_MAX;
    uint8_t number = 0;
    for (size_t i = 0; i < n; i++)
        if (!with_ke || addke_usable(conf[i].ke, &conf[i].add))
            last = i;
    if (last == SIZE_MAX || n > IKE_PROPOSALS_MAX)
        c->w.bad = true;
    for (size_t i = 0; i < n && !c->w.bad; i++) {
        struct ours o = { 0 };
        if (with_ke && !addke_usable(conf[i].ke, &conf[i].add))
            continue;
        add_suite(&o, &conf[i].suite, false);
        if (with_ke && conf[i].ke != SL_KE_NONE)
            add(&o, IKE_T_KE, conf[i].ke, 0);
        if (with_ke)
            add_additional(&o, &conf[i].add);
        if (esn)
            add(&o, IKE_T_ESN, 1, 0);
        add(&o, IKE_T_ESN, 0, 0);
        write_proposal(&c->w, i == last, ++number, IKE_PROTO_ESP, spi, &o);
    }
    ike_wr_close(c, mark);
}

void ike_put_sa_choice(struct ike_wr *c, const struct ike_choice *choice, struct sl_bytes spi)
{
    size_t mark = ike_wr_open(c, IKE_P_SA);
    struct ours o = { 0 };
    add_suite(&o, &choice->suite, choice->has_integ);
    if (choice->protocol == IKE_PROTO_IKE)
        add(&o, IKE_T_PRF, choice->prf, 0);
    if (choice->has_ke)
        add(&o, IKE_T_KE, choice->ke, 0);
    for (size_t i = 0; i < SL_ADDKE_MAX; i++)
        if (choice->add.has >> i & 1)
            add(&o, (uint8_t)(IKE_T_ADDKE1 + i), choice->add.ke[i], 0);
    if (choice->protocol == IKE_PROTO_ESP)
        add(&o, IKE_T_ESN, choice->esn, 0);
    write_proposal(&c->w, true, choice->number, choice->protocol, spi, &o);
    ike_wr_close(c, mark);
}

/* ---- matching one of the peer's proposals with one of ours ------------------------------------------ */
struct terms { /* what both kinds of negotiation have in common */
    uint8_t protocol;
    size_t spi_len;
    bool with_ke, esn;
    bool additional; /* there can be additional key exchanges */
    bool answer;     /* one transform of each type, none that was not offered */
};
struct want {
    struct sl_suite suite;
    enum sl_prf prf;
    enum sl_ke ke;
    struct sl_conf_addke add;
    size_t ours; /* index into the configuration */
};

#define NOT_FOUND SIZE_MAX
/* For one transform type: how many the peer has, and where in its order the one we want stands. */
struct found {
    size_t n, at;
};

static void note(struct found *f, bool wanted)
{
    if (wanted && f->at == NOT_FOUND)
        f->at = f->n;
    f->n++;
}

static bool is_weak(uint8_t type, unsigned id)
{
    const struct ike_transform t = { .type = type, .id = (uint16_t)id };
    return ike_transform_weak(&t);
}

static bool want_is_sound(const struct want *w, const struct terms *terms)
{
    if (!sl_suite_supported(&w->suite) || is_weak(IKE_T_ENCR, w->suite.encr) ||
        is_weak(IKE_T_INTEG, w->suite.integ) || is_weak(IKE_T_KE, w->ke))
        return false;
    return terms->protocol != IKE_PROTO_IKE || (w->ke != SL_KE_NONE && !is_weak(IKE_T_PRF, w->prf));
}

/*
 * Does w fit p? *rank orders several fits by the peer's preference: position of the cipher first,
 * then of integrity, PRF and group.
 */
static bool match(struct ike_choice *out, uint64_t *rank, const struct ike_proposal *p,
                  const struct want *w, const struct terms *terms)
{
    if (p->protocol != terms->protocol || p->spi.len != terms->spi_len || !want_is_sound(w, terms))
        return false;
    struct found encr = { 0, NOT_FOUND }, prf = encr, integ = encr, ke = encr, esn = encr;
    struct addke_found add = { 0 };
    bool esn_chosen = false;
    struct sl_rd r = sl_rd(p->body);
    for (struct ike_transform t; ike_transform_next(&t, &r);) {
        bool plain = !t.unknown_attr && t.key_bits == 0;
        switch (t.type) {
        case IKE_T_ENCR:
            note(&encr, t.id == w->suite.encr && !t.unknown_attr &&
                            t.key_bits == (has_key_length(w->suite.encr) ? w->suite.key_bits : 0));
            break;
        case IKE_T_PRF:
            note(&prf, plain && t.id == w->prf);
            break;
        case IKE_T_INTEG:
            note(&integ, plain && t.id == w->suite.integ);
            break;
        case IKE_T_KE:
            note(&ke, plain && t.id == w->ke);
            break;
        case IKE_T_ESN:
            if (plain && esn.at == NOT_FOUND)
                esn_chosen = t.id == 1;
            note(&esn, plain && (t.id == 0 || (t.id == 1 && terms->esn)));
            break;
        default:
            if (!addke_note(&add, &w->add, &t))
                return false; /* SPEC RFC7296-3.3.6 MUST: one with an unknown type is rejected */
            break;
        }
    }
    bool is_ike = terms->protocol == IKE_PROTO_IKE;
    bool ke_matters = is_ike || terms->with_ke;
    struct ike_addke chosen = { 0 };
    if (ke_matters ? !addke_choose(&chosen, &add, &w->add, terms->additional)
                   : terms->answer && addke_any(&add))
        return false;
    if (encr.at == NOT_FOUND)
        return false;
    /* a type that is absent is NONE: integrity beside an AEAD, the group without PFS */
    if (integ.at == NOT_FOUND && (integ.n || w->suite.integ != SL_INTEG_NONE))
        return false;
    if (is_ike ? prf.at == NOT_FOUND || esn.n : prf.n > 0 || esn.at == NOT_FOUND)
        return false;
    if (ke_matters && ke.at == NOT_FOUND && (ke.n || w->ke != SL_KE_NONE))
        return false;
    if (terms->answer && (encr.n > 1 || prf.n > 1 || integ.n > 1 || ke.n > 1 || esn.n > 1 ||
                          addke_doubled(&add) || (!ke_matters && ke.n)))
        return false;
    *rank = (uint64_t)encr.at << 24 | (uint64_t)(integ.n ? integ.at : 0) << 16 |
            (uint64_t)(is_ike ? prf.at : 0) << 8 | (ke_matters && ke.n ? ke.at : 0);
    *out = (struct ike_choice){ .number = p->number,
                                .protocol = p->protocol,
                                .suite = w->suite,
                                .prf = w->prf,
                                .ke = ke_matters ? w->ke : SL_KE_NONE,
                                .has_ke = ke_matters && ke.n > 0,
                                .add = chosen,
                                .has_integ = integ.n > 0,
                                .esn = !is_ike && esn_chosen,
                                .spi = p->spi,
                                .ours = w->ours };
    return true;
}

/* ---- saying why nothing fits ---------------------------------------------------------------------------- */
static const uint8_t refusable[] = { IKE_T_ENCR, IKE_T_INTEG,  IKE_T_PRF,
                                     IKE_T_KE,   IKE_T_ADDKE1, IKE_T_ADDKE1 + 1 };

static bool type_matters(uint8_t type, const struct terms *terms)
{
    if (type == IKE_T_PRF)
        return terms->protocol == IKE_PROTO_IKE;
    return (type != IKE_T_KE && type < IKE_T_ADDKE1) || terms->protocol == IKE_PROTO_IKE ||
           terms->with_ke;
}

/* Names the transforms of types of which p offers nothing but weak ones; returns how many. */
static size_t weak_types(const struct ike_proposal *p, const struct terms *terms,
                         struct ike_words *l)
{
    size_t named = 0;
    for (size_t k = 0; k < SL_ARRAY_LEN(refusable); k++) {
        if (!type_matters(refusable[k], terms))
            continue;
        struct ike_words one = { .len = 0 };
        size_t n = 0, weak = 0;
        char name[IKE_TEXT];
        struct sl_rd r = sl_rd(p->body);
        for (struct ike_transform t; ike_transform_next(&t, &r);) {
            if (t.type != refusable[k])
                continue;
            n++;
            if (ike_transform_weak(&t)) {
                weak++;
                ike_words_add(&one, " or ", ike_transform_text(name, &t));
            }
        }
        if (n == 0 || weak < n)
            continue;
        ike_words_add(l, " with ", one.text);
        named += weak;
    }
    return named;
}

/* Every distinct transform of one type in all the peer's proposals. */
static void all_of_type(const struct ike_sa *sa, uint8_t protocol, uint8_t type,
                        struct ike_words *l)
{
    for (size_t i = 0; i < sa->n; i++) {
        struct sl_rd r = sl_rd(sa->p[i].body);
        for (struct ike_transform t; ike_transform_next(&t, &r);) {
            char name[IKE_TEXT];
            if (t.type != type || sa->p[i].protocol != protocol)
                continue;
            const char *text = ike_transform_text(name, &t);
            /* looked for with its neighbours, so that "AES-CBC-12" is not found in "AES-CBC-128" */
            bool seen = false;
            size_t len = strlen(text);
            for (const char *at = l->text; (at = strstr(at, text)); at += len)
                seen |= (at == l->text || at[-1] == '/') && (at[len] == 0 || at[len] == '/');
            if (!seen)
                ike_words_add(l, "/", text);
        }
    }
}

static void want_text(char *out, size_t cap, const struct want *w, const struct terms *terms)
{
    char suite[SL_SUITE_TEXT], prf[IKE_TEXT], ke[IKE_TEXT];
    const struct ike_transform tp = { .type = IKE_T_PRF, .id = (uint16_t)w->prf };
    const struct ike_transform tk = { .type = IKE_T_KE, .id = (uint16_t)w->ke };
    bool is_ike = terms->protocol == IKE_PROTO_IKE;
    bool has_ke = is_ike || (terms->with_ke && w->ke != SL_KE_NONE);
    (void)snprintf(out, cap, "%s%s%s%s%s", sl_suite_text(suite, &w->suite), is_ike ? " " : "",
                   is_ike ? ike_transform_text(prf, &tp) : "", has_ke ? " " : "",
                   has_ke ? ike_transform_text(ke, &tk) : "");
    for (size_t i = 0; has_ke && i < SL_ADDKE_MAX; i++) {
        const size_t len = strlen(out);
        if (w->add.ke[i] != SL_KE_NONE)
            (void)snprintf(out + len, cap - len, " with %s", sl_ke_text(w->add.ke[i]));
    }
}

static enum sl_rc refuse(const struct ike_sa *sa, const struct want *want, size_t n,
                         const struct terms *terms, struct sl_err *err)
{
    struct ike_words weak = { .len = 0 }, theirs = { .len = 0 }, ours = { .len = 0 };
    size_t named = 0, all_weak = 0, of_protocol = 0;
    const char *protocol = terms->protocol == IKE_PROTO_IKE ? "IKE" : "ESP";
    for (size_t i = 0; i < sa->n; i++) {
        struct ike_words one = { .len = 0 };
        if (sa->p[i].protocol != terms->protocol)
            continue;
        of_protocol++;
        size_t k = weak_types(&sa->p[i], terms, &one);
        all_weak += k > 0;
        if (k && !strstr(weak.text, one.text)) {
            ike_words_add(&weak, ", or ", one.text);
            named += k;
        }
    }
    if (of_protocol == 0)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer makes no proposal for %s", protocol);
    if (n == 0)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "none of our %s proposals can be used: this libcrypto lacks ML-KEM "
                       "(OpenSSL 3.5 has it)",
                       protocol);
    if (all_weak == of_protocol)
        return SL_FAIL(err, SL_WEAK_ALGORITHM, "peer offers only %s; %s refused as too weak",
                       weak.text,
                       named == 1   ? "it is"
                       : named == 2 ? "both are"
                                    : "all are");
    for (size_t k = 0; k < SL_ARRAY_LEN(refusable); k++) {
        struct ike_words one = { .len = 0 };
        if (type_matters(refusable[k], terms))
            all_of_type(sa, terms->protocol, refusable[k], &one);
        if (one.len)
            ike_words_add(&theirs, " ", one.text);
    }
    for (size_t i = 0; i < n; i++) {
        char one[5 * IKE_TEXT];
        want_text(one, sizeof(one), &want[i], terms);
        ike_words_add(&ours, ", ", one);
    }
    return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                   "no %s proposal in common: peer offers %.240s; ours: %.180s", protocol,
                   theirs.text, ours.text);
}

/* ---- choosing ---------------------------------------------------------------------------------------------- */
static enum sl_rc select_by(struct ike_choice *out, const struct ike_sa *sa,
                            const struct want *want, size_t n, const struct terms *terms,
                            enum ike_prefer prefer, struct sl_err *err)
{
    struct ike_choice c, best = { 0 };
    uint64_t rank, best_rank = UINT64_MAX;
    for (size_t i = 0; i < sa->n; i++) {
        for (size_t k = 0; k < n; k++) {
            if (!match(&c, &rank, &sa->p[i], &want[k], terms))
                continue;
            /* ours: our index counts, then the peer's; the peer's: its proposal, then its order in it */
            rank = prefer == IKE_PREFER_OURS ? (uint64_t)k << 40 | (uint64_t)i << 32 | rank
                                             : (uint64_t)i << 40 | rank;
            if (rank < best_rank) {
                best_rank = rank;
                best = c;
            }
        }
    }
    if (best_rank == UINT64_MAX)
        return refuse(sa, want, n, terms, err);
    *out = best;
    return SL_OK;
}

static enum sl_rc check_answer(struct ike_choice *out, const struct ike_sa *sa,
                               const struct want *want, size_t n, const struct terms *terms,
                               struct sl_err *err)
{
    char text[5 * IKE_TEXT];
    const struct ike_proposal *p = &sa->p[0];
    if (sa->n != 1)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer's answer has %zu proposals, expected 1",
                       sa->n);
    if (p->number > n)
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL, "peer chose proposal %u, offered were 1 to %zu",
                       p->number, n);
    uint64_t rank;
    struct ike_choice c;
    if (!match(&c, &rank, p, &want[p->number - 1], terms)) {
        struct ike_words theirs = { .len = 0 };
        struct sl_rd r = sl_rd(p->body);
        for (struct ike_transform t; ike_transform_next(&t, &r);) {
            char name[IKE_TEXT];
            ike_words_add(&theirs, " ", ike_transform_text(name, &t));
        }
        want_text(text, sizeof(text), &want[p->number - 1], terms);
        return SL_FAIL(err, SL_IKE_NO_PROPOSAL,
                       "peer answered proposal %u with %s, which is not what it was offered (%s)",
                       p->number, theirs.text, text);
    }
    *out = c;
    return SL_OK;
}

static size_t wants_of_ike(struct want want[IKE_PROPOSALS_MAX],
                           const struct sl_conf_ike_proposal *conf, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n && i < IKE_PROPOSALS_MAX; i++)
        if (addke_usable(conf[i].ke, &conf[i].add))
            want[used++] = (struct want){ .suite = conf[i].suite,
                                          .prf = conf[i].prf,
                                          .ke = conf[i].ke,
                                          .add = conf[i].add,
                                          .ours = i };
    return used;
}

static size_t wants_of_esp(struct want want[IKE_PROPOSALS_MAX],
                           const struct sl_conf_esp_proposal *conf, size_t n, bool with_ke)
{
    size_t used = 0;
    for (size_t i = 0; i < n && i < IKE_PROPOSALS_MAX; i++)
        if (!with_ke || addke_usable(conf[i].ke, &conf[i].add))
            want[used++] = (struct want){
                .suite = conf[i].suite, .ke = conf[i].ke, .add = conf[i].add, .ours = i
            };
    return used;
}

static struct terms terms_of_ike(enum ike_offer_kind kind, bool answer)
{
    return (struct terms){ .protocol = IKE_PROTO_IKE,
                           .spi_len = kind == IKE_OFFER_REKEY ? IKE_SPI_LEN : 0,
                           .additional = kind != IKE_OFFER_INIT,
                           .answer = answer };
}

enum sl_rc ike_sa_select_ike(struct ike_choice *out, const struct ike_sa *sa,
                             const struct sl_conf_ike_proposal *conf, size_t n,
                             enum ike_offer_kind kind, enum ike_prefer prefer, struct sl_err *err)
{
    struct want want[IKE_PROPOSALS_MAX] = { 0 };
    const struct terms terms = terms_of_ike(kind, false);
    return select_by(out, sa, want, wants_of_ike(want, conf, n), &terms, prefer, err);
}

enum sl_rc ike_sa_select_esp(struct ike_choice *out, const struct ike_sa *sa,
                             const struct sl_conf_esp_proposal *conf, size_t n, bool with_ke,
                             bool esn, enum ike_prefer prefer, struct sl_err *err)
{
    struct want want[IKE_PROPOSALS_MAX] = { 0 };
    const struct terms terms = { .protocol = IKE_PROTO_ESP,
                                 .spi_len = 4,
                                 .with_ke = with_ke,
                                 .additional = with_ke,
                                 .esn = esn };
    return select_by(out, sa, want, wants_of_esp(want, conf, n, with_ke), &terms, prefer, err);
}

enum sl_rc ike_sa_check_ike(struct ike_choice *out, const struct ike_sa *sa,
                            const struct sl_conf_ike_proposal *conf, size_t n,
                            enum ike_offer_kind kind, struct sl_err *err)
{
    struct want want[IKE_PROPOSALS_MAX] = { 0 };
    const struct terms terms = terms_of_ike(kind, true);
    return check_answer(out, sa, want, wants_of_ike(want, conf, n), &terms, err);
}

enum sl_rc ike_sa_check_esp(struct ike_choice *out, const struct ike_sa *sa,
                            const struct sl_conf_esp_proposal *conf, size_t n, bool with_ke,
                            bool esn, struct sl_err *err)
{
    struct want want[IKE_PROPOSALS_MAX] = { 0 };
    const struct terms terms = { .protocol = IKE_PROTO_ESP,
                                 .spi_len = 4,
                                 .with_ke = with_ke,
                                 .additional = with_ke,
                                 .esn = esn,
                                 .answer = true };
    return check_answer(out, sa, want, wants_of_esp(want, conf, n, with_ke), &terms, err);
}

bool ike_offers_ke_ike(const struct sl_conf_ike_proposal *conf, size_t n, uint16_t group)
{
    for (size_t i = 0; i < n; i++)
        if (conf[i].ke == group && addke_usable(conf[i].ke, &conf[i].add))
            return group != SL_KE_NONE;
    return false;
}

bool ike_offers_ke_esp(const struct sl_conf_esp_proposal *conf, size_t n, uint16_t group)
{
    for (size_t i = 0; i < n; i++)
        if (conf[i].ke == group && addke_usable(conf[i].ke, &conf[i].add))
            return group != SL_KE_NONE;
    return false;
}
