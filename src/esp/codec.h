/*
 * The ESP packet (RFC 4303 2): header, IV, padding, trailer and ICV around a payload, for every
 * suite of crypto.h. Knows nothing of replay, policy or inner packets.
 */
#ifndef SL_ESP_CODEC_H
#define SL_ESP_CODEC_H

#include "sealane/crypto.h"

#define ESP_HDR_LEN 8u /* SPI, sequence number */
#define ESP_IV_MAX  16u
#define ESP_NH_IPV4 4 /* next header values of tunnel mode, and of a dummy packet */
#define ESP_NH_IPV6 41
#define ESP_NH_NONE 59

/* One direction of one SA. */
struct esp_codec {
    struct sl_cipher *cipher;
    uint32_t spi;
    uint8_t iv_len, icv_len;
    uint8_t block; /* the ciphertext is a multiple of this */
    uint8_t align; /* and the sender makes it one of this: block, but 4 at least (RFC 4303 2.4) */
    bool aead, esn;
    bool iv_is_counter; /* IV: the sequence number (RFC 4106 3.1, RFC 7634 2), else random (CBC) */
};

SL_MUST_USE enum sl_rc esp_codec_init(struct esp_codec *c, const struct sl_suite *suite, bool seal,
                                      uint32_t spi, bool esn, struct sl_bytes encr_key,
                                      struct sl_bytes integ_key, struct sl_err *err);
void esp_codec_clear(struct esp_codec *c);

/*
 * Seals data[0..len) in place. Before it lie ESP_HDR_LEN + iv_len free bytes, behind it room for
 * padding, trailer and ICV: SL_ESP_HEADROOM and SL_ESP_TAILROOM hold every suite's.
 *
 *   seq     never used before with this key; with a counter IV it is the IV
 *   random  iv_len unpredictable bytes where the IV is not a counter; else ignored
 *
 * The packet is then *out, false only when libcrypto failed.
 */
SL_MUST_USE bool esp_codec_seal(const struct esp_codec *c, uint64_t seq, const uint8_t *random,
                                uint8_t next_header, uint8_t *data, size_t len,
                                struct sl_bytes *out);

struct esp_plain {
    uint8_t *p; /* inside the packet */
    size_t len; /* padding removed */
    uint8_t next_header;
};
/* Can a packet of this length be one of this SA's? Looked at before anything is spent on it. */
bool esp_codec_fits(const struct esp_codec *c, size_t len);
/*
 * Opens a packet that fits, in place. SL_ESP_INTEGRITY: the ICV is wrong; SL_ESP_MALFORMED: it is
 * right, but the padding is not the one of RFC 4303 2.4.
 */
enum sl_rc esp_codec_open(const struct esp_codec *c, uint64_t seq, uint8_t *pkt, size_t len,
                          struct esp_plain *out);

/* Bytes a packet grows by, for an inner packet of len. */
size_t esp_codec_overhead(const struct sl_suite *suite, size_t len);

#endif
