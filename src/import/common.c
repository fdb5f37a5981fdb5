/* What both mappings do alike once the key is known. */
#include "src/import/model.h"

#include "sealane/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- single values ----------------------------------------------------------------------------------- */
void imp_set_time(struct imp_model *m, struct imp_set **sets, struct imp_notes *notes,
                  struct imp_key *from, const char *key, int64_t s, bool child)
{
    bool may_be_zero =
        strcmp(key, "dpd") == 0 || strcmp(key, "reauth") == 0 || strcmp(key, "keepalive") == 0;
    int64_t low = may_be_zero ? 0 : child ? 10 : 60, high = 31536000, value = s;
    if (strcmp(key, "dpd") == 0)
        high = 86400;
    if (s <= 0 && !may_be_zero)
        value = high; /* never */
    value = value < low ? low : value > high ? high : value;
    imp_set(m, sets, key, imp_duration(m, value));
    if (value == s)
        return;
    if (s <= 0)
        imp_note(m, notes, from->at,
                 "%s = %.60s: keys are always renewed; %s is set to the longest time", from->name,
                 from->value, key);
    else
        imp_note(m, notes, from->at, "%s = %.60s: %s is set to %s, the nearest that is allowed",
                 from->name, from->value, key, imp_duration(m, value));
}

void imp_set_bool(struct imp_model *m, struct imp_conn *c, struct imp_key *from, const char *key,
                  bool value)
{
    const char *line = imp_printf(m->x, "%s = %s", key, value ? "yes" : "no");
    if (imp_takes(line, ""))
        imp_set(m, &c->sets, key, value ? "yes" : "no");
    else if (from)
        imp_note_key(m, &c->notes, from, imp_printf(m->x, "sealane does not take %s", line));
}

void imp_ikev1(struct imp_model *m, struct imp_conn *c, struct imp_key *aggressive)
{
    imp_set(m, &c->sets, "version", "ikev1");
    if (!aggressive || imp_bool(aggressive->value) != 1)
        return;
    if (!c->psk)
        imp_set(m, &c->sets, "aggressive", "yes");
    else
        imp_note_key(m, &c->notes, aggressive,
                     "written for main mode: aggressive mode with a pre-shared key shows a hash to "
                     "guess it from; aggressive = yes and aggressive_psk = yes allow it");
}

void imp_set_number(struct imp_model *m, struct imp_child *k, struct imp_key *from, const char *key)
{
    static const struct {
        char unit;
        uint64_t factor;
    } units[] = { { 'k', 1024 }, { 'm', 1048576 }, { 'g', 1073741824 } };
    char *end;
    uint64_t v = strtoull(from->value, &end, 10), factor = *end ? 0 : 1;
    for (size_t i = 0; i < SL_ARRAY_LEN(units) && *end && !end[1]; i++)
        if ((*end | 0x20) == units[i].unit)
            factor = units[i].factor;
    if (*from->value < '0' || *from->value > '9' || !factor || v > ((uint64_t)1 << 50) / factor) {
        imp_note_key(m, &k->notes, from, "not a number that can be taken over");
        return;
    }
    const char *text = imp_printf(m->x, "%" PRIu64, v * factor);
    if (imp_takes("", imp_printf(m->x, "%s = %s", key, text)))
        imp_set(m, &k->sets, key, text);
    else
        imp_note_key(m, &k->notes, from,
                     imp_printf(m->x, "sealane does not take %s = %s", key, text));
}

/* ---- identities --------------------------------------------------------------------------------------- */
void imp_local_id(struct imp_model *m, struct imp_conn *c, struct imp_key *from,
                  const char *fallback)
{
    struct imp_id id = from ? imp_id(m, from->value) : imp_id(m, fallback);
    switch (id.kind) {
    case IMP_ID_EXACT:
        c->id_local = id.text;
        return;
    case IMP_ID_ANY:
        break;
    case IMP_ID_PATTERN:
    case IMP_ID_SUBJECT:
    case IMP_ID_BAD:
        if (from)
            imp_note(m, &c->notes, from->at, "%s = %.200s: cannot be our identity (%s)", from->name,
                     from->value, id.kind == IMP_ID_BAD ? id.text : "a pattern");
        break;
    }
    if (c->psk)
        c->left_out = "our identity is not known: with a pre-shared key it has to be written "
                      "(id_local), and here it follows from an address that is not written either";
    else
        imp_note(
            m, &c->notes, from ? from->at : c->at,
            "our identity is not written, so it is the first alternative name of our certificate, "
            "else its subject; strongSwan and libreswan take the subject: set id_local = "
            "\"dn:...\" when the peer expects that");
}

void imp_remote_id(struct imp_model *m, struct imp_conn *c, struct imp_key *from,
                   const char *fallback)
{
    struct imp_id id = from ? imp_id(m, from->value) : imp_id(m, fallback);
    switch (id.kind) {
    case IMP_ID_EXACT:
        c->id_remote = id.text;
        break;
    case IMP_ID_ANY:
        imp_note(
            m, &c->notes, from ? from->at : c->at,
            "any identity of the peer is accepted that its certificate or key proves; narrow it "
            "with id_remote, or with id in the rule");
        break;
    case IMP_ID_PATTERN:
        imp_add(m->x, &c->rule_id, id.text);
        break;
    case IMP_ID_SUBJECT:
        imp_add(m->x, &c->rule_subject, id.text);
        break;
    case IMP_ID_BAD:
        c->refuse =
            imp_printf(m->x,
                       "the peer's identity %.200s cannot be taken over (%.200s), so this rule "
                       "refuses; set id_remote in the connection and action = accept here",
                       from ? from->value : fallback, id.text);
        break;
    }
}

/* ---- selectors ------------------------------------------------------------------------------------------ */
void imp_selectors(struct imp_model *m, struct imp_child *k, struct imp_list *out,
                   struct imp_key *from, const char *deflt, const char *dynamic)
{
    struct imp_list parts = { 0 };
    struct imp_at at = from ? from->at : k->at;
    imp_split(m->x, &parts, from ? from->value : deflt, from ? ", {}" : ",");
    for (size_t i = 0; i < parts.n; i++) {
        const char *why, *ts = imp_selector(m, parts.v[i], dynamic, &why);
        if (ts && out->n < 32)
            imp_add(m->x, out, ts);
        else
            imp_note(m, &k->notes, at, "%s = %.100s: left out: %s", from ? from->name : "selector",
                     parts.v[i], ts ? "more than 32 selectors" : why);
    }
    if (!out->n)
        k->left_out = imp_printf(m->x, "no selector of %s is left: write the prefix that is meant",
                                 from ? from->name : "one side (default: its own address)");
}

/* ---- inner addresses ------------------------------------------------------------------------------------- */
struct imp_pool *imp_pool_new(struct imp_model *m, struct imp_notes *notes, const char *origin,
                              struct imp_key *addresses, const char *dns)
{
    struct imp_list parts = { 0 }, servers = { 0 };
    SL_AUTO_BUF probe = { 0 };
    SL_AUTO(sl_config) *config = NULL;
    struct imp_pool *p = imp_alloc(m->x, sizeof(*p));
    imp_split(m->x, &parts, addresses->value, ", ");
    imp_split(m->x, &servers, dns, ", ");
    bool fits = sl_buf_put_str(&probe, "pool p { addresses = {");
    for (size_t i = 0; i < parts.n && i < 16; i++) {
        const char *why,
            *range = strchr(parts.v[i], '-') ? parts.v[i] : imp_selector(m, parts.v[i], NULL, &why);
        bool plain = range && !strpbrk(range, "\"\\[\n$");
        if (plain)
            imp_add(m->x, &p->addresses, range);
        fits = fits && plain && sl_buf_printf(&probe, "%s\"%s\"", i ? ", " : " ", range);
    }
    for (size_t i = 0; i < servers.n && p->dns.n < 8; i++)
        if (imp_is_address(servers.v[i]))
            imp_add(m->x, &p->dns, servers.v[i]);
    fits = fits && sl_buf_put_str(&probe, " } }\n") &&
           sl_config_parse(&config, sl_buf_bytes(&probe), "probe", NULL, NULL) == SL_OK;
    if (!fits) {
        imp_note_key(m, notes, addresses,
                     "not addresses of a pool that sealane takes; see pool in "
                     "sealane.conf(5)");
        return NULL;
    }
    p->origin = origin;
    p->name = imp_name(m, IMP_POOL, origin);
    struct imp_pool **end = &m->pools;
    while (*end)
        end = &(*end)->next;
    if (!m->x->oom)
        *end = p;
    return p;
}

void imp_virtual_ip(struct imp_model *m, struct imp_conn *c, struct imp_key *from)
{
    struct imp_list parts = { 0 };
    imp_split(m->x, &parts, from->value, ", ");
    for (size_t i = 0; i < parts.n && c->virtual_ip.n < 2; i++) {
        const char *v = parts.v[i];
        v = strcmp(v, "%config") == 0 || strcmp(v, "%config4") == 0 ? "0.0.0.0"
            : strcmp(v, "%config6") == 0                            ? "::"
                                                                    : v;
        const char *line = imp_printf(m->x, "virtual_ip = { \"%.60s\" }", v);
        if (!strpbrk(v, "\"\\\n$") && imp_takes(line, ""))
            imp_add(m->x, &c->virtual_ip, v);
        else
            imp_note(m, &c->notes, from->at, "%s = %.60s: sealane does not take %.60s", from->name,
                     from->value, v);
    }
}

/* ---- trust ---------------------------------------------------------------------------------------------- */
void imp_anchors(struct imp_model *m, struct imp_conn *c, const struct imp_list *files,
                 const char *folder, const char *crls, const char *revocation, struct imp_at at)
{
    struct imp_list found = { 0 }, lists = { 0 };
    const struct imp_list *anchors = files;
    if (!files->n) {
        imp_paths(m, &found, imp_printf(m->x, "%s/*", folder));
        anchors = &found;
    }
    const char *label = imp_printf(m->x, "%s|%d|", revocation, files->n > 0);
    for (size_t i = 0; i < anchors->n && i < 64; i++)
        label = imp_printf(m->x, "%s%s|", label, anchors->v[i]);
    const char *before = m->trusts ? m->trusts->label : "";
    c->trust = imp_trust_of(m, label, *before ? c->origin : "peers");
    struct imp_trust *t = c->trust;
    if (t->anchors.n)
        return;
    for (size_t i = 0; i < anchors->n && i < 64; i++)
        imp_add(m->x, &t->anchors, anchors->v[i]);
    if (!anchors->n) {
        imp_add(m->x, &t->anchors, imp_printf(m->x, "/etc/sealane/%s.pem", t->name));
        imp_note(
            m, &t->notes, at,
            "no file of the CA is named, and none was found in %s%s; put the certificate of the "
            "CA that issues the peers' certificates into the file below",
            *folder == '/' ? "" : m->x->dir, folder);
    } else if (!files->n) {
        imp_note(m, &t->notes, at, "no CA is named, so every CA in %s%s counts, as before",
                 *folder == '/' ? "" : m->x->dir, folder);
    }
    imp_paths(m, &lists, imp_printf(m->x, "%s/*", crls));
    if (lists.n) {
        const char *text = "{";
        for (size_t i = 0; i < lists.n && i < 64; i++)
            if (!strpbrk(lists.v[i], "\"\\\n$"))
                text = imp_printf(m->x, "%s%s \"%s\"", text, i ? "," : "", lists.v[i]);
        imp_set(m, &t->sets, "crl_file", imp_printf(m->x, "%s }", text));
    }
    imp_set(m, &t->sets, "revocation", revocation);
    if (strcmp(revocation, "hard") != 0)
        imp_note(
            m, &t->notes, at,
            "until now a certificate was accepted when nothing was known about its revocation; "
            "sealane wants a status, at most 24h stale. When the CA publishes neither CRL nor "
            "OCSP, "
            "set revocation = off");
}
