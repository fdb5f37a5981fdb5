/* SA payloads: read, choose as responder, check as initiator; what is chosen is written and read again. */
#include "src/ike/proposal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sl_conf_ike_proposal ike_ours[] = {
    { { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE },
      SL_PRF_HMAC_SHA2_256,
      SL_KE_CURVE25519,
      { { SL_KE_ECP384, SL_KE_NONE, SL_KE_ECP256 }, 1 } },
    { { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 },
      SL_PRF_HMAC_SHA2_384,
      SL_KE_MODP3072,
      { .may_skip = 0 } },
    { { SL_ENCR_CHACHA20_POLY1305, 256, SL_INTEG_NONE },
      SL_PRF_HMAC_SHA2_512,
      SL_KE_ECP384,
      { { SL_KE_ECP256 }, 0 } },
};
static const struct sl_conf_esp_proposal esp_ours[] = {
    { { SL_ENCR_AES_GCM_16, 128, SL_INTEG_NONE }, SL_KE_CURVE25519, { { SL_KE_ECP384 }, 1 } },
    { { SL_ENCR_AES_CBC, 256, SL_INTEG_HMAC_SHA2_256_128 }, SL_KE_NONE, { .may_skip = 0 } },
};

/* Our answer to a choice must pass the check of an initiator who offered ours. */
static void answer(const struct ike_choice *c, bool rekey, bool with_ke)
{
    static struct ike_sa sa;
    SL_AUTO_BUF b = { 0 };
    struct ike_choice again;
    struct sl_err err = { 0 };
    struct ike_wr w = ike_wr_chain(&b);
    ike_put_sa_choice(&w, c, c->spi);
    if (!ike_wr_end(&w) || ike_sa_read(&sa, sl_bytes(b.p + 4, b.len - 4), &err) != SL_OK)
        abort();
    sa.p[0].number = 1;
    if (c->protocol == IKE_PROTO_IKE
            ? ike_sa_check_ike(&again, &sa, &ike_ours[c->ours], 1,
                               rekey ? IKE_OFFER_REKEY : IKE_OFFER_INIT_INTERMEDIATE, &err) != SL_OK
            : ike_sa_check_esp(&again, &sa, &esp_ours[c->ours], 1, with_ke, c->esn, &err) != SL_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ike_sa sa;
    struct ike_choice c;
    struct sl_err err = { 0 };
    char text[IKE_TEXT];
    if (ike_sa_read(&sa, sl_bytes(data, size), &err) != SL_OK)
        return 0;
    for (size_t i = 0; i < sa.n; i++) {
        struct sl_rd r = sl_rd(sa.p[i].body);
        size_t n = 0;
        for (struct ike_transform t; ike_transform_next(&t, &r); n++)
            if (strlen(ike_transform_text(text, &t)) >= IKE_TEXT)
                abort();
        if (n != sa.p[i].n)
            abort();
    }
    for (unsigned bits = 0; bits < 8; bits++) {
        bool a = bits & 1, b = bits & 2;
        enum ike_prefer prefer = bits & 4 ? IKE_PREFER_OURS : IKE_PREFER_PEER;
        if (ike_sa_select_ike(&c, &sa, ike_ours, 3,
                              a ? IKE_OFFER_REKEY : IKE_OFFER_INIT_INTERMEDIATE, prefer,
                              &err) == SL_OK)
            answer(&c, a, IKE_OFFER_INIT);
        if (ike_sa_select_esp(&c, &sa, esp_ours, 2, a, b, prefer, &err) == SL_OK)
            answer(&c, false, a);
        (void)!ike_sa_check_ike(&c, &sa, ike_ours, 3,
                                a ? IKE_OFFER_REKEY : IKE_OFFER_INIT_INTERMEDIATE, &err);
        (void)!ike_sa_check_esp(&c, &sa, esp_ours, 2, a, b, &err);
    }
    return 0;
}
