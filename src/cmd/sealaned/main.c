/*
 * sealaned: the daemon. Started by hand or by a service manager it is the supervisor; the
 * supervisor executes the same binary again as `sealaned --role NAME` for each role.
 */
#include "src/cmd/sealaned/supervisor.h"
#include "src/fetch/policy.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE "/etc/sealane/sealane.conf"

static const char usage[] = "usage: sealaned [-c FILE] [-f] [-n] [-V]\n"
                            "  -c FILE  configuration (" CONFIG_FILE ")\n"
                            "  -f       stay in the foreground, log to standard error\n"
                            "  -n       check the configuration and exit\n"
                            "  -V       print the version and exit\n";

static int (*const entries[PROC_ROLE_COUNT])(struct proc_role *) = {
    [PROC_IKE] = role_ike,         [PROC_ESP] = role_esp,         [PROC_IDENTITY] = role_identity,
    [PROC_FETCH] = role_fetch,     [PROC_KEYRING] = role_keyring, [PROC_AUTHORITY] = role_authority,
    [PROC_CONTROL] = role_control,
};

static int check_config(const char *file)
{
    SL_AUTO(sl_config) *config = NULL;
    SL_AUTO_BUF problems = { 0 };
    struct sl_err err = { 0 };
    if (sl_config_load(&config, file, &problems, &err) == SL_OK &&
        fetch_rules_check(&config->fetch, &err) == SL_OK) {
        printf("%s: good\n", file);
        return 0;
    }
    if (problems.len)
        fprintf(stderr, "%.*s", (int)problems.len, (const char *)problems.p);
    else
        fprintf(stderr, "%s\n", sl_err_text(&err));
    return 1;
}

int main(int argc, char **argv)
{
    enum proc_role_id role;
    if (argc == 3 && !strcmp(argv[1], "--role") && proc_role_find(&role, argv[2]) && entries[role])
        return proc_role_main(role, entries[role]);

    struct supervisor_options options = { .config_file = CONFIG_FILE };
    bool only_check = false;
    for (int c; (c = getopt(argc, argv, "c:fnVh")) != -1;) {
        switch (c) {
        case 'c':
            options.config_file = optarg;
            break;
        case 'f':
            options.foreground = true;
            break;
        case 'n':
            only_check = true;
            break;
        case 'V':
            puts("sealaned " SL_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (only_check)
        return check_config(options.config_file);
    return supervisor_run(&options);
}
