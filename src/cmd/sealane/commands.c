/* The table of commands. Its order is that of the help and of the manual page. */
#include "src/cmd/sealane/cli.h"

#include <stdio.h>

#define END             \
    {                   \
        .type = ARG_END \
    }

static const struct arg connection_child[] = {
    { ARG_TEXT, NULL, "CONNECTION", "connection", true, "connection of the configuration" },
    { ARG_TEXT, NULL, "CHILD", "child", false, "one of its children; without: all of them" },
    END,
};
static const struct arg rekey_args[] = {
    { ARG_TEXT, NULL, "CONNECTION", "connection", true, "connection of the configuration" },
    { ARG_TEXT, NULL, "CHILD", "child", false, "one of its children; without: all of them" },
    { ARG_FLAG, "--ike", NULL, "ike", false, "rekey the IKE SA instead of its children" },
    END,
};
static const struct arg down_args[] = {
    { ARG_TEXT, NULL, "CONNECTION", "connection", true, "connection of the configuration" },
    { ARG_TEXT, NULL, "CHILD", "child", false, "one of its children; without: all of them" },
    { ARG_FLAG, "--wait", NULL, "wait", false,
      "wait for the peer's answer, or until it is given up; without: for two seconds" },
    END,
};
static const struct arg sas_args[] = {
    { ARG_TEXT, NULL, "CONNECTION", "connection", false, "only this connection" },
    END,
};
static const struct arg enroll_args[] = {
    { ARG_TEXT, NULL, "IDENTITY", "identity", true, "identity section of the configuration" },
    { ARG_TEXT, "--fingerprint", "HEX", "fingerprint", false,
      "SHA-256 of the CA certificate to expect; without: the one of the configuration" },
    { ARG_SECRET_FILE, "--challenge-file", "FILE", "challenge", false,
      "file whose first line is the challenge password; -: standard input" },
    { ARG_TEXT, "--challenge", "TEXT", "challenge", false,
      "the challenge itself; other users of this host may see it" },
    { ARG_FLAG, "--trust-on-first-use", NULL, "trust_on_first_use", false,
      "take the CA certificate that the server shows, and print its fingerprint" },
    { ARG_FLAG, "--renew", NULL, "renew", false, "renew now, though it is not yet time" },
    { ARG_FLAG, "--no-wait", NULL, "no_wait", false, "do not wait while the request is pending" },
    END,
};
static const struct arg ca_init_args[] = {
    { ARG_TEXT, "--name", "TEXT", "name", true,
      "what the certificates are called: \"TEXT Root CA\"" },
    { ARG_TEXT, "--key", "ALGORITHM", "key", false,
      "rsa:3072 (default), rsa:4096, ecdsa:p256 or ecdsa:p384" },
    END,
};
static const struct arg ca_challenge_args[] = {
    { ARG_TEXT, NULL, "NAME", "name", true,
      "name of the device, the common name of its certificate" },
    { ARG_LIST, "--san", "NAME", "san", false,
      "a further name it may have: dns:NAME, ip:ADDRESS, email:ADDRESS" },
    { ARG_DURATION, "--ttl", "DURATION", "ttl_s", false, "how long it is valid; default 1h" },
    END,
};
static const struct arg ca_approve_args[] = {
    { ARG_NUMBER, NULL, "REQUEST", "id", true, "number that `sealane ca pending` shows" },
    END,
};
static const struct arg ca_reject_args[] = {
    { ARG_NUMBER, NULL, "REQUEST", "id", true, "number that `sealane ca pending` shows" },
    { ARG_TEXT, "--reason", "TEXT", "reason", false, "why, for the record" },
    END,
};
static const struct arg ca_list_args[] = {
    { ARG_FLAG, "--all", NULL, "all", false, "also those expired or revoked" },
    END,
};
static const struct arg ca_show_args[] = {
    { ARG_TEXT, NULL, "SERIAL", "serial", true, "serial number in hex" },
    END,
};
static const struct arg ca_revoke_args[] = {
    { ARG_TEXT, NULL, "SERIAL", "serial", true, "serial number in hex" },
    { ARG_TEXT, "--reason", "WORD", "reason", false,
      "unspecified (default), keyCompromise, affiliationChanged, superseded, "
      "cessationOfOperation" },
    END,
};
static const struct arg ca_crl_args[] = {
    { ARG_FLAG, "--new", NULL, "new", false, "make a new one now" },
    { ARG_FLAG, "--root", NULL, "root", false, "the root's instead of the issuing CA's" },
    { ARG_FLAG, "--pem", NULL, "show_pem", false, "print the CRL itself as PEM" },
    END,
};
static const struct arg policy_test_args[] = {
    { ARG_FILE, "--cert", "FILE", "cert", true,
      "PEM file of the peer's certificate and its chain" },
    { ARG_TEXT, "--id", "ID", "id", false,
      "identity the peer claims, as dns:gw-b.example; without: its certificate's first name" },
    { ARG_TEXT, "--connection", "NAME", "connection", false,
      "connection it would use; needed when there are several" },
    END,
};
#define CERT_ARGS                                                                                       \
    { ARG_LIST, "--anchor", "FILE", "anchor", false, "trust anchors, PEM or DER; at least one" },       \
        { ARG_LIST, "--intermediate",                                                                   \
          "FILE",   "intermediate",                                                                     \
          false,    "certificates for the path, not trusted" },                                         \
        { ARG_LIST, "--crl", "FILE", "crl", false, "CRLs: complete, delta or indirect" },               \
        { ARG_LIST, "--ocsp", "FILE", "ocsp", false, "OCSP responses in DER" },                         \
        { ARG_TEXT, "--time", "TIME",                                                                   \
          "time",   false,    "as of then: 2026-11-23T17:00:00Z, or seconds since 1970; default now" }, \
        { ARG_TEXT,                                                                                     \
          "--id",                                                                                       \
          "ID",                                                                                         \
          "name",                                                                                       \
          false,                                                                                        \
          "a name that must be in the certificate: dns:, ip:, email: or dn:; without: none" },          \
        { ARG_TEXT,                                                                                     \
          "--eku",                                                                                      \
          "OID",                                                                                        \
          "eku",                                                                                        \
          false,                                                                                        \
          "the extended key usage instead of the rule for IKE (absent, any or ipsecIKE); none: "        \
          "neither it nor key usage of the end entity is looked at" },                                  \
        { ARG_LIST, "--policy", "OID",                                                                  \
          "policy", false,      "certificate policies that are acceptable; without: any" },             \
        { ARG_FLAG, "--any-policy", NULL, "any_policy", false, "any policy is acceptable" },            \
        { ARG_FLAG, "--explicit-policy",                                                                \
          NULL,     "explicit_policy",                                                                  \
          false,    "an acceptable policy must hold for the whole path" },                              \
        { ARG_FLAG, "--inhibit-any", NULL, "inhibit_any", false, "anyPolicy in CAs counts not" },       \
        { ARG_FLAG, "--inhibit-mapping",                                                                \
          NULL,     "inhibit_mapping",                                                                  \
          false,    "policies are not mapped to others" },                                              \
        { ARG_TEXT,                                                                                     \
          "--revocation",                                                                               \
          "MODE",                                                                                       \
          "revocation",                                                                                 \
          false,                                                                                        \
          "require, grace (up to 24h past nextUpdate) or off; default require when --crl or "           \
          "--ocsp is given or fetching is allowed, else off" },                                         \
        { ARG_NUMBER,  "--max-depth", "N",                                                              \
          "max_depth", false,         "so many intermediates that are not self-issued; default 8" },    \
        { ARG_TEXT, "--profile", "PROFILE", "profile", false, "rfc5280 (default) or strict" },          \
    {                                                                                                   \
        ARG_FLAG, "--no-fetch", NULL, "no_fetch", false, "ask no server for anything"                   \
    }
static const struct arg cert_verify_args[] = {
    { ARG_TEXT, NULL, "LEAF", "leaf", false,
      "the certificate, PEM or DER; more in the same file are intermediates" },
    { ARG_TEXT, "--batch", "FILE", "batch", false,
      "instead of LEAF: a request in JSON a line, answered by a verdict in JSON a line; the other "
      "options hold for what a request does not say; -: standard input" },
    CERT_ARGS,
    END,
};
static const struct arg cert_explain_args[] = {
    { ARG_TEXT, NULL, "LEAF", "leaf", true,
      "the certificate, PEM or DER; more in the same file are intermediates" },
    CERT_ARGS,
    END,
};
static const struct arg audit_tail_args[] = {
    { ARG_NUMBER, "-n", "COUNT", "count", false, "how many; default 10" },
    { ARG_FLAG, "-f", NULL, "follow", false, "go on with what is added" },
    { ARG_TEXT, "--dir", "DIR", "dir", false,
      "directory of the log; without: the configuration's" },
    END,
};
static const struct arg audit_show_args[] = {
    { ARG_NUMBER, NULL, "RECORD", "record", true, "number of the record" },
    { ARG_TEXT, "--dir", "DIR", "dir", false,
      "directory of the log; without: the configuration's" },
    END,
};
static const struct arg audit_query_args[] = {
    { ARG_TEXT, "--kind", "KIND", "kind", false,
      "decision, sa, enroll, ... or an event as child-up; * stands for any text" },
    { ARG_TEXT, "--peer", "PATTERN", "peer", false, "the peer's identity, as dns:*.example" },
    { ARG_TEXT, "--connection", "NAME", "connection", false, "the connection" },
    { ARG_TEXT, "--verdict", "WORD", "verdict", false, "accept or refuse" },
    { ARG_TEXT, "--reason", "CODE", "reason", false, "reason code, as REVOKED" },
    { ARG_TEXT, "--text", "WORDS", "text", false, "these words anywhere in the record" },
    { ARG_TIME, "--since", "TIME", "since", false,
      "not before: 2026-11-23T17:00:00Z, or 2h ago as 2h" },
    { ARG_TIME, "--until", "TIME", "until", false, "not after" },
    { ARG_TEXT, "--dir", "DIR", "dir", false,
      "directory of the log; without: the configuration's" },
    END,
};
static const struct arg audit_verify_args[] = {
    { ARG_TEXT, "--dir", "DIR", "dir", false,
      "directory of the log; without: the configuration's" },
    END,
};
static const struct arg config_check_args[] = {
    { ARG_TEXT, NULL, "FILE", "file", false, "file to check; without: the one of --config" },
    END,
};
static const struct arg config_keys_args[] = {
    { ARG_TEXT, NULL, "SECTION", "section", false, "only this section" },
    END,
};
#define IMPORT_ARGS                                                                               \
    { ARG_TEXT, NULL, "FILE", "file", true, "the file to import; what it includes is read too" }, \
    {                                                                                             \
        ARG_TEXT, "-o", "FILE", "output", false,                                                  \
            "a new file to write to; without: standard output"                                    \
    }
static const struct arg import_swanctl_args[] = {
    IMPORT_ARGS,
    END,
};
static const struct arg import_ipsec_args[] = {
    IMPORT_ARGS,
    { ARG_TEXT, "--local", "SIDE", "local", false, "which end is ours: left (default) or right" },
    { ARG_TEXT, "--dialect", "PROJECT", "dialect", false,
      "strongswan or libreswan, whose defaults differ; without: guessed from the keys" },
    END,
};
static const struct arg trust_status_args[] = {
    { ARG_FLAG, "--metrics", NULL, "metrics", false,
      "as OpenMetrics text, for a scraper or node_exporter's textfile collector" },
    END,
};

static const struct arg pool_release_args[] = {
    { ARG_NUMBER, NULL, "LEASE", "lease", true, "number that `sealane pool leases` shows" },
    END,
};

static const struct command commands[] = {
    { "status", NULL, "is everything well, and if not, what is to be done", NULL, show_status,
      judge_status, NULL, 0 },
    { "up", NULL, "bring a connection up", connection_child, show_done, NULL, NULL, 120000 },
    { "down", NULL, "take a connection down", down_args, show_done, NULL, NULL, 60000 },
    { "rekey", NULL, "give a connection new keys", rekey_args, show_done, NULL, NULL, 60000 },
    { "sas", NULL, "list IKE and child SAs", sas_args, NULL, NULL, run_sas, 0 },
    { "esp", NULL, "count the packets of the datapath, and those dropped by reason", NULL, show_esp,
      NULL, NULL, 0 },
    { "certs", NULL, "list our own certificates and when they are renewed", NULL, show_certs, NULL,
      NULL, 0 },
    { "enroll", NULL, "get or renew the certificate of an identity", enroll_args, NULL, NULL,
      run_enroll, 0 },
    { "policy", "test", "decide about a peer from its certificate, without the peer",
      policy_test_args, show_policy, judge_policy, NULL, 60000 },
    { "policy", "refresh", "fetch revocation data anew and decide again about live peers", NULL,
      show_refresh, NULL, NULL, 60000 },
    { "cert", "verify", "is a certificate good, from files and without the daemon",
      cert_verify_args, NULL, NULL, run_cert_verify, 0 },
    { "cert", "explain", "the same as a story: what was tried, why it died, what would help",
      cert_explain_args, NULL, NULL, run_cert_verify, 0 },
    { "trust", "status", "how fresh the revocation data of each CA is, and when peers are refused",
      trust_status_args, show_trust_status, judge_trust_status, NULL, 0 },
    { "pool", "leases", "list the addresses that peers have, or would get again", NULL,
      show_pool_leases, NULL, NULL, 0 },
    { "pool", "release", "forget an address that is kept for a peer", pool_release_args,
      show_pool_release, NULL, NULL, 0 },
    { "ca", "init", "make the keys and certificates of the embedded CA", ca_init_args, show_ca_init,
      NULL, NULL, 120000 },
    { "ca", "challenge", "make a one-time challenge for a device", ca_challenge_args,
      show_ca_challenge, NULL, NULL, 0 },
    { "ca", "pending", "list requests that wait for approval", NULL, show_ca_pending, NULL, NULL,
      0 },
    { "ca", "approve", "approve a request", ca_approve_args, show_ca_approve, NULL, NULL, 0 },
    { "ca", "reject", "reject a request", ca_reject_args, show_ca_reject, NULL, NULL, 0 },
    { "ca", "list", "list issued certificates", ca_list_args, show_ca_list, NULL, NULL, 0 },
    { "ca", "show", "show an issued certificate", ca_show_args, show_ca_show, NULL, NULL, 0 },
    { "ca", "revoke", "revoke a certificate and publish a new CRL", ca_revoke_args, show_ca_revoke,
      NULL, NULL, 0 },
    { "ca", "crl", "show the current CRL", ca_crl_args, show_ca_crl, NULL, NULL, 0 },
    { "audit", "tail", "show the last records of the audit log", audit_tail_args, NULL, NULL,
      run_audit_tail, 0 },
    { "audit", "show", "tell the story of one record", audit_show_args, NULL, NULL, run_audit_show,
      0 },
    { "audit", "query", "find records", audit_query_args, NULL, NULL, run_audit_query, 0 },
    { "audit", "verify", "check that no record was edited, removed, inserted or reordered",
      audit_verify_args, NULL, NULL, run_audit_verify, 0 },
    { "config", "check", "check a configuration file and report every problem", config_check_args,
      NULL, NULL, run_config_check, 0 },
    { "config", "keys", "list the keys of the configuration file", config_keys_args, NULL, NULL,
      run_config_keys, 0 },
    { "import", "swanctl", "turn strongSwan's swanctl.conf into a configuration of ours",
      import_swanctl_args, NULL, NULL, run_import, 0 },
    { "import", "ipsec.conf",
      "turn ipsec.conf of libreswan or strongSwan into a configuration of ours", import_ipsec_args,
      NULL, NULL, run_import, 0 },
};

const struct command *cli_commands(size_t *n)
{
    *n = SL_ARRAY_LEN(commands);
    return commands;
}

char *cli_words(char out[CLI_WORDS_MAX], const struct command *cmd, char between)
{
    if (cmd->word)
        snprintf(out, CLI_WORDS_MAX, "%s%c%s", cmd->noun, between, cmd->word);
    else
        snprintf(out, CLI_WORDS_MAX, "%s", cmd->noun);
    return out;
}
