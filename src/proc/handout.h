/*
 * What the supervisor opens while it is root, to be handed to the roles: sockets, the tunnel
 * device, files with secrets (whose content it never reads), and the directories of the roles.
 */
#ifndef SL_PROC_HANDOUT_H
#define SL_PROC_HANDOUT_H

#include "src/proc/role.h"

struct proc_handout {
    enum proc_role_id role;
    char name[96]; /* as in role.h */
    int fd;
};
struct proc_handouts { /* {0} is empty */
    struct proc_handout *v;
    size_t n;
};

/*
 * Opens what stays the same for the life of the daemon and makes the directories; uid[] and gid[]
 * are the roles' own. What cannot be opened ends in an error that says what it is needed for. IPv6
 * and raw ESP may be absent.
 */
SL_MUST_USE enum sl_rc proc_handout_open(struct proc_handouts *h, const struct sl_config *config,
                                         const uint32_t uid[PROC_ROLE_COUNT],
                                         const uint32_t gid[PROC_ROLE_COUNT], struct sl_err *err);
/*
 * Opens the files of a role about to start, as they are now. One that is missing is logged and left
 * out: the role says so again when it needs it.
 */
SL_MUST_USE enum sl_rc proc_handout_files(struct proc_handouts *h, enum proc_role_id role,
                                          const struct sl_config *config, struct sl_err *err);
void proc_handout_close(struct proc_handouts *h);

/* A directory of exactly this mode and owner; its parents are made as needed. */
SL_MUST_USE enum sl_rc proc_make_dir(const char *path, uint32_t mode, uint32_t uid, uint32_t gid,
                                     struct sl_err *err);

#endif
