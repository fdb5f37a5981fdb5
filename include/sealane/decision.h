/*
 * The decision: who is this peer, and may it in? A core: evidence goes in, questions come out, and
 * one function alone can say accept.
 *
 * The evidence is gathered in a fixed order: path, revocation, ID binding, possession, directory,
 * policy. The first failure decides; what was found before it stays in the record.
 */
#ifndef SEALANE_DECISION_H
#define SEALANE_DECISION_H

#include "sealane/crypto.h"
#include "sealane/net.h"

/* IKEv2 identification types (RFC 7296 3.5). */
enum sl_id_type {
    SL_ID_NONE = 0,
    SL_ID_IPV4_ADDR = 1,
    SL_ID_FQDN = 2,
    SL_ID_RFC822_ADDR = 3,
    SL_ID_IPV6_ADDR = 5,
    SL_ID_DER_ASN1_DN = 9,
    SL_ID_DER_ASN1_GN = 10,
    SL_ID_KEY_ID = 11,
};
#define SL_ID_MAX 512
struct sl_id {
    enum sl_id_type type;
    uint16_t len;
    uint8_t data[SL_ID_MAX];
};
#define SL_ID_TEXT 640
/* "dns:gw-a.example", "email:a@b", "ip:192.0.2.1", "dn:CN=gw-a,O=Lab" (RFC 4514), "keyid:0a0b". */
SL_MUST_USE enum sl_rc sl_id_parse(struct sl_id *id, const char *text, struct sl_err *err);
char *sl_id_text(char out[SL_ID_TEXT], const struct sl_id *id);
bool sl_id_eq(
    const struct sl_id *a,
    const struct sl_id *b); /* FQDN and e-mail domain case-insensitive, DN by X509_NAME_cmp */

#define SL_NAME_MAX  64 /* configuration names, with NUL */
#define SL_CHAIN_MAX 16 /* certificates a peer may send */
#define SL_TS_MAX    32 /* traffic selectors per side */

enum sl_possession {
    SL_POSSESSION_SIGNATURE = 1,
    SL_POSSESSION_PSK = 2,
    SL_POSSESSION_NOT_ASKED = 3
};

/* What IKE (or `sealane policy test`) asks. All views borrowed for the length of the call. */
struct sl_decision_ask {
    char connection[SL_NAME_MAX];       /* configured connection the exchange fits */
    struct sl_endpoint local, remote;   /* outer addresses; family 0 in a test */
    struct sl_id id;                    /* the peer's */
    struct sl_id id_local;              /* ours, as sent or asked for by the peer; type 0: none */
    struct sl_bytes cert[SL_CHAIN_MAX]; /* DER, [0] the end entity */
    size_t cert_n;
    struct sl_bytes ocsp;          /* DER OCSPResponse handed over in IKE (RFC 4806), or empty */
    enum sl_possession possession; /* NOT_ASKED: policy test, never an accept of an SA */
    enum sl_sig sig;               /* of signature */
    struct sl_bytes octets;        /* signed octets (RFC 7296 2.15) */
    struct sl_bytes auth;          /* signature, or PSK MAC */
    enum sl_prf prf;               /* PSK only */
    uint64_t sa;                   /* the asking IKE SA, for the record */
};

/* What an accepted peer is given; what is absent is left to the connection. */
struct sl_grant {
    struct sl_ts ts[SL_TS_MAX]; /* peer's side; ts_n 0: as configured */
    size_t ts_n;
    uint32_t lifetime_s;   /* the IKE SA must end by then; 0: as configured */
    char tag[SL_NAME_MAX]; /* "" : none */
};

struct sl_verdict {
    enum sl_rc rc;              /* SL_OK accept, else the reason of the refusal */
    char text[SL_ERR_TEXT_MAX]; /* the reason in words, with the object */
    char rule[SL_NAME_MAX];     /* policy rule that decided; "" when none was reached */
    char entry[256];            /* directory entry (DN), "" when none */
    char subject[256];          /* RFC 4514 subject of the leaf, "" with a PSK */
    int64_t reask_utc_s;        /* when the answer should be asked anew at the latest; 0: never */
    uint64_t record;            /* audit record number that holds the evidence; 0: not recorded */
    struct sl_grant grant;
};

#endif
