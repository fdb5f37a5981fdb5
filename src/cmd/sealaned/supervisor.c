/*
 * The supervisor (supervisor.h). One struct supervisor, one thread. Roles are started in an order in
 * which those that are asked come before those that ask; each is linked, when it starts, to those
 * that run already, and those are told of it.
 */
#include "src/cmd/sealaned/supervisor.h"

#include "sealane/time.h"
#include "src/fetch/policy.h"
#include "src/proc/address.h"
#include "src/proc/handout.h"
#include "src/proc/route.h"
#include "src/proc/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EARLY_DEATHS_MAX 5     /* before it was ever ready, in a row: then something is wrong */
#define READY_MS         30000 /* a role that is not ready by then is hung */
#define BACKOFF_MS       100   /* first pause before a restart; doubles */
#define BACKOFF_MAX_MS   10000
#define BACKOFF_READY_MS 2000 /* longest, for a role that had been ready */
#define STEADY_S         10   /* having run so long, a role starts again without a pause */
#define GOODBYE_MS       3000 /* for each group of roles at shutdown */

static const enum proc_role_id start_order[] = { PROC_KEYRING,   PROC_FETCH, PROC_IDENTITY,
                                                 PROC_AUTHORITY, PROC_ESP,   PROC_IKE,
                                                 PROC_CONTROL };
#define ROLES SL_ARRAY_LEN(start_order)

/* At shutdown: no new commands; then SAs are deleted while all they need still runs; then the rest. */
static const unsigned goodbye[] = {
    1u << PROC_CONTROL,
    1u << PROC_IKE | 1u << PROC_AUTHORITY,
    1u << PROC_ESP | 1u << PROC_IDENTITY,
    1u << PROC_FETCH | 1u << PROC_KEYRING,
};

static const char *const what_is_lost[PROC_ROLE_COUNT] = {
    [PROC_IKE] = "IKE SAs and handshakes under way",
    [PROC_ESP] = "ESP SAs, until they are installed anew",
    [PROC_IDENTITY] = "decisions under way and what was cached in memory",
    [PROC_FETCH] = "fetches under way",
    [PROC_KEYRING] = "signatures under way",
    [PROC_AUTHORITY] = "HTTP requests under way",
    [PROC_CONTROL] = "control connections",
};

struct supervisor;
struct role_proc {
    struct supervisor *s;
    enum proc_role_id role;
    pid_t pid; /* 0: not running */
    bool ready, killed;
    struct chan *link;
    struct event *timer; /* to be ready by; to start again at */
    int64_t started_utc_s;
    unsigned restarts, backoff, early_deaths;
    char lost[256];
};

struct supervisor {
    struct event_base *base;
    struct sl_config *config;
    const char *config_file;
    int config_fd, lock_fd, ready_fd;
    uint32_t uid[PROC_ROLE_COUNT], gid[PROC_ROLE_COUNT];
    struct proc_handouts handouts;
    struct rules_config rules;
    struct proc_routes *routes;
    struct proc_addresses *addresses;
    struct role_proc proc[PROC_ROLE_COUNT];
    struct event *signals[4];
    struct event *goodbye_timer;
    bool announced, stopping;
    size_t phase;
    int status;
};

static void start_role(struct role_proc *p);

static bool is_used(const struct supervisor *s, enum proc_role_id role)
{
    return role != PROC_AUTHORITY || s->config->authority.enabled;
}

static void set_timer(struct event *timer, int64_t ms)
{
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    evtimer_add(timer, &tv);
}

/* ---- the service manager ----------------------------------------------------------------------- */
/* sd_notify(3)'s protocol: one datagram; nothing happens outside systemd. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(sa.sun_path))
        return;
    memcpy(sa.sun_path, path, strlen(path));
    if (path[0] == '@')
        sa.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa, len) < 0)
        sl_warn("service manager: %s", strerror(errno));
    close(fd);
}

static void announce(struct supervisor *s)
{
    for (size_t i = 0; i < ROLES; i++)
        if (is_used(s, start_order[i]) && !s->proc[start_order[i]].ready)
            return;
    if (s->announced)
        return;
    s->announced = true;
    sl_info("ready, configuration %s", s->config_file);
    notify("READY=1\n");
    if (s->ready_fd >= 0) {
        if (write(s->ready_fd, "k", 1) != 1)
            sl_warn("the starting process has ended");
        close(s->ready_fd);
        s->ready_fd = -1;
    }
}

/* ---- what roles say ---------------------------------------------------------------------------- */
static void answer_procs(struct supervisor *s, struct chan *c, uint64_t id)
{
    static struct msg_procs m;
    struct sl_err err = { 0 };
    memset(&m, 0, sizeof(m));
    m.proc[m.proc_n++] =
        (struct msg_proc){ .role = PROC_SUPERVISOR,
                           .pid = (uint32_t)getpid(),
                           .ready = s->announced,
                           .started_utc_s = s->proc[PROC_SUPERVISOR].started_utc_s };
    for (size_t i = 0; i < ROLES; i++) {
        const struct role_proc *p = &s->proc[start_order[i]];
        if (!is_used(s, p->role))
            continue;
        struct msg_proc *out = &m.proc[m.proc_n++];
        *out = (struct msg_proc){ .role = (uint8_t)p->role,
                                  .pid = (uint32_t)p->pid,
                                  .ready = p->ready,
                                  .started_utc_s = p->started_utc_s,
                                  .restarts = p->restarts };
        memcpy(out->lost, p->lost, sizeof(out->lost));
    }
    if (msg_answer(c, id, MSG_PROCS, &m, false, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "process table");
}

static void change_route(struct supervisor *s, const struct chan_msg *m)
{
    struct sl_err err = { 0 };
    struct msg_route r;
    if (!msg_read((enum msg_type)m->type, &r, m->body)) {
        sl_error("esp sent a malformed %s", msg_name(m->type));
        return;
    }
    if (!s->config->install_routes)
        return;
    enum sl_rc rc = m->type == MSG_ROUTE_ADD ? proc_routes_add(s->routes, &r, &err)
                                             : proc_routes_del(s->routes, &r, &err);
    if (rc != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "route");
}

static void change_address(struct supervisor *s, const struct chan_msg *m)
{
    struct sl_err err = { 0 };
    struct msg_address a;
    if (!msg_read((enum msg_type)m->type, &a, m->body)) {
        sl_error("esp sent a malformed %s", msg_name(m->type));
        return;
    }
    enum sl_rc rc = m->type == MSG_ADDRESS_ADD ? proc_addresses_add(s->addresses, &a.addr, &err)
                                               : proc_addresses_del(s->addresses, &a.addr, &err);
    if (rc != SL_OK)
        sl_log_err(SL_LOG_ERROR, &err, "virtual address");
}

static void on_ready(struct role_proc *p)
{
    if (p->ready)
        return;
    p->ready = true;
    p->early_deaths = 0;
    evtimer_del(p->timer);
    sl_debug("%s is ready, pid %d", proc_role_name(p->role), (int)p->pid);
    announce(p->s);
}

static void on_message(void *ctx, struct chan *c, struct chan_msg *m)
{
    struct role_proc *p = ctx;
    if (m->type == MSG_READY)
        on_ready(p);
    else if (m->type == MSG_PROCS_ASK && m->id && p->role == PROC_CONTROL)
        answer_procs(p->s, c, m->id);
    else if ((m->type == MSG_ROUTE_ADD || m->type == MSG_ROUTE_DEL) && p->role == PROC_ESP)
        change_route(p->s, m);
    else if ((m->type == MSG_ADDRESS_ADD || m->type == MSG_ADDRESS_DEL) && p->role == PROC_ESP)
        change_address(p->s, m);
    else
        sl_error("%s sent %s, which it may not", proc_role_name(p->role), msg_name(m->type));
}

/* ---- starting a role --------------------------------------------------------------------------- */
static void exec_role(enum proc_role_id role, int fd)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%s", proc_role_name(role));
    char self[] = "sealaned", option[] = "--role";
    char *argv[] = { self, option, name, NULL };
    char *no_environment[] = { NULL };
    int null = open("/dev/null", O_RDWR);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* dup2 of a descriptor onto itself would leave it close-on-exec */
    if (fd == PROC_START_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, PROC_START_FD) < 0)
        _exit(1);
    (void)close_range(PROC_START_FD + 1, UINT_MAX, 0);
    execve("/proc/self/exe", argv, no_environment);
    _exit(1);
}

/* Hands over descriptors, in as many messages as it takes. */
static enum sl_rc hand(struct role_proc *p, const struct proc_handouts *h, struct sl_err *err)
{
    static struct msg_hand m;
    int fd[MSG_FDS_MAX];
    m.name_n = 0;
    for (size_t i = 0; i <= h->n; i++) {
        if (m.name_n == SL_ARRAY_LEN(fd) || (i == h->n && m.name_n)) {
            SL_TRY(msg_send_fds(p->link, MSG_HAND, &m, fd, m.name_n, err));
            m.name_n = 0;
        }
        if (i == h->n || h->v[i].role != p->role)
            continue;
        memcpy(m.name[m.name_n], h->v[i].name, sizeof(m.name[0]));
        fd[m.name_n++] = h->v[i].fd;
    }
    return SL_OK;
}

/* A pair of sockets between p and every role that runs; the far ends go out with MSG_LINK. */
static enum sl_rc make_links(struct role_proc *p, struct msg_start *m, int *fd, size_t *fd_n,
                             struct sl_err *err)
{
    for (size_t i = 0; i < ROLES; i++) {
        struct role_proc *other = &p->s->proc[start_order[i]];
        int pair[2];
        if (!other->pid || !proc_role_linked(p->role, other->role))
            continue;
        SL_TRY(chan_pair(pair, err));
        m->link[m->link_n++] = (uint8_t)other->role;
        fd[(*fd_n)++] = pair[0];
        struct msg_link l = { .role = (uint8_t)p->role };
        enum sl_rc rc = msg_send_fds(other->link, MSG_LINK, &l, &pair[1], 1, err);
        close(pair[1]);
        /* the other may have just ended: it will be linked when it starts again */
        if (rc != SL_OK && rc != SL_PROC_GONE)
            return rc;
    }
    return SL_OK;
}

static enum sl_rc hand_over(struct role_proc *p, struct sl_err *err)
{
    struct supervisor *s = p->s;
    static struct msg_start m;
    int fd[1 + PROC_ROLE_COUNT] = { s->config_fd };
    size_t fd_n = 1;
    struct proc_handouts files = { 0 };
    memset(&m, 0, sizeof(m));
    m.role = (uint8_t)p->role;
    m.user = s->uid[p->role];
    m.group = s->gid[p->role];
    (void)snprintf(m.config_file, sizeof(m.config_file), "%s", s->config_file);
    enum sl_rc rc = hand(p, &s->handouts, err);
    if (rc == SL_OK)
        rc = proc_handout_files(&files, p->role, s->config, err);
    if (rc == SL_OK)
        rc = hand(p, &files, err);
    proc_handout_close(&files);
    if (rc == SL_OK)
        rc = make_links(p, &m, fd, &fd_n, err);
    if (rc == SL_OK)
        rc = msg_send_fds(p->link, MSG_START, &m, fd, fd_n, err);
    for (size_t i = 1; i < fd_n; i++)
        close(fd[i]);
    return rc;
}

static enum sl_rc spawn(struct role_proc *p, struct sl_err *err)
{
    int pair[2];
    SL_TRY(chan_pair(pair, err));
    pid_t pid = fork();
    if (pid == 0)
        exec_role(p->role, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return SL_FAIL(err, SL_IO, "fork: %s", strerror(errno));
    }
    p->pid = pid;
    p->started_utc_s = sl_clock_utc_s();
    SL_TRY(chan_link(p->link, pair[0], err));
    return hand_over(p, err);
}

static void start_role(struct role_proc *p)
{
    struct sl_err err = { 0 };
    p->ready = p->killed = false;
    if (spawn(p, &err) != SL_OK) {
        sl_log_err(SL_LOG_ERROR, &err, "%s cannot be started", proc_role_name(p->role));
        if (p->pid)
            kill(p->pid, SIGKILL); /* half handed over: its end starts it again */
        else
            set_timer(p->timer, BACKOFF_MAX_MS);
        return;
    }
    set_timer(p->timer, READY_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct role_proc *p = arg;
    if (p->s->stopping)
        return;
    if (!p->pid) {
        start_role(p);
    } else if (!p->ready) {
        sl_error("%s was not ready within %d s, it is ended", proc_role_name(p->role),
                 READY_MS / 1000);
        kill(p->pid, SIGKILL);
    }
}

/* ---- the end of a role, and of all ------------------------------------------------------------- */
static void next_phase(struct supervisor *s);
static void shut_down(struct supervisor *s);

static void how_it_ended(char *out, size_t cap, int status)
{
    if (WIFSIGNALED(status))
        (void)snprintf(out, cap, "was ended by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)snprintf(out, cap, "ended with status %d", WEXITSTATUS(status));
}

static void give_up(struct role_proc *p)
{
    sl_error("%s ended %d times in a row before it was ready: sealaned ends; its own lines above "
             "say why",
             proc_role_name(p->role), EARLY_DEATHS_MAX);
    p->s->status = 1;
    shut_down(p->s);
}

static void role_ended(struct role_proc *p, int status)
{
    struct supervisor *s = p->s;
    char how[80];
    how_it_ended(how, sizeof(how), status);
    int64_t ran_s = sl_clock_utc_s() - p->started_utc_s;
    bool was_ready = p->ready;
    p->pid = 0;
    p->ready = false;
    evtimer_del(p->timer);
    if (s->stopping) {
        if (status)
            sl_warn("%s %s while shutting down", proc_role_name(p->role), how);
        next_phase(s);
        return;
    }
    (void)snprintf(p->lost, sizeof(p->lost), "%s; lost: %s", how, what_is_lost[p->role]);
    sl_error("%s %s after %lld s; lost: %s", proc_role_name(p->role), how, (long long)ran_s,
             was_ready ? what_is_lost[p->role] : "nothing, it was not ready");
    if (p->role == PROC_ESP && s->routes)
        proc_routes_orphan(s->routes);
    if (p->role == PROC_ESP && s->addresses)
        proc_addresses_orphan(s->addresses);
    if (!was_ready && ++p->early_deaths >= EARLY_DEATHS_MAX) {
        give_up(p);
        return;
    }
    if (ran_s >= STEADY_S)
        p->backoff = 0;
    int64_t most = was_ready ? BACKOFF_READY_MS : BACKOFF_MAX_MS;
    int64_t pause = p->backoff < 8 ? (int64_t)BACKOFF_MS << p->backoff : most;
    p->backoff++;
    p->restarts++;
    set_timer(p->timer, pause < most ? pause : most);
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct supervisor *s = arg;
    for (size_t i = 0; i < ROLES; i++) {
        struct role_proc *p = &s->proc[start_order[i]];
        int status;
        if (p->pid && waitpid(p->pid, &status, WNOHANG) == p->pid)
            role_ended(p, status);
    }
}

static bool any_runs(const struct supervisor *s, unsigned roles)
{
    for (size_t i = 0; i < ROLES; i++)
        if (roles & 1u << start_order[i] && s->proc[start_order[i]].pid)
            return true;
    return false;
}

/* Ends the groups of roles one after another; called again whenever a role has ended. */
static void next_phase(struct supervisor *s)
{
    while (s->phase < SL_ARRAY_LEN(goodbye) && !any_runs(s, goodbye[s->phase])) {
        s->phase++;
        if (s->phase == SL_ARRAY_LEN(goodbye))
            break;
        for (size_t i = 0; i < ROLES; i++) {
            struct role_proc *p = &s->proc[start_order[i]];
            struct sl_err err = { 0 };
            struct msg_none none = { 0 };
            if (!(goodbye[s->phase] & 1u << p->role) || !p->pid)
                continue;
            if (msg_send(p->link, MSG_SHUTDOWN, &none, &err) != SL_OK)
                kill(p->pid, SIGKILL);
        }
        set_timer(s->goodbye_timer, GOODBYE_MS);
    }
    if (s->phase == SL_ARRAY_LEN(goodbye))
        event_base_loopbreak(s->base);
}

static void on_goodbye_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct supervisor *s = arg;
    for (size_t i = 0; i < ROLES; i++) {
        struct role_proc *p = &s->proc[start_order[i]];
        if (goodbye[s->phase] & 1u << p->role && p->pid) {
            sl_warn("%s did not end within %d ms", proc_role_name(p->role), GOODBYE_MS);
            kill(p->pid, SIGKILL);
        }
    }
}

static void shut_down(struct supervisor *s)
{
    struct sl_err err = { 0 };
    struct msg_none none = { 0 };
    if (s->stopping)
        return;
    s->stopping = true;
    notify("STOPPING=1\n");
    s->phase = 0;
    struct role_proc *first = &s->proc[PROC_CONTROL];
    if (first->pid && msg_send(first->link, MSG_SHUTDOWN, &none, &err) != SL_OK)
        kill(first->pid, SIGKILL);
    set_timer(s->goodbye_timer, GOODBYE_MS);
    next_phase(s);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    if (number == SIGHUP) {
        sl_warn("a changed configuration takes effect when sealaned is started again");
        return;
    }
    sl_info("signal %d, shutting down", (int)number);
    shut_down(arg);
}

/* ---- beginning --------------------------------------------------------------------------------- */
static enum sl_rc read_config(struct supervisor *s, struct sl_err *err)
{
    SL_AUTO_BUF text = { 0 };
    int fd = open(s->config_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return SL_FAIL(err, SL_IO, "configuration %s: %s", s->config_file, strerror(errno));
    ssize_t n = 1;
    while (n > 0 && text.len <= ((size_t)16 << 20) && sl_buf_reserve(&text, 65536)) {
        n = read(fd, text.p + text.len, 65536);
        if (n > 0)
            text.len += (size_t)n;
    }
    int e = errno;
    close(fd);
    if (n != 0)
        return SL_FAIL(err, SL_IO, "configuration %s: %s", s->config_file,
                       n < 0 ? strerror(e) : "over 16 MiB");
    SL_TRY(sl_config_parse(&s->config, sl_buf_bytes(&text), s->config_file, NULL, err));
    SL_TRY(fetch_rules_check(&s->config->fetch, err));
    /* a copy, so that all roles read the same, whatever happens to the file */
    s->config_fd = memfd_create("sealane-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->config_fd < 0 || write(s->config_fd, text.p, text.len) != (ssize_t)text.len ||
        fcntl(s->config_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) <
            0)
        return SL_FAIL(err, SL_IO, "copy of the configuration: %s", strerror(errno));
    return SL_OK;
}

static void find_users(struct supervisor *s)
{
    for (size_t i = 0; i < ROLES; i++) {
        enum proc_role_id role = start_order[i];
        char name[128];
        s->uid[role] = s->gid[role] = s->config->user_base + (uint32_t)role;
        if (!*s->config->user_prefix)
            continue;
        (void)snprintf(name, sizeof(name), "%s-%s", s->config->user_prefix, proc_role_name(role));
        const struct passwd *pw = getpwnam(name);
        if (pw) {
            s->uid[role] = pw->pw_uid;
            s->gid[role] = pw->pw_gid;
        } else {
            sl_warn("there is no user %s; %s runs as user %u", name, proc_role_name(role),
                    s->uid[role]);
        }
    }
}

/* One daemon for each run_dir: the lock lasts as long as the process. */
static enum sl_rc take_lock(struct supervisor *s, struct sl_err *err)
{
    char path[PATH_MAX], text[16];
    SL_TRY(proc_make_dir(s->config->run_dir, 0755, 0, 0, err));
    (void)snprintf(path, sizeof(path), "%s/sealaned.pid", s->config->run_dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (s->lock_fd < 0)
        return SL_FAIL(err, SL_IO, "%s: %s", path, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return SL_FAIL(err, SL_EXISTS, "%s is held by another sealaned", path);
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(s->lock_fd, 0) < 0 || write(s->lock_fd, text, (size_t)n) != n)
        return SL_FAIL(err, SL_IO, "%s: %s", path, strerror(errno));
    return SL_OK;
}

/*
 * Root without most of its powers: what is left starts, confines and ends the roles, opens their
 * files, and sets routes.
 */
static enum sl_rc drop_powers(struct sl_err *err)
{
    static const unsigned kept[] = { CAP_NET_ADMIN,    CAP_KILL,           CAP_SETUID,
                                     CAP_SETGID,       CAP_SETPCAP,        CAP_SYS_CHROOT,
                                     CAP_SYS_RESOURCE, CAP_DAC_READ_SEARCH };
    bool have[SL_ARRAY_LEN(kept)]; /* in a container some are missing */
    for (size_t i = 0; i < SL_ARRAY_LEN(kept); i++)
        have[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
    capng_clear(CAPNG_SELECT_BOTH);
    for (size_t i = 0; i < SL_ARRAY_LEN(kept); i++)
        if (have[i])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
                         kept[i]);
    if (capng_apply(CAPNG_SELECT_BOTH) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "the supervisor's capabilities cannot be reduced: %s",
                       strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "no-new-privileges: %s", strerror(errno));
    return SL_OK;
}

static enum sl_rc listen_for_signals(struct supervisor *s, struct sl_err *err)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++)
        s->signals[i] = evsignal_new(s->base, numbers[i], on_signal, s);
    s->signals[3] = evsignal_new(s->base, SIGCHLD, on_child, s);
    s->goodbye_timer = evtimer_new(s->base, on_goodbye_timer, s);
    for (size_t i = 0; i < SL_ARRAY_LEN(s->signals); i++)
        if (!s->signals[i] || event_add(s->signals[i], NULL) < 0)
            return SL_FAIL_MEM(err);
    return s->goodbye_timer ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc make_procs(struct supervisor *s, struct sl_err *err)
{
    for (size_t i = 0; i < ROLES; i++) {
        struct role_proc *p = &s->proc[start_order[i]];
        p->s = s;
        p->role = start_order[i];
        p->timer = evtimer_new(s->base, on_timer, p);
        if (!p->timer)
            return SL_FAIL_MEM(err);
        SL_TRY(chan_new(&p->link, s->base, -1, proc_role_name(p->role), err));
        chan_handle(p->link, &(struct chan_handler){ .message = on_message, .ctx = p });
    }
    return SL_OK;
}

static enum sl_rc begin(struct supervisor *s, struct sl_err *err)
{
    if (geteuid() != 0)
        return SL_FAIL(err, SL_DENIED, "sealaned has to be started as root");
    s->proc[PROC_SUPERVISOR].started_utc_s = sl_clock_utc_s();
    find_users(s);
    s->base = event_base_new();
    if (!s->base)
        return SL_FAIL_MEM(err);
    SL_TRY(proc_handout_open(&s->handouts, s->config, s->uid, s->gid, err));
    s->rules = (struct rules_config){ .table = s->config->table,
                                      .mark = s->config->mark,
                                      .priority = s->config->rule_priority,
                                      .shunt = s->config->shunt,
                                      .shunt_n = s->config->shunt_n };
    SL_TRY(proc_routes_new(&s->routes, s->config->tun_name,
                           s->config->install_routes ? &s->rules : NULL, err));
    SL_TRY(proc_addresses_new(&s->addresses, s->config->tun_name, err));
    SL_TRY(drop_powers(err));
    SL_TRY(listen_for_signals(s, err));
    SL_TRY(make_procs(s, err));
    for (size_t i = 0; i < ROLES; i++)
        if (is_used(s, start_order[i]))
            start_role(&s->proc[start_order[i]]);
    return SL_OK;
}

/* What is left of a daemon that has ended would only mislead. */
static void remove_run_file(const struct supervisor *s, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", s->config->run_dir, name);
    (void)unlink(path);
}

static void clear(struct supervisor *s)
{
    if (s->handouts.n && s->config)
        remove_run_file(s, "control.sock");
    if (s->routes)
        proc_routes_remove_all(s->routes);
    proc_routes_free(s->routes);
    if (s->addresses)
        proc_addresses_remove_all(s->addresses);
    proc_addresses_free(s->addresses);
    for (size_t i = 0; i < ROLES; i++) {
        struct role_proc *p = &s->proc[start_order[i]];
        chan_free(p->link);
        if (p->timer)
            event_free(p->timer);
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(s->signals); i++)
        if (s->signals[i])
            event_free(s->signals[i]);
    if (s->goodbye_timer)
        event_free(s->goodbye_timer);
    proc_handout_close(&s->handouts);
    if (s->base)
        event_base_free(s->base);
    if (s->config_fd >= 0)
        close(s->config_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    sl_config_free(s->config);
}

/*
 * Into the background: the process that was started waits until the daemon is ready, so that its
 * exit status tells. The log goes to run_dir/sealaned.log. true in the daemon.
 */
static bool go_to_background(struct supervisor *s, int *status)
{
    char path[PATH_MAX], answer;
    int p[2];
    (void)snprintf(path, sizeof(path), "%s/sealaned.log", s->config->run_dir);
    *status = 1;
    if (pipe2(p, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid != 0) {
        close(p[1]);
        if (pid > 0 && read(p[0], &answer, 1) == 1)
            *status = 0;
        else
            sl_error("sealaned did not start; %s says why", path);
        close(p[0]);
        return false;
    }
    close(p[0]);
    s->ready_fd = p[1];
    setsid();
    struct sl_err err = { 0 };
    int log = -1;
    if (proc_make_dir(s->config->run_dir, 0755, 0, 0, &err) == SL_OK)
        log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log >= 0)
        dup2(log, STDERR_FILENO);
    else
        sl_warn("%s: %s; the log goes on here", path, strerror(errno));
    return true;
}

int supervisor_run(const struct supervisor_options *options)
{
    static struct supervisor s = { .config_fd = -1, .lock_fd = -1, .ready_fd = -1 };
    struct sl_err err = { 0 };
    sl_log_init("supervisor", STDERR_FILENO, SL_LOG_INFO);
    s.config_file = options->config_file;
    enum sl_rc rc = read_config(&s, &err);
    if (rc == SL_OK && s.config) {
        sl_log_init("supervisor", STDERR_FILENO, s.config->log_level);
        int status;
        if (!options->foreground && !go_to_background(&s, &status)) {
            clear(&s);
            return status;
        }
        rc = take_lock(&s, &err);
        if (rc == SL_OK)
            rc = begin(&s, &err);
    }
    if (rc == SL_OK) {
        event_base_dispatch(s.base);
        sl_info("ended");
    } else {
        sl_log_err(SL_LOG_ERROR, &err, "cannot start");
        s.status = 1;
    }
    clear(&s);
    return s.status;
}
