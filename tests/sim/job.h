/*
 * The whole of sealane's work in one world: gateways a and b, enrolled at the authority "lab" and
 * connected to each other; gateway c, enrolled at the authority "partner" and connected to b; the
 * directory that b asks about a; and the network between all of them, on one virtual clock.
 *
 *            lab (SCEP, CRL, OCSP)        partner (SCEP, CRL, OCSP)
 *                     :                              :
 *   10.0.1.0/24 -- a ===== ab ===== b ===== bc ===== c -- 10.0.3.0/24
 *                                   | 10.0.2.0/24    :
 *                                   ldap://dir.example
 *
 * a judges b, and b judges c, with an LDIF directory; b judges a with the LDAP directory; c takes
 * whoever lab has certified.
 */
#ifndef SL_TESTS_SIM_JOB_H
#define SL_TESTS_SIM_JOB_H

#include "sim/device.h"

#define JOB_PACKETS 65536 /* of one flow */

struct job;

/* Inner packets from one device to another, numbered, each known when it comes out. */
struct job_flow {
    struct job *job;
    struct sim_device *from, *to;
    const char *src, *dst;
    bool on;
    int64_t every_ns;
    uint64_t sent, unsent; /* sealed and launched; nobody took it */
    uint64_t received, again, strange;
    int64_t last_ns, gap_ns; /* last one out, and the longest wait for one so far */
    uint8_t seen[JOB_PACKETS / 8];
};

struct job_options { /* NULL: nothing beyond the defaults */
    const struct sim_weather *weather;
    const char *lab;        /* lines for trust lab of a and b */
    const char *people;     /* lines for b's directory people */
    const char *connection; /* lines for ab and bc, on all */
    const char *child;
    const char *start;      /* lines for a's child ab */
    bool psk;               /* ab authenticates by a pre-shared key */
    bool steady;            /* what takes time takes the same time each time */
    int64_t lifetime_s;     /* of certificates; 0: 90 days */
    int64_t crl_lifetime_s; /* 0: a day */
};

#define JOB_CONFIG 4096
struct job {
    struct sim sim;
    struct sim_net net;
    struct sim_servers servers;
    struct sim_authority lab, partner;
    struct sim_directory dir;
    struct sim_device a, b, c;
    struct sim_device_conf conf[3];
    char config[3][JOB_CONFIG];
    char path[64];
    struct job_flow to_b, to_a;
};

void job_init(struct job *j, uint64_t seed, const struct job_options *o);
void job_clear(struct job *j); /* verifies every audit log as well */
void job_run(struct job *j, int64_t ms);
/* Until it is good; false: not within that time. */
bool job_until(struct job *j, bool (*good)(struct job *j), int64_t ms);

void job_enroll(struct job *j); /* all three, with challenges; asserts that they got certificates */
/* Brings a connection up from d; returns how it ended, and after how long. */
enum sl_rc job_up(struct job *j, struct sim_device *d, const char *connection, int64_t *took_ns);
bool job_connected(struct job *j); /* a and b hold the same one IKE SA and one child SA */

/* Packets both ways between a and b, one each per every_ms, until stopped. */
void job_traffic(struct job *j, int64_t every_ms);
void job_traffic_stop(struct job *j);

extern const struct sim_weather job_storm; /* 20 % lost, a fifth late, a tenth twice */

#endif
