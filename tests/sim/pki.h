/*
 * Certificates and keys for simulations: made once per process, of real algorithms, and shared by
 * all gateways of all runs.
 */
#ifndef SL_TESTS_SIM_PKI_H
#define SL_TESTS_SIM_PKI_H

#include "sealane/certs.h"
#include "sealane/key.h"

#define SIM_CHAIN_MAX 4
struct sim_identity {
    char name[32];                      /* key in the key set, and DNS name NAME.example */
    struct sl_buf chain[SIM_CHAIN_MAX]; /* end entity first, then the intermediate CA */
    size_t n;
    char alg[16];
};
/*
 * The identity of that name, made at first use under one root and one intermediate. alg: "ed25519",
 * "ecdsa:p256", "rsa:2048"; with another one than before the whole PKI is made anew. Freed at exit.
 */
const struct sim_identity *sim_identity(const char *name, const char *alg);
struct sl_keyset *sim_keys(void);      /* of all identities, and the pre-shared key "psk" */
struct sl_bytes sim_root(void);        /* DER of the root */
struct sl_bytes sim_anchor_hash(void); /* for CERTREQ: SHA-1 of its key */

#endif
