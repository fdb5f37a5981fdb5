/*
 * Time. Cores take it as an argument: UTC in seconds since 1970 for what certificates and records
 * say, a monotonic count in nanoseconds for timers. Only shells call the two clocks below.
 */
#ifndef SEALANE_TIME_H
#define SEALANE_TIME_H

#include "sealane/bytes.h"

#define SL_NS_PER_S  1000000000LL
#define SL_NS_PER_MS 1000000LL

int64_t sl_clock_mono_ns(void); /* CLOCK_MONOTONIC */
int64_t sl_clock_utc_s(void);   /* CLOCK_REALTIME */
int64_t sl_clock_utc_ns(void);
int64_t sl_clock_cpu_ns(void); /* CLOCK_THREAD_CPUTIME_ID, for budgets of work */

#define SL_TIME_TEXT 32
/* "2026-11-23T17:20:30Z" (RFC 3339); returns out, which holds SL_TIME_TEXT bytes. */
char *sl_time_text(char out[SL_TIME_TEXT], int64_t utc_s);
/* RFC 3339 in UTC ("...Z") or seconds since 1970 as digits; false when neither. */
bool sl_time_parse(int64_t *utc_s, const char *text) SL_MUST_USE;
/* "90s", "15m", "4h", "30d", "2w" or bare seconds; false when malformed or over 100 years. */
bool sl_duration_parse(int64_t *s, const char *text) SL_MUST_USE;

#endif
