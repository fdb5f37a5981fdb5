/* Which process gets a datagram of UDP port 4500; see steer.h. RFC 3948 2.2, 2.3. */
#include "src/esp/steer.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

enum sl_rc esp_steer(int fd, struct sl_err *err)
{
    /*
     * Offsets count from the UDP payload. A load past its end ends the program with 0, which is
     * right for what is shorter than an SPI: a keepalive is one byte.
     */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), /* the non-ESP marker */
        BPF_STMT(BPF_RET | BPF_K, ESP_STEER_IKE),
        BPF_STMT(BPF_RET | BPF_K, ESP_STEER_ESP),
    };
    struct sock_fprog program = { .len = SL_ARRAY_LEN(code), .filter = code };
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0)
        return SL_FAIL(err, SL_IO, "selector between IKE and ESP: %s", strerror(errno));
    return SL_OK;
}
