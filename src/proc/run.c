/*
 * The life of a role's process (role.h): what it is handed, its confinement, its links, its loop,
 * and the control verbs every role has.
 */
#include "src/proc/role.h"
#include "src/proc/sandbox.h"

#include <errno.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_MAX ((size_t)16 << 20)

struct named_fd {
    char name[96];
    int fd;
};
struct proc_inner {
    struct sl_config *config;
    struct named_fd *fd;
    size_t fd_n;
    const struct proc_verb *verbs;
    size_t verbs_n;
    struct proc_ctl *open; /* control requests not yet answered to the end */
    uint32_t user, group;
    bool started, stopped;
    int status;
};
struct proc_ctl {
    struct proc_role *p;
    struct proc_ctl *next;
    uint64_t id;
    bool dead;
};

/* ---- descriptors ------------------------------------------------------------------------------- */
int proc_fd_take(struct proc_role *p, const char *name)
{
    for (size_t i = 0; i < p->in->fd_n; i++)
        if (p->in->fd[i].fd >= 0 && !strcmp(p->in->fd[i].name, name)) {
            int fd = p->in->fd[i].fd;
            p->in->fd[i].fd = -1;
            return fd;
        }
    return -1;
}

static enum sl_rc read_config(struct proc_role *p, int fd, const char *file, struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    off_t at = 0;
    for (;;) {
        if (text.len > CONFIG_MAX || !sl_buf_reserve(&text, 65536))
            return SL_FAIL(err, SL_TOO_LARGE, "configuration %s is over %zu bytes", file,
                           CONFIG_MAX);
        ssize_t n = pread(fd, text.p + text.len, 65536, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SL_FAIL(err, SL_IO, "configuration %s: %s", file, strerror(errno));
        if (n == 0)
            break;
        text.len += (size_t)n;
        at += n;
    }
    SL_TRY(sl_config_parse(&p->in->config, sl_buf_bytes(&text), file, NULL, err));
    p->config = p->in->config;
    return SL_OK;
}

/* ---- control verbs ----------------------------------------------------------------------------- */
static void ctl_free(struct proc_ctl *q)
{
    struct proc_ctl **p = &q->p->in->open;
    while (*p != q)
        p = &(*p)->next;
    *p = q->next;
    free(q);
}

void proc_ctl_reply(struct proc_ctl *q, enum sl_rc rc, const char *text, const json_t *result,
                    bool more)
{
    struct sl_err err = { 0 };
    char *json = result && !q->dead ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct msg_ctl_reply m = { .rc = rc, .json = sl_str(json ? json : ""), .more = more };
    strncpy(m.text, text ? text : "", sizeof(m.text) - 1);
    if (!q->dead &&
        msg_answer(q->p->link[PROC_CONTROL], q->id, MSG_CTL_REPLY, &m, more, &err) != SL_OK) {
        q->dead = true;
        if (err.rc != SL_PROC_GONE)
            sl_log_err(SL_LOG_WARN, &err, "answer to a control request");
    }
    free(json);
    if (!more)
        ctl_free(q);
}

bool proc_ctl_alive(const struct proc_ctl *q)
{
    return !q->dead;
}

void proc_ctl_fail(struct proc_ctl *q, const struct sl_err *err)
{
    proc_ctl_reply(q, err->rc, sl_err_text(err), NULL, false);
}

void proc_control(struct proc_role *p, const struct proc_verb *verbs, size_t n)
{
    p->in->verbs = verbs;
    p->in->verbs_n = n;
}

#ifdef SL_FAULTS
/* What a test makes a role try, to see that it is refused: the errno's number, 0 when it worked. */
static int attempt(const char *what, const json_t *args)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    int fd = -1, rc = -1;
    errno = 0;
    if (!strcmp(what, "open")) {
        rc = fd = open(path ? path : "/etc/passwd", O_RDONLY | O_CLOEXEC);
    } else if (!strcmp(what, "socket")) {
        rc = fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    } else if (!strcmp(what, "connect")) {
        /* on a descriptor it has, so that not only socket(2) is what stops it */
        struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
        rc = connect(PROC_START_FD, (struct sockaddr *)&sa, sizeof(sa));
    } else if (!strcmp(what, "exec")) {
        char *none[] = { NULL };
        rc = execve("/bin/true", none, none);
    } else if (!strcmp(what, "fork")) {
        rc = fork();
        if (rc == 0)
            _exit(0);
        if (rc > 0)
            waitpid(rc, NULL, 0);
    } else if (!strcmp(what, "kill")) {
        rc = kill(getppid(), 0);
    } else if (!strcmp(what, "root")) {
        rc = setuid(0);
    } else {
        return -1;
    }
    int e = rc < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

json_t *proc_attempt(const json_t *args)
{
    const char *what = json_string_value(json_object_get(args, "try"));
    int e = attempt(what ? what : "", args);
    return e < 0 ? NULL
                 : json_pack("{s:s, s:i, s:s}", "try", what, "errno", e, "text",
                             e ? strerror(e) : "it worked");
}

void proc_verb_attempt(void *ctx, struct proc_ctl *q, const json_t *args)
{
    (void)ctx;
    json_t *result = proc_attempt(args);
    if (result)
        proc_ctl_reply(q, SL_OK, "", result, false);
    else
        proc_ctl_reply(q, SL_USAGE, "nothing of that name can be tried", NULL, false);
    json_decref(result);
}
#endif

static void run_verb(struct proc_role *p, struct proc_ctl *q, const char *verb, const json_t *args)
{
    for (size_t i = 0; i < p->in->verbs_n; i++)
        if (!strcmp(p->in->verbs[i].verb, verb)) {
            p->in->verbs[i].run(p->ctx, q, args);
            return;
        }
#ifdef SL_FAULTS
    if (!strcmp(verb, "fault")) {
        proc_verb_attempt(NULL, q, args);
        return;
    }
#endif
    if (!strcmp(verb, "status")) {
        json_t *nothing = json_object();
        proc_ctl_reply(q, SL_OK, "", nothing, false);
        json_decref(nothing);
        return;
    }
    struct sl_err err = { 0 };
    (void)SL_FAIL(&err, SL_UNSUPPORTED, "%s does not know the verb \"%s\"", p->name, verb);
    proc_ctl_fail(q, &err);
}

static void on_control(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct proc_role *p = ctx;
    struct msg_ctl_request r;
    struct msg_ctl_cancel cancel;
    if (m->type == MSG_CTL_CANCEL && msg_read(MSG_CTL_CANCEL, &cancel, m->body)) {
        for (struct proc_ctl *q = p->in->open; q; q = q->next)
            q->dead |= q->id == cancel.id;
        return;
    }
    if (m->type != MSG_CTL_REQUEST || !m->id || !msg_read(MSG_CTL_REQUEST, &r, m->body)) {
        sl_error("%s sent a malformed %s", chan_peer(c), msg_name(m->type));
        return;
    }
    struct proc_ctl *q = malloc(sizeof(*q));
    json_error_t problem;
    json_t *args = r.json.len ? json_loadb((const char *)r.json.p, r.json.len,
                                           JSON_REJECT_DUPLICATES, &problem)
                              : json_object();
    if (!q || (!args && !r.json.len)) {
        sl_error("out of memory, control request %s is not answered", r.verb);
        free(q);
        json_decref(args);
        return;
    }
    *q = (struct proc_ctl){ .p = p, .next = p->in->open, .id = m->id };
    p->in->open = q;
    if (!json_is_object(args))
        proc_ctl_reply(q, SL_MALFORMED, "arguments are not a JSON object", NULL, false);
    else
        run_verb(p, q, r.verb, args);
    json_decref(args);
}

/* ---- links ------------------------------------------------------------------------------------- */
static void on_stray(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)ctx;
    sl_warn("%s sent %s, which is not for this process", chan_peer(c), msg_name(m->type));
}

static void on_default_linked(void *ctx, struct chan *c, bool linked)
{
    (void)ctx;
    sl_debug("%s %s", chan_peer(c), linked ? "is there" : "has ended");
}

static void on_control_linked(void *ctx, struct chan *c, bool linked)
{
    struct proc_role *p = ctx;
    if (!linked)
        for (struct proc_ctl *q = p->in->open; q; q = q->next)
            q->dead = true;
    on_default_linked(ctx, c, linked);
}

static enum sl_rc take_hand(struct proc_role *p, struct chan_msg *m, struct sl_err *err)
{
    static struct msg_hand h; /* large */
    if (p->in->started || !msg_read(MSG_HAND, &h, m->body) || h.name_n != m->fd_n)
        return SL_FAIL(err, SL_PROC_MESSAGE, "handed descriptors are malformed");
    struct named_fd *fd = realloc(p->in->fd, (p->in->fd_n + h.name_n) * sizeof(*fd));
    if (!fd)
        return SL_FAIL_MEM(err);
    p->in->fd = fd;
    for (size_t i = 0; i < h.name_n; i++) {
        struct named_fd *n = &fd[p->in->fd_n++];
        memcpy(n->name, h.name[i], sizeof(n->name));
        n->fd = m->fd[i];
        m->fd[i] = -1;
    }
    return SL_OK;
}

static enum sl_rc start(struct proc_role *p, struct chan_msg *m, struct sl_err *err)
{
    static struct msg_start s; /* large, and read once */
    if (p->in->started || !msg_read(MSG_START, &s, m->body) || s.role != p->role ||
        m->fd_n != 1 + s.link_n)
        return SL_FAIL(err, SL_PROC_MESSAGE, "first message is malformed");
    p->in->user = s.user;
    p->in->group = s.group;
    SL_TRY(read_config(p, m->fd[0], s.config_file, err));
    sl_log_init(p->name, STDERR_FILENO, p->config->log_level);
    for (size_t i = 0; i < PROC_ROLE_COUNT; i++) {
        enum proc_role_id other = (enum proc_role_id)i;
        if (other == PROC_SUPERVISOR || !proc_role_linked(p->role, other))
            continue;
        int fd = -1;
        for (size_t k = 0; k < s.link_n; k++)
            if (s.link[k] == other) {
                fd = m->fd[1 + k];
                m->fd[1 + k] = -1;
            }
        SL_TRY(chan_new(&p->link[other], p->base, fd, proc_role_name(other), err));
        struct chan_handler h = { on_stray, on_default_linked, p };
        if (other == PROC_CONTROL)
            h = (struct chan_handler){ on_control, on_control_linked, p };
        chan_handle(p->link[other], &h);
    }
    p->in->started = true;
    return SL_OK;
}

static void shut_down(struct proc_role *p)
{
    if (p->on_shutdown)
        p->on_shutdown(p, p->ctx);
    else
        proc_stop(p, 0);
}

static void on_supervisor(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct proc_role *p = ctx;
    struct sl_err err = { 0 };
    struct msg_link l;
    (void)c;
    switch (m->type) {
    case MSG_HAND:
    case MSG_START:
        if ((m->type == MSG_HAND ? take_hand(p, m, &err) : start(p, m, &err)) != SL_OK) {
            sl_log_err(SL_LOG_ERROR, &err, "cannot start");
            proc_stop(p, 1);
        } else if (m->type == MSG_START) {
            event_base_loopbreak(p->base);
        }
        break;
    case MSG_LINK:
        if (!p->in->started || !msg_read(MSG_LINK, &l, m->body) || l.role >= PROC_ROLE_COUNT ||
            l.role == PROC_SUPERVISOR || !p->link[l.role] || m->fd_n != 1) {
            sl_error("the supervisor's link cannot be used");
            break;
        }
        if (chan_link(p->link[l.role], m->fd[0], &err) != SL_OK)
            sl_log_err(SL_LOG_ERROR, &err, "link to %s", proc_role_name((enum proc_role_id)l.role));
        m->fd[0] = -1;
        break;
    case MSG_SHUTDOWN:
        shut_down(p);
        break;
    default:
        sl_error("the supervisor sent %s, which is not for this process", msg_name(m->type));
    }
}

static void on_supervisor_linked(void *ctx, struct chan *c, bool linked)
{
    struct proc_role *p = ctx;
    (void)c;
    if (!linked) { /* nobody would start this process anew or shut it down */
        sl_error("the supervisor has ended");
        proc_stop(p, 1);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------- */
void proc_ready(struct proc_role *p)
{
    struct sl_err err = { 0 };
    struct msg_none none = { 0 };
    if (msg_send(p->link[PROC_SUPERVISOR], MSG_READY, &none, &err) != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "not announced as ready");
}

void proc_stop(struct proc_role *p, int status)
{
    p->in->stopped = true;
    p->in->status = status;
    event_base_loopbreak(p->base);
}

int proc_run(struct proc_role *p)
{
    if (!p->in->stopped)
        event_base_dispatch(p->base);
    return p->in->status;
}

/* What libraries would otherwise open later, when it is out of reach. */
static void preload(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_CIPHERS |
                            OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                        NULL);
    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL);
    uint8_t seed[16];
    (void)RAND_bytes(seed, sizeof(seed));
    EVP_MD_free(EVP_MD_fetch(NULL, "SHA256", NULL));
    (void)evutil_secure_rng_init();
    tzset();
}

static void role_clear(struct proc_role *p)
{
    for (size_t i = 0; i < PROC_ROLE_COUNT; i++)
        chan_free(p->link[i]);
    for (size_t i = 0; i < p->in->fd_n; i++)
        if (p->in->fd[i].fd >= 0)
            close(p->in->fd[i].fd);
    free(p->in->fd);
    while (p->in->open)
        ctl_free(p->in->open);
    event_base_free(p->base);
    sl_config_free(p->in->config);
}

int proc_role_main(enum proc_role_id role, int (*entry)(struct proc_role *))
{
    static struct proc_inner in;
    struct proc_role p = { .role = role, .name = proc_role_name(role), .in = &in };
    struct sl_err err = { 0 };
    char name[16];
    (void)snprintf(name, sizeof(name), "sealane-%s", p.name);
    prctl(PR_SET_NAME, name, 0, 0, 0);
    sl_log_init(p.name, STDERR_FILENO, SL_LOG_INFO);

    /* the supervisor says when to end; a terminal's or a service manager's signal is for it alone */
    static const int ignored[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < SL_ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);

    evthread_use_pthreads();
    p.base = event_base_new();
    if (!p.base ||
        chan_new(&p.link[PROC_SUPERVISOR], p.base, PROC_START_FD, "supervisor", &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
        return 1;
    }
    chan_handle(p.link[PROC_SUPERVISOR],
                &(struct chan_handler){ on_supervisor, on_supervisor_linked, &p });
    event_base_dispatch(p.base); /* until MSG_START */
    if (!in.started) {
        role_clear(&p);
        return 1;
    }
    preload();
    if (sl_secret_process_init(&err) != SL_OK ||
        proc_sandbox(role, p.config, in.user, in.group, &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "cannot be confined, does not start");
        role_clear(&p);
        return 1;
    }
    int status = entry(&p);
    role_clear(&p);
    return status;
}
