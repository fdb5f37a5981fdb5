/* See step.h. */
#include "src/ike/step.h"

#include <stdio.h>

const char *ike_state_name(enum ike_state s)
{
    switch (s) {
#define NAME(state) \
    case state:     \
        return #state;
        NAME(X_NEW)
        NAME(I_WAIT_KE)
        NAME(I_INIT_SENT)
        NAME(I_WAIT_SHARED)
        NAME(I_MORE_WAIT_KE)
        NAME(I_MORE_SENT)
        NAME(I_MORE_WAIT_SHARED)
        NAME(I_WAIT_SIGN)
        NAME(I_AUTH_SENT)
        NAME(I_WAIT_DECISION)
        NAME(R_WAIT_SHARED)
        NAME(R_INIT_DONE)
        NAME(R_MORE_WAIT_SHARED)
        NAME(R_WAIT_DECISION)
        NAME(R_WAIT_SIGN)
        NAME(C_WAIT_KE)
        NAME(C_SENT)
        NAME(C_WAIT_SHARED)
        NAME(C_WAIT_SHARED_IKE)
        NAME(F_WAIT_KE)
        NAME(F_SENT)
        NAME(F_WAIT_SHARED)
        NAME(F_ASIDE)
        NAME(D_SENT)
        NAME(X_DONE)
#undef NAME
    }
    return "?";
}

static bool has_notify(const struct ike_payloads *list, uint16_t type)
{
    struct ike_notify n;
    return type == IKE_ANY_ERROR ? ike_notify_find_error(list, &n)
                                 : ike_notify_find(list, type, &n);
}

static bool fits(const struct ike_step *s, const struct ike_payloads *list, uint64_t set)
{
    if (s->notify && !has_notify(list, s->notify))
        return false;
    return (set & s->need) == s->need && (set & ~(s->need | s->may | P(N) | P(V))) == 0;
}

static const char *event_text(char out[IKE_TEXT], uint16_t on)
{
    char type[IKE_TEXT];
    switch (on >> 8) {
    case 2:
    case 3:
        snprintf(out, IKE_TEXT, "%s %s", ike_exchange_text(type, (uint8_t)on),
                 on >> 8 == 2 ? "request" : "response");
        break;
    default:
        snprintf(out, IKE_TEXT, "event %#x", on);
        break;
    }
    return out;
}

const struct ike_step *ike_step_find(const struct ike_table *t, enum ike_state from, uint16_t on,
                                     const struct ike_payloads *payloads, struct sl_err *err)
{
    const uint64_t set = payloads ? ike_payloads_set(payloads) : 0;
    const struct ike_step *nearest = NULL;
    char what[IKE_TEXT];
    for (size_t i = 0; i < t->n; i++) {
        const struct ike_step *s = &t->step[i];
        if (s->from != from || s->on != on)
            continue;
        if (!payloads)
            return s;
        if (!s->notify)
            nearest = s;
        if (!fits(s, payloads, set))
            continue;
        if (ike_payloads_check(payloads, s->need, s->may, event_text(what, on), err) != SL_OK)
            return NULL;
        return s;
    }
    /* Name what the nearest shape of the message would have needed. */
    if (nearest && ike_payloads_check(payloads, nearest->need, nearest->may, event_text(what, on),
                                      err) != SL_OK)
        return NULL;
    (void)SL_FAIL(err, SL_IKE_STATE, "%s: %s does not fit state %s", t->name, event_text(what, on),
                  ike_state_name(from));
    return NULL;
}
