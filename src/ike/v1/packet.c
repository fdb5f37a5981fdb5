/*
 * IKEv1 messages between the wire and the exchanges (RFC 2408 3.1, 5; RFC 2409 5 and appendix B):
 * which SA and exchange a datagram belongs to, encryption and the IVs of each exchange, repetition,
 * and the running of the tables.
 *
 * An IV moves on only with a message that was believed, so a forged one leaves no trace: handlers
 * check HASH first and answer IKE_IGNORED where it does not hold.
 */
#include "src/ike/v1/v1.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life -------------------------------------------------------------------------------------- */

struct ike_isa *v1_isa_new(struct sl_ike *ike, bool initiator)
{
    struct ike_isa *sa = isa_new(ike, initiator);
    if (!sa)
        return NULL;
    sa->v1 = calloc(1, sizeof(*sa->v1));
    if (!sa->v1) {
        isa_free(sa);
        return NULL;
    }
    sa->v1->dpd_due_ns = INT64_MAX;
    sa->v1->dpd_seq = (uint32_t)sl_rng_u64(&ike->rng) & 0x7fffffff; /* RFC 3706 5.4: random */
    return sa;
}

void v1_isa_clear(struct ike_isa *sa)
{
    struct ike_v1 *v = sa->v1;
    if (!v)
        return;
    while (v->parts)
        xchg_free(v->parts);
    xchg_free(v->phase1);
    v1_keys_clear(&v->keys);
    v1_reassembly_clear(&v->ra);
    free(v);
    sa->v1 = NULL;
}

struct ike_xchg *v1_xchg_new(struct ike_isa *sa, enum ike_xchg_kind kind, bool ours, uint32_t mid,
                             const struct v1_table *table)
{
    struct ike_xchg *x = calloc(1, sizeof(*x));
    struct v1_xchg *p = calloc(1, sizeof(*p));
    struct ike_setup *s = kind == XCHG_SETUP ? calloc(1, sizeof(*s)) : NULL;
    if (!x || !p || (kind == XCHG_SETUP && !s)) {
        free(x);
        free(p);
        free(s);
        return NULL;
    }
    x->sa = sa;
    x->kind = kind;
    x->ours = ours;
    x->state = X_NEW;
    x->v1 = p;
    x->setup = s;
    p->table = table;
    p->state = V1_NEW;
    p->mid = mid;
    p->due_ns = p->done_ns = INT64_MAX;
    if (kind == XCHG_SETUP) {
        *(ours ? &sa->out : &sa->in) = x;
    } else {
        p->next = sa->v1->parts;
        sa->v1->parts = x;
        sa->v1->parts_n++;
    }
    return x;
}

void v1_xchg_clear(struct ike_xchg *x)
{
    struct v1_xchg *p = x->v1;
    struct ike_v1 *v = x->sa->v1;
    if (!p)
        return;
    if (v && v->phase1 == x)
        v->phase1 = NULL;
    for (struct ike_xchg **at = v ? &v->parts : NULL; at && *at; at = &(*at)->v1->next)
        if (*at == x) {
            *at = p->next;
            v->parts_n--;
            break;
        }
    ike_datagrams_clear(&p->tx);
    sl_buf_clear(&p->sai);
    sl_buf_clear(&p->gxi);
    sl_buf_clear(&p->gxr);
    sl_buf_clear(&p->choice);
    sl_buf_clear(&p->claim);
    sl_buf_clear(&p->certs);
    free(p);
    x->v1 = NULL;
}

bool v1_holds(const struct ike_isa *sa, const struct ike_xchg *x)
{
    if (sa->out == x || sa->in == x)
        return true;
    const struct ike_xchg *at = sa->v1 ? sa->v1->parts : NULL;
    while (at && at != x)
        at = at->v1->next;
    return at != NULL;
}

void v1_finish(struct ike_xchg *x)
{
    struct v1_xchg *p = x->v1;
    sl_kex_free(sl_steal(&x->kex));
    sl_secret_clear(&x->shared);
    sl_buf_wipe(&x->plain);
    p->state = V1_DONE;
    p->due_ns = INT64_MAX;
    p->done_ns = x->sa->ike->now_ns + V1_KEPT_NS;
    isa_touch(x->sa);
}

void v1_doubt(struct ike_isa *sa, enum sl_rc rc, const char *text)
{
    struct ike_v1 *v = sa->v1;
    if (v->hint_rc)
        return;
    v->hint_rc = rc;
    snprintf(v->hint, sizeof(v->hint), "%s", text);
    ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, rc, "%s", text);
}

/* ---- message IDs ------------------------------------------------------------------------------- */

static bool mid_known(const uint32_t *ring, size_t ever, uint32_t mid)
{
    for (size_t i = 0; i < ever && i < V1_MIDS_MAX; i++)
        if (ring[i] == mid)
            return true;
    return false;
}

static struct ike_xchg *part_of(const struct ike_isa *sa, uint32_t mid)
{
    struct ike_xchg *x = sa->v1->parts;
    while (x && x->v1->mid != mid)
        x = x->v1->next;
    return x;
}

uint32_t v1_new_mid(struct ike_isa *sa)
{
    const struct ike_v1 *v = sa->v1;
    uint32_t mid;
    do {
        mid = (uint32_t)sl_rng_u64(&sa->ike->rng);
    } while (!mid || part_of(sa, mid) || mid_known(v->quick_mid, v->quick_mids, mid) ||
             mid_known(v->info_mid, v->info_mids, mid));
    return mid;
}

/* ---- sending ----------------------------------------------------------------------------------- */

static uint16_t fragment_size(const struct ike_isa *sa)
{
    const struct sl_conf_connection *conf = sa->conn ? sa->conn->conf : NULL;
    return conf && conf->fragmentation && (sa->v1->vids & 1U << V1_VID_FRAGMENTATION)
               ? conf->fragment_size
               : 0;
}

static void transmit(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    isa_transmit(sa, &x->v1->tx, &sa->local, &sa->remote);
}

static int64_t interval_ns(struct ike_isa *sa, unsigned sent)
{
    const struct ike_retry retry = isa_retry(sa);
    int64_t ms = retry.first_ms > 0 ? retry.first_ms : 1;
    for (unsigned i = 1; i < sent && ms < IKE_RETRY_MAX_MS; i++)
        ms *= 2;
    const int64_t ns = (ms > IKE_RETRY_MAX_MS ? IKE_RETRY_MAX_MS : ms) * SL_NS_PER_MS;
    return ns + ike_jitter(sa->ike, ns / 10);
}

/* A finished message as datagrams; header and body are in buf. */
static enum sl_rc split(struct ike_datagrams *out, struct ike_isa *sa, const struct sl_buf *buf,
                        struct sl_err *err)
{
    return v1_split(out, sl_buf_bytes(buf), ++sa->v1->fragment_id, fragment_size(sa),
                    sa->remote.addr.family, sa->natt, err);
}

static struct ike_hdr header(const struct ike_isa *sa, uint8_t exchange, uint32_t mid)
{
    struct ike_hdr h = { .version = V1_VERSION, .exchange = exchange, .id = mid };
    memcpy(h.spi_i, sa->spi_i, IKE_SPI_LEN);
    memcpy(h.spi_r, sa->spi_r, IKE_SPI_LEN);
    return h;
}

static enum sl_rc plain_message(struct sl_buf *out, const struct ike_hdr *h, uint8_t first,
                                struct sl_bytes chain, struct sl_err *err)
{
    struct ike_hdr full = *h;
    full.next = first;
    full.length = (uint32_t)(IKE_HDR_LEN + chain.len);
    struct sl_wr w = sl_wr_buf(out, IKE_MESSAGE_MAX);
    ike_hdr_write(&w, &full);
    sl_wr_put(&w, chain);
    return sl_wr_ok(&w) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc chain_end(struct ike_wr *c, const struct sl_buf *chain, struct sl_err *err)
{
    if (ike_wr_end(c))
        return SL_OK;
    if (chain->len > IKE_MESSAGE_MAX / 2)
        return SL_FAIL(err, SL_TOO_LARGE, "message would be longer than %d bytes", IKE_MESSAGE_MAX);
    return SL_FAIL_MEM(err);
}

enum sl_rc v1_send(struct ike_xchg *x, uint8_t exchange, struct ike_wr *c, struct sl_buf *chain,
                   bool encrypt, bool timer, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct v1_xchg *p = x->v1;
    const struct ike_hdr h = header(sa, exchange, p->mid);
    uint8_t iv[V1_IV_LEN];
    SL_AUTO_BUF message = { 0 };
    SL_TRY(chain_end(c, chain, err));
    memcpy(iv, p->iv, sizeof(iv));
    if (encrypt)
        SL_TRY(v1_seal(&message, &sa->v1->keys.enc, iv, &h, c->first, sl_buf_bytes(chain), err));
    else
        SL_TRY(plain_message(&message, &h, c->first, sl_buf_bytes(chain), err));
    struct ike_datagrams d = { 0 };
    const enum sl_rc rc = split(&d, sa, &message, err);
    if (rc != SL_OK) {
        ike_datagrams_clear(&d);
        return rc;
    }
    memcpy(p->iv, iv, sizeof(iv));
    ike_datagrams_clear(&p->tx);
    p->tx = d;
    p->sent = 1;
    p->due_ns = timer ? sa->ike->now_ns + interval_ns(sa, 1) : INT64_MAX;
    transmit(x);
    isa_touch(sa);
    return SL_OK;
}

void v1_resend(struct ike_xchg *x)
{
    struct ike_isa *sa = x->sa;
    struct v1_xchg *p = x->v1;
    const struct ike_retry retry = isa_retry(sa);
    if (p->sent > retry.tries) {
        struct sl_err err = { 0 };
        char to[SL_ENDPOINT_TEXT];
        p->due_ns = INT64_MAX;
        if (x->kind == XCHG_SETUP && sa->v1->hint_rc)
            (void)SL_FAIL(&err, sa->v1->hint_rc, "%s", sa->v1->hint);
        else
            (void)SL_FAIL(&err, SL_IKE_PEER_DEAD, "%s did not answer %u tries (%s)",
                          sl_endpoint_text(to, &sa->remote), p->sent,
                          x->story ? x->story : "message sent");
        p->table->fail(x, err.rc, &err);
        return;
    }
    p->sent++;
    p->due_ns = sa->ike->now_ns + interval_ns(sa, p->sent);
    sa->ike->stats.retransmits++;
    transmit(x);
    isa_touch(sa);
}

enum sl_rc v1_hash_front(struct sl_buf *out, struct sl_bytes hash, uint8_t first,
                         struct sl_bytes rest, struct sl_err *err)
{
    /* generic header: next payload (1), RESERVED (1), length (2) */
    struct sl_wr w = sl_wr_buf(out, IKE_MESSAGE_MAX);
    sl_wr_u8(&w, first);
    sl_wr_u8(&w, 0);
    sl_wr_u16(&w, (uint16_t)(4 + hash.len));
    sl_wr_put(&w, hash);
    sl_wr_put(&w, rest);
    return sl_wr_ok(&w) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc v1_send_info(struct ike_isa *sa, struct ike_wr *c, struct sl_buf *chain,
                        struct sl_err *err)
{
    struct ike_v1 *v = sa->v1;
    uint8_t hash[SL_PRF_MAX], iv[V1_IV_LEN];
    const uint32_t mid = v1_new_mid(sa);
    SL_AUTO_BUF whole = { 0 };
    SL_AUTO_BUF message = { 0 };
    SL_TRY(chain_end(c, chain, err));
    SL_TRY(v1_hash_1(hash, sa->prf, &v->keys.a, mid, sl_buf_bytes(chain), err));
    SL_TRY(v1_hash_front(&whole, sl_bytes(hash, sl_prf_len(sa->prf)), c->first, sl_buf_bytes(chain),
                         err));
    SL_TRY(v1_iv_phase2(iv, sa->prf, v->last, mid, err));
    const struct ike_hdr h = header(sa, V1_INFORMATIONAL, mid);
    SL_TRY(v1_seal(&message, &v->keys.enc, iv, &h, V1_P_HASH, sl_buf_bytes(&whole), err));
    struct ike_datagrams d = { 0 };
    const enum sl_rc rc = split(&d, sa, &message, err);
    if (rc == SL_OK)
        isa_transmit(sa, &d, &sa->local, &sa->remote);
    ike_datagrams_clear(&d);
    return rc;
}

/* ---- the tables -------------------------------------------------------------------------------- */

const char *v1_state_name(enum v1_state s)
{
    switch (s) {
#define NAME(state) \
    case state:     \
        return #state;
        NAME(V1_NEW)
        NAME(M_I_SA_SENT)
        NAME(M_I_WAIT_KE)
        NAME(M_I_KE_SENT)
        NAME(M_I_WAIT_SHARED)
        NAME(M_I_WAIT_SKEYID)
        NAME(M_I_WAIT_SIGN)
        NAME(M_I_AUTH_SENT)
        NAME(M_I_WAIT_DECISION)
        NAME(M_R_SA_SENT)
        NAME(M_R_WAIT_SHARED)
        NAME(M_R_WAIT_SKEYID)
        NAME(M_R_KE_SENT)
        NAME(M_R_WAIT_DECISION)
        NAME(M_R_WAIT_SIGN)
        NAME(A_I_WAIT_KE)
        NAME(A_I_SENT)
        NAME(A_I_WAIT_SHARED)
        NAME(A_I_WAIT_SKEYID)
        NAME(A_I_WAIT_DECISION)
        NAME(A_I_WAIT_SIGN)
        NAME(A_R_WAIT_SHARED)
        NAME(A_R_WAIT_SKEYID)
        NAME(A_R_WAIT_SIGN)
        NAME(A_R_SENT)
        NAME(A_R_WAIT_DECISION)
        NAME(Q_I_WAIT_KE)
        NAME(Q_I_SENT)
        NAME(Q_I_WAIT_SHARED)
        NAME(Q_R_WAIT_SHARED)
        NAME(Q_R_SENT)
        NAME(V1_DONE)
#undef NAME
    }
    return "?";
}

static const struct v1_step *step_find(const struct ike_xchg *x, uint16_t on, bool message,
                                       struct sl_err *err)
{
    const struct v1_table *t = x->v1->table;
    for (size_t i = 0; i < t->n; i++) {
        const struct v1_step *s = &t->step[i];
        if (s->from != x->v1->state || s->on != on)
            continue;
        if (!message || v1_payloads_check(&x->list, s->need, s->may, t->name, err) == SL_OK)
            return s;
        return NULL;
    }
    (void)SL_FAIL(err, SL_IKE_STATE, "%s: event %#x does not fit state %s", t->name, on,
                  v1_state_name(x->v1->state));
    return NULL;
}

/* There was no memory: what came will come again; what was asked for ourselves fails. */
static void lost(struct ike_xchg *x, bool message)
{
    struct sl_err err = { 0 };
    if (message)
        return;
    (void)SL_FAIL_MEM(&err);
    x->v1->table->fail(x, SL_NO_MEMORY, &err);
}

/*
 * A message that fits no row, or that phase 1 finds malformed before anything proves whose it is, may
 * be anybody's: it changes nothing, and the peer's own can still come.
 */
static bool disbelieved(const struct ike_xchg *x, const struct v1_step *s, enum sl_rc rc)
{
    return rc != SL_OK &&
           (!s || (x->kind == XCHG_SETUP && rc == SL_IKE_MALFORMED && x->v1->state != V1_NEW));
}

void v1_event(struct ike_xchg *x, uint16_t on, bool message)
{
    struct ike_isa *sa = x->sa;
    for (;;) {
        struct sl_err err = { 0 };
        const struct v1_step *s = step_find(x, on, message, &err);
        const enum sl_rc rc = s ? s->run(x, &err) : err.rc;
        if (rc == SL_NO_MEMORY) {
            lost(x, message);
            return;
        }
        if (rc == IKE_IGNORED)
            return;
        if (message && disbelieved(x, s, rc)) {
            if (x->kind == XCHG_SETUP && x->v1->state != V1_NEW)
                v1_doubt(sa, rc, sl_err_text(&err));
            return;
        }
        if (rc != SL_OK) {
            x->v1->table->fail(x, rc, &err);
            return;
        }
        x->v1->state = s->to;
        if (message)
            x->v1->due_ns = x->asking ? INT64_MAX : x->v1->due_ns;
        if (s->story) {
            x->story = s->story;
            ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, SL_OK, "%s", s->story);
        }
        if (s->to == V1_DONE) {
            v1_finish(x);
            return;
        }
        if (x->asking != ASK_NOTHING)
            return;
        x->asking = 0;
        on = ANSWER(ASK_NOTHING);
        message = false;
    }
}

/* ---- receiving --------------------------------------------------------------------------------- */

static struct ike_isa *find_sa(const struct sl_ike *ike, const struct ike_hdr *h)
{
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    for (int responder = 0; responder < 2; responder++) {
        const uint8_t *ours = responder ? h->spi_r : h->spi_i;
        const uint8_t *theirs = responder ? h->spi_i : h->spi_r;
        struct ike_isa *sa =
            IKE_OF(ike_map_get(&ike->t.by_spi, ike_spi_key(ours)), struct ike_isa, by_spi);
        if (!sa || !sa->v1 || sa->initiator == (responder == 1) || sa->state == ISA_MAKING ||
            sa->state == ISA_DEAD)
            continue;
        const uint8_t *known = sa->initiator ? sa->spi_r : sa->spi_i;
        if (memcmp(known, none, IKE_SPI_LEN) == 0 || memcmp(known, theirs, IKE_SPI_LEN) == 0)
            return sa;
    }
    return NULL;
}

static void digest_of(const struct v1_message *m, uint8_t out[32])
{
    sl_sha2(256, m->raw, out);
}

/* The peer's last message again: ours that answered it, again. True: that is what it was. */
static bool repeated(struct ike_xchg *x, const uint8_t digest[32])
{
    struct v1_xchg *p = x->v1;
    if (!p->has_rx || memcmp(p->rx_digest, digest, sizeof(p->rx_digest)) != 0)
        return false;
    if (!x->asking && p->tx.n) {
        x->sa->ike->stats.retransmits++;
        transmit(x);
    }
    return true;
}

/*
 * A believed message may come from where the peer's NAT has put it now. SETUP: the change to port
 * 4500, before anything is known; afterwards only a peer behind a NAT moves.
 */
static void follow(struct ike_isa *sa, const struct sl_endpoint *local,
                   const struct sl_endpoint *remote)
{
    if (sl_endpoint_eq(&sa->remote, remote) && sl_endpoint_eq(&sa->local, local))
        return;
    if (sa->state != ISA_SETUP && !sa->peer_may_move)
        return;
    sa->local = *local;
    sa->remote = *remote;
    sa->natt = local->port == sa->ike->config->port_natt;
    if (sa->state == ISA_SETUP)
        return;
    for (struct ike_child *c = sa->children; c; c = c->next)
        child_move(c);
    ike_event(sa->ike, SL_IKE_EV_PEER_MOVED, sa, NULL, SL_OK, "by IKE");
}

/* Runs a message through its exchange, which may end by it. */
static void handle(struct ike_xchg *x, const struct v1_message *m, const uint8_t digest[32],
                   const uint8_t next_iv[V1_IV_LEN], const struct sl_endpoint *local,
                   const struct sl_endpoint *remote)
{
    struct ike_isa *sa = x->sa;
    const enum v1_state before = x->v1->state;
    uint8_t old_iv[V1_IV_LEN];
    sa->reply_local = *local;
    sa->reply_remote = *remote;
    const struct sl_endpoint was_local = sa->local, was_remote = sa->remote;
    const bool was_natt = sa->natt;
    /* The answer goes to where the message came from, and its IV follows the message's. */
    if (sa->state == ISA_SETUP) {
        sa->local = *local;
        sa->remote = *remote;
        sa->natt = local->port == sa->ike->config->port_natt;
    }
    memcpy(old_iv, x->v1->iv, sizeof(old_iv));
    if (next_iv)
        memcpy(x->v1->iv, next_iv, V1_IV_LEN);
    v1_event(x, V1_MESSAGE(m->hdr.exchange), true);
    const bool there = v1_holds(sa, x) || (sa->v1 && sa->v1->phase1 == x);
    if (there && x->v1->state == before) { /* it was not believed */
        memcpy(x->v1->iv, old_iv, sizeof(old_iv));
        sa->local = was_local;
        sa->remote = was_remote;
        sa->natt = was_natt;
        return;
    }
    if (there) {
        memcpy(x->v1->rx_digest, digest, sizeof(x->v1->rx_digest));
        x->v1->has_rx = true;
    }
    if (sa->state == ISA_UP && x->kind != XCHG_SETUP) {
        sa->seen_ns = sa->ike->now_ns;
        follow(sa, local, remote);
    }
}

/* Decrypts into x and reads the chain; false: it cannot be the peer's. */
static bool open_for(struct ike_xchg *x, const struct v1_message *m, uint8_t next_iv[V1_IV_LEN])
{
    struct ike_isa *sa = x->sa;
    struct sl_err err = { 0 };
    SL_AUTO_BUF plain = { 0 };
    if (v1_open(&plain, next_iv, &sa->v1->keys.enc, x->v1->iv, m, &err) != SL_OK ||
        v1_payloads_read(&x->list, m->hdr.next, sl_buf_bytes(&plain), &err) != SL_OK) {
        sl_buf_wipe(&plain);
        sa->ike->stats.integrity++;
        return false;
    }
    sl_buf_wipe(&x->plain);
    x->plain = plain;
    plain = (struct sl_buf){ 0 };
    return true;
}

static void phase1_message(struct ike_isa *sa, const struct v1_message *m,
                           const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    struct ike_xchg *x = sa->out ? sa->out : sa->in ? sa->in : sa->v1->phase1;
    uint8_t digest[32], next_iv[V1_IV_LEN];
    digest_of(m, digest);
    if (!x || m->hdr.id != 0 || m->hdr.exchange != (sa->v1->aggressive ? V1_AGGRESSIVE : V1_MAIN) ||
        repeated(x, digest) || x->asking || x->v1->state == V1_DONE)
        return;
    if (!v1_is_encrypted(&m->hdr)) {
        /* From where we sent to, or somebody else's guess is believed too easily. */
        if (sa->initiator && !sl_addr_eq(&sa->remote.addr, &remote->addr))
            return;
        if (x->v1->has_iv)
            return; /* from here on all is encrypted */
        if (!sl_buf_set(&x->plain, m->raw))
            return;
        const struct ike_hdr *h = &m->hdr;
        const struct sl_bytes chain =
            sl_bytes(x->plain.p + IKE_HDR_LEN, x->plain.len - IKE_HDR_LEN);
        if (v1_payloads_read(&x->list, h->next, chain, NULL) != SL_OK)
            return;
        if (sa->initiator && x->v1->state != M_I_KE_SENT) {
            const uint8_t none[IKE_SPI_LEN] = { 0 };
            if (memcmp(h->spi_r, none, IKE_SPI_LEN) == 0)
                return;
            if (memcmp(sa->spi_r, none, IKE_SPI_LEN) == 0)
                memcpy(sa->spi_r, h->spi_r, IKE_SPI_LEN);
        }
        handle(x, m, digest, NULL, local, remote);
        if (sa->initiator && (x->v1->state == M_I_SA_SENT || x->v1->state == A_I_SENT))
            memset(sa->spi_r, 0, IKE_SPI_LEN); /* not believed: another may be the peer's */
        return;
    }
    if (!x->v1->has_iv)
        return;
    if (!open_for(x, m, next_iv)) {
        v1_doubt(
            sa, sa->v1->auth == V1_AUTH_PSK ? SL_AUTH_PSK : SL_IKE_MALFORMED,
            sa->v1->auth == V1_AUTH_PSK
                ? "an encrypted message of phase 1 cannot be read: the pre-shared keys differ, "
                  "or somebody else sent it"
                : "an encrypted message of phase 1 cannot be read");
        return;
    }
    handle(x, m, digest, next_iv, local, remote);
}

static size_t busy_parts(const struct ike_isa *sa)
{
    size_t n = 0;
    for (const struct ike_xchg *x = sa->v1->parts; x; x = x->v1->next)
        n += x->v1->state != V1_DONE && !x->ours;
    return n;
}

static void quick_message(struct ike_isa *sa, const struct v1_message *m,
                          const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    struct ike_v1 *v = sa->v1;
    uint8_t digest[32], next_iv[V1_IV_LEN];
    digest_of(m, digest);
    struct ike_xchg *x = part_of(sa, m->hdr.id);
    const bool fresh = !x;
    if (x && (repeated(x, digest) || x->asking || x->v1->state == V1_DONE))
        return;
    if (fresh) {
        if (mid_known(v->quick_mid, v->quick_mids, m->hdr.id))
            return; /* a replay opens nothing */
        if (busy_parts(sa) >= V1_PARTS_MAX || v->parts_n >= V1_PARTS_KEPT) {
            sa->ike->stats.dropped_limit++;
            return;
        }
        x = v1_xchg_new(sa, XCHG_PEER, false, m->hdr.id, &v1_quick_responder);
        if (!x)
            return;
        if (v1_iv_phase2(x->v1->iv, sa->prf, v->last, m->hdr.id, NULL) != SL_OK) {
            xchg_free(x);
            return;
        }
        x->v1->has_iv = true;
    }
    if (open_for(x, m, next_iv))
        handle(x, m, digest, next_iv, local, remote);
    x = part_of(sa, m->hdr.id);
    if (fresh && x && x->v1->state == V1_NEW)
        xchg_free(x); /* nothing came of it */
    else if (fresh && x)
        v->quick_mid[v->quick_mids++ % V1_MIDS_MAX] = m->hdr.id;
}

static void info_message(struct ike_isa *sa, const struct v1_message *m,
                         const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    struct ike_v1 *v = sa->v1;
    if (!v1_is_encrypted(&m->hdr)) {
        if (sa->state == ISA_SETUP && sl_addr_eq(&sa->remote.addr, &remote->addr))
            v1_plain_informational(sa, &m->list);
        return;
    }
    const struct ike_xchg *x = sa->out;
    if (!(v->ready || (x && x->v1->has_iv)) || m->hdr.id == 0 ||
        mid_known(v->info_mid, v->info_mids, m->hdr.id))
        return;
    sa->reply_local = *local;
    sa->reply_remote = *remote;
    v1_informational(sa, m);
}

/* An authentic informational message was read: remembered, so that it works once. */
void v1_info_believed(struct ike_isa *sa, uint32_t mid)
{
    struct ike_v1 *v = sa->v1;
    v->info_mid[v->info_mids++ % V1_MIDS_MAX] = mid;
    sa->seen_ns = sa->ike->now_ns;
    if (sa->state == ISA_UP)
        follow(sa, &sa->reply_local, &sa->reply_remote);
}

static void sa_message(struct ike_isa *sa, const struct v1_message *m,
                       const struct sl_endpoint *local, const struct sl_endpoint *remote)
{
    isa_touch(sa);
    switch (m->hdr.exchange) {
    case V1_MAIN:
    case V1_AGGRESSIVE:
        phase1_message(sa, m, local, remote);
        break;
    case V1_QUICK:
        if (sa->v1->ready && sa->state == ISA_UP && m->hdr.id != 0 && v1_is_encrypted(&m->hdr))
            quick_message(sa, m, local, remote);
        break;
    case V1_INFORMATIONAL:
        info_message(sa, m, local, remote);
        break;
    default:
        sa->ike->stats.malformed++;
        break;
    }
}

static void message_in(struct sl_ike *ike, const struct sl_endpoint *local,
                       const struct sl_endpoint *remote, struct sl_bytes data, bool whole)
{
    struct v1_message *m = calloc(1, sizeof(*m));
    struct sl_err err = { 0 };
    const uint8_t none[IKE_SPI_LEN] = { 0 };
    if (!m)
        return;
    if (v1_message_read(m, data, &err) != SL_OK || memcmp(m->hdr.spi_i, none, IKE_SPI_LEN) == 0) {
        ike->stats.malformed++;
        free(m);
        return;
    }
    if (memcmp(m->hdr.spi_r, none, IKE_SPI_LEN) == 0 &&
        (m->hdr.exchange == V1_MAIN || m->hdr.exchange == V1_AGGRESSIVE)) {
        v1_first_message(ike, local, remote, m);
        free(m);
        return;
    }
    struct ike_isa *sa = find_sa(ike, &m->hdr);
    if (!sa) {
        ike->stats.unknown_spi++;
    } else if (v1_is_fragment(m)) {
        enum v1_joined what;
        SL_AUTO_BUF joined = { 0 };
        if (!whole && v1_join(&what, &joined, &sa->v1->ra, m, &err) == SL_OK && what == V1_JOINED)
            message_in(ike, local, remote, sl_buf_bytes(&joined), true);
    } else {
        sa_message(sa, m, local, remote);
    }
    free(m);
}

void v1_packet(struct sl_ike *ike, const struct sl_endpoint *local,
               const struct sl_endpoint *remote, struct sl_bytes data)
{
    /* Where no connection speaks IKEv1, nothing of it is even read. */
    if (!ike->index.ikev1) {
        ike->stats.malformed++;
        return;
    }
    message_in(ike, local, remote, data, false);
}
