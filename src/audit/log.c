/*
 * Writing the audit log: append, group commit, and what is done about the tail when it is opened.
 *
 * Records are queued in memory, written in one piece behind the last durable byte and made durable
 * with fdatasync; then the head is overwritten in place. The head is not synced itself: it may lag
 * behind the log after a loss of power, but never runs ahead of it.
 */
#include "src/audit/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUEUE_MAX     ((size_t)4 << 20)
#define TORN_KEPT_MAX ((uint64_t)16 << 20)

struct sl_audit {
    char *dir;
    int fd, head_fd;
    uint64_t size;         /* durable bytes of the log */
    struct audit_point at; /* after the last queued record */
    struct audit_point synced;
    struct sl_buf queue;
    bool broken; /* the file could not be brought back to its durable size */
};

/* What was found wrong with the log when it was opened. */
struct found {
    bool head_missing, head_bad;
    uint64_t torn_at, torn_bytes;      /* torn_bytes 0: nothing is torn */
    uint64_t missing_from, missing_to; /* missing_from 0: none */
    char torn_file[64];
};

static enum sl_rc write_all(int fd, struct sl_bytes v, uint64_t at)
{
    for (size_t done = 0; done < v.len;) {
        ssize_t n = pwrite(fd, v.p + done, v.len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SL_IO;
        done += (size_t)n;
    }
    return SL_OK;
}

static enum sl_rc write_head(struct sl_audit *a)
{
    char text[AUDIT_HEAD_LEN + 1];
    struct audit_head h = { .at = a->synced, .size = a->size };
    audit_head_write(text, &h);
    return write_all(a->head_fd, sl_bytes(text, AUDIT_HEAD_LEN), 0);
}

/* ---- the tail ------------------------------------------------------------------------------------------ */
static enum sl_rc seek_lines(struct audit_lines *l, int fd, uint64_t offset, struct sl_err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return SL_FAIL(err, SL_IO, "audit log: %s", strerror(errno));
    SL_TRY(audit_lines_open(l, copy, err));
    if (fseeko(l->f, (off_t)offset, SEEK_SET) != 0) {
        audit_lines_close(l);
        return SL_FAIL(err, SL_IO, "audit log: %s", strerror(errno));
    }
    l->next = offset;
    return SL_OK;
}

/*
 * Behind the head only records count that continue the chain: what does not was never acknowledged.
 * Without a head every whole line is kept, for `verify` to judge.
 */
static enum sl_rc scan(struct sl_audit *a, uint64_t from, bool chained, uint64_t size,
                       struct found *found, struct sl_err *err)
{
    struct audit_lines l;
    SL_TRY(seek_lines(&l, a->fd, from, err));
    enum audit_got got;
    struct sl_bytes line;
    uint64_t good = from;
    while ((got = audit_lines_next(&l, &line)) == AUDIT_GOT_LINE) {
        struct audit_point at;
        char prev[AUDIT_HASH_HEX + 1];
        json_t *record = NULL;
        bool ok = audit_line_read(line, &at, prev, &record, NULL) == SL_OK;
        json_decref(record);
        bool next =
            ok && at.n == a->at.n + 1 && strcmp(prev, a->at.n ? a->at.hash : AUDIT_ZERO) == 0;
        if (chained && !next)
            break;
        if (next || (ok && at.n > a->at.n))
            a->at = at;
        good = l.next;
    }
    audit_lines_close(&l);
    if (got == AUDIT_GOT_ERROR)
        return SL_FAIL(err, SL_IO, "%s/%s: cannot be read", a->dir, AUDIT_LOG);
    a->size = good;
    found->torn_at = good;
    found->torn_bytes = size - good;
    return SL_OK;
}

/* Is head.size a place where a line ends? */
static bool ends_line(int fd, uint64_t size)
{
    char c;
    return size == 0 || (pread(fd, &c, 1, (off_t)size - 1) == 1 && c == '\n');
}

static enum sl_rc find_tail(struct sl_audit *a, struct found *found, struct sl_err *err)
{
    struct audit_head head = { 0 };
    struct stat st;
    if (fstat(a->fd, &st) != 0)
        return SL_FAIL(err, SL_IO, "%s/%s: %s", a->dir, AUDIT_LOG, strerror(errno));
    uint64_t size = (uint64_t)st.st_size;
    struct sl_err head_err = { 0 };
    enum sl_rc rc = audit_head_load(&head, a->dir, &head_err);
    if (rc == SL_IO)
        return SL_FAIL(err, rc, "%s", sl_err_text(&head_err));
    found->head_missing = rc == SL_NOT_FOUND && size > 0;
    found->head_bad = rc == SL_AUDIT_EDITED;
    if (rc == SL_OK && head.size <= size && ends_line(a->fd, head.size)) {
        a->at = head.at;
        return scan(a, head.size, true, size, found, err);
    }
    SL_TRY(scan(a, 0, false, size, found, err));
    if (rc == SL_OK && head.at.n >= a->at.n) {
        found->missing_from = a->at.n + 1;
        found->missing_to = head.at.n;
        a->at = head.at; /* the gap stays visible */
    }
    return SL_OK;
}

/* ---- repair ---------------------------------------------------------------------------------------------- */
static enum sl_rc keep_torn(struct sl_audit *a, int dir_fd, int64_t utc_ns, struct found *found,
                            struct sl_err *err)
{
    char stamp[SL_TIME_TEXT];
    sl_time_text(stamp, utc_ns / SL_NS_PER_S);
    int fd = -1;
    for (unsigned i = 0; i < 100 && fd < 0; i++) {
        snprintf(found->torn_file, sizeof(found->torn_file), "torn-%s.%u", stamp, i);
        fd = openat(dir_fd, found->torn_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %s", a->dir, found->torn_file, strerror(errno));
    uint64_t left = found->torn_bytes < TORN_KEPT_MAX ? found->torn_bytes : TORN_KEPT_MAX, at = 0;
    bool ok = true;
    while (ok && left > 0) {
        uint8_t chunk[16384];
        ssize_t n = pread(a->fd, chunk, left < sizeof(chunk) ? (size_t)left : sizeof(chunk),
                          (off_t)(found->torn_at + at));
        ok = n > 0 && write_all(fd, sl_bytes(chunk, (size_t)n), at) == SL_OK;
        at += ok ? (uint64_t)n : 0;
        left -= ok ? (uint64_t)n : 0;
    }
    ok = ok && fsync(fd) == 0;
    close(fd);
    if (!ok || fsync(dir_fd) != 0)
        return SL_FAIL(err, SL_AUDIT_WRITE,
                       "%s: the torn end of the log could not be moved to %s: %s", a->dir,
                       found->torn_file, strerror(errno));
    return SL_OK;
}

static enum sl_rc record_repair(struct sl_audit *a, const struct found *found, int64_t utc_ns,
                                struct sl_err *err)
{
    json_t *body = json_object(), *what = json_array();
    int bad = 0;
    if (found->torn_bytes) {
        bad |= json_array_append_new(
            what, json_string("the last record was incomplete and was moved away"));
        bad |= json_object_set_new(body, "reason", json_string(sl_rc_name(SL_AUDIT_TORN)));
        bad |= json_object_set_new(body, "torn_file", json_string(found->torn_file));
        bad |= json_object_set_new(body, "torn_bytes", json_integer((json_int_t)found->torn_bytes));
    }
    if (found->missing_from) {
        bad |= json_array_append_new(what, json_string("records that were durable are missing"));
        bad |= json_object_set_new(body, "reason", json_string(sl_rc_name(SL_AUDIT_MISSING)));
        bad |= json_object_set_new(body, "missing_from",
                                   json_integer((json_int_t)found->missing_from));
        bad |= json_object_set_new(body, "missing_to", json_integer((json_int_t)found->missing_to));
    }
    if (found->head_missing)
        bad |= json_array_append_new(what, json_string("the head was missing"));
    if (found->head_bad)
        bad |= json_array_append_new(what, json_string("the head could not be read"));
    bad |= json_object_set_new(body, "found", what);
    enum sl_rc rc =
        bad ? SL_FAIL_MEM(err) : audit_line_write(&a->queue, &a->at, "repair", body, utc_ns, err);
    json_decref(body);
    return rc;
}

static enum sl_rc open_files(struct sl_audit *a, int *dir_fd, struct sl_err *err)
{
    if (mkdir(a->dir, 0700) != 0 && errno != EEXIST)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s: %s", a->dir, strerror(errno));
    *dir_fd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*dir_fd < 0)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s: %s", a->dir, strerror(errno));
    a->fd = openat(*dir_fd, AUDIT_LOG, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (a->fd < 0)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %s", a->dir, AUDIT_LOG, strerror(errno));
    /* Belongs to the open file, so it lasts as long as any descriptor of it; verify asks for it. */
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(a->fd, F_OFD_SETLK, &lock) != 0)
        return SL_FAIL(err, SL_EXISTS, "%s/%s: another process is writing it", a->dir, AUDIT_LOG);
    return SL_OK;
}

static enum sl_rc open_head(struct sl_audit *a, int dir_fd, bool fresh, struct sl_err *err)
{
    a->head_fd = openat(dir_fd, AUDIT_HEAD, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (a->head_fd < 0)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %s", a->dir, AUDIT_HEAD, strerror(errno));
    /* Written over, never emptied first: killed in between, the log would seem to have lost its head. */
    if (fresh && (write_head(a) != SL_OK || ftruncate(a->head_fd, AUDIT_HEAD_LEN) != 0 ||
                  fsync(a->head_fd) != 0 || fsync(dir_fd) != 0))
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %s", a->dir, AUDIT_HEAD, strerror(errno));
    return SL_OK;
}

static enum sl_rc open_log(struct sl_audit *a, int *dir_fd, struct sl_err *err)
{
    struct found found = { 0 };
    int64_t now = sl_clock_utc_ns();
    SL_TRY(open_files(a, dir_fd, err));
    SL_TRY(find_tail(a, &found, err));
    if (found.torn_bytes)
        SL_TRY(keep_torn(a, *dir_fd, now, &found, err));
    bool wrong = found.torn_bytes || found.missing_from || found.head_missing || found.head_bad;
    if (wrong)
        SL_TRY(record_repair(a, &found, now, err));
    else
        a->synced = a->at;
    /*
     * Nothing is forgotten by a crash in here: a head that names lost records stays until the record
     * of their loss is durable, and that record is written over the torn end before the rest of it
     * is cut off.
     */
    SL_TRY(open_head(a, *dir_fd, !wrong, err));
    if (!wrong)
        return SL_OK;
    if (write_all(a->fd, sl_buf_bytes(&a->queue), a->size) != SL_OK ||
        ftruncate(a->fd, (off_t)(a->size + a->queue.len)) != 0 ||
        ftruncate(a->head_fd, AUDIT_HEAD_LEN) != 0)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %s", a->dir, AUDIT_LOG, strerror(errno));
    return sl_audit_sync(a, err);
}

enum sl_rc sl_audit_open(struct sl_audit **out, const char *dir, struct sl_err *err)
{
    struct sl_audit *a = calloc(1, sizeof(*a));
    if (!a || !(a->dir = strdup(dir))) {
        free(a);
        return SL_FAIL_MEM(err);
    }
    a->fd = a->head_fd = -1;
    int dir_fd = -1;
    enum sl_rc rc = open_log(a, &dir_fd, err);
    if (dir_fd >= 0)
        close(dir_fd);
    if (rc != SL_OK) {
        sl_buf_clear(&a->queue); /* a repair that failed is found again at the next start */
        sl_audit_close(a);
        return rc;
    }
    *out = a;
    return SL_OK;
}

void sl_audit_close(struct sl_audit *a)
{
    if (!a)
        return;
    struct sl_err ignored = { 0 }; /* nobody is left to be told; who needs a record syncs it */
    (void)!sl_audit_sync(a, &ignored);
    if (a->fd >= 0)
        close(a->fd);
    if (a->head_fd >= 0)
        close(a->head_fd);
    sl_buf_clear(&a->queue);
    free(a->dir);
    free(a);
}

/* ---- append and sync ---------------------------------------------------------------------------------------- */
enum sl_rc sl_audit_append(struct sl_audit *a, const char *kind, const json_t *body, int64_t utc_ns,
                           uint64_t *number, struct sl_err *err)
{
    if (strcmp(kind, "repair") == 0 || strcmp(kind, "checkpoint") == 0)
        return SL_FAIL(err, SL_USAGE, "audit record of kind %s: the kind is reserved", kind);
    if (a->queue.len > QUEUE_MAX)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %zu bytes wait already to be written", a->dir,
                       AUDIT_LOG, a->queue.len);
    SL_TRY(audit_line_write(&a->queue, &a->at, kind, body, utc_ns, err));
    *number = a->at.n;
    return SL_OK;
}

bool sl_audit_dirty(const struct sl_audit *a)
{
    return a->queue.len > 0;
}

enum sl_rc sl_audit_sync(struct sl_audit *a, struct sl_err *err)
{
    if (a->broken)
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: an earlier failure left it in an unknown state",
                       a->dir, AUDIT_LOG);
    if (!a->queue.len)
        return SL_OK;
    if (write_all(a->fd, sl_buf_bytes(&a->queue), a->size) != SL_OK || fdatasync(a->fd) != 0) {
        int why = errno;
        /* After a failed sync the kernel may forget what was not written: start again from the
         * durable size, with the queue as it was. */
        a->broken = ftruncate(a->fd, (off_t)a->size) != 0;
        return SL_FAIL(err, SL_AUDIT_WRITE, "%s/%s: %s", a->dir, AUDIT_LOG, strerror(why));
    }
    a->size += a->queue.len;
    a->synced = a->at;
    sl_buf_clear(&a->queue);
    (void)write_head(a); /* an old head is still true; the next sync writes it again */
    return SL_OK;
}
