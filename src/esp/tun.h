/*
 * The TUN device: inner packets from and to the kernel. The supervisor opens it, the datapath gets
 * the descriptor. With IFF_VNET_HDR each packet is preceded by a struct virtio_net_hdr, which is
 * where segmentation offload will be told.
 */
#ifndef SL_ESP_TUN_H
#define SL_ESP_TUN_H

#include "sealane/esp.h"

struct esp_tun {
    int fd;
    uint8_t hdr_len; /* of the virtio header; 0: none */
};

/* Needs CAP_NET_ADMIN. name: "sealane0"; "" lets the kernel choose. Non-blocking, close-on-exec. */
SL_MUST_USE enum sl_rc esp_tun_open(int *fd, const char *name, struct sl_err *err);
/*
 * fd is borrowed. Turns offloads off, so that each packet is whole and its checksum done. What is
 * no TUN device (a datagram socket in a test) carries bare packets.
 */
SL_MUST_USE enum sl_rc esp_tun_init(struct esp_tun *t, int fd, struct sl_err *err);

enum esp_tun_got { ESP_TUN_PACKET, ESP_TUN_EMPTY, ESP_TUN_BAD };
/* Reads one packet to SL_ESP_HEADROOM of p->buf. BAD: not one we can use; read on. */
enum esp_tun_got esp_tun_read(const struct esp_tun *t, struct sl_esp_pkt *p);
/* Hands the packet to the kernel; the bytes before it in p->buf are overwritten. */
SL_MUST_USE bool esp_tun_write(const struct esp_tun *t, const struct sl_esp_pkt *p);

#endif
