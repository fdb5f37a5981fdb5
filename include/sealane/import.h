/*
 * Existing configurations of strongSwan (swanctl.conf, ipsec.conf) and libreswan (ipsec.conf) turned
 * into sealane's. The result is always a configuration that sl_config_parse takes; what has no
 * counterpart stands in it as a comment with its file, its line, why, and what to do instead. A
 * secret's value is never written, neither into the result nor into an error.
 *
 * A core: files that are included, and names in a directory, are asked for through two functions.
 */
#ifndef SEALANE_IMPORT_H
#define SEALANE_IMPORT_H

#include "sealane/err.h"

enum sl_import_form { SL_IMPORT_SWANCTL, SL_IMPORT_IPSEC };
enum sl_import_dialect { /* of ipsec.conf, where the two projects have other defaults */
                         SL_IMPORT_GUESS,
                         SL_IMPORT_STRONGSWAN,
                         SL_IMPORT_LIBRESWAN
};

struct sl_import_files {
    void *ctx;
    /* Calls found for each path that matches a shell pattern; NULL: nothing can be looked up. */
    void (*list)(void *ctx, const char *pattern, void (*found)(void *to, const char *path),
                 void *to);
    /* The content of an included file; NULL: includes become comments. */
    enum sl_rc (*read)(void *ctx, const char *path, struct sl_buf *out, struct sl_err *err);
};

struct sl_import_ask {
    enum sl_import_form form;
    enum sl_import_dialect dialect;
    bool local_right;     /* ipsec.conf: our side is right; else left */
    const char *file;     /* absolute path; relative paths in it are taken from its directory */
    struct sl_bytes text; /* its content */
    struct sl_import_files files;
};

struct sl_import_sum {
    size_t connections, shunts, left_out, comments;
};

/*
 * Appends the configuration to out. Errors: SL_CONFIG_SYNTAX (file, line, expected and seen),
 * SL_CONFIG_REFERENCE (a parent that is not there, or refers to itself), SL_TOO_LARGE, SL_IO of an
 * included file.
 */
SL_MUST_USE enum sl_rc sl_import(struct sl_buf *out, struct sl_import_sum *sum,
                                 const struct sl_import_ask *ask, struct sl_err *err);

#endif
