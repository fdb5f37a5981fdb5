/*
 * Address leases in SQLite (sealane/leases.h). Locked exclusively, so that WAL needs no shared memory;
 * synchronous = NORMAL, for a verdict does not wait for a lease.
 */
#include "sealane/leases.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA_VERSION 1

struct sl_leases {
    sqlite3 *db;
    sqlite3_stmt *put, *drop;
};

static enum sl_rc fail(struct sl_leases *s, struct sl_err *err, const char *what)
{
    return SL_FAIL(err, SL_STORE, "address leases: %s: %s (SQLite %d)", what, sqlite3_errmsg(s->db),
                   sqlite3_extended_errcode(s->db));
}

static enum sl_rc exec(struct sl_leases *s, const char *sql, struct sl_err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SL_OK : fail(s, err, sql);
}

static enum sl_rc prepare(struct sl_leases *s, sqlite3_stmt **out, const char *sql,
                          struct sl_err *err)
{
    return sqlite3_prepare_v2(s->db, sql, -1, out, NULL) == SQLITE_OK ? SL_OK : fail(s, err, sql);
}

static enum sl_rc read_version(struct sl_leases *s, int64_t *version, struct sl_err *err)
{
    sqlite3_stmt *st = NULL;
    SL_TRY(prepare(s, &st, "PRAGMA user_version", err));
    const bool row = sqlite3_step(st) == SQLITE_ROW;
    *version = row ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_finalize(st);
    return row ? SL_OK : fail(s, err, "PRAGMA user_version");
}

static enum sl_rc setup(struct sl_leases *s, struct sl_err *err)
{
    int64_t version;
    sqlite3_busy_timeout(s->db, 2000); /* the process before this may be on its way out */
    sqlite3_extended_result_codes(s->db, 1);
    SL_TRY(exec(s, "PRAGMA locking_mode=EXCLUSIVE", err));
    SL_TRY(exec(s, "PRAGMA journal_mode=WAL", err));
    SL_TRY(exec(s, "PRAGMA synchronous=NORMAL", err));
    SL_TRY(exec(s, "PRAGMA trusted_schema=OFF", err));
    SL_TRY(read_version(s, &version, err));
    if (version != 0 && version != SCHEMA_VERSION)
        return SL_FAIL(err, SL_STORE,
                       "address leases: database has schema version %lld, this program knows %d",
                       (long long)version, SCHEMA_VERSION);
    if (version == 0)
        SL_TRY(exec(s,
                    "BEGIN;"
                    "CREATE TABLE lease(addr BLOB PRIMARY KEY, pool TEXT NOT NULL,"
                    " identity TEXT NOT NULL, since INTEGER NOT NULL, ended INTEGER NOT NULL)"
                    " WITHOUT ROWID;"
                    "PRAGMA user_version=1;"
                    "COMMIT",
                    err));
    SL_TRY(prepare(s, &s->put,
                   "INSERT OR REPLACE INTO lease(addr, pool, identity, since, ended)"
                   " VALUES(?, ?, ?, ?, ?)",
                   err));
    return prepare(s, &s->drop, "DELETE FROM lease WHERE addr=?", err);
}

enum sl_rc sl_leases_open(struct sl_leases **out, const char *path, struct sl_err *err)
{
    /* SQLite makes its files with the umask's mode: make ours first, the -wal copies it */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return SL_FAIL(err, SL_STORE, "%s: %m", path);
    close(fd);
    SL_AUTO(sl_leases) *s = calloc(1, sizeof(*s));
    if (!s)
        return SL_FAIL_MEM(err);
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return s->db ? fail(s, err, path) : SL_FAIL_MEM(err);
    if (setup(s, err) != SL_OK)
        return SL_WRAP(err, "%s", path);
    *out = sl_steal(&s);
    return SL_OK;
}

void sl_leases_free(struct sl_leases *s)
{
    if (!s)
        return;
    sqlite3_finalize(s->put);
    sqlite3_finalize(s->drop);
    sqlite3_close(s->db);
    free(s);
}

static enum sl_rc run(struct sl_leases *s, sqlite3_stmt *st, struct sl_err *err)
{
    const int rc = sqlite3_step(st);
    const enum sl_rc out = rc == SQLITE_DONE ? SL_OK : fail(s, err, sqlite3_sql(st));
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return out;
}

static int bind_addr(sqlite3_stmt *st, const struct sl_addr *a)
{
    return sqlite3_bind_blob(st, 1, a->b, (int)sl_addr_len(a), SQLITE_STATIC);
}

enum sl_rc sl_leases_put(struct sl_leases *s, const struct sl_lease *l, struct sl_err *err)
{
    sqlite3_stmt *st = s->put;
    if (bind_addr(st, &l->addr) != SQLITE_OK ||
        sqlite3_bind_text(st, 2, l->pool, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(st, 3, l->identity, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(st, 4, l->since_s) != SQLITE_OK ||
        sqlite3_bind_int64(st, 5, l->ended_s) != SQLITE_OK)
        return fail(s, err, sqlite3_sql(st));
    return run(s, st, err);
}

enum sl_rc sl_leases_drop(struct sl_leases *s, const struct sl_addr *addr, struct sl_err *err)
{
    if (bind_addr(s->drop, addr) != SQLITE_OK)
        return fail(s, err, sqlite3_sql(s->drop));
    return run(s, s->drop, err);
}

static bool read_row(sqlite3_stmt *st, struct sl_lease *out)
{
    const void *p = sqlite3_column_blob(st, 0); /* before _bytes: SQLite's order of calls */
    const int len = sqlite3_column_bytes(st, 0);
    const unsigned char *pool = sqlite3_column_text(st, 1), *id = sqlite3_column_text(st, 2);
    *out = (struct sl_lease){ .pool = (const char *)pool,
                              .identity = (const char *)id,
                              .since_s = sqlite3_column_int64(st, 3),
                              .ended_s = sqlite3_column_int64(st, 4) };
    return p && pool && id && *id && strlen(out->identity) < SL_ID_TEXT &&
           (len == 4 || len == 16) && sl_addr_from_bytes(&out->addr, sl_bytes(p, (size_t)len));
}

enum sl_rc sl_leases_each(struct sl_leases *s, bool (*fn)(void *ctx, const struct sl_lease *lease),
                          void *ctx, struct sl_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc;
    bool ok = true;
    SL_TRY(prepare(s, &st,
                   "SELECT addr, pool, identity, since, ended FROM lease"
                   " ORDER BY ended = 0, ended",
                   err));
    while (ok && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct sl_lease l;
        if (read_row(st, &l))
            ok = fn(ctx, &l);
    }
    enum sl_rc out = !ok                 ? SL_FAIL_MEM(err)
                     : rc == SQLITE_DONE ? SL_OK
                                         : fail(s, err, sqlite3_sql(st));
    sqlite3_finalize(st);
    return out;
}
