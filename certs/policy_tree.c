/*
 * Certificate policies of a path: RFC 5280 6.1.2 to 6.1.5 with the policy graph of RFC 9618 in place
 * of the tree, so that the work grows with the policies in the certificates and not with the number
 * of ways through their mappings. Qualifiers are not kept: nobody here shows them to a user.
 *
 * A level holds one node for each valid policy at that depth. A node's expected policies are itself
 * until a mapping says otherwise. Nodes without children are not pruned as they appear: a level with
 * no node means that the graph is NULL, and the final walk upwards visits only what has children.
 */
#include "certs/path_internal.h"

#include <openssl/objects.h>

#include <stdlib.h>
#include <string.h>

#define LEVEL_NODES 256
#define LEVEL_LINKS 512
#define ANY_POLICY  "2.5.29.32.0"

struct link {
    uint16_t node; /* expected: of this level; parent: of the level above */
    uint16_t child;
    const ASN1_OBJECT *oid;
};

struct node {
    const ASN1_OBJECT *oid;
    bool mapped, gone, live;
    bool from_any; /* a parent is the anyPolicy node above */
};

struct level {
    struct node node[LEVEL_NODES];
    size_t n;
    int any; /* its anyPolicy node, -1: none */
    struct link expected[LEVEL_LINKS], parent[LEVEL_LINKS];
    size_t expected_n, parent_n;
};

struct graph {
    struct level *level; /* [0] the anchor's: anyPolicy alone */
    size_t n;
    bool null;
    bool full; /* a limit was passed */
};

static bool is_any(const ASN1_OBJECT *o)
{
    return OBJ_obj2nid(o) == NID_any_policy;
}

static int find(const struct level *l, const ASN1_OBJECT *oid)
{
    for (size_t i = 0; i < l->n; i++)
        if (!l->node[i].gone && OBJ_cmp(l->node[i].oid, oid) == 0)
            return (int)i;
    return -1;
}

static int add_node(struct graph *g, struct level *l, const ASN1_OBJECT *oid)
{
    if (l->n == LEVEL_NODES) {
        g->full = true;
        return -1;
    }
    l->node[l->n] = (struct node){ .oid = oid };
    return (int)l->n++;
}

static void add_link(struct graph *g, struct link *v, size_t *n, struct link one)
{
    if (*n == LEVEL_LINKS)
        g->full = true;
    else
        v[(*n)++] = one;
}

/* Makes child in l a child of every node above that expects oid; false when there is none. */
static bool adopt(struct graph *g, const struct level *up, struct level *l, const ASN1_OBJECT *oid,
                  int child)
{
    bool found = false;
    for (size_t i = 0; i < up->n; i++) {
        const struct node *n = &up->node[i];
        if (n->gone || n->mapped || (int)i == up->any || OBJ_cmp(n->oid, oid) != 0)
            continue;
        add_link(g, l->parent, &l->parent_n,
                 (struct link){ .node = (uint16_t)i, .child = (uint16_t)child, .oid = oid });
        found = true;
    }
    for (size_t i = 0; i < up->expected_n; i++)
        if (OBJ_cmp(up->expected[i].oid, oid) == 0) {
            add_link(g, l->parent, &l->parent_n,
                     (struct link){
                         .node = up->expected[i].node, .child = (uint16_t)child, .oid = oid });
            found = true;
        }
    return found;
}

/* 6.1.3 (d)(1): the policies that the certificate names. */
static void add_named(struct graph *g, const struct level *up, struct level *l,
                      const CERTIFICATEPOLICIES *policies)
{
    for (int i = 0; i < sk_POLICYINFO_num(policies) && !g->full; i++) {
        const ASN1_OBJECT *oid = sk_POLICYINFO_value(policies, i)->policyid;
        if (is_any(oid))
            continue;
        int child = add_node(g, l, oid);
        if (child < 0)
            return;
        if (adopt(g, up, l, oid, child))
            continue;
        if (up->any >= 0)
            l->node[child].from_any = true;
        else
            l->n--;
    }
}

/* 6.1.3 (d)(2): anyPolicy in the certificate stands for all that is expected and not named. */
static void add_any(struct graph *g, const struct level *up, struct level *l)
{
    for (size_t i = 0; i < up->n && !g->full; i++) {
        const struct node *n = &up->node[i];
        if (n->gone || n->mapped || (int)i == up->any || find(l, n->oid) >= 0)
            continue;
        int child = add_node(g, l, n->oid);
        if (child >= 0)
            (void)adopt(g, up, l, n->oid, child);
    }
    for (size_t i = 0; i < up->expected_n && !g->full; i++) {
        const ASN1_OBJECT *oid = up->expected[i].oid;
        if (find(l, oid) >= 0)
            continue;
        int child = add_node(g, l, oid);
        if (child >= 0)
            (void)adopt(g, up, l, oid, child);
    }
    if (up->any >= 0) {
        l->any = add_node(g, l, OBJ_nid2obj(NID_any_policy));
        if (l->any >= 0)
            l->node[l->any].from_any = true;
    }
}

/* RFC 5280 6.1.3 (d), (e): one level more. */
static void grow(struct graph *g, const struct path_cert *c, bool any_allowed)
{
    if (!c->policies || g->null) {
        g->null = true;
        return;
    }
    struct level *l = &g->level[g->n];
    const struct level *up = &g->level[g->n - 1];
    g->n++;
    l->any = -1;
    bool any = false;
    for (int i = 0; i < sk_POLICYINFO_num(c->policies); i++)
        any = any || is_any(sk_POLICYINFO_value(c->policies, i)->policyid);
    add_named(g, up, l, c->policies);
    if (any && any_allowed)
        add_any(g, up, l);
    g->null = l->n == 0;
}

static void map_one(struct graph *g, struct level *l, const POLICY_MAPPING *m, bool allowed)
{
    int at = find(l, m->issuerDomainPolicy);
    if (!allowed) {
        if (at >= 0)
            l->node[at].gone = true;
        return;
    }
    if (at < 0 && l->any >= 0) {
        at = add_node(g, l, m->issuerDomainPolicy);
        if (at >= 0)
            l->node[at].from_any = true;
    }
    if (at < 0)
        return;
    l->node[at].mapped = true;
    add_link(g, l->expected, &l->expected_n,
             (struct link){ .node = (uint16_t)at, .oid = m->subjectDomainPolicy });
}

/* RFC 5280 6.1.4 (a), (b). */
static enum sl_rc map(struct graph *g, const struct path_cert *c, bool allowed, struct sl_err *err)
{
    struct level *l = &g->level[g->n - 1];
    for (int i = 0; i < sk_POLICY_MAPPING_num(c->mappings); i++) {
        const POLICY_MAPPING *m = sk_POLICY_MAPPING_value(c->mappings, i);
        if (is_any(m->issuerDomainPolicy) || is_any(m->subjectDomainPolicy))
            return SL_FAIL(err, SL_CERT_POLICY,
                           "certificate %s: policyMappings maps anyPolicy (RFC 5280 6.1.4 (a))",
                           sl_cert_name(c->cert));
        if (!g->null)
            map_one(g, l, m, allowed);
    }
    bool left = false;
    for (size_t i = 0; i < l->n; i++)
        left = left || !l->node[i].gone;
    g->null = g->null || !left;
    return SL_OK;
}

static void add_policy(struct sl_path *out, const ASN1_OBJECT *oid)
{
    char text[sizeof(out->policy[0])];
    int n = OBJ_obj2txt(text, sizeof(text), oid, 1);
    if (n <= 0 || (size_t)n >= sizeof(text) || out->policy_n == SL_PATH_POLICIES_MAX)
        return; /* more, or longer ones, than can be told: those that are told hold */
    for (size_t i = 0; i < out->policy_n; i++)
        if (strcmp(out->policy[i], text) == 0)
            return;
    memcpy(out->policy[out->policy_n++], text, (size_t)n + 1);
}

static bool user_wants(const struct sl_path_params *p, const char *oid)
{
    for (size_t i = 0; i < p->policy_n; i++)
        if (strcmp(p->policy[i], oid) == 0)
            return true;
    return p->policy_n == 0;
}

static bool user_wants_object(const struct sl_path_params *p, const ASN1_OBJECT *oid)
{
    for (size_t i = 0; i < p->policy_n; i++) {
        ASN1_OBJECT *o = OBJ_txt2obj(p->policy[i], 1);
        bool same = o && OBJ_cmp(o, oid) == 0;
        ASN1_OBJECT_free(o);
        if (same)
            return true;
    }
    return user_wants(p, ANY_POLICY);
}

/*
 * RFC 9618 6.1.5 (g): the policies of the anchor's domain (a parent is anyPolicy) from which a way
 * leads to the last level, cut to what the user wants. Returns whether any is left.
 */
static bool constrain(struct graph *g, struct sl_path *out, const struct sl_path_params *p)
{
    bool some = false, any = false;
    struct level *last = &g->level[g->n - 1];
    for (size_t i = 0; i < last->n && !g->null; i++)
        last->node[i].live = !last->node[i].gone;
    for (size_t k = g->n - 1; k > 0 && !g->null; k--) {
        struct level *l = &g->level[k], *up = &g->level[k - 1];
        for (size_t i = 0; i < l->n; i++) {
            const struct node *n = &l->node[i];
            if (!n->live || !n->from_any)
                continue;
            if (up->any >= 0)
                up->node[up->any].live = true;
            if (is_any(n->oid)) {
                any = any || k == g->n - 1;
            } else if (user_wants_object(p, n->oid)) {
                some = true;
                add_policy(out, n->oid);
            }
        }
        for (size_t i = 0; i < l->parent_n; i++)
            if (l->parent[i].child < l->n && l->node[l->parent[i].child].live)
                up->node[l->parent[i].node].live = !up->node[l->parent[i].node].gone;
    }
    if (!any)
        return some;
    if (user_wants(p, ANY_POLICY))
        add_policy(out, OBJ_nid2obj(NID_any_policy));
    for (size_t i = 0; i < p->policy_n && !user_wants(p, ANY_POLICY); i++) {
        ASN1_OBJECT *o = OBJ_txt2obj(p->policy[i], 1);
        if (o)
            add_policy(out, o);
        ASN1_OBJECT_free(o);
    }
    return true;
}

static void lower(size_t *v, long to)
{
    if (to >= 0 && (size_t)to < *v)
        *v = (size_t)to;
}

static void count_down(size_t *v)
{
    if (*v > 0)
        (*v)--;
}

static enum sl_rc no_policy(const struct path_cert *c, const char *section, struct sl_err *err)
{
    return SL_FAIL(err, SL_CERT_POLICY,
                   "certificate %s: a valid policy is required and the path to it has none "
                   "(RFC 5280 %s)",
                   sl_cert_name(c->cert), section);
}

static enum sl_rc walk(struct graph *g, const struct path_cert *const *path, size_t n,
                       struct sl_path *out, const struct sl_path_params *p, struct sl_err *err)
{
    /* 6.1.2 (d) to (f): n + 1 means not yet */
    size_t explicit_policy = p->explicit_policy ? 0 : n + 1;
    size_t inhibit_any = p->inhibit_any ? 0 : n + 1;
    size_t policy_mapping = p->inhibit_mapping ? 0 : n + 1;
    for (size_t i = n; i-- > 0;) { /* path[i], from below the anchor down to the end entity */
        const struct path_cert *c = path[i];
        grow(g, c, inhibit_any > 0 || (i > 0 && c->self_issued));
        if (explicit_policy == 0 && g->null)
            return no_policy(c, "6.1.3 (f)", err);
        if (i == 0) {
            count_down(&explicit_policy); /* 6.1.5 (a), (b) */
            if (c->require == 0)
                explicit_policy = 0;
            break;
        }
        SL_TRY(map(g, c, policy_mapping > 0, err));
        if (!c->self_issued) { /* 6.1.4 (h) */
            count_down(&explicit_policy);
            count_down(&policy_mapping);
            count_down(&inhibit_any);
        }
        lower(&explicit_policy, c->require); /* (i), (j) */
        lower(&policy_mapping, c->no_map);
        lower(&inhibit_any, c->no_any);
    }
    if (g->full)
        return SL_FAIL(err, SL_CERT_BUDGET,
                       "certificate %s: the path names more than %d policies at one depth",
                       sl_cert_name(path[0]->cert), LEVEL_NODES);
    out->policy_n = 0;
    bool some = constrain(g, out, p);
    if (explicit_policy == 0 && !some)
        return no_policy(path[0], "6.1.5 (g)", err);
    return SL_OK;
}

enum sl_rc path_policies(const struct path_cert *const *path, size_t n, struct sl_path *out,
                         const struct sl_path_params *p, struct sl_err *err)
{
    /* An end entity that is itself the anchor is judged as the one certificate below it. */
    size_t below = n > 1 ? n - 1 : 1, levels = 0;
    while (levels < below && path[below - 1 - levels]->policies)
        levels++; /* one certificate without policies and the graph is NULL, 6.1.3 (e) */
    struct level *level = calloc(levels + 1, sizeof(*level));
    if (!level)
        return SL_FAIL_MEM(err);
    struct graph g = { .level = level, .n = 1 };
    level[0].any = 0;
    level[0].n = 1;
    level[0].node[0].oid = OBJ_nid2obj(NID_any_policy);
    enum sl_rc rc = walk(&g, path, below, out, p, err);
    free(level);
    return rc;
}
