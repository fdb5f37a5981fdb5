/*
 * IKE_AUTH (RFC 7296 1.2, 2.15, 2.21.2; RFC 7427)
 *
 *   IDi, [CERT]*, [N(INITIAL_CONTACT)], [CERTREQ]*, [IDr], AUTH, SAi2, TSi, TSr  -->
 *                                    <--  IDr, [CERT]*, AUTH, SAr2, TSi, TSr
 *                                    <--  IDr, [CERT]*, AUTH, N(error)    SA is up, its child is not
 *                                    <--  N(AUTHENTICATION_FAILED)
 *   IDi, [CERT]*, AUTH, and no child (childless.c)  -->
 *                                    <--  IDr, [CERT]*, AUTH, [N(AUTH_LIFETIME)]
 *
 * CERT also carries OCSP responses of the certificates, where CERTREQ asks for them (RFC 4806).
 * Who the peer is, and whether it may in, is decided elsewhere: this file asks (ASK_DECISION) with
 * all the evidence, and goes on only with an acceptance. What a refused peer is told is one word.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- both sides -------------------------------------------------------------------------------- */

/* Our ID: as configured, else the first name of our certificate, else our address. */
static enum sl_rc choose_id(struct ike_isa *sa, struct sl_err *err)
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (conf->id_local.type != SL_ID_NONE) {
        sa->id_local = conf->id_local;
        return SL_OK;
    }
    if (conf->auth == SL_METHOD_CERT) {
        const struct ike_cred *cred = cred_find(sa->ike, conf->identity);
        if (!cred || !cred->id_n)
            return SL_FAIL(err, SL_UNAVAILABLE, "connection %s: identity %s has no certificate yet",
                           conf->name, conf->identity);
        sa->id_local = cred->id[0];
        return SL_OK;
    }
    const struct sl_addr *a = &sa->local.addr;
    sa->id_local = (struct sl_id){ .type = a->family == 4 ? SL_ID_IPV4_ADDR : SL_ID_IPV6_ADDR,
                                   .len = (uint16_t)sl_addr_len(a) };
    memcpy(sa->id_local.data, a->b, sa->id_local.len);
    return SL_OK;
}

static bool id_body(struct sl_buf *out, const struct sl_id *id)
{
    out->len = 0;
    struct sl_wr w = sl_wr_buf(out, SL_ID_MAX + 8);
    ike_id_write(&w, id);
    return sl_wr_ok(&w);
}

/* Asks for our AUTH: the side's own first message, the other's nonce, our ID. */
static enum sl_rc ask_sign(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    struct ike_setup *s = x->setup;
    const struct ike_cred *cred = cred_find(sa->ike, conf->identity);
    if (conf->auth == SL_METHOD_PSK) {
        s->auth = (struct ike_auth_choice){ .method = IKE_AUTH_PSK, .sig = SL_SIG_NONE };
    } else {
        if (!cred)
            return SL_FAIL(err, SL_UNAVAILABLE, "connection %s: identity %s has no certificate yet",
                           conf->name, conf->identity);
        SL_TRY(ike_auth_choose(&s->auth, cred->type, cred->bits, s->peer_hashes, 0, err));
    }
    if (!id_body(&s->id_ours, &sa->id_local))
        return SL_FAIL_MEM(err);
    SL_AUTO_BUF octets = { 0 };
    SL_TRY(ike_signed_octets(&octets, sa->prf, sl_buf_bytes(&s->init_ours),
                             sl_buf_bytes(sa->initiator ? &x->nr : &x->ni),
                             sa->initiator ? &sa->keys.pi : &sa->keys.pr, sl_buf_bytes(&s->id_ours),
                             err));
    if (!intermediate_cover(&octets, x))
        return SL_FAIL_MEM(err);
    return xchg_ask_sign(x, conf->auth == SL_METHOD_PSK ? conf->psk : cred->key, s->auth.sig,
                         &octets, err);
}

/* Our CERT payloads and AUTH from the answer to ASK_SIGN. */
static enum sl_rc take_signature(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_setup *s = x->setup;
    if (x->answer_rc == SL_NO_MEMORY)
        return SL_FAIL_MEM(err);
    if (x->answer_rc != SL_OK)
        return SL_FAIL(err, x->answer_rc, "our AUTH could not be made: %s",
                       sl_rc_text(x->answer_rc));
    s->ours_sig.len = 0;
    return ike_auth_make(&s->ours_sig, &s->auth, x->signature, err);
}

static void put_certs(struct ike_wr *c, const struct ike_xchg *x)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    const struct ike_cred *cred = cred_find(x->sa->ike, conf->identity);
    if (conf->auth != SL_METHOD_CERT || !cred ||
        !(conf->send_cert_always || x->setup->peer_certreq))
        return;
    for (size_t i = 0; i < cred->n; i++)
        ike_put_cert(c, IKE_CERT_X509_SIGNATURE, cred_cert(cred, i));
}

/* A view into store that stays good when store grows: offsets first, views at the end. */
static bool put_view(struct sl_buf *store, struct sl_bytes v, size_t *at)
{
    *at = store->len;
    return sl_buf_put(store, v);
}

static struct sl_bytes view(const struct sl_buf *store, size_t at, size_t len)
{
    return len ? sl_bytes(store->p + at, len) : sl_bytes(NULL, 0);
}

static enum sl_rc make_ask(struct ike_ask **out, struct ike_xchg *x,
                           const struct ike_auth_claim *claim, const struct ike_certs *certs,
                           struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_setup *s = x->setup;
    struct ike_ask *a = calloc(1, sizeof(*a));
    if (!a)
        return SL_FAIL_MEM(err);
    struct sl_decision_ask *q = &a->ask;
    snprintf(q->connection, sizeof(q->connection), "%s", sa->conn->name);
    q->local = sa->local;
    q->remote = sa->remote;
    q->id = sa->id_remote;
    q->id_local = sa->id_local;
    q->possession = claim->method == IKE_AUTH_PSK ? SL_POSSESSION_PSK : SL_POSSESSION_SIGNATURE;
    q->sig = claim->sig;
    q->prf = sa->prf;
    q->sa = sa->id;
    memcpy(q->wish, s->wish, sizeof(q->wish));
    SL_AUTO_BUF octets = { 0 };
    enum sl_rc rc = ike_signed_octets(&octets, sa->prf, sl_buf_bytes(&s->init_theirs),
                                      sl_buf_bytes(sa->initiator ? &x->ni : &x->nr),
                                      sa->initiator ? &sa->keys.pr : &sa->keys.pi,
                                      sl_buf_bytes(&s->id_theirs), err);
    if (rc == SL_OK && !intermediate_cover(&octets, x))
        rc = SL_FAIL_MEM(err);
    if (rc != SL_OK) {
        ike_ask_free(a);
        return rc;
    }
    size_t cert_at[SL_CHAIN_MAX], ocsp_at[SL_CHAIN_MAX], octets_at, auth_at;
    bool ok = put_view(&a->store, sl_buf_bytes(&octets), &octets_at) &&
              put_view(&a->store, claim->signature, &auth_at);
    for (size_t i = 0; ok && i < certs->cert_n; i++)
        ok = put_view(&a->store, certs->cert[i], &cert_at[i]);
    for (size_t i = 0; ok && i < certs->ocsp_n; i++)
        ok = put_view(&a->store, certs->ocsp[i], &ocsp_at[i]);
    if (!ok) {
        ike_ask_free(a);
        return SL_FAIL_MEM(err);
    }
    q->octets = view(&a->store, octets_at, octets.len);
    q->auth = view(&a->store, auth_at, claim->signature.len);
    for (size_t i = 0; i < certs->cert_n; i++)
        q->cert[i] = view(&a->store, cert_at[i], certs->cert[i].len);
    q->cert_n = certs->cert_n;
    for (size_t i = 0; i < certs->ocsp_n; i++)
        q->ocsp[i] = view(&a->store, ocsp_at[i], certs->ocsp[i].len);
    q->ocsp_n = certs->ocsp_n;
    *out = a;
    return SL_OK;
}

/* Reads the peer's CERT and AUTH and asks who it is. id_remote and id_theirs are set. */
static enum sl_rc ask_decision(struct ike_xchg *x, const struct ike_auth_claim *claim,
                               struct sl_err *err)
{
    struct ike_certs certs;
    struct ike_ask *question = NULL;
    SL_TRY(ike_certs_collect(&certs, &x->list, err));
    if (certs.ocsp_skipped)
        ike_event(x->sa->ike, SL_IKE_EV_STORY, x->sa, NULL, SL_OK,
                  "%zu OCSP responses of the peer passed over: repeated, over %d bytes or over %d "
                  "in number",
                  certs.ocsp_skipped, IKE_OCSP_MAX, SL_CHAIN_MAX);
    SL_TRY(make_ask(&question, x, claim, &certs, err));
    const enum sl_rc rc = xchg_ask_decision(x, question, err);
    if (rc != SL_OK)
        ike_ask_free(question);
    return rc;
}

static enum sl_rc read_auth(struct ike_xchg *x, struct ike_auth_claim *claim,
                            uint8_t scratch[IKE_AUTH_SCRATCH], struct sl_err *err)
{
    struct ike_auth auth;
    if (!ike_auth_read(&auth, ike_payloads_find(&x->list, IKE_P_AUTH)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED, "AUTH payload is malformed (RFC 7296 3.8)");
    return ike_auth_parse(claim, &auth, IKE_HASHES_OURS, 0, scratch, err);
}

static enum sl_rc read_id(struct sl_id *id, struct sl_buf *body, const struct ike_xchg *x,
                          uint8_t type, struct sl_err *err)
{
    const struct sl_bytes b = ike_payloads_find(&x->list, type)->body;
    if (!ike_id_read(id, b))
        return SL_FAIL(err, SL_IKE_MALFORMED, "ID payload is malformed (RFC 7296 3.5)");
    return sl_buf_set(body, b) ? SL_OK : SL_FAIL_MEM(err);
}

static bool method_fits(const struct sl_conf_connection *conf, uint8_t method)
{
    return (method == IKE_AUTH_PSK) == (conf->auth == SL_METHOD_PSK);
}

static enum sl_rc wrong_method(const struct sl_conf_connection *conf, uint8_t method,
                               struct sl_err *err)
{
    char text[IKE_TEXT];
    return SL_FAIL(err, SL_AUTH_METHOD, "connection %s wants %s; peer authenticates by %s",
                   conf->name, conf->auth == SL_METHOD_PSK ? "a pre-shared key" : "a certificate",
                   ike_auth_method_text(text, method));
}

static enum sl_rc wrong_id(const struct sl_conf_connection *conf, const struct sl_id *seen,
                           struct sl_err *err)
{
    char want[SL_ID_TEXT], is[SL_ID_TEXT];
    return SL_FAIL(err, SL_ID_UNEXPECTED, "connection %s wants peer %s; it is %s", conf->name,
                   sl_id_text(want, &conf->id_remote), sl_id_text(is, seen));
}

/* The verdict comes into force: what was granted, under which record. */
static enum sl_rc take_verdict(struct ike_isa *sa, const struct sl_verdict *v, struct sl_err *err)
{
    if (v->grant.ts_n || v->grant.lifetime_s || v->grant.tag[0] || v->grant.vip_rc != SL_OK ||
        v->grant.vip.addr[0].family || v->grant.vip.addr[1].family) {
        if (!sa->grant)
            sa->grant = calloc(1, sizeof(*sa->grant));
        if (!sa->grant)
            return SL_FAIL_MEM(err);
        *sa->grant = v->grant;
    }
    sa->record = v->record;
    return SL_OK;
}

enum sl_rc auth_choose_id(struct ike_isa *sa, struct sl_err *err)
{
    return choose_id(sa, err);
}

enum sl_rc auth_take_verdict(struct ike_isa *sa, const struct sl_verdict *v, struct sl_err *err)
{
    return take_verdict(sa, v, err);
}

/* ---- initiator --------------------------------------------------------------------------------- */

enum sl_rc auth_begin(struct ike_xchg *x, struct sl_err *err)
{
    if (!x->sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(choose_id(x->sa, err));
    SL_TRY(ask_sign(x, err));
    x->table = &ike_auth_initiator;
    return SL_OK;
}

static bool alone(const struct ike_isa *sa)
{
    for (const struct ike_isa *o = sa->conn->sas; o; o = o->conn_next)
        if (o != sa && isa_alive(o))
            return false;
    return !sa->replaces;
}

static enum sl_rc offer_child(struct ike_xchg *x, struct ike_wr *c, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct ike_child *child = child_find(sa, x->old_child);
    const struct sl_conf_child *conf = child ? child_conf(child) : NULL;
    if (!conf)
        return SL_FAIL(err, SL_CONFIG_REFERENCE, "child left the configuration");
    struct sl_ts ours[SL_TS_MAX], theirs[SL_TS_MAX];
    size_t ours_n, theirs_n;
    SL_TRY(vip_selectors(sa, conf->local_ts, conf->local_ts_n, true, true, ours, &ours_n, err));
    SL_TRY(
        vip_selectors(sa, conf->remote_ts, conf->remote_ts_n, false, true, theirs, &theirs_n, err));
    if (!selectors_set(&x->offer_i, ours, ours_n) || !selectors_set(&x->offer_r, theirs, theirs_n))
        return SL_FAIL_MEM(err);
    uint8_t spi[4];
    child_spi_bytes(spi, child->spi_in);
    ike_put_sa_esp(c, conf->esp, conf->esp_n, sl_bytes(spi, sizeof(spi)), false, conf->esn);
    ike_put_ts(c, IKE_P_TSi, x->offer_i.v, x->offer_i.n);
    ike_put_ts(c, IKE_P_TSr, x->offer_r.v, x->offer_r.n);
    return SL_OK;
}

static enum sl_rc request_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(take_signature(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_id(&c, IKE_P_IDi, &sa->id_local);
    put_certs(&c, x);
    put_staples(&c, x);
    mobike_offer(&c, sa);
    if (alone(sa))
        ike_put_notify(&c, IKE_N_INITIAL_CONTACT, sl_bytes(NULL, 0));
    const struct sl_bytes anchors = anchor_hashes(sa->ike, conf->trust);
    if (conf->auth == SL_METHOD_CERT && conf->send_certreq && anchors.len)
        ike_put_certreq(&c, IKE_CERT_X509_SIGNATURE, anchors);
    if (staple_wanted(sa->ike, conf))
        put_ocsp_request(&c);
    if (conf->id_remote.type != SL_ID_NONE)
        ike_put_id(&c, IKE_P_IDr, &conf->id_remote);
    ike_put_auth(&c, x->setup->auth.method, sl_buf_bytes(&x->setup->ours_sig));
    put_cfg_request(&c, sa);
    SL_TRY(childless_choose(x, err));
    if (!x->setup->childless)
        SL_TRY(offer_child(x, &c, err));
    SL_TRY(xchg_request(x, IKE_AUTH, &c, &buf, err));
    x->sent_state = I_AUTH_SENT;
    return SL_OK;
}

static enum sl_rc response_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    uint8_t scratch[IKE_AUTH_SCRATCH];
    struct ike_auth_claim claim;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(read_id(&sa->id_remote, &x->setup->id_theirs, x, IKE_P_IDr, err));
    if (conf->id_remote.type != SL_ID_NONE && !sl_id_eq(&conf->id_remote, &sa->id_remote))
        return wrong_id(conf, &sa->id_remote, err);
    SL_TRY(read_auth(x, &claim, scratch, err));
    if (!method_fits(conf, claim.method))
        return wrong_method(conf, claim.method, err);
    mobike_take(x);
    lifetime_take(sa, &x->list);
    return ask_decision(x, &claim, err);
}

/*
 * An address can be asked for in IKE_AUTH alone, so an IKE SA without one is of no use to us: it is taken
 * down, and a later attempt begins anew (RFC 7296 3.15.4).
 */
static void without_address(struct ike_isa *sa, enum sl_rc rc, const char *text)
{
    if (rc == SL_ADDRESS_NONE || rc == SL_ADDRESS_UNEXPECTED)
        isa_close(sa, rc, text);
}

/* Why the peer answered without a child; the IKE SA is up all the same (RFC 7296 2.21.2). */
static void child_refused(struct ike_xchg *x, struct ike_child *c)
{
    struct ike_notify n;
    char text[160], name[IKE_TEXT];
    enum sl_rc rc = SL_IKE_PEER_ERROR;
    if (ike_notify_find_error(&x->list, &n)) {
        snprintf(text, sizeof(text), "peer made no child: %s", ike_notify_text(name, n.type));
        if (n.type == IKE_N_TS_UNACCEPTABLE)
            rc = SL_IKE_TS_UNACCEPTABLE;
        else if (n.type == IKE_N_NO_PROPOSAL_CHOSEN)
            rc = SL_IKE_NO_PROPOSAL;
        else if (n.type == IKE_N_INTERNAL_ADDRESS_FAILURE)
            rc = SL_ADDRESS_NONE;
        else if (n.type == IKE_N_FAILED_CP_REQUIRED)
            rc = SL_ADDRESS_REQUIRED;
    } else {
        snprintf(text, sizeof(text), "peer answered without a child");
    }
    char child[SL_NAME_MAX];
    snprintf(child, sizeof(child), "%s", c->name);
    child_end(c, rc, false);
    child_failed(x->sa, child, rc, text);
    without_address(x->sa, rc, text);
}

static void finish_child(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_child *c = child_find(sa, x->old_child);
    if (!c)
        return;
    if (x->setup->childless) {
        childless_up(x, c);
        return;
    }
    if (!ike_payloads_find(&x->list, IKE_P_SA)) {
        child_refused(x, c);
        return;
    }
    struct sl_err err = { 0 };
    const struct sl_conf_child *conf = child_conf(c);
    enum sl_rc rc = cfg_reply_take(x, &err);
    if (rc == SL_OK)
        rc = child_chosen(x, c, conf, false, &err);
    if (rc == SL_OK)
        rc = child_install(c, true, true, sl_buf_bytes(&x->ni), sl_buf_bytes(&x->nr), NULL, &err);
    if (rc == SL_OK) {
        child_told(c);
        return;
    }
    child_unwanted(c, rc);
    child_failed(sa, c->name, rc, sl_err_text(&err));
    without_address(sa, rc, sl_err_text(&err));
}

static enum sl_rc established(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_verdict *v = x->verdict;
    if (v->rc == SL_NO_MEMORY)
        return SL_FAIL_MEM(err);
    if (v->rc != SL_OK)
        return SL_FAIL(err, v->rc, "%s", v->text);
    SL_TRY(take_verdict(sa, v, err));
    isa_up(sa, false);
    finish_child(x);
    return SL_OK;
}

static enum sl_rc refused_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    char name[IKE_TEXT];
    if (!ike_notify_find_error(&x->list, &n))
        return SL_FAIL(err, SL_IKE_MALFORMED, "IKE_AUTH response without AUTH");
    return SL_FAIL(
        err, n.type == IKE_N_AUTHENTICATION_FAILED ? SL_IKE_PEER_REFUSED : SL_IKE_PEER_ERROR,
        "peer answered IKE_AUTH with %s; its own log says why", ike_notify_text(name, n.type));
}

static void initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const bool peer_is_up = x->state >= I_AUTH_SENT && ike_payloads_find(&x->list, IKE_P_AUTH);
    if (rc == SL_IKE_PEER_REFUSED || rc == SL_IKE_PEER_ERROR || !peer_is_up) {
        isa_end(sa, rc, sl_err_text(err), false);
        return;
    }
    /* SPEC RFC7296-2.21.2 SHOULD: a responder we refuse is told so in an INFORMATIONAL exchange */
    sa->ike->stats.refused++;
    isa_goodbye(sa, rc, sl_err_text(err), IKE_N_AUTHENTICATION_FAILED);
    ike_window_answered(&sa->win);
}

static const struct ike_step initiator[] = {
    { .from = I_WAIT_SIGN,
      .on = ANSWER(ASK_SIGN),
      .run = request_out,
      .to = I_AUTH_SENT,
      .story = "IKE_AUTH sent" },
    { .from = I_AUTH_SENT,
      .on = RESPONSE(IKE_AUTH),
      .need = P(IDr) | P(AUTH) | P(SA) | P(TSi) | P(TSr),
      .may = P(CERT) | P(CP),
      .run = response_in,
      .to = I_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = I_AUTH_SENT,
      .on = RESPONSE(IKE_AUTH),
      .need = P(IDr) | P(AUTH),
      .may = P(CERT) | P(CP),
      .run = response_in,
      .to = I_WAIT_DECISION,
      .story = "peer's identity is being decided; it made no child" },
    { .from = I_AUTH_SENT,
      .on = RESPONSE(IKE_AUTH),
      .notify = IKE_ANY_ERROR,
      .need = P(N),
      .may = P(IDr) | P(CERT),
      .run = refused_in,
      .to = X_DONE },
    { .from = I_WAIT_DECISION,
      .on = ANSWER(ASK_DECISION),
      .run = established,
      .to = X_DONE,
      .story = "peer accepted" },
};
const struct ike_table ike_auth_initiator =
    IKE_TABLE("IKE_AUTH initiator", initiator, initiator_fail);

/* ---- responder --------------------------------------------------------------------------------- */

/* May this connection answer for the identity that the peer asks for? */
static bool answers_for(const struct ike_isa *sa, const struct sl_conf_connection *conf,
                        const struct sl_id *idr)
{
    if (conf->id_local.type != SL_ID_NONE)
        return sl_id_eq(&conf->id_local, idr);
    const struct ike_cred *cred = cred_find(sa->ike, conf->identity);
    for (size_t i = 0; cred && i < cred->id_n; i++)
        if (sl_id_eq(&cred->id[i], idr))
            return true;
    return conf->auth == SL_METHOD_PSK;
}

static bool same_ike(const struct sl_conf_connection *conf, const struct ike_isa *sa)
{
    for (size_t i = 0; i < conf->ike_n; i++) {
        const struct sl_conf_ike_proposal *p = &conf->ike[i];
        if (p->suite.encr == sa->suite.encr && p->suite.key_bits == sa->suite.key_bits &&
            p->suite.integ == sa->suite.integ && p->prf == sa->prf && p->ke == sa->ke &&
            ike_addke_fits(&p->add, &sa->add))
            return true;
    }
    return false;
}

/*
 * The addresses leave a few connections; the first whose rules the peer's ID, the ID it asks for and
 * its method fit is the one (RFC 7296 2.9 leaves the choice to policy). The reason of a refusal is
 * that of the connection that fitted best.
 */
static enum sl_rc choose_connection(struct ike_xchg *x, const struct sl_id *idr, uint8_t method,
                                    struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    int best = -1;
    struct ike_conn *conn;
    for (size_t n = 0; (conn = conn_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, n));
         n++) {
        const struct sl_conf_connection *conf = conn->conf;
        struct sl_err e = { 0 };
        int fits = 0;
        char text[SL_ID_TEXT];
        if (!same_ike(conf, sa)) {
            (void)SL_FAIL(&e, SL_IKE_NO_PROPOSAL,
                          "connection %s does not allow the IKE proposal chosen", conf->name);
        } else if (fits++, idr && !answers_for(sa, conf, idr)) {
            (void)SL_FAIL(&e, SL_IKE_NO_CONNECTION,
                          "peer asks for %s; no connection for it answers to that",
                          sl_id_text(text, idr));
        } else if (fits++, conf->id_remote.type != SL_ID_NONE &&
                               !sl_id_eq(&conf->id_remote, &sa->id_remote)) {
            (void)wrong_id(conf, &sa->id_remote, &e);
        } else if (fits++, !method_fits(conf, method)) {
            (void)wrong_method(conf, method, &e);
        } else {
            conn_ref(sa, conn);
            return SL_OK;
        }
        if (fits > best) {
            best = fits;
            *err = e;
        }
    }
    if (best < 0)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    return err->rc;
}

static enum sl_rc request_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    uint8_t scratch[IKE_AUTH_SCRATCH];
    struct ike_auth_claim claim;
    struct sl_id idr = { 0 };
    struct ike_notify n;
    SL_TRY(read_id(&sa->id_remote, &x->setup->id_theirs, x, IKE_P_IDi, err));
    if (!ike_notifies_check(&x->list))
        return SL_FAIL(err, SL_IKE_MALFORMED, "IKE_AUTH: N payload is malformed (RFC 7296 3.10)");
    const struct ike_payload *p = ike_payloads_find(&x->list, IKE_P_IDr);
    if (p && !ike_id_read(&idr, p->body))
        return SL_FAIL(err, SL_IKE_MALFORMED, "IDr payload is malformed (RFC 7296 3.5)");
    SL_TRY(read_auth(x, &claim, scratch, err));
    SL_TRY(choose_connection(x, p ? &idr : NULL, claim.method, err));
    SL_TRY(childless_check(x, err));
    if (p && (sa->conn->conf->id_local.type == SL_ID_NONE))
        sa->id_local = idr;
    else
        SL_TRY(choose_id(sa, err));
    x->setup->initial_contact = ike_notify_find(&x->list, IKE_N_INITIAL_CONTACT, &n);
    SL_TRY(certreqs_take(x->setup, &x->list, err));
    SL_TRY(cfg_request_read(x, err));
    mobike_take(x);
    return ask_decision(x, &claim, err);
}

static enum sl_rc decided(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_verdict *v = x->verdict;
    if (v->rc == SL_NO_MEMORY)
        return SL_FAIL_MEM(err);
    if (v->rc != SL_OK)
        return SL_FAIL(err, v->rc, "%s", v->text);
    if (!x->sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(take_verdict(x->sa, v, err));
    return ask_sign(x, err);
}

/* The child of the request, or the N that says why there is none. */
static enum sl_rc answer_child(struct ike_xchg *x, struct ike_wr *c, struct sl_err *why)
{
    struct ike_isa *sa = x->sa;
    const bool childless = !ike_payloads_find(&x->list, IKE_P_SA);
    struct ike_child *child = child_new(sa, "");
    if (!child)
        return SL_FAIL_MEM(why);
    enum sl_rc rc = cfg_failure(sa, why);
    if (rc == SL_OK && childless) {
        child_free(child);
        return SL_OK;
    }
    if (rc == SL_OK)
        rc = childless_forced(sa, why);
    if (rc == SL_OK)
        rc = child_select(x, child, NULL, false, why);
    if (rc != SL_OK) {
        child_free(child);
        if (rc == SL_NO_MEMORY)
            return rc;
        x->refuse = 0;
        uint16_t notify = xchg_refusal(x, rc);
        if (notify == IKE_N_AUTHENTICATION_FAILED)
            notify = IKE_N_NO_PROPOSAL_CHOSEN;
        ike_put_notify(c, notify, sl_bytes(NULL, 0));
        return SL_OK;
    }
    uint8_t spi[4];
    child_spi_bytes(spi, child->spi_in);
    ike_put_sa_choice(c, &x->choice, sl_bytes(spi, sizeof(spi)));
    ike_put_ts(c, IKE_P_TSi, child->remote.v, child->remote.n);
    ike_put_ts(c, IKE_P_TSr, child->local.v, child->local.n);
    child_free(x->child);
    x->child = child;
    return SL_OK;
}

static enum sl_rc response_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_err no_child = { 0 };
    if (!sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(take_signature(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_id(&c, IKE_P_IDr, &sa->id_local);
    put_certs(&c, x);
    put_staples(&c, x);
    ike_put_auth(&c, x->setup->auth.method, sl_buf_bytes(&x->setup->ours_sig));
    put_cfg_reply(&c, x);
    mobike_accept(&c, sa);
    lifetime_announce(&c, sa);
    SL_TRY(answer_child(x, &c, &no_child));
    struct ike_datagrams d = { 0 };
    SL_TRY(xchg_seal_response(x, IKE_AUTH, &c, &buf, &d, err));
    struct ike_child *child = sl_steal(&x->child);
    if (child) {
        child_add(sa, child);
        const enum sl_rc rc = child_install(child, false, true, sl_buf_bytes(&x->ni),
                                            sl_buf_bytes(&x->nr), NULL, err);
        if (rc != SL_OK) {
            child_end(child, rc, false);
            ike_datagrams_clear(&d);
            return rc;
        }
    }
    isa_up(sa, x->setup->initial_contact);
    if (child)
        child_told(child);
    else if (no_child.rc != SL_OK)
        child_failed(sa, "", no_child.rc, sl_err_text(&no_child));
    xchg_send_response(x, &d);
    return SL_OK;
}

/* Whatever the reason, the peer learns only that authentication failed (or that its syntax is bad). */
static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    sa->ike->stats.refused++;
    if (xchg_refusal(x, rc) != IKE_N_INVALID_SYNTAX &&
        xchg_refusal(x, rc) != IKE_N_UNSUPPORTED_CRITICAL_PAYLOAD)
        x->refuse = IKE_N_AUTHENTICATION_FAILED;
    if (sa->win.rx_busy)
        (void)xchg_respond_refused(x, IKE_AUTH, rc);
    isa_end(sa, rc, sl_err_text(err), true);
}

static const struct ike_step responder[] = {
    { .from = R_INIT_DONE,
      .on = REQUEST(IKE_AUTH),
      .need = P(IDi) | P(AUTH),
      .may = P(CERT) | P(CERTREQ) | P(IDr) | P(CP),
      .run = request_in,
      .to = R_WAIT_DECISION,
      .story = "peer's identity is being decided; it wants no child yet" },
    { .from = R_INIT_DONE,
      .on = REQUEST(IKE_AUTH),
      .need = P(IDi) | P(AUTH) | P(SA) | P(TSi) | P(TSr),
      .may = P(CERT) | P(CERTREQ) | P(IDr) | P(CP),
      .run = request_in,
      .to = R_WAIT_DECISION,
      .story = "peer's identity is being decided" },
    { .from = R_WAIT_DECISION,
      .on = ANSWER(ASK_DECISION),
      .run = decided,
      .to = R_WAIT_SIGN,
      .story = "peer accepted; our AUTH is being made" },
    { .from = R_WAIT_SIGN, .on = ANSWER(ASK_SIGN), .run = response_out, .to = X_DONE },
};
const struct ike_table ike_auth_responder =
    IKE_TABLE("IKE_AUTH responder", responder, responder_fail);
