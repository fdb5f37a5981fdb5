/*
 * Table-driven exchanges (STYLE.md, "State machines"). A table lists, for one kind of exchange and
 * one side of it, which event is expected in which state, with which payloads, what handles it and
 * where it leads. The engine alone moves a state; an event without a row is a refusal.
 *
 * A handler either succeeds (the move is made) or fails with a reason and has changed nothing that
 * outlives the exchange. SL_NO_MEMORY is treated as the loss of the message that was being handled:
 * it will come again.
 */
#ifndef SL_SRC_IKE_STEP_H
#define SL_SRC_IKE_STEP_H

#include "src/ike/codec.h"

struct ike_xchg;

enum ike_state {
    X_NEW = 1, /* nothing was sent or handled yet */
    /* IKE_SA_INIT and IKE_AUTH: the initiator's states, then the responder's */
    I_WAIT_KE,
    I_INIT_SENT,
    I_WAIT_SHARED,
    I_MORE_WAIT_KE, /* IKE_INTERMEDIATE */
    I_MORE_SENT,
    I_MORE_WAIT_SHARED,
    I_WAIT_SIGN,
    I_AUTH_SENT,
    I_WAIT_DECISION,
    R_WAIT_SHARED,
    R_INIT_DONE,
    R_MORE_WAIT_SHARED,
    R_WAIT_DECISION,
    R_WAIT_SIGN,
    /* CREATE_CHILD_SA */
    C_WAIT_KE,
    C_SENT,
    C_WAIT_SHARED,
    C_WAIT_SHARED_IKE,
    /* IKE_FOLLOWUP_KE */
    F_WAIT_KE,
    F_SENT,
    F_WAIT_SHARED,
    F_ASIDE,
    /* INFORMATIONAL */
    D_SENT,
    X_DONE, /* over; the engine frees the exchange */
};

/* What can happen to an exchange. */
#define IKE_ON(kind, what) ((uint16_t)((kind) << 8 | (what)))
#define GO                 IKE_ON(1, 0)      /* we begin it */
#define REQUEST(type)      IKE_ON(2, (type)) /* a message, by exchange type */
#define RESPONSE(type)     IKE_ON(3, (type))
#define ANSWER(question)   IKE_ON(4, (question))

enum ike_question {
    ASK_KE = 1,
    ASK_SIGN,
    ASK_DECISION,
    ASK_NOTHING, /* no question was needed: answered at once */
};

/* A handler's result: the message changes nothing, as if it had not come. */
#define IKE_IGNORED SL_CANCELLED

#define P(type)       IKE_BIT(IKE_P_##type)
#define IKE_ANY_ERROR 1 /* ike_step.notify: any N of an error type */

struct ike_step {
    enum ike_state from;
    uint16_t on;
    uint16_t notify;    /* messages: only with this N (or IKE_ANY_ERROR); 0: whatever N there is */
    uint64_t need, may; /* messages: payloads; N and V may always come */
    enum sl_rc (*run)(struct ike_xchg *x, struct sl_err *err);
    enum ike_state to;
    const char *story; /* what is known or awaited after the move; NULL: not worth a line */
};

struct ike_table {
    const char *name; /* "IKE_AUTH responder" */
    const struct ike_step *step;
    size_t n;
    /* A handler failed or no row fits: tells the peer what it may know and ends the exchange. */
    void (*fail)(struct ike_xchg *x, enum sl_rc rc, const struct sl_err *err);
};
#define IKE_TABLE(text, steps, on_fail)                                            \
    {                                                                              \
        .name = (text), .step = (steps), .n = SL_ARRAY_LEN(steps), .fail = on_fail \
    }

/*
 * The row for an event in a state; payloads is NULL for events that are not messages. NULL, with
 * the reason in *err, when there is none.
 */
const struct ike_step *ike_step_find(const struct ike_table *t, enum ike_state from, uint16_t on,
                                     const struct ike_payloads *payloads, struct sl_err *err);
const char *ike_state_name(enum ike_state s); /* "R_WAIT_DECISION" */

#endif
