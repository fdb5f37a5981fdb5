/* Clocks, RFC 3339 times and durations; see sealane/time.h. */
#include "sealane/time.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * SL_NS_PER_S + ts.tv_nsec;
}

int64_t sl_clock_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t sl_clock_utc_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t sl_clock_utc_s(void)
{
    return clock_ns(CLOCK_REALTIME) / SL_NS_PER_S;
}

int64_t sl_clock_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

char *sl_time_text(char out[SL_TIME_TEXT], int64_t utc_s)
{
    time_t t = (time_t)utc_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0 ||
        strftime(out, SL_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, SL_TIME_TEXT, "%" PRId64, utc_s);
    return out;
}

/* n digits at *p as a number between min and max; moves *p. */
static bool digits(const char **p, int n, int min, int max, int *out)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        v = v * 10 + (**p - '0');
    }
    *out = v;
    return v >= min && v <= max;
}

static bool epoch_parse(int64_t *utc_s, const char *text)
{
    int64_t v = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 12)
        return false;
    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char)*p))
            return false;
        v = v * 10 + (*p - '0');
    }
    *utc_s = v;
    return true;
}

bool sl_time_parse(int64_t *utc_s, const char *text)
{
    if (!strchr(text, '-'))
        return epoch_parse(utc_s, text);
    struct tm tm = { 0 };
    const char *p = text;
    int year, month;
    if (!digits(&p, 4, 1, 9999, &year) || *p++ != '-' || !digits(&p, 2, 1, 12, &month) ||
        *p++ != '-' || !digits(&p, 2, 1, 31, &tm.tm_mday) || (*p != 'T' && *p != 't') ||
        (p++, !digits(&p, 2, 0, 23, &tm.tm_hour)) || *p++ != ':' ||
        !digits(&p, 2, 0, 59, &tm.tm_min) || *p++ != ':' || !digits(&p, 2, 0, 60, &tm.tm_sec) ||
        (*p != 'Z' && *p != 'z') || p[1])
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    int mday = tm.tm_mday;
    time_t t = timegm(&tm);
    if (tm.tm_mday != mday && tm.tm_sec == 0) /* 30 February came out as a day in March */
        return false;
    *utc_s = t;
    return true;
}

bool sl_duration_parse(int64_t *s, const char *text)
{
    const int64_t max = INT64_C(100) * 366 * 86400;
    int64_t v = 0;
    const char *p = text;
    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p); p++) {
        v = v * 10 + (*p - '0');
        if (v > max)
            return false;
    }
    int64_t unit = 1;
    switch (*p) {
    case 0:
    case 's':
        break;
    case 'm':
        unit = 60;
        break;
    case 'h':
        unit = 3600;
        break;
    case 'd':
        unit = 86400;
        break;
    case 'w':
        unit = 7 * 86400;
        break;
    default:
        return false;
    }
    if ((*p && p[1]) || v > max / unit)
        return false;
    *s = v * unit;
    return true;
}
