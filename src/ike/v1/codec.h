/*
 * The IKEv1 message codec (RFC 2408 3, RFC 2407 4.6): the header, the chain of payloads, and the body
 * of each payload but SA (v1/proposal.h). The header has the layout of IKEv2's, with cookies in the
 * places of SPIs, so struct ike_hdr and the writer struct ike_wr of src/ike/codec.h serve both; give
 * ike_wr_message a header with version V1_VERSION and ike_wr_open the types below.
 *
 * Reading gives views borrowed from the input and allocates nothing (but for PKCS#7, see v1_certs). A
 * _read takes a payload's body, without its generic header, and is false when the body breaks its
 * format. Nothing is believed here: hashes are checked by the exchanges (v1/keys.h).
 */
#ifndef IKE_V1_CODEC_H
#define IKE_V1_CODEC_H

#include "src/ike/codec.h"

#include "sealane/net.h"

#define V1_VERSION    0x10 /* major 1, minor 0 */
#define V1_COOKIE_LEN IKE_SPI_LEN
#define V1_NONCE_MIN  8 /* RFC 2409 5: 8 to 256 bytes */
#define V1_NONCE_MAX  IKE_NONCE_MAX
#define V1_DOI_IPSEC  1
#define V1_ATTRS_MAX  32 /* in one transform, or one ATTR payload */

enum v1_exchange {
    V1_MAIN = 2, /* Identity Protection */
    V1_AUTH_ONLY = 3,
    V1_AGGRESSIVE = 4,
    V1_INFORMATIONAL = 5,
    V1_TRANSACTION = 6, /* mode config, XAuth */
    V1_QUICK = 32,
    V1_NEW_GROUP = 33,
};
enum v1_flag { V1_FLAG_ENCRYPTION = 1, V1_FLAG_COMMIT = 2, V1_FLAG_AUTH_ONLY = 4 };

enum v1_payload_type {
    V1_P_NONE = 0,
    V1_P_SA = 1,
    V1_P_P = 2,
    V1_P_T = 3,
    V1_P_KE = 4,
    V1_P_ID = 5,
    V1_P_CERT = 6,
    V1_P_CR = 7,
    V1_P_HASH = 8,
    V1_P_SIG = 9,
    V1_P_NONCE = 10,
    V1_P_N = 11,
    V1_P_D = 12,
    V1_P_VID = 13,
    V1_P_ATTR = 14,
    V1_P_NAT_D_DRAFT4 = 15, /* as drafts 4 to 8 of RFC 3947 numbered them */
    V1_P_NAT_OA_DRAFT4 = 16,
    V1_P_NAT_D = 20, /* RFC 3947 */
    V1_P_NAT_OA = 21,
    V1_P_NAT_D_DRAFT = 130, /* drafts 0 to 3 */
    V1_P_NAT_OA_DRAFT = 131,
    V1_P_FRAGMENT = 132,
};
/* Sets of payload types for v1_payloads_check; the draft numbers count as NAT_D and NAT_OA. */
#define V1_BIT(type) (1U << (type))

struct v1_message {
    struct ike_hdr hdr;
    struct sl_bytes raw;  /* the datagram; borrowed */
    struct sl_bytes body; /* all that follows the header: the ciphertext of an encrypted one */
    struct ike_payloads
        list; /* empty when encrypted: open it with v1_open, then v1_payloads_read */
};
static inline bool v1_is_encrypted(const struct ike_hdr *h)
{
    return (h->flags & V1_FLAG_ENCRYPTION) != 0;
}

/*
 * Reads the header and, of an unencrypted message, the chain. SL_IKE_MALFORMED, SL_IKE_VERSION (major
 * other than 1), SL_TOO_LARGE (more than IKE_PAYLOADS_MAX payloads).
 */
SL_MUST_USE enum sl_rc v1_message_read(struct v1_message *m, struct sl_bytes datagram,
                                       struct sl_err *err);
/*
 * Reads a decrypted chain. What follows the last payload is padding and passed over (RFC 2408 3.1,
 * RFC 2409 5), whatever its content. An unknown type is listed; v1_payloads_check refuses it.
 */
SL_MUST_USE enum sl_rc v1_payloads_read(struct ike_payloads *list, uint8_t first,
                                        struct sl_bytes chain, struct sl_err *err);
/* ike_payloads_find, _next and _count of src/ike/codec.h serve lists of both versions. */

/*
 * Every type of need at least once; nothing outside need, may, N, VID and types above 127 (private
 * use, passed over as RFC 2408 5.1 allows). ID may come twice where it is needed or allowed at all;
 * CERT, CR, N, D, VID, NAT_D, NAT_OA any number; the rest once.
 */
SL_MUST_USE enum sl_rc v1_payloads_check(const struct ike_payloads *list, uint32_t need,
                                         uint32_t may, const char *what, struct sl_err *err);
/*
 * The bytes of the payloads behind the first one, with their generic headers and without padding:
 * what HASH(1) and HASH(2) cover when HASH comes first (RFC 2409 5.5). Empty when there are none.
 */
struct sl_bytes v1_after_first(const struct ike_payloads *list);

const char *v1_exchange_text(char out[IKE_TEXT], uint8_t exchange); /* "main mode", "exchange 99" */
const char *v1_payload_text(char out[IKE_TEXT], uint8_t type);      /* "HASH", "payload 99" */
const char *v1_notify_text(char out[IKE_TEXT], uint16_t type);      /* "NO-PROPOSAL-CHOSEN" */

/* ---- KE, HASH, SIG, NONCE, VID: the body is the data. Write them with ike_wr_payload. ------------ */
static inline void v1_put(struct ike_wr *c, uint8_t type, struct sl_bytes body)
{
    ike_wr_payload(c, type, false, body);
}
bool v1_nonce_ok(struct sl_bytes body); /* V1_NONCE_MIN..V1_NONCE_MAX bytes */

/* ---- ID (RFC 2407 4.6.2): type (1), protocol (1), port (2), data ---------------------------------- */
enum v1_id_type {
    V1_ID_IPV4_ADDR = 1,
    V1_ID_FQDN = 2,
    V1_ID_USER_FQDN = 3,
    V1_ID_IPV4_SUBNET = 4,
    V1_ID_IPV6_ADDR = 5,
    V1_ID_IPV6_SUBNET = 6,
    V1_ID_IPV4_RANGE = 7,
    V1_ID_IPV6_RANGE = 8,
    V1_ID_DER_ASN1_DN = 9,
    V1_ID_DER_ASN1_GN = 10,
    V1_ID_KEY_ID = 11,
};
struct v1_id {
    uint8_t type, protocol;
    uint16_t port;
    struct sl_bytes data; /* not empty */
};
bool v1_id_read(struct v1_id *id, struct sl_bytes body) SL_MUST_USE;
/*
 * Phase 1: the peer's identity. False for subnets and ranges, addresses of a wrong length, data over
 * SL_ID_MAX, and protocol and port other than 0/0 and UDP with 500, 4500 or 0.
 */
bool v1_id_to_id(struct sl_id *out, const struct v1_id *id) SL_MUST_USE;
void v1_put_id(struct ike_wr *c, const struct sl_id *id); /* protocol and port 0 */
/* The body alone, IDii_b or IDir_b for HASH_I and HASH_R. */
void v1_id_write(struct sl_wr *w, const struct sl_id *id);
/*
 * Phase 2: proxy identities IDci and IDcr. False for other types, a mask with holes, a range that
 * ends before it starts.
 */
bool v1_id_to_ts(struct sl_ts *out, const struct v1_id *id) SL_MUST_USE;
/*
 * As address, subnet or range, whichever is shortest. IKEv1 has room for one port only: ts must be
 * v1_ts_fits, else the writer fails.
 */
void v1_put_ts(struct ike_wr *c, const struct sl_ts *ts);
bool v1_ts_fits(const struct sl_ts *ts); /* all ports, or exactly one other than 0 */

/* ---- N (RFC 2408 3.14): DOI (4), protocol (1), SPI size (1), type (2), SPI, data ------------------- */
enum v1_protocol { V1_PROTO_ISAKMP = 1, V1_PROTO_AH = 2, V1_PROTO_ESP = 3, V1_PROTO_IPCOMP = 4 };
/* Types below 16384 are errors (RFC 2408 3.14.1, RFC 2407 4.6.3, RFC 3706 5.2). */
#define V1_NOTIFIES(X)               \
    X(INVALID_PAYLOAD_TYPE, 1)       \
    X(DOI_NOT_SUPPORTED, 2)          \
    X(SITUATION_NOT_SUPPORTED, 3)    \
    X(INVALID_COOKIE, 4)             \
    X(INVALID_MAJOR_VERSION, 5)      \
    X(INVALID_MINOR_VERSION, 6)      \
    X(INVALID_EXCHANGE_TYPE, 7)      \
    X(INVALID_FLAGS, 8)              \
    X(INVALID_MESSAGE_ID, 9)         \
    X(INVALID_PROTOCOL_ID, 10)       \
    X(INVALID_SPI, 11)               \
    X(INVALID_TRANSFORM_ID, 12)      \
    X(ATTRIBUTES_NOT_SUPPORTED, 13)  \
    X(NO_PROPOSAL_CHOSEN, 14)        \
    X(BAD_PROPOSAL_SYNTAX, 15)       \
    X(PAYLOAD_MALFORMED, 16)         \
    X(INVALID_KEY_INFORMATION, 17)   \
    X(INVALID_ID_INFORMATION, 18)    \
    X(INVALID_CERT_ENCODING, 19)     \
    X(INVALID_CERTIFICATE, 20)       \
    X(CERT_TYPE_UNSUPPORTED, 21)     \
    X(INVALID_CERT_AUTHORITY, 22)    \
    X(INVALID_HASH_INFORMATION, 23)  \
    X(AUTHENTICATION_FAILED, 24)     \
    X(INVALID_SIGNATURE, 25)         \
    X(ADDRESS_NOTIFICATION, 26)      \
    X(NOTIFY_SA_LIFETIME, 27)        \
    X(CERTIFICATE_UNAVAILABLE, 28)   \
    X(UNSUPPORTED_EXCHANGE_TYPE, 29) \
    X(UNEQUAL_PAYLOAD_LENGTHS, 30)   \
    X(CONNECTED, 16384)              \
    X(RESPONDER_LIFETIME, 24576)     \
    X(REPLAY_STATUS, 24577)          \
    X(INITIAL_CONTACT, 24578)        \
    X(R_U_THERE, 36136)              \
    X(R_U_THERE_ACK, 36137)
enum v1_notify_type {
#define V1_NOTIFY_ENUM(name, number) V1_N_##name = (number),
    V1_NOTIFIES(V1_NOTIFY_ENUM)
#undef V1_NOTIFY_ENUM
};
#define V1_N_STATUS_FIRST 16384
struct v1_notify {
    uint32_t doi; /* 0 or V1_DOI_IPSEC; others do not read */
    uint8_t protocol;
    uint16_t type;
    struct sl_bytes spi; /* 0, 4 (ESP), 8 or 16 (cookies) bytes */
    struct sl_bytes data;
};
bool v1_notify_read(struct v1_notify *n, struct sl_bytes body) SL_MUST_USE;
/* The first N of that type that reads well. */
bool v1_notify_find(const struct ike_payloads *list, uint16_t type,
                    struct v1_notify *n) SL_MUST_USE;
void v1_put_notify(struct ike_wr *c, uint8_t protocol, uint16_t type, struct sl_bytes spi,
                   struct sl_bytes data);
/* With both cookies as SPI: INITIAL_CONTACT, R_U_THERE and its ACK (RFC 2407 4.6.3, RFC 3706 5.3). */
void v1_put_notify_sa(struct ike_wr *c, uint16_t type, const uint8_t cky_i[V1_COOKIE_LEN],
                      const uint8_t cky_r[V1_COOKIE_LEN], struct sl_bytes data);
/* DPD: the sequence number of an R_U_THERE or its ACK; false when it is not 4 bytes. */
bool v1_dpd_seq(uint32_t *seq, const struct v1_notify *n) SL_MUST_USE;

/* ---- D (RFC 2408 3.15): DOI (4), protocol (1), SPI size (1), count (2), SPIs ------------------------ */
struct v1_delete {
    uint8_t protocol;
    uint8_t spi_len; /* 4 with ESP and AH, 16 with ISAKMP */
    uint16_t n;
    struct sl_bytes spis;
};
bool v1_delete_read(struct v1_delete *d, struct sl_bytes body) SL_MUST_USE;
struct sl_bytes v1_delete_spi(const struct v1_delete *d, size_t i); /* i < n */
void v1_put_delete_sa(struct ike_wr *c, const uint8_t cky_i[V1_COOKIE_LEN],
                      const uint8_t cky_r[V1_COOKIE_LEN]);
void v1_put_delete_esp(struct ike_wr *c, const uint32_t *spi, size_t n); /* host order */

/* ---- CERT, CR (RFC 2408 3.9, 3.10): encoding (1), data ------------------------------------------------ */
/* ike_cert_read and enum ike_cert_encoding of src/ike/codec.h read CERT. */
void v1_put_cert(struct ike_wr *c, uint8_t encoding, struct sl_bytes data);
/*
 * The peer's certificates in their order: X.509 signature certificates as they are, and those inside
 * PKCS#7 (encoding 1), which are copied into `unpacked`. Other encodings are passed over, repeated
 * certificates are listed once. SL_TOO_LARGE: more than SL_CHAIN_MAX. {0} is empty.
 */
struct v1_certs {
    struct sl_bytes cert[SL_CHAIN_MAX];
    size_t n;
    struct sl_buf unpacked;
};
SL_MUST_USE enum sl_rc v1_certs_collect(struct v1_certs *out, const struct ike_payloads *list,
                                        struct sl_err *err);
void v1_certs_clear(struct v1_certs *c);
/* CR: the DER name of a CA, or empty for any CA. */
bool v1_cr_read(struct ike_cert *cr, struct sl_bytes body) SL_MUST_USE;
void v1_put_cr(struct ike_wr *c, struct sl_bytes ca_name); /* X.509 signature */

/* ---- attributes (RFC 2408 3.3): AF and type (2), then value (2), or length (2) and value ---------------- */
struct v1_attr {
    uint16_t type;
    bool tv;              /* two bytes in place of a length */
    struct sl_bytes data; /* of a TV its two bytes */
};
/* *r starts as sl_rd of the attributes; false at the end and on broken ones: tell by sl_rd_done(r). */
bool v1_attr_next(struct v1_attr *a, struct sl_rd *r) SL_MUST_USE;
bool v1_attr_u64(uint64_t *v, const struct v1_attr *a) SL_MUST_USE; /* 1 to 8 bytes */
void v1_attr_tv(struct sl_wr *w, uint16_t type, uint16_t value);
void v1_attr_tlv(struct sl_wr *w, uint16_t type, struct sl_bytes value);
void v1_attr_num(struct sl_wr *w, uint16_t type, uint32_t v); /* TV where it fits, else 4 bytes */

/* ---- ATTR payload (draft-ietf-ipsec-isakmp-mode-cfg 3.2): type (1), RESERVED (1), identifier (2), attributes */
enum v1_cfg_type {
    V1_CFG_REQUEST = 1,
    V1_CFG_REPLY = 2,
    V1_CFG_SET = 3,
    V1_CFG_ACK = 4,
};
struct v1_cfg {
    uint8_t type;
    uint16_t id;
    struct sl_bytes attrs; /* read with v1_attr_next; at most V1_ATTRS_MAX */
};
bool v1_cfg_read(struct v1_cfg *cfg, struct sl_bytes body) SL_MUST_USE;
/* Opens an ATTR payload: write attributes to &c->w, then ike_wr_close. */
size_t v1_cfg_open(struct ike_wr *c, uint8_t type, uint16_t id);

/* ---- VID -------------------------------------------------------------------------------------------------- */
enum v1_vid {
    V1_VID_NATT,     /* RFC 3947 */
    V1_VID_NATT_03,  /* draft-ietf-ipsec-nat-t-ike-03 */
    V1_VID_NATT_02N, /* the MD5 of -02's name with a newline, which is the one peers send */
    V1_VID_NATT_02,  /* without */
    V1_VID_DPD,      /* RFC 3706 */
    V1_VID_XAUTH,    /* draft-ietf-ipsec-isakmp-xauth-06 */
    V1_VID_FRAGMENTATION,
    V1_VID_UNITY, /* Cisco */
    V1_VID_COUNT
};
enum v1_vid v1_vid_find(struct sl_bytes body);     /* V1_VID_COUNT: not known */
uint32_t v1_vids(const struct ike_payloads *list); /* 1U << enum v1_vid for each that is there */
void v1_put_vid(struct ike_wr *c, enum v1_vid vid);
/*
 * The NAT-D payload type that both sides use given the peer's vendor IDs, the best one first:
 * V1_P_NAT_D, V1_P_NAT_D_DRAFT; 0: no NAT traversal.
 */
uint8_t v1_natd_type(uint32_t vids);
bool v1_is_natd(uint8_t type); /* any of the numbers */

#endif
