/*
 * Fuzz target: every message between processes. Input: type (2), body. What is read is written to
 * the same bytes. Seeds: SL_WRITE_CORPUS=FOLDER test_proc_msg.
 */
#include "src/proc/msg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_rd r = sl_rd(sl_bytes(data, size));
    uint16_t type = sl_rd_u16(&r);
    struct sl_bytes body = sl_rd_rest(&r);
    if (!sl_rd_done(&r) || !msg_size(type))
        return 0;
    void *m = malloc(msg_size(type));
    if (m && msg_read((enum msg_type)type, m, body)) {
        struct sl_buf again = { 0 };
        struct sl_err err = { 0 };
        if (msg_write((enum msg_type)type, m, &again, &err) != SL_OK ||
            !sl_bytes_eq(body, sl_buf_bytes(&again)))
            abort();
        if (type == MSG_CHILD_ADD)
            sl_child_clear(m);
        sl_buf_wipe(&again);
    }
    free(m);
    return 0;
}
