/*
 * Shared by the files that build and validate certification paths (RFC 5280 6.1): path_find.c
 * searches, path_cert.c reads one certificate, path_check.c applies the rules of a step,
 * name_constraints.c and policy_tree.c the two that need work of their own, path_algorithm.c the
 * signature algorithms that configuration names, leaf_use.c RFC 4945.
 */
#ifndef CERTS_PATH_INTERNAL_H
#define CERTS_PATH_INTERNAL_H

#include "certs/internal.h"
#include "sealane/path.h"

#include <openssl/x509v3.h>

#define PATH_EXTENSIONS_MAX 128       /* of one certificate */
#define PATH_POLICIES_MAX   128       /* policies, and mappings, of one certificate */
#define PATH_NAMES_WORK     (1 << 16) /* names times subtrees, between two looks at the clock */
#define PATH_DEFAULT_RSA    2048
#define PATH_DEFAULT_EC     256

/* What 6.1 asks of one certificate, decoded once for a search; see path_cert_read. */
struct path_cert {
    struct sl_cert *cert; /* referenced */
    X509 *x;              /* lent by cert */
    bool self_issued;
    bool v3;
    bool bc, bc_critical, ca;
    long path_len; /* -1: none */
    bool ku;
    uint32_t ku_bits;     /* KU_* of libcrypto */
    long require, no_map; /* policyConstraints, inhibitAnyPolicy: skip counts, -1: none */
    long no_any;
    bool pc_critical, san_critical;
    EXTENDED_KEY_USAGE *eku;
    GENERAL_NAMES *san;
    NAME_CONSTRAINTS *nc;
    CERTIFICATEPOLICIES *policies;
    POLICY_MAPPINGS *mappings;
    const ASN1_OCTET_STRING *akid, *skid; /* lent by x */
    /* Verdict of the rules that hold wherever the certificate stands in a path. */
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
};

bool path_strict(const struct sl_path_params *p);
/* Decodes c and judges its form; only a failed allocation is an error, c->rc holds the verdict. */
SL_MUST_USE enum sl_rc path_cert_read(struct path_cert *out, struct sl_cert *c,
                                      const struct sl_path_params *p, struct sl_err *err);
void path_cert_clear(struct path_cert *c);
/* keyIdentifier of c against subjectKeyIdentifier of issuer: 1 equal, 0 one is absent, -1 not. */
int path_key_id(const struct path_cert *c, const struct path_cert *issuer);

/* The end entity by itself: form, times, strict rules, RFC 4945 use. */
SL_MUST_USE enum sl_rc path_check_leaf(const struct path_cert *c, const struct sl_path_params *p,
                                       struct sl_err *err);
/*
 * One step up: may path[n] (an anchor or not) stand above path[0..n-1]? What 6.1.3 and 6.1.4 ask of
 * it, cheap things only: not signature, name constraints (path_nc_check) and policy.
 */
SL_MUST_USE enum sl_rc path_check_issuer(const struct path_cert *const *path, size_t n, bool anchor,
                                         const struct sl_path_params *p, struct sl_err *err);
/* A whole path to an anchor: policies into out (6.1.2 to 6.1.5), address blocks (RFC 3779 2.3). */
SL_MUST_USE enum sl_rc path_check_whole(const struct path_cert *const *path, size_t n,
                                        struct sl_path *out, const struct sl_path_params *p,
                                        struct sl_err *err);

/* Is c signed with one of p->signature? md: the hash of its signature. None listed: SL_OK. */
SL_MUST_USE enum sl_rc path_check_signature_name(const struct path_cert *c, int md,
                                                 const struct sl_path_params *p,
                                                 struct sl_err *err);

/* RFC 4945 5.1.3.2, 5.1.3.12. */
SL_MUST_USE enum sl_rc path_check_use(const struct path_cert *leaf, const struct sl_path_params *p,
                                      struct sl_err *err);
/* Does the extendedKeyUsage of a CA allow the use that the leaf is wanted for? */
SL_MUST_USE enum sl_rc path_check_ca_use(const struct path_cert *ca, const struct sl_path_params *p,
                                         struct sl_err *err);

/* The form of nameConstraints (RFC 5280 4.2.1.10). */
SL_MUST_USE enum sl_rc path_nc_form(const struct path_cert *ca, struct sl_err *err);
/* Every name of c against the constraints of ca, 6.1.3 (b) and (c). leaf: c is the end entity. */
SL_MUST_USE enum sl_rc path_nc_check(const struct path_cert *ca, const struct path_cert *c,
                                     bool leaf, struct sl_err *err);

/* Policies of a whole path, path[n-1] the anchor, into out->policy (RFC 5280 6.1, RFC 9618). */
SL_MUST_USE enum sl_rc path_policies(const struct path_cert *const *path, size_t n,
                                     struct sl_path *out, const struct sl_path_params *p,
                                     struct sl_err *err);

#endif
