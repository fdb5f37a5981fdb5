/*
 * The IKEv2 message codec (RFC 7296 3): the header, the chain of payloads, and the body of each
 * payload but those with a module of their own: SA (proposal.h), TSi and TSr (ts.h), the content of
 * SK and SKF (sk.h), the content of AUTH (auth.h).
 *
 * Reading gives views borrowed from the input; nothing is allocated or copied. A _read takes a
 * payload's body (without its generic header) and is false when the body breaks its format, so that
 * the caller answers INVALID_SYNTAX. Whether a payload fits the exchange is asked with
 * ike_payloads_check; what it means is left to the exchanges.
 *
 * Writing: an ike_wr makes the chain; ike_wr_open and ike_wr_close frame one payload and keep the
 * Next Payload fields right; the _write functions emit bodies; the ike_put_ functions do the three
 * in one. Failure of the writer is sticky, asked once with ike_wr_end.
 */
#ifndef IKE_CODEC_H
#define IKE_CODEC_H

#include "sealane/bytes.h"
#include "sealane/decision.h"
#include "sealane/err.h"

/* ---- limits -------------------------------------------------------------------------------- */
#define IKE_HDR_LEN          28
#define IKE_SPI_LEN          8
#define IKE_PAYLOADS_MAX     64    /* payloads in one message, or inside one SK */
#define IKE_MESSAGE_MAX      65535 /* bytes, also of a message put together from fragments */
#define IKE_NONCE_MIN        16    /* RFC 7296 3.9 */
#define IKE_NONCE_MAX        256
#define IKE_COOKIE_MAX       64 /* RFC 7296 2.6 */
#define IKE_CERTREQ_HASH_LEN 20 /* SHA-1 of a SubjectPublicKeyInfo, RFC 7296 3.7 */

/* ---- header --------------------------------------------------------------------------------- */
enum ike_exchange {
    IKE_SA_INIT = 34,
    IKE_AUTH = 35,
    IKE_CREATE_CHILD_SA = 36,
    IKE_INFORMATIONAL = 37,
    IKE_SESSION_RESUME = 38, /* RFC 5723 */
    IKE_INTERMEDIATE = 43,   /* RFC 9242 */
    IKE_FOLLOWUP_KE = 44,    /* RFC 9370 */
};
enum ike_flag {
    IKE_FLAG_INITIATOR = 0x08, /* sent by the SA's original initiator */
    IKE_FLAG_VERSION = 0x10,   /* sender speaks a higher major version too */
    IKE_FLAG_RESPONSE = 0x20,
};
#define IKE_VERSION_2 0x20 /* major 2, minor 0 */

struct ike_hdr {
    uint8_t spi_i[IKE_SPI_LEN], spi_r[IKE_SPI_LEN];
    uint8_t next;     /* type of the first payload; 0: none */
    uint8_t version;  /* major << 4 | minor */
    uint8_t exchange; /* enum ike_exchange, or unknown */
    uint8_t flags;
    uint32_t id;     /* message ID */
    uint32_t length; /* of the whole message */
};
static inline bool ike_hdr_is_response(const struct ike_hdr *h)
{
    return (h->flags & IKE_FLAG_RESPONSE) != 0;
}
static inline bool ike_hdr_from_initiator(const struct ike_hdr *h)
{
    return (h->flags & IKE_FLAG_INITIATOR) != 0;
}
bool ike_hdr_read(struct ike_hdr *h, struct sl_rd *r) SL_MUST_USE;
void ike_hdr_write(struct sl_wr *w,
                   const struct ike_hdr *h); /* with h->next and h->length as they are */

/* ---- chain of payloads ------------------------------------------------------------------------ */
enum ike_payload_type {
    IKE_P_NONE = 0,
    IKE_P_SA = 33,
    IKE_P_KE = 34,
    IKE_P_IDi = 35,
    IKE_P_IDr = 36,
    IKE_P_CERT = 37,
    IKE_P_CERTREQ = 38,
    IKE_P_AUTH = 39,
    IKE_P_NONCE = 40,
    IKE_P_N = 41,
    IKE_P_D = 42,
    IKE_P_V = 43,
    IKE_P_TSi = 44,
    IKE_P_TSr = 45,
    IKE_P_SK = 46,
    IKE_P_CP = 47,
    IKE_P_EAP = 48,
    IKE_P_SKF = 53, /* RFC 7383 */
};
/* A set of payload types. */
#define IKE_BIT(type) (1ULL << (type))

struct ike_payload {
    uint8_t type;
    uint8_t next; /* Next Payload field; in SK and SKF the type of the first inner payload */
    bool critical;
    struct sl_bytes body; /* without the 4 bytes of generic header */
};
struct ike_payloads {
    struct ike_payload p[IKE_PAYLOADS_MAX];
    size_t n;
    /*
     * First payload of a type we do not know that carries the critical bit; 0: none. It is the data
     * of N(UNSUPPORTED_CRITICAL_PAYLOAD). Unknown payloads without the bit are listed and ignored
     * (RFC 7296 2.5).
     */
    uint8_t unsupported;
};

/* A whole message. hdr is valid also after SL_IKE_VERSION and SL_IKE_CRITICAL_PAYLOAD. */
struct ike_message {
    struct ike_hdr hdr;
    struct sl_bytes raw; /* the datagram; borrowed */
    struct ike_payloads list;
};

/*
 * Reads the header and the outer chain of a datagram (without a non-ESP marker).
 *
 * SL_IKE_MALFORMED: header or chain is broken, or the length field is not the datagram's;
 * SL_IKE_VERSION: major version other than 2 (answered with N(INVALID_MAJOR_VERSION) to a request
 * of a higher one, RFC 7296 2.5); SL_IKE_CRITICAL_PAYLOAD: see ike_payloads.unsupported;
 * SL_TOO_LARGE: more than IKE_PAYLOADS_MAX payloads. Never allocates.
 */
SL_MUST_USE enum sl_rc ike_message_read(struct ike_message *m, struct sl_bytes datagram,
                                        struct sl_err *err);
/* Reads a chain alone, as found inside SK: first is the type of its first payload. Errors as above. */
SL_MUST_USE enum sl_rc ike_payloads_read(struct ike_payloads *list, uint8_t first,
                                         struct sl_bytes chain, struct sl_err *err);

/* The first payload of that type, NULL when there is none. */
const struct ike_payload *ike_payloads_find(const struct ike_payloads *list, uint8_t type);
/* The next one after prev (NULL: from the start): for CERT, CERTREQ, N, D, V. */
const struct ike_payload *ike_payloads_next(const struct ike_payloads *list, uint8_t type,
                                            const struct ike_payload *prev);
size_t ike_payloads_count(const struct ike_payloads *list, uint8_t type);
uint64_t ike_payloads_set(
    const struct ike_payloads *list); /* IKE_BITs of the known types present */

/*
 * The rules of which payloads a message may hold: every type of need at least once; no known type
 * outside need, may, N and V (which may come anywhere); only CERT, CERTREQ, N, D and V twice. Order
 * is free (RFC 7296 2.5). SL_IKE_MALFORMED names the payload, with `what` ("IKE_AUTH request").
 */
SL_MUST_USE enum sl_rc ike_payloads_check(const struct ike_payloads *list, uint64_t need,
                                          uint64_t may, const char *what, struct sl_err *err);

/* Names for logs: "IKE_AUTH", "TSi", "AUTHENTICATION_FAILED"; "exchange 99" and so on for the unknown. */
#define IKE_TEXT 48
const char *ike_exchange_text(char out[IKE_TEXT], uint8_t exchange);
const char *ike_payload_text(char out[IKE_TEXT], uint8_t type);
const char *ike_notify_text(char out[IKE_TEXT], uint16_t type);

/* ---- writing a chain ---------------------------------------------------------------------------- */
/*
 * ike_wr_message: a header goes first, its length and next payload filled in by the end.
 * ike_wr_chain: payloads alone, as sealed into SK; `first` is then the type to hand to the sealer.
 * Both append to buf; what they write is bounded by IKE_MESSAGE_MAX. A header of version 0 is written as 2.0.
 */
struct ike_wr {
    struct sl_wr w;
    size_t start;        /* of this message in the buffer */
    size_t link;         /* offset of the last Next Payload field, SIZE_MAX: none yet */
    uint8_t link_second; /* the byte after that field, rewritten with it */
    uint8_t first;       /* type of the first payload; 0: chain is empty */
    bool has_hdr;
};
struct ike_wr ike_wr_message(struct sl_buf *buf, const struct ike_hdr *h);
struct ike_wr ike_wr_chain(struct sl_buf *buf);
/* Opens a payload; write its body to &c->w; hand the mark to _close. */
size_t ike_wr_open(struct ike_wr *c, uint8_t type);
void ike_wr_close(struct ike_wr *c, size_t mark);
/* One payload whose body is at hand. critical is for tests and future payloads. */
void ike_wr_payload(struct ike_wr *c, uint8_t type, bool critical, struct sl_bytes body);
/* Fills in the header's length; false when anything failed (memory, IKE_MESSAGE_MAX). */
bool ike_wr_end(struct ike_wr *c) SL_MUST_USE;

/* ---- KE: group (2), RESERVED (2), key exchange data ------------------------------------------- */
struct ike_ke {
    uint16_t group; /* enum sl_ke, or unknown */
    struct sl_bytes data;
};
bool ike_ke_read(struct ike_ke *ke, struct sl_bytes body) SL_MUST_USE;
void ike_put_ke(struct ike_wr *c, uint16_t group, struct sl_bytes data);

/* ---- IDi, IDr: type (1), RESERVED (3), data ---------------------------------------------------- */
/*
 * Copies into *id, which holds SL_ID_MAX bytes; false also for longer data, for empty data and for
 * addresses of a wrong length. Unknown types are read as they are. The body itself is RestOfInitIDPayload
 * for ike_signed_octets.
 */
bool ike_id_read(struct sl_id *id, struct sl_bytes body) SL_MUST_USE;
void ike_id_write(struct sl_wr *w, const struct sl_id *id);
void ike_put_id(struct ike_wr *c, uint8_t type,
                const struct sl_id *id); /* IKE_P_IDi or IKE_P_IDr */

/* ---- CERT, CERTREQ: encoding (1), data ----------------------------------------------------------- */
enum ike_cert_encoding {
    IKE_CERT_PKCS7 = 1,
    IKE_CERT_X509_SIGNATURE = 4, /* DER certificate; in CERTREQ: SHA-1 hashes of CA keys */
    IKE_CERT_CRL = 7,
    IKE_CERT_HASH_URL = 12,
    IKE_CERT_HASH_URL_BUNDLE = 13,
    IKE_CERT_OCSP = 14, /* RFC 4806 */
    IKE_CERT_RAW_KEY = 15,
};
struct ike_cert {
    uint8_t encoding;
    struct sl_bytes data;
};
bool ike_cert_read(struct ike_cert *cert, struct sl_bytes body) SL_MUST_USE; /* data not empty */
void ike_put_cert(struct ike_wr *c, uint8_t encoding, struct sl_bytes data);
/*
 * The peer's X.509 certificates in their order (the first holds the key of AUTH, RFC 7296 3.6), and
 * the OCSP responses that came with them (RFC 4806 3.1). Other encodings are passed over, and so are
 * responses that repeat one, are larger than IKE_OCSP_MAX or more than SL_CHAIN_MAX: what is in them
 * is help, and without it revocation is looked up as ever. SL_IKE_MALFORMED: a broken CERT;
 * SL_TOO_LARGE: more than SL_CHAIN_MAX certificates.
 */
#define IKE_OCSP_MAX 16384
struct ike_certs {
    struct sl_bytes cert[SL_CHAIN_MAX], ocsp[SL_CHAIN_MAX];
    size_t cert_n, ocsp_n;
    size_t ocsp_skipped;
};
SL_MUST_USE enum sl_rc ike_certs_collect(struct ike_certs *out, const struct ike_payloads *list,
                                         struct sl_err *err);
/* CERTREQ: data may be empty; with X509_SIGNATURE a whole number of hashes. */
bool ike_certreq_read(struct ike_cert *req, struct sl_bytes body) SL_MUST_USE;
void ike_put_certreq(struct ike_wr *c, uint8_t encoding, struct sl_bytes data);

/* ---- AUTH: method (1), RESERVED (3), data --------------------------------------------------------- */
struct ike_auth {
    uint8_t method; /* enum ike_auth_method (auth.h) */
    struct sl_bytes data;
};
bool ike_auth_read(struct ike_auth *a, struct sl_bytes body) SL_MUST_USE; /* data not empty */
void ike_put_auth(struct ike_wr *c, uint8_t method, struct sl_bytes data);

/* ---- Ni, Nr ---------------------------------------------------------------------------------------- */
bool ike_nonce_read(struct sl_bytes *nonce, struct sl_bytes body) SL_MUST_USE; /* 16..256 bytes */
void ike_put_nonce(struct ike_wr *c, struct sl_bytes nonce);

/* ---- N: protocol (1), SPI size (1), type (2), SPI, data --------------------------------------------- */
enum ike_protocol { IKE_PROTO_NONE = 0, IKE_PROTO_IKE = 1, IKE_PROTO_AH = 2, IKE_PROTO_ESP = 3 };

/* Every notify type of the IANA registry: NAME, number. Below 16384: errors (RFC 7296 3.10.1). */
#define IKE_NOTIFIES(X)                           \
    X(UNSUPPORTED_CRITICAL_PAYLOAD, 1)            \
    X(INVALID_IKE_SPI, 4)                         \
    X(INVALID_MAJOR_VERSION, 5)                   \
    X(INVALID_SYNTAX, 7)                          \
    X(INVALID_MESSAGE_ID, 9)                      \
    X(INVALID_SPI, 11)                            \
    X(NO_PROPOSAL_CHOSEN, 14)                     \
    X(INVALID_KE_PAYLOAD, 17)                     \
    X(AUTHENTICATION_FAILED, 24)                  \
    X(SINGLE_PAIR_REQUIRED, 34)                   \
    X(NO_ADDITIONAL_SAS, 35)                      \
    X(INTERNAL_ADDRESS_FAILURE, 36)               \
    X(FAILED_CP_REQUIRED, 37)                     \
    X(TS_UNACCEPTABLE, 38)                        \
    X(INVALID_SELECTORS, 39)                      \
    X(UNACCEPTABLE_ADDRESSES, 40)                 \
    X(UNEXPECTED_NAT_DETECTED, 41)                \
    X(USE_ASSIGNED_HoA, 42)                       \
    X(TEMPORARY_FAILURE, 43)                      \
    X(CHILD_SA_NOT_FOUND, 44)                     \
    X(INVALID_GROUP_ID, 45)                       \
    X(AUTHORIZATION_FAILED, 46)                   \
    X(STATE_NOT_FOUND, 47)                        \
    X(TS_MAX_QUEUE, 48)                           \
    X(INITIAL_CONTACT, 16384)                     \
    X(SET_WINDOW_SIZE, 16385)                     \
    X(ADDITIONAL_TS_POSSIBLE, 16386)              \
    X(IPCOMP_SUPPORTED, 16387)                    \
    X(NAT_DETECTION_SOURCE_IP, 16388)             \
    X(NAT_DETECTION_DESTINATION_IP, 16389)        \
    X(COOKIE, 16390)                              \
    X(USE_TRANSPORT_MODE, 16391)                  \
    X(HTTP_CERT_LOOKUP_SUPPORTED, 16392)          \
    X(REKEY_SA, 16393)                            \
    X(ESP_TFC_PADDING_NOT_SUPPORTED, 16394)       \
    X(NON_FIRST_FRAGMENTS_ALSO, 16395)            \
    X(MOBIKE_SUPPORTED, 16396)                    \
    X(ADDITIONAL_IP4_ADDRESS, 16397)              \
    X(ADDITIONAL_IP6_ADDRESS, 16398)              \
    X(NO_ADDITIONAL_ADDRESSES, 16399)             \
    X(UPDATE_SA_ADDRESSES, 16400)                 \
    X(COOKIE2, 16401)                             \
    X(NO_NATS_ALLOWED, 16402)                     \
    X(AUTH_LIFETIME, 16403)                       \
    X(MULTIPLE_AUTH_SUPPORTED, 16404)             \
    X(ANOTHER_AUTH_FOLLOWS, 16405)                \
    X(REDIRECT_SUPPORTED, 16406)                  \
    X(REDIRECT, 16407)                            \
    X(REDIRECTED_FROM, 16408)                     \
    X(TICKET_LT_OPAQUE, 16409)                    \
    X(TICKET_REQUEST, 16410)                      \
    X(TICKET_ACK, 16411)                          \
    X(TICKET_NACK, 16412)                         \
    X(TICKET_OPAQUE, 16413)                       \
    X(LINK_ID, 16414)                             \
    X(USE_WESP_MODE, 16415)                       \
    X(ROHC_SUPPORTED, 16416)                      \
    X(EAP_ONLY_AUTHENTICATION, 16417)             \
    X(CHILDLESS_IKEV2_SUPPORTED, 16418)           \
    X(QUICK_CRASH_DETECTION, 16419)               \
    X(IKEV2_MESSAGE_ID_SYNC_SUPPORTED, 16420)     \
    X(IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED, 16421) \
    X(IKEV2_MESSAGE_ID_SYNC, 16422)               \
    X(IPSEC_REPLAY_COUNTER_SYNC, 16423)           \
    X(SECURE_PASSWORD_METHODS, 16424)             \
    X(PSK_PERSIST, 16425)                         \
    X(PSK_CONFIRM, 16426)                         \
    X(ERX_SUPPORTED, 16427)                       \
    X(IFOM_CAPABILITY, 16428)                     \
    X(GROUP_SENDER, 16429)                        \
    X(IKEV2_FRAGMENTATION_SUPPORTED, 16430)       \
    X(SIGNATURE_HASH_ALGORITHMS, 16431)           \
    X(CLONE_IKE_SA_SUPPORTED, 16432)              \
    X(CLONE_IKE_SA, 16433)                        \
    X(PUZZLE, 16434)                              \
    X(USE_PPK, 16435)                             \
    X(PPK_IDENTITY, 16436)                        \
    X(NO_PPK_AUTH, 16437)                         \
    X(INTERMEDIATE_EXCHANGE_SUPPORTED, 16438)     \
    X(IP4_ALLOWED, 16439)                         \
    X(IP6_ALLOWED, 16440)                         \
    X(ADDITIONAL_KEY_EXCHANGE, 16441)             \
    X(USE_AGGFRAG, 16442)                         \
    X(SUPPORTED_AUTH_METHODS, 16443)              \
    X(SA_RESOURCE_INFO, 16444)                    \
    X(USE_PPK_INT, 16445)                         \
    X(PPK_IDENTITY_KEY, 16446)

enum ike_notify_type {
#define IKE_NOTIFY_ENUM(name, number) IKE_N_##name = (number),
    IKE_NOTIFIES(IKE_NOTIFY_ENUM)
#undef IKE_NOTIFY_ENUM
};
#define IKE_N_STATUS_FIRST 16384
static inline bool ike_notify_is_error(uint16_t type)
{
    return type < IKE_N_STATUS_FIRST;
}

struct ike_notify {
    uint8_t protocol;    /* enum ike_protocol; meaningful with an SPI */
    uint16_t type;       /* enum ike_notify_type, or unknown */
    struct sl_bytes spi; /* empty, 4 (ESP, AH) or 8 bytes */
    struct sl_bytes data;
};
bool ike_notify_read(struct ike_notify *n, struct sl_bytes body) SL_MUST_USE;
/*
 * The first N of that type that reads well; false when there is none. A broken N is passed over: use
 * ike_notifies_check first to answer INVALID_SYNTAX.
 */
bool ike_notify_find(const struct ike_payloads *list, uint16_t type,
                     struct ike_notify *n) SL_MUST_USE;
/* The first N of an error type (RFC 7296 3.10.1); false when there is none. */
bool ike_notify_find_error(const struct ike_payloads *list, struct ike_notify *n) SL_MUST_USE;
bool ike_notifies_check(const struct ike_payloads *list) SL_MUST_USE; /* every N reads well */
/* The usual N: no SPI. */
void ike_put_notify(struct ike_wr *c, uint16_t type, struct sl_bytes data);
void ike_put_notify_spi(struct ike_wr *c, uint16_t type, uint8_t protocol, struct sl_bytes spi,
                        struct sl_bytes data);

/* ---- D: protocol (1), SPI size (1), count (2), SPIs -------------------------------------------------- */
struct ike_delete {
    uint8_t protocol; /* IKE: no SPI; ESP, AH: 4-byte SPIs, those the sender receives on */
    uint16_t n;       /* SPIs */
    uint8_t spi_len;  /* 0 or 4 */
    struct sl_bytes spis;
};
bool ike_delete_read(struct ike_delete *d, struct sl_bytes body) SL_MUST_USE;
uint32_t ike_delete_spi(const struct ike_delete *d, size_t i); /* host order; i < n, spi_len 4 */
void ike_put_delete_ike(struct ike_wr *c);
void ike_put_delete_esp(struct ike_wr *c, const uint32_t *spi, size_t n); /* host order */

/* ---- V: opaque ---------------------------------------------------------------------------------------- */
void ike_put_vendor(struct ike_wr *c, struct sl_bytes id);

/* ---- CP: type (1), RESERVED (3), attributes: R and type (2), length (2), value -------------------------- */
enum ike_cp_type { IKE_CP_REQUEST = 1, IKE_CP_REPLY = 2, IKE_CP_SET = 3, IKE_CP_ACK = 4 };
#define IKE_CP_ATTRS_MAX 64
struct ike_cp {
    uint8_t type;
    size_t n;             /* attributes */
    struct sl_bytes body; /* of attributes */
};
struct ike_cp_attr {
    uint16_t type;
    struct sl_bytes value;
};
bool ike_cp_read(struct ike_cp *cp, struct sl_bytes body) SL_MUST_USE;
/* Steps through a payload that read well: *r starts as sl_rd(cp->body); false at the end. */
bool ike_cp_next(struct ike_cp_attr *attr, struct sl_rd *r) SL_MUST_USE;

/* ---- EAP: code (1), identifier (1), length (2), data (RFC 3748 4) ------------------------------------------ */
struct ike_eap {
    uint8_t code, id;
    struct sl_bytes packet; /* whole, for the EAP method */
};
bool ike_eap_read(struct ike_eap *e, struct sl_bytes body) SL_MUST_USE;

#endif
