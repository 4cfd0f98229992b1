/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a node that crashed and came back proves by its boot id that what it ran is gone, and by
 * nothing less. Method: the CRM of one node of the simulator's cluster; the LRM of the lost node is
 * the test, which writes its status file and holds its lock.
 */
#include "ha-manager/sim/hasim_world.h"

#include <glib.h>

#define SID     "vm:100"
#define LOST    "node2"
#define ROUND_S 10

typedef struct Rig {
    HaSimWorld *w;
    HaSimNode *master;
    HaSimNode *lost;
} Rig;

static void no_log(void *ctx, const char *level, int64_t at, const char *source, const char *text)
{
    (void)ctx;
    g_test_message("%s %d %s: %s", level, (int)at, source, text);
}

/* The LRM of the lost node says this. */
static void says(Rig *r, const char *state, const char *boot)
{
    g_free(r->lost->lrm_status);
    r->lost->lrm_status = g_strdup_printf(
        "{\"state\":\"%s\",\"mode\":\"active\",\"timestamp\":1,%s%s%s\"results\":{}}", state,
        boot != NULL ? "\"boot_id\":\"" : "", boot != NULL ? boot : "", boot != NULL ? "\"," : "");
}

/* Its lock, renewed now. */
static void holds_lock(Rig *r)
{
    g_autofree char *name = ha_agent_lock_name(LOST);
    HaSimLock *l = g_new0(HaSimLock, 1);

    l->node = g_strdup(LOST);
    l->time = r->w->time;
    strmap_set(r->w->locks, name, l);
}

static void gives_lock_back(Rig *r)
{
    g_autofree char *name = ha_agent_lock_name(LOST);

    g_assert_true(strmap_remove(r->w->locks, name));
}

static void online(Rig *r, bool is)
{
    r->lost->power = is;
    r->lost->network = is;
}

static void run_round(Rig *r)
{
    HaSimDaemon *d = &r->master->crm;

    d->clock = r->w->time;
    (void)ha_crm_round(d->crm, (HaNow){{d->clock * US_PER_SEC}, {d->clock}});
    r->w->time += ROUND_S;
}

static const HaManagerStatus *status(const Rig *r)
{
    const HaManagerStatus *ms = ha_crm_manager_status(r->master->crm.crm);

    g_assert_nonnull(ms);
    return ms;
}

static const HaService *service(const Rig *r)
{
    const HaService *s = strmap_get(status(r)->services, SID);

    g_assert_nonnull(s);
    return s;
}

/* Lost, its fence delay over, its lock still good: the service waits for a proof. */
static void lose(Rig *r)
{
    online(r, false);
    for (int i = 0; i < 30 && service(r)->state != HA_SERVICE_FENCE; i++) {
        holds_lock(r);
        run_round(r);
    }
    g_assert_cmpint(service(r)->state, ==, HA_SERVICE_FENCE);
    holds_lock(r);
}

/* The master has looked once after its asking for a fence could be read. */
static void lose_and_note(Rig *r)
{
    lose(r);
    run_round(r);
    g_assert_cmpint(service(r)->state, ==, HA_SERVICE_FENCE);
    holds_lock(r);
}

static void set_up(Rig *r, gconstpointer data)
{
    r->w = hasim_world_new(no_log, NULL);
    r->w->conduct = ha_conduct_improved;
    r->master = hasim_world_add_node(r->w, "node1");
    r->lost = hasim_world_add_node(r->w, LOST);
    (void)hasim_world_add_node(r->w, "node3");
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        HaSimNode *n = strmap_value(r->w->nodes, i);

        n->power = true;
        n->network = true;
    }
    (void)hasim_world_add_guest(r->w, SID, LOST);
    hasim_world_set_file(r->w, HA_FILE_RESOURCES, "vm: 100\n\tstate started\n\n");
    hasim_start_crm(r->master, r->w);
    says(r, "active", "first-boot");
    holds_lock(r);
    for (int i = 0; i < 3; i++) {
        run_round(r);
    }
    g_assert_cmpint(service(r)->state, ==, HA_SERVICE_STARTED);
    g_assert_cmpstr(strmap_get(status(r)->boots, LOST), ==, "first-boot");
    if (data == NULL) {
        lose_and_note(r);
    } else {
        lose(r);
    }
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_free(r->w);
}

static void assert_waits(Rig *r)
{
    for (int i = 0; i < 3; i++) {
        run_round(r);
        g_assert_cmpint(service(r)->state, ==, HA_SERVICE_FENCE);
        g_assert_null(service(r)->proof);
        g_assert_cmpint(ha_manager_status_node(status(r), LOST), ==, HA_NODE_FENCE);
        g_assert_cmpstr(strmap_get(status(r)->boots, LOST), ==, "first-boot");
    }
}

static void assert_recovers(Rig *r, const char *proof)
{
    const HaService *s;

    run_round(r);
    s = service(r);
    g_assert_cmpint(s->state, ==, HA_SERVICE_STARTED);
    g_assert_cmpstr(s->proof, ==, proof);
    g_assert_cmpint(ha_manager_status_node(status(r), LOST), !=, HA_NODE_FENCE);
}

static void other_boot_and_lock_are_a_proof(Rig *r, gconstpointer data)
{
    (void)data;
    online(r, true);
    says(r, "wait_for_agent_lock", "second-boot");
    gives_lock_back(r);
    assert_recovers(r, "node-rebooted");
    run_round(r); /* nothing waits any more: this is the boot it is lost in next time */
    g_assert_cmpstr(strmap_get(status(r)->boots, LOST), ==, "second-boot");
}

static void other_boot_without_lock_is_none(Rig *r, gconstpointer data)
{
    (void)data;
    online(r, true);
    says(r, "wait_for_agent_lock", "second-boot");
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, "node-rebooted");
}

static void node_that_is_away_has_not_rebooted(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, "wait_for_agent_lock", "second-boot");
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, "lease-expired");
}

static void same_boot_is_no_reboot(Rig *r, gconstpointer data)
{
    (void)data;
    online(r, true);
    says(r, "wait_for_agent_lock", "first-boot");
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, "lease-expired");
}

static void lrm_that_does_not_tell_is_no_reboot(Rig *r, gconstpointer data)
{
    (void)data;
    online(r, true);
    says(r, "wait_for_agent_lock", NULL);
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, "lease-expired");
}

static void lrm_at_work_is_no_reboot(Rig *r, gconstpointer data)
{
    (void)data;
    online(r, true);
    says(r, "active", "second-boot");
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, "lease-expired");
}

/* It came back in a boot that no master saw at work, began the service again, was lost in that one,
 * and then its LRM was begun anew: the boot told when the fence was asked for is what counts. */
static void boot_that_nobody_saw_is_to_be_fenced(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, "active", "second-boot");
    holds_lock(r);
    run_round(r);
    g_assert_cmpint(service(r)->state, ==, HA_SERVICE_FENCE);
    g_assert_cmpstr(strmap_get(status(r)->boots, LOST), ==, "second-boot");
    online(r, true);
    says(r, "wait_for_agent_lock", "second-boot");
    holds_lock(r);
    for (int i = 0; i < 3; i++) {
        run_round(r);
        g_assert_cmpint(service(r)->state, ==, HA_SERVICE_FENCE);
    }
    says(r, "wait_for_agent_lock", "third-boot");
    gives_lock_back(r);
    assert_recovers(r, "node-rebooted");
}

/* What it tells between the asking and the first look after it may be of a boot that works. */
static void boot_told_before_the_look_is_no_proof(Rig *r, gconstpointer data)
{
    (void)data;
    online(r, true);
    says(r, "wait_for_agent_lock", "second-boot");
    for (int i = 0; i < 3; i++) {
        run_round(r);
        g_assert_cmpint(service(r)->state, ==, HA_SERVICE_FENCE);
    }
    g_assert_cmpstr(strmap_get(status(r)->boots, LOST), ==, "second-boot");
    gives_lock_back(r);
    assert_recovers(r, "lease-expired");
}

/* The boot is in manager_status: who becomes master meanwhile knows it too. */
static void next_master_knows_the_boot(Rig *r, gconstpointer data)
{
    (void)data;
    ha_crm_free(r->master->crm.crm);
    r->master->crm.crm = NULL;
    hasim_start_crm(r->master, r->w);
    while (ha_crm_manager_status(r->master->crm.crm) == NULL) {
        holds_lock(r);
        run_round(r);
        g_assert_cmpint(r->w->time, <, 3600);
    }
    online(r, true);
    says(r, "wait_for_agent_lock", "second-boot");
    holds_lock(r);
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, "node-rebooted");
}

/* Puts another status in force while the manager lock is being taken. */
static struct {
    const HaEnvOps *real;
    Rig *rig;
    const char *text;
} late;

static int lock_late(void *ctx, const char *name)
{
    if (late.text != NULL && strcmp(name, HA_MANAGER_LOCK) == 0) {
        hasim_world_set_file(late.rig->w, HA_FILE_MANAGER_STATUS, late.text);
        late.text = NULL;
    }
    return late.real->lock(ctx, name);
}

/* The CRM of node1 begins anew and becomes master with that status. */
static void take_over_with(Rig *r, const char *text)
{
    static HaEnvOps ops;

    ha_crm_free(r->master->crm.crm);
    r->master->crm.crm = NULL;
    hasim_start_crm(r->master, r->w);
    late.real = r->master->crm.env.ops;
    late.rig = r;
    late.text = text;
    ops = *late.real;
    ops.lock = lock_late;
    r->master->crm.env.ops = &ops;
    while (ha_crm_manager_status(r->master->crm.crm) == NULL) {
        run_round(r);
        g_assert_cmpint(r->w->time, <, 3600);
    }
    g_assert_null(late.text);
}

static void master_that_is_to_be_fenced_steps_aside(Rig *r, gconstpointer data)
{
    (void)data;
    take_over_with(r, "{\"node_status\":{\"node1\":\"fence\",\"node2\":\"online\"},"
                      "\"service_status\":{\"" SID "\":{\"node\":\"node1\",\"state\":\"fence\"}}}");
    run_round(r);
    g_assert_null(ha_crm_manager_status(r->master->crm.crm));
    g_assert_false(strmap_has(r->w->locks, HA_MANAGER_LOCK));
    run_round(r); /* and does not come back while it is to be fenced */
    g_assert_null(ha_crm_manager_status(r->master->crm.crm));
}

static void master_that_is_fenced_in_vain_works(Rig *r, gconstpointer data)
{
    (void)data;
    take_over_with(r,
                   "{\"node_status\":{\"node1\":\"fence\",\"node2\":\"online\"},"
                   "\"service_status\":{\"" SID "\":{\"node\":\"node3\",\"state\":\"started\"}}}");
    run_round(r);
    g_assert_cmpint(ha_manager_status_node(status(r), "node1"), ==, HA_NODE_ONLINE);
}

/* Strictly as documented there is no such proof. */
static void documented_conduct_waits_for_the_lease(Rig *r, gconstpointer data)
{
    (void)data;
    r->master->crm.env.conduct = ha_conduct_documented;
    online(r, true);
    says(r, "wait_for_agent_lock", "second-boot");
    assert_waits(r);
    gives_lock_back(r);
    assert_recovers(r, NULL);
}

#define CASE(name, function) g_test_add(name, Rig, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("/ha/reboot/other-boot-and-lock-are-a-proof", other_boot_and_lock_are_a_proof);
    CASE("/ha/reboot/other-boot-without-lock-is-none", other_boot_without_lock_is_none);
    CASE("/ha/reboot/node-that-is-away-has-not-rebooted", node_that_is_away_has_not_rebooted);
    CASE("/ha/reboot/same-boot-is-no-reboot", same_boot_is_no_reboot);
    CASE("/ha/reboot/lrm-that-does-not-tell-is-no-reboot", lrm_that_does_not_tell_is_no_reboot);
    CASE("/ha/reboot/lrm-at-work-is-no-reboot", lrm_at_work_is_no_reboot);
    g_test_add("/ha/reboot/boot-that-nobody-saw-is-to-be-fenced", Rig, "late", set_up,
               boot_that_nobody_saw_is_to_be_fenced, tear_down);
    g_test_add("/ha/reboot/boot-told-before-the-look-is-no-proof", Rig, "late", set_up,
               boot_told_before_the_look_is_no_proof, tear_down);
    CASE("/ha/reboot/next-master-knows-the-boot", next_master_knows_the_boot);
    CASE("/ha/reboot/master-that-is-to-be-fenced-steps-aside",
         master_that_is_to_be_fenced_steps_aside);
    CASE("/ha/reboot/master-that-is-fenced-in-vain-works", master_that_is_fenced_in_vain_works);
    CASE("/ha/reboot/documented-conduct-waits-for-the-lease",
         documented_conduct_waits_for_the_lease);
    return g_test_run();
}
