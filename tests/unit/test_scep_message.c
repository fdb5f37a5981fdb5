/*
 * SCEP messages: round trips, damage at every byte, refused algorithms named, and openssl(1) as a
 * second reader of what is written.
 */
#include "support/ca_fixture.h"

#include <openssl/cms.h>

static const char transaction[] = "0123456789abcdef";

struct parties {
    struct fixture f;
    struct sl_key client, server;
    EVP_PKEY *client_key, *server_key;
    X509 *client_cert, *server_cert;
    struct scep_algs algs, old;
};

static void parties_new(struct parties *p)
{
    struct sl_err err = { 0 };
    fix_open(&p->f);
    fix_generate(&p->f, "client", "rsa:2048");
    fix_generate(&p->f, "server", "rsa:2048");
    p->client = fix_key(&p->f, "client");
    p->server = fix_key(&p->f, "server");
    p->client_key = fix_pkey(&p->f, &p->client);
    p->server_key = fix_pkey(&p->f, &p->server);
    p->client_cert = fix_self(&p->f, "client");
    p->server_cert = fix_self(&p->f, "server");
    ck_ok(scep_algs_init(&p->algs, false, &err), &err);
    ck_ok(scep_algs_init(&p->old, true, &err), &err);
}

static void parties_free(struct parties *p)
{
    scep_algs_clear(&p->algs);
    scep_algs_clear(&p->old);
    X509_free(p->client_cert);
    X509_free(p->server_cert);
    EVP_PKEY_free(p->client_key);
    EVP_PKEY_free(p->server_key);
    fix_close(&p->f);
}

static struct scep_attrs attrs(enum scep_type type)
{
    struct scep_attrs a = { .type = type, .has_sender_nonce = true };
    memset(a.sender_nonce, 0xa5, sizeof(a.sender_nonce));
    snprintf(a.transaction_id, sizeof(a.transaction_id), "%s", transaction);
    return a;
}

/* A message of the client's, enveloped for the server. */
static void write_request(struct parties *p, const struct scep_algs *algs, const char *text,
                          int cipher, int digest, struct sl_buf *out)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF env = { 0 };
    struct scep_attrs a = attrs(SCEP_PKCS_REQ);
    ck_ok(scep_envelope_write(&env, algs, sl_str(text), p->server_cert, cipher, &err), &err);
    ck_ok(scep_message_write(out, algs, &a, sl_buf_bytes(&env), p->client_cert, p->client_key,
                             digest, T0, &err),
          &err);
}

static enum sl_rc read_request(struct parties *p, const struct scep_algs *algs, struct sl_bytes der,
                               struct sl_buf *plain, struct scep_message *m, struct sl_err *err)
{
    int cipher;
    SL_TRY(scep_message_read(m, algs, der, NULL, err));
    return scep_envelope_read(plain, &cipher, algs, sl_buf_bytes(&m->content), p->server_cert,
                              p->server_key, err);
}

START_TEST(request_reads_back_as_written)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    static const int ciphers[] = { NID_aes_128_cbc, NID_aes_192_cbc, NID_aes_256_cbc };
    static const int digests[] = { NID_sha256, NID_sha384, NID_sha512 };
    for (size_t i = 0; i < 3; i++) {
        SL_AUTO_BUF der = { 0 };
        SL_AUTO_BUF plain = { 0 };
        struct scep_message m;
        write_request(&p, &p.algs, "a request", ciphers[i], digests[i], &der);
        ck_ok(read_request(&p, &p.algs, sl_buf_bytes(&der), &plain, &m, &err), &err);
        ck_bytes_eq(sl_buf_bytes(&plain), sl_str("a request"));
        ck_assert_int_eq(m.attrs.type, SCEP_PKCS_REQ);
        ck_assert_str_eq(m.attrs.transaction_id, transaction);
        ck_assert(m.attrs.has_sender_nonce && !m.attrs.has_recipient_nonce && !m.attrs.has_status);
        ck_assert_uint_eq(m.attrs.sender_nonce[15], 0xa5);
        ck_assert_int_eq(m.digest_nid, digests[i]);
        ck_assert_int_eq(X509_cmp(m.signer, p.client_cert), 0);
        scep_message_clear(&m);
    }
    parties_free(&p);
}
END_TEST

START_TEST(answer_without_content_keeps_status_and_words)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    struct scep_attrs a = attrs(SCEP_CERT_REP);
    a.has_recipient_nonce = a.has_status = true;
    a.status = SCEP_FAILURE;
    a.fail = SCEP_BAD_CERT_ID;
    snprintf(a.fail_text, sizeof(a.fail_text), "no such certificate");
    SL_AUTO_BUF der = { 0 };
    ck_ok(scep_message_write(&der, &p.algs, &a, sl_bytes(NULL, 0), p.server_cert, p.server_key,
                             NID_sha256, T0, &err),
          &err);
    STACK_OF(X509) *from = sk_X509_new_null();
    sk_X509_push(from, p.server_cert);
    struct scep_message m;
    ck_ok(scep_message_read(&m, &p.algs, sl_buf_bytes(&der), from, &err), &err);
    ck_assert_uint_eq(m.content.len, 0);
    ck_assert(m.attrs.has_status && m.attrs.has_recipient_nonce);
    ck_assert_int_eq(m.attrs.status, SCEP_FAILURE);
    ck_assert_int_eq(m.attrs.fail, SCEP_BAD_CERT_ID);
    ck_assert_str_eq(m.attrs.fail_text, "no such certificate");
    scep_message_clear(&m);
    /* a signer who is not of the CA is refused, whatever certificate the message brings along */
    sk_X509_set(from, 0, p.client_cert);
    ck_rc(scep_message_read(&m, &p.algs, sl_buf_bytes(&der), from, &err), SL_SCEP_SIGNATURE, &err);
    scep_message_clear(&m);
    sk_X509_free(from);
    parties_free(&p);
}
END_TEST

START_TEST(old_algorithms_are_refused_by_name_and_read_under_legacy)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    static const struct {
        int cipher, digest;
        const char *name;
    } old[] = { { NID_des_cbc, NID_sha256, "des-cbc" },
                { NID_des_ede3_cbc, NID_sha256, "des-ede3-cbc" },
                { NID_aes_128_cbc, NID_sha1, "sha1" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(old); i++) {
        SL_AUTO_BUF der = { 0 };
        SL_AUTO_BUF plain = { 0 };
        struct scep_message m;
        write_request(&p, &p.old, "a request", old[i].cipher, old[i].digest, &der);
        ck_rc(read_request(&p, &p.algs, sl_buf_bytes(&der), &plain, &m, &err), SL_SCEP_LEGACY,
              &err);
        ck_assert_msg(strstr(sl_err_text(&err), old[i].name) && strstr(sl_err_text(&err), "legacy"),
                      "%s", sl_err_text(&err));
        /* the transaction is known, so that it can be answered */
        ck_assert_str_eq(m.attrs.transaction_id, transaction);
        scep_message_clear(&m);
        ck_ok(read_request(&p, &p.old, sl_buf_bytes(&der), &plain, &m, &err), &err);
        ck_bytes_eq(sl_buf_bytes(&plain), sl_str("a request"));
        scep_message_clear(&m);
    }
    /* single DES is not to be had outside that context */
    EVP_CIPHER *des = EVP_CIPHER_fetch(NULL, "DES-CBC", NULL);
    ck_assert_ptr_null(des);
    SL_AUTO_BUF env = { 0 };
    ck_rc(scep_envelope_write(&env, &p.algs, sl_str("x"), p.server_cert, NID_des_cbc, &err),
          SL_CRYPTO, &err);
    parties_free(&p);
}
END_TEST

START_TEST(damaged_messages_are_errors)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_BUF plain = { 0 };
    struct scep_message m;
    write_request(&p, &p.algs, "a request", NID_aes_128_cbc, NID_sha256, &der);
    for (size_t i = 0; i < der.len; i++) {
        ck_assert_int_ne(read_request(&p, &p.algs, sl_bytes(der.p, i), &plain, &m, &err), SL_OK);
        scep_message_clear(&m);
    }
    /* any one bit, anywhere: never read as another message */
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, sl_test_seed(7));
    struct sl_rng rng = sl_rng_seeded(&state);
    for (int i = 0; i < 300; i++) {
        size_t at = sl_rng_below(&rng, der.len);
        uint8_t bit = (uint8_t)(1u << sl_rng_below(&rng, 8));
        der.p[at] ^= bit;
        plain.len = 0;
        if (read_request(&p, &p.algs, sl_buf_bytes(&der), &plain, &m, &err) == SL_OK) {
            ck_bytes_eq(sl_buf_bytes(&plain), sl_str("a request"));
            ck_assert_str_eq(m.attrs.transaction_id, transaction);
            ck_assert_int_eq(m.attrs.type, SCEP_PKCS_REQ);
        }
        scep_message_clear(&m);
        der.p[at] ^= bit;
    }
    ck_assert(sl_buf_put(&der, sl_bytes("x", 1)));
    ck_rc(read_request(&p, &p.algs, sl_buf_bytes(&der), &plain, &m, &err), SL_SCEP_MALFORMED, &err);
    scep_message_clear(&m);
    SL_AUTO_BUF big = { 0 };
    ck_assert(sl_buf_reserve(&big, SL_SCEP_MESSAGE_MAX + 1));
    ck_rc(scep_message_read(&m, &p.algs, sl_bytes(big.p, SL_SCEP_MESSAGE_MAX + 1), NULL, &err),
          SL_TOO_LARGE, &err);
    scep_message_clear(&m);
    parties_free(&p);
}
END_TEST

START_TEST(envelope_for_another_key_is_not_opened)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    SL_AUTO_BUF env = { 0 };
    SL_AUTO_BUF plain = { 0 };
    int cipher;
    ck_ok(scep_envelope_write(&env, &p.algs, sl_str("x"), p.client_cert, NID_aes_128_cbc, &err),
          &err);
    ck_rc(scep_envelope_read(&plain, &cipher, &p.algs, sl_buf_bytes(&env), p.server_cert,
                             p.server_key, &err),
          SL_SCEP_DECRYPT, &err);
    ck_assert_uint_eq(plain.len, 0);
    ck_ok(scep_envelope_read(&plain, &cipher, &p.algs, sl_buf_bytes(&env), p.client_cert,
                             p.client_key, &err),
          &err);
    ck_assert_int_eq(cipher, NID_aes_128_cbc);
    parties_free(&p);
}
END_TEST

START_TEST(lists_of_certificates_and_polls_read_back_and_refuse_damage)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    STACK_OF(X509) *in = sk_X509_new_null(), *out = NULL;
    sk_X509_push(in, p.client_cert);
    sk_X509_push(in, p.server_cert);
    SL_AUTO_BUF der = { 0 };
    ck_ok(scep_certs_write(&der, in, &err), &err);
    ck_ok(scep_certs_read(&out, sl_buf_bytes(&der), &err), &err);
    ck_assert_int_eq(sk_X509_num(out), 2);
    xb_x509_stack_free(out);
    for (size_t i = 0; i < der.len; i++)
        ck_assert_int_ne(scep_certs_read(&out, sl_bytes(der.p, i), &err), SL_OK);
    sk_X509_free(in);
    SL_AUTO_BUF poll = { 0 };
    X509_NAME *issuer = NULL, *subject = NULL;
    ck_ok(scep_poll_write(&poll, X509_get_subject_name(p.server_cert),
                          X509_get_subject_name(p.client_cert), &err),
          &err);
    for (size_t i = 0; i < poll.len; i++)
        ck_rc(scep_poll_read(&issuer, &subject, sl_bytes(poll.p, i), &err), SL_SCEP_MALFORMED,
              &err);
    ck_ok(scep_poll_read(&issuer, &subject, sl_buf_bytes(&poll), &err), &err);
    ck_assert_int_eq(X509_NAME_cmp(issuer, X509_get_subject_name(p.server_cert)), 0);
    ck_assert_int_eq(X509_NAME_cmp(subject, X509_get_subject_name(p.client_cert)), 0);
    X509_NAME_free(issuer);
    X509_NAME_free(subject);
    parties_free(&p);
}
END_TEST

START_TEST(renewal_proof_holds_for_its_request_alone)
{
    struct parties p;
    struct sl_err err = { 0 };
    parties_new(&p);
    static const char *const algs[] = { "rsa:2048", "ecdsa:p256", "ecdsa:p384", "ecdsa:p521",
                                        "ed25519" };
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++) {
        char name[16];
        snprintf(name, sizeof(name), "old%zu", i);
        fix_generate(&p.f, name, algs[i]);
        struct sl_key key = fix_key(&p.f, name);
        X509 *cert = fix_self(&p.f, name), *old = NULL;
        SL_AUTO_BUF der = { 0 };
        SL_AUTO_BUF proof = { 0 };
        ck_ok(xb_cert_der(&der, cert, &err), &err);
        ck_ok(scep_proof_write(&proof, sl_buf_bytes(&der), &key, "t", sl_str("csr"), &err), &err);
        struct sl_bytes v = sl_buf_bytes(&proof);
        ck_ok(scep_proof_read(&old, v, "t", sl_str("csr"), &err), &err);
        ck_assert_int_eq(X509_cmp(old, cert), 0);
        X509_free(old);
        ck_rc(scep_proof_read(&old, v, "u", sl_str("csr"), &err), SL_SCEP_SIGNATURE, &err);
        ck_rc(scep_proof_read(&old, v, "t", sl_str("CSR"), &err), SL_SCEP_SIGNATURE, &err);
        for (size_t n = 0; n < v.len; n++)
            ck_assert_int_ne(scep_proof_read(&old, sl_bytes(v.p, n), "t", sl_str("csr"), &err),
                             SL_OK);
        X509_free(cert);
    }
    parties_free(&p);
}
END_TEST

START_TEST(openssl_command_reads_what_is_written)
{
    struct parties p;
    struct sl_err err = { 0 };
    char dir[128], path[256], cmd[2048];
    snprintf(dir, sizeof(dir), "%s", sl_test_tmpdir());
    parties_new(&p);
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_SECRET pem = { 0 };
    write_request(&p, &p.algs, "a request", NID_aes_256_cbc, NID_sha256, &der);
    snprintf(path, sizeof(path), "%s/msg.der", dir);
    fix_write(path, sl_buf_bytes(&der));
    snprintf(path, sizeof(path), "%s/key.pem", dir);
    ck_ok(sl_keyset_export(p.f.keys, "server", &pem, &err), &err);
    fix_write(path, sl_secret_bytes(&pem));
    snprintf(path, sizeof(path), "%s/server.der", dir);
    fix_write_cert(path, p.server_cert);
    snprintf(cmd, sizeof(cmd),
             "cd %s && exec 2>log && set -e\n"
             "openssl x509 -inform DER -in server.der -out server.pem\n"
             "openssl cms -verify -inform DER -in msg.der -noverify -binary -out env.der\n"
             "openssl cms -decrypt -inform DER -in env.der -recip server.pem -inkey key.pem"
             " -binary -out plain\n"
             "test \"$(cat plain)\" = 'a request'\n"
             /* RFC 8894 clients expect the plain rsaEncryption as signature algorithm */
             "openssl asn1parse -inform DER -in msg.der | tail -3 | grep -q ':rsaEncryption'\n"
             "openssl asn1parse -inform DER -in msg.der | grep -q 2.16.840.1.113733.1.9.7\n",
             dir);
    int rc = system(cmd);
    snprintf(cmd, sizeof(cmd), "cat %s/log >&2", dir);
    if (rc != 0)
        ck_assert_int_eq(system(cmd), 0);
    ck_assert_int_eq(rc, 0);
    parties_free(&p);
}
END_TEST

START_TEST(capabilities_read_as_the_rfc_says)
{
    SL_AUTO_BUF out = { 0 };
    uint32_t all = 0;
    for (uint32_t bit = 1; bit <= SL_SCEP_CAP_PROOF; bit <<= 1)
        all |= bit;
    ck_assert(sl_scep_caps_write(&out, all));
    ck_assert_uint_eq(sl_scep_caps_read(sl_buf_bytes(&out)), all);
    ck_assert_uint_eq(sl_scep_caps_read(sl_str("AES\r\nsha-256\r\nFuture Thing\r\nRenewal")),
                      SL_SCEP_CAP_AES | SL_SCEP_CAP_SHA256 | SL_SCEP_CAP_RENEWAL);
    ck_assert_uint_eq(sl_scep_caps_read(sl_str("SCEPStandard")),
                      SL_SCEP_CAP_STANDARD | SL_SCEP_CAP_AES | SL_SCEP_CAP_POST |
                          SL_SCEP_CAP_SHA256);
    ck_assert_uint_eq(sl_scep_caps_read(sl_str("AES256\nXAES\n<html>AES</html>\n\n")), 0);
    ck_assert_uint_eq(sl_scep_caps_read(sl_bytes(NULL, 0)), 0);
}
END_TEST

SL_TESTS(scep_message, SL_CASE(request_reads_back_as_written),
         SL_CASE(answer_without_content_keeps_status_and_words),
         SL_CASE(old_algorithms_are_refused_by_name_and_read_under_legacy),
         SL_CASE(damaged_messages_are_errors), SL_CASE(envelope_for_another_key_is_not_opened),
         SL_CASE(lists_of_certificates_and_polls_read_back_and_refuse_damage),
         SL_CASE(renewal_proof_holds_for_its_request_alone),
         SL_CASE(openssl_command_reads_what_is_written), SL_CASE(capabilities_read_as_the_rfc_says))
