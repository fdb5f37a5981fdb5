/*
 * Control verbs of the authority. Arguments and results are JSON objects; "?" marks what may be
 * absent. A CERTIFICATE is
 *
 *   {"role","subject","issuer","serial","not_before","not_after","key","san":[],"sha256",
 *    "state":"valid|expired|revoked","revoked_at"?,"reason"?,"request"?}
 *
 *   ca.init       name, key ("rsa:3072", "ecdsa:p256", "ecdsa:p384"; default rsa:3072)
 *                 -> certificates: [CERTIFICATE], fingerprint: SHA-256 of the root's
 *   ca.challenge  name, ttl_s? (default 3600), san? (list of "dns:..", "ip:..", "email:..")
 *                 -> challenge, name, expires
 *   ca.pending    -> requests: [{id, subject, san, key, sha256, since, from}]
 *   ca.approve    id -> serial
 *   ca.reject     id, reason? -> {}
 *   ca.list       all? -> certificates: devices' that are valid; all: also expired and revoked
 *                 ones, and the authority's own
 *   ca.show       serial -> CERTIFICATE with pem
 *   ca.revoke     serial, reason? -> serial, subject, number (of the CRL)
 *   ca.crl        new?, root? -> issuer, number, this_update, next_update, entries, url, pem
 *   status        -> initialised, name, fingerprint, counts, http, problems: [{text, do}]
 */
#include "src/cmd/sealaned/authority.h"

#include "enroll/x509_build.h"
#include "sealane/certs.h"
#include "sealane/time.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define KEY_DEADLINE_MS 120000 /* RSA keys are slow to make on small machines */
#define CHALLENGE_TTL_S 3600
#define LIST_MAX        10000
#define CA_END_WARN_S   (90LL * 24 * 3600)

struct ctl_job {
    struct job job;
    struct proc_ctl *q;
    json_t *args; /* a copy of its own */
    enum sl_rc (*run)(struct authority *a, struct ctl_job *j, struct sl_err *err);
    int64_t now;
    json_t *result;
    struct sl_err err;
    struct revocation revocation;
};

/* ---- arguments ------------------------------------------------------------------------------------------ */

static enum sl_rc arg_text(const json_t *args, const char *name, const char *dflt, const char **out,
                           struct sl_err *err)
{
    const json_t *v = json_object_get(args, name);
    *out = json_is_string(v) ? json_string_value(v) : dflt;
    if (!*out || (v && !json_is_string(v)))
        return SL_FAIL(err, SL_USAGE, "argument \"%s\": expected a text", name);
    return SL_OK;
}

static enum sl_rc arg_number(const json_t *args, const char *name, int64_t dflt, int64_t *out,
                             struct sl_err *err)
{
    const json_t *v = json_object_get(args, name);
    const char *text = json_string_value(v);
    char *end = NULL;
    *out = dflt;
    if (json_is_integer(v))
        *out = json_integer_value(v);
    else if (text)
        *out = strtoll(text, &end, 10);
    if ((v && !json_is_integer(v) && (!text || !*text || *end)) || *out <= 0)
        return SL_FAIL(err, SL_USAGE, "argument \"%s\": expected a number above 0", name);
    return SL_OK;
}

static bool arg_true(const json_t *args, const char *name)
{
    return json_is_true(json_object_get(args, name));
}

/* ---- pieces of results -------------------------------------------------------------------------------------- */

static void set_time(json_t *o, const char *name, int64_t utc_s)
{
    char text[SL_TIME_TEXT];
    json_object_set_new(o, name, json_string(sl_time_text(text, utc_s)));
}

static void set_sha256(json_t *o, struct sl_bytes der)
{
    uint8_t digest[32];
    char hex[65];
    sl_sha2(256, der, digest);
    json_object_set_new(o, "sha256", json_string(sl_hex(hex, sizeof(hex), sl_bytes(digest, 32))));
}

static void set_key(json_t *o, struct sl_bytes spki)
{
    uint16_t bits = 0;
    char text[32] = "unknown";
    switch (sl_spki_type(spki, &bits)) {
    case SL_KEY_RSA:
        (void)snprintf(text, sizeof(text), "rsa:%u", bits);
        break;
    case SL_KEY_EC_P256:
    case SL_KEY_EC_P384:
    case SL_KEY_EC_P521:
        (void)snprintf(text, sizeof(text), "ecdsa:p%u", bits);
        break;
    case SL_KEY_ED25519:
        (void)snprintf(text, sizeof(text), "ed25519");
        break;
    case SL_KEY_NONE:
        break;
    }
    json_object_set_new(o, "key", json_string(text));
}

static void set_san(json_t *o, const GENERAL_NAMES *san)
{
    json_t *list = json_array();
    char text[SL_ID_TEXT];
    for (int i = 0; i < sk_GENERAL_NAME_num(san); i++)
        json_array_append_new(list, json_string(xb_san_item(text, sk_GENERAL_NAME_value(san, i))));
    json_object_set_new(o, "san", list);
}

static json_t *certificate_json(X509 *x, const char *role)
{
    json_t *o = json_object();
    char subject[512], issuer[512], serial[SL_SERIAL_TEXT] = "";
    int64_t from = 0, to = 0;
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_BUF spki = { 0 };
    if (!o || xb_cert_der(&der, x, NULL) != SL_OK || xb_spki_der(&spki, x, NULL) != SL_OK ||
        !xb_serial_text(serial, X509_get0_serialNumber(x)) ||
        !xb_time(&from, X509_get0_notBefore(x)) || !xb_time(&to, X509_get0_notAfter(x)))
        return o;
    json_object_set_new(o, "role", json_string(role));
    json_object_set_new(
        o, "subject",
        json_string(xb_name_text(subject, sizeof(subject), X509_get_subject_name(x))));
    json_object_set_new(o, "issuer",
                        json_string(xb_name_text(issuer, sizeof(issuer), X509_get_issuer_name(x))));
    json_object_set_new(o, "serial", json_string(serial));
    set_time(o, "not_before", from);
    set_time(o, "not_after", to);
    set_key(o, sl_buf_bytes(&spki));
    GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    set_san(o, san);
    GENERAL_NAMES_free(san);
    set_sha256(o, sl_buf_bytes(&der));
    return o;
}

static json_t *pem_json(X509 *x, X509_CRL *crl)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p = NULL;
    bool ok = b && (x ? PEM_write_bio_X509(b, x) : PEM_write_bio_X509_CRL(b, crl)) == 1;
    long len = ok ? BIO_get_mem_data(b, &p) : 0;
    json_t *text = json_stringn(p, len > 0 ? (size_t)len : 0);
    BIO_free(b);
    return text;
}

/* ---- ca.init ------------------------------------------------------------------------------------------------ */

/* Asks the keyring; the answer's bytes, a SubjectPublicKeyInfo, are put into spki. */
static enum sl_rc ask_key(struct authority *a, enum msg_type type, const void *m,
                          struct sl_buf *spki, struct sl_err *err)
{
    struct msg_key_reply r;
    SL_AUTO_BUF reply = { 0 };
    SL_TRY(msg_call(a->p->link[PROC_KEYRING], type, m, KEY_DEADLINE_MS, MSG_KEY_REPLY, &r, &reply,
                    err));
    if (r.rc != SL_OK)
        return SL_FAIL(err, r.rc, "%s", r.text);
    return !spki || sl_buf_put(spki, r.bytes) ? SL_OK : SL_FAIL_MEM(err);
}

/*
 * The key of a role. One that is there already is left over from an initialisation that was
 * interrupted: it signed nothing that counts, and is made anew.
 */
static enum sl_rc make_key(struct authority *a, enum sl_ca_role role, const char *alg,
                           struct sl_buf *spki, struct sl_err *err)
{
    struct msg_key_generate m = { 0 };
    struct msg_key_name old = { 0 };
    (void)snprintf(m.name, sizeof(m.name), "%s", sl_ca_key_name(role));
    (void)snprintf(old.name, sizeof(old.name), "%s", sl_ca_key_name(role));
    (void)snprintf(m.alg, sizeof(m.alg), "%s", alg);
    enum sl_rc rc = ask_key(a, MSG_KEY_GENERATE, &m, spki, err);
    if (rc != SL_EXISTS)
        return rc;
    sl_err_reset(err);
    SL_TRY(ask_key(a, MSG_KEY_REMOVE, &old, NULL, err));
    return ask_key(a, MSG_KEY_GENERATE, &m, spki, err);
}

static enum sl_rc make_keys(struct authority *a, const char *alg,
                            struct sl_buf spki[SL_CA_ROLE_COUNT], struct sl_err *err)
{
    enum sl_key_type type;
    uint16_t bits;
    bool known = sl_key_alg_parse(&type, &bits, alg);
    if (!known || type == SL_KEY_ED25519 || type == SL_KEY_EC_P521 ||
        (type == SL_KEY_RSA && bits < 3072))
        return SL_FAIL(err, SL_USAGE,
                       "argument \"key\": expected rsa:3072 to rsa:4096, ecdsa:p256 or ecdsa:p384");
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        /* SCEP needs an RSA key to encrypt to; the responder's key is changed often */
        const char *which = alg;
        if (r == SL_CA_RA && type == SL_KEY_RSA)
            continue;
        if (r == SL_CA_RA)
            which = "rsa:3072";
        else if (r == SL_CA_OCSP && type == SL_KEY_RSA)
            which = "rsa:2048";
        SL_TRY(make_key(a, (enum sl_ca_role)r, which, &spki[r], err));
    }
    return SL_OK;
}

static enum sl_rc run_init(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    const char *name, *alg;
    struct sl_buf spki[SL_CA_ROLE_COUNT] = { { 0 } };
    SL_TRY(arg_text(j->args, "name", NULL, &name, err));
    SL_TRY(arg_text(j->args, "key", "rsa:3072", &alg, err));
    if (sl_ca_ready(a->ca))
        return SL_FAIL(err, SL_EXISTS, "there is an authority already");
    if (!a->conf->base_url[0])
        return SL_FAIL(err, SL_CONFIG_VALUE,
                       "authority: base_url is not set; certificates need it for CRL and OCSP");
    enum sl_rc rc = make_keys(a, alg, spki, err);
    struct sl_ca_setup setup = { .name = name };
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        setup.spki[r] = sl_buf_bytes(&spki[r]);
    if (rc == SL_OK)
        rc = sl_ca_setup(a->ca, &setup, j->now, err);
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        sl_buf_clear(&spki[r]);
    SL_TRY(rc);
    json_t *list = json_array();
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        X509 *x = sl_ca_cert_get(a->ca, (enum sl_ca_role)r);
        if (x)
            json_array_append_new(list, certificate_json(x, sl_ca_role_text((enum sl_ca_role)r)));
    }
    json_object_set_new(j->result, "certificates", list);
    json_object_set(j->result, "fingerprint", json_object_get(json_array_get(list, 0), "sha256"));
    authority_certs_changed(a);
    return SL_OK;
}

/* ---- challenges and requests --------------------------------------------------------------------------------- */

static enum sl_rc run_challenge(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    const char *name, *san[XB_SAN_MAX];
    int64_t ttl_s;
    SL_TRY(arg_text(j->args, "name", NULL, &name, err));
    SL_TRY(arg_number(j->args, "ttl_s", CHALLENGE_TTL_S, &ttl_s, err));
    const json_t *list = json_object_get(j->args, "san");
    size_t n = json_array_size(list);
    if ((list && !json_is_array(list)) || n > XB_SAN_MAX)
        return SL_FAIL(err, SL_USAGE, "argument \"san\": expected a list of at most %d texts",
                       XB_SAN_MAX);
    for (size_t i = 0; i < n; i++) {
        san[i] = json_string_value(json_array_get(list, i));
        if (!san[i])
            return SL_FAIL(err, SL_USAGE, "argument \"san\": expected texts");
    }
    SL_AUTO_SECRET text = { 0 };
    SL_TRY(sl_ca_challenge(a->ca, name, san, n, ttl_s, j->now, &text, err));
    json_object_set_new(j->result, "challenge", json_stringn((const char *)text.p, text.len));
    json_object_set_new(j->result, "name", json_string(name));
    set_time(j->result, "expires", j->now + ttl_s);
    return SL_OK;
}

static enum sl_rc list_request(void *ctx, const struct sl_request *r, struct sl_err *err)
{
    json_t *o = json_object();
    GENERAL_NAMES *san = NULL;
    uint8_t digest[32];
    char hex[65];
    json_object_set_new(o, "id", json_integer(r->id));
    json_object_set_new(o, "subject", json_string(r->subject_text));
    if (xb_san_read(&san, r->san, err) != SL_OK)
        sl_err_reset(err);
    set_san(o, san);
    GENERAL_NAMES_free(san);
    set_key(o, r->spki);
    xb_sha256_spki(digest, r->spki);
    json_object_set_new(o, "sha256", json_string(sl_hex(hex, sizeof(hex), sl_bytes(digest, 32))));
    set_time(o, "since", r->created);
    json_object_set_new(o, "from", json_string(r->source));
    json_array_append_new(ctx, o);
    return SL_OK;
}

static enum sl_rc run_pending(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    json_t *list = json_array();
    json_object_set_new(j->result, "requests", list);
    return sl_store_request_each(a->store, SL_REQUEST_PENDING, list_request, list, err);
}

static enum sl_rc run_approve(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    int64_t id;
    char serial[SL_SERIAL_TEXT];
    SL_TRY(arg_number(j->args, "id", 0, &id, err));
    SL_TRY(sl_ca_approve(a->ca, id, j->now, serial, err));
    json_object_set_new(j->result, "serial", json_string(serial));
    return SL_OK;
}

static enum sl_rc run_reject(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    int64_t id;
    const char *reason;
    SL_TRY(arg_number(j->args, "id", 0, &id, err));
    SL_TRY(arg_text(j->args, "reason", "", &reason, err));
    return sl_ca_reject(a->ca, id, reason, j->now, err);
}

/* ---- certificates ------------------------------------------------------------------------------------------------ */

static json_t *row_json(const struct sl_cert_row *row, int64_t now, X509 **keep)
{
    X509 *x = NULL;
    if (xb_cert_read(&x, row->der, NULL) != SL_OK)
        return NULL;
    json_t *o = certificate_json(x, row->kind);
    const char *state = row->state == SL_CERT_REVOKED ? "revoked"
                        : row->not_after < now        ? "expired"
                                                      : "valid";
    json_object_set_new(o, "state", json_string(state));
    if (row->request)
        json_object_set_new(o, "request", json_integer(row->request));
    if (row->state == SL_CERT_REVOKED) {
        set_time(o, "revoked_at", row->revoked);
        json_object_set_new(o, "reason", json_string(sl_ca_reason_text(row->reason)));
    }
    if (keep)
        *keep = x;
    else
        X509_free(x);
    return o;
}

struct listing {
    json_t *list;
    bool all;
    int64_t now;
};

static enum sl_rc list_cert(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    struct listing *l = ctx;
    bool plain = row->state == SL_CERT_ISSUED && row->not_after >= l->now &&
                 strcmp(row->kind, "device") == 0;
    if (!l->all && !plain)
        return SL_OK;
    if (json_array_size(l->list) >= LIST_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "more than %d certificates", LIST_MAX);
    json_t *o = row_json(row, l->now, NULL);
    if (!o)
        return SL_FAIL(err, SL_STORE, "certificate %s cannot be read", row->serial);
    json_array_append_new(l->list, o);
    return SL_OK;
}

static enum sl_rc run_list(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    struct listing l = { .list = json_array(), .all = arg_true(j->args, "all"), .now = j->now };
    json_object_set_new(j->result, "certificates", l.list);
    enum sl_rc rc = sl_store_cert_each(a->store, 0, list_cert, &l, err);
    if (rc != SL_TOO_LARGE)
        return rc;
    sl_err_reset(err);
    json_object_set_new(j->result, "truncated", json_true());
    return SL_OK;
}

static enum sl_rc arg_serial(const json_t *args, char out[SL_SERIAL_TEXT], struct sl_err *err)
{
    const char *text;
    SL_TRY(arg_text(args, "serial", NULL, &text, err));
    if (!xb_serial_parse(out, text))
        return SL_FAIL(err, SL_USAGE, "argument \"serial\": expected 1 to 20 octets in hex");
    return SL_OK;
}

static enum sl_rc show_cert(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    struct ctl_job *j = ctx;
    X509 *x = NULL;
    json_t *o = row_json(row, j->now, &x);
    if (!o)
        return SL_FAIL(err, SL_NOT_FOUND, "no certificate with serial %s", row->serial);
    json_object_update(j->result, o);
    json_decref(o);
    json_object_set_new(j->result, "pem", pem_json(x, NULL));
    X509_free(x);
    return SL_OK;
}

static enum sl_rc run_show(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    char serial[SL_SERIAL_TEXT];
    SL_TRY(arg_serial(j->args, serial, err));
    return sl_store_cert_get(a->store, serial, show_cert, j, err);
}

/* ---- revocation ---------------------------------------------------------------------------------------------------- */

struct revoked_cert {
    char kind[16], subject[512];
    struct sl_buf issuer;
};

static enum sl_rc keep_revoked(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    struct revoked_cert *r = ctx;
    X509 *x = NULL;
    (void)snprintf(r->kind, sizeof(r->kind), "%s", row->kind);
    (void)snprintf(r->subject, sizeof(r->subject), "%s", row->subject_text);
    SL_TRY(xb_cert_read(&x, row->der, err));
    enum sl_rc rc = xb_name_der(&r->issuer, X509_get_issuer_name(x), err);
    X509_free(x);
    return rc;
}

static enum sl_rc run_revoke(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    char serial[SL_SERIAL_TEXT];
    const char *reason;
    int code;
    SL_TRY(arg_serial(j->args, serial, err));
    SL_TRY(arg_text(j->args, "reason", "unspecified", &reason, err));
    if (!sl_ca_reason_parse(&code, reason))
        return SL_FAIL(err, SL_USAGE,
                       "argument \"reason\": expected unspecified, keyCompromise, cACompromise,"
                       " affiliationChanged, superseded, cessationOfOperation or"
                       " privilegeWithdrawn (RFC 5280 5.3.1)");
    SL_TRY(sl_ca_revoke(a->ca, serial, code, j->now, err));
    struct revoked_cert r = { 0 };
    struct revocation *tell = &j->revocation;
    enum sl_rc rc = sl_store_cert_get(a->store, serial, keep_revoked, &r, err);
    enum sl_ca_role by = strcmp(r.kind, "issuing") == 0 ? SL_CA_ROOT : SL_CA_ISSUING;
    int64_t number = 0, from, to;
    if (rc == SL_OK)
        rc = sl_store_crl_get(a->store, sl_ca_role_text(by), &tell->crl, &number, &from, &to, err);
    tell->issuer = r.issuer;
    if (rc == SL_OK && !sl_unhex(&tell->serial, serial))
        rc = SL_FAIL_MEM(err);
    /* as in the INTEGER: a leading zero where the first bit is set */
    if (rc == SL_OK && tell->serial.len && tell->serial.p[0] & 0x80) {
        SL_AUTO_BUF signed_form = { 0 };
        if (!sl_buf_put(&signed_form, sl_bytes("", 1)) ||
            !sl_buf_put(&signed_form, sl_buf_bytes(&tell->serial)))
            rc = SL_FAIL_MEM(err);
        struct sl_buf swap = tell->serial;
        tell->serial = signed_form;
        signed_form = swap;
    }
    SL_TRY(rc);
    tell->told = true;
    tell->reason = code;
    tell->utc_s = j->now;
    json_object_set_new(j->result, "serial", json_string(serial));
    json_object_set_new(j->result, "subject", json_string(r.subject));
    json_object_set_new(j->result, "number", json_integer(number));
    return SL_OK;
}

static enum sl_rc run_crl(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    enum sl_ca_role by = arg_true(j->args, "root") ? SL_CA_ROOT : SL_CA_ISSUING;
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_BUF stored = { 0 };
    int64_t number, from, to;
    char issuer[512];
    SL_TRY(sl_ca_crl(a->ca, by, arg_true(j->args, "new"), j->now, &der, err));
    SL_TRY(sl_store_crl_get(a->store, sl_ca_role_text(by), &stored, &number, &from, &to, err));
    const uint8_t *p = der.p;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.len);
    if (!crl)
        return SL_FAIL_SSL(err, SL_STORE, "CRL %lld cannot be read", (long long)number);
    json_object_set_new(
        j->result, "issuer",
        json_string(xb_name_text(issuer, sizeof(issuer), X509_CRL_get_issuer(crl))));
    json_object_set_new(j->result, "number", json_integer(number));
    set_time(j->result, "this_update", from);
    set_time(j->result, "next_update", to);
    int entries = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl));
    json_object_set_new(j->result, "entries", json_integer(entries < 0 ? 0 : entries));
    json_object_set_new(j->result, "url",
                        json_sprintf("%s/crl/%s.crl", a->conf->base_url, sl_ca_role_text(by)));
    json_object_set_new(j->result, "pem", pem_json(NULL, crl));
    X509_CRL_free(crl);
    return SL_OK;
}

/* ---- status ---------------------------------------------------------------------------------------------------------- */

static void problem(json_t *list, const char *text, const char *what_to_do)
{
    json_array_append_new(list, json_pack("{s:s, s:s}", "text", text, "do", what_to_do));
}

static void check_ca_end(struct authority *a, int64_t now, json_t *problems)
{
    char text[128], when[SL_TIME_TEXT];
    for (int r = SL_CA_ROOT; r <= SL_CA_ISSUING; r++) {
        X509 *x = sl_ca_cert_get(a->ca, (enum sl_ca_role)r);
        int64_t end;
        if (!x || !xb_time(&end, X509_get0_notAfter(x)) || end - now > CA_END_WARN_S)
            continue;
        (void)snprintf(text, sizeof(text), "the %s CA certificate ends %s",
                       sl_ca_role_text((enum sl_ca_role)r), sl_time_text(when, end));
        problem(problems, text, "plan its replacement: certificates never outlive their CA's");
    }
}

static enum sl_rc run_status(struct authority *a, struct ctl_job *j, struct sl_err *err)
{
    json_t *problems = json_array();
    struct sl_store_counts n;
    json_object_set_new(j->result, "problems", problems);
    json_object_set_new(j->result, "initialised", json_boolean(sl_ca_ready(a->ca)));
    SL_TRY(sl_store_count(a->store, j->now, &n, err));
    json_object_set_new(j->result, "pending", json_integer(n.pending));
    json_object_set_new(j->result, "valid", json_integer(n.issued));
    json_object_set_new(j->result, "revoked", json_integer(n.revoked));
    json_object_set_new(j->result, "challenges", json_integer(n.challenges));
    json_object_set_new(j->result, "audit_waiting", json_integer((json_int_t)a->spool_n));
    if (!sl_ca_ready(a->ca)) {
        problem(problems, "there is no authority yet", "make one: sealane ca init --name NAME");
        return SL_OK;
    }
    X509 *root = sl_ca_cert_get(a->ca, SL_CA_ROOT);
    json_t *cert = certificate_json(root, "root");
    json_object_set(j->result, "name", json_object_get(cert, "subject"));
    json_object_set(j->result, "fingerprint", json_object_get(cert, "sha256"));
    json_decref(cert);
    SL_AUTO_BUF crl = { 0 };
    int64_t number, from, to;
    if (sl_store_crl_get(a->store, "issuing", &crl, &number, &from, &to, err) == SL_OK) {
        json_object_set_new(j->result, "crl_number", json_integer(number));
        set_time(j->result, "crl_next_update", to);
        if (j->now > to)
            problem(problems, "the CRL is past its nextUpdate",
                    "see the log for why no new one was made: journalctl -u sealaned");
    }
    sl_err_reset(err);
    if (a->spool_n)
        problem(problems, "audit records wait for the identity process",
                "see `sealane status`: is identity running?");
    check_ca_end(a, j->now, problems);
    return SL_OK;
}

/* ---- the way of a verb -------------------------------------------------------------------------------------------------- */

static void work(struct authority *a, struct job *job)
{
    struct ctl_job *j = (struct ctl_job *)job;
    j->now = sl_clock_utc_s();
    j->result = json_object();
    enum sl_rc rc = j->run(a, j, &j->err);
    if (rc != SL_OK && j->err.rc == SL_OK)
        j->err.rc = rc;
    if (rc == SL_OK)
        sl_err_reset(&j->err);
    ERR_clear_error();
}

static void answer(struct authority *a, struct job *job)
{
    struct ctl_job *j = (struct ctl_job *)job;
    if (job->dropped)
        proc_ctl_reply(j->q, SL_UNAVAILABLE, "the authority has too much to do", NULL, false);
    else if (j->err.rc != SL_OK)
        proc_ctl_fail(j->q, &j->err);
    else
        proc_ctl_reply(j->q, SL_OK, "", j->result, false);
    authority_tell_revoked(a, &j->revocation);
}

static void clear(struct job *job)
{
    struct ctl_job *j = (struct ctl_job *)job;
    json_decref(j->args);
    json_decref(j->result);
    revocation_clear(&j->revocation);
}

static void post(struct authority *a, struct proc_ctl *q, const json_t *args,
                 enum sl_rc (*run)(struct authority *, struct ctl_job *, struct sl_err *))
{
    struct ctl_job *j = calloc(1, sizeof(*j));
    json_t *copy = json_deep_copy(args);
    if (!j || !copy) {
        free(j);
        json_decref(copy);
        proc_ctl_reply(q, SL_NO_MEMORY, "", NULL, false);
        return;
    }
    j->job = (struct job){ .work = work, .answer = answer, .clear = clear };
    j->q = q;
    j->args = copy;
    j->run = run;
    authority_post(a, &j->job);
}

#define VERB(name)                                                             \
    static void verb_##name(void *ctx, struct proc_ctl *q, const json_t *args) \
    {                                                                          \
        post(ctx, q, args, run_##name);                                        \
    }
VERB(init)
VERB(challenge)
VERB(pending)
VERB(approve)
VERB(reject)
VERB(list)
VERB(show)
VERB(revoke)
VERB(crl)
VERB(status)

static const struct proc_verb verbs[] = {
    { "ca.init", verb_init },       { "ca.challenge", verb_challenge },
    { "ca.pending", verb_pending }, { "ca.approve", verb_approve },
    { "ca.reject", verb_reject },   { "ca.list", verb_list },
    { "ca.show", verb_show },       { "ca.revoke", verb_revoke },
    { "ca.crl", verb_crl },         { "status", verb_status },
};

void authority_verbs(struct authority *a)
{
    proc_control(a->p, verbs, SL_ARRAY_LEN(verbs));
}
