/*
 * Protected messages: the Encrypted payload SK (RFC 7296 3.14, RFC 5282 for AEADs) and encrypted
 * fragments SKF (RFC 7383), sealed and opened with struct sl_cipher; splitting by the size of the IP
 * datagram; putting fragments together within limits of number and memory.
 *
 * Leaves to others: message IDs, retransmission (the sealed bytes are kept and sent again, never
 * sealed anew), and whether fragmentation was agreed.
 */
#ifndef IKE_SK_H
#define IKE_SK_H

#include "src/ike/codec.h"

#include "sealane/crypto.h"
#include "sealane/net.h"

#define IKE_FRAGMENTS_MAX 64 /* fragments of one message, sent or taken */
#define IKE_FRAGMENT_SIZE_MIN \
    296 /* smallest IP datagram that is split to: keeps IKE_FRAGMENTS_MAX useful */

/* One direction of an IKE SA's protection. {0} is empty. */
struct ike_sk {
    struct sl_cipher *cipher;
    struct sl_suite suite;
    bool seal;
    uint64_t iv; /* AEAD: counter that makes each IV of the key unique (RFC 5282 3.1) */
};
SL_MUST_USE enum sl_rc ike_sk_init(struct ike_sk *sk, const struct sl_suite *suite, bool seal,
                                   const struct sl_secret *encr_key,
                                   const struct sl_secret *integ_key, struct sl_err *err);
void ike_sk_clear(struct ike_sk *sk);

/* ---- sending ------------------------------------------------------------------------------------ */
/* One message as it goes out: one datagram, or one for each fragment. {0} is empty. */
struct ike_datagrams {
    struct sl_buf buf;
    size_t end[IKE_FRAGMENTS_MAX];
    size_t n;
};
void ike_datagrams_clear(struct ike_datagrams *d);
struct sl_bytes ike_datagram_get(const struct ike_datagrams *d, size_t i); /* lent; i < d->n */
/* An unprotected message (IKE_SA_INIT) as the one datagram; copies. */
SL_MUST_USE bool ike_datagrams_plain(struct ike_datagrams *d, struct sl_bytes message);

/*
 * Seals the chain that ike_wr_chain made into one SK message, or, where that would be larger than
 * fragment_size, into SKF fragments that each fit.
 *
 *   h              SPIs, exchange, flags, message ID; next and length are filled in
 *   first, chain   the payloads; chain may be empty (first 0): an empty INFORMATIONAL
 *   fragment_size  largest IP datagram in bytes; 0: never split (not agreed, or not wanted)
 *   family         4 or 6, for the size of the IP header
 *   natt           port 4500: count the non-ESP marker's 4 bytes (the shell puts it in front)
 *   rng            IVs of CBC
 *
 * SL_TOO_LARGE: more than IKE_FRAGMENTS_MAX fragments, or IKE_MESSAGE_MAX. *out is replaced.
 */
SL_MUST_USE enum sl_rc ike_sk_seal(struct ike_datagrams *out, struct ike_sk *sk,
                                   const struct ike_hdr *h, uint8_t first, struct sl_bytes chain,
                                   uint16_t fragment_size, uint8_t family, bool natt,
                                   const struct sl_rng *rng, struct sl_err *err);

/* ---- receiving ------------------------------------------------------------------------------------ */
/* Fragments of one message of the peer. {0} is empty. Holds at most IKE_MESSAGE_MAX bytes. */
struct ike_reassembly {
    uint32_t id; /* message ID it is for */
    uint8_t exchange, flags;
    uint8_t first; /* type of the first inner payload, known with fragment 1 */
    uint16_t total, have;
    size_t bytes;
    struct sl_buf *part; /* total of them; NULL: nothing is being put together */
};
void ike_reassembly_clear(struct ike_reassembly *ra);

/* What came of a protected message. */
enum ike_opened {
    IKE_OPENED = 1,   /* *first and *plain hold the inner chain: read it with ike_payloads_read */
    IKE_OPENED_PART,  /* a good fragment; more are missing */
    IKE_OPENED_AGAIN, /* a fragment that is here already, or of a split given up: drop silently */
};
/*
 * Opens a message that ike_message_read took, whose last payload is SK or SKF, both kinds. Nothing
 * is changed by a message that fails its integrity check.
 *
 *   ra     the SA's reassembly state for this direction and kind (requests and responses apart);
 *          a fragment of another message ID starts anew, so check the ID against the window first
 *   plain  out: replaced; the views of ike_payloads_read point into it. Wipe it when done
 *   first  out: type of the first inner payload (0: none)
 *
 * SL_IKE_INTEGRITY: the check failed (drop, count); SL_IKE_MALFORMED: not protected at all, too
 * short, padding or fragment numbers wrong; SL_TOO_LARGE: more than IKE_FRAGMENTS_MAX fragments or
 * IKE_MESSAGE_MAX bytes.
 */
SL_MUST_USE enum sl_rc ike_sk_open(enum ike_opened *what, struct ike_sk *sk,
                                   const struct ike_message *m, struct ike_reassembly *ra,
                                   struct sl_buf *plain, uint8_t *first, struct sl_err *err);

#endif
