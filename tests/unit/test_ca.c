/*
 * The authority: its own certificates, who may have which certificate, the profile, CRL, OCSP, and
 * what a crash between the steps of issuing leaves behind. libcrypto's command line checks its work.
 */
#include "support/ca_fixture.h"

#include <openssl/ocsp.h>
#include <sys/wait.h>

/* ---- helpers ---------------------------------------------------------------------------------------- */

static bool verifies(X509 *leaf, X509 *between, X509 *root, int64_t at)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *sk = sk_X509_new_null();
    if (between)
        sk_X509_push(sk, between);
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(ctx, store, leaf, sk);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)at);
    bool ok = X509_verify_cert(ctx) == 1;
    if (!ok)
        fprintf(stderr, "%s\n", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    sk_X509_free(sk);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return ok;
}

static bool by_us(struct fixture *f, X509 *leaf, int64_t at)
{
    return verifies(leaf, sl_ca_cert_get(f->ca, SL_CA_ISSUING), sl_ca_cert_get(f->ca, SL_CA_ROOT),
                    at);
}

static void subject_of(X509 *x, char out[256])
{
    xb_name_text(out, 256, X509_get_subject_name(x));
}

static void san_of(X509 *x, char out[512])
{
    GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    out[0] = '\0';
    if (san)
        xb_san_text(out, 512, san);
    GENERAL_NAMES_free(san);
}

static X509_CRL *crl_of(struct fixture *f, enum sl_ca_role issuer, bool force, int64_t now)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF der = { 0 };
    ck_ok(sl_ca_crl(f->ca, issuer, force, now, &der, &err), &err);
    const uint8_t *p = der.p;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.len);
    ck_assert_ptr_nonnull(crl);
    ck_assert_ptr_eq(p, der.p + der.len);
    ck_assert_int_eq(X509_CRL_verify(crl, X509_get0_pubkey(sl_ca_cert_get(f->ca, issuer))), 1);
    return crl;
}

static long crl_number(X509_CRL *crl)
{
    ASN1_INTEGER *n = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    ck_assert_ptr_nonnull(n);
    long v = ASN1_INTEGER_get(n);
    ASN1_INTEGER_free(n);
    return v;
}

static bool listed(X509_CRL *crl, X509 *x)
{
    X509_REVOKED *r = NULL;
    return X509_CRL_get0_by_serial(crl, &r, X509_get_serialNumber(x)) == 1;
}

static void serial_of(X509 *x, char out[SL_SERIAL_TEXT])
{
    ck_assert(xb_serial_text(out, X509_get0_serialNumber(x)));
}

/* ---- the authority's own certificates ------------------------------------------------------------------ */

START_TEST(setup_with_ec_keys_makes_root_issuing_ra_and_ocsp)
{
    struct fixture f;
    fix_new(&f, "ecdsa:p384");
    X509 *root = sl_ca_cert_get(f.ca, SL_CA_ROOT), *issuing = sl_ca_cert_get(f.ca, SL_CA_ISSUING);
    X509 *ra = sl_ca_cert_get(f.ca, SL_CA_RA), *ocsp = sl_ca_cert_get(f.ca, SL_CA_OCSP);
    ck_assert(verifies(issuing, NULL, root, T0));
    ck_assert(verifies(ra, issuing, root, T0) && verifies(ocsp, issuing, root, T0));
    ck_assert_int_eq(X509_get_pathlen(issuing), 0);
    ck_assert_int_eq(X509_check_ca(ra), 0);
    ck_assert_uint_eq(X509_get_key_usage(ra), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
    ck_assert_uint_eq(X509_get_key_usage(issuing), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    ck_assert_uint_eq(X509_get_extended_key_usage(ocsp), XKU_OCSP_SIGN);
    ck_assert_int_ge(X509_get_ext_by_NID(ocsp, NID_id_pkix_OCSP_noCheck, -1), 0);
    ck_assert(EVP_PKEY_is_a(X509_get0_pubkey(ra), "RSA"));
    /* the same after a restart */
    fix_reopen(&f);
    ck_assert(sl_ca_ready(f.ca));
    ck_assert(verifies(sl_ca_cert_get(f.ca, SL_CA_OCSP), sl_ca_cert_get(f.ca, SL_CA_ISSUING),
                       sl_ca_cert_get(f.ca, SL_CA_ROOT), T0));
    fix_close(&f);
}
END_TEST

START_TEST(setup_with_rsa_needs_no_ra_and_happens_once)
{
    struct fixture f;
    struct sl_err err = { 0 };
    fix_new(&f, "rsa:3072");
    ck_assert_ptr_null(sl_ca_cert_get(f.ca, SL_CA_RA));
    ck_assert_uint_eq(X509_get_key_usage(sl_ca_cert_get(f.ca, SL_CA_ISSUING)),
                      KU_KEY_CERT_SIGN | KU_CRL_SIGN | KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
    struct sl_ca_setup again = { .name = "Lab" };
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++)
        if (r != SL_CA_RA)
            again.spki[r] = fix_spki(&f, sl_ca_key_name((enum sl_ca_role)r));
    ck_rc(sl_ca_setup(f.ca, &again, T0, &err), SL_EXISTS, &err);
    fix_close(&f);
}
END_TEST

START_TEST(setup_with_a_weak_or_unfit_key_is_refused)
{
    struct fixture f;
    struct sl_err err = { 0 };
    fix_open(&f);
    ck_rc(fix_setup(&f, "rsa:2048", T0, &err), SL_WEAK_ALGORITHM, &err);
    ck_assert(!sl_ca_ready(f.ca));
    fix_close(&f);
    fix_open(&f);
    ck_rc(fix_setup(&f, "ed25519", T0, &err), SL_CA_REQUEST, &err);
    fix_close(&f);
}
END_TEST

START_TEST(every_verb_before_setup_says_what_to_do)
{
    struct fixture f;
    struct sl_err err = { 0 };
    fix_open(&f);
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_SECRET text = { 0 };
    char serial[SL_SERIAL_TEXT];
    ck_rc(sl_ca_crl(f.ca, SL_CA_ISSUING, false, T0, &der, &err), SL_CA_NOT_INITIALISED, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "ca init"));
    ck_rc(sl_ca_challenge(f.ca, "a", NULL, 0, 60, T0, &text, &err), SL_CA_NOT_INITIALISED, &err);
    ck_rc(sl_ca_approve(f.ca, 1, T0, serial, &err), SL_CA_NOT_INITIALISED, &err);
    ck_rc(sl_ca_revoke(f.ca, "0a", 0, T0, &err), SL_CA_NOT_INITIALISED, &err);
    int64_t next = 0;
    ck_ok(sl_ca_tick(f.ca, T0, &next, &err), &err);
    fix_close(&f);
}
END_TEST

/* ---- challenges and the profile -------------------------------------------------------------------------- */

START_TEST(challenge_gives_a_certificate_of_the_profile)
{
    struct fixture f;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "gw-a.example", "rsa:2048");
    X509 *x = fix_enrol(&f, "gw-a.example", T0);
    ck_assert(by_us(&f, x, T0));
    char text[512];
    subject_of(x, text);
    ck_assert_str_eq(text, "CN=gw-a.example");
    san_of(x, text);
    ck_assert_str_eq(text, "dns:gw-a.example");
    ck_assert_int_eq(X509_check_ca(x), 0);
    ck_assert_int_eq(X509_get_version(x), X509_VERSION_3);
    ck_assert_uint_eq(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
    ck_assert_int_eq(sk_ASN1_OBJECT_num(eku), 1);
    ck_assert_int_eq(OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, 0)), NID_ipsec_IKE);
    sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
    struct sl_err err = { 0 };
    SL_AUTO(sl_cert) *c = NULL;
    SL_AUTO_BUF der = { 0 };
    ck_ok(xb_cert_der(&der, x, &err), &err);
    ck_ok(sl_cert_read(&c, sl_buf_bytes(&der), &err), &err);
    const char *uri[SL_CERT_URI_MAX];
    ck_assert_uint_eq(sl_cert_crl_uris(c, uri), 1);
    ck_assert_str_eq(uri[0], BASE_URL "/crl/issuing.crl");
    ck_assert_uint_eq(sl_cert_ocsp_uris(c, uri), 1);
    ck_assert_str_eq(uri[0], BASE_URL "/ocsp");
    ck_assert_int_eq(sl_cert_not_after(c), T0 + f.conf.lifetime_s);
    ck_assert_int_lt(sl_cert_not_before(c), T0);
    ck_assert_uint_eq(strlen(sl_cert_serial(c)), 32);
    const ASN1_OCTET_STRING *aki = X509_get0_authority_key_id(x);
    ck_assert_int_eq(
        ASN1_OCTET_STRING_cmp(aki, X509_get0_subject_key_id(sl_ca_cert_get(f.ca, SL_CA_ISSUING))),
        0);
    ck_assert_str_eq(f.record.kind[f.record.n - 1], "ca-issue");
    X509_free(x);
    fix_close(&f);
}
END_TEST

START_TEST(lifetime_never_passes_the_issuing_ca)
{
    struct fixture f;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    f.conf.lifetime_s = 30LL * 365 * 24 * 3600;
    X509 *x = fix_enrol(&f, "dev", T0);
    int64_t end = 0, ca_end = 0;
    ck_assert(xb_time(&end, X509_get0_notAfter(x)));
    ck_assert(xb_time(&ca_end, X509_get0_notAfter(sl_ca_cert_get(f.ca, SL_CA_ISSUING))));
    ck_assert_int_eq(end, ca_end);
    X509_free(x);
    fix_close(&f);
}
END_TEST

START_TEST(unusable_challenges_are_told_apart)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64];
    fix_challenge(&f, "dev", NULL, T0, c);
    ck_assert_uint_eq(strlen(c), 29);
    struct {
        const char *transaction, *subject, *san, *challenge;
        int64_t at;
        enum sl_rc want;
    } tries[] = {
        { "1", "CN=dev", "", "no-such-challenge", T0, SL_CA_CHALLENGE_WRONG },
        { "2", "CN=dev", "", c, T0 + 3600, SL_CA_CHALLENGE_EXPIRED },
        { "3", "CN=other", "", c, T0, SL_CA_CHALLENGE_NAME },
        { "4", "CN=dev", "dns:other", c, T0, SL_CA_CHALLENGE_NAME },
        { "5", "CN=dev", "ip:192.0.2.1", c, T0, SL_CA_CHALLENGE_NAME },
        { "6", "O=Lab", "", c, T0, SL_CA_CHALLENGE_NAME },
        { "7", "CN=dev", "dns:dev", c, T0 + 3599, SL_OK },
        { "8", "CN=dev", "dns:dev", c, T0 + 3599, SL_CA_CHALLENGE_USED },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        SL_AUTO_BUF csr = { 0 };
        fix_csr(&f, &csr, "dev", tries[i].subject, tries[i].san, tries[i].challenge);
        ck_rc(fix_submit(&f, tries[i].transaction, "dev", sl_buf_bytes(&csr), NULL, tries[i].at, &a,
                         &err),
              tries[i].want, &err);
        sl_buf_clear(&a.der);
    }
    fix_close(&f);
}
END_TEST

START_TEST(challenge_with_more_names_gives_those_that_are_asked_for)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64], text[512];
    fix_challenge(&f, "dev.example", "ip:192.0.2.1", T0, c);
    SL_AUTO_BUF csr = { 0 };
    /* parts of the subject beside the name are not taken over */
    fix_csr(&f, &csr, "dev", "CN=Dev.example,OU=admins,O=Lab", "ip:192.0.2.1", c);
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    X509 *x = NULL;
    ck_ok(xb_cert_read(&x, sl_buf_bytes(&a.der), &err), &err);
    subject_of(x, text);
    ck_assert_str_eq(text, "CN=dev.example");
    san_of(x, text);
    ck_assert_str_eq(text, "dns:dev.example, ip:192.0.2.1");
    X509_free(x);
    sl_buf_clear(&a.der);
    fix_close(&f);
}
END_TEST

/* A request whose extensions ask for more than a device may have. */
static void greedy_csr(struct fixture *f, struct sl_buf *der, const char *challenge)
{
    struct sl_key k = fix_key(f, "dev");
    EVP_PKEY *p = fix_pkey(f, &k);
    X509_REQ *req = X509_REQ_new();
    X509_NAME *n = X509_REQ_get_subject_name(req);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)"dev", -1, -1, 0);
    struct sl_err err = { 0 };
    EVP_PKEY *pub = NULL;
    ck_ok(xb_spki_read(&pub, k.spki, &err), &err);
    X509_REQ_set_pubkey(req, pub);
    X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, V_ASN1_UTF8STRING,
                              (const uint8_t *)challenge, (int)strlen(challenge));
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    static const struct {
        int nid;
        const char *value;
    } want[] = { { NID_basic_constraints, "critical,CA:TRUE" },
                 { NID_key_usage, "critical,keyCertSign,cRLSign" },
                 { NID_ext_key_usage, "serverAuth,OCSPSigning" },
                 { NID_subject_alt_name, "DNS:dev" },
                 { NID_netscape_comment, "admin" } };
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, req, NULL, 0);
    for (size_t i = 0; i < SL_ARRAY_LEN(want); i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, want[i].nid, want[i].value);
        ck_assert_ptr_nonnull(e);
        sk_X509_EXTENSION_push(exts, e);
    }
    ck_assert_int_eq(X509_REQ_add_extensions(req, exts), 1);
    ck_assert_int_gt(X509_REQ_sign(req, p, EVP_sha256()), 0);
    uint8_t *out = NULL;
    int len = i2d_X509_REQ(req, &out);
    ck_assert(sl_buf_put(der, sl_bytes(out, (size_t)len)));
    OPENSSL_free(out);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    EVP_PKEY_free(pub);
    EVP_PKEY_free(p);
}

START_TEST(extensions_of_a_request_are_not_copied)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64];
    fix_challenge(&f, "dev", NULL, T0, c);
    SL_AUTO_BUF csr = { 0 };
    greedy_csr(&f, &csr, c);
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    X509 *x = NULL;
    ck_ok(xb_cert_read(&x, sl_buf_bytes(&a.der), &err), &err);
    ck_assert_int_eq(X509_check_ca(x), 0);
    ck_assert_uint_eq(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
    ck_assert_uint_eq(X509_get_extended_key_usage(x),
                      0); /* none of those libcrypto knows a bit for */
    ck_assert_int_lt(X509_get_ext_by_NID(x, NID_netscape_comment, -1), 0);
    X509_free(x);
    sl_buf_clear(&a.der);
    fix_close(&f);
}
END_TEST

START_TEST(weak_forged_and_damaged_requests_are_refused)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64];
    fix_challenge(&f, "dev", NULL, T0, c);
    /* RSA-1024 */
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    SL_AUTO_BUF spki = { 0 };
    uint8_t *p = NULL;
    int len = i2d_PUBKEY(weak, &p);
    ck_assert(sl_buf_put(&spki, sl_bytes(p, (size_t)len)));
    OPENSSL_free(p);
    X509_NAME *n = X509_NAME_new();
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)"dev", -1, -1, 0);
    SL_AUTO_BUF csr = { 0 };
    ck_ok(xb_csr_make(&csr, n, NULL, sl_str(c), sl_buf_bytes(&spki), weak, &err), &err);
    ck_rc(fix_submit(&f, "1", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), SL_WEAK_ALGORITHM,
          &err);
    /* signed by another key than the one it asks for */
    fix_generate(&f, "thief", "ecdsa:p256");
    struct sl_key k = fix_key(&f, "dev"), t = fix_key(&f, "thief");
    EVP_PKEY *thief = fix_pkey(&f, &t);
    csr.len = 0;
    ck_ok(xb_csr_make(&csr, n, NULL, sl_str(c), k.spki, thief, &err), &err);
    ck_rc(fix_submit(&f, "2", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err),
          SL_CA_REQUEST_SIGNATURE, &err);
    /* the authority's own key */
    struct sl_key own = fix_key(&f, "ca-issuing");
    EVP_PKEY *issuing = fix_pkey(&f, &own);
    csr.len = 0;
    ck_ok(xb_csr_make(&csr, n, NULL, sl_str(c), own.spki, issuing, &err), &err);
    ck_rc(fix_submit(&f, "3", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), SL_CA_REQUEST, &err);
    /* cut at every byte, and with one byte more */
    csr.len = 0;
    fix_csr(&f, &csr, "dev", "CN=dev", "dns:dev", c);
    for (size_t i = 0; i < csr.len; i++) {
        struct xb_csr out;
        ck_assert_int_ne(xb_csr_read(&out, sl_bytes(csr.p, i), false, &err), SL_OK);
    }
    ck_assert(sl_buf_put(&csr, sl_bytes("", 1)));
    ck_rc(fix_submit(&f, "4", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), SL_CA_REQUEST, &err);
    /* and the challenge is still there for a good one */
    csr.len--;
    ck_ok(fix_submit(&f, "5", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    sl_buf_clear(&a.der);
    X509_NAME_free(n);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(thief);
    EVP_PKEY_free(issuing);
    fix_close(&f);
}
END_TEST

START_TEST(same_request_again_has_the_same_certificate)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a, b;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64];
    fix_challenge(&f, "dev", NULL, T0, c);
    SL_AUTO_BUF csr = { 0 };
    SL_AUTO_BUF again = { 0 };
    fix_csr(&f, &csr, "dev", "CN=dev", "dns:dev", c);
    fix_csr(&f, &again, "dev", "CN=dev", "dns:dev", c); /* another ECDSA signature */
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    fix_reopen(&f);
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&again), NULL, T0 + 7200, &b, &err), &err);
    ck_bytes_eq(sl_buf_bytes(&a.der), sl_buf_bytes(&b.der));
    sl_buf_clear(&a.der);
    sl_buf_clear(&b.der);
    fix_close(&f);
}
END_TEST

/* ---- approval by hand ---------------------------------------------------------------------------------------- */

START_TEST(request_without_challenge_waits_for_an_operator)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a = { 0 };
    char serial[SL_SERIAL_TEXT], text[512];
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    fix_generate(&f, "thief", "ecdsa:p256");
    X509 *signer = fix_self(&f, "dev"), *other = fix_self(&f, "thief");
    SL_AUTO_BUF csr = { 0 };
    fix_csr(&f, &csr, "dev", "CN=dev,O=Lab", "dns:dev,ip:192.0.2.9", "");
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    ck_assert_int_eq(a.outcome, SL_CA_PENDING);
    int64_t id = a.request;
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    ck_assert_int_eq(a.request, id); /* asked twice, waits once */
    ck_ok(sl_ca_poll(f.ca, "t", signer, T0 + 5, &a, &err), &err);
    ck_assert_int_eq(a.outcome, SL_CA_PENDING);
    ck_ok(sl_ca_approve(f.ca, id, T0 + 10, serial, &err), &err);
    ck_rc(sl_ca_poll(f.ca, "t", other, T0 + 11, &a, &err), SL_NOT_FOUND, &err);
    ck_ok(sl_ca_poll(f.ca, "t", signer, T0 + 11, &a, &err), &err);
    ck_assert_int_eq(a.outcome, SL_CA_ISSUED);
    ck_assert_str_eq(a.serial, serial);
    X509 *x = NULL;
    ck_ok(xb_cert_read(&x, sl_buf_bytes(&a.der), &err), &err);
    ck_assert(by_us(&f, x, T0 + 11));
    subject_of(x, text);
    ck_assert_str_eq(text, "CN=dev,O=Lab");
    san_of(x, text);
    ck_assert_str_eq(text, "dns:dev, ip:192.0.2.9");
    ck_rc(sl_ca_approve(f.ca, id, T0 + 12, serial, &err), SL_EXISTS, &err);
    ck_rc(sl_ca_reject(f.ca, id, "late", T0 + 12, &err), SL_EXISTS, &err);
    X509_free(x);
    X509_free(signer);
    X509_free(other);
    sl_buf_clear(&a.der);
    fix_close(&f);
}
END_TEST

START_TEST(rejected_request_stays_rejected_and_says_why)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    char serial[SL_SERIAL_TEXT];
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    SL_AUTO_BUF csr = { 0 };
    fix_csr(&f, &csr, "dev", "CN=dev", "", "");
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), &err);
    ck_ok(sl_ca_reject(f.ca, a.request, "nobody knows it", T0, &err), &err);
    ck_rc(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0, &a, &err), SL_CA_REJECTED, &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "nobody knows it"));
    ck_rc(sl_ca_approve(f.ca, 1, T0, serial, &err), SL_EXISTS, &err);
    f.conf.manual_approval = false;
    SL_AUTO_BUF other = { 0 };
    fix_csr(&f, &other, "dev", "CN=dev2", "", "");
    ck_rc(fix_submit(&f, "t2", "dev", sl_buf_bytes(&other), NULL, T0, &a, &err),
          SL_CA_CHALLENGE_WRONG, &err);
    fix_close(&f);
}
END_TEST

/* ---- renewal --------------------------------------------------------------------------------------------------- */

START_TEST(renewal_keeps_the_names_whatever_is_asked)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    char text[512], old_serial[SL_SERIAL_TEXT];
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    fix_generate(&f, "dev.new", "ecdsa:p256");
    X509 *old = fix_enrol(&f, "dev", T0);
    serial_of(old, old_serial);
    SL_AUTO_BUF csr = { 0 };
    fix_csr(&f, &csr, "dev.new", "CN=dev,O=Elsewhere", "", "");
    ck_ok(fix_submit(&f, "r1", "dev", sl_buf_bytes(&csr), old, T0 + 3600, &a, &err), &err);
    ck_assert_int_eq(a.outcome, SL_CA_ISSUED);
    ck_assert_str_ne(a.serial, old_serial);
    X509 *x = NULL;
    ck_ok(xb_cert_read(&x, sl_buf_bytes(&a.der), &err), &err);
    subject_of(x, text);
    ck_assert_str_eq(text, "CN=dev");
    san_of(x, text);
    ck_assert_str_eq(text, "dns:dev");
    X509_free(x);
    sl_buf_clear(&a.der);
    SL_AUTO_BUF wider = { 0 };
    fix_csr(&f, &wider, "dev.new", "CN=dev", "dns:other", "");
    ck_rc(fix_submit(&f, "r2", "dev", sl_buf_bytes(&wider), old, T0, &a, &err), SL_CA_RENEWAL,
          &err);
    SL_AUTO_BUF other = { 0 };
    fix_csr(&f, &other, "dev.new", "CN=other", "", "");
    ck_rc(fix_submit(&f, "r3", "dev", sl_buf_bytes(&other), old, T0, &a, &err), SL_CA_RENEWAL,
          &err);
    X509_free(old);
    fix_close(&f);
}
END_TEST

START_TEST(renewal_needs_a_certificate_in_force_or_a_challenge)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    fix_generate(&f, "dev.new", "ecdsa:p256");
    X509 *old = fix_enrol(&f, "dev", T0), *foreign = fix_self(&f, "dev");
    SL_AUTO_BUF csr = { 0 };
    fix_csr(&f, &csr, "dev.new", "CN=dev", "", "");
    int64_t late = T0 + f.conf.lifetime_s + 1;
    ck_rc(fix_submit(&f, "1", "dev", sl_buf_bytes(&csr), old, late, &a, &err), SL_CA_RENEWAL, &err);
    ck_rc(fix_submit(&f, "2", "dev", sl_buf_bytes(&csr), foreign, T0, &a, &err), SL_CA_RENEWAL,
          &err);
    f.conf.renewal = false;
    ck_rc(fix_submit(&f, "3", "dev", sl_buf_bytes(&csr), old, T0, &a, &err), SL_CA_RENEWAL, &err);
    f.conf.renewal = true;
    char serial[SL_SERIAL_TEXT], c[64];
    serial_of(old, serial);
    ck_ok(sl_ca_revoke(f.ca, serial, 4, T0 + 1, &err), &err);
    ck_rc(fix_submit(&f, "4", "dev", sl_buf_bytes(&csr), old, T0 + 2, &a, &err), SL_CA_RENEWAL,
          &err);
    ck_assert_ptr_nonnull(strstr(sl_err_text(&err), "revoked"));
    fix_challenge(&f, "dev", NULL, late, c);
    SL_AUTO_BUF with = { 0 };
    fix_csr(&f, &with, "dev.new", "CN=dev", "", c);
    ck_ok(fix_submit(&f, "5", "dev", sl_buf_bytes(&with), old, late, &a, &err), &err);
    sl_buf_clear(&a.der);
    X509_free(old);
    X509_free(foreign);
    fix_close(&f);
}
END_TEST

/* ---- crashes ------------------------------------------------------------------------------------------------------ */

/* A key owner in whose hands the process dies. */
static enum sl_rc sign_and_die(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                               struct sl_buf *out, struct sl_err *err)
{
    (void)ctx, (void)name, (void)sig, (void)data, (void)out, (void)err;
    _exit(9);
}

START_TEST(process_killed_while_signing_leaves_no_certificate_and_no_free_serial)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64];
    fix_challenge(&f, "dev", NULL, T0, c);
    SL_AUTO_BUF csr = { 0 };
    fix_csr(&f, &csr, "dev", "CN=dev", "", c);
    X509 *signer = fix_self(&f, "dev");
    /* the child has its own connection to the database, as another process would */
    sl_ca_free(f.ca);
    sl_store_free(f.store);
    f.ca = NULL;
    f.store = NULL;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        f.env.record = NULL;
        if (sl_store_open(&f.store, f.path, NULL) != SL_OK)
            _exit(1);
        f.env.store = f.store;
        f.ops.sign = sign_and_die;
        if (sl_ca_open(&f.ca, &f.env, NULL) != SL_OK)
            _exit(2);
        struct sl_ca_request req = { .transaction_id = "t",
                                     .csr = sl_buf_bytes(&csr),
                                     .signer = signer };
        struct sl_ca_answer mine = { 0 };
        _exit(sl_ca_submit(f.ca, &req, T0, &mine, NULL) == SL_OK ? 3 : 4);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 9 << 8);
    fix_reopen(&f);
    struct sl_store_counts n;
    ck_ok(sl_store_count(f.store, T0, &n, &err), &err);
    ck_assert_int_eq(n.abandoned, 1);
    int64_t own = n.issued; /* the authority's certificates */
    /* the device asks again, with a challenge that is used up, and is served */
    ck_ok(fix_submit(&f, "t", "dev", sl_buf_bytes(&csr), NULL, T0 + 1, &a, &err), &err);
    ck_assert_int_eq(a.outcome, SL_CA_ISSUED);
    ck_ok(sl_store_count(f.store, T0, &n, &err), &err);
    ck_assert_int_eq(n.issued, own + 1);
    ck_assert_int_eq(n.abandoned, 1);
    sl_buf_clear(&a.der);
    X509_free(signer);
    fix_close(&f);
}
END_TEST

static enum sl_rc sign_wrongly(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                               struct sl_buf *out, struct sl_err *err)
{
    struct sl_key_ops good = sl_keyset_ops(ctx);
    SL_AUTO_BUF other = { 0 };
    if (!sl_buf_put(&other, data) || other.len == 0)
        return SL_FAIL_MEM(err);
    other.p[0] ^= 1;
    return good.sign(ctx, name, sig, sl_buf_bytes(&other), out, err);
}

START_TEST(wrong_signature_of_the_key_owner_is_never_recorded)
{
    struct fixture f;
    struct sl_err err = { 0 };
    struct sl_ca_answer a;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "dev", "ecdsa:p256");
    char c[64];
    fix_challenge(&f, "dev", NULL, T0, c);
    SL_AUTO_BUF csr = { 0 };
    fix_csr(&f, &csr, "dev", "CN=dev", "", c);
    X509 *signer = fix_self(&f, "dev");
    struct sl_ca_request req = { .transaction_id = "t",
                                 .csr = sl_buf_bytes(&csr),
                                 .signer = signer };
    f.ops.sign = sign_wrongly;
    a = (struct sl_ca_answer){ 0 };
    ck_rc(sl_ca_submit(f.ca, &req, T0, &a, &err), SL_CRYPTO, &err);
    f.ops = sl_keyset_ops(f.keys);
    ck_ok(sl_ca_submit(f.ca, &req, T0, &a, &err), &err);
    sl_buf_clear(&a.der);
    X509_free(signer);
    fix_close(&f);
}
END_TEST

/* ---- CRL ------------------------------------------------------------------------------------------------------------ */

START_TEST(crl_lists_the_revoked_with_rising_numbers_by_schedule)
{
    struct fixture f;
    struct sl_err err = { 0 };
    char serial[SL_SERIAL_TEXT];
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "a", "ecdsa:p256");
    fix_generate(&f, "b", "ecdsa:p256");
    X509 *a = fix_enrol(&f, "a", T0), *b = fix_enrol(&f, "b", T0);
    X509_CRL *one = crl_of(&f, SL_CA_ISSUING, false, T0);
    X509_CRL *same = crl_of(&f, SL_CA_ISSUING, false, T0 + 3599);
    ck_assert_int_eq(crl_number(one), crl_number(same));
    X509_CRL *due = crl_of(&f, SL_CA_ISSUING, false, T0 + 3600);
    ck_assert_int_eq(crl_number(due), crl_number(one) + 1);
    ck_assert(!listed(due, a));
    serial_of(a, serial);
    ck_ok(sl_ca_revoke(f.ca, serial, 1, T0 + 3700, &err), &err);
    ck_rc(sl_ca_revoke(f.ca, serial, 1, T0 + 3700, &err), SL_EXISTS, &err);
    ck_rc(sl_ca_revoke(f.ca, "0badc0de", 1, T0 + 3700, &err), SL_NOT_FOUND, &err);
    ck_rc(sl_ca_revoke(f.ca, "xyz", 1, T0 + 3700, &err), SL_USAGE, &err);
    X509_CRL *with = crl_of(&f, SL_CA_ISSUING, false, T0 + 3700);
    ck_assert_int_eq(crl_number(with), crl_number(due) + 1);
    ck_assert(listed(with, a) && !listed(with, b));
    int64_t next = 0, from = 0;
    ck_assert(xb_time(&next, X509_CRL_get0_nextUpdate(with)));
    ck_assert(xb_time(&from, X509_CRL_get0_lastUpdate(with)));
    ck_assert_int_eq(next, T0 + 3700 + f.conf.crl_lifetime_s);
    ck_assert_int_le(from, T0 + 3700);
    /* still there after its end, on a list made beyond it; gone later (RFC 5280 5) */
    int64_t end = T0 + f.conf.lifetime_s;
    X509_CRL *beyond = crl_of(&f, SL_CA_ISSUING, true, end + 60);
    ck_assert(listed(beyond, a));
    X509_CRL *later = crl_of(&f, SL_CA_ISSUING, true, end + f.conf.crl_lifetime_s + 60);
    ck_assert(!listed(later, a));
    X509_CRL *lists[] = { one, same, due, with, beyond, later };
    for (size_t i = 0; i < SL_ARRAY_LEN(lists); i++)
        X509_CRL_free(lists[i]);
    X509_free(a);
    X509_free(b);
    fix_close(&f);
}
END_TEST

START_TEST(revoked_issuing_ca_is_on_the_root_s_crl_alone)
{
    struct fixture f;
    struct sl_err err = { 0 };
    char serial[SL_SERIAL_TEXT];
    fix_new(&f, "ecdsa:p256");
    X509 *issuing = sl_ca_cert_get(f.ca, SL_CA_ISSUING);
    serial_of(issuing, serial);
    ck_ok(sl_ca_revoke(f.ca, serial, 2, T0 + 1, &err), &err);
    X509_CRL *root = crl_of(&f, SL_CA_ROOT, false, T0 + 1);
    X509_CRL *own = crl_of(&f, SL_CA_ISSUING, true, T0 + 1);
    ck_assert(listed(root, issuing) && !listed(own, issuing));
    X509_CRL_free(root);
    X509_CRL_free(own);
    serial_of(sl_ca_cert_get(f.ca, SL_CA_ROOT), serial);
    ck_rc(sl_ca_revoke(f.ca, serial, 2, T0 + 1, &err), SL_USAGE, &err);
    fix_close(&f);
}
END_TEST

START_TEST(tick_renews_ra_and_ocsp_certificates_and_crls)
{
    struct fixture f;
    struct sl_err err = { 0 };
    char before[SL_SERIAL_TEXT], after[SL_SERIAL_TEXT], ra[SL_SERIAL_TEXT], ra2[SL_SERIAL_TEXT];
    fix_new(&f, "ecdsa:p256");
    int64_t next = 0;
    serial_of(sl_ca_cert_get(f.ca, SL_CA_OCSP), before);
    serial_of(sl_ca_cert_get(f.ca, SL_CA_RA), ra);
    ck_ok(sl_ca_tick(f.ca, T0 + 10, &next, &err), &err);
    ck_assert_int_eq(next, T0 + 3600);
    serial_of(sl_ca_cert_get(f.ca, SL_CA_OCSP), after);
    ck_assert_str_eq(before, after);
    int64_t later = T0 + 121LL * 24 * 3600;
    ck_ok(sl_ca_tick(f.ca, later, &next, &err), &err);
    serial_of(sl_ca_cert_get(f.ca, SL_CA_OCSP), after);
    serial_of(sl_ca_cert_get(f.ca, SL_CA_RA), ra2);
    ck_assert_str_ne(before, after);
    ck_assert_str_ne(ra, ra2);
    ck_assert_int_gt(next, later);
    ck_assert_int_le(next, later + 3600);
    fix_reopen(&f);
    serial_of(sl_ca_cert_get(f.ca, SL_CA_OCSP), before);
    ck_assert_str_eq(before, after);
    fix_close(&f);
}
END_TEST

/* ---- OCSP ------------------------------------------------------------------------------------------------------------- */

static void ocsp_request(struct sl_buf *out, struct fixture *f, X509 *x, const EVP_MD *md,
                         bool nonce)
{
    OCSP_REQUEST *req = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(md, x, sl_ca_cert_get(f->ca, SL_CA_ISSUING));
    ck_assert_ptr_nonnull(OCSP_request_add0_id(req, id));
    if (nonce)
        OCSP_request_add1_nonce(req, NULL, 16);
    uint8_t *p = NULL;
    int len = i2d_OCSP_REQUEST(req, &p);
    ck_assert(sl_buf_put(out, sl_bytes(p, (size_t)len)));
    OPENSSL_free(p);
    OCSP_REQUEST_free(req);
}

/* Asks, verifies the answer as a client would, and returns the status of x. */
static int ocsp_status(struct fixture *f, X509 *x, const EVP_MD *md, bool nonce, int64_t now,
                       int *reason)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF der = { 0 };
    SL_AUTO_BUF answer = { 0 };
    int64_t max_age = -1;
    ocsp_request(&der, f, x, md, nonce);
    ck_ok(sl_ca_ocsp(f->ca, sl_buf_bytes(&der), now, &answer, &max_age, &err), &err);
    ck_assert(nonce ? max_age == 0 : max_age > 0);
    const uint8_t *p = answer.p, *q = der.p;
    OCSP_RESPONSE *resp = d2i_OCSP_RESPONSE(NULL, &p, (long)answer.len);
    OCSP_REQUEST *req = d2i_OCSP_REQUEST(NULL, &q, (long)der.len);
    ck_assert_ptr_nonnull(resp);
    ck_assert_int_eq(OCSP_response_status(resp), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(resp);
    ck_assert_int_eq(OCSP_check_nonce(req, basic), nonce ? 1 : 2);
    X509_STORE *store = X509_STORE_new();
    X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), (time_t)now);
    X509_STORE_add_cert(store, sl_ca_cert_get(f->ca, SL_CA_ROOT));
    STACK_OF(X509) *between = sk_X509_new_null();
    sk_X509_push(between, sl_ca_cert_get(f->ca, SL_CA_ISSUING));
    ck_assert_int_eq(OCSP_basic_verify(basic, between, store, 0), 1);
    OCSP_CERTID *id = OCSP_cert_to_id(md, x, sl_ca_cert_get(f->ca, SL_CA_ISSUING));
    int status = -1;
    ASN1_GENERALIZEDTIME *rev, *from, *to;
    ck_assert_int_eq(OCSP_resp_find_status(basic, id, &status, reason, &rev, &from, &to), 1);
    int64_t end = 0, produced = 0;
    ck_assert(xb_time(&end, to) && xb_time(&produced, OCSP_resp_get0_produced_at(basic)));
    ck_assert_int_eq(end, now + f->conf.ocsp_lifetime_s);
    ck_assert_int_eq(produced, now);
    OCSP_CERTID_free(id);
    sk_X509_free(between);
    X509_STORE_free(store);
    OCSP_BASICRESP_free(basic);
    OCSP_REQUEST_free(req);
    OCSP_RESPONSE_free(resp);
    return status;
}

START_TEST(ocsp_tells_good_revoked_and_unknown)
{
    struct fixture f;
    struct sl_err err = { 0 };
    char serial[SL_SERIAL_TEXT];
    int reason = 0;
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "a", "ecdsa:p256");
    X509 *a = fix_enrol(&f, "a", T0), *never = fix_self(&f, "a");
    ck_assert_int_eq(ocsp_status(&f, a, EVP_sha1(), false, T0, &reason), V_OCSP_CERTSTATUS_GOOD);
    ck_assert_int_eq(ocsp_status(&f, a, EVP_sha256(), true, T0, &reason), V_OCSP_CERTSTATUS_GOOD);
    serial_of(a, serial);
    ck_ok(sl_ca_revoke(f.ca, serial, 1, T0 + 1, &err), &err);
    ck_assert_int_eq(ocsp_status(&f, a, EVP_sha1(), true, T0 + 2, &reason),
                     V_OCSP_CERTSTATUS_REVOKED);
    ck_assert_int_eq(reason, 1);
    /* a serial that is not on record, although the issuer is right (RFC 6960 2.2) */
    X509_set_issuer_name(never, X509_get_subject_name(sl_ca_cert_get(f.ca, SL_CA_ISSUING)));
    ck_assert_int_eq(ocsp_status(&f, never, EVP_sha1(), false, T0, &reason),
                     V_OCSP_CERTSTATUS_UNKNOWN);
    X509_free(a);
    X509_free(never);
    fix_close(&f);
}
END_TEST

static int ocsp_error(struct fixture *f, struct sl_bytes der)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF answer = { 0 };
    int64_t max_age = -1;
    ck_ok(sl_ca_ocsp(f->ca, der, T0, &answer, &max_age, &err), &err);
    ck_assert_int_eq(max_age, 0);
    const uint8_t *p = answer.p;
    OCSP_RESPONSE *resp = d2i_OCSP_RESPONSE(NULL, &p, (long)answer.len);
    ck_assert_ptr_nonnull(resp);
    int status = OCSP_response_status(resp);
    OCSP_RESPONSE_free(resp);
    return status;
}

START_TEST(ocsp_answers_rubbish_with_malformed_request)
{
    struct fixture f;
    fix_new(&f, "ecdsa:p256");
    SL_AUTO_BUF der = { 0 };
    ocsp_request(&der, &f, sl_ca_cert_get(f.ca, SL_CA_RA), EVP_sha1(), true);
    for (size_t i = 0; i < der.len; i++)
        ck_assert_int_eq(ocsp_error(&f, sl_bytes(der.p, i)), OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
    ck_assert(sl_buf_put(&der, sl_bytes("x", 1)));
    ck_assert_int_eq(ocsp_error(&f, sl_buf_bytes(&der)), OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
    fix_close(&f);
    fix_open(&f);
    der.len--;
    ck_assert_int_eq(ocsp_error(&f, sl_buf_bytes(&der)), OCSP_RESPONSE_STATUS_TRYLATER);
    fix_close(&f);
}
END_TEST

/* ---- an independent judge: openssl(1) ------------------------------------------------------------------------------------ */

START_TEST(openssl_command_agrees_with_certificates_crl_and_ocsp)
{
    struct fixture f;
    struct sl_err err = { 0 };
    char serial[SL_SERIAL_TEXT], cmd[4096], dir[128];
    snprintf(dir, sizeof(dir), "%s", sl_test_tmpdir());
    fix_new(&f, "ecdsa:p256");
    fix_generate(&f, "a.example", "rsa:2048");
    fix_generate(&f, "b.example", "ecdsa:p384");
    X509 *a = fix_enrol(&f, "a.example", T0), *b = fix_enrol(&f, "b.example", T0);
    serial_of(b, serial);
    ck_ok(sl_ca_revoke(f.ca, serial, 1, T0 + 1, &err), &err);
    struct {
        const char *name;
        X509 *x;
    } files[] = { { "root", sl_ca_cert_get(f.ca, SL_CA_ROOT) },
                  { "issuing", sl_ca_cert_get(f.ca, SL_CA_ISSUING) },
                  { "a", a },
                  { "b", b } };
    for (size_t i = 0; i < SL_ARRAY_LEN(files); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s.der", dir, files[i].name);
        fix_write_cert(path, files[i].x);
    }
    SL_AUTO_BUF crl = { 0 };
    SL_AUTO_BUF root_crl = { 0 };
    SL_AUTO_BUF req = { 0 };
    SL_AUTO_BUF resp = { 0 };
    int64_t max_age;
    ck_ok(sl_ca_crl(f.ca, SL_CA_ISSUING, false, T0 + 2, &crl, &err), &err);
    ck_ok(sl_ca_crl(f.ca, SL_CA_ROOT, false, T0 + 2, &root_crl, &err), &err);
    ocsp_request(&req, &f, a, EVP_sha1(), false);
    ck_ok(sl_ca_ocsp(f.ca, sl_buf_bytes(&req), T0 + 2, &resp, &max_age, &err), &err);
    char path[256];
    snprintf(path, sizeof(path), "%s/crl.der", dir);
    fix_write(path, sl_buf_bytes(&crl));
    snprintf(path, sizeof(path), "%s/rootcrl.der", dir);
    fix_write(path, sl_buf_bytes(&root_crl));
    snprintf(path, sizeof(path), "%s/resp.der", dir);
    fix_write(path, sl_buf_bytes(&resp));
    snprintf(cmd, sizeof(cmd),
             "cd %s && exec 2>openssl.log && set -e\n"
             "for f in root issuing a b; do openssl x509 -inform DER -in $f.der -out $f.pem; done\n"
             "openssl crl -inform DER -in crl.der -out crl.pem\n"
             "openssl crl -inform DER -in rootcrl.der -out rootcrl.pem\n"
             "V='openssl verify -x509_strict -attime %lld -crl_check_all -CAfile root.pem"
             " -untrusted issuing.pem -CRLfile crl.pem -CRLfile rootcrl.pem'\n"
             "$V a.pem >&2\n"
             "if $V b.pem >b.out 2>&1; then exit 3; fi\n"
             "grep -q 'certificate revoked' b.out\n"
             "openssl ocsp -respin resp.der -issuer issuing.pem -cert a.pem -CAfile root.pem"
             " -verify_other issuing.pem -attime %lld -no_nonce -validity_period 999999999"
             " >ocsp.out\n"
             "grep -q 'a.pem: good' ocsp.out && grep -q 'Response verify OK' openssl.log\n"
             "openssl x509 -in a.pem -noout -text | grep -q 'ipsec Internet Key Exchange'\n",
             dir, (long long)T0 + 2, (long long)T0 + 2);
    int rc = system(cmd);
    if (rc != 0) {
        snprintf(cmd, sizeof(cmd), "cat %s/openssl.log %s/*.out >&2", dir, dir);
        ck_assert_int_eq(system(cmd), 0);
    }
    ck_assert_int_eq(rc, 0);
    X509_free(a);
    X509_free(b);
    fix_close(&f);
}
END_TEST

SL_TESTS(ca, SL_CASE(setup_with_ec_keys_makes_root_issuing_ra_and_ocsp),
         SL_CASE(setup_with_rsa_needs_no_ra_and_happens_once),
         SL_CASE(setup_with_a_weak_or_unfit_key_is_refused),
         SL_CASE(every_verb_before_setup_says_what_to_do),
         SL_CASE(challenge_gives_a_certificate_of_the_profile),
         SL_CASE(lifetime_never_passes_the_issuing_ca), SL_CASE(unusable_challenges_are_told_apart),
         SL_CASE(challenge_with_more_names_gives_those_that_are_asked_for),
         SL_CASE(extensions_of_a_request_are_not_copied),
         SL_CASE(weak_forged_and_damaged_requests_are_refused),
         SL_CASE(same_request_again_has_the_same_certificate),
         SL_CASE(request_without_challenge_waits_for_an_operator),
         SL_CASE(rejected_request_stays_rejected_and_says_why),
         SL_CASE(renewal_keeps_the_names_whatever_is_asked),
         SL_CASE(renewal_needs_a_certificate_in_force_or_a_challenge),
         SL_CASE(process_killed_while_signing_leaves_no_certificate_and_no_free_serial),
         SL_CASE(wrong_signature_of_the_key_owner_is_never_recorded),
         SL_CASE(crl_lists_the_revoked_with_rising_numbers_by_schedule),
         SL_CASE(revoked_issuing_ca_is_on_the_root_s_crl_alone),
         SL_CASE(tick_renews_ra_and_ocsp_certificates_and_crls),
         SL_CASE(ocsp_tells_good_revoked_and_unknown),
         SL_CASE(ocsp_answers_rubbish_with_malformed_request),
         SL_CASE(openssl_command_agrees_with_certificates_crl_and_ocsp))
