/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a command in the queue is carried out once and never lost, whatever happens to the master
 * between reading it and writing what came of it. Method: the CRM of one node of the simulator's
 * cluster, whose writes of manager_status and updates of the queue can be made to fail.
 */
#include "ha-manager/sim/hasim_world.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define COMMAND "enable-node-maintenance node2\n"
#define MORE    "enable-node-maintenance node3\n"
#define ROUND_S 10

typedef struct Rig {
    HaSimWorld *w;
    HaSimNode *master;
    HaEnvOps ops;
    const HaEnvOps *real;
    bool no_write;    /* manager_status cannot be written */
    bool no_update;   /* nor the queue */
    bool one_more;    /* somebody adds MORE while the round runs */
    unsigned refused; /* times the command found the node in maintenance already */
} Rig;

static Rig *rig; /* what the operations below are about */

static void note_log(void *ctx, const char *level, int64_t at, const char *source, const char *text)
{
    (void)ctx;
    g_test_message("%s %d %s: %s", level, (int)at, source, text);
    if (rig != NULL && strstr(text, "already in maintenance") != NULL) {
        rig->refused++;
    }
}

static int env_write(void *ctx, HaFile file, const char *node, const char *text, Err *err)
{
    if (file == HA_FILE_MANAGER_STATUS && rig->no_write) {
        return err_setf(err, -ESTALE, "the lease is over");
    }
    if (file == HA_FILE_MANAGER_STATUS && rig->one_more) {
        g_autofree char *queue =
            g_strconcat(hasim_world_file(rig->w, HA_FILE_COMMANDS), MORE, NULL);

        rig->one_more = false;
        hasim_world_set_file(rig->w, HA_FILE_COMMANDS, queue);
    }
    return rig->real->write(ctx, file, node, text, err);
}

static int env_update(void *ctx, HaFile file, HaEdit edit, void *data, Err *err)
{
    if (rig->no_update) {
        return err_setf(err, -EBUSY, "somebody has the lock");
    }
    return rig->real->update(ctx, file, edit, data, err);
}

static void run_round(Rig *r)
{
    HaSimDaemon *d = &r->master->crm;

    d->clock = r->w->time;
    (void)ha_crm_round(d->crm, (HaNow){{d->clock * US_PER_SEC}, {d->clock}});
    r->w->time += ROUND_S;
}

/* The CRM begins (anew) and becomes master. */
static void become_master(Rig *r)
{
    if (r->master->crm.crm != NULL) {
        ha_crm_free(r->master->crm.crm);
        r->master->crm.crm = NULL;
    }
    hasim_start_crm(r->master, r->w);
    r->real = r->master->crm.env.ops;
    r->ops = *r->real;
    r->ops.write = env_write;
    r->ops.update = env_update;
    r->master->crm.env.ops = &r->ops;
    while (ha_crm_manager_status(r->master->crm.crm) == NULL) {
        run_round(r);
        g_assert_cmpint(r->w->time, <, 3600);
    }
}

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    rig = r;
    r->w = hasim_world_new(note_log, NULL);
    r->w->conduct = ha_conduct_improved;
    r->master = hasim_world_add_node(r->w, "node1");
    (void)hasim_world_add_node(r->w, "node2");
    (void)hasim_world_add_node(r->w, "node3");
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        HaSimNode *n = strmap_value(r->w->nodes, i);

        n->power = true;
        n->network = true;
    }
    (void)hasim_world_add_guest(r->w, "vm:100", "node1");
    hasim_world_set_file(r->w, HA_FILE_RESOURCES, "vm: 100\n\tstate started\n\n");
    become_master(r);
    run_round(r);
    hasim_world_set_file(r->w, HA_FILE_COMMANDS, COMMAND);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_free(r->w);
    rig = NULL;
}

static const char *queue(const Rig *r)
{
    return hasim_world_file(r->w, HA_FILE_COMMANDS);
}

/* What anybody can read of it. */
static bool asked_in_file(const Rig *r, const char *node)
{
    g_autoptr(HaManagerStatus) ms = NULL;

    g_assert_cmpint(
        ha_manager_status_parse(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), NULL, NULL, &ms,
                                NULL),
        ==, 0);
    return strmap_has(ms->maintenance, node);
}

static void leaves_the_queue(Rig *r, gconstpointer data)
{
    (void)data;
    run_round(r);
    g_assert_cmpstr(queue(r), ==, "");
    g_assert_true(asked_in_file(r, "node2"));
}

static void stays_until_its_effect_is_written(Rig *r, gconstpointer data)
{
    (void)data;
    r->no_write = true;
    run_round(r);
    g_assert_cmpstr(queue(r), ==, COMMAND);
    g_assert_false(asked_in_file(r, "node2"));
    r->no_write = false;
    run_round(r);
    g_assert_cmpstr(queue(r), ==, "");
    g_assert_true(asked_in_file(r, "node2"));
    g_assert_cmpuint(r->refused, ==, 0);
}

static void next_master_carries_it_out(Rig *r, gconstpointer data)
{
    (void)data;
    r->no_write = true;
    run_round(r);
    r->no_write = false;
    become_master(r);
    run_round(r);
    g_assert_cmpstr(queue(r), ==, "");
    g_assert_true(asked_in_file(r, "node2"));
}

/* The queue's lock is taken by somebody: the command stays, and is not carried out again. */
static void is_not_carried_out_twice(Rig *r, gconstpointer data)
{
    (void)data;
    r->no_update = true;
    for (int i = 0; i < 12; i++) {
        run_round(r);
        g_assert_cmpstr(queue(r), ==, COMMAND);
    }
    g_assert_true(asked_in_file(r, "node2"));
    g_assert_cmpuint(r->refused, ==, 0);
    r->no_update = false;
    run_round(r);
    g_assert_cmpstr(queue(r), ==, "");
}

static void what_is_added_meanwhile_stays(Rig *r, gconstpointer data)
{
    (void)data;
    r->one_more = true;
    run_round(r);
    g_assert_cmpstr(queue(r), ==, MORE);
    g_assert_false(asked_in_file(r, "node3"));
    run_round(r);
    g_assert_cmpstr(queue(r), ==, "");
    g_assert_true(asked_in_file(r, "node3"));
}

/* A person emptied it and wrote the same again: that is a new command. */
static void queue_of_others_is_left_alone(Rig *r, gconstpointer data)
{
    (void)data;
    r->no_update = true;
    run_round(r);
    r->no_update = false;
    hasim_world_set_file(r->w, HA_FILE_COMMANDS, MORE);
    run_round(r);
    g_assert_true(asked_in_file(r, "node3"));
    g_assert_cmpstr(queue(r), ==, "");
}

#define CASE(name, function) g_test_add(name, Rig, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("/ha/commands/leave-the-queue", leaves_the_queue);
    CASE("/ha/commands/stay-until-their-effect-is-written", stays_until_its_effect_is_written);
    CASE("/ha/commands/next-master-carries-them-out", next_master_carries_it_out);
    CASE("/ha/commands/are-not-carried-out-twice", is_not_carried_out_twice);
    CASE("/ha/commands/what-is-added-meanwhile-stays", what_is_added_meanwhile_stays);
    CASE("/ha/commands/a-queue-changed-by-others-is-read-anew", queue_of_others_is_left_alone);
    return g_test_run();
}
