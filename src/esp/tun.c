/* The TUN device; see tun.h. Linux Documentation/networking/tuntap.rst. */
#include "src/esp/tun.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HDR_MAX 16u /* less than any packet has before it: ICMPv6 errors leave the least */

enum sl_rc esp_tun_open(int *fd, const char *name, struct sl_err *err)
{
    struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
    if (strlen(name) >= sizeof(r.ifr_name))
        return SL_FAIL(err, SL_USAGE, "tunnel device name \"%s\" is longer than %zu", name,
                       sizeof(r.ifr_name) - 1);
    (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tun < 0)
        return SL_FAIL(err, SL_IO, "/dev/net/tun: %s", strerror(errno));
    if (ioctl(tun, TUNSETIFF, &r) < 0) {
        int e = errno;
        close(tun);
        return SL_FAIL(err, SL_IO, "tunnel device %s: %s%s", name, strerror(e),
                       e == EBUSY ? " (is another sealaned running?)" : "");
    }
    *fd = tun;
    return SL_OK;
}

enum sl_rc esp_tun_init(struct esp_tun *t, int fd, struct sl_err *err)
{
    struct ifreq r = { 0 };
    *t = (struct esp_tun){ .fd = fd };
    if (ioctl(fd, TUNGETIFF, &r) < 0)
        return SL_OK; /* no TUN device */
    if (!(r.ifr_flags & IFF_TUN) || !(r.ifr_flags & IFF_NO_PI))
        return SL_FAIL(err, SL_IO, "%s is not a TUN device without packet information", r.ifr_name);
    if (!(r.ifr_flags & IFF_VNET_HDR))
        return SL_OK;
    int len = 0;
    if (ioctl(fd, TUNGETVNETHDRSZ, &len) < 0 || ioctl(fd, TUNSETOFFLOAD, 0UL) < 0)
        return SL_FAIL(err, SL_IO, "tunnel device %s: %s", r.ifr_name, strerror(errno));
    if (len < (int)sizeof(struct virtio_net_hdr) || len > (int)HDR_MAX)
        return SL_FAIL(err, SL_IO, "tunnel device %s: header of %d bytes", r.ifr_name, len);
    t->hdr_len = (uint8_t)len;
    return SL_OK;
}

enum esp_tun_got esp_tun_read(const struct esp_tun *t, struct sl_esp_pkt *p)
{
    uint8_t *at = p->buf + SL_ESP_HEADROOM - t->hdr_len;
    ssize_t n;
    do
        n = read(t->fd, at, p->cap - SL_ESP_HEADROOM - SL_ESP_TAILROOM + t->hdr_len);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EBADFD || errno == EIO))
        return ESP_TUN_EMPTY; /* EIO, EBADFD: the device is down or gone */
    if (n <= (ssize_t)t->hdr_len)
        return n < 0 ? ESP_TUN_EMPTY : ESP_TUN_BAD;
    if (t->hdr_len) {
        struct virtio_net_hdr hdr; /* the kernel's own, in native order */
        memcpy(&hdr, at, sizeof(hdr));
        if (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE || hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
            return ESP_TUN_BAD; /* offloads are off: this is not to come */
    }
    p->off = SL_ESP_HEADROOM;
    p->len = (uint32_t)n - t->hdr_len;
    return ESP_TUN_PACKET;
}

bool esp_tun_write(const struct esp_tun *t, const struct sl_esp_pkt *p)
{
    assert(p->off >= t->hdr_len);
    uint8_t *at = p->buf + p->off - t->hdr_len;
    memset(at, 0, t->hdr_len);
    size_t len = (size_t)p->len + t->hdr_len;
    ssize_t n;
    do
        n = write(t->fd, at, len);
    while (n < 0 && errno == EINTR);
    return n >= 0 && (size_t)n == len;
}
