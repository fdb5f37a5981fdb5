/* See job.h. */
#include "sim/job.h"

#include "support/esp.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const struct sim_weather job_storm = { .loss = 200,
                                       .duplicate = 100,
                                       .reorder = 200,
                                       .delay_min_ns = 5 * SL_NS_PER_MS,
                                       .delay_max_ns = 40 * SL_NS_PER_MS };

static const char people[] =
    "dn: cn=a.example,dc=example\ncn: a.example\nmemberOf: cn=gateways,dc=example\n\n"
    "dn: cn=b.example,dc=example\ncn: b.example\nmemberOf: cn=gateways,dc=example\n\n"
    "dn: cn=c.example,dc=example\ncn: c.example\nmemberOf: cn=gateways,dc=example\n";

/* ---- configurations ------------------------------------------------------------------------------ */

static const char *or_none(const char *text)
{
    return text ? text : "";
}

static void common(struct sl_buf *out, const struct job_options *o)
{
    ck_assert(sl_buf_printf(
        out,
        "trust lab {\n anchor = \"/none\"\n %s\n}\n"
        "trust partner {\n anchor = \"/none\"\n}\n"
        "trust open {\n anchor = \"/none\"\n revocation = off\n}\n"
        "psk psk {\n file = \"/none\"\n}\n"
        "identity " SIM_KEY " {\n certificate = \"/none\"\n key_file = \"/none\"\n}\n"
        "directory people {\n type = ldap\n uri = \"ldap://dir.example\"\n base = \"dc=example\"\n"
        " filter = \"(cn=%%{id})\"\n disabled_attr = \"state=disabled\"\n %s\n}\n"
        "directory sites {\n type = ldif\n file = \"/none\"\n base = \"dc=example\"\n"
        " filter = \"(cn=%%{id})\"\n disabled_attr = \"state=disabled\"\n}\n"
        "rule gateways {\n action = accept\n group = \"gateways\"\n}\n"
        "rule hub {\n action = accept\n connection = \"bc\"\n id = \"dns:b.example\"\n}\n",
        or_none(o->lab), or_none(o->people)));
}

struct side {
    const char *name, *self, *peer;
    int self_n, peer_n;
    const char *trust, *directory, *start;
    bool psk;
};

static void connection(struct sl_buf *out, const struct job_options *o, const struct side *s)
{
    ck_assert(sl_buf_printf(out,
                            "connection %s {\n local = 192.0.2.%d\n remote = 192.0.2.%d\n"
                            " id_local = \"dns:%s.example\"\n id_remote = \"dns:%s.example\"\n",
                            s->name, s->self_n, s->peer_n, s->self, s->peer));
    if (s->psk)
        ck_assert(sl_buf_printf(out, " auth = psk\n psk = psk\n"));
    else
        ck_assert(sl_buf_printf(out, " identity = " SIM_KEY "\n trust = %s\n", s->trust));
    if (*s->directory)
        ck_assert(sl_buf_printf(out, " directory = %s\n", s->directory));
    ck_assert(sl_buf_printf(out,
                            " %s\n child net {\n  local_ts = \"10.0.%d.0/24\"\n"
                            "  remote_ts = \"10.0.%d.0/24\"\n  %s\n  %s\n }\n}\n",
                            or_none(o->connection), s->self_n, s->peer_n, or_none(o->child),
                            or_none(s->start)));
}

static void configure(struct job *j, const struct job_options *o)
{
    const struct side side_a = { "ab", "a", "b", 1, 2, "lab", "sites", o->start, o->psk },
                      side_ba = { "ab", "b", "a", 2, 1, "lab", "people", NULL, o->psk },
                      side_bc = { "bc", "b", "c", 2, 3, "partner", "sites", NULL, false },
                      side_c = { "bc", "c", "b", 3, 2, "open", "", NULL, false };
    const struct side *sides[3][2] = { { &side_a }, { &side_ba, &side_bc }, { &side_c } };
    static const char *const name[] = { "a", "b", "c" }, *const addr[] = { "192.0.2.1", "192.0.2.2",
                                                                           "192.0.2.3" };
    for (size_t i = 0; i < 3; i++) {
        SL_AUTO_BUF text = { 0 };
        common(&text, o);
        for (size_t k = 0; k < 2 && sides[i][k]; k++)
            connection(&text, o, sides[i][k]);
        ck_assert(sl_buf_nul(&text) && text.len < JOB_CONFIG);
        memcpy(j->config[i], text.p, text.len + 1);
        struct sim_authority *own = i == 2 ? &j->partner : &j->lab;
        struct sim_authority *other = i == 2 ? &j->lab : &j->partner;
        j->conf[i] = (struct sim_device_conf){
            .name = name[i],
            .addr = addr[i],
            .config = j->config[i],
            .trust = { { i == 2 ? "partner" : "lab", own },
                       { i == 2 ? "lab" : "partner", other },
                       { "open", &j->lab } },
            .ldif_name = "sites",
            .ldif = people,
        };
    }
}

/* ---- traffic ------------------------------------------------------------------------------------- */

static void send_one(struct job_flow *f)
{
    uint8_t payload[64] = { 0xb0, 0x0b, 0, 9 }, packet[128];
    const uint64_t number = f->sent + f->unsent;
    ck_assert_uint_lt(number, JOB_PACKETS);
    for (unsigned i = 0; i < 8; i++)
        payload[8 + i] = (uint8_t)(number >> (56 - 8 * i));
    const struct esp_ip ip = {
        .src = f->src, .dst = f->dst, .proto = 17, .payload = sl_bytes(payload, sizeof(payload))
    };
    const size_t len = esp_ip_make(packet, &ip);
    if (sim_device_send(f->from, sl_bytes(packet, len)))
        f->sent++;
    else
        f->unsent++;
}

static void inside(void *ctx, struct sim_device *d, struct sl_bytes packet)
{
    struct job *j = ctx;
    struct job_flow *f = d == &j->b ? &j->to_b : &j->to_a;
    struct sl_rd r = sl_rd(packet);
    sl_rd_skip(&r, 28); /* IP and UDP */
    const uint64_t number = sl_rd_u64(&r);
    if (!sl_rd_ok(&r) || number >= f->sent + f->unsent) {
        f->strange++;
        return;
    }
    uint8_t *byte = &f->seen[number / 8];
    const uint8_t bit = (uint8_t)(1u << number % 8);
    f->again += (*byte & bit) != 0;
    f->received += (*byte & bit) == 0;
    *byte |= bit;
    if (f->on && j->sim.now_ns - f->last_ns > f->gap_ns)
        f->gap_ns = j->sim.now_ns - f->last_ns;
    f->last_ns = j->sim.now_ns;
}

static void on_traffic(void *ctx, void *arg)
{
    struct job_flow *f = ctx;
    (void)arg;
    if (!f->on)
        return;
    send_one(f);
    sim_after(&f->job->sim, f->every_ns, on_traffic, NULL, f, NULL);
}

static void flow_start(struct job *j, struct job_flow *f, int64_t every_ms)
{
    sim_forget(&j->sim, f);
    f->on = true;
    f->every_ns = every_ms * SL_NS_PER_MS;
    f->last_ns = j->sim.now_ns;
    f->gap_ns = 0;
    sim_after(&j->sim, f->every_ns, on_traffic, NULL, f, NULL);
}

void job_traffic(struct job *j, int64_t every_ms)
{
    flow_start(j, &j->to_b, every_ms);
    flow_start(j, &j->to_a, every_ms);
}

void job_traffic_stop(struct job *j)
{
    j->to_a.on = j->to_b.on = false;
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void steady(struct sim_device *d)
{
    struct sim_oracle *o = &d->gw.oracle;
    o->ke_min_ns = o->ke_max_ns = o->sign_min_ns = o->sign_max_ns = SL_NS_PER_MS;
}

void job_init(struct job *j, uint64_t seed, const struct job_options *options)
{
    static const struct job_options plain = { 0 };
    static unsigned count;
    const struct job_options *o = options ? options : &plain;
    char path[96];
    *j = (struct job){ 0 };
    snprintf(j->path, sizeof(j->path), "%s/job-%u", sl_test_tmpdir(), count++);
    ck_assert_int_eq(mkdir(j->path, 0700), 0);
    sim_init(&j->sim, seed);
    sim_net_init(&j->net, &j->sim, o->weather ? o->weather : &sim_fair);
    sim_servers_init(&j->servers, &j->sim, &j->net, seed);
    snprintf(path, sizeof(path), "%s/lab", j->path);
    sim_authority_init(&j->lab, &j->sim, &j->servers, "lab.example", path);
    snprintf(path, sizeof(path), "%s/partner", j->path);
    sim_authority_init(&j->partner, &j->sim, &j->servers, "partner.example", path);
    if (o->lifetime_s)
        j->lab.conf.lifetime_s = o->lifetime_s;
    if (o->crl_lifetime_s) {
        j->lab.conf.crl_lifetime_s = o->crl_lifetime_s;
        j->lab.conf.crl_interval_s = o->crl_lifetime_s / 2;
        sim_authority_crls(&j->lab); /* the first were made with the authority */
    }
    sim_directory_init(&j->dir, &j->servers, "ldap://dir.example", people);
    configure(j, o);
    struct sim_device *device[] = { &j->a, &j->b, &j->c };
    for (size_t i = 0; i < SL_ARRAY_LEN(device); i++) {
        snprintf(path, sizeof(path), "%s/%s", j->path, j->conf[i].name);
        sim_device_init(device[i], &j->sim, &j->net, &j->servers, &j->conf[i], path);
        device[i]->inside = inside;
        device[i]->inside_ctx = j;
        if (o->steady)
            steady(device[i]);
    }
    j->to_b.job = j->to_a.job = j;
    j->to_b.from = j->to_a.to = &j->a;
    j->to_b.to = j->to_a.from = &j->b;
    j->to_b.src = j->to_a.dst = "10.0.1.5";
    j->to_b.dst = j->to_a.src = "10.0.2.9";
}

void job_clear(struct job *j)
{
    sim_device_clear(&j->a);
    sim_device_clear(&j->b);
    sim_device_clear(&j->c);
    sim_authority_clear(&j->lab);
    sim_authority_clear(&j->partner);
    sim_clear(&j->sim);
}

bool job_until(struct job *j, bool (*good)(struct job *j), int64_t ms)
{
    const int64_t end = j->sim.now_ns + ms * SL_NS_PER_MS;
    while (!good || !good(j)) {
        if (sim_next_ns(&j->sim) > end) {
            j->sim.now_ns = end;
            return false;
        }
        sim_step(&j->sim);
    }
    return true;
}

void job_run(struct job *j, int64_t ms)
{
    (void)job_until(j, NULL, ms);
}

/* ---- steps that most stories begin with ---------------------------------------------------------- */

static bool all_ended(struct job *j)
{
    return j->a.enroll.state == SIM_ENROLL_ENDED && j->b.enroll.state == SIM_ENROLL_ENDED &&
           j->c.enroll.state == SIM_ENROLL_ENDED;
}

void job_enroll(struct job *j)
{
    char challenge[64];
    struct sim_device *device[] = { &j->a, &j->b, &j->c };
    for (size_t i = 0; i < SL_ARRAY_LEN(device); i++) {
        struct sim_device *d = device[i];
        struct sim_authority *at = d->conf->trust[0].authority;
        char name[64];
        snprintf(name, sizeof(name), "%s.example", d->conf->name);
        sim_authority_challenge(at, name, challenge);
        sim_device_enroll(d, at, challenge);
    }
    ck_assert_msg(job_until(j, all_ended, 120000), "enrolment does not end");
    for (size_t i = 0; i < SL_ARRAY_LEN(device); i++)
        ck_assert_msg(device[i]->enroll.rc == SL_OK && device[i]->chain_n == 2, "%s: %s: %s",
                      device[i]->conf->name, sl_rc_name(device[i]->enroll.rc),
                      device[i]->enroll.text);
}

enum sl_rc job_up(struct job *j, struct sim_device *d, const char *connection, int64_t *took_ns)
{
    const int64_t begun = j->sim.now_ns, end = begun + 300 * SL_NS_PER_S;
    const uint64_t id = sim_gw_up(&d->gw, connection, NULL);
    while (!sim_gw_done(&d->gw, id) && sim_next_ns(&j->sim) <= end)
        sim_step(&j->sim);
    const struct sim_done *done = sim_gw_done(&d->gw, id);
    ck_assert_msg(done != NULL, "%s: bringing up %s does not end", d->conf->name, connection);
    if (took_ns)
        *took_ns = j->sim.now_ns - begun;
    return done->rc;
}

bool job_connected(struct job *j)
{
    if (!j->a.running || !j->b.running)
        return false;
    const struct sim_view a = sim_gw_view(&j->a.gw), b = sim_gw_view(&j->b.gw);
    return a.ike_up == 1 && b.ike_up == 1 && a.child_up == 1 && b.child_up == 1 && !a.ike_other &&
           !b.ike_other && !a.child_other && !b.child_other && !sim_agree(&j->a.gw, &j->b.gw);
}
