/* A certificate: reading it, asking it everything, and a path from it to itself as an anchor. */
#include "sealane/certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_err err;
    SL_AUTO(sl_cert) *c = NULL;
    struct sl_bytes in = sl_bytes(data, size);
    if (sl_cert_read(&c, in, &err) == SL_OK) {
        struct sl_bytes v;
        const char *uri[SL_CERT_URI_MAX];
        struct sl_buf attr = { 0 };
        struct sl_id id;
        struct sl_id_match match;
        for (size_t i = 0; sl_cert_san(c, SL_ID_FQDN, i, &v); i++)
            ;
        (void)sl_cert_ocsp_uris(c, uri);
        (void)sl_cert_crl_uris(c, uri);
        (void)!sl_cert_subject_attr(c, "CN", &attr);
        sl_buf_clear(&attr);
        if (sl_id_from_cert(&id, c, &err) == SL_OK &&
            sl_id_in_cert(&id, c, NULL, &match, &err) == SL_OK) {
            char text[SL_ID_TEXT];
            sl_id_text(text, &id);
        }
        struct sl_certs anchors = { 0 };
        struct sl_path path = { 0 };
        if (sl_certs_add(&anchors, c)) {
            struct sl_path_params p = {
                .anchors = &anchors, .peer = &in, .peer_n = 1, .now_utc_s = sl_cert_not_before(c)
            };
            if (sl_path_build(&path, &p, &err) == SL_OK)
                sl_path_clear(&path);
        }
        sl_certs_clear(&anchors);
    }
    struct sl_certs list = { 0 };
    if (sl_certs_load(&list, in, "fuzz", &err) == SL_OK)
        sl_certs_clear(&list);
    return 0;
}
