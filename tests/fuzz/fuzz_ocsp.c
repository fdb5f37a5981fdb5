/* An OCSP response, checked against a certificate and its issuer. */
#include "sealane/revocation.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sl_cert *ca, *leaf;
    struct sl_err err;
    struct sl_rev_answer answer;
    if (!ca && (sl_cert_read(&ca, sl_test_file("vectors/ocsp/ca.der"), &err) != SL_OK ||
                sl_cert_read(&leaf, sl_test_file("vectors/ocsp/leaf.der"), &err) != SL_OK))
        abort();
    (void)!sl_ocsp_check(sl_bytes(data, size), leaf, ca, (struct sl_bytes){ 0 }, TEST_NOW, &answer,
                         &err);
    (void)!sl_ocsp_check(sl_bytes(data, size), leaf, ca, sl_str("0123456789abcdef"), TEST_NOW,
                         &answer, &err);
    SL_AUTO(sl_cert) *delegate = NULL;
    /* The leaf stands for a responder that configuration trusts. */
    (void)!sl_ocsp_check_delegated(sl_bytes(data, size), leaf, ca, leaf, (struct sl_bytes){ 0 },
                                   TEST_NOW, &answer, &delegate, &err);
    return 0;
}
