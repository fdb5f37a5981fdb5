/* Enrolment and renewal of a simulated device; see device.h. */
#include "sim/device.h"

#include "sealane/certs.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

#define KEY_NEW   "own.new"
#define TRANSPORT "own.transport"
#define HTTP_MS   15000
#define POLL_S    10

static void go_on(struct sim_device *d);

static void drop_keys(struct sim_device *d)
{
    struct sl_err ignored = { 0 };
    (void)!sl_keyset_remove(d->keys, TRANSPORT, &ignored);
    (void)!sl_keyset_remove(d->keys, KEY_NEW, &ignored);
}

static void keep(struct sim_device *d)
{
    struct sl_err err = { 0 };
    struct sl_enrollment_result r;
    sl_enrollment_result(d->enroll.e, &r);
    for (size_t i = 0; i < SIM_CHAIN_MAX; i++)
        sl_buf_clear(&d->chain[i]);
    ck_assert(sl_buf_put(&d->chain[0], r.cert));
    d->chain_n = 1;
    for (size_t i = 0; i < r.chain_n; i++) {
        SL_AUTO(sl_cert) *c = NULL;
        ck_ok(sl_cert_read(&c, r.chain[i], &err), &err);
        if (sl_cert_self_issued(c))
            continue; /* the root is the peer's to trust, not ours to send */
        ck_assert_uint_lt(d->chain_n, SIM_CHAIN_MAX);
        ck_assert(sl_buf_put(&d->chain[d->chain_n++], r.chain[i]));
    }
    snprintf(d->serial, sizeof(d->serial), "%s", r.serial);
    d->not_before = r.not_before;
    d->not_after = r.not_after;
    d->renew_at = d->auto_renew ? sl_renew_at(r.not_before, r.not_after, 67, 5, &d->rng) : 0;
    ck_ok(sl_keyset_rename(d->keys, KEY_NEW, SIM_KEY, &err), &err);
    sim_device_credential(d);
}

static void end(struct sim_device *d, enum sl_rc rc, const char *text)
{
    struct sim_enroll *n = &d->enroll;
    if (rc == SL_OK) {
        keep(d);
        n->done++;
    }
    json_t *o = json_pack("{s:s, s:s, s:s}", "identity", SIM_KEY, "action",
                          n->renewal ? "renew" : "enrol", "reason", sl_rc_name(rc));
    sim_device_record_now(d, "enroll", o);
    json_decref(o);
    sl_enrollment_free(n->e);
    n->e = NULL;
    n->rc = rc;
    snprintf(n->text, sizeof(n->text), "%s", text);
    n->state = SIM_ENROLL_ENDED;
    drop_keys(d);
    if (rc != SL_OK && n->renewal && d->auto_renew)
        d->renew_at = sim_utc_s(d->sim) +
                      sl_renew_retry_s(n->tries, d->not_after - sim_utc_s(d->sim), &d->rng);
    else
        n->tries = 0;
}

static void on_reply(void *owner, uint64_t id, enum sl_rc rc, const char *text,
                     const struct sim_reply *r)
{
    struct sim_device *d = owner;
    struct sl_err err = { 0 };
    struct sl_enrollment_step step;
    (void)id;
    if (rc == SL_OK) {
        rc = sl_enrollment_answer(d->enroll.e, r->status, r->content_type, sl_buf_bytes(&r->body),
                                  sim_utc_s(d->sim), &err);
    } else {
        struct sl_err why = { 0 };
        (void)SL_FAIL(&why, rc, "%s", text);
        rc = sl_enrollment_lost(d->enroll.e, &why, sim_utc_s(d->sim), &err);
    }
    sl_enrollment_step(d->enroll.e, &step);
    if (step.want == SL_ENROLLMENT_FAILED)
        end(d, rc, sl_err_text(&err));
    else
        go_on(d);
}

static void on_wait(void *ctx, void *arg)
{
    struct sim_device *d = ctx;
    struct sl_err err = { 0 };
    struct sl_enrollment_step step;
    (void)arg;
    const enum sl_rc rc = sl_enrollment_tick(d->enroll.e, sim_utc_s(d->sim), &err);
    sl_enrollment_step(d->enroll.e, &step);
    if (step.want == SL_ENROLLMENT_FAILED)
        end(d, rc, sl_err_text(&err));
    else
        go_on(d);
}

static void go_on(struct sim_device *d)
{
    struct sl_enrollment_step step;
    sl_enrollment_step(d->enroll.e, &step);
    ck_assert_ptr_nonnull(step.progress);
    switch (step.want) {
    case SL_ENROLLMENT_HTTP: {
        const struct sim_request q = { step.url, step.post, step.body };
        d->enroll.state = SIM_ENROLL_BUSY;
        sim_ask(d->servers, &q, HTTP_MS, d, 0, on_reply);
        break;
    }
    case SL_ENROLLMENT_WAIT: {
        int64_t left_s = step.wait_until - sim_utc_s(d->sim);
        d->enroll.state = SIM_ENROLL_WAITS;
        sim_after(d->sim, (left_s > 0 ? left_s : 0) * SL_NS_PER_S, on_wait, NULL, d, NULL);
        break;
    }
    case SL_ENROLLMENT_DONE:
        end(d, SL_OK, "");
        break;
    case SL_ENROLLMENT_FAILED:
        ck_abort_msg("a failure that was not told");
    }
}

static struct sl_key key(struct sim_device *d, const char *name)
{
    struct sl_err err = { 0 };
    struct sl_key k = { .ops = &d->ops, .name = name };
    ck_ok(sl_keyset_spki(d->keys, name, &k.spki, &err), &err);
    return k;
}

static void begin(struct sim_device *d, struct sim_authority *a, const char *challenge,
                  bool renewal)
{
    struct sl_err err = { 0 };
    struct sim_enroll *n = &d->enroll;
    char subject[64], san[64];
    const char *sans[] = { san };
    ck_assert_ptr_null(n->e);
    drop_keys(d);
    snprintf(subject, sizeof(subject), "CN=%s.example", d->conf->name);
    snprintf(san, sizeof(san), "dns:%s.example", d->conf->name);
    ck_ok(sl_keyset_generate(d->keys, KEY_NEW, "ecdsa:p256", &err), &err);
    ck_ok(sl_keyset_import(d->keys, TRANSPORT, sim_rsa_pem(), &err), &err);
    struct sl_enrollment_conf c = { .url = a->scep_url,
                                    .ca_id = "",
                                    .fingerprint = a->pin,
                                    .challenge = sl_str(challenge),
                                    .subject = subject,
                                    .san = sans,
                                    .san_n = 1,
                                    .key = key(d, KEY_NEW),
                                    .transport = key(d, TRANSPORT),
                                    .old_key = { &d->ops, "", { 0 } },
                                    .poll_s = POLL_S,
                                    .rng = d->rng };
    if (renewal) {
        c.old_key = key(d, SIM_KEY);
        c.old_cert = sl_buf_bytes(&d->chain[0]);
    }
    n->renewal = renewal;
    n->tries++;
    ck_ok(sl_enrollment_new(&n->e, &c, sim_utc_s(d->sim), &err), &err);
    go_on(d);
}

void sim_device_enroll(struct sim_device *d, struct sim_authority *a, const char *challenge)
{
    begin(d, a, challenge, false);
}

void sim_device_renew(struct sim_device *d, struct sim_authority *a)
{
    begin(d, a, "", true);
}

void sim_enroll_tick(struct sim_device *d)
{
    if (!d->renew_at || d->enroll.e || sim_utc_s(d->sim) < d->renew_at)
        return;
    d->renew_at = 0;
    sim_device_renew(d, d->conf->trust[0].authority);
}

void sim_enroll_stop(struct sim_device *d)
{
    struct sim_enroll *n = &d->enroll;
    if (!n->e)
        return;
    sl_enrollment_free(n->e);
    n->e = NULL;
    n->state = SIM_ENROLL_NONE;
    if (n->renewal && d->auto_renew)
        d->renew_at = sim_utc_s(d->sim); /* the start of the daemon finds it due */
}
