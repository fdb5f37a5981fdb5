/*
 * CP payload bodies as the client reads a reply and the server a request: what is taken is usable, and
 * is written and read again the same.
 */
#include "src/ike/core.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct ike_xchg *x, const struct sl_virtual *v)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF b = { 0 };
    struct sl_virtual first = *v;
    struct ike_wr c = ike_wr_chain(&b);
    x->setup->cfg_asked = UINT32_MAX;
    put_cfg_reply(&c, x);
    if (c.w.bad)
        abort();
    if (!b.len)
        return; /* servers without an address */
    if (ike_payloads_read(&x->list, c.first, sl_buf_bytes(&b), &err) != SL_OK ||
        cfg_reply_take(x, &err) != SL_OK)
        abort();
    if (first.dns_n != v->dns_n || strcmp(first.split_dns, v->split_dns) != 0 ||
        !sl_addr_eq(&first.addr[0], &v->addr[0]) || !sl_addr_eq(&first.addr[1], &v->addr[1]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char four[] = "4", six[] = "6", *words[] = { four, six };
    struct sl_conf_connection conf = { .virtual_ip = { words, 2 } };
    struct ike_conn conn = { .conf = &conf };
    struct ike_setup setup = { 0 };
    static struct ike_isa sa;
    static struct ike_xchg x;
    struct sl_err err = { 0 };
    sa = (struct ike_isa){ .conn = &conn, .began = true };
    x = (struct ike_xchg){ .sa = &sa, .setup = &setup };
    x.list = (struct ike_payloads){ .p = { { .type = IKE_P_CP, .body = sl_bytes(data, size) } },
                                    .n = 1 };
    if (cfg_request_read(&x, &err) == SL_OK &&
        (setup.wish[0].family == 6 || setup.wish[1].family == 4))
        abort();
    if (cfg_reply_take(&x, &err) == SL_OK && sa.grant) {
        const struct sl_virtual *v = &sa.grant->vip;
        if (v->dns_n > SL_DNS_MAX || !memchr(v->split_dns, 0, sizeof(v->split_dns)))
            abort();
        for (unsigned f = 0; f < 2; f++)
            if (v->addr[f].family && sl_addr_is_any(&v->addr[f]))
                abort();
        again(&x, v);
    }
    free(sa.grant);
    return 0;
}
