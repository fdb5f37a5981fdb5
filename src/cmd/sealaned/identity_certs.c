/*
 * Our own certificates: from the file that the configuration names, or from enrolment in
 * state_dir/identity/NAME.pem. Each is checked against the key of its name in the keyring before it
 * is used, and sent to ike.
 */
#include "src/cmd/sealaned/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHAIN_FILE_MAX ((size_t)1 << 20)
#define KEYRING_MS     10000

struct own *identity_own(struct identity *id, const char *name)
{
    for (size_t i = 0; i < id->p->config->identity_n; i++)
        if (!strcmp(id->own[i].conf->name, name))
            return &id->own[i];
    return NULL;
}

void identity_own_path(const struct identity *id, const struct own *own, const char *suffix,
                       char out[IDENTITY_PATH_MAX])
{
    snprintf(out, IDENTITY_PATH_MAX, "%s/%s.pem%s", id->dir, own->conf->name, suffix);
}

void identity_own_send(struct identity *id, struct own *own)
{
    static struct msg_credential m; /* large; loop thread only */
    struct sl_err err = { 0 };
    memset(&m, 0, sizeof(m));
    snprintf(m.identity, sizeof(m.identity), "%s", own->conf->name);
    snprintf(m.key, sizeof(m.key), "%s", own->conf->name);
    bool usable = own->state == OWN_VALID || own->state == OWN_EXPIRED;
    for (size_t i = 0; usable && i < own->chain.n && i < SL_CHAIN_MAX; i++)
        m.chain[m.chain_n++] = sl_cert_der(own->chain.v[i]);
    struct chan *ike = id->p->link[PROC_IKE];
    if (ike && chan_is_linked(ike) && msg_send(ike, MSG_CREDENTIAL, &m, &err) != SL_OK)
        sl_log_err(SL_LOG_WARN, &err, "certificate of %s for ike", own->conf->name);
    identity_staple_send(id, own, true);
}

/* ---- does the keyring hold the key? ----------------------------------------------------------------- */
struct key_check {
    struct identity *id;
    struct own *own;
    char sha256[65]; /* of the certificate that was asked about */
};

static void set_state(struct own *own)
{
    int64_t now = sl_clock_utc_s();
    const struct sl_cert *c = own->chain.v[0];
    own->state = now > sl_cert_not_after(c)    ? OWN_EXPIRED
                 : now < sl_cert_not_before(c) ? OWN_NOT_YET
                                               : OWN_VALID;
    own->text[0] = '\0';
}

static void on_spki(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct key_check *k = ctx;
    struct own *own = k->own;
    struct msg_key_reply r;
    own->checking = false;
    bool current = own->chain.n && !strcmp(k->sha256, sl_cert_sha256(own->chain.v[0]));
    if (!current) {
        free(k);
        return;
    }
    if (rc == SL_OK && !msg_read(MSG_KEY_REPLY, &r, m->body))
        rc = SL_PROC_MESSAGE;
    own->checked = rc == SL_OK; /* else it is asked again */
    if (rc == SL_OK)
        rc = r.rc;
    if (rc == SL_OK && sl_bytes_eq(r.bytes, sl_cert_spki(own->chain.v[0]))) {
        set_state(own);
        sl_info("identity %s: certificate %s, valid until its notAfter", own->conf->name,
                sl_cert_name(own->chain.v[0]));
    } else {
        own->state = OWN_FAILED;
        snprintf(own->text, sizeof(own->text), "%s",
                 rc == SL_OK ? "its certificate is for another key than the keyring holds"
                 : rc == SL_KEY_NOT_FOUND ? "the keyring has no key of this name"
                                          : sl_rc_text(rc));
        sl_error("identity %s: %s", own->conf->name, own->text);
    }
    identity_own_send(k->id, own);
    free(k);
}

static void check_key(struct identity *id, struct own *own)
{
    struct sl_err err = { 0 };
    struct msg_key_name q = { 0 };
    struct key_check *k = calloc(1, sizeof(*k));
    if (!k)
        return;
    *k = (struct key_check){ .id = id, .own = own };
    snprintf(k->sha256, sizeof(k->sha256), "%s", sl_cert_sha256(own->chain.v[0]));
    snprintf(q.name, sizeof(q.name), "%s", own->conf->name);
    if (msg_ask(id->p->link[PROC_KEYRING], MSG_KEY_SPKI, &q, KEYRING_MS, on_spki, k, NULL, &err) !=
        SL_OK) {
        sl_log_err(SL_LOG_WARN, &err, "identity %s", own->conf->name);
        free(k);
        return;
    }
    own->checking = true;
}

/* ---- loading ----------------------------------------------------------------------------------------- */
static const char *key_text(const struct sl_cert *c, char out[16])
{
    uint16_t bits = 0;
    switch (sl_spki_type(sl_cert_spki(c), &bits)) {
    case SL_KEY_RSA:
        snprintf(out, 16, "rsa:%u", bits);
        break;
    case SL_KEY_EC_P256:
        snprintf(out, 16, "ecdsa:p256");
        break;
    case SL_KEY_EC_P384:
        snprintf(out, 16, "ecdsa:p384");
        break;
    case SL_KEY_EC_P521:
        snprintf(out, 16, "ecdsa:p521");
        break;
    case SL_KEY_ED25519:
        snprintf(out, 16, "ed25519");
        break;
    case SL_KEY_NONE:
        snprintf(out, 16, "unknown");
        break;
    }
    return out;
}

void identity_own_load(struct identity *id, struct own *own, bool key_known)
{
    char path[IDENTITY_PATH_MAX];
    struct sl_err err = { 0 };
    SL_AUTO_BUF text = { 0 };
    struct sl_certs chain = { 0 };
    if (own->conf->certificate[0])
        snprintf(path, sizeof(path), "%s", own->conf->certificate);
    else
        identity_own_path(id, own, "", path);
    enum sl_rc rc = identity_read_file(&text, path, CHAIN_FILE_MAX, &err);
    if (rc == SL_OK)
        rc = sl_certs_load(&chain, sl_buf_bytes(&text), path, &err);
    if (rc != SL_OK) {
        /* What is in use stays in use: a file that is half written must not end tunnels. */
        if (!own->chain.n) {
            own->state = rc == SL_NOT_FOUND ? OWN_MISSING : OWN_FAILED;
            snprintf(own->text, sizeof(own->text), "%.250s",
                     rc == SL_NOT_FOUND ? "no certificate yet" : sl_err_text(&err));
        }
        if (rc != SL_NOT_FOUND)
            sl_log_err(SL_LOG_ERROR, &err, "identity %s", own->conf->name);
        return;
    }
    identity_staple_drop(own);
    sl_certs_clear(&own->chain);
    own->chain = chain;
    identity_staple_renew(id, own);
    own->failures = 0;
    own->retry_at = 0;
    key_text(chain.v[0], own->key);
    own->renew_at = 0; /* drawn by the renewal */
    own->checked = key_known;
    if (key_known) {
        set_state(own);
        identity_own_send(id, own);
        return;
    }
    own->state = OWN_FAILED;
    snprintf(own->text, sizeof(own->text), "the keyring has not answered yet");
    check_key(id, own);
}

void identity_own_tick(struct identity *id)
{
    for (size_t i = 0; i < id->p->config->identity_n; i++) {
        struct own *own = &id->own[i];
        enum own_state was = own->state;
        if (own->chain.n && !own->checked && !own->checking)
            check_key(id, own);
        if (was != OWN_VALID && was != OWN_NOT_YET)
            continue;
        set_state(own);
        if (own->state != was) {
            if (own->state == OWN_EXPIRED)
                sl_error("identity %s: its certificate has expired", own->conf->name);
            identity_own_send(id, own);
        }
    }
}

enum sl_rc identity_certs_open(struct identity *id, struct sl_err *err)
{
    const struct sl_config *c = id->p->config;
    id->own = calloc(c->identity_n + 1, sizeof(*id->own));
    if (!id->own)
        return SL_FAIL_MEM(err);
    for (size_t i = 0; i < c->identity_n; i++) {
        id->own[i].conf = &c->identity[i];
        snprintf(id->own[i].text, sizeof(id->own[i].text), "no certificate yet");
    }
    return SL_OK;
}

void identity_certs_close(struct identity *id)
{
    for (size_t i = 0; id->own && i < id->p->config->identity_n; i++) {
        identity_staple_drop(&id->own[i]);
        sl_certs_clear(&id->own[i].chain);
    }
    free(id->own);
    id->own = NULL;
}

/* ---- showing ----------------------------------------------------------------------------------------- */
static void put_time(json_t *o, const char *key, int64_t utc_s)
{
    char when[SL_TIME_TEXT];
    if (utc_s)
        json_object_set_new(o, key, json_string(sl_time_text(when, utc_s)));
}

static json_t *san_json(const struct sl_cert *c)
{
    static const enum sl_id_type types[] = { SL_ID_FQDN, SL_ID_RFC822_ADDR, SL_ID_IPV4_ADDR,
                                             SL_ID_IPV6_ADDR };
    json_t *list = json_array();
    struct sl_bytes v;
    for (size_t t = 0; t < SL_ARRAY_LEN(types); t++)
        for (size_t i = 0; sl_cert_san(c, types[t], i, &v); i++) {
            struct sl_id san = { .type = types[t], .len = (uint16_t)v.len };
            char text[SL_ID_TEXT];
            if (v.len > SL_ID_MAX)
                continue;
            memcpy(san.data, v.p, v.len);
            json_array_append_new(list, json_string(sl_id_text(text, &san)));
        }
    return list;
}

json_t *identity_own_json(const struct own *own)
{
    static const char *const states[] = {
        [OWN_MISSING] = "missing",       [OWN_VALID] = "valid",   [OWN_EXPIRED] = "expired",
        [OWN_NOT_YET] = "not yet valid", [OWN_FAILED] = "failed",
    };
    const char *pending = identity_enroll_state(own);
    bool bare = own->state == OWN_MISSING || own->state == OWN_FAILED;
    json_t *o = json_pack("{s:s, s:s}", "identity", own->conf->name, "state",
                          pending && bare ? pending : states[own->state]);
    if (own->text[0])
        json_object_set_new(o, "text", json_string(own->text));
    if (own->chain.n) {
        const struct sl_cert *c = own->chain.v[0];
        json_object_set_new(o, "subject", json_string(sl_cert_subject(c)));
        json_object_set_new(o, "issuer", json_string(sl_cert_issuer(c)));
        json_object_set_new(o, "serial", json_string(sl_cert_serial(c)));
        json_object_set_new(o, "sha256", json_string(sl_cert_sha256(c)));
        json_object_set_new(o, "key", json_string(own->key));
        json_object_set_new(o, "san", san_json(c));
        put_time(o, "not_before", sl_cert_not_before(c));
        put_time(o, "not_after", sl_cert_not_after(c));
        put_time(o, "renew_at", own->retry_at ? own->retry_at : own->renew_at);
    }
    return o;
}
