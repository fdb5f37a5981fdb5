/* Errors and reason codes; see sealane/err.h and sealane/reasons.def. */
#include "sealane/err.h"

#include <openssl/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *family, *text;
} reasons[SL_RC_COUNT] = {
    [SL_OK] = { "OK", "OK", "ok" },
#define SL_REASON(name, family, text) [SL_##name] = { #name, #family, text },
#include "sealane/reasons.def"
#undef SL_REASON
};

static size_t reason_index(enum sl_rc rc)
{
    return (unsigned)rc < SL_RC_COUNT ? (size_t)rc : SL_INTERNAL;
}

const char *sl_rc_name(enum sl_rc rc)
{
    return reasons[reason_index(rc)].name;
}

const char *sl_rc_family(enum sl_rc rc)
{
    return reasons[reason_index(rc)].family;
}

const char *sl_rc_text(enum sl_rc rc)
{
    return reasons[reason_index(rc)].text;
}

enum sl_rc sl_rc_from_name(const char *name)
{
    for (size_t i = 0; i < SL_RC_COUNT; i++)
        if (name && strcmp(reasons[i].name, name) == 0)
            return (enum sl_rc)i;
    return SL_RC_COUNT;
}

bool sl_rc_valid(uint32_t v)
{
    return v < SL_RC_COUNT;
}

const char *sl_err_text(const struct sl_err *err)
{
    if (!err)
        return "";
    return err->text[0] ? err->text : sl_rc_text(err->rc);
}

void sl_err_reset(struct sl_err *err)
{
    if (err)
        *err = (struct sl_err){ 0 };
}

static void SL_PRINTF(5, 0) set_v(struct sl_err *err, enum sl_rc rc, const char *file, int line,
                                  const char *fmt, va_list ap)
{
    err->rc = rc;
    err->file = file;
    err->line = line;
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

enum sl_rc sl_err_set(struct sl_err *err, enum sl_rc rc, const char *file, int line,
                      const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        set_v(err, rc, file, line, fmt, ap);
        va_end(ap);
    }
    return rc;
}

/* As much as there is room for: the outermost context and the start of the cause are kept. */
static void append(struct sl_err *err, const char *s)
{
    size_t at = strlen(err->text), n = strnlen(s, sizeof(err->text) - 1 - at);
    memcpy(err->text + at, s, n);
    err->text[at + n] = '\0';
}

enum sl_rc sl_err_wrap(struct sl_err *err, const char *fmt, ...)
{
    if (!err)
        return SL_INTERNAL;
    if (err->rc == SL_OK)
        err->rc = SL_INTERNAL;
    char inner[SL_ERR_TEXT_MAX], context[SL_ERR_TEXT_MAX];
    (void)snprintf(inner, sizeof(inner), "%s", sl_err_text(err));
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    err->text[0] = '\0';
    append(err, context);
    append(err, ": ");
    append(err, inner);
    return err->rc;
}

enum sl_rc sl_err_openssl(struct sl_err *err, enum sl_rc rc, const char *file, int line,
                          const char *fmt, ...)
{
    unsigned long code = ERR_peek_last_error();
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        set_v(err, rc, file, line, fmt, ap);
        va_end(ap);
        const char *why = code ? ERR_reason_error_string(code) : NULL;
        size_t n = strlen(err->text);
        if (why)
            (void)snprintf(err->text + n, sizeof(err->text) - n, " (libcrypto: %s)", why);
    }
    ERR_clear_error();
    return rc;
}
