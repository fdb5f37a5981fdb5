/* Text forms of bytes: hex, Base64 (RFC 4648), printable; see sealane/bytes.h. */
#include "sealane/bytes.h"

#include <openssl/evp.h>

#include <ctype.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

char *sl_hex(char *out, size_t cap, struct sl_bytes v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len && n + 2 < cap; i++) {
        out[n++] = hex_digits[v.p[i] >> 4];
        out[n++] = hex_digits[v.p[i] & 15];
    }
    if (cap)
        out[n] = 0;
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sl_unhex(struct sl_buf *out, const char *hex)
{
    size_t before = out->len;
    for (const char *p = hex; *p;) {
        int hi = hex_value(p[0]), lo = hi < 0 ? -1 : hex_value(p[1]);
        uint8_t byte = lo < 0 ? 0 : (uint8_t)(hi << 4 | lo);
        if (lo < 0 || !sl_buf_put(out, sl_bytes(&byte, 1)))
            goto fail;
        p += 2;
        if (*p == ':') {
            p++;
            if (!*p)
                goto fail;
        }
    }
    return true;
fail:
    out->len = before;
    return false;
}

bool sl_base64(struct sl_buf *out, struct sl_bytes v)
{
    size_t before = out->len;
    /* whole triples at a time, so that the length fits EVP_EncodeBlock's int */
    const size_t step = 3 * 16384;
    do {
        struct sl_bytes part = sl_bytes_slice(v, 0, step);
        if (!sl_buf_reserve(out, (part.len + 2) / 3 * 4 + 1)) {
            out->len = before;
            return false;
        }
        out->len += (size_t)EVP_EncodeBlock(out->p + out->len, part.p, (int)part.len);
        v = sl_bytes_slice(v, part.len, v.len);
    } while (v.len);
    return true;
}

static int base64_value(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool sl_unbase64(struct sl_buf *out, struct sl_bytes text)
{
    size_t before = out->len;
    uint32_t acc = 0;
    unsigned have = 0, pad = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        int v = c == '=' ? 0 : base64_value(c);
        if (v < 0 || (pad && c != '=') || (c == '=' && have < 2))
            goto fail;
        pad += c == '=';
        acc = acc << 6 | (uint32_t)v;
        if (++have < 4)
            continue;
        const uint8_t three[3] = { (uint8_t)(acc >> 16), (uint8_t)(acc >> 8), (uint8_t)acc };
        /* unused bits must be zero: one text for one value */
        if ((pad == 1 && three[2]) || (pad == 2 && (three[1] || three[2])) || pad > 2)
            goto fail;
        if (!sl_buf_put(out, sl_bytes(three, 3 - pad)))
            goto fail;
        acc = have = 0;
        if (pad) { /* nothing but white space may follow */
            for (i++; i < text.len; i++)
                if (!strchr(" \t\r\n", text.p[i]) || !text.p[i])
                    goto fail;
            break;
        }
    }
    if (have == 0)
        return true;
fail:
    out->len = before;
    return false;
}

char *sl_printable(char *out, size_t cap, struct sl_bytes v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        bool plain = v.p[i] >= 0x20 && v.p[i] < 0x7f && v.p[i] != '\\';
        if (n + (plain ? 1 : 4) >= cap)
            break;
        if (plain) {
            out[n++] = (char)v.p[i];
        } else {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex_digits[v.p[i] >> 4];
            out[n++] = hex_digits[v.p[i] & 15];
        }
    }
    if (cap)
        out[n] = 0;
    return out;
}
