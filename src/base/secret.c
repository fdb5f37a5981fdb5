/*
 * Secret memory; see sealane/secret.h. Small secrets go to libcrypto's secure heap once
 * sl_secret_process_init has made it; without it, or when it is full, to pages of their own that
 * are locked and left out of core dumps.
 */
#include "sealane/secret.h"

#include <openssl/crypto.h>

#include <errno.h>
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

enum sl_rc sl_secret_init(struct sl_secret *s, size_t len, struct sl_err *err)
{
    if (len == 0 || len > SL_SECRET_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "secret of %zu bytes, expected 1 to %d", len,
                       SL_SECRET_MAX);
    if (CRYPTO_secure_malloc_initialized()) {
        uint8_t *p = OPENSSL_secure_zalloc(len);
        if (p && CRYPTO_secure_allocated(p)) {
            *s = (struct sl_secret){ .p = p, .len = len };
            return SL_OK;
        }
        OPENSSL_secure_free(p);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (len + page - 1) / page * page;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return SL_FAIL_MEM(err);
    (void)mlock(p, size); /* best effort: RLIMIT_MEMLOCK may be small */
    (void)madvise(p, size, MADV_DONTDUMP);
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
        OPENSSL_secure_clear_free(s->p, s->len);
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
