/*
 * The authority: who may have which certificate, and the order of writing down and signing that
 * keeps every promise of sealane/store.h. CRLs are in crl.c, OCSP in ocsp_responder.c, the way
 * requests come in is scep_server.c's.
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

#define MAX_PENDING       1000 /* requests that wait for an operator */
#define YEAR_S            (365LL * 24 * 3600)
#define HELPER_LIFETIME_S (180LL * 24 * 3600) /* RA and OCSP certificates, renewed at two thirds */
#define CHALLENGE_KEEP_S  (30LL * 24 * 3600)  /* an expired challenge is told from an unknown one */
#define CHALLENGE_MAX_S   (365LL * 24 * 3600)

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
static enum sl_rc take_serial(struct sl_ca *ca, const char *kind, int64_t request, int64_t now,
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

static int64_t cert_time(const ASN1_TIME *t)
{
    int64_t v = 0;
    return xb_time(&v, t) ? v : 0;
}

/* Signs c, whose serial has been reserved, and puts it on record; the certificate is *out's. */
static enum sl_rc sign_and_store(struct sl_ca *ca, const struct xb_cert *c, EVP_PKEY *signer,
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
        .not_before = cert_time(X509_get0_notBefore(x)),
        .not_after = cert_time(X509_get0_notAfter(x)),
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

static int64_t earlier(int64_t a, int64_t b)
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
    SL_TRY(take_serial(ca, roles[role].text, 0, now, serial, err));
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
        c.not_after = earlier(c.not_after, cert_time(X509_get0_notAfter(signer->cert)));
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
    SL_TRY(sign_and_store(ca, &c, signer->pkey, roles[role].text, 0, roles[role].value, now, &made,
                          err));
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

/* ---- challenges ------------------------------------------------------------------------------------------ */

/*
 * The alternative name a device's name itself stands for: an address, an e-mail address or a DNS
 * name; none where it has another form.
 */
static enum sl_rc add_own_san(GENERAL_NAMES *san, const char *name, struct sl_err *err)
{
    static const char *const forms[] = { "ip", "email", "dns" };
    for (size_t i = 0; i < SL_ARRAY_LEN(forms); i++) {
        char text[320];
        if ((i == 1) != (strchr(name, '@') != NULL) && i != 0)
            continue;
        snprintf(text, sizeof(text), "%s:%s", forms[i], name);
        enum sl_rc rc = xb_san_add(san, text, err);
        if (rc == SL_OK || rc == SL_NO_MEMORY)
            return rc;
    }
    sl_err_reset(err);
    return SL_OK;
}

static enum sl_rc permitted_san(struct sl_buf *der, const char *name, const char *const *san,
                                size_t san_n, struct sl_err *err)
{
    XB_AUTO(GENERAL_NAMES) *names = GENERAL_NAMES_new();
    if (!names)
        return SL_FAIL_MEM(err);
    SL_TRY(add_own_san(names, name, err));
    for (size_t i = 0; i < san_n; i++)
        SL_TRY(xb_san_add(names, san[i], err));
    return xb_san_der(der, names, err);
}

/* 25 characters of a 32-letter alphabet without look-alikes: 125 bits, in groups that can be read out. */
static enum sl_rc challenge_text(struct sl_ca *ca, struct sl_secret *out, struct sl_err *err)
{
    static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";
    SL_TRY(sl_secret_init(out, 25 + 4, err));
    for (size_t i = 0, n = 0; i < 25; i++) {
        if (i && i % 5 == 0)
            out->p[n++] = '-';
        out->p[n++] = (uint8_t)alphabet[sl_rng_below(&ca->env.rng, 32)];
    }
    return SL_OK;
}

enum sl_rc sl_ca_challenge(struct sl_ca *ca, const char *name, const char *const *san, size_t san_n,
                           int64_t lifetime_s, int64_t now, struct sl_secret *text,
                           struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    size_t len = strlen(name);
    if (len == 0 || len > 64) /* ub-common-name, RFC 5280 A.1 */
        return SL_FAIL(err, SL_USAGE, "name of a device: expected 1 to 64 characters");
    for (size_t i = 0; i < len; i++)
        if (!isascii((unsigned char)name[i]) || !isprint((unsigned char)name[i]))
            return SL_FAIL(err, SL_USAGE, "name of a device: expected printable ASCII");
    if (lifetime_s <= 0 || lifetime_s > CHALLENGE_MAX_S)
        return SL_FAIL(err, SL_USAGE, "lifetime of a challenge: expected 1 s to 1 year");
    SL_AUTO_BUF names = { 0 };
    SL_TRY(permitted_san(&names, name, san, san_n, err));
    SL_AUTO_SECRET made = { 0 };
    SL_TRY(challenge_text(ca, &made, err));
    struct sl_store_challenge c = {
        .name = name, .san = sl_buf_bytes(&names), .created = now, .expires = now + lifetime_s
    };
    sl_sha2(256, sl_secret_bytes(&made), c.hash);
    SL_TRY(sl_store_challenge_add(ca->env.store, &c, err));
    ca_record(ca, "ca-challenge",
              json_pack("{s:s, s:I}", "name", name, "expires", (json_int_t)c.expires));
    sl_secret_move(text, &made);
    return SL_OK;
}

/* ---- requests: what is permitted --------------------------------------------------------------------------- */

/* A request in memory, with the names it is to be issued with. */
struct request {
    int64_t id;
    enum sl_request_state state;
    struct sl_buf spki, subject, san;
    char serial[SL_SERIAL_TEXT], reason[256], subject_text[512];
};

static void request_clear(struct request *r)
{
    sl_buf_clear(&r->spki);
    sl_buf_clear(&r->subject);
    sl_buf_clear(&r->san);
}
#define AUTO_REQUEST __attribute__((cleanup(request_clear))) struct request

static enum sl_rc keep_request(void *ctx, const struct sl_request *r, struct sl_err *err)
{
    struct request *out = ctx;
    out->id = r->id;
    out->state = r->state;
    snprintf(out->serial, sizeof(out->serial), "%s", r->serial);
    snprintf(out->reason, sizeof(out->reason), "%s", r->reason);
    if (!sl_buf_put(&out->spki, r->spki) || !sl_buf_put(&out->subject, r->subject) ||
        !sl_buf_put(&out->san, r->san))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

/* The last commonName as UTF-8; "" when there is none. False when it does not fit or holds a NUL. */
static bool common_name(const X509_NAME *name, char *out, size_t cap)
{
    out[0] = '\0';
    int at = -1, last = -1;
    while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
        last = at;
    if (last < 0)
        return true;
    uint8_t *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
    bool ok = len > 0 && (size_t)len < cap && !memchr(utf8, 0, (size_t)len);
    if (ok) {
        memcpy(out, utf8, (size_t)len);
        out[len] = '\0';
    }
    OPENSSL_free(utf8);
    return ok;
}

static enum sl_rc name_from_cn(struct sl_buf *der, const char *cn, struct sl_err *err)
{
    XB_AUTO(X509_NAME) *n = X509_NAME_new();
    if (!n ||
        X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0) != 1)
        return SL_FAIL_SSL(err, SL_CA_REQUEST, "\"%s\" cannot be a commonName", cn);
    return xb_name_der(der, n, err);
}

/*
 * The request may ask for name and for alternative names out of permitted, and for nothing else.
 * code: what to call a breach (CA_CHALLENGE_NAME, CA_RENEWAL).
 */
static enum sl_rc check_names(const struct xb_csr *csr, const char *name,
                              const GENERAL_NAMES *permitted, enum sl_rc code, struct sl_err *err)
{
    char cn[256], shown[512];
    if (!common_name(csr->subject, cn, sizeof(cn)))
        return SL_FAIL(err, SL_CA_REQUEST, "commonName of the request is not usable");
    if (cn[0] && strcasecmp(cn, name) != 0)
        return SL_FAIL(err, code, "request is for CN=%s, permitted is %s",
                       sl_printable(shown, sizeof(shown), sl_str(cn)), name);
    for (int i = 0; i < sk_GENERAL_NAME_num(csr->san); i++) {
        GENERAL_NAME *want = sk_GENERAL_NAME_value(csr->san, i);
        if (!xb_san_has(permitted, want)) {
            XB_AUTO(GENERAL_NAMES) *one = GENERAL_NAMES_new();
            if (!one)
                return SL_FAIL_MEM(err);
            SL_TRY(xb_san_add_name(one, want, err));
            return SL_FAIL(err, code, "alternative name %s is not permitted for %s",
                           xb_san_text(shown, sizeof(shown), one), name);
        }
    }
    if (!cn[0] && sk_GENERAL_NAME_num(csr->san) == 0)
        return SL_FAIL(err, code, "request names nobody, permitted is %s", name);
    return SL_OK;
}

/* By challenge: the subject is the challenge's; of its alternative names, the own one and those asked. */
static enum sl_rc permit_challenge(struct sl_ca *ca, const struct xb_csr *csr,
                                   const uint8_t hash[SL_STORE_HASH], int64_t now,
                                   struct request *r, struct sl_err *err)
{
    SL_AUTO_BUF name = { 0 };
    SL_AUTO_BUF san_der = { 0 };
    SL_TRY(sl_store_challenge_look(ca->env.store, hash, now, &name, &san_der, err));
    XB_AUTO(GENERAL_NAMES) *permitted = NULL;
    SL_TRY(xb_san_read(&permitted, sl_buf_bytes(&san_der), err));
    const char *cn = (const char *)name.p;
    SL_TRY(check_names(csr, cn, permitted, SL_CA_CHALLENGE_NAME, err));
    XB_AUTO(GENERAL_NAMES) *san = GENERAL_NAMES_new();
    if (!san)
        return SL_FAIL_MEM(err);
    SL_TRY(add_own_san(san, cn, err));
    for (int i = 0; i < sk_GENERAL_NAME_num(csr->san); i++)
        SL_TRY(xb_san_add_name(san, sk_GENERAL_NAME_value(csr->san, i), err));
    SL_TRY(xb_san_der(&r->san, san, err));
    return name_from_cn(&r->subject, cn, err);
}

static bool subject_part_ok(const X509_NAME_ENTRY *e)
{
    switch (OBJ_obj2nid(X509_NAME_ENTRY_get_object(e))) {
    case NID_commonName:
    case NID_countryName:
    case NID_stateOrProvinceName:
    case NID_localityName:
    case NID_organizationName:
    case NID_organizationalUnitName:
    case NID_serialNumber:
    case NID_domainComponent:
    case NID_pkcs9_emailAddress:
        break;
    default:
        return false;
    }
    uint8_t *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
    bool ok = len > 0 && len <= 128;
    for (int i = 0; i < len && ok; i++)
        ok = utf8[i] >= 0x20 && utf8[i] != 0x7f;
    OPENSSL_free(utf8);
    return ok;
}

/* For an operator to decide: the subject's usual parts and the alternative names as asked. */
static enum sl_rc permit_operator(const struct xb_csr *csr, struct request *r, struct sl_err *err)
{
    XB_AUTO(X509_NAME) *name = X509_NAME_new();
    if (!name)
        return SL_FAIL_MEM(err);
    for (int i = 0; i < X509_NAME_entry_count(csr->subject); i++) {
        const X509_NAME_ENTRY *e = X509_NAME_get_entry(csr->subject, i);
        if (!subject_part_ok(e))
            return SL_FAIL(err, SL_CA_REQUEST,
                           "part %d of the subject has an unusual type or contents", i + 1);
        if (X509_NAME_add_entry(name, e, -1, 0) != 1)
            return SL_FAIL_MEM(err);
    }
    if (X509_NAME_entry_count(name) == 0 && sk_GENERAL_NAME_num(csr->san) == 0)
        return SL_FAIL(err, SL_CA_REQUEST,
                       "request names nobody: neither subject nor alternative name");
    SL_TRY(xb_name_der(&r->subject, name, err));
    return xb_san_der(&r->san, csr->san, err);
}

static enum sl_rc old_row(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    (void)err;
    *(enum sl_cert_state *)ctx = row->state;
    return SL_OK;
}

/* Whether old is ours, on record, in force and not revoked. */
static enum sl_rc check_old(struct sl_ca *ca, X509 *old, int64_t now, struct sl_err *err)
{
    char serial[SL_SERIAL_TEXT];
    if (!xb_serial_text(serial, X509_get0_serialNumber(old)))
        return SL_FAIL(err, SL_CA_RENEWAL, "old certificate has no usable serial number");
    X509 *issuer = ca->member[SL_CA_ISSUING].cert;
    if (X509_NAME_cmp(X509_get_issuer_name(old), X509_get_subject_name(issuer)) != 0 ||
        X509_verify(old, X509_get0_pubkey(issuer)) != 1) {
        ERR_clear_error();
        return SL_FAIL(err, SL_CA_RENEWAL, "certificate %s was not issued here", serial);
    }
    enum sl_cert_state state = 0;
    enum sl_rc rc = sl_store_cert_get(ca->env.store, serial, old_row, &state, err);
    if (rc == SL_NOT_FOUND)
        return SL_FAIL(err, SL_CA_RENEWAL, "certificate %s is not on record", serial);
    SL_TRY(rc);
    if (state != SL_CERT_ISSUED)
        return SL_FAIL(err, SL_CA_RENEWAL, "certificate %s is %s", serial,
                       sl_cert_state_text(state));
    int64_t from = cert_time(X509_get0_notBefore(old)), to = cert_time(X509_get0_notAfter(old));
    char when[SL_TIME_TEXT];
    if (now < from || now > to)
        return SL_FAIL(err, SL_CA_RENEWAL, "certificate %s %s %s", serial,
                       now > to ? "expired" : "is not valid before",
                       sl_time_text(when, now > to ? to : from));
    return SL_OK;
}

/* By the old certificate: its names, whatever the request says beside them. */
static enum sl_rc permit_renewal(struct sl_ca *ca, const struct xb_csr *csr, X509 *old, int64_t now,
                                 struct request *r, struct sl_err *err)
{
    if (!ca->env.conf->renewal)
        return SL_FAIL(err, SL_CA_RENEWAL, "renewal by certificate is switched off here");
    SL_TRY(check_old(ca, old, now, err));
    GENERAL_NAMES *old_san = X509_get_ext_d2i(old, NID_subject_alt_name, NULL, NULL);
    XB_AUTO(GENERAL_NAMES) *san = old_san ? old_san : GENERAL_NAMES_new();
    if (!san)
        return SL_FAIL_MEM(err);
    char cn[256];
    if (!common_name(X509_get_subject_name(old), cn, sizeof(cn)))
        return SL_FAIL(err, SL_CA_RENEWAL, "old certificate's commonName is not usable");
    char any[512];
    SL_TRY(
        check_names(csr, cn[0] ? cn : xb_san_text(any, sizeof(any), san), san, SL_CA_RENEWAL, err));
    SL_TRY(xb_san_der(&r->san, san, err));
    return xb_name_der(&r->subject, X509_get_subject_name(old), err);
}

/*
 * Decides on what ground the request stands. A renewal that is not possible falls back on a
 * challenge where the request brings one (a device that comes back after its certificate expired).
 */
static enum sl_rc permit(struct sl_ca *ca, const struct sl_ca_request *req,
                         const struct xb_csr *csr, int64_t now, struct request *r,
                         uint8_t hash[SL_STORE_HASH], bool *by_challenge, struct sl_err *err)
{
    struct sl_err renewal = { 0 };
    *by_challenge = false;
    r->state = SL_REQUEST_APPROVED;
    if (req->old) {
        enum sl_rc rc = permit_renewal(ca, csr, req->old, now, r, &renewal);
        if (rc == SL_OK)
            return rc;
        if (csr->challenge.len == 0)
            return SL_FAIL(err, rc, "%s", renewal.text);
        r->san.len = r->subject.len = 0;
    }
    if (csr->challenge.len) {
        *by_challenge = true;
        sl_sha2(256, sl_secret_bytes(&csr->challenge), hash);
        enum sl_rc rc = permit_challenge(ca, csr, hash, now, r, err);
        if (rc == SL_OK || !req->old)
            return rc;
        /* the challenge of a renewal is often the first enrolment's: the certificate is what counts */
        return SL_FAIL(err, renewal.rc, "%s", renewal.text);
    }
    if (!ca->env.conf->manual_approval)
        return SL_FAIL(err, SL_CA_CHALLENGE_WRONG,
                       "request has no challenge, and approval by hand is switched off here");
    r->state = SL_REQUEST_PENDING;
    return permit_operator(csr, r, err);
}

/* ---- requests: their way -------------------------------------------------------------------------------------- */

static enum sl_rc check_own_keys(const struct sl_ca *ca, const struct xb_csr *csr,
                                 struct sl_err *err)
{
    for (int i = 0; i < SL_CA_ROLE_COUNT; i++)
        if (ca->member[i].cert && sl_bytes_eq(sl_buf_bytes(&csr->spki), ca->member[i].key.spki))
            return SL_FAIL(err, SL_CA_REQUEST, "request is for the authority's own %s key",
                           roles[i].text);
    return SL_OK;
}

static enum sl_rc issue(struct sl_ca *ca, struct request *r, int64_t now, struct sl_err *err)
{
    struct ca_member *issuer = &ca->member[SL_CA_ISSUING];
    XB_AUTO(EVP_PKEY) *key = NULL;
    SL_TRY(xb_spki_read(&key, sl_buf_bytes(&r->spki), err));
    XB_AUTO(X509_NAME) *subject = NULL;
    SL_TRY(xb_name_read(&subject, sl_buf_bytes(&r->subject), err));
    XB_AUTO(GENERAL_NAMES) *san = NULL;
    SL_TRY(xb_san_read(&san, sl_buf_bytes(&r->san), err));
    int64_t end = cert_time(X509_get0_notAfter(issuer->cert));
    if (now >= end)
        return SL_FAIL(err, SL_CERT_EXPIRED, "the issuing CA's own certificate has expired");
    SL_TRY(take_serial(ca, "device", r->id, now, r->serial, err));
    struct xb_cert c = {
        .serial = r->serial,
        .subject = subject,
        .issuer = X509_get_subject_name(issuer->cert),
        .key = key,
        .issuer_cert = issuer->cert,
        .not_before = now - CA_BACKDATE_S,
        .not_after = earlier(now + ca->env.conf->lifetime_s, end),
        .key_usage = KU_DIGITAL_SIGNATURE,
        .eku_nid = strcmp(ca->env.conf->profile_eku, "none") == 0 ? NID_undef : NID_ipsec_IKE,
        .san = san,
        .crl_uri = ca->crl_uri[SL_CA_ISSUING],
        .ocsp_uri = ca->ocsp_uri,
        .issuer_uri = ca->cert_uri,
    };
    /* the answer to a later renewal is encrypted to this certificate (RFC 8894 3.3.1) */
    if (EVP_PKEY_is_a(key, "RSA"))
        c.key_usage |= KU_KEY_ENCIPHERMENT;
    X509 *x = NULL;
    SL_TRY(sign_and_store(ca, &c, issuer->pkey, "device", r->id, NULL, now, &x, err));
    X509_free(x);
    r->state = SL_REQUEST_ISSUED;
    return SL_OK;
}

static enum sl_rc copy_der(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    return sl_buf_put(ctx, row->der) ? SL_OK : SL_FAIL_MEM(err);
}

/* The answer to a request in its present state; an approved one is issued first. */
static enum sl_rc answer_request(struct sl_ca *ca, struct request *r, int64_t now,
                                 struct sl_ca_answer *answer, struct sl_err *err)
{
    answer->request = r->id;
    if (r->state == SL_REQUEST_APPROVED)
        SL_TRY(issue(ca, r, now, err));
    switch (r->state) {
    case SL_REQUEST_PENDING:
        answer->outcome = SL_CA_PENDING;
        return SL_OK;
    case SL_REQUEST_ISSUED:
        answer->outcome = SL_CA_ISSUED;
        snprintf(answer->serial, sizeof(answer->serial), "%s", r->serial);
        return sl_store_cert_get(ca->env.store, r->serial, copy_der, &answer->der, err);
    case SL_REQUEST_REJECTED:
        return SL_FAIL(err, SL_CA_REJECTED, "request %lld was rejected: %s", (long long)r->id,
                       r->reason[0] ? r->reason : "no reason given");
    case SL_REQUEST_APPROVED:
        break;
    }
    return SL_FAIL(err, SL_STORE, "request %lld has an unknown state", (long long)r->id);
}

/* What makes two requests of one transaction the same: the ground they stand on and all they say. */
static enum sl_rc request_digest(const struct xb_csr *csr, const char *kind, const char *old_serial,
                                 uint8_t out[SL_STORE_HASH], struct sl_err *err)
{
    SL_AUTO_BUF b = { 0 };
    bool ok =
        sl_buf_printf(&b, "%s/%s/", kind, old_serial) && sl_buf_put(&b, sl_buf_bytes(&csr->tbs));
    if (ok)
        sl_sha2(256, sl_buf_bytes(&b), out);
    sl_buf_wipe(&b); /* the request's text has the challenge in it */
    return ok ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc signer_hash(X509 *signer, uint8_t out[SL_STORE_HASH], struct sl_err *err)
{
    SL_AUTO_BUF spki = { 0 };
    SL_TRY(xb_spki_der(&spki, signer, err));
    xb_sha256_spki(out, sl_buf_bytes(&spki));
    return SL_OK;
}

static enum sl_rc add_request(struct sl_ca *ca, const struct sl_ca_request *req,
                              const struct xb_csr *csr, struct sl_request *row, int64_t now,
                              struct request *r, struct sl_err *err)
{
    uint8_t hash[SL_STORE_HASH];
    bool by_challenge;
    SL_TRY(permit(ca, req, csr, now, r, hash, &by_challenge, err));
    sl_dn_text(r->subject_text, sizeof(r->subject_text), sl_buf_bytes(&r->subject));
    if (!sl_buf_put(&r->spki, sl_buf_bytes(&csr->spki)))
        return SL_FAIL_MEM(err);
    row->state = r->state;
    row->spki = sl_buf_bytes(&r->spki);
    row->subject = sl_buf_bytes(&r->subject);
    row->san = sl_buf_bytes(&r->san);
    row->subject_text = r->subject_text;
    row->source = req->source ? req->source : "";
    row->created = now;
    row->decided = r->state == SL_REQUEST_APPROVED ? now : 0;
    row->reason = "";
    return sl_store_request_add(ca->env.store, row, by_challenge ? hash : NULL, MAX_PENDING, &r->id,
                                err);
}

static enum sl_rc submit(struct sl_ca *ca, const struct sl_ca_request *req, struct xb_csr *csr,
                         int64_t now, struct sl_ca_answer *answer, struct sl_err *err)
{
    SL_TRY(check_own_keys(ca, csr, err));
    char old_serial[SL_SERIAL_TEXT] = "";
    if (req->old && !xb_serial_text(old_serial, X509_get0_serialNumber(req->old)))
        return SL_FAIL(err, SL_CA_RENEWAL, "old certificate has no usable serial number");
    struct sl_request row = { .kind = req->old ? "renewal" : "pkcsreq",
                              .transaction_id = req->transaction_id,
                              .old_serial = old_serial };
    SL_TRY(signer_hash(req->signer, row.signer, err));
    SL_TRY(request_digest(csr, row.kind, old_serial, row.digest, err));
    AUTO_REQUEST r = { 0 };
    enum sl_rc rc =
        sl_store_request_find(ca->env.store, row.transaction_id, row.digest, keep_request, &r, err);
    if (rc == SL_NOT_FOUND) {
        sl_err_reset(err);
        rc = add_request(ca, req, csr, &row, now, &r, err);
    }
    SL_TRY(rc);
    return answer_request(ca, &r, now, answer, err);
}

enum sl_rc sl_ca_submit(struct sl_ca *ca, const struct sl_ca_request *req, int64_t now,
                        struct sl_ca_answer *answer, struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    struct xb_csr csr = { 0 };
    SL_TRY(xb_csr_read(&csr, req->csr, ca->env.conf->legacy, err));
    enum sl_rc rc = submit(ca, req, &csr, now, answer, err);
    xb_csr_clear(&csr);
    return rc;
}

enum sl_rc sl_ca_poll(struct sl_ca *ca, const char *transaction_id, X509 *signer, int64_t now,
                      struct sl_ca_answer *answer, struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    uint8_t hash[SL_STORE_HASH];
    SL_TRY(signer_hash(signer, hash, err));
    AUTO_REQUEST r = { 0 };
    SL_TRY(sl_store_request_poll(ca->env.store, transaction_id, hash, keep_request, &r, err));
    return answer_request(ca, &r, now, answer, err);
}

/* ---- an operator's decisions ------------------------------------------------------------------------------------ */

enum sl_rc sl_ca_approve(struct sl_ca *ca, int64_t request, int64_t now,
                         char serial[SL_SERIAL_TEXT], struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    AUTO_REQUEST r = { 0 };
    SL_TRY(sl_store_request_get(ca->env.store, request, keep_request, &r, err));
    /* approved, and interrupted before it was issued: taken up again */
    if (r.state != SL_REQUEST_APPROVED) {
        SL_TRY(sl_store_request_decide(ca->env.store, request, true, "", now, err));
        ca_record(ca, "ca-approve", json_pack("{s:I}", "request", (json_int_t)request));
    }
    SL_TRY(issue(ca, &r, now, err));
    snprintf(serial, SL_SERIAL_TEXT, "%s", r.serial);
    return SL_OK;
}

enum sl_rc sl_ca_reject(struct sl_ca *ca, int64_t request, const char *reason, int64_t now,
                        struct sl_err *err)
{
    SL_TRY(ca_need_ready(ca, err));
    SL_TRY(sl_store_request_decide(ca->env.store, request, false, reason ? reason : "", now, err));
    char shown[256];
    ca_record(ca, "ca-reject",
              json_pack("{s:I, s:s}", "request", (json_int_t)request, "reason",
                        sl_printable(shown, sizeof(shown), sl_str(reason ? reason : ""))));
    return SL_OK;
}

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
    int64_t from = cert_time(X509_get0_notBefore(m->cert));
    int64_t to = cert_time(X509_get0_notAfter(m->cert));
    int64_t ca_end = cert_time(X509_get0_notAfter(ca->member[SL_CA_ISSUING].cert));
    int64_t due = from + (to - from) / 3 * 2;
    if (to >= ca_end || now < due) { /* the issuer's own end cannot be passed */
        if (to < ca_end)
            *next = earlier(*next, due);
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
        *next = earlier(*next, this_update + CA_BACKDATE_S + ca->env.conf->crl_interval_s);
    }
    if (*next <= now)
        *next = now + 1;
    return SL_OK;
}
