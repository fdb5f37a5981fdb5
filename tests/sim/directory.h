/*
 * A simulated LDAP server: searches an LDIF text and answers with LDIF, which stands for the
 * entries that the fetch process would hand on.
 */
#ifndef SL_TESTS_SIM_DIRECTORY_H
#define SL_TESTS_SIM_DIRECTORY_H

#include "sealane/directory.h"
#include "sim/server.h"

struct sim_directory {
    struct sim_server server;
    const char *ldif; /* borrowed; may be changed at any time */
};
void sim_directory_init(struct sim_directory *d, struct sim_servers *servers, const char *uri,
                        const char *ldif);

/* The question as the server takes it, and its answer as entries; both abort on what cannot be. */
void sim_directory_question(struct sl_buf *out, const char *base, const char *scope,
                            const char *filter);
void sim_directory_answer(struct sl_entries *out, struct sl_bytes body);

#endif
