/*
 * A validation's answer told to a person: every candidate path and why it died, what revocation said of
 * each certificate, the policies, the identity, and what would make it pass.
 */
#include "sealane/verify.h"

#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* ---- what would make it pass ---------------------------------------------------------------------------- */
static const struct {
    enum sl_rc rc;
    const char *advice;
} advices[] = {
    { SL_CERT_MALFORMED, "have the certificate issued anew; the bytes are no certificate that RFC "
                         "5280 knows" },
    { SL_CERT_UNKNOWN_CA, "give the missing issuer with --intermediate, or its root with --anchor "
                          "when you trust it" },
    { SL_CERT_EXPIRED, "renew the certificate that has ended; --time shows what held at another "
                       "time" },
    { SL_CERT_NOT_YET_VALID, "wait until notBefore, and compare this host's clock with the CA's" },
    { SL_CERT_SIGNATURE,
      "get the issuer's true certificate: this one has the name, but not the key "
      "that signed" },
    { SL_CERT_NOT_CA, "have the issuer's certificate made with basicConstraints cA=TRUE, or take "
                      "another path" },
    { SL_CERT_PATH_LENGTH, "shorten the path, or have the CA above it issued with a larger "
                           "pathLenConstraint; a limit given by --max-depth may be raised" },
    { SL_CERT_NAME_CONSTRAINTS,
      "have the certificate issued for a name that the CA may name, or by "
      "another CA" },
    { SL_CERT_POLICY, "have it issued under a policy that every CA of the path carries, or do not "
                      "demand one" },
    { SL_CERT_KEY_USAGE, "have the certificate issued with the key usage that is named" },
    { SL_CERT_EKU, "have it issued with that extended key usage, or name the one it has with "
                   "--eku" },
    { SL_CERT_CRITICAL_EXTENSION,
      "have it issued without that extension, or with the extension not "
      "critical" },
    { SL_CERT_WEAK, "have it issued with SHA-256 or better and RSA of 2048 bits, ECDSA or EdDSA" },
    { SL_CERT_INVALID, "have the certificate that is named issued by the rule that is named" },
    { SL_CERT_BUDGET, "give fewer certificates of the same name, or a shorter path" },
    { SL_REVOKED, "nothing but a new certificate with a new key" },
    { SL_REVOCATION_NONE, "give the CA's list with --crl, or have certificates name a distribution "
                          "point or responder; --revocation off does without" },
    { SL_REVOCATION_UNAVAILABLE, "make the responder or distribution point reachable, or give the "
                                 "list with --crl; grace passes over a short outage" },
    { SL_REVOCATION_STALE, "get a list or response that is not past its nextUpdate; grace accepts "
                           "one for a day" },
    { SL_REVOCATION_INVALID, "get a list or response that is this issuer's, in scope and rightly "
                             "signed" },
    { SL_REVOCATION_UNKNOWN, "ask the CA why its responder does not know the certificate" },
    { SL_ID_NOT_IN_CERT, "have the name put into subjectAltName, or ask for one that is there" },
    { SL_ID_TYPE, "ask for an identity of a kind that a certificate can hold" },
};

static const char *advice_for(const char *reason)
{
    enum sl_rc rc = sl_rc_from_name(reason);
    for (size_t i = 0; i < SL_ARRAY_LEN(advices); i++)
        if (advices[i].rc == rc)
            return advices[i].advice;
    return NULL;
}

/* ---- the parts of the story -------------------------------------------------------------------------------- */
static bool tell_chain(struct sl_buf *out, const json_t *list, const char *title)
{
    size_t i;
    json_t *c;
    bool ok = json_array_size(list) == 0 || sl_buf_printf(out, "\n%s\n", title);
    json_array_foreach(list, i, c)
    {
        const char *subject = text_of(c, "subject");
        ok = ok && sl_buf_printf(out, "  %zu. %s (serial %s), valid %s to %s\n", i + 1,
                                 *subject ? subject : "<no subject>", text_of(c, "serial"),
                                 text_of(c, "not_before"), text_of(c, "not_after"));
    }
    return ok;
}

static bool tell_candidate(struct sl_buf *out, const json_t *c, size_t number)
{
    const json_t *certs = json_object_get(c, "certs");
    const char *reason = text_of(c, "reason");
    size_t i;
    json_t *one;
    bool died = strcmp(reason, "OK") != 0;
    bool ok = sl_buf_printf(out, "  %zu. ", number);
    json_array_foreach(certs, i, one)
    {
        const char *name = json_is_string(one) ? json_string_value(one) : text_of(one, "subject");
        ok = ok && sl_buf_printf(out, "%s%s", i ? " <- " : "", *name ? name : "<no subject>");
    }
    return ok &&
           sl_buf_printf(out, "\n     %s%s%s%s\n", died ? "died: " : "holds", died ? reason : "",
                         died ? ": " : "", died ? text_of(c, "text") : "");
}

static bool tell_candidates(struct sl_buf *out, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "candidates");
    size_t i;
    json_t *c;
    bool ok = json_array_size(list) == 0 || sl_buf_put_str(out, "\nPaths that were tried\n");
    json_array_foreach(list, i, c) ok = ok && tell_candidate(out, c, i + 1);
    return ok;
}

static bool tell_revocation(struct sl_buf *out, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "revocation");
    const char *mode = text_of(answer, "revocation_mode");
    size_t i;
    json_t *c;
    if (strcmp(mode, "off") == 0)
        return sl_buf_put_str(out, "\nRevocation is not looked at\n");
    bool ok = sl_buf_printf(out, "\nRevocation (%s)\n", mode);
    if (ok && json_array_size(list) == 0)
        ok = sl_buf_put_str(out, "  it was not reached\n");
    json_array_foreach(list, i, c)
    {
        ok = ok && sl_buf_printf(out, "  %s: %s", text_of(c, "cert"), text_of(c, "status"));
        if (ok && *text_of(c, "source"))
            ok = sl_buf_printf(out, ", by %s, signed by %s, thisUpdate %s, nextUpdate %s",
                               text_of(c, "source"), text_of(c, "responder"),
                               text_of(c, "this_update"), text_of(c, "next_update"));
        if (ok && *text_of(c, "text"))
            ok = sl_buf_printf(out, "; %s", text_of(c, "text"));
        ok = ok && sl_buf_put_str(out, "\n");
    }
    return ok;
}

static bool tell_policies(struct sl_buf *out, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "policies");
    size_t i;
    json_t *p;
    if (json_array_size(list) == 0)
        return true;
    bool ok = sl_buf_put_str(out, "\nPolicies that hold for the whole path\n");
    json_array_foreach(list, i, p)
    {
        const char *oid = json_is_string(p) ? json_string_value(p) : "";
        ok = ok &&
             sl_buf_printf(out, "  %s%s\n", oid, strcmp(oid, "2.5.29.32.0") == 0 ? " (any)" : "");
    }
    return ok;
}

static bool tell_end(struct sl_buf *out, const json_t *answer)
{
    const json_t *binding = json_object_get(answer, "binding");
    size_t i;
    json_t *n;
    bool ok = true;
    if (binding)
        ok = sl_buf_printf(out, "\nThe identity is in the certificate: %s %s\n",
                           text_of(binding, "rule"), text_of(binding, "value"));
    if (ok && json_array_size(json_object_get(answer, "notes")))
        ok = sl_buf_put_str(out, "\nNotes\n");
    json_array_foreach(json_object_get(answer, "notes"), i, n) ok =
        ok && sl_buf_printf(out, "  %s\n", json_string_value(n));
    const char *advice = advice_for(text_of(answer, "reason"));
    if (ok && advice && strcmp(text_of(answer, "verdict"), "refused") == 0)
        ok = sl_buf_printf(out, "\nWhat would make it pass\n  %s\n", advice);
    return ok;
}

bool sl_verify_story(struct sl_buf *out, const json_t *answer)
{
    const char *when = text_of(answer, "time");
    return sl_buf_printf(out, "%s%s%s: %s\n%s\n", text_of(answer, "verdict"), *when ? " at " : "",
                         when, text_of(answer, "reason"), text_of(answer, "text")) &&
           tell_chain(out, json_object_get(answer, "presented"), "Presented") &&
           tell_chain(out, json_object_get(answer, "chain"), "The path, each issued by the next") &&
           tell_candidates(out, answer) && tell_revocation(out, answer) &&
           tell_policies(out, answer) && tell_end(out, answer);
}
