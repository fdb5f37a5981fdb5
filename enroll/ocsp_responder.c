/*
 * OCSP responder (RFC 6960) for what the issuing CA signed (its own status is in the root CRL):
 * reads the record, signs with the delegated responder's key. A serial that is not on
 * record is unknown, never good (RFC 6960 2.2).
 */
#include "enroll/ca_internal.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>
#include <time.h>

#define MAX_ASKED 16  /* certificates in one request */
#define MAX_NONCE 128 /* RFC 9654 2.1 */

XB_AUTO_DEFINE(OCSP_REQUEST, OCSP_REQUEST_free)
XB_AUTO_DEFINE(OCSP_RESPONSE, OCSP_RESPONSE_free)
XB_AUTO_DEFINE(OCSP_BASICRESP, OCSP_BASICRESP_free)

struct status {
    int code, reason; /* V_OCSP_CERTSTATUS_..., CRLReason */
    int64_t revoked;
    bool by_root;
};

static enum sl_rc keep_status(void *ctx, const struct sl_cert_row *row, struct sl_err *err)
{
    (void)err;
    struct status *s = ctx;
    s->by_root = strcmp(row->kind, "issuing") == 0 || strcmp(row->kind, "root") == 0;
    s->revoked = row->revoked;
    s->reason = row->reason;
    if (row->state == SL_CERT_ISSUED)
        s->code = V_OCSP_CERTSTATUS_GOOD;
    else if (row->state == SL_CERT_REVOKED)
        s->code = V_OCSP_CERTSTATUS_REVOKED;
    return SL_OK;
}

/* Whether id was made with the name and key of issuer; its hash algorithm is the asker's choice. */
static bool issued_by(OCSP_CERTID *id, X509 *issuer)
{
    ASN1_OBJECT *alg = NULL;
    if (OCSP_id_get0_info(NULL, &alg, NULL, NULL, id) != 1)
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(alg);
    OCSP_CERTID *ours = md ? OCSP_cert_to_id(md, NULL, issuer) : NULL;
    bool same = ours && OCSP_id_issuer_cmp(ours, id) == 0;
    OCSP_CERTID_free(ours);
    return same;
}

static enum sl_rc look_up(struct sl_ca *ca, OCSP_CERTID *id, struct status *out, struct sl_err *err)
{
    *out = (struct status){ .code = V_OCSP_CERTSTATUS_UNKNOWN };
    bool issuing = issued_by(id, ca->member[SL_CA_ISSUING].cert);
    ERR_clear_error(); /* an unknown hash algorithm is no failure of ours */
    ASN1_INTEGER *serial = NULL;
    char hex[SL_SERIAL_TEXT];
    if (!issuing || OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) != 1 ||
        !xb_serial_text(hex, serial))
        return SL_OK;
    struct status found = { .code = V_OCSP_CERTSTATUS_UNKNOWN };
    enum sl_rc rc = sl_store_cert_get(ca->env.store, hex, keep_status, &found, err);
    if (rc == SL_NOT_FOUND) {
        sl_err_reset(err);
        return SL_OK;
    }
    SL_TRY(rc);
    if (!found.by_root)
        *out = found;
    return SL_OK;
}

static enum sl_rc add_status(struct sl_ca *ca, OCSP_BASICRESP *basic, OCSP_ONEREQ *one, int64_t now,
                             struct sl_err *err)
{
    OCSP_CERTID *id = OCSP_onereq_get0_id(one);
    struct status s;
    SL_TRY(look_up(ca, id, &s, err));
    ASN1_TIME *from = ASN1_TIME_adj(NULL, (time_t)now, 0, 0);
    ASN1_TIME *to = ASN1_TIME_adj(NULL, (time_t)(now + ca->env.conf->ocsp_lifetime_s), 0, 0);
    ASN1_TIME *when = s.revoked ? ASN1_TIME_adj(NULL, (time_t)s.revoked, 0, 0) : NULL;
    bool ok = from && to && (!s.revoked || when) &&
              OCSP_basic_add1_status(basic, id, s.code,
                                     s.reason ? s.reason : OCSP_REVOKED_STATUS_NOSTATUS, when, from,
                                     to) != NULL;
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(when);
    return ok ? SL_OK : SL_FAIL_SSL(err, SL_CRYPTO, "OCSP status cannot be built");
}

/* producedAt is set by libcrypto from the clock; a core gets its time from the caller. */
static bool set_produced_at(OCSP_BASICRESP *basic, int64_t now)
{
    const ASN1_GENERALIZEDTIME *t = OCSP_resp_get0_produced_at(basic);
    return ASN1_GENERALIZEDTIME_adj((ASN1_GENERALIZEDTIME *)t, (time_t)now, 0, 0) != NULL;
}

/* A responder's signature over the response as it stands; the signer's certificate goes along. */
static enum sl_rc sign(struct sl_ca *ca, OCSP_BASICRESP *basic, int64_t now, struct sl_err *err)
{
    struct ca_member *m = &ca->member[SL_CA_OCSP];
    const EVP_MD *md = xb_digest(m->pkey);
    /* OCSP_NOTIME leaves producedAt to us */
    if (!set_produced_at(basic, now) ||
        OCSP_basic_sign(basic, m->cert, m->pkey, md, NULL, OCSP_NOTIME) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO, "OCSP response cannot be signed");
    return SL_OK;
}

/* SL_OK with *status set to an error the asker is told, or to SUCCESSFUL and *basic filled. */
static enum sl_rc judge(struct sl_ca *ca, struct sl_bytes der, int64_t now, int *status,
                        OCSP_BASICRESP *basic, bool *nonced, struct sl_err *err)
{
    *status = OCSP_RESPONSE_STATUS_MALFORMEDREQUEST;
    const uint8_t *p = der.p;
    XB_AUTO(OCSP_REQUEST) *req =
        der.len > LONG_MAX ? NULL : d2i_OCSP_REQUEST(NULL, &p, (long)der.len);
    if (!req || p != der.p + der.len)
        return SL_OK;
    int n = OCSP_request_onereq_count(req);
    if (n < 1 || n > MAX_ASKED)
        return SL_OK;
    int at = OCSP_REQUEST_get_ext_by_NID(req, NID_id_pkix_OCSP_Nonce, -1);
    if (at >= 0) {
        X509_EXTENSION *ext = OCSP_REQUEST_get_ext(req, at);
        if (ASN1_STRING_length(X509_EXTENSION_get_data(ext)) > MAX_NONCE + 4)
            return SL_OK;
        *nonced = true;
    }
    if (!sl_ca_ready(ca)) {
        *status = OCSP_RESPONSE_STATUS_TRYLATER;
        return SL_OK;
    }
    for (int i = 0; i < n; i++)
        SL_TRY(add_status(ca, basic, OCSP_request_onereq_get0(req, i), now, err));
    if (*nonced && OCSP_copy_nonce(basic, req) != 1)
        return SL_FAIL_SSL(err, SL_CRYPTO, "OCSP nonce cannot be copied");
    SL_TRY(sign(ca, basic, now, err));
    *status = OCSP_RESPONSE_STATUS_SUCCESSFUL;
    return SL_OK;
}

enum sl_rc sl_ca_ocsp(struct sl_ca *ca, struct sl_bytes request, int64_t now,
                      struct sl_buf *response, int64_t *max_age_s, struct sl_err *err)
{
    XB_AUTO(OCSP_BASICRESP) *basic = OCSP_BASICRESP_new();
    if (!basic)
        return SL_FAIL_MEM(err);
    int status;
    bool nonced = false;
    if (judge(ca, request, now, &status, basic, &nonced, err) != SL_OK)
        status = OCSP_RESPONSE_STATUS_INTERNALERROR;
    ERR_clear_error();
    bool good = status == OCSP_RESPONSE_STATUS_SUCCESSFUL;
    XB_AUTO(OCSP_RESPONSE) *resp = OCSP_response_create(status, good ? basic : NULL);
    uint8_t *p = NULL;
    int len = resp ? i2d_OCSP_RESPONSE(resp, &p) : -1;
    if (len <= 0)
        return SL_FAIL_SSL(err, SL_CRYPTO, "OCSP response cannot be encoded");
    bool ok = sl_buf_put(response, sl_bytes(p, (size_t)len));
    OPENSSL_free(p);
    *max_age_s = good && !nonced ? ca->env.conf->ocsp_lifetime_s / 2 : 0;
    return ok ? SL_OK : SL_FAIL_MEM(err);
}
