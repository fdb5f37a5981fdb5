/* What the supervisor opens for the roles (handout.h). */
#include "src/proc/handout.h"
#include "src/esp/steer.h"
#include "src/esp/tun.h"
#include "src/proc/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RECEIVE_BUF   (8 << 20)
#define HTTP_BACKLOG  512
#define CTL_BACKLOG   64
#define ESP_OVERHEAD  100 /* outer IPv4 header, UDP, ESP with IV, padding and the longest ICV */
#define TUN_MTU_MIN   1280
#define TUN_MTU_MAX   65000
#define TUN_MTU_USUAL 1400

/* fd is taken, also on failure. */
static enum sl_rc add(struct proc_handouts *h, enum proc_role_id role, const char *name, int fd,
                      struct sl_err *err)
{
    struct proc_handout *v = realloc(h->v, (h->n + 1) * sizeof(*v));
    if (!v) {
        close(fd);
        return SL_FAIL_MEM(err);
    }
    h->v = v;
    v[h->n] = (struct proc_handout){ .role = role, .fd = fd };
    (void)snprintf(v[h->n].name, sizeof(v[h->n].name), "%s", name);
    h->n++;
    return SL_OK;
}

void proc_handout_close(struct proc_handouts *h)
{
    for (size_t i = 0; i < h->n; i++)
        close(h->v[i].fd);
    free(h->v);
    *h = (struct proc_handouts){ 0 };
}

/* ---- directories ------------------------------------------------------------------------------- */
static bool make_parents(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof(part))
        return false;
    memcpy(part, path, n + 1);
    for (char *s = part + 1; (s = strchr(s, '/')); s++) {
        *s = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return false;
        *s = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* The files of a role whose user has changed follow it; links are not followed. */
static void give_files(int dir, uint32_t uid, uint32_t gid)
{
    DIR *d = fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 0));
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            fchownat(dir, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
            sl_warn("file %s stays with its old owner: %s", e->d_name, strerror(errno));
    closedir(d);
}

enum sl_rc proc_make_dir(const char *path, uint32_t mode, uint32_t uid, uint32_t gid,
                         struct sl_err *err)
{
    if (!make_parents(path))
        return SL_FAIL(err, SL_IO, "directory %s: %s", path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return SL_FAIL(err, SL_IO, "directory %s: %s", path, strerror(e));
    }
    bool moved = st.st_uid != uid || st.st_gid != gid;
    if (moved && uid != 0)
        give_files(fd, uid, gid);
    bool good = (!moved || fchown(fd, uid, gid) == 0) && fchmod(fd, mode) == 0;
    int e = errno;
    close(fd);
    if (!good)
        return SL_FAIL(err, SL_IO, "directory %s: %s", path, strerror(e));
    return SL_OK;
}

static enum sl_rc make_sub(const char *dir, const char *name, uint32_t mode, uint32_t uid,
                           uint32_t gid, struct sl_err *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return proc_make_dir(path, mode, uid, gid, err);
}

/* Can others reach this directory? A role that cannot would fail later with less to say. */
static enum sl_rc check_reach(const char *path, struct sl_err *err)
{
    char part[PATH_MAX];
    struct stat st;
    size_t n = strlen(path);
    if (path[0] != '/' || n >= sizeof(part))
        return SL_OK;
    memcpy(part, path, n + 1);
    for (char *s = part + 1; (s = strchr(s, '/')); s++) {
        *s = '\0';
        if (stat(part, &st) == 0 && !(st.st_mode & S_IXOTH))
            return SL_FAIL(err, SL_DENIED,
                           "%s cannot be reached by the roles' users: %s lacks the permission "
                           "x for others (chmod o+x)",
                           path, part);
        *s = '/';
    }
    return SL_OK;
}

static enum sl_rc make_dirs(const struct sl_config *c, const uint32_t *uid, const uint32_t *gid,
                            struct sl_err *err)
{
    SL_TRY(proc_make_dir(c->state_dir, 0755, 0, 0, err));
    SL_TRY(proc_make_dir(c->run_dir, 0755, 0, 0, err));
    SL_TRY(make_sub(c->run_dir, PROC_EMPTY_DIR, 0555, 0, 0, err));
    SL_TRY(make_sub(c->state_dir, PROC_KEYS_DIR, 0700, uid[PROC_KEYRING], gid[PROC_KEYRING], err));
    SL_TRY(make_sub(c->state_dir, PROC_IDENTITY_DIR, 0700, uid[PROC_IDENTITY], gid[PROC_IDENTITY],
                    err));
    if (c->authority.enabled)
        SL_TRY(make_sub(c->state_dir, PROC_AUTHORITY_DIR, 0700, uid[PROC_AUTHORITY],
                        gid[PROC_AUTHORITY], err));
    SL_TRY(proc_make_dir(c->audit_dir, 0700, uid[PROC_IDENTITY], gid[PROC_IDENTITY], err));
    SL_TRY(check_reach(c->state_dir, err));
    return check_reach(c->audit_dir, err);
}

/* ---- UDP and raw sockets ----------------------------------------------------------------------- */
/* Tells the local address of each packet; room for bursts; past the tunnel's routes (rules.h). */
static void tune(int fd, int family, uint32_t mark)
{
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
        sl_warn("mark of our own packets: %s; no remote selector may cover the peer's own address",
                strerror(errno));

    int one = 1, size = RECEIVE_BUF;
    if (family == AF_INET)
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
}

static enum sl_rc open_udp(int *out, const struct sl_addr *addr, uint16_t port, bool shared,
                           uint32_t mark, struct sl_err *err)
{
    struct sl_endpoint e = { .addr = *addr, .port = port };
    struct sockaddr_storage ss;
    char text[SL_ENDPOINT_TEXT];
    socklen_t len = sl_endpoint_to_sockaddr(&ss, &e);
    int one = 1, fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *out = -1;
    if (fd < 0 && errno == EAFNOSUPPORT)
        return SL_OK; /* a host without this family */
    if (fd < 0)
        return SL_FAIL(err, SL_IO, "UDP socket: %s", strerror(errno));
    if (ss.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0) ||
        bind(fd, (struct sockaddr *)&ss, len) < 0) {
        int error = errno;
        close(fd);
        if (error == EADDRNOTAVAIL && ss.ss_family == AF_INET6 && sl_addr_is_any(addr))
            return SL_OK; /* IPv6 is built in but turned off */
        return SL_FAIL(err, SL_IO, "UDP %s: %s%s", sl_endpoint_text(text, &e), strerror(error),
                       error == EADDRINUSE ? " (another IKE daemon?)" : "");
    }
    tune(fd, ss.ss_family, mark);
    *out = fd;
    return SL_OK;
}

static enum sl_rc open_family(struct proc_handouts *h, const struct sl_config *c, bool v6,
                              struct sl_err *err)
{
    struct sl_addr any = { .family = v6 ? 6 : 4 };
    const struct sl_addr *conf = v6 ? &c->listen6 : &c->listen4;
    const struct sl_addr *addr = conf->family ? conf : &any;
    int fd;
    SL_TRY(open_udp(&fd, addr, c->port, false, c->mark, err));
    if (fd < 0)
        return SL_OK;
    SL_TRY(add(h, PROC_IKE, v6 ? "udp500v6" : "udp500v4", fd, err));
    /* bound in the order of ESP_STEER_IKE, ESP_STEER_ESP: what starts with four zero bytes is IKE */
    SL_TRY(open_udp(&fd, addr, c->port_natt, true, c->mark, err));
    if (fd >= 0)
        SL_TRY(add(h, PROC_IKE, v6 ? "udp4500v6" : "udp4500v4", fd, err));
    SL_TRY(open_udp(&fd, addr, c->port_natt, true, c->mark, err));
    if (fd >= 0) {
        SL_TRY(add(h, PROC_ESP, v6 ? "esp4500v6" : "esp4500v4", fd, err));
        SL_TRY(esp_steer(fd, err));
    }
    int family = v6 ? AF_INET6 : AF_INET;
    fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ESP);
    if (fd < 0) {
        sl_warn("raw ESP socket for IPv%c: %s; only UDP encapsulation will work", v6 ? '6' : '4',
                strerror(errno));
        return SL_OK;
    }
    tune(fd, family, c->mark);
    return add(h, PROC_ESP, v6 ? "rawespv6" : "rawespv4", fd, err);
}

/* ---- changes of addresses ---------------------------------------------------------------------- */
static enum sl_rc open_rtnl(struct proc_handouts *h, struct sl_err *err)
{
    struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
                              .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                           RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        sl_warn("routing socket: %s; changes of this host's addresses are not noticed (MOBIKE)",
                strerror(errno));
        if (fd >= 0)
            close(fd);
        return SL_OK;
    }
    return add(h, PROC_IKE, "rtnl", fd, err);
}

/* ---- the tunnel device ------------------------------------------------------------------------- */
/* What the narrowest link leaves after ESP. */
static int derive_mtu(int any_socket)
{
    int least = TUN_MTU_USUAL + ESP_OVERHEAD;
    bool found = false;
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *i = all; i && i->if_index; i++) {
        struct ifreq r = { 0 };
        (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", i->if_name);
        if (ioctl(any_socket, SIOCGIFFLAGS, &r) < 0 || !(r.ifr_flags & IFF_UP) ||
            r.ifr_flags & (IFF_LOOPBACK | IFF_POINTOPOINT) || ioctl(any_socket, SIOCGIFMTU, &r) < 0)
            continue;
        if (!found || r.ifr_mtu < least)
            least = r.ifr_mtu;
        found = true;
    }
    if_freenameindex(all);
    int mtu = least - ESP_OVERHEAD;
    return mtu < TUN_MTU_MIN ? TUN_MTU_MIN : mtu > TUN_MTU_MAX ? TUN_MTU_MAX : mtu;
}

/* The device carries no address of its own, so the kernel shall not make it a link-local one. */
static void no_address(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "1", 1) != 1)
        sl_debug("%s: %s", path, strerror(errno));
    close(fd);
}

static enum sl_rc set_up(const char *name, const struct sl_config *c, struct sl_err *err)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = { 0 };
    (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    r.ifr_mtu = c->mtu ? c->mtu : derive_mtu(s);
    bool good = s >= 0 && ioctl(s, SIOCSIFMTU, &r) == 0 && ioctl(s, SIOCGIFFLAGS, &r) == 0;
    r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
    good = good && ioctl(s, SIOCSIFFLAGS, &r) == 0;
    int e = errno;
    if (s >= 0)
        close(s);
    if (!good)
        return SL_FAIL(err, SL_IO, "tunnel device %s: %s", name, strerror(e));
    return SL_OK;
}

static enum sl_rc open_tun(struct proc_handouts *h, const struct sl_config *c, struct sl_err *err)
{
    int fd;
    SL_TRY(esp_tun_open(&fd, c->tun_name, err));
    SL_TRY(add(h, PROC_ESP, "tun", fd, err));
    no_address(c->tun_name);
    return set_up(c->tun_name, c, err);
}

/* ---- listeners --------------------------------------------------------------------------------- */
static enum sl_rc open_http(struct proc_handouts *h, const struct sl_config *c, struct sl_err *err)
{
    char text[SL_ENDPOINT_TEXT];
    struct sl_endpoint e = c->authority.listen;
    struct sockaddr_storage ss;
    if (!c->authority.enabled)
        return SL_OK;
    if (!e.addr.family)
        e.addr.family = 4;
    socklen_t len = sl_endpoint_to_sockaddr(&ss, &e);
    int one = 1, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, HTTP_BACKLOG) < 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return SL_FAIL(err, SL_IO, "HTTP of the authority on %s: %s", sl_endpoint_text(text, &e),
                       strerror(error));
    }
    return add(h, PROC_AUTHORITY, "http", fd, err);
}

static enum sl_rc open_control(struct proc_handouts *h, const struct sl_config *c,
                               struct sl_err *err)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control.sock", c->run_dir);
    if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
        return SL_FAIL(err, SL_CONFIG_VALUE,
                       "run_dir %s: a socket's path has at most %zu characters", c->run_dir,
                       sizeof(sa.sun_path) - 1);
    gid_t gid = 0;
    if (*c->control_group) {
        struct group *g = getgrnam(c->control_group);
        if (!g)
            return SL_FAIL(err, SL_CONFIG_VALUE, "control_group: there is no group \"%s\"",
                           c->control_group);
        gid = g->gr_gid;
    }
    /* the caller holds the lock of run_dir, so what is there is left over */
    (void)unlink(sa.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
    umask(old);
    good = good && chown(sa.sun_path, 0, gid) == 0 && chmod(sa.sun_path, 0660) == 0 &&
           listen(fd, CTL_BACKLOG) == 0;
    if (!good) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return SL_FAIL(err, SL_IO, "control socket %s: %s", sa.sun_path, strerror(e));
    }
    return add(h, PROC_CONTROL, "control", fd, err);
}

enum sl_rc proc_handout_open(struct proc_handouts *h, const struct sl_config *config,
                             const uint32_t uid[PROC_ROLE_COUNT],
                             const uint32_t gid[PROC_ROLE_COUNT], struct sl_err *err)
{
    SL_TRY(make_dirs(config, uid, gid, err));
    SL_TRY(open_family(h, config, false, err));
    SL_TRY(open_family(h, config, true, err));
    SL_TRY(open_rtnl(h, err));
    SL_TRY(open_tun(h, config, err));
    SL_TRY(open_http(h, config, err));
    return open_control(h, config, err);
}

/* ---- files with secrets ------------------------------------------------------------------------ */
static enum sl_rc add_file(struct proc_handouts *h, enum proc_role_id role, const char *kind,
                           const char *name, const char *path, struct sl_err *err)
{
    char full[96];
    if (!*path)
        return SL_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        sl_error("%s of %s: %s: %s", kind, name, path, strerror(errno));
        return SL_OK;
    }
    (void)snprintf(full, sizeof(full), "%s:%s", kind, name);
    return add(h, role, full, fd, err);
}

enum sl_rc proc_handout_files(struct proc_handouts *h, enum proc_role_id role,
                              const struct sl_config *c, struct sl_err *err)
{
    if (role == PROC_KEYRING) {
        for (size_t i = 0; i < c->identity_n; i++)
            SL_TRY(add_file(h, role, "key", c->identity[i].name, c->identity[i].key_file, err));
        for (size_t i = 0; i < c->psk_n; i++)
            SL_TRY(add_file(h, role, "psk", c->psk[i].name, c->psk[i].file, err));
    }
    if (role == PROC_IDENTITY)
        for (size_t i = 0; i < c->scep_n; i++)
            SL_TRY(add_file(h, role, "challenge", c->scep[i].name, c->scep[i].challenge_file, err));
    if (role == PROC_FETCH)
        for (size_t i = 0; i < c->directory_n; i++) {
            const struct sl_conf_directory *d = &c->directory[i];
            SL_TRY(add_file(h, role, "password", d->name, d->password_file, err));
            SL_TRY(add_file(h, role, "client_key", d->name, d->client_key, err));
            SL_TRY(add_file(h, role, "client_cert", d->name, d->client_cert, err));
            SL_TRY(add_file(h, role, "ca", d->name, d->ca_file, err));
        }
    return SL_OK;
}
