/*
 * What the core of a gateway still has to do: exchanges, wishes, commands, SAs that are not up,
 * counts that are not those of its lists. Looks inside the core, where its public view shows too
 * little: two sides may agree for a moment in the middle of something.
 */
#ifndef SL_TESTS_SIM_LEFT_H
#define SL_TESTS_SIM_LEFT_H

#include "sim/gw.h"

const char *sim_left_over(const struct sim_gw *gw); /* NULL: nothing */

#endif
