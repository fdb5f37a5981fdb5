/*
 * Key derivation, signed octets, NAT detection and cookies of IKEv2; see keys.h.
 */
#include "src/ike/keys.h"

#include <openssl/evp.h>
#include <string.h>

/* ---- cutting a stream of keying material ---------------------------------------------------------- */
struct cut {
    struct sl_secret *key;
    size_t len;
};

/* prf+(key, seed), cut in order; a length of 0 leaves its key empty. All or none. */
static enum sl_rc derive(enum sl_prf prf, struct sl_bytes key, struct sl_bytes seed,
                         const struct cut *cuts, size_t n, struct sl_err *err)
{
    SL_AUTO_SECRET stream = { 0 };
    size_t total = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        total += cuts[i].len;
    SL_TRY(sl_secret_init(&stream, total, err));
    SL_TRY(sl_prf_plus(prf, key, seed, stream.p, total, err));
    for (size_t i = 0; i < n; i++) {
        if (cuts[i].len == 0)
            continue;
        enum sl_rc rc = sl_secret_copy(cuts[i].key, sl_bytes(stream.p + at, cuts[i].len), err);
        if (rc != SL_OK) {
            while (i-- > 0)
                sl_secret_clear(cuts[i].key);
            return rc;
        }
        at += cuts[i].len;
    }
    return SL_OK;
}

static bool nonce_ok(struct sl_bytes nonce)
{
    return nonce.len > 0 && nonce.len <= IKE_NONCE_MAX;
}

/* ---- the IKE SA -------------------------------------------------------------------------------------- */
void ike_keys_clear(struct ike_keys *k)
{
    sl_secret_clear(&k->d);
    sl_secret_clear(&k->ai);
    sl_secret_clear(&k->ar);
    sl_secret_clear(&k->ei);
    sl_secret_clear(&k->er);
    sl_secret_clear(&k->pi);
    sl_secret_clear(&k->pr);
}

void ike_keys_move(struct ike_keys *to, struct ike_keys *from)
{
    sl_secret_move(&to->d, &from->d);
    sl_secret_move(&to->ai, &from->ai);
    sl_secret_move(&to->ar, &from->ar);
    sl_secret_move(&to->ei, &from->ei);
    sl_secret_move(&to->er, &from->er);
    sl_secret_move(&to->pi, &from->pi);
    sl_secret_move(&to->pr, &from->pr);
}

/* {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr) */
static enum sl_rc expand(struct ike_keys *out, enum sl_prf prf, const struct sl_suite *suite,
                         struct sl_bytes skeyseed, struct sl_bytes ni, struct sl_bytes nr,
                         const uint8_t *spi_i, const uint8_t *spi_r, struct sl_err *err)
{
    uint8_t seed[2 * IKE_NONCE_MAX + 2 * IKE_SPI_LEN];
    struct sl_wr w = sl_wr_fixed(seed, sizeof(seed));
    sl_wr_put(&w, ni);
    sl_wr_put(&w, nr);
    sl_wr_put(&w, sl_bytes(spi_i, IKE_SPI_LEN));
    sl_wr_put(&w, sl_bytes(spi_r, IKE_SPI_LEN));
    size_t prf_len = sl_prf_len(prf), integ = sl_suite_integ_key_len(suite);
    size_t encr = sl_suite_encr_key_len(suite);
    const struct cut cuts[] = { { &out->d, prf_len }, { &out->ai, integ }, { &out->ar, integ },
                                { &out->ei, encr },   { &out->er, encr },  { &out->pi, prf_len },
                                { &out->pr, prf_len } };
    return derive(prf, skeyseed, sl_bytes(seed, sl_wr_len(&w)), cuts, SL_ARRAY_LEN(cuts), err);
}

static enum sl_rc check_inputs(enum sl_prf prf, const struct sl_suite *suite, struct sl_bytes ni,
                               struct sl_bytes nr, struct sl_err *err)
{
    if (sl_prf_len(prf) == 0 || !sl_suite_supported(suite))
        return SL_FAIL(err, SL_UNSUPPORTED, "keys for PRF %d and cipher %d cannot be derived",
                       (int)prf, (int)suite->encr);
    if (!nonce_ok(ni) || !nonce_ok(nr))
        return SL_FAIL(err, SL_IKE_MALFORMED, "nonces of %zu and %zu bytes, expected 1 to %d",
                       ni.len, nr.len, IKE_NONCE_MAX);
    return SL_OK;
}

enum sl_rc ike_keys_derive(struct ike_keys *out, enum sl_prf prf, const struct sl_suite *suite,
                           struct sl_bytes ni, struct sl_bytes nr, const uint8_t spi_i[IKE_SPI_LEN],
                           const uint8_t spi_r[IKE_SPI_LEN], const struct sl_secret *shared,
                           struct sl_err *err)
{
    SL_TRY(check_inputs(prf, suite, ni, nr, err));
    uint8_t skeyseed[SL_PRF_MAX], nonces[2 * IKE_NONCE_MAX];
    struct sl_wr w = sl_wr_fixed(nonces, sizeof(nonces));
    sl_wr_put(&w, ni);
    sl_wr_put(&w, nr);
    const struct sl_bytes g = sl_secret_bytes(shared);
    enum sl_rc rc = sl_prf_run(prf, sl_bytes(nonces, sl_wr_len(&w)), &g, 1, skeyseed, err);
    if (rc == SL_OK)
        rc =
            expand(out, prf, suite, sl_bytes(skeyseed, sl_prf_len(prf)), ni, nr, spi_i, spi_r, err);
    sl_wipe(skeyseed, sizeof(skeyseed));
    return rc;
}

enum sl_rc ike_keys_rekey(struct ike_keys *out, enum sl_prf old_prf, const struct sl_secret *old_d,
                          enum sl_prf prf, const struct sl_suite *suite, struct sl_bytes ni,
                          struct sl_bytes nr, const uint8_t spi_i[IKE_SPI_LEN],
                          const uint8_t spi_r[IKE_SPI_LEN], const struct sl_secret *shared,
                          const struct sl_secret *more, struct sl_err *err)
{
    SL_TRY(check_inputs(prf, suite, ni, nr, err));
    uint8_t skeyseed[SL_PRF_MAX];
    const struct sl_bytes parts[] = { sl_secret_bytes(shared), ni, nr,
                                      more ? sl_secret_bytes(more) : (struct sl_bytes){ 0 } };
    /* SPEC RFC7296-2.18 MUST: the old SA's prf makes SKEYSEED, the new one's the keys */
    enum sl_rc rc = sl_prf_run(old_prf, sl_secret_bytes(old_d), parts, 4, skeyseed, err);
    if (rc == SL_OK)
        rc = expand(out, prf, suite, sl_bytes(skeyseed, sl_prf_len(old_prf)), ni, nr, spi_i, spi_r,
                    err);
    sl_wipe(skeyseed, sizeof(skeyseed));
    return rc;
}

/* ---- child SAs ------------------------------------------------------------------------------------------ */
void ike_child_keys_clear(struct ike_child_keys *k)
{
    sl_secret_clear(&k->encr_i);
    sl_secret_clear(&k->integ_i);
    sl_secret_clear(&k->encr_r);
    sl_secret_clear(&k->integ_r);
}

enum sl_rc ike_child_keys_derive(struct ike_child_keys *out, enum sl_prf prf,
                                 const struct sl_secret *sk_d, const struct sl_suite *suite,
                                 const struct sl_secret *shared, struct sl_bytes ni,
                                 struct sl_bytes nr, const struct sl_secret *more,
                                 struct sl_err *err)
{
    SL_TRY(check_inputs(prf, suite, ni, nr, err));
    SL_AUTO_SECRET seed = { 0 };
    size_t shared_len = shared ? shared->len : 0;
    SL_TRY(sl_secret_init(&seed, shared_len + ni.len + nr.len + (more ? more->len : 0), err));
    struct sl_wr w = sl_wr_fixed(seed.p, seed.len);
    if (shared)
        sl_wr_put(&w, sl_secret_bytes(shared));
    sl_wr_put(&w, ni);
    sl_wr_put(&w, nr);
    if (more)
        sl_wr_put(&w, sl_secret_bytes(more));
    size_t encr = sl_suite_encr_key_len(suite), integ = sl_suite_integ_key_len(suite);
    /* SPEC RFC7296-2.17 MUST: initiator to responder first, encryption before integrity */
    const struct cut cuts[] = { { &out->encr_i, encr },
                                { &out->integ_i, integ },
                                { &out->encr_r, encr },
                                { &out->integ_r, integ } };
    return derive(prf, sl_secret_bytes(sk_d), sl_secret_bytes(&seed), cuts, SL_ARRAY_LEN(cuts),
                  err);
}

/* ---- AUTH -------------------------------------------------------------------------------------------------- */
enum sl_rc ike_signed_octets(struct sl_buf *out, enum sl_prf prf, struct sl_bytes message,
                             struct sl_bytes nonce, const struct sl_secret *sk_p,
                             struct sl_bytes id, struct sl_err *err)
{
    uint8_t maced_id[SL_PRF_MAX];
    size_t len = sl_prf_len(prf);
    if (!nonce_ok(nonce) || len == 0)
        return SL_FAIL(err, SL_INTERNAL, "signed octets without nonce or PRF");
    SL_TRY(sl_prf_run(prf, sl_secret_bytes(sk_p), &id, 1, maced_id, err));
    struct sl_wr w = sl_wr_buf(out, SL_BUF_MAX);
    size_t start = out->len;
    sl_wr_put(&w, message);
    sl_wr_put(&w, nonce);
    sl_wr_put(&w, sl_bytes(maced_id, len));
    if (!sl_wr_ok(&w)) {
        out->len = start;
        return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

/* ---- NAT detection ------------------------------------------------------------------------------------------- */
void ike_natd_hash(uint8_t out[IKE_NATD_LEN], const uint8_t spi_i[IKE_SPI_LEN],
                   const uint8_t spi_r[IKE_SPI_LEN], const struct sl_endpoint *e)
{
    uint8_t in[2 * IKE_SPI_LEN + 16 + 2];
    struct sl_wr w = sl_wr_fixed(in, sizeof(in));
    sl_wr_put(&w, sl_bytes(spi_i, IKE_SPI_LEN));
    sl_wr_put(&w, sl_bytes(spi_r, IKE_SPI_LEN));
    sl_wr_put(&w, sl_addr_bytes(&e->addr));
    sl_wr_u16(&w, e->port);
    /* RFC 7296 2.23 fixes SHA-1; nothing rests on it, so it is not in the crypto layer */
    if (EVP_Digest(in, sl_wr_len(&w), out, NULL, EVP_sha1(), NULL) != 1)
        memset(out, 0, IKE_NATD_LEN); /* matches nothing: taken for a NAT, which is harmless */
}

/* Does one of the notifies of that type carry the hash? *n: how many there are. */
static bool natd_has(const struct ike_payloads *list, uint16_t type,
                     const uint8_t hash[IKE_NATD_LEN], size_t *n)
{
    bool has = false;
    *n = 0;
    for (const struct ike_payload *p = NULL; (p = ike_payloads_next(list, IKE_P_N, p));) {
        struct ike_notify one;
        if (!ike_notify_read(&one, p->body) || one.type != type)
            continue;
        ++*n;
        has |= sl_bytes_eq(one.data, sl_bytes(hash, IKE_NATD_LEN));
    }
    return has;
}

bool ike_natd_check(const struct ike_payloads *list, const uint8_t spi_i[IKE_SPI_LEN],
                    const uint8_t spi_r[IKE_SPI_LEN], const struct sl_endpoint *local,
                    const struct sl_endpoint *remote, bool *local_natted, bool *remote_natted)
{
    uint8_t hash[IKE_NATD_LEN];
    size_t sources, destinations;
    ike_natd_hash(hash, spi_i, spi_r, remote);
    bool source_ok = natd_has(list, IKE_N_NAT_DETECTION_SOURCE_IP, hash, &sources);
    ike_natd_hash(hash, spi_i, spi_r, local);
    bool destination_ok = natd_has(list, IKE_N_NAT_DETECTION_DESTINATION_IP, hash, &destinations);
    if (sources == 0 || destinations == 0)
        return false;
    *remote_natted = !source_ok;
    *local_natted = !destination_ok;
    return true;
}

/* ---- cookies ------------------------------------------------------------------------------------------------ */
void ike_cookie_init(struct ike_cookie *k, const struct sl_rng *rng, int64_t now_ns)
{
    *k = (struct ike_cookie){ .version = 0,
                              .has_old = false,
                              .rotate_ns = now_ns + IKE_COOKIE_ROTATE_NS };
    sl_rng_fill(rng, k->secret[0], IKE_COOKIE_SECRET_LEN);
}

void ike_cookie_tick(struct ike_cookie *k, const struct sl_rng *rng, int64_t now_ns)
{
    if (now_ns < k->rotate_ns)
        return;
    /* the current secret becomes the old one, unless it is a whole period out of use */
    k->has_old = now_ns - k->rotate_ns < IKE_COOKIE_ROTATE_NS;
    k->version++;
    sl_rng_fill(rng, k->secret[k->version & 1], IKE_COOKIE_SECRET_LEN);
    k->rotate_ns = now_ns + IKE_COOKIE_ROTATE_NS;
}

static void cookie_hash(uint8_t out[IKE_COOKIE_LEN], uint8_t version, const uint8_t *secret,
                        struct sl_bytes ni, const struct sl_endpoint *from, const uint8_t *spi_i)
{
    uint8_t in[2 + IKE_NONCE_MAX + 1 + 16 + 2 + IKE_SPI_LEN + IKE_COOKIE_SECRET_LEN];
    struct sl_wr w = sl_wr_fixed(in, sizeof(in));
    /* lengths in front, so that no two inputs read the same */
    sl_wr_part16(&w, sl_bytes_slice(ni, 0, IKE_NONCE_MAX));
    sl_wr_part8(&w, sl_addr_bytes(&from->addr));
    sl_wr_u16(&w, from->port);
    sl_wr_put(&w, sl_bytes(spi_i, IKE_SPI_LEN));
    sl_wr_put(&w, sl_bytes(secret, IKE_COOKIE_SECRET_LEN));
    out[0] = version;
    sl_sha2(256, sl_bytes(in, sl_wr_len(&w)), out + 1);
    sl_wipe(in, sizeof(in));
}

void ike_cookie_make(uint8_t out[IKE_COOKIE_LEN], const struct ike_cookie *k, struct sl_bytes ni,
                     const struct sl_endpoint *from, const uint8_t spi_i[IKE_SPI_LEN])
{
    cookie_hash(out, k->version, k->secret[k->version & 1], ni, from, spi_i);
}

bool ike_cookie_check(const struct ike_cookie *k, struct sl_bytes cookie, struct sl_bytes ni,
                      const struct sl_endpoint *from, const uint8_t spi_i[IKE_SPI_LEN])
{
    uint8_t expected[IKE_COOKIE_LEN];
    if (cookie.len != IKE_COOKIE_LEN)
        return false;
    uint8_t version = cookie.p[0];
    if (version != k->version && !(k->has_old && version == (uint8_t)(k->version - 1)))
        return false;
    cookie_hash(expected, version, k->secret[version & 1], ni, from, spi_i);
    return sl_ct_equal(cookie, sl_bytes(expected, sizeof(expected)));
}

void ike_cookie_clear(struct ike_cookie *k)
{
    sl_wipe(k, sizeof(*k));
}
