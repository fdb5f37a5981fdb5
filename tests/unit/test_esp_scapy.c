/*
 * Packets that scapy built are opened here and ours are opened by scapy, for every suite, both
 * families outside and inside, in UDP and not, with ESN and without. test_esp_scapy.py is the other
 * side; it needs Debian's python3-scapy and python3-cryptography.
 */
#include "sealane/esp.h"

#include "support/esp.h"
#include "support/support.h"

#include <stdio.h>

#define INNER_MAX 16
#define LINE_MAX_ 16384

static const char *const suite_names[] = {
    "AES-GCM/NULL",         "AES-GCM/NULL",         "CHACHA20-POLY1305/NULL",
    "AES-CBC/SHA2-256-128", "AES-CBC/SHA2-384-192", "AES-CBC/SHA2-512-256",
};
static const char *const outers[] = { "4", "6", "4u", "6u" };

static struct sl_err err;
static char path[256];
static FILE *requests;

static void hex(FILE *f, struct sl_bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        fprintf(f, "%02x", b.p[i]);
}

static void ask_begin(void)
{
    snprintf(path, sizeof(path), "%s/requests", sl_test_tmpdir());
    requests = fopen(path, "w");
    ck_assert_ptr_nonnull(requests);
}

/* Runs the other side on what was asked. */
static FILE *ask_end(void)
{
    ck_assert_int_eq(fclose(requests), 0);
    char command[768];
    snprintf(command, sizeof(command), "/usr/bin/python3 '%s/unit/test_esp_scapy.py' <'%s'",
             SL_TEST_DIR, path);
    FILE *answers = popen(command, "r");
    ck_assert_ptr_nonnull(answers);
    return answers;
}

static const char *answer(FILE *answers)
{
    static char line[LINE_MAX_];
    ck_assert_msg(fgets(line, sizeof(line), answers),
                  "no answer: are python3-scapy and python3-cryptography installed?");
    return line;
}

struct combination {
    size_t suite, outer;
    bool esn;
};
#define COMBINATIONS (SL_ARRAY_LEN(esp_suites) * SL_ARRAY_LEN(outers) * 2)
static struct combination combination(size_t i)
{
    bool esn = i & 1;
    return (struct combination){ .suite = i / 2 % SL_ARRAY_LEN(esp_suites),
                                 .outer = i / 2 / SL_ARRAY_LEN(esp_suites),
                                 .esn = esn };
}

static void ask(const char *verb, const struct combination *c, uint32_t spi, uint64_t seq,
                struct sl_bytes pkt)
{
    const struct sl_suite *s = &esp_suites[c->suite];
    struct sl_secret encr = { 0 }, integ = { 0 };
    esp_test_key(&encr, sl_suite_encr_key_len(s), 0x10);
    esp_test_key(&integ, sl_suite_integ_key_len(s), 0x11);
    fprintf(requests, "%s %s ", verb, suite_names[c->suite]);
    hex(requests, sl_secret_bytes(&encr));
    fputc(' ', requests);
    hex(requests, sl_secret_bytes(&integ));
    fprintf(requests, "- %u %d %llu %s ", spi, c->esn, (unsigned long long)seq, outers[c->outer]);
    hex(requests, pkt);
    fputc('\n', requests);
    sl_secret_clear(&encr);
    sl_secret_clear(&integ);
}

static struct sl_esp *gateway(char side, const struct combination *c)
{
    bool six = outers[c->outer][0] == '6';
    struct sl_esp *e = NULL;
    ck_ok(sl_esp_new(&e, &(struct sl_esp_config){ .rng = &sl_rng_system }, &err), &err);
    struct sl_child child;
    esp_test_child(&child, &(struct esp_test_child){
                               .side = side,
                               .suite = esp_suites[c->suite],
                               .esn = c->esn,
                               .udp_encap = outers[c->outer][1] == 'u',
                               .outbound = true,
                               .outer_a = six ? "[2001:db8::1]:4500" : NULL,
                               .outer_b = six ? "[2001:db8::2]:4500" : NULL,
                           });
    ck_ok(sl_esp_child_add(e, &child, &err), &err);
    ck_ok(sl_esp_commit(e, &err), &err);
    sl_esp_time(e, 1000000000, 1700000000);
    return e;
}

static size_t inner_packets(struct sl_bytes out[INNER_MAX])
{
    ask_begin();
    fputs("list\n", requests);
    FILE *answers = ask_end();
    size_t n = 0;
    char *rest = NULL, line[LINE_MAX_];
    snprintf(line, sizeof(line), "%s", answer(answers));
    for (char *w = strtok_r(line, " \n", &rest); w && n < INNER_MAX;
         w = strtok_r(NULL, " \n", &rest))
        out[n++] = sl_test_hex(w);
    ck_assert_int_eq(pclose(answers), 0);
    ck_assert_uint_ge(n, 9);
    return n;
}

static struct esp_mem mem;

START_TEST(scapy_opens_what_we_seal)
{
    struct sl_bytes inner[INNER_MAX];
    size_t n = inner_packets(inner);
    ask_begin();
    for (size_t i = 0; i < COMBINATIONS; i++) {
        struct combination c = combination(i);
        struct sl_esp *a = gateway('a', &c);
        for (size_t k = 0; k < n; k++) {
            struct sl_esp_pkt *p = esp_mem_set(&mem, inner[k]);
            ck_assert_int_eq(sl_esp_outbound(a, p), SL_ESP_WIRE);
            ask("open", &c, 0xb0000001, k + 1, esp_pkt_bytes(p));
        }
        sl_esp_free(a);
    }
    FILE *answers = ask_end();
    for (size_t i = 0; i < COMBINATIONS; i++)
        for (size_t k = 0; k < n; k++) {
            struct combination c = combination(i);
            const char *line = answer(answers);
            ck_assert_msg(strncmp(line, "error", 5) != 0, "%s outer %s esn %d packet %zu: %s",
                          suite_names[c.suite], outers[c.outer], c.esn, k, line);
            ck_bytes_eq(sl_test_hex(line), inner[k]);
        }
    ck_assert_int_eq(pclose(answers), 0);
}
END_TEST

/* With ESN across the turn of the low half, in steps that a receiver can follow. */
static uint64_t number(const struct combination *c, size_t k)
{
    if (!c->esn)
        return 1 + k * 3;
    return k == 0 ? 0x70000000 : k == 1 ? 0xe0000000 : 0xfffffffc + (uint64_t)k;
}

START_TEST(we_open_what_scapy_seals)
{
    struct sl_bytes inner[INNER_MAX];
    size_t n = inner_packets(inner);
    ask_begin();
    for (size_t i = 0; i < COMBINATIONS; i++) {
        struct combination c = combination(i);
        for (size_t k = 0; k < n; k++)
            ask("seal", &c, 0xb0000001, number(&c, k), inner[k]);
    }
    FILE *answers = ask_end();
    for (size_t i = 0; i < COMBINATIONS; i++) {
        struct combination c = combination(i);
        struct sl_esp *b = gateway('b', &c);
        for (size_t k = 0; k < n; k++) {
            const char *line = answer(answers);
            ck_assert_msg(strncmp(line, "error", 5) != 0, "%s outer %s esn %d packet %zu: %s",
                          suite_names[c.suite], outers[c.outer], c.esn, k, line);
            struct sl_esp_pkt *p = esp_mem_set(&mem, sl_test_hex(line));
            enum sl_esp_do got = sl_esp_inbound(b, p);
            ck_assert_msg(got == SL_ESP_INSIDE, "%s outer %s esn %d packet %zu: %s",
                          suite_names[c.suite], outers[c.outer], c.esn, k, sl_rc_name(p->reason));
            ck_bytes_eq(esp_pkt_bytes(p), inner[k]);
        }
        sl_esp_free(b);
    }
    ck_assert_int_eq(pclose(answers), 0);
}
END_TEST

SL_TESTS_TIMEOUT(esp_scapy, 120, SL_CASE(scapy_opens_what_we_seal),
                 SL_CASE(we_open_what_scapy_seals))
