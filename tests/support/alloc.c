/* See alloc.h. Linked with --wrap, so that __real_X is the allocator's X. */
#include "support/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
int __real_vasprintf(char **out, const char *fmt, va_list ap);
void __real_free(void *p);

/* What the linker calls in their place. */
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
int __wrap_vasprintf(char **out, const char *fmt, va_list ap);
void __wrap_free(void *p);

static long live;
static unsigned chance;
static uint64_t state;
static bool armed;
static unsigned long failed;

long test_alloc_live(void)
{
    return live;
}

void test_alloc_fail(unsigned per_mille, uint64_t seed)
{
    chance = per_mille;
    state = seed * 2862933555777941757ULL + 3037000493ULL;
    failed = 0;
}

void test_alloc_armed(bool on)
{
    armed = on;
}

unsigned long test_alloc_failed(void)
{
    return failed;
}

static bool fails(void)
{
    if (!armed || !chance)
        return false;
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    if ((state >> 33) % 1000 >= chance)
        return false;
    failed++;
    errno = ENOMEM;
    return true;
}

static void *count(void *p)
{
    live += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : count(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (fails())
        return NULL;
    void *q = __real_realloc(p, n);
    live += q && !p;
    return q;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    if (fails())
        return NULL;
    void *q = __real_reallocarray(p, n, size);
    live += q && !p;
    return q;
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : count(__real_strdup(s));
}

int __wrap_vasprintf(char **out, const char *fmt, va_list ap)
{
    if (fails()) {
        *out = NULL;
        return -1;
    }
    const int n = __real_vasprintf(out, fmt, ap);
    live += n >= 0;
    return n;
}

void __wrap_free(void *p)
{
    live -= p != NULL;
    __real_free(p);
}
