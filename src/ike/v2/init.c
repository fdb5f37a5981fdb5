/*
 * IKE_SA_INIT (RFC 7296 1.2, 2.6, 2.23; RFC 7383 2.3; RFC 7427 4)
 *
 *   [N(COOKIE)], SAi1, KEi, Ni, N(NAT_DETECTION_*)  -->
 *                            <--  N(COOKIE)                      return it, message ID 0 again
 *                            <--  N(INVALID_KE_PAYLOAD)          try the group it names
 *                            <--  SAr1, KEr, Nr, [CERTREQ]*, N(NAT_DETECTION_*)
 *
 * With additional key exchanges both have N(INTERMEDIATE_EXCHANGE_SUPPORTED), and IKE_INTERMEDIATE
 * follows (intermediate.c).
 *
 * Nothing here is authenticated yet. So an initiator believes no refusal at once: it notes what was
 * said and goes on for a while, in case the true peer answers. A responder under load keeps no state
 * for a stranger that has not returned a cookie.
 */
#include "src/ike/core.h"

#include <stdio.h>
#include <string.h>

/* ---- what both sides announce ------------------------------------------------------------------ */

/*
 * Where the kernel will choose our address, each that it may choose is named (RFC 7296 3.10.1 allows
 * several), or the peer would see a NAT.
 */
static void put_nat_sources(struct ike_wr *c, const struct ike_isa *sa, uint16_t port)
{
    for (size_t i = 0; i < sa->ike->address_n; i++) {
        const struct sl_endpoint e = { sa->ike->address[i], port };
        uint8_t hash[IKE_NATD_LEN];
        if (e.addr.family != sa->remote.addr.family)
            continue;
        ike_natd_hash(hash, sa->spi_i, sa->spi_r, &e);
        ike_put_notify(c, IKE_N_NAT_DETECTION_SOURCE_IP, sl_bytes(hash, sizeof(hash)));
    }
}

void put_nat_detection(struct ike_wr *c, const struct ike_isa *sa, const struct sl_endpoint *local,
                       const struct sl_endpoint *remote)
{
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    uint8_t hash[IKE_NATD_LEN];
    /* The first request is hashed with SPIr zero, as it stands in its header (2.23). */
    const uint8_t *spi_r = sa->spi_r;
    struct sl_endpoint from = *local;
    if (conf && conf->force_encap)
        from.port = 0; /* a source that nobody sees: both sides take it for a NAT */
    if (from.port && sl_addr_is_any(&from.addr))
        put_nat_sources(c, sa, from.port);
    ike_natd_hash(hash, sa->spi_i, spi_r, &from);
    ike_put_notify(c, IKE_N_NAT_DETECTION_SOURCE_IP, sl_bytes(hash, sizeof(hash)));
    ike_natd_hash(hash, sa->spi_i, spi_r, remote);
    ike_put_notify(c, IKE_N_NAT_DETECTION_DESTINATION_IP, sl_bytes(hash, sizeof(hash)));
}

static bool fragments(const struct ike_isa *sa)
{
    return sa->conn && sa->conn->conf && sa->conn->conf->fragmentation;
}

/* Reads what both directions share: nonce, NAT detection, fragmentation, hashes. */
static enum sl_rc read_common(struct ike_xchg *x, const uint8_t spi_r[IKE_SPI_LEN],
                              const struct sl_endpoint *local, const struct sl_endpoint *remote,
                              struct sl_bytes *nonce, struct ike_ke *ke, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_notify n;
    if (!ike_nonce_read(nonce, ike_payloads_find(&x->list, IKE_P_NONCE)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_SA_INIT: nonce is not 16 to 256 bytes (RFC 7296 3.9)");
    if (!ike_ke_read(ke, ike_payloads_find(&x->list, IKE_P_KE)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_SA_INIT: KE payload is malformed (RFC 7296 3.4)");
    if (!ike_notifies_check(&x->list))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_SA_INIT: N payload is malformed (RFC 7296 3.10)");
    bool nat_local = false, nat_remote = false;
    sa->natt_supported =
        ike_natd_check(&x->list, sa->spi_i, spi_r, local, remote, &nat_local, &nat_remote);
    const struct sl_conf_connection *conf = sa->conn->conf;
    sa->nat_local = sa->natt_supported && (nat_local || (conf && conf->force_encap));
    sa->nat_remote = sa->natt_supported && nat_remote;
    sa->peer_may_move = sa->nat_remote && !nat_local;
    sa->fragment =
        fragments(sa) && ike_notify_find(&x->list, IKE_N_IKEV2_FRAGMENTATION_SUPPORTED, &n);
    x->setup->peer_hashes = 0;
    if (ike_notify_find(&x->list, IKE_N_SIGNATURE_HASH_ALGORITHMS, &n) &&
        !ike_hashes_read(&x->setup->peer_hashes, n.data))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_SA_INIT: SIGNATURE_HASH_ALGORITHMS is malformed (RFC 7427 4)");
    return certreqs_take(x->setup, &x->list, err);
}

/* Without the peer's word that it knows IKE_INTERMEDIATE there are no additional key exchanges. */
static enum ike_offer_kind offer_kind(const struct ike_xchg *x)
{
    struct ike_notify n;
    return ike_notify_find(&x->list, IKE_N_INTERMEDIATE_EXCHANGE_SUPPORTED, &n)
               ? IKE_OFFER_INIT_INTERMEDIATE
               : IKE_OFFER_INIT;
}

enum sl_rc init_derive(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    SL_TRY(xchg_take_ke(x, err));
    const struct sl_bytes ni = sl_buf_bytes(&x->ni), nr = sl_buf_bytes(&x->nr);
    const struct sl_bytes low = nonce_lower(ni, nr);
    memset(sa->tie, 0, sizeof(sa->tie));
    memcpy(sa->tie, low.p, low.len < sizeof(sa->tie) ? low.len : sizeof(sa->tie));
    ike_keys_clear(&sa->keys);
    SL_TRY(ike_keys_derive(&sa->keys, sa->prf, &sa->suite, ni, nr, sa->spi_i, sa->spi_r, &x->shared,
                           err));
    sl_secret_clear(&x->shared);
    return isa_keys(sa, err);
}

/* ---- initiator --------------------------------------------------------------------------------- */

struct ike_isa *init_begin(struct sl_ike *ike, struct ike_conn *conn, const char *child,
                           struct sl_err *err)
{
    const struct sl_conf_connection *conf = conn->conf;
    if (conf->ikev1)
        return v1_begin(ike, conn, child, NULL, err);
    if (ike->t.by_id.count >= ike->config->max_ike_sas) {
        (void)SL_FAIL(err, SL_IKE_LIMIT, "connection %s: %u IKE SAs are the configured most",
                      conn->name, ike->config->max_ike_sas);
        return NULL;
    }
    if (conf->auth == SL_METHOD_CERT && !cred_find(ike, conf->identity)) {
        (void)SL_FAIL(err, SL_UNAVAILABLE, "connection %s: identity %s has no certificate yet",
                      conn->name, conf->identity);
        return NULL;
    }
    const size_t first = ike_first_ike(conf->ike, conf->ike_n);
    if (first == conf->ike_n) {
        (void)SL_FAIL(err, SL_UNSUPPORTED,
                      "connection %s: none of its proposals can be used: this libcrypto lacks "
                      "ML-KEM (OpenSSL 3.5 has it)",
                      conn->name);
        return NULL;
    }
    struct ike_isa *sa = isa_new(ike, true);
    if (!sa) {
        (void)SL_FAIL_MEM(err);
        return NULL;
    }
    isa_enlist(sa, ISA_SETUP);
    sa->began = true;
    conn_ref(sa, conn);
    struct ike_child *c = child_new(sa, child);
    struct ike_xchg *x = c ? xchg_new(sa, XCHG_SETUP, true) : NULL;
    if (!x) {
        child_free(c);
        sa->state = ISA_DEAD;
        isa_touch(sa);
        (void)SL_FAIL_MEM(err);
        return NULL;
    }
    c->state = CHILD_ASKED;
    child_add(sa, c);
    x->old_child = c->id;
    x->table = &ike_init_initiator;
    x->group = conf->ike[first].ke;
    sa->remote = conf->remote;
    if (!sa->remote.port)
        sa->remote.port = 500;
    const bool v4 = sa->remote.addr.family == 4;
    sa->local.addr = !sl_addr_is_any(&conf->local.addr) ? conf->local.addr
                     : v4                               ? ike->config->listen4
                                                        : ike->config->listen6;
    sa->local.addr.family = sa->remote.addr.family;
    sa->natt = sa->remote.port != 500;
    sa->local.port = sa->natt ? ike->config->port_natt : ike->config->port;
    /* The retransmissions have their own end; this one is for answers that never come. */
    sa->half_open_ns = ike->now_ns + 10 * ike->config->half_open_s * SL_NS_PER_S;
    isa_touch(sa);
    xchg_event(x, GO, false);
    return sa;
}

static enum sl_rc start(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_nonce(x, &x->ni, err));
    return xchg_ask_ke(x, sl_bytes(NULL, 0), err);
}

static enum sl_rc send_request(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct sl_conf_connection *conf = sa->conn->conf;
    if (!conf)
        return SL_FAIL(err, SL_IKE_NO_CONNECTION, "connection left the configuration");
    SL_AUTO_BUF buf = { 0 };
    struct ike_hdr h = { .version = IKE_VERSION_2,
                         .exchange = IKE_SA_INIT,
                         .flags = IKE_FLAG_INITIATOR };
    memcpy(h.spi_i, sa->spi_i, IKE_SPI_LEN);
    struct ike_wr c = ike_wr_message(&buf, &h);
    if (x->setup->cookie.len)
        ike_put_notify(&c, IKE_N_COOKIE, sl_buf_bytes(&x->setup->cookie));
    ike_put_sa_ike(&c, conf->ike, conf->ike_n, sl_bytes(NULL, 0));
    ike_put_ke(&c, (uint16_t)x->group, sl_kex_public(x->kex));
    ike_put_nonce(&c, sl_buf_bytes(&x->ni));
    put_nat_detection(&c, sa, &sa->local, &sa->remote);
    if (fragments(sa))
        ike_put_notify(&c, IKE_N_IKEV2_FRAGMENTATION_SUPPORTED, sl_bytes(NULL, 0));
    ike_put_hashes(&c, IKE_HASHES_OURS);
    if (ike_offers_additional(conf->ike, conf->ike_n))
        ike_put_notify(&c, IKE_N_INTERMEDIATE_EXCHANGE_SUPPORTED, sl_bytes(NULL, 0));
    if (!ike_wr_end(&c) || !sl_buf_set(&x->setup->init_ours, sl_buf_bytes(&buf)))
        return SL_FAIL_MEM(err);
    SL_TRY(xchg_send_init(x, &buf, err));
    x->sent_state = I_INIT_SENT;
    return SL_OK;
}

static enum sl_rc request_out(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    return send_request(x, err);
}

/* Notes what an unprotected answer says; it is believed when no better one comes. */
static enum sl_rc doubt(struct ike_xchg *x, enum sl_rc rc, const char *text)
{
    struct ike_setup *s = x->setup;
    if (!s->hint_rc) {
        s->hint_rc = rc;
        snprintf(s->hint, sizeof(s->hint), "%s", text);
        s->hint_ns = x->sa->ike->now_ns + IKE_INIT_ERROR_NS;
    }
    return IKE_IGNORED;
}

static enum sl_rc cookie_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    if (!ike_notify_find(&x->list, IKE_N_COOKIE, &n) || !n.data.len ||
        n.data.len > IKE_COOKIE_MAX || x->setup->cookies >= IKE_COOKIES_FOLLOWED)
        return doubt(x, SL_IKE_COOKIE, "peer asks for cookies that it does not accept");
    if (!sl_buf_set(&x->setup->cookie, n.data))
        return SL_FAIL_MEM(err);
    SL_TRY(send_request(x, err));
    x->setup->cookies++;
    return SL_OK;
}

static enum sl_rc other_group_in(struct ike_xchg *x, struct sl_err *err)
{
    const struct sl_conf_connection *conf = x->sa->conn->conf;
    struct ike_notify n;
    if (!conf || !ike_notify_find(&x->list, IKE_N_INVALID_KE_PAYLOAD, &n))
        return IKE_IGNORED;
    struct sl_rd r = sl_rd(n.data);
    const uint16_t group = sl_rd_u16(&r);
    /* SPEC RFC7296-1.2 MUST: only a group that was offered is tried, or a stranger picks a weak one */
    if (!sl_rd_done(&r) || !ike_offers_ke_ike(conf->ike, conf->ike_n, group) ||
        group == (uint16_t)x->group || x->setup->ke_retries >= IKE_KE_RETRIES) {
        char text[160];
        snprintf(text, sizeof(text),
                 "peer asks for key exchange group %u, which is not offered or was tried", group);
        return doubt(x, SL_IKE_INVALID_KE, text);
    }
    sl_kex_free(sl_steal(&x->kex));
    x->group = (enum sl_ke)group;
    SL_TRY(xchg_ask_ke(x, sl_bytes(NULL, 0), err));
    x->setup->ke_retries++;
    return SL_OK;
}

static enum sl_rc error_in(struct ike_xchg *x, struct sl_err *err)
{
    (void)err;
    struct ike_notify n;
    char text[160], name[IKE_TEXT], from[SL_ENDPOINT_TEXT];
    if (!ike_notify_find_error(&x->list, &n))
        return IKE_IGNORED;
    snprintf(text, sizeof(text), "%s answered IKE_SA_INIT with %s",
             sl_endpoint_text(from, &x->sa->remote), ike_notify_text(name, n.type));
    return doubt(x, n.type == IKE_N_NO_PROPOSAL_CHOSEN ? SL_IKE_NO_PROPOSAL : SL_IKE_PEER_ERROR,
                 text);
}

/*
 * RFC 7296 2.23: with a NAT between, both ports change to 4500. RFC 4555 3.3: also when one may come
 * between later.
 */
static void change_port(struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn->conf;
    const bool later = conf && conf->mobike && sa->natt_supported;
    if (!(sa->nat_local || sa->nat_remote || later) || sa->natt)
        return;
    sa->natt = true;
    sa->local.port = sa->ike->config->port_natt;
    if (sa->remote.port == 500)
        sa->remote.port = 4500;
}

static enum sl_rc response_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const struct ike_message *m = &sa->ike->message;
    const struct sl_conf_connection *conf = sa->conn->conf;
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    struct sl_bytes nonce;
    struct ike_sa offer;
    struct ike_ke ke;
    if (!conf || memcmp(m->hdr.spi_r, none, IKE_SPI_LEN) == 0)
        return IKE_IGNORED;
    enum sl_rc rc = ike_sa_read(&offer, ike_payloads_find(&x->list, IKE_P_SA)->body, err);
    if (rc == SL_OK)
        rc = ike_sa_check_ike(&x->choice, &offer, conf->ike, conf->ike_n, offer_kind(x), err);
    if (rc == SL_OK)
        rc = read_common(x, m->hdr.spi_r, &sa->reply_local, &sa->reply_remote, &nonce, &ke, err);
    if (rc == SL_OK && (ke.group != (uint16_t)x->group || x->choice.ke != x->group))
        rc = SL_FAIL(err, SL_IKE_INVALID_KE, "peer's KE payload is of group %u; sent was %s",
                     ke.group, sl_ke_text(x->group));
    if (rc == SL_NO_MEMORY)
        return rc;
    if (rc != SL_OK)
        return doubt(x, rc, sl_err_text(err));
    if (!sl_buf_set(&x->nr, nonce) || !sl_buf_set(&x->setup->init_theirs, m->raw))
        return SL_FAIL_MEM(err);
    struct ike_notify n;
    x->setup->peer_childless = ike_notify_find(&x->list, IKE_N_CHILDLESS_IKEV2_SUPPORTED, &n);
    SL_TRY(intermediate_prepare(x, err));
    SL_TRY(xchg_ask_ke(x, ke.data, err));
    if (x->setup->intermediate)
        x->table = &ike_intermediate_initiator;
    memcpy(sa->spi_r, m->hdr.spi_r, IKE_SPI_LEN);
    sa->suite = x->choice.suite;
    sa->prf = x->choice.prf;
    sa->ke = x->choice.ke;
    sa->local.addr = sa->reply_local.addr; /* now known, also when the kernel chose it */
    change_port(sa);
    x->setup->hint_rc = SL_OK;
    x->setup->hint_ns = 0;
    return SL_OK;
}

static enum sl_rc shared_in(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(init_derive(x, err));
    return auth_begin(x, err);
}

static void initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    isa_end(x->sa, rc, sl_err_text(err), false);
}

static const struct ike_step initiator[] = {
    { .from = X_NEW, .on = GO, .run = start, .to = I_WAIT_KE },
    { .from = I_WAIT_KE,
      .on = ANSWER(ASK_KE),
      .run = request_out,
      .to = I_INIT_SENT,
      .story = "IKE_SA_INIT sent" },
    { .from = I_INIT_SENT,
      .on = RESPONSE(IKE_SA_INIT),
      .notify = IKE_N_COOKIE,
      .need = P(N),
      .run = cookie_in,
      .to = I_INIT_SENT,
      .story = "peer asked for a cookie" },
    { .from = I_INIT_SENT,
      .on = RESPONSE(IKE_SA_INIT),
      .notify = IKE_N_INVALID_KE_PAYLOAD,
      .need = P(N),
      .run = other_group_in,
      .to = I_WAIT_KE,
      .story = "peer asked for another key exchange group" },
    { .from = I_INIT_SENT,
      .on = RESPONSE(IKE_SA_INIT),
      .notify = IKE_ANY_ERROR,
      .need = P(N),
      .run = error_in,
      .to = I_INIT_SENT },
    { .from = I_INIT_SENT,
      .on = RESPONSE(IKE_SA_INIT),
      .need = P(SA) | P(KE) | P(NONCE),
      .may = P(CERTREQ),
      .run = response_in,
      .to = I_WAIT_SHARED,
      .story = "peer answered IKE_SA_INIT" },
    { .from = I_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = shared_in, .to = I_WAIT_SIGN },
};
const struct ike_table ike_init_initiator =
    IKE_TABLE("IKE_SA_INIT initiator", initiator, initiator_fail);

/* ---- responder --------------------------------------------------------------------------------- */

/* Stateless and without allocation until the queue: this is what a flood exercises. */
static void send_cookie(struct sl_ike *ike, const struct sl_endpoint *local,
                        const struct sl_endpoint *remote, const struct ike_message *m,
                        struct sl_bytes ni)
{
    uint8_t cookie[IKE_COOKIE_LEN];
    uint8_t out[IKE_HDR_LEN + 8 + IKE_COOKIE_LEN];
    ike_cookie_make(cookie, &ike->cookie, ni, remote, m->hdr.spi_i);
    struct ike_hdr h = { .next = IKE_P_N,
                         .version = IKE_VERSION_2,
                         .exchange = IKE_SA_INIT,
                         .flags = IKE_FLAG_RESPONSE,
                         .length = sizeof(out) };
    memcpy(h.spi_i, m->hdr.spi_i, IKE_SPI_LEN);
    struct sl_wr w = sl_wr_fixed(out, sizeof(out));
    ike_hdr_write(&w, &h);
    sl_wr_u16(&w, 0); /* no next payload, not critical */
    sl_wr_u16(&w, 8 + IKE_COOKIE_LEN);
    sl_wr_u16(&w, 0); /* no protocol, no SPI */
    sl_wr_u16(&w, IKE_N_COOKIE);
    sl_wr_put(&w, sl_bytes(cookie, sizeof(cookie)));
    ike->stats.cookies_sent++;
    ike_send(ike, local, remote, local->port == ike->config->port_natt,
             sl_bytes(out, sl_wr_len(&w)));
}

/* True when the peer may have state: there is no load, or it returned a good cookie. */
static bool cookie_passes(struct sl_ike *ike, const struct sl_endpoint *local,
                          const struct sl_endpoint *remote, const struct ike_message *m)
{
    const struct ike_payload *p = ike_payloads_find(&m->list, IKE_P_NONCE);
    struct ike_notify n;
    struct sl_bytes ni;
    if (ike->stats.half_open < ike->config->cookie_threshold)
        return true;
    if (!p || !ike_nonce_read(&ni, p->body))
        return false;
    ike_cookie_tick(&ike->cookie, &ike->rng, ike->now_ns);
    if (ike_notify_find(&m->list, IKE_N_COOKIE, &n) &&
        ike_cookie_check(&ike->cookie, n.data, ni, remote, m->hdr.spi_i))
        return true;
    send_cookie(ike, local, remote, m, ni);
    return false;
}

static struct ike_isa *find_half_open(struct sl_ike *ike, const uint8_t digest[32])
{
    struct ike_map_node *n = ike_map_get(&ike->t.by_init, ike_digest_key(digest));
    for (; n; n = ike_map_next(n)) {
        struct ike_isa *sa = IKE_OF(n, struct ike_isa, by_init);
        if (memcmp(sa->init_hash, digest, sizeof(sa->init_hash)) == 0)
            return sa;
    }
    return NULL;
}

/* An unprotected refusal; no state is kept for it. */
static void send_refusal(struct sl_ike *ike, const struct sl_endpoint *local,
                         const struct sl_endpoint *remote, const uint8_t spi_i[IKE_SPI_LEN],
                         uint16_t notify, struct sl_bytes data)
{
    SL_AUTO_BUF buf = { 0 };
    struct ike_hdr h = { .version = IKE_VERSION_2,
                         .exchange = IKE_SA_INIT,
                         .flags = IKE_FLAG_RESPONSE };
    memcpy(h.spi_i, spi_i, IKE_SPI_LEN);
    struct ike_wr c = ike_wr_message(&buf, &h);
    ike_put_notify(&c, notify, data);
    if (ike_wr_end(&c))
        ike_send(ike, local, remote, local->port == ike->config->port_natt, sl_buf_bytes(&buf));
}

void init_request(struct sl_ike *ike, const struct sl_endpoint *local,
                  const struct sl_endpoint *remote, const struct ike_message *m)
{
    uint8_t digest[32];
    ike_init_digest(&ike->t, remote, m->raw, digest);
    struct ike_isa *sa = find_half_open(ike, digest);
    if (sa) {
        /* SPEC RFC7296-2.1 MUST: the request again is answered with the same response */
        if (sa->in && sa->in->state == R_INIT_DONE && !sa->win.rx_busy && sa->win.rx_next == 1) {
            ike->stats.retransmits++;
            isa_transmit(sa, &sa->win.rx, local, remote);
        }
        return;
    }
    if (!isa_within_limits(ike, remote) || !cookie_passes(ike, local, remote, m))
        return;
    struct ike_conn *conn = conn_candidate(ike, &local->addr, &remote->addr, 0);
    if (!conn) {
        char from[SL_ENDPOINT_TEXT];
        ike->stats.refused++;
        ike_event(ike, SL_IKE_EV_STORY, NULL, NULL, SL_IKE_NO_CONNECTION,
                  "no connection is configured for a peer at %s", sl_endpoint_text(from, remote));
        send_refusal(ike, local, remote, m->hdr.spi_i, IKE_N_NO_PROPOSAL_CHOSEN, sl_bytes(NULL, 0));
        return;
    }
    sa = isa_new(ike, false);
    if (!sa)
        return; /* as if the network had lost the request */
    isa_enlist(sa, ISA_SETUP);
    sa->source = ike_source_add(&ike->t, &remote->addr);
    struct ike_xchg *x = sa->source ? xchg_new(sa, XCHG_SETUP, false) : NULL;
    if (!x || !sl_buf_set(&x->setup->init_theirs, m->raw)) {
        sa->state = ISA_DEAD;
        isa_touch(sa);
        return;
    }
    sa->half_open = true;
    ike->stats.half_open++;
    memcpy(sa->spi_i, m->hdr.spi_i, IKE_SPI_LEN);
    memcpy(sa->init_hash, digest, sizeof(digest));
    ike_map_put(&ike->t.by_init, &sa->by_init, ike_digest_key(digest));
    sa->local = sa->reply_local = *local;
    sa->remote = sa->reply_remote = *remote;
    sa->natt = local->port == ike->config->port_natt;
    sa->half_open_ns = ike->now_ns + ike->config->half_open_s * SL_NS_PER_S;
    conn_ref(sa, conn); /* for now: IKE_AUTH decides which it is */
    ike_window_begin(&sa->win);
    x->table = &ike_init_responder;
    x->list = m->list;
    isa_touch(sa);
    xchg_event(x, REQUEST(IKE_SA_INIT), true);
}

/* The first connection for these addresses with a proposal in common. */
static enum sl_rc choose(struct ike_xchg *x, const struct ike_sa *offer, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_err first = { 0 };
    struct ike_conn *conn;
    for (size_t n = 0; (conn = conn_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, n));
         n++) {
        struct sl_err e = { 0 };
        if (ike_sa_select_ike(&x->choice, offer, conn->conf->ike, conn->conf->ike_n, offer_kind(x),
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

static enum sl_rc request_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    struct sl_bytes nonce;
    struct ike_sa offer;
    struct ike_ke ke;
    SL_TRY(ike_sa_read(&offer, ike_payloads_find(&x->list, IKE_P_SA)->body, err));
    SL_TRY(choose(x, &offer, err));
    SL_TRY(read_common(x, none, &sa->local, &sa->remote, &nonce, &ke, err));
    if (ke.group != (uint16_t)x->choice.ke) {
        uint8_t want[2] = { (uint8_t)(x->choice.ke >> 8), (uint8_t)x->choice.ke };
        if (!sl_buf_set(&x->refuse_data, sl_bytes(want, sizeof(want))))
            return SL_FAIL_MEM(err);
        (void)SL_FAIL(err, SL_IKE_INVALID_KE,
                      "KE payload is of group %u; chosen is %s (RFC 7296 1.2)", ke.group,
                      sl_ke_text(x->choice.ke));
        return xchg_refuse(x, IKE_N_INVALID_KE_PAYLOAD, SL_IKE_INVALID_KE);
    }
    if (!sl_buf_set(&x->ni, nonce))
        return SL_FAIL_MEM(err);
    SL_TRY(xchg_nonce(x, &x->nr, err));
    SL_TRY(intermediate_prepare(x, err));
    sa->suite = x->choice.suite;
    sa->prf = x->choice.prf;
    sa->ke = x->group = x->choice.ke;
    return xchg_ask_ke(x, ke.data, err);
}

/* CERTREQ before the peer is known: the anchors of every connection that it may turn out to be. */
static bool put_certreq(struct ike_wr *c, const struct ike_isa *sa)
{
    SL_AUTO_BUF hashes = { 0 };
    struct ike_conn *conn;
    bool ocsp = false;
    for (size_t n = 0; (conn = conn_candidate(sa->ike, &sa->local.addr, &sa->remote.addr, n));
         n++) {
        const struct sl_conf_connection *conf = conn->conf;
        ocsp = ocsp || staple_wanted(sa->ike, conf);
        if (conf->auth != SL_METHOD_CERT || !conf->send_certreq)
            continue;
        const struct sl_bytes h = anchor_hashes(sa->ike, conf->trust);
        bool there = false;
        for (size_t at = 0; h.len && at + h.len <= hashes.len; at += IKE_CERTREQ_HASH_LEN)
            there = there || memcmp(hashes.p + at, h.p, h.len) == 0;
        if (!there && hashes.len < 4096 && !sl_buf_put(&hashes, h))
            return false;
    }
    if (hashes.len)
        ike_put_certreq(c, IKE_CERT_X509_SIGNATURE, sl_buf_bytes(&hashes));
    if (ocsp)
        put_ocsp_request(c);
    return true;
}

static enum sl_rc response_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    SL_TRY(init_derive(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_hdr h = { .version = IKE_VERSION_2,
                         .exchange = IKE_SA_INIT,
                         .flags = IKE_FLAG_RESPONSE };
    memcpy(h.spi_i, sa->spi_i, IKE_SPI_LEN);
    memcpy(h.spi_r, sa->spi_r, IKE_SPI_LEN);
    struct ike_wr c = ike_wr_message(&buf, &h);
    ike_put_sa_choice(&c, &x->choice, sl_bytes(NULL, 0));
    ike_put_ke(&c, (uint16_t)x->choice.ke, sl_kex_public(x->kex));
    ike_put_nonce(&c, sl_buf_bytes(&x->nr));
    if (!put_certreq(&c, sa))
        return SL_FAIL_MEM(err);
    childless_announce(&c, sa);
    if (sa->natt_supported)
        put_nat_detection(&c, sa, &sa->local, &sa->remote);
    if (sa->fragment)
        ike_put_notify(&c, IKE_N_IKEV2_FRAGMENTATION_SUPPORTED, sl_bytes(NULL, 0));
    if (x->setup->peer_hashes)
        ike_put_hashes(&c, IKE_HASHES_OURS);
    if (x->setup->intermediate)
        ike_put_notify(&c, IKE_N_INTERMEDIATE_EXCHANGE_SUPPORTED, sl_bytes(NULL, 0));
    if (!ike_wr_end(&c) || !sl_buf_set(&x->setup->init_ours, sl_buf_bytes(&buf)))
        return SL_FAIL_MEM(err);
    SL_TRY(xchg_send_init(x, &buf, err));
    x->table = x->setup->intermediate ? &ike_intermediate_responder : &ike_auth_responder;
    return SL_OK;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct sl_ike *ike = sa->ike;
    if (rc != SL_IKE_INVALID_KE) {
        ike->stats.refused++;
        ike_event(ike, SL_IKE_EV_STORY, sa, NULL, rc, "IKE_SA_INIT refused: %s", sl_err_text(err));
    }
    const uint16_t notify = x->refuse                    ? x->refuse
                            : rc == SL_IKE_NO_CONNECTION ? IKE_N_NO_PROPOSAL_CHOSEN
                                                         : xchg_refusal(x, rc);
    send_refusal(ike, &sa->reply_local, &sa->reply_remote, sa->spi_i, notify,
                 sl_buf_bytes(&x->refuse_data));
    sa->state = ISA_DEAD; /* nothing was promised to anybody: no event of an end */
    isa_touch(sa);
}

static const struct ike_step responder[] = {
    { .from = X_NEW,
      .on = REQUEST(IKE_SA_INIT),
      .need = P(SA) | P(KE) | P(NONCE),
      .may = P(CERTREQ),
      .run = request_in,
      .to = R_WAIT_SHARED },
    { .from = R_WAIT_SHARED,
      .on = ANSWER(ASK_KE),
      .run = response_out,
      .to = R_INIT_DONE,
      .story = "IKE_SA_INIT answered" },
};
const struct ike_table ike_init_responder =
    IKE_TABLE("IKE_SA_INIT responder", responder, responder_fail);
