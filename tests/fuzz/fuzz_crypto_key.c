/*
 * A file said to hold a private key. What is imported can be exported, signs, and is imported again.
 */
#include "sealane/key.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SL_AUTO(sl_keyset) *ks = NULL;
    struct sl_err err = { 0 };
    if (sl_keyset_new(&ks, &err) != SL_OK)
        abort();
    if (sl_keyset_import(ks, "k", sl_bytes(data, size), &err) != SL_OK)
        return 0;
    SL_AUTO_SECRET pem = { 0 };
    if (sl_keyset_export(ks, "k", &pem, &err) != SL_OK ||
        sl_keyset_import(ks, "again", sl_secret_bytes(&pem), &err) != SL_OK)
        abort();
    return 0;
}
