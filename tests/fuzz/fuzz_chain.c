/*
 * A heap of certificates and a search for paths through it: never a crash, never more CPU than the
 * budget allows (with room for a sanitizer). Input: one octet of options, then certificates, each
 * with an octet for what it is (peer, configured, anchor, added later) and its length in two.
 */
#include "sealane/path.h"
#include "sealane/time.h"

#include <stdlib.h>

#define CERTS_MAX 48
#define CPU_MAX   (5 * SL_PATH_CPU_NS)

enum kind { PEER, CONFIGURED, ANCHOR, LATER };

struct heap {
    struct sl_certs configured, anchors, later;
    struct sl_bytes peer[SL_CHAIN_MAX];
    size_t peer_n;
};

static void read_heap(struct heap *h, struct sl_rd *r)
{
    for (int i = 0; i < CERTS_MAX && sl_rd_left(r) > 0; i++) {
        uint8_t kind = sl_rd_u8(r) & 3;
        struct sl_bytes der = sl_rd_part16(r);
        SL_AUTO(sl_cert) *c = NULL;
        if (!sl_rd_ok(r))
            return;
        if (kind == PEER) {
            if (h->peer_n < SL_CHAIN_MAX)
                h->peer[h->peer_n++] = der;
            continue;
        }
        if (sl_cert_read(&c, der, NULL) == SL_OK)
            (void)!sl_certs_add(kind == CONFIGURED ? &h->configured
                                : kind == ANCHOR   ? &h->anchors
                                                   : &h->later,
                                c);
    }
}

static void search(const struct heap *h, const struct sl_path_params *params)
{
    struct sl_err err;
    struct sl_path path = { 0 };
    struct sl_cert *missing[4];
    const struct sl_path_candidate *told = NULL;
    SL_AUTO(sl_path_finder) *f = NULL;
    int64_t from = sl_clock_cpu_ns();
    if (sl_path_finder_new(&f, params, &err) != SL_OK)
        return;
    for (size_t later = 0, found = 0; found < 64;) {
        if (sl_path_finder_next(f, &path, &err) == SL_OK) {
            if (path.n == 0 || path.n > SL_PATH_MAX)
                abort();
            sl_path_clear(&path);
            found++;
            continue;
        }
        (void)sl_path_finder_missing(f, missing, 4);
        if (later == h->later.n || sl_path_finder_add(f, h->later.v[later++], &err) != SL_OK)
            break;
    }
    if (sl_path_finder_candidates(f, &told) > SL_PATH_TOLD_MAX ||
        sl_clock_cpu_ns() - from > CPU_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const user[] = { "2.16.840.1.101.3.2.1.48.1" };
    struct sl_rd r = sl_rd(sl_bytes(data, size));
    uint8_t options = sl_rd_u8(&r);
    struct heap h = { 0 };
    read_heap(&h, &r);
    struct sl_path_params params = { .anchors = &h.anchors,
                                     .intermediates = &h.configured,
                                     .peer = h.peer,
                                     .peer_n = h.peer_n,
                                     .now_utc_s = 1302825600, /* 2011-04-15, as PKITS */
                                     .any_use = options & 1,
                                     .profile =
                                         options & 2 ? SL_PROFILE_STRICT : SL_PROFILE_RFC5280,
                                     .policy = user,
                                     .policy_n = (options & 4) != 0,
                                     .explicit_policy = options & 8,
                                     .inhibit_any = options & 16,
                                     .inhibit_mapping = options & 32,
                                     .max_depth = options & 64 ? 2 : 0 };
    search(&h, &params);
    sl_certs_clear(&h.configured);
    sl_certs_clear(&h.anchors);
    sl_certs_clear(&h.later);
    return 0;
}
