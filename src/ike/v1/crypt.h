/*
 * Encrypted IKEv1 messages (RFC 2408 3.1, RFC 2409 appendix B): AES-CBC over all behind the header,
 * and IKE fragments as deployed (payload 132), which cut the finished datagram.
 *
 * CBC here protects nothing by itself: whether a message is the peer's is told by its HASH or SIG
 * alone. The IV of each message is the last block of the one before in the same exchange, so an IV
 * is kept per exchange and advances only with messages that were believed: v1_open never touches the
 * caller's IV, it says what the next one would be; the caller stores it once the message's hash holds.
 */
#ifndef IKE_V1_CRYPT_H
#define IKE_V1_CRYPT_H

#include "src/ike/sk.h"
#include "src/ike/v1/keys.h"

/*
 * Encrypts a chain (made with ike_wr_chain, ended) into one whole message, appended to out.
 *
 *   h      cookies, exchange, message ID; next, length and the encryption flag are filled in
 *   first  type of the first payload; chain is not empty
 *   iv     in: of this message; out: of the next one in this exchange. Unchanged on failure
 */
SL_MUST_USE enum sl_rc v1_seal(struct sl_buf *out, const struct sl_secret *enc,
                               uint8_t iv[V1_IV_LEN], const struct ike_hdr *h, uint8_t first,
                               struct sl_bytes chain, struct sl_err *err);
/*
 * Decrypts an encrypted message's body into *plain (replaced; wipe it when done): read it with
 * v1_payloads_read and m->hdr.next. next: IV for the exchange's next message, to be stored when this
 * one is believed. SL_IKE_MALFORMED: not encrypted, empty or no whole blocks; nothing is changed then.
 */
SL_MUST_USE enum sl_rc v1_open(struct sl_buf *plain, uint8_t next[V1_IV_LEN],
                               const struct sl_secret *enc, const uint8_t iv[V1_IV_LEN],
                               const struct v1_message *m, struct sl_err *err);

/* ---- fragments: ID (2), number from 1 (1), flags (1: last), data ---------------------------------------- */
#define V1_FRAGMENTS_MAX  IKE_FRAGMENTS_MAX
#define V1_REASSEMBLY_MAX 32768 /* bytes: unlike IKEv2's, fragments are not authenticated */
/*
 * A finished message as datagrams: one where it fits (or fragment_size is 0: not agreed), else
 * fragments. Arguments as of ike_sk_seal. id: any number that differs from the previous message's.
 * *out is replaced.
 */
SL_MUST_USE enum sl_rc v1_split(struct ike_datagrams *out, struct sl_bytes message, uint16_t id,
                                uint16_t fragment_size, uint8_t family, bool natt,
                                struct sl_err *err);
bool v1_is_fragment(const struct v1_message *m); /* the message is one payload 132 */

/* Fragments of one message of the peer. {0} is empty. */
struct v1_reassembly {
    uint16_t id;
    uint8_t last; /* number of the last one, 0: not seen */
    uint8_t have;
    size_t bytes;
    struct sl_buf *part; /* V1_FRAGMENTS_MAX of them; NULL: nothing is being put together */
};
void v1_reassembly_clear(struct v1_reassembly *ra);
enum v1_joined { V1_JOINED = 1, V1_JOINED_PART };
/*
 * Takes one fragment. V1_JOINED: *whole holds the message (replaced), to be read with
 * v1_message_read; ra is empty again. A fragment of another ID starts anew; one seen before is passed
 * over. SL_IKE_MALFORMED, SL_TOO_LARGE: ra is as it was.
 */
SL_MUST_USE enum sl_rc v1_join(enum v1_joined *what, struct sl_buf *whole, struct v1_reassembly *ra,
                               const struct v1_message *m, struct sl_err *err);

#endif
