/* swanctl.conf into the model: swanctl.conf(5) of strongSwan 5.9 and 6.0. */
#include "src/import/model.h"

#include <stdio.h>
#include <string.h>

/* Where swanctl looks for private keys. */
static const char *const key_files[] = { "private/*", "rsa/*", "ecdsa/*", "pkcs8/*" };

static const char *in_folder(struct imp_model *m, const char *folder, const char *file)
{
    if (*file == '/')
        return file;
    return imp_printf(m->x, "%s%s/%s", m->x->dir, folder, file);
}

/* The first section whose name begins so and is not among those done. */
static struct imp_section *round_of(struct imp_section *conn, const char *prefix, unsigned n)
{
    for (struct imp_section *s = conn->subs; s; s = s->next)
        if (strncmp(s->name, prefix, strlen(prefix)) == 0 && n-- == 0)
            return s;
    return NULL;
}

/* ---- authentication ------------------------------------------------------------------------------------ */
/* The shared secret that names most of both sides; its place goes into the psk section's comment. */
static void find_psk(struct imp_model *m, struct imp_conn *c, const char *local, const char *remote)
{
    struct imp_section *secrets = imp_section_find(m->x->root, "secrets"), *best = NULL;
    int best_score = -1;
    for (struct imp_section *s = secrets ? secrets->subs : NULL; s; s = s->next) {
        int score = 0;
        bool ids = false;
        if (strncmp(s->name, "ike", 3) != 0)
            continue;
        for (struct imp_key *k = s->keys; k; k = k->next) {
            if (strncmp(k->name, "id", 2) != 0)
                continue;
            ids = true;
            k->used = true;
            score += (*remote && strcmp(k->value, remote) == 0) * 2 +
                     (*local && strcmp(k->value, local) == 0);
        }
        if ((score > 0 || !ids) && score > best_score) {
            best = s;
            best_score = score;
        }
    }
    if (!best) {
        c->psk = imp_psk_of(m, imp_printf(m->x, "conn %s", c->name), c->name);
        imp_note(m, &c->psk->notes, c->at,
                 "no secret was found for this connection; write it as the first line of the file "
                 "below, readable by root alone");
        return;
    }
    struct imp_key *secret = imp_key(best, "secret");
    const char *hex = secret && strncmp(secret->value, "0s", 2) == 0
                          ? "; it is base64 after 0s there: write 0x and the bytes in hex"
                          : "";
    c->psk = imp_psk_of(m, best->name, best->name);
    if (!c->psk->notes.first)
        imp_note(
            m, &c->psk->notes, secret ? secret->at : best->at,
            "the secret is not copied. Create its file with: install -m 600 /dev/null %s; then "
            "put the value of secret in section %.100s into it, without quotes%s",
            c->psk->file, best->name, hex);
}

/* What this side proves itself with: 'c'ertificate, 'p'sk, 0 when sealane has none. */
static char method(struct imp_model *m, struct imp_conn *c, struct imp_section *s, const char *side)
{
    struct imp_key *k = s ? imp_key(s, "auth") : NULL;
    const char *auth = k ? k->value : "pubkey";
    if (strcmp(auth, "psk") == 0)
        return 'p';
    if (strcmp(auth, "pubkey") == 0 || strncmp(auth, "ike:", 4) == 0)
        return 'c';
    if (strncmp(auth, "pubkey-", 7) == 0 || strncmp(auth, "rsa", 3) == 0 ||
        strncmp(auth, "ecdsa", 5) == 0 || strncmp(auth, "ed25519", 7) == 0) {
        imp_note_key(
            m, &c->notes, k,
            "the algorithms of signatures are not chosen for a connection; see signature and "
            "min_rsa_bits of the trust section");
        return 'c';
    }
    c->left_out =
        imp_printf(m->x,
                   "%s authenticates by %.60s, which this importer cannot write; both sides "
                   "need a certificate (pubkey) or a pre-shared key (psk)",
                   side, auth);
    return 0;
}

static void certificates(struct imp_model *m, struct imp_conn *c, struct imp_section *local,
                         struct imp_section *remote, struct imp_at at)
{
    struct imp_list certs = { 0 }, files = { 0 }, anchors = { 0 };
    struct imp_notes notes = { 0 };
    struct imp_key *k = local ? imp_key(local, "certs") : NULL, *ca, *rev, *policy;
    if (k)
        imp_split(m->x, &files, k->value, ",");
    for (size_t i = 0; i < files.n; i++)
        imp_add(m->x, &certs, in_folder(m, "x509", files.v[i]));
    if (!k) {
        imp_paths(m, &certs, "x509/*");
        imp_note(m, &notes, at, "no certificate of ours is named%s",
                 certs.n ? "; this is what was found in x509, put the right one there"
                         : ", and none was found in x509; put it into the file below");
        if (!certs.n)
            imp_add(m->x, &certs, imp_printf(m->x, "/etc/sealane/%s.pem", c->name));
    } else if (certs.n > 1) {
        imp_note(m, &notes, k->at, "several certificates; the first is written");
    }
    const char *cert = certs.n ? certs.v[0] : "/etc/sealane/gateway.pem";
    struct imp_at where = k ? k->at : at;
    const char *key = imp_key_file(m, &notes, cert, key_files, SL_ARRAY_LEN(key_files), where);
    c->identity = imp_identity_of(m, cert, key, imp_text(m->x, imp_stem(cert)));
    if (!c->identity->notes.first)
        c->identity->notes = notes;
    ca = remote ? imp_key(remote, "cacerts") : NULL;
    files = (struct imp_list){ 0 };
    if (ca)
        imp_split(m->x, &files, ca->value, ",");
    for (size_t i = 0; i < files.n; i++)
        imp_add(m->x, &anchors, in_folder(m, "x509ca", files.v[i]));
    rev = remote ? imp_key(remote, "revocation") : NULL;
    policy = remote ? imp_key(remote, "cert_policy") : NULL;
    bool strict = rev && strcmp(rev->value, "strict") == 0;
    imp_anchors(m, c, &anchors, "x509ca", "x509crl", strict ? "hard" : "grace", ca ? ca->at : at);
    if (policy)
        imp_note_key(m, &c->notes, policy,
                     "set policy = { OID } and explicit_policy = yes in the trust section");
}

static void ids(struct imp_model *m, struct imp_conn *c, struct imp_section *local,
                struct imp_section *remote)
{
    struct imp_key *l = local ? imp_key(local, "id") : NULL,
                   *r = remote ? imp_key(remote, "id") : NULL;
    /* With a pre-shared key the identity is the address where nothing else is said. */
    const char *fallback = c->psk && imp_is_address(c->local) ? c->local : "%any";
    imp_local_id(m, c, l, fallback);
    imp_remote_id(m, c, r, "%any");
}

static void authentication(struct imp_model *m, struct imp_conn *c, struct imp_section *conn)
{
    struct imp_section *local = round_of(conn, "local", 0), *remote = round_of(conn, "remote", 0);
    struct imp_section *more = round_of(conn, "local", 1);
    if (!more)
        more = round_of(conn, "remote", 1);
    if (more)
        c->left_out =
            imp_printf(m->x,
                       "it has several rounds of authentication (section %.60s), which this "
                       "importer cannot write",
                       more->name);
    char l = method(m, c, local, "our side"), r = method(m, c, remote, "the peer");
    if (l && r && l != r)
        c->left_out = "one side has a certificate and the other a pre-shared key; sealane has one "
                      "method for both, certificates on both sides are best";
    if (l == 'p' && r == 'p')
        find_psk(m, c, local ? imp_value(local, "id") : "", remote ? imp_value(remote, "id") : "");
    else if (l && r)
        certificates(m, c, local, remote, local ? local->at : conn->at);
    if (l && r && l == r)
        ids(m, c, local, remote);
    if (local && !c->left_out)
        imp_leftover(m, &c->notes, local, false);
    if (remote && !c->left_out)
        imp_leftover(m, &c->notes, remote, false);
}

/* ---- children -------------------------------------------------------------------------------------------- */
static void times(struct imp_model *m, struct imp_set **sets, struct imp_notes *notes,
                  struct imp_section *s, const char *from, const char *to, bool child)
{
    struct imp_key *k = imp_key(s, from);
    int64_t v;
    if (!k)
        return;
    if (imp_seconds(&v, k->value))
        imp_set_time(m, sets, notes, k, to, v, child);
    else
        imp_note_key(m, notes, k, "not a time");
}

static void child_values(struct imp_model *m, struct imp_child *k, struct imp_section *s)
{
    struct imp_key *key;
    struct imp_proposals esp = { 0 };
    if ((key = imp_key(s, "esp_proposals")))
        imp_proposals(m, &esp, &k->notes, key, false, "");
    if (!esp.defaults)
        k->esp = esp.out;
    times(m, &k->sets, &k->notes, s, "rekey_time", "rekey", true);
    if ((key = imp_key(s, "rekey_bytes")))
        imp_set_number(m, k, key, "rekey_bytes");
    if ((key = imp_key(s, "rekey_packets")))
        imp_set_number(m, k, key, "rekey_packets");
    if ((key = imp_key(s, "replay_window")))
        imp_set_number(m, k, key, "replay_window");
}

static void child(struct imp_model *m, struct imp_conn *c, struct imp_section *s)
{
    struct imp_child *k = imp_child_new(m, c, s->name, s->at);
    struct imp_key *key, *local = imp_key(s, "local_ts"), *remote = imp_key(s, "remote_ts");
    const char *mode = imp_value(s, "mode"), *action = imp_value(s, "start_action");
    bool pass = strcmp(mode, "pass") == 0, drop = strcmp(mode, "drop") == 0;
    const char *ours = NULL, *theirs = NULL;
    if (pass || drop) { /* "dynamic" is every address there */
        ours = theirs = "0.0.0.0/0";
    }
    imp_selectors(m, k, &k->local_ts, local, "dynamic", ours);
    imp_selectors(m, k, &k->remote_ts, remote, "dynamic", theirs);
    if (pass || drop) {
        if (!k->left_out)
            imp_shunts(m, k, imp_printf(m->x, "%s-%s", c->origin, s->name),
                       pass ? "bypass" : "drop");
        k->left_out = k->left_out ? k->left_out : "it became the shunt sections below";
    } else if (*mode && strcmp(mode, "tunnel") != 0) {
        k->left_out = imp_printf(
            m->x, "mode = %.40s: sealane has tunnel mode only; set tunnel on both sides", mode);
    }
    child_values(m, k, s);
    k->start = strstr(action, "start") && strcmp(c->remote, "any") != 0;
    if (strstr(action, "start") && !k->start && (key = imp_key(s, "start_action")))
        imp_note_key(m, &k->notes, key,
                     "the connection has remote = any, so there is nobody to call");
    if (strstr(action, "trap") && (key = imp_key(s, "start_action")) && !pass && !drop)
        imp_note_key(m, &k->notes, key,
                     k->start ? "it is brought up at start"
                              : "not brought up by traffic; set start = yes, or use sealane up");
    imp_leftover(m, &k->notes, s, false);
}

/* ---- connections ------------------------------------------------------------------------------------------ */
static bool starts(struct imp_section *conn)
{
    struct imp_section *children = imp_section_find(conn, "children");
    for (struct imp_section *s = children ? children->subs : NULL; s; s = s->next)
        if (strstr(imp_value(s, "start_action"), "start"))
            return true;
    return false;
}

static void ends(struct imp_model *m, struct imp_conn *c, struct imp_section *s)
{
    struct imp_list local = { 0 }, remote = { 0 };
    struct imp_key *key = imp_key(s, "local_addrs"), *port = imp_key(s, "remote_port");
    if (key)
        imp_split(m->x, &local, key->value, ", ");
    if (local.n == 1 && imp_is_address(local.v[0]))
        c->local = local.v[0];
    else if (local.n && *local.v[0] != '%')
        imp_note_key(m, &c->notes, key,
                     "one address of ours can be written, or any, which stands here");
    key = imp_key(s, "remote_addrs");
    if (key)
        imp_split(m->x, &remote, key->value, ", ");
    imp_remotes(m, c, &remote, port ? port->value : "", starts(s), key ? key->at : s->at);
}

static void ike_values(struct imp_model *m, struct imp_conn *c, struct imp_section *s)
{
    static const struct {
        const char *from, *to;
    } bools[] = {
        { "mobike", "mobike" },
        { "encap", "force_encap" },
        { "send_certreq", "send_certreq" },
    };
    struct imp_key *key;
    struct imp_proposals ike = { 0 };
    if ((key = imp_key(s, "proposals")))
        imp_proposals(m, &ike, &c->notes, key, true, "");
    if (!ike.defaults)
        c->ike = ike.out;
    for (size_t i = 0; i < SL_ARRAY_LEN(bools); i++)
        if ((key = imp_key(s, bools[i].from)))
            imp_set_bool(m, c, key, bools[i].to, imp_bool(key->value) == 1);
    if ((key = imp_key(s, "fragmentation"))) {
        bool no = imp_bool(key->value) == 0;
        if (no)
            imp_set_bool(m, c, key, "fragmentation", false);
        else if (strcmp(key->value, "yes") != 0)
            imp_note_key(m, &c->notes, key,
                         "fragments are sent when a message is larger than fragment_size");
    }
    if ((key = imp_key(s, "send_cert"))) {
        imp_set_bool(m, c, key, "send_cert_always", strcmp(key->value, "always") == 0);
        if (strcmp(key->value, "never") == 0)
            imp_note_key(m, &c->notes, key, "our certificate is sent when the peer asks for it");
    }
    times(m, &c->sets, &c->notes, s, "rekey_time", "rekey", false);
    times(m, &c->sets, &c->notes, s, "reauth_time", "reauth", false);
    times(m, &c->sets, &c->notes, s, "dpd_delay", "dpd", false);
}

static void inner_addresses(struct imp_model *m, struct imp_conn *c, struct imp_section *s)
{
    struct imp_key *key = imp_key(s, "pools"), *vips = imp_key(s, "vips");
    struct imp_list names = { 0 };
    if (key)
        imp_split(m->x, &names, key->value, ", ");
    for (size_t i = 0; i < names.n; i++) {
        const char *name = NULL;
        for (const struct imp_pool *p = m->pools; p && !name; p = p->next)
            name = strcmp(p->origin, names.v[i]) == 0 ? p->name : NULL;
        if (name)
            imp_add(m->x, &c->pools, name);
        else
            imp_note(m, &c->notes, key->at, "pools: %.60s is no pool of addresses in this file",
                     names.v[i]);
    }
    if (vips)
        imp_virtual_ip(m, c, vips);
}

static void connection(struct imp_model *m, struct imp_section *s)
{
    struct imp_conn *c = imp_conn_new(m, s->name, s->at);
    struct imp_section *children = imp_section_find(s, "children");
    bool only_shunts = children && children->subs;
    for (struct imp_section *k = children ? children->subs : NULL; k; k = k->next) {
        const char *mode = imp_value(k, "mode");
        only_shunts = only_shunts && (strcmp(mode, "pass") == 0 || strcmp(mode, "drop") == 0);
    }
    ends(m, c, s);
    if (only_shunts)
        c->left_out = "it only holds policies without protection, which became shunt sections";
    else
        authentication(m, c, s);
    ike_values(m, c, s);
    struct imp_key *version = imp_key(s, "version"), *aggressive = imp_key(s, "aggressive");
    if (version && strcmp(version->value, "1") == 0)
        imp_ikev1(m, c, aggressive);
    inner_addresses(m, c, s);
    for (struct imp_section *k = children ? children->subs : NULL; k; k = k->next)
        child(m, c, k);
    if (children)
        imp_leftover(m, &c->notes, children, false);
    if (!c->left_out)
        imp_leftover(m, &c->notes, s, false);
}

/* ---- secrets, authorities, pools ---------------------------------------------------------------------------- */
static void secrets(struct imp_model *m, struct imp_section *all)
{
    for (struct imp_section *s = all->subs; s; s = s->next) {
        if (strncmp(s->name, "ike", 3) == 0) {
            for (struct imp_key *k = s->keys; k; k = k->next)
                k->used = true;
            continue;
        }
        struct imp_key *file = imp_key(s, "file");
        bool key = strncmp(s->name, "private", 7) == 0 || strncmp(s->name, "rsa", 3) == 0 ||
                   strncmp(s->name, "ecdsa", 5) == 0 || strncmp(s->name, "pkcs8", 5) == 0;
        if (key && file)
            imp_note(
                m, &m->notes, s->at,
                "secrets.%.60s: the key file %.100s is encrypted; decrypt a copy for key_file with "
                "openssl pkey -in FILE -out COPY, readable by root alone",
                s->name, file->value);
        else
            imp_note(
                m, &m->notes, s->at,
                "secrets.%.60s: credentials of this kind are not written by this importer, and not "
                "shown",
                s->name);
        for (struct imp_key *k = s->keys; k; k = k->next)
            k->used = true;
    }
}

static void authorities(struct imp_model *m, struct imp_section *all)
{
    for (struct imp_section *s = all->subs; s; s = s->next) {
        const char *ca = imp_value(s, "cacert"), *ocsp = imp_value(s, "ocsp_uris");
        imp_note(m, &m->notes, s->at,
                 "authorities.%.60s: the CA %.100s; name its file as anchor of the trust "
                 "section%s%.200s",
                 s->name, *ca ? in_folder(m, "x509ca", ca) : "(no file)",
                 *ocsp ? " and set there responder to " : "", ocsp);
        imp_leftover(m, &m->notes, s, false);
    }
}

enum sl_rc imp_swanctl_map(struct imp_model *m)
{
    struct imp_section *conns = imp_section_find(m->x->root, "connections"),
                       *all = imp_section_find(m->x->root, "secrets"),
                       *cas = imp_section_find(m->x->root, "authorities"),
                       *pools = imp_section_find(m->x->root, "pools");
    for (struct imp_section *s = pools ? pools->subs : NULL; s; s = s->next) {
        struct imp_key *addresses = imp_key(s, "addrs");
        if (addresses)
            (void)imp_pool_new(m, &m->notes, s->name, addresses, imp_value(s, "dns"));
        imp_leftover(m, &m->notes, s, false);
    }
    for (struct imp_section *s = conns ? conns->subs : NULL; s; s = s->next)
        connection(m, s);
    if (all)
        secrets(m, all);
    if (cas)
        authorities(m, cas);
    imp_leftover(m, &m->notes, m->x->root, true);
    if (!conns)
        imp_note(m, &m->notes, (struct imp_at){ m->x->ask->file, 1 },
                 "there is no section connections; is this a swanctl.conf?");
    return SL_OK;
}
