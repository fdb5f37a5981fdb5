/*
 * Confinement of a role (sandbox.h). The order matters: what needs a privilege comes before the
 * privilege is given up, what opens paths before the root directory changes, seccomp last.
 */
#include "src/proc/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_MAX   8192                /* open descriptors */
#define MEMLOCK_MAX ((rlim_t)64 << 20)  /* secrets stay out of swap */
#define FILE_MAX    ((rlim_t)256 << 20) /* a role without files still writes memfds */

/* ---- what each role needs ---------------------------------------------------------------------- */
enum {
    MAY_READ = 1u << 0,    /* open files for reading */
    MAY_WRITE = 1u << 1,   /* make, change and remove files */
    MAY_ACCEPT = 1u << 2,  /* take connections on a socket it was handed */
    MAY_CONNECT = 1u << 3, /* make sockets and connect them */
    MAY_LOAD = 1u << 4,    /* map code: OpenSSL providers, NSS modules */
    MAY_DEVICE = 1u << 5,  /* ioctl on TUN, pinning of threads */
    EMPTY_ROOT = 1u << 6,
    KEYS_ROOT = 1u << 7,
};
static const unsigned needs[PROC_ROLE_COUNT] = {
    [PROC_IKE] = EMPTY_ROOT,
    [PROC_ESP] = EMPTY_ROOT | MAY_DEVICE,
    [PROC_KEYRING] = KEYS_ROOT | MAY_READ | MAY_WRITE,
    [PROC_CONTROL] = EMPTY_ROOT | MAY_ACCEPT,
    [PROC_IDENTITY] = MAY_READ | MAY_WRITE | MAY_LOAD,
    [PROC_FETCH] = MAY_READ | MAY_CONNECT | MAY_LOAD,
    [PROC_AUTHORITY] = MAY_READ | MAY_WRITE | MAY_ACCEPT | MAY_LOAD,
};

/* ---- Landlock ---------------------------------------------------------------------------------- */
/* Debian 12's headers know the ABI of Linux 6.1; these are of later ones. */
#define LL_CREATE_RULESET 444
#define LL_ADD_RULE       445
#define LL_RESTRICT_SELF  446
#define LL_RULE_PATH      1
#define LL_VERSION        (1U << 0)
#define LL_FS_EXECUTE     (1ULL << 0)
#define LL_FS_WRITE_FILE  (1ULL << 1)
#define LL_FS_READ_FILE   (1ULL << 2)
#define LL_FS_READ_DIR    (1ULL << 3)
#define LL_FS_REMOVE_DIR  (1ULL << 4)
#define LL_FS_REMOVE_FILE (1ULL << 5)
#define LL_FS_MAKE_DIR    (1ULL << 7)
#define LL_FS_MAKE_REG    (1ULL << 8)
#define LL_FS_REFER       (1ULL << 13)
#define LL_FS_TRUNCATE    (1ULL << 14)
#define LL_NET_BIND       (1ULL << 0)
#define LL_NET_CONNECT    (1ULL << 1)
#define LL_SCOPE_ALL      3ULL /* abstract UNIX sockets, signals */
#define LL_READ           (LL_FS_READ_FILE | LL_FS_READ_DIR)
#define LL_CHANGE                                                                         \
    (LL_READ | LL_FS_WRITE_FILE | LL_FS_REMOVE_DIR | LL_FS_REMOVE_FILE | LL_FS_MAKE_DIR | \
     LL_FS_MAKE_REG | LL_FS_REFER | LL_FS_TRUNCATE)

struct ll_ruleset {
    uint64_t fs, net, scoped;
};
struct ll_path {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

struct landlock {
    int fd; /* -1: the kernel has none */
    uint64_t fs;
};

static enum sl_rc landlock_open(struct landlock *l, unsigned need, struct sl_err *err)
{
    long abi = syscall(LL_CREATE_RULESET, NULL, 0, LL_VERSION);
    l->fd = -1;
    if (abi < 1)
        return SL_OK;
    /* each ABI added rights; a kernel refuses those that it does not know */
    l->fs = abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi >= 2 ? 0x3fff : 0x1fff;
    struct ll_ruleset rules = { .fs = l->fs };
    size_t size = sizeof(rules.fs);
    if (abi >= 4) {
        rules.net = LL_NET_BIND | (need & MAY_CONNECT ? 0 : LL_NET_CONNECT);
        size += sizeof(rules.net);
    }
    if (abi >= 6) {
        rules.scoped = LL_SCOPE_ALL;
        size += sizeof(rules.scoped);
    }
    l->fd = (int)syscall(LL_CREATE_RULESET, &rules, size, 0);
    if (l->fd < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "landlock ruleset: %s", strerror(errno));
    return SL_OK;
}

/* Allows access beneath path. A path that is not there needs no rule. */
static enum sl_rc landlock_allow(struct landlock *l, const char *path, uint64_t access,
                                 struct sl_err *err)
{
    if (l->fd < 0 || !*path)
        return SL_OK;
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (fd >= 0)
            close(fd);
        return SL_OK;
    }
    if (!S_ISDIR(st.st_mode))
        access &= LL_FS_EXECUTE | LL_FS_READ_FILE | LL_FS_WRITE_FILE | LL_FS_TRUNCATE;
    struct ll_path rule = { .allowed = access & l->fs, .parent_fd = fd };
    long rc = syscall(LL_ADD_RULE, l->fd, LL_RULE_PATH, &rule, 0);
    int e = errno;
    close(fd);
    if (rc < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "landlock rule for %s: %s", path, strerror(e));
    return SL_OK;
}

/* The folder of a configured file, so that a file put in its place later can be read as well. */
static enum sl_rc landlock_allow_file(struct landlock *l, const char *path, struct sl_err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof(folder))
        return SL_OK;
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    memcpy(folder, path, n);
    folder[n] = '\0';
    return landlock_allow(l, folder, LL_READ, err);
}

static enum sl_rc landlock_allow_files(struct landlock *l, const struct sl_conf_strings *files,
                                       struct sl_err *err)
{
    for (size_t i = 0; i < files->n; i++)
        SL_TRY(landlock_allow_file(l, files->v[i], err));
    return SL_OK;
}

static enum sl_rc allow_state(struct landlock *l, const struct sl_config *c, const char *folder,
                              struct sl_err *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", c->state_dir, folder);
    return landlock_allow(l, path, LL_CHANGE, err);
}

static enum sl_rc allow_system(struct landlock *l, struct sl_err *err)
{
    static const char *const paths[] = { "/usr/lib", "/lib", "/lib64", "/usr/lib64", "/etc/ssl" };
    for (size_t i = 0; i < SL_ARRAY_LEN(paths); i++)
        SL_TRY(landlock_allow(l, paths[i], LL_READ | LL_FS_EXECUTE, err));
    return SL_OK;
}

static enum sl_rc allow_identity(struct landlock *l, const struct sl_config *c, struct sl_err *err)
{
    SL_TRY(allow_state(l, c, PROC_IDENTITY_DIR, err));
    SL_TRY(landlock_allow(l, c->audit_dir, LL_CHANGE, err));
    for (size_t i = 0; i < c->trust_n; i++) {
        SL_TRY(landlock_allow_files(l, &c->trust[i].anchors, err));
        SL_TRY(landlock_allow_files(l, &c->trust[i].intermediates, err));
        SL_TRY(landlock_allow_files(l, &c->trust[i].crls, err));
        SL_TRY(landlock_allow(l, c->trust[i].crl_dir, LL_READ, err));
        SL_TRY(landlock_allow_file(l, c->trust[i].responder_cert, err));
    }
    for (size_t i = 0; i < c->identity_n; i++)
        SL_TRY(landlock_allow_file(l, c->identity[i].certificate, err));
    for (size_t i = 0; i < c->directory_n; i++)
        SL_TRY(landlock_allow_file(l, c->directory[i].file, err));
    return allow_system(l, err);
}

static enum sl_rc allow_fetch(struct landlock *l, const struct sl_config *c, struct sl_err *err)
{
    static const char *const paths[] = { "/etc",
                                         "/usr/share/ca-certificates",
                                         "/run/systemd/resolve",
                                         "/run/resolvconf",
                                         "/dev/urandom",
                                         "/dev/null" };
    for (size_t i = 0; i < SL_ARRAY_LEN(paths); i++)
        SL_TRY(landlock_allow(l, paths[i], LL_READ, err));
    for (size_t i = 0; i < c->directory_n; i++)
        SL_TRY(landlock_allow_file(l, c->directory[i].ca_file, err));
    return allow_system(l, err);
}

static enum sl_rc landlock_rules(struct landlock *l, enum proc_role_id role,
                                 const struct sl_config *c, struct sl_err *err)
{
    switch (role) {
    case PROC_KEYRING:
        return allow_state(l, c, PROC_KEYS_DIR, err);
    case PROC_IDENTITY:
        return allow_identity(l, c, err);
    case PROC_FETCH:
        return allow_fetch(l, c, err);
    case PROC_AUTHORITY:
        SL_TRY(allow_state(l, c, PROC_AUTHORITY_DIR, err));
        return allow_system(l, err);
    case PROC_IKE:
    case PROC_ESP:
    case PROC_CONTROL:
    case PROC_SUPERVISOR:
    case PROC_ROLE_COUNT:
        break;
    }
    return SL_OK;
}

static enum sl_rc landlock_enter(struct landlock *l, struct sl_err *err)
{
    if (l->fd < 0)
        return SL_OK;
    long rc = syscall(LL_RESTRICT_SELF, l->fd, 0);
    int e = errno;
    close(l->fd);
    if (rc < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "landlock: %s", strerror(e));
    return SL_OK;
}

/* ---- user, root directory, limits -------------------------------------------------------------- */
static enum sl_rc limit(int what, rlim_t max, struct sl_err *err)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)what, &r) == 0 && r.rlim_max < max)
        max = r.rlim_max; /* in a container root may not raise it */
    r = (struct rlimit){ max, max };
    if (setrlimit((__rlimit_resource_t)what, &r) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "limit %d: %s", what, strerror(errno));
    return SL_OK;
}

static enum sl_rc limits(unsigned need, struct sl_err *err)
{
    SL_TRY(limit(RLIMIT_CORE, 0, err));
    SL_TRY(limit(RLIMIT_NOFILE, FILES_MAX, err));
    SL_TRY(limit(RLIMIT_MEMLOCK, MEMLOCK_MAX, err));
    if (!(need & MAY_WRITE))
        SL_TRY(limit(RLIMIT_FSIZE, FILE_MAX, err));
    return SL_OK;
}

static enum sl_rc change_root(unsigned need, const struct sl_config *c, struct sl_err *err)
{
    char path[PATH_MAX];
    if (need & EMPTY_ROOT)
        (void)snprintf(path, sizeof(path), "%s/%s", c->run_dir, PROC_EMPTY_DIR);
    else if (need & KEYS_ROOT)
        (void)snprintf(path, sizeof(path), "%s/%s", c->state_dir, PROC_KEYS_DIR);
    else
        return SL_OK;
    if (chdir(path) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "root directory %s: %s", path, strerror(errno));
    return SL_OK;
}

static enum sl_rc change_user(uint32_t uid, uint32_t gid, struct sl_err *err)
{
    if (uid == 0 || gid == 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "a role is not to run as root");
    capng_clear(CAPNG_SELECT_BOUNDS);
    if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "capability bounding set: %s", strerror(errno));
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "user %u: %s", uid, strerror(errno));
    capng_clear(CAPNG_SELECT_ALL);
    if (capng_apply(CAPNG_SELECT_CAPS) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "capabilities: %s", strerror(errno));
    if (setuid(0) == 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "user %u can become root again", uid);
    return SL_OK;
}

/* ---- seccomp ----------------------------------------------------------------------------------- */
/* By name, so that a call that an architecture or a libseccomp does not have is passed over. */
static const char *const for_all[] = {
    /* memory and threads */
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "mlock",
    "mlock2",
    "munlock",
    "futex",
    "membarrier",
    "sched_yield",
    "sched_getaffinity",
    "getcpu",
    "rseq",
    "set_robust_list",
    "get_robust_list",
    "set_tid_address",
    "gettid",
    "getpid",
    "exit",
    "exit_group",
    "restart_syscall",
    /* time, signals */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigtimedwait",
    "sigaltstack",
    "tgkill",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    /* descriptors it has */
    "read",
    "readv",
    "write",
    "writev",
    "close",
    "fstat",
    "lseek",
    "dup",
    "dup3",
    "fcntl",
    "pipe2",
    "eventfd2",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "memfd_create",
    "ftruncate",
    "pread64",
    "pwrite64",
    /* sockets it has */
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "sendmmsg",
    "recvmmsg",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "shutdown",
    /* the rest */
    "getrandom",
    "getrlimit",
    "getrusage",
    "times",
    "uname",
    "sysinfo",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getppid",
};
static const char *const for_reading[] = {
    "open",       "openat",     "stat",   "lstat",     "newfstatat", "statx",
    "statfs",     "fstatfs",    "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents64", "getcwd", "fadvise64",
};
static const char *const for_writing[] = {
    "fsync",    "fdatasync", "fallocate", "sync_file_range", "flock",    "rename",
    "renameat", "renameat2", "unlink",    "unlinkat",        "mkdir",    "mkdirat",
    "rmdir",    "fchmod",    "fchmodat",  "chmod",           "umask",    "link",
    "linkat",   "utimensat", "pwritev",   "preadv",          "truncate",
};
static const char *const for_accepting[] = { "accept", "accept4" };
static const char *const for_connecting[] = { "connect", "bind", "socketpair" };
static const char *const for_devices[] = { "sched_setaffinity", "sched_setscheduler",
                                           "sched_getscheduler", "sched_getparam",
                                           "sched_get_priority_min" };

static int allow(scmp_filter_ctx f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);
        if (nr == __NR_SCMP_ERROR)
            continue;
        int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
        if (rc < 0 && rc != -EDOM && rc != -EEXIST)
            return rc;
    }
    return 0;
}

/* Of a call whose argument arg compares so; a mask and its value for SCMP_CMP_MASKED_EQ. */
static int allow_arg(scmp_filter_ctx f, int call, unsigned arg, enum scmp_compare op,
                     scmp_datum_t a, scmp_datum_t b)
{
    struct scmp_arg_cmp cmp = { .arg = arg, .op = op, .datum_a = a, .datum_b = b };
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &cmp);
}

/* Calls of which only some arguments are allowed. */
static int allow_some(scmp_filter_ctx f, unsigned need)
{
    int rc = 0;
    /* clone3 hides its flags behind a pointer: glibc falls back to clone, which may make threads */
    rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    rc |= allow_arg(f, SCMP_SYS(clone), 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
                    CLONE_THREAD | CLONE_VM);
    if (need & MAY_LOAD) {
        rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 0);
        rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 0);
    } else {
        rc |= allow_arg(f, SCMP_SYS(mmap), 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
        rc |= allow_arg(f, SCMP_SYS(mprotect), 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    }
    /* glibc asks for a descriptor's status with an empty path */
    if (!(need & MAY_READ))
        rc |=
            allow_arg(f, SCMP_SYS(newfstatat), 3, SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH);
    /* reading limits, never setting them */
    rc |= allow_arg(f, SCMP_SYS(prlimit64), 2, SCMP_CMP_EQ, 0, 0);
    rc |= allow_arg(f, SCMP_SYS(prctl), 0, SCMP_CMP_EQ, PR_SET_NAME, 0);
    rc |= allow_arg(f, SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, FIONREAD, 0);
    rc |= allow_arg(f, SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, FIONBIO, 0);
    if (need & MAY_DEVICE) /* TUN's own */
        rc |= allow_arg(f, SCMP_SYS(ioctl), 1, SCMP_CMP_MASKED_EQ, 0xff00, 'T' << 8);
    if (need & MAY_CONNECT) {
        static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
        for (size_t i = 0; i < SL_ARRAY_LEN(families); i++)
            rc |= allow_arg(f, SCMP_SYS(socket), 0, SCMP_CMP_EQ, (scmp_datum_t)families[i], 0);
        /* getaddrinfo looks at the host's own addresses */
        const struct scmp_arg_cmp route[] = { { 0, SCMP_CMP_EQ, AF_NETLINK, 0 },
                                              { 2, SCMP_CMP_EQ, NETLINK_ROUTE, 0 } };
        rc |= seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, route);
    }
    return rc < 0 ? -EINVAL : 0;
}

static int add_rules(scmp_filter_ctx f, unsigned need)
{
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (rc == 0 || rc == -EOPNOTSUPP || rc == -EINVAL)
        rc = allow(f, for_all, SL_ARRAY_LEN(for_all));
    if (rc == 0 && need & MAY_READ)
        rc = allow(f, for_reading, SL_ARRAY_LEN(for_reading));
    if (rc == 0 && need & MAY_WRITE)
        rc = allow(f, for_writing, SL_ARRAY_LEN(for_writing));
    if (rc == 0 && need & MAY_ACCEPT)
        rc = allow(f, for_accepting, SL_ARRAY_LEN(for_accepting));
    if (rc == 0 && need & MAY_CONNECT)
        rc = allow(f, for_connecting, SL_ARRAY_LEN(for_connecting));
    if (rc == 0 && need & MAY_DEVICE)
        rc = allow(f, for_devices, SL_ARRAY_LEN(for_devices));
    if (rc == 0)
        rc = allow_some(f, need);
    return rc;
}

static enum sl_rc seccomp_enter(unsigned need, struct sl_err *err)
{
    /* an error rather than a signal: the role goes on, and says what it could not do */
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f)
        return SL_FAIL_MEM(err);
    int rc = add_rules(f, need);
    if (rc == 0)
        rc = seccomp_load(f);
    seccomp_release(f);
    if (rc < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "system-call filter: %s", strerror(-rc));
    return SL_OK;
}

/* ---- all of it --------------------------------------------------------------------------------- */
static bool wanted(const struct sl_config *config)
{
#ifdef SL_FAULTS
    return config->sandbox;
#else
    (void)config;
    return true;
#endif
}

enum sl_rc proc_sandbox(enum proc_role_id role, const struct sl_config *config, uint32_t uid,
                        uint32_t gid, struct sl_err *err)
{
    unsigned need = needs[role];
    SL_TRY(limits(need, err));
    if (!wanted(config))
        return change_user(uid, gid, err);
    struct landlock l;
    SL_TRY(landlock_open(&l, need, err));
    SL_TRY(landlock_rules(&l, role, config, err));
    SL_TRY(change_root(need, config, err));
    SL_TRY(change_user(uid, gid, err));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return SL_FAIL(err, SL_PROC_SANDBOX, "prctl: %s", strerror(errno));
    SL_TRY(landlock_enter(&l, err));
    return seccomp_enter(need, err);
}
