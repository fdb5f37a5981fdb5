/*
 * The ike role's questions to other processes: signatures by keyring, decisions by identity.
 */
#include "src/cmd/sealaned/role_ike.h"

#include "sealane/time.h"

#include <stdlib.h>
#include <string.h>

#define SIGN_MS   10000
#define DECIDE_MS 90000 /* beyond the deadline of any trust section */

/* A question to another process, kept until its answer. */
struct question {
    struct role_ike *r;
    uint64_t id;
};

static struct question *new_question(struct role_ike *r, uint64_t id)
{
    struct question *q = calloc(1, sizeof(*q));
    if (q) {
        q->r = r;
        q->id = id;
    }
    return q;
}

static void on_signature(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct role_ike *r = q->r;
    static struct msg_key_reply reply; /* large; loop thread only */
    struct sl_bytes sig = { 0 };
    if (rc == SL_OK &&
        (!m || m->type != MSG_KEY_REPLY || !msg_read(MSG_KEY_REPLY, &reply, m->body)))
        rc = SL_PROC_MESSAGE;
    else if (rc == SL_OK) {
        rc = reply.rc;
        sig = reply.bytes;
        if (rc != SL_OK)
            sl_error("keyring made no signature: %s: %s", sl_rc_name(rc), reply.text);
    }
    sl_ike_answer_sign(r->ike, sl_clock_mono_ns(), q->id, rc, sig);
    free(q);
    ike_drain(r);
}

void ike_ask_sign(struct role_ike *r, const struct sl_ike_action *a)
{
    struct sl_err err = { 0 };
    struct question *q = new_question(r, a->id);
    enum sl_rc rc = q ? SL_OK : SL_FAIL_MEM(&err);
    if (q && a->skeyid) {
        struct msg_key_psk_v1 m = { .prf = a->prf, .nonces = a->data };
        (void)snprintf(m.name, sizeof(m.name), "%s", a->key);
        rc = msg_ask(r->p->link[PROC_KEYRING], MSG_KEY_PSK_V1, &m, SIGN_MS, on_signature, q, NULL,
                     &err);
    } else if (q && a->sig == SL_SIG_NONE) {
        struct msg_key_psk_auth m = { .prf = a->prf, .octets = a->data };
        (void)snprintf(m.name, sizeof(m.name), "%s", a->key);
        rc = msg_ask(r->p->link[PROC_KEYRING], MSG_KEY_PSK_AUTH, &m, SIGN_MS, on_signature, q, NULL,
                     &err);
    } else if (q) {
        struct msg_key_sign m = { .sig = a->sig, .data = a->data };
        (void)snprintf(m.name, sizeof(m.name), "%s", a->key);
        rc = msg_ask(r->p->link[PROC_KEYRING], MSG_KEY_SIGN, &m, SIGN_MS, on_signature, q, NULL,
                     &err);
    }
    if (rc == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "keyring cannot be asked for a signature");
    free(q);
    sl_ike_answer_sign(r->ike, sl_clock_mono_ns(), a->id, rc, sl_bytes(NULL, 0));
}

static void no_verdict(struct role_ike *r, uint64_t id, enum sl_rc rc)
{
    static struct sl_verdict v; /* large; loop thread only */
    v = (struct sl_verdict){ .rc = rc };
    (void)snprintf(v.text, sizeof(v.text), "no decision: %s", sl_rc_text(rc));
    sl_ike_answer_decision(r->ike, sl_clock_mono_ns(), id, &v);
}

static void on_verdict(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct question *q = ctx;
    struct role_ike *r = q->r;
    static struct sl_verdict v;
    if (rc == SL_OK && (!m || m->type != MSG_VERDICT || !msg_read(MSG_VERDICT, &v, m->body)))
        rc = SL_PROC_MESSAGE;
    if (rc == SL_OK)
        sl_ike_answer_decision(r->ike, sl_clock_mono_ns(), q->id, &v);
    else
        no_verdict(r, q->id, rc);
    free(q);
    ike_drain(r);
}

void ike_ask_decision(struct role_ike *r, const struct sl_ike_action *a)
{
    struct sl_err err = { 0 };
    struct question *q = new_question(r, a->id);
    const enum sl_rc rc = q ? msg_ask(r->p->link[PROC_IDENTITY], MSG_DECIDE, a->ask, DECIDE_MS,
                                      on_verdict, q, NULL, &err)
                            : SL_FAIL_MEM(&err);
    if (rc == SL_OK)
        return;
    sl_log_err(SL_LOG_ERROR, &err, "identity cannot be asked for a decision");
    free(q);
    no_verdict(r, a->id, rc);
}
