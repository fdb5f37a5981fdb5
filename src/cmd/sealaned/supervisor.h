/*
 * The supervisor: opens what needs root, starts one process per role, links them, starts again what
 * ends, sets routes, and shuts all of it down. It parses nothing from outside but the
 * configuration.
 */
#ifndef SL_SUPERVISOR_H
#define SL_SUPERVISOR_H

#include "src/proc/role.h"

struct supervisor_options {
    const char *config_file;
    bool foreground;
};
/* Runs until a signal ends it; the exit status. */
int supervisor_run(const struct supervisor_options *options);

#endif
