/*
 * SCEP client against SCEP server in one process: enrolments and renewals of every key type, with
 * and without RA, pending and approved; and servers that are wrong, old, silent or hostile.
 */
#include "support/ca_fixture.h"

#include <openssl/err.h>

struct duo {
    struct fixture f;
    struct sl_scep_server *server;
    int64_t now;
    char pin[65];
    unsigned exchanges;
    /* Stands between client and server; NULL: nobody does. Returns false to lose the answer. */
    bool (*meddle)(struct duo *d, const char *operation, struct sl_scep_reply *reply);
    struct sl_buf kept;
    X509 *asker; /* who signed the last message posted */
};

static void hex_pin(X509 *x, char out[65])
{
    struct sl_err err = { 0 };
    uint8_t fp[32];
    SL_AUTO_BUF der = { 0 };
    ck_ok(xb_cert_der(&der, x, &err), &err);
    sl_sha2(256, sl_buf_bytes(&der), fp);
    sl_hex(out, 65, sl_bytes(fp, 32));
}

static void duo_new(struct duo *d, const char *ca_alg, bool legacy)
{
    struct sl_err err = { 0 };
    memset(d, 0, sizeof(*d));
    fix_new(&d->f, ca_alg);
    d->now = T0;
    ck_ok(sl_scep_server_new(&d->server, d->f.ca, &d->f.env, legacy, &err), &err);
    hex_pin(sl_ca_cert_get(d->f.ca, SL_CA_ROOT), d->pin);
}

static void duo_free(struct duo *d)
{
    sl_scep_server_free(d->server);
    sl_buf_clear(&d->kept);
    X509_free(d->asker);
    fix_close(&d->f);
}

/* The operation and the decoded message parameter of a URL. */
static void parse_url(const char *url, char operation[32], struct sl_buf *message)
{
    const char *q = strstr(url, "?operation=");
    ck_assert_msg(q && strncmp(url, "http://ca.example/scep", 22) == 0, "%s", url);
    size_t n = strcspn(q + 11, "&");
    ck_assert_uint_lt(n, 32);
    memcpy(operation, q + 11, n);
    operation[n] = '\0';
    const char *m = strstr(q, "&message=");
    for (m = m ? m + 9 : ""; *m; m++) {
        char c = *m;
        if (c == '%') {
            char hex[3] = { m[1], m[2], 0 };
            c = (char)strtol(hex, NULL, 16);
            m += 2;
        }
        ck_assert(sl_buf_put(message, sl_bytes(&c, 1)));
    }
}

/* One exchange: the client's question goes to the server, the answer comes back. */
static enum sl_rc exchange(struct duo *d, struct sl_enrollment *e, struct sl_err *err)
{
    struct sl_enrollment_step step;
    sl_enrollment_step(e, &step);
    ck_assert_int_eq(step.want, SL_ENROLLMENT_HTTP);
    ck_assert_ptr_nonnull(step.progress);
    char operation[32];
    SL_AUTO_BUF message = { 0 };
    parse_url(step.url, operation, &message);
    struct sl_scep_http req = { .post = step.post,
                                .operation = operation,
                                .message = step.post ? step.body : sl_buf_bytes(&message),
                                .source = "192.0.2.7" };
    struct sl_scep_reply reply;
    sl_scep_server_handle(d->server, &req, d->now, &reply);
    d->exchanges++;
    if (step.post) { /* who asks, for those who answer in the server's stead */
        struct scep_algs algs = { 0 };
        struct scep_message m;
        struct sl_err ignored = { 0 };
        if (scep_message_read(&m, &algs, step.body, NULL, &ignored) == SL_OK) {
            X509_free(d->asker);
            d->asker = m.signer;
            m.signer = NULL;
        }
        scep_message_clear(&m);
    }
    enum sl_rc rc;
    if (d->meddle && !d->meddle(d, operation, &reply)) {
        struct sl_err why = { 0 };
        rc = SL_FAIL(&why, SL_TIMEOUT, "no answer");
        rc = sl_enrollment_lost(e, &why, d->now, err);
    } else {
        rc = sl_enrollment_answer(e, reply.status, reply.content_type, sl_buf_bytes(&reply.body),
                                  d->now, err);
    }
    sl_buf_clear(&reply.body);
    return rc;
}

/* Exchanges until the client waits, is done or has failed. */
static enum sl_rc run(struct duo *d, struct sl_enrollment *e, struct sl_err *err)
{
    struct sl_enrollment_step step;
    for (int i = 0; i < 20; i++) {
        sl_enrollment_step(e, &step);
        if (step.want != SL_ENROLLMENT_HTTP)
            return SL_OK;
        enum sl_rc rc = exchange(d, e, err);
        if (rc != SL_OK) {
            sl_enrollment_step(e, &step);
            ck_assert_int_eq(step.want, SL_ENROLLMENT_FAILED);
            return rc;
        }
    }
    ck_abort_msg("the client never ends");
    return SL_INTERNAL;
}

static struct sl_enrollment_conf conf(struct duo *d, const char *key, const char *challenge)
{
    struct sl_enrollment_conf c = { .url = "http://ca.example/scep",
                                    .ca_id = "",
                                    .fingerprint = d->pin,
                                    .challenge = sl_str(challenge),
                                    .subject = "CN=gw-a.example",
                                    .key = fix_key(&d->f, key),
                                    .rng = sl_rng_system };
    return c;
}

static struct sl_enrollment *start(const struct sl_enrollment_conf *c, int64_t now)
{
    struct sl_err err = { 0 };
    struct sl_enrollment *e = NULL;
    ck_ok(sl_enrollment_new(&e, c, now, &err), &err);
    return e;
}

static enum sl_rc enrol_once(struct duo *d, const struct sl_enrollment_conf *c, struct sl_err *err)
{
    SL_AUTO(sl_enrollment) *e = start(c, d->now);
    return run(d, e, err);
}

static enum sl_enrollment_want want_of(struct sl_enrollment *e)
{
    struct sl_enrollment_step step;
    sl_enrollment_step(e, &step);
    return step.want;
}

/* ---- the good way ------------------------------------------------------------------------------------- */

/* Enrols key_alg at a CA of ca_alg, then renews with a new key of the same type, twice. */
static void enrol_and_renew(const char *ca_alg, const char *key_alg)
{
    struct duo d;
    struct sl_err err = { 0 };
    char challenge[64], serials[3][SL_SERIAL_TEXT];
    duo_new(&d, ca_alg, false);
    SL_AUTO_BUF old = { 0 };
    bool rsa = strncmp(key_alg, "rsa", 3) == 0;
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    for (int i = 0; i < 3; i++) {
        char key[16], before[16], transport[16];
        snprintf(key, sizeof(key), "key%d", i);
        snprintf(before, sizeof(before), "key%d", i - 1);
        snprintf(transport, sizeof(transport), "transport%d", i);
        fix_generate(&d.f, key, key_alg);
        struct sl_enrollment_conf c = conf(&d, key, i ? "" : challenge);
        if (!rsa) {
            fix_generate(&d.f, transport, "rsa:2048");
            c.transport = fix_key(&d.f, transport);
        }
        if (i) {
            c.subject = "";
            c.old_key = fix_key(&d.f, before);
            c.old_cert = sl_buf_bytes(&old);
        }
        SL_AUTO(sl_enrollment) *e = start(&c, d.now);
        ck_ok(run(&d, e, &err), &err);
        ck_assert_int_eq(want_of(e), SL_ENROLLMENT_DONE);
        struct sl_enrollment_result r;
        sl_enrollment_result(e, &r);
        ck_assert_str_eq(r.fingerprint, d.pin);
        ck_assert(!r.first_use);
        ck_assert_uint_eq(r.chain_n, 2);
        ck_assert_int_eq(r.not_after, d.now + d.f.conf.lifetime_s);
        snprintf(serials[i], sizeof(serials[i]), "%s", r.serial);
        SL_AUTO(sl_cert) *cert = NULL;
        ck_ok(sl_cert_read(&cert, r.cert, &err), &err);
        ck_assert_str_eq(sl_cert_subject(cert), "CN=gw-a.example");
        ck_bytes_eq(sl_cert_spki(cert), c.key.spki);
        struct sl_bytes san;
        ck_assert(sl_cert_san(cert, SL_ID_FQDN, 0, &san));
        ck_bytes_eq(san, sl_str("gw-a.example"));
        old.len = 0;
        ck_assert(sl_buf_put(&old, r.cert));
        d.now += 60LL * 24 * 3600;
    }
    ck_assert_str_ne(serials[0], serials[1]);
    ck_assert_str_ne(serials[1], serials[2]);
    duo_free(&d);
}

START_TEST(rsa_key_enrols_and_renews_at_an_rsa_ca)
{
    enrol_and_renew("rsa:3072", "rsa:2048");
}
END_TEST

START_TEST(rsa_key_enrols_and_renews_at_an_ec_ca_through_its_ra)
{
    enrol_and_renew("ecdsa:p384", "rsa:3072");
}
END_TEST

START_TEST(ec_key_enrols_and_renews_with_a_transport_key)
{
    enrol_and_renew("ecdsa:p256", "ecdsa:p256");
}
END_TEST

START_TEST(ed25519_key_enrols_and_renews_with_a_transport_key)
{
    enrol_and_renew("ecdsa:p256", "ed25519");
}
END_TEST

/* The server without POST, as old ones are: requests go in the URL (RFC 8894 4.1). */
static bool no_post(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    (void)d;
    if (strcmp(operation, "GetCACaps") == 0) {
        reply->body.len = 0;
        ck_assert(sl_buf_put_str(&reply->body, "AES\nSHA-512\nRenewal\n"));
    }
    return true;
}

START_TEST(server_without_post_is_asked_by_get)
{
    struct duo d;
    struct sl_err err = { 0 };
    char challenge[64];
    duo_new(&d, "ecdsa:p256", false);
    d.meddle = no_post;
    fix_generate(&d.f, "key", "rsa:2048");
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    struct sl_enrollment_conf c = conf(&d, "key", challenge);
    ck_ok(enrol_once(&d, &c, &err), &err);
    duo_free(&d);
}
END_TEST

/* ---- pending --------------------------------------------------------------------------------------------- */

static bool lose_polls(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    (void)reply;
    return d->exchanges < 4 || strcmp(operation, "PKIOperation") != 0;
}

START_TEST(pending_request_is_polled_until_it_is_approved)
{
    struct duo d;
    struct sl_err err = { 0 };
    char serial[SL_SERIAL_TEXT];
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "key", "ecdsa:p256");
    fix_generate(&d.f, "transport", "rsa:2048");
    struct sl_enrollment_conf c = conf(&d, "key", "");
    c.transport = fix_key(&d.f, "transport");
    c.poll_s = 30;
    SL_AUTO(sl_enrollment) *e = start(&c, d.now);
    struct sl_enrollment_step step;
    ck_ok(run(&d, e, &err), &err);
    sl_enrollment_step(e, &step);
    ck_assert_int_eq(step.want, SL_ENROLLMENT_WAIT);
    ck_assert_int_eq(step.wait_until, T0 + 30);
    ck_ok(sl_enrollment_tick(e, T0 + 29, &err), &err);
    ck_assert_int_eq(want_of(e), SL_ENROLLMENT_WAIT);
    /* an answer that gets lost while waiting is no failure */
    d.meddle = lose_polls;
    d.now = T0 + 30;
    ck_ok(sl_enrollment_tick(e, d.now, &err), &err);
    ck_ok(run(&d, e, &err), &err);
    ck_assert_int_eq(want_of(e), SL_ENROLLMENT_WAIT);
    d.meddle = NULL;
    ck_ok(sl_ca_approve(d.f.ca, 1, d.now, serial, &err), &err);
    d.now = T0 + 60;
    ck_ok(sl_enrollment_tick(e, d.now, &err), &err);
    ck_ok(run(&d, e, &err), &err);
    ck_assert_int_eq(want_of(e), SL_ENROLLMENT_DONE);
    struct sl_enrollment_result r;
    sl_enrollment_result(e, &r);
    ck_assert_str_eq(r.serial, serial);
    /* after a restart the same key finds the same transaction and the same certificate */
    SL_AUTO(sl_enrollment) *again = start(&c, d.now);
    ck_ok(run(&d, again, &err), &err);
    sl_enrollment_result(again, &r);
    ck_assert_str_eq(r.serial, serial);
    duo_free(&d);
}
END_TEST

START_TEST(rejected_and_forgotten_requests_end_with_a_reason)
{
    struct duo d;
    struct sl_err err = { 0 };
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "key", "rsa:2048");
    struct sl_enrollment_conf c = conf(&d, "key", "");
    c.give_up_s = 100;
    SL_AUTO(sl_enrollment) *e = start(&c, d.now);
    ck_ok(run(&d, e, &err), &err);
    d.now = T0 + 60;
    ck_ok(sl_enrollment_tick(e, d.now, &err), &err);
    ck_ok(run(&d, e, &err), &err);
    d.now = T0 + 120;
    ck_ok(sl_enrollment_tick(e, d.now, &err), &err);
    ck_rc(run(&d, e, &err), SL_TIMEOUT, &err);
    SL_AUTO(sl_enrollment) *e2 = start(&c, d.now);
    ck_ok(run(&d, e2, &err), &err);
    ck_ok(sl_ca_reject(d.f.ca, 1, "not in the inventory", d.now, &err), &err);
    d.now += 60;
    ck_ok(sl_enrollment_tick(e2, d.now, &err), &err);
    ck_rc(run(&d, e2, &err), SL_SCEP_BAD_REQUEST, &err);
    ck_assert_msg(strstr(sl_err_text(&err), "not in the inventory"), "%s", sl_err_text(&err));
    duo_free(&d);
}
END_TEST

/* ---- refusals, each with its own words ------------------------------------------------------------------------ */

START_TEST(server_s_reason_reaches_the_person_at_the_device)
{
    struct duo d;
    struct sl_err err = { 0 };
    char used[64], late[64];
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "key", "rsa:2048");
    fix_generate(&d.f, "key2", "rsa:2048");
    fix_challenge(&d.f, "gw-a.example", NULL, T0, used);
    fix_challenge(&d.f, "gw-a.example", NULL, T0 - 7200, late);
    struct sl_enrollment_conf c = conf(&d, "key", used);
    ck_ok(enrol_once(&d, &c, &err), &err);
    struct {
        const char *challenge, *subject, *words;
    } tries[] = { { "wrong", "CN=gw-a.example", "unknown" },
                  { used, "CN=gw-a.example", "was used" },
                  { late, "CN=gw-a.example", "expired" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        c = conf(&d, "key2", tries[i].challenge);
        c.subject = tries[i].subject;
        ck_rc(enrol_once(&d, &c, &err), SL_SCEP_BAD_REQUEST, &err);
        ck_assert_msg(strstr(sl_err_text(&err), tries[i].words), "%s", sl_err_text(&err));
        ck_assert_ptr_null(strstr(sl_err_text(&err), used));
    }
    duo_free(&d);
}
END_TEST

START_TEST(ca_certificate_is_held_against_the_pin_before_anything_secret_leaves)
{
    struct duo d;
    struct sl_err err = { 0 };
    char challenge[64], issuing[65], upper[128] = "";
    duo_new(&d, "ecdsa:p256", false);
    hex_pin(sl_ca_cert_get(d.f.ca, SL_CA_ISSUING), issuing);
    fix_generate(&d.f, "key", "rsa:2048");
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    struct sl_enrollment_conf c = conf(&d, "key", challenge);
    c.fingerprint = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    ck_rc(enrol_once(&d, &c, &err), SL_SCEP_FINGERPRINT, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), d.pin));
    c.fingerprint = "";
    ck_rc(enrol_once(&d, &c, &err), SL_SCEP_NO_PIN, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), d.pin));
    ck_assert_uint_eq(d.exchanges, 4); /* GetCACaps and GetCACert, twice: no request was sent */
    struct sl_enrollment *e = NULL;
    c.fingerprint = "0011";
    ck_rc(sl_enrollment_new(&e, &c, d.now, &err), SL_CONFIG_VALUE, &err);
    /* the issuing CA may be pinned as well; the path ends there */
    for (int i = 0; i < 32; i++)
        sprintf(upper + strlen(upper), "%s%.2s", i ? ":" : "", issuing + 2 * i);
    c.fingerprint = upper;
    e = start(&c, d.now);
    ck_ok(run(&d, e, &err), &err);
    struct sl_enrollment_result r;
    sl_enrollment_result(e, &r);
    ck_assert_str_eq(r.fingerprint, issuing);
    ck_assert_uint_eq(r.chain_n, 1);
    sl_enrollment_free(e);
    /* trust on first use says whom */
    fix_generate(&d.f, "key2", "rsa:2048");
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    c = conf(&d, "key2", challenge);
    c.fingerprint = "";
    c.trust_on_first_use = true;
    e = start(&c, d.now);
    ck_ok(run(&d, e, &err), &err);
    sl_enrollment_result(e, &r);
    ck_assert(r.first_use);
    ck_assert_str_eq(r.fingerprint, d.pin);
    sl_enrollment_free(e);
    duo_free(&d);
}
END_TEST

static const char *rubbish_at;
static const char *rubbish_type;
static int rubbish_status;
static bool rubbish(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    (void)d;
    if (strcmp(operation, rubbish_at) != 0)
        return true;
    reply->status = rubbish_status;
    reply->content_type = rubbish_type;
    reply->body.len = 0;
    ck_assert(sl_buf_put_str(&reply->body, "<html>It works!</html>"));
    return true;
}

START_TEST(server_that_answers_rubbish_gives_a_clear_error)
{
    struct duo d;
    struct sl_err err = { 0 };
    duo_new(&d, "ecdsa:p256", false);
    d.meddle = rubbish;
    fix_generate(&d.f, "key", "rsa:2048");
    static const struct {
        const char *at, *type;
        int status;
        enum sl_rc want;
    } tries[] = {
        { "GetCACaps", "text/html", 200, SL_SCEP_LEGACY },
        { "GetCACaps", "text/html", 404, SL_SCEP_LEGACY },
        { "GetCACaps", "text/html", 503, SL_SCEP_HTTP },
        { "GetCACert", "text/html", 200, SL_SCEP_MALFORMED },
        { "GetCACert", "application/x-x509-ca-cert", 200, SL_SCEP_MALFORMED },
        { "GetCACert", "application/x-x509-ca-ra-cert", 200, SL_SCEP_MALFORMED },
        { "GetCACert", "text/html", 404, SL_SCEP_HTTP },
        { "PKIOperation", "application/x-pki-message", 200, SL_SCEP_MALFORMED },
        { "PKIOperation", "text/html", 500, SL_SCEP_HTTP },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        rubbish_at = tries[i].at;
        rubbish_type = tries[i].type;
        rubbish_status = tries[i].status;
        struct sl_enrollment_conf c = conf(&d, "key", "");
        ck_rc(enrol_once(&d, &c, &err), tries[i].want, &err);
        ck_assert_uint_gt(strlen(sl_err_text(&err)), 10);
    }
    duo_free(&d);
}
END_TEST

static bool lose_all(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    (void)d, (void)operation, (void)reply;
    return false;
}

START_TEST(silent_server_is_a_timeout_that_names_the_step)
{
    struct duo d;
    struct sl_err err = { 0 };
    duo_new(&d, "ecdsa:p256", false);
    d.meddle = lose_all;
    fix_generate(&d.f, "key", "rsa:2048");
    struct sl_enrollment_conf c = conf(&d, "key", "");
    ck_rc(enrol_once(&d, &c, &err), SL_TIMEOUT, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "asking what the server can"));
    duo_free(&d);
}
END_TEST

/* ---- hostile and faulty servers ------------------------------------------------------------------------------- */

/* Gives the answer to an earlier request of the same client and transaction. */
static bool replay(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    if (strcmp(operation, "PKIOperation") != 0)
        return true;
    if (d->kept.len == 0) {
        ck_assert(sl_buf_put(&d->kept, sl_buf_bytes(&reply->body)));
    } else {
        reply->body.len = 0;
        ck_assert(sl_buf_put(&reply->body, sl_buf_bytes(&d->kept)));
    }
    return true;
}

START_TEST(answer_to_another_request_is_refused)
{
    struct duo d;
    struct sl_err err = { 0 };
    char challenge[64];
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "key", "rsa:2048");
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    d.meddle = replay;
    struct sl_enrollment_conf c = conf(&d, "key", challenge);
    ck_ok(enrol_once(&d, &c, &err), &err);
    ck_rc(enrol_once(&d, &c, &err), SL_SCEP_NONCE, &err);
    duo_free(&d);
}
END_TEST

/* The answer made anew by the real RA around the certificate `swap`, for the client's request. */
static X509 *swap;
static bool other_certificate(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    struct sl_err err = { 0 };
    if (strcmp(operation, "PKIOperation") != 0)
        return true;
    struct ca_member *ra = &d->f.ca->member[SL_CA_RA];
    struct scep_algs algs = { 0 };
    struct scep_message m;
    STACK_OF(X509) *from = sk_X509_new_null();
    sk_X509_push(from, ra->cert);
    ck_ok(scep_message_read(&m, &algs, sl_buf_bytes(&reply->body), from, &err), &err);
    STACK_OF(X509) *one = sk_X509_new_null();
    sk_X509_push(one, swap);
    SL_AUTO_BUF list = { 0 };
    SL_AUTO_BUF env = { 0 };
    ck_ok(scep_certs_write(&list, one, &err), &err);
    ck_ok(scep_envelope_write(&env, &algs, sl_buf_bytes(&list), d->asker, NID_aes_128_cbc, &err),
          &err);
    reply->body.len = 0;
    ck_ok(scep_message_write(&reply->body, &algs, &m.attrs, sl_buf_bytes(&env), ra->cert, ra->pkey,
                             NID_sha256, d->now, &err),
          &err);
    scep_message_clear(&m);
    sk_X509_free(one);
    sk_X509_free(from);
    return true;
}

START_TEST(certificate_for_another_key_or_the_old_one_is_refused)
{
    struct duo d;
    struct sl_err err = { 0 };
    char challenge[64];
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "gw-a.example", "rsa:2048");
    fix_generate(&d.f, "key2", "rsa:2048");
    X509 *old = fix_enrol(&d.f, "gw-a.example", T0);
    SL_AUTO_BUF old_der = { 0 };
    ck_ok(xb_cert_der(&old_der, old, &err), &err);
    /* a renewal answered with the certificate there was before, for the old key */
    d.meddle = other_certificate;
    swap = old;
    struct sl_enrollment_conf c = conf(&d, "key2", "");
    c.old_key = fix_key(&d.f, "gw-a.example");
    c.old_cert = sl_buf_bytes(&old_der);
    ck_rc(enrol_once(&d, &c, &err), SL_ENROLL_KEY_MISMATCH, &err);
    /* the same with the same key: the right key, the old serial */
    struct sl_enrollment_conf same = conf(&d, "gw-a.example", "");
    same.old_key = same.key;
    same.old_cert = sl_buf_bytes(&old_der);
    ck_rc(enrol_once(&d, &same, &err), SL_ENROLL_SAME_SERIAL, &err);
    /* a certificate for our key that the pinned CA did not sign */
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    X509 *self = fix_self(&d.f, "key2");
    swap = self;
    c = conf(&d, "key2", challenge);
    ck_rc(enrol_once(&d, &c, &err), SL_ENROLL_CERT, &err);
    X509_free(self);
    X509_free(old);
    duo_free(&d);
}
END_TEST

/* A device of the CA steps in between with a list of its own: its certificate as the RA's. */
static bool false_ra(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    struct sl_err err = { 0 };
    if (strcmp(operation, "GetCACert") != 0)
        return true;
    STACK_OF(X509) *list = sk_X509_new_null();
    sk_X509_push(list, sl_ca_cert_get(d->f.ca, SL_CA_ROOT));
    sk_X509_push(list, sl_ca_cert_get(d->f.ca, SL_CA_ISSUING));
    sk_X509_push(list, swap);
    reply->body.len = 0;
    ck_ok(scep_certs_write(&reply->body, list, &err), &err);
    sk_X509_free(list);
    return true;
}

START_TEST(device_certificate_cannot_pass_for_the_ra)
{
    struct duo d;
    struct sl_err err = { 0 };
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "thief", "rsa:2048");
    fix_generate(&d.f, "key", "rsa:2048");
    swap = fix_enrol(&d.f, "thief", T0);
    d.meddle = false_ra;
    struct sl_enrollment_conf c = conf(&d, "key", "secret");
    ck_rc(enrol_once(&d, &c, &err), SL_SCEP_CAPS, &err);
    ck_assert_uint_eq(d.exchanges, 2);
    X509_free(swap);
    duo_free(&d);
}
END_TEST

/* ---- legacy ------------------------------------------------------------------------------------------------------ */

static const char *old_caps;
static bool only_old_caps(struct duo *d, const char *operation, struct sl_scep_reply *reply)
{
    (void)d;
    if (strcmp(operation, "GetCACaps") == 0) {
        reply->body.len = 0;
        ck_assert(sl_buf_put_str(&reply->body, old_caps));
    }
    return true;
}

START_TEST(old_server_is_refused_by_the_name_of_its_algorithm_unless_legacy)
{
    struct duo d;
    struct sl_err err = { 0 };
    duo_new(&d, "ecdsa:p256", true);
    d.meddle = only_old_caps;
    static const struct {
        const char *caps, *name;
    } tries[] = { { "POSTPKIOperation\n", "single DES" },
                  { "POSTPKIOperation\nDES3\nSHA-256\n", "triple DES" },
                  { "POSTPKIOperation\nAES\nSHA-1\n", "SHA-1" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        char challenge[64], key[16];
        snprintf(key, sizeof(key), "key%zu", i);
        fix_generate(&d.f, key, "rsa:2048");
        fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
        old_caps = tries[i].caps;
        struct sl_enrollment_conf c = conf(&d, key, challenge);
        ck_rc(enrol_once(&d, &c, &err), SL_SCEP_LEGACY, &err);
        ck_assert_msg(strstr(sl_err_text(&err), tries[i].name), "%s", sl_err_text(&err));
        c.legacy = true;
        ck_ok(enrol_once(&d, &c, &err), &err);
    }
    duo_free(&d);
}
END_TEST

START_TEST(authority_refuses_old_algorithms_with_a_message_unless_legacy)
{
    struct duo d;
    struct sl_err err = { 0 };
    char challenge[64];
    duo_new(&d, "ecdsa:p256", false);
    d.meddle = only_old_caps; /* makes a legacy client use DES towards a server that will not */
    old_caps = "POSTPKIOperation\nSHA-256\n";
    fix_generate(&d.f, "key", "rsa:2048");
    fix_challenge(&d.f, "gw-a.example", NULL, T0, challenge);
    struct sl_enrollment_conf c = conf(&d, "key", challenge);
    c.legacy = true;
    ck_rc(enrol_once(&d, &c, &err), SL_SCEP_BAD_ALG, &err);
    ck_assert_msg(strstr(sl_err_text(&err), "des-cbc"), "%s", sl_err_text(&err));
    old_caps = "POSTPKIOperation\nAES\n";
    ck_rc(enrol_once(&d, &c, &err), SL_SCEP_BAD_ALG, &err);
    ck_assert_msg(strstr(sl_err_text(&err), "sha1"), "%s", sl_err_text(&err));
    duo_free(&d);
}
END_TEST

/* ---- use ------------------------------------------------------------------------------------------------------------- */

START_TEST(wrong_use_is_told_before_anything_is_sent)
{
    struct duo d;
    struct sl_err err = { 0 };
    struct sl_enrollment *e = NULL;
    duo_new(&d, "ecdsa:p256", false);
    fix_generate(&d.f, "key", "ecdsa:p256");
    fix_generate(&d.f, "rsa", "rsa:2048");
    struct sl_enrollment_conf c = conf(&d, "key", "");
    ck_rc(sl_enrollment_new(&e, &c, T0, &err), SL_USAGE, &err); /* no transport key */
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "transport"));
    c = conf(&d, "rsa", "");
    c.url = "ftp://ca.example/";
    ck_rc(sl_enrollment_new(&e, &c, T0, &err), SL_CONFIG_VALUE, &err);
    c = conf(&d, "rsa", "");
    c.subject = "";
    ck_rc(sl_enrollment_new(&e, &c, T0, &err), SL_CONFIG_VALUE, &err);
    const char *san[] = { "uri:http://x" };
    c = conf(&d, "rsa", "");
    c.san = san;
    c.san_n = 1;
    ck_assert_int_ne(sl_enrollment_new(&e, &c, T0, &err), SL_OK);
    ck_assert_ptr_null(e);
    c.san_n = 0;
    e = start(&c, T0);
    ck_rc(sl_enrollment_answer(e, 200, "text/plain", sl_str("AES\nSHA-256\n"), T0, &err), SL_OK,
          &err);
    sl_enrollment_free(e);
    duo_free(&d);
}
END_TEST

START_TEST(server_answers_other_operations_and_an_uninitialised_authority_with_a_status)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_scep_server *s = NULL;
    struct sl_scep_reply reply;
    fix_open(&f);
    ck_ok(sl_scep_server_new(&s, f.ca, &f.env, false, &err), &err);
    static const struct {
        const char *operation;
        int status;
    } tries[] = { { "GetCACert", 503 },
                  { "PKIOperation", 503 },
                  { "GetCACaps", 200 },
                  { "GetNextCACert", 404 },
                  { "", 404 } };
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        struct sl_scep_http req = { .post = true,
                                    .operation = tries[i].operation,
                                    .message = sl_str("x"),
                                    .source = "192.0.2.7" };
        sl_scep_server_handle(s, &req, T0, &reply);
        ck_assert_int_eq(reply.status, tries[i].status);
        sl_buf_clear(&reply.body);
    }
    ck_ok(fix_setup(&f, "ecdsa:p256", T0, &err), &err);
    struct sl_scep_http get = { .operation = "PKIOperation",
                                .message = sl_str("!!"),
                                .source = "" };
    sl_scep_server_handle(s, &get, T0, &reply);
    ck_assert_int_eq(reply.status, 400);
    sl_buf_clear(&reply.body);
    sl_scep_server_free(s);
    fix_close(&f);
}
END_TEST

/* ---- when to renew ------------------------------------------------------------------------------------------------------ */

START_TEST(renewal_comes_in_its_window_and_retries_faster_near_the_end)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(3));
    struct sl_rng rng = sl_rng_seeded(&state);
    bool early = false, late = false;
    for (int i = 0; i < 1000; i++) {
        int64_t at = sl_renew_at(1000, 1000 + 90 * 86400, 67, 5, &rng);
        ck_assert_int_ge(at, 1000 + 90 * 86400 / 100 * 62);
        ck_assert_int_le(at, 1000 + 90 * 86400 / 100 * 72 + 1);
        early = early || at < 1000 + 90 * 86400 / 100 * 65;
        late = late || at > 1000 + 90 * 86400 / 100 * 69;
        at = sl_renew_at(1000, 1100, 100, 50, &rng);
        ck_assert(at >= 1000 && at <= 1100);
        int64_t wait = sl_renew_retry_s(1, 30 * 86400, &rng);
        ck_assert(wait >= 45 && wait <= 75);
        wait = sl_renew_retry_s(30, 30 * 86400, &rng);
        ck_assert(wait >= 6 * 3600 * 3 / 4 && wait <= 6 * 3600);
        wait = sl_renew_retry_s(30, 1600, &rng);
        ck_assert(wait >= 75 && wait <= 125);
        ck_assert_int_eq(sl_renew_retry_s(30, -5, &rng), 10);
    }
    ck_assert(early && late);
    ck_assert_int_eq(sl_renew_at(5, 5, 67, 5, &rng), 5);
    ck_assert_int_eq(sl_renew_at(1000, 2000, 50, 0, &rng), 1500);
}
END_TEST

SL_TESTS(scep, SL_CASE(rsa_key_enrols_and_renews_at_an_rsa_ca),
         SL_CASE(rsa_key_enrols_and_renews_at_an_ec_ca_through_its_ra),
         SL_CASE(ec_key_enrols_and_renews_with_a_transport_key),
         SL_CASE(ed25519_key_enrols_and_renews_with_a_transport_key),
         SL_CASE(server_without_post_is_asked_by_get),
         SL_CASE(pending_request_is_polled_until_it_is_approved),
         SL_CASE(rejected_and_forgotten_requests_end_with_a_reason),
         SL_CASE(server_s_reason_reaches_the_person_at_the_device),
         SL_CASE(ca_certificate_is_held_against_the_pin_before_anything_secret_leaves),
         SL_CASE(server_that_answers_rubbish_gives_a_clear_error),
         SL_CASE(silent_server_is_a_timeout_that_names_the_step),
         SL_CASE(answer_to_another_request_is_refused),
         SL_CASE(certificate_for_another_key_or_the_old_one_is_refused),
         SL_CASE(device_certificate_cannot_pass_for_the_ra),
         SL_CASE(old_server_is_refused_by_the_name_of_its_algorithm_unless_legacy),
         SL_CASE(authority_refuses_old_algorithms_with_a_message_unless_legacy),
         SL_CASE(wrong_use_is_told_before_anything_is_sent),
         SL_CASE(server_answers_other_operations_and_an_uninitialised_authority_with_a_status),
         SL_CASE(renewal_comes_in_its_window_and_retries_faster_near_the_end))
