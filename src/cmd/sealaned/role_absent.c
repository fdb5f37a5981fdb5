/*
 * Stands in for a role whose file is not part of this build, so that the daemon starts and says so:
 * `status` names it. A file that defines the role replaces this one at link time.
 */
#include "src/proc/role.h"

static void verb_status(void *ctx, struct proc_ctl *q, const json_t *args)
{
    const struct proc_role *p = ctx;
    (void)args;
    json_t *result = json_pack("{s:[{s:s, s:s}]}", "problems", "text", "is not part of this build",
                               "do", "build sealaned with it");
    (void)p;
    proc_ctl_reply(q, SL_OK, "", result, false);
    json_decref(result);
}

static const struct proc_verb verbs[] = { { "status", verb_status } };

static int absent(struct proc_role *p)
{
    p->ctx = p;
    sl_warn("%s is not part of this build", p->name);
    proc_control(p, verbs, SL_ARRAY_LEN(verbs));
    proc_ready(p);
    return proc_run(p);
}

#define ABSENT(name)                                           \
    __attribute__((weak)) int role_##name(struct proc_role *p) \
    {                                                          \
        return absent(p);                                      \
    }
ABSENT(ike)
ABSENT(esp)
ABSENT(identity)
ABSENT(authority)
