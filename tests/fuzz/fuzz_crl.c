/*
 * A CRL, read and applied to certificates: as it is, as a complete list with a delta at hand, and as
 * a delta. The signature counts as checked, so that what lies behind it is reached.
 */
#include "certs/crl.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

/* Of the test's own CA and of NIST PKITS: leaf, its issuer, who signs the list. */
static const char *const names[][3] = {
    { "vectors/ocsp/leaf.der", "vectors/ocsp/ca.der", "vectors/ocsp/ca.der" },
    { "vectors/pkits/certs/ValidIDPwithindirectCRLTest24EE.crt",
      "vectors/pkits/certs/indirectCRLCA2Cert.crt", "vectors/pkits/certs/indirectCRLCA1Cert.crt" },
    { "vectors/pkits/certs/ValiddeltaCRLTest5EE.crt", "vectors/pkits/certs/deltaCRLCA1Cert.crt",
      "vectors/pkits/certs/deltaCRLCA1Cert.crt" },
    { "vectors/pkits/certs/InvalidonlySomeReasonsTest15EE.crt",
      "vectors/pkits/certs/onlySomeReasonsCA1Cert.crt",
      "vectors/pkits/certs/onlySomeReasonsCA1Cert.crt" },
};
static struct sl_cert *certs[SL_ARRAY_LEN(names)][3];
static struct sl_crl *complete, *delta;

static void load(void)
{
    struct sl_err err;
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        for (size_t k = 0; k < 3; k++)
            if (sl_cert_read(&certs[i][k], sl_test_file(names[i][k]), &err) != SL_OK)
                abort();
    if (sl_crl_read(&complete, sl_test_file("vectors/pkits/crls/deltaCRLCA1CRL.crl"), &err) !=
            SL_OK ||
        sl_crl_read(&delta, sl_test_file("vectors/pkits/crls/deltaCRLCA1deltaCRL.crl"), &err) !=
            SL_OK)
        abort();
}

static void believe(struct sl_crl *crl, const struct sl_cert *signer)
{
    sl_sha2(256, sl_cert_spki(signer), crl->checked);
    crl->checked_ok = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_err err;
    if (!complete)
        load();
    SL_AUTO(sl_crl) *crl = NULL;
    if (sl_crl_read(&crl, sl_bytes(data, size), &err) != SL_OK)
        return 0;
    const char *uri[SL_CERT_URI_MAX];
    (void)sl_crl_freshest_uris(crl, uri);
    (void)sl_crl_authority_key(crl);
    (void)sl_crl_number_cmp(crl, complete);
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        const struct {
            struct sl_crl *crl, *delta;
        } pairs[] = { { crl, NULL }, { crl, delta }, { complete, crl } };
        believe(crl, certs[i][2]);
        for (size_t k = 0; k < SL_ARRAY_LEN(pairs); k++) {
            struct sl_crl_status status = { 0 };
            const struct sl_crl_use use = { .crl = pairs[k].crl,
                                            .delta = pairs[k].delta,
                                            .crl_issuer = certs[i][2],
                                            .cert = certs[i][0],
                                            .issuer = certs[i][1],
                                            .now_utc_s = i ? 1302825600 : TEST_NOW };
            (void)!sl_crl_apply(&status, &use, &err);
        }
        struct crl_found f;
        X509 *x = sl_cert_x509(certs[i][0]);
        (void)!crl_find(&f, crl, X509_get0_serialNumber(x), X509_get_issuer_name(x));
    }
    return 0;
}
