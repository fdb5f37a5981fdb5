/* Messages on a channel, and the operations of keys that live behind one (msg.h). */
#include "src/proc/msg.h"

#include "sealane/key.h"

#include <string.h>

/* ---- on a channel ------------------------------------------------------------------------------ */
enum sl_rc msg_send_fds(struct chan *c, enum msg_type type, const void *m, const int *fd,
                        size_t fd_n, struct sl_err *err)
{
    struct sl_buf b = { 0 };
    enum sl_rc rc = msg_write(type, m, &b, err);
    if (rc == SL_OK)
        rc = chan_send_fds(c, (uint16_t)type, sl_buf_bytes(&b), fd, fd_n, err);
    sl_buf_wipe(&b);
    return rc;
}

enum sl_rc msg_send(struct chan *c, enum msg_type type, const void *m, struct sl_err *err)
{
    return msg_send_fds(c, type, m, NULL, 0, err);
}

enum sl_rc msg_ask(struct chan *c, enum msg_type type, const void *m, int64_t deadline_ms,
                   chan_reply_fn *fn, void *ctx, uint64_t *id, struct sl_err *err)
{
    struct sl_buf b = { 0 };
    enum sl_rc rc = msg_write(type, m, &b, err);
    if (rc == SL_OK)
        rc = chan_request(c, (uint16_t)type, sl_buf_bytes(&b), deadline_ms, fn, ctx, id, err);
    sl_buf_wipe(&b);
    return rc;
}

enum sl_rc msg_answer(struct chan *c, uint64_t id, enum msg_type type, const void *m, bool more,
                      struct sl_err *err)
{
    struct sl_buf b = { 0 };
    enum sl_rc rc = msg_write(type, m, &b, err);
    if (rc == SL_OK)
        rc = chan_reply(c, id, (uint16_t)type, sl_buf_bytes(&b), more, err);
    sl_buf_wipe(&b);
    return rc;
}

enum sl_rc msg_call(struct chan *c, enum msg_type type, const void *m, int64_t deadline_ms,
                    enum msg_type want_type, void *answer, struct sl_buf *reply, struct sl_err *err)
{
    struct sl_buf b = { 0 };
    size_t before = reply->len;
    enum sl_rc rc = msg_write(type, m, &b, err);
    if (rc == SL_OK)
        rc = chan_call(c, (uint16_t)type, sl_buf_bytes(&b), deadline_ms, (uint16_t)want_type, reply,
                       err);
    sl_buf_wipe(&b);
    if (rc != SL_OK)
        return rc;
    if (!msg_read(want_type, answer, sl_bytes_slice(sl_buf_bytes(reply), before, reply->len)))
        return SL_FAIL(err, SL_PROC_MESSAGE, "%s: answer %s is malformed", chan_peer(c),
                       msg_name(want_type));
    return SL_OK;
}

/* ---- key operations ---------------------------------------------------------------------------- */
#define KEY_DEADLINE_MS 10000

static enum sl_rc key_call(struct chan *c, enum msg_type type, const void *m, struct sl_buf *out,
                           struct sl_err *err)
{
    struct sl_buf reply = { 0 };
    struct msg_key_reply a;
    enum sl_rc rc = msg_call(c, type, m, KEY_DEADLINE_MS, MSG_KEY_REPLY, &a, &reply, err);
    if (rc == SL_OK && a.rc != SL_OK)
        rc = SL_FAIL(err, a.rc, "%s", a.text);
    if (rc == SL_OK && !sl_buf_put(out, a.bytes))
        rc = SL_FAIL_MEM(err);
    sl_buf_wipe(&reply);
    return rc;
}

static bool key_name(char out[MSG_KEY_NAME_MAX], const char *name)
{
    size_t n = strlen(name);
    if (n >= MSG_KEY_NAME_MAX)
        return false;
    memcpy(out, name, n + 1);
    return true;
}

static enum sl_rc key_sign(void *ctx, const char *name, enum sl_sig sig, struct sl_bytes data,
                           struct sl_buf *out, struct sl_err *err)
{
    struct msg_key_sign m = { .sig = sig, .data = data };
    if (!key_name(m.name, name))
        return SL_FAIL(err, SL_KEY_NOT_FOUND, "key name of %zu characters", strlen(name));
    return key_call(ctx, MSG_KEY_SIGN, &m, out, err);
}

static enum sl_rc key_decrypt(void *ctx, const char *name, bool oaep, struct sl_bytes cipher,
                              struct sl_buf *out, struct sl_err *err)
{
    struct msg_key_decrypt m = { .oaep = oaep, .cipher = cipher };
    if (!key_name(m.name, name))
        return SL_FAIL(err, SL_KEY_NOT_FOUND, "key name of %zu characters", strlen(name));
    return key_call(ctx, MSG_KEY_DECRYPT, &m, out, err);
}

void msg_key_ops(struct sl_key_ops *ops, struct chan *c)
{
    *ops = (struct sl_key_ops){ .sign = key_sign, .decrypt = key_decrypt, .ctx = c };
}
