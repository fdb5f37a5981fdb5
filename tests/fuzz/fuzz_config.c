/* The configuration reader on any bytes: it either yields a configuration or says why not. */
#include "sealane/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SL_AUTO(sl_config) *config = NULL;
    SL_AUTO_BUF problems = { 0 };
    struct sl_err err = { 0 };
    enum sl_rc rc = sl_config_parse(&config, sl_bytes(data, size), "fuzz.conf", &problems, &err);
    if ((rc == SL_OK) != (config != NULL) || (rc == SL_OK) != (problems.len == 0) || rc != err.rc)
        abort();
    return 0;
}
