/*
 * cert verify and cert explain in this process: from files to verdict and exit status, batches, and
 * every member of a request. What the path and the CRLs decide has tests of its own; here each input must
 * arrive where it counts.
 */
#include "sealane/verify.h"
#include "src/cmd/sealane/cli.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sl_err err;

/* ---- a small PKI in files ------------------------------------------------------------------------------ */
static struct pki {
    struct test_cert root, sub, leaf, other;
    struct sl_bytes root_crl, sub_crl, revoking;
} pki;

static char *in_tmp(const char *name)
{
    static char path[8][256];
    static unsigned turn;
    char *p = path[turn++ % SL_ARRAY_LEN(path)];
    snprintf(p, sizeof(path[0]), "%s/%s", sl_test_tmpdir(), name);
    return p;
}

static void put_file(const char *name, struct sl_bytes content)
{
    FILE *f = fopen(in_tmp(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(content.p, 1, content.len, f), content.len);
    ck_assert_int_eq(fclose(f), 0);
}

static void setup(void)
{
    pki.root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    pki.sub = test_cert(&(struct test_spec){ .subject = "CN=sub", .by = &pki.root, .ca = true });
    pki.leaf = test_cert(&(struct test_spec){
        .subject = "CN=leaf",
        .by = &pki.sub,
        .serial = 77,
        .ext = "subjectAltName=DNS:gw-a.example,IP:192.0.2.1,email:a@gw.example\n"
               "extendedKeyUsage=serverAuth\n" });
    pki.other = test_cert(&(struct test_spec){ .subject = "CN=other", .ca = true });
    pki.root_crl = test_crl(&(struct test_crl_spec){ .by = &pki.root, .number = 1 });
    pki.sub_crl = test_crl(&(struct test_crl_spec){ .by = &pki.sub, .number = 1 });
    pki.revoking =
        test_crl(&(struct test_crl_spec){ .by = &pki.sub, .number = 2, .revoked = { 77 } });
    put_file("root.pem", test_pem(&pki.root));
    put_file("other.pem", test_pem(&pki.other));
    put_file("sub.der", pki.sub.der);
    put_file("leaf.der", pki.leaf.der);
    put_file("root.crl", pki.root_crl);
    put_file("sub.crl", pki.sub_crl);
    put_file("revoking.crl", pki.revoking);
    put_file("junk", sl_str("no certificate\n"));
    SL_AUTO_BUF chain = { 0 };
    ck_assert(sl_buf_put(&chain, test_pem(&pki.leaf)) && sl_buf_put(&chain, test_pem(&pki.sub)));
    put_file("chain.pem", sl_buf_bytes(&chain));
}

/* ---- a run ------------------------------------------------------------------------------------------------ */
static struct run {
    enum cli_exit status;
    char *out, *err;
    json_t *answer; /* of --json */
} run;

static void run_clear(void)
{
    free(run.out);
    free(run.err);
    json_decref(run.answer);
    run = (struct run){ 0 };
}

/* Words separated by blanks; a word that begins with '@' is a file of the temporary directory. */
static void sealane(const char *words)
{
    char copy[2048], *rest = copy, *argv[64] = { (char[]){ "sealane" } };
    char paths[16][256];
    size_t n, used = 0;
    int argc = 1;
    run_clear();
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *w; (w = strsep(&rest, " "));) {
        if (*w == '@' && used < SL_ARRAY_LEN(paths)) {
            snprintf(paths[used], sizeof(paths[0]), "%s/%s", sl_test_tmpdir(), w + 1);
            w = paths[used++];
        }
        argv[argc++] = w;
    }
    FILE *out = open_memstream(&run.out, &n), *e = open_memstream(&run.err, &n);
    run.status = cli_main(argc, argv, out, e);
    fclose(out);
    fclose(e);
    run.answer = json_loads(run.out, 0, NULL);
}

#define GIVEN "--no-fetch --time 1795435200 --anchor @root.pem --intermediate @sub.der --eku none "
#define CRLS  "--crl @root.crl --crl @sub.crl "

static void expect(enum cli_exit status, const char *verdict, const char *reason)
{
    ck_assert_msg(run.status == status, "status %d, expected %d: %s%s", run.status, status, run.out,
                  run.err);
    ck_assert_msg(field_is(run.answer, "verdict", verdict), "%s", run.out);
    ck_assert_msg(field_is(run.answer, "reason", reason), "%s", run.out);
    ck_assert(*field_string(run.answer, "text"));
}

START_TEST(good_certificate_is_good_and_tells_its_chain)
{
    setup();
    sealane("cert verify --json " GIVEN CRLS "@leaf.der");
    expect(CLI_OK, "good", "OK");
    ck_assert_uint_eq(json_array_size(json_object_get(run.answer, "chain")), 3);
    ck_assert(
        field_is(json_array_get(json_object_get(run.answer, "chain"), 2), "subject", "CN=root"));
    ck_assert_uint_eq(json_array_size(json_object_get(run.answer, "revocation")), 2);
    ck_assert(field_is(run.answer, "revocation_mode", "require"));
    ck_assert(field_is(run.answer, "time", "2026-11-23T12:00:00Z"));
    ck_assert(json_is_array(json_object_get(run.answer, "policies")));
    ck_assert(json_is_array(json_object_get(run.answer, "candidates")));
}
END_TEST

START_TEST(each_option_arrives_where_it_counts)
{
    static const struct {
        const char *words, *verdict, *reason;
    } cases[] = {
        { GIVEN "@leaf.der", "good", "OK" }, /* without CRLs and fetching: off */
        { GIVEN "--revocation require @leaf.der", "refused", "REVOCATION_NONE" },
        { GIVEN "--crl @root.crl --crl @revoking.crl @leaf.der", "refused", "REVOKED" },
        { GIVEN "--crl @revoking.crl --revocation off @leaf.der", "good", "OK" },
        { GIVEN CRLS "--time 2026-12-25T00:00:00Z @leaf.der", "error", "USAGE" }, /* twice */
        { "--no-fetch --anchor @root.pem --intermediate @sub.der --eku none --time "
          "2026-12-25T00:00:00Z @leaf.der",
          "refused", "CERT_EXPIRED" },
        { "--no-fetch --anchor @root.pem --intermediate @sub.der --eku none --time "
          "2026-10-01T02:00:00.75+02:00 @leaf.der",
          "refused", "CERT_NOT_YET_VALID" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --eku none @leaf.der", "refused",
          "CERT_UNKNOWN_CA" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --eku none @chain.pem", "good", "OK" },
        { "--no-fetch --time 1795435200 --anchor @other.pem --eku none @chain.pem", "refused",
          "CERT_UNKNOWN_CA" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --anchor @junk --eku none @chain.pem",
          "good", "OK" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --intermediate @junk --eku none "
          "@chain.pem",
          "good", "OK" },
        /* the rule of IKE without --eku */
        { "--no-fetch --time 1795435200 --anchor @root.pem @chain.pem", "refused", "CERT_EKU" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --eku serverAuth @chain.pem", "good",
          "OK" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --eku 1.3.6.1.5.5.7.3.1 @chain.pem",
          "good", "OK" },
        { "--no-fetch --time 1795435200 --anchor @root.pem --eku 1.3.6.1.5.5.7.3.2 @chain.pem",
          "refused", "CERT_EKU" },
        { GIVEN "--id dns:GW-A.example @leaf.der", "good", "OK" },
        { GIVEN "--id dns:gw-b.example @leaf.der", "refused", "ID_NOT_IN_CERT" },
        { GIVEN "--id ip:192.0.2.1 @leaf.der", "good", "OK" },
        { GIVEN "--id email:a@gw.example @leaf.der", "good", "OK" },
        { GIVEN "--id email:b@gw.example @leaf.der", "refused", "ID_NOT_IN_CERT" },
        { GIVEN "--id dn:CN=leaf @leaf.der", "good", "OK" },
        { GIVEN "--explicit-policy @leaf.der", "refused", "CERT_POLICY" },
        { GIVEN "--max-depth 1 @leaf.der", "good", "OK" },
        { GIVEN "--max-depth 0 @leaf.der", "refused", "CERT_PATH_LENGTH" },
        { GIVEN "@junk", "refused", "CERT_MALFORMED" },
    };
    setup();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char words[1024];
        snprintf(words, sizeof(words), "cert verify --json %s", cases[i].words);
        sealane(words);
        if (strcmp(cases[i].verdict, "error") == 0) {
            ck_assert_int_eq(run.status, CLI_USAGE);
            continue;
        }
        ck_assert_msg(field_is(run.answer, "verdict", cases[i].verdict) &&
                          field_is(run.answer, "reason", cases[i].reason),
                      "%s: %s%s", words, run.out, run.err);
        ck_assert_int_eq(run.status, strcmp(cases[i].verdict, "good") == 0 ? CLI_OK : CLI_FAILED);
    }
}
END_TEST

START_TEST(unusable_input_is_an_error_and_no_verdict)
{
    static const char *const cases[] = {
        GIVEN "@absent.der",
        "--no-fetch --anchor @absent.pem @leaf.der",
        "--no-fetch --anchor @junk @leaf.der",
        "--no-fetch @leaf.der",
        GIVEN "",
        GIVEN "--time tomorrow @leaf.der",
        GIVEN "--id gw-a.example @leaf.der",
        GIVEN "--id keyid:00 @leaf.der",
        GIVEN "--policy any @leaf.der",
        GIVEN "--policy 1.2.3.4 --any-policy @leaf.der",
        GIVEN "--revocation hard @leaf.der",
        GIVEN "--profile web @leaf.der",
        GIVEN "--max-depth 256 @leaf.der",
        GIVEN "--batch @absent",
        GIVEN "--batch @junk @leaf.der",
        "--no-fetch --anchor @root.pem --eku 1.2.x @leaf.der",
    };
    setup();
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char words[1024];
        snprintf(words, sizeof(words), "cert verify %s", cases[i]);
        sealane(words);
        ck_assert_msg(run.status == CLI_USAGE && *run.err, "%s: %d %s%s", words, run.status,
                      run.out, run.err);
    }
    sealane("cert verify --json --no-fetch --anchor @absent.pem @leaf.der");
    expect(CLI_USAGE, "error", "IO");
}
END_TEST

START_TEST(what_is_left_out_is_noted)
{
    setup();
    sealane("cert verify --json " GIVEN "--crl @junk --revocation off @leaf.der");
    expect(CLI_OK, "good", "OK");
    ck_assert_uint_eq(json_array_size(json_object_get(run.answer, "notes")), 1);
    ck_assert_ptr_nonnull(strstr(run.out, "junk: holds no X509 CRL"));
}
END_TEST

START_TEST(people_are_told_the_story_and_what_would_help)
{
    setup();
    sealane("cert verify " GIVEN CRLS "@leaf.der");
    ck_assert_int_eq(run.status, CLI_OK);
    ck_assert_ptr_nonnull(strstr(run.out, "good: OK: certificate CN=leaf"));
    sealane("cert explain " GIVEN "--crl @root.crl --crl @revoking.crl @leaf.der");
    ck_assert_int_eq(run.status, CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(run.out, "REVOKED"));
    ck_assert_ptr_nonnull(strstr(run.out, "3. CN=root (serial "));
    ck_assert_ptr_nonnull(strstr(run.out, "Revocation (require)"));
    ck_assert_ptr_nonnull(strstr(run.out, "What would make it pass"));
    sealane("cert explain --no-fetch --time 1795435200 --anchor @root.pem --eku none "
            "--id dns:gw-a.example @chain.pem");
    ck_assert_int_eq(run.status, CLI_OK);
    ck_assert_ptr_nonnull(strstr(run.out, "The identity is in the certificate: dNSName"));
    ck_assert_ptr_null(strstr(run.out, "What would make it pass"));
}
END_TEST

/* ---- batch -------------------------------------------------------------------------------------------------- */
static json_t *base64(struct sl_bytes der)
{
    SL_AUTO_BUF text = { 0 };
    ck_assert(sl_base64(&text, der));
    return json_stringn((const char *)text.p, text.len);
}

static json_t *request(int id)
{
    return json_pack("{s:i, s:o, s:[o], s:[o], s:I, s:s, s:b}", "id", id, "leaf",
                     base64(pki.leaf.der), "anchors", base64(pki.root.der), "intermediates",
                     base64(pki.sub.der), "time", (json_int_t)TEST_NOW, "eku", "none", "no_fetch",
                     1);
}

static void put_line(struct sl_buf *out, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    ck_assert(sl_buf_put_str(out, text) && sl_buf_put_str(out, "\n"));
    free(text);
    json_decref(o);
}

/* The n-th answer's verdict, reason and id. */
static json_t *nth(size_t n)
{
    char *p = run.out;
    for (size_t i = 0; i < n && p; i++) {
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    json_t *o = p ? json_loads(p, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    ck_assert_msg(o, "no answer %zu in %s", n, run.out);
    return o;
}

static void expect_nth(size_t n, const char *verdict, const char *reason)
{
    json_t *o = nth(n);
    ck_assert_msg(field_is(o, "verdict", verdict) && field_is(o, "reason", reason),
                  "answer %zu is %s %s %s", n, field_string(o, "verdict"),
                  field_string(o, "reason"), field_string(o, "text"));
    json_decref(o);
}

START_TEST(batch_answers_each_line_and_goes_on_after_errors)
{
    SL_AUTO_BUF in = { 0 };
    json_t *r;
    setup();
    put_line(&in, request(1));
    ck_assert(sl_buf_put_str(&in, "not json\n\n  \n"));
    r = request(2);
    json_object_set_new(r, "wish", json_true());
    put_line(&in, r);
    r = request(3);
    json_object_set_new(r, "crls", json_pack("[o,o]", base64(pki.root_crl), base64(pki.revoking)));
    put_line(&in, r);
    r = request(4);
    json_object_del(r, "leaf");
    put_line(&in, r);
    r = request(5);
    json_object_set_new(r, "leaf", json_string("MIIB"));
    put_line(&in, r);
    ck_assert(sl_buf_put_str(&in, "[1]\n"));
    ck_assert(sl_buf_put_str(&in, "{\"id\":6,\"leaf\":[[[[[[[[[[1]]]]]]]]]]}\n"));
    r = request(7);
    json_object_set_new(r, "leaf",
                        json_stringn((const char *)test_pem(&pki.leaf).p, test_pem(&pki.leaf).len));
    json_object_set_new(r, "name", json_string("dns:gw-a.example"));
    put_line(&in, r);
    in.len--; /* the last line may lack its newline */
    put_file("batch", sl_buf_bytes(&in));
    sealane("cert verify --batch @batch");
    ck_assert_int_eq(run.status, CLI_OK);
    expect_nth(0, "good", "OK");
    expect_nth(1, "error", "MALFORMED");
    expect_nth(2, "error", "USAGE");
    expect_nth(3, "refused", "REVOKED");
    expect_nth(4, "error", "USAGE");
    expect_nth(5, "refused", "CERT_MALFORMED");
    expect_nth(6, "error", "MALFORMED");
    expect_nth(7, "error", "MALFORMED");
    expect_nth(8, "good", "OK");
    json_t *o = nth(8);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "id")), 7);
    json_decref(o);
}
END_TEST

START_TEST(batch_takes_from_the_options_what_a_line_does_not_say)
{
    SL_AUTO_BUF in = { 0 };
    setup();
    put_line(&in, json_pack("{s:o}", "leaf", base64(pki.leaf.der)));
    put_line(&in, json_pack("{s:o, s:s}", "leaf", base64(pki.leaf.der), "revocation", "off"));
    put_line(&in, json_pack("{s:o, s:[o]}", "leaf", base64(pki.leaf.der), "anchors",
                            base64(pki.other.der)));
    put_file("batch", sl_buf_bytes(&in));
    sealane("cert verify " GIVEN "--crl @root.crl --crl @revoking.crl --batch @batch");
    ck_assert_int_eq(run.status, CLI_OK);
    expect_nth(0, "refused", "REVOKED");
    expect_nth(1, "good", "OK");
    expect_nth(2, "refused", "CERT_UNKNOWN_CA");
}
END_TEST

START_TEST(batch_line_too_long_is_an_error_and_the_next_is_read)
{
    SL_AUTO_BUF in = { 0 };
    setup();
    ck_assert(sl_buf_reserve(&in, SL_VERIFY_LINE_MAX + 2));
    memset(in.p, ' ', SL_VERIFY_LINE_MAX + 1);
    in.len = SL_VERIFY_LINE_MAX + 1;
    ck_assert(sl_buf_put_str(&in, "\n"));
    put_line(&in, request(1));
    put_file("batch", sl_buf_bytes(&in));
    sealane("cert verify --batch @batch");
    expect_nth(0, "error", "TOO_LARGE");
    expect_nth(1, "good", "OK");
}
END_TEST

/* ---- members ------------------------------------------------------------------------------------------------- */
START_TEST(members_of_the_wrong_kind_are_named)
{
    static const struct {
        const char *member, *value, *says;
    } cases[] = {
        { "time", "\"yesterday\"", "time: expected" },
        { "time", "true", "time: expected" },
        { "time", "\"2026-02-01T00:00:00+1:00\"", "time: expected" },
        { "time", "999999999999999", "outside the years" },
        { "explicit_policy", "1", "expected true or false" },
        { "policy", "[\"1.2\",\"x\"]", "\"x\" is not an OID" },
        { "policy", "[1]", "is not an OID" },
        { "eku", "\"no such thing\"", "extended key usage" },
        { "revocation", "\"hard\"", "none of require, grace, off" },
        { "profile", "7", "none of rfc5280, strict" },
        { "max_depth", "-1", "expected a number from 0 to 255" },
        { "max_depth", "\"3\"", "expected a number" },
        { "name", "\"ip:1.2.3\"", "name" },
        { "name", "\"keyid:00\"", "no identity" },
        { "leaf", "7", "expected PEM or base64" },
        { "anchors", "[\"*\"]", "anchors[0]: neither PEM nor base64" },
        { "anchors", "{}", "anchors: expected PEM or base64" },
        { "", "1", "unknown member" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_verify_ask ask = { 0 };
        json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        sl_err_reset(&err);
        ck_rc(sl_verify_set(&ask, cases[i].member, value, &err), SL_USAGE, &err);
        ck_assert_msg(strstr(err.text, cases[i].says), "%s: %s", cases[i].member, err.text);
        json_decref(value);
        sl_verify_ask_clear(&ask);
    }
}
END_TEST

START_TEST(any_policy_in_the_set_is_any)
{
    struct sl_verify_ask ask = { 0 };
    json_t *v = json_pack("[s,s]", "1.2.3", "2.5.29.32.0"), *yes = json_true();
    ck_ok(sl_verify_set(&ask, "policy", v, &err), &err);
    ck_assert_uint_eq(ask.rules.policy_n, 0);
    json_array_remove(v, 1);
    ck_ok(sl_verify_set(&ask, "policy", v, &err), &err);
    ck_assert_uint_eq(ask.rules.policy_n, 1);
    ck_ok(sl_verify_set(&ask, "any_policy", yes, &err), &err);
    ck_assert_uint_eq(ask.rules.policy_n, 0);
    json_decref(v);
}
END_TEST

/* ---- fetching ------------------------------------------------------------------------------------------------ */
struct web {
    struct sl_bytes body;
    enum sl_rc rc;
    unsigned asked;
    char uri[256];
};

static struct sl_now test_now(void *ctx)
{
    (void)ctx;
    return (struct sl_now){ .mono_ns = 1, .utc_s = TEST_NOW };
}

static enum sl_rc test_fetch(void *ctx, const struct sl_question *q, struct sl_buf *body,
                             struct sl_err *e)
{
    struct web *w = ctx;
    w->asked++;
    snprintf(w->uri, sizeof(w->uri), "%s", q->uri);
    if (w->rc != SL_OK)
        return SL_FAIL(e, w->rc, "the server is dead");
    ck_assert(sl_buf_put(body, w->body));
    return SL_OK;
}

static json_t *fetched(struct web *w, bool no_fetch)
{
    struct test_cert root = test_cert(&(struct test_spec){ .subject = "CN=root", .ca = true });
    struct test_cert leaf = test_cert(
        &(struct test_spec){ .subject = "CN=leaf",
                             .by = &root,
                             .serial = 5,
                             .ext = "crlDistributionPoints=URI:http://crl.example/root.crl\n" });
    struct sl_verify_shell shell = { .ctx = w, .now = test_now, .fetch = test_fetch };
    struct sl_verify_ask ask = { .rules = { .any_use = true, .no_fetch = no_fetch } };
    if (!w->body.p)
        w->body = test_crl(&(struct test_crl_spec){ .by = &root, .number = 1, .revoked = { 5 } });
    ck_ok(sl_verify_put(&ask, SL_VERIFY_ANCHORS, root.der, "root", &err), &err);
    ck_ok(sl_verify_put_leaf(&ask, leaf.der, "leaf", &err), &err);
    json_t *answer = sl_verify(&ask, &shell);
    sl_verify_ask_clear(&ask);
    return answer;
}

START_TEST(fetching_asks_the_distribution_point_and_counts)
{
    struct web w = { 0 };
    json_t *answer = fetched(&w, false);
    ck_assert_uint_eq(w.asked, 1);
    ck_assert_str_eq(w.uri, "http://crl.example/root.crl");
    ck_assert(field_is(answer, "reason", "REVOKED"));
    json_decref(answer);
    w = (struct web){ .rc = SL_UNAVAILABLE };
    answer = fetched(&w, false);
    ck_assert(field_is(answer, "verdict", "refused"));
    ck_assert(field_is(answer, "reason", "REVOCATION_UNAVAILABLE"));
    ck_assert_ptr_nonnull(strstr(field_string(answer, "text"), "the server is dead"));
    json_decref(answer);
}
END_TEST

START_TEST(without_fetching_nobody_is_asked)
{
    struct web w = { 0 };
    json_t *answer = fetched(&w, true);
    ck_assert_uint_eq(w.asked, 0);
    ck_assert(field_is(answer, "verdict", "good")); /* and revocation is off */
    ck_assert(field_is(answer, "revocation_mode", "off"));
    json_decref(answer);
}
END_TEST

SL_TESTS(cert_verify, SL_CASE(good_certificate_is_good_and_tells_its_chain),
         SL_CASE(each_option_arrives_where_it_counts),
         SL_CASE(unusable_input_is_an_error_and_no_verdict), SL_CASE(what_is_left_out_is_noted),
         SL_CASE(people_are_told_the_story_and_what_would_help),
         SL_CASE(batch_answers_each_line_and_goes_on_after_errors),
         SL_CASE(batch_takes_from_the_options_what_a_line_does_not_say),
         SL_CASE(batch_line_too_long_is_an_error_and_the_next_is_read),
         SL_CASE(members_of_the_wrong_kind_are_named), SL_CASE(any_policy_in_the_set_is_any),
         SL_CASE(fetching_asks_the_distribution_point_and_counts),
         SL_CASE(without_fetching_nobody_is_asked))
