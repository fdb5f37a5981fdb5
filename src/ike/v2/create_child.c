/*
 * CREATE_CHILD_SA (RFC 7296 1.3, 2.8, 2.18, 2.25)
 *
 *   SA, Ni, [KEi], TSi, TSr                --> <--  SA, Nr, [KEr], TSi, TSr      a new child
 *   N(REKEY_SA), SA, Ni, [KEi], TSi, TSr   --> <--  SA, Nr, [KEr], TSi, TSr      a child's successor
 *   SA, Ni, KEi                            --> <--  SA, Nr, KEr                  the IKE SA's successor
 *                                              <--  N(error)
 *
 * With additional key exchanges the response also has N(ADDITIONAL_KEY_EXCHANGE), and what was
 * negotiated comes into being at the end of a series of IKE_FOLLOWUP_KE (followup.c).
 *
 * Both sides may begin the rekey of the same SA at once. Each then answers the other, so there are
 * two successors; the one made with the lowest of the four nonces is given up by the side that began
 * it, and the other side deletes the old SA (2.8.1, 2.8.2). A request that meets something else under
 * way on the same SA is put off with TEMPORARY_FAILURE (2.25).
 *
 * No packet is lost over a child's rekey: the responder reads on the new SA before it answers, the
 * initiator sends on it once answered and only then deletes the old one, and the responder sends on
 * it when it sees it used or the old one deleted.
 */
#include "src/ike/v2/create.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- nonces ------------------------------------------------------------------------------------ */

int nonce_cmp(struct sl_bytes a, struct sl_bytes b)
{
    return sl_bytes_cmp(a, b);
}

struct sl_bytes nonce_lower(struct sl_bytes a, struct sl_bytes b)
{
    return nonce_cmp(a, b) <= 0 ? a : b;
}

/* True when our exchange made the SA that has to go. */
static bool ours_is_redundant(const struct ike_xchg *x)
{
    return x->rival && nonce_cmp(nonce_lower(sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr)),
                                 sl_buf_bytes(&x->rival_nonce)) < 0;
}

/* ---- initiator, common to children and the IKE SA ---------------------------------------------- */

static enum sl_rc ask_value(struct ike_xchg *x, struct sl_err *err)
{
    if (x->group != SL_KE_NONE)
        return xchg_ask_ke(x, sl_bytes(NULL, 0), err);
    xchg_ask_nothing(x);
    return SL_OK;
}

/* What puts the exchange off for a while instead of ending the SA. */
int64_t create_later(struct sl_ike *ike)
{
    return ike->now_ns + IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
}

static enum sl_rc peer_error(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    char name[IKE_TEXT];
    if (!ike_notify_find_error(&x->list, &n))
        return SL_FAIL(err, SL_IKE_MALFORMED, "CREATE_CHILD_SA response fits no shape");
    x->refuse = n.type; /* kept for _fail */
    enum sl_rc rc = SL_IKE_PEER_ERROR;
    if (n.type == IKE_N_TS_UNACCEPTABLE)
        rc = SL_IKE_TS_UNACCEPTABLE;
    else if (n.type == IKE_N_NO_PROPOSAL_CHOSEN)
        rc = SL_IKE_NO_PROPOSAL;
    else if (n.type == IKE_N_INVALID_KE_PAYLOAD)
        rc = SL_IKE_INVALID_KE;
    return SL_FAIL(err, rc, "peer answered CREATE_CHILD_SA with %s", ike_notify_text(name, n.type));
}

/* The group of N(INVALID_KE_PAYLOAD), when it is one to try. */
static bool other_group(const struct ike_xchg *x, uint16_t *group)
{
    struct ike_notify n;
    if (!ike_notify_find(&x->list, IKE_N_INVALID_KE_PAYLOAD, &n) || x->ke_retries >= IKE_KE_RETRIES)
        return false;
    struct sl_rd r = sl_rd(n.data);
    *group = sl_rd_u16(&r);
    return sl_rd_done(&r) && *group != (uint16_t)x->group;
}

static enum sl_rc try_group(struct ike_xchg *x, uint16_t group, struct sl_err *err)
{
    struct sl_kex *old = sl_steal(&x->kex);
    const enum sl_ke old_group = x->group;
    x->group = (enum sl_ke)group;
    const enum sl_rc rc = xchg_ask_ke(x, sl_bytes(NULL, 0), err);
    if (rc != SL_OK) {
        x->kex = old;
        x->group = old_group;
        return rc;
    }
    sl_kex_free(old);
    x->ke_retries++;
    return SL_OK;
}

/* The peer's value is here: the secret, and then what there is of additional key exchanges. */
static enum sl_rc ask_shared(struct ike_xchg *x, const struct ike_ke *ke, struct sl_err *err)
{
    const bool more = ike_addke_n(&x->choice.add) > 0;
    if (more)
        SL_TRY(followup_link(x, err));
    SL_TRY(xchg_ask_ke(x, ke->data, err));
    if (more)
        x->table = &ike_followup_initiator;
    return SL_OK;
}

/* ---- initiator: a new child, or a child's successor -------------------------------------------- */

static enum sl_ke first_group(const struct sl_conf_child *conf, enum sl_ke used)
{
    if (used != SL_KE_NONE && ike_offers_ke_esp(conf->esp, conf->esp_n, (uint16_t)used))
        return used;
    for (size_t i = 0; i < conf->esp_n; i++)
        if (ike_offers_ke_esp(conf->esp, conf->esp_n, (uint16_t)conf->esp[i].ke))
            return conf->esp[i].ke;
    return SL_KE_NONE;
}

static enum sl_rc child_start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = child_find(sa, x->old_child);
    assert(c);
    const struct sl_conf_child *conf = child_conf(c);
    if (!conf)
        return SL_FAIL(err, SL_CONFIG_REFERENCE, "child %s left the configuration", c->name);
    if (ike_first_esp(conf->esp, conf->esp_n) == conf->esp_n)
        return SL_FAIL(err, SL_UNSUPPORTED,
                       "child %s: none of its proposals can be used: this libcrypto lacks ML-KEM "
                       "(OpenSSL 3.5 has it)",
                       c->name);
    SL_TRY(child_offer(x, c, conf, err));
    x->group = first_group(conf, c->ke);
    SL_TRY(xchg_nonce(x, &x->ni, err));
    SL_TRY(ask_value(x, err));
    if (x->kind == XCHG_NEW_CHILD)
        c->state = CHILD_ASKED;
    return SL_OK;
}

/* The child being made: for a rekey a new one, else the one that was wanted. */
static struct ike_child *making(struct ike_xchg *x)
{
    return x->kind == XCHG_REKEY_CHILD ? x->child : child_find(x->sa, x->old_child);
}

static enum sl_rc child_request(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct ike_child *c = making(x), *old = child_find(sa, x->old_child);
    const struct sl_conf_child *conf = c ? child_conf(c) : NULL;
    uint8_t spi[4];
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!conf || !old || sa->state != ISA_UP)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    if (x->kind == XCHG_REKEY_CHILD) {
        child_spi_bytes(spi, old->spi_in);
        ike_put_notify_spi(&w, IKE_N_REKEY_SA, IKE_PROTO_ESP, sl_bytes(spi, sizeof(spi)),
                           sl_bytes(NULL, 0));
    }
    child_spi_bytes(spi, c->spi_in);
    ike_put_sa_esp(&w, conf->esp, conf->esp_n, sl_bytes(spi, sizeof(spi)), true, conf->esn);
    ike_put_nonce(&w, sl_buf_bytes(&x->ni));
    if (x->group != SL_KE_NONE)
        ike_put_ke(&w, (uint16_t)x->group, sl_kex_public(x->kex));
    ike_put_ts(&w, IKE_P_TSi, x->offer_i.v, x->offer_i.n);
    ike_put_ts(&w, IKE_P_TSr, x->offer_r.v, x->offer_r.n);
    SL_TRY(xchg_request(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    x->sent_state = C_SENT;
    return SL_OK;
}

static enum sl_rc child_other_group(struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_child *c = making(x);
    const struct sl_conf_child *conf = c ? child_conf(c) : NULL;
    uint16_t group;
    if (!conf || !other_group(x, &group) || !ike_offers_ke_esp(conf->esp, conf->esp_n, group))
        return peer_error(x, err);
    return try_group(x, group, err);
}

static enum sl_rc child_response(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_child *c = making(x);
    struct ike_ke ke;
    if (!c)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    SL_TRY(child_chosen(x, c, child_conf(c), true, err));
    SL_TRY(child_read_nonce(x, &x->nr, err));
    if (!child_read_ke(x, c->ke, &ke) || (c->ke != SL_KE_NONE && c->ke != x->group))
        return SL_FAIL(err, SL_IKE_INVALID_KE, "KE payload does not fit the group chosen, %s",
                       sl_ke_text(c->ke));
    if (c->ke != SL_KE_NONE)
        return ask_shared(x, &ke, err);
    xchg_ask_nothing(x);
    return SL_OK;
}

static enum sl_rc child_finish(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = making(x);
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    if (!c)
        return SL_FAIL(err, SL_IKE_DELETED, "child was taken down meanwhile");
    for (size_t i = 0; i < x->early_deletes; i++)
        c->peer_deleted = c->peer_deleted || x->early_delete[i] == c->spi_out;
    const bool rekey = x->kind == XCHG_REKEY_CHILD;
    if (rekey && ours_is_redundant(x)) {
        /* Never used: the peer sends on the winner, and so do we. */
        x->child = NULL;
        child_add(sa, c);
        c->replaced_by = x->rival_id;
        child_unwanted(c, SL_IKE_COLLISION);
        ike_event(sa->ike, SL_IKE_EV_STORY, sa, c, SL_IKE_COLLISION,
                  "both sides rekeyed; ours has the lowest nonce and goes (RFC 7296 2.8.1)");
        return SL_OK;
    }
    if (rekey)
        child_add(sa, c);
    sl_secret_clear(&c->more);
    sl_secret_move(&c->more, &x->more);
    const enum sl_rc rc = child_install(c, true, true, sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr),
                                        x->shared.len ? &x->shared : NULL, err);
    if (rc != SL_OK) {
        if (rekey)
            child_unlink(c);
        return rc;
    }
    x->child = NULL;
    child_told(c);
    struct ike_child *old = rekey ? child_find(sa, x->old_child) : NULL;
    if (old) {
        if (old->want_delete && old->end_rc != SL_IKE_LIFETIME)
            c->want_delete = true; /* taken down by command while it was rekeyed */
        child_replaced(old, c->id, true);
    }
    struct ike_child *rival = x->rival_id ? child_find(sa, x->rival_id) : NULL;
    if (rival)
        child_replaced(rival, c->id, false); /* its maker deletes it */
    if (c->peer_deleted)
        child_end(c, SL_IKE_DELETED, true);
    return SL_OK;
}

/* The peer answered, so it has made the child that we cannot take. */
static bool peer_made_it(const struct ike_xchg *x)
{
    if (x->table != &ike_child_initiator)
        return followup_peer_made_it(x);
    return (x->state == C_SENT && !x->refuse) || x->state == C_WAIT_SHARED;
}

static void child_initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    struct ike_child *old = child_find(sa, x->old_child);
    const bool soon = rc == SL_NO_MEMORY || x->refuse == IKE_N_TEMPORARY_FAILURE;
    const bool rekey = x->kind == XCHG_REKEY_CHILD;
    ike_window_answered(&sa->win);
    if (rekey && peer_made_it(x) && x->child) {
        struct ike_child *c = sl_steal(&x->child);
        child_add(sa, c);
        c->replaced_by = x->old_child;
        child_unwanted(c, rc);
    }
    if (!old)
        return;
    if (!rekey && peer_made_it(x)) {
        child_failed(sa, old->name, rc, sl_err_text(err));
        child_unwanted(old, rc);
        return;
    }
    if (soon && (rekey || rc == SL_NO_MEMORY || old->retries++ < 10)) {
        old->retry_ns = create_later(ike);
        if (!rekey)
            old->state = CHILD_WANTED;
        ike_event(ike, SL_IKE_EV_STORY, sa, old, rc, "tried again later: %s", sl_err_text(err));
        isa_touch(sa);
        return;
    }
    if (!rekey) {
        char name[SL_NAME_MAX];
        snprintf(name, sizeof(name), "%s", old->name);
        child_end(old, rc, false);
        child_failed(sa, name, rc, sl_err_text(err));
        return;
    }
    if (old->replaced_by)
        return; /* the peer's rekey of it stands */
    if (x->refuse == IKE_N_CHILD_SA_NOT_FOUND) {
        /* SPEC RFC7296-2.25 SHOULD: a child that the peer no longer has is removed silently */
        child_end(old, SL_IKE_DELETED, false);
        return;
    }
    /* Tried once more later; its lifetime ends it should that fail as well. */
    old->want_rekey = false;
    old->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
    child_failed(sa, old->name, rc, sl_err_text(err));
    isa_touch(sa);
}

/* The rows of a refusal: another group is tried once more, anything else is the end. */
#define PEER_REFUSES(other_group)                                                     \
    { .from = C_SENT,                                                                 \
      .on = RESPONSE(IKE_CREATE_CHILD_SA),                                            \
      .notify = IKE_N_INVALID_KE_PAYLOAD,                                             \
      .need = P(N),                                                                   \
      .run = (other_group),                                                           \
      .to = C_WAIT_KE,                                                                \
      .story = "peer asked for another key exchange group" },                         \
    {                                                                                 \
        .from = C_SENT, .on = RESPONSE(IKE_CREATE_CHILD_SA), .notify = IKE_ANY_ERROR, \
        .need = P(N), .run = peer_error, .to = X_DONE                                 \
    }

static const struct ike_step child_initiator[] = {
    { .from = X_NEW, .on = GO, .run = child_start, .to = C_WAIT_KE },
    { .from = C_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = child_request,
      .to = C_SENT,
      .story = "CREATE_CHILD_SA sent" },
    { .from = C_WAIT_KE,
      .on = ANSWER(ASK_NOTHING),
      .run = child_request,
      .to = C_SENT,
      .story = "CREATE_CHILD_SA sent" },
    PEER_REFUSES(child_other_group),
    { .from = C_SENT,
      .on = RESPONSE(IKE_CREATE_CHILD_SA),
      .need = P(SA) | P(NONCE) | P(TSi) | P(TSr),
      .may = P(KE),
      .run = child_response,
      .to = C_WAIT_SHARED },
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = child_finish, .to = X_DONE },
    { .from = C_WAIT_SHARED, .on = ANSWER(ASK_NOTHING), .run = child_finish, .to = X_DONE },
};
const struct ike_table ike_child_initiator =
    IKE_TABLE("CREATE_CHILD_SA initiator, child", child_initiator, child_initiator_fail);

/* ---- initiator: the IKE SA's successor --------------------------------------------------------- */

static enum sl_rc rekey_start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    if (!sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    x->next = isa_new(sa->ike, true);
    if (!x->next)
        return SL_FAIL_MEM(err);
    x->group = sa->ke;
    SL_TRY(xchg_nonce(x, &x->ni, err));
    SL_TRY(ask_value(x, err));
    sa->want_rekey = false;
    return SL_OK;
}

static enum sl_rc rekey_request(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    SL_TRY(xchg_take_ke(x, err));
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr w = ike_wr_chain(&buf);
    ike_put_sa_ike(&w, conf->ike, conf->ike_n, sl_bytes(x->next->spi_i, IKE_SPI_LEN));
    ike_put_nonce(&w, sl_buf_bytes(&x->ni));
    ike_put_ke(&w, (uint16_t)x->group, sl_kex_public(x->kex));
    SL_TRY(xchg_request(x, IKE_CREATE_CHILD_SA, &w, &buf, err));
    x->sent_state = C_SENT;
    return SL_OK;
}

static enum sl_rc rekey_other_group(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    uint16_t group;
    if (!conf || !other_group(x, &group) || !ike_offers_ke_ike(conf->ike, conf->ike_n, group))
        return peer_error(x, err);
    return try_group(x, group, err);
}

enum sl_rc create_take_spi(uint8_t out[IKE_SPI_LEN], struct sl_bytes spi, struct sl_err *err)
{
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    if (spi.len != IKE_SPI_LEN || memcmp(spi.p, none, IKE_SPI_LEN) == 0)
        return SL_FAIL(
            err, SL_IKE_MALFORMED,
            "IKE proposal of a rekey needs an SPI of 8 bytes, not zero (RFC 7296 3.3.1)");
    memcpy(out, spi.p, IKE_SPI_LEN);
    return SL_OK;
}

static enum sl_rc rekey_response(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    struct ike_sa answer;
    struct ike_ke ke;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(ike_sa_read(&answer, ike_payloads_find(&x->list, IKE_P_SA)->body, err));
    SL_TRY(ike_sa_check_ike(&x->choice, &answer, conf->ike, conf->ike_n, IKE_OFFER_REKEY, err));
    SL_TRY(create_take_spi(x->next->spi_r, x->choice.spi, err));
    SL_TRY(child_read_nonce(x, &x->nr, err));
    if (x->choice.ke != x->group || !child_read_ke(x, x->group, &ke))
        return SL_FAIL(err, SL_IKE_INVALID_KE, "KE payload does not fit the group chosen, %s",
                       sl_ke_text(x->choice.ke));
    return ask_shared(x, &ke, err);
}

/* x->next takes over what the old SA was: keys derived from its own, the same peer, the same path. */
enum sl_rc create_make_next(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *old = x->sa, *next = x->next;
    next->suite = x->choice.suite;
    next->prf = x->choice.prf;
    next->ke = x->choice.ke;
    next->add = x->choice.add;
    ike_keys_clear(&next->keys);
    SL_TRY(ike_keys_rekey(&next->keys, old->prf, &old->keys.d, next->prf, &next->suite,
                          sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr), next->spi_i, next->spi_r,
                          &x->shared, x->more.len ? &x->more : NULL, err));
    SL_TRY(isa_keys(next, err));
    if (old->grant && !next->grant) {
        next->grant = calloc(1, sizeof(*next->grant));
        if (!next->grant)
            return SL_FAIL_MEM(err);
        *next->grant = *old->grant;
    }
    return SL_OK;
}

void create_adopt(struct ike_xchg *x)
{
    struct ike_isa *old = x->sa, *next = sl_steal(&x->next);
    conn_ref(next, old->conn);
    next->local = old->local;
    next->remote = old->remote;
    next->reply_local = old->reply_local;
    next->reply_remote = old->reply_remote;
    next->natt = old->natt;
    next->nat_local = old->nat_local;
    next->nat_remote = old->nat_remote;
    next->peer_may_move = old->peer_may_move;
    next->natt_supported = old->natt_supported;
    next->fragment = old->fragment;
    next->id_local = old->id_local;
    next->id_remote = old->id_remote;
    next->record = old->record;
    next->decided = old->decided;
    next->began = old->began;
    next->reauth_ns = old->reauth_ns; /* authentication is not renewed by a rekey */
    memcpy(next->tie, old->tie, sizeof(next->tie));
    if (next->grant && next->grant->lifetime_s)
        next->expire_ns = old->expire_ns;
    isa_enlist(next, ISA_UP);
    isa_lifetimes(next);
    isa_known(next);
    isa_touch(next);
}

/* The old SA is done with; its children, wishes and all, go to the successor. */
void create_succeed(struct ike_isa *old, struct ike_isa *next, bool we_delete)
{
    struct sl_ike *ike = old->ike;
    char suite[SL_SUITE_TEXT], ke[IKE_KE_TEXT];
    isa_inherit(next, old);
    old->state = ISA_REKEYED;
    old->replaced_by = next->id;
    old->quiet = true;
    old->want_rekey = old->want_liveness = old->want_reauth = false;
    old->rekey_ns = old->expire_ns = old->reauth_ns = INT64_MAX;
    if (we_delete)
        old->want_delete = true;
    else
        old->half_open_ns = ike->now_ns + IKE_REDUNDANT_NS;
    isa_touch(old);
    ike_event(ike, SL_IKE_EV_IKE_REKEYED, next, NULL, SL_OK, "replaces IKE SA %llu, %s, %s",
              (unsigned long long)old->id, sl_suite_text(suite, &next->suite),
              ike_ke_text(ke, next->ke, &next->add));
}

/* An SA of a collision that nobody will use. */
void create_redundant(struct ike_isa *sa, uint64_t winner, bool we_delete)
{
    sa->state = ISA_REKEYED;
    sa->replaced_by = winner;
    sa->quiet = true;
    sa->rekey_ns = sa->expire_ns = sa->reauth_ns = INT64_MAX;
    sa->want_delete = we_delete;
    sa->half_open_ns = we_delete ? INT64_MAX : sa->ike->now_ns + IKE_REDUNDANT_NS;
    isa_touch(sa);
}

/* The SA that the peer's simultaneous rekey made, unless it has been deleted already. */
static struct ike_isa *living_rival(const struct ike_xchg *x)
{
    struct ike_isa *rival = x->rival_id ? isa_find(x->sa->ike, x->rival_id) : NULL;
    return rival && rival->state == ISA_UP ? rival : NULL;
}

static enum sl_rc rekey_finish(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa, *next = x->next;
    if (x->job)
        SL_TRY(xchg_take_ke(x, err));
    SL_TRY(create_make_next(x, err));
    create_adopt(x);
    struct ike_isa *rival = living_rival(x);
    if (sa->state != ISA_UP || sa->want_delete) {
        create_redundant(next, sa->replaced_by,
                         true); /* the old SA ended, or is to end, meanwhile */
        return SL_OK;
    }
    if (ours_is_redundant(x)) {
        ike_event(sa->ike, SL_IKE_EV_STORY, next, NULL, SL_IKE_COLLISION,
                  "both sides rekeyed; ours has the lowest nonce and goes (RFC 7296 2.8.2)");
        create_redundant(next, x->rival_id, true);
        if (rival)
            create_succeed(sa, rival, false); /* else as soon as it is made */
        return SL_OK;
    }
    create_succeed(sa, next, true);
    if (rival)
        create_redundant(rival, next->id, false);
    return SL_OK;
}

static void rekey_initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    struct ike_isa *rival = living_rival(x);
    ike_window_answered(&sa->win);
    if (sa->state != ISA_UP)
        return;
    if (rival) {
        create_succeed(sa, rival, false);
        return;
    }
    if (rc == SL_NO_MEMORY || x->refuse == IKE_N_TEMPORARY_FAILURE) {
        sa->want_rekey = true;
        sa->retry_ns = create_later(ike);
        ike_event(ike, SL_IKE_EV_STORY, sa, NULL, rc, "rekey is tried again later: %s",
                  sl_err_text(err));
    } else {
        sa->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
        ike_event(ike, SL_IKE_EV_STORY, sa, NULL, rc, "rekey of the IKE SA failed: %s",
                  sl_err_text(err));
        sa->conn->last_rc = rc;
        snprintf(sa->conn->last_text, sizeof(sa->conn->last_text), "%s", sl_err_text(err));
    }
    isa_touch(sa);
}

static const struct ike_step rekey_initiator[] = {
    { .from = X_NEW, .on = GO, .run = rekey_start, .to = C_WAIT_KE },
    { .from = C_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = rekey_request,
      .to = C_SENT,
      .story = "CREATE_CHILD_SA sent to rekey the IKE SA" },
    PEER_REFUSES(rekey_other_group),
    { .from = C_SENT,
      .on = RESPONSE(IKE_CREATE_CHILD_SA),
      .need = P(SA) | P(NONCE) | P(KE),
      .run = rekey_response,
      .to = C_WAIT_SHARED_IKE },
    { .from = C_WAIT_SHARED_IKE, .on = ANSWER(ASK_KE), .run = rekey_finish, .to = X_DONE },
};
const struct ike_table ike_rekey_initiator =
    IKE_TABLE("CREATE_CHILD_SA initiator, IKE SA", rekey_initiator, rekey_initiator_fail);

enum sl_rc create_finish(struct ike_xchg *x, struct sl_err *err)
{
    return x->kind == XCHG_REKEY_IKE ? rekey_finish(x, err) : child_finish(x, err);
}

void create_initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    if (x->kind == XCHG_REKEY_IKE)
        rekey_initiator_fail(x, rc, err);
    else
        child_initiator_fail(x, rc, err);
}
