/*
 * Aggressive mode (RFC 2409 5.1, 5.4): three messages, the identities in the clear.
 *
 *   1  SA, KE, Ni, IDii, VID*                          -->
 *   2             <--  SA, KE, Nr, IDir, VID*, [CERT]*, [CR], NAT-D*, HASH_R | SIG_R
 *   3  {[CERT]*, HASH_I | SIG_I, NAT-D*}               -->
 *
 * One group serves all proposals, that of the first. With a pre-shared key whoever listens can try
 * keys against HASH_R, so the configuration must say aggressive_psk = yes.
 */
#include "src/ike/v1/v1.h"

#include <stdio.h>
#include <string.h>

static struct sl_bytes body_of(const struct ike_xchg *x, uint8_t type)
{
    const struct ike_payload *p = ike_payloads_find(&x->list, type);
    return p ? p->body : sl_bytes(NULL, 0);
}

/* The entries that share the first usable one's group, back to back. */
static size_t same_group(struct sl_conf_ike_proposal out[8], const struct sl_conf_connection *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < conf->ike_n && n < 8; i++) {
        if (conf->ike[i].suite.encr != SL_ENCR_AES_CBC || (n && conf->ike[i].ke != out[0].ke))
            continue;
        out[n++] = conf->ike[i];
    }
    return n;
}

static bool own_id(struct ike_xchg *x)
{
    struct ike_setup *s = x->setup;
    s->id_ours.len = 0;
    struct sl_wr w = sl_wr_buf(&s->id_ours, SL_ID_MAX + 8);
    v1_id_write(&w, &x->sa->id_local);
    return sl_wr_ok(&w);
}

static enum sl_rc put_natd(struct ike_xchg *x, struct ike_wr *c, struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    struct sl_endpoint from = sa->local;
    if (!sa->v1->natd)
        return SL_OK;
    if (sa->conn->conf && sa->conn->conf->force_encap)
        from.port = 0;
    return v1_put_natd(c, sa->v1->natd, sa->prf, sa->spi_i, sa->spi_r, &from, &sa->remote, err);
}

/* ---- initiator --------------------------------------------------------------------------------- */

static enum sl_rc start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_conf_ike_proposal own[8];
    const size_t n = same_group(own, sa->conn->conf);
    if (!n)
        return SL_FAIL(
            err, SL_IKE_NO_PROPOSAL,
            "connection %s: no IKE proposal that IKEv1 can carry; expected one with AES-CBC, "
            "as aes256-sha256-modp2048",
            sa->conn->name);
    SL_TRY(auth_choose_id(sa, err));
    SL_TRY(xchg_nonce(x, &x->ni, err));
    if (!own_id(x))
        return SL_FAIL_MEM(err);
    x->group = own[0].ke;
    return xchg_ask_ke(x, sl_bytes(NULL, 0), err);
}

static enum sl_rc first_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    struct sl_conf_ike_proposal own[8];
    uint16_t method[1];
    SL_TRY(xchg_take_ke(x, err));
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    const size_t n = same_group(own, conf), methods = v1_methods(method, sa, conf);
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    SL_TRY(v1_put_sa_ike(&c, own, n, method, methods, (uint32_t)v1_life_offered(conf), err));
    if (chain.len <= 4 || !sl_buf_set(&x->v1->sai, sl_bytes(chain.p + 4, chain.len - 4)) ||
        !sl_buf_set(&x->v1->gxi, sl_kex_public(x->kex)))
        return SL_FAIL_MEM(err);
    v1_put(&c, V1_P_KE, sl_kex_public(x->kex));
    v1_put(&c, V1_P_NONCE, sl_buf_bytes(&x->ni));
    v1_put(&c, V1_P_ID, sl_buf_bytes(&x->setup->id_ours));
    v1_put_cert_request(&c, sa);
    v1_put_vids(&c, sa);
    return v1_send(x, V1_AGGRESSIVE, &c, &chain, false, true, err);
}

static enum sl_rc answer_read(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    struct sl_conf_ike_proposal own[8];
    uint16_t method[1];
    struct v1_sa answer;
    struct v1_ike_choice choice;
    const size_t n = same_group(own, conf), methods = v1_methods(method, sa, conf);
    SL_TRY(v1_sa_read(&answer, body_of(x, V1_P_SA), err));
    SL_TRY(v1_sa_check_ike(&choice, &answer, own, n, method, methods, err));
    SL_TRY(v1_take_choice(x, &choice, err));
    v1_take_vids(x);
    SL_TRY(v1_take_nonce(x, &x->nr, err));
    SL_TRY(v1_take_natd(x, err));
    SL_TRY(v1_take_id(x, err));
    SL_TRY(v1_take_claim(x, err));
    x->setup->peer_certreq = ike_payloads_find(&x->list, V1_P_CR) != NULL;
    return sl_buf_set(&x->v1->gxr, body_of(x, V1_P_KE)) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc answer_in(struct ike_xchg *x, struct sl_err *err)
{
    if (!x->sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    const enum sl_rc rc = answer_read(x, err);
    if (rc == SL_NO_MEMORY)
        return rc;
    if (rc != SL_OK) {
        v1_doubt(x->sa, rc, sl_err_text(err)); /* the true peer may answer yet */
        return IKE_IGNORED;
    }
    return xchg_ask_ke(x, sl_buf_bytes(&x->v1->gxr), err);
}

static enum sl_rc shared_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    return v1_ask_skeyid(x, err);
}

static enum sl_rc skeyid_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_take_skeyid(x, err));
    v1_float(x->sa);
    return v1_ask_peer(x, err);
}

static enum sl_rc decided(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_accept(x, err));
    return v1_ask_proof(x, err);
}

static enum sl_rc last_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    SL_TRY(v1_put_proof(x, &c, err));
    SL_TRY(put_natd(x, &c, err));
    if (v1_alone(sa))
        v1_put_notify_sa(&c, V1_N_INITIAL_CONTACT, sa->spi_i, sa->spi_r, sl_bytes(NULL, 0));
    SL_TRY(v1_send(x, V1_AGGRESSIVE, &c, &chain, true, false, err));
    v1_established(x);
    return SL_OK;
}

#define PROOF (V1P(CERT) | V1P(CR) | V1P(HASH) | V1P(SIG) | V1P(NAT_D))
static const struct v1_step initiator[] = {
    { .from = V1_NEW, .on = GO, .run = start, .to = A_I_WAIT_KE },
    { .from = A_I_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = first_out,
      .to = A_I_SENT,
      .story = "aggressive mode begun" },
    { .from = A_I_SENT,
      .on = V1_MESSAGE(V1_AGGRESSIVE),
      .need = V1P(SA) | V1P(KE) | V1P(NONCE) | V1P(ID),
      .may = PROOF,
      .run = answer_in,
      .to = A_I_WAIT_SHARED },
    { .from = A_I_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = shared_in, .to = A_I_WAIT_SKEYID },
    { .from = A_I_WAIT_SKEYID,
      .on = ANSWER(ASK_SIGN),
      .run = skeyid_in,
      .to = A_I_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = A_I_WAIT_SKEYID,
      .on = ANSWER(ASK_NOTHING),
      .run = skeyid_in,
      .to = A_I_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = A_I_WAIT_DECISION,
      .on = ANSWER(ASK_DECISION),
      .run = decided,
      .to = A_I_WAIT_SIGN,
      .story = "peer accepted; our proof is being made" },
    { .from = A_I_WAIT_SIGN, .on = ANSWER(ASK_SIGN), .run = last_out, .to = V1_DONE },
    { .from = A_I_WAIT_SIGN, .on = ANSWER(ASK_NOTHING), .run = last_out, .to = V1_DONE },
};
const struct v1_table v1_aggressive_initiator =
    V1_TABLE("aggressive mode initiator", initiator, v1_phase1_fail);

/* ---- responder --------------------------------------------------------------------------------- */

/* The peer's ID is known already: the connection that expects it, and has a proposal in common. */
static enum sl_rc choose(struct ike_xchg *x, const struct v1_sa *offer,
                         struct v1_ike_choice *choice, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_err first = { 0 };
    struct ike_conn *conn;
    for (size_t n = 0; (conn = v1_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, true, n));
         n++) {
        const struct sl_conf_connection *conf = conn->conf;
        struct sl_err e = { 0 };
        uint16_t method[1];
        char want[SL_ID_TEXT], is[SL_ID_TEXT];
        const size_t methods = v1_methods(method, sa, conf);
        if (conf->id_remote.type != SL_ID_NONE && !sl_id_eq(&conf->id_remote, &sa->id_remote)) {
            (void)SL_FAIL(&e, SL_ID_UNEXPECTED, "connection %s wants peer %s; it is %s", conf->name,
                          sl_id_text(want, &conf->id_remote), sl_id_text(is, &sa->id_remote));
        } else if (!methods) {
            (void)SL_FAIL(&e, SL_UNAVAILABLE, "connection %s: no certificate that IKEv1 can use",
                          conf->name);
        } else if (v1_sa_select_ike(choice, offer, conf->ike, conf->ike_n, method, methods,
                                    IKE_PREFER_PEER, &e) == SL_OK) {
            conn_ref(sa, conn);
            return SL_OK;
        }
        if (n == 0)
            first = e;
    }
    *err = first;
    return first.rc ? first.rc : SL_IKE_NO_CONNECTION;
}

static enum sl_rc first_in(struct ike_xchg *x, struct sl_err *err)
{
    struct v1_sa offer;
    struct v1_ike_choice choice;
    const struct sl_bytes sai = body_of(x, V1_P_SA);
    SL_TRY(v1_take_id(x, err));
    SL_TRY(v1_sa_read(&offer, sai, err));
    SL_TRY(choose(x, &offer, &choice, err));
    SL_TRY(v1_take_choice(x, &choice, err));
    SL_TRY(v1_take_nonce(x, &x->ni, err));
    SL_TRY(xchg_nonce(x, &x->nr, err));
    v1_take_vids(x);
    x->setup->peer_certreq = ike_payloads_find(&x->list, V1_P_CR) != NULL;
    struct sl_buf *answer = &x->v1->choice;
    answer->len = 0;
    struct ike_wr c = ike_wr_chain(answer);
    v1_put_sa_ike_choice(&c, &choice);
    if (!ike_wr_end(&c) || !sl_buf_set(&x->v1->sai, sai) ||
        !sl_buf_set(&x->v1->gxi, body_of(x, V1_P_KE)))
        return SL_FAIL_MEM(err);
    return xchg_ask_ke(x, sl_buf_bytes(&x->v1->gxi), err);
}

static enum sl_rc answer_shared(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    if (!sl_buf_set(&x->v1->gxr, sl_kex_public(x->kex)))
        return SL_FAIL_MEM(err);
    return v1_ask_skeyid(x, err);
}

static enum sl_rc answer_keys(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_take_skeyid(x, err));
    return v1_ask_proof(x, err);
}

static enum sl_rc answer_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_bytes answer = sl_buf_bytes(&x->v1->choice);
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    v1_put(&c, V1_P_SA, sl_bytes(answer.p + 4, answer.len - 4));
    v1_put(&c, V1_P_KE, sl_buf_bytes(&x->v1->gxr));
    v1_put(&c, V1_P_NONCE, sl_buf_bytes(&x->nr));
    v1_put(&c, V1_P_ID, sl_buf_bytes(&x->setup->id_ours));
    SL_TRY(v1_put_proof(x, &c, err));
    v1_put_cert_request(&c, sa);
    v1_put_vids(&c, sa);
    SL_TRY(put_natd(x, &c, err));
    return v1_send(x, V1_AGGRESSIVE, &c, &chain, false, true, err);
}

static enum sl_rc last_in(struct ike_xchg *x, struct sl_err *err)
{
    struct v1_notify n;
    SL_TRY(v1_take_natd(x, err));
    SL_TRY(v1_take_claim(x, err));
    x->setup->initial_contact = v1_notify_find(&x->list, V1_N_INITIAL_CONTACT, &n);
    return v1_ask_peer(x, err);
}

static enum sl_rc peer_decided(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_accept(x, err));
    ike_datagrams_clear(&x->v1->tx); /* nothing more is asked of us */
    v1_established(x);
    return SL_OK;
}

static const struct v1_step responder[] = {
    { .from = V1_NEW,
      .on = V1_MESSAGE(V1_AGGRESSIVE),
      .need = V1P(SA) | V1P(KE) | V1P(NONCE) | V1P(ID),
      .may = V1P(CR),
      .run = first_in,
      .to = A_R_WAIT_SHARED,
      .story = "aggressive mode: a proposal was chosen" },
    { .from = A_R_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = answer_shared, .to = A_R_WAIT_SKEYID },
    { .from = A_R_WAIT_SKEYID, .on = ANSWER(ASK_SIGN), .run = answer_keys, .to = A_R_WAIT_SIGN },
    { .from = A_R_WAIT_SKEYID, .on = ANSWER(ASK_NOTHING), .run = answer_keys, .to = A_R_WAIT_SIGN },
    { .from = A_R_WAIT_SIGN, .on = ANSWER(ASK_SIGN), .run = answer_out, .to = A_R_SENT },
    { .from = A_R_WAIT_SIGN, .on = ANSWER(ASK_NOTHING), .run = answer_out, .to = A_R_SENT },
    { .from = A_R_SENT,
      .on = V1_MESSAGE(V1_AGGRESSIVE),
      .may = PROOF,
      .run = last_in,
      .to = A_R_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = A_R_WAIT_DECISION,
      .on = ANSWER(ASK_DECISION),
      .run = peer_decided,
      .to = V1_DONE,
      .story = "peer accepted" },
};
const struct v1_table v1_aggressive_responder =
    V1_TABLE("aggressive mode responder", responder, v1_phase1_fail);
