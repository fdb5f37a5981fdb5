/*
 * Whatever comes in a datagram or, once decrypted, inside SK: chains, every payload body, and the
 * road through SK and SKF with keys that are known.
 *
 * First byte: what the rest is. 0: a datagram; 1: content to seal, damage and open; else the type of
 * the first payload of an inner chain.
 */
#include "src/ike/auth.h"
#include "src/ike/core.h"
#include "src/ike/keys.h"
#include "src/ike/sk.h"
#include "src/ike/ts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A view that a reader returned must lie within what it read. */
static void inside(struct sl_bytes part, struct sl_bytes whole)
{
    if (part.len && (part.p < whole.p || part.p + part.len > whole.p + whole.len))
        abort();
}

static void read_body(const struct ike_payload *p)
{
    struct sl_bytes b = p->body;
    struct ike_ke ke;
    struct sl_id id;
    struct ike_cert cert;
    struct ike_auth auth;
    struct sl_bytes nonce;
    struct ike_notify n;
    struct ike_delete d;
    struct ike_cp cp;
    struct ike_eap eap;
    uint32_t hashes;
    if (ike_ke_read(&ke, b))
        inside(ke.data, b);
    if (ike_id_read(&id, b) && id.len > SL_ID_MAX)
        abort();
    if (ike_cert_read(&cert, b) || ike_certreq_read(&cert, b))
        inside(cert.data, b);
    if (ike_auth_read(&auth, b))
        inside(auth.data, b);
    if (ike_nonce_read(&nonce, b))
        inside(nonce, b);
    if (ike_notify_read(&n, b)) {
        inside(n.spi, b);
        inside(n.data, b);
        (void)!ike_hashes_read(&hashes, n.data);
    }
    if (ike_delete_read(&d, b))
        for (size_t i = 0; i < d.n && d.spi_len; i++)
            (void)ike_delete_spi(&d, i);
    if (ike_cp_read(&cp, b)) {
        struct sl_rd r = sl_rd(cp.body);
        size_t attrs = 0;
        for (struct ike_cp_attr a; ike_cp_next(&a, &r); attrs++)
            inside(a.value, b);
        if (attrs != cp.n)
            abort();
    }
    if (ike_eap_read(&eap, b))
        inside(eap.packet, b);
}

static void read_list(const struct ike_payloads *list)
{
    static const struct sl_endpoint a = { .addr = { .family = 4, .b = { 192, 0, 2, 1 } },
                                          .port = 500 };
    static const uint8_t spi[IKE_SPI_LEN] = { 1 };
    struct ike_certs certs;
    struct sl_err err = { 0 };
    struct ike_notify n;
    bool local, remote;
    for (size_t i = 0; i < list->n; i++)
        read_body(&list->p[i]);
    if (ike_certs_collect(&certs, list, &err) == SL_OK &&
        (certs.cert_n > SL_CHAIN_MAX || certs.ocsp_n > SL_CHAIN_MAX))
        abort();
    struct ike_setup asked = { 0 };
    if (certreqs_take(&asked, list, &err) != SL_OK ||
        asked.peer_responders.len % IKE_CERTREQ_HASH_LEN ||
        asked.peer_responders.len > IKE_RESPONDERS_MAX * IKE_CERTREQ_HASH_LEN ||
        (asked.peer_responders.len && !asked.peer_ocsp))
        abort();
    sl_buf_clear(&asked.peer_responders);
    (void)!ike_payloads_check(list, IKE_BIT(IKE_P_SA), IKE_BIT(IKE_P_KE), "message", &err);
    (void)!ike_notifies_check(list);
    (void)!ike_notify_find(list, IKE_N_COOKIE, &n);
    (void)!ike_notify_find_error(list, &n);
    (void)!ike_natd_check(list, spi, spi, &a, &a, &local, &remote);
}

/* ---- SK with known keys ------------------------------------------------------------------------------ */
static void make_sk(struct ike_sk *seal, struct ike_sk *open, const struct sl_suite *suite)
{
    struct sl_err err = { 0 };
    SL_AUTO_SECRET ek = { 0 };
    SL_AUTO_SECRET ik = { 0 };
    if (sl_secret_init(&ek, sl_suite_encr_key_len(suite), &err) != SL_OK ||
        (sl_suite_integ_key_len(suite) &&
         sl_secret_init(&ik, sl_suite_integ_key_len(suite), &err) != SL_OK) ||
        ike_sk_init(seal, suite, true, &ek, &ik, &err) != SL_OK ||
        ike_sk_init(open, suite, false, &ek, &ik, &err) != SL_OK)
        abort();
}

/*
 * data: options (1), damage (offset 2, value 1), content. Sealed and opened again: what comes out is
 * the content, or nothing where a byte was changed.
 */
static void round_trip(struct sl_bytes data)
{
    static const struct sl_suite suites[] = { { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
                                              { SL_ENCR_AES_CBC, 128,
                                                SL_INTEG_HMAC_SHA2_256_128 } };
    struct sl_rd r = sl_rd(data);
    uint8_t options = sl_rd_u8(&r);
    size_t at = sl_rd_u16(&r);
    uint8_t damage = sl_rd_u8(&r);
    struct sl_bytes content = sl_rd_rest(&r);
    if (!sl_rd_ok(&r) || content.len > IKE_MESSAGE_MAX)
        return;
    struct ike_sk seal = { 0 }, open = { 0 };
    struct ike_datagrams d = { 0 };
    struct ike_reassembly ra = { 0 };
    struct sl_buf plain = { 0 };
    struct sl_err err = { 0 };
    struct sl_rng_seeded state;
    sl_rng_seeded_init(&state, options);
    const struct sl_rng rng = sl_rng_seeded(&state);
    const struct ike_hdr h = { .spi_i = { 1 }, .exchange = IKE_INFORMATIONAL, .id = options };
    make_sk(&seal, &open, &suites[options & 1]);
    uint16_t size = options & 2 ? (uint16_t)(IKE_FRAGMENT_SIZE_MIN + (options >> 2) * 8) : 0;
    if (ike_sk_seal(&d, &seal, &h, IKE_P_N, content, size, options & 4 ? 6 : 4, true, &rng, &err) ==
        SL_OK) {
        bool damaged = damage != 0, opened = false;
        d.buf.p[at % d.buf.len] ^= damage;
        for (size_t i = 0; i < d.n; i++) {
            static struct ike_message m;
            enum ike_opened what;
            uint8_t first = 0;
            if (ike_message_read(&m, ike_datagram_get(&d, d.n - 1 - i), &err) == SL_OK &&
                ike_sk_open(&what, &open, &m, &ra, &plain, &first, &err) == SL_OK &&
                what == IKE_OPENED)
                opened = sl_bytes_eq(sl_buf_bytes(&plain), content) && first == IKE_P_N;
        }
        if (opened == damaged)
            abort();
    }
    ike_sk_clear(&seal);
    ike_sk_clear(&open);
    ike_datagrams_clear(&d);
    ike_reassembly_clear(&ra);
    sl_buf_clear(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ike_message m;
    static struct ike_payloads list;
    struct sl_err err = { 0 };
    if (size == 0)
        return 0;
    struct sl_bytes rest = sl_bytes(data + 1, size - 1);
    if (data[0] == 0) {
        enum sl_rc rc = ike_message_read(&m, rest, &err);
        if (rc == SL_OK || rc == SL_IKE_CRITICAL_PAYLOAD)
            read_list(&m.list);
        if (rc == SL_OK && m.list.n) { /* SK whose content is no matter of knowing the key */
            struct ike_sk seal = { 0 }, open = { 0 };
            const struct sl_suite suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE };
            struct ike_reassembly ra = { 0 };
            struct sl_buf plain = { 0 };
            enum ike_opened what;
            uint8_t first;
            make_sk(&seal, &open, &suite);
            if (ike_sk_open(&what, &open, &m, &ra, &plain, &first, &err) == SL_OK)
                abort(); /* a forgery */
            ike_sk_clear(&seal);
            ike_sk_clear(&open);
        }
    } else if (data[0] == 1) {
        round_trip(rest);
    } else {
        enum sl_rc rc = ike_payloads_read(&list, data[0], rest, &err);
        if (rc == SL_OK || rc == SL_IKE_CRITICAL_PAYLOAD)
            read_list(&list);
    }
    return 0;
}
