/*
 * What a role may still do once it has what it needs: own user and no capabilities, a root
 * directory without files where possible, no-new-privileges, Landlock where the kernel has it, and
 * a list of the system calls that its work needs.
 *
 *   role       files                                          network
 *   ike        none (empty root)                              the UDP sockets it was handed
 *   esp        none (empty root)                              sockets and TUN it was handed
 *   keyring    state_dir/keys (its root)                      none
 *   control    none (empty root)                              accepts on the UNIX socket handed
 *   identity   its state, the audit log, configured files     none
 *   fetch      resolver's and TLS files, for reading          connects
 *   authority  its state                                      accepts on the TCP socket handed
 */
#ifndef SL_PROC_SANDBOX_H
#define SL_PROC_SANDBOX_H

#include "src/proc/role.h"

/*
 * Irrevocably. uid and gid are the role's own. In builds with fault switches `sandbox = false` of
 * the configuration leaves all but the change of user away, for sanitizers.
 */
SL_MUST_USE enum sl_rc proc_sandbox(enum proc_role_id role, const struct sl_config *config,
                                    uint32_t uid, uint32_t gid, struct sl_err *err);

/* Directories of the roles under state_dir and run_dir. */
#define PROC_KEYS_DIR      "keys"
#define PROC_IDENTITY_DIR  "identity"
#define PROC_AUTHORITY_DIR "authority"
#define PROC_EMPTY_DIR     "empty"

#endif
