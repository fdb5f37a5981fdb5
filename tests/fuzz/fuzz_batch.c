/* A line of `cert verify --batch`, answered and told as a story. */
#include "sealane/verify.h"
#include "tests/support/certs.h"
#include "tests/support/support.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sl_now fixed_now(void *ctx)
{
    (void)ctx;
    return (struct sl_now){ .mono_ns = 1, .utc_s = TEST_NOW };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sl_verify_shell shell = { .now = fixed_now };
    SL_AUTO_BUF story = { 0 };
    json_t *answer = sl_verify_line(sl_bytes(data, size), NULL, &shell);
    const char *verdict = json_string_value(json_object_get(answer, "verdict"));
    if (!verdict || !*verdict || !sl_verify_story(&story, answer))
        abort(); /* every line has an answer */
    json_decref(answer);
    return 0;
}
