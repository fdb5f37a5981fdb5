/*
 * A URI of a certificate, through every rule; the second line, if there is one, is where it
 * redirects to. What is accepted has a host of known characters, and no literal that is denied.
 */
#include "src/fetch/fetch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char allow[] = "127.0.0.0/16", deny[] = "2001:db8::/32", proxy[] = "http://proxy:3128",
            no_proxy[] = ".lan", from[] = "http://pki.corp/a=http://mirror/";
static char *allows[] = { allow }, *denies[] = { deny }, *no_proxies[] = { no_proxy },
            *rewrites[] = { from };

static void check(const struct fetch_rules *r, const struct fetch_target *t)
{
    size_t n = strlen(t->uri.host);
    assert(n > 0 && n <= FETCH_HOST_MAX && t->uri.port);
    assert(strspn(t->uri.host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:") == n);
    assert(t->text.p[t->text.len] == '\0' && strlen((const char *)t->text.p) == t->text.len);
    if (t->uri.is_literal && t->origin != FETCH_CONFIGURED)
        assert(fetch_addr_check(r, &t->uri.literal, NULL) == SL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fetch_rules r;
    struct sl_conf_fetch c = { .allow = { allows, 1 },
                               .deny = { denies, 1 },
                               .proxy = proxy,
                               .no_proxy = { no_proxies, 1 },
                               .rewrite = { rewrites, 1 } };
    struct fetch_target first, next;
    struct sl_err err;
    if (!r.proxy && fetch_rules_init(&r, &c, NULL) != SL_OK)
        abort();
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    struct sl_bytes rest = sl_bytes(data, size), one;
    while (fetch_der_next(&rest, &one))
        assert(one.len >= 2);
    if (fetch_target_init(&first, &r, sl_bytes(data, n), FETCH_FROM_CERTIFICATE, &err) != SL_OK)
        return 0;
    check(&r, &first);
    if (end &&
        fetch_target_redirect(&next, &r, &first, sl_bytes(end + 1, size - n - 1), &err) == SL_OK) {
        assert(fetch_is_http(next.uri.scheme));
        check(&r, &next);
        fetch_target_clear(&next);
    }
    fetch_target_clear(&first);
    return 0;
}
