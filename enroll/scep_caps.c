/* GetCACaps (RFC 8894 3.5.2): keywords of a line each. */
#include "sealane/scep.h"

#include <string.h>
#include <strings.h>

static const struct {
    uint32_t cap;
    const char *word;
} caps_words[] = {
    { SL_SCEP_CAP_AES, "AES" },
    { SL_SCEP_CAP_DES3, "DES3" },
    { SL_SCEP_CAP_NEXT_CA, "GetNextCACert" },
    { SL_SCEP_CAP_POST, "POSTPKIOperation" },
    { SL_SCEP_CAP_RENEWAL, "Renewal" },
    { SL_SCEP_CAP_SHA1, "SHA-1" },
    { SL_SCEP_CAP_SHA256, "SHA-256" },
    { SL_SCEP_CAP_SHA384, "SHA-384" },
    { SL_SCEP_CAP_SHA512, "SHA-512" },
    { SL_SCEP_CAP_STANDARD, "SCEPStandard" },
    { SL_SCEP_CAP_PROOF, "X-Sealane-RenewalProof" },
};

static bool is_word(struct sl_bytes line, const char *word)
{
    return line.len == strlen(word) && strncasecmp((const char *)line.p, word, line.len) == 0;
}

uint32_t sl_scep_caps_read(struct sl_bytes text)
{
    uint32_t caps = 0;
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && text.p[end] != '\n' && text.p[end] != '\r')
            end++;
        struct sl_bytes line = sl_bytes_slice(text, at, end - at);
        while (line.len && (line.p[line.len - 1] == ' ' || line.p[line.len - 1] == '\t'))
            line.len--;
        for (size_t i = 0; i < SL_ARRAY_LEN(caps_words); i++)
            if (is_word(line, caps_words[i].word))
                caps |= caps_words[i].cap;
        at = end + 1;
    }
    /* RFC 8894 3.5.2: SCEPStandard stands for AES, POST and SHA-256 */
    if (caps & SL_SCEP_CAP_STANDARD)
        caps |= SL_SCEP_CAP_AES | SL_SCEP_CAP_POST | SL_SCEP_CAP_SHA256;
    return caps;
}

bool sl_scep_caps_write(struct sl_buf *out, uint32_t caps)
{
    bool ok = true;
    for (size_t i = 0; i < SL_ARRAY_LEN(caps_words) && ok; i++)
        if (caps & caps_words[i].cap)
            ok = sl_buf_printf(out, "%s\n", caps_words[i].word);
    return ok;
}
