/*
 * Keys, hashes and IVs of IKEv1; see keys.h.
 */
#include "src/ike/v1/keys.h"

#include <string.h>

static struct sl_bytes cookie(const uint8_t c[V1_COOKIE_LEN])
{
    return sl_bytes(c, V1_COOKIE_LEN);
}

static void be32(uint8_t out[4], uint32_t v)
{
    struct sl_wr w = sl_wr_fixed(out, 4);
    sl_wr_u32(&w, v);
}

/* The digest that the prf is the HMAC of. */
static enum sl_rc hash(uint8_t out[SL_PRF_MAX], enum sl_prf prf, struct sl_bytes data,
                       struct sl_err *err)
{
    size_t len = sl_prf_len(prf);
    if (len == 0)
        return SL_FAIL(err, SL_UNSUPPORTED, "hash of PRF %u is not supported", (unsigned)prf);
    sl_sha2((unsigned)len * 8, data, out);
    return SL_OK;
}

/* ---- keys of the ISAKMP SA ------------------------------------------------------------------------ */
void v1_keys_clear(struct v1_keys *k)
{
    sl_secret_clear(&k->skeyid);
    sl_secret_clear(&k->d);
    sl_secret_clear(&k->a);
    sl_secret_clear(&k->e);
    sl_secret_clear(&k->enc);
}

void v1_keys_move(struct v1_keys *to, struct v1_keys *from)
{
    sl_secret_move(&to->skeyid, &from->skeyid);
    sl_secret_move(&to->d, &from->d);
    sl_secret_move(&to->a, &from->a);
    sl_secret_move(&to->e, &from->e);
    sl_secret_move(&to->enc, &from->enc);
}

/* prf(key, parts) into a new secret. */
static enum sl_rc prf_secret(struct sl_secret *out, enum sl_prf prf, struct sl_bytes key,
                             const struct sl_bytes *parts, size_t n, struct sl_err *err)
{
    size_t len = sl_prf_len(prf);
    if (len == 0)
        return SL_FAIL(err, SL_UNSUPPORTED, "PRF %u is not supported", (unsigned)prf);
    SL_AUTO_SECRET made = { 0 };
    SL_TRY(sl_secret_init(&made, len, err));
    SL_TRY(sl_prf_run(prf, key, parts, n, made.p, err));
    sl_secret_move(out, &made);
    return SL_OK;
}

enum sl_rc v1_skeyid_sig(struct sl_secret *out, enum sl_prf prf, struct sl_bytes ni,
                         struct sl_bytes nr, const struct sl_secret *shared, struct sl_err *err)
{
    uint8_t nonces[2 * V1_NONCE_MAX];
    if (!v1_nonce_ok(ni) || !v1_nonce_ok(nr))
        return SL_FAIL(err, SL_IKE_MALFORMED,
                       "nonces of %zu and %zu bytes, expected %d to %d (RFC 2409 5)", ni.len,
                       nr.len, V1_NONCE_MIN, V1_NONCE_MAX);
    struct sl_wr w = sl_wr_fixed(nonces, sizeof(nonces));
    sl_wr_put(&w, ni);
    sl_wr_put(&w, nr);
    const struct sl_bytes g = sl_secret_bytes(shared);
    return prf_secret(out, prf, sl_bytes(nonces, sl_wr_len(&w)), &g, 1, err);
}

/*
 * RFC 2409 appendix B: Ka is the head of SKEYID_e. Its expansion for longer keys has no use: no SHA-2
 * hash is shorter than the longest AES key.
 */
static enum sl_rc make_enc(struct sl_secret *out, const struct sl_secret *e, size_t len,
                           struct sl_err *err)
{
    if (len > e->len)
        return SL_FAIL(err, SL_UNSUPPORTED, "SKEYID_e of %zu bytes is too short for a key of %zu",
                       e->len, len);
    return sl_secret_copy(out, sl_bytes(e->p, len), err);
}

/*
 * SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0)
 * SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)
 * SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)
 */
static enum sl_rc derive(struct v1_keys *k, enum sl_prf prf, size_t enc_len,
                         const struct sl_secret *skeyid, const struct sl_secret *shared,
                         const uint8_t *cky_i, const uint8_t *cky_r, struct sl_err *err)
{
    static const uint8_t count[] = { 0, 1, 2 };
    struct sl_secret *const out[] = { &k->d, &k->a, &k->e };
    struct sl_bytes before = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(out); i++) {
        const struct sl_bytes parts[] = { before, sl_secret_bytes(shared), cookie(cky_i),
                                          cookie(cky_r), sl_bytes(&count[i], 1) };
        SL_TRY(prf_secret(out[i], prf, sl_secret_bytes(skeyid), parts, SL_ARRAY_LEN(parts), err));
        before = sl_secret_bytes(out[i]);
    }
    return make_enc(&k->enc, &k->e, enc_len, err);
}

enum sl_rc v1_keys_derive(struct v1_keys *out, enum sl_prf prf, const struct sl_suite *suite,
                          struct sl_secret *skeyid, const struct sl_secret *shared,
                          const uint8_t cky_i[V1_COOKIE_LEN], const uint8_t cky_r[V1_COOKIE_LEN],
                          struct sl_err *err)
{
    if (suite->encr != SL_ENCR_AES_CBC || sl_suite_encr_key_len(suite) == 0)
        return SL_FAIL(err, SL_UNSUPPORTED, "cipher %u cannot protect IKEv1 messages",
                       (unsigned)suite->encr);
    struct v1_keys k = { 0 };
    enum sl_rc rc =
        derive(&k, prf, sl_suite_encr_key_len(suite), skeyid, shared, cky_i, cky_r, err);
    if (rc == SL_OK) {
        sl_secret_move(&k.skeyid, skeyid);
        v1_keys_move(out, &k);
    }
    v1_keys_clear(&k);
    return rc;
}

/* ---- HASH_I, HASH_R ------------------------------------------------------------------------------- */
enum sl_rc v1_hash_i(uint8_t out[SL_PRF_MAX], enum sl_prf prf, const struct sl_secret *skeyid,
                     const struct v1_hash_in *in, struct sl_bytes idii, struct sl_err *err)
{
    const struct sl_bytes parts[] = { in->gxi,           in->gxr, cookie(in->cky_i),
                                      cookie(in->cky_r), in->sai, idii };
    return sl_prf_run(prf, sl_secret_bytes(skeyid), parts, SL_ARRAY_LEN(parts), out, err);
}

enum sl_rc v1_hash_r(uint8_t out[SL_PRF_MAX], enum sl_prf prf, const struct sl_secret *skeyid,
                     const struct v1_hash_in *in, struct sl_bytes idir, struct sl_err *err)
{
    const struct sl_bytes parts[] = { in->gxr,           in->gxi, cookie(in->cky_r),
                                      cookie(in->cky_i), in->sai, idir };
    return sl_prf_run(prf, sl_secret_bytes(skeyid), parts, SL_ARRAY_LEN(parts), out, err);
}

/* ---- HASH(1), HASH(2), HASH(3) --------------------------------------------------------------------- */
enum sl_rc v1_hash_1(uint8_t out[SL_PRF_MAX], enum sl_prf prf, const struct sl_secret *skeyid_a,
                     uint32_t mid, struct sl_bytes rest, struct sl_err *err)
{
    return v1_hash_2(out, prf, skeyid_a, mid, (struct sl_bytes){ 0 }, rest, err);
}

enum sl_rc v1_hash_2(uint8_t out[SL_PRF_MAX], enum sl_prf prf, const struct sl_secret *skeyid_a,
                     uint32_t mid, struct sl_bytes ni, struct sl_bytes rest, struct sl_err *err)
{
    uint8_t m[4];
    be32(m, mid);
    const struct sl_bytes parts[] = { sl_bytes(m, sizeof(m)), ni, rest };
    return sl_prf_run(prf, sl_secret_bytes(skeyid_a), parts, SL_ARRAY_LEN(parts), out, err);
}

enum sl_rc v1_hash_3(uint8_t out[SL_PRF_MAX], enum sl_prf prf, const struct sl_secret *skeyid_a,
                     uint32_t mid, struct sl_bytes ni, struct sl_bytes nr, struct sl_err *err)
{
    uint8_t m[5] = { 0 };
    be32(m + 1, mid);
    const struct sl_bytes parts[] = { sl_bytes(m, sizeof(m)), ni, nr };
    return sl_prf_run(prf, sl_secret_bytes(skeyid_a), parts, SL_ARRAY_LEN(parts), out, err);
}

/* ---- KEYMAT ------------------------------------------------------------------------------------------ */
/*
 * RFC 2409 5.5: KEYMAT = K1 | K2 | ..., K1 = prf(SKEYID_d, seed), Kn = prf(SKEYID_d, Kn-1 | seed).
 * Encryption key first, then integrity (RFC 2407 4.5, RFC 4301 4.5.2).
 */
static enum sl_rc keymat(struct sl_secret *encr, struct sl_secret *integ, enum sl_prf prf,
                         const struct sl_secret *d, const struct sl_suite *suite,
                         struct sl_bytes shared, uint32_t spi, struct sl_bytes ni,
                         struct sl_bytes nr, struct sl_err *err)
{
    static const uint8_t protocol = V1_PROTO_ESP;
    uint8_t spi_b[4];
    be32(spi_b, spi);
    size_t encr_len = sl_suite_encr_key_len(suite), integ_len = sl_suite_integ_key_len(suite);
    size_t block = sl_prf_len(prf);
    SL_AUTO_SECRET stream = { 0 };
    size_t rounds = (encr_len + integ_len + block - 1) / block;
    SL_TRY(sl_secret_init(&stream, rounds * block, err));
    struct sl_bytes before = { 0 };
    for (size_t i = 0; i < rounds; i++) {
        const struct sl_bytes parts[] = {
            before, shared, sl_bytes(&protocol, 1), sl_bytes(spi_b, sizeof(spi_b)), ni, nr
        };
        SL_TRY(sl_prf_run(prf, sl_secret_bytes(d), parts, SL_ARRAY_LEN(parts), stream.p + i * block,
                          err));
        before = sl_bytes(stream.p + i * block, block);
    }
    SL_TRY(sl_secret_copy(encr, sl_bytes(stream.p, encr_len), err));
    if (integ_len == 0)
        return SL_OK;
    return sl_secret_copy(integ, sl_bytes(stream.p + encr_len, integ_len), err);
}

enum sl_rc v1_child_keys_derive(struct ike_child_keys *out, enum sl_prf prf,
                                const struct sl_secret *skeyid_d, const struct sl_suite *suite,
                                const struct sl_secret *shared, uint32_t spi_i, uint32_t spi_r,
                                struct sl_bytes ni, struct sl_bytes nr, struct sl_err *err)
{
    if (sl_prf_len(prf) == 0 || !sl_suite_supported(suite))
        return SL_FAIL(err, SL_UNSUPPORTED, "keys for PRF %d and cipher %d cannot be derived",
                       (int)prf, (int)suite->encr);
    struct sl_bytes g = shared ? sl_secret_bytes(shared) : (struct sl_bytes){ 0 };
    struct ike_child_keys k = { 0 };
    /* an SA is named by the SPI of its receiver, so what the initiator sends has the responder's */
    enum sl_rc rc = keymat(&k.encr_i, &k.integ_i, prf, skeyid_d, suite, g, spi_r, ni, nr, err);
    if (rc == SL_OK)
        rc = keymat(&k.encr_r, &k.integ_r, prf, skeyid_d, suite, g, spi_i, ni, nr, err);
    if (rc != SL_OK) {
        ike_child_keys_clear(&k);
        return rc;
    }
    *out = k;
    return SL_OK;
}

/* ---- IVs ------------------------------------------------------------------------------------------------ */
static enum sl_rc hash_iv(uint8_t out[V1_IV_LEN], enum sl_prf prf, struct sl_bytes a,
                          struct sl_bytes b, struct sl_err *err)
{
    uint8_t digest[SL_PRF_MAX];
    SL_AUTO_BUF in = { 0 };
    if (!sl_buf_put(&in, a) || !sl_buf_put(&in, b))
        return SL_FAIL_MEM(err);
    SL_TRY(hash(digest, prf, sl_buf_bytes(&in), err));
    memcpy(out, digest, V1_IV_LEN);
    return SL_OK;
}

enum sl_rc v1_iv_phase1(uint8_t out[V1_IV_LEN], enum sl_prf prf, struct sl_bytes gxi,
                        struct sl_bytes gxr, struct sl_err *err)
{
    return hash_iv(out, prf, gxi, gxr, err);
}

enum sl_rc v1_iv_phase2(uint8_t out[V1_IV_LEN], enum sl_prf prf, const uint8_t last[V1_IV_LEN],
                        uint32_t mid, struct sl_err *err)
{
    uint8_t m[4];
    be32(m, mid);
    return hash_iv(out, prf, sl_bytes(last, V1_IV_LEN), sl_bytes(m, sizeof(m)), err);
}

/* ---- NAT detection --------------------------------------------------------------------------------------- */
enum sl_rc v1_natd_hash(uint8_t out[SL_PRF_MAX], enum sl_prf prf,
                        const uint8_t cky_i[V1_COOKIE_LEN], const uint8_t cky_r[V1_COOKIE_LEN],
                        const struct sl_endpoint *e, struct sl_err *err)
{
    uint8_t in[2 * V1_COOKIE_LEN + 16 + 2];
    struct sl_wr w = sl_wr_fixed(in, sizeof(in));
    sl_wr_put(&w, cookie(cky_i));
    sl_wr_put(&w, cookie(cky_r));
    sl_wr_put(&w, sl_addr_bytes(&e->addr));
    sl_wr_u16(&w, e->port);
    return hash(out, prf, sl_bytes(in, sl_wr_len(&w)), err);
}

enum sl_rc v1_put_natd(struct ike_wr *c, uint8_t type, enum sl_prf prf,
                       const uint8_t cky_i[V1_COOKIE_LEN], const uint8_t cky_r[V1_COOKIE_LEN],
                       const struct sl_endpoint *local, const struct sl_endpoint *remote,
                       struct sl_err *err)
{
    uint8_t digest[SL_PRF_MAX];
    /* SPEC RFC3947-3.2 MUST: the remote address first */
    const struct sl_endpoint *const order[] = { remote, local };
    for (size_t i = 0; i < SL_ARRAY_LEN(order); i++) {
        SL_TRY(v1_natd_hash(digest, prf, cky_i, cky_r, order[i], err));
        v1_put(c, type, sl_bytes(digest, sl_prf_len(prf)));
    }
    return SL_OK;
}

bool v1_natd_check(const struct ike_payloads *list, enum sl_prf prf,
                   const uint8_t cky_i[V1_COOKIE_LEN], const uint8_t cky_r[V1_COOKIE_LEN],
                   const struct sl_endpoint *local, const struct sl_endpoint *remote,
                   bool *local_natted, bool *remote_natted)
{
    uint8_t ours[SL_PRF_MAX], theirs[SL_PRF_MAX];
    size_t len = sl_prf_len(prf), n = 0;
    bool local_ok = false, remote_ok = false;
    if (v1_natd_hash(ours, prf, cky_i, cky_r, local, NULL) != SL_OK ||
        v1_natd_hash(theirs, prf, cky_i, cky_r, remote, NULL) != SL_OK)
        return false;
    for (size_t i = 0; i < list->n; i++) {
        const struct ike_payload *p = &list->p[i];
        if (!v1_is_natd(p->type))
            continue;
        if (n++ == 0)
            local_ok = sl_bytes_eq(p->body, sl_bytes(ours, len));
        else
            remote_ok |= sl_bytes_eq(p->body, sl_bytes(theirs, len));
    }
    if (n < 2)
        return false;
    *local_natted = !local_ok;
    *remote_natted = !remote_ok;
    return true;
}
