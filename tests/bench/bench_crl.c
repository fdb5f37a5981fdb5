/*
 * A CRL of a million entries: memory it keeps, and time to read it, to verify its signature and to
 * look a serial up, each as a ratio to libcrypto's X509_CRL on the same bytes in the same run. The
 * two are measured in turns and the median is taken, so that a busy machine moves both.
 *
 *   bench_crl [ENTRIES]
 *
 * Prints one line of JSON and one for people.
 */
#include "certs/crl.h"
#include "sealane/rng.h"
#include "sealane/time.h"
#include "tests/support/crl_der.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS     5
#define LOOKUPS    200000
#define SERIAL_LEN 16

struct sample {
    double memory, read, first, lookup, verify; /* bytes, seconds, seconds to the first, ns, s */
};

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return (double)m.uordblks + (double)m.hblkhd;
}

/* Serials as CAs make them: 16 random octets. Entry i's are in serial[i]; every other has a reason. */
static struct sl_bytes make_list(const struct test_cert *ca, uint8_t (*serial)[SERIAL_LEN],
                                 size_t n)
{
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, 1);
    const struct sl_rng rng = sl_rng_seeded(&state);
    SL_AUTO_BUF raw = { 0 };
    char hex[2 * SERIAL_LEN + 1];
    for (size_t i = 0; i < n; i++) {
        sl_rng_fill(&rng, serial[i], SERIAL_LEN);
        serial[i][0] = (uint8_t)((serial[i][0] & 0x7f) | 0x40); /* positive, of full length */
        if (i % 2)
            continue; /* not on the list: looked up in vain */
        sl_hex(hex, sizeof(hex), sl_bytes(serial[i], SERIAL_LEN));
        der_put_entry(&raw, &(struct der_entry){ .serial = hex, .reason = i % 4 ? 0 : 1 });
    }
    return der_crl(&(struct der_crl){ .by = ca, .raw = sl_buf_bytes(&raw) });
}

static ASN1_INTEGER **make_keys(uint8_t (*serial)[SERIAL_LEN], size_t n)
{
    ASN1_INTEGER **key = calloc(LOOKUPS, sizeof(*key));
    need(key != NULL, "calloc");
    for (size_t i = 0; i < LOOKUPS; i++) {
        key[i] = ASN1_INTEGER_new();
        need(key[i] && ASN1_STRING_set(key[i], serial[i * 7919 % n], SERIAL_LEN), "ASN1_INTEGER");
    }
    return key;
}

static struct sample ours(struct sl_bytes der, ASN1_INTEGER **key, const struct sl_cert *ca,
                          size_t *hits)
{
    struct sample s = { 0 };
    struct sl_err err;
    SL_AUTO(sl_crl) *crl = NULL;
    const X509_NAME *issuer = X509_get_subject_name(sl_cert_x509(ca));
    struct crl_found f;
    double before = in_use(), t = seconds();
    need(sl_crl_read(&crl, der, &err) == SL_OK, "sl_crl_read");
    s.read = seconds() - t;
    s.memory = in_use() - before;
    need(crl_find(&f, crl, key[0], issuer), "crl_find");
    s.first = seconds() - t;
    t = seconds();
    for (size_t i = 0; i < LOOKUPS; i++) {
        need(crl_find(&f, crl, key[i], issuer), "crl_find");
        *hits += f.found;
    }
    s.lookup = (seconds() - t) * 1e9 / LOOKUPS;
    t = seconds();
    need(sl_crl_verify(crl, ca, &err) == SL_OK, "sl_crl_verify");
    s.verify = seconds() - t;
    return s;
}

static struct sample theirs(struct sl_bytes der, ASN1_INTEGER **key, const struct sl_cert *ca,
                            size_t *hits)
{
    struct sample s = { 0 };
    const unsigned char *p = der.p;
    X509_REVOKED *entry = NULL;
    double before = in_use(), t = seconds();
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.len);
    need(crl != NULL, "d2i_X509_CRL");
    s.read = seconds() - t;
    s.memory = in_use() - before;
    (void)X509_CRL_get0_by_serial(crl, &entry, key[0]); /* sorts */
    s.first = seconds() - t;
    t = seconds();
    for (size_t i = 0; i < LOOKUPS; i++)
        *hits += X509_CRL_get0_by_serial(crl, &entry, key[i]) != 0;
    s.lookup = (seconds() - t) * 1e9 / LOOKUPS;
    t = seconds();
    need(X509_CRL_verify(crl, X509_get0_pubkey(sl_cert_x509(ca))) == 1, "X509_CRL_verify");
    s.verify = seconds() - t;
    X509_CRL_free(crl);
    return s;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The median of one member over all rounds. */
static double median(const struct sample s[ROUNDS], size_t offset)
{
    double v[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        memcpy(&v[i], (const char *)&s[i] + offset, sizeof(v[i]));
    qsort(v, ROUNDS, sizeof(v[0]), by_value);
    return v[ROUNDS / 2];
}
#define MEDIAN(s, member) median(s, offsetof(struct sample, member))

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    need(n > 0, "ENTRIES");
    struct test_cert ca = test_cert(&(struct test_spec){ .subject = "CN=CA", .ca = true });
    struct sl_cert *issuer = NULL;
    struct sl_err err;
    need(sl_cert_read(&issuer, ca.der, &err) == SL_OK, "sl_cert_read");
    uint8_t(*serial)[SERIAL_LEN] = calloc(2 * n, SERIAL_LEN);
    need(serial != NULL, "calloc");
    struct sl_bytes der = make_list(&ca, serial, 2 * n);
    ASN1_INTEGER **key = make_keys(serial, 2 * n);
    free(serial);
    struct sample a[ROUNDS], b[ROUNDS];
    size_t our_hits = 0, their_hits = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        a[i] = ours(der, key, issuer, &our_hits);
        b[i] = theirs(der, key, issuer, &their_hits);
    }
    need(our_hits == their_hits && our_hits > 0, "the same answers");
    double per_entry = (MEDIAN(a, memory) - (double)der.len) / (double)n;
    printf("{\"bench\":\"crl\",\"entries\":%zu,\"der_bytes\":%zu,\"memory_bytes\":%.0f,"
           "\"bytes_per_entry_beside_der\":%.2f,\"read_ms\":%.1f,\"lookup_ns\":%.0f,"
           "\"verify_ms\":%.1f,\"libcrypto\":{\"memory_bytes\":%.0f,\"read_ms\":%.1f,"
           "\"lookup_ns\":%.0f,\"verify_ms\":%.1f},\"ratio\":{\"memory\":%.3f,\"read\":%.3f,"
           "\"read_to_first_lookup\":%.3f,\"lookup\":%.3f,\"verify\":%.3f}}\n",
           n, der.len, MEDIAN(a, memory), per_entry, MEDIAN(a, read) * 1e3, MEDIAN(a, lookup),
           MEDIAN(a, verify) * 1e3, MEDIAN(b, memory), MEDIAN(b, read) * 1e3, MEDIAN(b, lookup),
           MEDIAN(b, verify) * 1e3, MEDIAN(a, memory) / MEDIAN(b, memory),
           MEDIAN(a, read) / MEDIAN(b, read), MEDIAN(a, first) / MEDIAN(b, first),
           MEDIAN(a, lookup) / MEDIAN(b, lookup), MEDIAN(a, verify) / MEDIAN(b, verify));
    printf("CRL of %zu entries, %.1f MB: %.1f MB kept (DER + %.1f bytes an entry), %.2f of "
           "X509_CRL's; read %.0f ms (%.2f), lookup %.0f ns (%.2f), signature %.0f ms (%.2f)\n",
           n, (double)der.len / 1e6, MEDIAN(a, memory) / 1e6, per_entry,
           MEDIAN(a, memory) / MEDIAN(b, memory), MEDIAN(a, read) * 1e3,
           MEDIAN(a, read) / MEDIAN(b, read), MEDIAN(a, lookup),
           MEDIAN(a, lookup) / MEDIAN(b, lookup), MEDIAN(a, verify) * 1e3,
           MEDIAN(a, verify) / MEDIAN(b, verify));
    for (size_t i = 0; i < LOOKUPS; i++)
        ASN1_INTEGER_free(key[i]);
    free(key);
    sl_cert_free(issuer);
    return 0;
}
