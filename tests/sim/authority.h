/*
 * A simulated authority: the real CA and SCEP server (enroll/), with its database in a file of the
 * test, behind HTTP servers that may die one by one. Its records go to an audit log of its own.
 */
#ifndef SL_TESTS_SIM_AUTHORITY_H
#define SL_TESTS_SIM_AUTHORITY_H

#include "sealane/audit.h"
#include "sealane/scep.h"
#include "sim/server.h"

#define SIM_T0 INT64_C(1795000000) /* UTC at the beginning of every simulation: 2026-11-18 */
int64_t sim_utc_s(const struct sim *s);

/* An RSA key made once per process, as PKCS#8 PEM: making one for each run would take seconds. */
struct sl_bytes sim_rsa_pem(void);

struct sim_authority {
    struct sim *sim;
    struct sl_conf_authority conf;
    char base_url[64], scep_url[80], dir[96];
    struct sl_keyset *keys;
    struct sl_key_ops ops;
    struct sl_store *store;
    struct sl_rng_seeded rng_state;
    struct sl_ca_env env;
    struct sl_ca *ca;
    struct sl_scep_server *scep;
    struct sl_audit *audit;
    struct sim_server scep_server, crl_server, ocsp_server;
    struct sl_buf root; /* DER */
    char pin[65];       /* SHA-256 of the root, hex */
};

/* host: "ca.example". dir: where it may keep its files; made. */
void sim_authority_init(struct sim_authority *a, struct sim *sim, struct sim_servers *servers,
                        const char *host, const char *dir);
void sim_authority_clear(struct sim_authority *a);
/* After the process was killed: all that counts is in the database. */
void sim_authority_restart(struct sim_authority *a);

void sim_authority_challenge(struct sim_authority *a, const char *name, char out[64]);
void sim_authority_revoke(struct sim_authority *a, const char *serial);
/* Approves the one request that waits. */
void sim_authority_approve(struct sim_authority *a);
void sim_authority_crls(struct sim_authority *a);                    /* makes all of them anew */
void sim_authority_crl(struct sim_authority *a, struct sl_buf *der); /* of the issuing CA */

#endif
