/*
 * A simulated device: the IKE core of gw.h with everything around it that the daemon's other
 * processes do, all of it real but for the sockets: decisions by the decider (src/ident), whose
 * questions go over the simulated network; every verdict durable in an audit log before it leaves;
 * live SAs asked about again; keys in a key set; enrolment by the SCEP client (enroll/); and the ESP
 * core (src/esp) between the inner and the outer network.
 *
 *   device.c            life, keyring, datapath
 *   device_identity.c   decisions, audit log, live SAs: what role_identity.c is in the daemon
 *   device_enroll.c     enrolment and renewal
 *
 * A device that is stopped and started again keeps what a real one has on its disk: keys,
 * certificate, audit log and revocation cache.
 */
#ifndef SL_TESTS_SIM_DEVICE_H
#define SL_TESTS_SIM_DEVICE_H

#include "sealane/audit.h"
#include "sealane/esp.h"
#include "sim/authority.h"
#include "sim/directory.h"
#include "sim/gw.h"

#define SIM_KEY   "own" /* of the certificate in use, in the key set; also the identity's name */
#define SIM_TRUST 4

struct sim_device;

struct sim_trust { /* a trust section and the authority whose root is its anchor */
    const char *name;
    struct sim_authority *authority;
};

struct sim_device_conf {
    const char *name; /* "a": DNS name a.example */
    const char *addr;
    const char *config; /* text of the configuration; identity SIM_KEY */
    struct sim_trust trust[SIM_TRUST];
    const char *ldif_name, *ldif; /* an LDIF directory, or NULL */
};

/* A decision that was asked for and has its verdict. */
struct sim_verdict {
    bool again; /* about a live SA */
    char connection[SL_NAME_MAX];
    enum sl_rc rc;
    int64_t asked_ns, answered_ns; /* answered: its record is durable */
    uint64_t record;
};
#define SIM_VERDICTS 64

enum sim_enroll_state { SIM_ENROLL_NONE, SIM_ENROLL_BUSY, SIM_ENROLL_WAITS, SIM_ENROLL_ENDED };
struct sim_enroll {
    enum sim_enroll_state state;
    bool renewal;
    struct sl_enrollment *e;
    enum sl_rc rc; /* ENDED */
    char text[SL_ERR_TEXT_MAX];
    unsigned tries, done;
};

struct sim_live; /* an IKE SA whose peer was accepted */
struct sim_asked;

struct sim_device {
    struct sim *sim;
    struct sim_net *net;
    struct sim_servers *servers;
    const struct sim_device_conf *conf;
    struct sim_gw gw;
    char dir[96];

    struct sl_keyset *keys;
    struct sl_key_ops ops;
    int64_t key_slow_ns; /* what the keyring takes beyond its usual time */
    struct sl_buf chain[SIM_CHAIN_MAX];
    size_t chain_n;
    char serial[SL_SERIAL_TEXT];
    int64_t not_before, not_after, renew_at; /* renew_at 0: only when told */
    bool auto_renew;

    struct sl_rng_seeded rng_state;
    struct sl_rng rng;
    struct sl_decider *decider;
    int64_t decider_armed_ns;
    bool pumping;
    struct sl_buf cache; /* of revocation, as on the disk */
    struct sl_audit *audit;
    struct sim_asked *asked;   /* decisions under way */
    struct sim_asked *waiting; /* of those, whose records are not durable yet, oldest first */
    struct sim_live *live;
    uint64_t changes;                         /* of what decisions rest on */
    struct sim_verdict verdict[SIM_VERDICTS]; /* the newest, around */
    size_t verdict_n;
    int64_t changed_ns; /* when the decider last learned of a change; 0: never */
    int64_t ended_ns;   /* when an SA was last ended because of one */

    struct sim_enroll enroll;

    struct sl_esp *esp;
    void (*receive)(void *ctx, const struct sl_endpoint *local, const struct sl_endpoint *remote,
                    struct sl_bytes data); /* the IKE core's */
    /* An inner packet came out. */
    void (*inside)(void *ctx, struct sim_device *d, struct sl_bytes packet);
    void *inside_ctx;
    uint64_t wire_out, wire_in, opened, replayed, refused;
    bool running;
};

void sim_device_init(struct sim_device *d, struct sim *sim, struct sim_net *net,
                     struct sim_servers *servers, const struct sim_device_conf *conf,
                     const char *dir);
void sim_device_clear(struct sim_device *d); /* verifies the audit log as well */
void sim_device_stop(struct sim_device *d);  /* as if the machine lost its power */
void sim_device_start(struct sim_device *d);

/* An inner packet from the inside network; false: no SA takes it. */
bool sim_device_send(struct sim_device *d, struct sl_bytes packet);
void sim_device_credential(struct sim_device *d); /* hands the certificate to the IKE core */

/* ---- device_identity.c --------------------------------------------------------------------------- */
void sim_identity_start(struct sim_device *d);
void sim_identity_stop(struct sim_device *d);
void sim_identity_decide(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask);
void sim_identity_event(struct sim_device *d, const struct sl_ike_action *a);
struct sl_now sim_device_now(const struct sim_device *d);
/* `sealane policy refresh`: revocation data is fetched anew and live SAs are asked about again. */
void sim_device_refresh(struct sim_device *d);
/* A CRL that comes by another way than the network (the embedded authority on the same machine). */
void sim_device_crl(struct sim_device *d, const char *trust, struct sl_bytes der);
void sim_device_ldif(struct sim_device *d, const char *text);
size_t sim_device_live(const struct sim_device *d); /* accepted peers that are asked about again */
/* The newest verdict on a connection; NULL: none. */
const struct sim_verdict *sim_device_verdict(const struct sim_device *d, const char *connection);
/* The audit record of that number, as a new JSON object. */
json_t *sim_device_record(const struct sim_device *d, uint64_t number);
void sim_device_record_now(struct sim_device *d, const char *kind, const json_t *body);

/* ---- device_enroll.c ----------------------------------------------------------------------------- */
/* challenge "": none; the request then waits for approval. */
void sim_device_enroll(struct sim_device *d, struct sim_authority *a, const char *challenge);
void sim_device_renew(struct sim_device *d, struct sim_authority *a);
void sim_enroll_tick(struct sim_device *d); /* a renewal that is due */
void sim_enroll_stop(struct sim_device *d);

#endif
