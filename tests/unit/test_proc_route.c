/*
 * Routes into the tunnel device, in a network namespace of the test's own; needs root and says
 * nothing without.
 */
#include "support/support.h"

#include "src/esp/tun.h"
#include "src/proc/route.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct proc_routes *routes;
static int tun = -1;

static void sh(const char *command)
{
    ck_assert_msg(system(command) == 0, "%s", command); /* NOLINT(cert-env33-c) */
}

static bool set_up(void)
{
    struct sl_err err = { 0 };
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || esp_tun_open(&tun, "t0", &err) != SL_OK) {
        puts("needs root, left out");
        return false;
    }
    sh("ip link set lo up && ip link set t0 up && ip link add d0 type veth peer name d1 && ip link "
       "set d0 up "
       "&& "
       "ip addr add 10.1.2.3/24 dev d0 && ip -6 addr add 2001:db8:1::3/64 dev d0 nodad");
    ck_ok(proc_routes_new(&routes, "t0", &err), &err);
    return true;
}

static void tear_down(void)
{
    proc_routes_free(routes);
    close(tun);
}

/* Does `ip route show WHAT` print a line with this? */
static bool shows(const char *what, const char *text)
{
    char command[256], line[512];
    bool found = false;
    snprintf(command, sizeof(command), "ip %s", what);
    FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c) */
    while (f && fgets(line, sizeof(line), f))
        found |= strstr(line, text) != NULL;
    pclose(f);
    return found;
}

static struct msg_route route_to(const char *prefix, const char *local)
{
    struct msg_route m = { 0 };
    struct sl_ts ts;
    ck_assert(sl_prefix_parse(&m.prefix, prefix));
    if (local) {
        ck_assert(sl_ts_parse(&ts, local));
        m.local_first = ts.first;
        m.local_last = ts.last;
    }
    return m;
}

static void add(const char *prefix, const char *local)
{
    struct sl_err err = { 0 };
    struct msg_route m = route_to(prefix, local);
    ck_ok(proc_routes_add(routes, &m, &err), &err);
}

static void del(const char *prefix)
{
    struct sl_err err = { 0 };
    struct msg_route m = route_to(prefix, NULL);
    ck_ok(proc_routes_del(routes, &m.prefix, &err), &err);
}

START_TEST(route_prefers_an_address_of_the_near_side)
{
    if (!set_up())
        return;
    add("10.2.0.0/16", "10.1.0.0/16");
    ck_assert(shows("route show 10.2.0.0/16", "dev t0 proto 115 scope link src 10.1.2.3"));
    add("10.3.0.0/16", "10.9.0.0/16");
    ck_assert(shows("route show 10.3.0.0/16", "dev t0"));
    ck_assert(!shows("route show 10.3.0.0/16", "src"));
    add("2001:db8:2::/48", "2001:db8:1::/48");
    ck_assert(shows("-6 route show 2001:db8:2::/48", "src 2001:db8:1::3"));
    tear_down();
}
END_TEST

START_TEST(route_with_two_users_ends_with_the_last)
{
    if (!set_up())
        return;
    add("10.2.0.0/16", NULL);
    add("10.2.0.0/16", NULL);
    del("10.2.0.0/16");
    ck_assert(shows("route show 10.2.0.0/16", "dev t0"));
    del("10.2.0.0/16");
    ck_assert(!shows("route show 10.2.0.0/16", "dev t0"));
    ck_assert_uint_eq(proc_routes_count(routes), 0);
    del("10.2.0.0/16"); /* one that is not there is no failure */
    tear_down();
}
END_TEST

START_TEST(route_of_another_device_is_replaced)
{
    if (!set_up())
        return;
    sh("ip route add 10.2.0.0/16 dev d0");
    add("10.2.0.0/16", NULL);
    ck_assert(shows("route show 10.2.0.0/16", "dev t0"));
    ck_assert(!shows("route show 10.2.0.0/16", "dev d0"));
    tear_down();
}
END_TEST

START_TEST(everything_is_routed_in_halves)
{
    if (!set_up())
        return;
    sh("ip route add default via 10.1.2.1");
    add("0.0.0.0/0", NULL);
    ck_assert(shows("route show 0.0.0.0/1", "dev t0"));
    ck_assert(shows("route show 128.0.0.0/1", "dev t0"));
    ck_assert(shows("route show default", "via 10.1.2.1"));
    del("0.0.0.0/0");
    ck_assert(!shows("route", "dev t0"));
    tear_down();
}
END_TEST

START_TEST(orphaned_routes_stay_until_the_end)
{
    if (!set_up())
        return;
    add("10.2.0.0/16", NULL);
    add("10.2.0.0/16", NULL);
    add("10.3.0.0/16", NULL);
    proc_routes_orphan(routes);
    ck_assert(shows("route show 10.2.0.0/16", "dev t0"));
    add("10.2.0.0/16", NULL); /* the successor's: one user */
    del("10.2.0.0/16");
    ck_assert(!shows("route show 10.2.0.0/16", "dev t0"));
    proc_routes_remove_all(routes);
    ck_assert(!shows("route", "dev t0"));
    tear_down();
}
END_TEST

START_TEST(route_that_somebody_removed_is_no_failure)
{
    if (!set_up())
        return;
    add("10.2.0.0/16", NULL);
    sh("ip route del 10.2.0.0/16");
    del("10.2.0.0/16");
    tear_down();
}
END_TEST

START_TEST(route_into_a_device_that_is_down_fails)
{
    if (!set_up())
        return;
    struct sl_err err = { 0 };
    struct msg_route m = route_to("10.2.0.0/16", NULL);
    sh("ip link set t0 down");
    ck_rc(proc_routes_add(routes, &m, &err), SL_IO, &err);
    ck_assert_uint_eq(proc_routes_count(routes), 0);
    tear_down();
}
END_TEST

SL_TESTS(proc_route, SL_CASE(route_prefers_an_address_of_the_near_side),
         SL_CASE(route_with_two_users_ends_with_the_last),
         SL_CASE(route_of_another_device_is_replaced), SL_CASE(everything_is_routed_in_halves),
         SL_CASE(orphaned_routes_stay_until_the_end),
         SL_CASE(route_that_somebody_removed_is_no_failure),
         SL_CASE(route_into_a_device_that_is_down_fails))
