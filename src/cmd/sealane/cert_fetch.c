/* Fetching for cert verify and cert explain: the daemon's rules, one question at a time. */
#include "src/cmd/sealane/cert.h"

#include "src/fetch/fetch.h"

#include <stdlib.h>

struct cert_fetch {
    struct fetch_rules rules;
};

/* The rules are those of the section fetch of a configuration that was named, else the built-in. */
enum sl_rc cert_fetch_new(struct cert_fetch **out, const struct cli *cli, struct sl_err *err)
{
    SL_AUTO(sl_config) *config = NULL;
    if (cli->config)
        SL_TRY(sl_config_load(&config, cli->config, NULL, err));
    if (!fetch_global_init())
        return SL_FAIL(err, SL_INTERNAL, "the libraries for fetching do not begin");
    struct cert_fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return SL_FAIL_MEM(err);
    if (fetch_rules_init(&f->rules, config ? &config->fetch : NULL, err) != SL_OK) {
        cert_fetch_free(f);
        return err->rc;
    }
    *out = f;
    return SL_OK;
}

void cert_fetch_free(struct cert_fetch *f)
{
    if (!f)
        return;
    fetch_rules_clear(&f->rules);
    free(f);
}

enum sl_rc cert_fetch_ask(void *ctx, const struct sl_question *q, struct sl_buf *body,
                          struct sl_err *err)
{
    const struct cert_fetch *f = ctx;
    struct fetch_reply reply = { 0 };
    struct fetch_request request = { .uri = sl_str(q->uri),
                                     .origin = FETCH_FROM_CERTIFICATE,
                                     .post = q->content_type != NULL,
                                     .content_type = q->content_type,
                                     .accept = q->accept,
                                     .body = q->body,
                                     .max_bytes = q->max_bytes < f->rules.max_crl_bytes
                                                      ? q->max_bytes
                                                      : f->rules.max_crl_bytes,
                                     .deadline_ms = q->timeout_ms,
                                     .follow = true };
    enum sl_rc rc = fetch_get(&f->rules, &request, &reply);
    if (rc != SL_OK)
        rc = SL_FAIL(err, rc, "%s", reply.text);
    else if (reply.status != 200)
        rc = SL_FAIL(err, SL_UNAVAILABLE, "the server answers with HTTP status %u", reply.status);
    else if (!sl_buf_put(body, sl_buf_bytes(&reply.body)))
        rc = SL_FAIL_MEM(err);
    fetch_reply_clear(&reply);
    return rc;
}
