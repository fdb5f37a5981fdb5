/*
 * Which entry is this peer: the mapping rule becomes a filter, and what the search found is judged
 * (exactly one entry, account in order, certificate on record where that is asked).
 */
#include "sealane/directory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- mapping rules ---------------------------------------------------------------------------------- */
static enum sl_rc missing(struct sl_err *err, const char *name, const char *rule)
{
    return SL_FAIL(err, SL_DIR_NO_ENTRY,
                   "the mapping rule \"%.200s\" needs %%{%s}, which the peer does not have", rule,
                   name);
}

static enum sl_rc put_san(struct sl_buf *out, enum sl_id_type type, const struct sl_peer_view *peer,
                          const char *name, const char *rule, struct sl_err *err)
{
    struct sl_bytes v;
    /* The ID was found in the certificate before, so it is one of its SANs. */
    if (peer->cert && peer->id && peer->id->type == type)
        v = sl_bytes(peer->id->data, peer->id->len);
    else if (!peer->cert || !sl_cert_san(peer->cert, type, 0, &v))
        return missing(err, name, rule);
    return sl_filter_escape(out, v) ? SL_OK : SL_FAIL_MEM(err);
}

static enum sl_rc put_value(struct sl_buf *out, const char *name, const struct sl_peer_view *peer,
                            const char *rule, struct sl_err *err)
{
    struct sl_bytes v = { 0 };
    char text[SL_ID_TEXT];
    SL_AUTO_BUF attr = { 0 };
    if (strcmp(name, "san.dns") == 0)
        return put_san(out, SL_ID_FQDN, peer, name, rule, err);
    if (strcmp(name, "san.email") == 0)
        return put_san(out, SL_ID_RFC822_ADDR, peer, name, rule, err);
    if (strcmp(name, "id") == 0) {
        if (!peer->id || peer->id->type == SL_ID_NONE)
            return missing(err, name, rule);
        if (peer->id->type == SL_ID_FQDN || peer->id->type == SL_ID_RFC822_ADDR)
            v = sl_bytes(peer->id->data, peer->id->len);
        else /* what stands after the type: an address, a name, hex */
            v = sl_str(strchr(sl_id_text(text, peer->id), ':') + 1);
    } else if (strcmp(name, "serial") == 0) {
        if (!peer->cert)
            return missing(err, name, rule);
        v = sl_str(sl_cert_serial(peer->cert));
    } else if (strcmp(name, "fingerprint.sha256") == 0) {
        if (!peer->cert)
            return missing(err, name, rule);
        v = sl_str(sl_cert_sha256(peer->cert));
    } else if (strncmp(name, "subject.", 8) == 0) {
        if (!peer->cert || !sl_cert_subject_attr(peer->cert, name + 8, &attr))
            return missing(err, name, rule);
        v = sl_buf_bytes(&attr);
    } else {
        return SL_FAIL(
            err, SL_CONFIG_VALUE,
            "mapping rule \"%.200s\": %%{%s} is not known; there are san.dns, san.email, "
            "subject.TYPE, id, serial and fingerprint.sha256",
            rule, name);
    }
    return sl_filter_escape(out, v) ? SL_OK : SL_FAIL_MEM(err);
}

enum sl_rc sl_mapping_expand(struct sl_buf *filter, const char *rule,
                             const struct sl_peer_view *peer, struct sl_err *err)
{
    SL_AUTO_BUF out = { 0 };
    for (const char *s = rule; *s;) {
        if (s[0] != '%' || s[1] != '{') {
            if (!sl_buf_put(&out, sl_bytes(s, 1)))
                return SL_FAIL_MEM(err);
            s++;
            continue;
        }
        const char *end = strchr(s, '}');
        char name[64];
        size_t len = end ? (size_t)(end - s) - 2 : 0;
        if (!end || len == 0 || len >= sizeof(name))
            return SL_FAIL(err, SL_CONFIG_VALUE,
                           "mapping rule \"%.200s\": %%{ without a name and }", rule);
        memcpy(name, s + 2, len);
        name[len] = '\0';
        SL_TRY(put_value(&out, name, peer, rule, err));
        s = end + 1;
    }
    if (!sl_buf_put(filter, sl_buf_bytes(&out)) || !sl_buf_nul(filter))
        return SL_FAIL_MEM(err);
    return SL_OK;
}

/* ---- account state ------------------------------------------------------------------------------------ */
/* "attribute=value" or "attribute&bits": does the entry say that it is disabled? */
static enum sl_rc check_disabled(const struct sl_conf_directory *conf, const struct sl_entry *e,
                                 struct sl_err *err)
{
    const char *rule = conf->disabled_attr;
    size_t len = strcspn(rule, "=&");
    char name[SL_NAME_MAX];
    if (len == 0 || len >= sizeof(name) || !rule[len])
        return SL_FAIL(
            err, SL_CONFIG_VALUE,
            "directory %s: disabled_attr \"%s\" is not attribute=value or attribute&bits",
            conf->name, rule);
    memcpy(name, rule, len);
    name[len] = '\0';
    const char *want = rule + len + 1;
    const struct sl_attr *a = sl_entry_attr(e, name);
    if (rule[len] == '&' && (!a || a->n == 0))
        return SL_FAIL(err, SL_DIR_BAD_ANSWER,
                       "directory %s: entry %.200s has no readable %s, account state unknown",
                       conf->name, e->dn, name);
    for (size_t i = 0; a && i < a->n; i++) {
        const char *value = (const char *)a->value[i].p; /* sl_entry_put added a NUL */
        bool hit = false;
        if (rule[len] == '=') {
            hit = strcasecmp(value, want) == 0;
        } else {
            char *end = NULL, *value_end = NULL;
            unsigned long long bits = strtoull(want, &end, 0);
            long long have = strtoll(value, &value_end, 10);
            if (*want == '\0' || *end != '\0' || bits == 0)
                return SL_FAIL(err, SL_CONFIG_VALUE,
                               "directory %s: disabled_attr \"%s\": bits must be a number",
                               conf->name, rule);
            if (value_end == value || *value_end != '\0')
                return SL_FAIL(
                    err, SL_DIR_BAD_ANSWER,
                    "directory %s: entry %.200s: %s is not a number, account state unknown",
                    conf->name, e->dn, name);
            hit = ((unsigned long long)have & bits) != 0;
        }
        if (hit)
            return SL_FAIL(err, SL_DIR_DISABLED,
                           "directory %s: entry %.200s is disabled: %s is %.64s (disabled_attr %s)",
                           conf->name, e->dn, name, value, rule);
    }
    return SL_OK;
}

static enum sl_rc check_enabled(const struct sl_conf_directory *conf, const struct sl_entry *e,
                                struct sl_err *err)
{
    SL_AUTO(sl_filter) *f = NULL;
    if (sl_filter_parse(&f, conf->enabled_filter, err) != SL_OK)
        return SL_WRAP(err, "directory %s: enabled_filter", conf->name);
    if (!sl_filter_match(f, e))
        return SL_FAIL(
            err, SL_DIR_DISABLED,
            "directory %s: entry %.200s is disabled: it does not match %.160s (enabled_filter)",
            conf->name, e->dn, conf->enabled_filter);
    return SL_OK;
}

static enum sl_rc check_cert(const struct sl_conf_directory *conf, const struct sl_entry *e,
                             const struct sl_cert *cert, struct sl_err *err)
{
    const struct sl_attr *a = sl_entry_attr(e, "userCertificate");
    for (size_t i = 0; cert && a && i < a->n; i++)
        if (sl_bytes_eq(sl_buf_bytes(&a->value[i]), sl_cert_der(cert)))
            return SL_OK;
    return SL_FAIL(
        err, SL_DIR_CERT_MISMATCH,
        "directory %s: entry %.200s holds %zu certificates, none of them the peer's %.120s "
        "(cert_match)",
        conf->name, e->dn, a ? a->n : 0, cert ? sl_cert_name(cert) : "(none)");
}

enum sl_rc sl_directory_check(const struct sl_conf_directory *conf, const char *filter,
                              const struct sl_entries *found, const struct sl_cert *cert,
                              struct sl_err *err)
{
    if (found->n == 0)
        return SL_FAIL(err, SL_DIR_NO_ENTRY,
                       "directory %s: no entry under \"%.120s\" matches %.200s", conf->name,
                       conf->base, filter);
    if (found->n > 1)
        return SL_FAIL(err, SL_DIR_AMBIGUOUS,
                       "directory %s: more than one entry matches %.160s: %.100s and %.100s",
                       conf->name, filter, found->v[0].dn, found->v[1].dn);
    const struct sl_entry *e = &found->v[0];
    if (conf->disabled_attr[0])
        SL_TRY(check_disabled(conf, e, err));
    if (conf->enabled_filter[0])
        SL_TRY(check_enabled(conf, e, err));
    if (conf->cert_match)
        SL_TRY(check_cert(conf, e, cert, err));
    return SL_OK;
}

/* ---- what to ask for ------------------------------------------------------------------------------------ */
struct names {
    char (*v)[SL_NAME_MAX];
    size_t n;
};

static void add(struct names *names, const char *name, size_t len)
{
    if (len == 0 || len >= SL_NAME_MAX)
        return;
    for (size_t i = 0; i < names->n; i++)
        if (strlen(names->v[i]) == len && strncasecmp(names->v[i], name, len) == 0)
            return;
    if (names->n == SL_DIR_ATTRS)
        return;
    memcpy(names->v[names->n], name, len);
    names->v[names->n++][len] = '\0';
}

static void add_each(void *ctx, const char *name)
{
    add(ctx, name, strlen(name));
}

size_t sl_directory_attrs(const struct sl_conf_directory *conf, const struct sl_conf_rule *rules,
                          size_t rules_n, char v[SL_DIR_ATTRS][SL_NAME_MAX])
{
    struct names names = { .v = v };
    add_each(&names, "objectClass");
    if (conf->disabled_attr[0])
        add(&names, conf->disabled_attr, strcspn(conf->disabled_attr, "=&"));
    if (conf->enabled_filter[0]) {
        SL_AUTO(sl_filter) *f = NULL;
        if (sl_filter_parse(&f, conf->enabled_filter, NULL) == SL_OK)
            sl_filter_attrs(f, add_each, &names);
    }
    if (conf->cert_match)
        add_each(&names, "userCertificate;binary");
    for (size_t i = 0; i < rules_n; i++) {
        if (rules[i].group.n)
            add_each(&names, "memberOf");
        for (size_t k = 0; k < rules[i].entry_attr.n; k++)
            add(&names, rules[i].entry_attr.v[k], strcspn(rules[i].entry_attr.v[k], "="));
    }
    return names.n;
}
