/*
 * One validation without a daemon: a decider is made for it, given what is at hand, and driven until it
 * has its verdict; then its evidence is put into the shape that machines rely on.
 *
 * Whatever is unreadable fails closed: an unreadable leaf is refused, an unreadable anchor, CRL,
 * response or intermediate is left out and noted, and without any readable anchor there is no verdict
 * at all.
 */
#include "sealane/verify.h"
#include "sealane/config.h"
#include "sealane/time.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRUST        "given"
#define DEADLINE_MS  5000
#define FETCH_ONE_MS 3000
#define FETCH_ALL_MS 15000
#define GRACE_S      86400
#define TURNS_MAX    100000 /* questions and timers of one validation; more is a bug, not work */
#define PEM_MAX      ((size_t)128 << 20)
#define NOTES_MAX    32
#define RSA_MIN_BITS 2048

/* ---- what is at hand ------------------------------------------------------------------------------- */
/* Calls put for each DER part of a PEM text with the label, or once for DER. */
typedef enum sl_rc put_fn(void *ctx, struct sl_bytes der, const char *what, struct sl_err *err);

static bool label_fits(const char *name, const char *label)
{
    return strcmp(name, label) == 0 ||
           (strcmp(label, PEM_STRING_X509) == 0 && strcmp(name, PEM_STRING_X509_OLD) == 0);
}

static json_t *note_list(json_t *answer)
{
    json_t *notes = json_object_get(answer, "notes");
    if (notes)
        return notes;
    notes = json_array();
    return json_object_set_new(answer, "notes", notes) == 0 ? notes : NULL;
}

static void note(json_t *answer, const char *text)
{
    json_t *notes = note_list(answer);
    if (json_array_size(notes) >= NOTES_MAX)
        return;
    char safe[SL_ERR_TEXT_MAX];
    (void)json_array_append_new(notes, json_string(sl_printable(safe, sizeof(safe), sl_str(text))));
}

/* How many parts were taken; what cannot be is noted. */
static size_t each_part(const struct sl_verify_part *part, const char *label, put_fn *put,
                        void *ctx, json_t *answer)
{
    struct sl_bytes in = sl_buf_bytes(&part->data);
    struct sl_err err;
    char what[SL_VERIFY_WHAT + 32];
    size_t taken = 0, seen = 0;
    sl_err_reset(&err);
    if (in.len > PEM_MAX || (in.len && in.p[0] == 0x30)) { /* a SEQUENCE; PEM is text */
        if (put(ctx, in, part->what, &err) == SL_OK)
            return 1;
        note(answer, sl_err_text(&err));
        return 0;
    }
    BIO *bio = BIO_new_mem_buf(in.len ? (const void *)in.p : "", (int)in.len);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    while (bio && PEM_read_bio(bio, &name, &header, &der, &len)) {
        if (label_fits(name, label)) {
            /* Each has a name of its own: a CRL of the same name replaces the one before it. */
            if (seen++)
                snprintf(what, sizeof(what), "%s (part %zu)", part->what, seen);
            else
                snprintf(what, sizeof(what), "%s", part->what);
            sl_err_reset(&err);
            if (put(ctx, sl_bytes(der, (size_t)len), what, &err) == SL_OK)
                taken++;
            else
                note(answer, sl_err_text(&err));
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len); /* it may have been a private key */
    }
    if (seen && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        snprintf(err.text, sizeof(err.text), "%s: PEM cannot be decoded after part %zu", part->what,
                 seen);
        note(answer, err.text);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (seen == 0) {
        snprintf(err.text, sizeof(err.text), "%s: holds no %s in PEM or DER", part->what, label);
        note(answer, err.text);
    }
    return taken;
}

static enum sl_rc put_anchor(void *d, struct sl_bytes der, const char *what, struct sl_err *err)
{
    return sl_decider_anchors(d, TRUST, der, what, err);
}

static enum sl_rc put_intermediate(void *d, struct sl_bytes der, const char *what,
                                   struct sl_err *err)
{
    return sl_decider_intermediates(d, TRUST, der, what, err);
}

static enum sl_rc put_crl(void *d, struct sl_bytes der, const char *what, struct sl_err *err)
{
    return sl_decider_crl(d, TRUST, der, what, err);
}

struct chain {
    struct sl_buf der[SL_CHAIN_MAX];
    size_t n;
};

static enum sl_rc put_chain(void *ctx, struct sl_bytes der, const char *what, struct sl_err *err)
{
    struct chain *c = ctx;
    if (c->n == SL_CHAIN_MAX)
        return SL_FAIL(err, SL_TOO_LARGE, "%s: more than %d are not used", what, SL_CHAIN_MAX);
    if (!sl_buf_put(&c->der[c->n], der))
        return SL_FAIL_MEM(err);
    c->n++;
    return SL_OK;
}

static void chain_clear(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++)
        sl_buf_clear(&c->der[i]);
}

static const struct sl_verify_parts *parts_of(const struct sl_verify_ask *ask,
                                              enum sl_verify_list list)
{
    while (ask->list[list].n == 0 && ask->defaults)
        ask = ask->defaults;
    return &ask->list[list];
}

/* ---- the rules as a trust section ------------------------------------------------------------------- */
struct section {
    struct sl_config config;
    struct sl_conf_trust trust;
    char *eku[SL_VERIFY_EKU_MAX], *policy[SL_VERIFY_POLICY_MAX];
};

static enum sl_verify_revocation mode_of(const struct sl_verify_ask *ask, bool fetching)
{
    if (ask->rules.revocation != SL_VERIFY_BY_INPUT)
        return ask->rules.revocation;
    return fetching || parts_of(ask, SL_VERIFY_CRLS)->n || parts_of(ask, SL_VERIFY_OCSP)->n
               ? SL_VERIFY_REQUIRE
               : SL_VERIFY_OFF;
}

static const char *mode_word(enum sl_verify_revocation mode)
{
    switch (mode) {
    case SL_VERIFY_GRACE:
        return "grace";
    case SL_VERIFY_OFF:
        return "off";
    case SL_VERIFY_BY_INPUT:
    case SL_VERIFY_REQUIRE:
        break;
    }
    return "require";
}

/* Views into rules; the texts are only read. */
static void make_section(struct section *s, const struct sl_verify_rules *rules,
                         enum sl_verify_revocation mode, bool fetching)
{
    static char name[] = TRUST, none[] = "";
    struct sl_conf_trust *t = &s->trust;
    *s = (struct section){ 0 };
    for (size_t i = 0; i < rules->eku_n; i++)
        s->eku[i] = (char *)(uintptr_t)rules->eku[i];
    for (size_t i = 0; i < rules->policy_n; i++)
        s->policy[i] = (char *)(uintptr_t)rules->policy[i];
    t->name = name;
    t->revocation = mode == SL_VERIFY_OFF     ? SL_REVOCATION_OFF
                    : mode == SL_VERIFY_GRACE ? SL_REVOCATION_GRACE
                                              : SL_REVOCATION_HARD;
    t->grace_s = GRACE_S;
    t->deadline_ms = DEADLINE_MS;
    t->ocsp = t->crl = true;
    t->aia = fetching; /* whoever asks here chose the certificate, and may switch fetching off */
    t->crl_dir = t->responder = t->responder_cert = none;
    t->eku = (struct sl_conf_strings){ .v = s->eku, .n = rules->eku_n };
    t->min_rsa_bits = RSA_MIN_BITS;
    t->profile = rules->profile;
    t->policy = (struct sl_conf_strings){ .v = s->policy, .n = rules->policy_n };
    t->explicit_policy = rules->explicit_policy;
    t->inhibit_any_policy = rules->inhibit_any;
    t->inhibit_policy_mapping = rules->inhibit_mapping;
    t->max_depth = rules->max_depth;
    t->any_use = rules->any_use;
    t->no_intermediates = rules->depth_limited && rules->max_depth == 0;
    s->config.trust = t;
    s->config.trust_n = 1;
}

/* ---- driving the decider ------------------------------------------------------------------------------ */
struct drive {
    struct sl_decider *d;
    const struct sl_verify_shell *shell;
    const struct sl_verify_rules *rules;
    bool fetching;
    int64_t spent_ns; /* by fetching */
    /*
     * Added to the clock for the decider: timers come due at once when there is nothing to wait for,
     * and fetches, which come one after another here, take no time, so that a dead responder leaves
     * the CRL its turn.
     */
    int64_t jumped_ns;
};

static struct sl_now now_of(const struct drive *v)
{
    struct sl_now now = v->shell->now(v->shell->ctx);
    now.mono_ns += v->jumped_ns;
    if (v->rules->timed)
        now.utc_s = v->rules->utc_s;
    return now;
}

static enum sl_rc fetch(struct drive *v, const struct sl_question *q, struct sl_buf *body,
                        struct sl_err *err)
{
    struct sl_question short_q = *q;
    int64_t left_ms = FETCH_ALL_MS - v->spent_ns / SL_NS_PER_MS;
    if (!v->fetching)
        return SL_FAIL(err, SL_UNAVAILABLE, "fetching is switched off");
    if (left_ms <= 0)
        return SL_FAIL(err, SL_TIMEOUT, "the %d s for all fetching are used up",
                       FETCH_ALL_MS / 1000);
    if (left_ms > FETCH_ONE_MS)
        left_ms = FETCH_ONE_MS;
    if (short_q.timeout_ms > left_ms)
        short_q.timeout_ms = left_ms;
    int64_t begun_ns = v->shell->now(v->shell->ctx).mono_ns;
    enum sl_rc rc = v->shell->fetch(v->shell->ctx, &short_q, body, err);
    int64_t took_ns = v->shell->now(v->shell->ctx).mono_ns - begun_ns;
    v->spent_ns += took_ns;
    v->jumped_ns -= took_ns;
    return rc;
}

static void answer_question(struct drive *v, const struct sl_question *q)
{
    SL_AUTO_BUF body = { 0 };
    struct sl_err err;
    sl_err_reset(&err);
    if (q->type != SL_ASK_FETCH)
        return; /* searches and pre-shared keys belong to connections */
    uint64_t id = q->id;
    enum sl_rc rc = fetch(v, q, &body, &err);
    sl_decider_answer_fetch(v->d, id, rc, sl_err_text(&err), sl_buf_bytes(&body), now_of(v));
}

/* The finished validation, owned by the caller; NULL: it does not end, which is a bug. */
static struct sl_decision *drive(struct drive *v)
{
    for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
        struct sl_decision *x = sl_decider_finished(v->d);
        struct sl_question q;
        if (x)
            return x;
        if (sl_decider_next(v->d, &q)) {
            answer_question(v, &q);
            continue;
        }
        int64_t at = sl_decider_next_timer_ns(v->d);
        struct sl_now now = now_of(v);
        if (at == INT64_MAX)
            return NULL;
        if (at > now.mono_ns) {
            v->jumped_ns += at - now.mono_ns;
            now.mono_ns = at;
        }
        sl_decider_tick(v->d, now);
    }
    return NULL;
}

/* ---- the answer ----------------------------------------------------------------------------------------- */
static void take_member(json_t *answer, const char *to, const json_t *evidence, const char *from)
{
    json_t *v = json_object_get(evidence, from);
    (void)json_object_set_new(answer, to, json_is_array(v) ? json_incref(v) : json_array());
}

static void put_text(json_t *o, const char *key, const char *text)
{
    char safe[SL_ERR_TEXT_MAX + 64];
    json_t *v = json_string(text);
    (void)json_object_set_new(o, key,
                              v ? v : json_string(sl_printable(safe, sizeof(safe), sl_str(text))));
}

json_t *sl_verify_error(enum sl_rc rc, const char *text)
{
    json_t *o = json_pack("{s:s, s:s}", "verdict", "error", "reason", sl_rc_name(rc));
    put_text(o, "text", text && *text ? text : sl_rc_text(rc));
    return o;
}

static void set_verdict(json_t *answer, const char *verdict, enum sl_rc rc, const char *text)
{
    put_text(answer, "verdict", verdict);
    put_text(answer, "reason", sl_rc_name(rc));
    put_text(answer, "text", text && *text ? text : sl_rc_text(rc));
}

static void set_good(json_t *answer, const json_t *evidence)
{
    const json_t *path = json_object_get(evidence, "path");
    size_t n = json_array_size(path);
    char text[SL_ERR_TEXT_MAX];
    const char *leaf = json_string_value(json_object_get(json_array_get(path, 0), "subject"));
    const char *anchor = json_string_value(json_object_get(json_array_get(path, n - 1), "subject"));
    snprintf(text, sizeof(text), "certificate %.160s: good, by a path of %zu to anchor %.160s",
             leaf && *leaf ? leaf : "<no subject>", n, anchor && *anchor ? anchor : "<no subject>");
    set_verdict(answer, "good", SL_OK, text);
}

static void shape(json_t *answer, const struct sl_decision *x)
{
    const json_t *evidence = sl_decision_evidence(x);
    const struct sl_verdict *v = sl_decision_verdict(x);
    json_t *binding = json_object_get(evidence, "binding");
    json_t *presented = json_object_get(evidence, "presented");
    if (v->rc == SL_AUTH_NOT_ASKED)
        set_good(answer, evidence);
    else
        set_verdict(answer, "refused", v->rc, v->text);
    take_member(answer, "chain", evidence, "path");
    take_member(answer, "policies", evidence, "policies");
    take_member(answer, "revocation", evidence, "revocation");
    take_member(answer, "candidates", evidence, "candidates");
    if (binding)
        (void)json_object_set(answer, "binding", binding);
    if (presented)
        (void)json_object_set(answer, "presented", presented);
}

/* ---- one validation ---------------------------------------------------------------------------------------- */
static size_t load(const struct sl_verify_ask *ask, enum sl_verify_list list, const char *label,
                   put_fn *put, void *ctx, json_t *answer)
{
    const struct sl_verify_parts *parts = parts_of(ask, list);
    size_t taken = 0;
    for (size_t i = 0; i < parts->n; i++)
        taken += each_part(&parts->v[i], label, put, ctx, answer);
    return taken;
}

/* The leaf as it stands: what cannot be decoded is for the path to refuse. */
static void load_chain(const struct sl_verify_ask *ask, struct chain *chain, json_t *answer)
{
    json_t *aside = json_object();
    if (each_part(&ask->leaf, PEM_STRING_X509, put_chain, chain, aside) == 0)
        (void)put_chain(chain, sl_buf_bytes(&ask->leaf.data), ask->leaf.what, NULL);
    json_decref(aside);
    if (chain->n > 1)
        note(answer, "the leaf's file holds more certificates: they are used as intermediates");
}

static void run(json_t *answer, const struct sl_verify_ask *ask, struct drive *v,
                const struct chain *chain, const struct chain *ocsp)
{
    struct sl_validate_ask what = { .trust = TRUST, .cert_n = chain->n, .ocsp_n = ocsp->n };
    struct sl_err err;
    sl_err_reset(&err);
    for (size_t i = 0; i < chain->n; i++)
        what.cert[i] = sl_buf_bytes(&chain->der[i]);
    for (size_t i = 0; i < ocsp->n; i++)
        what.ocsp[i] = sl_buf_bytes(&ocsp->der[i]);
    if (ask->rules.id.type != SL_ID_NONE)
        what.id = &ask->rules.id;
    struct sl_now now = now_of(v);
    char when[SL_TIME_TEXT];
    put_text(answer, "time", sl_time_text(when, now.utc_s));
    if (sl_decider_validate(v->d, &what, now, NULL, NULL, &err) != SL_OK) {
        set_verdict(answer, "error", err.rc, sl_err_text(&err));
        return;
    }
    SL_AUTO(sl_decision) *x = drive(v);
    if (x)
        shape(answer, x);
    else
        set_verdict(answer, "refused", SL_INTERNAL, "the validation does not end");
}

json_t *sl_verify(const struct sl_verify_ask *ask, const struct sl_verify_shell *shell)
{
    bool fetching = shell->fetch && !ask->rules.no_fetch;
    enum sl_verify_revocation mode = mode_of(ask, fetching);
    struct section section;
    struct chain chain = { 0 }, ocsp = { 0 };
    struct sl_err err;
    SL_AUTO(sl_decider) *d = NULL;
    json_t *answer = json_object();
    sl_err_reset(&err);
    if (!ask->has_leaf) {
        json_decref(answer);
        return sl_verify_error(SL_USAGE, "leaf is missing: the certificate to verify");
    }
    make_section(&section, &ask->rules, mode, fetching);
    if (sl_decider_new(&d, &section.config, &sl_rng_system, &err) != SL_OK) {
        json_decref(answer);
        return sl_verify_error(err.rc, sl_err_text(&err));
    }
    size_t anchors = load(ask, SL_VERIFY_ANCHORS, PEM_STRING_X509, put_anchor, d, answer);
    (void)load(ask, SL_VERIFY_INTERMEDIATES, PEM_STRING_X509, put_intermediate, d, answer);
    (void)load(ask, SL_VERIFY_CRLS, PEM_STRING_X509_CRL, put_crl, d, answer);
    (void)load(ask, SL_VERIFY_OCSP, "OCSP RESPONSE", put_chain, &ocsp, answer);
    load_chain(ask, &chain, answer);
    struct drive v = { .d = d, .shell = shell, .rules = &ask->rules, .fetching = fetching };
    put_text(answer, "revocation_mode", mode_word(mode));
    if (anchors == 0)
        set_verdict(answer, "error", SL_USAGE,
                    parts_of(ask, SL_VERIFY_ANCHORS)->n ? "no anchor can be read; see notes"
                                                        : "anchors are missing: at least one");
    else
        run(answer, ask, &v, &chain, &ocsp);
    chain_clear(&chain);
    chain_clear(&ocsp);
    return answer;
}
