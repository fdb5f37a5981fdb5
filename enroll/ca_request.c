/*
 * Requests for certificates: challenges, what a request may ask for, its way from asking to issuing,
 * and an operator's decisions. Signing and the store's order are ca.c's.
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

#define MAX_PENDING     1000 /* requests that wait for an operator */
#define CHALLENGE_MAX_S (365LL * 24 * 3600)

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
    int64_t from = ca_cert_time(X509_get0_notBefore(old)),
            to = ca_cert_time(X509_get0_notAfter(old));
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
                           sl_ca_role_text((enum sl_ca_role)i));
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
    int64_t end = ca_cert_time(X509_get0_notAfter(issuer->cert));
    if (now >= end)
        return SL_FAIL(err, SL_CERT_EXPIRED, "the issuing CA's own certificate has expired");
    SL_TRY(ca_take_serial(ca, "device", r->id, now, r->serial, err));
    struct xb_cert c = {
        .serial = r->serial,
        .subject = subject,
        .issuer = X509_get_subject_name(issuer->cert),
        .key = key,
        .issuer_cert = issuer->cert,
        .not_before = now - CA_BACKDATE_S,
        .not_after = ca_earlier(now + ca->env.conf->lifetime_s, end),
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
    SL_TRY(ca_sign_and_store(ca, &c, issuer->pkey, "device", r->id, NULL, now, &x, err));
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
