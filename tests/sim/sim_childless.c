/*
 * IKE SAs made without a child (RFC 6023), and the lifetime of an authentication that the responder
 * tells (RFC 4478). a begins.
 */
#include "sim/basic.h"
#include "src/ike/core.h"
#include "support/support.h"

#include <string.h>

static const struct world_side plain = { "", "", "" };
static const struct world_side never = { "", "childless = never", "" };
static const struct world_side prefer = { "", "childless = prefer", "" };
static const struct world_side force = { "", "childless = force", "" };

static const struct sim_done *up(const struct world_side *a, const struct world_side *b)
{
    world_init(&w, 1, NULL, a, b, false, NULL);
    const uint64_t id = sim_gw_up(&w.a, "ab", NULL);
    world_run(&w, 2000);
    const struct sim_done *d = sim_gw_done(&w.a, id);
    ck_assert_msg(d != NULL, "command has not ended");
    return d;
}

START_TEST(preferred_and_supported_makes_the_child_afterwards)
{
    ck_assert_int_eq(up(&prefer, &plain)->rc, SL_OK);
    ARROWS("IKE_SA_INIT 0 -->", "<-- IKE_SA_INIT 0 response", "IKE_AUTH 1 -->",
           "<-- IKE_AUTH 1 response", "CREATE_CHILD_SA 2 -->", "<-- CREATE_CHILD_SA 2 response");
    ck_assert(world_connected(&w));
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_CHILD_FAILED], 0);
    ck_assert_int_eq(w.a.ike->sas->children->ke,
                     SL_KE_CURVE25519); /* with a key exchange of its own */
    world_clear(&w);
}
END_TEST

START_TEST(preferred_and_not_supported_makes_the_child_at_once)
{
    ck_assert_int_eq(up(&prefer, &never)->rc, SL_OK);
    ck_assert_uint_eq(w.arrows, 4);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(allowed_alone_changes_nothing)
{
    ck_assert_int_eq(up(&plain, &plain)->rc, SL_OK);
    ck_assert_uint_eq(w.arrows, 4);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(forced_by_both_works)
{
    ck_assert_int_eq(up(&force, &force)->rc, SL_OK);
    ck_assert_uint_eq(w.arrows, 6);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(forced_and_not_supported_fails_with_the_reason)
{
    const struct sim_done *d = up(&force, &never);
    ck_assert_int_eq(d->rc, SL_IKE_NO_PROPOSAL);
    ck_assert(strstr(d->text, "CHILDLESS_IKEV2_SUPPORTED"));
    ck_assert_uint_eq(world_count(&w, "IKE_AUTH 1 -->"), 0);
    world_clear(&w);
}
END_TEST

START_TEST(forced_responder_makes_no_child_in_ike_auth)
{
    ck_assert_int_ne(up(&plain, &force)->rc, SL_OK);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_LIMIT);
    const struct sim_view b = sim_gw_view(&w.b);
    ck_assert_uint_eq(b.child_up, 0);
    ck_assert_uint_eq(b.ike_up, 1);
    world_clear(&w);
}
END_TEST

/* a believes that b supports it, which its connection turns out not to. */
START_TEST(request_without_a_child_is_refused_where_it_is_not_allowed)
{
    world_init(&w, 1, NULL, &prefer, &plain, false, NULL);
    (void)sim_gw_up(&w.a, "ab", NULL);
    while (world_count(&w, "<-- IKE_SA_INIT 0 response") == 0)
        sim_step(&w.sim);
    w.b.config->connection[0].childless = SL_CHILDLESS_NEVER;
    world_run(&w, 1000);
    ck_assert_int_eq(w.b.last_rc, SL_IKE_MALFORMED);
    ck_assert_int_eq(w.a.last_rc, SL_IKE_PEER_ERROR);
    ck_assert_uint_eq(sim_gw_view(&w.a).ike_up, 0);
    world_clear(&w);
}
END_TEST

START_TEST(the_responders_lifetime_makes_the_initiator_authenticate_anew)
{
    static const struct world_side hour = { "", "reauth = 3600s", "" };
    ck_assert_int_eq(up(&plain, &hour)->rc, SL_OK);
    world_run(&w, 3100000);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 1);
    world_run(&w, 500000);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 2);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_FAILED], 0);
    ck_assert(world_connected(&w));
    world_clear(&w);
}
END_TEST

START_TEST(a_lifetime_that_is_told_is_not_followed_more_often_than_it_should)
{
    static const struct world_side second = { "", "reauth = 1s", "" };
    ck_assert_int_eq(up(&plain, &second)->rc, SL_OK);
    world_run(&w, 4000);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 1);
    world_run(&w, 6000);
    ck_assert_uint_eq(w.a.events.n[SL_IKE_EV_IKE_UP], 2);
    world_clear(&w);
}
END_TEST

START_TEST(who_does_not_authenticate_anew_is_not_served_any_longer)
{
    static const struct world_side hour = { "", "reauth = 3600s", "" };
    ck_assert_int_eq(up(&plain, &hour)->rc, SL_OK);
    w.a.ike->sas->reauth_ns = INT64_MAX; /* as a peer that knows nothing of RFC 4478 */
    world_run(&w, 3600000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 0);
    world_run(&w, 600000);
    ck_assert_uint_eq(w.b.events.n[SL_IKE_EV_IKE_DOWN], 1);
    world_clear(&w);
}
END_TEST

SL_TESTS(sim_childless, SL_CASE(preferred_and_supported_makes_the_child_afterwards),
         SL_CASE(preferred_and_not_supported_makes_the_child_at_once),
         SL_CASE(allowed_alone_changes_nothing), SL_CASE(forced_by_both_works),
         SL_CASE(forced_and_not_supported_fails_with_the_reason),
         SL_CASE(forced_responder_makes_no_child_in_ike_auth),
         SL_CASE(request_without_a_child_is_refused_where_it_is_not_allowed),
         SL_CASE(the_responders_lifetime_makes_the_initiator_authenticate_anew),
         SL_CASE(a_lifetime_that_is_told_is_not_followed_more_often_than_it_should),
         SL_CASE(who_does_not_authenticate_anew_is_not_served_any_longer))
