/*
 * The ESP packet; see codec.h.
 *
 *   0                   4                   8
 *   | SPI               | sequence number   | IV | payload | padding | pad length | next | ICV |
 *                                                |<-------------- encrypted ------------->|
 *
 * RFC 4303 2; AES-GCM RFC 4106, ChaCha20-Poly1305 RFC 7634, AES-CBC RFC 3602, HMAC-SHA2 RFC 4868.
 */
#include "src/esp/codec.h"

#include "sealane/esp.h"
#include "src/esp/view.h"

#include <string.h>

#define TRAILER_LEN 2u /* pad length, next header */

enum sl_rc esp_codec_init(struct esp_codec *c, const struct sl_suite *suite, bool seal,
                          uint32_t spi, bool esn, struct sl_bytes encr_key,
                          struct sl_bytes integ_key, struct sl_err *err)
{
    struct esp_codec made = {
        .spi = spi,
        .iv_len = (uint8_t)sl_suite_iv_len(suite),
        .icv_len = (uint8_t)sl_suite_icv_len(suite),
        .block = (uint8_t)sl_suite_block_len(suite),
        .aead = sl_suite_is_aead(suite),
        .esn = esn,
        .iv_is_counter = sl_suite_is_aead(suite),
    };
    made.align = made.block < 4 ? 4 : made.block;
    if (ESP_HDR_LEN + made.iv_len > SL_ESP_HEADROOM || made.iv_len > ESP_IV_MAX ||
        made.align - 1u + TRAILER_LEN + made.icv_len > SL_ESP_TAILROOM)
        return SL_FAIL(err, SL_UNSUPPORTED, "suite needs more room than an ESP packet is given");
    SL_TRY(sl_cipher_new(&made.cipher, suite, seal, encr_key, integ_key, err));
    *c = made;
    return SL_OK;
}

void esp_codec_clear(struct esp_codec *c)
{
    sl_cipher_free(c->cipher);
    c->cipher = NULL;
}

/*
 * What is authenticated beside the ciphertext: SPI and sequence number, whose high half is put
 * between them for an AEAD (RFC 4106 5) and behind the ciphertext for a MAC (RFC 4303 2.2.1).
 */
struct extra {
    uint8_t wide[12], high[4];
    struct sl_bytes aad, tail;
};

static void extra_make(struct extra *x, const struct esp_codec *c, uint64_t seq, const uint8_t *hdr)
{
    x->aad = sl_bytes(hdr, ESP_HDR_LEN);
    x->tail = sl_bytes(NULL, 0);
    if (!c->esn)
        return;
    if (c->aead) {
        memcpy(x->wide, hdr, 4);
        view_put64(x->wide + 4, seq);
        x->aad = sl_bytes(x->wide, sizeof(x->wide));
    } else {
        view_put32(x->high, (uint32_t)(seq >> 32));
        x->tail = sl_bytes(x->high, sizeof(x->high));
    }
}

bool esp_codec_seal(const struct esp_codec *c, uint64_t seq, const uint8_t *random,
                    uint8_t next_header, uint8_t *data, size_t len, struct sl_bytes *out)
{
    /* SPEC RFC4303-2.4 SHOULD: padding counts 1, 2, 3, ... and brings the trailer to 4 bytes */
    size_t used = (len + TRAILER_LEN) % c->align;
    size_t pad = used ? c->align - used : 0;
    for (size_t i = 0; i < pad; i++)
        data[len + i] = (uint8_t)(i + 1);
    data[len + pad] = (uint8_t)pad;
    data[len + pad + 1] = next_header;
    size_t sealed_len = len + pad + TRAILER_LEN;

    uint8_t *iv = data - c->iv_len, *hdr = iv - ESP_HDR_LEN;
    view_put32(hdr, c->spi);
    view_put32(hdr + 4, (uint32_t)seq);
    if (c->iv_is_counter)
        view_put64(iv, seq); /* SPEC RFC4106-3.1 MUST: no IV twice under one key */
    else
        memcpy(iv, random, c->iv_len);

    struct extra x;
    extra_make(&x, c, seq, hdr);
    if (!sl_cipher_seal(c->cipher, x.aad, iv, data, sealed_len, x.tail, data + sealed_len))
        return false;
    *out = sl_bytes(hdr, ESP_HDR_LEN + c->iv_len + sealed_len + c->icv_len);
    return true;
}

bool esp_codec_fits(const struct esp_codec *c, size_t len)
{
    size_t around = ESP_HDR_LEN + c->iv_len + c->icv_len;
    return len >= around + TRAILER_LEN && (len - around) % c->block == 0;
}

enum sl_rc esp_codec_open(const struct esp_codec *c, uint64_t seq, uint8_t *pkt, size_t len,
                          struct esp_plain *out)
{
    assert(esp_codec_fits(c, len));
    uint8_t *iv = pkt + ESP_HDR_LEN, *data = iv + c->iv_len;
    size_t sealed_len = len - ESP_HDR_LEN - c->iv_len - c->icv_len;
    struct extra x;
    extra_make(&x, c, seq, pkt);
    if (!sl_cipher_open(c->cipher, x.aad, iv, data, sealed_len, x.tail, data + sealed_len))
        return SL_ESP_INTEGRITY;

    struct sl_bytes plain = sl_bytes(data, sealed_len);
    size_t pad = view_u8(plain, sealed_len - 2);
    if (pad + TRAILER_LEN > sealed_len)
        return SL_ESP_MALFORMED;
    size_t inner_len = sealed_len - TRAILER_LEN - pad;
    for (size_t i = 0; i < pad; i++)
        if (view_u8(plain, inner_len + i) != i + 1)
            return SL_ESP_MALFORMED;
    *out = (struct esp_plain){ .p = data,
                               .len = inner_len,
                               .next_header = view_u8(plain, sealed_len - 1) };
    return SL_OK;
}

size_t esp_codec_overhead(const struct sl_suite *suite, size_t len)
{
    size_t block = sl_suite_block_len(suite), align = block < 4 ? 4 : block;
    size_t used = (len + TRAILER_LEN) % align;
    return ESP_HDR_LEN + sl_suite_iv_len(suite) + (used ? align - used : 0) + TRAILER_LEN +
           sl_suite_icv_len(suite);
}
