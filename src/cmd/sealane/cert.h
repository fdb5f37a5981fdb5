/* What the files of cert verify and cert explain share. */
#ifndef SRC_CMD_SEALANE_CERT_H
#define SRC_CMD_SEALANE_CERT_H

#include "src/cmd/sealane/cli.h"

#include "sealane/verify.h"

struct cert_fetch;
SL_MUST_USE enum sl_rc cert_fetch_new(struct cert_fetch **out, const struct cli *cli,
                                      struct sl_err *err);
void cert_fetch_free(struct cert_fetch *f);
/* For sl_verify_shell: ctx is a cert_fetch. */
enum sl_rc cert_fetch_ask(void *ctx, const struct sl_question *q, struct sl_buf *body,
                          struct sl_err *err);

#endif
