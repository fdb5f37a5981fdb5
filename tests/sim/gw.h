/*
 * A simulated gateway: the IKE core with a fake datapath that keeps the SAs it is given, and an
 * oracle that answers the core's questions after seeded delays. The oracle's functions may be
 * replaced, so that a simulation can put the authority, the directory and the decision in their
 * places.
 */
#ifndef SL_TESTS_SIM_GW_H
#define SL_TESTS_SIM_GW_H

#include "sealane/ike.h"
#include "sim/net.h"
#include "sim/pki.h"

struct sim_gw;

/* Called with true before and false after every call into the core; for failing allocations. */
extern void (*sim_core_enter)(bool in);

/* Each must lead to one answer: sim_gw_answer_*, at once or later. NULL: the built-in one. */
struct sim_oracle {
    void (*ke)(struct sim_gw *gw, uint64_t id, struct sl_ke_job *job); /* takes job */
    void (*sign)(struct sim_gw *gw, uint64_t id, const struct sl_ike_action *a);
    void (*decide)(struct sim_gw *gw, uint64_t id, const struct sl_decision_ask *ask);
    /* Told of every CHILD_* and EVENT before it is carried out; may be NULL. */
    void (*told)(struct sim_gw *gw, const struct sl_ike_action *a);
    int64_t ke_min_ns, ke_max_ns, sign_min_ns, sign_max_ns, decide_min_ns, decide_max_ns;
    void *ctx;
};

/* A child SA in the datapath. */
struct sim_sa {
    struct sim_sa *next;
    struct sl_child child;
    bool outbound;
    uint64_t received, sent;
    uint64_t order; /* of installation */
};

struct sim_event_count {
    unsigned n[SL_IKE_EV_STORY + 1];
};

#define SIM_DONE_MAX 32
struct sim_done {
    uint64_t id;
    enum sl_rc rc;
    char text[256];
};

struct sim_gw {
    char name[16];
    struct sim *sim;
    struct sim_net *net;
    struct sim_node node;
    struct sim_oracle oracle;
    struct sl_config *config;
    struct sl_ike *ike;
    struct sl_rng_seeded rng_state;
    struct sl_rng rng;
    struct sim_sa *sas;
    uint64_t installs;
    int64_t armed_ns;
    struct sim_event_count events;
    struct sim_done done[SIM_DONE_MAX];
    size_t done_n;
    enum sl_rc last_rc; /* of the last failure event, and its words */
    char last_text[512];
    enum sl_rc last_story_rc;
    char last_story[512];
    uint64_t esp_lost, esp_received;
    bool verbose; /* tell every event on stderr: SL_SIM_VERBOSE=1 */
    const char *identity, *alg;
};

/* config is the text of a configuration; identity may be NULL (pre-shared keys only). */
void sim_gw_init(struct sim_gw *gw, struct sim *sim, struct sim_net *net, const char *name,
                 const char *addr, const char *config, const char *identity, const char *alg);
void sim_gw_start(struct sim_gw *gw); /* makes the core and hands it its certificate */
void sim_gw_stop(struct sim_gw *gw);  /* as if the process were killed; the datapath is emptied */
void sim_gw_clear(struct sim_gw *gw);

/* After every call into gw->ike from outside: carries out the actions and sets the timer. */
void sim_gw_pump(struct sim_gw *gw);

uint64_t sim_gw_up(struct sim_gw *gw, const char *connection, const char *child);
uint64_t sim_gw_down(struct sim_gw *gw, const char *connection, const char *child);
uint64_t sim_gw_rekey(struct sim_gw *gw, const char *connection, const char *child, bool ike_sa);
const struct sim_done *sim_gw_done(const struct sim_gw *gw, uint64_t id); /* NULL: not yet */

void sim_gw_answer_ke(struct sim_gw *gw, int64_t delay_ns, uint64_t id, struct sl_ke_job *job);
void sim_gw_answer_sign(struct sim_gw *gw, int64_t delay_ns, uint64_t id, enum sl_rc rc,
                        struct sl_bytes sig);
void sim_gw_answer_decision(struct sim_gw *gw, int64_t delay_ns, uint64_t id,
                            const struct sl_verdict *v);
/* The built-in decision: possession is checked for real, anybody with a certificate may in. */
void sim_decide(struct sim_gw *gw, const struct sl_decision_ask *ask, struct sl_verdict *v);

/* One packet from a to b on the newest sending SA; counts as lost at b when no SA takes it. */
bool sim_esp_send(struct sim_gw *a, struct sim_gw *b, int64_t delay_ns);

/* ---- views ------------------------------------------------------------------------------------- */
struct sim_view {
    unsigned ike_up, ike_other, child_up, child_other;
};
struct sim_view sim_gw_view(const struct sim_gw *gw);
/*
 * NULL when both sides hold the same SAs (SPIs, keys, selectors, algorithms mirrored) and the same
 * as their datapaths; else what differs, in static storage.
 */
const char *sim_agree(const struct sim_gw *a, const struct sim_gw *b);

#endif
