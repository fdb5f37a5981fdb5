/*
 * Files of the identity process: those the configuration names are read at the start and again when
 * they change; the revocation cache is written now and then and read once.
 */
#include "src/cmd/sealaned/identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX   ((size_t)100 << 20)
#define AUTHORITY  "authority" /* in trust.anchors: the embedded authority's root */
#define CACHE_NAME "revocation.cache"
#define CRL_PREFIX "crl-" /* of files that hold one large CRL of the cache each */
#define DIR_MAX    1024   /* files taken from one trust.crl_dir */

enum sl_rc identity_read_file(struct sl_buf *out, const char *path, size_t max, struct sl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return SL_FAIL(err, errno == ENOENT ? SL_NOT_FOUND : SL_IO, "%s: %s", path,
                       strerror(errno));
    enum sl_rc rc = SL_OK;
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        rc = SL_FAIL(err, SL_IO, "%s: not a file", path);
    while (rc == SL_OK) {
        if (out->len > max) {
            rc = SL_FAIL(err, SL_TOO_LARGE, "%s: more than %zu bytes", path, max);
        } else if (!sl_buf_reserve(out, 65536)) {
            rc = SL_FAIL_MEM(err);
        } else {
            ssize_t n = read(fd, out->p + out->len, 65536);
            if (n == 0)
                break;
            if (n > 0)
                out->len += (size_t)n;
            else if (errno != EINTR)
                rc = SL_FAIL(err, SL_IO, "%s: %s", path, strerror(errno));
        }
    }
    close(fd);
    return rc;
}

static enum sl_rc sync_folder_of(const char *path, struct sl_err *err)
{
    char dir[IDENTITY_PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return good ? SL_OK : SL_FAIL(err, SL_IO, "%s: %s", dir, strerror(e));
}

enum sl_rc identity_write_file(const char *path, struct sl_bytes content, struct sl_err *err)
{
    char tmp[IDENTITY_PATH_MAX + 8];
    snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return SL_FAIL(err, SL_IO, "%s: %s", tmp, strerror(errno));
    size_t done = 0;
    while (done < content.len) {
        ssize_t n = write(fd, content.p + done, content.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    bool good = done == content.len && fsync(fd) == 0;
    int e = errno;
    if (close(fd) < 0 && good) {
        e = errno;
        good = false;
    }
    if (good && rename(tmp, path) < 0) {
        e = errno;
        good = false;
    }
    if (!good) {
        (void)unlink(tmp);
        return SL_FAIL(err, SL_IO, "%s: %s", path, strerror(e));
    }
    return sync_folder_of(path, err);
}

/* ---- watching ------------------------------------------------------------------------------------ */
static enum sl_rc load(struct identity *id, const struct watched *w, struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    if (w->kind == WATCH_CERTIFICATE) {
        identity_own_load(id, w->own, false);
        if (!w->own->chain.n)
            return SL_FAIL(err, SL_NOT_FOUND, "%s", w->own->text);
        return SL_OK;
    }
    SL_TRY(identity_read_file(&text, w->path, FILE_MAX, err));
    struct sl_bytes v = sl_buf_bytes(&text);
    switch (w->kind) {
    case WATCH_ANCHOR:
        SL_TRY(sl_decider_anchors(id->d, w->section, v, w->path, err));
        identity_send_anchors(id);
        return SL_OK;
    case WATCH_INTERMEDIATE:
        return sl_decider_intermediates(id->d, w->section, v, w->path, err);
    case WATCH_CRL:
        return sl_decider_crl(id->d, w->section, v, w->path, err);
    case WATCH_RESPONDER:
        return sl_decider_responder(id->d, w->section, v, w->path, err);
    case WATCH_LDIF:
        return sl_decider_ldif(id->d, w->section, v, w->path, err);
    case WATCH_CERTIFICATE:
        break;
    }
    return SL_OK;
}

static bool has_changed(struct watched *w)
{
    struct stat st;
    if (stat(w->path, &st) < 0) {
        bool was = w->seen || !w->failing;
        w->seen = false;
        return was;
    }
    int64_t mtime = (int64_t)st.st_mtim.tv_sec * SL_NS_PER_S + st.st_mtim.tv_nsec;
    if (w->seen && mtime == w->mtime_ns && st.st_size == w->size && st.st_ino == w->inode)
        return false;
    w->seen = true;
    w->mtime_ns = mtime;
    w->size = st.st_size;
    w->inode = st.st_ino;
    return true;
}

static enum sl_rc watch(struct identity *id, enum watched_kind kind, const char *path,
                        const char *section, struct own *own, struct sl_err *err)
{
    if (!*path)
        return SL_OK;
    struct watched *v = reallocarray(id->watched, id->watched_n + 1, sizeof(*v));
    if (!v)
        return SL_FAIL_MEM(err);
    id->watched = v;
    v[id->watched_n++] =
        (struct watched){ .kind = kind, .path = path, .section = section, .own = own };
    return SL_OK;
}

/* ---- directories of CRLs ---------------------------------------------------------------------------- */
static bool is_crl_name(const char *name)
{
    static const char *const ends[] = { ".crl", ".pem", ".der" };
    size_t n = strlen(name);
    for (size_t i = 0; i < SL_ARRAY_LEN(ends); i++)
        if (*name != '.' && n > strlen(ends[i]) && !strcasecmp(name + n - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

static bool is_watched(const struct identity *id, const char *path, const char *section)
{
    for (size_t i = 0; i < id->watched_n; i++)
        if (id->watched[i].kind == WATCH_CRL && !strcmp(id->watched[i].path, path) &&
            !strcmp(id->watched[i].section, section))
            return true;
    return false;
}

static void look_into_dir(struct identity *id, const struct sl_conf_trust *t)
{
    DIR *dir = *t->crl_dir ? opendir(t->crl_dir) : NULL;
    struct sl_err err = { 0 };
    unsigned n = 0;
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) && n < DIR_MAX;) {
        char path[IDENTITY_PATH_MAX];
        if (!is_crl_name(e->d_name) ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", t->crl_dir, e->d_name) >= sizeof(path))
            continue;
        n++;
        if (is_watched(id, path, t->name))
            continue;
        char *copy = strdup(path);
        if (!copy)
            break;
        if (watch(id, WATCH_CRL, copy, t->name, NULL, &err) != SL_OK) {
            free(copy);
            break;
        }
        id->watched[id->watched_n - 1].found = copy;
    }
    closedir(dir);
}

static void look_into_dirs(struct identity *id)
{
    const struct sl_config *c = id->p->config;
    for (size_t i = 0; i < c->trust_n; i++)
        look_into_dir(id, &c->trust[i]);
}

/* A file of such a directory was removed: its CRL counts no more. */
static bool is_gone(struct identity *id, const struct watched *w)
{
    struct stat st;
    if (stat(w->path, &st) == 0 || errno != ENOENT)
        return false;
    sl_info("%s: is gone", w->path);
    sl_decider_crl_gone(id->d, w->section, w->path);
    return true;
}

static void unwatch(struct identity *id, size_t i)
{
    free(id->watched[i].found);
    memmove(&id->watched[i], &id->watched[i + 1], (id->watched_n - i - 1) * sizeof(id->watched[0]));
    id->watched_n--;
}

void identity_files_look(struct identity *id)
{
    look_into_dirs(id);
    for (size_t i = 0; i < id->watched_n; i++) {
        struct watched *w = &id->watched[i];
        struct sl_err err = { 0 };
        if (w->found && is_gone(id, w)) {
            unwatch(id, i--);
            continue;
        }
        /*
         * Anchors and intermediates are read until they are there, and then kept: taking trust away
         * is a change of the configuration.
         */
        bool once = w->kind == WATCH_ANCHOR || w->kind == WATCH_INTERMEDIATE;
        bool first = !w->seen && !w->failing;
        if ((once && w->seen && !w->failing) || !has_changed(w))
            continue;
        w->failing = load(id, w, &err) != SL_OK;
        if (w->failing) {
            snprintf(w->error, sizeof(w->error), "%s", sl_err_text(&err));
            if (w->kind != WATCH_CERTIFICATE) /* that was told already */
                sl_log_err(SL_LOG_ERROR, &err, "%s cannot be used", w->path);
        } else if (!first) {
            sl_info("%s: read again", w->path);
        }
    }
    identity_pump(id);
}

enum sl_rc identity_files_open(struct identity *id, struct sl_err *err)
{
    const struct sl_config *c = id->p->config;
    for (size_t i = 0; i < c->trust_n; i++) {
        const struct sl_conf_trust *t = &c->trust[i];
        for (size_t k = 0; k < t->anchors.n; k++)
            if (strcmp(t->anchors.v[k], AUTHORITY) != 0)
                SL_TRY(watch(id, WATCH_ANCHOR, t->anchors.v[k], t->name, NULL, err));
        for (size_t k = 0; k < t->intermediates.n; k++)
            SL_TRY(watch(id, WATCH_INTERMEDIATE, t->intermediates.v[k], t->name, NULL, err));
        for (size_t k = 0; k < t->crls.n; k++)
            SL_TRY(watch(id, WATCH_CRL, t->crls.v[k], t->name, NULL, err));
        SL_TRY(watch(id, WATCH_RESPONDER, t->responder_cert, t->name, NULL, err));
    }
    for (size_t i = 0; i < c->directory_n; i++)
        if (c->directory[i].type == SL_DIRECTORY_LDIF)
            SL_TRY(watch(id, WATCH_LDIF, c->directory[i].file, c->directory[i].name, NULL, err));
    for (size_t i = 0; i < c->identity_n; i++)
        SL_TRY(watch(id, WATCH_CERTIFICATE, c->identity[i].certificate, "", &id->own[i], err));
    identity_files_look(id);
    return SL_OK;
}

void identity_files_close(struct identity *id)
{
    for (size_t i = 0; i < id->watched_n; i++)
        free(id->watched[i].found);
    free(id->watched);
    id->watched = NULL;
    id->watched_n = 0;
    sl_certs_clear(&id->authority);
}

/* ---- the embedded authority as an anchor ----------------------------------------------------------- */
static bool names_authority(const struct sl_conf_trust *t)
{
    for (size_t i = 0; i < t->anchors.n; i++)
        if (!strcmp(t->anchors.v[i], AUTHORITY))
            return true;
    return false;
}

static bool known(const struct identity *id, struct sl_bytes der)
{
    for (size_t i = 0; i < id->authority.n; i++)
        if (sl_bytes_eq(sl_cert_der(id->authority.v[i]), der))
            return true;
    return false;
}

void identity_authority_certs(struct identity *id, const struct msg_authority_certs *m)
{
    const struct sl_config *c = id->p->config;
    for (size_t i = 0; i < m->cert_n; i++) {
        struct sl_err err = { 0 };
        if (known(id, m->cert[i]))
            continue;
        if (sl_certs_load(&id->authority, m->cert[i], "the authority's certificate", &err) !=
            SL_OK) {
            sl_log_err(SL_LOG_ERROR, &err, "authority");
            continue;
        }
        for (size_t k = 0; k < c->trust_n; k++) {
            if (!names_authority(&c->trust[k]))
                continue;
            const char *trust = c->trust[k].name;
            enum sl_rc rc =
                i == 0 ? sl_decider_anchors(id->d, trust, m->cert[i], "authority", &err)
                       : sl_decider_intermediates(id->d, trust, m->cert[i], "authority", &err);
            if (rc != SL_OK)
                sl_log_err(SL_LOG_ERROR, &err, "trust %s", trust);
        }
    }
    identity_send_anchors(id);
    identity_pump(id);
}

/* ---- the revocation cache on disk -------------------------------------------------------------------- */
static void cache_path(const struct identity *id, char out[IDENTITY_PATH_MAX])
{
    snprintf(out, IDENTITY_PATH_MAX, "%s/" CACHE_NAME, id->dir);
}

static void load_file(struct identity *id, const char *path, bool apart)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF in = { 0 };
    enum sl_rc rc = identity_read_file(&in, path, SL_BUF_MAX / 2, &err);
    if (rc == SL_OK)
        rc = sl_decider_load(id->d, sl_buf_bytes(&in), identity_now(), &err);
    if (rc == SL_OK || rc == SL_NOT_FOUND)
        return;
    sl_log_err(SL_LOG_WARN, &err, "%s is not used", path);
    if (apart)
        (void)unlink(path); /* it is fetched again, or belongs to no source that is left */
}

void identity_cache_load(struct identity *id)
{
    char path[IDENTITY_PATH_MAX];
    cache_path(id, path);
    load_file(id, path, false);
    DIR *dir = opendir(id->dir);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, CRL_PREFIX, sizeof(CRL_PREFIX) - 1) != 0 ||
            !is_crl_name(e->d_name) ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", id->dir, e->d_name) >= sizeof(path))
            continue;
        load_file(id, path, true);
    }
    if (dir)
        closedir(dir);
}

static void save_apart(struct identity *id)
{
    char name[SL_CACHE_NAME], path[IDENTITY_PATH_MAX];
    struct sl_err err = { 0 };
    SL_AUTO_BUF out = { 0 };
    while (sl_decider_save_next(id->d, name, &out)) {
        snprintf(path, sizeof(path), "%s/" CRL_PREFIX "%s", id->dir, name);
        if (identity_write_file(path, sl_buf_bytes(&out), &err) != SL_OK)
            sl_log_err(SL_LOG_WARN, &err, "revocation cache");
        out.len = 0;
    }
}

void identity_cache_save(struct identity *id)
{
    char path[IDENTITY_PATH_MAX];
    struct sl_err err = { 0 };
    SL_AUTO_BUF out = { 0 };
    if (!sl_decider_dirty(id->d))
        return;
    cache_path(id, path);
    if (sl_decider_save(id->d, &out, &err) != SL_OK ||
        identity_write_file(path, sl_buf_bytes(&out), &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "revocation cache");
    save_apart(id);
}
