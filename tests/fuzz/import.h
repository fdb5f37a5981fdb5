/*
 * A reader of the import and its mapping on any bytes: the result is a configuration that is taken, or
 * there is a reason. FORM says which; for the targets fuzz_import_*.
 */
#include "sealane/config.h"
#include "sealane/import.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SL_AUTO_BUF out = { 0 };
    SL_AUTO(sl_config) *config = NULL;
    struct sl_import_sum sum;
    struct sl_err err = { 0 };
    const struct sl_import_ask ask = { .form = FORM,
                                       .file = "/etc/fuzz.conf",
                                       .local_right = size % 2 != 0,
                                       .text = sl_bytes(data, size) };
    enum sl_rc rc = sl_import(&out, &sum, &ask, &err);
    if (rc != SL_OK && (rc != err.rc || !err.text[0] || out.len))
        abort();
    if (rc == SL_OK && sl_config_parse(&config, sl_buf_bytes(&out), "result", NULL, NULL) != SL_OK)
        abort();
    if (rc == SL_OK && config->connection_n != sum.connections)
        abort();
    return 0;
}
