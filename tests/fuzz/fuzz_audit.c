/*
 * The readers of the audit log on any bytes, as a log (first part) and a head (behind the first NUL):
 * they judge and never crash; a log that verifies is left as it is when it is opened.
 */
#include "src/audit/impl.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void remove_dir(void)
{
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    if (system(cmd) != 0)
        fprintf(stderr, "%s was not removed\n", dir);
}

static void put(const char *name, const uint8_t *p, size_t len)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || (len && write(fd, p, len) != (ssize_t)len))
        abort();
    close(fd);
}

static bool each(void *ctx, uint64_t number, const json_t *record, struct sl_bytes line)
{
    (void)record;
    uint64_t *count = ctx;
    ++*count;
    return number != 0 && line.len > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!dir[0]) {
        strcpy(dir, "/dev/shm/sealane-fuzz.XXXXXX");
        if (!mkdtemp(dir))
            abort();
        atexit(remove_dir);
    }
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t log = nul ? (size_t)(nul - data) : size;
    put(AUDIT_LOG, data, log);
    if (nul)
        put(AUDIT_HEAD, nul + 1, size - log - 1);
    else
        put(AUDIT_HEAD, data, 0);

    struct sl_audit_report before, after;
    struct sl_err err = { 0 };
    uint64_t count = 0;
    if (sl_audit_verify(dir, &before, &err) != SL_OK)
        abort();
    (void)!sl_audit_each(dir, 0, each, &count, &err);
    if (before.rc == SL_OK && count != before.records)
        abort();
    struct sl_audit *a = NULL;
    if (sl_audit_open(&a, dir, &err) != SL_OK)
        return 0;
    sl_audit_close(a);
    if (sl_audit_verify(dir, &after, &err) != SL_OK || (before.rc == SL_OK && after.rc != SL_OK) ||
        after.rc == SL_AUDIT_TORN)
        abort();
    return 0;
}
