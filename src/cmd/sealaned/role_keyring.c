/*
 * The keyring: the only process that holds private keys and pre-shared keys. It has no network; it
 * answers the requests of its links, each within what that link may do:
 *
 *   ike        signs with the keys of configured identities, and MACs with pre-shared keys
 *   identity   everything, but for keys named "ca-..."
 *   authority  keys named "ca-..." only, and no pre-shared keys
 *
 * Keys it made live in state_dir/keys, which is this process's root directory: NAME.pem, PKCS#8,
 * replaced by rename. Keys and pre-shared keys that the configuration names come as descriptors and
 * stay in memory. What a key is and how it signs is sealane/key.h.
 */
#include "sealane/key.h"
#include "src/proc/role.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX        ".pem"
#define TEMPORARY     ".tmp-"
#define CA_PREFIX     "ca-"
#define JOBS_MAX      16 /* keys being made; RSA takes seconds */
#define FILE_LIMIT    SL_SECRET_MAX
#define FILE_NAME_MAX (NAME_MAX + 32) /* any entry of the folder, and a key's name with its parts */

struct keyring {
    struct proc_role *p;
    const char *folder; /* of keys; "" here, where it is the root directory */
    struct sl_keyset *keys;
    struct sl_key_ops ops;
    unsigned jobs;
};

/* ---- files ------------------------------------------------------------------------------------- */
static enum sl_rc read_secret(int fd, const char *what, struct sl_secret *out, struct sl_err *err)
{
    SL_AUTO_SECRET all = { 0 };
    struct stat st;
    if (fstat(fd, &st) < 0)
        return SL_FAIL(err, SL_IO, "%s: %s", what, strerror(errno));
    if (st.st_size <= 0 || st.st_size > FILE_LIMIT)
        return SL_FAIL(err, SL_TOO_LARGE, "%s: %lld bytes, expected 1 to %d", what,
                       (long long)st.st_size, FILE_LIMIT);
    SL_TRY(sl_secret_init(&all, (size_t)st.st_size, err));
    size_t got = 0;
    while (got < all.len) {
        ssize_t n = pread(fd, all.p + got, all.len - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SL_FAIL(err, SL_IO, "%s: %s", what, n < 0 ? strerror(errno) : "became shorter");
        got += (size_t)n;
    }
    sl_secret_move(out, &all);
    return SL_OK;
}

static void file_name(const struct keyring *k, char out[FILE_NAME_MAX], const char *before,
                      const char *name, const char *after)
{
    (void)snprintf(out, FILE_NAME_MAX, "%s/%s%s%s", k->folder, before, name, after);
}

static enum sl_rc sync_folder(const struct keyring *k, struct sl_err *err)
{
    char path[FILE_NAME_MAX];
    file_name(k, path, "", "", "");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return good ? SL_OK : SL_FAIL(err, SL_IO, "folder of keys: %s", strerror(e));
}

/* The whole key or none, whenever the machine stops. */
static enum sl_rc write_key(const struct keyring *k, const char *name, const struct sl_secret *pem,
                            struct sl_err *err)
{
    char temporary[FILE_NAME_MAX], final[FILE_NAME_MAX];
    file_name(k, temporary, TEMPORARY, name, "");
    file_name(k, final, "", name, SUFFIX);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return SL_FAIL(err, SL_IO, "key %s: %s", name, strerror(errno));
    size_t done = 0;
    ssize_t n = 0;
    while (done < pem->len && (n = write(fd, pem->p + done, pem->len - done)) > 0)
        done += (size_t)n;
    bool good = done == pem->len && fsync(fd) == 0;
    int e = errno;
    if (close(fd) < 0)
        good = false;
    if (good && rename(temporary, final) < 0) {
        e = errno;
        good = false;
    }
    if (!good) {
        (void)unlink(temporary);
        return SL_FAIL(err, SL_IO, "key %s: %s", name, strerror(e));
    }
    return sync_folder(k, err);
}

static void load_file(struct keyring *k, const char *file, const char *name)
{
    struct sl_err err = { 0 };
    SL_AUTO_SECRET pem = { 0 };
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    enum sl_rc rc =
        fd < 0 ? SL_FAIL(&err, SL_IO, "%s", strerror(errno)) : read_secret(fd, name, &pem, &err);
    if (fd >= 0)
        close(fd);
    if (rc == SL_OK)
        rc = sl_keyset_import(k->keys, name, sl_secret_bytes(&pem), &err);
    if (rc != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "key %s cannot be read", name);
}

static void load_folder(struct keyring *k)
{
    char folder[FILE_NAME_MAX];
    file_name(k, folder, "", "", "");
    DIR *d = opendir(folder);
    if (!d) {
        sl_error("folder of keys: %s", strerror(errno));
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        char path[FILE_NAME_MAX], name[MSG_KEY_NAME_MAX];
        size_t n = strlen(e->d_name);
        if (n >= sizeof(name))
            continue;
        file_name(k, path, "", e->d_name, "");
        if (!strncmp(e->d_name, TEMPORARY, strlen(TEMPORARY)))
            (void)unlink(path); /* from a write that was cut off */
        if (n <= strlen(SUFFIX) || strcmp(e->d_name + n - strlen(SUFFIX), SUFFIX) != 0 ||
            e->d_name[0] == '.')
            continue;
        memcpy(name, e->d_name, n - strlen(SUFFIX));
        name[n - strlen(SUFFIX)] = '\0';
        load_file(k, path, name);
    }
    closedir(d);
}

/* ---- what the configuration names -------------------------------------------------------------- */
static enum sl_rc import_key(struct keyring *k, const char *name, struct sl_bytes pem,
                             struct sl_err *err)
{
    struct sl_bytes spki;
    if (sl_keyset_spki(k->keys, name, &spki, NULL) == SL_OK)
        SL_TRY(
            sl_keyset_remove(k->keys, name, err)); /* the configured key is the one that counts */
    return sl_keyset_import(k->keys, name, pem, err);
}

/* The first line, without its end; after 0x in hex. */
static enum sl_rc import_psk(struct keyring *k, const char *name, struct sl_bytes file,
                             struct sl_err *err)
{
    const uint8_t *end = file.len ? memchr(file.p, '\n', file.len) : NULL;
    struct sl_bytes line = sl_bytes(file.p, end ? (size_t)(end - file.p) : file.len);
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    if (!line.len)
        return SL_FAIL(err, SL_CONFIG_VALUE, "psk %s: its file starts with an empty line", name);
    if (line.len <= 2 || memcmp(line.p, "0x", 2) != 0)
        return sl_keyset_psk_set(k->keys, name, line, err);
    char *hex = sl_strdup_bytes(sl_bytes(line.p + 2, line.len - 2));
    struct sl_buf value = { 0 };
    enum sl_rc rc = SL_OK;
    if (!hex || !sl_buf_reserve(&value, line.len) || !sl_unhex(&value, hex) || !value.len)
        rc = SL_FAIL(err, SL_CONFIG_VALUE, "psk %s: what follows 0x is not hex", name);
    if (rc == SL_OK)
        rc = sl_keyset_psk_set(k->keys, name, sl_buf_bytes(&value), err);
    if (hex)
        sl_wipe(hex, strlen(hex));
    free(hex);
    sl_buf_wipe(&value);
    return rc;
}

static void import_handed(struct keyring *k, const char *kind, const char *name,
                          enum sl_rc (*import)(struct keyring *, const char *, struct sl_bytes,
                                               struct sl_err *))
{
    char full[96];
    struct sl_err err = { 0 };
    SL_AUTO_SECRET all = { 0 };
    (void)snprintf(full, sizeof(full), "%s:%s", kind, name);
    int fd = proc_fd_take(k->p, full);
    if (fd < 0)
        return;
    enum sl_rc rc = read_secret(fd, full, &all, &err);
    close(fd);
    if (rc == SL_OK)
        rc = import(k, name, sl_secret_bytes(&all), &err);
    if (rc != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "%s cannot be used", full);
}

static void load(struct keyring *k)
{
    const struct sl_config *c = k->p->config;
    load_folder(k);
    for (size_t i = 0; i < c->identity_n; i++)
        import_handed(k, "key", c->identity[i].name, import_key);
    for (size_t i = 0; i < c->psk_n; i++)
        import_handed(k, "psk", c->psk[i].name, import_psk);
    sl_info("%zu keys", sl_keyset_count(k->keys));
}

/* ---- who may do what --------------------------------------------------------------------------- */
static bool is_ca(const char *name)
{
    return !strncmp(name, CA_PREFIX, strlen(CA_PREFIX));
}

/* A configured identity's key, or one that belongs to it ("gw-a.new"). */
static bool is_identity(const struct sl_config *c, const char *name)
{
    for (size_t i = 0; i < c->identity_n; i++) {
        size_t n = strlen(c->identity[i].name);
        if (!strncmp(name, c->identity[i].name, n) && (name[n] == '\0' || name[n] == '.'))
            return true;
    }
    return false;
}

/* Is the pre-shared key one that a connection uses in IKEv1? */
static bool is_for_ikev1(const struct sl_config *c, const char *psk)
{
    for (size_t i = 0; i < c->connection_n; i++) {
        const struct sl_conf_connection *conn = &c->connection[i];
        if (conn->ikev1 && conn->auth == SL_METHOD_PSK && !strcmp(conn->psk, psk))
            return true;
    }
    return false;
}

static bool may(const struct keyring *k, enum proc_role_id who, enum msg_type type,
                const char *name)
{
    if (type == MSG_KEY_PSK_V1)
        return (who == PROC_IKE || who == PROC_IDENTITY) && is_for_ikev1(k->p->config, name);
    switch (who) {
    case PROC_IKE:
        if (type == MSG_KEY_PSK_AUTH)
            return true;
        return (type == MSG_KEY_SIGN || type == MSG_KEY_SPKI) && !is_ca(name) &&
               is_identity(k->p->config, name);
    case PROC_IDENTITY:
        return type == MSG_KEY_PSK_AUTH || !is_ca(name);
    case PROC_AUTHORITY:
        return type != MSG_KEY_PSK_AUTH && is_ca(name);
    case PROC_SUPERVISOR:
    case PROC_ESP:
    case PROC_FETCH:
    case PROC_KEYRING:
    case PROC_CONTROL:
    case PROC_ROLE_COUNT:
        break;
    }
    return false;
}

/* Names become names of files. */
static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n <= 64 && name[n] == '\0' && name[0] != '.';
}

static enum sl_rc check(const struct keyring *k, enum proc_role_id who, enum msg_type type,
                        const char *name, struct sl_err *err)
{
    if (!is_name(name))
        return SL_FAIL(err, SL_KEY_NOT_FOUND,
                       "a key's name has 1 to 64 of the characters a-z 0-9 . "
                       "_ - and does not start with a dot");
    if (may(k, who, type, name))
        return SL_OK;
    sl_warn("%s asked for %s with %s, which it may not", proc_role_name(who), msg_name(type), name);
    return SL_FAIL(err, SL_KEY_USE, "%s may not use %s with key %s", proc_role_name(who),
                   msg_name(type), name);
}

/* ---- making a key ------------------------------------------------------------------------------ */
/* In a thread and a set of its own: other requests go on. */
struct make_job {
    struct keyring *k;
    enum proc_role_id who;
    uint64_t id; /* of the request; 0: of a test */
    struct proc_ctl *ctl;
    char name[MSG_KEY_NAME_MAX], alg[32];
    struct sl_secret pem;
    enum sl_rc rc;
    struct sl_err err;
    struct event *done;
};

static void answer(struct keyring *k, enum proc_role_id who, uint64_t id, enum sl_rc rc,
                   const struct sl_err *problem, struct sl_bytes bytes)
{
    struct sl_err err = { 0 };
    struct msg_key_reply m = { .rc = rc, .bytes = bytes };
    if (rc != SL_OK)
        (void)snprintf(m.text, sizeof(m.text), "%s", sl_err_text(problem));
    if (msg_answer(k->p->link[who], id, MSG_KEY_REPLY, &m, false, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "answer to %s", proc_role_name(who));
}

static void *make_key(void *arg)
{
    struct make_job *j = arg;
    struct sl_keyset *own = NULL;
    j->rc = sl_keyset_new(&own, &j->err);
    if (j->rc == SL_OK)
        j->rc = sl_keyset_generate(own, j->name, j->alg, &j->err);
    if (j->rc == SL_OK)
        j->rc = sl_keyset_export(own, j->name, &j->pem, &j->err);
    sl_keyset_free(own);
    event_active(j->done, EV_TIMEOUT, 0);
    return NULL;
}

static enum sl_rc keep_made(struct make_job *j, struct sl_bytes *spki)
{
    struct keyring *k = j->k;
    if (j->rc != SL_OK)
        return j->rc;
    if (sl_keyset_spki(k->keys, j->name, spki, NULL) == SL_OK)
        return SL_FAIL(&j->err, SL_EXISTS, "key %s exists", j->name);
    SL_TRY(write_key(k, j->name, &j->pem, &j->err));
    SL_TRY(sl_keyset_import(k->keys, j->name, sl_secret_bytes(&j->pem), &j->err));
    return sl_keyset_spki(k->keys, j->name, spki, &j->err);
}

static void on_made(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct make_job *j = arg;
    struct sl_bytes spki = { 0 };
    enum sl_rc rc = keep_made(j, &spki);
    if (rc == SL_OK)
        sl_info("key %s (%s) was made for %s", j->name, j->alg, proc_role_name(j->who));
    if (!j->ctl)
        answer(j->k, j->who, j->id, rc, &j->err, spki);
    else if (rc == SL_OK)
        proc_ctl_reply(j->ctl, SL_OK, "", NULL, false);
    else
        proc_ctl_fail(j->ctl, &j->err);
    j->k->jobs--;
    event_free(j->done);
    sl_secret_clear(&j->pem);
    free(j);
}

/* When SL_OK it will be answered later. */
static enum sl_rc start_making(struct keyring *k, enum proc_role_id who, uint64_t id,
                               struct proc_ctl *ctl, const struct msg_key_generate *m,
                               struct sl_err *err)
{
    struct sl_bytes spki;
    if (sl_keyset_spki(k->keys, m->name, &spki, NULL) == SL_OK)
        return SL_FAIL(err, SL_EXISTS, "key %s exists", m->name);
    if (!is_name(m->name))
        return SL_FAIL(err, SL_USAGE, "\"%s\" cannot be a key's name", m->name);
    if (k->jobs >= JOBS_MAX)
        return SL_FAIL(err, SL_UNAVAILABLE, "%u keys are being made already", k->jobs);
    struct make_job *j = calloc(1, sizeof(*j));
    if (!j)
        return SL_FAIL_MEM(err);
    j->k = k;
    j->who = who;
    j->id = id;
    j->ctl = ctl;
    memcpy(j->name, m->name, sizeof(j->name));
    memcpy(j->alg, m->alg, sizeof(j->alg));
    j->done = event_new(k->p->base, -1, 0, on_made, j);
    pthread_t thread;
    int e = j->done ? pthread_create(&thread, NULL, make_key, j) : ENOMEM;
    if (e) {
        if (j->done)
            event_free(j->done);
        free(j);
        return SL_FAIL(err, SL_NO_MEMORY, "thread: %s", strerror(e));
    }
    pthread_detach(thread);
    k->jobs++;
    return SL_OK;
}

/* ---- requests ---------------------------------------------------------------------------------- */
struct request {
    struct keyring *k;
    enum proc_role_id who;
    uint64_t id;
    struct sl_bytes body;
    struct sl_buf *out;
    bool later; /* answered when a thread has ended */
};

static enum sl_rc malformed(const struct request *q, enum msg_type type, struct sl_err *err)
{
    return SL_FAIL(err, SL_PROC_MESSAGE, "%s from %s is malformed", msg_name(type),
                   proc_role_name(q->who));
}

static enum sl_rc sign(struct request *q, struct sl_err *err)
{
    struct msg_key_sign m;
    if (!msg_read(MSG_KEY_SIGN, &m, q->body))
        return malformed(q, MSG_KEY_SIGN, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_SIGN, m.name, err));
    /* only enrolment at a server with the legacy option ever asks for SHA-1 */
    if (m.sig == SL_SIG_RSA_PKCS1_SHA1 && q->who != PROC_IDENTITY)
        return SL_FAIL(err, SL_KEY_USE, "%s may not sign with SHA-1", proc_role_name(q->who));
    /* bare hashes are signed for IKEv1 alone (RFC 2409 5.1, RFC 4754) */
    if ((m.sig == SL_SIG_RSA_PKCS1_RAW || m.sig == SL_SIG_ECDSA_RAW) && q->who != PROC_IKE)
        return SL_FAIL(err, SL_KEY_USE, "%s may not sign for IKEv1", proc_role_name(q->who));
    return q->k->ops.sign(q->k->ops.ctx, m.name, m.sig, m.data, q->out, err);
}

static enum sl_rc decrypt(struct request *q, struct sl_err *err)
{
    struct msg_key_decrypt m;
    if (!msg_read(MSG_KEY_DECRYPT, &m, q->body))
        return malformed(q, MSG_KEY_DECRYPT, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_DECRYPT, m.name, err));
    return q->k->ops.decrypt(q->k->ops.ctx, m.name, m.oaep, m.cipher, q->out, err);
}

static enum sl_rc generate(struct request *q, struct sl_err *err)
{
    struct msg_key_generate m;
    if (!msg_read(MSG_KEY_GENERATE, &m, q->body))
        return malformed(q, MSG_KEY_GENERATE, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_GENERATE, m.name, err));
    SL_TRY(start_making(q->k, q->who, q->id, NULL, &m, err));
    q->later = true;
    return SL_OK;
}

static enum sl_rc spki(struct request *q, struct sl_err *err)
{
    struct msg_key_name m;
    struct sl_bytes v;
    if (!msg_read(MSG_KEY_SPKI, &m, q->body))
        return malformed(q, MSG_KEY_SPKI, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_SPKI, m.name, err));
    SL_TRY(sl_keyset_spki(q->k->keys, m.name, &v, err));
    return sl_buf_put(q->out, v) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc rename_key(struct request *q, struct sl_err *err)
{
    struct msg_key_rename m;
    struct sl_bytes v;
    char from[FILE_NAME_MAX], to[FILE_NAME_MAX];
    if (!msg_read(MSG_KEY_RENAME, &m, q->body))
        return malformed(q, MSG_KEY_RENAME, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_RENAME, m.from, err));
    SL_TRY(check(q->k, q->who, MSG_KEY_RENAME, m.to, err));
    SL_TRY(sl_keyset_spki(q->k->keys, m.from, &v, err));
    file_name(q->k, from, "", m.from, SUFFIX);
    file_name(q->k, to, "", m.to, SUFFIX);
    if (rename(from, to) < 0) {
        if (errno != ENOENT)
            return SL_FAIL(err, SL_IO, "key %s to %s: %s", m.from, m.to, strerror(errno));
        /* it came from a configured file: under its new name it is kept here */
        SL_AUTO_SECRET pem = { 0 };
        SL_TRY(sl_keyset_export(q->k->keys, m.from, &pem, err));
        SL_TRY(write_key(q->k, m.to, &pem, err));
    }
    SL_TRY(sync_folder(q->k, err));
    SL_TRY(sl_keyset_rename(q->k->keys, m.from, m.to, err));
    sl_info("key %s is now %s", m.from, m.to);
    return SL_OK;
}

static enum sl_rc remove_key(struct request *q, struct sl_err *err)
{
    struct msg_key_name m;
    char path[FILE_NAME_MAX];
    if (!msg_read(MSG_KEY_REMOVE, &m, q->body))
        return malformed(q, MSG_KEY_REMOVE, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_REMOVE, m.name, err));
    SL_TRY(sl_keyset_remove(q->k->keys, m.name, err));
    file_name(q->k, path, "", m.name, SUFFIX);
    if (unlink(path) < 0 && errno != ENOENT)
        return SL_FAIL(err, SL_IO, "key %s: %s", m.name, strerror(errno));
    sl_info("key %s was removed", m.name);
    return sync_folder(q->k, err);
}

static enum sl_rc list(struct request *q, struct sl_err *err)
{
    struct sl_wr w = sl_wr_buf(q->out, CHAN_BODY_MAX);
    for (size_t i = 0; i < sl_keyset_count(q->k->keys); i++) {
        const char *name = sl_keyset_name(q->k->keys, i);
        struct msg_key_item item;
        if (!may(q->k, q->who, MSG_KEY_SPKI, name))
            continue;
        (void)snprintf(item.name, sizeof(item.name), "%s", name);
        SL_TRY(sl_keyset_spki(q->k->keys, name, &item.spki, err));
        msg_key_item_write(&item, &w);
    }
    return sl_wr_ok(&w) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc psk_auth(struct request *q, struct sl_err *err)
{
    struct msg_key_psk_auth m;
    uint8_t mac[SL_PRF_MAX];
    if (!msg_read(MSG_KEY_PSK_AUTH, &m, q->body))
        return malformed(q, MSG_KEY_PSK_AUTH, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_PSK_AUTH, m.name, err));
    SL_TRY(sl_keyset_psk_auth(q->k->keys, m.name, m.prf, m.octets, mac, err));
    bool good = sl_buf_put(q->out, sl_bytes(mac, sl_prf_len(m.prf)));
    sl_wipe(mac, sizeof(mac));
    return good ? SL_OK : SL_FAIL_MEM(err);
}

/* The ike process is given SKEYID, from which its keys come; identity only a HASH to compare. */
static enum sl_rc psk_v1(struct request *q, struct sl_err *err)
{
    struct msg_key_psk_v1 m;
    uint8_t out[SL_PRF_MAX];
    if (!msg_read(MSG_KEY_PSK_V1, &m, q->body))
        return malformed(q, MSG_KEY_PSK_V1, err);
    SL_TRY(check(q->k, q->who, MSG_KEY_PSK_V1, m.name, err));
    if ((q->who == PROC_IKE) != (m.octets.len == 0))
        return SL_FAIL(err, SL_KEY_USE, "SKEYID is for the ike process, a HASH for identity alone");
    SL_TRY(sl_keyset_psk_v1(q->k->keys, m.name, m.prf, m.nonces, m.octets, out, err));
    bool good = sl_buf_put(q->out, sl_bytes(out, sl_prf_len(m.prf)));
    sl_wipe(out, sizeof(out));
    return good ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc run(struct request *q, uint16_t type, struct sl_err *err)
{
    switch (type) {
    case MSG_KEY_SIGN:
        return sign(q, err);
    case MSG_KEY_DECRYPT:
        return decrypt(q, err);
    case MSG_KEY_GENERATE:
        return generate(q, err);
    case MSG_KEY_SPKI:
        return spki(q, err);
    case MSG_KEY_RENAME:
        return rename_key(q, err);
    case MSG_KEY_REMOVE:
        return remove_key(q, err);
    case MSG_KEY_LIST:
        return list(q, err);
    case MSG_KEY_PSK_AUTH:
        return psk_auth(q, err);
    case MSG_KEY_PSK_V1:
        return psk_v1(q, err);
    default:
        return SL_FAIL(err, SL_PROC_MESSAGE, "the keyring does not answer %s", msg_name(type));
    }
}

static void on_request(struct keyring *k, enum proc_role_id who, const struct chan_msg *m)
{
    struct sl_err err = { 0 };
    struct sl_buf out = { 0 };
    struct request q = { .k = k, .who = who, .id = m->id, .body = m->body, .out = &out };
    if (!m->id) {
        sl_error("%s sent %s without asking for an answer", proc_role_name(who), msg_name(m->type));
        return;
    }
    enum sl_rc rc = run(&q, m->type, &err);
    if (!q.later)
        answer(k, who, m->id, rc, &err, rc == SL_OK ? sl_buf_bytes(&out) : sl_bytes(NULL, 0));
    sl_buf_wipe(&out); /* it may hold what was decrypted */
}

static void on_ike(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)c;
    on_request(ctx, PROC_IKE, m);
}

static void on_identity(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)c;
    on_request(ctx, PROC_IDENTITY, m);
}

static void on_authority(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)c;
    on_request(ctx, PROC_AUTHORITY, m);
}

/* ---- control ----------------------------------------------------------------------------------- */
static const char *type_text(enum sl_key_type type)
{
    switch (type) {
    case SL_KEY_RSA:
        return "rsa";
    case SL_KEY_EC_P256:
        return "ecdsa:p256";
    case SL_KEY_EC_P384:
        return "ecdsa:p384";
    case SL_KEY_EC_P521:
        return "ecdsa:p521";
    case SL_KEY_ED25519:
        return "ed25519";
    case SL_KEY_NONE:
        break;
    }
    return "unknown";
}

static void verb_keys(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct keyring *k = ctx;
    (void)args;
    json_t *result = json_object(), *keys = json_array();
    for (size_t i = 0; i < sl_keyset_count(k->keys); i++) {
        const char *name = sl_keyset_name(k->keys, i);
        struct sl_bytes v;
        uint16_t bits = 0;
        if (sl_keyset_spki(k->keys, name, &v, NULL) != SL_OK)
            continue;
        const char *type = type_text(sl_spki_type(v, &bits));
        json_array_append_new(
            keys, json_pack("{s:s, s:s, s:i}", "name", name, "type", type, "bits", (int)bits));
    }
    json_object_set_new(result, "keys", keys);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct keyring *k = ctx;
    (void)args;
    json_t *result =
        json_pack("{s:i, s:i}", "keys", (int)sl_keyset_count(k->keys), "being_made", (int)k->jobs);
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

#ifdef SL_FAULTS
/* For tests that look for key bytes where they must not be. */
static void verb_generate(void *ctx, struct proc_ctl *q, const json_t *args)
{
    struct msg_key_generate m = { 0 };
    struct sl_err err = { 0 };
    const char *name = json_string_value(json_object_get(args, "name"));
    const char *alg = json_string_value(json_object_get(args, "alg"));
    (void)snprintf(m.name, sizeof(m.name), "%s", name ? name : "");
    (void)snprintf(m.alg, sizeof(m.alg), "%s", alg ? alg : "");
    if (start_making(ctx, PROC_CONTROL, 0, q, &m, &err) != SL_OK)
        proc_ctl_fail(q, &err);
}
#endif

static const struct proc_verb verbs[] = {
    { "status", verb_status },
    { "keys", verb_keys },
#ifdef SL_FAULTS
    { "keys.generate", verb_generate },
#endif
};

int role_keyring(struct proc_role *p)
{
    static struct keyring k;
    struct sl_err err = { 0 };
    k.p = p;
    k.folder = "";
    p->ctx = &k;
    if (sl_keyset_new(&k.keys, &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
        return 1;
    }
    k.ops = sl_keyset_ops(k.keys);
    load(&k);
    chan_handle(p->link[PROC_IKE], &(struct chan_handler){ .message = on_ike, .ctx = &k });
    chan_handle(p->link[PROC_IDENTITY],
                &(struct chan_handler){ .message = on_identity, .ctx = &k });
    chan_handle(p->link[PROC_AUTHORITY],
                &(struct chan_handler){ .message = on_authority, .ctx = &k });
    proc_control(p, verbs, SL_ARRAY_LEN(verbs));
    proc_ready(p);
    int status = proc_run(p);
    sl_keyset_free(k.keys);
    return status;
}
