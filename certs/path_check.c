/*
 * The rules of RFC 5280 6.1 for a path that grows from the end entity towards an anchor. What 6.1
 * carries from certificate to certificate is asked here the other way round, with the same answer:
 * a CA's path length against the CAs already below it, its name constraints against every name
 * below it. Policies need the whole path and are taken last (policy_tree.c).
 *
 * Local policy on anchors (RFC 5280 6.2, RFC 5937): an anchor is a name and a key, and what its
 * certificate says is honoured: validity, basicConstraints, keyUsage, nameConstraints. Only a
 * self-issued version 1 certificate, which can say nothing, is taken without basicConstraints.
 */
#include "certs/path_internal.h"

#include <openssl/err.h>

static enum sl_rc form(const struct path_cert *c, struct sl_err *err)
{
    return c->rc == SL_OK ? SL_OK : SL_FAIL(err, c->rc, "%s", c->text);
}

/* RFC 5280 4.1.2.5: valid from notBefore through notAfter, inclusive. */
static enum sl_rc check_time(const struct path_cert *c, int64_t now, const char *section,
                             struct sl_err *err)
{
    char when[SL_TIME_TEXT], at[SL_TIME_TEXT];
    int64_t from = sl_cert_not_before(c->cert), to = sl_cert_not_after(c->cert);
    sl_time_text(at, now);
    if (now < from)
        return SL_FAIL(err, SL_CERT_NOT_YET_VALID,
                       "certificate %.300s: notBefore %s is after %s (%s)", sl_cert_name(c->cert),
                       sl_time_text(when, from), at, section);
    if (now > to)
        return SL_FAIL(err, SL_CERT_EXPIRED, "certificate %.300s: notAfter %s is before %s (%s)",
                       sl_cert_name(c->cert), sl_time_text(when, to), at, section);
    return SL_OK;
}

/* The algorithm that a certificate below the anchor is signed with. */
static enum sl_rc check_algorithm(const struct path_cert *c, const struct sl_path_params *p,
                                  struct sl_err *err)
{
    int nid = X509_get_signature_nid(c->x), md = NID_undef, pk = NID_undef;
    if (OBJ_find_sigid_algs(nid, &md, &pk) && (pk == NID_dsa || pk == NID_dsa_2))
        return SL_FAIL(err, SL_CERT_WEAK,
                       "certificate %s: signed with DSA (%s), which is not accepted",
                       sl_cert_name(c->cert), OBJ_nid2sn(nid));
    const char *weak = certs_weak_signature(nid);
    if (weak)
        return SL_FAIL(err, SL_CERT_WEAK,
                       "certificate %s: signed with %s, which is too weak or not known",
                       sl_cert_name(c->cert), weak);
    /* RSASSA-PSS and its like name the hash in parameters; 112 bits as libcrypto's level 2 */
    int bits = 0;
    if (!X509_get_signature_info(c->x, &md, NULL, &bits, NULL) || bits < 112)
        return SL_FAIL(err, SL_CERT_WEAK,
                       "certificate %s: its signature has a strength of %d bits, at least 112 are "
                       "required",
                       sl_cert_name(c->cert), bits);
    return path_check_signature_name(c, md, p, err);
}

/* CA/Browser Forum Baseline Requirements 7.1.2.7.12. */
static enum sl_rc check_strict_leaf(const struct path_cert *c, const struct sl_path_params *p,
                                    struct sl_err *err)
{
    if (!c->san && !p->any_use) /* CRL issuers have no use for one */
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: subjectAltName is missing (strict profile)",
                       sl_cert_name(c->cert));
    if (c->san && c->san_critical && X509_NAME_entry_count(X509_get_subject_name(c->x)) > 0)
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: subjectAltName is critical beside a subject (strict "
                       "profile; RFC 5280 4.2.1.6)",
                       sl_cert_name(c->cert));
    return SL_OK;
}

enum sl_rc path_check_leaf(const struct path_cert *c, const struct sl_path_params *p,
                           struct sl_err *err)
{
    SL_TRY(form(c, err));
    SL_TRY(check_algorithm(c, p, err));
    SL_TRY(check_time(c, p->now_utc_s, "RFC 5280 6.1.3 (a)(2)", err));
    if (X509_NAME_entry_count(X509_get_subject_name(c->x)) == 0 && (!c->san || !c->san_critical))
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: empty subject without critical subjectAltName (RFC 5280 "
                       "4.1.2.6)",
                       sl_cert_name(c->cert));
    if (c->ku && (c->ku_bits & KU_KEY_CERT_SIGN) && !c->ca)
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: keyCertSign without basicConstraints cA (RFC 5280 4.2.1.9)",
                       sl_cert_name(c->cert));
    if (p->profile == SL_PROFILE_STRICT)
        SL_TRY(check_strict_leaf(c, p, err));
    if (p->any_use)
        return SL_OK;
    return path_check_use(c, p, err);
}

/* RFC 5280 6.1.4 (k), (n): may c issue certificates? */
static enum sl_rc check_is_ca(const struct path_cert *c, bool anchor, struct sl_err *err)
{
    const char *name = sl_cert_name(c->cert);
    if (X509_NAME_entry_count(X509_get_subject_name(c->x)) == 0)
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: a CA with an empty subject (RFC 5280 4.1.2.6)", name);
    if (!c->v3 && !(anchor && c->self_issued))
        return SL_FAIL(err, SL_CERT_NOT_CA,
                       "certificate %s: issues certificates but is of version %ld, so nothing says "
                       "that it is a CA (RFC 5280 6.1.4 (k))",
                       name, X509_get_version(c->x) + 1);
    if (c->v3 && !c->ca)
        return SL_FAIL(err, SL_CERT_NOT_CA,
                       "certificate %s: it issues certificates but is no CA by basicConstraints "
                       "(RFC 5280 6.1.4 (k))",
                       name);
    if (c->ku && !(c->ku_bits & KU_KEY_CERT_SIGN))
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: its keyUsage lacks keyCertSign (RFC 5280 6.1.4 (n))", name);
    return SL_OK;
}

/* Baseline Requirements 7.1.2.1.3: authorityKeyIdentifier of a root. */
static enum sl_rc check_strict_root(const struct path_cert *c, struct sl_err *err)
{
    if (X509_get_ext_by_NID(c->x, NID_authority_key_identifier, -1) < 0)
        return SL_OK;
    if (path_key_id(c, c) == 1 && !X509_get0_authority_issuer(c->x) &&
        !X509_get0_authority_serial(c->x))
        return SL_OK;
    return SL_FAIL(err, SL_CERT_INVALID,
                   "certificate %s: authorityKeyIdentifier of a root is not its own key identifier "
                   "alone (strict profile; RFC 5280 4.2.1.1)",
                   sl_cert_name(c->cert));
}

static enum sl_rc check_strict_ca(const struct path_cert *c, const struct path_cert *below,
                                  bool anchor, struct sl_err *err)
{
    const char *name = sl_cert_name(c->cert);
    if (!c->bc_critical)
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %s: basicConstraints of a CA is not critical (strict profile; "
                       "RFC 5280 4.2.1.9)",
                       name);
    if (!c->ku)
        return SL_FAIL(err, SL_CERT_KEY_USAGE,
                       "certificate %s: a CA without keyUsage (strict profile; RFC 5280 4.2.1.3)",
                       name);
    if (!c->skid)
        return SL_FAIL(
            err, SL_CERT_INVALID,
            "certificate %s: a CA without subjectKeyIdentifier (strict profile; RFC 5280 "
            "4.2.1.2)",
            name);
    if (path_key_id(below, c) < 0)
        return SL_FAIL(err, SL_CERT_INVALID,
                       "certificate %.200s: its authorityKeyIdentifier names another key than that "
                       "of %.200s (strict profile; RFC 5280 4.2.1.1)",
                       sl_cert_name(below->cert), name);
    return anchor && c->self_issued ? check_strict_root(c, err) : SL_OK;
}

/* Intermediates that are not self-issued among path[1..n-1] (RFC 5280 6.1.4 (l)). */
static size_t depth(const struct path_cert *const *path, size_t n)
{
    size_t d = 0;
    for (size_t i = 1; i < n; i++)
        d += !path[i]->self_issued;
    return d;
}

static enum sl_rc check_length(const struct path_cert *const *path, size_t n, bool anchor,
                               const struct sl_path_params *p, struct sl_err *err)
{
    size_t below = depth(path, n);
    const struct path_cert *c = path[n];
    if (c->path_len >= 0 && below > (size_t)c->path_len)
        return SL_FAIL(err, SL_CERT_PATH_LENGTH,
                       "certificate %s: %zu CAs follow it, its pathLenConstraint allows %ld (RFC "
                       "5280 6.1.4 (l), (m))",
                       sl_cert_name(c->cert), below, c->path_len);
    size_t all = below + (!anchor && !c->self_issued);
    if ((p->max_depth > 0 || p->depth_zero) && all > p->max_depth)
        return SL_FAIL(err, SL_CERT_PATH_LENGTH,
                       "certificate %s: %zu intermediates that are not self-issued, the "
                       "configuration allows %u",
                       sl_cert_name(c->cert), all, p->max_depth);
    return SL_OK;
}

enum sl_rc path_check_issuer(const struct path_cert *const *path, size_t n, bool anchor,
                             const struct sl_path_params *p, struct sl_err *err)
{
    const struct path_cert *c = path[n];
    SL_TRY(form(c, err));
    SL_TRY(check_is_ca(c, anchor, err));
    SL_TRY(check_time(c, p->now_utc_s,
                      anchor ? "validity of an anchor; local policy" : "RFC 5280 6.1.3 (a)(2)",
                      err));
    if (!anchor)
        SL_TRY(check_algorithm(c, p, err));
    if (path_strict(p))
        SL_TRY(check_strict_ca(c, path[n - 1], anchor, err));
    /*
     * RFC 5280 leaves extendedKeyUsage of a CA without meaning for what is below it; most of the
     * world reads it as a limit. So it is here where a use is demanded by name.
     */
    if (!anchor && !p->any_use && (path_strict(p) || p->eku_n > 0))
        SL_TRY(path_check_ca_use(c, p, err));
    return check_length(path, n, anchor, p, err);
}

#ifndef OPENSSL_NO_RFC3779
/* RFC 3779 2.3, 3.3: what the end entity holds, each CA above it holds. */
static enum sl_rc check_resources(const struct path_cert *const *path, size_t n, struct sl_err *err)
{
    IPAddrBlocks *addr = X509_get_ext_d2i(path[0]->x, NID_sbgp_ipAddrBlock, NULL, NULL);
    ASIdentifiers *as = X509_get_ext_d2i(path[0]->x, NID_sbgp_autonomousSysNum, NULL, NULL);
    bool ok = true;
    if (addr || as) {
        STACK_OF(X509) *chain = sk_X509_new_null();
        ok = chain != NULL;
        for (size_t i = 0; ok && i < n; i++)
            ok = sk_X509_push(chain, path[i]->x) > 0;
        ok = ok && (!addr || X509v3_addr_validate_resource_set(chain, addr, 1));
        ok = ok && (!as || X509v3_asid_validate_resource_set(chain, as, 1));
        sk_X509_free(chain);
    }
    sk_IPAddressFamily_pop_free(addr, IPAddressFamily_free);
    ASIdentifiers_free(as);
    ERR_clear_error();
    return ok ? SL_OK
              : SL_FAIL(err, SL_CERT_INVALID,
                        "certificate %s: claims addresses or AS numbers that a CA above it does "
                        "not hold (RFC 3779 2.3, 3.3)",
                        sl_cert_name(path[0]->cert));
}
#endif

enum sl_rc path_check_whole(const struct path_cert *const *path, size_t n, struct sl_path *out,
                            const struct sl_path_params *p, struct sl_err *err)
{
#ifndef OPENSSL_NO_RFC3779
    SL_TRY(check_resources(path, n, err));
#endif
    return path_policies(path, n, out, p, err);
}
