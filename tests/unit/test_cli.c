/*
 * The command `sealane` in this process: words to requests, answers to text and exit status, against a
 * control server that answers by script; and the documentation made from its tables is in step.
 * CTEST: threads
 */
#include "src/cmd/sealane/cli.h"
#include "support/support.h"

#include "sealane/audit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a control server ---------------------------------------------------------------------------------- */
static struct server {
    pthread_t thread;
    int listen_fd;
    char path[128];
    const char *answers; /* lines; sent when the request is there; NULL: hang up */
    const char *more;    /* to a second connection; NULL: there is none */
    char request[8192];
} server;

static void serve_one(struct server *s, const char *answers)
{
    int fd = accept(s->listen_fd, NULL, NULL);
    size_t n = 0;
    while (fd >= 0 && n + 1 < sizeof(s->request) && !memchr(s->request, '\n', n)) {
        ssize_t got = read(fd, s->request + n, sizeof(s->request) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    s->request[n] = '\0';
    /* In small pieces: the client must put lines together. */
    for (const char *p = answers; p && *p;) {
        size_t piece = strlen(p) < 7 ? strlen(p) : 7;
        if (send(fd, p, piece, MSG_NOSIGNAL) < 0)
            break;
        p += piece;
    }
    if (fd >= 0)
        close(fd);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    serve_one(s, s->answers);
    if (s->more)
        serve_one(s, s->more);
    return NULL;
}

static void server_start(const char *answers)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    snprintf(server.path, sizeof(server.path), "%s/control.sock", sl_test_tmpdir());
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s", server.path);
    (void)unlink(server.path);
    server.answers = answers;
    server.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server.listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    ck_assert_int_eq(listen(server.listen_fd, 1), 0);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, &server), 0);
}

static void server_stop(void)
{
    ck_assert_int_eq(pthread_join(server.thread, NULL), 0);
    close(server.listen_fd);
    (void)unlink(server.path);
}

/* ---- a run ------------------------------------------------------------------------------------------------ */
static struct run {
    enum cli_exit status;
    char *out, *err;
} run;

static void run_free(void)
{
    free(run.out);
    free(run.err);
    run.out = run.err = NULL;
}

/* Words separated by '|', so that one may hold spaces. */
static void sealane(const char *words)
{
    char copy[1024], *rest = copy, *argv[32] = { (char[]){ "sealane" } };
    int argc = 1;
    size_t n;
    run_free();
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *w; *words && (w = strsep(&rest, "|"));)
        argv[argc++] = w;
    FILE *out = open_memstream(&run.out, &n), *err = open_memstream(&run.err, &n);
    run.status = cli_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
}

/* Runs against the server; what it was asked is in server.request. */
static void ask(const char *words, const char *answers)
{
    char all[1200];
    server_start(answers);
    snprintf(all, sizeof(all), "--socket|%s|%s", server.path, words);
    sealane(all);
    server_stop();
}

static void expect_request(const char *json)
{
    json_t *want = json_loads(json, 0, NULL), *got = json_loads(server.request, 0, NULL);
    ck_assert_ptr_nonnull(want);
    ck_assert_msg(json_equal(want, got), "asked %s, expected %s", server.request, json);
    json_decref(want);
    json_decref(got);
}

#define expect_out(text)                                                                    \
    ck_assert_msg(strstr(run.out, text), "expected \"%s\" in \"%s\" (stderr \"%s\")", text, \
                  run.out, run.err)
#define expect_err(text) \
    ck_assert_msg(strstr(run.err, text), "expected \"%s\" in \"%s\"", text, run.err)
#define expect_status(want)                                                                        \
    ck_assert_msg(run.status == (want), "status %d, expected %d: %s%s", run.status, want, run.out, \
                  run.err)

#define OK_EMPTY "{\"rc\":\"OK\",\"text\":\"\",\"more\":false}\n"

/* ---- words --------------------------------------------------------------------------------------------- */
START_TEST(words_become_a_request)
{
    static const struct {
        const char *words, *request;
    } cases[] = {
        { "up|branches", "{\"verb\":\"up\",\"args\":{\"connection\":\"branches\"}}" },
        { "down|a|lan", "{\"verb\":\"down\",\"args\":{\"connection\":\"a\",\"child\":\"lan\"}}" },
        { "down|a|--wait", "{\"verb\":\"down\",\"args\":{\"connection\":\"a\",\"wait\":true}}" },
        { "rekey|a|--ike", "{\"verb\":\"rekey\",\"args\":{\"connection\":\"a\",\"ike\":true}}" },
        { "ca|challenge|gw-a.example|--ttl|15m|--san|dns:x|--san=ip:192.0.2.1",
          "{\"verb\":\"ca.challenge\",\"args\":{\"name\":\"gw-a.example\",\"ttl_s\":900,"
          "\"san\":[\"dns:x\",\"ip:192.0.2.1\"]}}" },
        { "ca|init|--key|ecdsa:p256|--name|Example CA",
          "{\"verb\":\"ca.init\",\"args\":{\"key\":\"ecdsa:p256\",\"name\":\"Example CA\"}}" },
        { "ca|approve|17", "{\"verb\":\"ca.approve\",\"args\":{\"id\":17}}" },
        { "ca|revoke|0a:0b|--reason|keyCompromise",
          "{\"verb\":\"ca.revoke\",\"args\":{\"serial\":\"0a:0b\",\"reason\":\"keyCompromise\"}}" },
        { "status", "{\"verb\":\"status\",\"args\":{}}" },
        { "up|--|-odd", "{\"verb\":\"up\",\"args\":{\"connection\":\"-odd\"}}" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        ask(cases[i].words, OK_EMPTY);
        expect_status(CLI_OK);
        expect_request(cases[i].request);
    }
}
END_TEST

START_TEST(wrong_words_are_usage_errors_that_help)
{
    static const struct {
        const char *words, *err;
    } cases[] = {
        { "", "usage: sealane" },
        { "statsu", "there is no command \"statsu\"; nearest: \"status\"" },
        { "ca", "ca needs one of: init challenge pending" },
        { "ca|aprove|1", "there is no command \"ca aprove\"; nearest: \"ca approve\"" },
        { "up", "CONNECTION is missing" },
        { "up|a|b|c", "\"c\" is one word too many" },
        { "ca|approve|x", "REQUEST: \"x\" is not a number" },
        { "ca|challenge|a|--tll|1h", "unknown option \"--tll\"; nearest: \"--ttl\"" },
        { "ca|challenge|a|--ttl", "--ttl needs a value" },
        { "ca|challenge|a|--ttl|soon", "\"soon\" is not a duration" },
        { "ca|challenge|a|--ttl|1h|--ttl|2h", "--ttl is given twice" },
        { "rekey|a|--ike=yes", "--ike takes no value" },
        { "policy|test|--cert|/nonexistent/x.pem", "/nonexistent/x.pem: No such file" },
        { "audit|query|--since|yesterday", "\"yesterday\" is not a time" },
        { "--socket", "--socket needs a value" },
        { "help|nothing", "there is no help on \"nothing\"" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        sealane(cases[i].words);
        expect_status(CLI_USAGE);
        expect_err(cases[i].err);
        ck_assert_str_eq(run.out, "");
    }
}
END_TEST

START_TEST(help_names_every_command_and_its_arguments)
{
    size_t n;
    const struct command *c = cli_commands(&n);
    sealane("help");
    expect_status(CLI_OK);
    for (size_t i = 0; i < n; i++) {
        char words[CLI_WORDS_MAX];
        expect_out(cli_words(words, &c[i], ' '));
        expect_out(c[i].text);
        ck_assert_msg((c[i].run != NULL) != (c[i].show != NULL), "%s is either run or shown",
                      words);
    }
    expect_out("3  the daemon cannot be reached");
    sealane("help|ca|challenge");
    expect_out("usage: sealane ca challenge NAME [--san NAME]... [--ttl DURATION]\n");
    sealane("ca|challenge|--help");
    expect_status(CLI_OK);
    expect_out("one-time challenge");
    sealane("help|verbs");
    expect_out("ca.challenge name san? ttl_s?\n");
    sealane("--version");
    expect_out("sealane " SL_VERSION);
}
END_TEST

START_TEST(secret_is_read_from_a_file_not_from_the_command_line)
{
    char path[160], words[400];
    snprintf(path, sizeof(path), "%s/challenge", sl_test_tmpdir());
    FILE *f = fopen(path, "we");
    fputs("s3cret word\nsecond line\n", f);
    fclose(f);
    snprintf(words, sizeof(words), "enroll|gw-a|--challenge-file|%s", path);
    ask(words, OK_EMPTY);
    expect_status(CLI_OK);
    expect_request(
        "{\"verb\":\"enroll\",\"args\":{\"identity\":\"gw-a\",\"challenge\":\"s3cret word\"}}");
}
END_TEST

/* ---- answers --------------------------------------------------------------------------------------------- */
START_TEST(refusal_names_object_reason_and_code)
{
    ask("ca|approve|17",
        "{\"rc\":\"NOT_FOUND\",\"text\":\"there is no request 17\",\"more\":false}\n");
    expect_status(CLI_FAILED);
    ck_assert_str_eq(run.err, "sealane: ca approve: there is no request 17 (NOT_FOUND)\n");
    ask("ca|approve|17", "{\"rc\":\"DENIED\",\"text\":\"\",\"more\":false}\n");
    expect_err("not permitted (DENIED)");
    ask("up|a|--json", "{\"rc\":\"IKE_PEER_DEAD\",\"text\":\"no answer\",\"more\":false}\n");
    expect_status(CLI_FAILED);
    expect_out("\"rc\": \"IKE_PEER_DEAD\"");
    /* an answer of a role is not the daemon being away */
    ask("ca|list", "{\"rc\":\"UNAVAILABLE\",\"text\":\"no authority here\",\"more\":false}\n");
    expect_status(CLI_FAILED);
}
END_TEST

START_TEST(absent_daemon_has_its_own_exit_status)
{
    sealane("--socket|/nonexistent/control.sock|status");
    expect_status(CLI_NO_DAEMON);
    expect_err(
        "the daemon cannot be reached at /nonexistent/control.sock: No such file or directory");
    ask("status", NULL);
    expect_status(CLI_NO_DAEMON);
    expect_err("closed the connection");
    ask("status", "{\"rc\":\"OK\",\"te");
    expect_status(CLI_NO_DAEMON);
}
END_TEST

START_TEST(rubbish_from_the_daemon_is_an_error)
{
    static const char *const rubbish[] = {
        "hello\n",          "[]\n", "{\"rc\":5}\n",
        "{\"rc\":\"OK\"\n", "\n",   "{\"rc\":\"NO_SUCH_CODE\",\"text\":\"x\"}\n"
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rubbish); i++) {
        ask("certs", rubbish[i]);
        expect_status(CLI_FAILED);
    }
}
END_TEST

START_TEST(control_characters_of_a_peer_do_not_reach_the_terminal)
{
    ask("certs", "{\"rc\":\"OK\",\"text\":\"\",\"data\":{\"certificates\":[{\"identity\":\"a\","
                 "\"subject\":\"CN=\\u001b[2Jx\\u009b1mB\\u00e9\"}]},\"more\":false}\n");
    expect_status(CLI_OK);
    expect_out("CN=\\x1b[2Jx\\x9b1mB\xc3\xa9");
    for (const char *p = run.out; *p; p++)
        ck_assert((unsigned char)*p >= 0x20 || *p == '\n');
}
END_TEST

START_TEST(tables_are_aligned_and_leave_out_empty_columns)
{
    ask("ca|list", "{\"rc\":\"OK\",\"data\":{\"certificates\":["
                   "{\"serial\":\"0a\",\"state\":\"valid\",\"subject\":\"CN=gw-a.example\",\"san\":"
                   "[\"dns:a\",\"dns:b\"]},"
                   "{\"serial\":\"0b0c0d0e\",\"state\":\"revoked\",\"subject\":\"CN=\\u00e9\","
                   "\"reason\":\"superseded\"}"
                   "]},\"more\":false}\n");
    ck_assert_str_eq(run.out,
                     "SERIAL    STATE    SUBJECT          NAMES         REASON\n"
                     "0a        valid    CN=gw-a.example  dns:a, dns:b  \n"
                     "0b0c0d0e  revoked  CN=\xc3\xa9                           superseded\n");
}
END_TEST

START_TEST(json_prints_the_data_as_they_came)
{
    ask("ca|list|--json",
        "{\"rc\":\"OK\",\"data\":{\"certificates\":[{\"serial\":\"0a\"}]},\"more\":false}\n");
    expect_status(CLI_OK);
    json_t *got = json_loads(run.out, 0, NULL),
           *want = json_loads("{\"certificates\":[{\"serial\":\"0a\"}]}", 0, NULL);
    ck_assert(json_equal(got, want));
    json_decref(got);
    json_decref(want);
}
END_TEST

START_TEST(challenge_alone_is_on_standard_output)
{
    ask("ca|challenge|gw-a", "{\"rc\":\"OK\",\"data\":{\"challenge\":\"ABCD-EFGH\",\"expires\":"
                             "\"2026-11-24T00:00:00Z\"},\"more\":false}\n");
    ck_assert_str_eq(run.out, "ABCD-EFGH\n");
    expect_err("for gw-a, once, until 2026-11-24T00:00:00Z");
}
END_TEST

START_TEST(enroll_shows_progress_until_the_certificate_comes)
{
    ask("enroll|gw-a",
        "{\"rc\":\"OK\",\"text\":\"asking http://ca/scep\",\"more\":true}\n"
        "{\"rc\":\"SCEP_PENDING\",\"text\":\"waits for approval\",\"data\":{},\"more\":true}\n"
        "{\"rc\":\"OK\",\"text\":\"\",\"data\":{\"subject\":\"CN=gw-a\",\"serial\":\"0a\"},"
        "\"more\":false}\n");
    expect_status(CLI_OK);
    expect_err("asking http://ca/scep\n");
    expect_err("waits for approval\n");
    expect_out("gw-a: the certificate is there\n");
    expect_out("serial       0a\n");
    ask("enroll|gw-a", "{\"rc\":\"SCEP_NO_PIN\",\"text\":\"no fingerprint is known\","
                       "\"data\":{\"ca_sha256\":\"00ff\"},\"more\":false}\n");
    expect_status(CLI_FAILED);
    expect_err("no fingerprint is known (SCEP_NO_PIN)");
    expect_err("has the SHA-256 fingerprint 00ff\n");
    expect_err("--fingerprint");
    /* told not to wait, it leaves when the request is pending */
    ask("enroll|gw-a|--no-wait",
        "{\"rc\":\"OK\",\"text\":\"request 17\",\"data\":{\"state\":\"pending\"},\"more\":true}\n");
    expect_status(CLI_OK);
    expect_request("{\"verb\":\"enroll\",\"args\":{\"identity\":\"gw-a\"}}");
    expect_err("the daemon goes on asking");
}
END_TEST

#define PROCESSES                                                                                  \
    "\"processes\":[{\"name\":\"ike\",\"pid\":12,\"state\":\"running\",\"since\":\"2026-11-23T10:" \
    "00:00Z\","                                                                                    \
    "\"restarts\":0,\"lost\":\"\"}"

START_TEST(status_says_what_is_not_well_and_what_to_do)
{
    ask("status",
        "{\"rc\":\"OK\",\"data\":{" PROCESSES "],\"roles\":{\"ike\":{\"ike_sas\":2,\"half_open\":0,"
        "\"problems\":[]}}},\"more\":false}\n");
    expect_status(CLI_OK);
    expect_out("sealane is well.\n");
    expect_out("ike          ike sas 2\n");
    ask("status", "{\"rc\":\"OK\",\"data\":{" PROCESSES
                  ",{\"name\":\"esp\",\"state\":\"restarting\",\"lost\":"
                  "\"signal 9\"}],\"roles\":{\"identity\":{\"problems\":[{\"text\":\"the "
                  "certificate of gw-a ends in 2 "
                  "days\",\"do\":\"sealane enroll gw-a\"}]}}},\"more\":false}\n");
    expect_status(CLI_NOT_WELL);
    expect_out("2 things are not well:\n");
    expect_out("identity: the certificate of gw-a ends in 2 days\n     -> sealane enroll gw-a\n");
    expect_out("esp: is restarting: signal 9\n");
    ask("status|--json", "{\"rc\":\"OK\",\"data\":{\"processes\":[],\"roles\":{\"fetch\":{"
                         "\"problems\":[{\"text\":\"x\"}]}}},"
                         "\"more\":false}\n");
    expect_status(CLI_NOT_WELL);
}
END_TEST

/* IKE's words about SAs and the datapath's counters are put together. */
START_TEST(sas_shows_ike_and_child_with_traffic)
{
    server.more = "{\"rc\":\"OK\",\"data\":{\"children\":[{\"id\":8},{\"id\":9,"
                  "\"in\":{\"packets\":3,\"bytes\":1500000,\"replayed\":2,\"late\":0},"
                  "\"out\":{\"packets\":1,\"bytes\":10,\"too_big\":1}}]},\"more\":false}\n";
    ask("sas", "{\"rc\":\"OK\",\"data\":{\"sas\":[{\"id\":7,\"connection\":\"branches\","
               "\"state\":\"established\",\"initiator\":true,\"local\":\"192.0.2.1:4500\","
               "\"remote\":\"198.51.100.7:4500\",\"id_local\":\"dns:a\",\"id_remote\":\"dns:b\","
               "\"suite\":\"aes128gcm16\",\"prf\":\"prfsha256\",\"ke\":\"curve25519\","
               "\"age_s\":3725,\"record\":17,\"natt\":true,\"children\":[{\"id\":9,"
               "\"name\":\"lan\",\"state\":\"installed\",\"spi_in\":\"c0000001\","
               "\"spi_out\":\"c0000002\",\"suite\":\"aes128gcm16\",\"esn\":true,"
               "\"udp_encap\":true,\"ts_local\":[\"10.1.0.0/16\"],"
               "\"ts_remote\":[\"10.2.0.0/16\"],\"rekey_in_s\":60}]}]},\"more\":false}\n");
    expect_status(CLI_OK);
    expect_request("{\"verb\":\"esp\",\"args\":{}}");
    expect_out("branches #7  established, 1h 2m old, we called\n");
    expect_out("accepted    audit record 17\n");
    expect_out("  child lan #9  installed, new keys in 1m\n");
    expect_out("10.1.0.0/16 === 10.2.0.0/16\n");
    expect_out("ESP       aes128gcm16, SPI in c0000001, out c0000002, ESN, in UDP\n");
    expect_out("in        3 packets, 1.5 MB\n");
    expect_out("dropped   replayed 2, too_big 1\n");
    ask("sas|other",
        "{\"rc\":\"OK\",\"data\":{\"sas\":[{\"connection\":\"x\"}]},\"more\":false}\n");
    expect_out("no SA of this connection\n");
    /* without the datapath's answer what IKE knows is shown */
    server.more = "{\"rc\":\"PROC_GONE\",\"text\":\"esp: process has ended\",\"more\":false}\n";
    ask("sas", "{\"rc\":\"OK\",\"data\":{\"sas\":[]},\"more\":false}\n");
    expect_status(CLI_OK);
    expect_out("no SA\n");
    expect_err("no counters: esp: process has ended\n");
    server.more = NULL;
}
END_TEST

#define EVIDENCE(verdict, reason)                                               \
    "{\"rc\":\"OK\",\"data\":{\"verdict\":\"" verdict "\",\"reason\":\"" reason \
    "\",\"text\":\"t\",\"id\":\"dns:b\","                                       \
    "\"policy\":{\"text\":\"rule r: accept\"}},\"more\":false}\n"

START_TEST(policy_test_tells_the_story_and_exits_by_the_verdict)
{
    char path[160], words[400];
    snprintf(path, sizeof(path), "%s/cert.pem", sl_test_tmpdir());
    FILE *f = fopen(path, "we");
    fputs("PEM\n", f);
    fclose(f);
    snprintf(words, sizeof(words), "policy|test|--cert|%s|--id|dns:b", path);
    ask(words, EVIDENCE("refuse", "REVOKED"));
    expect_status(CLI_FAILED);
    expect_request("{\"verb\":\"policy.test\",\"args\":{\"cert\":\"PEM\\n\",\"id\":\"dns:b\"}}");
    expect_out("REVOKED");
    expect_out("the peer would be refused\n");
    ask(words, EVIDENCE("refuse", "AUTH_NOT_ASKED"));
    expect_status(CLI_OK);
    expect_out("rule r: accept");
}
END_TEST

/* ---- audit: without the daemon ------------------------------------------------------------------------- */
static void make_log(char *dir, size_t cap)
{
    static int n;
    struct sl_audit *a = NULL;
    struct sl_err err = { 0 };
    uint64_t number;
    snprintf(dir, cap, "%s/audit%d", sl_test_tmpdir(), n++);
    ck_ok(sl_audit_open(&a, dir, &err), &err);
    static const char *const peers[] = { "dns:a.example", "dns:b.example", "dns:c.other" };
    for (size_t i = 0; i < SL_ARRAY_LEN(peers); i++) {
        json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s}", "connection", "branches", "id", peers[i],
                                 "verdict", i == 1 ? "refuse" : "accept", "reason",
                                 i == 1 ? "REVOKED" : "OK", "text", "the text");
        ck_ok(sl_audit_append(a, "decision", body, (1763918430 + (int64_t)i * 3600) * SL_NS_PER_S,
                              &number, &err),
              &err);
        json_decref(body);
    }
    json_t *up = json_pack("{s:s,s:s}", "connection", "branches", "peer", "dns:a.example");
    ck_ok(sl_audit_append(a, "ike-up", up, 1763918430LL * SL_NS_PER_S, &number, &err), &err);
    json_decref(up);
    ck_ok(sl_audit_sync(a, &err), &err);
    sl_audit_close(a);
}

static void audit(const char *dir, const char *words)
{
    char all[600];
    snprintf(all, sizeof(all), "audit|%s|--dir|%s", words, dir);
    sealane(all);
}

START_TEST(audit_tail_and_query_select_records)
{
    char dir[200];
    make_log(dir, sizeof(dir));
    audit(dir, "tail|-n|2");
    expect_status(CLI_OK);
    ck_assert_str_eq(
        run.out,
        "      3  2025-11-23T19:20:30Z  decision  accept  dns:c.other  branches  the text\n"
        "      4  2025-11-23T17:20:30Z  ike-up  dns:a.example  branches\n");
    audit(dir, "query|--verdict|refuse");
    ck_assert_str_eq(
        run.out,
        "      2  2025-11-23T18:20:30Z  decision  refuse  REVOKED  dns:b.example  branches  "
        "the text\n");
    audit(dir, "query|--peer|dns:*.example|--kind|decision");
    expect_out("      1  ");
    expect_out("      2  ");
    expect_err("2 records\n");
    audit(dir, "query|--since|2025-11-23T18:00:00Z|--until|2025-11-23T19:00:00Z");
    expect_err("1 record\n");
    audit(dir, "query|--text|c.other|--json");
    expect_out("\"n\":3");
    audit(dir, "tail|-n|0");
    expect_status(CLI_USAGE);
}
END_TEST

START_TEST(audit_show_tells_one_record)
{
    char dir[200];
    make_log(dir, sizeof(dir));
    audit(dir, "show|2");
    expect_status(CLI_OK);
    expect_out("record 2, 2025-11-23T18:20:30.000000Z, decision\n");
    expect_out("REVOKED");
    expect_out("certificate is revoked");
    audit(dir, "show|4");
    expect_out("connection   branches\n");
    audit(dir, "show|99");
    expect_status(CLI_FAILED);
    expect_err("there is no record 99");
}
END_TEST

START_TEST(audit_verify_names_the_changed_record)
{
    char dir[200], path[256];
    make_log(dir, sizeof(dir));
    audit(dir, "verify");
    expect_status(CLI_OK);
    expect_out("good: 4 records");
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "X", 1, 600), 1); /* in the second record */
    close(fd);
    audit(dir, "verify");
    expect_status(CLI_FAILED);
    expect_out("BAD at record 2: AUDIT_EDITED: record 2 (line 2)");
    audit(dir, "verify|--json");
    expect_status(CLI_FAILED);
    expect_out("\"rc\": \"AUDIT_EDITED\"");
    audit("/nonexistent/audit", "verify");
    expect_status(CLI_FAILED);
    expect_err("NOT_FOUND");
}
END_TEST

/* ---- config ------------------------------------------------------------------------------------------------ */
START_TEST(config_check_reports_every_problem)
{
    char path[160], words[300];
    snprintf(path, sizeof(path), "%s/x.conf", sl_test_tmpdir());
    FILE *f = fopen(path, "we");
    fputs("ike { prot = 500\n half_open = x }\n", f);
    fclose(f);
    snprintf(words, sizeof(words), "config|check|%s", path);
    sealane(words);
    expect_status(CLI_FAILED);
    expect_err("x.conf:1: ike: key \"prot\": unknown key; nearest valid key: \"port\"\n");
    expect_err("x.conf:2: ike: key \"half_open\"");
    expect_err("2 problems\n");
    snprintf(words, sizeof(words), "-c|%s|config|check|--json", path);
    sealane(words);
    expect_status(CLI_FAILED);
    expect_out("\"rc\": \"CONFIG_SYNTAX\"");
    snprintf(words, sizeof(words), "config|check|%s/../docs/examples/gateway.conf", SL_TEST_DIR);
    sealane(words);
    expect_status(CLI_OK);
    expect_out("good (connections 1,");
    sealane("config|check|/nonexistent");
    expect_status(CLI_FAILED);
    expect_err("/nonexistent: No such file");
    sealane("config|keys|psk");
    expect_out("psk      file");
}
END_TEST

/* ---- documentation ------------------------------------------------------------------------------------------- */
/* The part of a file between two marks, both left out. */
static const char *between(const char *path, const char *begin, const char *end)
{
    struct sl_bytes text = sl_test_file(path);
    char *from = strstr((char *)(uintptr_t)text.p, begin), *to = from ? strstr(from, end) : NULL;
    ck_assert_msg(to, "%s has no part between %s and %s", path, begin, end);
    *to = '\0';
    return strchr(from, '\n') + 1;
}

#define IN_STEP "; run cmake --build --preset dev -t man"

START_TEST(documentation_is_in_step_with_the_tables)
{
    sealane("help|mdoc");
    ck_assert_msg(strcmp(run.out, between("../docs/man/sealane.1", ".\\\" BEGIN", ".\\\" END")) ==
                      0,
                  "sealane.1 is behind the table of commands" IN_STEP);
    sealane("help|mdoc-keys");
    ck_assert_msg(
        strcmp(run.out, between("../docs/man/sealane.conf.5", ".\\\" BEGIN", ".\\\" END")) == 0,
        "sealane.conf.5 is behind the table of keys" IN_STEP);
    sealane("help|reasons-md");
    ck_assert_msg(strcmp(run.out, (const char *)sl_test_file("../docs/reasons.md").p) == 0,
                  "docs/reasons.md is behind reasons.def" IN_STEP);
}
END_TEST

SL_TESTS(cli, SL_CASE(words_become_a_request), SL_CASE(wrong_words_are_usage_errors_that_help),
         SL_CASE(help_names_every_command_and_its_arguments),
         SL_CASE(secret_is_read_from_a_file_not_from_the_command_line),
         SL_CASE(refusal_names_object_reason_and_code),
         SL_CASE(absent_daemon_has_its_own_exit_status),
         SL_CASE(rubbish_from_the_daemon_is_an_error),
         SL_CASE(control_characters_of_a_peer_do_not_reach_the_terminal),
         SL_CASE(tables_are_aligned_and_leave_out_empty_columns),
         SL_CASE(json_prints_the_data_as_they_came), SL_CASE(challenge_alone_is_on_standard_output),
         SL_CASE(enroll_shows_progress_until_the_certificate_comes),
         SL_CASE(status_says_what_is_not_well_and_what_to_do),
         SL_CASE(sas_shows_ike_and_child_with_traffic),
         SL_CASE(policy_test_tells_the_story_and_exits_by_the_verdict),
         SL_CASE(audit_tail_and_query_select_records), SL_CASE(audit_show_tells_one_record),
         SL_CASE(audit_verify_names_the_changed_record),
         SL_CASE(config_check_reports_every_problem),
         SL_CASE(documentation_is_in_step_with_the_tables))
