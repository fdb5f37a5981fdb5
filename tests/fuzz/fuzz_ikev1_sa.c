/*
 * IKEv1 SA payloads: what is chosen from an offer is one of ours and is taken back as an answer; a
 * refusal always has words.
 */
#include "src/ike/v1/proposal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sl_conf_ike_proposal ike[] = {
    { .suite = { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 },
      .prf = SL_PRF_HMAC_SHA2_256,
      .ke = SL_KE_MODP2048 },
    { .suite = { SL_ENCR_AES_CBC, 128, SL_INTEG_HMAC_SHA2_384_192 },
      .prf = SL_PRF_HMAC_SHA2_384,
      .ke = SL_KE_ECP256 },
};
static const struct sl_conf_esp_proposal esp[] = {
    { .suite = { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 }, .ke = SL_KE_MODP2048 },
    { .suite = { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE }, .ke = SL_KE_NONE },
};
static const uint16_t auth[] = { V1_AUTH_RSA_SIG, V1_AUTH_PSK };

static void refused(enum sl_rc rc, const struct sl_err *err)
{
    if ((rc != SL_IKE_NO_PROPOSAL && rc != SL_WEAK_ALGORITHM) || !err->text[0])
        abort();
}

static struct sl_bytes read_back(struct v1_sa *sa, struct ike_wr *c, const struct sl_buf *buf)
{
    struct sl_err err = { 0 };
    struct sl_bytes body = sl_bytes_slice(sl_buf_bytes(buf), 4, buf->len);
    if (!ike_wr_end(c) || v1_sa_read(sa, body, &err) != SL_OK)
        abort();
    return body;
}

static void phase1(const struct v1_sa *sa)
{
    static struct v1_sa answer;
    struct v1_ike_choice a, b;
    struct sl_err err = { 0 };
    for (int prefer = IKE_PREFER_PEER; prefer <= IKE_PREFER_OURS; prefer++) {
        enum sl_rc rc = v1_sa_select_ike(&a, sa, ike, 2, auth, 2, (enum ike_prefer)prefer, &err);
        if (rc != SL_OK) {
            refused(rc, &err);
            continue;
        }
        SL_AUTO_BUF buf = { 0 };
        struct ike_wr c = ike_wr_chain(&buf);
        v1_put_sa_ike_choice(&c, &a);
        (void)read_back(&answer, &c, &buf);
        if (v1_sa_check_ike(&b, &answer, ike, 2, auth, 2, &err) != SL_OK || a.ours != b.ours ||
            a.auth != b.auth || a.life_s != b.life_s)
            abort();
    }
    (void)!v1_sa_check_ike(&b, sa, ike, 2, auth, 2, &err);
}

static void phase2(const struct v1_sa *sa)
{
    static struct v1_sa answer;
    struct v1_esp_choice a, b;
    struct sl_err err = { 0 };
    for (int udp = 0; udp < 2; udp++) {
        enum sl_rc rc = v1_sa_select_esp(&a, sa, esp, 2, udp, true, IKE_PREFER_PEER, &err);
        if (rc != SL_OK) {
            refused(rc, &err);
            continue;
        }
        if (a.spi.len != 4 || v1_encap_is_udp(a.encap) != udp)
            abort();
        SL_AUTO_BUF buf = { 0 };
        struct ike_wr c = ike_wr_chain(&buf);
        v1_put_sa_esp_choice(&c, &a, 0x01020304);
        (void)read_back(&answer, &c, &buf);
        if (v1_sa_check_esp(&b, &answer, esp, 2, a.ke, true, a.encap, &err) != SL_OK ||
            a.ours != b.ours || a.esn != b.esn || a.life_kb != b.life_kb)
            abort();
    }
    (void)!v1_sa_check_esp(&b, sa, esp, 2, SL_KE_NONE, false, V1_ENCAP_TUNNEL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct v1_sa sa;
    struct sl_err err = { 0 };
    uint64_t s = 0, kb = 0;
    (void)!v1_lifetime_read(&s, &kb, size & 1, sl_bytes(data, size));
    if (v1_sa_read(&sa, sl_bytes(data, size), &err) != SL_OK)
        return 0;
    phase1(&sa);
    phase2(&sa);
    return 0;
}
