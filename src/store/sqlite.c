/*
 * The store of one machine: SQLite in WAL mode with synchronous=FULL, so that a transaction that
 * returned is on disk and one that did not is not there at all, whenever the process is killed.
 *
 * This file holds all SQL. What the rows mean is decided by enroll/ca.c.
 */
#include "sealane/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA_VERSION 1

struct sl_store {
    sqlite3 *db;
};

/* Times are UTC seconds; 0 or NULL says "not". Serials are hex texts, digests blobs. */
static const char schema[] =
    "CREATE TABLE value(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE challenge(hash BLOB PRIMARY KEY, name TEXT NOT NULL, san BLOB NOT NULL,"
    " created INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE request(id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL,"
    " kind TEXT NOT NULL, transaction_id TEXT NOT NULL, digest BLOB NOT NULL,"
    " signer BLOB NOT NULL, spki BLOB NOT NULL, subject BLOB NOT NULL, san BLOB NOT NULL,"
    " subject_text TEXT NOT NULL, source TEXT NOT NULL, old_serial TEXT NOT NULL,"
    " created INTEGER NOT NULL, decided INTEGER NOT NULL, reason TEXT NOT NULL,"
    " serial TEXT NOT NULL, UNIQUE(transaction_id, digest));"
    "CREATE INDEX request_state ON request(state, id);"
    "CREATE TABLE certificate(n INTEGER PRIMARY KEY AUTOINCREMENT, serial TEXT NOT NULL UNIQUE,"
    " state INTEGER NOT NULL, kind TEXT NOT NULL, request INTEGER NOT NULL, der BLOB NOT NULL,"
    " subject_text TEXT NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,"
    " reserved INTEGER NOT NULL, issued INTEGER NOT NULL, revoked INTEGER NOT NULL,"
    " reason INTEGER NOT NULL);"
    "CREATE INDEX certificate_state ON certificate(state, n);"
    "CREATE INDEX certificate_request ON certificate(request);"
    "CREATE TABLE crl(issuer TEXT NOT NULL, number INTEGER NOT NULL, der BLOB NOT NULL,"
    " this_update INTEGER NOT NULL, next_update INTEGER NOT NULL,"
    " PRIMARY KEY(issuer, number)) WITHOUT ROWID;"
    "CREATE TABLE crl_number(issuer TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;";

/* ---- statements ---------------------------------------------------------------------------------- */

static enum sl_rc fail(struct sl_store *s, struct sl_err *err, const char *what)
{
    return SL_FAIL(err, SL_STORE, "%s: %s (SQLite %d)", what, sqlite3_errmsg(s->db),
                   sqlite3_extended_errcode(s->db));
}

static void finalize(sqlite3_stmt **st)
{
    sqlite3_finalize(*st);
}
#define AUTO_STMT __attribute__((cleanup(finalize))) sqlite3_stmt

/*
 * Prepares sql and binds its parameters: 'i' int64_t, 't' const char * (NULL as ""), 'b' struct
 * sl_bytes. The bound memory must outlive the statement.
 */
static enum sl_rc prepare(struct sl_store *s, sqlite3_stmt **out, struct sl_err *err,
                          const char *sql, const char *types, ...)
{
    AUTO_STMT *st = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
        return fail(s, err, sql);
    va_list ap;
    va_start(ap, types);
    int rc = SQLITE_OK;
    for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
        if (types[i - 1] == 'i') {
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (types[i - 1] == 't') {
            const char *t = va_arg(ap, const char *);
            rc = sqlite3_bind_text(st, i, t ? t : "", -1, SQLITE_STATIC);
        } else {
            struct sl_bytes b = va_arg(ap, struct sl_bytes);
            /* a NULL pointer would be bound as SQL NULL */
            rc = sqlite3_bind_blob64(st, i, b.len ? (const void *)b.p : "", b.len, SQLITE_STATIC);
        }
    }
    va_end(ap);
    if (rc != SQLITE_OK)
        return fail(s, err, sql);
    *out = sl_steal(&st);
    return SL_OK;
}

/* Steps once: SL_OK with a row, SL_NOT_FOUND without, SL_EXISTS where a unique value was taken. */
static enum sl_rc step(struct sl_store *s, sqlite3_stmt *st, struct sl_err *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return SL_OK;
    if (rc == SQLITE_DONE)
        return SL_NOT_FOUND;
    if ((rc & 0xff) == SQLITE_CONSTRAINT)
        return SL_FAIL(err, SL_EXISTS, "%s", sqlite3_errmsg(s->db));
    return fail(s, err, sqlite3_sql(st));
}

/* Runs a statement that returns nothing. */
static enum sl_rc done(struct sl_store *s, sqlite3_stmt *st, struct sl_err *err)
{
    enum sl_rc rc = step(s, st, err);
    if (rc == SL_OK)
        return SL_FAIL(err, SL_STORE, "%s returned a row", sqlite3_sql(st));
    return rc == SL_NOT_FOUND ? SL_OK : rc;
}

static enum sl_rc exec(struct sl_store *s, const char *sql, struct sl_err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SL_OK : fail(s, err, sql);
}

static struct sl_bytes col_blob(sqlite3_stmt *st, int i)
{
    const void *p = sqlite3_column_blob(st, i); /* before _bytes: SQLite's order of calls */
    return sl_bytes(p, (size_t)sqlite3_column_bytes(st, i));
}

static const char *col_text(sqlite3_stmt *st, int i)
{
    const unsigned char *t = sqlite3_column_text(st, i);
    return t ? (const char *)t : "";
}

/* A digest column, false when it has another length (a database edited by hand). */
static bool col_hash(sqlite3_stmt *st, int i, uint8_t out[SL_STORE_HASH])
{
    struct sl_bytes b = col_blob(st, i);
    if (b.len != SL_STORE_HASH)
        return false;
    memcpy(out, b.p, SL_STORE_HASH);
    return true;
}

static bool col_serial(sqlite3_stmt *st, int i, char out[SL_SERIAL_TEXT])
{
    return snprintf(out, SL_SERIAL_TEXT, "%s", col_text(st, i)) < SL_SERIAL_TEXT;
}

static struct sl_bytes hash_bytes(const uint8_t hash[SL_STORE_HASH])
{
    return sl_bytes(hash, SL_STORE_HASH);
}

/*
 * A transaction around several statements. IMMEDIATE takes the write lock first, so that what is
 * read inside stays true until COMMIT, whoever else has the file open.
 */
static enum sl_rc begin(struct sl_store *s, struct sl_err *err)
{
    return exec(s, "BEGIN IMMEDIATE", err);
}

/* Commits when rc is SL_OK, else undoes everything and hands rc on. */
static enum sl_rc finish(struct sl_store *s, enum sl_rc rc, struct sl_err *err)
{
    if (rc == SL_OK)
        rc = exec(s, "COMMIT", err);
    if (rc != SL_OK)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* no transaction: nothing to undo */
    return rc;
}

/* ---- opening ------------------------------------------------------------------------------------- */

static enum sl_rc setup(struct sl_store *s, struct sl_err *err)
{
    sqlite3_busy_timeout(s->db, 5000);
    sqlite3_extended_result_codes(s->db, 1);
    SL_TRY(exec(s, "PRAGMA journal_mode=WAL", err));
    SL_TRY(exec(s, "PRAGMA synchronous=FULL", err));
    SL_TRY(exec(s, "PRAGMA secure_delete=ON", err));
    SL_TRY(exec(s, "PRAGMA trusted_schema=OFF", err));
    SL_TRY(begin(s, err));
    AUTO_STMT *st = NULL;
    enum sl_rc rc = prepare(s, &st, err, "PRAGMA user_version", "");
    if (rc == SL_OK)
        rc = step(s, st, err);
    int64_t version = rc == SL_OK ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_reset(st);
    if (version == 0) {
        rc = exec(s, schema, err);
        char sql[64];
        snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", SCHEMA_VERSION);
        if (rc == SL_OK)
            rc = exec(s, sql, err);
    } else if (version > 0 && version != SCHEMA_VERSION) {
        rc = SL_FAIL(err, SL_STORE, "database has schema version %lld, this program knows %d",
                     (long long)version, SCHEMA_VERSION);
    }
    /* A reservation that is open now belongs to a process that ended before it had signed and
       recorded; that serial is never handed out again. */
    if (rc == SL_OK) {
        AUTO_STMT *up = NULL;
        rc = prepare(s, &up, err, "UPDATE certificate SET state=? WHERE state=?", "ii",
                     (int64_t)SL_CERT_ABANDONED, (int64_t)SL_CERT_RESERVED);
        if (rc == SL_OK)
            rc = done(s, up, err);
    }
    return finish(s, rc, err);
}

enum sl_rc sl_store_open(struct sl_store **out, const char *path, struct sl_err *err)
{
    /* SQLite makes its files with the umask's mode: make ours first, -wal and -shm copy it */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return SL_FAIL(err, SL_STORE, "%s: %m", path);
    close(fd);
    SL_AUTO(sl_store) *s = calloc(1, sizeof(*s));
    if (!s)
        return SL_FAIL_MEM(err);
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) !=
        SQLITE_OK) {
        if (!s->db)
            return SL_FAIL_MEM(err);
        return fail(s, err, path);
    }
    if (setup(s, err) != SL_OK)
        return SL_WRAP(err, "%s", path);
    *out = sl_steal(&s);
    return SL_OK;
}

void sl_store_free(struct sl_store *s)
{
    if (!s)
        return;
    sqlite3_close(s->db);
    free(s);
}

/* ---- named values --------------------------------------------------------------------------------- */

static enum sl_rc put_value(struct sl_store *s, const struct sl_store_value *v, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "INSERT OR REPLACE INTO value(name, value) VALUES(?, ?)", "tb",
                   v->name, v->value));
    return done(s, st, err);
}

enum sl_rc sl_store_values_put(struct sl_store *s, const struct sl_store_value *v, size_t n,
                               struct sl_err *err)
{
    SL_TRY(begin(s, err));
    enum sl_rc rc = SL_OK;
    for (size_t i = 0; i < n && rc == SL_OK; i++)
        rc = put_value(s, &v[i], err);
    return finish(s, rc, err);
}

enum sl_rc sl_store_value_get(struct sl_store *s, const char *name, struct sl_buf *out,
                              struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT value FROM value WHERE name=?", "t", name));
    enum sl_rc rc = step(s, st, err);
    if (rc == SL_NOT_FOUND)
        return SL_FAIL(err, rc, "no value %s in the store", name);
    SL_TRY(rc);
    return sl_buf_put(out, col_blob(st, 0)) ? SL_OK : SL_FAIL_MEM(err);
}

/* ---- challenges ------------------------------------------------------------------------------------ */

enum sl_rc sl_store_challenge_add(struct sl_store *s, const struct sl_store_challenge *c,
                                  struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "INSERT INTO challenge(hash, name, san, created, expires, used)"
                   " VALUES(?, ?, ?, ?, ?, ?)",
                   "btbiii", hash_bytes(c->hash), c->name, c->san, c->created, c->expires,
                   c->used));
    return done(s, st, err);
}

static enum sl_rc look(struct sl_store *s, sqlite3_stmt **out, const uint8_t hash[SL_STORE_HASH],
                       int64_t now, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT name, san, expires, used FROM challenge WHERE hash=?", "b",
                   hash_bytes(hash)));
    enum sl_rc rc = step(s, st, err);
    if (rc == SL_NOT_FOUND)
        return SL_FAIL(err, SL_CA_CHALLENGE_WRONG, "challenge is unknown");
    SL_TRY(rc);
    int64_t expires = sqlite3_column_int64(st, 2), used = sqlite3_column_int64(st, 3);
    if (used)
        return SL_FAIL(err, SL_CA_CHALLENGE_USED, "challenge for %s was used %lld s ago",
                       col_text(st, 0), (long long)(now - used));
    if (now >= expires)
        return SL_FAIL(err, SL_CA_CHALLENGE_EXPIRED, "challenge for %s expired %lld s ago",
                       col_text(st, 0), (long long)(now - expires));
    *out = sl_steal(&st);
    return SL_OK;
}

enum sl_rc sl_store_challenge_look(struct sl_store *s, const uint8_t hash[SL_STORE_HASH],
                                   int64_t now, struct sl_buf *name, struct sl_buf *san,
                                   struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(look(s, &st, hash, now, err));
    if (!sl_buf_put_str(name, col_text(st, 0)) || !sl_buf_nul(name) ||
        !sl_buf_put(san, col_blob(st, 1)))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

static enum sl_rc use_challenge(struct sl_store *s, const uint8_t hash[SL_STORE_HASH], int64_t now,
                                struct sl_err *err)
{
    AUTO_STMT *seen = NULL;
    SL_TRY(look(s, &seen, hash, now, err));
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "UPDATE challenge SET used=? WHERE hash=? AND used=0", "ib",
                   now ? now : 1, hash_bytes(hash)));
    return done(s, st, err);
}

enum sl_rc sl_store_challenge_purge(struct sl_store *s, int64_t before, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "DELETE FROM challenge WHERE expires<?", "i", before));
    return done(s, st, err);
}

/* ---- requests ------------------------------------------------------------------------------------- */

const char *sl_request_state_text(enum sl_request_state state)
{
    switch (state) {
    case SL_REQUEST_PENDING:
        return "pending";
    case SL_REQUEST_APPROVED:
        return "approved";
    case SL_REQUEST_ISSUED:
        return "issued";
    case SL_REQUEST_REJECTED:
        return "rejected";
    }
    return "unknown";
}

static enum sl_rc check_pending(struct sl_store *s, size_t max_pending, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT count(*) FROM request WHERE state=?", "i",
                   (int64_t)SL_REQUEST_PENDING));
    SL_TRY(step(s, st, err));
    if ((size_t)sqlite3_column_int64(st, 0) >= max_pending)
        return SL_FAIL(err, SL_UNAVAILABLE, "%zu requests wait for approval already", max_pending);
    return SL_OK;
}

static enum sl_rc insert_request(struct sl_store *s, const struct sl_request *r, int64_t *id,
                                 struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "INSERT INTO request(state, kind, transaction_id, digest, signer, spki, subject,"
                   " san, subject_text, source, old_serial, created, decided, reason, serial)"
                   " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
                   "ittbbbbbtttiit", (int64_t)r->state, r->kind, r->transaction_id,
                   hash_bytes(r->digest), hash_bytes(r->signer), r->spki, r->subject, r->san,
                   r->subject_text, r->source, r->old_serial, r->created, r->decided, r->reason));
    SL_TRY(done(s, st, err));
    *id = sqlite3_last_insert_rowid(s->db);
    return SL_OK;
}

enum sl_rc sl_store_request_add(struct sl_store *s, const struct sl_request *r,
                                const uint8_t *challenge, size_t max_pending, int64_t *id,
                                struct sl_err *err)
{
    SL_TRY(begin(s, err));
    int64_t got = 0;
    enum sl_rc rc = SL_OK;
    if (r->state == SL_REQUEST_PENDING)
        rc = check_pending(s, max_pending, err);
    if (rc == SL_OK)
        rc = insert_request(s, r, &got, err);
    if (rc == SL_OK && challenge)
        rc = use_challenge(s, challenge, r->created, err);
    SL_TRY(finish(s, rc, err));
    *id = got;
    return SL_OK;
}

#define REQUEST_COLUMNS                                                                          \
    "id, state, kind, transaction_id, digest, signer, spki, subject, san, subject_text, source," \
    " old_serial, created, decided, reason, serial"

/* Calls fn for each row; SL_NOT_FOUND when there was none. */
static enum sl_rc each_request(struct sl_store *s, sqlite3_stmt *st, sl_request_fn *fn, void *ctx,
                               struct sl_err *err)
{
    bool any = false;
    enum sl_rc rc;
    while ((rc = step(s, st, err)) == SL_OK) {
        any = true;
        struct sl_request r = {
            .id = sqlite3_column_int64(st, 0),
            .state = (enum sl_request_state)sqlite3_column_int(st, 1),
            .kind = col_text(st, 2),
            .transaction_id = col_text(st, 3),
            .spki = col_blob(st, 6),
            .subject = col_blob(st, 7),
            .san = col_blob(st, 8),
            .subject_text = col_text(st, 9),
            .source = col_text(st, 10),
            .old_serial = col_text(st, 11),
            .created = sqlite3_column_int64(st, 12),
            .decided = sqlite3_column_int64(st, 13),
            .reason = col_text(st, 14),
        };
        if (!col_hash(st, 4, r.digest) || !col_hash(st, 5, r.signer) ||
            !col_serial(st, 15, r.serial))
            return SL_FAIL(err, SL_STORE, "request %lld is damaged in the database",
                           (long long)r.id);
        SL_TRY(fn(ctx, &r, err));
    }
    return rc == SL_NOT_FOUND && any ? SL_OK : rc;
}

enum sl_rc sl_store_request_find(struct sl_store *s, const char *transaction_id,
                                 const uint8_t digest[SL_STORE_HASH], sl_request_fn *fn, void *ctx,
                                 struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "SELECT " REQUEST_COLUMNS " FROM request WHERE transaction_id=? AND digest=?",
                   "tb", transaction_id, hash_bytes(digest)));
    enum sl_rc rc = each_request(s, st, fn, ctx, err);
    return rc == SL_NOT_FOUND ? SL_FAIL(err, rc, "no such request") : rc;
}

enum sl_rc sl_store_request_get(struct sl_store *s, int64_t id, sl_request_fn *fn, void *ctx,
                                struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT " REQUEST_COLUMNS " FROM request WHERE id=?", "i", id));
    enum sl_rc rc = each_request(s, st, fn, ctx, err);
    return rc == SL_NOT_FOUND ? SL_FAIL(err, rc, "no request %lld", (long long)id) : rc;
}

enum sl_rc sl_store_request_poll(struct sl_store *s, const char *transaction_id,
                                 const uint8_t signer[SL_STORE_HASH], sl_request_fn *fn, void *ctx,
                                 struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "SELECT " REQUEST_COLUMNS " FROM request WHERE transaction_id=? AND signer=?"
                   " ORDER BY id DESC LIMIT 1",
                   "tb", transaction_id, hash_bytes(signer)));
    enum sl_rc rc = each_request(s, st, fn, ctx, err);
    return rc == SL_NOT_FOUND ? SL_FAIL(err, rc, "no request of this transaction from this key")
                              : rc;
}

enum sl_rc sl_store_request_each(struct sl_store *s, enum sl_request_state state, sl_request_fn *fn,
                                 void *ctx, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "SELECT " REQUEST_COLUMNS " FROM request WHERE ?1=0 OR state=?1 ORDER BY id",
                   "i", (int64_t)state));
    enum sl_rc rc = each_request(s, st, fn, ctx, err);
    return rc == SL_NOT_FOUND ? SL_OK : rc;
}

static enum sl_rc request_state(struct sl_store *s, int64_t id, enum sl_request_state *state,
                                struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT state FROM request WHERE id=?", "i", id));
    enum sl_rc rc = step(s, st, err);
    if (rc == SL_NOT_FOUND)
        return SL_FAIL(err, rc, "no request %lld", (long long)id);
    SL_TRY(rc);
    *state = (enum sl_request_state)sqlite3_column_int(st, 0);
    return SL_OK;
}

static enum sl_rc decide(struct sl_store *s, int64_t id, bool approve, const char *reason,
                         int64_t now, struct sl_err *err)
{
    enum sl_request_state state = 0;
    SL_TRY(request_state(s, id, &state, err));
    if (state != SL_REQUEST_PENDING)
        return SL_FAIL(err, SL_EXISTS, "request %lld is %s already", (long long)id,
                       sl_request_state_text(state));
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "UPDATE request SET state=?, decided=?, reason=? WHERE id=?",
                   "iiti", (int64_t)(approve ? SL_REQUEST_APPROVED : SL_REQUEST_REJECTED), now,
                   reason, id));
    return done(s, st, err);
}

enum sl_rc sl_store_request_decide(struct sl_store *s, int64_t id, bool approve, const char *reason,
                                   int64_t now, struct sl_err *err)
{
    SL_TRY(begin(s, err));
    return finish(s, decide(s, id, approve, reason, now, err), err);
}

/* ---- certificates ---------------------------------------------------------------------------------- */

const char *sl_cert_state_text(enum sl_cert_state state)
{
    switch (state) {
    case SL_CERT_RESERVED:
        return "reserved";
    case SL_CERT_ABANDONED:
        return "abandoned";
    case SL_CERT_ISSUED:
        return "valid";
    case SL_CERT_REVOKED:
        return "revoked";
    }
    return "unknown";
}

static enum sl_rc reserve(struct sl_store *s, const char *serial, const char *kind, int64_t request,
                          int64_t now, struct sl_err *err)
{
    if (request) {
        AUTO_STMT *old = NULL;
        SL_TRY(prepare(s, &old, err, "UPDATE certificate SET state=? WHERE request=? AND state=?",
                       "iii", (int64_t)SL_CERT_ABANDONED, request, (int64_t)SL_CERT_RESERVED));
        SL_TRY(done(s, old, err));
    }
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "INSERT INTO certificate(serial, state, kind, request, der, subject_text,"
                   " not_before, not_after, reserved, issued, revoked, reason)"
                   " VALUES(?, ?, ?, ?, x'', '', 0, 0, ?, 0, 0, 0)",
                   "titii", serial, (int64_t)SL_CERT_RESERVED, kind, request, now));
    return done(s, st, err);
}

enum sl_rc sl_store_reserve(struct sl_store *s, const char *serial, const char *kind,
                            int64_t request, int64_t now, struct sl_err *err)
{
    SL_TRY(begin(s, err));
    return finish(s, reserve(s, serial, kind, request, now, err), err);
}

static enum sl_rc issued(struct sl_store *s, const struct sl_cert_row *row,
                         const struct sl_store_value *values, size_t values_n, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "UPDATE certificate SET state=?, der=?, subject_text=?, not_before=?,"
                   " not_after=?, issued=? WHERE serial=? AND state=? AND request=?",
                   "ibtiiitii", (int64_t)SL_CERT_ISSUED, row->der, row->subject_text,
                   row->not_before, row->not_after, row->issued, row->serial,
                   (int64_t)SL_CERT_RESERVED, row->request));
    SL_TRY(done(s, st, err));
    if (sqlite3_changes(s->db) != 1)
        return SL_FAIL(err, SL_NOT_FOUND, "serial %s is not reserved for request %lld", row->serial,
                       (long long)row->request);
    if (row->request) {
        AUTO_STMT *req = NULL;
        SL_TRY(prepare(s, &req, err, "UPDATE request SET state=?, serial=? WHERE id=? AND state=?",
                       "itii", (int64_t)SL_REQUEST_ISSUED, row->serial, row->request,
                       (int64_t)SL_REQUEST_APPROVED));
        SL_TRY(done(s, req, err));
        if (sqlite3_changes(s->db) != 1)
            return SL_FAIL(err, SL_NOT_FOUND, "request %lld is not approved",
                           (long long)row->request);
    }
    for (size_t i = 0; i < values_n; i++)
        SL_TRY(put_value(s, &values[i], err));
    return SL_OK;
}

enum sl_rc sl_store_issued(struct sl_store *s, const struct sl_cert_row *row,
                           const struct sl_store_value *values, size_t values_n, struct sl_err *err)
{
    SL_TRY(begin(s, err));
    return finish(s, issued(s, row, values, values_n, err), err);
}

#define CERT_COLUMNS                                                                           \
    "serial, state, kind, request, der, subject_text, not_before, not_after, issued, revoked," \
    " reason"

static enum sl_rc each_cert(struct sl_store *s, sqlite3_stmt *st, sl_cert_row_fn *fn, void *ctx,
                            struct sl_err *err)
{
    bool any = false;
    enum sl_rc rc;
    while ((rc = step(s, st, err)) == SL_OK) {
        any = true;
        struct sl_cert_row row = {
            .state = (enum sl_cert_state)sqlite3_column_int(st, 1),
            .kind = col_text(st, 2),
            .request = sqlite3_column_int64(st, 3),
            .der = col_blob(st, 4),
            .subject_text = col_text(st, 5),
            .not_before = sqlite3_column_int64(st, 6),
            .not_after = sqlite3_column_int64(st, 7),
            .issued = sqlite3_column_int64(st, 8),
            .revoked = sqlite3_column_int64(st, 9),
            .reason = sqlite3_column_int(st, 10),
        };
        if (!col_serial(st, 0, row.serial))
            return SL_FAIL(err, SL_STORE, "a certificate's serial is damaged in the database");
        SL_TRY(fn(ctx, &row, err));
    }
    return rc == SL_NOT_FOUND && any ? SL_OK : rc;
}

enum sl_rc sl_store_cert_get(struct sl_store *s, const char *serial, sl_cert_row_fn *fn, void *ctx,
                             struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT " CERT_COLUMNS " FROM certificate WHERE serial=?", "t",
                   serial));
    enum sl_rc rc = each_cert(s, st, fn, ctx, err);
    return rc == SL_NOT_FOUND ? SL_FAIL(err, rc, "no certificate with serial %s", serial) : rc;
}

enum sl_rc sl_store_cert_each(struct sl_store *s, enum sl_cert_state state, sl_cert_row_fn *fn,
                              void *ctx, struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "SELECT " CERT_COLUMNS " FROM certificate"
                   " WHERE state=?1 OR (?1=0 AND state IN (?2, ?3)) ORDER BY n",
                   "iii", (int64_t)state, (int64_t)SL_CERT_ISSUED, (int64_t)SL_CERT_REVOKED));
    enum sl_rc rc = each_cert(s, st, fn, ctx, err);
    return rc == SL_NOT_FOUND ? SL_OK : rc;
}

static enum sl_rc mark_revoked(struct sl_store *s, const char *serial, int reason, int64_t now,
                               struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT state FROM certificate WHERE serial=?", "t", serial));
    enum sl_rc rc = step(s, st, err);
    if (rc != SL_OK && rc != SL_NOT_FOUND)
        return rc;
    enum sl_cert_state state = rc == SL_OK ? (enum sl_cert_state)sqlite3_column_int(st, 0) : 0;
    sqlite3_reset(st);
    if (state == SL_CERT_REVOKED)
        return SL_FAIL(err, SL_EXISTS, "certificate %s is revoked already", serial);
    if (state != SL_CERT_ISSUED)
        return SL_FAIL(err, SL_NOT_FOUND, "no certificate with serial %s", serial);
    AUTO_STMT *up = NULL;
    SL_TRY(prepare(s, &up, err,
                   "UPDATE certificate SET state=?, revoked=?, reason=? WHERE serial=?", "iiit",
                   (int64_t)SL_CERT_REVOKED, now, (int64_t)reason, serial));
    return done(s, up, err);
}

enum sl_rc sl_store_revoke(struct sl_store *s, const char *serial, int reason, int64_t now,
                           struct sl_err *err)
{
    SL_TRY(begin(s, err));
    return finish(s, mark_revoked(s, serial, reason, now, err), err);
}

/* ---- CRLs ------------------------------------------------------------------------------------------- */

static enum sl_rc crl_number(struct sl_store *s, const char *issuer, int64_t *number,
                             struct sl_err *err)
{
    AUTO_STMT *add = NULL;
    SL_TRY(prepare(s, &add, err,
                   "INSERT INTO crl_number(issuer, last) VALUES(?, 1)"
                   " ON CONFLICT(issuer) DO UPDATE SET last=last+1",
                   "t", issuer));
    SL_TRY(done(s, add, err));
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err, "SELECT last FROM crl_number WHERE issuer=?", "t", issuer));
    SL_TRY(step(s, st, err));
    *number = sqlite3_column_int64(st, 0);
    return SL_OK;
}

enum sl_rc sl_store_crl_number(struct sl_store *s, const char *issuer, int64_t *number,
                               struct sl_err *err)
{
    SL_TRY(begin(s, err));
    int64_t got = 0;
    SL_TRY(finish(s, crl_number(s, issuer, &got, err), err));
    *number = got;
    return SL_OK;
}

/* The newest CRL takes the place of those before it: they are in the clients' hands, not ours. */
static enum sl_rc crl_put(struct sl_store *s, const char *issuer, int64_t number,
                          struct sl_bytes der, int64_t this_update, int64_t next_update,
                          struct sl_err *err)
{
    AUTO_STMT *del = NULL;
    SL_TRY(
        prepare(s, &del, err, "DELETE FROM crl WHERE issuer=? AND number<?", "ti", issuer, number));
    SL_TRY(done(s, del, err));
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "INSERT INTO crl(issuer, number, der, this_update, next_update)"
                   " VALUES(?, ?, ?, ?, ?)",
                   "tibii", issuer, number, der, this_update, next_update));
    return done(s, st, err);
}

enum sl_rc sl_store_crl_put(struct sl_store *s, const char *issuer, int64_t number,
                            struct sl_bytes der, int64_t this_update, int64_t next_update,
                            struct sl_err *err)
{
    SL_TRY(begin(s, err));
    return finish(s, crl_put(s, issuer, number, der, this_update, next_update, err), err);
}

enum sl_rc sl_store_crl_get(struct sl_store *s, const char *issuer, struct sl_buf *der,
                            int64_t *number, int64_t *this_update, int64_t *next_update,
                            struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "SELECT der, number, this_update, next_update FROM crl WHERE issuer=?"
                   " ORDER BY number DESC LIMIT 1",
                   "t", issuer));
    enum sl_rc rc = step(s, st, err);
    if (rc == SL_NOT_FOUND)
        return SL_FAIL(err, rc, "no CRL of the %s CA yet", issuer);
    SL_TRY(rc);
    if (!sl_buf_put(der, col_blob(st, 0)))
        return SL_FAIL_MEM(err);
    *number = sqlite3_column_int64(st, 1);
    *this_update = sqlite3_column_int64(st, 2);
    *next_update = sqlite3_column_int64(st, 3);
    return SL_OK;
}

enum sl_rc sl_store_count(struct sl_store *s, int64_t now, struct sl_store_counts *out,
                          struct sl_err *err)
{
    AUTO_STMT *st = NULL;
    SL_TRY(prepare(s, &st, err,
                   "SELECT (SELECT count(*) FROM request WHERE state=?),"
                   " (SELECT count(*) FROM certificate WHERE state=? AND kind='device'),"
                   " (SELECT count(*) FROM certificate WHERE state=? AND kind='device'),"
                   " (SELECT count(*) FROM certificate WHERE state=?),"
                   " (SELECT count(*) FROM challenge WHERE used=0 AND expires>?)",
                   "iiiii", (int64_t)SL_REQUEST_PENDING, (int64_t)SL_CERT_ISSUED,
                   (int64_t)SL_CERT_REVOKED, (int64_t)SL_CERT_ABANDONED, now));
    SL_TRY(step(s, st, err));
    *out = (struct sl_store_counts){
        .pending = sqlite3_column_int64(st, 0),
        .issued = sqlite3_column_int64(st, 1),
        .revoked = sqlite3_column_int64(st, 2),
        .abandoned = sqlite3_column_int64(st, 3),
        .challenges = sqlite3_column_int64(st, 4),
    };
    return SL_OK;
}
