/* Every reader of SCEP's bytes, as server and as client meet them. */
#include "enroll/scep_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scep_algs algs;
    struct sl_err err = { 0 };
    struct sl_bytes in = sl_bytes(data, size);
    struct scep_message m;
    if (scep_message_read(&m, &algs, in, NULL, &err) == SL_OK && m.proof.len) {
        X509 *old = NULL;
        if (scep_proof_read(&old, sl_buf_bytes(&m.proof), m.attrs.transaction_id, in, &err) ==
            SL_OK)
            X509_free(old);
    }
    scep_message_clear(&m);
    STACK_OF(X509) *certs = NULL;
    if (scep_certs_read(&certs, in, &err) == SL_OK)
        xb_x509_stack_free(certs);
    X509_NAME *issuer = NULL, *subject = NULL;
    if (scep_poll_read(&issuer, &subject, in, &err) == SL_OK) {
        X509_NAME_free(issuer);
        X509_NAME_free(subject);
    }
    X509 *old = NULL;
    if (scep_proof_read(&old, in, "t", in, &err) == SL_OK)
        X509_free(old);
    (void)sl_scep_caps_read(in);
    return 0;
}
