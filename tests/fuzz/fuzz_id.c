/* An identity, as text and as wire bytes of each type, bound to a certificate. */
#include "sealane/certs.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sl_cert *leaf;
    struct sl_err err;
    struct sl_id_match match;
    char text[SL_ID_TEXT];
    if (!leaf && sl_cert_read(&leaf, sl_test_file("vectors/ocsp/leaf.der"), &err) != SL_OK)
        abort();
    char *s = sl_strdup_bytes(sl_bytes(data, size));
    struct sl_id id = { 0 };
    if (s && sl_id_parse(&id, s, &err) == SL_OK) {
        /* what is read and written again is the same identity */
        struct sl_id again = { 0 };
        sl_id_text(text, &id);
        if (id.len < 200 && (sl_id_parse(&again, text, &err) != SL_OK || !sl_id_eq(&id, &again)))
            abort();
    }
    free(s);
    for (unsigned type = 0; type < 13 && size <= SL_ID_MAX; type++) {
        struct sl_id wire = { .type = (enum sl_id_type)type, .len = (uint16_t)size };
        memcpy(wire.data, data, size);
        sl_id_text(text, &wire);
        (void)sl_id_eq(&wire, &wire);
        (void)!sl_id_in_cert(&wire, leaf, NULL, &match, &err);
    }
    return 0;
}
