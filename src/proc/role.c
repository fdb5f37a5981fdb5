/*
 * The roles: their names, and which of them talk to each other. Running one is run.c.
 */
#include "src/proc/role.h"

#include <string.h>

static const char *const names[PROC_ROLE_COUNT] = {
    [PROC_SUPERVISOR] = "supervisor", [PROC_IKE] = "ike",         [PROC_ESP] = "esp",
    [PROC_IDENTITY] = "identity",     [PROC_FETCH] = "fetch",     [PROC_KEYRING] = "keyring",
    [PROC_AUTHORITY] = "authority",   [PROC_CONTROL] = "control",
};

/* The supervisor and control are linked with everyone; these besides. */
static const enum proc_role_id links[][2] = {
    { PROC_IKE, PROC_IDENTITY },
    { PROC_IKE, PROC_KEYRING },
    { PROC_IKE, PROC_ESP },
    { PROC_IDENTITY, PROC_FETCH },
    { PROC_IDENTITY, PROC_KEYRING },
    { PROC_AUTHORITY, PROC_KEYRING },
    { PROC_AUTHORITY, PROC_IDENTITY },
};

const char *proc_role_name(enum proc_role_id role)
{
    return role < PROC_ROLE_COUNT ? names[role] : "?";
}

bool proc_role_find(enum proc_role_id *role, const char *name)
{
    for (size_t i = 0; i < PROC_ROLE_COUNT; i++)
        if (!strcmp(names[i], name)) {
            *role = (enum proc_role_id)i;
            return true;
        }
    return false;
}

bool proc_role_linked(enum proc_role_id a, enum proc_role_id b)
{
    if (a == b || a >= PROC_ROLE_COUNT || b >= PROC_ROLE_COUNT)
        return false;
    if (a == PROC_SUPERVISOR || b == PROC_SUPERVISOR || a == PROC_CONTROL || b == PROC_CONTROL)
        return true;
    for (size_t i = 0; i < SL_ARRAY_LEN(links); i++)
        if ((links[i][0] == a && links[i][1] == b) || (links[i][0] == b && links[i][1] == a))
            return true;
    return false;
}
