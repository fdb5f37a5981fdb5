/*
 * What sealing and opening an ESP packet costs, whole (policy, window, selectors, header, padding,
 * ICV), beside the bare cipher for the same bytes. One core, nanoseconds a packet, medians.
 *
 *   bench_esp [--json] [SECONDS a measurement]
 */
#include "sealane/esp.h"
#include "sealane/time.h"

#include "support/esp.h"

#include <stdio.h>

#define BATCH   256u
#define REPEATS 7

static const size_t sizes[] = { 64, 576, 1400 };
static double seconds = 0.1;
static struct sl_err err;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, sl_err_text(&err));
    exit(1);
}

struct bench {
    struct sl_esp *a, *b;
    struct sl_cipher *seal, *open;
    const struct sl_suite *suite;
    size_t size;
    uint8_t inner[2048];
    /* as a burst of the network: so many packets, each in memory of its own */
    struct sl_esp_pkt pkt[BATCH];
    uint8_t *mem;
    uint64_t seq;
};
#define SLOT 2304u

static void load(struct bench *b, unsigned i)
{
    b->pkt[i] = (struct sl_esp_pkt){
        .buf = b->mem + i * SLOT, .cap = SLOT, .off = SL_ESP_HEADROOM, .len = (uint32_t)b->size
    };
    memcpy(b->pkt[i].buf + SL_ESP_HEADROOM, b->inner, b->size);
}

static double now_s(void)
{
    return (double)sl_clock_mono_ns() / 1e9;
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

/* Nanoseconds of run(b), a packet; prepare is not counted. */
static double measure(struct bench *b, void (*prepare)(struct bench *), void (*run)(struct bench *))
{
    double result[REPEATS];
    for (int r = 0; r < REPEATS; r++) {
        double spent = 0;
        uint64_t n = 0;
        do {
            prepare(b);
            double start = now_s();
            run(b);
            spent += now_s() - start;
            n += BATCH;
        } while (spent < seconds / REPEATS);
        result[r] = spent / (double)n * 1e9;
    }
    qsort(result, REPEATS, sizeof(result[0]), by_value);
    return result[REPEATS / 2];
}

static void load_all(struct bench *b)
{
    for (unsigned i = 0; i < BATCH; i++)
        load(b, i);
}
static void seal_all(struct bench *b)
{
    for (unsigned i = 0; i < BATCH; i++)
        if (sl_esp_outbound(b->a, &b->pkt[i]) != SL_ESP_WIRE)
            die("seal");
}
static void load_sealed(struct bench *b)
{
    load_all(b);
    seal_all(b);
}
static void open_all(struct bench *b)
{
    for (unsigned i = 0; i < BATCH; i++)
        if (sl_esp_inbound(b->b, &b->pkt[i]) != SL_ESP_INSIDE)
            die("open");
}

/* The bytes that the cipher works on for this packet, and nothing else. */
static size_t cipher_len(const struct bench *b)
{
    size_t block = sl_suite_block_len(b->suite), align = block < 4 ? 4 : block;
    return (b->size + 2 + align - 1) / align * align;
}
static void bare_seal(struct bench *b)
{
    size_t len = cipher_len(b), iv = sl_suite_iv_len(b->suite);
    for (unsigned i = 0; i < BATCH; i++) {
        uint8_t *data = b->pkt[i].buf + SL_ESP_HEADROOM;
        b->seq++;
        memcpy(data - iv, &b->seq, 8);
        if (!sl_cipher_seal(b->seal, sl_bytes(data - iv - 8, 8), data - iv, data, len,
                            sl_bytes(NULL, 0), data + len))
            die("bare seal");
    }
}
static void load_bare(struct bench *b)
{
    load_all(b);
    bare_seal(b);
}
static void bare_open(struct bench *b)
{
    size_t len = cipher_len(b), iv = sl_suite_iv_len(b->suite);
    for (unsigned i = 0; i < BATCH; i++) {
        uint8_t *data = b->pkt[i].buf + SL_ESP_HEADROOM;
        if (!sl_cipher_open(b->open, sl_bytes(data - iv - 8, 8), data - iv, data, len,
                            sl_bytes(NULL, 0), data + len))
            die("bare open");
    }
}

static struct sl_esp *gateway(const struct sl_suite *suite, char side)
{
    struct sl_esp *e = NULL;
    struct sl_child c;
    if (sl_esp_new(&e, &(struct sl_esp_config){ .rng = &sl_rng_system }, &err) != SL_OK)
        die("gateway");
    sl_esp_time(e, sl_clock_mono_ns(), sl_clock_utc_s());
    esp_test_child(&c, &(struct esp_test_child){
                           .side = side, .suite = *suite, .esn = true, .outbound = true });
    if (sl_esp_child_add(e, &c, &err) != SL_OK || sl_esp_commit(e, &err) != SL_OK)
        die("child");
    return e;
}

static void bench_init(struct bench *b, const struct sl_suite *suite, size_t size)
{
    *b = (struct bench){ .suite = suite, .size = size };
    b->mem = aligned_alloc(64, (size_t)BATCH * SLOT);
    if (!b->mem)
        die("memory");
    esp_udp_make(b->inner, 4, size, 0x4000);
    b->a = gateway(suite, 'a');
    b->b = gateway(suite, 'b');
    struct sl_secret encr = { 0 }, integ = { 0 };
    esp_test_key(&encr, sl_suite_encr_key_len(suite), 1);
    esp_test_key(&integ, sl_suite_integ_key_len(suite), 2);
    if (sl_cipher_new(&b->seal, suite, true, sl_secret_bytes(&encr), sl_secret_bytes(&integ),
                      &err) != SL_OK ||
        sl_cipher_new(&b->open, suite, false, sl_secret_bytes(&encr), sl_secret_bytes(&integ),
                      &err) != SL_OK)
        die("cipher");
    sl_secret_clear(&encr);
    sl_secret_clear(&integ);
}

static void bench_end(struct bench *b)
{
    sl_esp_free(b->a);
    sl_esp_free(b->b);
    sl_cipher_free(b->seal);
    sl_cipher_free(b->open);
    free(b->mem);
}

int main(int argc, char **argv)
{
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else
            seconds = strtod(argv[i], NULL);
    }
    if (seconds <= 0) {
        fprintf(stderr, "usage: bench_esp [--json] [SECONDS]\n");
        return 2;
    }
    printf(json ? "{\"bench\":\"esp\",\"unit\":\"ns/packet\",\"results\":[" : "");
    double worst = 0;
    bool first = true;
    for (size_t s = 0; s < SL_ARRAY_LEN(esp_suites); s++)
        for (size_t k = 0; k < SL_ARRAY_LEN(sizes); k++) {
            struct bench b;
            char text[SL_SUITE_TEXT];
            bench_init(&b, &esp_suites[s], sizes[k]);
            double seal = measure(&b, load_all, seal_all);
            double open = measure(&b, load_sealed, open_all);
            double bare_s = measure(&b, load_all, bare_seal);
            double bare_o = measure(&b, load_bare, bare_open);
            bench_end(&b);
            sl_suite_text(text, &esp_suites[s]);
            double gbit = (double)sizes[k] * 8 / seal;
            if (json)
                printf("%s{\"suite\":\"%s\",\"bytes\":%zu,\"seal\":%.1f,\"open\":%.1f,"
                       "\"cipher_seal\":%.1f,\"cipher_open\":%.1f}",
                       first ? "" : ",", text, sizes[k], seal, open, bare_s, bare_o);
            else
                printf("%-24s %4zu B  seal %6.0f ns (cipher %6.0f, x%.2f)  open %6.0f ns (cipher "
                       "%6.0f, x%.2f)  %5.2f Gbit/s a core\n",
                       text, sizes[k], seal, bare_s, seal / bare_s, open, bare_o, open / bare_o,
                       gbit);
            first = false;
            if (sizes[k] == 1400 && s == 0)
                worst = seal / bare_s;
        }
    if (json)
        puts("]}");
    fprintf(stderr, "bench esp: at 1400 bytes an AES-128-GCM packet costs %.2f times its cipher\n",
            worst);
    return 0;
}
