/* Entry of the command `sealane`; everything is in cli_main so that tests run it in their process. */
#include "src/cmd/sealane/cli.h"

#include <signal.h>

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* the daemon going away is an answer, not an end */
    return (int)cli_main(argc, argv, stdout, stderr);
}
