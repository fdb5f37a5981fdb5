/*
 * SCEP client (RFC 8894): one enrolment or renewal as a state machine.
 *
 *   GetCACaps   -->                        what the server can
 *   GetCACert   -->                        its certificates, held against the pin
 *   PKCSReq or RenewalReq  -->
 *               <--  CertRep PENDING       then CertPoll from time to time
 *               <--  CertRep SUCCESS       verified before it is handed out
 *
 * Nothing secret leaves before the CA's certificate has been held against its pin. A certificate
 * is handed out only when the answer is signed by the CA or its RA, belongs to the request (nonce,
 * transaction), is for our key, chains to the pinned CA, is valid now and, in a renewal, is new.
 */
#include "enroll/scep_message.h"
#include "sealane/certs.h"
#include "sealane/time.h"

#include <ctype.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define POLL_DEFAULT_S    60
#define GIVE_UP_DEFAULT_S (7 * 24 * 3600)
#define CLOCK_SKEW_S      300 /* how far a new certificate's notBefore may lie in our future */
#define URL_MAX           2048
#define CHAIN_MAX         8

enum state { S_CAPS, S_CA_CERT, S_REQUEST, S_WAIT, S_POLL, S_DONE, S_FAILED };

static const struct {
    enum sl_enrollment_want want;
    const char *story;
} states[] = {
    [S_CAPS] = { SL_ENROLLMENT_HTTP, "asking what the server can" },
    [S_CA_CERT] = { SL_ENROLLMENT_HTTP, "asking for the CA certificate" },
    [S_REQUEST] = { SL_ENROLLMENT_HTTP, "sending the request" },
    [S_WAIT] = { SL_ENROLLMENT_WAIT, "waiting for approval" },
    [S_POLL] = { SL_ENROLLMENT_HTTP, "asking whether the request is approved" },
    [S_DONE] = { SL_ENROLLMENT_DONE, "certificate received and verified" },
    [S_FAILED] = { SL_ENROLLMENT_FAILED, "enrolment failed" },
};

struct own_key { /* a struct sl_key with its own copies */
    struct sl_key key;
    char name[128];
    struct sl_buf spki;
    EVP_PKEY *pkey; /* does its private operations through ops */
};

struct sl_enrollment {
    enum state state;
    char url[URL_MAX], ca_id[256];
    bool first_use, legacy, renewal, post;
    uint8_t pin[32];
    bool pinned;
    struct sl_secret challenge;
    struct sl_rng rng;
    int64_t poll_s, give_up_s, deadline, wait_until;
    struct scep_algs algs;
    struct own_key key, transport, old_key;
    X509 *old_cert;
    X509_NAME *subject;
    GENERAL_NAMES *san;

    uint32_t caps;
    int digest_nid, cipher_nid;
    STACK_OF(X509) * ca_certs;       /* that chain to the anchor, which is one of them */
    X509 *anchor, *issuer, *encrypt; /* of ca_certs */
    STACK_OF(X509) * signers;        /* of ca_certs */
    char fingerprint[65], transaction_id[65];
    X509 *signer;               /* of our messages */
    struct own_key *signer_key; /* of key, transport, old_key */
    uint8_t nonce[SCEP_NONCE_LEN];

    struct sl_buf long_url; /* of the exchange asked for */
    struct sl_buf body;
    struct sl_buf cert, chain[CHAIN_MAX];
    size_t chain_n;
    char serial[SL_SERIAL_TEXT];
    int64_t not_before, not_after;
};

/* ---- keys ------------------------------------------------------------------------------------------------ */

static bool key_given(const struct sl_key *k)
{
    return k->name && k->name[0];
}

static enum sl_rc key_take(struct own_key *out, const struct sl_key *k, struct sl_err *err)
{
    if (!key_given(k))
        return SL_OK;
    if (snprintf(out->name, sizeof(out->name), "%s", k->name) >= (int)sizeof(out->name))
        return SL_FAIL(err, SL_USAGE, "name of a key is too long");
    if (!sl_buf_put(&out->spki, k->spki))
        return SL_FAIL_MEM(err);
    out->key =
        (struct sl_key){ .ops = k->ops, .name = out->name, .spki = sl_buf_bytes(&out->spki) };
    return sl_key_pkey(&out->pkey, &out->key, err);
}

static void key_clear(struct own_key *k)
{
    EVP_PKEY_free(k->pkey);
    sl_buf_clear(&k->spki);
}

static bool key_is_rsa(const struct own_key *k)
{
    uint16_t bits;
    return k->pkey && sl_spki_type(sl_buf_bytes(&k->spki), &bits) == SL_KEY_RSA;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static enum sl_rc take_pin(struct sl_enrollment *e, const char *hex, struct sl_err *err)
{
    if (!hex || !hex[0])
        return SL_OK;
    SL_AUTO_BUF raw = { 0 };
    if (!sl_unhex(&raw, hex) || raw.len != sizeof(e->pin))
        return SL_FAIL(
            err, SL_CONFIG_VALUE,
            "fingerprint \"%s\": expected the SHA-256 of the CA certificate, 64 hex digits", hex);
    memcpy(e->pin, raw.p, sizeof(e->pin));
    e->pinned = true;
    return SL_OK;
}

static enum sl_rc take_names(struct sl_enrollment *e, const struct sl_enrollment_conf *c,
                             struct sl_err *err)
{
    if (c->subject && c->subject[0]) {
        SL_AUTO_BUF der = { 0 };
        SL_TRY(sl_dn_parse(&der, c->subject, err));
        SL_TRY(xb_name_read(&e->subject, sl_buf_bytes(&der), err));
    } else if (e->old_cert) {
        e->subject = X509_NAME_dup(X509_get_subject_name(e->old_cert));
    } else {
        e->subject = X509_NAME_new();
    }
    if (!e->subject)
        return SL_FAIL_MEM(err);
    if (e->old_cert && c->san_n == 0)
        e->san = X509_get_ext_d2i(e->old_cert, NID_subject_alt_name, NULL, NULL);
    if (!e->san)
        e->san = GENERAL_NAMES_new();
    if (!e->san)
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < c->san_n; i++)
        SL_TRY(xb_san_add(e->san, c->san[i], err));
    if (X509_NAME_entry_count(e->subject) == 0 && sk_GENERAL_NAME_num(e->san) == 0)
        return SL_FAIL(err, SL_CONFIG_VALUE, "neither a subject nor an alternative name is given");
    return SL_OK;
}

/* One transaction for one key (and, in a renewal, one old certificate), also after a restart. */
static enum sl_rc make_transaction(struct sl_enrollment *e, struct sl_bytes old_cert,
                                   struct sl_err *err)
{
    SL_AUTO_BUF b = { 0 };
    if (!sl_buf_put(&b, sl_buf_bytes(&e->key.spki)) || !sl_buf_put(&b, old_cert))
        return SL_FAIL_MEM(err);
    uint8_t digest[32];
    sl_sha2(256, sl_buf_bytes(&b), digest);
    sl_hex(e->transaction_id, sizeof(e->transaction_id), sl_bytes(digest, sizeof(digest)));
    return SL_OK;
}

static enum sl_rc take_keys(struct sl_enrollment *e, const struct sl_enrollment_conf *c,
                            struct sl_err *err)
{
    if (!key_given(&c->key))
        return SL_FAIL(err, SL_USAGE, "no key is given");
    SL_TRY(key_take(&e->key, &c->key, err));
    SL_TRY(key_take(&e->transport, &c->transport, err));
    e->renewal = key_given(&c->old_key);
    if (e->renewal) {
        SL_TRY(key_take(&e->old_key, &c->old_key, err));
        SL_TRY(xb_cert_read(&e->old_cert, c->old_cert, err));
    }
    bool direct = e->renewal ? key_is_rsa(&e->old_key) : key_is_rsa(&e->key);
    if (!direct && !key_is_rsa(&e->transport))
        return SL_FAIL(err, SL_USAGE,
                       "key %s cannot decrypt SCEP's answer: an RSA transport key is needed",
                       e->renewal ? e->old_key.name : e->key.name);
    return SL_OK;
}

static enum sl_rc ask_caps(struct sl_enrollment *e, struct sl_err *err);

static enum sl_rc init(struct sl_enrollment *e, const struct sl_enrollment_conf *c, int64_t now,
                       struct sl_err *err)
{
    const char *ca_id = c->ca_id ? c->ca_id : "";
    if ((strncasecmp(c->url, "http://", 7) != 0 && strncasecmp(c->url, "https://", 8) != 0) ||
        strlen(c->url) > 1024)
        return SL_FAIL(err, SL_CONFIG_VALUE,
                       "SCEP url: expected http:// or https://, 1024 bytes at most");
    if (strlen(ca_id) >= sizeof(e->ca_id))
        return SL_FAIL(err, SL_CONFIG_VALUE, "ca_id is longer than %zu bytes",
                       sizeof(e->ca_id) - 1);
    snprintf(e->url, sizeof(e->url), "%s", c->url);
    snprintf(e->ca_id, sizeof(e->ca_id), "%s", ca_id);
    e->rng = c->rng;
    e->legacy = c->legacy;
    e->first_use = c->trust_on_first_use;
    e->poll_s = c->poll_s > 0 ? c->poll_s : POLL_DEFAULT_S;
    e->give_up_s = c->give_up_s > 0 ? c->give_up_s : GIVE_UP_DEFAULT_S;
    e->deadline = now + e->give_up_s;
    SL_TRY(take_pin(e, c->fingerprint, err));
    SL_TRY(scep_algs_init(&e->algs, c->legacy, err));
    SL_TRY(take_keys(e, c, err));
    SL_TRY(take_names(e, c, err));
    SL_TRY(make_transaction(e, c->old_cert, err));
    if (c->challenge.len)
        SL_TRY(sl_secret_copy(&e->challenge, c->challenge, err));
    return ask_caps(e, err);
}

enum sl_rc sl_enrollment_new(struct sl_enrollment **out, const struct sl_enrollment_conf *conf,
                             int64_t now, struct sl_err *err)
{
    struct sl_enrollment *e = calloc(1, sizeof(*e));
    if (!e)
        return SL_FAIL_MEM(err);
    enum sl_rc rc = init(e, conf, now, err);
    if (rc == SL_OK)
        *out = e;
    else
        sl_enrollment_free(e);
    return rc;
}

void sl_enrollment_free(struct sl_enrollment *e)
{
    if (!e)
        return;
    sl_secret_clear(&e->challenge);
    X509_free(e->signer);
    X509_free(e->old_cert);
    X509_NAME_free(e->subject);
    GENERAL_NAMES_free(e->san);
    sk_X509_free(e->signers);
    xb_x509_stack_free(e->ca_certs);
    key_clear(&e->key);
    key_clear(&e->transport);
    key_clear(&e->old_key);
    scep_algs_clear(&e->algs);
    sl_buf_clear(&e->long_url);
    sl_buf_clear(&e->body);
    sl_buf_clear(&e->cert);
    for (size_t i = 0; i < CHAIN_MAX; i++)
        sl_buf_clear(&e->chain[i]);
    free(e);
}

/* ---- questions ------------------------------------------------------------------------------------------------ */

/* Appends text with all but unreserved characters escaped (RFC 3986 2.3). */
static bool put_escaped(struct sl_buf *b, struct sl_bytes text)
{
    bool ok = true;
    for (size_t i = 0; i < text.len && ok; i++) {
        uint8_t c = text.p[i];
        bool plain = isascii(c) && (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~');
        ok = plain ? sl_buf_put(b, sl_bytes(&c, 1)) : sl_buf_printf(b, "%%%02X", c);
    }
    return ok;
}

/* url?operation=OPERATION[&message=MESSAGE] */
static enum sl_rc make_url(struct sl_enrollment *e, const char *operation, struct sl_bytes message,
                           struct sl_err *err)
{
    e->long_url.len = 0;
    bool ok = sl_buf_printf(&e->long_url, "%s%coperation=%s", e->url,
                            strchr(e->url, '?') ? '&' : '?', operation) &&
              (message.len == 0 ||
               (sl_buf_put_str(&e->long_url, "&message=") && put_escaped(&e->long_url, message))) &&
              sl_buf_nul(&e->long_url);
    return ok ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc ask_caps(struct sl_enrollment *e, struct sl_err *err)
{
    e->state = S_CAPS;
    return make_url(e, "GetCACaps", sl_str(e->ca_id), err);
}

static enum sl_rc ask_ca_cert(struct sl_enrollment *e, struct sl_err *err)
{
    e->state = S_CA_CERT;
    return make_url(e, "GetCACert", sl_str(e->ca_id), err);
}

/* Puts the message in body, or base64 in the URL where the server knows no POST (RFC 8894 4.1). */
static enum sl_rc ask_pki(struct sl_enrollment *e, struct sl_err *err)
{
    e->post = (e->caps & SL_SCEP_CAP_POST) != 0;
    if (e->post)
        return make_url(e, "PKIOperation", sl_bytes(NULL, 0), err);
    SL_AUTO_BUF text = { 0 };
    if (!sl_base64(&text, sl_buf_bytes(&e->body)))
        return SL_FAIL_MEM(err);
    e->body.len = 0;
    return make_url(e, "PKIOperation", sl_buf_bytes(&text), err);
}

/* ---- GetCACaps: what to speak ------------------------------------------------------------------------------------ */

static enum sl_rc choose_algorithms(struct sl_enrollment *e, struct sl_err *err)
{
    bool sha2 = e->caps & (SL_SCEP_CAP_SHA256 | SL_SCEP_CAP_SHA512);
    if (!(e->caps & SL_SCEP_CAP_AES) && !e->legacy)
        return SL_FAIL(err, SL_SCEP_LEGACY,
                       "server does not announce AES, so that %s is left: refused unless the option"
                       " `legacy` is set for it",
                       e->caps & SL_SCEP_CAP_DES3 ? "triple DES" : "single DES");
    if (!sha2 && !e->legacy)
        return SL_FAIL(err, SL_SCEP_LEGACY,
                       "server does not announce SHA-256 or SHA-512, so that SHA-1 is left: refused"
                       " unless the option `legacy` is set for it");
    e->digest_nid = e->caps & SL_SCEP_CAP_SHA256   ? NID_sha256
                    : e->caps & SL_SCEP_CAP_SHA512 ? NID_sha512
                                                   : NID_sha1;
    /* "AES" promises AES-128-CBC alone (RFC 8894 3.5.2); our own server takes 256 too */
    if (e->caps & SL_SCEP_CAP_AES)
        e->cipher_nid = e->caps & SL_SCEP_CAP_PROOF ? NID_aes_256_cbc : NID_aes_128_cbc;
    else
        e->cipher_nid = e->caps & SL_SCEP_CAP_DES3 ? NID_des_ede3_cbc : NID_des_cbc;
    return SL_OK;
}

static enum sl_rc caps_in(struct sl_enrollment *e, int status, struct sl_bytes body,
                          struct sl_err *err)
{
    /* A server too old to know the question answers with an error: it can nothing of the list. */
    e->caps = status == 200 ? sl_scep_caps_read(sl_bytes_slice(body, 0, 4096)) : 0;
    if (status >= 500)
        return SL_FAIL(err, SL_SCEP_HTTP, "GetCACaps: HTTP status %d", status);
    SL_TRY(choose_algorithms(e, err));
    return ask_ca_cert(e, err);
}

/* ---- GetCACert: whom to trust --------------------------------------------------------------------------------------- */

static void fingerprint_of(X509 *x, uint8_t out[32])
{
    SL_AUTO_BUF der = { 0 };
    memset(out, 0, 32);
    if (xb_cert_der(&der, x, NULL) == SL_OK)
        sl_sha2(256, sl_buf_bytes(&der), out);
}

static bool is_ca(X509 *x)
{
    return X509_check_ca(x) == 1 || (X509_get_extension_flags(x) & EXFLAG_V1);
}

static bool issued(X509 *by, X509 *x)
{
    bool yes = X509_check_issued(by, x) == X509_V_OK;
    return yes;
}

static enum sl_rc read_ca_certs(xb_x509_stack **out, const char *content_type, struct sl_bytes body,
                                struct sl_err *err)
{
    bool one = strncasecmp(content_type, "application/x-x509-ca-cert", 26) == 0;
    bool many = strncasecmp(content_type, "application/x-x509-ca-ra-cert", 29) == 0;
    XB_AUTO(X509) *x = NULL;
    if (!many) {
        enum sl_rc rc = xb_cert_read(&x, body, err);
        if (rc == SL_OK) {
            xb_x509_stack *sk = sk_X509_new_null();
            if (!sk || sk_X509_push(sk, x) <= 0) {
                sk_X509_free(sk);
                return SL_FAIL_MEM(err);
            }
            x = NULL;
            *out = sk;
            return SL_OK;
        }
        if (one)
            return SL_FAIL(err, SL_SCEP_MALFORMED,
                           "GetCACert: the server's answer is not a certificate");
        sl_err_reset(err);
    }
    if (scep_certs_read(out, body, err) != SL_OK)
        return SL_WRAP(err, "GetCACert: the server's answer of type \"%.64s\"", content_type);
    return SL_OK;
}

/* The CA certificate of the list that has the pinned fingerprint; without a pin the topmost. */
static enum sl_rc find_anchor(struct sl_enrollment *e, STACK_OF(X509) * certs, X509 **out,
                              struct sl_err *err)
{
    char seen[65] = "";
    X509 *top = NULL;
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *x = sk_X509_value(certs, i);
        uint8_t fp[32];
        if (!is_ca(x))
            continue;
        fingerprint_of(x, fp);
        if (e->pinned && sl_ct_equal(sl_bytes(fp, 32), sl_bytes(e->pin, 32))) {
            *out = x;
            return SL_OK;
        }
        if (!top || issued(x, top)) /* a chain in any order ends at its root */
            top = x;
    }
    if (!top)
        return SL_FAIL(err, SL_SCEP_MALFORMED,
                       "GetCACert: no CA certificate in the server's answer");
    uint8_t fp[32];
    fingerprint_of(top, fp);
    sl_hex(seen, sizeof(seen), sl_bytes(fp, 32));
    snprintf(e->fingerprint, sizeof(e->fingerprint), "%s", seen); /* for whoever is to compare it */
    if (e->pinned)
        return SL_FAIL(err, SL_SCEP_FINGERPRINT,
                       "none of the server's CA certificates has the pinned fingerprint; it showed"
                       " one with SHA-256 %s",
                       seen);
    if (!e->first_use)
        return SL_FAIL(err, SL_SCEP_NO_PIN,
                       "no fingerprint is pinned for this server. It shows a CA certificate with"
                       " SHA-256 %s: compare it with what the CA's operator says and pin it, or use"
                       " --trust-on-first-use",
                       seen);
    *out = top;
    return SL_OK;
}

/* Does x chain to the anchor, with the list's other certificates in between? chain may be NULL. */
static bool chains(struct sl_enrollment *e, X509 *x, STACK_OF(X509) * between, int64_t now,
                   xb_x509_stack **chain)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok = store && ctx && X509_STORE_add_cert(store, e->anchor) == 1 &&
              X509_STORE_CTX_init(ctx, store, x, between) == 1;
    if (ok) {
        X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN);
        X509_VERIFY_PARAM_set_time(p, (time_t)now);
        ok = X509_verify_cert(ctx) == 1;
    }
    if (ok && chain)
        ok = (*chain = X509_STORE_CTX_get1_chain(ctx)) != NULL;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return ok;
}

/* Key usage allows bits, or says nothing. */
static bool usage(X509 *x, uint32_t bits)
{
    return (X509_get_key_usage(x) & bits) == bits;
}

/*
 * May this certificate be an RA's? One with an extended key usage for something else is a
 * device's: whoever holds it could step between us and the server with a list of his making.
 */
static bool may_be_ra(X509 *x)
{
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
    bool ok = eku == NULL && !(X509_get_extension_flags(x) & EXFLAG_XKUSAGE);
    XB_AUTO(ASN1_OBJECT) *agent = OBJ_txt2obj("1.3.6.1.4.1.311.20.2.1", 1); /* enrolment agent */
    for (int i = 0; i < sk_ASN1_OBJECT_num(eku) && !ok; i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(eku, i);
        ok = OBJ_obj2nid(o) == NID_cmcRA || OBJ_obj2nid(o) == NID_anyExtendedKeyUsage ||
             (agent && OBJ_cmp(o, agent) == 0);
    }
    sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
    return ok;
}

static bool rsa(X509 *x)
{
    EVP_PKEY *k = X509_get0_pubkey(x);
    return k && EVP_PKEY_is_a(k, "RSA") && EVP_PKEY_get_bits(k) >= 2048;
}

/*
 * RFC 8894 3.4: RA certificates, told apart by key usage, come before the CA's own. Among CA
 * certificates the lowest one issues.
 */
static enum sl_rc choose_roles(struct sl_enrollment *e, struct sl_err *err)
{
    X509 *ra_encrypt = NULL;
    e->signers = sk_X509_new_null();
    if (!e->signers)
        return SL_FAIL_MEM(err);
    for (int i = 0; i < sk_X509_num(e->ca_certs); i++) {
        X509 *x = sk_X509_value(e->ca_certs, i);
        if (is_ca(x)) {
            if (!e->issuer || issued(e->issuer, x))
                e->issuer = x;
            continue;
        }
        if (!rsa(x) || !may_be_ra(x))
            continue;
        if (!ra_encrypt && usage(x, KU_KEY_ENCIPHERMENT))
            ra_encrypt = x;
        if (usage(x, KU_DIGITAL_SIGNATURE) && sk_X509_push(e->signers, x) <= 0)
            return SL_FAIL_MEM(err);
    }
    e->encrypt = ra_encrypt ? ra_encrypt : e->issuer;
    /* without an RA the CA itself signs; some do so although their key usage forgets to say it */
    if (e->issuer && rsa(e->issuer) &&
        (sk_X509_num(e->signers) == 0 || usage(e->issuer, KU_DIGITAL_SIGNATURE)))
        if (sk_X509_push(e->signers, e->issuer) <= 0)
            return SL_FAIL_MEM(err);
    if (!e->encrypt || !rsa(e->encrypt))
        return SL_FAIL(err, SL_SCEP_CAPS,
                       "server offers no RSA certificate (2048 bits or more) to encrypt to");
    if (sk_X509_num(e->signers) == 0)
        return SL_FAIL(
            err, SL_SCEP_CAPS,
            "server offers no RSA certificate (2048 bits or more) that may sign answers");
    return SL_OK;
}

static enum sl_rc keep_chained(struct sl_enrollment *e, STACK_OF(X509) * certs, int64_t now,
                               struct sl_err *err)
{
    e->ca_certs = sk_X509_new_null();
    if (!e->ca_certs)
        return SL_FAIL_MEM(err);
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *x = sk_X509_value(certs, i);
        if (!chains(e, x, certs, now, NULL))
            continue;
        if (X509_up_ref(x) != 1 || sk_X509_push(e->ca_certs, x) <= 0)
            return SL_FAIL_MEM(err);
    }
    for (int i = 0; i < sk_X509_num(e->ca_certs); i++)
        if (sk_X509_value(e->ca_certs, i) == e->anchor)
            return SL_OK;
    return SL_FAIL(err, SL_CERT_EXPIRED, "the server's CA certificate is not valid at this time");
}

static enum sl_rc ask_request(struct sl_enrollment *e, int64_t now, struct sl_err *err);

static enum sl_rc ca_cert_in(struct sl_enrollment *e, int status, const char *content_type,
                             struct sl_bytes body, int64_t now, struct sl_err *err)
{
    if (status != 200)
        return SL_FAIL(err, SL_SCEP_HTTP, "GetCACert: HTTP status %d", status);
    XB_AUTO(xb_x509_stack) *certs = NULL;
    SL_TRY(read_ca_certs(&certs, content_type, body, err));
    SL_TRY(find_anchor(e, certs, &e->anchor, err));
    SL_TRY(keep_chained(e, certs, now, err));
    uint8_t fp[32];
    fingerprint_of(e->anchor, fp);
    sl_hex(e->fingerprint, sizeof(e->fingerprint), sl_bytes(fp, 32));
    SL_TRY(choose_roles(e, err));
    return ask_request(e, now, err);
}

/* ---- PKCSReq, RenewalReq, CertPoll -------------------------------------------------------------------------------- */

/* Signs with key and its certificate; x NULL: one of its own is made. */
static enum sl_rc speak_as(struct sl_enrollment *e, struct own_key *key, X509 *x, int64_t now,
                           struct sl_err *err)
{
    e->signer_key = key;
    if (x) {
        if (X509_up_ref(x) != 1)
            return SL_FAIL_MEM(err);
        e->signer = x;
        return SL_OK;
    }
    XB_AUTO(EVP_PKEY) *pub = NULL;
    SL_TRY(xb_spki_read(&pub, sl_buf_bytes(&key->spki), err));
    /* RFC 8894 2.3: the subject of the request; one without a subject takes the transaction's name */
    XB_AUTO(X509_NAME) *name = X509_NAME_dup(e->subject);
    if (!name || (X509_NAME_entry_count(name) == 0 &&
                  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                             (const uint8_t *)e->transaction_id, -1, -1, 0) != 1))
        return SL_FAIL_MEM(err);
    return scep_self_signed(&e->signer, name, pub, key->pkey, &e->rng, now, err);
}

/* On what ground we ask, and as whom; *proof: the old key cannot sign the message itself. */
static enum sl_rc choose_ground(struct sl_enrollment *e, enum scep_type *type, bool *proof,
                                int64_t now, struct sl_err *err)
{
    *proof = false;
    *type = SCEP_PKCS_REQ;
    if (e->renewal) {
        bool direct = key_is_rsa(&e->old_key);
        if ((e->caps & SL_SCEP_CAP_RENEWAL) && (direct || (e->caps & SL_SCEP_CAP_PROOF))) {
            *type = SCEP_RENEWAL_REQ;
            *proof = !direct;
            return direct ? speak_as(e, &e->old_key, e->old_cert, now, err)
                          : speak_as(e, &e->transport, NULL, now, err);
        }
        if (e->challenge.len == 0)
            return SL_FAIL(
                err, SL_SCEP_CAPS,
                e->caps & SL_SCEP_CAP_RENEWAL
                    ? "server renews by RSA keys only and there is no challenge: key %s"
                      " must enrol anew"
                    : "server does not announce Renewal and there is no challenge: key %s"
                      " must enrol anew",
                e->old_key.name);
    }
    if (key_is_rsa(&e->key))
        return speak_as(e, &e->key, NULL, now, err);
    if (!key_is_rsa(&e->transport))
        return SL_FAIL(err, SL_USAGE, "key %s needs an RSA transport key", e->key.name);
    return speak_as(e, &e->transport, NULL, now, err);
}

static enum sl_rc make_message(struct sl_enrollment *e, enum scep_type type, struct sl_bytes plain,
                               struct sl_bytes proof, int64_t now, struct sl_err *err)
{
    struct scep_attrs attrs = { .type = type, .has_sender_nonce = true, .proof = proof };
    sl_rng_fill(&e->rng, e->nonce, sizeof(e->nonce));
    memcpy(attrs.sender_nonce, e->nonce, sizeof(e->nonce));
    snprintf(attrs.transaction_id, sizeof(attrs.transaction_id), "%s", e->transaction_id);
    SL_AUTO_BUF content = { 0 };
    SL_TRY(scep_envelope_write(&content, &e->algs, plain, e->encrypt, e->cipher_nid, err));
    e->body.len = 0;
    SL_TRY(scep_message_write(&e->body, &e->algs, &attrs, sl_buf_bytes(&content), e->signer,
                              e->signer_key->pkey, e->digest_nid, now, err));
    return ask_pki(e, err);
}

static enum sl_rc ask_request(struct sl_enrollment *e, int64_t now, struct sl_err *err)
{
    enum scep_type type;
    bool prove;
    SL_TRY(choose_ground(e, &type, &prove, now, err));
    struct sl_buf csr = { 0 };
    SL_AUTO_BUF proof = { 0 };
    /* also in a renewal where one is given: there are servers that ask for it every time */
    enum sl_rc rc = xb_csr_make(&csr, e->subject, e->san, sl_secret_bytes(&e->challenge),
                                sl_buf_bytes(&e->key.spki), e->key.pkey, err);
    if (rc == SL_OK && prove) {
        SL_AUTO_BUF old = { 0 };
        rc = xb_cert_der(&old, e->old_cert, err);
        if (rc == SL_OK)
            rc = scep_proof_write(&proof, sl_buf_bytes(&old), &e->old_key.key, e->transaction_id,
                                  sl_buf_bytes(&csr), err);
    }
    if (rc == SL_OK)
        rc = make_message(e, type, sl_buf_bytes(&csr), sl_buf_bytes(&proof), now, err);
    sl_buf_wipe(&csr); /* holds the challenge */
    if (rc == SL_OK)
        e->state = S_REQUEST;
    return rc;
}

static enum sl_rc ask_poll(struct sl_enrollment *e, int64_t now, struct sl_err *err)
{
    SL_AUTO_BUF who = { 0 };
    SL_TRY(scep_poll_write(&who, X509_get_subject_name(e->issuer), e->subject, err));
    SL_TRY(make_message(e, SCEP_CERT_POLL, sl_buf_bytes(&who), sl_bytes(NULL, 0), now, err));
    e->state = S_POLL;
    return SL_OK;
}

/* ---- CertRep -------------------------------------------------------------------------------------------------------- */

/* The certificate for our key among those of the answer. */
static X509 *find_ours(struct sl_enrollment *e, STACK_OF(X509) * certs)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        SL_AUTO_BUF spki = { 0 };
        if (xb_spki_der(&spki, sk_X509_value(certs, i), NULL) == SL_OK &&
            sl_bytes_eq(sl_buf_bytes(&spki), sl_buf_bytes(&e->key.spki)))
            return sk_X509_value(certs, i);
    }
    return NULL;
}

static enum sl_rc check_new(struct sl_enrollment *e, X509 *x, struct sl_err *err)
{
    if (!e->old_cert)
        return SL_OK;
    bool same_serial =
        ASN1_INTEGER_cmp(X509_get0_serialNumber(x), X509_get0_serialNumber(e->old_cert)) == 0;
    if (same_serial)
        return SL_FAIL(err, SL_ENROLL_SAME_SERIAL,
                       "the server's \"new\" certificate has the old one's serial %s", e->serial);
    return SL_OK;
}

static enum sl_rc keep_result(struct sl_enrollment *e, X509 *x, STACK_OF(X509) * chain,
                              struct sl_err *err)
{
    SL_TRY(xb_cert_der(&e->cert, x, err));
    int n = sk_X509_num(chain);
    for (int i = 1; i < n && e->chain_n < CHAIN_MAX; i++)
        SL_TRY(xb_cert_der(&e->chain[e->chain_n++], sk_X509_value(chain, i), err));
    return SL_OK;
}

static enum sl_rc certificate_in(struct sl_enrollment *e, const struct scep_message *m, int64_t now,
                                 struct sl_err *err)
{
    SL_AUTO_BUF plain = { 0 };
    int cipher;
    if (m->content.len == 0)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "CertRep says SUCCESS and holds no certificate");
    SL_TRY(scep_envelope_read(&plain, &cipher, &e->algs, sl_buf_bytes(&m->content), e->signer,
                              e->signer_key->pkey, err));
    XB_AUTO(xb_x509_stack) *certs = NULL;
    SL_TRY(scep_certs_read(&certs, sl_buf_bytes(&plain), err));
    X509 *x = find_ours(e, certs);
    if (!x)
        return SL_FAIL(err, SL_ENROLL_KEY_MISMATCH,
                       "none of the %d certificates in the answer is for key %s",
                       sk_X509_num(certs), e->key.name);
    if (!xb_serial_text(e->serial, X509_get0_serialNumber(x)) ||
        !xb_time(&e->not_before, X509_get0_notBefore(x)) ||
        !xb_time(&e->not_after, X509_get0_notAfter(x)))
        return SL_FAIL(err, SL_ENROLL_CERT,
                       "serial or validity of the new certificate cannot be read");
    SL_TRY(check_new(e, x, err));
    int64_t at = e->not_before > now && e->not_before <= now + CLOCK_SKEW_S ? e->not_before : now;
    /* issuing CAs of the answer may be newer than GetCACert's */
    for (int i = 0; i < sk_X509_num(e->ca_certs); i++) {
        X509 *c = sk_X509_value(e->ca_certs, i);
        if (X509_up_ref(c) != 1 || sk_X509_push(certs, c) <= 0)
            return SL_FAIL_MEM(err);
    }
    XB_AUTO(xb_x509_stack) *chain = NULL;
    if (!chains(e, x, certs, at, &chain))
        return SL_FAIL(err, SL_ENROLL_CERT,
                       "certificate %s does not chain to the CA certificate with SHA-256 %s at this"
                       " time",
                       e->serial, e->fingerprint);
    SL_TRY(keep_result(e, x, chain, err));
    e->state = S_DONE;
    return SL_OK;
}

static enum sl_rc refused(const struct scep_attrs *a, struct sl_err *err)
{
    return SL_FAIL(err, scep_fail_rc(a->fail), "server refused the request: %s%s%s",
                   scep_fail_text(a->fail), a->fail_text[0] ? ": " : "", a->fail_text);
}

static enum sl_rc pending(struct sl_enrollment *e, int64_t now, struct sl_err *err)
{
    if (now >= e->deadline)
        return SL_FAIL(err, SL_TIMEOUT, "request is still pending after %lld s",
                       (long long)e->give_up_s);
    e->state = S_WAIT;
    e->wait_until = now + e->poll_s;
    return SL_OK;
}

static enum sl_rc check_answer(const struct sl_enrollment *e, const struct scep_message *m,
                               struct sl_err *err)
{
    if (m->attrs.type != SCEP_CERT_REP)
        return SL_FAIL(err, SL_SCEP_MALFORMED, "server answered with messageType %d, not CertRep",
                       (int)m->attrs.type);
    if (strcmp(m->attrs.transaction_id, e->transaction_id) != 0)
        return SL_FAIL(err, SL_SCEP_NONCE, "server's answer is for another transactionID");
    if (!m->attrs.has_recipient_nonce ||
        memcmp(m->attrs.recipient_nonce, e->nonce, sizeof(e->nonce)) != 0)
        return SL_FAIL(err, SL_SCEP_NONCE,
                       "server's answer does not bear our nonce (RFC 8894 3.2.1.5)");
    return SL_OK;
}

static enum sl_rc cert_rep_in(struct sl_enrollment *e, int status, struct sl_bytes body,
                              int64_t now, struct sl_err *err)
{
    if (status != 200)
        return SL_FAIL(err, SL_SCEP_HTTP, "PKIOperation: HTTP status %d", status);
    struct scep_message m = { 0 };
    enum sl_rc rc = scep_message_read(&m, &e->algs, body, e->signers, err);
    if (rc != SL_OK)
        rc = SL_WRAP(err, "server's answer");
    else
        rc = check_answer(e, &m, err);
    if (rc == SL_OK) {
        switch (m.attrs.status) {
        case SCEP_SUCCESS:
            rc = certificate_in(e, &m, now, err);
            break;
        case SCEP_FAILURE:
            rc = refused(&m.attrs, err);
            break;
        case SCEP_PENDING:
            rc = pending(e, now, err);
            break;
        }
    }
    scep_message_clear(&m);
    return rc;
}

/* ---- the machine ------------------------------------------------------------------------------------------------------ */

static enum sl_rc fail_with(struct sl_enrollment *e, enum sl_rc rc)
{
    if (rc != SL_OK) {
        e->state = S_FAILED;
        sl_secret_clear(&e->challenge);
    }
    return rc;
}

enum sl_rc sl_enrollment_answer(struct sl_enrollment *e, int status, const char *content_type,
                                struct sl_bytes body, int64_t now, struct sl_err *err)
{
    enum sl_rc rc = SL_OK;
    if (body.len > SL_SCEP_MESSAGE_MAX)
        return fail_with(e, SL_FAIL(err, SL_TOO_LARGE, "server's answer has %zu bytes", body.len));
    switch (e->state) {
    case S_CAPS:
        rc = caps_in(e, status, body, err);
        break;
    case S_CA_CERT:
        rc = ca_cert_in(e, status, content_type ? content_type : "", body, now, err);
        break;
    case S_REQUEST:
    case S_POLL:
        rc = cert_rep_in(e, status, body, now, err);
        break;
    case S_WAIT:
    case S_DONE:
    case S_FAILED:
        return SL_FAIL(err, SL_USAGE, "no exchange was asked for");
    }
    ERR_clear_error();
    return fail_with(e, rc);
}

enum sl_rc sl_enrollment_lost(struct sl_enrollment *e, const struct sl_err *why, int64_t now,
                              struct sl_err *err)
{
    if (e->state == S_POLL)
        return fail_with(e, pending(e, now, err));
    enum sl_rc rc = why && why->rc != SL_OK ? why->rc : SL_TIMEOUT;
    return fail_with(e, SL_FAIL(err, rc, "%s: %s", states[e->state].story, sl_err_text(why)));
}

enum sl_rc sl_enrollment_tick(struct sl_enrollment *e, int64_t now, struct sl_err *err)
{
    if (e->state != S_WAIT || now < e->wait_until)
        return SL_OK;
    return fail_with(e, ask_poll(e, now, err));
}

void sl_enrollment_step(const struct sl_enrollment *e, struct sl_enrollment_step *step)
{
    *step = (struct sl_enrollment_step){ .want = states[e->state].want,
                                         .progress = states[e->state].story };
    if (step->want == SL_ENROLLMENT_WAIT)
        step->wait_until = e->wait_until;
    if (step->want != SL_ENROLLMENT_HTTP)
        return;
    step->url = (const char *)e->long_url.p;
    step->post = e->post && (e->state == S_REQUEST || e->state == S_POLL);
    if (step->post)
        step->body = sl_buf_bytes(&e->body);
}

void sl_enrollment_result(const struct sl_enrollment *e, struct sl_enrollment_result *out)
{
    *out = (struct sl_enrollment_result){ .first_use = !e->pinned };
    snprintf(out->fingerprint, sizeof(out->fingerprint), "%s", e->fingerprint);
    snprintf(out->transaction_id, sizeof(out->transaction_id), "%s", e->transaction_id);
    if (e->state != S_DONE)
        return;
    out->cert = sl_buf_bytes(&e->cert);
    out->chain_n = e->chain_n;
    for (size_t i = 0; i < e->chain_n; i++)
        out->chain[i] = sl_buf_bytes(&e->chain[i]);
    snprintf(out->serial, sizeof(out->serial), "%s", e->serial);
    out->not_before = e->not_before;
    out->not_after = e->not_after;
}
