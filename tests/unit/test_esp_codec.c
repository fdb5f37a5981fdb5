/*
 * ESP packets against published ones: ChaCha20-Poly1305 RFC 7634 Appendix A, AES-GCM
 * draft-mcgrew-gcm-test-01 (the vectors for RFC 4106); and each suite with itself.
 */
#include "src/esp/codec.h"

#include "support/esp.h"
#include "support/support.h"

struct vector {
    struct sl_suite suite;
    const char *key; /* with the salt */
    uint32_t spi;
    uint64_t seq;
    bool esn;
    uint8_t next_header;
    const char *iv;
    const char *plain;  /* without padding and trailer */
    const char *sealed; /* ciphertext and ICV */
};
static const struct vector vectors[] = {
    { .suite = { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
      .key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3",
      .spi = 0x01020304,
      .seq = 5,
      .next_header = 4,
      .iv = "1011121314151617",
      .plain = "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
               "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
               "2425262728292a2b2c2d2e2f3031323334353637",
      .sealed = "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
                "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
                "cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0f7"
                "b11b369907e1ad43" },
    { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
      .key = "4c80cdefbb5d10da906ac73c3613a634 2e443b68",
      .spi = 0x00004321,
      .seq = UINT64_C(0x8765432100000000),
      .esn = true,
      .next_header = 1,
      .iv = "4956ed7e3b244cfe",
      .plain = "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
               "00000000045f736970045f756470037369700963796265726369747902646b00"
               "00210001",
      .sealed = "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
                "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce"
                "61bc17d768fd9732459018148f6cbe722fd04796562dfdb4" },
    { .suite = { SL_ENCR_AES_GCM_16, 256, SL_INTEG_NONE },
      .key = "abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344",
      .spi = 0x4a2cbfe3,
      .seq = 2,
      .next_header = 1,
      .iv = "0102030405060708",
      .plain = "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000"
               "7002400020bf0000020405b401010402",
      .sealed = "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763"
                "748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c49"
                "15956c96" },
};

static struct sl_bytes packet_of(uint8_t *out, const struct vector *v)
{
    struct sl_wr w = sl_wr_fixed(out, 2048);
    sl_wr_u32(&w, v->spi);
    sl_wr_u32(&w, (uint32_t)v->seq);
    sl_wr_put(&w, sl_test_hex(v->iv));
    sl_wr_put(&w, sl_test_hex(v->sealed));
    ck_assert(sl_wr_ok(&w));
    return sl_bytes(out, sl_wr_len(&w));
}

START_TEST(published_packets_open)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct sl_err err;
        struct esp_codec c = { 0 };
        ck_ok(esp_codec_init(&c, &v->suite, false, v->spi, v->esn, sl_test_hex(v->key),
                             sl_bytes(NULL, 0), &err),
              &err);
        uint8_t mem[2048];
        struct sl_bytes pkt = packet_of(mem, v);
        ck_assert(esp_codec_fits(&c, pkt.len));
        struct esp_plain plain;
        ck_assert_int_eq(esp_codec_open(&c, v->seq, mem, pkt.len, &plain), SL_OK);
        ck_bytes_eq(sl_bytes(plain.p, plain.len), sl_test_hex(v->plain));
        ck_assert_uint_eq(plain.next_header, v->next_header);
        /* the unsent half of the number is authenticated, too */
        if (v->esn) {
            packet_of(mem, v);
            ck_assert_int_eq(esp_codec_open(&c, (uint32_t)v->seq, mem, pkt.len, &plain),
                             SL_ESP_INTEGRITY);
        }
        esp_codec_clear(&c);
    }
}
END_TEST

/* Sealing reproduces them when the sequence number plays the vector's IV. */
START_TEST(published_packets_are_made_again)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct sl_err err;
        struct esp_codec c = { 0 };
        ck_ok(esp_codec_init(&c, &v->suite, true, v->spi, v->esn, sl_test_hex(v->key),
                             sl_bytes(NULL, 0), &err),
              &err);
        c.iv_is_counter = false;
        uint8_t mem[2048], want[2048];
        struct sl_bytes plain = sl_test_hex(v->plain), out;
        memcpy(mem + SL_ESP_HEADROOM, plain.p, plain.len);
        ck_assert(esp_codec_seal(&c, v->seq, sl_test_hex(v->iv).p, v->next_header,
                                 mem + SL_ESP_HEADROOM, plain.len, &out));
        ck_bytes_eq(out, packet_of(want, v));
        ck_assert_uint_eq(out.len - plain.len, esp_codec_overhead(&v->suite, plain.len));
        esp_codec_clear(&c);
    }
}
END_TEST

struct two {
    struct esp_codec seal, open;
};
static void two_init(struct two *t, const struct sl_suite *suite, bool esn)
{
    struct sl_err err;
    struct sl_secret encr = { 0 }, integ = { 0 };
    esp_test_key(&encr, sl_suite_encr_key_len(suite), 3);
    esp_test_key(&integ, sl_suite_integ_key_len(suite), 9);
    ck_ok(esp_codec_init(&t->seal, suite, true, 0x1000, esn, sl_secret_bytes(&encr),
                         sl_secret_bytes(&integ), &err),
          &err);
    ck_ok(esp_codec_init(&t->open, suite, false, 0x1000, esn, sl_secret_bytes(&encr),
                         sl_secret_bytes(&integ), &err),
          &err);
    sl_secret_clear(&encr);
    sl_secret_clear(&integ);
}
static void two_clear(struct two *t)
{
    esp_codec_clear(&t->seal);
    esp_codec_clear(&t->open);
}

static const uint8_t some_iv[ESP_IV_MAX] = { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6 };

START_TEST(every_suite_and_length_comes_back)
{
    for (size_t s = 0; s < SL_ARRAY_LEN(esp_suites); s++)
        for (int esn = 0; esn < 2; esn++) {
            struct two t;
            two_init(&t, &esp_suites[s], esn);
            for (size_t len = 0; len < 70; len++) {
                uint8_t mem[512], guard = 0xee;
                memset(mem, 0xee, sizeof(mem));
                for (size_t i = 0; i < len; i++)
                    mem[SL_ESP_HEADROOM + i] = (uint8_t)(i ^ len);
                uint64_t seq = UINT64_C(0x500000000) + len;
                if (!esn)
                    seq = (uint32_t)seq + 1;
                struct sl_bytes out;
                ck_assert(
                    esp_codec_seal(&t.seal, seq, some_iv, 4, mem + SL_ESP_HEADROOM, len, &out));
                ck_assert_uint_eq(out.len - len, esp_codec_overhead(&esp_suites[s], len));
                ck_assert_uint_eq((out.len - ESP_HDR_LEN) % 4, 0);
                ck_assert(out.p >= mem &&
                          out.p + out.len <= mem + SL_ESP_HEADROOM + len + SL_ESP_TAILROOM);
                ck_assert_uint_eq(out.p[-1], guard);
                ck_assert_uint_eq(out.p[out.len], guard);
                uint8_t clear[70];
                for (size_t i = 0; i < len; i++)
                    clear[i] = (uint8_t)(i ^ len);
                if (len >= 8)
                    ck_assert_mem_ne(mem + SL_ESP_HEADROOM, clear, len);
                struct esp_plain plain;
                ck_assert(esp_codec_fits(&t.open, out.len));
                ck_assert_int_eq(esp_codec_open(&t.open, seq, mem + (out.p - mem), out.len, &plain),
                                 SL_OK);
                ck_assert_uint_eq(plain.len, len);
                ck_assert_uint_eq(plain.next_header, 4);
                ck_bytes_eq(sl_bytes(plain.p, plain.len), sl_bytes(clear, len));
            }
            two_clear(&t);
        }
}
END_TEST

/* Every length shorter or longer, every bit changed: refused, and never with another reason. */
START_TEST(truncated_or_changed_packets_do_not_open)
{
    for (size_t s = 0; s < SL_ARRAY_LEN(esp_suites); s++)
        for (int esn = 0; esn < 2; esn++) {
            struct two t;
            two_init(&t, &esp_suites[s], esn);
            uint8_t mem[256] = { 0 };
            struct sl_bytes out;
            ck_assert(esp_codec_seal(&t.seal, 7, some_iv, 4, mem + SL_ESP_HEADROOM, 40, &out));
            struct esp_plain plain;
            for (size_t len = 0; len < out.len; len++) {
                if (!esp_codec_fits(&t.open, len))
                    continue;
                uint8_t *copy = malloc(len);
                memcpy(copy, out.p, len);
                ck_assert_int_eq(esp_codec_open(&t.open, 7, copy, len, &plain), SL_ESP_INTEGRITY);
                free(copy);
            }
            for (size_t bit = 32; bit < out.len * 8; bit++) { /* the SPI's place is in the table */
                uint8_t copy[256];
                memcpy(copy, out.p, out.len);
                copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
                uint32_t low = (uint32_t)copy[4] << 24 | (uint32_t)copy[5] << 16 |
                               (uint32_t)copy[6] << 8 | copy[7];
                ck_assert_int_eq(esp_codec_open(&t.open, low, copy, out.len, &plain),
                                 SL_ESP_INTEGRITY);
            }
            two_clear(&t);
        }
}
END_TEST

/* Padding that an honest sender does not make, under a valid ICV (RFC 4303 2.4). */
START_TEST(wrong_padding_is_malformed)
{
    struct two t;
    two_init(&t, &esp_suites[0], false);
    const struct {
        uint8_t tail[4];
        enum sl_rc want;
        size_t len;
    } cases[] = {
        { { 1, 2, 2, 4 }, SL_OK, 12 },
        { { 2, 1, 2, 4 }, SL_ESP_MALFORMED, 0 },
        { { 1, 2, 15, 4 }, SL_ESP_MALFORMED, 0 },
        { { 1, 2, 255, 4 }, SL_ESP_MALFORMED, 0 },
        { { 9, 9, 0, 4 }, SL_OK, 14 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        /* 16 bytes with their own trailer, sealed as if they had none: below the codec */
        uint8_t mem[64] = { 0, 0, 0x10, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9 };
        memcpy(mem + 28, cases[i].tail, 4);
        ck_assert(sl_cipher_seal(t.seal.cipher, sl_bytes(mem, 8), mem + 8, mem + 16, 16,
                                 sl_bytes(NULL, 0), mem + 32));
        struct esp_plain plain = { 0 };
        ck_assert_int_eq(esp_codec_open(&t.open, 9, mem, 48, &plain), cases[i].want);
        if (cases[i].want == SL_OK)
            ck_assert_uint_eq(plain.len, cases[i].len);
    }
    two_clear(&t);
}
END_TEST

START_TEST(inner_mtu_is_the_largest_that_fits)
{
    for (size_t s = 0; s < SL_ARRAY_LEN(esp_suites); s++)
        for (int family = 4; family <= 6; family += 2)
            for (int encap = 0; encap < 2; encap++)
                for (uint16_t outer = 576; outer < 1600; outer++) {
                    uint16_t inner =
                        sl_esp_inner_mtu(&esp_suites[s], (uint8_t)family, encap, outer);
                    size_t headers = (family == 4 ? 20u : 40u) + (encap ? 8u : 0u);
                    size_t at = headers + inner + esp_codec_overhead(&esp_suites[s], inner);
                    size_t above =
                        headers + inner + 1 + esp_codec_overhead(&esp_suites[s], (size_t)inner + 1);
                    ck_assert_uint_le(at, outer);
                    ck_assert_uint_gt(above, outer);
                }
    ck_assert_uint_eq(sl_esp_inner_mtu(&esp_suites[0], 4, true, 40), 0);
    /* by hand: 1500 - 20 IP - 8 UDP - 8 ESP - 8 IV - 16 ICV = 1440, less the trailer */
    ck_assert_uint_eq(sl_esp_inner_mtu(&esp_suites[0], 4, true, 1500), 1438);
}
END_TEST

SL_TESTS(esp_codec, SL_CASE(published_packets_open), SL_CASE(published_packets_are_made_again),
         SL_CASE(every_suite_and_length_comes_back),
         SL_CASE(truncated_or_changed_packets_do_not_open), SL_CASE(wrong_padding_is_malformed),
         SL_CASE(inner_mtu_is_the_largest_that_fits))
