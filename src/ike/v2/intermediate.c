/*
 * IKE_INTERMEDIATE (RFC 9242) with the additional key exchanges of an IKE SA (RFC 9370 2.2.2)
 *
 *   SK { KEi(n) }  -->
 *                  <--  SK { KEr(n) }        once for each additional key exchange, in their order
 *
 * between IKE_SA_INIT and IKE_AUTH. Each is protected by the keys of those before it, and makes new
 * ones. What was sent is covered by AUTH: each side's chain of PRFs over its messages (IntAuth) goes
 * into the octets that both sign.
 */
#include "src/ike/core.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_AT 24 /* of the length in the IKE header (RFC 7296 3.1) */
#define GENERIC   4  /* header of a payload (RFC 7296 3.2) */

struct ike_intermediate {
    size_t n, done; /* key exchanges to be done, and done */
    /* IntAuth of the exchanges done, and with the one under way (RFC 9242 3.3.2) */
    uint8_t i[SL_PRF_MAX], r[SL_PRF_MAX], next_i[SL_PRF_MAX], next_r[SL_PRF_MAX];
};

/* ---- what AUTH covers (RFC 9242 3.3) ---------------------------------------------------------- */

/*
 * prf(SK_p, IntAuth before | A | P): A is the message up to the header of its SK payload as if that
 * held its content P alone, without IV, padding and checksum, and as if it was never split.
 */
static enum sl_rc chain(uint8_t *out, const struct ike_xchg *x, const struct sl_secret *sk_p,
                        const uint8_t *before, struct sl_bytes head, struct sl_bytes content,
                        struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    const size_t len = sl_prf_len(sa->prf);
    uint8_t a[IKE_HDR_LEN + GENERIC], made[SL_PRF_MAX];
    if (head.len != sizeof(a))
        return SL_FAIL(err, SL_INTERNAL, "IntAuth over a head of %zu bytes", head.len);
    memcpy(a, head.p, sizeof(a));
    struct sl_wr w = sl_wr_fixed(a, sizeof(a));
    w.len = sizeof(a);
    const size_t whole = sizeof(a) + content.len, payload = GENERIC + content.len;
    sl_wr_patch16(&w, LENGTH_AT, (uint16_t)(whole >> 16));
    sl_wr_patch16(&w, LENGTH_AT + 2, (uint16_t)whole);
    sl_wr_patch16(&w, IKE_HDR_LEN + 2, (uint16_t)payload);
    const struct sl_bytes parts[] = { sl_bytes(before, x->setup->intermediate->done ? len : 0),
                                      sl_bytes(a, sizeof(a)), content };
    SL_TRY(sl_prf_run(sa->prf, sl_secret_bytes(sk_p), parts, SL_ARRAY_LEN(parts), made, err));
    memcpy(out, made, len);
    return SL_OK;
}

/* The head of a message: its header and that of an SK payload whose first payload is `first`. */
static struct sl_bytes head_of(uint8_t out[IKE_HDR_LEN + GENERIC], const struct ike_hdr *h,
                               uint8_t first)
{
    struct ike_hdr whole = *h;
    whole.next = IKE_P_SK;
    struct sl_wr w = sl_wr_fixed(out, IKE_HDR_LEN + GENERIC);
    ike_hdr_write(&w, &whole);
    sl_wr_u8(&w, first);
    sl_wr_u8(&w, 0);
    sl_wr_u16(&w, 0);
    return sl_bytes(out, IKE_HDR_LEN + GENERIC);
}

/* Our message, whose chain is in buf, before it is sealed. */
static enum sl_rc cover_ours(struct ike_xchg *x, const struct ike_wr *c, const struct sl_buf *buf,
                             struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    struct ike_intermediate *m = x->setup->intermediate;
    uint8_t head[IKE_HDR_LEN + GENERIC];
    struct ike_hdr h = { .version = IKE_VERSION_2,
                         .exchange = IKE_INTERMEDIATE,
                         .flags = sa->initiator ? IKE_FLAG_INITIATOR : IKE_FLAG_RESPONSE,
                         .id = x->ours ? sa->win.tx_next : sa->win.rx_next };
    memcpy(h.spi_i, sa->spi_i, IKE_SPI_LEN);
    memcpy(h.spi_r, sa->spi_r, IKE_SPI_LEN);
    return chain(sa->initiator ? m->next_i : m->next_r, x,
                 sa->initiator ? &sa->keys.pi : &sa->keys.pr, sa->initiator ? m->i : m->r,
                 head_of(head, &h, c->first), sl_buf_bytes(buf), err);
}

/* The peer's message, opened into x->plain. */
static enum sl_rc cover_theirs(struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    const struct ike_message *in = &sa->ike->message;
    struct ike_intermediate *m = x->setup->intermediate;
    uint8_t head[IKE_HDR_LEN + GENERIC];
    if (in->list.n != 1)
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_INTERMEDIATE: %zu payloads outside SK, of which none has a meaning",
                       in->list.n - 1);
    return chain(sa->initiator ? m->next_r : m->next_i, x,
                 sa->initiator ? &sa->keys.pr : &sa->keys.pi, sa->initiator ? m->r : m->i,
                 head_of(head, &in->hdr, x->list.n ? x->list.p[0].type : 0),
                 sl_buf_bytes(&x->plain), err);
}

bool intermediate_cover(struct sl_buf *octets, const struct ike_xchg *x)
{
    const struct ike_intermediate *m = x->setup->intermediate;
    const size_t len = sl_prf_len(x->sa->prf);
    if (!m)
        return true;
    /* SPEC RFC9242-3.3.2: the last of each chain, and the message ID of the first IKE_AUTH */
    struct sl_wr w = sl_wr_buf(octets, SL_BUF_MAX);
    sl_wr_put(&w, sl_bytes(m->i, len));
    sl_wr_put(&w, sl_bytes(m->r, len));
    sl_wr_u32(&w, (uint32_t)m->n + 1);
    return sl_wr_ok(&w);
}

void intermediate_free(struct ike_intermediate *m)
{
    if (m)
        sl_wipe(m, sizeof(*m));
    free(m);
}

/* ---- both sides ------------------------------------------------------------------------------- */

enum sl_rc intermediate_prepare(struct ike_xchg *x, struct sl_err *err)
{
    const size_t n = ike_addke_n(&x->choice.add);
    intermediate_free(x->setup->intermediate);
    x->setup->intermediate = NULL;
    x->sa->add = x->choice.add;
    if (!n)
        return SL_OK;
    struct ike_intermediate *m = calloc(1, sizeof(*m));
    if (!m)
        return SL_FAIL_MEM(err);
    m->n = n;
    x->setup->intermediate = m;
    return SL_OK;
}

static enum sl_rc read_ke(struct ike_xchg *x, struct ike_ke *ke, struct sl_err *err)
{
    const struct ike_intermediate *m = x->setup->intermediate;
    const enum sl_ke want = ike_addke_get(&x->sa->add, m->done);
    if (!ike_ke_read(ke, ike_payloads_find(&x->list, IKE_P_KE)->body))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_INTERMEDIATE: KE payload is malformed (RFC 7296 3.4)");
    if (ke->group != (uint16_t)want)
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "IKE_INTERMEDIATE %zu: KE payload is of group %u, negotiated was %s "
                       "(RFC 9370 2.2.2)",
                       m->done + 1, ke->group, sl_ke_text(want));
    return SL_OK;
}

/* SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr) (RFC 9370 2.2.2), into *next. */
static enum sl_rc next_keys(struct ike_keys *next, struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_isa *sa = x->sa;
    SL_TRY(ike_keys_rekey(next, sa->prf, &sa->keys.d, sa->prf, &sa->suite, sl_buf_bytes(&x->ni),
                          sl_buf_bytes(&x->nr), sa->spi_i, sa->spi_r, &x->shared, NULL, err));
    sl_secret_clear(&x->shared);
    return SL_OK;
}

/* One more is done: its part of AUTH stands. */
static void count_done(struct ike_intermediate *m)
{
    memcpy(m->i, m->next_i, sizeof(m->i));
    memcpy(m->r, m->next_r, sizeof(m->r));
    m->done++;
}

/* ---- initiator -------------------------------------------------------------------------------- */

static enum sl_rc ask_value(struct ike_xchg *x, struct sl_err *err)
{
    const struct ike_intermediate *m = x->setup->intermediate;
    sl_kex_free(sl_steal(&x->kex));
    x->group = ike_addke_get(&x->sa->add, m->done);
    SL_TRY(xchg_ask_ke(x, sl_bytes(NULL, 0), err));
    x->table = m->done + 1 == m->n ? &ike_intermediate_last_initiator : &ike_intermediate_initiator;
    return SL_OK;
}

/* The value of IKE_SA_INIT's own key exchange is here. */
static enum sl_rc init_shared_in(struct ike_xchg *x, struct sl_err *err)
{
    enum sl_rc rc = init_derive(x, err);
    if (rc == SL_OK)
        rc = ask_value(x, err);
    if (rc == SL_NO_MEMORY)
        x->table = &ike_init_initiator; /* where its response is awaited once more */
    return rc;
}

static enum sl_rc send_request(struct ike_xchg *x, struct sl_err *err)
{
    SL_TRY(xchg_take_ke(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_ke(&c, (uint16_t)x->group, sl_kex_public(x->kex));
    if (!ike_wr_end(&c))
        return SL_FAIL_MEM(err);
    SL_TRY(cover_ours(x, &c, &buf, err));
    SL_TRY(xchg_request(x, IKE_INTERMEDIATE, &c, &buf, err));
    x->sent_state = I_MORE_SENT;
    return SL_OK;
}

static enum sl_rc request_out(struct ike_xchg *x, struct sl_err *err)
{
    const enum sl_rc rc = send_request(x, err);
    /* The response before this came under keys that are gone. */
    return rc == SL_NO_MEMORY ? SL_FAIL(err, SL_UNAVAILABLE, "no memory for IKE_INTERMEDIATE") : rc;
}

static enum sl_rc response_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_ke ke;
    SL_TRY(read_ke(x, &ke, err));
    SL_TRY(cover_theirs(x, err));
    return xchg_ask_ke(x, ke.data, err);
}

/* The keys change, and then comes `then`. */
static enum sl_rc take_over(struct ike_xchg *x,
                            enum sl_rc (*then)(struct ike_xchg *x, struct sl_err *err),
                            struct sl_err *err)
{
    struct ike_keys next = { 0 };
    SL_TRY(xchg_take_ke(x, err));
    SL_TRY(next_keys(&next, x, err));
    ike_keys_move(&x->sa->keys, &next);
    count_done(x->setup->intermediate);
    enum sl_rc rc = isa_keys(x->sa, err);
    if (rc == SL_OK)
        rc = then(x, err);
    /* There is no way back to the keys before, under which the response could come again. */
    return rc == SL_NO_MEMORY ? SL_FAIL(err, SL_UNAVAILABLE, "no memory after IKE_INTERMEDIATE")
                              : rc;
}

static enum sl_rc shared_in(struct ike_xchg *x, struct sl_err *err)
{
    return take_over(x, ask_value, err);
}

static enum sl_rc last_shared_in(struct ike_xchg *x, struct sl_err *err)
{
    return take_over(x, auth_begin, err);
}

static enum sl_rc refused_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_notify n;
    char name[IKE_TEXT];
    if (!ike_notify_find_error(&x->list, &n))
        return SL_FAIL(err, SL_IKE_MALFORMED, "IKE_INTERMEDIATE response without KE");
    return SL_FAIL(err, SL_IKE_PEER_ERROR, "peer answered IKE_INTERMEDIATE with %s",
                   ike_notify_text(name, n.type));
}

static void initiator_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    isa_end(x->sa, rc, sl_err_text(err), false);
}

/* The rows of one exchange; they differ in what follows it. */
#define ONE_EXCHANGE(last_run, last_to)                                                      \
    { .from = I_MORE_WAIT_KE,                                                                \
      .on = ANSWER(ASK_KE),                                                                  \
      .run = request_out,                                                                    \
      .to = I_MORE_SENT,                                                                     \
      .story = "IKE_INTERMEDIATE sent" },                                                    \
        { .from = I_MORE_SENT,                                                               \
          .on = RESPONSE(IKE_INTERMEDIATE),                                                  \
          .notify = IKE_ANY_ERROR,                                                           \
          .need = P(N),                                                                      \
          .run = refused_in,                                                                 \
          .to = X_DONE },                                                                    \
        { .from = I_MORE_SENT,                                                               \
          .on = RESPONSE(IKE_INTERMEDIATE),                                                  \
          .need = P(KE),                                                                     \
          .run = response_in,                                                                \
          .to = I_MORE_WAIT_SHARED,                                                          \
          .story = "peer answered IKE_INTERMEDIATE" },                                       \
    {                                                                                        \
        .from = I_MORE_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = (last_run), .to = (last_to) \
    }

static const struct ike_step initiator[] = {
    { .from = I_WAIT_SHARED, .on = ANSWER(ASK_KE), .run = init_shared_in, .to = I_MORE_WAIT_KE },
    ONE_EXCHANGE(shared_in, I_MORE_WAIT_KE),
};
const struct ike_table ike_intermediate_initiator =
    IKE_TABLE("IKE_INTERMEDIATE initiator", initiator, initiator_fail);
static const struct ike_step last_initiator[] = { ONE_EXCHANGE(last_shared_in, I_WAIT_SIGN) };
const struct ike_table ike_intermediate_last_initiator =
    IKE_TABLE("last IKE_INTERMEDIATE initiator", last_initiator, initiator_fail);

/* ---- responder -------------------------------------------------------------------------------- */

static enum sl_rc request_in(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_ke ke;
    SL_TRY(read_ke(x, &ke, err));
    SL_TRY(cover_theirs(x, err));
    sl_kex_free(sl_steal(&x->kex));
    x->group = (enum sl_ke)ke.group;
    return xchg_ask_ke(x, ke.data, err);
}

/*
 * The response goes out under the keys that the request came under. The request may come again, so
 * these still know it afterwards.
 */
static enum sl_rc response_out(struct ike_xchg *x, struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    struct ike_intermediate *m = x->setup->intermediate;
    struct ike_datagrams d = { 0 };
    struct ike_keys next = { 0 };
    SL_TRY(xchg_take_ke(x, err));
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    ike_put_ke(&c, (uint16_t)x->group, sl_kex_public(x->kex));
    if (!ike_wr_end(&c))
        return SL_FAIL_MEM(err);
    SL_TRY(cover_ours(x, &c, &buf, err));
    SL_TRY(next_keys(&next, x, err));
    enum sl_rc rc = xchg_seal_response(x, IKE_INTERMEDIATE, &c, &buf, &d, err);
    if (rc == SL_OK) {
        const struct ike_sk before = sa->rx;
        sa->rx = (struct ike_sk){ 0 };
        ike_keys_move(&sa->keys, &next);
        rc = isa_keys(sa, err);
        ike_sk_clear(&sa->rx_before);
        sa->rx_before = before;
    }
    if (rc != SL_OK) {
        ike_keys_clear(&next);
        ike_datagrams_clear(&d);
        /* half changed keys are of no use: not as a message that is lost, but the end */
        return rc == SL_NO_MEMORY ? SL_FAIL(err, SL_UNAVAILABLE, "no memory for new keys") : rc;
    }
    count_done(m);
    xchg_send_response(x, &d);
    if (m->done == m->n)
        x->table = &ike_auth_responder;
    return SL_OK;
}

static void responder_fail(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err)
{
    struct ike_isa *sa = x->sa;
    sa->ike->stats.refused++;
    /* Who it is that errs is not known yet: it learns no more than that its message is bad. */
    if (!x->refuse)
        x->refuse = rc == SL_IKE_CRITICAL_PAYLOAD ? IKE_N_UNSUPPORTED_CRITICAL_PAYLOAD
                                                  : IKE_N_INVALID_SYNTAX;
    if (sa->win.rx_busy)
        (void)xchg_respond_refused(x, IKE_INTERMEDIATE, rc);
    isa_end(sa, rc, sl_err_text(err), true);
}

static const struct ike_step responder[] = {
    { .from = R_INIT_DONE,
      .on = REQUEST(IKE_INTERMEDIATE),
      .need = P(KE),
      .run = request_in,
      .to = R_MORE_WAIT_SHARED },
    { .from = R_MORE_WAIT_SHARED,
      .on = ANSWER(ASK_KE),
      .run = response_out,
      .to = R_INIT_DONE,
      .story = "IKE_INTERMEDIATE answered" },
};
const struct ike_table ike_intermediate_responder =
    IKE_TABLE("IKE_INTERMEDIATE responder", responder, responder_fail);
