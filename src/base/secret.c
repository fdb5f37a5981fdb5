/*
 * Secret memory; see sealane/secret.h. A gateway holds hundreds of thousands of small secrets, so they
 * come from chunks of pages that are locked, left out of core dumps and guarded on both sides; a
 * block is wiped when it comes back. Large ones get pages of their own. libcrypto's secure heap is
 * made as well, for what libcrypto itself keeps there; it cannot grow, which is why ours is not it.
 */
#include "sealane/secret.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECURE_HEAP_BYTES (1U << 20)

void sl_wipe(void *p, size_t len)
{
    OPENSSL_cleanse(p, len);
}

enum sl_rc sl_secret_process_init(struct sl_err *err)
{
    const struct rlimit none = { 0, 0 };
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "core dumps cannot be turned off: %s",
                       strerror(errno));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "PR_SET_DUMPABLE: %s", strerror(errno));
    /*
     * Returns 2 when the heap could be made but not locked (RLIMIT_MEMLOCK); it is then still
     * guarded, left out of core dumps and wiped, so that is not a reason to stop.
     */
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, 32);
    return SL_OK;
}

/* ---- chunks ------------------------------------------------------------------------------------ */

#define PAGE_BYTES  4096U /* unit that is cut into blocks of one size; any page size is a multiple */
#define CHUNK_BYTES (64 * PAGE_BYTES)
#define BLOCK_MIN   32U
#define SIZES       7 /* 32 to 2048 bytes */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* A block that is free holds its successor in the list and zeros. */
struct block {
    struct block *next;
};
/* One for the process: an allocator, as malloc is. */
static struct {
    pthread_mutex_t lock;
    struct block *free[SIZES];
    uint8_t *page, *end; /* of the newest chunk: what has not been cut yet */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned size_of(size_t len)
{
    unsigned i = 0;
    while ((size_t)BLOCK_MIN << i < len)
        i++;
    return i;
}

static void protect(void *p, size_t len)
{
    (void)mlock(p, len); /* best effort: RLIMIT_MEMLOCK may be small */
    (void)madvise(p, len, MADV_DONTDUMP);
}

static bool new_chunk(void)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, CHUNK_BYTES + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    if (mmap(p + guard, CHUNK_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        (void)munmap(p, CHUNK_BYTES + 2 * guard);
        return false;
    }
    protect(p + guard, CHUNK_BYTES);
    pool.page = p + guard;
    pool.end = pool.page + CHUNK_BYTES;
    return true;
}

/* Another page in blocks of one size. */
static bool cut(unsigned size)
{
    const size_t len = (size_t)BLOCK_MIN << size;
    if (pool.page == pool.end && !new_chunk())
        return false;
    for (size_t at = PAGE_BYTES; at >= len; at -= len) {
        struct block *b = (struct block *)(void *)(pool.page + at - len);
        b->next = pool.free[size];
        pool.free[size] = b;
        POISON(b, len);
    }
    pool.page += PAGE_BYTES;
    return true;
}

static uint8_t *take(size_t len)
{
    const unsigned size = size_of(len);
    pthread_mutex_lock(&pool.lock);
    struct block *b = pool.free[size] || cut(size) ? pool.free[size] : NULL;
    if (b) {
        UNPOISON(b, (size_t)BLOCK_MIN << size);
        pool.free[size] = b->next;
        b->next = NULL;
    }
    pthread_mutex_unlock(&pool.lock);
    return (uint8_t *)b;
}

static void give_back(uint8_t *p, size_t len)
{
    const unsigned size = size_of(len);
    sl_wipe(p, len);
    struct block *b = (struct block *)(void *)p;
    pthread_mutex_lock(&pool.lock);
    b->next = pool.free[size];
    pool.free[size] = b;
    POISON(b, (size_t)BLOCK_MIN << size);
    pthread_mutex_unlock(&pool.lock);
}

/* ---- secrets ----------------------------------------------------------------------------------- */

enum sl_rc sl_secret_init(struct sl_secret *s, size_t len, struct sl_err *err)
{
    if (len == 0 || len > SL_SECRET_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "secret of %zu bytes, expected 1 to %d", len,
                       SL_SECRET_MAX);
    if (len <= (size_t)BLOCK_MIN << (SIZES - 1)) {
        uint8_t *p = take(len);
        if (!p)
            return SL_FAIL_MEM(err);
        *s = (struct sl_secret){ .p = p, .len = len };
        return SL_OK;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (len + page - 1) / page * page;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return SL_FAIL_MEM(err);
    protect(p, size);
    *s = (struct sl_secret){ .p = p, .len = len, .mapped = size };
    return SL_OK;
}

enum sl_rc sl_secret_copy(struct sl_secret *s, struct sl_bytes v, struct sl_err *err)
{
    SL_TRY(sl_secret_init(s, v.len, err));
    memcpy(s->p, v.p, v.len);
    return SL_OK;
}

void sl_secret_clear(struct sl_secret *s)
{
    if (s->mapped) {
        sl_wipe(s->p, s->len);
        (void)munmap(s->p, s->mapped);
    } else if (s->p) {
        give_back(s->p, s->len);
    }
    *s = (struct sl_secret){ 0 };
}

void sl_secret_move(struct sl_secret *to, struct sl_secret *from)
{
    if (to == from)
        return;
    sl_secret_clear(to);
    *to = *from;
    *from = (struct sl_secret){ 0 };
}

bool sl_secret_equal(const struct sl_secret *a, const struct sl_secret *b)
{
    return sl_ct_equal(sl_secret_bytes(a), sl_secret_bytes(b));
}
