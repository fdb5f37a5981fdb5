/*
 * One test for each class of fault that IKE daemons have had: key exchange values outside their
 * group, endless INVALID_KE_PAYLOAD and COOKIE answers, messages out of the order of authentication,
 * a missing ID, and unprotected messages about an SA that is up. After each the gateways are whole.
 */
#include "sim/left.h"
#include "sim/world.h"
#include "src/ike/core.h"
#include "support/support.h"

#include <string.h>

static struct world w;
static const struct world_side plain = { "", "", "" };

/* ---- key exchange values ------------------------------------------------------------------------ */

static uint8_t ke_fill;
static bool spoil_ke(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    struct ike_message m;
    struct sl_err err = { 0 };
    if (ike_message_read(&m, sl_buf_bytes(&d->data), &err) != SL_OK ||
        m.hdr.exchange != IKE_SA_INIT || ike_hdr_is_response(&m.hdr))
        return true;
    const struct ike_payload *ke = ike_payloads_find(&m.list, IKE_P_KE);
    ck_assert_ptr_nonnull(ke);
    const size_t at = (size_t)(ke->body.p - d->data.p) + 4;
    memset(d->data.p + at, ke_fill, ke->body.len - 4);
    return true;
}

static void refuse_value(const char *proposal, uint8_t fill)
{
    const struct world_side side = { "", proposal, "" };
    world_init(&w, 1, NULL, &side, &side, true, NULL);
    ke_fill = fill;
    w.spoil = spoil_ke;
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 200000);
    const struct sim_done *d = sim_gw_done(&w.a, id);
    ck_assert(d && d->rc != SL_OK);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP] + w.b.events.n[SL_IKE_EV_IKE_UP], 0);
    ck_assert(!sim_left_over(&w.a) && !sim_left_over(&w.b));
    world_clear(&w);
}

START_TEST(group_values_zero_or_off_the_curve_make_no_sa)
{
    refuse_value("ike = { \"aes128gcm16-prfsha256-curve25519\" }", 0);
    refuse_value("ike = { \"aes128gcm16-prfsha256-ecp256\" }", 0);
    refuse_value("ike = { \"aes128gcm16-prfsha256-ecp256\" }", 0x5a);
    refuse_value("ike = { \"aes128gcm16-prfsha256-modp2048\" }", 0);
    refuse_value("ike = { \"aes128gcm16-prfsha256-modp2048\" }", 0xff); /* above p */
}
END_TEST

/* ---- answers without end ------------------------------------------------------------------------ */

static uint16_t answer_type;
static bool answer_always(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    struct ike_message m;
    struct sl_err err = { 0 };
    if (ike_message_read(&m, sl_buf_bytes(&d->data), &err) != SL_OK ||
        m.hdr.exchange != IKE_SA_INIT || ike_hdr_is_response(&m.hdr))
        return true;
    static uint8_t turn;
    const uint8_t other[2] = { 0, turn++ % 2 ? SL_KE_ECP256 : SL_KE_CURVE25519 };
    const uint8_t cookie[8] = { turn };
    SL_AUTO_BUF b = { 0 };
    struct ike_hdr h = { .version = IKE_VERSION_2,
                         .exchange = IKE_SA_INIT,
                         .flags = IKE_FLAG_RESPONSE };
    memcpy(h.spi_i, m.hdr.spi_i, sizeof(h.spi_i));
    struct ike_wr c = ike_wr_message(&b, &h);
    if (answer_type == IKE_N_COOKIE)
        ike_put_notify(&c, answer_type, sl_bytes(cookie, sizeof(cookie)));
    else
        ike_put_notify(&c, answer_type, sl_bytes(other, sizeof(other)));
    ck_assert(ike_wr_end(&c));
    sim_net_send(&w.net, &d->to, &d->from, sl_buf_bytes(&b));
    return false;
}

START_TEST(invalid_ke_and_cookie_loops_come_to_an_end)
{
    static const uint16_t types[] = { IKE_N_INVALID_KE_PAYLOAD, IKE_N_COOKIE };
    const struct world_side two = {
        "", "ike = { \"aes128gcm16-prfsha256-curve25519\", \"aes128gcm16-prfsha256-ecp256\" }", ""
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(types); i++) {
        world_init(&w, 1, NULL, &two, &two, true, NULL);
        answer_type = types[i];
        w.spoil = answer_always;
        const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
        world_run(&w, 200000);
        const struct sim_done *d = sim_gw_done(&w.a, id);
        ck_assert(d && d->rc != SL_OK);
        ck_assert_uint_lt(world_count(&w, "IKE_SA_INIT 0 -->"), 20);
        ck_assert_ptr_null(sim_left_over(&w.a));
        world_clear(&w);
    }
}
END_TEST

/* ---- the order of authentication ---------------------------------------------------------------- */

/* A message of a on b's SA, protected with a's keys. */
static void send_protected(struct ike_isa *sa, uint8_t exchange, struct ike_wr *c,
                           struct sl_buf *chain)
{
    struct sl_err err = { 0 };
    struct ike_sk sk = { 0 };
    struct ike_datagrams d = { 0 };
    struct ike_hdr h = { .version = IKE_VERSION_2,
                         .exchange = exchange,
                         .flags = IKE_FLAG_INITIATOR,
                         .id = sa->win.rx_next };
    ck_assert(ike_wr_end(c));
    memcpy(h.spi_i, sa->spi_i, sizeof(h.spi_i));
    memcpy(h.spi_r, sa->spi_r, sizeof(h.spi_r));
    ck_ok(ike_sk_init(&sk, &sa->suite, true, &sa->keys.ei, &sa->keys.ai, &err), &err);
    ck_ok(ike_sk_seal(&d, &sk, &h, c->first, sl_buf_bytes(chain), 0, 4, false, &w.sim.rng, &err),
          &err);
    const struct sl_endpoint local = sa->local, remote = sa->remote;
    sl_ike_packet(w.b.ike, w.sim.now_ns, &local, &remote, ike_datagram_get(&d, 0));
    sim_gw_pump(&w.b);
    ike_datagrams_clear(&d);
    ike_sk_clear(&sk);
}

static bool no_auth(void *ctx, struct sim_datagram *d)
{
    (void)ctx;
    return d->data.len < 28 || d->data.p[18] != IKE_AUTH;
}

static struct ike_isa *half_open(void)
{
    world_init(&w, 1, NULL, &plain, &plain, true, NULL);
    w.spoil = no_auth;
    (void)sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 100);
    struct ike_isa *sa = w.b.ike->sas;
    ck_assert(sa && sa->state == ISA_SETUP && sa->in && sa->in->state == R_INIT_DONE);
    return sa;
}

START_TEST(other_exchanges_before_auth_are_dropped)
{
    static const uint8_t types[] = { IKE_CREATE_CHILD_SA, IKE_INFORMATIONAL };
    for (size_t i = 0; i < SL_ARRAY_LEN(types); i++) {
        struct ike_isa *sa = half_open();
        SL_AUTO_BUF b = { 0 };
        struct ike_wr c = ike_wr_chain(&b);
        ike_put_delete_ike(&c);
        send_protected(sa, types[i], &c, &b);
        ck_assert_ptr_eq(w.b.ike->sas, sa);
        ck_assert_int_eq(sa->state, ISA_SETUP);
        ck_assert_uint_eq(sa->win.rx_next, 1);
        w.spoil = NULL; /* and the IKE_AUTH that comes again is taken */
        ck_assert(world_until(&w, world_connected, 30000));
        world_clear(&w);
    }
}
END_TEST

START_TEST(auth_without_id_is_refused)
{
    struct ike_isa *sa = half_open();
    SL_AUTO_BUF b = { 0 };
    struct ike_wr c = ike_wr_chain(&b);
    ike_put_auth(&c, 2, sl_str("0123456789abcdef0123456789abcdef"));
    send_protected(sa, IKE_AUTH, &c, &b);
    world_run(&w, 300000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_UP], 0);
    ck_assert_ptr_null(sim_left_over(&w.b));
    world_clear(&w);
}
END_TEST

START_TEST(auth_again_on_an_sa_that_is_up_changes_nothing)
{
    world_init(&w, 1, NULL, &plain, &plain, true, NULL);
    world_up(&w);
    SL_AUTO_BUF b = { 0 };
    struct ike_wr c = ike_wr_chain(&b);
    ike_put_auth(&c, 2, sl_str("0123456789abcdef0123456789abcdef"));
    send_protected(w.b.ike->sas, IKE_AUTH, &c, &b);
    world_run(&w, 5000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_UP], 1);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

/* ---- unprotected messages about an SA that is up -------------------------------------------------- */

START_TEST(unprotected_messages_change_no_sa)
{
    world_init(&w, 1, NULL, &plain, &plain, true, NULL);
    world_up(&w);
    const struct ike_isa *sa = w.b.ike->sas;
    for (unsigned i = 0; i < 16; i++) {
        SL_AUTO_BUF b = { 0 };
        struct ike_hdr h = { .version = IKE_VERSION_2,
                             .exchange = i & 1 ? IKE_INFORMATIONAL : IKE_CREATE_CHILD_SA,
                             .flags =
                                 (uint8_t)(IKE_FLAG_INITIATOR | (i & 2 ? IKE_FLAG_RESPONSE : 0)),
                             .id = i & 4 ? sa->win.rx_next : sa->win.tx_next };
        memcpy(h.spi_i, sa->spi_i, sizeof(h.spi_i));
        memcpy(h.spi_r, sa->spi_r, sizeof(h.spi_r));
        struct ike_wr c = ike_wr_message(&b, &h);
        if (i & 8)
            ike_put_notify(&c, IKE_N_AUTHENTICATION_FAILED, sl_bytes(NULL, 0));
        ike_put_delete_ike(&c);
        ck_assert(ike_wr_end(&c));
        sl_ike_packet(w.b.ike, w.sim.now_ns, &sa->local, &sa->remote, sl_buf_bytes(&b));
        sim_gw_pump(&w.b);
    }
    ck_assert(world_connected(&w));
    ck_assert_ptr_null(sim_left_over(&w.b));
    world_clear(&w);
}
END_TEST

SL_TESTS(sim_ike_faults, SL_CASE(group_values_zero_or_off_the_curve_make_no_sa),
         SL_CASE(invalid_ke_and_cookie_loops_come_to_an_end),
         SL_CASE(other_exchanges_before_auth_are_dropped), SL_CASE(auth_without_id_is_refused),
         SL_CASE(auth_again_on_an_sa_that_is_up_changes_nothing),
         SL_CASE(unprotected_messages_change_no_sa))
