/*
 * The log of a process: one line per event to stderr (journal) or a descriptor, with level, role
 * and key=value details. Cores never log; they return actions and errors that shells log.
 * Thread-safe: a line is one write(2).
 */
#ifndef SEALANE_LOG_H
#define SEALANE_LOG_H

#include "sealane/err.h"

enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARN, SL_LOG_INFO, SL_LOG_DEBUG };

/* role names the process ("ike"); fd is borrowed and kept open by the caller. */
void sl_log_init(const char *role, int fd, enum sl_log_level max);
enum sl_log_level sl_log_level_get(void);
void sl_log(enum sl_log_level level, const char *fmt, ...) SL_PRINTF(2, 3);
/* fmt, then ": CODE: message" of err. */
void sl_log_err(enum sl_log_level level, const struct sl_err *err, const char *fmt, ...)
    SL_PRINTF(3, 4);

#define sl_error(...) sl_log(SL_LOG_ERROR, __VA_ARGS__)
#define sl_warn(...)  sl_log(SL_LOG_WARN, __VA_ARGS__)
#define sl_info(...)  sl_log(SL_LOG_INFO, __VA_ARGS__)
#define sl_debug(...)                           \
    do {                                        \
        if (sl_log_level_get() >= SL_LOG_DEBUG) \
            sl_log(SL_LOG_DEBUG, __VA_ARGS__);  \
    } while (0)

#endif
