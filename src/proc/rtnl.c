/* Questions to rtnetlink (rtnl.h). */
#include "src/proc/rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX 32768 /* what the kernel puts into one message of a dump */

struct rtnl {
    struct mnl_socket *nl;
    unsigned seq;
    _Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
};

enum sl_rc rtnl_new(struct rtnl **out, struct sl_err *err)
{
    struct rtnl *r = calloc(1, sizeof(*r));
    if (!r)
        return SL_FAIL_MEM(err);
    r->seq = (unsigned)time(NULL);
    r->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!r->nl || mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
        enum sl_rc rc = SL_FAIL(err, SL_IO, "routing socket: %s", strerror(errno));
        rtnl_free(r);
        return rc;
    }
    /* dumps of one table only, where the kernel can */
    int one = 1;
    (void)mnl_socket_setsockopt(r->nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
    *out = r;
    return SL_OK;
}

void rtnl_free(struct rtnl *r)
{
    if (!r)
        return;
    if (r->nl)
        mnl_socket_close(r->nl);
    free(r);
}

static int talk(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t on, void *ctx)
{
    nlh->nlmsg_seq = ++r->seq;
    if (mnl_socket_sendto(r->nl, nlh, nlh->nlmsg_len) < 0)
        return errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(r->nl, r->answer, sizeof(r->answer));
        if (n < 0)
            return errno;
        int rc = mnl_cb_run(r->answer, (size_t)n, r->seq, mnl_socket_get_portid(r->nl), on, ctx);
        if (rc <= MNL_CB_STOP)
            return rc < 0 ? errno : 0;
    }
}

int rtnl_ask(struct rtnl *r, struct nlmsghdr *nlh)
{
    nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    return talk(r, nlh, NULL, NULL);
}

int rtnl_dump(struct rtnl *r, struct nlmsghdr *nlh, mnl_cb_t on, void *ctx)
{
    nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
    return talk(r, nlh, on, ctx);
}
