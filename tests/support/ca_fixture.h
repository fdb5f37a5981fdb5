/*
 * An authority in memory of one test: keys of a struct sl_keyset, a database in the test's own
 * directory, a fixed time. Device keys are made once and shared by the cases of a program.
 */
#ifndef SL_TEST_CA_FIXTURE_H
#define SL_TEST_CA_FIXTURE_H

#include "enroll/ca_internal.h"
#include "enroll/scep_message.h"
#include "support/support.h"

#include "sealane/certs.h"
#include "sealane/scep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T0       INT64_C(1795000000) /* 2026-11-18 */
#define BASE_URL "http://ca.example:8080"

struct fix_record { /* what the audit log was told */
    char kind[64][24];
    size_t n;
};

struct fixture {
    struct sl_conf_authority conf;
    struct sl_keyset *keys;
    struct sl_key_ops ops;
    struct sl_store *store;
    struct sl_ca *ca;
    struct sl_ca_env env;
    struct fix_record record;
    char path[160];
};

static inline void fix_record_fn(void *ctx, const char *kind, const json_t *body)
{
    struct fix_record *r = ctx;
    ck_assert(json_is_object(body));
    if (r->n < SL_ARRAY_LEN(r->kind))
        snprintf(r->kind[r->n++], sizeof(r->kind[0]), "%s", kind);
}

static inline void fix_reopen(struct fixture *f)
{
    struct sl_err err = { 0 };
    sl_ca_free(f->ca);
    sl_store_free(f->store);
    f->ca = NULL;
    f->store = NULL;
    ck_ok(sl_store_open(&f->store, f->path, &err), &err);
    f->env.store = f->store;
    ck_ok(sl_ca_open(&f->ca, &f->env, &err), &err);
}

/* An authority that is not initialised yet. */
static inline void fix_open(struct fixture *f)
{
    struct sl_err err = { 0 };
    static int count;
    memset(f, 0, sizeof(*f));
    f->conf = (struct sl_conf_authority){
        .enabled = true,
        .base_url = (char *)BASE_URL,
        .profile_eku = (char *)"ipsecIKE",
        .lifetime_s = 90LL * 24 * 3600,
        .crl_interval_s = 3600,
        .crl_lifetime_s = 24 * 3600,
        .ocsp_lifetime_s = 3600,
        .manual_approval = true,
        .renewal = true,
    };
    ck_ok(sl_keyset_new(&f->keys, &err), &err);
    f->ops = sl_keyset_ops(f->keys);
    f->env = (struct sl_ca_env){ .conf = &f->conf,
                                 .keys = &f->ops,
                                 .rng = sl_rng_system,
                                 .record = fix_record_fn,
                                 .ctx = &f->record };
    snprintf(f->path, sizeof(f->path), "%s/ca-%d.db", sl_test_tmpdir(), count++);
    fix_reopen(f);
}

static inline struct sl_bytes fix_spki(struct fixture *f, const char *name)
{
    struct sl_err err = { 0 };
    struct sl_bytes spki;
    ck_ok(sl_keyset_spki(f->keys, name, &spki, &err), &err);
    return spki;
}

/* alg: of root, issuing and OCSP; an RA key is added where it is not RSA. */
static inline enum sl_rc fix_setup(struct fixture *f, const char *alg, int64_t now,
                                   struct sl_err *err)
{
    struct sl_ca_setup setup = { .name = "Lab" };
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        bool ra = r == SL_CA_RA;
        if (ra && strncmp(alg, "rsa", 3) == 0)
            continue;
        ck_ok(sl_keyset_generate(f->keys, sl_ca_key_name((enum sl_ca_role)r), ra ? "rsa:2048" : alg,
                                 err),
              err);
        setup.spki[r] = fix_spki(f, sl_ca_key_name((enum sl_ca_role)r));
    }
    return sl_ca_setup(f->ca, &setup, now, err);
}

static inline void fix_new(struct fixture *f, const char *alg)
{
    struct sl_err err = { 0 };
    fix_open(f);
    ck_ok(fix_setup(f, alg, T0, &err), &err);
}

static inline void fix_close(struct fixture *f)
{
    sl_ca_free(f->ca);
    sl_store_free(f->store);
    sl_keyset_free(f->keys);
}

static inline struct sl_key fix_key(struct fixture *f, const char *name)
{
    return (struct sl_key){ .ops = &f->ops, .name = name, .spki = fix_spki(f, name) };
}

static inline void fix_generate(struct fixture *f, const char *name, const char *alg)
{
    struct sl_err err = { 0 };
    ck_ok(sl_keyset_generate(f->keys, name, alg, &err), &err);
}

static inline EVP_PKEY *fix_pkey(struct fixture *f, const struct sl_key *key)
{
    (void)f;
    struct sl_err err = { 0 };
    EVP_PKEY *p = NULL;
    ck_ok(sl_key_pkey(&p, key, &err), &err);
    return p;
}

/* A request for key (by name) with subject "CN=.." and alternative names "dns:..", comma-separated. */
static inline void fix_csr(struct fixture *f, struct sl_buf *der, const char *key,
                           const char *subject, const char *san, const char *challenge)
{
    struct sl_err err = { 0 };
    struct sl_key k = fix_key(f, key);
    EVP_PKEY *p = fix_pkey(f, &k);
    SL_AUTO_BUF dn = { 0 };
    ck_ok(sl_dn_parse(&dn, subject, &err), &err);
    X509_NAME *name = NULL;
    ck_ok(xb_name_read(&name, sl_buf_bytes(&dn), &err), &err);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    char copy[512], *save = NULL;
    snprintf(copy, sizeof(copy), "%s", san);
    for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save))
        ck_ok(xb_san_add(names, s, &err), &err);
    ck_ok(xb_csr_make(der, name, names, sl_str(challenge), k.spki, p, &err), &err);
    GENERAL_NAMES_free(names);
    X509_NAME_free(name);
    EVP_PKEY_free(p);
}

/* A self-signed certificate of key, as the first SCEP message has. */
static inline X509 *fix_self(struct fixture *f, const char *key)
{
    struct sl_err err = { 0 };
    struct sl_key k = fix_key(f, key);
    EVP_PKEY *p = fix_pkey(f, &k), *pub = NULL;
    X509_NAME *n = X509_NAME_new();
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)key, -1, -1, 0);
    X509 *x = NULL;
    ck_ok(xb_spki_read(&pub, k.spki, &err), &err);
    ck_ok(scep_self_signed(&x, n, pub, p, &f->env.rng, T0, &err), &err);
    X509_NAME_free(n);
    EVP_PKEY_free(p);
    EVP_PKEY_free(pub);
    return x;
}

static inline void fix_challenge(struct fixture *f, const char *name, const char *san, int64_t now,
                                 char out[64])
{
    struct sl_err err = { 0 };
    SL_AUTO_SECRET text = { 0 };
    const char *sans[] = { san };
    ck_ok(sl_ca_challenge(f->ca, name, sans, san ? 1 : 0, 3600, now, &text, &err), &err);
    ck_assert_uint_lt(text.len, 64);
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
}

/* Submits csr signed as by key; old may be NULL. */
static inline enum sl_rc fix_submit(struct fixture *f, const char *transaction, const char *key,
                                    struct sl_bytes csr, X509 *old, int64_t now,
                                    struct sl_ca_answer *answer, struct sl_err *err)
{
    X509 *signer = fix_self(f, key);
    struct sl_ca_request req = { .transaction_id = transaction,
                                 .csr = csr,
                                 .signer = signer,
                                 .old = old,
                                 .source = "192.0.2.7" };
    *answer = (struct sl_ca_answer){ 0 };
    enum sl_rc rc = sl_ca_submit(f->ca, &req, now, answer, err);
    X509_free(signer);
    return rc;
}

/* A certificate for the device called name, whose key has the same name, by challenge. */
static inline X509 *fix_enrol(struct fixture *f, const char *name, int64_t now)
{
    struct sl_err err = { 0 };
    char challenge[64], transaction[80], subject[80];
    fix_challenge(f, name, NULL, now, challenge);
    snprintf(transaction, sizeof(transaction), "t-%s-%lld", name, (long long)now);
    snprintf(subject, sizeof(subject), "CN=%s", name);
    SL_AUTO_BUF csr = { 0 };
    fix_csr(f, &csr, name, subject, "", challenge);
    struct sl_ca_answer a;
    ck_ok(fix_submit(f, transaction, name, sl_buf_bytes(&csr), NULL, now, &a, &err), &err);
    ck_assert_int_eq(a.outcome, SL_CA_ISSUED);
    X509 *x = NULL;
    ck_ok(xb_cert_read(&x, sl_buf_bytes(&a.der), &err), &err);
    sl_buf_clear(&a.der);
    return x;
}

static inline void fix_write(const char *path, struct sl_bytes b)
{
    FILE *o = fopen(path, "wb");
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_eq(fwrite(b.p, 1, b.len, o), b.len);
    ck_assert_int_eq(fclose(o), 0);
}

static inline void fix_write_cert(const char *path, X509 *x)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF der = { 0 };
    ck_ok(xb_cert_der(&der, x, &err), &err);
    fix_write(path, sl_buf_bytes(&der));
}

#endif
