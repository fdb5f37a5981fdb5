/*
 * Packets from outside. The first byte chooses suite and ESN, the second how the rest is used: as a
 * packet off the wire, or as a payload under a valid ICV, so that what an authenticated but hostile
 * peer can send is reached, too.
 */
#include "support/esp.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct esp_mem mem;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 > 4000)
        return 0;
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, 1);
    struct sl_rng rng = sl_rng_seeded(&state);
    struct sl_err err;
    struct sl_esp *e = NULL;
    if (sl_esp_new(&e, &(struct sl_esp_config){ .rng = &rng }, &err) != SL_OK)
        abort();
    sl_esp_time(e, 1000000000, 1700000000);
    struct sl_suite suite = esp_suites[data[0] % SL_ARRAY_LEN(esp_suites)];
    bool esn = data[0] & 0x80;
    struct sl_child c;
    esp_test_child(&c, &(struct esp_test_child){ .side = 'b', .suite = suite, .esn = esn });
    if (sl_esp_child_add(e, &c, &err) != SL_OK || sl_esp_commit(e, &err) != SL_OK)
        abort();

    uint8_t pkt[4200] = { 0xb0, 0, 0, 1, 0, 0, 0, 1 };
    size_t len = size - 2;
    if (data[1] & 1) {
        size_t iv = sl_suite_iv_len(&suite), block = sl_suite_block_len(&suite);
        len -= len % block;
        uint8_t *at = pkt + 8 + iv;
        memcpy(at, data + 2, len);
        struct sl_secret encr = { 0 }, integ = { 0 };
        esp_test_key(&encr, sl_suite_encr_key_len(&suite), 0x10);
        esp_test_key(&integ, sl_suite_integ_key_len(&suite), 0x11);
        struct sl_cipher *seal = NULL;
        const uint8_t high[12] = { 0xb0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1 }, zero[4] = { 0 };
        bool aead = sl_suite_is_aead(&suite);
        if (sl_cipher_new(&seal, &suite, true, sl_secret_bytes(&encr), sl_secret_bytes(&integ),
                          &err) != SL_OK ||
            !sl_cipher_seal(seal, aead && esn ? sl_bytes(high, 12) : sl_bytes(pkt, 8), pkt + 8, at,
                            len, sl_bytes(zero, aead || !esn ? 0 : 4), at + len))
            abort();
        sl_cipher_free(seal);
        sl_secret_clear(&encr);
        sl_secret_clear(&integ);
        len += 8 + iv + sl_suite_icv_len(&suite);
    } else {
        memcpy(pkt, data + 2, len);
    }
    struct sl_esp_pkt *p = esp_mem_set(&mem, sl_bytes(pkt, len));
    p->tos = data[1] >> 6;
    enum sl_esp_do what = sl_esp_inbound(e, p);
    assert(what == SL_ESP_DROP || what == SL_ESP_INSIDE);
    if (what == SL_ESP_INSIDE) {
        assert(p->off >= SL_ESP_HEADROOM && p->off + p->len <= SL_ESP_HEADROOM + len);
        /* what comes out is a packet whose selectors are those of the SA: it can be answered */
        assert(p->len >= 20);
        p = esp_mem_set(&mem, sl_bytes(pkt, len)); /* and it comes out only once */
        assert(sl_esp_inbound(e, p) == SL_ESP_DROP && p->reason == SL_ESP_REPLAY);
    }
    sl_esp_free(e);
    return 0;
}
