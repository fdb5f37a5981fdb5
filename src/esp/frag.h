/*
 * Packets too large for the path outside: fragmentation of IPv4 packets that allow it, and the ICMP
 * error for those that do not.
 */
#ifndef SL_ESP_FRAG_H
#define SL_ESP_FRAG_H

#include "src/esp/inner.h"

/*
 * The next fragment of whole, an IPv4 packet that esp_inner_read has accepted, of at most mtu bytes
 * (68 or more, RFC 791 3.1), into out (mtu bytes). *at: bytes of its data done; starts at 0.
 * 0 when there is none left.
 */
size_t esp_fragment(const struct esp_inner *in, struct sl_bytes whole, uint16_t mtu, uint32_t *at,
                    uint8_t *out);

/*
 * Makes the error in the place of the packet, whose first room bytes before it are free: "packet
 * too big", telling mtu, from the packet's destination to its source. The length of what now starts
 * at pkt - ESP_TOO_BIG_ROOM(family); 0 when no error may answer this packet (RFC 1122 3.2.2,
 * RFC 4443 2.4 e).
 */
#define ESP_TOO_BIG_ROOM4 28u
#define ESP_TOO_BIG_ROOM6 48u
size_t esp_too_big(const struct esp_inner *in, uint8_t *pkt, uint16_t mtu);

#endif
