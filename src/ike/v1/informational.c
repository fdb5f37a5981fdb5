/*
 * Informational exchanges (RFC 2409 5.7; RFC 2408 3.14, 3.15, 4.8): Delete, notifications, and dead
 * peer detection (RFC 3706). One message, HASH(1) in front, no answer but for R-U-THERE.
 *
 * What comes without protection is at most a hint for the log.
 */
#include "src/ike/v1/v1.h"

#include <stdio.h>
#include <string.h>

/* ---- sending ----------------------------------------------------------------------------------- */

uint16_t v1_refusal(enum sl_rc rc)
{
    switch ((int)rc) {
    case SL_MALFORMED:
    case SL_IKE_MALFORMED:
    case SL_TOO_LARGE:
        return V1_N_PAYLOAD_MALFORMED;
    case SL_IKE_NO_PROPOSAL:
    case SL_WEAK_ALGORITHM:
    case SL_IKE_NO_CONNECTION:
        return V1_N_NO_PROPOSAL_CHOSEN;
    case SL_IKE_INVALID_KE:
        return V1_N_INVALID_KEY_INFORMATION;
    case SL_IKE_TS_UNACCEPTABLE:
    case SL_POLICY_TS:
        return V1_N_INVALID_ID_INFORMATION;
    default:
        return V1_N_AUTHENTICATION_FAILED;
    }
}

void v1_send_notify(struct ike_isa *sa, uint8_t protocol, uint16_t type, struct sl_bytes spi,
                    struct sl_bytes data)
{
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    v1_put_notify(&c, protocol, type, spi, data);
    (void)!v1_send_info(sa, &c, &chain, NULL); /* as if the network had lost it */
}

void v1_send_delete(struct ike_isa *sa, struct ike_child *child)
{
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    if (child)
        v1_put_delete_esp(&c, &child->spi_in, 1);
    else
        v1_put_delete_sa(&c, sa->spi_i, sa->spi_r);
    (void)!v1_send_info(sa, &c, &chain, NULL);
}

void v1_refuse_plain(struct sl_ike *ike, const struct sl_endpoint *local,
                     const struct sl_endpoint *remote, const struct ike_hdr *in, uint16_t type)
{
    SL_AUTO_BUF buf = { 0 };
    struct ike_hdr h = { .version = V1_VERSION, .exchange = V1_INFORMATIONAL };
    memcpy(h.spi_i, in->spi_i, IKE_SPI_LEN);
    memcpy(h.spi_r, in->spi_r, IKE_SPI_LEN);
    h.id = (uint32_t)sl_rng_u64(&ike->rng) | 1;
    struct ike_wr c = ike_wr_message(&buf, &h);
    v1_put_notify(&c, V1_PROTO_ISAKMP, type, sl_bytes(NULL, 0), sl_bytes(NULL, 0));
    if (ike_wr_end(&c))
        ike_send(ike, local, remote, local->port == ike->config->port_natt, sl_buf_bytes(&buf));
}

/* ---- dead peer detection ----------------------------------------------------------------------- */

void v1_dpd(struct ike_isa *sa)
{
    struct ike_v1 *v = sa->v1;
    const struct ike_retry retry = isa_retry(sa);
    if (!(v->vids & 1U << V1_VID_DPD)) {
        sa->want_liveness = false; /* the peer would not answer */
        sa->seen_ns = sa->ike->now_ns;
        return;
    }
    if (!v->dpd_waits) {
        v->dpd_waits = true;
        v->dpd_sent = 0;
        v->dpd_seq++;
    }
    if (v->dpd_sent > retry.tries) {
        char text[SL_ERR_TEXT_MAX], to[SL_ENDPOINT_TEXT];
        snprintf(text, sizeof(text), "%s did not answer %u R-U-THERE (RFC 3706)",
                 sl_endpoint_text(to, &sa->remote), v->dpd_sent);
        isa_end(sa, SL_IKE_PEER_DEAD, text, false);
        return;
    }
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    const uint8_t seq[4] = { (uint8_t)(v->dpd_seq >> 24), (uint8_t)(v->dpd_seq >> 16),
                             (uint8_t)(v->dpd_seq >> 8), (uint8_t)v->dpd_seq };
    v1_put_notify_sa(&c, V1_N_R_U_THERE, sa->spi_i, sa->spi_r, sl_bytes(seq, sizeof(seq)));
    (void)!v1_send_info(sa, &c, &chain, NULL);
    int64_t ms = retry.first_ms;
    for (unsigned i = 0; i < v->dpd_sent && ms < IKE_RETRY_MAX_MS; i++)
        ms *= 2;
    v->dpd_sent++;
    v->dpd_due_ns = sa->ike->now_ns + ms * SL_NS_PER_MS;
    isa_touch(sa);
}

static bool names_sa(const struct ike_isa *sa, struct sl_bytes spi)
{
    return spi.len == 2 * IKE_SPI_LEN && memcmp(spi.p, sa->spi_i, IKE_SPI_LEN) == 0 &&
           memcmp(spi.p + IKE_SPI_LEN, sa->spi_r, IKE_SPI_LEN) == 0;
}

static void dpd_asked(struct ike_isa *sa, const struct v1_notify *n)
{
    struct ike_v1 *v = sa->v1;
    uint32_t seq;
    if (!v1_dpd_seq(&seq, n) || !names_sa(sa, n->spi))
        return;
    /* RFC 3706 6.2: one that is older than what was answered is a replay */
    if (v->dpd_peer_seen && (int32_t)(seq - v->dpd_peer_seq) < 0)
        return;
    v->dpd_peer_seen = true;
    v->dpd_peer_seq = seq;
    SL_AUTO_BUF chain = { 0 };
    struct ike_wr c = ike_wr_chain(&chain);
    v1_put_notify_sa(&c, V1_N_R_U_THERE_ACK, sa->spi_i, sa->spi_r, n->data);
    (void)!v1_send_info(sa, &c, &chain, NULL);
}

static void dpd_answered(struct ike_isa *sa, const struct v1_notify *n)
{
    struct ike_v1 *v = sa->v1;
    uint32_t seq;
    if (!v->dpd_waits || !v1_dpd_seq(&seq, n) || seq != v->dpd_seq)
        return;
    v->dpd_waits = sa->want_liveness = false;
    v->dpd_due_ns = INT64_MAX;
    isa_touch(sa);
}

/* ---- receiving --------------------------------------------------------------------------------- */

/* The quick mode of ours that an error is about: by its SPI, else the only one there is. */
static struct ike_xchg *quick_meant(const struct ike_isa *sa, struct sl_bytes spi)
{
    struct ike_xchg *only = NULL;
    size_t n = 0;
    struct sl_rd r = sl_rd(spi);
    const uint32_t value = sl_rd_u32(&r);
    for (struct ike_xchg *x = sa->v1->parts; x; x = x->v1->next) {
        if (!x->ours || x->v1->state != Q_I_SENT)
            continue;
        const struct ike_child *c = x->child ? x->child : child_find(sa, x->old_child);
        if (spi.len == 4 && c && c->spi_in == value)
            return x;
        only = x;
        n++;
    }
    return n == 1 ? only : NULL;
}

static void error_in(struct ike_isa *sa, const struct v1_notify *n)
{
    char name[IKE_TEXT];
    struct sl_err err = { 0 };
    v1_notify_text(name, n->type);
    if (sa->state == ISA_SETUP) {
        struct ike_xchg *x = sa->out ? sa->out : sa->in;
        (void)SL_FAIL(&err, SL_IKE_PEER_REFUSED,
                      "peer answered phase 1 with %s; its own log says why", name);
        if (x)
            v1_phase1_fail(x, err.rc, &err);
        return;
    }
    struct ike_xchg *x = quick_meant(sa, n->spi);
    if (!x) {
        ike_event(sa->ike, SL_IKE_EV_STORY, sa, NULL, SL_IKE_PEER_ERROR, "peer says %s", name);
        return;
    }
    enum sl_rc rc = SL_IKE_PEER_ERROR;
    if (n->type == V1_N_NO_PROPOSAL_CHOSEN)
        rc = SL_IKE_NO_PROPOSAL;
    else if (n->type == V1_N_INVALID_ID_INFORMATION)
        rc = SL_IKE_TS_UNACCEPTABLE;
    (void)SL_FAIL(&err, rc, "peer answered quick mode with %s", name);
    x->v1->table->fail(x, rc, &err);
}

static void lifetime_in(struct ike_isa *sa, const struct v1_notify *n)
{
    uint64_t life_s = 0, life_kb = 0;
    struct sl_ike *ike = sa->ike;
    if (n->protocol == V1_PROTO_ISAKMP && names_sa(sa, n->spi) &&
        v1_lifetime_read(&life_s, &life_kb, true, n->data) && life_s >= 60 &&
        life_s < INT64_MAX / SL_NS_PER_S / 2) {
        const int64_t span = (int64_t)life_s * SL_NS_PER_S;
        if (sa->established_ns + span < sa->expire_ns)
            sa->expire_ns = sa->established_ns + span;
        if (sa->rekey_ns > sa->established_ns + span - span / 10)
            sa->rekey_ns = sa->established_ns + span - span / 10 - ike_jitter(ike, span / 20);
    }
}

static void notify_in(struct ike_isa *sa, const struct v1_notify *n)
{
    switch (n->type) {
    case V1_N_R_U_THERE:
        dpd_asked(sa, n);
        break;
    case V1_N_R_U_THERE_ACK:
        dpd_answered(sa, n);
        break;
    case V1_N_INITIAL_CONTACT:
        if (sa->state == ISA_UP && names_sa(sa, n->spi))
            isa_only(sa);
        break;
    case V1_N_RESPONDER_LIFETIME:
        lifetime_in(sa, n);
        break;
    default:
        if (n->type < V1_N_STATUS_FIRST)
            error_in(sa, n);
        break;
    }
}

/*
 * The peer deletes a child. Where a rekey is not confirmed yet its successor stands in for it; and
 * where the peer gave up one of two simultaneous successors, what that had replaced is used again.
 */
static void child_deleted(struct ike_child *c)
{
    for (struct ike_child *o = c->sa->children; o; o = o->next) {
        if (o == c || !o->installed)
            continue;
        if (!c->replaced_by && o->replaces == c->id && o->state == CHILD_UP)
            c->replaced_by = o->id;
        if (!c->replaced_by && o->replaced_by == c->id && o->state == CHILD_REPLACED &&
            !o->want_delete) {
            o->state = CHILD_UP;
            o->replaced_by = 0;
            o->gone_ns = INT64_MAX;
            c->replaced_by = o->id;
        }
    }
    child_end(c, SL_IKE_DELETED, true);
}

static void delete_in(struct ike_isa *sa, const struct v1_delete *d)
{
    for (size_t i = 0; i < d->n && sa->state != ISA_DEAD; i++) {
        const struct sl_bytes spi = v1_delete_spi(d, i);
        if (d->protocol == V1_PROTO_ISAKMP) {
            if (names_sa(sa, spi))
                v1_peer_deleted(sa);
            continue;
        }
        struct sl_rd r = sl_rd(spi);
        const uint32_t value = sl_rd_u32(&r);
        struct ike_child *c =
            d->protocol == V1_PROTO_ESP && sl_rd_done(&r) ? child_by_spi_out(sa, value) : NULL;
        if (!c && d->protocol == V1_PROTO_ESP) {
            /* its children may have moved to another SA with the same peer already */
            for (struct ike_isa *o = sa->conn ? sa->conn->sas : NULL; o && !c; o = o->conn_next)
                if (o != sa && o->v1 && o->state == ISA_UP &&
                    sl_id_eq(&o->id_remote, &sa->id_remote))
                    c = child_by_spi_out(o, value);
        }
        if (c)
            child_deleted(c);
    }
}

void v1_informational(struct ike_isa *sa, const struct v1_message *m)
{
    struct ike_v1 *v = sa->v1;
    uint8_t iv[V1_IV_LEN], next[V1_IV_LEN], hash[SL_PRF_MAX];
    const struct ike_xchg *x = sa->out ? sa->out : sa->in;
    const uint8_t *last = v->ready ? v->last : x && x->v1->has_iv ? x->v1->iv : NULL;
    SL_AUTO_BUF plain = { 0 };
    struct ike_payloads list = { 0 };
    if (!last || v1_iv_phase2(iv, sa->prf, last, m->hdr.id, NULL) != SL_OK)
        return;
    if (v1_open(&plain, next, &v->keys.enc, iv, m, NULL) != SL_OK ||
        v1_payloads_read(&list, m->hdr.next, sl_buf_bytes(&plain), NULL) != SL_OK ||
        v1_payloads_check(&list, V1P(HASH), V1P(D), "informational exchange", NULL) != SL_OK ||
        list.p[0].type != V1_P_HASH ||
        v1_hash_1(hash, sa->prf, &v->keys.a, m->hdr.id, v1_after_first(&list), NULL) != SL_OK ||
        !sl_ct_equal(list.p[0].body, sl_bytes(hash, sl_prf_len(sa->prf)))) {
        sa->ike->stats.integrity++;
        sl_buf_wipe(&plain);
        return;
    }
    v1_info_believed(sa, m->hdr.id);
    const struct ike_payload *p = NULL;
    while ((p = ike_payloads_next(&list, V1_P_N, p))) {
        struct v1_notify n;
        if (sa->state != ISA_DEAD && v1_notify_read(&n, p->body))
            notify_in(sa, &n);
    }
    p = NULL;
    while ((p = ike_payloads_next(&list, V1_P_D, p))) {
        struct v1_delete d;
        if (sa->state != ISA_DEAD && v1_delete_read(&d, p->body))
            delete_in(sa, &d);
    }
    sl_buf_wipe(&plain);
}

/* Before there are keys: noted, and believed only when nothing better comes. */
void v1_plain_informational(struct ike_isa *sa, const struct ike_payloads *list)
{
    const struct ike_payload *p = ike_payloads_find(list, V1_P_N);
    struct v1_notify n;
    char name[IKE_TEXT], text[160];
    struct ike_xchg *x = sa->out;
    if (!x || !p || !v1_notify_read(&n, p->body) || n.type >= V1_N_STATUS_FIRST)
        return;
    snprintf(text, sizeof(text), "peer answered phase 1 with %s, without protection",
             v1_notify_text(name, n.type));
    v1_doubt(sa, n.type == V1_N_NO_PROPOSAL_CHOSEN ? SL_IKE_NO_PROPOSAL : SL_IKE_PEER_ERROR, text);
}
