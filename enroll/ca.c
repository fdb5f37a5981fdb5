/*
 * The authority: its own keys and certificates, and the order of writing down and signing that keeps
 * every promise of sealane/store.h. Who may have which certificate is in ca_request.c, CRLs are in
 * crl.c, OCSP in ocsp_responder.c, the way requests come in is scep_server.c's.
 *
 * Order of issuing, each step durable before the next:
 *
 *   request (and the challenge used up)  ->  serial reserved  ->  signature  ->  certificate stored
 *
 * A process killed in between leaves a request that is approved and not issued; the same request
 * again, or an operator's approval, takes it up with a new serial.
 */
#include "enroll/ca_internal.h"

#include "sealane/certs.h"
#include "sealane/time.h"

#include <ctype.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define YEAR_S            (365LL * 24 * 3600)
#define CHALLENGE_KEEP_S  (30LL * 24 * 3600)  /* an expired challenge is told from an unknown one */
#define HELPER_LIFETIME_S (180LL * 24 * 3600) /* RA and OCSP certificates, renewed at two thirds */

/* ---- roles ------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *key, *value; /* value: the certificate's name in the store */
} roles[SL_CA_ROLE_COUNT] = {
    [SL_CA_ROOT] = { "root", "ca-root", "cert-root" },
    [SL_CA_ISSUING] = { "issuing", "ca-issuing", "cert-issuing" },
    [SL_CA_RA] = { "ra", "ca-ra", "cert-ra" },
    [SL_CA_OCSP] = { "ocsp", "ca-ocsp", "cert-ocsp" },
};

const char *sl_ca_role_text(enum sl_ca_role role)
{
    return roles[role].text;
}

const char *sl_ca_key_name(enum sl_ca_role role)
{
    return roles[role].key;
}

X509 *sl_ca_cert_get(const struct sl_ca *ca, enum sl_ca_role role)
{
    return ca->member[role].cert;
}

bool sl_ca_ready(const struct sl_ca *ca)
{
    return ca->member[SL_CA_ISSUING].cert != NULL;
}

enum sl_rc ca_need_ready(const struct sl_ca *ca, struct sl_err *err)
{
    return sl_ca_ready(ca) ? SL_OK
                           : SL_FAIL(err, SL_CA_NOT_INITIALISED,
                                     "there is no authority yet: make one with `sealane ca init`");
}

void ca_record(const struct sl_ca *ca, const char *kind, json_t *body)
{
    if (ca->env.record && body)
        ca->env.record(ca->env.ctx, kind, body);
    json_decref(body);
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static void member_clear(struct ca_member *m)
{
    X509_free(m->cert);
    EVP_PKEY_free(m->pkey);
    sl_buf_clear(&m->spki);
    *m = (struct ca_member){ 0 };
}

/* Binds the key of role, known by its SPKI, to a member that has no certificate yet. */
static enum sl_rc member_key(struct sl_ca *ca, enum sl_ca_role role, struct sl_bytes spki,
                             struct sl_err *err)
{
    struct ca_member *m = &ca->member[role];
    if (!sl_buf_put(&m->spki, spki))
        return SL_FAIL_MEM(err);
    m->key = (struct sl_key){ .ops = ca->env.keys,
                              .name = roles[role].key,
                              .spki = sl_buf_bytes(&m->spki) };
    return sl_key_pkey(&m->pkey, &m->key, err);
}

static enum sl_rc member_load(struct sl_ca *ca, enum sl_ca_role role, struct sl_err *err)
{
    SL_AUTO_BUF der = { 0 };
    enum sl_rc rc = sl_store_value_get(ca->env.store, roles[role].value, &der, err);
    if (rc == SL_NOT_FOUND) {
        sl_err_reset(err);
        return SL_OK;
    }
    SL_TRY(rc);
    XB_AUTO(X509) *cert = NULL;
    SL_TRY(xb_cert_read(&cert, sl_buf_bytes(&der), err));
    SL_AUTO_BUF spki = { 0 };
    SL_TRY(xb_spki_der(&spki, cert, err));
    SL_TRY(member_key(ca, role, sl_buf_bytes(&spki), err));
    ca->member[role].cert = cert;
    cert = NULL;
    return SL_OK;
}

static enum sl_rc load(struct sl_ca *ca, const struct sl_ca_env *env, struct sl_err *err)
{
    ca->env = *env;
    const char *base = env->conf->base_url;
    size_t len = strlen(base);
    while (len && base[len - 1] == '/')
        len--;
    if (len > 400)
        return SL_FAIL(err, SL_CONFIG_VALUE, "authority base_url is longer than 400 characters");
    snprintf(ca->crl_uri[SL_CA_ROOT], sizeof(ca->crl_uri[0]), "%.*s/crl/root.crl", (int)len, base);
    snprintf(ca->crl_uri[SL_CA_ISSUING], sizeof(ca->crl_uri[0]), "%.*s/crl/issuing.crl", (int)len,
             base);
    snprintf(ca->ocsp_uri, sizeof(ca->ocsp_uri), "%.*s/ocsp", (int)len, base);
    snprintf(ca->cert_uri, sizeof(ca->cert_uri), "%.*s/ca.crt", (int)len, base);
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        if (member_load(ca, (enum sl_ca_role)r, err) != SL_OK)
            return SL_WRAP(err, "%s certificate of the authority", roles[r].text);
    return SL_OK;
}

enum sl_rc sl_ca_open(struct sl_ca **out, const struct sl_ca_env *env, struct sl_err *err)
{
    struct sl_ca *ca = calloc(1, sizeof(*ca));
    if (!ca)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = load(ca, env, err);
    if (rc == SL_OK)
        *out = ca;
    else
        sl_ca_free(ca);
    return rc;
}

void sl_ca_free(struct sl_ca *ca)
{
    if (!ca)
        return;
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        member_clear(&ca->member[r]);
    free(ca);
}

/* ---- issuing ------------------------------------------------------------------------------------------- */

/* A serial of 128 random bits, written down as taken before anything is signed with it. */
enum sl_rc ca_take_serial(struct sl_ca *ca, const char *kind, int64_t request, int64_t now,
                          char serial[SL_SERIAL_TEXT], struct sl_err *err)
{
    for (int tries = 0; tries < 4; tries++) {
        uint8_t raw[16];
        sl_rng_fill(&ca->env.rng, raw, sizeof(raw));
        raw[0] |= 0x01; /* never all zero, and always 16 octets long */
        sl_hex(serial, SL_SERIAL_TEXT, sl_bytes(raw, sizeof(raw)));
        enum sl_rc rc = sl_store_reserve(ca->env.store, serial, kind, request, now, err);
        if (rc != SL_EXISTS)
            return rc;
    }
    return SL_FAIL(err, SL_STORE, "no free serial found: the random source repeats itself");
}

int64_t ca_cert_time(const ASN1_TIME *t)
{
    int64_t v = 0;
    return xb_time(&v, t) ? v : 0;
}

/* Signs c, whose serial has been reserved, and puts it on record; the certificate is *out's. */
enum sl_rc ca_sign_and_store(struct sl_ca *ca, const struct xb_cert *c, EVP_PKEY *signer,
                             const char *kind, int64_t request, const char *value, int64_t now,
                             X509 **out, struct sl_err *err)
{
    XB_AUTO(X509) *x = NULL;
    SL_TRY(xb_cert_make(&x, c, signer, err));
    SL_AUTO_BUF der = { 0 };
    SL_TRY(xb_cert_der(&der, x, err));
    char subject[512];
    struct sl_cert_row row = {
        .kind = kind,
        .request = request,
        .der = sl_buf_bytes(&der),
        .subject_text = xb_name_text(subject, sizeof(subject), c->subject),
        .not_before = ca_cert_time(X509_get0_notBefore(x)),
        .not_after = ca_cert_time(X509_get0_notAfter(x)),
        .issued = now,
    };
    snprintf(row.serial, sizeof(row.serial), "%s", c->serial);
    struct sl_store_value v = { .name = value, .value = sl_buf_bytes(&der) };
    SL_TRY(sl_store_issued(ca->env.store, &row, &v, value ? 1 : 0, err));
    char san[1024], key[65];
    uint8_t digest[32];
    SL_AUTO_BUF spki = { 0 };
    SL_TRY(xb_spki_der(&spki, x, err));
    xb_sha256_spki(digest, sl_buf_bytes(&spki));
    ca_record(ca, "ca-issue",
              json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "serial", c->serial, "subject",
                        subject, "san", c->san ? xb_san_text(san, sizeof(san), c->san) : "",
                        "purpose", kind, "key_sha256",
                        sl_hex(key, sizeof(key), sl_bytes(digest, sizeof(digest))), "request",
                        (json_int_t)request, "not_before", (json_int_t)row.not_before, "not_after",
                        (json_int_t)row.not_after));
    *out = x;
    x = NULL;
    return SL_OK;
}

int64_t ca_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- the authority's own certificates ------------------------------------------------------------------- */

static enum sl_rc role_name(X509_NAME **out, const char *name, enum sl_ca_role role,
                            struct sl_err *err)
{
    static const char *const suffix[SL_CA_ROLE_COUNT] = { "Root CA", "Issuing CA", "SCEP RA",
                                                          "OCSP Responder" };
    char cn[128];
    snprintf(cn, sizeof(cn), "%s %s", name, suffix[role]);
    X509_NAME *n = X509_NAME_new();
    if (!n ||
        X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0) != 1 ||
        X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0) != 1) {
        X509_NAME_free(n);
        return SL_FAIL_SSL(err, SL_USAGE, "\"%s\" cannot be part of the authority's name", name);
    }
    *out = n;
    return SL_OK;
}

/* Makes the certificate of role for the key its member holds, with subject (borrowed). */
static enum sl_rc make_member(struct sl_ca *ca, enum sl_ca_role role, const X509_NAME *subject,
                              int64_t lifetime_s, int64_t now, struct sl_err *err)
{
    enum sl_ca_role by = role <= SL_CA_ISSUING ? SL_CA_ROOT : SL_CA_ISSUING;
    struct ca_member *m = &ca->member[role], *signer = &ca->member[by];
    XB_AUTO(EVP_PKEY) *pub = NULL;
    SL_TRY(xb_spki_read(&pub, sl_buf_bytes(&m->spki), err));
    char serial[SL_SERIAL_TEXT];
    SL_TRY(ca_take_serial(ca, roles[role].text, 0, now, serial, err));
    bool rsa = EVP_PKEY_is_a(pub, "RSA") == 1;
    struct xb_cert c = {
        .serial = serial,
        .subject = subject,
        .issuer = role == SL_CA_ROOT ? subject : X509_get_subject_name(signer->cert),
        .key = pub,
        .issuer_cert = role == SL_CA_ROOT ? NULL : signer->cert,
        .not_before = now - CA_BACKDATE_S,
        .not_after = now + lifetime_s,
        .path_len = -1,
        .eku_nid = NID_undef,
    };
    if (c.issuer_cert)
        c.not_after = ca_earlier(c.not_after, ca_cert_time(X509_get0_notAfter(signer->cert)));
    switch (role) {
    case SL_CA_ROOT:
        c.ca = true;
        c.key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
        break;
    case SL_CA_ISSUING:
        c.ca = true;
        c.path_len = 0;
        c.crl_uri = ca->crl_uri[SL_CA_ROOT];
        c.key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
        if (rsa) /* serves SCEP itself: signs answers and opens requests */
            c.key_usage |= KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;
        break;
    case SL_CA_RA:
        c.key_usage = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;
        /* id-kp-cmcRA (RFC 6402 2.10): so that no device's certificate can pass for the RA's */
        c.eku_nid = NID_cmcRA;
        c.crl_uri = ca->crl_uri[SL_CA_ISSUING];
        break;
    case SL_CA_OCSP:
        c.key_usage = KU_DIGITAL_SIGNATURE;
        c.eku_nid = NID_OCSP_sign;
        c.ocsp_nocheck = true; /* RFC 6960 4.2.2.2.1 */
        break;
    case SL_CA_ROLE_COUNT:
        break;
    }
    X509 *made = NULL;
    SL_TRY(ca_sign_and_store(ca, &c, signer->pkey, roles[role].text, 0, roles[role].value, now,
                             &made, err));
    X509_free(m->cert);
    m->cert = made;
    return SL_OK;
}

static enum sl_rc check_setup(const struct sl_ca_setup *setup, struct sl_err *err)
{
    size_t len = strlen(setup->name);
    if (len == 0 || len > 48)
        return SL_FAIL(err, SL_USAGE, "name of the authority: expected 1 to 48 characters");
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        struct sl_bytes spki = setup->spki[r];
        uint16_t bits = 0;
        enum sl_key_type type = sl_spki_type(spki, &bits);
        bool rsa_issuing = sl_spki_type(setup->spki[SL_CA_ISSUING], &bits) == SL_KEY_RSA;
        if (r == SL_CA_RA && spki.len == 0) {
            if (!rsa_issuing)
                return SL_FAIL(err, SL_CA_REQUEST,
                               "an issuing CA without RSA key needs an RA key for SCEP");
            continue;
        }
        (void)sl_spki_type(spki, &bits);
        if (r == SL_CA_RA && type != SL_KEY_RSA)
            return SL_FAIL(err, SL_CA_REQUEST, "the RA key must be RSA (RFC 8894 3.1)");
        if (type != SL_KEY_RSA && type != SL_KEY_EC_P256 && type != SL_KEY_EC_P384)
            return SL_FAIL(err, SL_CA_REQUEST, "%s key: expected RSA, ECDSA P-256 or ECDSA P-384",
                           roles[r].text);
        if (type == SL_KEY_RSA && bits < (r <= SL_CA_ISSUING ? 3072 : 2048))
            return SL_FAIL(err, SL_WEAK_ALGORITHM, "%s key: RSA of %u bits, expected at least %d",
                           roles[r].text, bits, r <= SL_CA_ISSUING ? 3072 : 2048);
    }
    return SL_OK;
}

static enum sl_rc setup_members(struct sl_ca *ca, const struct sl_ca_setup *setup, int64_t now,
                                struct sl_err *err)
{
    static const enum sl_ca_role order[] = { SL_CA_ROOT, SL_CA_ISSUING, SL_CA_RA, SL_CA_OCSP };
    for (size_t i = 0; i < SL_ARRAY_LEN(order); i++) {
        enum sl_ca_role r = order[i];
        if (setup->spki[r].len == 0)
            continue;
        int64_t life = HELPER_LIFETIME_S;
        if (r == SL_CA_ROOT)
            life = setup->root_lifetime_s ? setup->root_lifetime_s : 20 * YEAR_S;
        else if (r == SL_CA_ISSUING)
            life = setup->issuing_lifetime_s ? setup->issuing_lifetime_s : 10 * YEAR_S;
        XB_AUTO(X509_NAME) *name = NULL;
        SL_TRY(role_name(&name, setup->name, r, err));
        SL_TRY(member_key(ca, r, setup->spki[r], err));
        if (make_member(ca, r, name, life, now, err) != SL_OK)
            return SL_WRAP(err, "%s certificate", roles[r].text);
    }
    return SL_OK;
}

/* A setup that was interrupted is begun again: only a complete one is an authority. */
static enum sl_rc setup_complete(struct sl_ca *ca, bool *yes, struct sl_err *err)
{
    SL_AUTO_BUF v = { 0 };
    enum sl_rc rc = sl_store_value_get(ca->env.store, "ready", &v, err);
    *yes = rc == SL_OK;
    if (rc == SL_NOT_FOUND) {
        sl_err_reset(err);
        rc = SL_OK;
    }
    return rc;
}

enum sl_rc sl_ca_setup(struct sl_ca *ca, const struct sl_ca_setup *setup, int64_t now,
                       struct sl_err *err)
{
    bool complete;
    SL_TRY(setup_complete(ca, &complete, err));
    if (complete)
        return SL_FAIL(err, SL_EXISTS, "there is an authority already");
    SL_TRY(check_setup(setup, err));
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        member_clear(&ca->member[r]);
    enum sl_rc rc = setup_members(ca, setup, now, err);
    SL_AUTO_BUF crl = { 0 };
    if (rc == SL_OK)
        rc = crl_make(ca, SL_CA_ROOT, now, &crl, err);
    if (rc == SL_OK)
        rc = crl_make(ca, SL_CA_ISSUING, now, &crl, err);
    struct sl_store_value ready = { .name = "ready", .value = sl_str("1") };
    if (rc == SL_OK)
        rc = sl_store_values_put(ca->env.store, &ready, 1, err);
    if (rc != SL_OK)
        for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
            member_clear(&ca->member[r]);
    return rc;
}

/* ---- revocation -------------------------------------------------------------------------------------- */

static const struct {
    int code;
    const char *text;
} reasons[] = {
    { 0, "unspecified" },        { 1, "keyCompromise" }, { 2, "cACompromise" },
    { 3, "affiliationChanged" }, { 4, "superseded" },    { 5, "cessationOfOperation" },
    { 9, "privilegeWithdrawn" },
};

bool sl_ca_reason_parse(int *code, const char *text)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(reasons); i++)
        if (!text || strcasecmp(reasons[i].text, text) == 0) {
            *code = reasons[i].code;
            return true;
        }
    return false;
}

const char *sl_ca_reason_text(int code)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(reasons); i++)
        if (reasons[i].code == code)
            return reasons[i].text;
    return "unknown";
}

struct revoking {
    char kind[16], subject[256];
};

static enum sl_rc keep_revoking(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    (void)err;
    struct revoking *r = ctx;
    snprintf(r->kind, sizeof(r->kind), "%s", row->kind);
    snprintf(r->subject, sizeof(r->subject), "%s", row->subject_text);
    return SL_OK;
}

enum sl_rc sl_ca_revoke(struct sl_ca *ca, const char *serial, int reason, int64_t now,
                        struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    char hex[SL_SERIAL_TEXT];
    if (!xb_serial_parse(hex, serial))
        return SL_FAIL(err, SL_USAGE, "serial number: expected 1 to 20 octets in hex");
    struct revoking r;
    SL_TRY(sl_store_cert_get(ca->env.store, hex, keep_revoking, &r, err));
    if (strcmp(r.kind, "root") == 0)
        return SL_FAIL(err, SL_USAGE, "a root certificate cannot be revoked by its own CRL");
    SL_TRY(sl_store_revoke(ca->env.store, hex, reason, now, err));
    ca_record(ca, "ca-revoke",
              json_pack("{s:s, s:s, s:s}", "serial", hex, "subject", r.subject, "reason",
                        sl_ca_reason_text(reason)));
    SL_AUTO_BUF crl = { 0 };
    return crl_make(ca, strcmp(r.kind, "issuing") == 0 ? SL_CA_ROOT : SL_CA_ISSUING, now, &crl,
                    err);
}

/* ---- what is due by itself ----------------------------------------------------------------------------------------- */

/* RA and OCSP certificates are made anew for the same key when two thirds of their life are over. */
static enum sl_rc renew_member(struct sl_ca *ca, enum sl_ca_role role, int64_t now, int64_t *next,
                               struct sl_err *err)
{
    struct ca_member *m = &ca->member[role];
    if (!m->cert)
        return SL_OK;
    int64_t from = ca_cert_time(X509_get0_notBefore(m->cert));
    int64_t to = ca_cert_time(X509_get0_notAfter(m->cert));
    int64_t ca_end = ca_cert_time(X509_get0_notAfter(ca->member[SL_CA_ISSUING].cert));
    int64_t due = from + (to - from) / 3 * 2;
    if (to >= ca_end || now < due) { /* the issuer's own end cannot be passed */
        if (to < ca_end)
            *next = ca_earlier(*next, due);
        return SL_OK;
    }
    XB_AUTO(X509_NAME) *name = X509_NAME_dup(X509_get_subject_name(m->cert));
    if (!name)
        return SL_FAIL_MEM(err);
    return make_member(ca, role, name, HELPER_LIFETIME_S, now, err);
}

enum sl_rc sl_ca_tick(struct sl_ca *ca, int64_t now, int64_t *next, struct sl_err *err)
{
    *next = now + 3600;
    if (!sl_ca_ready(ca))
        return SL_OK;
    SL_TRY(renew_member(ca, SL_CA_RA, now, next, err));
    SL_TRY(renew_member(ca, SL_CA_OCSP, now, next, err));
    SL_TRY(sl_store_challenge_purge(ca->env.store, now - CHALLENGE_KEEP_S, err));
    for (int r = SL_CA_ROOT; r <= SL_CA_ISSUING; r++) {
        SL_AUTO_BUF der = { 0 };
        SL_TRY(sl_ca_crl(ca, (enum sl_ca_role)r, false, now, &der, err));
        int64_t number, this_update, next_update;
        SL_TRY(sl_store_crl_get(ca->env.store, roles[r].text, &der, &number, &this_update,
                                &next_update, err));
        *next = ca_earlier(*next, this_update + CA_BACKDATE_S + ca->env.conf->crl_interval_s);
    }
    if (*next <= now)
        *next = now + 1;
    return SL_OK;
}
