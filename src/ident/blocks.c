/*
 * Address blocks in the peer's certificate (IPAddrBlocks, RFC 3779 2) as a limit of what policy
 * grants. That each CA holds what is below it is path validation's matter (certs/path_check.c); here
 * the blocks become ranges of addresses, `inherit` being what the issuer holds, and the grant is cut
 * to them.
 */
#include "src/ident/internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef OPENSSL_NO_RFC3779

enum sl_rc blocks_restrict(const struct sl_path *path, struct sl_grant *grant, json_t **told,
                           struct sl_err *err)
{
    (void)grant;
    *told = NULL;
    if (X509_get_ext_by_NID(sl_cert_x509(path->cert[0]), NID_sbgp_ipAddrBlock, -1) < 0)
        return SL_OK;
    return SL_FAIL(err, SL_UNSUPPORTED,
                   "certificate %.200s: has address blocks (RFC 3779 2.2.3), and the libcrypto in "
                   "use cannot read them",
                   sl_cert_name(path->cert[0]));
}

#else

#define SAFI_UNICAST 1
#define ADDR_MAX     16

/* ---- blocks as ranges ---------------------------------------------------------------------------- */
struct ranges {
    struct sl_ts *v; /* of any protocol and ports */
    size_t n, cap;
};

static bool add_range(struct ranges *r, const struct sl_ts *ts)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        struct sl_ts *v = reallocarray(r->v, cap, sizeof(*v));
        if (!v)
            return false;
        r->v = v;
        r->cap = cap;
    }
    r->v[r->n++] = *ts;
    return true;
}

/* addressFamily: AFI in two octets, and perhaps a SAFI (RFC 3779 2.2.3.3). */
static bool is_unicast(const IPAddressFamily *f)
{
    unsigned afi = X509v3_addr_get_afi(f);
    return (afi == IANA_AFI_IPV4 || afi == IANA_AFI_IPV6) &&
           (ASN1_STRING_length(f->addressFamily) == 2 ||
            ASN1_STRING_get0_data(f->addressFamily)[2] == SAFI_UNICAST);
}

static const IPAddressFamily *same_family(const IPAddrBlocks *blocks, const IPAddressFamily *want)
{
    for (int i = 0; i < sk_IPAddressFamily_num(blocks); i++) {
        const IPAddressFamily *f = sk_IPAddressFamily_value(blocks, i);
        if (ASN1_OCTET_STRING_cmp(f->addressFamily, want->addressFamily) == 0)
            return f;
    }
    return NULL;
}

/*
 * SPEC RFC3779-2.2.3.5: `inherit` stands for what the issuer holds of the family. An issuer that
 * does not name the family at all has nothing to hand down, whatever those above it hold.
 */
static const IPAddressOrRanges *held(IPAddrBlocks *const *blocks, size_t n,
                                     const IPAddressFamily *want)
{
    for (size_t i = 0; i < n; i++) {
        const IPAddressFamily *f = same_family(blocks[i], want);
        if (!f)
            return NULL;
        if (f->ipAddressChoice->type == IPAddressChoice_addressesOrRanges)
            return f->ipAddressChoice->u.addressesOrRanges;
    }
    return NULL;
}

static enum sl_rc add_family(struct ranges *out, const IPAddressOrRanges *list, unsigned afi,
                             const struct sl_cert *cert, struct sl_err *err)
{
    for (int i = 0; i < sk_IPAddressOrRange_num(list); i++) {
        unsigned char first[ADDR_MAX], last[ADDR_MAX];
        struct sl_ts ts = { .end_port = UINT16_MAX };
        int len = X509v3_addr_get_range(sk_IPAddressOrRange_value(list, i), afi, first, last,
                                        (int)sizeof(first));
        if (len <= 0 || !sl_addr_from_bytes(&ts.first, sl_bytes(first, (size_t)len)) ||
            !sl_addr_from_bytes(&ts.last, sl_bytes(last, (size_t)len)) ||
            sl_addr_cmp(&ts.first, &ts.last) > 0)
            return SL_FAIL(err, SL_CERT_MALFORMED,
                           "certificate %.200s: address block %d is no range of addresses "
                           "(RFC 3779 2.2.3)",
                           sl_cert_name(cert), i + 1);
        if (!add_range(out, &ts))
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

/* Everything the end entity holds: its own blocks and those it inherits. */
static enum sl_rc add_blocks(struct ranges *out, IPAddrBlocks *const *blocks, size_t n,
                             const struct sl_cert *cert, struct sl_err *err)
{
    for (int i = 0; i < sk_IPAddressFamily_num(blocks[0]); i++) {
        const IPAddressFamily *f = sk_IPAddressFamily_value(blocks[0], i);
        if (is_unicast(f))
            SL_TRY(add_family(out, held(blocks, n, f), X509v3_addr_get_afi(f), cert, err));
    }
    return SL_OK;
}

/* limited: the certificate has the extension. */
static enum sl_rc read_blocks(struct ranges *out, bool *limited, const struct sl_path *path,
                              struct sl_err *err)
{
    IPAddrBlocks *blocks[SL_PATH_MAX] = { 0 };
    int found = 0; /* -1: none; -2: several */
    for (size_t i = path->n; i-- > 0;)
        blocks[i] =
            X509_get_ext_d2i(sl_cert_x509(path->cert[i]), NID_sbgp_ipAddrBlock, &found, NULL);
    *limited = blocks[0] || found != -1;
    enum sl_rc rc = SL_OK;
    if (blocks[0])
        rc = add_blocks(out, blocks, path->n, path->cert[0], err);
    else if (*limited)
        rc = SL_FAIL(err, SL_CERT_MALFORMED,
                     "certificate %.200s: its address blocks cannot be read (RFC 3779 2.2.3)",
                     sl_cert_name(path->cert[0]));
    for (size_t i = 0; i < path->n; i++)
        sk_IPAddressFamily_pop_free(blocks[i], IPAddressFamily_free);
    ERR_clear_error();
    return rc;
}

/* ---- told ------------------------------------------------------------------------------------------ */
/* As many as a side has selectors; a CA may hold thousands. */
static json_t *blocks_json(const struct ranges *r)
{
    json_t *list = json_array();
    char text[SL_TS_TEXT];
    for (size_t i = 0; i < r->n && i < SL_TS_MAX; i++)
        json_array_append_new(list, json_string(sl_ts_text(text, &r->v[i])));
    if (r->n > SL_TS_MAX)
        json_array_append_new(list, json_sprintf("and %zu more", r->n - SL_TS_MAX));
    return list;
}

static const char *list_text(char *out, size_t cap, const struct sl_ts *ts, size_t n)
{
    char one[SL_TS_TEXT];
    size_t len = 0;
    snprintf(out, cap, "nothing");
    for (size_t i = 0; i < n && len < cap; i++)
        len +=
            (size_t)snprintf(out + len, cap - len, "%s%s", i ? " " : "", sl_ts_text(one, &ts[i]));
    return out;
}

/* ---- the grant --------------------------------------------------------------------------------------- */
static bool is_covered(const struct sl_grant *g, const struct sl_ts *ts)
{
    for (size_t i = 0; i < g->ts_n; i++)
        if (sl_ts_within(ts, &g->ts[i]))
            return true;
    return false;
}

static enum sl_rc cut(struct sl_grant *out, const struct sl_ts *ts, size_t n,
                      const struct ranges *blocks, const struct sl_cert *cert, struct sl_err *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < blocks->n; k++) {
            struct sl_ts part;
            if (!sl_ts_intersect(&part, &ts[i], &blocks->v[k]) || is_covered(out, &part))
                continue;
            if (out->ts_n == SL_TS_MAX)
                return SL_FAIL(
                    err, SL_POLICY_TS,
                    "certificate %.200s: its %zu address blocks (RFC 3779 2.2.3) cut the "
                    "grant into more than %d traffic selectors",
                    sl_cert_name(cert), blocks->n, SL_TS_MAX);
            out->ts[out->ts_n++] = part;
        }
    return SL_OK;
}

enum sl_rc blocks_restrict(const struct sl_path *path, struct sl_grant *grant, json_t **told,
                           struct sl_err *err)
{
    struct ranges r = { 0 };
    struct sl_grant less = *grant;
    struct sl_ts all[2] = { { .end_port = UINT16_MAX }, { .end_port = UINT16_MAX } };
    const struct sl_cert *cert = path->cert[0];
    bool limited = false;
    *told = NULL;
    enum sl_rc rc = read_blocks(&r, &limited, path, err);
    if (rc == SL_OK && limited) {
        *told = blocks_json(&r);
        sl_prefix_range(&(struct sl_prefix){ .addr.family = 4 }, &all[0].first, &all[0].last);
        sl_prefix_range(&(struct sl_prefix){ .addr.family = 6 }, &all[1].first, &all[1].last);
        less.ts_n = 0;
        rc = grant->ts_n ? cut(&less, grant->ts, grant->ts_n, &r, cert, err)
                         : cut(&less, all, SL_ARRAY_LEN(all), &r, cert, err);
    }
    if (rc == SL_OK && limited && less.ts_n == 0) {
        char has[256], may[256];
        rc = SL_FAIL(err, SL_POLICY_TS,
                     "certificate %.200s: holds addresses %s (RFC 3779 2.2.3), policy grants %s: "
                     "nothing is in both",
                     sl_cert_name(cert), list_text(has, sizeof(has), r.v, r.n),
                     grant->ts_n ? list_text(may, sizeof(may), grant->ts, grant->ts_n)
                                 : "what the connection has");
    }
    if (rc == SL_OK)
        *grant = less;
    free(r.v);
    return rc;
}

#endif
