/*
 * The configuration: one file, read whole, checked whole, then immutable. A struct sl_config is
 * what sealane.conf(5) says, with every default filled in and every reference resolved to exist.
 * It holds no secret: passwords, challenges and pre-shared keys are files that it names.
 *
 * Arrays are owned by the config; strings are never NULL ("" when absent).
 */
#ifndef SEALANE_CONFIG_H
#define SEALANE_CONFIG_H

#include "sealane/certs.h"
#include "sealane/crypto.h"
#include "sealane/decision.h"
#include "sealane/log.h"
#include "sealane/net.h"

struct sl_conf_strings {
    char **v;
    size_t n;
};

/* trust NAME { ... }: anchors and how revocation is treated for certificates under them */
enum sl_revocation_mode { SL_REVOCATION_HARD, SL_REVOCATION_GRACE, SL_REVOCATION_OFF };
enum sl_address_blocks { SL_ADDRESS_BLOCKS_IGNORE, SL_ADDRESS_BLOCKS_RESTRICT };
struct sl_conf_trust {
    char *name;
    struct sl_conf_strings
        anchors; /* anchor = { "file.pem", ... }; PEM or DER files, or "authority" */
    struct sl_conf_strings intermediates;     /* optional extra certificates for path building */
    struct sl_conf_strings crls;              /* local CRL files */
    char *crl_dir;                            /* directory of such files; "" : none */
    struct sl_conf_strings intermediate_uris; /* CA certificates to fetch and keep up to date */
    bool aia;                                 /* missing issuers from caIssuers; default false */
    enum sl_revocation_mode revocation;       /* default hard */
    int64_t grace_s;                          /* grace: how far past nextUpdate; default 24h */
    int64_t deadline_ms;                      /* all fetching of one decision; default 5000 */
    bool ocsp, crl;                           /* sources used, default both; OCSP first */
    bool ocsp_nonce;                          /* default false */
    bool ocsp_sha256;                         /* hash tried first in a certID; default SHA-1 */
    char *responder, *responder_cert; /* configured OCSP responder and its certificate; "" */
    bool unknown_to_crl;              /* "unknown" goes on to the CRL; default: refuses */
    bool must_staple;                 /* RFC 7633 is honoured; default false */
    struct sl_conf_strings order;     /* "staple", "cache", "ocsp", "crl"; empty: so */
    struct sl_conf_strings eku; /* allowed EKU OIDs or names; empty: ipsecIKE, any, or absent */
    uint16_t min_rsa_bits;      /* default 2048 */
    uint16_t min_ec_bits;       /* default 256 */
    struct sl_conf_strings signature; /* algorithms of certificates; empty: all not weak */
    enum sl_profile profile;          /* default rfc5280 */
    struct sl_conf_strings policy;    /* user-initial-policy-set, OIDs; empty: any-policy */
    bool explicit_policy, inhibit_any_policy, inhibit_policy_mapping; /* default false */
    uint16_t max_depth; /* intermediates that are not self-issued; 0: no limit of its own */
    /* Not of the file; `sealane cert verify` sets them. */
    bool any_use;          /* key usage and EKU of the end entity are not looked at */
    bool no_intermediates; /* max_depth is 0 and counts */
    /* Of the file again. */
    enum sl_address_blocks
        address_blocks; /* RFC 3779 limits the peer's selectors; default ignore */
};

/* scep NAME { ... }: an enrolment server */
struct sl_conf_scep {
    char *name;
    char *url;   /* http:// or https:// */
    char *ca_id; /* "message" of GetCACert; default "" */
    char *
        fingerprint; /* SHA-256 of the CA certificate in hex; "" : must be given on the command line */
    char *challenge_file; /* "" : none */
    bool legacy;          /* single DES and SHA-1 allowed with this server; default false */
    int64_t poll_s;       /* interval while pending; default 60 */
    int64_t timeout_ms;   /* one HTTP exchange; default 15000 */
};

/* identity NAME { ... }: a key and certificate of ours */
struct sl_conf_identity {
    char *name;                 /* also the key's name in the keyring */
    char *key;                  /* "rsa:3072" default; see sl_key_alg_parse */
    char *subject;              /* RFC 4514, "CN=gw-a.example" */
    struct sl_conf_strings san; /* "dns:..", "ip:..", "email:.." */
    char *scep;                 /* scep section to enrol at; "" : certificate is given as a file */
    char *certificate;          /* PEM chain file for a key imported by hand; "" when enrolled */
    char *key_file;             /* PEM private key to import at start, readable by root; "" */
    uint8_t renew_percent;      /* of the lifetime, default 67 */
    uint8_t renew_jitter_percent; /* of the lifetime, default 5 */
};

/* psk NAME { file = ... } */
struct sl_conf_psk {
    char *name;
    char *file; /* first line, without its newline, is the key; or 0x-prefixed hex */
};

/* directory NAME { ... } */
enum sl_directory_type { SL_DIRECTORY_LDIF, SL_DIRECTORY_LDAP };
struct sl_conf_directory {
    char *name;
    enum sl_directory_type type;
    char *file;                    /* ldif */
    char *uri;                     /* ldap:// or ldaps:// */
    bool starttls;                 /* default true for ldap:// */
    char *ca_file;                 /* anchors for the server's TLS certificate */
    char *bind_dn, *password_file; /* simple bind; "" : anonymous */
    bool sasl_external; /* with client certificate: client_cert, client_key, or ldapi:// */
    char *client_cert, *client_key;
    char *base;
    char *
        filter; /* mapping rule: "(&(objectClass=device)(cn=%{san.dns}))", RFC 4515 escaping is applied */
    char *scope;          /* base, one, sub (default) */
    char *enabled_filter; /* the entry must match this as well to be enabled; "" : no such rule */
    char *disabled_attr;  /* "attribute=value" or "attribute&bits" meaning disabled; "" */
    bool cert_match;    /* userCertificate;binary must hold the peer's certificate; default false */
    bool required;      /* entry needed to accept; default true */
    int64_t timeout_ms; /* default 2000 */
    int64_t cache_s;    /* default 60 */
    enum sl_revocation_mode
        mode;        /* unreachable: hard refuses, grace uses the cache up to grace_s */
    int64_t grace_s; /* default 0 */
};

/* pool NAME { ... }: addresses for peers that ask for one (RFC 7296 2.19) */
#define SL_POOL_RANGES_MAX 64
struct sl_conf_pool {
    char *name;
    struct sl_conf_strings addresses; /* prefixes and FIRST-LAST, both families */
    struct sl_conf_strings dns, split_dns;
    int64_t lease_s;                /* kept for the same identity after its SA ended; default 1h */
    struct sl_conf_strings statics; /* IDENTITY=ADDRESS */
};

/* rule NAME { ... }: policy, in file order, first match wins, deny by default */
struct sl_conf_rule {
    char *name;
    bool accept; /* action = accept | refuse */
    struct sl_conf_strings connection, id, issuer, subject, group, entry_attr,
        method;                    /* globs; empty: any. entry_attr "attr=glob" */
    struct sl_conf_strings remote; /* outer prefixes */
    struct sl_ts *grant_ts;
    size_t grant_ts_n;
    struct sl_conf_strings grant_pool, grant_address, grant_dns;
    int64_t grant_lifetime_s; /* 0: as the connection */
    char *grant_tag;
};

/* connection NAME { ... child NAME { ... } } */
/* Additional key exchanges, ADDKE1 to ADDKE7 (RFC 9370), all different from each other and from ke. */
#define SL_ADDKE_MAX 7
struct sl_conf_addke {
    enum sl_ke ke[SL_ADDKE_MAX]; /* SL_KE_NONE: none of that number */
    uint8_t may_skip;            /* bit i: the peer may leave ke[i] out (ke1_none) */
};
struct sl_conf_ike_proposal {
    struct sl_suite suite;
    enum sl_prf prf;
    enum sl_ke ke;
    struct sl_conf_addke add;
};
struct sl_conf_esp_proposal {
    struct sl_suite suite;
    enum sl_ke ke;            /* SL_KE_NONE: no PFS */
    struct sl_conf_addke add; /* for CREATE_CHILD_SA, as ke */
};
struct sl_conf_child {
    char *name;
    /*
     * A selector whose addresses have family 0 is "dynamic": what stands for it is known when there
     * is an SA (vip_selectors in src/ike/v2/config.c).
     */
    struct sl_ts *local_ts, *remote_ts;
    size_t local_ts_n, remote_ts_n;
    struct sl_conf_esp_proposal *esp;
    size_t esp_n;                        /* esp = { "aes128gcm16", "aes256-sha256-modp2048" } */
    bool esn;                            /* default true; offered beside no-ESN */
    int64_t rekey_s;                     /* default 1h */
    uint64_t rekey_bytes, rekey_packets; /* default 0: none */
    uint32_t replay_window_pkts;         /* default 1024 */
    bool start;                          /* bring up at start */
};
enum sl_auth_method { SL_METHOD_CERT, SL_METHOD_PSK }; /* AUTH_PSK is a reason */
enum sl_ike_ocsp {                                     /* OCSP in IKE (RFC 4806): bits */
                   SL_IKE_OCSP_NEVER = 0,
                   SL_IKE_OCSP_REQUEST = 1, /* we ask the peer for its responses */
                   SL_IKE_OCSP_REPLY = 2,   /* we send ours when it asks */
                   SL_IKE_OCSP_BOTH = 3
};
struct sl_conf_connection {
    char *name;
    struct sl_endpoint local, remote; /* family 0: any; port 500 default */
    struct sl_conf_strings
        remote_prefixes; /* responder: allowed peers; empty with remote any: all */
    enum sl_auth_method auth;
    char *identity;         /* auth cert: identity section */
    char *psk;              /* auth psk: psk section */
    struct sl_id id_local;  /* type NONE: first SAN, else subject of the identity's certificate */
    struct sl_id id_remote; /* type NONE: any that the decision accepts */
    char *trust;            /* trust section, cert only */
    char *directory;        /* "" : no directory evidence asked */
    struct sl_conf_ike_proposal *ike;
    size_t ike_n;
    struct sl_conf_child *child;
    size_t child_n;
    bool ikev1;                   /* version = ikev1 (RFC 2409); default false */
    bool aggressive;              /* IKEv1: aggressive mode instead of main mode; default false */
    bool aggressive_psk;          /* lets aggressive mode go with a PSK; default false */
    struct sl_conf_strings pools; /* server: from which peers get addresses */
    struct sl_conf_strings virtual_ip; /* client: what to ask for; see sl_conf_wishes */
    bool force_encap;                  /* UDP encapsulation though no NAT is seen; default false */
    bool mobike;                       /* RFC 4555; default true */
    bool fragmentation;                /* default true */
    uint16_t fragment_size;            /* IP datagram bytes, default 1280; IPv4 and IPv6 */
    bool send_certreq;                 /* default true */
    bool send_cert_always;             /* default true */
    enum sl_ike_ocsp ocsp;             /* default both */
    int64_t rekey_s;                   /* IKE SA, default 4h */
    int64_t reauth_s;                  /* 0: never (default) */
    int64_t dpd_s;             /* liveness check after so much silence, default 30; 0: never */
    int64_t keepalive_s;       /* NAT keepalive, default 20; 0: never */
    int64_t retransmit_ms;     /* first interval, default 1000; doubles with each try */
    unsigned retransmit_tries; /* default 5 */
};

/* shunt NAME { ... }: traffic that is not protected */
enum sl_shunt_action { SL_SHUNT_BYPASS, SL_SHUNT_DROP };
struct sl_conf_shunt {
    char *name;
    enum sl_shunt_action action;
    struct sl_ts local_ts, remote_ts;
};

/* authority { ... }: the embedded CA */
struct sl_conf_authority {
    bool enabled;
    struct sl_endpoint
        listen;         /* HTTP: SCEP at /scep, CRL at /crl, OCSP at /ocsp; default 0.0.0.0:8080 */
    char *base_url;     /* put into certificates: "http://ca.example:8080" */
    char *profile_eku;  /* "ipsecIKE" default; "none" */
    int64_t lifetime_s; /* issued certificates, default 90d */
    int64_t crl_interval_s;  /* default 1h: a new CRL this often and after each revocation */
    int64_t crl_lifetime_s;  /* nextUpdate - thisUpdate, default 24h */
    int64_t ocsp_lifetime_s; /* default 1h */
    bool
        manual_approval; /* requests without a challenge wait for approval; default true. else refused */
    bool renewal;        /* RenewalReq with a valid certificate needs no challenge; default true */
    bool legacy;         /* single DES, 3DES and SHA-1 taken from SCEP clients; default false */
};

/* fetch { ... }: what the fetch process may connect to for URIs that certificates name */
struct sl_conf_fetch {
    struct sl_conf_strings allow, deny; /* prefixes; the longest decides */
    struct sl_conf_strings rewrite;     /* "FROM=TO", URIs */
    char *proxy;                        /* http://HOST:PORT; "" : none */
    struct sl_conf_strings no_proxy;    /* hosts, .domains, prefixes, "*" */
    uint64_t max_crl_bytes;             /* default 64 MiB */
};

struct sl_config {
    char *file; /* path it was read from, for messages */
    /* daemon { ... } */
    char *state_dir;     /* default /var/lib/sealane */
    char *run_dir;       /* default /run/sealane */
    char *control_group; /* group that may use the control socket; "" : root only */
    enum sl_log_level log_level;
    char *user_prefix;  /* roles run as PREFIX-ike ...; "" : numeric users from user_base */
    uint32_t user_base; /* default 64800: user_base + role number */
    bool sandbox;       /* default true; false only in builds for tests */
    /* ike { ... } */
    struct sl_addr listen4, listen6;   /* default any */
    uint16_t port, port_natt;          /* 500, 4500 */
    unsigned max_ike_sas;              /* default 100000 */
    unsigned max_half_open;            /* default 1000 */
    unsigned max_half_open_per_source; /* default 20 */
    unsigned cookie_threshold;         /* half-open SAs from which cookies are asked, default 100 */
    int64_t half_open_s;               /* default 30 */
    unsigned worker_threads;           /* default 2 */
    /* datapath { ... } */
    char *tun_name;                      /* default "sealane0" */
    uint16_t mtu;                        /* of TUN; 0: derived from the outer link, default 1400 */
    bool install_routes;                 /* default true */
    uint32_t table, rule_priority, mark; /* of policy routing */
    /* audit { ... } */
    char *audit_dir; /* default state_dir/audit */

    struct sl_conf_trust *trust;
    size_t trust_n;
    struct sl_conf_scep *scep;
    size_t scep_n;
    struct sl_conf_identity *identity;
    size_t identity_n;
    struct sl_conf_psk *psk;
    size_t psk_n;
    struct sl_conf_directory *directory;
    size_t directory_n;
    struct sl_conf_pool *pool;
    size_t pool_n;
    struct sl_conf_rule *rule;
    size_t rule_n;
    struct sl_conf_connection *connection;
    size_t connection_n;
    struct sl_conf_shunt *shunt;
    size_t shunt_n;
    struct sl_conf_authority authority;
    struct sl_conf_fetch fetch;
};

/*
 * Read and check text (the whole file; file_name for messages). On failure *err names file, line,
 * section, key, what was wrong and, for an unknown key or name, the nearest valid one; problems
 * (may be NULL) receives every problem found, one a line, not only the first.
 * Errors: SL_CONFIG_SYNTAX, SL_CONFIG_VALUE, SL_CONFIG_REFERENCE.
 */
SL_MUST_USE enum sl_rc sl_config_parse(struct sl_config **out, struct sl_bytes text,
                                       const char *file_name, struct sl_buf *problems,
                                       struct sl_err *err);
SL_MUST_USE enum sl_rc sl_config_load(struct sl_config **out, const char *path,
                                      struct sl_buf *problems, struct sl_err *err);
void sl_config_free(struct sl_config *c);
SL_AUTO_DEFINE(sl_config)

const struct sl_conf_trust *sl_config_trust(const struct sl_config *c,
                                            const char *name); /* NULL: none */
const struct sl_conf_scep *sl_config_scep(const struct sl_config *c, const char *name);
const struct sl_conf_identity *sl_config_identity(const struct sl_config *c, const char *name);
const struct sl_conf_psk *sl_config_psk(const struct sl_config *c, const char *name);
const struct sl_conf_directory *sl_config_directory(const struct sl_config *c, const char *name);
const struct sl_conf_pool *sl_config_pool(const struct sl_config *c, const char *name);
const struct sl_conf_connection *sl_config_connection(const struct sl_config *c, const char *name);

/*
 * What virtual_ip asks for: [0] IPv4, [1] IPv6. want: that family is asked for; addr: a certain address,
 * all zero bytes: any. False: a word that is none of those allowed.
 */
struct sl_conf_wish {
    bool want;
    struct sl_addr addr; /* family always set when want is */
};
bool sl_conf_wishes(struct sl_conf_wish out[2], const struct sl_conf_strings *words);
/* "IDENTITY=ADDRESS" taken apart; false: it is not that. */
bool sl_conf_static(struct sl_id *id, struct sl_addr *addr, const char *text);

/* Every key of the file from one table: used by the parser, `config check` and the man page. */
struct sl_config_key {
    const char *section, *key, *type, *dflt, *text;
};
const struct sl_config_key *sl_config_keys(size_t *n);

#endif
