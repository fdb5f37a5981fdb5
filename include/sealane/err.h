/*
 * Errors: a reason code from reasons.def and a message that names the object, what is wrong, what
 * was expected and seen, and the rule. Nothing secret is ever put into a message.
 */
#ifndef SEALANE_ERR_H
#define SEALANE_ERR_H

#include "sealane/bytes.h"

enum sl_rc {
    SL_OK = 0,
#define SL_REASON(name, family, text) SL_##name,
#include "sealane/reasons.def"
#undef SL_REASON
    SL_RC_COUNT
};

#define SL_ERR_TEXT_MAX 512
struct sl_err {
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX]; /* "" when only the code is known; always NUL-terminated */
    const char *file;           /* place of the failure; static storage */
    int line;
};

const char *sl_rc_name(enum sl_rc rc);   /* "REVOKED"; "OK" for SL_OK; never NULL */
const char *sl_rc_family(enum sl_rc rc); /* "REV"; "OK" for SL_OK */
const char *sl_rc_text(enum sl_rc rc);   /* "certificate is revoked" */
/* The code of a stable name, SL_OK for "OK"; SL_RC_COUNT when unknown. */
enum sl_rc sl_rc_from_name(const char *name);
bool sl_rc_valid(uint32_t v); /* v is SL_OK or a code of the table */

/* The detailed message where there is one, else the code's own text. err may be NULL. */
const char *sl_err_text(const struct sl_err *err);
void sl_err_reset(struct sl_err *err);

/* Fill *err (may be NULL) and return rc. Used through the macros. */
enum sl_rc sl_err_set(struct sl_err *err, enum sl_rc rc, const char *file, int line,
                      const char *fmt, ...) SL_PRINTF(5, 6);
/* Put "context: " before the message; returns err's code, SL_INTERNAL when it had none. */
enum sl_rc sl_err_wrap(struct sl_err *err, const char *fmt, ...) SL_PRINTF(2, 3);
/* As sl_err_set, with the top of libcrypto's error queue added, and the queue emptied. */
enum sl_rc sl_err_openssl(struct sl_err *err, enum sl_rc rc, const char *file, int line,
                          const char *fmt, ...) SL_PRINTF(5, 6);

/* Their value is written out, so that compilers and analysers know that it is no success. */
#define SL_FAIL(err, rc, ...) \
    ((void)sl_err_set((err), (rc), __FILE__, __LINE__, __VA_ARGS__), (enum sl_rc)(rc))
#define SL_FAIL_SSL(err, rc, ...) \
    ((void)sl_err_openssl((err), (rc), __FILE__, __LINE__, __VA_ARGS__), (enum sl_rc)(rc))
#define SL_FAIL_MEM(err)  SL_FAIL((err), SL_NO_MEMORY, "out of memory")
#define SL_WRAP(err, ...) sl_err_wrap((err), __VA_ARGS__)

/* Return early on failure. */
#define SL_TRY(call)                 \
    do {                             \
        enum sl_rc try_rc_ = (call); \
        if (try_rc_ != SL_OK)        \
            return try_rc_;          \
    } while (0)

#endif
