/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: power, membership, watchdog, and the processes that run on them. */
#include "ha-manager/core/ha_lrm_status.h"
#include "tests/sim/ha/hasafe.h"

#include <string.h>

#define SEC US_PER_SEC

int64_t hasafe_mono(const HaSafeNode *n)
{
    int64_t since = hasafe_now(n->s) - n->booted;

    return since + since * n->drift_ppm / 1000000;
}

int64_t hasafe_wall(const HaSafeNode *n)
{
    return (hasafe_now(n->s) + n->wall_offset) / SEC + INT64_C(1700000000);
}

void hasafe_set_running(HaSafeNode *n, unsigned service, bool running, const char *why)
{
    HaSafe *s = n->s;

    if (n->runs[service] == running) {
        return;
    }
    n->runs[service] = running;
    hasafe_say(s, n->name, "vm:%u %s (%s)", 100 + service, running ? "runs" : "stops", why);
    if (!running) {
        return;
    }
    s->result.starts++;
    for (unsigned i = 0; i < s->n_nodes; i++) {
        if (i != n->index && s->nodes[i].runs[service]) {
            hasafe_fail(s, "vm:%u runs on %s and on %s", 100 + service, s->nodes[i].name, n->name);
        }
    }
}

/* ---- membership ---- */

static unsigned component(const HaSafeNode *n)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < n->s->n_nodes; i++) {
        const HaSafeNode *other = &n->s->nodes[i];

        if (n->up && other->up && other->part == n->part) {
            bits |= 1u << i;
        }
    }
    return bits;
}

static void leave_tree(HaSafeNode *n)
{
    if (n->synced) {
        hasafe_tree_copy(&n->view, &n->s->tree);
        n->synced = false;
    }
}

/* Timers of locks begin anew for who has just got the tree: the safe direction. */
static void join_tree(HaSafeNode *n)
{
    n->synced = true;
    for (unsigned i = 0; i < 2 * HASAFE_LOCKS; i++) {
        n->s->tree.dirs[i].seen[n->index] = hasafe_mono(n);
    }
}

static void notice(HaSafe *s, void *data)
{
    HaSafeNode *n = data;

    if (!n->up || n->stable || n->view_round != s->view_round) {
        return; /* gone, or another change has come meanwhile: its own notice follows */
    }
    n->members = component(n);
    n->quorate = (unsigned)__builtin_popcount(n->members) > s->n_nodes / 2;
    n->stable = true;
    hasafe_say(s, n->name, "view %x%s", n->members, n->quorate ? ", quorate" : "");
    if (n->quorate && !n->synced) {
        join_tree(n);
    }
}

void hasafe_network_changed(HaSafe *s)
{
    s->view_round++;
    for (unsigned i = 0; i < s->n_nodes; i++) {
        HaSafeNode *n = &s->nodes[i];

        if (!n->up) {
            n->stable = n->synced = n->quorate = false;
            n->members = 0;
        } else if (!n->stable || component(n) != n->members) {
            leave_tree(n);
            n->stable = false;
            n->view_round = s->view_round;
            hasafe_after(s, hasafe_random(s, SEC / 2, 4 * SEC), notice, n);
        } else {
            n->view_round = s->view_round;
        }
    }
}

const HaSafeTree *hasafe_view(const HaSafeNode *n)
{
    return n->synced ? &n->s->tree : &n->view;
}

/* ---- watchdog ---- */

static void reset(HaSafeNode *n)
{
    hasafe_say(n->s, n->name, "watchdog resets the node");
    n->s->result.resets++;
    hasafe_power_off(n);
    n->next_power = hasafe_now(n->s) + hasafe_random(n->s, 5 * SEC, 120 * SEC);
}

static void look_at_device(HaSafeNode *n);

static void device(HaSafe *s, void *data)
{
    HaSafeNode *n = data;

    if (n->looked_at == hasafe_now(s)) {
        n->looked_at = 0;
    }
    if (!n->up || !n->armed || !s->dogs_fire) {
        return;
    }
    if (hasafe_now(s) >= n->fires) {
        reset(n);
    } else {
        look_at_device(n);
    }
}

/* At the moment it fires, or earlier: fed meanwhile, it is looked at again. */
static void look_at_device(HaSafeNode *n)
{
    if (n->looked_at == 0 || n->fires < n->looked_at) {
        n->looked_at = n->fires;
        hasafe_after(n->s, n->fires - hasafe_now(n->s), device, n);
    }
}

/* Starts the device's time anew; its clock is no better than others. */
static void pet(HaSafe *s, void *data)
{
    HaSafeNode *n = data;
    int64_t us = s->timing.device_ms * US_PER_MS;

    if (!n->up || !n->armed || n->mux_dead) {
        return;
    }
    us += us * hasafe_random(s, -s->timing.drift_ppm, s->timing.drift_ppm) / 1000000;
    n->fires = hasafe_now(s) + us;
    look_at_device(n);
}

static bool silent(const HaSafeNode *n)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(n->clients); i++) {
        if (n->clients[i].open &&
            hasafe_mono(n) - n->clients[i].fed > n->s->timing.client_ms * US_PER_MS) {
            return true;
        }
    }
    return false;
}

/* The multiplexer looks, and pets; it may be held up between the two. */
static void tick(HaSafe *s, void *data)
{
    HaSafeNode *n = data;
    int64_t late = 0;

    n->ticking = n->up && n->armed && !n->mux_dead;
    if (!n->ticking) {
        return; /* until somebody opens it */
    }
    hasafe_after(s, s->timing.mux_tick_ms * US_PER_MS, tick, n);
    if (hasafe_now(s) < n->mux_until) {
        return;
    }
    if (silent(n)) {
        hasafe_say(s, n->name, "client watchdog expired - disable watchdog updates");
        n->mux_dead = true;
        return;
    }
    if (!s->calm && hasafe_chance(s, 1, 500)) {
        late = hasafe_random(s, 0, s->timing.device_ms * US_PER_MS);
    }
    if (late > 0) {
        hasafe_after(s, late, pet, n);
    } else {
        pet(s, n);
    }
}

void hasafe_watchdog_open(HaSafeNode *n, HaSafeClient *client)
{
    *client = (HaSafeClient){true, hasafe_mono(n)};
    if (n->armed) {
        return;
    }
    n->armed = true;
    pet(n->s, n);
    if (!n->ticking) {
        n->ticking = true;
        hasafe_after(n->s, hasafe_random(n->s, 0, n->s->timing.mux_tick_ms * US_PER_MS), tick, n);
    }
}

void hasafe_watchdog_close(HaSafeNode *n, HaSafeClient *client, bool clean)
{
    if (!client->open) {
        return;
    }
    client->open = false;
    if (!clean) {
        n->mux_dead = true;
    }
    if (!n->mux_dead && !n->clients[0].open && !n->clients[1].open) {
        n->armed = false;
    }
}

/* ---- processes ---- */

static HaNow moment(const HaSafeNode *n)
{
    bool still = n->s->opt.defect == HASAFE_STILL_DATE;

    return (HaNow){{hasafe_mono(n)}, {still ? 1 : hasafe_wall(n)}};
}

/* Sleeps until the next round, or until something changes that matters; an LRM looks after its
 * workers meanwhile. */
static void rest(HaSafeCaller *c, HaLrm *lrm, int64_t ms)
{
    HaSafeDaemon *d = c->d;
    int64_t until = hasafe_now(d->s) + MAX(ms, 1) * US_PER_MS;
    HaSafeTask *self = hasafe_self(d->s);
    bool busy = lrm != NULL;

    if (hasafe_chance(d->s, 1, 8)) {
        until = hasafe_now(d->s) + hasafe_random(d->s, SEC / 10, MAX(ms, 100) * US_PER_MS);
    }
    while (hasafe_alive(c) && hasafe_now(d->s) < until && !d->asked) {
        int64_t left = until - hasafe_now(d->s);

        d->rester = self;
        hasafe_sleep(d->s, busy ? MIN(SEC, left) : left);
        if (d->rester == self) {
            d->rester = NULL;
        }
        hasafe_call(c);
        if (busy && hasafe_alive(c)) {
            busy = ha_lrm_poll(lrm, moment(c->d->node));
        }
    }
}

static void ended(HaSafeDaemon *d)
{
    HaSafeNode *n = d->node;

    d->running = false;
    d->life++;
    d->asked = false;
    d->rester = NULL;
    hasafe_watchdog_close(n, &n->clients[d->is_lrm ? 1 : 0], false);
    if (d->is_lrm) {
        for (guint i = 0; i < n->workers->len; i++) {
            HaSafeWorker *w = n->workers->pdata[i];

            if (w->done) {
                hasafe_worker_free(w);
            } else {
                w->orphan = true;
            }
        }
        g_ptr_array_set_size(n->workers, 0);
    }
}

static void start_again(HaSafe *s, void *data)
{
    HaSafeDaemon *d = data;

    (void)s;
    if (d->node->up && !d->running && !d->node->going_down) {
        hasafe_daemon_start(d);
    }
}

/* After an orderly end: an upgrade brings it back, a shutdown goes on. */
static void ended_in_order(HaSafeDaemon *d)
{
    HaSafeNode *n = d->node;

    hasafe_say(d->s, n->name, "%s has ended", d->is_lrm ? "lrm" : "crm");
    ended(d);
    if (!n->going_down) {
        hasafe_after(d->s, hasafe_random(d->s, SEC / 2, 5 * SEC), start_again, d);
    } else if (d->is_lrm) {
        if (n->crm.running) {
            hasafe_daemon_ask(&n->crm, (HaShutdown){false, false});
        } else {
            hasafe_power_off(n);
        }
    } else if (!n->lrm.running) {
        hasafe_power_off(n);
    }
}

static bool take_request(HaSafeDaemon *d)
{
    bool asked = d->asked;

    d->asked = false;
    return asked;
}

/* Of ha_node.c: so that their age is known when it matters. */
static void watch_locks(HaSafeCaller *c)
{
    HaSafe *s = c->d->s;

    ha_leases_watch(c->leases, HA_MANAGER_LOCK);
    for (unsigned i = 0; i < s->n_nodes; i++) {
        ha_leases_watch(c->leases, s->lock_names[i]);
    }
}

static void crm_loop(HaSafeCaller *c)
{
    g_autoptr(HaCrm) crm = ha_crm_new(&c->env);
    bool alive = hasafe_alive(c);

    while (alive) {
        HaNext next;
        HaNow now;

        if (take_request(c->d)) {
            ha_crm_request_shutdown(crm);
        }
        now = moment(c->d->node);
        watch_locks(c);
        next = ha_crm_round(crm, now);
        alive = hasafe_alive(c);
        if (alive && next.exit) {
            ended_in_order(c->d);
            return;
        }
        if (alive) {
            rest(c, NULL, next.sleep_ms);
            alive = hasafe_alive(c);
        }
    }
}

/* What main_lrm.c does beside the rounds: a lock of the boot before guards nothing any more. */
typedef struct LookBack {
    char *boot_id;
    bool done;
    bool other_boot;
} LookBack;

static void look_back(HaSafeCaller *c, LookBack *b)
{
    const HaEnvOps *ops = c->env.ops;
    g_autoptr(HaLrmStatus) ls = NULL;
    g_autofree char *text = NULL;

    if (ops->refresh(c) < 0 || ops->read(c, HA_FILE_LRM_STATUS, c->env.node, &text, NULL) < 0) {
        return;
    }
    b->done = true;
    b->other_boot = ha_lrm_status_parse(text, &ls, NULL) == 0 && ls->boot_id != NULL &&
                    strcmp(ls->boot_id, b->boot_id) != 0;
}

static void drop_old_lock(HaSafeCaller *c, LookBack *b)
{
    const char *lock = c->d->s->lock_names[c->d->node->index];

    if (b->other_boot && c->env.ops->quorate(c) && ha_leases_drop_own(c->leases, lock) == 0) {
        b->other_boot = false;
        c->d->s->result.dropped++;
    }
}

static HaNext lrm_round(HaSafeCaller *c, HaLrm *lrm, LookBack *b, bool asked)
{
    HaNow now = moment(c->d->node);

    if (asked) {
        ha_lrm_request_shutdown(lrm, c->d->why, now);
    }
    if (!b->done) {
        look_back(c, b);
    }
    if (!b->done) {
        return (HaNext){.exit = asked, .sleep_ms = c->env.timing->lrm_wait_ms};
    }
    drop_old_lock(c, b);
    return ha_lrm_round(lrm, now);
}

static void lrm_loop(HaSafeCaller *c)
{
    g_autofree char *boot = g_strdup_printf("%s-%u", c->d->node->name, c->d->node->boot);
    g_autoptr(HaLrm) lrm = ha_lrm_new(&c->env, boot);
    LookBack b = {.boot_id = boot};
    bool alive = hasafe_alive(c);

    while (alive) {
        HaNext next = lrm_round(c, lrm, &b, take_request(c->d));

        alive = hasafe_alive(c);
        if (alive && next.exit) {
            ended_in_order(c->d);
            return;
        }
        if (alive) {
            rest(c, lrm, next.sleep_ms);
            alive = hasafe_alive(c);
        }
    }
}

static void daemon_main(HaSafe *s, void *data)
{
    HaSafeDaemon *d = data;
    HaSafeCaller c;

    (void)s;
    if (!d->running) {
        return; /* killed before it began */
    }
    hasafe_caller_init(&c, d, NULL);
    c.leases = hasafe_leases_new(&c);
    if (d->is_lrm) {
        lrm_loop(&c);
    } else {
        c.fencer = hasafe_fencer_new();
        crm_loop(&c);
        hasafe_fencer_free(c.fencer);
    }
    ha_leases_free(c.leases);
}

void hasafe_daemon_start(HaSafeDaemon *d)
{
    d->running = true;
    d->paused_until = 0;
    d->straggler = NULL;
    hasafe_spawn(d->s, daemon_main, d);
}

void hasafe_daemon_ask(HaSafeDaemon *d, HaShutdown why)
{
    d->why = why;
    d->asked = true;
    if (d->rester != NULL) {
        hasafe_wake(d->s, d->rester);
    }
}

void hasafe_daemon_kill(HaSafeDaemon *d)
{
    if (d->running) {
        ended(d);
    }
}

/* ---- power ---- */

static void daemons_begin(HaSafe *s, void *data)
{
    HaSafeNode *n = data;

    (void)s;
    if (n->up && !n->going_down) {
        if (!n->crm.running) {
            hasafe_daemon_start(&n->crm);
        }
        if (!n->lrm.running) {
            hasafe_daemon_start(&n->lrm);
        }
    }
}

void hasafe_power_on(HaSafeNode *n)
{
    if (n->up) {
        return;
    }
    n->up = true;
    n->boot++;
    n->booted = hasafe_now(n->s);
    n->going_down = false;
    n->mux_dead = n->armed = false;
    n->mux_until = n->cfs_until = 0;
    n->stable = n->synced = n->quorate = false;
    hasafe_tree_done(&n->view);
    hasafe_tree_copy(&n->view, &n->s->tree); /* what its disk has; read-only until it has joined */
    hasafe_say(n->s, n->name, "power on");
    hasafe_network_changed(n->s);
    hasafe_after(n->s, hasafe_random(n->s, 2 * SEC, 20 * SEC), daemons_begin, n);
}

void hasafe_power_off(HaSafeNode *n)
{
    if (!n->up) {
        return;
    }
    hasafe_say(n->s, n->name, "power off");
    n->up = false;
    hasafe_daemon_kill(&n->crm);
    hasafe_daemon_kill(&n->lrm);
    n->armed = false;
    for (unsigned i = 0; i < n->s->n_services; i++) {
        n->guest_lock[i] = 0;
        hasafe_set_running(n, i, false, "power off");
    }
    hasafe_network_changed(n->s);
}
