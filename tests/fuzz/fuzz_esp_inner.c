/*
 * Packets from the inside network: reading, policy, MSS, fragments, errors, sealing. What is sealed
 * must open at the other side and read as a packet again. The first byte makes the path small.
 */
#include "src/esp/inner.h"

#include "support/esp.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct esp_mem mem, mem2;

static struct sl_esp *gateway(char side, const struct sl_rng *rng)
{
    struct sl_err err;
    struct sl_esp *e = NULL;
    if (sl_esp_new(&e, &(struct sl_esp_config){ .rng = rng }, &err) != SL_OK)
        abort();
    sl_esp_time(e, 1000000000, 1700000000);
    struct sl_child c;
    esp_test_child(&c, &(struct esp_test_child){ .side = side,
                                                 .suite = esp_suites[0],
                                                 .outbound = true,
                                                 .ts_a = { "0.0.0.0/0", "::/0" },
                                                 .ts_b = { "0.0.0.0/0", "::/0" } });
    if (sl_esp_child_add(e, &c, &err) != SL_OK || sl_esp_commit(e, &err) != SL_OK)
        abort();
    return e;
}

static void arrives(struct sl_esp *b, struct sl_esp_pkt *p)
{
    p->tos &= 0xfc; /* no router marked it */
    assert(sl_esp_inbound(b, p) == SL_ESP_INSIDE);
    struct esp_inner in;
    assert(esp_inner_read(&in, esp_pkt_bytes(p)) == SL_OK && in.total == p->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 9000)
        return 0;
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, 1);
    struct sl_rng rng = sl_rng_seeded(&state);
    struct sl_esp *a = gateway('a', &rng), *b = gateway('b', &rng);
    struct sl_addr peer;
    if (!sl_addr_parse(&peer, "192.0.2.2"))
        abort();
    if (data[0])
        sl_esp_outer_mtu(a, &peer, (uint16_t)(data[0] * 8));

    struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(data + 1, size - 1));
    struct esp_inner in;
    if (p->len >= 20 && (p->buf[p->off] >> 4) == 4) {
        /* the checksum would stop the fuzzer at the door */
        size_t hdr = (size_t)(p->buf[p->off] & 15) * 4;
        if (hdr >= 20 && hdr <= p->len) {
            esp_put16(p->buf + p->off + 10, 0);
            esp_put16(p->buf + p->off + 10, esp_slow_sum(p->buf + p->off, hdr, 0));
        }
    }
    enum sl_esp_do what = sl_esp_outbound(a, p);
    switch (what) {
    case SL_ESP_WIRE:
        arrives(b, p);
        break;
    case SL_ESP_INSIDE:
        assert(esp_inner_read(&in, esp_pkt_bytes(p)) == SL_OK && in.total == p->len);
        break;
    case SL_ESP_SPLIT: {
        esp_mem_set(&mem2, sl_bytes(NULL, 0));
        uint32_t at = 0;
        unsigned n = 0;
        while (sl_esp_split(a, p, &at, &mem2.p) == SL_ESP_WIRE) {
            arrives(b, &mem2.p);
            assert(++n < 1000);
        }
        assert(mem2.p.reason == SL_OK && n > 1);
        break;
    }
    case SL_ESP_DROP:
        break;
    case SL_ESP_BYPASS:
    default:
        abort();
    }
    sl_esp_free(a);
    sl_esp_free(b);
    return 0;
}
