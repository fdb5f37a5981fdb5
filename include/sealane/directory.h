/*
 * The directory: which entry is this peer, and is its account in order? Mapping rules, RFC 4515
 * filters, the LDIF back end (RFC 2849), and the checks on an entry. A core: LDAP searches are
 * questions of the decider, answered by the fetch process with entries.
 */
#ifndef SEALANE_DIRECTORY_H
#define SEALANE_DIRECTORY_H

#include "sealane/certs.h"
#include "sealane/config.h"

/* ---- entries ------------------------------------------------------------------------------------ */
#define SL_ENTRY_MAX_ATTRS  512
#define SL_ENTRY_MAX_VALUES 4096
#define SL_LDIF_MAX_BYTES   ((size_t)64 << 20)

struct sl_attr {
    char *name; /* as stored, with options ("userCertificate;binary") */
    struct sl_buf *value;
    size_t n;
};
struct sl_entry {
    char *dn;
    struct sl_attr *attr;
    size_t n;
};
struct sl_entries {
    struct sl_entry *v;
    size_t n;
};
/* A new, empty entry at the end of the list; NULL on exhaustion. */
struct sl_entry *sl_entries_new(struct sl_entries *list, struct sl_bytes dn);
SL_MUST_USE bool sl_entry_put(struct sl_entry *e, struct sl_bytes name, struct sl_bytes value);
/* Values of an attribute, names compared without case and without options; NULL when absent. */
const struct sl_attr *sl_entry_attr(const struct sl_entry *e, const char *name);
void sl_entries_clear(struct sl_entries *list);
bool sl_entries_eq(const struct sl_entries *a, const struct sl_entries *b);

/* ---- filters (RFC 4515) --------------------------------------------------------------------------- */
struct sl_filter;
SL_MUST_USE enum sl_rc sl_filter_parse(struct sl_filter **out, const char *text,
                                       struct sl_err *err);
void sl_filter_free(struct sl_filter *f);
SL_AUTO_DEFINE(sl_filter)
/*
 * By RFC 4511 4.5.1.7, an absent attribute being false. Values compare without case and with white
 * space folded; >= and <= as numbers when both sides are numbers, else as text. ~= is =.
 */
bool sl_filter_match(const struct sl_filter *f, const struct sl_entry *e);
/* Calls each with every attribute named in the filter. */
void sl_filter_attrs(const struct sl_filter *f, void (*each)(void *ctx, const char *name),
                     void *ctx);
/* Appends value with the characters of RFC 4515 3 escaped. */
SL_MUST_USE bool sl_filter_escape(struct sl_buf *out, struct sl_bytes value);

/* ---- mapping a peer to a filter -------------------------------------------------------------------- */
struct sl_peer_view { /* what templates and policy may look at; borrowed */
    const struct sl_id *id;
    const struct sl_cert *cert;   /* NULL with a PSK */
    const struct sl_cert *issuer; /* NULL with a PSK */
};
/*
 * Replaces %{san.dns} %{san.email} %{subject.TYPE} %{id} %{serial} %{fingerprint.sha256}; with an ID
 * bound to a SAN of that kind, %{san.*} is that SAN, else the first. DIR_NO_ENTRY when the peer lacks
 * a value that the rule needs; CONFIG_VALUE for an unknown name.
 */
SL_MUST_USE enum sl_rc sl_mapping_expand(struct sl_buf *filter, const char *rule,
                                         const struct sl_peer_view *peer, struct sl_err *err);

/* ---- LDIF ------------------------------------------------------------------------------------------ */
/* Content records (no changes), folded lines, base64; "attr:< url" is refused. MALFORMED names the line. */
SL_MUST_USE enum sl_rc sl_ldif_read(struct sl_entries *out, struct sl_bytes text, const char *file,
                                    struct sl_err *err);
/* Copies of the entries under base (by scope "base", "one", "sub") that match, at most max. */
SL_MUST_USE enum sl_rc sl_ldif_search(struct sl_entries *out, const struct sl_entries *all,
                                      const char *base, const char *scope,
                                      const struct sl_filter *f, size_t max, struct sl_err *err);

/* ---- the entry's say --------------------------------------------------------------------------------- */
/*
 * Exactly one entry, its account enabled, and with cert_match holding the certificate. DIR_NO_ENTRY,
 * DIR_AMBIGUOUS, DIR_DISABLED, DIR_CERT_MISMATCH; filter is only for messages.
 */
SL_MUST_USE enum sl_rc sl_directory_check(const struct sl_conf_directory *conf, const char *filter,
                                          const struct sl_entries *found,
                                          const struct sl_cert *cert, struct sl_err *err);
/* The attributes a search must return for conf and the policy rules; n at most SL_DIR_ATTRS. */
#define SL_DIR_ATTRS 64
size_t sl_directory_attrs(const struct sl_conf_directory *conf, const struct sl_conf_rule *rules,
                          size_t rules_n, char names[SL_DIR_ATTRS][SL_NAME_MAX]);

#endif
