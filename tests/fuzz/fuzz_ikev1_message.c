/*
 * Whatever comes in an IKEv1 datagram or, decrypted, inside one: chains, every payload body, fragments.
 *
 * First byte: what the rest is. 0: a datagram; 1: the bodies of fragments, each after its length (1);
 * else the type of the first payload of an inner chain.
 */
#include "src/ike/v1/crypt.h"

#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A view that a reader returned must lie within what it read. */
static void inside(struct sl_bytes part, struct sl_bytes whole)
{
    if (part.len && (part.p < whole.p || part.p + part.len > whole.p + whole.len))
        abort();
}

static void read_id(struct sl_bytes b)
{
    struct v1_id raw;
    struct sl_id id;
    struct sl_ts ts, again;
    if (!v1_id_read(&raw, b))
        return;
    inside(raw.data, b);
    if (v1_id_to_id(&id, &raw) && id.len > SL_ID_MAX)
        abort();
    if (!v1_id_to_ts(&ts, &raw))
        return;
    if (sl_addr_cmp(&ts.first, &ts.last) > 0 || !v1_ts_fits(&ts))
        abort();
    SL_AUTO_BUF buf = { 0 };
    struct ike_wr c = ike_wr_chain(&buf);
    v1_put_ts(&c, &ts);
    if (!ike_wr_end(&c) || !v1_id_read(&raw, sl_bytes_slice(sl_buf_bytes(&buf), 4, buf.len)) ||
        !v1_id_to_ts(&again, &raw) || !sl_ts_eq(&ts, &again))
        abort();
}

static void read_body(struct sl_bytes b)
{
    struct v1_notify n;
    struct v1_delete d;
    struct ike_cert cr;
    struct v1_cfg cfg;
    uint32_t seq;
    read_id(b);
    if (v1_notify_read(&n, b)) {
        inside(n.spi, b);
        inside(n.data, b);
        (void)!v1_dpd_seq(&seq, &n);
    }
    if (v1_delete_read(&d, b))
        for (size_t i = 0; i < d.n; i++)
            if (v1_delete_spi(&d, i).len != d.spi_len)
                abort();
    if (v1_cr_read(&cr, b))
        inside(cr.data, b);
    if (v1_cfg_read(&cfg, b)) {
        struct sl_rd r = sl_rd(cfg.attrs);
        uint64_t v;
        for (struct v1_attr a; v1_attr_next(&a, &r);) {
            inside(a.data, b);
            (void)!v1_attr_u64(&v, &a);
        }
        if (!sl_rd_done(&r))
            abort();
    }
}

static void read_list(const struct ike_payloads *list, struct sl_bytes whole)
{
    static const struct sl_endpoint a = { .addr = { .family = 4, .b = { 192, 0, 2, 1 } },
                                          .port = 500 };
    static const uint8_t cky[V1_COOKIE_LEN] = { 1 };
    struct v1_certs certs = { 0 };
    struct v1_notify n;
    struct sl_err err = { 0 };
    bool local, remote;
    if (list->n > IKE_PAYLOADS_MAX)
        abort();
    for (size_t i = 0; i < list->n; i++) {
        inside(list->p[i].body, whole);
        read_body(list->p[i].body);
    }
    inside(v1_after_first(list), whole);
    if (v1_certs_collect(&certs, list, &err) == SL_OK && certs.n > SL_CHAIN_MAX)
        abort();
    v1_certs_clear(&certs);
    (void)!v1_payloads_check(list, V1_BIT(V1_P_HASH), V1_BIT(V1_P_SA), "message", &err);
    (void)!v1_notify_find(list, V1_N_R_U_THERE, &n);
    (void)v1_natd_type(v1_vids(list));
    (void)!v1_natd_check(list, SL_PRF_HMAC_SHA2_256, cky, cky, &a, &a, &local, &remote);
    ERR_clear_error();
}

static void join_all(struct sl_bytes data)
{
    static struct v1_message m;
    struct sl_rd r = sl_rd(data);
    struct v1_reassembly ra = { 0 };
    struct sl_buf whole = { 0 };
    struct sl_err err = { 0 };
    while (sl_rd_left(&r)) {
        enum v1_joined what;
        m.hdr = (struct ike_hdr){ .next = V1_P_FRAGMENT };
        m.list.n = 1;
        m.list.p[0] = (struct ike_payload){ .type = V1_P_FRAGMENT, .body = sl_rd_part8(&r) };
        if (v1_join(&what, &whole, &ra, &m, &err) != SL_OK)
            continue;
        if (what == V1_JOINED ? ra.part != NULL || whole.len == 0 || whole.len > V1_REASSEMBLY_MAX
                              : ra.bytes > V1_REASSEMBLY_MAX || ra.have > V1_FRAGMENTS_MAX)
            abort();
    }
    v1_reassembly_clear(&ra);
    sl_buf_clear(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct v1_message m;
    static struct ike_payloads list;
    struct sl_err err = { 0 };
    if (size == 0)
        return 0;
    struct sl_bytes rest = sl_bytes(data + 1, size - 1);
    if (data[0] == 0) {
        struct sl_secret key = { 0 };
        struct sl_buf plain = { 0 };
        uint8_t iv[V1_IV_LEN] = { 0 }, next[V1_IV_LEN];
        if (v1_message_read(&m, rest, &err) != SL_OK)
            return 0;
        read_list(&m.list, rest);
        if (sl_secret_init(&key, 16, &err) == SL_OK &&
            v1_open(&plain, next, &key, iv, &m, &err) == SL_OK &&
            v1_payloads_read(&list, m.hdr.next, sl_buf_bytes(&plain), &err) == SL_OK)
            read_list(&list, sl_buf_bytes(&plain));
        sl_buf_clear(&plain);
        sl_secret_clear(&key);
    } else if (data[0] == 1) {
        join_all(rest);
    } else if (v1_payloads_read(&list, data[0], rest, &err) == SL_OK) {
        read_list(&list, rest);
    }
    return 0;
}
