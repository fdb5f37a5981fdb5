/*
 * ipsec.conf into the model: ipsec.conf(5) of strongSwan (5.x, stroke) and of libreswan (3.x to 5.x).
 * Both name two ends, left and right; ours is left unless the caller says right. Where the two projects
 * differ in a default, the dialect decides.
 */
#include "src/import/model.h"

#include <stdio.h>
#include <string.h>

static const char *const key_files[] = { "ipsec.d/private/*" };

struct conf { /* of one conn */
    struct imp_model *m;
    struct imp_section *s;
    struct imp_conn *c;
    bool libreswan;
    const char *us, *them; /* "left", "right" */
};

static struct imp_key *end_key(const struct conf *f, const char *end, const char *name)
{
    return imp_key(f->s, imp_printf(f->m->x, "%s%s", end, name));
}

static const char *end_value(const struct conf *f, const char *end, const char *name)
{
    const struct imp_key *k = end_key(f, end, name);
    return k ? k->value : "";
}

static bool says(struct imp_section *s, const char *key, const char *value)
{
    return strcasecmp(imp_value(s, key), value) == 0;
}

/* ---- which project? --------------------------------------------------------------------------------------- */
static bool is_libreswan(struct imp_model *m)
{
    static const char *const libre[] = { "ikev2",        "phase2alg",     "leftsubnets",
                                         "rightsubnets", "leftrsasigkey", "rightrsasigkey",
                                         "salifetime",   "narrowing",     "encapsulation",
                                         "protostack",   "phase2",        "leftckaid",
                                         "logfile",      "plutodebug",    "virtual-private" };
    static const char *const strong[] = { "leftauth",     "rightauth",    "charondebug",
                                          "uniqueids",    "margintime",   "closeaction",
                                          "leftfirewall", "installpolicy" };
    int score = 0;
    if (m->x->ask->dialect != SL_IMPORT_GUESS)
        return m->x->ask->dialect == SL_IMPORT_LIBRESWAN;
    for (const struct imp_section *s = m->x->root->subs; s; s = s->next)
        for (const struct imp_key *k = s->keys; k; k = k->next) {
            for (size_t i = 0; i < SL_ARRAY_LEN(libre); i++)
                score += strcmp(k->name, libre[i]) == 0;
            for (size_t i = 0; i < SL_ARRAY_LEN(strong); i++)
                score -= strcmp(k->name, strong[i]) == 0;
            bool algs = strcmp(k->name, "ike") == 0 || strcmp(k->name, "esp") == 0;
            score += algs && strpbrk(k->value, ";+_");
            score -= algs && strchr(k->value, '!');
        }
    return score > 0;
}

/* ---- authentication ------------------------------------------------------------------------------------------ */
/* 'c' certificate, 'p' pre-shared key, 0: neither; the reason is then with the connection. */
static char method(const struct conf *f, const char *end)
{
    static const char *const psk[] = { "psk", "secret" }, *const cert[] = {
        "pubkey",         "rsasig",         "ecdsasig",      "ecdsa",        "rsa",
        "rsa-sha1",       "rsa-sha2",       "rsa-sha2_256",  "rsa-sha2_384", "rsa-sha2_512",
        "ecdsa-sha2_256", "ecdsa-sha2_384", "ecdsa-sha2_512"
    };
    struct imp_key *own = end_key(f, end, "auth"), *by = imp_key(f->s, "authby");
    const char *text = own ? own->value : by ? by->value : "pubkey";
    struct imp_list words = { 0 };
    imp_split(f->m->x, &words, text, ", ");
    for (size_t i = 0; i < words.n; i++) {
        for (size_t k = 0; k < SL_ARRAY_LEN(psk); k++)
            if (strcmp(words.v[i], psk[k]) == 0)
                return 'p';
        for (size_t k = 0; k < SL_ARRAY_LEN(cert); k++)
            if (strcmp(words.v[i], cert[k]) == 0 || strncmp(words.v[i], "pubkey-", 7) == 0)
                return 'c';
    }
    f->c->left_out =
        imp_printf(f->m->x,
                   "%s authenticates by %.60s, which this importer cannot write; both sides "
                   "need a certificate or a pre-shared key",
                   end, text);
    return 0;
}

static void psk(const struct conf *f)
{
    struct imp_conn *c = f->c;
    c->psk = imp_psk_of(f->m, imp_printf(f->m->x, "conn %s", c->name), c->name);
    imp_note(
        f->m, &c->psk->notes, c->at,
        "the secret is not read. Create its file with: install -m 600 /dev/null %s; then put "
        "the value of the entry \"%.100s %.100s : PSK\" of ipsec.secrets into it, without quotes",
        c->psk->file, end_value(f, f->us, *end_value(f, f->us, "id") ? "id" : ""),
        end_value(f, f->them, *end_value(f, f->them, "id") ? "id" : ""));
}

/* The certificate's file; libreswan names certificates of its NSS database. */
static const char *certificate(const struct conf *f, struct imp_key *k, struct imp_notes *notes,
                               struct imp_list *found)
{
    struct imp *x = f->m->x;
    if (k && *k->value == '/')
        return k->value;
    if (k && (f->libreswan || *k->value == '%')) {
        const char *name = imp_name(&(struct imp_model){ .x = x }, IMP_CONN, k->value);
        const char *path = imp_printf(x, "/etc/sealane/%s.pem", name);
        imp_note(
            f->m, notes, k->at,
            "%s = %.100s: a certificate of the NSS database. Export it: pk12util -d sql:/var/lib/"
            "ipsec/nss -n NAME -o FILE.p12; openssl pkcs12 -in FILE.p12 -nokeys -out %s; the same "
            "with -nocerts -nodes -out /etc/sealane/%s.key for the key",
            k->name, k->value, path, name);
        return path;
    }
    if (k)
        return imp_printf(x, "%sipsec.d/certs/%s", x->dir, k->value);
    imp_paths(f->m, found, "ipsec.d/certs/*");
    imp_note(f->m, notes, f->s->at, "no certificate of ours is named%s",
             found->n ? "; this is what was found in ipsec.d/certs, put the right one there"
                      : "; put it into the file below");
    return found->n ? found->v[0] : imp_printf(x, "/etc/sealane/%s.pem", f->c->name);
}

static void certificates(const struct conf *f)
{
    struct imp_model *m = f->m;
    struct imp_list found = { 0 }, none = { 0 };
    struct imp_notes notes = { 0 };
    struct imp_key *k = end_key(f, f->us, "cert"), *ca = end_key(f, f->them, "ca"),
                   *raw = end_key(f, f->them, "rsasigkey");
    struct imp_section *setup = imp_section_find(m->x->root, "config setup");
    if (!raw)
        raw = end_key(f, f->them, "sigkey");
    if (raw && *raw->value != '%' && !k) {
        imp_note_key(m, &f->c->notes, raw, imp_gap("rightsigkey"));
        f->c->left_out =
            "it authenticates by raw public keys (RFC 7670), which are not there; give both "
            "sides certificates, as `sealane enroll` gets them";
        return;
    }
    const char *cert = certificate(f, k, &notes, &found);
    const char *key = f->libreswan && strncmp(cert, "/etc/sealane/", 13) == 0
                          ? imp_printf(m->x, "%.*skey", (int)(strlen(cert) - 3), cert)
                          : imp_key_file(m, &notes, cert, key_files, 1, k ? k->at : f->s->at);
    f->c->identity = imp_identity_of(m, cert, key, imp_text(m->x, imp_stem(cert)));
    if (!f->c->identity->notes.first)
        f->c->identity->notes = notes;
    bool strict = setup && (says(setup, "strictcrlpolicy", "yes") ||
                            says(setup, "crl-strict", "yes") || says(setup, "ocsp-strict", "yes"));
    imp_anchors(m, f->c, &none, "ipsec.d/cacerts", "ipsec.d/crls", strict ? "hard" : "grace",
                f->s->at);
    if (ca)
        imp_note_key(
            m, &f->c->notes, ca,
            "a CA is named by its file: leave only its file as anchor of the trust section");
}

static void authentication(const struct conf *f)
{
    struct imp_conn *c = f->c;
    struct imp_key *second = end_key(f, "left", "auth2");
    if (!second)
        second = end_key(f, "right", "auth2");
    char us = method(f, f->us), them = method(f, f->them);
    if (second)
        c->left_out =
            imp_printf(f->m->x,
                       "it has a second round of authentication (%s), which this importer "
                       "cannot write",
                       second->name);
    if (us && them && us != them)
        c->left_out =
            "one side has a certificate and the other a pre-shared key; sealane has one method "
            "for both, certificates on both sides are best";
    if (!us || !them || us != them)
        return;
    if (us == 'p')
        psk(f);
    else
        certificates(f);
    struct imp_key *ours = end_key(f, f->us, "id"), *theirs = end_key(f, f->them, "id");
    bool from_cert = theirs && strcmp(theirs->value, "%fromcert") == 0;
    if (from_cert)
        imp_note_key(f->m, &c->notes, theirs,
                     "the identity is what the peer's certificate proves; none is demanded");
    if (ours && strcmp(ours->value, "%fromcert") == 0)
        ours = NULL;
    imp_local_id(f->m, c, ours, us == 'p' && imp_is_address(c->local) ? c->local : "%any");
    imp_remote_id(f->m, c, from_cert ? NULL : theirs,
                  !from_cert && imp_is_address(c->remote) ? c->remote : "%any");
}

/* ---- selectors ------------------------------------------------------------------------------------------------- */
/* Selectors of one end with its protoport; key NULL: its own address. */
static void selectors(const struct conf *f, struct imp_child *k, struct imp_list *out,
                      const char *end, const char *subnets, const char *address,
                      struct imp_key *from)
{
    struct imp *x = f->m->x;
    struct imp_key *pp = end_key(f, end, "protoport");
    struct imp_list parts = { 0 };
    imp_split(x, &parts, subnets, f->libreswan && from ? ", " : ",");
    const char *joined = "";
    for (size_t i = 0; i < parts.n && i < 64; i++)
        joined = imp_printf(x, "%s%s%s%s%s%s", joined, i ? "," : "", parts.v[i],
                            pp && !strchr(parts.v[i], '[') ? "[" : "",
                            pp && !strchr(parts.v[i], '[') ? pp->value : "",
                            pp && !strchr(parts.v[i], '[') ? "]" : "");
    struct imp_key shown = from ? *from : (struct imp_key){ .name = "subnet", .at = k->at };
    shown.value = joined;
    if (!from)
        shown.name = imp_printf(x, "%ssubnet (not given: its own address)", end);
    imp_selectors(f->m, k, out, &shown, "", address);
}

static void child_values(const struct conf *f, struct imp_child *k, const char *pfs_group)
{
    struct imp_model *m = f->m;
    struct imp_section *s = f->s;
    static const char *const lives[] = { "salifetime", "lifetime", "keylife" }, *const algs[] = {
        "esp", "phase2alg"
    };
    struct imp_key *key;
    int64_t life, margin = 540;
    struct imp_proposals esp = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(algs); i++)
        if ((key = imp_key(s, algs[i])))
            imp_proposals(m, &esp, &k->notes, key, false, pfs_group);
    k->esp = esp.out;
    if ((key = imp_key(s, "margintime")) || (key = imp_key(s, "rekeymargin")))
        if (!imp_seconds(&margin, key->value))
            margin = 540;
    for (size_t i = 0; i < SL_ARRAY_LEN(lives); i++)
        if ((key = imp_key(s, lives[i])) && imp_seconds(&life, key->value))
            imp_set_time(m, &k->sets, &k->notes, key, "rekey",
                         life > 2 * margin ? life - margin : life, true);
        else if (key)
            imp_note_key(m, &k->notes, key, "not a time");
    if ((key = imp_key(s, "replay_window")) || (key = imp_key(s, "replay-window")))
        imp_set_number(m, k, key, "replay_window");
    if ((key = imp_key(s, "esn")) && strcmp(key->value, "no") == 0)
        imp_set(m, &k->sets, "esn", "no");
}

static void child(const struct conf *f, const char *name, const char *ours, const char *theirs,
                  const char *pfs_group)
{
    struct imp_model *m = f->m;
    struct imp_conn *c = f->c;
    struct imp_child *k = imp_child_new(m, c, name, f->s->at);
    const char *type = imp_value(f->s, "type"), *action = imp_value(f->s, "auto");
    bool pass = strcmp(type, "passthrough") == 0 || strcmp(type, "pass") == 0,
         drop = strcmp(type, "drop") == 0 || strcmp(type, "reject") == 0;
    struct imp_key *our_key = end_key(f, f->us, "subnet"),
                   *their_key = end_key(f, f->them, "subnet");
    if (!our_key)
        our_key = end_key(f, f->us, "subnets");
    if (!their_key)
        their_key = end_key(f, f->them, "subnets");
    selectors(f, k, &k->local_ts, f->us, ours, pass || drop ? "0.0.0.0/0" : NULL, our_key);
    selectors(f, k, &k->remote_ts, f->them, theirs, pass || drop ? "0.0.0.0/0" : NULL, their_key);
    if (pass || drop) {
        if (!k->left_out)
            imp_shunts(m, k, name, pass ? "bypass" : "drop");
        k->left_out = k->left_out ? k->left_out : "it became the shunt sections below";
    } else if (*type && strcmp(type, "tunnel") != 0) {
        k->left_out = imp_printf(
            m->x, "type = %.40s: sealane has tunnel mode only; set tunnel on both sides", type);
    }
    child_values(f, k, pfs_group);
    bool start = strcmp(action, "start") == 0 || strcmp(action, "up") == 0;
    k->start = start && strcmp(c->remote, "any") != 0;
    struct imp_key *key = imp_key(f->s, "auto");
    if (key && start && !k->start)
        imp_note_key(m, &k->notes, key,
                     "the connection has remote = any, so there is nobody to call");
    if (key && (strcmp(action, "route") == 0 || strcmp(action, "ondemand") == 0) && !pass && !drop)
        imp_note_key(m, &k->notes, key,
                     "not brought up by traffic; set start = yes, or use sealane up");
}

/* leftsubnets and rightsubnets make a child of each pair (libreswan); else there is one child. */
static void children(const struct conf *f, const char *pfs_group)
{
    struct imp *x = f->m->x;
    struct imp_list ours = { 0 }, theirs = { 0 };
    const char *us = end_value(f, f->us, "subnets"), *them = end_value(f, f->them, "subnets");
    bool many = *us || *them;
    if (*us)
        imp_split(x, &ours, us, "{}, \t");
    if (*them)
        imp_split(x, &theirs, them, "{}, \t");
    const char *one = end_value(f, f->us, "subnet"), *other = end_value(f, f->them, "subnet");
    if (!ours.n)
        imp_add(x, &ours, *one ? one : "dynamic");
    if (!theirs.n)
        imp_add(x, &theirs, *other ? other : "dynamic");
    for (size_t i = 0; i < ours.n && i < 32; i++)
        for (size_t k = 0; k < theirs.n && k < 32; k++)
            child(f, many ? imp_printf(x, "%s-%zux%zu", f->c->origin, i + 1, k + 1) : f->c->origin,
                  ours.v[i], theirs.v[k], pfs_group);
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */
static void ends(const struct conf *f)
{
    struct imp_model *m = f->m;
    struct imp_conn *c = f->c;
    struct imp_list list = { 0 };
    struct imp_key *us = end_key(f, f->us, ""), *them = end_key(f, f->them, "");
    const char *port = end_value(f, f->them, "ikeport"), *action = imp_value(f->s, "auto");
    if (us && imp_is_address(us->value))
        c->local = us->value;
    else if (us && *us->value != '%')
        imp_note_key(m, &c->notes, us,
                     "one address of ours can be written, or any, which stands here");
    if (them)
        imp_split(m->x, &list, them->value, ", ");
    if (them && (strncmp(them->value, "%group", 6) == 0 || strncmp(them->value, "%opp", 4) == 0))
        c->left_out = "opportunistic encryption is not there";
    imp_remotes(m, c, &list, port, strcmp(action, "start") == 0 || strcmp(action, "up") == 0,
                them ? them->at : f->s->at);
}

static void ike_times(const struct conf *f)
{
    struct imp_model *m = f->m;
    struct imp_conn *c = f->c;
    struct imp_section *s = f->s;
    int64_t v, margin = 540;
    struct imp_key *key;
    if ((key = imp_key(s, "margintime")) || (key = imp_key(s, "rekeymargin")))
        if (!imp_seconds(&margin, key->value))
            margin = 540;
    if ((key = imp_key(s, "ikelifetime"))) {
        if (!imp_seconds(&v, key->value)) {
            imp_note_key(m, &c->notes, key, "not a time");
        } else {
            v = v > 2 * margin ? v - margin : v;
            imp_set_time(m, &c->sets, &c->notes, key, says(s, "reauth", "yes") ? "reauth" : "rekey",
                         v, false);
        }
    } else if ((key = imp_key(s, "reauth")) && imp_bool(key->value) == 1) {
        imp_note_key(m, &c->notes, key, "set reauth to the time after which to authenticate anew");
    }
    if ((key = imp_key(s, "rekey")) && imp_bool(key->value) == 0)
        imp_note_key(m, &c->notes, key, "keys are always renewed, by whichever side is due first");
    key = imp_key(s, "dpddelay");
    if (key && imp_seconds(&v, key->value) && !says(s, "dpdaction", "none"))
        imp_set_time(m, &c->sets, &c->notes, key, "dpd", v, false);
    else if (key)
        imp_set(m, &c->sets, "dpd", "0");
}

static void ike_values(const struct conf *f)
{
    static const struct {
        const char *from, *to;
    } bools[] = { { "mobike", "mobike" },
                  { "forceencaps", "force_encap" },
                  { "encapsulation", "force_encap" } };
    struct imp_model *m = f->m;
    struct imp_conn *c = f->c;
    struct imp_section *s = f->s;
    struct imp_key *key;
    struct imp_proposals ike = { 0 };
    if ((key = imp_key(s, "ike")))
        imp_proposals(m, &ike, &c->notes, key, true, "");
    c->ike = ike.out;
    for (size_t i = 0; i < SL_ARRAY_LEN(bools); i++)
        if ((key = imp_key(s, bools[i].from)) && imp_bool(key->value) >= 0)
            imp_set_bool(m, c, key, bools[i].to, imp_bool(key->value) == 1);
    if ((key = imp_key(s, "fragmentation")) && imp_bool(key->value) == 0)
        imp_set_bool(m, c, key, "fragmentation", false);
    if ((key = end_key(f, f->us, "sendcert")))
        imp_set_bool(m, c, key, "send_cert_always",
                     strcmp(key->value, "always") == 0 || strcmp(key->value, "yes") == 0);
    ike_times(f);
}

static void version(const struct conf *f)
{
    const char *v2 = imp_value(f->s, "ikev2"), *exchange = imp_value(f->s, "keyexchange");
    struct imp_key *aggressive = imp_key(f->s, "aggressive");
    if (!aggressive)
        aggressive = imp_key(f->s, "aggrmode");
    if (strcmp(exchange, "ikev1") == 0 || imp_bool(v2) == 0)
        imp_ikev1(f->m, f->c, aggressive);
}

static void inner_addresses(const struct conf *f)
{
    struct imp_key *source = end_key(f, f->them, "sourceip"), *ours = end_key(f, f->us, "sourceip"),
                   *dns = end_key(f, f->them, "dns");
    if (!source)
        source = end_key(f, f->them, "addresspool");
    if (!dns)
        dns = imp_key(f->s, "modecfgdns");
    struct imp_pool *p = NULL;
    if (source && *source->value == '%')
        imp_note_key(f->m, &f->c->notes, source,
                     "addresses from elsewhere; see pool in sealane.conf(5)");
    else if (source)
        p = imp_pool_new(f->m, &f->c->notes, f->c->origin, source, dns ? dns->value : "");
    if (p)
        imp_add(f->m->x, &f->c->pools, p->name);
    if (ours && *ours->value == '%')
        imp_virtual_ip(f->m, f->c, ours);
    else if (ours)
        imp_note_key(f->m, &f->c->notes, ours, imp_gap("leftsourceip"));
}

/* The group of rekeying: libreswan uses forward secrecy unless pfs = no, by default in the IKE group. */
static const char *pfs_group(const struct conf *f)
{
    struct imp_key *pfs = imp_key(f->s, "pfs"), *group = imp_key(f->s, "pfsgroup");
    const char *first = f->c->ike.n ? strrchr(f->c->ike.v[0], '-') : NULL;
    if (group)
        return group->value;
    bool wanted = pfs ? imp_bool(pfs->value) == 1 : f->libreswan;
    return wanted && first && !strchr(f->c->ike.v[0], '_') ? first + 1 : "";
}

static void conn(struct imp_model *m, struct imp_section *s, bool libreswan)
{
    bool right = m->x->ask->local_right;
    const char *action = imp_value(s, "auto"), *type = imp_value(s, "type"), *name = s->name + 5;
    struct conf f = { .m = m, .s = s, .libreswan = libreswan };
    f.us = right ? "right" : "left";
    f.them = right ? "left" : "right";
    if (*name == '%')
        return;
    if (!*action || strcmp(action, "ignore") == 0) {
        imp_note(m, &m->notes, s->at,
                 "conn %.100s is not written: its auto is not set, or ignore, so it was not loaded",
                 name);
        for (struct imp_key *k = s->keys; k; k = k->next)
            k->used = true;
        return;
    }
    f.c = imp_conn_new(m, name, s->at);
    ends(&f);
    ike_values(&f);
    bool shunt = strcmp(type, "passthrough") == 0 || strcmp(type, "pass") == 0 ||
                 strcmp(type, "drop") == 0 || strcmp(type, "reject") == 0;
    if (shunt)
        f.c->left_out = "it is a policy without protection, which became shunt sections";
    else
        authentication(&f);
    if (!shunt) {
        version(&f);
        inner_addresses(&f);
    }
    children(&f, pfs_group(&f));
    if (!f.c->left_out)
        imp_leftover(m, &f.c->notes, s, false);
}

enum sl_rc imp_ipsec_map(struct imp_model *m)
{
    bool libreswan = is_libreswan(m);
    imp_note(m, &m->notes, (struct imp_at){ m->x->ask->file, 1 },
             "read as a file of %s, our side is %s%s", libreswan ? "libreswan" : "strongSwan",
             m->x->ask->local_right ? "right" : "left",
             m->x->ask->dialect == SL_IMPORT_GUESS ? " (--dialect and --local say otherwise)" : "");
    for (struct imp_section *s = m->x->root->subs; s; s = s->next)
        if (strncmp(s->name, "conn ", 5) == 0)
            conn(m, s, libreswan);
    for (struct imp_section *s = m->x->root->subs; s; s = s->next) {
        (void)imp_value(s, "auto");
        if (strncmp(s->name, "ca ", 3) == 0 && s->name[3] != '%')
            imp_note(m, &m->notes, s->at,
                     "%.100s: name its file %.200s as anchor of the trust section", s->name,
                     imp_value(s, "cacert"));
        if (strncmp(s->name, "conn ", 5) != 0)
            imp_leftover(m, &m->notes, s, false);
    }
    return SL_OK;
}
