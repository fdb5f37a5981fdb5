/*
 * Between the two mappings (swanctl.c, ipsec.c) and the writer: what is to stand in the result, as
 * texts in sealane's spelling, each with the comments that belong to it.
 */
#ifndef SRC_IMPORT_MODEL_H
#define SRC_IMPORT_MODEL_H

#include "src/import/tree.h"

struct imp_note {
    struct imp_note *next;
    struct imp_at at;
    const char *text;
};
struct imp_notes {
    struct imp_note *first, **end;
};
struct imp_set { /* KEY = VALUE, the value as it stands in the file */
    struct imp_set *next;
    const char *key, *value;
};
struct imp_child {
    struct imp_child *next;
    const char *name;
    struct imp_at at;
    struct imp_list local_ts, remote_ts, esp;
    struct imp_set *sets;
    struct imp_notes notes;
    const char *left_out; /* why; NULL: it is written */
    bool start;
};
struct imp_identity {
    struct imp_identity *next;
    const char *name, *cert, *key;
    struct imp_notes notes;
};
struct imp_trust {
    struct imp_trust *next;
    const char *name, *label; /* label: what it was made from; the same again is the same section */
    struct imp_list anchors;
    struct imp_set *sets;
    struct imp_notes notes;
};
struct imp_psk {
    struct imp_psk *next;
    const char *name, *file, *label;
    struct imp_notes notes;
};
struct imp_conn {
    struct imp_conn *next;
    const char *origin, *name; /* as it was called, as it is called */
    struct imp_at at;
    const char *left_out;
    const char *local, *remote; /* endpoints, or "any" */
    struct imp_list prefixes;
    struct imp_identity *identity; /* auth = cert */
    struct imp_trust *trust;
    struct imp_psk *psk;              /* auth = psk; else NULL */
    const char *id_local, *id_remote; /* NULL: any */
    struct imp_list rule_id, rule_subject;
    const char *refuse; /* why its rule refuses; NULL: it accepts */
    struct imp_list ike, pools, virtual_ip;
    struct imp_set *sets;
    struct imp_child *children;
    struct imp_notes notes;
};
struct imp_pool {
    struct imp_pool *next;
    const char *origin, *name;
    struct imp_list addresses, dns;
    struct imp_notes notes;
};
struct imp_shunt {
    struct imp_shunt *next;
    const char *name, *action, *local, *remote;
    struct imp_at at;
};
struct imp_model {
    struct imp *x;
    struct imp_conn *conns;
    struct imp_identity *identities;
    struct imp_trust *trusts;
    struct imp_psk *psks;
    struct imp_shunt *shunts;
    struct imp_pool *pools;
    struct imp_notes notes;   /* of the file as a whole */
    struct imp_list names[6]; /* in use; by enum imp_kind */
};
enum imp_kind { IMP_CONN, IMP_IDENTITY, IMP_TRUST, IMP_PSK, IMP_SHUNT, IMP_POOL };

/* ---- model.c ---------------------------------------------------------------------------------------- */
void imp_note(struct imp_model *m, struct imp_notes *to, struct imp_at at, const char *fmt, ...)
    SL_PRINTF(4, 5);
/* "KEY = VALUE: TEXT", once for a key however many inherit it. */
void imp_note_key(struct imp_model *m, struct imp_notes *to, struct imp_key *k, const char *text);
void imp_set(struct imp_model *m, struct imp_set **sets, const char *key, const char *value);
/* A name that sealane allows and that no other section of the kind has. */
const char *imp_name(struct imp_model *m, enum imp_kind kind, const char *wanted);
struct imp_conn *imp_conn_new(struct imp_model *m, const char *name, struct imp_at at);
struct imp_child *imp_child_new(struct imp_model *m, struct imp_conn *c, const char *name,
                                struct imp_at at);
struct imp_identity *imp_identity_of(struct imp_model *m, const char *cert, const char *key,
                                     const char *wanted);
struct imp_trust *imp_trust_of(struct imp_model *m, const char *label, const char *wanted);
struct imp_psk *imp_psk_of(struct imp_model *m, const char *label, const char *wanted);
void imp_shunts(struct imp_model *m, struct imp_child *c, const char *wanted, const char *action);
/* Paths that match DIR/PATTERN, DIR relative to the imported file's. */
void imp_paths(struct imp_model *m, struct imp_list *out, const char *pattern);
struct sl_bytes imp_stem(const char *path); /* the file's name without folder and ending */
/* The private key that belongs to a certificate, by the names of files; notes when it is a guess. */
const char *imp_key_file(struct imp_model *m, struct imp_notes *notes, const char *cert,
                         const char *const *patterns, size_t n, struct imp_at at);
/* Whether sealane takes this text inside a connection, or inside its child. */
bool imp_takes(const char *in_connection, const char *in_child);
/* A pool of these addresses and DNS servers, in either project's spelling; NULL when sealane would not
 * take it, which becomes a comment. */
struct imp_pool *imp_pool_new(struct imp_model *m, struct imp_notes *notes, const char *origin,
                              struct imp_key *addresses, const char *dns);
/* "0.0.0.0", "::", %config or addresses: what to ask the peer for. */
void imp_virtual_ip(struct imp_model *m, struct imp_conn *c, struct imp_key *from);
/* Keys nobody asked for become comments. */
void imp_leftover(struct imp_model *m, struct imp_notes *to, struct imp_section *s, bool secret);

/* ---- value.c ---------------------------------------------------------------------------------------- */
/* Seconds of "90", "90s", "15m", "4h", "1d", "2w", "5000ms"; false when it is none of these. */
bool imp_seconds(int64_t *out, const char *text);
const char *imp_duration(struct imp_model *m, int64_t s);
int imp_bool(const char *text); /* 1 yes, 0 no, -1 neither */
struct imp_id {
    enum { IMP_ID_ANY, IMP_ID_EXACT, IMP_ID_PATTERN, IMP_ID_SUBJECT, IMP_ID_BAD } kind;
    const char *text; /* BAD: why */
};
struct imp_id imp_id(struct imp_model *m, const char *text);
/* A selector; dynamic: what "dynamic" stands for, NULL: unknown. NULL with *why on failure. */
const char *imp_selector(struct imp_model *m, const char *text, const char *dynamic,
                         const char **why);
bool imp_is_address(const char *text);
/* A prefix without host bits, or the prefixes of a range; false when text is neither. */
bool imp_prefixes(struct imp_model *m, struct imp_list *out, const char *text);
/* Where the peers are: one address, or any with prefixes; what cannot be told becomes a comment. */
void imp_remotes(struct imp_model *m, struct imp_conn *c, const struct imp_list *list,
                 const char *port, bool starts, struct imp_at at);

/* ---- proposal.c ------------------------------------------------------------------------------------- */
/* Proposals in either project's spelling, multiplied out, the weak and unknown ones as comments. */
struct imp_proposals {
    struct imp_list out;
    bool defaults; /* "default" was among them, or nothing was left */
};
void imp_proposals(struct imp_model *m, struct imp_proposals *p, struct imp_notes *notes,
                   struct imp_key *key, bool ike, const char *pfs_group);

/* ---- common.c --------------------------------------------------------------------------------------- */
/* KEY = SECONDS inside the limits that sealane has; a key that says no time becomes a comment. */
void imp_set_time(struct imp_model *m, struct imp_set **sets, struct imp_notes *notes,
                  struct imp_key *from, const char *key, int64_t s, bool child);
/* KEY = yes | no where sealane takes it, else a comment. */
void imp_set_bool(struct imp_model *m, struct imp_conn *c, struct imp_key *from, const char *key,
                  bool value);
/* version = ikev1, for what version says; aggressive: as it stands in the file, NULL: not. Knows c->psk. */
void imp_ikev1(struct imp_model *m, struct imp_conn *c, struct imp_key *aggressive);
void imp_set_number(struct imp_model *m, struct imp_child *k, struct imp_key *from,
                    const char *key);
void imp_local_id(struct imp_model *m, struct imp_conn *c, struct imp_key *from,
                  const char *fallback);
void imp_remote_id(struct imp_model *m, struct imp_conn *c, struct imp_key *from,
                   const char *fallback);
void imp_selectors(struct imp_model *m, struct imp_child *k, struct imp_list *out,
                   struct imp_key *from, const char *deflt, const char *dynamic);
/* The CA files, or those of the folder, or a place to put one. */
void imp_anchors(struct imp_model *m, struct imp_conn *c, const struct imp_list *files,
                 const char *folder, const char *crls, const char *revocation, struct imp_at at);

/* ---- gaps.c ----------------------------------------------------------------------------------------- */
/* Why a key has no counterpart, and what to do instead. */
const char *imp_gap(const char *key);

SL_MUST_USE enum sl_rc imp_swanctl_map(struct imp_model *m);
SL_MUST_USE enum sl_rc imp_ipsec_map(struct imp_model *m);
SL_MUST_USE enum sl_rc imp_write(struct sl_buf *out, struct sl_import_sum *sum,
                                 struct imp_model *m);

#endif
