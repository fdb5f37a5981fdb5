/*
 * Addresses, prefixes and ranges as plain values, in both families; no resolver, no sockets.
 */
#ifndef SEALANE_NET_H
#define SEALANE_NET_H

#include "sealane/err.h"

#include <sys/socket.h>

struct sl_addr {
    uint8_t family; /* 4 or 6; 0: none */
    uint8_t b[16];  /* network order; IPv4 in the first four, the rest zero */
};
struct sl_endpoint {
    struct sl_addr addr;
    uint16_t port; /* host order */
};
struct sl_prefix {
    struct sl_addr addr; /* bits past len are zero */
    uint8_t len;
};

#define SL_ADDR_TEXT     48
#define SL_ENDPOINT_TEXT 56
#define SL_PREFIX_TEXT   52
size_t sl_addr_len(const struct sl_addr *a); /* 4, 16 or 0 */
bool sl_addr_eq(const struct sl_addr *a, const struct sl_addr *b);
int sl_addr_cmp(const struct sl_addr *a, const struct sl_addr *b); /* family first */
bool sl_addr_is_any(const struct sl_addr *a);                      /* none, 0.0.0.0 or :: */
bool sl_addr_parse(struct sl_addr *a, const char *text) SL_MUST_USE;
bool sl_addr_from_bytes(struct sl_addr *a, struct sl_bytes v) SL_MUST_USE; /* 4 or 16 bytes */
static inline struct sl_bytes sl_addr_bytes(const struct sl_addr *a)
{
    return sl_bytes(a->b, sl_addr_len(a));
}
char *sl_addr_text(char out[SL_ADDR_TEXT], const struct sl_addr *a);
bool sl_endpoint_eq(const struct sl_endpoint *a, const struct sl_endpoint *b);
/* "192.0.2.1:500", "[2001:db8::1]:500", or an address alone with default_port. */
bool sl_endpoint_parse(struct sl_endpoint *e, const char *text, uint16_t default_port) SL_MUST_USE;
char *sl_endpoint_text(char out[SL_ENDPOINT_TEXT], const struct sl_endpoint *e);
socklen_t sl_endpoint_to_sockaddr(struct sockaddr_storage *ss, const struct sl_endpoint *e);
bool sl_endpoint_from_sockaddr(struct sl_endpoint *e, const struct sockaddr *sa,
                               socklen_t len) SL_MUST_USE;
/* "10.0.0.0/8" or an address (full length). Host bits set: false. */
bool sl_prefix_parse(struct sl_prefix *p, const char *text) SL_MUST_USE;
char *sl_prefix_text(char out[SL_PREFIX_TEXT], const struct sl_prefix *p);
bool sl_prefix_has(const struct sl_prefix *p, const struct sl_addr *a);
void sl_prefix_range(const struct sl_prefix *p, struct sl_addr *first, struct sl_addr *last);

/*
 * A traffic selector (RFC 7296 3.13.1): addresses first..last and ports of one protocol.
 * protocol 0: any. Ports 0..65535: any; for ICMP type<<8|code. start_port > end_port only as
 * 65535..0, which is OPAQUE.
 */
struct sl_ts {
    struct sl_addr first, last; /* one family */
    uint8_t protocol;
    uint16_t start_port, end_port;
};
#define SL_TS_TEXT 128
/* "10.0.0.0/8", "10.0.0.1-10.0.0.9", each with "[tcp]", "[tcp/443]", "[17/1000-2000]" appended. */
bool sl_ts_parse(struct sl_ts *ts, const char *text) SL_MUST_USE;
char *sl_ts_text(char out[SL_TS_TEXT], const struct sl_ts *ts);
bool sl_ts_eq(const struct sl_ts *a, const struct sl_ts *b);
bool sl_ts_within(const struct sl_ts *inner, const struct sl_ts *outer);
bool sl_ts_intersect(struct sl_ts *out, const struct sl_ts *a,
                     const struct sl_ts *b); /* false: empty */
bool sl_ts_has(const struct sl_ts *ts, const struct sl_addr *a, uint8_t protocol, uint16_t port);

#endif
