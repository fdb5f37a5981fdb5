/*
 * A peer's public key and signature: byte 0 the scheme, bytes 1-2 the length of the key, then the
 * key, then the signature. Whatever they are, the answer is a code; and a key that both this
 * reader and libcrypto's can read is the same key to both.
 */
#include "sealane/crypto.h"
#include "src/crypto/sig.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare_with_libcrypto(struct sl_bytes spki)
{
    const unsigned char *p = spki.p;
    EVP_PKEY *ours = sig_read_spki(spki);
    EVP_PKEY *theirs = ours ? d2i_PUBKEY(NULL, &p, (long)spki.len) : NULL;
    if (theirs && EVP_PKEY_eq(ours, theirs) != 1)
        abort();
    EVP_PKEY_free(ours);
    EVP_PKEY_free(theirs);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_rd r = sl_rd(sl_bytes(data, size));
    struct sl_err err = { 0 };
    enum sl_sig sig = (enum sl_sig)sl_rd_u8(&r);
    struct sl_bytes spki = sl_rd_part16(&r), signature = sl_rd_rest(&r);
    uint16_t bits = 0;
    if (!sl_rd_done(&r))
        return 0;
    compare_with_libcrypto(spki);
    enum sl_key_type type = sl_spki_type(spki, &bits);
    if ((type == SL_KEY_NONE) != (bits == 0))
        abort();
    enum sl_rc rc = sl_sig_verify(sig, spki, sl_str("data"), signature, &err);
    if (rc == SL_OK && type == SL_KEY_NONE)
        abort();
    return 0;
}
