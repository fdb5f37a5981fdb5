/*
 * The keyring process from inside: what each link may do, keys on the disk, pre-shared keys. The
 * role's file is included whole.
 * CTEST: threads
 */
#include "support/support.h"

#include "src/cmd/sealaned/role_keyring.c" /* NOLINT(bugprone-suspicious-include) */

#include <event2/thread.h>

static struct keyring ring;
static struct proc_role role;
static struct sl_config config;
static struct sl_conf_identity identity;
static struct answer {
    unsigned n;
    enum sl_rc rc;
    char text[SL_ERR_TEXT_MAX];
    struct sl_buf bytes;
} last;

/* An "identity" whose link ends here, asking on behalf of whom the case wants. */
static struct chan *asker, *server;
static enum proc_role_id who;

static void serve(void *ctx, struct chan *c, struct chan_msg *m)
{
    (void)c;
    ring.p->link[who] = server;
    on_request(ctx, who, m);
}

static void on_reply(void *ctx, enum sl_rc rc, struct chan_msg *m)
{
    struct msg_key_reply r;
    (void)ctx;
    last.n++;
    last.rc = rc;
    if (!m)
        return;
    ck_assert_uint_eq(m->type, MSG_KEY_REPLY);
    ck_assert(msg_read(MSG_KEY_REPLY, &r, m->body));
    last.rc = r.rc;
    memcpy(last.text, r.text, sizeof(last.text));
    sl_buf_clear(&last.bytes);
    ck_assert(sl_buf_put(&last.bytes, r.bytes));
}

static enum sl_rc ask(enum proc_role_id from, enum msg_type type, const void *m)
{
    struct sl_err err = { 0 };
    unsigned before = last.n;
    who = from;
    ck_ok(msg_ask(asker, type, m, 20000, on_reply, NULL, NULL, &err), &err);
    while (last.n == before)
        event_base_loop(role.base, EVLOOP_ONCE);
    return last.rc;
}

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", sl_test_tmpdir(), name);
    return path;
}

/* Cases may share a process, and then the folder. */
static void empty_folder(void)
{
    DIR *d = opendir(sl_test_tmpdir());
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_type == DT_REG)
            ck_assert_int_eq(unlink(in_folder(e->d_name)), 0);
    closedir(d);
}

static void set_up(void)
{
    struct sl_err err = { 0 };
    int fd[2];
    static char name[] = "gw-a";
    empty_folder();
    evthread_use_pthreads();
    identity.name = name;
    config.identity = &identity;
    config.identity_n = 1;
    role = (struct proc_role){ .base = event_base_new(), .config = &config };
    ring = (struct keyring){ .p = &role, .folder = sl_test_tmpdir() };
    ck_ok(sl_keyset_new(&ring.keys, &err), &err);
    ring.ops = sl_keyset_ops(ring.keys);
    ck_ok(chan_pair(fd, &err), &err);
    ck_ok(chan_new(&asker, role.base, fd[0], "keyring", &err), &err);
    ck_ok(chan_new(&server, role.base, fd[1], "asker", &err), &err);
    chan_handle(asker, &(struct chan_handler){ .message = serve });
    chan_handle(server, &(struct chan_handler){ .message = serve, .ctx = &ring });
}

static void tear_down(void)
{
    chan_free(asker);
    chan_free(server);
    sl_keyset_free(ring.keys);
    sl_buf_clear(&last.bytes);
    event_base_free(role.base);
}

static enum sl_rc make(enum proc_role_id from, const char *name, const char *alg)
{
    struct msg_key_generate m = { 0 };
    (void)snprintf(m.name, sizeof(m.name), "%s", name);
    (void)snprintf(m.alg, sizeof(m.alg), "%s", alg);
    return ask(from, MSG_KEY_GENERATE, &m);
}

static enum sl_rc named(enum proc_role_id from, enum msg_type type, const char *name)
{
    struct msg_key_name m = { 0 };
    (void)snprintf(m.name, sizeof(m.name), "%s", name);
    return ask(from, type, &m);
}

static enum sl_rc sign_with(enum proc_role_id from, const char *name, enum sl_sig sig)
{
    struct msg_key_sign m = { .sig = sig, .data = sl_str("32 octets, of the size of a hash") };
    (void)snprintf(m.name, sizeof(m.name), "%s", name);
    return ask(from, MSG_KEY_SIGN, &m);
}

static enum sl_rc rename_to(enum proc_role_id from, const char *a, const char *b)
{
    struct msg_key_rename m = { 0 };
    (void)snprintf(m.from, sizeof(m.from), "%s", a);
    (void)snprintf(m.to, sizeof(m.to), "%s", b);
    return ask(from, MSG_KEY_RENAME, &m);
}

START_TEST(each_link_does_what_it_may_and_no_more)
{
    set_up();
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "ecdsa:p256"), SL_OK);
    ck_assert_int_eq(make(PROC_IDENTITY, "other", "ed25519"), SL_OK);
    ck_assert_int_eq(make(PROC_AUTHORITY, "ca-root", "ecdsa:p384"), SL_OK);

    ck_assert_int_eq(sign_with(PROC_IKE, "gw-a", SL_SIG_ECDSA_SHA256), SL_OK);
    ck_assert_int_eq(sign_with(PROC_IKE, "other", SL_SIG_ED25519), SL_KEY_USE);
    ck_assert_int_eq(sign_with(PROC_IKE, "ca-root", SL_SIG_ECDSA_SHA384), SL_KEY_USE);
    ck_assert_int_eq(sign_with(PROC_IKE, "gw-a", SL_SIG_RSA_PKCS1_SHA1), SL_KEY_USE);
    ck_assert_int_eq(sign_with(PROC_IKE, "gw-a", SL_SIG_ECDSA_RAW), SL_OK);
    ck_assert_int_eq(sign_with(PROC_IDENTITY, "gw-a", SL_SIG_ECDSA_RAW), SL_KEY_USE);
    ck_assert_int_eq(sign_with(PROC_IKE, "gw-a", SL_SIG_RSA_PKCS1_RAW), SL_KEY_USE);
    ck_assert_int_eq(make(PROC_IKE, "gw-a.new", "ed25519"), SL_KEY_USE);
    ck_assert_int_eq(named(PROC_IKE, MSG_KEY_REMOVE, "gw-a"), SL_KEY_USE);
    ck_assert_int_eq(rename_to(PROC_IKE, "gw-a", "gw-a.x"), SL_KEY_USE);

    ck_assert_int_eq(sign_with(PROC_IDENTITY, "other", SL_SIG_ED25519), SL_OK);
    ck_assert_int_eq(sign_with(PROC_IDENTITY, "ca-root", SL_SIG_ECDSA_SHA384), SL_KEY_USE);
    ck_assert_int_eq(make(PROC_IDENTITY, "ca-other", "ed25519"), SL_KEY_USE);
    ck_assert_int_eq(rename_to(PROC_IDENTITY, "gw-a", "ca-gw"), SL_KEY_USE);
    ck_assert_int_eq(rename_to(PROC_IDENTITY, "ca-root", "gw-b"), SL_KEY_USE);
    ck_assert_int_eq(named(PROC_IDENTITY, MSG_KEY_REMOVE, "ca-root"), SL_KEY_USE);

    ck_assert_int_eq(sign_with(PROC_AUTHORITY, "ca-root", SL_SIG_ECDSA_SHA384), SL_OK);
    ck_assert_int_eq(sign_with(PROC_AUTHORITY, "gw-a", SL_SIG_ECDSA_SHA256), SL_KEY_USE);
    struct msg_key_psk_auth psk = { .name = "site", .prf = SL_PRF_HMAC_SHA2_256 };
    ck_assert_int_eq(ask(PROC_AUTHORITY, MSG_KEY_PSK_AUTH, &psk), SL_KEY_USE);

    static const enum proc_role_id strangers[] = { PROC_ESP, PROC_FETCH, PROC_CONTROL };
    for (size_t i = 0; i < SL_ARRAY_LEN(strangers); i++) {
        ck_assert_int_eq(sign_with(strangers[i], "gw-a", SL_SIG_ECDSA_SHA256), SL_KEY_USE);
        ck_assert_int_eq(ask(strangers[i], MSG_KEY_PSK_AUTH, &psk), SL_KEY_USE);
    }
    tear_down();
}
END_TEST

START_TEST(skeyid_is_for_ike_and_hashes_for_identity_where_a_connection_speaks_ikev1)
{
    static char site[] = "site", other[] = "other";
    struct sl_conf_connection conn[] = { { .psk = site, .auth = SL_METHOD_PSK, .ikev1 = true },
                                         { .psk = other, .auth = SL_METHOD_PSK } };
    struct sl_err err = { 0 };
    set_up();
    config.connection = conn;
    config.connection_n = 2;
    ck_ok(sl_keyset_psk_set(ring.keys, "site", sl_str("one"), &err), &err);
    ck_ok(sl_keyset_psk_set(ring.keys, "other", sl_str("two"), &err), &err);
    struct msg_key_psk_v1 skeyid = { .name = "site",
                                     .prf = SL_PRF_HMAC_SHA2_256,
                                     .nonces = sl_str("nonces of both sides") };
    struct msg_key_psk_v1 hash = skeyid;
    hash.octets = sl_str("octets");
    ck_assert_int_eq(ask(PROC_IKE, MSG_KEY_PSK_V1, &skeyid), SL_OK);
    ck_assert_int_eq(ask(PROC_IDENTITY, MSG_KEY_PSK_V1, &hash), SL_OK);
    ck_assert_int_eq(ask(PROC_IKE, MSG_KEY_PSK_V1, &hash), SL_KEY_USE);
    ck_assert_int_eq(ask(PROC_IDENTITY, MSG_KEY_PSK_V1, &skeyid), SL_KEY_USE);
    ck_assert_int_eq(ask(PROC_AUTHORITY, MSG_KEY_PSK_V1, &hash), SL_KEY_USE);
    ck_assert_int_eq(ask(PROC_ESP, MSG_KEY_PSK_V1, &skeyid), SL_KEY_USE);
    skeyid.nonces = sl_str(SL_PSK_PAD);
    ck_assert_int_eq(ask(PROC_IKE, MSG_KEY_PSK_V1, &skeyid), SL_KEY_USE);
    skeyid = hash;
    skeyid.octets = sl_bytes(NULL, 0);
    memcpy(skeyid.name, "other", sizeof("other")); /* of a connection of IKEv2 */
    ck_assert_int_eq(ask(PROC_IKE, MSG_KEY_PSK_V1, &skeyid), SL_KEY_USE);
    config.connection = NULL;
    config.connection_n = 0;
    tear_down();
}
END_TEST

static unsigned listed(enum proc_role_id from)
{
    struct msg_none none = { 0 };
    struct msg_key_item item;
    unsigned n = 0;
    ck_assert_int_eq(ask(from, MSG_KEY_LIST, &none), SL_OK);
    struct sl_rd r = sl_rd(sl_buf_bytes(&last.bytes));
    while (sl_rd_left(&r) && msg_key_item_read(&item, &r))
        n++;
    ck_assert(sl_rd_done(&r));
    return n;
}

START_TEST(list_shows_each_link_its_own_keys)
{
    set_up();
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "ed25519"), SL_OK);
    ck_assert_int_eq(make(PROC_IDENTITY, "other", "ed25519"), SL_OK);
    ck_assert_int_eq(make(PROC_AUTHORITY, "ca-root", "ed25519"), SL_OK);
    ck_assert_uint_eq(listed(PROC_IKE), 1);
    ck_assert_uint_eq(listed(PROC_IDENTITY), 2);
    ck_assert_uint_eq(listed(PROC_AUTHORITY), 1);
    tear_down();
}
END_TEST

START_TEST(signature_verifies_with_the_public_key)
{
    set_up();
    struct sl_err err = { 0 };
    SL_AUTO_BUF signature = { 0 };
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "rsa:2048"), SL_OK);
    ck_assert_int_eq(sign_with(PROC_IKE, "gw-a", SL_SIG_RSA_PSS_SHA256), SL_OK);
    ck_assert(sl_buf_put(&signature, sl_buf_bytes(&last.bytes)));
    ck_assert_int_eq(named(PROC_IKE, MSG_KEY_SPKI, "gw-a"), SL_OK);
    ck_ok(sl_sig_verify(SL_SIG_RSA_PSS_SHA256, sl_buf_bytes(&last.bytes),
                        sl_str("32 octets, of the size of a hash"), sl_buf_bytes(&signature), &err),
          &err);
    tear_down();
}
END_TEST

/* A second keyring over the same folder: what the first made durable. */
static void restart(void)
{
    struct sl_err err = { 0 };
    sl_keyset_free(ring.keys);
    ck_ok(sl_keyset_new(&ring.keys, &err), &err);
    ring.ops = sl_keyset_ops(ring.keys);
    load_folder(&ring);
}

START_TEST(keys_survive_a_restart)
{
    set_up();
    SL_AUTO_BUF before = { 0 };
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a.new", "ecdsa:p256"), SL_OK);
    ck_assert(sl_buf_put(&before, sl_buf_bytes(&last.bytes)));
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "ecdsa:p256"), SL_OK);
    ck_assert_int_eq(rename_to(PROC_IDENTITY, "gw-a.new", "gw-a"), SL_OK);
    /* what a write that was cut off leaves behind is removed, and never read */
    int fd = open(in_folder(".tmp-gw-a"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "half", 4), 4);
    close(fd);
    restart();
    ck_assert_int_ne(access(in_folder(".tmp-gw-a"), F_OK), 0);
    ck_assert_uint_eq(sl_keyset_count(ring.keys), 1);
    ck_assert_int_eq(named(PROC_IDENTITY, MSG_KEY_SPKI, "gw-a"), SL_OK);
    ck_bytes_eq(sl_buf_bytes(&last.bytes), sl_buf_bytes(&before));
    ck_assert_int_eq(named(PROC_IDENTITY, MSG_KEY_SPKI, "gw-a.new"), SL_KEY_NOT_FOUND);

    ck_assert_int_eq(named(PROC_IDENTITY, MSG_KEY_REMOVE, "gw-a"), SL_OK);
    restart();
    ck_assert_uint_eq(sl_keyset_count(ring.keys), 0);
    tear_down();
}
END_TEST

START_TEST(key_that_exists_is_not_made_again)
{
    set_up();
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "ed25519"), SL_OK);
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "ed25519"), SL_EXISTS);
    ck_assert_int_ne(make(PROC_IDENTITY, "gw-b", "des"), SL_OK);
    ck_assert_int_ne(access(in_folder("gw-b.pem"), F_OK), 0);
    tear_down();
}
END_TEST

START_TEST(names_that_could_leave_the_folder_are_refused)
{
    set_up();
    static const char *const bad[] = { "", "../gw", "a/b", ".hidden", "A", "a b" };
    ck_assert_int_eq(make(PROC_IDENTITY, "gw-a", "ed25519"), SL_OK);
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        ck_assert_msg(make(PROC_IDENTITY, bad[i], "ed25519") != SL_OK, "make \"%s\"", bad[i]);
        ck_assert_msg(rename_to(PROC_IDENTITY, "gw-a", bad[i]) != SL_OK, "rename \"%s\"", bad[i]);
        ck_assert_msg(named(PROC_IDENTITY, MSG_KEY_REMOVE, bad[i]) != SL_OK, "remove \"%s\"",
                      bad[i]);
    }
    ck_assert_int_eq(named(PROC_IDENTITY, MSG_KEY_SPKI, "gw-a"), SL_OK);
    tear_down();
}
END_TEST

START_TEST(psk_is_the_first_line_or_hex)
{
    set_up();
    static const struct {
        const char *file, *key; /* NULL: refused */
    } cases[] = { { "secret\nmore", "secret" },
                  { "secret", "secret" },
                  { "secret\r\n", "secret" },
                  { "0x736563726574\n", "secret" },
                  { " spaces kept ", " spaces kept " },
                  { "\n", NULL },
                  { "", NULL },
                  { "0xzz\n", NULL } };
    struct sl_err err = { 0 };
    uint8_t want[SL_PRF_MAX];
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char name[] = "psk0";
        name[3] = (char)('0' + i);
        enum sl_rc rc = import_psk(&ring, name, sl_str(cases[i].file), &err);
        if (!cases[i].key) {
            ck_assert_msg(rc != SL_OK, "\"%s\"", cases[i].file);
            continue;
        }
        ck_assert_msg(rc == SL_OK, "\"%s\": %s", cases[i].file, sl_err_text(&err));
        struct msg_key_psk_auth m = { .prf = SL_PRF_HMAC_SHA2_256, .octets = sl_str("octets") };
        memcpy(m.name, name, sizeof(name));
        ck_assert_int_eq(ask(PROC_IKE, MSG_KEY_PSK_AUTH, &m), SL_OK);
        ck_ok(sl_prf_psk_auth(SL_PRF_HMAC_SHA2_256, sl_str(cases[i].key), sl_str("octets"), want,
                              &err),
              &err);
        ck_bytes_eq(sl_buf_bytes(&last.bytes), sl_bytes(want, 32));
    }
    tear_down();
}
END_TEST

SL_TESTS(proc_keyring,
         SL_CASE(skeyid_is_for_ike_and_hashes_for_identity_where_a_connection_speaks_ikev1),
         SL_CASE(each_link_does_what_it_may_and_no_more),
         SL_CASE(list_shows_each_link_its_own_keys),
         SL_CASE(signature_verifies_with_the_public_key), SL_CASE(keys_survive_a_restart),
         SL_CASE(key_that_exists_is_not_made_again),
         SL_CASE(names_that_could_leave_the_folder_are_refused),
         SL_CASE(psk_is_the_first_line_or_hex))
