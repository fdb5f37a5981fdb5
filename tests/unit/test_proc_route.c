/*
 * Routes into the tunnel device and the rules that lead to them, in a network namespace of the test's
 * own; needs root.
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
static struct rules_config rules;

static void sh(const char *command)
{
    ck_assert_msg(system(command) == 0, "%s", command); /* NOLINT(cert-env33-c) */
}

static void begin(const struct rules_config *config)
{
    struct sl_err err = { 0 };
    ck_ok(proc_routes_new(&routes, "t0", config, &err), &err);
}

/* A host with a tunnel device, a link and addresses; no rules yet. */
static void host(void)
{
    struct sl_err err = { 0 };
    ck_assert_msg(geteuid() == 0, "this test needs root: it makes a network namespace");
    ck_assert_msg(unshare(CLONE_NEWNET) == 0, "no network namespace of its own");
    ck_ok(esp_tun_open(&tun, "t0", &err), &err);
    sh("ip link set lo up && ip link set t0 up && ip link add d0 type veth peer name d1 && "
       "ip link set d0 up && ip link set d1 up && "
       "ip addr add 10.1.2.3/24 dev d0 && ip -6 addr add 2001:db8:1::3/64 dev d0 nodad");
}

static void set_up(void) /* routes in the main table */
{
    host();
    begin(NULL);
}

/* action local remote, by threes, NULL */
static void set_up_rules(const char *const *shunt)
{
    static struct sl_conf_shunt shunts[8];
    size_t n = 0;
    static char name[] = "s";
    for (; shunt && shunt[3 * n]; n++) {
        shunts[n].name = name;
        shunts[n].action = strcmp(shunt[3 * n], "drop") == 0 ? SL_SHUNT_DROP : SL_SHUNT_BYPASS;
        ck_assert(sl_ts_parse(&shunts[n].local_ts, shunt[3 * n + 1]) &&
                  sl_ts_parse(&shunts[n].remote_ts, shunt[3 * n + 2]));
    }
    rules = (struct rules_config){
        .table = 7000, .mark = 77, .priority = 500, .shunt = shunts, .shunt_n = n
    };
    host();
    begin(&rules);
}

static void tear_down(void)
{
    proc_routes_free(routes);
    close(tun);
}

/* Does `ip route show WHAT` print a line with this? */
static bool shows(const char *what, const char *text)
{
    char command[320], line[512];
    bool found = false;
    int n = snprintf(command, sizeof(command), "ip %s", what);
    ck_assert(n > 0 && (size_t)n < sizeof(command));
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
    ck_ok(proc_routes_del(routes, &m, &err), &err);
}

static void near(const char *prefix, bool there)
{
    struct sl_err err = { 0 };
    struct msg_route m = route_to(prefix, NULL);
    m.near = true;
    ck_ok(there ? proc_routes_add(routes, &m, &err) : proc_routes_del(routes, &m, &err), &err);
}

/* Where a packet would go: `ip route get` prints the device. */
static bool goes(const char *how, const char *dev)
{
    char command[256], want[32];
    snprintf(command, sizeof(command), "route get %s", how);
    snprintf(want, sizeof(want), "dev %s ", dev);
    return shows(command, want);
}

START_TEST(route_prefers_an_address_of_the_near_side)
{
    set_up();
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
    set_up();
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
    set_up();
    sh("ip route add 10.2.0.0/16 dev d0");
    add("10.2.0.0/16", NULL);
    ck_assert(shows("route show 10.2.0.0/16", "dev t0"));
    ck_assert(!shows("route show 10.2.0.0/16", "dev d0"));
    tear_down();
}
END_TEST

START_TEST(everything_is_routed_in_halves)
{
    set_up();
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
    set_up();
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
    set_up();
    add("10.2.0.0/16", NULL);
    sh("ip route del 10.2.0.0/16");
    del("10.2.0.0/16");
    tear_down();
}
END_TEST

START_TEST(route_into_a_device_that_is_down_fails)
{
    set_up();
    struct sl_err err = { 0 };
    struct msg_route m = route_to("10.2.0.0/16", NULL);
    sh("ip link set t0 down");
    ck_rc(proc_routes_add(routes, &m, &err), SL_IO, &err);
    ck_assert_uint_eq(proc_routes_count(routes), 0);
    tear_down();
}
END_TEST

START_TEST(marked_packets_go_past_the_tunnel)
{
    set_up_rules(NULL);
    sh("ip route add default via 10.1.2.1 && ip -6 route add default via 2001:db8:1::1");
    add("0.0.0.0/0", "10.1.0.0/16");
    add("::/0", "2001:db8:1::/48");
    ck_assert(goes("192.0.2.1", "t0"));
    ck_assert(shows("route get 192.0.2.1", "src 10.1.2.3"));
    ck_assert(goes("192.0.2.1 mark 77", "d0"));
    ck_assert(goes("2001:db8:9::1", "t0"));
    ck_assert(goes("2001:db8:9::1 mark 77", "d0"));
    ck_assert(!shows("route show", "dev t0")); /* the main table is left alone */
    ck_assert(!shows("-6 route show default", "dev t0"));
    del("0.0.0.0/0");
    ck_assert(goes("192.0.2.1", "d0"));
    tear_down();
}
END_TEST

START_TEST(first_shunt_that_matches_decides)
{
    static const char *const shunts[] = {
        "drop",   "0.0.0.0/0",   "10.2.9.0/24",
        "bypass", "0.0.0.0/0",   "10.2.0.0/16[tcp/22]",
        "bypass", "10.1.2.7/32", "10.2.0.0/16",
        "bypass", "0.0.0.0/0",   "10.2.0.0/16[icmp]",
        "bypass", "::/0",        "2001:db8:2::/48[udp/1000-2000]",
        NULL,
    };
    set_up_rules(shunts);
    sh("ip addr add 10.1.2.7/24 dev d0 && ip route add default via 10.1.2.1 && "
       "ip -6 route add default via 2001:db8:1::1");
    add("10.2.0.0/16", NULL);
    add("2001:db8:2::/48", NULL);
    ck_assert(goes("10.2.0.1", "t0"));
    ck_assert(goes("10.2.0.1 ipproto tcp dport 22", "d0"));
    ck_assert(goes("10.2.0.1 ipproto tcp dport 23", "t0"));
    ck_assert(goes("10.2.0.1 ipproto udp dport 22", "t0"));
    ck_assert(goes("10.2.0.1 ipproto tcp sport 22", "t0"));
    ck_assert(goes("10.2.9.1 ipproto tcp dport 22", "t0")); /* where it is dropped */
    ck_assert(goes("10.2.0.1 from 10.1.2.7", "d0"));
    ck_assert(goes("10.2.9.1 from 10.1.2.7", "t0"));
    ck_assert(goes("10.2.0.1 ipproto icmp", "d0"));
    ck_assert(goes("2001:db8:2::1 ipproto udp dport 999", "t0"));
    ck_assert(goes("2001:db8:2::1 ipproto udp dport 1000", "d0"));
    ck_assert(goes("2001:db8:2::1 ipproto udp dport 2000", "d0"));
    ck_assert(goes("2001:db8:2::1 ipproto udp dport 2001", "t0"));
    tear_down();
}
END_TEST

START_TEST(drop_that_rules_cannot_tell_comes_before_a_bypass)
{
    static const char *const shunts[] = { "drop",   "0.0.0.0/0", "10.2.0.0/16[icmp/8]",
                                          "bypass", "0.0.0.0/0", "10.2.0.0/16",
                                          NULL };
    set_up_rules(shunts);
    sh("ip route add default via 10.1.2.1");
    add("10.2.0.0/16", NULL);
    ck_assert(goes("10.2.0.1 ipproto icmp", "t0"));
    ck_assert(goes("10.2.0.1 ipproto tcp dport 1", "d0"));
    tear_down();
}
END_TEST

START_TEST(near_side_keeps_its_routes)
{
    set_up_rules(NULL);
    add("10.0.0.0/8", NULL);
    near("10.1.0.0/16", true);
    ck_assert(goes("10.2.0.1", "t0"));
    ck_assert(goes("10.1.2.9", "d0"));
    add("10.1.2.128/25", NULL); /* a part of it is the peer's */
    ck_assert(goes("10.1.2.9", "d0"));
    ck_assert(goes("10.1.2.129", "t0"));
    near("10.1.0.0/16", true);
    near("10.1.0.0/16", false);
    ck_assert(goes("10.1.2.9", "d0"));
    near("10.1.0.0/16", false);
    ck_assert(goes("10.1.2.9", "t0"));
    tear_down();
}
END_TEST

START_TEST(same_prefix_on_both_sides_belongs_to_the_tunnel)
{
    static const char *const prefix[] = { "10.1.0.0/16", "2001:db8:1::/48" };
    static const char *const host_of[] = { "10.1.2.9", "2001:db8:1::9" };
    set_up_rules(NULL);
    for (int i = 0; i < 2; i++) {
        near(prefix[i], true);
        ck_assert(goes(host_of[i], "d0"));
        add(prefix[i], NULL);
        ck_assert(goes(host_of[i], "t0"));
        near(prefix[i], true);
        ck_assert(goes(host_of[i], "t0"));
        del(prefix[i]);
        ck_assert(goes(host_of[i], "d0"));
        near(prefix[i], false);
        near(prefix[i], false);
    }
    ck_assert_uint_eq(proc_routes_count(routes), 0);
    ck_assert(!shows("route show table 7000", "proto"));
    ck_assert(!shows("-6 route show table 7000", "proto"));
    tear_down();
}
END_TEST

START_TEST(what_another_daemon_left_is_removed)
{
    static const char *const shunts[] = { "bypass", "0.0.0.0/0", "10.2.0.0/16[tcp/22]", NULL };
    set_up_rules(shunts);
    sh("ip rule add pref 499 to 10.9.0.0/16 lookup main && "
       "ip rule add pref 501 to 10.9.0.0/16 lookup main && ip route add 10.7.0.0/16 dev d0 table "
       "7000");
    add("10.2.0.0/16", NULL);
    add("2001:db8:2::/48", NULL);
    near("10.1.0.0/16", true);
    ck_assert(shows("rule", "dport 22"));
    proc_routes_free(routes); /* as one that was killed */
    rules.shunt_n = 0;
    begin(&rules);
    ck_assert(!shows("rule", "dport 22"));
    ck_assert(!shows("route show table 7000", "10.2.0.0/16"));
    ck_assert(!shows("route show table 7000", "throw"));
    ck_assert(!shows("-6 route show table 7000", "2001"));
    ck_assert(shows("rule", "lookup 7000"));
    proc_routes_remove_all(routes);
    ck_assert(!shows("rule", "lookup 7000"));
    ck_assert(!shows("rule", "goto"));
    ck_assert(!shows("rule", "nop"));
    ck_assert(!shows("-6 rule", "lookup 7000"));
    ck_assert(!shows("-6 rule", "nop"));
    /* what others made is theirs */
    ck_assert(shows("rule", "499:"));
    ck_assert(shows("rule", "501:"));
    ck_assert(shows("route show table 7000", "10.7.0.0/16"));
    tear_down();
}
END_TEST

static bool count(void *ctx, const struct rule_match *m)
{
    (void)m;
    ++*(size_t *)ctx;
    return true;
}

START_TEST(shunts_that_rules_cannot_tell_are_known)
{
    static const struct {
        enum sl_shunt_action action;
        const char *local, *remote;
        bool told;
        size_t n;
    } cases[] = {
        { SL_SHUNT_BYPASS, "0.0.0.0/0", "10.0.0.0/8", true, 1 },
        { SL_SHUNT_BYPASS, "10.0.0.1-10.0.0.6", "10.0.0.0/8", true, 4 },
        { SL_SHUNT_BYPASS, "10.0.0.1-10.0.0.6", "10.0.0.1-10.0.0.6[udp/53]", true, 16 },
        { SL_SHUNT_BYPASS, "10.0.0.0/8[tcp]", "10.0.0.0/8[udp]", true, 0 },
        { SL_SHUNT_BYPASS, "10.0.0.0/8", "10.0.0.0/8[icmp]", true, 1 },
        { SL_SHUNT_BYPASS, "10.0.0.0/8", "10.0.0.0/8[icmp/8]", false, 0 },
        { SL_SHUNT_BYPASS, "10.0.0.0/8", "10.0.0.0/8[tcp/0]", false, 0 },
        { SL_SHUNT_DROP, "10.0.0.0/8", "10.0.0.0/8[icmp/8]", true, 1 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_conf_shunt s = { .action = cases[i].action };
        size_t n = 0;
        ck_assert(sl_ts_parse(&s.local_ts, cases[i].local) &&
                  sl_ts_parse(&s.remote_ts, cases[i].remote));
        ck_assert_msg(rules_of_shunt(&s, count, &n) == cases[i].told, "%s", cases[i].remote);
        ck_assert_uint_eq(n, cases[i].n);
    }
}
END_TEST

SL_TESTS(proc_route, SL_CASE(route_prefers_an_address_of_the_near_side),
         SL_CASE(route_with_two_users_ends_with_the_last),
         SL_CASE(route_of_another_device_is_replaced), SL_CASE(everything_is_routed_in_halves),
         SL_CASE(orphaned_routes_stay_until_the_end),
         SL_CASE(route_that_somebody_removed_is_no_failure),
         SL_CASE(route_into_a_device_that_is_down_fails),
         SL_CASE(marked_packets_go_past_the_tunnel), SL_CASE(first_shunt_that_matches_decides),
         SL_CASE(drop_that_rules_cannot_tell_comes_before_a_bypass),
         SL_CASE(near_side_keeps_its_routes),
         SL_CASE(same_prefix_on_both_sides_belongs_to_the_tunnel),
         SL_CASE(what_another_daemon_left_is_removed),
         SL_CASE(shunts_that_rules_cannot_tell_are_known))
