/* The log; see sealane/log.h. */
#include "sealane/log.h"

#include "sealane/time.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static const char *log_role = "sealane";
static int log_fd = STDERR_FILENO;
static enum sl_log_level log_max = SL_LOG_INFO;

void sl_log_init(const char *role, int fd, enum sl_log_level max)
{
    log_role = role;
    log_fd = fd;
    log_max = max;
}

enum sl_log_level sl_log_level_get(void)
{
    return log_max;
}

static const char *level_name(enum sl_log_level level)
{
    switch (level) {
    case SL_LOG_ERROR:
        return "error";
    case SL_LOG_WARN:
        return "warn";
    case SL_LOG_INFO:
        return "info";
    case SL_LOG_DEBUG:
        return "debug";
    }
    return "info";
}

/* A line may carry what a peer sent: control characters become '?', so nobody can forge lines. */
static void write_line(enum sl_log_level level, const char *message)
{
    char when[SL_TIME_TEXT], line[LINE_MAX_BYTES];
    int64_t ns = sl_clock_utc_ns();
    sl_time_text(when, ns / SL_NS_PER_S);
    when[strlen(when) - 1] = 0; /* the Z, to put milliseconds before it */
    int n = snprintf(line, sizeof(line) - 1, "%s.%03dZ %-5s %s[%d] %s", when,
                     (int)(ns / SL_NS_PER_MS % 1000), level_name(level), log_role, (int)getpid(),
                     message);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len > sizeof(line) - 2)
        len = sizeof(line) - 2;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[len++] = '\n';
    ssize_t ignored = write(log_fd, line, len); /* nowhere to complain to */
    (void)ignored;
}

void sl_log(enum sl_log_level level, const char *fmt, ...)
{
    if (level > log_max)
        return;
    char message[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    write_line(level, message);
}

void sl_log_err(enum sl_log_level level, const struct sl_err *err, const char *fmt, ...)
{
    if (level > log_max)
        return;
    char message[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1;
    (void)snprintf(message + at, sizeof(message) - at, ": %s: %s", sl_rc_name(err->rc),
                   sl_err_text(err));
    write_line(level, message);
}
