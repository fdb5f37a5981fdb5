/* TS payloads: read, narrowed against a policy; the answer lies in both, is written and read again. */
#include "src/ike/ts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const policy[] = { "10.0.0.0/8", "192.0.2.0/24[tcp/443]", "10.1.0.0/16[udp]",
                                          "2001:db8::/32",
                                          "198.51.100.7-198.51.100.99[17/1000-2000]" };
    struct sl_ts offer[SL_TS_MAX], allowed[SL_ARRAY_LEN(policy)], again[SL_TS_MAX];
    static struct ike_ts_fit fit;
    struct sl_err err = { 0 };
    size_t n = 0, skipped = 0, n2 = 0;
    char text[200];
    if (ike_ts_read(offer, &n, &skipped, sl_bytes(data, size), &err) != SL_OK)
        return 0;
    if (n > SL_TS_MAX)
        abort();
    for (size_t i = 0; i < SL_ARRAY_LEN(policy); i++)
        if (!sl_ts_parse(&allowed[i], policy[i]))
            abort();
    ike_ts_list_text(text, sizeof(text), offer, n);
    ike_ts_narrow(&fit, offer, n, allowed, SL_ARRAY_LEN(allowed));
    if (fit.n == 0)
        return 0;
    if (!ike_ts_within(fit.ts, fit.n, offer, n) ||
        !ike_ts_within(fit.ts, fit.n, allowed, SL_ARRAY_LEN(allowed)))
        abort();
    SL_AUTO_BUF b = { 0 };
    struct ike_wr w = ike_wr_chain(&b);
    ike_put_ts(&w, IKE_P_TSi, fit.ts, fit.n);
    if (!ike_wr_end(&w) ||
        ike_ts_read(again, &n2, NULL, sl_bytes(b.p + 4, b.len - 4), &err) != SL_OK || n2 != fit.n)
        abort();
    for (size_t i = 0; i < n2; i++)
        if (!sl_ts_eq(&again[i], &fit.ts[i]))
            abort();
    return 0;
}
