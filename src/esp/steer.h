/*
 * IKE and ESP share UDP port 4500 (RFC 3948 2.2). Two sockets are bound to it with SO_REUSEPORT, in
 * this order, and the kernel hands each datagram to the right one, so that none passes from process
 * to process.
 */
#ifndef SL_ESP_STEER_H
#define SL_ESP_STEER_H

#include "sealane/err.h"

#define ESP_STEER_IKE 0 /* bound first: four zero bytes, and keepalives */
#define ESP_STEER_ESP 1 /* bound second: all else */

/* fd: either of the two, both bound. The program belongs to the port, not to the socket. */
SL_MUST_USE enum sl_rc esp_steer(int fd, struct sl_err *err);

#endif
