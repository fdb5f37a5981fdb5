/* The security associations of the datapath; see sa.h. RFC 4301 4.4.2, RFC 4303 3.3.3. */
#include "src/esp/sa.h"

#include <stdlib.h>
#include <string.h>

#define OUTER_MTU_DEFAULT 1500u
#define INNER_MTU4_MIN    576u  /* every IPv4 host takes so much in one piece (RFC 791 3.1) */
#define INNER_MTU6_MIN    1280u /* RFC 8200 5 */

uint16_t sl_esp_inner_mtu(const struct sl_suite *suite, uint8_t outer_family, bool udp_encap,
                          uint16_t outer_mtu)
{
    size_t around = (outer_family == 4 ? 20u : 40u) + (udp_encap ? 8u : 0u) + ESP_HDR_LEN +
                    sl_suite_iv_len(suite) + sl_suite_icv_len(suite);
    size_t block = sl_suite_block_len(suite), align = block < 4 ? 4 : block;
    if (outer_mtu < around + align)
        return 0;
    return (uint16_t)((outer_mtu - around) / align * align - 2);
}

static uint16_t at_least(uint16_t v, uint16_t min)
{
    return v < min ? min : v;
}

void esp_out_mtu(struct esp_out *o, const struct sl_suite *suite, uint16_t outer_mtu,
                 uint16_t inner_mtu)
{
    o->outer_mtu = outer_mtu ? outer_mtu : OUTER_MTU_DEFAULT;
    uint16_t fits = sl_esp_inner_mtu(suite, o->remote.addr.family, o->udp_encap, o->outer_mtu);
    if (inner_mtu && inner_mtu < fits)
        fits = inner_mtu;
    /*
     * No host can be told to send less than its protocol's minimum: packets up to that size go out
     * in fragments of the outer packet where the path is smaller still (RFC 2473 7.1).
     */
    o->limit4 = at_least(fits, INNER_MTU4_MIN);
    o->limit6 = at_least(fits, INNER_MTU6_MIN);
    o->mss_mtu = fits;
}

static enum sl_rc ts_check(const struct sl_ts *ts, size_t n, const char *side, struct sl_err *err)
{
    if (n < 1 || n > SL_TS_MAX)
        return SL_FAIL(err, SL_MALFORMED, "child has %zu %s selectors, expected 1 to %d", n, side,
                       SL_TS_MAX);
    for (size_t i = 0; i < n; i++)
        if (!sl_addr_len(&ts[i].first) || ts[i].first.family != ts[i].last.family ||
            sl_addr_cmp(&ts[i].first, &ts[i].last) > 0)
            return SL_FAIL(err, SL_MALFORMED, "child's %s selector %zu is no range of addresses",
                           side, i + 1);
    return SL_OK;
}

static enum sl_rc child_check(const struct sl_child *c, struct sl_err *err)
{
    if (!sl_suite_supported(&c->suite)) {
        char text[SL_SUITE_TEXT];
        return SL_FAIL(err, SL_UNSUPPORTED, "suite %s is not supported",
                       sl_suite_text(text, &c->suite));
    }
    /* SPEC RFC4303-2.1 MUST: SPIs 0 to 255 are not used */
    if (c->spi_in < 256 || c->spi_out < 256)
        return SL_FAIL(err, SL_MALFORMED,
                       "SPIs %08x and %08x: 0 to 255 are reserved (RFC 4303 2.1)", c->spi_in,
                       c->spi_out);
    size_t encr = sl_suite_encr_key_len(&c->suite), integ = sl_suite_integ_key_len(&c->suite);
    if (c->encr_in.len != encr || c->encr_out.len != encr || c->integ_in.len != integ ||
        c->integ_out.len != integ)
        return SL_FAIL(err, SL_MALFORMED,
                       "key lengths do not fit the suite: need %zu and %zu bytes", encr, integ);
    if (!sl_addr_len(&c->remote.addr))
        return SL_FAIL(err, SL_MALFORMED, "child has no remote address");
    SL_TRY(ts_check(c->ts_local, c->ts_local_n, "local", err));
    return ts_check(c->ts_remote, c->ts_remote_n, "remote", err);
}

/* SPEC RFC4303-3.3.3 MUST: the counter never cycles; a rekey is asked for well before its end */
static void sequence_limits(struct esp_out *o, bool esn, const struct sl_esp_config *config)
{
    o->seq_last = esn ? UINT64_MAX : UINT32_MAX;
    if (config->seq_last && config->seq_last < o->seq_last)
        o->seq_last = config->seq_last;
    o->seq_soft = o->seq_last / 4 * 3;
    if (config->seq_soft && config->seq_soft < o->seq_last)
        o->seq_soft = config->seq_soft;
}

static enum sl_rc child_fill(struct esp_child *made, const struct sl_child *c, struct sl_err *err)
{
    size_t n = c->ts_local_n + c->ts_remote_n;
    made->ts = calloc(n, sizeof(*made->ts));
    made->sel = calloc(n, sizeof(*made->sel));
    if (!made->ts || !made->sel)
        return SL_FAIL_MEM(err);
    memcpy(made->ts, c->ts_local, c->ts_local_n * sizeof(*made->ts));
    memcpy(made->ts + c->ts_local_n, c->ts_remote, c->ts_remote_n * sizeof(*made->ts));
    for (size_t i = 0; i < n; i++)
        esp_sel_of(&made->sel[i], &made->ts[i]);

    /* an ESN is guessed from the window: there must be one (RFC 4303 Appendix A) */
    uint32_t window = c->esn && !c->replay_window_pkts ? 64 : c->replay_window_pkts;
    SL_TRY(esp_replay_init(&made->in.replay, window, err));
    SL_TRY(esp_codec_init(&made->in.codec, &c->suite, false, c->spi_in, c->esn,
                          sl_secret_bytes(&c->encr_in), sl_secret_bytes(&c->integ_in), err));
    return esp_codec_init(&made->out.codec, &c->suite, true, c->spi_out, c->esn,
                          sl_secret_bytes(&c->encr_out), sl_secret_bytes(&c->integ_out), err);
}

enum sl_rc esp_child_new(struct esp_child **out, const struct sl_child *c,
                         const struct sl_esp_config *config, struct sl_err *err)
{
    SL_TRY(child_check(c, err));
    struct esp_child *made = aligned_alloc(ESP_CACHE_LINE, sizeof(*made));
    if (!made)
        return SL_FAIL_MEM(err);
    *made = (struct esp_child){
        .id = c->id,
        .ike_sa = c->ike_sa,
        .vip = { c->vip[0], c->vip[1] },
        .suite = c->suite,
        .limits = c->limits,
        .local_n = c->ts_local_n,
        .remote_n = c->ts_remote_n,
        .in.child = made,
        .out = { .child = made, .udp_encap = c->udp_encap, .local = c->local, .remote = c->remote },
    };
    memcpy(made->connection, c->connection, sizeof(made->connection));
    made->connection[SL_NAME_MAX - 1] = '\0';
    memcpy(made->name, c->child, sizeof(made->name));
    made->name[SL_NAME_MAX - 1] = '\0';
    sequence_limits(&made->out, c->esn, config);
    esp_out_mtu(&made->out, &c->suite, config->outer_mtu, config->inner_mtu);
    enum sl_rc rc = child_fill(made, c, err);
    if (rc != SL_OK) {
        esp_child_free(made);
        return rc;
    }
    *out = made;
    return SL_OK;
}

void esp_child_free(struct esp_child *c)
{
    if (!c)
        return;
    esp_codec_clear(&c->in.codec);
    esp_codec_clear(&c->out.codec);
    esp_replay_clear(&c->in.replay);
    free(c->ts);
    free(c->sel);
    free(c->pairs);
    free(c);
}
