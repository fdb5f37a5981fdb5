/*
 * The command `sealane`: one table of commands (commands.c) feeds dispatch, usage, help, the verbs
 * and the manual page; one file per noun shows results.
 */
#ifndef SRC_CMD_SEALANE_CLI_H
#define SRC_CMD_SEALANE_CLI_H

#include "sealane/config.h"

#include <jansson.h>
#include <stdio.h>

enum cli_exit { /* documented in sealane(1) */
                CLI_OK = 0,
                CLI_FAILED = 1,
                CLI_USAGE = 2,
                CLI_NO_DAEMON = 3,
                CLI_NOT_WELL = 4,
};

struct cli {
    const char *config; /* NULL: the default, which may be absent */
    const char *socket; /* NULL: run_dir of the configuration */
    bool json;
    bool unreachable; /* the daemon was not there, or went away before it answered */
    FILE *out, *err;
};

enum arg_type {
    ARG_END,
    ARG_TEXT,
    ARG_NUMBER,
    ARG_DURATION, /* seconds */
    ARG_TIME,     /* RFC 3339, or a duration meaning so long ago; seconds since 1970 */
    ARG_FLAG,
    ARG_LIST,        /* may be repeated */
    ARG_FILE,        /* the file's content; "-": standard input */
    ARG_SECRET_FILE, /* its first line */
};
struct arg {
    enum arg_type type;
    const char *option; /* "--ttl"; NULL: positional */
    const char *meta;   /* "NAME"; of a flag NULL */
    const char *key;    /* member of the arguments' object */
    bool required;
    const char *text;
};

struct command {
    const char *noun, *word; /* word NULL: the noun alone */
    const char *text;        /* what it does, one line */
    const struct arg *args;  /* ends with ARG_END; NULL: none */
    /* Shows the data of a successful answer to people; with --json it is printed as it is. */
    void (*show)(struct cli *cli, const json_t *args, const json_t *data);
    /* The exit status that the data mean; NULL: CLI_OK. */
    enum cli_exit (*judge)(const json_t *data);
    /* Instead of asking the daemon; NULL: the verb is noun.word. */
    enum cli_exit (*run)(struct cli *cli, const struct command *cmd, const json_t *args);
    int64_t timeout_ms; /* longest silence of the daemon; 0: 30 s */
};
const struct command *cli_commands(size_t *n);
#define CLI_WORDS_MAX 48
char *cli_words(char out[CLI_WORDS_MAX], const struct command *cmd, char between);

/* The whole program; argv[0] is the program's name. */
enum cli_exit cli_main(int argc, char **argv, FILE *out, FILE *err);

/* ---- arguments (args.c) ------------------------------------------------------------------------- */
/* The arguments of a command as an object; NULL with a message on cli->err. */
json_t *args_parse(struct cli *cli, const struct command *cmd, int argc, char **argv);
/* "NAME [--ttl DURATION]"; returns false when it does not fit. */
void args_synopsis(struct sl_buf *out, const struct command *cmd);

/* ---- help (help.c) -------------------------------------------------------------------------------- */
void help_usage(FILE *f);
void help_command(FILE *f, const struct command *cmd);
enum cli_exit help_run(struct cli *cli, int argc, char **argv);

/* ---- the daemon (client.c) ------------------------------------------------------------------------- */
/*
 * Sends one request and hands over each answer: progress for those with more to come, the last one
 * in *data (new reference, maybe NULL). Fails with the daemon's code, SL_UNAVAILABLE when there is
 * no daemon, SL_CANCELLED when progress returned false.
 */
SL_MUST_USE enum sl_rc client_ask(struct cli *cli, const char *verb, const json_t *args,
                                  int64_t timeout_ms,
                                  bool (*progress)(struct cli *cli, const char *text,
                                                   const json_t *data),
                                  json_t **data, struct sl_err *err);
/* The configuration, loaded once for paths; NULL: there is none at the default place. */
SL_MUST_USE enum sl_rc client_config(struct cli *cli, struct sl_config **out, struct sl_err *err);
/* Runs a command against the daemon and shows what comes back. */
enum cli_exit client_run(struct cli *cli, const struct command *cmd, const json_t *args);
/* Tells of a failure on cli->err, or as JSON on cli->out. */
enum cli_exit cli_fail(struct cli *cli, const struct command *cmd, const struct sl_err *err,
                       const json_t *data);

/* ---- output (out.c) ---------------------------------------------------------------------------------- */
/* Text from elsewhere, without control characters; UTF-8 stays. */
void out_text(FILE *f, const char *s);
void out_json(FILE *f, const json_t *v);
/* A member as text: strings as they are, numbers, yes and no, lists joined by ", "; "" when absent. */
const char *field_text(char *buf, size_t cap, const json_t *o, const char *key);
bool field_is(const json_t *o, const char *key, const char *value);
const char *field_string(const json_t *o, const char *key); /* "" unless a string */
/* "  label     value", nothing when the value is empty. */
void out_field(FILE *f, const char *label, const char *value);
void out_member(FILE *f, const char *label, const json_t *o, const char *key);
/* "1h 2m", "3d 4h", "12s" */
char *out_duration(char *buf, size_t cap, int64_t s);
/* "1.2 MB" */
char *out_bytes(char *buf, size_t cap, int64_t n);

struct column {
    const char *title, *key;
};
/* Rows are objects; columns that are empty in every row are left out. */
void out_table(FILE *f, const struct column *columns, size_t n, const json_t *rows);

/* ---- nouns ---------------------------------------------------------------------------------------------- */
void show_done(struct cli *cli, const json_t *args, const json_t *data); /* up, down, rekey */
enum cli_exit run_sas(struct cli *cli, const struct command *cmd, const json_t *args);
void show_esp(struct cli *cli, const json_t *args, const json_t *data);
void show_pool_leases(struct cli *cli, const json_t *args, const json_t *data);
void show_pool_release(struct cli *cli, const json_t *args, const json_t *data);
void show_refresh(struct cli *cli, const json_t *args, const json_t *data);
void show_status(struct cli *cli, const json_t *args, const json_t *data);
enum cli_exit judge_status(const json_t *data);
void show_certs(struct cli *cli, const json_t *args, const json_t *data);
void show_policy(struct cli *cli, const json_t *args, const json_t *data);
enum cli_exit judge_policy(const json_t *data);
void show_trust_status(struct cli *cli, const json_t *args, const json_t *data);
void show_trust_metrics(FILE *f, const json_t *data); /* the same as OpenMetrics text */
enum cli_exit judge_trust_status(const json_t *data);
void show_ca_init(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_challenge(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_pending(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_approve(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_reject(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_list(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_show(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_revoke(struct cli *cli, const json_t *args, const json_t *data);
void show_ca_crl(struct cli *cli, const json_t *args, const json_t *data);
void show_certificate(FILE *f, const json_t *cert);
enum cli_exit run_enroll(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_cert_verify(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_audit_tail(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_audit_show(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_audit_query(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_audit_verify(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_config_check(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_import(struct cli *cli, const struct command *cmd, const json_t *args);
enum cli_exit run_config_keys(struct cli *cli, const struct command *cmd, const json_t *args);

#endif
