/*
 * The whole main job in one process: enrolment, tunnels, rekeys, renewal, revocation, dead servers
 * and late answers, with the real cores of every process and only the sockets simulated.
 *
 * SL_SEED=n repeats one run of the random story, SL_SIM_RUNS sets their number (a tenth of it, as a
 * run here is the work of several), SL_SIM_VERBOSE=1 tells every event.
 */
#include "sim/job.h"
#include "support/support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct job j;

#define AGREED()                                            \
    do {                                                    \
        const char *differs_ = sim_agree(&j.a.gw, &j.b.gw); \
        ck_assert_msg(!differs_, "%s", differs_);           \
    } while (0)

static void begin(const struct job_options *o)
{
    job_init(&j, 1, o);
    job_enroll(&j);
}

static void up(void)
{
    const enum sl_rc rc = job_up(&j, &j.a, "ab", NULL);
    ck_assert_msg(rc == SL_OK, "up: %s: %s", sl_rc_name(rc), j.a.gw.last_text);
    job_run(&j, 100);
    AGREED();
}

START_TEST(enrolled_gateways_connect_and_packets_pass_both_ways)
{
    begin(NULL);
    up();
    job_traffic(&j, 10);
    job_run(&j, 1000);
    job_traffic_stop(&j);
    job_run(&j, 100);
    ck_assert_uint_ge(j.to_b.sent, 99);
    ck_assert_uint_eq(j.to_b.received, j.to_b.sent);
    ck_assert_uint_eq(j.to_a.received, j.to_a.sent);
    ck_assert_uint_eq(j.to_a.unsent + j.to_b.unsent, 0);
    job_clear(&j);
}
END_TEST

/* Everything sent has come out, once. */
static void assert_no_packet_lost(void)
{
    job_traffic_stop(&j);
    job_run(&j, 200);
    const struct job_flow *flow[] = { &j.to_b, &j.to_a };
    for (size_t i = 0; i < SL_ARRAY_LEN(flow); i++) {
        const struct job_flow *f = flow[i];
        ck_assert_msg(f->sent > 0 && f->received == f->sent && !f->unsent && !f->again &&
                          !f->strange,
                      "to %s: %" PRIu64 " sent, %" PRIu64 " not taken, %" PRIu64
                      " came out, %" PRIu64 " twice, %" PRIu64 " strange",
                      f->to->conf->name, f->sent, f->unsent, f->received, f->again, f->strange);
    }
}

START_TEST(rekeys_under_traffic_lose_no_packet)
{
    const struct job_options o = { .connection = "rekey = 60s", .child = "rekey = 20s" };
    begin(&o);
    up();
    job_traffic(&j, 20);
    job_run(&j, 300000);
    assert_no_packet_lost();
    AGREED();
    ck_assert_uint_ge(j.a.gw.events.n[SL_IKE_EV_CHILD_REKEYED], 12);
    ck_assert_uint_ge(j.a.gw.events.n[SL_IKE_EV_IKE_REKEYED], 4);
    ck_assert_uint_eq(j.a.gw.events.n[SL_IKE_EV_IKE_UP], 1);
    ck_assert_uint_eq(j.b.refused + j.a.refused, 0);
    /* who was accepted is still known by the newest SA, so that it can be asked about again */
    ck_assert_uint_eq(sim_device_live(&j.a), 1);
    ck_assert_uint_eq(sim_device_live(&j.b), 1);
    job_clear(&j);
}
END_TEST

START_TEST(rekeys_from_both_sides_at_once_lose_no_packet)
{
    begin(NULL);
    up();
    job_traffic(&j, 1);
    for (int i = 0; i < 6; i++) {
        const bool ike = i % 2;
        (void)sim_gw_rekey(&j.a.gw, "ab", ike ? NULL : "net", ike);
        (void)sim_gw_rekey(&j.b.gw, "ab", ike ? NULL : "net", ike);
        job_run(&j, 7000); /* replaced children still read packets under way for 5 s */
        AGREED();
    }
    assert_no_packet_lost();
    ck_assert(job_connected(&j));
    job_clear(&j);
}
END_TEST

START_TEST(rekeys_in_a_storm_leave_traffic_flowing)
{
    const struct job_options o = { .weather = &job_storm,
                                   .connection = "rekey = 60s retransmit_tries = 10",
                                   .child = "rekey = 20s" };
    begin(&o);
    up();
    job_traffic(&j, 50);
    job_run(&j, 300000);
    j.net.weather = sim_fair;
    job_run(&j, 60000);
    AGREED();
    job_traffic_stop(&j);
    job_run(&j, 1000);
    ck_assert_uint_ge(j.a.gw.events.n[SL_IKE_EV_CHILD_REKEYED], 10);
    ck_assert_uint_ge(j.a.gw.events.n[SL_IKE_EV_IKE_REKEYED], 3);
    const struct job_flow *flow[] = { &j.to_b, &j.to_a };
    for (size_t i = 0; i < SL_ARRAY_LEN(flow); i++) {
        const struct job_flow *f = flow[i];
        ck_assert_msg(f->gap_ns < SL_NS_PER_S, "to %s: %.3f s without a packet", f->to->conf->name,
                      (double)f->gap_ns / 1e9);
        ck_assert_uint_eq(f->unsent + f->again + f->strange, 0);
        ck_assert_uint_ge(f->received * 100, f->sent * 75);
    }
    job_clear(&j);
}
END_TEST

/* ---- certificates: renewal, revocation ------------------------------------------------------------ */

static json_t *record_of(const struct sim_device *d, const char *connection)
{
    const struct sim_verdict *v = sim_device_verdict(d, connection);
    ck_assert_ptr_nonnull(v);
    return sim_device_record(d, v->record);
}

/* The serial number by which d last judged its peer on ab. */
static void judged_serial(const struct sim_device *d, char out[SL_SERIAL_TEXT])
{
    json_t *r = record_of(d, "ab");
    const json_t *leaf = json_array_get(json_object_get(r, "path"), 0);
    const char *text = json_string_value(json_object_get(leaf, "serial"));
    ck_assert_ptr_nonnull(text);
    snprintf(out, SL_SERIAL_TEXT, "%s", text);
    json_decref(r);
}

static void assert_judged_by(const struct sim_device *d, const char *serial)
{
    char judged[SL_SERIAL_TEXT];
    judged_serial(d, judged);
    ck_assert_str_eq(judged, serial);
}

START_TEST(certificate_renewed_while_the_tunnel_is_up_disturbs_nothing)
{
    const struct job_options o = { .connection = "reauth = 500s", .lifetime_s = 600 };
    char first[SL_SERIAL_TEXT];
    job_init(&j, 1, &o);
    j.a.auto_renew = j.b.auto_renew = true;
    job_enroll(&j);
    snprintf(first, sizeof(first), "%s", j.a.serial);
    up();
    assert_judged_by(&j.b, first);
    job_traffic(&j, 100);
    /* The SCEP server is away when the renewal is due, and comes back. */
    j.lab.scep_server.state = SIM_REFUSES;
    job_run(&j, 435000);
    ck_assert_str_eq(j.a.serial, first);
    ck_assert_int_ne(j.a.enroll.rc, SL_OK);
    j.lab.scep_server.state = SIM_SERVES;
    job_run(&j, 50000);
    ck_assert_str_ne(j.a.serial, first);
    ck_assert_uint_eq(j.a.enroll.done, 2);
    ck_assert_uint_eq(j.b.enroll.done, 2);
    /* Past the end of the first certificates: a new authentication has taken the new ones. */
    job_run(&j, 215000);
    assert_judged_by(&j.b, j.a.serial);
    assert_judged_by(&j.a, j.b.serial);
    job_traffic_stop(&j);
    job_run(&j, 200);
    /* b may use the new child before a has taken b's answer: one round trip and a decision */
    ck_assert_uint_eq(j.to_b.sent - j.to_b.received, 0);
    ck_assert_uint_le(j.to_a.sent - j.to_a.received, 1);
    ck_assert(job_connected(&j));
    job_clear(&j);
}
END_TEST

static bool a_is_alone(struct job *x)
{
    const struct sim_view v = sim_gw_view(&x->a.gw);
    return v.ike_up + v.ike_other == 0 && x->a.gw.sas == NULL;
}

/* What follows once a knows that b's certificate is revoked. */
static void assert_b_is_out(void)
{
    ck_assert_msg(job_until(&j, a_is_alone, 10000), "a's SA with b lives on");
    ck_assert_int_gt(j.a.changed_ns, 0);
    const int64_t after_ns = j.sim.now_ns - j.a.changed_ns;
    fprintf(stderr, "revocation: the SA ended %.3f ms after the status was known\n",
            (double)after_ns / 1e6);
    ck_assert_int_le(after_ns, SL_NS_PER_S);
    const struct sim_verdict *v = sim_device_verdict(&j.a, "ab");
    ck_assert(v->again);
    ck_assert_int_eq(v->rc, SL_REVOKED);
    json_t *r = sim_device_record(&j.a, v->record);
    ck_assert_str_eq(json_string_value(json_object_get(r, "verdict")), "refuse");
    ck_assert_str_eq(json_string_value(json_object_get(r, "reason")), "REVOKED");
    json_decref(r);
    /* b is told, and keeps nothing. */
    job_run(&j, 1000);
    ck_assert_ptr_null(j.b.gw.sas);
    ck_assert_uint_eq(sim_device_live(&j.a) + sim_device_live(&j.b), 0);
    ck_assert_int_ne(job_up(&j, &j.a, "ab", NULL), SL_OK);
    v = sim_device_verdict(&j.a, "ab");
    ck_assert(!v->again);
    ck_assert_int_eq(v->rc, SL_REVOKED);
    job_run(&j, 1000);
    ck_assert_ptr_null(j.a.gw.sas);
    ck_assert_ptr_null(j.b.gw.sas);
}

START_TEST(revoked_peer_by_ocsp_loses_its_sa_and_is_refused)
{
    begin(NULL);
    up();
    sim_authority_revoke(&j.lab, j.b.serial);
    sim_device_refresh(&j.a);
    assert_b_is_out();
    job_clear(&j);
}
END_TEST

START_TEST(revoked_peer_by_crl_loses_its_sa_and_is_refused)
{
    const struct job_options o = { .lab = "ocsp = no" };
    begin(&o);
    up();
    sim_authority_revoke(&j.lab, j.b.serial);
    sim_device_refresh(&j.a);
    assert_b_is_out();
    job_clear(&j);
}
END_TEST

START_TEST(revoked_peer_by_the_crl_of_the_authority_beside_loses_its_sa)
{
    begin(NULL);
    up();
    sim_authority_revoke(&j.lab, j.b.serial);
    j.lab.crl_server.state = j.lab.ocsp_server.state = SIM_SILENT;
    SL_AUTO_BUF crl = { 0 };
    sim_authority_crl(&j.lab, &crl);
    sim_device_crl(&j.a, "lab", sl_buf_bytes(&crl));
    assert_b_is_out();
    job_clear(&j);
}
END_TEST

START_TEST(entry_disabled_in_the_directory_ends_the_sa)
{
    static const char off[] =
        "dn: cn=b.example,dc=example\ncn: b.example\nmemberOf: cn=gateways,dc=example\n"
        "state: disabled\n";
    begin(NULL);
    up();
    sim_device_ldif(&j.a, off);
    ck_assert(job_until(&j, a_is_alone, 1000));
    ck_assert_int_eq(sim_device_verdict(&j.a, "ab")->rc, SL_DIR_DISABLED);
    job_clear(&j);
}
END_TEST

START_TEST(entry_disabled_in_ldap_ends_the_sa_when_the_cache_is_old)
{
    static const char off[] =
        "dn: cn=a.example,dc=example\ncn: a.example\nmemberOf: cn=gateways,dc=example\n"
        "state: disabled\n";
    const struct job_options o = { .people = "cache = 20s" };
    begin(&o);
    up();
    j.dir.ldif = off;
    ck_assert(job_until(&j, a_is_alone, 25000));
    ck_assert_int_eq(sim_device_verdict(&j.b, "ab")->rc, SL_DIR_DISABLED);
    job_clear(&j);
}
END_TEST

/* ---- dead servers ---------------------------------------------------------------------------------- */

struct death {
    const char *name;
    const char *lab, *people;
    enum sim_server_state crl, ocsp, ldap;
    int64_t deadline_ms;
    enum sl_rc rc;
};

static void die(const struct death *k)
{
    j.lab.crl_server.state = k->crl;
    j.lab.ocsp_server.state = k->ocsp;
    j.dir.server.state = k->ldap;
}

/* How long c's handshake with b takes while a's begins at the same moment. */
static int64_t handshake_beside(const struct death *k, bool dead)
{
    const struct job_options o = { .lab = k->lab, .people = k->people, .steady = true };
    int64_t took_ns;
    begin(&o);
    if (dead)
        die(k);
    (void)sim_gw_up(&j.a.gw, "ab", NULL);
    ck_assert_int_eq(job_up(&j, &j.c, "bc", &took_ns), SL_OK);
    return took_ns;
}

/* b, in mode hard, refuses a within the deadline; c's handshake is not a nanosecond longer. */
static void hard_refuses(const struct death *k)
{
    const int64_t alone_ns = handshake_beside(k, false);
    job_clear(&j);
    const int64_t beside_ns = handshake_beside(k, true);
    job_run(&j, 30000);
    const struct sim_verdict *v = sim_device_verdict(&j.b, "ab");
    ck_assert_msg(v != NULL, "b has not decided about a");
    const int64_t took_ns = v->answered_ns - v->asked_ns;
    fprintf(stderr,
            "%s: a refused after %.3f ms (deadline %" PRId64
            " ms); c's handshake %.3f ms, %.3f ms without that\n",
            k->name, (double)took_ns / 1e6, k->deadline_ms, (double)beside_ns / 1e6,
            (double)alone_ns / 1e6);
    ck_assert_msg(v->rc == k->rc, "%s: %s", k->name, sl_rc_name(v->rc));
    /* one millisecond more for the record */
    ck_assert_int_le(took_ns, (k->deadline_ms + 1) * SL_NS_PER_MS);
    ck_assert_int_le(beside_ns, alone_ns);
    ck_assert_ptr_null(j.a.gw.sas);
    json_t *r = sim_device_record(&j.b, v->record);
    ck_assert_str_eq(json_string_value(json_object_get(r, "reason")), sl_rc_name(k->rc));
    json_decref(r);
    /* The servers come back, and a comes in. */
    (void)sim_gw_down(&j.c.gw, "bc", NULL);
    die(&(struct death){ .crl = SIM_SERVES });
    job_run(&j, 70000);
    up();
    job_clear(&j);
}

START_TEST(dead_crl_server_when_hard_refuses_only_its_peer)
{
    struct death k = { .name = "silent CRL server",
                       .lab = "deadline = 2s ocsp = no",
                       .crl = SIM_SILENT,
                       .deadline_ms = 2000,
                       .rc = SL_REVOCATION_UNAVAILABLE };
    hard_refuses(&k);
    k.name = "CRL server that refuses connections";
    k.crl = SIM_REFUSES;
    k.deadline_ms = 100; /* it is not waited for */
    hard_refuses(&k);
}
END_TEST

START_TEST(dead_ocsp_and_crl_servers_when_hard_refuse_only_their_peer)
{
    const struct death k = { .name = "silent OCSP and CRL servers",
                             .lab = "deadline = 2s",
                             .crl = SIM_SILENT,
                             .ocsp = SIM_SILENT,
                             .deadline_ms = 2000,
                             .rc = SL_REVOCATION_UNAVAILABLE };
    hard_refuses(&k);
}
END_TEST

START_TEST(dead_ldap_server_when_hard_refuses_only_its_peer)
{
    struct death k = { .name = "silent LDAP server",
                       .people = "timeout = 1s",
                       .ldap = SIM_SILENT,
                       .deadline_ms = 1100, /* revocation data is fetched before */
                       .rc = SL_DIR_UNAVAILABLE };
    hard_refuses(&k);
    k.name = "LDAP server that refuses connections";
    k.ldap = SIM_REFUSES;
    k.deadline_ms = 100;
    hard_refuses(&k);
}
END_TEST

START_TEST(dead_ocsp_responder_leaves_time_for_the_crl)
{
    const struct job_options o = { .lab = "deadline = 2s" };
    begin(&o);
    j.lab.ocsp_server.state = SIM_SILENT;
    up();
    const struct sim_verdict *v = sim_device_verdict(&j.b, "ab");
    ck_assert_int_eq(v->rc, SL_OK);
    ck_assert_int_le(v->answered_ns - v->asked_ns, 2000 * SL_NS_PER_MS);
    json_t *r = record_of(&j.b, "ab");
    const json_t *leaf = json_array_get(json_object_get(r, "revocation"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(leaf, "status")), "good");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(leaf, "source")), "CRL"));
    json_decref(r);
    job_clear(&j);
}
END_TEST

/* The words of the end entity's revocation status in the record of b's judgement of a. */
static void assert_b_recorded_grace(const char *text)
{
    json_t *r = record_of(&j.b, "ab");
    const json_t *leaf = json_array_get(json_object_get(r, "revocation"), 0);
    const char *status = json_string_value(json_object_get(leaf, "status")),
               *words = json_string_value(json_object_get(leaf, "text"));
    ck_assert_str_eq(json_string_value(json_object_get(r, "verdict")), "accept");
    ck_assert_msg(status && strcmp(status, "grace") == 0, "status %s", status ? status : "none");
    ck_assert_msg(words && strncmp(words, "grace: ", 7) == 0 && strstr(words, text), "\"%s\"",
                  words ? words : "");
    json_decref(r);
}

START_TEST(dead_revocation_servers_when_grace_accept_and_record_it)
{
    const struct job_options o = { .lab = "deadline = 2s revocation = grace grace = 2h" };
    begin(&o);
    j.lab.crl_server.state = j.lab.ocsp_server.state = SIM_SILENT;
    up();
    assert_b_recorded_grace("no status is known");
    const struct sim_verdict *v = sim_device_verdict(&j.b, "ab");
    ck_assert_int_le(v->answered_ns - v->asked_ns, 2010 * SL_NS_PER_MS);
    job_clear(&j);
}
END_TEST

START_TEST(stale_status_when_grace_is_accepted_and_recorded)
{
    const struct job_options o = { .lab = "deadline = 2s revocation = grace grace = 2h ocsp = no",
                                   .crl_lifetime_s = 600 };
    begin(&o);
    up();
    ck_assert_int_eq(job_up(&j, &j.c, "bc", NULL), SL_OK);
    j.lab.crl_server.state = SIM_REFUSES;
    job_run(&j, 700000); /* past nextUpdate: the tunnel lives on in grace */
    ck_assert(!a_is_alone(&j));
    (void)sim_gw_down(&j.a.gw, "ab", NULL);
    (void)sim_gw_down(&j.c.gw, "bc", NULL);
    job_run(&j, 2000);
    up();
    assert_b_recorded_grace("past it are used");
    job_clear(&j);
}
END_TEST

START_TEST(dead_ldap_server_when_grace_uses_the_older_answer_and_records_it)
{
    const struct job_options o = { .people = "timeout = 1s mode = grace grace = 1h cache = 10s" };
    begin(&o);
    up();
    j.dir.server.state = SIM_SILENT;
    job_run(&j, 60000);
    ck_assert(!a_is_alone(&j));
    (void)sim_gw_down(&j.a.gw, "ab", NULL);
    job_run(&j, 2000);
    up();
    json_t *r = record_of(&j.b, "ab");
    const json_t *dir = json_object_get(r, "directory");
    ck_assert_str_eq(json_string_value(json_object_get(r, "verdict")), "accept");
    ck_assert_str_eq(json_string_value(json_object_get(dir, "status")), "grace");
    json_decref(r);
    job_clear(&j);
}
END_TEST

/* ---- a slow keyring -------------------------------------------------------------------------------- */

START_TEST(keyring_that_answers_late_only_takes_its_time)
{
    int64_t took_ns;
    begin(NULL);
    j.a.key_slow_ns = j.b.key_slow_ns = 3 * SL_NS_PER_S;
    ck_assert_int_eq(job_up(&j, &j.a, "ab", &took_ns), SL_OK);
    ck_assert_int_ge(took_ns, 6 * SL_NS_PER_S);
    ck_assert_int_le(took_ns, 7 * SL_NS_PER_S);
    job_run(&j, 10000);
    ck_assert(job_connected(&j));
    job_clear(&j);
}
END_TEST

START_TEST(keyring_that_answers_too_late_leaves_nothing_behind)
{
    begin(NULL);
    j.b.key_slow_ns = 400 * SL_NS_PER_S;
    ck_assert_int_ne(job_up(&j, &j.a, "ab", NULL), SL_OK);
    job_run(&j, 500000); /* the answers come, and nobody waits for them */
    ck_assert(a_is_alone(&j));
    const struct sim_view v = sim_gw_view(&j.b.gw);
    ck_assert_uint_eq(v.ike_up + v.ike_other, 0);
    ck_assert_ptr_null(j.b.gw.sas);
    j.b.key_slow_ns = 0;
    up();
    ck_assert(job_connected(&j));
    job_clear(&j);
}
END_TEST

START_TEST(keyring_late_with_a_preshared_key_is_waited_for_until_its_deadline)
{
    const struct job_options o = { .psk = true };
    begin(&o);
    j.b.key_slow_ns = 2 * SL_NS_PER_S;
    up();
    (void)sim_gw_down(&j.a.gw, "ab", NULL);
    job_run(&j, 2000);
    j.b.key_slow_ns = 8 * SL_NS_PER_S;
    ck_assert_int_ne(job_up(&j, &j.a, "ab", NULL), SL_OK);
    const struct sim_verdict *v = sim_device_verdict(&j.b, "ab");
    ck_assert_msg(v->rc != SL_OK, "accepted without proof");
    ck_assert_int_le(v->answered_ns - v->asked_ns, 5002 * SL_NS_PER_MS);
    j.b.key_slow_ns = 0;
    job_run(&j, 20000);
    up();
    job_clear(&j);
}
END_TEST

/* ---- enrolment ------------------------------------------------------------------------------------- */

START_TEST(pending_enrolment_approved_later_gets_its_certificate)
{
    begin(NULL);
    const struct sl_bytes before = sl_buf_bytes(&j.a.chain[0]);
    ck_assert_uint_gt(before.len, 0);
    char first[SL_SERIAL_TEXT];
    snprintf(first, sizeof(first), "%s", j.a.serial);
    sim_device_enroll(&j.a, &j.lab, "");
    job_run(&j, 65000);
    ck_assert_int_eq(j.a.enroll.state, SIM_ENROLL_WAITS);
    ck_assert_str_eq(j.a.serial, first); /* the old one serves until then */
    up();
    j.lab.scep_server.state = SIM_REFUSES; /* while pending, a server that is away does no harm */
    job_run(&j, 25000);
    ck_assert_int_eq(j.a.enroll.state, SIM_ENROLL_WAITS);
    j.lab.scep_server.state = SIM_SERVES;
    sim_authority_approve(&j.lab);
    job_run(&j, 60000);
    ck_assert_int_eq(j.a.enroll.state, SIM_ENROLL_ENDED);
    ck_assert_int_eq(j.a.enroll.rc, SL_OK);
    ck_assert_str_ne(j.a.serial, first);
    (void)sim_gw_down(&j.a.gw, "ab", NULL);
    job_run(&j, 2000);
    up();
    assert_judged_by(&j.b, j.a.serial);
    job_clear(&j);
}
END_TEST

/* Enrols a with the challenge; it must fail, with words that name why. */
static void refused_enrolment(const char *challenge, enum sl_rc rc, const char *words)
{
    sim_device_enroll(&j.a, &j.lab, challenge);
    job_run(&j, 60000);
    ck_assert_int_eq(j.a.enroll.state, SIM_ENROLL_ENDED);
    ck_assert_msg(j.a.enroll.rc == rc, "%s: %s", sl_rc_name(j.a.enroll.rc), j.a.enroll.text);
    ck_assert_msg(strstr(j.a.enroll.text, words), "%s", j.a.enroll.text);
}

START_TEST(wrong_or_used_challenge_is_refused_and_the_right_one_is_not)
{
    char challenge[64];
    job_init(&j, 1, NULL);
    refused_enrolment("wrong-challenge", SL_SCEP_BAD_REQUEST, "challenge");
    ck_assert_uint_eq(j.a.chain_n, 0);
    sim_authority_challenge(&j.lab, "a.example", challenge);
    sim_device_enroll(&j.a, &j.lab, challenge);
    job_run(&j, 10000);
    ck_assert_int_eq(j.a.enroll.rc, SL_OK);
    refused_enrolment(challenge, SL_SCEP_BAD_REQUEST, "used");
    ck_assert_uint_eq(j.a.chain_n, 2);
    job_clear(&j);
}
END_TEST

START_TEST(authority_restarted_in_the_middle_of_its_work_goes_on)
{
    begin(NULL);
    sim_device_enroll(&j.a, &j.lab, "");
    job_run(&j, 25000);
    ck_assert_int_eq(j.a.enroll.state, SIM_ENROLL_WAITS);
    sim_authority_restart(&j.lab);
    sim_authority_approve(&j.lab);
    sim_authority_restart(&j.lab);
    job_run(&j, 25000);
    ck_assert_int_eq(j.a.enroll.rc, SL_OK);
    up();
    job_clear(&j);
}
END_TEST

/* ---- restarts -------------------------------------------------------------------------------------- */

/* What a device still holds beyond one IKE SA, one child and one accepted peer. */
static bool holds_one(const struct sim_device *d, char *text, size_t cap)
{
    struct sl_ike_stats ike;
    struct sl_esp_stats esp;
    if (!d->running)
        return false;
    sl_ike_stats(d->gw.ike, &ike);
    sl_esp_stats(d->esp, &esp);
    if (text)
        snprintf(text, cap,
                 "%s: %" PRIu64 " IKE SAs, %" PRIu64 " half open, %" PRIu64 " children, %" PRIu64
                 " in the datapath, %zu live peers; ",
                 d->conf->name, ike.ike_sas, ike.half_open, ike.child_sas, esp.children,
                 sim_device_live(d));
    return ike.ike_sas == 1 && ike.half_open == 0 && ike.child_sas == 1 && esp.children == 1 &&
           sim_device_live(d) == 1;
}

static bool settled(struct job *x)
{
    return holds_one(&x->a, NULL, 0) && holds_one(&x->b, NULL, 0) && job_connected(x);
}

static const char *leftovers(void)
{
    static char text[1024];
    const char *differs = sim_agree(&j.a.gw, &j.b.gw);
    (void)holds_one(&j.a, text, sizeof(text));
    (void)holds_one(&j.b, text + strlen(text), sizeof(text) - strlen(text));
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", differs ? differs : "");
    return text;
}

START_TEST(gateway_restarted_in_the_middle_of_a_rekey_comes_back)
{
    const struct job_options o = { .connection = "dpd = 5s retransmit_tries = 2",
                                   .start = "start = yes" };
    begin(&o);
    job_run(&j, 10000);
    for (int ms = 0; ms < 8; ms++) { /* at each step of it */
        ck_assert_msg(job_until(&j, job_connected, 120000), "%s", leftovers());
        (void)sim_gw_rekey(&j.a.gw, "ab", ms % 2 ? "net" : NULL, ms % 2 == 0);
        job_run(&j, ms);
        struct sim_device *d = ms / 2 % 2 ? &j.a : &j.b;
        sim_device_stop(d);
        job_run(&j, 1000);
        sim_device_start(d);
        job_run(&j, 10000);
    }
    ck_assert_msg(job_until(&j, settled, 300000), "%s", leftovers());
    job_clear(&j);
}
END_TEST

START_TEST(rekey_of_an_sa_that_dies_meanwhile_is_not_reported_as_done)
{
    const struct job_options o = { .connection = "retransmit_tries = 2" };
    begin(&o);
    for (int ike = 0; ike < 2; ike++) {
        up();
        const uint64_t good = sim_gw_rekey(&j.a.gw, "ab", ike ? NULL : "net", ike);
        job_run(&j, 10000);
        ck_assert_int_eq(sim_gw_done(&j.a.gw, good)->rc, SL_OK);
        sim_device_stop(&j.b);
        const uint64_t id = sim_gw_rekey(&j.a.gw, "ab", ike ? NULL : "net", ike);
        job_run(&j, 30000);
        ck_assert_ptr_nonnull(sim_gw_done(&j.a.gw, id));
        ck_assert_int_ne(sim_gw_done(&j.a.gw, id)->rc, SL_OK);
        ck_assert(a_is_alone(&j));
        sim_device_start(&j.b);
        (void)sim_gw_down(&j.a.gw, "ab", NULL);
        job_run(&j, 1000);
    }
    job_clear(&j);
}
END_TEST

/* ---- everything at once ----------------------------------------------------------------------------- */

#define RANDOM_S 120

static void random_act(struct job *x)
{
    struct sim *sim = &x->sim;
    struct sim_device *d = sim_chance(sim, 500) ? &x->a : &x->b;
    if (!d->running)
        return;
    switch (sim_between(sim, 0, 6)) {
    case 0:
    case 1:
        (void)sim_gw_rekey(&d->gw, "ab", "net", false);
        break;
    case 2:
    case 3:
        (void)sim_gw_rekey(&d->gw, "ab", NULL, true);
        break;
    case 4:
        sim_device_refresh(d);
        break;
    case 5:
        if (!d->enroll.e && d->chain_n)
            sim_device_renew(d, &x->lab);
        break;
    case 6:
        sim_authority_restart(&x->lab);
        break;
    default:
        break;
    }
}

/* One run: a storm, and one gateway loses its power for a while; then the weather clears. */
static void random_run(uint64_t seed)
{
    const struct job_options o = { .weather = &job_storm,
                                   .connection = "retransmit_tries = 7 dpd = 10s rekey = 60s",
                                   .child = "rekey = 15s",
                                   .start = "start = yes" };
    job_init(&j, seed, &o);
    job_enroll(&j);
    job_traffic(&j, 200);
    struct sim_device *victim = sim_chance(&j.sim, 500) ? &j.a : &j.b;
    const int64_t begun = j.sim.now_ns,
                  stop = begun + sim_between(&j.sim, 0, RANDOM_S) * SL_NS_PER_S,
                  start = stop + sim_between(&j.sim, 0, 40) * SL_NS_PER_S;
    bool stopped = false;
    while (j.sim.now_ns < begun + RANDOM_S * SL_NS_PER_S || j.sim.now_ns < start) {
        job_run(&j, sim_between(&j.sim, 100, 5000));
        if (!stopped && j.sim.now_ns >= stop) {
            sim_device_stop(victim);
            stopped = true;
        }
        if (stopped && !victim->running && j.sim.now_ns >= start)
            sim_device_start(victim);
        random_act(&j);
    }
    if (!victim->running)
        sim_device_start(victim);
    job_traffic_stop(&j);
    j.net.weather = sim_fair;
    /* nothing is left over, and packets pass */
    if (!job_until(&j, settled, 300000))
        ck_abort_msg("seed %" PRIu64 ": %s", seed, leftovers());
    const uint64_t before_b = j.to_b.received, before_a = j.to_a.received;
    job_traffic(&j, 10);
    job_run(&j, 995);
    job_traffic_stop(&j);
    job_run(&j, 100);
    ck_assert_msg(j.to_b.received - before_b == 99 && j.to_a.received - before_a == 99 &&
                      !j.to_b.again && !j.to_a.again && !j.to_b.strange && !j.to_a.strange,
                  "seed %" PRIu64 ": packets are missing", seed);
    job_clear(&j);
}

START_TEST(random_storms_and_a_restart_end_connected)
{
    const char *runs = getenv("SL_SIM_RUNS");
    if (getenv("SL_SEED")) {
        random_run(sl_test_seed(0));
        return;
    }
    const unsigned long n = runs ? strtoul(runs, NULL, 0) / 10 : 30;
    for (unsigned long i = 0; i < (n ? n : 1); i++) {
        fprintf(stderr, "seed %lu (repeat with SL_SEED=%lu)\n", i + 1, i + 1);
        random_run(i + 1);
    }
}
END_TEST

/* What happened in a run, in few words. */
static void trace_of(uint64_t seed, char out[256])
{
    random_run(seed);
    snprintf(out, 256,
             "%" PRId64 " ns, %" PRIu64 " events, %" PRIu64 " datagrams, %" PRIu64 " lost, %" PRIu64
             " and %" PRIu64 " packets",
             j.sim.now_ns, j.sim.order, j.net.sent, j.net.lost, j.to_b.received, j.to_a.received);
}

START_TEST(same_seed_gives_the_same_run)
{
    char first[256], second[256];
    trace_of(7, first);
    trace_of(7, second);
    ck_assert_str_eq(first, second);
}
END_TEST

int main(void)
{
    const struct sl_test_case cases[] = {
        SL_CASE(enrolled_gateways_connect_and_packets_pass_both_ways),
        SL_CASE(rekeys_under_traffic_lose_no_packet),
        SL_CASE(rekeys_from_both_sides_at_once_lose_no_packet),
        SL_CASE(rekeys_in_a_storm_leave_traffic_flowing),
        SL_CASE(certificate_renewed_while_the_tunnel_is_up_disturbs_nothing),
        SL_CASE(revoked_peer_by_ocsp_loses_its_sa_and_is_refused),
        SL_CASE(revoked_peer_by_crl_loses_its_sa_and_is_refused),
        SL_CASE(revoked_peer_by_the_crl_of_the_authority_beside_loses_its_sa),
        SL_CASE(entry_disabled_in_the_directory_ends_the_sa),
        SL_CASE(entry_disabled_in_ldap_ends_the_sa_when_the_cache_is_old),
        SL_CASE(dead_crl_server_when_hard_refuses_only_its_peer),
        SL_CASE(dead_ocsp_and_crl_servers_when_hard_refuse_only_their_peer),
        SL_CASE(dead_ldap_server_when_hard_refuses_only_its_peer),
        SL_CASE(dead_ocsp_responder_leaves_time_for_the_crl),
        SL_CASE(dead_revocation_servers_when_grace_accept_and_record_it),
        SL_CASE(stale_status_when_grace_is_accepted_and_recorded),
        SL_CASE(dead_ldap_server_when_grace_uses_the_older_answer_and_records_it),
        SL_CASE(keyring_that_answers_late_only_takes_its_time),
        SL_CASE(keyring_that_answers_too_late_leaves_nothing_behind),
        SL_CASE(keyring_late_with_a_preshared_key_is_waited_for_until_its_deadline),
        SL_CASE(pending_enrolment_approved_later_gets_its_certificate),
        SL_CASE(wrong_or_used_challenge_is_refused_and_the_right_one_is_not),
        SL_CASE(authority_restarted_in_the_middle_of_its_work_goes_on),
        SL_CASE(gateway_restarted_in_the_middle_of_a_rekey_comes_back),
        SL_CASE(rekey_of_an_sa_that_dies_meanwhile_is_not_reported_as_done),
        SL_CASE(random_storms_and_a_restart_end_connected),
        SL_CASE(same_seed_gives_the_same_run),
    };
    (void)sim_rsa_pem(); /* before the cases fork */
    return sl_test_main("sim_main_job", cases, SL_ARRAY_LEN(cases), 300);
}
