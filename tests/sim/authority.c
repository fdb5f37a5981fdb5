/* See authority.h. */
#include "sim/authority.h"

#include "enroll/x509_build.h"
#include "support/support.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int64_t sim_utc_s(const struct sim *s)
{
    return SIM_T0 + s->now_ns / SL_NS_PER_S - 1000; /* the virtual clock begins at 1000 s */
}

struct sl_bytes sim_rsa_pem(void)
{
    static struct sl_bytes pem;
    if (pem.len)
        return pem;
    static uint8_t kept[4096];
    struct sl_err err = { 0 };
    SL_AUTO(sl_keyset) *keys = NULL;
    SL_AUTO_SECRET secret = { 0 };
    /* Made before the tests run, where Check's assertions are not to be used. */
    if (sl_keyset_new(&keys, &err) != SL_OK ||
        sl_keyset_generate(keys, "rsa", "rsa:2048", &err) != SL_OK ||
        sl_keyset_export(keys, "rsa", &secret, &err) != SL_OK || secret.len > sizeof(kept))
        abort();
    memcpy(kept, secret.p, secret.len);
    pem = sl_bytes(kept, secret.len);
    return pem;
}

/* ---- HTTP ---------------------------------------------------------------------------------------- */

/* operation and message of the query, percent-decoded; what the client core wrote is well formed. */
static void query(const char *uri, char operation[32], struct sl_buf *message)
{
    const char *q = strstr(uri, "?operation=");
    const size_t n = q ? strcspn(q + 11, "&") : 0;
    if (!q || n >= 32)
        abort();
    memcpy(operation, q + 11, n);
    operation[n] = '\0';
    const char *m = strstr(q, "&message=");
    for (m = m ? m + 9 : ""; *m; m++) {
        char c = *m;
        if (c == '%' && m[1] && m[2]) {
            const char hex[3] = { m[1], m[2], '\0' };
            c = (char)strtol(hex, NULL, 16);
            m += 2;
        }
        if (!sl_buf_put(message, sl_bytes(&c, 1)))
            abort();
    }
}

static void serve_scep(void *ctx, const struct sim_request *q, struct sim_reply *r)
{
    struct sim_authority *a = ctx;
    char operation[32];
    SL_AUTO_BUF message = { 0 };
    query(q->uri, operation, &message);
    const struct sl_scep_http req = { .post = q->post,
                                      .operation = operation,
                                      .message = q->post ? q->body : sl_buf_bytes(&message),
                                      .source = "192.0.2.7" };
    struct sl_scep_reply reply;
    sl_scep_server_handle(a->scep, &req, sim_utc_s(a->sim), &reply);
    r->status = reply.status;
    r->content_type = reply.content_type;
    r->body = reply.body;
}

static void serve_crl(void *ctx, const struct sim_request *q, struct sim_reply *r)
{
    struct sim_authority *a = ctx;
    struct sl_err err = { 0 };
    const bool root = strstr(q->uri, "/crl/root.crl") != NULL;
    r->content_type = "application/pkix-crl";
    ck_ok(sl_ca_crl(a->ca, root ? SL_CA_ROOT : SL_CA_ISSUING, false, sim_utc_s(a->sim), &r->body,
                    &err),
          &err);
}

static void serve_ocsp(void *ctx, const struct sim_request *q, struct sim_reply *r)
{
    struct sim_authority *a = ctx;
    struct sl_err err = { 0 };
    int64_t max_age_s = 0;
    r->content_type = "application/ocsp-response";
    ck_ok(sl_ca_ocsp(a->ca, q->body, sim_utc_s(a->sim), &r->body, &max_age_s, &err), &err);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void on_record(void *ctx, const char *kind, const json_t *body)
{
    struct sim_authority *a = ctx;
    struct sl_err err = { 0 };
    uint64_t number;
    ck_ok(sl_audit_append(a->audit, kind, body, sim_utc_s(a->sim) * SL_NS_PER_S, &number, &err),
          &err);
    ck_ok(sl_audit_sync(a->audit, &err), &err);
}

static void open_all(struct sim_authority *a)
{
    struct sl_err err = { 0 };
    char path[128];
    snprintf(path, sizeof(path), "%s/audit", a->dir);
    ck_ok(sl_audit_open(&a->audit, path, &err), &err);
    snprintf(path, sizeof(path), "%s/authority.db", a->dir);
    ck_ok(sl_store_open(&a->store, path, &err), &err);
    a->env.store = a->store;
    ck_ok(sl_ca_open(&a->ca, &a->env, &err), &err);
    ck_ok(sl_scep_server_new(&a->scep, a->ca, &a->env, false, &err), &err);
}

static void close_all(struct sim_authority *a)
{
    sl_scep_server_free(a->scep);
    sl_ca_free(a->ca);
    sl_store_free(a->store);
    sl_audit_close(a->audit);
}

static void setup(struct sim_authority *a, const char *host)
{
    struct sl_err err = { 0 };
    struct sl_ca_setup setup = { .name = host };
    for (int r = 0; r < SL_CA_ROLE_COUNT; r++) {
        const char *name = sl_ca_key_name((enum sl_ca_role)r);
        if (r == SL_CA_RA)
            ck_ok(sl_keyset_import(a->keys, name, sim_rsa_pem(), &err), &err);
        else
            ck_ok(sl_keyset_generate(a->keys, name, "ecdsa:p256", &err), &err);
        ck_ok(sl_keyset_spki(a->keys, name, &setup.spki[r], &err), &err);
    }
    ck_ok(sl_ca_setup(a->ca, &setup, sim_utc_s(a->sim), &err), &err);
    ck_ok(xb_cert_der(&a->root, sl_ca_cert_get(a->ca, SL_CA_ROOT), &err), &err);
    uint8_t digest[32];
    sl_sha2(256, sl_buf_bytes(&a->root), digest);
    sl_hex(a->pin, sizeof(a->pin), sl_bytes(digest, sizeof(digest)));
}

void sim_authority_init(struct sim_authority *a, struct sim *sim, struct sim_servers *servers,
                        const char *host, const char *dir)
{
    struct sl_err err = { 0 };
    *a = (struct sim_authority){ .sim = sim };
    snprintf(a->base_url, sizeof(a->base_url), "http://%s:8080", host);
    snprintf(a->scep_url, sizeof(a->scep_url), "%s/scep", a->base_url);
    snprintf(a->dir, sizeof(a->dir), "%s", dir);
    if (mkdir(dir, 0700) < 0)
        abort();
    static char eku[] = "ipsecIKE";
    a->conf = (struct sl_conf_authority){ .enabled = true,
                                          .base_url = a->base_url,
                                          .profile_eku = eku,
                                          .lifetime_s = 90LL * 24 * 3600,
                                          .crl_interval_s = 3600,
                                          .crl_lifetime_s = 24 * 3600,
                                          .ocsp_lifetime_s = 3600,
                                          .manual_approval = true,
                                          .renewal = true };
    ck_ok(sl_keyset_new(&a->keys, &err), &err);
    a->ops = sl_keyset_ops(a->keys);
    sl_rng_seeded_init(&a->rng_state, sl_rng_u64(&sim->rng));
    a->env = (struct sl_ca_env){ .conf = &a->conf,
                                 .keys = &a->ops,
                                 .rng = sl_rng_seeded(&a->rng_state),
                                 .record = on_record,
                                 .ctx = a };
    open_all(a);
    setup(a, host);
    static const struct {
        const char *path;
        void (*serve)(void *ctx, const struct sim_request *q, struct sim_reply *r);
    } routes[] = { { "/scep", serve_scep }, { "/crl/", serve_crl }, { "/ocsp", serve_ocsp } };
    struct sim_server *at[] = { &a->scep_server, &a->crl_server, &a->ocsp_server };
    for (size_t i = 0; i < SL_ARRAY_LEN(routes); i++) {
        char prefix[96];
        snprintf(prefix, sizeof(prefix), "%s%s", a->base_url, routes[i].path);
        at[i]->serve = routes[i].serve;
        at[i]->ctx = a;
        at[i]->slow_ns = 2 * SL_NS_PER_MS;
        sim_servers_add(servers, at[i], prefix);
    }
}

void sim_authority_restart(struct sim_authority *a)
{
    close_all(a);
    open_all(a);
}

void sim_authority_clear(struct sim_authority *a)
{
    struct sl_err err = { 0 };
    struct sl_audit_report report;
    char path[128];
    close_all(a);
    sl_keyset_free(a->keys);
    sl_buf_clear(&a->root);
    snprintf(path, sizeof(path), "%s/audit", a->dir);
    ck_ok(sl_audit_verify(path, &report, &err), &err);
    ck_assert_msg(report.rc == SL_OK, "%s: %s", path, report.text);
}

/* ---- what operators do --------------------------------------------------------------------------- */

void sim_authority_challenge(struct sim_authority *a, const char *name, char out[64])
{
    struct sl_err err = { 0 };
    SL_AUTO_SECRET text = { 0 };
    ck_ok(sl_ca_challenge(a->ca, name, NULL, 0, 24 * 3600, sim_utc_s(a->sim), &text, &err), &err);
    ck_assert_uint_lt(text.len, 64);
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
}

void sim_authority_revoke(struct sim_authority *a, const char *serial)
{
    struct sl_err err = { 0 };
    ck_ok(sl_ca_revoke(a->ca, serial, 1, sim_utc_s(a->sim), &err), &err);
}

static enum sl_rc take_pending(void *ctx, const struct sl_request *r, struct sl_err *err)
{
    int64_t *id = ctx;
    (void)err;
    ck_assert_msg(*id == 0, "more than one request waits");
    *id = r->id;
    return SL_OK;
}

void sim_authority_approve(struct sim_authority *a)
{
    struct sl_err err = { 0 };
    char serial[SL_SERIAL_TEXT];
    int64_t id = 0;
    ck_ok(sl_store_request_each(a->store, SL_REQUEST_PENDING, take_pending, &id, &err), &err);
    ck_assert_msg(id != 0, "no request waits for approval");
    ck_ok(sl_ca_approve(a->ca, id, sim_utc_s(a->sim), serial, &err), &err);
}

void sim_authority_crls(struct sim_authority *a)
{
    struct sl_err err = { 0 };
    SL_AUTO_BUF issuing = { 0 };
    SL_AUTO_BUF root = { 0 };
    ck_ok(sl_ca_crl(a->ca, SL_CA_ISSUING, true, sim_utc_s(a->sim), &issuing, &err), &err);
    ck_ok(sl_ca_crl(a->ca, SL_CA_ROOT, true, sim_utc_s(a->sim), &root, &err), &err);
}

void sim_authority_crl(struct sim_authority *a, struct sl_buf *der)
{
    struct sl_err err = { 0 };
    ck_ok(sl_ca_crl(a->ca, SL_CA_ISSUING, false, sim_utc_s(a->sim), der, &err), &err);
}
