/* A child SA's keys end with it; see sealane/child.h. */
#include "sealane/child.h"

void sl_child_clear(struct sl_child *c)
{
    sl_secret_clear(&c->encr_in);
    sl_secret_clear(&c->integ_in);
    sl_secret_clear(&c->encr_out);
    sl_secret_clear(&c->integ_out);
}
