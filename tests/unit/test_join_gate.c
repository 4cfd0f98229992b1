/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: nodes that join at the same time are taken in by groups: all of a group leave the gate
 * together, one of them tells corosync, and no group is larger than its bound. */
#include "quorum/io/join_gate.h"

#include <glib.h>

#define NODES 10

typedef struct World {
    GMutex lock;
    unsigned admitted, groups;
} World;

typedef struct Node {
    World *world;
    char name[8];
} Node;

static void count(World *w, unsigned *what)
{
    g_mutex_lock(&w->lock);
    (*what)++;
    g_mutex_unlock(&w->lock);
}

/* What a request does, until it is taken in. */
static gpointer join(gpointer data)
{
    const Node *n = data;
    bool in = false;

    while (!in) {
        join_gate_enter();
        if ((in = !join_gate_full())) {
            join_gate_add(n->name);
            g_assert_true(join_gate_has(n->name)); /* nobody closes it before we are done */
            count(n->world, &n->world->admitted);
        }
        join_gate_leave();
        if (!in) {
            g_usleep(1000);
        } else if (join_gate_wait()) {
            count(n->world, &n->world->groups);
        }
    }
    return NULL;
}

static void groups_have_a_bound(void)
{
    World w = {0};
    Node nodes[NODES];
    GThread *threads[NODES];

    g_mutex_init(&w.lock);
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].world = &w;
        g_snprintf(nodes[i].name, sizeof nodes[i].name, "n%u", i);
        threads[i] = g_thread_new("join", join, &nodes[i]);
    }
    for (unsigned i = 0; i < NODES; i++) {
        (void)g_thread_join(threads[i]);
    }
    g_assert_cmpuint(w.admitted, ==, NODES);
    g_assert_cmpuint(w.groups, >=, (NODES + JOIN_GATE_GROUP - 1) / JOIN_GATE_GROUP);
    g_assert_false(join_gate_has("n0"));
    g_mutex_clear(&w.lock);
}

/* Without the quiet time that a smaller group is waited for. */
static void a_full_group_is_complete(void)
{
    static const char *const names[JOIN_GATE_GROUP] = {"a", "b", "c", "d"};

    join_gate_announce(); /* somebody else wants to come, too */
    for (unsigned i = 0; i < JOIN_GATE_GROUP; i++) {
        join_gate_enter();
        g_assert_false(join_gate_full());
        join_gate_add(names[i]);
        g_assert_true(join_gate_has(names[i]));
        join_gate_leave();
    }
    g_assert_true(join_gate_full());
    g_assert_true(join_gate_wait());
    g_assert_false(join_gate_full());
    g_assert_false(join_gate_has("a"));
    g_assert_false(join_gate_wait()); /* the others of the group find it closed */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/join-gate/full-group-is-complete", a_full_group_is_complete);
    g_test_add_func("/join-gate/groups-have-a-bound", groups_have_a_bound);
    return g_test_run();
}
