/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/node_plans.h"

#include "quorum/core/joinjson.h"

#include <string.h>

STRTAB_DEFINE(remove_step, RemoveStep, REMOVE_STEPS, REMOVE_STEP_N)
STRTAB_DEFINE(leave_step, LeaveStep, LEAVE_STEPS, LEAVE_STEP_N)
STRTAB_DEFINE(rename_step, RenameStep, RENAME_STEPS, RENAME_STEP_N)
STRTAB_DEFINE(readdress_step, ReaddressStep, READDRESS_STEPS, READDRESS_STEP_N)
STRTAB_DEFINE(node_plan_kind, NodePlanKind, NODE_PLAN_LIST, NODE_PLAN_N)

static const char *remove_name(unsigned step)
{
    return remove_step_name((RemoveStep)step);
}

static const char *leave_name(unsigned step)
{
    return leave_step_name((LeaveStep)step);
}

static const char *rename_name(unsigned step)
{
    return rename_step_name((RenameStep)step);
}

static const char *readdress_name(unsigned step)
{
    return readdress_step_name((ReaddressStep)step);
}

static const StepPlan plans[NODE_PLAN_N] = {
    [NODE_PLAN_REMOVE] = {REMOVE_STEP_N, REMOVE_STEP_LIST, remove_name},
    [NODE_PLAN_LEAVE] = {LEAVE_STEP_N, LEAVE_STEP_REMOVE, leave_name},
    [NODE_PLAN_RENAME] = {RENAME_STEP_N, RENAME_STEP_FILES, rename_name},
    [NODE_PLAN_READDRESS] = {READDRESS_STEP_N, READDRESS_STEP_N, readdress_name},
};

const StepPlan *node_plan(NodePlanKind kind)
{
    return &plans[kind];
}

int node_plan_step(NodePlanKind kind, const char *name)
{
    for (unsigned i = 0; i < plans[kind].count; i++) {
        if (strcmp(plans[kind].step_name(i), name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- interrupted kick ------------------------------------------------------------------------ */

KickResume kick_resume(const KickFacts *f)
{
    uint32_t absent = f->expected > f->others ? f->expected - f->others : 0;

    if (!f->listed) {
        return KICK_RESUME_NOTHING;
    }
    if (f->online) {
        return KICK_RESUME_AGAIN; /* with quorum, too: it may be lost at the next moment */
    }
    if (f->others >= f->quorum) {
        return KICK_RESUME_NOTHING;
    }
    return absent < f->quorum ? KICK_RESUME_WITHOUT : KICK_RESUME_WAIT;
}

/* ---- may it go? ------------------------------------------------------------------------------ */

static bool contains(const GArray *ids, uint32_t id)
{
    for (guint i = 0; i < ids->len; i++) {
        if (g_array_index(ids, uint32_t, i) == id) {
            return true;
        }
    }
    return false;
}

static char *join_texts(const GPtrArray *texts)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < texts->len; i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? ", " : "",
                               (const char *)g_ptr_array_index(texts, i));
    }
    return g_string_free(out, FALSE);
}

char *depart_guest_problem(const DepartFacts *f)
{
    g_autofree char *list = NULL;

    if (f->guests_remedy == NULL || f->guests->len == 0) {
        return NULL;
    }
    list = join_texts(f->guests);
    return g_strdup_printf("node '%s' still has guests: %s; %s", f->node, list, f->guests_remedy);
}

/* A node that is up takes its votes with it: the others must be able to decide without. One that is
 * off only lowers what is expected. */
static void check_votes(const DepartFacts *f, const CorosyncNode *node, GPtrArray *problems)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(f->conf);
    uint32_t expected = corosync_expected_votes(f->conf) - node->votes;
    uint32_t have = expected;

    if (!contains(f->online, node->nodeid)) {
        return;
    }
    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *other = g_ptr_array_index(nodes, i);

        /* What is left is the others that are up, and a quorum device. */
        if (other->nodeid != node->nodeid && !contains(f->online, other->nodeid)) {
            have -= other->votes;
        }
    }
    if (have < expected / 2 + 1) {
        problems_add(problems,
                     "without node '%s' the cluster would have %u of %u votes and no quorum: bring "
                     "other nodes up, or remove those that are gone, first",
                     f->node, have, expected);
    }
}

/* The nodes that are not up: "a, b"; "" when none is away. Caller frees. */
static char *names_away(const DepartFacts *f, const GPtrArray *nodes)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (guint i = 0; i < nodes->len; i++) {
        const CorosyncNode *node = g_ptr_array_index(nodes, i);

        if (!contains(f->online, node->nodeid)) {
            g_ptr_array_add(names, node->name);
        }
    }
    return join_texts(names);
}

GPtrArray *depart_problems(const DepartFacts *f)
{
    GPtrArray *problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) nodes = corosync_nodes(f->conf);
    const CorosyncNode *node = corosync_nodes_find(nodes, f->node);
    char *guests = depart_guest_problem(f);

    if (!f->quorate) {
        g_autofree char *away = names_away(f, nodes);

        problems_add(problems,
                     "the cluster has no quorum%s%s: bring its nodes up first, or, when they are "
                     "gone for good, say so with 'pvecm expected VOTES'",
                     *away != '\0' ? ", not seen: " : "", away);
    }
    if (node == NULL) {
        problems_add(problems, "node '%s' is not in the cluster", f->node);
    } else if (nodes->len == 1) {
        problems_add(problems, "'%s' is the last node of the cluster", f->node);
    } else {
        check_votes(f, node, problems);
    }
    if (guests != NULL) {
        g_ptr_array_add(problems, guests);
    }
    if (f->ha_guests->len > 0) {
        g_autofree char *list = join_texts(f->ha_guests);

        problems_add(problems,
                     "HA manages guests of node '%s': %s; take them out of HA first ('ha-manager "
                     "remove SID')",
                     f->node, list);
    }
    return problems;
}
