/* OCSP requests as anybody may send them, to a responder with a store behind it. */
#include "sealane/ca.h"
#include "sealane/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sl_ca *make_ca(void)
{
    static struct sl_conf_authority conf = { .base_url = (char *)"http://ca.example",
                                             .profile_eku = (char *)"ipsecIKE",
                                             .crl_interval_s = 3600,
                                             .crl_lifetime_s = 86400,
                                             .ocsp_lifetime_s = 3600 };
    static struct sl_key_ops ops;
    static struct sl_keyset *keys;
    static struct sl_store *store;
    struct sl_ca *ca = NULL;
    struct sl_ca_setup setup = { .name = "Fuzz" };
    struct sl_err err = { 0 };
    char path[] = "/tmp/sealane-fuzz.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || sl_keyset_new(&keys, &err) != SL_OK || sl_store_open(&store, path, &err) != SL_OK)
        abort();
    close(fd);
    ops = sl_keyset_ops(keys);
    struct sl_ca_env env = { .conf = &conf, .store = store, .keys = &ops, .rng = sl_rng_system };
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        const char *name = sl_ca_key_name((enum sl_ca_role)r);
        if (sl_keyset_generate(keys, name, r == SL_CA_RA ? "rsa:2048" : "ecdsa:p256", &err) !=
                SL_OK ||
            sl_keyset_spki(keys, name, &setup.spki[r], &err) != SL_OK)
            abort();
    }
    if (sl_ca_open(&ca, &env, &err) != SL_OK || sl_ca_setup(ca, &setup, 1795000000, &err) != SL_OK)
        abort();
    static const char *const suffix[] = { "", "-wal", "-shm" };
    for (int i = 0; i < 3; i++) { /* the open file goes on working */
        char name[64];
        snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
        unlink(name);
    }
    return ca;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sl_ca *ca;
    struct sl_err err = { 0 };
    SL_AUTO_BUF response = { 0 };
    int64_t max_age = 0;
    if (!ca)
        ca = make_ca();
    if (sl_ca_ocsp(ca, sl_bytes(data, size), 1795000000, &response, &max_age, &err) != SL_OK ||
        response.len == 0)
        abort(); /* there is an answer to everything */
    return 0;
}
