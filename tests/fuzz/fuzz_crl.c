/* A CRL, checked against a certificate and its issuer. */
#include "sealane/certs.h"
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
    SL_AUTO(sl_crl) *crl = NULL;
    if (sl_crl_read(&crl, sl_bytes(data, size), &err) == SL_OK) {
        (void)sl_crl_entries(crl);
        (void)sl_crl_number_cmp(crl, crl);
        (void)!sl_crl_check(crl, leaf, ca, TEST_NOW, &answer, &err);
    }
    return 0;
}
