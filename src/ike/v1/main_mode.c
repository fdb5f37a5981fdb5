/*
 * Main mode (RFC 2409 5.1, 5.4)
 *
 *   1  SA, VID*                          -->
 *   2                                    <--  SA, VID*
 *   3  KE, Ni, [CR], NAT-D, NAT-D        -->
 *   4                                    <--  KE, Nr, [CR], NAT-D, NAT-D
 *   5  {IDii, [CERT]*, HASH_I | SIG_I}   -->
 *   6                                    <--  {IDir, [CERT]*, HASH_R | SIG_R}
 *
 * With pre-shared keys the responder needs the key before it knows who the peer is, so the addresses
 * choose it; the ID is checked against that connection afterwards.
 */
#include "src/ike/v1/v1.h"

#include <stdio.h>
#include <string.h>

/* ---- both sides -------------------------------------------------------------------------------- */

static struct sl_bytes body_of(const struct ike_xchg *x, uint8_t type)
{
    const struct ike_payload *p = ike_payloads_find(&x->list, type);
    return p ? p->body : sl_bytes(NULL, 0);
}

/* Messages 3 and 4. */
static enum sl_rc send_ke(struct ike_xchg *x, bool timer, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    struct v1_xchg *p = x->v1;
    const struct sl_bytes value = sl_kex_public(x->kex);
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    if (!sl_buf_set(sa->initiator ? &p->gxi : &p->gxr, value))
        return SL_FAIL_MEM(err);
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    v1_put(&c, V1_P_KE, value);
    v1_put(&c, V1_P_NONCE, sl_buf_bytes(sa->initiator ? &x->ni : &x->nr));
    v1_put_cert_request(&c, sa);
    if (sa->v1->natd) {
        struct sl_endpoint from = sa->local;
        if (conf->force_encap)
            from.port = 0; /* a source that nobody sees: both sides take it for a NAT */
        SL_TRY(
            v1_put_natd(&c, sa->v1->natd, sa->prf, sa->spi_i, sa->spi_r, &from, &sa->remote, err));
    }
    return v1_send(x, V1_MAIN, &c, &chain, false, timer, err);
}

static enum sl_rc take_ke(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    SL_TRY(v1_take_nonce(x, sa->initiator ? &x->nr : &x->ni, err));
    if (!sl_buf_set(sa->initiator ? &x->v1->gxr : &x->v1->gxi, body_of(x, V1_P_KE)))
        return SL_FAIL_MEM(err);
    v1_take_vids(x);
    SL_TRY(v1_take_natd(x, err));
    x->setup->peer_certreq = ike_payloads_find(&x->list, V1_P_CR) != NULL;
    return xchg_ask_ke(x, body_of(x, V1_P_KE), err);
}

static enum sl_rc shared_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    return v1_ask_skeyid(x, err);
}

/* Messages 5 and 6. */
static enum sl_rc send_proof(struct ike_xchg *x, bool timer, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    v1_put(&c, V1_P_ID, sl_buf_bytes(&x->setup->id_ours));
    SL_TRY(v1_put_proof(x, &c, err));
    if (sa->initiator && v1_alone(sa))
        v1_put_notify_sa(&c, V1_N_INITIAL_CONTACT, sa->spi_i, sa->spi_r, sl_bytes(NULL, 0));
    return v1_send(x, V1_MAIN, &c, &chain, true, timer, err);
}

/* ---- initiator --------------------------------------------------------------------------------- */

static enum sl_rc start(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    uint16_t method[1];
    const size_t n = v1_methods(method, sa, conf);
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    SL_TRY(
        v1_put_sa_ike(&c, conf->ike, conf->ike_n, method, n, (uint32_t)v1_life_offered(conf), err));
    /* SAi_b: all of it behind the generic header */
    if (chain.len <= 4 || !sl_buf_set(&x->v1->sai, sl_bytes(chain.p + 4, chain.len - 4)))
        return SL_FAIL_MEM(err);
    v1_put_vids(&c, sa);
    return v1_send(x, V1_MAIN, &c, &chain, false, true, err);
}

static enum sl_rc sa_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    uint16_t method[1];
    struct v1_sa answer;
    struct v1_ike_choice choice;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    enum sl_rc rc = v1_sa_read(&answer, body_of(x, V1_P_SA), err);
    if (rc == SL_OK)
        rc = v1_sa_check_ike(&choice, &answer, conf->ike, conf->ike_n, method,
                             v1_methods(method, sa, conf), err);
    if (rc != SL_OK) {
        v1_doubt(sa, rc, sl_err_text(err)); /* the true peer may answer yet */
        return IKE_IGNORED;
    }
    SL_TRY(v1_take_choice(x, &choice, err));
    v1_take_vids(x);
    SL_TRY(xchg_nonce(x, &x->ni, err));
    return xchg_ask_ke(x, sl_bytes(NULL, 0), err);
}

static enum sl_rc ke_out(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    return send_ke(x, true, err);
}

static enum sl_rc skeyid_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_take_skeyid(x, err));
    v1_float(x->sa);
    return v1_ask_proof(x, err);
}

static enum sl_rc proof_out(struct ike_xchg *x, struct sl_err *err)
{
    return send_proof(x, true, err);
}

static enum sl_rc proof_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_take_id(x, err));
    SL_TRY(v1_take_claim(x, err));
    return v1_ask_peer(x, err);
}

static enum sl_rc decided(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_accept(x, err));
    v1_established(x);
    return SL_OK;
}

#define PROOF (V1P(CERT) | V1P(CR) | V1P(HASH) | V1P(SIG))
static const struct v1_step initiator[] = {
    { .from = V1_NEW, .on = GO, .run = start, .to = M_I_SA_SENT, .story = "main mode begun" },
    { .from = M_I_SA_SENT,
      .on = V1_MESSAGE(V1_MAIN),
      .need = V1P(SA),
      .run = sa_in,
      .to = M_I_WAIT_KE },
    { .from = M_I_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = ke_out,
      .to = M_I_KE_SENT,
      .story = "main mode: peer chose a proposal" },
    { .from = M_I_KE_SENT,
      .on = V1_MESSAGE(V1_MAIN),
      .need = V1P(KE) | V1P(NONCE),
      .may = V1P(CR) | V1P(NAT_D),
      .run = take_ke,
      .to = M_I_WAIT_SHARED },
    { .from = M_I_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = shared_in, .to = M_I_WAIT_SKEYID },
    { .from = M_I_WAIT_SKEYID, .on = ANSWER(ASK_SIGN), .run = skeyid_in, .to = M_I_WAIT_SIGN },
    { .from = M_I_WAIT_SKEYID, .on = ANSWER(ASK_NOTHING), .run = skeyid_in, .to = M_I_WAIT_SIGN },
    { .from = M_I_WAIT_SIGN,
      .on = ANSWER(ASK_SIGN),
      .run = proof_out,
      .to = M_I_AUTH_SENT,
      .story = "main mode: our proof sent" },
    { .from = M_I_WAIT_SIGN,
      .on = ANSWER(ASK_NOTHING),
      .run = proof_out,
      .to = M_I_AUTH_SENT,
      .story = "main mode: our proof sent" },
    { .from = M_I_AUTH_SENT,
      .on = V1_MESSAGE(V1_MAIN),
      .need = V1P(ID),
      .may = PROOF,
      .run = proof_in,
      .to = M_I_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = M_I_WAIT_DECISION,
      .on = ANSWER(ASK_DECISION),
      .run = decided,
      .to = V1_DONE,
      .story = "peer accepted" },
};
const struct v1_table v1_main_initiator =
    V1_TABLE("main mode initiator", initiator, v1_phase1_fail);

/* ---- responder --------------------------------------------------------------------------------- */

/* The first connection for these addresses with a proposal and a method in common. */
static enum sl_rc choose(struct ike_xchg *x, const struct v1_sa *offer,
                         struct v1_ike_choice *choice, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_err first = { 0 };
    struct ike_conn *conn;
    for (size_t n = 0; (conn = v1_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, false, n));
         n++) {
        struct sl_err e = { 0 };
        uint16_t method[1];
        const size_t methods = v1_methods(method, sa, conn->conf);
        if (methods && v1_sa_select_ike(choice, offer, conn->conf->ike, conn->conf->ike_n, method,
                                        methods, IKE_PREFER_PEER, &e) == SL_OK) {
            conn_ref(sa, conn);
            return SL_OK;
        }
        if (!methods)
            (void)SL_FAIL(&e, SL_UNAVAILABLE, "connection %s: no certificate that IKEv1 can use",
                          conn->name);
        if (n == 0)
            first = e;
    }
    *err = first;
    return first.rc ? first.rc : SL_IKE_NO_CONNECTION;
}

static enum sl_rc first_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct v1_sa offer;
    struct v1_ike_choice choice;
    const struct sl_bytes sai = body_of(x, V1_P_SA);
    SL_TRY(v1_sa_read(&offer, sai, err));
    SL_TRY(choose(x, &offer, &choice, err));
    if (!sl_buf_set(&x->v1->sai, sai))
        return SL_FAIL_MEM(err);
    SL_TRY(v1_take_choice(x, &choice, err));
    v1_take_vids(x);
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    v1_put_sa_ike_choice(&c, &choice);
    v1_put_vids(&c, sa);
    return v1_send(x, V1_MAIN, &c, &chain, false, false, err);
}

static enum sl_rc ke_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_nonce(x, &x->nr, err));
    return take_ke(x, err);
}

static enum sl_rc answer_shared(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    if (!sl_buf_set(&x->v1->gxr, sl_kex_public(x->kex)))
        return SL_FAIL_MEM(err);
    return v1_ask_skeyid(x, err);
}

static enum sl_rc ke_answer(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_take_skeyid(x, err));
    return send_ke(x, false, err);
}

/*
 * Another connection for the same addresses may be the one that expects this peer, as long as nothing
 * that was agreed on would have been different.
 */
static void choose_by_id(struct ike_isa *sa)
{
    const struct sl_conf_connection *now = sa->conn->conf;
    struct ike_conn *conn;
    if (!now || now->id_remote.type == SL_ID_NONE || sl_id_eq(&now->id_remote, &sa->id_remote))
        return;
    for (size_t n = 0; (conn = v1_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, false, n));
         n++) {
        const struct sl_conf_connection *conf = conn->conf;
        if (conf->auth != now->auth || strcmp(conf->psk, now->psk) != 0 ||
            strcmp(conf->identity, now->identity) != 0 || conf->id_remote.type == SL_ID_NONE ||
            !sl_id_eq(&conf->id_remote, &sa->id_remote))
            continue;
        for (size_t i = 0; i < conf->ike_n; i++)
            if (conf->ike[i].suite.key_bits == sa->suite.key_bits &&
                conf->ike[i].suite.encr == sa->suite.encr && conf->ike[i].prf == sa->prf &&
                conf->ike[i].ke == sa->ke) {
                conn_ref(sa, conn);
                return;
            }
    }
}

static enum sl_rc peer_proof_in(struct ike_xchg *x, struct sl_err *err)
{
    struct v1_notify n;
    SL_TRY(v1_take_id(x, err));
    choose_by_id(x->sa);
    SL_TRY(v1_take_claim(x, err));
    x->setup->initial_contact = v1_notify_find(&x->list, V1_N_INITIAL_CONTACT, &n);
    if (x->sa->conn->conf)
        SL_TRY(auth_choose_id(x->sa, err));
    return v1_ask_peer(x, err);
}

static enum sl_rc peer_decided(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(v1_accept(x, err));
    return v1_ask_proof(x, err);
}

static enum sl_rc last_out(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(send_proof(x, false, err));
    v1_established(x);
    return SL_OK;
}

static const struct v1_step responder[] = {
    { .from = V1_NEW,
      .on = V1_MESSAGE(V1_MAIN),
      .need = V1P(SA),
      .run = first_in,
      .to = M_R_SA_SENT,
      .story = "main mode: a proposal was chosen" },
    { .from = M_R_SA_SENT,
      .on = V1_MESSAGE(V1_MAIN),
      .need = V1P(KE) | V1P(NONCE),
      .may = V1P(CR) | V1P(NAT_D),
      .run = ke_in,
      .to = M_R_WAIT_SHARED },
    { .from = M_R_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = answer_shared, .to = M_R_WAIT_SKEYID },
    { .from = M_R_WAIT_SKEYID, .on = ANSWER(ASK_SIGN), .run = ke_answer, .to = M_R_KE_SENT },
    { .from = M_R_WAIT_SKEYID, .on = ANSWER(ASK_NOTHING), .run = ke_answer, .to = M_R_KE_SENT },
    { .from = M_R_KE_SENT,
      .on = V1_MESSAGE(V1_MAIN),
      .need = V1P(ID),
      .may = PROOF,
      .run = peer_proof_in,
      .to = M_R_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = M_R_WAIT_DECISION,
      .on = ANSWER(ASK_DECISION),
      .run = peer_decided,
      .to = M_R_WAIT_SIGN,
      .story = "peer accepted; our proof is being made" },
    { .from = M_R_WAIT_SIGN, .on = ANSWER(ASK_SIGN), .run = last_out, .to = V1_DONE },
    { .from = M_R_WAIT_SIGN, .on = ANSWER(ASK_NOTHING), .run = last_out, .to = V1_DONE },
};
const struct v1_table v1_main_responder =
    V1_TABLE("main mode responder", responder, v1_phase1_fail);
