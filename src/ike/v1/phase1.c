/*
 * What main mode and aggressive mode have in common (RFC 2409 5; RFC 3947 3; RFC 4754 for ECDSA):
 * beginning, vendor IDs, the connection a peer belongs to, keys, both proofs, and the end.
 *
 * Who the peer is, and whether it may in, is decided elsewhere, as in IKEv2: with all the evidence
 * in one ASK_DECISION. The pre-shared key itself is never here: the keyring gives SKEYID.
 */
#include "src/ike/v1/v1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is offered --------------------------------------------------------------------------- */

uint32_t v1_vids_offered(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    uint32_t set = 1U << V1_VID_NATT | 1U << V1_VID_NATT_03 | 1U << V1_VID_NATT_02N |
                   1U << V1_VID_NATT_02 | 1U << V1_VID_DPD;
    if (conf && conf->fragmentation)
        set |= 1U << V1_VID_FRAGMENTATION;
    return set;
}

void v1_put_vids(struct ike_wr *c, const struct ike_isa *sa)
{
    const uint32_t set = v1_vids_offered(sa);
    for (enum v1_vid v = V1_VID_NATT; v < V1_VID_COUNT; v++)
        if (set & 1U << v)
            v1_put_vid(c, v);
}

void v1_take_vids(struct ike_xchg *x)
{
    struct ike_v1 *v = x->sa->v1;
    v->vids |= v1_vids(&x->list);
    v->natd = v1_natd_type(v->vids & v1_vids_offered(x->sa));
}

size_t v1_methods(uint16_t out[1], const struct ike_isa *sa, const struct sl_conf_connection *conf)
{
    if (conf->auth == SL_METHOD_PSK) {
        out[0] = V1_AUTH_PSK;
        return 1;
    }
    const struct ike_cred *cred = cred_find(sa->ike, conf->identity);
    out[0] = cred ? v1_auth_of_key(cred->type) : 0;
    return out[0] ? 1 : 0;
}

/* Our soft lifetime with room for the rekey, as isa_lifetimes has it. */
int64_t v1_life_offered(const struct sl_conf_connection *conf)
{
    return conf->rekey_s + conf->rekey_s / 10 + 60;
}

void v1_put_cert_request(struct ike_wr *c, const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (conf->auth == SL_METHOD_CERT && conf->send_certreq)
        v1_put_cr(c, sl_bytes(NULL, 0)); /* of any CA: RFC 2408 3.10 */
}

bool v1_alone(const struct ike_isa *sa)
{
    for (const struct ike_isa *o = sa->conn->sas; o; o = o->conn_next)
        if (o != sa && isa_alive(o))
            return false;
    return !sa->replaces;
}

/* ---- taking what comes ------------------------------------------------------------------------- */

static struct sl_bytes body_of(const struct ike_xchg *x, uint8_t type)
{
    const struct ike_payload *p = ike_payloads_find(&x->list, type);
    return p ? p->body : sl_bytes(NULL, 0);
}

enum sl_rc v1_take_choice(struct ike_xchg *x, const struct v1_ike_choice *choice,
                          struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    (void)err;
    sa->suite = choice->suite;
    sa->prf = choice->prf;
    sa->ke = x->group = choice->ke;
    sa->v1->auth = choice->auth;
    sa->v1->life_s = choice->life_s;
    return SL_OK;
}

enum sl_rc v1_take_nonce(struct ike_xchg *x, struct sl_buf *to, struct sl_err *err)
{
    const struct sl_bytes nonce = body_of(x, V1_P_NONCE);
    if (!v1_nonce_ok(nonce))
        return SL_FAIL(err, SL_IKE_MALFORMED, "nonce is not %d to %d bytes (RFC 2409 5)",
                       V1_NONCE_MIN, V1_NONCE_MAX);
    return sl_buf_set(to, nonce) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc v1_take_natd(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    bool nat_local = false, nat_remote = false;
    (void)err;
    sa->natt_supported =
        sa->v1->natd && v1_natd_check(&x->list, sa->prf, sa->spi_i, sa->spi_r, &sa->reply_local,
                                      &sa->reply_remote, &nat_local, &nat_remote);
    sa->nat_local = sa->natt_supported && (nat_local || (conf && conf->force_encap));
    sa->nat_remote = sa->natt_supported && nat_remote;
    sa->peer_may_move = sa->nat_remote && !nat_local;
    return SL_OK;
}

void v1_float(struct ike_isa *sa)
{
    /* RFC 3947 4: the initiator changes to port 4500 with the first message after NAT-D */
    if (!(sa->nat_local || sa->nat_remote) || sa->natt)
        return;
    sa->natt = true;
    sa->local.port = sa->ike->config->port_natt;
    if (sa->remote.port == 500)
        sa->remote.port = 4500;
}

enum sl_rc v1_take_id(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_bytes body = body_of(x, V1_P_ID);
    struct v1_id id;
    if (!v1_id_read(&id, body) || !v1_id_to_id(&x->sa->id_remote, &id))
        return SL_FAIL(err, SL_IKE_MALFORMED, "ID payload names no identity (RFC 2407 4.6.2)");
    return sl_buf_set(&x->setup->id_theirs, body) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc take_certs(struct ike_xchg *x, struct sl_err *err)
{
    struct v1_xchg *p = x->v1;
    struct v1_certs certs = { 0 };
    enum sl_rc rc = v1_certs_collect(&certs, &x->list, err);
    p->certs.len = 0;
    p->cert_n = 0;
    for (size_t i = 0; rc == SL_OK && i < certs.n; i++) {
        if (!sl_buf_put(&p->certs, certs.cert[i]))
            rc = SL_FAIL_MEM(err);
        else
            p->cert_end[p->cert_n++] = p->certs.len;
    }
    v1_certs_clear(&certs);
    return rc;
}

enum sl_rc v1_take_claim(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct v1_xchg *p = x->v1;
    const bool psk = sa->v1->auth == V1_AUTH_PSK;
    const struct sl_bytes body = body_of(x, psk ? V1_P_HASH : V1_P_SIG);
    if (!body.len)
        return SL_FAIL(err, SL_AUTH_METHOD, "peer sends no %s, which was agreed on",
                       psk ? "HASH" : "signature");
    SL_TRY(take_certs(x, err));
    /* RSA: the HASH encrypted as it is (RFC 2409 5.1); ECDSA: r | s (RFC 4754 3) */
    return sl_buf_set(&p->claim, body) ? SL_OK : SL_FAIL_MEM(err);
}

/* ---- keys -------------------------------------------------------------------------------------- */

static bool nonces(struct sl_buf *out, const struct ike_xchg *x)
{
    return sl_buf_put(out, sl_buf_bytes(&x->ni)) && sl_buf_put(out, sl_buf_bytes(&x->nr));
}

enum sl_rc v1_ask_skeyid(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    if (x->sa->v1->auth != V1_AUTH_PSK) {
        xchg_ask_nothing(x);
        return SL_OK;
    }
    SL_AUTO_BUF octets = { 0 };
    if (!nonces(&octets, x))
        return SL_FAIL_MEM(err);
    return xchg_ask_skeyid(x, conf->psk, &octets, err);
}

enum sl_rc v1_take_skeyid(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct v1_xchg *p = x->v1;
    const struct sl_bytes ni = sl_buf_bytes(&x->ni), nr = sl_buf_bytes(&x->nr);
    SL_AUTO_SECRET skeyid = { 0 };
    if (sa->v1->auth == V1_AUTH_PSK) {
        if (x->answer_rc != SL_OK || x->signature.len != sl_prf_len(sa->prf))
            return SL_FAIL(err, x->answer_rc ? x->answer_rc : SL_CRYPTO,
                           "the keyring gives no SKEYID: %s", sl_rc_text(x->answer_rc));
        SL_TRY(sl_secret_copy(&skeyid, x->signature, err));
    } else {
        SL_TRY(v1_skeyid_sig(&skeyid, sa->prf, ni, nr, &x->shared, err));
    }
    v1_keys_clear(&sa->v1->keys);
    SL_TRY(v1_keys_derive(&sa->v1->keys, sa->prf, &sa->suite, &skeyid, &x->shared, sa->spi_i,
                          sa->spi_r, err));
    SL_TRY(v1_iv_phase1(p->iv, sa->prf, sl_buf_bytes(&p->gxi), sl_buf_bytes(&p->gxr), err));
    p->has_iv = true;
    const struct sl_bytes low = nonce_lower(ni, nr);
    memset(sa->tie, 0, sizeof(sa->tie));
    memcpy(sa->tie, low.p, low.len < sizeof(sa->tie) ? low.len : sizeof(sa->tie));
    return SL_OK;
}

/* ---- proofs ------------------------------------------------------------------------------------ */

/* The prf of HASH_I and HASH_R: ECDSA prescribes its own (RFC 4754 3). */
static enum sl_prf proof_prf(const struct ike_isa *sa)
{
    const enum sl_prf own = v1_auth_prf(sa->v1->auth);
    return own != SL_PRF_NONE ? own : sa->prf;
}

static struct v1_hash_in hash_in(const struct ike_xchg *x)
{
    const struct v1_xchg *p = x->v1;
    return (struct v1_hash_in){ .gxi = sl_buf_bytes(&p->gxi),
                                .gxr = sl_buf_bytes(&p->gxr),
                                .sai = sl_buf_bytes(&p->sai),
                                .cky_i = x->sa->spi_i,
                                .cky_r = x->sa->spi_r };
}

/* HASH_I or HASH_R over an ID payload's body. */
static enum sl_rc hash_of(uint8_t out[SL_PRF_MAX], const struct ike_xchg *x, bool of_initiator,
                          struct sl_bytes id, struct sl_err *err)
{
    const struct v1_hash_in in = hash_in(x);
    const struct sl_secret *skeyid = &x->sa->v1->keys.skeyid;
    return of_initiator ? v1_hash_i(out, proof_prf(x->sa), skeyid, &in, id, err)
                        : v1_hash_r(out, proof_prf(x->sa), skeyid, &in, id, err);
}

enum sl_rc v1_ask_proof(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_setup *s = x->setup;
    if (!sa->conn->conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_TRY(auth_choose_id(sa, err));
    s->id_ours.len = 0;
    struct sl_wr w = sl_wr_buf(&s->id_ours, SL_ID_MAX + 8);
    v1_id_write(&w, &sa->id_local);
    if (!sl_wr_ok(&w))
        return SL_FAIL_MEM(err);
    if (sa->v1->auth == V1_AUTH_PSK) {
        xchg_ask_nothing(x);
        return SL_OK;
    }
    const struct ike_cred *cred = cred_find(sa->ike, sa->conn->conf->identity);
    if (!cred)
        return SL_FAIL(err, SL_UNAVAILABLE, "connection %s: identity %s has no certificate yet",
                       sa->conn->name, sa->conn->conf->identity);
    uint8_t hash[SL_PRF_MAX];
    SL_AUTO_BUF octets = { 0 };
    SL_TRY(hash_of(hash, x, sa->initiator, sl_buf_bytes(&s->id_ours), err));
    if (!sl_buf_put(&octets, sl_bytes(hash, sl_prf_len(proof_prf(sa)))))
        return SL_FAIL_MEM(err);
    return xchg_ask_sign(x, cred->key, v1_auth_sig(sa->v1->auth), &octets, err);
}

enum sl_rc v1_put_proof(struct ike_xchg *x, struct ike_wr *c, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    if (sa->v1->auth == V1_AUTH_PSK) {
        uint8_t hash[SL_PRF_MAX];
        SL_TRY(hash_of(hash, x, sa->initiator, sl_buf_bytes(&x->setup->id_ours), err));
        v1_put(c, V1_P_HASH, sl_bytes(hash, sl_prf_len(sa->prf)));
        return SL_OK;
    }
    if (x->answer_rc != SL_OK)
        return SL_FAIL(err, x->answer_rc, "our signature could not be made: %s",
                       sl_rc_text(x->answer_rc));
    const struct ike_cred *cred = cred_find(sa->ike, conf->identity);
    for (size_t i = 0; cred && i < cred->n && (conf->send_cert_always || x->setup->peer_certreq);
         i++)
        v1_put_cert(c, IKE_CERT_X509_SIGNATURE, cred_cert(cred, i));
    v1_put(c, V1_P_SIG, x->signature);
    return SL_OK;
}

/* What the peer's HASH covers, for the keyring (RFC 2409 5). */
static bool hash_octets(struct sl_buf *out, const struct ike_xchg *x)
{
    const struct ike_isa *sa = x->sa;
    const struct v1_xchg *p = x->v1;
    const bool of_i = !sa->initiator;
    const struct sl_bytes gxi = sl_buf_bytes(&p->gxi), gxr = sl_buf_bytes(&p->gxr);
    return sl_buf_put(out, of_i ? gxi : gxr) && sl_buf_put(out, of_i ? gxr : gxi) &&
           sl_buf_put(out, sl_bytes(of_i ? sa->spi_i : sa->spi_r, IKE_SPI_LEN)) &&
           sl_buf_put(out, sl_bytes(of_i ? sa->spi_r : sa->spi_i, IKE_SPI_LEN)) &&
           sl_buf_put(out, sl_buf_bytes(&p->sai)) &&
           sl_buf_put(out, sl_buf_bytes(&x->setup->id_theirs));
}

static enum sl_rc fill_ask(struct ike_ask *a, const struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    const struct v1_xchg *p = x->v1;
    struct sl_decision_ask *q = &a->ask;
    const bool psk = sa->v1->auth == V1_AUTH_PSK;
    snprintf(q->connection, sizeof(q->connection), "%s", sa->conn->name);
    q->local = sa->local;
    q->remote = sa->remote;
    q->id = sa->id_remote;
    q->id_local = sa->id_local;
    q->possession = psk ? SL_POSSESSION_PSK_V1 : SL_POSSESSION_SIGNATURE;
    q->sig = v1_auth_sig(sa->v1->auth);
    q->prf = sa->prf;
    q->sa = sa->id;
    struct sl_buf *store = &a->store;
    bool ok = true;
    if (psk) {
        ok = hash_octets(store, x);
    } else {
        uint8_t hash[SL_PRF_MAX];
        SL_TRY(hash_of(hash, x, !sa->initiator, sl_buf_bytes(&x->setup->id_theirs), err));
        ok = sl_buf_put(store, sl_bytes(hash, sl_prf_len(proof_prf(sa))));
    }
    const size_t octets = store->len;
    ok = ok && sl_buf_put(store, sl_buf_bytes(&p->claim));
    const size_t claim = store->len;
    ok = ok && nonces(store, x);
    const size_t both = store->len;
    if (!ok || !sl_buf_put(store, sl_buf_bytes(&p->certs)))
        return SL_FAIL_MEM(err);
    q->octets = sl_bytes(store->p, octets);
    q->auth = sl_bytes(store->p + octets, claim - octets);
    q->nonces = psk ? sl_bytes(store->p + claim, both - claim) : sl_bytes(NULL, 0);
    size_t at = 0;
    for (size_t i = 0; i < p->cert_n; i++) {
        q->cert[i] = sl_bytes(store->p + both + at, p->cert_end[i] - at);
        at = p->cert_end[i];
    }
    q->cert_n = p->cert_n;
    return SL_OK;
}

enum sl_rc v1_ask_peer(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    char want[SL_ID_TEXT], is[SL_ID_TEXT];
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    if (conf->id_remote.type != SL_ID_NONE && !sl_id_eq(&conf->id_remote, &x->sa->id_remote))
        return SL_FAIL(err, SL_ID_UNEXPECTED, "connection %s wants peer %s; it is %s", conf->name,
                       sl_id_text(want, &conf->id_remote), sl_id_text(is, &x->sa->id_remote));
    struct ike_ask *a = calloc(1, sizeof(*a));
    if (!a)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = fill_ask(a, x, err);
    if (rc == SL_OK)
        rc = xchg_ask_decision(x, a, err);
    if (rc != SL_OK)
        ike_ask_free(a);
    return rc;
}

enum sl_rc v1_accept(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_verdict *v = x->verdict;
    if (v->rc != SL_OK)
        return SL_FAIL(err, v->rc, "%s", v->text);
    return auth_take_verdict(x->sa, v, err);
}

/* ---- the end of phase 1 ------------------------------------------------------------------------ */

/* The negotiated lifetime is the smaller one; the initiator rekeys first. */
static void lifetimes(struct ike_isa *sa)
{
    struct sl_ike *ike = sa->ike;
    const uint64_t life_s = sa->v1->life_s;
    if (life_s && life_s < INT64_MAX / SL_NS_PER_S / 2) {
        const int64_t span = (int64_t)life_s * SL_NS_PER_S;
        const int64_t soft = ike->now_ns + span - span / 10 - ike_jitter(ike, span / 20);
        if (ike->now_ns + span < sa->expire_ns)
            sa->expire_ns = ike->now_ns + span;
        if (soft < sa->rekey_ns)
            sa->rekey_ns = soft;
    }
    if (!sa->initiator && sa->rekey_ns != INT64_MAX && sa->expire_ns > sa->rekey_ns &&
        sa->expire_ns != INT64_MAX)
        sa->rekey_ns += (sa->expire_ns - sa->rekey_ns) / 2;
}

static bool under_way(const struct ike_isa *sa)
{
    for (const struct ike_xchg *x = sa->v1->parts; x; x = x->v1->next)
        if (x->v1->state != V1_DONE)
            return true;
    return false;
}

/* A successor takes the children over; the old SA is deleted a little later. */
static void succeed(struct ike_isa *sa, struct ike_isa *old)
{
    for (struct ike_child *c = sa->children, *next; c; c = next) {
        next = c->next;
        if (c->state == CHILD_WANTED)
            child_end(c, SL_CANCELLED, false); /* the old one is inherited */
    }
    old->state = ISA_REKEYED;
    old->quiet = true;
    old->rekey_ns = old->expire_ns = old->reauth_ns = INT64_MAX;
    old->want_rekey = old->want_liveness = old->want_reauth = false;
    if (!under_way(old))
        isa_inherit(sa, old);
    ike_event(sa->ike, SL_IKE_EV_IKE_REKEYED, sa, NULL, SL_OK, "replaces IKE SA %llu (IKEv1)",
              (unsigned long long)old->id);
}

/*
 * A peer that makes another phase 1 means to go on with it, though nothing in the messages says so:
 * strongSwan takes no quick mode on the old one any more. The children move; the old SA stays until the
 * peer deletes it.
 */
static void adopt(struct ike_isa *sa)
{
    for (struct ike_isa *o = sa->conn ? sa->conn->sas : NULL; o; o = o->conn_next)
        if (o != sa && o->v1 && o->state == ISA_UP && o->children && !under_way(o) &&
            sl_id_eq(&o->id_remote, &sa->id_remote))
            isa_inherit(sa, o);
}

void v1_established(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct ike_v1 *v = sa->v1;
    memcpy(v->last, x->v1->iv, sizeof(v->last));
    v->ready = true;
    /*
     * Here XAuth and mode config will have their place (RFC 2409 leaves them to a transaction
     * exchange between the phases): children wait until isa_up.
     */
    isa_up(sa, x->setup->initial_contact);
    lifetimes(sa);
    struct ike_isa *old = sa->replaces ? isa_find(sa->ike, sa->replaces) : NULL;
    if (old && old->v1 && old->state == ISA_UP)
        succeed(sa, old);
    else if (!sa->initiator)
        adopt(sa);
    if (sa->out == x)
        sa->out = NULL;
    if (sa->in == x)
        sa->in = NULL;
    v->phase1 = x;
    v->hint_rc = SL_OK;
}

void v1_phase1_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    struct ike_isa *old = sa->replaces ? isa_find(ike, sa->replaces) : NULL;
    if (sa->state != ISA_SETUP)
        return;
    if (rc != SL_IKE_PEER_DEAD)
        ike->stats.refused++;
    if (x->v1->has_iv && rc != SL_IKE_PEER_DEAD && rc != SL_IKE_PEER_REFUSED) {
        /* The peer is told one word, under the keys of the exchange. */
        memcpy(sa->v1->last, x->v1->iv, sizeof(sa->v1->last));
        v1_send_notify(sa, V1_PROTO_ISAKMP, V1_N_AUTHENTICATION_FAILED, sl_bytes(NULL, 0),
                       sl_bytes(NULL, 0));
        if (sa->initiator && x->v1->state >= M_I_WAIT_DECISION)
            v1_send_delete(sa, NULL); /* for the responder the SA may be up */
    } else if (!sa->initiator && !x->v1->has_iv && rc != SL_IKE_PEER_DEAD) {
        const struct ike_hdr h = { .version = V1_VERSION };
        struct ike_hdr to = h;
        memcpy(to.spi_i, sa->spi_i, IKE_SPI_LEN);
        memcpy(to.spi_r, sa->spi_r, IKE_SPI_LEN);
        v1_refuse_plain(ike, &sa->local, &sa->remote, &to, v1_refusal(rc));
    }
    if (old && old->state == ISA_UP && old->rekey_ns == INT64_MAX)
        old->rekey_ns = ike->now_ns + 10 * IKE_RETRY_NS + ike_jitter(ike, IKE_RETRY_NS);
    if (old)
        isa_touch(old);
    isa_end(sa, rc, sl_err_text(err), false);
}

/* ---- beginning --------------------------------------------------------------------------------- */

static enum sl_rc check_begin(struct sl_ike *ike, const struct ike_conn *conn, struct sl_err *err)
{
    const struct sl_conf_connection *conf = conn->conf;
    if (ike->t.by_id.count >= ike->config->max_ike_sas)
        return SL_FAIL(err, SL_IKE_LIMIT, "connection %s: %u IKE SAs are the configured most",
                       conn->name, ike->config->max_ike_sas);
    if (conf->auth != SL_METHOD_CERT)
        return SL_OK;
    const struct ike_cred *cred = cred_find(ike, conf->identity);
    if (!cred)
        return SL_FAIL(err, SL_UNAVAILABLE, "connection %s: identity %s has no certificate yet",
                       conn->name, conf->identity);
    if (!v1_auth_of_key(cred->type))
        return SL_FAIL(err, SL_AUTH_METHOD,
                       "connection %s: IKEv1 has no method for the key of identity %s; expected "
                       "RSA or ECDSA",
                       conn->name, conf->identity);
    return SL_OK;
}

static void set_endpoints(struct ike_isa *sa, const struct sl_conf_connection *conf,
                          const struct ike_isa *replaces)
{
    const struct sl_config *config = sa->ike->config;
    if (replaces) {
        sa->local = replaces->local;
        sa->remote = replaces->remote;
        sa->natt = replaces->natt;
        return;
    }
    sa->remote = conf->remote;
    if (!sa->remote.port)
        sa->remote.port = 500;
    const bool v4 = sa->remote.addr.family == 4;
    sa->local.addr = !sl_addr_is_any(&conf->local.addr) ? conf->local.addr
                     : v4                               ? config->listen4
                                                        : config->listen6;
    sa->local.addr.family = sa->remote.addr.family;
    sa->natt = sa->remote.port != 500;
    sa->local.port = sa->natt ? config->port_natt : config->port;
}

struct ike_isa *v1_begin(struct sl_ike *ike, struct ike_conn *conn, const char *child,
                         struct ike_isa *replaces, struct sl_err *err)
{
    const struct sl_conf_connection *conf = conn->conf;
    if (!conf || check_begin(ike, conn, err) != SL_OK)
        return NULL;
    struct ike_isa *sa = v1_isa_new(ike, true);
    if (!sa) {
        (void)SL_FAIL_MEM(err);
        return NULL;
    }
    isa_enlist(sa, ISA_SETUP);
    sa->began = true;
    sa->v1->aggressive = conf->aggressive;
    conn_ref(sa, conn);
    struct ike_child *c = child ? child_new(sa, child) : NULL;
    struct ike_xchg *x =
        child && !c ? NULL
                    : v1_xchg_new(sa, XCHG_SETUP, true, 0,
                                  conf->aggressive ? &v1_aggressive_initiator : &v1_main_initiator);
    if (!x) {
        child_free(c);
        sa->state = ISA_DEAD;
        isa_touch(sa);
        (void)SL_FAIL_MEM(err);
        return NULL;
    }
    if (c)
        child_add(sa, c);
    if (replaces)
        sa->replaces = replaces->id;
    set_endpoints(sa, conf, replaces);
    sa->half_open_ns = ike->now_ns + 10 * ike->config->half_open_s * SL_NS_PER_S;
    isa_touch(sa);
    v1_event(x, GO, false);
    return sa;
}

/* ---- a stranger's first message ---------------------------------------------------------------- */

struct ike_conn *v1_candidate(struct sl_ike *ike, const struct sl_addr *local,
                              const struct sl_addr *remote, bool aggressive, size_t n)
{
    struct ike_conn *conn;
    for (size_t i = 0; (conn = conn_candidate_v1(ike, local, remote, i)); i++)
        if (conn->conf->aggressive == aggressive && n-- == 0)
            return conn;
    return NULL;
}

static struct ike_isa *find_half_open(struct sl_ike *ike, const uint8_t digest[32])
{
    struct ike_map_node *n = ike_map_get(&ike->t.by_init, ike_digest_key(digest));
    for (; n; n = ike_map_next(n)) {
        struct ike_isa *sa = IKE_OF(n, struct ike_isa, by_init);
        if (sa->v1 && memcmp(sa->init_hash, digest, sizeof(sa->init_hash)) == 0)
            return sa;
    }
    return NULL;
}

static struct ike_isa *half_open(struct sl_ike *ike, const struct sl_endpoint *local,
                                 const struct sl_endpoint *remote, const struct v1_message *m,
                                 const uint8_t digest[32])
{
    struct ike_isa *sa = v1_isa_new(ike, false);
    if (!sa)
        return NULL; /* as if the network had lost the request */
    isa_enlist(sa, ISA_SETUP);
    sa->source = ike_source_add(&ike->t, &remote->addr);
    if (!sa->source) {
        sa->state = ISA_DEAD;
        isa_touch(sa);
        return NULL;
    }
    sa->half_open = true;
    ike->stats.half_open++;
    memcpy(sa->spi_i, m->hdr.spi_i, IKE_SPI_LEN);
    memcpy(sa->init_hash, digest, sizeof(sa->init_hash));
    ike_map_put(&ike->t.by_init, &sa->by_init, ike_digest_key(digest));
    sa->local = sa->reply_local = *local;
    sa->remote = sa->reply_remote = *remote;
    sa->natt = local->port == ike->config->port_natt;
    sa->half_open_ns = ike->now_ns + ike->config->half_open_s * SL_NS_PER_S;
    isa_touch(sa);
    return sa;
}

void v1_first_message(struct sl_ike *ike, const struct sl_endpoint *local,
                      const struct sl_endpoint *remote, const struct v1_message *m)
{
    uint8_t digest[32];
    const bool aggressive = m->hdr.exchange == V1_AGGRESSIVE;
    if (v1_is_encrypted(&m->hdr) || m->hdr.id != 0) {
        ike->stats.malformed++;
        return;
    }
    ike_init_digest(&ike->t, remote, m->raw, digest);
    struct ike_isa *sa = find_half_open(ike, digest);
    if (sa) {
        struct ike_xchg *x = sa->in;
        if (x && !x->asking && x->v1->tx.n &&
            x->v1->state == (aggressive ? A_R_SENT : M_R_SA_SENT)) {
            ike->stats.retransmits++;
            isa_transmit(sa, &x->v1->tx, local, remote);
        }
        return;
    }
    struct ike_conn *conn = v1_candidate(ike, &local->addr, &remote->addr, aggressive, 0);
    if (!conn) {
        char from[SL_ENDPOINT_TEXT];
        ike->stats.refused++;
        ike_event(ike, SL_IKE_EV_STORY, NULL, NULL, SL_IKE_NO_CONNECTION,
                  "no connection takes %s mode of IKEv1 from a peer at %s",
                  aggressive ? "aggressive" : "main", sl_endpoint_text(from, remote));
        return;
    }
    if (!isa_within_limits(ike, remote) || !(sa = half_open(ike, local, remote, m, digest)))
        return;
    sa->v1->aggressive = aggressive;
    conn_ref(sa, conn); /* for now */
    struct ike_xchg *x = v1_xchg_new(sa, XCHG_SETUP, false, 0,
                                     aggressive ? &v1_aggressive_responder : &v1_main_responder);
    if (!x || !sl_buf_set(&x->plain, m->raw) ||
        v1_payloads_read(&x->list, m->hdr.next,
                         sl_bytes(x->plain.p + IKE_HDR_LEN, x->plain.len - IKE_HDR_LEN),
                         NULL) != SL_OK) {
        sa->state = ISA_DEAD;
        isa_touch(sa);
        return;
    }
    v1_event(x, V1_MESSAGE(m->hdr.exchange), true);
    /* Nothing was promised to anybody yet: no event of an end. */
    if (x->v1->state == V1_NEW && sa->state == ISA_SETUP) {
        sa->state = ISA_DEAD;
        isa_touch(sa);
    }
}
