/*
 * The search for certification paths: depth first from the end entity upwards, best issuer first,
 * back one step whenever a candidate dies. Each step is judged as it is taken (path_check.c), so that
 * a dead candidate is not grown any further; policies are judged once an anchor is reached.
 *
 * What bounds it: the length of a path, no name with the same key twice among the CAs of a path, and
 * the budget: candidates, signatures, CPU time. A signature is verified once for a certificate and a
 * key, however many certificates hold that key.
 */
#include "certs/path_internal.h"

#include <openssl/err.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A certificate that is at hand. */
struct node {
    struct sl_cert *cert;
    bool anchor;
    bool read;    /* c is filled */
    bool missing; /* no issuer of it was found in this search */
    struct path_cert c;
};

/* A way up that has not been tried yet. */
struct way {
    uint32_t node;
    bool anchor; /* ends here */
    int score;
};

/* One certificate of the path that is being built, with the ways up from it. */
struct frame {
    uint32_t node;
    struct way *way;
    size_t n, next, cap;
    bool live;     /* some issuer stood its tests */
    bool specific; /* some candidate died for a reason that is worth telling */
};

struct signature {
    uint32_t cert, issuer;
    bool good;
};

struct found {
    uint32_t node[SL_PATH_MAX];
    size_t n;
};

struct sl_path_finder {
    const struct sl_path_params *p;
    struct sl_path_params params;
    struct sl_path_budget budget;
    uint32_t candidates;
    int64_t cpu_ns;
    bool started, ended, cut;
    struct node *node; /* [0] the end entity */
    size_t n, cap, extra;
    struct frame frame[SL_PATH_MAX];
    size_t depth;
    struct signature *signature;
    size_t signature_n;
    struct found *found;
    size_t found_n;
    struct sl_path_candidate *told;
    size_t told_n;
    struct sl_err best;
    int rank; /* of best; 0: nothing yet */
};

/* ---- what is at hand ------------------------------------------------------------------------------ */
static struct node *find_node(struct sl_path_finder *f, const struct sl_cert *c)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->node[i].cert == c || sl_bytes_eq(sl_cert_der(f->node[i].cert), sl_cert_der(c)))
            return &f->node[i];
    return NULL;
}

static bool put_node(struct sl_path_finder *f, struct sl_cert *c, bool anchor)
{
    struct node *known = find_node(f, c);
    if (known) {
        known->anchor = known->anchor || anchor;
        return true;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 16;
        struct node *v = reallocarray(f->node, cap, sizeof(*v));
        if (!v)
            return false;
        f->node = v;
        f->cap = cap;
    }
    f->node[f->n++] = (struct node){ .cert = sl_cert_ref(c), .anchor = anchor };
    return true;
}

/* The peer's certificates: the first must be readable, others are left out if not. */
static enum sl_rc read_peer(struct sl_path_finder *f, struct sl_err *err)
{
    if (f->p->peer_n == 0)
        return SL_FAIL(err, SL_CERT_NONE, "the peer sent no certificate");
    for (size_t i = 0; i < f->p->peer_n && i < SL_CHAIN_MAX; i++) {
        SL_AUTO(sl_cert) *c = NULL;
        enum sl_rc rc = sl_cert_read(&c, f->p->peer[i], i == 0 ? err : NULL);
        if (rc != SL_OK && (i == 0 || rc == SL_NO_MEMORY))
            return rc;
        if (rc == SL_OK && !put_node(f, c, false))
            return SL_FAIL_MEM(err);
    }
    return SL_OK;
}

static enum sl_rc gather(struct sl_path_finder *f, struct sl_err *err)
{
    const struct sl_certs *extra = f->p->intermediates, *anchors = f->p->anchors;
    SL_TRY(read_peer(f, err));
    f->extra = extra ? extra->n : 0;
    if (f->extra > SL_PATH_EXTRA)
        return SL_FAIL(err, SL_CERT_BUDGET, "%zu intermediates are configured, at most %d are used",
                       extra->n, SL_PATH_EXTRA);
    for (size_t i = 0; anchors && i < anchors->n; i++)
        if (!put_node(f, anchors->v[i], true))
            return SL_FAIL_MEM(err);
    for (size_t i = 0; extra && i < extra->n; i++)
        if (!put_node(f, extra->v[i], false))
            return SL_FAIL_MEM(err);
    return SL_OK;
}

static enum sl_rc read_node(struct sl_path_finder *f, uint32_t at, struct sl_err *err)
{
    struct node *n = &f->node[at];
    if (n->read)
        return SL_OK;
    SL_TRY(path_cert_read(&n->c, n->cert, f->p, err));
    n->read = true;
    return SL_OK;
}

static uint32_t or_default(uint32_t v, uint32_t dflt)
{
    return v ? v : dflt;
}

enum sl_rc sl_path_finder_new(struct sl_path_finder **out, const struct sl_path_params *params,
                              struct sl_err *err)
{
    int64_t from = sl_clock_cpu_ns();
    struct sl_path_finder *f = calloc(1, sizeof(*f));
    if (!f)
        return SL_FAIL_MEM(err);
    f->params = *params;
    f->p = &f->params;
    if (params->budget)
        f->budget = *params->budget;
    f->budget.candidates = or_default(f->budget.candidates, SL_PATH_CANDIDATES);
    f->budget.signatures = or_default(f->budget.signatures, SL_PATH_SIGNATURES);
    f->budget.cpu_ns = f->budget.cpu_ns > 0 ? f->budget.cpu_ns : SL_PATH_CPU_NS;
    f->signature = calloc(f->budget.signatures, sizeof(*f->signature));
    enum sl_rc rc = f->signature ? gather(f, err) : SL_FAIL_MEM(err);
    ERR_clear_error();
    f->cpu_ns = sl_clock_cpu_ns() - from;
    if (rc != SL_OK) {
        sl_path_finder_free(f);
        return rc;
    }
    *out = f;
    return SL_OK;
}

static void drop_candidate(struct sl_path_candidate *c)
{
    for (size_t i = 0; i < c->n; i++)
        sl_cert_free(c->cert[i]);
    c->n = 0;
}

void sl_path_finder_free(struct sl_path_finder *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->told_n; i++)
        drop_candidate(&f->told[i]);
    for (size_t i = 0; i < SL_PATH_MAX; i++)
        free(f->frame[i].way);
    for (size_t i = 0; i < f->n; i++) {
        if (f->node[i].read)
            path_cert_clear(&f->node[i].c);
        sl_cert_free(f->node[i].cert);
    }
    free(f->node);
    free(f->signature);
    free(f->found);
    free(f->told);
    free(f);
}

/* ---- telling ---------------------------------------------------------------------------------------- */
/* A place for one more; the last dead one makes room for a path that was found. */
static struct sl_path_candidate *told_slot(struct sl_path_finder *f, bool good)
{
    if (!f->told)
        f->told = calloc(SL_PATH_TOLD_MAX, sizeof(*f->told));
    if (!f->told)
        return NULL;
    if (f->told_n < SL_PATH_TOLD_MAX)
        return &f->told[f->told_n++];
    for (size_t i = f->told_n; good && i-- > 0;)
        if (f->told[i].rc != SL_OK) {
            drop_candidate(&f->told[i]);
            return &f->told[i];
        }
    return NULL;
}

/* The i-th certificate of the path that way, when it is not NULL, makes one longer. */
static uint32_t node_at(const struct sl_path_finder *f, const struct way *way, size_t i)
{
    return way && i >= f->depth ? way->node : f->frame[i].node;
}

/*
 * The candidate of the frames, and way on top when it is not NULL, is done. weak: what died was
 * hardly meant as an issuer (another key identifier), its reason is told only for want of a better.
 */
static void tell(struct sl_path_finder *f, const struct way *way, const struct sl_err *why,
                 bool weak)
{
    size_t n = f->depth + (way != NULL);
    bool specific = why->rc != SL_CERT_UNKNOWN_CA && !weak;
    int rank = 1 + (int)n + (specific ? 100 : 0);
    if (why->rc != SL_OK && rank > f->rank) {
        f->rank = rank;
        f->best = *why;
    }
    struct sl_path_candidate *c = told_slot(f, why->rc == SL_OK);
    if (!c)
        return;
    c->rc = why->rc;
    snprintf(c->text, sizeof(c->text), "%s", why->rc == SL_OK ? "valid" : sl_err_text(why));
    for (size_t i = 0; i < n && i < SL_PATH_MAX; i++) {
        c->cert[c->n++] = sl_cert_ref(f->node[node_at(f, way, i)].cert);
    }
}

static void tell_unknown(struct sl_path_finder *f, struct frame *top)
{
    struct node *n = &f->node[top->node];
    struct sl_err why;
    sl_err_reset(&why);
    bool self_signed = (X509_get_extension_flags(sl_cert_x509(n->cert)) & EXFLAG_SS) != 0;
    n->missing = !self_signed;
    if (top->specific)
        return;
    (void)SL_FAIL(&why, SL_CERT_UNKNOWN_CA, "certificate %.180s, issued by %.160s: %s",
                  sl_cert_name(n->cert), sl_cert_issuer(n->cert),
                  !f->p->anchors || f->p->anchors->n == 0 ? "no anchors are configured"
                  : self_signed ? "it is self-signed and not an anchor (RFC 5280 6.1)"
                                : "no certificate of its issuer is trusted or was sent (RFC 5280 "
                                  "6.1)");
    tell(f, NULL, &why, false);
}

/* ---- ways up ------------------------------------------------------------------------------------------ */
static int by_score(const void *a, const void *b)
{
    const struct way *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static int key_id(const X509 *c, const X509 *issuer)
{
    const ASN1_OCTET_STRING *a = X509_get0_authority_key_id((X509 *)(uintptr_t)c);
    const ASN1_OCTET_STRING *s = X509_get0_subject_key_id((X509 *)(uintptr_t)issuer);
    return !a || !s ? 0 : ASN1_OCTET_STRING_cmp(a, s) == 0 ? 1 : -1;
}

/* Is it, or a CA of its name and key, in the path? (RFC 5280 6.1: no certificate twice.) */
static bool in_path(const struct sl_path_finder *f, uint32_t at)
{
    for (size_t i = 0; i < f->depth; i++) {
        if (f->frame[i].node == at)
            return true;
        const struct sl_cert *c = f->node[f->frame[i].node].cert, *d = f->node[at].cert;
        if (i > 0 && sl_bytes_eq(sl_cert_spki(c), sl_cert_spki(d)) &&
            X509_NAME_cmp(X509_get_subject_name(sl_cert_x509(c)),
                          X509_get_subject_name(sl_cert_x509(d))) == 0)
            return true;
    }
    return false;
}

static bool put_way(struct frame *fr, struct way w)
{
    if (fr->n == fr->cap) {
        size_t cap = fr->cap ? 2 * fr->cap : 8;
        struct way *v = reallocarray(fr->way, cap, sizeof(*v));
        if (!v)
            return false;
        fr->way = v;
        fr->cap = cap;
    }
    fr->way[fr->n++] = w;
    return true;
}

/*
 * A certificate joins the path, with its possible issuers in order: anchors first, then by key
 * identifier (a hint, RFC 5280 4.2.1.1), then those valid now, then as they came.
 */
static enum sl_rc push(struct sl_path_finder *f, uint32_t at, struct sl_err *err)
{
    struct frame *fr = &f->frame[f->depth++];
    fr->node = at;
    fr->n = fr->next = 0;
    fr->live = fr->specific = false;
    X509 *x = sl_cert_x509(f->node[at].cert);
    X509_NAME *issuer = X509_get_issuer_name(x);
    for (uint32_t i = 1; i < f->n; i++) {
        const struct sl_cert *c = f->node[i].cert;
        X509 *y = sl_cert_x509(c);
        if (X509_NAME_cmp(X509_get_subject_name(y), issuer) != 0 || in_path(f, i))
            continue;
        bool now =
            f->p->now_utc_s >= sl_cert_not_before(c) && f->p->now_utc_s <= sl_cert_not_after(c);
        struct way w = { .node = i, .score = 2 * (key_id(x, y) + 1) + now };
        bool self = X509_NAME_cmp(X509_get_issuer_name(y), X509_get_subject_name(y)) == 0;
        bool ok = true;
        if (f->node[i].anchor)
            ok = put_way(fr, (struct way){ .node = i, .anchor = true, .score = w.score + 8 });
        if (ok && !(f->node[i].anchor && self)) /* the anchor may also be passed through */
            ok = put_way(fr, w);
        if (!ok)
            return SL_FAIL_MEM(err);
    }
    if (fr->n > 1)
        qsort(fr->way, fr->n, sizeof(*fr->way), by_score);
    return SL_OK;
}

/* ---- one step ------------------------------------------------------------------------------------------ */
static enum sl_rc spent(struct sl_path_finder *f, const char *what, struct sl_err *err)
{
    f->cut = true;
    return SL_FAIL(err, SL_CERT_BUDGET,
                   "certificate %.300s: the search for a path used up its budget of %s",
                   sl_cert_name(f->node[0].cert), what);
}

static enum sl_rc check_cpu(struct sl_path_finder *f, int64_t from, struct sl_err *err)
{
    char what[48];
    if (f->cpu_ns + sl_clock_cpu_ns() - from <= f->budget.cpu_ns)
        return SL_OK;
    snprintf(what, sizeof(what), "%lld ms of CPU", (long long)(f->budget.cpu_ns / SL_NS_PER_MS));
    return spent(f, what, err);
}

/* RFC 5280 6.1.3 (a)(1), once for a certificate and a key. */
static enum sl_rc check_signature(struct sl_path_finder *f, uint32_t cert, uint32_t issuer,
                                  struct sl_err *err)
{
    const struct sl_cert *c = f->node[cert].cert, *by = f->node[issuer].cert;
    const struct signature *s = NULL;
    for (size_t i = 0; i < f->signature_n && !s; i++)
        if (f->signature[i].cert == cert &&
            sl_bytes_eq(sl_cert_spki(f->node[f->signature[i].issuer].cert), sl_cert_spki(by)))
            s = &f->signature[i];
    if (!s) {
        if (f->signature_n == f->budget.signatures) {
            char what[48];
            snprintf(what, sizeof(what), "%u signatures", f->budget.signatures);
            return spent(f, what, err);
        }
        EVP_PKEY *key = X509_get0_pubkey(sl_cert_x509(by));
        bool good = key && X509_verify(sl_cert_x509(c), key) == 1;
        ERR_clear_error();
        f->signature[f->signature_n] =
            (struct signature){ .cert = cert, .issuer = issuer, .good = good };
        s = &f->signature[f->signature_n++];
    }
    return s->good ? SL_OK
                   : SL_FAIL(err, SL_CERT_SIGNATURE,
                             "certificate %.200s: its signature does not verify with the key of "
                             "%.200s (RFC 5280 6.1.3 (a)(1))",
                             sl_cert_name(c), sl_cert_name(by));
}

static size_t collect(const struct sl_path_finder *f, const struct way *way,
                      const struct path_cert *path[SL_PATH_MAX])
{
    size_t n = 0;
    for (; n < f->depth; n++)
        path[n] = &f->node[f->frame[n].node].c;
    if (way)
        path[n++] = &f->node[way->node].c;
    return n;
}

/* Everything about one way up but policies. */
static enum sl_rc judge(struct sl_path_finder *f, const struct way *w, int64_t from,
                        struct sl_err *err)
{
    const struct path_cert *path[SL_PATH_MAX];
    const struct frame *top = &f->frame[f->depth - 1];
    if (f->depth == SL_PATH_MAX)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %s: the path to an anchor is longer than %d certificates",
                       sl_cert_name(f->node[f->frame[0].node].cert), SL_PATH_MAX);
    SL_TRY(read_node(f, w->node, err));
    size_t n = collect(f, w, path) - 1;
    SL_TRY(path_check_issuer(path, n, w->anchor, f->p, err));
    SL_TRY(check_signature(f, top->node, w->node, err));
    if (!path[n]->nc)
        return SL_OK;
    for (size_t i = 0; i < n; i++) {
        SL_TRY(check_cpu(f, from, err));
        if (i == 0 || !path[i]->self_issued) /* 6.1.3 (b), (c) */
            SL_TRY(path_nc_check(path[n], path[i], i == 0, err));
    }
    return SL_OK;
}

/* Has this path been handed out before a certificate was added and the search began anew? */
static bool is_found(const struct sl_path_finder *f, const struct found *one)
{
    for (size_t i = 0; i < f->found_n; i++)
        if (f->found[i].n == one->n &&
            memcmp(f->found[i].node, one->node, one->n * sizeof(one->node[0])) == 0)
            return true;
    return false;
}

/* An anchor is reached (way NULL: by the end entity itself): policies, then hand it out. */
static enum sl_rc finish(struct sl_path_finder *f, const struct way *way, struct sl_path *out,
                         bool *again, struct sl_err *err)
{
    const struct path_cert *path[SL_PATH_MAX];
    struct sl_path found = { 0 };
    struct found one = { 0 };
    size_t n = collect(f, way, path);
    SL_TRY(path_check_whole(path, n, &found, f->p, err));
    for (size_t i = 0; i < n; i++)
        one.node[one.n++] = node_at(f, way, i);
    *again = is_found(f, &one);
    if (*again)
        return SL_OK;
    struct found *v = reallocarray(f->found, f->found_n + 1, sizeof(*v));
    if (!v)
        return SL_FAIL_MEM(err);
    f->found = v;
    f->found[f->found_n++] = one;
    for (size_t i = 0; i < n; i++)
        found.cert[found.n++] = sl_cert_ref(path[i]->cert);
    *out = found;
    return SL_OK;
}

/* ---- the search ------------------------------------------------------------------------------------------ */
static bool fatal(const struct sl_path_finder *f, enum sl_rc rc)
{
    return rc == SL_NO_MEMORY || f->cut;
}

/* Way w from the top of the path. *found: out is filled. Only what ends the search is an error. */
static enum sl_rc step(struct sl_path_finder *f, const struct way *w, int64_t from,
                       struct sl_path *out, bool *found, struct sl_err *err)
{
    struct frame *top = &f->frame[f->depth - 1];
    struct sl_err why;
    sl_err_reset(&why);
    bool again = false;
    enum sl_rc rc = judge(f, w, from, &why);
    bool weak = rc != SL_OK && key_id(sl_cert_x509(f->node[top->node].cert),
                                      sl_cert_x509(f->node[w->node].cert)) < 0;
    if (rc == SL_OK) {
        top->live = true;
        if (!w->anchor)
            return push(f, w->node, err);
        rc = finish(f, w, out, &again, &why);
        *found = rc == SL_OK && !again;
    }
    if (fatal(f, rc)) {
        *err = why;
        return rc;
    }
    if (rc != SL_OK && !weak)
        top->specific = true;
    if (!again)
        tell(f, w, &why, weak);
    return SL_OK;
}

static enum sl_rc run(struct sl_path_finder *f, int64_t from, struct sl_path *out, bool *found,
                      struct sl_err *err)
{
    while (f->depth > 0 && !*found) {
        struct frame *top = &f->frame[f->depth - 1];
        SL_TRY(check_cpu(f, from, err));
        if (top->next == top->n) {
            if (!top->live)
                tell_unknown(f, top);
            f->depth--;
            continue;
        }
        if (++f->candidates > f->budget.candidates) {
            char what[48];
            snprintf(what, sizeof(what), "%u candidates", f->budget.candidates);
            return spent(f, what, err);
        }
        struct way w = top->way[top->next++];
        SL_TRY(step(f, &w, from, out, found, err));
    }
    return SL_OK;
}

/* The end entity: its own rules, and whether it is an anchor itself by configuration. */
static enum sl_rc start(struct sl_path_finder *f, struct sl_path *out, bool *found,
                        struct sl_err *err)
{
    struct sl_err why;
    sl_err_reset(&why);
    bool again = false;
    f->started = true;
    SL_TRY(read_node(f, 0, err));
    SL_TRY(push(f, 0, err));
    enum sl_rc rc = path_check_leaf(&f->node[0].c, f->p, &why);
    if (rc != SL_OK) {
        f->depth = 1;
        tell(f, NULL, &why, false);
        f->depth = 0; /* nothing above it can help */
        return SL_OK;
    }
    if (!f->node[0].anchor)
        return SL_OK;
    rc = finish(f, NULL, out, &again, &why);
    if (rc == SL_NO_MEMORY) {
        *err = why;
        return rc;
    }
    f->frame[0].live = true;
    *found = rc == SL_OK && !again;
    if (!again)
        tell(f, NULL, &why, false);
    return SL_OK;
}

enum sl_rc sl_path_finder_next(struct sl_path_finder *f, struct sl_path *out, struct sl_err *err)
{
    int64_t from = sl_clock_cpu_ns();
    struct sl_err why;
    sl_err_reset(&why);
    bool found = false;
    enum sl_rc rc = f->cut ? spent(f, "an earlier call", &why) : SL_OK;
    if (rc == SL_OK && !f->started)
        rc = start(f, out, &found, &why);
    if (rc == SL_OK && !found)
        rc = run(f, from, out, &found, &why);
    f->cpu_ns += sl_clock_cpu_ns() - from;
    ERR_clear_error();
    if (rc != SL_OK)
        return SL_FAIL(err, rc, "%s", sl_err_text(&why));
    if (found)
        return SL_OK;
    if (f->rank == 0)
        return SL_FAIL(err, SL_CERT_UNKNOWN_CA,
                       "certificate %.300s: there is no further path to an "
                       "anchor (RFC 5280 6.1)",
                       sl_cert_name(f->node[0].cert));
    return SL_FAIL(err, f->best.rc, "%s", sl_err_text(&f->best));
}

size_t sl_path_finder_missing(const struct sl_path_finder *f, struct sl_cert **v, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n && n < max; i++)
        if (f->node[i].missing)
            v[n++] = f->node[i].cert;
    return n;
}

enum sl_rc sl_path_finder_add(struct sl_path_finder *f, struct sl_cert *c, struct sl_err *err)
{
    if (find_node(f, c))
        return SL_OK;
    if (f->extra >= SL_PATH_EXTRA)
        return SL_FAIL(err, SL_TOO_LARGE, "more than %d intermediates for one path", SL_PATH_EXTRA);
    if (!put_node(f, c, false))
        return SL_FAIL_MEM(err);
    f->extra++;
    /* From the start, with what is known of signatures; what was found is not found again. */
    f->started = false;
    f->depth = 0;
    f->rank = 0;
    size_t kept = 0;
    for (size_t i = 0; i < f->told_n; i++) {
        if (f->told[i].rc == SL_OK)
            f->told[kept++] = f->told[i];
        else
            drop_candidate(&f->told[i]);
    }
    if (f->told)
        memset(&f->told[kept], 0, (f->told_n - kept) * sizeof(*f->told));
    f->told_n = kept;
    for (size_t i = 0; i < f->n; i++)
        f->node[i].missing = false;
    return SL_OK;
}

size_t sl_path_finder_candidates(const struct sl_path_finder *f, const struct sl_path_candidate **v)
{
    *v = f->told;
    return f->told_n;
}
