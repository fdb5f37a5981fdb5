/*
 * The simulator's servers: HTTP and LDAP as the processes of a gateway see them through fetch, a
 * question that is answered after a while, refused, or not answered at all. Below is TCP on the
 * network's weather: what is lost is sent again and only costs time.
 *
 * Delays are drawn from the run's seed, the server's address and the number of the question there,
 * so that they do not depend on the order in which questions of one moment are put.
 */
#ifndef SL_TESTS_SIM_SERVER_H
#define SL_TESTS_SIM_SERVER_H

#include "sealane/err.h"
#include "sim/net.h"

enum sim_server_state {
    SIM_SERVES,
    SIM_REFUSES, /* the connection is refused at once */
    SIM_SILENT,  /* nothing ever comes back */
};

struct sim_request { /* borrowed */
    const char *uri;
    bool post;
    struct sl_bytes body;
};
struct sim_reply {
    int status;
    const char *content_type; /* static storage */
    struct sl_buf body;       /* cleared by the network */
};

struct sim_server {
    char prefix[96]; /* of the URIs it answers for; the longest that fits is asked */
    enum sim_server_state state;
    int64_t slow_ns; /* time it takes to answer */
    void (*serve)(void *ctx, const struct sim_request *q, struct sim_reply *r);
    void *ctx;
    uint64_t asked, served;
};

#define SIM_SERVERS_MAX 16
struct sim_servers {
    struct sim *sim;
    const struct sim_net *net;
    uint64_t seed;
    struct sim_server *server[SIM_SERVERS_MAX];
    size_t n;
};

void sim_servers_init(struct sim_servers *s, struct sim *sim, const struct sim_net *net,
                      uint64_t seed);
void sim_servers_add(struct sim_servers *s, struct sim_server *server, const char *prefix);

/* Called once, unless sim_forget(owner) comes before: SL_OK with the reply, or why there is none. */
typedef void sim_replied_fn(void *owner, uint64_t id, enum sl_rc rc, const char *text,
                            const struct sim_reply *reply);
void sim_ask(struct sim_servers *s, const struct sim_request *q, int64_t timeout_ms, void *owner,
             uint64_t id, sim_replied_fn *fn);

#endif
