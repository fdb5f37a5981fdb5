/* See gw.h. */
#include "sim/gw.h"

#include "sealane/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void (*sim_core_enter)(bool in);

static void in_core(bool in)
{
    if (sim_core_enter)
        sim_core_enter(in);
}

#define CORE(call)      \
    do {                \
        in_core(true);  \
        call;           \
        in_core(false); \
    } while (0)

static void on_datagram(void *ctx, const struct sl_endpoint *local,
                        const struct sl_endpoint *remote, struct sl_bytes data)
{
    struct sim_gw *gw = ctx;
    if (!gw->ike)
        return;
    CORE(sl_ike_packet(gw->ike, gw->sim->now_ns, local, remote, data));
    sim_gw_pump(gw);
}

void sim_gw_init(struct sim_gw *gw, struct sim *sim, struct sim_net *net, const char *name,
                 const char *addr, const char *config, const char *identity, const char *alg)
{
    *gw = (struct sim_gw){
        .sim = sim, .net = net, .identity = identity, .alg = alg, .armed_ns = INT64_MAX
    };
    snprintf(gw->name, sizeof(gw->name), "%s", name);
    gw->verbose = getenv("SL_SIM_VERBOSE") != NULL;
    gw->oracle = (struct sim_oracle){
        .ke_max_ns = 2 * SL_NS_PER_MS,
        .sign_max_ns = 2 * SL_NS_PER_MS,
        .decide_max_ns = 5 * SL_NS_PER_MS,
    };
    if (!sl_addr_parse(&gw->node.addr, addr))
        abort();
    gw->node.receive = on_datagram;
    gw->node.ctx = gw;
    struct sl_err err = { 0 };
    SL_AUTO_BUF problems = { 0 };
    if (sl_config_parse(&gw->config, sl_str(config), name, &problems, &err) != SL_OK) {
        fprintf(stderr, "%s\n%.*s", sl_err_text(&err), (int)problems.len, (const char *)problems.p);
        abort();
    }
    sim_net_attach(net, &gw->node);
    sim_gw_start(gw);
}

void sim_gw_start(struct sim_gw *gw)
{
    struct sl_err err = { 0 };
    sl_rng_seeded_init(&gw->rng_state, sl_rng_u64(&gw->sim->rng));
    gw->rng = sl_rng_seeded(&gw->rng_state);
    if (sl_ike_new(&gw->ike, gw->config, &gw->rng, gw->sim->now_ns, &err) != SL_OK) {
        fprintf(stderr, "%s: %s\n", gw->name, sl_err_text(&err));
        abort();
    }
    if (gw->identity) {
        const struct sim_identity *id = sim_identity(gw->identity, gw->alg);
        struct sl_bytes chain[SIM_CHAIN_MAX];
        for (size_t i = 0; i < id->n; i++)
            chain[i] = sl_buf_bytes(&id->chain[i]);
        if (sl_ike_credential(gw->ike, gw->identity, gw->identity, chain, id->n, &err) != SL_OK ||
            sl_ike_anchors(gw->ike, "lab", sim_anchor_hash(), &err) != SL_OK) {
            fprintf(stderr, "%s: %s\n", gw->name, sl_err_text(&err));
            abort();
        }
    }
    sim_gw_pump(gw);
}

static void drop_sa(struct sim_sa *sa)
{
    sl_child_clear(&sa->child);
    free(sa);
}

void sim_gw_stop(struct sim_gw *gw)
{
    sim_forget(gw->sim, gw);
    gw->armed_ns = INT64_MAX;
    sl_ike_free(gw->ike);
    gw->ike = NULL;
    while (gw->sas) {
        struct sim_sa *next = gw->sas->next;
        drop_sa(gw->sas);
        gw->sas = next;
    }
}

void sim_gw_clear(struct sim_gw *gw)
{
    sim_gw_stop(gw);
    sl_config_free(gw->config);
    gw->config = NULL;
}

/* ---- answers after a delay --------------------------------------------------------------------- */

struct answer {
    uint64_t id;
    struct sl_ke_job *job;
    enum sl_rc rc;
    struct sl_buf sig;
    struct sl_verdict verdict;
};

static void drop_answer(void *arg)
{
    struct answer *a = arg;
    sl_ke_job_free(a->job);
    sl_buf_clear(&a->sig);
    free(a);
}

static struct answer *new_answer(uint64_t id)
{
    struct answer *a = calloc(1, sizeof(*a));
    if (!a)
        abort();
    a->id = id;
    return a;
}

static void ke_ready(void *ctx, void *arg)
{
    struct sim_gw *gw = ctx;
    struct answer *a = arg;
    struct sl_ke_job *job = sl_steal(&a->job);
    CORE(sl_ke_job_run(job));
    CORE(sl_ike_answer_ke(gw->ike, gw->sim->now_ns, a->id, job));
    drop_answer(a);
    sim_gw_pump(gw);
}

static void sign_ready(void *ctx, void *arg)
{
    struct sim_gw *gw = ctx;
    struct answer *a = arg;
    CORE(sl_ike_answer_sign(gw->ike, gw->sim->now_ns, a->id, a->rc, sl_buf_bytes(&a->sig)));
    drop_answer(a);
    sim_gw_pump(gw);
}

static void decision_ready(void *ctx, void *arg)
{
    struct sim_gw *gw = ctx;
    struct answer *a = arg;
    CORE(sl_ike_answer_decision(gw->ike, gw->sim->now_ns, a->id, &a->verdict));
    drop_answer(a);
    sim_gw_pump(gw);
}

void sim_gw_answer_ke(struct sim_gw *gw, int64_t delay_ns, uint64_t id, struct sl_ke_job *job)
{
    struct answer *a = new_answer(id);
    a->job = job;
    sim_after(gw->sim, delay_ns, ke_ready, drop_answer, gw, a);
}

void sim_gw_answer_sign(struct sim_gw *gw, int64_t delay_ns, uint64_t id, enum sl_rc rc,
                        struct sl_bytes sig)
{
    struct answer *a = new_answer(id);
    a->rc = rc;
    if (!sl_buf_put(&a->sig, sig))
        abort();
    sim_after(gw->sim, delay_ns, sign_ready, drop_answer, gw, a);
}

void sim_gw_answer_decision(struct sim_gw *gw, int64_t delay_ns, uint64_t id,
                            const struct sl_verdict *v)
{
    struct answer *a = new_answer(id);
    a->verdict = *v;
    sim_after(gw->sim, delay_ns, decision_ready, drop_answer, gw, a);
}

/* ---- the built-in oracle ----------------------------------------------------------------------- */

static void sign(struct sim_gw *gw, const struct sl_ike_action *a)
{
    const struct sim_oracle *o = &gw->oracle;
    struct sl_err err = { 0 };
    SL_AUTO_BUF sig = { 0 };
    enum sl_rc rc;
    if (a->skeyid) {
        uint8_t skeyid[SL_PRF_MAX];
        rc = sl_keyset_psk_v1(sim_keys(), a->key, a->prf, a->data, sl_bytes(NULL, 0), skeyid, &err);
        if (rc == SL_OK && !sl_buf_put(&sig, sl_bytes(skeyid, sl_prf_len(a->prf))))
            abort();
    } else if (a->sig == SL_SIG_NONE) {
        uint8_t mac[SL_PRF_MAX];
        rc = sl_keyset_psk_auth(sim_keys(), a->key, a->prf, a->data, mac, &err);
        if (rc == SL_OK && !sl_buf_put(&sig, sl_bytes(mac, sl_prf_len(a->prf))))
            abort();
    } else {
        const struct sl_key_ops ops = sl_keyset_ops(sim_keys());
        rc = ops.sign(ops.ctx, a->key, a->sig, a->data, &sig, &err);
    }
    sim_gw_answer_sign(gw, sim_between(gw->sim, o->sign_min_ns, o->sign_max_ns), a->id, rc,
                       sl_buf_bytes(&sig));
}

static enum sl_rc check_possession(const struct sl_decision_ask *ask, struct sl_err *err)
{
    if (ask->possession == SL_POSSESSION_PSK) {
        uint8_t mac[SL_PRF_MAX];
        SL_TRY(sl_keyset_psk_auth(sim_keys(), "psk", ask->prf, ask->octets, mac, err));
        if (!sl_ct_equal(ask->auth, sl_bytes(mac, sl_prf_len(ask->prf))))
            return SL_FAIL(err, SL_AUTH_PSK, "AUTH is not of the pre-shared key");
        return SL_OK;
    }
    if (ask->possession == SL_POSSESSION_PSK_V1) {
        uint8_t hash[SL_PRF_MAX];
        SL_TRY(sl_keyset_psk_v1(sim_keys(), "psk", ask->prf, ask->nonces, ask->octets, hash, err));
        if (!sl_ct_equal(ask->auth, sl_bytes(hash, sl_prf_len(ask->prf))))
            return SL_FAIL(err, SL_AUTH_PSK, "HASH is not of the pre-shared key");
        return SL_OK;
    }
    if (!ask->cert_n)
        return SL_FAIL(err, SL_CERT_NONE, "peer sent no certificate");
    SL_AUTO(sl_cert) *cert = NULL;
    SL_TRY(sl_cert_read(&cert, ask->cert[0], err));
    if (sl_sig_verify(ask->sig, sl_cert_spki(cert), ask->octets, ask->auth, err) != SL_OK)
        return SL_FAIL(err, SL_AUTH_SIGNATURE, "AUTH does not verify with the key of %s",
                       sl_cert_name(cert));
    struct sl_bytes dns;
    if (ask->id.type != SL_ID_FQDN || !sl_cert_san(cert, SL_ID_FQDN, 0, &dns) ||
        !sl_bytes_eq(dns, sl_bytes(ask->id.data, ask->id.len)))
        return SL_FAIL(err, SL_ID_NOT_IN_CERT, "the peer's ID is not in %s", sl_cert_name(cert));
    return SL_OK;
}

void sim_decide(struct sim_gw *gw, const struct sl_decision_ask *ask, struct sl_verdict *v)
{
    (void)gw;
    struct sl_err err = { 0 };
    *v = (struct sl_verdict){ .record = 1 };
    v->rc = check_possession(ask, &err);
    snprintf(v->text, sizeof(v->text), "%s", v->rc == SL_OK ? "accepted" : sl_err_text(&err));
}

/* ---- actions ----------------------------------------------------------------------------------- */

static struct sim_sa **find_sa(struct sim_gw *gw, uint64_t id)
{
    struct sim_sa **at = &gw->sas;
    while (*at && (*at)->child.id != id)
        at = &(*at)->next;
    return at;
}

static void secrets_take(struct sl_child *to, struct sl_child *from)
{
    *to = *from;
    from->encr_in = from->encr_out = from->integ_in = from->integ_out = (struct sl_secret){ 0 };
}

static void child_add(struct sim_gw *gw, struct sl_child *child)
{
    struct sim_sa *sa = calloc(1, sizeof(*sa));
    if (!sa || *find_sa(gw, child->id))
        abort();
    secrets_take(&sa->child, child);
    sa->outbound = child->outbound;
    sa->order = ++gw->installs;
    sa->next = gw->sas;
    gw->sas = sa;
}

static void child_del(struct sim_gw *gw, uint64_t id)
{
    struct sim_sa **at = find_sa(gw, id);
    if (!*at) {
        fprintf(stderr, "%s: removal of child %llu, which the datapath does not have\n", gw->name,
                (unsigned long long)id);
        abort();
    }
    struct sim_sa *sa = *at;
    *at = sa->next;
    drop_sa(sa);
}

static void event(struct sim_gw *gw, const struct sl_ike_action *a)
{
    gw->events.n[a->event]++;
    if (gw->verbose)
        fprintf(stderr, "%12.3f %s %s sa=%llu %s %s\n", (double)gw->sim->now_ns / 1e9, gw->name,
                sl_ike_event_name(a->event), (unsigned long long)a->ike_sa, sl_rc_name(a->rc),
                a->text);
    if (a->event == SL_IKE_EV_IKE_FAILED || a->event == SL_IKE_EV_IKE_DOWN ||
        a->event == SL_IKE_EV_CHILD_FAILED || a->event == SL_IKE_EV_CHILD_DOWN) {
        gw->last_rc = a->rc;
        snprintf(gw->last_text, sizeof(gw->last_text), "%s", a->text);
    }
    if (a->event == SL_IKE_EV_STORY && a->rc != SL_OK) {
        gw->last_story_rc = a->rc;
        snprintf(gw->last_story, sizeof(gw->last_story), "%s", a->text);
    }
}

static void done(struct sim_gw *gw, const struct sl_ike_action *a)
{
    struct sim_done *d = &gw->done[gw->done_n++ % SIM_DONE_MAX];
    d->id = a->id;
    d->rc = a->rc;
    snprintf(d->text, sizeof(d->text), "%s", a->text);
    if (gw->verbose)
        fprintf(stderr, "%12.3f %s done %s %s\n", (double)gw->sim->now_ns / 1e9, gw->name,
                sl_rc_name(a->rc), a->text);
}

static void carry_out(struct sim_gw *gw, const struct sl_ike_action *a)
{
    const struct sim_oracle *o = &gw->oracle;
    struct sim_sa **at;
    if (o->told && a->type >= SL_IKE_CHILD_ADD && a->type <= SL_IKE_EVENT)
        o->told(gw, a);
    switch (a->type) {
    case SL_IKE_SEND: {
        struct sl_endpoint from = a->from;
        if (sl_addr_is_any(&from.addr))
            from.addr = gw->node.addr;
        sim_net_send(gw->net, &from, &a->to, a->data);
        break;
    }
    case SL_IKE_ASK_KE:
        if (o->ke)
            o->ke(gw, a->id, a->job);
        else
            sim_gw_answer_ke(gw, sim_between(gw->sim, o->ke_min_ns, o->ke_max_ns), a->id, a->job);
        break;
    case SL_IKE_ASK_SIGN:
        if (o->sign)
            o->sign(gw, a->id, a);
        else
            sign(gw, a);
        break;
    case SL_IKE_ASK_DECISION:
        if (o->decide) {
            o->decide(gw, a->id, a->ask);
        } else {
            struct sl_verdict v;
            sim_decide(gw, a->ask, &v);
            sim_gw_answer_decision(gw, sim_between(gw->sim, o->decide_min_ns, o->decide_max_ns),
                                   a->id, &v);
        }
        break;
    case SL_IKE_CHILD_ADD:
        child_add(gw, a->child);
        break;
    case SL_IKE_CHILD_OUTBOUND:
        at = find_sa(gw, a->child_id);
        if (!*at)
            abort();
        (*at)->outbound = true;
        (*at)->order = ++gw->installs;
        break;
    case SL_IKE_CHILD_DEL:
        child_del(gw, a->child_id);
        break;
    case SL_IKE_CHILD_MOVE:
        at = find_sa(gw, a->child_id);
        if (!*at)
            abort();
        (*at)->child.local = a->child->local;
        (*at)->child.remote = a->child->remote;
        (*at)->child.udp_encap = a->child->udp_encap;
        break;
    case SL_IKE_EVENT:
        event(gw, a);
        break;
    case SL_IKE_DONE:
        done(gw, a);
        break;
    }
}

static void on_timer(void *ctx, void *arg)
{
    struct sim_gw *gw = ctx;
    (void)arg;
    if (gw->armed_ns > gw->sim->now_ns)
        return; /* an older setting; a newer one is waiting */
    gw->armed_ns = INT64_MAX;
    CORE(sl_ike_tick(gw->ike, gw->sim->now_ns));
    sim_gw_pump(gw);
}

void sim_gw_pump(struct sim_gw *gw)
{
    struct sl_ike_action a;
    while (sl_ike_next(gw->ike, &a))
        carry_out(gw, &a);
    int64_t at = sl_ike_next_timer_ns(gw->ike);
    if (at == INT64_MAX || at >= gw->armed_ns)
        return;
    if (at < gw->sim->now_ns)
        at = gw->sim->now_ns;
    gw->armed_ns = at;
    sim_after(gw->sim, at - gw->sim->now_ns, on_timer, NULL, gw, NULL);
}

/* ---- commands ---------------------------------------------------------------------------------- */

uint64_t sim_gw_up(struct sim_gw *gw, const char *connection, const char *child)
{
    uint64_t id;
    CORE(id = sl_ike_up(gw->ike, gw->sim->now_ns, connection, child));
    sim_gw_pump(gw);
    return id;
}

uint64_t sim_gw_down(struct sim_gw *gw, const char *connection, const char *child)
{
    uint64_t id;
    CORE(id = sl_ike_down(gw->ike, gw->sim->now_ns, connection, child));
    sim_gw_pump(gw);
    return id;
}

uint64_t sim_gw_rekey(struct sim_gw *gw, const char *connection, const char *child, bool ike_sa)
{
    uint64_t id;
    CORE(id = sl_ike_rekey(gw->ike, gw->sim->now_ns, connection, child, ike_sa));
    sim_gw_pump(gw);
    return id;
}

const struct sim_done *sim_gw_done(const struct sim_gw *gw, uint64_t id)
{
    for (size_t i = 0; i < SIM_DONE_MAX; i++)
        if (gw->done[i].id == id)
            return &gw->done[i];
    return NULL;
}

/* ---- ESP packets, as far as SPIs go ------------------------------------------------------------ */

struct esp {
    struct sim_gw *to;
    uint32_t spi;
};

static void esp_arrives(void *ctx, void *arg)
{
    struct sim_gw *gw = ctx;
    struct esp *p = arg;
    const uint32_t spi = p->spi;
    free(p);
    for (struct sim_sa *sa = gw->sas; sa; sa = sa->next)
        if (sa->child.spi_in == spi) {
            sa->received++;
            gw->esp_received++;
            CORE(sl_ike_child_seen(gw->ike, gw->sim->now_ns, sa->child.id));
            sim_gw_pump(gw);
            return;
        }
    gw->esp_lost++;
    if (gw->verbose)
        fprintf(stderr, "%12.3f %s ESP packet for unknown SPI %08x\n",
                (double)gw->sim->now_ns / 1e9, gw->name, spi);
}

bool sim_esp_send(struct sim_gw *a, struct sim_gw *b, int64_t delay_ns)
{
    struct sim_sa *best = NULL;
    for (struct sim_sa *sa = a->sas; sa; sa = sa->next)
        if (sa->outbound && (!best || sa->order > best->order))
            best = sa;
    if (!best)
        return false;
    best->sent++;
    struct esp *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->spi = best->child.spi_out;
    sim_after(b->sim, delay_ns, esp_arrives, free, b, p);
    return true;
}

/* ---- views ------------------------------------------------------------------------------------- */

#define SEEN_MAX 64
struct seen {
    struct sl_ike_sa_info ike[SEEN_MAX];
    struct sl_child_info child[SEEN_MAX];
    size_t ike_n, child_n;
};

static void see_ike(void *ctx, const struct sl_ike_sa_info *i)
{
    struct seen *s = ctx;
    if (s->ike_n < SEEN_MAX)
        s->ike[s->ike_n++] = *i;
}

static void see_child(void *ctx, const struct sl_child_info *c)
{
    struct seen *s = ctx;
    if (s->child_n < SEEN_MAX)
        s->child[s->child_n++] = *c;
}

static void look(const struct sim_gw *gw, struct seen *s)
{
    s->ike_n = s->child_n = 0;
    sl_ike_list(gw->ike, see_ike, see_child, s);
}

static bool is_up(const char *state, const char *up)
{
    return strncmp(state, up, strlen(up)) == 0;
}

struct sim_view sim_gw_view(const struct sim_gw *gw)
{
    static struct seen s;
    struct sim_view v = { 0 };
    look(gw, &s);
    for (size_t i = 0; i < s.ike_n; i++)
        *(is_up(s.ike[i].state, "established") ? &v.ike_up : &v.ike_other) += 1;
    for (size_t i = 0; i < s.child_n; i++)
        *(is_up(s.child[i].state, "installed") ? &v.child_up : &v.child_other) += 1;
    return v;
}

static char differs[256];

static const struct sim_sa *by_spi_in(const struct sim_gw *gw, uint32_t spi)
{
    for (const struct sim_sa *sa = gw->sas; sa; sa = sa->next)
        if (sa->child.spi_in == spi)
            return sa;
    return NULL;
}

static bool same_ts(const struct sl_ts *a, size_t an, const struct sl_ts *b, size_t bn)
{
    if (an != bn)
        return false;
    for (size_t i = 0; i < an; i++)
        if (!sl_ts_eq(&a[i], &b[i]))
            return false;
    return true;
}

static bool mirrored(const struct sl_child *a, const struct sl_child *b)
{
    return a->spi_in == b->spi_out && a->spi_out == b->spi_in && a->esn == b->esn &&
           a->udp_encap == b->udp_encap && a->suite.encr == b->suite.encr &&
           sl_secret_equal(&a->encr_in, &b->encr_out) &&
           sl_secret_equal(&a->encr_out, &b->encr_in) &&
           sl_secret_equal(&a->integ_in, &b->integ_out) &&
           sl_secret_equal(&a->integ_out, &b->integ_in) &&
           same_ts(a->ts_local, a->ts_local_n, b->ts_remote, b->ts_remote_n) &&
           same_ts(a->ts_remote, a->ts_remote_n, b->ts_local, b->ts_local_n);
}

static const char *one_way(const struct sim_gw *a, const struct sim_gw *b, struct seen *sa,
                           struct seen *sb)
{
    for (size_t i = 0; i < sa->ike_n; i++) {
        bool found = false;
        for (size_t k = 0; k < sb->ike_n; k++)
            found = found || (memcmp(sa->ike[i].spi_i, sb->ike[k].spi_i, 8) == 0 &&
                              memcmp(sa->ike[i].spi_r, sb->ike[k].spi_r, 8) == 0 &&
                              strcmp(sa->ike[i].state, sb->ike[k].state) == 0);
        if (!found) {
            snprintf(differs, sizeof(differs), "%s has IKE SA %llu (%s) that %s has not", a->name,
                     (unsigned long long)sa->ike[i].id, sa->ike[i].state, b->name);
            return differs;
        }
    }
    for (const struct sim_sa *x = a->sas; x; x = x->next) {
        const struct sim_sa *y = by_spi_in(b, x->child.spi_out);
        if (!y || !mirrored(&x->child, &y->child)) {
            snprintf(differs, sizeof(differs),
                     "%s has child SA %08x/%08x that %s has not, or otherwise", a->name,
                     x->child.spi_in, x->child.spi_out, b->name);
            return differs;
        }
        bool listed = false;
        for (size_t k = 0; k < sa->child_n; k++)
            listed = listed || sa->child[k].id == x->child.id;
        if (!listed) {
            snprintf(differs, sizeof(differs), "%s's datapath has child %llu that its IKE has not",
                     a->name, (unsigned long long)x->child.id);
            return differs;
        }
    }
    for (size_t k = 0; k < sa->child_n; k++)
        if (!by_spi_in(a, sa->child[k].spi_in)) {
            snprintf(differs, sizeof(differs), "%s has child %llu (%s) that its datapath has not",
                     a->name, (unsigned long long)sa->child[k].id, sa->child[k].state);
            return differs;
        }
    return NULL;
}

const char *sim_agree(const struct sim_gw *a, const struct sim_gw *b)
{
    static struct seen sa, sb;
    look(a, &sa);
    look(b, &sb);
    const char *d = one_way(a, b, &sa, &sb);
    return d ? d : one_way(b, a, &sb, &sa);
}
