/*
 * One line of the audit log, and the head that remembers how long the log was.
 *
 *   {"n":7,"prev":"H6","t":"2026-11-23T17:20:30.123456Z","kind":"decision", ... ,"hash":"H7"}
 *
 * The line is written by hand around jansson's text of the body, so that its bytes, not its meaning,
 * are what is hashed: H7 is the SHA-256 of the line without ,"hash":"H7".
 */
#include "src/audit/impl.h"

#include "sealane/crypto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ,"hash":"...64..."} at the end of each line. */
#define TAIL_KEY ",\"hash\":\""
#define TAIL_LEN (sizeof(TAIL_KEY) - 1 + AUDIT_HASH_HEX + 2)

static void hash_of(char out[AUDIT_HASH_HEX + 1], struct sl_bytes text)
{
    uint8_t digest[32];
    sl_sha2(256, text, digest);
    sl_hex(out, AUDIT_HASH_HEX + 1, sl_bytes(digest, sizeof(digest)));
}

static bool kind_ok(const char *kind)
{
    size_t n = strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    return n > 0 && n <= 32 && !kind[n];
}

static bool put_time(struct sl_buf *b, int64_t utc_ns)
{
    char text[SL_TIME_TEXT];
    int64_t s = utc_ns / SL_NS_PER_S, us = utc_ns % SL_NS_PER_S / 1000;
    if (us < 0) {
        s--;
        us += 1000000;
    }
    sl_time_text(text, s);
    text[strcspn(text, "Z")] = '\0';
    return sl_buf_printf(b, "%s.%06" PRId64 "Z", text, us);
}

enum sl_rc audit_line_write(struct sl_buf *out, struct audit_point *at, const char *kind,
                            const json_t *body, int64_t utc_ns, struct sl_err *err)
{
    static const char *const reserved[] = { "n", "prev", "t", "kind", "hash" };
    if (!kind_ok(kind))
        return SL_FAIL(err, SL_USAGE,
                       "audit record of kind \"%s\": expected 1 to 32 of a-z 0-9 . -", kind);
    if (body && !json_is_object(body))
        return SL_FAIL(err, SL_USAGE, "audit record of kind %s: its body is not an object", kind);
    for (size_t i = 0; body && i < SL_ARRAY_LEN(reserved); i++)
        if (json_object_get(body, reserved[i]))
            return SL_FAIL(err, SL_USAGE,
                           "audit record of kind %s: its body has the reserved field \"%s\"", kind,
                           reserved[i]);
    char *fields = body ? json_dumps(body, JSON_COMPACT | JSON_ENSURE_ASCII) : strdup("{}");
    if (!fields)
        return SL_FAIL_MEM(err);
    SL_AUTO_BUF line = { 0 };
    bool empty = strcmp(fields, "{}") == 0;
    bool ok = sl_buf_printf(&line, "{\"n\":%" PRIu64 ",\"prev\":\"%s\",\"t\":\"", at->n + 1,
                            at->n ? at->hash : AUDIT_ZERO) &&
              put_time(&line, utc_ns) && sl_buf_printf(&line, "\",\"kind\":\"%s\"", kind) &&
              (empty || (sl_buf_put_str(&line, ",") &&
                         sl_buf_put(&line, sl_bytes(fields + 1, strlen(fields) - 2)))) &&
              sl_buf_put_str(&line, "}");
    free(fields);
    if (!ok)
        return SL_FAIL_MEM(err);
    if (line.len + TAIL_LEN > AUDIT_LINE_MAX)
        return SL_FAIL(err, SL_TOO_LARGE,
                       "audit record of kind %s: %zu bytes; at most %zu are written", kind,
                       line.len + TAIL_LEN, AUDIT_LINE_MAX);
    struct audit_point next = { .n = at->n + 1 };
    hash_of(next.hash, sl_buf_bytes(&line));
    line.len--; /* the closing brace comes after the hash */
    if (!sl_buf_printf(&line, TAIL_KEY "%s\"}\n", next.hash) ||
        !sl_buf_put(out, sl_buf_bytes(&line)))
        return SL_FAIL_MEM(err);
    *at = next;
    return SL_OK;
}

static bool is_hash(const char *s, size_t len)
{
    return len == AUDIT_HASH_HEX && strspn(s, "0123456789abcdef") >= len;
}

enum sl_rc audit_line_read(struct sl_bytes line, struct audit_point *at,
                           char prev[AUDIT_HASH_HEX + 1], json_t **record, struct sl_err *err)
{
    if (line.len < TAIL_LEN + 2 || line.len > AUDIT_LINE_MAX)
        return SL_FAIL(err, SL_AUDIT_EDITED, "is not a record (%zu bytes)", line.len);
    size_t front = line.len - TAIL_LEN;
    const char *tail = (const char *)line.p + front, *stored = tail + sizeof(TAIL_KEY) - 1;
    if (memcmp(tail, TAIL_KEY, sizeof(TAIL_KEY) - 1) != 0 ||
        memcmp(tail + TAIL_LEN - 2, "\"}", 2) != 0)
        return SL_FAIL(err, SL_AUDIT_EDITED, "does not end in its hash");
    SL_AUTO_BUF hashed = { 0 };
    if (!sl_buf_put(&hashed, sl_bytes(line.p, front)) || !sl_buf_put_str(&hashed, "}"))
        return SL_FAIL_MEM(err);
    char hash[AUDIT_HASH_HEX + 1];
    hash_of(hash, sl_buf_bytes(&hashed));
    if (memcmp(hash, stored, AUDIT_HASH_HEX) != 0)
        return SL_FAIL(err, SL_AUDIT_EDITED, "is not what its hash was made of");
    json_t *r = json_loadb((const char *)line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *n = json_object_get(r, "n"), *p = json_object_get(r, "prev");
    if (!json_is_integer(n) || json_integer_value(n) <= 0 ||
        json_integer_value(n) > AUDIT_NUMBER_MAX || !json_is_string(p) ||
        !is_hash(json_string_value(p), json_string_length(p)) ||
        !json_is_string(json_object_get(r, "kind")) || !json_is_string(json_object_get(r, "t"))) {
        json_decref(r);
        return SL_FAIL(err, SL_AUDIT_EDITED, "is not a record, though its hash fits");
    }
    memcpy(prev, json_string_value(p), AUDIT_HASH_HEX + 1);
    at->n = (uint64_t)json_integer_value(n);
    memcpy(at->hash, hash, sizeof(hash));
    *record = r;
    return SL_OK;
}

/*
 * The head is one text of fixed length, overwritten in place: number, size of the log, hash of the
 * last record, and a hash over these that tells a torn head from one that was changed by hand
 * carelessly. No protection against a careful hand: signed checkpoints will give that.
 */
#define HEAD_SIZE_AT 18 /* behind the number and a blank */
#define HEAD_HASH_AT 36

static size_t head_front(char *out, size_t cap, const struct audit_head *h)
{
    return (size_t)snprintf(out, cap, "%017" PRIu64 " %017" PRIu64 " %s ", h->at.n, h->size,
                            h->at.n ? h->at.hash : AUDIT_ZERO);
}

void audit_head_write(char out[AUDIT_HEAD_LEN + 1], const struct audit_head *h)
{
    char check[AUDIT_HASH_HEX + 1];
    size_t n = head_front(out, AUDIT_HEAD_LEN + 1, h);
    hash_of(check, sl_bytes(out, n));
    snprintf(out + n, AUDIT_HEAD_LEN + 1 - n, "%s\n", check);
}

bool audit_head_read(struct audit_head *h, struct sl_bytes text)
{
    char copy[AUDIT_HEAD_LEN + 1], again[AUDIT_HEAD_LEN + 1];
    struct audit_head got = { 0 };
    if (text.len != AUDIT_HEAD_LEN)
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    got.at.n = strtoull(copy, &end, 10);
    if (end != copy + HEAD_SIZE_AT - 1)
        return false;
    got.size = strtoull(copy + HEAD_SIZE_AT, &end, 10);
    if (end != copy + HEAD_HASH_AT - 1 || !is_hash(copy + HEAD_HASH_AT, AUDIT_HASH_HEX))
        return false;
    memcpy(got.at.hash, copy + HEAD_HASH_AT, AUDIT_HASH_HEX);
    audit_head_write(again, &got); /* one head has one text */
    if (memcmp(copy, again, AUDIT_HEAD_LEN) != 0)
        return false;
    *h = got;
    return true;
}

enum sl_rc audit_head_load(struct audit_head *h, const char *dir, struct sl_err *err)
{
    char path[4096], text[AUDIT_HEAD_LEN + 2];
    snprintf(path, sizeof(path), "%s/%s", dir, AUDIT_HEAD);
    FILE *f = fopen(path, "re");
    if (!f)
        return SL_FAIL(err, errno == ENOENT ? SL_NOT_FOUND : SL_IO, "%s: %s", path,
                       strerror(errno));
    size_t n = fread(text, 1, sizeof(text), f);
    bool failed = ferror(f);
    fclose(f);
    if (failed)
        return SL_FAIL(err, SL_IO, "%s: cannot be read", path);
    if (n == 0) /* made, but killed before it was written for the first time */
        return SL_FAIL(err, SL_NOT_FOUND, "%s: is empty", path);
    if (!audit_head_read(h, sl_bytes(text, n)))
        return SL_FAIL(err, SL_AUDIT_EDITED, "%s: is not the head of an audit log", path);
    return SL_OK;
}
