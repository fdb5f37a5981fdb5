/*
 * What may be fetched from where: the rules for URIs and addresses, without sockets, clocks or
 * resolvers. Certificates come from strangers, and so do the URIs in them (RFC 5280 8): such a URI
 * is taken apart strictly, and the address that its host turns out to have is judged when the
 * connection is made, whatever a name server said before. What the administrator wrote is trusted.
 *
 * The longest prefix that holds an address decides: those of fetch.deny and fetch.allow, and the
 * built-in ones (fetch_builtin). At equal length fetch.deny wins over fetch.allow, and fetch.allow
 * over what is built in. An address that no prefix holds is allowed.
 */
#ifndef SRC_FETCH_POLICY_H
#define SRC_FETCH_POLICY_H

#include "sealane/config.h"

#define FETCH_URI_MAX      4096
#define FETCH_HOST_MAX     255
#define FETCH_RULES_MAX    1024
#define FETCH_REDIRECTS    5
#define FETCH_CRL_BYTES    ((size_t)64 << 20) /* default of fetch.max_crl_bytes */
#define FETCH_BYTES_MAX    ((size_t)100 << 20)
#define FETCH_HEADER_BYTES ((size_t)64 << 10) /* of all header lines of one answer */

/* Where a URI was found. The strict one is zero. */
enum fetch_origin {
    FETCH_FROM_CERTIFICATE = 0, /* CRL, OCSP, AIA; also redirects */
    FETCH_CONFIGURED = 1,       /* written by the administrator: no address is refused */
};

enum fetch_scheme { FETCH_HTTP, FETCH_HTTPS, FETCH_LDAP, FETCH_LDAPS };

/* A URI taken apart (RFC 3986 3). */
struct fetch_uri {
    enum fetch_scheme scheme;
    char host[FETCH_HOST_MAX + 1]; /* lower case; an IPv6 literal without its brackets */
    uint16_t port;                 /* the scheme's own when none is given */
    bool is_literal;               /* host is an address, in literal */
    struct sl_addr literal;
    struct sl_bytes rest; /* path, query and fragment; a view of the text */
};

struct fetch_rewrite {
    char *from, *to;
    struct fetch_uri from_uri; /* rest points into from */
};

/* The section fetch, ready for use. Immutable; threads may share it. */
struct fetch_rules {
    struct sl_prefix *allow, *deny;
    size_t allow_n, deny_n;
    struct fetch_rewrite *rewrite;
    size_t rewrite_n;
    char *proxy; /* "": none */
    struct fetch_uri proxy_uri;
    char **no_proxy; /* host names, ".domain", prefixes, or "*" */
    size_t no_proxy_n;
    size_t max_crl_bytes;
};
/* Copies what it needs of c; NULL: the defaults. SL_CONFIG_VALUE names the value that is wrong. */
SL_MUST_USE enum sl_rc fetch_rules_init(struct fetch_rules *r, const struct sl_conf_fetch *c,
                                        struct sl_err *err);
void fetch_rules_clear(struct fetch_rules *r);
/* Whether c could be used: what the reader of the configuration, below this, cannot tell of URIs. */
SL_MUST_USE enum sl_rc fetch_rules_check(const struct sl_conf_fetch *c, struct sl_err *err);

/*
 * Takes text apart. SL_MALFORMED or SL_TOO_LARGE: bytes that no URI has, user information, a zone
 * identifier, an empty host, a port that is none. SL_UNSUPPORTED: another scheme.
 */
SL_MUST_USE enum sl_rc fetch_uri_parse(struct fetch_uri *u, struct sl_bytes text,
                                       struct sl_err *err);
const char *fetch_scheme_name(enum fetch_scheme scheme);
bool fetch_is_http(enum fetch_scheme scheme);

/*
 * host as an address, in every spelling that getaddrinfo takes for one: 127.0.0.1, 127.1,
 * 0x7f.0.0.1, 0177.1, 2130706433, and IPv6 without brackets.
 */
bool fetch_literal(struct sl_addr *out, const char *host);

/* SL_DENIED: a connection to a may not be made; the message says which prefix decided. */
SL_MUST_USE enum sl_rc fetch_addr_check(const struct fetch_rules *r, const struct sl_addr *a,
                                        struct sl_err *err);

/* The built-in prefixes, which are denied; NULL past the end. */
struct fetch_builtin {
    const char *prefix, *what;
};
const struct fetch_builtin *fetch_builtin(size_t i);

/*
 * The URI to go to instead, appended to out: the first rule of fetch.rewrite whose scheme, host and
 * port are those of u and whose path begins it on the border of a segment. False: none, out is as
 * it was. NULL-terminated, the NUL not counted.
 */
SL_MUST_USE bool fetch_rewrite(const struct fetch_rules *r, const struct fetch_uri *u,
                               struct sl_buf *out);

/* fetch.proxy is to be used for u: http and https only, and fetch.no_proxy does not name it. */
bool fetch_by_proxy(const struct fetch_rules *r, const struct fetch_uri *u);

/*
 * Where to go for a URI: parsed, rewritten, and checked as far as that is possible before a name is
 * resolved.
 */
struct fetch_target {
    struct sl_buf text; /* with a NUL after it */
    struct fetch_uri uri;
    enum fetch_origin origin; /* CONFIGURED after a rewrite */
    bool proxied, rewritten;
};
SL_MUST_USE enum sl_rc fetch_target_init(struct fetch_target *t, const struct fetch_rules *r,
                                         struct sl_bytes uri, enum fetch_origin origin,
                                         struct sl_err *err);
/*
 * The same for a redirect (RFC 9110 15.4) from one to another: http or https only, never from https
 * to http, and only the server of a configured URI itself stays exempt.
 */
SL_MUST_USE enum sl_rc fetch_target_redirect(struct fetch_target *t, const struct fetch_rules *r,
                                             const struct fetch_target *from, struct sl_bytes uri,
                                             struct sl_err *err);
void fetch_target_clear(struct fetch_target *t);

#endif
