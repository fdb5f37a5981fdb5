/* PKCS#10 requests, and the serials and names people and databases hand in. */
#include "enroll/x509_build.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_err err = { 0 };
    struct sl_bytes in = sl_bytes(data, size);
    struct xb_csr csr;
    char text[256], serial[SL_SERIAL_TEXT];
    if (xb_csr_read(&csr, in, true, &err) == SL_OK) {
        (void)xb_name_text(text, sizeof(text), csr.subject);
        (void)xb_san_text(text, sizeof(text), csr.san);
        xb_csr_clear(&csr);
    }
    GENERAL_NAMES *san = NULL;
    if (xb_san_read(&san, in, &err) == SL_OK) {
        (void)xb_san_text(text, sizeof(text), san);
        GENERAL_NAMES_free(san);
    }
    char *s = sl_strdup_bytes(in);
    if (s && xb_serial_parse(serial, s) && strlen(serial) >= sizeof(serial))
        abort();
    free(s);
    return 0;
}
